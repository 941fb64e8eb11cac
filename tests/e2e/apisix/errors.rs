//! What clients of routes with AI plugins are told when something is wrong: in our shape with APISIX's text beside it, and
//! in APISIX's shape alone where it is asked for to the letter.

use serde_json::{Value, json};

use super::node::{CHAT, chat_route};
use super::vendors::Vendors;
use super::{Node, NodeSetup};
use crate::harness::{Next, Request, Response, Upstream, answers, post};

/// How APISIX tells an error.
#[derive(Clone, Copy)]
enum Form {
    /// JSON under this key.
    Json(&'static str),
    /// Plain text.
    Text,
    /// The server's page for the status.
    Page,
}

/// A node in our ways and one in APISIX's, with the same routes.
fn both() -> [Node; 2] {
    [NodeSetup::new().start(), NodeSetup::new().strict().start()]
}

fn route(nodes: &[Node], id: &str, route: &Value) {
    for node in nodes {
        node.put(&format!("/routes/{id}"), route);
    }
}

/// Asserts what both nodes answer: the same status and, in APISIX's form, the same text.
#[track_caller]
fn told(nodes: &[Node; 2], request: &Request, status: u16, form: Form, text: &str) {
    let [ours, letter] = nodes;
    is_ours(&ours.send(request), status, form, text);
    is_to_the_letter(&letter.send(request), status, form, text);
}

#[track_caller]
fn is_ours(response: &Response, status: u16, form: Form, text: &str) {
    assert_eq!(response.status(), status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body = response.json();
    assert_eq!(body["error"]["message"], text);
    assert!(body["error"]["type"].is_string() && body["error"]["code"].is_string());
    let key = match form {
        Form::Json(key) => key,
        Form::Text | Form::Page => "error_msg",
    };
    assert_eq!(body[key], text);
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["error", key]);
}

#[track_caller]
fn is_to_the_letter(response: &Response, status: u16, form: Form, text: &str) {
    assert_eq!(response.status(), status, "{}", response.text());
    let kind = response.header("content-type").unwrap_or_default();
    match form {
        Form::Json(key) => {
            assert_eq!(response.text(), format!("{}\n", json!({key: text})));
            assert_eq!(kind, "application/json");
        }
        Form::Text => {
            assert_eq!(response.text(), text);
            assert!(kind.starts_with("text/plain"), "{kind}");
        }
        Form::Page => {
            assert!(kind.starts_with("text/html"), "{kind}");
            let title = format!("<head><title>{status} ");
            assert!(response.text().contains(&title), "{}", response.text());
        }
    }
}

#[test]
fn no_route_takes_the_call() {
    let nodes = both();
    let request = Request::new("GET", "/nowhere");
    told(
        &nodes,
        &request,
        404,
        Form::Json("error_msg"),
        "404 Route Not Found",
    );
}

#[test]
fn the_body_is_not_what_an_api_of_models_takes() {
    let nodes = both();
    let upstream = Upstream::good("never");
    route(&nodes, "1", &chat_route("/chat", &upstream.base()));
    let mut small = chat_route("/small", &upstream.base());
    small["plugins"]["ai-proxy"]["max_req_body_size"] = json!(10);
    route(&nodes, "2", &small);

    let text = Request::new("POST", "/chat")
        .header("content-type", "text/plain")
        .body(CHAT);
    told(
        &nodes,
        &text,
        400,
        Form::Text,
        "unsupported content-type: text/plain, only application/json is supported",
    );
    let message = Form::Json("message");
    told(
        &nodes,
        &post("/chat", ""),
        400,
        message,
        "could not get body: request body is empty",
    );
    told(
        &nodes,
        &post("/chat", "{}"),
        400,
        Form::Text,
        "no matching AI protocol for the request",
    );
    let length = CHAT.len();
    told(
        &nodes,
        &post("/small", CHAT),
        413,
        message,
        &format!("could not get body: request size {length} is greater than the maximum size 10 allowed"),
    );
    for body in ["{\"messages\":", "[1,", "hello"] {
        let [ours, letter] = &nodes;
        let (ours, letter) = (ours.send(&post("/chat", body)), letter.send(&post("/chat", body)));
        let text = letter.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(
            text.starts_with("could not parse JSON request body: "),
            "{}",
            letter.text()
        );
        is_ours(&ours, 400, message, &text);
        is_to_the_letter(&letter, 400, message, &text);
    }
    upstream.was_not_asked();
}

#[test]
fn the_vendor_has_no_such_api() {
    let nodes = both();
    let proxy = json!({"provider": "deepseek", "auth": {"header": {"Authorization": "Bearer k"}}});
    route(
        &nodes,
        "1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy": proxy}}),
    );
    told(
        &nodes,
        &post("/chat", r#"{"input":"hello"}"#),
        400,
        Form::Text,
        "provider deepseek does not support openai-embeddings protocol (supported: openai-chat)",
    );
}

