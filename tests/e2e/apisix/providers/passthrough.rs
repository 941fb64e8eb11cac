//! Requests of APIs that the gateway does not know: they pass as they are, with the vendor's key in place of the client's.

use serde_json::json;

use super::super::{Node, NodeSetup};
use super::{counting, from_client, is_kept_out, route};
use crate::harness::{Asked, Next, Request, Upstream, answers, post};

/// A route for everything below `/v1` to a vendor.
fn node_before(upstream: &Upstream) -> Node {
    before(upstream, counting())
}

fn before(upstream: &Upstream, setup: NodeSetup) -> Node {
    let node = setup.start();
    let plugin = json!({
        "provider": "openai-compatible",
        "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
        "override": {"endpoint": format!("http://{}", upstream.address())},
    });
    route(&node, "r", "/v1/*", &plugin);
    node
}

/// A vendor that answers everything with these bytes.
fn vendor(content_type: &str, body: &[u8]) -> Upstream {
    let answer = answers::answer(200, &format!("content-type: {content_type}\r\n"), body);
    Upstream::start(move |_, peer| {
        peer.send(&answer);
        Next::Keep
    })
}

/// Asserts what holds of every such request.
#[track_caller]
fn is_passed(asked: &Asked, method: &str, path: &str, content_type: &str, body: &[u8]) {
    assert_eq!((asked.method.as_str(), asked.path.as_str()), (method, path));
    assert_eq!(asked.header("content-type"), Some(content_type), "{path}");
    assert_eq!(asked.header("authorization"), Some("Bearer key-of-the-vendor"));
    let length = body.len().to_string();
    assert_eq!(asked.header("content-length"), Some(length.as_str()));
    assert!(
        asked.body == body,
        "{path}: {}",
        String::from_utf8_lossy(&asked.body)
    );
    is_kept_out(asked);
}

/// A path, what is posted there, what is answered, and the tokens that are logged.
const CALLS: [(&str, &str, &str, &str); 6] = [
    (
        "/v1/completions",
        "{ \"prompt\" : \"Say\",\n\"model\":\"m\", \"max_tokens\": 5}",
        r#"{"object":"text_completion","choices":[{"text":"x"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#,
        "3 5",
    ),
    (
        "/v1/images/generations",
        r#"{"model":"gpt-image-1","prompt":"a cat","n":1,"size":"1024x1024"}"#,
        r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":13,"output_tokens":1056,"total_tokens":1069}}"#,
        "13 1056",
    ),
    (
        "/v1/rerank",
        r#"{"model":"rerank-2","query":"cats","documents":["a","b"],"top_k":1}"#,
        r#"{"data":[{"index":0,"relevance_score":0.50}],"usage":{"total_tokens":26}}"#,
        "0 0",
    ),
    (
        "/v1/moderations",
        r#"{"model":"omni-moderation-latest","input":"Hello"}"#,
        r#"{"id":"modr-1","results":[{"flagged":false}]}"#,
        "0 0",
    ),
    (
        "/v1/audio/speech",
        r#"{"model":"tts-1","input":"Hello","voice":"alloy"}"#,
        "ID3 bytes of a sound",
        "0 0",
    ),
    (
        "/v1/batches?after=b%2F1",
        r#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}"#,
        r#"{"id":"batch_1","object":"batch"}"#,
        "0 0",
    ),
];

#[test]
fn json_passes_byte_by_byte_and_its_tokens_are_counted() {
    for (path, body, answer, tokens) in CALLS {
        let content_type = if path.ends_with("speech") {
            "audio/mpeg"
        } else {
            "application/json"
        };
        let upstream = vendor(content_type, answer.as_bytes());
        let node = node_before(&upstream);
        let response = node.send(&from_client(post(path, body)));
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
        assert_eq!(response.text(), answer, "{path}");
        assert_eq!(response.header("content-type"), Some(content_type), "{path}");
        is_passed(
            &upstream.asked(),
            "POST",
            path,
            "application/json",
            body.as_bytes(),
        );
        let line = node.process.stdout.next();
        assert!(line.ends_with(&format!(" {tokens}")), "{path}: {line}");
        node.stop();
    }
}

#[test]
fn a_completion_that_is_streamed_passes_event_by_event() {
    let events = "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\
                  \"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
    let upstream = vendor("text/event-stream", events.as_bytes());
    let node = node_before(&upstream);
    let body = r#"{"prompt":"Say","stream":true}"#;
    let response = node.send(&from_client(post("/v1/completions", body)));
    assert_eq!(response.text(), events);
    is_passed(
        &upstream.asked(),
        "POST",
        "/v1/completions",
        "application/json",
        body.as_bytes(),
    );
    assert_eq!(node.process.stdout.next(), "/v1/completions ai_stream 3 5");
    node.stop();
}

#[test]
fn an_upload_keeps_every_byte_and_its_boundary() {
    let answer = r#"{"text":"Hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"total_tokens":59}}"#;
    let mut body =
        b"--X-1\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--X-1\r\ncontent-disposition: form-data; \
          name=\"file\"; filename=\"a.mp3\"\r\ncontent-type: audio/mpeg\r\n\r\n"
            .to_vec();
    body.extend((0..=255).cycle().take(100_000));
    body.extend_from_slice(b"\r\n--X-1--\r\n");
    let content_type = "multipart/form-data; boundary=\"X-1\"";
    for path in ["/v1/audio/transcriptions", "/v1/images/edits", "/v1/files"] {
        let upstream = vendor("application/json", answer.as_bytes());
        let node = node_before(&upstream);
        let request = Request::new("POST", path)
            .header("content-type", content_type)
            .body(body.clone());
        let response = node.send(&from_client(request));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.text(), answer);
        is_passed(&upstream.asked(), "POST", path, content_type, &body);
        let line = node.process.stdout.next();
        assert!(line.ends_with(" 14 45"), "{line}");
        node.stop();
    }
}

#[test]
fn the_method_is_the_client_s() {
    let upstream = vendor("application/json", b"{}");
    let node = node_before(&upstream);
    let body = r#"{"name":"renamed"}"#;
    let request = Request::new("PUT", "/v1/things/1?x=1")
        .header("content-type", "application/json")
        .body(body);
    let response = node.send(&from_client(request));
    assert_eq!(response.status(), 200, "{}", response.text());
    is_passed(
        &upstream.asked(),
        "PUT",
        "/v1/things/1?x=1",
        "application/json",
        body.as_bytes(),
    );
    node.stop();
}

#[test]
fn to_the_letter_what_has_an_input_is_an_embedding_and_forms_are_refused() {
    let upstream = vendor("application/json", b"{}");
    let node = before(&upstream, counting().strict());
    let response = node.send(&post("/v1/audio/speech", r#"{"input":"Hello"}"#));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(upstream.asked().path, "/v1/embeddings");
    let form = Request::new("POST", "/v1/files").header("content-type", "multipart/form-data; boundary=x");
    let response = node.send(&form.body("--x--"));
    assert_eq!(response.status(), 400);
    upstream.was_not_asked();
    node.stop();
}
