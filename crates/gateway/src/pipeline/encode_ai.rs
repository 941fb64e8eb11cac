//! Writes the request for an instance of one of APISIX's AI plugins: where it goes, with which headers, the body shaped as
//! configured, credentials and signature last.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::scan::{Edit, scan};
use tollgate_dialects::{Dialect, apisix};
use tollgate_resources::egress::Origin;

use super::ask::Asked;
use super::attempt::Common;
use super::choose::Candidate;
use super::encode::{Decoded, Encoded, Target, edited, refused, translate};
use super::record::Record;
use crate::ai::catalogue::Served;
use crate::ai::gcp::TokenRequest;
use crate::ai::protocol::Protocol;
use crate::ai::shape::shape;
use crate::ai::target::{self, TargetError};
use crate::ai::{aws, headers, vertex};
use crate::clock::Moment;
use crate::error::{AttemptError, CallError};
use crate::manners::Manners;
use crate::plugins::auth::Shown;
use crate::plugins::{AiInstance, Key};
use crate::providers::Operation;
use crate::upstream::{CallRequest, Endpoint, Pools, RequestBody, TlsSettings, Within};

/// Largest answer of a token service, in bytes.
const MAX_TOKEN_ANSWER: usize = 64 * 1024;

/// Writes the request for a candidate.
///
/// # Errors
/// The instance cannot serve this API, the request cannot be written for it, or there is no credential.
pub async fn encode(
    call: &Common<'_>,
    protocol: Protocol,
    candidate: &Candidate,
    ai: &AiInstance,
) -> Result<Encoded, AttemptError> {
    let Common {
        asked,
        decoded,
        record,
        ..
    } = *call;
    let strict = record.manners == Manners::ApisixStrict;
    let conf = &ai.conf;
    let served = conf.provider.serve(protocol, strict).map_err(|unsupported| {
        let message = unsupported.to_string();
        refused(bad_request("unsupported_endpoint", message).told_as_text())
    })?;
    let spoken = served.target(protocol);
    let model = conf
        .options
        .model
        .as_deref()
        .or((!asked.model.is_empty()).then_some(&*asked.model));
    let query = client_query(record, strict);
    let target = target::Target::resolve(
        conf,
        &target::Asked {
            protocol: spoken,
            model,
            streaming: asked.stream,
            path: record.request.uri.path(),
            query: query.as_deref(),
        },
        strict,
    )
    .map_err(|error| {
        refused(match error {
            TargetError::NoPath => bad_request("model_missing", error.to_string()).told_as(Key::ErrorMsg),
            TargetError::NoHost => CallError::gateway("endpoint_missing", error.to_string()),
        })
    })?;
    let shown = record.request.extensions.get::<Shown>().filter(|_| !strict);
    let client = client_headers(ai, shown, &record.request.headers);
    let mut headers = headers::headers(&client, conf, spoken, served, strict)
        .map_err(|error| refused(CallError::gateway("header_unusable", error.to_string())))?;
    let mut encoded = body(
        protocol, spoken, served, asked, decoded, candidate, ai, model, strict,
    )?;
    let path = if conf.provider.is_signed() {
        aws::wire_path(&target.path)
    } else {
        target.path
    };
    if let (Some(_), Some(explanation)) = (&conf.auth.gcp, record.explains()) {
        explanation.note("a token of Google's is added when the request is sent");
    } else if let Some(gcp) = &conf.auth.gcp {
        let token = ai.tokens.token(
            &candidate.instance.name,
            gcp,
            ai.gcp_account.as_ref(),
            Moment::now(),
            |request| exchange(call.pools, request, candidate),
        );
        // Boxed: few calls pay for its size.
        let token = Box::pin(token).await.map_err(|error| {
            refused(CallError::gateway("token_unavailable", error.to_string()).told_as(Key::ErrorMsg))
        })?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
            refused(CallError::gateway(
                "token_unavailable",
                "the token cannot be sent",
            ))
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    // An upload keeps the type that says where its parts end.
    if spoken == Protocol::Passthrough
        && let Some(media_type) = record.request.headers.get(CONTENT_TYPE)
    {
        headers.insert(CONTENT_TYPE, media_type.clone());
    }
    let method = if spoken == Protocol::Passthrough {
        record.request.method.clone()
    } else {
        Method::POST
    };
    if let (true, Some(key), Some(region)) = (
        conf.provider.is_signed(),
        &conf.auth.aws,
        &conf.provider_conf.region,
    ) {
        let signature = aws::sign(
            &aws::Unsigned {
                method: &method,
                host: &target.host_header,
                path: &path,
                query: target.query.as_deref(),
                headers: &headers,
                body: &encoded.body.to_bytes(),
                region,
                service: "bedrock",
                time: SystemTime::now(),
            },
            key,
        )
        .map_err(|error| refused(CallError::gateway("signature_failed", error.to_string())))?;
        for (name, value) in signature {
            headers.insert(name, value);
        }
    }
    if let Ok(host) = HeaderValue::from_str(&target.host_header) {
        headers.insert(HOST, host);
    }
    let mut path_and_query = path;
    if let Some(query) = target.query.filter(|query| !query.is_empty()) {
        path_and_query.push('?');
        path_and_query.push_str(&query);
    }
    encoded.target = Some(Target {
        method,
        path_and_query,
        headers,
    });
    Ok(encoded)
}

/// The client's headers that the vendor may get to see.
fn client_headers<'a>(ai: &AiInstance, shown: Option<&Shown>, headers: &'a HeaderMap) -> Cow<'a, HeaderMap> {
    if !ai.sees_client {
        return Cow::Owned(HeaderMap::new());
    }
    let Some(shown) = shown else {
        return Cow::Borrowed(headers);
    };
    let mut headers = headers.clone();
    for name in &shown.headers {
        headers.remove(name);
    }
    Cow::Owned(headers)
}

