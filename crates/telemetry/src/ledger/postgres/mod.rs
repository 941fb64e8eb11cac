//! The ledger in a database of PostgreSQL. Many gateways may write into the same.

mod link;
mod tls;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{IsNull, ToSql};
use tokio_postgres::{Config, SimpleQueryMessage, Transaction};

use self::link::MIGRATION_LOCK;
pub(super) use self::link::{Link, text};
use super::Database;
use super::error::{LedgerError, WriteError};
use super::pending;
use super::rollup::{Hourly, Key, Spent, Sums, Tally, Used, by_day, together};
use super::row::{Row, Value};
use super::rows::Rows;
use super::schema::{
    CALLS, Column, DAYS, DEFERRED, Dialect, HOURS, KEY_COLUMNS, KEYS, Kind, LEDGER, MAX_KEYS, Measure, SPEND,
    SUMMED, USED, add_to, column_names, joined, key_names, measure_names, summed,
};
use super::store::{Cutoffs, Due, Store};

/// How long one transaction may take.
pub(super) const BATCH_TIME: Duration = Duration::from_secs(30);

/// How long the start waits for the database. Calls are served without it, and it is tried again for longer.
const START_TIME: Duration = Duration::from_secs(5);

/// The number under which gateways agree up to which time calls are added up: whoever writes calls shares it, whoever moves that time
/// has it alone. Both for one transaction.
const SUMS_LOCK: i64 = MIGRATION_LOCK + 1;

/// Calls that are added up at once at most. Meanwhile no gateway can write.
const ADDED_AT_ONCE: u32 = 50_000;

/// Reads the address of a database.
pub(super) fn config(address: &str) -> Result<Config, LedgerError> {
    // libpq's stricter words: certificates and names are always checked here.
    let address = address
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require");
    // The library's text never holds the address.
    let mut config: Config = address
        .parse()
        .map_err(|error: tokio_postgres::Error| LedgerError::Address(text(&error)))?;
    if config.get_hosts().is_empty() {
        return Err(LedgerError::Address("it names no host".to_owned()));
    }
    if config.get_application_name().is_none() {
        config.application_name("tollgate");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    Ok(config)
}

/// Names the database for people, without user and password.
pub(super) fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    let open = match config.get_ssl_mode() {
        SslMode::Disable => " (unencrypted)",
        _ => "",
    };
    format!("PostgreSQL {host}:{port}/{name}{open}")
}

/// The connection of the writer.
pub(super) struct Postgres {
    link: Link,
    sql: Sql,
}

/// The statements of a batch.
struct Sql {
    insert_calls: String,
    find_keys: String,
    insert_keys: String,
    add_hours: String,
    add_days: String,
}

impl Postgres {
    /// Connects if the database can be reached; else that is tried again with the first batch.
    pub(super) fn open(database: &Database) -> Result<Postgres, LedgerError> {
        let mut link = Link::new(database)?;
        match link.connect_within(START_TIME) {
            Err(error @ LedgerError::Newer { .. }) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "the usage ledger cannot be reached; calls wait for it, within bounds");
            }
            Ok(()) => {}
        }
        Ok(Postgres {
            link,
            sql: Sql::new(),
        })
    }
}

impl Store for Postgres {
    fn write(&mut self, rows: Rows<'_>) -> Result<u64, WriteError> {
        let sql = &self.sql;
        let rows: Vec<Row<'_>> = rows.iter().collect();
        self.link.transaction(BATCH_TIME, async |transaction| {
            let mark = shared_mark(transaction).await?;
            let new = insert_calls(transaction, sql, &rows, mark).await?;
            let is_late = |row: &&Row<'_>| row.number_of(Column::Time) < mark;
            let (hourly, spent, used) = Tally::of(new.iter().copied().filter(is_late)).done();
            add_sums(transaction, sql, hourly).await?;
            add_spent(transaction, &spent).await?;
            note_used(transaction, &used).await?;
            Ok(u64::try_from(new.len()).unwrap_or(u64::MAX))
        })
    }

