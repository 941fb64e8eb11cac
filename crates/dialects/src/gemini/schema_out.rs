//! JSON Schema as Gemini's own kind of schema, for models that take no other.
//!
//! References are written out, types become one type and `nullable`, `const` an `enum` of one. What the subset cannot say is
//! left out and reported, keyword by keyword, with the path of the schema it stood in.

use crate::json::Raw;

use crate::canonical::Ext;
use crate::json::{Object, RawJson};
use crate::loss::Losses;

/// Deepest nesting that is written; what is deeper becomes a schema that allows anything of its type.
const MAX_DEPTH: usize = 32;
/// Most schemas that are written, because references can multiply.
const MAX_SCHEMAS: usize = 5_000;

/// The schema in Gemini's subset. `path` is where it stands in the client's document.
pub(super) fn from_json_schema(schema: &RawJson, path: &str, losses: &mut Losses) -> RawJson {
    let root = Object::parse(schema.text(), "")
        .map(Object::into_ext)
        .unwrap_or_default();
    let mut walk = Walk {
        root: &root,
        open: Vec::new(),
        written: 0,
        losses,
    };
    walk.schema(schema.text(), path, 0)
}

/// Whether a schema describes an object without any property, which Gemini refuses as that of parameters.
pub(super) fn has_no_properties(schema: &RawJson) -> bool {
    Object::parse(schema.text(), "").is_ok_and(|object| {
        object
            .peek("properties")
            .is_none_or(|raw| RawJson::from(raw).is_blank())
            && !["$ref", "anyOf", "oneOf", "allOf", "items"]
                .iter()
                .any(|name| object.has(name))
    })
}

struct Walk<'a, 'l> {
    root: &'a Ext,
    /// The references that are being written out.
    open: Vec<String>,
    written: usize,
    losses: &'l mut Losses,
}

impl Walk<'_, '_> {
    fn schema(&mut self, text: &str, path: &str, depth: usize) -> RawJson {
        self.written += 1;
        if depth > MAX_DEPTH || self.written > MAX_SCHEMAS {
            self.lost(path, "", "the schema is too deep or too large to be written out");
            return anything();
        }
        let Ok(object) = Object::parse(text, "") else {
            // `true` allows anything; `false` cannot be said.
            if text != "true" {
                self.lost(path, "", "not a schema the provider can be told");
            }
            return anything();
        };
        let mut source = object.into_ext();
        if let Some(reference) = source.get("$ref").and_then(RawJson::as_string) {
            let beside = Ext(source.0.into_iter().filter(|(name, _)| name != "$ref").collect());
            return self.reference(&reference, &beside, path, depth);
        }
        self.merge_all_of(&mut source, path);
        let mut target = Members::default();
        self.types(&source, &mut target, path, depth);
        for (name, raw) in source.iter() {
            self.keyword(name, raw, &source, &mut target, path, depth);
        }
        RawJson::object(&Ext(target.0))
    }

    fn reference(&mut self, reference: &str, beside: &Ext, path: &str, depth: usize) -> RawJson {
        let target = reference
            .strip_prefix("#/")
            .and_then(|pointer| find(self.root, pointer))
            .or_else(|| (reference == "#").then(|| RawJson::object(self.root)));
        let Some(target) = target else {
            self.lost(path, "$ref", "refers to nothing in this schema");
            return anything();
        };
        if self.open.iter().any(|open| open == reference) {
            self.lost(path, "$ref", "the provider knows no schemas that hold themselves");
            return Object::parse(target.text(), "")
                .ok()
                .and_then(|object| object.peek("type").and_then(|raw| upper_type(raw.get())))
                .map_or_else(anything, |word| with_type(&word));
        }
        self.open.push(reference.to_owned());
        // What stands beside a reference (mostly a description) counts more than what it refers to.
        let whole = match Object::parse(target.text(), "").map(Object::into_ext) {
            Ok(mut members) => {
                for (name, raw) in beside.iter() {
                    members.0.retain(|(key, _)| key != name);
                    members.0.push((name.to_owned(), raw.clone()));
                }
                RawJson::object(&members)
            }
            Err(_) => target,
        };
        let written = self.schema(whole.text(), path, depth + 1);
        self.open.pop();
        written
    }

