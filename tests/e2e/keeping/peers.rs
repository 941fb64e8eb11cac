//! Peers beside the calls that are gone or say nothing: Kafka, a collector, a log server, PostgreSQL, Redis, scrapers. Calls go on,
//! what is lost is counted, and the end is not put off.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{metric, wait_until};
use crate::apisix::NodeSetup;
use crate::harness::{Connection, Dialect, Request, Setup, Upstream, post};

/// How a peer fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// Nobody listens.
    Refuses,
    /// Connections are made, and nothing is ever said.
    Silent,
}

/// A place where nobody answers.
struct Peer {
    address: SocketAddr,
    _refusing: Option<Upstream>,
    _silent: Option<TcpListener>,
}

impl Failing {
    fn peer(self) -> Peer {
        match self {
            Failing::Refuses => {
                let upstream = Upstream::refusing();
                Peer {
                    address: upstream.address(),
                    _refusing: Some(upstream),
                    _silent: None,
                }
            }
            Failing::Silent => {
                // The system makes connections to it, which nobody takes.
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                Peer {
                    address: listener.local_addr().expect("an address"),
                    _refusing: None,
                    _silent: Some(listener),
                }
            }
        }
    }
}

fn call() -> Request {
    post("/v1/chat/completions", Dialect::OpenAi.request("m", true))
}

#[test]
fn with_kafka_collector_log_server_and_postgresql_gone_calls_go_on_and_losses_are_counted() {
    for failing in [Failing::Refuses, Failing::Silent] {
        let [kafka, collector, logs, database] = [(); 4].map(|()| failing.peer());
        let gateway = Setup::new(format!(
            "models: {{m: {{provider: simulated}}}}\n\
             usage: {{store: \"postgres://u:p@{}/usage?sslmode=disable\"}}\n\
             traces: {{endpoint: \"http://{}\", queue: 5, timeout: 1s}}\n\
             metrics: {{listen: 127.0.0.1:0}}\n\
             loggers:\n  - kafka: {{brokers: [\"{}\"], topic: calls, queue: 5}}\n  \
             - http: {{url: \"http://{}/\", batch: {{queue: 5}}}}\n",
            database.address, collector.address, kafka.address, logs.address
        ))
        .start();
        let metrics = gateway.metrics();
        let mut connection = gateway.connect();
        for _ in 0..200 {
            assert_eq!(connection.send(&call()).status(), 200, "{failing:?}");
        }
        for sink in ["kafka", "http", "traces"] {
            wait_until("what does not fit is counted", || dropped(metrics, sink) > 0);
        }
        let asked = Instant::now();
        let finished = gateway.stop();
        // Only that it ends: each peer is given its seconds, and none for ever.
        assert!(
            asked.elapsed() < Duration::from_secs(20),
            "{failing:?}: {}",
            finished.stderr
        );
        assert_eq!(finished.stdout.lines().count(), 200, "a line for each call");
        assert!(
            finished.stderr.lines().count() < 100,
            "{failing:?}: {}",
            finished.stderr
        );
    }
}

/// Entries that were lost on their way to a sink.
fn dropped(metrics: SocketAddr, sink: &str) -> u64 {
    let told = Connection::open(metrics).send(&Request::new("GET", "/metrics"));
    told.text()
        .lines()
        .filter(|line| line.starts_with("tollgate_delivery_dropped_total") && line.contains(sink))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}

#[test]
fn a_scraper_that_leaves_in_the_middle_or_reads_nothing_disturbs_nobody() {
    let node = NodeSetup::new().start();
    node.put(
        "/routes/1",
        &json!({"uri": "/called", "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": "x"}}}}),
    );
    let scrape = Request::new("GET", "/metrics").bytes();
    let scrapers: Vec<Connection> = (0..50)
        .map(|_| {
            let mut scraper = Connection::open(node.admin());
            scraper.write(&scrape);
            scraper
        })
        .collect();
    for (number, scraper) in scrapers.into_iter().enumerate() {
        // Some leave, some stay and read nothing.
        if number % 2 == 0 {
            drop(scraper);
        } else {
            std::mem::forget(scraper);
        }
        assert_eq!(node.send(&Request::new("GET", "/called")).status(), 200);
        assert_eq!(node.ask("GET", "/routes/1", None).status(), 200);
    }
    assert!(metric(node.admin(), "tollgate_", "") > 0);
    node.stop();
}

#[test]
fn names_of_models_that_clients_make_up_are_no_labels() {
    let gateway = Setup::new("models: {m: {provider: simulated}}\nmetrics: {listen: 127.0.0.1:0}\n").start();
    let metrics = gateway.metrics();
    let mut connection = gateway.connect();
    for number in 0..300 {
        let body = Dialect::OpenAi.request(&format!("planted-{number}"), false);
        assert_eq!(connection.send(&post("/v1/chat/completions", body)).status(), 404);
    }
    let told = Connection::open(metrics).send(&Request::new("GET", "/metrics"));
    assert!(!told.text().contains("planted"), "{}", told.text());
    gateway.stop();
}
