//! What is found out on the way of a call that is explained.

use std::cell::RefCell;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Map, Value, json};
use tollgate_dialects::Losses;

use super::members;
use crate::pipeline::chain::Phase;
use crate::pipeline::choose::{Candidate, Plan};
use crate::pipeline::encode::Encoded;
use crate::pipeline::mask::masked_text;
use crate::plugins::Flow;
use crate::upstream::Scheme;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Headers that prove to a provider who asks.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "ocp-apim-subscription-key",
];

/// The story of one call, written along its way.
#[derive(Default)]
pub(crate) struct Explanation {
    plugins: RefCell<Vec<Value>>,
    models: RefCell<Vec<Value>>,
    /// What would be sent; the way ends there.
    sent: RefCell<Option<Value>>,
    losses: RefCell<Vec<Value>>,
    notes: RefCell<Vec<String>>,
}

impl Explanation {
    /// A plugin has been asked; `None` if it was not, because it could only answer by counting.
    pub(in crate::pipeline) fn plugin(&self, name: &str, phase: Phase, flow: Option<&Flow>) {
        let says = match flow {
            None => json!({"says": "not asked, because it would count the call"}),
            Some(Flow::Next | Flow::Later(_)) => json!({"says": "next"}),
            Some(Flow::Wait(time)) => json!({"says": "wait", "wait_ms": time.as_millis() as u64}),
            Some(Flow::Answer(reply) | Flow::AnswerAfter(_, reply)) => {
                json!({"says": "answer", "status": reply.status.as_u16(), "code": reply.code})
            }
        };
        let phase = match phase {
            Phase::Rewrite => "rewrite",
            Phase::Access => "access",
        };
        let mut plugins = self.plugins.borrow_mut();
        // Most have nothing to do in one of the two phases.
        let is_nothing = says == json!({"says": "next"});
        if is_nothing && plugins.iter().any(|known| known["name"] == name) {
            return;
        }
        plugins.retain(|known| !(known["name"] == name && known["says"] == "next"));
        let mut told = Map::from_iter([
            ("name".to_owned(), name.into()),
            ("phase".to_owned(), phase.into()),
        ]);
        if let Value::Object(says) = says {
            told.extend(says);
        }
        plugins.push(told.into());
    }

    /// Something that an explanation cannot find out, or that would differ.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.notes.borrow_mut().push(text.into());
    }

    /// Whether the call has come to where it would be sent.
    pub(in crate::pipeline) fn is_told(&self) -> bool {
        self.sent.borrow().is_some()
    }

    /// The models that are tried, with all their instances.
    pub(in crate::pipeline) fn plan(&self, plan: &Plan) {
        let now = Instant::now();
        let models = plan.models().map(|(model, public_name)| {
            let instances = model.pool.status(now);
            let usable = instances.iter().filter(|instance| instance.is_usable).count();
            json!({
                "name": &**public_name,
                "chosen_by": model.pool.chosen_by(),
                "usable": usable,
                "instances": instances.iter().map(|instance| instance.told()).collect::<Vec<_>>(),
            })
        });
        *self.models.borrow_mut() = models.collect();
    }

    /// The request that an instance would be sent.
    pub(in crate::pipeline) fn request(
        &self,
        candidate: &Candidate,
        encoded: &Encoded,
        method: &Method,
        target: &str,
        sent: &HeaderMap,
    ) {
        let instance = &candidate.instance;
        let endpoint = &instance.endpoint;
        let scheme = match endpoint.scheme {
            Scheme::Https { .. } => "https",
            Scheme::Http => "http",
            Scheme::Simulated { .. } => "simulated",
        };
        let masked = |name: &HeaderName, value: String| match CREDENTIALS.contains(&name.as_str()) {
            true => MASK.to_owned(),
            false => masked_text(&value, instance),
        };
        let port = match (scheme, endpoint.port) {
            ("https", 443) | ("http", 80) => String::new(),
            (_, port) => format!(":{port}"),
        };
        *self.sent.borrow_mut() = Some(json!({
            "instance": &*instance.name,
            "model": &*candidate.public_name,
            "provider": instance.provider,
            "provider_model": candidate.upstream_model(),
            "dialect": encoded.operation.dialect().name(),
            "method": method.as_str(),
            "url": masked_text(&format!("{scheme}://{}{port}{target}", endpoint.host), instance),
            "headers": headers(sent, masked),
            // Byte by byte, but for secrets: they stand in bodies that the configuration shapes.
            "body": masked_text(&text(&encoded.body.to_bytes()), instance),
        }));
        self.lose(&encoded.losses);
    }

    /// The server that a call would be passed to as it is.
    pub(crate) fn passed(
        &self,
        server: &str,
        scheme: &str,
        host: &str,
        method: &Method,
        target: &str,
        sent: &HeaderMap,
    ) {
        let masked = |name: &HeaderName, value| match CREDENTIALS.contains(&name.as_str()) {
            true => MASK.to_owned(),
            false => value,
        };
        *self.sent.borrow_mut() = Some(json!({
            "server": server,
            "method": method.as_str(),
            "url": format!("{scheme}://{server}{target}"),
            "host": host,
            "headers": headers(sent, masked),
            "body": "as the client sends it",
        }));
    }

    fn lose(&self, losses: &Losses) {
        let told = losses
            .iter()
            .map(|loss| json!({"field": loss.field, "effect": loss.to_string()}));
        self.losses.borrow_mut().extend(told);
    }

    /// All of it.
    pub(in crate::pipeline) fn told(&self) -> Map<String, Value> {
        let mut told = Map::new();
        told.insert("plugins".to_owned(), self.plugins.borrow().clone().into());
        told.insert("models".to_owned(), self.models.borrow().clone().into());
        told.insert("losses".to_owned(), self.losses.borrow().clone().into());
        told.insert("request".to_owned(), self.sent.borrow().clone().into());
        told.insert("notes".to_owned(), self.notes.borrow().clone().into());
        told
    }
}

/// Headers as members, their values as `shown`.
pub(super) fn headers(headers: &HeaderMap, shown: impl Fn(&HeaderName, String) -> String) -> Value {
    let text = |(name, value): (_, &http::HeaderValue)| {
        let text = match value.is_sensitive() {
            true => MASK.to_owned(),
            false => shown(name, String::from_utf8_lossy(value.as_bytes()).into_owned()),
        };
        (name, text)
    };
    members(headers.iter().map(text)).into()
}

/// A body as text.
pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
