//! Entries as their readers parse them.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Bodies, Entry, LogFormat, Told, lookup, write_origin};
use crate::fixture;
use crate::record::{CallRecord, Excerpt, Part, Payload, RequestType};

const ALL: Bodies = Bodies {
    request: Some(100),
    response: Some(100),
    variable: 100,
};

fn written(entry: &Entry, call: &CallRecord<'_>, bodies: Bodies) -> Value {
    let mut out = Vec::new();
    entry.write(call, bodies, &mut out);
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
}

fn formatted(format: &Value, call: &CallRecord<'_>) -> Value {
    let entry = Entry {
        log_format: Some(LogFormat::read(format)),
        ..Entry::default()
    };
    written(&entry, call, ALL)
}

fn headers(told: &[(&'static str, &'static [u8])]) -> HeaderMap {
    told.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            )
        })
        .collect()
}

fn whole(bytes: &[u8]) -> Option<Excerpt<'_>> {
    Some(Excerpt { bytes, is_cut: false })
}

#[test]
fn the_default_entry_tells_request_answer_and_times() {
    let sent = headers(&[
        ("host", b"localhost:4242"),
        ("x-tag", b"a"),
        ("x-tag", b"b"),
        ("x-odd", b"\xff\"\\\n".trim_ascii_end()),
    ]);
    let got = headers(&[("content-type", b"application/json")]);
    let call = CallRecord {
        request_uri: "/v1/chat/completions?a=1&b&a=2&c=%C3%A9+x",
        request_headers: &sent,
        response_headers: Some(&got),
        request_body: whole(b"{\"model\":\"gpt-5\"}"),
        response_body: whole("caf\u{e9}\n".as_bytes()),
        bytes_sent: Some(1000),
        ..fixture::call()
    };
    let mut entry = written(&Entry::default(), &call, ALL);
    let hostname = entry["server"]["hostname"].take();
    assert!(hostname.is_string());
    assert_eq!(
        entry,
        json!({
            "request": {
                "url": "http://localhost:4242/v1/chat/completions?a=1&b&a=2&c=%C3%A9+x",
                "uri": "/v1/chat/completions?a=1&b&a=2&c=%C3%A9+x",
                "method": "POST",
                "headers": {"host": "localhost:4242", "x-tag": ["a", "b"], "x-odd": "\u{fffd}\"\\"},
                "querystring": {"a": ["1", "2"], "b": true, "c": "é x"},
                "size": 233,
                "body": "{\"model\":\"gpt-5\"}",
            },
            "response": {
                "status": 200,
                "headers": {"content-type": "application/json"},
                "size": 1000,
                "body": "café\n",
            },
            "server": {"hostname": null, "version": env!("CARGO_PKG_VERSION")},
            "upstream": "api.openai.com:443",
            "service_id": "",
            "route_id": "chat",
            "consumer": {"username": "user-a"},
            "client_ip": "192.168.215.1",
            "start_time": 1_795_221_036_100_u64,
            "latency": 2900,
            "upstream_latency": 2858,
            "apisix_latency": 42,
        })
    );
}

#[test]
fn what_is_not_known_is_left_out_and_calls_without_a_route_are_told_by_their_host() {
    let call = CallRecord {
        route: None,
        consumer: None,
        attempts: &[],
        upstream_response_time: None,
        ..fixture::call()
    };
    let entry = Entry {
        unmatched_route_id: Some("no-matched"),
        ..Entry::default()
    };
    let told = written(&entry, &call, Bodies::default());
    assert_eq!(told["service_id"], "localhost");
    assert_eq!(told["route_id"], "no-matched");
    assert_eq!(told["apisix_latency"], 2900);
    for absent in ["upstream", "upstream_latency", "consumer"] {
        assert!(told.get(absent).is_none(), "{absent}");
    }
    assert!(told["request"].get("body").is_none());
    assert!(written(&Entry::default(), &call, ALL).get("route_id").is_none());
}

