use proptest::prelude::*;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

fn put(kind: Kind, id: Option<&str>, value: Value) -> Result<Accepted, String> {
    check(kind, Write::Put, id, object(value), Lua::Refuse).map_err(|refused| refused.to_string())
}

fn refusal(kind: Kind, value: Value) -> String {
    put(kind, Some("1"), value).expect_err("is refused")
}

fn a_route(more: Value) -> Value {
    let mut route = object(json!({"uri": "/a", "plugins": {}}));
    route.extend(object(more));
    Value::Object(route)
}

#[test]
fn the_id_comes_from_the_path_or_from_the_body() {
    let from_path = put(Kind::Route, Some("1"), a_route(json!({}))).unwrap();
    assert_eq!(from_path.id.as_deref(), Some("1"));
    assert_eq!(from_path.value["id"], "1");
    let from_body = put(Kind::Route, None, a_route(json!({"id": 1}))).unwrap();
    assert_eq!(from_body.id.as_deref(), Some("1"));
    assert_eq!(from_body.value["id"], 1);
    let both = put(Kind::Route, Some("1"), a_route(json!({"id": 1}))).unwrap();
    assert_eq!(both, from_path);
}

#[test]
fn wrong_ids_are_refused_as_in_apisix() {
    let route = || a_route(json!({}));
    let with_id = || a_route(json!({"id": 3}));
    assert_eq!(put(Kind::Route, None, route()).unwrap_err(), "missing route id");
    assert_eq!(
        put(Kind::Route, Some("1"), with_id()).unwrap_err(),
        "wrong route id"
    );
    assert_eq!(
        put(Kind::Credential, None, json!({})).unwrap_err(),
        "missing credential id"
    );
    assert_eq!(
        put(Kind::PluginMetadata, None, json!({})).unwrap_err(),
        "missing plugin name"
    );
    let post = |value| check(Kind::Service, Write::Post, None, object(value), Lua::Refuse);
    assert_eq!(post(json!({"id": 3})), Err(Refused::NeedlessId(Kind::Service)));
    assert_eq!(
        Refused::NeedlessId(Kind::Service).to_string(),
        "wrong service id, do not need it"
    );
    assert_eq!(post(json!({"hosts": ["a.com"]})).unwrap().id, None);
    assert_eq!(
        put(Kind::Route, None, a_route(json!({"id": "a b"}))).unwrap_err(),
        r#"invalid configuration: property "id" validation failed: object matches none of the required"#
    );
}

#[test]
fn neither_a_reference_to_a_secret_nor_a_huge_number_is_an_id() {
    for id in [json!("$env://ID"), json!("$secret://vault/1/a"), json!(1e300)] {
        assert_eq!(
            put(Kind::Route, None, a_route(json!({"id": id}))).unwrap_err(),
            r#"invalid configuration: property "id" validation failed: object matches none of the required"#
        );
    }
    assert!(put(Kind::Consumer, None, json!({"username": "$env://NAME"})).is_err());
    for id in ["vault/a/b", "vault", "vault/", "vault/a b"] {
        let vault = json!({"uri": "http://127.0.0.1:8200", "prefix": "kv", "token": "t"});
        assert!(put(Kind::Secret, Some(id), vault).is_err(), "{id}");
    }
}

#[test]
fn what_the_gateway_could_not_read_is_not_stored() {
    for name in ["nodes", "scheme", "pass_host", "hash_on"] {
        let mut upstream = object(json!({"nodes": {}}));
        upstream.insert(name.to_owned(), json!("$env://NAME"));
        let text = refusal(Kind::Upstream, Value::Object(upstream.clone()));
        assert!(text.starts_with("invalid configuration: "), "{name}: {text}");
        assert!(put(Kind::Route, Some("1"), a_route(json!({"upstream": upstream}))).is_err());
    }
}

#[test]
fn a_consumer_is_known_by_its_name() {
    let jack = || json!({"username": "jack"});
    let accepted = put(Kind::Consumer, None, jack()).unwrap();
    assert_eq!(accepted.id.as_deref(), Some("jack"));
    assert!(!accepted.value.contains_key("id"));
    assert!(put(Kind::Consumer, Some("jack"), jack()).is_ok());
    assert_eq!(
        put(Kind::Consumer, Some("jill"), jack()).unwrap_err(),
        "wrong username"
    );
    assert_eq!(
        put(Kind::Consumer, None, json!({})).unwrap_err(),
        r#"invalid configuration: property "username" is required"#
    );
}

