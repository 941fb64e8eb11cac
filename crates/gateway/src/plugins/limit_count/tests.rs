use serde_json::json;

use super::super::SharedState;
use super::super::testing::{Caller, passed, plugin, plugin_with, reply, told};
use super::*;

/// Limit, remaining and reset as the caller is told.
fn quota(caller: &Caller) -> Option<(&str, &str, &str)> {
    Some((
        caller.answered("x-ratelimit-limit")?,
        caller.answered("x-ratelimit-remaining")?,
        caller.answered("x-ratelimit-reset")?,
    ))
}

#[test]
fn calls_above_the_count_are_refused_until_the_window_ends() {
    let plugin = plugin(&SPEC, &json!({"count": 2, "time_window": 60}));
    let mut caller = Caller::get("/");
    assert!(passed(&caller.access(&plugin)));
    assert_eq!(quota(&caller), Some(("2", "1", "60")));
    caller.later(1500);
    assert!(passed(&caller.access(&plugin)));
    assert_eq!(quota(&caller), Some(("2", "0", "58.5")));
    caller.later(250);
    let refused = reply(caller.access(&plugin));
    assert_eq!(quota(&caller), Some(("2", "0", "58.25")));
    assert_eq!(refused.headers["retry-after"], "59");
    assert_eq!(told(refused.into()), (503, String::new()));
    caller.later(58_250);
    assert!(passed(&caller.access(&plugin)));
    assert_eq!(quota(&caller), Some(("2", "1", "60")));
}

