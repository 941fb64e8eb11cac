//! When virtual keys were used last, as the usage ledger knows it: before the start, and by other gateways that write into the same.

use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

use tollgate_gateway::governance::Governance;
use tollgate_telemetry::ledger::Reader;

/// How often the ledger is asked.
const EVERY: Duration = Duration::from_secs(10);

/// How long the start waits for the first answer.
const START_TIME: Duration = Duration::from_secs(2);

/// The ledger tells when a call began, but not before it has ended. Longer than calls last, in milliseconds.
const LONGEST_CALL_MS: u64 = 6 * 3_600_000;

/// Longer than nearly all calls last, in milliseconds. Every 10 s only so far back is looked at single calls; a longer call is
/// found when the ledger adds up its hour.
const USUAL_CALL_MS: u64 = 60_000;

/// Follows what the ledger tells, on a thread of its own, which ends when nobody has the keys any more.
pub fn follow(governance: &Arc<Governance>, reader: &Reader) {
    let (told, first) = mpsc::channel();
    let (keys, reader) = (Arc::downgrade(governance), reader.clone());
    let followed = thread::Builder::new()
        .name("last-used".to_owned())
        .spawn(move || while_needed(&keys, &reader, &told));
    match followed {
        // An error is as good as an answer: it is asked again.
        Ok(_) => drop(first.recv_timeout(START_TIME)),
        Err(error) => tracing::error!(%error, "nobody follows when keys were used last"),
    }
}

fn while_needed(keys: &Weak<Governance>, reader: &Reader, told: &mpsc::Sender<()>) {
    let mut last_ms = 0_u64;
    while let Some(governance) = keys.upgrade() {
        if !governance.index().by_id.is_empty() {
            let before = |time_ms| last_ms.saturating_sub(time_ms);
            match reader.used(before(LONGEST_CALL_MS), before(USUAL_CALL_MS)) {
                Ok(used) => {
                    last_ms = used.iter().map(|(_, at_ms)| *at_ms).fold(last_ms, u64::max);
                    governance.note_used(used.into_iter().map(|(id, at_ms)| (id, at_ms / 1000)));
                }
                Err(error) => tracing::debug!(%error, "when keys were used last cannot be read"),
            }
        }
        drop(governance);
        let _ = told.send(());
        thread::park_timeout(EVERY);
    }
}
