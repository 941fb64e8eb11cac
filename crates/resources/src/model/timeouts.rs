//! How long the parts of an attempt may take.

use serde::Serialize;

/// Time limits of one attempt at one instance, in milliseconds. Running into one counts as a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS together.
    pub connect_ms: u64,
    /// From the request being sent to the first byte of the answer's body.
    pub first_byte_ms: u64,
    /// Between two chunks of an answer.
    pub between_chunks_ms: u64,
    /// The whole attempt, from connecting to the last byte.
    pub total_ms: u64,
}

impl Timeouts {
    /// A handshake around the world takes well below a second; five allow for a lost packet or two and a slow resolver,
    /// and still leave a caller patience for the fallback.
    pub const DEFAULT_CONNECT_MS: u64 = 5_000;
    /// An answer that is not streamed has its first byte when the model is done. Reasoning models think for minutes, so
    /// the first byte gets as long as the whole attempt; lower it where models are known to be quick.
    pub const DEFAULT_FIRST_BYTE_MS: u64 = 600_000;
    /// Vendors send a token or a ping at least every few seconds while they stream; a minute of silence is a dead stream.
    pub const DEFAULT_BETWEEN_CHUNKS_MS: u64 = 60_000;
    /// The vendors' SDKs give up after ten minutes: nobody would read a later answer.
    pub const DEFAULT_TOTAL_MS: u64 = 600_000;
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect_ms: Timeouts::DEFAULT_CONNECT_MS,
            first_byte_ms: Timeouts::DEFAULT_FIRST_BYTE_MS,
            between_chunks_ms: Timeouts::DEFAULT_BETWEEN_CHUNKS_MS,
            total_ms: Timeouts::DEFAULT_TOTAL_MS,
        }
    }
}
