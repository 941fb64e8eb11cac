//! Ends of answers that are neither good nor bad at first sight, limits of what is kept, and what the log says of them.

use std::io::Read;
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Dialect, Gateway, Next, Setup, Upstream, answers, post};

/// A model whose first provider is the one under test, with another for when it fails.
fn with_next(dialect: Dialect, first: &Upstream, next: &Upstream) -> Gateway {
    let config = format!(
        "models:\n  m:\n    instances:\n      - {{name: first, provider: first}}\n      \
         - {{name: next, provider: next, weight: 0}}\nproviders:\n{}{}",
        dialect.provider("first", first),
        dialect.provider("next", next),
    );
    Setup::new(config).start()
}

/// A model with one provider.
fn alone(dialect: Dialect, upstream: &Upstream) -> Setup {
    Setup::new(format!(
        "models:\n  m: {{provider: p}}\nproviders:\n{}",
        dialect.provider("p", upstream)
    ))
}

#[test]
fn a_connection_that_breaks_after_a_complete_answer_is_no_failure() {
    for provider in Dialect::BOTH {
        for client in Dialect::BOTH {
            let upstream = Upstream::start(|asked, peer| {
                let events = answers::events(asked.dialect(), &["served"]);
                peer.send(answers::stream_head().as_bytes());
                peer.send(&answers::chunk(events.text()));
                // No last chunk.
                Next::Close
            });
            let gateway = alone(provider, &upstream).start();
            let response = gateway.send(&post(client.path(), client.request("m", true)));
            let text = response.text();
            assert!(!text.contains("error"), "{client:?} from {provider:?}: {text}");
            let line = gateway.logged();
            assert_eq!(line["outcome"], "ok", "{line}");
            assert_eq!(line["usage"]["estimated"], false, "{line}");
        }
    }
}

