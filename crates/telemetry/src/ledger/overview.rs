//! A time at a glance: sums along it, percentiles where single calls are looked at, and who made the calls.
//!
//! Up to a day is read from single calls, by seconds or minutes; more than that from hours and days, which know averages only.

use std::collections::BTreeMap;

use super::error::QueryError;
use super::query::{self, Group, Usage};
use super::reader::{Cells, Session};
use super::rollup::{DAY_S, HOUR_S, Sums, floor};
use super::row::Value;
use super::schema::{CALLS, Column, Measure, joined};

/// Upper bounds, in milliseconds, between which single calls are counted to find percentiles.
const BOUNDS_MS: [i64; 26] = [
    1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500,
    10_000, 15_000, 20_000, 30_000, 60_000, 120_000,
];

/// What is added up of single calls.
const SUMMED: [Measure; 10] = [
    Measure::Calls,
    Measure::Failed,
    Measure::InputTokens,
    Measure::CachedTokens,
    Measure::OutputTokens,
    Measure::CostMicroUsd,
    Measure::UnpricedCalls,
    Measure::Latency,
    Measure::TimedCalls,
    Measure::TimeToFirstToken,
];

/// Groups of an answer at most, the dearest first.
const MAX_GROUPS: usize = 50;

/// How long back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Fifteen minutes, in steps of fifteen seconds.
    Minutes,
    /// An hour, in steps of a minute.
    Hour,
    /// A day, in steps of fifteen minutes.
    Day,
    /// A week, in steps of an hour.
    Week,
    /// Thirty days, in steps of a day.
    Month,
}

impl Range {
    /// All, the shortest first, with their words.
    pub const ALL: [(&'static str, Range); 5] = [
        ("15m", Range::Minutes),
        ("1h", Range::Hour),
        ("24h", Range::Day),
        ("7d", Range::Week),
        ("30d", Range::Month),
    ];

    /// Its length, in seconds.
    pub const fn length_s(self) -> i64 {
        match self {
            Range::Minutes => 15 * 60,
            Range::Hour => HOUR_S,
            Range::Day => DAY_S,
            Range::Week => 7 * DAY_S,
            Range::Month => 30 * DAY_S,
        }
    }

    /// The length of one of its steps, in seconds.
    pub const fn step_s(self) -> i64 {
        match self {
            Range::Minutes => 15,
            Range::Hour => 60,
            Range::Day => 15 * 60,
            Range::Week => HOUR_S,
            Range::Month => DAY_S,
        }
    }
}

/// A question for a time at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// How long back.
    pub range: Range,
    /// What calls are grouped by.
    pub by: Column,
    /// The time now, in seconds since 1970.
    pub now: i64,
}

/// Times within which so many of a hundred calls stayed, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of them.
    pub p50: i64,
    /// 95 of 100.
    pub p95: i64,
    /// 99 of 100.
    pub p99: i64,
}

/// A step of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// What calls that began in it add up to.
    pub sums: Sums,
    /// How long calls took; `None` where there were none, or nobody knows.
    pub latency: Option<Percentiles>,
    /// The times to first tokens, likewise.
    pub first_token: Option<Percentiles>,
}

/// A time at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// From when on, in seconds since 1970.
    pub since: i64,
    /// Until when, in seconds since 1970; the end of the last step.
    pub until: i64,
    /// The length of a step, in seconds.
    pub step_s: i64,
    /// Every step.
    pub points: Vec<Point>,
    /// All of them together.
    pub total: Point,
    /// By name, the dearest first; the name is empty for calls that have none.
    pub groups: Vec<(String, Sums)>,
}

/// How often something was within each of [`BOUNDS_MS`], and above.
#[derive(Clone, Copy, Debug)]
struct Spread([i64; BOUNDS_MS.len() + 1]);

impl Spread {
    /// Reads counts up to each bound, and the count of all, from a row.
    fn read(row: &Cells, first: usize, count: i64) -> Spread {
        let mut spread = Spread([0; BOUNDS_MS.len() + 1]);
        let mut below = 0;
        for (place, cell) in spread.0.iter_mut().enumerate() {
            let up_to = match place {
                BOUNDED.. => count,
                _ => row.number(first + place).unwrap_or(0),
            };
            *cell = (up_to - below).max(0);
            below = up_to;
        }
        spread
    }

