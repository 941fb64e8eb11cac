//! Requests of OpenAI clients, written for this dialect: one test per rule.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{json, target};
use serde_json::{Value, json};
use tollgate_dialects::anthropic_messages::{decode_request, encode_request};
use tollgate_dialects::canonical::{Effort, Part};
use tollgate_dialects::{Capabilities, Effect, Losses, Target, openai_chat};

/// A model that takes everything, and thinks only if told to.
fn model() -> Capabilities {
    Capabilities {
        adaptive_thinking: false,
        max_output_tokens: Some(64_000),
        ..Capabilities::default()
    }
}

/// Translates an OpenAI request; the losses as `field=effect`.
#[track_caller]
fn translate_for(capabilities: &Capabilities, request: Value) -> (Value, Vec<String>) {
    let mut whole = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in request.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let request = openai_chat::decode_request(&whole.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = encode_request(&request, &target("claude", capabilities), &mut losses);
    (
        json(body),
        losses
            .iter()
            .map(|loss| format!("{}={}", loss.field, loss.effect.name()))
            .collect(),
    )
}

#[track_caller]
fn translate(request: Value) -> (Value, Vec<String>) {
    translate_for(&model(), request)
}

/// The messages, when nothing may be lost.
#[track_caller]
fn messages(messages: Value) -> Value {
    let (body, losses) = translate(json!({"messages": messages}));
    assert_eq!(losses, NONE);
    body["messages"].clone()
}

#[track_caller]
fn lost(request: Value) -> Vec<String> {
    translate(request).1
}

const NONE: [&str; 0] = [];

#[test]
fn a_plain_request_stays_plain() {
    let (body, losses) = translate(json!({"stream": true, "max_tokens": 10}));
    assert_eq!(losses, NONE);
    let expected = json!({
        "model": "claude", "max_tokens": 10, "stream": true,
        "messages": [{"role": "user", "content": "hi"}],
    });
    assert_eq!(body, expected);
}

#[test]
fn max_tokens_comes_from_the_request_then_the_route_then_the_model() {
    let request = |extra: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{extra}}}"#);
        openai_chat::decode_request(&body).unwrap()
    };
    let max_tokens = |extra: &str, route: Option<u64>, most: Option<u64>| {
        let capabilities = Capabilities {
            max_output_tokens: most,
            ..Capabilities::default()
        };
        let target = Target {
            model: "m",
            capabilities: &capabilities,
            default_max_output_tokens: route,
        };
        let mut losses = Losses::new();
        let body = json(encode_request(&request(extra), &target, &mut losses));
        (
            body["max_tokens"].as_u64().unwrap(),
            losses.iter().map(|loss| loss.effect).collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        max_tokens(r#","max_completion_tokens":7"#, Some(5), Some(6)),
        (7, vec![])
    );
    assert_eq!(max_tokens(r#","max_tokens":7"#, Some(5), Some(6)), (7, vec![]));
    assert_eq!(max_tokens("", Some(5), Some(6)), (5, vec![]));
    assert_eq!(max_tokens("", None, Some(6)), (6, vec![]));
    assert_eq!(max_tokens("", None, None), (8192, vec![Effect::Approximated]));
}

#[test]
fn leading_system_and_developer_messages_become_the_system_prompt() {
    let (body, losses) = translate(json!({"messages": [
        {"role": "system", "content": "one"},
        {"role": "user", "content": "hi"},
    ]}));
    assert_eq!((&body["system"], losses), (&json!("one"), vec![]));
    let (body, losses) = translate(json!({"messages": [
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [
            {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": ""},
        ]},
        {"role": "user", "content": "hi"},
    ]}));
    assert_eq!(losses, NONE);
    assert_eq!(
        body["system"],
        json!([
            {"type": "text", "text": "one"},
            {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
        ])
    );
    assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn a_later_system_message_stays_in_its_place() {
    let conversation = json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "system", "content": "c"},
        {"role": "user", "content": "d"},
    ]});
    let (body, losses) = translate(conversation.clone());
    assert_eq!(losses, ["messages[2]=approximated"]);
    assert_eq!(body.get("system"), None);
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [
            {"type": "text", "text": "[system] c"}, {"type": "text", "text": "d"},
        ]})
    );
    let newer = Capabilities {
        mid_conversation_system: true,
        ..model()
    };
    let (body, losses) = translate_for(&newer, conversation);
    assert_eq!(losses, NONE);
    assert_eq!(body["messages"][2], json!({"role": "system", "content": "c"}));
    assert_eq!(body["messages"][3], json!({"role": "user", "content": "d"}));
}

