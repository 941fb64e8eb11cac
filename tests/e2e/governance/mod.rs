//! Virtual keys, teams, budgets and limits, against the real binary.

mod budgets;
mod keys;
mod ledger;
mod objects;
mod playground;
mod scope;
mod shared;
mod teams;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Connection, Gateway, Request, Response, SettableClock, Setup, post};

/// A gateway with an Admin API. The model `cent` costs one cent a call, `word` a tenth of a cent a token of its answer.
pub struct Governed {
    pub gateway: Gateway,
    admin: SocketAddr,
    key: String,
}

/// The models and what they cost.
pub const MODELS: &str = r#"
models:
  cent: {provider: simulated}
  word: {provider: simulated}
  other: {provider: simulated}
prices:
  models:
    cent: {input: 0, output: 0, per_request: 0.01}
    word: {input: 0, output: 1000}
    other: {input: 0, output: 0, per_request: 0.01}
"#;

/// Starts a gateway with these consumers and teams over a data directory.
#[track_caller]
pub fn start(more: &str, data: &TempDir) -> Governed {
    start_with(&format!("{MODELS}{more}"), data)
}

#[track_caller]
pub fn start_with(config: &str, data: &TempDir) -> Governed {
    started(Setup::new(config), data)
}

/// The same with a time of day that a test sets.
#[track_caller]
pub fn start_clocked(more: &str, data: &TempDir, clock: &SettableClock) -> Governed {
    started(Setup::new(format!("{MODELS}{more}")).clock(clock), data)
}

#[track_caller]
fn started(setup: Setup, data: &TempDir) -> Governed {
    let folder = data.path().to_str().expect("text");
    let gateway = setup
        .argument("--admin", "127.0.0.1:0")
        .argument("--data-dir", folder)
        .start();
    gateway.stderr().with("  configuration  ");
    let told = gateway.stderr().so_far();
    let line = told
        .lines()
        .find(|line| line.contains("Admin API"))
        .expect("a line");
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    Governed {
        admin: address.expect("an address").trim().parse().expect("an address"),
        // There is none where the configuration names keys.
        key: fs::read_to_string(Path::new(folder).join("admin.key"))
            .unwrap_or_default()
            .trim()
            .to_owned(),
        gateway,
    }
}

impl Governed {
    /// Asks the Admin API.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Response {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let request = Request::new(method, &format!("/tollgate/v1/{path}"))
            .header("x-api-key", &self.key)
            .body(body);
        Connection::open(self.admin).send(&request)
    }

    /// Writes something that must be taken.
    #[track_caller]
    pub fn make(&self, path: &str, body: &Value) -> Value {
        let answer = self.admin("POST", path, body);
        assert_eq!(answer.status(), 201, "{}", answer.text());
        answer.json()
    }

    #[track_caller]
    pub fn read(&self, path: &str) -> Value {
        let answer = self.admin("GET", path, &Value::Null);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    }

    /// A call with a key.
    pub fn call(&self, key: &str, model: &str) -> Response {
        self.gateway.send(&chat(key, model, false))
    }

    /// What was spent of a budget, once no call is under way any more.
    #[track_caller]
    pub fn spent(&self, budget: &str) -> String {
        let begun = std::time::Instant::now();
        loop {
            let state = self.read(&format!("budgets/{budget}"))["state"].clone();
            if state["reserved_usd"] == "0.000000" {
                return state["spent_usd"].as_str().expect("text").to_owned();
            }
            assert!(
                begun.elapsed() < crate::harness::PATIENCE,
                "still reserved: {state}"
            );
        }
    }
}

/// A request of OpenAI's.
pub fn chat(key: &str, model: &str, stream: bool) -> Request {
    let body = json!({"model": model, "stream": stream, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]});
    post("/v1/chat/completions", body.to_string()).header("authorization", &format!("Bearer {key}"))
}

/// What the ledger of a data directory says that all calls cost, in millionths of a dollar.
#[track_caller]
pub fn cost_in_ledger(data: &TempDir) -> u64 {
    let folder = data.path().to_str().expect("text");
    let finished = crate::harness::run(&["usage", "--data-dir", folder, "--json"], &[]);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    report["totals"]["cost_micro_usd"].as_u64().expect("a number")
}

/// Millionths of a dollar of a text such as `0.010000`.
pub fn micro(text: &str) -> u64 {
    text.replace('.', "").parse().expect("a number")
}
