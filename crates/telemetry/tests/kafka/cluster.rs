//! Against librdkafka's mock cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_telemetry::delivery::{SendError, Sent, Sink, Tally};
use tollgate_telemetry::kafka::{Acks, Partitioner, Record, Sender, Settings};

use super::harness::{Telemetry, keyed, record, settings, until, until_sent};
use super::kafka::{KafkaCluster, kcat};

fn values(cluster: &KafkaCluster, topic: &str) -> Vec<String> {
    let records = cluster.consume(topic);
    records.into_iter().map(|record| record.value).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn records_arrive_as_they_were_handed_over() {
    let mut cluster = KafkaCluster::start(3);
    cluster.tell("topic logs 4 3");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&cluster.brokers, None, "logs"));
    let large = "x".repeat(300_000);
    let handed_over = [
        (None, "plain"),
        (Some("key"), "{\"ä\":\"\\n\"}"),
        (Some(""), "an empty key"),
        (None, ""),
        (Some("key"), large.as_str()),
    ];
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    for (key, value) in handed_over {
        let record = match key {
            Some(key) => keyed(key, value),
            None => record(value),
        };
        producer.send(record).unwrap();
    }
    let tally = until_sent(&producer, 5);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(
        tally,
        Tally {
            queued: 5,
            sent: 5,
            ..Tally::default()
        }
    );
    let records = cluster.consume("logs");
    // kcat shows an empty key as it shows none.
    let key = |key: Option<&str>| key.filter(|key| !key.is_empty()).map(str::to_owned);
    let arrived: BTreeSet<_> = records
        .iter()
        .map(|record| (key(record.key.as_deref()), record.value.clone()))
        .collect();
    let expected: BTreeSet<_> = handed_over
        .iter()
        .map(|(of, value)| (key(*of), (*value).to_owned()))
        .collect();
    assert_eq!(arrived, expected);
    assert_eq!(records.len(), 5);
    for record in records {
        let timestamp = u128::try_from(record.timestamp).unwrap();
        assert!((before..=after).contains(&timestamp), "{record:?}");
    }
}

#[test]
fn keys_go_to_the_partitions_where_other_clients_send_them() {
    let mut cluster = KafkaCluster::start(3);
    let keys: Vec<String> = (0..60)
        .map(|number| format!("key-{number}{}", "x".repeat(number % 7)))
        .collect();
    for (partitioner, theirs) in [
        (Partitioner::Crc32, "consistent"),
        (Partitioner::Murmur2, "murmur2"),
    ] {
        let (topic, other) = (format!("ours-{theirs}"), format!("theirs-{theirs}"));
        cluster.tell(&format!("topic {topic} 7 3"));
        cluster.tell(&format!("topic {other} 7 3"));
        let lines: String = keys.iter().map(|key| format!("{key}:value\n")).collect();
        let partitioner_option = format!("topic.partitioner={theirs}");
        let bootstrap = cluster.bootstrap();
        kcat(
            &[
                "-P",
                "-b",
                &bootstrap,
                "-t",
                &other,
                "-K",
                ":",
                "-X",
                &partitioner_option,
            ],
            &lines,
        );
        let telemetry = Telemetry::start();
        let producer = telemetry.producer(Settings {
            partitioner,
            ..settings(&cluster.brokers, None, &topic)
        });
        for key in &keys {
            producer.send(keyed(key, "value")).unwrap();
        }
        until_sent(&producer, 60);
        let partitions = |topic: &str| -> BTreeMap<Option<String>, i64> {
            let records = cluster.consume(topic).into_iter();
            records.map(|record| (record.key, record.partition)).collect()
        };
        assert_eq!(partitions(&topic).len(), 60);
        assert_eq!(partitions(&topic), partitions(&other), "{theirs}");
    }
}

