//! The record of a call as the access log takes it.

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderName, Version};
use smallvec::SmallVec;
use tollgate_dialects::canonical::Usage;
use tollgate_dialects::codec;
use tollgate_dialects::json::RawJson;
use tollgate_telemetry::prices::Asked;
use tollgate_telemetry::{Attempt, CallRecord, Cost, LlmTokens, Prices, TokenUsage};

use super::capture::Capture;
use super::words::Words;
use super::{Record, loss_header};
use crate::manners::Manners;
use crate::plugins::auth::Shown;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Record {
    /// Tells everybody of this call who is to be told.
    pub(super) fn tell(&self) {
        let made = self.attempts.borrow();
        let last = made.last().map(Box::as_ref);
        let telemetry = &self.worker.telemetry;
        let is_wanted = self.details_are_read();
        let texts: SmallVec<[(String, Cow<'_, str>); 1]> = made
            .iter()
            .map(|attempt| {
                let losses = match attempt.losses.is_empty() {
                    true => String::new(),
                    false => loss_header(&attempt.losses),
                };
                let usage_object = match is_wanted {
                    true => usage_object(attempt),
                    false => Cow::Borrowed(""),
                };
                (losses, usage_object)
            })
            .collect();
        let pricing = self.worker.gateway.prices().current();
        let attempts: SmallVec<[Attempt<'_>; 1]> = made
            .iter()
            .zip(&texts)
            .map(|(attempt, (losses, usage_object))| {
                let usage = attempt.usage.as_ref().map(token_usage);
                Attempt {
                    instance: attempt.asks.name(),
                    provider: attempt.asks.provider(),
                    model: attempt.asks.model().filter(|model| !model.is_empty()),
                    response_model: attempt.answered_model(),
                    dialect: attempt.dialect_name(),
                    started: attempt.started.saturating_duration_since(self.started),
                    upstream_addr: attempt.address.as_deref(),
                    status: attempt.status,
                    // When this is written, every attempt has ended.
                    outcome: attempt.outcome.unwrap_or("cancelled"),
                    duration: attempt.duration,
                    first_byte: attempt.first_byte,
                    usage,
                    usage_object,
                    service_tier: attempt.tier(),
                    cost: cost(&pricing.prices, attempt, usage, self.time),
                    response_id: attempt.response_id.as_deref(),
                    finish_reason: attempt.finish_reason.as_deref(),
                    span: attempt.span,
                    losses,
                }
            })
            .collect();
        let charges = self.end_governed(&attempts);
        let upstream_model = last
            .and_then(|attempt| attempt.asks.model())
            .filter(|model| !model.is_empty());
        // A client that leaves the model to the route asks for the route's, as APISIX's manual shows it; APISIX itself
        // tells nothing then.
        let by_route = upstream_model.filter(|_| self.manners == Manners::Apisix);
        let headers = &self.request.headers;
        let capture = self.capture.as_deref();
        let lookup = |name: HeaderName| {
            headers
                .get(name)
                .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        };
        let shown = self.request.extensions.get::<Shown>();
        let secret_names: Vec<&str> = shown.map(Shown::names).into_iter().flatten().collect();
        let words = self.words.as_deref().map(Words::told);
        let call = CallRecord {
            remote_addr: self.client.ip(),
            remote_port: self.peer.address.port(),
            server_addr: self.peer.server,
            scheme: if self.peer.tls { "https" } else { "http" },
            time: self.time,
            method: self.request.method.as_str(),
            request_uri: self
                .original_uri
                .as_deref()
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
            host: lookup(HOST).or_else(|| self.request.uri.authority().map(http::uri::Authority::as_str)),
            referer: lookup(REFERER),
            user_agent: lookup(USER_AGENT),
            x_forwarded_for: lookup(X_FORWARDED_FOR),
            request_headers: headers,
            secret_names: &secret_names,
            request_bytes: self.request_bytes,
            request_body: capture.and_then(Capture::told_request),
            response_headers: capture.and_then(Capture::told_headers),
            response_body: capture.and_then(Capture::told_response),
            is_summarised: self.is_summarised,
            payload: words.filter(|_| self.logs_words),
            content: words,
            request_id: &self.request_id,
            route: self.route.as_deref(),
            route_name: self.route_name(),
            service: self.service.as_deref(),
            service_name: self.service_name(),
            matched_host: self.matched_host.as_deref().unwrap_or_default(),
            matched_uri: &self.matched_uri,
            consumer: self.consumer.as_deref(),
            credential: self.credential.as_deref(),
            team: self.team.as_deref(),
            charges: &charges,
            operation: self.operation,
            client_dialect: self.operation.map(|_| self.dialect.name()),
            request_type: self.kind,
            request_model: self.request_model.as_deref().or(by_route),
            upstream_model,
            response_model: last.and_then(super::Attempt::answered_model),
            end_user: self.end_user.as_deref(),
            tool_count: self.tool_count,
            has_tool_calls: last.is_some_and(|attempt| attempt.has_tool_calls),
            content_risk_level: None,
            provider: last.and_then(|attempt| attempt.asks.provider()),
            instance: last.map(|attempt| &**attempt.asks.name()),
            attempts: &attempts,
            time_to_first_token: last.and_then(|attempt| attempt.first_byte),
            upstream_response_time: last.map(|attempt| attempt.duration),
            usage: attempts.last().and_then(|attempt| attempt.usage),
            cost: attempts.iter().map(|attempt| attempt.cost).sum(),
            price_pack: pricing.prices.version(),
            llm_tokens: last.map_or(LlmTokens::Inclusive, super::Attempt::llm_tokens),
            losses: texts.last().map_or("", |(losses, _)| losses),
            error_code: self.error_code.as_deref(),
            upstream_scheme: last.map(|attempt| attempt.asks.scheme()),
            upstream_host: last.and_then(|attempt| attempt.asks.host()),
            upstream_uri: last
                .map(|attempt| attempt.uri.as_str())
                .filter(|uri| !uri.is_empty()),
            client_gone: !self.complete,
            trace: self.trace.as_deref(),
        };
        telemetry.call(&call);
        for (_, logger) in &self.loggers {
            logger.call(&call);
        }
    }
}

/// What an attempt cost; nothing if it is not known to have used anything.
pub(super) fn cost(
    prices: &Prices,
    attempt: &super::Attempt,
    usage: Option<TokenUsage>,
    at: SystemTime,
) -> Cost {
    let (Some(usage), Some(provider)) = (usage, attempt.asks.provider()) else {
        return Cost::default();
    };
    let asked = Asked {
        provider,
        model: attempt.asks.model().unwrap_or_default(),
        answered: attempt.answered_model(),
        service_tier: attempt.tier(),
    };
    prices.cost(&asked, &usage, at)
}

/// The provider's own words about what an answer used; empty if there are none.
fn usage_object(attempt: &super::Attempt) -> Cow<'_, str> {
    match (&attempt.usage_object, &attempt.usage, attempt.dialect) {
        (Some(object), ..) => Cow::Borrowed(object),
        (None, Some(usage), Some(dialect)) => Cow::Owned(codec::usage_object(
            dialect,
            usage,
            attempt.service_tier.as_deref(),
        )),
        (None, Some(usage), None) if !usage.ext.is_empty() => Cow::Owned(RawJson::object_text(&usage.ext)),
        (None, ..) => Cow::Borrowed(""),
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
        audio_input: usage.input_audio.unwrap_or(0),
        audio_output: usage.output_audio.unwrap_or(0),
        image_input: usage.input_image.unwrap_or(0),
        image_output: usage.output_image.unwrap_or(0),
        video_input: usage.input_video.unwrap_or(0),
        tool_input: usage.input_tool_use.unwrap_or(0),
        reasoning: usage.reasoning.unwrap_or(0),
        searches: searches(usage),
        estimated: usage.estimated,
    }
}

/// Searches that the provider made, by its own count: Anthropic has them beside the tokens.
fn searches(usage: &Usage) -> u64 {
    #[derive(Default, serde::Deserialize)]
    struct Tools {
        #[serde(default)]
        web_search_requests: u64,
    }

    let tools = usage.ext.get("server_tool_use");
    tools
        .and_then(|tools| serde_json::from_str::<Tools>(tools.text()).ok())
        .unwrap_or_default()
        .web_search_requests
}
