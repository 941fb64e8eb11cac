use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use serde_json::{Value, json};
use tollgate_policy::health::{Found, Settings, Ticket};

use super::{InstanceHealth, Signal};
use crate::health::{Check, CheckTarget, Credentials, Duty, OnDuty, introduce, status};
use crate::plugins::SharedState;

const NOTHING: Credentials<'_> = Credentials {
    headers: &[],
    query: "",
};

fn settings() -> Settings {
    Settings {
        consecutive_failures: 2,
        ejection_ms: 1_000,
        ..Settings::default()
    }
}

fn check(path: &str) -> Check {
    let conf = serde_json::from_value(json!({"http_path": path, "unhealthy": {"http_failures": 1}})).unwrap();
    let target = CheckTarget {
        host: "a.example.com".to_owned(),
        port: 80,
        authority: HeaderValue::from_static("a.example.com"),
    };
    Check::new(&conf, target, &NOTHING).unwrap()
}

fn duty(state: &SharedState, passive: Option<Settings>, check: Option<Check>) -> Arc<OnDuty> {
    let duty = Duty {
        owner: "route/1",
        name: "a",
        place: "http://a.example.com:80",
        passive,
        check,
    };
    state.roster().enlist(duty, state)
}

fn fail(health: &Arc<InstanceHealth>, now: Instant) {
    health.begin_anyway().report(now, Signal::Failed);
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn told(state: &SharedState, now: Instant) -> Value {
    let all = status(state.roster(), now, SystemTime::UNIX_EPOCH);
    all.into_iter()
        .map(|one| (one.owner, Value::from(one.told)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn an_instance_is_ejected_probed_and_healthy_again() {
    let state = SharedState::default();
    let on_duty = duty(&state, Some(settings()), None);
    let health = &on_duty.health;
    let now = Instant::now();
    fail(health, now);
    assert!(health.is_usable(now));
    fail(health, now);
    assert!(!health.is_usable(now) && health.begin(now).is_none());
    assert!(
        state
            .metrics()
            .text()
            .contains(r#"tollgate_instance_healthy{owner="route/1",instance_name="a"} 0"#)
    );
    let later = now + Duration::from_secs(1);
    let undecided = health.begin(later).unwrap();
    assert!(health.begin(later).is_none(), "there is one trial at a time");
    drop(undecided);
    let trial = health.begin(later).unwrap();
    trial.report(later, Signal::Answered { first_token: None });
    assert!(health.begin(later).is_some() && health.begin(later).is_some());
    let text = state.metrics().text();
    assert!(
        text.contains(r#"tollgate_instance_healthy{owner="route/1",instance_name="a"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"ejections_total{owner="route/1",instance_name="a",cause="consecutive_failures"} 1"#),
        "{text}"
    );
}

#[test]
fn at_most_half_of_a_pool_is_ejected_because_of_failures_even_if_all_fail_at_once() {
    let state = SharedState::default();
    let pool: Vec<Arc<OnDuty>> = (0..6)
        .map(|number| {
            let duty = Duty {
                owner: "route/1",
                name: &number.to_string(),
                place: "http://a.example.com:80",
                passive: Some(settings()),
                check: None,
            };
            state.roster().enlist(duty, &state)
        })
        .collect();
    introduce(pool.iter().map(|on_duty| &on_duty.health));
    let now = Instant::now();
    thread::scope(|scope| {
        for on_duty in &pool {
            scope.spawn(|| (0..100).for_each(|_| fail(&on_duty.health, now)));
        }
    });
    let usable = pool.iter().filter(|on_duty| on_duty.health.is_usable(now));
    let usable: Vec<&Arc<OnDuty>> = usable.collect();
    assert_eq!(usable.len(), 3);
    let withheld = format!(
        r#"ejections_withheld_total{{owner="route/1",instance_name="{}"}}"#,
        usable[0].name
    );
    let text = state.metrics().text();
    let count = text.lines().find(|line| line.contains(&withheld)).unwrap();
    assert!(!count.ends_with(" 0"), "{count}");
    // As soon as one is well again there is room for another one.
    let ejected = pool
        .iter()
        .find(|on_duty| !on_duty.health.is_usable(now))
        .unwrap();
    let later = now + Duration::from_secs(1);
    let trial = ejected.health.begin(later).unwrap();
    fail(&usable[0].health, later);
    assert!(
        usable[0].health.is_usable(later),
        "who is on trial is no help yet"
    );
    trial.report(later, Signal::Answered { first_token: None });
    fail(&usable[0].health, later);
    assert!(!usable[0].health.is_usable(later));
}

#[test]
fn those_whose_providers_want_to_be_left_alone_do_not_keep_others_from_being_ejected() {
    let state = SharedState::default();
    let pool = ["a", "b"].map(|name| {
        let duty = Duty {
            owner: "route/1",
            name,
            place: "http://a.example.com:80",
            passive: Some(settings()),
            check: None,
        };
        state.roster().enlist(duty, &state)
    });
    introduce(pool.iter().map(|on_duty| &on_duty.health));
    let now = Instant::now();
    let retry_after = Some(Duration::from_secs(60));
    let refused = pool[0].health.begin_anyway();
    refused.report(now, Signal::RateLimited { retry_after });
    fail(&pool[1].health, now);
    fail(&pool[1].health, now);
    assert!(!pool[0].health.is_usable(now) && !pool[1].health.is_usable(now));
}

#[test]
fn where_calls_have_no_say_nothing_is_ejected() {
    let state = SharedState::default();
    let on_duty = duty(&state, None, None);
    let now = Instant::now();
    for _ in 0..100 {
        fail(&on_duty.health, now);
    }
    assert!(on_duty.health.begin(now).is_some());
}

#[test]
fn an_ejection_outlives_a_change_of_the_configuration() {
    let state = SharedState::default();
    let before = duty(&state, Some(settings()), None);
    let now = Instant::now();
    before.health.begin_anyway().report(
        now,
        Signal::RateLimited {
            retry_after: Some(Duration::from_secs(60)),
        },
    );
    let after = duty(&state, Some(settings()), None);
    drop(before);
    state.forget_unused();
    assert!(!after.health.is_usable(now));
    let told = told(&state, now);
    assert_eq!(
        told,
        json!({"route/1": {"nodes": [], "instances": [{
            "name": "a", "usable": false, "state": "ejected", "cause": "rate_limited",
            "ejected_for_ms": told["route/1"]["instances"][0]["ejected_for_ms"],
            "ejected_until_ms": told["route/1"]["instances"][0]["ejected_for_ms"],
        }]}})
    );
    drop(after);
    assert_eq!(self::told(&state, now), json!({}));
    assert!(!state.metrics().text().contains("tollgate_instance_healthy"));
}

#[test]
fn an_instance_is_usable_as_long_as_one_of_its_addresses_is_well() {
    let state = SharedState::default();
    let on_duty = duty(&state, None, Some(check("/")));
    let (health, check) = (&on_duty.health, on_duty.check.as_ref().unwrap());
    let now = Instant::now();
    assert!(health.is_usable(now) && health.addresses().is_none());
    let [first, second] = [address("10.0.0.1:80"), address("10.0.0.2:80")];
    health.resolved(check, &[first, second]);
    health.found_at(check, first, Found::Status(500));
    assert!(health.is_usable(now));
    assert_eq!(health.addresses().unwrap()[..], [second]);
    health.found_at(check, second, Found::Status(500));
    assert!(!health.is_usable(now) && health.begin(now).is_none());
    assert_eq!(health.addresses().unwrap()[..], [first, second]);
    // The name leads to another address now, of which nothing bad is known.
    let third = address("10.0.0.3:80");
    health.resolved(check, &[first, third]);
    assert!(health.is_usable(now));
    assert_eq!(health.addresses().unwrap()[..], [third]);
    assert_eq!(
        told(&state, now)["route/1"]["nodes"][0],
        json!({
            "instance": "a", "hostname": "a.example.com", "ip": "10.0.0.1", "port": 80, "status": "unhealthy",
            "counter": {"success": 0, "http_failure": 1, "tcp_failure": 0, "timeout_failure": 0},
        })
    );
    assert_eq!(told(&state, now)["route/1"]["type"], "http");
}

#[test]
fn what_checks_found_stays_as_long_as_the_check_is_the_same() {
    let state = SharedState::default();
    let before = duty(&state, None, Some(check("/")));
    let old_check = before.check.as_ref().unwrap();
    let first = address("10.0.0.1:80");
    before.health.resolved(old_check, &[first]);
    before.health.found_at(old_check, first, Found::Status(500));
    let same = duty(&state, None, Some(check("/")));
    let now = Instant::now();
    assert!(!same.health.is_usable(now));
    let other = duty(&state, None, Some(check("/other")));
    assert!(other.health.is_usable(now));
    // What the old check still finds says nothing about the new one.
    other.health.resolved(old_check, &[first]);
    other.health.found_at(old_check, first, Found::Status(500));
    assert!(other.health.is_usable(now));
    let unchecked = duty(&state, None, None);
    assert!(unchecked.health.addresses().is_none());
}

/// Threads make calls that go well, fail, are refused or are dropped, under a clock that they move on together. A state has as many
/// trials under way as it may, and no trial slot is lost.
#[test]
fn threads_never_get_more_trials_than_there_are_and_give_all_of_them_back() {
    const TRIALS: u32 = 2;
    let state = SharedState::default();
    let settings = Settings {
        trial_calls: TRIALS,
        ejection_ms: 20,
        max_ejection_ms: 80,
        ..settings()
    };
    let duty = duty(&state, Some(settings), None);
    let health = duty.health.clone();
    let (clock, beginning) = (AtomicU64::new(0), Instant::now());
    let now = || beginning + Duration::from_millis(clock.load(Ordering::SeqCst));
    let trials: Mutex<Vec<Ticket>> = Mutex::default();
    let seen = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (health, clock, now, trials, seen) = (&health, &clock, &now, &trials, &seen);
            scope.spawn(move || {
                for number in 0..5_000_u64 {
                    clock.fetch_add(1, Ordering::SeqCst);
                    let Some(call) = health.begin(now()) else { continue };
                    if call.ticket.is_trial() {
                        let mut trials = trials.lock().unwrap();
                        trials.push(call.ticket);
                        let of_this_state = trials.iter().filter(|ticket| **ticket == call.ticket).count();
                        assert!(of_this_state <= TRIALS as usize, "{of_this_state} trials");
                        seen.fetch_add(1, Ordering::SeqCst);
                    }
                    if number.is_multiple_of(3) {
                        thread::yield_now();
                    }
                    // No thread repeats the pattern of another one.
                    match (number * 7 + thread * 3) % 5 {
                        0 | 1 => call.report(now(), Signal::Answered { first_token: None }),
                        2 => call.report(now(), Signal::Failed),
                        3 => call.report(now(), Signal::RateLimited { retry_after: None }),
                        // The client has left: nothing is told.
                        _ => {}
                    }
                    if call.ticket.is_trial() {
                        let mut trials = trials.lock().unwrap();
                        let place = trials.iter().position(|ticket| *ticket == call.ticket).unwrap();
                        trials.swap_remove(place);
                    }
                }
            });
        }
    });
    assert!(seen.load(Ordering::SeqCst) > 0, "no trial was made");
    let later = now() + Duration::from_millis(settings.max_ejection_ms);
    let calls: Vec<_> = (0..TRIALS).map_while(|_| health.begin(later)).collect();
    assert_eq!(calls.len(), TRIALS as usize, "a trial slot is lost");
}
