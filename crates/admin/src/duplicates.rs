//! Whether somebody else already has the key, name or other mark by which a plugin of type auth knows its callers.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, ObjectKey};

/// By which field each plugin knows its callers.
const MARKS: [(&str, &str); 4] = [
    ("key-auth", "key"),
    ("basic-auth", "username"),
    ("jwt-auth", "key"),
    ("hmac-auth", "key_id"),
];

/// Who has which marks, by plugin.
#[derive(Default)]
pub(crate) struct Owners(HashMap<(&'static str, String), Vec<ObjectKey>>);

impl Owners {
    /// Adds the marks of a consumer or credential.
    pub(crate) fn add(&mut self, key: &ObjectKey, value: &Map<String, Value>) {
        for (plugin, _, mark) in marks(value) {
            self.0
                .entry((plugin, mark.to_owned()))
                .or_default()
                .push(key.clone());
        }
    }

    /// Looks for another owner of a mark in `value`, the new value of `key`.
    ///
    /// A consumer may repeat what its own credentials have; a credential may repeat nothing. References to secrets are not
    /// compared, their values are not known here.
    ///
    /// # Errors
    /// APISIX's text, with the other owner in it.
    pub(crate) fn check(&self, key: &ObjectKey, value: &Map<String, Value>) -> Result<(), String> {
        let is_own = |other: &ObjectKey| {
            other == key || (key.kind == Kind::Consumer && other.owner() == Some(&key.id))
        };
        for (plugin, field, mark) in marks(value) {
            let owners = self.0.get(&(plugin, mark.to_owned()));
            if let Some(other) = owners.into_iter().flatten().find(|other| !is_own(other)) {
                return Err(format!(
                    "duplicate {field} of plugin {plugin} found with {}",
                    describe(other)
                ));
            }
        }
        Ok(())
    }
}

/// The marks in a value: plugin, field and mark.
fn marks(value: &Map<String, Value>) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    MARKS
        .into_iter()
        .filter_map(|(plugin, field)| Some((plugin, field, mark(value, plugin, field)?)))
        .filter(|(_, _, mark)| !is_reference(mark))
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
