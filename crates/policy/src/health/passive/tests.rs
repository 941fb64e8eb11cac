use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Change, Outcome, Passive, Reason, Settings, State};

const WELL: Outcome = Outcome::Answered { first_token_ms: None };

fn settings() -> Settings {
    Settings {
        consecutive_failures: 3,
        min_calls: 10,
        window_ms: 10_000,
        ejection_ms: 1_000,
        max_ejection_ms: 8_000,
        ..Settings::default()
    }
}

fn refused(after_ms: Option<u64>) -> Outcome {
    Outcome::RateLimited {
        retry_after_ms: after_ms,
    }
}

/// A whole call at one moment; `None` if none could begin.
fn call(passive: &mut Passive, now: u64, outcome: Outcome) -> Option<Change> {
    let (ticket, _) = passive.begin(now)?;
    let change = passive.report(ticket, now, outcome, |_| true);
    passive.end(ticket);
    change
}

fn fail_until_ejected(passive: &mut Passive, now: u64) -> (Reason, u64) {
    for _ in 0..1_000 {
        if let Some(Change::Ejected { reason, for_ms }) = call(passive, now, Outcome::Failed) {
            return (reason, for_ms);
        }
    }
    panic!("it was never ejected");
}

#[test]
fn failures_in_a_row_eject_and_an_answer_between_starts_anew() {
    let mut passive = Passive::new(settings());
    for outcome in [
        Outcome::Failed,
        Outcome::Failed,
        WELL,
        Outcome::Failed,
        Outcome::Failed,
    ] {
        assert_eq!(call(&mut passive, 5, outcome), None);
    }
    let change = call(&mut passive, 5, Outcome::Failed);
    let reason = Reason::ConsecutiveFailures;
    assert_eq!(
        change,
        Some(Change::Ejected {
            reason,
            for_ms: 1_000
        })
    );
    assert_eq!(passive.state(5), State::Ejected { until: 1_005, reason });
    assert!(!passive.is_usable(1_004));
    assert!(passive.is_usable(1_005));
    assert_eq!(passive.state(1_005), State::Probing);
}

#[test]
fn a_share_of_failures_ejects_when_there_were_enough_calls() {
    let mut passive = Passive::new(settings());
    for number in 0..9 {
        let outcome = if number % 2 == 0 { Outcome::Failed } else { WELL };
        assert_eq!(call(&mut passive, number, outcome), None);
    }
    assert_eq!(
        call(&mut passive, 9, Outcome::Failed),
        Some(Change::Ejected {
            reason: Reason::ErrorRate,
            for_ms: 1_000
        })
    );
}

#[test]
fn failures_of_long_ago_do_not_eject() {
    let mut passive = Passive::new(settings());
    for number in 0..200 {
        let outcome = if number % 2 == 0 { Outcome::Failed } else { WELL };
        // Ten seconds hold seven of them.
        assert_eq!(call(&mut passive, number * 1_500, outcome), None);
    }
}

#[test]
fn a_rate_limit_ejects_for_the_time_that_the_provider_asked_for_but_not_for_ever() {
    for (asked, ejected) in [(250, 250), (5_000, 5_000), (1_000_000, 8_000), (u64::MAX, 8_000)] {
        let mut passive = Passive::new(settings());
        let change = call(&mut passive, 10, refused(Some(asked)));
        let reason = Reason::RateLimited;
        assert_eq!(
            change,
            Some(Change::Ejected {
                reason,
                for_ms: ejected
            })
        );
        assert_eq!(
            passive.state(10),
            State::Ejected {
                until: 10 + ejected,
                reason
            }
        );
    }
}

#[test]
fn a_rate_limit_without_a_time_is_a_failure_in_a_row_but_no_part_of_the_error_rate() {
    let mut passive = Passive::new(settings());
    for number in 0..100 {
        let outcome = if number % 3 == 0 { WELL } else { refused(None) };
        assert_eq!(
            call(&mut passive, 0, outcome),
            None,
            "it still serves every third call"
        );
    }
    assert_eq!(call(&mut passive, 0, WELL), None);
    for _ in 0..2 {
        assert_eq!(call(&mut passive, 0, refused(None)), None);
    }
    let reason = Reason::RateLimited;
    let change = call(&mut passive, 0, refused(Some(0)));
    assert_eq!(
        change,
        Some(Change::Ejected {
            reason,
            for_ms: 1_000
        })
    );
}