#[test]
fn each_degree_of_acknowledgement_stores_records() {
    let mut cluster = KafkaCluster::start(3);
    for (acks, topic) in [(Acks::None, "none"), (Acks::Leader, "leader"), (Acks::All, "all")] {
        cluster.tell(&format!("topic {topic} 2 3"));
        let telemetry = Telemetry::start();
        let producer = telemetry.producer(Settings {
            acks,
            ..settings(&cluster.brokers, None, topic)
        });
        for number in numbers(0..500) {
            producer.send(record(number)).unwrap();
        }
        until_sent(&producer, 500);
        // Without acknowledgement they may still be on the way.
        until("the records are there", || cluster.consume(topic).len() >= 500);
        let arrived: BTreeSet<_> = values(&cluster, topic).into_iter().collect();
        assert_eq!(arrived, numbers(0..500).into_iter().collect(), "{topic}");
    }
}

#[test]
fn records_wait_in_the_buffer_while_the_broker_is_away_and_what_does_not_fit_is_counted() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 1 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        max_buffered_records: 60,
        ..settings(&cluster.brokers, None, "logs")
    });
    producer.send(record("before")).unwrap();
    until_sent(&producer, 1);
    cluster.tell("down 1");
    let refused = numbers(0..100)
        .into_iter()
        .filter(|number| producer.send(record(number.clone())).is_err())
        .count();
    assert_eq!(refused, 40);
    until("it was tried", || producer.queue().tally().errors > 0);
    cluster.tell("up 1");
    let tally = until_sent(&producer, 61);
    assert_eq!((tally.full, tally.failed, tally.stopped), (40, 0, 0));
    let expected: Vec<_> = std::iter::once("before".to_owned())
        .chain(numbers(0..60))
        .collect();
    assert_eq!(values(&cluster, "logs"), expected);
    let metrics = telemetry.metrics.text();
    assert!(
        metrics.contains("tollgate_delivery_dropped_total{sink=\"kafka\",reason=\"full\"} 40\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("tollgate_kafka_errors_total{topic=\"logs\",error=\"connect\"}"),
        "{metrics}"
    );
}

#[test]
fn records_are_given_up_where_that_is_wanted() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 1 1");
    cluster.tell("down 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        max_retry_count: 1,
        ..settings(&cluster.brokers, None, "logs")
    });
    producer.send(record("given up")).unwrap();
    until("it is given up", || producer.queue().tally().failed == 1);
    assert_eq!(producer.queue().tally().retries, 1);
    cluster.tell("up 1");
    producer.send(record("there")).unwrap();
    until_sent(&producer, 1);
    assert_eq!(values(&cluster, "logs"), ["there"]);
}

#[test]
fn records_of_a_partition_keep_their_order_while_its_leader_changes() {
    let mut cluster = KafkaCluster::start(3);
    cluster.tell("topic logs 1 3");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        batch_records: 7,
        ..settings(&cluster.brokers, None, "logs")
    });
    for round in 0..20 {
        for number in numbers(round * 50..(round + 1) * 50) {
            producer.send(keyed("the same", number)).unwrap();
        }
        cluster.tell(&format!("leader logs 0 {}", round % 3 + 1));
    }
    until_sent(&producer, 1000);
    assert_eq!(values(&cluster, "logs"), numbers(0..1000));
}

#[test]
fn errors_that_pass_lose_nothing() {
    let mut cluster = KafkaCluster::start(3);
    cluster.tell("topic logs 1 3");
    let telemetry = Telemetry::start();
    // In this order: NOT_LEADER, LEADER_NOT_AVAILABLE, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, KAFKA_STORAGE_ERROR,
    // TOPIC_AUTHORIZATION_FAILED, an unknown one, UNKNOWN_SERVER_ERROR; and for the questions who leads.
    cluster.tell("errors 0 6 5 7 19 56 29 9999 -1");
    cluster.tell("errors 3 5 3");
    let producer = telemetry.producer(settings(&cluster.brokers, None, "logs"));
    for number in numbers(0..10) {
        producer.send(record(number)).unwrap();
    }
    let tally = until_sent(&producer, 10);
    assert!(tally.errors > 0);
    assert_eq!(tally.failed, 0);
    assert_eq!(values(&cluster, "logs"), numbers(0..10));
    let metrics = telemetry.metrics.text();
    for error in [
        "NOT_LEADER_OR_FOLLOWER",
        "TOPIC_AUTHORIZATION_FAILED",
        "error code 9999",
    ] {
        let line = format!("tollgate_kafka_errors_total{{topic=\"logs\",error=\"{error}\"}} 1\n");
        assert!(metrics.contains(&line), "{error} in {metrics}");
    }
}

