//! What a hostile client can do within, or almost within, the rules of HTTP/2: the gateway keeps little for it, and others do
//! not notice.

use super::{CONFIG, ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR, still_serves};
use crate::harness::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PING, RST_STREAM,
    WINDOW_UPDATE, fields, frame, get, post, request, settings,
};
use crate::harness::{Dialect, Gateway, Setup, Upstream};

const CHAT: &str = "/v1/chat/completions";

/// Memory that a hostile client may cost at most, in bytes.
const COST: u64 = 32 * 1024 * 1024;

fn simulated(server: &str) -> Gateway {
    let setup = Setup::new(CONFIG);
    if server.is_empty() {
        setup
    } else {
        setup.server(server)
    }
    .start()
}

/// Asserts that the connection is ended for asking too much.
#[track_caller]
fn is_told_to_calm_down(connection: &mut Http2) {
    // The connection may be gone before its last words are read.
    if let Some(end) = connection.find(|frame| frame.kind == GOAWAY) {
        assert!(
            [ENHANCE_YOUR_CALM, PROTOCOL_ERROR].contains(&end.code()),
            "{end:?}"
        );
    }
}

#[test]
fn calls_that_are_begun_and_reset_at_once() {
    let gateway = simulated("");
    let mut connection = Http2::open(gateway.address, &[]);
    let mut stream = 1;
    // Many in one write, so that they are all there when the first is looked at.
    'flood: loop {
        let mut bytes = Vec::new();
        for _ in 0..500 {
            bytes.extend(get(stream, "/v1/models"));
            bytes.extend(frame(RST_STREAM, 0, stream, [0, 0, 0, 8]));
            stream += 2;
            if stream > 1_000_000 {
                panic!("half a million calls were begun and reset");
            }
        }
        if !connection.try_write(&bytes) {
            break 'flood;
        }
    }
    is_told_to_calm_down(&mut connection);
    gateway.counts("tollgate_connections_broken_total{reason=\"http2_flood\"}", 1);
    still_serves(gateway.address);
}

#[test]
fn a_head_without_end() {
    let gateway = simulated("");
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&frame(
        HEADERS,
        END_STREAM,
        1,
        fields(request("GET", "/v1/models")),
    ));
    let field = fields([("x-more", &*"m".repeat(1000))]);
    let pieces = frame(CONTINUATION, 0, 1, field).repeat(1000);
    let mut sent = 0;
    while connection.try_write(&pieces) {
        sent += pieces.len();
        assert!(sent < 100_000_000, "all of it was taken");
    }
    is_told_to_calm_down(&mut connection);
    // Pieces without anything in them are pieces too.
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&frame(
        HEADERS,
        END_STREAM,
        1,
        fields(request("GET", "/v1/models")),
    ));
    let pieces = frame(CONTINUATION, 0, 1, []).repeat(10_000);
    let mut sent = 0;
    while connection.try_write(&pieces) {
        sent += pieces.len();
        assert!(sent < 100_000_000, "all of it was taken");
    }
    is_told_to_calm_down(&mut connection);
    gateway.counts("tollgate_connections_broken_total{reason=\"http2_flood\"}", 2);
    still_serves(gateway.address);
}

#[test]
fn fields_that_are_small_on_the_wire_and_large_in_memory() {
    let gateway = simulated("");
    let before = gateway.memory();
    // One field of 4000 bytes is put into the table, and named again and again.
    let mut first = fields(request("GET", "/v1/models"));
    first.extend([0x40, 1, b'b', 127]);
    first.extend([(4000 - 127) as u8 | 128, ((4000 - 127) / 128) as u8]);
    first.extend([b'x'; 4000]);
    // A little too much refuses the call, far too much ends the connection.
    for (times, ends) in [(30, false), (4_000, true)] {
        let mut connection = Http2::open(gateway.address, &[]);
        connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
        assert_eq!(connection.answer(1).0, 200);
        let mut bomb = fields(request("GET", "/v1/models"));
        bomb.extend(vec![0xbe; times]);
        for stream in (3..203).step_by(2) {
            connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb));
            if ends {
                is_told_to_calm_down(&mut connection);
                break;
            }
            assert_eq!(connection.status(stream), 431);
        }
    }
    assert!(
        gateway.memory() < before + COST,
        "{} after {before}",
        gateway.memory()
    );
    still_serves(gateway.address);
}

