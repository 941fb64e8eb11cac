//! What the tests are made of: the real binary, a client that can send any bytes, and an upstream that can misbehave.
//!
//! Nothing here waits for a time to pass. Every wait is for an event, and ends with a panic after [`PATIENCE`].

pub mod answers;
mod client;
mod clock;
mod files;
mod gateway;
pub mod http2;
#[path = "../../servers/kafka.rs"]
pub mod kafka;
mod names;
pub mod oidc;
#[path = "../../servers/port.rs"]
pub mod port;
#[path = "../../servers/postgres.rs"]
pub mod postgres;
mod process;
#[path = "../../servers/redis.rs"]
pub mod redis;
mod tls;
mod upstream;

use std::time::Duration;

pub use client::{Connection, Request, Response, Stream, post};
pub use clock::SettableClock;
pub use files::{example, repository_file};
pub use gateway::{Gateway, Setup, told_at};
pub use names::{Known, Names};
pub use process::{Finished, Lines, Process, binary, run, signal};
pub use tls::proving;
pub use upstream::{Asked, Next, Peer, Upstream};

/// How long a test waits for something that must happen. Long, because a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A dialect, as far as tests need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub const BOTH: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

    /// Where its chat calls go.
    pub fn path(self) -> &'static str {
        match self {
            Dialect::OpenAi => "/v1/chat/completions",
            Dialect::Anthropic => "/v1/messages",
        }
    }

    /// A request for `model` that any server of the dialect takes.
    pub fn request(self, model: &str, stream: bool) -> String {
        let limit = if self == Dialect::Anthropic {
            r#","max_tokens":64"#
        } else {
            ""
        };
        let stream = if stream { r#","stream":true"# } else { "" };
        format!(r#"{{"model":"{model}"{limit}{stream},"messages":[{{"role":"user","content":"Hello"}}]}}"#)
    }

    /// The word for a provider that speaks only this dialect, with its address.
    pub fn provider(self, name: &str, upstream: &Upstream) -> String {
        match self {
            Dialect::OpenAi => {
                format!(
                    "  {name}: {{kind: openai-compatible, endpoint: \"{}\"}}\n",
                    upstream.base()
                )
            }
            Dialect::Anthropic => {
                format!(
                    "  {name}: {{kind: anthropic, key: provider-key, endpoint: \"{}\"}}\n",
                    upstream.base()
                )
            }
        }
    }

    /// Asserts that a body is an error of this dialect and gives its message.
    #[track_caller]
    pub fn error_message(self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
            panic!("not JSON: {text}")
        };
        match self {
            Dialect::OpenAi => {
                assert!(body["error"]["type"].is_string(), "no type: {text}");
                assert!(
                    body["error"].get("code").is_some() && body["error"].get("param").is_some(),
                    "{text}"
                );
                assert!(
                    body.get("type").is_none(),
                    "OpenAI's errors have no outer type: {text}"
                );
            }
            Dialect::Anthropic => {
                assert_eq!(body["type"], "error", "{text}");
                assert!(body["error"]["type"].is_string(), "no type: {text}");
            }
        }
        let message = body["error"]["message"].as_str();
        message.unwrap_or_else(|| panic!("no message: {text}")).to_owned()
    }
}
