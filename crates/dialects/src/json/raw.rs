//! A JSON value kept as it was written.

use std::fmt;

use serde_json::value::RawValue;

use super::write_string;
use crate::canonical::Ext;

/// A valid JSON value, byte-identical to its source. Equality compares the text.
#[derive(Clone)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Checks that `text` is one JSON value and keeps it.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(|raw| RawJson(raw.to_owned()))
    }

    /// An object of these members.
    pub fn object(members: &Ext) -> Self {
        RawJson::trusted(RawJson::object_text(members).into_bytes())
    }

    /// The text of an object of these members.
    pub fn object_text(members: &Ext) -> String {
        let mut out = Vec::new();
        out.push(b'{');
        for (i, (key, raw)) in members.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(&mut out, key);
            out.push(b':');
            out.extend_from_slice(raw.text().as_bytes());
        }
        out.push(b'}');
        // Keys and values are text, so their bytes are.
        String::from_utf8(out).unwrap_or_default()
    }

    /// An array of these values, given as JSON.
    pub fn array<'a>(elements: impl IntoIterator<Item = &'a str>) -> Self {
        let mut out = String::from("[");
        for (i, element) in elements.into_iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(element);
        }
        out.push(']');
        RawJson::trusted(out.into_bytes())
    }

    /// A string.
    pub fn string(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 2);
        write_string(&mut out, text);
        RawJson::trusted(out)
    }

    /// `null`.
    pub fn null() -> Self {
        RawJson(RawValue::NULL.to_owned())
    }

    /// Whether the value says nothing: `null`, `""`, `[]` or `{}`. Such a member is no loss when it cannot be carried over.
    pub fn is_blank(&self) -> bool {
        let text = self.text();
        let inner = |open, close| {
            text.strip_prefix(open)
                .and_then(|rest: &str| rest.strip_suffix(close))
        };
        text == "null"
            || text == "\"\""
            || inner('[', ']')
                .or_else(|| inner('{', '}'))
                .is_some_and(|inside| inside.trim().is_empty())
    }

    /// Keeps a text that was put together from JSON values.
    fn trusted(json: Vec<u8>) -> Self {
        let text = String::from_utf8(json).unwrap_or_default();
        RawValue::from_string(text).map_or_else(|_| RawJson::null(), RawJson)
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The value of a JSON string, or `None` for any other kind of value.
    pub fn as_string(&self) -> Option<String> {
        serde_json::from_str(self.0.get()).ok()
    }

    /// The value of a JSON number as `f64`, or `None` for any other kind of value.
    pub fn as_f64(&self) -> Option<f64> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl From<&RawValue> for RawJson {
    fn from(raw: &RawValue) -> Self {
        RawJson(raw.to_owned())
    }
}

impl From<u64> for RawJson {
    fn from(number: u64) -> Self {
        RawJson(RawValue::from_string(number.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}
