//! Keys of clients: where they stand, and how they can be wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::apisix::{NodeSetup, chat_route};
use crate::harness::{Gateway, PATIENCE, Request, Setup, Upstream, post, run};

const KEY: &str = "consumer-key-0001";

/// How clients of each API call, and by what they know that they are not let in.
struct Api {
    path: &'static str,
    body: &'static str,
    status: u16,
    refusal: fn(&Value) -> bool,
}

const APIS: [Api; 6] = [
    Api {
        path: "/v1/chat/completions",
        body: r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#,
        status: 401,
        refusal: |body| body["error"]["type"].is_string() && body["error"].get("param").is_some(),
    },
    Api {
        path: "/v1/messages",
        body: r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#,
        status: 401,
        refusal: |body| body["type"] == "error" && body["error"]["type"] == "authentication_error",
    },
    Api {
        path: "/v1/responses",
        body: r#"{"model":"m","input":"Hello"}"#,
        status: 401,
        refusal: |body| body["error"]["type"].is_string() && body["error"].get("param").is_some(),
    },
    Api {
        path: "/v1beta/models/m:generateContent",
        body: r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#,
        status: 401,
        refusal: |body| body["error"]["status"] == "UNAUTHENTICATED" && body["error"]["code"] == 401,
    },
    Api {
        path: "/v2/chat",
        body: r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#,
        status: 401,
        refusal: |body| body["message"].is_string() && body.get("error").is_none(),
    },
    Api {
        path: "/model/m/converse",
        body: r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}"#,
        status: 403,
        refusal: |body| body["message"].is_string() && body.get("error").is_none(),
    },
];

/// A call with this key in each of the places where one may stand.
fn in_every_place(api: &Api, key: &str) -> Vec<(&'static str, Request)> {
    let bare = post(api.path, api.body);
    let mut calls = vec![
        (
            "authorization",
            bare.clone().header("authorization", &format!("Bearer {key}")),
        ),
        ("x-api-key", bare.clone().header("x-api-key", key)),
        ("api-key", bare.clone().header("api-key", key)),
        ("x-goog-api-key", bare.header("x-goog-api-key", key)),
    ];
    if api.path.starts_with("/v1beta/") {
        let escaped: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        calls.push(("query", post(&format!("{}?key={escaped}", api.path), api.body)));
    }
    calls
}

fn gateway(upstream: &Upstream, server: &str) -> Gateway {
    let config = format!(
        "models: {{m: {{provider: p}}}}\n\
         providers: {{p: {{kind: openai-compatible, endpoint: \"{}\", key: provider-key}}}}\n\
         consumers:\n  caller: {{key: {KEY}, models: [m]}}\n  other: {{key: consumer-key-0002, models: [m]}}\n\
         metrics: {{listen: \"127.0.0.1:0\"}}\n",
        upstream.base()
    );
    Setup::new(config).server(server).start()
}

#[test]
fn a_wrong_key_in_any_place_is_refused_in_the_client_s_own_words_before_any_provider_is_asked() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream, "max_wrong_keys: 0");
    let long = "k".repeat(60 * 1024);
    let longer = format!("{KEY}0");
    let upper = KEY.to_uppercase();
    let wrong = [
        "",
        "x",
        &KEY[..KEY.len() - 1],
        &KEY[1..],
        &longer,
        &upper,
        "' OR '1'='1",
        "caller",
        "*",
        "k\u{e9}y",
        "null",
        "../consumer-key-0001",
        &long,
    ];
    for api in &APIS {
        let refused = |what: &str, request: &Request| {
            let response = gateway.send(request);
            assert_eq!(
                response.status(),
                api.status,
                "{} {what}: {}",
                api.path,
                response.text()
            );
            assert!(
                (api.refusal)(&response.json()),
                "{} {what}: {}",
                api.path,
                response.text()
            );
            upstream.was_not_asked();
        };
        refused("no key", &post(api.path, api.body));
        for key in wrong {
            for (place, request) in in_every_place(api, key) {
                if place == "query" && key.len() > 1024 {
                    continue;
                }
                refused(&format!("{key:.40} in {place}"), &request);
            }
        }
        // Two keys leave open who is to pay, even if both are good, and wherever they stand.
        let good = in_every_place(api, KEY);
        for (number, (place, request)) in good.iter().enumerate() {
            let next = [
                "x-api-key",
                "api-key",
                "x-goog-api-key",
                "authorization",
                "api-key",
            ][number];
            let other = if next == "authorization" {
                "Bearer consumer-key-0002"
            } else {
                "consumer-key-0002"
            };
            refused(
                &format!("{place} and {next}"),
                &request.clone().header(next, other),
            );
        }
        let twice = post(api.path, api.body)
            .header("x-api-key", KEY)
            .header("x-api-key", "consumer-key-0002");
        refused("one header twice", &twice);
        let claims = post(api.path, api.body)
            .header("x-consumer-username", "caller")
            .header("x-credential-identifier", "caller");
        refused("claims", &claims);
    }
    // Longer than a head may be.
    let huge = format!("Bearer {}", "k".repeat(70 * 1024));
    let refused = gateway.send(&post(APIS[0].path, APIS[0].body).header("authorization", &huge));
    assert_eq!(refused.status(), 431);
    upstream.was_not_asked();
    let good = post(APIS[0].path, APIS[0].body).header("x-api-key", KEY);
    assert_eq!(gateway.send(&good).status(), 200);
    gateway.stop();
}

