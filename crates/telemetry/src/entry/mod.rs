//! Log entries: a finished call as one JSON object, as APISIX's loggers tell it.
//!
//! Without a `log_format` an entry tells the request, the answer and the times; with one it has the members that the format
//! names. What a model call used and said is added where the call's route wants that. Everything is written as bytes, in one
//! pass, on the thread that served the call. Credentials in headers, cookies and queries are masked unless that is switched
//! off.

mod default;
mod format;
mod json;
mod llm;
mod origin;
mod variable;

use std::borrow::Cow;

use crate::format::mask;
use crate::record::{CallRecord, Excerpt};

pub(crate) use self::default::hostname;
pub use self::format::LogFormat;
pub(crate) use self::variable::shown;
pub use self::variable::{Told, lookup};

/// How entries look.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Members of their own in place of the default ones.
    pub log_format: Option<LogFormat>,
    /// Members beside the default ones. They take the place of none.
    pub log_format_extra: Option<LogFormat>,
    /// The id told of calls that no route took; left out without one.
    pub unmatched_route_id: Option<&'static str>,
    /// Whether credentials are told as they came.
    pub reveals_secrets: bool,
}

/// The bodies that an entry tells, each cut at a number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bodies {
    /// Bytes of the request's body at most, if it is told.
    pub request: Option<usize>,
    /// Bytes of the answer's body at most, if it is told.
    pub response: Option<usize>,
    /// Bytes of `$request_body` in formats at most.
    pub variable: usize,
}

impl Entry {
    /// Appends a call as one JSON object, without a line break.
    pub fn write(&self, call: &CallRecord<'_>, bodies: Bodies, out: &mut Vec<u8>) {
        let scene = Scene {
            call,
            bodies,
            reveals: self.reveals_secrets,
        };
        let mut members = json::Members::begin(out);
        match &self.log_format {
            Some(format) => {
                let is_matched = call.route.is_some();
                format.write_members(&scene, &mut members, |name| {
                    !(is_matched && matches!(name, "route_id" | "service_id"))
                });
                members.text_if("service_id", call.service.filter(|_| is_matched));
                members.text_if("route_id", call.route.or(self.unmatched_route_id));
            }
            None => default::write(&scene, self, &mut members),
        }
        llm::write(call, &mut members);
        members.end();
    }

    /// Bytes of the request's body that the formats want, as `$request_body`; the same for the answer's, as `$resp_body`.
    pub fn wants(&self, limit: usize) -> (usize, usize) {
        let formats = || self.log_format.iter().chain(&self.log_format_extra);
        let wanted = |wants: fn(&LogFormat) -> bool| match formats().any(wants) {
            true => limit,
            false => 0,
        };
        (
            wanted(LogFormat::has_request_body),
            wanted(LogFormat::has_response_body),
        )
    }
}

pub use origin::write as write_origin;

/// A call and how much of it may be told.
struct Scene<'a> {
    call: &'a CallRecord<'a>,
    bodies: Bodies,
    reveals: bool,
}

impl<'a> Scene<'a> {
    /// Whether the value of a header or argument of this name is not to be told.
    fn hides(&self, name: &str) -> bool {
        !self.reveals && (self.call.secret_names.contains(&name) || mask::is_secret(name))
    }

    /// The value of a header as it may be told.
    fn header<'v>(&self, name: &str, value: &'v [u8]) -> Cow<'v, [u8]> {
        match name {
            name if self.hides(name) => mask::MASK.as_bytes().into(),
            "referer" if !self.reveals => match std::str::from_utf8(value) {
                Ok(uri) => match mask::uri(uri, self.call.secret_names) {
                    Cow::Borrowed(_) => value.into(),
                    Cow::Owned(masked) => masked.into_bytes().into(),
                },
                Err(_) => mask::MASK.as_bytes().into(),
            },
            _ => value.into(),
        }
    }

    /// An address without the secrets in its query.
    fn uri(&self, uri: &'a str) -> Cow<'a, str> {
        match self.reveals {
            true => Cow::Borrowed(uri),
            false => mask::uri(uri, self.call.secret_names),
        }
    }
}

/// The beginning of a body.
fn cut(body: Excerpt<'_>, limit: usize) -> &[u8] {
    body.bytes.get(..limit).unwrap_or(body.bytes)
}

#[cfg(test)]
mod tests;