#[test]
fn neighbouring_messages_of_one_role_are_joined() {
    let joined = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]));
    assert_eq!(
        joined,
        json!([
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
        ])
    );
}

#[test]
fn tool_results_and_the_user_text_after_them_become_one_message_in_the_order_of_the_calls() {
    let function = |name: &str| json!({"type": "function", "function": {"name": name}});
    let (body, losses) = translate(json!({"tools": [function("f"), function("g")], "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1.00}"}},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "one"}]},
        {"role": "user", "content": "and?"},
    ]}));
    assert_eq!(losses, NONE);
    let joined = &body["messages"];
    assert_eq!(
        joined[1],
        json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1.0}},
            {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
        ]})
    );
    assert_eq!(
        joined[2],
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
            {"type": "tool_result", "tool_use_id": "call_2", "content": "two"},
            {"type": "text", "text": "and?"},
        ]})
    );
    assert_eq!(joined.as_array().unwrap().len(), 3);
}

#[test]
fn arguments_are_written_byte_by_byte() {
    let request = r#"{"model":"m","tools":[{"type":"function","function":{"name":"f","parameters":{ "type":"object", "x":1e400 }}}],
        "messages":[{"role":"user","content":"q"},
        {"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"n\": 12345678901234567890.10, \"b\":1,\"a\":2}"}}]},
        {"role":"tool","tool_call_id":"c","content":"r"}]}"#;
    let request = openai_chat::decode_request(request).unwrap();
    let capabilities = model();
    let body = encode_request(&request, &target("claude", &capabilities), &mut Losses::new());
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains(r#""input":{"n": 12345678901234567890.10, "b":1,"a":2}"#),
        "{body}"
    );
    assert!(
        body.contains(r#""input_schema":{ "type":"object", "x":1e400 }"#),
        "{body}"
    );
}

fn call(id: &str) -> Value {
    json!({"role": "assistant", "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "r"})
}

fn user() -> Value {
    json!({"role": "user", "content": "q"})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])
}

#[test]
fn a_call_without_result_and_a_result_without_call_are_rejected() {
    let lost = |messages: Value| lost(json!({"messages": messages, "tools": tools()}));
    assert_eq!(lost(json!([user(), call("a"), result("a")])), NONE);
    assert_eq!(
        lost(json!([user(), call("a"), user()])),
        ["messages[1].tool_calls[0]=rejected"]
    );
    assert_eq!(
        lost(json!([user(), call("a")])),
        ["messages[1].tool_calls[0]=rejected"]
    );
    assert_eq!(
        lost(json!([user(), result("a")])),
        ["messages[1].tool_call_id=rejected"]
    );
    assert_eq!(
        lost(json!([user(), call("a"), result("a"), result("a")])),
        ["messages[3].tool_call_id=rejected"]
    );
    assert_eq!(
        lost(json!([user(), call("a"), result("b")])),
        [
            "messages[2].tool_call_id=rejected",
            "messages[1].tool_calls[0]=rejected"
        ]
    );
}

