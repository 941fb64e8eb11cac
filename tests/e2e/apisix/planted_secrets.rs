//! Secrets in every place that takes one, and calls that succeed, fail and are refused: none of them shows up anywhere else.

use std::fs;
use std::net::SocketAddr;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::node::CHAT;
use crate::harness::{Connection, Dialect, Next, Process, Request, Response, Upstream, answers, post, run};

const ADMIN: &str = "planted-admin-key-4e1f";
const VIEWER: &str = "planted-viewer-key-90ab";
const STORE: &str = "5eedfeedfacecafe5eedfeedfacecafe5eedfeedfacecafe5eedfeedfacecafe";
const HEADER: &str = "planted-vendor-header-77c2";
const QUERY: &str = "planted-vendor-query-18d5";
const AWS: &str = "planted-aws-secret-61aa";
const SESSION: &str = "planted-aws-session-3b0d";
const KEY_AUTH: &str = "planted-key-auth-c9e8";
const JWT: &str = "planted-jwt-secret-of-32-bytes-a1b2";
const BASIC: &str = "planted-basic-password-d0f4";
const VAULT: &str = "planted-vault-token-2c6e";
const FETCHED: &str = "planted-key-kept-by-vault-5d3a";
const WRONG: &str = "planted-wrong-key-0000";
const PLANTED: [&str; 13] = [
    FETCHED, ADMIN, VIEWER, STORE, HEADER, QUERY, AWS, SESSION, KEY_AUTH, JWT, BASIC, VAULT, WRONG,
];

/// A gateway that talks as much as it can, and all that must not be seen of it.
struct Talkative {
    process: Process,
    calls: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
    /// Is told spans and log records of all calls.
    collector: Upstream,
    folder: TempDir,
    /// [`PLANTED`], and what is made anew for every test.
    secrets: Vec<String>,
}

impl Talkative {
    #[track_caller]
    fn start() -> Talkative {
        let folder = tempfile::tempdir().expect("a directory");
        let config = folder.path().join("config.yaml");
        let format = "$request $request_uri $args $http_authorization $http_apikey $http_x_api_key $http_cookie \
                      $http_proxy_authorization $upstream_uri $upstream_addr $status $consumer_name $tollgate_attempts \
                      $tollgate_error_code";
        let collector = Upstream::start(|_, peer| {
            peer.send(&answers::answer(
                200,
                "content-type: application/x-protobuf\r\n",
                b"",
            ));
            Next::Keep
        });
        let text = format!(
            "deployment:\n  admin:\n    admin_key:\n      - {{name: admin, key: {ADMIN}, role: admin}}\n      \
             - {{name: viewer, key: {VIEWER}, role: viewer}}\n    admin_listen: {{ip: 127.0.0.1, port: 0}}\n\
             nginx_config: {{http: {{access_log_format: \"{format}\"}}}}\n\
             plugin_attr: {{prometheus: {{export_addr: {{ip: 127.0.0.1, port: 0}}}}}}\n\
             tollgate: {{data_dir: {}, traces: {{endpoint: \"http://{}\", logs: true}}}}\n",
            folder.path().join("data").display(),
            collector.address()
        );
        fs::write(&config, text).expect("a file can be written");
        let config = config.to_str().expect("text");
        let process = Process::start(
            &["run", "--listen", "127.0.0.1:0", "--config", config],
            &[("TOLLGATE_STORE_KEY", STORE), ("RUST_LOG", "trace")],
        );
        process.stderr.with("  configuration  ");
        let told = process.stderr.so_far();
        let address = |line: &str| {
            let line = told.lines().find(|told| told.contains(line))?;
            line.split("http://")
                .nth(1)?
                .split('/')
                .next()?
                .trim()
                .parse()
                .ok()
        };
        Talkative {
            calls: address("listening on").unwrap_or_else(|| panic!("no address in {told}")),
            admin: address("Admin API  ").unwrap_or_else(|| panic!("no Admin API in {told}")),
            metrics: address("metrics").unwrap_or_else(|| panic!("no metrics in {told}")),
            collector,
            process,
            folder,
            secrets: PLANTED.iter().map(|secret| (*secret).to_owned()).collect(),
        }
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Response {
        let mut request = Request::new(method, &format!("/apisix/admin{path}")).header("x-api-key", key);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        Connection::open(self.admin).send(&request)
    }

    #[track_caller]
    fn put(&self, path: &str, body: &Value) {
        let response = self.ask("PUT", path, ADMIN, Some(body));
        assert!(
            matches!(response.status(), 200 | 201),
            "{path}: {}",
            response.text()
        );
    }

    /// Asserts that an answer, head and body, is clean.
    #[track_caller]
    fn answers(&self, request: &Request, status: u16) -> String {
        let mut connection = Connection::open(self.calls);
        connection.write(&request.clone().with("connection", "close").bytes());
        let answer = String::from_utf8_lossy(&connection.until_closed()).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        self.is_clean(answer.as_bytes(), "the answer");
        answer
    }

    #[track_caller]
    fn is_clean(&self, bytes: &[u8], place: &str) {
        is_clean(&self.secrets, bytes, place);
    }

    /// Ends the process, and asserts that neither its output, nor what collectors are told, nor the files of its store and its
    /// ledger hold a secret.
    #[track_caller]
    fn ends_clean(self) {
        let numbers = Connection::open(self.metrics).send(&Request::new("GET", "/apisix/prometheus/metrics"));
        assert_eq!(numbers.status(), 200);
        assert!(
            numbers.text().contains("tollgate_calls_begun_total"),
            "{}",
            numbers.text()
        );
        self.is_clean(&numbers.body, "the metrics");
        let finished = self.process.stop();
        assert!(
            finished.stdout.contains(" 200 "),
            "there is an access log: {}",
            finished.stdout
        );
        is_clean(&self.secrets, finished.stdout.as_bytes(), "the access log");
        is_clean(&self.secrets, finished.stderr.as_bytes(), "standard error");
        let mut told = 0;
        while let Some(asked) = self.collector.try_asked() {
            is_clean(&self.secrets, &asked.body, "what the collector is told");
            told += asked.body.len();
        }
        assert!(told > 0, "the collector is told of the calls");
        let mut files = 0;
        for entry in fs::read_dir(self.folder.path().join("data")).expect("the folder") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            is_clean(&self.secrets, &bytes, &path.display().to_string());
            files += 1;
        }
        assert!(files > 0, "there is a store");
    }
}

