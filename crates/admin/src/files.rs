//! Objects that come from files instead of requests, held against the same rules.

use serde_json::{Map, Value};
use tollgate_gateway::plugins::enabled;
use tollgate_resources::objects::{ObjectKey, Write};

use crate::check::{self, Among, Proposal};
use crate::registry::Registry;

/// Checks objects of a file. Gives those that cannot be served, with the reason for each. What they refer to need not be
/// there, as in a standalone document. `plugins` are the names of those that may be used; `None` means all.
pub fn refusals<'o>(
    objects: &'o [(ObjectKey, Map<String, Value>)],
    strict: bool,
    plugins: Option<&[String]>,
) -> Vec<(&'o ObjectKey, String)> {
    // Making the rules takes a third of the time of a start, and more memory than anything else of it.
    if objects.is_empty() {
        return Vec::new();
    }
    let registry = Registry::new(
        &enabled(plugins),
        strict,
        Box::new(tollgate_gateway::check_expression),
    );
    objects
        .iter()
        .filter_map(|(key, value)| {
            let proposal = Proposal {
                kind: key.kind,
                write: Write::Put,
                id_in_path: Some(key.short_id()),
                owner: key.owner(),
                body: plain(key, value),
            };
            check::object(&registry, proposal, &Among::Nothing, &mut Vec::new())
                .err()
                .map(|reason| (key, reason))
        })
        .collect()
}

/// The value as it would be sent: what the store adds, and long forms of ids that only files have, are left out.
fn plain(key: &ObjectKey, value: &Map<String, Value>) -> Map<String, Value> {
    let mut value = value.clone();
    for added in ["id", "create_time", "update_time", "modifiedIndex"] {
        value.remove(added);
    }
    if key.kind == tollgate_resources::objects::Kind::Consumer {
        value
            .entry("username".to_owned())
            .or_insert_with(|| key.id.as_str().into());
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use tollgate_resources::objects::{Kind, ObjectKey};

    use super::refusals;

    fn object(key: ObjectKey, value: Value) -> (ObjectKey, Map<String, Value>) {
        let Value::Object(value) = value else {
            unreachable!("an object was written");
        };
        (key, value)
    }

    #[test]
    fn objects_of_files_are_held_against_the_rules_of_the_admin_api() {
        let objects = [
            object(
                ObjectKey::new(Kind::Route, "good"),
                json!({"id": "good", "uri": "/a", "plugins": {"key-auth": {}}}),
            ),
            object(
                ObjectKey::new(Kind::Route, "bad"),
                json!({"uri": "/b", "plugins": {"no-such": {}}}),
            ),
            object(
                ObjectKey::credential("jack", "c1"),
                json!({"id": "jack/credentials/c1", "plugins": {"key-auth": {"key": "k"}}}),
            ),
            object(
                ObjectKey::new(Kind::Consumer, "jack"),
                json!({"username": "jack"}),
            ),
            object(ObjectKey::new(Kind::Upstream, "u"), json!({"nodes": 5})),
            object(
                ObjectKey::new(Kind::Route, "twice"),
                json!({"uris": ["/ok", "/:a/:a"], "plugins": {"key-auth": {}}}),
            ),
        ];
        let refused = refusals(&objects, false, None);
        let ids: Vec<_> = refused.iter().map(|(key, _)| key.id.as_str()).collect();
        assert_eq!(ids, ["bad", "u", "twice"]);
        assert!(
            refused[0].1.contains("unknown plugin [no-such]"),
            "{}",
            refused[0].1
        );
    }
}