#[test]
fn ids_that_do_not_fit_or_stand_twice_are_mapped_alike_on_both_sides() {
    let (body, losses) = translate(json!({"tools": tools(), "messages": [
        user(), call("call.1:a"), result("call.1:a"), call("same"), result("same"), call("same"), result("same"), call(""), result(""),
    ]}));
    assert_eq!(losses, NONE);
    let id = |i: usize, member: &str| {
        body["messages"][i]["content"][0][member]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut seen = std::collections::HashSet::new();
    for i in (1..9).step_by(2) {
        let call_id = id(i, "id");
        assert_eq!(call_id, id(i + 1, "tool_use_id"));
        assert!(
            call_id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
                && !call_id.is_empty()
        );
        assert!(seen.insert(call_id.clone()), "{call_id}");
    }
    assert_eq!(id(3, "id"), "same");
}

#[test]
fn arguments_that_are_no_object_are_rejected() {
    for arguments in ["{\"a\":", "[1]", "null", "\"x\""] {
        let mut message = call("a");
        message["tool_calls"][0]["function"]["arguments"] = arguments.into();
        let losses = lost(json!({"tools": tools(), "messages": [user(), message, result("a")]}));
        assert_eq!(
            losses,
            ["messages[1].tool_calls[0].function.arguments=rejected"],
            "{arguments}"
        );
    }
}

#[test]
fn functions_from_before_tools_existed_become_tools() {
    let (body, losses) = translate(json!({
        "functions": [{"name": "f", "parameters": {"type": "object", "properties": {}}}],
        "function_call": {"name": "f"},
        "messages": [
            user(),
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ],
    }));
    assert_eq!(losses, NONE);
    assert_eq!(body["tools"][0]["name"], "f");
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "f"}));
    let id = &body["messages"][1]["content"][0]["id"];
    assert_eq!(&body["messages"][2]["content"][0]["tool_use_id"], id);
}

#[test]
fn texts_without_content_are_never_sent() {
    let written = messages(json!([
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]},
    ]));
    assert_eq!(written, json!([{"role": "user", "content": "a"}]));
    let (body, losses) = translate(json!({"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": ""}, {"role": "user", "content": " \n"},
    ]}));
    assert_eq!(
        losses,
        [
            "messages[1]=approximated",
            "messages[2].content=approximated",
            "messages[2]=approximated"
        ]
    );
    assert_eq!(body["messages"], json!([{"role": "user", "content": "a"}]));
    assert_eq!(lost(json!({"messages": []})), ["messages=rejected"]);
}

#[test]
fn a_begun_answer_is_continued_only_where_the_model_does() {
    let conversation = json!({"messages": [user(), {"role": "assistant", "content": "Once upon \n"}]});
    let (body, losses) = translate(conversation.clone());
    assert_eq!(losses, ["messages[1]=approximated"]);
    assert_eq!(
        body["messages"][1],
        json!({"role": "assistant", "content": "Once upon"})
    );
    let newer = Capabilities {
        assistant_prefill: false,
        ..model()
    };
    assert_eq!(translate_for(&newer, conversation).1, ["messages[1]=rejected"]);
}

#[test]
fn names_refusals_and_foreign_reasoning() {
    let (body, losses) = translate(json!({"messages": [
        {"role": "user", "name": "bob", "content": "q"},
        {"role": "assistant", "content": null, "refusal": "I will not."},
        {"role": "user", "content": "why"},
        {"role": "assistant", "content": "b", "reasoning_content": "hm"},
        {"role": "user", "content": "ok"},
    ]}));
    assert_eq!(
        losses,
        [
            "messages[0].name=dropped",
            "messages[3].reasoning_content=dropped"
        ]
    );
    assert_eq!(
        body["messages"][1],
        json!({"role": "assistant", "content": "I will not."})
    );
    assert_eq!(body["messages"][3], json!({"role": "assistant", "content": "b"}));
    assert!(!body.to_string().contains("hm"));
}

#[test]
fn tools_get_a_schema_and_keep_strict() {
    let (body, losses) = translate(json!({"tools": [
        {"type": "function", "function": {"name": "a", "description": "d", "strict": true}},
        {"type": "function", "function": {"name": "b", "parameters": {"properties": {"x": {}}}}},
        {"type": "function", "function": {"name": "c", "parameters": {}}},
    ]}));
    assert_eq!(losses, NONE);
    assert_eq!(
        body["tools"],
        json!([
            {"name": "a", "description": "d", "input_schema": {"type": "object", "properties": {}}, "strict": true},
            {"name": "b", "input_schema": {"type": "object", "properties": {"x": {}}}},
            {"name": "c", "input_schema": {"type": "object"}},
        ])
    );
}

