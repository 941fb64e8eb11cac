//! Why something could not be sent. Each text says which step failed, so that the reader knows what to repair.

use std::time::Duration;

use thiserror::Error;

/// An address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not an absolute `http` or `https` address.
    #[error("`{0}` is not an address; write http://host:port/path or https://host:port/path")]
    NotAnAddress(String),
    /// There is a user or a password in it, which would be shown in logs.
    #[error("an address must not hold a user or password; send an `authorization` header instead")]
    Credentials,
    /// The host cannot stand in a certificate.
    #[error("`{0}` is neither a host name nor an address of the network")]
    Host(String),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum OutboundError {
    /// The name has no address.
    #[error("cannot resolve {host}: {reason}; check the name and the DNS servers of this machine")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// No TCP connection.
    #[error("cannot connect to {place}: {reason}; check that it is running and reachable from here")]
    Connect {
        /// `host:port`.
        place: String,
        /// What the system says.
        reason: String,
    },
    /// No TLS session on the connection.
    #[error(
        "no TLS with {place}: {reason}; check its certificate, the authorities trusted here, and that it speaks TLS"
    )]
    Tls {
        /// `host:port`.
        place: String,
        /// What the TLS library says.
        reason: String,
    },
    /// The connection was not made in time.
    #[error("no connection to {place} in {within:?}; check firewalls on the way")]
    ConnectLate {
        /// `host:port`.
        place: String,
        /// The time limit.
        within: Duration,
    },
    /// The connection is made, but HTTP cannot begin or breaks.
    #[error("the connection to {place} broke: {reason}")]
    Broken {
        /// `host:port`.
        place: String,
        /// What happened.
        reason: String,
        /// Whether the server may have had the request. If not, sending it again cannot double anything.
        handed_over: bool,
    },
    /// The whole answer did not come in time. The server may have had the request.
    #[error(
        "{place} did not answer in {within:?}; the time limit can be raised, or the server is overloaded"
    )]
    Late {
        /// `host:port`.
        place: String,
        /// The time limit.
        within: Duration,
    },
    /// The request cannot be written as HTTP. Sending it again will not help.
    #[error("the request to {place} cannot be sent: {reason}")]
    Request {
        /// `host:port`.
        place: String,
        /// Why.
        reason: String,
    },
}

impl OutboundError {
    /// Whether the server may have had the request: sending it again may double what it holds.
    pub fn handed_over(&self) -> bool {
        match self {
            OutboundError::Broken { handed_over, .. } => *handed_over,
            OutboundError::Late { .. } => true,
            OutboundError::Resolve { .. }
            | OutboundError::Connect { .. }
            | OutboundError::Tls { .. }
            | OutboundError::ConnectLate { .. }
            | OutboundError::Request { .. } => false,
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
