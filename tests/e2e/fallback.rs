//! A provider that fails before its first content is never seen by the client: it gets the whole answer of the next one.

use std::io::Write;

use crate::harness::{Asked, Dialect, Gateway, Next, Setup, Stream, Upstream, answers, post};

/// What the next provider says.
const RESCUE: &str = "the next provider answers";

/// Asks through a failing provider, streamed and not, in both dialects, and asserts that the client gets the next
/// provider's whole answer. `outcomes` are the words for the failure in logs and headers, for the whole answer and the
/// stream; `a|b` where the network decides which of the two it is.
#[track_caller]
fn is_rescued(failing: &Upstream, outcomes: [&str; 2]) {
    is_rescued_by(two_instances, failing, outcomes);
}

/// The same for a provider that lets the gateway wait.
#[track_caller]
fn is_rescued_in_time(failing: &Upstream, outcomes: [&str; 2]) {
    is_rescued_by(impatient, failing, outcomes);
}

#[track_caller]
fn is_rescued_by(
    setup: fn(Dialect, &Upstream, &Upstream) -> Gateway,
    failing: &Upstream,
    outcomes: [&str; 2],
) {
    for dialect in Dialect::BOTH {
        let next = Upstream::good(RESCUE);
        let gateway = setup(dialect, failing, &next);
        for (stream, outcome) in [false, true].into_iter().zip(outcomes) {
            let case = format!("{dialect:?}, stream: {stream}");
            let request = post(dialect.path(), dialect.request("m", stream));
            let head = if stream {
                let mut stream = gateway.connect().stream(&request);
                assert_eq!(text_of(dialect, &mut stream), RESCUE, "{case}");
                stream.head
            } else {
                let response = gateway.send(&request);
                assert_eq!(response.text(), answers::whole(dialect, RESCUE), "{case}");
                response.head
            };
            assert_eq!(head.status, 200, "{case}");
            assert_eq!(head.header("x-tollgate-instance"), Some("next"), "{case}");
            let attempts = head.header("x-tollgate-attempts").unwrap_or_default();
            let told = outcome
                .split('|')
                .find(|outcome| attempts == format!("failing={outcome}, next=ok"));
            let told = told.unwrap_or_else(|| panic!("{case}: {attempts}, expected {outcome}"));
            next.asked();
            let line = gateway.logged();
            let logged = if told.parse::<u16>().is_ok() {
                "status"
            } else {
                told
            };
            assert_eq!(line["attempts"][0]["outcome"], logged, "{case}: {line}");
            assert_eq!(
                (&line["status"], &line["outcome"]),
                (&200.into(), &"ok".into()),
                "{case}: {line}"
            );
            assert_eq!(line["usage"]["total_tokens"], 18, "{case}: {line}");
        }
        gateway.stop();
    }
}

