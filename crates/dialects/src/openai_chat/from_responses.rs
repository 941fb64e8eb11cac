//! What OpenAI's other dialect, Responses, says in other words: options with the same meaning, tools and the choice among them.

use serde_json::Value;

use super::ext::{inner, without};
use crate::Dialect;
use crate::canonical::{Ext, Request, Tool, ToolKind};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Members of a request that both dialects have.
const SHARED: [&str; 6] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "moderation",
    "store",
];

/// Writes the members that both dialects have, and reports the rest of the bag.
pub(super) fn write_members(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    for name in SHARED {
        if let Some(raw) = request.ext.get(name).filter(|raw| raw.text() != "null") {
            w.key(name).raw(raw);
        }
    }
    let text = inner(&request.ext, "text");
    w.optional_raw(
        "verbosity",
        text.get("verbosity").filter(|raw| raw.text() != "null"),
    );
    let mut rest = without(&request.ext, &SHARED);
    for (name, raw) in &mut rest.0 {
        let known = match name.as_str() {
            "text" => "verbosity",
            "stream_options" => "include_obfuscation",
            _ => continue,
        };
        *raw = RawJson::object(&without(&inner(&request.ext, name), &[known]));
    }
    foreign::report(&rest, Place::Request, request.origin, "", losses);
}

/// A tool in the words of this dialect. A function that does not say whether its schema is to be enforced is enforced in the
/// other dialect if its schema allows that, and not at all in this one.
pub(super) fn tool(tool: &Tool) -> Tool {
    let mut tool = tool.clone();
    match &mut tool.kind {
        ToolKind::Function {
            strict, parameters, ..
        } => {
            let unsaid = strict.is_none() && tool.ext.get("strict").is_none();
            if unsaid && parameters.as_ref().is_some_and(can_be_enforced) {
                *strict = Some(true);
            }
        }
        ToolKind::Custom { format, .. } => {
            if let Some(nested) = format.as_ref().and_then(nested_grammar) {
                *format = Some(nested);
            }
        }
        ToolKind::Hosted { .. } => {}
    }
    tool
}

/// Whether a schema is one that OpenAI enforces: every object names all it may have, and demands all of it.
fn can_be_enforced(schema: &RawJson) -> bool {
    serde_json::from_str::<Value>(schema.text()).is_ok_and(|schema| {
        schema.get("type").and_then(Value::as_str) == Some("object") && objects_are_closed(&schema)
    })
}

fn objects_are_closed(schema: &Value) -> bool {
    let Value::Object(members) = schema else {
        return match schema {
            Value::Array(list) => list.iter().all(objects_are_closed),
            _ => true,
        };
    };
    if members.get("type").and_then(Value::as_str) == Some("object") {
        let no_properties = serde_json::Map::new();
        let properties = members
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&no_properties);
        let required: Vec<&str> = members
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let closed = members.get("additionalProperties") == Some(&Value::Bool(false))
            && properties.keys().all(|name| required.contains(&name.as_str()));
        if !closed {
            return false;
        }
    }
    members
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "enum" | "const" | "default" | "examples"))
        .all(|(_, value)| match value {
            Value::Object(inner) if !inner.contains_key("type") => inner.values().all(objects_are_closed),
            value => objects_are_closed(value),
        })
}

/// The members of a grammar stand inside an object of that name here.
fn nested_grammar(format: &RawJson) -> Option<RawJson> {
    let mut object = Object::parse(format.text(), "").ok()?;
    let is_flat = object.has("syntax") && !object.has("grammar");
    let kind = object.take_string("type").ok()??;
    (is_flat && kind == "grammar").then(|| {
        RawJson::object(&Ext(vec![
            ("type".to_owned(), RawJson::string(&kind)),
            ("grammar".to_owned(), RawJson::object(&object.into_ext())),
        ]))
    })
}

/// The free-text tool that a choice of the other dialect names: `{"type":"custom","name":…}`.
pub(super) fn custom_choice(request: &Request, raw: &RawJson) -> Option<String> {
    if request.origin != Dialect::OpenaiResponses {
        return None;
    }
    let mut object = Object::parse(raw.text(), "").ok()?;
    let is_custom = object.take_string("type").ok()?? == "custom";
    object.take_string("name").ok()?.filter(|_| is_custom)
}
