//! Makes one connection: name to addresses, TCP, TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollgate_resources::egress::{self, Origin};

use super::ClientConfig;
use super::error::{AddressError, OutboundError};

/// How long one of several addresses may take: a dead one must not use up the whole time.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(1);

/// How long a connection is silent before the system asks whether its other end is there. Shorter than what firewalls and
/// load balancers usually remember of a silent connection (5 minutes and more).
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// Between two such questions; after the system's usual number of them (9) the connection is broken.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// What to connect to.
#[derive(Clone)]
pub struct Place {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Encryption, if wanted.
    pub tls: Option<Tls>,
    /// Who has named it.
    pub origin: Origin,
}

/// How a connection is encrypted.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl Tls {
    /// Trust of `config`, a certificate that shows `host`, and these protocols offered (ALPN; none for protocols that have
    /// no name there, such as Kafka's). The configuration is copied only if it offers others.
    ///
    /// # Errors
    /// The host cannot stand in a certificate.
    pub fn new(config: &Arc<ClientConfig>, host: &str, protocols: &[&[u8]]) -> Result<Self, AddressError> {
        let server_name =
            ServerName::try_from(host.to_owned()).map_err(|_| AddressError::Host(host.to_owned()))?;
        let mut config = config.clone();
        if !config.alpn_protocols.iter().eq(protocols) {
            Arc::make_mut(&mut config).alpn_protocols =
                protocols.iter().map(|protocol| protocol.to_vec()).collect();
        }
        Ok(Tls { config, server_name })
    }
}

/// Connects within a time limit, name resolution and TLS included. Addresses of a name are tried in the resolver's order.
/// Dropping the future closes what was opened.
///
/// # Errors
/// A step failed, which the error names, or took too long.
pub async fn connect(place: &Place, within: Duration) -> Result<Stream, OutboundError> {
    match timeout(within, open(place)).await {
        Ok(opened) => opened,
        Err(_) => Err(OutboundError::ConnectLate {
            place: place.to_string(),
            within,
        }),
    }
}

async fn open(place: &Place) -> Result<Stream, OutboundError> {
    let tcp = open_tcp(place).await?;
    prepare(&tcp).map_err(|error| OutboundError::Connect {
        place: place.to_string(),
        reason: error.to_string(),
    })?;
    let Some(tls) = &place.tls else {
        return Ok(Stream::Plain(tcp));
    };
    let connector = TlsConnector::from(tls.config.clone());
    match connector.connect(tls.server_name.clone(), tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(OutboundError::Tls {
            place: place.to_string(),
            reason: error.to_string(),
        }),
    }
}

async fn open_tcp(place: &Place) -> Result<TcpStream, OutboundError> {
    let unresolved = |reason: String| OutboundError::Resolve {
        host: place.host.clone(),
        reason,
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((place.host.as_str(), place.port))
        .await
        .map_err(|error| unresolved(error.to_string()))?
        .collect();
    let mut last = None;
    let mut addresses = addresses.into_iter().peekable();
    while let Some(address) = addresses.next() {
        if let Err(refused) = egress::check(place.origin, &place.host, address.ip()) {
            last = Some(refused.to_string());
            continue;
        }
        let connecting = TcpStream::connect(address);
        let connected = match addresses.peek() {
            Some(_) => timeout(NEXT_ADDRESS_AFTER, connecting).await,
            None => Ok(connecting.await),
        };
        last = Some(match connected {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{address} does not answer"),
        });
    }
    match last {
        Some(reason) => Err(OutboundError::Connect {
            place: place.to_string(),
            reason,
        }),
        None => Err(unresolved("it has no address".to_owned())),
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    // What is sent is whole messages: none shall wait for the acknowledgement of the one before.
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A connection, encrypted or not.
pub enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The protocol agreed on in the TLS handshake (ALPN), if any.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }
}