#[test]
fn batches_that_are_too_large_are_split_and_a_record_that_is_too_large_is_counted() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 1 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        linger: Duration::from_secs(3600),
        batch_records: 8,
        ..settings(&cluster.brokers, None, "logs")
    });
    // MESSAGE_TOO_LARGE for all eight, then for the first half.
    cluster.tell("errors 0 10 10");
    for number in numbers(0..8) {
        producer.send(record(number)).unwrap();
    }
    until_sent(&producer, 8);
    assert_eq!(values(&cluster, "logs"), numbers(0..8));
    assert_eq!(producer.queue().tally().too_large, 0);

    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        batch_records: 1,
        ..settings(&cluster.brokers, None, "logs")
    });
    cluster.tell("errors 0 10");
    producer.send(record("too large")).unwrap();
    producer.send(record("8")).unwrap();
    let tally = until_sent(&producer, 1);
    assert_eq!((tally.too_large, tally.failed), (1, 0));
    assert_eq!(values(&cluster, "logs"), numbers(0..9));
}

#[test]
fn records_a_broker_will_never_take_are_counted_and_hold_up_nobody() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 1 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        batch_records: 1,
        ..settings(&cluster.brokers, None, "logs")
    });
    // INVALID_RECORD
    cluster.tell("errors 0 87");
    producer.send(record("bad")).unwrap();
    producer.send(record("good")).unwrap();
    assert_eq!(until_sent(&producer, 1).failed, 1);
    assert_eq!(values(&cluster, "logs"), ["good"]);
}

#[test]
fn a_cluster_that_hangs_is_waited_for_within_bounds_and_nothing_is_lost() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 1 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        timeout: Duration::from_millis(200),
        ..settings(&cluster.brokers, None, "logs")
    });
    producer.send(record("before")).unwrap();
    until_sent(&producer, 1);
    cluster.pause();
    for number in numbers(0..20) {
        producer.send(record(number)).unwrap();
    }
    until("it was given up and tried again", || {
        producer.queue().tally().retries > 0
    });
    cluster.resume();
    until_sent(&producer, 21);
    // What was written before it hung may be there twice: nobody can know.
    let arrived: BTreeSet<_> = values(&cluster, "logs").into_iter().collect();
    let expected: BTreeSet<_> = std::iter::once("before".to_owned())
        .chain(numbers(0..20))
        .collect();
    assert_eq!(arrived, expected);
}

#[test]
fn records_without_a_key_go_to_the_partitions_whose_leaders_are_there() {
    let mut cluster = KafkaCluster::start(3);
    cluster.tell("topic logs 3 1");
    for broker in 1..=3 {
        cluster.tell(&format!("leader logs {} {broker}", broker - 1));
    }
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        batch_records: 5,
        ..settings(&cluster.brokers, None, "logs")
    });
    cluster.tell("down 2");
    for number in numbers(0..100) {
        producer.send(record(number)).unwrap();
    }
    until_sent(&producer, 100);
    cluster.tell("up 2");
    let records = cluster.consume("logs");
    let partitions: BTreeSet<_> = records.iter().map(|record| record.partition).collect();
    assert_eq!(partitions, BTreeSet::from([0, 2]));
    assert_eq!(records.len(), 100);
}

#[test]
fn a_broker_that_is_back_gets_records_without_a_key_again() {
    let mut cluster = KafkaCluster::start(2);
    cluster.tell("topic logs 2 1");
    cluster.tell("leader logs 0 1");
    cluster.tell("leader logs 1 2");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        metadata_refresh: Duration::from_millis(50),
        ..settings(&cluster.brokers, None, "logs")
    });
    cluster.tell("down 2");
    for _ in 0..3 {
        producer.send(record("elsewhere")).unwrap();
    }
    until_sent(&producer, 3);
    cluster.tell("up 2");
    let mut sent = 3;
    until("the broker has records", || {
        producer.send(record("there")).unwrap();
        sent += 1;
        until_sent(&producer, sent);
        cluster.consume("logs").iter().any(|record| record.partition == 1)
    });
}

