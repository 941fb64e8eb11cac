//! The record of a call as the access log takes it.

use http::Version;
use tollgate_dialects::canonical::Usage;
use tollgate_telemetry::{Attempt, CallRecord, LlmTokens, TokenUsage};

use super::{Record, loss_header};
use crate::manners::Manners;

impl Record {
    /// Hands the line of this call to the access log.
    pub(super) fn write(&self) {
        let made = self.attempts.borrow();
        let last = made.last();
        let losses = last
            .map(|attempt| &attempt.losses)
            .filter(|losses| !losses.is_empty())
            .map_or_else(String::new, loss_header);
        let attempts: Vec<Attempt<'_>> = made
            .iter()
            .map(|attempt| Attempt {
                instance: attempt.asks.name(),
                upstream_addr: attempt.address.as_deref(),
                status: attempt.status,
                // When this is written, every attempt has ended.
                outcome: attempt.outcome.unwrap_or("cancelled"),
                duration: attempt.duration,
            })
            .collect();
        let upstream_model = last
            .and_then(|attempt| attempt.asks.model())
            .filter(|model| !model.is_empty());
        // A client that leaves the model to the route asks for the route's, as APISIX's manual shows it; APISIX itself
        // tells nothing then.
        let by_route = upstream_model.filter(|_| self.manners == Manners::Apisix);
        let headers = &self.request.headers;
        let lookup = |name: &str| {
            headers
                .get(name)
                .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        };
        self.worker.access_log.log(&CallRecord {
            remote_addr: self.client.ip(),
            remote_port: self.peer.address.port(),
            server_addr: None,
            scheme: if self.peer.tls { "https" } else { "http" },
            time: self.time,
            method: self.request.method.as_str(),
            request_uri: self
                .original_uri
                .as_ref()
                .unwrap_or(&self.request.uri)
                .path_and_query()
                .map_or("", |path| path.as_str()),
            http_version: match self.request.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            status: self.status,
            body_bytes_sent: self.bytes_sent,
            bytes_sent: None,
            request_time: self.started.elapsed(),
            host: lookup("host").or_else(|| self.request.uri.authority().map(http::uri::Authority::as_str)),
            referer: lookup("referer"),
            user_agent: lookup("user-agent"),
            x_forwarded_for: lookup("x-forwarded-for"),
            header: &lookup,
            request_id: &self.request_id,
            route: self.route.as_deref(),
            consumer: self.consumer.as_deref(),
            request_type: self.kind,
            request_model: self.request_model.as_deref().or(by_route),
            upstream_model,
            response_model: last
                .and_then(|attempt| attempt.answered_model.as_deref())
                .filter(|model| !model.is_empty()),
            end_user: self.end_user.as_deref(),
            tool_count: self.tool_count,
            has_tool_calls: last.is_some_and(|attempt| attempt.has_tool_calls),
            content_risk_level: None,
            provider: last.and_then(|attempt| attempt.asks.provider()),
            instance: last.map(|attempt| &**attempt.asks.name()),
            attempts: &attempts,
            time_to_first_token: last.and_then(|attempt| attempt.first_byte),
            upstream_response_time: last.map(|attempt| attempt.duration),
            usage: last.and_then(|attempt| attempt.usage.as_ref()).map(token_usage),
            llm_tokens: last.map_or(LlmTokens::Inclusive, super::Attempt::llm_tokens),
            losses: &losses,
            error_code: self.error_code.as_deref(),
            upstream_scheme: last.map(|attempt| attempt.asks.scheme()),
            upstream_host: last.and_then(|attempt| attempt.asks.host()),
            upstream_uri: last
                .map(|attempt| attempt.uri.as_str())
                .filter(|uri| !uri.is_empty()),
            client_gone: !self.complete,
        });
    }
}

/// Usage as the log tells it.
pub(super) fn token_usage(usage: &Usage) -> TokenUsage {
    TokenUsage {
        prompt: usage.input_total(),
        completion: usage.output,
        total: usage.total(),
        cached: usage.cache_read.unwrap_or(0),
        cache_write: usage.cache_write.unwrap_or(0),
        cache_write_1h: usage.cache_write_1h.unwrap_or(0),
        reasoning: usage.reasoning.unwrap_or(0),
        estimated: usage.estimated,
    }
}
