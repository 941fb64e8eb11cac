//! The ledger in a file of SQLite.
//!
//! The file is in WAL mode: whoever reads sees the last whole transaction and never waits, and the writer never waits for
//! readers. `synchronous=FULL`: a transaction is on the disk when it is done, which costs one `fsync` per batch on a thread
//! that nobody waits for. With `NORMAL` a power failure could take the last transactions along.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Statement, Transaction, TransactionBehavior,
    params_from_iter,
};

use super::error::{LedgerError, WriteError};
use super::pending;
use super::rollup::{Hourly, Key, Spent, Sums, Tally, Used, by_day, together};
use super::row::{Row, Value};
use super::rows::Rows;
use super::schema::{
    CALLS, COLUMNS, Column, DAYS, DEFERRED, Dialect, HOURS, KEY_COLUMNS, KEYS, Kind, LEDGER, MAX_KEYS,
    MEASURES, SPEND, SUMMED, USED, VERSION, add_to, column_names, joined, key_names, measure_names, summed,
};
use super::store::{Cutoffs, Due, Store};

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Rows come in thousands, one behind the other: larger pages than usual cost a quarter less to write.
const PAGE_BYTES: u32 = 16 * 1024;

/// Rows that are written without looking whether a worker waits for the processor: a fifth of a millisecond.
const ROWS_AT_ONCE: usize = 64;

/// The open file.
pub(super) struct Sqlite {
    path: PathBuf,
    /// `None` while the file cannot be opened.
    connection: Option<(Connection, Identity)>,
    sql: Sql,
}

/// What tells two files apart, whatever they are called.
type Identity = (u64, u64);

/// The statements of a batch.
struct Sql {
    insert_call: String,
    find_key: String,
    insert_key: String,
    add_hour: String,
    add_day: String,
}

impl Sqlite {
    /// Opens the file, and makes it if it is not there.
    pub(super) fn open(path: &Path) -> Result<Sqlite, LedgerError> {
        Ok(Sqlite {
            connection: Some(open_identified(path)?),
            path: path.to_owned(),
            sql: Sql::new(),
        })
    }
}

impl Store for Sqlite {
    fn write(&mut self, rows: Rows<'_>) -> Result<u64, WriteError> {
        let Sqlite {
            path,
            connection,
            sql,
        } = self;
        // A file that was moved away or deleted would be written on, and nobody would find what is in it.
        if connection
            .as_ref()
            .is_some_and(|(_, opened)| identity(path) != Some(*opened))
        {
            *connection = None;
        }
        let (connection, _) = match connection {
            Some(connection) => connection,
            None => connection.insert(open_identified(path)?),
        };
        let written = write(connection, sql, rows);
        if written.as_ref().is_err_and(is_broken) {
            self.connection = None;
        }
        written.map_err(|error| self.write_error(error))
    }

    fn add_up(&mut self, due: &Due, most: u32) -> Result<bool, WriteError> {
        let Sqlite { connection, sql, .. } = self;
        let Some((connection, _)) = connection else {
            return Ok(false);
        };
        add_up(connection, sql, due, most).map_err(|error| self.write_error(error))
    }

    fn prune(&mut self, cutoffs: &Cutoffs, most: u32) -> Result<bool, WriteError> {
        let Some((connection, _)) = &mut self.connection else {
            return Ok(false);
        };
        prune(connection, cutoffs, most).map_err(|error| self.write_error(error))
    }

    fn spent(&mut self) -> Result<Vec<(String, i64, i64)>, WriteError> {
        let (connection, _) = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(open_identified(&self.path)?),
        };
        all_spent(connection).map_err(|error| self.write_error(error))
    }
}

impl Sqlite {
    #[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
    fn write_error(&self, error: rusqlite::Error) -> WriteError {
        let text = format!("{}: {error}", self.path.display());
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                WriteError::Never(text)
            }
            _ => WriteError::Later(text),
        }
    }
}

/// Whether the file should be opened anew: it was replaced, or cannot be read any more.
fn is_broken(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ConstraintViolation
        )
    )
}

fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn open_identified(path: &Path) -> Result<(Connection, Identity), LedgerError> {
    let connection = open(path)?;
    let identity = identity(path).ok_or_else(|| failed(path, "the file has gone again"))?;
    Ok((connection, identity))
}

