//! Questions about single calls.

use std::borrow::Cow;

use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::attempts;
use super::error::QueryError;
use super::query::{among, unknown};
use super::reader::{Cell, Cells, Session};
use super::report::{csv_line, usd};
use super::row::Value;
use super::schema::{CALLS, Column, KEY_COLUMNS, Kind, column_names};
use super::span::{millis_text, parse_time, shown};

/// Calls of an answer, where nothing is said about it.
const USUAL_LIMIT: u32 = 100;

/// Calls of an answer at most.
const MAX_LIMIT: u32 = 1000;

/// A question for calls, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    since_ms: i64,
    until_ms: i64,
    /// Only calls that have these.
    only: Vec<(Column, String)>,
    /// Only calls of these teams; `None` for all calls, also those of no team.
    pub teams: Option<Vec<String>>,
    limit: u32,
    /// The last call of the page before.
    after: Option<(i64, String)>,
}

impl Calls {
    /// Reads a question from parameters: `since`, `until`, `limit`, `after` (what the page before said is next), and names of
    /// columns to choose by. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// A parameter is unknown or wrong; the text names it and says what is allowed.
    pub fn of<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: i64,
    ) -> Result<Calls, QueryError> {
        let (mut since, mut until) = ("24h".to_owned(), None);
        let mut calls = Calls {
            since_ms: 0,
            until_ms: i64::MAX,
            only: Vec::new(),
            teams: None,
            limit: USUAL_LIMIT,
            after: None,
        };
        for (name, value) in parameters {
            match name {
                "since" => value.clone_into(&mut since),
                "until" => until = Some(value.to_owned()),
                "limit" => {
                    calls.limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                        .ok_or_else(|| {
                            let text = format!("`{}` is not a number from 1 to {MAX_LIMIT}", shown(value));
                            QueryError::asked("limit", text)
                        })?;
                }
                "after" => {
                    let read = value
                        .split_once('.')
                        .and_then(|(time, id)| Some((time.parse::<i64>().ok()?, id.to_owned())));
                    calls.after = Some(read.ok_or_else(|| {
                        QueryError::asked("after", "write what the page before has said in `next`")
                    })?);
                }
                _ => {
                    let column = chosen_by()
                        .find(|column| column.name() == name)
                        .or((name == "model").then_some(Column::ModelServed));
                    match column {
                        Some(column) => calls.only.push((column, value.to_owned())),
                        None => {
                            return Err(unknown(
                                name,
                                &["since", "until", "limit", "after", "end_user", "error_code"],
                            ));
                        }
                    }
                }
            }
        }
        calls.since_ms = parse_time("since", &since, now)?.saturating_mul(1000);
        if let Some(until) = until {
            calls.until_ms = parse_time("until", &until, now)?.saturating_mul(1000);
        }
        Ok(calls)
    }

    /// What `after` is for the next page; `None` if this was the last.
    pub fn next(&self, found: &[Call]) -> Option<String> {
        let is_full = usize::try_from(self.limit).is_ok_and(|limit| found.len() >= limit);
        let last = found.last().filter(|_| is_full)?;
        Some(format!(
            "{}.{}",
            last.number(Column::Time).unwrap_or(0),
            last.text(Column::RequestId).unwrap_or_default()
        ))
    }
}

fn chosen_by() -> impl Iterator<Item = Column> {
    KEY_COLUMNS
        .into_iter()
        .chain([Column::EndUser, Column::ErrorCode])
}

/// A call that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call(Cells);

impl Call {
    /// A call as it was kept, with what its attempts left out.
    fn kept(cells: Cells) -> Call {
        let mut call = Call(cells);
        let kept = call.text(Column::Attempts);
        let whole = kept.and_then(|kept| attempts::complete(kept, |column| call.value(column)));
        if let (Some(whole), Some(cell)) = (whole, call.0.0.get_mut(Column::Attempts as usize)) {
            *cell = Cell::Text(whole);
        }
        call
    }

    /// The text in a column.
    pub fn text(&self, column: Column) -> Option<&str> {
        self.0.text(column as usize)
    }

    /// The number in a column.
    pub fn number(&self, column: Column) -> Option<i64> {
        self.0.number(column as usize)
    }

    /// The names of the columns, as the first line of a CSV file.
    pub fn csv_head() -> String {
        csv_line(Column::ALL.iter().map(|column| column.name().to_owned()))
    }

    /// The call as a line of a CSV file.
    pub fn csv(&self) -> String {
        csv_line(self.0.0.iter().map(|cell| match cell {
            Cell::Null => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
        }))
    }

    /// Forgets what was charged to other budgets than these, by their names.
    pub fn keep_charges(&mut self, is_kept: impl Fn(&str) -> bool) {
        let Some(cell @ Cell::Text(_)) = self.0.0.get_mut(Column::Charges as usize) else {
            return;
        };
        let kept = match &cell {
            Cell::Text(text) => serde_json::from_str::<Vec<serde_json::Value>>(text).unwrap_or_default(),
            _ => Vec::new(),
        };
        let of_kept = |charge: &serde_json::Value| charge["budget"].as_str().is_some_and(&is_kept);
        let kept: Vec<serde_json::Value> = kept.into_iter().filter(of_kept).collect();
        *cell = match kept.is_empty() {
            true => Cell::Null,
            false => Cell::Text(serde_json::Value::from(kept).to_string()),
        };
    }