    fn add_up(&mut self, due: &Due, most: u32) -> Result<bool, WriteError> {
        let (sql, due, most) = (&self.sql, *due, most.min(ADDED_AT_ONCE));
        self.link.transaction(BATCH_TIME, async |transaction| {
            // Nobody is kept waiting to find out that there is nothing to do.
            let (mark, end, has_more) = due_part(transaction, &due, most).await?;
            if !has_more && !has_pending(transaction, mark, end).await? {
                return Ok(false);
            }
            transaction
                .execute("SELECT pg_advisory_xact_lock($1)", &[&SUMS_LOCK])
                .await?;
            // Another gateway may have done it meanwhile.
            let (mark, end, has_more) = due_part(transaction, &due, most).await?;
            if end > mark {
                add_sums(transaction, sql, pending_sums(transaction, mark, end).await?).await?;
                let charged = format!(
                    "INSERT INTO {SPEND} (budget, start, amount) {} ORDER BY 1, 2 \
                     ON CONFLICT (budget, start) DO UPDATE SET amount = {SPEND}.amount + excluded.amount",
                    pending::charges(Dialect::Postgres)
                );
                transaction.execute(&charged, &[&mark, &end]).await?;
                let used = format!(
                    "INSERT INTO {USED} (credential, at_ms) {} ORDER BY 1 \
                     ON CONFLICT (credential) DO UPDATE SET at_ms = GREATEST({USED}.at_ms, excluded.at_ms)",
                    pending::used()
                );
                transaction.execute(&used, &[&mark, &end]).await?;
                let moved = format!("UPDATE {LEDGER} SET value = $1 WHERE name = '{SUMMED}'");
                transaction.execute(&moved, &[&end]).await?;
            }
            Ok(has_more)
        })
    }

    fn prune(&mut self, cutoffs: &Cutoffs, most: u32) -> Result<bool, WriteError> {
        let (cutoffs, most) = (*cutoffs, i64::from(most));
        self.link.transaction(BATCH_TIME, async |transaction| {
            let calls = transaction
                .execute(
                    &format!(
                        "DELETE FROM {CALLS} WHERE request_id IN (SELECT request_id FROM {CALLS} WHERE time_ms < LEAST($1, ({mark})) \
                         ORDER BY time_ms LIMIT $2 FOR UPDATE SKIP LOCKED)",
                        mark = summed()
                    ),
                    &[&cutoffs.calls_ms, &most],
                )
                .await?;
            // What has no period is counted for ever.
            let old = format!("DELETE FROM {SPEND} WHERE start > 0 AND start < $1");
            transaction.execute(&old, &[&cutoffs.days_s]).await?;
            let unused = format!("DELETE FROM {USED} WHERE at_ms < $1");
            let cutoff_ms = cutoffs.days_s.saturating_mul(1000);
            transaction.execute(&unused, &[&cutoff_ms]).await?;
            let mut has_more = i64::try_from(calls).is_ok_and(|calls| calls >= most);
            for (table, cutoff) in [(HOURS, cutoffs.hours_s), (DAYS, cutoffs.days_s)] {
                // Whole hours and days: what is left of an hour would look like all of it.
                let removed = transaction
                    .execute(
                        &format!(
                            "DELETE FROM {table} WHERE start = (SELECT MIN(start) FROM {table} WHERE start < $1)"
                        ),
                        &[&cutoff],
                    )
                    .await?;
                has_more |= removed > 0;
            }
            // Keys stay: another gateway may be about to use one. They are bounded.
            Ok(has_more)
        })
    }

    fn spent(&mut self) -> Result<Vec<(String, i64, i64)>, WriteError> {
        self.link.transaction(BATCH_TIME, async |transaction| {
            // Nobody adds up meanwhile, so that a call is in one of both.
            let mark = shared_mark(transaction).await?;
            let ask = format!("SELECT budget, start, amount FROM {SPEND}");
            let mut rows = transaction.query(&ask, &[]).await?;
            let pending = pending::charges(Dialect::Postgres);
            rows.extend(transaction.query(&pending, &[&mark, &i64::MAX]).await?);
            let read = rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
            Ok(together(read.collect::<Result<Vec<_>, tokio_postgres::Error>>()?))
        })
    }
}

