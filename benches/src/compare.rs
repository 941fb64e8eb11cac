//! Measures all targets in turns, and says where the gateway stands against nginx.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::footprint;
use crate::job::{Job, chat, milliseconds, set_profile};
use crate::load::{Ask, Outcome, Pace};
use crate::report::{self, Limit, Row, median};
use crate::scenario::{self, Scenario};
use crate::targets::{Running, Target, Wire};

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

/// All outcomes of a scenario, by target, one for each round.
type Outcomes = BTreeMap<String, Vec<Outcome>>;

/// Columns of figures.
const SHOWN: [&str; 4] = ["direct", "nginx", "bare", "governed"];

/// The same with the provider asked over HTTP/2, which nginx cannot.
const SHOWN_TLS: [&str; 5] = ["direct", "nginx", "bare", "governed", "http2"];

/// Measures and prints tables; tells whether every row is good enough.
///
/// # Errors
/// A program cannot be started, or a run fails.
pub async fn compare(plan: &Plan<'_>) -> io::Result<bool> {
    let wanted = |id: &str| plan.only.is_empty() || plan.only.iter().any(|only| only == id);
    let mut small = Vec::new();
    if wanted("idle") {
        small = footprint::measure(plan.gateway, plan.rounds).await?;
        report::print(&SHOWN, "held to", &small);
    }
    let mut tables = Vec::new();
    for (wire, scenarios) in [
        (Wire::Plain, scenario::all()),
        (Wire::Tls, scenario::all_over_tls()),
    ] {
        let scenarios: Vec<Scenario> = scenarios
            .into_iter()
            .filter(|scenario| wanted(&scenario.id))
            .collect();
        if scenarios.is_empty() {
            continue;
        }
        let running = Running::start_all(plan.gateway, wire).await?;
        let mut rows = Vec::new();
        for scenario in &scenarios {
            let outcomes = all_rounds(plan, &running, scenario, wire).await?;
            rows.extend(judge(scenario, &outcomes));
        }
        let columns = match wire {
            Wire::Plain => &SHOWN[..],
            Wire::Tls => &SHOWN_TLS,
        };
        report::print(columns, "against nginx", &rows);
        tables.push(rows);
    }
    Ok(report::tally(small.iter().chain(tables.iter().flatten())))
}

async fn all_rounds(
    plan: &Plan<'_>,
    running: &Running,
    scenario: &Scenario,
    wire: Wire,
) -> io::Result<Outcomes> {
    set_profile(running, &scenario.profile).await?;
    // The provider's own figures are shown beside the first table, and needed where something is added to them.
    let targets: Vec<&Target> = running
        .targets
        .iter()
        .filter(|target| {
            target.pid.is_some() || wire == Wire::Plain || matches!(scenario.pace, Pace::Rate(_))
        })
        .collect();
    let mut outcomes = Outcomes::new();
    for round in 0..plan.rounds {
        for number in 0..targets.len() {
            // Each round begins with another one, so that none is always the first.
            let Some(target) = targets.get((number + round) % targets.len()) else {
                continue;
            };
            eprintln!(
                "{} round {} of {}: {}",
                scenario.id,
                round + 1,
                plan.rounds,
                target.name
            );
            let job = Job {
                ask: ask(scenario, target),
                pace: scenario.pace,
                warm_up_ms: milliseconds(scenario.warm_up(wire)),
                duration_ms: milliseconds(plan.duration),
                pids: target.pid.into_iter().collect(),
            };
            let outcome = job.start(running.place().others).await?;
            outcomes.entry(target.name.clone()).or_default().push(outcome);
        }
    }
    Ok(outcomes)
}

fn ask(scenario: &Scenario, target: &Target) -> Ask {
    let speaks_anthropic = scenario.translates && !target.is_gateway;
    let mut ask = chat(target);
    if scenario.translates {
        "bench-claude".clone_into(&mut ask.model);
    }
    if speaks_anthropic {
        "/v1/messages".clone_into(&mut ask.path);
    }
    Ask {
        anthropic: speaks_anthropic,
        pieces: scenario.pieces(),
        padding: scenario.padding,
        ..ask
    }
}

