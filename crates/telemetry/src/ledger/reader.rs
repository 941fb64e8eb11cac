//! Reads a store beside the writer, on the thread that asks. Also for other processes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, params_from_iter};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::calls::{self, Call, Calls};
use super::error::{LedgerError, QueryError};
use super::overview::{self, Overview, Timeline};
use super::pending;
use super::postgres::Link;
use super::query::{self, Usage};
use super::report::Report;
use super::row::Value;
use super::schema::{CALLS, Column, KEYS, USED, summed};
use super::{Place, sqlite};

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers questions about the ledger. Every answer takes a connection of its own, blocks the thread that asks, and has a
/// time limit.
#[derive(Clone)]
pub struct Reader {
    place: Place,
}

impl Reader {
    /// A reader of this place.
    pub fn new(place: Place) -> Reader {
        Reader { place }
    }

    /// Sums of many calls.
    ///
    /// # Errors
    /// The store cannot be read, or it takes too long.
    pub fn usage(&self, usage: &Usage) -> Result<Report, QueryError> {
        query::answer(&mut self.session()?, usage)
    }

    /// Calls, the newest first.
    ///
    /// # Errors
    /// The store cannot be read, or it takes too long.
    pub fn calls(&self, calls: &Calls) -> Result<Vec<Call>, QueryError> {
        calls::list(&mut self.session()?, calls)
    }

    /// One call; `None` if it is not kept, or is of none of these teams where some are named.
    ///
    /// # Errors
    /// The store cannot be read, or it takes too long.
    pub fn call(&self, request_id: &str, teams: Option<&[String]>) -> Result<Option<Call>, QueryError> {
        calls::one(&mut self.session()?, request_id, teams)
    }

    /// Whether anything is kept of calls of a team.
    ///
    /// # Errors
    /// The store cannot be read, or it takes too long.
    pub fn knows_team(&self, team: &str) -> Result<bool, QueryError> {
        let mut session = match self.session() {
            Err(QueryError::Store(LedgerError::Missing(_))) => return Ok(false),
            other => other?,
        };
        let column = Column::Team.name();
        let summed = format!("SELECT CAST(1 AS BIGINT) FROM {KEYS} WHERE {column} = $1 LIMIT 1");
        if !session.select(&summed, &[Value::Text(team)])?.is_empty() {
            return Ok(true);
        }
        let mark = Value::Number(session.mark()?);
        let pending = format!(
            "SELECT CAST(1 AS BIGINT) FROM {CALLS} WHERE {} AND {column} = $3 LIMIT 1",
            pending::condition()
        );
        let found = session.select(&pending, &[mark, Value::Number(i64::MAX), Value::Text(team)])?;
        Ok(!found.is_empty())
    }

    /// A time at a glance: how calls went along it, and by whom.
    ///
    /// # Errors
    /// The store cannot be read, or it takes too long.
    pub fn overview(&self, overview: &Overview) -> Result<Timeline, QueryError> {
        overview::answer(&mut self.session()?, overview)
    }

    /// When credentials were used last: by their ids, in milliseconds since 1970. Of calls that are added up, those since
    /// `since_ms`; of calls that are not yet, which costs a look at each of them, those since `latest_ms`. Nothing where there
    /// is no store yet.
    ///
    /// # Errors
    /// The store cannot be read, or it takes too long.
    pub fn used(&self, since_ms: u64, latest_ms: u64) -> Result<Vec<(String, u64)>, QueryError> {
        let mut session = match self.session() {
            Err(QueryError::Store(LedgerError::Missing(_))) => return Ok(Vec::new()),
            other => other?,
        };
        let mark = session.mark()?;
        let number = |time_ms: u64| i64::try_from(time_ms).unwrap_or(i64::MAX);
        let noted = session.select(
            &format!("SELECT credential, at_ms FROM {USED} WHERE at_ms >= $1"),
            &[Value::Number(number(since_ms))],
        )?;
        // Those of pending calls are noted when these are added up.
        let pending = session.select(
            &pending::used(),
            &[
                Value::Number(number(latest_ms).max(mark)),
                Value::Number(i64::MAX),
            ],
        )?;
        let read = |row: &Cells| Some((row.text(0)?.to_owned(), u64::try_from(row.number(1)?).ok()?));
        let mut used = BTreeMap::<String, u64>::new();
        for (credential, at_ms) in noted.iter().chain(&pending).filter_map(read) {
            let last = used.entry(credential).or_default();
            *last = at_ms.max(*last);
        }
        Ok(used.into_iter().collect())
    }

