//! The call that is to be explained, as people write it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::pipeline::Guest;

/// A call that is to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: Uri,
    /// Headers. Without `host` there is one that no route asks for, without `content-type` the body is JSON.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client comes over TLS.
    pub tls: bool,
    /// Who calls, where the Admin API says so; never read from what is written.
    pub guest: Option<Arc<Guest>>,
}

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct QuestionError {
    /// The member at fault.
    pub field: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "post")]
    method: String,
    path: String,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
    client: Option<IpAddr>,
    #[serde(default)]
    tls: bool,
}

fn post() -> String {
    "POST".to_owned()
}

impl Question {
    /// Reads `{"method", "path", "headers", "body", "client", "tls"}`, of which all but `path` may be missing. `body` is JSON, or a
    /// text that is sent as it is.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn of_json(written: Value) -> Result<Question, QuestionError> {
        let wrong = |field: &str, problem: String| QuestionError {
            field: field.to_owned(),
            problem,
        };
        let written: Written =
            serde_json::from_value(written).map_err(|error| wrong("request", error.to_string()))?;
        let method = written.method.parse().map_err(|_| {
            wrong(
                "method",
                format!("`{}` is no method; write POST or GET", written.method),
            )
        })?;
        let target: Uri = written
            .path
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.path().starts_with('/') && uri.authority().is_none())
            .ok_or_else(|| {
                let problem = "must be the path of a call, such as /v1/chat/completions";
                wrong("path", problem.to_owned())
            })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &written.headers {
            let field = format!("headers.{name}");
            let parsed: HeaderName = name
                .parse()
                .map_err(|_| wrong(&field, "this is no name of a header".to_owned()))?;
            let texts = match value {
                Value::Array(texts) => texts.as_slice(),
                one => std::slice::from_ref(one),
            };
            for text in texts {
                let text = text.as_str().and_then(|text| HeaderValue::from_str(text).ok());
                let text =
                    text.ok_or_else(|| wrong(&field, "must be a text without line breaks".to_owned()))?;
                headers.append(parsed.clone(), text);
            }
        }
        let body = match written.body {
            Value::Null => Bytes::new(),
            Value::String(text) => text.into(),
            json => json.to_string().into(),
        };
        // These are the connection's.
        for name in [
            "content-length",
            "transfer-encoding",
            "connection",
            "expect",
            "upgrade",
        ] {
            headers.remove(name);
        }
        Ok(Question {
            method,
            target,
            headers,
            body,
            client: written.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tls: written.tls,
            guest: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Question;

    #[test]
    fn a_question_says_what_is_wrong_with_it() {
        for (written, told) in [
            (json!({}), "request: missing field `path`"),
            (
                json!({"path": "/a", "hedaers": {}}),
                "request: unknown field `hedaers`",
            ),
            (json!({"path": "v1"}), "path: must be the path"),
            (json!({"path": "http://a/b"}), "path: must be the path"),
            (
                json!({"path": "/a", "method": "P T"}),
                "method: `P T` is no method",
            ),
            (
                json!({"path": "/a", "headers": {"a b": "c"}}),
                "headers.a b: this is no name",
            ),
            (
                json!({"path": "/a", "headers": {"a": "b\r\nc: d"}}),
                "headers.a: must be a text",
            ),
            (
                json!({"path": "/a", "client": "here"}),
                "request: invalid IP address",
            ),
        ] {
            let error = Question::of_json(written).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn bodies_are_json_or_text_as_it_is() {
        let body = |body: serde_json::Value| {
            Question::of_json(json!({"path": "/a", "body": body}))
                .unwrap()
                .body
        };
        assert_eq!(body(json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(body(json!("{broken")), "{broken");
        assert_eq!(body(json!(null)), "");
    }
}
