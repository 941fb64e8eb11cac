//! Connections of HTTP/2 to providers, over each of which several calls go at the same time.
//!
//! A call that ends before its answer does is told to the provider by resetting its stream (RFC 9113, section 5.4.2); the connection
//! and the other calls go on. A connection that does not answer a ping is closed with all its calls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request, Version};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tollgate_telemetry::outbound::Stream;

use super::Keep;
use super::http1::CallRequest;
use super::shelf::MAX_AGE;

/// What a provider may send of one answer before it is read: a slow client holds back as much.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of all answers of a connection, so that slow clients do not keep the others waiting.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Largest head of an answer, in bytes, as with HTTP/1.1.
const MAX_HEAD: u32 = 256 * 1024;

/// Calls at once over a connection, also where the provider allows more: they share one TCP connection, whose losses hold back all.
const MAX_STREAMS: usize = 100;

/// A ping is answered within this time, or the connection is dead.
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// The connections of one worker, by endpoint.
#[derive(Default)]
pub(super) struct Shared(RefCell<HashMap<Arc<str>, Rc<Place>>>);

/// The connections of one endpoint.
#[derive(Default)]
pub(super) struct Place {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Held while a connection is made, so that calls at the same time wait for one instead of making one each.
    pub(super) making: Mutex<()>,
    /// Whether the last connection that was made speaks HTTP/2; `None` before the first.
    pub(super) speaks: Cell<Option<bool>>,
}

/// A connection that calls share.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    pub(super) address: SocketAddr,
    /// The address as a text, for the log.
    pub(super) shown: Arc<str>,
    opened: Instant,
    used: Cell<Instant>,
    under_way: Cell<usize>,
    served: Cell<u64>,
    /// Takes no new calls: it is ending, or somebody has waited for an answer in vain.
    is_left: Cell<bool>,
    ping: RefCell<Pinging>,
    /// Drives the connection; ended with it, which closes the socket.
    driver: JoinHandle<()>,
}

struct Pinging {
    pings: Option<h2::PingPong>,
    sent: Option<Instant>,
}

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub(super) struct Broken {
    /// What happened, for the log.
    pub(super) detail: String,
    /// Whether the provider has not taken the call, so that it may be sent again.
    pub(super) is_unprocessed: bool,
}

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Self {
        Broken {
            detail: format!("HTTP/2: {error}"),
            // RFC 9113, section 8.7: such a request has not been processed.
            is_unprocessed: error.reason() == Some(Reason::REFUSED_STREAM)
                || (error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)),
        }
    }
}

impl Shared {
    /// The connections of an endpoint.
    pub(super) fn place(&self, key: &Arc<str>) -> Rc<Place> {
        let mut places = self.0.borrow_mut();
        if let Some(place) = places.get(key) {
            return place.clone();
        }
        places.entry(key.clone()).or_default().clone()
    }

    /// Closes connections that nobody has used for a while, and those that do not answer.
    pub(super) fn close_idle(&self, keep: Keep) {
        let now = Instant::now();
        self.0.borrow_mut().retain(|_, place| {
            place
                .connections
                .borrow_mut()
                .retain(|connection| connection.is_kept(now, keep));
            // Also who is just looking for a connection holds the place.
            Rc::strong_count(place) > 1 || !place.connections.borrow().is_empty()
        });
    }
}

impl Place {
    /// A connection with room for a call, to one of these addresses if any are given.
    pub(super) fn free(&self, among: Option<&[SocketAddr]>, keep: Keep) -> Option<Rc<Connection>> {
        let connections = self.connections.borrow();
        let fits = |connection: &&Rc<Connection>| {
            among.is_none_or(|among| among.contains(&connection.address)) && connection.has_room(keep)
        };
        // The fullest with room, so that the others can end.
        connections
            .iter()
            .filter(fits)
            .max_by_key(|connection| connection.under_way.get())
            .cloned()
    }

    /// Adds a connection that was just made.
    ///
    /// # Errors
    /// It does not speak HTTP/2 after all.
    pub(super) async fn add(&self, stream: Stream, address: SocketAddr) -> Result<Rc<Connection>, Broken> {
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        let pings = connection.ping_pong();
        let driver = tokio::task::spawn_local(async move {
            // The error also reaches those who wait for answers; here there is nobody left to tell.
            let _ = connection.await;
        });
        let now = Instant::now();
        let connection = Rc::new(Connection {
            sender,
            address,
            shown: address.to_string().into(),
            opened: now,
            used: Cell::new(now),
            under_way: Cell::default(),
            served: Cell::default(),
            is_left: Cell::default(),
            ping: RefCell::new(Pinging { pings, sent: None }),
            driver,
        });
        let mut connections = self.connections.borrow_mut();
        connections.retain(|other| !other.is_over());
        connections.push(connection.clone());
        Ok(connection)
    }
}

