//! Bodies that are no JSON, or JSON at its edges, in every dialect: refused in the words of the dialect, or served, but never
//! understood in another way than they would be by somebody else.

use super::{KEY, Wire, simulated};
use crate::harness::{Dialect, Gateway, Request, Response, Setup, Upstream, post};

/// A good body of a dialect.
fn good(wire: Wire, prompt: &str) -> String {
    let bytes = wire.request(wire.name(), prompt, false, false).bytes();
    let text = String::from_utf8(bytes).expect("text");
    text.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// A good body with these members at its beginning.
fn with(wire: Wire, members: &str) -> String {
    good(wire, "Hello").replacen('{', &format!("{{{members},"), 1)
}

fn request(client: Wire, provider: Wire, body: impl Into<Vec<u8>>) -> Request {
    client.with_key(post(&client.path(provider.name(), false), body), KEY)
}

#[track_caller]
fn is_refused(gateway: &Gateway, wire: Wire, body: impl Into<Vec<u8>>) -> Response {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let response = gateway.send(&request(wire, wire, body));
    assert_eq!(response.status(), 400, "{wire:?}: {shown}: {}", response.text());
    assert!(!wire.error_message(&response).is_empty());
    response
}

#[track_caller]
fn still_serves(gateway: &Gateway) {
    for wire in Wire::ALL {
        let response = gateway.send(&request(wire, wire, good(wire, "Hello")));
        assert_eq!(response.status(), 200, "{wire:?}: {}", response.text());
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    let gateway = simulated("");
    for wire in Wire::ALL {
        let body = good(wire, "Hello");
        for wrong in [
            String::new(),
            " \r\n ".to_owned(),
            "hello".to_owned(),
            "null".to_owned(),
            "7".to_owned(),
            "\"text\"".to_owned(),
            format!("[{body}]"),
            body[..body.len() - 1].to_owned(),
            body[..body.len() / 2].to_owned(),
            format!("{body} x"),
            format!("{body}{body}"),
            format!("{body},"),
            format!("\u{feff}\u{feff}{body}"),
            body.replace('"', "'"),
            body.replacen('{', "{,", 1),
            body.replacen('{', "{/* note */", 1),
            body.replacen('{', "{// note\n", 1),
            with(wire, r#""x":NaN"#),
            with(wire, r#""x":Infinity"#),
            with(wire, r#""x":01"#),
            with(wire, r#""x":.5"#),
            with(wire, r#""x":+1"#),
            with(wire, r#""x":0x10"#),
            with(wire, r#""x":True"#),
            with(wire, r#""x":undefined"#),
            with(wire, r#""x""#),
            with(wire, "x:1"),
            with(wire, "\"x\":\"raw\nbreak\""),
            with(wire, "\"x\":\"raw\u{1}control\""),
            with(wire, r#""x":"\x41""#),
            with(wire, r#""x":"\u00g0""#),
            with(wire, r#""x":"\""#),
        ] {
            is_refused(&gateway, wire, wrong);
        }
        let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        is_refused(&gateway, wire, utf16);
        for bytes in [
            &b"\xff"[..],
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf5\x80\x80\x80",
            b"\xe2\x82",
        ] {
            let (start, end) = body.split_at(1);
            for (before, after) in [("\"skipped\":\"", "\","), ("\"", "\":1,")] {
                let wrong = [
                    start.as_bytes(),
                    before.as_bytes(),
                    bytes,
                    after.as_bytes(),
                    end.as_bytes(),
                ];
                is_refused(&gateway, wire, wrong.concat());
            }
            let at = body.find("Hello").expect("the prompt");
            let content = [&body.as_bytes()[..at], bytes, &body.as_bytes()[at..]].concat();
            is_refused(&gateway, wire, content);
        }
    }
    still_serves(&gateway);
    gateway.stop();
}

#[test]
fn nesting_without_end_is_refused_wherever_it_is() {
    let gateway = simulated("");
    for wire in Wire::ALL {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(150_000), close.repeat(150_000));
            for name in [
                "unknown",
                "tools",
                "metadata",
                "generationConfig",
                "response_format",
            ] {
                is_refused(&gateway, wire, with(wire, &format!("\"{name}\":{deep}")));
            }
            let body = good(wire, "Hello");
            is_refused(&gateway, wire, body.replace("\"Hello\"", &deep));
            is_refused(&gateway, wire, format!("{{\"x\":{}", open.repeat(150_000)));
            is_refused(&gateway, wire, deep);
        }
    }
    still_serves(&gateway);
    gateway.stop();
}

#[test]
fn members_that_decide_are_not_there_twice() {
    let gateway = simulated("");
    for wire in Wire::ALL {
        let mut decide = vec![];
        if !matches!(wire, Wire::Gemini | Wire::Bedrock) {
            decide.extend([
                format!(r#""model":"{}""#, Wire::ALL[0].name()),
                format!(r#""mod\u0065l":"{}""#, Wire::ALL[0].name()),
                r#""stream":true,"stream":false"#.to_owned(),
            ]);
        }
        for members in decide {
            is_refused(&gateway, wire, with(wire, &members));
        }
    }
    still_serves(&gateway);
    gateway.stop();
}

#[test]
fn a_prompt_that_is_there_twice_is_refused_or_told_to_the_provider_as_it_was_judged() {
    for (client, provider) in [
        (Dialect::OpenAi, Dialect::OpenAi),
        (Dialect::OpenAi, Dialect::Anthropic),
        (Dialect::Anthropic, Dialect::OpenAi),
        (Dialect::Anthropic, Dialect::Anthropic),
    ] {
        let upstream = Upstream::good("served");
        let gateway = Setup::new(format!(
            "models: {{m: {{provider: p}}}}\nproviders:\n{}auth: none\n",
            provider.provider("p", &upstream)
        ))
        .start();
        let body = client.request("m", false).replacen(
            "\"messages\"",
            "\"messages\":[{\"role\":\"user\",\"content\":\"first\"}],\"messages\"",
            1,
        );
        let response = gateway.send(&post(client.path(), body));
        if response.status() == 400 {
            upstream.was_not_asked();
            continue;
        }
        assert_eq!(response.status(), 200, "{}", response.text());
        let asked = upstream.asked();
        assert_eq!(
            asked.text().matches("\"messages\"").count(),
            1,
            "{}",
            asked.text()
        );
    }
}

#[test]
fn numbers_and_surrogates_at_the_edges_are_served_or_refused_by_every_pair() {
    let gateway = simulated("");
    let digits = "9".repeat(10_000);
    for client in Wire::ALL {
        for provider in Wire::ALL {
            for number in ["1e400", "-1E-999", "12345678901234567890123", "-0", &digits] {
                for name in ["unknown", "temperature", "max_tokens", "top_p", "seed"] {
                    let body = with(client, &format!("\"{name}\":{number}"));
                    let body = body.replace(client.name(), provider.name());
                    let response = gateway.send(&request(client, provider, body));
                    let shown = &number[..number.len().min(30)];
                    assert!(
                        matches!(response.status(), 200 | 400),
                        "{client:?} from {provider:?}: {name} {shown}: {}",
                        response.text()
                    );
                }
            }
            for content in [r"\ud83d lone", r"\ude00", r"a \u0000 b", r"\ud83d\ud83d\ude00"] {
                let body = good(client, "Hello")
                    .replace("Hello", content)
                    .replace(client.name(), provider.name());
                let response = gateway.send(&request(client, provider, body));
                assert!(
                    matches!(response.status(), 200 | 400),
                    "{client:?} from {provider:?}: {content}: {}",
                    response.text()
                );
            }
        }
    }
    still_serves(&gateway);
    gateway.stop();
}

#[test]
fn large_documents_are_served_in_every_dialect() {
    let gateway = simulated("");
    let key = "k".repeat(1024 * 1024);
    // Keys that a simple hash takes for one.
    let alike: String = (0..20_000).map(|number| format!("\"{number:016}\":1,")).collect();
    let next = |wire: Wire| {
        if wire == Wire::Openai {
            Wire::Anthropic
        } else {
            Wire::Openai
        }
    };
    for client in Wire::ALL {
        for provider in [client, next(client)] {
            let many = {
                let one = good(client, "Hi");
                let (start, rest) = one.split_at(one.find('[').unwrap_or(one.len() - 1) + 1);
                match rest.rfind(']') {
                    Some(end) => {
                        let item = format!("{},", &rest[..end]);
                        format!("{start}{}{rest}", item.repeat(9_999))
                    }
                    None => one.clone(),
                }
            };
            for body in [
                with(client, &format!("\"{key}\":1")),
                with(client, alike.trim_end_matches(',')),
                many,
            ] {
                let body = body.replace(client.name(), provider.name());
                let response = gateway.send(&request(client, provider, body));
                assert!(
                    matches!(response.status(), 200 | 400),
                    "{client:?} from {provider:?}: {}",
                    response.text()
                );
            }
        }
    }
    still_serves(&gateway);
    gateway.stop();
}

#[test]
fn members_of_a_wrong_type_are_named() {
    let gateway = simulated("");
    for (wire, name) in [
        (Wire::Openai, "messages"),
        (Wire::Anthropic, "messages"),
        (Wire::Cohere, "messages"),
        (Wire::Responses, "input"),
        (Wire::Gemini, "contents"),
        (Wire::Bedrock, "messages"),
    ] {
        // Served by another dialect, so that it has to be understood.
        let provider = if wire == Wire::Anthropic {
            Wire::Openai
        } else {
            Wire::Anthropic
        };
        for value in [
            "7",
            "true",
            "null",
            "{}",
            "[7]",
            "[[]]",
            r#"[{"role":7}]"#,
            r#"[{"role":"user","content":7}]"#,
        ] {
            let body = match wire {
                Wire::Gemini | Wire::Bedrock => format!("{{\"{name}\":{value}}}"),
                Wire::Anthropic => {
                    format!(
                        "{{\"model\":\"{}\",\"max_tokens\":5,\"{name}\":{value}}}",
                        provider.name()
                    )
                }
                _ => format!("{{\"model\":\"{}\",\"{name}\":{value}}}", provider.name()),
            };
            let response = gateway.send(&request(wire, provider, body));
            assert_eq!(
                response.status(),
                400,
                "{wire:?}: {name}: {value}: {}",
                response.text()
            );
            let message = wire.error_message(&response);
            let field = ["role", "content", "parts"]
                .iter()
                .any(|field| message.contains(field));
            assert!(message.contains(name) || field, "{wire:?}: {value}: {message}");
        }
        if !matches!(wire, Wire::Gemini | Wire::Bedrock) {
            for value in ["7", "\"yes\"", "[]"] {
                let body = with(wire, &format!("\"stream\":{value}"));
                let message = wire.error_message(&is_refused(&gateway, wire, body));
                assert!(message.contains("stream"), "{wire:?}: {message}");
            }
        }
    }
    still_serves(&gateway);
    gateway.stop();
}

#[test]
fn names_of_models_in_addresses_stay_names() {
    let upstream = Upstream::good("never asked");
    let gateway = Setup::new(format!(
        "models: {{\"m*\": {{provider: p}}}}\nproviders:\n  p: {{kind: gemini, key: k, endpoint: \"{}\"}}\nauth: none\n",
        upstream.base()
    ))
    .start();
    let long = "m".repeat(4_000);
    for wire in [Wire::Gemini, Wire::Bedrock] {
        for name in [
            "m/../../x",
            "m%2f..%2f..%2fx",
            "m%00",
            "m%0d%0aevil:1",
            "m%3fx=1",
            "m%23x",
            "..",
            "%2e%2e",
            &long,
        ] {
            let response = gateway.send(&post(&wire.path(name, false), good(wire, "Hello")));
            let what = format!("{wire:?}: {:.60}: {}", name, response.text());
            match upstream.try_asked() {
                None => assert!((400..500).contains(&response.status()), "{what}"),
                // Where a name is passed on, it is still one segment of the path.
                Some(asked) => {
                    let path = asked.path.split(['?', '#']).next().unwrap_or_default();
                    assert_eq!(path.matches('/').count(), 3, "{what}: {}", asked.path);
                    assert!(!asked.path.contains(".."), "{what}: {}", asked.path);
                    assert!(asked.header("evil").is_none(), "{what}");
                }
            }
        }
    }
}
