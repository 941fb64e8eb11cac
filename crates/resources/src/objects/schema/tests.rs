use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::objects::Kind;

fn violation(schema: &Value, value: &Value) -> String {
    Schema::new(schema)
        .expect("the schema can be read")
        .check(value)
        .expect_err("the value does not fit")
}

fn refused(kind: Kind, value: &Value) -> String {
    checker(kind).check(value).expect_err("the object does not fit")
}

#[test]
fn violations_of_objects_read_as_in_apisix() {
    let a_route = |more: Value| {
        let mut route = json!({"uri": "/a", "plugins": {}});
        route
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        route
    };
    for (more, text) in [
        (
            json!({"uri": 1}),
            r#"property "uri" validation failed: wrong type: expected string, got number"#,
        ),
        (
            json!({"uri": ""}),
            r#"property "uri" validation failed: string too short, expected at least 1, got 0"#,
        ),
        (
            json!({"uris": "/a"}),
            r#"property "uris" validation failed: wrong type: expected array, got string"#,
        ),
        (
            json!({"uris": []}),
            r#"property "uris" validation failed: expect array to have at least 1 items"#,
        ),
        (
            json!({"uris": ["/a", "/a"]}),
            r#"property "uris" validation failed: expected unique items but items 1 and 2 are equal"#,
        ),
        (
            json!({"uris": ["/a"]}),
            "allOf 1 failed: value should match only one schema, but matches both schemas 1 and 2",
        ),
        (
            json!({"methods": ["get"]}),
            r#"property "methods" validation failed: failed to validate item 1: matches none of the enum values"#,
        ),
        (
            json!({"status": 2}),
            r#"property "status" validation failed: matches none of the enum values"#,
        ),
        (
            json!({"remote_addr": "127.0.0."}),
            r#"property "remote_addr" validation failed: object matches none of the required"#,
        ),
        (
            json!({"labels": {"env": ["production", "release"]}}),
            r#"property "labels" validation failed: failed to validate env (matching ".*"): wrong type: expected string, got table"#,
        ),
        (
            json!({"labels": "env"}),
            r#"property "labels" validation failed: wrong type: expected object, got string"#,
        ),
        (
            json!({"name": "a".repeat(257)}),
            r#"property "name" validation failed: string too long, expected at most 256, got 257"#,
        ),
        (
            json!({"name": null}),
            r#"property "name" validation failed: wrong type: expected string, got userdata"#,
        ),
        (
            json!({"plugin_config_id": "a b"}),
            r#"property "plugin_config_id" validation failed: object matches none of the required"#,
        ),
        (
            json!({"host": "a&b"}),
            r#"property "host" validation failed: failed to match pattern "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$" with "a&b""#,
        ),
        (
            json!({"timeout": {"connect": 0, "send": 1, "read": 1}}),
            r#"property "timeout" validation failed: property "connect" validation failed: expected 0 to be greater than 0"#,
        ),
        (
            json!({"script": "local x = 1"}),
            "value wasn't supposed to match schema",
        ),
        (
            json!({"invalid_property": "/a"}),
            "additional properties forbidden, found invalid_property",
        ),
    ] {
        assert_eq!(refused(Kind::Route, &a_route(more)), text);
    }
    assert_eq!(
        refused(Kind::Route, &json!({"plugins": {}})),
        "allOf 1 failed: value should match only one schema, but matches none"
    );
    assert!(
        refused(Kind::Route, &json!({"uri": "/a"})).starts_with(
            r#"object matches none of the required: ["plugins","uri"] or ["upstream","uri"] or ["upstream_id","uri"]"#
        )
    );
}

