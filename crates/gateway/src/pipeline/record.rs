//! What is known about a call, from its first byte to its last. Written to the access log when it is dropped, so that a
//! call that ends in the middle is told too.

mod attempt;
mod capture;
mod end;
mod explained;
mod govern;
mod id;
mod line;
mod request;
mod words;

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use smallvec::SmallVec;
use tokio::time::Instant;
use tollgate_dialects::{Dialect, Losses, estimate};
use tollgate_telemetry::metrics::Limit;
use tollgate_telemetry::metrics::apisix::{ActiveCall, ActiveLabels};
use tollgate_telemetry::traces::CallTrace;
use tollgate_telemetry::{RequestType, RouteLogger, Wants};

use attempt::Asks;
pub use attempt::{Attempt, Slot};
use capture::Capture;
use words::Words;

use super::admit::Admission;
use super::ask::{Asked, MAX_MODEL_BYTES};
use super::explain::Explanation;
use super::guest::Guest;
use super::head::Endpoint;
use super::transform::Transform;
use super::{Peer, Worker};
use crate::ai::config::Logging;
use crate::ai::output::OutputLimit;
use crate::ai::protocol::Protocol;
use crate::certificates::Handshake;
use crate::governance::Governed;
use crate::http1::told::Headers;
use crate::manners::Manners;
use crate::objects::ObjectRoute;
use crate::overload::Overload;
use crate::plugins::AtEnd;
use crate::proxy;
use crate::upstream::ClientStream;

/// nginx's status for a client that left before it had an answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Longest `x-tollgate-loss` header, in bytes; what does not fit is counted.
const MAX_LOSS_HEADER: usize = 2048;

/// Our id of the call, on its answer.
pub(super) static CALL_ID: HeaderName = HeaderName::from_static("x-tollgate-request-id");

static INSTANCE: HeaderName = HeaderName::from_static("x-tollgate-instance");
static MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
static LOSS: HeaderName = HeaderName::from_static("x-tollgate-loss");

/// When the head of a call was read. The call may have to wait for its turn before it begins; the log tells that time too.
#[derive(Clone, Copy)]
pub struct Arrival {
    time: SystemTime,
    started: Instant,
}

impl Arrival {
    /// Now.
    pub fn now() -> Self {
        Arrival {
            time: SystemTime::now(),
            started: Instant::now(),
        }
    }
}