#[test]
fn a_stream_of_one_event_without_its_last_line_break_ends_once() {
    let event = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"served-model","choices":[{"index":0,"delta":{"role":"assistant","content":"served"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#;
    for client in Dialect::BOTH {
        let upstream = Upstream::start(move |_, peer| {
            peer.send(&answers::answer(
                200,
                "content-type: text/event-stream\r\n",
                event.as_bytes(),
            ));
            Next::Keep
        });
        let gateway = alone(Dialect::OpenAi, &upstream).start();
        let response = gateway.send(&post(client.path(), client.request("m", true)));
        let text = response.text();
        assert_eq!(text.matches("served\"").count(), 1, "{client:?}: {text}");
        assert_eq!(
            text.matches("event: message_stop").count(),
            usize::from(client == Dialect::Anthropic),
            "{text}"
        );
        let line = gateway.logged();
        assert_eq!(
            (&line["outcome"], &line["usage"]["total_tokens"]),
            (&"ok".into(), &18.into()),
            "{line}"
        );
    }
}

#[test]
fn comments_without_end_before_any_content_are_a_failed_attempt() {
    for dialect in Dialect::BOTH {
        let endless = Upstream::start(|_, peer| {
            peer.send(answers::stream_head().as_bytes());
            let comments = answers::chunk(format!(": {}\n\n", "x".repeat(1000)).repeat(1000));
            while peer.try_send(&comments) {}
            Next::Close
        });
        let next = Upstream::good("the next provider answers");
        let gateway = with_next(dialect, &endless, &next);
        let response = gateway.send(&post(dialect.path(), dialect.request("m", true)));
        assert!(
            response.text().contains("the next provider answers"),
            "{:.300}",
            response.text()
        );
    }
}

#[test]
fn content_before_garbage_in_the_same_chunk_reaches_the_client() {
    for provider in Dialect::BOTH {
        for client in Dialect::BOTH {
            let upstream = Upstream::start(|asked, peer| {
                let events = answers::events(asked.dialect(), &["first", "second"]);
                peer.send(answers::stream_head().as_bytes());
                peer.send(&answers::chunk(
                    [&events.before.concat(), &events.content[0][..]].concat(),
                ));
                peer.send(&answers::chunk([&events.content[1], "data: <html>\n\n"].concat()));
                Next::Close
            });
            let gateway = alone(provider, &upstream).start();
            let response = gateway.send(&post(client.path(), client.request("m", true)));
            let text = response.text();
            let second = text.find("second").expect("the content before the garbage");
            if provider != client {
                let error = text
                    .find("upstream_bad_answer")
                    .or(text.find("api_error"))
                    .expect("an error");
                assert!(second < error, "{text}");
            }
        }
    }
}

#[test]
fn content_before_an_error_in_the_same_chunk_reaches_the_client() {
    for provider in Dialect::BOTH {
        for client in Dialect::BOTH {
            let upstream = Upstream::start(|asked, peer| {
                let events = answers::events(asked.dialect(), &["first"]);
                let error = match asked.dialect() {
                    Dialect::OpenAi => {
                        "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n"
                    }
                    Dialect::Anthropic => {
                        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"boom\"}}\n\n"
                    }
                };
                peer.send(answers::stream_head().as_bytes());
                peer.send(&answers::chunk(
                    [&events.before.concat(), &events.content[0][..], error].concat(),
                ));
                Next::Close
            });
            let gateway = alone(provider, &upstream).start();
            let response = gateway.send(&post(client.path(), client.request("m", true)));
            assert_eq!(response.status(), 200);
            let text = response.text();
            let content = text.find("first").expect("the content before the error");
            let error = text.find("boom").expect("the error");
            assert!(content < error, "{text}");
        }
    }
}

#[test]
fn a_fallback_that_is_not_needed_does_not_shift_the_shares_of_its_own_callers() {
    let upstream = Upstream::good("served");
    let config = format!(
        "models:\n  a: {{provider: p, fallback: [b]}}\n  b:\n    instances:\n      - {{name: x, provider: p}}\n      \
         - {{name: y, provider: p}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", &upstream)
    );
    let gateway = Setup::new(config).single().start();
    let mut instances = Vec::new();
    for _ in 0..4 {
        for model in ["a", "b"] {
            let path = Dialect::OpenAi.path();
            let response = gateway.send(&post(path, Dialect::OpenAi.request(model, false)));
            instances.extend(response.header("x-tollgate-instance").map(str::to_owned));
        }
    }
    let of_b: Vec<&str> = instances
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "p")
        .collect();
    assert_eq!(
        of_b.iter().filter(|name| **name == "x").count(),
        2,
        "{instances:?}"
    );
    assert_eq!(
        of_b.iter().filter(|name| **name == "y").count(),
        2,
        "{instances:?}"
    );
}

#[test]
fn a_compressed_error_is_told_without_its_bytes() {
    for dialect in Dialect::BOTH {
        let upstream = Upstream::start(|_, peer| {
            let headers = "content-type: application/json\r\ncontent-encoding: gzip\r\nretry-after: 7\r\n";
            peer.send(&answers::answer(
                429,
                headers,
                b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xcd\xef\xff\xfe",
            ));
            Next::Keep
        });
        let gateway = alone(dialect, &upstream).start();
        let response = gateway.send(&post(dialect.path(), dialect.request("m", false)));
        assert_eq!(
            (response.status(), response.header("retry-after")),
            (429, Some("7"))
        );
        dialect.error_message(&response.body);
    }
}

#[test]
fn an_error_whose_body_never_ends_is_told_all_the_same() {
    for dialect in Dialect::BOTH {
        let upstream = Upstream::start(|_, peer| {
            let head = "HTTP/1.1 429 Too Many\r\ncontent-type: application/json\r\nretry-after: 7\r\ncontent-length: 100000\r\n\r\n";
            peer.send(head.as_bytes());
            peer.wait_until_closed();
            Next::Close
        });
        let config = format!(
            "models:\n  m: {{provider: p, timeouts: {{total: 1s}}}}\nproviders:\n{}",
            dialect.provider("p", &upstream)
        );
        let gateway = Setup::new(config).start();
        let response = gateway.send(&post(dialect.path(), dialect.request("m", false)));
        assert_eq!(
            (response.status(), response.header("retry-after")),
            (429, Some("7"))
        );
        assert_eq!(gateway.logged()["attempts"][0]["outcome"], "status");
    }
}

#[test]
fn a_client_that_leaves_before_the_provider_has_its_request_is_not_charged() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let gateway = Setup::new(format!(
        "models:\n  m: {{provider: p}}\nproviders:\n  p: {{kind: openai-compatible, endpoint: \"https://{address}/v1\"}}\n"
    ))
    .start();
    let mut connection = gateway.connect();
    connection.write(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)).bytes());
    // The handshake has begun, and is never answered.
    let (mut socket, _) = listener.accept().expect("a connection");
    drop(connection);
    socket.read_to_end(&mut Vec::new()).expect("the gateway leaves");
    let line = gateway.logged();
    assert_eq!(
        (&line["outcome"], &line["usage"]),
        (&"client_gone".into(), &Value::Null),
        "{line}"
    );
}

