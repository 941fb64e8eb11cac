//! Many calls together: by hour and by day, by who and what.
//!
//! A call is in a roll-up or it is [`super::pending`], and one transaction takes it from there to here. So sums and calls cannot
//! differ, whenever a process ends and however late a call comes.

use std::collections::{BTreeMap, HashMap};

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

/// What was charged to budgets: by the name of the budget and the beginning of its period.
pub(super) type Spent = BTreeMap<(String, i64), i64>;

/// When credentials were used last: by their ids, in milliseconds since 1970.
pub(super) type Used = BTreeMap<String, i64>;

impl Key {
    /// What a call is grouped by.
    pub(super) fn of(row: &Row<'_>) -> Key {
        let mut key = Key::default();
        key.set(row);
        key
    }

    /// Becomes what a call is grouped by.
    fn set(&mut self, row: &Row<'_>) {
        for (text, column) in self.0.iter_mut().zip(KEY_COLUMNS) {
            text.clear();
            match column {
                // What nobody was asked for is no model: a client that makes up names must not fill the store with keys.
                Column::ModelAsked if row.text_of(Column::ModelServed).is_empty() => {}
                _ => text.push_str(cut(row.text_of(column), KEY_TEXT)),
            }
        }
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

/// Calls as they are added up.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hourly: HashMap<Key, BTreeMap<i64, Sums>>,
    spent: Spent,
    used: Used,
    /// The key of the call that is added, kept for its room.
    key: Key,
}

impl Tally {
    /// Of these calls.
    pub(super) fn of<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Row<'a>>) -> Tally {
        let mut tally = Tally::default();
        rows.for_each(|row| tally.add(row));
        tally
    }

    /// Adds a call.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        self.key.set(row);
        let hours = match self.hourly.get_mut(&self.key) {
            Some(hours) => hours,
            None => self.hourly.entry(self.key.clone()).or_default(),
        };
        hours.entry(hour_of(row)).or_default().add(&Sums::of(row));
        let charges = row.text_of(Column::Charges);
        if !charges.is_empty() {
            add_charges(charges, &mut self.spent);
        }
        let credential = cut(row.text_of(Column::Credential), KEY_TEXT);
        if !credential.is_empty() {
            let at_ms = row.number_of(Column::Time);
            match self.used.get_mut(credential) {
                Some(last) => *last = at_ms.max(*last),
                None => drop(self.used.insert(credential.to_owned(), at_ms)),
            }
        }
    }

    /// What the calls add up to, what they have charged to budgets, and when credentials were used.
    pub(super) fn done(self) -> (Hourly, Spent, Used) {
        (self.hourly.into_iter().collect(), self.spent, self.used)
    }
}

/// What calls were charged.
pub(super) fn spent<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Row<'a>>) -> Spent {
    let mut spent = Spent::new();
    for row in rows {
        let charges = row.text_of(Column::Charges);
        if !charges.is_empty() {
            add_charges(charges, &mut spent);
        }
    }
    spent
}

/// Amounts of the same budget and period as one.
pub(super) fn together(parts: impl IntoIterator<Item = (String, i64, i64)>) -> Vec<(String, i64, i64)> {
    let mut spent = Spent::new();
    for (budget, start, amount) in parts {
        let sum = spent.entry((budget, start)).or_default();
        *sum = sum.saturating_add(amount);
    }
    let one = |((budget, start), amount)| (budget, start, amount);
    spent.into_iter().map(one).collect()
}

/// Adds what a call was charged.
fn add_charges(json: &str, spent: &mut Spent) {
    #[derive(serde::Deserialize)]
    struct Charge {
        budget: String,
        start: i64,
        amount: i64,
    }

    // The gateway has written it.
    for charge in serde_json::from_str::<Vec<Charge>>(json).unwrap_or_default() {
        let sum = spent.entry((charge.budget, charge.start)).or_default();
        *sum = sum.saturating_add(charge.amount);
    }
}

/// The same by day.
pub(super) fn by_day(hours: &BTreeMap<i64, Sums>) -> BTreeMap<i64, Sums> {
    let mut days = BTreeMap::<i64, Sums>::new();
    for (hour, sums) in hours {
        days.entry(floor(*hour, DAY_S)).or_default().add(sums);
    }
    days
}
