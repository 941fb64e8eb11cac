//! The manifests of `examples/kubernetes`: checked, served without a cluster, converted, and pushed to a gateway.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::node::CHAT;
use super::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{
    Connection, Dialect, Finished, Next, Process, Request, Response, Upstream, answers, example, post, run,
};

const SHAPES: [&str; 2] = ["gateway-api", "crd"];
const KEYS: [(&str, &str); 2] = [
    ("OPENAI_API_KEY", "sk-openai"),
    ("DEEPSEEK_API_KEY", "sk-deepseek"),
];

/// Every file of the example.
fn files() -> Vec<String> {
    let of = |topic: &str| SHAPES.map(|shape| format!("{topic}-{shape}"));
    ["load-balancing", "max-tokens", "consumers", "logging"]
        .iter()
        .flat_map(|topic| of(topic))
        .collect()
}

/// Both vendors: the answer tells the model that was asked for; what the file does not say is refused.
fn vendor(name: &str) -> Upstream {
    let limited = name.starts_with("max-tokens");
    Upstream::start(move |asked, peer| {
        let body = asked.json();
        let model = body["model"].as_str().unwrap_or_default();
        let (path, key, limit) = match model {
            "gpt-4" => ("/v1/chat/completions", "Bearer sk-openai", 50),
            _ => ("/chat/completions", "Bearer sk-deepseek", 100),
        };
        let fits = asked.path == path
            && asked.header("authorization") == Some(key)
            && body["max_tokens"].as_u64() == limited.then_some(limit);
        peer.send(&if fits {
            answers::json_answer(200, &answers::whole(Dialect::OpenAi, model))
        } else {
            answers::json_answer(418, &format!("{asked:?}"))
        });
        Next::Keep
    })
}

/// A file of the example with the vendors at another address, in a folder of its own.
fn near(name: &str, vendor: &Upstream) -> (TempDir, String) {
    let text = fs::read_to_string(example(&format!("kubernetes/{name}.yaml"))).expect("an example");
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.trim_start() {
            "options:" => {
                let indent = " ".repeat(line.len() - "options:".len());
                let endpoint = format!("http://{}", vendor.address());
                format!("{indent}override:\n{indent}  endpoint: {endpoint}\n{line}")
            }
            _ => line.to_owned(),
        })
        .collect();
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("manifests.yaml");
    fs::write(&path, lines.join("\n")).expect("a file can be written");
    (folder, path.to_str().expect("text").to_owned())
}

#[track_caller]
fn succeeds(finished: &Finished) {
    assert!(finished.status.success(), "{finished:?}");
    assert!(!format!("{finished:?}").contains("sk-"), "{finished:?}");
}

/// A call of the manual; consumers have a key.
fn call(name: &str) -> Request {
    let call = post("/anything", CHAT);
    if name.starts_with("consumers") {
        call.header("apikey", "jane-key")
    } else {
        call
    }
}

/// Asserts what the manual says of a file, of a gateway that answers with `send`.
#[track_caller]
fn serves(name: &str, send: impl Fn(&Request) -> Response) {
    let mut models = [0, 0];
    for _ in 0..10 {
        let response = send(&call(name));
        assert_eq!(response.status(), 200, "{name}: {}", response.text());
        let body = response.json();
        match body["choices"][0]["message"]["content"].as_str() {
            Some("gpt-4") => models[0] += 1,
            Some("deepseek-chat") => models[1] += 1,
            other => panic!("{name}: {other:?}"),
        }
    }
    if name.starts_with("load-balancing") {
        assert_eq!(models, [8, 2], "{name}");
    }
    if name.starts_with("consumers") {
        let without = send(&post("/anything", CHAT));
        assert_eq!(without.status(), 401, "{name}");
        let wrong = send(&post("/anything", CHAT).header("apikey", "nobody"));
        assert_eq!(wrong.status(), 401, "{name}");
    }
    assert_eq!(send(&Request::new("GET", "/anything")).status(), 404, "{name}");
    assert_eq!(send(&post("/anything/else", CHAT)).status(), 404, "{name}");
}

#[test]
fn manifests_and_what_they_are_converted_to_are_good_configurations() {
    for name in files() {
        let file = example(&format!("kubernetes/{name}.yaml"));
        let file = file.to_str().expect("text");
        succeeds(&run(&["check", "--config", file], &KEYS));
        let folder = tempfile::tempdir().expect("a directory");
        for to in ["adc", "apisix"] {
            let out = folder.path().join(format!("{to}.yaml"));
            let out = out.to_str().expect("text");
            let converted = run(
                &["convert", "kubernetes", "-f", file, "--to", to, "-o", out],
                &KEYS,
            );
            succeeds(&converted);
            assert_eq!(converted.stderr, "", "{name} has nothing to be told about");
            let checked = run(&["check", "--config", out], &KEYS);
            succeeds(&checked);
            assert!(checked.stdout.contains("1 of them routes"), "{}", checked.stdout);
        }
    }
}

#[test]
fn manifests_are_served_without_a_cluster() {
    for name in files() {
        let vendor = vendor(&name);
        let (_folder, path) = near(&name, &vendor);
        let process = Process::start(&["run", "--listen", "127.0.0.1:0", "--config", &path], &KEYS);
        let told = process.stderr.with("listening on");
        let address = told
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let address = address
            .and_then(|address| address.trim().parse().ok())
            .unwrap_or_else(|| panic!("no address in {told}"));
        serves(&name, |request| Connection::open(address).send(request));
        process.stop();
    }
}

/// Our own command against a node's Admin API.
#[track_caller]
fn command(name: &str, node: &Node, file: &str) -> Finished {
    let server = format!("http://{}", node.admin());
    let finished = run(
        &[name, "--server", &server, "--token", ADMIN_KEY, "-f", file],
        &[],
    );
    succeeds(&finished);
    finished
}

#[test]
fn converted_manifests_are_pushed_once_and_served_at_once() {
    for name in files() {
        let vendor = vendor(&name);
        let (folder, path) = near(&name, &vendor);
        // The node of this test has none of the variables.
        let mut text = fs::read_to_string(&path).expect("the file");
        for (variable, key) in KEYS {
            text = text.replace(&format!("$env://{variable}"), key);
        }
        fs::write(&path, text).expect("a file can be written");
        let adc = folder.path().join("adc.yaml");
        let adc = adc.to_str().expect("text");
        succeeds(&run(&["convert", "kubernetes", "-f", &path, "-o", adc], &[]));
        let node = NodeSetup::new().start();
        command("validate", &node, adc);
        command("sync", &node, adc);
        serves(&name, |request| node.send(request));
        let again = command("sync", &node, adc);
        assert!(
            again.stdout.contains("nothing to change"),
            "{name}: {}",
            again.stdout
        );
        serves(&name, |request| node.send(request));
        node.stop();
    }
}

#[test]
fn the_script_of_the_example_prints_both_forms_of_every_file() {
    let output = Command::new(example("kubernetes/run"))
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .output()
        .expect("the script runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    for name in files() {
        for to in ["adc", "apisix"] {
            assert!(
                printed.contains(&format!("# {name}.yaml as {to}.yaml\n")),
                "{printed}"
            );
        }
    }
    assert_eq!(printed.matches("#END").count(), files().len());
    assert_eq!(printed.matches("ai-proxy-multi:").count(), 2 * files().len());
}
