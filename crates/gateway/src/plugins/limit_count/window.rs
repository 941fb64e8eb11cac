//! Calls within a time: what is counted for one key, and whether one more fits.

use super::super::limits::Expires;
use super::config::WindowType;

/// The calls of one key.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Milliseconds since 1970 at which the count begins anew.
    end_ms: u64,
    /// Calls of this window.
    used: u64,
    /// Calls of the window before; counted only when windows slide.
    before: u64,
    expires_ms: u64,
}

impl Expires for Window {
    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

/// Whether a call fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether it does.
    pub(super) is_allowed: bool,
    /// Calls that fit after it.
    pub(super) remaining: u64,
    /// Milliseconds until there is room again.
    pub(super) reset_ms: u64,
}

impl Window {
    /// Counts a call if it fits.
    pub(super) fn take(&mut self, kind: WindowType, now_ms: u64, limit: u64, window_ms: u64) -> Verdict {
        match kind {
            WindowType::Fixed => self.take_fixed(now_ms, limit, window_ms),
            WindowType::Sliding => self.take_sliding(now_ms, limit, window_ms),
        }
    }

    fn take_fixed(&mut self, now_ms: u64, limit: u64, window_ms: u64) -> Verdict {
        if now_ms >= self.end_ms {
            self.used = 0;
            self.end_ms = now_ms.saturating_add(window_ms);
        }
        // A clock that was set back must not make a window longer than it is.
        self.end_ms = self.end_ms.min(now_ms.saturating_add(window_ms));
        self.expires_ms = self.end_ms;
        let is_allowed = self.used < limit;
        self.used += u64::from(is_allowed);
        Verdict {
            is_allowed,
            remaining: limit.saturating_sub(self.used),
            reset_ms: self.end_ms - now_ms,
        }
    }

    fn take_sliding(&mut self, now_ms: u64, limit: u64, window_ms: u64) -> Verdict {
        let end_ms = (now_ms / window_ms).saturating_add(1).saturating_mul(window_ms);
        if self.end_ms != end_ms {
            let is_next = self.end_ms.saturating_add(window_ms) == end_ms;
            self.before = if is_next { self.used.min(limit) } else { 0 };
            self.used = 0;
            self.end_ms = end_ms;
        }
        self.expires_ms = end_ms.saturating_add(window_ms);
        let left_ms = end_ms - now_ms;
        // In calls times milliseconds, so that nothing is rounded: what this window and the rest of the one before have used.
        let scaled = |calls: u64| u128::from(calls) * u128::from(window_ms);
        let carried = u128::from(self.before) * u128::from(left_ms);
        let is_allowed = self.used < limit && carried + scaled(self.used) < scaled(limit);
        self.used += u64::from(is_allowed);
        let room = scaled(limit).saturating_sub(scaled(self.used) + carried);
        let reset_ms = if is_allowed || self.used >= limit || self.before == 0 {
            left_ms
        } else {
            // There is room as soon as the rest of the window before is worth less than what this window leaves.
            let free_at = scaled(limit - self.used) / u128::from(self.before);
            left_ms.saturating_sub(u64::try_from(free_at).unwrap_or(u64::MAX))
        };
        Verdict {
            is_allowed,
            remaining: u64::try_from(room / u128::from(window_ms)).unwrap_or(u64::MAX),
            reset_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(is_allowed: bool, remaining: u64, reset_ms: u64) -> Verdict {
        Verdict {
            is_allowed,
            remaining,
            reset_ms,
        }
    }

    #[test]
    fn a_fixed_window_begins_with_its_first_call() {
        let mut window = Window::default();
        let mut at = |now_ms| window.take(WindowType::Fixed, now_ms, 2, 1000);
        assert_eq!(at(5500), verdict(true, 1, 1000));
        assert_eq!(at(5600), verdict(true, 0, 900));
        assert_eq!(at(6499), verdict(false, 0, 1));
        assert_eq!(at(6500), verdict(true, 1, 1000));
        // Set back by an hour, say: the window still ends within its length.
        assert_eq!(at(500), verdict(true, 0, 1000));
    }

    #[test]
    fn a_sliding_window_counts_a_part_of_the_one_before() {
        let mut window = Window::default();
        let mut at = |now_ms| window.take(WindowType::Sliding, now_ms, 4, 1000);
        assert_eq!(at(1100), verdict(true, 3, 900));
        assert_eq!(at(1200), verdict(true, 2, 800));
        assert_eq!(at(1300), verdict(true, 1, 700));
        assert_eq!(at(1900), verdict(true, 0, 100));
        assert_eq!(at(1999), verdict(false, 0, 1));
        // All four still count: room comes when 4 * rest / 1000 is below 4.
        assert_eq!(at(2000), verdict(false, 0, 0));
        assert_eq!(at(2001), verdict(true, 0, 999));
        assert_eq!(at(2002), verdict(false, 0, 248));
        assert_eq!(at(2500), verdict(true, 0, 500));
        // Two windows later nothing counts any more.
        assert_eq!(at(4000), verdict(true, 3, 1000));
    }
}
