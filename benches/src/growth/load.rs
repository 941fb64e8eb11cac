//! Growth with what clients do: connections, size of bodies, pieces of streams. Against nginx.

use std::io;
use std::process::Command;
use std::time::Duration;

use super::{Plan, Rounds, idle_mib, ratio, row, wrong};
use crate::job::{Job, set_profile};
use crate::load::{Outcome, Pace};
use crate::profile::Profile;
use crate::report::{Limit, Row};
use crate::targets::{GOVERNED, Place, Running, Start, Target, Wire};

/// What grows, and where it is measured.
pub struct Axis {
    /// Its name.
    pub id: &'static str,
    /// Where.
    pub points: &'static [u64],
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Connections,
    /// Bytes of the request.
    Body,
    Pieces,
}

/// All of them.
pub const AXES: &[Axis] = &[
    Axis {
        id: "connections",
        points: &[32, 128, 512, 2048, 8192],
        what: What::Connections,
    },
    Axis {
        id: "body",
        points: &[1, 4, 16, 64, 256, 1024],
        what: What::Body,
    },
    Axis {
        id: "chunks",
        points: &[10, 30, 100, 300, 1000],
        what: What::Pieces,
    },
];

const TARGETS: [&str; 2] = ["nginx", "governed"];

/// How much fewer answers there may be than with the fewest connections.
const RATE: Limit = Limit::AtLeast(0.95);

/// Memory of a further connection, in KiB.
const CONNECTION_KIB: Limit = Limit::AtMost(30.0);

/// Measures nginx and the gateway in turns.
///
/// # Errors
/// A program cannot be started, or a run fails.
pub async fn measure(plan: &Plan<'_>, axis: &Axis) -> io::Result<Rounds> {
    let mut running = Running::start(Place::APART, 0).await?;
    let mut rounds = Rounds::new();
    for round in 0..plan.rounds {
        for x in axis.points {
            for name in TARGETS {
                eprintln!("{} {x}, round {} of {}: {name}", axis.id, round + 1, plan.rounds);
                // What connections have taken is not given back at once: everybody begins anew.
                if axis.what == What::Connections {
                    stop(&mut running, name);
                }
                let target = start(&mut running, plan, name).await?;
                let outcome = one(&running, plan, axis, &target, *x).await?;
                rounds.entry((name.to_owned(), *x)).or_default().push(outcome);
            }
        }
    }
    Ok(rounds)
}

async fn start(running: &mut Running, plan: &Plan<'_>, name: &str) -> io::Result<Target> {
    if running.target(name).is_err() {
        match name {
            "nginx" => running.nginx(Wire::Plain).await?,
            _ => {
                let start = Start::new(&GOVERNED);
                running.gateway(&Command::new(plan.gateway), &start).await?;
            }
        }
    }
    running.target(name).cloned()
}

fn stop(running: &mut Running, name: &str) {
    if let Ok(target) = running.target(name).cloned() {
        running.end(&target);
    }
}

async fn one(
    running: &Running,
    plan: &Plan<'_>,
    axis: &Axis,
    target: &Target,
    x: u64,
) -> io::Result<Outcome> {
    let size = usize::try_from(x).unwrap_or(usize::MAX);
    let mut job = Job::new(target, Pace::Connections(16), plan.duration);
    let mut profile = Profile::default();
    let mut idle_kib = None;
    match axis.what {
        What::Connections => {
            job.pace = Pace::Connections(size);
            let idle = Job::new(target, Pace::Idle(size), SHORT)
                .start(running.place().others)
                .await?;
            idle_kib = Some(idle.memory_peak_kib.saturating_sub(idle.memory_before_kib));
        }
        // About 200 bytes are there without it.
        What::Body => job.ask.padding = size * 1024 - 200,
        What::Pieces => {
            profile.chunks = u32::try_from(x).unwrap_or(u32::MAX);
            job.ask.pieces = Some(profile.chunks);
        }
    }
    set_profile(running, &profile).await?;
    let outcome = job.start(running.place().others).await?;
    Ok(Outcome { idle_kib, ..outcome })
}

/// The rows of an axis.
pub fn judge(axis: &Axis, rounds: &Rounds) -> Vec<Row> {
    let of_both = |what: &str, figure: &dyn Fn(&Outcome) -> f64, digits| {
        TARGETS.map(|target| row(axis.id, what, rounds, target, figure, digits))
    };
    let mut rows = Vec::new();
    match axis.what {
        What::Connections => {
            let rate = |outcome: &Outcome| outcome.per_second;
            let mut rates = of_both("answers per second", &rate, 0);
            let mut memory = of_both("memory of idle connections, MiB", &idle_mib, 1);
            for ((name, rates), memory) in TARGETS.into_iter().zip(&mut rates).zip(&mut memory) {
                // nginx is shown, and held to nothing.
                if name != "nginx" {
                    rates.hold(
                        "least to fewest connections",
                        least(axis, rounds, name, &rate),
                        Some(RATE),
                    );
                    memory.hold(
                        "KiB of a further one",
                        steepest(axis, rounds, name),
                        Some(CONNECTION_KIB),
                    );
                }
            }
            rows.extend(rates);
            rows.extend(of_both("CPU per answer, µs", &|outcome| outcome.cpu_us, 1));
            rows.extend(memory);
        }
        What::Body => rows.extend(of_both("CPU per answer, µs", &|outcome| outcome.cpu_us, 1)),
        What::Pieces => {
            rows.extend(of_both("CPU per stream, µs", &|outcome| outcome.cpu_us, 0));
            rows.extend(of_both(
                "CPU per piece, µs",
                &|outcome| outcome.cpu_us_per_piece,
                1,
            ));
        }
    }
    rows.push(wrong(axis.id, rounds));
    rows
}

/// The least ratio of any place to the first.
fn least(axis: &Axis, rounds: &Rounds, name: &str, figure: &dyn Fn(&Outcome) -> f64) -> Option<f64> {
    let (first, others) = axis.points.split_first()?;
    let ratios = others
        .iter()
        .filter_map(|x| ratio(rounds, name, *x, *first, figure));
    ratios.reduce(f64::min)
}

/// The most memory that a further connection takes between two neighbouring places, in KiB. Below a few hundred connections
/// pages of the allocator weigh more than connections.
fn steepest(axis: &Axis, rounds: &Rounds, name: &str) -> Option<f64> {
    let memory = |x: u64| {
        let outcomes = rounds.get(&(name.to_owned(), x))?;
        crate::report::median(outcomes.iter().map(idle_mib))
    };
    let steps = axis.points.windows(2).filter_map(|pair| match pair {
        [from, to] if *to >= 512 => Some((memory(*to)? - memory(*from)?) * 1024.0 / (to - from) as f64),
        _ => None,
    });
    steps.reduce(f64::max)
}

/// How long idle connections are looked at.
const SHORT: Duration = Duration::from_millis(300);
