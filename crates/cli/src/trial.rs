//! `tollgate try`: one streamed call to a running gateway.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{Delta, Event, Usage};
use tollgate_dialects::codec::{self, StreamDecoder};
use tollgate_gateway::upstream::{
    CallRequest, Endpoint, Pools, RequestBody, SendError, TlsSettings, UpstreamBody, Within,
};
use tollgate_resources::SecretRef;
use tollgate_telemetry::prices::Asked;
use tollgate_telemetry::{Prices, TokenUsage, Usd};

use crate::cli::{Failure, TrialArguments};
use crate::load::env;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than the gateway's own limits, so that it is the gateway who says that a provider was too slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3600);

/// Largest event of the stream, in bytes.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Makes the call and prints what comes.
///
/// # Errors
/// The gateway cannot be reached, or it answers with an error.
pub fn trial(arguments: &TrialArguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    tokio::task::LocalSet::new().block_on(&runtime, call(arguments))
}

async fn call(arguments: &TrialArguments) -> Result<(), Failure> {
    let address = arguments.url.trim_end_matches('/').trim_end_matches("/v1");
    let endpoint = Endpoint::parse(
        address,
        &TlsSettings {
            ca_file: arguments.ca_file.clone(),
            verify: true,
        },
    )
    .map_err(|error| Failure::new(format!("--url: {error}")))?;
    let mut headers = headers(arguments, &endpoint)?;
    let body = body(arguments);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let asked = CallRequest {
        method: &Method::POST,
        // The address was parsed above, so its path is a path.
        target: &format!("{}/v1/chat/completions", endpoint.base_path),
        headers: &headers,
        body: &RequestBody::from(body),
    };
    let within = Within {
        connect: CONNECT_TIMEOUT,
        answer: ANSWER_TIMEOUT,
    };
    let started = Instant::now();
    let received = Pools::default()
        .send(&endpoint, None, &asked, within, || ())
        .await
        .map_err(|error| match error {
            SendError::Connect(error) => Failure::new(format!(
                "no gateway at {}: {}; start one with `tollgate run`",
                arguments.url,
                error.error.detail.as_deref().unwrap_or_default()
            )),
            SendError::Late => Failure::new("the gateway does not answer"),
            SendError::Broken(detail) => Failure::new(format!("the gateway closed the connection: {detail}")),
        })?;
    let mut body = received.body;
    if received.status != StatusCode::OK {
        return Err(refused(received.status, &mut body).await);
    }
    let (usage, first_token) = print_stream(&mut body, started).await?;
    summary(
        arguments,
        &received.headers,
        usage.as_ref(),
        first_token,
        started.elapsed(),
    )
}

fn headers(arguments: &TrialArguments, endpoint: &Endpoint) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, endpoint.authority.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &arguments.key {
        let key = SecretRef::new(key).map_err(|error| Failure::new(format!("--key: {error}")))?;
        let key = key
            .resolve(&env)
            .map_err(|error| Failure::new(format!("--key: {error}")))?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .map_err(|_| Failure::new("--key: holds a character that cannot stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn body(arguments: &TrialArguments) -> Vec<u8> {
    serde_json::json!({
        "model": arguments.model,
        "stream": true,
        "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": arguments.prompt }],
    })
    .to_string()
    .into_bytes()
}

async fn refused(status: StatusCode, body: &mut UpstreamBody) -> Failure {
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        bytes.extend_from_slice(&data);
    }
    let error = codec::decode_error(Dialect::OpenaiChat, status.as_u16(), &bytes);
    Failure::new(format!("the gateway answered {status}: {}", error.message))
}

/// Prints the answer as it comes; gives its usage and when its first token came.
async fn print_stream(
    body: &mut UpstreamBody,
    started: Instant,
) -> Result<(Option<Usage>, Option<Duration>), Failure> {
    let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, MAX_EVENT_BYTES);
    let mut usage = None;
    let mut first_token = None;
    let mut failed = None;
    let mut ended = false;
    while !ended {
        let mut text = String::new();
        let mut note = |event: Event<'_>| match event {
            Event::PartDelta {
                delta: Delta::Text(piece) | Delta::Reasoning(piece) | Delta::Arguments(piece),
                ..
            } => {
                text.push_str(&piece);
            }
            Event::Usage(last) => usage = Some(last),
            Event::Error(error) => failed = Some(error.message),
            _ => {}
        };
        match body.data().await {
            Some(Ok(data)) => decoder.feed(&data, &mut note).map_err(Failure::new)?,
            Some(Err(error)) => return Err(Failure::new(format!("the stream was cut: {error}"))),
            None => {
                decoder.finish(&mut note).map_err(Failure::new)?;
                ended = true;
            }
        }
        if !text.is_empty() {
            first_token.get_or_insert_with(|| started.elapsed());
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .map_err(Failure::new)?;
        }
        if let Some(message) = failed {
            return Err(Failure::new(format!("the answer failed: {message}")));
        }
    }
    Ok((usage, first_token))
}

fn summary(
    arguments: &TrialArguments,
    headers: &HeaderMap,
    usage: Option<&Usage>,
    first_token: Option<Duration>,
    total: Duration,
) -> Result<(), Failure> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("unknown")
    };
    let upstream_model = header("x-tollgate-model");
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n").map_err(Failure::new)?;
    let mut line = |name: &str, text: String| writeln!(out, "  {name:<9} {text}").map_err(Failure::new);
    line("instance", header("x-tollgate-instance").to_owned())?;
    line(
        "model",
        format!("{upstream_model} (asked for {})", arguments.model),
    )?;
    match usage {
        None => line("tokens", "not told".to_owned())?,
        Some(usage) => {
            let cached = usage
                .cache_read
                .filter(|cached| *cached > 0)
                .map(|cached| format!(" ({cached} cached)"));
            line(
                "tokens",
                format!(
                    "{} in{}, {} out",
                    usage.input_total(),
                    cached.unwrap_or_default(),
                    usage.output
                ),
            )?;
            line("cost", price(upstream_model, usage))?;
        }
    }
    let first = first_token.map_or("none".to_owned(), |first| format!("{} ms", first.as_millis()));
    line(
        "latency",
        format!("first token {first}, total {} ms", total.as_millis()),
    )
}

fn price(model: &str, usage: &Usage) -> String {
    let used = TokenUsage {
        prompt: usage.input_total(),
        completion: usage.output,
        total: usage.total(),
        cached: usage.cache_read.unwrap_or(0),
        cache_write: usage.cache_write.unwrap_or(0),
        cache_write_1h: usage.cache_write_1h.unwrap_or(0),
        reasoning: usage.reasoning.unwrap_or(0),
        estimated: usage.estimated,
        ..TokenUsage::default()
    };
    let (prices, now) = (Prices::built_in(), SystemTime::now());
    let mut providers: Vec<&str> = prices.all().map(|(provider, _, _)| provider).collect();
    providers.sort_unstable();
    providers.dedup();
    // The answer tells the model, but not who served it.
    let costs = providers.into_iter().filter_map(|provider| {
        let asked = Asked {
            provider,
            model,
            ..Asked::default()
        };
        prices.find(provider, model)?;
        prices.cost(&asked, &used, now).amount()
    });
    let costs: BTreeSet<Usd> = costs.collect();
    match (costs.first(), costs.last()) {
        (Some(least), Some(most)) if least == most => format!("{least}"),
        (Some(least), Some(most)) => format!("{least} to {most}, by provider"),
        _ => "unknown: no price for this model".to_owned(),
    }
}
