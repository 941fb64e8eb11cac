//! `http-logger`: entries as bodies of POST requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_resources::egress::Origin;
use tollgate_telemetry::Outlets;
use tollgate_telemetry::delivery::{Limits, Queue, SendError, Sent, Sink};
use tollgate_telemetry::outbound::{Address, Client, ClientConfig, Limits as ClientLimits, Version};

use super::super::auth::check_header_text;
use super::super::spec::read;
use super::super::{Made, Scope, Setup, Spec, Unusable};
use super::conf::{Batching, Content, Metadata, joined};
use super::{Form, Logger, LoggerPlugin, Outlet};
use crate::upstream::{TlsSettings, client_config};

/// `http-logger`.
pub static SPEC: Spec = Spec {
    name: "http-logger",
    priority: 410,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: super::conf::schemas::<Config, Metadata>,
    check: |conf, kind| {
        let authorization = conf.get("auth_header").and_then(Value::as_str);
        check_header_text("auth_header", authorization.unwrap_or_default()).map_err(|unusable| unusable.0)?;
        super::conf::check(conf, kind)
    },
    setup,
    secret_fields: &["auth_header"],
};

/// Where entries go.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The address.
    #[schemars(regex(pattern = URI))]
    uri: String,
    /// `Authorization` of the requests.
    auth_header: Option<String>,
    /// Seconds that a request may take.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    timeout: u64,
    #[serde(flatten)]
    content: Content,
    /// How the entries of a batch become a body.
    #[serde(default)]
    #[schemars(extend("default" = "json"))]
    concat_method: ConcatMethod,
    /// Whether the server's certificate is checked.
    #[serde(default)]
    ssl_verify: bool,
    /// The name in logs.
    #[serde(default = "name")]
    #[expect(
        dead_code,
        reason = "a queue may be shared by routes that name it differently"
    )]
    name: String,
    #[serde(flatten)]
    batching: Batching,
}

/// How the entries of a batch become a body.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConcatMethod {
    /// A JSON array.
    #[default]
    Json,
    /// One JSON object on each line.
    NewLine,
}

fn three() -> u64 {
    3
}

fn name() -> String {
    "http logger".to_owned()
}

fn setup(conf: &Value, setup: &Setup<'_>) -> Made {
    let config: Config = read(conf)?;
    let metadata: Metadata = setup.metadata.map(read).transpose()?.unwrap_or_default();
    let mut entry = config.content.entry(
        metadata.log_format.as_ref(),
        metadata.log_format_extra.as_ref(),
        setup,
    );
    entry.unmatched_route_id = Some("no-matched");
    let (request_body, response_body) = config.content.bodies()?;
    Ok(Arc::new(LoggerPlugin(Arc::new(Logger {
        form: Form::Json {
            entry: Box::new(entry),
            is_line: false,
        },
        matches: None,
        request_body,
        response_body,
        outlet: Place {
            uri: &config.uri,
            authorization: config.auth_header.as_deref(),
            timeout: Duration::from_secs(config.timeout),
            tls: TlsSettings {
                ca_file: None,
                verify: config.ssl_verify,
            },
            concat_method: config.concat_method,
            limits: config.batching.limits(&metadata),
            origin: Origin::Object,
        }
        .outlet(setup.state.outlets())?,
    }))))
}

/// A log server, and how it is sent entries.
pub(super) struct Place<'a> {
    pub(super) uri: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) timeout: Duration,
    pub(super) tls: TlsSettings,
    pub(super) concat_method: ConcatMethod,
    pub(super) limits: Limits,
    pub(super) origin: Origin,
}

impl Place<'_> {
    /// The queue in front of the server. Those who say the same of it share one.
    pub(super) fn outlet(self, outlets: &Outlets) -> Result<Box<dyn Outlet>, Unusable> {
        let address = Address::parse(self.uri)
            .map_err(|error| Unusable(error.to_string()))?
            .named_by(self.origin);
        let authorization = self
            .authorization
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| Unusable("the authorization cannot be a header".to_owned()))?;
        let tls = client_config(&self.tls, None).map_err(|error| Unusable(error.to_string()))?;
        // A host that cannot stand in a certificate is found now, not when there is something to send.
        client(&address, &tls, self.timeout)?;
        let mut limits = self.limits;
        let is_single = limits.batch_max_size == 1;
        if is_single {
            limits.senders = SENDERS_OF_SINGLE;
        }
        let identity = format!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?} {limits:?}",
            SPEC.name, self.origin, self.uri, self.tls, self.authorization, self.timeout, self.concat_method,
        );
        let hub = outlets.hub().map_err(|error| Unusable(error.to_string()))?;
        let queue = hub.shared_queue(&identity, SPEC.name, limits, || Peer {
            client: client(&address, &tls, self.timeout).ok(),
            authorization: authorization.clone(),
            concat_method: self.concat_method,
            is_single,
        });
        Ok(Box::new(Posts(queue)))
    }
}

fn client(address: &Address, tls: &Arc<ClientConfig>, time: Duration) -> Result<Client, Unusable> {
    let limits = ClientLimits {
        connect: time,
        total: time,
        answer: MAX_ANSWER,
    };
    Client::new(address.clone(), Version::Http1, tls, limits).map_err(|error| Unusable(error.to_string()))
}

struct Posts(Queue<Bytes>);

impl Outlet for Posts {
    fn take(&self, entry: &[u8]) {
        // What is dropped is counted and told there.
        let _ = self.0.push(Bytes::copy_from_slice(entry), entry.len());
    }
}

/// A log server.
struct Peer {
    client: Option<Client>,
    authorization: Option<HeaderValue>,
    concat_method: ConcatMethod,
    is_single: bool,
}

impl Sink<Bytes> for Peer {
    async fn send(&mut self, batch: &[Bytes]) -> Result<Sent, SendError> {
        let Some(client) = &self.client else {
            return Err(SendError::lasting("the address cannot be used"));
        };
        let body = match (batch, self.is_single) {
            ([one], true) => one.clone(),
            _ => joined(batch, self.concat_method == ConcatMethod::Json).into(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(client.address().path().clone());
        let media_type = match self.concat_method {
            ConcatMethod::Json => "application/json",
            ConcatMethod::NewLine => "text/plain",
        };
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        match client.send(request).await {
            Ok(answer) if answer.status.as_u16() < 400 => Ok(Sent::All),
            Ok(answer) => Err(SendError::passing(format!(
                "{} answered {}",
                client.address(),
                answer.status.as_u16()
            ))),
            Err(error) => Err(SendError::passing(format!("{}: {error}", client.address()))),
        }
    }
}

/// APISIX's pattern of addresses.
const URI: &str = r"^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?";

/// Bytes of a log server's answer that are read at most; nothing in it matters.
const MAX_ANSWER: usize = 16 * 1024;

/// Requests under way where each entry has one of its own.
const SENDERS_OF_SINGLE: usize = 4;
