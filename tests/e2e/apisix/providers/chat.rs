//! Vendors that speak OpenAI's chat completions, each in its own way.

use serde_json::{Value, json};

use super::super::NodeSetup;
use super::super::vendors::{Vendors, says, takes};
use super::{from_client, is_kept_out, keeps_out, route};
use crate::harness::{Asked, Dialect, Next, Upstream, answers, post};

/// How a vendor wants to be asked, by its documentation.
struct Vendor {
    provider: &'static str,
    host: &'static str,
    path: &'static str,
    /// The member that limits the tokens of an answer.
    limit: &'static str,
}

const VENDORS: &[Vendor] = &[
    Vendor {
        provider: "openai",
        host: "api.openai.com",
        path: "/v1/chat/completions",
        limit: "max_completion_tokens",
    },
    Vendor {
        provider: "deepseek",
        host: "api.deepseek.com",
        path: "/chat/completions",
        limit: "max_tokens",
    },
    Vendor {
        provider: "aimlapi",
        host: "api.aimlapi.com",
        path: "/chat/completions",
        limit: "max_tokens",
    },
    Vendor {
        provider: "anthropic",
        host: "api.anthropic.com",
        path: "/v1/chat/completions",
        limit: "max_tokens",
    },
    Vendor {
        provider: "openrouter",
        host: "openrouter.ai",
        path: "/api/v1/chat/completions",
        limit: "max_tokens",
    },
    Vendor {
        provider: "gemini",
        host: "generativelanguage.googleapis.com",
        path: "/v1beta/openai/chat/completions",
        limit: "max_completion_tokens",
    },
    Vendor {
        provider: "groq",
        host: "api.groq.com",
        path: "/openai/v1/chat/completions",
        limit: "max_completion_tokens",
    },
    Vendor {
        provider: "mistral",
        host: "api.mistral.ai",
        path: "/v1/chat/completions",
        limit: "max_tokens",
    },
];

/// A call with members that are changed, one that is not, and one that nobody knows.
const CALL: &str = r#"{ "messages": [{"role":"user","content":"What is 1+1?"}], "max_tokens":500,
 "temperature": 0, "x_unknown": 1.50 }"#;

/// A call that says already what the route wants it to say.
const COMPLETE: &str = "{ \"model\" : \"the-model\",\n\t\"stream\":true, \"stream_options\":{\"include_usage\": true} ,\
                        \"messages\":[ {\"content\":\"\\u00e9\",\"role\":\"user\"} ], \"seed\":1e2}";

impl Vendor {
    fn key(&self) -> String {
        format!("Bearer key-for-{}", self.provider)
    }

    fn plugin(&self) -> Value {
        json!({
            "provider": self.provider,
            "auth": {"header": {"Authorization": self.key()}},
            "options": {"model": "the-model", "top_p": 0.5},
            "override": {"llm_options": {"max_tokens": 9}},
        })
    }

    /// The plugin without anything that changes [`COMPLETE`].
    fn plain(&self, upstream: &Upstream) -> Value {
        json!({
            "provider": self.provider,
            "auth": {"header": {"Authorization": self.key()}},
            "options": {"model": "the-model"},
            "override": {"endpoint": format!("http://{}", upstream.address())},
        })
    }

    /// Refuses a [`CALL`] that this vendor would not take.
    fn refusal(&self, asked: &Asked) -> Result<(), String> {
        takes(asked, self.path, ("authorization", &self.key()))?;
        keeps_out(asked)?;
        if !asked.text().contains("\"temperature\": 0, \"x_unknown\": 1.50,") {
            return Err(format!("written anew: {}", asked.text()));
        }
        let mut body = json!({
            "messages": [{"role": "user", "content": "What is 1+1?"}],
            "temperature": 0, "x_unknown": 1.50, "model": "the-model", "top_p": 0.5,
        });
        body[self.limit] = 9.into();
        says(asked, &body)
    }
}

