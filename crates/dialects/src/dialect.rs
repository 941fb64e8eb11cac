//! The names of the wire formats.

use std::fmt;

/// A chat wire format. Its text form (`openai_chat`, …) is used in configuration, logs and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI Chat Completions, `POST /v1/chat/completions`.
    OpenaiChat,
    /// Anthropic Messages, `POST /v1/messages`.
    AnthropicMessages,
    /// Gemini, `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    Gemini,
    /// OpenAI Responses, `POST /v1/responses`.
    OpenaiResponses,
    /// Amazon Bedrock Converse, `POST /model/{modelId}/converse` and `…/converse-stream`.
    BedrockConverse,
    /// Cohere Chat v2, `POST /v2/chat`.
    CohereChat,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 6] = [
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::AnthropicMessages,
        Dialect::Gemini,
        Dialect::BedrockConverse,
        Dialect::CohereChat,
    ];

    /// The name used in configuration, logs and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai_chat",
            Dialect::AnthropicMessages => "anthropic_messages",
            Dialect::Gemini => "gemini_generate",
            Dialect::OpenaiResponses => "openai_responses",
            Dialect::BedrockConverse => "bedrock_converse",
            Dialect::CohereChat => "cohere_chat",
        }
    }

    /// The dialect of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
