//! What the gateway takes without doing anything: memory, time to begin, size.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::job::{Job, chat};
use crate::load::{self, Pace};
use crate::process;
use crate::report::{Limit, Row, median};
use crate::targets::{BARE, GOVERNED, Kind, Place, Running, Start, Target, Wire};

/// What one process takes.
struct Footprint {
    memory_mib: f64,
    anonymous_mib: f64,
    first_answer_ms: f64,
    connection_kib: f64,
}

const CONNECTIONS: usize = 1000;

/// Measures nginx and the gateway, each started `rounds` times with nothing left from before.
///
/// # Errors
/// A program cannot be started, or does not answer.
pub async fn measure(gateway: &Path, rounds: usize) -> io::Result<Vec<Row>> {
    let mut memory = Row::new("idle", "memory, MiB");
    let mut anonymous = Row::new("idle", "of it no file's, MiB");
    let mut start = Row::new("idle", "from start to the first answer, ms");
    let mut connection = Row::new("idle", "an idle connection that has made a call, KiB");
    for (name, kind) in [
        ("nginx", None),
        ("bare", Some(&BARE)),
        ("governed", Some(&GOVERNED)),
    ] {
        let mut taken = Vec::new();
        for round in 0..rounds {
            eprintln!("idle round {} of {rounds}: {name}", round + 1);
            taken.push(one(gateway, kind).await?);
        }
        let middle = |figure: fn(&Footprint) -> f64| median(taken.iter().map(figure)).unwrap_or(f64::NAN);
        let is_held = name == "governed";
        for (row, figure, digits, limit) in [
            (&mut memory, middle(|taken| taken.memory_mib), 1, 15.0),
            (&mut anonymous, middle(|taken| taken.anonymous_mib), 1, f64::NAN),
            (&mut start, middle(|taken| taken.first_answer_ms), 1, 100.0),
            (&mut connection, middle(|taken| taken.connection_kib), 1, 30.0),
        ] {
            row.put(name, figure, digits);
            let limit = (is_held && limit.is_finite()).then_some(Limit::AtMost(limit));
            row.hold(name, Some(figure), limit);
        }
    }
    let mut size = Row::new("idle", "the binary, MiB");
    let bytes = fs::metadata(gateway)?.len();
    size.put("governed", mib(bytes / 1024), 1);
    size.hold("binary", Some(mib(bytes / 1024)), Some(Limit::AtMost(25.0)));
    Ok(vec![memory, anonymous, start, size, connection])
}

/// What a gateway has in memory after its first call, in KiB.
///
/// # Errors
/// It cannot be started, or does not answer.
pub async fn memory_kib(gateway: &Path, kind: &'static Kind) -> io::Result<u64> {
    let mut running = Running::start(Place::SHARED, 0).await?;
    let target = running.launch(&Command::new(gateway), &Start::new(kind))?;
    first_answer(&target, Instant::now() + PATIENCE).await?;
    let family: Vec<u32> = target.pid.into_iter().flat_map(process::family).collect();
    Ok(process::usage(&family).memory_kib)
}

async fn one(gateway: &Path, kind: Option<&Kind>) -> io::Result<Footprint> {
    let mut running = Running::start(Place::APART, 0).await?;
    let began = Instant::now();
    let target = match kind {
        None => running.launch_nginx(Wire::Plain)?,
        Some(kind) => running.launch(&Command::new(gateway), &Start::new(kind))?,
    };
    first_answer(&target, began + PATIENCE).await?;
    let first_answer = began.elapsed();
    let family: Vec<u32> = target.pid.into_iter().flat_map(process::family).collect();
    let idle = process::usage(&family);
    let job = Job::new(&target, Pace::Idle(CONNECTIONS), Duration::from_millis(500));
    let outcome = job.start(running.place().others).await?;
    if let Some((error, _)) = outcome.errors.first_key_value() {
        return Err(io::Error::other(error.clone()));
    }
    let grown = outcome.memory_peak_kib.saturating_sub(outcome.memory_before_kib);
    Ok(Footprint {
        memory_mib: mib(idle.memory_kib),
        anonymous_mib: mib(idle.anonymous_kib),
        first_answer_ms: first_answer.as_secs_f64() * 1000.0,
        connection_kib: grown as f64 / CONNECTIONS as f64,
    })
}

async fn first_answer(target: &Target, until: Instant) -> io::Result<()> {
    loop {
        match load::calls(chat(target), 1).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Time between two attempts to be answered.
const PAUSE: Duration = Duration::from_micros(500);

/// How long a program may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
