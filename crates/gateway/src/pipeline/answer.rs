//! Reads a provider's answer up to the point where the gateway commits to it, and turns it into the client's dialect.
//!
//! Until then every defect is a failed attempt: a bad status, an error inside a 200, something empty, cut or garbled.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::time::{Instant, timeout_at};
use tollgate_dialects::canonical::{ErrorKind, ProviderError, Usage};
use tollgate_dialects::codec::AnswerStyle;
use tollgate_dialects::gemini::Framing;
use tollgate_dialects::{
    Dialect, Losses, anthropic_messages, apisix, bedrock_converse, codec, count_tokens, embeddings,
    openai_chat, passing, scan,
};

use super::attempt::Common;
use super::begin::{self, Patience, Until};
use super::choose::Candidate;
use super::early;
use super::encode::Encoded;
use super::mask::{masked, masked_error, may_tell_error};
use super::passed::{max_response_bytes, worded};
use super::record::{Attempt, Record};
use super::relay::{AnswerBody, Streaming};
use super::send::UpstreamAnswer;
use super::transform::Transform;
use super::vectors;
use crate::error::{AttemptError, CallError, TOLD_BY_PROVIDER, Verbatim};
use crate::manners::Manners;
use crate::pool::retry_after_of;
use crate::providers::{AWS_EVENT_STREAM, Operation};
use crate::proxy::{Passed, Tunnel};

/// Largest whole answer, in bytes. Embeddings and images as base64 reach tens of megabytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Largest error answer that is read, in bytes; the rest is cut.
const MAX_ERROR_BYTES: usize = 256 * 1024;

/// Where Amazon's SDKs look for the kind of an error.
pub(super) const ERROR_TYPE: &str = "x-amzn-errortype";

/// Tells nginx in front of us whether to collect an answer before it passes it on.
pub(super) const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long the body of an error answer is waited for. Its status has told what matters; another attempt shall not wait.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);

/// The type of an answer that is JSON.
pub(super) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer the gateway has committed to.
pub struct Answer {
    /// Status for the client.
    pub status: StatusCode,
    /// Headers beside those of every answer.
    pub headers: HeaderMap,
    /// The body.
    pub content: Content,
}

/// The body of an answer.
pub enum Content {
    /// Complete.
    Whole(Bytes),
    /// Complete, and JSON: its type is not among the headers.
    Json(Bytes),
    /// Begun.
    Stream(Box<Streaming>),
    /// Passed on as it comes.
    Passed(Box<Passed>),
    /// None: the connection becomes a tunnel.
    Tunnel(Box<Tunnel>),
}

