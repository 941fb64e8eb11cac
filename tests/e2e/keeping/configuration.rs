//! Configurations that are bad, huge, or come too often.

use std::io::Write;
use std::process::Command;

use serde_json::json;

use super::wait_until;
use crate::apisix::NodeSetup;
use crate::harness::{Connection, Dialect, Gateway, Process, Request, Setup, Upstream, post, run};

const OLD: &str = "models: {old: {provider: simulated}}\n";

#[track_caller]
fn status_of(gateway: &Gateway, model: &str) -> u16 {
    let body = Dialect::OpenAi.request(model, false);
    gateway.send(&post("/v1/chat/completions", body)).status()
}

/// What is wrong with each text, as it is told with the place.
fn bad_files() -> Vec<(&'static str, String, &'static str)> {
    let bomb: String = (1..9)
        .map(|level| {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            format!("a{level}: &a{level} [{before}]\n")
        })
        .collect();
    vec![
        (
            "an alias bomb",
            format!("a0: &a0 [x, x]\n{bomb}{OLD}"),
            "too large once its aliases are expanded",
        ),
        (
            "an alias within itself",
            "models: &m {old: *m}\n".to_owned(),
            "tollgate.yaml:1: an alias must not contain itself",
        ),
        (
            "a key given twice",
            format!("{OLD}models: {{}}\n"),
            "tollgate.yaml:2: duplicate key `models`",
        ),
        (
            "a tab",
            "models:\n\told: {provider: simulated}\n".to_owned(),
            "tollgate.yaml:2: tabs disallowed",
        ),
        (
            "a wrong type",
            "models: {old: 7}\n".to_owned(),
            "tollgate.yaml:1: models.old:",
        ),
        (
            "an unknown key",
            "models: {old: {provder: simulated}}\n".to_owned(),
            "tollgate.yaml:1: models.old.provder: unknown key",
        ),
        (
            "models that fall back on each other and on nobody",
            "models:\n  old: {provider: simulated, fallback: [gone]}\n".to_owned(),
            "tollgate.yaml:2: models.old.fallback",
        ),
        (
            "half a file",
            "models: {old: {prov".to_owned(),
            "tollgate.yaml:1:",
        ),
        (
            "100 MB",
            format!("{OLD}#{}\n", "x".repeat(100_000_000)),
            "it has more than",
        ),
        (
            "2 MB",
            format!("{OLD}#{}\n", "x".repeat(2_000_000)),
            "more than the 1048576 allowed",
        ),
        (
            "bytes that are no text",
            "models: {\u{0}: 1}\n".to_owned(),
            "tollgate.yaml:1:",
        ),
    ]
}

#[test]
fn each_bad_file_is_refused_with_its_place_while_the_old_configuration_serves() {
    let gateway = Setup::new(OLD).start();
    for (number, (what, text, told)) in bad_files().into_iter().enumerate() {
        gateway.write_config(&text);
        gateway
            .stderr()
            .times("the previous configuration keeps serving", number + 1);
        let so_far = gateway.stderr().so_far();
        assert!(so_far.contains(told), "{what}: {told}\n{so_far}");
        assert_eq!(status_of(&gateway, "old"), 200, "{what}");
    }
    gateway.write_config("models: {new: {provider: simulated}}\n");
    gateway.stderr().with("configuration reloaded");
    assert_eq!(
        (status_of(&gateway, "old"), status_of(&gateway, "new")),
        (404, 200)
    );
    gateway.stop();
}

#[test]
fn each_bad_file_is_refused_at_the_start_with_the_same_words() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("tollgate.yaml");
    let path = path.to_str().expect("text");
    for (what, text, told) in bad_files() {
        std::fs::write(path, text).expect("a file");
        for arguments in [
            &["run", "--listen", "127.0.0.1:0", "--config", path][..],
            &["check", "--config", path],
            &["check", path],
        ] {
            let finished = run(arguments, &[]);
            assert_eq!(finished.status.code(), Some(1), "{what}: {finished:?}");
            assert!(
                finished.stderr.contains(told),
                "{what}: {told}\n{}",
                finished.stderr
            );
            assert!(
                !finished.stderr.contains("panicked"),
                "{what}: {}",
                finished.stderr
            );
        }
    }
}

#[test]
fn the_file_to_check_may_be_named_once_and_counts_before_that_of_the_environment() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("mistake.yaml");
    std::fs::write(&path, "no_such_key: 1\n").expect("a file");
    let path = path.to_str().expect("text");
    let twice = run(&["check", "--config", "one.yaml", path], &[]);
    assert_eq!(twice.status.code(), Some(1), "{twice:?}");
    assert!(twice.stderr.contains("two files to check"), "{}", twice.stderr);
    let environment = [("TOLLGATE_CONFIG", "/nowhere.yaml")];
    let named = run(&["check", path], &environment);
    assert!(named.stderr.contains("no_such_key"), "{}", named.stderr);
    let unnamed = run(&["check"], &environment);
    assert!(unnamed.stderr.contains("/nowhere.yaml"), "{}", unnamed.stderr);
}

