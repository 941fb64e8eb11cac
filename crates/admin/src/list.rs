//! Lists of objects: filters and pages.

use std::sync::Arc;

use http::StatusCode;
use regex::Regex;
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, Object};

use crate::answer::Answer;
use crate::errors::Refusal;
use crate::query::Query;

/// How many objects a page may have.
const PAGE_SIZES: std::ops::RangeInclusive<f64> = 10.0..=500.0;

/// The answer to a request for a collection: what passes the filters, one page of it or everything.
pub(crate) fn list(kind: Kind, mut objects: Vec<Arc<Object>>, query: &Query) -> Result<Answer, Refusal> {
    let filter = Filter::new(kind, query)?;
    objects.retain(|object| filter.passes(&object.value));
    objects.sort_by_key(|object| object.created_index);
    let total = objects.len();
    let shown: Vec<Value> = page(query)?
        .slice(&objects)
        .iter()
        .map(|object| one(object))
        .collect();
    Ok(Answer::json(
        StatusCode::OK,
        json!({"total": total, "list": shown}),
    ))
}

/// An object as it is read: its key, value and revisions.
pub(crate) fn one(object: &Object) -> Value {
    json!({
        "key": object.key.path(),
        "value": shown(object),
        "createdIndex": object.created_index,
        "modifiedIndex": object.modified_index,
    })
}

/// The value of an object without private keys of certificates, which are never told.
pub(crate) fn shown(object: &Object) -> Map<String, Value> {
    let mut value = object.value.clone();
    if object.key.kind == Kind::Ssl {
        value.remove("key");
        value.remove("keys");
    }
    value
}

/// The value of an object as its writer is told: the private keys of certificates are there, but not shown.
pub(crate) fn written(object: &Object) -> Map<String, Value> {
    let mut value = object.value.clone();
    if object.key.kind == Kind::Ssl {
        if let Some(key) = value.get_mut("key") {
            *key = HIDDEN.into();
        }
        if let Some(Value::Array(keys)) = value.get_mut("keys") {
            keys.fill(HIDDEN.into());
        }
    }
    value
}

const HIDDEN: &str = "***";

enum Page {
    Everything,
    Part { first: usize, size: usize },
}

impl Page {
    fn slice<'o>(&self, objects: &'o [Arc<Object>]) -> &'o [Arc<Object>] {
        match *self {
            Page::Everything => objects,
            Page::Part { first, size } => {
                let rest = objects.get(first..).unwrap_or_default();
                rest.get(..size).unwrap_or(rest)
            }
        }
    }
}

/// Both parameters are needed for a page; a number that is none counts as absent.
fn page(query: &Query) -> Result<Page, Refusal> {
    let number = |name| {
        query
            .first(name)
            .and_then(|value| value.parse::<f64>().ok())
            .filter(|number| number.is_finite())
    };
    let (Some(page), Some(size)) = (number("page"), number("page_size")) else {
        return Ok(Page::Everything);
    };
    if !PAGE_SIZES.contains(&size) {
        return Err(Refusal::Plain("page_size must be between 10 and 500"));
    }
    // Both are small positive numbers here; fractions are cut off.
    let size = size as usize;
    let page = page.clamp(1.0, 1e9) as usize;
    Ok(Page::Part {
        first: (page - 1).saturating_mul(size),
        size,
    })
}

/// What an object must be like to be in the list.
struct Filter<'q> {
    name: Option<Regex>,
    label: Option<&'q str>,
    uri: Option<Regex>,
    fields: Vec<(&'static str, String)>,
}

impl<'q> Filter<'q> {
    fn new(kind: Kind, query: &'q Query) -> Result<Filter<'q>, Refusal> {
        let pattern = |name: &str| match query.first(name) {
            None => Ok(None),
            Some(pattern) => Regex::new(pattern).map(Some).map_err(|_| {
                Refusal::Invalid(format!("invalid argument {name}: should be a regular expression"))
            }),
        };
        let fields = match (kind, query.first("filter")) {
            (Kind::Route | Kind::StreamRoute, Some(filter)) => fields(&Query::parse(filter)),
            _ => Vec::new(),
        };
        Ok(Filter {
            name: pattern("name")?,
            label: query.first("label"),
            uri: pattern("uri")?,
            fields,
        })
    }

    fn passes(&self, value: &Map<String, Value>) -> bool {
        let text = |field| value.get(field).and_then(Value::as_str);
        if let Some(name) = &self.name
            && !text("name").is_some_and(|text| name.is_match(text))
        {
            return false;
        }
        if let Some(label) = self.label
            && value
                .get("labels")
                .is_none_or(|labels| labels.get(label).is_none())
        {
            return false;
        }
        if let Some(uri) = &self.uri {
            let uris = value.get("uris").and_then(Value::as_array);
            let mut all = text("uri")
                .into_iter()
                .chain(uris.into_iter().flatten().filter_map(Value::as_str));
            if !all.any(|text| uri.is_match(text)) {
                return false;
            }
        }
        self.fields.iter().all(|(field, wanted)| match value.get(*field) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Number(number)) => number.to_string() == *wanted,
            _ => false,
        })
    }
}

/// The fields that a filter names. Fields that cannot be filtered by are ignored; of several values the last counts.
fn fields(filter: &Query) -> Vec<(&'static str, String)> {
    ["service_id", "upstream_id"]
        .into_iter()
        .filter_map(|field| {
            let (_, value) = filter.iter().rev().find(|(name, _)| *name == field)?;
            Some((field, value.to_owned()))
        })
        .collect()
}
