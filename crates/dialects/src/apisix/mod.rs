//! APISIX's own translation between an Anthropic Messages client and an OpenAI Chat provider, for those who ask for it to the
//! letter (`compat.apisix: strict`).
//!
//! It is not a variant of the codecs but another idea of translation: the request is rebuilt from a fixed list of members,
//! whatever is on no list is left out, no member has to have the right type, and no model is known. So a request goes from
//! bytes to bytes here, without the canonical form; answers are read by the codecs as always and only written differently.
//! Members and blocks that are left out are told all the same, except for cache breakpoints and notes within a block.

mod answer;
mod request;
mod schema;
mod stream;
mod turns;

pub(crate) use answer::encode_response;
pub use answer::error_answer;
pub use request::{Rebuilt, rebuild_request};
pub(crate) use stream::StreamEncoder;
