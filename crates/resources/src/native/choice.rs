//! Places in the file where a value may be written in two ways. They are read by hand, because serde's untagged
//! enumerations lose the place of a mistake and say only that nothing fitted.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{
    Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};

use super::file::{AccessDetail, AuthByHeader};

/// `key`, `none`, or `{header: <name>}`.
#[derive(Debug)]
pub(crate) enum AuthEntry {
    Key,
    None,
    Header(AuthByHeader),
}

impl<'de> Deserialize<'de> for AuthEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = AuthEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`key`, `none` or `{header: <name>}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AuthEntry, E> {
                match text {
                    "key" => Ok(AuthEntry::Key),
                    "none" => Ok(AuthEntry::None),
                    _ => Err(E::unknown_variant(text, &["key", "none", "{header: <name>}"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AuthEntry, A::Error> {
                AuthByHeader::deserialize(MapAccessDeserializer::new(map)).map(AuthEntry::Header)
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

impl JsonSchema for AuthEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Auth".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "const": "key", "description": "By a consumer's key, in `Authorization: Bearer`, `x-api-key`, `api-key` or `x-goog-api-key`." },
                { "const": "none", "description": "Everybody may use every model." },
                generator.subschema_for::<AuthByHeader>(),
            ]
        })
    }
}

/// The name of a model or a pattern, or a map with details.
#[derive(Debug)]
pub(crate) enum AccessEntry {
    Name(String),
    Detail(AccessDetail),
}

impl<'de> Deserialize<'de> for AccessEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = AccessEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text with the name of a model, or a map")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AccessEntry, E> {
                Ok(AccessEntry::Name(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AccessEntry, A::Error> {
                AccessDetail::deserialize(MapAccessDeserializer::new(map)).map(AccessEntry::Detail)
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

impl JsonSchema for AccessEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Access".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "description": "Name of a model, or a pattern with `*`." },
                generator.subschema_for::<AccessDetail>(),
            ]
        })
    }
}

/// One text, or a list of them.
#[derive(Debug)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMore, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMore::More(texts))
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

impl JsonSchema for OneOrMore {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ]
        })
    }
}