#[test]
fn tools_that_cannot_be_expressed_are_rejected() {
    let function = |name: &str, parameters: Value| {
        lost(json!({"tools": [{"type": "function", "function": {"name": name, "parameters": parameters}}]}))
    };
    assert_eq!(
        function("a.b", json!({"type": "object"})),
        ["tools[0].function.name=rejected"]
    );
    assert_eq!(
        function("a", json!({"type": "array"})),
        ["tools[0].function.parameters=rejected"]
    );
    assert_eq!(
        lost(json!({"tools": [{"type": "custom", "custom": {"name": "c"}}]})),
        ["tools[0]=rejected"]
    );
    assert_eq!(
        lost(json!({"tools": [{"type": "web_search"}]})),
        ["tools[0]=rejected"]
    );
}

#[test]
fn the_tool_choice_is_translated() {
    let choice = |choice: Value, parallel: Value| {
        let (body, losses) =
            translate(json!({"tools": tools(), "tool_choice": choice, "parallel_tool_calls": parallel}));
        assert_eq!(losses, NONE);
        body["tool_choice"].clone()
    };
    assert_eq!(choice(json!("auto"), json!(null)), json!({"type": "auto"}));
    assert_eq!(choice(json!("required"), json!(true)), json!({"type": "any"}));
    assert_eq!(choice(json!("none"), json!(false)), json!({"type": "none"}));
    assert_eq!(
        choice(
            json!({"type": "function", "function": {"name": "f"}}),
            json!(false)
        ),
        json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true})
    );
    assert_eq!(
        choice(json!(null), json!(false)),
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(choice(json!(null), json!(null)), json!(null));
}

#[test]
fn an_allowed_subset_filters_the_tools() {
    let request = |names: &[&str]| {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let allowed: Vec<Value> = names.iter().map(|name| tool(name)).collect();
        translate(json!({"tools": [tool("a"), tool("b")], "tool_choice": {
            "type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed},
        }}))
    };
    let (body, losses) = request(&["b"]);
    assert_eq!(losses, ["tool_choice=approximated"]);
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&body["tools"][0]["name"], &body["tool_choice"]["type"]),
        (&json!("b"), &json!("any"))
    );
    assert_eq!(request(&["c"]).1, ["tool_choice=rejected"]);
}

#[test]
fn a_forced_call_is_rejected_where_the_model_takes_none() {
    let forced = json!({"tools": tools(), "tool_choice": "required"});
    let newest = Capabilities {
        forced_tool_use: false,
        ..model()
    };
    assert_eq!(translate_for(&newest, forced.clone()).1, ["tool_choice=rejected"]);
    let mut thinking = forced;
    thinking["reasoning_effort"] = "high".into();
    assert_eq!(lost(thinking), ["tool_choice=rejected"]);
    assert_eq!(lost(json!({"tool_choice": "required"})), ["tool_choice=rejected"]);
}

#[test]
fn tools_of_the_history_are_defined_again_and_not_called() {
    let (body, losses) = translate(json!({"messages": [user(), call("a"), result("a")]}));
    assert_eq!(losses, ["tools=approximated"]);
    assert_eq!(
        body["tools"],
        json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}])
    );
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
}