#[test]
fn brokers_of_the_settings_are_tried_in_turn() {
    let mut cluster = KafkaCluster::start(3);
    cluster.tell("topic logs 3 3");
    cluster.tell("down 1");
    cluster.tell("leader logs 0 2");
    cluster.tell("leader logs 1 3");
    cluster.tell("leader logs 2 3");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&cluster.brokers[..2], None, "logs"));
    producer.send(record("there")).unwrap();
    until_sent(&producer, 1);
    cluster.tell("up 1");
    assert_eq!(values(&cluster, "logs"), ["there"]);
}

#[test]
fn a_topic_that_is_not_there_yet_is_waited_for() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 2 1");
    cluster.tell("broken logs 3");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&cluster.brokers, None, "logs"));
    producer.send(record("early")).unwrap();
    until("it was tried", || producer.queue().tally().errors > 0);
    cluster.tell("broken logs 0");
    until_sent(&producer, 1);
    assert_eq!(values(&cluster, "logs"), ["early"]);
}

#[test]
fn what_waits_is_sent_when_the_gateway_stops() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 2 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        linger: Duration::from_secs(3600),
        ..settings(&cluster.brokers, None, "logs")
    });
    for number in numbers(0..150) {
        producer.send(record(number)).unwrap();
    }
    assert!(telemetry.hub.flush_and_stop(Duration::from_secs(60)));
    assert_eq!(cluster.consume("logs").len(), 150);
}

#[test]
fn a_stop_waits_no_longer_than_it_may_and_counts_what_is_lost() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 2 1");
    cluster.tell("down 1");
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&cluster.brokers, None, "logs"));
    for number in numbers(0..10) {
        producer.send(record(number)).unwrap();
    }
    until("it was tried", || producer.queue().tally().errors > 0);
    assert!(!telemetry.hub.flush_and_stop(Duration::from_millis(50)));
    until("the loss is counted", || producer.queue().tally().stopped == 10);
}

#[test]
fn whoever_sends_without_a_buffer_is_told_at_once_how_it_went() {
    let mut cluster = KafkaCluster::start(1);
    cluster.tell("topic logs 2 1");
    let telemetry = Telemetry::start();
    let mut sender = Sender::new(settings(&cluster.brokers, None, "logs"), &telemetry.metrics);
    let mut send = |batch: &[Record]| -> Result<Sent, SendError> {
        telemetry.hub.runtime().block_on(sender.send(batch))
    };
    let batch: Vec<_> = numbers(0..500).into_iter().map(record).collect();
    assert_eq!(send(&batch), Ok(Sent::All));
    cluster.tell("down 1");
    let error = send(&[record("500")]).unwrap_err();
    assert!(error.may_retry);
    assert!(
        error.cause.contains("cannot connect to 127.0.0.1:"),
        "{}",
        error.cause
    );
    cluster.tell("up 1");
    assert_eq!(send(&[record("500")]), Ok(Sent::All));
    assert_eq!(cluster.consume("logs").len(), 501);
}

#[test]
fn a_cluster_that_gives_no_producer_id_is_written_to_without_one() {
    // It does not know the request; it forbids it (CLUSTER_AUTHORIZATION_FAILED); it fails again and again.
    for command in ["versions 22 -1 -1", "errors 22 31", "errors 22 -1 -1 -1"] {
        let mut cluster = KafkaCluster::start(1);
        cluster.tell("topic logs 1 1");
        cluster.tell(command);
        let telemetry = Telemetry::start();
        let producer = telemetry.producer(Settings {
            acks: Acks::All,
            ..settings(&cluster.brokers, None, "logs")
        });
        producer.send(record("there")).unwrap();
        assert_eq!(until_sent(&producer, 1).errors, 0, "{command}");
        assert_eq!(values(&cluster, "logs"), ["there"]);
    }
}
