//! What a server has.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value};
use tollgate_resources::adc::normalised;
use tollgate_resources::objects::{Kind, ObjectKey};

use super::client::{Admin, Answer};
use super::path::object_path;
use crate::cli::Failure;

/// Objects in the form in which they are compared.
pub type Objects = BTreeMap<ObjectKey, Map<String, Value>>;

/// Kinds that ADC looks at, without credentials, which hang under their consumers.
const LISTED: [Kind; 9] = [
    Kind::Service,
    Kind::Route,
    Kind::Upstream,
    Kind::Ssl,
    Kind::Consumer,
    Kind::PluginConfig,
    Kind::GlobalRule,
    Kind::PluginMetadata,
    Kind::StreamRoute,
];

/// Reads everything that ADC looks at.
///
/// # Errors
/// The server does not answer, or not with a list.
pub fn read(admin: &Admin) -> Result<Objects, Failure> {
    let mut objects = Objects::new();
    for kind in LISTED {
        let path = format!("/apisix/admin/{}", kind.collection());
        let answer = admin.call(&Method::GET, &path, None)?;
        // A server without stream routes says so with an error.
        if kind == Kind::StreamRoute && answer.status.as_u16() >= 400 {
            continue;
        }
        for (id, value) in listed(&path, &answer)? {
            objects.insert(ObjectKey::new(kind, id), normalised(kind, value));
        }
    }
    let usernames: Vec<String> = objects
        .keys()
        .filter(|key| key.kind == Kind::Consumer)
        .map(|key| key.id.clone())
        .collect();
    for username in usernames {
        let consumer = object_path(&ObjectKey::new(Kind::Consumer, &username));
        let path = format!("{consumer}/credentials");
        let answer = admin.call(&Method::GET, &path, None)?;
        // A consumer without credentials, or a server that does not know them.
        if answer.status == StatusCode::NOT_FOUND {
            continue;
        }
        for (id, value) in listed(&path, &answer)? {
            let key = ObjectKey::credential(&username, &id);
            objects.insert(key, normalised(Kind::Credential, value));
        }
    }
    forget_empty_upstreams(&mut objects);
    Ok(objects)
}

/// An id and its value.
type Listed = (String, Map<String, Value>);

/// The values of a list by the last part of their keys.
fn listed(path: &str, answer: &Answer) -> Result<Vec<Listed>, Failure> {
    if !answer.status.is_success() {
        return Err(Failure::new(format!("GET {path} answered {}", answer.reason())));
    }
    let not_a_list = || {
        Failure::new(format!(
            "GET {path} did not answer with a list; is this an Admin API?"
        ))
    };
    let items = match answer.body.get("list") {
        Some(Value::Array(items)) => items.as_slice(),
        // An empty list of some encoders.
        Some(Value::Object(items)) if items.is_empty() => &[],
        _ => return Err(not_a_list()),
    };
    items
        .iter()
        .map(|item| {
            let key = item.get("key").and_then(Value::as_str)?;
            let id = key.rsplit('/').next()?;
            let value = item.get("value")?.as_object()?;
            Some((id.to_owned(), value.clone()))
        })
        .map(|item| item.ok_or_else(not_a_list))
        .collect()
}

/// The `adc` command line gives a service without an upstream an empty one, because it writes one in any case. Such a
/// service is one without an upstream.
fn forget_empty_upstreams(objects: &mut Objects) {
    let empty: Vec<String> = objects
        .iter()
        .filter(|(key, value)| key.kind == Kind::Upstream && is_empty(value))
        .map(|(key, _)| key.id.clone())
        .collect();
    for id in empty {
        if let Some(service) = objects.get_mut(&ObjectKey::new(Kind::Service, &id))
            && service.get("upstream_id").and_then(Value::as_str) == Some(&id)
        {
            service.remove("upstream_id");
        }
    }
}

/// Whether an upstream does not say where its servers are.
pub fn is_empty(upstream: &Map<String, Value>) -> bool {
    !upstream.contains_key("nodes") && !upstream.contains_key("service_name")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_with_an_empty_upstream_counts_as_one_without() {
        let object = |kind, id: &str, value: Value| {
            let value = value.as_object().cloned().unwrap();
            (ObjectKey::new(kind, id), value)
        };
        let mut objects = Objects::from([
            object(Kind::Service, "a", json!({"upstream_id": "a"})),
            object(Kind::Upstream, "a", json!({"name": "a"})),
            object(Kind::Service, "b", json!({"upstream_id": "b"})),
            object(Kind::Upstream, "b", json!({"nodes": []})),
        ]);
        forget_empty_upstreams(&mut objects);
        let service = |id| serde_json::to_string(&objects[&ObjectKey::new(Kind::Service, id)]).unwrap();
        assert_eq!(service("a"), "{}");
        assert_eq!(service("b"), r#"{"upstream_id":"b"}"#);
    }
}