#[test]
fn slow_first_tokens_eject() {
    let mut passive = Passive::new(Settings {
        slow_first_token_ms: Some(100),
        ..settings()
    });
    let answered = |ms| Outcome::Answered {
        first_token_ms: Some(ms),
    };
    for took in [101, 101, 100, 101, 101] {
        assert_eq!(call(&mut passive, 0, answered(took)), None);
    }
    assert_eq!(
        call(&mut passive, 0, answered(101)),
        Some(Change::Ejected {
            reason: Reason::SlowFirstToken,
            for_ms: 1_000
        })
    );
}

#[test]
fn ejections_double_up_to_the_longest_and_fall_back_with_health() {
    let mut passive = Passive::new(settings());
    let mut now = 0;
    let mut lengths = vec![fail_until_ejected(&mut passive, now).1];
    for _ in 0..4 {
        now += lengths[lengths.len() - 1];
        let (reason, length) = fail_until_ejected(&mut passive, now);
        assert_eq!(reason, Reason::FailedTrial);
        lengths.push(length);
    }
    assert_eq!(lengths, [1_000, 2_000, 4_000, 8_000, 8_000]);
    now += 8_000;
    assert_eq!(call(&mut passive, now, WELL), Some(Change::Recovered));
    // It fails again at once: that was no recovery.
    assert_eq!(fail_until_ejected(&mut passive, now + 10).1, 8_000);
    now += 8_010;
    assert_eq!(call(&mut passive, now, WELL), Some(Change::Recovered));
    assert_eq!(fail_until_ejected(&mut passive, now + 8_000).1, 1_000);
}

#[test]
fn while_probing_only_so_many_calls_run_and_so_many_answers_are_needed() {
    let mut passive = Passive::new(Settings {
        trial_calls: 2,
        ..settings()
    });
    fail_until_ejected(&mut passive, 0);
    let (first, change) = passive.begin(1_000).unwrap();
    assert_eq!(change, Some(Change::Probing));
    let (second, _) = passive.begin(1_000).unwrap();
    assert!(passive.begin(1_000).is_none() && !passive.is_usable(1_000));
    // Undecided: its slot is free again.
    passive.end(first);
    let (third, _) = passive.begin(1_000).unwrap();
    assert!(passive.begin(1_000).is_none());
    assert_eq!(passive.report(second, 1_000, WELL, |_| true), None);
    passive.end(second);
    assert_eq!(
        passive.report(third, 1_000, WELL, |_| true),
        Some(Change::Recovered)
    );
    passive.end(third);
    assert_eq!(passive.state(1_000), State::Healthy);
}

#[test]
fn calls_that_began_before_an_ejection_neither_prolong_it_nor_fail_the_trial() {
    let mut passive = Passive::new(settings());
    let old: Vec<_> = (0..10).map(|_| passive.begin(0).unwrap().0).collect();
    fail_until_ejected(&mut passive, 0);
    for ticket in &old {
        assert_eq!(passive.report(*ticket, 500, Outcome::Failed, |_| true), None);
    }
    assert!(passive.is_usable(1_000));
    let (trial, _) = passive.begin(1_000).unwrap();
    assert_eq!(passive.report(old[0], 1_000, Outcome::Failed, |_| true), None);
    assert_eq!(
        passive.report(trial, 1_001, WELL, |_| true),
        Some(Change::Recovered)
    );
}

#[test]
fn a_call_that_had_nowhere_else_to_go_and_was_answered_ends_the_ejection() {
    let mut passive = Passive::new(settings());
    fail_until_ejected(&mut passive, 0);
    let ticket = passive.begin_anyway();
    assert_eq!(passive.report(ticket, 1, Outcome::Failed, |_| true), None);
    assert_eq!(
        passive.state(1),
        State::Ejected {
            until: 1_000,
            reason: Reason::ConsecutiveFailures
        }
    );
    let ticket = passive.begin_anyway();
    assert_eq!(passive.report(ticket, 2, WELL, |_| true), Some(Change::Recovered));
}

