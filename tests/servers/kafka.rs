//! Kafka clusters for tests, and a client that is not ours. Both are librdkafka's: its mock cluster, run by
//! `kafka_cluster.py`, and `kcat`. They end with the test.
#![allow(dead_code, reason = "not all tests need all of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a cluster may take for what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running cluster. Its brokers' numbers count from 1.
pub struct KafkaCluster {
    /// Where the brokers are: host and port.
    pub brokers: Vec<(String, u16)>,
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A record as another client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub partition: i64,
    pub offset: i64,
    pub key: Option<String>,
    pub value: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

impl KafkaCluster {
    /// Starts a cluster of so many brokers.
    pub fn start(brokers: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers/kafka_cluster.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(brokers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        let commands = child.stdin.take().expect("it reads commands");
        let mut answers = BufReader::new(child.stdout.take().expect("it answers"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("it tells its addresses");
        let brokers: Vec<_> = line
            .trim()
            .split(',')
            .filter_map(|address| address.rsplit_once(':'))
            .map(|(host, port)| (host.to_owned(), port.parse().expect("a port")))
            .collect();
        assert!(
            !brokers.is_empty(),
            "the cluster does not start: librdkafka is missing, which kcat brings; tests/prepare installs it"
        );
        KafkaCluster {
            brokers,
            child,
            commands,
            answers,
        }
    }

    /// Gives the cluster a command of `kafka_cluster.py`.
    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the cluster reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the cluster answers");
        assert_eq!(answer.trim(), "ok", "{command}");
    }

    /// Stops it from doing anything; connections stay open.
    pub fn pause(&self) {
        self.signal("STOP");
        // The signal reaches its threads in their own time.
        let until = Instant::now() + PATIENCE;
        while !self.is_stopped() {
            assert!(Instant::now() < until, "the cluster does not stop");
            std::thread::yield_now();
        }
    }

    /// Whether all its threads are stopped.
    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        })
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Where the brokers are, as clients want it.
    pub fn bootstrap(&self) -> String {
        let brokers = self.brokers.iter().map(|(host, port)| format!("{host}:{port}"));
        brokers.collect::<Vec<_>>().join(",")
    }

    /// All records of a topic, by partition and offset.
    pub fn consume(&self, topic: &str) -> Vec<Consumed> {
        consume(&["-b", &self.bootstrap()], topic)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All records of a topic, by partition and offset, as `kcat` reads them with these options.
pub fn consume(options: &[&str], topic: &str) -> Vec<Consumed> {
    let output = kcat(
        &[options, &["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J"]].concat(),
        "",
    );
    let text = String::from_utf8(output.stdout).expect("JSON");
    let mut records: Vec<_> = text
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            Consumed {
                partition: record["partition"].as_i64().expect("a number"),
                offset: record["offset"].as_i64().expect("a number"),
                key: record["key"].as_str().map(str::to_owned),
                value: record["payload"].as_str().unwrap_or_default().to_owned(),
                timestamp: record["ts"].as_i64().expect("a number"),
            }
        })
        .collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Runs `kcat` to its end, and asserts that it succeeds.
pub fn kcat(arguments: &[&str], input: &str) -> Output {
    let child = Command::new("kcat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("kcat runs; tests/prepare installs it");
    let mut stdin = child.stdin.take().expect("it reads");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("kcat ends");
    assert!(
        output.status.success(),
        "kcat {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
