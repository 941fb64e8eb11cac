//! Plugins of APISIX that are known by their schemas only.
//!
//! In strict mode tools that ask for them get an answer and configurations that use them are kept, so that a configuration
//! can move here before everything in it works. They do nothing, and a write that uses one says so.

use serde_json::{Value, json};

/// A plugin that is known by its schema only.
pub(crate) struct Foreign {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it is one for streams.
    pub(crate) stream: bool,
    /// APISIX's priority.
    pub(crate) priority: i32,
    /// Its version.
    pub(crate) version: f64,
    /// The schema of its configuration.
    pub(crate) schema: Value,
    /// The schema of its metadata.
    pub(crate) metadata: Option<Value>,
}

/// All of them.
pub(crate) fn all() -> Vec<Foreign> {
    vec![
        http("serverless-pre-function", 10_000, functions()),
        http("limit-req", 1001, limit_req()),
        http("grpc-transcode", 506, grpc_transcode()),
        Foreign {
            metadata: Some(log_metadata()),
            ..http("udp-logger", 400, udp_logger())
        },
        Foreign {
            metadata: Some(json!({
                "type": "object",
                "properties": {"ikey": {"type": "number", "minimum": 0}, "skey": {"type": "string"}},
                "required": ["ikey", "skey"],
            })),
            ..http("example-plugin", 0, example())
        },
        http("serverless-post-function", -2000, functions()),
        Foreign {
            stream: true,
            ..http("limit-conn", 1003, stream_limit_conn())
        },
    ]
}

fn http(name: &'static str, priority: i32, schema: Value) -> Foreign {
    Foreign {
        name,
        stream: false,
        priority,
        version: 0.1,
        schema,
        metadata: None,
    }
}

fn functions() -> Value {
    json!({
        "type": "object",
        "properties": {
            "phase": {
                "type": "string",
                "default": "access",
                "enum": ["rewrite", "access", "header_filter", "body_filter", "log", "before_proxy"],
            },
            "functions": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        },
        "required": ["functions"],
    })
}

fn limit_req() -> Value {
    json!({
        "type": "object",
        "properties": {
            "rate": {"type": "number", "exclusiveMinimum": 0},
            "burst": {"type": "number", "minimum": 0},
            "key": {"type": "string"},
            "key_type": {"type": "string", "enum": ["var", "var_combination"], "default": "var"},
            "policy": {"type": "string", "enum": ["redis", "redis-cluster", "local"], "default": "local"},
            "rejected_code": {"type": "integer", "minimum": 200, "maximum": 599, "default": 503},
            "rejected_msg": {"type": "string", "minLength": 1},
            "nodelay": {"type": "boolean", "default": false},
            "allow_degradation": {"type": "boolean", "default": false},
        },
        "required": ["rate", "burst", "key"],
        "encrypt_fields": ["redis_password"],
    })
}

fn grpc_transcode() -> Value {
    json!({
        "type": "object",
        "properties": {
            "proto_id": {
                "anyOf": [
                    {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$"},
                    {"type": "integer", "minimum": 1},
                ],
            },
            "service": {"type": "string", "description": "the gRPC service"},
            "method": {"type": "string", "description": "the method of the service"},
            "deadline": {"type": "number", "default": 0, "description": "time limit in milliseconds"},
            "pb_option": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "string",
                    "anyOf": [
                        {"enum": ["enum_as_name", "enum_as_value"]},
                        {"enum": ["int64_as_number", "int64_as_string", "int64_as_hexstring"]},
                        {"enum": [
                            "auto_default_values",
                            "no_default_values",
                            "use_default_values",
                            "use_default_metatable",
                        ]},
                        {"enum": ["enable_hooks", "disable_hooks"]},
                    ],
                },
                "default": ["enum_as_name", "int64_as_number", "auto_default_values", "disable_hooks"],
            },
            "show_status_in_body": {"type": "boolean", "default": false},
            "status_detail_type": {"type": "string"},
            "max_resp_body_size": {"type": "integer", "minimum": 1, "default": 67_108_864},
        },
        "additionalProperties": true,
        "required": ["proto_id", "service", "method"],
    })
}

/// What all plugins have that send their logs in batches.
fn logger(own: Value, required: &[&str]) -> Value {
    let mut properties = json!({
        "timeout": {"type": "integer", "minimum": 1, "default": 3},
        "log_format": {"type": "object"},
        "log_format_extra": {"type": "object"},
        "include_req_body": {"type": "boolean", "default": false},
        "include_req_body_expr": {"type": "array", "minItems": 1, "items": {"type": "array"}},
        "include_resp_body": {"type": "boolean", "default": false},
        "include_resp_body_expr": {"type": "array", "minItems": 1, "items": {"type": "array"}},
        "max_req_body_bytes": {"type": "integer", "minimum": 1, "default": 524_288},
        "max_resp_body_bytes": {"type": "integer", "minimum": 1, "default": 524_288},
        "name": {"type": "string", "default": "log buffer"},
        "max_retry_count": {"type": "integer", "minimum": 0, "default": 0},
        "retry_delay": {"type": "integer", "minimum": 0, "default": 1},
        "buffer_duration": {"type": "integer", "minimum": 1, "default": 60},
        "inactive_timeout": {"type": "integer", "minimum": 1, "default": 5},
        "batch_max_size": {"type": "integer", "minimum": 1, "default": 1000},
    });
    if let (Some(properties), Value::Object(own)) = (properties.as_object_mut(), own) {
        properties.extend(own);
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn udp_logger() -> Value {
    logger(
        json!({"host": {"type": "string"}, "port": {"type": "integer", "minimum": 0}}),
        &["host", "port"],
    )
}

fn log_metadata() -> Value {
    json!({
        "type": "object",
        "properties": {
            "log_format": {"type": "object"},
            "log_format_extra": {"type": "object"},
            "max_pending_entries": {"type": "integer", "minimum": 1},
        },
    })
}

fn example() -> Value {
    json!({
        "type": "object",
        "properties": {
            "i": {"type": "number", "minimum": 0},
            "s": {"type": "string"},
            "t": {"type": "array", "minItems": 1},
            "ip": {"type": "string"},
            "port": {"type": "integer"},
        },
        "required": ["i"],
    })
}

fn stream_limit_conn() -> Value {
    json!({
        "type": "object",
        "properties": {
            "conn": {"type": "integer", "exclusiveMinimum": 0},
            "burst": {"type": "integer", "minimum": 0},
            "default_conn_delay": {"type": "number", "exclusiveMinimum": 0},
            "only_use_default_delay": {"type": "boolean", "default": false},
            "key": {"type": "string"},
            "key_type": {"type": "string", "enum": ["var", "var_combination"], "default": "var"},
        },
        "required": ["conn", "burst", "default_conn_delay", "key"],
    })
}
