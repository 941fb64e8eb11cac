//! The shape of `tollgate.yaml`. These types are its only description: they read the file, and its JSON Schema with all
//! descriptions is made from them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::admin::AdminEntry;
use super::choice::{AccessEntry, AuthEntry, OneOrMore};
use super::governance::{BudgetEntry, GovernanceEntry, LimitEntry, OneOrMany, TeamEntry};
use super::logging::{LoggerEntry, LoggingEntry};
use super::prices::PricesEntry;
use super::traces::TracesEntry;
use super::units::{Age, Duration, Size};
use super::usage::UsageEntry;
use crate::json::Json;
use crate::model::{Compat, Dialect, OnLoss, Provider, ResponsesHome};
use crate::named::Named;
use crate::secret::SecretRef;

/// The configuration of Tollgate: which models it serves, where they come from, and who may use them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tollgate.yaml")]
pub(crate) struct File {
    /// The models clients may ask for, by the name they use. `*` in a name stands for any run of characters; an exact
    /// name beats one with `*`, and more literal text beats less.
    #[serde(default)]
    pub(crate) models: Named<ModelEntry>,
    /// Where models come from, by a name of your choice. `openai`, `anthropic`, `gemini`, `vertex`, `bedrock`, `cohere` and
    /// `simulated` are there without being written; writing them changes their settings.
    #[serde(default)]
    pub(crate) providers: Named<ProviderEntry>,
    /// Who may call, by name.
    #[serde(default)]
    pub(crate) consumers: Named<ConsumerEntry>,
    /// Teams of consumers, which share models, budgets and limits, by id.
    #[serde(default)]
    pub(crate) teams: Named<TeamEntry>,
    /// How spending is counted, and who is told of it.
    pub(crate) governance: Option<GovernanceEntry>,
    /// How the gateway finds out who is calling. Default: `key` when there are consumers, else `none`.
    pub(crate) auth: Option<AuthEntry>,
    /// What to do when a provider cannot express a part of a request. Default: `lenient`.
    pub(crate) on_loss: Option<OnLoss>,
    /// Whose manners the answers have, where they differ from Tollgate's own. Default: `none`.
    pub(crate) compat: Option<Compat>,
    /// Sockets, limits and logs of the process itself.
    #[serde(default)]
    pub(crate) server: ServerEntry,
    /// Where conversations of OpenAI's Responses API are kept.
    pub(crate) responses: Option<ResponsesEntry>,
    /// What log entries tell of model calls.
    pub(crate) logging: Option<LoggingEntry>,
    /// Loggers that are told of all calls.
    #[serde(default)]
    pub(crate) loggers: Vec<LoggerEntry>,
    /// Traces of calls for OpenTelemetry. Default: calls are not traced.
    pub(crate) traces: Option<TracesEntry>,
    /// What models cost, and what happens to calls whose price is not known.
    pub(crate) prices: Option<PricesEntry>,
    /// Where usage of calls is kept, and for how long.
    pub(crate) usage: Option<UsageEntry>,
    /// How calls are counted for Prometheus, and where the numbers are told.
    pub(crate) metrics: Option<MetricsEntry>,
    /// The Admin API, for changes while the gateway runs, and the dashboard. Default: none, but with `tollgate run --admin`.
    pub(crate) admin: Option<AdminEntry>,
}

/// A model: who serves it, and what happens when that fails. Needs `provider` or `instances`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelEntry {
    /// Name of the provider that serves the model.
    pub(crate) provider: Option<String>,
    /// The model's name at the provider. Default: the name the client asked for.
    pub(crate) model: Option<String>,
    /// Several providers, accounts or endpoints that serve the model, instead of `provider`. Load is spread by weight,
    /// and when one fails the others are tried.
    pub(crate) instances: Option<Vec<InstanceEntry>>,
    /// Names of other models, tried in this order when this one fails. Their own fallbacks are not followed.
    #[serde(default)]
    pub(crate) fallback: Vec<String>,
    /// Statuses of a provider's answer after which the next instance or fallback is tried. No connection and no answer
    /// in time always are. Default: 408, 409, 429, 500, 502, 503, 504, 529.
    pub(crate) fallback_on: Option<Vec<u16>>,
    /// How long an attempt may take.
    #[serde(default)]
    pub(crate) timeouts: TimeoutsEntry,
    /// Members set in the body of every request, over what the client sent, such as `temperature`.
    #[serde(default)]
    pub(crate) options: Named<Json>,
    /// What to do when a provider cannot express a part of a request. Default: as at the top of the file.
    pub(crate) on_loss: Option<OnLoss>,
    /// Output limit in tokens that is sent when the provider demands one and the client gave none.
    pub(crate) max_output_tokens: Option<u64>,
}

