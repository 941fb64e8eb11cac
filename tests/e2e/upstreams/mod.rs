//! Providers and servers that are hostile, broken or half alive, and what clients see of them: bytes on the wire.

mod bodies;
mod certificates;
mod frames;
mod idle;
mod multiplexed;
mod names;
mod outages;
mod wire;

use serde_json::json;

use crate::apisix::{Node, NodeSetup};
use crate::harness::{Connection, Dialect, Request, Upstream, answers, post};

/// What came back for a call, whole or not; the status is 0 if nothing came before the connection was closed.
#[derive(Default)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Whether it is as long as it said.
    whole: bool,
}

impl Reply {
    /// Sends a call on a connection of its own and reads what comes, even if it breaks off.
    #[track_caller]
    fn to(address: std::net::SocketAddr, request: Request) -> Reply {
        let mut connection = Connection::open(address);
        connection.write(&request.header("connection", "close").bytes());
        Reply::of(&connection.until_closed())
    }

    #[track_caller]
    fn of(bytes: &[u8]) -> Reply {
        if bytes.is_empty() {
            return Reply::default();
        }
        let text = String::from_utf8_lossy(bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {text}"));
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let rest = &bytes[end + 4..];
        let (body, whole) = match field("content-length") {
            Some(length) => (rest.to_vec(), length.parse() == Ok(rest.len())),
            None => chunks(rest),
        };
        Reply {
            status: status.unwrap_or_else(|| panic!("no status: {text}")),
            body,
            whole,
            head,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The content of chunks, and whether the last one is there.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        let content = &rest[end + 2..];
        if size == 0 {
            return (body, content == b"\r\n");
        }
        body.extend_from_slice(&content[..size.min(content.len())]);
        match content.get(size + 2..) {
            Some(next) => rest = next,
            None => return (body, false),
        }
    }
}

/// How a call goes through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To a model, which answers as a whole.
    Whole,
    /// To a model, which answers as a stream.
    Stream,
    /// To a server, which gets and says what it likes.
    Passed,
}

impl Way {
    /// A call that says `mark`.
    fn request(self, mark: &str) -> Request {
        let stream = if self == Way::Stream {
            r#","stream":true"#
        } else {
            ""
        };
        let chat = format!(r#"{{"messages":[{{"role":"user","content":"{mark}"}}]{stream}}}"#);
        match self {
            Way::Whole | Way::Stream => post("/chat", chat),
            Way::Passed => Request::new("GET", &format!("/passed/{mark}")),
        }
    }

    /// What a good answer says.
    fn body(self, text: &str) -> Body {
        match self {
            Way::Whole | Way::Passed => Body {
                media_type: "application/json",
                text: answers::whole(Dialect::OpenAi, text),
            },
            Way::Stream => Body {
                media_type: "text/event-stream",
                text: answers::events(Dialect::OpenAi, &[text]).text(),
            },
        }
    }

    /// Whether a reply is that answer.
    fn has_answered(self, reply: &Reply, text: &str) -> bool {
        let body = reply.text();
        let complete = match self {
            Way::Whole | Way::Passed => body == answers::whole(Dialect::OpenAi, text),
            Way::Stream => body.contains(text) && body.ends_with("data: [DONE]\n\n"),
        };
        reply.status == 200 && reply.whole && complete
    }

    /// Whether a reply is an error, or can be seen to be no whole answer.
    fn has_failed(self, reply: &Reply) -> bool {
        let told = match self {
            Way::Whole | Way::Passed => false,
            Way::Stream => reply.text().contains(r#""error":"#) && !reply.text().contains("[DONE]"),
        };
        reply.status == 502 || !reply.whole || told
    }
}

/// What the answer is to say.
struct Body {
    media_type: &'static str,
    text: String,
}

/// A node with one worker, whose calls of this way go to one server.
fn node(way: Way, upstream: &Upstream) -> Node {
    let node = NodeSetup::new()
        .and("nginx_config: {worker_processes: 1}")
        .start();
    let address = upstream.address().to_string();
    let route = match way {
        Way::Whole | Way::Stream => json!({
            "uri": "/chat",
            "plugins": {"ai-proxy": {
                "provider": "openai-compatible",
                "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
                "options": {"model": "gpt-4"},
                "override": {"endpoint": upstream.base()},
                "timeout": 10_000,
            }},
        }),
        Way::Passed => json!({
            "uri": "/passed/*",
            "upstream": {"nodes": {address: 1}, "retries": 0, "timeout": {"connect": 10, "send": 10, "read": 10}},
        }),
    };
    node.put("/routes/1", &route);
    node
}
