//! Queues under a clock that stands still, with peers that do as they are told.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::{Builder, Handle};
use tokio::time::{advance, sleep};

use super::report::Untold;
use super::shared::Shared;
use super::{Fate, Hub, Limits, Queue, Reason, SendError, Sent, Sink, Tally};
use crate::metrics::Metrics;

/// What the peer does with the next batch. Without a word it takes all.
#[derive(Clone, Debug)]
enum Does {
    TakeAll,
    Each(Vec<Fate>),
    Fail,
    Refuse,
    Hang,
}

/// A peer that notes what it was given and what it took.
#[derive(Clone, Default)]
struct Peer {
    script: Arc<Mutex<VecDeque<Does>>>,
    given: Arc<Mutex<Vec<Vec<u32>>>>,
    took: Arc<Mutex<Vec<u32>>>,
}

impl Peer {
    fn will(script: impl IntoIterator<Item = Does>) -> Peer {
        let peer = Peer::default();
        peer.script.lock().unwrap().extend(script);
        peer
    }

    fn given(&self) -> Vec<Vec<u32>> {
        self.given.lock().unwrap().clone()
    }

    fn took(&self) -> Vec<u32> {
        self.took.lock().unwrap().clone()
    }
}

impl Sink<u32> for Peer {
    async fn send(&mut self, batch: &[u32]) -> Result<Sent, SendError> {
        self.given.lock().unwrap().push(batch.to_vec());
        let next = self.script.lock().unwrap().pop_front();
        match next.unwrap_or(Does::TakeAll) {
            Does::TakeAll => {
                self.took.lock().unwrap().extend(batch);
                Ok(Sent::All)
            }
            Does::Each(fates) => {
                let delivered = batch
                    .iter()
                    .zip(&fates)
                    .filter(|(_, fate)| **fate == Fate::Delivered);
                self.took
                    .lock()
                    .unwrap()
                    .extend(delivered.map(|(entry, _)| *entry));
                Ok(Sent::Each {
                    fates,
                    cause: "not all were taken".into(),
                })
            }
            Does::Fail => Err(SendError::passing("connection refused")),
            Does::Refuse => Err(SendError::lasting("status 400")),
            Does::Hang => pending().await,
        }
    }
}

fn hub() -> Hub {
    Hub::on(Handle::current(), Arc::new(Metrics::default()))
}

