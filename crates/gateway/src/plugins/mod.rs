//! The plugins of APISIX's routes: one file each, with its configuration type, its checks and what it does.
//!
//! Adding one is its file and its line in [`PLUGINS`]. A plugin works in two phases, both before the call is answered:
//! `rewrite` finds out who calls, `access` decides whether and how the call goes on. Within a phase plugins run by
//! priority, highest first. What has to be set on the answer is put into [`Call::answer_headers`] in either phase.

mod ai_health;
mod ai_proxy;
mod ai_proxy_multi;
mod ai_rate_limiting;
mod at_end;
pub mod auth;
pub(crate) mod basic_auth;
mod call;
pub(crate) mod call_variables;
mod consumer_restriction;
mod cors;
mod fault_injection;
mod hash_key;
mod ip_restriction;
pub(crate) mod jwt_auth;
mod key_auth;
mod limit_conn;
mod limit_count;
mod limit_req;
mod limits;
mod loggers;
mod prometheus;
mod proxy_rewrite;
pub(crate) mod query;
mod redirect;
mod request_id;
mod spec;
mod substitution;
#[cfg(test)]
pub(crate) mod testing;
mod uri_blocker;
pub mod variables;

pub use ai_proxy::{AiInstance, AiPlugin};
pub(crate) use ai_rate_limiting::Refusal;
pub use ai_rate_limiting::{CallLimits, TokenLimits, Used};
pub use at_end::{AtEnd, Ended, EndedAttempt};
pub use call::{Attached, Call, Flow, Key, Later, Reply, ReplyBody};
pub use call_variables::CallVariables;
pub use hash_key::HashKey;
pub use jwt_auth::{JwtClaims, Verifier};
pub use limits::redis_observer;
pub(crate) use loggers::webhook;
pub use loggers::{Post, logger};
pub(crate) use query::remove as remove_argument;
pub use spec::{Digest, Made, Plugin, SchemaType, Scope, Setup, SharedState, Spec, Unusable};

/// All plugins the gateway knows, in any order.
pub static PLUGINS: &[&Spec] = &[
    &ai_proxy::SPEC,
    &ai_proxy_multi::SPEC,
    &ai_rate_limiting::SPEC,
    &basic_auth::SPEC,
    &consumer_restriction::SPEC,
    &cors::SPEC,
    &fault_injection::SPEC,
    &loggers::file::SPEC,
    &loggers::http::SPEC,
    &loggers::kafka::SPEC,
    &ip_restriction::SPEC,
    &jwt_auth::SPEC,
    &key_auth::SPEC,
    &limit_conn::SPEC,
    &limit_count::SPEC,
    &limit_req::SPEC,
    &prometheus::SPEC,
    &proxy_rewrite::SPEC,
    &redirect::SPEC,
    &request_id::SPEC,
    &uri_blocker::SPEC,
];

/// The plugins that may be used: all of them, or those among `names`.
pub fn enabled(names: Option<&[String]>) -> Vec<&'static Spec> {
    PLUGINS
        .iter()
        .copied()
        .filter(|spec| names.is_none_or(|names| names.iter().any(|name| name == spec.name)))
        .collect()
}

/// The plugin of a name.
pub fn find(name: &str) -> Option<&'static Spec> {
    PLUGINS.iter().copied().find(|spec| spec.name == name)
}

