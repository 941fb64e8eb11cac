//! `tollgate plan`: what a configuration would change, without changing anything.
//!
//! With a server its Admin API is asked, which knows what there is and what is right. Two files are compared here.

use std::io::Write;
use std::path::Path;

use http::Method;
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Difference, Kind, differences, hidden};

use crate::cli::{Failure, PlanArguments, Source};
use crate::sync;

/// Shows what would change.
///
/// # Errors
/// Mistakes in the files, or the server finds some; nothing can be read.
pub fn plan(arguments: &PlanArguments) -> Result<(), Failure> {
    let told = match (&arguments.config, &arguments.against) {
        (Some(config), Some(against)) => between(against, config)?,
        (Some(config), None) => {
            let admin = sync::admin(&arguments.files)?;
            ask(&admin, &json!({"document": document(config)?}))?
        }
        (None, _) => {
            let (admin, changes) = sync::planned(&arguments.files)?;
            ask(&admin, &json!({"changes": changes}))?
        }
    };
    let text = match arguments.json {
        true => format!("{told}\n"),
        false => text(&told),
    };
    // Whoever reads may stop reading, as `head` does.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let mistakes: Vec<String> = list(&told, "mistakes")
        .iter()
        .map(|mistake| format!("{}: {}", word(mistake, "path"), word(mistake, "text")))
        .collect();
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(Failure::all(mistakes)),
    }
}

fn ask(admin: &sync::Admin, body: &Value) -> Result<Value, Failure> {
    let answer = admin.call(&Method::POST, "/tollgate/v1/plan", Some(body))?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let message = answer
        .body
        .get("error")
        .and_then(|error| error.get("message")?.as_str());
    Err(Failure::new(match message {
        Some(message) => format!("the server answered {}: {message}", answer.status.as_u16()),
        None => format!("the server answered {}", answer.status.as_u16()),
    }))
}

/// The objects of a file, as the lists of a whole configuration.
fn document(config: &Path) -> Result<Value, Failure> {
    let loaded = source(config).load()?;
    if loaded.objects.is_empty() {
        return Err(Failure::new(format!(
            "{} describes no objects of an Admin API; compare it with another file: --against old.yaml",
            config.display()
        )));
    }
    let mut lists: Map<String, Value> = Map::new();
    for (key, mut value) in loaded.objects {
        let collection = match key.kind {
            Kind::Credential => Kind::Consumer.collection(),
            kind => kind.collection(),
        };
        if key.kind != Kind::Consumer {
            value.insert("id".to_owned(), key.id.into());
        }
        if let Some(list) = lists
            .entry(collection)
            .or_insert_with(|| json!([]))
            .as_array_mut()
        {
            list.push(value.into());
        }
    }
    Ok(lists.into())
}

fn source(config: &Path) -> Source {
    Source {
        config: Some(config.to_owned()),
        rbac: None,
    }
}

/// What differs from one file to another: by model and consumer, then the rest.
fn between(before: &Path, after: &Path) -> Result<Value, Failure> {
    let (before, after) = (parts(before)?, parts(after)?);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut changes = Vec::new();
    let (mut models, mut instances, mut consumers) = (Vec::new(), Vec::new(), 0);
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        let found = differences(was.and_then(Value::as_object), is.and_then(Value::as_object));
        if found.is_empty() {
            continue;
        }
        if let Some(model) = name.strip_prefix("models/") {
            models.push(model.to_owned());
            instances.extend(touched(model, was, is, &found));
        }
        consumers += usize::from(name.starts_with("consumers/"));
        let action = match (was, is) {
            (None, _) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        };
        let diff: Vec<Value> = found
            .into_iter()
            .map(|one| json!({"path": one.path, "from": one.from, "to": one.to}))
            .collect();
        changes.push(json!({"object": name, "action": action, "diff": diff}));
    }
    Ok(json!({
        "valid": true,
        "mistakes": [],
        "changes": changes,
        "affected": {"models": models, "instances": instances, "consumers": consumers},
    }))
}

