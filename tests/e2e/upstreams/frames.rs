//! Amazon's event streams that are broken, or say what nobody knows: what can be read is passed on, and what breaks ends the
//! stream with an exception.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use aws_smithy_eventstream::frame::read_message_from;
use serde_json::json;

use super::Reply;
use crate::apisix::{Node, NodeSetup};
use crate::faults::wire::Api;
use crate::harness::{Connection, Next, Upstream, answers, post};

/// CRC-32 as Amazon's frames have it (IEEE 802.3).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A frame that says these lengths, with checksums that are right.
fn frame(length: u32, header_length: u32, rest: &[u8]) -> Vec<u8> {
    let mut frame = [length.to_be_bytes(), header_length.to_be_bytes()].concat();
    frame.extend(crc(&frame).to_be_bytes());
    frame.extend(rest);
    frame.extend(crc(&frame).to_be_bytes());
    frame
}

/// A header of a type and a value as it is on the wire.
fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("short");
    [&[length], name.as_bytes(), &[kind], value].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short").to_be_bytes();
    header(name, 7, &[&length, value.as_bytes()].concat())
}

/// A frame with these headers and this payload.
fn with_headers(headers: &[u8], payload: &str) -> Vec<u8> {
    let whole = 16 + headers.len() + payload.len();
    let number = |number: usize| u32::try_from(number).expect("short");
    frame(
        number(whole),
        number(headers.len()),
        &[headers, payload.as_bytes()].concat(),
    )
}

fn event(kind: &str, payload: &str, more: &[u8]) -> Vec<u8> {
    let headers = [
        text(":message-type", "event"),
        text(":event-type", kind),
        more.to_vec(),
    ]
    .concat();
    with_headers(&headers, payload)
}

/// A header of each type there is, as nobody sends them.
fn strange_headers() -> Vec<u8> {
    [
        header("true", 0, &[]),
        header("false", 1, &[]),
        header("byte", 2, &[1]),
        header("short", 3, &[0; 2]),
        header("int", 4, &[0; 4]),
        header("long", 5, &[0; 8]),
        header("bytes", 6, &[0, 3, 1, 2, 3]),
        text("text", "caf\u{e9}"),
        header("time", 8, &[0; 8]),
        header("uuid", 9, &[0; 16]),
    ]
    .concat()
}