#[test]
fn pings_and_settings_whose_answers_nobody_reads() {
    for flood in [frame(PING, 0, 0, [0; 8]), settings(&[]), settings(&[(4, 70_000)])] {
        let gateway = simulated("send_timeout: 300ms");
        let before = gateway.memory();
        let mut connection = Http2::open(gateway.address, &[]);
        let flood = flood.repeat(10_000);
        // Nothing more is read from a client that reads nothing, and in the end it is left.
        while connection.try_write(&flood) {}
        assert!(
            gateway.memory() < before + COST,
            "{} after {before}",
            gateway.memory()
        );
        still_serves(gateway.address);
    }
}

#[test]
fn frames_that_say_nothing() {
    let gateway = simulated("");
    let before = gateway.memory();
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&post(1, CHAT));
    let nothing = [
        frame(PING, ACK, 0, [0; 8]),
        frame(0x16, 0, 0, []),
        frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]),
    ]
    .concat();
    connection.write(&nothing.repeat(20_000));
    connection.is_well();
    connection.write(&frame(DATA, END_STREAM, 1, Dialect::OpenAi.request("m", false)));
    assert_eq!(connection.answer(1).0, 200);
    // Data without any data would keep a body open for nothing.
    connection.write(&post(3, CHAT));
    while connection.try_write(&frame(DATA, 0, 3, []).repeat(1_000)) {}
    is_told_to_calm_down(&mut connection);
    assert!(
        gateway.memory() < before + COST,
        "{} after {before}",
        gateway.memory()
    );
    still_serves(gateway.address);
}

#[test]
fn a_stream_whose_answer_is_left_lying_is_reset_and_its_provider_stopped() {
    let upstream = Upstream::start(|asked, peer| {
        let events = crate::harness::answers::events(asked.dialect(), &["word "]);
        peer.send(crate::harness::answers::stream_head().as_bytes());
        peer.send(&crate::harness::answers::chunk(events.before.concat()));
        while peer.try_send(&crate::harness::answers::chunk(events.content.concat())) {}
        crate::harness::Next::Close
    });
    let gateway = Setup::new(format!(
        "models: {{m: {{provider: p}}, s: {{provider: simulated}}}}\nproviders:\n{}auth: none\nmetrics: {{listen: \"127.0.0.1:0\"}}",
        Dialect::OpenAi.provider("p", &upstream)
    ))
    .server("send_timeout: 300ms")
    .start();
    let call = |stream, model, wants| {
        [
            post(stream, CHAT),
            frame(DATA, END_STREAM, stream, Dialect::OpenAi.request(model, wants)),
        ]
        .concat()
    };
    for window in [0, 10] {
        let mut connection = Http2::open(gateway.address, &[(4, window)]);
        connection.write(&call(1, "m", true));
        let reset = connection.find(|frame| frame.kind == RST_STREAM || frame.kind == GOAWAY);
        let reset = reset.expect("the stream is reset");
        assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
        assert_ne!(reset.code(), NO_ERROR);
        let line = gateway.logged();
        assert_eq!(line["outcome"], "client_gone", "{line}");
        // The connection itself is in order: other calls of the same client go on.
        connection.write(&settings(&[(4, 65_535)]));
        connection.write(&call(3, "s", true));
        assert_eq!(connection.answer(3).0, 200);
        gateway.logged();
    }
    gateway.counts("tollgate_limits_reached_total{limit=\"send_timeout\"}", 2);
}

#[test]
fn a_connection_is_idle_when_it_has_no_call_whatever_else_it_sends() {
    let gateway = simulated("idle_timeout: 500ms, header_timeout: 30s");
    let mut unused = Http2::open(gateway.address, &[]);
    let mut used = Http2::open(gateway.address, &[]);
    used.write(&get(1, "/v1/models"));
    assert_eq!(used.answer(1).0, 200);
    for connection in [&mut unused, &mut used] {
        while connection.try_write(&frame(PING, 0, 0, [0; 8])) {
            if connection.next().is_none() {
                break;
            }
        }
    }
    gateway.counts("tollgate_limits_reached_total{limit=\"idle_timeout\"}", 2);
    still_serves(gateway.address);
}
