//! How many of the calls of the last while failed.

/// Parts of the window: what is counted covers nine to ten tenths of it.
const PARTS: u64 = 10;

/// Calls and failures of the last while.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Milliseconds of one part.
    width: u64,
    /// Number of the newest part since time began.
    newest: u64,
    parts: [Counts; PARTS as usize],
    sum: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u32,
    failures: u32,
}

impl Window {
    /// Counts one call, in a window of `length` milliseconds.
    pub(super) fn add(&mut self, now: u64, length: u64, failed: bool) {
        let width = (length / PARTS).max(1);
        if width != self.width {
            *self = Window {
                width,
                ..Window::default()
            };
        }
        self.move_to(now / width);
        let failures = u32::from(failed);
        if let Some(part) = self
            .parts
            .get_mut(usize::try_from(self.newest % PARTS).unwrap_or(0))
        {
            for counts in [part, &mut self.sum] {
                counts.calls = counts.calls.saturating_add(1);
                counts.failures = counts.failures.saturating_add(failures);
            }
        }
    }

    /// Share of the calls that failed; `None` if there were fewer than `least` calls.
    pub(super) fn failed_share(&self, least: u32) -> Option<f64> {
        let Counts { calls, failures } = self.sum;
        (calls >= least.max(1)).then(|| f64::from(failures) / f64::from(calls))
    }

    /// Makes a part the newest one. A clock that seems to go back counts in the newest part.
    fn move_to(&mut self, part: u64) {
        if part <= self.newest {
            return;
        }
        for passed in 1..=(part - self.newest).min(PARTS) {
            let index = usize::try_from((self.newest + passed) % PARTS).unwrap_or(0);
            if let Some(old) = self.parts.get_mut(index) {
                self.sum.calls = self.sum.calls.saturating_sub(old.calls);
                self.sum.failures = self.sum.failures.saturating_sub(old.failures);
                *old = Counts::default();
            }
        }
        self.newest = part;
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::default();
        window.add(0, 1_000, true);
        window.add(950, 1_000, false);
        assert_eq!(window.failed_share(2), Some(0.5));
        assert_eq!(window.failed_share(3), None);
        window.add(1_000, 1_000, false);
        assert_eq!(window.failed_share(2), Some(0.0));
        window.add(1_000_000, 1_000, true);
        assert_eq!(window.failed_share(1), Some(1.0));
    }

    #[test]
    fn another_length_begins_anew() {
        let mut window = Window::default();
        window.add(0, 1_000, true);
        window.add(0, 2_000, false);
        assert_eq!(window.failed_share(1), Some(0.0));
    }
}
