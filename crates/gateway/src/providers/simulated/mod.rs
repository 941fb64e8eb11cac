//! The built-in provider: answers all chat dialects, embeddings and reranking without a network, deterministically, with plausible
//! usage, and with faults on request. For the first run, demos, examples, load and fault tests.
//!
//! It is configured by the query of its address (`simulated:?latency_ms=200&fail=429`); see [`Profile`]. It asks for no
//! key, but refuses the key `bad` as the real providers refuse a wrong one.

mod embedding;
mod profile;
mod reply;
mod rerank;
mod schema;
mod script;
mod serve;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tollgate_dialects::canonical::{Event, Ext, ProviderError, TokenCount};
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, codec, count_tokens, estimate, openai_responses};

pub use profile::{Fault, Profile, ProfileError};
pub use script::Script;
pub use serve::serve;

use crate::pipeline::UpstreamAnswer;
use crate::providers::Operation;
use crate::upstream::UpstreamBody;
use reply::Reply;

/// The key that is refused.
const BAD_KEY: &str = "bad";

/// A request to the built-in provider.
pub struct Asked<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// The model, for dialects that name it in the address.
    pub model: &'a str,
    /// Whether a stream is wanted, for dialects that tell it in the address.
    pub stream: bool,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// Answers a request. `query` configures the answer.
pub fn answer(query: &str, asked: &Asked<'_>) -> UpstreamAnswer {
    let profile = match Profile::parse(query).map(Profile::of_call) {
        Ok(profile) => profile,
        Err(error) => {
            return refusal(
                asked.operation.dialect(),
                400,
                &error.to_string(),
                "invalid_request_error",
            );
        }
    };
    let (status, stream, chunks) = respond(&profile, asked);
    let mut answer_headers = HeaderMap::new();
    answer_headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(if stream {
            asked.operation.stream_type()
        } else {
            "application/json"
        }),
    );
    if matches!(status.as_u16(), 429 | 503 | 529) {
        answer_headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let script = Script::new(&profile, chunks);
    UpstreamAnswer {
        status,
        headers: answer_headers,
        body: UpstreamBody::Simulated(script),
        sent: Instant::now(),
    }
}

fn respond(profile: &Profile, asked: &Asked<'_>) -> (StatusCode, bool, Vec<Vec<u8>>) {
    let operation = asked.operation;
    let dialect = operation.dialect();
    if sent_key(asked.headers) == Some(BAD_KEY) {
        return (wrong_key_status(dialect), false, vec![wrong_key(dialect)]);
    }
    if let Some(Fault::Status(status)) = profile.fault_now() {
        let message = format!("simulated failure with status {status}");
        let error = error_body(dialect, status, &message, "simulated_failure");
        return (
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            false,
            vec![error],
        );
    }
    let text = std::str::from_utf8(asked.body).unwrap_or_default();
    let chat = match operation {
        Operation::Embeddings(kind) => return made_up(dialect, embedding::answer(kind, asked.model, text)),
        Operation::Rerank(kind) => return made_up(dialect, rerank::answer(kind, asked.model, text)),
        Operation::CountTokens(_) => count_tokens::decode_request(dialect, text),
        Operation::Chat(_) => codec::decode_request(dialect, text),
    };
    let request = match chat {
        Ok(mut request) => {
            if matches!(dialect, Dialect::Gemini | Dialect::BedrockConverse) {
                asked.model.clone_into(&mut request.model);
                request.stream = Some(asked.stream);
            }
            request
        }
        Err(error) => {
            return (
                StatusCode::BAD_REQUEST,
                false,
                vec![error_body(dialect, 400, &error.to_string(), "invalid_request")],
            );
        }
    };
    if let Operation::CountTokens(dialect) = operation {
        let count = TokenCount {
            origin: dialect,
            total: estimate::request_tokens(&request),
            cached: None,
            ext: Ext::default(),
        };
        // A dialect without counting has refused the request.
        let body = count_tokens::encode_response(dialect, &count).unwrap_or_default();
        return (StatusCode::OK, false, vec![body]);
    }
    // Answers of Responses repeat much of their request, which the translation into them does.
    let made_in = match dialect {
        Dialect::OpenaiResponses => Dialect::OpenaiChat,
        own => own,
    };
    let reply = Reply::new(made_in, &request, profile);
    let style = AnswerStyle {
        created_s: now_s(),
        echo: openai_responses::Echo::of(&request),
        include_usage: request.include_usage == Some(true),
        ..AnswerStyle::default()
    };
    if request.stream == Some(true) {
        (StatusCode::OK, true, stream(dialect, &reply, &style, profile))
    } else {
        let body = match profile.fault_now() {
            Some(Fault::ErrorEvent | Fault::ErrorMidway) => {
                error_body(dialect, 500, "simulated failure", "simulated_failure")
            }
            _ => codec::encode_response(dialect, &reply.response(), &style, &mut Losses::new()),
        };
        (StatusCode::OK, false, vec![body])
    }
}

