//! What an answer costs: which of its tokens count, or what a formula says.

use tollgate_dialects::canonical::Usage;
use tollgate_policy::cost::{CostError, CostExpr};
use tollgate_telemetry::TokenUsage;

use super::config::Strategy;
use crate::ai::protocol::Protocol;

/// What is counted of an answer.
pub(crate) enum Cost {
    /// All tokens.
    Total,
    /// Those of the request.
    Prompt,
    /// Those of the answer.
    Completion,
    /// What a formula says.
    Formula(CostExpr),
}

/// What an attempt has used.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// The tokens as the access log tells them.
    pub tokens: TokenUsage,
    /// The same in detail, with what the provider wrote.
    pub usage: &'a Usage,
    /// The API whose words the provider's are; `None` if its answer was decoded.
    pub api: Option<Protocol>,
}

impl Cost {
    /// # Errors
    /// There is no formula, or it is none; in the words of APISIX.
    pub(super) fn new(strategy: Strategy, formula: Option<&str>) -> Result<Cost, String> {
        Ok(match strategy {
            Strategy::TotalTokens => Cost::Total,
            Strategy::PromptTokens => Cost::Prompt,
            Strategy::CompletionTokens => Cost::Completion,
            Strategy::Expression => {
                let formula = formula
                    .filter(|formula| !formula.is_empty())
                    .ok_or("cost_expr is required when limit_strategy is 'expression'")?;
                let formula =
                    CostExpr::parse(formula).map_err(|error| format!("invalid cost_expr: {error}"))?;
                Cost::Formula(formula)
            }
        })
    }

    /// The cost of what was used.
    ///
    /// # Errors
    /// The formula has no value.
    pub(crate) fn of(&self, used: &Used<'_>) -> Result<u64, CostError> {
        match self {
            Cost::Total => Ok(used.tokens.total),
            Cost::Prompt => Ok(used.tokens.prompt),
            Cost::Completion => Ok(used.tokens.completion),
            Cost::Formula(formula) => of_formula(formula, used),
        }
    }

    /// The cost of so many tokens of a request and of an answer that nobody has counted yet.
    ///
    /// # Errors
    /// The formula has no value.
    pub(crate) fn estimate(&self, input: u64, output: u64) -> Result<u64, CostError> {
        let usage = Usage {
            input,
            output,
            estimated: true,
            ..Usage::default()
        };
        self.of(&Used {
            tokens: TokenUsage {
                prompt: input,
                completion: output,
                total: input.saturating_add(output),
                ..TokenUsage::default()
            },
            usage: &usage,
            api: None,
        })
    }
}

/// Under which names a formula finds the counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    OpenaiChat,
    OpenaiResponses,
    Anthropic,
    Bedrock,
}

const ALL_WORDS: [Words; 4] = [
    Words::OpenaiChat,
    Words::OpenaiResponses,
    Words::Anthropic,
    Words::Bedrock,
];

fn of_formula(formula: &CostExpr, used: &Used<'_>) -> Result<u64, CostError> {
    let written = |name: &str| -> Option<f64> { used.usage.ext.get(name)?.text().parse().ok() };
    let is_whole = !used.usage.estimated && used.usage.ext.iter().any(|(name, _)| is_count(name));
    if is_whole {
        return formula.cost(&written);
    }
    // Not all of it was written by the provider: what we know is told in its words, or in those in which it costs most where
    // we do not know which are the provider's.
    let words = match used.api {
        Some(Protocol::OpenaiChat | Protocol::OpenaiEmbeddings) => &ALL_WORDS[..1],
        Some(Protocol::OpenaiResponses) => &ALL_WORDS[1..2],
        Some(Protocol::AnthropicMessages) => &ALL_WORDS[2..3],
        Some(Protocol::BedrockConverse) => &ALL_WORDS[3..],
        // Decoding takes the counts only out of Anthropic's words; OpenAI's are kept.
        None if !used.usage.estimated => &ALL_WORDS[2..3],
        None | Some(Protocol::VertexPredict | Protocol::Passthrough) => &ALL_WORDS[..],
    };
    let mut most: Result<u64, CostError> = Err(CostError::NotFinite);
    for words in words {
        let cost = formula.cost(&|name| {
            words
                .count(name, used.usage)
                .map(as_number)
                .or_else(|| written(name).filter(|_| !is_count(name)))
        });
        most = match (most, cost) {
            (Ok(most), Ok(cost)) => Ok(most.max(cost)),
            (Err(_), cost) => cost,
            (most, Err(_)) => most,
        };
    }
    most
}

impl Words {
    fn count(self, name: &str, usage: &Usage) -> Option<u64> {
        let (cached, written) = (usage.cache_read.unwrap_or(0), usage.cache_write.unwrap_or(0));
        Some(match (self, name) {
            (Words::OpenaiChat, "prompt_tokens") | (Words::OpenaiResponses, "input_tokens") => {
                usage.input_total()
            }
            (Words::OpenaiChat, "completion_tokens") => usage.output,
            (Words::OpenaiResponses | Words::Anthropic, "output_tokens") => usage.output,
            (Words::OpenaiChat | Words::OpenaiResponses, "total_tokens") => usage.total(),
            (Words::Anthropic, "input_tokens") | (Words::Bedrock, "inputTokens") => usage.input,
            (Words::Anthropic, "cache_read_input_tokens") | (Words::Bedrock, "cacheReadInputTokens") => {
                cached
            }
            (Words::Anthropic, "cache_creation_input_tokens") | (Words::Bedrock, "cacheWriteInputTokens") => {
                written
            }
            (Words::Bedrock, "outputTokens") => usage.output,
            (Words::Bedrock, "totalTokens") => usage.total(),
            _ => return None,
        })
    }
}

/// Whether a provider calls a count so that is known without its word.
fn is_count(name: &str) -> bool {
    let some = Usage::default();
    ALL_WORDS.iter().any(|words| words.count(name, &some).is_some())
}

/// Counts of tokens are far below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "formulas calculate with floating-point numbers"
)]
fn as_number(count: u64) -> f64 {
    count as f64
}
