//! Azure's two ways to name a model: by the address of a deployment, and in the body of its v1 API.

use serde_json::{Value, json};

use super::super::NodeSetup;
use super::super::vendors::{Vendors, says, takes};
use super::{from_client, keeps_out, route};
use crate::harness::{Asked, Dialect, answers, post};

const HOST: &str = "team.openai.azure.com";
const DEPLOYMENT: &str = "/openai/deployments/gpt-4/chat/completions?api-version=2024-10-21";
const V1: &str = "/openai/v1/chat/completions";

fn plugin(path: &str) -> Value {
    json!({
        "provider": "azure-openai",
        "auth": {"header": {"api-key": "key-for-azure"}},
        "options": {"model": "gpt-4", "temperature": 0.5},
        "override": {"endpoint": format!("https://{HOST}{path}"), "llm_options": {"max_tokens": 9}},
    })
}

fn refusal(asked: &Asked) -> Result<(), String> {
    takes(
        asked,
        if asked.path == V1 { V1 } else { DEPLOYMENT },
        ("api-key", "key-for-azure"),
    )?;
    keeps_out(asked)?;
    let mut body = json!({"messages": [], "temperature": 0.5, "max_tokens": 9});
    if asked.stream() {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    if asked.path == V1 {
        // Its documentation: `model` is required, and is the deployment's name.
        body["model"] = "gpt-4".into();
    }
    says(asked, &body)
}

#[test]
fn a_deployment_is_named_by_the_address_and_by_the_body_only_in_the_v1_api() {
    let mut vendors = Vendors::new(&[HOST]);
    let answer = answers::whole(Dialect::OpenAi, "of Azure");
    let answered = answer.clone();
    let _peer = vendors.peer(HOST, refusal, move |_| answered.clone());
    let node = vendors.known_to(NodeSetup::new()).start();
    route(&node, "deployment", "/deployment", &plugin(DEPLOYMENT));
    route(&node, "v1", "/v1", &plugin(V1));
    for uri in ["/deployment", "/v1"] {
        for body in [
            r#"{"messages":[],"model":"of the client"}"#,
            r#"{"messages":[],"stream":true}"#,
        ] {
            let response = node.send(&from_client(post(uri, body)));
            assert_eq!(response.status(), 200, "{uri}: {}", response.text());
            assert_eq!(response.text(), answer);
        }
    }
    node.stop();
}

#[test]
fn to_the_letter_the_model_is_never_in_the_body() {
    let mut vendors = Vendors::new(&[HOST]);
    let _peer = vendors.peer(
        HOST,
        |asked| {
            says(
                asked,
                &json!({"messages": [], "temperature": 0.5, "max_tokens": 9}),
            )
        },
        |_| "{}".to_owned(),
    );
    let node = vendors.known_to(NodeSetup::new().strict()).start();
    route(&node, "v1", "/v1", &plugin(V1));
    let response = node.send(&post("/v1", r#"{"messages":[]}"#));
    assert_eq!(response.status(), 200, "{}", response.text());
    node.stop();
}
