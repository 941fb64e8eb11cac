//! Measures all targets in turns, and says where the gateway stands against nginx.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{Ask, Outcome, Pace};
use crate::profile::Profile;
use crate::scenario::{self, Scenario};
use crate::targets::{PROVIDER, Running, Target};

/// How to measure.
pub struct Plan<'a> {
    /// The gateway's binary.
    pub gateway: &'a Path,
    /// Rounds of each scenario.
    pub rounds: usize,
    /// Length of a run.
    pub duration: Duration,
    /// Names of scenarios; empty means all.
    pub only: &'a [String],
}

/// One run as a job for a process of its own, so that the load has its own processor.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// What is asked.
    pub ask: Ask,
    /// How much.
    pub pace: Pace,
    /// Unmeasured, in milliseconds.
    pub warm_up_ms: u64,
    /// Measured, in milliseconds.
    pub duration_ms: u64,
    /// Processes to measure.
    pub pids: Vec<u32>,
}

/// All outcomes of a scenario, by target, one for each round.
type Outcomes = BTreeMap<&'static str, Vec<Outcome>>;

/// Measures and prints a table; tells whether every row is good enough.
///
/// # Errors
/// A program cannot be started, or a run fails.
pub async fn compare(plan: &Plan<'_>) -> io::Result<bool> {
    let (cpu, others) = (0, 1);
    let running = Running::start(plan.gateway, cpu, others).await?;
    let mut rows = Vec::new();
    for scenario in scenario::all() {
        if !plan.only.is_empty() && !plan.only.iter().any(|id| id == scenario.id) {
            continue;
        }
        set_profile(&scenario.profile).await?;
        let mut outcomes = Outcomes::new();
        for round in 0..plan.rounds {
            for number in 0..running.targets.len() {
                // Each round begins with another one, so that none is always the first.
                let Some(target) = running.targets.get((number + round) % running.targets.len()) else {
                    continue;
                };
                eprintln!(
                    "{} round {} of {}: {}",
                    scenario.id,
                    round + 1,
                    plan.rounds,
                    target.name
                );
                let outcome = measure(&scenario, target, plan.duration, others)?;
                outcomes.entry(target.name).or_default().push(outcome);
            }
        }
        rows.extend(judge(&scenario, &outcomes));
    }
    print_rows(&rows);
    Ok(rows.iter().all(|row| row.is_good != Some(false)))
}

