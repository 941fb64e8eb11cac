//! Every way in which an instance fails, in every API that the gateway passes on, and what the client gets then. The tables
//! of `docs/reliability.md` are what these tests have seen: run them with `UPDATE=1` to write them.

mod before;
mod left;
mod midway;
pub mod wire;

use std::fs;

use serde_json::{Value, json};

use crate::apisix::{Node, NodeSetup};
use crate::harness::{Lines, Next, Upstream, repository_file};
use wire::Api;

/// What the instance says that is asked next.
const RESCUE: &str = "the next instance answers";

/// What must never be seen.
const UNSEEN: &str = "never seen";

/// The pool's rule: whatever fails is tried elsewhere.
const ALL: &str = r#"{"fallback_strategy": ["http_429", "http_5xx"]}"#;

/// An API of clients, and the one of the providers behind it.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Its place in paths.
    path: &'static str,
    /// How the document calls it.
    name: &'static str,
    client: Api,
    provider: Api,
}

const LANES: [Lane; 5] = [
    Lane {
        path: "chat",
        name: "OpenAI chat",
        client: Api::Chat,
        provider: Api::Chat,
    },
    Lane {
        path: "messages",
        name: "Anthropic messages",
        client: Api::Messages,
        provider: Api::Messages,
    },
    Lane {
        path: "translated",
        name: "Anthropic messages, answered by OpenAI chat",
        client: Api::Messages,
        provider: Api::Chat,
    },
    Lane {
        path: "responses",
        name: "OpenAI responses",
        client: Api::Responses,
        provider: Api::Responses,
    },
    Lane {
        path: "converse",
        name: "Bedrock Converse",
        client: Api::Converse,
        provider: Api::Converse,
    },
];

impl Lane {
    /// An instance at an address, in the order of the pool.
    fn instance(self, name: &str, base: &str, priority: i64) -> Value {
        let mut instance = match self.provider {
            Api::Chat | Api::Responses => json!({
                "provider": "openai", "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
            }),
            Api::Messages => json!({
                "provider": "anthropic", "auth": {"header": {"x-api-key": "key-of-the-vendor"}},
            }),
            Api::Converse => json!({
                "provider": "bedrock", "provider_conf": {"region": "eu-west-1"},
                "auth": {"aws": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "key-of-the-vendor"}},
            }),
        };
        instance["name"] = name.into();
        instance["weight"] = 1.into();
        instance["priority"] = priority.into();
        instance["options"] = json!({"model": "served-model"});
        instance["override"] = json!({"endpoint": base});
        instance
    }

    /// A route below `/name/<lane>/` whose pool asks `first`, and then `next`. `rule` are further members of the plugin.
    #[track_caller]
    fn route(self, node: &Node, name: &str, first: &str, next: &Upstream, rule: &Value) {
        let next = format!("http://{}", next.address());
        let mut plugin = rule.clone();
        plugin["instances"] = json!([
            self.instance("failing", first, 1),
            self.instance("next", &next, 0)
        ]);
        let route = json!({"uri": format!("/{name}/{}/*", self.path), "plugins": {"ai-proxy-multi": plugin}});
        node.put(&format!("/routes/{name}-{}", self.path), &route);
    }
}

/// A node whose access log tells what these tests look at. `ca_file` vouches for providers.
fn node(ca_file: Option<&str>) -> Node {
    let format = "$uri|$status|$tollgate_attempts|$tollgate_outcome|$tollgate_error_code|$llm_prompt_tokens|\
                  $llm_completion_tokens|$tollgate_usage";
    let setup = NodeSetup::new().and(&format!(
        "nginx_config: {{http: {{access_log_format: \"{format}\"}}}}"
    ));
    match ca_file {
        Some(file) => setup.tollgate(&format!("ca_file: {file}")).start(),
        None => setup.start(),
    }
}

/// A line of the access log.
#[derive(Debug)]
struct Logged {
    status: String,
    attempts: String,
    outcome: String,
    error_code: String,
    prompt_tokens: u64,
    completion_tokens: u64,
    usage: String,
}

impl Logged {
    /// The line of the call with this path, once it is there.
    #[track_caller]
    fn of(lines: &Lines, path: &str) -> Logged {
        let line = lines.with(&format!("{path}|"));
        let fields: Vec<&str> = line.split('|').collect();
        let [
            _,
            status,
            attempts,
            outcome,
            error_code,
            prompt,
            completion,
            usage,
        ] = fields[..]
        else {
            panic!("another format: {line}")
        };
        Logged {
            status: status.to_owned(),
            attempts: attempts.to_owned(),
            outcome: outcome.to_owned(),
            error_code: error_code.to_owned(),
            prompt_tokens: prompt.parse().unwrap_or_default(),
            completion_tokens: completion.parse().unwrap_or_default(),
            usage: usage.to_owned(),
        }
    }
}

/// An instance that answers properly.
fn good() -> Upstream {
    Upstream::start(|asked, peer| {
        peer.send(&Api::good(asked, RESCUE));
        Next::Keep
    })
}

/// Asserts that a table of the document is this one, or writes it there.
#[track_caller]
fn compare(table: &str, rows: &str) {
    let path = repository_file("docs/reliability.md");
    let document = fs::read_to_string(&path).expect("the document");
    let (begin, end) = (
        format!("<!-- {table} -->\n\n"),
        format!("\n<!-- end of {table} -->"),
    );
    let (before, rest) = document.split_once(&begin).expect("the beginning of the table");
    let (written, after) = rest.split_once(&end).expect("the end of the table");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{begin}{rows}{end}{after}")).expect("a file can be written");
    } else {
        assert!(
            written == rows,
            "docs/reliability.md does not tell what happened; run these tests one by one with UPDATE=1. Seen:\n{rows}"
        );
    }
}
