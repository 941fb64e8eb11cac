//! Sums never differ from calls, however calls come: in any batches, twice, late, over restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tollgate_telemetry::ledger::{Column, Measure, Place, Row};

use super::*;

/// A call as the test knows it.
#[derive(Clone, Debug)]
struct Made {
    id: u16,
    time_ms: i64,
    consumer: usize,
    model: usize,
    tokens: i64,
    cost: Option<i64>,
    state: usize,
    failed: bool,
}

/// What happens, in order.
#[derive(Clone, Debug)]
enum Step {
    Call(Made),
    Flush,
    Restart,
}

const CONSUMERS: [&str; 3] = ["team-a", "team-b", ""];
const MODELS: [&str; 3] = ["gpt-5", "claude-sonnet-4-5", ""];
const STATES: [&str; 4] = ["known", "unknown", "partly", "estimated"];

/// Three days from the beginning of one.
const FIRST_MS: i64 = 1_795_132_800_000;
const SPAN_MS: i64 = 3 * 86_400_000;

fn step() -> impl Strategy<Value = Step> {
    let made = (
        any::<u16>().prop_map(|id| id % 200),
        0..SPAN_MS,
        0..3_usize,
        0..3_usize,
        0..100_000_i64,
        prop::option::of(0..1_000_000_i64),
        0..4_usize,
        any::<bool>(),
    );
    let made = made.prop_map(|(id, time, consumer, model, tokens, cost, state, failed)| Made {
        id,
        time_ms: FIRST_MS + time,
        consumer,
        model,
        tokens,
        cost,
        state,
        failed,
    });
    prop_oneof![20 => made.prop_map(Step::Call), 2 => Just(Step::Flush), 1 => Just(Step::Restart)]
}

fn row<'a>(made: &Made, id: &'a str) -> Row<'a> {
    let mut row = call(id, "", "", made.time_ms);
    row.text(Column::Consumer, CONSUMERS[made.consumer]);
    row.text(Column::ModelAsked, MODELS[made.model]);
    row.text(Column::ModelServed, MODELS[made.model]);
    row.number(Column::InputTokens, made.tokens);
    row.text(Column::CostState, STATES[made.state]);
    match made.cost {
        Some(cost) => row.number(Column::CostMicroUsd, cost),
        None => row.clear(Column::CostMicroUsd),
    }
    if made.failed {
        row.text(Column::Outcome, "cut");
    }
    row
}

/// Makes it happen and compares what is kept with what the test has counted itself. An id that comes again is the same call.
pub fn check(place: &Place, steps: &[Scene]) {
    let mut known = BTreeSet::new();
    let mut by_hour = BTreeMap::<(i64, usize, usize), [i64; 5]>::new();
    let (mut ledger, _) = open(place);
    for step in steps {
        match &step.0 {
            Step::Call(made) => {
                let id = format!("call-{}", made.id);
                ledger.append(&row(made, &id));
                if known.insert(made.id) {
                    let hour = made.time_ms / 3_600_000;
                    let sums = by_hour.entry((hour, made.consumer, made.model)).or_default();
                    let unpriced = matches!(STATES[made.state], "unknown" | "partly");
                    let more = [
                        1,
                        i64::from(made.failed),
                        made.tokens,
                        made.cost.unwrap_or(0),
                        i64::from(unpriced),
                    ];
                    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                }
            }
            Step::Flush => assert!(ledger.flush(PATIENCE)),
            Step::Restart => {
                assert!(ledger.flush_and_stop(PATIENCE));
                ledger = open(place).0;
            }
        }
    }
    assert!(ledger.flush_and_stop(PATIENCE));
    for (by, step_s) in [("hour,consumer,model", 3600), ("day,consumer,model", 86_400)] {
        let mut wanted = BTreeMap::<(i64, usize, usize), [i64; 5]>::new();
        for ((hour, consumer, model), sums) in &by_hour {
            let start = hour * 3600 / step_s;
            let all = wanted.entry((start, *consumer, *model)).or_default();
            all.iter_mut().zip(sums).for_each(|(all, one)| *all += one);
        }
        let report = ask(place, by);
        assert_eq!(report.rows.len(), wanted.len(), "{by}");
        for ((start, consumer, model), sums_wanted) in &wanted {
            let time = tollgate_telemetry::ledger::time_text(start * step_s);
            let time = match step_s {
                3600 => format!("{}Z", &time[..16]),
                _ => time[..10].to_owned(),
            };
            let found = sums(&report, &[&time, CONSUMERS[*consumer], MODELS[*model]]);
            let found = [
                Measure::Calls,
                Measure::Failed,
                Measure::InputTokens,
                Measure::CostMicroUsd,
                Measure::UnpricedCalls,
            ]
            .map(|measure| found.get(measure));
            assert_eq!(found, *sums_wanted, "{by} {time}");
        }
    }
}

/// A step, for callers that need not know what it is.
#[derive(Clone, Debug)]
pub struct Scene(Step);

/// Some hundred steps that are the same in every run.
pub fn some_steps() -> Vec<Scene> {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 300).new_tree(&mut runner).unwrap();
    steps.current().into_iter().map(Scene).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_in_a_file_never_differ_from_its_calls(steps in prop::collection::vec(step(), 1..120)) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("usage.db"));
        let steps: Vec<Scene> = steps.into_iter().map(Scene).collect();
        check(&place, &steps);
    }
}