    /// Takes the members of `allOf` into the schema itself; a property or keyword that is there twice stays as it was.
    fn merge_all_of(&mut self, source: &mut Ext, path: &str) {
        let Some(raw) = source.get("allOf").cloned() else {
            return;
        };
        source.0.retain(|(name, _)| name != "allOf");
        let parts: Vec<Raw<'_>> = serde_json::from_str(raw.text()).unwrap_or_default();
        if parts.len() > 1 {
            self.lost(path, "allOf", "joined into one schema");
        }
        for part in parts {
            let mut members = Object::parse(part.get(), "")
                .map(Object::into_ext)
                .unwrap_or_default();
            if let Some(reference) = members.get("$ref").and_then(RawJson::as_string)
                && let Some(target) = reference.strip_prefix("#/").and_then(|at| find(self.root, at))
            {
                members = Object::parse(target.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
            }
            for (name, raw) in members.0 {
                match source.0.iter_mut().find(|(key, _)| *key == name) {
                    Some((_, value)) if name == "properties" => *value = union(value, &raw),
                    Some((_, value)) if name == "required" => *value = joined(value, &raw),
                    Some(_) => {}
                    None => source.0.push((name, raw)),
                }
            }
        }
    }

    /// `type`, which may be a list, `const` and `enum`, which may hold `null`.
    fn types(&mut self, source: &Ext, target: &mut Members, path: &str, depth: usize) {
        let mut types: Vec<String> = match source.get("type") {
            Some(raw) => match raw.as_string() {
                Some(word) => vec![word],
                None => serde_json::from_str(raw.text()).unwrap_or_default(),
            },
            None if source.get("properties").is_some() => vec!["object".to_owned()],
            None if source.get("items").is_some() => vec!["array".to_owned()],
            None => Vec::new(),
        };
        let mut nullable = types.iter().any(|word| word.eq_ignore_ascii_case("null"));
        types.retain(|word| !word.eq_ignore_ascii_case("null"));
        let values: Option<Vec<Raw<'_>>> = match source.get("const") {
            Some(value) => serde_json::from_str(value.text()).ok().map(|value| vec![value]),
            None => source
                .get("enum")
                .and_then(|raw| serde_json::from_str(raw.text()).ok()),
        };
        if let Some(values) = values {
            nullable |= values.iter().any(|value| value.get() == "null");
            let words: Vec<Raw<'_>> = values
                .iter()
                .copied()
                .filter(|value| value.get() != "null")
                .collect();
            if words.iter().all(|value| value.get().starts_with('"')) {
                if types.is_empty() && !words.is_empty() {
                    types.push("string".to_owned());
                }
                if !words.is_empty() {
                    target.add("enum", RawJson::array(words.iter().map(|word| word.get())));
                }
            } else {
                self.lost(path, "enum", "the provider takes texts as values only");
            }
        }
        match types.as_slice() {
            [] => {}
            [one] => target.add("type", RawJson::string(&one.to_ascii_uppercase())),
            several => {
                let schemas: Vec<RawJson> = several
                    .iter()
                    .map(|word| self.of_one_type(word, source, path, depth))
                    .collect();
                target.add("anyOf", RawJson::array(schemas.iter().map(RawJson::text)));
            }
        }
        if nullable && let Ok(yes) = RawJson::parse("true") {
            target.add("nullable", yes);
        }
    }

    /// One of several types, with the keywords that belong to it.
    fn of_one_type(&mut self, word: &str, source: &Ext, path: &str, depth: usize) -> RawJson {
        let belong: &[&str] = match word {
            "object" => &["properties", "required", "minProperties", "maxProperties"],
            "array" => &["items", "minItems", "maxItems"],
            "string" => &["format", "minLength", "maxLength", "pattern"],
            _ => &["format", "minimum", "maximum"],
        };
        let mut members = vec![("type".to_owned(), RawJson::string(word))];
        members.extend(
            source
                .0
                .iter()
                .filter(|(name, _)| belong.contains(&name.as_str()))
                .cloned(),
        );
        self.schema(RawJson::object(&Ext(members)).text(), path, depth + 1)
    }

