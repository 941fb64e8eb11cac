//! The clients: each makes the calls it is given, one after the other, and does with the answers what the plan says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::plan::{Call, Client, Dialect};
use super::vendor::Books;

/// An answer that takes longer than this never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the client has seen: the status, or nothing if it left before.
pub type Seen = Option<u16>;

/// Makes a call.
pub fn make(call: &Call, gateway: SocketAddr, books: &Books) -> Seen {
    let mut socket = TcpStream::connect(gateway).expect("the gateway listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let _ = socket.set_nodelay(true);
    socket.write_all(&request(call)).expect("the gateway reads");
    match call.client {
        Client::LeavesBeforeTheAnswer => {
            books.wait_for(call.number);
            None
        }
        Client::LeavesMidway => status(&read_until(&mut socket, |read| contains(read, b"Hello there"))),
        _ => status(&read_until(&mut socket, |_| false)),
    }
}

fn request(call: &Call) -> Vec<u8> {
    let model = match (call.client, call.served) {
        (Client::UnknownModel, _) => "nobody-has-this",
        (_, Dialect::Messages) => "by-messages",
        _ => "by-chat",
    };
    let text = format!("{} Say hello.", call.mark());
    let (path, body) = match call.dialect {
        Dialect::Chat => (
            "/v1/chat/completions",
            json!({"model": model, "stream": call.streams, "messages": [{"role": "user", "content": text}]}),
        ),
        Dialect::Messages => (
            "/v1/messages",
            json!({"model": model, "stream": call.streams, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}),
        ),
        Dialect::Responses => (
            "/v1/responses",
            json!({"model": model, "stream": call.streams, "store": false, "input": text}),
        ),
    };
    let key = match call.client {
        Client::WrongKey => "a-key-of-nobody",
        _ => "the-right-key",
    };
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         user-agent: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        call.mark(),
        body.len()
    )
    .into_bytes()
}

/// Reads until there is enough, or until the other side has nothing more.
fn read_until(socket: &mut TcpStream, is_enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_enough(&read) {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) => panic!("no answer in time: {error}"),
        }
    }
    read
}

fn status(read: &[u8]) -> Seen {
    std::str::from_utf8(read.get(9..12)?).ok()?.parse().ok()
}

fn contains(read: &[u8], words: &[u8]) -> bool {
    read.windows(words.len()).any(|at| at == words)
}
