//! Providers that are strange but not wrong, and providers that are wrong in ways that cost memory: the first are served,
//! the second are failed attempts like any other.

use serde_json::{Value, json};

use crate::harness::{Asked, Dialect, Gateway, Next, Setup, Upstream, answers, post};

/// A model whose first provider is the one under test, with another for when it fails.
fn gateway(dialect: Dialect, upstream: &Upstream, next: &Upstream) -> Gateway {
    let config = format!(
        "models:\n  m:\n    instances:\n      - {{name: odd, provider: odd}}\n      \
         - {{name: next, provider: next, weight: 0}}\nproviders:\n{}{}",
        dialect.provider("odd", upstream),
        dialect.provider("next", next),
    );
    Setup::new(config).start()
}

fn other(dialect: Dialect) -> Dialect {
    if dialect == Dialect::OpenAi {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    }
}

/// Asserts that an answer leads to the next provider, in both dialects, streamed and not.
#[track_caller]
fn is_a_failed_attempt(answer: impl Fn(&Asked) -> Vec<u8> + Clone + Send + Sync + 'static) {
    for dialect in Dialect::BOTH {
        let answer = answer.clone();
        let odd = Upstream::start(move |asked, peer| {
            peer.send(&answer(asked));
            Next::Close
        });
        let next = Upstream::good("the next provider answers");
        let gateway = gateway(dialect, &odd, &next);
        for stream in [false, true] {
            let response = gateway.send(&post(dialect.path(), dialect.request("m", stream)));
            let instance = response.header("x-tollgate-instance");
            assert_eq!(
                instance,
                Some("next"),
                "{dialect:?}, stream: {stream}: {:.300}",
                response.text()
            );
            assert!(
                response.text().contains("the next provider answers"),
                "{}",
                response.text()
            );
            odd.asked();
            odd.was_not_asked();
        }
        assert_eq!(
            gateway
                .send(&post(dialect.path(), dialect.request("m", false)))
                .status(),
            200,
            "it still serves"
        );
    }
}

/// Asserts that an answer is served to clients of both dialects, and gives the text they see and the usage in the log.
#[track_caller]
fn is_served(
    provider: Dialect,
    answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
) -> Vec<(String, Value)> {
    let odd = Upstream::start(move |asked, peer| {
        peer.send(&answer(asked));
        Next::Keep
    });
    let next = Upstream::good("the next provider answers");
    let gateway = gateway(provider, &odd, &next);
    let mut seen = Vec::new();
    for client in [provider, other(provider)] {
        for stream in [false, true] {
            let response = gateway.send(&post(client.path(), client.request("m", stream)));
            let case = format!(
                "{client:?} client, {provider:?} provider, stream: {stream}: {}",
                response.text()
            );
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(response.header("x-tollgate-instance"), Some("odd"), "{case}");
            let line = gateway.logged();
            assert_eq!(line["outcome"], "ok", "{case}: {line}");
            seen.push((response.text().to_owned(), line["usage"].clone()));
        }
    }
    next.was_not_asked();
    gateway.stop();
    seen
}

#[test]
fn an_upgrade_nobody_asked_for() {
    is_a_failed_attempt(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello".to_vec()
    });
}

#[test]
fn a_status_without_a_body_that_has_one() {
    is_a_failed_attempt(|_| b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}".to_vec());
}

#[test]
fn five_thousand_headers() {
    is_a_failed_attempt(|asked| {
        let headers: String = (0..5000).map(|number| format!("x-{number}: 1\r\n")).collect();
        answers::answer(
            200,
            &headers,
            answers::whole(asked.dialect(), "never seen").as_bytes(),
        )
    });
}

#[test]
fn header_lines_with_control_characters() {
    for line in ["x: a\0b\r\n", "x: a\rb\r\n", "x\0: a\r\n", "no colon\r\n"] {
        is_a_failed_attempt(move |asked| {
            answers::answer(
                200,
                line,
                answers::whole(asked.dialect(), "never seen").as_bytes(),
            )
        });
    }
}

#[test]
fn nesting_of_a_hundred_thousand_levels() {
    is_a_failed_attempt(|asked| {
        let deep = format!("{{\"id\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        if asked.stream() {
            answers::answer(
                200,
                "content-type: text/event-stream\r\n",
                format!("data: {deep}\n\n").as_bytes(),
            )
        } else {
            answers::json_answer(200, &deep)
        }
    });
}

#[test]
fn more_than_a_whole_answer_may_have() {
    is_a_failed_attempt(|asked| {
        // More than 64 MiB; a line of a stream may have less.
        let long = "x".repeat(65 * 1024 * 1024);
        if asked.stream() {
            answers::answer(
                200,
                "content-type: text/event-stream\r\n",
                format!("data: {long}").as_bytes(),
            )
        } else {
            answers::json_answer(200, &format!("{{\"x\":\"{long}\"}}"))
        }
    });
}