/// One of several that serve a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstanceEntry {
    /// Name of the instance in logs and metrics; unique within its model. Default: the provider's name, with a number
    /// when it is taken.
    pub(crate) name: Option<String>,
    /// Name of the provider.
    pub(crate) provider: String,
    /// The model's name at this provider. Default: the name the client asked for.
    pub(crate) model: Option<String>,
    /// Share of the calls relative to the other instances. 0: only when all others failed. Default: 1.
    pub(crate) weight: Option<u32>,
    /// Members set in the body of every request, over those of the model.
    #[serde(default)]
    pub(crate) options: Named<Json>,
}

/// How long an attempt at a provider may take. Running into a limit counts as a failure.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeoutsEntry {
    /// Name resolution, TCP and TLS together. Default: `5s`.
    pub(crate) connect: Option<Duration>,
    /// From the request being sent to the first byte of the answer's body. An answer that is not streamed has its first
    /// byte when the model is done. Default: `10m`.
    pub(crate) first_byte: Option<Duration>,
    /// Between two chunks of an answer. Default: `1m`.
    pub(crate) between_chunks: Option<Duration>,
    /// The whole attempt. Default: `10m`.
    pub(crate) total: Option<Duration>,
}

/// Where models come from: an account at a vendor, or a server of your own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderEntry {
    /// Whose API it speaks. Default: the provider's name, when it is one of these words.
    pub(crate) kind: Option<Provider>,
    /// The key. For `vertex` the JSON of a service account, or an API key. Default: `$env://OPENAI_API_KEY` for `openai`,
    /// `$env://ANTHROPIC_API_KEY` for `anthropic`, `$env://GEMINI_API_KEY` for `gemini`, `$env://GCP_SERVICE_ACCOUNT` for
    /// `vertex`, `$env://AWS_BEARER_TOKEN_BEDROCK` for `bedrock`, `$env://COHERE_API_KEY` for `cohere`,
    /// `$env://AZURE_OPENAI_API_KEY` for `azure`, none for the others.
    pub(crate) key: Option<SecretRef>,
    /// An Amazon key that requests to `bedrock` are signed with, instead of `key`.
    pub(crate) aws: Option<AwsEntry>,
    /// Amazon's region for `bedrock`, Google's location for `vertex`. Default: `$env://AWS_REGION`,
    /// `$env://GOOGLE_CLOUD_LOCATION`.
    pub(crate) region: Option<SecretRef>,
    /// Google's project, for `vertex`. Default: `$env://GOOGLE_CLOUD_PROJECT`.
    pub(crate) project: Option<SecretRef>,
    /// Base address, to which the path of a call is added, such as `/chat/completions`, `/messages` or
    /// `/models/{model}:generateContent`. `azure` and `openai-compatible` need it. For `simulated`: `simulated:`,
    /// optionally with `?name=value&…`.
    pub(crate) endpoint: Option<String>,
    /// Further headers of every request.
    #[serde(default)]
    pub(crate) headers: Named<SecretRef>,
    /// When an environment variable it needs is not set: `true` leaves the provider's models out, `false` is a mistake.
    /// Default: `false`.
    #[serde(default)]
    pub(crate) optional: bool,
    /// How the connection is secured.
    #[serde(default)]
    pub(crate) tls: ProviderTlsEntry,
    /// Whether calls share connections of HTTP/2, if it speaks that; without TLS it has to. Default: `false`, each call has a
    /// connection of HTTP/1.1 while it lasts.
    #[serde(default)]
    pub(crate) http2: bool,
    /// Wire formats it understands, preferred first. Default: what its kind understands.
    pub(crate) dialects: Option<Vec<Dialect>>,
}

/// An Amazon key that requests are signed with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsEntry {
    /// Id of the key.
    pub(crate) access_key_id: SecretRef,
    /// The key.
    pub(crate) secret_access_key: SecretRef,
    /// Token of temporary keys.
    pub(crate) session_token: Option<SecretRef>,
}

/// How a connection of the gateway is secured.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderTlsEntry {
    /// PEM file of the authorities to trust instead of the public ones.
    pub(crate) ca_file: Option<String>,
    /// `false` accepts any certificate: for tests only, because anyone on the way may then read the key. Default: `true`.
    pub(crate) verify: Option<bool>,
}

