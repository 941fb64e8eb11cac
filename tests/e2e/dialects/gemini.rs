//! Gemini's own ways: names and keys in the address, arrays in place of events, providers with keys, tokens and signatures.

use serde_json::{Value, json};

use super::{KEY, Wire, simulated};
use crate::harness::{Gateway, Next, Request, Setup, Upstream, answers, post};

const BODY: &str = "{ \"contents\" :[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi \\u00e9\"}]}], \"labels\":{\"x\":\"1\"},\"unknown\":1.50 }";

/// An answer of a provider, as it came.
const ANSWER: &str = r#"{ "candidates": [{"content": {"parts": [{"text": "served"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
 "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}, "modelVersion": "served-model", "responseId": "r1", "odd": 1.50 }"#;

/// The documents of a streamed answer.
const DOCUMENTS: [&str; 2] = [
    r#"{"candidates": [{"content": {"parts": [{"text": "ser"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 11,"totalTokenCount": 11},"modelVersion": "served-model","responseId": "r1", "odd": 1.50}"#,
    r#"{"candidates": [{"content": {"parts": [{"text": "ved"}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 11,"candidatesTokenCount": 7,"totalTokenCount": 18},"modelVersion": "served-model","responseId": "r1"}"#,
];

/// A provider of Gemini's.
fn google() -> Upstream {
    Upstream::start(|asked, peer| {
        if asked.path.contains(":countTokens") {
            peer.send(&answers::json_answer(200, r#"{"totalTokens": 31}"#));
        } else if asked.path.contains("stream") {
            let events: String = DOCUMENTS
                .iter()
                .map(|document| format!("data: {document}\r\n\r\n"))
                .collect();
            let head = answers::stream_head();
            peer.send(&[head.as_bytes(), &answers::chunk(events), answers::END_OF_CHUNKS].concat());
        } else {
            peer.send(&answers::json_answer(200, ANSWER));
        }
        Next::Keep
    })
}

fn gateway(upstream: &Upstream) -> Gateway {
    Setup::new(format!(
        "models:\n  m: {{provider: g}}\n  \"org/alias:1\": {{provider: g, model: gemini-2.5-flash}}\n  \"*\": {{provider: g}}\n\
         providers:\n  g: {{kind: gemini, key: provider-key-1, endpoint: \"http://{}/v1beta\"}}\n\
         consumers:\n  caller: {{key: {KEY}, models: [\"*\"]}}\n",
        upstream.address()
    ))
    .start()
}

fn keyed(path: &str) -> Request {
    post(path, BODY).header("x-goog-api-key", KEY)
}

#[test]
fn a_request_reaches_google_byte_by_byte_and_so_does_its_answer() {
    let upstream = google();
    let gateway = gateway(&upstream);
    let response = gateway.send(&keyed("/v1beta/models/m:generateContent"));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.text(), ANSWER);
    let asked = upstream.asked();
    assert_eq!(asked.path, "/v1beta/models/m:generateContent");
    assert_eq!(asked.text(), BODY);
    assert_eq!(asked.header("x-goog-api-key"), Some("provider-key-1"));
    assert_eq!(asked.header("authorization"), None);
    let log = gateway.logged();
    assert_eq!(
        (&log["usage"]["prompt_tokens"], &log["usage"]["completion_tokens"]),
        (&json!(11), &json!(7)),
        "{log}"
    );
    gateway.stop();
}

#[test]
fn the_name_in_the_address_may_be_escaped_and_is_replaced_where_the_provider_has_another() {
    let upstream = google();
    let gateway = gateway(&upstream);
    for path in [
        "/v1beta/models/org%2Falias%3A1:generateContent",
        "/v1beta/models/org/alias:1:generateContent",
        "/v1/models/org%2falias%3a1:generateContent",
    ] {
        let response = gateway.send(&keyed(path));
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
        let asked = upstream.asked();
        assert_eq!(asked.path, "/v1beta/models/gemini-2.5-flash:generateContent");
        assert_eq!(asked.text(), BODY);
        assert_eq!(gateway.logged()["request_model"], "org/alias:1");
    }
    let named = BODY.replacen('{', "{\"model\":\"models/org/alias:1\",", 1);
    let request = post("/v1beta/models/org%2Falias%3A1:generateContent", named).header("x-goog-api-key", KEY);
    assert_eq!(gateway.send(&request).status(), 200);
    assert_eq!(upstream.asked().json()["model"], "models/gemini-2.5-flash");
    gateway.stop();
}

#[test]
fn a_name_cannot_lead_to_another_address_of_the_provider() {
    let upstream = google();
    let gateway = gateway(&upstream);
    for path in [
        "/v1beta/models/..%2Ffiles%2Fx:generateContent",
        "/v1beta/models/a/../../b:generateContent",
    ] {
        let response = gateway.send(&keyed(path));
        assert_eq!(response.status(), 400, "{path}");
        Wire::Gemini.error_message(&response);
    }
    upstream.was_not_asked();
    gateway.stop();
}

#[test]
fn a_stream_comes_as_events_or_as_one_array() {
    let upstream = google();
    let gateway = gateway(&upstream);
    let events = gateway.send(&keyed("/v1beta/models/m:streamGenerateContent?alt=sse"));
    assert_eq!(events.status(), 200, "{}", events.text());
    assert_eq!(
        events.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let expected: String = DOCUMENTS
        .iter()
        .map(|document| format!("data: {document}\r\n\r\n"))
        .collect();
    assert_eq!(events.text(), expected);
    assert_eq!(
        upstream.asked().path,
        "/v1beta/models/m:streamGenerateContent?alt=sse"
    );

    let array = gateway.send(&keyed("/v1beta/models/m:streamGenerateContent"));
    assert_eq!(
        array.header("content-type"),
        Some("application/json; charset=UTF-8")
    );
    assert_eq!(array.text(), format!("[{}]\n", DOCUMENTS.join(",\n")));
    assert_eq!(
        upstream.asked().path,
        "/v1beta/models/m:streamGenerateContent?alt=sse"
    );
    for _ in 0..2 {
        let log = gateway.logged();
        assert_eq!(
            (&log["usage"]["prompt_tokens"], &log["usage"]["completion_tokens"]),
            (&json!(11), &json!(7)),
            "{log}"
        );
    }
    gateway.stop();
}

#[test]
fn an_array_is_closed_behind_an_error() {
    let upstream = Upstream::start(|_, peer| {
        let begun = format!("data: {}\r\n\r\n", DOCUMENTS[0]);
        peer.send(&[answers::stream_head().as_bytes(), &answers::chunk(begun)].concat());
        Next::Close
    });
    let gateway = gateway(&upstream);
    let array = gateway.send(&keyed("/v1beta/models/m:streamGenerateContent"));
    let documents: Vec<Value> = serde_json::from_str(array.text()).expect("an array");
    assert_eq!(documents.len(), 2, "{}", array.text());
    assert_eq!(documents[1]["error"]["status"], "INTERNAL");
    gateway.stop();
}

#[test]
fn the_key_in_the_address_is_taken_and_never_logged() {
    let upstream = google();
    let gateway = gateway(&upstream);
    for path in [
        format!("/v1beta/models/m:generateContent?key={KEY}"),
        format!("/v1beta/models/m:streamGenerateContent?alt=sse&key={KEY}&x=1"),
        format!("/v1beta/nothing?key={KEY}"),
    ] {
        let response = gateway.send(&post(&path, BODY));
        let expected = if path.contains("nothing") { 404 } else { 200 };
        assert_eq!(response.status(), expected, "{}", response.text());
        let line = gateway.logged_text();
        assert!(!line.contains(KEY), "{line}");
    }
    assert!(!upstream.asked().path.contains(KEY) && !upstream.asked().path.contains(KEY));
    let wrong = gateway.send(&post("/v1beta/models/m:generateContent?key=another-key", BODY));
    assert_eq!(wrong.status(), 401);
    assert_eq!(wrong.json()["error"]["status"], "UNAUTHENTICATED");
    let two = post("/v1beta/models/m:generateContent?key=another-key", BODY).header("x-goog-api-key", KEY);
    assert_eq!(gateway.send(&two).status(), 401, "two keys leave open who pays");
    gateway.stop();
}

#[test]
fn tokens_are_counted_by_google_or_estimated() {
    let upstream = google();
    let gateway = gateway(&upstream);
    let counted = gateway.send(&keyed("/v1beta/models/m:countTokens"));
    assert_eq!(counted.text(), r#"{"totalTokens": 31}"#);
    assert_eq!(upstream.asked().path, "/v1beta/models/m:countTokens");
    gateway.stop();
    let gateway = simulated("");
    let estimated = gateway.send(&keyed("/v1beta/models/openai_chat:countTokens"));
    assert_eq!(estimated.status(), 200, "{}", estimated.text());
    assert!(
        estimated.json()["totalTokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0)
    );
    assert_eq!(estimated.header("x-tollgate-estimated"), Some("true"));
    let by_another = gateway.send(&keyed("/v1beta/models/anthropic_messages:countTokens"));
    assert_eq!(by_another.status(), 200, "{}", by_another.text());
    assert_eq!(by_another.json()["totalTokens"], estimated.json()["totalTokens"]);
    assert_eq!(
        by_another.header("x-tollgate-estimated"),
        None,
        "the provider has counted"
    );
    gateway.stop();
}

#[test]
fn models_are_listed_as_google_lists_them() {
    let gateway = simulated("");
    let get = |path: &str| gateway.send(&Request::new("GET", path).header("x-goog-api-key", KEY));
    let list = get("/v1beta/models").json();
    let names: Vec<&str> = list["models"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|model| model["name"].as_str())
        .collect();
    assert!(names.contains(&"models/gemini_generate"), "{list}");
    assert_eq!(
        get("/v1beta/models/gemini_generate").json()["name"],
        "models/gemini_generate"
    );
    let unknown = get("/v1beta/models/other");
    assert_eq!(unknown.status(), 404);
    Wire::Gemini.error_message(&unknown);
    gateway.stop();
}

#[test]
fn an_envelope_of_another_maker_is_not_sent_to_google() {
    let upstream = google();
    let gateway = gateway(&upstream);
    // `tollgate:openai_chat:reasoning_content:m`, as a signature.
    let envelope = "dG9sbGdhdGU6b3BlbmFpX2NoYXQ6cmVhc29uaW5nX2NvbnRlbnQ6bQ==";
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [{"text": "hm", "thought": true, "thoughtSignature": envelope}, {"text": "Hello"}]},
        {"role": "user", "parts": [{"text": "Go on"}]},
    ]});
    let request = post("/v1beta/models/m:generateContent", body.to_string()).header("x-goog-api-key", KEY);
    let response = gateway.send(&request);
    assert_eq!(response.status(), 200, "{}", response.text());
    let sent = upstream.asked();
    assert!(!sent.text().contains(envelope), "{}", sent.text());
    assert!(sent.text().contains("Hello") && response.header("x-tollgate-loss").is_some());
    gateway.stop();
}

#[test]
fn a_loss_is_told_or_refused_in_google_s_words() {
    let gateway = Setup::new(
        "models:\n  m: {provider: o}\n  strict: {provider: o, on_loss: strict}\n\
         providers:\n  o: {kind: simulated, dialects: [anthropic_messages]}\n",
    )
    .start();
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"seed":7}}"#;
    let told = gateway.send(&post("/v1beta/models/m:generateContent", body));
    assert_eq!(told.status(), 200, "{}", told.text());
    let losses = told.header("x-tollgate-loss").expect("a report");
    assert!(losses.contains("generationConfig.seed=dropped"), "{losses}");
    let refused = gateway.send(&post("/v1beta/models/strict:generateContent", body));
    assert_eq!(refused.status(), 400);
    assert!(
        Wire::Gemini
            .error_message(&refused)
            .contains("generationConfig.seed")
    );
    gateway.stop();
}