#[test]
fn the_refusal_can_be_worded_and_headers_switched_off() {
    let conf = json!({
        "count": 1, "time_window": 1, "rejected_code": 429, "rejected_msg": "slow down",
        "show_limit_quota_header": false,
    });
    let plugin = plugin(&SPEC, &conf);
    let mut caller = Caller::get("/");
    assert!(passed(&caller.access(&plugin)));
    let answer = told(caller.access(&plugin));
    assert_eq!(answer, (429, r#"{"error_msg":"slow down"}"#.to_owned()));
    assert_eq!(quota(&caller), None);
}

#[test]
fn apisix_to_the_letter_tells_no_retry_after() {
    let conf = json!({"count": 1, "time_window": 60});
    let plugin = plugin_with(&SPEC, &conf, None, true, &SharedState::default());
    let mut caller = Caller::get("/");
    assert!(passed(&caller.access(&plugin)));
    assert!(!reply(caller.access(&plugin)).headers.contains_key("retry-after"));
}

#[test]
fn keys_count_apart() {
    for (conf, other) in [
        (json!({}), Caller::get("/").from("203.0.113.8")),
        (
            json!({"key": "http_x_user"}),
            Caller::get("/").header("x-user", "b"),
        ),
        (
            json!({"key": "$remote_addr $http_x_user", "key_type": "var_combination"}),
            Caller::get("/").header("x-user", "b"),
        ),
        (
            json!({"key": "consumer_name"}),
            Caller::get("/").consumer("bob", None).attached("bob"),
        ),
    ] {
        let mut conf = conf;
        conf["count"] = json!(1);
        conf["time_window"] = json!(60);
        let plugin = plugin(&SPEC, &conf);
        let (mut first, mut other) = (Caller::get("/"), other);
        assert!(passed(&first.access(&plugin)));
        assert!(passed(&other.access(&plugin)), "{conf}");
        assert!(!passed(&first.access(&plugin)));
        assert!(!passed(&other.access(&plugin)));
    }
    let constant = json!({"count": 1, "time_window": 60, "key": "all", "key_type": "constant"});
    let plugin = plugin(&SPEC, &constant);
    assert!(passed(&Caller::get("/").access(&plugin)));
    assert!(!passed(&Caller::get("/").from("203.0.113.8").access(&plugin)));
}

#[test]
fn counts_outlive_a_configuration_that_says_the_same() {
    let state = SharedState::default();
    let with = |conf: &Value| plugin_with(&SPEC, conf, None, false, &state);
    let before = with(&json!({"count": 1, "time_window": 60}));
    assert!(passed(&Caller::get("/").access(&before)));
    let same = with(&json!({"time_window": 60, "count": 1, "_meta": {"priority": 3}}));
    assert!(!passed(&Caller::get("/").access(&same)));
    let changed = with(&json!({"count": 1, "time_window": 61}));
    assert!(passed(&Caller::get("/").access(&changed)));
}

#[test]
fn routes_of_a_group_count_together() {
    let state = SharedState::default();
    let conf = json!({"count": 1, "time_window": 60, "group": "g"});
    let other = |owner| {
        let setup = Setup {
            owner,
            strict: false,
            metadata: None,
            state: &state,
        };
        (SPEC.setup)(&conf, &setup).unwrap_or_else(|error| panic!("{error}"))
    };
    assert!(passed(&Caller::get("/").access(&other("route/1"))));
    assert!(!passed(&Caller::get("/").access(&other("route/2"))));
}

#[test]
fn limits_can_come_from_variables() {
    let conf =
        json!({"count": "$http_x_count", "time_window": "${http_x_window ?? 60}", "rejected_code": 429});
    let status = |conf: &Value, count: &str| {
        let mut caller = Caller::get("/").header("x-count", count);
        match caller.access(&plugin(&SPEC, conf)) {
            Flow::Answer(reply) => reply.status.as_u16(),
            _ => 200,
        }
    };
    assert_eq!(status(&conf, "2"), 200);
    for unclear in ["0", "-1", "1.5", "x", ""] {
        assert_eq!(status(&conf, unclear), 500, "{unclear}");
    }
    let mut degrading = conf;
    degrading["allow_degradation"] = json!(true);
    assert_eq!(status(&degrading, "x"), 200);
}

#[test]
fn all_rules_that_apply_must_hold() {
    let conf = json!({"rejected_code": 429, "rules": [
        {"count": 2, "time_window": 10, "key": "$http_user"},
        {"count": 1, "time_window": 60, "key": "$http_team", "header_prefix": "Team"},
    ]});
    let plugin = plugin(&SPEC, &conf);
    let mut alone = Caller::get("/").header("user", "a");
    assert!(passed(&alone.access(&plugin)));
    assert_eq!(alone.answered("x-1-ratelimit-remaining"), Some("1"));
    assert_eq!(alone.answered("x-team-ratelimit-limit"), None);

    // The same text as key of another rule is another key.
    let mut team = Caller::get("/").header("team", "a");
    assert!(passed(&team.access(&plugin)));
    assert_eq!(team.answered("x-team-ratelimit-remaining"), Some("0"));
    assert_eq!(told(team.access(&plugin)).0, 429);

    assert!(passed(&alone.access(&plugin)));
    assert_eq!(told(alone.access(&plugin)).0, 429);
    assert_eq!(told(Caller::get("/").access(&plugin)).0, 500);
}

#[test]
fn a_sliding_window_remembers_the_one_before() {
    let plugin = plugin(
        &SPEC,
        &json!({"count": 2, "time_window": 10, "window_type": "sliding"}),
    );
    let mut caller = Caller::get("/");
    assert!(passed(&caller.access(&plugin)));
    assert!(passed(&caller.access(&plugin)));
    caller.later(10_000);
    assert!(!passed(&caller.access(&plugin)));
    caller.later(1);
    assert!(passed(&caller.access(&plugin)));
    assert!(!passed(&caller.access(&plugin)));
}

#[test]
fn the_metadata_names_the_headers() {
    let metadata = json!({"limit_header": "X-Custom-Limit"});
    let conf = json!({"count": 5, "time_window": 60});
    let plugin = plugin_with(&SPEC, &conf, Some(&metadata), false, &SharedState::default());
    let mut caller = Caller::get("/");
    assert!(passed(&caller.access(&plugin)));
    assert_eq!(caller.answered("x-custom-limit"), Some("5"));
    assert_eq!(caller.answered("x-ratelimit-remaining"), Some("4"));
    assert!((SPEC.check)(&json!({"limit_header": "a b"}), SchemaType::Metadata).is_err());
}

#[test]
fn concurrent_calls_never_get_more_than_the_count() {
    let plugin = plugin(&SPEC, &json!({"count": 100, "time_window": 60}));
    let allowed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .filter(|_| passed(&Caller::get("/").access(&plugin)))
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(allowed, 100);
}

#[test]
fn what_contradicts_itself_is_refused_at_the_check() {
    for (conf, text) in [
        (
            json!({"count": 1, "time_window": 1, "rules": []}),
            "count/time_window and rules cannot be specified at the same time",
        ),
        (
            json!({"rules": [], "group": "g"}),
            "group and rules cannot be specified at the same time",
        ),
        (
            json!({"rules": [{"count": 1, "time_window": 1, "key": "$a"}, {"count": 2, "time_window": 1, "key": "$a"}]}),
            "duplicate key '$a' in rules",
        ),
        (json!({"count": 1}), "count and time_window, or rules, are needed"),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis", "redis_host": "r", "sync_interval": 1}),
            "sync_interval should be smaller than time_window",
        ),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis-cluster", "redis_cluster_name": "c",
                "redis_cluster_nodes": ["r:x"]}),
            "redis_cluster_nodes: r:x is no address; write host:port",
        ),
    ] {
        assert_eq!((SPEC.check)(&conf, SchemaType::Route), Err(text.to_owned()));
    }
}
