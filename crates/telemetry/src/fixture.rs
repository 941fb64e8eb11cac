//! A finished call for tests: the one of the NGINX demo's README, to be changed field by field.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;

use crate::prices::{Cost, PriceState, Usd};
use crate::record::{Attempt, CallRecord, LlmTokens, RequestType, TokenUsage};

/// Its attempts.
pub const ATTEMPTS: &[Attempt<'static>] = &[Attempt {
    instance: "openai-main",
    provider: Some("openai"),
    model: Some("gpt-5"),
    response_model: Some("gpt-5-2025-08-07"),
    dialect: Some("openai_chat"),
    started: Duration::from_millis(2),
    upstream_addr: Some("api.openai.com:443"),
    status: Some(200),
    outcome: "ok",
    duration: Duration::from_millis(2858),
    first_byte: Some(Duration::from_micros(2_858_400)),
    usage: Some(USAGE),
    usage_object: r#"{"prompt_tokens":13,"completion_tokens":39,"total_tokens":52}"#,
    service_tier: None,
    cost: Cost {
        usd: Usd::ZERO,
        price: PriceState::Nothing,
        estimated: false,
    },
    response_id: None,
    finish_reason: None,
    span: None,
    losses: "",
}];

const USAGE: TokenUsage = TokenUsage {
    prompt: 13,
    completion: 39,
    total: 52,
    cached: 0,
    cache_write: 0,
    cache_write_1h: 0,
    audio_input: 0,
    audio_output: 0,
    image_input: 0,
    image_output: 0,
    video_input: 0,
    tool_input: 0,
    reasoning: 0,
    searches: 0,
    estimated: false,
};

/// No headers.
pub static NO_HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

/// A successful model call of 2.9 s that ended at 2026-11-21T00:30:39Z.
pub fn call<'a>() -> CallRecord<'a> {
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
        request_headers: &NO_HEADERS,
        secret_names: &[],
        request_bytes: 120,
        request_body: None,
        response_headers: None,
        response_body: None,
        is_summarised: false,
        payload: None,
        content: None,
        request_id: "5c5e0b95f8d303cb81e4dc456a4b12d9",
        route: Some("chat"),
        route_name: None,
        service: None,
        service_name: None,
        matched_host: "",
        matched_uri: "",
        consumer: Some("user-a"),
        team: None,
        charges: &[],
        credential: None,
        operation: Some("chat"),
        client_dialect: Some("openai_chat"),
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
        usage: Some(USAGE),
        cost: Cost::default(),
        price_pack: "",
        llm_tokens: LlmTokens::Inclusive,
        losses: "",
        error_code: None,
        upstream_scheme: Some("https"),
        upstream_host: Some("api.openai.com"),
        upstream_uri: Some("/v1/chat/completions"),
        client_gone: false,
        trace: None,
    }
}
