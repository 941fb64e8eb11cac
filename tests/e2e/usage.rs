//! The usage ledger of a running gateway: what is in it, how it is asked, what a kill leaves of it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::harness::{Gateway, Process, Request, Setup, post, run};

const CONFIG: &str = r#"
models:
  steady: {provider: simulated}
  shaky: {provider: broken, fallback: [steady]}
  dead: {provider: broken}
providers:
  broken: {kind: simulated, endpoint: "simulated:?fail=503"}
consumers:
  team-a: {key: key-a, models: ["*"]}
  team-b: {key: key-b, models: [steady]}
"#;

fn start(directory: &TempDir) -> Gateway {
    Setup::new(CONFIG)
        .argument("--data-dir", text(directory.path()))
        .start()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn call(key: &str, model: &str) -> Request {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}], "user": "alice"});
    post("/v1/chat/completions", body.to_string()).header("authorization", &format!("Bearer {key}"))
}

/// What the command prints.
fn usage(arguments: &[&str]) -> String {
    let finished = run(&[&["usage"], arguments].concat(), &[]);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    finished.stdout
}

fn report(arguments: &[&str]) -> Value {
    serde_json::from_str(&usage(arguments)).expect("JSON")
}

/// The sum of a group, of the first group with this text.
fn sum(report: &Value, group: &str, text: &str, name: &str) -> i64 {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row[group] == text);
    row.and_then(|row| row[name].as_i64())
        .unwrap_or_else(|| panic!("{group} {text}: {report}"))
}

