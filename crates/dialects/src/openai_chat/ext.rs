//! Marks and leftovers in [`Ext`] bags.

use crate::canonical::{DecodeError, Ext};
use crate::json::{Object, RawJson};

/// Reads an object and sets its `null` members aside; [`leftover`] puts them back.
pub(crate) fn open<'a>(text: &'a str, path: impl Into<String>) -> Result<(Object<'a>, Ext), DecodeError> {
    let mut object = Object::parse(text, path)?;
    let nulls = object.take_nulls();
    Ok((object, nulls))
}

/// What was not taken of an object, its `null`s included.
pub(crate) fn leftover(object: Object<'_>, nulls: Ext) -> Ext {
    let mut ext = object.into_ext();
    ext.0.extend(nulls.0);
    ext
}

/// Notes that a canonical value was spelled with the member `name`.
pub(crate) fn mark(ext: &mut Ext, name: &str) {
    if !is_marked(ext, name) {
        ext.0.push((name.to_owned(), RawJson::null()));
    }
}

/// Takes back the mark `name`, or a `null` that would be mistaken for one.
pub(crate) fn unmark(ext: &mut Ext, name: &str) -> bool {
    let before = ext.0.len();
    ext.0.retain(|(key, raw)| !(key == name && raw.text() == "null"));
    ext.0.len() < before
}

/// Whether a canonical value was spelled with the member `name`.
pub(crate) fn is_marked(ext: &Ext, name: &str) -> bool {
    ext.get(name).is_some_and(|raw| raw.text() == "null")
}

/// Keeps what is left of a nested object under its name, unless nothing is left.
pub(crate) fn keep_inner(ext: &mut Ext, name: &str, inner: &Ext) {
    if !inner.is_empty() {
        ext.0.push((name.to_owned(), RawJson::object(inner)));
    }
}

/// The members of a nested object kept by [`keep_inner`].
pub(crate) fn inner(ext: &Ext, name: &str) -> Ext {
    ext.get(name)
        .and_then(|raw| Object::parse(raw.text(), "").ok())
        .map(Object::into_ext)
        .unwrap_or_default()
}

/// The members of a bag without those named.
pub(crate) fn without(ext: &Ext, names: &[&str]) -> Ext {
    Ext(ext
        .0
        .iter()
        .filter(|(key, _)| !names.contains(&key.as_str()))
        .cloned()
        .collect())
}
