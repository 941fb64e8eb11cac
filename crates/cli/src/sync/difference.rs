//! What differs between two objects, field by field, as it may be shown.

use serde_json::{Map, Value};
use tollgate_resources::adc::same;
use tollgate_resources::objects::{Kind, may_be_secret};

/// Longest value that is shown, in characters.
const MAX_SHOWN: usize = 120;

/// What is shown in place of something that may be a secret.
const HIDDEN: &str = "***";

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path of the field, such as `plugins.limit-count.count` or `uris[0]`.
    pub path: String,
    /// Its value before; `None` when there was none.
    pub before: Option<String>,
    /// Its value after; `None` when there is none.
    pub after: Option<String>,
}

impl Difference {
    /// The same difference, seen from further up.
    pub fn under(self, field: &str) -> Difference {
        Difference {
            path: format!("{field}.{}", self.path),
            ..self
        }
    }
}

/// The fields in which two objects of a kind differ. Values that may be secrets are not shown.
pub fn differences(kind: Kind, before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Difference> {
    let mut found = Found::default();
    found.maps(before, after, "", kind == Kind::Credential);
    found.0
}

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn maps(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, path: &str, inherited: bool) {
        let added = after.keys().filter(|key| !before.contains_key(*key));
        let mut keys: Vec<&String> = before.keys().chain(added).collect();
        keys.sort();
        for key in keys {
            let at = match path {
                "" => key.clone(),
                _ => format!("{path}.{key}"),
            };
            // A credential's name and labels are no secrets, its plugin's settings are.
            let secret = match path {
                "" => inherited && key == "plugins",
                _ => inherited || may_be_secret(key),
            };
            self.values(before.get(key), after.get(key), &at, secret);
        }
    }

    fn values(&mut self, before: Option<&Value>, after: Option<&Value>, path: &str, secret: bool) {
        match (before, after) {
            (Some(before), Some(after)) if same(before, after) => {}
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                self.maps(before, after, path, secret);
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) => {
                for index in 0..before.len().max(after.len()) {
                    let at = format!("{path}[{index}]");
                    self.values(before.get(index), after.get(index), &at, secret);
                }
            }
            (before, after) => self.0.push(Difference {
                path: path.to_owned(),
                before: before.map(|value| shown(value, secret)),
                after: after.map(|value| shown(value, secret)),
            }),
        }
    }
}

fn shown(value: &Value, secret: bool) -> String {
    let value = if secret {
        Value::from(HIDDEN)
    } else {
        hidden(value)
    };
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The value with all that may be secret in it hidden.
pub fn hidden(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match may_be_secret(key) {
                true => (key.clone(), HIDDEN.into()),
                false => (key.clone(), hidden(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(hidden).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn between(kind: Kind, before: Value, after: Value) -> Vec<String> {
        let map = |value: Value| value.as_object().cloned().unwrap();
        differences(kind, &map(before), &map(after))
            .into_iter()
            .map(|one| {
                format!(
                    "{} {} {}",
                    one.path,
                    one.before.unwrap_or("-".into()),
                    one.after.unwrap_or("-".into())
                )
            })
            .collect()
    }

    #[test]
    fn differences_are_found_at_every_depth() {
        assert_eq!(
            between(
                Kind::Route,
                json!({"uris": ["/a", "/b"], "plugins": {"x": {"n": 1, "same": 1.0}}, "old": true}),
                json!({"uris": ["/a"], "plugins": {"x": {"n": 2, "same": 1}, "y": {}}, "new": [1]}),
            ),
            [
                "new - [1]",
                "old true -",
                "plugins.x.n 1 2",
                "plugins.y - {}",
                "uris[1] \"/b\" -"
            ]
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = between(
            Kind::Route,
            json!({"plugins": {"ai-proxy": {"auth": {"header": {"Authorization": "Bearer sk-1"}}, "max_tokens": 1}}}),
            json!({"plugins": {"ai-proxy": {"auth": {"header": {"Authorization": "Bearer sk-2"}}, "max_tokens": 2},
                "other": {"client_secret": "sk-3", "list": [{"api-key": "sk-4"}]}}}),
        );
        assert_eq!(
            shown,
            [
                "plugins.ai-proxy.auth.header.Authorization \"***\" \"***\"",
                "plugins.ai-proxy.max_tokens 1 2",
                "plugins.other - {\"client_secret\":\"***\",\"list\":[{\"api-key\":\"***\"}]}",
            ]
        );
        let shown = between(
            Kind::Credential,
            json!({"name": "a", "plugins": {"basic-auth": {"username": "u"}}}),
            json!({"name": "b", "plugins": {"basic-auth": {"username": "v"}}}),
        );
        assert_eq!(
            shown,
            ["name \"a\" \"b\"", "plugins.basic-auth.username \"***\" \"***\""]
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let shown = between(
            Kind::Route,
            json!({"desc": "ü".repeat(200)}),
            json!({"desc": "x"}),
        );
        assert_eq!(shown[0].chars().filter(|c| *c == 'ü').count(), MAX_SHOWN - 1);
    }
}
