//! Sampling, thinking, the form of the answer and small options, toward Cohere and away from it.

use serde_json::{Value, json};
use tollgate_dialects::{Capabilities, Dialect};

use super::{COHERE, translate, translate_for};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

fn openai(options: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
    let members = body.as_object_mut().unwrap();
    members.extend(options.as_object().unwrap().clone());
    body
}

fn asked(options: Value) -> (Value, Vec<String>) {
    translate(OPENAI, COHERE, &openai(options))
}

#[test]
fn numbers_beyond_what_is_taken_become_the_nearest() {
    for (name, own, sent, got) in [
        ("temperature", "temperature", json!(1.4), json!(1)),
        ("top_p", "p", json!(1), json!(0.99)),
        ("top_p", "p", json!(0), json!(0.01)),
        ("presence_penalty", "presence_penalty", json!(-1.5), json!(0)),
        ("frequency_penalty", "frequency_penalty", json!(2), json!(1)),
    ] {
        let (out, losses) = asked(json!({ name: sent }));
        assert_eq!(out[own], got, "{name}");
        assert_eq!(losses, [format!("{name}=approximated")]);
    }
    let (out, losses) = asked(
        json!({"temperature": 0.7, "top_p": 0.9, "presence_penalty": 0.5, "frequency_penalty": 1,
        "seed": 3, "stop": ["a", "b"], "max_completion_tokens": 4, "logprobs": true, "stream": true,
        "stream_options": {"include_usage": true}}),
    );
    assert!(losses.is_empty(), "{losses:?}");
    for (name, value) in [
        ("temperature", json!(0.7)),
        ("p", json!(0.9)),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(1)),
        ("seed", json!(3)),
        ("stop_sequences", json!(["a", "b"])),
        ("max_tokens", json!(4)),
        ("logprobs", json!(true)),
        ("stream", json!(true)),
    ] {
        assert_eq!(out[name], value, "{name}");
    }
}

#[test]
fn top_k_is_a_whole_number_of_at_most_500() {
    let ask = |top_k: Value| {
        let body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}], "generationConfig": {"topK": top_k}});
        translate(GEMINI, COHERE, &body)
    };
    assert_eq!(ask(json!(40.0)).0["k"], 40);
    assert!(ask(json!(40.0)).1.is_empty());
    assert_eq!(ask(json!(40.6)).0["k"], 41);
    assert_eq!(ask(json!(40.6)).1, ["generationConfig.topK=approximated"]);
    assert_eq!(ask(json!(900)).0["k"], 500);
    assert_eq!(ask(json!(900)).1, ["generationConfig.topK=approximated"]);
}

#[test]
fn what_cannot_be_asked_is_refused_or_told() {
    for (options, losses) in [
        (json!({"n": 2}), "n=rejected"),
        (json!({"n": 1}), ""),
        (
            json!({"logprobs": true, "top_logprobs": 3}),
            "top_logprobs=rejected",
        ),
        (json!({"stop": ["1", "2", "3", "4", "5", "6"]}), "stop=rejected"),
        (json!({"max_tokens": 0}), "max_tokens=rejected"),
        (json!({"service_tier": "flex"}), "service_tier=dropped"),
        (json!({"service_tier": "auto"}), ""),
        (json!({"user": "u"}), "user=dropped"),
        (json!({"logit_bias": {"1": 2}}), "logit_bias=approximated"),
        (
            json!({"modalities": ["audio"], "audio": {"voice": "x"}}),
            "audio=rejected modalities=rejected",
        ),
    ] {
        assert_eq!(asked(options.clone()).1.join(" "), losses, "{options}");
    }
}

#[test]
fn parallel_calls_cannot_be_switched_off() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let (_, losses) = asked(json!({"tools": tools, "parallel_tool_calls": false}));
    assert_eq!(losses, ["parallel_tool_calls=approximated"]);
    let (_, losses) = asked(json!({"tools": tools, "parallel_tool_calls": true}));
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn efforts_become_budgets() {
    let effort = |effort: &str| {
        let (out, losses) = asked(json!({"reasoning_effort": effort}));
        (out["thinking"].clone(), losses.join(" "))
    };
    let told = "reasoning_effort=approximated".to_owned();
    assert_eq!(effort("none"), (json!({"type": "disabled"}), String::new()));
    assert_eq!(
        effort("low"),
        (json!({"type": "enabled", "token_budget": 1024}), told.clone())
    );
    assert_eq!(
        effort("medium"),
        (json!({"type": "enabled", "token_budget": 8192}), told.clone())
    );
    assert_eq!(effort("high"), (json!({"type": "enabled"}), String::new()));
    assert_eq!(effort("xhigh"), (json!({"type": "enabled"}), told));
    assert_eq!(
        effort("gigantic"),
        (Value::Null, "reasoning_effort=rejected".to_owned())
    );
}