impl Answer {
    /// A complete JSON answer.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Answer {
            status,
            headers: HeaderMap::new(),
            content: Content::Json(body.into()),
        }
    }

    /// Gives the answer to the client; the record goes with it and is written when the body has ended or is dropped.
    pub fn into_response(self, mut record: Box<Record>) -> Response<AnswerBody> {
        record.status = self.status.as_u16();
        let mut headers = self.headers;
        // Names of plugins may stand in an error, those of servers in what is passed on: a map keeps each name once.
        let is_own = self.status.is_success()
            && matches!(
                self.content,
                Content::Whole(_) | Content::Json(_) | Content::Stream(_)
            );
        let is_json = matches!(self.content, Content::Json(_));
        if !(is_own && record.tell_late(is_json)) {
            headers.reserve(18);
            if is_json {
                headers.insert(CONTENT_TYPE, APPLICATION_JSON);
            }
            record.add_headers(&mut headers);
            record.answers_with(&headers);
        }
        let body = match self.content {
            Content::Whole(bytes) | Content::Json(bytes) => AnswerBody::whole(bytes, record),
            Content::Stream(streaming) => AnswerBody::stream(streaming, record),
            Content::Passed(passed) => AnswerBody::passed(passed, record),
            Content::Tunnel(tunnel) => {
                tunnel.start(record);
                AnswerBody::none()
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// The provider answered with a status other than 200: reads what it says.
/// `started` is when the attempt began.
pub async fn refused(
    mut upstream: UpstreamAnswer,
    dialect: Dialect,
    candidate: &Candidate,
    started: Instant,
) -> AttemptError {
    let until = (Instant::now() + ERROR_PATIENCE).min(started + candidate.model.timeouts.total);
    let (body, whole) = error_body(&mut upstream, until).await;
    let body = masked(body, &candidate.instance);
    let error_type = upstream.headers.get(ERROR_TYPE).cloned();
    let told = match dialect {
        Dialect::BedrockConverse => {
            let name = error_type.as_ref().and_then(|name| name.to_str().ok());
            bedrock_converse::decode_named_error(upstream.status.as_u16(), name, &body)
        }
        _ => codec::decode_error(dialect, upstream.status.as_u16(), &body),
    };
    let status = if upstream.status.is_client_error() || upstream.status.is_server_error() {
        upstream.status
    } else {
        // A redirect or an odd success means nothing to the client, and is never followed.
        StatusCode::BAD_GATEWAY
    };
    let mut error = CallError::upstream(
        status,
        told.kind,
        TOLD_BY_PROVIDER,
        told.message,
        format!("HTTP {}", upstream.status.as_u16()),
    );
    if let Some(code) = told.code {
        error.code = code.into();
    }
    error.param = told.param;
    error.retry_after = retry_after_of(&upstream.headers);
    if status == upstream.status && whole && !body.is_empty() {
        let content_type = upstream.headers.get(CONTENT_TYPE).cloned();
        error.verbatim = Some(Box::new(Verbatim {
            dialect: Some(dialect),
            content_type,
            error_type,
            body,
        }));
    }
    AttemptError {
        outcome: "status",
        status: Some(upstream.status),
        error,
    }
}

/// What came of the body of an error until then, and whether it is all of it.
async fn error_body(upstream: &mut UpstreamAnswer, until: Instant) -> (Bytes, bool) {
    if is_coded(&upstream.headers) {
        return (Bytes::new(), false);
    }
    let mut body = BytesMut::new();
    loop {
        match timeout_at(until, upstream.body.data()).await {
            Ok(Some(Ok(data))) => body.extend_from_slice(&data),
            Ok(None) => return (body.freeze(), true),
            Ok(Some(Err(_))) | Err(_) => return (body.freeze(), false),
        }
        if body.len() > MAX_ERROR_BYTES {
            body.truncate(MAX_ERROR_BYTES);
            return (body.freeze(), false);
        }
    }
}

/// Reads a whole answer and turns it into the client's dialect.
///
/// # Errors
/// The answer is late, cut, empty, garbled or tells an error.
pub async fn whole(
    call: &Common<'_>,
    candidate: &Candidate,
    encoded: &Encoded,
    upstream: &mut UpstreamAnswer,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    let limit = max_response_bytes(candidate);
    let body = collect(upstream, candidate, limit)
        .await
        .map_err(|failure| worded(failure, limit))?;
    attempt.first_byte();
    if is_passed_on(call, encoded, attempt)
        && let Some(noted) = passing::note(encoded.operation.dialect(), &body)
    {
        attempt.noted(noted);
        return Ok(passed_on(call, upstream, body, attempt));
    }
    let garbled = |detail: String| AttemptError::garbled("garbled", StatusCode::OK, detail);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(AttemptError::garbled(
            "empty",
            StatusCode::OK,
            "the answer has no body",
        ));
    }
    let members = scan::scan(&body).map_err(|error| garbled(format!("the answer is not JSON: {error}")))?;
    let dialect = encoded.operation.dialect();
    if has_error(&members, &body) {
        let body = masked(body, &candidate.instance);
        // APISIX keeps the status of such an answer.
        if call.record.manners == Manners::ApisixStrict
            && call.head.dialect == Dialect::AnthropicMessages
            && let Some(told) = apisix::error_answer(&String::from_utf8_lossy(&body))
        {
            attempt.end(
                &call.record.request_id,
                "error_event",
                Some(upstream.status),
                None,
            );
            return Ok(Answer::json(upstream.status, told));
        }
        return Err(error_inside_200(told_inside(dialect, &body)));
    }
    let body = match encoded.operation {
        Operation::Chat(_) => {
            let text = std::str::from_utf8(&body).unwrap_or_default();
            // OpenRouter tells errors inside a choice.
            if dialect == Dialect::OpenaiChat
                && may_tell_error(&body)
                && let Some(told) = openai_chat::error_in_answer(text)
            {
                return Err(error_inside_200(masked_error(&told, &candidate.instance)));
            }
            match decoded(call, candidate, encoded, text, attempt)? {
                Some(translated) => translated.into(),
                None => body,
            }
        }
        Operation::Embeddings(embeddings::Dialect::Openai) => {
            attempt.embedded(embeddings_usage(members.value(&body, "usage")));
            body
        }
        Operation::Embeddings(_) | Operation::Rerank(_) => {
            attempt.embedded(vectors::told_usage(encoded.operation, &body));
            body
        }
        Operation::CountTokens(dialect) if dialect == call.head.dialect => body,
        Operation::CountTokens(dialect) => {
            let text = std::str::from_utf8(&body).unwrap_or_default();
            count_tokens::decode_response(dialect, text)
                .and_then(|count| count_tokens::encode_response(call.head.dialect, &count))
                .map_err(|error| garbled(error.to_string()))?
                .into()
        }
    };
    Ok(passed_on(call, upstream, body, attempt))
}

/// Whether a client gets a whole answer as it comes, and nobody wants to know more about it than what it used.
fn is_passed_on(call: &Common<'_>, encoded: &Encoded, attempt: &Attempt) -> bool {
    matches!(encoded.operation, Operation::Chat(dialect) if dialect == call.head.dialect)
        && encoded.completion.is_none()
        && !encoded.answer_by_tool
        && !attempt.is_traced()
}

/// The attempt has answered, with this body.
fn passed_on(call: &Common<'_>, upstream: &UpstreamAnswer, body: Bytes, attempt: &mut Attempt) -> Answer {
    attempt.end(&call.record.request_id, "ok", Some(upstream.status), None);
    Answer {
        status: StatusCode::OK,
        headers: passed_headers(&upstream.headers),
        content: Content::Json(body),
    }
}

/// Decodes a whole answer, notes what it says and translates it; `None` if the client gets it as it is.
fn decoded(
    call: &Common<'_>,
    candidate: &Candidate,
    encoded: &Encoded,
    text: &str,
    attempt: &mut Attempt,
) -> Result<Option<Vec<u8>>, AttemptError> {
    let garbled = |detail: String| AttemptError::garbled("garbled", StatusCode::OK, detail);
    let dialect = encoded.operation.dialect();
    let mut response = codec::decode_response(dialect, text).map_err(|error| garbled(error.to_string()))?;
    if encoded.answer_by_tool {
        anthropic_messages::unwrap_answer(&mut response);
    }
    if response.choices.is_empty() {
        return Err(AttemptError::garbled(
            "empty",
            StatusCode::OK,
            "the answer has no choices",
        ));
    }
    attempt.answered(&response);
    if dialect == call.head.dialect && encoded.completion.is_none() {
        return Ok(None);
    }
    let mut losses = Losses::new();
    let translated = codec::encode_response(
        call.head.dialect,
        &response,
        &style(call.record, candidate, encoded),
        &mut losses,
    );
    if losses.rejections().next().is_some() {
        let told: Vec<String> = losses.iter().map(ToString::to_string).collect();
        return Err(garbled(told.join(", ")));
    }
    attempt.losses.extend(losses.within("answer"));
    Ok(Some(translated))
}

/// Reads a whole body of at most `limit` bytes, or as many as any answer may have.
pub(super) async fn collect(
    upstream: &mut UpstreamAnswer,
    candidate: &Candidate,
    limit: Option<u64>,
) -> Result<Bytes, AttemptError> {
    let limit = limit.unwrap_or(MAX_ANSWER_BYTES);
    let too_large = || AttemptError::garbled("too_large", StatusCode::OK, format!("more than {limit} bytes"));
    let announced = upstream.headers.get(CONTENT_LENGTH);
    if announced
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length > limit)
    {
        return Err(too_large());
    }
    let mut patience = Patience::new(upstream, candidate);
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    loop {
        let data = match patience.data(upstream).await {
            Err(late) => return Err(late),
            Ok(None) => break,
            Ok(Some(Err(detail))) => return Err(AttemptError::broken("cut", detail)),
            Ok(Some(Ok(data))) => data,
        };
        let before = first.as_ref().map_or(joined.len(), Bytes::len);
        if (before + data.len()) as u64 > limit {
            return Err(too_large());
        }
        if joined.is_empty() && first.is_none() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| joined.freeze()))
}

