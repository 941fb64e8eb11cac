//! What providers are asked, and what clients see, when a conversation goes on.

use serde_json::json;

use super::*;
use crate::harness::Dialect;

#[test]
fn a_conversation_goes_on_at_a_provider_that_keeps_none_whole_and_streamed() {
    for stream in [false, true] {
        let providers = Providers::start();
        let gateway = providers.gateway("");
        let first = turn(
            &gateway,
            KEY_A,
            &json!({"model": "anthropic", "input": "My name is Ada.", "instructions": "Be brief.", "stream": stream}),
        );
        assert_eq!(said(&first), "from anthropic");
        assert_eq!(first["store"], true);
        let sent = providers.anthropic.asked().json();
        assert!(sent["system"].to_string().contains("Be brief."), "{sent}");

        let second = turn(
            &gateway,
            KEY_A,
            &json!({"model": "anthropic", "input": "Who am I?", "previous_response_id": id(&first), "stream": stream}),
        );
        assert_eq!(second["previous_response_id"], id(&first));
        assert_ne!(id(&second), id(&first));
        let sent = providers.anthropic.asked().json();
        let texts: Vec<_> = sent["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|message| (message["role"].clone(), message["content"].to_string()))
            .collect();
        assert_eq!(texts.len(), 3, "{sent}");
        for ((role, content), (expected_role, text)) in texts.iter().zip([
            ("user", "My name is Ada."),
            ("assistant", "from anthropic"),
            ("user", "Who am I?"),
        ]) {
            assert_eq!(role, expected_role);
            assert!(content.contains(text), "{sent}");
        }
        // Instructions are not carried over.
        assert!(sent.get("system").is_none(), "{sent}");
        gateway.stop();
    }
}

#[test]
fn a_conversation_survives_every_change_of_provider() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    let mut previous = None;
    let route = ["anthropic", "chat", "responses", "anthropic", "responses", "chat"];
    for (number, model) in route.iter().enumerate() {
        let stream = number % 2 == 1;
        let mut body = json!({"model": model, "input": format!("turn {number}"), "stream": stream});
        if let Some(previous) = &previous {
            body["previous_response_id"] = json!(previous);
        }
        let response = turn(&gateway, KEY_A, &body);
        assert_eq!(said(&response), format!("from {model}"));
        previous = Some(id(&response));
        let upstream = match *model {
            "anthropic" => &providers.anthropic,
            "chat" => &providers.chat,
            _ => &providers.responses,
        };
        let sent = upstream.asked().json().to_string();
        for earlier in 0..=number {
            assert!(sent.contains(&format!("turn {earlier}")), "turn {number}: {sent}");
        }
        for earlier in &route[..number] {
            assert!(sent.contains(&format!("from {earlier}")), "turn {number}: {sent}");
        }
        assert!(!sent.contains("previous_response_id"), "{sent}");
    }
    gateway.stop();
}

#[test]
fn a_provider_of_the_same_dialect_is_asked_to_keep_nothing_and_to_tell_its_reasoning() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    for stream in [false, true] {
        let body = json!({"model": "responses", "input": "Hello", "stream": stream, "include": ["message.output_text.logprobs"]});
        let first = turn(&gateway, KEY_A, &body);
        assert_eq!(
            (&first["store"], &first["previous_response_id"]),
            (&json!(true), &json!(null))
        );
        assert_ne!(first["id"], "resp_of_provider");
        let sent = providers.responses.asked().json();
        assert_eq!(sent["store"], false);
        assert_eq!(
            sent["include"],
            json!(["message.output_text.logprobs", "reasoning.encrypted_content"])
        );
        let next = json!({"model": "responses", "input": "And?", "previous_response_id": id(&first)});
        let second = turn(&gateway, KEY_A, &next);
        assert_eq!(second["previous_response_id"], id(&first));
        let sent = providers.responses.asked().json();
        assert_eq!(
            sent["input"][1],
            json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed=="})
        );
        assert_eq!(sent["input"][2]["content"][0]["text"], "from responses");
        assert_eq!(sent["input"][3]["content"], "And?");
    }
    gateway.stop();
}

