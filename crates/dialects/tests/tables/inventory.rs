//! The fields of each dialect's requests, from `data/fields/<dialect>.jsonl`: one entry per line.
//!
//! * `{"base": "call", "request": {…}}`: a request that entries start from.
//! * `{"field": "…", "value": …}`: a field and a value for it, set in the minimal request or in `"base"`; or, instead of a
//!   value, `"request"`: the members of a request that holds the field.
//! * `"silent"`: why the value changes nothing, for all dialects, or for some: `{"gemini_generate": "…"}`.
//! * `"notes"`: what there is to know about the field at some dialects: `{"gemini_generate": "…"}`.
//! * `"toward"`, `"model"`: the entry is about one model of one dialect, which differs from what models accept mostly.
//! * `"kinds": ["a", "b"]`: the same entry for each of them, which stands where the entry says `{kind}`.
//! * `"whole": true`: members within the field are not entries of their own, because all of them share its lot.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tollgate_dialects::Dialect;

use crate::path;

/// One field with one value.
#[derive(Debug)]
pub struct Entry {
    pub field: String,
    pub value: Value,
    /// The request with the field.
    pub request: Value,
    /// The same without it, or with what stands there otherwise.
    pub without: Value,
    silent: Value,
    notes: Value,
    /// Values that differ from this one in the kind of thing only, and must share its lot.
    pub alike: Vec<Entry>,
    /// All the kinds.
    pub kinds: Vec<String>,
    /// The only dialect, and its model, that the entry is about.
    pub model: Option<(Dialect, String)>,
}

impl Entry {
    /// Why the field changes nothing in a dialect.
    pub fn silent(&self, toward: Dialect) -> Option<&str> {
        match &self.silent {
            Value::String(why) => Some(why),
            by_dialect => by_dialect.get(toward.name()).and_then(Value::as_str),
        }
    }

    /// What there is to know about the field at a dialect.
    pub fn note(&self, toward: Dialect) -> Option<&str> {
        self.notes.get(toward.name()).and_then(Value::as_str)
    }

    /// The field without the kinds of elements.
    pub fn plain(&self) -> String {
        path::without_kinds(&self.field)
    }

    /// The field for readers: kinds only where they tell something.
    pub fn shown(&self) -> String {
        if self.kinds.is_empty() {
            self.field.replace("[*]", "[]")
        } else {
            self.plain()
        }
    }

    /// What else a request must say for the entry to hold, beside messages and tools.
    pub fn beside(&self) -> Vec<&str> {
        let said = self.without.as_object().into_iter().flat_map(Map::keys);
        let always = [
            "model",
            "messages",
            "contents",
            "input",
            "max_tokens",
            "tools",
            "functions",
        ];
        said.map(String::as_str)
            .filter(|name| !always.contains(name) && !path::is_within(&self.field, name))
            .collect()
    }

    /// Where the entry stands, for failures.
    pub fn name(&self) -> String {
        format!("{} {}", self.field, self.value)
    }
}

/// The least request.
pub fn minimal(dialect: Dialect) -> Value {
    let said = json!([{"role": "user", "content": "hi"}]);
    match dialect {
        Dialect::OpenaiChat | Dialect::CohereChat => json!({"model": "m", "messages": said}),
        Dialect::AnthropicMessages => json!({"model": "m", "max_tokens": 1000, "messages": said}),
        Dialect::OpenaiResponses => json!({"model": "m", "input": said}),
        Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        Dialect::BedrockConverse => json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
    }
}

/// All entries of a dialect, in the order of the file.
pub fn entries(dialect: Dialect) -> Vec<Entry> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/fields")
        .join(format!("{}.jsonl", dialect.name()));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut bases = BTreeMap::from([("minimal".to_owned(), minimal(dialect))]);
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if record.get("field").is_none() {
            let name = record["base"].as_str().unwrap().to_owned();
            bases.insert(name, over(&minimal(dialect), &record["request"]));
            continue;
        }
        let Some(kinds) = record["kinds"].as_array() else {
            entries.push(entry(&record, dialect, &bases));
            continue;
        };
        let of_kind = |kind: &Value| {
            let line = line.replace("{kind}", kind.as_str().unwrap());
            entry(&serde_json::from_str(&line).unwrap(), dialect, &bases)
        };
        let mut all: Vec<Entry> = kinds.iter().map(of_kind).collect();
        let mut first = all.remove(0);
        first.kinds = kinds
            .iter()
            .map(|kind| kind.as_str().unwrap().to_owned())
            .collect();
        first.alike = all;
        entries.push(first);
    }
    assert!(entries.len() > 20, "{dialect}: {} fields", entries.len());
    entries
}

fn entry(record: &Value, dialect: Dialect, bases: &BTreeMap<String, Value>) -> Entry {
    for name in record.as_object().into_iter().flat_map(Map::keys) {
        let known = [
            "field", "value", "base", "request", "silent", "notes", "toward", "model", "whole", "kinds",
        ];
        assert!(known.contains(&name.as_str()), "unknown member {name}: {record}");
    }
    let field = record["field"].as_str().unwrap().to_owned();
    let base = record["base"].as_str().unwrap_or("minimal");
    let base = bases.get(base).unwrap_or_else(|| panic!("no base {base}"));
    let (request, without, value) = match (record.get("value"), record.get("request")) {
        (Some(value), None) => {
            let request = path::with(base, &field, value)
                .unwrap_or_else(|| panic!("{field} has no place in the base: {record}"));
            (request, base.clone(), value.clone())
        }
        (None, Some(members)) => {
            let request = over(&minimal(dialect), members);
            let mut without = request.clone();
            path::remove(&mut without, &path::steps(&field));
            let found = path::values(&request, &path::steps(&field));
            let value = found.first().copied().cloned().unwrap_or(Value::Null);
            (request, without, value)
        }
        _ => panic!("a value or a request: {record}"),
    };
    assert_ne!(request, without, "the request does not hold the field: {record}");
    let model = record.get("model").map(|model| {
        let toward = record["toward"].as_str().and_then(Dialect::from_name).unwrap();
        (toward, model.as_str().unwrap().to_owned())
    });
    Entry {
        field,
        value,
        request,
        without,
        silent: record.get("silent").cloned().unwrap_or_default(),
        notes: record.get("notes").cloned().unwrap_or_default(),
        alike: Vec::new(),
        kinds: Vec::new(),
        model,
    }
}

fn over(request: &Value, members: &Value) -> Value {
    let mut request = request.clone();
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}
