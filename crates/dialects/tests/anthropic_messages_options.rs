//! Options of OpenAI clients, written for this dialect: one test per rule.

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
use tollgate_dialects::canonical::Effort;

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
    let (body, losses) = translate_for(&older, format(&closed));
    assert_eq!(losses, ["response_format=approximated"]);
    assert_eq!(body["tools"][0]["input_schema"], closed);
    assert_eq!(
        body["tool_choice"],
        json!({"type": "tool", "name": body["tools"][0]["name"], "disable_parallel_tool_use": true})
    );
    assert!(body.get("output_config").is_none());
    // Where the call cannot be forced, or the arguments could not be the answer.
    let unforced = Capabilities {
        forced_tool_use: false,
        ..older.clone()
    };
    assert_eq!(
        translate_for(&unforced, format(&closed)).1,
        ["response_format=rejected"]
    );
    let list = json!({"type": "array", "items": {"type": "string"}});
    assert_eq!(
        translate_for(&older, format(&list)).1,
        ["response_format=rejected"]
    );
    let mut thinking = format(&closed);
    thinking["reasoning_effort"] = "high".into();
    assert!(
        translate_for(&older, thinking)
            .1
            .contains(&"response_format=rejected".to_owned())
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
        ("random_seed", json!(1), "dropped"),
        ("thinking", json!({"type": "enabled"}), "approximated"),
        ("include_reasoning", json!(true), "dropped"),
        ("safe_prompt", json!(true), "rejected"),
        ("provider", json!({"order": ["x"]}), "rejected"),
        ("transforms", json!(["middle-out"]), "rejected"),
        ("models", json!(["a"]), "rejected"),
        ("reasoning_format", json!("parsed"), "approximated"),
        ("min_p", json!(0.1), "approximated"),
        ("a_member_of_tomorrow", json!(1), "dropped"),
    ];
    for (name, value, class) in classes {
        assert_eq!(lost(json!({name: value})), [format!("{name}={class}")], "{name}");
    }
}

#[test]
fn of_two_words_about_thinking_the_one_that_does_not_count_is_told() {
    let both = |effort: &str, thinking: Value| {
        let request = json!({"reasoning_effort": effort, "thinking": thinking});
        let (body, losses) = translate(request);
        (body["thinking"]["type"].clone(), losses)
    };
    assert_eq!(
        both("high", json!({"type": "disabled"})),
        (
            json!("disabled"),
            vec!["reasoning_effort=approximated".to_owned()]
        )
    );
    assert_eq!(
        both("none", json!({"type": "disabled"})),
        (json!("disabled"), vec![])
    );
    assert_eq!(
        both("low", json!({"type": "enabled", "budget_tokens": 20_000})),
        (
            json!("enabled"),
            vec!["thinking.budget_tokens=approximated".to_owned()]
        )
    );
}