    fn add(&mut self, other: &Spread) {
        for (cell, more) in self.0.iter_mut().zip(other.0) {
            *cell += more;
        }
    }

    fn percentiles(&self) -> Option<Percentiles> {
        let all: i64 = self.0.iter().sum();
        (all > 0).then(|| Percentiles {
            p50: self.within(all, 50),
            p95: self.within(all, 95),
            p99: self.within(all, 99),
        })
    }

    /// The time in which so many of a hundred were, evenly spread between two bounds.
    fn within(&self, all: i64, percent: i64) -> i64 {
        let wanted = (all * percent).div_euclid(100).max(1);
        let (mut seen, mut low) = (0, 0);
        for (count, bound) in self.0.iter().zip(BOUNDS_MS) {
            if seen + count >= wanted {
                return low + (bound - low) * (wanted - seen) / (*count).max(1);
            }
            seen += count;
            low = bound;
        }
        low
    }
}

const BOUNDED: usize = BOUNDS_MS.len();

/// Answers a question.
pub(super) fn answer(session: &mut Session, overview: &Overview) -> Result<Timeline, QueryError> {
    let step = overview.range.step_s();
    let until = floor(overview.now, step) + step;
    let since = until - overview.range.length_s();
    match overview.range {
        Range::Minutes | Range::Hour | Range::Day => of_calls(session, overview, since, until),
        Range::Week | Range::Month => of_sums(session, overview, since, until),
    }
}

fn empty(since: i64, until: i64, step_s: i64) -> Timeline {
    let steps = usize::try_from((until - since) / step_s).unwrap_or(0);
    Timeline {
        since,
        until,
        step_s,
        points: vec![Point::default(); steps],
        total: Point::default(),
        groups: Vec::new(),
    }
}

fn of_calls(
    session: &mut Session,
    overview: &Overview,
    since: i64,
    until: i64,
) -> Result<Timeline, QueryError> {
    let step = overview.range.step_s();
    let mut timeline = empty(since, until, step);
    let within = [Value::Number(since * 1000), Value::Number(until * 1000)];
    let sums = joined(SUMMED.iter().map(|measure| sum(*measure).to_owned()));
    let counts = |column: &str| {
        joined(
            BOUNDS_MS
                .iter()
                .map(|bound| format!("CAST(SUM(CASE WHEN {column} <= {bound} THEN 1 ELSE 0 END) AS BIGINT)")),
        )
    };
    let step_ms = step * 1000;
    let sql = format!(
        "SELECT time_ms - time_ms % {step_ms} AS bucket, {sums}, {}, {} FROM {CALLS} \
         WHERE time_ms >= $1 AND time_ms < $2 GROUP BY time_ms - time_ms % {step_ms}",
        counts("latency_ms"),
        counts("ttft_ms"),
    );
    let none = Spread([0; BOUNDS_MS.len() + 1]);
    let (mut latencies, mut first_tokens) = (none, none);
    for row in session.select(&sql, &within)? {
        let at = row.number(0).unwrap_or(0) / 1000;
        let sums = read(&row, 1);
        let first = 1 + SUMMED.len();
        let latency = Spread::read(&row, first, sums.get(Measure::Calls));
        let first_token = Spread::read(&row, first + BOUNDED, sums.get(Measure::TimedCalls));
        let place = usize::try_from((at - since) / step).ok();
        if let Some(point) = place.and_then(|place| timeline.points.get_mut(place)) {
            *point = Point {
                sums,
                latency: latency.percentiles(),
                first_token: first_token.percentiles(),
            };
        }
        timeline.total.sums.add(&sums);
        latencies.add(&latency);
        first_tokens.add(&first_token);
    }
    timeline.total.latency = latencies.percentiles();
    timeline.total.first_token = first_tokens.percentiles();
    let name = overview.by.name();
    let sql = format!(
        "SELECT COALESCE({name}, '') AS name, {sums} FROM {CALLS} WHERE time_ms >= $1 AND time_ms < $2 \
         GROUP BY COALESCE({name}, '')"
    );
    for row in session.select(&sql, &within)? {
        let name = row.text(0).unwrap_or_default().to_owned();
        timeline.groups.push((name, read(&row, 1)));
    }
    sort(&mut timeline.groups);
    Ok(timeline)
}