#[test]
fn a_provider_that_keeps_failing_is_not_asked_for_a_while() {
    let failing = Upstream::start(|_, peer| {
        peer.send(b"HTTP/1.1 503 No\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
        Next::Keep
    });
    let next = Upstream::good(RESCUE);
    let gateway = two_instances(Dialect::OpenAi, &failing, &next);
    let attempts = || {
        let response = gateway.send(&post("/v1/chat/completions", Dialect::OpenAi.request("m", false)));
        assert_eq!(response.text(), answers::whole(Dialect::OpenAi, RESCUE));
        response.head.header("x-tollgate-attempts").map(str::to_owned)
    };
    for _ in 0..5 {
        assert_eq!(attempts().as_deref(), Some("failing=503, next=ok"));
    }
    for _ in 0..3 {
        assert_eq!(
            attempts().as_deref(),
            Some("next=ok"),
            "nobody waits for the first"
        );
    }
    gateway.stop();
}

/// A model of two instances, the second for when the first has failed.
fn two_instances(dialect: Dialect, failing: &Upstream, next: &Upstream) -> Gateway {
    let config = format!(
        "models:\n  m:\n    instances:\n      - {{name: failing, provider: failing}}\n      \
         - {{name: next, provider: next, weight: 0}}\nproviders:\n{}{}",
        dialect.provider("failing", failing),
        dialect.provider("next", next),
    );
    Setup::new(config).start()
}

/// A model with little patience, and another for when it has failed, which has all the time it needs.
fn impatient(dialect: Dialect, failing: &Upstream, next: &Upstream) -> Gateway {
    let config = format!(
        "models:\n  m: {{provider: failing, fallback: [spare], timeouts: {{first_byte: 400ms, between_chunks: 400ms}}}}\n  \
         spare: {{provider: next}}\nproviders:\n{}{}",
        dialect.provider("failing", failing),
        dialect.provider("next", next),
    );
    Setup::new(config).start()
}

/// The text of a streamed answer that ends as its dialect says.
#[track_caller]
fn text_of(dialect: Dialect, stream: &mut Stream) -> String {
    assert!(
        stream
            .head
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    let events = stream.rest();
    let last = events.last().expect("events");
    match dialect {
        Dialect::OpenAi => {
            assert_eq!(last.data, "[DONE]");
            let chunks = events.iter().filter(|event| event.data != "[DONE]");
            chunks
                .filter_map(|chunk| {
                    Some(
                        chunk.json()["choices"][0]["delta"]["content"]
                            .as_str()?
                            .to_owned(),
                    )
                })
                .collect()
        }
        Dialect::Anthropic => {
            assert_eq!(last.name, "message_stop");
            let deltas = events.iter().filter(|event| event.name == "content_block_delta");
            deltas
                .filter_map(|delta| Some(delta.json()["delta"]["text"].as_str()?.to_owned()))
                .collect()
        }
    }
}

/// A provider that answers with bytes that depend on the request, and then does something to the connection.
fn failing(next: Next, answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |asked, peer| {
        peer.send(&answer(asked));
        next
    })
}

/// The beginning of a proper answer: everything before the first content of a stream, half of a whole answer.
fn beginning(asked: &Asked) -> Vec<u8> {
    if asked.stream() {
        let events = answers::events(asked.dialect(), &["never seen"]);
        [
            answers::stream_head().into_bytes(),
            answers::chunk(events.before.concat()),
        ]
        .concat()
    } else {
        let answer = answers::good(asked, "never seen");
        answer[..answer.len() - 20].to_vec()
    }
}

#[test]
fn a_provider_that_refuses_connections() {
    is_rescued(&Upstream::refusing(), ["connect_error"; 2]);
}

#[test]
fn a_provider_that_resets_new_connections() {
    is_rescued(&Upstream::resetting(), ["connection_lost|connect_error"; 2]);
}

#[test]
fn a_connection_closed_before_the_head() {
    is_rescued(&failing(Next::Close, |_| Vec::new()), ["connection_lost"; 2]);
}

#[test]
fn a_connection_closed_within_the_head() {
    is_rescued(
        &failing(Next::Close, |_| b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()),
        ["connection_lost"; 2],
    );
}

#[test]
fn a_connection_reset_within_the_head() {
    is_rescued(
        &failing(Next::Reset, |_| b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()),
        ["connection_lost"; 2],
    );
}

#[test]
fn a_connection_closed_before_the_first_content() {
    is_rescued(&failing(Next::Close, beginning), ["cut"; 2]);
}

#[test]
fn a_connection_reset_before_the_head() {
    // What was sent before a reset may be lost on the way, so nothing is.
    is_rescued(&failing(Next::Reset, |_| Vec::new()), ["connection_lost"; 2]);
}

#[test]
fn a_connection_reset_within_the_body() {
    // What was sent before a reset may be lost on the way, so the failure may show in the head already.
    is_rescued(&failing(Next::Reset, beginning), ["cut|connection_lost"; 2]);
}

#[test]
fn a_stream_that_ends_in_order_before_the_first_content() {
    let failing = failing(Next::Keep, |asked| {
        if asked.stream() {
            [beginning(asked), answers::END_OF_CHUNKS.to_vec()].concat()
        } else {
            beginning(asked)
        }
    });
    // The whole answer announces more than comes, so it is waited for.
    is_rescued_in_time(&failing, ["between_chunks_timeout", "cut"]);
}

#[test]
fn a_provider_that_never_answers() {
    let failing = Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Close
    });
    is_rescued_in_time(&failing, ["first_byte_timeout"; 2]);
}