/// Who is told of a call, with the name of the plugin where a consumer's may take its place.
type NamedLogger = (Option<&'static str>, Arc<dyn RouteLogger>);

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
    /// Id of the service that the route belongs to.
    pub service: Option<Arc<str>>,
    /// The pattern of the route that the path fits, as it was written; empty if there is none.
    pub matched_uri: String,
    /// The pattern that the host fits; `None` if the route takes any.
    pub matched_host: Option<Arc<str>>,
    /// The route, where it is an object of the Admin API.
    pub object_route: Option<Arc<ObjectRoute>>,
    /// Whose manners its answers have.
    pub manners: Manners,
    /// How long its client may get nothing of a stream.
    pub keep_alive: Duration,
    /// The address as the client wrote it, where a plugin has changed it.
    pub original_uri: Option<Box<Uri>>,
    /// Headers set on the answer, whoever gives it; over those of the same name.
    pub answer_headers: HeaderMap,
    /// Whether the headers that every answer carries are told when its head is written.
    tells_late: bool,
    /// Whether one of these tells that the answer is JSON.
    tells_json: bool,
    /// What limits of tokens say to the call.
    pub admission: Admission,
    /// What its budgets and limits say; `None` where nothing counts.
    governed: Option<Box<Governed>>,
    /// The team whose budgets count.
    pub team: Option<Arc<str>>,
    /// What limits the length of its answer, where something has to be reserved for that.
    output: Option<OutputLimit>,
    /// What plugins do when the call has ended.
    pub at_end: Vec<Box<dyn AtEnd>>,
    /// The consumer, once known.
    pub consumer: Option<Arc<str>>,
    /// Id of the credential that proved it, where it has one.
    pub credential: Option<Arc<str>>,
    /// Those who are told of the call when it has ended, beside those who are told of all calls. With the name of the
    /// plugin, where a consumer's takes the place of the route's.
    loggers: SmallVec<[NamedLogger; 1]>,
    /// What is kept for them; `None` for most calls.
    capture: Option<Box<Capture>>,
    /// Whether log entries tell what the call used.
    is_summarised: bool,
    /// What is said in the call; `None` where nobody wants to be told.
    words: Option<Box<Words>>,
    /// Whether log entries tell it. Else it is for the call's span.
    logs_words: bool,
    /// What is asked for, such as `chat`; `None` where it is nothing of a model.
    operation: Option<&'static str>,
    /// Its place in a trace; `None` if calls are not traced. Boxed: most gateways shall not pay for its size.
    pub trace: Option<Box<CallTrace>>,
    /// Bytes of the request's body.
    request_bytes: u64,
    kind: RequestType,
    request_model: Option<Arc<str>>,
    /// The tools that the client's request offers.
    tool_count: u64,
    end_user: Option<String>,
    /// Our estimate of the input tokens, for when the provider tells none. Zero where it bills none.
    estimated_input: u64,
    /// The attempts so far; the last one is the one that answers, or was the last to fail. Attempts share the record while
    /// they are under way, and put themselves here when they are over.
    attempts: RefCell<SmallVec<[Box<Attempt>; 1]>>,
    /// Status told to the client; 499 until then.
    pub status: u16,
    bytes_sent: u64,
    /// The stable code of the error the client was told.
    pub error_code: Option<Cow<'static, str>>,
    complete: bool,
}

impl Record {
    /// The record of a call. In a box: it goes through many hands.
    pub fn new(worker: &Rc<Worker>, peer: Peer, mut request: Parts, arrival: Arrival) -> Box<Self> {
        let at_once = peer.activity.call_begins();
        let traffic = worker.telemetry.traffic();
        traffic.call_begins();
        worker.calls.set(worker.calls.get() + 1);
        if at_once == worker.bounds.max_streams && request.version == Version::HTTP_2 {
            // Clients know the number, and wait. What they send nevertheless is refused by the HTTP library.
            traffic.limits().reached(Limit::MaxStreams);
        }
        let client = worker
            .gateway
            .forwarding()
            .client(peer.address.ip(), &request.headers)
            .map_or(peer.address, |told| SocketAddr::new(told, peer.address.port()));
        // Before anything of ours is among the headers: a client must not be able to take that away.
        proxy::remove_named_by_connection(&mut request.headers);
        let trace = worker.telemetry.trace(&request.headers).map(Box::new);
        let mut record = Box::new(Record {
            worker: worker.clone(),
            peer,
            client,
            request,
            dialect: Dialect::OpenaiChat,
            request_id: id::new(arrival.time),
            time: arrival.time,
            started: arrival.started,
            route: None,
            service: None,
            matched_uri: String::new(),
            matched_host: None,
            object_route: None,
            manners: Manners::default(),
            keep_alive: Duration::ZERO,
            original_uri: None,
            answer_headers: HeaderMap::new(),
            tells_late: false,
            tells_json: false,
            admission: Admission::default(),
            governed: None,
            team: None,
            output: None,
            at_end: Vec::new(),
            consumer: None,
            credential: None,
            loggers: SmallVec::new(),
            capture: None,
            is_summarised: false,
            words: None,
            logs_words: false,
            operation: None,
            trace,
            request_bytes: 0,
            kind: RequestType::TraditionalHttp,
            request_model: None,
            tool_count: 0,
            end_user: None,
            estimated_input: 0,
            attempts: RefCell::default(),
            status: CLIENT_CLOSED_REQUEST,
            bytes_sent: 0,
            error_code: None,
            complete: false,
        });
        for logger in &worker.telemetry.loggers().all_calls {
            record.log_to(None, logger.clone());
        }
        record
    }

