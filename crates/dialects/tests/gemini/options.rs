//! Thinking, the form of the answer, and tools, as models take them.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Effort, ResponseFormat, Thinking, ToolKind};
use tollgate_dialects::gemini::decode_request;
use tollgate_dialects::{Capabilities, Dialect};

use super::{asks, decoded, translate, translate_for};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

#[test]
fn efforts_are_budgets_or_levels_as_the_model_takes_them() {
    let config = |model: &str, effort: &str| {
        let request = json!({"model": "m", "messages": asks("hi"), "reasoning_effort": effort});
        let (written, losses) = translate_for(OPENAI, GEMINI, &request, &Capabilities::of(model));
        (written["generationConfig"]["thinkingConfig"].clone(), losses)
    };
    let fine: Vec<String> = Vec::new();
    let near = vec!["reasoning_effort=approximated".to_owned()];
    assert_eq!(
        config("gemini-2.5-flash", "low"),
        (json!({"thinkingBudget": 1024}), fine.clone())
    );
    assert_eq!(
        config("gemini-2.5-flash", "high"),
        (json!({"thinkingBudget": 24576}), fine.clone())
    );
    assert_eq!(
        config("gemini-2.5-flash", "max"),
        (json!({"thinkingBudget": 24576}), near.clone())
    );
    assert_eq!(
        config("gemini-2.5-flash", "none"),
        (json!({"thinkingBudget": 0}), fine.clone())
    );
    assert_eq!(
        config("gemini-2.5-pro", "none"),
        (json!({"thinkingBudget": 128}), near.clone())
    );
    assert_eq!(
        config("gemini-3-8-flash", "medium"),
        (json!({"thinkingLevel": "MEDIUM"}), fine)
    );
    assert_eq!(
        config("gemini-3-8-flash", "max"),
        (json!({"thinkingLevel": "HIGH"}), near.clone())
    );
    assert_eq!(
        config("gemini-3-8-flash", "none"),
        (json!({"thinkingLevel": "LOW"}), near)
    );
    assert_eq!(
        config("gemini-2.0-flash", "high"),
        (Value::Null, vec!["reasoning_effort=dropped".to_owned()])
    );
}

#[test]
fn anthropics_thinking_is_asked_for_and_shown() {
    let config = |model: &str, thinking: Value| {
        let request = json!({"model": "m", "max_tokens": 9, "messages": asks("hi"), "thinking": thinking});
        let (written, losses) = translate_for(ANTHROPIC, GEMINI, &request, &Capabilities::of(model));
        (written["generationConfig"]["thinkingConfig"].clone(), losses)
    };
    let enabled = json!({"type": "enabled", "budget_tokens": 4096});
    assert_eq!(
        config("gemini-2.5-flash", enabled.clone()),
        (json!({"includeThoughts": true, "thinkingBudget": 4096}), vec![])
    );
    assert_eq!(
        config("gemini-3-8-flash", enabled),
        (
            json!({"includeThoughts": true, "thinkingLevel": "MEDIUM"}),
            vec!["thinking.budget_tokens=approximated".to_owned()]
        )
    );
    assert_eq!(
        config(
            "gemini-2.5-flash",
            json!({"type": "adaptive", "display": "omitted"})
        ),
        (json!({"includeThoughts": false, "thinkingBudget": -1}), vec![])
    );
    assert_eq!(
        config("gemini-2.5-flash", json!({"type": "disabled"})),
        (json!({"thinkingBudget": 0}), vec![])
    );
}

#[test]
fn geminis_thinking_is_understood() {
    let reasoning = |config: Value| {
        decoded(json!({"contents": [], "generationConfig": {"thinkingConfig": config}}))
            .reasoning
            .unwrap()
    };
    let level = reasoning(json!({"thinkingLevel": "HIGH", "includeThoughts": true}));
    assert_eq!((level.effort, level.visible), (Some(Effort::High), Some(true)));
    let budget = reasoning(json!({"thinkingBudget": 512})).thinking;
    assert!(matches!(
        budget,
        Some(Thinking::Enabled {
            budget_tokens: 512,
            ..
        })
    ));
    assert!(matches!(
        reasoning(json!({"thinkingBudget": 0})).thinking,
        Some(Thinking::Disabled { .. })
    ));
}