#[test]
fn a_provider_that_goes_silent_after_the_head() {
    let failing = Upstream::start(|asked, peer| {
        peer.send(&beginning(asked));
        peer.wait_until_closed();
        Next::Close
    });
    is_rescued_in_time(&failing, ["between_chunks_timeout"; 2]);
}

#[test]
fn a_provider_that_sends_a_head_and_nothing_more() {
    let failing = Upstream::start(|asked, peer| {
        peer.send(
            if asked.stream() {
                answers::stream_head()
            } else {
                whole_head()
            }
            .as_bytes(),
        );
        peer.wait_until_closed();
        Next::Close
    });
    is_rescued_in_time(&failing, ["first_byte_timeout"; 2]);
}

fn whole_head() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n".to_owned()
}

#[test]
fn bytes_that_are_not_http() {
    is_rescued(
        &failing(Next::Close, |_| b"\x16\x03\x01\x02\x00garbage\r\n\r\n".to_vec()),
        ["connection_lost"; 2],
    );
}

#[test]
fn a_bad_status_line() {
    is_rescued(
        &failing(Next::Close, |_| b"HTTP/1.1 abc OK\r\n\r\n".to_vec()),
        ["connection_lost"; 2],
    );
}

#[test]
fn two_lengths_that_differ() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 9\r\n\r\n{\"a\":1}..".to_vec();
    is_rescued(
        &failing(Next::Close, move |_| answer.clone()),
        ["connection_lost"; 2],
    );
}

#[test]
fn a_length_longer_than_the_answer() {
    let failing = failing(Next::Close, |asked| {
        let answer = answers::good(asked, "never seen");
        if asked.stream() {
            // The same promise in chunks: more bytes than come.
            return [answers::stream_head().as_bytes(), b"fff\r\ndata: {\"choices\""].concat();
        }
        let answer = String::from_utf8(answer).expect("text");
        answer
            .replacen("content-length: ", "content-length: 1", 1)
            .into_bytes()
    });
    is_rescued(&failing, ["cut"; 2]);
}

#[test]
fn a_length_shorter_than_the_answer() {
    let failing = failing(Next::Keep, |asked| {
        let body = if asked.stream() {
            answers::events(asked.dialect(), &["never seen"]).before.concat()
        } else {
            answers::whole(asked.dialect(), "never seen")
        };
        let kind = answers::media_type(asked);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len() - 9
        );
        [head.as_bytes(), body.as_bytes()].concat()
    });
    is_rescued(&failing, ["garbled", "cut"]);
}

#[test]
fn a_bad_chunk_size() {
    let failing = failing(Next::Keep, |asked| {
        let kind = answers::media_type(asked);
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{{}}\r\n0\r\n\r\n")
            .into_bytes()
    });
    is_rescued(&failing, ["cut"; 2]);
}

#[test]
fn a_head_of_two_mebibytes() {
    let failing = failing(Next::Keep, |_| {
        format!(
            "HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 2\r\n\r\n{{}}",
            "a".repeat(2 * 1024 * 1024)
        )
        .into_bytes()
    });
    is_rescued(&failing, ["connection_lost"; 2]);
}

#[test]
fn a_compressed_answer_that_nobody_asked_for() {
    let mut gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec();
    gzip.write_all(&[0xab; 64]).expect("memory");
    let failing = failing(Next::Keep, move |asked| {
        let kind = answers::media_type(asked);
        answers::answer(
            200,
            &format!("content-type: {kind}\r\ncontent-encoding: gzip\r\n"),
            &gzip,
        )
    });
    is_rescued(&failing, ["garbled", "cut"]);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Upstream::good("never seen");
    let to = format!("location: {}/chat/completions\r\n", elsewhere.base());
    let failing = failing(Next::Keep, move |_| answers::answer(302, &to, b""));
    is_rescued(&failing, ["302"; 2]);
    elsewhere.was_not_asked();
}