    /// Where it is told what would become of the call, if it is only explained.
    pub(crate) fn explains(&self) -> Option<&Explanation> {
        self.worker.explains.as_ref()
    }

    /// Who calls, where the process itself says so.
    pub fn guest(&self) -> Option<&Guest> {
        self.peer.guest.as_deref()
    }

    /// What the process can still take on.
    pub fn overload(&self) -> &Arc<Overload> {
        &self.worker.overload
    }

    /// Notes what the body asks for.
    pub fn asked(&mut self, asked: &Asked, endpoint: &Endpoint) {
        self.kind = if asked.stream {
            RequestType::AiStream
        } else {
            RequestType::AiChat
        };
        self.operation = Some(endpoint.operation());
        self.read_body(&asked.body);
        self.request_model = shortened(&asked.model);
        self.tool_count = request::tool_count(asked, endpoint);
        self.end_user = request::end_user(asked, endpoint);
        // The body itself is not kept: a stream may last for minutes.
        self.estimated_input = match endpoint {
            Endpoint::CountTokens(_) => 0,
            _ => estimate::body_tokens(asked.body.len(), asked.members.encoded()),
        };
        if self.governed.as_ref().is_some_and(|governed| governed.reserves()) {
            self.output = govern::output_limit(asked, endpoint);
        }
    }

    /// A logger is to be told of the call when it has ended. What it wants is kept from now on. It takes the place of an
    /// earlier one of the same name.
    pub fn log_to(&mut self, name: Option<&'static str>, logger: Arc<dyn RouteLogger>) {
        let wants = logger.wants();
        if wants != Wants::default() {
            self.capture.get_or_insert_default().want(wants);
        }
        let earlier = self
            .loggers
            .iter_mut()
            .find(|(earlier, _)| name.is_some() && *earlier == name);
        match earlier {
            Some((_, place)) => *place = logger,
            None => self.loggers.push((name, logger)),
        }
    }

    /// Counts an attempt that begins among the active ones, where it asks a model and somebody counts those.
    fn active(&self, asks: &Asks) -> Option<ActiveCall> {
        let upstream_model = asks.model()?;
        let labels = ActiveLabels {
            route_name: self.route_name().unwrap_or_default(),
            route: self.route.as_deref().unwrap_or_default(),
            matched_uri: &self.matched_uri,
            matched_host: self.matched_host.as_deref().unwrap_or_default(),
            service_name: self.service_name().unwrap_or_default(),
            service: self.service.as_deref().unwrap_or_default(),
            consumer: self.consumer.as_deref().unwrap_or_default(),
            node: asks.name(),
            request_type: self.kind.as_str(),
            request_model: self.request_model.as_deref().unwrap_or_default(),
            upstream_model,
        };
        self.loggers.iter().find_map(|(_, logger)| logger.begins(&labels))
    }

    /// The name of the route, where it has one.
    fn route_name(&self) -> Option<&str> {
        self.object_route.as_deref()?.name.as_deref()
    }

    /// The name of the service that the route belongs to, where it has one.
    fn service_name(&self) -> Option<&str> {
        self.object_route.as_deref()?.service_name.as_deref()
    }

    /// The body of the request has been read.
    pub fn read_body(&mut self, body: &Bytes) {
        self.request_bytes = body.len() as u64;
        if let Some(capture) = &mut self.capture {
            capture.request(body);
        }
    }

    /// The body of the request is passed on as it comes.
    pub fn watch_body(&mut self, body: &ClientStream) {
        if let Some(capture) = &mut self.capture {
            capture.watch(body);
        }
    }

    /// The same for a call of our own routes.
    pub fn tell_words_as_set(&mut self, asked: &Asked) {
        let loggers = self.worker.telemetry.loggers();
        let logging = Logging {
            summaries: loggers.summaries,
            payloads: loggers.payloads,
        };
        self.tell_words(logging, Words::protocol_of(self.dialect), asked);
    }

