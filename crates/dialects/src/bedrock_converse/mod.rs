//! Amazon Bedrock Converse, `POST /model/{modelId}/converse`, `…/converse-stream` and `…/count-tokens`.
//!
//! The model and whether to stream stand in the address, not in the body; whoever knows the address says both. Within this
//! dialect nothing is lost: what the canonical form has no field for travels in its bags and is written back, signatures,
//! sealed reasoning and arguments byte by byte. Toward this dialect, requests are brought into its order (`system` apart,
//! alternating turns, results before texts) and into what the model takes.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: empty lists and objects of
//! options are left out, members that are `null` in a union too; a tool without a schema gets one. In streams, padding and
//! empty pieces are left out, `messageStop` and `metadata` come at the end in this order, and a call without pieces of arguments gets the piece
//! `{}`.

mod additional;
mod answer;
mod count_tokens;
mod documents;
mod encode;
mod error;
mod event_stream;
mod ids;
mod media;
mod options;
mod part;
mod request;
mod response;
mod stop;
mod stream;
mod stream_encode;
mod tools;
mod turns;
mod usage;
mod write_part;

pub(crate) use additional::{effort_place, top_k_place};
pub use count_tokens::{
    decode_count_tokens_request, decode_token_count, encode_count_tokens_request, encode_token_count,
};
pub use encode::{encode_request, renames};
pub use error::{
    decode_error, decode_error_inside, decode_named_error, encode_error, exception_name, exception_status,
};
pub(crate) use part::{CACHE_POINT, CITATIONS, JSON, LEADING_POINT};
pub(crate) use request::ROLE;
pub use request::decode_request;
pub use response::{decode_response, encode_response};
pub use stream::StreamDecoder;
pub use stream_encode::StreamEncoder;
