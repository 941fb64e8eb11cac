//! Objects with their `null`s set aside, and what is left of them.

use crate::canonical::{DecodeError, Ext};
use crate::json::{Object, RawJson};

/// Reads an object and sets its `null` members aside; [`leftover`] puts them back.
pub(super) fn open<'a>(text: &'a str, path: impl Into<String>) -> Result<(Object<'a>, Ext), DecodeError> {
    let mut object = Object::parse(text, path)?;
    let nulls = object.take_nulls();
    Ok((object, nulls))
}

/// What was not taken of an object, its `null`s included.
pub(super) fn leftover(object: Object<'_>, nulls: Ext) -> Ext {
    let mut ext = object.into_ext();
    ext.0.extend(nulls.0);
    ext
}

/// Whether a member is there and says something; `[]`, `{}`, `""` and `null` stay where they are.
pub(super) fn says(object: &Object<'_>, name: &str) -> bool {
    object
        .peek(name)
        .is_some_and(|raw| !RawJson::from(raw).is_blank())
}

/// Keeps what is left of a nested object under its name, unless nothing is left.
pub(super) fn keep_inner(ext: &mut Ext, name: &str, inner: &Ext) {
    if !inner.is_empty() {
        ext.0.push((name.to_owned(), RawJson::object(inner)));
    }
}

/// The members of a nested object kept by [`keep_inner`].
pub(super) fn inner(ext: &Ext, name: &str) -> Ext {
    ext.get(name)
        .and_then(|raw| Object::parse(raw.text(), "").ok())
        .map(Object::into_ext)
        .unwrap_or_default()
}

/// The members of a bag without those named.
pub(super) fn without(ext: &Ext, names: &[&str]) -> Ext {
    Ext(ext
        .0
        .iter()
        .filter(|(key, _)| !names.contains(&key.as_str()))
        .cloned()
        .collect())
}
