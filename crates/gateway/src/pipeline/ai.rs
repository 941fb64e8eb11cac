//! Calls that one of APISIX's AI plugins answers: reads what the client asks for, and hands it to the attempts.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::gemini::Framing;
use tollgate_dialects::scan::{self, Members, scan};

use super::admit::{Admission, Expected};
use super::answer::{Answer, Content};
use super::ask::Asked;
use super::body::{self, ClientBody};
use super::choose::Plan;
use super::head::{Endpoint, Head};
use super::record::Record;
use super::{Worker, attempt};
use crate::ai::output::OutputLimit;
use crate::ai::protocol::{self, Protocol};
use crate::error::CallError;
use crate::manners::Manners;
use crate::plugins::{AiPlugin, CallLimits, HashKey, Key};
use crate::pool::{self, Clues};
use crate::snapshot::Snapshot;

/// A call of an AI plugin that is understood.
pub struct AiCall {
    plugin: Arc<AiPlugin>,
    protocol: Protocol,
    asked: Asked,
    /// Who is asked; set when that is decided.
    plan: Option<Plan>,
    /// Headers that tell why.
    told: HeaderMap,
}

impl AiCall {
    /// The model the client asks for; empty if it leaves that to the route.
    pub fn model(&self) -> &str {
        &self.asked.model
    }

    /// Whether the provider's answer becomes the request to the route's upstream.
    pub fn passes_on(&self) -> bool {
        self.plugin.passes_on
    }

    /// What the plugin's instances are chosen by, as far as the request itself tells it.
    pub fn clues(&self) -> Clues {
        let prefixes = if self.plugin.model.pool.needs_prefixes() {
            pool::prefixes(&self.asked.members, &self.asked.body)
        } else {
            Vec::new()
        };
        Clues {
            prefixes,
            ..Clues::default()
        }
    }

    /// Whether it is decided who is asked.
    pub fn is_chosen(&self) -> bool {
        self.plan.is_some()
    }

    /// The key by which the plugin's instances are chosen, if they are.
    pub fn hash_key(&self) -> Option<&HashKey> {
        self.plugin.hash_key.as_ref()
    }

    /// What limits of tokens mean for it.
    pub fn admission(&self, limits: Vec<CallLimits>, record: &Record) -> Admission {
        let reserves = limits.iter().any(|limits| limits.reserved_output().is_some());
        let expected = reserves.then(|| Expected {
            input: record.estimated_input(),
            output: OutputLimit::of(self.protocol, &self.asked.body, &self.asked.members),
            model: Some(self.plugin.model.clone()),
        });
        Admission::new(limits, expected, record.manners == Manners::ApisixStrict)
    }
}

/// The body of a provider's answer as that of a request.
///
/// # Errors
/// 400 for a stream, which is no body that can be passed on.
pub fn as_request(answer: Answer) -> Result<ClientBody, CallError> {
    match answer.content {
        Content::Whole(bytes) | Content::Json(bytes) => Ok(ClientBody::Read(bytes)),
        _ => Err(bad_request(
            "stream_not_possible",
            "this route passes the answer on to another service, which is not possible with a stream; leave `stream` out",
        )
        .told_as(Key::Message)),
    }
}

/// Reads the body and finds out which API the client speaks.
///
/// # Errors
/// 400 for what is no JSON object, 413 above the plugin's limit.
pub async fn read(
    snapshot: &Snapshot,
    plugin: &Arc<AiPlugin>,
    body: &mut ClientBody,
    record: &mut Record,
) -> Result<AiCall, CallError> {
    let strict = record.manners == Manners::ApisixStrict;
    let media_type = record
        .request
        .headers
        .get(CONTENT_TYPE)
        .map_or("application/json", |value| value.to_str().unwrap_or("?"));
    let is_json = media_type.starts_with("application/json");
    // Uploads (audio, files, images to edit) are forms of several parts, and are passed on as they are.
    if !is_json && (strict || !media_type.starts_with("multipart/form-data")) {
        return Err(bad_request(
            "unsupported_content_type",
            format!("unsupported content-type: {media_type}, only application/json is supported"),
        )
        .told_as_text());
    }
    let limit = plugin.limits.max_req_body_size;
    let bytes = body::read_into(body, limit, snapshot.native.body_timeout, record.overload())
        .await
        .map_err(|error| worded(error, limit))?;
    record.read_body(&bytes);
    if bytes.is_empty() {
        return Err(
            bad_request("empty_body", "could not get body: request body is empty").told_as(Key::Message),
        );
    }
    let (protocol, members) = if is_json {
        let members = scan(&bytes).map_err(|error| {
            bad_request(
                "invalid_json",
                format!(
                    "could not parse JSON request body: {}",
                    json_problem(&bytes, &error)
                ),
            )
            .told_as(Key::Message)
        })?;
        let path = record.request.uri.path();
        let protocol = protocol::detect(path, &bytes, &members).ok_or_else(|| {
            bad_request("unknown_protocol", "no matching AI protocol for the request").told_as_text()
        })?;
        let protocol = match protocol {
            _ if strict => protocol,
            Protocol::OpenaiEmbeddings if protocol::is_no_embedding(path) => Protocol::Passthrough,
            Protocol::OpenaiChat if protocol::bedrock_call(path).is_some() => Protocol::BedrockConverse,
            other => other,
        };
        (protocol, members)
    } else {
        (Protocol::Passthrough, Members::default())
    };
    record.dialect = match protocol {
        Protocol::AnthropicMessages => Dialect::AnthropicMessages,
        _ => Dialect::OpenaiChat,
    };
    let mut asked = asked(protocol, bytes, members);
    if protocol == Protocol::BedrockConverse
        && !strict
        && let Some((model, streaming)) = protocol::bedrock_call(record.request.uri.path())
    {
        asked.stream |= streaming;
        if asked.model.is_empty() {
            asked.model = model.into();
        }
    }
    record.asked(&asked, &Endpoint::Api(protocol));
    record.tell_words(plugin.limits.logging, Some(protocol), &asked);
    if asked.stream {
        *body = ClientBody::Read(asked.body.clone());
    }
    Ok(AiCall {
        plugin: plugin.clone(),
        protocol,
        asked,
        plan: None,
        told: HeaderMap::new(),
    })
}