#[test]
fn bodies_are_cut_at_their_limits() {
    let call = CallRecord {
        request_body: whole(b"0123456789"),
        response_body: whole("0é".as_bytes()),
        ..fixture::call()
    };
    let bodies = Bodies {
        request: Some(4),
        response: Some(2),
        variable: 3,
    };
    let told = written(&Entry::default(), &call, bodies);
    assert_eq!(told["request"]["body"], "0123");
    assert_eq!(told["response"]["body"], "0\u{fffd}");
    let entry = Entry {
        log_format: Some(LogFormat::read(&json!({"b": "$request_body", "r": "$resp_body"}))),
        ..Entry::default()
    };
    assert_eq!(entry.wants(7), (7, 7));
    let told = written(&entry, &call, bodies);
    assert_eq!(told["b"], "012");
    assert_eq!(told["r"], "0\u{fffd}");
}

#[test]
fn a_format_names_members_nests_and_says_nothing_of_what_is_not_there() {
    let sent = headers(&[("x-team", b"blue"), ("cookie", b"a=1; b=2")]);
    let got = headers(&[("x-rate", b"3")]);
    let call = CallRecord {
        request_uri: "/hello?x=a%20b&y",
        request_headers: &sent,
        response_headers: Some(&got),
        service: Some("s1"),
        ..fixture::call()
    };
    let told = formatted(
        &json!({
            "host": "$host",
            "client_ip": "$remote_addr",
            "status": "$status",
            "team": "$http_x_team",
            "arg": "$arg_x",
            "bare": "$arg_y",
            "rate": "$sent_http_x_rate",
            "absent": "$http_x_absent",
            "unknown": "$nobody_knows",
            "literal": "text \"$status\"",
            "number": 5,
            "yes": true,
            "list": ["$status", "x", "$nobody_knows"],
            "nested": {"a": {"b": {"c": {"d": {"e": 1}, "d2": "deepest"}}}},
            "route_id": "mine",
            "tokens": "$llm_prompt_tokens",
            "stream": "$llm_stream",
            "line": "$request",
        }),
        &call,
    );
    assert_eq!(
        told,
        json!({
            "host": "localhost",
            "client_ip": "192.168.215.1",
            "status": "200",
            "team": "blue",
            "arg": "a b",
            "bare": "",
            "rate": "3",
            "literal": "text \"$status\"",
            "number": 5,
            "yes": true,
            "list": ["200", "x"],
            "nested": {"a": {"b": {"c": {"d": {}, "d2": "deepest"}}}},
            "service_id": "s1",
            "route_id": "chat",
            "tokens": 13,
            "stream": "false",
            "line": "POST /hello?x=a%20b&y HTTP/1.1",
        })
    );
}

#[test]
fn extra_members_take_the_place_of_none() {
    let entry = Entry {
        log_format_extra: Some(LogFormat::read(&json!({
            "team": "$http_x_team",
            "model": "$request_llm_model",
            "request": "mine",
            "consumer": "mine",
            "route_id": "mine",
        }))),
        ..Entry::default()
    };
    let told = written(&entry, &fixture::call(), Bodies::default());
    assert_eq!(told["model"], "gpt-5");
    assert_eq!(told["route_id"], "chat");
    assert_eq!(told["consumer"], json!({"username": "user-a"}));
    assert!(told["request"].is_object());
    assert!(told.get("team").is_none());
    let nobody = CallRecord {
        consumer: None,
        ..fixture::call()
    };
    assert_eq!(written(&entry, &nobody, Bodies::default())["consumer"], "mine");
}

