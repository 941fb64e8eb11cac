//! Any interleaving of calls over a tree of budgets: no level is ever overdrawn by reservations, every level has the sum of what
//! was charged below it, and nothing stays reserved.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_resources::{Resources, lower_native};
use tollgate_telemetry::prices::{PriceState, Usd};
use tollgate_telemetry::{Cost, TokenUsage};

use super::*;

const TREE: &str = "models: {m: {provider: simulated}}
teams:
  top: {budget: {usd: 0.000100, per: total}}
  left: {parent: top, budget: {usd: 0.000060, per: total}}
  right: {parent: top, budget: {usd: 0.000060, per: total}}
consumers:
  a: {key: a, models: ['*'], team: left, budget: {usd: 0.000040, per: total}}
  b: {key: b, models: ['*'], team: left}
  c: {key: c, models: ['*'], team: right}
";

/// Who calls, with the budgets that count.
const CALLERS: [(&str, &[&str]); 3] = [
    (
        "a",
        &[
            "consumer.a.usd.total",
            "team.left.usd.total",
            "team.top.usd.total",
        ],
    ),
    ("b", &["team.left.usd.total", "team.top.usd.total"]),
    ("c", &["team.right.usd.total", "team.top.usd.total"]),
];

/// In memory every answer is known at once.
fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn governance(text: &str) -> (Arc<Governance>, Resources) {
    let resources = lower_native("test.yaml", text, &|_| None).unwrap().resources;
    let governance = Arc::new(Governance::default());
    governance.configure(&resources, &|_| None).unwrap();
    (governance, resources)
}

fn cost(micro: u64) -> Cost {
    Cost {
        usd: Usd::from_micro(micro),
        price: PriceState::Known,
        estimated: false,
    }
}

fn state(governance: &Governance, id: &str) -> (u64, u64) {
    let state = governance.budget_state(id).unwrap();
    (state.spent, state.reserved)
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// A call of one of the callers begins an attempt that may cost so much.
    Reserve(usize, u64),
    /// The attempt of an open call is not made.
    Release(usize),
    /// The attempt of an open call has cost so much.
    Settle(usize, u64),
    /// An open call ends, with this much that was not charged before.
    End(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3_usize, 0..50_u64).prop_map(|(caller, amount)| Step::Reserve(caller, amount)),
        1 => (0..8_usize).prop_map(Step::Release),
        2 => (0..8_usize, 0..40_u64).prop_map(|(call, amount)| Step::Settle(call, amount)),
        2 => (0..8_usize, 0..5_u64).prop_map(|(call, amount)| Step::End(call, amount)),
    ];
    prop::collection::vec(step, 1..60)
}

struct Open {
    call: Box<Governed>,
    caller: usize,
    reserved: u64,
    charged: u64,
}

