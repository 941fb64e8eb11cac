//! Anthropic Messages, `POST /v1/messages` and `/v1/messages/count_tokens`.
//!
//! Within this dialect nothing is lost: what the canonical form has no field for travels in its bags and is written back,
//! signatures and tool inputs byte by byte. Toward this dialect, requests are brought into its order (one `system`,
//! alternating turns, tool results first) and into what the model takes; what does not fit is reported.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: the order of members, empty
//! lists of tools and stop sequences (left out), an `input` or `input_schema` that was missing (added), and a `system`
//! message at the head of `messages`, which becomes the top-level `system`. In streams, padding, comments and the `null`s
//! of `message_delta` are not repeated, `message_delta` tells the whole usage, and a tool call without any piece of input
//! gets the piece `{}`.

mod answer_tool;
mod cache;
mod count_tokens;
mod encode;
mod error;
mod frame;
mod ids;
mod media;
mod options;
mod part;
mod request;
mod response;
mod schema;
mod stream;
mod stream_encode;
mod thinking;
mod tools;
mod turns;
pub(crate) mod usage;

pub use answer_tool::{AnswerUnwrapper, unwrap_answer};
pub(crate) use answer_tool::{NAME as ANSWER_TOOL, tool as answer_tool};
pub(crate) use cache::carry_over;
pub use count_tokens::{
    decode_count_tokens_request, decode_token_count, encode_count_tokens_request, encode_token_count,
};
pub(crate) use encode::write_thinking;
pub use encode::{encode_request, renames};
pub use error::{decode_error, decode_stream_error, encode_error};
pub(crate) use frame::{write_delta, write_event, write_frame};
pub use ids::ENVELOPE_PREFIX;
pub(crate) use options::{Sampling, fit_sampling, stop, unknown_here};
pub use request::decode_request;
pub(crate) use request::take_thinking;
pub use response::{decode_response, encode_response};
pub(crate) use schema::close_objects;
pub use stream::StreamDecoder;
pub use stream_encode::{StreamEncoder, StreamStyle};
pub(crate) use thinking::{Thought, nearest_effort, think};
pub(crate) use tools::{Tools, build as fit_tools};
