//! Whatever a file says, its objects written as a file say the same again.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Labels, lower_adc, normalised, to_adc_yaml};
use crate::objects::ObjectKey;

type Objects = Vec<(ObjectKey, Map<String, Value>)>;

#[track_caller]
fn lower(name: &str, text: &str) -> Objects {
    match lower_adc(name, text, &|_| None) {
        Ok(document) => document.objects(&Labels::default()),
        Err(mistakes) => panic!("{mistakes:#?}\n{text}"),
    }
}

/// In one order and one form.
fn ordered(objects: Objects) -> Objects {
    let mut objects: Objects = objects
        .into_iter()
        .map(|(key, value)| {
            let keys = value.get("key").cloned();
            let mut value = normalised(key.kind, value);
            if let Some(keys) = keys {
                value.insert("key".to_owned(), keys);
            }
            (key, value)
        })
        .collect();
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    objects
}

/// Texts as people and machines write them, with what YAML and variables could trip over.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "\\PC{1,12}",
        Just("${HOME}".to_owned()),
        Just("\\${HOME}".to_owned()),
        Just("off".to_owned()),
        Just("true".to_owned()),
        Just("1e3".to_owned()),
        Just("0x1F".to_owned()),
        Just("~".to_owned()),
        Just("a: b # c".to_owned()),
        Just("- x".to_owned()),
        Just(" two\nlines \n".to_owned()),
        Just("\ttab\r\n\u{7}".to_owned()),
        Just("2024-01-01".to_owned()),
        Just("<<".to_owned()),
    ]
}

fn conf() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|value: f64| json!(value)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn plugins() -> impl Strategy<Value = Value> {
    let one = prop::collection::btree_map(text(), conf(), 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()));
    prop::collection::btree_map("[a-z]{2,6}", one, 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn service() -> impl Strategy<Value = Value> {
    let route = (text(), plugins(), prop::option::of(-5_i64..1 << 40), text()).prop_map(
        |(name, plugins, priority, uri)| {
            let mut route = json!({"name": name, "uris": [uri], "methods": ["GET"], "plugins": plugins});
            if let Some(priority) = priority {
                route["priority"] = priority.into();
            }
            route
        },
    );
    (
        text(),
        text(),
        prop::option::of("[a-z]{1,5}"),
        prop::collection::vec(route, 0..3),
        any::<bool>(),
        0_u16..3,
    )
        .prop_map(|(name, description, id, routes, with_upstream, nodes)| {
            let mut service = json!({
                "name": name, "description": description, "routes": routes, "labels": {"a": name, "b": [description]},
            });
            if let Some(id) = id {
                service["id"] = id.into();
            }
            if with_upstream {
                let nodes: Vec<Value> = (0..nodes)
                    .map(|node| json!({"host": "h", "port": node + 1, "weight": node, "priority": node}))
                    .collect();
                service["upstream"] = json!({"nodes": nodes, "scheme": "https", "timeout": {"connect": 0.5, "send": 1, "read": 2}});
                service["upstreams"] = json!([{"name": name, "nodes": nodes, "checks": {"active": {"http_request_headers": ["a"]}}}]);
            }
            service
        })
}

proptest! {
    #[test]
    fn a_written_file_says_what_its_objects_say(
        services in prop::collection::vec(service(), 0..3),
        users in prop::collection::btree_map("[a-z_]{1,6}", (plugins(), text(), text()), 0..3),
        rules in plugins(),
        metadata in plugins(),
    ) {
        let consumers: Vec<Value> = users
            .into_iter()
            .map(|(username, (plugins, name, key))| json!({
                "username": username, "plugins": plugins,
                "credentials": [{"name": name, "type": "key-auth", "config": {"key": key}}],
            }))
            .collect();
        let ssls = json!([{"snis": ["a.example"], "certificates": [{"certificate": "c".repeat(128), "key": "$env://K"}]}]);
        let file = json!({
            "services": services, "consumers": consumers, "ssls": ssls, "global_rules": rules, "plugin_metadata": metadata,
        });
        // Names may collide, and texts that look like variables are mistakes here: neither is what this test is about.
        if let Ok(document) = lower_adc("adc.json", &file.to_string(), &|_| Some("value".to_owned())) {
            let before = document.objects(&Labels::default());
            let raised = to_adc_yaml(before.clone()).unwrap();
            prop_assert_eq!(&raised.notes, &Vec::<String>::new());
            let after = lower("adc.yaml", &raised.yaml);
            prop_assert!(ordered(after) == ordered(before), "{}", raised.yaml);
        }
    }
}

#[test]
fn what_a_file_cannot_say_is_told() {
    let objects = [
        ("routes", "1", json!({"uri": "/a", "plugins": {}})),
        ("services", "s", json!({"script": "x"})),
        (
            "routes",
            "2",
            json!({"uri": "/a", "service_id": "s", "upstream_id": "u", "status": 0}),
        ),
        ("routes", "3", json!({"uri": "/a", "service_id": "gone"})),
        ("ssls", "x", json!({"sni": "a", "cert": "c"})),
    ];
    let objects = objects.map(|(collection, id, value)| {
        let kind = crate::objects::Kind::of_collection(collection).unwrap();
        let Value::Object(value) = value else { panic!() };
        (ObjectKey::new(kind, id), value)
    });
    let raised = to_adc_yaml(objects).unwrap();
    assert_eq!(
        raised.notes,
        [
            "route 1: belongs to no service, which adc.yaml cannot say; left out",
            "route 2: adc.yaml has no place for these fields, left out: status, upstream_id",
            "service s: adc.yaml has no place for these fields, left out: script",
            "route 3: belongs to a service that is not there; left out",
            "ssl x: no server tells private keys; add `key` to each certificate before this file is used",
        ]
    );
}

#[test]
fn shared_plugins_are_written_into_the_routes_that_use_them() {
    let shared = json!({"plugins": {"cors": {}, "key-auth": {"a": 1}}});
    let route = json!({"uris": ["/a"], "name": "r", "service_id": "s", "plugin_config_id": "p", "plugins": {"key-auth": {"a": 2}}});
    let objects = [
        ("services", "s", json!({"name": "s"})),
        ("plugin_configs", "p", shared),
        ("routes", "r", route),
    ];
    let objects = objects.map(|(collection, id, value)| {
        let kind = crate::objects::Kind::of_collection(collection).unwrap();
        let Value::Object(value) = value else { panic!() };
        (ObjectKey::new(kind, id), value)
    });
    let raised = to_adc_yaml(objects).unwrap();
    let again = lower("adc.yaml", &raised.yaml);
    assert_eq!(
        again[1].1["plugins"],
        json!({"cors": {}, "key-auth": {"a": 2}}),
        "{}",
        raised.yaml
    );
}

#[test]
fn a_written_file_is_pleasant_to_read() {
    let text = "services: [{name: s, upstream: {nodes: [{host: h, port: 80, weight: 1}]}, routes: [{name: r, uris: [/a], plugins: {cors: {}}}]}]";
    let raised = to_adc_yaml(lower("adc.yaml", text)).unwrap();
    assert_eq!(
        raised.yaml,
        "services:\n- name: s\n  upstream:\n    nodes:\n    - host: h\n      port: 80\n      weight: 1\n  routes:\n  - name: r\n    uris:\n    - /a\n    plugins:\n      cors: {}\n"
    );
}
