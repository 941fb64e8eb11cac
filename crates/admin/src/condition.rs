//! What a writer says the object has to be: `If-Match` and `If-None-Match` (RFC 9110, section 13.1), so that of two who read
//! the same object and change it, the second is told.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use tollgate_resources::objects::Object;

use crate::errors::Refusal;

/// What the object has to be for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There has to be one.
    Exists,
    /// There must be none.
    Missing,
    /// It has to have this revision, its `modifiedIndex`.
    Is(u64),
}

impl Condition {
    /// Reads the headers of a request; `None` if they say nothing.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Condition>, Refusal> {
        if let Some(value) = headers.get(IF_NONE_MATCH) {
            return match value.as_bytes() {
                b"*" => Ok(Some(Condition::Missing)),
                _ => Err(Refusal::Invalid(
                    "If-None-Match: only `*` is understood".to_owned(),
                )),
            };
        }
        let Some(value) = headers.get(IF_MATCH) else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Some(Condition::Exists));
        }
        let number = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .unwrap_or(text);
        match number.parse() {
            Ok(revision) => Ok(Some(Condition::Is(revision))),
            Err(_) => Err(Refusal::Invalid(
                "If-Match: neither `*` nor the `modifiedIndex` of the object, such as \"12\"".to_owned(),
            )),
        }
    }

    /// Refuses a write if the object is not what it has to be.
    pub(crate) fn check(self, object: Option<&Object>) -> Result<(), Refusal> {
        let found = object.map(|object| object.modified_index);
        let holds = match self {
            Condition::Exists => found.is_some(),
            Condition::Missing => found.is_none(),
            Condition::Is(revision) => found == Some(revision),
        };
        match (holds, found) {
            (true, _) => Ok(()),
            (false, None) => Err(Refusal::Stale("there is no such object".to_owned())),
            (false, Some(found)) => Err(Refusal::Stale(format!(
                "the object was changed meanwhile, its modifiedIndex is {found}: read it again"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(name: HeaderName, value: &'static str) -> Option<Option<Condition>> {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        Condition::read(&headers).ok()
    }

    #[test]
    fn headers_name_a_revision_or_say_whether_there_is_an_object() {
        assert_eq!(Condition::read(&HeaderMap::new()).ok(), Some(None));
        for (value, condition) in [
            ("\"12\"", Some(Condition::Is(12))),
            ("12", Some(Condition::Is(12))),
            ("*", Some(Condition::Exists)),
            ("\"a\"", None),
            ("W/\"12\"", None),
            ("\"1\", \"2\"", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(read(IF_MATCH, value).flatten(), condition, "{value}");
        }
        assert_eq!(read(IF_NONE_MATCH, "*"), Some(Some(Condition::Missing)));
        assert_eq!(read(IF_NONE_MATCH, "\"12\""), None);
    }
}