#[test]
fn violations_of_the_other_kinds_read_as_in_apisix() {
    let nodes = json!({"127.0.0.1:80": 1});
    let pem = "a".repeat(128);
    for (kind, value, text) in [
        (Kind::Consumer, json!({}), r#"property "username" is required"#),
        (
            Kind::GlobalRule,
            json!({"id": "1"}),
            r#"property "plugins" is required"#,
        ),
        (
            Kind::Credential,
            json!({"plugins": {"key-auth": {}, "basic-auth": {}}}),
            r#"property "plugins" validation failed: expect object to have at most 1 properties"#,
        ),
        (
            Kind::Upstream,
            json!({"nodes": {"127.0.0.1:80": -1}}),
            r#"property "nodes" validation failed: object matches none of the required"#,
        ),
        (
            Kind::Upstream,
            json!({"nodes": nodes, "retries": -1}),
            r#"property "retries" validation failed: expected -1 to be at least 0"#,
        ),
        (
            Kind::Upstream,
            json!({"type": "roundrobin"}),
            "value should match only one schema, but matches none",
        ),
        (
            Kind::Upstream,
            json!({"nodes": nodes, "checks": {"passive": {}}}),
            r#"property "checks" validation failed: object matches none of the required: ["active"] or ["active","passive"]"#,
        ),
        (
            Kind::Upstream,
            json!({"nodes": nodes, "checks": {"active": {}, "passive": {"unhealthy": {"http_statuses": [500, 600]}}}}),
            r#"property "checks" validation failed: property "passive" validation failed: property "unhealthy" validation failed: property "http_statuses" validation failed: failed to validate item 2: expected 600 to be at most 599"#,
        ),
        (
            Kind::Upstream,
            json!({"nodes": nodes, "checks": {"active": {"unhealthy": {"http_failures": 3.1}}}}),
            r#"property "checks" validation failed: property "active" validation failed: property "unhealthy" validation failed: property "http_failures" validation failed: wrong type: expected integer, got number"#,
        ),
        (
            Kind::Upstream,
            json!({"nodes": nodes, "tls": {"client_cert": pem, "client_key": pem, "client_cert_id": 1}}),
            r#"property "tls" validation failed: failed to validate dependent schema for "client_cert_id": value wasn't supposed to match schema"#,
        ),
        (
            Kind::Upstream,
            json!({"nodes": nodes, "tls": {"client_cert": pem}}),
            r#"property "tls" validation failed: failed to validate dependent schema for "client_cert": property "client_key" is required"#,
        ),
        (
            Kind::Ssl,
            json!({"sni": "a.com", "cert": pem, "key": pem, "certs": ["MIIEojCCAwqgAwIBAgIJAK253pMhg"]}),
            r#"property "certs" validation failed: failed to validate item 1: string too short, expected at least 128, got 29"#,
        ),
        (
            Kind::Ssl,
            json!({"cert": pem, "key": pem}),
            "then clause did not match",
        ),
        (
            Kind::Ssl,
            json!({"type": "client", "cert": pem}),
            "else clause did not match",
        ),
        (
            Kind::Ssl,
            json!({"sni": "a.com", "cert": pem, "key": pem, "ssl_protocols": ["TLSv1.4"]}),
            r#"property "ssl_protocols" validation failed: failed to validate item 1: matches none of the enum values"#,
        ),
    ] {
        assert_eq!(refused(kind, &value), text);
    }
}

#[test]
fn a_reference_to_a_secret_stands_for_any_text_but_for_nothing_else() {
    let schema = json!({"properties": {
        "short": {"type": "string", "maxLength": 3},
        "choice": {"anyOf": [{"type": "string", "pattern": "^[0-9]+$"}]},
        "count": {"type": "integer"},
    }});
    let schema = Schema::new(&schema).unwrap();
    for reference in ["$secret://vault/1/a/b", "$ENV://KEY", "$env://KEY"] {
        assert_eq!(
            schema.check(&json!({"short": reference, "choice": reference})),
            Ok(())
        );
    }
    assert_eq!(
        schema.check(&json!({"count": "$env://COUNT"})),
        Err(r#"property "count" validation failed: wrong type: expected integer, got string"#.to_owned())
    );
    assert!(schema.check(&json!({"short": "$other://x"})).is_err());
}

#[test]
fn each_keyword_has_its_text() {
    for (schema, value, text) in [
        (json!(false), json!(1), "expect false always"),
        (
            json!({"type": ["string", "boolean"]}),
            json!(null),
            "wrong type: expected one of string, boolean, got userdata",
        ),
        (
            json!({"minProperties": 1}),
            json!({}),
            "expect object to have at least 1 properties",
        ),
        (
            json!({"maxItems": 1}),
            json!([1, 2]),
            "expect array to have at most 1 items",
        ),
        (
            json!({"exclusiveMaximum": 2}),
            json!(2),
            "expected 2 to be smaller than 2",
        ),
        (
            json!({"multipleOf": 0.01}),
            json!(1.135),
            "expected 1.135 to be a multiple of 0.01",
        ),
        (json!({"const": 1}), json!(2), "failed to check const value"),
        (
            json!({"contains": {"type": "string"}}),
            json!([1]),
            "failed to check contains",
        ),
        (
            json!({"items": [{"type": "string"}], "additionalItems": false}),
            json!(["a", 1]),
            "found unexpected extra items in array",
        ),
        (
            json!({"additionalProperties": {"type": "string"}}),
            json!({"a": 1}),
            "failed to validate additional property a: wrong type: expected string, got number",
        ),
        (
            json!({"dependencies": {"a": ["b"]}}),
            json!({"a": 1}),
            r#"property "b" is required when "a" is set"#,
        ),
        (
            json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}),
            json!(1),
            "value should match only one schema, but matches both schemas 1 and 2",
        ),
        (
            json!({"uniqueItems": true}),
            json!([{"a": 1}, "x", {"a": 1.0}]),
            "expected unique items but items 1 and 3 are equal",
        ),
        (
            json!({"type": "string", "format": "ipv4"}),
            json!("1.2.3"),
            "expect valid ipv4 format but got: 1.2.3",
        ),
        (
            json!({"properties": {"a": {"$ref": "#/definitions/short"}}, "definitions": {"short": {"maxLength": 1}}}),
            json!({"a": "ab"}),
            r#"property "a" validation failed: string too long, expected at most 1, got 2"#,
        ),
    ] {
        assert_eq!(violation(&schema, &value), text, "{schema}");
    }
}