#[test]
fn images_and_documents() {
    let part = |part: Value| {
        let (body, losses) = translate(json!({"messages": [{"role": "user", "content": [part]}]}));
        (body["messages"][0]["content"][0].clone(), losses)
    };
    let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url, "detail": "auto"}}));
    let base64 = |media_type: &str| json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": "QUJD"}});
    assert_eq!(image("data:image/png;base64,QUJD"), (base64("image/png"), vec![]));
    assert_eq!(
        image("data:image/jpg;base64,QUJD"),
        (base64("image/jpeg"), vec![])
    );
    assert_eq!(
        image("https://example.com/a.png"),
        (
            json!({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
            vec![]
        )
    );
    let first = "messages[0].content[0]";
    assert!(
        image("data:image/bmp;base64,QUJD")
            .1
            .contains(&format!("{first}=rejected"))
    );
    assert!(
        image("file:///etc/passwd")
            .1
            .contains(&format!("{first}=rejected"))
    );
    let detailed = part(json!({"type": "image_url", "image_url": {"url": "https://a/b", "detail": "high"}}));
    assert_eq!(detailed.1, [format!("{first}.image_url.detail=dropped")]);

    let file = |file: Value| part(json!({"type": "file", "file": file}));
    assert_eq!(
        file(json!({"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"})),
        (
            json!({"type": "document", "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}}),
            vec![]
        )
    );
    assert_eq!(
        file(json!({"file_data": "data:text/plain;base64,w6Q=", "filename": "a.txt"})),
        (
            json!({"type": "document", "title": "a.txt",
            "source": {"type": "text", "media_type": "text/plain", "data": "ä"}}),
            vec![]
        )
    );
    assert!(
        file(json!({"file_id": "file-1"}))
            .1
            .contains(&format!("{first}=rejected"))
    );
    let audio = part(json!({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}));
    assert!(audio.1.contains(&format!("{first}=rejected")));
}

#[test]
fn sampling_is_brought_into_range() {
    let sampling = |capabilities: &Capabilities, request: Value| {
        let (body, losses) = translate_for(capabilities, request);
        (body["temperature"].clone(), body["top_p"].clone(), losses)
    };
    let null = Value::Null;
    let older = model();
    assert_eq!(
        sampling(&older, json!({"temperature": 0})),
        (json!(0), null.clone(), vec![])
    );
    assert_eq!(
        sampling(&older, json!({"temperature": 1.4})),
        (json!(1), null.clone(), vec!["temperature=approximated".into()])
    );
    assert_eq!(
        sampling(&older, json!({"top_p": 0.5})),
        (null.clone(), json!(0.5), vec![])
    );
    assert_eq!(
        sampling(&older, json!({"temperature": 0.7, "top_p": 1})),
        (json!(0.7), null.clone(), vec![])
    );
    assert_eq!(
        sampling(&older, json!({"temperature": 1, "top_p": 0.5})),
        (null.clone(), json!(0.5), vec![])
    );
    assert_eq!(
        sampling(&older, json!({"temperature": 0.7, "top_p": 0.5})),
        (json!(0.7), null.clone(), vec!["top_p=approximated".into()])
    );
    let newer = Capabilities {
        sampling: false,
        ..model()
    };
    assert_eq!(
        sampling(&newer, json!({"temperature": 1, "top_p": 0.99})),
        (null.clone(), null.clone(), vec![])
    );
    assert_eq!(
        sampling(&newer, json!({"temperature": 0.5, "top_p": 0.9, "top_k": 3})).2,
        [
            "temperature=approximated",
            "top_p=approximated",
            "top_k=approximated"
        ]
    );
    assert_eq!(
        sampling(&older, json!({"temperature": 0, "reasoning_effort": "low"})),
        (null.clone(), null, vec!["temperature=approximated".into()])
    );
}

#[test]
fn stop_sequences_of_white_space_are_left_out() {
    assert_eq!(
        translate(json!({"stop": "END"})),
        translate(json!({"stop": ["END"]}))
    );
    assert_eq!(
        translate(json!({"stop": "END"})).0["stop_sequences"],
        json!(["END"])
    );
    let (body, losses) = translate(json!({"stop": ["\n", "END"]}));
    assert_eq!(
        (&body["stop_sequences"], losses),
        (&json!(["END"]), vec!["stop=approximated".to_owned()])
    );
    assert_eq!(translate(json!({"stop": []})).0.get("stop_sequences"), None);
}

#[test]
fn effort_becomes_adaptive_thinking() {
    let adaptive = Capabilities {
        adaptive_thinking: true,
        efforts: Some(["low", "medium", "high", "max"].map(Effort::from_name).to_vec()),
        ..model()
    };
    let effort = |word: &str| {
        let (body, losses) = translate_for(&adaptive, json!({"reasoning_effort": word}));
        assert_eq!(body["thinking"], json!({"type": "adaptive"}));
        (
            body["output_config"]["effort"].as_str().unwrap().to_owned(),
            losses,
        )
    };
    assert_eq!(effort("high"), ("high".into(), vec![]));
    assert_eq!(effort("max"), ("max".into(), vec![]));
    assert_eq!(
        effort("minimal"),
        ("low".into(), vec!["reasoning_effort=approximated".into()])
    );
    assert_eq!(
        effort("xhigh"),
        ("high".into(), vec!["reasoning_effort=approximated".into()])
    );

    let (body, losses) = translate_for(&adaptive, json!({"reasoning_effort": "none"}));
    assert_eq!(
        (&body["thinking"], losses),
        (&json!({"type": "disabled"}), vec![])
    );
    let always = Capabilities {
        thinking_always_on: true,
        ..adaptive.clone()
    };
    let (body, losses) = translate_for(&always, json!({"reasoning_effort": "none"}));
    assert_eq!(losses, ["reasoning_effort=approximated"]);
    assert_eq!(
        (body.get("thinking"), &body["output_config"]["effort"]),
        (None, &json!("low"))
    );
    assert_eq!(
        translate_for(&adaptive, json!({"reasoning_effort": "wild"})).1,
        ["reasoning_effort=rejected"]
    );
}

#[test]
fn effort_becomes_a_budget_that_fits() {
    let budget = |effort: &str, max_tokens: u64| {
        let (body, losses) =
            translate(json!({"reasoning_effort": effort, "max_completion_tokens": max_tokens}));
        let thinking = &body["thinking"];
        (
            thinking["budget_tokens"].as_u64(),
            body["max_tokens"].as_u64().unwrap(),
            losses,
        )
    };
    let raised = vec!["max_completion_tokens=approximated".to_owned()];
    assert_eq!(budget("minimal", 10_000), (Some(1024), 10_000, vec![]));
    assert_eq!(budget("low", 10_000), (Some(2000), 10_000, vec![]));
    assert_eq!(budget("medium", 10_000), (Some(5000), 10_000, vec![]));
    assert_eq!(budget("high", 10_000), (Some(8000), 10_000, vec![]));
    assert_eq!(budget("max", 60_000), (Some(32_000), 60_000, vec![]));
    assert_eq!(budget("high", 1025), (Some(1024), 1025, vec![]));
    assert_eq!(budget("high", 1024), (Some(1024), 2048, raised.clone()));
    assert_eq!(budget("high", 100), (Some(1024), 1124, raised));
    let small = Capabilities {
        max_output_tokens: Some(1000),
        ..model()
    };
    let (body, losses) = translate_for(&small, json!({"reasoning_effort": "high"}));
    assert_eq!(
        (body.get("thinking"), losses),
        (None, vec!["reasoning_effort=approximated".to_owned()])
    );
}

#[test]
fn a_model_without_reasoning_is_not_asked_to_think() {
    let plain = Capabilities {
        reasoning: false,
        ..model()
    };
    let (body, losses) = translate_for(&plain, json!({"reasoning_effort": "high"}));
    assert_eq!(
        (body.get("thinking"), losses),
        (None, vec!["reasoning_effort=dropped".to_owned()])
    );
    assert_eq!(translate_for(&plain, json!({"reasoning_effort": "none"})).1, NONE);
}

#[test]
fn a_tool_loop_without_its_thinking_goes_on_without_thinking() {
    let mut request =
        json!({"tools": tools(), "reasoning_effort": "low", "messages": [user(), call("a"), result("a")]});
    let (body, losses) = translate(request.clone());
    assert_eq!(
        (body.get("thinking"), losses),
        (None, vec!["reasoning_effort=approximated".to_owned()])
    );
    request["messages"][1]["reasoning_details"] = json!([
        {"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
    ]);
    let (body, losses) = translate(request);
    assert_eq!(losses, NONE);
    assert_eq!(body["thinking"]["type"], "enabled");
    assert_eq!(
        body["messages"][1]["content"][0],
        json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"})
    );
}

#[test]
fn thinking_written_by_a_client_of_the_other_dialect_is_taken() {
    let (body, losses) =
        translate(json!({"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4000}));
    assert_eq!(
        (&body["thinking"], losses),
        (&json!({"type": "enabled", "budget_tokens": 2048}), vec![])
    );
    let adaptive = Capabilities {
        adaptive_thinking: true,
        budget_thinking: false,
        ..model()
    };
    let (body, losses) = translate_for(
        &adaptive,
        json!({"thinking": {"type": "enabled", "budget_tokens": 9000}}),
    );
    assert_eq!(losses, ["thinking.budget_tokens=approximated"]);
    assert_eq!(body["output_config"]["effort"], "high");
}

#[test]
fn the_form_of_the_answer() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": false}},
        "b": {"anyOf": [{"type": "object", "properties": {"properties": {"type": "string"}}}, {"type": "null"}]},
    }});
    let format = |schema: &Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}});
    let (body, losses) = translate(format(&schema));
    assert_eq!(losses, ["response_format.json_schema.schema=approximated"]);
    let mut closed = schema;
    closed["additionalProperties"] = false.into();
    closed["properties"]["b"]["anyOf"][0]["additionalProperties"] = false.into();
    assert_eq!(
        body["output_config"],
        json!({"format": {"type": "json_schema", "schema": closed}})
    );
    assert_eq!(translate(format(&closed)).1, NONE);
    let open = json!({"type": "object", "additionalProperties": {"type": "string"}});
    assert_eq!(
        lost(format(&open)),
        ["response_format.json_schema.schema=rejected"]
    );
    let older = Capabilities {
        native_structured_output: false,
        ..model()
    };
    assert_eq!(
        translate_for(&older, format(&closed)).1,
        ["response_format=rejected"]
    );

    let (body, losses) = translate(json!({"response_format": {"type": "json_object"}}));
    assert_eq!(losses, ["response_format=approximated"]);
    assert_eq!(body["system"], "Answer with one JSON object and nothing else.");
    assert_eq!(lost(json!({"response_format": {"type": "text"}})), NONE);
}

