//! Many calls together: by hour and by day, by who and what.
//!
//! A roll-up is changed in the transaction that writes its calls, by exactly the calls that were not there before. So sums
//! and calls cannot differ, whenever a process ends and however late a call comes.

use std::collections::BTreeMap;

use super::row::{Row, Value, cut};
use super::schema::{Column, KEY_COLUMNS, KEY_TEXT, MEASURES, Measure, OTHER};

/// Seconds of an hour.
pub(super) const HOUR_S: i64 = 3600;

/// Seconds of a day.
pub(super) const DAY_S: i64 = 24 * HOUR_S;

/// What calls are grouped by: a text for each of [`KEY_COLUMNS`], empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) [String; KEY_COLUMNS.len()]);

/// Sums over calls, one for each [`Measure`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums(pub(super) [i64; MEASURES]);

/// Sums by key and hour.
pub(super) type Hourly = BTreeMap<Key, BTreeMap<i64, Sums>>;

impl Key {
    /// What a call is grouped by.
    pub(super) fn of(row: &Row<'_>) -> Key {
        Key(KEY_COLUMNS.map(|column| match column {
            // What nobody was asked for is no model: a client that makes up names must not fill the store with keys.
            Column::ModelAsked if row.text_of(Column::ModelServed).is_empty() => String::new(),
            _ => cut(row.text_of(column), KEY_TEXT).to_owned(),
        }))
    }

    /// The key that stands for this one when there are too many.
    pub(super) fn without_models(&self) -> Key {
        let mut other = self.clone();
        for (text, column) in other.0.iter_mut().zip(KEY_COLUMNS) {
            if matches!(column, Column::ModelAsked | Column::ModelServed) {
                OTHER.clone_into(text);
            }
        }
        other
    }
}

impl Sums {
    /// What one call adds.
    pub(super) fn of(row: &Row<'_>) -> Sums {
        let cost_state = row.text_of(Column::CostState);
        let is_estimated = row.number_of(Column::UsageEstimated) == 1 || cost_state == "estimated";
        let is_timed = row.get(Column::TimeToFirstToken) != Value::Null;
        let mut sums = Sums::default();
        for (sum, measure) in sums.0.iter_mut().zip(Measure::ALL) {
            *sum = match measure {
                Measure::Calls => 1,
                Measure::Failed => i64::from(row.text_of(Column::Outcome) != "ok"),
                Measure::EstimatedCalls => i64::from(is_estimated),
                Measure::UnpricedCalls => i64::from(is_unpriced(cost_state)),
                Measure::TimedCalls => i64::from(is_timed),
                Measure::InputTokens => row.number_of(Column::InputTokens),
                Measure::CachedTokens => row.number_of(Column::CachedTokens),
                Measure::CacheWrite5m => row.number_of(Column::CacheWrite5m),
                Measure::CacheWrite1h => row.number_of(Column::CacheWrite1h),
                Measure::AudioInput => row.number_of(Column::AudioInput),
                Measure::ImageInput => row.number_of(Column::ImageInput),
                Measure::VideoInput => row.number_of(Column::VideoInput),
                Measure::ToolInput => row.number_of(Column::ToolInput),
                Measure::OutputTokens => row.number_of(Column::OutputTokens),
                Measure::ReasoningTokens => row.number_of(Column::ReasoningTokens),
                Measure::AudioOutput => row.number_of(Column::AudioOutput),
                Measure::ImageOutput => row.number_of(Column::ImageOutput),
                Measure::CostMicroUsd => row.number_of(Column::CostMicroUsd),
                Measure::Latency => row.number_of(Column::Latency),
                Measure::TimeToFirstToken => row.number_of(Column::TimeToFirstToken),
                Measure::RequestBytes => row.number_of(Column::RequestBytes),
                Measure::ResponseBytes => row.number_of(Column::ResponseBytes),
            };
        }
        sums
    }

    /// A sum.
    pub fn get(&self, measure: Measure) -> i64 {
        self.0.get(measure as usize).copied().unwrap_or(0)
    }

    /// Adds to a sum.
    pub(super) fn add_to(&mut self, measure: Measure, number: i64) {
        if let Some(sum) = self.0.get_mut(measure as usize) {
            *sum = sum.saturating_add(number);
        }
    }

    /// Adds other sums.
    pub(super) fn add(&mut self, others: &Sums) {
        for (sum, other) in self.0.iter_mut().zip(others.0) {
            *sum = sum.saturating_add(other);
        }
    }
}

/// Whether a cost of this state is not known, or not all of it.
pub(super) fn is_unpriced(cost_state: &str) -> bool {
    matches!(cost_state, "unknown" | "partly")
}

/// The beginning of the hour of a call, in seconds since 1970.
pub(super) fn hour_of(row: &Row<'_>) -> i64 {
    floor(row.number_of(Column::Time).div_euclid(1000), HOUR_S)
}

/// The last multiple of `step` that is not after `seconds`.
pub(super) const fn floor(seconds: i64, step: i64) -> i64 {
    seconds.div_euclid(step) * step
}

/// Adds calls up.
pub(super) fn add_up<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Row<'a>>) -> Hourly {
    let mut hourly = Hourly::new();
    for row in rows {
        let hours = hourly.entry(Key::of(row)).or_default();
        hours.entry(hour_of(row)).or_default().add(&Sums::of(row));
    }
    hourly
}

/// What calls have charged to budgets: by the name of the budget and the beginning of its period.
pub(super) fn spent<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Row<'a>>) -> BTreeMap<(String, i64), i64> {
    #[derive(serde::Deserialize)]
    struct Charge {
        budget: String,
        start: i64,
        amount: i64,
    }

    let mut spent = BTreeMap::<(String, i64), i64>::new();
    for row in rows {
        let text = row.text_of(Column::Charges);
        if text.is_empty() {
            continue;
        }
        // The gateway has written it.
        for charge in serde_json::from_str::<Vec<Charge>>(text).unwrap_or_default() {
            let sum = spent.entry((charge.budget, charge.start)).or_default();
            *sum = sum.saturating_add(charge.amount);
        }
    }
    spent
}

/// When credentials were used last: by their ids, in milliseconds since 1970.
pub(super) fn used<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Row<'a>>) -> BTreeMap<&'r str, i64> {
    let mut used = BTreeMap::new();
    for row in rows {
        let credential = cut(row.text_of(Column::Credential), KEY_TEXT);
        if !credential.is_empty() {
            let last = used.entry(credential).or_insert(0);
            *last = row.number_of(Column::Time).max(*last);
        }
    }
    used
}

/// The same by day.
pub(super) fn by_day(hours: &BTreeMap<i64, Sums>) -> BTreeMap<i64, Sums> {
    let mut days = BTreeMap::<i64, Sums>::new();
    for (hour, sums) in hours {
        days.entry(floor(*hour, DAY_S)).or_default().add(sums);
    }
    days
}
