//! What is known about a call, from its first byte to its last. Written to the access log when it is dropped, so that a
//! call that ends in the middle is told too.

mod end;
mod line;
mod request;

use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::VARY;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tokio::time::Instant;
use tollgate_dialects::canonical::{Part, Response, Usage};
use tollgate_dialects::{Dialect, Losses, estimate};
use tollgate_telemetry::RequestType;
use uuid::Uuid;

use super::ask::{Asked, MAX_MODEL_BYTES};
use super::choose::Candidate;
use super::head::Endpoint;
use super::transform::Transform;
use super::{Peer, Worker};
use crate::ai::protocol::Protocol;
use crate::ai::reading::Facts;
use crate::certificates::Handshake;
use crate::manners::Manners;
use crate::plugins::AtEnd;
use crate::proxy;
use crate::snapshot::Instance;
use crate::upstream::{Endpoint as Address, Scheme};

/// nginx's status for a client that left before it had an answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Longest `x-tollgate-loss` header, in bytes; what does not fit is counted.
const MAX_LOSS_HEADER: usize = 2048;

/// Everything known about a call.
pub struct Record {
    worker: Rc<Worker>,
    peer: Peer,
    /// The client's address: the connection's, or what a proxy that is trusted has told.
    client: SocketAddr,
    /// The head of the client's request.
    pub request: Parts,
    /// The dialect the client understands.
    pub dialect: Dialect,
    /// Our id of the call.
    pub request_id: String,
    time: SystemTime,
    started: Instant,
    /// Id of the route, once found.
    pub route: Option<Arc<str>>,
    /// Whose manners its answers have.
    pub manners: Manners,
    /// The address as the client wrote it, where a plugin has changed it.
    pub original_uri: Option<http::Uri>,
    /// Headers set on the answer, whoever gives it; over those of the same name.
    pub answer_headers: HeaderMap,
    /// What plugins do when the call has ended.
    pub at_end: Vec<Box<dyn AtEnd>>,
    /// The consumer, once known.
    pub consumer: Option<Arc<str>>,
    kind: RequestType,
    request_model: Option<String>,
    /// The tools that the client's request offers.
    tool_count: u64,
    end_user: Option<String>,
    /// Our estimate of the input tokens, for when the provider tells none. Zero where it bills none.
    estimated_input: u64,
    /// Whether the attempt in progress has a connection, so that the provider may have the request.
    pub handed_over: Cell<bool>,
    attempts: Vec<AttemptRecord>,
    /// Path and query sent in the last attempt.
    pub upstream_uri: String,
    /// Where the last attempt was connected to.
    pub upstream_address: Option<SocketAddr>,
    answered_model: Option<String>,
    /// Whether the answer of the last attempt calls tools.
    has_tool_calls: bool,
    /// The API in which the answer of the last attempt is passed on as it is; `None` if it is decoded.
    pub passed_as: Option<Protocol>,
    /// Status told to the client; 499 until then.
    pub status: u16,
    bytes_sent: u64,
    first_byte: Option<Duration>,
    upstream_time: Option<Duration>,
    usage: Option<Usage>,
    /// What the translation could not carry over.
    pub losses: Losses,
    /// The stable code of the error the client was told.
    pub error_code: Option<Cow<'static, str>>,
    complete: bool,
}

/// Whom an attempt asks.
enum Asks {
    /// An instance of a model.
    Instance {
        instance: Arc<Instance>,
        upstream_model: String,
    },
    /// A server that calls are passed to as they are.
    Server {
        /// Its address as it is configured.
        name: Arc<str>,
        scheme: &'static str,
        /// The `Host` it is sent.
        host: HeaderValue,
    },
}

impl Asks {
    fn name(&self) -> &Arc<str> {
        match self {
            Asks::Instance { instance, .. } => &instance.name,
            Asks::Server { name, .. } => name,
        }
    }

