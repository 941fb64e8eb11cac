//! Cohere Chat v2, `POST /v2/chat`. The legacy Chat v1 (`message`, `chat_history`, `preamble`) is not translated.
//!
//! Within this dialect nothing is lost: what the canonical form has no field for travels in its bags and is written back,
//! arguments and schemas byte by byte. Toward this dialect, requests are brought into its order (all results of a turn's
//! calls right behind it, in the order of the calls) and into the ranges it takes; what does not fit is reported.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: the order of members; an id
//! of a tool call that was missing is added; a `null` inside `response_format` is left out. In streams, `message-end` tells
//! its members in our order, each `citation-start` is closed at once, citations are counted through, and a text that
//! stands in a `content-start` follows as a `content-delta`.

mod bag;
mod content;
mod encode;
mod error;
mod ids;
mod logprobs;
mod messages;
mod options;
mod request;
mod response;
mod stop;
mod stream;
mod stream_encode;
mod stream_events;
mod tools;
mod turns;
mod usage;
mod wire;

pub use encode::{encode_request, renames};
pub use error::{decode_error, decode_error_inside, encode_error};
pub use request::decode_request;
pub use response::{decode_response, encode_response};
pub use stream::StreamDecoder;
pub use stream_encode::StreamEncoder;

/// What every envelope begins with that reasoning of other makers travels in through this dialect.
pub const ENVELOPE_PREFIX: &str = crate::envelope::PREFIX;

/// The member, and the `type`, of reasoning that stands in the content.
pub(crate) const THINKING: &str = "thinking";
/// The member that holds what the model means to do with its tools.
pub(crate) const TOOL_PLAN: &str = "tool_plan";
