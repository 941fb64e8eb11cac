//! Growth with what is configured: routes, consumers, instances. Every request is for another one of them.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Plan, Rounds, count, ratio, row, wrong};
use crate::job::{Job, put, set_profile};
use crate::load::{self, Outcome, Pace};
use crate::mock;
use crate::process;
use crate::profile::Profile;
use crate::report::{Limit, Row};
use crate::targets::{GROWING, KEY, Place, Running, Start, Target};

/// What there are many of, and how many.
pub struct Axis {
    /// Its name.
    pub id: &'static str,
    /// How many.
    pub points: &'static [u64],
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Routes,
    Consumers,
    Instances,
}

/// All of them.
pub const AXES: &[Axis] = &[
    Axis {
        id: "routes",
        points: &[1, 10, 100, 1000, 10_000],
        of: Of::Routes,
    },
    Axis {
        id: "consumers",
        points: &[1, 10, 100, 1000, 10_000, 100_000],
        of: Of::Consumers,
    },
    Axis {
        id: "instances",
        points: &[1, 10, 100, 1000],
        of: Of::Instances,
    },
];

/// How much more a call may cost among many than alone.
const CPU: Limit = Limit::AtMost(1.05);

const NAME: &str = "governed by plugins";

/// Measures a gateway for each place of the axis, in turns.
///
/// # Errors
/// A program cannot be started, a configuration is refused, or a run fails.
pub async fn measure(plan: &Plan<'_>, axis: &Axis) -> io::Result<Rounds> {
    let most = axis.points.last().copied().unwrap_or(0);
    let further = match axis.of {
        Of::Instances => u16::try_from(most).unwrap_or(u16::MAX),
        _ => 0,
    };
    let mut running = Running::start(Place::APART, further).await?;
    set_profile(&running, &Profile::default()).await?;
    let mut gateways = Vec::new();
    for x in axis.points {
        let start = Start {
            name: format!("{}-{x}", axis.id),
            ..Start::new(&GROWING)
        };
        eprintln!("{} {x}: configuration", axis.id);
        let target = running.gateway(&Command::new(plan.gateway), &start).await?;
        configure(&running.provider, &target, axis.of, *x).await?;
        let job = job(plan, axis, &target, *x);
        load::calls(job.ask.clone(), 1).await?;
        let family: Vec<u32> = target.pid.into_iter().flat_map(process::family).collect();
        gateways.push((*x, job, process::usage(&family).memory_kib));
    }
    let mut rounds = Rounds::new();
    for round in 0..plan.rounds {
        for number in 0..gateways.len() {
            // Each round begins with another one, so that none is always the first.
            let Some((x, job, memory)) = gateways.get((number + round) % gateways.len()) else {
                continue;
            };
            eprintln!("{} {x}, round {} of {}", axis.id, round + 1, plan.rounds);
            let outcome = job.start(running.place().others).await?;
            let outcome = Outcome {
                idle_kib: Some(*memory),
                ..outcome
            };
            rounds.entry((NAME.to_owned(), *x)).or_default().push(outcome);
        }
    }
    Ok(rounds)
}

/// The rows of an axis.
pub fn judge(axis: &Axis, rounds: &Rounds) -> Vec<Row> {
    let cpu = |outcome: &Outcome| outcome.cpu_us;
    let mut time = row(axis.id, "CPU per answer, µs", rounds, NAME, &cpu, 1);
    if let (Some(first), Some(last)) = (axis.points.first(), axis.points.last()) {
        let name = format!("{} to {first}", count(*last));
        time.hold(&name, ratio(rounds, NAME, *last, *first, &cpu), Some(CPU));
    }
    let memory = row(
        axis.id,
        "memory before the calls, MiB",
        rounds,
        NAME,
        &super::idle_mib,
        1,
    );
    vec![time, memory, wrong(axis.id, rounds)]
}

