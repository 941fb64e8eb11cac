//! Loggers: each call is told once, however it ends, and secrets never are.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::apisix::{Node, NodeSetup};
use crate::harness::{Dialect, Next, PATIENCE, Setup, Upstream, answers, post};

/// The entries of a file, which is whole when the gateway has stopped.
fn entries(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a log");
    let entry = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(entry).collect()
}

/// Waits until a file has so many lines.
#[track_caller]
fn lines(path: &Path, count: usize) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text;
        }
        assert!(Instant::now() < deadline, "{} holds {text}", path.display());
        std::thread::yield_now();
    }
}

fn chat(stream: bool) -> Value {
    json!({"model": "gpt-4", "stream": stream, "messages": [{"role": "user", "content": "What is 1+1?"}]})
}

/// A node with a route that wants a key, whose vendor answers whole or as a stream.
fn node(vendor: &Upstream, plugins: &Value) -> Node {
    let node = NodeSetup::new().start();
    node.put(
        "/consumers",
        &json!({"username": "jack", "plugins": {"key-auth": {"key": "planted-key-of-jack"}}}),
    );
    let mut all = json!({
        "key-auth": {"query": "pass"},
        "ai-proxy": {
            "provider": "openai-compatible",
            "auth": {"header": {"authorization": "Bearer planted-vendor-key"}},
            "override": {"endpoint": format!("http://{}/v1/chat/completions", vendor.address())},
            "logging": {"summaries": true, "payloads": true},
            "ssl_verify": false,
        },
    });
    for (name, conf) in plugins.as_object().expect("an object") {
        all[name] = conf.clone();
    }
    node.put("/routes/1", &json!({"uri": "/chat", "plugins": all}));
    node
}

#[test]
fn each_call_is_a_line_of_a_file_also_where_it_is_refused() {
    let vendor = Upstream::good("two");
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("calls.log");
    let node = node(
        &vendor,
        &json!({"file-logger": {"path": path, "include_req_body": true}}),
    );
    for stream in [false, true] {
        let request = post("/chat", chat(stream).to_string()).header("apikey", "planted-key-of-jack");
        assert_eq!(node.send(&request).status(), 200);
    }
    assert_eq!(node.send(&post("/chat", chat(false).to_string())).status(), 401);
    node.stop();
    let told = entries(&path);
    assert_eq!(told.len(), 3, "{told:?}");
    // Calls that different workers have served may be written in any order.
    let entry_of = |is_it: &dyn Fn(&Value) -> bool| {
        let found = told.iter().find(|entry| is_it(entry));
        found.unwrap_or_else(|| panic!("{told:?}"))
    };
    for stream in [false, true] {
        let entry = entry_of(&|entry| entry["llm_request"]["stream"] == stream);
        assert_eq!(entry["consumer"]["username"], "jack");
        assert_eq!(entry["response"]["status"], 200);
        assert_eq!(
            entry["llm_request"],
            json!({"messages": chat(stream)["messages"], "stream": stream})
        );
        assert_eq!(entry["llm_response_text"], json!({"content": "two"}), "{entry}");
        assert_eq!(entry["llm_summary"]["model"], "gpt-4");
        let body: Value =
            serde_json::from_str(entry["request"]["body"].as_str().expect("text")).expect("JSON");
        assert_eq!(body, chat(stream));
        assert_eq!(entry["request"]["headers"]["apikey"], "***");
    }
    let refused = entry_of(&|entry| entry["response"]["status"] == 401);
    assert_eq!(refused["route_id"], "1");
    assert!(refused.get("llm_summary").is_none());
}

#[test]
fn no_sink_is_told_a_secret() {
    let vendor = Upstream::good("two");
    let sink = Upstream::start(|_, peer| {
        peer.send(&answers::json_answer(200, "{}"));
        Next::Keep
    });
    let folder = tempfile::tempdir().expect("a directory");
    let (plain, formatted) = (
        folder.path().join("plain.log"),
        folder.path().join("formatted.log"),
    );
    let node = node(
        &vendor,
        &json!({
            "file-logger": {"path": plain},
            "http-logger": {
                "uri": format!("http://{}/logs", sink.address()), "batch_max_size": 1, "auth_header": "Bearer of-the-sink",
            },
        }),
    );
    node.put(
        "/global_rules/1",
        &json!({"plugins": {"file-logger": {"path": formatted, "log_format": {
            "uri": "$request_uri", "args": "$args", "line": "$request", "auth": "$http_authorization", "key": "$http_apikey",
            "pass": "$arg_pass", "cookie": "$http_cookie", "session": "$cookie_session", "up": "$upstream_uri",
        }}}}),
    );
    let secret_headers = [
        ("authorization", "Bearer planted-1"),
        ("x-api-key", "planted-2"),
        ("cookie", "session=planted-3"),
        ("x-goog-api-key", "planted-4"),
        ("proxy-authorization", "Basic planted-5"),
    ];
    for uri in [
        "/chat?pass=planted-key-of-jack&key=planted-6&x=1",
        "/chat?pass=planted-wrong&api_key=planted-7",
    ] {
        let mut request = post(uri, chat(false).to_string());
        for (name, value) in secret_headers {
            request = request.header(name, value);
        }
        node.send(&request);
    }
    for _ in 0..2 {
        let posted = sink.asked();
        assert_eq!(posted.header("authorization"), Some("Bearer of-the-sink"));
        assert_eq!(posted.header("content-type"), Some("application/json"));
        assert!(posted.json().is_object());
        assert!(!posted.text().contains("planted"), "{}", posted.text());
    }
    let finished = node.stop();
    for path in [&plain, &formatted] {
        let text = lines(path, 2);
        assert!(!text.contains("planted"), "{text}");
        assert!(text.contains("***"), "{text}");
    }
    assert!(!finished.stdout.contains("planted"), "{}", finished.stdout);
    assert!(!finished.stderr.contains("planted"), "{}", finished.stderr);
}

