//! JSON text into a tree, with lines.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Entry, Item, MAX_DEPTH, Node, SyntaxError, Value};

/// Reads JSON text. Keys given twice are an error.
pub(crate) fn parse_json(text: &str) -> Result<Node, SyntaxError> {
    if let Some(error) = SyntaxError::too_long(text) {
        return Err(error);
    }
    let line = Cell::new(1);
    let mut deserializer = serde_json::Deserializer::from_reader(LineCounter {
        rest: text.as_bytes(),
        line: &line,
    });
    let tree = Build {
        line: &line,
        depth: 0,
    }
    .deserialize(&mut deserializer);
    tree.and_then(|tree| deserializer.end().map(|()| tree))
        .map_err(|error| {
            // The position is a field of its own in a mistake.
            let text = error.to_string();
            let end = text.rfind(" at line ").unwrap_or(text.len());
            SyntaxError {
                line: (error.line() > 0).then(|| error.line()),
                text: text.get(..end).unwrap_or(&text).to_owned(),
            }
        })
}

/// Counts the lines of what was read. The parser reads byte by byte and looks one byte ahead, so that the count is the
/// line of what it is looking at.
struct LineCounter<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for LineCounter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = self.rest.split_first() else {
            return Ok(0);
        };
        let Some(slot) = buffer.first_mut() else {
            return Ok(0);
        };
        *slot = *first;
        self.rest = rest;
        if *first == b'\n' {
            self.line.set(self.line.get() + 1);
        }
        Ok(1)
    }
}

#[derive(Clone, Copy)]
struct Build<'a> {
    line: &'a Cell<usize>,
    depth: usize,
}

impl Build<'_> {
    fn scalar(self, value: Value) -> Node {
        Node {
            line: self.line.get(),
            value,
        }
    }

    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Build {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(self.scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(self.scalar(match u64::try_from(value) {
            Ok(value) => Value::Unsigned(value),
            Err(_) => Value::Signed(value),
        }))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(self.scalar(Value::Unsigned(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(self.scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(self.scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let line = self.line.get();
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(node) = items.next_element_seed(inner)? {
            list.push(Item {
                index: list.len(),
                node,
            });
        }
        Ok(Node {
            line,
            value: Value::List(list),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let line = self.line.get();
        let inner = self.inner()?;
        let mut seen = std::collections::HashSet::new();
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
            }
            let line = self.line.get();
            map.push(Entry {
                key,
                line,
                node: entries.next_value_seed(inner)?,
            });
        }
        Ok(Node {
            line,
            value: Value::Map(map),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Path;

    #[test]
    fn every_key_and_item_knows_its_line() {
        let tree = parse_json("{\n  \"users\": {\n    \"a\":\n      [1,\n 2]\n  }\n}\n")
            .ok()
            .unwrap();
        assert_eq!(tree.line(&Path::of(["users"])), 2);
        assert_eq!(tree.line(&Path::of(["users", "a"])), 3);
        assert_eq!(tree.line(&Path::of(["users", "a"]).index(1)), 5);
    }

    #[test]
    fn bad_syntax_is_an_error_with_its_line() {
        let error = parse_json("{\n  \"a\": 1,\n}").err().unwrap();
        assert_eq!((error.line, error.text.as_str()), (Some(3), "trailing comma"));
        assert!(parse_json("{} {}").is_err());
        assert!(
            parse_json("{\"a\":1,\"a\":2}")
                .err()
                .unwrap()
                .text
                .contains("duplicate key `a`")
        );
        assert!(parse_json(&"[".repeat(100_000)).is_err());
    }
}
