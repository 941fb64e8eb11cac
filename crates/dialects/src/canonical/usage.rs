//! What an answer used, in tokens.
//!
//! One algebra for all dialects: the input counts are disjoint, the output counts are "of which". Each dialect states its
//! own totals (OpenAI's `prompt_tokens` includes cache reads, Anthropic's `input_tokens` does not); the codecs convert, and
//! converting there and back never changes a number.

use super::Ext;

/// Tokens used by one answer. All counts are tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Input tokens read from the provider's cache; `None` if the provider did not say (counted as 0).
    pub cache_read: Option<u64>,
    /// Input tokens written to the provider's cache, all lifetimes together; `None` if not said.
    pub cache_write: Option<u64>,
    /// Of `cache_write`, those kept 5 minutes; `None` if not said.
    pub cache_write_5m: Option<u64>,
    /// Of `cache_write`, those kept 1 hour; `None` if not said.
    pub cache_write_1h: Option<u64>,
    /// Of `input`, tokens that tools of the provider brought into the prompt (results of a search); `None` if not said.
    pub input_tool_use: Option<u64>,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Of `output`, those spent on reasoning; `None` if not said.
    pub reasoning: Option<u64>,
    /// Of the input, audio tokens; `None` if not said.
    pub input_audio: Option<u64>,
    /// Of the input, tokens of images; `None` if not said.
    pub input_image: Option<u64>,
    /// Of the input, tokens of video; `None` if not said.
    pub input_video: Option<u64>,
    /// Of `output`, tokens of images; `None` if not said.
    pub output_image: Option<u64>,
    /// Of `output`, audio tokens; `None` if not said.
    pub output_audio: Option<u64>,
    /// The provider's own total where it differs from input plus output as OpenAI counts them; `None` otherwise.
    pub total: Option<u64>,
    /// Whether the numbers are our estimate because the provider gave none.
    pub estimated: bool,
    /// The provider's usage object as it was written, for exact repetition in the same dialect.
    pub ext: Ext,
}

impl Usage {
    /// All input tokens: fresh, read from cache and written to cache.
    pub fn input_total(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read.unwrap_or(0))
            .saturating_add(self.cache_write.unwrap_or(0))
    }

    /// All tokens, input and output.
    pub fn total(&self) -> u64 {
        self.total
            .unwrap_or_else(|| self.input_total().saturating_add(self.output))
    }
}
