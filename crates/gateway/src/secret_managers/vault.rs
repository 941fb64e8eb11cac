//! HashiCorp Vault: secrets of its key-value engine, version 1 and 2.
//!
//! The last segment of a path is the key within the secret that the others name. Of version 2 the prefix holds `data`, as in
//! Vault's own addresses: `<mount>/data`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tollgate_resources::Secret;

use super::exchange::{Limited, Outgoing};
use super::fetch::{FetchError, text_of};
use super::settings::{endpoint, optional_text, text};
use crate::ai::aws::wire_path;

/// Fetches the text under a key of a secret.
pub(super) async fn fetch(exchanges: Limited<'_>, conf: &Value, path: &str) -> Result<Secret, FetchError> {
    let (secret, key) = path.rsplit_once('/').ok_or(FetchError::Reference(
        "a secret and a key, as in vault/1/jack/auth-key",
    ))?;
    let endpoint = endpoint(text(conf, "uri")?, "uri", true)?;
    let prefix = text(conf, "prefix")?.trim_matches('/');
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static("x-vault-token"),
        header("token", text(conf, "token")?)?,
    );
    if let Some(namespace) = optional_text(conf, "namespace")? {
        headers.insert(
            HeaderName::from_static("x-vault-namespace"),
            header("namespace", namespace)?,
        );
    }
    let path = wire_path(&format!("{}/v1/{prefix}/{secret}", endpoint.base_path));
    let request = Outgoing {
        method: Method::GET,
        endpoint: &endpoint,
        path: &path,
        headers,
        body: Bytes::new(),
    };
    match exchanges.exchange(&request).await? {
        (StatusCode::OK, body) => secret_in(&body, key),
        (StatusCode::NOT_FOUND, _) => Err(FetchError::NotFound),
        (status, _) => Err(FetchError::Refused {
            status: status.as_u16(),
            code: String::new(),
        }),
    }
}

/// The text under a key of the secret that an answer holds.
pub(super) fn secret_in(answer: &[u8], key: &str) -> Result<Secret, FetchError> {
    let answer: Value =
        serde_json::from_slice(answer).map_err(|_| FetchError::Unreadable("it is not JSON"))?;
    let data = answer
        .get("data")
        .ok_or(FetchError::Unreadable("it has no data"))?;
    text_of(members(data), key)
}

/// What a secret holds: version 2 puts it below another `data`, beside `metadata`.
fn members(data: &Value) -> &Value {
    match (data.get("data"), data.get("metadata")) {
        (Some(inner @ Value::Object(_)), Some(Value::Object(_))) => inner,
        _ => data,
    }
}

fn header(field: &'static str, text: &str) -> Result<HeaderValue, FetchError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| FetchError::Setting {
        field,
        problem: "cannot stand in a header",
    })?;
    value.set_sensitive(true);
    Ok(value)
}
