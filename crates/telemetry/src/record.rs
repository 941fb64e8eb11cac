//! One finished call as the gateway describes it: borrowed, filled once, read by everything that is told of calls.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::prices::Cost;
use crate::traces::{CallTrace, SpanId};

/// Everything known about one finished call.
///
/// All text comes as it was received or configured, unescaped; whoever writes it escapes it.
#[derive(Clone, Copy)]
pub struct CallRecord<'a> {
    /// The client's address (after the real-IP rules, if any apply).
    pub remote_addr: IpAddr,
    /// The client's port.
    pub remote_port: u16,
    /// The address and port the call came in on; `None` if not known.
    pub server_addr: Option<SocketAddr>,
    /// How the client reached the gateway: `http` or `https`.
    pub scheme: &'a str,
    /// When the first byte of the call was read.
    pub time: SystemTime,
    /// The request's method, `POST`.
    pub method: &'a str,
    /// The raw path and query as the client sent them.
    pub request_uri: &'a str,
    /// The protocol as nginx writes it: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub http_version: &'static str,
    /// The status sent to the client (499 where the client left before there was one).
    pub status: u16,
    /// Bytes of the response body sent to the client.
    pub body_bytes_sent: u64,
    /// Bytes of the whole response, head included; `None` if not counted.
    pub bytes_sent: Option<u64>,
    /// From the first byte read to the last byte sent.
    pub request_time: Duration,
    /// The `Host` header, or HTTP/2's `:authority`.
    pub host: Option<&'a str>,
    /// The `Referer` header.
    pub referer: Option<&'a str>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// The `X-Forwarded-For` header.
    pub x_forwarded_for: Option<&'a str>,
    /// The headers of the request. Credentials may be among them.
    pub request_headers: &'a HeaderMap,
    /// Names of the headers, in lower case, and arguments of the query in which plugins look for credentials, beside those
    /// whose names say so.
    pub secret_names: &'a [&'a str],
    /// Bytes of the body of the request; 0 if it was not read.
    pub request_bytes: u64,
    /// The body of the request, cut at the limit of the logger that wants most of it; `None` if no logger of the call wants
    /// it, or if it was not read.
    pub request_body: Option<Excerpt<'a>>,
    /// The headers of the answer as the client was given them; `None` if no logger of the call wants them, or if the client
    /// left before there was an answer.
    pub response_headers: Option<&'a HeaderMap>,
    /// The body of the answer as the client was given it, as [`CallRecord::request_body`].
    pub response_body: Option<Excerpt<'a>>,
    /// Whether log entries tell what the model call used.
    pub is_summarised: bool,
    /// What the client and the model said, where log entries tell that.
    pub payload: Option<Payload<'a>>,
    /// The same where spans tell it.
    pub content: Option<Payload<'a>>,
    /// The call's unique id.
    pub request_id: &'a str,
    /// The id of the matched route.
    pub route: Option<&'a str>,
    /// The name of the matched route, where it has one.
    pub route_name: Option<&'a str>,
    /// The id of the service that the route belongs to.
    pub service: Option<&'a str>,
    /// The name of that service, where it has one.
    pub service_name: Option<&'a str>,
    /// The pattern of the route that the host fits, as it was written; empty if there is none.
    pub matched_host: &'a str,
    /// The pattern of the route that the path fits, as it was written; empty if there is none.
    pub matched_uri: &'a str,
    /// The name of the consumer the caller was recognised as.
    pub consumer: Option<&'a str>,
    /// The id of the credential that proved it, where it has one. Never the credential itself.
    pub credential: Option<&'a str>,
    /// The team whose budgets count for it.
    pub team: Option<&'a str>,
    /// What it was charged to budgets.
    pub charges: &'a [Charge<'a>],
    /// What was asked for: `chat`, `text_completion`, `embeddings`, `rerank`, `count_tokens`, ...; `None` for calls that are not
    /// about models, and for those refused before that was known.
    pub operation: Option<&'a str>,
    /// The dialect of the client, such as `openai_chat`; `None` for calls that are not about models.
    pub client_dialect: Option<&'a str>,
    /// What kind of call it was.
    pub request_type: RequestType,
    /// The model the client asked for.
    pub request_model: Option<&'a str>,
    /// The model asked of the provider in the last attempt, by the provider's name for it.
    pub upstream_model: Option<&'a str>,
    /// The model that answered, by its own word.
    pub response_model: Option<&'a str>,
    /// Who uses the application that calls, by the client's word. May be personal data.
    pub end_user: Option<&'a str>,
    /// The tools that the request offered to the model.
    pub tool_count: u64,
    /// Whether the answer called tools.
    pub has_tool_calls: bool,
    /// How dangerous moderation found the content, by its own names.
    pub content_risk_level: Option<&'a str>,
    /// The provider of the last attempt.
    pub provider: Option<&'a str>,
    /// The instance of the last attempt.
    pub instance: Option<&'a str>,
    /// The attempts in the order they were made; empty where the gateway answered itself.
    pub attempts: &'a [Attempt<'a>],
    /// From the start of the last attempt to its first body chunk.
    pub time_to_first_token: Option<Duration>,
    /// From the start of the last attempt to the end of its response.
    pub upstream_response_time: Option<Duration>,
    /// What the answer used; `None` if unknown.
    pub usage: Option<TokenUsage>,
    /// What all attempts together cost.
    pub cost: Cost,
    /// The version of the prices by which that was found; empty where no price was asked for.
    pub price_pack: &'a str,
    /// How the `$llm_*_tokens` variables tell it. Nothing else depends on this: not the JSON lines, not what a call cost.
    pub llm_tokens: LlmTokens,
    /// The losses of translation in one line (`$.n: unsupported; ...`); empty if there were none.
    pub losses: &'a str,
    /// The stable code of the error the client was told; `None` on success.
    pub error_code: Option<&'a str>,
    /// `http` or `https`, of the last attempt.
    pub upstream_scheme: Option<&'a str>,
    /// The `Host` sent in the last attempt.
    pub upstream_host: Option<&'a str>,
    /// The path (and query) sent in the last attempt.
    pub upstream_uri: Option<&'a str>,
    /// Whether the client left before it had the whole answer.
    pub client_gone: bool,
    /// Its place in a trace; `None` if calls are not traced.
    pub trace: Option<&'a CallTrace>,
}

