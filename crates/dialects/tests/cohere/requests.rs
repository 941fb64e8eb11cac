//! Messages and tools of requests, from Cohere's clients to others and from others to Cohere.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Part, ToolKind};
use tollgate_dialects::cohere_chat::{decode_request, encode_request};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::support::{assert_json_eq, json as parse, target};
use super::{COHERE, translate};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

/// A request with everything the dialect has.
fn everything() -> Value {
    json!({
        "model": "command-a-03-2025",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
                {"type": "document", "document": {"id": "d", "data": {"text": "t"}}},
                {"type": "hologram", "hologram": 1},
            ]},
            {"role": "assistant", "tool_plan": "I will ask.", "citations": [{"start": 0, "end": 1, "text": "I"}],
                "content": [{"type": "thinking", "thinking": "hm"}],
                "tool_calls": [
                    {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1.50, \"a2\":12345678901234567890}"}},
                    {"id": "g_1", "type": "function", "function": {"name": "g", "arguments": ""}},
                ]},
            {"role": "tool", "tool_call_id": "f_1", "content": [
                {"type": "document", "document": {"id": "x", "data": {"n": 1}}}, {"type": "text", "text": "and"}]},
            {"role": "tool", "tool_call_id": "g_1", "content": "r"},
        ],
        "tools": [tool("f"), tool("g")],
        "strict_tools": true,
        "documents": ["plain", {"id": "1", "data": {"text": "t"}}],
        "citation_options": {"mode": "FAST"},
        "response_format": {"type": "json_object", "json_schema": {"type": "object", "b": 1, "a": 2}},
        "safety_mode": "STRICT",
        "max_tokens": 5,
        "stop_sequences": ["x", "y"],
        "temperature": 0.30,
        "seed": 7,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "k": 3,
        "p": 0.9,
        "logprobs": true,
        "tool_choice": "REQUIRED",
        "thinking": {"type": "enabled", "token_budget": 512},
        "priority": 3,
        "stream": true,
        "something_new": {"a": [1]},
        "nothing": null,
    })
}

#[test]
fn everything_a_request_may_say_comes_back_as_it_was() {
    let request = decode_request(&everything().to_string()).unwrap();
    let capabilities = Capabilities::default();
    let mut losses = Losses::new();
    let encoded = encode_request(&request, &target("other-model", &capabilities), &mut losses);
    let mut expected = everything();
    expected["model"] = "other-model".into();
    assert_json_eq(&parse(&encoded), &expected, "request");
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn numbers_and_schemas_keep_their_spelling() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"a"}],"temperature":0.30,"p":7e-1,"seed":12345678901234567890,"response_format":{"type":"json_object","json_schema":{"b": 1.0,"a":2}}}"#;
    let request = decode_request(body).unwrap();
    let capabilities = Capabilities::default();
    let out = encode_request(&request, &target("m", &capabilities), &mut Losses::new());
    let out = String::from_utf8(out).unwrap();
    for piece in [
        r#""temperature":0.30"#,
        r#""p":7e-1"#,
        r#""seed":12345678901234567890"#,
        r#""json_schema":{"b": 1.0,"a":2}"#,
    ] {
        assert!(out.contains(piece), "{piece} is not in {out}");
    }
}