#[test]
fn small_options() {
    let (body, losses) = translate(json!({"user": "u-1", "service_tier": "default"}));
    assert_eq!(losses, NONE);
    assert_eq!(
        (&body["metadata"], &body["service_tier"]),
        (&json!({"user_id": "u-1"}), &json!("standard_only"))
    );
    assert_eq!(
        translate(json!({"service_tier": "auto"})).0["service_tier"],
        "auto"
    );
    assert_eq!(lost(json!({"service_tier": "flex"})), ["service_tier=dropped"]);
    let (body, losses) = translate(json!({"user": "a@example.com"}));
    assert_eq!(
        (body.get("metadata"), losses),
        (None, vec!["user=dropped".to_owned()])
    );
}

#[test]
fn every_other_member_has_its_class() {
    let silent = json!({
        "n": 1, "logprobs": false, "presence_penalty": 0, "frequency_penalty": 0.0, "modalities": ["text"],
        "store": false, "logit_bias": {}, "metadata": null, "stream_options": {"include_usage": true},
    });
    assert_eq!(lost(silent), NONE);
    let classes = [
        ("n", json!(2), "rejected"),
        ("logprobs", json!(true), "rejected"),
        ("top_logprobs", json!(3), "rejected"),
        ("seed", json!(1), "dropped"),
        ("presence_penalty", json!(0.5), "approximated"),
        ("frequency_penalty", json!(-1), "approximated"),
        ("logit_bias", json!({"1": 2}), "approximated"),
        ("modalities", json!(["text", "audio"]), "rejected"),
        ("audio", json!({"voice": "a", "format": "mp3"}), "rejected"),
        (
            "prediction",
            json!({"type": "content", "content": "x"}),
            "dropped",
        ),
        ("metadata", json!({"a": "b"}), "dropped"),
        ("store", json!(true), "dropped"),
        ("prompt_cache_key", json!("k"), "dropped"),
        ("prompt_cache_retention", json!("24h"), "dropped"),
        ("verbosity", json!("low"), "dropped"),
        ("stream_options", json!({"include_obfuscation": false}), "dropped"),
        (
            "web_search_options",
            json!({"search_context_size": "low"}),
            "rejected",
        ),
        (
            "moderation",
            json!({"model": "m", "policy": {"mode": "block"}}),
            "rejected",
        ),
        ("moderation", json!({"model": "m"}), "dropped"),
        // Compatible vendors.
        ("provider", json!({"order": ["x"]}), "rejected"),
        ("transforms", json!(["middle-out"]), "rejected"),
        ("models", json!(["a"]), "rejected"),
        ("reasoning_format", json!("parsed"), "rejected"),
        ("min_p", json!(0.1), "rejected"),
    ];
    for (name, value, class) in classes {
        assert_eq!(lost(json!({name: value})), [format!("{name}={class}")], "{name}");
    }
}

