//! Configurations of loggers as APISIX judges them, and what reaches files.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_resources::objects::schema::Schema;

use super::super::testing::plugin_with;
use super::super::{SchemaType, SharedState, Spec, find};

fn spec(name: &str) -> &'static Spec {
    find(name).unwrap()
}

fn verdict(name: &str, kind: SchemaType, conf: &Value) -> Result<(), String> {
    let schema = (spec(name).schema)(kind).unwrap();
    Schema::new(&schema).unwrap().check(conf)?;
    (spec(name).check)(conf, kind)
}

#[test]
fn priorities_are_apisix_own() {
    let priority = |name| spec(name).priority;
    assert_eq!(
        [
            priority("http-logger"),
            priority("kafka-logger"),
            priority("file-logger")
        ],
        [410, 403, 399]
    );
}

#[test]
fn configurations_are_judged_as_in_apisix() {
    use SchemaType::{Metadata, Route};
    let brokers = json!([{"host": "127.0.0.1", "port": 9092}]);
    let none = "value should match only one schema, but matches none";
    for (name, kind, conf, expected) in [
        (
            "kafka-logger",
            Route,
            json!({"kafka_topic": "t", "key": "k", "broker_list": {"127.0.0.1": 3}}),
            Ok(()),
        ),
        ("kafka-logger", Route, json!({"kafka_topic": "t"}), Err(none)),
        ("kafka-logger", Route, json!({"brokers": brokers}), Err(none)),
        (
            "kafka-logger",
            Route,
            json!({"brokers": brokers, "kafka_topic": "t", "timeout": "10"}),
            Err("property \"timeout\" validation failed: wrong type: expected integer, got string"),
        ),
        (
            "kafka-logger",
            Route,
            json!({"brokers": brokers, "kafka_topic": "t", "api_version": 3}),
            Err("property \"api_version\" validation failed: matches none of the enum values"),
        ),
        (
            "kafka-logger",
            Route,
            json!({"brokers": brokers, "kafka_topic": "t", "api_version": 2, "required_acks": -1}),
            Ok(()),
        ),
        (
            "kafka-logger",
            Route,
            json!({"brokers": brokers, "kafka_topic": "t", "required_acks": 0}),
            Err("property \"required_acks\" validation failed: matches none of the enum values"),
        ),
        (
            "kafka-logger",
            Route,
            json!({"brokers": [{"host": "127.0.0.1", "port": 9093, "sasl_config": {"mechanism": "INVALID", "user": "a", "password": "b"}}], "kafka_topic": "t"}),
            Err(
                "property \"brokers\" validation failed: failed to validate item 1: property \"sasl_config\" validation failed: property \"mechanism\" validation failed: matches none of the enum values",
            ),
        ),
        (
            "kafka-logger",
            Metadata,
            json!({"max_pending_entries": 0}),
            Err("property \"max_pending_entries\" validation failed: expected 0 to be at least 1"),
        ),
        (
            "http-logger",
            Route,
            json!({}),
            Err("property \"uri\" is required"),
        ),
        (
            "http-logger",
            Route,
            json!({"uri": "http://127.0.0.1:1982/hello", "concat_method": "new_line", "batch_max_size": 1}),
            Ok(()),
        ),
        (
            "file-logger",
            Route,
            json!({"path": "a.log", "match": [[["arg_name", "==", "jack"]]]}),
            Ok(()),
        ),
        (
            "file-logger",
            Metadata,
            json!({"path": "a.log", "log_format": {"a": "$host"}}),
            Ok(()),
        ),
    ] {
        let expected = expected.map_err(str::to_owned);
        assert_eq!(verdict(name, kind, &conf), expected, "{name} {conf}");
    }
}

#[test]
fn expressions_that_cannot_be_read_are_refused() {
    let conf = |field: &str| json!({"path": "a", "uri": "http://a", field: [["request_length", "<*>", 1]]});
    for field in ["include_req_body_expr", "include_resp_body_expr"] {
        for name in ["file-logger", "http-logger"] {
            let refused = verdict(name, SchemaType::Route, &conf(field)).unwrap_err();
            let begin = format!("failed to validate the '{field}' expression: ");
            assert!(refused.starts_with(&begin), "{refused}");
        }
    }
}

#[test]
fn a_logger_wants_what_it_tells_and_nothing_more() {
    let folder = tempfile();
    let path = folder.join("a.log");
    let wants = |conf: Value| {
        let state = SharedState::default();
        let mut conf = conf;
        conf["path"] = json!(path);
        let plugin = plugin_with(spec("file-logger"), &conf, None, false, &state);
        plugin.logger().unwrap().wants()
    };
    let plain = wants(json!({}));
    assert_eq!((plain.request_body, plain.response_body), (0, 0));
    assert!(plain.response_headers);
    let both = wants(json!({"include_req_body": true, "include_resp_body": true, "max_req_body_bytes": 10}));
    assert_eq!((both.request_body, both.response_body), (10, 512 * 1024));
    let format = wants(json!({"log_format": {"b": {"c": "$request_body"}}}));
    assert_eq!(format.request_body, 512 * 1024);
    assert!(!format.response_headers);
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_file_is_named_by_the_configuration_else_by_the_metadata() {
    let folder = tempfile();
    let (own, shared) = (folder.join("own.log"), folder.join("shared.log"));
    let state = SharedState::default();
    let metadata = json!({"path": shared});
    for (conf, path) in [(json!({"path": own}), &own), (json!({}), &shared)] {
        let _plugin = plugin_with(spec("file-logger"), &conf, Some(&metadata), false, &state);
        let file = state.outlets().file(path, "file-logger").unwrap();
        file.append(b"line\n");
        assert!(file.flush(Duration::from_secs(10)));
        assert_eq!(fs::read_to_string(path).unwrap(), "line\n");
    }
    // Nobody is told, and nobody is refused for that.
    let plugin = plugin_with(spec("file-logger"), &json!({}), None, false, &state);
    assert!(plugin.logger().is_some());
    let _ = fs::remove_dir_all(folder);
}

fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("tollgate-loggers-{}", uuid::Uuid::now_v7()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