#[test]
fn what_a_request_says_is_understood() {
    let request = decode_request(&everything().to_string()).unwrap();
    assert_eq!(request.stop, ["x", "y"]);
    assert_eq!(request.max_output_tokens, Some(5));
    assert_eq!(request.logprobs, Some(true));
    assert_eq!(request.stream, Some(true));
    for tool in &request.tools {
        assert!(matches!(
            tool.kind,
            ToolKind::Function {
                strict: Some(true),
                ..
            }
        ));
    }
    let kinds: Vec<&str> = request.messages[2]
        .parts
        .iter()
        .map(|part| match part {
            Part::Reasoning(reasoning) => reasoning.member.as_deref().unwrap(),
            Part::ToolCall(call) => &call.name,
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["tool_plan", "thinking", "f", "g"]);
}

#[test]
fn a_request_of_the_legacy_chat_is_refused_with_the_reason() {
    let error = decode_request(r#"{"model":"m","message":"hi","chat_history":[]}"#).unwrap_err();
    assert_eq!(error.path, "message");
    assert!(error.problem.contains("legacy Chat v1"), "{error}");
}

#[test]
fn wrong_requests_name_the_field() {
    for (body, path) in [
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (
            r#"{"model":"m","messages":[{"content":"a"}]}"#,
            "messages[0].role",
        ),
        (
            r#"{"model":"m","messages":[{"role":"USER","content":"a"}]}"#,
            "messages[0].role",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":1}]}"#,
            "messages[0].content",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "messages[0].content[0].text",
        ),
        (r#"{"model":"m","messages":[],"max_tokens":"5"}"#, "max_tokens"),
        (
            r#"{"model":"m","messages":[],"stop_sequences":"x"}"#,
            "stop_sequences",
        ),
        (
            r#"{"model":"m","messages":[],"response_format":{"json_schema":{}}}"#,
            "response_format.type",
        ),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{}}]}"#,
            "tools[0].function.name",
        ),
    ] {
        assert_eq!(decode_request(body).unwrap_err().path, path, "{body}");
    }
}

#[test]
fn calls_without_ids_get_stable_ones_and_their_results_find_them() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [
            {"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    ]});
    let (out, losses) = translate(COHERE, OPENAI, &body);
    let ids: Vec<&str> = (0..2)
        .map(|i| out["messages"][1]["tool_calls"][i]["id"].as_str().unwrap())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(out["messages"][2]["tool_call_id"], ids[0]);
    assert_eq!(out["messages"][3]["tool_call_id"], ids[1]);
    assert_eq!(translate(COHERE, OPENAI, &body).0, out);
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn parallel_results_stand_right_behind_their_calls_in_the_order_of_the_calls() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "both"},
            {"type": "tool_use", "id": "one", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "two", "name": "g", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "two", "content": "second"},
            {"type": "tool_result", "tool_use_id": "one", "content": [{"type": "text", "text": "first"}], "is_error": true},
            {"type": "text", "text": "go on"}]},
    ], "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"name": "g", "input_schema": {"type": "object"}}]});
    let (out, losses) = translate(ANTHROPIC, COHERE, &body);
    assert_eq!(losses, ["messages[2].content[1].is_error=approximated"]);
    assert_eq!(
        out["messages"],
        json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "both", "tool_calls": [
                {"id": "one", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                {"id": "two", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "one", "content": "first"},
            {"role": "tool", "tool_call_id": "two", "content": "second"},
            {"role": "user", "content": "go on"},
        ])
    );
}

#[test]
fn a_call_without_a_result_and_a_result_without_a_call_are_refused() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let open = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "b"}]});
    assert_eq!(
        translate(OPENAI, COHERE, &open).1,
        ["messages[1].tool_calls[0]=rejected"]
    );
    let stray = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "c", "content": "r"}]});
    assert_eq!(
        translate(OPENAI, COHERE, &stray).1,
        ["messages[1].tool_call_id=rejected"]
    );
}

#[test]
fn arguments_that_are_no_object_are_refused_and_missing_ones_are_an_empty_object() {
    for (arguments, expected) in [
        ("", Some("{}")),
        ("null", Some("{}")),
        ("{\"a\":", None),
        ("[1]", None),
    ] {
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}]});
        let (out, losses) = translate(OPENAI, COHERE, &body);
        match expected {
            Some(text) => {
                assert_eq!(out["messages"][1]["tool_calls"][0]["function"]["arguments"], text);
                assert!(losses.is_empty(), "{losses:?}");
            }
            None => assert_eq!(losses, ["messages[1].tool_calls[0].function.arguments=rejected"]),
        }
    }
}