impl Sql {
    fn new() -> Sql {
        let arrays = |kinds: &[&str]| {
            joined(
                kinds
                    .iter()
                    .enumerate()
                    .map(|(number, kind)| format!("${}::{kind}[]", number + 1)),
            )
        };
        let kinds = Column::ALL.iter().map(|column| sql_kind(column.kind()));
        let kinds: Vec<&str> = kinds.chain(["int8"]).collect();
        let texts = ["text"; KEY_COLUMNS.len()];
        let numbers = ["int8"; Measure::ALL.len() + 2];
        let same = KEY_COLUMNS
            .map(|column| format!("k.{0} = a.{0}", column.name()))
            .join(" AND ");
        let add = |table: &str| {
            format!(
                "INSERT INTO {table} (start, key, {}) SELECT * FROM UNNEST({}) ON CONFLICT (start, key) DO UPDATE SET {}",
                measure_names(),
                arrays(&numbers),
                add_to(table)
            )
        };
        Sql {
            insert_calls: format!(
                "INSERT INTO {CALLS} ({}, {DEFERRED}) SELECT * FROM UNNEST({}) ON CONFLICT (request_id) DO NOTHING RETURNING request_id",
                column_names(),
                arrays(&kinds)
            ),
            find_keys: format!(
                "SELECT k.id, a.place FROM UNNEST({}) WITH ORDINALITY AS a ({}, place) JOIN {KEYS} k ON {same}",
                arrays(&texts),
                key_names()
            ),
            insert_keys: format!(
                "INSERT INTO {KEYS} ({}) SELECT * FROM UNNEST({}) ON CONFLICT DO NOTHING",
                key_names(),
                arrays(&texts)
            ),
            add_hours: add(HOURS),
            add_days: add(DAYS),
        }
    }
}

const fn sql_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Text | Kind::Json => "text",
        Kind::Count | Kind::Number => "int8",
    }
}

/// A column of many rows, as a statement takes it.
enum Array<'a> {
    Texts(Vec<Option<&'a str>>),
    Numbers(Vec<Option<i64>>),
}

impl Array<'_> {
    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Array::Texts(texts) => texts,
            Array::Numbers(numbers) => numbers,
        }
    }
}

/// Values as a statement takes them.
pub(super) fn parameters<'v>(values: &'v [Value<'_>]) -> Vec<&'v (dyn ToSql + Sync)> {
    let parameter = |value: &'v Value<'_>| match value {
        Value::Text(text) => text as &(dyn ToSql + Sync),
        Value::Number(number) => number,
        Value::Null => &Nothing,
    };
    values.iter().map(parameter).collect()
}

/// Nothing, in a column of any kind.
#[derive(Debug)]
struct Nothing;

impl ToSql for Nothing {
    fn to_sql(
        &self,
        _: &tokio_postgres::types::Type,
        _: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Up to which time calls are added up, in milliseconds since 1970. It stays so until the transaction ends. Whoever changes calls
/// or writes new ones has to know.
pub(super) async fn shared_mark(transaction: &Transaction<'_>) -> Result<i64, tokio_postgres::Error> {
    // Two statements: the second sees what was done while the first has waited.
    let sql = format!("SELECT pg_advisory_xact_lock_shared({SUMS_LOCK}); {}", summed());
    let mut mark = 0;
    for message in transaction.simple_query(&sql).await? {
        if let SimpleQueryMessage::Row(row) = message
            && let Some(number) = row.try_get(0)?.and_then(|text| text.parse().ok())
        {
            mark = number;
        }
    }
    Ok(mark)
}

/// The part of the due calls that is added up next: from when, until when, and whether there is more.
async fn due_part(
    transaction: &Transaction<'_>,
    due: &Due,
    most: u32,
) -> Result<(i64, i64, bool), tokio_postgres::Error> {
    let mark: i64 = transaction.query_one(&summed(), &[]).await?.try_get(0)?;
    let full = format!(
        "SELECT time_ms FROM {CALLS} WHERE time_ms >= $1 AND time_ms < $2 ORDER BY time_ms LIMIT 1 OFFSET $3"
    );
    let full = transaction
        .query_opt(&full, &[&mark, &due.any_ms, &i64::from(most)])
        .await?;
    Ok(match full {
        // Calls of the same millisecond are added up together.
        Some(row) => (mark, row.try_get::<_, i64>(0)?.max(mark + 1), true),
        None => (mark, due.hours_ms, false),
    })
}

/// Whether there are pending calls of this time.
async fn has_pending(
    transaction: &Transaction<'_>,
    mark: i64,
    end: i64,
) -> Result<bool, tokio_postgres::Error> {
    let sql = format!("SELECT 1 FROM {CALLS} WHERE {} LIMIT 1", pending::condition());
    Ok(transaction.query_opt(&sql, &[&mark, &end]).await?.is_some())
}

/// What the pending calls of this time add up to.
async fn pending_sums(
    transaction: &Transaction<'_>,
    mark: i64,
    end: i64,
) -> Result<Hourly, tokio_postgres::Error> {
    let sums = joined(Measure::ALL.iter().map(|measure| {
        let (name, max) = (measure.name(), i64::MAX);
        format!("CAST(LEAST(SUM({name}), {max}) AS BIGINT)")
    }));
    let names = format!("start, {}", key_names());
    let sql = format!(
        "SELECT {names}, {sums} FROM ({}) u GROUP BY {names}",
        pending::as_sums()
    );
    let mut hourly = Hourly::new();
    for row in transaction.query(&sql, &[&mark, &end]).await? {
        let mut key = Key::default();
        for (place, text) in key.0.iter_mut().enumerate() {
            *text = row.try_get(1 + place)?;
        }
        let mut sums = Sums::default();
        for (place, sum) in sums.0.iter_mut().enumerate() {
            *sum = row.try_get(1 + KEY_COLUMNS.len() + place)?;
        }
        hourly.entry(key).or_default().insert(row.try_get(0)?, sums);
    }
    Ok(hourly)
}

/// Writes calls and returns those that were not there yet. Those before the mark are not deferred.
async fn insert_calls<'r, 'a>(
    transaction: &Transaction<'_>,
    sql: &Sql,
    rows: &'r [Row<'a>],
    mark: i64,
) -> Result<Vec<&'r Row<'a>>, tokio_postgres::Error> {
    let mut arrays: Vec<Array<'_>> = Column::ALL
        .iter()
        .map(|column| match sql_kind(column.kind()) {
            "text" => Array::Texts(rows.iter().map(|row| text_of(row.get(*column))).collect()),
            _ => Array::Numbers(rows.iter().map(|row| number(row.get(*column))).collect()),
        })
        .collect();
    let deferred = |row: &Row<'_>| (row.number_of(Column::Time) >= mark).then_some(1);
    arrays.push(Array::Numbers(rows.iter().map(deferred).collect()));
    let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(Array::parameter).collect();
    let inserted = transaction.query(&sql.insert_calls, &parameters).await?;
    let mut new = HashSet::with_capacity(inserted.len());
    for row in &inserted {
        new.insert(row.try_get::<_, String>(0)?);
    }
    // Each only once, should an id come twice.
    let is_new = |row: &&Row<'_>| new.remove(row.text_of(Column::RequestId));
    let mut is_new = is_new;
    Ok(rows.iter().filter(|row| is_new(row)).collect())
}

fn text_of<'a>(value: Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Number(_) => None,
    }
}