#[test]
fn shorter_ejections_in_new_settings_count_at_once() {
    let mut passive = Passive::new(settings());
    call(&mut passive, 0, refused(Some(8_000)));
    passive.configure(
        100,
        Settings {
            max_ejection_ms: 50,
            ..settings()
        },
    );
    assert!(!passive.is_usable(149) && passive.is_usable(150));
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => any::<Option<u16>>().prop_map(|took| Outcome::Answered { first_token_ms: took.map(u64::from) }),
        4 => Just(Outcome::Failed),
        1 => any::<Option<u32>>().prop_map(|wait| refused(wait.map(u64::from))),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Begin,
    BeginAnyway,
    Report(usize, Outcome),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3_000u64).prop_map(Step::Wait),
        4 => Just(Step::Begin),
        1 => Just(Step::BeginAnyway),
        6 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Report(which, outcome)),
        2 => any::<usize>().prop_map(Step::End),
    ]
}

#[test]
fn what_its_pool_cannot_do_without_takes_calls_on_and_is_ejected_when_it_can() {
    let mut passive = Passive::new(settings());
    let mut fail = |may_be_ejected: bool| {
        let (ticket, _) = passive.begin(0)?;
        passive.report(ticket, 0, Outcome::Failed, |_| may_be_ejected)
    };
    let reason = Reason::ConsecutiveFailures;
    assert_eq!((fail(false), fail(false)), (None, None));
    assert_eq!(fail(false), Some(Change::Withheld { reason }));
    assert_eq!(fail(false), Some(Change::Withheld { reason }));
    let for_ms = 1_000;
    assert_eq!(fail(true), Some(Change::Ejected { reason, for_ms }));
}

#[test]
fn what_the_provider_asks_for_is_done_whatever_the_pool_needs() {
    let mut passive = Passive::new(settings());
    let ticket = passive.begin_anyway();
    let change = passive.report(ticket, 0, refused(Some(700)), |_| false);
    let reason = Reason::RateLimited;
    assert_eq!(change, Some(Change::Ejected { reason, for_ms: 700 }));
    assert!(!passive.is_set_aside());
}

#[test]
fn one_may_always_be_ejected_and_at_most_the_share() {
    let settings = Settings::default();
    let most = [1, 2, 3, 4, 5, 100].map(|size| settings.most_ejected(size));
    assert_eq!(most, [1, 1, 1, 2, 2, 50]);
    let all = Settings {
        max_ejected_percent: 100,
        ..settings
    };
    assert_eq!(all.most_ejected(7), 7);
}

proptest! {
    /// Whatever happens: trial slots are never exceeded nor lost, no ejection is longer than allowed, looking changes
    /// nothing, and an instance that was left alone for the longest time takes calls again.
    #[test]
    fn no_history_breaks_the_rules(
        steps in proptest::collection::vec(step(), 0..300),
        trial_calls in 1..4u32,
        slow in proptest::option::of(1..70_000u64),
        may_be_ejected in any::<bool>(),
    ) {
        let settings = Settings { trial_calls, slow_first_token_ms: slow, ..settings() };
        let mut passive = Passive::new(settings);
        let mut now = 0;
        let mut running = Vec::new();
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Begin => {
                    let usable = passive.is_usable(now);
                    let begun = passive.begin(now);
                    prop_assert_eq!(usable, begun.is_some());
                    running.extend(begun.map(|(ticket, _)| ticket));
                }
                Step::BeginAnyway => running.push(passive.begin_anyway()),
                Step::Report(which, outcome) if !running.is_empty() => {
                    let ticket = running.swap_remove(which % running.len());
                    let before = passive.epoch();
                    let change = passive.report(ticket, now, outcome, |_| may_be_ejected);
                    let is_withheld = matches!(change, Some(Change::Withheld { .. }));
                    prop_assert_eq!(change.is_some() && !is_withheld, passive.epoch() != before);
                    prop_assert!(!(is_withheld && may_be_ejected));
                    if let Some(Change::Ejected { for_ms, .. }) = change {
                        prop_assert!(for_ms <= settings.max_ejection_ms);
                    }
                    passive.end(ticket);
                }
                Step::End(which) if !running.is_empty() => {
                    passive.end(running.swap_remove(which % running.len()));
                }
                Step::Report(..) | Step::End(_) => {}
            }
            prop_assert!(passive.trials_under_way() <= trial_calls);
            if let State::Ejected { until, .. } = passive.state(now) {
                prop_assert!(until > now && until - now <= settings.max_ejection_ms);
                prop_assert!(!passive.is_usable(now));
            }
        }
        for ticket in running {
            passive.end(ticket);
        }
        prop_assert_eq!(passive.trials_under_way(), 0);
        prop_assert!(passive.is_usable(now + settings.max_ejection_ms));
    }
}
