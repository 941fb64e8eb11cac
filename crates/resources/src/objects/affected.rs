//! What a change of some objects concerns: everything that refers to them, and what is told of that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Kind, Object, ObjectKey, refs};

/// What a change concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Ids of routes whose calls may be served otherwise.
    pub routes: BTreeSet<String>,
    /// Instances of models, such as `route/1/openai`: the object that names them, and their name.
    pub instances: BTreeSet<String>,
    /// Usernames of consumers whose calls may be served otherwise.
    pub consumers: BTreeSet<String>,
    /// Whether every call may be served otherwise: a global rule has changed.
    pub every_call: bool,
}

/// What a change of some objects concerns. `objects` are all of them, as they were and as they will be: a route that used a
/// changed upstream and will not is concerned too.
pub fn affected<'o>(objects: impl Iterator<Item = &'o Object> + Clone, changed: &[ObjectKey]) -> Affected {
    let mut users: BTreeMap<ObjectKey, BTreeSet<ObjectKey>> = BTreeMap::new();
    for object in objects.clone() {
        for used in references(object) {
            users.entry(used).or_default().insert(object.key.clone());
        }
    }
    let mut todo: Vec<ObjectKey> = changed.to_vec();
    let mut all: BTreeSet<ObjectKey> = BTreeSet::new();
    while let Some(key) = todo.pop() {
        if let Some(users) = users.get(&key) {
            todo.extend(users.iter().filter(|user| !all.contains(*user)).cloned());
        }
        all.insert(key);
    }
    let mut affected = Affected {
        every_call: all.iter().any(|key| key.kind == Kind::GlobalRule),
        ..Affected::default()
    };
    for key in &all {
        match key.kind {
            Kind::Route => {
                affected.routes.insert(key.id.clone());
            }
            Kind::Consumer => {
                affected.consumers.insert(key.id.clone());
            }
            Kind::Credential => {
                affected.consumers.extend(key.owner().map(str::to_owned));
            }
            _ => {}
        }
    }
    for object in objects.filter(|object| all.contains(&object.key)) {
        affected.instances.extend(instances(object));
    }
    affected
}

fn references(object: &Object) -> Vec<ObjectKey> {
    let mut used = refs::references(object.key.kind, &object.value);
    used.extend(
        object
            .key
            .owner()
            .map(|owner| ObjectKey::new(Kind::Consumer, owner)),
    );
    if let Some(plugins) = object.value.get("plugins").and_then(Value::as_object) {
        let metadata = |name: &String| ObjectKey::new(Kind::PluginMetadata, name.as_str());
        used.extend(plugins.keys().map(metadata));
    }
    used
}

/// The instances that an object names.
fn instances(object: &Object) -> Vec<String> {
    let Some(plugins) = object.value.get("plugins").and_then(Value::as_object) else {
        return Vec::new();
    };
    let owner = format!("{}/{}", object.key.kind.place().schema, object.key.id);
    let mut names = Vec::new();
    if let Some(provider) = plugins
        .get("ai-proxy")
        .and_then(|conf| conf.get("provider")?.as_str())
    {
        names.push(format!("{owner}/{provider}"));
    }
    let several = plugins
        .get("ai-proxy-multi")
        .and_then(|conf| conf.get("instances")?.as_array());
    for instance in several.into_iter().flatten() {
        if let Some(name) = instance.get("name").and_then(Value::as_str) {
            names.push(format!("{owner}/{name}"));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: Kind, id: &str, value: &Value) -> Object {
        Object {
            key: ObjectKey::new(kind, id),
            value: value.as_object().cloned().unwrap(),
            created_index: 1,
            modified_index: 1,
        }
    }

    #[test]
    fn a_change_concerns_all_that_refers_to_it_at_any_distance() {
        let multi = json!({"ai-proxy-multi": {"instances": [{"name": "a"}, {"name": "b"}]}});
        let objects = [
            object(Kind::Upstream, "u", &json!({})),
            object(Kind::Service, "s", &json!({"upstream_id": "u", "plugins": multi})),
            object(
                Kind::Route,
                "r",
                &json!({"service_id": "s", "plugins": {"limit-count": {}}}),
            ),
            object(
                Kind::Route,
                "other",
                &json!({"plugins": {"ai-proxy": {"provider": "openai"}}}),
            ),
            object(Kind::ConsumerGroup, "g", &json!({})),
            object(Kind::Consumer, "jack", &json!({"group_id": "g"})),
        ];
        let of = |kind, id: &str| affected(objects.iter(), &[ObjectKey::new(kind, id)]);
        let texts = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let found = of(Kind::Upstream, "u");
        assert_eq!(texts(&found.routes), ["r"]);
        assert_eq!(texts(&found.instances), ["service/s/a", "service/s/b"]);
        assert_eq!(texts(&of(Kind::PluginMetadata, "limit-count").routes), ["r"]);
        assert_eq!(texts(&of(Kind::ConsumerGroup, "g").consumers), ["jack"]);
        assert_eq!(
            texts(&of(Kind::Credential, "jack/credentials/1").consumers),
            ["jack"]
        );
        assert_eq!(texts(&of(Kind::Route, "other").instances), ["route/other/openai"]);
        assert!(of(Kind::GlobalRule, "1").every_call && !found.every_call);
    }
}