#[test]
fn nobody_said_which_model() {
    let nodes = both();
    let proxy = json!({
        "provider": "bedrock", "provider_conf": {"region": "us-east-1"},
        "auth": {"aws": {"access_key_id": "a", "secret_access_key": "b"}},
    });
    route(
        &nodes,
        "1",
        &json!({"uri": "/converse", "plugins": {"ai-proxy": proxy}}),
    );
    told(
        &nodes,
        &post("/converse", r#"{"messages":[]}"#),
        400,
        Form::Json("error_msg"),
        "could not resolve upstream path: ensure the route or request body specifies a model, or that override.endpoint \
         includes a path",
    );
}

#[test]
fn the_vendor_cannot_be_reached() {
    let nodes = both();
    let refusing = Upstream::refusing();
    route(&nodes, "1", &chat_route("/chat", &refusing.base()));
    let mut strangers = Vendors::new(&["127.0.0.1"]);
    let unknown = strangers.peer("127.0.0.1", |_| Ok(()), |_| String::new());
    route(
        &nodes,
        "2",
        &chat_route("/tls", &format!("https://{}", unknown.address())),
    );
    let resetting = Upstream::resetting();
    route(&nodes, "3", &chat_route("/cut", &resetting.base()));
    let [ours, letter] = &nodes;
    for path in ["/chat", "/tls"] {
        let response = ours.chat(path);
        is_ours(&response, 502, Form::Page, "the provider could not be reached");
        is_to_the_letter(&letter.chat(path), 500, Form::Page, "");
    }
    unknown.was_not_asked();
    let response = ours.chat("/cut");
    let text = response.json()["error_msg"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        text.starts_with("the connection to the provider was lost") || text.contains("could not be reached"),
        "{text}"
    );
    is_ours(&response, 502, Form::Page, &text);
    is_to_the_letter(&letter.chat("/cut"), 500, Form::Page, "");
}

#[test]
fn the_vendor_does_not_answer_in_time() {
    let nodes = both();
    let silent = Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Close
    });
    let mut slow = chat_route("/chat", &silent.base());
    slow["plugins"]["ai-proxy"]["timeout"] = json!(50);
    route(&nodes, "1", &slow);
    let text = "the provider did not answer in time";
    told(&nodes, &post("/chat", CHAT), 504, Form::Page, text);
}

#[test]
fn the_vendor_s_own_error_is_repeated_word_for_word() {
    let nodes = both();
    let body =
        r#"{"error":{"message":"Too fast","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let upstream = Upstream::saying(answers::json_answer(429, body));
    route(&nodes, "1", &chat_route("/chat", &upstream.base()));
    for node in &nodes {
        let response = node.chat("/chat");
        assert_eq!((response.status(), response.text()), (429, body));
    }
}

#[test]
fn after_the_last_retry_the_last_error_is_told() {
    let nodes = both();
    let body = r#"{"error":{"message":"Down","type":"server_error","param":null,"code":null}}"#;
    let upstream = Upstream::saying(answers::json_answer(503, body));
    let instance = |name: &str| {
        json!({
            "name": name, "provider": "openai-compatible", "weight": 1, "auth": {"header": {"Authorization": "Bearer k"}},
            "override": {"endpoint": upstream.base()},
        })
    };
    let multi = json!({"fallback_strategy": ["http_5xx"], "instances": [instance("a"), instance("b")]});
    route(
        &nodes,
        "1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy-multi": multi}}),
    );
    let [ours, letter] = &nodes;
    let response = ours.chat("/chat");
    assert_eq!((response.status(), response.text()), (503, body));
    assert_eq!(response.header("x-tollgate-attempts"), Some("a=503, b=503"));
    let response = letter.chat("/chat");
    assert_eq!((response.status(), response.text()), (502, body));
    for _ in 0..4 {
        upstream.asked();
    }
    upstream.was_not_asked();
}

#[test]
fn a_key_is_asked_for() {
    let nodes = both();
    let upstream = Upstream::good("never");
    let mut guarded = chat_route("/chat", &upstream.base());
    guarded["plugins"]["key-auth"] = json!({});
    route(&nodes, "1", &guarded);
    let message = Form::Json("message");
    let call = post("/chat", CHAT);
    told(&nodes, &call, 401, message, "Missing API key in request");
    let wrong = call.header("apikey", "nobody's");
    told(&nodes, &wrong, 401, message, "Invalid API key in request");
    for node in &nodes {
        let response = node.send(&wrong);
        assert_eq!(response.header("www-authenticate"), Some(r#"apikey realm="key""#));
    }
    upstream.was_not_asked();
}

#[test]
fn a_client_of_anthropic_is_told_in_its_own_shape() {
    let [ours, _] = both();
    let refusing = Upstream::refusing();
    ours.put("/routes/1", &chat_route("/v1/messages", &refusing.base()));
    let body = CHAT.replacen('{', r#"{"max_tokens":9,"#, 1);
    let response = ours.send(&post("/v1/messages", body));
    let body = response.json();
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(body["error"]["message"], "the provider could not be reached");
    assert_eq!(body["error_msg"], "the provider could not be reached");
}

#[test]
fn a_text_of_the_operator_s_own_replaces_what_a_plugin_tells() {
    let nodes = both();
    let mut guarded = chat_route("/chat", "http://127.0.0.1:1");
    guarded["plugins"]["key-auth"] = json!({"_meta": {"error_response": {"tell": "ask the platform team"}}});
    route(&nodes, "1", &guarded);
    for node in &nodes {
        let response = node.chat("/chat");
        assert_eq!(response.status(), 401);
        assert_eq!(response.json(), json!({"tell": "ask the platform team"}));
    }
}