    fn keyword(
        &mut self,
        name: &str,
        raw: &RawJson,
        source: &Ext,
        target: &mut Members,
        path: &str,
        depth: usize,
    ) {
        // The schemas of several types have their keywords already.
        let several = target.has("anyOf") && source.get("anyOf").is_none() && source.get("oneOf").is_none();
        match name {
            "type" | "enum" | "const" | "nullable" => {}
            "title" | "description" | "default" => target.add(name, raw.clone()),
            "properties" | "required" | "items" | "minProperties" | "maxProperties" | "minItems"
            | "maxItems" | "minLength" | "maxLength" | "pattern" | "minimum" | "maximum" | "format"
                if several => {}
            "properties" => {
                let members = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                let written: Vec<(String, RawJson)> = members
                    .0
                    .into_iter()
                    .map(|(key, schema)| {
                        let inner =
                            self.schema(schema.text(), &format!("{path}.properties.{key}"), depth + 1);
                        (key, inner)
                    })
                    .collect();
                if written.is_empty() {
                    return;
                }
                if written.len() > 1 {
                    let order: Vec<RawJson> = written.iter().map(|(key, _)| RawJson::string(key)).collect();
                    target.add(
                        "propertyOrdering",
                        RawJson::array(order.iter().map(RawJson::text)),
                    );
                }
                target.add("properties", RawJson::object(&Ext(written)));
            }
            // Every name must be a property, and an empty list says nothing.
            "required" => {
                let names: Vec<String> = serde_json::from_str(raw.text()).unwrap_or_default();
                let properties = source
                    .get("properties")
                    .and_then(|raw| Object::parse(raw.text(), "").ok())
                    .map(Object::into_ext)
                    .unwrap_or_default();
                let (known, unknown): (Vec<_>, Vec<_>) =
                    names.iter().partition(|name| properties.get(name).is_some());
                if !unknown.is_empty() {
                    self.lost(path, name, "names that are no properties are left out");
                }
                if !known.is_empty() {
                    let known: Vec<RawJson> = known.into_iter().map(|name| RawJson::string(name)).collect();
                    target.add(name, RawJson::array(known.iter().map(RawJson::text)));
                }
            }
            "items" => {
                let inner = self.schema(raw.text(), &format!("{path}.items"), depth + 1);
                target.add(name, inner);
            }
            "anyOf" | "oneOf" => {
                if name == "oneOf" {
                    self.lost(path, name, "taken as anyOf");
                }
                self.any_of(raw, target, path, depth);
            }
            "minProperties" | "maxProperties" | "minItems" | "maxItems" | "minLength" | "maxLength"
            | "pattern" | "minimum" | "maximum" => target.add(name, raw.clone()),
            "format" => {
                let known = ["enum", "date-time", "int32", "int64", "float", "double"];
                if raw
                    .as_string()
                    .is_some_and(|format| known.contains(&format.as_str()))
                {
                    target.add(name, raw.clone());
                } else {
                    self.lost(path, name, "not a format the provider knows");
                }
            }
            // The provider answers with the listed properties anyway; the rest is for people and tools.
            "additionalProperties" if raw.text() == "false" => {}
            "$schema" | "$id" | "$comment" | "$defs" | "definitions" | "examples" | "strict" | "$anchor"
            | "propertyOrdering" | "deprecated" | "readOnly" | "writeOnly" => {}
            _ => self.lost(path, name, "a keyword the provider does not know"),
        }
    }

    /// The alternatives; one that is `null` makes the schema nullable.
    fn any_of(&mut self, raw: &RawJson, target: &mut Members, path: &str, depth: usize) {
        let elements: Vec<Raw<'_>> = serde_json::from_str(raw.text()).unwrap_or_default();
        let is_null = |element: &Raw<'_>| {
            Object::parse(element.get(), "")
                .is_ok_and(|object| object.peek("type").is_some_and(|raw| raw.get() == "\"null\""))
        };
        let others: Vec<Raw<'_>> = elements
            .iter()
            .copied()
            .filter(|element| !is_null(element))
            .collect();
        let written: Vec<RawJson> = others
            .iter()
            .enumerate()
            .map(|(i, element)| self.schema(element.get(), &format!("{path}.anyOf[{i}]"), depth + 1))
            .collect();
        if others.len() < elements.len()
            && let Ok(yes) = RawJson::parse("true")
        {
            target.add("nullable", yes);
        }
        match written.as_slice() {
            [] => {}
            [one] => {
                let members = Object::parse(one.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                for (name, raw) in members.0 {
                    target.add(&name, raw);
                }
            }
            several => target.add("anyOf", RawJson::array(several.iter().map(RawJson::text))),
        }
    }

    fn lost(&mut self, path: &str, keyword: &str, reason: &'static str) {
        let field = if keyword.is_empty() {
            path.to_owned()
        } else {
            format!("{path}.{keyword}")
        };
        self.losses.approximated(field, reason);
    }
}

/// The members of a schema; the first of a name counts.
#[derive(Default)]
struct Members(Vec<(String, RawJson)>);