#[test]
fn a_credential_has_a_short_id_in_a_path_and_a_long_one_in_a_document() {
    let short = put(
        Kind::Credential,
        Some("one"),
        json!({"plugins": {"key-auth": {"key": "k"}}}),
    )
    .unwrap();
    assert_eq!(short.id.as_deref(), Some("one"));
    let long = put(Kind::Credential, None, json!({"id": "jack/credentials/one"})).unwrap();
    assert_eq!(long.id.as_deref(), Some("jack/credentials/one"));
}

#[test]
fn a_secret_is_held_against_the_schema_of_its_manager() {
    let vault = json!({"uri": "http://127.0.0.1:8200", "prefix": "kv/apisix", "token": "root"});
    let accepted = put(Kind::Secret, Some("vault/test1"), vault.clone()).unwrap();
    assert_eq!(accepted.id.as_deref(), Some("vault/test1"));
    assert_eq!(
        put(Kind::Secret, Some("aws/test1"), vault.clone()).unwrap_err(),
        r#"invalid configuration: property "access_key_id" is required"#
    );
    assert_eq!(
        put(Kind::Secret, Some("etcd/test1"), vault).unwrap_err(),
        "invalid secret manager: etcd"
    );
    assert_eq!(
        put(Kind::Secret, Some("gcp/1"), json!({})).unwrap_err(),
        "invalid configuration: value should match only one schema, but matches none"
    );
}

#[test]
fn times_are_set_by_the_store_alone_except_in_a_patch() {
    for (more, text) in [
        (
            json!({"create_time": 1}),
            "the property is forbidden:  create_time",
        ),
        (
            json!({"update_time": 1}),
            "the property is forbidden:  update_time",
        ),
        (
            json!({"upstream": {"nodes": {}, "create_time": 1}}),
            "the property is forbidden:  upstream.create_time",
        ),
        (
            json!({"plugins": {"update_time": 1}}),
            "the property is forbidden:  plugins.update_time",
        ),
    ] {
        assert_eq!(refusal(Kind::Route, a_route(more)), text);
    }
    let patched = object(a_route(json!({"create_time": 1, "id": "1"})));
    assert!(check(Kind::Route, Write::Patch, Some("1"), patched, Lua::Refuse).is_ok());
}

#[test]
fn one_way_to_name_hosts_and_addresses_is_enough() {
    assert_eq!(
        refusal(Kind::Route, a_route(json!({"host": "a.com", "hosts": ["b.com"]}))),
        "only one of host or hosts is allowed"
    );
    assert_eq!(
        refusal(
            Kind::Route,
            a_route(json!({"remote_addr": "127.0.0.1", "remote_addrs": ["127.0.0.2"]}))
        ),
        "only one of remote_addr or remote_addrs is allowed"
    );
}

