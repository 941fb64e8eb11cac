//! OpenAI's completions from before chats, `POST /v1/completions`: a client that still speaks them reaches any chat model.
//!
//! The prompt becomes the only message of a chat, and the answer's text comes back as a `text_completion`. Where the
//! provider has this address, too, nothing here is needed: bytes pass as they are.
//!
//! A chat model answers a prompt, and does not go on writing it; this is the approximation that the client asks for by
//! naming such a model. Without `max_tokens` it answers at its own length, where the old models stopped after 16 tokens.

mod ask;
mod response;
mod stream;

use crate::canonical::{Response, StopReason};
use crate::loss::Losses;

pub use ask::{Asked, decode_request, respelled};
pub use response::{decode_response, encode_response};
pub use stream::StreamEncoder;

/// How answers are written where the chat's answer leaves it open; see [`Asked::style`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Seconds since 1970, used when the answer does not say when it was made.
    pub created_s: u64,
    /// The prompt, if the client wants it before the answer (`echo`).
    pub echo: Option<String>,
    /// Whether a stream ends with a chunk of usage.
    pub include_usage: bool,
}

const OBJECT: &str = "text_completion";
const NO_REASONING: &str = "the answer is one text, without the model's reasoning";
const NO_CALLS: &str = "the answer is one text, without calls of tools";
const NO_PLACE: &str = "the answer has no place for it";

const fn word_of(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Length | StopReason::ContextFull => "length",
        StopReason::Refusal | StopReason::ContentFilter => "content_filter",
        StopReason::End
        | StopReason::StopSequence
        | StopReason::ToolCalls
        | StopReason::LegacyFunctionCall
        | StopReason::Pause
        | StopReason::Malformed
        | StopReason::Unknown => "stop",
    }
}

/// Whether the answer was one of this dialect already.
fn is_own(response: &Response) -> bool {
    let object = response.ext.get("object").and_then(|raw| raw.as_string());
    object.is_some_and(|object| object.starts_with("text"))
}

fn report_service_tier(tier: Option<&str>, losses: &mut Losses) {
    if tier.is_some() {
        losses.dropped("service_tier", NO_PLACE);
    }
}
