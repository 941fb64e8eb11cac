use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::time::Zone;
use super::*;
use crate::fixture;
use crate::prices::{Cost, PriceState, Usd};
use crate::record::{Attempt, LlmTokens, RequestType, TokenUsage};

mod hostile;
mod json;
mod manual;

/// The line of the call in UTC.
fn line(format: &str, record: &CallRecord<'_>) -> String {
    let mut template = Template::parse(format).unwrap();
    template.zone = Zone::Utc;
    let mut out = Vec::new();
    Format::Text(template).write(record, &mut out);
    let line = String::from_utf8(out).unwrap();
    line.strip_suffix('\n').unwrap().to_owned()
}

/// The call as a JSON line, read back.
fn json(record: &CallRecord<'_>) -> serde_json::Value {
    let mut out = Vec::new();
    Format::Json.write(record, &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn headers(told: &[(&'static str, &[u8])]) -> HeaderMap {
    told.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            )
        })
        .collect()
}

fn refusal(format: &str) -> (usize, String) {
    let error = Format::parse(format).unwrap_err();
    (error.position, error.text)
}

#[test]
fn the_demo_logs_the_tokens_of_a_success() {
    assert_eq!(
        line(NGINX_DEMO, &fixture::call()),
        r#"192.168.215.1 - - [21/Nov/2026:00:30:39 +0000] "POST /v1/chat/completions HTTP/1.1" 200 804 "-" "curl/8.6.0" "-" prompt_tokens=13 completion_tokens=39 total_tokens=52"#
    );
}

#[test]
fn the_demo_logs_empty_tokens_for_a_failure() {
    let refused = CallRecord {
        status: 401,
        body_bytes_sent: 254,
        usage: None,
        ..fixture::call()
    };
    assert_eq!(
        line(NGINX_DEMO, &refused),
        r#"192.168.215.1 - - [21/Nov/2026:00:30:39 +0000] "POST /v1/chat/completions HTTP/1.1" 401 254 "-" "curl/8.6.0" "-" prompt_tokens= completion_tokens= total_tokens="#
    );
}

#[test]
fn the_demo_logs_tokens_only_for_a_200_and_never_a_zero() {
    let format = "$ai_proxy_response_prompt_tokens/$ai_proxy_response_completion_tokens/$ai_proxy_response_total_tokens";
    assert_eq!(
        line(
            format,
            &CallRecord {
                status: 201,
                ..fixture::call()
            }
        ),
        "//"
    );
    let usage = TokenUsage {
        prompt: 5,
        total: 5,
        ..TokenUsage::default()
    };
    assert_eq!(
        line(
            format,
            &CallRecord {
                usage: Some(usage),
                ..fixture::call()
            }
        ),
        "5//5"
    );
}

#[test]
fn the_format_of_the_apisix_guide_gives_the_line_of_the_guide() {
    let format = r#"$remote_addr - $remote_user [$time_local] $http_host "$request_line" $status $body_bytes_sent $request_time "$http_referer" "$http_user_agent" $upstream_addr $upstream_status $apisix_upstream_response_time "$upstream_scheme://$upstream_host$upstream_uri" "$apisix_request_id" "$request_type" "$llm_time_to_first_token" "$llm_model" "$request_llm_model" "$llm_prompt_tokens" "$llm_completion_tokens""#;
    let call = CallRecord {
        host: Some("api.openai.com"),
        request_uri: "/anything",
        request_time: Duration::from_millis(2858),
        upstream_response_time: Some(Duration::from_millis(5765)),
        upstream_model: Some("gpt-4"),
        request_model: Some("gpt-4"),
        usage: Some(TokenUsage {
            prompt: 23,
            completion: 8,
            total: 31,
            ..TokenUsage::default()
        }),
        ..fixture::call()
    };
    assert_eq!(
        line(format, &call),
        r#"192.168.215.1 - - [21/Nov/2026:00:30:38 +0000] api.openai.com "POST /anything HTTP/1.1" 200 804 2.858 "-" "curl/8.6.0" api.openai.com:443 200 5765 "https://api.openai.com/v1/chat/completions" "5c5e0b95f8d303cb81e4dc456a4b12d9" "ai_chat" "2858" "gpt-4" "gpt-4" "23" "8""#
    );
}

#[test]
fn llm_variables_of_an_ordinary_call_have_the_values_apisix_starts_with() {
    let call = CallRecord {
        request_type: RequestType::TraditionalHttp,
        request_model: None,
        upstream_model: None,
        response_model: None,
        end_user: None,
        tool_count: 0,
        usage: None,
        time_to_first_token: None,
        ..fixture::call()
    };
    let format = r#""$request_type" "$llm_time_to_first_token" "$llm_model" "$request_llm_model" "$llm_prompt_tokens" "$llm_completion_tokens" "$llm_total_tokens" "$llm_stream" "$llm_has_tool_calls" "$llm_tool_count" "$llm_end_user_id" "$llm_content_risk_level""#;
    assert_eq!(
        line(format, &call),
        r#""traditional_http" "0" "" "" "0" "0" "0" "false" "false" "0" "" """#
    );
    assert_eq!(line("$apisix_upstream_response_time", &call), "2.858");
}

#[test]
fn the_models_asked_for_asked_upstream_and_answering_are_told_apart() {
    let call = CallRecord {
        request_model: Some("gpt-4"),
        upstream_model: Some("gpt-3.5-turbo"),
        response_model: Some("gpt-3.5-turbo-0125"),
        ..fixture::call()
    };
    let format = "$request_llm_model/$llm_model/$llm_response_model";
    assert_eq!(line(format, &call), "gpt-4/gpt-3.5-turbo/gpt-3.5-turbo-0125");
    assert_eq!(json(&call)["model"], "gpt-3.5-turbo-0125");
    let silent = CallRecord {
        response_model: None,
        ..call
    };
    assert_eq!(line(format, &silent), "gpt-4/gpt-3.5-turbo/");
    assert_eq!(json(&silent)["model"], "gpt-3.5-turbo");
}

#[test]
fn tools_and_the_end_user_are_told() {
    let call = CallRecord {
        tool_count: 3,
        has_tool_calls: true,
        end_user: Some("alice \"the\" user"),
        content_risk_level: Some("high"),
        ..fixture::call()
    };
    assert_eq!(
        line(
            "$llm_has_tool_calls $llm_tool_count $llm_end_user_id $llm_content_risk_level",
            &call
        ),
        r"true 3 alice \x22the\x22 user high"
    );
    let told = json(&call);
    assert_eq!(
        (&told["has_tool_calls"], &told["tool_count"], &told["end_user"]),
        (&true.into(), &3.into(), &"alice \"the\" user".into())
    );
}

#[test]
fn a_line_tells_what_a_call_cost_and_how_far_that_is_known() {
    let cost = |cost| {
        let call = CallRecord {
            cost,
            ..fixture::call()
        };
        let mut object = Vec::new();
        Format::Json.write(&call, &mut object);
        let object = String::from_utf8(object).unwrap();
        let (_, told) = object.split_once(r#""cost_"#).unwrap_or_default();
        let end = told.find(r#","tool_count"#).unwrap_or(0);
        (
            line("$tollgate_cost $tollgate_cost_state", &call),
            told[..end].to_owned(),
        )
    };
    let known = Cost {
        usd: Usd::from_pico(422_500_001),
        price: PriceState::Known,
        estimated: false,
    };
    assert_eq!(
        cost(known),
        (
            "0.000422500001 known".to_owned(),
            r#"usd":0.000422500001,"cost_state":"known""#.to_owned()
        )
    );
    assert_eq!(
        cost(Cost::UNKNOWN),
        ("- unknown".to_owned(), r#"state":"unknown""#.to_owned())
    );
    assert_eq!(cost(Cost::default()), ("0 nothing".to_owned(), String::new()));
}

#[test]
fn tokens_of_a_cache_stand_apart_where_apisix_counts_them_so() {
    let cached = TokenUsage {
        prompt: 1_000,
        completion: 50,
        total: 1_050,
        cached: 700,
        cache_write: 200,
        ..TokenUsage::default()
    };
    let format = "$llm_prompt_tokens $llm_completion_tokens $llm_total_tokens $llm_cache_read_input_tokens \
                  $llm_cache_creation_input_tokens $ai_proxy_response_prompt_tokens";
    for (llm_tokens, expected) in [
        (LlmTokens::Inclusive, "1000 50 1050 700 200 1000"),
        (LlmTokens::CacheApart, "100 50 150 700 200 1000"),
        (LlmTokens::Untold, "0 0 0 0 0 1000"),
    ] {
        let call = CallRecord {
            usage: Some(cached),
            llm_tokens,
            ..fixture::call()
        };
        assert_eq!(line(format, &call), expected, "{llm_tokens:?}");
        assert_eq!(json(&call)["usage"]["prompt_tokens"], 1_000, "{llm_tokens:?}");
    }
}

#[test]
fn the_query_sent_upstream_is_only_logged_for_calls_that_are_no_model_calls() {
    let to = |request_type| {
        let call = CallRecord {
            request_type,
            upstream_uri: Some("/v1/x?api-version=1&secret=hidden"),
            ..fixture::call()
        };
        line("$upstream_uri", &call)
    };
    assert_eq!(to(RequestType::AiChat), "/v1/x");
    assert_eq!(to(RequestType::AiStream), "/v1/x");
    assert!(to(RequestType::TraditionalHttp).starts_with("/v1/x?api-version=1&"));
}

#[test]
fn latencies_of_model_calls_are_whole_milliseconds() {
    let call = CallRecord {
        time_to_first_token: Some(Duration::from_micros(207_900)),
        upstream_response_time: Some(Duration::from_micros(1_000_999)),
        ..fixture::call()
    };
    let format = "$llm_time_to_first_token $apisix_upstream_response_time";
    assert_eq!(line(format, &call), "207 1000");
    let unreachable = CallRecord {
        time_to_first_token: None,
        ..call
    };
    assert_eq!(line(format, &unreachable), "0 1000");
}

#[test]
fn every_attempt_is_in_the_upstream_variables() {
    let attempts = [
        Attempt {
            instance: "a",
            upstream_addr: None,
            status: None,
            outcome: "connect_error",
            duration: Duration::from_millis(7),
            ..fixture::ATTEMPTS[0]
        },
        Attempt {
            instance: "b",
            upstream_addr: Some("10.0.0.2:443"),
            status: Some(503),
            outcome: "bad_status",
            duration: Duration::from_millis(1250),
            ..fixture::ATTEMPTS[0]
        },
        fixture::ATTEMPTS[0],
    ];
    let call = CallRecord {
        attempts: &attempts,
        ..fixture::call()
    };
    assert_eq!(
        line("$upstream_addr", &call),
        "-, 10.0.0.2:443, api.openai.com:443"
    );
    assert_eq!(line("$upstream_status", &call), "-, 503, 200");
    assert_eq!(line("$upstream_response_time", &call), "0.007, 1.250, 2.858");
    assert_eq!(
        line("$tollgate_attempts", &call),
        "a=connect_error, b=bad_status, openai-main=ok"
    );
}

#[test]
fn what_is_missing_is_a_dash() {
    let call = CallRecord {
        server_addr: None,
        host: None,
        user_agent: None,
        route: None,
        consumer: None,
        provider: None,
        instance: None,
        attempts: &[],
        upstream_response_time: None,
        usage: None,
        upstream_scheme: None,
        upstream_host: None,
        upstream_uri: None,
        ..fixture::call()
    };
    let format = "$server_addr $server_port $host $http_host $http_user_agent $http_x_team $args $route_id \
                  $consumer_name $tollgate_provider $tollgate_instance $tollgate_attempts $upstream_addr \
                  $upstream_status $upstream_response_time $apisix_upstream_response_time $bytes_sent \
                  $tollgate_losses $tollgate_error_code $tollgate_usage";
    assert_eq!(line(format, &call), ["-"; 20].join(" "));
    assert_eq!(
        line("$upstream_scheme://$upstream_host$upstream_uri", &call),
        "-://-"
    );
}

#[test]
fn the_outcome_names_who_ended_the_call() {
    let outcome = |call: CallRecord<'_>| line("$tollgate_outcome", &call);
    assert_eq!(outcome(fixture::call()), "ok");
    assert_eq!(
        outcome(CallRecord {
            client_gone: true,
            ..fixture::call()
        }),
        "client_gone"
    );
    assert_eq!(
        outcome(CallRecord {
            attempts: &[],
            status: 429,
            ..fixture::call()
        }),
        "refused"
    );
    assert_eq!(
        outcome(CallRecord {
            attempts: &[],
            status: 200,
            ..fixture::call()
        }),
        "ok"
    );
    let failed = [Attempt {
        outcome: "timeout",
        status: None,
        ..fixture::ATTEMPTS[0]
    }];
    assert_eq!(
        outcome(CallRecord {
            attempts: &failed,
            status: 504,
            ..fixture::call()
        }),
        "timeout"
    );
}

#[test]
fn parts_of_the_request_can_be_logged_alone() {
    let call = CallRecord {
        request_uri: "/v1/x%20y?a=1&b=2",
        host: Some("[::1]:8080"),
        remote_addr: IpAddr::V6(Ipv6Addr::LOCALHOST),
        bytes_sent: Some(1000),
        ..fixture::call()
    };
    assert_eq!(
        line(
            "$request_method $request_uri $uri $args $query_string $server_protocol",
            &call
        ),
        "POST /v1/x%20y?a=1&b=2 /v1/x%20y a=1&b=2 a=1&b=2 HTTP/1.1"
    );
    assert_eq!(
        line(
            "$scheme $host $remote_addr:$remote_port $server_addr $server_port $bytes_sent",
            &call
        ),
        "http [::1] ::1:51234 10.0.0.1 4242 1000"
    );
    assert_eq!(
        line(
            "$host",
            &CallRecord {
                host: Some("Example.COM:80"),
                ..call
            }
        ),
        "example.com"
    );
    assert_eq!(
        line(
            "$host",
            &CallRecord {
                host: Some("[::1]"),
                ..call
            }
        ),
        "[::1]"
    );
    assert_eq!(
        line("$msec $time_iso8601", &call),
        "1795221039.000 2026-11-21T00:30:39+00:00"
    );
    assert_eq!(line("$pid", &call), std::process::id().to_string());
}

#[test]
fn any_request_header_can_be_logged() {
    let headers = headers(&[("x-team-name", b"blue \"team\" \xff")]);
    let call = CallRecord {
        request_headers: &headers,
        ..fixture::call()
    };
    assert_eq!(
        line("$http_x_team_name ${http_X_Team_Name}s", &call),
        r"blue \x22team\x22 \xFF blue \x22team\x22 \xFFs"
    );
}

#[test]
fn a_wrong_format_is_refused_with_its_place_and_a_suggestion() {
    assert_eq!(
        refusal("a $statu b"),
        (2, "unknown variable `$statu`; did you mean `$status`?".to_owned())
    );
    assert_eq!(
        refusal("$status ${llm_prompt_token}"),
        (
            8,
            "unknown variable `$llm_prompt_token`; did you mean `$llm_prompt_tokens`?".to_owned()
        )
    );
    assert_eq!(
        refusal("$zebra_crossing"),
        (0, "unknown variable `$zebra_crossing`".to_owned())
    );
    assert_eq!(refusal("$http_"), (0, "unknown variable `$http_`".to_owned()));
    assert_eq!(
        refusal("costs 5$ each"),
        (7, "`$` without a variable name after it".to_owned())
    );
    assert_eq!(
        refusal("é$"),
        (2, "`$` without a variable name after it".to_owned())
    );
    assert_eq!(refusal("${status"), (0, "`${` without its `}`".to_owned()));
    assert_eq!(
        refusal("${}"),
        (0, "no variable name between `${` and `}`".to_owned())
    );
    assert_eq!(
        refusal("${a b}"),
        (0, "no variable name between `${` and `}`".to_owned())
    );
    assert_eq!(refusal(" \n"), (0, "the format is empty".to_owned()));
    assert_eq!(refusal("$status\n$host").0, 7);
    assert_eq!(
        Format::parse("x $statu").unwrap_err().to_string(),
        "unknown variable `$statu`; did you mean `$status`? at position 2"
    );
}

#[test]
fn braces_end_a_name_and_text_around_variables_is_kept() {
    assert_eq!(
        line("é[${status}0]$status\t$status!\n", &fixture::call()),
        "é[2000]200\t200!"
    );
}

#[test]
fn the_formats_we_name_parse() {
    for format in [COMBINED, NGINX_DEMO, DEFAULT] {
        Format::parse(format).unwrap();
    }
}