#[test]
fn thinking_of_anthropic_and_gemini_is_asked_for() {
    let ask = |thinking: Value| {
        let body = json!({"model": "m", "max_tokens": 4000, "messages": [{"role": "user", "content": "a"}], "thinking": thinking});
        let (out, losses) = translate(ANTHROPIC, COHERE, &body);
        (out["thinking"].clone(), losses.join(" "))
    };
    assert_eq!(
        ask(json!({"type": "enabled", "budget_tokens": 2000})),
        (json!({"type": "enabled", "token_budget": 2000}), String::new())
    );
    assert_eq!(
        ask(json!({"type": "adaptive"})),
        (json!({"type": "enabled"}), String::new())
    );
    assert_eq!(
        ask(json!({"type": "disabled"})),
        (json!({"type": "disabled"}), String::new())
    );
    assert_eq!(
        ask(json!({"type": "adaptive", "display": "omitted"})).1,
        "thinking.display=dropped"
    );
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 700, "includeThoughts": true}}});
    let (out, losses) = translate(GEMINI, COHERE, &body);
    assert_eq!(out["thinking"], json!({"type": "enabled", "token_budget": 700}));
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn a_model_that_does_not_reason_is_not_asked_to() {
    let capabilities = Capabilities::of("cohere-command-a");
    assert!(!capabilities.reasoning);
    let ask = |effort: &str| {
        translate_for(
            OPENAI,
            COHERE,
            &openai(json!({"reasoning_effort": effort})),
            &capabilities,
        )
    };
    let (out, losses) = ask("high");
    assert_eq!(
        (out.get("thinking"), losses),
        (None, vec!["reasoning_effort=dropped".to_owned()])
    );
    let (out, losses) = ask("none");
    assert_eq!((out.get("thinking"), losses), (None, vec![]));
}

#[test]
fn thinking_of_cohere_reaches_the_others() {
    let ask = |thinking: Value, to: Dialect| {
        let body = json!({"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "a"}], "thinking": thinking});
        translate(COHERE, to, &body).0
    };
    let budget = json!({"type": "enabled", "token_budget": 5000});
    assert_eq!(ask(budget.clone(), ANTHROPIC)["thinking"]["budget_tokens"], 5000);
    assert_eq!(
        ask(budget.clone(), GEMINI)["generationConfig"]["thinkingConfig"]["thinkingBudget"],
        5000
    );
    assert_eq!(ask(budget, OPENAI)["reasoning_effort"], "medium");
    let off = json!({"type": "disabled"});
    assert_eq!(ask(off.clone(), ANTHROPIC)["thinking"]["type"], "disabled");
    assert_eq!(ask(off, OPENAI)["reasoning_effort"], "none");
}

#[test]
fn a_schema_binds_the_answer_but_not_beside_tools() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type": "object", "z": 1, "a": 2}}});
    let (out, losses) = asked(json!({ "response_format": format }));
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(
        out["response_format"],
        json!({"type": "json_object", "json_schema": {"type": "object", "z": 1, "a": 2}})
    );
    assert_eq!(
        asked(json!({"response_format": {"type": "json_object"}})).0["response_format"],
        json!({"type": "json_object"})
    );
    assert_eq!(
        asked(json!({"response_format": {"type": "text"}}))
            .0
            .get("response_format"),
        None
    );
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    assert_eq!(
        asked(json!({"response_format": format, "tools": tools})).1,
        ["response_format=rejected"]
    );
    let (out, _) = translate(
        COHERE,
        OPENAI,
        &json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
            "response_format": {"type": "json_object", "json_schema": {"type": "object", "b": 1}}}),
    );
    assert_eq!(
        out["response_format"]["json_schema"]["schema"],
        json!({"type": "object", "b": 1})
    );
}