#[test]
fn images_reach_the_user_message_and_other_files_are_refused() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]}]});
    let (out, losses) = translate(ANTHROPIC, COHERE, &body);
    assert_eq!(
        out["messages"][0]["content"],
        json!([
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "text", "text": "plain"},
        ])
    );
    assert_eq!(
        losses,
        [
            "messages[0].content[2]=approximated",
            "messages[0].content[2].title=dropped",
            "messages[0].content[3]=rejected",
            "messages[0].content[4]=rejected",
        ]
    );
}

#[test]
fn an_image_in_a_result_follows_the_results() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [
            {"type": "text", "text": "see"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]}]}]});
    let (out, losses) = translate(ANTHROPIC, COHERE, &body);
    assert_eq!(losses, ["messages[2].content[0].content[1]=approximated"]);
    assert_eq!(
        out["messages"][2],
        json!({"role": "tool", "tool_call_id": "c", "content": "see"})
    );
    assert_eq!(
        out["messages"][3],
        json!({"role": "user", "content": [
            {"type": "text", "text": "Result of f:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]})
    );
}

#[test]
fn documents_of_results_become_the_text_of_their_data() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": {"id": "d", "data": {"title": "T"}}}]}]});
    for to in [OPENAI, ANTHROPIC, GEMINI] {
        let (out, losses) = translate(COHERE, to, &body);
        assert!(out.to_string().contains("title"), "{to} {out}");
        assert!(
            losses.contains(&"messages[2].content[0].document=approximated".to_owned()),
            "{to} {losses:?}"
        );
    }
}

#[test]
fn strictness_is_a_switch_for_all_tools() {
    let strict = |name: &str, strict: Option<bool>| {
        let mut tool = tool(name);
        if let Some(strict) = strict {
            tool["function"]["strict"] = strict.into();
        }
        tool
    };
    let ask = |tools: Vec<Value>| {
        translate(
            OPENAI,
            COHERE,
            &json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": tools}),
        )
    };
    let (out, losses) = ask(vec![strict("f", Some(true)), strict("g", Some(true))]);
    assert_eq!((&out["strict_tools"], losses), (&Value::Bool(true), vec![]));
    let (out, losses) = ask(vec![strict("f", Some(false)), strict("g", None)]);
    assert_eq!((out.get("strict_tools"), losses), (None, vec![]));
    let (out, losses) = ask(vec![strict("f", None), strict("g", Some(true))]);
    assert_eq!(out["strict_tools"], true);
    assert_eq!(losses, ["tools[1].strict=approximated"]);
    let (out, _) = translate(
        COHERE,
        OPENAI,
        &json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": [tool("f")], "strict_tools": true}),
    );
    assert_eq!(out["tools"][0]["function"]["strict"], true);
}

#[test]
fn the_choice_among_tools_is_told_by_what_is_offered() {
    let ask = |choice: Value| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
            "tools": [tool("f"), tool("g")], "tool_choice": choice});
        let (out, losses) = translate(OPENAI, COHERE, &body);
        let tools: Vec<String> = out["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
            .collect();
        (out["tool_choice"].clone(), tools.join(" "), losses.join(" "))
    };
    let all = "f g".to_owned();
    assert_eq!(ask(json!("auto")), (Value::Null, all.clone(), String::new()));
    assert_eq!(ask(json!("none")), (json!("NONE"), all.clone(), String::new()));
    assert_eq!(ask(json!("required")), (json!("REQUIRED"), all, String::new()));
    assert_eq!(
        ask(json!({"type": "function", "function": {"name": "g"}})),
        (
            json!("REQUIRED"),
            "g".to_owned(),
            "tool_choice=approximated".to_owned()
        )
    );
    assert_eq!(
        ask(
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}})
        ),
        (Value::Null, "f".to_owned(), "tool_choice=approximated".to_owned())
    );
    let unknown = ask(json!({"type": "function", "function": {"name": "h"}}));
    assert_eq!(unknown.2, "tool_choice=rejected");
}

