//! How APISIX's validator, which is written in Lua, writes values and types into its texts.

use serde_json::Value;

/// The type of a value as Lua calls it.
pub(super) fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// A number with at most 14 digits, with an exponent where it is long: C's `%.14g`.
pub(in crate::objects) fn number_text(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return format!("{number:.0}").replace("-0", "0");
    }
    let scientific = format!("{:.*e}", DIGITS - 1, number);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= DIGITS as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let places = (DIGITS as i32 - 1 - exponent).max(0) as usize;
    without_zeros(&format!("{number:.places$}")).to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// A text in quotation marks: Lua's `%q`.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '\n' => out.extend(['\\', c]),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\000"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of names as JSON.
pub(super) fn list_text(names: &Value) -> String {
    names.to_string()
}

const DIGITS: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_lua_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1.0, "-1"),
            (0.5, "0.5"),
            (600.0, "600"),
            (65536.0, "65536"),
            (1e14, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (1.0 / 3.0, "0.33333333333333"),
            (0.00001, "1e-05"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn texts_are_quoted_as_lua_quotes_them() {
        assert_eq!(quoted("a\"b\\c\n\r\0"), "\"a\\\"b\\\\c\\\n\\r\\000\"");
    }
}