fn open(path: &Path) -> Result<Connection, LedgerError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| failed(path, error))?;
    }
    let is_new = !path.exists();
    let mut connection = Connection::open(path).map_err(|error| failed(path, error))?;
    if is_new {
        only_for_its_owner(path);
    }
    migrate(path, &mut connection)?;
    Ok(connection)
}

/// Who calls whom is nobody else's business. On file systems without such rights nothing can be done.
fn only_for_its_owner(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        tracing::warn!(path = %path.display(), %error, "the rights of the usage ledger's file cannot be set");
    }
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), LedgerError> {
    let prepare = |connection: &mut Connection| {
        connection.busy_timeout(BUSY)?;
        // Of a file that is new: a file keeps the size it was made with.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        // Roll-ups and their keys are written and removed together; checking it would read whole tables.
        connection.pragma_update(None, "foreign_keys", false)?;
        // Several processes may come at once; one makes the tables.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = version(&transaction)?;
        let migrations = Dialect::Sqlite.migrations();
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        for migration in migrations.iter().skip(done) {
            transaction.execute_batch(migration)?;
        }
        if found < VERSION {
            transaction.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {LEDGER} (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"
            ))?;
            transaction.execute(
                &format!("INSERT INTO {LEDGER} VALUES ('version', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value"),
                [VERSION],
            )?;
        }
        transaction.commit()?;
        Ok(found)
    };
    let found = prepare(connection).map_err(|error: rusqlite::Error| failed(path, error))?;
    known(path, found)
}

/// The version of the tables; 0 if there are none.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let has_ledger = connection
        .query_row(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1",
            [LEDGER],
            |_| Ok(()),
        )
        .optional()?;
    if has_ledger.is_none() {
        return Ok(0);
    }
    connection.query_row(
        &format!("SELECT value FROM {LEDGER} WHERE name = 'version'"),
        [],
        |row| row.get(0),
    )
}

fn known(path: &Path, found: i64) -> Result<(), LedgerError> {
    if found <= VERSION {
        return Ok(());
    }
    Err(LedgerError::Newer {
        place: path.display().to_string(),
        found,
        known: VERSION,
    })
}

/// Opens the file to read it. It must be there.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing(path.display().to_string()));
    }
    let open = || {
        // Not read-only: after a crash, whoever comes first brings the file in order.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "query_only", true)?;
        let found = version(&connection)?;
        Ok((connection, found))
    };
    let (connection, found) = open().map_err(|error: rusqlite::Error| failed(path, error))?;
    known(path, found)?;
    if found == 0 {
        return Err(LedgerError::Missing(path.display().to_string()));
    }
    if found < VERSION {
        // One of an older program, which nobody has written since.
        drop(connection);
        let connection = self::open(path)?;
        let asks_only = connection.pragma_update(None, "query_only", true);
        asks_only.map_err(|error| failed(path, error))?;
        return Ok(connection);
    }
    Ok(connection)
}

/// Opens the file to change what is in it. It must be there.
pub(super) fn open_to_change(path: &Path) -> Result<Connection, LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing(path.display().to_string()));
    }
    open(path)
}

pub(super) fn failed(path: &Path, error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Store {
        place: path.display().to_string(),
        reason: error.to_string(),
    }
}

impl Sql {
    fn new() -> Sql {
        let add = |table: &str| {
            format!(
                "INSERT INTO {table} (start, key, {}) VALUES ({}) ON CONFLICT (start, key) DO UPDATE SET {}",
                measure_names(),
                places(MEASURES + 2),
                add_to(table)
            )
        };
        let same = joined(
            KEY_COLUMNS
                .iter()
                .enumerate()
                .map(|(number, column)| format!("{} = ?{}", column.name(), number + 1)),
        )
        .replace(", ", " AND ");
        Sql {
            insert_call: format!(
                "INSERT INTO {CALLS} ({}, {DEFERRED}) VALUES ({}) ON CONFLICT (request_id) DO NOTHING",
                column_names(),
                places(COLUMNS + 1)
            ),
            find_key: format!("SELECT id FROM {KEYS} WHERE {same}"),
            insert_key: format!(
                "INSERT INTO {KEYS} ({}) VALUES ({}) RETURNING id",
                key_names(),
                places(KEY_COLUMNS.len())
            ),
            add_hour: add(HOURS),
            add_day: add(DAYS),
        }
    }
}

