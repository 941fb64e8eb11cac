//! Questions about many calls: which sums, of which time, of whom.

use std::collections::BTreeMap;

use super::error::QueryError;
use super::pending;
use super::reader::{Cells, Session};
use super::report::{Report, ReportRow};
use super::rollup::{DAY_S, HOUR_S, Sums, floor};
use super::row::Value;
use super::schema::{CALLS, Column, DAYS, HOURS, KEY_COLUMNS, KEYS, Measure, joined};
use super::span::{day_text, hour_text, month_text, next_day, parse_time, shown, time_text};

/// Rows of an answer at most.
const MAX_ROWS: usize = 100_000;

/// What is answered when nothing is said: the last seven days.
const USUAL_SINCE: &str = "7d";

/// What sums are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The hour.
    Hour,
    /// The day.
    Day,
    /// The month.
    Month,
    /// One of [`KEY_COLUMNS`].
    Key(Column),
}

impl Group {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Group> {
        [Group::Hour, Group::Day, Group::Month]
            .into_iter()
            .chain(KEY_COLUMNS.map(Group::Key))
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Hour => "hour",
            Group::Day => "day",
            Group::Month => "month",
            Group::Key(column) => key_name(column),
        }
    }

    /// Whether it is a time.
    pub(super) fn is_time(self) -> bool {
        !matches!(self, Group::Key(_))
    }
}

/// The word for a key in questions: `model` is the one that answered.
fn key_name(column: Column) -> &'static str {
    match column {
        Column::ModelServed => "model",
        _ => column.name(),
    }
}

/// A question about many calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What sums are grouped by, in this order; nothing for one sum of everything.
    pub by: Vec<Group>,
    /// From when on, in seconds since 1970. The hour that it is in counts as a whole.
    pub since: i64,
    /// Until when, in seconds since 1970. The hour that it is in counts as a whole.
    pub until: i64,
    /// Only calls that have these.
    pub only: Vec<(Column, String)>,
    /// Only calls of these teams; `None` for all calls, also those of no team.
    pub teams: Option<Vec<String>>,
}

impl Usage {
    /// Reads a question from parameters: `by`, `since`, `until`, and the names of keys to choose by. `now` is in seconds
    /// since 1970.
    ///
    /// # Errors
    /// A parameter is unknown or wrong; the text names it and says what is allowed.
    pub fn of<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: i64,
    ) -> Result<Usage, QueryError> {
        let (mut since, mut until) = (USUAL_SINCE.to_owned(), "now".to_owned());
        let mut usage = Usage {
            by: vec![Group::Key(Column::Consumer), Group::Key(Column::ModelServed)],
            since: 0,
            until: 0,
            only: Vec::new(),
            teams: None,
        };
        for (name, value) in parameters {
            match name {
                "by" => usage.by = groups(value)?,
                "since" => value.clone_into(&mut since),
                "until" => value.clone_into(&mut until),
                _ => match KEY_COLUMNS.into_iter().find(|column| key_name(*column) == name) {
                    Some(column) => usage.only.push((column, value.to_owned())),
                    None => return Err(unknown(name, &["by", "since", "until"])),
                },
            }
        }
        usage.since = parse_time("since", &since, now)?;
        usage.until = parse_time("until", &until, now)?;
        if usage.until < usage.since {
            return Err(QueryError::asked("until", "is before `since`"));
        }
        Ok(usage)
    }
}

/// The condition that a call is of one of these teams, with the parameters that it takes; nothing where all calls count.
pub(super) fn among<'t>(teams: Option<&'t [String]>, parameters: &mut Vec<Value<'t>>) -> Option<String> {
    let teams = teams?;
    if teams.is_empty() {
        return Some("1 = 0".to_owned());
    }
    let first = parameters.len() + 1;
    parameters.extend(teams.iter().map(|team| Value::Text(team)));
    let places = joined((first..=parameters.len()).map(|number| format!("${number}")));
    Some(format!("{} IN ({places})", Column::Team.name()))
}

/// The refusal of a parameter that nobody knows.
pub(super) fn unknown(name: &str, others: &[&str]) -> QueryError {
    let allowed = others.iter().copied().chain(KEY_COLUMNS.map(key_name));
    QueryError::asked(
        &shown(name),
        format!("unknown parameter; allowed: {}", joined(allowed)),
    )
}

