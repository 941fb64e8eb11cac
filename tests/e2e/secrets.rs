//! Keys never leave the place they belong to: no log, no error, no dump shows them, whatever goes wrong.

use crate::harness::{Dialect, Gateway, Next, Setup, Upstream, answers, post};

const CONSUMER: &str = "planted-consumer-key-7f3a";
const PROVIDER: &str = "planted-provider-key-91cc";
const HEADER: &str = "planted-header-secret-55aa";
const WRONG: &str = "planted-wrong-key-0000";

/// What a person said to a model; no log may show it unless it was switched on.
const PROMPT: &str = "planted-prompt-of-a-person";

const PLANTED: [&str; 4] = [CONSUMER, PROVIDER, HEADER, WRONG];

/// A gateway that talks as much as it can, in front of this provider.
fn talkative(upstream: &Upstream, format: &str) -> Gateway {
    let config = format!(
        "models:\n  o: {{provider: open}}\n  a: {{provider: ant}}\nproviders:\n  \
         open: {{kind: openai-compatible, endpoint: \"{0}\", key: $env://PROVIDER_KEY, headers: {{x-auth: \"Bearer $env://HEADER_KEY\"}}}}\n  \
         ant: {{kind: anthropic, endpoint: \"{0}\", key: $env://PROVIDER_KEY, headers: {{x-auth: \"Bearer $env://HEADER_KEY\"}}}}\n\
         consumers:\n  caller: {{key: $env://CONSUMER_KEY, models: [\"*\"]}}\n",
        upstream.base()
    );
    Setup::new(config)
        .access_log(format)
        .env("PROVIDER_KEY", PROVIDER)
        .env("HEADER_KEY", HEADER)
        .env("CONSUMER_KEY", CONSUMER)
        .env("RUST_LOG", "trace")
        .start()
}

#[track_caller]
fn is_clean(text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "{secret} is in:\n{text}");
    }
}

/// A provider that repeats, in one way or another, everything it was sent.
fn quoting(answer: impl Fn(&str, Dialect, bool) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |asked, peer| {
        let sent: Vec<String> = asked
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert!(
            sent.concat().contains(PROVIDER) && sent.concat().contains(HEADER),
            "the provider gets its secrets"
        );
        // With and without the word before a credential.
        let sent = format!("{}; {}", sent.join("; "), sent.join("; ").replace("Bearer ", ""));
        peer.send(&answer(&sent, asked.dialect(), asked.stream()));
        Next::Close
    })
}

/// Calls in every pair of dialects, streamed and not, and asserts that no key is in an answer or in any output.
#[track_caller]
fn keeps_secrets(upstream: &Upstream) {
    let gateway = talkative(upstream, "json");
    for model in ["o", "a"] {
        for client in Dialect::BOTH {
            for stream in [false, true] {
                let request = post(
                    client.path(),
                    client.request(model, stream).replace("Hello", PROMPT),
                );
                for request in [
                    request
                        .clone()
                        .header("authorization", &format!("Bearer {CONSUMER}")),
                    request.header("x-api-key", CONSUMER),
                ] {
                    let mut connection = gateway.connect();
                    connection.write(&request.with("connection", "close").bytes());
                    let answer = connection.until_closed();
                    assert!(!answer.is_empty());
                    is_clean(&String::from_utf8_lossy(&answer));
                }
            }
        }
    }
    let finished = gateway.stop();
    assert!(finished.stdout.contains("\"request_id\""));
    for output in [&finished.stdout, &finished.stderr] {
        is_clean(output);
        assert!(!output.contains(PROMPT), "what a person said is in:\n{output}");
    }
}

#[test]
fn when_all_goes_well() {
    keeps_secrets(&Upstream::good("served"));
}

#[test]
fn when_an_error_answer_quotes_the_key() {
    for status in [400, 401, 403, 429, 500] {
        keeps_secrets(&quoting(move |sent, dialect, _| {
            answers::json_answer(status, &answers::error(dialect, sent))
        }));
    }
}

