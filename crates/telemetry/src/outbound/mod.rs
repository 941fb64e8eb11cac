//! Connections to where records of calls are sent: collectors, log servers, brokers.
//!
//! [`connect`] makes one connection, over TLS where that is wanted. [`Client`] makes HTTP requests on connections it
//! keeps. Everything has a time limit. Trust comes in as a ready [`ClientConfig`]: this part reads no files and knows no
//! authorities. Nothing here repeats what a server may have done already; whoever delivers decides that.

mod address;
mod client;
mod connect;
mod error;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use client::{Answer, Client, Limits, Version};
pub use connect::{Place, Stream, Tls, connect};
pub use error::{AddressError, OutboundError};
pub use tokio_rustls::rustls::ClientConfig;
