//! What the gateway says it would do with a call, held against what it does.

use std::fs;

use serde_json::{Value, json};

use crate::apisix::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{Dialect, Finished, Request, Setup, Upstream, post, run};

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

/// Asks our own part of the Admin API.
#[track_caller]
fn ask(node: &Node, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = Request::new(method, &format!("/tollgate/v1{path}")).header("x-api-key", ADMIN_KEY);
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let response = node.ask_with(&request);
    (response.status(), response.json())
}

/// A route of two instances whose consumers may call so often.
fn limited(node: &Node, count: u32, a: &Upstream, b: &Upstream) {
    node.put(
        "/consumers",
        &json!({"username": "jack", "plugins": {"key-auth": {"key": "key-of-jack"}}}),
    );
    let instance = |name: &str, upstream: &Upstream| {
        json!({
            "name": name, "provider": "openai-compatible", "weight": 1, "override": {"endpoint": upstream.base()},
            "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}}, "options": {"model": "gpt-4"},
        })
    };
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "name": "a chat", "plugins": {
            "key-auth": {},
            "limit-count": {"count": count, "time_window": 600, "rejected_code": 429},
            "limit-req": {"rate": 1000, "burst": 1000, "key": "remote_addr"},
            "ai-proxy-multi": {"instances": [instance("a", a), instance("b", b)]},
        }}),
    );
}

fn question() -> Value {
    let body: Value = serde_json::from_str(&Dialect::OpenAi.request("m", false)).expect("JSON");
    json!({"path": "/chat", "headers": {"apikey": "key-of-jack"}, "body": body})
}

#[test]
fn a_running_gateway_explains_without_counting_logging_or_asking_anybody() {
    let (a, b) = (Upstream::good("a"), Upstream::good("b"));
    let node = NodeSetup::new().start();
    limited(&node, 3, &a, &b);
    let metrics = || node.ask_with(&Request::new("GET", "/metrics")).text().to_owned();
    let calls = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.starts_with("tollgate_") && !line.contains("process"));
        let of_calls = lines
            .filter(|line| line.contains("request") || line.contains("attempt") || line.contains("calls"));
        of_calls.map(str::to_owned).collect()
    };
    let before = metrics();
    for _ in 0..5 {
        let (status, told) = ask(&node, "POST", "/explain", Some(&question()));
        assert_eq!(status, 200, "{told:#}");
        assert_eq!(told["route"]["name"], "a chat");
        assert_eq!(told["consumer"], "jack");
        assert_eq!(told["answer_headers"]["x-ratelimit-remaining"], "3", "{told:#}");
        assert_eq!(told["request"]["instance"], "a", "nobody's turn is taken");
        assert_eq!(told["request"]["headers"]["authorization"], "***");
        let plugins = told["plugins"].as_array().expect("plugins");
        let says = |name: &str| {
            &plugins
                .iter()
                .find(|plugin| plugin["name"] == name)
                .expect("it is told")["says"]
        };
        assert_eq!(
            (says("key-auth"), says("limit-count")),
            (&json!("next"), &json!("next"))
        );
        assert_eq!(says("limit-req"), "not asked, because it would count the call");
    }
    a.was_not_asked();
    b.was_not_asked();
    assert_eq!(calls(&before), calls(&metrics()));

    let call = post("/chat", Dialect::OpenAi.request("m", false)).header("apikey", "key-of-jack");
    for _ in 0..3 {
        assert_eq!(node.send(&call).status(), 200);
    }
    let (_, told) = ask(&node, "POST", "/explain", Some(&question()));
    assert_eq!(told["answer"]["status"], 429, "{told:#}");
    assert_eq!(node.send(&call).status(), 429);
    let finished = node.stop();
    let logged = finished
        .stdout
        .lines()
        .filter(|line| line.contains("/chat"))
        .count();
    assert_eq!(logged, 4, "{}", finished.stdout);
}

