//! A code that signs one person in once: it stands in the address that a gateway prints where it was started by hand.

use std::sync::{Mutex, PoisonError};

use tollgate_resources::Secret;

use crate::sessions::hex;

/// How long a code is good for, in seconds.
const GOOD_FOR_S: u64 = 15 * 60;

/// Bytes of a code.
const BYTES: usize = 20;

/// The code, until it is used or too old.
#[derive(Default)]
pub(crate) struct Code(Mutex<Option<(Secret, u64)>>);

impl Code {
    /// Makes a code, which takes the place of the one before. `None` if the system gives no random numbers.
    pub(crate) fn make(&self, now_s: u64) -> Option<String> {
        let mut bytes = [0; BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let code = hex(&bytes);
        let kept = (Secret::from(code.clone()), now_s.saturating_add(GOOD_FOR_S));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Some(code)
    }

    /// Whether this is the code. It is used up if it is.
    pub(crate) fn use_up(&self, given: &[u8], now_s: u64) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = kept.as_ref().is_some_and(|(code, until_s)| {
            let same = aws_lc_rs::constant_time::verify_slices_are_equal(given, code.expose().as_bytes());
            same.is_ok() && now_s < *until_s
        });
        if is_it {
            *kept = None;
        }
        is_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_not_for_long() {
        let code = Code::default();
        assert!(!code.use_up(b"", 0));
        let first = code.make(100).unwrap();
        assert!(!code.use_up(b"wrong", 100));
        assert!(code.use_up(first.as_bytes(), 100));
        assert!(!code.use_up(first.as_bytes(), 100));
        let second = code.make(100).unwrap();
        assert_ne!(first, second);
        assert!(!code.use_up(second.as_bytes(), 100 + GOOD_FOR_S));
    }
}
