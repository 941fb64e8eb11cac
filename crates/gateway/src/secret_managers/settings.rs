//! Reads fields of a manager's object. Errors name the field and never its value, which may be a secret.

use serde_json::Value;

use super::fetch::FetchError;
use crate::upstream::{Endpoint, TlsSettings};

/// A text that may be absent; an empty one is as good as none.
pub(super) fn optional_text<'a>(conf: &'a Value, field: &'static str) -> Result<Option<&'a str>, FetchError> {
    match conf.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(FetchError::Setting {
            field,
            problem: "is not a text",
        }),
    }
}

/// A text that must be there.
pub(super) fn text<'a>(conf: &'a Value, field: &'static str) -> Result<&'a str, FetchError> {
    optional_text(conf, field)?.ok_or(FetchError::Setting {
        field,
        problem: "is missing",
    })
}

/// An address.
pub(super) fn endpoint(address: &str, field: &'static str, verify: bool) -> Result<Endpoint, FetchError> {
    let tls = TlsSettings {
        ca_file: None,
        verify,
    };
    // The reason would repeat the address, which may hold a password.
    Endpoint::parse(address, &tls)
        .ok()
        .filter(|endpoint| endpoint.port != 0)
        .ok_or(FetchError::Setting {
            field,
            problem: "is not an address such as https://host:8200",
        })
}
