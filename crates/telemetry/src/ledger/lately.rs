//! What calls of teams add up to while somebody watches them: counted by the ledger's own thread when it has written the calls, so
//! that neither calls nor numbers for Prometheus know of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::overview::BOUNDS_MS;
use super::rollup::Sums;
use super::row::{Row, Value, cut};
use super::rows::Rows;
use super::schema::{Column, KEY_TEXT, Measure, OTHER};

/// How long is counted on for somebody who does not look any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Different members at most; calls of further ones are counted together for their team.
const MOST: usize = 10_000;

/// What calls of teams add up to since somebody watches.
#[derive(Default)]
pub struct Lately(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` while nobody watches.
    until: Option<Instant>,
    by: HashMap<Member, Added>,
}

/// Whose calls are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Member {
    /// The team.
    pub team: String,
    /// The model that was asked for; empty where none answered.
    pub model: String,
    /// The provider.
    pub provider: String,
    /// The consumer.
    pub consumer: String,
}

/// What they add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// The sums.
    pub sums: Sums,
    /// Calls that failed or were refused; who has left is no failure.
    pub errors: i64,
    /// How many took how long, by [`Lately::bounds_ms`] and above.
    pub latency: [u64; BOUNDS_MS.len() + 1],
    /// The same of the time to the first token.
    pub first_token: [u64; BOUNDS_MS.len() + 1],
}

impl Lately {
    /// Upper bounds of times, in milliseconds.
    pub const fn bounds_ms() -> &'static [i64] {
        &BOUNDS_MS
    }

    /// What calls of some teams add up to since somebody looked for the first time. Who looks has calls counted for a while longer.
    pub fn look(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<(Member, Added)> {
        let mut state = self.state();
        state.until = Some(Instant::now() + PATIENCE);
        let wanted = state.by.iter().filter(|(member, _)| is_wanted(&member.team));
        wanted
            .map(|(member, added)| (member.clone(), added.clone()))
            .collect()
    }

    /// Counts calls if somebody watches.
    pub(super) fn add(&self, rows: Rows<'_>) {
        let mut state = self.state();
        if state.until.is_none_or(|until| Instant::now() >= until) {
            *state = State::default();
            return;
        }
        for row in rows.iter().filter(|row| !row.text_of(Column::Team).is_empty()) {
            state.add(&row);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, row: &Row<'_>) {
        let text = |column| cut(row.text_of(column), KEY_TEXT).to_owned();
        let mut member = Member {
            team: text(Column::Team),
            // What nobody was asked for is no model.
            model: match row.text_of(Column::ModelServed) {
                "" => String::new(),
                _ => text(Column::ModelAsked),
            },
            provider: text(Column::Provider),
            consumer: text(Column::Consumer),
        };
        if self.by.len() >= MOST && !self.by.contains_key(&member) {
            for text in [&mut member.model, &mut member.provider, &mut member.consumer] {
                OTHER.clone_into(text);
            }
            if self.by.len() >= 2 * MOST && !self.by.contains_key(&member) {
                return;
            }
        }
        let added = self.by.entry(member).or_default();
        added.sums.add(&Sums::of(row));
        added.errors += i64::from(!matches!(row.text_of(Column::Outcome), "ok" | "client_gone"));
        count(&mut added.latency, row.number_of(Column::Latency));
        if row.get(Column::TimeToFirstToken) != Value::Null {
            count(&mut added.first_token, row.number_of(Column::TimeToFirstToken));
        }
    }
}

impl Added {
    /// A sum.
    pub fn sum(&self, measure: Measure) -> u64 {
        u64::try_from(self.sums.get(measure)).unwrap_or(0)
    }
}

fn count(counts: &mut [u64], ms: i64) {
    let place = BOUNDS_MS.partition_point(|bound| *bound < ms);
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::encoded;
    use super::*;

    fn row<'a>(team: &'a str, model: &'a str) -> Row<'a> {
        let mut row = Row::default();
        row.text(Column::Team, team);
        row.text(Column::ModelAsked, model);
        row.text(Column::ModelServed, model);
        row.text(Column::Outcome, "ok");
        row.number(Column::Latency, 42_u64);
        row
    }

    #[test]
    fn calls_are_counted_for_their_team_while_somebody_looks() {
        let lately = Lately::default();
        let add = |rows: &[Row<'_>]| lately.add(Rows::first(&encoded(rows), usize::MAX));
        add(&[row("search", "m")]);
        assert_eq!(lately.look(|_| true), [], "nobody had looked");
        add(&[
            row("search", "m"),
            row("search", "m"),
            row("ads", "m"),
            row("", "m"),
        ]);
        let seen = lately.look(|team| team == "search");
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].1.sum(Measure::Calls), 2);
        assert_eq!(seen[0].1.latency.iter().sum::<u64>(), 2);
        assert_eq!(lately.look(|_| true).len(), 2, "who is in no team is nobody's");
    }
}