#[test]
fn a_page_of_html_with_status_200() {
    let page = b"<html><body><h1>Welcome</h1></body></html>";
    let failing = failing(Next::Keep, move |_| {
        answers::answer(200, "content-type: text/html\r\n", page)
    });
    is_rescued(&failing, ["garbled", "cut"]);
}

#[test]
fn an_empty_answer_with_status_200() {
    let failing = failing(Next::Keep, |asked| {
        let kind = answers::media_type(asked);
        answers::answer(200, &format!("content-type: {kind}\r\n"), b"")
    });
    is_rescued(&failing, ["empty"; 2]);
}

#[test]
fn json_for_a_stream_and_a_stream_for_json() {
    let failing = failing(Next::Keep, |asked| {
        if asked.stream() {
            answers::json_answer(200, &answers::whole(asked.dialect(), "never seen"))
        } else {
            answers::stream(&answers::events(asked.dialect(), &["never seen"]))
        }
    });
    is_rescued(&failing, ["garbled", "not_a_stream"]);
}

#[test]
fn events_that_are_not_json() {
    let failing = failing(Next::Keep, |asked| {
        if asked.stream() {
            let body = b"data: {\"choices\": [\n\ndata: [DONE]\n\n";
            answers::answer(200, "content-type: text/event-stream\r\n", body)
        } else {
            answers::json_answer(200, r#"{"id": "x", "choices": "#)
        }
    });
    is_rescued(&failing, ["garbled"; 2]);
}

#[test]
fn an_error_inside_an_answer_with_status_200() {
    let failing = failing(Next::Keep, |asked| {
        if asked.stream() {
            let event = answers::error_event(asked.dialect(), "never seen");
            [
                answers::stream_head().into_bytes(),
                answers::chunk(event),
                answers::END_OF_CHUNKS.to_vec(),
            ]
            .concat()
        } else {
            answers::json_answer(200, &answers::error(asked.dialect(), "never seen"))
        }
    });
    is_rescued(&failing, ["error_event"; 2]);
}

#[test]
fn an_error_event_whose_last_line_breaks_are_missing() {
    let failing = failing(Next::Keep, |asked| {
        let event = answers::error_event(asked.dialect(), "never seen");
        let kind = answers::media_type(asked);
        answers::answer(
            200,
            &format!("content-type: {kind}\r\n"),
            event.trim_end().as_bytes(),
        )
    });
    is_rescued(&failing, ["garbled", "error_event|cut|empty"]);
}

#[test]
fn statuses_that_mean_not_now() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        let failing = failing(Next::Keep, move |asked| {
            answers::json_answer(status, &answers::error(asked.dialect(), "never seen"))
        });
        let outcome = status.to_string();
        is_rescued(&failing, [&outcome; 2]);
    }
}

#[test]
fn a_status_that_blames_the_request_is_told_and_not_tried_elsewhere() {
    for dialect in Dialect::BOTH {
        let refusing = failing(Next::Keep, move |asked| {
            answers::json_answer(422, &answers::error(asked.dialect(), "no such role"))
        });
        let next = Upstream::good(RESCUE);
        let gateway = two_instances(dialect, &refusing, &next);
        for stream in [false, true] {
            let response = gateway.send(&post(dialect.path(), dialect.request("m", stream)));
            assert_eq!(response.status(), 422);
            assert_eq!(
                response.text(),
                answers::error(dialect, "no such role"),
                "word for word"
            );
            assert_eq!(response.header("x-tollgate-attempts"), Some("failing=422"));
        }
        next.was_not_asked();
    }
}