#[test]
fn what_proves_or_claims_who_calls_stays_here_wherever_it_stands() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream, "max_wrong_keys: 0");
    for api in &APIS {
        for (place, request) in in_every_place(api, KEY) {
            let request = request
                .header("cookie", "session=of-the-client")
                .header("proxy-authorization", "Basic of-the-proxy")
                .header("x-consumer-username", "spoofed")
                .header("x-consumer-custom-id", "spoofed")
                .header("x_credential_identifier", "spoofed");
            let response = gateway.send(&request);
            assert_eq!(
                response.status(),
                200,
                "{} {place}: {}",
                api.path,
                response.text()
            );
            let asked = upstream.asked();
            assert_eq!(asked.header("authorization"), Some("Bearer provider-key"));
            let bytes = format!("{asked:?} {}", String::from_utf8_lossy(&asked.body));
            for secret in [KEY, "of-the-client", "of-the-proxy", "spoofed"] {
                assert!(
                    !bytes.contains(secret),
                    "{} {place}: {secret} is in {bytes}",
                    api.path
                );
            }
        }
    }
    gateway.stop();
}

#[test]
fn after_too_many_wrong_keys_an_address_is_told_to_wait_and_a_right_key_is_served() {
    let upstream = Upstream::good("served");
    let gateway = gateway(&upstream, "max_wrong_keys: 5");
    let call = |api: &Api, key: &str| gateway.send(&post(api.path, api.body).header("x-api-key", key));
    // No key at all is no wrong one.
    for _ in 0..9 {
        assert_eq!(gateway.send(&post(APIS[0].path, APIS[0].body)).status(), 401);
    }
    for number in 0..5 {
        assert_eq!(call(&APIS[0], &format!("guess-{number}")).status(), 401);
    }
    for api in &APIS {
        let refused = call(api, "guess-more");
        assert_eq!(refused.status(), 429, "{}: {}", api.path, refused.text());
        let wait: u64 = refused
            .header("retry-after")
            .and_then(|seconds| seconds.parse().ok())
            .expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        let message = refused.json();
        let message = message["error"]["message"]
            .as_str()
            .or(message["message"].as_str());
        assert!(
            message.is_some_and(|text| text.contains("too many wrong")),
            "{}",
            refused.text()
        );
        assert_eq!(call(api, KEY).status(), 200);
    }
    let series = r#"tollgate_limits_reached_total{limit="max_wrong_keys"}"#;
    gateway.counts(series, APIS.len() as u64);
    let finished = gateway.stop();
    let warnings = finished.stderr.matches("wrong keys in a minute").count();
    assert_eq!(warnings, 1, "{}", finished.stderr);
}

