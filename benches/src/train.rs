//! Calls of every kind that is measured, for a build that is made for what is really called: see benches/optimized.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::compare::ask;
use crate::job::{Job, milliseconds, set_profile};
use crate::scenario;
use crate::targets::{BARE, GOVERNED, GOVERNED_HTTP2, GOVERNED_TLS, Kind, PLUGINS, Place, Running, Start};

/// Which calls to make.
pub struct Plan<'a> {
    /// The gateway's binary, built to count what is called.
    pub gateway: &'a Path,
    /// Length of a run.
    pub duration: Duration,
}

const KINDS: [&Kind; 5] = [&BARE, &GOVERNED, &PLUGINS, &GOVERNED_TLS, &GOVERNED_HTTP2];

/// Makes them.
///
/// # Errors
/// The gateway cannot be started, or answers wrongly.
pub async fn train(plan: &Plan<'_>) -> io::Result<bool> {
    for kind in KINDS {
        let mut running = Running::start(Place::SHARED, 0).await?;
        let target = running
            .gateway(&Command::new(plan.gateway), &Start::new(kind))
            .await?;
        for scenario in scenario::all() {
            // Objects of APISIX's plugins are for one provider here.
            if scenario.translates && kind.name == PLUGINS.name {
                continue;
            }
            eprintln!("{} {}", kind.name, scenario.id);
            set_profile(&running, &scenario.profile).await?;
            let job = Job {
                ask: ask(&scenario, &target),
                pace: scenario.pace,
                warm_up_ms: milliseconds(scenario.warm_up(kind.wire)),
                duration_ms: milliseconds(plan.duration),
                pids: target.pid.into_iter().collect(),
            };
            let outcome = job.start(running.place().others).await?;
            if let Some((error, _)) = outcome.errors.first_key_value() {
                let (kind, scenario) = (kind.name, scenario.id);
                return Err(io::Error::other(format!("{kind} {scenario}: {error}")));
            }
        }
    }
    Ok(true)
}