#[test]
fn upstreams_are_refused_as_in_apisix() {
    for (more, text) in [
        (json!({"nodes": {"127.0.0.1:65536": 1}}), "invalid port 65536"),
        (json!({"nodes": {"[::1]:0": 1}}), "invalid port 0"),
        (
            json!({"nodes": [{"host": "::1", "port": 80, "weight": 1}]}),
            "invalid configuration: IPv6 address must be enclosed with '[' and ']'",
        ),
        (
            json!({"pass_host": "rewrite"}),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (json!({"type": "chash"}), "missing key"),
        (json!({"type": "chash", "hash_on": "header"}), "missing key"),
        (
            json!({"type": "chash", "key": "not_support"}),
            r#"invalid configuration: failed to match pattern "^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$" with "not_support""#,
        ),
        (
            json!({"type": "chash", "hash_on": "header", "key": "$#^@abc"}),
            r#"invalid configuration: failed to match pattern "^[a-zA-Z0-9-_]+$" with "$#^@abc""#,
        ),
        (
            json!({"type": "chash", "hash_on": "aabbcc", "key": "dsadas"}),
            r#"invalid configuration: property "hash_on" validation failed: matches none of the enum values"#,
        ),
        (
            json!({"retry_timeout": -1}),
            r#"invalid configuration: property "retry_timeout" validation failed: expected -1 to be at least 0"#,
        ),
    ] {
        let mut upstream = object(json!({"nodes": {"127.0.0.1:80": 1}}));
        upstream.extend(object(more));
        assert_eq!(refusal(Kind::Upstream, Value::Object(upstream.clone())), text);
        if !text.starts_with("invalid configuration: property") {
            assert_eq!(refusal(Kind::Route, a_route(json!({"upstream": upstream}))), text);
            assert_eq!(refusal(Kind::Service, json!({"upstream": upstream})), text);
        }
    }
    for more in [
        json!({"nodes": {"127.0.0.1:1": 1, "[::1]:65535": 1, "::1": 1, "a.com": 1, "a:b": 1}}),
        json!({"nodes": [{"host": "[::1]", "port": 80, "weight": 1}, {"host": "a.com", "weight": 0}]}),
        json!({"nodes": {}, "type": "chash", "hash_on": "consumer"}),
        json!({"nodes": {}, "type": "chash", "hash_on": "vars_combinations", "key": "$host$uri"}),
        json!({"nodes": {}, "type": "chash", "key": "arg_device_id"}),
        json!({"nodes": {}, "pass_host": "rewrite", "upstream_host": "a.com"}),
    ] {
        assert_eq!(put(Kind::Upstream, Some("1"), more).map(|_| ()), Ok(()));
    }
}

#[test]
fn further_certificates_need_their_keys() {
    let pem = "a".repeat(128);
    let ssl = |more: Value| {
        let mut ssl = object(json!({"sni": "a.com", "cert": pem, "key": pem}));
        ssl.extend(object(more));
        put(Kind::Ssl, Some("1"), Value::Object(ssl)).map(|_| ())
    };
    assert_eq!(ssl(json!({"certs": [pem], "keys": [pem]})), Ok(()));
    assert_eq!(
        ssl(json!({"certs": [pem]})).unwrap_err(),
        "mismatched number of certs and keys"
    );
}

#[test]
fn lua_is_refused_because_it_would_not_run() {
    let with = |text: &str| a_route(json!({"filter_func": text}));
    assert_eq!(
        refusal(Kind::Route, with("function(vars) ")),
        "failed to load 'filter_func' string: [string \"return function(vars) \"]:1: 'end' expected near '<eof>'"
    );
    let whole = "function(vars) return vars['arg_name'] == 'json' end";
    assert_eq!(
        refusal(Kind::Route, with(whole)),
        "failed to load 'filter_func' string: this gateway does not run Lua; express the condition with 'vars'"
    );
    let kept = |text: &str| check(Kind::Route, Write::Put, Some("1"), object(with(text)), Lua::Keep);
    assert!(kept(whole).is_ok());
    assert!(kept("function(vars) ").is_err());
    let script = json!({"uri": "/a", "script": "local _M = {} return _M"});
    assert_eq!(
        refusal(Kind::Route, script),
        "failed to load 'script' string: this gateway does not run Lua; use 'plugins'"
    );
}

#[test]
fn what_is_stored_is_what_was_sent_but_for_the_writing_of_whole_numbers() {
    let sent = a_route(json!({
        "priority": 1.0, "desc": "", "timeout": {"connect": 0.5, "send": 6e0, "read": 6},
        "plugins": {"limit-count": {"count": [2.0, 2.5, 1e300]}},
    }));
    let accepted = put(Kind::Route, Some("1"), sent).unwrap();
    assert_eq!(
        serde_json::to_string(&accepted.value).unwrap(),
        concat!(
            r#"{"desc":"","id":"1","plugins":{"limit-count":{"count":[2,2.5,1e+300]}},"priority":1,"#,
            r#""timeout":{"connect":0.5,"read":6,"send":6},"uri":"/a"}"#
        )
    );
}

#[test]
fn plugin_metadata_carries_the_name_of_its_plugin() {
    let accepted = put(
        Kind::PluginMetadata,
        Some("http-logger"),
        json!({"log_format": {"host": "$host"}}),
    )
    .unwrap();
    assert_eq!(accepted.id.as_deref(), Some("http-logger"));
    assert_eq!(accepted.value["id"], "http-logger");
}

proptest! {
    #[test]
    fn an_accepted_object_is_accepted_again_and_does_not_change(
        id in "[a-zA-Z0-9._-]{1,10}", priority in any::<i32>(), timeout in 0.001_f64..1e6, weight in 0_u32..10,
    ) {
        let route = a_route(json!({
            "priority": priority,
            "timeout": {"connect": timeout, "send": timeout.ceil(), "read": 1},
            "upstream": {"nodes": {"a.com:80": f64::from(weight)}},
        }));
        let once = put(Kind::Route, Some(&id), route).unwrap();
        let again = put(Kind::Route, Some(&id), Value::Object(once.value.clone())).unwrap();
        prop_assert_eq!(&once, &again);
        let read = serde_json::from_value::<Route>(Value::Object(again.value));
        prop_assert!(read.is_ok());
    }
}
