use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{CallLabels, CallMetrics};
use crate::fixture;
use crate::metrics::Metrics;
use crate::prices::{Cost, PriceState, Usd};
use crate::record::{Attempt, CallRecord, RequestType, TokenUsage};
use crate::telemetry::CallSink;

fn counted(labels: CallLabels, calls: &[CallRecord<'_>]) -> Vec<String> {
    let metrics = Arc::new(Metrics::default());
    let sink = CallMetrics::new(metrics.clone(), labels);
    for call in calls {
        sink.call(call);
    }
    lines(&metrics)
}

fn lines(metrics: &Metrics) -> Vec<String> {
    metrics.text().lines().map(str::to_owned).collect()
}

/// The value of a line.
#[track_caller]
fn value(lines: &[String], series: &str) -> String {
    let found = lines
        .iter()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    match found {
        Some(value) => value.to_owned(),
        None => panic!("no {series} in\n{}", lines.join("\n")),
    }
}

fn cost(micro: u128) -> Cost {
    Cost {
        usd: Usd::from_pico(micro * 1_000_000),
        price: PriceState::Known,
        estimated: false,
    }
}

#[test]
fn a_call_is_counted_with_its_time_tokens_and_cost() {
    let usage = TokenUsage {
        prompt: 100,
        completion: 41,
        total: 141,
        cached: 30,
        cache_write: 20,
        reasoning: 11,
        ..TokenUsage::default()
    };
    let attempts = [Attempt {
        usage: Some(usage),
        ..fixture::ATTEMPTS[0]
    }];
    let call = CallRecord {
        request_type: RequestType::AiStream,
        attempts: &attempts,
        usage: Some(usage),
        time_to_first_token: Some(Duration::from_millis(500)),
        upstream_response_time: Some(Duration::from_millis(2500)),
        cost: cost(1_250),
        ..fixture::call()
    };
    let lines = counted(CallLabels::default(), &[call, call]);
    let at = |series: &str| value(&lines, series);
    let who = r#"route="chat",consumer="user-a",model="gpt-5",upstream_model="gpt-5",provider="openai""#;
    let calls = format!(r#"tollgate_calls_total{{{who},type="ai_stream",status="2xx",outcome="ok"}}"#);
    assert_eq!(at(&calls), "2");
    for (kind, tokens) in [
        ("input", "100"),
        ("cache_read", "60"),
        ("cache_write", "40"),
        ("output", "60"),
        ("reasoning", "22"),
    ] {
        assert_eq!(
            at(&format!(r#"tollgate_tokens_total{{{who},kind="{kind}"}}"#)),
            tokens
        );
    }
    assert_eq!(at(&format!("tollgate_cost_usd_total{{{who}}}")), "0.0025");
    let of = r#"{route="chat",model="gpt-5",provider="openai""#;
    let duration = "tollgate_call_duration_seconds";
    assert_eq!(at(&format!(r#"{duration}_sum{of},type="ai_stream"}}"#)), "5.8");
    assert_eq!(
        at(&format!(r#"{duration}_bucket{of},type="ai_stream",le="2.56"}}"#)),
        "0"
    );
    assert_eq!(
        at(&format!(r#"{duration}_bucket{of},type="ai_stream",le="5.12"}}"#)),
        "2"
    );
    assert_eq!(
        at(&format!("tollgate_time_to_first_token_seconds_sum{of}}}")),
        "1"
    );
    // Two seconds for forty tokens after the first.
    assert_eq!(
        at(&format!("tollgate_time_per_output_token_seconds_sum{of}}}")),
        "0.1"
    );
    let attempts = r#"{route="chat",provider="openai",instance_name="openai-main",outcome="ok"}"#;
    assert_eq!(at(&format!("tollgate_attempts_total{attempts}")), "2");
    assert_eq!(
        at(r#"tollgate_body_bytes_total{route="chat",direction="sent"}"#),
        "1608"
    );
    assert_eq!(
        at(r#"tollgate_body_bytes_total{route="chat",direction="received"}"#),
        "240"
    );
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("tollgate_unknown_prices"))
    );
}

#[test]
fn what_failed_attempts_used_counts_for_those_who_were_asked() {
    let used = |prompt| {
        Some(TokenUsage {
            prompt,
            ..TokenUsage::default()
        })
    };
    let attempts = [
        Attempt {
            instance: "first",
            provider: Some("anthropic"),
            model: Some("claude"),
            outcome: "timeout",
            usage: used(5),
            ..fixture::ATTEMPTS[0]
        },
        Attempt {
            usage: used(7),
            ..fixture::ATTEMPTS[0]
        },
    ];
    let call = CallRecord {
        attempts: &attempts,
        ..fixture::call()
    };
    let lines = counted(CallLabels::default(), &[call]);
    let tokens = |upstream: &str| {
        let of = r#"route="chat",consumer="user-a",model="gpt-5""#;
        value(
            &lines,
            &format!(r#"tollgate_tokens_total{{{of},{upstream},kind="input"}}"#),
        )
    };
    assert_eq!(tokens(r#"upstream_model="claude",provider="anthropic""#), "5");
    assert_eq!(tokens(r#"upstream_model="gpt-5",provider="openai""#), "7");
    let attempt = r#"tollgate_attempts_total{route="chat",provider="anthropic",instance_name="first",outcome="timeout"}"#;
    assert_eq!(value(&lines, attempt), "1");
    let duration = r#"tollgate_attempt_duration_seconds_count{provider="anthropic",instance_name="first"}"#;
    assert_eq!(value(&lines, duration), "1");
}

#[test]
fn calls_tell_how_they_ended() {
    let base = CallRecord {
        attempts: &[],
        usage: None,
        ..fixture::call()
    };
    let call = |status, error_code, client_gone| CallRecord {
        status,
        error_code,
        client_gone,
        ..base
    };
    let lines = counted(
        CallLabels::default(),
        &[
            call(200, None, false),
            call(429, Some("rate_limited"), false),
            call(404, Some("model_not_found"), false),
            call(502, Some("upstream_failed"), false),
            call(200, Some("upstream_cut"), false),
            call(499, None, true),
        ],
    );
    let ended = |status: &str, outcome: &str| {
        let who = r#"route="chat",consumer="user-a",model="gpt-5",upstream_model="gpt-5",provider="openai""#;
        let of = format!(r#"{who},type="ai_chat",status="{status}",outcome="{outcome}""#);
        value(&lines, &format!("tollgate_calls_total{{{of}}}"))
    };
    assert_eq!(ended("2xx", "ok"), "1");
    assert_eq!(ended("4xx", "refused"), "2");
    assert_eq!(ended("5xx", "failed"), "1");
    assert_eq!(ended("2xx", "broken"), "1");
    assert_eq!(ended("4xx", "left"), "1");
    for code in [
        "rate_limited",
        "model_not_found",
        "upstream_failed",
        "upstream_cut",
    ] {
        let series = format!(r#"tollgate_call_errors_total{{route="chat",code="{code}"}}"#);
        assert_eq!(value(&lines, &series), "1");
    }
}

#[test]
fn a_price_that_is_unknown_is_told_and_costs_nothing() {
    let call = CallRecord {
        cost: Cost::UNKNOWN,
        ..fixture::call()
    };
    let lines = counted(CallLabels::default(), &[call]);
    let series = r#"tollgate_unknown_prices_total{provider="openai",upstream_model="gpt-5"}"#;
    assert_eq!(value(&lines, series), "1");
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("tollgate_cost_usd_total{"))
    );
}

#[test]
fn labels_that_are_switched_off_are_empty() {
    let labels = CallLabels {
        consumer: false,
        model: false,
        upstream_model: false,
        instance: false,
        ..CallLabels::default()
    };
    let other = CallRecord {
        consumer: Some("user-b"),
        request_model: Some("gpt-6"),
        ..fixture::call()
    };
    let lines = counted(labels, &[fixture::call(), other]);
    let who = r#"route="chat",consumer="",model="",upstream_model="",provider="openai""#;
    let series = format!(r#"tollgate_calls_total{{{who},type="ai_chat",status="2xx",outcome="ok"}}"#);
    assert_eq!(value(&lines, &series), "2");
    let text = lines.join("\n");
    assert!(!text.contains("user-") && !text.contains("gpt") && !text.contains("openai-main"));
}

#[test]
fn names_that_clients_make_up_do_not_make_series_without_end() {
    let labels = CallLabels {
        max_models: 10,
        max_series: 50,
        ..CallLabels::default()
    };
    let names: Vec<String> = (0..20_000)
        .map(|number| format!("{number}{}", "x".repeat(200)))
        .collect();
    let call = |model| CallRecord {
        request_model: Some(model),
        upstream_model: Some(model),
        ..fixture::call()
    };
    let calls: Vec<CallRecord<'_>> = names.iter().map(|name| call(name.as_str())).collect();
    let lines = counted(labels, &calls);
    let of_calls = lines
        .iter()
        .filter(|line| line.starts_with("tollgate_calls_total{"));
    // Nine of them, the model of the attempts, and all others together.
    assert_eq!(of_calls.count(), 10);
    assert!(lines.len() < 500, "{}", lines.len());
    let other = r#"model="other",upstream_model="other",provider="openai""#;
    let of = format!(r#"route="chat",consumer="user-a",{other}"#);
    let series = format!(r#"tollgate_calls_total{{{of},type="ai_chat",status="2xx",outcome="ok"}}"#);
    assert_eq!(value(&lines, &series), "19991");
    let tokens = r#"tollgate_tokens_total{route="chat",consumer="user-a",model="other",upstream_model="gpt-5",provider="openai",kind="output"}"#;
    assert_eq!(value(&lines, tokens), (19_991 * 39).to_string());
}

#[test]
fn threads_that_count_the_same_calls_lose_nothing() {
    let metrics = Arc::new(Metrics::default());
    let sink = CallMetrics::new(metrics.clone(), CallLabels::default());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..500).for_each(|_| sink.call(&fixture::call())));
        }
        // Somebody reads all the while.
        for _ in 0..20 {
            assert!(metrics.text().len() < 1_000_000);
        }
    });
    let who = r#"route="chat",consumer="user-a",model="gpt-5",upstream_model="gpt-5",provider="openai""#;
    let series = format!(r#"tollgate_calls_total{{{who},type="ai_chat",status="2xx",outcome="ok"}}"#);
    assert_eq!(value(&lines(&metrics), &series), "4000");
}
