//! Whole answers from Cohere to clients of other dialects, and from others to Cohere's.

use serde_json::{Value, json};
use tollgate_dialects::canonical::StopReason;
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::cohere_chat::{decode_response, encode_response};
use tollgate_dialects::{Dialect, Losses};

use super::support::{assert_json_eq, json as parse};
use super::{COHERE, answer};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

fn own(finish_reason: &str) -> Value {
    json!({"id": "a1", "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
        "usage": {"billed_units": {"input_tokens": 5, "output_tokens": 2}, "tokens": {"input_tokens": 500, "output_tokens": 4}}})
}

#[test]
fn everything_an_answer_may_say_comes_back_as_it_was() {
    let body = json!({"id": "a1", "finish_reason": "TOOL_CALL", "something_new": [1], "prompt": null,
        "message": {"role": "assistant", "tool_plan": "first f", "other": 1,
            "content": [{"type": "thinking", "thinking": "hm", "new": 1}, {"type": "text", "text": "ä"}, {"type": "odd", "x": 1}],
            "tool_calls": [{"id": "c", "type": "function", "extra": 1, "function": {"name": "f", "arguments": "{\"a\": 1.0}", "more": 2}}],
            "citations": [{"start": 0, "end": 1, "text": "ä", "sources": [], "type": "PLAN"}]},
        "usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 2.0, "search_units": 1}, "tokens": {"input_tokens": 9, "output_tokens": 2}, "cached_tokens": 3, "new": {}},
        "logprobs": [{"text": "ä", "token_ids": [1, 2], "logprobs": [-0.5, -1.25]}, {"text": "b", "token_ids": [3], "logprobs": [-0.1]}]});
    let mut losses = Losses::new();
    let again = encode_response(&decode_response(&body.to_string()).unwrap(), &mut losses);
    assert_json_eq(&parse(again), &body, "answer");
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn finish_reasons_reach_the_others() {
    for (word, openai, anthropic, gemini) in [
        ("COMPLETE", "stop", "end_turn", "STOP"),
        ("STOP_SEQUENCE", "stop", "stop_sequence", "STOP"),
        ("MAX_TOKENS", "length", "max_tokens", "MAX_TOKENS"),
    ] {
        assert_eq!(
            answer(COHERE, OPENAI, &own(word)).0["choices"][0]["finish_reason"],
            openai
        );
        assert_eq!(answer(COHERE, ANTHROPIC, &own(word)).0["stop_reason"], anthropic);
        assert_eq!(
            answer(COHERE, GEMINI, &own(word)).0["candidates"][0]["finishReason"],
            gemini
        );
    }
    let reason = |word: &str| {
        decode_response(&own(word).to_string()).unwrap().choices[0]
            .stop
            .reason
    };
    assert_eq!(reason("ERROR_TOXIC"), StopReason::ContentFilter);
    assert_eq!(reason("ERROR_LIMIT"), StopReason::ContextFull);
    assert_eq!(reason("SOMETHING"), StopReason::Unknown);
}

#[test]
fn an_answer_that_failed_is_none() {
    for word in ["ERROR", "TIMEOUT"] {
        let error = decode_response(&own(word).to_string()).unwrap_err();
        assert_eq!(error.path, "finish_reason");
    }
    for body in [r#"{"id":"x","message":"no"}"#, r#"{"id":"x"}"#, "[]", "{"] {
        assert!(decode_response(body).is_err(), "{body}");
    }
}

#[test]
fn finish_reasons_of_others_reach_a_client_of_cohere() {
    let openai = |word: &str| json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": word, "message": {"role": "assistant", "content": "a"}}]});
    for (word, expected, losses) in [
        ("stop", "COMPLETE", ""),
        ("length", "MAX_TOKENS", ""),
        ("content_filter", "ERROR", "finish_reason=approximated"),
        ("eos", "COMPLETE", ""),
    ] {
        let (out, told) = answer(OPENAI, COHERE, &openai(word));
        assert_eq!(
            (out["finish_reason"].as_str(), told.join(" ").as_str()),
            (Some(expected), losses)
        );
    }
    let anthropic = |word: &str| {
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "a"}],
            "stop_reason": word, "usage": {"input_tokens": 1, "output_tokens": 1}})
    };
    for (word, expected) in [
        ("end_turn", "COMPLETE"),
        ("stop_sequence", "STOP_SEQUENCE"),
        ("max_tokens", "MAX_TOKENS"),
        ("model_context_window_exceeded", "MAX_TOKENS"),
        ("refusal", "ERROR"),
        ("pause_turn", "COMPLETE"),
    ] {
        assert_eq!(
            answer(ANTHROPIC, COHERE, &anthropic(word)).0["finish_reason"],
            expected,
            "{word}"
        );
    }
}

