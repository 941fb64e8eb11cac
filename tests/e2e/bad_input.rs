//! What a client sends wrong is refused with the right status in the client's dialect, reaches no provider, and does not
//! disturb the next call.

use serde_json::Value;

use crate::harness::{Connection, Dialect, Gateway, Request, Response, Setup, Upstream, post};

const KEY: &str = "consumer-key-0001";

/// A gateway with a model for one consumer, and the provider behind it.
struct Door {
    gateway: Gateway,
    upstream: Upstream,
}

impl Door {
    fn new() -> Door {
        Door::with("max_body: 1MiB")
    }

    fn with(server: &str) -> Door {
        let upstream = Upstream::good("served");
        let config = format!(
            "models: {{m: {{provider: p}}, hidden: {{provider: p}}}}\n\
             providers: {{p: {{kind: openai-compatible, endpoint: \"{}\", dialects: [openai_chat, anthropic_messages]}}}}\n\
             consumers:\n  caller: {{key: {KEY}, models: [m]}}\n  other: {{key: consumer-key-0002, models: [hidden]}}\n",
            upstream.base()
        );
        Door {
            gateway: Setup::new(config).server(server).start(),
            upstream,
        }
    }

    /// Asserts that a request is refused with this status, in its dialect, and gives the message.
    #[track_caller]
    fn refuses(&self, dialect: Dialect, request: &Request, status: u16) -> String {
        let response = self.gateway.send(request);
        let message = is_refusal(dialect, &response, status);
        self.upstream.was_not_asked();
        message
    }

    /// Asserts that bodies are refused in both dialects.
    #[track_caller]
    fn refuses_bodies(&self, status: u16, bodies: &[&[u8]]) {
        for dialect in Dialect::BOTH {
            for body in bodies {
                self.refuses(dialect, &keyed(dialect, *body), status);
            }
        }
        self.still_serves();
    }

    /// Asserts that a body is taken and reaches the provider as it is.
    #[track_caller]
    fn passes_unchanged(&self, dialect: Dialect, body: &str) {
        let response = self.gateway.send(&keyed(dialect, body));
        assert_eq!(response.status(), 200, "{}: {body:.200}", response.text());
        assert_eq!(String::from_utf8_lossy(&self.upstream.asked().body), body);
    }

    /// Asserts that good requests are served, and that nothing else reached the provider.
    #[track_caller]
    fn still_serves(&self) {
        for dialect in Dialect::BOTH {
            self.upstream.was_not_asked();
            let response = self.gateway.send(&keyed(dialect, dialect.request("m", false)));
            assert_eq!(response.status(), 200, "{}", response.text());
            assert_eq!(self.upstream.asked().text(), dialect.request("m", false));
        }
    }
}

#[track_caller]
fn is_refusal(dialect: Dialect, response: &Response, status: u16) -> String {
    assert_eq!(response.status(), status, "{dialect:?}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(
        response
            .header("x-tollgate-request-id")
            .is_some_and(|id| !id.is_empty())
    );
    dialect.error_message(&response.body)
}

/// A chat call with the consumer's key, where the dialect's clients put it.
fn keyed(dialect: Dialect, body: impl Into<Vec<u8>>) -> Request {
    with_key(dialect, post(dialect.path(), body), KEY)
}

fn with_key(dialect: Dialect, request: Request, key: &str) -> Request {
    match dialect {
        Dialect::OpenAi => request.header("authorization", &format!("Bearer {key}")),
        Dialect::Anthropic => request.header("x-api-key", key),
    }
}

#[test]
fn bodies_that_are_not_one_json_object() {
    let bodies: [&[u8]; 16] = [
        b"",
        b"   ",
        b"hello",
        b"{",
        br#"{"model":"m","messages":["#,
        br#"{"model":"m","messages":[]"#,
        br#"{"model":"m","messages":[]} x"#,
        br#"{"model":"m","messages":[]}{"model":"m","messages":[]}"#,
        br#"{"model":"m","messages":[],}"#,
        br#"{"model":"m",/* note */"messages":[]}"#,
        br#"{'model':'m','messages':[]}"#,
        br#"{"model":"m","messages":[],"temperature":NaN}"#,
        br#"{"model":"m","messages":[],"n":01}"#,
        b"{\"model\":\"m\",\"messages\":[],\"a\":\"raw\nbreak\"}",
        br#"{"model":"m","messages":[],"a":"\x41"}"#,
        br#"["model","m"]"#,
    ];
    Door::new().refuses_bodies(400, &bodies);
}