/// `?1, ?2, ...`
fn places(count: usize) -> String {
    joined((1..=count).map(|number| format!("?{number}")))
}

fn write(connection: &mut Connection, sql: &Sql, rows: Rows<'_>) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mark = mark(&transaction)?;
    let mut new = 0;
    let mut late = Tally::default();
    {
        let mut insert = transaction.prepare_cached(&sql.insert_call)?;
        let mut before = None;
        for (number, row) in rows.iter().enumerate() {
            give_way(number);
            let is_late = row.number_of(Column::Time) < mark;
            let deferred = if is_late { Value::Null } else { Value::Number(1) };
            bind(&mut insert, &row, before.as_ref())?;
            insert.raw_bind_parameter(COLUMNS + 1, deferred)?;
            if insert.raw_execute()? == 1 {
                new += 1;
                if is_late {
                    late.add(&row);
                }
            }
            before = Some(row);
        }
    }
    let (hourly, spent, used) = late.done();
    add_sums(&transaction, sql, &hourly)?;
    add_spent(&transaction, &spent)?;
    note_used(&transaction, &used)?;
    transaction.commit()?;
    Ok(new)
}

/// Binds what differs from the row that was written before: a statement keeps what is bound to it, and calls that follow each
/// other have most in common.
fn bind(insert: &mut Statement<'_>, row: &Row<'_>, before: Option<&Row<'_>>) -> rusqlite::Result<()> {
    for (place, value) in row.values().iter().enumerate() {
        if before.and_then(|before| before.values().get(place)) != Some(value) {
            insert.raw_bind_parameter(place + 1, value)?;
        }
    }
    Ok(())
}

/// Adds up some of the pending calls that are due.
fn add_up(connection: &mut Connection, sql: &Sql, due: &Due, most: u32) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mark = mark(&transaction)?;
    let full = transaction
        .query_row(
            &format!(
                "SELECT time_ms FROM {CALLS} WHERE time_ms >= ?1 AND time_ms < ?2 ORDER BY time_ms LIMIT 1 OFFSET ?3"
            ),
            [mark, due.any_ms, i64::from(most)],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    // Calls of the same millisecond are added up together.
    let end = full.map_or(due.hours_ms, |time| time.max(mark + 1));
    let mut tally = Tally::default();
    let mut found = 0;
    {
        let columns: Vec<Column> = Column::ALL
            .iter()
            .copied()
            .filter(|column| is_added(*column))
            .collect();
        let mut select = transaction.prepare_cached(&format!(
            "SELECT {} FROM {CALLS} WHERE {}",
            joined(columns.iter().map(|column| column.name())),
            pending::condition()
        ))?;
        let mut rows = select.query([mark, end])?;
        while let Some(values) = rows.next()? {
            give_way(found);
            found += 1;
            let mut row = Row::default();
            for (place, column) in columns.iter().enumerate() {
                row.put(*column, value(values.get_ref(place)?));
            }
            tally.add(&row);
        }
    }
    if found > 0 {
        let (hourly, spent, used) = tally.done();
        add_sums(&transaction, sql, &hourly)?;
        add_spent(&transaction, &spent)?;
        note_used(&transaction, &used)?;
    }
    if found > 0 || full.is_some() {
        transaction.execute(
            &format!("UPDATE {LEDGER} SET value = ?1 WHERE name = '{SUMMED}'"),
            [end],
        )?;
    }
    transaction.commit()?;
    Ok(full.is_some())
}

/// Whether sums need it.
fn is_added(column: Column) -> bool {
    match column.kind() {
        Kind::Count | Kind::Number => true,
        _ => KEY_COLUMNS.contains(&column) || matches!(column, Column::CostState | Column::Charges),
    }
}

fn value(value: rusqlite::types::ValueRef<'_>) -> Value<'_> {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(text) => str::from_utf8(text).map_or(Value::Null, Value::Text),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
    }
}

/// Up to which time calls are in the sums, in milliseconds since 1970.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<i64> {
    let mut select = connection.prepare_cached(&summed())?;
    let mark = select.query_row([], |row| row.get(0)).optional()?;
    Ok(mark.unwrap_or(0))
}

