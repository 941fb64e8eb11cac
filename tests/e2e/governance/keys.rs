//! Virtual keys: made, used, replaced, switched off, run out.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::start;
use crate::harness::SettableClock;

const CONSUMERS: &str = "consumers:\n  alice: {key: alices-own-key, models: [cent]}\n";

#[test]
fn a_key_is_shown_once_calls_as_its_consumer_and_can_be_listed_and_deleted() {
    let data = tempdir().expect("a directory");
    let node = start(CONSUMERS, &data);
    let made = node.make(
        "keys",
        &json!({"name": "laptop", "consumer": "alice", "labels": {"place": "home"}}),
    );
    let secret = made["key"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("tg-") && secret.len() == 46, "{secret}");
    assert_eq!(made["prefix"], secret[..8]);
    assert_eq!(
        (&made["created_by"], &made["state"]),
        (&json!("admin"), &json!("active"))
    );

    assert_eq!(node.call(&secret, "cent").status(), 200);
    assert_eq!(node.call("alices-own-key", "cent").status(), 200);
    // The consumer's own models hold for its keys.
    assert_eq!(node.call(&secret, "word").status(), 404);
    assert_eq!(node.call(&format!("{secret}x"), "cent").status(), 401);

    let id = made["id"].as_str().expect("an id");
    let shown = node.read(&format!("keys/{id}"));
    assert!(shown["last_used_at"].is_string(), "{shown}");
    assert!(
        shown.get("key").is_none() && shown.get("hash").is_none(),
        "{shown}"
    );
    let listed = node.read("keys?consumer=alice&state=active");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(node.read("keys?consumer=bob")["items"], json!([]));

    let me = node
        .gateway
        .send(&crate::harness::Request::new("GET", "/tollgate/v1/me").header("x-api-key", &secret));
    assert_eq!(me.status(), 200, "{}", me.text());
    assert_eq!(
        (&me.json()["consumer"], &me.json()["key"]["name"]),
        (&json!("alice"), &json!("laptop"))
    );

    assert_eq!(
        node.admin("DELETE", &format!("keys/{id}"), &Value::Null).status(),
        204
    );
    assert_eq!(node.call(&secret, "cent").status(), 401);
    node.gateway.stop();

    // Nowhere but in that one answer.
    for entry in std::fs::read_dir(data.path()).expect("a directory").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let is_there = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!is_there, "{}", entry.path().display());
    }
}

#[test]
fn a_replaced_secret_works_for_its_grace_time_and_no_longer() {
    let clock = SettableClock::new();
    let data = tempdir().expect("a directory");
    let node = super::start_clocked(CONSUMERS, &data, &clock);
    let made = node.make("keys", &json!({"consumer": "alice", "id": "k1"}));
    let old = made["key"].as_str().expect("a secret").to_owned();
    let answer = node.admin("POST", "keys/k1/rotate", &json!({"grace": "24h"}));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let new = answer.json()["key"].as_str().expect("a secret").to_owned();
    assert_ne!(old, new);
    assert_eq!(node.call(&old, "cent").status(), 200);
    assert_eq!(node.call(&new, "cent").status(), 200);
    clock.set("+25h");
    let refused = node.call(&old, "cent");
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.json()["error"]["code"],
        "api_key_replaced",
        "{}",
        refused.text()
    );
    assert_eq!(node.call(&new, "cent").status(), 200);
    // Without grace the old one ends at once.
    assert_eq!(node.admin("POST", "keys/k1/rotate", &Value::Null).status(), 200);
    assert_eq!(node.call(&new, "cent").status(), 401);
    node.gateway.stop();
}

