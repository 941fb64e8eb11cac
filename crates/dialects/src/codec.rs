//! The codecs by dialect: one function per job, whichever dialect it is for.

use crate::canonical::{DecodeError, Event, ProviderError, Request, Response, Usage};
use crate::json::RawJson;
use crate::unsaid::{Step, Unsaid};
use crate::{
    Dialect, Losses, Renames, Target, anthropic_messages, apisix, bedrock_converse, cohere_chat, completions,
    envelope, gemini, openai_chat, openai_responses, unsaid,
};

/// Whose manners a translation has where both are possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// Our own, as `docs/dialects.md` tells them.
    #[default]
    Own,
    /// APISIX's, between Anthropic clients and OpenAI providers; see [`apisix`].
    Apisix,
}

/// How answers are written where the dialect leaves a choice.
#[derive(Clone, Debug, Default)]
pub struct AnswerStyle {
    /// The time for dialects that tell when an answer was made, in seconds since 1970, if the provider did not say.
    pub created_s: u64,
    /// Whether an OpenAI answer repeats the provider's own finish reason (`end_turn`) instead of OpenAI's word for it.
    pub native_finish_reason: bool,
    /// Whether OpenAI's client uses `functions` from before tools existed, and must get `function_call` back.
    pub legacy_functions: bool,
    /// Whether the answer may be bound to a schema by a tool, whose call must become text.
    pub answer_by_tool: bool,
    /// Whether an OpenAI stream ends with a chunk of usage.
    pub include_usage: bool,
    /// The gateway's id of the call: told by an Anthropic error event, and the base of an answer's id where the provider gave
    /// none.
    pub request_id: Option<String>,
    /// Whose manners the answer to an Anthropic client has.
    pub manners: Manners,
    /// The model that was asked: named where the provider's answers name none, and by whole answers in APISIX's manners;
    /// `None` for the provider's name.
    pub model: Option<String>,
    /// How the documents of a Gemini stream are framed.
    pub framing: gemini::Framing,
    /// What a Responses answer repeats of its request.
    pub echo: openai_responses::Echo,
    /// Tools that were sent under another name; see [`renames`].
    pub renames: Renames,
    /// How an OpenAI client is answered that asked for a completion from before chats; `None` for a chat.
    pub completion: Option<completions::Style>,
}

impl AnswerStyle {
    fn finish_reason(&self) -> openai_chat::FinishReasonStyle {
        if self.native_finish_reason {
            openai_chat::FinishReasonStyle::Native
        } else {
            openai_chat::FinishReasonStyle::Translated
        }
    }
}

/// Reads a request. A dialect that tells the model or whether to stream in the address leaves [`Request::model`] empty and
/// [`Request::stream`] unsaid; whoever knows the address sets them.
///
/// # Errors
/// The request is not what the dialect allows; the path names the field.
pub fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_request(body),
        Dialect::AnthropicMessages => anthropic_messages::decode_request(body),
        Dialect::Gemini => gemini::decode_request(body),
        Dialect::OpenaiResponses => openai_responses::decode_request(body),
        Dialect::BedrockConverse => bedrock_converse::decode_request(body),
        Dialect::CohereChat => cohere_chat::decode_request(body),
    }
}

/// Writes a request for a model; what it cannot express is added to `losses`.
pub fn encode_request(
    dialect: Dialect,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::encode_request(request, target, losses),
        Dialect::AnthropicMessages => anthropic_messages::encode_request(request, target, losses),
        Dialect::Gemini => gemini::encode_request(request, target, losses),
        Dialect::OpenaiResponses => openai_responses::encode_request(request, target, losses),
        Dialect::BedrockConverse => bedrock_converse::encode_request(request, target, losses),
        Dialect::CohereChat => cohere_chat::encode_request(request, target, losses),
    }
}

/// What every envelope begins with that reasoning of other makers travels in through this dialect, as it stands in a body;
/// `None` for dialects whose requests are never searched for one.
pub fn envelope_prefix(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::AnthropicMessages
        | Dialect::OpenaiResponses
        | Dialect::BedrockConverse
        | Dialect::CohereChat => Some(envelope::PREFIX),
        Dialect::Gemini => Some(gemini::ENVELOPE_PREFIX),
        Dialect::OpenaiChat => None,
    }
}

