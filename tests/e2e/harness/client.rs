//! An HTTP/1.1 client on a bare socket: it sends whatever bytes a test wants and reads answers strictly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// A request about to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A POST of a JSON body.
pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", path)
        .header("content-type", "application/json")
        .body(body)
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, path: &str) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a header, in place of one that is there.
    pub fn with(mut self, name: &str, value: &str) -> Request {
        self.headers.retain(|(other, _)| other != name);
        self.header(name, value)
    }

    /// Sets the body; its length is announced.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: gateway.test\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A connection to the gateway.
pub struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Connection {
        Connection::try_open(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Connects, if somebody listens.
    pub fn try_open(address: SocketAddr) -> std::io::Result<Connection> {
        Connection::over(TcpStream::connect(address)?)
    }

    /// One that is there already.
    pub fn over(socket: TcpStream) -> std::io::Result<Connection> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Connection {
            socket,
            read: Vec::new(),
        })
    }

    /// Sends bytes. The gateway may have closed already, having read enough to refuse.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.socket.write_all(bytes) {
            let closed = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
            assert!(closed, "{error}");
        }
    }

    /// Says that no more bytes will be sent.
    pub fn end_writing(&mut self) {
        // The gateway may have closed already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Sends a request and reads the whole answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Response {
        self.write(&request.bytes());
        self.response().expect("an answer")
    }

    /// Sends a request and reads the head of an answer that is a stream.
    #[track_caller]
    pub fn stream(mut self, request: &Request) -> Stream {
        self.write(&request.bytes());
        let head = self.head().expect("an answer");
        let chunked = head.header("transfer-encoding") == Some("chunked");
        let mut stream = Stream {
            connection: self,
            head,
            text: Vec::new(),
            ended: false,
        };
        if !chunked {
            stream.text = stream.connection.body(&stream.head);
            stream.ended = true;
        }
        stream
    }

    /// Reads a whole answer; `None` if the connection was closed instead.
    #[track_caller]
    pub fn response(&mut self) -> Option<Response> {
        let head = self.head()?;
        let body = self.body(&head);
        Some(Response { head, body })
    }

    /// Waits until something has come; false if the other side closes instead.
    pub fn has_begun(&mut self) -> bool {
        !self.read.is_empty() || self.fill()
    }

    /// Whether the gateway closes the connection without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }

    /// Everything until the gateway closes the connection.
    pub fn until_closed(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.read)
    }

    #[track_caller]
    fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end;
            }
            if !self.fill() {
                assert!(
                    self.read.is_empty(),
                    "cut in a head: {}",
                    String::from_utf8_lossy(&self.read)
                );
                return None;
            }
        };
        let text = String::from_utf8(self.read.drain(..end + 4).collect()).expect("a head in ASCII");
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line}"));
        let headers = lines
            .map(|line| {
                line.split_once(": ")
                    .unwrap_or_else(|| panic!("no header: {line}"))
            })
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Head { status, headers })
    }

    #[track_caller]
    fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
            return body;
        }
        let length = head
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        self.exactly(length)
    }

    /// The next chunk of a chunked body; `None` after the last.
    #[track_caller]
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line();
        let length = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk size: `{line}`"));
        let chunk = self.exactly(length);
        assert_eq!(self.line(), "", "a chunk ends with a line break");
        (length > 0).then_some(chunk)
    }

    #[track_caller]
    fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(
                self.fill(),
                "the answer was cut: {}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    #[track_caller]
    fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(
                self.fill(),
                "the answer was cut: {}",
                String::from_utf8_lossy(&self.read)
            );
        }
        self.read.drain(..length).collect()
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!(
                "nothing came: {error}; so far: {}",
                String::from_utf8_lossy(&self.read)
            ),
        }
    }
}

impl Head {
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
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
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
}

/// An answer that comes as server-sent events.
pub struct Stream {
    connection: Connection,
    pub head: Head,
    text: Vec<u8>,
    ended: bool,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name, empty if there is none.
    pub name: String,
    pub data: String,
}

impl Event {
    /// The data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}", self.data))
    }
}

impl Stream {
    /// The next event; `None` at the end of a complete answer.
    #[track_caller]
    pub fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = find(&self.text, b"\n\n") {
                let raw: Vec<u8> = self.text.drain(..end + 2).collect();
                let raw = String::from_utf8(raw).expect("text");
                if let Some(event) = parse_event(&raw) {
                    return Some(event);
                }
                continue;
            }
            if self.ended {
                assert!(
                    self.text.iter().all(u8::is_ascii_whitespace),
                    "half an event: {:?}",
                    self.text
                );
                return None;
            }
            match self.connection.chunk() {
                Some(chunk) => self.text.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }

    /// All events that are still to come.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event() {
            events.push(event);
        }
        events
    }

    /// Reads events up to the first whose data contain `words`.
    #[track_caller]
    pub fn until(&mut self, words: &str) {
        while !self.event().expect("more content").data.contains(words) {}
    }

    /// Reads what is still to come and demands that it ends as OpenAI's streams do.
    #[track_caller]
    pub fn is_done(&mut self) {
        let events = self.rest();
        assert_eq!(
            events.last().map(|event| event.data.as_str()),
            Some("[DONE]"),
            "{events:?}"
        );
    }

    /// The bytes of the body up to `needle`, with what came with it.
    #[track_caller]
    pub fn bytes_until(&mut self, needle: &[u8]) -> Vec<u8> {
        while find(&self.text, needle).is_none() {
            let chunk = self.connection.chunk().expect("the answer goes on");
            self.text.extend_from_slice(&chunk);
        }
        std::mem::take(&mut self.text)
    }

    /// The bytes of the body that are still to come.
    #[track_caller]
    pub fn bytes(&mut self) -> Vec<u8> {
        while !self.ended {
            match self.connection.chunk() {
                Some(chunk) => self.text.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
        std::mem::take(&mut self.text)
    }

    /// Whether the connection was closed without the end of the answer.
    pub fn is_cut(&mut self) -> bool {
        let rest = self.connection.until_closed();
        !rest.ends_with(b"0\r\n\r\n")
    }
}

fn parse_event(raw: &str) -> Option<Event> {
    let mut event = Event {
        name: String::new(),
        data: String::new(),
    };
    let mut data = Vec::new();
    for line in raw.lines().filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some(("event", name)) => event.name = name.trim_start().to_owned(),
            Some(("data", text)) => data.push(text.strip_prefix(' ').unwrap_or(text)),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!data.is_empty()).then_some(event)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