/// A configuration in parts that have names.
fn parts(config: &Path) -> Result<Map<String, Value>, Failure> {
    let loaded = source(config).load()?;
    let mut parts = Map::new();
    for (key, value) in loaded.objects {
        parts.insert(format!("{}/{}", key.kind.collection(), key.id), value.into());
    }
    let resources = serde_json::to_value(&loaded.resources).map_err(Failure::new)?;
    let Value::Object(resources) = resources else {
        return Ok(parts);
    };
    for (section, value) in resources {
        match (section.as_str(), value) {
            ("routes", Value::Array(routes)) => {
                for mut route in routes {
                    let models = route
                        .pointer_mut("/plugins/ai-models/models")
                        .map(Value::take)
                        .unwrap_or_default();
                    for (model, value) in models.as_object().cloned().unwrap_or_default() {
                        parts.insert(format!("models/{model}"), value);
                    }
                    let id = word(&route, "id").to_owned();
                    parts.insert(format!("routes/{id}"), route);
                }
            }
            ("consumers", Value::Array(consumers)) => {
                for consumer in consumers {
                    let name = word(&consumer, "username").to_owned();
                    parts.insert(format!("consumers/{name}"), consumer);
                }
            }
            (_, value @ Value::Object(_)) => {
                parts.insert(section, value);
            }
            (_, value) => {
                parts.insert(section.clone(), json!({section: value}));
            }
        }
    }
    Ok(parts)
}

/// The instances of a model that differ.
fn touched(model: &str, was: Option<&Value>, is: Option<&Value>, found: &[Difference]) -> Vec<String> {
    let names = |model: Option<&Value>| -> Vec<String> {
        let instances = model.and_then(|model| model.get("instances")?.as_array());
        instances
            .into_iter()
            .flatten()
            .map(|instance| word(instance, "name").to_owned())
            .collect()
    };
    let (before, after) = (names(was), names(is));
    let mut touched: Vec<String> = Vec::new();
    for (index, name) in before.iter().enumerate().chain(after.iter().enumerate()) {
        let place = format!("instances[{index}]");
        let differs = found
            .iter()
            .any(|one| one.path.is_empty() || one.path.starts_with(&place) || one.path == "instances");
        let id = format!("{model}/{name}");
        if differs && !touched.contains(&id) {
            touched.push(id);
        }
    }
    touched
}

/// A plan for people.
fn text(told: &Value) -> String {
    let mut text = String::new();
    let changes = list(told, "changes");
    let mut counts = [0; 3];
    for change in changes {
        let (sign, place) = match word(change, "action") {
            "create" => ('+', 0),
            "delete" => ('-', 2),
            _ => ('~', 1),
        };
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
        text.push_str(&format!("{sign} {}\n", word(change, "object")));
        if sign == '~' {
            for one in list(change, "diff") {
                let side = |name: &str| match one.get(name) {
                    None | Some(Value::Null) => "nothing".to_owned(),
                    Some(value) => hidden(value).to_string(),
                };
                text.push_str(&format!(
                    "    {}: {} -> {}\n",
                    word(one, "path"),
                    side("from"),
                    side("to")
                ));
            }
        }
    }
    let [created, updated, deleted] = counts;
    if changes.is_empty() {
        text.push_str("nothing to change\n");
    } else {
        text.push_str(&format!(
            "{created} to create, {updated} to update, {deleted} to delete\n"
        ));
    }
    for warning in list(told, "warnings") {
        text.push_str(&format!("warning: {}\n", warning.as_str().unwrap_or_default()));
    }
    let affected = told.get("affected").unwrap_or(&Value::Null);
    if affected.get("every_call") == Some(&Value::Bool(true)) {
        text.push_str("affects every call\n");
    }
    for kind in ["models", "routes", "instances"] {
        let names: Vec<&str> = list(affected, kind).iter().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            text.push_str(&format!("affects {kind}: {}\n", names.join(", ")));
        }
    }
    if let Some(count) = affected
        .get("consumers")
        .and_then(Value::as_u64)
        .filter(|count| *count > 0)
    {
        text.push_str(&format!("affects consumers: {count}\n"));
    }
    text
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