/// The schema of a configuration that is written in an older shape of its plugin; `None` for one in today's.
pub fn older_schema(name: &str, conf: &serde_json::Value) -> Option<serde_json::Value> {
    (name == ai_proxy::SPEC.name && crate::ai::config::is_legacy(conf)).then(crate::ai::config::legacy_schema)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tollgate_resources::objects::schema::Schema;

    use super::*;

    fn verdict(plugin: &str, kind: SchemaType, conf: &Value) -> Result<(), String> {
        let schema = (find(plugin).unwrap().schema)(kind).unwrap();
        Schema::new(&schema).unwrap().check(conf)
    }

    #[test]
    fn every_schema_can_be_read() {
        for spec in PLUGINS {
            for kind in [SchemaType::Route, SchemaType::Consumer, SchemaType::Metadata] {
                if let Some(schema) = (spec.schema)(kind) {
                    assert!(Schema::new(&schema).is_ok(), "{} {kind:?}", spec.name);
                }
            }
        }
    }

    #[test]
    fn configurations_as_documented_fit_their_schemas_and_checks() {
        use SchemaType::{Consumer, Metadata, Route};
        for (plugin, kind, conf) in [
            ("key-auth", Route, json!({})),
            ("key-auth", Consumer, json!({"key": "jack-key", "unknown": 1})),
            (
                "basic-auth",
                Route,
                json!({"realm": "a realm!", "hide_credentials": true}),
            ),
            (
                "basic-auth",
                Consumer,
                json!({"username": "foo", "password": "bar"}),
            ),
            ("jwt-auth", Route, json!({"claims_to_verify": ["exp", "nbf"]})),
            (
                "jwt-auth",
                Consumer,
                json!({"key": "k", "secret": "s", "exp": 60}),
            ),
            (
                "consumer-restriction",
                Route,
                json!({"allowed_by_methods": [{"user": "a", "methods": ["GET"]}]}),
            ),
            (
                "ip-restriction",
                Route,
                json!({"whitelist": ["127.0.0.1", "fe80::/10"]}),
            ),
            (
                "cors",
                Route,
                json!({"allow_origins": "http://a.com,http://b.com:90", "max_age": -1}),
            ),
            (
                "cors",
                Metadata,
                json!({"allow_origins": {"one": "http://a.com"}}),
            ),
            (
                "request-id",
                Route,
                json!({"algorithm": "range_id", "range_id": {"length": 8}}),
            ),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": "$http_w", "_meta": {}}),
            ),
            (
                "limit-count",
                Route,
                json!({"rules": [{"count": 1, "time_window": 1, "key": "$uri"}]}),
            ),
            ("limit-count", Metadata, json!({"limit_header": "X-L"})),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1"}),
            ),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": 60, "policy": "redis-cluster", "redis_cluster_name": "c",
                    "redis_cluster_nodes": ["127.0.0.1:5000", "127.0.0.1:5001"]}),
            ),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": 60, "policy": "redis-sentinel", "redis_master_name": "m",
                    "redis_sentinels": [{"host": "127.0.0.1", "port": 26379}], "sentinel_password": "s"}),
            ),
            (
                "limit-conn",
                Route,
                json!({"conn": 100, "burst": 50, "default_conn_delay": 0.1, "key": "remote_addr"}),
            ),
            (
                "limit-conn",
                Route,
                json!({"default_conn_delay": 0.1, "policy": "redis", "redis_host": "127.0.0.1", "key_ttl": 60,
                    "rules": [{"conn": "$http_c", "burst": 0, "key": "$uri"}]}),
            ),
            (
                "limit-req",
                Route,
                json!({"rate": 0.5, "burst": 0, "key": "remote_addr"}),
            ),
            (
                "fault-injection",
                Route,
                json!({"abort": {"http_status": 200, "vars": [[["a", "==", 1]]]}}),
            ),
            (
                "proxy-rewrite",
                Route,
                json!({"headers": {"set": {"a": ["1", 2]}, "remove": ["b"]}}),
            ),
            ("proxy-rewrite", Route, json!({"headers": {"X-A": 1}})),
            ("redirect", Route, json!({"regex_uri": ["^/a", "/b"]})),
            ("uri-blocker", Route, json!({"block_rules": ["a"]})),
        ] {
            assert_eq!(verdict(plugin, kind, &conf), Ok(()), "{plugin} {conf}");
            assert_eq!(
                (find(plugin).unwrap().check)(&conf, kind),
                Ok(()),
                "{plugin} {conf}"
            );
        }
    }

    #[test]
    fn configurations_that_are_wrong_do_not_fit() {
        use SchemaType::{Consumer, Route};
        for (plugin, kind, conf) in [
            ("key-auth", Route, json!({"header": 1})),
            ("key-auth", Route, json!({"anonymous_consumer": null})),
            ("key-auth", Route, json!({"realm": "a\"b"})),
            ("key-auth", Route, json!({"realm": "a\\b"})),
            ("key-auth", Consumer, json!({})),
            ("basic-auth", Consumer, json!({"username": "foo"})),
            ("jwt-auth", Route, json!({"claims_to_verify": ["iss"]})),
            (
                "jwt-auth",
                Consumer,
                json!({"key": "k", "secret": "s", "algorithm": "none"}),
            ),
            ("consumer-restriction", Route, json!({})),
            ("consumer-restriction", Route, json!({"whitelist": []})),
            (
                "ip-restriction",
                Route,
                json!({"whitelist": ["::1"], "blacklist": ["::1"]}),
            ),
            (
                "ip-restriction",
                Route,
                json!({"whitelist": ["::1"], "response_code": 405}),
            ),
            ("cors", Route, json!({"allow_origins": "a.com"})),
            ("request-id", Route, json!({"algorithm": "snowflake"})),
            ("limit-count", Route, json!({"time_window": 60})),
            ("limit-count", Route, json!({"count": 0, "time_window": 60})),
            ("limit-count", Route, json!({"count": -100, "time_window": 60})),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": 60, "policy": "redis"}),
            ),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1", "redis_timeout": 0}),
            ),
            (
                "limit-count",
                Route,
                json!({"count": 2, "time_window": 60, "policy": "redis-cluster", "redis_cluster_nodes": ["a:1"]}),
            ),
            (
                "limit-conn",
                Route,
                json!({"conn": 1, "burst": 0, "key": "remote_addr"}),
            ),
            (
                "limit-conn",
                Route,
                json!({"conn": 0, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"}),
            ),
            (
                "limit-conn",
                Route,
                json!({"conn": 1, "burst": -1, "default_conn_delay": 0.1, "key": "remote_addr"}),
            ),
            (
                "limit-conn",
                Route,
                json!({"conn": 1, "burst": 0, "default_conn_delay": 0, "key": "remote_addr"}),
            ),
            (
                "limit-req",
                Route,
                json!({"rate": 0, "burst": 0, "key": "remote_addr"}),
            ),
            (
                "limit-req",
                Route,
                json!({"rate": 1, "burst": -1, "key": "remote_addr"}),
            ),
            ("fault-injection", Route, json!({})),
            (
                "fault-injection",
                Route,
                json!({"abort": {"http_status": 200, "percentage": 101}}),
            ),
            ("proxy-rewrite", Route, json!({"uri": "no-slash"})),
            ("redirect", Route, json!({"uri": "/a", "http_to_https": true})),
            ("uri-blocker", Route, json!({"block_rules": ["a", "a"]})),
        ] {
            assert!(verdict(plugin, kind, &conf).is_err(), "{plugin} {conf}");
        }
    }
}
