//! A call as plugins see it, and what they can do to it.

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::AtEnd;
use crate::who::{Consumer, Directory};

/// A call on its way through the plugins.
pub struct Call<'a> {
    /// The request as the upstream will get it. Plugins may change headers and query; the log keeps what the client sent.
    pub request: &'a mut Parts,
    /// The client's address (after the real-IP rules).
    pub client: SocketAddr,
    /// Whether the client's connection is encrypted.
    pub tls: bool,
    /// The gateway's id of the call.
    pub request_id: &'a str,
    /// Id of the route.
    pub route_id: &'a str,
    /// Id of the service the route belongs to.
    pub service_id: Option<&'a str>,
    /// Parts of the path that the route's pattern names.
    pub path_parameters: &'a [(Arc<str>, String)],
    /// Everybody who may call, and how they prove it.
    pub directory: &'a Directory,
    /// Who calls, once a plugin has found out.
    pub consumer: Option<Attached>,
    /// The body, where it had to be read already.
    pub body: Option<&'a Bytes>,
    /// The time by the [steady clock](crate::clock::steady), for whatever lasts for a while.
    pub now: SystemTime,
    /// The time of day, held still; `None`: see [`Call::wall`].
    pub wall: Option<SystemTime>,
    /// Headers set on the answer, whoever answers; they replace those of the same name, except `vary`, which is added.
    pub answer_headers: HeaderMap,
    /// What is told how the call has ended.
    pub at_end: Vec<Box<dyn AtEnd>>,
}

impl Call<'_> {
    /// The time of day, for what is dated by others. It can be set; see [`Call::now`] for what lasts.
    pub fn wall(&self) -> SystemTime {
        self.wall.unwrap_or_else(SystemTime::now)
    }
}

/// A consumer attached to a call.
#[derive(Clone)]
pub struct Attached {
    /// Who.
    pub consumer: Arc<Consumer>,
    /// Id of the credential that proved it, where it is an object of its own.
    pub credential_id: Option<Arc<str>>,
}

/// How a call goes on after a plugin.
#[must_use]
pub enum Flow {
    /// To the next plugin.
    Next,
    /// Not at all: this is the answer.
    Answer(Box<Reply>),
    /// To the next plugin, but only after this time. A client that leaves meanwhile ends the call.
    Wait(Duration),
    /// Not at all: this is the answer, and it is given only after this time.
    AnswerAfter(Duration, Box<Reply>),
    /// As this finds out. It runs on the worker's thread, and a client that leaves meanwhile ends it by dropping it.
    Later(Pin<Box<dyn Future<Output = Later>>>),
}

/// What a plugin has found out by waiting.
#[derive(Default)]
pub struct Later {
    /// Further headers for the answer, as in [`Call::answer_headers`].
    pub answer_headers: HeaderMap,
    /// Further ones that are told how the call has ended.
    pub at_end: Vec<Box<dyn AtEnd>>,
    /// The answer; without one the call goes on to the next plugin.
    pub reply: Option<Box<Reply>>,
}

/// Under which key APISIX tells a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `{"message": …}`
    Message,
    /// `{"error_msg": …}`
    ErrorMsg,
}

/// An answer of a plugin.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Stable machine-readable code for errors, such as `missing_api_key`.
    pub code: &'static str,
    /// What to say.
    pub body: ReplyBody,
    /// Further headers, such as `www-authenticate`.
    pub headers: HeaderMap,
}

/// The body of an answer of a plugin.
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// Nothing: the gateway's page for the status.
    None,
    /// An error text under APISIX's key; where the client's dialect has a form for errors it is told in that too.
    Error(Key, Cow<'static, str>),
    /// JSON as it is.
    Json(Value),
    /// Text as it is.
    Text(Cow<'static, str>),
}

impl Reply {
    /// An error told under one of APISIX's keys.
    pub fn error(
        status: StatusCode,
        code: &'static str,
        key: Key,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Reply {
            status,
            code,
            body: ReplyBody::Error(key, text.into()),
            headers: HeaderMap::new(),
        }
    }

    /// A text as it is; an empty one is an empty body.
    pub fn text(status: StatusCode, code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Reply {
            status,
            code,
            body: ReplyBody::Text(text.into()),
            headers: HeaderMap::new(),
        }
    }

    /// A status with nothing to say.
    pub fn status(status: StatusCode, code: &'static str) -> Self {
        Reply {
            status,
            code,
            body: ReplyBody::None,
            headers: HeaderMap::new(),
        }
    }

    /// What it says, as text; empty if it says nothing or says it as JSON.
    pub fn what_it_says(&self) -> &str {
        match &self.body {
            ReplyBody::Error(_, text) | ReplyBody::Text(text) => text,
            ReplyBody::None | ReplyBody::Json(_) => "",
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Flow::Answer(Box::new(reply))
    }
}
