//! The commands, as a person types them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Finished, Process, Setup, Upstream, answers, example, repository_file, run};

/// A file with this text, in a directory that lives as long as the first value.
fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    fs::write(&path, text).expect("a file can be written");
    (directory, path)
}

#[track_caller]
fn good(finished: &Finished) {
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

const GOOD: &str = "models:\n  m: {provider: simulated}\n  n: {provider: simulated, fallback: [m]}\n\
                    consumers:\n  caller: {key: $env://CALLER_KEY, models: [m]}\n";

#[test]
fn check_prints_every_mistake_of_a_bad_file_with_its_line() {
    let (_directory, path) = file(
        "bad.yaml",
        "models:\n  a: {provider: opnai}\n  b: {provider: simulated, fallback: [c]}\n  d: {provider: simulated, timeouts: {connect: 5}}\n\
         consumers:\n  x: {key: $env://NOT_SET, models: [a]}\nserver: {lisen: 1}\n",
    );
    let path = path.to_str().expect("text");
    let finished = run(&["check", "--config", path], &[]);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "");
    for (line, mistake) in [
        (2, "unknown provider `opnai`; did you mean `openai`?"),
        (3, "`c`"),
        (4, "connect"),
        (6, "NOT_SET is not set"),
        (7, "lisen"),
    ] {
        let place = format!("{path}:{line}:");
        let told = finished
            .stderr
            .lines()
            .any(|told| told.contains(&place) && told.contains(mistake));
        assert!(told, "line {line}, {mistake}:\n{}", finished.stderr);
    }
    let run_tells = run(&["run", "--config", path, "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(run_tells.status.code(), Some(1));
    assert_eq!(
        run_tells.stderr, finished.stderr,
        "`run` refuses it with the same words"
    );
}

#[test]
fn check_finds_what_only_shows_when_files_and_addresses_are_looked_at() {
    for (config, problem) in [
        (
            "models: {m: {provider: p}}\nproviders: {p: {kind: openai-compatible, endpoint: \"https://h/v1\", tls: {ca_file: /nowhere/ca.pem}}}\n",
            "/nowhere/ca.pem",
        ),
        (
            "models: {m: {provider: simulated}}\ntraces: {endpoint: \"http://collector:4318\", headers: {authorization: $env://NOT_SET}}\n",
            "traces.headers.authorization",
        ),
        (
            "models: {m: {provider: simulated}}\nserver: {access_log: {format: \"$statuss\"}}\n",
            "statuss",
        ),
        (
            "models: {m: {provider: simulated}}\nserver: {listen: \"0.0.0.0:1\"}\n",
            "0.0.0.0:1",
        ),
    ] {
        let (_directory, path) = file("bad.yaml", config);
        let finished = run(&["check", "--config", path.to_str().expect("text")], &[]);
        assert_eq!(finished.status.code(), Some(1), "{config}: {finished:?}");
        assert!(finished.stderr.contains(problem), "{config}: {}", finished.stderr);
    }
    let absent = run(&["check", "--config", "/nowhere/tollgate.yaml"], &[]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        absent.stderr.contains("/nowhere/tollgate.yaml"),
        "{}",
        absent.stderr
    );
}

#[test]
fn check_says_what_a_good_file_means() {
    let (_directory, path) = file("good.yaml", GOOD);
    let finished = run(
        &["check", "--config", path.to_str().expect("text")],
        &[("CALLER_KEY", "consumer-key-0001")],
    );
    good(&finished);
    assert!(
        finished.stdout.contains("ok: 2 models, 1 consumers"),
        "{}",
        finished.stdout
    );
    let demo = example("nginx-demo/rbac.json");
    let finished = run(&["check", "--rbac", demo.to_str().expect("text")], &[]);
    good(&finished);
    assert!(
        finished.stdout.contains("ok: 2 models, 2 consumers"),
        "{}",
        finished.stdout
    );
    assert!(
        finished.stdout.contains("OPENAI_API_KEY"),
        "keys that are not set are told: {}",
        finished.stdout
    );
}

#[test]
fn dump_shows_references_and_never_what_they_stand_for() {
    let text = "models:\n  m: {provider: p}\nproviders:\n  p: {kind: openai-compatible, endpoint: \"http://127.0.0.1:1/v1\", \
                key: planted-provider-clear, headers: {x-auth: \"Bearer $env://HEADER_KEY\", x-more: planted-header-clear}}\n\
                consumers:\n  caller: {key: $env://CALLER_KEY, models: [m]}\n  clear: {key: planted-consumer-clear, models: [m]}\n";
    let (_directory, path) = file("good.yaml", text);
    let env = [
        ("CALLER_KEY", "planted-consumer-env"),
        ("HEADER_KEY", "planted-header-env"),
    ];
    for format in ["yaml", "json"] {
        let finished = run(
            &[
                "dump",
                "--config",
                path.to_str().expect("text"),
                "--format",
                format,
            ],
            &env,
        );
        good(&finished);
        assert!(
            !finished.stdout.contains("planted") && !finished.stderr.contains("planted"),
            "{finished:?}"
        );
        for shown in [
            "$env://CALLER_KEY",
            "Bearer $env://HEADER_KEY",
            "***",
            "http://127.0.0.1:1/v1",
        ] {
            assert!(finished.stdout.contains(shown), "{shown}: {}", finished.stdout);
        }
        if format == "json" {
            let dump: Value = serde_json::from_str(&finished.stdout).expect("JSON");
            assert_eq!(dump["consumers"][0]["username"], "caller");
        }
    }
}

#[test]
fn try_prints_answer_instance_tokens_cost_and_latency() {
    let upstream = Upstream::start(|asked, peer| {
        let said = answers::good(asked, "Blue, because of the air.");
        peer.send(
            &String::from_utf8(said)
                .expect("text")
                .replace("served-model", "gpt-5")
                .into_bytes(),
        );
        crate::harness::Next::Close
    });
    let config = format!(
        "models: {{gpt-5: {{provider: main}}}}\nproviders: {{main: {{kind: openai-compatible, endpoint: \"{}\"}}}}\n\
         consumers: {{caller: {{key: consumer-key-0001, models: [gpt-5]}}}}\n",
        upstream.base()
    );
    let gateway = Setup::new(config).start();
    let url = format!("http://{}", gateway.address);
    let arguments = [
        "try",
        "--url",
        &url,
        "--key",
        "$env://CALLER_KEY",
        "--model",
        "gpt-5",
        "Why is the sky blue?",
    ];
    let finished = run(&arguments, &[("CALLER_KEY", "consumer-key-0001")]);
    good(&finished);
    let asked = upstream.asked();
    assert_eq!(asked.json()["messages"][0]["content"], "Why is the sky blue?");
    assert!(
        finished.stdout.starts_with("Blue, because of the air.\n"),
        "{}",
        finished.stdout
    );
    let line = |name: &str| {
        let found = finished
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        found
            .unwrap_or_else(|| panic!("no {name}:\n{}", finished.stdout))
            .to_owned()
    };
    assert!(line("instance").ends_with("main"), "{}", finished.stdout);
    assert!(line("model").contains("gpt-5"), "{}", finished.stdout);
    assert!(
        line("tokens").contains("11 in") && line("tokens").contains("7 out"),
        "{}",
        finished.stdout
    );
    assert!(
        line("cost").contains("0.00008375"),
        "gpt-5 has a price: {}",
        finished.stdout
    );
    assert!(line("latency").contains(" ms"), "{}", finished.stdout);
    gateway.stop();
}

#[test]
fn try_says_what_went_wrong() {
    let gateway = Setup::new(
        "models: {m: {provider: simulated}, cut: {provider: broken}}\nproviders: {broken: {kind: simulated, endpoint: \"simulated:?fail=cut\"}}\n\
         consumers: {caller: {key: consumer-key-0001, models: [m, cut]}}\n",
    )
    .start();
    let url = format!("http://{}", gateway.address);
    for (arguments, problem) in [
        (vec!["--model", "m"], "no API key"),
        (vec!["--model", "m", "--key", "planted-wrong-key"], "not valid"),
        (vec!["--model", "absent", "--key", "consumer-key-0001"], "absent"),
        (
            vec!["--model", "cut", "--key", "consumer-key-0001"],
            "the answer failed",
        ),
    ] {
        let finished = run(
            &[&["try", "--url", &url, "Hello"], arguments.as_slice()].concat(),
            &[],
        );
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}: {finished:?}");
        assert!(
            finished.stderr.contains(problem),
            "{arguments:?}: {}",
            finished.stderr
        );
        assert!(!finished.stderr.contains("planted"), "{}", finished.stderr);
    }
    gateway.stop();
    let finished = run(&["try", "--url", &url, "--model", "m", "Hello"], &[]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains("tollgate run"),
        "it says what to do: {}",
        finished.stderr
    );
}

#[test]
fn help_of_each_command_has_examples() {
    let finished = run(&["--help"], &[]);
    good(&finished);
    assert!(
        finished.stdout.contains("tollgate run --config tollgate.yaml"),
        "{}",
        finished.stdout
    );
    for command in ["run", "check", "dump", "try", "simulate"] {
        assert!(finished.stdout.contains(command), "{}", finished.stdout);
        let finished = run(&[command, "--help"], &[("TOLLGATE_KEY", "planted-key")]);
        good(&finished);
        assert!(finished.stdout.contains("Examples:\n"), "{}", finished.stdout);
        assert!(
            finished.stdout.contains(&format!("tollgate {command}")),
            "{}",
            finished.stdout
        );
        assert!(!finished.stdout.contains("planted-key"), "{}", finished.stdout);
    }
    for wrong in [
        vec!["rum"],
        vec!["run", "--confg", "x"],
        vec!["try"],
        vec!["run", "--listen", "nowhere"],
    ] {
        let finished = run(&wrong, &[]);
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    }
}

#[test]
fn schema_is_the_one_in_the_manual() {
    let finished = run(&["schema"], &[]);
    good(&finished);
    let manual = fs::read_to_string(repository_file("docs/tollgate.schema.json")).expect("the file");
    let printed: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let written: Value = serde_json::from_str(&manual).expect("JSON");
    assert_eq!(
        printed, written,
        "docs/tollgate.schema.json is what `tollgate schema` prints"
    );
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let finished = run(&["run", "--listen", &address], &[]);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains(&format!("cannot listen on {address}")),
        "{}",
        finished.stderr
    );

    // Also when it is another gateway of the same user.
    let first = Setup::new("models: {m: {provider: simulated}}\n").start();
    let finished = run(&["run", "--listen", &first.address.to_string()], &[]);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    first.stop();
}

