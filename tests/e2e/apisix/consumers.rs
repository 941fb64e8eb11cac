//! Consumers with credentials in front of models: who calls is known, and what proves it stays here.

use serde_json::json;

use super::node::{CHAT, chat_route};
use super::{Node, NodeSetup};
use crate::harness::{Asked, Upstream, post};

/// The consumers and the route of "load balance by consumers", in front of one peer.
fn set_up(node: &Node, upstream: &Upstream) {
    for (name, key) in [("johndoe", "john-key"), ("janedoe", "jane-key")] {
        node.put("/consumers", &json!({"username": name}));
        let id = format!("cred-{name}");
        let credential = json!({"id": id, "plugins": {"key-auth": {"key": key}}});
        let answer = node.put(&format!("/consumers/{name}/credentials"), &credential);
        assert_eq!(answer.status(), 201);
        assert_eq!(
            answer.json()["key"],
            format!("/apisix/consumers/{name}/credentials/{id}")
        );
    }
    let instance = |name: &str, model: &str| {
        json!({
            "name": name, "provider": "openai-compatible", "weight": 0,
            "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}}, "options": {"model": model},
            "override": {"endpoint": upstream.base()},
        })
    };
    let multi = json!({
        "fallback_strategy": ["rate_limiting"],
        "instances": [instance("openai-instance", "gpt-4"), instance("deepseek-instance", "deepseek-chat")],
    });
    let plugins = json!({"key-auth": {}, "ai-proxy-multi": multi});
    let route =
        json!({"id": "ai-proxy-multi-route", "uri": "/anything", "methods": ["POST"], "plugins": plugins});
    node.put("/routes", &route);
}

/// What the peer is sent for a call of `johndoe`.
#[track_caller]
fn sent_for_john(node: &Node, upstream: &Upstream) -> Asked {
    let call = post("/anything", CHAT)
        .header("apikey", "john-key")
        .header("cookie", "session=of-the-client")
        .header("x-consumer-username", "janedoe")
        .header("x-other", "kept");
    let response = node.send(&call);
    assert_eq!(response.status(), 200, "{}", response.text());
    let asked = upstream.asked();
    assert_eq!(asked.header("authorization"), Some("Bearer key-of-the-vendor"));
    assert_eq!(asked.header("x-other"), Some("kept"));
    asked
}

#[test]
fn what_proves_who_calls_does_not_reach_the_vendor() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    set_up(&node, &upstream);
    let asked = sent_for_john(&node, &upstream);
    let bytes = format!("{asked:?}");
    for secret in ["john-key", "of-the-client", "johndoe", "janedoe", "cred-johndoe"] {
        assert!(!bytes.contains(secret), "{secret} is in {bytes}");
    }
    node.stop();
}

#[test]
fn to_the_letter_the_vendor_is_told_who_calls_and_gets_the_key() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().strict().start();
    set_up(&node, &upstream);
    let asked = sent_for_john(&node, &upstream);
    assert_eq!(asked.header("apikey"), Some("john-key"));
    assert_eq!(asked.header("cookie"), Some("session=of-the-client"));
    assert_eq!(asked.header("x-consumer-username"), Some("johndoe"));
    assert_eq!(asked.header("x-credential-identifier"), Some("cred-johndoe"));
    set_up_again_hiding(&node, &upstream);
    let asked = sent_for_john(&node, &upstream);
    assert_eq!(asked.header("apikey"), None, "hide_credentials");
    node.stop();
}

fn set_up_again_hiding(node: &Node, upstream: &Upstream) {
    let route = node.ask("GET", "/routes/ai-proxy-multi-route", None).json()["value"].clone();
    let mut plugins = route["plugins"].clone();
    plugins["key-auth"] = json!({"hide_credentials": true});
    let body = json!({"uri": "/anything", "plugins": plugins});
    node.put("/routes/ai-proxy-multi-route", &body);
    upstream.was_not_asked();
}

#[test]
fn a_client_of_anthropic_may_leave_the_model_to_the_route() {
    let upstream = Upstream::good("served");
    for setup in [NodeSetup::new(), NodeSetup::new().strict()] {
        let node = setup.start();
        node.put("/routes/1", &chat_route("/v1/messages", &upstream.base()));
        let body = CHAT.replacen('{', r#"{"max_tokens":9,"#, 1);
        let response = node.send(&post("/v1/messages", body));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.json()["content"][0]["text"], "served");
        assert_eq!(upstream.asked().json()["model"], "gpt-4");
        node.stop();
    }
}

#[test]
fn calls_go_to_both_instances_in_turn() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    set_up(&node, &upstream);
    let mut models = Vec::new();
    for key in ["john-key", "jane-key", "john-key", "jane-key"] {
        let response = node.send(&post("/anything", CHAT).header("apikey", key));
        assert_eq!(response.status(), 200, "{}", response.text());
        models.push(
            upstream.asked().json()["model"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    models.sort();
    assert_eq!(models, ["deepseek-chat", "deepseek-chat", "gpt-4", "gpt-4"]);
    node.stop();
}

#[test]
fn a_credential_that_is_gone_opens_nothing() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    set_up(&node, &upstream);
    let call = |key: &str| node.send(&post("/anything", CHAT).header("apikey", key)).status();
    assert_eq!(call("john-key"), 200);
    let new = json!({"plugins": {"key-auth": {"key": "johns-new-key"}}});
    node.put("/consumers/johndoe/credentials/cred-johndoe", &new);
    assert_eq!((call("john-key"), call("johns-new-key")), (401, 200));
    assert_eq!(
        node.ask("DELETE", "/consumers/johndoe/credentials/cred-johndoe", None)
            .status(),
        200
    );
    assert_eq!(call("johns-new-key"), 401);
    assert_eq!(call("jane-key"), 200);
    assert_eq!(node.ask("DELETE", "/consumers/janedoe", None).status(), 200);
    assert_eq!(call("jane-key"), 401, "a consumer takes its credentials along");
    node.stop();
}

#[test]
fn two_consumers_cannot_have_the_same_key() {
    let upstream = Upstream::good("never");
    let node = NodeSetup::new().start();
    set_up(&node, &upstream);
    let taken = json!({"plugins": {"key-auth": {"key": "john-key"}}});
    let response = node.ask("PUT", "/consumers/janedoe/credentials/other", Some(&taken));
    assert_eq!(response.status(), 400);
    let text = response.json()["error_msg"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(text.contains("duplicate key of plugin key-auth"), "{text}");
    assert!(!text.contains("john-key"), "{text}");
    node.stop();
}
