//! Whole answers and errors.

use serde_json::{Value, json};
use tollgate_dialects::apisix::error_answer;

use crate::{Stream, answer, answered, call, finish, first};

#[test]
fn an_answer_has_thoughts_then_text_then_calls_and_the_configured_model() {
    let message = json!({"role": "assistant", "content": "Let me check.", "reasoning_content": "Step by step",
        "tool_calls": [call("get_weather", "{\"b\":1,\"a\":2}"), call("get_time", "{}")]});
    assert_eq!(
        answered(&answer(message, "tool_calls")),
        json!({
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt-4o",
            "content": [
                {"type": "thinking", "thinking": "Step by step", "signature": ""},
                {"type": "text", "text": "Let me check."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"b": 1, "a": 2}},
                {"type": "tool_use", "id": "call_1", "name": "get_time", "input": {}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 10, "output_tokens": 5},
        })
    );
}

#[test]
fn finish_reasons_become_stop_reasons() {
    for (word, stop_reason) in [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "end_turn"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("something_new", "end_turn"),
    ] {
        let message = json!({"role": "assistant", "content": "hi"});
        assert_eq!(
            answered(&answer(message.clone(), word))["stop_reason"],
            stop_reason
        );
        let mut stream = Stream::begin();
        stream.chunk(first(json!({"content": "hi"})));
        stream.chunk(finish(word));
        assert_eq!(stream.done()[0]["delta"]["stop_reason"], stop_reason, "{word}");
    }
}

#[test]
fn cached_tokens_are_no_input_tokens() {
    let mut told = answer(json!({"role": "assistant", "content": "hi"}), "stop");
    told["usage"] = json!({"prompt_tokens": 30, "completion_tokens": 15, "total_tokens": 45,
        "prompt_tokens_details": {"cached_tokens": 10, "cache_creation_input_tokens": 5}});
    assert_eq!(
        answered(&told)["usage"],
        json!({"input_tokens": 20, "output_tokens": 15, "cache_read_input_tokens": 10,
            "cache_creation_input_tokens": 5})
    );
}

#[test]
fn nulls_where_a_provider_should_say_something_cost_nothing() {
    let mut told = answer(json!({"role": "assistant", "content": "hi"}), "stop");
    told["usage"]["prompt_tokens_details"] = json!(null);
    assert_eq!(
        answered(&told)["usage"],
        json!({"input_tokens": 10, "output_tokens": 5})
    );
    told["usage"] = json!(null);
    assert_eq!(
        answered(&told)["usage"],
        json!({"input_tokens": 0, "output_tokens": 0})
    );
    let empty = json!([{"type": "text", "text": ""}]);
    assert_eq!(answered(&answer(json!(null), "stop"))["content"], empty);
    let silent = answer(
        json!({"role": "assistant", "content": null, "tool_calls": null}),
        "stop",
    );
    assert_eq!(answered(&silent)["content"], empty);
    let calls = json!([{"id": "call_1", "type": "function", "function": null}]);
    let nameless = answer(
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
        "tool_calls",
    );
    assert_eq!(
        answered(&nameless)["content"],
        json!([{"type": "tool_use", "id": "call_1", "name": "", "input": {}}])
    );
}

#[test]
fn arguments_that_are_no_object_become_an_empty_one_and_the_text_stays() {
    for arguments in ["{not valid json", "123", "true", "\"a\"", "[1]", ""] {
        let message = json!({"role": "assistant", "content": "partial answer",
            "tool_calls": [call("do_it", arguments)]});
        let content = answered(&answer(message, "tool_calls"))["content"].clone();
        assert_eq!(content[0], json!({"type": "text", "text": "partial answer"}));
        assert_eq!(content[1]["input"], json!({}), "{arguments}");
    }
}

#[test]
fn an_error_with_a_status_of_success_becomes_anthropics_error() {
    let told = |error: Value| -> Value {
        serde_json::from_slice(&error_answer(&json!({"error": error}).to_string()).unwrap()).unwrap()
    };
    let error =
        |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let full = json!({"type": "invalid_request_error", "message": "The model does not exist.",
        "code": "model_not_found"});
    assert_eq!(
        told(full),
        error("invalid_request_error", "The model does not exist.")
    );
    assert_eq!(told(json!({"code": "a", "message": "b"})), error("a", "b"));
    assert_eq!(told(json!("out of order")), error("api_error", "out of order"));
    assert_eq!(told(json!({})), error("api_error", ""));
    assert_eq!(error_answer(&answer(json!(null), "stop").to_string()), None);
    assert_eq!(error_answer(r#"{"error":null,"choices":[]}"#), None);
}