/// Lets a worker go first that waits for this processor, from time to time: the system would make it wait for milliseconds, which
/// its clients would notice, and nobody waits for this thread.
fn give_way(number: usize) {
    if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
        std::thread::yield_now();
    }
}

fn all_spent(connection: &mut Connection) -> rusqlite::Result<Vec<(String, i64, i64)>> {
    // One view of both, whoever else adds up.
    let view = connection.transaction()?;
    let mark = mark(&view)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let added = {
        let mut ask = view.prepare(&format!("SELECT budget, start, amount FROM {SPEND}"))?;
        ask.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let pending = {
        let mut ask = view.prepare(&pending::charges(Dialect::Sqlite))?;
        ask.query_map([mark, i64::MAX], read)?
            .collect::<rusqlite::Result<Vec<_>>>()?
    };
    view.commit()?;
    Ok(together(added.into_iter().chain(pending)))
}

fn add_spent(transaction: &Transaction<'_>, spent: &Spent) -> rusqlite::Result<()> {
    let mut add = transaction.prepare_cached(&format!(
        "INSERT INTO {SPEND} (budget, start, amount) VALUES (?1, ?2, ?3) ON CONFLICT (budget, start) DO UPDATE SET \
         amount = {SPEND}.amount + excluded.amount"
    ))?;
    for ((budget, start), amount) in spent {
        add.execute((budget, start, amount))?;
    }
    Ok(())
}

fn note_used(transaction: &Transaction<'_>, used: &Used) -> rusqlite::Result<()> {
    let mut note = transaction.prepare_cached(&format!(
        "INSERT INTO {USED} (credential, at_ms) VALUES (?1, ?2) ON CONFLICT (credential) DO UPDATE SET \
         at_ms = MAX({USED}.at_ms, excluded.at_ms)"
    ))?;
    for (credential, at_ms) in used {
        note.execute((credential, at_ms))?;
    }
    Ok(())
}

fn add_sums(transaction: &Transaction<'_>, sql: &Sql, hourly: &Hourly) -> rusqlite::Result<()> {
    let mut add_hour = transaction.prepare_cached(&sql.add_hour)?;
    let mut add_day = transaction.prepare_cached(&sql.add_day)?;
    for (number, (key, hours)) in hourly.iter().enumerate() {
        give_way(number);
        let id = key_id(transaction, sql, key)?;
        for (hour, sums) in hours {
            add_hour.execute(params_from_iter(numbers(*hour, id, sums)))?;
        }
        for (day, sums) in by_day(hours) {
            add_day.execute(params_from_iter(numbers(day, id, &sums)))?;
        }
    }
    Ok(())
}

fn numbers(start: i64, key: i64, sums: &Sums) -> impl Iterator<Item = i64> {
    [start, key].into_iter().chain(sums.0)
}

/// The id of a key, which is made if it is not there. Of too many keys, the last are all the same.
fn key_id(transaction: &Transaction<'_>, sql: &Sql, key: &Key) -> rusqlite::Result<i64> {
    let find = |key: &Key| {
        transaction
            .prepare_cached(&sql.find_key)?
            .query_row(params_from_iter(&key.0), |row| row.get::<_, i64>(0))
            .optional()
    };
    if let Some(id) = find(key)? {
        return Ok(id);
    }
    let count: i64 = transaction
        .prepare_cached(&format!("SELECT COUNT(*) FROM {KEYS}"))?
        .query_row([], |row| row.get(0))?;
    let is_full = usize::try_from(count).is_ok_and(|count| count >= MAX_KEYS);
    let other;
    let key = if is_full {
        other = key.without_models();
        if let Some(id) = find(&other)? {
            return Ok(id);
        }
        &other
    } else {
        key
    };
    transaction
        .prepare_cached(&sql.insert_key)?
        .query_row(params_from_iter(&key.0), |row| row.get(0))
}

/// Changes the roll-ups by the difference that changed calls make. For whoever changes calls in the same transaction.
pub(super) fn change_sums(transaction: &Transaction<'_>, hourly: &Hourly) -> rusqlite::Result<()> {
    add_sums(transaction, &Sql::new(), hourly)
}

fn prune(connection: &mut Connection, cutoffs: &Cutoffs, most: u32) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mark = mark(&transaction)?;
    let calls = transaction.execute(
        &format!(
            "DELETE FROM {CALLS} WHERE rowid IN (SELECT rowid FROM {CALLS} WHERE time_ms < ?1 ORDER BY time_ms LIMIT ?2)"
        ),
        [cutoffs.calls_ms.min(mark), i64::from(most)],
    )?;
    // Whole hours and days: what is left of an hour would look like all of it.
    let remove = |table: &str, cutoff: i64| {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE start = (SELECT MIN(start) FROM {table} WHERE start < ?1)"),
            [cutoff],
        )
    };
    // What has no period is counted for ever.
    transaction.execute(
        &format!("DELETE FROM {SPEND} WHERE start > 0 AND start < ?1"),
        [cutoffs.days_s],
    )?;
    transaction.execute(
        &format!("DELETE FROM {USED} WHERE at_ms < ?1"),
        [cutoffs.days_s.saturating_mul(1000)],
    )?;
    let hours = remove(HOURS, cutoffs.hours_s)?;
    let days = remove(DAYS, cutoffs.days_s)?;
    // Days are kept longest, so keys can be forgotten only when days are.
    if days > 0 {
        transaction.execute(
            &format!(
                "DELETE FROM {KEYS} WHERE id NOT IN (SELECT key FROM {DAYS} UNION SELECT key FROM {HOURS})"
            ),
            [],
        )?;
    }
    transaction.commit()?;
    Ok(hours > 0 || days > 0 || usize::try_from(most).is_ok_and(|most| calls >= most))
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Number(number) => ValueRef::Integer(*number),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::encoded;
    use super::*;

    #[test]
    fn a_file_of_the_first_version_is_brought_to_this_one_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.db");
        let old = Connection::open(&path).unwrap();
        let measures = ", 1".repeat(MEASURES);
        old.execute_batch(&Dialect::Sqlite.migrations()[0]).unwrap();
        old.execute_batch(&format!(
            "CREATE TABLE {LEDGER} (name TEXT PRIMARY KEY, value BIGINT NOT NULL); \
             INSERT INTO {LEDGER} VALUES ('version', 1); \
             INSERT INTO {KEYS} VALUES (7, 'alice', '', '', '', '', '', '', '', 'ok'); \
             INSERT INTO {HOURS} VALUES (3600, 7{measures});"
        ))
        .unwrap();
        drop(old);
        // Who reads it first finds it whole, too.
        drop(open_to_read(&path).unwrap());
        let mut store = Sqlite::open(&path).unwrap();
        let mut row = Row::default();
        row.text(Column::RequestId, "r1");
        row.text(Column::Consumer, "alice");
        row.text(Column::Outcome, "ok");
        row.text(Column::Team, "search");
        row.text(
            Column::Charges,
            r#"[{"budget":"b:usd:month","start":0,"amount":40},{"budget":"c:usd:day","start":86400,"amount":40}]"#,
        );
        for new in [1, 0] {
            // A call that is written twice is charged once.
            assert_eq!(
                store
                    .write(Rows::first(&encoded(std::slice::from_ref(&row)), 1))
                    .ok(),
                Some(new)
            );
            let due = Due {
                hours_ms: 3_600_000,
                any_ms: 3_600_000,
            };
            assert_eq!(store.add_up(&due, 10).ok(), Some(false));
        }
        let connection = open_to_read(&path).unwrap();
        let read = |sql: &str| -> Vec<(String, i64)> {
            let mut select = connection.prepare(sql).unwrap();
            let rows = select
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            rows.map(Result::unwrap).collect()
        };
        let known = read(&format!(
            "SELECT k.team, h.calls FROM {HOURS} h JOIN {KEYS} k ON k.id = h.key ORDER BY h.start DESC"
        ));
        assert_eq!(known, [(String::new(), 1), ("search".to_owned(), 1)]);
        let spent = read(&format!("SELECT budget, amount FROM {SPEND} ORDER BY budget"));
        assert_eq!(
            spent,
            [("b:usd:month".to_owned(), 40), ("c:usd:day".to_owned(), 40)]
        );
    }
}
