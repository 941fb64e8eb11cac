//! What `ai-proxy` and `ai-proxy-multi` know of LLM vendors: where a request goes, how its body, headers and signature are
//! made, and what an answer says about itself.
//!
//! Everything here takes values and gives values. It refuses to know connections, attempts, retries and the client's
//! connection; only [`gcp`] and [`semantic`] wait for anything, and what they wait with is handed in.

pub mod aws;
pub mod catalogue;
pub mod config;
pub mod cost;
pub mod gcp;
pub mod headers;
pub mod output;
pub(crate) mod percent;
pub mod protocol;
pub mod reading;
pub mod semantic;
pub mod shape;
pub mod target;
pub mod vertex;
