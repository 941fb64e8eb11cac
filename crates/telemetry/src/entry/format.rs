//! `log_format`: which members an entry has, and where their values come from.

use serde_json::Value;

use super::Scene;
use super::json::Members;
use super::variable::Source;

/// Objects in each other at most; what is nested deeper is told as an empty object, as in APISIX.
pub const MAX_DEPTH: usize = 5;

/// A format that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFormat {
    members: Vec<(Box<str>, Item)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// `None`: a variable that nobody knows, which never has a value.
    Variable(Option<Source>),
    /// A value as it is, in JSON.
    Literal(Box<str>),
    Object(LogFormat),
    List(Vec<Item>),
}

impl LogFormat {
    /// Reads a format: an object whose values are `"$variable"`, anything else as it is, or objects of the same kind.
    /// Anything but an object is an empty format.
    pub fn read(format: &Value) -> LogFormat {
        LogFormat::at(format, 1)
    }

    fn at(format: &Value, depth: usize) -> LogFormat {
        let members = format.as_object().into_iter().flatten();
        LogFormat {
            members: members
                .map(|(name, value)| (name.as_str().into(), Item::of(value, depth)))
                .collect(),
        }
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn has_request_body(&self) -> bool {
        self.has(&Source::RequestBody)
    }

    pub(super) fn has_response_body(&self) -> bool {
        self.has(&Source::ResponseBody)
    }

    /// Whether it tells headers of the answer.
    pub fn has_sent_headers(&self) -> bool {
        self.any(&|source| matches!(source, Source::SentHeader(_)))
    }

    fn has(&self, wanted: &Source) -> bool {
        self.any(&|source| source == wanted)
    }

    fn any(&self, is_wanted: &dyn Fn(&Source) -> bool) -> bool {
        self.members.iter().any(|(_, item)| item.any(is_wanted))
    }

    /// Writes the members that `is_told` lets through and that have a value.
    pub(super) fn write_members(
        &self,
        scene: &Scene<'_>,
        members: &mut Members<'_>,
        is_told: impl Fn(&str) -> bool,
    ) {
        for (name, item) in self.members.iter().filter(|(name, _)| is_told(name)) {
            members.maybe(name, |out| item.write(scene, out));
        }
    }
}

impl Item {
    fn of(value: &Value, depth: usize) -> Item {
        match value {
            Value::Object(_) | Value::Array(_) if depth >= MAX_DEPTH => Item::Object(LogFormat::default()),
            Value::Object(_) => Item::Object(LogFormat::at(value, depth + 1)),
            Value::Array(items) => Item::List(items.iter().map(|item| Item::of(item, depth + 1)).collect()),
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) => Item::Variable(Source::named(name)),
                None => Item::Literal(value.to_string().into()),
            },
            _ => Item::Literal(value.to_string().into()),
        }
    }

    fn any(&self, is_wanted: &dyn Fn(&Source) -> bool) -> bool {
        match self {
            Item::Variable(source) => source.as_ref().is_some_and(is_wanted),
            Item::Literal(_) => false,
            Item::Object(format) => format.any(is_wanted),
            Item::List(items) => items.iter().any(|item| item.any(is_wanted)),
        }
    }

    /// Writes the value; false if there is none.
    fn write(&self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Item::Variable(source) => match source.as_ref().and_then(|source| source.value(scene)) {
                Some(value) => value.write(out),
                None => return false,
            },
            Item::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Item::Object(format) => {
                let mut members = Members::begin(out);
                format.write_members(scene, &mut members, |_| true);
                members.end();
            }
            Item::List(items) => {
                out.push(b'[');
                let mut has_some = false;
                for item in items {
                    let start = out.len();
                    if has_some {
                        out.push(b',');
                    }
                    match item.write(scene, out) {
                        true => has_some = true,
                        false => out.truncate(start),
                    }
                }
                out.push(b']');
            }
        }
        true
    }
}
