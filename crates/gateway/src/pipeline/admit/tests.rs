use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_dialects::canonical::Usage;
use tollgate_dialects::scan::scan;
use tollgate_telemetry::TokenUsage;

use super::*;
use crate::ai::protocol::Protocol;
use crate::plugins::testing::{Caller, plugin_with};
use crate::plugins::{self, Plugin, SharedState, Used};

/// One use of `ai-rate-limiting`.
struct Limiting {
    plugin: Arc<dyn Plugin>,
    state: SharedState,
    strict: bool,
}

/// What an attempt used: tokens of the request and of the answer.
type Tokens = Option<(u64, u64)>;

impl Limiting {
    fn new(conf: &Value) -> Self {
        Limiting::of(conf, false)
    }

    fn of(conf: &Value, strict: bool) -> Self {
        let spec = plugins::find("ai-rate-limiting").unwrap();
        let state = SharedState::default();
        Limiting {
            plugin: plugin_with(spec, conf, None, strict, &state),
            state,
            strict,
        }
    }

    /// A call that is estimated to have `input` tokens and has this body.
    fn call_of(&self, mut caller: Caller, input: u64, body: &str) -> Admission {
        let limits = self.plugin.token_limits().unwrap().of(&caller.call(), None);
        let expected = Expected {
            input,
            output: OutputLimit::of(
                Protocol::OpenaiChat,
                body.as_bytes(),
                &scan(body.as_bytes()).unwrap(),
            ),
            model: None,
        };
        Admission::new(vec![limits], Some(expected), self.strict)
    }

