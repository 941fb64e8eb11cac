//! Requests: what Google takes, and what becomes of requests of other dialects.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Part, Thinking, ToolChoice};
use tollgate_dialects::gemini::decode_request;
use tollgate_dialects::{Capabilities, Dialect};

use super::{asks, decoded, translate, translate_for};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

#[test]
fn both_spellings_and_single_objects_are_read() {
    let request = decoded(json!({
        "model": "models/gemini-x",
        "system_instruction": {"parts": {"text": "be brief"}},
        "contents": {"parts": [{"text": "hi"}]},
        "generation_config": {"max_output_tokens": "100", "top_k": 40.0, "thinking_config": {"thinking_budget": -1}},
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f", "g"]}},
        "service_tier": "FLEX",
    }));
    assert_eq!(request.model, "gemini-x");
    assert_eq!(request.messages.len(), 2);
    assert_eq!(request.max_output_tokens, Some(100));
    assert_eq!(request.top_k.unwrap().text(), "40.0");
    assert!(matches!(
        request.reasoning.unwrap().thinking,
        Some(Thinking::Adaptive { .. })
    ));
    let names = vec!["f".to_owned(), "g".to_owned()];
    assert_eq!(
        request.tool_choice,
        Some(ToolChoice::Allowed {
            names,
            required: true
        })
    );
    assert_eq!(request.service_tier.as_deref(), Some("FLEX"));
}

