//! Values of variables, and how they are read as text and numbers.

use std::borrow::Cow;

use serde_json::Value as Json;

/// Where the values of variables come from, for one call.
pub trait Variables {
    /// The value of a variable (`http_x`, `arg_x`, `post_arg.model`, `remote_addr`, …); nothing when the call has none.
    fn get(&self, name: &str) -> Option<Value<'_>>;
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// From a header, an argument, a cookie or the connection: always text, even when it looks like a number.
    Text(Cow<'a, str>),
    /// From a JSON body, or a list.
    Json(Cow<'a, Json>),
}

impl Value<'_> {
    /// The value in a text or for a regular expression; `null` has none.
    pub(super) fn to_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Json(json) => json_text(json),
        }
    }

    /// The value as number, if it is one or reads as one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Text(text) => text_number(text),
            Value::Json(json) => json_number(json),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        Value::Json(Cow::Borrowed(json))
    }
}

impl From<Json> for Value<'_> {
    fn from(json: Json) -> Self {
        Value::Json(Cow::Owned(json))
    }
}

/// A scalar as people write it, a list or an object as JSON.
pub(super) fn json_text(json: &Json) -> Option<Cow<'_, str>> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(Cow::Borrowed(text)),
        // 5.0 is written as 5, as in Lua.
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
                Some(Cow::Owned(format!("{float:.0}")))
            }
            _ => Some(Cow::Owned(number.to_string())),
        },
        other => Some(Cow::Owned(other.to_string())),
    }
}

/// The number that Lua's `tonumber` sees.
pub(super) fn json_number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text_number(text),
        _ => None,
    }
}

/// Decimal or hexadecimal, with blanks around it; the names of infinity and of no number are text.
fn text_number(text: &str) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let number = match digits.get(..2) {
        Some("0x" | "0X") => hexadecimal(&digits[2..])?,
        _ if digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    Some(if negative { -number } else { number })
}

fn hexadecimal(digits: &str) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0, |number, digit| {
        Some(number * 16.0 + f64::from(digit.to_digit(16)?))
    })
}

/// Below this, a float without a fraction is exactly that integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::{Value, text_number};
    use serde_json::json;

    #[test]
    fn numbers_are_read_as_lua_reads_them() {
        for (text, number) in [
            ("18", Some(18.0)),
            (" 18 ", Some(18.0)),
            ("-1.5e3", Some(-1500.0)),
            ("+2", Some(2.0)),
            (".5", Some(0.5)),
            ("0x1F", Some(31.0)),
            ("-0x10", Some(-16.0)),
            ("", None),
            ("-", None),
            ("0x", None),
            ("--1", None),
            ("1a", None),
            ("inf", None),
            ("nan", None),
            ("1 2", None),
            ("é1", None),
        ] {
            assert_eq!(text_number(text), number, "{text:?}");
        }
    }

    #[test]
    fn values_are_written_as_people_write_them() {
        for (json, text) in [
            (json!("a"), Some("a")),
            (json!(5), Some("5")),
            (json!(5.0), Some("5")),
            (json!(0.25), Some("0.25")),
            (json!(true), Some("true")),
            (json!(null), None),
            (json!([1, "a"]), Some("[1,\"a\"]")),
        ] {
            assert_eq!(Value::from(&json).to_text().as_deref(), text, "{json}");
        }
    }
}