#[test]
fn instances_are_drained_disabled_and_enabled_and_traffic_moves() {
    let (a, b) = (Upstream::good("from a"), Upstream::good("from b"));
    let node = NodeSetup::new().start();
    limited(&node, 1000, &a, &b);
    let call = post("/chat", Dialect::OpenAi.request("m", false)).header("apikey", "key-of-jack");
    let answered_by = || {
        let response = node.send(&call);
        assert_eq!(response.status(), 200, "{}", response.text());
        response
            .header("x-tollgate-instance")
            .expect("an instance")
            .to_owned()
    };
    let by: Vec<String> = (0..4).map(|_| answered_by()).collect();
    assert_eq!(by, ["a", "b", "a", "b"]);

    let (status, told) = ask(&node, "GET", "/instances", None);
    assert_eq!(status, 200);
    let ids: Vec<&Value> = told["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, ["route/1/a", "route/1/b"]);
    let (status, told) = ask(&node, "POST", "/instances/route/1/a/drain", None);
    assert_eq!(
        (status, &told["standing"], &told["usable"]),
        (200, &json!("draining"), &json!(false))
    );
    assert!((0..4).all(|_| answered_by() == "b"));
    let (_, told) = ask(&node, "POST", "/explain", Some(&question()));
    assert_eq!(told["request"]["instance"], "b", "{told:#}");

    ask(&node, "POST", "/instances/route/1/b/disable", None);
    assert!(
        (0..4).all(|_| answered_by() == "a"),
        "who is draining takes what nobody else can"
    );
    // A change of the route does not bring it back.
    limited(&node, 2000, &a, &b);
    assert!((0..4).all(|_| answered_by() == "a"));
    ask(&node, "POST", "/instances/route/1/a/disable", None);
    let refused = node.send(&call);
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("switched off"), "{}", refused.text());
    let (_, told) = ask(&node, "POST", "/explain", Some(&question()));
    assert_eq!(told["answer"]["status"], 503, "{told:#}");

    // Nor does a restart.
    let node = node.restart_after_kill();
    assert_eq!(node.send(&call).status(), 503);
    ask(&node, "POST", "/instances/route/1/a/enable", None);
    ask(&node, "POST", "/instances/route/1/b/enable", None);
    let node = node.restart();
    let answered_by = || {
        let response = node.send(&call);
        assert_eq!(response.status(), 200, "{}", response.text());
        response
            .header("x-tollgate-instance")
            .expect("an instance")
            .to_owned()
    };
    let mut by: Vec<String> = (0..2).map(|_| answered_by()).collect();
    by.sort();
    assert_eq!(by, ["a", "b"]);

    let (status, told) = ask(&node, "POST", "/instances/route/1/c/disable", None);
    assert_eq!(
        (status, &told["error"]["code"]),
        (404, &json!("not_found")),
        "{told}"
    );
    let viewer = |method: &str, path: &str| {
        let request = Request::new(method, path).header("x-api-key", "key-of-a-viewer");
        node.ask_with(&request.body(question().to_string())).status()
    };
    assert_eq!(viewer("POST", "/tollgate/v1/instances/route/1/a/disable"), 403);
    assert_eq!(viewer("POST", "/tollgate/v1/explain"), 200);
    assert_eq!(viewer("GET", "/tollgate/v1/instances"), 200);
}

#[test]
fn budgets_and_limits_of_all_levels_are_told_and_nothing_of_them_is_used() {
    let upstream = Upstream::good("hello");
    let node = NodeSetup::new().start();
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "plugins": {"key-auth": {}, "ai-proxy": {
            "provider": "openai-compatible", "auth": {"header": {"Authorization": "Bearer k"}},
            "options": {"model": "gpt-4", "max_tokens": 60}, "override": {"endpoint": upstream.base()},
        }}}),
    );
    ask(
        &node,
        "POST",
        "/teams",
        Some(&json!({"id": "search", "name": "Search"})),
    );
    let (status, key) = ask(
        &node,
        "POST",
        "/keys",
        Some(&json!({"name": "mine", "team": "search"})),
    );
    assert_eq!(status, 201, "{key:#}");
    for (id, subject, tokens) in [("b1", "team/search", 1_000_000), ("b2", "all", 90)] {
        let budget = json!({"id": id, "for": subject, "tokens": tokens, "per": "day"});
        let (status, told) = ask(&node, "POST", "/budgets", Some(&budget));
        assert_eq!(status, 201, "{told:#}");
    }
    let limit = json!({"id": "l1", "for": "team/search", "requests": 5, "per": "day"});
    assert_eq!(ask(&node, "POST", "/limits", Some(&limit)).0, 201);
    let secret = key["key"].as_str().expect("a key");
    let mut question = question();
    question["headers"] = json!({"apikey": secret});
    let explained = || ask(&node, "POST", "/explain", Some(&question)).1;
    for _ in 0..7 {
        let told = explained();
        assert_eq!(told["team"], "search", "{told:#}");
        assert_eq!(
            told["request"]["instance"], "ai-proxy-openai-compatible",
            "{told:#}"
        );
        let budgets = told["caller"]["budgets"].as_array().expect("budgets");
        let left: Vec<&Value> = budgets
            .iter()
            .map(|budget| &budget["state"]["remaining_tokens"])
            .collect();
        assert_eq!(left, [&json!(1_000_000), &json!(90)], "{told:#}");
        assert!(!told.to_string().contains(secret), "{told:#}");
    }
    let call = post("/chat", Dialect::OpenAi.request("m", false)).header("apikey", secret);
    assert_eq!(node.send(&call).status(), 200);
    assert_eq!(
        explained()["caller"]["budgets"][1]["state"]["remaining_tokens"],
        72
    );
    // The call has used 18 tokens; another one may take 60 and its request.
    for _ in 0..2 {
        let status = node.send(&call).status();
        if status == 429 {
            break;
        }
    }
    let told = explained();
    assert_eq!(told["answer"]["status"], 429, "{told:#}");
    assert_eq!(told["error_code"], "budget_exceeded");
}