#[test]
fn what_is_no_request_is_refused_with_the_field() {
    for (request, path) in [
        (json!({}), "contents"),
        (json!({"contents": 1}), "contents"),
        (
            json!({"contents": [{"role": "assistant", "parts": []}]}),
            "contents[0].role",
        ),
        (json!({"contents": [{"role": 1}]}), "contents[0].role"),
        (
            json!({"contents": [{"parts": [{"text": 1}]}]}),
            "contents[0].parts[0].text",
        ),
        (
            json!({"contents": [{"parts": [{"functionCall": 1}]}]}),
            "contents[0].parts[0].functionCall",
        ),
        (
            json!({"contents": [], "tools": [{"functionDeclarations": [{}]}]}),
            "tools[0].functionDeclarations[0].name",
        ),
        (
            json!({"contents": [], "generationConfig": {"thinkingConfig": {"thinkingBudget": "x"}}}),
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (
            json!({"contents": [], "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}),
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            json!({"contents": [], "system_instruction": {}, "systemInstruction": {}}),
            "systemInstruction",
        ),
    ] {
        let error = decode_request(&request.to_string()).unwrap_err();
        assert_eq!(error.path, path, "{request}: {error}");
    }
}

#[test]
fn modes_of_calling_are_choices() {
    let choice = |config: Value| {
        decoded(json!({"contents": [], "toolConfig": {"functionCallingConfig": config}})).tool_choice
    };
    let allowed = |required| {
        Some(ToolChoice::Allowed {
            names: vec!["f".to_owned()],
            required,
        })
    };
    assert_eq!(choice(json!({"mode": "AUTO"})), Some(ToolChoice::Auto));
    assert_eq!(choice(json!({"mode": "none"})), Some(ToolChoice::None));
    assert_eq!(choice(json!({"mode": "ANY"})), Some(ToolChoice::Required));
    assert_eq!(
        choice(json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
        Some(ToolChoice::Function("f".to_owned()))
    );
    assert_eq!(choice(json!({"mode": "VALIDATED"})), Some(ToolChoice::Auto));
    assert_eq!(
        choice(json!({"mode": "VALIDATED", "allowedFunctionNames": ["f"]})),
        allowed(false)
    );
    assert_eq!(choice(json!({"mode": "MODE_UNSPECIFIED"})), None);
    assert_eq!(choice(json!({})), None);
}

#[test]
fn choices_of_other_dialects_are_modes() {
    let tools = json!([
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "g", "strict": true}},
    ]);
    let config = |choice: Value| {
        let request = json!({"model": "m", "messages": asks("hi"), "tools": tools, "tool_choice": choice});
        let (written, losses) = translate(OPENAI, GEMINI, &request);
        assert_eq!(losses, [""; 0], "{choice}");
        written["toolConfig"]["functionCallingConfig"].clone()
    };
    // A strict tool asks for arguments that are bound to their schema.
    assert_eq!(config(json!("auto")), json!({"mode": "VALIDATED"}));
    assert_eq!(config(json!("none")), json!({"mode": "NONE"}));
    assert_eq!(config(json!("required")), json!({"mode": "ANY"}));
    assert_eq!(
        config(json!({"type": "function", "function": {"name": "g"}})),
        json!({"mode": "ANY", "allowedFunctionNames": ["g"]})
    );
    let some = |mode: &str| {
        json!({"type": "allowed_tools", "allowed_tools":
            {"mode": mode, "tools": [{"type": "function", "function": {"name": "f"}}]}})
    };
    assert_eq!(
        config(some("required")),
        json!({"mode": "ANY", "allowedFunctionNames": ["f"]})
    );
    assert_eq!(
        config(some("auto")),
        json!({"mode": "VALIDATED", "allowedFunctionNames": ["f"]})
    );
}

#[test]
fn a_subset_of_tools_reaches_openai_as_allowed_tools() {
    let declarations = json!([{"name": "f"}, {"name": "g"}, {"name": "h"}]);
    let request = json!({"model": "m", "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "tools": [{"functionDeclarations": declarations}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}}});
    let (written, losses) = translate(GEMINI, OPENAI, &request);
    assert_eq!(losses, [""; 0]);
    assert_eq!(written["tool_choice"]["type"], "allowed_tools");
    assert_eq!(written["tool_choice"]["allowed_tools"]["mode"], "required");
    assert_eq!(
        written["tool_choice"]["allowed_tools"]["tools"][1]["function"]["name"],
        "g"
    );
    let (written, losses) = translate(GEMINI, ANTHROPIC, &request);
    assert_eq!(losses.len(), 2, "{losses:?}");
    assert_eq!(losses[0], "toolConfig.functionCallingConfig=approximated");
    assert_eq!(written["tools"].as_array().unwrap().len(), 2);
}

#[test]
fn a_conversation_of_openai_becomes_contents() {
    let request = json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png?x"}},
        ]},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1.50}"}},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        {"role": "tool", "tool_call_id": "call_1", "content": "{\"b\": 2.0}"},
        {"role": "user", "content": "and?"},
    ]});
    let (written, losses) = translate(OPENAI, GEMINI, &request);
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        written["systemInstruction"],
        json!({"parts": [{"text": "be brief"}]})
    );
    assert_eq!(
        written["contents"],
        json!([
            {"role": "user", "parts": [
                {"text": "what is this?"},
                {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png?x"}},
            ]},
            {"role": "model", "parts": [
                {"text": "I look."},
                {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1.5}}},
                {"functionCall": {"id": "call_2", "name": "g", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "call_1", "name": "f", "response": {"b": 2.0}}},
                {"functionResponse": {"id": "call_2", "name": "g", "response": {"result": "two"}}},
            ]},
            {"role": "user", "parts": [{"text": "and?"}]},
        ])
    );
}

#[test]
fn arguments_and_results_are_not_written_anew() {
    let request = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"n\": 12345678901234567890.10}"}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "{\"m\": 1e400}"},
    ]});
    let request = tollgate_dialects::codec::decode_request(OPENAI, &request.to_string()).unwrap();
    let capabilities = Capabilities::default();
    let body = tollgate_dialects::codec::encode_request(
        GEMINI,
        &request,
        &super::target("m", &capabilities),
        &mut tollgate_dialects::Losses::new(),
    );
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains(r#""args":{"n": 12345678901234567890.10}"#),
        "{body}"
    );
    assert!(body.contains(r#""response":{"m": 1e400}"#), "{body}");
}

#[test]
fn a_conversation_of_anthropic_becomes_contents() {
    let request = json!({"model": "m", "max_tokens": 10, "system": "be brief", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "anthropics own"},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
            {"type": "text", "text": "b"},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                {"type": "text", "text": "broken"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ]},
            {"type": "text", "text": "why?"},
        ]},
    ]});
    let (written, losses) = translate(ANTHROPIC, GEMINI, &request);
    assert_eq!(
        losses,
        [
            "messages[1].content[0]=dropped",
            "messages[2].content[0].content[1]=approximated"
        ]
    );
    assert_eq!(
        written["contents"],
        json!([
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [
                {"text": "a"}, {"functionCall": {"id": "t1", "name": "f", "args": {}}}, {"text": "b"},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "t1", "name": "f", "response": {"error": "broken"}}},
            ]},
            {"role": "user", "parts": [
                {"text": "Result of f:"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            ]},
            {"role": "user", "parts": [{"text": "why?"}]},
        ])
    );
}

