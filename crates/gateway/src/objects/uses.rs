//! Who uses whom: what has to be compiled again when an object changes.

use std::collections::{HashMap, HashSet};

use tollgate_resources::objects::{Confs, Kind, Object, ObjectKey, refs};

/// References between objects, in both directions.
#[derive(Default)]
pub struct Uses {
    /// What an object refers to.
    of: HashMap<ObjectKey, Vec<ObjectKey>>,
    /// What refers to an object.
    by: HashMap<ObjectKey, HashSet<ObjectKey>>,
}

impl Uses {
    /// Notes what an object refers to now; `None` when it is gone.
    pub fn set(&mut self, key: &ObjectKey, object: Option<&Object>) {
        for used in self.of.remove(key).unwrap_or_default() {
            if let Some(users) = self.by.get_mut(&used) {
                users.remove(key);
                if users.is_empty() {
                    self.by.remove(&used);
                }
            }
        }
        let Some(object) = object else { return };
        let used = references(object);
        for other in &used {
            self.by.entry(other.clone()).or_default().insert(key.clone());
        }
        if !used.is_empty() {
            self.of.insert(key.clone(), used);
        }
    }

    /// Everything that has to be compiled when these objects have changed: they and all their users, users of users
    /// included.
    pub fn affected(&self, changed: impl IntoIterator<Item = ObjectKey>) -> HashSet<ObjectKey> {
        let mut todo: Vec<ObjectKey> = changed.into_iter().collect();
        let mut affected = HashSet::new();
        while let Some(key) = todo.pop() {
            if let Some(users) = self.by.get(&key) {
                todo.extend(users.iter().filter(|user| !affected.contains(*user)).cloned());
            }
            affected.insert(key);
        }
        affected
    }
}

fn references(object: &Object) -> Vec<ObjectKey> {
    let mut used = refs::references(object.key.kind, &object.value);
    if let Some(owner) = object.key.owner() {
        used.push(ObjectKey::new(Kind::Consumer, owner));
    }
    if let Some(confs) = object.value.get("plugins").and_then(serde_json::Value::as_object) {
        used.extend(of_plugins(confs));
    }
    used
}

/// Plugins depend on their metadata.
fn of_plugins(confs: &Confs) -> impl Iterator<Item = ObjectKey> + '_ {
    confs
        .keys()
        .map(|name| ObjectKey::new(Kind::PluginMetadata, name.as_str()))
}
