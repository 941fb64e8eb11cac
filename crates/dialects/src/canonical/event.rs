//! A streamed answer as a sequence of events.
//!
//! Order: one [`Event::Start`]; per choice any number of parts, each `PartStart`, `PartDelta`*, `PartStop` with part
//! numbers that count up from 0 within the choice; one [`Event::Stop`] per choice; [`Event::End`] when the dialect's own
//! end mark was seen. Parts of one choice may be open at the same time (OpenAI interleaves tool calls). `Usage` may come
//! at any time, is cumulative, and the last one counts. After `Error` nothing follows.

use std::borrow::Cow;

use super::{Ext, ProviderError, Stop, ToolCallKind, Usage};
use crate::Dialect;
use crate::json::RawJson;

/// One step of a streamed answer. Texts borrow from the decoder's buffer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The answer begins.
    Start {
        /// The dialect of the provider; owns the [`Ext`] bags.
        origin: Dialect,
        /// The provider's id of the answer.
        id: String,
        /// The model that answers.
        model: String,
        /// Seconds since 1970, where the dialect says.
        created: Option<u64>,
        /// `service_tier` as written.
        service_tier: Option<String>,
        /// Members that only the origin dialect knows.
        ext: Ext,
    },
    /// A part begins.
    PartStart {
        /// Number of the choice.
        choice: u64,
        /// Number of the part within the choice.
        part: usize,
        /// What it is.
        kind: PartKind,
    },
    /// A part goes on.
    PartDelta {
        /// Number of the choice.
        choice: u64,
        /// Number of the part within the choice.
        part: usize,
        /// The new piece.
        delta: Delta<'a>,
    },
    /// A part is complete.
    PartStop {
        /// Number of the choice.
        choice: u64,
        /// Number of the part within the choice.
        part: usize,
    },
    /// A choice has ended.
    Stop {
        /// Number of the choice.
        choice: u64,
        /// Why.
        stop: Stop,
    },
    /// What was used so far, cumulative; the last one counts.
    Usage(Usage),
    /// The provider failed in the middle of the stream.
    Error(ProviderError),
    /// A sign of life without content.
    Ping,
    /// A chunk or member that only the origin dialect knows, outside any part (log probabilities, filter results, …).
    Opaque {
        /// What it is, for reports, such as `choices[].logprobs`.
        field: String,
        /// As it was written.
        raw: RawJson,
    },
    /// The dialect's own end mark (`[DONE]`, `message_stop`).
    End,
}

/// What a part of a streamed answer is.
#[derive(Clone, Debug, PartialEq)]
pub enum PartKind {
    /// Text.
    Text,
    /// Readable reasoning. `member` is the name it had (`reasoning_content`, `thinking`, …).
    Reasoning {
        /// The name of the member that held it.
        member: Option<String>,
        /// The id of the tool call whose signature it is, where makers sign calls (Gemini).
        of_call: Option<String>,
    },
    /// Sealed reasoning (Anthropic's `redacted_thinking`), whole.
    RedactedReasoning {
        /// The sealed text.
        data: String,
    },
    /// The model declines.
    Refusal,
    /// A tool call; its arguments follow as [`Delta::Arguments`].
    ToolCall {
        /// The id that the result refers to. Empty if the provider gave none.
        id: String,
        /// The name of the tool.
        name: String,
        /// Function or free text.
        kind: ToolCallKind,
        /// Members that only the origin dialect knows.
        ext: Ext,
    },
    /// A part only its origin dialect knows, as it began.
    Opaque {
        /// Its `type`.
        kind: String,
        /// As it was written.
        raw: RawJson,
    },
}

/// A new piece of a part.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta<'a> {
    /// More text of a [`PartKind::Text`] or [`PartKind::Refusal`] part.
    Text(Cow<'a, str>),
    /// More readable reasoning.
    Reasoning(Cow<'a, str>),
    /// The maker's proof for the reasoning part (a piece of it; pieces are joined).
    Signature(Cow<'a, str>),
    /// More of the arguments, cut anywhere.
    Arguments(Cow<'a, str>),
    /// A piece only the origin dialect knows (citations, annotations, deltas of opaque parts), as written.
    Opaque(RawJson),
}
