//! A JSON value kept as it was written.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{walk, write_string};
use crate::canonical::Ext;

/// A valid JSON value in its document, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// What somebody has read who knows it to be JSON.
    pub(super) fn trusted(text: &'a str) -> Self {
        Raw(text)
    }

    /// The JSON text.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// It is no array.
    pub(crate) fn elements(self) -> Result<Vec<Raw<'a>>, serde_json::Error> {
        match walk::elements(self.0) {
            Some(elements) => Ok(elements),
            // It knows to say what is wrong.
            None => serde_json::from_str(self.0),
        }
    }

    /// The value of a string that is written without escapes, as most are; `None` for any other value.
    pub fn plain_string(self) -> Option<&'a str> {
        let inside = self.0.strip_prefix('"')?.strip_suffix('"')?;
        (!inside.as_bytes().contains(&b'\\')).then_some(inside)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Raw(raw.get()))
    }
}

/// A valid JSON value, byte-identical to its source. Equality compares the text.
#[derive(Clone, PartialEq)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// Checks that `text` is one JSON value and keeps it.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Raw<'_>>(text).map(RawJson::from)
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
        RawJson("null".into())
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
        // All parts are texts, so that this is one.
        String::from_utf8(json).map_or_else(|_| RawJson::null(), |text| RawJson(text.into()))
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The value of a JSON string, or `None` for any other kind of value.
    pub fn as_string(&self) -> Option<String> {
        serde_json::from_str(&self.0).ok()
    }

    /// The value of a JSON number as `f64`, or `None` for any other kind of value.
    pub fn as_f64(&self) -> Option<f64> {
        serde_json::from_str(&self.0).ok()
    }
}

impl From<Raw<'_>> for RawJson {
    fn from(raw: Raw<'_>) -> Self {
        RawJson(raw.get().into())
    }
}

impl From<u64> for RawJson {
    fn from(number: u64) -> Self {
        RawJson(number.to_string().into())
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
