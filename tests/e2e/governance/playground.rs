//! The playground: people call models as themselves, without a key, and what they may spend is bounded.

use std::fs;
use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Governed, started};
use crate::harness::{Connection, Request, Response, Setup};

const ROOT: &str = "root-key-0123456789";
const VIEWER: &str = "viewer-key-0123456789";
const TEAM: &str = "team-key-0123456789";
const JACK: &str = "jack-key-0123456789";

const CONFIG: &str = r#"
models:
  cent: {provider: simulated}
  other: {provider: simulated}
prices:
  models:
    cent: {input: 0, output: 0, per_request: 0.01}
    other: {input: 0, output: 0, per_request: 0.01}
auth: key
consumers:
  jack: {key: jack-key-0123456789, models: [cent]}
teams:
  search: {models: [cent]}
admin:
  keys:
    - {name: root, key: root-key-0123456789}
    - {name: vic, key: viewer-key-0123456789, role: viewer}
    - {name: tess, key: team-key-0123456789, role: team_admin, teams: [search]}
"#;

/// Calls are taken over TLS only.
fn start(data: &TempDir) -> Governed {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["gateway.example".to_owned()]).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = data.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        path
    };
    let (cert, key) = (
        file("cert.pem", cert.pem()),
        file("key.pem", signing_key.serialize_pem()),
    );
    let tls = |cert: &Path, key: &Path| {
        format!(
            "tls: {{cert_file: {}, key_file: {}}}",
            cert.display(),
            key.display()
        )
    };
    started(Setup::new(CONFIG).server(&tls(&cert, &key)), data)
}

impl Governed {
    #[track_caller]
    fn play(&self, admin_key: &str, model: &str, headers: &[(&str, &str)]) -> Response {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
        let path = "/tollgate/v1/playground/v1/chat/completions";
        let mut request = Request::new("POST", path).header("x-api-key", admin_key);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Connection::open(self.admin).send(&request.body(body.to_string()))
    }

    #[track_caller]
    fn ask_as(&self, admin_key: &str, path: &str) -> Value {
        let request = Request::new("GET", &format!("/tollgate/v1/{path}")).header("x-api-key", admin_key);
        let answer = Connection::open(self.admin).send(&request);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    }
}

#[test]
fn a_person_calls_a_model_without_a_key_and_over_tls_only_and_is_named_everywhere() {
    let data = tempfile::tempdir().expect("a directory");
    let gateway = start(&data);
    for _ in 0..2 {
        let answer = gateway.play(ROOT, "cent", &[]);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-tollgate-playground-key"), Some("none"));
    }
    assert_eq!(gateway.gateway.logged()["consumer"], "playground/root");
    let listed = gateway.ask_as(ROOT, "keys");
    assert_eq!(listed["items"], json!([]), "no key is made for it");
    let told = gateway.ask_as(ROOT, "audit?limit=50");
    let told: Vec<&Value> = told["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["action"] == "playground")
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["actor"], "root");

    // With a consumer's key the call is that consumer's, with its rights.
    let as_jack = [("x-playground-key", JACK)];
    for key in [ROOT, VIEWER] {
        assert_eq!(gateway.play(key, "cent", &as_jack).status(), 200);
    }
    assert_eq!(gateway.play(ROOT, "other", &as_jack).status(), 404);
    let wrong = gateway.play(ROOT, "cent", &[("x-playground-key", "made-up")]);
    assert_eq!(wrong.status(), 401);
    assert_eq!(wrong.header("x-tollgate-playground-key"), Some("yours"));
}

#[test]
fn a_viewer_spends_nothing_and_still_sees_which_models_there_are() {
    let data = tempfile::tempdir().expect("a directory");
    let gateway = start(&data);
    let refused = gateway.play(VIEWER, "cent", &[]);
    assert_eq!(refused.status(), 403, "{}", refused.text());
    assert!(refused.text().contains("admin.playground"), "{}", refused.text());
    let models = gateway.ask_as(VIEWER, "playground/v1/models");
    assert_eq!(models["data"].as_array().map(Vec::len), Some(2), "{models}");
}

#[test]
fn the_playground_has_a_budget_of_its_own_and_that_of_the_team() {
    let data = tempfile::tempdir().expect("a directory");
    let gateway = start(&data);
    let make = |path: &str, body: &Value| {
        let request = Request::new("POST", &format!("/tollgate/v1/{path}"))
            .header("x-api-key", ROOT)
            .body(body.to_string());
        let answer = Connection::open(gateway.admin).send(&request);
        assert_eq!(answer.status(), 201, "{}", answer.text());
    };
    make(
        "budgets",
        &json!({"for": "team/search", "usd": "0.010000", "per": "total", "hard": true}),
    );
    // What the team may not use, its administrator may not try.
    assert_eq!(gateway.play(TEAM, "other", &[]).status(), 403);
    assert_eq!(gateway.play(TEAM, "cent", &[]).status(), 200);
    assert_eq!(gateway.play(TEAM, "cent", &[]).status(), 429);
    assert_eq!(gateway.play(ROOT, "cent", &[]).status(), 200);
    make(
        "budgets",
        &json!({"for": "consumer/playground", "usd": "0.010000", "per": "total", "hard": true}),
    );
    assert_eq!(gateway.play(ROOT, "other", &[]).status(), 200);
    let over = gateway.play(ROOT, "other", &[]);
    assert_eq!(over.status(), 429, "{}", over.text());
}