/// Reads a stream until its first content, so that a stream that fails at once can still be tried elsewhere.
///
/// # Errors
/// The stream is late, cut, empty, garbled or tells an error before any content.
pub async fn stream(
    call: &Common<'_>,
    candidate: &Candidate,
    encoded: &Encoded,
    upstream: &mut UpstreamAnswer,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    if !is_event_stream(&upstream.headers) {
        let body = masked(collect(upstream, candidate, None).await?, &candidate.instance);
        let dialect = encoded.operation.dialect();
        return Err(if tells_error(&body) {
            error_inside_200(told_inside(dialect, &body))
        } else {
            AttemptError::garbled(
                "not_a_stream",
                StatusCode::OK,
                "a stream was asked for, something else came",
            )
        });
    }
    let mut style = style(call.record, candidate, encoded);
    style.include_usage = call.asked.include_usage;
    style.framing = call.head.framing;
    let mut transform = Transform::new(
        encoded.operation.dialect(),
        call.head.dialect,
        encoded.hide_usage,
        &style,
    );
    // APISIX passes on what comes as it comes, content or not.
    let until = if call.record.manners == Manners::ApisixStrict {
        Until::Anything
    } else {
        Until::Content
    };
    let limit = max_response_bytes(candidate);
    let begun = begin::begin(upstream, &mut transform, candidate, attempt, until, limit)
        .await
        .map_err(|failure| worded(failure, limit))?;
    let mut headers = passed_headers(&upstream.headers);
    stream_headers(call.head.dialect, call.head.framing, &mut headers);
    let left = limit.map(|limit| limit.saturating_sub(begun.received));
    let mut streaming = Streaming::new(begun, transform, upstream.body.take(), candidate, attempt.started);
    if !call.record.manners.is_apisix()
        && !call.record.manners.is_demo()
        && let Some(sign) = early::sign_for(call.head.dialect, call.head.framing)
    {
        streaming.keep_alive(sign, call.record.keep_alive);
    }
    streaming.limit(left);
    Ok(Answer {
        status: StatusCode::OK,
        headers,
        content: Content::Stream(Box::new(streaming)),
    })
}

