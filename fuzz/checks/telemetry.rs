//! What must hold for any bytes that peers of telemetry send, for formats of logs, and for prices.

use serde_json::Value;
use tollgate_telemetry::entry::{Bodies, Entry, LogFormat};
use tollgate_telemetry::outbound::Address;
use tollgate_telemetry::prices::build::{self, Input};
use tollgate_telemetry::prices::{Pack, Source, decimal};
use tollgate_telemetry::traces::{parse_trace_parent, parse_trace_state};
use tollgate_telemetry::{Format, PayloadRules, Redaction, fixture, kafka, ledger, otlp};

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[
    ("kafka_answer", kafka_answer),
    ("kafka_sign_in", kafka::fuzz_scram),
    ("otlp_answer", otlp::fuzz_answers),
    ("trace_context", trace_context),
    ("log_format", |bytes| of_text(bytes, log_format)),
    ("price_pack", price_pack),
    ("price_list", price_list),
    ("usage_question", |bytes| of_text(bytes, usage_question)),
    ("peer_address", |bytes| of_text(bytes, peer_address)),
];

fn of_text(bytes: &[u8], check: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
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

/// The first line is a format, the rest is what a client says of itself: a call is one line, whatever a client sends, and an
/// entry is one JSON object.
fn log_format(text: &str) {
    let (written, said) = text.split_once('\n').unwrap_or((text, text));
    let mut call = fixture::call();
    call.request_uri = said;
    call.user_agent = Some(said);
    call.referer = Some(said);
    call.host = Some(said);
    call.x_forwarded_for = Some(said);
    call.request_model = Some(said);
    call.end_user = Some(said);
    call.method = said;
    for format in Format::parse(written).ok().into_iter().chain([Format::Json]) {
        let mut line = Vec::new();
        format.write(&call, &mut line);
        let (end, line) = line.split_last().expect("a line");
        assert_eq!(*end, b'\n');
        let line = std::str::from_utf8(line).expect("text");
        // What the format itself holds is the operator's.
        assert!(
            !line.contains(char::is_control) || written.contains(char::is_control),
            "{line:?}"
        );
        if matches!(format, Format::Json) {
            serde_json::from_str::<Value>(line).expect("a line of JSON");
        }
    }
    if let Ok(redaction) = Redaction::parse(written) {
        let rules = PayloadRules {
            redactions: vec![redaction],
            ..PayloadRules::default()
        };
        for name in ["messages", "input", "a"] {
            if let Some(told) = rules.redacted(name, said) {
                serde_json::from_str::<Value>(&told).expect("what is told is JSON");
            }
        }
    }
    let Ok(format) = serde_json::from_str(written) else {
        return;
    };
    let entry = Entry {
        log_format: Some(LogFormat::read(&format)),
        log_format_extra: Some(LogFormat::read(&format)),
        ..Entry::default()
    };
    let mut out = Vec::new();
    entry.write(&call, Bodies::default(), &mut out);
    let told: Value = serde_json::from_slice(&out).expect("an entry is JSON");
    assert!(told.is_object(), "an entry is an object");
}

/// A pack that was read says the same when it is written, as JSON and in its compact form. Numbers are read exactly.
fn price_pack(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(exact) = decimal::exact(text, 6)
    {
        assert_eq!(decimal::exact(&decimal::write(exact, 6), 6), Ok(exact));
        assert_eq!(decimal::nearest(text, 6), Ok(exact));
    }
    let packs = [Pack::from_json(bytes).ok(), Pack::from_bytes(bytes).ok()];
    if let Some(pack) = &packs[0] {
        same_when_written(pack);
    }
    for pack in packs.into_iter().flatten() {
        assert_eq!(Pack::from_bytes(&pack.to_bytes()).as_ref(), Ok(&pack));
    }
}

/// What is made of a published list is a pack.
fn price_list(bytes: &[u8]) {
    let input = Input {
        name: "list".to_owned(),
        source: Source {
            source: "somewhere".to_owned(),
            licence: "MIT".to_owned(),
            retrieved: "2026-11-20".to_owned(),
        },
        text: bytes.to_vec(),
    };
    if let Ok(built) = build::build(&[input]) {
        same_when_written(&built.pack);
    }
}

fn same_when_written(pack: &Pack) {
    let json = pack.to_json();
    let again = Pack::from_json(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(&again, pack, "another pack: {json}");
}

/// Parameters as `name=value&…`: a question that is taken has a time that begins before it ends, and what is refused is told in
/// one line that names the parameter.
fn usage_question(text: &str) {
    let parameters = || text.split('&').filter_map(|part| part.split_once('='));
    let told = |error: ledger::QueryError| {
        let told = error.to_string();
        assert!(
            told.contains(": ") && !told.contains(char::is_control),
            "{told:?}"
        );
    };
    match ledger::Usage::of(parameters(), NOW) {
        Ok(usage) => assert!(0 <= usage.since && usage.since <= usage.until),
        Err(error) => told(error),
    }
    if let Err(error) = ledger::Calls::of(parameters(), NOW) {
        told(error);
    }
    if let Ok(time) = ledger::parse_time("since", text, NOW) {
        let written = ledger::time_text(time);
        assert_eq!(
            ledger::parse_time("since", &written, NOW).ok(),
            Some(time),
            "{written}"
        );
    }
}

/// An address that is taken has a path, and holds no password.
fn peer_address(text: &str) {
    if let Ok(address) = Address::parse(text) {
        assert!(address.path().as_str().starts_with(['/', '?']), "{text}");
        assert!(!address.authority().as_str().contains('@'), "{text}");
    }
}

/// Seconds since 1970: 2026-11-21.
const NOW: i64 = 1_795_219_200;
