//! A time at a glance: sums along it, percentiles, and who made the calls.
//!
//! Steps of minutes are read from single calls, longer ones from the sums of hours and days. Percentiles come from single calls
//! in both cases, for as long as these are kept: from all of them, or from a sample where they are many.

use std::collections::BTreeMap;

use super::error::QueryError;
use super::query::{self, Group, Usage};
use super::reader::{Cells, Session};
use super::report::Report;
use super::rollup::{DAY_S, HOUR_S, Sums, floor};
use super::row::Value;
use super::schema::{CALLS, Column, Measure, joined};
use super::span::parse_time;

/// Upper bounds, in milliseconds, between which single calls are counted to find percentiles.
pub(super) const BOUNDS_MS: [i64; 26] = [
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

/// About how many calls of a time are looked at to find percentiles. Of two million
/// the median is then off by less than a hundredth, and they are read in a second or two instead of ten.
const LOOKED_AT: i64 = 200_000;

/// Calls are chosen by the millisecond in which they began, modulo this prime: it has nothing to do with when programs call.
const CHOSEN_OF: i64 = 997;

/// The longest time that may be asked for, in seconds.
const LONGEST_S: i64 = 400 * DAY_S;

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
    /// From a time to another, in seconds since 1970; steps as long as its length needs.
    Between {
        /// From when on.
        since: i64,
        /// Until when.
        until: i64,
    },
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

    /// From a time to another, as people write them. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// One is no time, or they are too far from each other.
    pub fn between(since: &str, until: &str, now: i64) -> Result<Range, QueryError> {
        let (since, until) = (parse_time("since", since, now)?, parse_time("until", until, now)?);
        match until - since {
            ..=0 => Err(QueryError::asked("until", "must be after `since`")),
            length if length > LONGEST_S => Err(QueryError::asked("since", "ask for 400 days at most")),
            _ => Ok(Range::Between { since, until }),
        }
    }

    /// The beginning of its first step and the end of its last, if it is now `now`.
    fn around(self, now: i64) -> (i64, i64) {
        let step = self.step_s();
        match self {
            Range::Between { since, until } => (floor(since, step), floor(until + step - 1, step)),
            _ => {
                let until = floor(now, step) + step;
                (until - self.length_s(), until)
            }
        }
    }

    /// Its length, in seconds.
    pub const fn length_s(self) -> i64 {
        match self {
            Range::Minutes => 15 * 60,
            Range::Hour => HOUR_S,
            Range::Day => DAY_S,
            Range::Week => 7 * DAY_S,
            Range::Month => 30 * DAY_S,
            Range::Between { since, until } => until - since,
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
            Range::Between { since, until } => match until - since {
                length if length <= HOUR_S / 2 => 15,
                length if length <= 3 * HOUR_S => 60,
                length if length <= 36 * HOUR_S => 15 * 60,
                length if length <= 14 * DAY_S => HOUR_S,
                _ => DAY_S,
            },
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
    /// Whether the sums of the time before, as long as this one, are wanted too.
    pub compares: bool,
    /// Only calls of these teams; `None` for all calls, also those of no team.
    pub teams: Option<Vec<String>>,
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
    pub groups: Vec<(String, Point)>,
    /// Of how many calls the percentiles were found; fewer than there were where they are a sample, or not kept any more.
    pub looked_at: i64,
    /// What the time before adds up to, where it was asked for.
    pub before: Option<Sums>,
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

/// The store, and whose calls are asked for: what asks the one cannot forget the other.
struct Asking<'a> {
    session: &'a mut Session,
    teams: Option<&'a [String]>,
}

impl Asking<'_> {
    fn sums(&mut self, by: Vec<Group>, since: i64, until: i64) -> Result<Report, QueryError> {
        let usage = Usage {
            teams: self.teams.map(<[String]>::to_vec),
            ..sums_by(by, since, until)
        };
        query::answer(self.session, &usage)
    }
}

/// Answers a question.
pub(super) fn answer(session: &mut Session, overview: &Overview) -> Result<Timeline, QueryError> {
    let teams = overview.teams.as_deref();
    let asking = &mut Asking { session, teams };
    let step = overview.range.step_s();
    let (since, until) = overview.range.around(overview.now);
    // First, because PostgreSQL answers nothing more in a view in which something took too long.
    let before = match overview.compares {
        true => Some(sums_of(asking, since - (until - since), since)?),
        false => None,
    };
    let mut timeline = match step {
        ..HOUR_S => of_calls(asking, overview.by, since, until, step)?,
        _ => of_sums(asking, overview.by, since, until, step)?,
    };
    if step < HOUR_S && timeline.total.sums.get(Measure::Calls) == 0 && until - since >= HOUR_S {
        // Single calls may not be kept any more; hours are kept longer.
        timeline = of_sums(asking, overview.by, floor(since, HOUR_S), until, HOUR_S)?;
    }
    timeline.before = before;
    match add_percentiles(asking, overview.by, &mut timeline) {
        // The sums are right without them.
        Ok(()) | Err(QueryError::Slow(_)) => Ok(timeline),
        Err(error) => Err(error),
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
        looked_at: 0,
        before: None,
    }
}

const NONE: Spread = Spread([0; BOUNDS_MS.len() + 1]);

/// How calls spread over time: how long they took, and their times to first tokens.
#[derive(Clone, Copy)]
struct Spreads {
    latency: Spread,
    first_token: Spread,
}

impl Spreads {
    const NONE: Spreads = Spreads {
        latency: NONE,
        first_token: NONE,
    };

    /// What is selected to read them: counts up to each bound.
    fn selected() -> String {
        let counts =
            |column: &str| {
                joined(BOUNDS_MS.iter().map(|bound| {
                    format!("CAST(SUM(CASE WHEN {column} <= {bound} THEN 1 ELSE 0 END) AS BIGINT)")
                }))
            };
        format!("{}, {}", counts("latency_ms"), counts("ttft_ms"))
    }

    /// Reads them from a row; `sums` are of the same calls.
    fn read(row: &Cells, first: usize, sums: &Sums) -> Spreads {
        Spreads {
            latency: Spread::read(row, first, sums.get(Measure::Calls)),
            first_token: Spread::read(row, first + BOUNDED, sums.get(Measure::TimedCalls)),
        }
    }

    fn add(&mut self, other: &Spreads) {
        self.latency.add(&other.latency);
        self.first_token.add(&other.first_token);
    }

    fn tell(&self, point: &mut Point) {
        point.latency = self.latency.percentiles();
        point.first_token = self.first_token.percentiles();
    }
}

fn of_calls(
    asking: &mut Asking<'_>,
    by: Column,
    since: i64,
    until: i64,
    step: i64,
) -> Result<Timeline, QueryError> {
    let mut timeline = empty(since, until, step);
    for (at, sums) in summed(asking, &step_of(step), since, until)? {
        let at = at.parse::<i64>().unwrap_or(0) / 1000;
        let place = usize::try_from((at - since) / step).ok();
        if let Some(point) = place.and_then(|place| timeline.points.get_mut(place)) {
            point.sums = sums;
        }
        timeline.total.sums.add(&sums);
    }
    for (name, sums) in summed(asking, &name_of(by), since, until)? {
        let point = Point {
            sums,
            ..Point::default()
        };
        timeline.groups.push((name, point));
    }
    sort(&mut timeline.groups);
    Ok(timeline)
}

/// Sums of single calls by `group`, which is SQL.
fn summed(
    asking: &mut Asking<'_>,
    group: &str,
    since: i64,
    until: i64,
) -> Result<Vec<(String, Sums)>, QueryError> {
    let mut within = vec![Value::Number(since * 1000), Value::Number(until * 1000)];
    let of_teams = query::among(asking.teams, &mut within);
    let of_teams = of_teams.map_or_else(String::new, |teams| format!(" AND {teams}"));
    let sums = joined(SUMMED.iter().map(|measure| sum(*measure).to_owned()));
    let sql = format!(
        "SELECT {group} AS part, {sums} FROM {CALLS} WHERE time_ms >= $1 AND time_ms < $2{of_teams} GROUP BY 1"
    );
    let read = |row: &Cells| (row.text(0).unwrap_or_default().to_owned(), read(row, 1));
    Ok(asking.session.select(&sql, &within)?.iter().map(read).collect())
}

/// The step of a call as SQL: a text of milliseconds.
fn step_of(step_s: i64) -> String {
    format!("CAST(time_ms - time_ms % {} AS TEXT)", step_s * 1000)
}

fn name_of(by: Column) -> String {
    format!("COALESCE({}, '')", by.name())
}

/// Single calls by `group`, which is SQL: of each group its sums and spreads. Of [`CHOSEN_OF`] calls `chosen` are looked at.
fn looked(
    asking: &mut Asking<'_>,
    group: &str,
    since: i64,
    until: i64,
    chosen: i64,
) -> Result<Vec<(String, Sums, Spreads)>, QueryError> {
    let mut within = vec![Value::Number(since * 1000), Value::Number(until * 1000)];
    let of_teams = query::among(asking.teams, &mut within);
    let of_teams = of_teams.map_or_else(String::new, |teams| format!(" AND {teams}"));
    let sums = joined(SUMMED.iter().map(|measure| sum(*measure).to_owned()));
    let sample = match chosen {
        ..CHOSEN_OF => format!(" AND time_ms % {CHOSEN_OF} < {chosen}"),
        _ => String::new(),
    };
    let sql = format!(
        "SELECT {group} AS part, {sums}, {} FROM {CALLS} WHERE time_ms >= $1 AND time_ms < $2{of_teams}{sample} GROUP BY 1",
        Spreads::selected(),
    );
    let read = |row: &Cells| {
        let sums = read(row, 1);
        let spreads = Spreads::read(row, 1 + SUMMED.len(), &sums);
        (row.text(0).unwrap_or_default().to_owned(), sums, spreads)
    };
    Ok(asking.session.select(&sql, &within)?.iter().map(read).collect())
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
    asking: &mut Asking<'_>,
    by: Column,
    since: i64,
    until: i64,
    step: i64,
) -> Result<Timeline, QueryError> {
    let mut timeline = empty(since, until, step);
    let group = if step == HOUR_S { Group::Hour } else { Group::Day };
    let along = asking.sums(vec![group], since, until)?;
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
    let groups = asking.sums(vec![Group::Key(by)], since, until)?;
    let named = groups.rows.into_iter().map(|row| {
        let point = Point {
            sums: row.sums,
            ..Point::default()
        };
        (row.group.into_iter().next().unwrap_or_default(), point)
    });
    timeline.groups = named.collect();
    sort(&mut timeline.groups);
    Ok(timeline)
}

/// Finds percentiles from single calls, for as much of the time as these are kept.
fn add_percentiles(asking: &mut Asking<'_>, by: Column, timeline: &mut Timeline) -> Result<(), QueryError> {
    let calls = timeline.total.sums.get(Measure::Calls).max(1);
    let chosen = (LOOKED_AT.saturating_mul(CHOSEN_OF) / calls).clamp(1, CHOSEN_OF);
    let (since, until, step) = (timeline.since, timeline.until, timeline.step_s);
    let steps = looked(asking, &step_of(step), since, until, chosen)?;
    let groups = looked(asking, &name_of(by), since, until, chosen)?;
    let mut all = Spreads::NONE;
    for (at, sums, spreads) in steps {
        let at = at.parse::<i64>().unwrap_or(0) / 1000;
        let place = usize::try_from((at - since) / step).ok();
        if let Some(point) = place.and_then(|place| timeline.points.get_mut(place)) {
            spreads.tell(point);
        }
        timeline.looked_at += sums.get(Measure::Calls);
        all.add(&spreads);
    }
    all.tell(&mut timeline.total);
    let found: BTreeMap<String, Spreads> = groups
        .into_iter()
        .map(|(name, _, spreads)| (name, spreads))
        .collect();
    for (name, point) in &mut timeline.groups {
        if let Some(spreads) = found.get(name) {
            spreads.tell(point);
        }
    }
    Ok(())
}

fn sums_by(by: Vec<Group>, since: i64, until: i64) -> Usage {
    Usage {
        by,
        since,
        until,
        only: Vec::new(),
        teams: None,
    }
}

/// What a time adds up to: from single calls where it is short, so that it is cut as the time after it.
fn sums_of(asking: &mut Asking<'_>, since: i64, until: i64) -> Result<Sums, QueryError> {
    if until - since > DAY_S {
        return Ok(asking.sums(Vec::new(), since, until)?.totals);
    }
    let mut all = Sums::default();
    for (_, sums) in summed(asking, "''", since, until)? {
        all.add(&sums);
    }
    Ok(all)
}

/// The dearest first, then who calls most; no more than are shown.
fn sort(groups: &mut Vec<(String, Point)>) {
    groups.sort_by(|(name, point), (other_name, other)| {
        let key = |point: &Point| {
            let sums = &point.sums;
            (sums.get(Measure::CostMicroUsd), sums.get(Measure::Calls))
        };
        key(other).cmp(&key(point)).then_with(|| name.cmp(other_name))
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
