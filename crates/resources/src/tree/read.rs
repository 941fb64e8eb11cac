//! A tree into typed values, collecting every fault on the way.
//!
//! A deserializer stops at its first error. [`read_all`] notes that error, takes the faulty value out of the tree and tries
//! again until it succeeds. A required field that is missing only because its value was taken out is no further fault.

use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::path::{Path, Step};
use super::{Entry, Item, Node, Value};

/// Most faults that are collected; whoever has more mends these first.
const MAX_FAULTS: usize = 100;

/// What [`read_all`] found.
pub(crate) struct Found<T> {
    /// The value, without its faulty parts; `None` when nothing could be made of it.
    pub(crate) value: Option<T>,
    /// The tree without the faulty parts.
    pub(crate) tree: Node,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
}

/// Reads a value and collects all faults.
pub(crate) fn read_all<T: for<'de> Deserialize<'de>>(tree: &Node) -> Found<T> {
    let mut tree = tree.clone();
    let mut faults = Vec::new();
    let mut removed = Vec::new();
    loop {
        let error = match T::deserialize(&tree) {
            Ok(value) => {
                return Found {
                    value: Some(value),
                    tree,
                    faults,
                };
            }
            Err(error) => error,
        };
        let fault = Fault {
            path: Path::from_reversed(error.steps),
            kind: error.kind,
        };
        let path = fault.path.clone();
        let follow_up = matches!(&fault.kind, FaultKind::MissingKey(key) if removed.contains(&path.key(key)));
        if !follow_up {
            faults.push(fault);
        }
        if path.is_root() || faults.len() == MAX_FAULTS {
            return Found {
                value: None,
                tree,
                faults,
            };
        }
        tree.remove(&path);
        removed.push(path);
    }
}

/// Something in a tree that its type does not allow.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: Path,
    pub(crate) kind: FaultKind,
}

impl Fault {
    /// The same fault, of a tree that stands at this path of another one.
    pub(crate) fn within(&self, path: &Path) -> Fault {
        let steps = path.steps().iter().chain(self.path.steps());
        Fault {
            path: Path::from_steps(steps.cloned().collect()),
            kind: self.kind.clone(),
        }
    }
}

/// What is wrong with a value.
#[derive(Clone, Debug)]
pub(crate) enum FaultKind {
    /// A map has a key that its type does not know; `path` includes the key.
    UnknownKey {
        key: String,
        allowed: &'static [&'static str],
    },
    /// A word that is none of those allowed.
    UnknownWord {
        word: String,
        allowed: &'static [&'static str],
    },
    /// A map lacks this key.
    MissingKey(&'static str),
    /// Anything else, in words.
    Other(String),
}

/// An error on its way up from the value it concerns.
#[derive(Debug)]
pub(crate) struct ReadError {
    /// The way to the value, innermost step first.
    steps: Vec<Step>,
    kind: FaultKind,
}

impl ReadError {
    fn new(kind: FaultKind) -> ReadError {
        ReadError {
            steps: Vec::new(),
            kind,
        }
    }

    fn under(mut self, step: Step) -> ReadError {
        self.steps.push(step);
        self
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        ReadError::new(FaultKind::Other(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = plain(&expected.to_string());
        let hint = match found {
            Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_)
                if expected.starts_with("text") =>
            {
                "; put it in quotes"
            }
            _ => "",
        };
        ReadError::custom(format_args!(
            "expected {expected}, found {}{hint}",
            kind_of(found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ReadError::custom(format_args!(
            "expected {}, found {}",
            plain(&expected.to_string()),
            kind_of(found)
        ))
    }

    fn unknown_variant(word: &str, allowed: &'static [&'static str]) -> Self {
        ReadError::new(FaultKind::UnknownWord {
            word: word.to_owned(),
            allowed,
        })
    }

    fn unknown_field(key: &str, allowed: &'static [&'static str]) -> Self {
        ReadError::new(FaultKind::UnknownKey {
            key: key.to_owned(),
            allowed,
        })
    }

    fn missing_field(key: &'static str) -> Self {
        ReadError::new(FaultKind::MissingKey(key))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for ReadError {}

/// What serde says it expects, in the words of somebody who writes a file.
fn plain(expected: &str) -> String {
    match expected {
        "a string" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number of at least 0".to_owned(),
        _ if expected.starts_with("struct ") => "a map".to_owned(),
        _ => expected.to_owned(),
    }
}

/// What was found, without text: it might be a secret at the wrong place.
fn kind_of(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("the number {value}"),
        // A large number may be a key whose owner forgot the quotes.
        Unexpected::Unsigned(value) if value <= 9_999_999 => format!("the number {value}"),
        Unexpected::Unsigned(_) | Unexpected::Float(_) => "a number".to_owned(),
        Unexpected::Str(_) | Unexpected::Char(_) => "text".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a map".to_owned(),
        _ => "something else".to_owned(),
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                current: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    /// Structures are written as maps only; a list of their values in order would be unreadable.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a map")),
        }
    }

    /// All enumerations of our files are words.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a word")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Unsigned(value) => Unexpected::Unsigned(*value),
            Value::Signed(value) => Unexpected::Signed(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }
}

struct Items<'a>(std::slice::Iter<'a, Item>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(&item.node)
            .map(Some)
            .map_err(|error| error.under(Step::Index(item.index)))
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.current = self.rest.next();
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key: de::value::StrDeserializer<'_, ReadError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.under(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(&entry.node)
            .map_err(|error| error.under(Step::Key(entry.key.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named;
    use crate::tree::parse_yaml;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Car {
        name: String,
        #[serde(default)]
        wheels: Option<u8>,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn faults(text: &str) -> Vec<String> {
        let tree = parse_yaml(text).ok().unwrap();
        let found = read_all::<Named<Car>>(&tree);
        found
            .faults
            .iter()
            .map(|fault| format!("{}: {:?}", fault.path, fault.kind))
            .collect()
    }

    #[test]
    fn all_faults_are_found_in_one_go() {
        assert_eq!(
            faults("a: {name: 5, wheels: -1, colour: red}\nb: {tags: [x, 1, y, 2]}\nc: []\n"),
            [
                "a.name: Other(\"expected text, found the number 5; put it in quotes\")",
                "a.wheels: Other(\"expected a whole number from 0 to 255, found the number -1\")",
                "a.colour: UnknownKey { key: \"colour\", allowed: [\"name\", \"wheels\", \"tags\"] }",
                "b.tags[1]: Other(\"expected text, found the number 1; put it in quotes\")",
                "b.tags[3]: Other(\"expected text, found the number 2; put it in quotes\")",
                "b: MissingKey(\"name\")",
                "c: Other(\"expected a map, found a list\")",
            ]
        );
    }

    #[test]
    fn text_at_a_wrong_place_is_not_repeated() {
        assert_eq!(
            faults("a: sk-secret"),
            ["a: Other(\"expected a map, found text\")"]
        );
    }
}
