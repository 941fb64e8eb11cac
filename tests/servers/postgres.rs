//! Real PostgreSQL servers for tests, on free ports and in folders of their own. They end with the test.
#![allow(dead_code, reason = "not all tests need all of it")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::port::Port;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The password of its only user, `postgres`.
pub const PASSWORD: &str = "a-password";

/// A running `postgres`.
pub struct PostgresServer {
    /// The port it answers on.
    pub port: u16,
    _reserved: Port,
    child: Option<Child>,
    folder: PathBuf,
    options: Vec<String>,
}

impl PostgresServer {
    /// Makes a database and starts a server. Options are as in `postgresql.conf`, `name=value`.
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(options, &[])
    }

    /// The same with files in its folder that only the server may read.
    pub fn start_with(options: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = folder();
        let data = folder.join("data");
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).expect("a file");
        give(&password);
        let made = program("initdb")
            .args([
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "--no-sync",
                "-E",
                "UTF8",
                "--no-locale",
                "--pwfile",
            ])
            .arg(&password)
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .expect("initdb runs; tests/prepare installs it");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        for (name, text) in files {
            let file = data.join(name);
            std::fs::write(&file, text).expect("a file");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("rights");
            give(&file);
        }
        let reserved = Port::reserve();
        let mut server = PostgresServer {
            port: reserved.number,
            _reserved: reserved,
            child: None,
            folder,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        assert!(server.spawn(), "postgres does not start; {}", server.log());
        server
    }

    /// The address of the database, for a URL's `?...` as it is given.
    pub fn url(&self, parameters: &str) -> String {
        format!(
            "postgres://postgres:{PASSWORD}@localhost:{}/postgres{parameters}",
            self.port
        )
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port, with what it has kept.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "postgres does not start again; {}", self.log());
    }

    /// Runs a statement and returns what it prints, without decoration.
    pub fn sql(&self, statement: &str) -> String {
        let output = self.psql(statement);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn psql(&self, statement: &str) -> std::process::Output {
        Command::new("psql")
            .env("PGPASSWORD", PASSWORD)
            .args(["-h", "127.0.0.1", "-U", "postgres", "-X", "-A", "-t", "-q", "-p"])
            .arg(self.port.to_string())
            .args(["-c", statement])
            .output()
            .expect("psql runs; tests/prepare installs it")
    }

    fn spawn(&mut self) -> bool {
        let log = std::fs::File::create(self.folder.join("log")).expect("a file");
        let mut command = program("postgres");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""])
            .args(["-c", "fsync=off"]);
        for option in &self.options {
            command.args(["-c", option]);
        }
        let Ok(mut child) = command.stdout(Stdio::null()).stderr(log).spawn() else {
            return false;
        };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            if self.psql("SELECT 1").status.success() {
                self.child = Some(child);
                return true;
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One of PostgreSQL's programs, which ends with the test also when the test is killed. They refuse to be run by root, so
/// root runs them as the user that Debian's package makes.
fn program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args([
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--clear-groups",
            "setpriv",
        ]);
    }
    command.args(["--pdeathsig", "KILL"]).arg(found(name));
    command.current_dir("/");
    command
}

/// Debian keeps the programs of each version in a folder of its own.
fn found(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut programs: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|program| program.exists())
        .collect();
    programs.sort();
    programs.pop().unwrap_or_else(|| PathBuf::from(name))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Gives a file to whoever runs the server.
fn give(path: &Path) {
    if is_root() {
        let done = Command::new("chown").arg("postgres:postgres").arg(path).status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "there is no user postgres; tests/prepare installs PostgreSQL"
        );
    }
}

fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tollgate-postgres-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    give(&folder);
    folder
}
