//! Answers as brokers write them, whole, cut and lying.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    BrokerId, MetadataResponse, ProduceRequest, ProduceResponse, ProducerId, SaslAuthenticateResponse,
    TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::RecordBatchDecoder;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::messages::{ApiVersions, InitProducerId, Metadata, Produce, Request, SaslAuthenticate};
use super::read::{Garbled, Reader};
use super::{BatchHead, Code, MetadataPartition, ProduceAnswer, ProducePartition, Writer, record_batch};
use crate::kafka::Record;

/// An answer as kafka-protocol writes it.
fn theirs(answer: &impl Encodable, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    answer.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

fn record() -> impl Strategy<Value = Record> {
    let bytes = || vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let timestamp = prop_oneof![0..3_000_000_000_000_i64, Just(0)];
    (option::of(bytes()), bytes(), timestamp).prop_map(|(key, value, timestamp)| Record {
        timestamp,
        ..Record::new(key, value)
    })
}

proptest! {
    #[test]
    fn batches_and_requests_are_read_by_another_implementation_as_they_were_meant(
        records in vec(record(), 1..40),
        index in 0..10_000_i32,
        version in 3..=8_i16,
        producer_id in -1..i64::MAX,
        base_sequence in 0..i32::MAX - 40,
    ) {
        let head = BatchHead { producer_id, producer_epoch: 3, base_sequence };
        let batch = record_batch(head, records.iter());
        let sizes: usize = records.iter().map(Record::size).sum();
        prop_assert!(batch.len() <= sizes + 61, "a batch is no larger than it was reckoned");
        let mut writer = Writer::default();
        let partitions = [ProducePartition { index, batch }];
        Produce { topic: "logs", acks: -1, timeout: 3000, partitions: &partitions }.write(version, &mut writer);
        let mut request = Bytes::from(writer.into_bytes());
        let read = ProduceRequest::decode(&mut request, version).unwrap();
        prop_assert!(request.is_empty());
        prop_assert_eq!((read.acks, read.timeout_ms, read.topic_data.len()), (-1, 3000, 1));
        prop_assert_eq!(read.topic_data[0].name.as_str(), "logs");
        let partition = &read.topic_data[0].partition_data[0];
        prop_assert_eq!(partition.index, index);
        // It checks the checksum as well.
        let read = RecordBatchDecoder::decode(&mut partition.records.clone().unwrap()).unwrap().records;
        prop_assert_eq!(read.len(), records.len());
        for ((read, record), sequence) in read.iter().zip(&records).zip(base_sequence..) {
            prop_assert_eq!(&read.key, &record.key);
            prop_assert_eq!(read.value.as_ref(), Some(&record.value));
            prop_assert_eq!(read.timestamp, record.timestamp);
            prop_assert_eq!((read.producer_id, read.producer_epoch), (producer_id, 3));
            prop_assert_eq!(read.sequence, sequence);
        }
    }

    #[test]
    fn answers_of_another_implementation_are_read_as_they_were_meant(
        leaders in vec(option::of(0..5_i32), 1..50),
        code in any::<i16>(),
        message in option::of("[a-zé]{0,20}"),
        id in any::<i64>(),
    ) {
        let brokers = (0..5).map(|node| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(node))
                .with_host(StrBytes::from_string(format!("host-{node}")))
                .with_port(9092 + node)
        });
        let partitions = (0..).zip(&leaders).map(|(index, leader)| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(leader.unwrap_or(-1)))
                .with_replica_nodes(vec![BrokerId(0); index as usize % 4])
                .with_isr_nodes(vec![BrokerId(0); index as usize % 3])
        });
        let topic = MetadataResponseTopic::default()
            .with_error_code(code)
            .with_name(Some(TopicName(StrBytes::from_static_str("logs"))))
            .with_partitions(partitions.collect());
        let metadata = MetadataResponse::default()
            .with_brokers(brokers.collect())
            .with_topics(vec![topic]);
        for version in Metadata::VERSIONS.min..=Metadata::VERSIONS.max {
            let read = Metadata::read(version, &mut Reader::new(&theirs(&metadata, version))).unwrap();
            prop_assert_eq!(read.code, Code(code));
            let of: Vec<_> = read.partitions.iter().map(|partition| partition.leader).collect();
            prop_assert_eq!(&of, &leaders);
            prop_assert_eq!(read.brokers.len(), 5);
            prop_assert_eq!((read.brokers[4].host.as_str(), read.brokers[4].port), ("host-4", 9096));
        }
        for version in Produce::VERSIONS.min..=Produce::VERSIONS.max {
            let has_message = version >= 8;
            let mut partition = PartitionProduceResponse::default().with_index(7).with_error_code(code);
            if has_message {
                partition = partition.with_error_message(message.clone().map(StrBytes::from_string));
            }
            let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
            let answer = ProduceResponse::default().with_responses(vec![topic]);
            let read = Produce::read(version, &mut Reader::new(&theirs(&answer, version))).unwrap();
            let message = message.clone().filter(|_| has_message);
            prop_assert_eq!(read, [ProduceAnswer { index: 7, code: Code(code), message }]);
        }
        for version in 0..=1 {
            let answer = InitProducerIdResponse::default()
                .with_error_code(code)
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(9);
            let read = InitProducerId::read(version, &mut Reader::new(&theirs(&answer, version))).unwrap();
            prop_assert_eq!((read.code, read.id, read.epoch), (Code(code), id, 9));
            let answer = SaslAuthenticateResponse::default()
                .with_error_code(code)
                .with_error_message(message.clone().map(StrBytes::from_string))
                .with_auth_bytes(Bytes::from(id.to_string()));
            let answer = if version == 1 { answer.with_session_lifetime_ms(id) } else { answer };
            let read = SaslAuthenticate::read(version, &mut Reader::new(&theirs(&answer, version))).unwrap();
            prop_assert_eq!(read.code, Code(code));
            prop_assert_eq!(&read.error, &message);
            prop_assert_eq!(read.message, id.to_string().into_bytes());
            prop_assert_eq!(read.lifetime, if version == 1 { id } else { 0 });
        }
    }
}