#[test]
fn a_batch_that_a_log_server_refuses_is_sent_again_and_the_rest_before_the_end() {
    let vendor = Upstream::good("two");
    let told = std::sync::atomic::AtomicBool::new(false);
    let sink = Upstream::start(move |_, peer| {
        let was_told = told.swap(true, std::sync::atomic::Ordering::Relaxed);
        peer.send(&answers::json_answer(if was_told { 200 } else { 503 }, "{}"));
        Next::Keep
    });
    let node = node(
        &vendor,
        &json!({"http-logger": {
            "uri": format!("http://{}/logs?to=here", sink.address()), "concat_method": "new_line",
            "batch_max_size": 2, "max_retry_count": 1, "retry_delay": 0, "log_format": {"n": "$arg_n"},
        }}),
    );
    for number in 1..=3 {
        let request = post(&format!("/chat?n={number}"), chat(false).to_string())
            .header("apikey", "planted-key-of-jack");
        assert_eq!(node.send(&request).status(), 200);
    }
    let [first, again] = [sink.asked(), sink.asked()];
    assert_eq!(first.text(), again.text());
    assert_eq!(first.path, "/logs?to=here");
    assert_eq!(first.header("content-type"), Some("text/plain"));
    assert_eq!(first.text().lines().count(), 2, "{}", first.text());
    node.stop();
    let last = sink.asked();
    assert!(last.text().starts_with(r#"{"n":"3""#), "{}", last.text());
}

#[test]
fn loggers_of_our_own_file_hear_of_all_calls_and_follow_rotation() {
    let vendor = Upstream::good("planted answer");
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("calls.log");
    let gateway = Setup::new(format!(
        "providers:\n{}models:\n  gpt-4: {{provider: p}}\nlogging:\n  summaries: true\n  payloads: true\n  \
         redact: ['messages[].content', answer]\nloggers:\n  - {{file: {}, request_body: 4B}}\n",
        Dialect::OpenAi.provider("p", &vendor),
        path.display()
    ))
    .start();
    let body = r#"{"model":"gpt-4","messages":[{"role":"user","content":"planted question"}]}"#;
    let call = post("/v1/chat/completions", body);
    assert_eq!(gateway.send(&call).status(), 200);
    lines(&path, 1);
    fs::rename(&path, folder.path().join("calls.1")).expect("a log");
    gateway.signal("USR1");
    let streamed = body.replace("\"model\"", "\"stream\":true,\"model\"");
    assert_eq!(
        gateway.send(&post("/v1/chat/completions", streamed)).status(),
        200
    );
    assert_eq!(gateway.send(&post("/v1/chat/completions", "{}")).status(), 400);
    lines(&path, 2);
    gateway.stop();
    let mut told = entries(&folder.path().join("calls.1"));
    told.extend(entries(&path));
    assert_eq!(told.len(), 3, "{told:?}");
    // Calls that different workers have served may be written in any order.
    told.sort_by_key(|entry| entry["response"]["status"].as_u64());
    for entry in &told[..2] {
        let text = entry.to_string();
        assert!(!text.contains("planted"), "{text}");
        assert_eq!(
            entry["llm_request"]["messages"][0],
            json!({"role": "user", "content": "[redacted]"})
        );
        assert_eq!(entry["llm_response_text"]["content"], "[redacted]");
        assert_eq!(entry["request"]["body"].as_str().map(str::len), Some(4));
    }
    assert_eq!(told[2]["response"]["status"], 400);
}

#[test]
fn nothing_is_said_of_payloads_unless_that_is_wanted() {
    let vendor = Upstream::good("planted answer");
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("calls.log");
    let gateway = Setup::new(format!(
        "providers:\n{}models:\n  gpt-4: {{provider: p}}\nloggers:\n  - {{file: {}}}\n",
        Dialect::OpenAi.provider("p", &vendor),
        path.display()
    ))
    .start();
    assert_eq!(
        gateway
            .send(&post("/v1/chat/completions", chat(false).to_string()))
            .status(),
        200
    );
    gateway.stop();
    let [entry] = &entries(&path)[..] else {
        panic!("one line")
    };
    for absent in ["llm_summary", "llm_request", "llm_response_text"] {
        assert!(entry.get(absent).is_none(), "{entry}");
    }
    assert!(!entry.to_string().contains("1+1"), "{entry}");
}
