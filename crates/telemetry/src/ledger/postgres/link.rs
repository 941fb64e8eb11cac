//! One connection to PostgreSQL, made again when it is lost. For threads that may wait.

use std::error::Error as _;
use std::future::pending;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client, Transaction};

use super::tls::MakeTls;
use crate::ledger::Database;
use crate::ledger::error::{LedgerError, WriteError};
use crate::ledger::schema::{Dialect, LEDGER, VERSION};

/// How long making the tables may take, and everything else before the first batch.
const PREPARE_TIME: Duration = Duration::from_secs(30);

/// The number under which gateways agree who makes the tables.
pub(super) const MIGRATION_LOCK: i64 = 0x746f_6c6c_6761_7465;

/// A connection and the runtime it lives in.
pub(in crate::ledger) struct Link {
    runtime: Runtime,
    database: Database,
    client: Option<Client>,
}

impl Link {
    pub(in crate::ledger) fn new(database: &Database) -> Result<Link, LedgerError> {
        Ok(Link {
            runtime: Builder::new_current_thread().enable_all().build()?,
            database: database.clone(),
            client: None,
        })
    }

    /// Connects, and makes the tables if they are not there.
    pub(in crate::ledger) fn connect(&mut self) -> Result<(), LedgerError> {
        self.connect_within(PREPARE_TIME)
    }

    /// The same, within a time of its own.
    pub(in crate::ledger) fn connect_within(&mut self, limit: Duration) -> Result<(), LedgerError> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        self.client = None;
        let database = &self.database;
        let connected = self.runtime.block_on(async {
            let prepare = async {
                let mut client = open(database).await?;
                migrate(database, &mut client).await?;
                Ok(client)
            };
            in_time(limit, database, prepare).await
        });
        self.client = Some(connected?);
        Ok(())
    }

    /// Connects to read. The tables must be there.
    pub(in crate::ledger) fn connect_to_read(&mut self, limit: Duration) -> Result<(), LedgerError> {
        let database = &self.database;
        let connected = self.runtime.block_on(async {
            let prepare = async {
                let client = open(database).await?;
                let found = version(&client).await.map_err(|error| failed(database, &error))?;
                known(database, found)?;
                if found == 0 {
                    return Err(LedgerError::Missing(super::place(&database.config)));
                }
                let limit = format!(
                    "SET statement_timeout = {}; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                    limit.as_millis()
                );
                client
                    .batch_execute(&limit)
                    .await
                    .map_err(|error| failed(database, &error))?;
                Ok(client)
            };
            in_time(PREPARE_TIME, database, prepare).await
        });
        self.client = Some(connected?);
        Ok(())
    }

    /// Runs a question.
    pub(in crate::ledger) fn ask<T>(
        &mut self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, tokio_postgres::Error> {
        let Some(client) = &self.client else {
            return self.runtime.block_on(pending());
        };
        self.runtime.block_on(ask(client))
    }

    /// Runs a transaction on the connection, which is made first if there is none.
    pub(in crate::ledger) fn transaction<T>(
        &mut self,
        limit: Duration,
        run: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, WriteError> {
        self.connect()?;
        let Some(client) = &mut self.client else {
            return Err(WriteError::Later("there is no connection".to_owned()));
        };
        let transaction = async {
            let transaction = client.transaction().await?;
            let done = run(&transaction).await?;
            transaction.commit().await?;
            Ok(done)
        };
        let place = super::place(&self.database.config);
        let done: Result<Result<T, tokio_postgres::Error>, _> =
            self.runtime.block_on(async { timeout(limit, transaction).await });
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let said = format!("{place}: {}", text(&error));
                if !is_about_data(&error) {
                    // Whatever it is, a new connection may be better: the server may have restarted, or be another one.
                    self.client = None;
                    return Err(WriteError::Later(said));
                }
                Err(WriteError::Never(said))
            }
            Err(_) => {
                self.client = None;
                Err(WriteError::Later(format!(
                    "{place}: no answer within {} s",
                    limit.as_secs()
                )))
            }
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    database: &Database,
    prepare: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    timeout(limit, prepare).await.unwrap_or_else(|_| {
        Err(LedgerError::Store {
            place: super::place(&database.config),
            reason: format!("no answer within {} s", limit.as_secs()),
        })
    })
}

async fn open(database: &Database) -> Result<Client, LedgerError> {
    let tls = MakeTls(database.tls.clone());
    let (client, connection) = database
        .config
        .connect(tls)
        .await
        .map_err(|error| failed(database, &error))?;
    let work = async move {
        // What goes wrong is told to whoever asks something.
        let _ = connection.await;
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the client, and no worker has this runtime"
    )]
    tokio::spawn(work);
    Ok(client)
}

async fn migrate(database: &Database, client: &mut Client) -> Result<(), LedgerError> {
    let prepare = async {
        if version(client).await? >= VERSION {
            // Whoever may only write rows must not need the right to make tables.
            return version(client).await;
        }
        let transaction = client.transaction().await?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
            .await?;
        let found = version(transaction.client()).await?;
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        for migration in Dialect::Postgres.migrations().iter().skip(done) {
            transaction.batch_execute(migration).await?;
        }
        if found < VERSION {
            transaction
                .batch_execute(&format!(
                    "CREATE TABLE IF NOT EXISTS {LEDGER} (name TEXT PRIMARY KEY, value BIGINT NOT NULL); \
                     INSERT INTO {LEDGER} VALUES ('version', {VERSION}) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
                ))
                .await?;
        }
        transaction.commit().await?;
        Ok(found)
    };
    let found = prepare
        .await
        .map_err(|error: tokio_postgres::Error| failed(database, &error))?;
    known(database, found)
}

/// The version of the tables; 0 if there are none.
async fn version(client: &Client) -> Result<i64, tokio_postgres::Error> {
    let there = client
        .query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&LEDGER])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = client
        .query_opt(&format!("SELECT value FROM {LEDGER} WHERE name = 'version'"), &[])
        .await?;
    row.map_or(Ok(0), |row| row.try_get(0))
}

fn known(database: &Database, found: i64) -> Result<(), LedgerError> {
    if found <= VERSION {
        return Ok(());
    }
    Err(LedgerError::Newer {
        place: super::place(&database.config),
        found,
        known: VERSION,
    })
}

pub(in crate::ledger) fn failed(database: &Database, error: &tokio_postgres::Error) -> LedgerError {
    LedgerError::Store {
        place: super::place(&database.config),
        reason: text(error),
    }
}

/// Whether the same rows would be refused again.
fn is_about_data(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // Classes of SQL: 22 is data that cannot be, 23 breaks a rule of the table.
        Some(code) => code.code().starts_with("22") || code.code().starts_with("23"),
        None => false,
    }
}

/// An error with its reasons.
pub(in crate::ledger) fn text(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(reason) = cause {
        text.push_str(": ");
        text.push_str(&reason.to_string());
        cause = reason.source();
    }
    text
}
