//! A finished call for tests: the one of the NGINX demo's README, to be changed field by field.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, UNIX_EPOCH};

use crate::record::{Attempt, CallRecord, LlmTokens, RequestType, TokenUsage};

pub(crate) const ATTEMPTS: &[Attempt<'static>] = &[Attempt {
    instance: "openai-main",
    upstream_addr: Some("api.openai.com:443"),
    status: Some(200),
    outcome: "ok",
    duration: Duration::from_millis(2858),
}];

/// A successful model call of 2.9 s that ended at 2026-11-21T00:30:39Z.
pub(crate) fn call<'a>() -> CallRecord<'a> {
    CallRecord {
        remote_addr: IpAddr::V4(Ipv4Addr::new(192, 168, 215, 1)),
        remote_port: 51234,
        server_addr: "10.0.0.1:4242".parse().ok(),
        scheme: "http",
        time: UNIX_EPOCH + Duration::from_millis(1_795_221_036_100),
        method: "POST",
        request_uri: "/v1/chat/completions",
        http_version: "HTTP/1.1",
        status: 200,
        body_bytes_sent: 804,
        bytes_sent: None,
        request_time: Duration::from_millis(2900),
        host: Some("localhost:4242"),
        referer: None,
        user_agent: Some("curl/8.6.0"),
        x_forwarded_for: None,
        header: &|_| None,
        request_id: "5c5e0b95f8d303cb81e4dc456a4b12d9",
        route: Some("chat"),
        consumer: Some("user-a"),
        request_type: RequestType::AiChat,
        request_model: Some("gpt-5"),
        upstream_model: Some("gpt-5"),
        response_model: Some("gpt-5-2025-08-07"),
        end_user: Some("alice"),
        tool_count: 2,
        has_tool_calls: false,
        content_risk_level: None,
        provider: Some("openai"),
        instance: Some("openai-main"),
        attempts: ATTEMPTS,
        time_to_first_token: Some(Duration::from_micros(2_858_400)),
        upstream_response_time: Some(Duration::from_millis(2858)),
        usage: Some(TokenUsage {
            prompt: 13,
            completion: 39,
            total: 52,
            ..TokenUsage::default()
        }),
        llm_tokens: LlmTokens::Inclusive,
        losses: "",
        error_code: None,
        upstream_scheme: Some("https"),
        upstream_host: Some("api.openai.com"),
        upstream_uri: Some("/v1/chat/completions"),
        client_gone: false,
    }
}
