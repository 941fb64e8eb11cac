//! What becomes of another dialect's options, by what the model takes.

use serde_json::{Value, json as value};
use tollgate_dialects::{Capabilities, Dialect};

use super::{BEDROCK, model, translate, translate_for};

/// A model of Claude's that takes budgets, and one that thinks as it likes.
const BUDGETS: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const ADAPTIVE: &str = "us.anthropic.claude-opus-4-8";

fn chat(members: Value) -> Value {
    let mut request = value!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn openai(members: Value, capabilities: &Capabilities) -> (Value, Vec<String>) {
    translate_for(Dialect::OpenaiChat, BEDROCK, &chat(members), capabilities)
}

#[test]
fn plain_options_go_into_inference_config() {
    let (request, losses) = openai(
        value!({"max_completion_tokens": 5, "temperature": 1.5, "top_p": 0.5, "stop": ["x", " "], "seed": 1,
            "service_tier": "flex", "safety_identifier": "u-1", "metadata": {"a": "b", "bad": "{}"}}),
        &Capabilities::default(),
    );
    assert_eq!(
        request["inferenceConfig"],
        value!({"maxTokens": 5, "temperature": 1, "topP": 0.5, "stopSequences": ["x"]})
    );
    assert_eq!(request["serviceTier"], value!({"type": "flex"}));
    assert_eq!(request["requestMetadata"], value!({"a": "b", "user_id": "u-1"}));
    assert_eq!(
        losses,
        [
            "metadata.bad=dropped",
            "stop=approximated",
            "temperature=approximated",
            "seed=dropped"
        ]
    );
}

#[test]
fn what_bedrock_cannot_do_is_refused() {
    let (_, losses) = openai(
        value!({"n": 2, "logprobs": true, "max_tokens": 0, "audio": {"voice": "x"}, "web_search_options": {"a": 1}}),
        &Capabilities::default(),
    );
    for field in ["n", "logprobs", "max_tokens", "audio", "web_search_options"] {
        assert!(
            losses.contains(&format!("{field}=rejected")),
            "{field}: {losses:?}"
        );
    }
}

#[test]
fn an_effort_is_told_as_the_model_takes_it() {
    let (request, losses) = openai(
        value!({"reasoning_effort": "low", "max_tokens": 10_000}),
        &model(BUDGETS),
    );
    assert_eq!(
        request["additionalModelRequestFields"],
        value!({"thinking": {"type": "enabled", "budget_tokens": 2000}})
    );
    assert_eq!(losses, Vec::<String>::new());
    let (request, losses) = openai(value!({"reasoning_effort": "low"}), &model(ADAPTIVE));
    assert_eq!(
        request["additionalModelRequestFields"],
        value!({"thinking": {"type": "adaptive"}})
    );
    assert_eq!(request["outputConfig"], value!({"effort": "low"}));
    assert_eq!(losses, Vec::<String>::new());
    // A model that is not Claude's.
    let (request, losses) = openai(value!({"reasoning_effort": "low"}), &Capabilities::default());
    assert!(request["additionalModelRequestFields"].is_null());
    assert_eq!(request["outputConfig"], value!({"effort": "low"}));
    assert_eq!(losses, Vec::<String>::new());
    let deaf = Capabilities {
        reasoning: false,
        ..Capabilities::default()
    };
    let (request, losses) = openai(value!({"reasoning_effort": "low"}), &deaf);
    assert!(request["outputConfig"].is_null());
    assert_eq!(losses, ["reasoning_effort=dropped"]);
}

#[test]
fn claude_s_thinking_goes_to_claude_as_it_was_written() {
    let thinking = value!({"type": "enabled", "budget_tokens": 2000, "display": "omitted"});
    let request = value!({"model": "m", "max_tokens": 5000, "thinking": thinking, "top_k": 5,
        "output_config": {"effort": "low"}, "messages": [{"role": "user", "content": "a"}]});
    let capabilities = model(BUDGETS);
    let (there, losses) = translate_for(Dialect::AnthropicMessages, BEDROCK, &request, &capabilities);
    assert_eq!(there["additionalModelRequestFields"]["thinking"], thinking);
    assert_eq!(there["outputConfig"], value!({"effort": "low"}));
    assert_eq!(
        losses,
        ["top_k=approximated"],
        "a model that thinks takes no top-k"
    );
    let (there, losses) = translate(Dialect::AnthropicMessages, BEDROCK, &request);
    assert!(there["additionalModelRequestFields"].is_null());
    assert!(losses.contains(&"top_k=approximated".to_owned()), "{losses:?}");
    assert!(
        losses.contains(&"thinking.display=dropped".to_owned()),
        "{losses:?}"
    );
}

#[test]
fn one_call_at_a_time_is_claude_s_switch() {
    let tools = value!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let asked = value!({"tools": tools, "parallel_tool_calls": false, "tool_choice": "required"});
    let (request, losses) = openai(asked.clone(), &model(BUDGETS));
    assert_eq!(request["toolConfig"]["toolChoice"], value!({"any": {}}));
    assert_eq!(
        request["additionalModelRequestFields"]["tool_choice"],
        value!({"type": "any", "disable_parallel_tool_use": true})
    );
    assert_eq!(losses, Vec::<String>::new());
    let (_, losses) = openai(asked, &Capabilities::default());
    assert_eq!(losses, ["parallel_tool_calls=approximated"]);
}

#[test]
fn no_call_is_said_by_leaving_the_tools_out_or_not_at_all() {
    let tools = value!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let (request, losses) = openai(
        value!({"tools": tools, "tool_choice": "none"}),
        &Capabilities::default(),
    );
    assert!(request["toolConfig"].is_null());
    assert_eq!(losses, ["tool_choice=approximated"]);
    let history = value!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]);
    let asked = value!({"tools": tools, "tool_choice": "none", "messages": history});
    let (request, losses) = openai(asked, &Capabilities::default());
    assert_eq!(request["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    assert!(request["toolConfig"]["toolChoice"].is_null());
    assert_eq!(losses, ["tool_choice=approximated"]);
}

#[test]
fn a_schema_is_a_string_or_a_tool() {
    let schema =
        value!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    let format =
        value!({"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": schema}});
    let (request, losses) = openai(value!({"response_format": format}), &Capabilities::default());
    let definition = &request["outputConfig"]["textFormat"]["structure"]["jsonSchema"];
    let text = definition["schema"].as_str().unwrap();
    assert_eq!(super::json(text), schema);
    assert_eq!(
        (&definition["name"], &definition["description"]),
        (&value!("n"), &value!("d"))
    );
    assert_eq!(losses, Vec::<String>::new());

    let without = Capabilities {
        native_structured_output: false,
        ..Capabilities::default()
    };
    let (request, losses) = openai(value!({"response_format": format}), &without);
    assert!(request["outputConfig"].is_null());
    let tool = &request["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(tool["inputSchema"]["json"], schema);
    assert_eq!(request["toolConfig"]["toolChoice"]["tool"]["name"], tool["name"]);
    assert_eq!(losses, ["response_format=approximated"]);

    let object = value!({"response_format": {"type": "json_object"}});
    let (request, losses) = openai(object, &Capabilities::default());
    assert!(request["system"][0]["text"].as_str().unwrap().contains("JSON"));
    assert_eq!(losses, ["response_format=approximated"]);
}

#[test]
fn bedrock_s_options_reach_other_dialects() {
    let request = value!({
        "messages": [{"role": "user", "content": [{"text": "a"}]}],
        "inferenceConfig": {"maxTokens": 3000, "stopSequences": ["x"]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
            "schema": "{\"type\": \"object\", \"additionalProperties\": false}"}}}},
    });
    let (there, _) = translate_for(
        BEDROCK,
        Dialect::AnthropicMessages,
        &request,
        &model("claude-sonnet-4-5"),
    );
    assert_eq!(
        there["thinking"],
        value!({"type": "enabled", "budget_tokens": 2000})
    );
    assert_eq!(there["max_tokens"], 3000);
    assert_eq!(there["stop_sequences"], value!(["x"]));
    assert_eq!(there["output_config"]["format"]["schema"]["type"], "object");
    let (there, _) = translate(BEDROCK, Dialect::Gemini, &request);
    assert_eq!(
        there["generationConfig"]["thinkingConfig"]["thinkingBudget"],
        2000
    );
    let (there, _) = translate(BEDROCK, Dialect::OpenaiChat, &request);
    assert_eq!(
        there["response_format"]["json_schema"]["schema"]["type"],
        "object"
    );
}
