//! What the audit log says: of writes, and of people who come and go.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use tollgate_resources::objects::{ObjectKey, differences};
use tollgate_store::{Applied, Notes};

use crate::actor::{Actor, Via};

/// Most bytes of the changes of one entry. What is left out is counted; the version has all of it.
const CHANGES: usize = 64 * 1024;

/// Most objects that an entry names.
const OBJECTS: usize = 1000;

/// The name of an object in the log and in plans, such as `routes/1` or `consumers/jack/credentials/c1`.
pub(crate) fn name(key: &ObjectKey) -> String {
    let path = key.path();
    path.strip_prefix("/apisix/").unwrap_or(&path).to_owned()
}

/// What is told of a write. `action` is found out if nothing is said of it.
pub(crate) fn notes(actor: &Actor, action: Option<&str>, applied: &[Applied], now_s: u64) -> Notes {
    let touched: Vec<&Applied> = applied
        .iter()
        .filter(|applied| applied.before.is_some() || applied.after.is_some())
        .collect();
    let action = action.unwrap_or_else(|| word(&touched));
    let mut changes = Changes::default();
    for applied in &touched {
        let value = |object: &Option<std::sync::Arc<tollgate_resources::objects::Object>>| {
            object.as_ref().map(|object| object.value.clone())
        };
        let (before, after) = (value(&applied.before), value(&applied.after));
        let object = name(&applied.key);
        for difference in differences(before.as_ref(), after.as_ref()) {
            changes.add(json!({
                "object": object,
                "path": difference.path,
                "from": difference.from,
                "to": difference.to,
            }));
        }
    }
    let mut objects: Vec<String> = touched.iter().map(|applied| name(&applied.key)).collect();
    objects.dedup();
    let summary = summary(action, &objects);
    let count = objects.len();
    objects.truncate(OBJECTS);
    let mut entry = about(actor, action, &objects);
    if count > objects.len() {
        entry.insert("objects_left_out".to_owned(), (count - objects.len()).into());
    }
    if changes.left_out > 0 {
        entry.insert("changes_left_out".to_owned(), changes.left_out.into());
    }
    entry.insert("changes".to_owned(), changes.listed.into());
    let version = json!({"actor": actor.name, "via": actor.via.word(), "action": action, "summary": summary});
    Notes {
        time_s: now_s,
        entry: Value::Object(entry).to_string(),
        version: version.to_string(),
    }
}

/// The text of an entry about a file of the gateway's configuration that has changed, and is in effect.
pub(crate) fn reloaded(
    file: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Option<String> {
    let actor = Actor {
        name: file.to_owned(),
        via: Via::File,
        ..Actor::system()
    };
    let mut changes = Changes::default();
    for difference in differences(Some(before), Some(after)) {
        changes.add(json!({
            "object": "file",
            "path": difference.path,
            "from": difference.from,
            "to": difference.to,
        }));
    }
    if changes.listed.is_empty() && changes.left_out == 0 {
        return None;
    }
    let mut entry = about(&actor, "reload", &["file".to_owned()]);
    if changes.left_out > 0 {
        entry.insert("changes_left_out".to_owned(), changes.left_out.into());
    }
    entry.insert("changes".to_owned(), changes.listed.into());
    Some(Value::Object(entry).to_string())
}

/// The text of an entry about something that is no object of the store, such as an instance that is taken out of service.
pub(crate) fn deed(actor: &Actor, action: &str, object: &str) -> String {
    let mut entry = about(actor, action, &[object.to_owned()]);
    entry.insert("changes".to_owned(), json!([]));
    Value::Object(entry).to_string()
}

/// The text of an entry that is about no object, such as a sign-in.
pub(crate) fn event(actor: &Actor, action: &str, reason: Option<&str>) -> String {
    let mut entry = about(actor, action, &[]);
    if let Some(reason) = reason {
        entry.insert("reason".to_owned(), reason.into());
    }
    entry.insert("changes".to_owned(), json!([]));
    Value::Object(entry).to_string()
}

/// The text of an entry about somebody who was not let in.
pub(crate) fn refused(via: Via, address: IpAddr, name: Option<&str>, reason: &str) -> String {
    json!({
        "actor": name,
        "role": null,
        "via": via.word(),
        "address": address.to_canonical().to_string(),
        "action": "sign_in_refused",
        "object": null,
        "objects": [],
        "reason": reason,
        "changes": [],
    })
    .to_string()
}

fn about(actor: &Actor, action: &str, objects: &[String]) -> Map<String, Value> {
    let about = json!({
        "actor": actor.name,
        "role": actor.role.word(),
        "via": actor.via.word(),
        "address": actor.address.map(|address| address.to_canonical().to_string()),
        "action": action,
        "object": match objects {
            [one] => Value::from(one.as_str()),
            _ => Value::Null,
        },
        "objects": objects,
    });
    match about {
        Value::Object(about) => about,
        _ => Map::new(),
    }
}

/// What a write does, in a word.
fn word(applied: &[&Applied]) -> &'static str {
    let mut words = applied
        .iter()
        .map(|applied| match (&applied.before, &applied.after) {
            (None, _) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        });
    let first = words.next().unwrap_or("update");
    if words.all(|word| word == first) {
        first
    } else {
        "update"
    }
}

fn summary(action: &str, objects: &[String]) -> String {
    match objects {
        [] => action.to_owned(),
        [one] => format!("{action} {one}"),
        [one, two] => format!("{action} {one} and {two}"),
        [first, rest @ ..] => format!("{action} {first} and {} others", rest.len()),
    }
}

/// Changes up to a size.
#[derive(Default)]
struct Changes {
    listed: Vec<Value>,
    bytes: usize,
    left_out: usize,
}

impl Changes {
    fn add(&mut self, change: Value) {
        let bytes = change.to_string().len();
        if self.left_out > 0 || self.bytes + bytes > CHANGES {
            self.left_out += 1;
            return;
        }
        self.bytes += bytes;
        self.listed.push(change);
    }
}