/// The tools of a request that [`encode_request`] sends under another name, for [`AnswerStyle::renames`].
pub fn renames(dialect: Dialect, request: &Request) -> Renames {
    match dialect {
        Dialect::OpenaiChat => openai_chat::renames(request),
        Dialect::AnthropicMessages => anthropic_messages::renames(request),
        Dialect::Gemini => gemini::renames(request),
        Dialect::OpenaiResponses => openai_responses::renames(request),
        Dialect::BedrockConverse => bedrock_converse::renames(request),
        Dialect::CohereChat => cohere_chat::renames(request),
    }
}

/// Reads a whole answer.
///
/// # Errors
/// The answer is not what the dialect says.
pub fn decode_response(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_response(body),
        Dialect::AnthropicMessages => anthropic_messages::decode_response(body),
        Dialect::Gemini => gemini::decode_response(body),
        Dialect::OpenaiResponses => openai_responses::decode_response(body),
        Dialect::BedrockConverse => bedrock_converse::decode_response(body),
        Dialect::CohereChat => cohere_chat::decode_response(body),
    }
}

/// A provider's usage object as it told it, in one or in several parts; empty if it told none.
pub fn usage_object(dialect: Dialect, usage: &Usage, service_tier: Option<&str>) -> String {
    match dialect {
        // The bag of the others holds all members. Numbers of ours are nobody's words.
        Dialect::AnthropicMessages if !usage.estimated => {
            anthropic_messages::usage::text(usage, service_tier)
        }
        _ if usage.ext.is_empty() => String::new(),
        _ => RawJson::object_text(&usage.ext),
    }
}

/// Writes a whole answer; what it cannot express is added to `losses`.
pub fn encode_response(
    dialect: Dialect,
    response: &Response,
    style: &AnswerStyle,
    losses: &mut Losses,
) -> Vec<u8> {
    let mut response = style.renames.restore(response);
    if response.id.is_empty()
        && response.origin != dialect
        && let Some(id) = made_id(dialect, style)
    {
        response.to_mut().id = id;
    }
    if let Some(model) = &style.model
        && response.model.is_empty()
        && response.origin != dialect
    {
        response.to_mut().model.clone_from(model);
    }
    let response = &*response;
    let response = &*unsaid::leave_out(response, dialect);
    if let (Dialect::OpenaiChat, Some(style)) = (dialect, &style.completion) {
        return completions::encode_response(response, style, losses);
    }
    match dialect {
        Dialect::OpenaiChat => {
            let style = openai_chat::ResponseStyle {
                created_s: style.created_s,
                finish_reason: style.finish_reason(),
                legacy_functions: style.legacy_functions,
            };
            openai_chat::encode_response(response, &style, losses)
        }
        Dialect::AnthropicMessages if style.manners == Manners::Apisix => {
            apisix::encode_response(response, style.model.as_deref())
        }
        Dialect::AnthropicMessages => anthropic_messages::encode_response(response, losses),
        Dialect::Gemini => gemini::encode_response(response, losses),
        Dialect::OpenaiResponses => {
            let style = openai_responses::ResponseStyle {
                created_s: style.created_s,
                echo: style.echo.clone(),
            };
            openai_responses::encode_response(response, &style, losses)
        }
        Dialect::BedrockConverse => bedrock_converse::encode_response(response, losses),
        Dialect::CohereChat => cohere_chat::encode_response(response, losses),
    }
}

/// An id for an answer whose provider gives none, as ids look in the dialect.
fn made_id(dialect: Dialect, style: &AnswerStyle) -> Option<String> {
    let call = style
        .request_id
        .as_deref()
        .filter(|_| style.manners == Manners::Own)?;
    Some(match dialect {
        Dialect::OpenaiChat if style.completion.is_some() => format!("cmpl-{call}"),
        Dialect::OpenaiChat => format!("chatcmpl-{call}"),
        Dialect::AnthropicMessages => format!("msg_{call}"),
        Dialect::OpenaiResponses => format!("resp_{call}"),
        Dialect::Gemini | Dialect::BedrockConverse | Dialect::CohereChat => call.to_owned(),
    })
}

/// Reads an error answer, whatever it looks like.
pub fn decode_error(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_error(status, body),
        Dialect::AnthropicMessages => anthropic_messages::decode_error(status, body),
        Dialect::Gemini => gemini::decode_error(status, body),
        Dialect::OpenaiResponses => openai_responses::decode_error(status, body),
        Dialect::BedrockConverse => bedrock_converse::decode_error(status, body),
        Dialect::CohereChat => cohere_chat::decode_error(status, body),
    }
}

