//! The shape of `adc.yaml`. Reading uses ADC's names; writing uses those of the Admin API, and leaves out what has objects
//! of its own there. Defaults are those that ADC fills in before it sends anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::checked::{
    AnyWhole, Conf, Id, LONG, Label, Name, Network, Pem, Port, Seconds, Some1, SomeSeconds, Text, Username,
    Whole,
};

/// Configurations of plugins by name.
pub(super) type Plugins = BTreeMap<String, Conf>;
pub(super) type Labels = BTreeMap<String, Label>;
pub(super) type Description = Text<0, LONG>;

/// The whole file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) services: Option<Vec<Service>>,
    pub(super) ssls: Option<Vec<Ssl>>,
    pub(super) consumers: Option<Vec<Consumer>>,
    pub(super) consumer_groups: Option<Vec<ConsumerGroup>>,
    pub(super) global_rules: Option<Plugins>,
    pub(super) plugin_metadata: Option<Plugins>,
}

/// What several routes share.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) id: Option<Id>,
    pub(super) name: Name,
    #[serde(rename(serialize = "desc"))]
    description: Option<Description>,
    labels: Option<Labels>,
    #[serde(skip_serializing)]
    pub(super) upstream: Option<Upstream>,
    #[serde(skip_serializing)]
    pub(super) upstreams: Option<Vec<NamedUpstream>>,
    plugins: Option<Plugins>,
    #[serde(skip_serializing)]
    pub(super) path_prefix: Option<String>,
    #[serde(skip_serializing)]
    pub(super) strip_path_prefix: Option<bool>,
    hosts: Option<Vec<Name>>,
    #[serde(skip_serializing)]
    pub(super) routes: Option<Vec<Route>>,
    #[serde(skip_serializing)]
    pub(super) stream_routes: Option<Vec<StreamRoute>>,
}

/// Which calls are served, and how.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) id: Option<Id>,
    pub(super) name: Name,
    #[serde(rename(serialize = "desc"))]
    description: Option<Description>,
    labels: Option<Labels>,
    hosts: Option<Vec<Name>>,
    uris: Some1<String>,
    priority: Option<AnyWhole>,
    timeout: Option<Timeout>,
    vars: Option<Vec<Value>>,
    methods: Option<Some1<Method>>,
    enable_websocket: Option<bool>,
    remote_addrs: Option<Vec<Network>>,
    plugins: Option<Plugins>,
    filter_func: Option<String>,
}

/// A route of TCP or UDP streams.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamRoute {
    #[serde(skip_serializing)]
    pub(super) id: Option<Id>,
    /// The Admin API has no name here; it becomes a label.
    #[serde(skip_serializing)]
    pub(super) name: Name,
    #[serde(rename(serialize = "desc"))]
    description: Option<Description>,
    labels: Option<Labels>,
    plugins: Option<Plugins>,
    remote_addr: Option<String>,
    server_addr: Option<String>,
    server_port: Option<Port>,
    sni: Option<Name>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
    Connect,
    Trace,
    Purge,
}

/// Time limits in seconds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeout {
    connect: SomeSeconds,
    send: SomeSeconds,
    read: SomeSeconds,
}

/// The fields of an upstream. A macro, because `deny_unknown_fields` and `flatten` do not go together, and a further
/// upstream has an id and must have a name.
macro_rules! upstream {
    ($(#[$meta:meta])* $type:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $type {
            $($own)*
            #[serde(rename(serialize = "desc"))]
            description: Option<Description>,
            labels: Option<Labels>,
            #[serde(default, rename = "type")]
            balancer: Balancer,
            hash_on: Option<String>,
            key: Option<String>,
            checks: Option<Checks>,
            pub(super) nodes: Option<Vec<Node>>,
            #[serde(default)]
            scheme: Scheme,
            retries: Option<Whole<0, 65535>>,
            retry_timeout: Option<Seconds>,
            timeout: Option<Timeout>,
            tls: Option<UpstreamTls>,
            keepalive_pool: Option<KeepalivePool>,
            #[serde(default)]
            pass_host: PassHost,
            upstream_host: Option<Name>,
            pub(super) service_name: Option<String>,
            pub(super) discovery_type: Option<String>,
            discovery_args: Option<Map<String, Value>>,
        }

        impl $type {
            /// Whether it says in exactly one way where its servers are.
            pub(super) fn knows_its_servers(&self) -> bool {
                let discovery = (self.discovery_type.is_some(), self.service_name.is_some());
                match &self.nodes {
                    Some(_) => discovery == (false, false),
                    None => discovery == (true, true),
                }
            }
        }
    };
}