#[test]
fn credentials_are_masked_wherever_they_travel_unless_that_is_switched_off() {
    const KEY: &[u8] = b"planted-secret";
    let sent = headers(&[
        ("authorization", b"Bearer planted-secret"),
        ("apikey", KEY),
        ("x-api-key", KEY),
        ("api-key", KEY),
        ("x-goog-api-key", KEY),
        ("cookie", b"session=planted-secret"),
        ("x-team-pass", KEY),
        ("referer", b"https://a.example/?api_key=planted-secret"),
    ]);
    let got = headers(&[("set-cookie", b"session=planted-secret")]);
    let call = CallRecord {
        request_uri: "/v1/models?key=planted-secret&pass=planted-secret&x=1",
        upstream_uri: Some("/v1/models?key=planted-secret"),
        referer: Some("https://a.example/?api_key=planted-secret"),
        request_headers: &sent,
        response_headers: Some(&got),
        secret_names: &["x-team-pass", "pass"],
        request_type: RequestType::TraditionalHttp,
        ..fixture::call()
    };
    let format = json!({
        "a": "$http_authorization", "b": "$http_apikey", "c": "$http_cookie", "d": "$cookie_session",
        "e": "$arg_key", "f": "$arg_pass", "g": "$request_uri", "h": "$args", "i": "$request",
        "j": "$http_x_team_pass", "k": "$sent_http_set_cookie", "l": "$upstream_uri", "m": "$http_referer",
        "n": "$query_string", "o": "$request_line",
    });
    for log_format in [None, Some(LogFormat::read(&format))] {
        let mut entry = Entry {
            log_format,
            ..Entry::default()
        };
        let text = written(&entry, &call, ALL).to_string();
        assert!(!text.contains("planted-secret"), "{text}");
        assert!(text.contains("***"));
        entry.reveals_secrets = true;
        let text = written(&entry, &call, ALL).to_string();
        assert!(text.matches("planted-secret").count() > 10, "{text}");
    }
    let mut origin = Vec::new();
    write_origin(&call, None, false, &mut origin);
    assert!(!String::from_utf8(origin).unwrap().contains("planted-secret"));
}

#[test]
fn what_a_model_call_used_is_summarised_with_apisix_types() {
    let call = CallRecord {
        is_summarised: true,
        ..fixture::call()
    };
    let expected = json!({
        "request_model": "gpt-5",
        "model": "gpt-5",
        "duration": 2858,
        "prompt_tokens": 13,
        "completion_tokens": 39,
        "total_tokens": 52,
        "upstream_response_time": 2858,
        "stream": "false",
        "tool_count": 2,
        "has_tool_calls": "false",
        "end_user_id": "alice",
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "reasoning_tokens": 0,
        "content_risk_level": "",
    });
    let told = written(&Entry::default(), &call, ALL);
    assert_eq!(told["llm_summary"], expected);
    assert!(told.get("llm_request").is_none());
    assert_eq!(formatted(&json!({"x": 1}), &call)["llm_summary"], expected);
    let refused = CallRecord {
        attempts: &[],
        usage: None,
        time_to_first_token: None,
        upstream_response_time: None,
        ..call
    };
    let summary = &written(&Entry::default(), &refused, ALL)["llm_summary"];
    assert_eq!(summary["prompt_tokens"], "0");
    assert_eq!(summary["duration"], "0");
    assert!(summary.get("upstream_response_time").is_none());
}

#[test]
fn what_was_said_is_told_as_it_was_and_marked_where_it_was_cut() {
    let messages = r#"[{"role":"user","content":"1 + 1"}]"#;
    let part = |text, is_cut| Some(Part { text, is_cut });
    let call = CallRecord {
        payload: Some(Payload {
            messages: part(messages, false),
            text: part("2\n\"two\"", false),
        }),
        ..fixture::call()
    };
    let told = written(&Entry::default(), &call, ALL);
    let expected = json!({"messages": [{"role": "user", "content": "1 + 1"}], "stream": false});
    assert_eq!(told["llm_request"], expected);
    assert_eq!(told["llm_response_text"], json!({"content": "2\n\"two\""}));
    let cut = CallRecord {
        payload: Some(Payload {
            messages: part(&messages[..9], true),
            text: part("2", true),
        }),
        request_type: RequestType::AiStream,
        ..call
    };
    let told = written(&Entry::default(), &cut, ALL);
    assert_eq!(
        told["llm_request"],
        json!({"messages": "[{\"role\":", "truncated": true, "stream": true})
    );
    assert_eq!(
        told["llm_response_text"],
        json!({"content": "2", "truncated": true})
    );
    let silent = CallRecord {
        payload: Some(Payload::default()),
        ..call
    };
    assert_eq!(
        written(&Entry::default(), &silent, ALL)["llm_response_text"],
        json!({})
    );
}