fn limits(batch_max_size: usize) -> Limits {
    Limits {
        batch_max_size,
        ..Limits::default()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn push_all(queue: &Queue<u32>, entries: impl IntoIterator<Item = u32>) {
    for entry in entries {
        let _ = queue.push(entry, 10);
    }
}

/// Lets every task run until all wait for time or news.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once_and_the_rest_when_nothing_came_for_a_while() {
    let peer = Peer::default();
    let queue = hub().queue("test", limits(3), || peer.clone());
    push_all(&queue, 1..=7);
    settle().await;
    assert_eq!(peer.given(), [vec![1, 2, 3], vec![4, 5, 6]]);
    advance(Duration::from_millis(4999)).await;
    settle().await;
    assert_eq!(peer.given().len(), 2);
    advance(Duration::from_millis(1)).await;
    settle().await;
    assert_eq!(peer.given().last(), Some(&vec![7]));
    assert_eq!(queue.tally().sent, 7);
}

#[tokio::test(start_paused = true)]
async fn entries_that_keep_coming_do_not_put_a_batch_off_for_ever() {
    let peer = Peer::default();
    let queue = hub().queue("test", limits(1000), || peer.clone());
    for entry in 0..15 {
        push_all(&queue, [entry]);
        settle().await;
        advance(seconds(4)).await;
        settle().await;
        assert_eq!(
            peer.given().is_empty(),
            entry < 14,
            "60 s after the first, not before"
        );
    }
    assert_eq!(peer.given(), [(0..15).collect::<Vec<_>>()]);
}

#[tokio::test(start_paused = true)]
async fn without_a_time_to_wait_entries_go_as_soon_as_the_peer_is_free() {
    let peer = Peer::default();
    let immediate = Limits {
        inactive_timeout: Duration::ZERO,
        ..limits(64)
    };
    let queue = hub().queue("test", immediate, || peer.clone());
    push_all(&queue, [1]);
    settle().await;
    push_all(&queue, [2, 3]);
    settle().await;
    assert_eq!(peer.given(), [vec![1], vec![2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_cut_at_their_bytes_and_one_large_entry_goes_alone() {
    let peer = Peer::default();
    let small = Limits {
        batch_max_bytes: 25,
        ..limits(1000)
    };
    let queue = hub().queue("test", small, || peer.clone());
    push_all(&queue, 1..=3);
    let _ = queue.push(4, 1000);
    push_all(&queue, 5..=6);
    drop(queue);
    settle().await;
    assert_eq!(peer.given(), [vec![1, 2], vec![3], vec![4], vec![5, 6]]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_tried_again_after_the_delay_as_often_as_it_may() {
    let peer = Peer::will([
        Does::Fail,
        Does::Fail,
        Does::TakeAll,
        Does::Fail,
        Does::Fail,
        Does::Fail,
    ]);
    let retrying = Limits {
        max_retry_count: 2,
        retry_delay: seconds(3),
        ..limits(2)
    };
    let queue = hub().queue("test", retrying, || peer.clone());
    push_all(&queue, [1, 2]);
    settle().await;
    assert_eq!(peer.given().len(), 1);
    advance(Duration::from_millis(2999)).await;
    settle().await;
    assert_eq!(peer.given().len(), 1);
    sleep(seconds(10)).await;
    assert_eq!(peer.took(), [1, 2]);
    push_all(&queue, [3, 4]);
    sleep(seconds(10)).await;
    push_all(&queue, [5, 6]);
    sleep(seconds(10)).await;
    assert_eq!(peer.took(), [1, 2, 5, 6]);
    assert_eq!(
        queue.tally(),
        Tally {
            queued: 6,
            sent: 4,
            failed: 2,
            retries: 4,
            errors: 5,
            ..Tally::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_was_not_delivered_is_tried_again() {
    use Fate::{Again, Delivered, Refused, TooLarge};
    let peer = Peer::will([
        Does::Each(vec![Delivered, Again, TooLarge, Refused]),
        Does::TakeAll,
    ]);
    let retrying = Limits {
        max_retry_count: 1,
        ..limits(6)
    };
    let queue = hub().queue("test", retrying, || peer.clone());
    push_all(&queue, 1..=6);
    sleep(seconds(2)).await;
    assert_eq!(peer.given(), [vec![1, 2, 3, 4, 5, 6], vec![2, 5, 6]]);
    assert_eq!(
        queue.tally(),
        Tally {
            queued: 6,
            sent: 4,
            failed: 1,
            too_large: 1,
            retries: 1,
            errors: 1,
            ..Tally::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_will_never_take_is_not_tried_again() {
    let peer = Peer::will([Does::Refuse]);
    let retrying = Limits {
        max_retry_count: 5,
        ..limits(1)
    };
    let queue = hub().queue("test", retrying, || peer.clone());
    push_all(&queue, [1, 2]);
    sleep(seconds(60)).await;
    assert_eq!(peer.given(), [vec![1], vec![2]]);
    assert_eq!((queue.tally().failed, queue.tally().sent), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_refused_and_counted_and_there_is_room_again_after_sending() {
    let peer = Peer::default();
    let tight = Limits {
        max_pending_entries: 3,
        ..limits(1000)
    };
    let queue = hub().queue("test", tight, || peer.clone());
    let pushed: Vec<_> = (1..=5).map(|entry| queue.push(entry, 10)).collect();
    assert_eq!(
        pushed,
        [Ok(()), Ok(()), Ok(()), Err(Reason::Full), Err(Reason::Full)]
    );
    sleep(seconds(6)).await;
    assert_eq!(queue.push(6, 10), Ok(()));
    sleep(seconds(6)).await;
    assert_eq!(peer.took(), [1, 2, 3, 6]);
    assert_eq!(queue.tally().full, 2);
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_being_sent_take_room_too() {
    let peer = Peer::will([Does::Hang]);
    let tight = Limits {
        max_pending_entries: 3,
        ..limits(2)
    };
    let queue = hub().queue("test", tight, || peer.clone());
    push_all(&queue, [1, 2]);
    settle().await;
    assert_eq!(queue.push(3, 10), Ok(()));
    assert_eq!(queue.push(4, 10), Err(Reason::Full));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too() {
    let peer = Peer::default();
    let tight = Limits {
        max_pending_bytes: 100,
        ..limits(1000)
    };
    let queue = hub().queue("test", tight, || peer.clone());
    assert_eq!(queue.push(1, 60), Ok(()));
    assert_eq!(queue.push(2, 41), Err(Reason::Full));
    assert_eq!(queue.push(3, 40), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn with_several_senders_one_hanging_batch_does_not_hold_up_the_next() {
    let peer = Peer::will([Does::Hang]);
    let two = Limits {
        senders: 2,
        ..limits(1)
    };
    let queue = hub().queue("test", two, || peer.clone());
    push_all(&queue, [1, 2, 3]);
    settle().await;
    assert_eq!(peer.took(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_handles_sends_what_it_holds_and_is_over() {
    let peer = Peer::will([Does::Fail]);
    let hub = hub();
    let retrying = Limits {
        max_retry_count: 1,
        ..limits(1000)
    };
    let queue = hub.queue("test", retrying, || peer.clone());
    let clone = queue.clone();
    push_all(&queue, [1, 2]);
    drop(queue);
    settle().await;
    assert!(peer.given().is_empty());
    drop(clone);
    sleep(seconds(2)).await;
    assert_eq!(peer.took(), [1, 2]);
    let text = hub.metrics().text();
    assert!(text.contains("tollgate_delivery_sent_total{sink=\"test\"} 2\n"));
    assert!(
        !text.contains("tollgate_delivery_pending_entries"),
        "gauges of queues that are over are not shown"
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_given_up_some_time_after_the_queue_is_gone() {
    let peer = Peer::will((0..100).map(|_| Does::Fail));
    let stubborn = Limits {
        max_retry_count: u32::MAX,
        ..limits(1)
    };
    let hub = hub();
    let queue = hub.queue("test", stubborn, || peer.clone());
    push_all(&queue, [1]);
    sleep(seconds(20)).await;
    drop(queue);
    sleep(seconds(25)).await;
    assert!(!hub.metrics().text().contains("reason=\"failed\"} 1"));
    sleep(seconds(10)).await;
    assert!(hub.metrics().text().contains("reason=\"failed\"} 1"));
    assert!(peer.given().len() < 60);
}

#[tokio::test(start_paused = true)]
async fn queues_of_the_same_identity_are_one_as_long_as_somebody_keeps_them() {
    let hub = hub();
    let made = Mutex::new(0);
    let peer = Peer::default();
    let queue = |identity: &str| {
        hub.shared_queue(identity, "test", limits(4), || {
            *made.lock().unwrap() += 1;
            peer.clone()
        })
    };
    let old = queue("a");
    push_all(&old, [1, 2]);
    let new = queue("a");
    drop(old);
    push_all(&new, [3, 4]);
    settle().await;
    assert_eq!(peer.given(), [vec![1, 2, 3, 4]]);
    let other = queue("b");
    drop(new);
    settle().await;
    let again = queue("a");
    assert_eq!(*made.lock().unwrap(), 3);
    push_all(&again, [5]);
    push_all(&other, [6]);
    drop((again, other));
    settle().await;
    assert_eq!(peer.took(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_what_waits_and_why_entries_were_lost() {
    let hub = hub();
    let peer = Peer::will([Does::Refuse]);
    let tight = Limits {
        max_pending_entries: 2,
        ..limits(2)
    };
    let queue = hub.queue("kafka-logger", tight, || peer.clone());
    push_all(&queue, 1..=3);
    let text = hub.metrics().text();
    for line in [
        "tollgate_delivery_pending_entries{sink=\"kafka-logger\"} 2\n",
        "tollgate_delivery_pending_bytes{sink=\"kafka-logger\"} 20\n",
        "tollgate_delivery_queued_total{sink=\"kafka-logger\"} 2\n",
        "tollgate_delivery_dropped_total{sink=\"kafka-logger\",reason=\"full\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    settle().await;
    let text = hub.metrics().text();
    for line in [
        "tollgate_delivery_pending_entries{sink=\"kafka-logger\"} 0\n",
        "tollgate_delivery_dropped_total{sink=\"kafka-logger\",reason=\"failed\"} 2\n",
        "tollgate_delivery_errors_total{sink=\"kafka-logger\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn what_happened_is_collected_until_it_is_told() {
    let metrics = Metrics::default();
    let shared: Shared<u32> = Shared::new(
        Limits {
            max_pending_entries: 0,
            ..Limits::default()
        },
        super::counters::Counters::new(&metrics, "test"),
        Arc::new(super::report::Report::new("test")),
    );
    let _ = shared.push(1, 10);
    let _ = shared.push(2, 10);
    shared.report.failed("connection refused".into());
    assert_eq!(
        shared.report.take(),
        Untold {
            full: 2,
            errors: 1,
            cause: Some("connection refused".into()),
            ..Untold::default()
        }
    );
    assert_eq!(shared.report.take(), Untold::default());
}

#[test]
fn a_shutdown_sends_what_waits_from_all_threads() {
    let hub = Hub::start(Arc::new(Metrics::default())).unwrap();
    let peer = Peer::default();
    let queue = hub.queue("test", limits(100), || peer.clone());
    thread::scope(|scope| {
        for worker in 0..4 {
            let queue = &queue;
            scope.spawn(move || push_all(queue, (0..1000).map(|entry| worker * 1000 + entry)));
        }
    });
    assert!(hub.flush_and_stop(seconds(60)));
    let mut took = peer.took();
    took.sort_unstable();
    assert_eq!(took, (0..4000).collect::<Vec<_>>());
    assert_eq!(queue.push(1, 10), Err(Reason::Stopped));
    assert_eq!(queue.tally().stopped, 1);
    let late = hub.queue("late", limits(1), || peer.clone());
    assert_eq!(late.push(1, 10), Err(Reason::Stopped));
}

#[test]
fn a_shutdown_counts_what_it_could_not_send() {
    let hub = Hub::start(Arc::new(Metrics::default())).unwrap();
    let peer = Peer::will([Does::Hang]);
    let queue = hub.queue("test", limits(2), || peer.clone());
    push_all(&queue, 1..=5);
    while peer.given().is_empty() {
        thread::yield_now();
    }
    assert!(!hub.flush_and_stop(Duration::from_millis(1)));
    assert_eq!(
        queue.tally(),
        Tally {
            queued: 5,
            stopped: 5,
            ..Tally::default()
        }
    );
    let text = hub.metrics().text();
    assert!(text.contains("tollgate_delivery_pending_entries{sink=\"test\"} 0\n"));
}

/// What happens to a queue.
#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1usize..50).prop_map(Step::Push),
        1 => (1u64..8000).prop_map(Step::Pass),
    ];
    vec(step, 1..60)
}

fn script() -> impl Strategy<Value = Vec<Does>> {
    let fate = prop_oneof![
        Just(Fate::Delivered),
        Just(Fate::Again),
        Just(Fate::TooLarge),
        Just(Fate::Refused)
    ];
    let does = prop_oneof![
        3 => Just(Does::TakeAll),
        2 => vec(fate, 0..20).prop_map(Does::Each),
        2 => Just(Does::Fail),
        1 => Just(Does::Refuse),
    ];
    vec(does, 0..60)
}

proptest! {
    #[test]
    fn every_entry_is_delivered_or_counted_as_lost_and_none_twice(
        steps in steps(),
        script in script(),
        batch_max_size in 1usize..20,
        max_retry_count in 0u32..3,
        max_pending_entries in 1usize..100,
        senders in 1usize..4,
        inactive in 0u64..3,
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let peer = Peer::will(script);
        let queue_limits = Limits {
            batch_max_size,
            max_retry_count,
            max_pending_entries,
            senders,
            inactive_timeout: seconds(inactive),
            ..Limits::default()
        };
        let (pushed, refused, tally) = runtime.block_on(async {
            let queue = hub().queue("test", queue_limits, || peer.clone());
            let (mut pushed, mut refused) = (Vec::new(), 0);
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Push(entries) => for _ in 0..entries {
                        next += 1;
                        match queue.push(next, 10) {
                            Ok(()) => pushed.push(next),
                            Err(_) => refused += 1,
                        }
                    },
                    Step::Pass(millis) => sleep(Duration::from_millis(millis)).await,
                }
            }
            let clone = queue.clone();
            drop(queue);
            // Longer than all that can be left takes with all its retries.
            sleep(seconds(10_000)).await;
            (pushed, refused, clone.tally())
        });
        let took = peer.took();
        let mut sorted = took.clone();
        sorted.sort_unstable();
        let mut distinct = sorted.clone();
        distinct.dedup();
        prop_assert_eq!(&sorted, &distinct, "delivered twice");
        prop_assert!(sorted.iter().all(|entry| pushed.binary_search(entry).is_ok()));
        if senders == 1 {
            let mut tried = Vec::new();
            for entry in peer.given().concat() {
                if !tried.contains(&entry) {
                    tried.push(entry);
                }
            }
            prop_assert_eq!(&tried, &pushed, "one sender tries them in their order");
        }
        prop_assert_eq!(tally.queued, pushed.len() as u64);
        prop_assert_eq!(tally.sent, took.len() as u64);
        prop_assert_eq!(tally.full, refused);
        prop_assert_eq!(tally.queued, tally.sent + tally.failed + tally.too_large);
    }
}
