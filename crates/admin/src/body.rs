//! Bodies of requests: read up to a limit, and parsed.

use std::time::Duration;

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::errors::Refusal;

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if let Some(length) = announced
        && length > limit as u64
    {
        return Err(too_large(length, limit));
    }
    match tokio::time::timeout(PATIENCE, collect(body, limit)).await {
        Ok(bytes) => bytes,
        Err(_) => Err(Refusal::Invalid("invalid request body: timeout".to_owned())),
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // The error names the client's connection at most; nobody is left to read it.
        let frame =
            frame.map_err(|_| Refusal::Invalid("invalid request body: connection broken".to_owned()))?;
        if let Some(data) = frame.data_ref() {
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(too_large(length as u64, limit));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn too_large(length: u64, limit: usize) -> Refusal {
    Refusal::Invalid(format!(
        "invalid request body: request size {length} is greater than the maximum size {limit} allowed"
    ))
}

/// Parses JSON; an empty body is `None`.
pub(crate) fn json(bytes: &[u8]) -> Result<Option<Value>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(Refusal::Body {
            error: explain(bytes, &error),
            raw: String::from_utf8_lossy(bytes).into_owned(),
        }),
    }
}

/// Says what is wrong with JSON in the words of APISIX's parser, which tools and tests look for.
pub(crate) fn explain(bytes: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let wanted = [
        ("key must be a string", "object key string"),
        ("expected `:`", "colon"),
        ("expected `,` or `}`", "comma or object end"),
        ("expected `,` or `]`", "comma or array end"),
        ("trailing comma", "value"),
        ("trailing characters", "the end"),
        ("expected value", "value"),
        ("expected ident", "value"),
        ("EOF while parsing", "value"),
    ];
    let Some((_, wanted)) = wanted.iter().find(|(serde, _)| text.starts_with(serde)) else {
        return text;
    };
    let found = if error.is_eof() { "T_END" } else { "invalid token" };
    let before = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let mut character = before + error.column();
    if text.starts_with("expected ident") {
        // The parser reads on until the word differs; the token begins where the word does.
        let end = character.min(bytes.len()).saturating_sub(1);
        let word = bytes
            .get(..end)
            .unwrap_or_default()
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        character = end - word + 1;
    }
    format!("Expected {wanted} but found {found} at character {character}")
}

/// The name of a value's type in APISIX's messages.
pub(crate) fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match json(text.as_bytes()) {
            Err(Refusal::Body { error, .. }) => error,
            _ => panic!("{text} is accepted"),
        }
    }

    #[test]
    fn bad_json_is_explained_in_the_words_of_apisix() {
        assert_eq!(
            error("{abcd"),
            "Expected object key string but found invalid token at character 2"
        );
        assert_eq!(
            error("not json"),
            "Expected value but found invalid token at character 1"
        );
        assert_eq!(
            error("{\"a\":\n ?}"),
            "Expected value but found invalid token at character 8"
        );
        assert!(error("{\"a\":").starts_with("Expected value but found T_END"));
    }

    #[test]
    fn no_body_is_not_an_error() {
        assert!(json(b"").unwrap().is_none());
    }
}