proptest! {
    #[test]
    fn every_level_has_the_sum_of_what_was_charged_below_it(steps in steps()) {
        let (governance, _resources) = governance(TREE);
        let index = governance.index();
        let limits: HashMap<String, u64> = index
            .budgets
            .iter()
            .map(|(id, rule)| (id.clone(), rule.budget.amount.number()))
            .collect();
        let mut open: Vec<Open> = Vec::new();
        let mut spent: HashMap<&str, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Reserve(caller, amount) => {
                    let identity = index.of_consumer(&CALLERS[caller].0.into(), None);
                    let call = Governed::of(&governance, identity, false).unwrap();
                    let fits = CALLERS[caller].1.iter().all(|budget| {
                        let of_others: u64 = open
                            .iter()
                            .filter(|other| CALLERS[other.caller].1.contains(budget))
                            .map(|other| other.reserved)
                            .sum();
                        amount == 0
                            || spent.get(budget).unwrap_or(&0) + of_others + amount <= limits[*budget]
                    });
                    let expected = Expected { micro_usd: Some(amount), tokens: 1 };
                    let answer = block_on(call.reserve(&"i".into(), expected));
                    prop_assert_eq!(answer.is_ok(), fits, "{:?}", answer.err());
                    if fits {
                        open.push(Open { call, caller, reserved: amount, charged: 0 });
                    }
                }
                Step::Release(number) => {
                    if let Some(one) = open.get_mut(number) {
                        one.call.release("i");
                        one.reserved = 0;
                    }
                }
                Step::Settle(number, amount) => {
                    if let Some(one) = open.get_mut(number) {
                        one.call.settle("i", cost(amount), Some(TokenUsage::default()));
                        one.reserved = 0;
                        one.charged += amount;
                        for budget in CALLERS[one.caller].1 {
                            *spent.entry(budget).or_default() += amount;
                        }
                    }
                }
                Step::End(number, rest) => {
                    if number < open.len() {
                        let one = open.remove(number);
                        let total = one.charged + rest;
                        let told = one.call.end(cost(total), 0);
                        for budget in CALLERS[one.caller].1 {
                            *spent.entry(budget).or_default() += rest;
                        }
                        let of_all = told.iter().all(|charge| charge.amount == total);
                        prop_assert!(of_all && (total == 0 || !told.is_empty()), "{:?}", told);
                    }
                }
            }
            for budget in limits.keys() {
                let reserved: u64 = open
                    .iter()
                    .filter(|one| CALLERS[one.caller].1.contains(&budget.as_str()))
                    .map(|one| one.reserved)
                    .sum();
                let expected = (*spent.get(budget.as_str()).unwrap_or(&0), reserved);
                prop_assert_eq!(state(&governance, budget), expected, "{}", budget);
            }
        }
        // Calls that are dropped hold nothing.
        open.clear();
        for budget in limits.keys() {
            prop_assert_eq!(state(&governance, budget).1, 0, "{}", budget);
        }
    }
}

#[test]
fn attempts_are_charged_as_the_ledger_rounds_their_sum() {
    let (governance, _resources) = governance(TREE);
    let identity = governance.index().of_consumer(&"c".into(), None);
    let call = Governed::of(&governance, identity, false).unwrap();
    // Of two attempts at 0.4 millionths each, the sum is rounded, not each of them.
    let small = Cost {
        usd: Usd::from_pico(400_000),
        ..cost(0)
    };
    call.settle("i", small, None);
    call.settle("j", small, None);
    let both: Cost = [small, small].into_iter().sum();
    let charges = call.end(both, 0);
    assert_eq!(
        state(&governance, "team.right.usd.total").0,
        both.micro_usd().unwrap()
    );
    let amounts: Vec<u64> = charges.iter().map(|charge| charge.amount).collect();
    assert!(amounts.contains(&both.micro_usd().unwrap()), "{charges:?}");
}

fn object(kind: Kind, id: &str, value: Value) -> (ObjectKey, Option<Arc<Object>>) {
    let key = ObjectKey::new(kind, id);
    let Value::Object(mut value) = value else {
        return (key, None);
    };
    value.insert("id".to_owned(), id.into());
    let object = Object {
        key: key.clone(),
        value,
        created_index: 1,
        modified_index: 1,
    };
    (key, Some(Arc::new(object)))
}

#[test]
fn keys_are_found_by_their_whole_secret_and_what_was_spent_outlives_a_change() {
    let (governance, resources) = governance(TREE);
    let secret = "tg-0123456789";
    let members = json!({"consumer": "a", "hash": hash_of(secret).to_text()});
    governance.apply([
        object(Kind::VirtualKey, "k", members),
        object(
            Kind::Budget,
            "b",
            json!({"for": "key/k", "usd": "1", "per": "total"}),
        ),
    ]);
    let index = governance.index();
    assert!(index.by_key("tg-012345678").unwrap().is_none());
    let key = index.by_key(secret).unwrap().unwrap();
    let call = Governed::of(&governance, index.of_key(&key, None), false).unwrap();
    assert_eq!(call.identity.team.as_deref(), Some("left"));
    call.settle("i", cost(7), None);
    let _ = call.end(cost(7), 0);
    governance.configure(&resources, &|_| None).unwrap();
    assert_eq!(state(&governance, "b").0, 7);
    assert_eq!(state(&governance, "team.top.usd.total").0, 7);
    governance.apply([object(Kind::VirtualKey, "k", Value::Null)]);
    assert!(governance.index().by_key(secret).unwrap().is_none());
}