    fn provider(&self) -> Option<&'static str> {
        match self {
            Asks::Instance { instance, .. } => Some(instance.provider),
            Asks::Server { .. } => None,
        }
    }

    fn model(&self) -> Option<&str> {
        match self {
            Asks::Instance { upstream_model, .. } => Some(upstream_model),
            Asks::Server { .. } => None,
        }
    }

    fn scheme(&self) -> &'static str {
        match self {
            Asks::Instance { instance, .. } => match instance.endpoint.scheme {
                Scheme::Https { .. } => "https",
                Scheme::Http => "http",
                Scheme::Simulated { .. } => "simulated",
            },
            Asks::Server { scheme, .. } => scheme,
        }
    }

    /// The address as APISIX logs it for the calls its AI plugins answer: as configured, whether or not it was reached.
    fn apisix_address(&self) -> Option<String> {
        match self {
            Asks::Instance { instance, .. } if instance.ai.is_some() => {
                let Address { host, port, .. } = &instance.endpoint;
                Some(match host.contains(':') {
                    true => format!("[{host}]:{port}"),
                    false => format!("{host}:{port}"),
                })
            }
            Asks::Instance { .. } | Asks::Server { .. } => None,
        }
    }

    fn host(&self) -> Option<&str> {
        match self {
            Asks::Instance { instance, .. } => instance.endpoint.authority.to_str().ok(),
            Asks::Server { host, .. } => host.to_str().ok(),
        }
    }
}

struct AttemptRecord {
    asks: Asks,
    address: Option<String>,
    status: Option<u16>,
    /// `None` while it is in progress.
    outcome: Option<&'static str>,
    started: Instant,
    duration: Duration,
}

impl Record {
    /// The record of a call whose head has just been read.
    pub fn new(worker: Rc<Worker>, peer: Peer, mut request: Parts) -> Self {
        peer.activity.call_begins();
        let client = worker
            .gateway
            .forwarding()
            .client(peer.address.ip(), &request.headers)
            .map_or(peer.address, |told| SocketAddr::new(told, peer.address.port()));
        // Before anything of ours is among the headers: a client must not be able to take that away.
        proxy::remove_named_by_connection(&mut request.headers);
        Record {
            worker,
            peer,
            client,
            request,
            dialect: Dialect::OpenaiChat,
            request_id: Uuid::now_v7().simple().to_string(),
            time: SystemTime::now(),
            started: Instant::now(),
            route: None,
            manners: Manners::default(),
            original_uri: None,
            answer_headers: HeaderMap::new(),
            at_end: Vec::new(),
            consumer: None,
            kind: RequestType::TraditionalHttp,
            request_model: None,
            tool_count: 0,
            end_user: None,
            estimated_input: 0,
            handed_over: Cell::new(false),
            attempts: Vec::new(),
            upstream_uri: String::new(),
            upstream_address: None,
            answered_model: None,
            has_tool_calls: false,
            passed_as: None,
            status: CLIENT_CLOSED_REQUEST,
            bytes_sent: 0,
            first_byte: None,
            upstream_time: None,
            usage: None,
            losses: Losses::new(),
            error_code: None,
            complete: false,
        }
    }

    /// Notes what the body asks for.
    pub fn asked(&mut self, asked: &Asked, endpoint: &Endpoint) {
        self.kind = if asked.stream {
            RequestType::AiStream
        } else {
            RequestType::AiChat
        };
        self.request_model = Some(shortened(&asked.model)).filter(|model| !model.is_empty());
        self.tool_count = request::tool_count(asked);
        self.end_user = request::end_user(asked, endpoint);
        // The body itself is not kept: a stream may last for minutes.
        self.estimated_input = match endpoint {
            Endpoint::CountTokens => 0,
            _ => estimate::body_tokens(&asked.body),
        };
    }

    /// The client's address.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// Whether the `X-Forwarded-*` headers of the request are believed.
    pub fn is_forwarded_by_trusted(&self) -> bool {
        self.worker.gateway.forwarding().trusts(self.peer.address.ip())
    }

    /// What the handshake of the client's connection has settled, where certificates go by names.
    pub fn handshake(&self) -> Option<&Handshake> {
        self.peer.handshake.as_deref()
    }

