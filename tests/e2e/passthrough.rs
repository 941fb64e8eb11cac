//! Same dialect on both sides: the client's bytes reach the provider as they are, but for the named edits, and its headers
//! stay at the gateway.

use crate::harness::{Dialect, Gateway, Request, Setup, Upstream, answers, post};

/// A request nobody would format like this, with everything a careless relay would change.
const ODD: &str = "\t{ \"z\" :1.50,\r\n \"model\"  :  \"m\" , \"a\":{\"b\":[ ] , \"b\" : 2},\
                   \"big\":123456789012345678901234567890,\"exp\":1E+2, \"neg\":-0.0,\
                   \"text\":\"\\u00e9\\/\\u0041 \\ud83d\\ude00 é \u{2028}\",\"unknown_field\":null,\
                   \"max_tokens\":16,\"messages\" : [ {\"content\":\"Hi\\u0000\",\"role\":\"user\",\"x\":{}} ] }  \n";

/// A gateway with `m`, which is named `m` at the provider, and `alias`, which is named `real/model:1` there.
fn gateway(upstream: &Upstream) -> Gateway {
    let config = format!(
        "models:\n  m: {{provider: both}}\n  alias: {{provider: both, model: \"real/model:1\"}}\n  \
         cold: {{provider: both, options: {{temperature: 0}}}}\n  ant: {{provider: ant}}\n\
         providers:\n  both: {{kind: openai-compatible, key: provider-key, endpoint: \"{}\", \
         dialects: [openai_chat, anthropic_messages]}}\n  ant: {{kind: anthropic, key: provider-key, endpoint: \"{}\"}}\n\
         consumers:\n  caller: {{key: consumer-key-0001, models: [\"*\"]}}\n",
        upstream.base(),
        upstream.base(),
    );
    Setup::new(config).start()
}

fn keyed(dialect: Dialect, body: impl Into<Vec<u8>>) -> Request {
    post(dialect.path(), body).header("authorization", "Bearer consumer-key-0001")
}

#[test]
fn a_request_reaches_the_provider_byte_by_byte() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    for dialect in Dialect::BOTH {
        let response = gateway.send(&keyed(dialect, ODD));
        assert_eq!(response.status(), 200, "{}", response.text());
        let asked = upstream.asked();
        assert_eq!(asked.text(), ODD);
        assert_eq!(asked.path, dialect.path());
    }
}

#[test]
fn only_the_name_of_the_model_is_changed_where_the_provider_has_another() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    for dialect in Dialect::BOTH {
        let response = gateway.send(&keyed(dialect, ODD.replace("\"m\"", "\"alias\"")));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(upstream.asked().text(), ODD.replace("\"m\"", "\"real/model:1\""));
    }
    let escaped =
        r#"{"mod\u0065l":"ali\u0061s","messages":[{"role":"user","content":"model"}],"x":{"model":"alias"}}"#;
    assert_eq!(gateway.send(&keyed(Dialect::OpenAi, escaped)).status(), 200);
    let sent = upstream.asked().json();
    assert_eq!(
        (&sent["model"], &sent["x"]["model"]),
        (&"real/model:1".into(), &"alias".into())
    );
}

#[test]
fn options_of_the_operator_replace_those_of_the_client() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    let body = r#"{"model":"cold","temperature": 1.7 ,"messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(gateway.send(&keyed(Dialect::OpenAi, body)).status(), 200);
    assert_eq!(upstream.asked().text(), body.replace("1.7", "0"));
    let without = r#"{"model":"cold","messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(gateway.send(&keyed(Dialect::OpenAi, without)).status(), 200);
    assert_eq!(upstream.asked().json()["temperature"], 0);
}

#[test]
fn usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    for (options, edited) in [
        ("", r#","stream_options":{"include_usage":true}"#),
        (
            r#","stream_options":null"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
        (
            r#","stream_options":{}"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
        (
            r#","stream_options":{"include_usage":false}"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
        (
            r#","stream_options": { "include_obfuscation" :false }"#,
            r#","stream_options": { "include_obfuscation" :false ,"include_usage":true}"#,
        ),
    ] {
        let body = |options: &str| {
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],"stream":true{options}}}"#)
        };
        let mut stream = gateway.connect().stream(&keyed(Dialect::OpenAi, body(options)));
        let events = stream.rest();
        assert!(
            events.iter().all(|event| !event.data.contains("prompt_tokens")),
            "{options}: {events:?}"
        );
        assert_eq!(events.last().map(|event| event.data.as_str()), Some("[DONE]"));
        let sent = upstream.asked();
        let (sent, expected) = (
            sent.json(),
            serde_json::from_str::<serde_json::Value>(&body(edited)),
        );
        assert_eq!(sent, expected.expect("JSON"), "{options}");
        assert_eq!(
            gateway.logged()["usage"]["total_tokens"],
            18,
            "it is counted all the same"
        );
    }
}

#[test]
fn usage_is_forwarded_to_a_client_that_asked() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    let body = r#"{"model":"m","stream":true,"stream_options":{ "include_usage" : true },"messages":[{"role":"user","content":"Hi"}]}"#;
    let mut stream = gateway.connect().stream(&keyed(Dialect::OpenAi, body));
    let events = stream.rest();
    let usage = &events[events.len() - 2].json()["usage"];
    assert_eq!(usage["total_tokens"], 18, "{events:?}");
    assert_eq!(upstream.asked().text(), body, "there is nothing to edit");
}