impl Connection {
    fn is_over(&self) -> bool {
        self.driver.is_finished() || (self.is_left.get() && self.under_way.get() == 0)
    }

    fn has_room(&self, keep: Keep) -> bool {
        let room = self.sender.current_max_send_streams().min(MAX_STREAMS);
        !self.is_left.get()
            && !self.driver.is_finished()
            && self.under_way.get() < room
            && self.served.get() < keep.requests
            && self.opened.elapsed() < MAX_AGE
    }

    /// Whether it stays; asks it for a sign of life, and closes it if there was none.
    fn is_kept(&self, now: Instant, keep: Keep) -> bool {
        let is_idle =
            self.under_way.get() == 0 && now.saturating_duration_since(self.used.get()) >= keep.idle;
        if is_idle || self.is_over() {
            return false;
        }
        let mut ping = self.ping.borrow_mut();
        let Pinging { pings, sent } = &mut *ping;
        let Some(pings) = pings else { return true };
        if sent.is_some() {
            let waker = std::task::Waker::noop();
            match pings.poll_pong(&mut Context::from_waker(waker)) {
                Poll::Ready(Ok(_)) => *sent = None,
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => {}
            }
        }
        match sent {
            Some(since) if now.saturating_duration_since(*since) >= PING_ANSWERED_WITHIN => {
                tracing::info!(address = %self.address, "a connection of HTTP/2 gives no sign of life, and is closed");
                self.leave();
                self.driver.abort();
                false
            }
            Some(_) => true,
            None => {
                if pings.send_ping(Ping::opaque()).is_ok() {
                    *sent = Some(now);
                }
                true
            }
        }
    }

    /// It takes no new calls.
    pub(super) fn leave(&self) {
        self.is_left.set(true);
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// The stream or the connection broke before that.
    pub(super) async fn send(
        self: Rc<Self>,
        scheme: &str,
        asked: &CallRequest<'_>,
    ) -> Result<Answer, Broken> {
        let request = request(scheme, asked)?;
        let call = UnderWay::new(self.clone());
        let mut sender = poll_ready(self.sender.clone()).await?;
        let is_empty = asked.body.is_empty();
        let (answer, stream) = sender.send_request(request, is_empty)?;
        if !is_empty {
            // A provider may answer before it has read everything, and then wants no more of it.
            let body = send_body(stream, asked);
            tokio::pin!(body, answer);
            let mut is_sent = false;
            let head = poll_fn(|cx| {
                if let Poll::Ready(head) = answer.as_mut().poll(cx) {
                    return Poll::Ready(head.map_err(Broken::from));
                }
                if !is_sent && let Poll::Ready(sent) = body.as_mut().poll(cx) {
                    is_sent = true;
                    if let Err(error) = sent {
                        return Poll::Ready(Err(error.into()));
                    }
                    return answer.as_mut().poll(cx).map_err(Broken::from);
                }
                Poll::Pending
            });
            return Ok(Answer::new(head.await?, call));
        }
        Ok(Answer::new(answer.await?, call))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A call that goes over a connection.
struct UnderWay(Rc<Connection>);

impl UnderWay {
    fn new(connection: Rc<Connection>) -> Self {
        connection.under_way.set(connection.under_way.get() + 1);
        connection.served.set(connection.served.get() + 1);
        UnderWay(connection)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
        self.0.used.set(Instant::now());
    }
}

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: SharedBody,
}

/// The body of an answer. Dropped before its end, it resets its stream.
pub struct SharedBody {
    stream: RecvStream,
    _call: UnderWay,
}

impl Answer {
    fn new(response: http::Response<RecvStream>, call: UnderWay) -> Self {
        let (head, stream) = response.into_parts();
        Answer {
            head,
            body: SharedBody { stream, _call: call },
        }
    }
}

impl SharedBody {
    /// The next bytes; `None` at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let read = ready!(self.stream.poll_data(cx));
        Poll::Ready(read.map(|bytes| {
            let bytes = bytes.map_err(|error| Broken::from(error).detail)?;
            // What is read here is on its way to the client: the provider may send as much again.
            let _ = self.stream.flow_control().release_capacity(bytes.len());
            Ok(bytes)
        }))
    }
}

async fn poll_ready(sender: SendRequest<Bytes>) -> Result<SendRequest<Bytes>, h2::Error> {
    sender.ready().await
}

/// Sends the pieces of a body as the provider makes room for them.
async fn send_body(mut stream: SendStream<Bytes>, asked: &CallRequest<'_>) -> Result<(), h2::Error> {
    let mut pieces = asked.body.shared_pieces().peekable();
    while let Some(mut piece) = pieces.next() {
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => room?,
                // The provider has closed the stream: what it says is in its answer.
                None => return Ok(()),
            };
            let part = piece.split_to(room.min(piece.len()));
            let is_last = piece.is_empty() && pieces.peek().is_none();
            stream.send_data(part, is_last)?;
        }
    }
    Ok(())
}

