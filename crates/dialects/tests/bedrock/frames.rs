//! Event-stream frames, written and read without the crate that is tested, and what damage does to them.

use serde_json::{Value, json as value};
use tollgate_dialects::canonical::Event;

use super::{decode, decode_pieces, json, recordings, stream_of};

/// A frame with these headers.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, text) in headers {
        block.push(u8::try_from(name.len()).unwrap());
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        block.extend_from_slice(text.as_bytes());
    }
    let whole = u32::try_from(16 + block.len() + payload.len()).unwrap();
    let mut out = whole.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(payload);
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out
}

/// A frame with an event.
pub(crate) fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.to_string().as_bytes())
}

/// A frame with an exception.
pub(crate) fn exception(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    frame(&headers, payload.to_string().as_bytes())
}

/// A stream of these events.
pub(crate) fn stream(events: &[(&str, Value)]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|(kind, payload)| event(kind, payload))
        .collect()
}

/// The kinds and documents of the frames of a stream; both checksums must be right.
pub(crate) fn read(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let length = number(&bytes[..4]) as usize;
        let headers = number(&bytes[4..8]) as usize;
        assert_eq!(number(&bytes[8..12]), crc32fast::hash(&bytes[..8]), "prelude");
        let (whole, rest) = bytes.split_at(length);
        let (checked, checksum) = whole.split_at(length - 4);
        assert_eq!(number(checksum), crc32fast::hash(checked), "frame");
        let (block, payload) = checked[12..].split_at(headers);
        seen.push((kind(block), json(payload)));
        bytes = rest;
    }
    seen
}

fn kind(mut headers: &[u8]) -> String {
    let mut found = String::new();
    while !headers.is_empty() {
        let (name, rest) = headers[1..].split_at(usize::from(headers[0]));
        assert_eq!(rest[0], 7, "not a string");
        let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        let (text, rest) = rest[3..].split_at(length);
        if name == b":event-type" || name == b":exception-type" {
            found = String::from_utf8(text.to_vec()).unwrap();
        }
        headers = rest;
    }
    found
}

fn hello() -> Vec<u8> {
    stream(&[
        ("messageStart", value!({"role": "assistant", "p": "abc"})),
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": 0, "delta": {"text": "Hel"}, "p": "ab"}),
        ),
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": 0, "delta": {"text": "lo"}}),
        ),
        ("contentBlockStop", value!({"contentBlockIndex": 0})),
        ("messageStop", value!({"stopReason": "end_turn"})),
        (
            "metadata",
            value!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 5}}),
        ),
    ])
}

#[test]
fn any_damaged_byte_of_a_stream_is_noticed() {
    let stream = hello();
    assert_eq!(decode(&stream).result, Ok(()));
    for at in 0..stream.len() {
        for bit in [1, 0x80] {
            let mut damaged = stream.clone();
            damaged[at] ^= bit;
            let decoded = decode(&damaged);
            assert!(decoded.result.is_err(), "byte {at} of {}", stream.len());
            assert!(!decoded.events.contains(&Event::End), "byte {at}");
        }
    }
}

#[test]
fn a_stream_that_is_cut_anywhere_is_not_complete() {
    let stream = hello();
    let whole = decode(&stream);
    // Behind `messageStop` an answer is complete, whether its usage follows or not.
    let complete = stream.len() - event_length(&stream, 5);
    for end in 0..stream.len() {
        let decoded = decode(&stream[..end]);
        assert_eq!(decoded.result.is_ok(), end == complete, "cut at {end}");
    }
    assert_eq!(whole.events.last(), Some(&Event::End));
}

fn event_length(stream: &[u8], number: usize) -> usize {
    let mut rest = stream;
    for _ in 0..number {
        rest = &rest[u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize..];
    }
    u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize
}

#[test]
fn a_recorded_stream_decodes_the_same_for_every_cut() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = stream_of(&recording) else {
            continue;
        };
        let whole = decode(&stream);
        assert_eq!(whole.result, Ok(()), "{}", recording.name);
        let step = (stream.len() / 150).max(1);
        for cut in (0..stream.len()).step_by(step) {
            let pieces = decode_pieces([&stream[..cut], &stream[cut..]]);
            assert_eq!(pieces, whole, "{} cut at {cut}", recording.name);
        }
        for size in [1, 3, 7, 64] {
            let pieces = decode_pieces(stream.chunks(size));
            assert_eq!(pieces, whole, "{} in pieces of {size}", recording.name);
        }
        seen += 1;
    }
    assert!(seen > 15 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_with_a_wrong_checksum_is_an_error() {
    for recording in recordings() {
        let Some(stream) = recording.bytes("response.eventstream.bad") else {
            continue;
        };
        let decoded = decode(&stream);
        assert!(decoded.result.unwrap_err().problem.contains("checksum"));
        assert!(
            !decoded
                .events
                .iter()
                .any(|event| matches!(event, Event::End | Event::Error(_)))
        );
    }
}
