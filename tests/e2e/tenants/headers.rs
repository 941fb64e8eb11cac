//! Options of plugins become headers, and nothing more.

use serde_json::{Value, json};

use crate::apisix::NodeSetup;
use crate::harness::{Upstream, post, run};

#[test]
fn options_that_would_add_a_line_to_a_head_are_refused_when_they_are_written() {
    let node = NodeSetup::new().start();
    let ai = |auth: Value| json!({"ai-proxy": {"provider": "openai", "auth": auth}});
    for bad in ["x\r\nevil: 1", "x\nevil: 1", "x\revil: 1", "x\u{0}evil"] {
        let plugins = [
            ("ai-proxy", ai(json!({"header": {"Authorization": bad}}))),
            ("ai-proxy name", ai(json!({"header": {bad: "v"}}))),
            (
                "ai-proxy-multi",
                json!({"ai-proxy-multi": {"instances": [{
                    "name": "a", "provider": "openai", "weight": 1, "auth": {"header": {"X-A": bad}},
                }]}}),
            ),
            (
                "proxy-rewrite set",
                json!({"proxy-rewrite": {"headers": {"set": {"X-A": bad}}}}),
            ),
            (
                "proxy-rewrite add",
                json!({"proxy-rewrite": {"headers": {"add": {"X-A": bad}}}}),
            ),
            (
                "proxy-rewrite old",
                json!({"proxy-rewrite": {"headers": {"X-A": bad}}}),
            ),
            (
                "proxy-rewrite name",
                json!({"proxy-rewrite": {"headers": {"set": {bad: "v"}}}}),
            ),
            (
                "proxy-rewrite remove",
                json!({"proxy-rewrite": {"headers": {"remove": [bad]}}}),
            ),
            ("proxy-rewrite host", json!({"proxy-rewrite": {"host": bad}})),
            (
                "proxy-rewrite uri",
                json!({"proxy-rewrite": {"uri": format!("/{bad}")}}),
            ),
            ("redirect", json!({"redirect": {"uri": format!("/{bad}")}})),
            ("key-auth header", json!({"key-auth": {"header": bad}})),
            ("key-auth realm", json!({"key-auth": {"realm": bad}})),
            ("request-id", json!({"request-id": {"header_name": bad}})),
            ("cors", json!({"cors": {"allow_headers": bad}})),
            (
                "http-logger",
                json!({"http-logger": {"uri": "http://127.0.0.1:1/", "auth_header": bad}}),
            ),
            (
                "fault-injection",
                json!({"fault-injection": {"abort": {"http_status": 503, "headers": {"X-A": bad}}}}),
            ),
        ];
        for (what, plugins) in plugins {
            let response = node.ask(
                "PUT",
                "/routes/x",
                Some(&json!({"uri": "/x", "plugins": plugins})),
            );
            assert_eq!(response.status(), 400, "{what} {bad:?}: {}", response.text());
        }
        let checks = json!({"active": {"http_path": "/", "req_headers": [format!("X-A: {bad}")]}});
        for upstream in [
            json!({"nodes": {"127.0.0.1:1": 1}, "checks": checks}),
            json!({"nodes": {"127.0.0.1:1": 1}, "pass_host": "rewrite", "upstream_host": bad}),
        ] {
            let response = node.ask("PUT", "/upstreams/x", Some(&upstream));
            assert_eq!(response.status(), 400, "{upstream}: {}", response.text());
        }
    }
    assert_eq!(
        node.ask("GET", "/routes/x", None).status(),
        404,
        "nothing was stored"
    );
    node.stop();
}

#[test]
fn what_clients_put_into_templates_adds_no_line_either() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    let rewrite = json!({"proxy-rewrite": {
        "headers": {"set": {"X-From-Query": "<$arg_q>", "X-From-Path": "<$uri>"}},
        "regex_uri": ["^/x/(.*)", "/y/$1"],
    }});
    node.put(
        "/routes/x",
        &json!({
            "uri": "/x/*", "plugins": rewrite,
            "upstream": {"nodes": {upstream.address().to_string(): 1}},
        }),
    );
    for escaped in ["%0d%0aevil:%201", "%0aevil:%201", "%0devil:1", "%00evil"] {
        let body = r#"{"messages":[]}"#;
        let response = node.send(&post(&format!("/x/{escaped}?q={escaped}"), body));
        let Some(asked) = upstream.try_asked() else {
            assert_eq!(response.status(), 400, "{escaped}: {}", response.text());
            continue;
        };
        assert_eq!(response.status(), 200, "{escaped}");
        assert_eq!(asked.header("evil"), None, "{escaped}");
        assert!(!asked.path.contains(['\r', '\n', '\0']), "{:?}", asked.path);
    }
    node.stop();
}

#[test]
fn a_file_whose_headers_hold_line_breaks_is_refused() {
    for (providers, env) in [
        (
            "p: {kind: openai-compatible, endpoint: \"http://127.0.0.1:1\", headers: {x-a: \"b\\r\\nevil: 1\"}}",
            None,
        ),
        (
            "p: {kind: openai-compatible, endpoint: \"http://127.0.0.1:1\", key: \"k\\nevil: 1\"}",
            None,
        ),
        (
            "p: {kind: openai-compatible, endpoint: \"http://127.0.0.1:1\", key: $env://BROKEN_KEY}",
            Some("k\nevil: 1"),
        ),
    ] {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("tollgate.yaml");
        let text = format!("models: {{m: {{provider: p}}}}\nauth: none\nproviders:\n  {providers}\n");
        std::fs::write(&file, text).expect("a file can be written");
        let env: Vec<(&str, &str)> = env.into_iter().map(|value| ("BROKEN_KEY", value)).collect();
        let finished = run(
            &[
                "run",
                "--listen",
                "127.0.0.1:0",
                "--config",
                file.to_str().expect("text"),
            ],
            &env,
        );
        assert!(!finished.status.success(), "{providers}");
        assert!(
            finished.stderr.contains("header"),
            "{providers}: {}",
            finished.stderr
        );
        assert!(!finished.stderr.contains("evil"), "{}", finished.stderr);
    }
}