#[track_caller]
fn is_clean(secrets: &[String], bytes: &[u8], place: &str) {
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(
            !found,
            "{secret} is in {place}:\n{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

/// A vendor that repeats all it was sent in an error, unless the call says that it shall succeed.
fn quoting() -> Upstream {
    Upstream::start(|asked, peer| {
        if asked.text().contains("succeed") {
            peer.send(&answers::good(asked, "served"));
            return Next::Keep;
        }
        let headers: Vec<String> = asked
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let sent = format!(
            "wrong key: {} {} and {}",
            asked.path,
            headers.join("; "),
            asked
                .header("authorization")
                .unwrap_or_default()
                .replace("Bearer ", "")
        );
        let status = if asked.text().contains("inside a 200") {
            200
        } else {
            401
        };
        peer.send(&if asked.stream() {
            let event = answers::error_event(Dialect::OpenAi, &sent);
            answers::answer(status, "content-type: text/event-stream\r\n", event.as_bytes())
        } else {
            answers::json_answer(status, &answers::error(Dialect::OpenAi, &sent))
        });
        Next::Close
    })
}

/// A vault that gives one key, and repeats the token when asked for another.
fn vault() -> Upstream {
    Upstream::start(|asked, peer| {
        let token = asked.header("x-vault-token").unwrap_or_default();
        peer.send(&if asked.path.ends_with("/openai") {
            let data = json!({"data": {"key": format!("Bearer {FETCHED}")}});
            answers::json_answer(200, &data.to_string())
        } else {
            answers::json_answer(
                403,
                &json!({"errors": [format!("bad token {token}")]}).to_string(),
            )
        });
        Next::Close
    })
}

fn ai_proxy(endpoint: &str) -> Value {
    json!({
        "provider": "openai-compatible",
        "auth": {"header": {"Authorization": format!("Bearer {HEADER}")}, "query": {"key": QUERY}},
        "override": {"endpoint": endpoint},
    })
}

fn bedrock(endpoint: &str) -> Value {
    json!({
        "provider": "bedrock", "provider_conf": {"region": "us-east-1"}, "options": {"model": "m"},
        "auth": {"aws": {"access_key_id": "AKID", "secret_access_key": AWS, "session_token": SESSION}},
        "override": {"endpoint": endpoint},
    })
}

/// A call that the vendor serves.
const GOOD: &str = r#"{"messages":[{"role":"user","content":"succeed"}]}"#;

fn token(secret: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({"alg": "HS256", "typ": "JWT"})),
        part(json!({"key": "jwt-key", "exp": 4_102_444_800_u64}))
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// Routes and consumers with every kind of credential.
#[track_caller]
fn plant(gateway: &mut Talkative, vendor: &Upstream, vault: &Upstream) {
    let base = format!("http://{}", vendor.address());
    let gone = format!("http://{}", Upstream::refusing().address());
    gateway.put("/consumers/jack", &json!({"username": "jack"}));
    let credentials = [
        ("key", json!({"key-auth": {"key": KEY_AUTH}})),
        (
            "basic",
            json!({"basic-auth": {"username": "jack", "password": BASIC}}),
        ),
        (
            "jwt",
            json!({"jwt-auth": {"key": "jwt-key", "secret": JWT, "algorithm": "HS256"}}),
        ),
    ];
    for (id, plugins) in credentials {
        gateway.put(
            &format!("/consumers/jack/credentials/{id}"),
            &json!({"plugins": plugins}),
        );
    }
    for plugin in ["key-auth", "basic-auth", "jwt-auth"] {
        gateway.put(
            &format!("/routes/{plugin}"),
            &json!({"uri": format!("/{plugin}"), "plugins": {plugin: {}, "ai-proxy": ai_proxy(&base)}}),
        );
    }
    for (id, uri, plugin) in [
        ("open", "/open", ai_proxy(&base)),
        ("any", "/v1/*", ai_proxy(&base)),
        ("gone", "/gone", ai_proxy(&gone)),
        ("bedrock", "/model/*", bedrock(&base)),
        ("bedrock-gone", "/gone/*", bedrock(&gone)),
    ] {
        gateway.put(
            &format!("/routes/{id}"),
            &json!({"uri": uri, "plugins": {"ai-proxy": plugin}}),
        );
    }
    gateway.put(
        "/secrets/vault/1",
        &json!({"uri": format!("http://{}", vault.address()), "prefix": "kv", "token": VAULT}),
    );
    for name in ["openai", "refused"] {
        let mut by_vault = ai_proxy(&base);
        by_vault["auth"]["header"]["Authorization"] = json!(format!("$secret://vault/1/{name}/key"));
        gateway.put(
            &format!("/routes/vault-{name}"),
            &json!({"uri": format!("/vault/{name}"), "plugins": {"ai-proxy": by_vault}}),
        );
    }
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["gateway.test".to_owned()]).expect("a certificate");
    let pem = signing_key.serialize_pem();
    gateway.put(
        "/ssls/1",
        &json!({"cert": cert.pem(), "key": pem, "snis": ["gateway.test"]}),
    );
    let line = pem.lines().nth(1).unwrap_or_default().to_owned();
    assert!(line.len() > 40, "a line of the key: {line}");
    gateway.secrets.push(line);
    gateway.secrets.push(token(JWT));
    gateway.secrets.push(STANDARD.encode(format!("jack:{BASIC}")));
}

#[test]
fn no_secret_shows_up_when_calls_succeed_fail_and_are_refused() {
    let (vendor, vault) = (quoting(), vault());
    let mut gateway = Talkative::start();
    plant(&mut gateway, &vendor, &vault);
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("jack:{password}")));
    let by = |path: &str, name: &str, value: &str| post(path, GOOD).header(name, value);

    // They succeed.
    gateway.answers(&by("/key-auth", "apikey", KEY_AUTH), 200);
    gateway.answers(&post(&format!("/key-auth?apikey={KEY_AUTH}"), GOOD), 200);
    gateway.answers(&by("/basic-auth", "authorization", &basic(BASIC)), 200);
    gateway.answers(&by("/jwt-auth", "authorization", &token(JWT)), 200);
    gateway.answers(&post(&format!("/jwt-auth?jwt={}", token(JWT)), GOOD), 200);
    gateway.answers(&by("/jwt-auth", "cookie", &format!("jwt={}", token(JWT))), 200);
    let streamed = GOOD.replacen('{', r#"{"stream":true,"#, 1);
    gateway.answers(&post("/open", streamed), 200);
    gateway.answers(&post("/vault/openai", GOOD), 200);
    gateway.answers(&post("/v1/completions?x=1", r#"{"prompt":"succeed"}"#), 200);

    // They are refused.
    gateway.answers(&post("/key-auth", GOOD), 401);
    gateway.answers(&by("/key-auth", "apikey", WRONG), 401);
    gateway.answers(&post(&format!("/key-auth?apikey={WRONG}"), GOOD), 401);
    gateway.answers(&by("/basic-auth", "authorization", &basic(WRONG)), 401);
    gateway.answers(&by("/jwt-auth", "authorization", &token(WRONG)), 401);
    gateway.answers(&by("/jwt-auth", "authorization", &format!("Bearer {WRONG}")), 401);

    // They fail.
    gateway.answers(&post("/open", CHAT), 401);
    gateway.answers(&post("/v1/completions", r#"{"prompt":"quote"}"#), 401);
    gateway.answers(&post("/model/m/converse", CHAT), 401);
    for (place, status) in [("at once", 401), ("inside a 200", 502)] {
        for stream in [false, true] {
            let body = json!({"messages": [{"role": "user", "content": place}], "stream": stream});
            let quoted = gateway.answers(&post("/open", body.to_string()), status);
            assert!(quoted.contains("wrong key: "), "{quoted}");
        }
    }
    gateway.answers(&post("/gone", CHAT), 502);
    gateway.answers(&post("/gone/converse", CHAT), 502);
    gateway.answers(&post("/open", "{not json"), 400);
    let quoted = gateway.answers(&post("/vault/openai", CHAT), 401);
    assert!(quoted.contains("wrong key: "), "{quoted}");
    gateway.answers(&post("/vault/refused", GOOD), 503);
    gateway.ends_clean();
}

#[test]
fn no_secret_shows_up_in_what_the_admin_api_refuses_and_in_keys_of_certificates() {
    let (vendor, vault) = (quoting(), vault());
    let mut gateway = Talkative::start();
    plant(&mut gateway, &vendor, &vault);
    let ssl = gateway.ask("GET", "/ssls/1", VIEWER, None);
    assert_eq!(ssl.status(), 200);
    gateway.is_clean(&ssl.body, "a certificate");
    let mut unknown = ai_proxy("http://127.0.0.1:1");
    unknown["provider"] = json!("nobody");
    let mut unsendable = ai_proxy("http://127.0.0.1:1");
    unsendable["auth"]["header"]["Authorization"] = json!(format!("{HEADER}\r\nx: y"));
    let plugins = |plugins: Value| json!({"uri": "/x", "plugins": plugins});
    for (path, body) in [
        ("/routes/x", plugins(json!({"ai-proxy": unknown}))),
        ("/routes/x", plugins(json!({"ai-proxy": unsendable}))),
        (
            "/routes/x",
            plugins(json!({"ai-proxy": {"provider": "openai", "auth": {"header": HEADER}}})),
        ),
        (
            "/routes/x",
            plugins(json!({"ai-proxy": {"provider": "openai", "auth": {"heder": {"x": HEADER}}}})),
        ),
        (
            "/consumers/jill",
            json!({"username": "jill", "plugins": {"key-auth": {"key": KEY_AUTH}, "jwt-auth": {"secret": JWT}}}),
        ),
        (
            "/consumers/jill",
            json!({"username": "jill", "plugins": {"jwt-auth": {"key": "k", "secret": JWT, "algorithm": "no"}}}),
        ),
        (
            "/consumers/jack/credentials/two",
            json!({"plugins": {"basic-auth": {"password": BASIC}}}),
        ),
        ("/ssls/2", json!({"cert": "no", "key": BASIC, "snis": ["x"]})),
        ("/secrets/vault/2", json!({"uri": 1, "token": VAULT})),
    ] {
        let response = gateway.ask("PUT", path, ADMIN, Some(&body));
        assert_eq!(response.status(), 400, "{path}: {}", response.text());
        gateway.is_clean(&response.body, path);
    }
    for (method, key) in [("PUT", WRONG), ("PUT", VIEWER), ("GET", WRONG)] {
        let route = plugins(json!({"ai-proxy": ai_proxy("http://127.0.0.1:1")}));
        let response = gateway.ask(method, "/routes/x", key, Some(&route));
        assert_eq!(response.status(), 401);
        gateway.is_clean(&response.body, "a refusal");
    }
    gateway.answers(&post("/open", GOOD), 200);
    gateway.ends_clean();
}

#[test]
fn no_secret_shows_up_when_a_file_is_dumped_or_checked() {
    let folder = tempfile::tempdir().expect("a directory");
    let routes = [
        json!({"id": "a", "uri": "/a", "plugins": {"key-auth": {}, "ai-proxy": ai_proxy("http://127.0.0.1:1")}}),
        json!({"id": "b", "uri": "/b", "plugins": {"ai-proxy": bedrock("http://127.0.0.1:1")}}),
    ];
    let consumers = [
        json!({"username": "jack", "plugins": {"key-auth": {"key": KEY_AUTH}}}),
        json!({"username": "jill", "plugins": {"basic-auth": {"username": "jill", "password": BASIC}}}),
        json!({"username": "jim", "plugins": {"jwt-auth": {"key": "jim", "secret": JWT}}}),
    ];
    let good = json!({"routes": routes, "consumers": consumers});
    let mut bad = good.clone();
    bad["routes"][0]["plugins"]["ai-proxy"]["provider"] = json!("nobody");
    bad["consumers"][2]["plugins"]["jwt-auth"]["algorithm"] = json!("none");
    for (name, document) in [("good", good), ("bad", bad)] {
        let file = folder.path().join(format!("{name}.yaml"));
        fs::write(&file, format!("{document}\n#END\n")).expect("a file can be written");
        let file = file.to_str().expect("text");
        for command in ["dump", "check"] {
            let finished = run(&[command, "--config", file], &[]);
            if name == "good" {
                assert!(finished.status.success(), "{finished:?}");
            }
            let output = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!output.is_empty(), "{command} says something");
            for secret in PLANTED {
                assert!(
                    !output.contains(secret),
                    "{command} {name}: {secret} is in\n{output}"
                );
            }
        }
    }
}
