//! Secrets, and texts that name them.
//!
//! A configuration should not hold a key but say where it is: `$env://OPENAI_API_KEY`, `$file:///run/secrets/openai`.
//! [`SecretRef`] is the text as it was written, [`Secret`] the value when it was looked up. Neither can be printed in clear by
//! accident.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// What stands before the name of an environment variable.
const ENV_PREFIX: &str = "$env://";

/// What the name of a file begins with; `$` stands before it in a reference.
const FILE_PREFIX: &str = "file://";

/// What is shown in place of a literal.
const HIDDEN: &str = "***";

/// A secret, or a text that names one: `$env://NAME` or `$file:///path`, alone or inside longer text such as
/// `Bearer $env://NAME`.
///
/// Prints references as they are and literal text as `***`, in `Debug`, `Display` and `Serialize` alike.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRef {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Literal(Zeroizing<String>),
    /// The name of a variable, or `file://` and a path.
    Reference(String),
}

impl SecretRef {
    /// Reads the written form: every `$env://NAME` and `$file:///path` is a reference, everything else literal. A name is made
    /// of ASCII letters, digits and `_`, a path also of `/`, `.` and `-`; both end before the first other character.
    ///
    /// # Errors
    /// When no name follows a `$env://`, or no absolute path a `$file://`.
    pub fn new(text: &str) -> Result<SecretRef, NamelessReference> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, name, tail)) = next_reference(rest) {
            if !before.is_empty() {
                parts.push(Part::Literal(Zeroizing::new(before.to_owned())));
            }
            let is_name = match name.strip_prefix(FILE_PREFIX) {
                Some(path) => path.len() > 1 && path.starts_with('/'),
                None => !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()),
            };
            if !is_name {
                return Err(NamelessReference);
            }
            parts.push(Part::Reference(name.to_owned()));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(Zeroizing::new(rest.to_owned())));
        }
        Ok(SecretRef { parts })
    }

    /// A reference to an environment variable.
    pub fn variable(name: impl Into<String>) -> SecretRef {
        SecretRef {
            parts: vec![Part::Reference(name.into())],
        }
    }

    /// The paths of all files that references in a text name, which may be a whole configuration.
    pub fn files_in(text: &str) -> BTreeSet<&str> {
        let mut files = BTreeSet::new();
        let mut rest = text;
        while let Some((_, name, tail)) = next_reference(rest) {
            files.extend(name.strip_prefix(FILE_PREFIX));
            rest = tail;
        }
        files
    }

    /// Looks the references up and gives the whole text. `env` is asked for names of variables, and for `file://` with a path.
    ///
    /// # Errors
    /// When a variable is not set, or a file cannot be read. A variable set to nothing counts as not set: that is what a compose file makes of a
    /// variable its host does not have, and an empty key is never meant.
    pub fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret, MissingVariable> {
        // Collected first and copied once, so that no half-built copy is left in freed memory.
        let mut values = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            values.push(match part {
                Part::Literal(text) => text.clone(),
                Part::Reference(name) => match env(name) {
                    Some(value) if !value.is_empty() => Zeroizing::new(value),
                    _ => return Err(MissingVariable { name: name.clone() }),
                },
            });
        }
        let mut text = Zeroizing::new(String::with_capacity(
            values.iter().map(|value| value.len()).sum(),
        ));
        for value in &values {
            text.push_str(value);
        }
        Ok(Secret(text))
    }

    /// Names of the variables the text refers to; files as `file://` and the path.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Tells whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Reference(name) if name.starts_with(FILE_PREFIX) => write!(f, "${name}")?,
                Part::Reference(name) => write!(f, "{ENV_PREFIX}{name}")?,
                // The word before a credential is no secret, and seeing it helps.
                Part::Literal(text) if matches!(text.as_str(), "Bearer " | "Basic ") => f.write_str(text)?,
                Part::Literal(_) => f.write_str(HIDDEN)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({self})")
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text such as `$env://NAME`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretRef, E> {
                SecretRef::new(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl schemars::JsonSchema for SecretRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A secret. `$env://NAME` is replaced by the environment variable NAME, `$file:///path` by what the file holds, also inside longer text.",
        })
    }
}

/// The value of a secret. It is wiped from memory when dropped, and leaves this type only through [`Secret::expose`].
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Gives the value in clear. Every use of this is a place to look at twice.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Tells whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// A reference to an environment variable that is not set, or set to nothing, or to a file that cannot be read or is empty. Set
/// it, or remove the reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.name))]
pub struct MissingVariable {
    /// Name of the variable; `file://` and the path of a file.
    pub name: String,
}

fn told(name: &str) -> String {
    match name.strip_prefix(FILE_PREFIX) {
        Some(path) => format!("the file {path} cannot be read, or is empty"),
        None => format!("environment variable {name} is not set"),
    }
}

/// `$env://` or `$file://` without a usable name after it. Write `$env://NAME`, with letters, digits and `_`, not starting with a
/// digit, or `$file:///path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`$env://` needs the name of a variable after it, such as `$env://OPENAI_API_KEY`, and `$file://` a whole path, such as \
     `$file:///run/secrets/openai`"
)]
pub struct NamelessReference;