#[test]
fn schemas_of_answers_go_both_ways() {
    let own = json!({"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": true}}});
    let request = decoded(json!({"contents": [], "generationConfig":
        {"responseMimeType": "application/json", "responseSchema": own}}));
    let Some(ResponseFormat::JsonSchema {
        schema: Some(schema), ..
    }) = &request.response_format
    else {
        panic!("{:?}", request.response_format)
    };
    assert_eq!(
        super::json(schema.text()),
        json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}})
    );
    let asked = json!({"model": "m", "messages": asks("hi"), "response_format": {"type": "json_schema",
        "json_schema": {"name": "r", "strict": true, "schema": {"type": "object", "properties": {"a": {"type": ["string", "null"]}},
            "additionalProperties": false}}}});
    let (written, losses) = translate(OPENAI, GEMINI, &asked);
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        written["generationConfig"]["responseMimeType"],
        "application/json"
    );
    assert_eq!(
        written["generationConfig"]["responseJsonSchema"],
        asked["response_format"]["json_schema"]["schema"]
    );
    let older = Capabilities {
        json_schema: false,
        ..Capabilities::default()
    };
    let (written, losses) = translate_for(OPENAI, GEMINI, &asked, &older);
    assert_eq!(losses, [""; 0]);
    assert_eq!(written["generationConfig"]["responseSchema"], own);
    let (written, losses) = translate(
        OPENAI,
        GEMINI,
        &json!({"model": "m", "messages": asks("hi"), "response_format": {"type": "json_object"}}),
    );
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        written["generationConfig"],
        json!({"responseMimeType": "application/json"})
    );
}

#[test]
fn what_a_schema_loses_toward_older_models_is_told() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"a": {"type": "string", "format": "uri"}, "b": {"not": {}}}}}},
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}]);
    let older = Capabilities {
        json_schema: false,
        ..Capabilities::default()
    };
    let request = json!({"model": "m", "messages": asks("hi"), "tools": tools});
    let (written, losses) = translate_for(OPENAI, GEMINI, &request, &older);
    assert_eq!(
        losses,
        [
            "tools[0].function.parameters.properties.a.format=approximated",
            "tools[0].function.parameters.properties.b.not=approximated"
        ]
    );
    let functions = &written["tools"][0]["functionDeclarations"];
    assert_eq!(functions[0]["parameters"]["type"], "OBJECT");
    assert_eq!(functions[1], json!({"name": "g"}));
    let (written, losses) = translate(OPENAI, GEMINI, &request);
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        written["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"],
        tools[0]["function"]["parameters"]
    );
}

#[test]
fn tools_are_taken_apart_and_their_schemas_understood() {
    let request = decoded(json!({"contents": [], "tools": [
        {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}}],
         "codeExecution": null},
        {"googleSearch": {}},
        {"function_declarations": [{"name": "g", "parameters_json_schema": {"type": "object"}}]},
    ]}));
    let kinds: Vec<String> = request
        .tools
        .iter()
        .map(|tool| match &tool.kind {
            ToolKind::Function { name, parameters, .. } => {
                format!("{name} {}", parameters.as_ref().unwrap().text())
            }
            ToolKind::Hosted { kind, raw } => format!("{kind} {}", raw.text()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            r#"f {"properties":{"a":{"type":"integer"}},"type":"object"}"#,
            r#"googleSearch {"googleSearch":{}}"#,
            r#"g {"type":"object"}"#
        ]
    );
}

#[test]
fn names_that_a_provider_refuses_are_sent_as_others_and_come_back() {
    let call = json!({"role": "model", "parts": [{"functionCall": {"id": "c", "name": "a.b", "args": {}}}]});
    let result =
        json!({"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "a.b", "response": {}}}]});
    let request = json!({"model": "m", "contents": [{"parts": [{"text": "hi"}]}, call, result],
        "tools": [{"functionDeclarations": [{"name": "a.b"}]}]});
    for (provider, place) in [(OPENAI, "/tools/0/function/name"), (ANTHROPIC, "/tools/0/name")] {
        let (written, losses) = translate(GEMINI, provider, &request);
        let sent = written.pointer(place).unwrap().as_str().unwrap();
        assert!(sent.starts_with("a_b_"), "{sent}");
        assert!(
            losses.contains(&"tools[].functionDeclarations[0].name=approximated".to_owned()),
            "{losses:?}"
        );
        let request = decode_request(&request.to_string()).unwrap();
        let renames = tollgate_dialects::codec::renames(provider, &request);
        assert_eq!(renames.original(sent), "a.b");
    }
    let request = json!({"model": "m", "messages": asks("hi"),
        "tools": [{"type": "function", "function": {"name": "1st-tool"}}]});
    let (written, losses) = translate(OPENAI, GEMINI, &request);
    assert_eq!(losses, ["tools[0].function.name=approximated"]);
    let sent = written["tools"][0]["functionDeclarations"][0]["name"]
        .as_str()
        .unwrap();
    assert!(sent.starts_with("_1st-tool_"), "{sent}");
}
