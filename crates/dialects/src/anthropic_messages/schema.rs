//! The subset of JSON Schema to which this dialect binds an answer: every object must be closed.

use crate::json::Raw;

use crate::canonical::Ext;
use crate::json::{Object, RawJson};
use crate::loss::Losses;

/// Deepest nesting that is looked at; deeper schemas are refused by the provider anyway.
const MAX_DEPTH: usize = 64;

/// Adds `"additionalProperties": false` to every object schema that does not say it. Everything else stays as written.
pub(crate) fn close_objects(schema: &RawJson, path: &str, losses: &mut Losses) -> RawJson {
    Walk { path, losses }
        .schema(schema.text(), 0)
        .unwrap_or_else(|| schema.clone())
}

/// Each method returns the changed value, or `None` if it may stay as it is.
struct Walk<'l> {
    path: &'l str,
    losses: &'l mut Losses,
}

impl Walk<'_> {
    fn schema(&mut self, text: &str, depth: usize) -> Option<RawJson> {
        if depth > MAX_DEPTH {
            return None;
        }
        let object = Object::parse(text, "").ok()?;
        let additional = object.peek("additionalProperties").map(Raw::get);
        let describes_object =
            object.has("properties") || object.peek("type").is_some_and(|kind| names_object(kind.get()));
        let mut members = object.into_ext();
        let mut changed = self.members(&mut members, depth);
        if describes_object && additional != Some("false") {
            if additional.is_some() {
                self.losses.rejected(
                    self.path,
                    "objects with additional properties cannot be expressed",
                );
            } else if let Ok(closed) = RawJson::parse("false") {
                self.losses
                    .approximated(self.path, "objects are closed with additionalProperties: false");
                members.0.push(("additionalProperties".to_owned(), closed));
                changed = true;
            }
        }
        changed.then(|| RawJson::object(&members))
    }

    /// Changes the schemas among the members of a schema; says whether there was a change.
    fn members(&mut self, members: &mut Ext, depth: usize) -> bool {
        let mut changed = false;
        for (key, raw) in &mut members.0 {
            let new = match key.as_str() {
                "properties" | "$defs" | "definitions" => self.map(raw.text(), depth),
                "prefixItems" | "anyOf" | "allOf" | "oneOf" => self.list(raw.text(), depth),
                "items" | "contains" | "not" | "if" | "then" | "else" => self.schema(raw.text(), depth + 1),
                _ => None,
            };
            if let Some(new) = new {
                *raw = new;
                changed = true;
            }
        }
        changed
    }

    /// An object whose values are schemas.
    fn map(&mut self, text: &str, depth: usize) -> Option<RawJson> {
        let mut members = Object::parse(text, "").ok()?.into_ext();
        let mut changed = false;
        for (_, raw) in &mut members.0 {
            if let Some(new) = self.schema(raw.text(), depth + 1) {
                *raw = new;
                changed = true;
            }
        }
        changed.then(|| RawJson::object(&members))
    }

    fn list(&mut self, text: &str, depth: usize) -> Option<RawJson> {
        let elements: Vec<Raw<'_>> = serde_json::from_str(text).ok()?;
        let mut changed = false;
        let mut new = Vec::with_capacity(elements.len());
        for element in elements {
            let element_changed = self.schema(element.get(), depth + 1);
            changed |= element_changed.is_some();
            new.push(element_changed.unwrap_or_else(|| RawJson::from(element)));
        }
        changed.then(|| RawJson::array(new.iter().map(RawJson::text)))
    }
}

/// Whether a `type` is `"object"` or a list with it.
fn names_object(kind: &str) -> bool {
    kind == "\"object\""
        || serde_json::from_str::<Vec<&str>>(kind).is_ok_and(|kinds| kinds.contains(&"object"))
}
