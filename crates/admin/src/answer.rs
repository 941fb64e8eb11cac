//! Answers, and the headers that every answer carries.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, SERVER,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use serde_json::Value;

use crate::Settings;
use crate::settings::APISIX_VERSION;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
const API_VERSION: HeaderName = HeaderName::from_static("x-api-version");
const WARNING: HeaderName = HeaderName::from_static("x-tollgate-warning");

/// What is answered.
pub(crate) struct Answer {
    /// Status.
    pub(crate) status: StatusCode,
    /// Headers beyond those that all answers carry.
    pub(crate) headers: HeaderMap,
    /// Body; empty for none.
    pub(crate) body: Bytes,
    /// What follows it, made while it is sent.
    rest: Option<Body>,
}

/// Texts that are sent one after the other.
struct Parts(Box<dyn Iterator<Item = String> + Send>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|part| Ok(Frame::data(part.into()))))
    }
}

impl Answer {
    /// Nothing but a status.
    pub(crate) fn empty(status: StatusCode) -> Answer {
        Answer::text(status, "")
    }

    /// JSON, with a newline behind it as APISIX has it.
    pub(crate) fn json(status: StatusCode, value: impl Into<Value>) -> Answer {
        let mut body = value.into().to_string();
        body.push('\n');
        Answer::text(status, body)
    }

    /// Text as it is. Like APISIX it is called JSON, whatever it is.
    pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        Answer {
            status,
            headers,
            body: text.into(),
            rest: None,
        }
    }

    /// Texts that are sent one after the other.
    pub(crate) fn parts(status: StatusCode, parts: Box<dyn Iterator<Item = String> + Send>) -> Answer {
        Answer {
            rest: Some(Body::new(Parts(parts))),
            ..Answer::empty(status)
        }
    }

    /// What comes while it is sent.
    pub(crate) fn streamed(status: StatusCode, body: Body) -> Answer {
        Answer {
            rest: Some(body),
            ..Answer::empty(status)
        }
    }

    /// A page that says the status, where no resource answers.
    pub(crate) fn page(status: StatusCode) -> Answer {
        let title = format!(
            "{} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        );
        Answer::text(
            status,
            format!("<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n"),
        )
        .with(CONTENT_TYPE, HTML)
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.insert(name, value);
        self
    }

    /// Tells about something that was accepted but will not do what its writer may expect.
    #[must_use]
    pub(crate) fn warning(mut self, warnings: &[String]) -> Answer {
        for warning in warnings {
            if let Ok(value) = HeaderValue::from_str(warning) {
                self.headers.append(WARNING, value);
            }
        }
        self
    }

    /// The answer with the headers that all answers carry.
    pub(crate) fn finish(self, settings: &Settings) -> Response {
        let body = match self.rest {
            Some(rest) => rest,
            None => Body::from(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = self.headers;
        let server = if settings.server_tokens {
            HeaderValue::try_from(format!("APISIX/{APISIX_VERSION}")).ok()
        } else {
            None
        };
        headers.insert(SERVER, server.unwrap_or(HeaderValue::from_static("APISIX")));
        // APISIX tells the version of its API only to those who may use it.
        if !matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            headers.insert(API_VERSION, HeaderValue::from_static("v3"));
        }
        if settings.cors {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        }
        response
    }

    /// The answer to a page of another origin that asks what it may send.
    pub(crate) fn preflight() -> Answer {
        Answer::empty(StatusCode::OK)
            .with(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .with(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("POST, GET, PUT, OPTIONS, DELETE, PATCH"),
            )
            .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"))
    }
}
