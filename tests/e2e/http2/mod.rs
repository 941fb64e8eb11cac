//! HTTP/2 at the level of frames: the rules of RFC 9113 and RFC 7541 that a client can break, and what a hostile one can do
//! without breaking any.

mod floods;
mod frames;
mod messages;

use std::net::SocketAddr;

use crate::harness::http2::{GOAWAY, HEADERS, Http2, PING, RST_STREAM, frame, get};
use crate::harness::{Gateway, Setup};

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What has to follow.
enum Must {
    /// The connection ends with one of these codes.
    End(&'static [u32]),
    /// The stream is reset with one of these codes, or answered with a 4xx, or the connection ends with one of the codes.
    Refuse(&'static [u32]),
    /// Nothing: the connection goes on.
    Pass,
}

/// Something a client can send once the connection is open, where the rule is, and what has to follow.
type Case = (&'static str, Vec<u8>, Must);

/// Models that answer, and one that does not.
const CONFIG: &str = "models: {m: {provider: simulated}, hanging: {provider: slow}}\n\
     providers: {slow: {kind: simulated, endpoint: \"simulated:?fail=stall_start\"}}\n\
     auth: none\nmetrics: {listen: \"127.0.0.1:0\"}";

fn simulated() -> Gateway {
    Setup::new(CONFIG).start()
}

/// Sends each case over a connection of its own, and asserts what has to follow. Tells all that went wrong.
#[track_caller]
fn check(cases: &[Case]) {
    let gateway = simulated();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(rule, bytes, must)| {
            let what = outcome(gateway.address, bytes, must)?;
            Some(format!("{rule}: {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    still_serves(gateway.address);
    gateway.stop();
}

/// What is wrong with what follows these bytes.
#[track_caller]
fn outcome(address: SocketAddr, bytes: &[u8], must: &Must) -> Option<String> {
    let mut connection = Http2::open(address, &[]);
    connection.write(bytes);
    if matches!(must, Must::Pass) {
        connection.is_well();
        return None;
    }
    // What is answered goes on, unless the gateway is only about to refuse something.
    let ping = frame(PING, 0, 0, [0; 8]);
    connection.write(&ping);
    let mut pings = 0;
    loop {
        let Some(frame) = connection.next() else {
            return match must {
                // A server may close without a word (RFC 9113, section 5.4.1).
                Must::End(_) => None,
                _ => Some("closed without a word".to_owned()),
            };
        };
        match (frame.kind, must) {
            (GOAWAY, Must::End(codes) | Must::Refuse(codes)) => {
                if !codes.contains(&frame.code()) {
                    return Some(format!("the connection ended with {}", frame.code()));
                }
                let after = connection.find(|frame| frame.kind == HEADERS);
                return after.map(|_| "an answer after the end".to_owned());
            }
            (RST_STREAM, Must::Refuse(codes)) => {
                let is_right = codes.contains(&frame.code());
                return (!is_right).then(|| format!("the stream was reset with {}", frame.code()));
            }
            (HEADERS, Must::Refuse(_)) if (400..500).contains(&frame.status()) => return None,
            (HEADERS, Must::Refuse(_)) => return Some(format!("answered with {}", frame.status())),
            (PING, _) if pings < 100 => {
                pings += 1;
                connection.write(&ping);
            }
            (PING, _) => return Some("the connection went on".to_owned()),
            _ => {}
        }
    }
}

/// Asserts that a good request is served.
#[track_caller]
fn still_serves(address: SocketAddr) {
    let mut connection = Http2::open(address, &[]);
    connection.write(&get(1, "/v1/models"));
    assert_eq!(connection.answer(1).0, 200);
}
