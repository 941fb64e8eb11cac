//! What an encoder must know about the model it writes for.

use crate::canonical::Effort;

/// The model a request is encoded for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model's name at the provider.
    pub model: &'a str,
    /// What the model accepts.
    pub capabilities: &'a Capabilities,
    /// `max_tokens` where the dialect demands it and the client gave none: the route's cap. `None`: the model's own limit.
    pub default_max_output_tokens: Option<u64>,
}

/// What a model accepts. Models of one dialect differ, so names alone decide nothing; see [`Capabilities::of`].
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    /// Most output tokens the model can be asked for; `None` if unknown.
    pub max_output_tokens: Option<u64>,
    /// Whether `temperature`, `top_p` and `top_k` are accepted.
    pub sampling: bool,
    /// Whether thinking may be left to the model (Anthropic's `adaptive`).
    pub adaptive_thinking: bool,
    /// Whether thinking with a fixed budget of tokens is accepted (Anthropic's `enabled`).
    pub budget_thinking: bool,
    /// Whether thinking cannot be switched off.
    pub thinking_always_on: bool,
    /// Whether the model reasons at all.
    pub reasoning: bool,
    /// The efforts it accepts, from least to most; `None` if unknown.
    pub efforts: Option<Vec<Effort>>,
    /// Whether a tool call may be forced.
    pub forced_tool_use: bool,
    /// Whether the last message may be the beginning of the answer.
    pub assistant_prefill: bool,
    /// Whether system messages may stand between other messages.
    pub mid_conversation_system: bool,
    /// Whether answers can be bound to a JSON schema without a forced tool.
    pub native_structured_output: bool,
    /// Whether thinking is asked for by a level instead of a budget of tokens (Gemini's `thinkingLevel`).
    pub thinking_levels: bool,
    /// Whether the model takes Claude's options where a dialect has a place for a model's own (Bedrock's
    /// `additionalModelRequestFields`).
    pub claude_options: bool,
    /// Whether schemas may be JSON Schema; if not, only the older subset of it is taken (Gemini's `parameters`).
    pub json_schema: bool,
}
