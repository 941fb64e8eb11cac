//! The usage ledger in its stores: a file of SQLite, and a database of a real PostgreSQL server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../../../tests/servers/port.rs"]
mod port;
#[path = "../../../../tests/servers/postgres.rs"]
mod server;

mod calls;
mod database;
mod exact;
mod file;
mod kill;
mod overview;
mod reprice;
mod retention;
mod teams;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tollgate_telemetry::Metrics;
use tollgate_telemetry::ledger::{
    Column, Group, Ledger, Measure, Place, Reader, Report, Row, Settings, Sums, Usage,
};

/// Long enough for any machine; a test that works never waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An interval that no test waits for.
const NEVER: Duration = Duration::from_secs(3600);

/// Starts a ledger that writes when it is asked to.
fn open(place: &Place) -> (Ledger, Arc<Metrics>) {
    let settings = Settings {
        flush_interval: NEVER,
        ..Settings::new(place.clone())
    };
    start(&settings)
}

fn start(settings: &Settings) -> (Ledger, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (Ledger::start(settings, &metrics).unwrap(), metrics)
}

/// A place in PostgreSQL whose certificate, if it has one, is trusted.
fn database(address: &str, authorities: RootCertStore) -> Place {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Place::postgres(address, Arc::new(config)).unwrap()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A successful call.
fn call<'a>(id: &'a str, consumer: &'a str, model: &'a str, time_ms: i64) -> Row<'a> {
    let mut row = Row::default();
    row.text(Column::RequestId, id);
    row.number(Column::Time, time_ms);
    row.text(Column::Consumer, consumer);
    row.text(Column::ModelAsked, model);
    row.text(Column::ModelServed, model);
    row.text(Column::Provider, "openai");
    row.text(Column::Outcome, "ok");
    row.number(Column::InputTokens, 10);
    row.number(Column::OutputTokens, 5);
    row.number(Column::CostMicroUsd, 1500);
    row.text(Column::CostState, "known");
    row.text(Column::Attempts, "[]");
    row.number(Column::Status, 200);
    row
}

fn usage(parameters: &[(&str, &str)]) -> Usage {
    Usage::of(parameters.iter().copied(), now_ms() / 1000).unwrap()
}

/// Everything that is kept, by these groups.
fn ask(place: &Place, by: &str) -> Report {
    let all = usage(&[("by", by), ("since", "1970-01-01"), ("until", "2100-01-01")]);
    Reader::new(place.clone()).usage(&all).unwrap()
}

/// How many calls the roll-ups know.
fn count(place: &Place) -> i64 {
    ask(place, "").totals.get(Measure::Calls)
}

/// The value of a metric without labels.
fn number(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect("the metric is told").parse().unwrap()
}

/// The sums of a group.
fn sums<'r>(report: &'r Report, group: &[&str]) -> &'r Sums {
    let row = report.rows.iter().find(|row| row.group == group);
    &row.unwrap_or_else(|| panic!("{group:?} is in {report:?}")).sums
}

#[test]
fn groups_are_named_as_in_questions() {
    let names: Vec<&str> = Group::all().map(Group::name).collect();
    assert_eq!(names[..5], ["hour", "day", "month", "consumer", "credential"]);
}
