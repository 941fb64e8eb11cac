//! Objects in one form, so that those of a file and those of a server can be compared.

use serde_json::{Map, Value, json};

use crate::objects::Kind;

/// An object without what makes no difference: times, its id, the second way to write a field (`uri` beside `uris`),
/// fields that have the value they would have anyway, and private keys of certificates, which no server shows.
pub fn normalised(kind: Kind, mut value: Map<String, Value>) -> Map<String, Value> {
    for field in ["id", "create_time", "update_time"] {
        value.remove(field);
    }
    match kind {
        Kind::Route => {
            one_to_many(&mut value, "uri", "uris");
            one_to_many(&mut value, "host", "hosts");
            one_to_many(&mut value, "remote_addr", "remote_addrs");
            without(&mut value, "priority", &json!(0));
            without(&mut value, "status", &json!(1));
            without(&mut value, "enable_websocket", &json!(false));
        }
        Kind::Service => without(&mut value, "enable_websocket", &json!(false)),
        Kind::Upstream => upstream(&mut value),
        Kind::Ssl => {
            one_to_many(&mut value, "sni", "snis");
            without(&mut value, "status", &json!(1));
            without(&mut value, "type", &json!("server"));
            for secret in ["key", "keys", "validity_start", "validity_end"] {
                value.remove(secret);
            }
        }
        _ => {}
    }
    if kind != Kind::PluginMetadata {
        without(&mut value, "labels", &json!({}));
        without(&mut value, "desc", &json!(""));
        if kind != Kind::GlobalRule {
            without(&mut value, "plugins", &json!({}));
        }
    }
    value
}

/// Whether two values mean the same: as equality, but `1` and `1.0` are one number.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn upstream(value: &mut Map<String, Value>) {
    let default_port = match value.get("scheme").and_then(Value::as_str) {
        Some("https" | "grpcs") => 443,
        _ => 80,
    };
    without(value, "type", &json!("roundrobin"));
    without(value, "scheme", &json!("http"));
    without(value, "pass_host", &json!("pass"));
    without(value, "hash_on", &json!("vars"));
    if let Some(Value::Object(nodes)) = value.get("nodes") {
        let list = nodes
            .iter()
            .map(|(address, weight)| {
                let (host, port) = host_and_port(address, default_port);
                json!({"host": host, "port": port, "weight": weight})
            })
            .collect();
        value.insert("nodes".to_owned(), Value::Array(list));
    }
    for node in value
        .get_mut("nodes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        without(node, "priority", &json!(0));
        node.entry("port").or_insert_with(|| default_port.into());
    }
}

fn host_and_port(address: &str, default_port: u16) -> (&str, u16) {
    match address.rsplit_once(':') {
        // More colons without brackets are an IPv6 address.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().unwrap_or(default_port))
        }
        _ => (address, default_port),
    }
}

/// Moves the value of `one` into the list `many`.
fn one_to_many(value: &mut Map<String, Value>, one: &str, many: &str) {
    if let Some(single) = value.remove(one) {
        value.entry(many).or_insert_with(|| Value::Array(vec![single]));
    }
}

/// Takes a field out that has this value.
fn without(value: &mut Map<String, Value>, field: &str, default: &Value) {
    if value.get(field).is_some_and(|found| same(found, default)) {
        value.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(kind: Kind, value: Value) -> Value {
        let Value::Object(value) = value else {
            panic!("an object")
        };
        normalised(kind, value).into()
    }

    #[test]
    fn both_ways_to_write_a_route_are_one() {
        assert_eq!(
            normal(
                Kind::Route,
                json!({"id": "r", "uri": "/a", "host": "h", "remote_addr": "10.0.0.1", "status": 1, "priority": 0,
                    "create_time": 1, "update_time": 2, "labels": {}, "plugins": {}})
            ),
            json!({"uris": ["/a"], "hosts": ["h"], "remote_addrs": ["10.0.0.1"]})
        );
        assert_eq!(
            normal(Kind::Route, json!({"uri": "/a", "status": 0}))["status"],
            0
        );
    }

    #[test]
    fn both_ways_to_write_nodes_are_one() {
        let listed = json!({"scheme": "https", "nodes": [
            {"host": "[::1]", "port": 8080, "weight": 2}, {"host": "a", "port": 443, "weight": 1, "priority": 0},
        ]});
        let mapped = json!({"scheme": "https", "type": "roundrobin", "nodes": {"a": 1, "[::1]:8080": 2}});
        assert_eq!(normal(Kind::Upstream, listed), normal(Kind::Upstream, mapped));
    }

    #[test]
    fn private_keys_are_not_compared() {
        assert_eq!(
            normal(
                Kind::Ssl,
                json!({"sni": "a", "cert": "c", "key": "k", "certs": ["d"], "keys": ["l"]})
            ),
            json!({"snis": ["a"], "cert": "c", "certs": ["d"]})
        );
    }

    #[test]
    fn settings_of_a_plugin_may_be_called_anything() {
        assert_eq!(
            normal(Kind::PluginMetadata, json!({"id": "x", "labels": {}, "desc": ""})),
            json!({"labels": {}, "desc": ""})
        );
    }

    #[test]
    fn numbers_are_compared_by_value() {
        assert!(same(&json!({"a": [1, 2.0]}), &json!({"a": [1.0, 2]})));
        assert!(!same(&json!(1), &json!(1.5)));
        assert!(!same(
            &json!(9_007_199_254_740_993_u64),
            &json!(9_007_199_254_740_992_u64)
        ));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
    }
}
