//! Picks members out of JSON in one pass, without a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_dialects::scan::{self, ScanError, Scanner, is_name};

/// The raw values of these members of an object; `null` counts as missing, and of several members of a name the last
/// counts. `None` if this is no object.
pub(in crate::ai) fn pick<'a, const N: usize>(
    json: &'a str,
    keys: [&str; N],
) -> Option<[Option<&'a str>; N]> {
    let mut found = [None; N];
    let mut scanner = Scanner::new(json.as_bytes());
    scanner.white_space();
    let walked = scanner.walk_object(|value, name| {
        let raw = raw(json, value)?;
        for (key, place) in keys.iter().zip(&mut found) {
            if is_name(name, key) {
                *place = Some(raw).filter(|raw| *raw != "null");
            }
        }
        Ok(())
    });
    walked.and_then(|()| scanner.end()).ok()?;
    Some(found)
}

/// Reads a value of `json` and gives it as it was written.
fn raw<'a>(json: &'a str, value: &mut Scanner<'_>) -> Result<&'a str, ScanError> {
    let begin = value.place();
    let length = value.raw()?.len();
    json.get(begin..begin + length).ok_or_else(|| value.unexpected())
}

/// Names and raw values of all members of an object; none of what is no object, and none whose name has escapes.
pub(super) fn members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let found: Option<BTreeMap<&str, &RawValue>> = serde_json::from_str(json).ok();
    found
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name, value.get()))
}

/// Shows every element of an array. Anything else has no elements.
pub(in crate::ai) fn each<'a>(json: Option<&'a str>, mut show: impl FnMut(&'a str)) {
    if let Some(json) = json {
        let mut scanner = Scanner::new(json.as_bytes());
        scanner.white_space();
        // What comes before a mistake was shown; there is none in what was picked out of a document.
        let _ = scanner.walk_array(|element| {
            show(raw(json, element)?);
            Ok(())
        });
    }
}

/// The text of a JSON string.
pub(in crate::ai) fn text(raw: Option<&str>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let raw = raw.filter(|raw| raw.starts_with('"'))?;
    serde_json::from_str::<Text<'_>>(raw).ok().map(|text| text.0)
}

/// A count: a number that is whole and not negative, also if it is written with a fraction of zero.
pub(in crate::ai) fn count(raw: &str) -> Option<u64> {
    scan::count(raw.as_bytes())
}
