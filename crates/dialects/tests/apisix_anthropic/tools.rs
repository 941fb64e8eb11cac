//! Tools, the choice among them, calls and the names of all of them.

use serde_json::{Value, json};

use crate::{Stream, answer, answered_with, call, first, rebuild, rebuilt, request, style};

#[test]
fn a_tool_choice_gets_openais_words() {
    let choice = |choice: Value| {
        let tools = json!([{"name": "f", "input_schema": {}}, {"name": "search", "input_schema": {}}]);
        rebuilt(json!({"tools": tools, "tool_choice": choice}))
    };
    assert_eq!(choice(json!({"type": "auto"}))["tool_choice"], "auto");
    assert_eq!(choice(json!({"type": "any"}))["tool_choice"], "required");
    assert_eq!(choice(json!({"type": "none"}))["tool_choice"], "none");
    let named = json!({"type": "function", "function": {"name": "search"}});
    assert_eq!(
        choice(json!({"type": "tool", "name": "search"}))["tool_choice"],
        named
    );
    let one_at_a_time = choice(json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(one_at_a_time["parallel_tool_calls"], false);
}

#[test]
fn without_tools_there_is_no_choice_among_them() {
    let minimal = rebuilt(json!({}));
    assert_eq!(rebuilt(json!({"tool_choice": {"type": "auto"}})), minimal);
    let built_in = rebuilt(json!({
        "tools": [{"type": "web_search", "name": "web_search"}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
    }));
    assert_eq!(built_in, minimal);
}

#[test]
fn tools_that_anthropic_runs_are_left_out_and_told() {
    let body = request(json!({"tools": [
        {"type": "computer_20241022", "name": "computer", "display_width_px": 1024},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250124", "name": "text_editor"},
        {"type": "web_search_20260209", "name": "web_search"},
        {"type": "code_execution_20250522", "name": "code_exec"},
        {"name": "mine", "description": "Adds", "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral"}},
    ]}));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    let function = json!({"name": "mine", "description": "Adds", "parameters": {"type": "object"}});
    assert_eq!(
        written["tools"],
        json!([{"type": "function", "function": function}])
    );
    let told: Vec<&str> = rebuilt.losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(
        told,
        [
            "tools[0]",
            "tools[1]",
            "tools[2]",
            "tools[3]",
            "tools[4]",
            "tools[5].cache_control"
        ]
    );
    assert_eq!(rebuilt.losses.rejections().count(), 0);
}

#[test]
fn names_that_openai_refuses_are_shortened_with_a_hash_and_come_back_whole() {
    let long = "a".repeat(70);
    let sent = format!("{}_6bd5e503", "a".repeat(55));
    let body = request(json!({
        "tools": [{"name": long, "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": long},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": long, "input": {}}]},
        ],
    }));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    assert_eq!(written["tools"][0]["function"]["name"], sent);
    assert_eq!(written["tool_choice"]["function"]["name"], sent);
    assert_eq!(written["messages"][1]["tool_calls"][0]["function"]["name"], sent);
    let losses: Vec<String> = rebuilt.losses.iter().map(ToString::to_string).collect();
    let told = |field: &str| losses.iter().any(|loss| loss.starts_with(field));
    assert!(told("tools[0].name=approximated"), "{losses:?}");
    assert!(told("messages[].content[].name=approximated"), "{losses:?}");

    let style = style(rebuilt.renames);
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call(&sent, "{}")]});
    let answer = answered_with(&answer(message, "tool_calls"), &style);
    assert_eq!(answer["content"][0]["name"], long);
    let mut stream = Stream::new(&style);
    let mut piece = call(&sent, "");
    piece["index"] = json!(0);
    let events = stream.chunk(first(json!({"tool_calls": [piece]})));
    assert_eq!(events[1]["content_block"]["name"], long);
}

#[test]
fn every_name_that_is_sent_is_one_of_its_own() {
    let names = [
        "get weather".to_owned(),
        "get_weather".to_owned(),
        "my tool!foo".to_owned(),
        "my tool@foo".to_owned(),
        "a".repeat(64),
        "a".repeat(70),
        format!("{}!aaa", "x".repeat(60)),
        format!("{}@aaa", "x".repeat(60)),
        format!("mcp__server__{}_one", "a".repeat(55)),
        format!("mcp__server__{}_two", "a".repeat(55)),
        "wörter".to_owned(),
    ];
    let tools: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let rebuilt = rebuild(&request(json!({"tools": tools}))).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    let sent: Vec<&str> = (0..names.len())
        .map(|i| written["tools"][i]["function"]["name"].as_str().unwrap())
        .collect();
    for (i, (sent_name, name)) in sent.iter().zip(&names).enumerate() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        assert!(
            sent_name.len() <= 64 && sent_name.bytes().all(fits),
            "{sent_name}"
        );
        assert!(!sent[..i].contains(sent_name), "{sent_name}");
        assert_eq!(rebuilt.renames.original(sent_name), name);
    }
    assert_eq!((sent[1], sent[4]), ("get_weather", names[4].as_str()));
}

#[test]
fn names_that_fit_and_choices_of_unknown_tools_stay() {
    let body = request(json!({
        "tools": [{"name": "a".repeat(64)}],
        "tool_choice": {"type": "tool", "name": "ghost tool"},
    }));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    assert_eq!(written["tools"][0]["function"]["name"], "a".repeat(64));
    assert_eq!(written["tool_choice"]["function"]["name"], "ghost tool");
    assert!(rebuilt.renames.is_empty());
}

#[test]
fn an_earlier_call_of_a_tool_without_definition_is_renamed_and_restored() {
    let call = json!({"type": "tool_use", "id": "c", "name": "orphan tool!", "input": {}});
    let body = request(json!({"messages": [{"role": "assistant", "content": [call]}]}));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    let sent = written["messages"][0]["tool_calls"][0]["function"]["name"]
        .as_str()
        .unwrap();
    assert!(sent.starts_with("orphan_tool__"), "{sent}");
    assert_eq!(rebuilt.renames.original(sent), "orphan tool!");
}
