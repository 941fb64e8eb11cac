use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};

use super::{ActiveLabels, ApisixMetrics, DisabledLabels, MetricSettings, Settings, Shape};
use super::{METRICS, labels_that_can_be_disabled};
use crate::fixture;
use crate::metrics::Metrics;
use crate::record::{Attempt, CallRecord, LlmTokens, RequestType, TokenUsage};

fn counted(settings: &Settings, shape: &Shape, calls: &[CallRecord<'_>]) -> String {
    let metrics = Arc::new(Metrics::default());
    let apisix = ApisixMetrics::new(metrics.clone(), settings);
    for call in calls {
        apisix.call(call, shape);
    }
    metrics.text()
}

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|there| there == line), "no {line} in\n{text}");
}

fn ai_call<'a>() -> CallRecord<'a> {
    CallRecord {
        route: Some("1"),
        matched_uri: "/chat",
        consumer: None,
        request_model: Some("gpt-3"),
        upstream_model: Some("gpt-4"),
        ..fixture::call()
    }
}

#[test]
fn a_call_of_a_model_has_all_its_numbers() {
    let text = counted(&Settings::default(), &Shape::default(), &[ai_call()]);
    let model = r#"request_type="ai_chat",request_llm_model="gpt-3",llm_model="gpt-4""#;
    let of = format!(r#"service="",consumer="",node="openai-main",{model}"#);
    let by_id = format!(r#"route_id="1",service_id="",consumer="",node="openai-main",{model}"#);
    for line in [
        "# TYPE apisix_http_status counter".to_owned(),
        format!(
            r#"apisix_http_status{{code="200",route="1",matched_uri="/chat",matched_host="",{of},response_source="upstream"}} 1"#
        ),
        "# TYPE apisix_http_latency histogram".to_owned(),
        format!(r#"apisix_http_latency_sum{{type="request",route="1",{of}}} 2900"#),
        format!(r#"apisix_http_latency_sum{{type="upstream",route="1",{of}}} 2858"#),
        format!(r#"apisix_http_latency_sum{{type="apisix",route="1",{of}}} 42"#),
        format!(r#"apisix_http_latency_bucket{{type="request",route="1",{of},le="2000"}} 0"#),
        format!(r#"apisix_http_latency_bucket{{type="request",route="1",{of},le="5000"}} 1"#),
        format!(r#"apisix_http_latency_bucket{{type="request",route="1",{of},le="+Inf"}} 1"#),
        format!(r#"apisix_bandwidth{{type="egress",route="1",{of}}} 804"#),
        format!(r#"apisix_llm_latency_sum{{type="total",{by_id}}} 2858"#),
        format!(r#"apisix_llm_latency_count{{type="total",{by_id}}} 1"#),
        format!("apisix_llm_prompt_tokens{{{by_id}}} 13"),
        format!("apisix_llm_completion_tokens{{{by_id}}} 39"),
        format!("apisix_llm_prompt_tokens_dist_sum{{{by_id}}} 13"),
        format!(r#"apisix_llm_prompt_tokens_dist_bucket{{{by_id},le="10"}} 0"#),
        format!(r#"apisix_llm_prompt_tokens_dist_bucket{{{by_id},le="50"}} 1"#),
        format!("apisix_llm_completion_tokens_dist_count{{{by_id}}} 1"),
    ] {
        assert_has(&text, &line);
    }
    // Only streams have a first token.
    assert!(!text.contains("ttft"));
}

#[test]
fn streams_tell_the_time_to_their_first_token_and_errors_tell_no_latency() {
    let stream = CallRecord {
        request_type: RequestType::AiStream,
        time_to_first_token: Some(Duration::from_millis(300)),
        ..ai_call()
    };
    let refused = CallRecord {
        status: 429,
        usage: None,
        ..stream
    };
    let text = counted(&Settings::default(), &Shape::default(), &[stream, refused]);
    let of = r#"route_id="1",service_id="",consumer="",node="openai-main",request_type="ai_stream",request_llm_model="gpt-3",llm_model="gpt-4""#;
    assert_has(
        &text,
        &format!(r#"apisix_llm_latency_sum{{type="ttft",{of}}} 300"#),
    );
    assert_has(
        &text,
        &format!(r#"apisix_llm_latency_count{{type="total",{of}}} 1"#),
    );
    // Tokens are counted of both: none of the second.
    assert_has(&text, &format!("apisix_llm_prompt_tokens_dist_count{{{of}}} 2"));
    assert_has(&text, &format!("apisix_llm_prompt_tokens{{{of}}} 13"));
}

#[test]
fn other_calls_have_no_numbers_of_models() {
    let attempts = [Attempt {
        instance: "127.0.0.1:1980",
        provider: None,
        model: None,
        upstream_addr: Some("127.0.0.1:1980"),
        usage: None,
        duration: Duration::from_millis(7),
        ..fixture::ATTEMPTS[0]
    }];
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("a.example"));
    let call = CallRecord {
        method: "GET",
        request_uri: "/hello",
        request_headers: &headers,
        request_bytes: 0,
        bytes_sent: Some(200),
        route: Some("9"),
        service: Some("3"),
        matched_uri: "/hel*",
        matched_host: "*.example",
        request_type: RequestType::TraditionalHttp,
        request_model: None,
        upstream_model: None,
        provider: None,
        attempts: &attempts,
        usage: None,
        ..fixture::call()
    };
    let unreached = [Attempt {
        status: None,
        upstream_addr: Some("[::1]:1980"),
        ..attempts[0]
    }];
    let failed = CallRecord {
        status: 502,
        attempts: &unreached,
        ..call
    };
    let unmatched = CallRecord {
        status: 404,
        route: None,
        service: None,
        matched_uri: "",
        matched_host: "",
        consumer: None,
        attempts: &[],
        ..call
    };
    let text = counted(
        &Settings::default(),
        &Shape::default(),
        &[call, failed, unmatched],
    );
    let kind = r#"request_type="traditional_http",request_llm_model="",llm_model="""#;
    assert_has(
        &text,
        &format!(
            r#"apisix_http_status{{code="200",route="9",matched_uri="/hel*",matched_host="*.example",service="3",consumer="user-a",node="127.0.0.1",{kind},response_source="upstream"}} 1"#
        ),
    );
    assert_has(
        &text,
        &format!(
            r#"apisix_http_status{{code="502",route="9",matched_uri="/hel*",matched_host="*.example",service="3",consumer="user-a",node="::1",{kind},response_source="nginx"}} 1"#
        ),
    );
    assert_has(
        &text,
        &format!(
            r#"apisix_http_status{{code="404",route="",matched_uri="",matched_host="",service="",consumer="",node="",{kind},response_source="apisix"}} 1"#
        ),
    );
    let of = format!(r#"route="9",service="3",consumer="user-a",node="127.0.0.1",{kind}"#);
    // `GET /hello HTTP/1.1`, `host: a.example` and an empty line.
    assert_has(&text, &format!(r#"apisix_bandwidth{{type="ingress",{of}}} 40"#));
    assert_has(&text, &format!(r#"apisix_bandwidth{{type="egress",{of}}} 200"#));
    assert!(!text.contains("apisix_llm"));
}

#[test]
fn names_are_preferred_where_there_are_some() {
    let shape = Shape {
        prefer_name: true,
        ..Shape::default()
    };
    let named = CallRecord {
        route_name: Some("chat route"),
        service: Some("3"),
        service_name: Some(""),
        ..ai_call()
    };
    let text = counted(&Settings::default(), &shape, &[named]);
    assert!(text.contains(r#"apisix_bandwidth{type="egress",route="chat route",service="3","#));
    assert!(text.contains(r#"apisix_llm_prompt_tokens{route_id="chat route",service_id="3","#));
    let text = counted(&Settings::default(), &Shape::default(), &[named]);
    assert!(text.contains(r#"apisix_bandwidth{type="egress",route="1",service="3","#));
}

#[test]
fn labels_that_are_disabled_are_empty_in_that_metric_alone() {
    let mut disabled = DisabledLabels::default();
    disabled.disable("llm_prompt_tokens", "request_llm_model");
    disabled.disable("llm_prompt_tokens", "llm_model");
    disabled.disable("http_status", "nonsense");
    let shape = Shape {
        disabled,
        ..Shape::default()
    };
    let other = CallRecord {
        request_model: Some("another"),
        ..ai_call()
    };
    let text = counted(&Settings::default(), &shape, &[ai_call(), other]);
    let by_id = r#"route_id="1",service_id="",consumer="",node="openai-main",request_type="ai_chat""#;
    assert_has(
        &text,
        &format!(r#"apisix_llm_prompt_tokens{{{by_id},request_llm_model="",llm_model=""}} 26"#),
    );
    assert_has(
        &text,
        &format!(
            r#"apisix_llm_completion_tokens{{{by_id},request_llm_model="another",llm_model="gpt-4"}} 39"#
        ),
    );
}

#[test]
fn labels_that_say_what_is_counted_cannot_be_disabled() {
    for metric in METRICS {
        let labels = labels_that_can_be_disabled(metric);
        assert!(labels.contains(&"llm_model"), "{metric}");
        assert!(!labels.contains(&"type") && !labels.contains(&"code"), "{metric}");
    }
}

#[test]
fn what_is_set_about_metrics_is_heeded() {
    let settings = Settings {
        prefix: "gw_".to_owned(),
        latency_buckets: vec![0.5, 15.0, 5000.0],
        prompt_tokens_buckets: vec![100.0, 10.0],
        metrics: [(
            "http_status".to_owned(),
            MetricSettings {
                extra_labels: vec![
                    ("upstream_addr".to_owned(), "$upstream_addr".to_owned()),
                    ("dummy".to_owned(), "$no_such_variable".to_owned()),
                    ("missing".to_owned(), "$http_x_team".to_owned()),
                ],
                expire: Some(Duration::from_secs(60)),
            },
        )]
        .into(),
        ..Settings::default()
    };
    let metrics = Arc::new(Metrics::default());
    let apisix = ApisixMetrics::new(metrics.clone(), &settings);
    apisix.call(&ai_call(), &Shape::default());
    let start = Instant::now();
    let text: String = metrics.parts(start).collect();
    assert!(
        text.contains(
            r#"response_source="upstream",upstream_addr="api.openai.com:443",dummy="",missing=""} 1"#
        )
    );
    assert!(text.contains("gw_http_latency_bucket{type=\"apisix\""));
    assert!(text.contains(r#",llm_model="gpt-4",le="0.5"} 0"#));
    assert!(text.contains(r#",llm_model="gpt-4",le="15"} 0"#));
    let order = text.find(r#"le="10"} 0"#).unwrap() < text.find(r#"le="100"} 1"#).unwrap();
    assert!(order);
    assert!(!text.contains("apisix_"));
    // Later only what never expires is there, and calls are counted anew.
    let later: String = metrics.parts(start + Duration::from_secs(61)).collect();
    assert!(!later.contains("gw_http_status{") && later.contains("gw_bandwidth{"));
    apisix.call(&ai_call(), &Shape::default());
    let text = metrics.text();
    assert!(text.contains("gw_http_status{") && text.contains("} 1608\n"));
}

#[test]
fn tokens_are_counted_as_the_log_tells_them() {
    let call = CallRecord {
        usage: Some(TokenUsage {
            prompt: 100,
            completion: 5,
            cached: 40,
            ..TokenUsage::default()
        }),
        llm_tokens: LlmTokens::CacheApart,
        ..ai_call()
    };
    let text = counted(&Settings::default(), &Shape::default(), &[call]);
    assert!(text.contains(r#"llm_model="gpt-4"} 60"#));
}

#[test]
fn calls_under_way_are_active_until_they_end() {
    let metrics = Arc::new(Metrics::default());
    let apisix = ApisixMetrics::new(metrics.clone(), &Settings::default());
    let labels = ActiveLabels {
        route: "1",
        node: "main",
        request_type: "ai_stream",
        request_model: "gpt-3",
        upstream_model: "gpt-4",
        ..ActiveLabels::default()
    };
    let series = r#"apisix_llm_active_connections{route="",route_id="1",matched_uri="",matched_host="",service="",service_id="",consumer="",node="main",request_type="ai_stream",request_llm_model="gpt-3",llm_model="gpt-4"}"#;
    let begin = || apisix.begins(&labels, &Shape::default());
    let (first, second) = (begin(), begin());
    assert_has(&metrics.text(), &format!("{series} 2"));
    drop(first);
    assert_has(&metrics.text(), &format!("{series} 1"));
    drop(second);
    assert_has(&metrics.text(), &format!("{series} 0"));
}

#[test]
fn names_of_models_are_cut_and_bounded() {
    let settings = Settings {
        max_models: 2,
        ..Settings::default()
    };
    let long = "a".repeat(200);
    let names = [long.as_str(), "gpt-4", "b", "c"];
    let calls = names.map(|name| CallRecord {
        request_model: Some(name),
        ..ai_call()
    });
    let text = counted(&settings, &Shape::default(), &calls);
    let cut = format!(r#"request_llm_model="{}","#, "a".repeat(128));
    assert!(text.contains(&cut));
    assert!(text.contains(r#"request_llm_model="other",llm_model="gpt-4"} 26"#));
}