    /// What stands in a column.
    pub(super) fn value(&self, column: Column) -> Value<'_> {
        match self.0.0.get(column as usize) {
            Some(Cell::Text(text)) => Value::Text(text),
            Some(Cell::Number(number)) => Value::Number(*number),
            Some(Cell::Null) | None => Value::Null,
        }
    }
}

impl Serialize for Call {
    /// Every column by its name; JSON as JSON; the time also as a text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for column in Column::ALL {
            match (column.kind(), self.value(*column)) {
                (Kind::Json, Value::Text(text)) => {
                    let line = on_one_line(text);
                    // A provider's object that is no JSON after all is told as a text.
                    match serde_json::from_str::<&RawValue>(&line) {
                        Ok(raw) => map.serialize_entry(column.name(), raw)?,
                        Err(_) => map.serialize_entry(column.name(), text)?,
                    }
                }
                (_, Value::Null) => map.serialize_entry(column.name(), &())?,
                (_, Value::Text(text)) => map.serialize_entry(column.name(), text)?,
                (_, Value::Number(number)) => map.serialize_entry(column.name(), &number)?,
            }
            match (column, self.number(*column)) {
                (Column::Time, Some(time)) => map.serialize_entry("time", &millis_text(time))?,
                (Column::CostMicroUsd, Some(micro)) => map.serialize_entry("cost_usd", &usd(micro))?,
                (Column::CostMicroUsd, None) => map.serialize_entry("cost_usd", &())?,
                _ => {}
            }
        }
        map.end().map_err(S::Error::custom)
    }
}

/// JSON without line breaks, which stand between values only: a call is one line, however its provider writes objects.
fn on_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(['\n', '\r']) {
        true => json.split(['\n', '\r']).map(str::trim_start).collect(),
        false => json.into(),
    }
}

/// Answers a question for calls.
pub(super) fn list(session: &mut Session, calls: &Calls) -> Result<Vec<Call>, QueryError> {
    let mut parameters = vec![Value::Number(calls.since_ms), Value::Number(calls.until_ms)];
    let mut conditions = String::new();
    for (column, text) in &calls.only {
        parameters.push(Value::Text(text));
        conditions.push_str(&format!(" AND {} = ${}", column.name(), parameters.len()));
    }
    if let Some(condition) = among(calls.teams.as_deref(), &mut parameters) {
        conditions.push_str(&format!(" AND {condition}"));
    }
    if let Some((time, id)) = &calls.after {
        parameters.push(Value::Number(*time));
        parameters.push(Value::Text(id));
        conditions.push_str(&format!(
            " AND (time_ms, request_id) < (${}, ${})",
            parameters.len() - 1,
            parameters.len()
        ));
    }
    let sql = format!(
        "SELECT {} FROM {CALLS} WHERE time_ms >= $1 AND time_ms < $2{conditions} ORDER BY time_ms DESC, request_id DESC LIMIT {}",
        column_names(),
        calls.limit
    );
    let rows = session.select(&sql, &parameters)?;
    Ok(rows.into_iter().map(Call::kept).collect())
}

/// Finds a call, of these teams if any are named.
pub(super) fn one(
    session: &mut Session,
    request_id: &str,
    teams: Option<&[String]>,
) -> Result<Option<Call>, QueryError> {
    let mut parameters = vec![Value::Text(request_id)];
    let condition = among(teams, &mut parameters).map_or_else(String::new, |teams| format!(" AND {teams}"));
    let sql = format!(
        "SELECT {} FROM {CALLS} WHERE request_id = $1{condition}",
        column_names()
    );
    let mut rows = session.select(&sql, &parameters)?;
    Ok(rows.pop().map(Call::kept))
}

/// Calls of a time, the oldest first, behind the last that was read.
pub(super) fn page(
    session: &mut Session,
    (from_ms, to_ms): (i64, i64),
    last: Option<&Call>,
    limit: usize,
) -> Result<Vec<Call>, QueryError> {
    let mut parameters = vec![Value::Number(from_ms), Value::Number(to_ms)];
    let mut condition = "";
    if let Some(last) = last {
        parameters.push(last.value(Column::Time));
        parameters.push(last.value(Column::RequestId));
        condition = " AND (time_ms, request_id) > ($3, $4)";
    }
    let sql = format!(
        "SELECT {} FROM {CALLS} WHERE time_ms >= $1 AND time_ms < $2{condition} ORDER BY time_ms, request_id LIMIT {limit}",
        column_names()
    );
    let rows = session.select(&sql, &parameters)?;
    Ok(rows.into_iter().map(Call::kept).collect())
}