#[test]
fn without_a_configuration_there_is_a_model_to_try() {
    let gateway = Process::start(&["run", "--listen", "127.0.0.1:0"], &[]);
    let line = gateway.stderr.with("listening on");
    let url = line.split_whitespace().last().expect("an address").to_owned();
    let models = gateway.stderr.with("  models ");
    assert!(models.contains("simulated"), "{models}");
    let finished = run(&["try", "--url", &url, "--model", "simulated", "Hello"], &[]);
    good(&finished);
    assert!(
        finished.stdout.starts_with("Hello! How can I help you today?"),
        "{}",
        finished.stdout
    );
    gateway.stop();
}

#[test]
fn the_banners_curl_lines_work() {
    let gateway = Process::start(&["run", "--listen", "127.0.0.1:0"], &[]);
    gateway.stderr.with("# Anthropic messages");
    // The banner is written in one piece; its last line is the last curl.
    let last = gateway.stderr.with("/v1/messages");
    assert!(last.starts_with("curl "));
    let commands: Vec<String> = gateway
        .stderr
        .so_far()
        .lines()
        .filter(|line| line.starts_with("curl "))
        .map(str::to_owned)
        .collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        let output = std::process::Command::new("bash")
            .args(["-c", &command])
            .output()
            .expect("bash runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("Hello! How can I help you today?") || text.contains("Hello! "),
            "{command}: {text}"
        );
    }
    gateway.stop();
}

#[test]
fn check_tells_an_unknown_log_variable_together_with_all_other_mistakes() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("tollgate.yaml");
    let text =
        "models: {m: {provider: simulatd}}\nauth: none\nserver:\n  access_log: {format: \"$statsu\"}\n";
    fs::write(&config, text).expect("a file can be written");
    let finished = run(&["check", "--config", config.to_str().expect("text")], &[]);
    assert_eq!(finished.status.code(), Some(1));
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", finished.stderr);
    assert!(lines[0].contains(":1: models.m.provider"), "{}", lines[0]);
    assert!(
        lines[1].contains(":4: server.access_log.format") && lines[1].contains("$status"),
        "{}",
        lines[1]
    );
}
