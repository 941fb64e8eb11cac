//! Wire formats of the LLM APIs and the translation between them: bytes in, bytes out.
//!
//! This crate knows how each dialect writes a request, an answer, a stream and an error. It refuses to know sockets,
//! clocks, HTTP and configuration. Translation goes through one [`canonical`] form, so that each dialect is one codec:
//!
//! ```text
//! client bytes -> decode (client's dialect) -> canonical -> encode (provider's dialect) -> provider bytes
//! ```
//!
//! What a target cannot express is written into a [`Losses`] report and never dropped in silence.

pub mod anthropic_messages;
pub mod apisix;
pub mod bedrock_converse;
pub mod canonical;
mod capabilities;
pub mod codec;
pub mod cohere_chat;
pub mod completions;
pub mod count_tokens;
mod dialect;
pub mod embeddings;
mod envelope;
pub mod estimate;
mod foreign;
pub mod gemini;
pub mod glance;
pub mod json;
mod loss;
pub mod models;
mod names;
mod one_at_a_time;
pub mod openai_chat;
pub mod openai_responses;
pub mod passing;
mod path;
pub mod rerank;
pub mod scan;
pub mod sse;
mod target;
mod tool_names;
mod unsaid;

pub use dialect::Dialect;
pub use loss::{Effect, Loss, Losses};
pub use target::{Capabilities, Target};
pub use tool_names::Renames;