#[test]
fn calls_and_results_without_ids_get_the_same_ids_in_every_turn() {
    let turns = json!([
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "f", "args": {"a": 1}}},
            {"functionCall": {"name": "f", "args": {"a": 2}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "f", "response": {"result": "one"}}},
            {"functionResponse": {"name": "f", "response": {"result": "two"}}},
        ]},
        {"role": "model", "parts": [{"text": "done"}]},
        {"role": "user", "parts": [{"text": "thanks"}]},
    ]);
    let written = |contents: &[Value]| {
        let (written, losses) = translate(GEMINI, OPENAI, &json!({"model": "m", "contents": contents}));
        assert_eq!(losses, [""; 0]);
        written["messages"].clone()
    };
    let turns = turns.as_array().unwrap();
    let (short, long) = (written(&turns[..3]), written(turns));
    for i in 0..4 {
        assert_eq!(short[i], long[i]);
    }
    let calls = &long[1]["tool_calls"];
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert_eq!(long[2]["tool_call_id"], calls[0]["id"]);
    assert_eq!(long[2]["content"], "one");
    assert_eq!(long[3]["tool_call_id"], calls[1]["id"]);
    // Gemini never sees an id that it did not write.
    let request = json!({"model": "m", "messages": long});
    let (back, _) = translate(OPENAI, GEMINI, &request);
    assert_eq!(
        back["contents"][1]["parts"][0]["functionCall"],
        turns[1]["parts"][0]["functionCall"]
    );
    assert_eq!(
        back["contents"][2]["parts"][1]["functionResponse"],
        turns[2]["parts"][1]["functionResponse"]
    );
}

#[test]
fn calls_and_results_must_belong_together() {
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, call, {"role": "user", "content": "b"}]});
    let (_, losses) = translate(OPENAI, GEMINI, &request);
    assert_eq!(losses, ["messages[1].tool_calls[0]=rejected"]);
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "a"},
        {"role": "tool", "tool_call_id": "other", "content": "x"}]});
    let (_, losses) = translate(OPENAI, GEMINI, &request);
    assert_eq!(losses, ["messages[1].tool_call_id=rejected"]);
}

#[test]
fn models_that_demand_a_signature_get_the_documented_one_for_calls_of_others() {
    let request = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]});
    let (written, _) = translate_for(
        OPENAI,
        GEMINI,
        &request,
        &Capabilities::of("gemini-3-flash-preview"),
    );
    let parts = &written["contents"][1]["parts"];
    assert_eq!(
        parts[0]["thoughtSignature"],
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
    );
    assert_eq!(parts[1].get("thoughtSignature"), None);
    let (written, _) = translate_for(OPENAI, GEMINI, &request, &Capabilities::of("gemini-2.5-flash"));
    assert_eq!(written["contents"][1]["parts"][0].get("thoughtSignature"), None);
}

#[test]
fn signatures_in_googles_own_form_for_openai_clients_are_taken() {
    let request = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
             "extra_content": {"google": {"thought_signature": "Ci8="}}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]});
    let (written, losses) = translate(OPENAI, GEMINI, &request);
    assert_eq!(losses, [""; 0]);
    assert_eq!(written["contents"][1]["parts"][0]["thoughtSignature"], "Ci8=");
}