fn number(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Number(number) => Some(number),
        Value::Null | Value::Text(_) => None,
    }
}

/// Adds what was charged to budgets. Always in the order of their names, so that two gateways wait for each other and never both.
async fn add_spent(transaction: &Transaction<'_>, spent: &Spent) -> Result<(), tokio_postgres::Error> {
    if spent.is_empty() {
        return Ok(());
    }
    let budgets: Vec<&str> = spent.keys().map(|(budget, _)| budget.as_str()).collect();
    let starts: Vec<i64> = spent.keys().map(|(_, start)| *start).collect();
    let amounts: Vec<i64> = spent.values().copied().collect();
    let sql = format!(
        "INSERT INTO {SPEND} (budget, start, amount) SELECT * FROM UNNEST($1::text[], $2::int8[], $3::int8[]) \
         ON CONFLICT (budget, start) DO UPDATE SET amount = {SPEND}.amount + excluded.amount"
    );
    transaction.execute(&sql, &[&budgets, &starts, &amounts]).await?;
    Ok(())
}

/// Notes when credentials were used last. Always in the order of their ids, likewise.
async fn note_used(transaction: &Transaction<'_>, used: &Used) -> Result<(), tokio_postgres::Error> {
    if used.is_empty() {
        return Ok(());
    }
    let credentials: Vec<&str> = used.keys().map(String::as_str).collect();
    let times: Vec<i64> = used.values().copied().collect();
    let sql = format!(
        "INSERT INTO {USED} (credential, at_ms) SELECT * FROM UNNEST($1::text[], $2::int8[]) \
         ON CONFLICT (credential) DO UPDATE SET at_ms = GREATEST({USED}.at_ms, excluded.at_ms)"
    );
    transaction.execute(&sql, &[&credentials, &times]).await?;
    Ok(())
}

