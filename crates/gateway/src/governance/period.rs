//! The period a budget is in, and the counter of what is spent in it.

use tollgate_resources::governance::time_text;
use tollgate_resources::model;
use tollgate_store::counters::{Key, Limit as Count, MAX_AMOUNT, Windows};

/// How long the counter of a period is kept after its end, for calls that began in it: a day, in milliseconds.
const AFTERWARDS_MS: u64 = 86_400_000;

/// The counter of what never ends is kept for a hundred years, in milliseconds.
const FOR_EVER_MS: u64 = 100 * 365 * 86_400_000;

/// A period of a budget.
#[derive(Debug)]
pub struct Period {
    /// When it began, in seconds since 1970.
    pub start_s: u64,
    /// When the next one begins, in seconds since 1970; `None` where there is none.
    pub end_s: Option<u64>,
    /// Under which its spending is counted.
    pub key: Key,
    /// `end_s` as answers tell it.
    pub end_told: Option<String>,
}

impl Period {
    /// The one in which a time is, in seconds since 1970, of the budget that is counted under this name.
    pub fn around(name: &str, per: model::Period, now_s: u64) -> Self {
        let (start_s, end_s) = per.around(now_s);
        Period {
            start_s,
            end_s,
            end_told: end_s.map(time_text),
            key: format!("budget/{name}/{start_s}").into(),
        }
    }

    /// Whether a time is in it, in seconds since 1970.
    pub fn covers(&self, now_s: u64) -> bool {
        self.start_s <= now_s && self.end_s.is_none_or(|end| now_s < end)
    }

    /// How its counter counts, and how long from now on it is kept. It knows no limit.
    pub fn count(&self, now_s: u64) -> Count {
        let window_ms = match self.end_s {
            Some(end) => end.saturating_sub(now_s) * 1000 + AFTERWARDS_MS,
            None => FOR_EVER_MS,
        };
        Count {
            amount: MAX_AMOUNT,
            window_ms,
            windows: Windows::Fixed,
        }
    }
}
