//! Random identifiers of traces and spans.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Identifies a trace; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub(super) [u8; 16]);

/// Identifies a span of a trace; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub(super) [u8; 8]);

impl TraceId {
    /// A new one.
    pub fn random() -> TraceId {
        let (high, low) = (random(), random());
        TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The lower half as a number. It is random in every trace, whoever made it.
    pub(super) fn low(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl SpanId {
    /// A new one.
    pub fn random() -> SpanId {
        SpanId(random().to_be_bytes())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A random number that is not zero. Identifiers have to differ, not to be secret: SplitMix64 (Steele, Lea, Flood 2014),
/// begun on each thread where the system's randomness says.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
    }
    loop {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        if mixed != 0 {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn identifiers_differ_between_threads_and_in_each() {
        let made = || {
            (0..1000)
                .map(|_| (TraceId::random(), SpanId::random()))
                .collect::<Vec<_>>()
        };
        let others = std::thread::spawn(made).join().unwrap();
        let all: HashSet<_> = made().into_iter().chain(others).collect();
        assert_eq!(all.len(), 2000);
    }

    #[test]
    fn identifiers_are_shown_in_full_length() {
        assert_eq!(
            TraceId(1u128.to_be_bytes()).to_string(),
            "00000000000000000000000000000001"
        );
        assert_eq!(SpanId(0xab_u64.to_be_bytes()).to_string(), "00000000000000ab");
    }
}
