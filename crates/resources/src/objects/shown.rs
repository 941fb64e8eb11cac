//! Objects as they may be shown and compared: what may be a secret is hidden, but that it has changed is not.

use serde_json::{Map, Value};

use crate::secret::SecretRef;

/// What is shown in place of something that may be a secret.
const HIDDEN: &str = "***";

/// Longest value of a difference, in bytes of JSON; the rest of a longer one is not shown.
const LONGEST: usize = 4096;

/// Members that are about the object, and change with each write.
const TIMES: [&str; 2] = ["create_time", "update_time"];

/// One member that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Path of the member, such as `plugins.limit-count.count` or `uris[0]`; empty for the whole object.
    pub path: String,
    /// Its value before; `None` when there was none.
    pub from: Option<Value>,
    /// Its value after; `None` when there is none.
    pub to: Option<Value>,
}

/// Whether the value of a key may be a secret. Rather too often than once too seldom.
pub fn may_be_secret(key: &str) -> bool {
    const WHOLE: [&str; 6] = ["auth", "authorization", "headers", "header", "keys", "cookie"];
    const ENDS: [&str; 8] = [
        "key",
        "secret",
        "password",
        "passwd",
        "token",
        "credential",
        "credentials",
        "hash",
    ];
    let key = key.to_ascii_lowercase();
    WHOLE.contains(&key.as_str())
        || ENDS.iter().any(|end| key.ends_with(end))
        || key.contains("secret")
        || key.contains("service_account")
}

/// A value with all that may be secret in it hidden. References to secrets are shown.
pub fn hidden(value: &Value) -> Value {
    shown(value, false)
}

/// The members in which two objects differ, by their paths; the whole object where one of them is not there.
pub fn differences(
    before: Option<&Map<String, Value>>,
    after: Option<&Map<String, Value>>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    match (before, after) {
        (Some(before), Some(after)) => maps(before, after, "", false, &mut found),
        (None, None) => {}
        (before, after) => {
            let whole = |value: Option<&Map<String, Value>>| {
                let members = value?.iter().filter(|(key, _)| !TIMES.contains(&key.as_str()));
                let value = members.map(|(key, value)| (key.clone(), value.clone())).collect();
                Some(short(hidden(&Value::Object(value))))
            };
            found.push(Difference {
                path: String::new(),
                from: whole(before),
                to: whole(after),
            });
        }
    }
    found
}

fn maps(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    path: &str,
    secret: bool,
    found: &mut Vec<Difference>,
) {
    let added = after.keys().filter(|key| !before.contains_key(*key));
    let mut keys: Vec<&String> = before.keys().chain(added).collect();
    keys.sort();
    for key in keys {
        if path.is_empty() && TIMES.contains(&key.as_str()) {
            continue;
        }
        let at = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        let secret = secret || may_be_secret(key);
        values(before.get(key), after.get(key), at, secret, found);
    }
}

fn values(
    before: Option<&Value>,
    after: Option<&Value>,
    path: String,
    secret: bool,
    found: &mut Vec<Difference>,
) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            maps(before, after, &path, secret, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let at = format!("{path}[{index}]");
                values(before.get(index), after.get(index), at, secret, found);
            }
        }
        (before, after) => found.push(Difference {
            path,
            from: before.map(|value| short(shown(value, secret))),
            to: after.map(|value| short(shown(value, secret))),
        }),
    }
}

fn shown(value: &Value, secret: bool) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), shown(value, secret || may_be_secret(key))))
            .collect(),
        Value::Array(items) => items.iter().map(|item| shown(item, secret)).collect(),
        Value::String(text) if secret => covered(text).into(),
        Value::String(text) => without_password(text).map_or_else(|| value.clone(), Value::from),
        Value::Number(_) if secret => HIDDEN.into(),
        Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
    }
}

/// A text that may be a secret: what only refers to one is shown.
fn covered(text: &str) -> String {
    if text.starts_with("$secret://") {
        return text.to_owned();
    }
    match SecretRef::new(text) {
        Ok(reference) => reference.to_string(),
        Err(_) => HIDDEN.to_owned(),
    }
}

/// A URL without the password in it; `None` if there is none.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (user, host) = authority.rsplit_once('@')?;
    let (name, _) = user.split_once(':')?;
    Some(format!("{scheme}://{name}:{HIDDEN}@{host}{path}"))
}

/// A value that is not too long.
fn short(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= LONGEST {
        return value;
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end));
    let begin = end.and_then(|end| text.get(..end)).unwrap_or_default();
    format!("{begin}… ({} bytes)", text.len()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn between(before: &Value, after: &Value) -> Vec<String> {
        let texts = differences(before.as_object(), after.as_object())
            .into_iter()
            .map(|one| {
                let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
                format!("{} {} {}", one.path, text(one.from), text(one.to))
            });
        texts.collect()
    }

    #[test]
    fn differences_have_paths_and_times_are_none() {
        assert_eq!(
            between(
                &json!({"uris": ["/a", "/b"], "plugins": {"x": {"n": 1}}, "update_time": 1}),
                &json!({"uris": ["/a"], "plugins": {"x": {"n": 2}, "y": {}}, "update_time": 2}),
            ),
            ["plugins.x.n 1 2", "plugins.y - {}", "uris[1] \"/b\" -"]
        );
    }

    #[test]
    fn a_changed_secret_is_told_but_not_shown() {
        let route = |key: &str| json!({"plugins": {"ai-proxy": {"auth": {"header": {"x": key}}, "options": {"model": "m"}}}});
        assert_eq!(
            between(&route("sk-1"), &route("sk-2")),
            ["plugins.ai-proxy.auth.header.x \"***\" \"***\""]
        );
        assert_eq!(
            between(&route("sk-1"), &route("Bearer $env://KEY")),
            ["plugins.ai-proxy.auth.header.x \"***\" \"Bearer $env://KEY\""]
        );
        assert_eq!(
            between(&Value::Null, &route("sk-1")),
            [
                " - {\"plugins\":{\"ai-proxy\":{\"auth\":{\"header\":{\"x\":\"***\"}},\"options\":{\"model\":\"m\"}}}}"
            ]
        );
        assert_eq!(
            hidden(&json!({"a": "redis://u:pw@h:1/0", "pin_secret": 7, "token": "$secret://vault/1/a"})),
            json!({"a": "redis://u:***@h:1/0", "pin_secret": "***", "token": "$secret://vault/1/a"})
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let found = differences(
            json!({"a": "x"}).as_object(),
            json!({"a": "ü".repeat(9000)}).as_object(),
        );
        let text = found[0].to.as_ref().unwrap().as_str().unwrap();
        assert!(
            text.len() < LONGEST + 40 && text.ends_with("… (18002 bytes)"),
            "{text}"
        );
    }
}
