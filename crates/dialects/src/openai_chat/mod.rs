//! OpenAI Chat Completions (`POST /v1/chat/completions`), with the members that compatible providers add to it.
//!
//! Knows every shape of this dialect seen in real traffic and translates it to and from the canonical form. Refuses to
//! know which provider it talks to: differences between providers are told by the documents themselves.
//!
//! What has no canonical field stays in the nearest [`Ext`](crate::canonical::Ext) bag, under the name it had. Two
//! conventions keep spellings apart without inventing fields:
//! * **Marks.** A `null` in a bag beside a canonical value says that the value was spelled with that member
//!   (`max_completion_tokens`, `user`, `functions`, …). A `null` says nothing to other dialects, so it is never a loss.
//! * **Inner members.** What is left of a nested object (`function`, `stream_options`) stays as an object under its name.

mod content;
mod effort;
mod error;
pub(crate) mod ext;
mod from_responses;
mod messages;
mod plain;
mod reasoning;
mod request;
mod response;
mod stop;
mod stream;
mod stream_calls;
mod stream_choice;
mod stream_encoder;
mod stream_pieces;
mod tools;
pub(crate) mod usage;
mod write_messages;

pub(crate) use content::{address_of, source_of};
pub(crate) use effort::for_foreign as effort_for;
pub use error::{decode_error, decode_unnumbered, encode_error, error_in_answer};
pub(crate) use request::service_tier;
pub use request::{decode_request, encode_request, renames, uses_legacy_functions};
pub use response::{ResponseStyle, decode_response, encode_response};
pub use stop::FinishReasonStyle;
pub use stream::StreamDecoder;
pub use stream_encoder::{StreamEncoder, StreamStyle};
pub(crate) use tools::take_arguments;
