use serde_json::json;
use tollgate_dialects::canonical::{Ext, Usage};
use tollgate_dialects::json::Object;
use tollgate_resources::objects::schema::Schema;
use tollgate_telemetry::TokenUsage;

use super::config::Strategy;
use super::*;
use crate::ai::protocol::Protocol;

fn refused(conf: &Value) -> Option<String> {
    let schema = (SPEC.schema)(SchemaType::Route).unwrap();
    let fits = Schema::new(&schema).unwrap().check(conf);
    fits.and_then(|()| (SPEC.check)(conf, SchemaType::Route)).err()
}

#[test]
fn configurations_are_refused_in_apisix_s_words() {
    let instance = json!({"name": "a", "limit": 30, "time_window": 60});
    for (conf, words) in [
        (
            json!({"time_window": 60}),
            r#"property "limit" is required when "time_window" is set"#,
        ),
        (
            json!({"limit": 30}),
            r#"property "time_window" is required when "limit" is set"#,
        ),
        (
            json!({"limit": 30, "time_window": 60, "rejected_code": 199}),
            r#"property "rejected_code" validation failed: expected 199 to be at least 200"#,
        ),
        (
            json!({"limit": 30, "time_window": 60, "limit_strategy": "invalid"}),
            r#"property "limit_strategy" validation failed: matches none of the enum values"#,
        ),
        (
            json!({"instances": [instance, {"limit": 30, "time_window": 60}]}),
            r#"property "instances" validation failed: failed to validate item 2: property "name" is required"#,
        ),
        (
            json!({"limit": 30, "instances": [instance]}),
            r#"property "time_window" is required when "limit" is set"#,
        ),
        (
            json!({"instances": [instance], "rules": [{"count": 1, "time_window": 1, "key": "a"}]}),
            "value should match only one schema, but matches both schemas 1 and 2",
        ),
        (
            json!({"limit": 1, "time_window": 1, "limit_strategy": "expression"}),
            "cost_expr is required when limit_strategy is 'expression'",
        ),
        (
            json!({"limit": 1, "time_window": 1, "limit_strategy": "expression", "cost_expr": "a b"}),
            "invalid cost_expr: unexpected `b` at character 3",
        ),
    ] {
        assert_eq!(refused(&conf).as_deref(), Some(words), "{conf}");
    }
    for conf in [
        json!({}),
        json!({"limit": 0, "time_window": 1}),
        json!({"limit": 1, "time_window": 1, "admission": "maybe"}),
        json!({"limit": 1, "time_window": 1, "cost_expr": ""}),
        json!({"limit": 1, "time_window": 1, "rejected_msg": ""}),
        json!({"instances": []}),
        json!({"rules": [{"count": 1, "time_window": 1}]}),
    ] {
        assert!(refused(&conf).is_some(), "{conf}");
    }
}

#[test]
fn configurations_as_documented_are_taken() {
    let instance = json!({"name": "a", "limit": "${http_x ?? 10}", "time_window": 60, "rejected_code": 403});
    for conf in [
        json!({"instances": [instance]}),
        json!({"instances": [instance], "limit": "$http_limit", "time_window": "${http_window ?? 60}"}),
        json!({"limit": 30, "time_window": 60, "rejected_code": 403, "rejected_msg": "no", "limit_strategy": "completion_tokens"}),
        json!({"rules": [{"count": 20, "time_window": 10, "key": "${http_user}", "header_prefix": "user"}]}),
        json!({"limit": 1, "time_window": 1, "limit_strategy": "expression", "cost_expr": "input_tokens * 2"}),
        // A formula that is not used may be anything.
        json!({"limit": 1, "time_window": 1, "cost_expr": "a b"}),
        json!({"limit": 1, "time_window": 1, "admission": "reserve", "reserved_completion_tokens": 500}),
    ] {
        assert_eq!(refused(&conf), None, "{conf}");
    }
}

fn usage(written: &Value) -> Usage {
    let members: Ext = Object::parse(&written.to_string(), "usage").unwrap().into_ext();
    Usage {
        input: 50,
        cache_read: Some(200),
        cache_write: Some(100),
        output: 30,
        ext: members,
        ..Usage::default()
    }
}

fn cost(formula: &str, usage: &Usage, api: Option<Protocol>) -> u64 {
    let cost = Cost::new(Strategy::Expression, Some(formula)).unwrap();
    cost.of(&Used {
        tokens: TokenUsage::default(),
        usage,
        api,
    })
    .unwrap()
}

#[test]
fn formulas_find_what_the_provider_wrote() {
    let written = json!({
        "input_tokens": 5, "output_tokens": 3, "cost": 0.25, "service_tier": "standard", "details": {"a": 1}, "none": null,
    });
    let usage = usage(&written);
    for (formula, expected) in [
        ("input_tokens + output_tokens", 8),
        ("cost * 100", 25),
        ("service_tier + details + none + prompt_tokens", 0),
        ("cache_read_input_tokens", 0),
    ] {
        assert_eq!(
            cost(formula, &usage, Some(Protocol::AnthropicMessages)),
            expected,
            "{formula}"
        );
    }
}

#[test]
fn formulas_find_what_was_decoded_in_the_provider_s_words() {
    let usage = usage(&json!({"tier": 7}));
    let weighted =
        "input_tokens + cache_read_input_tokens * 0.1 + cache_creation_input_tokens * 1.25 + output_tokens";
    assert_eq!(cost(weighted, &usage, None), 225);
    assert_eq!(cost("prompt_tokens + tier", &usage, None), 7);
}

#[test]
fn estimates_are_told_in_the_words_in_which_they_cost_most() {
    let estimated = Usage {
        estimated: true,
        ..usage(&json!({"input_tokens": 1}))
    };
    for (formula, api, expected) in [
        ("prompt_tokens + 2 * completion_tokens", None, 410),
        (
            "input_tokens + output_tokens",
            Some(Protocol::AnthropicMessages),
            80,
        ),
        (
            "input_tokens + output_tokens",
            Some(Protocol::OpenaiResponses),
            380,
        ),
        ("inputTokens + outputTokens", Some(Protocol::BedrockConverse), 80),
        // Written for several providers: each count is told once.
        (
            "input_tokens + prompt_tokens + output_tokens + completion_tokens",
            None,
            380,
        ),
        ("total_tokens", Some(Protocol::OpenaiChat), 380),
    ] {
        assert_eq!(cost(formula, &estimated, api), expected, "{formula}");
    }
    let estimate = |formula: &str| {
        Cost::new(Strategy::Expression, Some(formula))
            .unwrap()
            .estimate(10, 5)
    };
    assert_eq!(estimate("input_tokens + prompt_tokens"), Ok(10));
    assert_eq!(estimate("outputTokens * 3"), Ok(15));
}