    pub(super) fn session(&self) -> Result<Session, QueryError> {
        Ok(match &self.place {
            Place::File(path) => {
                let mut connection = sqlite::open_to_read(path)?;
                let until = Instant::now() + LIMIT;
                let is_late = move || Instant::now() > until;
                connection
                    .progress_handler(100_000, Some(is_late))
                    .and_then(|()| connection.execute_batch("BEGIN"))
                    .map_err(|error| sqlite::failed(path, error))?;
                Session::Sqlite(connection, path.display().to_string())
            }
            Place::Postgres(database) => {
                let mut link = Link::new(database)?;
                link.connect_to_read(LIMIT)?;
                Session::Postgres(Box::new(link), super::postgres::place(&database.config))
            }
        })
    }
}

/// One view of the store: everything read through it belongs together.
pub(super) enum Session {
    Sqlite(Connection, String),
    Postgres(Box<Link>, String),
}

/// What stands in a place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Number(i64),
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cells(pub(super) Vec<Cell>);

impl Cells {
    pub(super) fn number(&self, place: usize) -> Option<i64> {
        match self.0.get(place) {
            Some(Cell::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, place: usize) -> Option<&str> {
        match self.0.get(place) {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl Session {
    /// Up to which time calls are in the sums, in milliseconds since 1970.
    pub(super) fn mark(&mut self) -> Result<i64, QueryError> {
        let rows = self.select(&summed(), &[])?;
        Ok(rows.first().and_then(|row| row.number(0)).unwrap_or(0))
    }

    /// Asks. Parameters are `$1`, `$2`, ..., each used for the first time in this order.
    pub(super) fn select(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<Vec<Cells>, QueryError> {
        match self {
            Session::Sqlite(connection, place) => {
                select_sqlite(connection, sql, parameters).map_err(|error| match error.sqlite_error_code() {
                    Some(ErrorCode::OperationInterrupted) => QueryError::Slow(LIMIT.as_secs()),
                    _ => said(place, error),
                })
            }
            Session::Postgres(link, place) => {
                select_postgres(link, sql, parameters).map_err(|error| match error.code() {
                    Some(code) if *code == SqlState::QUERY_CANCELED => QueryError::Slow(LIMIT.as_secs()),
                    _ => said(place, super::postgres::text(&error)),
                })
            }
        }
    }
}

fn said(place: &str, reason: impl std::fmt::Display) -> QueryError {
    QueryError::Store(LedgerError::Store {
        place: place.to_owned(),
        reason: reason.to_string(),
    })
}

fn select_sqlite(
    connection: &Connection,
    sql: &str,
    parameters: &[Value<'_>],
) -> rusqlite::Result<Vec<Cells>> {
    let mut statement = connection.prepare(sql)?;
    let width = statement.column_count();
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(width);
        for place in 0..width {
            cells.push(match row.get_ref(place)? {
                ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Integer(number) => Cell::Number(number),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Cell::Null,
            });
        }
        all.push(Cells(cells));
    }
    Ok(all)
}

fn select_postgres(
    link: &mut Link,
    sql: &str,
    parameters: &[Value<'_>],
) -> Result<Vec<Cells>, tokio_postgres::Error> {
    let parameters = super::postgres::parameters(parameters);
    let rows = link.ask(async |client| client.query(sql, &parameters).await)?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut cells = Vec::with_capacity(row.len());
        for (place, column) in row.columns().iter().enumerate() {
            cells.push(match *column.type_() {
                Type::INT8 => row
                    .try_get::<_, Option<i64>>(place)?
                    .map_or(Cell::Null, Cell::Number),
                _ => row
                    .try_get::<_, Option<String>>(place)?
                    .map_or(Cell::Null, Cell::Text),
            });
        }
        all.push(Cells(cells));
    }
    Ok(all)
}