/// Somebody who calls: a person, a team or an application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsumerEntry {
    /// The key the consumer sends.
    pub(crate) key: Option<SecretRef>,
    /// Several keys, instead of `key`: the old and the new one while they change.
    pub(crate) keys: Option<Vec<SecretRef>>,
    /// Models the consumer may use: names, patterns with `*`, or a map with a fallback of its own. The first that
    /// matches counts. `["*"]` allows all.
    pub(crate) models: Vec<AccessEntry>,
    /// Free text for reports, such as `team: search`.
    #[serde(default)]
    pub(crate) labels: Named<String>,
    /// The team it belongs to.
    pub(crate) team: Option<String>,
    /// What it may spend, such as `{usd: 50, per: month}`.
    pub(crate) budget: Option<BudgetEntry>,
    /// Several budgets, instead of `budget`.
    #[serde(default)]
    pub(crate) budgets: Vec<BudgetEntry>,
    /// How often, how much or how many at once: `{tokens: 100000, per: minute}`, or a list of such limits.
    #[serde(default)]
    pub(crate) limits: OneOrMany<LimitEntry>,
}

/// Models a consumer may use, with a fallback of their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessDetail {
    /// Name of a model, or a pattern with `*`.
    pub(crate) name: String,
    /// Names of models tried for this consumer instead of the model's own fallback; `[]` for none. The consumer need
    /// not be allowed to ask for them.
    pub(crate) fallback: Option<Vec<String>>,
}

/// A header that names the consumer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthByHeader {
    /// Name of the header, such as `X-User`. Nothing is verified: whoever can reach the gateway can be anyone, so
    /// something in front of it has to set the header itself.
    pub(crate) header: String,
}

/// Sockets, limits and logs of the process itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerEntry {
    /// Address to listen on, or several: IP address and port. Default: `127.0.0.1:8080`, which only this machine reaches.
    pub(crate) listen: Option<OneOrMore>,
    /// Certificate of the listeners. Default: none, plain HTTP.
    pub(crate) tls: Option<ServerTlsEntry>,
    /// Longest request body. Default: `32MiB`.
    pub(crate) max_body: Option<Size>,
    /// Longest request head. Default: `64KiB`.
    pub(crate) max_header: Option<Size>,
    /// Most header lines in a request. Default: 100.
    pub(crate) max_headers: Option<u64>,
    /// Longest path and query of a request. Default: `8KiB`.
    pub(crate) max_uri: Option<Size>,
    /// Most clients that are connected at once. Default: 65536, or fewer if the process may not open enough files.
    pub(crate) max_connections: Option<u64>,
    /// Most calls at once on one HTTP/2 connection. Default: 200.
    pub(crate) max_streams: Option<u64>,
    /// Wrong keys of one address in a minute that are answered with 401; further ones are answered with 429. A right key is
    /// served all the same. 0 counts none. Default: 1000.
    pub(crate) max_wrong_keys: Option<u64>,
    /// Where the gateway may connect to.
    pub(crate) egress: Option<EgressEntry>,
    /// How long a client may take for the TLS handshake. Default: `10s`.
    pub(crate) handshake_timeout: Option<Duration>,
    /// How long a client may take to send the head of a request. Default: `30s`.
    pub(crate) header_timeout: Option<Duration>,
    /// How long a client may take to send the body of a request. Default: `1m`.
    pub(crate) body_timeout: Option<Duration>,
    /// How long a connection may stay open between two requests. Default: `75s`.
    pub(crate) idle_timeout: Option<Duration>,
    /// How long a client may take nothing of an answer. Default: `1m`.
    pub(crate) send_timeout: Option<Duration>,
    /// Whether a client that has ended its side of the connection still gets its answer. Default: `false`, it has left.
    pub(crate) half_close: Option<bool>,
    /// How long a client of a stream may get nothing before it is told that the answer is still to come. Default: `15s`.
    pub(crate) keep_alive: Option<Duration>,
    /// How long calls in flight may go on after the process was told to stop. Default: `30s`.
    pub(crate) drain: Option<Duration>,
    /// How long a new process may take until it serves, when the binary is exchanged by `tollgate upgrade`. Default: `1m`.
    pub(crate) upgrade_timeout: Option<Duration>,
    /// How long calls of the old process may go on after an upgrade. Default: `1h`.
    pub(crate) upgrade_drain: Option<Duration>,
    /// Most memory of the process: calls are refused before it is reached. Default: the limit of its control group, if any.
    pub(crate) max_memory: Option<Size>,
    /// Most calls under way at once; further ones are refused with 503. Default: any number.
    pub(crate) max_calls: Option<u64>,
    /// Number of worker threads. Default: one per core.
    pub(crate) workers: Option<u64>,
    /// One line per call.
    pub(crate) access_log: Option<AccessLogEntry>,
}

