//! The command line and the Admin API on what was done and what would be.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use super::node::{ADMIN_KEY, NodeSetup};
use crate::harness::{Connection, PATIENCE, Request, Setup, run};

#[test]
fn the_audit_log_is_shown_verified_and_compared_with_a_noted_hash() {
    let node = NodeSetup::new().start();
    node.put("/routes/1", &json!({"uri": "/a", "plugins": {}}));
    node.put("/routes/1", &json!({"uri": "/b", "plugins": {}}));
    let server = format!("http://{}", node.admin());
    let audit = |more: &[&str]| {
        let mut arguments = vec!["audit", "--server", &server, "--token", ADMIN_KEY];
        arguments.extend(more);
        run(&arguments, &[])
    };
    let shown = audit(&[]);
    assert_eq!(shown.status.code(), Some(0), "{}", shown.stderr);
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(
        lines[0].starts_with("2 ") && lines[0].ends_with("admin (admin, 127.0.0.1) update routes/1"),
        "{}",
        shown.stdout
    );
    assert_eq!(lines[1], "    uri: \"/a\" -> \"/b\"");
    let csv = audit(&["--csv", "--limit", "1"]);
    assert!(csv.stdout.starts_with("seq,time,actor,"), "{}", csv.stdout);
    let verified = audit(&["--verify"]);
    assert!(
        verified.stdout.starts_with("ok: 2 entries\nhead: 2:"),
        "{}",
        verified.stdout
    );
    let head = verified
        .stdout
        .trim()
        .rsplit("head: ")
        .next()
        .expect("a head")
        .to_owned();
    node.put("/routes/1", &json!({"uri": "/c", "plugins": {}}));
    assert_eq!(audit(&["--verify", "--head", &head]).status.code(), Some(0));
    let forged = head.replace("2:", "1:");
    let broken = audit(&["--verify", "--head", &forged]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(broken.stderr.contains("broken at entry 1"), "{}", broken.stderr);
}

#[test]
fn every_acknowledged_write_is_told_after_kill_9() {
    let mut node = NodeSetup::new().start();
    for round in 0..3 {
        for number in 0..5 {
            node.put(
                &format!("/routes/{round}-{number}"),
                &json!({"uri": format!("/{round}/{number}"), "plugins": {}}),
            );
        }
        node = node.restart_after_kill();
    }
    let ask = |path: &str| -> Value {
        let request = Request::new("GET", &format!("/tollgate/v1{path}")).header("x-api-key", ADMIN_KEY);
        node.ask_with(&request).json()
    };
    assert_eq!(ask("/audit")["items"].as_array().map(Vec::len), Some(15));
    let verified = ask("/audit/verify");
    assert_eq!(
        (&verified["ok"], &verified["entries"]),
        (&json!(true), &json!(15))
    );
    assert_eq!(ask("/versions")["items"][0]["version"], 15);
    assert_eq!(ask("/versions/7")["objects"].as_array().map(Vec::len), Some(7));
}

#[test]
fn a_plan_of_files_says_what_they_would_change_and_changes_nothing() {
    let node = NodeSetup::new().start();
    let server = format!("http://{}", node.admin());
    let adc = node.file("adc.yaml");
    fs::write(
        &adc,
        "services:\n- name: web\n  upstream: {nodes: [{host: 127.0.0.1, port: 1, weight: 1}]}\n  routes:\n  - name: a\n    uris: [/a]\n",
    )
    .expect("a file");
    let adc = adc.to_str().expect("text").to_owned();
    let plan = |more: &[&str]| {
        let mut arguments = vec!["plan", "--server", &server, "--token", ADMIN_KEY];
        arguments.extend(more);
        run(&arguments, &[])
    };
    let told = plan(&["-f", &adc]);
    assert_eq!(told.status.code(), Some(0), "{}{}", told.stdout, told.stderr);
    assert!(
        told.stdout.contains("+ routes/") && told.stdout.contains("+ services/"),
        "{}",
        told.stdout
    );
    assert!(
        told.stdout.contains("3 to create, 0 to update, 0 to delete")
            && told.stdout.contains("affects routes: "),
        "{}",
        told.stdout
    );
    assert_eq!(node.ask("GET", "/routes", None).json()["total"], 0);

    node.put("/routes/1", &json!({"uri": "/old", "plugins": {}}));
    let standalone = node.file("apisix.yaml");
    fs::write(
        &standalone,
        "routes:\n- {id: 1, uri: /new, plugins: {}}\n- {id: 2, uri: 7}\n#END\n",
    )
    .expect("a file");
    let bad = plan(&["--config", standalone.to_str().expect("text")]);
    assert_eq!(bad.status.code(), Some(1), "{}", bad.stdout);
    fs::write(&standalone, "routes:\n- {id: 1, uri: /new, plugins: {}}\n#END\n").expect("a file");
    let told = plan(&["--config", standalone.to_str().expect("text")]);
    assert_eq!(told.status.code(), Some(0), "{}{}", told.stdout, told.stderr);
    assert!(
        told.stdout
            .contains("~ routes/1\n    uri: \"/old\" -> \"/new\"\n"),
        "{}",
        told.stdout
    );
}

#[test]
fn a_file_of_our_own_can_name_the_admin_api_and_its_changes_are_told() {
    let config = |model: &str| {
        format!(
            "models:\n  {model}: {{provider: simulated}}\nadmin:\n  listen: 127.0.0.1:0\n  keys:\n  - {{name: ops, key: key-of-ops}}\n  \
             - {{name: eve, key: key-of-eve, role: viewer}}\n"
        )
    };
    let data = tempfile::tempdir().expect("a directory");
    let gateway = Setup::new(config("first"))
        .argument("--data-dir", data.path().to_str().expect("text"))
        .start();
    let line = gateway.stderr().with("Admin API");
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .expect("an address");
    let ask = |key: &str, path: &str| {
        let request = Request::new("GET", path).header("x-api-key", key);
        Connection::open(address.parse().expect("an address")).send(&request)
    };
    assert_eq!(ask("key-of-ops", "/apisix/admin/routes").status(), 200);
    assert_eq!(ask("key-of-eve", "/tollgate/v1/audit").status(), 200);
    assert_eq!(ask("key-of-nobody", "/tollgate/v1/audit").status(), 401);
    gateway.write_config(&config("second"));
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let told = ask("key-of-ops", "/tollgate/v1/audit?action=reload").json();
        if told["items"][0].is_object() {
            break told;
        }
        assert!(Instant::now() < deadline, "nothing is told: {told}");
    };
    let entry = &told["items"][0];
    assert_eq!(entry["via"], "file", "{told}");
    let paths: Vec<&str> = entry["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|change| change["path"].as_str())
        .collect();
    assert!(
        paths.iter().any(|path| path.ends_with("models.second")),
        "{paths:?}"
    );
}

#[test]
fn two_files_are_compared_by_model_and_consumer() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let old = file(
        "old.yaml",
        "models:\n  a: {instances: [{provider: simulated, name: x}, {provider: simulated, name: y}]}\n  b: {provider: simulated}\n\
         consumers:\n  ann: {key: planted-1, models: [\"*\"]}\n",
    );
    let new = file(
        "new.yaml",
        "models:\n  a: {instances: [{provider: simulated, name: x}, {provider: simulated, name: y, weight: 3}]}\n  c: {provider: simulated}\n\
         consumers:\n  ann: {key: planted-2, models: [a]}\n  bob: {key: planted-3, models: [a]}\n",
    );
    let told = run(&["plan", "--config", &new, "--against", &old], &[]);
    assert_eq!(told.status.code(), Some(0), "{}", told.stderr);
    for line in [
        "~ models/a\n    instances[1].weight: 1 -> 3\n",
        "- models/b\n",
        "+ models/c\n",
        "+ consumers/bob\n",
        "~ consumers/ann\n",
        "affects models: a, b, c\n",
        "affects consumers: 2\n",
    ] {
        assert!(told.stdout.contains(line), "{line}\nin\n{}", told.stdout);
    }
    assert!(
        told.stdout.contains("affects instances: a/y, b/"),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("planted"), "{}", told.stdout);
    let same = run(&["plan", "--config", &new, "--against", &new], &[]);
    assert_eq!(same.stdout, "nothing to change\n");
}
