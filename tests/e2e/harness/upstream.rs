//! A provider made of bare sockets and threads, that sends what a test tells it to, and tells what it saw.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use socket2::SockRef;

use super::port::Port;
use super::{Dialect, PATIENCE, answers};

/// Any port of the loopback interface.
const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// A provider.
pub struct Upstream {
    address: SocketAddr,
    scheme: &'static str,
    asked: Receiver<Asked>,
    closed: Receiver<()>,
    /// Keeps the port of a provider that does not listen.
    _reserved: Option<Port>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which of the connections of this provider it came over; the first is 0.
    pub connection: usize,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits for the next request.
    Keep,
    /// It is closed in order (FIN).
    Close,
    /// It is torn down (RST).
    Reset,
}

/// The gateway's end of a connection.
pub struct Peer {
    number: usize,
    socket: Wire,
    read: Vec<u8>,
}

/// What bytes travel over.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn over(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Wire {
        match tls {
            None => Wire::Plain(socket),
            Some(tls) => {
                let connection = ServerConnection::new(tls.clone()).expect("settings that can be used");
                Wire::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

impl Upstream {
    /// A provider that answers each request with `answer`.
    pub fn start(answer: impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static) -> Upstream {
        Upstream::begin(ANY_PORT, None, answer)
    }

    /// The same over TLS.
    pub fn start_tls(
        tls: Arc<ServerConfig>,
        answer: impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static,
    ) -> Upstream {
        Upstream::begin(ANY_PORT, Some(tls), answer)
    }

    /// The same at an address of its own.
    pub fn start_tls_at(
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        answer: impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static,
    ) -> Upstream {
        Upstream::begin(address, Some(tls), answer)
    }

    /// The same without TLS.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static,
    ) -> Upstream {
        Upstream::begin(address, None, answer)
    }

    fn begin(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static,
    ) -> Upstream {
        let answer = Arc::new(answer);
        let (asked_here, asked) = channel();
        let (closed_here, closed) = channel();
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        std::thread::spawn(move || {
            for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
                let (answer, asked_here, closed_here) =
                    (answer.clone(), asked_here.clone(), closed_here.clone());
                let peer = Peer {
                    number,
                    socket: Wire::over(socket, tls.as_ref()),
                    read: Vec::new(),
                };
                std::thread::spawn(move || serve(peer, &*answer, &asked_here, &closed_here));
            }
        });
        Upstream {
            address,
            scheme,
            asked,
            closed,
            _reserved: None,
        }
    }

    /// A provider that answers every request properly, with `text`.
    pub fn good(text: &'static str) -> Upstream {
        Upstream::start(move |asked, peer| {
            peer.send(&answers::good(asked, text));
            Next::Keep
        })
    }

    /// A provider that answers properly with `first`, but sends the end of a stream, with `last`, only when it is told to.
    pub fn paused(first: &'static str, last: &'static str) -> (Upstream, Sender<()>) {
        let (proceed, told_to_proceed) = channel();
        let told_to_proceed = Mutex::new(told_to_proceed);
        let upstream = Upstream::start(move |asked, peer| {
            if !asked.stream() {
                peer.send(&answers::good(asked, first));
                return Next::Keep;
            }
            let events = answers::events(asked.dialect(), &[first, last]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(
                [events.before.concat(), events.content[0].clone()].concat(),
            ));
            // Without a word it goes on all the same: the test has ended by then.
            let _ = told_to_proceed
                .lock()
                .expect("no test has failed")
                .recv_timeout(PATIENCE);
            peer.send(&answers::chunk(
                [events.content[1].clone(), events.after.concat()].concat(),
            ));
            peer.send(answers::END_OF_CHUNKS);
            Next::Keep
        });
        (upstream, proceed)
    }

    /// A provider that answers every request with these bytes.
    pub fn saying(answer: impl Into<Vec<u8>>) -> Upstream {
        let answer = answer.into();
        Upstream::start(move |_, peer| {
            peer.send(&answer);
            Next::Keep
        })
    }

    /// A port at which nobody listens.
    pub fn refusing() -> Upstream {
        let port = Port::reserve();
        Upstream {
            address: port.address(),
            scheme: "http",
            asked: channel().1,
            closed: channel().1,
            _reserved: Some(port),
        }
    }

    /// A provider that accepts connections and tears them down at once.
    pub fn resetting() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                reset(Wire::Plain(socket));
            }
        });
        Upstream {
            address,
            scheme: "http",
            asked: channel().1,
            closed: channel().1,
            _reserved: None,
        }
    }

    /// A provider that a test serves by itself.
    pub fn at(address: SocketAddr) -> Upstream {
        Upstream {
            address,
            scheme: "http",
            asked: channel().1,
            closed: channel().1,
            _reserved: None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base address for a configuration.
    pub fn base(&self) -> String {
        format!("{}://{}/v1", self.scheme, self.address)
    }

    /// The next request that arrived.
    #[track_caller]
    pub fn asked(&self) -> Asked {
        self.asked
            .recv_timeout(PATIENCE)
            .expect("the gateway asks this provider")
    }

    /// The next request, if another one has arrived.
    pub fn try_asked(&self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }

    /// Asserts that no (further) request has arrived.
    #[track_caller]
    pub fn was_not_asked(&self) {
        if let Ok(asked) = self.asked.try_recv() {
            panic!(
                "this provider was asked: {} {}",
                asked.path,
                String::from_utf8_lossy(&asked.body)
            );
        }
    }

    /// Waits until the gateway has closed a connection.
    #[track_caller]
    pub fn was_left(&self) {
        self.closed
            .recv_timeout(PATIENCE)
            .expect("the gateway closes the connection");
    }
}

impl Asked {
    /// The only value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "header {name} is there twice");
        value
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The dialect it is written in.
    pub fn dialect(&self) -> Dialect {
        if self.path.contains("/messages") {
            Dialect::Anthropic
        } else {
            Dialect::OpenAi
        }
    }

    /// Whether it asks for a stream.
    pub fn stream(&self) -> bool {
        // Not every request that is JSON for a provider is JSON for serde (lone surrogates).
        self.body.windows(13).any(|window| window == br#""stream":true"#)
    }
}

impl Peer {
    /// Sends bytes. That the gateway has left shows when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Sends bytes; false when the gateway has left.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Waits until the gateway closes the connection.
    pub fn wait_until_closed(&mut self) {
        while self.fill() {}
    }

    fn request(&mut self) -> Option<Asked> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).expect("a head in ASCII");
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let mut words = lines.next()?.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse().expect("a length"));
        while self.read.len() < length {
            if !self.fill() {
                return None;
            }
        }
        Some(Asked {
            connection: self.number,
            method,
            path,
            headers,
            body: self.read.drain(..length).collect(),
        })
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
        }
    }
}

fn serve(
    mut peer: Peer,
    answer: &dyn Fn(&Asked, &mut Peer) -> Next,
    asked_here: &Sender<Asked>,
    closed_here: &Sender<()>,
) {
    let _ = peer.socket.tcp().set_nodelay(true);
    while let Some(asked) = peer.request() {
        // The test may have ended.
        let _ = asked_here.send(asked.clone());
        match answer(&asked, &mut peer) {
            Next::Keep => {}
            Next::Close => return,
            Next::Reset => return reset(peer.socket),
        }
    }
    let _ = closed_here.send(());
}

/// Closes with RST instead of FIN.
fn reset(socket: Wire) {
    let _ = SockRef::from(socket.tcp()).set_linger(Some(Duration::ZERO));
    drop(socket);
}
