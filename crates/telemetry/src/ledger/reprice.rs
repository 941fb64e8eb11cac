//! Computes the costs of past calls anew, and their roll-ups with them.

use rusqlite::OptionalExtension as _;

use super::calls::{self, Call};
use super::error::{LedgerError, QueryError, WriteError};
use super::postgres::{self, Link};
use super::reader::Reader;
use super::rollup::{Hourly, Key, Sums, hour_of};
use super::row::{Row, Value};
use super::schema::{CALLS, Column, DEFERRED, Measure, joined};
use super::{Place, sqlite};

/// Calls of one transaction. The writer waits for it, so it is short.
const BATCH: usize = 1000;

/// What changes when a cost is computed anew.
const PRICED: [Column; 4] = [
    Column::CostMicroUsd,
    Column::CostState,
    Column::PricePack,
    Column::Attempts,
];

/// What a call costs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// In millionths of a US dollar; `None` if no price is known.
    pub cost_micro_usd: Option<i64>,
    /// How far it is known, see [`Column::CostState`].
    pub cost_state: &'static str,
    /// The version of the price pack.
    pub price_pack: String,
    /// The attempts with their costs.
    pub attempts: Option<String>,
}

/// What was done to the calls of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repriced {
    /// Calls that were looked at.
    pub calls: u64,
    /// Calls whose amount or state of the cost has changed.
    pub changed: u64,
    /// Their cost before, in millionths of a US dollar.
    pub before_micro_usd: i64,
    /// Their cost now.
    pub after_micro_usd: i64,
    /// Calls without a known price, or without all of it, before.
    pub unpriced_before: u64,
    /// The same now.
    pub unpriced_after: u64,
}

/// A call whose cost has changed, for whoever wants to show it.
pub struct Changed<'c> {
    /// The call as it was.
    pub call: &'c Call,
    /// What it costs now.
    pub change: &'c Change,
}

/// Changes costs.
pub struct Repricer {
    place: Place,
}

impl Repricer {
    /// A repricer of this place.
    pub fn new(place: Place) -> Repricer {
        Repricer { place }
    }

    /// Computes the costs of all calls from one time to another (milliseconds since 1970). `price` says what a call costs now;
    /// `None` leaves it alone. A part of the calls is changed at a time, each part with its roll-ups in one transaction:
    /// when this is stopped in the middle, it can be run again.
    ///
    /// # Errors
    /// The store cannot be read or changed.
    pub fn run(
        &self,
        (from_ms, to_ms): (i64, i64),
        is_dry: bool,
        price: &mut dyn FnMut(&Call) -> Option<Change>,
        tell: &mut dyn FnMut(&Changed<'_>),
    ) -> Result<Repriced, QueryError> {
        let mut session = Reader::new(self.place.clone()).session()?;
        let mut changer = if is_dry {
            None
        } else {
            Some(Changer::open(&self.place)?)
        };
        let mut done = Repriced::default();
        let mut last: Option<Call> = None;
        loop {
            let page = calls::page(&mut session, (from_ms, to_ms), last.as_ref(), BATCH)?;
            let mut changes = Vec::new();
            for call in &page {
                done.calls += 1;
                if let Some(change) = price(call)
                    && let Some(changed) = Priced::of(call, change)
                {
                    changes.push(changed);
                }
            }
            for changed in &changes {
                if changed.is_seen() {
                    done.add(changed);
                    tell(&Changed {
                        call: changed.call,
                        change: &changed.change,
                    });
                }
            }
            if let Some(changer) = &mut changer
                && !changes.is_empty()
            {
                changer.change(&changes)?;
            }
            let is_last = page.len() < BATCH;
            last = page.into_iter().next_back();
            if is_last {
                return Ok(done);
            }
            // A view of its own for each page, so that the file's log does not grow while this runs.
            session = Reader::new(self.place.clone()).session()?;
        }
    }
}

/// A call with its new cost.
struct Priced<'c> {
    call: &'c Call,
    change: Change,
    before: Sums,
    after: Sums,
}

impl<'c> Priced<'c> {
    /// `None` if nothing is different.
    fn of(call: &'c Call, change: Change) -> Option<Priced<'c>> {
        let mut row = Row::default();
        for column in Column::ALL {
            row.put(*column, call.value(*column));
        }
        let before = Sums::of(&row);
        change.put(&mut row);
        let is_same = PRICED
            .iter()
            .all(|column| row.get(*column) == call.value(*column));
        let after = Sums::of(&row);
        (!is_same).then_some(Priced {
            call,
            change,
            before,
            after,
        })
    }

    /// Whether more has changed than the version of the price pack.
    fn is_seen(&self) -> bool {
        let state = self.call.text(Column::CostState);
        self.before != self.after || state != Some(self.change.cost_state)
    }

    fn old_row(&self) -> Row<'_> {
        let mut row = Row::default();
        for column in Column::ALL {
            row.put(*column, self.call.value(*column));
        }
        row
    }

