//! Readers of logs that stand still, leave or were never there, files that are rotated and deleted, and signals: no call waits.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::wait_until;
use crate::harness::port::Port;
use crate::harness::{Connection, Dialect, Gateway, Request, Setup, post};

const CONFIG: &str = "models: {m: {provider: simulated}}\n";

fn call() -> Request {
    post("/v1/chat/completions", Dialect::OpenAi.request("m", false))
}

#[track_caller]
fn serves(gateway: &Gateway, calls: usize) {
    let mut connection = gateway.connect();
    for _ in 0..calls {
        assert_eq!(connection.send(&call()).status(), 200);
    }
}

/// A gateway whose access log goes to this path.
fn logging_to(path: &Path) -> Gateway {
    Setup::new(CONFIG).access_log_to(path).start()
}

fn entries(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok())
        .count()
}

#[test]
fn a_log_that_is_rotated_and_deleted_loses_no_line_and_holds_up_no_call() {
    let folder = tempfile::tempdir().expect("a directory");
    let (log, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let gateway = logging_to(&log);
    serves(&gateway, 20);
    wait_until("the first lines", || entries(&log) == 20);
    fs::rename(&log, &rotated).expect("a log");
    gateway.signal("USR1");
    serves(&gateway, 20);
    wait_until("all lines, in either file", || {
        entries(&log) + entries(&rotated) == 40
    });
    // Without a signal it is noticed too.
    fs::remove_file(&log).expect("a log");
    serves(&gateway, 20);
    wait_until("lines in a new file", || entries(&log) == 20);
    gateway.stop();
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}

#[test]
fn a_log_that_is_a_pipe_without_a_reader_holds_up_neither_the_start_nor_a_call_nor_the_end() {
    let folder = tempfile::tempdir().expect("a directory");
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let gateway = logging_to(&pipe);
    // More than a pipe holds.
    serves(&gateway, 600);
    gateway.stop();
}

#[test]
fn each_call_is_one_line_of_a_pipe_whose_reader_comes_late() {
    let folder = tempfile::tempdir().expect("a directory");
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let gateway = logging_to(&pipe);
    serves(&gateway, 300);
    let mut reader = fs::File::open(&pipe).expect("a pipe");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        text
    });
    serves(&gateway, 300);
    gateway.stop();
    let text = read.join().expect("a reader");
    assert_eq!(text.lines().count(), 600);
}

/// A gateway as a bare process, whose output the test reads as it likes, and where it listens.
fn started(stdout: Stdio, stderr: Stdio, directory: &Path) -> (std::process::Child, impl Fn() -> Connection) {
    let config = directory.join("tollgate.yaml");
    let reserved = Port::reserve();
    fs::write(
        &config,
        format!("{CONFIG}server: {{access_log: {{format: json}}}}\n"),
    )
    .expect("a file");
    let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["run", "--listen", &reserved.address().to_string(), "--config"])
        .arg(&config)
        .current_dir(directory)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .expect("a process");
    let connect = move || {
        let mut connection = None;
        wait_until("it listens", || {
            connection = Connection::try_open(reserved.address()).ok();
            connection.is_some()
        });
        connection.expect("it was waited for")
    };
    (child, connect)
}

fn terminate(child: &std::process::Child) {
    let sent = Command::new("kill").arg(child.id().to_string()).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn readers_of_both_outputs_that_stand_still_hold_up_neither_a_call_nor_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let (stdout, stdout_of_it) = std::io::pipe().expect("a pipe");
    let (stderr, stderr_of_it) = std::io::pipe().expect("a pipe");
    let (mut child, connect) = started(stdout_of_it.into(), stderr_of_it.into(), directory.path());
    // Everything is told, so that there is more than pipes hold.
    for _ in 0..20 {
        let mut connection = connect();
        for _ in 0..50 {
            assert_eq!(connection.send(&call()).status(), 200);
        }
    }
    terminate(&child);
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
    drop((stdout, stderr));
}

#[test]
fn readers_of_both_outputs_that_leave_end_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (stdout, stdout_of_it) = std::io::pipe().expect("a pipe");
    let (stderr, stderr_of_it) = std::io::pipe().expect("a pipe");
    let (mut child, connect) = started(stdout_of_it.into(), stderr_of_it.into(), directory.path());
    drop((stdout, stderr));
    for _ in 0..3 {
        let mut connection = connect();
        assert_eq!(connection.send(&call()).status(), 200);
    }
    for signal in ["-PIPE", "-HUP", "-USR1"] {
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
        assert_eq!(connect().send(&call()).status(), 200, "{signal}");
    }
    terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