#[test]
fn each_vendor_is_asked_at_its_own_address_with_its_key_and_nothing_of_the_client_s() {
    let hosts: Vec<&str> = VENDORS.iter().map(|vendor| vendor.host).collect();
    let mut vendors = Vendors::new(&hosts);
    let answer = answers::whole(Dialect::OpenAi, "served");
    let peers: Vec<Upstream> = VENDORS
        .iter()
        .map(|vendor| {
            let answer = answer.clone();
            vendors.peer(
                vendor.host,
                |asked| vendor.refusal(asked),
                move |_| answer.clone(),
            )
        })
        .collect();
    let node = vendors.known_to(NodeSetup::new()).start();
    for (vendor, peer) in VENDORS.iter().zip(&peers) {
        let uri = format!("/{}", vendor.provider);
        route(&node, vendor.provider, &uri, &vendor.plugin());
        let response = node.send(&from_client(post(&format!("{uri}?k=of-the-client"), CALL)));
        assert_eq!(response.status(), 200, "{}: {}", vendor.provider, response.text());
        assert_eq!(response.text(), answer, "{}", vendor.provider);
        assert_eq!(response.header("content-type"), Some("application/json"));
        peer.asked();
    }
    node.stop();
}

#[test]
fn what_needs_no_change_passes_byte_by_byte_in_both_directions() {
    for vendor in VENDORS {
        let events = answers::events(Dialect::OpenAi, &["ser", "ved"]);
        let upstream = Upstream::good("served");
        let node = NodeSetup::new().start();
        route(&node, "r", "/chat", &vendor.plain(&upstream));
        let response = node.send(&from_client(post("/chat", COMPLETE)));
        let asked = upstream.asked();
        assert_eq!(asked.text(), COMPLETE, "{}", vendor.provider);
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("POST", vendor.path)
        );
        is_kept_out(&asked);
        let events = answers::Events {
            content: answers::events(Dialect::OpenAi, &["served"]).content,
            ..events
        };
        assert_eq!(response.text(), events.text(), "{}", vendor.provider);
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        node.stop();
    }
}

#[test]
fn a_stream_is_asked_for_its_usage_which_a_client_that_did_not_ask_does_not_see() {
    for vendor in VENDORS {
        let upstream = Upstream::good("served");
        let node = NodeSetup::new().start();
        route(&node, "r", "/chat", &vendor.plain(&upstream));
        let response = node.send(&post("/chat", r#"{"messages":[],"stream":true}"#));
        let asked = upstream.asked();
        assert_eq!(asked.path, vendor.path);
        assert_eq!(
            asked.text(),
            r#"{"messages":[],"stream":true,"model":"the-model","stream_options":{"include_usage":true}}"#
        );
        let text = response.text();
        assert!(
            text.contains("served") && text.ends_with("data: [DONE]\n\n"),
            "{text}"
        );
        assert!(!text.contains("prompt_tokens"), "{}: {text}", vendor.provider);
        node.stop();
    }
}

#[test]
fn a_server_of_the_own_machine_is_spoken_to_in_the_clear_and_without_a_key() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new()
        .tollgate(&format!(
            "resolve: {{\"localhost:11434\": \"{}\"}}",
            upstream.address()
        ))
        .start();
    route(
        &node,
        "r",
        "/chat",
        &json!({"provider": "ollama", "auth": {}, "options": {"model": "llama3"}}),
    );
    let response = node.send(&from_client(post("/chat", CALL)));
    assert_eq!(response.status(), 200, "{}", response.text());
    let asked = upstream.asked();
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.header("host"), Some("localhost:11434"));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.json()["model"], "llama3");
    is_kept_out(&asked);
    node.stop();
}

#[test]
fn a_vendor_nobody_knows_is_reached_by_its_url_with_the_key_in_the_query() {
    let upstream = Upstream::start(|asked, peer| {
        peer.send(&answers::good(asked, "served"));
        Next::Keep
    });
    let node = NodeSetup::new().start();
    let plugin = json!({
        "provider": "openai-compatible",
        "auth": {"query": {"key": "k/1 &"}, "header": {"X-Team": "blue"}},
        "options": {"model": "the-model"},
        "override": {"endpoint": format!("http://{}/llm/chat?version=2", upstream.address())},
    });
    route(&node, "r", "/chat", &plugin);
    let response = node.send(&from_client(post("/chat?key=of-the-client", CALL)));
    assert_eq!(response.status(), 200, "{}", response.text());
    let asked = upstream.asked();
    assert_eq!(asked.path, "/llm/chat?key=k%2F1%20%26&version=2");
    assert_eq!(asked.header("x-team"), Some("blue"));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.json()["max_tokens"], 500, "the client's own limit stays");
    is_kept_out(&asked);
    node.stop();
}
