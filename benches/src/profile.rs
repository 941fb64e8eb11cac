//! What the provider of the benchmark answers with: known to the provider, which writes it, and to the load, which checks it.

use serde::{Deserialize, Serialize};

/// How the provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Pieces of text of a stream.
    pub chunks: u32,
    /// Time between two pieces, in microseconds.
    pub chunk_delay_us: u64,
    /// Time before the first byte of an answer, in microseconds.
    pub think_us: u64,
    /// Bytes of the text of an answer that is no stream, about.
    pub answer_bytes: usize,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            chunks: 200,
            chunk_delay_us: 0,
            think_us: 0,
            answer_bytes: 400,
        }
    }
}

/// What stands before the number of a request, in its text and in the answer to it.
pub const NONCE: &str = "nonce-";

/// Hexadecimal digits of that number.
pub const NONCE_DIGITS: usize = 16;

/// What begins every piece of text of a stream; the time of sending follows.
pub const PIECE: &str = "@at";

/// Decimal digits of the time: microseconds since 1970.
pub const TIME_DIGITS: usize = 16;

/// Now, in microseconds since 1970.
pub fn now_us() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