/// A part of a body, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// The bytes that were kept.
    pub bytes: &'a [u8],
    /// Whether there were more.
    pub is_cut: bool,
}

/// What was said in a model call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The `messages` or the `input` of the request, as JSON; `None` if it has none.
    pub messages: Option<Part<'a>>,
    /// The text of the answer; `None` if there was none.
    pub text: Option<Part<'a>>,
}

/// A part of what was said, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// What was kept. JSON is not whole where it was cut.
    pub text: &'a str,
    /// Whether there was more.
    pub is_cut: bool,
}

/// One try of one instance.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The instance's name.
    pub instance: &'a str,
    /// The provider, such as `openai`; `None` for servers that are no providers.
    pub provider: Option<&'a str>,
    /// The model it was asked for, by the provider's name for it.
    pub model: Option<&'a str>,
    /// The model that answered, by its own word.
    pub response_model: Option<&'a str>,
    /// The dialect spoken with the provider, such as `anthropic_messages`.
    pub dialect: Option<&'a str>,
    /// When it began, from the beginning of the call.
    pub started: Duration,
    /// Where it was sent, `host:port`; `None` if it failed before an address was chosen.
    pub upstream_addr: Option<&'a str>,
    /// The status answered; `None` if there was none.
    pub status: Option<u16>,
    /// How it ended: `ok`, `connect_error`, `timeout`, ...
    pub outcome: &'static str,
    /// From its start to its end.
    pub duration: Duration,
    /// From its start to the first byte of its answer; `None` if there was none.
    pub first_byte: Option<Duration>,
    /// What it used; `None` if unknown. Attempts that failed or were left may have used something too.
    pub usage: Option<TokenUsage>,
    /// The provider's own usage object, verbatim JSON; empty if it told none. Gathered only for those who want it.
    pub usage_object: &'a str,
    /// The tier at which it was served by the provider's word, such as `flex`.
    pub service_tier: Option<&'a str>,
    /// What it cost.
    pub cost: Cost,
    /// The provider's id of the answer.
    pub response_id: Option<&'a str>,
    /// Why the answer ended.
    pub finish_reason: Option<&'a str>,
    /// Its span in the trace of the call.
    pub span: Option<SpanId>,
    /// What the translation of its request and answer could not carry over, as [`CallRecord::losses`].
    pub losses: &'a str,
}

/// What kind of call it was, by APISIX's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestType {
    /// A model call answered at once: `ai_chat`.
    AiChat,
    /// A model call answered as a stream: `ai_stream`.
    AiStream,
    /// Everything else: `traditional_http`.
    #[default]
    TraditionalHttp,
}

/// How the `$llm_*_tokens` variables count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlmTokens {
    /// As [`TokenUsage`] does.
    #[default]
    Inclusive,
    /// As Anthropic states its input, and APISIX with it: the prompt and the total leave out what was read from or written
    /// to a cache.
    CacheApart,
    /// Not at all: every number is 0.
    Untold,
}

impl LlmTokens {
    /// What is told of tokens.
    pub fn of(self, usage: TokenUsage) -> TokenUsage {
        match self {
            LlmTokens::Inclusive => usage,
            LlmTokens::CacheApart => {
                let prompt = usage
                    .prompt
                    .saturating_sub(usage.cached)
                    .saturating_sub(usage.cache_write);
                TokenUsage {
                    prompt,
                    total: prompt.saturating_add(usage.completion),
                    ..usage
                }
            }
            LlmTokens::Untold => TokenUsage::default(),
        }
    }
}

/// What a call was charged to a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// The name of the budget.
    pub budget: &'a str,
    /// The beginning of its period, in seconds since 1970.
    pub start: u64,
    /// The amount, in millionths of a US dollar or in tokens.
    pub amount: u64,
}

/// The tokens one answer used, as OpenAI counts them: the parts are included in the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// All input tokens, those read from or written to a cache included.
    pub prompt: u64,
    /// All output tokens, reasoning included.
    pub completion: u64,
    /// The total the provider stated, else `prompt + completion`.
    pub total: u64,
    /// Of `prompt`, read from the provider's cache.
    pub cached: u64,
    /// Of `prompt`, written to the provider's cache, all lifetimes together.
    pub cache_write: u64,
    /// Of `cache_write`, those kept one hour (which cost more).
    pub cache_write_1h: u64,
    /// Of `prompt`, audio.
    pub audio_input: u64,
    /// Of `completion`, audio.
    pub audio_output: u64,
    /// Of `prompt`, images.
    pub image_input: u64,
    /// Of `completion`, images.
    pub image_output: u64,
    /// Of `prompt`, video.
    pub video_input: u64,
    /// Of `prompt`, brought in by tools of the provider, such as results of a search.
    pub tool_input: u64,
    /// Of `completion`, spent on reasoning.
    pub reasoning: u64,
    /// Searches that the provider made for the answer.
    pub searches: u64,
    /// Whether the numbers are our estimate because the provider gave none.
    pub estimated: bool,
}

impl RequestType {
    /// The name as it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestType::AiChat => "ai_chat",
            RequestType::AiStream => "ai_stream",
            RequestType::TraditionalHttp => "traditional_http",
        }
    }
}