#[test]
fn when_all_fail_the_last_failure_is_told() {
    for dialect in Dialect::BOTH {
        let first = failing(Next::Close, |_| Vec::new());
        let last = failing(Next::Keep, |asked| {
            let body = answers::error(asked.dialect(), "come back later");
            answers::answer(
                429,
                "content-type: application/json\r\nretry-after: 7\r\n",
                body.as_bytes(),
            )
        });
        let gateway = two_instances(dialect, &first, &last);
        let response = gateway.send(&post(dialect.path(), dialect.request("m", true)));
        assert_eq!(response.status(), 429);
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(
            response.header("x-tollgate-attempts"),
            Some("failing=connection_lost, next=429")
        );
        assert_eq!(dialect.error_message(&response.body), "come back later");
    }
}

#[test]
fn a_fallback_model_of_the_other_dialect_answers_in_the_clients() {
    for client in Dialect::BOTH {
        let other = if client == Dialect::OpenAi {
            Dialect::Anthropic
        } else {
            Dialect::OpenAi
        };
        let failing = failing(Next::Keep, |asked| {
            answers::json_answer(503, &answers::error(asked.dialect(), "busy"))
        });
        let next = Upstream::good(RESCUE);
        let config = format!(
            "models:\n  m: {{provider: first, fallback: [other]}}\n  other: {{provider: second}}\nproviders:\n{}{}",
            client.provider("first", &failing),
            other.provider("second", &next),
        );
        let gateway = Setup::new(config).start();
        let whole = gateway.send(&post(client.path(), client.request("m", false)));
        assert_eq!(whole.status(), 200, "{}", whole.text());
        assert_eq!(whole.header("x-tollgate-model"), Some("other"));
        let said = match client {
            Dialect::OpenAi => whole.json()["choices"][0]["message"]["content"].clone(),
            Dialect::Anthropic => whole.json()["content"][0]["text"].clone(),
        };
        assert_eq!(said, RESCUE);
        assert_eq!(next.asked().json()["model"], "other");
        let mut stream = gateway
            .connect()
            .stream(&post(client.path(), client.request("m", true)));
        assert_eq!(text_of(client, &mut stream), RESCUE);
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_no_failure() {
    for dialect in Dialect::BOTH {
        let slow = Upstream::start(|asked, peer| {
            for byte in answers::good(asked, "slowly") {
                peer.send(&[byte]);
            }
            Next::Keep
        });
        let next = Upstream::good(RESCUE);
        let gateway = two_instances(dialect, &slow, &next);
        let whole = gateway.send(&post(dialect.path(), dialect.request("m", false)));
        assert_eq!(whole.text(), answers::whole(dialect, "slowly"));
        let mut stream = gateway
            .connect()
            .stream(&post(dialect.path(), dialect.request("m", true)));
        assert_eq!(text_of(dialect, &mut stream), "slowly");
        next.was_not_asked();
    }
}

#[test]
fn bytes_after_an_answer_never_answer_another_request() {
    let extra = Upstream::start(|asked, peer| {
        let first = answers::good(asked, "asked for");
        let second = answers::good(asked, "smuggled");
        peer.send(&[first, second].concat());
        Next::Keep
    });
    let config = format!(
        "models:\n  m: {{provider: p}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", &extra)
    );
    let gateway = Setup::new(config).single().start();
    for _ in 0..5 {
        let response = gateway.send(&post("/v1/chat/completions", Dialect::OpenAi.request("m", false)));
        assert_eq!(response.json()["choices"][0]["message"]["content"], "asked for");
    }
}

#[test]
fn a_pooled_connection_that_has_died_is_replaced_unnoticed() {
    let closing = Upstream::start(|asked, peer| {
        peer.send(&answers::good(asked, "served"));
        Next::Close
    });
    let config = format!(
        "models:\n  m: {{provider: p}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", &closing)
    );
    let gateway = Setup::new(config).single().start();
    for _ in 0..5 {
        let response = gateway.send(&post("/v1/chat/completions", Dialect::OpenAi.request("m", false)));
        assert_eq!(
            (response.status(), response.header("x-tollgate-attempts")),
            (200, Some("p=ok"))
        );
    }
}