fn groups(text: &str) -> Result<Vec<Group>, QueryError> {
    let mut groups = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let group = Group::all().find(|group| group.name() == word).ok_or_else(|| {
            let allowed = joined(Group::all().map(Group::name));
            QueryError::asked("by", format!("`{}` is unknown; allowed: {allowed}", shown(word)))
        })?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let times = groups.iter().filter(|group| group.is_time()).count();
    if times > 1 {
        return Err(QueryError::asked("by", "name only one of hour, day and month"));
    }
    Ok(groups)
}

/// A part of the time, and the table that is asked about it.
struct Part {
    table: &'static str,
    from: i64,
    to: i64,
}

/// Answers a question.
pub(super) fn answer(session: &mut Session, usage: &Usage) -> Result<Report, QueryError> {
    let mark = session.mark()?;
    let kept_since = first_hour(session, mark)?;
    let (since, until, parts) = parts(usage, kept_since);
    let mut notes = Vec::new();
    if usage.by.contains(&Group::Hour)
        && let Some(first) = kept_since
        && since < first
        && first_day(session)?.is_some_and(|day| day < floor(first, DAY_S))
    {
        notes.push(format!(
            "hours are kept since {}; ask by day for what was before",
            time_text(first)
        ));
    }
    let mut sums = BTreeMap::<Vec<String>, Sums>::new();
    let mut totals = Sums::default();
    let mut found = ask_pending(session, usage, mark, (since, until))?;
    for part in &parts {
        found.extend(ask(session, usage, part)?);
    }
    for (group, one) in found {
        totals.add(&one);
        sums.entry(group).or_default().add(&one);
    }
    if sums.len() > MAX_ROWS {
        return Err(QueryError::asked(
            "by",
            format!("the answer has more than {MAX_ROWS} rows; ask for a shorter time or fewer groups"),
        ));
    }
    let mut rows: Vec<ReportRow> = sums
        .into_iter()
        .map(|(group, sums)| ReportRow { group, sums })
        .collect();
    if !usage.by.first().is_some_and(|group| group.is_time()) {
        // The dearest first; the map's order decides between equals.
        rows.sort_by_key(|row| {
            let sum = |measure| std::cmp::Reverse(row.sums.get(measure));
            (sum(Measure::CostMicroUsd), sum(Measure::Calls))
        });
    }
    Ok(Report {
        since,
        until,
        by: usage.by.clone(),
        rows,
        totals,
        notes,
    })
}

/// Which tables are asked about which times: days for whole days, hours for what is left of the others. Where hours are
/// gone, whole days are meant.
fn parts(usage: &Usage, kept_since: Option<i64>) -> (i64, i64, Vec<Part>) {
    let mut since = floor(usage.since, HOUR_S);
    let mut until = floor(usage.until.saturating_add(HOUR_S - 1), HOUR_S);
    let hours = |from, to| Part {
        table: HOURS,
        from,
        to,
    };
    if usage.by.contains(&Group::Hour) {
        return (since, until, vec![hours(since, until)]);
    }
    let is_gone = |time: i64| time % DAY_S != 0 && kept_since.is_none_or(|first| time < first);
    if is_gone(since) {
        since = floor(since, DAY_S);
    }
    if is_gone(until) {
        until = next_day(until);
    }
    let (first, last) = (next_day(since), floor(until, DAY_S));
    let parts = if first >= last {
        match (since % DAY_S, until % DAY_S) {
            (0, 0) => Vec::new(),
            _ => vec![hours(since, until)],
        }
    } else {
        let days = Part {
            table: DAYS,
            from: first,
            to: last,
        };
        vec![hours(since, first), days, hours(last, until)]
    };
    let parts = parts.into_iter().filter(|part| part.from < part.to);
    (since, until, parts.collect())
}

/// A time as a group of an answer has it; empty for groups that are no times.
pub(super) fn time_of(group: Group, seconds: i64) -> String {
    match group {
        Group::Hour => hour_text(seconds),
        Group::Day => day_text(seconds),
        Group::Month => month_text(seconds),
        Group::Key(_) => String::new(),
    }
}

