//! Finds out who calls.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::model::{AiAuth, Compat};

use super::guest::Guest;
use super::head::Head;
use crate::error::CallError;
use crate::governance::{Governance, Identity, Index, Key};
use crate::snapshot::{Consumer, Native, Route, Snapshot};

/// Who calls.
#[derive(Clone, Default)]
pub struct Caller {
    /// The consumer of the configuration, if it is one. Without one, every model may be used that no level forbids.
    consumer: Option<Arc<Consumer>>,
    /// The name of somebody whom the process itself has let in.
    guest: Option<Arc<str>>,
    /// As what budgets and limits know the caller; `None` where nothing counts for anybody.
    pub identity: Option<Identity>,
}

impl Caller {
    fn consumer(consumer: Arc<Consumer>) -> Self {
        Caller {
            consumer: Some(consumer),
            guest: None,
            identity: None,
        }
    }

    /// Somebody whom the process itself has let in: every model may be used that no level forbids.
    fn guest(guest: &Guest, index: &Index) -> Self {
        Caller {
            consumer: None,
            guest: Some(guest.name.clone()),
            identity: (!index.is_empty()).then(|| guest.identity(index)),
        }
    }

    /// The consumer's name.
    pub fn name(&self) -> Option<&Arc<str>> {
        let by_key = self
            .identity
            .as_ref()
            .and_then(|identity| identity.consumer.as_ref());
        let own = self.consumer.as_ref().map(|consumer| &consumer.name);
        own.or(by_key).or(self.guest.as_ref())
    }

    /// Whose conversations are the caller's: those of its consumer, or of its key if that has none.
    pub fn owner(&self) -> Option<String> {
        let of_key = || {
            let key = self.identity.as_ref()?.key.as_ref()?;
            // No consumer has this name.
            Some(format!("key/{}", key.id))
        };
        self.name().map(|name| name.as_ref().to_owned()).or_else(of_key)
    }

    /// Whether the caller may use a model, and with which fallback instead of the model's own.
    pub fn access_to(&self, model: &str) -> Option<Option<&[String]>> {
        let levels = self
            .identity
            .as_ref()
            .and_then(|identity| identity.levels.as_ref());
        if Index::refusing_level(levels, model).is_some() {
            return None;
        }
        match &self.consumer {
            Some(consumer) => consumer.access_to(model).map(|access| access.fallback.as_deref()),
            None => Some(None),
        }
    }
}

/// Finds out who calls.
///
/// `in_query` is a key that stood in the address; `guest` is whom the process itself has let in.
///
/// # Errors
/// 401 without a usable key, 403 for a header that names nobody.
pub fn identify(
    snapshot: &Snapshot,
    governance: &Governance,
    route: &Route,
    head: &Head,
    headers: &HeaderMap,
    in_query: Option<&str>,
    guest: Option<&Guest>,
) -> Result<Caller, CallError> {
    let index = governance.index();
    if let Some(guest) = guest {
        return Ok(Caller::guest(guest, &index));
    }
    let mut caller = match &route.auth {
        AiAuth::Anonymous => Caller::default(),
        AiAuth::Header { name } => by_header(&snapshot.native, route, headers, name)?,
        AiAuth::Key { .. } => {
            let key = shown_key(head.dialect, headers, &route.key_headers, in_query)?;
            match index.by_key(key)? {
                Some(key) => return by_virtual_key(snapshot, &index, &key),
                None => {
                    let consumer = snapshot.native.consumer_by_key(key).cloned();
                    consumer.map(Caller::consumer).ok_or_else(invalid_key)?
                }
            }
        }
    };
    if !index.is_empty() {
        caller.identity = Some(match caller.name() {
            Some(name) => index.of_consumer(name, None),
            None => index.of_nobody(),
        });
    }
    Ok(caller)
}

/// The caller of a virtual key. One whose consumer is gone opens nothing.
fn by_virtual_key(snapshot: &Snapshot, index: &Index, key: &Arc<Key>) -> Result<Caller, CallError> {
    let Some(name) = &key.consumer else {
        return Ok(Caller {
            identity: Some(index.of_key(key, None)),
            ..Caller::default()
        });
    };
    let consumer = snapshot.native.consumer_by_name(name).cloned();
    let object = snapshot.plane.directory.consumer(name);
    if consumer.is_none() && object.is_none() {
        return Err(invalid_key());
    }
    let team = object
        .filter(|_| consumer.is_none())
        .and_then(|object| object.team());
    Ok(Caller {
        identity: Some(index.of_key(key, team)),
        consumer,
        guest: None,
    })
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
        .map(Caller::consumer)
        .ok_or_else(|| {
            CallError::client(
                StatusCode::FORBIDDEN,
                ErrorKind::Permission,
                "user_not_authorized",
                "User not authorized",
            )
        })
}

fn shown_key<'a>(
    dialect: Dialect,
    headers: &'a HeaderMap,
    names: &[HeaderName],
    in_query: Option<&'a str>,
) -> Result<&'a str, CallError> {
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
    found.filter(|key| !key.is_empty()).ok_or_else(missing_key)
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
