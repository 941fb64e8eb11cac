//! A request for a chat completion.

use super::{CacheHint, Ext, Message};
use crate::Dialect;
use crate::json::RawJson;

/// A request for a chat completion, independent of the dialect that asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect it was decoded from; owns the [`Ext`] bags.
    pub origin: Dialect,
    /// The model as the client named it.
    pub model: String,
    /// All turns. Anthropic's top-level `system` is the leading [`super::Role::System`] message.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether and which tool must be called; `None` if not said.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once; `None` if not said.
    pub parallel_tool_calls: Option<bool>,
    /// Upper bound of output tokens, reasoning included; `None` if not said.
    pub max_output_tokens: Option<u64>,
    /// Sampling temperature as written (a JSON number).
    pub temperature: Option<RawJson>,
    /// Nucleus sampling as written (a JSON number).
    pub top_p: Option<RawJson>,
    /// Top-k sampling as written (a JSON number).
    pub top_k: Option<RawJson>,
    /// Texts that end the answer. Empty if there are none.
    pub stop: Vec<String>,
    /// Whether the answer is to be streamed; `None` if not said.
    pub stream: Option<bool>,
    /// Whether the client asked for usage in the stream (`stream_options.include_usage`); `None` if not said.
    pub include_usage: Option<bool>,
    /// How much the model may think; `None` if not said.
    pub reasoning: Option<ReasoningRequest>,
    /// The form of the answer; `None` if not said.
    pub response_format: Option<ResponseFormat>,
    /// An opaque id of the end user (OpenAI's `safety_identifier` or `user`, Anthropic's `metadata.user_id`).
    pub user: Option<String>,
    /// `service_tier` as written.
    pub service_tier: Option<String>,
    /// How many answers are wanted (OpenAI's `n`); `None` if not said.
    pub choices: Option<u64>,
    /// Seed of the sampling as written (a JSON number).
    pub seed: Option<RawJson>,
    /// Penalty for tokens that have occurred, as written (a JSON number).
    pub presence_penalty: Option<RawJson>,
    /// Penalty for tokens by how often they have occurred, as written (a JSON number).
    pub frequency_penalty: Option<RawJson>,
    /// Whether the answer tells the log probabilities of its tokens; `None` if not said.
    pub logprobs: Option<bool>,
    /// For how many other tokens in each place log probabilities are told; `None` if not said.
    pub top_logprobs: Option<u64>,
    /// Members that only the origin dialect knows, in their original order.
    pub ext: Ext,
}

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What kind of tool, and its definition.
    pub kind: ToolKind,
    /// A cache breakpoint after this tool.
    pub cache: Option<CacheHint>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// The kinds of tools.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind {
    /// A function of the caller with JSON arguments.
    Function {
        /// Its name.
        name: String,
        /// What it does, for the model.
        description: Option<String>,
        /// JSON Schema of the arguments, byte-identical; `None` if the function takes none.
        parameters: Option<RawJson>,
        /// Whether the provider must guarantee that arguments follow the schema; `None` if not said.
        strict: Option<bool>,
    },
    /// A free-text tool (OpenAI `custom`).
    Custom {
        /// Its name.
        name: String,
        /// What it does, for the model.
        description: Option<String>,
        /// The grammar of the input, if any.
        format: Option<RawJson>,
    },
    /// A tool that the provider runs, or any other kind only the origin dialect knows, whole.
    Hosted {
        /// Its `type`.
        kind: String,
        /// The definition as it was written.
        raw: RawJson,
    },
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No call.
    None,
    /// Some call.
    Required,
    /// A call of this function.
    Function(String),
    /// Only these functions.
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// Whether one of them must be called; if not, the model decides.
        required: bool,
    },
    /// A choice only the origin dialect knows (custom tools, …), as written.
    Opaque(RawJson),
}

/// How much the model may think.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReasoningRequest {
    /// The effort, if given as a word.
    pub effort: Option<Effort>,
    /// Anthropic's `thinking` member.
    pub thinking: Option<Thinking>,
    /// Whether the client wants to read the reasoning (Gemini's `includeThoughts`); `None` if not said.
    pub visible: Option<bool>,
}

/// Reasoning effort as a word. Ordered from least to most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// No reasoning.
    None,
    /// The least.
    Minimal,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Extra high.
    Xhigh,
    /// The most the model can do.
    Max,
    /// A word we do not know, as written.
    Other(String),
}

impl Effort {
    /// Reads the word used by OpenAI's `reasoning_effort` and Anthropic's `output_config.effort`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "none" => Effort::None,
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::Xhigh,
            "max" => Effort::Max,
            other => Effort::Other(other.to_owned()),
        }
    }

    /// The word used by OpenAI's `reasoning_effort` and Anthropic's `output_config.effort`.
    pub fn name(&self) -> &str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::Xhigh => "xhigh",
            Effort::Max => "max",
            Effort::Other(name) => name,
        }
    }
}

/// Anthropic's `thinking` member.
#[derive(Clone, Debug, PartialEq)]
pub enum Thinking {
    /// A fixed budget of thinking tokens.
    Enabled {
        /// Tokens, at least 1,024 and below `max_tokens`.
        budget_tokens: u64,
        /// Members beside `type` and `budget_tokens`.
        ext: Ext,
    },
    /// The model decides how much.
    Adaptive {
        /// Members beside `type`.
        ext: Ext,
    },
    /// No thinking.
    Disabled {
        /// Members beside `type`.
        ext: Ext,
    },
    /// Another kind, as written.
    Other(RawJson),
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    /// Free text, said explicitly.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// Its name (OpenAI only).
        name: Option<String>,
        /// What it is for (OpenAI only).
        description: Option<String>,
        /// The schema, byte-identical.
        schema: Option<RawJson>,
        /// Whether the provider must guarantee it; `None` if not said.
        strict: Option<bool>,
        /// Members that only the origin dialect knows.
        ext: Ext,
    },
    /// A form only the origin dialect knows, as written.
    Opaque(RawJson),
}
