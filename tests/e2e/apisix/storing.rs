//! What the Admin API has acknowledged is served, and stays.

use serde_json::json;

use super::NodeSetup;
use super::node::chat_route;
use crate::harness::{Connection, Dialect, Next, Upstream, answers, post};

#[test]
fn the_next_call_sees_what_was_written() {
    let node = NodeSetup::new().start();
    // The same connections throughout, so that nothing but the order of events decides.
    let upstream = Upstream::start(|asked, peer| {
        let model = asked.json()["model"].as_str().unwrap_or_default().to_owned();
        peer.send(&answers::json_answer(
            200,
            &answers::whole(Dialect::OpenAi, &model),
        ));
        Next::Keep
    });
    let mut calls: Vec<Connection> = (0..4).map(|_| Connection::open(node.calls)).collect();
    let request = post("/chat", super::node::CHAT);
    for round in 0..100 {
        let model = format!("model-{round}");
        let mut route = chat_route("/chat", &upstream.base());
        route["plugins"]["ai-proxy"]["options"]["model"] = json!(model);
        node.put("/routes/1", &route);
        for connection in &mut calls {
            let response = connection.send(&request);
            let body = response.json();
            assert_eq!(body["choices"][0]["message"]["content"], model, "round {round}");
        }
        if round % 10 == 9 {
            let deleted = node.ask("DELETE", "/routes/1", None);
            assert_eq!(deleted.json(), json!({"deleted": "1", "key": "/apisix/routes/1"}));
            for connection in &mut calls {
                assert_eq!(connection.send(&request).status(), 404, "round {round}");
            }
        }
    }
    node.stop();
}

#[test]
fn an_orderly_end_keeps_all_objects() {
    let upstream = Upstream::good("of before");
    let mut node = NodeSetup::new().start();
    let mut route = chat_route("/chat", &upstream.base());
    route["plugins"]["key-auth"] = json!({});
    node.put("/routes/1", &route);
    node.put("/consumers/jack", &json!({"username": "jack"}));
    node.put(
        "/consumers/jack/credentials/main",
        &json!({"plugins": {"key-auth": {"key": "jacks-key"}}}),
    );
    node.put("/upstreams/u", &json!({"nodes": {"127.0.0.1:1": 1}}));
    let kinds = [
        "/routes",
        "/consumers",
        "/consumers/jack/credentials",
        "/upstreams",
    ];
    let before = kinds.map(|kind| node.ask("GET", kind, None).json());
    for round in 0..2 {
        node = node.restart();
        let after = kinds.map(|kind| node.ask("GET", kind, None).json());
        assert_eq!(after, before, "restart {round}");
        let response = node.send(&post("/chat", super::node::CHAT).header("apikey", "jacks-key"));
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    node.stop();
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let upstream = Upstream::good("of before");
    let mut node = NodeSetup::new().start();
    for round in 0..3 {
        let uri = format!("/chat-{round}");
        node.put(&format!("/routes/{round}"), &chat_route(&uri, &upstream.base()));
        node = node.restart_after_kill();
        for earlier in 0..=round {
            let response = node.chat(&format!("/chat-{earlier}"));
            assert_eq!(response.status(), 200, "{}", response.text());
        }
    }
    let total = node.ask("GET", "/routes", None).json()["total"].clone();
    assert_eq!(total, json!(3));
    node.stop();
}

#[test]
fn keys_of_vendors_and_consumers_are_not_readable_in_the_folder() {
    let node = NodeSetup::new().start();
    node.put("/routes/1", &chat_route("/chat", "http://127.0.0.1:1"));
    node.put(
        "/consumers/jack",
        &json!({"username": "jack", "plugins": {"key-auth": {"key": "planted-key-of-jack"}}}),
    );
    let folder = node.file("data");
    node.ask("GET", "/routes", None);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        files += 1;
        for secret in ["key-of-the-vendor", "planted-key-of-jack"] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in a file of the store");
        }
    }
    assert!(files > 0, "there is a store");
    node.stop();
}
