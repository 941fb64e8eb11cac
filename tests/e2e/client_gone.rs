//! A client that leaves stops the provider's work in every phase, and what was used is told once in the access log.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::Value;

use crate::harness::{Connection, Dialect, Gateway, Next, Setup, Upstream, answers, post};

/// All pairs of client's and provider's dialects.
fn pairs() -> impl Iterator<Item = (Dialect, Dialect)> {
    Dialect::BOTH
        .into_iter()
        .flat_map(|client| Dialect::BOTH.map(|provider| (client, provider)))
}

fn one_model(provider: Dialect, upstream: &Upstream) -> Gateway {
    Setup::new(format!(
        "models:\n  m: {{provider: p}}\nproviders:\n{}",
        provider.provider("p", upstream)
    ))
    .start()
}

/// Asserts what every abandoned call says in the log, and that it is its only line.
#[track_caller]
fn told_as_left(gateway: Gateway, status: u16) {
    let line = gateway.logged();
    assert_eq!(line["status"], status, "{line}");
    assert_eq!(line["outcome"], "client_gone", "{line}");
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(1), "{line}");
    let usage = &line["usage"];
    assert_eq!(usage["estimated"], true, "{line}");
    assert!(
        usage["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0),
        "{line}"
    );
    let finished = gateway.stop();
    let lines: Vec<&str> = finished
        .stdout
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok())
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn while_the_head_is_waited_for() {
    for (client, provider) in pairs() {
        for stream in [false, true] {
            let upstream = Upstream::start(|_, peer| {
                peer.wait_until_closed();
                Next::Keep
            });
            let gateway = one_model(provider, &upstream);
            let mut connection = gateway.connect();
            connection.write(&post(client.path(), client.request("m", stream)).bytes());
            upstream.asked();
            drop(connection);
            upstream.was_left();
            told_as_left(gateway, 499);
        }
    }
}

#[test]
fn before_the_first_content() {
    for (client, provider) in pairs() {
        let (sent_here, sent) = channel();
        let sent_here = Mutex::new(sent_here);
        let upstream = Upstream::start(move |asked, peer| {
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(
                answers::events(asked.dialect(), &[]).before.concat(),
            ));
            sent_here
                .lock()
                .expect("one thread")
                .send(())
                .expect("the test waits");
            peer.wait_until_closed();
            Next::Keep
        });
        let gateway = one_model(provider, &upstream);
        let mut connection = gateway.connect();
        connection.write(&post(client.path(), client.request("m", true)).bytes());
        sent.recv().expect("the provider sends");
        drop(connection);
        upstream.was_left();
        told_as_left(gateway, 499);
    }
}

#[test]
fn while_a_whole_answer_is_read() {
    for (client, provider) in pairs() {
        let upstream = Upstream::start(|asked, peer| {
            let answer = answers::good(asked, "half of this");
            peer.send(&answer[..answer.len() / 2]);
            peer.wait_until_closed();
            Next::Keep
        });
        let gateway = one_model(provider, &upstream);
        let mut connection = gateway.connect();
        connection.write(&post(client.path(), client.request("m", false)).bytes());
        upstream.asked();
        drop(connection);
        upstream.was_left();
        told_as_left(gateway, 499);
    }
}

#[test]
fn between_chunks() {
    for (client, provider) in pairs() {
        let upstream = Upstream::start(|asked, peer| {
            let events = answers::events(asked.dialect(), &["some words that cost tokens "]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(
                [events.before.concat(), events.content.concat()].concat(),
            ));
            peer.wait_until_closed();
            Next::Keep
        });
        let gateway = one_model(provider, &upstream);
        let mut stream = gateway
            .connect()
            .stream(&post(client.path(), client.request("m", true)));
        stream.until("some words");
        drop(stream);
        upstream.was_left();
        told_as_left(gateway, 200);
    }
}

#[test]
fn while_the_provider_never_stops_talking() {
    for (client, provider) in pairs() {
        let (left_here, left) = channel();
        let left_here = Mutex::new(left_here);
        let upstream = Upstream::start(move |asked, peer| {
            let events = answers::events(asked.dialect(), &["word "]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(events.before.concat()));
            while peer.try_send(&answers::chunk(events.content.concat())) {}
            left_here
                .lock()
                .expect("one thread")
                .send(())
                .expect("the test waits");
            Next::Close
        });
        let gateway = one_model(provider, &upstream);
        let mut stream = gateway
            .connect()
            .stream(&post(client.path(), client.request("m", true)));
        stream.event();
        drop(stream);
        left.recv_timeout(crate::harness::PATIENCE)
            .expect("the gateway closes the connection");
        let line = gateway.logged();
        assert_eq!(
            (&line["outcome"], &line["usage"]["estimated"]),
            (&"client_gone".into(), &true.into()),
            "{line}"
        );
        assert!(
            line["usage"]["completion_tokens"]
                .as_u64()
                .is_some_and(|tokens| tokens > 0),
            "{line}"
        );
    }
}

#[test]
fn a_client_that_leaves_within_its_own_request_reaches_no_provider() {
    let upstream = Upstream::good("served");
    let gateway = one_model(Dialect::OpenAi, &upstream);
    let whole = post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)).bytes();
    for length in [1, 40, whole.len() - 60, whole.len() - 1] {
        let mut connection: Connection = gateway.connect();
        connection.write(&whole[..length]);
        drop(connection);
    }
    let mut connection = gateway.connect();
    connection.write(&whole[..whole.len() - 1]);
    connection.end_writing();
    if let Some(response) = connection.response() {
        assert_eq!(response.status(), 400);
    }
    let response = gateway.send(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)));
    assert_eq!(response.status(), 200);
    upstream.asked();
    upstream.was_not_asked();
}