#[test]
fn when_an_error_page_quotes_the_key() {
    keeps_secrets(&quoting(|sent, _, _| {
        answers::answer(500, "content-type: text/html\r\n", sent.as_bytes())
    }));
}

#[test]
fn when_an_error_inside_a_200_quotes_the_key() {
    keeps_secrets(&quoting(|sent, dialect, stream| {
        if stream {
            let event = answers::error_event(dialect, sent);
            answers::answer(200, "content-type: text/event-stream\r\n", event.as_bytes())
        } else {
            answers::json_answer(200, &answers::error(dialect, sent))
        }
    }));
}

#[test]
fn when_an_error_event_after_the_first_content_quotes_the_key() {
    keeps_secrets(&quoting(|sent, dialect, stream| {
        if !stream {
            return answers::json_answer(401, &answers::error(dialect, sent));
        }
        let events = answers::events(dialect, &["first"]);
        let text = [
            events.before.concat(),
            events.content.concat(),
            answers::error_event(dialect, sent),
        ]
        .concat();
        [
            answers::stream_head().as_bytes(),
            &answers::chunk(text),
            answers::END_OF_CHUNKS,
        ]
        .concat()
    }));
}

#[test]
fn when_what_comes_is_garbage_that_quotes_the_key() {
    keeps_secrets(&quoting(|sent, _, _| answers::json_answer(200, sent)));
    keeps_secrets(&quoting(|sent, _, _| {
        format!("HTTP/1.1 abc {sent}\r\n\r\n").into_bytes()
    }));
    keeps_secrets(&quoting(|sent, _, _| {
        answers::answer(
            200,
            "content-type: text/event-stream\r\n",
            format!("data: {sent}\n\n").as_bytes(),
        )
    }));
    keeps_secrets(&quoting(|sent, _, _| {
        answers::answer(302, &format!("location: http://{sent}/\r\n"), b"")
    }));
}

#[test]
fn when_nobody_can_be_reached() {
    keeps_secrets(&Upstream::refusing());
}

#[test]
fn when_the_caller_sends_a_wrong_key_anywhere() {
    let upstream = Upstream::good("served");
    for format in [
        "json",
        "combined",
        "$http_authorization $http_x_api_key $http_api_key $http_cookie $args $request",
    ] {
        let gateway = talkative(&upstream, format);
        for dialect in Dialect::BOTH {
            let request = post(
                &format!("{}?key={WRONG}&api_key={WRONG}", dialect.path()),
                dialect.request("o", false),
            );
            for (name, value) in [
                ("authorization", format!("Bearer {WRONG}")),
                ("authorization", WRONG.to_owned()),
                ("x-api-key", WRONG.to_owned()),
                ("api-key", WRONG.to_owned()),
            ] {
                let response = gateway.send(&request.clone().header(name, &value));
                assert_eq!(response.status(), 401);
                is_clean(response.text());
                is_clean(&gateway.logged_text());
            }
        }
        let finished = gateway.stop();
        is_clean(&finished.stdout);
        is_clean(&finished.stderr);
    }
    upstream.was_not_asked();
}

#[test]
fn when_a_configuration_is_refused() {
    let upstream = Upstream::good("served");
    let gateway = talkative(&upstream, "json");
    gateway.write_config(&format!(
        "models: {{m: {{provider: p}}}}\nproviders: {{p: {{kind: openai-compatible, endpoint: \"https://user:{PROVIDER}@h/v1\", \
         key: {PROVIDER}, headers: {{\"bad name\": {HEADER}}}}}}}\n\
         consumers: {{a: {{key: {CONSUMER}, models: [m]}}, b: {{key: {CONSUMER}, models: [m]}}}}\n"
    ));
    gateway.stderr().with("the previous configuration keeps serving");
    let finished = gateway.stop();
    is_clean(&finished.stderr);
}