/// Every beginning of an answer is refused, and none is read as something else.
fn cut_everywhere<R: Request>(version: i16, answer: &[u8]) {
    for end in 0..answer.len() {
        assert!(
            R::read(version, &mut Reader::new(&answer[..end])).is_err(),
            "{} of {end} bytes",
            R::NAME
        );
    }
}

#[test]
fn an_array_that_cannot_be_there_is_refused_before_room_is_made_for_it() {
    let answer = [0x7f, 0xff, 0xff, 0xff];
    assert_eq!(
        Metadata::read(1, &mut Reader::new(&answer)),
        Err(Garbled("an array is longer than the answer"))
    );
    assert_eq!(
        Produce::read(3, &mut Reader::new(&answer)),
        Err(Garbled("an array is longer than the answer"))
    );
}

#[test]
fn the_highest_version_both_know_is_used() {
    // Produce 0 to 7, Metadata 8 to 9.
    let answer = [&[0, 0, 0, 0, 0, 2][..], &[0, 0, 0, 0, 0, 7], &[0, 3, 0, 8, 0, 9]].concat();
    let versions = ApiVersions::read(0, &mut Reader::new(&answer)).unwrap();
    assert_eq!(versions.of::<Produce<'_>>(), Some(7));
    assert_eq!(versions.of::<Metadata<'_>>(), None);
    assert_eq!(versions.of::<SaslAuthenticate<'_>>(), None);
    cut_everywhere::<ApiVersions>(0, &answer);
}

#[test]
fn metadata_tells_leaders_and_who_has_none() {
    let answer = [
        &[0, 0, 0, 1][..],                  // one broker
        &[0, 0, 0, 7, 0, 1, b'b'],          // number and host
        &[0, 0, 0x23, 0x84, 0xff, 0xff],    // port 9092, no rack
        &[0, 0, 0, 7],                      // controller
        &[0, 0, 0, 1, 0, 0, 0, 1, b't', 0], // one topic, well, `t`, not internal
        &[0, 0, 0, 2],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let metadata = Metadata::read(1, &mut Reader::new(&answer)).unwrap();
    assert_eq!(metadata.code, Code::NONE);
    assert_eq!(metadata.brokers[0].port, 9092);
    let leaders = [(0, Some(7)), (1, None)].map(|(index, leader)| MetadataPartition { index, leader });
    assert_eq!(metadata.partitions, leaders);
    cut_everywhere::<Metadata<'_>>(1, &answer);
}