fn measure(scenario: &Scenario, target: &Target, duration: Duration, others: usize) -> io::Result<Outcome> {
    let speaks_anthropic = scenario.translates && !target.is_gateway;
    let job = Job {
        ask: Ask {
            address: target.address.to_owned(),
            path: match speaks_anthropic {
                true => "/v1/messages".to_owned(),
                false => "/v1/chat/completions".to_owned(),
            },
            model: match scenario.translates {
                true => "bench-claude".to_owned(),
                false => "bench".to_owned(),
            },
            headers: target.headers.clone(),
            anthropic: speaks_anthropic,
            pieces: scenario.pieces(),
            padding: scenario.padding,
        },
        pace: scenario.pace,
        warm_up_ms: u64::try_from(scenario.warm_up().as_millis()).unwrap_or(u64::MAX),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        pids: target.pid.into_iter().collect(),
    };
    let output = Command::new("taskset")
        .arg("-c")
        .arg(others.to_string())
        .arg(std::env::current_exe()?)
        .arg("job")
        .arg(serde_json::to_string(&job)?)
        .stderr(Stdio::inherit())
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn set_profile(profile: &Profile) -> io::Result<()> {
    let body = serde_json::to_string(profile)?;
    let mut stream = TcpStream::connect(PROVIDER).await?;
    let request = format!(
        "PUT /profile HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// One line of the table.
struct Row {
    scenario: &'static str,
    what: String,
    values: BTreeMap<&'static str, String>,
    /// Figure and limit.
    verdict: String,
    is_good: Option<bool>,
}

const SHOWN: [&str; 4] = ["direct", "nginx", "bare", "governed"];

fn judge(scenario: &Scenario, outcomes: &Outcomes) -> Vec<Row> {
    let limits = scenario.limits;
    let cpu = |outcome: &Outcome| match scenario.is_stream {
        true => outcome.cpu_us_per_piece,
        false => outcome.cpu_us,
    };
    let unit = if scenario.is_stream { "piece" } else { "answer" };
    let mut rows = Vec::new();
    let mut row = |what: String, figure: &dyn Fn(&Outcome) -> f64, digits: usize| {
        let values = SHOWN.into_iter().map(|target| {
            let text = match median(outcomes, target, figure) {
                Some(value) => format!("{value:.digits$}"),
                None => "-".to_owned(),
            };
            (target, text)
        });
        rows.push(Row {
            scenario: scenario.id,
            what,
            values: values.collect(),
            verdict: String::new(),
            is_good: None,
        });
        rows.len() - 1
    };
    let cpu_row = row(format!("CPU per {unit}, µs"), &cpu, 1);
    let rate_row = row("answers per second".to_owned(), &|outcome| outcome.per_second, 0);
    let p50_row = row("half within, ms".to_owned(), &|outcome| outcome.p50_ms, 2);
    let p99_row = row("99 of 100 within, ms".to_owned(), &|outcome| outcome.p99_ms, 2);
    let streams = match scenario.pace {
        Pace::Connections(count) if scenario.profile.chunk_delay_us > 0 => Some(count),
        _ => None,
    };
    let slow_rows = streams.map(|streams| {
        let memory = move |outcome: &Outcome| {
            let grown = outcome.memory_peak_kib.saturating_sub(outcome.memory_before_kib);
            grown as f64 / streams as f64
        };
        (
            row("memory grown per stream, KiB".to_owned(), &memory, 1),
            row(
                "piece delayed, 99 of 100 within, ms".to_owned(),
                &|outcome| outcome.piece_p99_ms,
                2,
            ),
        )
    });
    let errors: u64 = outcomes
        .values()
        .flatten()
        .flat_map(|outcome| outcome.errors.values())
        .sum();
    let mut hold = |row: usize, figure: Option<f64>, limit: Option<f64>, at_most: bool, name: &str| {
        if let (Some(figure), Some(limit), Some(row)) = (figure, limit, rows.get_mut(row)) {
            let is_good = if at_most { figure <= limit } else { figure >= limit };
            let sign = if at_most { "≤" } else { "≥" };
            let word = if is_good { "pass" } else { "falls short" };
            row.verdict = [
                &*row.verdict,
                &format!("{name} {figure:.2} ({sign} {limit}): {word}"),
            ]
            .join(if row.verdict.is_empty() { "" } else { "; " });
            row.is_good = Some(is_good && row.is_good != Some(false));
        }
    };
    hold(
        cpu_row,
        ratio(outcomes, "governed", &cpu),
        limits.cpu,
        true,
        "governed",
    );
    hold(
        cpu_row,
        ratio(outcomes, "bare", &cpu),
        limits.cpu_bare,
        true,
        "bare",
    );
    let rate = |outcome: &Outcome| outcome.per_second;
    hold(
        rate_row,
        ratio(outcomes, "governed", &rate),
        limits.throughput,
        false,
        "governed",
    );
    let added = |figure: fn(&Outcome) -> f64| {
        Some(median(outcomes, "governed", &figure)? - median(outcomes, "direct", &figure)?)
    };
    hold(
        p50_row,
        added(|outcome| outcome.p50_ms),
        limits.added_p50_ms,
        true,
        "added",
    );
    hold(
        p99_row,
        added(|outcome| outcome.p99_ms),
        limits.added_p99_ms,
        true,
        "added",
    );
    if let Some((memory_row, piece_row)) = slow_rows {
        let memory = outcomes
            .get("governed")
            .and_then(|rounds| rounds.first())
            .zip(streams)
            .map(|(first, streams)| {
                let grown = first.memory_peak_kib.saturating_sub(first.memory_before_kib);
                grown as f64 / streams as f64
            });
        hold(memory_row, memory, limits.stream_kib, true, "first round");
        let piece = |outcome: &Outcome| outcome.piece_p99_ms;
        hold(
            piece_row,
            ratio(outcomes, "governed", &piece),
            limits.piece_p99,
            true,
            "governed",
        );
    }
    rows.push(Row {
        scenario: scenario.id,
        what: format!("wrong answers ({})", scenario.what),
        values: SHOWN
            .into_iter()
            .map(|target| {
                let of_target: u64 = outcomes
                    .get(target)
                    .into_iter()
                    .flatten()
                    .flat_map(|outcome| outcome.errors.values())
                    .sum();
                (target, of_target.to_string())
            })
            .collect(),
        verdict: if errors == 0 { "pass" } else { "falls short" }.to_owned(),
        is_good: Some(errors == 0),
    });
    rows
}

/// The median over the rounds; `None` if a target has none, or has no processor time of its own.
fn median(outcomes: &Outcomes, target: &str, figure: &dyn Fn(&Outcome) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = outcomes.get(target)?.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The median over the rounds of the ratio to nginx in the same round.
fn ratio(outcomes: &Outcomes, target: &str, figure: &dyn Fn(&Outcome) -> f64) -> Option<f64> {
    let (ours, theirs) = (outcomes.get(target)?, outcomes.get("nginx")?);
    let mut ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .map(|(ours, theirs)| figure(ours) / figure(theirs))
        .filter(|ratio| ratio.is_finite())
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

fn print_rows(rows: &[Row]) {
    let mut text = String::from(
        "\n| | | direct | nginx | bare | governed | against nginx |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let mut line = format!("| {} | {} |", row.scenario, row.what);
        for target in SHOWN {
            line.push_str(&format!(
                " {} |",
                row.values.get(target).map_or("-", |value| value)
            ));
        }
        line.push_str(&format!(" {} |\n", row.verdict));
        text.push_str(&line);
    }
    println!("{text}");
}
