//! Clients that would write lines of their own, and what no line may hold.

use super::*;

#[test]
fn no_client_can_forge_a_line_or_leave_its_quotes() {
    let evil = "x\" 200 0\r\n10.0.0.9 - - \"GET / HTTP/1.1\\\u{1b}[2J\u{2028}";
    let headers = headers(&[("x-evil", b"x\" 200 \\ \xe2\x80\xa8")]);
    let attempts = [Attempt {
        instance: evil,
        upstream_addr: Some(evil),
        ..fixture::ATTEMPTS[0]
    }];
    let call = CallRecord {
        scheme: evil,
        method: evil,
        request_uri: evil,
        host: Some(evil),
        referer: Some(evil),
        user_agent: Some(evil),
        x_forwarded_for: Some(evil),
        request_headers: &headers,
        request_id: evil,
        route: Some(evil),
        consumer: Some(evil),
        request_model: Some(evil),
        upstream_model: Some(evil),
        response_model: Some(evil),
        end_user: Some(evil),
        content_risk_level: Some(evil),
        provider: Some(evil),
        instance: Some(evil),
        attempts: &attempts,
        losses: evil,
        error_code: Some(evil),
        upstream_scheme: Some(evil),
        upstream_host: Some(evil),
        upstream_uri: Some(evil),
        ..fixture::call()
    };
    for name in variables::names().chain(["http_x_evil"]) {
        let line = line(&format!("${name}"), &call);
        assert!(
            line.bytes()
                .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"'),
            "${name}: {line}"
        );
    }
    assert_eq!(
        line("$http_user_agent", &call),
        r"x\x22 200 0\x0D\x0A10.0.0.9 - - \x22GET / HTTP/1.1\x5C\x1B[2J\xE2\x80\xA8"
    );
    let mut out = Vec::new();
    Format::Json.write(&call, &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["user_agent"], evil);
}

#[test]
fn what_plugins_take_for_credentials_is_masked_whatever_it_is_called() {
    let headers = headers(&[("x-team-pass", b"sk-planted-secret")]);
    let call = CallRecord {
        request_uri: "/chat?pass=sk-planted-secret&x=1",
        referer: Some("https://a.example/?pass=sk-planted-secret"),
        request_headers: &headers,
        secret_names: &["x-team-pass", "pass"],
        ..fixture::call()
    };
    assert_eq!(
        line("$request_uri $args $http_x_team_pass $http_referer", &call),
        "/chat?pass=***&x=1 pass=***&x=1 *** https://a.example/?pass=***"
    );
    assert_eq!(json(&call)["uri"], "/chat?pass=***&x=1");
}

#[test]
fn no_key_reaches_the_log() {
    const KEY: &str = "sk-planted-secret";
    let headers = headers(&[
        ("authorization", KEY.as_bytes()),
        ("x-api-key", KEY.as_bytes()),
        ("apikey", KEY.as_bytes()),
        ("cookie", KEY.as_bytes()),
        ("x-goog-api-key", KEY.as_bytes()),
    ]);
    let call = CallRecord {
        request_uri: "/v1/models?key=sk-planted-secret&x=1",
        referer: Some("https://a.example/?api_key=sk-planted-secret"),
        upstream_uri: Some("/v1beta/x?key=sk-planted-secret"),
        request_headers: &headers,
        ..fixture::call()
    };
    let secret_headers = [
        "http_authorization",
        "http_x_api_key",
        "http_apikey",
        "http_cookie",
        "http_x_goog_api_key",
    ];
    for name in variables::names().chain(secret_headers) {
        assert!(!line(&format!("${name}"), &call).contains(KEY), "${name}");
    }
    assert_eq!(line("$http_authorization", &call), "***");
    assert_eq!(line("$http_authorization", &fixture::call()), "-");
    assert_eq!(line("$request", &call), "POST /v1/models?key=***&x=1 HTTP/1.1");
    let mut out = Vec::new();
    Format::Json.write(&call, &mut out);
    assert!(!String::from_utf8(out).unwrap().contains(KEY));
}
