use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;
use tollgate_policy::RetryLimits;
use tollgate_policy::balance::Algorithm;

use tollgate_policy::health::Settings;

use super::*;
use crate::health::Duty;
use crate::providers::Credentials;
use crate::snapshot::Instance;
use crate::upstream::{Endpoint, TlsSettings};

fn entry(name: &str, weight: u32, priority: i64) -> Entry {
    let tls = TlsSettings {
        ca_file: None,
        verify: true,
    };
    let instance = Instance {
        name: name.into(),
        provider: "openai",
        model: None,
        endpoint: Endpoint::parse("simulated:", &tls).unwrap(),
        headers: HeaderMap::new(),
        credentials: Credentials::default(),
        options: Vec::new(),
        dialects: Vec::new(),
        embeddings: Vec::new(),
        reranks: Vec::new(),
        secrets: Vec::new(),
        health: None,
        known: OnceLock::new(),
        ai: None,
    };
    Entry {
        instance: Arc::new(instance),
        weight,
        priority,
        cost: None,
    }
}

fn pool(entries: Vec<Entry>, rules: Rules, states: &SharedState) -> Pool {
    Pool::new(Algorithm::RoundRobin, entries, rules, "route/1", states)
}

/// Whom a call is given to, one after the other, when all fail.
fn order(pool: &Pool) -> Vec<String> {
    let mut tried = Vec::new();
    while let Some(number) = pool.pick(&tried, &Clues::default(), false) {
        tried.push(number);
    }
    let name = |number: usize| pool.instances()[number].name.to_string();
    tried.into_iter().map(name).collect()
}

#[test]
fn every_instance_is_given_out_once_the_preferred_ones_first() {
    let entries = vec![entry("low", 1, 0), entry("a", 2, 5), entry("b", 1, 5)];
    let pool = pool(entries, Rules::default(), &SharedState::default());
    assert_eq!(order(&pool), ["a", "b", "low"]);
}

/// The instances are two, so that any of them can be without.
#[test]
fn a_disabled_instance_takes_no_calls_and_a_draining_one_only_those_that_nobody_else_can_take() {
    let states = SharedState::default();
    let new = || {
        pool(
            vec![entry("a", 1, 0), entry("b", 1, 0)],
            Rules::default(),
            &states,
        )
    };
    let pool = new();
    states.pools().set("route/1", "a", Standing::Disabled);
    assert_eq!(order(&pool), ["b"]);
    states.pools().set("route/1", "b", Standing::Draining);
    assert_eq!(order(&pool), ["b"]);
    assert!(!pool.is_switched_off());
    states.pools().set("route/1", "b", Standing::Disabled);
    assert!(order(&pool).is_empty() && pool.is_switched_off());
    // It is said of the instance, whatever becomes of the configuration.
    assert!(new().is_switched_off());
    states.pools().set("route/2", "a", Standing::InService);
    assert!(
        pool.is_switched_off(),
        "another owner's instance of that name is another one"
    );
    states.pools().set("route/1", "a", Standing::InService);
    assert_eq!(order(&pool), ["a"]);
    assert_eq!(order(&new()), ["a"]);
}

#[test]
fn draining_takes_an_instance_out_of_the_turns_of_the_others() {
    let states = SharedState::default();
    let entries = ["a", "b", "c"].map(|name| entry(name, 1, 0)).into();
    let pool = pool(entries, Rules::default(), &states);
    states.pools().set("route/1", "b", Standing::Draining);
    let first = || pool.pick(&[], &Clues::default(), false).unwrap();
    let firsts: Vec<usize> = (0..6).map(|_| first()).collect();
    assert_eq!(firsts, [0, 2, 0, 2, 0, 2]);
    // Where the order is settled by the prompt, it is passed over as well.
    let clues = Clues {
        order: Some(vec![1, 2]),
        ..Clues::default()
    };
    assert_eq!(pool.pick(&[], &clues, false), Some(2));
}

#[test]
fn an_instance_alone_can_be_switched_off() {
    let states = SharedState::default();
    let pool = Pool::of_one(entry("a", 1, 0).instance, "route/1", &states);
    states.pools().set("route/1", "a", Standing::Draining);
    assert_eq!(order(&pool), ["a"]);
    states.pools().set("route/1", "a", Standing::Disabled);
    assert!(order(&pool).is_empty() && pool.is_switched_off());
}

#[test]
fn the_instances_in_service_are_told_once_each_by_the_newest_configuration() {
    let states = SharedState::default();
    let before = pool(vec![entry("a", 1, 0)], Rules::default(), &states);
    let after = pool(
        vec![entry("a", 3, 0), entry("b", 1, 0)],
        Rules::default(),
        &states,
    );
    let told = || -> Vec<(String, u32, Option<usize>)> {
        let all = status(states.pools(), Instant::now());
        all.into_iter()
            .map(|one| (one.name, one.weight, one.in_flight))
            .collect()
    };
    let under_way = after.account(0, &[], false);
    assert_eq!(
        told(),
        [("a".to_owned(), 3, Some(1)), ("b".to_owned(), 1, Some(0))]
    );
    drop(under_way);
    drop(after);
    assert_eq!(told(), [("a".to_owned(), 1, None)]);
    drop(before);
    assert!(told().is_empty());
}

