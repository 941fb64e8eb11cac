//! APISIX's standalone file, `apisix.yaml` or `apisix.json`: all objects of a gateway in one document.
//!
//! This module finds the objects and their keys. Whether an object is valid, and whether what it refers to is there, is
//! decided where objects of the Admin API are checked too.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::Env;
use super::bootstrap::undefined;
use super::variables::{self, Typing};
use super::view::View;
use crate::mistake::Mistake;
use crate::model::StandaloneFormat;
use crate::objects::{Kind, ObjectKey};
use crate::report::{Report, quote, syntax_mistake};
use crate::tree::{Node, Path, Value, parse_json, parse_yaml};

/// What `apisix.yaml` ends with, so that a file which is still being written is not taken.
const END: &str = "#END";

/// The marker has to be within this many last bytes.
const END_WITHIN: usize = 10;

/// What stands between a username and the id of its credential.
const CREDENTIALS: &str = "/credentials/";

/// Where APISIX's admin API counts changes; means nothing in a file.
const VERSION_SUFFIX: &str = "_conf_version";

/// The objects of a standalone file. They may hold secrets in clear, so it has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Standalone {
    /// Keys and values, in the order of the file. A value is as it was written; one without an id is known by its key only.
    pub objects: Vec<(ObjectKey, Map<String, Json>)>,
    /// Names of the plugins that may be used, when the file lists them; instead of those of the bootstrap file.
    pub plugins: Option<Vec<String>>,
    /// What its author should know, one sentence each. To be shown when the file is taken.
    pub notes: Vec<String>,
}

/// Lowers the text of a standalone file. `file` is what mistakes call it; `env` looks up environment variables.
///
/// # Errors
/// All mistakes of the file, in the order of its lines. A file without its end marker is refused without being read.
pub fn lower_standalone(
    file: &str,
    text: &str,
    format: StandaloneFormat,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Standalone, Vec<Mistake>> {
    let tree = match format {
        StandaloneFormat::Yaml => from_yaml(file, text, env)?,
        StandaloneFormat::Json => {
            let tree = parse_json(text).map_err(|error| vec![syntax_mistake(file, error)])?;
            variables::in_tree(tree, Typing::Inferred, env).map_err(|all| undefined(file, all))?
        }
    };
    let mut report = Report::new(file, tree);
    // Taken out for reading; the report keeps the lines.
    let tree = report.tree.clone();
    let mut reading = Reading {
        objects: Vec::new(),
        taken: HashMap::new(),
        report: &mut report,
    };
    let plugins = reading.file(&tree);
    let objects = reading.objects;
    let ((objects, plugins), notes) = report.finish((objects, plugins))?;
    Ok(Standalone {
        objects,
        plugins,
        notes,
    })
}

/// Whether a text ends with the marker of a complete file.
pub(super) fn has_end_marker(text: &str) -> bool {
    let trimmed = text.trim_end_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    trimmed.ends_with(END) && text.len() - trimmed.len() + END.len() <= END_WITHIN
}

fn from_yaml(file: &str, text: &str, env: Env<'_>) -> Result<Node, Vec<Mistake>> {
    if !has_end_marker(text) {
        return Err(vec![Mistake {
            file: file.to_owned(),
            line: None,
            path: String::new(),
            text: format!(
                "missing valid end flag: the last line must be `{END}`, within the last {END_WITHIN} bytes of the file"
            ),
        }]);
    }
    let replaced = variables::in_text(text, env).map_err(|all| undefined(file, all))?;
    let mut tree = parse_yaml(&replaced.text).map_err(|mut error| {
        error.line = error.line.map(|line| replaced.line(line));
        vec![syntax_mistake(file, error)]
    })?;
    restore_lines(&mut tree, &replaced);
    Ok(tree)
}

/// A variable may hold several lines. Mistakes speak of the lines of the file.
fn restore_lines(node: &mut Node, replaced: &variables::Replaced) {
    node.line = replaced.line(node.line);
    match &mut node.value {
        Value::List(items) => {
            for item in items {
                restore_lines(&mut item.node, replaced);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                entry.line = replaced.line(entry.line);
                restore_lines(&mut entry.node, replaced);
            }
        }
        _ => {}
    }
}

struct Reading<'r> {
    objects: Vec<(ObjectKey, Map<String, Json>)>,
    /// Where each key was seen.
    taken: HashMap<ObjectKey, Path>,
    report: &'r mut Report,
}