#[test]
fn a_request_that_is_not_to_be_kept_passes_untouched() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    let body = r#"{"model":"responses", "input":"Hello" ,"store":false,"temperature":1.0}"#;
    let answer =
        gateway.send(&post("/v1/responses", body).header("authorization", &format!("Bearer {KEY_A}")));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json()["id"], "resp_of_provider");
    assert_eq!(providers.responses.asked().text(), body);
    let again = json!({"model": "responses", "input": "And?", "previous_response_id": "resp_of_provider"});
    assert_not_found(&gateway.send(&call(KEY_A, &again)));
    providers.responses.was_not_asked();
    gateway.stop();
}

#[test]
fn nobody_goes_on_with_another_consumer_s_conversation() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    let first = turn(&gateway, KEY_A, &json!({"model": "chat", "input": "a secret"}));
    providers.chat.asked();
    let go_on = json!({"model": "chat", "input": "tell me", "previous_response_id": id(&first)});
    let foreign = gateway.send(&call(KEY_B, &go_on));
    assert_not_found(&foreign);
    let unknown = json!({"model": "chat", "input": "tell me", "previous_response_id": "resp_0"});
    let unknown = gateway.send(&call(KEY_B, &unknown));
    assert_eq!(
        foreign.text().replace(&id(&first), "resp_0"),
        unknown.text(),
        "a foreign id is told apart from an unknown one"
    );
    providers.chat.was_not_asked();
    assert_eq!(gateway.send(&call(KEY_A, &go_on)).status(), 200);
    gateway.stop();
}

