//! The one form that every dialect decodes into and encodes from.
//!
//! It holds the union of what the dialects can say. What only the origin dialect understands travels in an [`Ext`] bag
//! beside the part it belongs to: the origin's own encoder writes it back, every other encoder reports it as lost.

mod collect;
mod error;
mod event;
mod message;
mod request;
mod response;
mod tokens;
mod usage;

pub use collect::Collector;
pub(crate) use collect::split_choice;
pub use error::{DecodeError, ErrorKind, ProviderError};
pub use event::{Delta, Event, PartKind};
pub use message::{
    CacheHint, ContentForm, Ext, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, Text,
    ToolCall, ToolCallKind, ToolResult,
};
pub use request::{Effort, ReasoningRequest, Request, ResponseFormat, Thinking, Tool, ToolChoice, ToolKind};
pub use response::{Choice, Response, Stop, StopReason};
pub use tokens::TokenCount;
pub use usage::Usage;