#[test]
fn answers_that_are_json_but_no_answer() {
    for body in [
        "[]",
        "{}",
        "null",
        "7",
        r#""text""#,
        r#"{"choices":7}"#,
        r#"{"choices":[]}"#,
    ] {
        is_a_failed_attempt(move |asked| {
            if asked.stream() {
                answers::answer(
                    200,
                    "content-type: text/event-stream\r\n",
                    format!("data: {body}\n\n").as_bytes(),
                )
            } else {
                answers::json_answer(200, body)
            }
        });
    }
}

#[test]
fn interim_answers_before_the_real_one_are_skipped() {
    for provider in Dialect::BOTH {
        let seen = is_served(provider, |asked| {
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100);
            [
                hints.as_bytes(),
                b"HTTP/1.1 100 Continue\r\n\r\n",
                &answers::good(asked, "served"),
            ]
            .concat()
        });
        assert!(seen.iter().all(|(text, _)| text.contains("served")), "{seen:?}");
    }
}

#[test]
fn an_answer_without_length_ends_with_the_connection() {
    for provider in Dialect::BOTH {
        let odd = Upstream::start(|asked, peer| {
            let whole = answers::whole(asked.dialect(), "served");
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{whole}").as_bytes());
            Next::Close
        });
        let next = Upstream::good("the next provider answers");
        let response =
            gateway(provider, &odd, &next).send(&post(provider.path(), provider.request("m", false)));
        assert_eq!(response.text(), answers::whole(provider, "served"));
    }
}

#[test]
fn streams_are_read_however_their_lines_are_written() {
    for provider in Dialect::BOTH {
        let variants: [fn(String) -> String; 6] = [
            |text| text,
            |text| text.replace('\n', "\r\n"),
            |text| text.replace('\n', "\r"),
            |text| text.replace("data: ", "data:").replace("event: ", "event:"),
            |text| {
                format!(
                    ": comment\n\n\n{}",
                    text.replace("\n\n", "\nid: 1\nretry: 5\n\n: ping\n\n")
                )
            },
            |text| format!("\u{feff}{text}"),
        ];
        for variant in variants {
            let seen = is_served(provider, move |asked| {
                if !asked.stream() {
                    return answers::good(asked, "served");
                }
                let text = variant(answers::events(asked.dialect(), &["ser", "ved"]).text());
                answers::answer(200, "content-type: text/event-stream\r\n", text.as_bytes())
            });
            for (text, usage) in seen {
                assert_eq!(
                    (&usage["total_tokens"], &usage["estimated"]),
                    (&18.into(), &false.into()),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn an_end_mark_that_is_missing_after_a_complete_answer_of_openai_is_made_up_for_the_other_dialect() {
    let seen = is_served(Dialect::OpenAi, |asked| {
        if !asked.stream() {
            return answers::good(asked, "served");
        }
        let mut events = answers::events(asked.dialect(), &["served"]);
        assert_eq!(events.after.pop().as_deref(), Some("data: [DONE]\n\n"));
        answers::stream(&events)
    });
    let (translated, usage) = &seen[3];
    assert!(translated.contains("event: message_stop"), "{translated}");
    assert_eq!(usage["total_tokens"], 18);
}

#[test]
fn usage_that_makes_no_sense_never_reaches_the_log_as_it_is() {
    for usage in [
        json!({"prompt_tokens": -5, "completion_tokens": 7, "total_tokens": 2, "input_tokens": -5, "output_tokens": 7}),
        json!({"prompt_tokens": "11", "completion_tokens": "x", "input_tokens": "11", "output_tokens": "x"}),
        json!({"prompt_tokens": 1e300, "completion_tokens": 7, "input_tokens": 1e300, "output_tokens": 7}),
        json!({"prompt_tokens": 1.5, "completion_tokens": null, "input_tokens": 1.5, "output_tokens": null}),
        json!({}),
        json!(null),
        json!("none"),
        json!([]),
    ] {
        for dialect in Dialect::BOTH {
            let said = usage.clone();
            let odd = Upstream::start(move |asked, peer| {
                let mut whole: Value =
                    serde_json::from_str(&answers::whole(asked.dialect(), "served")).expect("JSON");
                whole["usage"] = said.clone();
                peer.send(&answers::json_answer(200, &whole.to_string()));
                Next::Keep
            });
            let next = Upstream::good("the next provider answers");
            let gateway = gateway(dialect, &odd, &next);
            let response = gateway.send(&post(dialect.path(), dialect.request("m", false)));
            assert_eq!(response.status(), 200, "{usage}: {}", response.text());
            let line = gateway.logged();
            for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
                let tokens = &line["usage"][name];
                let plausible = tokens.as_u64().is_some_and(|tokens| tokens < 1_000_000_000);
                assert!(tokens.is_null() || plausible, "{dialect:?}, {usage}: {line}");
            }
        }
    }
}
