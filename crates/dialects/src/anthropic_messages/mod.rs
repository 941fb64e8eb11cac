//! Anthropic Messages, `POST /v1/messages`.
//!
//! Within this dialect nothing is lost: what the canonical form has no field for travels in its bags and is written back,
//! signatures and tool inputs byte by byte. Toward this dialect, requests are brought into its order (one `system`,
//! alternating turns, tool results first) and into what the model takes; what does not fit is reported.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: the order of members, a
//! tool's `"type": "custom"`, empty lists of tools and stop sequences, `"input": {}` where it was missing, and a `system`
//! message at the head of `messages`, which becomes the top-level `system`. In streams, padding and `null`s of
//! `message_delta` are not repeated, and `message_delta` tells the whole usage.

mod encode;
mod error;
mod foreign;
mod ids;
mod media;
mod options;
mod part;
mod request;
mod response;
mod schema;
mod stream;
mod stream_encode;
mod tools;
mod turns;
mod usage;

pub use encode::encode_request;
pub use error::{decode_error, encode_error};
pub use request::decode_request;
pub use response::{decode_response, encode_response};
pub use stream::StreamDecoder;
pub use stream_encode::{StreamEncoder, StreamStyle};
