//! Requests of OpenAI clients, written for this dialect: one test per rule.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::translate::{
    NONE, call, lost, model, result, tools, translate, translate_for, user,
};
use anthropic_messages_support::{json, target};
use serde_json::{Value, json};
use tollgate_dialects::anthropic_messages::{decode_request, encode_request};
use tollgate_dialects::canonical::Part;
use tollgate_dialects::{Capabilities, Effect, Losses, Target, openai_chat};

/// The messages, when nothing may be lost.
#[track_caller]
fn messages(messages: Value) -> Value {
    let (body, losses) = translate(json!({"messages": messages}));
    assert_eq!(losses, NONE);
    body["messages"].clone()
}

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
    for arguments in ["{\"a\":", "[1]", "\"x\""] {
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
fn a_message_of_foreign_reasoning_only_is_left_out() {
    let sealed =
        json!([{"type": "thinking", "thinking": "hm", "signature": "tollgate:openai_chat:reasoning:m"}]);
    let body = json!({"model": "m", "max_tokens": 5, "messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": sealed}, {"role": "user", "content": "q"},
    ]});
    let request = decode_request(&body.to_string()).unwrap();
    let capabilities = model();
    let sent = json(encode_request(
        &request,
        &target("m", &capabilities),
        &mut Losses::new(),
    ));
    assert_eq!(
        sent["messages"],
        json!([{"role": "user", "content": "q"}, {"role": "user", "content": "q"}])
    );
}
