//! `ai-proxy`: answers the calls of a route from one use of an AI provider.
//!
//! The configuration and what it means for a request are in [`crate::ai`]; the pipeline makes the attempt.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use tollgate_resources::Secret;

use super::{Digest, HashKey, Plugin, SchemaType, Scope, Setup, Spec, Unusable};
use crate::ai::catalogue::Provider;
use crate::ai::config::{self, AiProxyConf, Auth, InstanceConf, Limits};
use crate::ai::gcp::Tokens;
use crate::ai::protocol::Protocol;
use crate::ai::semantic::Semantic;
use crate::ai::target::{Asked, Target};
use crate::pool::Pool;
use crate::providers::Credentials;
use crate::snapshot::{Instance, Model, Timeouts};
use crate::upstream::Keep;

/// How the plugin is registered.
pub static SPEC: Spec = Spec {
    name: "ai-proxy",
    priority: 1040,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema,
    check,
    setup,
    secret_fields: config::SECRET_FIELDS,
};

/// A plugin that answers calls from AI providers.
pub struct AiPlugin {
    /// Who can answer, with the limits of an attempt.
    pub model: Arc<Model>,
    /// What instances are chosen by, where they are chosen by a key of the call.
    pub hash_key: Option<HashKey>,
    /// Who is asked first, where that depends on what the prompt is about.
    pub semantic: Option<Semantic>,
    /// Limits and logging.
    pub limits: Limits,
    /// Whether the provider's answer becomes the body of the request to the route's upstream: `passthrough` of the
    /// plugin's first version.
    pub passes_on: bool,
}

/// How one instance of an AI plugin is called.
pub struct AiInstance {
    /// Its configuration.
    pub conf: InstanceConf,
    /// Largest answer, in bytes; `None` is no limit.
    pub max_response_bytes: Option<u64>,
    /// Whether the provider gets to see the client's headers; not in the plugin's first version.
    pub sees_client: bool,
    /// Tokens of Google's accounts.
    pub tokens: Arc<Tokens>,
    /// The account to use where the configuration names none.
    pub gcp_account: Option<Secret>,
}

/// One use of a plugin that answers calls from AI providers.
pub(super) struct AiProxy(pub(super) Arc<AiPlugin>);

impl Plugin for AiProxy {
    fn acts(&self) -> bool {
        false
    }

    fn ai(&self) -> Option<&Arc<AiPlugin>> {
        Some(&self.0)
    }
}

fn schema(of: SchemaType) -> Option<Value> {
    (of == SchemaType::Route).then(config::schemas)
}

fn check(conf: &Value, of: SchemaType) -> Result<(), String> {
    match of {
        SchemaType::Route => config::check(conf, false),
        SchemaType::Consumer | SchemaType::Metadata => Ok(()),
    }
}

fn setup(conf: &Value, setup: &Setup<'_>) -> Result<Arc<dyn Plugin>, Unusable> {
    let normal = config::normalise(conf).map_err(Unusable)?;
    let digest = Digest::of(
        "ai-proxy/instance",
        &[&normal.conf, &normal.legacy.into(), &setup.strict.into()],
    );
    let AiProxyConf { instance, limits } =
        serde_json::from_value(normal.conf).map_err(|error| Unusable(error.to_string()))?;
    let name = format!("ai-proxy-{}", instance.provider.name());
    // Many routes may lead to one place: what their calls need is there once.
    let instance = setup.state.alike(digest, || {
        self::instance(&name, instance, &limits, !normal.legacy, setup)
    })?;
    Ok(Arc::new(AiProxy(Arc::new(AiPlugin {
        model: Arc::new(Model::of_plugin(
            instance.name.clone(),
            Pool::of_one(instance, setup.owner, setup.state),
            timeouts(&limits),
        )),
        hash_key: None,
        semantic: None,
        limits,
        passes_on: normal.passthrough,
    }))))
}

/// An attempt has no limit of its own but that of streams: this is far beyond what a connection lives.
const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The time limits of an attempt.
pub(super) fn timeouts(limits: &Limits) -> Timeouts {
    let each = Duration::from_millis(limits.timeout);
    Timeouts {
        connect: each,
        first_byte: each,
        between_chunks: each,
        total: limits
            .max_stream_duration_ms
            .map_or(NO_LIMIT, Duration::from_millis),
    }
}

/// Compiles one instance.
pub(super) fn instance(
    name: &str,
    conf: InstanceConf,
    limits: &Limits,
    sees_client: bool,
    setup: &Setup<'_>,
) -> Result<Instance, Unusable> {
    let target = Target::resolve(
        &conf,
        &Asked {
            protocol: Protocol::Passthrough,
            model: None,
            streaming: false,
            path: "/",
            query: None,
        },
        setup.strict,
    )
    .map_err(|error| Unusable(error.to_string()))?;
    let mut endpoint = target
        .endpoint(limits.ssl_verify)
        .map_err(|error| Unusable(error.to_string()))?;
    endpoint.keep = Keep {
        size: if limits.keepalive {
            usize::try_from(limits.keepalive_pool).unwrap_or(usize::MAX)
        } else {
            0
        },
        idle: Duration::from_millis(limits.keepalive_timeout),
        ..Keep::default()
    };
    Ok(Instance {
        name: name.into(),
        provider: Provider::billed_by(conf.provider.name(), &endpoint.host),
        model: conf.options.model.clone(),
        endpoint,
        headers: HeaderMap::new(),
        credentials: Credentials::default(),
        options: Vec::new(),
        dialects: Vec::new(),
        embeddings: Vec::new(),
        reranks: Vec::new(),
        secrets: secrets(&conf.auth),
        ai: Some(Arc::new(AiInstance {
            conf,
            max_response_bytes: limits.max_response_bytes,
            sees_client,
            tokens: setup.state.of("ai-proxy/gcp-tokens"),
            gcp_account: std::env::var("GCP_SERVICE_ACCOUNT").ok().map(Secret::from),
        })),
        health: None,
        known: OnceLock::new(),
    })
}

/// What the provider is sent or could tell of the credentials, to be searched for in what it says.
fn secrets(auth: &Auth) -> Vec<Secret> {
    let aws = auth.aws.iter();
    let aws = aws.flat_map(|key| [Some(&key.secret_access_key), key.session_token.as_ref()]);
    auth.header
        .values()
        .chain(auth.query.values())
        .chain(aws.flatten())
        .map(|value| Secret::from(value.expose().to_owned()))
        .collect()
}
