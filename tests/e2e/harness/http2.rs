//! A client of HTTP/2 that sends any frames, and reads what comes back frame by frame.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// What every connection begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 32;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection.
pub struct Http2 {
    socket: TcpStream,
    read: Vec<u8>,
}

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame of settings.
pub fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = entries
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, payload)
}

/// Header fields, each written out (RFC 7541, section 6.2.2).
pub fn fields<'a>(list: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in list {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A length without Huffman coding (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The fields that every request begins with.
pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gateway.test"),
    ]
}

/// A whole request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        fields(request("GET", path)),
    )
}

/// The head of a request with a body of JSON that follows.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    let mut list = request("POST", path);
    list.push(("content-type", "application/json"));
    frame(HEADERS, END_HEADERS, stream, fields(list))
}

impl Http2 {
    /// Connects and says nothing.
    pub fn silent(address: SocketAddr) -> Http2 {
        let socket = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_nodelay(true).expect("a socket");
        Http2 {
            socket,
            read: Vec::new(),
        }
    }

    /// Connects, and begins as clients do, with these settings. What the gateway sends is not to refer to what it sent before.
    #[track_caller]
    pub fn open(address: SocketAddr, entries: &[(u16, u32)]) -> Http2 {
        let mut connection = Http2::silent(address);
        let entries = [&[(1, 0)], entries].concat();
        connection.write(&[PREFACE, &settings(&entries)].concat());
        let first = connection.next().expect("the gateway's settings");
        assert_eq!((first.kind, first.flags), (SETTINGS, 0), "{first:?}");
        connection.write(&frame(SETTINGS, ACK, 0, []));
        connection
    }

    /// Sends bytes. The gateway may have closed already.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.socket.write_all(bytes) {
            let closed = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
            assert!(closed, "{error}");
        }
    }

    /// Sends bytes; whether they could be sent before the gateway stopped taking any or closed.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// The next frame; `None` if the connection was closed.
    #[track_caller]
    pub fn next(&mut self) -> Option<Frame> {
        self.fill_to(9)?;
        let length = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]) as usize;
        self.fill_to(9 + length)?;
        let bytes: Vec<u8> = self.read.drain(..9 + length).collect();
        Some(Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]),
            payload: bytes[9..].to_vec(),
        })
    }

    /// The next frame that `wanted` wants; `None` if the connection was closed before.
    #[track_caller]
    pub fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// The status of the answer on a stream.
    #[track_caller]
    pub fn status(&mut self, stream: u32) -> u16 {
        let head = self.find(|frame| frame.stream == stream || frame.kind == GOAWAY);
        let head = head.expect("an answer");
        assert_eq!(head.kind, HEADERS, "{head:?}");
        head.status()
    }

    /// Status and body of the answer on a stream.
    #[track_caller]
    pub fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let status = self.status(stream);
        let mut body = Vec::new();
        loop {
            let data = self.find(|frame| frame.stream == stream).expect("a body");
            assert_eq!(data.kind, DATA, "{data:?}");
            body.extend_from_slice(&data.payload);
            if data.flags & END_STREAM != 0 {
                return (status, body);
            }
        }
    }

    /// Asserts that the connection is in order: the gateway answers a ping.
    #[track_caller]
    pub fn is_well(&mut self) {
        self.write(&frame(PING, 0, 0, b"still up"));
        let is_answer = |frame: &Frame| frame.kind == PING && frame.payload == b"still up";
        let answer = self.find(|frame| is_answer(frame) || frame.kind == GOAWAY);
        let answer = answer.expect("an answer to a ping");
        assert_eq!((answer.kind, answer.flags), (PING, ACK), "{answer:?}");
    }

    fn fill_to(&mut self, length: usize) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        while self.read.len() < length {
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
        Some(())
    }
}

impl Frame {
    /// The code of an error, in a frame that tells one.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4).expect("a code");
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }

    /// The status in the head of an answer: its first field, by index or written out.
    #[track_caller]
    pub fn status(&self) -> u16 {
        // A change of the table's size may come first.
        let skipped = self
            .payload
            .iter()
            .take_while(|byte| **byte & 0xe0 == 0x20)
            .count();
        let block = &self.payload[skipped..];
        match block[0] {
            indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            0x08 | 0x18 | 0x48 if block[1] & 0x80 == 0 => std::str::from_utf8(&block[2..5])
                .ok()
                .and_then(|text| text.parse().ok())
                .expect("a status"),
            0x08 | 0x18 | 0x48 => {
                let length = usize::from(block[1] & 0x7f);
                digits(&block[2..2 + length])
            }
            other => panic!("no status: {other:#x}"),
        }
    }
}

/// Digits in Huffman's coding (RFC 7541, appendix B): 0 to 2 are five bits, the others six.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)))
        .collect();
    let take = |at: usize, count: usize| {
        bits[at..at + count]
            .iter()
            .fold(0, |number, bit| number * 2 + bit)
    };
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = take(at, 5);
        let (digit, length) = if short <= 2 {
            (short, 5)
        } else {
            (take(at, 6) - 0x19 + 3, 6)
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}
