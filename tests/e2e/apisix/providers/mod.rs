//! What each provider is asked, looked at as its vendor would: address, method, headers, signature and body; and what the
//! client gets of the answer.

mod amazon;
mod azure;
mod chat;
mod google;
mod openai;
mod passthrough;

use serde_json::{Value, json};

use super::vendors::is;
use super::{Node, NodeSetup};
use crate::harness::{Asked, Request};

/// What no vendor may see, wherever a client puts it.
const PRIVATE: &str = "of-the-client";

/// The headers in which clients prove or tell who they are, to the gateway and nobody else.
const TELLING: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "apikey",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "x-consumer-username",
    "x-amz-security-token",
];

/// A request that tells all that a client may tell about itself.
fn from_client(request: Request) -> Request {
    let request = TELLING
        .iter()
        .fold(request, |request, name| request.header(name, PRIVATE));
    request.header("user-agent", "sdk/1").header("x-tag", "kept")
}

/// Refuses what came through of a client's secrets, and what did not come through of the rest.
fn keeps_out(asked: &Asked) -> Result<(), String> {
    is("user-agent", asked.header("user-agent"), "sdk/1")?;
    is("x-tag", asked.header("x-tag"), "kept")?;
    let all = asked.headers.iter().map(|(_, value)| value);
    if all.chain([&asked.path]).any(|text| text.contains(PRIVATE)) {
        return Err(format!("something {PRIVATE}: {:?}", asked.headers));
    }
    Ok(())
}

/// The same as an assertion.
#[track_caller]
fn is_kept_out(asked: &Asked) {
    keeps_out(asked).unwrap_or_else(|reason| panic!("{reason}"));
}

/// A route to one provider.
#[track_caller]
fn route(node: &Node, id: &str, uri: &str, plugin: &Value) {
    node.put(
        &format!("/routes/{id}"),
        &json!({"uri": uri, "plugins": {"ai-proxy": plugin}}),
    );
}

/// A node whose access log says kind and tokens only.
fn counting() -> NodeSetup {
    NodeSetup::new().and(
        "nginx_config: {http: {access_log_format: \"$uri $request_type $llm_prompt_tokens $llm_completion_tokens\"}}",
    )
}