#[test]
fn a_configuration_that_comes_through_a_pipe_is_read_once_and_never_waited_for() {
    let folder = tempfile::tempdir().expect("a directory");
    let pipe = folder.path().join("pipe");
    let pipe = pipe.to_str().expect("text");
    assert!(
        Command::new("mkfifo")
            .arg(pipe)
            .status()
            .expect("mkfifo runs")
            .success()
    );
    let process = Process::start(&["run", "--listen", "127.0.0.1:0", "--config", pipe], &[]);
    let mut writer = std::fs::File::options()
        .write(true)
        .open(pipe)
        .expect("somebody reads");
    writer
        .write_all(OLD.as_bytes())
        .expect("a pipe takes a few bytes");
    drop(writer);
    process.stderr.with("listening on");
    // Nobody writes into the pipe now: whoever read it again would wait for ever, and hear no signal.
    process.signal("HUP");
    process.stderr.with("configuration reloaded");
    process.stop();
}

#[test]
fn hundreds_of_hangups_are_a_few_reloads_and_the_last_file_serves() {
    let gateway = Setup::new(OLD).start();
    for number in 0..300 {
        gateway.write_config(&format!("models: {{m{number}: {{provider: simulated}}}}\n"));
        gateway.signal("HUP");
    }
    wait_until("the last file serves", || status_of(&gateway, "m299") == 200);
    assert_eq!(status_of(&gateway, "m298"), 404);
    let reloads = gateway
        .stderr()
        .so_far()
        .matches("configuration reloaded")
        .count();
    assert!(reloads <= 100, "{reloads} reloads");
    gateway.stop();
}

/// Memory of the process, in KiB.
fn resident(process: &Process) -> usize {
    let status = process.told_by_system("status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a line of memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

#[test]
fn objects_that_were_replaced_leave_no_memory_behind() {
    let node = NodeSetup::new().start();
    let filler = "x".repeat(200_000);
    let write = |number: usize| {
        let body = json!({
            "uri": "/called",
            "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": format!("{number}{filler}")}}},
        });
        node.put("/routes/1", &body);
        let called = node.send(&Request::new("GET", "/called"));
        assert!(called.text().starts_with(&format!("{number}x")));
    };
    (0..50).for_each(write);
    let before = resident(&node.process);
    // If each left its text behind, this would be 160 MB.
    (50..450).for_each(write);
    let grown = resident(&node.process).saturating_sub(before);
    assert!(grown < 40_000, "{grown} KiB more");
    node.stop();
}

#[test]
fn a_stream_goes_on_as_it_began_while_its_route_is_changed_thirty_times_and_deleted() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let other = Upstream::good("of another");
    let node = NodeSetup::new().start();
    let route = |endpoint: &str| {
        json!({"uri": "/chat", "plugins": {"ai-proxy": {
            "provider": "openai-compatible",
            "auth": {"header": {"authorization": "Bearer k"}},
            "override": {"endpoint": endpoint},
        }}})
    };
    node.put(
        "/routes/1",
        &route(&format!("http://{}/v1/chat/completions", upstream.address())),
    );
    let mut stream = Connection::open(node.calls).stream(&post("/chat", Dialect::OpenAi.request("m", true)));
    stream.until("first");
    for _ in 0..30 {
        node.put(
            "/routes/1",
            &route(&format!("http://{}/v1/chat/completions", other.address())),
        );
    }
    let call = post("/chat", Dialect::OpenAi.request("m", false));
    assert!(node.send(&call).text().contains("of another"));
    // What cannot be served changes nothing either.
    let bad = json!({"uri": "/chat", "plugins": {"ai-proxy": {"provider": "nobody"}}});
    assert_eq!(node.ask("PUT", "/routes/1", Some(&bad)).status(), 400);
    assert!(node.send(&call).text().contains("of another"));
    assert_eq!(node.ask("DELETE", "/routes/1", None).status(), 200);
    assert_eq!(node.send(&call).status(), 404);
    proceed.send(()).expect("the provider waits");
    stream.until("last");
    stream.is_done();
    node.stop();
}

#[test]
fn a_stream_ends_on_the_configuration_it_began_on_although_instances_and_providers_go() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let config = |names: &[&str]| {
        let instances: Vec<String> = names
            .iter()
            .map(|name| format!("{{provider: p, name: {name}}}"))
            .collect();
        format!(
            "models: {{m: {{instances: [{}]}}}}\nproviders:\n{}",
            instances.join(", "),
            Dialect::OpenAi.provider("p", &upstream)
        )
    };
    let gateway = Setup::new(config(&["a", "b"])).start();
    let mut stream = gateway
        .connect()
        .stream(&post("/v1/chat/completions", Dialect::OpenAi.request("m", true)));
    stream.until("first");
    gateway.write_config(&config(&["c"]));
    gateway.stderr().times("configuration reloaded", 1);
    gateway.write_config("models: {m: {provider: simulated}}\n");
    gateway.stderr().times("configuration reloaded", 2);
    assert_eq!(status_of(&gateway, "m"), 200);
    proceed.send(()).expect("the provider waits");
    stream.is_done();
    gateway.stop();
}
