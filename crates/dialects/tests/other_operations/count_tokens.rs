//! Counting tokens: asked in one dialect, counted in another.

use serde_json::{Value, json};
use tollgate_dialects::count_tokens::{
    decode_request, decode_response, encode_request, encode_response, is_known_to,
};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use crate::support::{assert_json_eq, json as parse, names, recordings_of, target};

const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

fn translated(from: Dialect, to: Dialect, request: &Value) -> (Value, Vec<String>) {
    let request = decode_request(from, &request.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = encode_request(to, &request, &target("m", &Capabilities::default()), &mut losses);
    (parse(body), names(&losses))
}

#[test]
fn recordings_of_anthropic_come_back_equal() {
    for recording in recordings_of("anthropic-count-tokens") {
        let body = recording.request().unwrap();
        let request = decode_request(ANTHROPIC, &body).unwrap();
        let capabilities = Capabilities::default();
        let mut losses = Losses::new();
        let again = encode_request(
            ANTHROPIC,
            &request,
            &target(&request.model, &capabilities),
            &mut losses,
        );
        assert_json_eq(&parse(again), &parse(&body), &recording.name);
        assert!(losses.is_empty());
        let answer = recording.answer().unwrap();
        let count = decode_response(ANTHROPIC, &answer).unwrap();
        assert!(count.total > 0);
        assert_eq!(parse(encode_response(ANTHROPIC, &count).unwrap()), parse(&answer));
    }
}

#[test]
fn what_only_an_answer_needs_is_left_out_without_a_loss() {
    let request = json!({
        "model": "m", "max_tokens": 5, "temperature": 1, "top_p": 0.5, "top_k": 3, "stop_sequences": ["x"], "stream": true,
        "service_tier": "auto", "metadata": {"user_id": "u"}, "system": "s", "speed": "fast",
        "messages": [{"role": "user", "content": "hi"}],
    });
    let counted = json!({
        "model": "m", "system": "s", "speed": "fast", "messages": [{"role": "user", "content": "hi"}],
    });
    assert_eq!(translated(ANTHROPIC, ANTHROPIC, &request), (counted, vec![]));
}

#[test]
fn gemini_counts_for_clients_of_anthropic_and_the_other_way_round() {
    let request = json!({
        "model": "x", "system": "s", "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
    });
    let (gemini, losses) = translated(ANTHROPIC, Dialect::Gemini, &request);
    let inner = &gemini["generateContentRequest"];
    assert_eq!(inner["model"], "models/m");
    assert_eq!(inner["contents"][0]["parts"][0]["text"], "hi");
    assert_eq!(inner["tools"][0]["functionDeclarations"][0]["name"], "f");
    assert_eq!(losses, Vec::<String>::new());
    let count = decode_response(
        Dialect::Gemini,
        r#"{"totalTokens":8,"promptTokensDetails":[{"modality":"TEXT","tokenCount":8}]}"#,
    );
    assert_eq!(
        parse(encode_response(ANTHROPIC, &count.unwrap()).unwrap()),
        json!({"input_tokens": 8})
    );
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let (anthropic, losses) = translated(Dialect::Gemini, ANTHROPIC, &request);
    assert_eq!(anthropic["messages"][0]["role"], "user");
    assert_eq!((anthropic.get("max_tokens"), losses), (None, vec![]));
    let count = decode_response(
        ANTHROPIC,
        r#"{"input_tokens":9,"context_management":{"original_input_tokens":12}}"#,
    );
    assert_eq!(
        parse(encode_response(Dialect::Gemini, &count.unwrap()).unwrap()),
        json!({"totalTokens": 9})
    );
}

#[test]
fn a_dialect_without_counting_says_so() {
    assert!(!is_known_to(Dialect::OpenaiChat));
    assert!(decode_request(Dialect::OpenaiChat, "{}").is_err());
    assert!(decode_response(ANTHROPIC, "{}").is_err());
}
