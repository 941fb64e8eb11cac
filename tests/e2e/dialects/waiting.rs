//! Clients of streams are not left without a sign of life while a provider thinks.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::Wire;
use crate::harness::{Dialect, Gateway, Next, Setup, Upstream, answers};

/// What a client reads as nothing.
fn sign(client: Wire) -> &'static [u8] {
    match client {
        Wire::Openai | Wire::Cohere | Wire::Responses | Wire::Bedrock => b": keep-alive\n\n",
        Wire::Anthropic => b"event: ping\n",
        Wire::Gemini => b"\n",
    }
}

/// A provider of OpenAI's dialect that sends `before`, and `after` when the test says so.
fn thinking(before: Vec<u8>, after: Vec<u8>) -> (Upstream, Sender<()>) {
    let (go, wait) = channel();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::start(move |_, peer| {
        peer.send(&before);
        // A test that has failed never says so.
        if wait.lock().expect("a lock").recv().is_err() {
            return Next::Close;
        }
        peer.send(&after);
        Next::Close
    });
    (upstream, go)
}

fn gateway(upstream: &Upstream) -> Gateway {
    Setup::new(format!(
        "models:\n  m: {{provider: o}}\nproviders:\n{}",
        Dialect::OpenAi.provider("o", upstream)
    ))
    .server("keep_alive: 20ms")
    .start()
}

#[test]
fn a_client_gets_signs_of_life_before_a_provider_has_said_anything() {
    for client in Wire::ALL.into_iter().filter(|client| *client != Wire::Bedrock) {
        let answer = answers::stream(&answers::events(Dialect::OpenAi, &["Hel", "lo"]));
        let (upstream, go) = thinking(Vec::new(), answer);
        let gateway = gateway(&upstream);
        let mut stream = gateway
            .connect()
            .stream(&client.request("m", "Hello", true, false));
        assert_eq!(stream.head.status, 200, "{client:?}");
        assert_eq!(
            stream.head.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        assert!(stream.head.header("x-tollgate-request-id").is_some());
        let mut text = stream.bytes_until(sign(client));
        text.extend(stream.bytes_until(sign(client)));
        go.send(()).expect("the provider waits");
        text.extend(stream.bytes());
        let text = String::from_utf8(text).expect("text");
        assert_eq!(
            client.said_in_stream(text.as_bytes()).text,
            "Hello",
            "{client:?}: {text}"
        );
        let log = gateway.logged();
        assert_eq!(
            (&log["status"], &log["usage"]["completion_tokens"]),
            (&200.into(), &7.into()),
            "{log}"
        );
        assert_eq!(log["body_bytes_sent"], text.len(), "{log}");
        gateway.stop();
    }
}

#[test]
fn a_client_gets_signs_of_life_within_an_answer() {
    let events = answers::events(Dialect::OpenAi, &["Hel", "lo"]);
    let begun = events.before.concat() + &events.content[0];
    let rest = events.content[1].clone() + &events.after.concat();
    for client in Wire::ALL.into_iter().filter(|client| *client != Wire::Bedrock) {
        let before = [answers::stream_head().as_bytes(), &answers::chunk(&begun)].concat();
        let after = [&answers::chunk(&rest), answers::END_OF_CHUNKS].concat();
        let (upstream, go) = thinking(before, after);
        let gateway = gateway(&upstream);
        let mut stream = gateway
            .connect()
            .stream(&client.request("m", "Hello", true, false));
        let mut text = stream.bytes_until(b"Hel");
        // An empty line ends every event, too; two of them do not.
        let sign = if client == Wire::Gemini {
            b"\n\n\n"
        } else {
            sign(client)
        };
        while !text.windows(sign.len()).any(|window| window == sign) {
            text.extend(stream.bytes_until(b"\n"));
        }
        go.send(()).expect("the provider waits");
        text.extend(stream.bytes());
        let text = String::from_utf8(text).expect("text");
        assert_eq!(
            client.said_in_stream(text.as_bytes()).text,
            "Hello",
            "{client:?}: {text}"
        );
        gateway.stop();
    }
}

#[test]
fn a_failure_after_signs_of_life_is_told_in_the_stream() {
    for client in Wire::ALL.into_iter().filter(|client| *client != Wire::Bedrock) {
        let refusal = answers::json_answer(500, &answers::error(Dialect::OpenAi, "it burns"));
        let (upstream, go) = thinking(Vec::new(), refusal);
        let gateway = gateway(&upstream);
        let mut stream = gateway
            .connect()
            .stream(&client.request("m", "Hello", true, false));
        let mut text = stream.bytes_until(sign(client));
        go.send(()).expect("the provider waits");
        text.extend(stream.bytes());
        let text = String::from_utf8(text).expect("text");
        assert!(
            text.contains("it burns") && text.contains("\"error\""),
            "{client:?}: {text}"
        );
        let log = gateway.logged();
        assert_eq!(log["status"], 200, "{log}");
        assert!(log["error_code"].is_string(), "{log}");
        gateway.stop();
    }
}

#[test]
fn a_client_that_leaves_while_it_waits_ends_the_call() {
    let (upstream, go) = thinking(Vec::new(), Vec::new());
    let gateway = gateway(&upstream);
    let mut stream = gateway
        .connect()
        .stream(&Wire::Openai.request("m", "Hello", true, false));
    stream.bytes_until(sign(Wire::Openai));
    drop(stream);
    let log = gateway.logged();
    assert_eq!(log["status"], 499, "{log}");
    assert_eq!(log["attempts"][0]["outcome"], "cancelled", "{log}");
    drop(go);
    gateway.stop();
}