impl Reading<'_> {
    /// Reads the objects, and gives the list of plugins when there is one.
    fn file(&mut self, tree: &Node) -> Option<Vec<String>> {
        let root = View::root(tree);
        if !matches!(tree.value, Value::Map(_) | Value::Null) {
            root.wrong("a map", self.report);
        }
        let mut plugins = None;
        for key in root.keys() {
            let Some(list) = root.get(key) else { continue };
            if let Some(kind) = Kind::of_collection(key) {
                self.list(kind, key, tree, &list);
            } else if key == "plugins" {
                plugins = self.plugins(&list);
            } else if !key.ends_with(VERSION_SUFFIX) {
                self.report.note(format!("ignored: {}", quote(key)));
            }
        }
        plugins
    }

    fn list(&mut self, kind: Kind, key: &str, tree: &Node, list: &View<'_>) {
        if !list.is_list() {
            list.wrong("a list", self.report);
            return;
        }
        let items = tree.get(key).map(Node::items).unwrap_or_default();
        for item in items {
            let path = list.path.index(item.index);
            self.item(kind, item.index, path, &item.node);
        }
    }

    fn item(&mut self, kind: Kind, index: usize, path: Path, node: &Node) {
        let Value::Map(_) = &node.value else {
            self.report.mistake(&path, "expected an object");
            return;
        };
        let value = to_object(node);
        match key(kind, index, &value) {
            Err((field, text)) => self.report.mistake(&path.key(field), text),
            Ok(key) => match self.taken.get(&key) {
                Some(first) => {
                    let text = format!(
                        "the {} `{}` is in the file twice, first as {first}",
                        key.kind,
                        quote(&key.id)
                    );
                    self.report.mistake(&path, text);
                }
                None => {
                    self.taken.insert(key.clone(), path);
                    self.objects.push((key, value));
                }
            },
        }
    }

    /// Names, or objects with a name. Plugins for TCP streams mean nothing here.
    fn plugins(&mut self, list: &View<'_>) -> Option<Vec<String>> {
        if !list.is_list() {
            list.wrong("a list", self.report);
            return None;
        }
        let mut names = Vec::new();
        for item in list.items() {
            if !item.is_map() {
                names.extend(item.as_text(self.report).map(str::to_owned));
                continue;
            }
            if item.bool("stream", self.report) == Some(true) {
                continue;
            }
            match item.get("name") {
                Some(name) => names.extend(name.as_text(self.report).map(str::to_owned)),
                None => self.report.mistake(&item.path.key("name"), "missing"),
            }
        }
        Some(names)
    }
}

/// The key of an object, or the field that is wrong and why.
fn key(kind: Kind, index: usize, value: &Map<String, Json>) -> Result<ObjectKey, (&'static str, String)> {
    let id = id_of(value, "id")?;
    if kind != Kind::Consumer {
        return Ok(ObjectKey::new(kind, id.unwrap_or_else(|| generated_id(index))));
    }
    if let Some(id) = &id
        && let Some((username, short)) = id.split_once(CREDENTIALS)
    {
        if username.is_empty() || short.is_empty() || username.contains('/') || short.contains('/') {
            return Err((
                "id",
                format!("`{}` is not of the form `<username>{CREDENTIALS}<id>`", quote(id)),
            ));
        }
        return Ok(ObjectKey::credential(username, short));
    }
    let username = id_of(value, "username")?;
    Ok(ObjectKey::new(
        kind,
        username.or(id).unwrap_or_else(|| generated_id(index)),
    ))
}

/// The id of an item that has none, counted from 1 as in APISIX.
fn generated_id(index: usize) -> String {
    format!("arr_{}", index.saturating_add(1))
}

fn id_of(value: &Map<String, Json>, field: &'static str) -> Result<Option<String>, (&'static str, String)> {
    match value.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(id)) if id.is_empty() => Err((field, "must not be empty".to_owned())),
        Some(Json::String(id)) => Ok(Some(id.clone())),
        Some(Json::Number(id)) if id.is_u64() => Ok(Some(id.to_string())),
        Some(_) => Err((field, "must be text or a whole number".to_owned())),
    }
}

/// The value as JSON.
fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Unsigned(number) => Json::from(*number),
        Value::Signed(number) => Json::from(*number),
        // Both parsers refuse what is not finite.
        Value::Float(number) => Json::from(*number),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => items.iter().map(|item| to_json(&item.node)).collect(),
        Value::Map(_) => Json::Object(to_object(node)),
    }
}

/// The entries of a map as JSON.
fn to_object(node: &Node) -> Map<String, Json> {
    let Value::Map(entries) = &node.value else {
        return Map::new();
    };
    entries
        .iter()
        .map(|entry| (entry.key.clone(), to_json(&entry.node)))
        .collect()
}