#[test]
fn a_tool_s_result_refers_to_a_call_of_an_earlier_turn() {
    let call_of_tool = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null,
            "tool_calls": [{"id": "call_7", "type": "function", "function": {"name": "get_time", "arguments": "{\"zone\": \"UTC\"}"}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    });
    let providers = Providers {
        chat: Upstream::saying(answers::json_answer(200, &call_of_tool.to_string())),
        ..Providers::start()
    };
    let gateway = providers.gateway("");
    let tools = json!([{"type": "function", "name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}}]);
    let first = turn(
        &gateway,
        KEY_A,
        &json!({"model": "chat", "input": "What time is it?", "tools": tools}),
    );
    let result = json!([{"type": "function_call_output", "call_id": "call_7", "output": "noon"}]);
    let body =
        json!({"model": "anthropic", "input": result, "tools": tools, "previous_response_id": id(&first)});
    let second = turn(&gateway, KEY_A, &body);
    assert_eq!(said(&second), "from anthropic");
    let sent = providers.anthropic.asked().json();
    assert_eq!(sent["messages"][1]["content"][0]["type"], "tool_use", "{sent}");
    assert_eq!(sent["messages"][1]["content"][0]["input"], json!({"zone": "UTC"}));
    assert_eq!(sent["messages"][2]["content"][0]["type"], "tool_result", "{sent}");
    gateway.stop();
}

#[test]
fn an_answer_that_breaks_off_is_not_kept() {
    let events = answers::events(Dialect::Anthropic, &["half"]);
    let half = [events.before.concat(), events.content.concat()].concat();
    let cut = [
        answers::stream_head().as_bytes(),
        &answers::chunk(half),
        answers::END_OF_CHUNKS,
    ]
    .concat();
    let providers = Providers {
        anthropic: Upstream::saying(cut),
        ..Providers::start()
    };
    let gateway = providers.gateway("");
    let body = json!({"model": "anthropic", "input": "Hello", "stream": true});
    let answer = gateway.send(&call(KEY_A, &body));
    assert!(!answer.text().contains("response.completed"), "{}", answer.text());
    let begun = answer.text().split("\"id\":\"").nth(1).expect("an id");
    let begun = begun.split('"').next().expect("its end");
    let go_on = json!({"model": "chat", "input": "And?", "previous_response_id": begun});
    assert_not_found(&gateway.send(&call(KEY_A, &go_on)));
    gateway.stop();
}

#[test]
fn state_of_providers_is_refused_by_name() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    for (member, value) in [("background", json!(true)), ("conversation", json!("conv_1"))] {
        let mut body = json!({"model": "responses", "input": "Hello"});
        body[member] = value;
        let answer = gateway.send(&call(KEY_A, &body));
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert_eq!(answer.json()["error"]["param"], member);
        assert_eq!(answer.json()["error"]["code"], "unsupported_parameter");
    }
    providers.responses.was_not_asked();
    gateway.stop();
}

#[test]
fn with_passthrough_the_provider_gets_what_the_client_wrote_and_off_refuses() {
    let providers = Providers::start();
    let gateway = providers.gateway("responses: {store: passthrough}");
    let body = r#"{"model":"responses","input":"Hello","previous_response_id":"resp_7","store":true}"#;
    let answer =
        gateway.send(&post("/v1/responses", body).header("authorization", &format!("Bearer {KEY_A}")));
    assert_eq!(answer.json()["id"], "resp_of_provider");
    assert_eq!(providers.responses.asked().text(), body);
    let elsewhere = json!({"model": "anthropic", "input": "Hello", "previous_response_id": "resp_7"});
    let refused = gateway.send(&call(KEY_A, &elsewhere));
    assert_eq!(refused.status(), 400, "{}", refused.text());
    providers.anthropic.was_not_asked();
    assert_eq!(
        gateway.send(&question("GET", KEY_A, "resp_of_provider")).status(),
        404
    );
    gateway.stop();

    let gateway = providers.gateway("responses: {store: off}");
    let answer = turn(
        &gateway,
        KEY_A,
        &json!({"model": "responses", "input": "Hello", "store": true}),
    );
    assert_eq!(answer["store"], false);
    assert_eq!(providers.responses.asked().json()["store"], false);
    let refused = gateway.send(&call(KEY_A, &elsewhere));
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json()["error"]["param"], "previous_response_id");
    gateway.stop();
}

#[test]
fn reasoning_comes_back_to_its_maker_only_across_changes_of_provider() {
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl+/=="});
    let thought = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [thinking, {"type": "text", "text": "from anthropic"}],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 11, "output_tokens": 7},
    });
    let providers = Providers {
        anthropic: Upstream::saying(answers::json_answer(200, &thought.to_string())),
        ..Providers::start()
    };
    let gateway = providers.gateway("");
    let mut previous = json!(null);
    for model in ["anthropic", "responses", "anthropic", "responses"] {
        let body = json!({"model": model, "input": "Hello", "reasoning": {"effort": "low"}, "previous_response_id": previous});
        previous = json!(id(&turn(&gateway, KEY_A, &body)));
    }
    let to_anthropic = |_| providers.anthropic.asked();
    let to_responses = |_| providers.responses.asked();
    let [_, back_at_anthropic] = [0, 1].map(to_anthropic);
    let [first_at_responses, back_at_responses] = [0, 1].map(to_responses);
    let sent = back_at_anthropic.json();
    assert_eq!(sent["messages"][1]["content"][0], thinking, "{sent}");
    assert!(!back_at_anthropic.text().contains("sealed=="), "{sent}");
    assert!(
        !first_at_responses.text().contains("c2lnbmF0dXJl"),
        "{}",
        first_at_responses.text()
    );
    assert!(
        back_at_responses.text().contains("sealed=="),
        "{}",
        back_at_responses.text()
    );
    assert!(
        !back_at_responses.text().contains("c2lnbmF0dXJl"),
        "{}",
        back_at_responses.text()
    );
    gateway.stop();
}
