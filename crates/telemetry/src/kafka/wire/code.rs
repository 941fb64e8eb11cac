//! Error codes of brokers, and what helps.

use std::fmt;

/// An error code of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Code(pub(crate) i16);

/// What helps against an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing is wrong.
    None,
    /// Try again later. Most that an operator can mend is here as well: what is buffered waits until it is mended.
    Retry,
    /// Try again a few times: either the broker is in trouble, or it chokes on these very records.
    RetryFew,
    /// Ask who leads the partition, and try again.
    Refresh,
    /// Send fewer records at once, if there are several.
    Split,
    /// Take a new producer id, and try again.
    NewProducer,
    /// Nothing: these records will never be taken.
    Drop,
}

impl Code {
    pub(crate) const UNKNOWN: Code = Code(-1);
    pub(crate) const NONE: Code = Code(0);
    pub(crate) const LEADER_NOT_AVAILABLE: Code = Code(5);
    pub(crate) const CLUSTER_AUTHORIZATION_FAILED: Code = Code(31);
    pub(crate) const UNSUPPORTED_SASL_MECHANISM: Code = Code(33);
    pub(crate) const UNSUPPORTED_VERSION: Code = Code(35);

    pub(crate) fn is_error(self) -> bool {
        self != Code::NONE
    }

    /// What helps when a broker says this of produced records.
    pub(crate) fn remedy(self) -> Remedy {
        match self.0 {
            // A batch that is there already has been stored by an attempt whose answer was lost.
            0 | 46 => Remedy::None,
            3 | 5 | 6 | 8 | 9 | 13 | 56 | 72 | 74 | 75 | 100 => Remedy::Refresh,
            10 | 18 => Remedy::Split,
            45 | 47 | 49 | 59 | 90 => Remedy::NewProducer,
            // The broker has looked at the records and finds fault with them, or with what they are asked to be stored like.
            17 | 21 | 32 | 42 | 43 | 44 | 76 | 87 => Remedy::Drop,
            -1 | 2 => Remedy::RetryFew,
            _ => Remedy::Retry,
        }
    }

    /// What an operator can do about it.
    pub(crate) fn advice(self) -> &'static str {
        match self.0 {
            3 => "create the topic, or let the brokers create topics (auto.create.topics.enable)",
            10 | 18 => "let the topic take larger messages (max.message.bytes), or log less",
            17 => "correct the topic's name",
            19 | 20 => "the topic has fewer replicas in sync than min.insync.replicas: look at the brokers",
            29 => "allow the user to write to the topic",
            31 => "allow the user to write idempotently",
            33 => "use a mechanism that the brokers have switched on (sasl.enabled.mechanisms)",
            34 => "the listener of this port wants no sign-in, or another security protocol",
            35 => "the broker is too old (before Kafka 0.11)",
            58 => "correct user and password",
            _ => "look at the broker's log",
        }
    }

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            -1 => "UNKNOWN_SERVER_ERROR",
            0 => "NONE",
            2 => "CORRUPT_MESSAGE",
            3 => "UNKNOWN_TOPIC_OR_PARTITION",
            5 => "LEADER_NOT_AVAILABLE",
            6 => "NOT_LEADER_OR_FOLLOWER",
            7 => "REQUEST_TIMED_OUT",
            8 => "BROKER_NOT_AVAILABLE",
            9 => "REPLICA_NOT_AVAILABLE",
            10 => "MESSAGE_TOO_LARGE",
            13 => "NETWORK_EXCEPTION",
            14 => "COORDINATOR_LOAD_IN_PROGRESS",
            15 => "COORDINATOR_NOT_AVAILABLE",
            17 => "INVALID_TOPIC_EXCEPTION",
            18 => "RECORD_LIST_TOO_LARGE",
            19 => "NOT_ENOUGH_REPLICAS",
            20 => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
            21 => "INVALID_REQUIRED_ACKS",
            29 => "TOPIC_AUTHORIZATION_FAILED",
            31 => "CLUSTER_AUTHORIZATION_FAILED",
            32 => "INVALID_TIMESTAMP",
            33 => "UNSUPPORTED_SASL_MECHANISM",
            34 => "ILLEGAL_SASL_STATE",
            35 => "UNSUPPORTED_VERSION",
            42 => "INVALID_REQUEST",
            43 => "UNSUPPORTED_FOR_MESSAGE_FORMAT",
            44 => "POLICY_VIOLATION",
            45 => "OUT_OF_ORDER_SEQUENCE_NUMBER",
            46 => "DUPLICATE_SEQUENCE_NUMBER",
            47 => "INVALID_PRODUCER_EPOCH",
            49 => "INVALID_PRODUCER_ID_MAPPING",
            56 => "KAFKA_STORAGE_ERROR",
            58 => "SASL_AUTHENTICATION_FAILED",
            59 => "UNKNOWN_PRODUCER_ID",
            72 => "LISTENER_NOT_FOUND",
            74 => "FENCED_LEADER_EPOCH",
            75 => "UNKNOWN_LEADER_EPOCH",
            76 => "UNSUPPORTED_COMPRESSION_TYPE",
            87 => "INVALID_RECORD",
            89 => "THROTTLING_QUOTA_EXCEEDED",
            90 => "PRODUCER_FENCED",
            100 => "UNKNOWN_TOPIC_ID",
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "error code {}", self.0),
        }
    }
}