/// Chooses the instance that the call begins with, among all by `clues` or by what the prompt is about. Done once.
///
/// # Errors
/// Limits of tokens refuse the call.
pub async fn choose(
    worker: &Worker,
    call: &mut AiCall,
    mut clues: Clues,
    record: &Record,
) -> Result<(), CallError> {
    clues.peeks = record.explains().is_some();
    if let (Some(_), Some(explanation)) = (&call.plugin.semantic, record.explains()) {
        explanation.note("the instance is chosen by what the prompt is about, which is not asked here; this is the first in turn");
    } else if let Some(semantic) = &call.plugin.semantic {
        let choice = semantic.choose(
            &worker.pools,
            call.protocol,
            &call.asked.body,
            &call.asked.members,
        );
        // Boxed: calls that ask for no vectors shall not pay for the size of what does.
        let choice = Box::pin(choice).await;
        choice.tell(&mut call.told);
        clues.order = Some(choice.order);
    }
    let mut plan = Plan::of(call.plugin.model.clone(), call.asked.model.clone(), clues);
    plan.begin(call.asked.stream, record).await?;
    call.plan = Some(plan);
    Ok(())
}

/// Answers the call from the plugin's instances, which have been chosen.
///
/// # Errors
/// No instance could answer.
pub async fn answer(worker: &Worker, call: &mut AiCall, record: &mut Record) -> Result<Answer, CallError> {
    record.answer_headers.extend(std::mem::take(&mut call.told));
    let head = Head {
        endpoint: Endpoint::Api(call.protocol),
        dialect: record.dialect,
        model: None,
        stream: None,
        framing: Framing::default(),
    };
    let mut plan = call.plan.take().unwrap_or_else(|| {
        Plan::of(
            call.plugin.model.clone(),
            call.asked.model.clone(),
            Clues::default(),
        )
    });
    attempt::run(worker, &head, &mut plan, &call.asked, record).await
}

fn asked(protocol: Protocol, body: Bytes, members: Members) -> Asked {
    let model = match members.string(&body, "model") {
        Some(Ok(model)) => model.into(),
        _ => Arc::default(),
    };
    let include_usage = members
        .value(&body, "stream_options")
        .and_then(|options| scan::nested(options, "include_usage"))
        .is_some_and(|value| value == "true");
    Asked {
        stream: protocol::is_streaming(protocol, &body, &members),
        model,
        include_usage,
        is_kept: false,
        members,
        body,
    }
}

/// The error of reading a body, as APISIX words it.
fn worded(mut error: CallError, limit: u64) -> CallError {
    if error.status == StatusCode::PAYLOAD_TOO_LARGE {
        let announced = error.detail.take().unwrap_or_default();
        let size = announced.split(' ').next().filter(|size| !size.is_empty());
        error.message = format!(
            "could not get body: request size {} is greater than the maximum size {limit} allowed",
            size.map_or_else(|| format!("more than {limit}"), str::to_owned)
        )
        .into();
    }
    error.told_as(Key::Message)
}

/// What is wrong with a body that is no JSON, in the words of APISIX's JSON library where it has some for the case.
fn json_problem(body: &[u8], error: &dyn std::fmt::Display) -> String {
    let mut documents = serde_json::Deserializer::from_slice(body).into_iter::<serde::de::IgnoredAny>();
    let end = match documents.next() {
        Some(Ok(_)) => documents.byte_offset(),
        _ => return error.to_string(),
    };
    let rest = body.get(end..).unwrap_or_default();
    let Some(offset) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return error.to_string();
    };
    let token = match rest.get(offset) {
        Some(b'"') => "T_STRING",
        Some(b'{') => "T_OBJ_BEGIN",
        Some(b'}') => "T_OBJ_END",
        Some(b'[') => "T_ARR_BEGIN",
        Some(b']') => "T_ARR_END",
        Some(b',') => "T_COMMA",
        Some(b':') => "T_COLON",
        Some(b'0'..=b'9' | b'-') => "T_NUMBER",
        _ => "invalid token",
    };
    format!(
        "Expected the end but found {token} at character {}",
        end + offset + 1
    )
}

fn bad_request(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> CallError {
    CallError::client(StatusCode::BAD_REQUEST, ErrorKind::BadRequest, code, message)
}