/// The first hour of which more than its day is known.
fn first_hour(session: &mut Session, mark: i64) -> Result<Option<i64>, QueryError> {
    let sql = format!(
        "SELECT time_ms FROM {CALLS} WHERE {} ORDER BY time_ms LIMIT 1",
        pending::condition()
    );
    let rows = session.select(&sql, &[Value::Number(mark), Value::Number(i64::MAX)])?;
    let pending = rows.first().and_then(|row| row.number(0));
    let pending = pending.map(|time| floor(time.div_euclid(1000), HOUR_S));
    Ok(first(session, HOURS)?.into_iter().chain(pending).min())
}

fn first_day(session: &mut Session) -> Result<Option<i64>, QueryError> {
    first(session, DAYS)
}

fn first(session: &mut Session, table: &str) -> Result<Option<i64>, QueryError> {
    let rows = session.select(&format!("SELECT MIN(start) FROM {table}"), &[])?;
    Ok(rows.first().and_then(|row| row.number(0)))
}

fn ask(session: &mut Session, usage: &Usage, part: &Part) -> Result<Vec<(Vec<String>, Sums)>, QueryError> {
    let bucket = usage.by.iter().find(|group| group.is_time());
    let bucket_sql = match bucket {
        None => None,
        Some(Group::Hour) => Some("start".to_owned()),
        Some(_) if part.table == DAYS => Some("start".to_owned()),
        Some(_) => Some(format!("start - start % {DAY_S}")),
    };
    let keys = keys(usage);
    let mut parameters = vec![Value::Number(part.from), Value::Number(part.to)];
    let mut chosen = Vec::new();
    for (column, text) in &usage.only {
        parameters.push(Value::Text(text));
        chosen.push(format!("{} = ${}", column.name(), parameters.len()));
    }
    chosen.extend(among(usage.teams.as_deref(), &mut parameters));
    let only = match chosen.is_empty() {
        true => String::new(),
        false => format!(
            " AND key IN (SELECT id FROM {KEYS} WHERE {})",
            chosen.join(" AND ")
        ),
    };
    let names = keys.iter().map(|column| format!("k.{}", column.name()));
    let sql = match bucket_sql {
        // Few keys have many times: they are added up before anybody asks what the keys mean.
        None => {
            let names = joined(std::iter::once("s.bucket".to_owned()).chain(names));
            format!(
                "SELECT {names}, {outer} FROM (SELECT CAST(0 AS BIGINT) AS bucket, key, {inner} FROM {table} \
                 WHERE start >= $1 AND start < $2{only} GROUP BY key) s JOIN {KEYS} k ON k.id = s.key GROUP BY {names}",
                outer = sums("s."),
                inner = sums(""),
                table = part.table,
            )
        }
        // There is a row for every time and key already.
        Some(bucket) => {
            let join = match keys.is_empty() {
                true => String::new(),
                false => format!(" JOIN {KEYS} k ON k.id = u.key"),
            };
            let names = joined(std::iter::once(bucket).chain(names));
            format!(
                "SELECT {names}, {sums} FROM {table} u{join} WHERE start >= $1 AND start < $2{only} GROUP BY {names}",
                sums = sums("u."),
                table = part.table,
            )
        }
    };
    Ok(read(usage, &session.select(&sql, &parameters)?))
}

/// The same of calls that are in no sum yet.
fn ask_pending(
    session: &mut Session,
    usage: &Usage,
    mark: i64,
    (since, until): (i64, i64),
) -> Result<Vec<(Vec<String>, Sums)>, QueryError> {
    let bucket = match usage.by.iter().find(|group| group.is_time()) {
        None => "start - start".to_owned(),
        Some(Group::Hour) => "start".to_owned(),
        Some(_) => format!("start - start % {DAY_S}"),
    };
    let names = keys(usage).into_iter().map(|column| column.name().to_owned());
    let names = joined([bucket].into_iter().chain(names));
    let from = mark.max(since.saturating_mul(1000));
    let mut parameters = vec![Value::Number(from), Value::Number(until.saturating_mul(1000))];
    let mut only = Vec::new();
    for (column, text) in &usage.only {
        parameters.push(Value::Text(text));
        only.push(format!("{} = ${}", column.name(), parameters.len()));
    }
    only.extend(among(usage.teams.as_deref(), &mut parameters));
    let only = match only.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", only.join(" AND ")),
    };
    let sql = format!(
        "SELECT {names}, {sums} FROM ({pending}) u{only} GROUP BY {names}",
        sums = sums("u."),
        pending = pending::as_sums()
    );
    Ok(read(usage, &session.select(&sql, &parameters)?))
}