/// The client's query, without what was meant for the gateway.
fn client_query(record: &Record, strict: bool) -> Option<String> {
    let query = record.request.uri.query()?;
    let shown = record.request.extensions.get::<Shown>().filter(|_| !strict);
    let Some(shown) = shown else {
        return Some(query.to_owned());
    };
    let mut uri = record.request.uri.clone();
    for argument in &shown.arguments {
        crate::plugins::remove_argument(&mut uri, argument);
    }
    uri.query().map(str::to_owned)
}

#[expect(clippy::too_many_arguments, reason = "all of them decide the bytes")]
fn body(
    protocol: Protocol,
    spoken: Protocol,
    served: Served,
    asked: &Asked,
    decoded: &Decoded,
    candidate: &Candidate,
    ai: &AiInstance,
    model: Option<&str>,
    strict: bool,
) -> Result<Encoded, AttemptError> {
    let shaped = |bytes: &Bytes, members| {
        shape(bytes, members, &ai.conf, spoken, strict).map_err(|error| {
            refused(bad_request("invalid_request", error.to_string()).told_as(Key::ErrorMsg))
        })
    };
    match served {
        Served::AsItIs => {
            // What is no JSON (an upload) has no members, and nothing in it is changed.
            let shaped = shaped(&asked.body, &asked.members)?;
            let mut encoded = passed(protocol, shaped.body);
            encoded.hide_usage = shaped.usage_added && !strict;
            Ok(encoded)
        }
        Served::AnthropicAsOpenai if strict => {
            let rebuilt = apisix::rebuild_request(asked.text(), model).map_err(|error| {
                refused(bad_request("invalid_request", error.problem).told_as(Key::ErrorMsg))
            })?;
            let bytes = Bytes::from(rebuilt.body);
            let members = scan(&bytes)
                .map_err(|error| refused(CallError::gateway("translation_failed", error.to_string())))?;
            let mut encoded = passed(protocol, shaped(&bytes, &members)?.body);
            encoded.operation = Operation::Chat(Dialect::OpenaiChat);
            encoded.losses = rebuilt.losses;
            encoded.renames = rebuilt.renames;
            encoded.passed_as = None;
            Ok(encoded)
        }
        Served::AnthropicAsOpenai => {
            let named = named(asked, ai).map_err(refused)?;
            let (asked, decoded) = match &named {
                Some(asked) => (asked, &Decoded::default()),
                None => (asked, decoded),
            };
            let mut encoded = translate(
                Dialect::AnthropicMessages,
                Dialect::OpenaiChat,
                asked,
                decoded,
                candidate,
            )
            .map_err(|mut failure| {
                failure.error = failure.error.told_as(Key::ErrorMsg);
                failure
            })?;
            let bytes = encoded.body.to_bytes();
            let members = scan(&bytes)
                .map_err(|error| refused(CallError::gateway("translation_failed", error.to_string())))?;
            encoded.body = shaped(&bytes, &members)?.body;
            Ok(encoded)
        }
        Served::EmbeddingsAsPredict => {
            let bytes: Bytes = vertex::request(&asked.body)
                .map_err(|error| {
                    refused(bad_request("input_missing", error.to_string()).told_as(Key::ErrorMsg))
                })?
                .into();
            let members = scan(&bytes)
                .map_err(|error| refused(CallError::gateway("translation_failed", error.to_string())))?;
            Ok(passed(spoken, shaped(&bytes, &members)?.body))
        }
    }
}