    /// Whether the client's connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.peer.tls
    }

    /// When the call began, in seconds since 1970.
    pub fn created_s(&self) -> u64 {
        self.time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    /// The port the client connected to.
    pub fn server_port(&self) -> u16 {
        self.peer.server_port
    }

    /// An attempt begins.
    pub fn begin_attempt(&mut self, candidate: &Candidate) {
        self.begin(Asks::Instance {
            instance: candidate.instance.clone(),
            upstream_model: candidate.upstream_model().to_owned(),
        });
    }

    /// An attempt to pass the call on to a server begins. `name` is its address as configured, `host` the `Host` it is sent.
    pub fn begin_passing(&mut self, name: &Arc<str>, scheme: &'static str, host: HeaderValue) {
        self.begin(Asks::Server {
            name: name.clone(),
            scheme,
            host,
        });
    }

    fn begin(&mut self, asks: Asks) {
        self.upstream_address = None;
        self.upstream_uri.clear();
        self.first_byte = None;
        self.usage = None;
        self.answered_model = None;
        self.has_tool_calls = false;
        self.passed_as = None;
        self.losses = Losses::new();
        self.handed_over.set(false);
        self.attempts.push(AttemptRecord {
            asks,
            address: None,
            status: None,
            outcome: None,
            started: Instant::now(),
            duration: Duration::ZERO,
        });
    }

    /// When the attempt in progress began.
    pub fn attempt_started(&self) -> Instant {
        self.attempts
            .last()
            .map_or(self.started, |attempt| attempt.started)
    }

    /// The first byte of the provider's answer has come. Later calls change nothing.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.attempt_started().elapsed());
        }
    }

    /// The attempt in progress has ended. Later calls for the same attempt change nothing.
    pub fn end_attempt(&mut self, outcome: &'static str, status: Option<StatusCode>, detail: Option<&str>) {
        let address = self.upstream_address;
        let strict = self.manners == Manners::ApisixStrict;
        let Some(attempt) = self
            .attempts
            .last_mut()
            .filter(|attempt| attempt.outcome.is_none())
        else {
            return;
        };
        attempt.outcome = Some(outcome);
        attempt.status = status.map(|status| status.as_u16());
        attempt.duration = attempt.started.elapsed();
        let written = (strict && outcome != "not_sent")
            .then(|| attempt.asks.apisix_address())
            .flatten();
        attempt.address = written.or_else(|| match (&attempt.asks, address) {
            (_, Some(address)) => Some(address.to_string()),
            (Asks::Server { name, .. }, None) => Some(name.as_ref().to_owned()),
            (Asks::Instance { .. }, None) => None,
        });
        self.upstream_time = Some(attempt.duration);
        if outcome == "status" {
            // An error is all the provider said, and it has been read by now.
            self.first_byte.get_or_insert(attempt.duration);
        }
        if outcome != "ok" && outcome != "not_sent" {
            tracing::info!(
                request_id = %self.request_id,
                instance = %attempt.asks.name(),
                outcome,
                status = attempt.status,
                detail,
                "attempt failed"
            );
        }
    }

    /// A stream failed after its first content had gone to the client.
    pub fn failed_midway(&mut self, outcome: &'static str, code: Cow<'static, str>, detail: Option<&str>) {
        self.end_attempt(outcome, Some(StatusCode::OK), detail);
        self.error_code = Some(code);
    }

    /// Notes the model and usage of a whole answer.
    pub fn answered(&mut self, response: &Response) {
        self.answered_model = Some(response.model.clone());
        self.has_tool_calls = response
            .choices
            .iter()
            .flat_map(|choice| &choice.parts)
            .any(|part| matches!(part, Part::ToolCall(_)));
        let told = response.usage.clone();
        self.usage = told.or_else(|| Some(self.estimated(estimate::response_tokens(response))));
    }

    /// Notes what an answer that was passed on says about itself. What it does not tell stays unknown: nobody knows what an
    /// answer of an unknown kind used.
    pub fn read(&mut self, facts: Facts) {
        self.answered_model = facts.model;
        self.has_tool_calls = facts.tool_calls;
        self.usage = facts.usage;
    }

    /// Notes the usage of embeddings; `None` if the provider told none.
    pub fn embedded(&mut self, usage: Option<Usage>) {
        self.usage = usage.or_else(|| Some(self.estimated(0)));
    }

    fn estimated(&self, output: u64) -> Usage {
        Usage {
            input: self.estimated_input,
            output,
            estimated: true,
            ..Usage::default()
        }
    }

    /// The stream has ended or was left: settles what it used. What the provider did not tell is estimated and marked so.
    pub fn settle_stream(&mut self, transform: &mut Transform) {
        self.losses.extend(transform.take_losses().within("answer"));
        let seen = transform.seen();
        self.answered_model = seen.model.clone();
        self.has_tool_calls = seen.tool_calls;
        let mut usage = seen.usage.clone();
        if !transform.is_passing() && (!seen.finished || usage.is_none()) {
            let told = usage.unwrap_or_default();
            let input_known = told.input_total() > 0;
            let input = if input_known {
                told.input
            } else {
                self.estimated_input
            };
            let output = told.output.max(seen.estimated_output);
            usage = Some(Usage {
                input,
                output,
                total: None,
                estimated: true,
                ..told
            });
        }
        self.usage = usage;
    }

    /// The client left while an attempt was under way that has told nothing yet: if the provider has been given the input, it
    /// may bill it.
    fn settle_cancelled(&mut self) {
        let under_way = self
            .attempts
            .last()
            .is_some_and(|attempt| attempt.outcome.is_none());
        let billed = self.handed_over.get() && self.estimated_input > 0;
        if under_way && billed && !self.complete && self.usage.is_none() {
            self.usage = Some(self.estimated(0));
        }
    }

    /// Bytes of the body were handed to the client's connection.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_sent += bytes as u64;
    }

    /// The whole answer was handed to the client's connection.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// Whether the client's request was a HEAD, whose answer has no body.
    pub fn is_head(&self) -> bool {
        self.request.method == Method::HEAD
    }

    /// The headers that every answer carries.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let passed_on = self
            .attempts
            .last()
            .is_some_and(|attempt| attempt.asks.model().is_none());
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            // Each dialect's SDK looks for the id under its own name.
            let name = match self.dialect {
                Dialect::OpenaiChat => HeaderName::from_static("x-request-id"),
                Dialect::AnthropicMessages => HeaderName::from_static("request-id"),
            };
            // What a server answers by itself keeps its own id.
            if !passed_on {
                headers.insert(name, id.clone());
            }
            headers.insert("x-tollgate-request-id", id);
        }
        // Names of servers are addresses, which are not the client's business.
        if let Some((last, model)) = self
            .attempts
            .last()
            .and_then(|attempt| Some((attempt, attempt.asks.model()?)))
        {
            let mut insert = |name: &'static str, text: &str| {
                if let Ok(value) = HeaderValue::from_str(text) {
                    headers.insert(name, value);
                }
            };
            insert("x-tollgate-instance", last.asks.name());
            insert("x-tollgate-model", model);
            let outcomes: Vec<String> = self
                .attempts
                .iter()
                .map(|attempt| {
                    // The attempt in progress is the one that answers.
                    let outcome = attempt.outcome.unwrap_or("ok");
                    let name = attempt.asks.name();
                    match attempt.status {
                        Some(status) if outcome == "status" => format!("{name}={status}"),
                        _ => format!("{name}={outcome}"),
                    }
                })
                .collect();
            insert("x-tollgate-attempts", &outcomes.join(", "));
        }
        if !self.losses.is_empty()
            && let Ok(value) = HeaderValue::from_str(&loss_header(&self.losses))
        {
            headers.insert("x-tollgate-loss", value);
        }
        // What an answer depends on adds up.
        for name in self.answer_headers.keys().filter(|name| **name != VARY) {
            headers.remove(name);
        }
        for (name, value) in &self.answer_headers {
            headers.append(name, value.clone());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.settle_cancelled();
        // An attempt still open here was left by the client.
        self.end_attempt(if self.complete { "ok" } else { "cancelled" }, None, None);
        self.write();
        self.tell_end();
        // On HTTP/2 many calls share the connection, and frames come at any time.
        if self.request.version != Version::HTTP_2 {
            self.peer.activity.call_ends();
        }
    }
}

/// The loss report as a header: `field=effect`, comma separated, at most [`MAX_LOSS_HEADER`] bytes.
fn loss_header(losses: &Losses) -> String {
    let mut text = String::new();
    let mut left_out = 0;
    for loss in losses.iter() {
        let field: String = loss
            .field
            .chars()
            .map(|c| if c.is_ascii_graphic() && c != ',' { c } else { '_' })
            .collect();
        let entry = format!("{field}={}", loss.effect.name());
        if text.len() + entry.len() + 2 > MAX_LOSS_HEADER {
            left_out += 1;
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&entry);
    }
    if left_out > 0 {
        text.push_str(&format!(", and {left_out} more"));
    }
    text
}

/// The name of a model as far as it is kept for the log. Routes of AI plugins take any name.
fn shortened(model: &str) -> String {
    let end = model
        .char_indices()
        .map(|(at, character)| at + character.len_utf8())
        .take_while(|end| *end <= MAX_MODEL_BYTES)
        .last()
        .unwrap_or(0);
    model[..end].to_owned()
}
