//! What is counted and kept for one consumer is no other's, wherever it is kept.

use serde_json::{Value, json};

use crate::apisix::{CHAT, NodeSetup, chat_route};
use crate::harness::redis::RedisServer;
use crate::harness::{Dialect, Request, Setup, Upstream, post};

const CONSUMERS: [(&str, &str); 2] = [("jack", "jack-key"), ("jill", "jill-key")];

#[test]
fn two_consumers_with_the_same_limit_use_up_their_own() {
    let server = RedisServer::start(&[]);
    let redis = json!({"policy": "redis", "redis_host": "127.0.0.1", "redis_port": server.port});
    let limit = |more: &Value| {
        let mut conf = json!({"count": 2, "time_window": 3600, "rejected_code": 429, "key_type": "var", "key": "consumer_name"});
        for (name, value) in more.as_object().expect("an object") {
            conf[name] = value.clone();
        }
        conf
    };
    for (place, more) in [("memory", json!({})), ("redis", redis)] {
        for on_consumer in [false, true] {
            let upstream = Upstream::good("served");
            let node = NodeSetup::new().start();
            let mut route = chat_route("/chat", &upstream.base());
            route["plugins"]["key-auth"] = json!({});
            if !on_consumer {
                route["plugins"]["limit-count"] = limit(&more);
            }
            // An id of its own: what Redis holds of the round before is another's.
            node.put(&format!("/routes/{place}-{on_consumer}"), &route);
            for (name, key) in CONSUMERS {
                let mut plugins = json!({"key-auth": {"key": key}});
                if on_consumer {
                    plugins["limit-count"] = limit(&more);
                }
                node.put(
                    &format!("/consumers/{name}"),
                    &json!({"username": name, "plugins": plugins}),
                );
            }
            for (name, key) in CONSUMERS {
                let statuses = [(); 3].map(|()| node.send(&chat(key)).status());
                assert_eq!(statuses, [200, 200, 429], "{place} {on_consumer} {name}");
            }
            node.stop();
        }
    }
}

#[test]
fn two_consumers_with_the_same_limit_of_tokens_use_up_their_own() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    let mut route = chat_route("/chat", &upstream.base());
    route["plugins"]["key-auth"] = json!({});
    node.put("/routes/1", &route);
    for (name, key) in CONSUMERS {
        let limit = json!({"limit": 10, "time_window": 3600, "rejected_code": 429});
        let plugins = json!({"key-auth": {"key": key}, "ai-rate-limiting": limit});
        node.put(
            &format!("/consumers/{name}"),
            &json!({"username": name, "plugins": plugins}),
        );
    }
    for (name, key) in CONSUMERS {
        assert_eq!(node.send(&chat(key)).status(), 200, "{name}");
    }
    // Each has used up its own by one answer.
    for (name, key) in CONSUMERS {
        node.until(&chat(key), |answer| answer.status() == 429);
        assert_eq!(node.send(&chat(key)).status(), 429, "{name}");
    }
    node.stop();
}

#[test]
fn a_conversation_in_redis_or_in_a_file_is_found_by_its_own_consumer_only() {
    let server = RedisServer::start(&[]);
    let folder = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::good("served");
    for responses in [
        format!("{{redis: {{address: \"127.0.0.1:{}\"}}}}", server.port),
        "{store: embedded}".to_owned(),
        "{store: memory}".to_owned(),
    ] {
        let config = format!(
            "models: {{m: {{provider: p}}}}\nproviders: {{p: {{kind: openai-compatible, endpoint: \"{}\"}}}}\n\
             consumers:\n  jack: {{key: jack-key, models: [m]}}\n  jill: {{key: jill-key, models: [m]}}\n\
             responses: {responses}\n",
            upstream.base()
        );
        let data = folder.path().join("data");
        let gateway = Setup::new(config)
            .argument("--data-dir", data.to_str().expect("text"))
            .env("TOLLGATE_STORE_KEY", &"5a".repeat(32))
            .start();
        let ask = |key: &str, body: &Value| {
            gateway.send(&post("/v1/responses", body.to_string()).header("x-api-key", key))
        };
        let first = ask("jack-key", &json!({"model": "m", "input": "jack's secret"}));
        assert_eq!(first.status(), 200, "{responses}: {}", first.text());
        upstream.asked();
        let id = first.json()["id"].as_str().expect("an id").to_owned();
        let go_on = json!({"model": "m", "input": "go on", "previous_response_id": id});
        let foreign = ask("jill-key", &go_on);
        assert_eq!(foreign.status(), 400, "{responses}: {}", foreign.text());
        assert_eq!(foreign.json()["error"]["code"], "previous_response_not_found");
        assert!(!foreign.text().contains("secret"), "{}", foreign.text());
        for (method, below) in [("GET", ""), ("GET", "/input_items"), ("DELETE", "")] {
            let question = Request::new(method, &format!("/v1/responses/{id}{below}"));
            let answer = gateway.send(&question.header("x-api-key", "jill-key"));
            assert_eq!(answer.status(), 404, "{responses} {method}: {}", answer.text());
        }
        upstream.was_not_asked();
        assert_eq!(ask("jack-key", &go_on).status(), 200, "{responses}");
        assert!(upstream.asked().text().contains("jack's secret"));
        gateway.stop();
    }
}

#[test]
fn an_answer_is_never_given_twice() {
    let upstream = Upstream::good("served");
    let config = format!(
        "models: {{m: {{provider: p}}}}\nproviders: {{p: {{kind: openai-compatible, endpoint: \"{}\"}}}}\n\
         consumers:\n  jack: {{key: jack-key, models: [m]}}\n  jill: {{key: jill-key, models: [m]}}\n",
        upstream.base()
    );
    let gateway = Setup::new(config).start();
    for key in ["jack-key", "jill-key", "jack-key"] {
        let request = post("/v1/chat/completions", Dialect::OpenAi.request("m", false));
        assert_eq!(gateway.send(&request.header("x-api-key", key)).status(), 200);
        // The provider is asked for each call, however alike they are.
        upstream.asked();
    }
    gateway.stop();
}

fn chat(key: &str) -> Request {
    post("/chat", CHAT).header("apikey", key)
}