#[test]
fn reasoning_sealed_for_a_client_of_this_dialect_is_recognised_and_not_sent_back_here() {
    let body = json!({"model": "m", "max_tokens": 5, "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "tollgate:openai_chat:reasoning_content:deepseek"},
            {"type": "text", "text": "a"},
        ]},
        {"role": "user", "content": "q"},
    ]});
    let request = decode_request(&body.to_string()).unwrap();
    let Part::Reasoning(reasoning) = &request.messages[1].parts[0] else {
        panic!()
    };
    assert_eq!(reasoning.origin, Some(tollgate_dialects::Dialect::OpenaiChat));
    assert_eq!(reasoning.member.as_deref(), Some("reasoning_content"));
    assert_eq!((reasoning.text.as_str(), &reasoning.signature), ("hm", &None));
    let mut losses = Losses::new();
    let capabilities = model();
    let sent = json(encode_request(&request, &target("m", &capabilities), &mut losses));
    assert_eq!(
        sent["messages"][1]["content"],
        json!([{"type": "text", "text": "a"}])
    );
    assert_eq!(
        losses.iter().map(|loss| loss.field.as_str()).collect::<Vec<_>>(),
        ["messages[1].content[0]"]
    );
    let sent = json(openai_chat::encode_request(
        &request,
        &target("m", &capabilities),
        &mut Losses::new(),
    ));
    assert_eq!(sent["messages"][1]["reasoning_content"], "hm");
}

