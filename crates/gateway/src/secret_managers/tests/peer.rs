//! A small HTTP server that stands for a manager of secrets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request as it arrived.
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    /// By name in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What to answer: status and body; `None` closes the connection without a word.
type Answer = Option<(u16, String)>;

/// Serves until the test process ends. Gives the address, without a slash at its end.
pub(super) fn serve(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || one(stream.unwrap(), &*answer));
        }
    });
    address
}

fn one(stream: TcpStream, answer: &dyn Fn(&Seen) -> Answer) {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let seen = Seen {
        method,
        path,
        headers,
        body: String::from_utf8(body).unwrap(),
    };
    if let Some((status, body)) = answer(&seen) {
        let mut stream = reader.into_inner();
        let length = body.len();
        // Who asked may have given up.
        let _ = write!(
            stream,
            "HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
    }
}