#[test]
fn the_request_can_be_told_as_it_came() {
    let sent = headers(&[("host", b"localhost"), ("content-length", b"6")]);
    let call = CallRecord {
        method: "GET",
        request_uri: "/hello?ab=cd",
        request_headers: &sent,
        request_body: whole(b"abcdef"),
        ..fixture::call()
    };
    let origin = |body| {
        let mut out = Vec::new();
        write_origin(&call, body, false, &mut out);
        String::from_utf8(out).unwrap()
    };
    let head = "GET /hello?ab=cd HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\n";
    assert_eq!(origin(None), head);
    assert_eq!(origin(Some(100)), format!("{head}abcdef"));
    assert_eq!(origin(Some(2)), format!("{head}ab"));
}

#[test]
fn expressions_see_variables_unmasked() {
    let sent = headers(&[("authorization", b"Basic x")]);
    let call = CallRecord {
        request_uri: "/a?name=qwerty",
        request_headers: &sent,
        request_body: whole(b"abc"),
        ..fixture::call()
    };
    let text = |name: &str| match lookup(&call, name) {
        Some(Told::Text(text)) => Some(text.into_owned()),
        Some(Told::Number(number)) => Some(number.to_string()),
        Some(Told::Bytes(_)) | None => None,
    };
    for (name, value) in [
        ("arg_name", Some("qwerty")),
        ("http_authorization", Some("Basic x")),
        ("status", Some("200")),
        ("request_body", Some("abc")),
        ("llm_total_tokens", Some("52")),
        ("request_length", Some("176")),
        ("arg_none", None),
    ] {
        assert_eq!(text(name).as_deref(), value, "{name}");
    }
}

proptest! {
    #[test]
    fn whatever_a_client_sends_an_entry_is_one_json_object(
        uri in ".{0,40}\\?.{0,40}",
        name in "[a-z0-9-]{1,12}",
        value in vec(any::<u8>().prop_filter("allowed in headers", |byte| *byte >= 32 && *byte != 127 || *byte == 9), 0..40),
        body in vec(any::<u8>(), 0..60),
        limit in 0usize..80,
        text in ".{0,20}",
    ) {
        let mut sent = HeaderMap::new();
        let value = HeaderValue::from_bytes(&value).unwrap();
        sent.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.clone());
        sent.append("cookie", value);
        let call = CallRecord {
            request_uri: &uri,
            request_headers: &sent,
            response_headers: Some(&sent),
            request_body: whole(&body),
            response_body: whole(&body),
            end_user: Some(&text),
            host: Some(&text),
            is_summarised: true,
            payload: Some(Payload { messages: None, text: Some(Part { text: &text, is_cut: true }) }),
            ..fixture::call()
        };
        let bodies = Bodies { request: Some(limit), response: Some(limit), variable: limit };
        for reveals_secrets in [false, true] {
            for log_format in [None, Some(LogFormat::read(&json!({
                "a": "$request_uri", "b": "$request_body", "c": "$http_cookie", "d": "$args", "e": "$host",
                "f": format!("$http_{}", name.replace('-', "_")), "g": "$cookie_a", "h": "$llm_end_user_id",
            })))] {
                let entry = Entry { log_format, reveals_secrets, ..Entry::default() };
                prop_assert!(written(&entry, &call, bodies).is_object());
            }
        }
    }
}