#[test]
fn calls_of_others_reach_a_client_of_cohere_with_ids_and_arguments() {
    let body = json!({"candidates": [{"content": {"role": "model", "parts": [
        {"text": "both"}, {"functionCall": {"name": "f", "args": {"a": 1}}}, {"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}],
        "responseId": "r", "modelVersion": "g"});
    let (out, losses) = answer(GEMINI, COHERE, &body);
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(out["finish_reason"], "TOOL_CALL");
    assert_eq!(
        out["message"]["content"],
        json!([{"type": "text", "text": "both"}])
    );
    let calls = out["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(
        calls[0]["function"],
        json!({"name": "f", "arguments": "{\"a\":1}"})
    );
    assert_eq!(calls[1]["function"], json!({"name": "f", "arguments": "{}"}));
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert!(
        calls
            .iter()
            .all(|call| call["id"].as_str().is_some_and(|id| !id.is_empty()))
    );
    assert_eq!(
        answer(GEMINI, COHERE, &body).0,
        out,
        "ids are the same every time"
    );
}

#[test]
fn empty_ids_of_calls_are_made_from_the_answer() {
    let body = json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null,
        "tool_calls": [{"id": "", "type": "function", "function": {"name": "f", "arguments": ""}}]}}]});
    let (out, _) = answer(OPENAI, COHERE, &body);
    let call = &out["message"]["tool_calls"][0];
    assert!(call["id"].as_str().unwrap().starts_with("call_co"), "{call}");
    assert_eq!(call["function"]["arguments"], "{}");
    assert_eq!(out["message"].get("content"), None);
}

#[test]
fn a_client_of_cohere_finds_a_first_piece_of_content_in_an_empty_answer() {
    let body = json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}]});
    let (out, _) = answer(OPENAI, COHERE, &body);
    assert_eq!(out["message"]["content"], json!([{"type": "text", "text": ""}]));
}

#[test]
fn log_probabilities_are_told_both_ways() {
    let mut body = own("COMPLETE");
    body["logprobs"] = json!([{"text": "hi", "token_ids": [5], "logprobs": [-0.25]}]);
    let (out, losses) = answer(COHERE, OPENAI, &body);
    assert!(losses.is_empty(), "{losses:?}");
    let entry = &out["choices"][0]["logprobs"]["content"][0];
    assert_eq!(
        (&entry["token"], &entry["logprob"]),
        (&json!("hi"), &json!(-0.25))
    );
    let body = json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"},
        "logprobs": {"content": [{"token": "hi", "logprob": -0.25, "bytes": [104, 105], "top_logprobs": []}]}}]});
    let (out, _) = answer(OPENAI, COHERE, &body);
    assert_eq!(
        out["logprobs"],
        json!([{"text": "hi", "token_ids": [], "logprobs": [-0.25]}])
    );
}

#[test]
fn the_model_that_was_asked_is_named_where_cohere_names_none() {
    let response = decode_response(&own("COMPLETE").to_string()).unwrap();
    let style = AnswerStyle {
        model: Some("command-a".to_owned()),
        ..AnswerStyle::default()
    };
    for (to, member) in [(OPENAI, "model"), (ANTHROPIC, "model"), (GEMINI, "modelVersion")] {
        let out = parse(codec::encode_response(to, &response, &style, &mut Losses::new()));
        assert_eq!(out[member], "command-a", "{to}");
    }
    let out = parse(codec::encode_response(
        COHERE,
        &response,
        &style,
        &mut Losses::new(),
    ));
    assert_eq!(out, own("COMPLETE"));
}

#[test]
fn citations_are_told_as_lost() {
    let mut body = own("COMPLETE");
    body["message"]["citations"] = json!([{"start": 0, "end": 2, "text": "hi"}]);
    for to in [OPENAI, ANTHROPIC, GEMINI] {
        let (_, losses) = answer(COHERE, to, &body);
        assert_eq!(losses.len(), 1, "{to} {losses:?}");
        assert!(losses[0].ends_with("citations=dropped"), "{to} {losses:?}");
    }
}

#[test]
fn what_was_billed_is_what_the_others_are_told() {
    let (out, _) = answer(COHERE, OPENAI, &own("COMPLETE"));
    assert_eq!(out["usage"]["prompt_tokens"], 5);
    assert_eq!(out["usage"]["completion_tokens"], 2);
    let (out, _) = answer(COHERE, ANTHROPIC, &own("COMPLETE"));
    assert_eq!(out["usage"]["input_tokens"], 5);
    assert_eq!(out["usage"]["output_tokens"], 2);
}

#[test]
fn usage_of_others_is_told_to_a_client_of_cohere() {
    let body = json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 8}}});
    let (out, losses) = answer(OPENAI, COHERE, &body);
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(
        out["usage"],
        json!({"billed_units": {"input_tokens": 100, "output_tokens": 20},
            "tokens": {"input_tokens": 100, "output_tokens": 20, "reasoning_tokens": 8}, "cached_tokens": 60})
    );
}

#[test]
fn hosted_tools_and_second_choices_are_told_as_lost() {
    let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text", "text": "a"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let (out, losses) = answer(ANTHROPIC, COHERE, &body);
    assert_eq!(out["message"]["content"], json!([{"type": "text", "text": "a"}]));
    assert_eq!(losses, ["choices[0].message.parts[0]=dropped"]);
    let choice = |index: u64| json!({"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}});
    let body = json!({"id": "c", "model": "m", "choices": [choice(0), choice(1)]});
    assert_eq!(answer(OPENAI, COHERE, &body).1, ["choices[1]=dropped"]);
}