    /// A call with 40 tokens, whose answer has at most 60.
    fn call(&self) -> Admission {
        self.call_of(Caller::get("/"), 40, r#"{"max_tokens":60}"#)
    }

    /// A call to one instance from its beginning to its end, which uses so many tokens. Whether it was admitted.
    fn whole(&self, instance: &str, tokens: Tokens) -> bool {
        let call = self.call();
        let admitted = admit(&call, instance).is_ok();
        if admitted {
            end(&call, &[(instance, tokens, true)]);
        }
        admitted
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

fn has_room(call: &Admission, instance: &str) -> bool {
    wait(call.has_room(instance)).unwrap()
}

fn admit(call: &Admission, instance: &str) -> Result<(), CallError> {
    wait(call.admit(instance))
}

fn usage((input, output): (u64, u64)) -> Usage {
    Usage {
        input,
        output,
        ..Usage::default()
    }
}

fn end(call: &Admission, attempts: &[(&str, Tokens, bool)]) {
    let usages: Vec<Option<Usage>> = attempts.iter().map(|(_, tokens, _)| tokens.map(usage)).collect();
    end_with(call, attempts, &usages);
}

fn end_with(call: &Admission, attempts: &[(&str, Tokens, bool)], usages: &[Option<Usage>]) {
    let attempts: Vec<EndedAttempt<'_>> = attempts
        .iter()
        .zip(usages)
        .map(|((instance, _, answered), usage)| EndedAttempt {
            instance,
            used: usage.as_ref().map(|usage| Used {
                tokens: TokenUsage {
                    prompt: usage.input_total(),
                    completion: usage.output,
                    total: usage.total(),
                    ..TokenUsage::default()
                },
                usage,
                api: None,
            }),
            answered: *answered,
            is_charged: false,
        })
        .collect();
    call.end(&Ended {
        request_id: "1",
        attempts: &attempts,
        status: 200,
        error_code: None,
        complete: true,
        duration: std::time::Duration::ZERO,
        upstream_time: None,
    });
}

/// What the client is told in a header.
fn told(call: &Admission, name: &str) -> Option<String> {
    let mut headers = HeaderMap::new();
    call.tell(&mut headers);
    Some(headers.get(name)?.to_str().unwrap().to_owned())
}

fn remaining(call: &Admission, instance: &str) -> u64 {
    let told = told(call, &format!("x-ai-ratelimit-remaining-{instance}"));
    told.unwrap().parse().unwrap()
}

#[test]
fn calls_are_admitted_until_the_tokens_are_used_up() {
    let limiting = Limiting::new(&json!({"limit": 30, "time_window": 60, "rejected_code": 429}));
    for left in [30, 20, 10] {
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok());
        assert_eq!(remaining(&call, "a"), left);
        assert_eq!(told(&call, "x-ai-ratelimit-limit-a").as_deref(), Some("30"));
        end(&call, &[("a", Some((8, 2)), true)]);
    }
    let call = limiting.call();
    let refused = admit(&call, "a").unwrap_err();
    assert_eq!(remaining(&call, "a"), 0);
    assert_eq!(refused.status.as_u16(), 429);
    let reply = refused.reply.clone().unwrap().reply;
    let wait: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert!(
        limiting.whole("b", None),
        "each instance has the limit for itself"
    );
}

#[test]
fn what_is_counted_follows_the_strategy() {
    for (conf, costs) in [
        (json!({"limit_strategy": "total_tokens"}), 11),
        (json!({"limit_strategy": "prompt_tokens"}), 8),
        (json!({"limit_strategy": "completion_tokens"}), 3),
        (
            json!({"limit_strategy": "expression", "cost_expr": "input_tokens * 10 + prompt_tokens * 10 + 5"}),
            85,
        ),
    ] {
        let mut whole = json!({"limit": 1000, "time_window": 60});
        whole
            .as_object_mut()
            .unwrap()
            .extend(conf.as_object().unwrap().clone());
        let limiting = Limiting::new(&whole);
        assert!(limiting.whole("a", Some((8, 3))));
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok());
        assert_eq!(remaining(&call, "a"), 1000 - costs, "{conf}");
    }
}

#[test]
fn instances_have_their_own_limit_or_the_common_one_or_none() {
    let own = json!([{"name": "a", "limit": 10, "time_window": 60}]);
    let limiting = Limiting::new(&json!({"instances": own, "limit": 20, "time_window": 60}));
    let used = Some((5, 5));
    assert_eq!([0; 3].map(|_| limiting.whole("a", used)), [true, false, false]);
    assert_eq!([0; 3].map(|_| limiting.whole("b", used)), [true, true, false]);
    assert_eq!([0; 3].map(|_| limiting.whole("c", used)), [true, true, false]);

    let limiting = Limiting::new(&json!({"instances": own}));
    assert_eq!([0; 3].map(|_| limiting.whole("b", used)), [true, true, true]);
    let call = limiting.call();
    assert!(admit(&call, "b").is_ok());
    assert_eq!(told(&call, "x-ai-ratelimit-limit-b"), None);
}

#[test]
fn of_several_limits_of_one_instance_the_last_holds() {
    let limiting = Limiting::new(&json!({"instances": [
        {"name": "a", "limit": 1000, "time_window": 60}, {"name": "a", "limit": 10, "time_window": 60},
    ]}));
    assert_eq!([0; 2].map(|_| limiting.whole("a", Some((5, 5)))), [true, false]);
}

#[test]
fn an_instance_without_room_is_told_apart_before_it_is_taken() {
    let limiting = Limiting::new(&json!({
        "instances": [{"name": "a", "limit": 10, "time_window": 60}],
        "rejected_code": 429, "rejected_msg": "used up",
    }));
    assert!(limiting.whole("a", Some((31, 0))));
    let call = limiting.call();
    assert!(!has_room(&call, "a"));
    assert!(has_room(&call, "b"));
    assert!(admit(&call, "b").is_ok());
    // The headers tell of the one that was passed over, too.
    assert_eq!(remaining(&call, "a"), 0);
    let error = call.nobody_left().unwrap();
    assert_eq!((error.status.as_u16(), &*error.message), (429, "used up"));

    let call = limiting.call();
    assert!(has_room(&call, "b"));
    assert!(call.nobody_left().is_none(), "nothing was refused");
}

#[test]
fn rules_count_by_keys_whoever_answers() {
    let limiting = Limiting::new(&json!({"rejected_code": 429, "rules": [
        {"count": 20, "time_window": 10, "key": "${http_user}"},
        {"count": "${http_count ?? 30}", "time_window": "${http_window ?? 10}", "key": "${http_project}",
         "header_prefix": "project"},
    ]}));
    let whole = |instance: &str, headers: &[(&'static str, &str)]| {
        let caller = headers.iter().fold(Caller::get("/"), |caller, (name, value)| {
            caller.header(name, value)
        });
        let call = limiting.call_of(caller, 1, "{}");
        assert!(has_room(&call, instance), "another instance does not help");
        let admitted = admit(&call, instance).map_err(|error| error.status.as_u16());
        if admitted.is_ok() {
            end(&call, &[(instance, Some((8, 2)), true)]);
        }
        (
            admitted,
            told(&call, "x-ai-1-ratelimit-remaining"),
            told(&call, "x-ai-project-ratelimit-remaining"),
        )
    };
    let left = |number: u64| Some(number.to_string());
    let jack = [("user", "jack")];
    assert_eq!(whole("a", &jack), (Ok(()), left(20), None));
    assert_eq!(whole("b", &jack), (Ok(()), left(10), None));
    assert_eq!(whole("a", &jack), (Err(429), left(0), None));
    assert_eq!(whole("a", &[("user", "rose")]), (Ok(()), left(20), None));
    let both = [("user", "rose"), ("project", "p")];
    assert_eq!(whole("a", &both), (Ok(()), left(10), left(30)));
    // The first rule refuses; the others are not asked.
    assert_eq!(whole("a", &both), (Err(429), left(0), None));
    let own = [("project", "q"), ("count", "10")];
    assert_eq!(whole("a", &own), (Ok(()), None, left(10)));
    assert_eq!(whole("a", &own), (Err(429), None, left(0)));
    for unclear in [
        vec![],
        vec![("project", "r"), ("count", "many")],
        vec![("project", "r"), ("count", "0")],
    ] {
        assert_eq!(whole("a", &unclear).0, Err(500), "{unclear:?}");
    }
}

#[test]
fn calls_whose_limit_is_unclear_pass_where_that_is_allowed() {
    let limiting = Limiting::new(&json!({
        "limit": "$http_limit", "time_window": 60, "allow_degradation": true,
    }));
    assert!(limiting.whole("a", Some((1, 1))));
    let limited = || limiting.call_of(Caller::get("/").header("limit", "10"), 1, "{}");
    let call = limited();
    assert!(admit(&call, "a").is_ok());
    end(&call, &[("a", Some((5, 5)), true)]);
    assert!(admit(&limited(), "a").is_err());
}

#[test]
fn calls_that_run_at_the_same_time_do_not_see_each_other_unless_tokens_are_reserved() {
    let conf = |admission: &str| json!({"limit": 1000, "time_window": 60, "admission": admission});
    for (admission, most) in [("charge_after", 200), ("reserve", 10)] {
        let limiting = Limiting::new(&conf(admission));
        // Each is estimated to use 100 and uses 110.
        let calls: Vec<Admission> = (0..200).map(|_| limiting.call()).collect();
        let admitted: Vec<&Admission> = calls.iter().filter(|call| admit(call, "a").is_ok()).collect();
        assert_eq!(admitted.len(), most, "{admission}");
        for call in admitted {
            end(call, &[("a", Some((45, 65)), true)]);
        }
    }
}

#[test]
fn a_reservation_is_replaced_by_what_was_used() {
    let limiting = Limiting::new(&json!({"limit": 1000, "time_window": 60, "admission": "reserve"}));
    let left_for_next = || {
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok());
        remaining(&call, "a") + 100
    };
    let call = limiting.call();
    assert!(admit(&call, "a").is_ok());
    assert_eq!(remaining(&call, "a"), 900, "what is left behind the reservation");
    assert_eq!(left_for_next(), 900);
    end(&call, &[("a", Some((30, 5)), true)]);
    assert_eq!(left_for_next(), 965);

    // Never made: a later plugin has refused the call, or the client has left.
    let call = limiting.call();
    assert!(admit(&call, "a").is_ok());
    end(&call, &[]);
    drop(call);
    assert_eq!(left_for_next(), 965);

    // Refused by the provider, then answered elsewhere.
    let call = limiting.call();
    assert!(admit(&call, "a").is_ok());
    call.release("a");
    assert_eq!(left_for_next(), 965);
    assert!(admit(&call, "b").is_ok());
    end(&call, &[("a", None, false), ("b", Some((1, 1)), true)]);
    assert_eq!(left_for_next(), 965);

    // Answered by the provider, which does not say what it costs.
    let call = limiting.call();
    assert!(admit(&call, "a").is_ok());
    end(&call, &[("a", None, true)]);
    assert_eq!(left_for_next(), 865);

    // Two attempts side by side, of which one lost: both may be billed.
    let call = limiting.call();
    assert!(admit(&call, "a").is_ok() && admit(&call, "b").is_ok());
    end(&call, &[("a", Some((40, 0)), false), ("b", Some((40, 10)), true)]);
    assert_eq!(left_for_next(), 825);
}

#[test]
fn without_a_limit_of_the_answer_the_configured_one_is_reserved() {
    let conf = json!({"limit": 10_000, "time_window": 60, "admission": "reserve"});
    let mut smaller = conf.clone();
    smaller["reserved_completion_tokens"] = json!(100);
    for (conf, left) in [(conf, 10_000 - 40 - 1024), (smaller, 10_000 - 140)] {
        let call = Limiting::new(&conf).call_of(Caller::get("/"), 40, "{}");
        assert!(admit(&call, "a").is_ok());
        assert_eq!(remaining(&call, "a"), left);
    }
}

#[test]
fn what_is_larger_than_the_limit_takes_all_of_it() {
    let limiting = Limiting::new(&json!({"limit": 50, "time_window": 60, "admission": "reserve"}));
    let first = limiting.call();
    assert!(admit(&first, "a").is_ok());
    assert!(admit(&limiting.call(), "a").is_err());
    end(&first, &[("a", Some((20, 0)), true)]);
    assert!(
        admit(&limiting.call(), "a").is_err(),
        "20 are used, so not all of it is free"
    );
}

#[test]
fn attempts_are_charged_to_their_own_instances_but_in_apisix_only_the_last() {
    let conf = json!({"limit": 100, "time_window": 60});
    for (strict, left) in [(false, 90), (true, 100)] {
        let limiting = Limiting::of(&conf, strict);
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok() && admit(&call, "b").is_ok());
        end(&call, &[("a", Some((10, 0)), false), ("b", Some((20, 0)), true)]);
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok() && admit(&call, "b").is_ok());
        assert_eq!((remaining(&call, "a"), remaining(&call, "b")), (left, 80));
    }
}

