//! The real binary, with everything that counts in it: access log, ledger and metrics.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A running gateway.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    metrics: SocketAddr,
    directory: TempDir,
}

impl Gateway {
    /// Starts it before a vendor.
    pub fn start(vendor: SocketAddr) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("access.log");
        let config = format!(
            r#"
server: {{access_log: {{path: "{log}", format: json}}}}
metrics: {{listen: "127.0.0.1:0"}}
consumers: {{soak: {{key: the-right-key, models: ["by-*"]}}}}
providers:
  chats: {{kind: openai, endpoint: "http://{vendor}/v1", key: k, dialects: [openai_chat]}}
  messages: {{kind: anthropic, endpoint: "http://{vendor}/v1", key: k}}
models:
  by-chat: {{provider: chats, model: soak-chat, fallback: [by-messages]}}
  by-messages: {{provider: messages, model: soak-messages, fallback: [by-chat]}}
prices:
  providers:
    openai: {{models: {{soak-chat: {{input: 1.25, output: 10, cache_read: 0.125, reasoning: 12}}}}}}
    anthropic: {{models: {{soak-messages: {{input: 3, output: 15, cache_read: 0.3, cache_write: 3.75}}}}}}
"#,
            log = log.display(),
        );
        let file = directory.path().join("tollgate.yaml");
        fs::write(&file, config).expect("a file can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .env_remove("TOLLGATE_CONFIG")
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .args(["run", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let mut address_of = |name: &str| {
            loop {
                let mut line = String::new();
                assert!(
                    stderr.read_line(&mut line).is_ok_and(|count| count > 0),
                    "the gateway ended: {said}"
                );
                said.push_str(&line);
                if line.trim_start().starts_with(name) {
                    let address = line.rsplit("http://").next().unwrap_or_default();
                    return address.trim().parse().expect("an address");
                }
            }
        };
        let (address, metrics) = (address_of("listening on"), address_of("metrics"));
        // What else it says is of no interest, but a full pipe must not stop it.
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
        });
        Gateway {
            child,
            address,
            metrics,
            directory,
        }
    }

    /// The metrics, when so many calls have ended: those that were left end a moment later than their clients.
    pub fn metrics(&self, calls: usize) -> Metrics {
        let until = Instant::now() + PATIENCE;
        loop {
            let metrics = Metrics(get(self.metrics, "/metrics"));
            let counted = metrics.sum("tollgate_calls_total", "");
            if counted == calls.to_string() || Instant::now() > until {
                return metrics;
            }
        }
    }

    /// What its process holds, when all of these calls have ended and their connections are closed: no more than so many
    /// descriptors, unless that never happens.
    pub fn held(&self, calls: usize, descriptors: usize) -> Held {
        self.metrics(calls);
        let until = Instant::now() + PATIENCE;
        let process = Path::new("/proc").join(self.child.id().to_string());
        loop {
            let open = fs::read_dir(process.join("fd")).expect("its descriptors").count();
            if open <= descriptors || Instant::now() > until {
                let status = fs::read_to_string(process.join("status")).expect("its status");
                let number = |name: &str| {
                    let line = status.lines().find_map(|line| line.strip_prefix(name));
                    let number = line.and_then(|line| line.split_whitespace().next());
                    number.expect("is told").parse::<usize>().expect("a number")
                };
                return Held {
                    descriptors: open,
                    memory_kib: number("VmRSS:"),
                    threads: number("Threads:"),
                };
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets it end as an operator does, and gives the lines of its access log and the totals of its ledger.
    pub fn end(mut self) -> (Vec<Value>, Value) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        let log = fs::read_to_string(self.directory.path().join("access.log")).expect("an access log");
        let lines = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let asked = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .env_remove("TOLLGATE_CONFIG")
            .args(["usage", "--json", "--by", "outcome", "--data-dir"])
            .arg(self.directory.path().join("data"))
            .output()
            .expect("the binary starts");
        let told = String::from_utf8_lossy(&asked.stdout);
        let usage: Value = serde_json::from_str(&told)
            .unwrap_or_else(|error| panic!("{error}: {told}{}", String::from_utf8_lossy(&asked.stderr)));
        (lines, usage)
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub descriptors: usize,
    /// Memory that is in use, in KiB.
    pub memory_kib: usize,
    pub threads: usize,
}

/// What the gateway tells Prometheus.
pub struct Metrics(String);

impl Metrics {
    /// The sum of a metric over all series that have this among their labels, as a decimal.
    pub fn sum(&self, name: &str, label: &str) -> String {
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            (series.starts_with('{') && series.contains(label)).then_some(value)
        });
        let micro: u128 = values.map(micro).sum();
        let text = format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// A decimal number in millionths.
fn micro(decimal: &str) -> u128 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{fraction:0<6}")
        .parse()
        .expect("a decimal number")
}

/// The body of the answer to a GET.
fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer
}

/// What has not happened by then never happens.
const PATIENCE: Duration = Duration::from_secs(60);

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended already, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
