//! A JSON object as a list of members whose values are still raw.
//!
//! A codec *takes* the members it knows; what is left over goes into an [`Ext`] bag. So no field can be lost by being
//! forgotten.

use std::borrow::Cow;
use std::fmt;

use super::{Raw, RawJson, walk};
use crate::canonical::{DecodeError, Ext};
use crate::path;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

/// The members of one JSON object that have not been taken yet, and where the object stands in the document.
#[derive(Debug)]
pub struct Object<'a> {
    path: String,
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Object<'a> {
    /// Reads an object. `path` is where it stands, for error texts; empty for the whole document.
    ///
    /// # Errors
    /// Not an object, or a member stands twice.
    pub fn parse(text: &'a str, path: impl Into<String>) -> Result<Self, DecodeError> {
        let path = path.into();
        let members = match walk::members(text) {
            Some(members) => members,
            // It knows to say what is wrong.
            None => {
                let Members(members) = serde_json::from_str(text)
                    .map_err(|error| DecodeError::new(path.clone(), wrong_type("an object", text, &error)))?;
                members
            }
        };
        for (i, (key, _)) in members.iter().enumerate() {
            if members.len() <= 64 && members[..i].iter().any(|(earlier, _)| earlier == key) {
                return Err(DecodeError::new(
                    path::member(&path, key),
                    "stands twice in the same object",
                ));
            }
        }
        Ok(Object { path, members })
    }

    /// Gives the members the names that `spell` says; `None` keeps a name.
    ///
    /// # Errors
    /// Two members now have the same name.
    pub fn respell(&mut self, spell: impl Fn(&str) -> Option<String>) -> Result<(), DecodeError> {
        for i in 0..self.members.len() {
            let Some(new) = self.members.get(i).and_then(|(key, _)| spell(key)) else {
                continue;
            };
            if self.has(&new) {
                return Err(DecodeError::new(
                    path::member(&self.path, &new),
                    "stands twice in the same object, in two spellings",
                ));
            }
            if let Some((key, _)) = self.members.get_mut(i) {
                *key = Cow::Owned(new);
            }
        }
        Ok(())
    }

    /// The path of this object.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of a member of this object.
    pub fn path_of(&self, name: &str) -> String {
        path::member(&self.path, name)
    }

    /// Whether the member is present and not yet taken.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(key, _)| key == name)
    }

    /// Takes a member as raw JSON, `null` included.
    pub fn take(&mut self, name: &str) -> Option<Raw<'a>> {
        let position = self.members.iter().position(|(key, _)| key == name)?;
        Some(self.members.remove(position).1)
    }

    /// Takes a member as raw JSON; `null` counts as missing.
    pub fn take_some(&mut self, name: &str) -> Option<Raw<'a>> {
        self.take(name).filter(|raw| raw.get() != "null")
    }

    /// Takes a member of the given type; missing and `null` give `None`.
    ///
    /// # Errors
    /// The member has another type; `expected` says which was expected ("a string").
    pub fn take_as<T: Deserialize<'a>>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.take_some(name) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|error| DecodeError::new(self.path_of(name), wrong_type(expected, raw.get(), &error)))
    }

    /// Takes a string; missing and `null` give `None`.
    ///
    /// # Errors
    /// Not a string.
    pub fn take_string(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        match self.peek(name).and_then(Raw::plain_string) {
            Some(plain) => {
                self.take(name);
                Ok(Some(plain.to_owned()))
            }
            None => self.take_as(name, "a string"),
        }
    }

    /// Takes a string that must be there.
    ///
    /// # Errors
    /// Missing, `null` or not a string.
    pub fn require_string(&mut self, name: &str) -> Result<String, DecodeError> {
        self.take_string(name)?
            .ok_or_else(|| DecodeError::new(self.path_of(name), "is missing; a string is required"))
    }

    /// Takes a boolean; missing and `null` give `None`.
    ///
    /// # Errors
    /// Not a boolean.
    pub fn take_bool(&mut self, name: &str) -> Result<Option<bool>, DecodeError> {
        self.take_as(name, "true or false")
    }

    /// Takes a whole number that is not negative; missing and `null` give `None`.
    ///
    /// # Errors
    /// Not such a number.
    pub fn take_u64(&mut self, name: &str) -> Result<Option<u64>, DecodeError> {
        if let Some(number) = self.peek(name).and_then(|raw| raw.get().parse().ok()) {
            self.take(name);
            return Ok(Some(number));
        }
        self.take_as(name, "a whole number that is not negative")
    }

    /// Takes a number as it was written; missing and `null` give `None`.
    ///
    /// # Errors
    /// Not a number.
    pub fn take_number(&mut self, name: &str) -> Result<Option<RawJson>, DecodeError> {
        let Some(raw) = self.take_some(name) else {
            return Ok(None);
        };
        match raw.get().as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => Ok(Some(RawJson::from(raw))),
            _ => Err(DecodeError::new(
                self.path_of(name),
                format!("expected a number, found {}", kind_of(raw.get())),
            )),
        }
    }

    /// Takes the elements of an array; missing and `null` give `None`.
    ///
    /// # Errors
    /// Not an array.
    pub fn take_array(&mut self, name: &str) -> Result<Option<Vec<Raw<'a>>>, DecodeError> {
        let Some(raw) = self.take_some(name) else {
            return Ok(None);
        };
        raw.elements()
            .map(Some)
            .map_err(|error| DecodeError::new(self.path_of(name), wrong_type("an array", raw.get(), &error)))
    }

    /// Takes an object; missing and `null` give `None`.
    ///
    /// # Errors
    /// Not an object.
    pub fn take_object(&mut self, name: &str) -> Result<Option<Object<'a>>, DecodeError> {
        let Some(raw) = self.take_some(name) else {
            return Ok(None);
        };
        Object::parse(raw.get(), self.path_of(name)).map(Some)
    }

    /// Takes every member that is `null`. Taken first and put beside [`Object::into_ext`] at the end, the `null`s of a
    /// document survive, although the other methods take them for missing.
    pub fn take_nulls(&mut self) -> Ext {
        let mut nulls = Ext::default();
        self.members.retain(|(key, raw)| {
            let null = raw.get() == "null";
            if null {
                nulls.0.push((key.clone().into_owned(), RawJson::from(*raw)));
            }
            !null
        });
        nulls
    }

    /// The member of an object that has one only; `None` if there are none or several.
    pub fn only(&self) -> Option<(&str, Raw<'a>)> {
        match self.members.as_slice() {
            [(key, raw)] => Some((key, *raw)),
            _ => None,
        }
    }

    /// The raw JSON of a member that stays where it is.
    pub fn peek(&self, name: &str) -> Option<Raw<'a>> {
        self.members
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, raw)| *raw)
    }

    /// What was not taken, in its original order, `null`s included.
    pub fn into_ext(self) -> Ext {
        Ext(self
            .members
            .into_iter()
            .map(|(key, raw)| (key.into_owned(), RawJson::from(raw)))
            .collect())
    }
}

/// What kind of JSON value `text` is, for error texts.
pub(crate) fn kind_of(text: &str) -> &'static str {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) => "no JSON",
        None => "nothing",
    }
}

fn wrong_type(expected: &str, text: &str, error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("expected {expected}, found {}", kind_of(text))
    } else {
        format!("is not valid JSON: {error}")
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A key that borrows from the document unless it contains escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