/// Adds to roll-ups. Always in the order of time and key, so that two gateways wait for each other and never both.
async fn add_sums(
    transaction: &Transaction<'_>,
    sql: &Sql,
    mut hourly: Hourly,
) -> Result<(), tokio_postgres::Error> {
    if hourly.is_empty() {
        return Ok(());
    }
    let ids = key_ids(transaction, sql, &mut hourly).await?;
    let (mut hours, mut days) = (Vec::new(), Vec::new());
    for (key, sums) in &hourly {
        let Some(id) = ids.get(key) else { continue };
        hours.extend(sums.iter().map(|(start, sums)| (*start, *id, *sums)));
        days.extend(by_day(sums).into_iter().map(|(start, sums)| (start, *id, sums)));
    }
    add(transaction, &sql.add_hours, hours).await?;
    add(transaction, &sql.add_days, days).await
}

async fn add(
    transaction: &Transaction<'_>,
    sql: &str,
    mut rows: Vec<(i64, i64, Sums)>,
) -> Result<(), tokio_postgres::Error> {
    rows.sort_by_key(|(start, key, _)| (*start, *key));
    let mut columns: Vec<Vec<i64>> = vec![
        rows.iter().map(|(start, ..)| *start).collect(),
        rows.iter().map(|(_, key, _)| *key).collect(),
    ];
    for measure in Measure::ALL {
        columns.push(rows.iter().map(|(.., sums)| sums.get(*measure)).collect());
    }
    let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| column as _).collect();
    transaction.execute(sql, &parameters).await?;
    Ok(())
}

/// The ids of all keys, which are made if they are not there. Of too many keys, the last are all the same.
async fn key_ids(
    transaction: &Transaction<'_>,
    sql: &Sql,
    hourly: &mut Hourly,
) -> Result<HashMap<Key, i64>, tokio_postgres::Error> {
    let mut ids = find_keys(transaction, sql, hourly).await?;
    if ids.len() == hourly.len() {
        return Ok(ids);
    }
    let count: i64 = transaction
        .query_one(&format!("SELECT COUNT(*) FROM {KEYS}"), &[])
        .await?
        .try_get(0)?;
    if usize::try_from(count).is_ok_and(|count| count >= MAX_KEYS) {
        let missing: Vec<Key> = hourly
            .keys()
            .filter(|key| !ids.contains_key(key))
            .cloned()
            .collect();
        for key in missing {
            let hours = hourly.remove(&key).unwrap_or_default();
            let other = hourly.entry(key.without_models()).or_default();
            for (hour, sums) in hours {
                other.entry(hour).or_default().add(&sums);
            }
        }
    }
    let arrays = key_arrays(hourly.keys().filter(|key| !ids.contains_key(key)));
    let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| array as _).collect();
    transaction.execute(&sql.insert_keys, &parameters).await?;
    ids = find_keys(transaction, sql, hourly).await?;
    Ok(ids)
}

async fn find_keys(
    transaction: &Transaction<'_>,
    sql: &Sql,
    hourly: &Hourly,
) -> Result<HashMap<Key, i64>, tokio_postgres::Error> {
    let arrays = key_arrays(hourly.keys());
    let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| array as _).collect();
    let found = transaction.query(&sql.find_keys, &parameters).await?;
    let keys: Vec<&Key> = hourly.keys().collect();
    let mut ids = HashMap::with_capacity(found.len());
    for row in &found {
        let place = usize::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        if let Some(key) = place.checked_sub(1).and_then(|place| keys.get(place)) {
            ids.insert((*key).clone(), row.try_get(0)?);
        }
    }
    Ok(ids)
}

fn key_arrays<'k>(keys: impl Iterator<Item = &'k Key>) -> Vec<Vec<&'k str>> {
    let mut arrays = vec![Vec::new(); KEY_COLUMNS.len()];
    for key in keys {
        for (array, text) in arrays.iter_mut().zip(&key.0) {
            array.push(text.as_str());
        }
    }
    arrays
}

/// Changes the roll-ups by the difference that changed calls make. For whoever changes calls in the same transaction.
pub(super) async fn change_sums(
    transaction: &Transaction<'_>,
    hourly: Hourly,
) -> Result<(), tokio_postgres::Error> {
    add_sums(transaction, &Sql::new(), hourly).await
}
