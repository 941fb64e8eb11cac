//! The resource model: what a configuration means, whichever way it was written.
//!
//! Every front end lowers into [`Resources`]; the gateway compiles them into a snapshot and runs that. The shape follows
//! APISIX (routes carry plugins, consumers carry credentials), because most ways of describing a gateway already speak it.
//! Values here are checked and complete: defaults are filled in, names resolve, text is parsed. What still names something
//! outside (an environment variable, a certificate file) is kept as a reference, so that a dump never shows a secret.
//!
//! Later kinds (services, upstreams, consumer groups, plugin configs, global rules, ssls) become further fields of
//! [`Resources`], and later plugins further fields of [`Plugins`].

mod access_log;
mod admin;
mod ai_auth;
mod ai_models;
mod consumer;
mod governance;
mod instance;
mod logging;
mod metrics;
mod prices;
mod responses;
mod route;
mod server;
mod timeouts;
mod traces;
mod usage;

use serde::Serialize;

pub use access_log::{AccessLog, LogFormat, LogPath};
pub use admin::{
    Admin, AdminKey, AdminRole, AdminTls, ConfigProvider, Deployment, History, Oidc, RealIp, SessionTimes,
    StandaloneFormat, TrustedCertificates,
};
pub use ai_auth::{AiAuth, DEFAULT_KEY_HEADERS};
pub use ai_models::{AiModels, Compat, DEFAULT_FALLBACK_STATUSES, FallbackOn, Model, OnLoss};
pub use consumer::{Consumer, ModelAccess};
pub use governance::{
    Amount, Budget, FormerSecret, Governance, KeyHash, Limit, OnDown, Period, Rate, Subject, Team,
    VirtualKey, Webhook, Window,
};
pub use instance::{Dialect, Instance, Provider, SIMULATED_SCHEME, Signing, UpstreamTls};
pub use logging::{
    HttpLog, KafkaLog, KafkaMechanism, KafkaSasl, LogAcks, LogBatch, LogPlace, Logger, Logging,
};
pub use metrics::{MetricAttributes, MetricLabels, Metrics, PrometheusAttributes};
pub use prices::{LongPrice, OnUnknownPrice, OwnPrice, Price, PriceRates, PriceSettings, ProviderPrices};
pub use responses::{HostPort, Redis, RedisServers, Responses, ResponsesHome};
pub use route::{Plugins, Route, UriPattern};
pub use server::{Egress, Https, Server, ServerTls, TlsVersion};
pub use timeouts::Timeouts;
pub use traces::{Collector, OtlpProtocol, Traces};
pub use usage::{Usage, UsageStore};

/// All resources of one configuration: what every front end lowers into.
///
/// Serialises in a stable order and without secrets, for `tollgate dump`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Resources {
    /// Which calls are served and what happens to them, in the order they were written.
    pub routes: Vec<Route>,
    /// Who may call, in the order they were written.
    pub consumers: Vec<Consumer>,
    /// The bootstrap part: sockets, limits and logs of the process itself.
    pub server: Server,
    /// Where conversations of OpenAI's Responses API are kept.
    #[serde(skip_serializing_if = "Responses::is_default")]
    pub responses: Responses,
    /// What log entries tell of model calls, and the loggers that hear of all calls.
    #[serde(skip_serializing_if = "Logging::is_default")]
    pub logging: Logging,
    /// What is traced, and where that goes; `None` is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// What models cost by the operator's word.
    #[serde(skip_serializing_if = "PriceSettings::is_default")]
    pub prices: PriceSettings,
    /// Where usage of calls is kept.
    #[serde(skip_serializing_if = "Usage::is_default")]
    pub usage: Usage,
    /// How calls are counted for Prometheus, and where the numbers are told.
    #[serde(skip_serializing_if = "Metrics::is_default")]
    pub metrics: Metrics,
    /// Teams, and what consumers and teams may spend.
    #[serde(skip_serializing_if = "Governance::is_default")]
    pub governance: Governance,
    /// The Admin API that the file asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
}