/// What comes, with the error that a stream ends with; none if it is served.
fn cases() -> Vec<(&'static str, Vec<u8>, bool)> {
    let after = Api::Converse.parts("").after;
    let mut wrong_checksum = event("contentBlockStop", r#"{"contentBlockIndex":0}"#, &[]);
    *wrong_checksum.last_mut().expect("a frame") ^= 1;
    let mut wrong_lengths = after.clone();
    wrong_lengths[8] ^= 1;
    let headers = [
        text(":message-type", "exception"),
        text(":exception-type", "throttlingException"),
    ]
    .concat();
    let mut exception = with_headers(&headers, r#"{"message":"too fast"}"#);
    exception.extend(&after);
    let headers = [
        text(":message-type", "error"),
        text(":error-code", "InternalFailure"),
        text(":error-message", "it broke"),
    ]
    .concat();
    let mut error = with_headers(&headers, "");
    error.extend(&after);
    let strange = event(
        "contentBlockStop",
        r#"{"contentBlockIndex":0}"#,
        &strange_headers(),
    );
    let unknown = event("somethingNew", r#"{"of":"tomorrow"}"#, &[]);
    let numbered = with_headers(&header(":event-type", 4, &[0; 4]), "{}");
    vec![
        (
            "a frame whose checksum is wrong",
            [wrong_checksum, after.clone()].concat(),
            false,
        ),
        ("lengths whose checksum is wrong", wrong_lengths, false),
        ("a frame of 4 GiB", frame(u32::MAX, 0, &[0; 64]), false),
        ("a frame of nothing", frame(0, 0, &[]), false),
        (
            "headers that are longer than their frame",
            frame(20, 2000, &[0; 4]),
            false,
        ),
        ("a header that is cut", with_headers(&[200, b'x'], ""), false),
        (
            "a header of a type that is none",
            with_headers(&header("x", 77, &[]), ""),
            false,
        ),
        ("a type of event that is a number", numbered, false),
        ("an exception", exception, false),
        ("an error", error, false),
        ("half a frame", after[..20].to_vec(), false),
        ("headers of every type", [strange, after.clone()].concat(), true),
        (
            "an event of a type that nobody knows",
            [unknown, after].concat(),
            true,
        ),
    ]
}

/// Whether a client that reads these frames comes to an exception, or to something that is no frame.
fn is_broken(mut body: &[u8]) -> bool {
    let mut last = String::new();
    while let Some(length) = body.first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length");
        let frame = body.split_at_checked(length);
        let Some((Ok(message), rest)) = frame.map(|(frame, rest)| (read_message_from(frame), rest)) else {
            return true;
        };
        let kind = message.headers().iter().find_map(|header| {
            let value = header.value().as_string().ok()?;
            (header.name().as_str() == ":message-type").then(|| value.as_str().to_owned())
        });
        last = kind.unwrap_or_default();
        if last != "event" {
            return true;
        }
        body = rest;
    }
    !body.is_empty() || last.is_empty()
}

fn node(upstream: &Upstream) -> Node {
    let node = NodeSetup::new().start();
    node.put(
        "/routes/1",
        &json!({"uri": "/model/*", "plugins": {"ai-proxy": {
            "provider": "bedrock", "provider_conf": {"region": "eu-west-1"},
            "auth": {"aws": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "key-of-the-vendor"}},
            "options": {"model": "served-model"},
            "override": {"endpoint": format!("http://{}", upstream.address())},
        }}}),
    );
    node
}

/// A provider that sends these frames, behind content if it is told to go on when that has been seen.
fn start(frames: Vec<u8>, behind_content: Option<Receiver<()>>) -> Upstream {
    let behind_content = behind_content.map(Mutex::new);
    Upstream::start(move |_, peer| {
        let parts = Api::Converse.parts("the first words");
        peer.send(Api::Converse.stream_head().as_slice());
        peer.send(&answers::chunk(&parts.before));
        if let Some(seen) = &behind_content {
            peer.send(&answers::chunk(&parts.content));
            // Without a word the test has failed.
            let _ = seen.lock().expect("one thread").recv();
        }
        peer.send(&answers::chunk(&frames));
        peer.send(answers::END_OF_CHUNKS);
        Next::Keep
    })
}

#[test]
fn a_stream_of_frames_that_breaks_after_content_ends_with_an_exception() {
    for (name, frames, served) in cases() {
        let (go_on, seen) = channel();
        let upstream = start(frames, Some(seen));
        let node = node(&upstream);
        let client = Api::Converse;
        let request = post(client.path(true), client.request(true, "Hello"));
        let mut stream = Connection::open(node.calls).stream(&request);
        assert_eq!(stream.head.status, 200, "{name}");
        let mut body = stream.bytes_until(b"the first words");
        go_on.send(()).expect("the provider waits");
        body.extend(stream.bytes());
        if served {
            assert_eq!(
                client.text_of_stream(&body).as_deref(),
                Some("the first words"),
                "{name}"
            );
        } else {
            assert!(is_broken(&body), "{name}: {}", String::from_utf8_lossy(&body));
        }
        node.stop();
    }
}

#[test]
fn a_stream_of_frames_that_breaks_before_content_is_an_error() {
    for (name, frames, _) in cases().into_iter().filter(|(_, _, served)| !served) {
        let upstream = start(frames, None);
        let node = node(&upstream);
        let client = Api::Converse;
        let reply = Reply::to(node.calls, post(client.path(true), client.request(true, "Hello")));
        let expected = if name == "an exception" { 429 } else { 502 };
        assert_eq!(reply.status, expected, "{name}: {}", reply.text());
        node.stop();
    }
}