#[test]
fn wrong_keys_of_plugins_count_too() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().tollgate("max_wrong_keys: 2").start();
    node.put(
        "/consumers/jack",
        &json!({"username": "jack", "plugins": {"key-auth": {"key": "jack-key"}}}),
    );
    for plugin in ["key-auth", "basic-auth", "jwt-auth"] {
        let mut route = chat_route(&format!("/{plugin}"), &upstream.base());
        route["plugins"][plugin] = json!({});
        node.put(&format!("/routes/{plugin}"), &route);
    }
    let body = APIS[0].body;
    let wrong = [
        post("/key-auth", body).header("apikey", "jacks-key"),
        post("/basic-auth", body).header("authorization", "Basic amFjazpubw=="),
        post("/jwt-auth", body).header("authorization", "a.b.c"),
        post("/key-auth?apikey=jacks-key", body),
    ];
    let statuses: Vec<u16> = wrong.iter().map(|request| node.send(request).status()).collect();
    assert_eq!(statuses, [401, 401, 429, 429]);
    upstream.was_not_asked();
    let good = node.send(&post("/key-auth", body).header("apikey", "jack-key"));
    assert_eq!(good.status(), 200);
    node.stop();
}

#[test]
fn secrets_in_files_are_taken_when_they_change_and_missed_when_they_are_gone() {
    let upstream = Upstream::good("served");
    let folder = tempfile::tempdir().expect("a directory");
    let [provider, consumer] = ["provider", "consumer"].map(|name| folder.path().join(name));
    let write = |path: &Path, secret: &str, mode: u32| {
        // Whole at once, as mounted secrets are changed.
        let next = folder.path().join("next");
        fs::write(&next, secret).expect("a file can be written");
        fs::set_permissions(&next, Permissions::from_mode(mode)).expect("permissions");
        fs::rename(&next, path).expect("a file can be renamed");
    };
    write(&provider, "provider-1\n", 0o600);
    write(&consumer, "consumer-1\n", 0o644);
    let config = format!(
        "models: {{m: {{provider: p}}}}\n\
         providers: {{p: {{kind: openai-compatible, endpoint: \"{}\", key: \"$file://{}\"}}}}\n\
         consumers: {{caller: {{key: \"$file://{}\", models: [m]}}}}\n",
        upstream.base(),
        provider.display(),
        consumer.display()
    );
    let gateway = Setup::new(config.clone()).start();
    let warning = |path: &Path| format!("{} holds a secret and may be read by everybody", path.display());
    // The consumer's is told after the provider's would be.
    gateway.stderr().with(&warning(&consumer));
    let told = gateway.stderr().so_far();
    assert!(!told.contains(&warning(&provider)), "{told}");
    let call = |key: &str| {
        let response = gateway.send(&post(APIS[0].path, APIS[0].body).header("x-api-key", key));
        (response.status() == 200).then(|| upstream.asked().header("authorization").map(str::to_owned))
    };
    assert_eq!(call("consumer-1"), Some(Some("Bearer provider-1".to_owned())));
    write(&provider, "provider-2", 0o600);
    write(&consumer, "consumer-2", 0o600);
    gateway.stderr().with("configuration reloaded");
    let deadline = Instant::now() + PATIENCE;
    while call("consumer-2") != Some(Some("Bearer provider-2".to_owned())) {
        assert!(Instant::now() < deadline, "the new keys are not taken");
    }
    assert_eq!(call("consumer-1"), None);
    fs::remove_file(&provider).expect("a file can be removed");
    gateway.stderr().with("cannot be read, or is empty");
    gateway.stderr().with("the previous configuration keeps serving");
    assert_eq!(call("consumer-2"), Some(Some("Bearer provider-2".to_owned())));
    let finished = gateway.stop();
    for secret in ["provider-1", "provider-2", "consumer-1", "consumer-2"] {
        assert!(!finished.stderr.contains(secret), "{}", finished.stderr);
    }

    // And nothing starts without it.
    let file = folder.path().join("tollgate.yaml");
    fs::write(&file, config).expect("a file can be written");
    for command in ["check", "run"] {
        let finished = run(&[command, "--config", file.to_str().expect("text")], &[]);
        assert!(!finished.status.success());
        let place = "providers.p.key: the file ";
        assert!(finished.stderr.contains(place), "{command}: {}", finished.stderr);
    }
}

#[test]
fn objects_cannot_read_files() {
    let upstream = Upstream::good("served");
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("key");
    fs::write(&file, "planted-in-a-file").expect("a file can be written");
    let node = NodeSetup::new().start();
    let mut route = chat_route("/chat", &upstream.base());
    let reference = format!("$file://{}", file.display());
    route["plugins"]["ai-proxy"]["auth"]["header"]["Authorization"] = json!(reference);
    node.put("/routes/1", &route);
    node.chat("/chat");
    assert_eq!(upstream.asked().header("authorization"), Some(reference.as_str()));
    node.stop();
}
