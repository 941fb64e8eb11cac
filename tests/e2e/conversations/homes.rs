//! Where conversations are kept: what survives, what is shared, what ends.

use std::fs;

use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::harness::SettableClock;
use crate::harness::redis::RedisServer;

fn in_directory(providers: &Providers, directory: &TempDir, responses: &str) -> Gateway {
    Setup::new(providers.config(responses))
        .argument("--data-dir", directory.path().to_str().expect("text"))
        .start()
}

/// Goes on with a conversation of one turn; tells whether it is known.
fn goes_on(gateway: &Gateway, providers: &Providers, previous: &str) -> bool {
    let body = json!({"model": "chat", "input": "And?", "previous_response_id": previous});
    let answer = gateway.send(&call(KEY_A, &body));
    if answer.status() == 200 {
        let sent = providers.chat.asked().json();
        assert!(sent.to_string().contains("from anthropic"), "{sent}");
        return true;
    }
    assert_not_found(&answer);
    false
}

fn begun(gateway: &Gateway) -> String {
    id(&turn(
        gateway,
        KEY_A,
        &json!({"model": "anthropic", "input": "planted words"}),
    ))
}

#[test]
fn a_data_directory_keeps_conversations_over_restarts_and_kills() {
    let (providers, directory) = (Providers::start(), tempdir().expect("a directory"));
    let gateway = in_directory(&providers, &directory, "");
    let first = begun(&gateway);
    gateway.stop();
    let gateway = in_directory(&providers, &directory, "");
    assert!(goes_on(&gateway, &providers, &first));
    let second = begun(&gateway);
    // Removed only when everything before it is written.
    let other = begun(&gateway);
    assert_eq!(gateway.send(&question("DELETE", KEY_A, &other)).status(), 200);
    gateway.kill();
    let gateway = in_directory(&providers, &directory, "");
    assert!(goes_on(&gateway, &providers, &first));
    assert!(goes_on(&gateway, &providers, &second));
    assert!(!goes_on(&gateway, &providers, &other));
    gateway.stop();
    let file = fs::read(directory.path().join("responses.db")).expect("a file");
    let planted = b"planted words";
    assert!(!file.windows(planted.len()).any(|window| window == planted));
}

#[test]
fn without_a_data_directory_conversations_end_with_the_process_and_the_log_says_so() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    gateway.stderr().with("kept in memory");
    let first = begun(&gateway);
    assert!(goes_on(&gateway, &providers, &first));
    gateway.stop();
    let gateway = providers.gateway("");
    assert!(!goes_on(&gateway, &providers, &first));
    gateway.stop();
}

#[test]
fn a_conversation_lasts_as_long_as_it_should_however_the_clock_is_set() {
    let (providers, directory) = (Providers::start(), tempdir().expect("a directory"));
    for in_file in [false, true] {
        let clock = SettableClock::new();
        let setup = Setup::new(providers.config("responses: {ttl: 10m}")).clock(&clock);
        let gateway = if in_file {
            setup
                .argument("--data-dir", directory.path().to_str().expect("text"))
                .start()
        } else {
            setup.start()
        };
        let first = begun(&gateway);
        for set in ["+1h", "-1h"] {
            clock.set(set);
            assert!(
                goes_on(&gateway, &providers, &first),
                "in a file: {in_file}, {set}"
            );
        }
        gateway.stop();
    }
}

#[test]
fn a_conversation_ends_when_its_time_is_over() {
    let (providers, directory) = (Providers::start(), tempdir().expect("a directory"));
    let gateway = in_directory(&providers, &directory, "responses: {ttl: 1s}");
    let first = begun(&gateway);
    let gone = || gateway.send(&question("GET", KEY_A, &first)).status() == 404;
    while !gone() {
        std::thread::yield_now();
    }
    assert!(!goes_on(&gateway, &providers, &first));
    gateway.stop();
}

#[test]
fn gateways_share_conversations_in_redis_encrypted_with_their_key() {
    let (providers, server) = (Providers::start(), RedisServer::start(&[]));
    let config = providers.config(&format!(
        "responses: {{redis: {{address: \"127.0.0.1:{}\"}}}}",
        server.port
    ));
    let with_key = || {
        Setup::new(config.clone())
            .env("TOLLGATE_STORE_KEY", &"5a".repeat(32))
            .start()
    };
    let (one, other) = (with_key(), with_key());
    let first = begun(&one);
    assert!(goes_on(&other, &providers, &first));
    let stored = server.ask(&["KEYS", "*"]);
    assert!(stored.lines().count() >= 2, "{stored}");
    for key in stored.lines() {
        assert!(key.starts_with("tollgate:responses:"), "{key}");
        assert!(
            server
                .ask(&["TTL", key])
                .parse::<u64>()
                .is_ok_and(|ttl| ttl > 2_500_000)
        );
    }
    one.stop();
    assert!(goes_on(&other, &providers, &first));
    other.stop();

    server.ask(&["FLUSHALL"]);
    let plain = Setup::new(config).start();
    plain.stderr().with("TOLLGATE_STORE_KEY");
    let first = begun(&plain);
    assert!(goes_on(&plain, &providers, &first));
    plain.stop();
}

#[test]
fn without_redis_calls_are_served_but_no_conversation_goes_on() {
    let (providers, mut server) = (Providers::start(), RedisServer::start(&[]));
    let gateway = providers.gateway(&format!(
        "responses: {{redis: {{address: \"127.0.0.1:{}\", timeout: 500ms}}}}",
        server.port
    ));
    let first = begun(&gateway);
    // The turn and its item are written, not only about to be, and the gateway knows: what comes next has been done too.
    server.wait_for(&["DBSIZE"], |size| size == "2");
    assert_eq!(gateway.send(&question("DELETE", KEY_A, "resp_0")).status(), 404);
    server.kill();
    let fresh = turn(&gateway, KEY_A, &json!({"model": "chat", "input": "Hello"}));
    assert_eq!(said(&fresh), "from chat");
    let body = json!({"model": "chat", "input": "And?", "previous_response_id": first});
    let refused = gateway.send(&call(KEY_A, &body));
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "conversation_store_unavailable");
    assert_eq!(gateway.send(&question("GET", KEY_A, &first)).status(), 503);
    gateway.stderr().with("conversations cannot be kept");
    gateway.stop();
}

#[test]
fn a_file_that_cannot_be_used_is_told_at_the_start() {
    let directory = tempdir().expect("a directory");
    fs::write(directory.path().join("responses.db"), "").expect("a file");
    fs::write(directory.path().join("store.key"), "5a".repeat(32)).expect("a file");
    let config = directory.path().join("tollgate.yaml");
    fs::write(&config, "models: {m: {provider: simulated}}\n").expect("a file");
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let finished = crate::harness::run(
        &[
            "run",
            "--listen",
            "127.0.0.1:0",
            "--config",
            &text(&config),
            "--data-dir",
            &text(directory.path()),
        ],
        &[],
    );
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("responses.db is not a usable store"),
        "{}",
        finished.stderr
    );
}
