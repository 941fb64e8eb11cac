//! Members of objects in either of the two spellings that Google takes: `camelCase` and `snake_case`.

use crate::json::Raw;

use crate::canonical::{DecodeError, Ext};
use crate::json::{Object, RawJson};

/// Reads an object whose members are named by Google, and sets its `null` members aside; [`leftover`] puts them back.
pub(crate) fn open<'a>(text: &'a str, path: impl Into<String>) -> Result<(Object<'a>, Ext), DecodeError> {
    let mut object = Object::parse(text, path)?;
    object.respell(camel_case)?;
    let nulls = object.take_nulls();
    Ok((object, nulls))
}

/// Takes an object whose members are named by Google.
pub(crate) fn take_object<'a>(
    object: &mut Object<'a>,
    name: &str,
) -> Result<Option<(Object<'a>, Ext)>, DecodeError> {
    let path = object.path_of(name);
    object
        .take_some(name)
        .map(|raw| open(raw.get(), path))
        .transpose()
}

/// What was not taken of an object, its `null`s included.
pub(crate) fn leftover(object: Object<'_>, nulls: Ext) -> Ext {
    let mut ext = object.into_ext();
    ext.0.extend(nulls.0);
    ext
}

/// Takes a list. A single object counts as a list of one, as it does at Google.
pub(crate) fn take_list<'a>(
    object: &mut Object<'a>,
    name: &str,
) -> Result<Option<Vec<Raw<'a>>>, DecodeError> {
    match object.peek(name) {
        Some(raw) if raw.get().starts_with('{') => Ok(object.take(name).map(|raw| vec![raw])),
        _ => object.take_array(name),
    }
}

/// Takes a whole number that is not negative. Google takes it as a string and with a fraction of zero, too.
pub(crate) fn take_count(object: &mut Object<'_>, name: &str) -> Result<Option<u64>, DecodeError> {
    match object.peek(name).and_then(|raw| count(raw.get())) {
        Some(count) => {
            object.take(name);
            Ok(Some(count))
        }
        None => object.take_u64(name),
    }
}

/// Takes a number as it was written, or the number that a string holds.
pub(crate) fn take_number(object: &mut Object<'_>, name: &str) -> Result<Option<RawJson>, DecodeError> {
    let held = object
        .peek(name)
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
        .and_then(|text| RawJson::parse(&text).ok())
        .filter(|raw| raw.as_f64().is_some());
    if held.is_some() {
        object.take(name);
        return Ok(held);
    }
    object.take_number(name)
}

/// A count written as `12`, `"12"` or `12.0`.
pub(crate) fn count(text: &str) -> Option<u64> {
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    digits.strip_suffix(".0").unwrap_or(digits).parse().ok()
}

/// The members of an object that is kept in a bag under `name`.
pub(crate) fn inner(ext: &Ext, name: &str) -> Ext {
    ext.get(name)
        .and_then(|raw| Object::parse(raw.text(), "").ok())
        .map(Object::into_ext)
        .unwrap_or_default()
}

/// Keeps what is left of a nested object under its name; nothing if all of it was taken.
pub(crate) fn keep_inner(ext: &mut Ext, name: &str, rest: &Ext, taken: bool) {
    if !(taken && rest.is_empty()) {
        ext.0.push((name.to_owned(), RawJson::object(rest)));
    }
}

/// The members of a bag without those named.
pub(crate) fn without(ext: &Ext, names: &[&str]) -> Ext {
    let kept = ext.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
    Ext(kept.cloned().collect())
}

/// `snake_case` as `snakeCase`; `None` if the name has no underscore to take out.
pub(crate) fn camel_case(name: &str) -> Option<String> {
    if !name.contains('_') || name.starts_with('_') || !name.bytes().all(is_snake) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        if character == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.push(character.to_ascii_uppercase());
        } else {
            out.push(character);
        }
    }
    Some(out)
}

fn is_snake(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one() {
        assert_eq!(
            camel_case("system_instruction").as_deref(),
            Some("systemInstruction")
        );
        assert_eq!(camel_case("top_p").as_deref(), Some("topP"));
        for name in ["contents", "systemInstruction", "_x", "X_Y"] {
            assert_eq!(camel_case(name), None, "{name}");
        }
        let twice = open(r#"{"topP":1,"top_p":2}"#, "generationConfig").unwrap_err();
        assert_eq!(twice.path, "generationConfig.topP");
    }

    #[test]
    fn counts_come_in_three_forms() {
        for text in ["12", "\"12\"", "12.0"] {
            assert_eq!(count(text), Some(12), "{text}");
        }
        assert_eq!(count("-1"), None);
        assert_eq!(count("1.5"), None);
    }
}