    /// Log entries of this model call tell what it used, and what was said, as far as its route wants that.
    pub fn tell_words(&mut self, logging: Logging, protocol: Option<Protocol>, asked: &Asked) {
        let telemetry = &self.worker.telemetry;
        self.is_summarised = logging.summaries;
        self.logs_words = logging.payloads && self.loggers.iter().any(|(_, logger)| logger.reads_details());
        if self.logs_words || telemetry.tells_prompts(self.trace.as_deref()) {
            let words = Words::new(protocol, asked, &telemetry.loggers().rules);
            self.words = Some(Box::new(words));
        }
    }

    /// Whether this model of a provider may be asked, as far as its price matters.
    pub fn may_cost(&self, provider: &str, model: &str) -> bool {
        self.worker.gateway.prices().current().allow(provider, model)
    }

    /// Whether somebody who is told of the call reads what costs something to gather.
    fn details_are_read(&self) -> bool {
        self.worker.telemetry.reads_details() || self.loggers.iter().any(|(_, logger)| logger.reads_details())
    }

    /// Our estimate of the tokens of the request; 0 where none are billed.
    pub fn estimated_input(&self) -> u64 {
        self.estimated_input
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
        self.peer.server.map_or(0, |server| server.port())
    }

    /// An attempt to pass the call on to a server begins. `name` is its address as configured, `host` the `Host` it is sent,
    /// `uri` the path and query.
    pub fn begin_passing(&mut self, name: &Arc<str>, scheme: &'static str, host: HeaderValue, uri: String) {
        let asks = Asks::Server {
            name: name.clone(),
            scheme,
            host,
        };
        let mut attempt = Attempt::new(asks, None, self);
        attempt.uri = uri;
        self.keep_attempt(attempt);
    }

    /// Keeps an attempt, as the last one. There is room for no more than there are: most calls have one, and a stream may last
    /// for minutes.
    fn keep_attempt(&self, attempt: Box<Attempt>) {
        let mut attempts = self.attempts.borrow_mut();
        attempts.reserve_exact(1);
        attempts.push(attempt);
    }

    /// Writes the trace's headers of the last attempt, if calls are traced.
    pub fn write_trace(&self, headers: &mut HeaderMap) {
        if let Some(attempt) = self.attempts.borrow().last() {
            attempt.write_trace(self, headers);
        }
    }

    /// The last attempt is connected to this address.
    pub fn connected_to(&mut self, address: SocketAddr) {
        if let Some(attempt) = self.attempts.get_mut().last_mut() {
            attempt.connected_to = Some(address.to_string().into());
        }
    }

    /// When the last attempt began.
    pub fn attempt_started(&self) -> Instant {
        self.attempts
            .borrow()
            .last()
            .map_or(self.started, |attempt| attempt.started)
    }

    /// The first byte of the last attempt's answer has come. Later calls change nothing.
    pub fn first_byte(&mut self) {
        if let Some(attempt) = self.attempts.get_mut().last_mut() {
            attempt.first_byte();
        }
    }

    /// The last attempt has ended. Later calls for the same attempt change nothing.
    pub fn end_attempt(&mut self, outcome: &'static str, status: Option<StatusCode>, detail: Option<&str>) {
        if let Some(attempt) = self.attempts.get_mut().last_mut() {
            attempt.end(&self.request_id, outcome, status, detail);
        }
    }

    /// A stream failed after its first content had gone to the client.
    pub fn failed_midway(&mut self, outcome: &'static str, code: Cow<'static, str>, detail: Option<&str>) {
        self.end_attempt(outcome, Some(StatusCode::OK), detail);
        self.error_code = Some(code);
    }

    /// The stream has ended or was left: settles what it used. What the provider did not tell is estimated and marked so.
    pub fn settle_stream(&mut self, transform: &mut Transform) {
        if let Some(attempt) = self.attempts.get_mut().last_mut() {
            attempt.settle_stream(transform);
        }
    }

