//! Whole answers: ends, blocks, usage, log probabilities.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Part, StopReason};
use tollgate_dialects::gemini::{decode_response, encode_response};
use tollgate_dialects::{Dialect, Losses};

use super::answer;

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

fn with_parts(parts: Value, finish: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
        "modelVersion": "gemini-x", "responseId": "r1"})
}

#[test]
fn finish_reasons_have_their_meaning() {
    let text = json!([{"text": "a"}]);
    let call = json!([{"functionCall": {"name": "f", "args": {}}}]);
    for (parts, word, reason) in [
        (&text, json!("STOP"), StopReason::End),
        (&call, json!("STOP"), StopReason::ToolCalls),
        (&text, json!(1), StopReason::End),
        (&text, json!(2), StopReason::Length),
        (&text, json!("MAX_TOKENS"), StopReason::Length),
        (&call, json!("MAX_TOKENS"), StopReason::Length),
        (&text, json!("SAFETY"), StopReason::ContentFilter),
        (&text, json!("RECITATION"), StopReason::ContentFilter),
        (&text, json!("MODEL_ARMOR"), StopReason::ContentFilter),
        (&text, json!("MALFORMED_FUNCTION_CALL"), StopReason::Malformed),
        (&text, json!("CONTINUATION"), StopReason::Pause),
        (&text, json!("LANGUAGE"), StopReason::Unknown),
        (&text, json!("SOMETHING_NEW"), StopReason::Unknown),
        (&call, json!("SOMETHING_NEW"), StopReason::ToolCalls),
    ] {
        let response = decode_response(&with_parts(parts.clone(), word.clone()).to_string()).unwrap();
        assert_eq!(response.choices[0].stop.reason, reason, "{word}");
        let again: Value = serde_json::from_slice(&encode_response(&response, &mut Losses::new())).unwrap();
        assert_eq!(again["candidates"][0]["finishReason"], word);
    }
}

