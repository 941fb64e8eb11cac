//! Tools of OpenAI clients, written for this dialect: one test per rule.

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
use serde_json::{Value, json};
use tollgate_dialects::Capabilities;

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
