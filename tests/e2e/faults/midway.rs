//! An instance that fails after its first content: nothing can be taken back, so the client is told in its own API, and what
//! was used until then is accounted for.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use super::wire::Api;
use super::{ALL, LANES, Lane, Logged, UNSEEN, compare, good, node};
use crate::apisix::Node;
use crate::harness::{Connection, Next, Peer, Upstream, answers, post};

/// How a stream goes wrong after its first content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Midway {
    Closed,
    Reset,
    Ended,
    Silent,
    Overdue,
    BadChunk,
    TooLarge,
    ErrorEvent,
}

use Midway::{BadChunk, Closed, Ended, ErrorEvent, Overdue, Reset, Silent, TooLarge};

/// With what the document says, and the word in the log.
const FAULTS: [(Midway, &str, &str); 8] = [
    (Closed, "the connection is closed", "cut"),
    (Reset, "the connection is reset", "cut"),
    (Ended, "the stream ends without its end mark", "cut"),
    (BadChunk, "the framing of the body breaks", "cut"),
    (Silent, "the stream stalls", "between_chunks_timeout"),
    (
        Overdue,
        "the stream exceeds `max_stream_duration_ms`",
        "total_timeout",
    ),
    (TooLarge, "the stream exceeds `max_response_bytes`", "too_large"),
    (ErrorEvent, "the provider tells an error", "error_event"),
];

/// The first content.
const FIRST: &str = "the first words of the answer";

/// The limit of streams, where it is exceeded: the beginning fits, what follows does not.
const MAX_BYTES: usize = 20_000;

/// What one call has shown.
struct Seen {
    /// The word for the error that the client was told.
    error: String,
    usage: String,
}

#[test]
fn the_client_is_told_in_its_own_api_and_the_usage_so_far_is_accounted() {
    let node = node(None);
    let seen: Vec<Vec<Seen>> = thread::scope(|scope| {
        let node = &node;
        let faults: Vec<_> = (0..FAULTS.len())
            .map(|number| {
                let named = thread::Builder::new().name(FAULTS[number].1.to_owned());
                let fault = named.spawn_scoped(scope, move || -> Vec<Seen> {
                    LANES
                        .iter()
                        .map(|lane| fails_midway(node, number, *lane))
                        .collect()
                });
                fault.expect("a thread")
            })
            .collect();
        faults
            .into_iter()
            .map(|fault| fault.join().expect("each fault ends as it should"))
            .collect()
    });
    let mut table = "| what goes wrong | in the log |".to_owned();
    LANES
        .iter()
        .for_each(|lane| table.push_str(&format!(" {} |", lane.name)));
    table.push_str(" usage |\n|---|---|");
    table.push_str(&"---|".repeat(LANES.len() + 1));
    for ((_, what, outcome), seen) in FAULTS.iter().zip(&seen) {
        table.push_str(&format!("\n| {what} | `{outcome}` |"));
        seen.iter()
            .for_each(|seen| table.push_str(&format!(" `{}` |", seen.error)));
        table.push_str(&format!(" {} |", seen[0].usage));
    }
    compare("after the first content", &format!("{table}\n"));
    node.stop();
}

/// Content comes, the stream fails, and the client is told.
#[track_caller]
fn fails_midway(node: &Node, number: usize, lane: Lane) -> Seen {
    let (how, what, outcome) = FAULTS[number];
    let case = format!("{what}: {}", lane.name);
    let (proceed, told_to_proceed) = channel();
    let told_to_proceed = Mutex::new(told_to_proceed);
    let failing = Upstream::start(move |asked, peer| {
        let api = Api::of(asked);
        let parts = api.parts(FIRST);
        peer.send(&api.stream_head());
        peer.send(&answers::chunk([parts.before, parts.content].concat()));
        fail_now(how, api, peer, &told_to_proceed)
    });
    let next = good();
    let mut rule: Value = serde_json::from_str(ALL).expect("JSON");
    match how {
        Silent => rule["timeout"] = json!(2000),
        Overdue => rule["max_stream_duration_ms"] = json!(2000),
        TooLarge => rule["max_response_bytes"] = json!(MAX_BYTES),
        _ => {}
    }
    let name = format!("midway-{number}");
    let first = format!("http://{}", failing.address());
    lane.route(node, &name, &first, &next, &rule);
    let path = format!("/{name}/{}{}", lane.path, lane.client.path(true));
    let request = post(&path, lane.client.request(true, "Hello"));
    let mut stream = Connection::open(node.calls).stream(&request);
    assert_eq!(stream.head.status, 200, "{case}");
    let mut body = stream.bytes_until(FIRST.as_bytes());
    // The client has the content, so that a reset cannot take it back.
    proceed.send(()).expect("the provider waits");
    body.extend_from_slice(&stream.bytes());
    let text = String::from_utf8_lossy(&body);
    assert!(!text.contains(UNSEEN), "{case}: {text}");
    assert!(!lane.client.looks_finished(&body), "{case}: {text}");
    let error = lane.client.error_of_stream(&body);
    let error = error.unwrap_or_else(|| panic!("{case}: no error at the end: {text}"));
    next.was_not_asked();
    let line = Logged::of(&node.process.stdout, &path);
    assert_eq!(line.status, "200", "{case}: {line:?}");
    assert_eq!(line.attempts, format!("failing={outcome}"), "{case}: {line:?}");
    assert_ne!(line.error_code, "-", "{case}: {line:?}");
    assert!(line.completion_tokens >= 5, "{case}: {line:?}");
    if lane.provider == Api::Messages {
        assert_eq!(
            line.prompt_tokens, 11,
            "as the provider has told at the beginning, {case}: {line:?}"
        );
    }
    assert!(line.prompt_tokens > 0, "{case}: {line:?}");
    Seen {
        error,
        usage: line.usage,
    }
}

fn fail_now(how: Midway, api: Api, peer: &mut Peer, told: &Mutex<Receiver<()>>) -> Next {
    // The test may have failed.
    let _ = told.lock().expect("one thread").recv();
    match how {
        Closed => return Next::Close,
        Reset => return Next::Reset,
        Ended => peer.send(answers::END_OF_CHUNKS),
        BadChunk => peer.send(b"not a chunk size\r\n"),
        Silent | Overdue => {
            peer.wait_until_closed();
            return Next::Close;
        }
        TooLarge => peer.send(&answers::chunk(api.parts(&UNSEEN.repeat(MAX_BYTES)).content)),
        ErrorEvent => {
            peer.send(&answers::chunk(api.error_event("the model fell over")));
            peer.send(answers::END_OF_CHUNKS);
        }
    }
    Next::Keep
}
