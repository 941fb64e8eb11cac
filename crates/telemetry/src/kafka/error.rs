//! What can go wrong with a broker.

use std::time::Duration;

use super::wire::{Code, Garbled};
use crate::outbound::{AddressError, OutboundError};

/// What can go wrong with a broker. Holds no secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] OutboundError),
    /// A broker's name cannot stand in a certificate.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The connection broke.
    #[error("{broker}: the connection broke: {cause}{advice}")]
    Lost {
        /// Host and port.
        broker: String,
        /// What happened.
        cause: String,
        /// What may help; begins with `; `, or is empty.
        advice: &'static str,
    },
    /// No answer came.
    #[error("{broker}: no answer to {request} within {within:?}")]
    Late {
        /// Host and port.
        broker: String,
        /// What was asked.
        request: &'static str,
        /// The time limit.
        within: Duration,
    },
    /// Whoever answers does not speak Kafka's protocol.
    #[error("{broker}: {cause}")]
    NotKafka {
        /// Host and port.
        broker: String,
        /// What was noticed, and what may help.
        cause: String,
    },
    /// The broker does not know a request that is needed.
    #[error(
        "{broker}: the broker does not know the request {request}: it is older than Kafka 0.11, or not whole"
    )]
    Unsupported {
        /// Host and port.
        broker: String,
        /// The request.
        request: &'static str,
    },
    /// The broker refused a request.
    #[error("{broker}: {request}: {error}: {advice}")]
    Refused {
        /// Host and port.
        broker: String,
        /// What was asked.
        request: &'static str,
        /// Kafka's name of the error, and what the broker says of it.
        error: String,
        /// What an operator can do.
        advice: &'static str,
    },
    /// The broker does not let the client in.
    #[error("{broker}: sign-in as {user} by {mechanism}: {cause}")]
    SignIn {
        /// Host and port.
        broker: String,
        /// The user.
        user: String,
        /// The mechanism's name.
        mechanism: &'static str,
        /// What happened, and what may help.
        cause: String,
    },
    /// A partition cannot be written to now.
    #[error("no broker leads partition {partition} of the topic {topic} now")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32,
    },
}

impl KafkaError {
    /// A broker refused with this code.
    pub(super) fn refused(broker: &str, request: &'static str, code: Code, message: Option<&str>) -> Self {
        KafkaError::Refused {
            broker: broker.to_owned(),
            request,
            error: said(code, message),
            advice: code.advice(),
        }
    }

    pub(super) fn garbled(broker: &str, request: &'static str, garbled: Garbled) -> Self {
        KafkaError::NotKafka {
            broker: broker.to_owned(),
            cause: format!("{request}: {garbled}"),
        }
    }

    /// What is counted: few words, of which there is a bounded number.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            KafkaError::Connect(_) | KafkaError::Address(_) => "connect",
            KafkaError::Lost { .. } => "lost",
            KafkaError::Late { .. } => "late",
            KafkaError::NotKafka { .. } => "garbled",
            KafkaError::Unsupported { .. } => "unsupported",
            KafkaError::Refused { .. } => "refused",
            KafkaError::SignIn { .. } => "sign_in",
            KafkaError::NoLeader { .. } => "no_leader",
        }
    }
}

/// An error as the broker tells it, its words cut where they are too many for a log.
pub(super) fn said(code: Code, message: Option<&str>) -> String {
    const LONGEST: usize = 300;
    match message {
        None | Some("") => code.to_string(),
        Some(message) => {
            let message: String = message
                .chars()
                .take(LONGEST)
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            format!("{code} ({message})")
        }
    }
}
