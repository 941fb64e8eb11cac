//! What is told about plugins: their names, schemas and priorities.

use std::cmp::Reverse;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::errors::Refusal;
use crate::query::Query;
use crate::registry::Registry;

/// `GET /plugins/list`: names, by priority, highest first.
pub(crate) fn names(registry: &Registry, query: &Query) -> Result<Answer, Refusal> {
    let stream = match query.first("subsystem").unwrap_or("http") {
        "http" => false,
        "stream" => true,
        _ => return Err(Refusal::Plain("invalid subsystem passed")),
    };
    let mut plugins: Vec<_> = registry.all(stream).collect();
    plugins.sort_by_key(|plugin| (Reverse(plugin.priority), plugin.name));
    let names: Vec<Value> = plugins.into_iter().map(|plugin| plugin.name.into()).collect();
    Ok(Answer::json(StatusCode::OK, names))
}

/// `GET /plugins/{name}`, `GET /schema/plugins/{name}` and `GET /plugins?all=true`.
pub(crate) fn describe(registry: &Registry, name: Option<&str>, query: &Query) -> Result<Answer, Refusal> {
    let subsystem = query.first("subsystem").unwrap_or("http");
    let stream = match subsystem {
        "http" => false,
        "stream" => true,
        other => return Err(Refusal::Invalid(format!("unsupported subsystem: {other}"))),
    };
    if query.first("all") == Some("true") {
        let all: Map<String, Value> = registry
            .all(stream)
            .map(|plugin| (plugin.name.to_owned(), plugin.describe()))
            .collect();
        return Ok(Answer::json(StatusCode::OK, all));
    }
    let plugin = name
        .and_then(|name| registry.find(name, stream))
        .ok_or_else(|| Refusal::Missing(format!("plugin not found in subsystem {subsystem}")))?;
    let schema = match query.first("schema_type") {
        Some("consumer") => plugin
            .consumer_schema()
            .ok_or_else(|| Refusal::Invalid("not found schema".to_owned()))?,
        _ => plugin.schema(),
    };
    Ok(Answer::json(StatusCode::OK, schema.clone()))
}
