//! Finds out who calls.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::model::{AiAuth, Compat};

use super::head::Head;
use crate::error::CallError;
use crate::snapshot::{Consumer, Native, Route};

/// Who calls.
#[derive(Clone)]
pub enum Caller {
    /// A known consumer.
    Consumer(Arc<Consumer>),
    /// The route asks nobody who they are; every model may be used.
    Anonymous,
}

impl Caller {
    /// The consumer's name.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Caller::Consumer(consumer) => Some(&consumer.name),
            Caller::Anonymous => None,
        }
    }

    /// Whether the caller may use a model, and with which fallback instead of the model's own.
    pub fn access_to(&self, model: &str) -> Option<Option<&[String]>> {
        match self {
            Caller::Consumer(consumer) => consumer.access_to(model).map(|access| access.fallback.as_deref()),
            Caller::Anonymous => Some(None),
        }
    }
}

/// Finds out who calls.
///
/// `in_query` is a key that stood in the address.
///
/// # Errors
/// 401 without a usable key, 403 for a header that names nobody.
pub fn identify(
    snapshot: &Native,
    route: &Route,
    head: &Head,
    headers: &HeaderMap,
    in_query: Option<&str>,
) -> Result<Caller, CallError> {
    match &route.auth {
        AiAuth::Anonymous => Ok(Caller::Anonymous),
        AiAuth::Header { name } => by_header(snapshot, route, headers, name),
        AiAuth::Key { .. } => by_key(snapshot, head.dialect, headers, &route.key_headers, in_query),
    }
}

fn by_header(snapshot: &Native, route: &Route, headers: &HeaderMap, name: &str) -> Result<Caller, CallError> {
    let user = headers
        .get(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| {
            let message = if route.models.compat == Compat::NginxDemo {
                "User not specified".to_owned()
            } else {
                format!("the header `{name}` is missing; it must name the user")
            };
            CallError::client(
                StatusCode::UNAUTHORIZED,
                ErrorKind::Authentication,
                "user_missing",
                message,
            )
        })?;
    user.to_str()
        .ok()
        .and_then(|user| snapshot.consumer_by_name(user))
        .cloned()
        .map(Caller::Consumer)
        .ok_or_else(|| {
            CallError::client(
                StatusCode::FORBIDDEN,
                ErrorKind::Permission,
                "user_not_authorized",
                "User not authorized",
            )
        })
}

fn by_key(
    snapshot: &Native,
    dialect: Dialect,
    headers: &HeaderMap,
    names: &[HeaderName],
    in_query: Option<&str>,
) -> Result<Caller, CallError> {
    let mut found: Option<&str> = in_query;
    for name in names {
        for value in headers.get_all(name) {
            let text = value.to_str().map_err(|_| invalid_key())?;
            let key = match (*name == AUTHORIZATION, dialect) {
                (true, Dialect::BedrockConverse) if text.starts_with("AWS4-") => {
                    session_token(headers).ok_or_else(signed)?
                }
                (true, _) => bearer(text).ok_or_else(invalid_key)?,
                (false, _) => text.trim(),
            };
            match found {
                // Two different keys leave open who is to pay.
                Some(other) if other != key => return Err(two_keys()),
                _ => found = Some(key),
            }
        }
    }
    let key = found.filter(|key| !key.is_empty()).ok_or_else(missing_key)?;
    snapshot
        .consumer_by_key(key)
        .cloned()
        .map(Caller::Consumer)
        .ok_or_else(invalid_key)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The key of an Amazon client that signs: beside the signature, which cannot be checked here, stands the session token as it
/// was given to the SDK.
fn session_token(headers: &HeaderMap) -> Option<&str> {
    let mut tokens = headers.get_all("x-amz-security-token").iter();
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => token.to_str().ok(),
        _ => None,
    }
}

fn missing_key() -> CallError {
    unauthorized(
        "missing_api_key",
        "no API key was sent; send yours as `Authorization: Bearer <key>`, `x-api-key: <key>`, `api-key: <key>` or \
         `x-goog-api-key: <key>`",
    )
}

fn invalid_key() -> CallError {
    unauthorized("invalid_api_key", "the API key is not valid for this gateway")
}

/// Whether a signature is right only somebody with the secret key can tell, and Amazon's is not known here.
fn signed() -> CallError {
    unauthorized(
        "invalid_api_key",
        "a signature with AWS keys says nothing here; give the SDK your key for this gateway as AWS_BEARER_TOKEN_BEDROCK, or as \
         the session token of any AWS key",
    )
}

fn two_keys() -> CallError {
    unauthorized(
        "invalid_api_key",
        "several different API keys were sent; send one",
    )
}

fn unauthorized(code: &'static str, message: &'static str) -> CallError {
    CallError::client(StatusCode::UNAUTHORIZED, ErrorKind::Authentication, code, message)
}