/// What is asked for beside times.
fn keys(usage: &Usage) -> Vec<Column> {
    let key = |group: &Group| match group {
        Group::Key(column) => Some(*column),
        _ => None,
    };
    usage.by.iter().filter_map(key).collect()
}

/// All sums, of a table.
fn sums(of: &str) -> String {
    joined(Measure::ALL.iter().map(|measure| {
        let name = measure.name();
        format!("CAST(SUM({of}{name}) AS BIGINT) AS {name}")
    }))
}

/// Reads rows of a time, keys and sums.
fn read(usage: &Usage, rows: &[Cells]) -> Vec<(Vec<String>, Sums)> {
    let keys = usage.by.iter().filter(|group| !group.is_time()).count();
    let read = rows.iter().map(|row| {
        let time = row.number(0).unwrap_or(0);
        let mut key = 0;
        let group = usage.by.iter().map(|group| match group {
            Group::Key(_) => {
                key += 1;
                row.text(key).unwrap_or_default().to_owned()
            }
            time_group => time_of(*time_group, time),
        });
        let group = group.collect();
        let mut sums = Sums::default();
        for (number, measure) in Measure::ALL.iter().enumerate() {
            sums.add_to(*measure, row.number(1 + keys + number).unwrap_or(0));
        }
        (group, sums)
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_221_039;

    fn refusal(parameters: &[(&str, &str)]) -> String {
        Usage::of(parameters.iter().copied(), NOW)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn mistakes_name_the_parameter_and_what_is_allowed() {
        assert_eq!(
            refusal(&[("by", "consumer,colour")]),
            "by: `colour` is unknown; allowed: hour, day, month, consumer, credential, route, service, provider, instance, \
             model_asked, model, outcome, team"
        );
        assert_eq!(
            refusal(&[("colour", "red")]),
            "colour: unknown parameter; allowed: by, since, until, consumer, credential, route, service, provider, instance, \
             model_asked, model, outcome, team"
        );
        assert_eq!(
            refusal(&[("by", "hour,day")]),
            "by: name only one of hour, day and month"
        );
        assert_eq!(
            refusal(&[("since", "1d"), ("until", "2d")]),
            "until: is before `since`"
        );
        assert!(refusal(&[("until", "soon")]).starts_with("until: `soon` is no time"));
    }

    fn tables(since: i64, until: i64, kept_since: Option<i64>) -> Vec<(&'static str, i64, i64)> {
        let usage = Usage {
            by: Vec::new(),
            since,
            until,
            only: Vec::new(),
            teams: None,
        };
        let (_, _, parts) = parts(&usage, kept_since);
        parts
            .iter()
            .map(|part| (part.table, part.from, part.to))
            .collect()
    }

    #[test]
    fn whole_days_are_read_from_days_and_the_rest_from_hours() {
        let day = 20_000 * DAY_S;
        assert_eq!(
            tables(day + 5 * HOUR_S + 17, day + 3 * DAY_S + 1, Some(0)),
            [
                (HOURS, day + 5 * HOUR_S, day + DAY_S),
                (DAYS, day + DAY_S, day + 3 * DAY_S),
                (HOURS, day + 3 * DAY_S, day + 3 * DAY_S + HOUR_S),
            ]
        );
        assert_eq!(tables(day, day + DAY_S, Some(0)), [(DAYS, day, day + DAY_S)]);
        assert_eq!(
            tables(day + HOUR_S, day + 2 * HOUR_S, Some(0)),
            [(HOURS, day + HOUR_S, day + 2 * HOUR_S)]
        );
        // The hours are gone: the whole first day.
        assert_eq!(
            tables(day + HOUR_S, day + 2 * DAY_S, Some(day + DAY_S)),
            [(DAYS, day, day + 2 * DAY_S)]
        );
    }
}
