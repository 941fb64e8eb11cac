//! A running gateway with a configuration of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;
use super::client::{Connection, Request, Response};
use super::clock::SettableClock;
use super::process::{Finished, Lines, Process};

/// A gateway about to be started.
pub struct Setup {
    config: String,
    server: String,
    rbac: Option<String>,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    /// A command of the shell that comes before it.
    before: Option<String>,
}

/// A running gateway. It listens on a port of its own and writes its access log as JSON to standard output.
pub struct Gateway {
    process: Process,
    pub address: SocketAddr,
    server: String,
    directory: TempDir,
}

impl Setup {
    /// A gateway with this `tollgate.yaml`, to which a `server` section is added.
    pub fn new(config: impl Into<String>) -> Setup {
        let setup = Setup {
            config: config.into(),
            server: String::new(),
            rbac: None,
            arguments: Vec::new(),
            env: Vec::new(),
            before: None,
        };
        setup.server("access_log: {format: json}")
    }

    /// A gateway with this `tollgate.yaml`, which has a `server` section of its own.
    pub fn as_it_is(config: impl Into<String>) -> Setup {
        let mut setup = Setup::new(config);
        setup.server.clear();
        setup
    }

    /// A gateway with this `rbac.json` and this file beside it, both as they are.
    pub fn rbac(rbac: impl Into<String>, config: impl Into<String>) -> Setup {
        Setup {
            config: config.into(),
            server: String::new(),
            rbac: Some(rbac.into()),
            arguments: Vec::new(),
            env: Vec::new(),
            before: None,
        }
    }

    /// Adds to the `server` section, written as in `max_body: 1KiB`.
    pub fn server(mut self, entry: &str) -> Setup {
        if !self.server.is_empty() {
            self.server.push_str(", ");
        }
        self.server.push_str(entry);
        self
    }

    /// Another format of the access log than JSON.
    pub fn access_log(mut self, format: &str) -> Setup {
        self.server = self
            .server
            .replace("format: json", &format!("format: \"{format}\""));
        self
    }

    /// The access log as JSON in a file.
    pub fn access_log_to(mut self, path: &Path) -> Setup {
        let place = format!("format: json, path: \"{}\"", path.display());
        self.server = self.server.replace("format: json", &place);
        self
    }

    /// One worker thread, so that all calls share one pool of connections to providers.
    pub fn single(self) -> Setup {
        self.server("workers: 1")
    }

    /// Adds an argument with its value.
    pub fn argument(mut self, name: &str, value: &str) -> Setup {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A time of day that a test sets.
    pub fn clock(self, clock: &SettableClock) -> Setup {
        let with = |setup: Setup, (name, value): (&str, String)| setup.env(name, &value);
        clock.env().into_iter().fold(self, with)
    }

    /// Most files that the process may have open.
    pub fn open_files(mut self, most: u32) -> Setup {
        self.before = Some(format!("ulimit -n {most}"));
        self
    }

    /// The control group that the process is in, by its folder.
    pub fn in_group(mut self, folder: &Path) -> Setup {
        self.before = Some(format!("echo $$ > '{}/cgroup.procs'", folder.display()));
        self
    }

    /// Starts the gateway and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let config = path("tollgate.yaml");
        fs::write(&config, with_server(&self.config, &self.server)).expect("a file can be written");
        let mut arguments = vec![
            "run",
            "--listen",
            "127.0.0.1:0",
            "--config",
            config.to_str().expect("text"),
        ];
        let rbac = path("rbac.json");
        if let Some(text) = &self.rbac {
            fs::write(&rbac, text).expect("a file can be written");
            arguments.extend(["--rbac", rbac.to_str().expect("text")]);
        }
        arguments.extend(self.arguments.iter().map(String::as_str));
        let env: Vec<(&str, &str)> = self
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let process = match &self.before {
            None => Process::start(&arguments, &env),
            Some(command) => Process::start_after(command, &arguments, &env),
        };
        let line = process.stderr.with("listening on");
        let address = line
            .rsplit("://")
            .next()
            .and_then(|address| address.trim().parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in `{line}`"));
        Gateway {
            process,
            address,
            server: self.server,
            directory,
        }
    }
}

impl Gateway {
    /// Where its numbers are told; its configuration has `metrics: {listen: "127.0.0.1:0"}`.
    #[track_caller]
    pub fn metrics(&self) -> SocketAddr {
        let line = self.process.stderr.with("metrics");
        let address = line.rsplit("http://").next();
        let address = address.and_then(|address| address.trim().parse().ok());
        address.unwrap_or_else(|| panic!("no address in `{line}`"))
    }

    /// The value of a series, as in `name{label="value"}`, as it is told.
    #[track_caller]
    pub fn told(&self, series: &str) -> String {
        told_at(self.metrics(), series)
    }

    /// The value of a series that counts.
    #[track_caller]
    pub fn counted(&self, series: &str) -> u64 {
        let told = self.told(series);
        told.parse()
            .unwrap_or_else(|error| panic!("{series} {told}: {error}"))
    }

    /// Waits until a series has this value: some things are counted a moment after their clients see them.
    #[track_caller]
    pub fn counts(&self, series: &str, expected: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counted = self.counted(series);
            if counted == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{series} is {counted}, not {expected}");
        }
    }

    /// The memory that is in use, in bytes.
    #[track_caller]
    pub fn memory(&self) -> u64 {
        self.counted("process_resident_memory_bytes")
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Sends a request on a new connection and reads the whole answer.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.connect().send(request)
    }

    /// The next line of the access log.
    #[track_caller]
    pub fn logged(&self) -> Value {
        let line = self.process.stdout.next();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next line of the access log, as it is.
    #[track_caller]
    pub fn logged_text(&self) -> String {
        self.process.stdout.next()
    }

    /// What the system tells of its process in a file of `/proc`, such as `status`.
    pub fn told_by_system(&self, file: &str) -> String {
        self.process.told_by_system(file)
    }

    /// The gateway's own messages.
    pub fn stderr(&self) -> &Lines {
        &self.process.stderr
    }

    /// Replaces the configuration file, at once and as a whole. The gateway notices by itself.
    pub fn write_config(&self, config: &str) {
        self.replace("tollgate.yaml", &with_server(config, &self.server));
    }

    /// Replaces the `rbac.json`, likewise.
    pub fn write_rbac(&self, rbac: &str) {
        self.replace("rbac.json", rbac);
    }

    fn replace(&self, name: &str, text: &str) {
        let next = self.directory.path().join("next");
        fs::write(&next, text).expect("a file can be written");
        fs::rename(&next, self.directory.path().join(name)).expect("a file can be renamed");
    }

    /// Sends a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Asks for an orderly end, and asserts that it was one.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.process.stop()
    }

    /// Ends it at once, as `kill -9` does.
    #[track_caller]
    pub fn kill(self) {
        self.process.signal("KILL");
        self.process.finish();
    }

    /// Waits for an end that was asked for before.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.process.finish()
    }
}

fn with_server(config: &str, server: &str) -> String {
    if server.is_empty() {
        config.to_owned()
    } else {
        format!("{config}\nserver: {{{server}}}\n")
    }
}

/// The value of a series, as in `name{label="value"}`, as it is told at this address.
#[track_caller]
pub fn told_at(metrics: SocketAddr, series: &str) -> String {
    let told = Connection::open(metrics).send(&Request::new("GET", "/metrics"));
    let line = told
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = line.map(str::to_owned);
    value.unwrap_or_else(|| panic!("no {series}:\n{}", told.text()))
}
