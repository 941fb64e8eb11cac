//! Makes one connection: names to addresses, TCP, TLS. Says which of the three failed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate_resources::egress;
use tollgate_telemetry::outbound::Stream;

use super::endpoint::{Endpoint, Scheme};
use super::{names, reach};
use crate::error::{ADDRESS_REFUSED, AttemptError};

/// How long an address may take when the name has another one: a dead address must not use up the whole time for connecting.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(1);

/// Connects as [`connect`] does.
///
/// # Errors
/// No connection could be made in `within`.
pub(super) async fn connect_within(
    endpoint: &Endpoint,
    among: Option<&[SocketAddr]>,
    within: Duration,
) -> Result<(Stream, SocketAddr), AttemptError> {
    // Boxed: most requests find a connection, and shall not pay for the size of what makes one.
    match tokio::time::timeout(within, Box::pin(connect(endpoint, among))).await {
        Ok(connected) => connected,
        Err(_) => {
            let detail = format!("no connection to {} in {} ms", endpoint.host, within.as_millis());
            Err(AttemptError::connect("connect_timeout", detail))
        }
    }
}

/// Connects to one of the endpoint's addresses, trying them in the resolver's order; or to one of `among`, if any are
/// given, beginning with another one each time.
///
/// Cancel-safe: dropping the future closes what was opened.
async fn connect(
    endpoint: &Endpoint,
    among: Option<&[SocketAddr]>,
) -> Result<(Stream, SocketAddr), AttemptError> {
    let (tcp, address) = match among.filter(|among| !among.is_empty()) {
        Some(among) => connect_to(in_turn(among), endpoint).await?,
        None => connect_tcp(endpoint).await?,
    };
    // Small requests must not wait for an acknowledgement of the previous packet.
    tcp.set_nodelay(true)
        .map_err(|error| AttemptError::connect("connect_error", error.to_string()))?;
    match &endpoint.scheme {
        Scheme::Https { config, server_name } => {
            let tls = TlsConnector::from(config.clone())
                .connect(server_name.clone(), tcp)
                .await
                .map_err(|error| AttemptError::connect("tls_error", format!("{address}: {error}")))?;
            Ok((Stream::Tls(Box::new(tls)), address))
        }
        Scheme::Http | Scheme::Simulated { .. } => Ok((Stream::Plain(tcp), address)),
    }
}

async fn connect_tcp(endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), AttemptError> {
    if let Some(address) = reach::address(&endpoint.host, endpoint.port) {
        return connect_to(std::iter::once(address), endpoint).await;
    }
    let addresses = names::lookup(&endpoint.host, endpoint.port)
        .await
        .map_err(|error| AttemptError::connect("dns_error", format!("{}: {error}", endpoint.host)))?;
    connect_to(addresses.into_iter(), endpoint).await
}

/// The addresses, beginning with another one each time, so that all get their share.
fn in_turn(addresses: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let first = TURN.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
    addresses
        .iter()
        .cycle()
        .skip(first)
        .take(addresses.len())
        .copied()
}

async fn connect_to(
    addresses: impl Iterator<Item = SocketAddr>,
    endpoint: &Endpoint,
) -> Result<(TcpStream, SocketAddr), AttemptError> {
    let mut last = None;
    let mut addresses = addresses.peekable();
    while let Some(address) = addresses.next() {
        // Here, and not where a name is resolved: it may lead elsewhere by now.
        if let Err(refused) = egress::check(endpoint.origin, &endpoint.host, address.ip()) {
            last = Some((ADDRESS_REFUSED, refused.to_string()));
            continue;
        }
        let connecting = TcpStream::connect(address);
        let connected = if addresses.peek().is_some() {
            tokio::time::timeout(NEXT_ADDRESS_AFTER, connecting).await
        } else {
            Ok(connecting.await)
        };
        match connected {
            Ok(Ok(tcp)) => return Ok((tcp, address)),
            Ok(Err(error)) => last = Some(("connect_error", format!("{address}: {error}"))),
            Err(_) => last = Some(("connect_error", format!("{address}: no answer"))),
        }
    }
    Err(match last {
        Some((outcome, detail)) => AttemptError::connect(outcome, detail),
        None => AttemptError::connect("dns_error", format!("{}: no addresses", endpoint.host)),
    })
}