    /// These bytes of the body were handed to the client's connection.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.sent_unseen(bytes.len());
        if let Some(capture) = &mut self.capture {
            capture.response(bytes);
        }
        if let Some(words) = &mut self.words {
            words.hear(bytes);
        }
    }

    /// So many bytes were handed to the client's connection that no logger may see.
    pub fn sent_unseen(&mut self, bytes: usize) {
        self.bytes_sent += bytes as u64;
    }

    /// These are the headers that the client is given.
    pub fn answers_with(&mut self, headers: &HeaderMap) {
        if let Some(capture) = &mut self.capture {
            capture.headers(headers);
        }
        if let Some(words) = &mut self.words {
            words.answered_with(headers);
        }
    }

    /// The whole answer was handed to the client's connection.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The client ran into a limit.
    pub fn reached(&self, limit: Limit) {
        self.worker.telemetry.traffic().limits().reached(limit);
    }

    /// Whether the client's connection is shared by several calls.
    pub fn is_http2(&self) -> bool {
        self.request.version == Version::HTTP_2
    }

    /// Whether the client's request was a HEAD, whose answer has no body.
    pub fn is_head(&self) -> bool {
        self.request.method == Method::HEAD
    }

    /// Copies what is kept of the head of the request. It is a part of the buffer that the connection reads into, which would
    /// have to be made anew while a stream lasts. Its headers are in what the connection had for the answer before, which may
    /// have been many more.
    pub fn let_go_of_buffers(&mut self) {
        let mut headers = HeaderMap::with_capacity(self.request.headers.len());
        for (name, value) in &self.request.headers {
            let mut own = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
            own.set_sensitive(value.is_sensitive());
            headers.append(name, own);
        }
        self.request.headers = headers;
        let original = self.original_uri.as_deref_mut();
        for uri in original.into_iter().chain([&mut self.request.uri]) {
            if let Ok(own) = Uri::try_from(uri.to_string()) {
                *uri = own;
            }
        }
    }

    /// Puts the headers that every answer carries into those of this one; what plugins have set is set over what has the same name.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        self.tell_who(headers);
        // What an answer depends on adds up.
        for name in self.answer_headers.keys().filter(|name| **name != VARY) {
            headers.remove(name);
        }
        for (name, value) in &self.answer_headers {
            headers.append(name, value.clone());
        }
        self.tell_limits(headers);
    }

    /// Leaves the headers that every answer carries until the head is written, if the head is one of HTTP/1, nobody else wants to see
    /// them, and nothing is set over them. Tells whether it does. Of an answer that `is_json` its type is one of them.
    pub fn tell_late(&mut self, is_json: bool) -> bool {
        self.tells_late = !self.is_http2()
            && self.capture.is_none()
            && self.words.is_none()
            && self.answer_headers.is_empty()
            && self.explains().is_none();
        self.tells_json = is_json;
        self.tells_late
    }

    /// Tells the headers that every answer carries, if they were left until now.
    pub fn tell_now(&self, headers: &mut dyn Headers) {
        if self.tells_late {
            if self.tells_json {
                headers.put(&CONTENT_TYPE, "application/json");
            }
            self.tell_who(headers);
            self.tell_limits(headers);
        }
    }

    /// Who has answered, under which id.
    fn tell_who(&self, headers: &mut dyn Headers) {
        let attempts = self.attempts.borrow();
        let last = attempts.last();
        // What a server answers by itself keeps its own id.
        if last.is_none_or(|last| last.asks.model().is_some()) {
            headers.put(request_id_header(self.dialect), &self.request_id);
        }
        headers.put(&CALL_ID, &self.request_id);
        // Names of servers are addresses, which are not the client's business.
        if let Some((last, model)) = last.and_then(|last| Some((last, last.asks.model()?))) {
            headers.put(&INSTANCE, last.asks.name());
            headers.put(&MODEL, model);
            headers.put(
                &ATTEMPTS,
                str::from_utf8(&outcomes(&attempts)).unwrap_or_default(),
            );
        }
        if let Some(losses) = last.map(|last| &last.losses).filter(|losses| !losses.is_empty()) {
            headers.put(&LOSS, &loss_header(losses));
        }
    }

    /// What is left of limits and budgets.
    fn tell_limits(&self, headers: &mut dyn Headers) {
        self.admission.tell(headers);
        if let Some(governed) = &self.governed {
            governed.tell(headers);
        }
    }
}