#[test]
fn errors_of_a_request_name_the_place_and_what_was_expected() {
    let error = |body: Value| decode_request(&body.to_string()).unwrap_err().to_string();
    let message = |message: Value| error(json!({"model": "m", "messages": [message]}));
    assert_eq!(
        error(json!({"messages": []})),
        "model: is missing; a string is required"
    );
    assert_eq!(
        error(json!({"model": "m"})),
        "messages: is missing; a list of messages is required"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": {}})),
        "messages: expected an array, found an object"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "max_tokens": "many"})),
        "max_tokens: expected a whole number that is not negative, found a string"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "temperature": "hot"})),
        "temperature: expected a number, found a string"
    );
    assert_eq!(
        message(json!({"role": "tool", "content": "x"})),
        r#"messages[0].role: expected "user", "assistant" or "system", found "tool""#
    );
    assert_eq!(
        message(json!({"role": "user"})),
        "messages[0].content: is missing; a string or a list of blocks is required"
    );
    assert_eq!(
        message(json!({"role": "user", "content": 5})),
        "messages[0].content: expected a string or a list of blocks, found a number"
    );
    assert_eq!(
        message(json!({"role": "user", "content": [{"text": "x"}]})),
        "messages[0].content[0].type: is missing; a string is required"
    );
    assert_eq!(
        message(
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png"}},
            ]}]})
        ),
        "messages[0].content[0].content[0].source.data: is missing; a string is required"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "thinking": {"type": "enabled"}})),
        "thinking.budget_tokens: is missing; a whole number that is not negative is required"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "tools": [{"input_schema": {}}]})),
        "tools[0].name: is missing; a string is required"
    );
    assert_eq!(decode_request("nope").unwrap_err().path, "");
}
