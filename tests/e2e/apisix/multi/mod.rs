//! Many instances behind one route.

mod choice;
mod instances;
mod repeats;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use super::node::CHAT;
use super::{Node, NodeSetup};
use crate::harness::{Asked, Connection, Next, Request, Response, Upstream, answers, post};

/// A node whose access log says who was asked.
pub(super) fn node() -> Node {
    NodeSetup::new().start()
}

fn strict() -> Node {
    NodeSetup::new().strict().start()
}

/// An instance at an address of its own.
pub(super) fn instance(name: &str, upstream: &Upstream) -> Value {
    json!({
        "name": name, "provider": "openai-compatible", "weight": 1,
        "auth": {"header": {"Authorization": "Bearer k"}}, "override": {"endpoint": upstream.base()},
    })
}

/// An instance that is asked first.
pub(super) fn preferred(name: &str, upstream: &Upstream) -> Value {
    with(instance(name, upstream), &json!({"priority": 1}))
}

pub(super) fn with(mut object: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().expect("an object") {
        object[name] = value.clone();
    }
    object
}

/// Puts the route `/chat` to these instances, with these rules.
#[track_caller]
pub(super) fn route(node: &Node, instances: &[Value], rules: &Value) {
    let multi = with(json!({"instances": instances}), rules);
    node.put(
        "/routes/1",
        &json!({"uris": ["/chat", "/v1/*", "/model/*"], "plugins": {"ai-proxy-multi": multi}}),
    );
}

/// Who was asked and how that ended.
pub(super) fn attempts(response: &Response) -> &str {
    response.header("x-tollgate-attempts").unwrap_or_default()
}

/// A provider that refuses with this status.
fn failing(status: u16) -> Upstream {
    Upstream::saying(answers::json_answer(status, &error("no")))
}

fn error(message: &str) -> String {
    json!({"error": {"message": message, "type": "x", "param": null, "code": null}}).to_string()
}

/// A provider that never answers.
fn hanging() -> Upstream {
    Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Keep
    })
}

/// A provider that counts the calls it gets, and says what `answer` says.
pub(super) fn counted(
    answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
) -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let upstream = Upstream::start(move |asked, peer| {
        counter.fetch_add(1, Ordering::SeqCst);
        peer.send(&answer(asked));
        Next::Keep
    });
    (upstream, count)
}

/// Holds providers back until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn open(&self) {
        *self.0.0.lock().expect("no test has failed") = true;
        self.0.1.notify_all();
    }

    pub(super) fn close(&self) {
        *self.0.0.lock().expect("no test has failed") = false;
    }

    pub(super) fn wait(&self) {
        let is_open = self.0.0.lock().expect("no test has failed");
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open));
    }
}

/// A chat call.
fn chat(stream: bool) -> Request {
    post(
        "/chat",
        if stream {
            CHAT.replacen('{', r#"{"stream":true,"#, 1)
        } else {
            CHAT.to_owned()
        },
    )
}