#[test]
fn estimates_are_charged_but_not_in_apisix() {
    for (strict, left) in [(false, 60), (true, 100)] {
        let limiting = Limiting::of(&json!({"limit": 100, "time_window": 60}), strict);
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok());
        let estimated = Usage {
            estimated: true,
            ..usage((40, 0))
        };
        end_with(&call, &[("a", None, true)], &[Some(estimated)]);
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok());
        assert_eq!(remaining(&call, "a"), left);
    }
}

#[test]
fn a_formula_without_a_value_lets_nobody_in_for_nothing() {
    for (strict, left) in [(false, 985), (true, 1000)] {
        let limiting = Limiting::of(
            &json!({"limit": 1000, "time_window": 60, "limit_strategy": "expression", "cost_expr": "1 / nothing"}),
            strict,
        );
        assert!(limiting.whole("a", Some((10, 5))));
        let call = limiting.call();
        assert!(admit(&call, "a").is_ok());
        assert_eq!(remaining(&call, "a"), left);
    }
}

#[test]
fn what_is_charged_and_refused_is_counted() {
    let limiting = Limiting::new(&json!({
        "instances": [{"name": "a", "limit": 130, "time_window": 60}], "admission": "reserve",
    }));
    assert!(limiting.whole("a", Some((10, 5))));
    assert!(limiting.whole("a", None));
    assert!(!limiting.whole("a", None));
    assert!(limiting.whole("unlimited", Some((10, 5))));
    let text = limiting.state.metrics().text();
    let value = |series: &str| {
        let of_series = |line: &&str| line.starts_with("tollgate_limit_tokens_") && line.contains(series);
        text.lines()
            .find(of_series)
            .map(|line| line.rsplit(' ').next().unwrap())
    };
    assert_eq!(value("usage=\"stated\""), Some("15"));
    assert_eq!(value("usage=\"estimated\""), Some("100"));
    assert_eq!(value("refused_total{"), Some("1"));
}

