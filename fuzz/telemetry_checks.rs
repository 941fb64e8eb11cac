//! What must hold for any bytes that peers of telemetry send. Used by the fuzz targets and, over the checked-in corpora, by an
//! ordinary test of telemetry.

use tollgate_telemetry::traces::{parse_trace_parent, parse_trace_state};
use tollgate_telemetry::{kafka, otlp};

/// Runs the checks of a target.
///
/// # Panics
/// A check has failed, or there is no such target.
pub(crate) fn run(target: &str, bytes: &[u8]) {
    match target {
        "kafka_answer" => kafka_answer(bytes),
        "otlp_answer" => otlp::fuzz_answers(bytes),
        "trace_context" => trace_context(bytes),
        other => panic!("no fuzz target is called {other}"),
    }
}

/// What is read of an answer does not depend on what comes after it: a broker may know a newer version than it says.
fn kafka_answer(bytes: &[u8]) {
    let Some(answer) = kafka::read_answer(bytes) else {
        return;
    };
    let longer = [bytes, &[0xff; 3]].concat();
    assert_eq!(kafka::read_answer(&longer), Some(answer));
}

/// A context that is taken says the same when it is written in our version, and a state that is taken can be passed on in a
/// header. The first line is the `traceparent`, what follows the `tracestate`.
fn trace_context(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (parent, state) = bytes.split_at(end);
    if let Some(incoming) = parse_trace_parent(parent) {
        let flags = u8::from(incoming.sampled);
        let written = format!("00-{}-{}-{flags:02x}", incoming.trace, incoming.span);
        assert_eq!(parse_trace_parent(written.as_bytes()), Some(incoming));
        assert!(parent.get(2..52) == written.as_bytes().get(2..52));
    }
    let state = state.strip_prefix(b"\n").unwrap_or(state);
    if parse_trace_state(state) {
        assert!(state.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
        assert!(state.contains(&b'='));
    }
}