#[test]
fn keys_that_are_disabled_or_have_expired_say_so_to_who_has_them() {
    let clock = SettableClock::new();
    let data = tempdir().expect("a directory");
    let node = super::start_clocked(CONSUMERS, &data, &clock);
    let made = node.make("keys", &json!({"consumer": "alice", "id": "k1"}));
    let secret = made["key"].as_str().expect("a secret").to_owned();
    let change = |body: &Value| {
        let answer = node.admin("PATCH", "keys/k1", body);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    };
    assert_eq!(change(&json!({"disabled": true}))["state"], "disabled");
    let refused = node.call(&secret, "cent");
    assert_eq!(
        (refused.status(), &refused.json()["error"]["code"]),
        (401, &json!("api_key_disabled"))
    );
    change(&json!({"disabled": false, "expires_at": "2099-01-01T00:00:00Z"}));
    assert_eq!(node.call(&secret, "cent").status(), 200);
    let past = change(&json!({"expires_at": "2001-01-01T00:00:00Z"}));
    assert_eq!(past["state"], "expired");
    let refused = node.call(&secret, "cent");
    assert_eq!(
        (refused.status(), &refused.json()["error"]["code"]),
        (401, &json!("api_key_expired"))
    );
    assert!(refused.text().contains("2001-01-01"), "{}", refused.text());
    node.gateway.stop();
}

#[test]
fn writes_are_refused_with_what_to_write_instead() {
    let data = tempdir().expect("a directory");
    let node = start(CONSUMERS, &data);
    for (body, field, told) in [
        (json!({"name": "x"}), "consumer", "a `consumer`, a `team`"),
        (json!({"consumer": "nobody"}), "consumer", "no consumer `nobody`"),
        (json!({"team": "nobody"}), "team", "no team `nobody`"),
        (json!({"consumer": "alice", "models": "gpt"}), "models", "list"),
        (
            json!({"consumer": "alice", "hash": "00"}),
            "hash",
            "no member `hash`",
        ),
        (
            json!({"consumer": "alice", "budget": {"usd": 0.5, "per": "day"}}),
            "usd",
            "as text",
        ),
    ] {
        let answer = node.admin("POST", "keys", &body);
        assert_eq!(answer.status(), 400, "{body}: {}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["field"], field, "{error}");
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(told)),
            "{error}"
        );
    }
    // Of two who change the same, the second is told.
    let made = node.make("keys", &json!({"consumer": "alice", "id": "k1"}));
    let etag = made["etag"].as_str().expect("a tag").to_owned();
    assert_eq!(
        node.admin("PATCH", "keys/k1", &json!({"name": "new"})).status(),
        200
    );
    let stale = crate::harness::Request::new("PATCH", "/tollgate/v1/keys/k1")
        .header("x-api-key", &node.key)
        .header("if-match", &etag)
        .body(json!({"name": "newer"}).to_string());
    assert_eq!(
        crate::harness::Connection::open(node.admin).send(&stale).status(),
        412
    );
    node.gateway.stop();
}

#[test]
fn the_command_line_makes_lists_replaces_and_disables_keys() {
    let data = tempdir().expect("a directory");
    let node = start(CONSUMERS, &data);
    let server = format!("http://{}", node.admin);
    let keys = |arguments: &[&str]| {
        let all = [&["keys"], arguments, &["--server", &server, "--token", &node.key]].concat();
        let finished = crate::harness::run(&all, &[]);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        finished.stdout.trim().to_owned()
    };
    let first = keys(&[
        "create",
        "--consumer",
        "alice",
        "--id",
        "k1",
        "--budget",
        "0.01",
        "--per",
        "day",
    ]);
    assert_eq!(node.call(&first, "cent").status(), 200);
    assert_eq!(node.call(&first, "cent").status(), 429);
    let second = keys(&["rotate", "k1"]);
    assert_eq!(node.call(&first, "cent").status(), 401);
    assert_eq!(node.call(&second, "cent").status(), 429);
    let listed = keys(&["list", "--consumer", "alice"]);
    assert!(
        listed.contains("k1") && listed.contains("active") && !listed.contains(&second),
        "{listed}"
    );
    keys(&["disable", "k1"]);
    assert_eq!(node.call(&second, "cent").status(), 401);
    node.gateway.stop();
}