#[test]
fn a_property_comes_before_one_that_is_unknown_and_both_before_choices() {
    let schema = json!({
        "properties": {"b": {"type": "string"}, "a": {"type": "string"}},
        "required": ["z"],
        "additionalProperties": false,
        "anyOf": [{"required": ["y"]}],
    });
    assert!(violation(&schema, &json!({"b": 1, "x": 1})).starts_with("property \"b\" validation failed"));
    assert_eq!(violation(&schema, &json!({"x": 1})), "property \"z\" is required");
    assert_eq!(
        violation(&schema, &json!({"x": 1, "z": 1})),
        "additional properties forbidden, found x"
    );
}

#[test]
fn a_schema_that_cannot_be_read_says_which_part() {
    let error = Schema::new(&json!({"properties": {"a": {"pattern": "("}}}))
        .err()
        .unwrap();
    assert!(error.starts_with("pattern \"(\": "), "{error}");
    assert!(Schema::new(&json!({"items": 1})).is_err());
    assert!(Schema::new(&json!({"$ref": "http://example.com/a"})).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        prop_oneof![Just(0.5), Just(1.0), Just(-2.0)].prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_schema() -> impl Strategy<Value = Value> {
    let types = prop_oneof![
        Just("object"),
        Just("array"),
        Just("string"),
        Just("number"),
        Just("integer"),
        Just("boolean"),
        Just("null")
    ];
    let leaf = prop_oneof![
        Just(json!({})),
        any::<bool>().prop_map(Value::from),
        types.prop_map(|name| json!({"type": name})),
        (-2_i64..2).prop_map(|limit| json!({"minimum": limit, "exclusiveMaximum": limit + 2})),
        (0_u64..3).prop_map(|limit| json!({"minLength": limit, "maxLength": limit + 1})),
        (0_u64..3).prop_map(|limit| json!({"maxItems": limit, "minProperties": limit, "uniqueItems": true})),
        prop::collection::vec(any_json(), 1..3).prop_map(|values| json!({"enum": values})),
        prop::collection::vec("[a-c]", 1..2).prop_map(|names| json!({"required": names})),
        Just(json!({"pattern": "^[ab]+$", "multipleOf": 2})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..3);
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone()
                .prop_map(|(a, b)| json!({"properties": {"a": a}, "additionalProperties": b})),
            pair.clone()
                .prop_map(|(a, b)| json!({"patternProperties": {"^[ab]": a}, "dependencies": {"c": b}})),
            list.clone()
                .prop_map(|items| json!({"items": items, "additionalItems": false})),
            inner.clone().prop_map(|item| json!({"items": item})),
            inner.clone().prop_map(|item| json!({"contains": item})),
            inner.clone().prop_map(|schema| json!({"not": schema})),
            list.clone().prop_map(|branches| json!({"anyOf": branches})),
            list.clone().prop_map(|branches| json!({"oneOf": branches})),
            list.prop_map(|branches| json!({"allOf": branches})),
            (inner, pair)
                .prop_map(|(test, (then, otherwise))| json!({"if": test, "then": then, "else": otherwise})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Which values fit is not ours to say: an independent validator agrees.
    #[test]
    fn what_fits_is_what_draft_07_says(schema in any_schema(), value in any_json()) {
        let reference = jsonschema::draft7::new(&schema).unwrap();
        let ours = Schema::new(&schema).unwrap();
        let verdict = ours.check(&value);
        prop_assert_eq!(verdict.is_ok(), reference.is_valid(&value), "{:?}", verdict);
    }
}
