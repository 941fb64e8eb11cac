//! RFC 9113, sections 3 to 7: the connection's beginning, frames, states of streams, each kind of frame, and RFC 7541.

use super::Must::{End, Pass, Refuse};
use super::{
    COMPRESSION_ERROR, CONFIG, Case, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, REFUSED_STREAM,
    STREAM_CLOSED, check, simulated, still_serves,
};
use crate::harness::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PADDED, PING, PREFACE,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, fields, frame, get, post,
    request, settings,
};
use crate::harness::{Dialect, Setup};

const CHAT: &str = "/v1/chat/completions";

/// Where the HTTP library ends the connection with the code for errors without one of their own (RFC 9113, section 7), although
/// the RFC has one. To the client it is the same.
const GENERAL: u32 = PROTOCOL_ERROR;

/// A head that is not complete.
fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, fields(request("GET", "/v1/models")))
}

/// A whole call that is not answered.
fn hanging(stream: u32) -> Vec<u8> {
    let body = Dialect::OpenAi.request("hanging", true);
    [post(stream, CHAT), frame(DATA, END_STREAM, stream, body)].concat()
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, [0, 0, 0, 8])
}

fn update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, by.to_be_bytes())
}

fn dependency(on: u32) -> Vec<u8> {
    [&on.to_be_bytes()[..], &[15]].concat()
}

#[test]
fn a_connection_that_does_not_begin_with_the_preface_is_closed() {
    let gateway = simulated();
    let settings_first = [PREFACE, &frame(PING, 0, 0, [0; 8])].concat();
    let garbage = [PREFACE, b"this is no frame at all, but it is long enough for one"].concat();
    for bytes in [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".as_slice(),
        &settings_first,
        &garbage,
    ] {
        let mut connection = Http2::silent(gateway.address);
        connection.write(bytes);
        // HTTP/1.1 may answer with words of its own.
        while connection.try_write(&[0; 1024]) {}
        still_serves(gateway.address);
    }
    gateway.stop();
}