#[test]
fn a_blocked_prompt_is_a_filtered_answer_everywhere() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}, "modelVersion": "g", "responseId": "r"});
    let (openai, losses) = answer(GEMINI, OPENAI, &blocked);
    assert_eq!(openai["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(losses, [""; 0]);
    let (anthropic, losses) = answer(GEMINI, ANTHROPIC, &blocked);
    assert_eq!(
        (&anthropic["stop_reason"], &anthropic["content"]),
        (&json!("refusal"), &json!([]))
    );
    assert_eq!(losses, [""; 0]);
    let (same, _) = answer(GEMINI, GEMINI, &blocked);
    assert_eq!(same, blocked);
}

#[test]
fn what_is_no_answer_is_refused() {
    assert!(decode_response("[]").is_err());
    assert!(decode_response("{}").is_err());
    let error = decode_response(r#"{"error":{"code":500,"message":"x","status":"INTERNAL"}}"#).unwrap_err();
    assert_eq!(error.problem, "the provider answered with an error");
}

#[test]
fn answers_reach_openai_whole() {
    let own = with_parts(
        json!([
            {"text": "hm", "thought": true},
            {"text": "I call.", "thoughtSignature": "Ag=="},
            {"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": "Aw=="},
            {"functionCall": {"id": "x", "name": "g", "args": {}}},
        ]),
        json!("STOP"),
    );
    let (written, losses) = answer(GEMINI, OPENAI, &own);
    assert_eq!(losses, [""; 0]);
    let message = &written["choices"][0]["message"];
    assert_eq!(message["content"], "I call.");
    assert_eq!(message["reasoning_content"], "hm");
    let id = message["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("call_"), "{id}");
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], "{\"a\":1.0}");
    assert_eq!(message["tool_calls"][1]["id"], "x");
    assert_eq!(
        message["reasoning_details"],
        json!([
            {"type": "reasoning.text", "text": "hm", "format": "google-gemini-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "Ag==", "format": "google-gemini-v1", "index": 1},
            {"type": "reasoning.encrypted", "data": "Aw==", "id": id, "format": "google-gemini-v1", "index": 2},
        ])
    );
    assert_eq!(written["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn answers_of_openai_reach_gemini_whole() {
    let openai = json!({"id": "chatcmpl-1", "model": "gpt", "created": 1, "choices": [{"index": 0, "message": {
        "role": "assistant", "content": "a", "reasoning_content": "r",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        "finish_reason": "tool_calls", "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}});
    let (written, losses) = answer(OPENAI, GEMINI, &openai);
    assert_eq!(losses, [""; 0]);
    let candidate = &written["candidates"][0];
    let parts = candidate["content"]["parts"].as_array().unwrap();
    assert_eq!(
        (&parts[0]["text"], &parts[0]["thought"]),
        (&json!("r"), &json!(true))
    );
    assert_eq!(parts[1], json!({"text": "a"}));
    assert_eq!(
        parts[2],
        json!({"functionCall": {"id": "call_1", "name": "f", "args": {}}})
    );
    assert_eq!(candidate["finishReason"], "STOP");
    assert_eq!(
        candidate["logprobsResult"]["chosenCandidates"][0]["logProbability"],
        -0.5
    );
    assert_eq!(
        written["usageMetadata"],
        json!({"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 4,
            "thoughtsTokenCount": 2, "totalTokenCount": 16})
    );
    let response = decode_response(&written.to_string()).unwrap();
    let Part::Reasoning(reasoning) = &response.choices[0].parts[0] else {
        panic!("{:?}", response.choices[0].parts)
    };
    assert_eq!(reasoning.origin, Some(OPENAI));
    assert_eq!(reasoning.member.as_deref(), Some("reasoning_content"));
}

#[test]
fn a_call_with_broken_arguments_fails_the_answer_unless_it_was_cut() {
    let with = |arguments: &str, finish: &str| {
        let message = json!({"role": "assistant", "content": "a", "tool_calls":
            [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]});
        answer(
            OPENAI,
            GEMINI,
            &json!({"id": "1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}),
        )
    };
    let (_, losses) = with("{\"a\":", "tool_calls");
    assert!(
        losses.iter().any(|loss| loss.ends_with("arguments=rejected")),
        "{losses:?}"
    );
    for arguments in ["{\"a\":", ""] {
        let (written, losses) = with(arguments, "length");
        assert!(
            losses.iter().all(|loss| loss.ends_with("=approximated")),
            "{losses:?}"
        );
        assert_eq!(written["candidates"][0]["finishReason"], "MAX_TOKENS");
        assert_eq!(
            written["candidates"][0]["content"]["parts"],
            json!([{"text": "a"}])
        );
    }
}

#[test]
fn counts_of_other_tools_and_modalities_are_kept() {
    let own = json!({"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 20,
            "thoughtsTokenCount": 5, "toolUsePromptTokenCount": 7, "totalTokenCount": 132,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "AUDIO", "tokenCount": 30},
                {"modality": "IMAGE", "tokenCount": 10}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 15}, {"modality": "TEXT", "tokenCount": 5}],
            "trafficType": "ON_DEMAND", "serviceTier": "standard"},
        "modelVersion": "g", "responseId": "r"});
    let response = decode_response(&own.to_string()).unwrap();
    let usage = response.usage.unwrap();
    assert_eq!(
        (usage.input, usage.cache_read, usage.input_tool_use),
        (67, Some(40), Some(7))
    );
    assert_eq!((usage.output, usage.reasoning), (25, Some(5)));
    assert_eq!(
        (usage.input_audio, usage.input_image, usage.output_image),
        (Some(30), Some(10), Some(15))
    );
    assert_eq!(usage.total(), 132);
    assert_eq!(answer(GEMINI, GEMINI, &own).0, own);
    let (openai, _) = answer(GEMINI, OPENAI, &own);
    assert_eq!(
        openai["usage"],
        json!({"prompt_tokens": 107, "completion_tokens": 25, "total_tokens": 132,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 5}})
    );
    let (anthropic, _) = answer(GEMINI, ANTHROPIC, &own);
    assert_eq!(anthropic["usage"]["input_tokens"], 67);
    assert_eq!(anthropic["usage"]["cache_read_input_tokens"], 40);
    assert_eq!(anthropic["usage"]["output_tokens"], 25);
}

#[test]
fn changed_counts_are_written_as_they_are_now() {
    let own = with_parts(json!([{"text": "a"}]), json!("STOP"));
    let mut response = decode_response(&own.to_string()).unwrap();
    response.usage.as_mut().unwrap().output = 50;
    let written: Value = serde_json::from_slice(&encode_response(&response, &mut Losses::new())).unwrap();
    assert_eq!(written["usageMetadata"]["candidatesTokenCount"], 50);
    assert_eq!(written["usageMetadata"]["totalTokenCount"], 53);
}
