//! Growth with processors. On a machine of two, the load needs them as well: a gateway with two workers is compared with two
//! gateways of one worker each, with the same load on the same processors. These two share nothing, so they are what twice
//! one gateway can be; what the workers of one gateway share is what is missing to that.

use std::io;
use std::process::Command;

use super::{Plan, Rounds};
use crate::job::{Job, set_profile};
use crate::load::{Outcome, Pace};
use crate::profile::Profile;
use crate::report::{Limit, Row, median};
use crate::targets::{GOVERNED, Place, Running, Start};

/// Its name.
pub const ID: &str = "cores";

/// What is compared.
pub const COLUMNS: [&str; 2] = [APART, TOGETHER];

const APART: &str = "two gateways, a worker each";
const TOGETHER: &str = "one gateway, two workers";

/// How many times one core two cores are to be.
const TIMES: Limit = Limit::AtLeast(1.9);

const CONNECTIONS: usize = 64;

/// Measures both in turns.
///
/// # Errors
/// A program cannot be started, or a run fails.
pub async fn measure(plan: &Plan<'_>) -> io::Result<Rounds> {
    let mut running = Running::start(Place::SHARED, 0).await?;
    set_profile(&running, &Profile::default()).await?;
    let program = Command::new(plan.gateway);
    let mut gateways = Vec::new();
    for (name, workers) in [("one", 1), ("other", 1), ("both", 2)] {
        let start = Start {
            name: name.to_owned(),
            workers,
            ..Start::new(&GOVERNED)
        };
        gateways.push(running.gateway(&program, &start).await?);
    }
    let [one, other, both] = gateways.as_slice() else {
        return Err(io::Error::other("not all gateways have been started"));
    };
    let mut rounds = Rounds::new();
    for round in 0..plan.rounds {
        for column in COLUMNS {
            eprintln!("{ID} round {} of {}: {column}", round + 1, plan.rounds);
            let job = match column {
                TOGETHER => Job::new(both, Pace::Connections(CONNECTIONS), plan.duration),
                _ => {
                    let mut job = Job::new(one, Pace::Connections(CONNECTIONS), plan.duration);
                    job.ask.addresses.push(other.address.clone());
                    job.pids.extend(other.pid);
                    job
                }
            };
            let outcome = job.start(running.place().others).await?;
            rounds.entry((column.to_owned(), 2)).or_default().push(outcome);
        }
    }
    Ok(rounds)
}

/// The rows.
pub fn judge(rounds: &Rounds) -> Vec<Row> {
    let of = |column: &str| rounds.get(&(column.to_owned(), 2));
    let row = |what: &str, figure: fn(&Outcome) -> f64, digits| {
        let mut row = Row::new(ID, what);
        for column in COLUMNS {
            if let Some(figure) = of(column).and_then(|outcomes| median(outcomes.iter().map(figure))) {
                row.put(column, figure, digits);
            }
        }
        row
    };
    let times = |figure: &dyn Fn(&Outcome, &Outcome) -> f64| {
        let (apart, together) = (of(APART)?, of(TOGETHER)?);
        median(
            apart
                .iter()
                .zip(together)
                .map(|(apart, together)| 2.0 * figure(apart, together)),
        )
    };
    let mut rate = row("answers per second", |outcome| outcome.per_second, 0);
    let by_rate = times(&|apart, together| together.per_second / apart.per_second);
    rate.hold("times one core", by_rate, Some(TIMES));
    let mut time = row("CPU per answer, µs", |outcome| outcome.cpu_us, 1);
    let by_time = times(&|apart, together| apart.cpu_us / together.cpu_us);
    time.hold("times one core", by_time, Some(TIMES));
    let mut wrong = Row::new(ID, "wrong answers");
    let mut errors = 0;
    for column in COLUMNS {
        let of_column: u64 = of(column)
            .into_iter()
            .flatten()
            .flat_map(|outcome| outcome.errors.values())
            .sum();
        wrong.put(column, of_column as f64, 0);
        errors += of_column;
    }
    wrong.say("", errors == 0);
    vec![rate, time, wrong]
}