/// The request in the form of HTTP/2: the host stands in the address, and what is a connection's own is left out (RFC 9113, section
/// 8.2.2).
fn request(scheme: &str, asked: &CallRequest<'_>) -> Result<Request<()>, Broken> {
    let unsound = |what: &str| Broken {
        detail: format!("the request has no {what} that can be sent"),
        is_unprocessed: false,
    };
    let host = asked.headers.get(HOST).and_then(|host| host.to_str().ok());
    let address = format!(
        "{scheme}://{}{}",
        host.ok_or_else(|| unsound("host"))?,
        asked.target
    );
    let mut request = Request::new(());
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = address.parse().map_err(|_| unsound("address"))?;
    *request.version_mut() = Version::HTTP_2;
    let mut headers: HeaderMap = asked.headers.clone();
    for name in [HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE, TE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    headers
        .entry(CONTENT_LENGTH)
        .or_insert_with(|| asked.body.len().into());
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;
    use tollgate_telemetry::outbound::Stream;

    use super::{Keep, PING_ANSWERED_WITHIN, Place, UnderWay};

    /// A connection to somebody who accepts it and says nothing more.
    async fn silent(place: &Place) -> (std::rc::Rc<super::Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let connection = place.add(Stream::Plain(socket.unwrap()), address).await.unwrap();
        (connection, accepted.unwrap().0)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.unwrap(), test);
    }

    #[test]
    fn a_connection_that_gives_no_sign_of_life_takes_no_calls_and_ends_those_it_has() {
        run(async {
            let place = Place::default();
            let (connection, _peer) = silent(&place).await;
            let _call = UnderWay::new(connection.clone());
            let now = Instant::now();
            let keep = Keep::default();
            assert!(connection.is_kept(now, keep), "asked for a sign of life");
            assert!(connection.is_kept(now + PING_ANSWERED_WITHIN - Duration::from_secs(1), keep));
            assert!(place.free(None, keep).is_some());
            assert!(!connection.is_kept(now + PING_ANSWERED_WITHIN, keep));
            assert!(place.free(None, keep).is_none());
            // Ended, and its calls with it: the runtime has to come by for that.
            while !connection.driver.is_finished() {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn an_idle_connection_is_closed_after_its_time_and_a_busy_one_is_not() {
        run(async {
            let place = Place::default();
            let (connection, _peer) = silent(&place).await;
            let keep = Keep::default();
            let later = Instant::now() + keep.idle;
            let call = UnderWay::new(connection.clone());
            assert!(connection.is_kept(later, keep));
            drop(call);
            let later = Instant::now() + keep.idle;
            assert!(!connection.is_kept(later, keep));
        });
    }

    #[test]
    fn a_connection_takes_no_more_calls_than_it_may() {
        run(async {
            let place = Place::default();
            let (connection, _peer) = silent(&place).await;
            let keep = Keep {
                requests: 2,
                ..Keep::default()
            };
            drop(UnderWay::new(connection.clone()));
            assert!(place.free(None, keep).is_some());
            drop(UnderWay::new(connection.clone()));
            assert!(place.free(None, keep).is_none());
            let other = "127.0.0.2:1".parse().unwrap();
            assert!(place.free(Some(&[other]), Keep::default()).is_none());
            assert!(place.free(Some(&[connection.address]), Keep::default()).is_some());
        });
    }
}