/// How the attempts went, as answers tell it: `first=503, second=ok`.
fn outcomes(attempts: &[Box<Attempt>]) -> SmallVec<[u8; 64]> {
    let mut told = SmallVec::new();
    let mut tell = |text: &str| told.extend_from_slice(text.as_bytes());
    for (number, attempt) in attempts.iter().enumerate() {
        if number > 0 {
            tell(", ");
        }
        tell(attempt.asks.name());
        tell("=");
        // The attempt in progress is the one that answers.
        let outcome = attempt.outcome.unwrap_or("ok");
        match attempt.status {
            Some(status) if outcome == "status" => tell(itoa::Buffer::new().format(status)),
            _ => tell(outcome),
        }
    }
    told
}

impl Drop for Record {
    fn drop(&mut self) {
        // An attempt still open here was left by the client.
        let outcome = if self.complete { "ok" } else { "cancelled" };
        for attempt in self.attempts.get_mut() {
            if !self.complete {
                attempt.settle_cancelled();
            }
            attempt.end(&self.request_id, outcome, None, None);
        }
        if let Some(capture) = &mut self.capture
            && let Some(passed) = capture.settle()
        {
            self.request_bytes = passed;
        }
        if let Some(words) = &mut self.words {
            words.finish();
        }
        if self.explains().is_none() {
            self.tell();
            self.tell_end();
        }
        self.worker.calls.set(self.worker.calls.get().saturating_sub(1));
        self.worker.telemetry.traffic().call_ends();
        self.peer.activity.call_ends();
    }
}

/// The header under which the SDK of a dialect looks for the id of a call.
pub fn request_id_header(dialect: Dialect) -> &'static HeaderName {
    static OPENAI: HeaderName = HeaderName::from_static("x-request-id");
    static AMAZON: HeaderName = HeaderName::from_static("x-amzn-requestid");
    static ANTHROPIC: HeaderName = HeaderName::from_static("request-id");
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini | Dialect::CohereChat => &OPENAI,
        Dialect::BedrockConverse => &AMAZON,
        Dialect::AnthropicMessages => &ANTHROPIC,
    }
}

/// The loss report as a header: `field=effect`, comma separated, at most [`MAX_LOSS_HEADER`] bytes.
fn loss_header(losses: &Losses) -> String {
    let mut text = String::new();
    let mut left_out = 0;
    for loss in losses.iter() {
        let before = text.len();
        text.reserve(loss.field.len() + 32);
        if before > 0 {
            text.push_str(", ");
        }
        let shown = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '_' };
        text.extend(loss.field.chars().map(shown));
        text.push('=');
        text.push_str(loss.effect.name());
        if text.len() > MAX_LOSS_HEADER {
            text.truncate(before);
            left_out += 1;
        }
    }
    if left_out > 0 {
        text.push_str(&format!(", and {left_out} more"));
    }
    text
}

/// The name of a model as far as it is kept for the log. Routes of AI plugins take any name.
fn shortened(model: &Arc<str>) -> Option<Arc<str>> {
    match model.len() {
        0 => None,
        1..=MAX_MODEL_BYTES => Some(model.clone()),
        _ => Some(model[..model.floor_char_boundary(MAX_MODEL_BYTES)].into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Record;

    #[test]
    fn a_record_is_small() {
        // Up to a KiB the allocator has a shorter way, and there is one for every call under way.
        let bytes = size_of::<Record>();
        assert!(bytes <= 1_024, "{bytes} bytes");
    }
}
