//! What the writer needs of a store.

use super::error::WriteError;
use super::rows::Rows;

/// What is not kept any longer: everything that began before these times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cutoffs {
    /// Calls, in milliseconds since 1970.
    pub(super) calls_ms: i64,
    /// Hourly roll-ups, in seconds since 1970.
    pub(super) hours_s: i64,
    /// Daily roll-ups, in seconds since 1970.
    pub(super) days_s: i64,
}

/// Which calls are added up: everything that began before these times, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Hours that are over.
    pub(super) hours_ms: i64,
    /// Where many calls wait for it already.
    pub(super) any_ms: i64,
}

/// A place where rows are kept. Only the writer's thread has it.
pub(super) trait Store: Send {
    /// Writes rows in one transaction, with the roll-ups of those that belong to a time that is added up already. Returns how
    /// many were new; the others are there already.
    fn write(&mut self, rows: Rows<'_>) -> Result<u64, WriteError>;

    /// Adds up some of the calls that are due, in the order of time and in one transaction with the time up to which calls are
    /// in the sums: about so many, and earlier than the end of their hour only if there are as many. Returns whether there
    /// may be more.
    fn add_up(&mut self, due: &Due, most: u32) -> Result<bool, WriteError>;

    /// Removes some of what is not kept any longer: at most so many calls, an hour and a day of roll-ups. Calls that are not
    /// added up yet stay. Returns whether there may be more.
    fn prune(&mut self, cutoffs: &Cutoffs, most: u32) -> Result<bool, WriteError>;

    /// What all calls that are kept have charged to budgets: name, beginning of the period, and amount.
    fn spent(&mut self) -> Result<Vec<(String, i64, i64)>, WriteError>;
}