fn judge(scenario: &Scenario, outcomes: &Outcomes) -> Vec<Row> {
    let limits = scenario.limits;
    let cpu = |outcome: &Outcome| match scenario.is_stream {
        true => outcome.cpu_us_per_piece,
        false => outcome.cpu_us,
    };
    let row = |what: &str, figure: &dyn Fn(&Outcome) -> f64, digits: usize| {
        let mut row = Row::new(scenario.id.clone(), what);
        for target in SHOWN_TLS {
            if let Some(value) = middle(outcomes, target, figure) {
                row.put(target, value, digits);
            }
        }
        row
    };
    let unit = if scenario.is_stream { "piece" } else { "answer" };
    let mut time = row(&format!("CPU per {unit}, µs"), &cpu, 1);
    time.hold(
        "governed",
        ratio(outcomes, "governed", &cpu),
        limits.cpu.map(Limit::AtMost),
    );
    time.hold(
        "bare",
        ratio(outcomes, "bare", &cpu),
        limits.cpu_bare.map(Limit::AtMost),
    );
    let per_second = |outcome: &Outcome| outcome.per_second;
    let mut rate = row("answers per second", &per_second, 0);
    rate.hold(
        "governed",
        ratio(outcomes, "governed", &per_second),
        limits.throughput.map(Limit::AtLeast),
    );
    let added = |figure: fn(&Outcome) -> f64| {
        Some(middle(outcomes, "governed", &figure)? - middle(outcomes, "direct", &figure)?)
    };
    let mut half = row("half within, ms", &|outcome| outcome.p50_ms, 2);
    half.hold(
        "added",
        added(|outcome| outcome.p50_ms),
        limits.added_p50_ms.map(Limit::AtMost),
    );
    let mut most = row("99 of 100 within, ms", &|outcome| outcome.p99_ms, 2);
    most.hold(
        "added",
        added(|outcome| outcome.p99_ms),
        limits.added_p99_ms.map(Limit::AtMost),
    );
    let mut rows = vec![time, rate, half, most];
    if let (Pace::Connections(streams), 1..) = (scenario.pace, scenario.profile.chunk_delay_us) {
        let memory = move |outcome: &Outcome| {
            let grown = outcome.memory_peak_kib.saturating_sub(outcome.memory_before_kib);
            grown as f64 / streams as f64
        };
        let mut grown = row("memory grown per stream, KiB", &memory, 1);
        // Later rounds use again what the first one has taken.
        let first = outcomes.get("governed").and_then(|rounds| rounds.first());
        grown.hold(
            "first round",
            first.map(memory),
            limits.stream_kib.map(Limit::AtMost),
        );
        let delay = |outcome: &Outcome| outcome.piece_p99_ms;
        let mut delayed = row("piece delayed, 99 of 100 within, ms", &delay, 2);
        delayed.hold(
            "governed",
            ratio(outcomes, "governed", &delay),
            limits.piece_p99.map(Limit::AtMost),
        );
        rows.extend([grown, delayed]);
    }
    rows.push(wrong(scenario, outcomes));
    rows
}

fn wrong(scenario: &Scenario, outcomes: &Outcomes) -> Row {
    let mut row = Row::new(scenario.id.clone(), format!("wrong answers ({})", scenario.what));
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for (target, rounds) in outcomes {
        let errors = rounds.iter().flat_map(|outcome| &outcome.errors);
        let mut of_target = 0;
        for (kind, count) in errors {
            of_target += count;
            *kinds.entry(kind).or_default() += count;
        }
        row.put(target, of_target as f64, 0);
    }
    let told: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{kind}, {count} times"))
        .collect();
    row.say(&told.join("; "), kinds.is_empty());
    row
}

/// The median over the rounds.
fn middle(outcomes: &Outcomes, target: &str, figure: &dyn Fn(&Outcome) -> f64) -> Option<f64> {
    median(outcomes.get(target)?.iter().map(figure))
}

/// The median over the rounds of the ratio to nginx in the same round.
fn ratio(outcomes: &Outcomes, target: &str, figure: &dyn Fn(&Outcome) -> f64) -> Option<f64> {
    let (ours, theirs) = (outcomes.get(target)?, outcomes.get("nginx")?);
    median(
        ours.iter()
            .zip(theirs)
            .map(|(ours, theirs)| figure(ours) / figure(theirs)),
    )
}