#[test]
fn calls_of_all_kinds_are_counted_and_shown() {
    let directory = tempdir().expect("a directory");
    let gateway = start(&directory);
    for (key, model, status) in [
        ("key-a", "steady", 200),
        ("key-a", "shaky", 200),
        ("key-a", "dead", 503),
        ("key-b", "steady", 200),
        ("key-b", "dead", 404),
        ("wrong", "steady", 401),
    ] {
        assert_eq!(gateway.send(&call(key, model)).status(), status, "{key} {model}");
    }
    // The end writes what waits.
    gateway.stop();

    let folder = text(directory.path());
    let by_outcome = report(&["--data-dir", folder, "--by", "outcome", "--json"]);
    assert_eq!(by_outcome["totals"]["calls"], 6);
    assert_eq!(sum(&by_outcome, "outcome", "ok", "calls"), 3);
    assert_eq!(sum(&by_outcome, "outcome", "refused", "calls"), 2);
    let by_consumer = report(&["--data-dir", folder, "--by", "consumer", "--json"]);
    assert_eq!(sum(&by_consumer, "consumer", "team-a", "calls"), 3);
    assert_eq!(sum(&by_consumer, "consumer", "team-a", "failed"), 1);
    assert!(sum(&by_consumer, "consumer", "team-b", "output_tokens") > 0);
    let only = report(&["--data-dir", folder, "--by", "", "--consumer", "team-b", "--json"]);
    assert_eq!(only["totals"]["calls"], 2);

    let table = usage(&["--data-dir", folder, "--by", "consumer,model"]);
    assert!(
        table.starts_with("consumer ") && table.contains("\ntotal "),
        "{table}"
    );
    let csv = usage(&["--data-dir", folder, "--by", "day", "--csv"]);
    assert!(
        csv.starts_with("day,calls,failed,input_tokens,") && csv.contains(",6,3,"),
        "{csv}"
    );

    let calls = usage(&["--data-dir", folder, "--calls", "--json"]);
    let calls: Vec<Value> = calls
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(calls.len(), 6);
    let fallen_back = calls
        .iter()
        .find(|call| call["model_asked"] == "shaky")
        .expect("a call");
    assert_eq!(fallen_back["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(fallen_back["attempts"][0]["status"], 503);
    assert_eq!(fallen_back["end_user"], "alice");
    assert_eq!(fallen_back["client_dialect"], "openai_chat");
    assert!(
        fallen_back["usage"].is_object(),
        "the provider's own words: {fallen_back}"
    );
    let refused = calls.iter().find(|call| call["status"] == 401).expect("a call");
    assert_eq!(refused["outcome"], "refused");
    assert!(!calls.iter().any(|call| call.to_string().contains("key-a")));
}

/// Starts a gateway that was told nothing in a folder, makes a call, and gives what the gateway said.
fn call_bare(folder: &Path) -> String {
    let gateway = Process::start_in(folder, &["run", "--listen", "127.0.0.1:0"], &[]);
    let line = gateway.stderr.with("listening on");
    let url = line.split_whitespace().last().expect("an address").to_owned();
    let tried = run(&["try", "--url", &url, "--model", "simulated", "Hello"], &[]);
    assert_eq!(tried.status.code(), Some(0), "{tried:?}");
    gateway.stop().stderr
}

#[test]
fn a_gateway_that_was_told_nothing_keeps_usage_where_it_was_started() {
    let directory = tempdir().expect("a directory");
    call_bare(directory.path());
    let shown = Process::start_in(directory.path(), &["usage", "--json"], &[]).finish();
    let report: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(report["totals"]["calls"], 1, "{report}");
}

#[test]
fn a_gateway_that_was_told_nothing_serves_where_it_may_not_write_and_says_that_usage_is_not_kept() {
    let directory = tempdir().expect("a directory");
    fs::write(directory.path().join("data"), "no folder").expect("a file");
    let said = call_bare(directory.path());
    assert!(
        said.contains("usage of calls is not kept") && said.contains("usage: {store: off}"),
        "{said}"
    );
    // Where a folder was named, it must be usable.
    let named = directory.path().join("data/kept");
    let refused = run(
        &["run", "--listen", "127.0.0.1:0", "--data-dir", text(&named)],
        &[],
    );
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("usage.store"), "{refused:?}");
}

/// Asks until so many calls are counted: they are written a moment after their end.
fn wait_for(calls: i64, arguments: &[&str]) {
    while report(arguments)["totals"]["calls"] != calls {
        std::thread::yield_now();
    }
}

#[test]
fn what_was_written_survives_a_kill_and_is_counted_once() {
    let directory = tempdir().expect("a directory");
    let all = ["--data-dir", text(directory.path()), "--by", "", "--json"];
    let gateway = start(&directory);
    assert_eq!(gateway.send(&call("key-a", "steady")).status(), 200);
    wait_for(1, &all);
    gateway.kill();
    let gateway = start(&directory);
    assert_eq!(gateway.send(&call("key-a", "steady")).status(), 200);
    gateway.stop();
    assert_eq!(report(&all)["totals"]["calls"], 2);
}

#[test]
fn a_running_gateway_is_asked_through_its_admin_api() {
    let directory = tempdir().expect("a directory");
    let gateway = Setup::new(CONFIG)
        .argument("--data-dir", text(directory.path()))
        .argument("--admin", "127.0.0.1:0")
        .start();
    gateway.send(&call("key-b", "steady"));
    let line = gateway.stderr().with("Admin API");
    let server = line
        .split_whitespace()
        .find_map(|word| word.strip_suffix("/apisix/admin"))
        .expect("an address");
    let key = fs::read_to_string(directory.path().join("admin.key")).expect("a key");
    let token = ["--server", server, "--token", key.trim()];
    wait_for(1, &[&token[..], &["--json"]].concat());
    let table = usage(&[&token[..], &["--by", "consumer,model"]].concat());
    assert!(table.contains("team-b"), "{table}");
    let csv = usage(&[&token[..], &["--by", "consumer", "--csv"]].concat());
    assert!(csv.contains("\nteam-b,1,0,"), "{csv}");
    let calls = usage(&[&token[..], &["--calls", "--consumer", "team-b", "--json"]].concat());
    let call: Value = serde_json::from_str(&calls).expect("JSON");
    assert_eq!(call["consumer"], "team-b");
    let wrong = run(&["usage", "--server", server, "--token", "wrong"], &[]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stderr.contains("401"), "{wrong:?}");
    gateway.stop();
}

#[test]
fn a_wrong_question_is_told_with_what_is_allowed() {
    let directory = tempdir().expect("a directory");
    start(&directory).stop();
    let folder = text(directory.path());
    for (arguments, said) in [
        (
            ["--by", "colour"],
            "by: `colour` is unknown; allowed: hour, day, month, consumer",
        ),
        (
            ["--since", "soon"],
            "since: `soon` is no time; write how long ago (30m, 24h, 7d, 4w)",
        ),
    ] {
        let finished = run(&["usage", "--data-dir", folder, arguments[0], arguments[1]], &[]);
        assert_eq!(finished.status.code(), Some(1));
        assert!(finished.stderr.contains(said), "{finished:?}");
    }
    let nowhere = run(&["usage", "--data-dir", "/nowhere"], &[]);
    assert!(
        nowhere.stderr.contains("no usage has been kept in it yet"),
        "{nowhere:?}"
    );
}
