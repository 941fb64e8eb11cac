//! What the gateway says it would do with a call, held against what it does.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Dialect, Finished, Setup, Upstream, post, run};

/// What `tollgate explain` says of a call by a configuration.
#[track_caller]
fn explained(config: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(config, &[arguments, &["--json"]].concat()).stdout).expect("JSON")
}

#[track_caller]
fn told(config: &str, arguments: &[&str]) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tollgate.yaml");
    fs::write(&path, config).expect("a file can be written");
    let config = ["explain", "--config", path.to_str().expect("text")];
    let finished = run(&[&config, arguments].concat(), &[]);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    finished
}

fn config(upstream: &Upstream, kind: &str) -> String {
    format!(
        "models: {{m: {{provider: p, model: at-the-provider, options: {{temperature: 0.5}}}}}}\n\
         providers: {{p: {{kind: {kind}, key: secret-of-the-provider, endpoint: \"{}\", headers: {{x-team: search}}}}}}\n\
         consumers: {{caller: {{key: key-of-the-caller, models: [m]}}}}\n",
        upstream.base()
    )
}

#[test]
fn the_request_is_told_as_it_is_sent_to_the_byte_but_for_secrets() {
    for kind in ["openai", "anthropic"] {
        let upstream = Upstream::good("hello");
        let config = config(&upstream, kind);
        for client in [Dialect::OpenAi, Dialect::Anthropic] {
            let body = client.request("m", false);
            let request = post(client.path(), client.request("m", false))
                .header("authorization", "Bearer key-of-the-caller");
            let explained = explained(
                &config,
                &["--path", client.path(), "--key", "key-of-the-caller", "-d", &body],
            );
            let sent = &explained["request"];
            assert_eq!(explained["consumer"], "caller", "{explained:#}");
            upstream.was_not_asked();

            let gateway = Setup::new(&config).start();
            assert_eq!(gateway.send(&request).status(), 200);
            let asked = upstream.asked();
            let url = format!("http://{}{}", upstream.address(), asked.path);
            assert_eq!(sent["url"], url, "{kind} {client:?}");
            assert_eq!(sent["method"], asked.method);
            assert_eq!(sent["body"], asked.text(), "{kind} {client:?}");
            for (name, value) in sent["headers"].as_object().expect("headers") {
                let was = asked
                    .header(name)
                    .unwrap_or_else(|| panic!("{name} was not sent"));
                if value == "***" {
                    // What the configuration adds may be a secret, whatever its name.
                    assert!(
                        was.contains("secret-of-the-provider") || name == "x-team",
                        "{name}: {was}"
                    );
                } else {
                    assert_eq!(value, was, "{name}");
                }
            }
            for (name, _) in &asked.headers {
                let by_connection = ["content-length", "host"].contains(&name.as_str());
                assert!(
                    by_connection || sent["headers"][name].is_string(),
                    "{name} is not told"
                );
            }
            assert!(!explained.to_string().contains("secret-of-the-provider"));
        }
    }
}

#[test]
fn what_the_gateway_would_answer_itself_is_told_in_the_dialect_of_the_client() {
    let upstream = Upstream::good("hello");
    let config = config(&upstream, "openai");
    let wrong = explained(&config, &["--model", "m", "--key", "wrong"]);
    assert_eq!(wrong["answer"]["status"], 401, "{wrong:#}");
    assert_eq!(wrong["error_code"], "invalid_api_key");
    assert_eq!(wrong["request"], Value::Null);
    let other = json!({"model": "other", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]})
        .to_string();
    let unknown = explained(
        &config,
        &[
            "--path",
            "/v1/messages",
            "--key",
            "key-of-the-caller",
            "-d",
            &other,
        ],
    );
    assert_eq!(unknown["answer"]["status"], 404, "{unknown:#}");
    let body: Value = serde_json::from_str(unknown["answer"]["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(body["type"], "error");
    let models = explained(
        &config,
        &["-X", "GET", "--path", "/v1/models", "--key", "key-of-the-caller"],
    );
    assert_eq!(models["answer"]["status"], 200, "{models:#}");
    upstream.was_not_asked();
}

#[test]
fn losses_fallbacks_and_instances_are_told() {
    let upstream = Upstream::good("hello");
    let config = format!(
        "models:\n  m: {{instances: [{{provider: p, weight: 3}}, {{provider: q}}], fallback: [n]}}\n  n: {{provider: p}}\n\
         providers: {{p: {{kind: anthropic, key: k, endpoint: \"{0}\"}}, q: {{kind: anthropic, key: k, endpoint: \"{0}\"}}}}\nauth: none\n",
        upstream.base()
    );
    let body = json!({"model": "m", "seed": 7, "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let explained = explained(&config, &["-d", &body]);
    let losses = explained["losses"].as_array().expect("losses");
    assert!(losses.iter().any(|loss| loss["field"] == "seed"), "{explained:#}");
    let names = |model: &Value| -> Vec<String> {
        let instances = model["instances"].as_array().expect("instances");
        let name = |instance: &Value| instance["name"].as_str().expect("a name").to_owned();
        instances.iter().map(name).collect()
    };
    assert_eq!(names(&explained["models"][0]), ["p", "q"]);
    assert_eq!(explained["models"][0]["chosen_by"], "turns by weight");
    assert_eq!(explained["models"][1]["name"], "n");
    assert_eq!(explained["request"]["instance"], "p");
    let text = told(&config, &["-d", &body]).stdout;
    for line in [
        "chosen   p at anthropic",
        "seed=",
        "POST http://127.0.0.1:",
        "model      n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    upstream.was_not_asked();
}

#[test]
fn a_question_that_is_no_call_is_refused_with_what_to_write_instead() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tollgate.yaml");
    fs::write(&path, "models: {m: {provider: simulated}}\n").expect("a file can be written");
    let path = path.to_str().expect("text");
    for (arguments, told) in [
        (
            &["-d", "{}", "--path", "nowhere"][..],
            "path: must be the path of a call",
        ),
        (&["-d", "{}", "-H", "no-colon"], "write it as in `Host:"),
        (&["-d", "@/nowhere/body.json"], "/nowhere/body.json"),
        (&[], "--model NAME, or --data"),
    ] {
        let finished = run(&[&["explain", "--config", path], arguments].concat(), &[]);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains(told), "{}", finished.stderr);
    }
}
