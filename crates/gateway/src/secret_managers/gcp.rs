//! Google Secret Manager: the latest version of a secret.
//!
//! The first segment of a path names the secret; what is behind it is a key of the JSON object that the secret holds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_resources::Secret;

use super::exchange::{Limited, Outgoing};
use super::fetch::{FetchError, part_of};
use super::settings::{endpoint, optional_text, text};
use crate::ai::aws::wire_path;
use crate::ai::config::GcpAuth;
use crate::ai::gcp::{TokenRequest, Tokens};
use crate::clock::Moment;

/// Where secrets are, unless the object says otherwise.
const DEFAULT_ENTRIES: &str = "https://secretmanager.googleapis.com/v1";

/// Where tokens are, unless the object says otherwise.
const DEFAULT_TOKENS: &str = "https://oauth2.googleapis.com/token";

/// Seconds before its end that a token is renewed.
const EXPIRE_EARLY_SECS: u64 = 60;

/// Fetches a secret, or the text under one of its keys.
pub(super) async fn fetch(
    exchanges: Limited<'_>,
    tokens: &Tokens,
    manager: &str,
    conf: &Value,
    path: &str,
    now: Moment,
) -> Result<Secret, FetchError> {
    let (secret, key) = match path.split_once('/') {
        Some((secret, key)) => (secret, Some(key)),
        None => (path, None),
    };
    let account = Account::read(conf)?;
    let auth = GcpAuth {
        service_account_json: Some(account.json.into()),
        max_ttl: None,
        expire_early_secs: EXPIRE_EARLY_SECS,
    };
    // A token that was fetched without checking the certificate must not serve where it is to be checked.
    let instance = format!("{manager} {}", account.verify);
    let verify = account.verify;
    let token = tokens
        .token(&instance, &auth, None, now, |request| async move {
            fetch_token(exchanges, request, verify)
                .await
                .map_err(|error| error.to_string())
        })
        .await?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| FetchError::Unreadable("the token cannot stand in a header"))?;
    bearer.set_sensitive(true);
    let endpoint = endpoint(&account.entries_uri, "entries_uri", verify)?;
    let name = wire_path(&format!(
        "{}/projects/{}/secrets/{secret}/versions/latest",
        endpoint.base_path, account.project_id
    ));
    let request = Outgoing {
        method: Method::GET,
        endpoint: &endpoint,
        path: &format!("{name}:access"),
        headers: HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]),
        body: Bytes::new(),
    };
    match exchanges.exchange(&request).await? {
        (StatusCode::OK, body) => part_of(payload(&body)?, key),
        (StatusCode::NOT_FOUND, _) => Err(FetchError::NotFound),
        (status, _) => Err(FetchError::Refused {
            status: status.as_u16(),
            code: String::new(),
        }),
    }
}

pub(super) fn payload(body: &[u8]) -> Result<String, FetchError> {
    let unreadable = || FetchError::Unreadable("it is no answer of Google Secret Manager");
    let told: Told = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let bytes = STANDARD.decode(told.payload.data).map_err(|_| unreadable())?;
    String::from_utf8(bytes).map_err(|_| FetchError::NoText)
}

async fn fetch_token(
    exchanges: Limited<'_>,
    request: TokenRequest,
    verify: bool,
) -> Result<(StatusCode, Bytes), FetchError> {
    let endpoint = endpoint(&request.url, "token_uri", verify)?;
    let path = match endpoint.base_path.as_str() {
        "" => "/",
        path => path,
    };
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    exchanges
        .exchange(&Outgoing {
            method: Method::POST,
            endpoint: &endpoint,
            path,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, form)]),
            body: Bytes::copy_from_slice(request.body.expose().as_bytes()),
        })
        .await
}

/// Whom to ask, and as whom.
struct Account {
    /// The service account as Google writes it.
    json: String,
    project_id: String,
    entries_uri: String,
    verify: bool,
}

impl Account {
    fn read(conf: &Value) -> Result<Self, FetchError> {
        let from_file;
        let account = match conf.get("auth_config") {
            Some(account @ Value::Object(_)) => account,
            _ => {
                from_file = read_file(text(conf, "auth_file")?)?;
                &from_file
            }
        };
        let scope = match account.get("scope") {
            None | Some(Value::Null) => None,
            Some(Value::String(scope)) => Some(scope.clone()),
            Some(Value::Array(scopes)) => {
                let scopes: Option<Vec<&str>> = scopes.iter().map(Value::as_str).collect();
                Some(scopes.ok_or(BAD_SCOPE)?.join(" "))
            }
            Some(_) => return Err(BAD_SCOPE),
        };
        let mut json = json!({
            "client_email": text(account, "client_email")?,
            "private_key": text(account, "private_key")?,
            "token_uri": optional_text(account, "token_uri")?.unwrap_or(DEFAULT_TOKENS),
        });
        if let Some(scope) = scope.filter(|scope| !scope.is_empty()) {
            json["scope"] = Value::String(scope);
        }
        Ok(Account {
            json: json.to_string(),
            project_id: text(account, "project_id")?.to_owned(),
            entries_uri: optional_text(account, "entries_uri")?
                .unwrap_or(DEFAULT_ENTRIES)
                .to_owned(),
            verify: conf.get("ssl_verify") != Some(&Value::Bool(false)),
        })
    }
}

/// Reads a service account from a file. That blocks for a moment, which on the thread of secrets holds up nobody's call.
fn read_file(path: &str) -> Result<Value, FetchError> {
    let unusable = |problem| FetchError::Setting {
        field: "auth_file",
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|_| unusable("names a file that cannot be read"))?;
    serde_json::from_str(&text).map_err(|_| unusable("names a file that is not JSON"))
}

const BAD_SCOPE: FetchError = FetchError::Setting {
    field: "scope",
    problem: "is neither a text nor a list of texts",
};

#[derive(Deserialize)]
struct Told {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    data: String,
}