#[test]
fn an_upgrade_to_http_2_without_tls_is_ignored() {
    let gateway = simulated();
    let mut connection = gateway.connect();
    connection.write(
        b"GET /v1/models HTTP/1.1\r\nhost: h\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
          http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(connection.response().expect("an answer").status(), 200);
    // What follows is a request like any other, and not a frame.
    connection.write(b"GET /nowhere HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(connection.response().expect("an answer").status(), 404);
    gateway.stop();
}

#[test]
fn frames_and_header_blocks() {
    let size = u32::try_from(16 * 1024 + 1).expect("a size") as usize;
    let cases: Vec<Case> = vec![
        (
            "4.1 an unknown kind of frame is ignored",
            frame(0x16, 0, 0, [0; 8]),
            Pass,
        ),
        (
            "4.1 flags that are not defined are ignored",
            frame(PING, 0x16, 0, b"pingping"),
            Pass,
        ),
        (
            "4.1 the reserved bit is ignored",
            frame(PING, 0, 1 << 31, b"pingping"),
            Pass,
        ),
        (
            "4.2 data of the longest frame is taken",
            [post(1, CHAT), frame(DATA, 0, 1, vec![b' '; size - 1])].concat(),
            Pass,
        ),
        (
            "4.2 a longer frame of data",
            [post(1, CHAT), frame(DATA, 0, 1, vec![b' '; size])].concat(),
            Refuse(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.2 a longer frame of headers",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, vec![0; size]),
            End(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.3 a header block that cannot be read",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x40]),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
        (
            "4.3 another frame within a header block",
            [begun(1), frame(PRIORITY, 0, 1, dependency(0))].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "4.3 headers of another stream within a header block",
            [begun(1), get(3, "/v1/models")].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "5.5 an unknown frame within a header block",
            [begun(1), frame(0x16, 0, 0, [0; 8])].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "HPACK 2.3.3 an index of nothing",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [0xff, 0x7f]),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
        (
            "HPACK 4.2 a change of the table's size at the end of a block",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                [fields(request("GET", "/v1/models")), vec![0x20]].concat(),
            ),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
        (
            "HPACK 5.2 padding of more than seven bits",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                [
                    0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff,
                ],
            ),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
        (
            "HPACK 5.2 padding of zeroes",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x00, 0x81, 0x18, 0x00]),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
        (
            "HPACK 6.1 index zero",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x80]),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
        (
            "HPACK 6.3 a table that is larger than was allowed",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                [vec![0x3f, 0xe2, 0x1f, 0xff], fields(request("GET", "/v1/models"))].concat(),
            ),
            End(&[COMPRESSION_ERROR, GENERAL]),
        ),
    ];
    check(&cases);
}

#[test]
fn states_of_streams() {
    let closed: &[u32] = &[STREAM_CLOSED];
    let cases: Vec<Case> = vec![
        (
            "5.1 data on an idle stream",
            frame(DATA, 0, 1, b"test"),
            End(&[PROTOCOL_ERROR]),
        ),
        ("5.1 a reset of an idle stream", reset(1), End(&[PROTOCOL_ERROR])),
        (
            "5.1 a window of an idle stream",
            update(1, 100),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 a continuation on an idle stream",
            frame(CONTINUATION, END_HEADERS, 1, []),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 a priority of an idle stream is ignored",
            frame(PRIORITY, 0, 1, dependency(0)),
            Pass,
        ),
        (
            "5.1 data after the end of a request",
            [hanging(1), frame(DATA, 0, 1, b"test")].concat(),
            Refuse(&[STREAM_CLOSED, GENERAL]),
        ),
        (
            "5.1 headers after the end of a request",
            [hanging(1), get(1, "/v1/models")].concat(),
            Refuse(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 data after the end of an answer",
            [get(1, "/v1/models"), frame(DATA, 0, 1, b"test")].concat(),
            Refuse(&[STREAM_CLOSED, GENERAL]),
        ),
        (
            "5.1 a continuation after the end of a request",
            [get(1, "/v1/models"), frame(CONTINUATION, END_HEADERS, 1, [])].concat(),
            End(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 data after a reset",
            [post(1, CHAT), reset(1), frame(DATA, 0, 1, b"test")].concat(),
            Refuse(closed),
        ),
        (
            "5.1 headers after a reset",
            [post(1, CHAT), reset(1), get(1, "/v1/models")].concat(),
            Refuse(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 a continuation after a reset",
            [post(1, CHAT), reset(1), frame(CONTINUATION, END_HEADERS, 1, [])].concat(),
            End(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 a window of a stream that was reset is ignored",
            [post(1, CHAT), reset(1), update(1, 100)].concat(),
            Pass,
        ),
        (
            "5.1.1 a stream of an even number",
            get(2, "/v1/models"),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1.1 a stream of a number before the last",
            [get(5, "/v1/models"), get(3, "/v1/models")].concat(),
            End(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "5.3.1 headers of a stream that depends on itself",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY,
                1,
                [dependency(1), fields(request("GET", "/v1/models"))].concat(),
            ),
            Refuse(&[PROTOCOL_ERROR]),
        ),
        (
            "5.3.1 a priority of a stream that depends on itself",
            [post(1, CHAT), frame(PRIORITY, 0, 1, dependency(1))].concat(),
            Refuse(&[PROTOCOL_ERROR]),
        ),
        (
            "8.2 a promise of a client",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                [&[0, 0, 0, 2][..], &fields(request("GET", "/"))].concat(),
            ),
            End(&[PROTOCOL_ERROR]),
        ),
    ];
    check(&cases);
}

#[test]
fn kinds_of_frames() {
    let model = || fields(request("GET", "/v1/models"));
    let cases: Vec<Case> = vec![
        (
            "6.1 data of no stream",
            frame(DATA, 0, 0, b"test"),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.1 more padding than data",
            [post(1, CHAT), frame(DATA, PADDED | END_STREAM, 1, b"\x06test")].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.2 headers of no stream",
            frame(HEADERS, END_HEADERS | END_STREAM, 0, model()),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.2 more padding than headers",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                [vec![200], model()].concat(),
            ),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.3 a priority of no stream",
            frame(PRIORITY, 0, 0, dependency(0)),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.3 a priority that is too short",
            [post(1, CHAT), frame(PRIORITY, 0, 1, [0, 0, 0, 0])].concat(),
            Refuse(&[FRAME_SIZE_ERROR, GENERAL]),
        ),
        ("6.4 a reset of no stream", reset(0), End(&[PROTOCOL_ERROR])),
        (
            "6.4 a reset that is too short",
            [post(1, CHAT), frame(RST_STREAM, 0, 1, [0, 0, 0])].concat(),
            End(&[FRAME_SIZE_ERROR, GENERAL]),
        ),
        (
            "7 a reset with a code that is not defined",
            [post(1, CHAT), frame(RST_STREAM, 0, 1, [0, 0, 0, 0xff])].concat(),
            Pass,
        ),
        (
            "6.5 settings that acknowledge and say something",
            frame(SETTINGS, ACK, 0, [0]),
            End(&[FRAME_SIZE_ERROR, GENERAL]),
        ),
        (
            "6.5 settings of a stream",
            frame(SETTINGS, 0, 1, []),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5 settings that are cut off",
            frame(SETTINGS, 0, 0, [0, 3, 0]),
            End(&[FRAME_SIZE_ERROR, GENERAL]),
        ),
        ("6.5.2 pushes of 2", settings(&[(2, 2)]), End(&[PROTOCOL_ERROR])),
        (
            "6.5.2 a window of 2 GiB",
            settings(&[(4, 1 << 31)]),
            End(&[FLOW_CONTROL_ERROR, GENERAL]),
        ),
        (
            "6.5.2 frames of less than 16 KiB",
            settings(&[(5, 16 * 1024 - 1)]),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5.2 frames of 16 MiB",
            settings(&[(5, 1 << 24)]),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5.2 a setting that is not defined",
            settings(&[(0xff, 1)]),
            Pass,
        ),
        (
            "6.7 a ping of a stream",
            frame(PING, 0, 1, [0; 8]),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.7 a ping that is too short",
            frame(PING, 0, 0, [0; 6]),
            End(&[FRAME_SIZE_ERROR, GENERAL]),
        ),
        ("6.7 an answer to no ping", frame(PING, ACK, 0, [0; 8]), Pass),
        (
            "6.8 an end of a stream's own connection",
            frame(GOAWAY, 0, 1, [0; 8]),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 a window of nothing more",
            update(0, 0),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 a stream's window of nothing more",
            [post(1, CHAT), update(1, 0)].concat(),
            Refuse(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 a window that is too short",
            frame(WINDOW_UPDATE, 0, 0, [0, 0, 1]),
            End(&[FRAME_SIZE_ERROR, GENERAL]),
        ),
        (
            "6.9.1 a window of more than 2 GiB",
            [update(0, i32::MAX as u32), update(0, i32::MAX as u32)].concat(),
            End(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1 a stream's window of more than 2 GiB",
            [
                post(1, CHAT),
                update(1, i32::MAX as u32),
                update(1, i32::MAX as u32),
            ]
            .concat(),
            Refuse(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.10 a continuation of no stream",
            [begun(1), frame(CONTINUATION, END_HEADERS, 0, [])].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 a continuation of complete headers",
            [post(1, CHAT), frame(CONTINUATION, END_HEADERS, 1, [])].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 a continuation after the last",
            [
                begun(1),
                frame(CONTINUATION, END_HEADERS, 1, []),
                frame(CONTINUATION, END_HEADERS, 1, []),
            ]
            .concat(),
            End(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "6.10 data within a header block",
            [begun(1), frame(DATA, 0, 1, b"test")].concat(),
            End(&[PROTOCOL_ERROR]),
        ),
    ];
    check(&cases);
}

#[test]
fn headers_in_pieces_with_padding_and_priority_are_read() {
    let gateway = simulated();
    let mut connection = Http2::open(gateway.address, &[]);
    let block = fields(request("GET", "/v1/models"));
    let (first, rest) = block.split_at(10);
    let (second, third) = rest.split_at(10);
    let padded = [&[3], &dependency(0)[..], first, &[0; 3]].concat();
    connection.write(&frame(HEADERS, END_STREAM | PADDED | WITH_PRIORITY, 1, padded));
    connection.write(&frame(CONTINUATION, 0, 1, second));
    connection.write(&frame(CONTINUATION, END_HEADERS, 1, third));
    assert_eq!(connection.answer(1).0, 200);
}

#[test]
fn an_answer_waits_for_the_window_and_goes_on_when_it_grows() {
    let gateway = simulated();
    // Each stream may be sent one byte to begin with.
    let mut connection = Http2::open(gateway.address, &[(4, 1)]);
    connection.write(&get(1, "/v1/models"));
    let first = connection.find(|frame| frame.kind == DATA).expect("a byte");
    assert_eq!(first.payload.len(), 1);
    connection.is_well();
    // A window may become negative by a setting; then it has to grow by more.
    connection.write(&settings(&[(4, 0)]));
    connection.write(&update(1, 1));
    connection.is_well();
    connection.write(&update(1, 3));
    let next = connection.find(|frame| frame.kind == DATA).expect("more");
    assert_eq!(next.payload.len(), 3);
    connection.write(&settings(&[(4, 65_535)]));
    let last = connection.find(|frame| frame.kind == DATA && frame.flags & END_STREAM != 0);
    assert!(last.is_some());
}

#[test]
fn calls_beyond_the_limit_of_a_connection_are_refused_and_counted() {
    let gateway = Setup::new(CONFIG).server("max_streams: 3").start();
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&[hanging(1), hanging(3)].concat());
    connection.is_well();
    gateway.counts("tollgate_limits_reached_total{limit=\"max_streams\"}", 0);
    connection.write(&hanging(5));
    gateway.counts("tollgate_limits_reached_total{limit=\"max_streams\"}", 1);
    connection.write(&hanging(7));
    let refused = connection
        .find(|frame| frame.kind == RST_STREAM)
        .expect("a refusal");
    assert_eq!((refused.stream, refused.code()), (7, REFUSED_STREAM));
    // A stream that ends makes room for another one.
    connection.write(&reset(1));
    connection.write(&get(9, "/v1/models"));
    assert_eq!(connection.answer(9).0, 200);
}
