//! A disk that takes nothing: calls go on, writes through the Admin API are refused with a clear text and change nothing, and
//! everything goes on by itself when there is room again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{metric, wait_until};
use crate::apisix::{Node, NodeSetup};
use crate::harness::{Process, Request, Response, run};

/// A route that answers by itself, with this text.
fn route(text: &str) -> Value {
    json!({
        "uri": "/called",
        "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": text}}},
    })
}

#[track_caller]
fn is_full(response: &Response) {
    assert_eq!(response.status(), 507, "{}", response.text());
    assert_eq!(
        response.json(),
        json!({"error_msg": "nothing was changed: the disk of the store is full"})
    );
}

/// Calls, and asserts that it is answered.
#[track_caller]
fn call(node: &Node, text: &str) {
    let response = node.send(&Request::new("GET", "/called"));
    assert_eq!((response.status(), response.text()), (200, text));
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn with_a_full_disk_calls_go_on_and_changes_are_refused_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a directory");
    let log = folder.path().join("access.log");
    let node = NodeSetup::new()
        .and(&format!(
            "nginx_config: {{http: {{access_log: {}}}}}",
            log.display()
        ))
        .start();
    node.put("/routes/1", &route("old"));
    node.put("/routes/2", &json!({"uri": "/other", "plugins": {}}));
    let mut calls = 1;
    call(&node, "old");
    wait_until("the first call is in the log", || lines(&log) == 1);

    node.process.limit_files(Some(0));
    for (method, path, body) in [
        ("PUT", "/routes/1", Some(route("new"))),
        ("PATCH", "/routes/1", Some(json!({"uri": "/new"}))),
        ("DELETE", "/routes/2", None),
        ("PUT", "/routes/3", Some(route("new"))),
        ("PUT", "/consumers", Some(json!({"username": "jack"}))),
    ] {
        is_full(&node.ask(method, path, body.as_ref()));
        call(&node, "old");
        calls += 1;
    }
    assert_eq!(
        node.ask("GET", "/routes/1", None).json()["value"]["uri"],
        "/called"
    );
    assert_eq!(node.ask("GET", "/routes", None).json()["total"], 2);
    // Who looks at the numbers sees it.
    let admin = node.admin();
    wait_until("failed writes of the log are counted", || {
        metric(admin, "tollgate_access_log_errors_total", "") > 0
    });
    wait_until("failed writes of the ledger are counted", || {
        metric(admin, "tollgate_ledger_write_errors_total", "") > 0
    });

    node.process.limit_files(None);
    node.put("/routes/1", &route("new"));
    call(&node, "new");
    calls += 1;
    wait_until("no line of the log is lost", || lines(&log) == calls);
    let node = node.restart();
    call(&node, "new");
    calls += 1;
    assert_eq!(node.ask("GET", "/routes", None).json()["total"], 2);
    let data = node.file("data");
    let usage = [
        "usage",
        "--calls",
        "--json",
        "--data-dir",
        data.to_str().expect("text"),
    ];
    wait_until("no row of the ledger is lost", || {
        run(&usage, &[]).stdout.lines().count() == calls
    });
    node.stop();
    assert_eq!(lines(&log), calls);
}

#[test]
fn a_full_disk_at_the_start_is_told_and_leaves_nothing_half_made() {
    let node = NodeSetup::new().start();
    node.put("/routes/1", &route("kept"));
    let (config, data) = (node.file("conf/config.yaml"), node.file("data"));
    let (config, data) = (config.to_str().expect("text"), data.to_str().expect("text"));
    // In a folder of its own there is nothing yet: not even the key can be written.
    let empty = tempfile::tempdir().expect("a directory");
    let started = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\" </dev/null"])
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .args(["run", "--listen", "127.0.0.1:0", "--config", config, "--data-dir"])
        .arg(empty.path())
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&started.stderr);
    assert_eq!(started.status.code(), Some(1), "{told}");
    assert!(
        told.contains(empty.path().to_str().expect("text")),
        "the place is named: {told}"
    );
    assert!(!told.contains("panicked"), "{told}");
    // What is left of it is no obstacle when there is room.
    let process = Process::start(
        &[
            "run",
            "--listen",
            "127.0.0.1:0",
            "--config",
            config,
            "--data-dir",
            empty.path().to_str().expect("text"),
        ],
        &[],
    );
    process.stderr.with("  configuration  ");
    process.stop();
    assert!(Path::new(data).exists());
    call(&node.restart(), "kept");
}

#[test]
fn files_of_a_newer_version_and_of_somebody_else_are_refused_at_the_start_and_left_alone() {
    for name in ["tollgate.db", "responses.db", "usage.db"] {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join(name);
        fs::write(&file, "this is no database, but somebody wants to keep it").expect("a file");
        let config = folder.path().join("tollgate.yaml");
        fs::write(&config, "models: {m: {provider: simulated}}\n").expect("a file");
        let finished = run(
            &[
                "run",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--config",
                config.to_str().expect("text"),
                "--data-dir",
                folder.path().to_str().expect("text"),
            ],
            &[],
        );
        assert_eq!(finished.status.code(), Some(1), "{name}: {finished:?}");
        assert!(finished.stderr.contains(name), "{}", finished.stderr);
        assert_eq!(
            fs::read_to_string(&file).expect("the file"),
            "this is no database, but somebody wants to keep it"
        );
    }
}