/// What a row of single calls adds up to, as SQL.
fn sum(measure: Measure) -> &'static str {
    match measure {
        Measure::Calls => "CAST(COUNT(*) AS BIGINT)",
        Measure::Failed => "CAST(SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END) AS BIGINT)",
        Measure::InputTokens => "CAST(SUM(input_tokens) AS BIGINT)",
        Measure::CachedTokens => "CAST(SUM(cached_tokens) AS BIGINT)",
        Measure::OutputTokens => "CAST(SUM(output_tokens) AS BIGINT)",
        Measure::CostMicroUsd => "CAST(COALESCE(SUM(cost_micro_usd), 0) AS BIGINT)",
        Measure::UnpricedCalls => {
            "CAST(SUM(CASE WHEN cost_state IN ('unknown', 'partly') THEN 1 ELSE 0 END) AS BIGINT)"
        }
        Measure::Latency => "CAST(SUM(latency_ms) AS BIGINT)",
        Measure::TimedCalls => "CAST(COUNT(ttft_ms) AS BIGINT)",
        Measure::TimeToFirstToken => "CAST(COALESCE(SUM(ttft_ms), 0) AS BIGINT)",
        _ => "CAST(0 AS BIGINT)",
    }
}

fn read(row: &Cells, first: usize) -> Sums {
    let mut sums = Sums::default();
    for (place, measure) in SUMMED.iter().enumerate() {
        sums.add_to(*measure, row.number(first + place).unwrap_or(0));
    }
    sums
}

fn of_sums(
    session: &mut Session,
    overview: &Overview,
    since: i64,
    until: i64,
) -> Result<Timeline, QueryError> {
    let step = overview.range.step_s();
    let mut timeline = empty(since, until, step);
    let group = if step == HOUR_S { Group::Hour } else { Group::Day };
    let ask = |by| Usage {
        by: vec![by],
        since,
        until,
        only: Vec::new(),
    };
    let along = query::answer(session, &ask(group))?;
    let places: BTreeMap<String, usize> = (0..timeline.points.len())
        .map(|place| {
            let at = since + step * i64::try_from(place).unwrap_or(0);
            (query::time_of(group, at), place)
        })
        .collect();
    for row in &along.rows {
        let place = row.group.first().and_then(|time| places.get(time));
        if let Some(point) = place.and_then(|place| timeline.points.get_mut(*place)) {
            point.sums = row.sums;
        }
    }
    timeline.total.sums = along.totals;
    let groups = query::answer(session, &ask(Group::Key(overview.by)))?;
    timeline.groups = groups
        .rows
        .into_iter()
        .map(|row| (row.group.into_iter().next().unwrap_or_default(), row.sums))
        .collect();
    sort(&mut timeline.groups);
    Ok(timeline)
}

/// The dearest first, then who calls most; no more than are shown.
fn sort(groups: &mut Vec<(String, Sums)>) {
    groups.sort_by(|(name, sums), (other_name, other)| {
        let key = |sums: &Sums| (sums.get(Measure::CostMicroUsd), sums.get(Measure::Calls));
        key(other).cmp(&key(sums)).then_with(|| name.cmp(other_name))
    });
    groups.truncate(MAX_GROUPS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(times: &[i64]) -> Spread {
        let mut spread = Spread([0; BOUNDS_MS.len() + 1]);
        for time in times {
            spread.0[BOUNDS_MS.partition_point(|bound| bound < time)] += 1;
        }
        spread
    }

    #[test]
    fn percentiles_lie_between_the_bounds_of_the_calls_they_are_of() {
        assert_eq!(spread(&[]).percentiles(), None);
        let mut times = vec![40; 90];
        times.extend([4_000; 10]);
        let found = spread(&times).percentiles().unwrap();
        assert!((35..=50).contains(&found.p50), "{found:?}");
        assert!((3_000..=5_000).contains(&found.p95), "{found:?}");
        assert!(found.p95 <= found.p99, "{found:?}");
        // What is beyond the last bound is told as the last bound.
        assert_eq!(spread(&[900_000]).percentiles().unwrap().p50, 120_000);
    }
}
