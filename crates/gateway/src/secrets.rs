//! Values of secrets that configurations of objects refer to.
//!
//! `$env://NAME` and `$ENV://NAME/key` name environment variables (a part of one that holds JSON), and
//! `$secret://<manager>/<id>/<path>` what a manager of secrets keeps. References may stand inside longer texts, such as
//! `Bearer $env://NAME`. Values of managers are fetched beside the calls and kept here; a call never waits for one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use serde_json::Value;
use thiserror::Error;
use tollgate_resources::Secret;
use tollgate_resources::objects::Object;

/// What begins a reference to an environment variable.
const ENV_PREFIX: &str = "$env://";

/// What begins a reference to a manager.
const MANAGER_PREFIX: &str = "$secret://";

/// Looks environment variables up.
pub type Env = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Environment variables, and what managers have told.
pub struct Secrets {
    env: Env,
    fetched: RwLock<HashMap<String, Secret>>,
}

/// A reference that leads to nothing (yet).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unresolved {
    /// A variable is not set, or set to nothing.
    #[error("environment variable {0} is not set")]
    Variable(String),
    /// A variable has no such part, or is no JSON object.
    #[error("environment variable {0} holds no JSON object with the key {1}")]
    Part(String, String),
    /// A manager has not told the value (yet), or does not have it.
    #[error("the secret {0} could not be fetched from its manager")]
    Manager(String),
}

impl Secrets {
    /// Variables from `env`, and nothing fetched.
    pub fn new(env: Env) -> Self {
        Secrets {
            env,
            fetched: RwLock::new(HashMap::new()),
        }
    }

    /// The references to managers in an object, written `<manager>/<id>/<path>`.
    pub fn managed_by(object: &Object) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for member in object.value.values() {
            Secrets::references_to_managers(member, &mut named);
        }
        named
    }

    /// Whether a text holds a reference.
    pub fn are_named_in(text: &str) -> bool {
        find_reference(text).is_some()
    }

    /// Whether a manager has told the value of a reference.
    pub fn is_known(&self, reference: &str) -> bool {
        self.fetched
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(reference)
    }

    /// Whether a text holds a reference.
    pub fn is_reference(text: &str) -> bool {
        find_reference(text).is_some()
    }

    /// Adds the references to managers in a value.
    pub fn references_to_managers(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                let mut rest = text.as_str();
                while let Some((start, end)) = find_reference(rest) {
                    let reference = &rest[start..end];
                    if starts_with_ignoring_case(reference, MANAGER_PREFIX) {
                        into.insert(reference[MANAGER_PREFIX.len()..].to_owned());
                    }
                    rest = &rest[end..];
                }
            }
            Value::Array(items) => {
                for item in items {
                    Secrets::references_to_managers(item, into);
                }
            }
            Value::Object(members) => {
                for member in members.values() {
                    Secrets::references_to_managers(member, into);
                }
            }
            _ => {}
        }
    }

    /// Keeps the value that a manager has told for `<manager>/<id>/<path>`; `None` forgets it. Tells whether that changed
    /// anything.
    pub fn set(&self, reference: &str, value: Option<Secret>) -> bool {
        let mut fetched = self.fetched.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => {
                let same = fetched
                    .get(reference)
                    .is_some_and(|known| known.expose() == value.expose());
                fetched.insert(reference.to_owned(), value);
                !same
            }
            None => fetched.remove(reference).is_some(),
        }
    }

    /// The value with every reference replaced by what it names.
    ///
    /// # Errors
    /// The first reference that leads to nothing.
    pub fn resolve(&self, value: &Value) -> Result<Value, Unresolved> {
        Ok(match value {
            Value::String(text) => Value::String(self.resolve_text(text)?),
            Value::Array(items) => items
                .iter()
                .map(|item| self.resolve(item))
                .collect::<Result<_, _>>()?,
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), self.resolve(member)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => other.clone(),
        })
    }

    fn resolve_text(&self, text: &str) -> Result<String, Unresolved> {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((start, end)) = find_reference(rest) {
            resolved.push_str(&rest[..start]);
            resolved.push_str(&self.value_of(&rest[start..end])?);
            rest = &rest[end..];
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn value_of(&self, reference: &str) -> Result<String, Unresolved> {
        if starts_with_ignoring_case(reference, MANAGER_PREFIX) {
            let name = &reference[MANAGER_PREFIX.len()..];
            let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
            return fetched
                .get(name)
                .map(|value| value.expose().to_owned())
                .ok_or_else(|| Unresolved::Manager(name.to_owned()));
        }
        let path = reference.split_once("://").map_or("", |(_, path)| path);
        let (name, part) = path
            .split_once('/')
            .map_or((path, None), |(name, part)| (name, Some(part)));
        let value = (self.env)(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Unresolved::Variable(name.to_owned()))?;
        let Some(part) = part else { return Ok(value) };
        let missing = || Unresolved::Part(name.to_owned(), part.to_owned());
        let json: Value = serde_json::from_str(&value).map_err(|_| missing())?;
        match json.get(part) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => Ok(other.to_string()),
            _ => Err(missing()),
        }
    }
}