/// Instances `a` and `b` of which `b` is ejected after this.
fn with_ejected(rules: Rules, states: &SharedState, signal: Signal) -> Pool {
    let entries = ["a", "b"].map(|name| {
        let mut entry = entry(name, 1, 0);
        let settings = Settings {
            consecutive_failures: 1,
            ..Settings::default()
        };
        let duty = Duty {
            owner: "route/1",
            name,
            place: "there",
            passive: Some(settings),
            check: None,
        };
        let on_duty = states.roster().enlist(duty, states);
        Arc::get_mut(&mut entry.instance).unwrap().health = Some(on_duty);
        entry
    });
    let pool = pool(entries.into(), rules, states);
    let Ok(Some(mut account)) = pool.account(1, &[1], false) else {
        panic!("there is an account");
    };
    account.tell(signal, Duration::from_millis(5));
    pool
}

#[test]
fn a_call_that_nobody_else_can_take_goes_to_an_ejected_instance_too() {
    let asked = |last_resort, signal| {
        let rules = Rules {
            last_resort,
            ..Rules::default()
        };
        order(&with_ejected(rules, &SharedState::default(), signal))
    };
    assert_eq!(asked(true, Signal::Failed), ["a", "b"]);
    assert_eq!(asked(false, Signal::Failed), ["a"]);
    let minute = Some(Duration::from_secs(60));
    assert_eq!(
        asked(true, Signal::RateLimited { retry_after: minute }),
        ["a"],
        "it has asked to be left alone"
    );
}

#[test]
fn those_of_weight_zero_come_after_the_others_of_their_priority_and_before_lower_ones() {
    let mut entries = vec![
        entry("low", 1, -3),
        entry("spare", 0, 7),
        entry("a", 1, 7),
        entry("low spare", 0, -3),
    ];
    with_spares(&mut entries);
    let states = SharedState::default();
    assert_eq!(
        order(&pool(entries, Rules::default(), &states)),
        ["a", "spare", "low", "low spare"]
    );
    let mut equal = vec![entry("a", 0, 0), entry("b", 0, 0)];
    with_spares(&mut equal);
    assert_eq!(
        (equal[0].weight, equal[0].priority),
        (0, equal[1].priority),
        "all of weight 0 are no spares"
    );
}

#[test]
fn turns_and_budgets_go_on_when_the_configuration_changes() {
    let states = SharedState::default();
    let rules = || Rules {
        budget: Some(RetryLimits {
            percent: 0.0,
            min_per_second: 1,
        }),
        ..Rules::default()
    };
    let entries = || vec![entry("a", 1, 0), entry("b", 1, 0)];
    let before = pool(entries(), rules(), &states);
    assert_eq!(before.pick(&[], &Clues::default(), false), Some(0));
    assert!(before.may_try_again(Reason::Failed));
    let after = pool(entries(), rules(), &states);
    assert_eq!(after.pick(&[], &Clues::default(), false), Some(1));
    let text = states.metrics().text();
    assert!(
        text.contains(r#"tollgate_pool_fallbacks_total{owner="route/1",reason="failed"} 1"#),
        "{text}"
    );
}

#[test]
fn what_became_of_attempts_is_counted_once_each() {
    let states = SharedState::default();
    let pool = pool(
        vec![entry("a", 1, 0), entry("b", 1, 0)],
        Rules::default(),
        &states,
    );
    let tell = |instance: usize, signals: &[Signal]| {
        let Ok(Some(mut account)) = pool.account(instance, &[instance], false) else {
            panic!("there is an account");
        };
        for signal in signals {
            account.tell(*signal, Duration::from_millis(5));
        }
    };
    tell(0, &[Signal::Answered]);
    // Broke off midway.
    tell(0, &[Signal::Answered, Signal::Failed]);
    tell(1, &[Signal::RateLimited { retry_after: None }]);
    tell(1, &[]);
    let text = states.metrics().text();
    for (instance, end) in [
        ("a", "answered"),
        ("a", "failed"),
        ("b", "rate_limited"),
        ("b", "left"),
    ] {
        let line = format!(
            r#"tollgate_pool_attempts_total{{owner="route/1",instance_name="{instance}",end="{end}"}} 1"#
        );
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[test]
fn a_second_attempt_waits_for_the_usual_time_and_has_a_budget() {
    let rules = Rules {
        hedge: Some(Hedge {
            share: 0.95,
            at_least: Duration::from_millis(50),
            max_percent: 50.0,
        }),
        ..Rules::default()
    };
    let pool = pool(
        vec![entry("a", 1, 0), entry("b", 1, 0)],
        rules,
        &SharedState::default(),
    );
    assert_eq!(pool.hedge_after(true), None, "nothing was measured");
    for _ in 0..30 {
        let Ok(Some(mut account)) = pool.account(0, &[0], true) else {
            panic!("there is an account");
        };
        account.tell(Signal::Answered, Duration::from_millis(300));
    }
    let patience = pool.hedge_after(true).unwrap();
    assert!((300..340).contains(&patience.as_millis()), "{patience:?}");
    assert_eq!(
        pool.hedge_after(false),
        None,
        "streams tell nothing about the others"
    );
    assert!(!pool.may_hedge(), "no call has begun");
    pool.call_begins();
    pool.call_begins();
    assert!(pool.may_hedge());
    assert!(!pool.may_hedge());
    pool.has_not_hedged();
    assert!(pool.may_hedge());
}

#[test]
fn an_instance_that_serves_many_models_knows_how_much_each_of_them_answers() {
    let instance = entry("all", 1, 0).instance;
    for model in [
        "claude-3-haiku-20240307",
        "gpt-4o",
        "claude-3-haiku-20240307",
        "something-new",
    ] {
        let known = tollgate_dialects::Capabilities::of(model).max_output_tokens;
        assert_eq!(instance.capabilities(model).max_output_tokens, known, "{model}");
    }
    assert_ne!(
        instance.capabilities("claude-3-haiku-20240307").max_output_tokens,
        instance.capabilities("gpt-4o").max_output_tokens
    );
}
