//! Picks members out of JSON in one pass, without a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The raw values of these members of an object; `null` counts as missing, and of several members of a name the last
/// counts. `None` if this is no object.
pub(in crate::ai) fn pick<'a, const N: usize>(
    json: &'a str,
    keys: [&str; N],
) -> Option<[Option<&'a str>; N]> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = Members(keys).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found)
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
pub(in crate::ai) fn each<'a>(json: Option<&'a str>, show: impl FnMut(&'a str)) {
    if let Some(json) = json {
        // What comes before a mistake was shown; there is none in what was picked out of a document.
        let _ = Elements(show).deserialize(&mut serde_json::Deserializer::from_str(json));
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
    if let Ok(count) = raw.parse() {
        return Some(count);
    }
    let number: f64 = raw.parse().ok()?;
    // Exact up to here; beyond it is no count of tokens.
    let is_count = number >= 0.0 && number.fract() == 0.0 && number <= 9e15;
    is_count.then_some(number as u64)
}

struct Members<'k, const N: usize>([&'k str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = [Option<&'de str>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut found = [None; N];
        while let Some(Key(key)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            for (name, place) in self.0.iter().zip(&mut found) {
                if *name == key {
                    *place = Some(value.get()).filter(|raw| *raw != "null");
                }
            }
        }
        Ok(found)
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de str)> DeserializeSeed<'de> for Elements<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de str)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&RawValue>()? {
            (self.0)(element.get());
        }
        Ok(())
    }
}