/// Attempts of one call: which of three instances, what it used, and whether it answered.
type Attempts = Vec<(usize, Tokens, bool)>;

fn attempts() -> impl Strategy<Value = Attempts> {
    let tokens = prop::option::of((0_u64..200, 0_u64..200));
    prop::sample::subsequence(vec![0_usize, 1, 2], 1..=3).prop_flat_map(move |instances| {
        let each = prop::collection::vec((tokens.clone(), any::<bool>()), instances.len());
        each.prop_map(move |each| {
            let both = instances.iter().zip(each);
            both.map(|(instance, (tokens, answered))| (*instance, tokens, answered))
                .collect()
        })
    })
}

const NAMES: [&str; 3] = ["a", "b", "c"];

proptest! {
    /// Whatever fails, is left or runs beside another: what was used is charged, each token once.
    #[test]
    fn the_sum_of_charges_is_what_was_used(
        reserve in any::<bool>(),
        calls in prop::collection::vec((attempts(), any::<bool>(), any::<prop::sample::Index>()), 1..20),
    ) {
        let admission = if reserve { "reserve" } else { "charge_after" };
        let limiting = Limiting::new(&json!({"limit": 10_000_000, "time_window": 3600, "admission": admission}));
        let mut used = [0; 3];
        let mut open: Vec<(Admission, &Attempts)> = Vec::new();
        let finish = |(call, attempts): (Admission, &Attempts)| {
            let named: Vec<_> = attempts.iter().map(|(at, tokens, answered)| (NAMES[*at], *tokens, *answered)).collect();
            end(&call, &named);
        };
        for (attempts, ends_at_once, which) in &calls {
            let call = limiting.call();
            for (at, tokens, answered) in attempts {
                prop_assert!(admit(&call, NAMES[*at]).is_ok());
                if !answered {
                    call.release(NAMES[*at]);
                }
                // What nobody tells is charged as it was reserved.
                let unknown = if reserve && *answered { 100 } else { 0 };
                used[*at] += tokens.map_or(unknown, |(input, output)| input + output);
            }
            open.push((call, attempts));
            if *ends_at_once {
                finish(open.swap_remove(which.index(open.len())));
            }
        }
        open.into_iter().for_each(finish);
        let call = limiting.call();
        for (name, used) in NAMES.iter().zip(used) {
            prop_assert!(admit(&call, name).is_ok());
            let held = if reserve { 100 } else { 0 };
            prop_assert_eq!(remaining(&call, name), 10_000_000 - used - held);
        }
    }

    /// With reservations more than the limit is used only by what calls use beyond their own estimates.
    #[test]
    fn what_is_used_beyond_a_limit_is_bounded(
        limit in 1_u64..2000,
        steps in prop::collection::vec((any::<bool>(), 0_u64..250, any::<prop::sample::Index>()), 1..60),
    ) {
        let limiting = Limiting::new(&json!({"limit": limit, "time_window": 3600, "admission": "reserve"}));
        let (mut used, mut beyond) = (0, 0);
        let mut open = Vec::new();
        let mut finish = |call: &Admission, tokens: u64| {
            end(call, &[("a", Some((tokens, 0)), true)]);
            used += tokens;
            beyond += tokens.saturating_sub(100.min(limit));
        };
        for (begins, tokens, which) in steps {
            if begins || open.is_empty() {
                let call = limiting.call();
                if admit(&call, "a").is_ok() {
                    open.push(call);
                }
            } else {
                finish(&open.swap_remove(which.index(open.len())), tokens);
            }
        }
        for call in open {
            finish(&call, 100);
        }
        prop_assert!(used <= limit + beyond, "{used} of {limit}, {beyond} beyond estimates");
    }
}