#[test]
fn choices_of_cohere_reach_the_others() {
    for (choice, openai, anthropic, gemini) in [
        ("REQUIRED", "required", "any", "ANY"),
        ("NONE", "none", "none", "NONE"),
    ] {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}],
            "tools": [tool("f")], "tool_choice": choice});
        assert_eq!(translate(COHERE, OPENAI, &body).0["tool_choice"], openai);
        assert_eq!(
            translate(COHERE, ANTHROPIC, &body).0["tool_choice"]["type"],
            anthropic
        );
        let (out, _) = translate(COHERE, GEMINI, &body);
        assert_eq!(out["toolConfig"]["functionCallingConfig"]["mode"], gemini);
    }
}

#[test]
fn tools_without_parameters_get_a_schema_and_odd_names_come_back() {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "tools": [{"functionDeclarations": [{"name": "ns.f:1"}]}]});
    let (out, losses) = translate(GEMINI, COHERE, &body);
    let sent = out["tools"][0]["function"]["name"].as_str().unwrap();
    assert!(
        sent.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'),
        "{sent}"
    );
    assert_eq!(losses, ["tools[].functionDeclarations[0].name=approximated"]);
    assert_eq!(
        out["tools"][0]["function"]["parameters"],
        json!({"type": "object", "properties": {}})
    );
}

#[test]
fn tools_that_only_another_provider_has_are_refused() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
        "tools": [{"type": "custom", "custom": {"name": "c"}}, {"type": "web_search"}]});
    assert_eq!(
        translate(OPENAI, COHERE, &body).1,
        ["tools[0]=rejected", "tools[1]=rejected"]
    );
}

#[test]
fn empty_messages_are_left_out_and_system_messages_stay_where_they_are() {
    let body = json!({"model": "m", "messages": [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "a", "name": "ann"},
        {"role": "assistant", "content": ""},
        {"role": "system", "content": "s"},
        {"role": "user", "content": "b"}]});
    let (out, losses) = translate(OPENAI, COHERE, &body);
    assert_eq!(
        out["messages"],
        json!([
            {"role": "system", "content": "d"},
            {"role": "user", "content": "a"},
            {"role": "system", "content": "s"},
            {"role": "user", "content": "b"},
        ])
    );
    assert_eq!(losses, ["messages[1].name=dropped", "messages[2]=approximated"]);
}

#[test]
fn reasoning_of_another_maker_is_left_out_and_told() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "secret thought", "signature": "EqQB"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"}]});
    let (out, losses) = translate(ANTHROPIC, COHERE, &body);
    assert!(!out.to_string().contains("secret"), "{out}");
    assert_eq!(losses, ["messages[1].content[0]=dropped"]);
}

#[test]
fn losses_toward_others_are_named_as_coheres_clients_write_them() {
    let mut body = everything();
    body["messages"][1]["content"].as_array_mut().unwrap().pop();
    for to in [OPENAI, ANTHROPIC, GEMINI] {
        let (_, losses) = translate(COHERE, to, &body);
        for expected in [
            "documents=rejected",
            "safety_mode=rejected",
            "citation_options=dropped",
            "priority=dropped",
            "something_new=dropped",
            "messages[2].citations=dropped",
            "messages[2].tool_plan=dropped",
            "messages[2].content[0]=dropped",
        ] {
            assert!(
                losses.contains(&expected.to_owned()),
                "{to}: {expected} is not in {losses:?}"
            );
        }
        let named = |loss: &String| {
            let field = loss.split('=').next().unwrap();
            let top = field.split(['.', '[']).next().unwrap();
            body.get(top).is_some()
        };
        assert!(losses.iter().all(named), "{to}: {losses:?}");
    }
}

#[test]
fn options_that_ask_for_nothing_special_are_no_loss() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}],
        "documents": [], "citation_options": {"mode": "OFF"}, "priority": 0, "safety_mode": null, "strict_tools": false,
        "tools": [], "stop_sequences": []});
    for to in [OPENAI, ANTHROPIC, GEMINI] {
        let (_, losses) = translate(COHERE, to, &body);
        assert!(losses.is_empty(), "{to} {losses:?}");
    }
}