upstream! {
    /// Where the calls of a service go.
    Upstream {
        /// Read and not kept: on the server it has the service's name.
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "only checked")]
        name: Option<Name>,
    }
}

upstream! {
    /// One more upstream of a service, for plugins that name it.
    NamedUpstream {
        #[serde(skip_serializing)]
        pub(super) id: Option<Id>,
        pub(super) name: Name,
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Balancer {
    #[default]
    Roundrobin,
    Chash,
    LeastConn,
    Ewma,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    Grpc,
    Grpcs,
    #[default]
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
    Kafka,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum PassHost {
    #[default]
    Pass,
    Node,
    Rewrite,
}

/// A server.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    host: Name,
    port: Port,
    weight: Whole<0, { i64::MAX }>,
    #[serde(default = "zero")]
    priority: AnyWhole,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct UpstreamTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<bool>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeepalivePool {
    #[serde(default = "pool_size")]
    size: Whole<1, { i64::MAX }>,
    #[serde(default = "pool_idle_timeout")]
    idle_timeout: Seconds,
    #[serde(default = "pool_requests")]
    requests: Whole<1, { i64::MAX }>,
}

/// Health checks. Passive ones only work beside active ones.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    active: ActiveCheck,
    #[serde(skip_serializing_if = "Option::is_none")]
    passive: Option<PassiveCheck>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ActiveCheck {
    #[serde(default, rename = "type")]
    protocol: CheckProtocol,
    #[serde(default = "one_second")]
    timeout: Seconds,
    #[serde(default = "ten")]
    concurrency: Whole<0, { i64::MAX }>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
    #[serde(default = "root")]
    http_path: String,
    #[serde(default = "yes")]
    https_verify_certificate: bool,
    /// ADC sends this name, which the Admin API refuses; its name there is `req_headers`.
    #[serde(rename(serialize = "req_headers"), skip_serializing_if = "Option::is_none")]
    http_request_headers: Option<Some1<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<ActiveHealthy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unhealthy: Option<ActiveUnhealthy>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PassiveCheck {
    #[serde(default, rename = "type")]
    protocol: CheckProtocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<PassiveHealthy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unhealthy: Option<PassiveUnhealthy>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckProtocol {
    #[default]
    Http,
    Https,
    Tcp,
}

type Statuses = Some1<Whole<200, 599>>;
type Times = Whole<1, 254>;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ActiveHealthy {
    #[serde(default = "healthy_statuses")]
    http_statuses: Statuses,
    #[serde(default = "two")]
    successes: Times,
    #[serde(default = "one")]
    interval: Whole<1, { i64::MAX }>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PassiveHealthy {
    #[serde(default = "healthy_statuses")]
    http_statuses: Statuses,
    #[serde(default = "two")]
    successes: Times,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ActiveUnhealthy {
    #[serde(default = "unhealthy_statuses")]
    http_statuses: Statuses,
    #[serde(default = "five")]
    http_failures: Times,
    #[serde(default = "two")]
    tcp_failures: Times,
    #[serde(default = "three")]
    timeouts: Times,
    #[serde(default = "one")]
    interval: Whole<1, { i64::MAX }>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PassiveUnhealthy {
    #[serde(default = "unhealthy_statuses")]
    http_statuses: Statuses,
    #[serde(default = "five")]
    http_failures: Times,
    #[serde(default = "two")]
    tcp_failures: Times,
    #[serde(default = "three")]
    timeouts: Times,
}

/// Somebody who calls.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consumer {
    pub(super) username: Username,
    #[serde(rename(serialize = "desc"))]
    description: Option<Description>,
    labels: Option<Labels>,
    plugins: Option<Plugins>,
    #[serde(skip_serializing)]
    pub(super) credentials: Option<Vec<Credential>>,
}

/// What a consumer proves itself with.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) id: Option<Id>,
    pub(super) name: Name,
    #[serde(rename(serialize = "desc"))]
    description: Option<Description>,
    labels: Option<Labels>,
    #[serde(rename = "type", skip_serializing)]
    pub(super) plugin: CredentialType,
    #[serde(skip_serializing)]
    pub(super) config: Conf,
}

/// The plugins that read credentials.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(super) enum CredentialType {
    #[serde(rename = "key-auth")]
    KeyAuth,
    #[serde(rename = "basic-auth")]
    BasicAuth,
    #[serde(rename = "jwt-auth")]
    JwtAuth,
    #[serde(rename = "hmac-auth")]
    HmacAuth,
}

impl CredentialType {
    const ALL: [CredentialType; 4] = [
        CredentialType::KeyAuth,
        CredentialType::BasicAuth,
        CredentialType::JwtAuth,
        CredentialType::HmacAuth,
    ];

    /// The plugin's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            CredentialType::KeyAuth => "key-auth",
            CredentialType::BasicAuth => "basic-auth",
            CredentialType::JwtAuth => "jwt-auth",
            CredentialType::HmacAuth => "hmac-auth",
        }
    }

    /// Whether a plugin of this name can be the type of a credential.
    pub(super) fn knows(name: &str) -> bool {
        CredentialType::ALL.iter().any(|known| known.name() == name)
    }
}

/// Plugins that several consumers share. Read, and never sent: the Admin API's side of ADC has no place for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only checked")]
pub(super) struct ConsumerGroup {
    id: Option<Id>,
    name: Name,
    description: Option<Description>,
    labels: Option<Labels>,
    plugins: Option<Plugins>,
    consumers: Option<Vec<Consumer>>,
}

/// Certificates of a listener.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ssl {
    pub(super) id: Option<Id>,
    labels: Option<Labels>,
    #[serde(default, rename = "type")]
    role: SslType,
    pub(super) snis: Some1<Name>,
    #[serde(skip_serializing)]
    pub(super) certificates: Some1<Certificate>,
    client: Option<SslClient>,
    ssl_protocols: Option<Some1<SslProtocol>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum SslType {
    #[default]
    Server,
    Client,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) certificate: Pem<128>,
    pub(super) key: Pem<32>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SslClient {
    ca: Pem<128>,
    #[serde(default = "depth")]
    depth: Whole<0, { i64::MAX }>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_mtls_uri_regex: Option<Some1<String>>,
}

#[derive(Deserialize, Serialize)]
enum SslProtocol {
    #[serde(rename = "TLSv1.1")]
    Tls11,
    #[serde(rename = "TLSv1.2")]
    Tls12,
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

fn zero() -> AnyWhole {
    Whole(0)
}

fn depth() -> Whole<0, { i64::MAX }> {
    Whole(1)
}

fn ten() -> Whole<0, { i64::MAX }> {
    Whole(10)
}

fn one() -> Whole<1, { i64::MAX }> {
    Whole(1)
}

fn two() -> Times {
    Whole(2)
}

fn three() -> Times {
    Whole(3)
}

fn five() -> Times {
    Whole(5)
}

fn pool_size() -> Whole<1, { i64::MAX }> {
    Whole(320)
}

fn pool_requests() -> Whole<1, { i64::MAX }> {
    Whole(1000)
}

fn pool_idle_timeout() -> Seconds {
    Seconds::of(60)
}

fn one_second() -> Seconds {
    Seconds::of(1)
}

fn root() -> String {
    "/".to_owned()
}

fn yes() -> bool {
    true
}

fn healthy_statuses() -> Statuses {
    Some1([200, 302].map(Whole).to_vec())
}

fn unhealthy_statuses() -> Statuses {
    Some1([429, 404, 500, 501, 502, 503, 504, 505].map(Whole).to_vec())
}
