//! The other APIs of OpenAI, and that of Anthropic.

use serde_json::json;

use super::super::NodeSetup;
use super::super::vendors::{Vendors, is, says, takes};
use super::{from_client, is_kept_out, keeps_out, route};
use crate::harness::{Dialect, Upstream, answers, post};

#[test]
fn responses_and_embeddings_of_openai_have_paths_and_limits_of_their_own() {
    let host = "api.openai.com";
    let key = ("authorization", "Bearer key-for-openai");
    let mut vendors = Vendors::new(&[host]);
    let _peer = vendors.peer(
        host,
        move |asked| {
            keeps_out(asked)?;
            if asked.path == "/v1/responses" {
                takes(asked, "/v1/responses", key)?;
                let body = json!({"input": "Hello", "store": false, "model": "m", "max_output_tokens": 9});
                return says(asked, &body);
            }
            takes(asked, "/v1/embeddings", key)?;
            says(
                asked,
                &json!({"input": ["a", "b"], "dimensions": 2, "model": "m"}),
            )
        },
        |asked| format!("{{ \"of\": \"{}\" }}", asked.path),
    );
    let node = vendors.known_to(NodeSetup::new()).start();
    let plugin = json!({
        "provider": "openai", "auth": {"header": {"Authorization": key.1}}, "options": {"model": "m"},
        "override": {"llm_options": {"max_tokens": 9}},
    });
    route(&node, "r", "/v1/*", &plugin);
    for (path, body) in [
        ("/v1/responses", r#"{"input":"Hello","store":false}"#),
        ("/v1/embeddings", r#"{"input":["a","b"],"dimensions":2}"#),
    ] {
        let response = node.send(&from_client(post(path, body)));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.text(), format!("{{ \"of\": \"{path}\" }}"));
    }
    node.stop();
}

#[test]
fn anthropic_s_own_api_gets_its_key_and_a_version() {
    let host = "api.anthropic.com";
    let mut vendors = Vendors::new(&[host]);
    let answer = answers::whole(Dialect::Anthropic, "of Anthropic");
    let answered = answer.clone();
    let _peer = vendors.peer(
        host,
        |asked| {
            takes(asked, "/v1/messages", ("x-api-key", "key-for-anthropic"))?;
            keeps_out(asked)?;
            is("version", asked.header("anthropic-version"), "2023-06-01")?;
            if asked.header("authorization").is_some() {
                return Err("two keys".to_owned());
            }
            let messages = json!([{"role": "user", "content": "Hello"}]);
            says(
                asked,
                &json!({"messages": messages, "max_tokens": 9, "model": "claude", "top_k": 5}),
            )
        },
        move |_| answered.clone(),
    );
    let node = vendors.known_to(NodeSetup::new()).start();
    let plugin = json!({
        "provider": "anthropic", "auth": {"header": {"x-api-key": "key-for-anthropic"}},
        "options": {"model": "claude", "top_k": 5}, "override": {"llm_options": {"max_tokens": 9}},
    });
    route(&node, "r", "/v1/messages", &plugin);
    let body = Dialect::Anthropic.request("of the client", false);
    let response = node.send(&from_client(post("/v1/messages", body)));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.text(), answer);
    node.stop();
}

#[test]
fn anthropic_s_streams_and_the_client_s_version_pass_as_they_are() {
    let upstream = Upstream::good("of Anthropic");
    let node = NodeSetup::new().start();
    let plugin = json!({
        "provider": "anthropic", "auth": {"header": {"x-api-key": "key-for-anthropic"}},
        "options": {"model": "claude"},
        "override": {"endpoint": format!("http://{}", upstream.address())},
    });
    route(&node, "r", "/v1/messages", &plugin);
    let body = " {\"stream\":true, \"model\": \"claude\" ,\"max_tokens\":1, \"messages\":[]}\n";
    let request = from_client(post("/v1/messages", body))
        .header("anthropic-version", "2099-01-01")
        .header("anthropic-beta", "one,two");
    let response = node.send(&request);
    assert_eq!(
        response.text(),
        answers::events(Dialect::Anthropic, &["of Anthropic"]).text()
    );
    let asked = upstream.asked();
    assert_eq!(asked.text(), body);
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(asked.header("anthropic-version"), Some("2099-01-01"));
    assert_eq!(asked.header("anthropic-beta"), Some("one,two"));
    is_kept_out(&asked);
    node.stop();
}