fn job(plan: &Plan<'_>, axis: &Axis, target: &Target, x: u64) -> Job {
    let mut job = Job::new(target, Pace::Connections(32), plan.duration);
    job.ask.spread = x;
    match axis.of {
        Of::Routes => "/service-{n}/v1/chat/completions".clone_into(&mut job.ask.path),
        Of::Consumers => job.ask.headers = vec!["authorization: Bearer bench-key-{n}".to_owned()],
        Of::Instances => {}
    }
    job
}

/// Puts the whole configuration at once.
async fn configure(provider: &str, target: &Target, of: Of, number: u64) -> io::Result<()> {
    let document = serde_json::to_string(&document(provider, of, number))?;
    let headers = format!("content-type: application/json\r\nx-api-key: {KEY}\r\nx-digest: 1\r\n");
    let until = Instant::now() + PATIENCE;
    let answer = loop {
        match put(&target.admin, "/apisix/admin/configs", &headers, &document).await {
            // Calls are taken before the Admin API is there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => break answer?,
        }
    };
    let answer = String::from_utf8_lossy(&answer);
    match answer.starts_with("HTTP/1.1 202") {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "the configuration is refused: {answer}"
        ))),
    }
}

fn document(provider: &str, of: Of, number: u64) -> Value {
    let consumer = |username: String, key: String| json!({"username": username, "plugins": {"key-auth": {"key": format!("Bearer {key}")}}});
    let (routes, consumers): (Vec<Value>, Vec<Value>) = match of {
        Of::Routes => (
            (0..number)
                .map(|n| route(&format!("/service-{n}"), one_instance(provider), n))
                .collect(),
            vec![consumer("bench".to_owned(), KEY.to_owned())],
        ),
        Of::Consumers => (
            vec![route("", one_instance(provider), 0)],
            (0..number)
                .map(|n| consumer(format!("bench_{n}"), format!("bench-key-{n}")))
                .collect(),
        ),
        Of::Instances => (
            vec![route("", instances(provider, number), 0)],
            vec![consumer("bench".to_owned(), KEY.to_owned())],
        ),
    };
    json!({"routes": routes, "consumers": consumers})
}

/// A route with one plugin that asks a provider, and those that govern it.
fn route(prefix: &str, (name, proxy): (&str, Value), id: u64) -> Value {
    let mut plugins = json!({
        "key-auth": {"header": "authorization"},
        "prometheus": {},
        "ai-rate-limiting": {"limit": 1_000_000_000_000_u64, "time_window": 60, "limit_strategy": "total_tokens"},
    });
    if let Some(plugins) = plugins.as_object_mut() {
        plugins.insert(name.to_owned(), proxy);
    }
    json!({"id": id.to_string(), "uri": format!("{prefix}/v1/chat/completions"), "methods": ["POST"], "plugins": plugins})
}

fn one_instance(provider: &str) -> (&'static str, Value) {
    let proxy = json!({
        "provider": "openai",
        "auth": {"header": {"Authorization": "Bearer sk-provider"}},
        "override": {"endpoint": format!("http://{provider}")},
        "keepalive_pool": 256,
    });
    ("ai-proxy", proxy)
}

/// Each at an address of its own, as instances are.
fn instances(provider: &str, number: u64) -> (&'static str, Value) {
    let port = provider.rsplit(':').next().unwrap_or_default();
    let instance = |n: u64| {
        let address = mock::further(u16::try_from(n).unwrap_or(u16::MAX));
        json!({
            "name": format!("instance-{n}"),
            "provider": "openai-compatible",
            "weight": 1,
            "auth": {"header": {"Authorization": "Bearer sk-provider"}},
            "override": {"endpoint": format!("http://{address}:{port}/v1/chat/completions")},
        })
    };
    let instances: Vec<Value> = (0..number).map(instance).collect();
    (
        "ai-proxy-multi",
        json!({"instances": instances, "keepalive_pool": 256}),
    )
}

/// How long the Admin API is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(20);