/// The request with the configured model, for a client that leaves the model to the route.
fn named(asked: &Asked, ai: &AiInstance) -> Result<Option<Asked>, CallError> {
    let Some(model) = &ai.conf.options.model else {
        return Ok(None);
    };
    if asked.members.has(&asked.body, "model") {
        return Ok(None);
    }
    let edits = [Edit {
        key: "model",
        value: Some(serde_json::Value::from(model.as_str()).to_string()),
    }];
    let body = edited(&asked.body, &asked.members, &edits).to_bytes();
    let members = scan(&body).map_err(|error| CallError::gateway("translation_failed", error.to_string()))?;
    Ok(Some(Asked {
        body,
        members,
        model: model.as_str().into(),
        ..*asked
    }))
}

/// A request whose answer is passed on as it is.
fn passed(protocol: Protocol, body: RequestBody) -> Encoded {
    let operation = match protocol {
        Protocol::AnthropicMessages => Operation::Chat(Dialect::AnthropicMessages),
        _ => Operation::Chat(Dialect::OpenaiChat),
    };
    Encoded {
        passed_as: Some(protocol),
        ..Encoded::of(operation, body)
    }
}

/// Asks a token service.
pub(super) async fn exchange(
    pools: &Pools,
    request: TokenRequest,
    candidate: &Candidate,
) -> Result<(StatusCode, Bytes), String> {
    let tls = TlsSettings {
        ca_file: None,
        verify: true,
    };
    let mut endpoint = Endpoint::parse(&request.url, &tls).map_err(|error| error.to_string())?;
    if candidate.instance.endpoint.origin == Origin::Operator {
        endpoint = endpoint.of_operator();
    }
    let body = Bytes::copy_from_slice(request.body.expose().as_bytes());
    let limits = candidate.model.timeouts;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, endpoint.authority.clone());
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let asked = CallRequest {
        method: &Method::POST,
        target: match &*endpoint.base_path {
            "" => "/",
            path => path,
        },
        headers: &headers,
        body: &RequestBody::from(body),
    };
    let within = Within {
        connect: limits.connect,
        answer: limits.first_byte,
    };
    let received = pools
        .send(&endpoint, None, &asked, within, || ())
        .await
        .map_err(|error| error.to_string())?;
    let (status, mut upstream) = (received.status, received.body);
    let read = async {
        let mut bytes = BytesMut::new();
        while let Some(data) = upstream.data().await {
            bytes.extend_from_slice(&data?);
            if bytes.len() > MAX_TOKEN_ANSWER {
                return Err(format!("its answer is larger than {MAX_TOKEN_ANSWER} bytes"));
            }
        }
        Ok((status, bytes.freeze()))
    };
    tokio::time::timeout(limits.first_byte, read)
        .await
        .map_err(|_| "its answer did not come in time".to_owned())?
}

fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> CallError {
    CallError::client(StatusCode::BAD_REQUEST, ErrorKind::BadRequest, code, message)
}
