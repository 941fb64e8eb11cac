//! What is older or smaller than chats: completions, lists of models.

use serde_json::{Value, json};

use super::{KEY, Wire, simulated};
use crate::harness::{Request, post};

#[test]
fn a_completion_from_before_chats_is_answered_by_every_provider() {
    let gateway = simulated("");
    for provider in Wire::ALL {
        let body = |stream: bool| {
            let body = json!({
                "model": provider.name(), "prompt": "Say this back", "stream": stream,
                "stream_options": if stream { json!({"include_usage": true}) } else { Value::Null },
            });
            post("/v1/completions", body.to_string()).header("authorization", &format!("Bearer {KEY}"))
        };
        let whole = gateway.send(&body(false));
        assert_eq!(whole.status(), 200, "{provider:?}: {}", whole.text());
        let answer = whole.json();
        assert_eq!(answer["object"], "text_completion");
        let text = answer["choices"][0]["text"].as_str().expect("text").to_owned();
        assert!(text.contains("Say this back"), "{answer}");
        assert!(
            answer["usage"]["completion_tokens"]
                .as_u64()
                .is_some_and(|tokens| tokens > 0)
        );

        let streamed = gateway.send(&body(true));
        assert_eq!(streamed.status(), 200, "{provider:?}: {}", streamed.text());
        let chunks: Vec<Value> = streamed
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: {"))
            .map(|rest| serde_json::from_str(&format!("{{{rest}")).expect("JSON"))
            .collect();
        let joined: String = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["text"].as_str())
            .collect();
        assert_eq!(joined, text, "{provider:?}: {}", streamed.text());
        assert!(streamed.text().ends_with("data: [DONE]\n\n"));
        assert_eq!(
            chunks.last().expect("chunks")["usage"],
            answer["usage"],
            "{provider:?}"
        );
    }
    let suffix = json!({"model": "openai_chat", "prompt": "x", "suffix": "y"});
    let refused = gateway.send(&post("/v1/completions", suffix.to_string()).header("x-api-key", KEY));
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json()["error"]["param"], "suffix");
    gateway.stop();
}

#[test]
fn models_are_listed_for_whoever_asks() {
    let gateway = simulated("");
    for (path, header, value, list, name) in [
        ("/v1/models", "accept", "*/*", "data", "id"),
        ("/v1/models", "anthropic-version", "2023-06-01", "data", "id"),
        ("/v1/models", "x-goog-api-client", "x", "data", "id"),
        ("/v1/models", "x-fern-sdk-name", "cohere", "models", "name"),
        ("/v1beta/models", "accept", "*/*", "models", "name"),
    ] {
        let request = Request::new("GET", path)
            .header(header, value)
            .header("authorization", &format!("Bearer {KEY}"));
        let response = gateway.send(&request);
        assert_eq!(response.status(), 200, "{}", response.text());
        let names: Vec<String> = response.json()[list]
            .as_array()
            .unwrap_or_else(|| panic!("{path} {header}: {}", response.text()))
            .iter()
            .filter_map(|model| model[name].as_str().map(str::to_owned))
            .collect();
        let expected = if path == "/v1beta/models" {
            "models/openai_chat"
        } else {
            "openai_chat"
        };
        assert!(
            names.iter().any(|name| name == expected),
            "{path} {header}: {names:?}"
        );
    }
    gateway.stop();
}

#[test]
fn tokens_are_counted_for_every_client_that_can_ask() {
    let gateway = simulated("");
    for provider in Wire::ALL {
        let model = provider.name();
        let message = json!([{"role": "user", "content": [{"text": "Hello there"}]}]);
        for (path, body, pointer) in [
            (
                "/v1/messages/count_tokens".to_owned(),
                json!({"model": model, "messages": [{"role": "user", "content": "Hello there"}]}),
                "/input_tokens",
            ),
            (
                format!("/v1beta/models/{model}:countTokens"),
                json!({"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}),
                "/totalTokens",
            ),
            (
                "/v1/responses/input_tokens".to_owned(),
                json!({"model": model, "input": "Hello there"}),
                "/input_tokens",
            ),
            (
                format!("/model/{model}/count-tokens"),
                json!({"input": {"converse": {"messages": message}}}),
                "/inputTokens",
            ),
        ] {
            let response = gateway.send(&post(&path, body.to_string()).header("x-api-key", KEY));
            assert_eq!(response.status(), 200, "{path}: {}", response.text());
            let count = response.json().pointer(pointer).and_then(Value::as_u64);
            assert!(
                count.is_some_and(|count| count > 2),
                "{path}: {}",
                response.text()
            );
            let counts = !matches!(provider, Wire::Openai | Wire::Cohere);
            let estimated = response.header("x-tollgate-estimated").is_some();
            assert_ne!(estimated, counts, "{path} from {provider:?}");
        }
    }
    gateway.stop();
}
