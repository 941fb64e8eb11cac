use serde_json::json;

use super::super::SharedState;
use super::super::testing::{Caller, passed, plugin, plugin_with, told};
use super::*;

/// How a call fared, and what it holds as long as it runs.
struct Running {
    flow: Flow,
    _held: Vec<Box<dyn AtEnd>>,
}

fn begin(plugin: &Arc<dyn Plugin>, caller: &mut Caller) -> Running {
    let mut call = caller.call();
    let flow = plugin.access(&mut call);
    Running {
        flow,
        _held: std::mem::take(&mut call.at_end),
    }
}

/// Milliseconds a call is held up; nothing when it is refused.
fn wait(running: &Running) -> Option<u128> {
    match &running.flow {
        Flow::Next => Some(0),
        Flow::Wait(duration) => Some(duration.as_millis()),
        _ => None,
    }
}

fn conf(more: &Value) -> Value {
    let mut conf = json!({"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"});
    for (key, value) in more.as_object().unwrap() {
        conf[key] = value.clone();
    }
    conf
}

#[test]
fn calls_beyond_the_limit_are_refused_until_one_has_ended() {
    let plugin = plugin(
        &SPEC,
        &conf(&json!({"conn": 2, "rejected_code": 429, "rejected_msg": "busy"})),
    );
    let mut caller = Caller::get("/");
    let first = begin(&plugin, &mut caller);
    let second = begin(&plugin, &mut caller);
    assert!(passed(&first.flow) && passed(&second.flow));
    let refused = begin(&plugin, &mut caller);
    assert_eq!(told(refused.flow), (429, r#"{"error_msg":"busy"}"#.to_owned()));
    assert!(passed(
        &begin(&plugin, &mut Caller::get("/").from("203.0.113.8")).flow
    ));
    drop(first);
    let third = begin(&plugin, &mut caller);
    assert!(passed(&third.flow));
    assert!(wait(&begin(&plugin, &mut caller)).is_none());
}

#[test]
fn calls_of_the_burst_wait_longer_the_more_there_are() {
    let burst = conf(&json!({"conn": 2, "burst": 5}));
    let running = |plugin: &Arc<dyn Plugin>| -> Vec<Option<u128>> {
        let running: Vec<_> = (0..8).map(|_| begin(plugin, &mut Caller::get("/"))).collect();
        running.iter().map(wait).collect()
    };
    let growing = [
        Some(0),
        Some(0),
        Some(100),
        Some(100),
        Some(200),
        Some(200),
        Some(300),
        None,
    ];
    assert_eq!(running(&plugin(&SPEC, &burst)), growing);
    let mut fixed = burst;
    fixed["only_use_default_delay"] = json!(true);
    let even = [
        Some(0),
        Some(0),
        Some(100),
        Some(100),
        Some(100),
        Some(100),
        Some(100),
        None,
    ];
    assert_eq!(running(&plugin(&SPEC, &fixed)), even);
    // APISIX does not look at the field.
    let strict = plugin_with(&SPEC, &fixed, None, true, &SharedState::default());
    assert_eq!(running(&strict), growing);
}

#[test]
fn all_rules_that_apply_must_hold() {
    let plugin = plugin(
        &SPEC,
        &json!({"default_conn_delay": 0.1, "rules": [
            {"conn": 2, "burst": 0, "key": "$http_user"},
            {"conn": "$http_most", "burst": 0, "key": "$http_team"},
        ]}),
    );
    let caller = || {
        Caller::get("/")
            .header("user", "a")
            .header("team", "t")
            .header("most", "1")
    };
    let first = begin(&plugin, &mut caller());
    assert!(passed(&first.flow));
    assert!(wait(&begin(&plugin, &mut caller())).is_none());
    // Being refused by one rule takes no place of the other.
    let alone = begin(&plugin, &mut Caller::get("/").header("user", "a"));
    assert!(passed(&alone.flow));
    assert!(wait(&begin(&plugin, &mut Caller::get("/").header("user", "a"))).is_none());
    assert_eq!(told(begin(&plugin, &mut Caller::get("/")).flow).0, 500);
}

#[test]
fn limits_can_come_from_variables() {
    let conf = conf(&json!({"conn": "$http_conn", "burst": "${http_burst ?? 0}"}));
    let status = |conf: &Value, count: &str| {
        let mut caller = Caller::get("/").header("conn", count);
        match begin(&plugin(&SPEC, conf), &mut caller).flow {
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