    /// What stands in the changed columns now, then what identifies the call as it was, then the mark of the sums.
    fn parameters(&self, mark: i64) -> Vec<Value<'_>> {
        let mut row = Row::default();
        self.change.put(&mut row);
        let new = PRICED.iter().map(|column| row.get(*column));
        let old = [Column::RequestId, Column::CostMicroUsd, Column::CostState];
        let old = old.map(|column| self.call.value(column));
        new.chain(old).chain([Value::Number(mark)]).collect()
    }
}

impl Change {
    fn put<'a>(&'a self, row: &mut Row<'a>) {
        row.put(
            Column::CostMicroUsd,
            self.cost_micro_usd.map_or(Value::Null, Value::Number),
        );
        row.put(Column::CostState, Value::Text(self.cost_state));
        row.put(Column::PricePack, Value::Text(&self.price_pack));
        row.put(
            Column::Attempts,
            self.attempts.as_deref().map_or(Value::Null, Value::Text),
        );
    }
}

impl Repriced {
    fn add(&mut self, priced: &Priced<'_>) {
        let unpriced = |sums: &Sums| u64::try_from(sums.get(Measure::UnpricedCalls)).unwrap_or(0);
        self.changed += 1;
        self.before_micro_usd += priced.before.get(Measure::CostMicroUsd);
        self.after_micro_usd += priced.after.get(Measure::CostMicroUsd);
        self.unpriced_before += unpriced(&priced.before);
        self.unpriced_after += unpriced(&priced.after);
    }
}

/// The difference that a changed call makes.
fn add_difference(hourly: &mut Hourly, priced: &Priced<'_>) {
    let row = priced.old_row();
    let hours = hourly.entry(Key::of(&row)).or_default();
    let sums = hours.entry(hour_of(&row)).or_default();
    for measure in Measure::ALL {
        sums.add_to(*measure, priced.after.get(*measure) - priced.before.get(*measure));
    }
}

/// Changes a call, if it still is as it was read: another repricing must not be added twice to the roll-ups. Answers 1 if the call is
/// in them, 0 if it is pending.
fn update() -> String {
    let set = joined(
        PRICED
            .iter()
            .enumerate()
            .map(|(number, column)| format!("{} = ${}", column.name(), number + 1)),
    );
    format!(
        "UPDATE {CALLS} SET {set} WHERE request_id = $5 AND cost_micro_usd IS NOT DISTINCT FROM $6 \
         AND cost_state IS NOT DISTINCT FROM $7 \
         RETURNING CAST(CASE WHEN {DEFERRED} = 1 AND time_ms >= $8 THEN 0 ELSE 1 END AS BIGINT)"
    )
}

/// A connection that may change what is kept.
enum Changer {
    Sqlite(rusqlite::Connection, String),
    Postgres(Box<Link>),
}

impl Changer {
    fn open(place: &Place) -> Result<Changer, LedgerError> {
        Ok(match place {
            Place::File(path) => Changer::Sqlite(sqlite::open_to_change(path)?, path.display().to_string()),
            Place::Postgres(database) => Changer::Postgres(Box::new(Link::new(database)?)),
        })
    }

    fn change(&mut self, changes: &[Priced<'_>]) -> Result<(), LedgerError> {
        match self {
            Changer::Sqlite(connection, place) => {
                change_file(connection, changes).map_err(|error| LedgerError::Store {
                    place: place.clone(),
                    reason: error.to_string(),
                })
            }
            Changer::Postgres(link) => link
                .transaction(postgres::BATCH_TIME, async |transaction| {
                    let mut hourly = Hourly::new();
                    let mark = postgres::shared_mark(transaction).await?;
                    let update = transaction.prepare(&update()).await?;
                    for priced in changes {
                        let parameters = priced.parameters(mark);
                        let parameters = postgres::parameters(&parameters);
                        if let Some(row) = transaction.query_opt(&update, &parameters).await?
                            && row.try_get::<_, i64>(0)? == 1
                        {
                            add_difference(&mut hourly, priced);
                        }
                    }
                    postgres::change_sums(transaction, hourly).await
                })
                .map_err(|error| match error {
                    WriteError::Later(reason) | WriteError::Never(reason) => LedgerError::Store {
                        place: "the change was not made".to_owned(),
                        reason,
                    },
                }),
        }
    }
}

fn change_file(connection: &mut rusqlite::Connection, changes: &[Priced<'_>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut hourly = Hourly::new();
    {
        let mark = sqlite::mark(&transaction)?;
        let mut update = transaction.prepare_cached(&update())?;
        for priced in changes {
            let parameters = rusqlite::params_from_iter(priced.parameters(mark));
            let is_added: Option<i64> = update.query_row(parameters, |row| row.get(0)).optional()?;
            if is_added == Some(1) {
                add_difference(&mut hourly, priced);
            }
        }
    }
    sqlite::change_sums(&transaction, &hourly)?;
    transaction.commit()
}
