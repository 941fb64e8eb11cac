//! Whether an object may be stored: its shape, its plugins, what it refers to, and whom it would collide with.
//!
//! The order of the checks is APISIX's, because of several mistakes the first one is told.

use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::Store;

use crate::duplicates;
use crate::registry::{Place, Registry};
use crate::rules;

/// What an object is checked among.
pub(crate) enum Among<'a> {
    /// The objects of the store. What it refers to must be there.
    Store(&'a Store),
    /// Nothing: the objects of a document are compared with each other by whoever reads it, and may refer to what is not
    /// there.
    Nothing,
}

/// Checks the value of an object. Warnings are added for what will be stored but does nothing.
pub(crate) fn object(
    registry: &Registry,
    key: &ObjectKey,
    value: &Map<String, Value>,
    among: &Among<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    if key.kind == Kind::PluginMetadata {
        let mut conf = value.clone();
        conf.remove("id");
        return registry.check_metadata(&key.id, &Value::Object(conf));
    }
    rules::check(key, value)?;
    let refers_late = matches!(key.kind, Kind::Consumer);
    if let Among::Store(store) = among
        && !refers_late
    {
        rules::references(key, value, store)?;
    }
    plugins(registry, key, value, warnings)?;
    if let Among::Store(store) = among {
        collisions(key, value, store)?;
        if refers_late {
            rules::references(key, value, store)?;
        }
    }
    match value.get("vars") {
        Some(vars) if key.kind == Kind::Route => registry.check_vars(vars),
        _ => Ok(()),
    }
}

fn plugins(
    registry: &Registry,
    key: &ObjectKey,
    value: &Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let Some(plugins) = value.get("plugins").and_then(Value::as_object) else {
        return Ok(());
    };
    match key.kind {
        Kind::StreamRoute => Ok(()),
        Kind::Consumer | Kind::Credential => {
            registry
                .check(plugins, Place::Consumer, warnings)
                .map_err(|error| format!("invalid plugins configuration: {error}"))?;
            if key.kind == Kind::Credential {
                registry.check_auth_only(plugins)?;
            }
            Ok(())
        }
        _ => registry.check(plugins, Place::Route, warnings),
    }
}

/// Checks an object against all others of the store.
fn collisions(key: &ObjectKey, value: &Map<String, Value>, store: &Store) -> Result<(), String> {
    match key.kind {
        Kind::Consumer | Kind::Credential => {
            let others: Vec<_> = [Kind::Consumer, Kind::Credential]
                .into_iter()
                .flat_map(|kind| store.list(kind))
                .collect();
            duplicates::check(key, value, others.iter().map(|other| (&other.key, &other.value)))
        }
        Kind::GlobalRule => {
            let others = store.list(Kind::GlobalRule);
            global_rule(key, value, others.iter().map(|other| (&other.key, &other.value)))
        }
        _ => Ok(()),
    }
}

/// Checks that no other global rule has a plugin of this one.
pub(crate) fn global_rule<'o>(
    key: &ObjectKey,
    value: &Map<String, Value>,
    others: impl Iterator<Item = (&'o ObjectKey, &'o Map<String, Value>)>,
) -> Result<(), String> {
    let plugins = |value: &'o Map<String, Value>| value.get("plugins").and_then(Value::as_object);
    let Some(mine) = value.get("plugins").and_then(Value::as_object) else {
        return Ok(());
    };
    for (other, value) in others.filter(|(other, _)| *other != key) {
        if let Some(plugin) = plugins(value).and_then(|theirs| mine.keys().find(|name| theirs.contains_key(*name))) {
            return Err(format!(
                "plugin '{plugin}' already exists in global rule with id '{}'",
                other.id
            ));
        }
    }
    Ok(())
}