#[test]
fn a_streamed_answer_arrives_byte_by_byte() {
    // Comments, names, an id, carriage returns, fields nobody knows: all of it is the provider's to say.
    let odd = ": hello\r\n\r\nid: 7\r\nevent: x\r\ndata:{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\
               \"model\":\"m\",\"new\":[1.50],\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\r\n\r\n\
               data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
               \"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let upstream = Upstream::saying(answers::answer(
        200,
        "content-type: text/event-stream\r\n",
        odd.as_bytes(),
    ));
    let gateway = gateway(&upstream);
    for options in ["", r#","stream_options":{"include_usage":true}"#] {
        let body = format!(
            r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"Hi"}}]{options}}}"#
        );
        let response = gateway.send(&keyed(Dialect::OpenAi, body));
        assert_eq!(response.text(), odd);
    }
}

#[test]
fn the_first_event_does_not_wait_for_the_second() {
    for provider in Dialect::BOTH {
        for client in Dialect::BOTH {
            let (upstream, proceed) = Upstream::paused("one", "two");
            let config = format!(
                "models: {{m: {{provider: p}}}}\nproviders:\n{}",
                provider.provider("p", &upstream)
            );
            let gateway = Setup::new(config).start();
            let mut stream = gateway
                .connect()
                .stream(&post(client.path(), client.request("m", true)));
            stream.until("one");
            proceed.send(()).expect("the provider waits");
            assert!(stream.rest().iter().any(|event| event.data.contains("two")));
        }
    }
}

#[test]
fn headers_of_the_client_stay_at_the_gateway() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    let private = [
        ("cookie", "session=1"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("x-api-key", "consumer-key-0001"),
        ("api-key", "consumer-key-0001"),
        ("x-consumer-username", "root"),
        ("openai-organization", "org-of-the-client"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "trailers"),
        ("x-team", "blue"),
        ("referer", "http://intranet.example/"),
    ];
    for (dialect, model) in [
        (Dialect::OpenAi, "m"),
        (Dialect::Anthropic, "m"),
        (Dialect::OpenAi, "ant"),
        (Dialect::Anthropic, "ant"),
    ] {
        let mut request = keyed(dialect, dialect.request(model, false)).header("user-agent", "client/1");
        for (name, value) in private {
            request = request.header(name, value);
        }
        // Naming a header in Connection must not take ours away.
        request = request.header(
            "connection",
            "authorization, x-api-key, anthropic-version, keep-alive",
        );
        let response = gateway.send(&request);
        assert_eq!(response.status(), 200, "{}", response.text());
        let asked = upstream.asked();
        let (credential, other) = if model == "ant" {
            (("x-api-key", "provider-key"), "authorization")
        } else {
            (("authorization", "Bearer provider-key"), "x-api-key")
        };
        assert_eq!(asked.header(credential.0), Some(credential.1));
        assert_eq!(asked.header(other), None);
        for (name, value) in private.iter().filter(|(name, _)| *name != credential.0) {
            assert_eq!(asked.header(name), None, "{name}: {value} reached the provider");
        }
        assert!(
            asked
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("tollgate/"))
        );
        assert!(
            asked
                .headers
                .iter()
                .all(|(_, value)| !value.contains("consumer-key")),
            "{:?}",
            asked.headers
        );
        assert_eq!(
            asked.header("host").map(str::to_owned),
            Some(upstream.base().replace("http://", "").replace("/v1", ""))
        );
    }
}

#[test]
fn the_version_of_anthropics_api_is_added_or_forwarded() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream);
    for model in ["m", "ant"] {
        let request = keyed(Dialect::Anthropic, Dialect::Anthropic.request(model, false));
        gateway.send(&request);
        assert_eq!(
            upstream.asked().header("anthropic-version"),
            Some("2023-06-01"),
            "added"
        );
        gateway.send(
            &request
                .clone()
                .header("anthropic-version", "2024-10-22")
                .header("anthropic-beta", "a-1,b-2"),
        );
        let asked = upstream.asked();
        assert_eq!(asked.header("anthropic-version"), Some("2024-10-22"), "forwarded");
        assert_eq!(asked.header("anthropic-beta"), Some("a-1,b-2"));
    }
    // A client of another dialect has no say in it.
    gateway.send(
        &keyed(Dialect::OpenAi, Dialect::OpenAi.request("ant", false))
            .header("anthropic-version", "1999-01-01"),
    );
    assert_eq!(upstream.asked().header("anthropic-version"), Some("2023-06-01"));
    gateway.send(
        &keyed(Dialect::OpenAi, Dialect::OpenAi.request("m", false))
            .header("anthropic-version", "1999-01-01"),
    );
    assert_eq!(upstream.asked().header("anthropic-version"), None);
}

#[test]
fn headers_of_the_provider_do_not_pass_for_the_gateways() {
    let body = answers::whole(Dialect::OpenAi, "served");
    let headers = "content-type: application/json\r\nset-cookie: a=1\r\nserver: vendor\r\nx-request-id: req_1\r\n\
                   x-ratelimit-remaining-requests: 5\r\nx-tollgate-instance: forged\r\nconnection: keep-alive, x-foo\r\n\
                   access-control-allow-origin: *\r\n";
    let upstream = Upstream::saying(answers::answer(200, headers, body.as_bytes()));
    let response = gateway(&upstream).send(&keyed(Dialect::OpenAi, Dialect::OpenAi.request("m", false)));
    assert_eq!(response.text(), body);
    assert_eq!(response.header("x-upstream-request-id"), Some("req_1"));
    assert_eq!(
        response.header("x-upstream-ratelimit-remaining-requests"),
        Some("5")
    );
    assert_eq!(response.header("x-tollgate-instance"), Some("both"));
    assert_ne!(response.header("x-request-id"), Some("req_1"));
    for name in [
        "set-cookie",
        "server",
        "access-control-allow-origin",
        "x-ratelimit-remaining-requests",
    ] {
        assert_eq!(response.header(name), None, "{name}");
    }
}
