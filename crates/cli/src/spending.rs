//! What others have spent of budgets: processes before this one, the one that it replaces, and gateways beside it. It is counted
//! from the usage ledger at the start, as soon as the ledger answers, and once more when the process before has ended, whose last
//! calls are in the ledger by then.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tollgate_gateway::governance::Governance;
use tollgate_telemetry::ledger::{Ledger, NotTold};

use crate::usage::Kept;

/// How long the start waits for the ledger.
const START_TIME: Duration = Duration::from_secs(10);

/// How long one question to the ledger may take; then it is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts what others have spent, on a thread of its own.
pub struct Spending {
    /// To tell the thread that the process before has ended; `None` if there is none, or nothing is kept.
    ended: Option<mpsc::Sender<()>>,
}

impl Spending {
    /// Begins to count, and waits for a moment until it is done. Without answer calls are served all the same, as the configuration
    /// wants it, and the ledger is asked until it tells.
    pub fn count(governance: &Arc<Governance>, usage: Option<&Kept>, has_predecessor: bool) -> Spending {
        let Some(kept) = usage else {
            return Spending { ended: None };
        };
        let (ended, wait_for_end) = mpsc::channel();
        let (counted, first) = mpsc::channel();
        let (ledger, counting) = (kept.ledger.clone(), governance.clone());
        let work = move || {
            read(&ledger, &counting, &counted);
            if has_predecessor && wait_for_end.recv().is_ok() {
                read(&ledger, &counting, &counted);
            }
            ledger.settle();
        };
        let started = thread::Builder::new().name("spending".to_owned()).spawn(work);
        if let Err(error) = started {
            tracing::error!(%error, "what was spent of budgets is not counted until the next start");
            governance.spending_is_known(false);
        } else if !governance.index().is_empty() {
            // The thread says what has kept it.
            let _ = first.recv_timeout(START_TIME);
        }
        Spending {
            ended: has_predecessor.then_some(ended),
        }
    }

    /// The process before this one has ended: what it has spent is in the ledger.
    pub fn predecessor_has_ended(&self) {
        if let Some(ended) = &self.ended {
            // The thread is gone if the ledger has ended.
            let _ = ended.send(());
        }
    }
}

/// Asks the ledger until it tells. `counted` hears of the first answer, whatever it is.
fn read(ledger: &Ledger, governance: &Governance, counted: &mpsc::Sender<()>) {
    let mut is_first = true;
    loop {
        match ledger.charged_by_others(if is_first { START_TIME } else { PATIENCE }) {
            Ok(charges) => {
                governance.restore(charges);
                if !is_first {
                    tracing::info!("the usage ledger has told what was spent of budgets");
                }
                let _ = counted.send(());
                return;
            }
            Err(NotTold::Ended) => return,
            Err(NotTold::Failed(reason)) => {
                if is_first {
                    is_unknown(governance, &reason);
                    let _ = counted.send(());
                }
                is_first = false;
            }
        }
    }
}

fn is_unknown(governance: &Governance, reason: &str) {
    governance.spending_is_known(false);
    if governance.index().is_empty() {
        return;
    }
    tracing::error!(
        reason,
        "what was spent of budgets cannot be read from the usage ledger; until it can, governance.on_ledger_down decides"
    );
}