/// Where the gateway may connect to. Each entry of a list is an IP address, a network such as `10.0.0.0/8`, a name, or `*.` and
/// a name for all below it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EgressEntry {
    /// What may be reached by objects, such as those of the Admin API. What this file names itself may be reached all the
    /// same. Default: everything.
    pub(crate) allow: Option<Vec<String>>,
    /// What may be reached by nothing. Default: nothing.
    #[serde(default)]
    pub(crate) deny: Vec<String>,
    /// Whether metadata services of clouds may be reached, which give credentials to whoever asks: link-local addresses and a
    /// few more. Default: `false`.
    #[serde(default)]
    pub(crate) metadata: bool,
}

/// Certificate of the listeners.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTlsEntry {
    /// PEM file with the certificate chain, leaf first.
    pub(crate) cert_file: String,
    /// PEM file with the private key.
    pub(crate) key_file: String,
}

/// One line per call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessLogEntry {
    /// `stdout`, `off`, or a file. Default: `stdout`.
    pub(crate) path: Option<String>,
    /// `default` (one readable line), `json`, `combined`, or a text with `$variables` as in NGINX's `log_format`.
    pub(crate) format: Option<String>,
}

/// Where conversations of OpenAI's Responses API are kept, so that clients can go on with `previous_response_id` at any
/// provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponsesEntry {
    /// Where. Default: `embedded` if a data directory was named, `redis` if `redis` is written, else `memory`.
    pub(crate) store: Option<ResponsesHome>,
    /// How long after its last turn a conversation is kept. Default: `30d`.
    pub(crate) ttl: Option<Age>,
    /// Size of all of them together, in the file or in memory; when it is reached, the oldest turns of the consumer that
    /// has most are removed. Default: `1GiB` in the file, `64MiB` in memory.
    pub(crate) max_size: Option<Size>,
    /// Size of one turn; a longer one is not kept. Default: `16MiB`.
    pub(crate) max_turn: Option<Size>,
    /// Where Redis is.
    pub(crate) redis: Option<RedisEntry>,
}

/// How calls are counted for Prometheus, and where the numbers are told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsEntry {
    /// Address and port that tell the numbers at `/metrics`, such as `127.0.0.1:9091`, to everybody who can connect to it.
    /// Default: none; the Admin API's port tells them too.
    pub(crate) listen: Option<String>,
    /// Which labels calls are counted by.
    pub(crate) labels: Option<MetricLabelsEntry>,
    /// Different names of models that are counted apart; those that come later are counted as `other`. Default: 500.
    pub(crate) max_models: Option<u64>,
    /// Series of each metric of calls at most; what comes later is counted together. Default: 2000.
    pub(crate) max_series: Option<u64>,
    /// After what time a series of calls that does not change is forgotten. Default: `2d`.
    pub(crate) expire: Option<Age>,
}

/// Which labels calls are counted by. A label that is switched off is empty.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricLabelsEntry {
    /// The consumer. Default: true.
    pub(crate) consumer: Option<bool>,
    /// The model that the client asks for. Default: true.
    pub(crate) model: Option<bool>,
    /// The model that the provider is asked for. Default: true.
    pub(crate) upstream_model: Option<bool>,
    /// The instance of an attempt. Default: true.
    pub(crate) instance: Option<bool>,
}

/// Where Redis is: a single server, a cluster, or the master that sentinels name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisEntry {
    /// A single server, as `host:port`.
    pub(crate) address: Option<String>,
    /// A cluster: some of its nodes, as `host:port`.
    pub(crate) cluster: Option<Vec<String>>,
    /// Some of the sentinels, as `host:port`.
    pub(crate) sentinels: Option<Vec<String>>,
    /// The name by which the sentinels know the master.
    pub(crate) master: Option<String>,
    /// The user who signs in. Default: Redis' default user.
    pub(crate) username: Option<String>,
    /// The password. Default: nobody signs in.
    pub(crate) password: Option<SecretRef>,
    /// The user who signs in at the sentinels.
    pub(crate) sentinel_username: Option<String>,
    /// The password at the sentinels.
    pub(crate) sentinel_password: Option<SecretRef>,
    /// Number of the database. Default: 0.
    pub(crate) database: Option<u32>,
    /// How long an answer is waited for, connecting included. Default: `1s`.
    pub(crate) timeout: Option<Duration>,
    /// How connections are secured. Default: not at all.
    pub(crate) tls: Option<ProviderTlsEntry>,
}
