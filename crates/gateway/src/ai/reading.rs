//! Reads answers that are passed on, for accounting, without changing them.

use tollgate_dialects::canonical::Usage;

use super::protocol::Protocol;

/// How an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON document.
    Json,
    /// Server-sent events.
    Sse,
    /// Amazon's frames.
    AwsEventStream,
}

/// What an answer says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Tokens, as far as said.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<String>,
    /// Whether the answer is complete: its last event was seen, or its document is whole.
    pub ended: bool,
    /// What the vendor says went wrong: its code or type.
    pub failed: Option<String>,
    /// Whether any part of the answer itself was seen.
    pub content_seen: bool,
    /// Whether tools are called.
    pub tool_calls: bool,
    /// The text of the answer, as far as it is kept.
    pub text: Option<String>,
}

/// Reads one answer.
pub struct Reader {
    facts: Facts,
}

impl Reader {
    /// The beginning of an answer in `protocol`. `max_text_bytes` of its text are kept; 0 keeps none.
    pub fn new(protocol: Protocol, framing: Framing, max_text_bytes: usize) -> Self {
        let _ = (protocol, framing, max_text_bytes);
        Reader {
            facts: Facts::default(),
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// What is known so far.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The answer has ended.
    pub fn finish(self) -> Facts {
        self.facts
    }
}
