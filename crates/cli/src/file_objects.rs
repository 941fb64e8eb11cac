//! Objects that files describe, held against what is served, so that a changed file changes only what it changes.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_gateway::Change;
use tollgate_resources::objects::{Kind, Object, ObjectKey};

/// The objects of the file as they are served.
#[derive(Default)]
pub struct FileObjects {
    served: HashMap<ObjectKey, Arc<Object>>,
    revision: u64,
}

impl FileObjects {
    /// The changes that lead from what is served to what the file says now, which is served from here on.
    pub fn changes(&mut self, objects: &[(ObjectKey, Map<String, Value>)]) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.served);
        for (key, value) in objects {
            let value = with_id(key, value);
            let served = before.remove(key);
            if let Some(served) = &served
                && served.value == value
            {
                self.served.insert(key.clone(), served.clone());
                continue;
            }
            self.revision += 1;
            // An edited object keeps its age, which decides between objects of the same rank.
            let created_index = served.map_or(self.revision, |served| served.created_index);
            let object = Arc::new(Object {
                key: key.clone(),
                value,
                created_index,
                modified_index: self.revision,
            });
            self.served.insert(key.clone(), object.clone());
            changes.push((key.clone(), Some(object)));
        }
        changes.extend(before.into_keys().map(|key| (key, None)));
        changes
    }
}

/// The value as the store would hold it.
fn with_id(key: &ObjectKey, value: &Map<String, Value>) -> Map<String, Value> {
    let mut value = value.clone();
    if !matches!(key.kind, Kind::Consumer | Kind::PluginMetadata) {
        value.insert("id".to_owned(), key.short_id().into());
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use tollgate_resources::objects::{Kind, ObjectKey};

    use super::FileObjects;

    fn route(id: &str, uri: &str) -> (ObjectKey, Map<String, Value>) {
        let Value::Object(value) = json!({"uri": uri}) else {
            unreachable!("an object was written");
        };
        (ObjectKey::new(Kind::Route, id), value)
    }

    #[test]
    fn only_what_a_file_changes_is_a_change() {
        let mut served = FileObjects::default();
        let first = served.changes(&[route("1", "/a"), route("2", "/b")]);
        assert_eq!(first.len(), 2);
        let second = served.changes(&[route("1", "/a"), route("2", "/c"), route("3", "/d")]);
        let changed: Vec<_> = second
            .iter()
            .map(|(key, now)| (key.id.as_str(), now.is_some()))
            .collect();
        assert_eq!(changed, [("2", true), ("3", true)]);
        let third = served.changes(&[route("3", "/d")]);
        assert_eq!(third.len(), 2);
        assert!(third.iter().all(|(_, now)| now.is_none()));
        assert!(served.changes(&[route("3", "/d")]).is_empty());
    }
}
