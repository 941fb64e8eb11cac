//! Whether somebody else already has the key, name or other mark by which a plugin of type auth knows its callers.

use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, ObjectKey};

/// By which field each plugin knows its callers.
const MARKS: [(&str, &str); 4] = [
    ("key-auth", "key"),
    ("basic-auth", "username"),
    ("jwt-auth", "key"),
    ("hmac-auth", "key_id"),
];

/// Looks for another owner of a mark in `value`, the new value of `key`, among `others`.
///
/// A consumer may repeat what its own credentials have; a credential may repeat nothing. References to secrets are not
/// compared, their values are not known here.
///
/// # Errors
/// APISIX's text, with the other owner in it.
pub(crate) fn check<'o>(
    key: &ObjectKey,
    value: &Map<String, Value>,
    others: impl Iterator<Item = (&'o ObjectKey, &'o Map<String, Value>)>,
) -> Result<(), String> {
    let mine: Vec<_> = MARKS
        .into_iter()
        .filter_map(|(plugin, field)| Some((plugin, field, mark(value, plugin, field)?)))
        .filter(|(_, _, mark)| !is_reference(mark))
        .collect();
    if mine.is_empty() {
        return Ok(());
    }
    for (other, value) in others {
        let own = other == key || (key.kind == Kind::Consumer && other.owner() == Some(&key.id));
        if own {
            continue;
        }
        for (plugin, field, mine) in &mine {
            if mark(value, plugin, field) == Some(mine) {
                return Err(format!(
                    "duplicate {field} of plugin {plugin} found with {}",
                    describe(other)
                ));
            }
        }
    }
    Ok(())
}

fn mark<'v>(value: &'v Map<String, Value>, plugin: &str, field: &str) -> Option<&'v str> {
    value.get("plugins")?.get(plugin)?.get(field)?.as_str()
}

fn is_reference(mark: &str) -> bool {
    let mark = mark.to_ascii_lowercase();
    mark.starts_with("$secret://") || mark.starts_with("$env://")
}

fn describe(owner: &ObjectKey) -> String {
    match owner.owner() {
        Some(username) => format!("credential: {} of consumer: {username}", owner.short_id()),
        None => format!("consumer: {}", owner.id),
    }
}