/// Where the first reference of a text begins and ends, if it has one with a name.
fn find_reference(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(offset) = text.get(from..)?.find('$') {
        let start = from + offset;
        let rest = &text[start..];
        for prefix in [ENV_PREFIX, MANAGER_PREFIX] {
            if starts_with_ignoring_case(rest, prefix) {
                let length = reference_length(&rest[prefix.len()..], prefix == MANAGER_PREFIX);
                if length > 0 {
                    return Some((start, start + prefix.len() + length));
                }
            }
        }
        from = start + 1;
    }
    None
}

/// How far a reference reaches behind its prefix. Names of variables have no dashes and dots, so that they can stand before
/// them.
fn reference_length(tail: &str, of_manager: bool) -> usize {
    let end_of = |text: &str, also: &str| {
        text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || also.contains(c)))
            .unwrap_or(text.len())
    };
    if of_manager {
        return end_of(tail, "-./");
    }
    let name = end_of(tail, "");
    match tail[name..].strip_prefix('/') {
        Some(part) if name > 0 && end_of(part, "-.") > 0 => name + 1 + end_of(part, "-."),
        _ => name,
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{Secrets, Unresolved};

    fn secrets() -> Secrets {
        Secrets::new(Box::new(|name| match name {
            "KEY" => Some("sk-1".to_owned()),
            "PARTS" => Some(r#"{"a":"one","n":2}"#.to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }))
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        let value = json!({"header": {"Authorization": "Bearer $env://KEY"}, "list": ["$ENV://KEY", "$env://PARTS/a:$env://PARTS/n", "$env://KEY-$env://KEY.", 1]});
        assert_eq!(
            secrets().resolve(&value).unwrap(),
            json!({"header": {"Authorization": "Bearer sk-1"}, "list": ["sk-1", "one:2", "sk-1-sk-1.", 1]})
        );
    }

    #[test]
    fn a_reference_that_leads_to_nothing_is_named() {
        let resolve = |text: &str| secrets().resolve(&json!(text)).unwrap_err();
        assert_eq!(resolve("x $env://ABSENT"), Unresolved::Variable("ABSENT".into()));
        assert_eq!(resolve("$env://EMPTY"), Unresolved::Variable("EMPTY".into()));
        assert_eq!(
            resolve("$env://PARTS/z"),
            Unresolved::Part("PARTS".into(), "z".into())
        );
        assert_eq!(
            resolve("$secret://vault/1/jack/key"),
            Unresolved::Manager("vault/1/jack/key".into())
        );
    }

    #[test]
    fn what_a_manager_has_told_is_used_until_it_is_forgotten() {
        let secrets = secrets();
        let told = || {
            tollgate_resources::SecretRef::new("v")
                .unwrap()
                .resolve(&|_| None)
                .ok()
        };
        assert!(secrets.set("vault/1/a", told()));
        assert!(
            !secrets.set("vault/1/a", told()),
            "the same value changes nothing"
        );
        assert_eq!(
            secrets.resolve(&json!("<$secret://vault/1/a>")).unwrap(),
            json!("<v>")
        );
        assert!(secrets.set("vault/1/a", None));
        assert!(secrets.resolve(&json!("$secret://vault/1/a")).is_err());
    }

    #[test]
    fn texts_that_only_look_like_references_stay() {
        for text in [
            "$env://",
            "$ env://KEY",
            "$environment",
            "costs $5",
            "$secret:/x",
            "é$",
        ] {
            assert_eq!(secrets().resolve(&json!(text)).unwrap(), json!(text));
        }
    }

    #[test]
    fn references_to_managers_are_found_at_every_depth() {
        let mut found = BTreeSet::new();
        Secrets::references_to_managers(
            &json!({"a": ["x $secret://vault/1/a $SECRET://aws/2/b/c"], "b": "$env://KEY"}),
            &mut found,
        );
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["aws/2/b/c", "vault/1/a"]);
    }
}
