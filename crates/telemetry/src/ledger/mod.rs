//! The usage ledger: one row for every call, and what they add up to by hour and by day.
//!
//! * [`schema`] is what is kept, the same in every store. [`sqlite`] is a file, [`postgres`] a database that many gateways share.
//! * [`Ledger`] takes calls: [`record`] makes a [`Row`], with its [`attempts`], [`writer`] writes it a little later, on a thread of its own.
//! * [`lately`] is what calls of teams add up to while somebody watches.
//! * [`rollup`] is what calls add up to. They are added up later, many at a time; until then they are [`pending`].
//! * [`Reader`] answers questions ([`query`], [`report`]) on the thread that asks, beside the writer, also for another process.
//! * [`Repricer`] computes costs of past calls anew.
//!
//! Rows come with their cost; only [`priced`] knows what a price is.

mod attempts;
mod calls;
mod error;
mod json;
mod lately;
mod numbers;
mod overview;
mod pending;
mod postgres;
mod priced;
mod query;
mod reader;
mod record;
mod report;
mod reprice;
mod rollup;
mod row;
mod rows;
mod schema;
mod span;
mod sqlite;
mod store;
mod writer;

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

use self::numbers::Numbers;
use self::postgres::Postgres;
use self::sqlite::Sqlite;
use self::store::Store;
use self::writer::Writer;
use crate::metrics::Metrics;

pub use calls::{Call, Calls};
pub use error::{LedgerError, NotTold, QueryError};
pub use lately::{Added, Lately, Member};
pub use overview::{Overview, Percentiles, Point, Range, Timeline};
pub use priced::priced;
pub use query::{Group, Usage};
pub use reader::Reader;
pub use report::{Report, ReportRow, usd};
pub use reprice::{Change, Changed, Repriced, Repricer};
pub use rollup::Sums;
pub use row::{Row, Value};
pub use schema::{Column, KEY_COLUMNS, Kind, Measure, VERSION};
pub use span::{millis_text, parse_time, time_text};

/// Where the ledger is kept.
#[derive(Clone)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a database of PostgreSQL.
    Postgres(Box<Database>),
}

/// A database of PostgreSQL.
#[derive(Clone)]
pub struct Database {
    config: tokio_postgres::Config,
    tls: Arc<ClientConfig>,
}

impl Place {
    /// The database at this address, `postgres://user:password@host:5432/database?sslmode=require`. `tls` says which
    /// certificates are trusted.
    ///
    /// # Errors
    /// The address cannot be read. The text does not repeat it, because it may hold a password.
    pub fn postgres(address: &str, tls: Arc<ClientConfig>) -> Result<Place, LedgerError> {
        Ok(Place::Postgres(Box::new(Database {
            config: postgres::config(address)?,
            tls,
        })))
    }

    /// Whether a configured text is the address of a database.
    pub fn is_postgres(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }
}

impl fmt::Display for Place {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Postgres(database) => f.write_str(&postgres::place(&database.config)),
        }
    }
}

/// How the ledger is kept.
#[derive(Clone)]
pub struct Settings {
    /// Where.
    pub place: Place,
    /// How long a row waits for others at most. A crash of the process loses at most the rows of this time and of the
    /// transaction under way.
    pub flush_interval: Duration,
    /// Bytes of rows that wait at most, while the store does not take them. A row has about 1 KiB.
    pub max_waiting_bytes: usize,
    /// How long what is kept.
    pub keep: Keep,
}

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Rows of calls.
    pub calls: Duration,
    /// Hourly roll-ups.
    pub hours: Duration,
    /// Daily roll-ups.
    pub days: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Settings {
    /// The usual settings.
    pub fn new(place: Place) -> Settings {
        Settings {
            place,
            flush_interval: Duration::from_secs(1),
            max_waiting_bytes: 64 * 1024 * 1024,
            keep: Keep {
                calls: DAY.saturating_mul(30),
                hours: DAY.saturating_mul(90),
                days: DAY.saturating_mul(400),
            },
        }
    }
}

/// The running ledger. Clones write to the same.
#[derive(Clone)]
pub struct Ledger {
    writer: Arc<Writer>,
}

impl Ledger {
    /// Opens the store and starts the thread that writes. A file must be usable now; a database that cannot be reached is
    /// tried again until it can.
    ///
    /// # Errors
    /// The file cannot be used, the store was written by a newer program, or there is no thread.
    pub fn start(settings: &Settings, metrics: &Metrics) -> Result<Ledger, LedgerError> {
        let store: Box<dyn Store> = match &settings.place {
            Place::File(path) => Box::new(Sqlite::open(path)?),
            Place::Postgres(database) => Box::new(Postgres::open(database)?),
        };
        let writer = Writer::start(store, settings, Numbers::of(metrics))?;
        Ok(Ledger {
            writer: Arc::new(writer),
        })
    }

    /// Queues a row. Never waits: one that finds too many waiting is dropped and counted.
    pub fn append(&self, row: &Row<'_>) {
        let mut bytes = BYTES.take();
        row.encode(&mut bytes);
        self.writer.append(&bytes);
        if bytes.capacity() <= MAX_KEPT {
            bytes.clear();
            BYTES.set(bytes);
        }
    }

    /// Waits until every row appended before is written, at most `wait`; returns whether all are.
    pub fn flush(&self, wait: Duration) -> bool {
        self.writer.flush(wait)
    }

    /// Writes what waits, for at most `wait`, and ends; returns whether all was written. Rows appended afterwards are
    /// dropped and counted.
    pub fn flush_and_stop(&self, wait: Duration) -> bool {
        self.writer.stop(wait)
    }

    /// What others than this process have charged to budgets, before it and beside it: name of the budget, beginning of its period in
    /// seconds since 1970, and the amount. What this process charges is in none of it, whether it is written already or not.
    /// Blocks for at most `wait`.
    ///
    /// # Errors
    /// The store does not tell, or the ledger has ended.
    pub fn charged_by_others(&self, wait: Duration) -> Result<Vec<(String, u64, u64)>, NotTold> {
        self.writer.charged_by_others(wait)
    }

    /// Nobody will ask for that any more: what it takes to tell it is forgotten.
    pub fn settle(&self) {
        self.writer.settle();
    }

    /// What calls of teams add up to, for who watches.
    pub fn lately(&self) -> Arc<Lately> {
        self.writer.lately()
    }

    /// Rows lost since the start.
    pub fn dropped(&self) -> u64 {
        self.writer.dropped()
    }
}

/// Capacity above which a thread does not keep its buffer, so that one long row does not cost memory for ever.
const MAX_KEPT: usize = 64 * 1024;

thread_local! {
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
