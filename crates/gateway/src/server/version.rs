//! Which version of HTTP a client speaks: inside TLS both sides have agreed on it; without, the first bytes tell.
//!
//! They are looked at where the system holds them: who read them would have to give them to the HTTP library once more.

use std::future::poll_fn;
use std::io;

use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tollgate_telemetry::metrics::Limit;

use super::activity::Limits;

/// What every HTTP/2 connection begins with, and no request of HTTP/1.1 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client of a TLS connection says if it wants HTTP/2 (RFC 9113, section 3.2).
const ALPN_HTTP2: &[u8] = b"h2";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Why it is not known.
#[derive(Debug)]
pub(super) enum Unknown {
    /// The client has let this limit pass.
    Late(Limit),
    /// The connection is gone.
    Lost(io::Error),
}

impl From<io::Error> for Unknown {
    fn from(error: io::Error) -> Self {
        Unknown::Lost(error)
    }
}

/// What was agreed on inside TLS. A client that has said nothing of it speaks HTTP/1.1.
pub(super) fn agreed<S>(stream: &tokio_rustls::server::TlsStream<S>) -> Version {
    match stream.get_ref().1.alpn_protocol() {
        Some(ALPN_HTTP2) => Version::Http2,
        _ => Version::Http1,
    }
}

/// Waits for the first bytes of a client.
pub(super) async fn begun(tcp: &TcpStream, limits: Limits) -> Result<Version, Unknown> {
    match timeout(limits.idle, look(tcp)).await {
        Err(_) => Err(Unknown::Late(Limit::IdleTimeout)),
        Ok(seen) => match seen? {
            Some(version) => Ok(version),
            None => timeout(limits.head, told(tcp))
                .await
                .unwrap_or(Err(Unknown::Late(Limit::HeaderTimeout))),
        },
    }
}

/// Waits until the bytes that have come leave no doubt.
async fn told(tcp: &TcpStream) -> Result<Version, Unknown> {
    loop {
        if let Some(version) = look(tcp).await? {
            return Ok(version);
        }
        if tcp.ready(Interest::READABLE).await?.is_read_closed() {
            // No more will come. HTTP/1.1 has the words for a head that is not whole.
            return Ok(Version::Http1);
        }
        // The bytes stay where they are. The next look shall wait for further ones.
        let _ = tcp.try_io(Interest::READABLE, || {
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
    }
}

/// Looks at what has come, once something has.
async fn look(tcp: &TcpStream) -> io::Result<Option<Version>> {
    let mut bytes = [0; PREFACE.len()];
    let mut buffer = ReadBuf::new(&mut bytes);
    poll_fn(|cx| tcp.poll_peek(cx, &mut buffer)).await?;
    Ok(of(buffer.filled()))
}

/// Which version a connection speaks that begins with these bytes; `None` if that is not clear yet.
fn of(bytes: &[u8]) -> Option<Version> {
    if bytes.starts_with(PREFACE) {
        return Some(Version::Http2);
    }
    let is_unclear = !bytes.is_empty() && PREFACE.starts_with(bytes);
    (!is_unclear).then_some(Version::Http1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    fn limits(idle: Duration, head: Duration) -> Limits {
        Limits { idle, head }
    }

    /// Both ends of a connection.
    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn every_split_of_the_first_bytes_tells_the_same_version() {
        let beginnings: [(&[u8], Version); 4] = [
            (PREFACE, Version::Http2),
            (b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n", Version::Http1),
            (b"PROPFIND / HTTP/1.1\r\n", Version::Http1),
            (b"GET / HTTP/1.1\r\n", Version::Http1),
        ];
        run(async {
            for (bytes, version) in beginnings {
                for split in 1..bytes.len() {
                    let (mut client, server) = connected().await;
                    let (first, rest) = bytes.split_at(split);
                    let send = async {
                        client.write_all(first).await.unwrap();
                        // The server may look at the first part alone.
                        tokio::task::yield_now().await;
                        // It may have hung up on a beginning that is clear.
                        let _ = client.write_all(rest).await;
                    };
                    let (seen, ()) = tokio::join!(begun(&server, limits(LONG, LONG)), send);
                    assert_eq!(seen.unwrap(), version, "{bytes:?} split at {split}");
                }
            }
        });
    }

    #[test]
    fn nothing_that_was_looked_at_is_taken() {
        run(async {
            let (mut client, mut server) = connected().await;
            client.write_all(PREFACE).await.unwrap();
            begun(&server, limits(LONG, LONG)).await.unwrap();
            let mut read = [0; PREFACE.len()];
            tokio::io::AsyncReadExt::read_exact(&mut server, &mut read)
                .await
                .unwrap();
            assert_eq!(&read, PREFACE);
        });
    }

    #[test]
    fn a_client_that_leaves_in_the_middle_is_not_waited_for() {
        run(async {
            for beginning in ["", "P", "PRI * HTTP"] {
                let (mut client, server) = connected().await;
                client.write_all(beginning.as_bytes()).await.unwrap();
                client.shutdown().await.unwrap();
                let seen = begun(&server, limits(LONG, LONG)).await;
                assert_eq!(seen.unwrap(), Version::Http1, "{beginning:?}");
            }
        });
    }

    #[test]
    fn a_client_that_says_nothing_and_one_that_stops_pass_their_own_limits() {
        run(async {
            let (mut client, server) = connected().await;
            let silent = begun(&server, limits(SHORT, LONG)).await;
            assert!(matches!(silent, Err(Unknown::Late(Limit::IdleTimeout))));
            client.write_all(b"PRI").await.unwrap();
            let stopped = begun(&server, limits(LONG, SHORT)).await;
            assert!(matches!(stopped, Err(Unknown::Late(Limit::HeaderTimeout))));
        });
    }
}