/// Whether a body is compressed. Nobody asked for that, and nobody here can read it.
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The headers of every stream.
pub(super) fn stream_headers(client: Dialect, framing: Framing, headers: &mut HeaderMap) {
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(stream_type(client, framing)),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Buffering proxies in front of us (nginx) pass the stream on as it comes.
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

/// The media type of a stream for a client.
fn stream_type(client: Dialect, framing: Framing) -> &'static str {
    match (client, framing) {
        (Dialect::BedrockConverse, _) => AWS_EVENT_STREAM,
        (Dialect::Gemini, Framing::Array) => "application/json; charset=UTF-8",
        _ => "text/event-stream; charset=utf-8",
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(value) => !value
            .get(..16)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"application/json")),
        // Some servers forget it.
        None => true,
    }
}

/// Whether a whole answer is an error.
pub(super) fn tells_error(body: &[u8]) -> bool {
    scan::scan(body).is_ok_and(|members| has_error(&members, body))
}

fn has_error(members: &scan::Members, body: &[u8]) -> bool {
    members.value(body, "error").is_some_and(|error| error != "null")
}

/// An error that came in an answer with a status of success.
pub(super) fn told_inside(dialect: Dialect, body: &[u8]) -> ProviderError {
    match dialect {
        Dialect::OpenaiChat | Dialect::AnthropicMessages => codec::decode_error(dialect, 500, body),
        _ => codec::decode_error_inside(dialect, &String::from_utf8_lossy(body)),
    }
}

pub(super) fn error_inside_200(told: ProviderError) -> AttemptError {
    let status = StatusCode::from_u16(told.status)
        .ok()
        .filter(|status| status.as_u16() >= 400)
        .unwrap_or(StatusCode::BAD_GATEWAY);
    let mut error = CallError::upstream(
        status,
        told.kind,
        TOLD_BY_PROVIDER,
        told.message,
        "an error inside an answer with status 200",
    );
    if let Some(code) = told.code {
        error.code = code.into();
    }
    if error.kind == ErrorKind::Server && status == StatusCode::INTERNAL_SERVER_ERROR {
        error.status = StatusCode::BAD_GATEWAY;
    }
    AttemptError {
        outcome: "error_event",
        status: Some(StatusCode::OK),
        error,
    }
}

/// Headers of a provider that say something about its limits or name the request: passed on under our own prefix, so that
/// they are not taken for the gateway's.
pub(super) fn passed_headers(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in upstream {
        let name = name.as_str();
        let passed = match name {
            "x-request-id" | "request-id" | "x-amzn-requestid" => "x-upstream-request-id".to_owned(),
            _ if name.starts_with("x-ratelimit-") => format!("x-upstream-{}", &name[2..]),
            _ if name.starts_with("anthropic-ratelimit-") => {
                format!("x-upstream-{}", &name["anthropic-".len()..])
            }
            _ => continue,
        };
        if let Ok(name) = HeaderName::from_bytes(passed.as_bytes()) {
            headers.insert(name, value.clone());
        }
    }
    headers
}

fn style(record: &Record, candidate: &Candidate, encoded: &Encoded) -> AnswerStyle {
    AnswerStyle {
        created_s: record.created_s(),
        native_finish_reason: record.manners.is_demo(),
        request_id: Some(record.request_id.clone()),
        legacy_functions: encoded.legacy_functions,
        answer_by_tool: encoded.answer_by_tool,
        manners: if record.manners == Manners::ApisixStrict {
            codec::Manners::Apisix
        } else {
            codec::Manners::Own
        },
        model: Some(candidate.upstream_model().to_owned()).filter(|model| !model.is_empty()),
        renames: encoded.renames.clone(),
        completion: encoded.completion.clone(),
        echo: encoded.echo.clone().unwrap_or_default(),
        ..AnswerStyle::default()
    }
}

fn embeddings_usage(usage: Option<&str>) -> Option<Usage> {
    #[derive(serde::Deserialize)]
    struct EmbeddingsUsage {
        prompt_tokens: u64,
    }
    let usage: EmbeddingsUsage = serde_json::from_str(usage?).ok()?;
    Some(Usage {
        input: usage.prompt_tokens,
        ..Usage::default()
    })
}
