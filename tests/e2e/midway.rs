//! A stream that fails after its first content: nothing can be taken back, so the client is told in its own dialect.

use crate::harness::{Asked, Dialect, Next, Peer, Setup, Upstream, answers, post};

/// How a stream goes wrong after its first content.
#[derive(Clone, Copy, Debug)]
enum Midway {
    Closed,
    Reset,
    Ended,
    Silent,
    Garbled,
    ErrorEvent,
}

#[test]
fn a_stream_that_is_closed_midway_ends_with_an_error() {
    fails_midway(Midway::Closed);
}

#[test]
fn a_stream_that_is_reset_midway_ends_with_an_error() {
    fails_midway(Midway::Reset);
}

#[test]
fn a_stream_that_ends_without_a_reason_ends_with_an_error() {
    fails_midway(Midway::Ended);
}

#[test]
fn a_stream_that_goes_silent_midway_ends_with_an_error() {
    fails_midway(Midway::Silent);
}

#[test]
fn a_stream_whose_chunks_break_midway_ends_with_an_error() {
    fails_midway(Midway::Garbled);
}

#[test]
fn a_stream_with_an_error_event_midway_ends_with_that_error() {
    fails_midway(Midway::ErrorEvent);
}

/// For each pair of dialects: content comes, the stream fails, and the client is told in its own dialect.
#[track_caller]
fn fails_midway(how: Midway) {
    for provider in Dialect::BOTH {
        for client in Dialect::BOTH {
            let (proceed, told_to_proceed) = std::sync::mpsc::channel();
            let told_to_proceed = std::sync::Mutex::new(told_to_proceed);
            let failing = Upstream::start(move |asked, peer| {
                let events = answers::events(asked.dialect(), &["first "]);
                peer.send(answers::stream_head().as_bytes());
                peer.send(&answers::chunk(
                    [events.before.concat(), events.content.concat()].concat(),
                ));
                // The client has read the content, so that a reset cannot take it back.
                let _ = told_to_proceed.lock().expect("one thread").recv();
                fail_now(how, asked, peer)
            });
            let next = Upstream::good("never asked");
            let silence = if matches!(how, Midway::Silent) {
                "400ms"
            } else {
                "1m"
            };
            let config = format!(
                "models:\n  m:\n    instances:\n      - {{name: failing, provider: failing}}\n      \
                 - {{name: next, provider: next, weight: 0}}\n    timeouts: {{between_chunks: {silence}}}\n\
                 providers:\n{}{}",
                provider.provider("failing", &failing),
                provider.provider("next", &next),
            );
            let gateway = Setup::new(config).start();
            let mut stream = gateway
                .connect()
                .stream(&post(client.path(), client.request("m", true)));
            let case = format!("{how:?}: {client:?} client, {provider:?} provider");
            assert_eq!(stream.head.status, 200, "{case}");
            let mut before = Vec::new();
            while !before.last().is_some_and(|text: &String| text.contains("first ")) {
                before.push(
                    stream
                        .event()
                        .unwrap_or_else(|| panic!("{case}: no content"))
                        .data,
                );
            }
            proceed.send(()).expect("the provider waits");
            let rest = stream.rest();
            let last = rest.last().unwrap_or_else(|| panic!("{case}: a silent end"));
            let message = client.error_message(last.data.as_bytes());
            if matches!(how, Midway::ErrorEvent) {
                assert_eq!(message, "the model fell over", "{case}");
            }
            match client {
                Dialect::OpenAi => assert!(
                    rest.iter().all(|event| event.data != "[DONE]"),
                    "{case}: {rest:?}"
                ),
                Dialect::Anthropic => {
                    assert_eq!(last.name, "error", "{case}");
                    assert!(
                        rest.iter().all(|event| event.name != "message_stop"),
                        "{case}: {rest:?}"
                    );
                }
            }
            next.was_not_asked();
            let line = gateway.logged();
            assert!(line["error_code"].is_string(), "{case}: {line}");
            assert_ne!(line["attempts"][0]["outcome"], "ok", "{case}: {line}");
            assert_eq!(line["usage"]["estimated"], true, "{case}: {line}");
        }
    }
}

fn fail_now(how: Midway, asked: &Asked, peer: &mut Peer) -> Next {
    match how {
        Midway::Closed => Next::Close,
        Midway::Reset => Next::Reset,
        Midway::Ended => {
            peer.send(answers::END_OF_CHUNKS);
            Next::Keep
        }
        Midway::Silent => {
            peer.wait_until_closed();
            Next::Close
        }
        Midway::Garbled => {
            peer.send(b"not a chunk size\r\n");
            Next::Keep
        }
        Midway::ErrorEvent => {
            peer.send(&answers::chunk(answers::error_event(
                asked.dialect(),
                "the model fell over",
            )));
            peer.send(answers::END_OF_CHUNKS);
            Next::Keep
        }
    }
}