impl Members {
    fn add(&mut self, name: &str, raw: RawJson) {
        if !self.has(name) {
            self.0.push((name.to_owned(), raw));
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// What a JSON pointer without its `#/` points to.
fn find(root: &Ext, pointer: &str) -> Option<RawJson> {
    let mut names = pointer
        .split('/')
        .map(|name| name.replace("~1", "/").replace("~0", "~"));
    let mut found = root.get(&names.next()?)?.clone();
    for name in names {
        let members = Object::parse(found.text(), "").ok()?.into_ext();
        found = members.get(&name)?.clone();
    }
    Some(found)
}

fn upper_type(raw: &str) -> Option<String> {
    let word: String = serde_json::from_str(raw).ok()?;
    Some(word.to_ascii_uppercase())
}

fn with_type(word: &str) -> RawJson {
    RawJson::object(&Ext(vec![("type".to_owned(), RawJson::string(word))]))
}

/// A schema that allows any object: a schema without a type is refused.
fn anything() -> RawJson {
    with_type("OBJECT")
}

/// The members of two objects; the first of a name counts.
fn union(first: &RawJson, second: &RawJson) -> RawJson {
    let members = |raw: &RawJson| {
        Object::parse(raw.text(), "")
            .map(Object::into_ext)
            .unwrap_or_default()
    };
    let mut all = members(first);
    for (name, raw) in members(second).0 {
        if all.get(&name).is_none() {
            all.0.push((name, raw));
        }
    }
    RawJson::object(&all)
}

/// The elements of two lists.
fn joined(first: &RawJson, second: &RawJson) -> RawJson {
    let mut all: Vec<Raw<'_>> = serde_json::from_str(first.text()).unwrap_or_default();
    let more: Vec<Raw<'_>> = serde_json::from_str(second.text()).unwrap_or_default();
    all.extend(more);
    RawJson::array(all.into_iter().map(Raw::get))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(schema: &str) -> (String, Vec<String>) {
        let mut losses = Losses::new();
        let written = from_json_schema(&RawJson::parse(schema).unwrap(), "s", &mut losses);
        let fields = losses.iter().map(|loss| loss.field.clone()).collect();
        (written.text().to_owned(), fields)
    }

    #[test]
    fn references_are_written_out_and_what_stands_beside_them_stays() {
        let (written, lost) = converted(
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A","description":"d"}},"$defs":{"A":{"type":"string"}},
                "required":["a"],"additionalProperties":false,"$schema":"x"}"##,
        );
        assert_eq!(
            written,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING","description":"d"}},"required":["a"]}"#
        );
        assert!(lost.is_empty(), "{lost:?}");
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let (written, lost) =
            converted(r##"{"type":"object","properties":{"next":{"$ref":"#"},"n":{"type":"integer"}}}"##);
        assert!(written.contains(r#""next":{"type":"OBJECT""#), "{written}");
        assert_eq!(lost, ["s.properties.next.properties.next.$ref"]);
    }

    #[test]
    fn types_become_one_type_and_nullable() {
        let (written, lost) = converted(
            r#"{"type":"object","properties":{"a":{"type":["string","null"],"maxLength":3},
                "b":{"anyOf":[{"type":"integer"},{"type":"null"}]},"c":{"type":["string","integer"],"minimum":1},
                "d":{"const":"x"},"e":{"enum":["p","q",null]}}}"#,
        );
        assert_eq!(
            written,
            concat!(
                r#"{"type":"OBJECT","propertyOrdering":["a","b","c","d","e"],"properties":{"#,
                r#""a":{"type":"STRING","nullable":true,"maxLength":3},"#,
                r#""b":{"nullable":true,"type":"INTEGER"},"#,
                r#""c":{"anyOf":[{"type":"STRING"},{"type":"INTEGER","minimum":1}]},"#,
                r#""d":{"enum":["x"],"type":"STRING"},"e":{"enum":["p","q"],"type":"STRING","nullable":true}}}"#
            )
        );
        assert!(lost.is_empty(), "{lost:?}");
    }

    #[test]
    fn what_the_subset_cannot_say_is_told() {
        let (written, lost) = converted(
            r#"{"type":"object","properties":{"a":{"type":"string","format":"email"},"n":{"enum":[1,2]},
                "o":{"oneOf":[{"type":"string"},{"type":"integer"}]}},"patternProperties":{"x":{}},"required":["z"],
                "not":{}}"#,
        );
        assert!(
            !written.contains("email") && !written.contains("required"),
            "{written}"
        );
        assert_eq!(
            lost,
            [
                "s.properties.a.format",
                "s.properties.n.enum",
                "s.properties.o.oneOf",
                "s.patternProperties",
                "s.required",
                "s.not"
            ]
        );
    }

    #[test]
    fn multiplying_references_are_bounded() {
        let mut definitions = String::new();
        for i in 0..30 {
            let next = i + 1;
            definitions.push_str(&format!(
                r##""d{i}":{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/d{next}"}},"b":{{"$ref":"#/$defs/d{next}"}}}}}},"##
            ));
        }
        let schema =
            format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{definitions}"d30":{{"type":"string"}}}}}}"##);
        let (written, lost) = converted(&schema);
        assert!(written.len() < 2_000_000 && !lost.is_empty());
    }
}