/// What the log says of a client that leaves while the provider works on its request.
#[track_caller]
fn abandoned(dialect: Dialect, path: &str, body: String) -> Value {
    let upstream = Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Keep
    });
    let gateway = alone(dialect, &upstream).start();
    let mut connection = gateway.connect();
    connection.write(&post(path, body).bytes());
    upstream.asked();
    drop(connection);
    upstream.was_left();
    gateway.logged()
}

#[test]
fn a_count_of_tokens_that_nobody_waits_for_is_not_charged() {
    let dialect = Dialect::Anthropic;
    let line = abandoned(dialect, "/v1/messages/count_tokens", dialect.request("m", false));
    assert_eq!(
        (&line["outcome"], &line["usage"]),
        (&"client_gone".into(), &Value::Null),
        "{line}"
    );
}

#[test]
fn an_image_is_not_charged_as_text_to_a_client_that_leaves() {
    let image = "iVBORw0KGgo".repeat(50_000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
    );
    let line = abandoned(Dialect::OpenAi, Dialect::OpenAi.path(), body);
    let tokens = line["usage"]["prompt_tokens"].as_u64();
    assert!(
        tokens.is_some_and(|tokens| tokens > 0 && tokens < 5_000),
        "{line}"
    );
}

#[test]
fn answers_cut_by_a_second_signal_are_logged_with_what_they_used() {
    let upstream = Upstream::start(|asked, peer| {
        let events = answers::events(asked.dialect(), &["some words that cost tokens"]);
        peer.send(answers::stream_head().as_bytes());
        peer.send(&answers::chunk(
            [events.before.concat(), events.content.concat()].concat(),
        ));
        peer.wait_until_closed();
        Next::Close
    });
    let gateway = alone(Dialect::OpenAi, &upstream).server("drain: 10m").start();
    let mut stream = gateway
        .connect()
        .stream(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", true)));
    stream.until("some words");
    gateway.signal("TERM");
    gateway.stderr().with("stopping");
    gateway.signal("TERM");
    assert!(stream.is_cut());
    let finished = gateway.finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let line: Value = serde_json::from_str(finished.stdout.trim()).expect("one line in the access log");
    assert_eq!(line["outcome"], "client_gone", "{line}");
    assert!(
        line["usage"]["completion_tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0),
        "{line}"
    );
}

#[test]
fn a_client_that_says_nothing_or_one_letter_is_left() {
    let upstream = Upstream::good("served");
    let gateway = alone(Dialect::OpenAi, &upstream)
        .server("header_timeout: 100ms, idle_timeout: 100ms")
        .start();
    for said in ["", "P", "PRI * HTTP/2.0\r\n", "GET "] {
        let mut connection = gateway.connect();
        connection.write(said.as_bytes());
        assert!(
            !String::from_utf8_lossy(&connection.until_closed()).contains(" 200 "),
            "{said}"
        );
    }
}

#[test]
fn a_whole_answer_without_usage_is_counted_by_estimate() {
    for dialect in Dialect::BOTH {
        let upstream = Upstream::start(|asked, peer| {
            let mut whole: Value = serde_json::from_str(&answers::whole(
                asked.dialect(),
                "seven words that somebody has to pay",
            ))
            .expect("JSON");
            whole.as_object_mut().expect("an object").remove("usage");
            peer.send(&answers::json_answer(200, &whole.to_string()));
            Next::Keep
        });
        let gateway = alone(dialect, &upstream).start();
        gateway.send(&post(dialect.path(), dialect.request("m", false)));
        let line = gateway.logged();
        assert_eq!(line["usage"]["estimated"], true, "{dialect:?}: {line}");
        let output = line["usage"]["completion_tokens"].as_u64();
        assert!(output.is_some_and(|tokens| (5..10).contains(&tokens)), "{line}");
        assert!(
            line["usage"]["prompt_tokens"]
                .as_u64()
                .is_some_and(|tokens| tokens > 5),
            "{line}"
        );
    }
}

#[test]
fn a_version_of_the_api_that_the_operator_has_set_is_sent_once() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(format!(
        "models:\n  m: {{provider: p}}\nproviders:\n  p: {{kind: anthropic, key: provider-key, endpoint: \"{}\", \
         headers: {{anthropic-version: 2023-01-01}}}}\n",
        upstream.base()
    ))
    .start();
    let request = post(Dialect::Anthropic.path(), Dialect::Anthropic.request("m", false));
    gateway.send(&request.header("anthropic-version", "2023-06-01"));
    assert_eq!(upstream.asked().header("anthropic-version"), Some("2023-01-01"));
}

#[test]
fn a_client_that_leaves_at_the_end_mark_had_its_answer() {
    for provider in Dialect::BOTH {
        let upstream = Upstream::start(|asked, peer| {
            let events = answers::events(asked.dialect(), &["served"]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(events.text()));
            peer.wait_until_closed();
            Next::Keep
        });
        let gateway = alone(provider, &upstream).start();
        let mut stream = gateway
            .connect()
            .stream(&post(provider.path(), provider.request("m", true)));
        while !stream
            .event()
            .is_some_and(|event| event.data == "[DONE]" || event.name == "message_stop")
        {}
        drop(stream);
        let line = gateway.logged();
        assert_eq!(line["outcome"], "ok", "{line}");
        assert_eq!(line["attempts"][0]["outcome"], "ok", "{line}");
    }
}

#[test]
fn an_event_that_cannot_be_read_hides_neither_the_usage_nor_a_cut() {
    for dialect in Dialect::BOTH {
        for complete in [true, false] {
            let upstream = Upstream::start(move |asked, peer| {
                let events = answers::events(asked.dialect(), &["first", "last"]);
                peer.send(answers::stream_head().as_bytes());
                let beginning = [events.before.concat(), events.content[0].clone()].concat();
                peer.send(&answers::chunk(beginning));
                peer.send(&answers::chunk("data: {not json\n\n"));
                peer.send(&answers::chunk(&events.content[1]));
                if complete {
                    peer.send(&answers::chunk(events.after.concat()));
                }
                peer.send(answers::END_OF_CHUNKS);
                Next::Close
            });
            let gateway = alone(dialect, &upstream).start();
            let response = gateway.send(&post(dialect.path(), dialect.request("m", true)));
            let text = response.text();
            assert!(text.contains("{not json") && text.contains("last"), "{text}");
            let line = gateway.logged();
            assert_eq!(
                text.contains("upstream_connection_lost") || text.contains("api_error"),
                !complete,
                "{text}"
            );
            assert_eq!(line["outcome"] == "ok", complete, "{line}");
            assert_eq!(line["usage"]["estimated"], !complete, "{line}");
        }
    }
}

#[test]
fn an_error_inside_a_choice_is_a_failed_attempt_and_keeps_its_words() {
    let body = r#"{"id":"g","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"error":{"code":502,"message":"the model is broken"}}]}"#;
    let first = Upstream::saying(answers::json_answer(200, body));
    let next = Upstream::good("served");
    let response = with_next(Dialect::OpenAi, &first, &next)
        .send(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(
        response.head.header("x-tollgate-attempts"),
        Some("first=error_event, next=ok")
    );
    let response = alone(Dialect::OpenAi, &first)
        .start()
        .send(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)));
    assert_eq!(response.status(), 502);
    assert!(
        response.text().contains("the model is broken"),
        "{}",
        response.text()
    );
}