#[test]
fn losses_are_told_where_they_stood_in_a_gemini_request() {
    let request = json!({"model": "m",
        "systemInstruction": {"parts": [{"text": "x"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}, {"fileData": {"fileUri": "gs://bucket/a.mp4", "mimeType": "video/mp4"}}]},
            {"role": "model", "parts": [{"text": "a", "thoughtSignature": "AAAA"}, {"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"text": "b"}]},
        ],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}],
        "cachedContent": "cachedContents/1",
        "generationConfig": {"topK": 3, "candidateCount": 2, "responseModalities": ["TEXT", "IMAGE"], "mediaResolution": "X"},
        "tools": [{"googleSearch": {}}]});
    let (_, losses) = translate(GEMINI, ANTHROPIC, &request);
    for expected in [
        "contents[0].parts[1]=rejected",
        "contents[1].parts[1]=rejected",
        "safetySettings=rejected",
        "cachedContent=rejected",
        "generationConfig.candidateCount=rejected",
        "generationConfig.responseModalities=rejected",
        "generationConfig.mediaResolution=dropped",
        "tools[].googleSearch=rejected",
    ] {
        assert!(losses.contains(&expected.to_owned()), "{expected}: {losses:?}");
    }
    let (_, losses) = translate(GEMINI, OPENAI, &request);
    for expected in [
        "generationConfig.topK=approximated",
        "contents[0].parts[1].fileData=rejected",
        "contents[1].parts[0].thoughtSignature=dropped",
    ] {
        assert!(losses.contains(&expected.to_owned()), "{expected}: {losses:?}");
    }
}

#[test]
fn sampling_options_are_the_same_at_openai() {
    let config = json!({"temperature": 0.5, "topP": 0.9, "candidateCount": 2, "seed": 7, "presencePenalty": 0.5,
        "frequencyPenalty": -0.5, "responseLogprobs": true, "logprobs": 3, "maxOutputTokens": 9, "stopSequences": ["x"]});
    let request = json!({"model": "m", "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": config});
    let (written, losses) = translate(GEMINI, OPENAI, &request);
    assert_eq!(losses, [""; 0]);
    for (name, value) in [
        ("n", json!(2)),
        ("seed", json!(7)),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(-0.5)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
    ] {
        assert_eq!(written[name], value, "{name}");
    }
    let (back, losses) = translate(OPENAI, GEMINI, &written);
    assert_eq!(losses, [""; 0]);
    assert_eq!(back["generationConfig"], config);
}

#[test]
fn reasoning_of_other_makers_never_reaches_gemini() {
    let request = json!({"model": "m", "contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        // The envelope of Anthropic's block, as a client got it before.
        {"role": "model", "parts": [{"text": "hm", "thought": true, "thoughtSignature":
            "dG9sbGdhdGU6c2lnbmVkOjM6YWJjOmFudGhyb3BpY19tZXNzYWdlczo6Y2xhdWRl"}, {"text": "a"}]},
        {"role": "user", "parts": [{"text": "b"}]},
    ]});
    let (written, losses) = translate(GEMINI, GEMINI, &request);
    assert_eq!(losses, ["contents[1].parts[0]=dropped"]);
    assert_eq!(written["contents"][1]["parts"], json!([{"text": "a"}]));
    let (written, losses) = translate(GEMINI, ANTHROPIC, &request);
    assert_eq!(
        losses,
        ["max_tokens=approximated"].map(|_| "generationConfig.maxOutputTokens=approximated")
    );
    assert_eq!(
        written["messages"][1]["content"][0],
        json!({"type": "thinking", "thinking": "hm", "signature": "abc"})
    );
}

#[test]
fn parts_of_unknown_kinds_stay_whole() {
    let part = json!({"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "AAAA"});
    let request = decoded(json!({"contents": [{"role": "model", "parts": [part, {"somethingNew": {}}]}]}));
    for part in &request.messages[0].parts {
        assert!(
            matches!(
                part,
                Part::Opaque {
                    dialect: Dialect::Gemini,
                    ..
                }
            ),
            "{part:?}"
        );
    }
}
