//! Whether an object may be stored: its shape, its plugins, what it refers to, and whom it would collide with.
//!
//! The order of the checks is APISIX's, because of several mistakes the first one is told.

use serde_json::{Map, Value};
use tollgate_resources::objects::{self, Kind, Lua, Object, ObjectKey, Write, refs};
use tollgate_store::Store;

use crate::duplicates::Owners;
use crate::registry::{Place, Registry};

/// What an object is checked among.
pub(crate) enum Among<'a> {
    /// The objects of the store. What it refers to must be there.
    Store(&'a Store),
    /// Nothing: the objects of a document are compared with each other by whoever reads it, and may refer to what is not
    /// there.
    Nothing,
}

/// An object that somebody wants to have stored.
pub(crate) struct Proposal<'a> {
    /// Its kind.
    pub(crate) kind: Kind,
    /// How it is written.
    pub(crate) write: Write,
    /// Its id, if the path has one; that of a secret with its manager.
    pub(crate) id_in_path: Option<&'a str>,
    /// The consumer of a credential, if the path has one.
    pub(crate) owner: Option<&'a str>,
    /// What it shall be.
    pub(crate) body: Map<String, Value>,
}

/// An object that may be stored.
pub(crate) struct Checked {
    /// Its key; `None` for one that gets its id when it is stored.
    pub(crate) key: Option<ObjectKey>,
    /// Its value, with the id.
    pub(crate) value: Map<String, Value>,
}

/// Checks an object. Warnings are added for what will be stored but does nothing.
pub(crate) fn object(
    registry: &Registry,
    proposal: Proposal<'_>,
    among: &Among<'_>,
    warnings: &mut Vec<String>,
) -> Result<Checked, String> {
    let kind = proposal.kind;
    let lua = if registry.is_strict() {
        Lua::Keep
    } else {
        Lua::Refuse
    };
    let accepted = objects::check(kind, proposal.write, proposal.id_in_path, proposal.body, lua)
        .map_err(|refused| refused.to_string())?;
    let value = accepted.value;
    if kind == Kind::Ssl {
        tollgate_gateway::check_ssl(&value)?;
    }
    let key = accepted.id.map(|id| match proposal.owner {
        Some(username) => ObjectKey::credential(username, &id),
        None => ObjectKey::new(kind, id),
    });
    if let (Kind::PluginMetadata, Some(key)) = (kind, &key) {
        let mut conf = value.clone();
        conf.remove("id");
        registry.check_metadata(&key.id, &Value::Object(conf))?;
        return Ok(Checked {
            key: Some(key.clone()),
            value,
        });
    }
    // APISIX looks for the group of a consumer last, for what others refer to first.
    if let Among::Store(store) = among
        && kind != Kind::Consumer
    {
        references(kind, &value, store)?;
    }
    plugins(registry, kind, &value, warnings)?;
    if let Among::Store(store) = among {
        if let Some(key) = &key {
            collisions(key, &value, store)?;
        }
        if kind == Kind::Consumer {
            references(kind, &value, store)?;
        }
    }
    // In APISIX they are taken and match nothing, or something else.
    if kind == Kind::Route && !registry.is_strict() {
        tollgate_gateway::check_places(&value)?;
    }
    if let (Kind::Route, Some(vars)) = (kind, value.get("vars")) {
        registry.check_vars(vars)?;
    }
    Ok(Checked { key, value })
}

/// Checks that everything an object refers to is there.
fn references(kind: Kind, value: &Map<String, Value>, store: &Store) -> Result<(), String> {
    for target in refs::references(kind, value) {
        let found = store.get(&target).ok_or_else(|| refs::missing(&target))?;
        if target.kind == Kind::Ssl && found.value.get("type").and_then(Value::as_str) != Some("client") {
            return Err(refs::wrong_ssl_type(&target));
        }
    }
    Ok(())
}

/// Checks that nothing refers to an object that is to be deleted.
pub(crate) fn unused(key: &ObjectKey, store: &Store) -> Result<(), String> {
    let can_be_used = matches!(
        key.kind,
        Kind::Service | Kind::Upstream | Kind::PluginConfig | Kind::ConsumerGroup | Kind::Proto
    );
    if !can_be_used {
        return Ok(());
    }
    let all = store.all();
    match refs::still_used(key, all.iter().map(|object| -> &Object { object })) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

fn plugins(
    registry: &Registry,
    kind: Kind,
    value: &Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let Some(plugins) = value.get("plugins").and_then(Value::as_object) else {
        return Ok(());
    };
    match kind {
        Kind::StreamRoute => Ok(()),
        Kind::Consumer | Kind::Credential => {
            registry
                .check(plugins, Place::Consumer, warnings)
                .map_err(|error| format!("invalid plugins configuration: {error}"))?;
            if kind == Kind::Credential {
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
            let mut owners = Owners::default();
            for kind in [Kind::Consumer, Kind::Credential] {
                for other in store.list(kind) {
                    owners.add(&other.key, &other.value);
                }
            }
            owners.check(key, value)
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
        if let Some(plugin) =
            plugins(value).and_then(|theirs| mine.keys().find(|name| theirs.contains_key(*name)))
        {
            return Err(format!(
                "plugin '{plugin}' already exists in global rule with id '{}'",
                other.id
            ));
        }
    }
    Ok(())
}
