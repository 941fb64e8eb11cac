//! A whole answer.

use super::{Ext, Part, Usage};
use crate::Dialect;
use crate::json::RawJson;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The dialect it was decoded from; owns the [`Ext`] bags.
    pub origin: Dialect,
    /// The provider's id of the answer.
    pub id: String,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// When it was made, in seconds since 1970; `None` where the dialect does not say.
    pub created: Option<u64>,
    /// The answers; more than one only if the client asked for it.
    pub choices: Vec<Choice>,
    /// What was used; `None` if the provider did not say.
    pub usage: Option<Usage>,
    /// `service_tier` as written (OpenAI writes it beside, Anthropic inside the usage).
    pub service_tier: Option<String>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its number among the choices.
    pub index: u64,
    /// The content in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// Log probabilities in OpenAI's form: `{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`.
    pub logprobs: Option<RawJson>,
    /// Members of the choice that only the origin dialect knows.
    pub ext: Ext,
    /// Members of the choice's message that only the origin dialect knows.
    pub message_ext: Ext,
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stop {
    /// The meaning.
    pub reason: StopReason,
    /// The provider's own word; `None` if it was missing or null.
    pub native: Option<String>,
    /// The stop sequence that was met, where the dialect says.
    pub sequence: Option<String>,
    /// Anthropic's `stop_details`, as written.
    pub details: Option<RawJson>,
}

/// The meaning of a stop reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The model was done.
    #[default]
    End,
    /// A stop sequence was met.
    StopSequence,
    /// The limit of output tokens was met.
    Length,
    /// The context window is full.
    ContextFull,
    /// The model waits for the results of tool calls.
    ToolCalls,
    /// The same, in OpenAI's form from before tools existed.
    LegacyFunctionCall,
    /// The model declined.
    Refusal,
    /// A filter of the provider cut the answer.
    ContentFilter,
    /// A hosted tool ran long; the client may send the answer back to go on.
    Pause,
    /// The model wrote a tool call that cannot be read, or called a tool that it must not.
    Malformed,
    /// A word we do not know; see [`Stop::native`].
    Unknown,
}