/// Reads an error that came inside a stream or an answer with a status of success: its status follows from its meaning.
pub fn decode_error_inside(dialect: Dialect, document: &str) -> ProviderError {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_unnumbered(document),
        Dialect::AnthropicMessages => anthropic_messages::decode_stream_error(document),
        Dialect::Gemini => gemini::decode_error_inside(document),
        Dialect::OpenaiResponses => openai_responses::decode_error_inside(document),
        Dialect::BedrockConverse => bedrock_converse::decode_error_inside(document),
        Dialect::CohereChat => cohere_chat::decode_error_inside(document),
    }
}

/// Writes an error answer.
pub fn encode_error(dialect: Dialect, error: &ProviderError, request_id: Option<&str>) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::encode_error(error),
        Dialect::AnthropicMessages => anthropic_messages::encode_error(error, request_id),
        Dialect::Gemini => gemini::encode_error(error),
        Dialect::OpenaiResponses => openai_responses::encode_error(error),
        Dialect::BedrockConverse => bedrock_converse::encode_error(error),
        Dialect::CohereChat => cohere_chat::encode_error(error, request_id),
    }
}

/// Reads a streamed answer from chunks cut anywhere.
#[derive(Debug)]
pub enum StreamDecoder {
    /// OpenAI Chat Completions.
    OpenaiChat(openai_chat::StreamDecoder),
    /// Anthropic Messages.
    AnthropicMessages(anthropic_messages::StreamDecoder),
    /// Gemini.
    Gemini(gemini::StreamDecoder),
    /// OpenAI Responses.
    OpenaiResponses(openai_responses::StreamDecoder),
    /// Amazon Bedrock Converse.
    BedrockConverse(bedrock_converse::StreamDecoder),
    /// Cohere Chat v2.
    CohereChat(cohere_chat::StreamDecoder),
}

impl StreamDecoder {
    /// A decoder at the beginning of a stream. Events above `max_event_bytes` are refused.
    pub fn new(dialect: Dialect, max_event_bytes: usize) -> Self {
        match dialect {
            Dialect::OpenaiChat => {
                StreamDecoder::OpenaiChat(openai_chat::StreamDecoder::new(max_event_bytes))
            }
            Dialect::AnthropicMessages => {
                StreamDecoder::AnthropicMessages(anthropic_messages::StreamDecoder::new(max_event_bytes))
            }
            Dialect::Gemini => StreamDecoder::Gemini(gemini::StreamDecoder::new(max_event_bytes)),
            Dialect::OpenaiResponses => {
                StreamDecoder::OpenaiResponses(openai_responses::StreamDecoder::new(max_event_bytes))
            }
            Dialect::BedrockConverse => {
                StreamDecoder::BedrockConverse(bedrock_converse::StreamDecoder::new(max_event_bytes))
            }
            Dialect::CohereChat => {
                StreamDecoder::CohereChat(cohere_chat::StreamDecoder::new(max_event_bytes))
            }
        }
    }

    /// Takes the next bytes and reports the events they complete.
    ///
    /// # Errors
    /// The bytes are not what the dialect says.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        match self {
            StreamDecoder::OpenaiChat(decoder) => decoder.feed(bytes, sink),
            StreamDecoder::AnthropicMessages(decoder) => decoder.feed(bytes, sink),
            StreamDecoder::Gemini(decoder) => decoder.feed(bytes, sink),
            StreamDecoder::OpenaiResponses(decoder) => decoder.feed(bytes, sink),
            StreamDecoder::BedrockConverse(decoder) => decoder.feed(bytes, sink),
            StreamDecoder::CohereChat(decoder) => decoder.feed(bytes, sink),
        }
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        match self {
            StreamDecoder::OpenaiChat(decoder) => decoder.finish(sink),
            StreamDecoder::AnthropicMessages(decoder) => decoder.finish(sink),
            StreamDecoder::Gemini(decoder) => decoder.finish(sink),
            StreamDecoder::OpenaiResponses(decoder) => decoder.finish(sink),
            StreamDecoder::BedrockConverse(decoder) => decoder.finish(sink),
            StreamDecoder::CohereChat(decoder) => decoder.finish(sink),
        }
    }
}

/// Writes a streamed answer.
#[derive(Debug)]
pub struct StreamEncoder {
    dialect: Dialect,
    encoder: Encoder,
    renames: Renames,
    /// Named where the provider names none.
    model: Option<String>,
    /// Told where the provider tells none.
    id: Option<String>,
    unsaid: Unsaid,
}