#[test]
fn members_of_a_wrong_type() {
    let door = Door::new();
    for (body, member) in [
        (r#"{"model":7,"messages":[]}"#, "model"),
        (r#"{"model":["m"],"messages":[]}"#, "model"),
        (r#"{"model":null,"messages":[]}"#, "model"),
        (r#"{"model":"","messages":[]}"#, "model"),
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":"Hello"}"#, "messages"),
        (r#"{"model":"m","messages":{}}"#, "messages"),
        (r#"{"model":"m","messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"model":"m","messages":[],"stream":1}"#, "stream"),
    ] {
        for dialect in Dialect::BOTH {
            let message = door.refuses(dialect, &keyed(dialect, body), 400);
            assert!(message.contains(&format!("`{member}`")), "{body}: {message}");
        }
    }
    let options = r#"{"model":"m","messages":[],"stream":true,"stream_options":[1]}"#;
    door.refuses(Dialect::OpenAi, &keyed(Dialect::OpenAi, options), 400);
    door.still_serves();
}

#[test]
fn a_model_that_does_not_exist_looks_like_one_that_is_not_allowed() {
    let door = Door::new();
    for dialect in Dialect::BOTH {
        let messages = ["absent", "hidden"].map(|model| {
            let message = door.refuses(dialect, &keyed(dialect, dialect.request(model, false)), 404);
            message.replace(model, "...")
        });
        assert_eq!(messages[0], messages[1]);
    }
    door.still_serves();
}

#[test]
fn names_of_models_never_become_a_path_a_header_or_a_host() {
    let door = Door::new();
    for model in [
        r"m\r\nx-evil: 1",
        r"m\u0000",
        "../../m",
        "m?x=1",
        "m#x",
        "m%2f..",
        "http://127.0.0.1:1/m",
        "m/",
        " m",
        "M",
        r"\ud800",
    ] {
        for dialect in Dialect::BOTH {
            let response = door.gateway.send(&keyed(dialect, dialect.request(model, false)));
            assert!(
                matches!(response.status(), 400 | 404),
                "{model}: {}",
                response.status()
            );
            is_refusal(dialect, &response, response.status());
            door.upstream.was_not_asked();
            assert!(response.header("x-evil").is_none());
        }
    }
    let long = "m".repeat(500 * 1024);
    for dialect in Dialect::BOTH {
        let response = door.gateway.send(&keyed(dialect, dialect.request(&long, false)));
        assert!(matches!(response.status(), 400 | 404), "{}", response.status());
        assert!(
            response.body.len() < 8 * 1024,
            "the name is not repeated: {} bytes",
            response.body.len()
        );
    }
    door.still_serves();
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let door = Door::new();
    for dialect in Dialect::BOTH {
        let bare = post(dialect.path(), dialect.request("m", false));
        door.refuses(dialect, &bare, 401);
        let long = "k".repeat(32 * 1024);
        let upper = KEY.to_uppercase();
        for key in [
            "",
            "x",
            &KEY[..KEY.len() - 1],
            &format!("{KEY}0"),
            &upper,
            "' OR 1=1 --",
            &long,
        ] {
            door.refuses(dialect, &with_key(dialect, bare.clone(), key), 401);
        }
        for value in [KEY, "Basic Y2FsbGVyOngK", "Bearer", &format!("Token {KEY}")] {
            door.refuses(dialect, &bare.clone().header("authorization", value), 401);
        }
        door.refuses(
            dialect,
            &bare.clone().header("authorization", "Bearer k\u{e9}y"),
            401,
        );
        // Nobody is believed to be somebody.
        door.refuses(
            dialect,
            &bare.clone().header("X-Consumer-Username", "caller"),
            401,
        );
    }
    door.still_serves();
}

#[test]
fn two_keys_that_differ() {
    let door = Door::new();
    for dialect in Dialect::BOTH {
        let request = keyed(dialect, dialect.request("m", false));
        for (name, value) in [
            ("api-key", "consumer-key-0002"),
            ("api-key", "nonsense"),
            ("x-api-key", "consumer-key-0002"),
            ("authorization", "Bearer consumer-key-0002"),
        ] {
            door.refuses(dialect, &request.clone().header(name, value), 401);
        }
    }
    door.still_serves();
}

#[test]
fn a_body_of_the_limit_is_taken_and_one_byte_more_is_not() {
    let door = Door::with("max_body: 4KiB");
    let body = |length: usize| {
        let mut body = Dialect::OpenAi.request("m", false).into_bytes();
        body.resize(length, b' ');
        body
    };
    let good = door.gateway.send(&keyed(Dialect::OpenAi, body(4096)));
    assert_eq!(good.status(), 200, "{}", good.text());
    assert_eq!(door.upstream.asked().body, body(4096));
    door.refuses(Dialect::OpenAi, &keyed(Dialect::OpenAi, body(4097)), 413);
    for dialect in Dialect::BOTH {
        let request = keyed(dialect, "");
        let head = String::from_utf8(request.bytes()).expect("text");
        let announced = head.replace("content-length: 0", "content-length: 107374182400");
        let mut connection = door.gateway.connect();
        connection.write(announced.as_bytes());
        is_refusal(
            dialect,
            &connection.response().expect("refused before it is sent"),
            413,
        );

        let chunked = head.replace("content-length: 0", "transfer-encoding: chunked");
        let mut connection = door.gateway.connect();
        connection.write(chunked.as_bytes());
        for _ in 0..64 {
            connection.write(b"1000\r\n");
            connection.write(&[b' '; 4096]);
            connection.write(b"\r\n");
        }
        is_refusal(dialect, &connection.response().expect("an answer"), 413);
    }
    door.still_serves();
}

#[test]
fn a_chunked_body_is_served() {
    let door = Door::new();
    for coding in ["chunked", "ChUnKeD"] {
        let head = String::from_utf8(keyed(Dialect::OpenAi, "").bytes()).expect("text");
        let head = head.replace("content-length: 0", &format!("transfer-encoding: {coding}"));
        let body = Dialect::OpenAi.request("m", false);
        let (first, second) = body.split_at(20);
        let mut connection = door.gateway.connect();
        connection.write(head.as_bytes());
        connection.write(
            format!(
                "{:X}\r\n{first}\r\n{:x};note=\"x\"\r\n{second}\r\n",
                first.len(),
                second.len()
            )
            .as_bytes(),
        );
        connection.write(b"0\r\nauthorization: Bearer stolen\r\nx-late: 1\r\n\r\n");
        assert_eq!(connection.response().expect("an answer").status(), 200);
        let asked = door.upstream.asked();
        assert_eq!(asked.text(), body);
        assert!(asked.header("authorization").is_none() && asked.header("x-late").is_none());
    }
}

#[test]
fn media_types_and_codings_that_are_not_read() {
    let door = Door::new();
    for dialect in Dialect::BOTH {
        let request = keyed(dialect, dialect.request("m", false));
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
        ] {
            door.refuses(dialect, &request.clone().with("content-type", kind), 415);
        }
        for coding in ["gzip", "br", "zstd", "deflate", "gzip, identity"] {
            door.refuses(dialect, &request.clone().header("content-encoding", coding), 415);
        }
        for kind in [
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/problem+json",
        ] {
            let response = door.gateway.send(&request.clone().with("content-type", kind));
            assert_eq!(response.status(), 200, "{kind}: {}", response.text());
            door.upstream.asked();
        }
    }
    door.still_serves();
}

#[test]
fn nesting_of_a_hundred_thousand_levels() {
    let door = Door::new();
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let bodies = [
        format!(r#"{{"model":"m","messages":{open}{close}}}"#),
        format!(r#"{{"model":"m","messages":[],"unknown":{open}{close}}}"#),
        format!(r#"{{"model":"m","messages":[],"tools":{open}{close}}}"#),
        format!(r#"{{"model":"m","messages":[],"unknown":{objects}}}"#),
        format!(r#"{{"model":"m","messages":{open}"#),
        open,
    ];
    let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
    door.refuses_bodies(400, &bodies);
}

#[test]
fn bytes_that_are_not_utf8() {
    let wrong: [&[u8]; 6] = [
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xe2\x82",
        b"\x80",
    ];
    let mut bodies = Vec::new();
    for bytes in wrong {
        bodies.push(
            [
                br#"{"model":"m","messages":[{"role":"user","content":""#.as_slice(),
                bytes,
                br#""}]}"#,
            ]
            .concat(),
        );
        bodies.push(
            [
                br#"{"model":"m","messages":[],"skipped":""#.as_slice(),
                bytes,
                br#""}"#,
            ]
            .concat(),
        );
        bodies.push([br#"{"model":"m","messages":[],""#.as_slice(), bytes, br#"":1}"#].concat());
    }
    let text: Vec<u8> = r#"{"model":"m","messages":[]}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    bodies.push(text);
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    Door::new().refuses_bodies(400, &bodies);
}

#[test]
fn members_given_twice() {
    let bodies: [&[u8]; 4] = [
        br#"{"model":"m","model":"hidden","messages":[]}"#,
        br#"{"model":"hidden","messages":[],"model":"m"}"#,
        br#"{"model":"m","mod\u0065l":"hidden","messages":[]}"#,
        br#"{"model":"m","messages":[],"stream":false,"stream":true}"#,
    ];
    Door::new().refuses_bodies(400, &bodies);
}

#[test]
fn lone_surrogates_and_huge_numbers_pass_unchanged() {
    let door = Door::new();
    for dialect in Dialect::BOTH {
        let limit = if dialect == Dialect::Anthropic {
            r#""max_tokens":64,"#
        } else {
            ""
        };
        for content in [
            r"\ud83d lone",
            r"\ude00",
            r"\uD83D\uDE00 pair",
            "\u{2028} 😀 \\u2028",
            r"\/ \b\f \u0000",
        ] {
            let body =
                format!(r#"{{"model":"m",{limit}"messages":[{{"role":"user","content":"{content}"}}]}}"#);
            door.passes_unchanged(dialect, &body);
        }
        let digits = "9".repeat(10_000);
        for number in [
            "1e400",
            "-1E-999",
            "12345678901234567890123",
            "1.0000000000000000001",
            "-0",
            "0.10",
            &digits,
        ] {
            let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
            door.passes_unchanged(
                dialect,
                &format!(r#"{{"model":"m",{limit}"x":{number},{messages}}}"#),
            );
        }
    }
    door.still_serves();
}

#[test]
fn large_documents_within_the_limit_pass_unchanged() {
    let door = Door::with("max_body: 32MiB");
    let key = "k".repeat(1024 * 1024);
    door.passes_unchanged(
        Dialect::OpenAi,
        &format!(r#"{{"{key}":1,"model":"m","messages":[{{"role":"user","content":"Hi"}}]}}"#),
    );
    let keys: String = (0..50_000)
        .map(|number| format!(r#""key{number}":{number},"#))
        .collect();
    door.passes_unchanged(
        Dialect::OpenAi,
        &format!(r#"{{{keys}"model":"m","messages":[{{"role":"user","content":"Hi"}}]}}"#),
    );
    let messages = vec![r#"{"role":"user","content":"Hi"}"#; 100_000].join(",");
    door.passes_unchanged(
        Dialect::OpenAi,
        &format!(r#"{{"model":"m","messages":[{messages}]}}"#),
    );
}

#[test]
fn unknown_paths_and_methods() {
    let door = Door::new();
    let paths = [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v1/chat/completionsX",
        "/v1/chat/../chat/completions",
        "//v1/chat/completions",
        "/v1/chat%2fcompletions",
        "/V1/chat/completions",
        "/v1/messages/batches",
        "/openai/v1/chat/completions",
        "/admin",
        "/v1/files/../../etc/passwd",
    ];
    for path in paths {
        let request = with_key(
            Dialect::OpenAi,
            post(path, Dialect::OpenAi.request("m", false)),
            KEY,
        );
        door.refuses(Dialect::OpenAi, &request, 404);
        if !path.starts_with("/v1/chat/completions") {
            door.refuses(
                Dialect::Anthropic,
                &request.header("anthropic-version", "2023-06-01"),
                404,
            );
        }
    }
    for dialect in Dialect::BOTH {
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let request = with_key(dialect, Request::new(method, dialect.path()), KEY);
            let response = door.gateway.send(&request);
            is_refusal(dialect, &response, 405);
            assert!(response.header("allow").is_some());
        }
        let request = with_key(
            dialect,
            post("/v1/models", "{}").header("anthropic-version", "2023-06-01"),
            KEY,
        );
        door.refuses(Dialect::Anthropic, &request, 405);
    }
    door.still_serves();
}

#[test]
fn heads_that_are_too_large() {
    let door = Door::with("max_header: 16KiB, max_headers: 20");
    let request = keyed(Dialect::OpenAi, Dialect::OpenAi.request("m", false));
    let response = door
        .gateway
        .send(&request.clone().header("x-long", &"a".repeat(12 * 1024)));
    assert_eq!(response.status(), 200, "below the limit: {}", response.text());
    door.upstream.asked();
    let many = |count: usize| {
        (0..count).fold(request.clone(), |request, number| {
            request.header(&format!("x-header-{number}"), "1")
        })
    };
    // Host, content type, key and length are headers too.
    assert_eq!(door.gateway.send(&many(16)).status(), 200);
    door.upstream.asked();
    for request in [
        request.clone().header("x-long", &"a".repeat(20 * 1024)),
        many(17),
        many(500),
    ] {
        assert_eq!(door.gateway.send(&request).status(), 431);
    }
    let path = format!("/v1/models/{}", "a".repeat(20 * 1024));
    let status = door
        .gateway
        .send(&with_key(Dialect::OpenAi, Request::new("GET", &path), KEY))
        .status();
    assert!(matches!(status, 414 | 431), "{status}");
    door.still_serves();
}

#[test]
fn a_refused_call_is_one_line_in_the_log_and_says_why() {
    let door = Door::new();
    for (request, status, code) in [
        (post("/v1/chat/completions", "{}"), 401, "missing_api_key"),
        (keyed(Dialect::OpenAi, "{"), 400, "invalid_json"),
        (
            keyed(Dialect::OpenAi, r#"{"model":"m"}"#),
            400,
            "messages_missing",
        ),
        (post("/v1/nowhere", "{}"), 404, "unknown_url"),
        (Request::new("GET", "/v1/embeddings"), 405, "method_not_allowed"),
        (
            keyed(Dialect::Anthropic, Dialect::Anthropic.request("absent", false)),
            404,
            "model_not_found",
        ),
    ] {
        let response = door.gateway.send(&request);
        assert_eq!(response.status(), status);
        let told = &response.json()["error"]["code"];
        assert!(
            told.is_null() || told == code,
            "the log and the answer have one code: {told}, {code}"
        );
        let line = door.gateway.logged();
        assert_eq!(
            (&line["status"], &line["error_code"]),
            (&status.into(), &code.into()),
            "{line}"
        );
        assert_eq!(line["attempts"], Value::Null, "{line}");
    }
}

#[test]
fn many_refusals_on_one_connection_do_not_disturb_each_other() {
    let door = Door::new();
    let mut connection: Connection = door.gateway.connect();
    for _ in 0..20 {
        let refused = connection.send(&keyed(Dialect::OpenAi, "{"));
        assert_eq!(refused.status(), 400);
        let served = connection.send(&keyed(Dialect::OpenAi, Dialect::OpenAi.request("m", false)));
        assert_eq!(served.status(), 200);
        door.upstream.asked();
    }
    door.upstream.was_not_asked();
}