fn made_up(dialect: Dialect, answer: Result<Vec<u8>, String>) -> (StatusCode, bool, Vec<Vec<u8>>) {
    match answer {
        Ok(body) => (StatusCode::OK, false, vec![body]),
        Err(problem) => (
            StatusCode::BAD_REQUEST,
            false,
            vec![error_body(dialect, 400, &problem, "invalid_request")],
        ),
    }
}

fn stream(dialect: Dialect, reply: &Reply, style: &AnswerStyle, profile: &Profile) -> Vec<Vec<u8>> {
    let mut encoder = StreamEncoder::new(dialect, style);
    let mut losses = Losses::new();
    let mut chunks = Vec::new();
    let mut events = reply.events();
    let failure = Event::Error(simulated_failure());
    match profile.fault_now() {
        Some(Fault::ErrorEvent) => events = vec![failure],
        Some(Fault::ErrorMidway) => {
            events.truncate(events.len() / 2);
            events.push(failure);
        }
        _ => {}
    }
    for event in &events {
        let mut chunk = Vec::new();
        encoder.encode(event, &mut losses, &mut chunk);
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
    }
    chunks
}

fn sent_key(headers: &HeaderMap) -> Option<&str> {
    for name in ["x-api-key", "x-goog-api-key", "api-key"] {
        if let Some(key) = headers.get(name) {
            return key.to_str().ok();
        }
    }
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Google takes a wrong key for a wrong request, Amazon for something forbidden.
fn wrong_key_status(dialect: Dialect) -> StatusCode {
    match dialect {
        Dialect::Gemini => StatusCode::BAD_REQUEST,
        Dialect::BedrockConverse => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    }
}

/// What the real providers say to a wrong key, word for word: applications recognise it.
fn wrong_key(dialect: Dialect) -> Vec<u8> {
    let body = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => serde_json::json!({ "error": {
            "message": format!("Incorrect API key provided: {BAD_KEY}. You can find your API key at https://platform.openai.com/account/api-keys."),
            "type": "invalid_request_error",
            "param": null,
            "code": "invalid_api_key",
        }}),
        Dialect::AnthropicMessages => serde_json::json!({
            "type": "error",
            "error": { "type": "authentication_error", "message": "invalid x-api-key" },
        }),
        Dialect::Gemini => serde_json::json!({ "error": {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
        }}),
        Dialect::BedrockConverse => {
            serde_json::json!({ "message": "The security token included in the request is invalid." })
        }
        Dialect::CohereChat => serde_json::json!({ "message": "invalid api token" }),
    };
    body.to_string().into_bytes()
}

fn refusal(dialect: Dialect, status: u16, message: &str, code: &str) -> UpstreamAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    UpstreamAnswer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        headers,
        body: UpstreamBody::Simulated(Script::at_once(error_body(dialect, status, message, code))),
        sent: Instant::now(),
    }
}

fn error_body(dialect: Dialect, status: u16, message: &str, code: &str) -> Vec<u8> {
    let mut error = codec::decode_error(dialect, status, message.as_bytes());
    error.message = message.to_owned();
    error.code = Some(code.to_owned());
    codec::encode_error(dialect, &error, None)
}

fn simulated_failure() -> ProviderError {
    ProviderError {
        kind: tollgate_dialects::canonical::ErrorKind::Server,
        status: 500,
        message: "simulated failure".to_owned(),
        native_type: None,
        code: Some("simulated_failure".to_owned()),
        param: None,
        raw: None,
    }
}

fn now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