#[derive(Debug)]
enum Encoder {
    OpenaiChat(openai_chat::StreamEncoder),
    AnthropicMessages(anthropic_messages::StreamEncoder),
    Gemini(gemini::StreamEncoder),
    OpenaiResponses(openai_responses::StreamEncoder),
    BedrockConverse(bedrock_converse::StreamEncoder),
    CohereChat(cohere_chat::StreamEncoder),
    /// Anthropic Messages in APISIX's manners.
    Apisix(apisix::StreamEncoder),
    /// OpenAI's completions from before chats.
    Completion(completions::StreamEncoder),
}

impl StreamEncoder {
    /// An encoder at the beginning of a stream.
    pub fn new(dialect: Dialect, style: &AnswerStyle) -> Self {
        let encoder = match dialect {
            Dialect::OpenaiChat if style.completion.is_some() => Encoder::Completion(
                completions::StreamEncoder::new(style.completion.clone().unwrap_or_default()),
            ),
            Dialect::OpenaiChat => {
                Encoder::OpenaiChat(openai_chat::StreamEncoder::new(openai_chat::StreamStyle {
                    include_usage: style.include_usage,
                    created_s: style.created_s,
                    finish_reason: style.finish_reason(),
                    legacy_functions: style.legacy_functions,
                }))
            }
            Dialect::AnthropicMessages if style.manners == Manners::Apisix => {
                Encoder::Apisix(apisix::StreamEncoder::new(style.request_id.clone()))
            }
            Dialect::AnthropicMessages => Encoder::AnthropicMessages(anthropic_messages::StreamEncoder::new(
                anthropic_messages::StreamStyle {
                    request_id: style.request_id.clone(),
                    ..anthropic_messages::StreamStyle::default()
                },
            )),
            Dialect::Gemini => Encoder::Gemini(gemini::StreamEncoder::new(gemini::StreamStyle {
                framing: style.framing,
                ..gemini::StreamStyle::default()
            })),
            Dialect::OpenaiResponses => Encoder::OpenaiResponses(openai_responses::StreamEncoder::new(
                openai_responses::StreamStyle {
                    created_s: style.created_s,
                    echo: style.echo.clone(),
                    ..openai_responses::StreamStyle::default()
                },
            )),
            Dialect::BedrockConverse => Encoder::BedrockConverse(bedrock_converse::StreamEncoder::new()),
            Dialect::CohereChat => Encoder::CohereChat(cohere_chat::StreamEncoder::new()),
        };
        StreamEncoder {
            dialect,
            encoder,
            renames: style.renames.clone(),
            model: style.model.clone(),
            id: made_id(dialect, style),
            unsaid: Unsaid::new(dialect),
        }
    }

    /// The start of an answer whose provider does not name it or the model, with an id of ours and the model that was asked;
    /// `None` for all other events.
    fn named(&self, event: &Event<'_>) -> Option<Event<'static>> {
        match event {
            Event::Start {
                origin,
                id,
                model,
                created,
                service_tier,
                ext,
            } if (model.is_empty() || id.is_empty()) && *origin != self.dialect => {
                let given = |told: &String, ours: &Option<String>| match ours {
                    Some(ours) if told.is_empty() => ours.clone(),
                    _ => told.clone(),
                };
                Some(Event::Start {
                    origin: *origin,
                    id: given(id, &self.id),
                    model: given(model, &self.model),
                    created: *created,
                    service_tier: service_tier.clone(),
                    ext: ext.clone(),
                })
            }
            _ => None,
        }
    }

    /// Writes one event; what it cannot express is added to `losses`.
    pub fn encode(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        let changed = self.renames.restore_event(event).or_else(|| self.named(event));
        let event = changed.as_ref().unwrap_or(event);
        match self.unsaid.step(event) {
            Step::Tell => {}
            Step::Leave => return,
            Step::TellAfter(start) => self.write(&start, losses, out),
        }
        self.write(event, losses, out);
    }

    fn write(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        match &mut self.encoder {
            Encoder::OpenaiChat(encoder) => encoder.encode(event, losses, out),
            Encoder::AnthropicMessages(encoder) => encoder.encode(event, losses, out),
            Encoder::Gemini(encoder) => encoder.encode(event, losses, out),
            Encoder::OpenaiResponses(encoder) => encoder.encode(event, losses, out),
            Encoder::BedrockConverse(encoder) => encoder.encode(event, losses, out),
            Encoder::CohereChat(encoder) => encoder.encode(event, losses, out),
            Encoder::Apisix(encoder) => encoder.encode(event, out),
            Encoder::Completion(encoder) => encoder.encode(event, losses, out),
        }
    }
}
