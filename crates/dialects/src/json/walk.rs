//! Members of an object and elements of an array, as they were written, in one pass over the text.

use std::borrow::Cow;

use super::Raw;
use crate::scan::{ScanError, Scanner};

/// More than most objects have.
const USUAL: usize = 8;

/// The members of an object with their names; `None` if the text is no object, or not to be read this way.
pub(super) fn members(text: &str) -> Option<Vec<(Cow<'_, str>, Raw<'_>)>> {
    let mut members = Vec::with_capacity(USUAL);
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.white_space();
    let walked = scanner.walk_object(|value, name| {
        let name = match name.contains(&b'\\') {
            false => std::str::from_utf8(name).ok().map(Cow::Borrowed),
            true => unescaped(name).map(Cow::Owned),
        };
        let name = name.ok_or_else(|| value.unexpected())?;
        members.push((name, raw(value, text)?));
        Ok(())
    });
    walked.and_then(|()| scanner.end()).ok()?;
    Some(members)
}

/// The elements of an array; `None` if the text is no array, or not to be read this way.
pub(super) fn elements(text: &str) -> Option<Vec<Raw<'_>>> {
    let mut elements = Vec::new();
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.white_space();
    let walked = scanner.walk_array(|value| {
        elements.push(raw(value, text)?);
        Ok(())
    });
    walked.and_then(|()| scanner.end()).ok()?;
    Some(elements)
}

fn raw<'a>(value: &mut Scanner<'_>, text: &'a str) -> Result<Raw<'a>, ScanError> {
    let begin = value.place();
    value.raw()?;
    let written = text.get(begin..value.place());
    written.map(Raw::trusted).ok_or_else(|| value.unexpected())
}

/// What a name stands for that is written with escapes, without its quotes.
fn unescaped(name: &[u8]) -> Option<String> {
    let quoted = [b"\"", name, b"\""].concat();
    serde_json::from_slice(&quoted).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn names_are_unescaped_and_values_are_not() {
        let found = members(r#" { "a\u0062" : [1, {"x":"\n"}] , "ä":null } "#).unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, raw)| (&**name, raw.get())).collect();
        assert_eq!(found, [("ab", r#"[1, {"x":"\n"}]"#), ("ä", "null")]);
    }

    #[test]
    fn what_is_no_object_or_not_whole_is_not_read() {
        for text in [
            "",
            "[]",
            "{",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"\\ud800\":1}",
            "1",
        ] {
            assert!(members(text).is_none(), "{text}");
        }
        for text in ["", "{}", "[", "[]x", "[,]", "[1,]"] {
            assert!(elements(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn members_and_elements_are_those_of_the_document(
            names in prop::collection::vec("\\PC{0,6}", 0..6),
            values in prop::collection::vec("\\PC{0,6}", 0..6),
        ) {
            let array = serde_json::to_string(&values).unwrap();
            let read: Vec<String> = elements(&array)
                .unwrap()
                .iter()
                .map(|raw| serde_json::from_str(raw.get()).unwrap())
                .collect();
            prop_assert_eq!(read, values);
            let mut object = String::from("{");
            for (i, name) in names.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                object += &format!("{comma}{}:{array}", Value::from(name.as_str()));
            }
            object.push('}');
            let read = members(&object).unwrap();
            let read: Vec<(String, &str)> =
                read.into_iter().map(|(name, raw)| (name.into_owned(), raw.get())).collect();
            let wanted: Vec<(String, &str)> =
                names.into_iter().map(|name| (name, array.as_str())).collect();
            prop_assert_eq!(read, wanted);
        }
    }
}
