//! Gemini, `POST /v1beta/models/{model}:generateContent`, `:streamGenerateContent` and `:countTokens`, at Google's Gemini
//! API and at Vertex.
//!
//! The model and whether to stream stand in the address, not in the body; whoever knows the address says both. Within this
//! dialect nothing is lost: what the canonical form has no field for travels in its bags and is written back, signatures
//! and arguments byte by byte.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: `snake_case` becomes
//! `camelCase`, words such as `none` and `low` capital letters, a single object where a list belongs a list; a `role`,
//! `index` or `args` that was missing is added; base64 of media is in the standard alphabet; a `model` in the body is left out; all functions stand in one tool and each
//! tool of the provider in one of its own; empty lists and objects of options are left out. In streams, texts are not cut
//! at the same places, and why the answer ended stands in a document of its own.

mod count_tokens;
mod documents;
mod encode;
mod error;
pub(crate) mod fields;
mod fit_tools;
mod ids;
mod logprobs;
mod options;
mod part;
mod partial;
mod plain;
mod request;
mod response;
mod schema_in;
mod schema_out;
mod stop;
mod stream;
mod stream_encode;
mod time;
mod tools;
mod turns;
mod usage;
mod write_part;

pub use count_tokens::{
    decode_count_tokens_request, decode_token_count, encode_count_tokens_request, encode_token_count,
};
pub use encode::{encode_request, renames};
pub use error::{decode_error, decode_error_inside, encode_error, retry_after_ms};
pub use part::ENVELOPE_PREFIX;
pub(crate) use part::{ALONE, TEXT, THOUGHT};
pub use request::decode_request;
pub use response::{decode_response, encode_response};
pub use stream::StreamDecoder;
pub use stream_encode::{Framing, StreamEncoder, StreamStyle};
