//! How cost grows: with connections, bodies, pieces of streams, routes, consumers, instances and processors.

mod cores;
mod crowd;
mod load;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::files;
use crate::load::Outcome;
use crate::report::{self, Row, median};

/// How to measure.
pub struct Plan<'a> {
    /// The gateway's binary.
    pub gateway: &'a Path,
    /// Rounds of each point.
    pub rounds: usize,
    /// Length of a run.
    pub duration: Duration,
    /// Names of axes; empty means all.
    pub only: &'a [String],
    /// Where the figures are written, for plots.
    pub out: &'a Path,
}

/// All figures of a run.
#[derive(Serialize)]
struct Results {
    tollgate: String,
    nginx: String,
    machine: String,
    axes: Vec<Axis>,
}

/// What was changed, and what that did.
#[derive(Serialize)]
struct Axis {
    id: &'static str,
    points: Vec<Point>,
}

/// Figures of one target at one place of an axis: medians over the rounds.
#[derive(Serialize)]
struct Point {
    x: u64,
    target: String,
    figures: BTreeMap<&'static str, f64>,
}

/// What was measured of a target at a place, round by round.
type Rounds = BTreeMap<(String, u64), Vec<Outcome>>;

/// A figure of an outcome.
type Figure = fn(&Outcome) -> f64;

/// Measures, prints tables and writes all figures; tells whether every row is good enough.
///
/// # Errors
/// A program cannot be started, a run fails, or too few files may be opened.
pub async fn grow(plan: &Plan<'_>) -> io::Result<bool> {
    files::allow(FILES)?;
    let mut results = Results {
        tollgate: said(Command::new(plan.gateway).arg("--version"))?,
        nginx: said(Command::new("nginx").arg("-v"))?,
        machine: machine(),
        axes: Vec::new(),
    };
    let mut all_rows = Vec::new();
    let wanted = |id: &str| plan.only.is_empty() || plan.only.iter().any(|only| only == id);
    for axis in load::AXES {
        if wanted(axis.id) {
            let rounds = load::measure(plan, axis).await?;
            let rows = load::judge(axis, &rounds);
            show(axis.points, &rows);
            all_rows.extend(rows);
            results.axes.push(points(axis.id, &rounds));
        }
    }
    for axis in crowd::AXES {
        if wanted(axis.id) {
            let rounds = crowd::measure(plan, axis).await?;
            let rows = crowd::judge(axis, &rounds);
            show(axis.points, &rows);
            all_rows.extend(rows);
            results.axes.push(points(axis.id, &rounds));
        }
    }
    if wanted(cores::ID) {
        let rounds = cores::measure(plan).await?;
        let rows = cores::judge(&rounds);
        report::print(&cores::COLUMNS, "held to", &rows);
        all_rows.extend(rows);
        results.axes.push(points(cores::ID, &rounds));
    }
    fs::write(plan.out, serde_json::to_string_pretty(&results)? + "\n")?;
    println!("figures for plots: {}", plan.out.display());
    Ok(report::tally(&all_rows))
}

fn show(points: &[u64], rows: &[Row]) {
    let columns: Vec<String> = points.iter().copied().map(count).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    report::print(&columns, "held to", rows);
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

/// A figure of one target at all places of an axis, as a row.
fn row(
    id: &str,
    what: &str,
    rounds: &Rounds,
    target: &str,
    figure: &dyn Fn(&Outcome) -> f64,
    digits: usize,
) -> Row {
    let mut row = Row::new(id, format!("{target}: {what}"));
    for ((name, x), outcomes) in rounds {
        if let (true, Some(figure)) = (name == target, median(outcomes.iter().map(figure))) {
            row.put(&count(*x), figure, digits);
        }
    }
    row
}

/// The median over the rounds of a figure's ratio to that at another place in the same round.
fn ratio(rounds: &Rounds, target: &str, x: u64, to: u64, figure: &dyn Fn(&Outcome) -> f64) -> Option<f64> {
    let (here, there) = (
        rounds.get(&(target.to_owned(), x))?,
        rounds.get(&(target.to_owned(), to))?,
    );
    median(
        here.iter()
            .zip(there)
            .map(|(here, there)| figure(here) / figure(there)),
    )
}

/// How many answers were wrong at each place of an axis, and how.
fn wrong(id: &str, rounds: &Rounds) -> Row {
    let mut row = Row::new(id, "wrong answers");
    let (mut at, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for ((_, x), outcomes) in rounds {
        let here: &mut u64 = at.entry(*x).or_default();
        for (kind, number) in outcomes.iter().flat_map(|outcome| &outcome.errors) {
            *here += number;
            *kinds.entry(kind.as_str()).or_default() += number;
        }
    }
    for (x, errors) in at {
        row.put(&count(x), errors as f64, 0);
    }
    let told: Vec<String> = kinds
        .iter()
        .map(|(kind, number): (&&str, &u64)| format!("{kind}, {number} times"))
        .collect();
    row.say(&told.join("; "), kinds.is_empty());
    row
}

fn points(id: &'static str, rounds: &Rounds) -> Axis {
    let point = |((target, x), outcomes): (&(String, u64), &Vec<Outcome>)| {
        let figures: [(&'static str, Figure); 6] = [
            ("per_second", |outcome| outcome.per_second),
            ("cpu_us", |outcome| outcome.cpu_us),
            ("cpu_us_per_piece", |outcome| outcome.cpu_us_per_piece),
            ("p50_ms", |outcome| outcome.p50_ms),
            ("p99_ms", |outcome| outcome.p99_ms),
            ("idle_mib", idle_mib),
        ];
        let figures = figures
            .into_iter()
            .filter_map(|(name, figure)| Some((name, median(outcomes.iter().map(figure))?)));
        Point {
            x: *x,
            target: target.clone(),
            figures: figures.collect(),
        }
    };
    Axis {
        id,
        points: rounds.iter().map(point).collect(),
    }
}

/// Memory that idle connections or objects have taken, in MiB.
fn idle_mib(outcome: &Outcome) -> f64 {
    outcome.idle_kib.map_or(f64::NAN, |kib| kib as f64 / 1024.0)
}

/// What a program says of itself in a line.
fn said(program: &mut Command) -> io::Result<String> {
    let output = program.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

fn machine() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']))
        .collect();
    format!(
        "{} processors, {}",
        models.len(),
        models.first().unwrap_or(&"of unknown kind")
    )
}

/// Open files that nginx needs for two connections of each client.
const FILES: u64 = 18_500;