/// The first reference of a text: what stands before it, what it names, and what follows.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let of_variable = text.find(ENV_PREFIX).map(|at| (at, at + ENV_PREFIX.len()));
    // The name of a file keeps its prefix, which no variable can have.
    let of_file = text
        .match_indices(FILE_PREFIX)
        .find(|(at, _)| text.get(..*at).is_some_and(|before| before.ends_with('$')))
        .map(|(at, _)| (at - 1, at));
    let ((start, name), is_file) = match (of_variable, of_file) {
        (Some(variable), Some(file)) if file.0 < variable.0 => (file, true),
        (Some(variable), _) => (variable, false),
        (None, file) => (file?, true),
    };
    let prefix = if is_file { FILE_PREFIX.len() } else { 0 };
    let also = if is_file { "/.-_" } else { "_" };
    let length = text
        .get(name + prefix..)?
        .find(|c: char| !c.is_ascii_alphanumeric() && !also.contains(c))
        .unwrap_or(text.len() - name - prefix);
    let end = name + prefix + length;
    Some((text.get(..start)?, text.get(name..end)?, text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1".to_owned()),
            "EMPTY" => Some(String::new()),
            "file:///run/secrets/a-1.key" => Some("sk-file".to_owned()),
            _ => None,
        }
    }

    fn resolved(text: &str) -> String {
        SecretRef::new(text)
            .unwrap()
            .resolve(&env)
            .unwrap_or_else(|_| panic!("{text} resolves"))
            .expose()
            .to_owned()
    }

    #[test]
    fn a_reference_is_replaced_by_its_value_wherever_it_stands() {
        assert_eq!(resolved("$env://KEY"), "sk-1");
        assert_eq!(resolved("Bearer $env://KEY"), "Bearer sk-1");
        assert_eq!(resolved("a-$env://KEY:$env://KEY-z"), "a-sk-1:sk-1-z");
        assert_eq!(resolved("literal"), "literal");
        assert_eq!(resolved("$file:///run/secrets/a-1.key"), "sk-file");
        assert_eq!(
            resolved("Bearer $file:///run/secrets/a-1.key, $env://KEY"),
            "Bearer sk-file, sk-1"
        );
        assert_eq!(
            resolved("file:///etc/passwd $ file:///x"),
            "file:///etc/passwd $ file:///x"
        );
    }

    #[test]
    fn an_unset_or_empty_variable_is_named_in_the_error() {
        let missing = SecretRef::new("x $env://ABSENT")
            .unwrap()
            .resolve(&env)
            .err()
            .unwrap();
        assert_eq!(missing.to_string(), "environment variable ABSENT is not set");
        assert!(SecretRef::variable("EMPTY").resolve(&env).is_err());
        let missing = SecretRef::new("$file:///nowhere")
            .unwrap()
            .resolve(&env)
            .err()
            .unwrap();
        assert_eq!(
            missing.to_string(),
            "the file /nowhere cannot be read, or is empty"
        );
    }

    #[test]
    fn a_reference_without_a_name_is_refused() {
        assert!(SecretRef::new("$env://").is_err());
        assert!(SecretRef::new("$env:///etc").is_err());
        assert!(SecretRef::new("$env://1KEY").is_err());
        for text in ["$file://", "$file:///", "$file://relative", "a $file:// b"] {
            assert!(SecretRef::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_found_wherever_a_configuration_names_them() {
        let text =
            "a: {key: $file:///run/a, b: \"Bearer $file:///run/b\"} # $env://X $file:///run/a\nfile:///c";
        let files: Vec<_> = SecretRef::files_in(text).into_iter().collect();
        assert_eq!(files, ["/run/a", "/run/b"]);
    }

    #[test]
    fn literals_are_never_shown() {
        for (text, shown) in [
            ("sk-live-123", "***"),
            ("$env://KEY", "$env://KEY"),
            ("Bearer $env://KEY", "Bearer $env://KEY"),
            ("Bearer $file:///run/key", "Bearer $file:///run/key"),
            ("prefix-$env://KEY-suffix", "***$env://KEY***"),
            ("Bearer sk-live-123", "***"),
        ] {
            let reference = SecretRef::new(text).unwrap();
            assert_eq!(reference.to_string(), shown);
            assert_eq!(format!("{reference:?}"), format!("SecretRef({shown})"));
            assert_eq!(serde_json::to_string(&reference).unwrap(), format!("\"{shown}\""));
        }
    }

    #[test]
    fn a_value_is_read_from_text_and_from_nothing_else() {
        let secret: Secret = serde_json::from_str("\"sk-1\"").unwrap();
        assert_eq!(secret.expose(), "sk-1");
        assert!(serde_json::from_str::<Secret>("1").is_err());
        let schema = schemars::schema_for!(Secret);
        assert_eq!(schema.get("type").unwrap(), "string");
    }
}
