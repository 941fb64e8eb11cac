//! The compiled form of all resources: immutable, resolved, ready to run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use tollgate_dialects::{Capabilities, Dialect, embeddings, rerank};
use tollgate_policy::balance::Algorithm;
use tollgate_policy::health::Settings;
use tollgate_policy::{KeyIndex, RetryLimits, RouteTable};
use tollgate_resources::model::{self, AiAuth, Compat, OnLoss};
use tollgate_resources::{Glob, Resources, Secret, SecretRef};

use crate::ai::catalogue::Provider;
use crate::ai::config::{AwsAuth, GcpAuth};
use crate::health::{Duty, OnDuty};
use crate::manners::Manners;
use crate::objects::Plane;
use crate::plugins::{AiInstance, SharedState};
use crate::pool::{Entry, Pool, Retry, Rules, with_spares};
use crate::providers::simulated::Profile;
use crate::providers::{Credentials, OUR_NAME};
use crate::upstream::{Endpoint, EndpointError, Scheme, TlsSettings};

/// Something in the resources that cannot run.
#[derive(Debug, Error)]
#[error("{path}: {problem}")]
pub struct CompileError {
    /// Where, such as `models.gpt-5.instances[0]`.
    pub path: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// What the gateway runs: the configuration's own models, and the objects of the Admin API. Calls in flight keep the one
/// they started on.
#[derive(Clone)]
pub struct Snapshot {
    /// What the configuration describes.
    pub native: Arc<Native>,
    /// What the Admin API's objects describe.
    pub plane: Plane,
}

/// The configuration's own resources, compiled.
pub struct Native {
    table: RouteTable,
    routes: Vec<Arc<Route>>,
    consumers: Vec<Arc<Consumer>>,
    by_name: HashMap<String, usize>,
    keys: KeyIndex,
    /// Largest request body in bytes.
    pub max_body_bytes: u64,
    /// How long a client may take to send a request body.
    pub body_timeout: Duration,
    /// How long a client of a stream may get nothing.
    pub keep_alive: Duration,
    /// Whether there are routes at all.
    pub has_routes: bool,
    /// Whether calls come in all dialects, so that even an unknown path is told so in the dialect it looks like.
    pub serves_all_dialects: bool,
}

/// Who may call.
pub struct Consumer {
    /// Its name in logs.
    pub name: Arc<str>,
    /// Which models it may use, first match counts.
    pub access: Vec<model::ModelAccess>,
}

impl Consumer {
    /// The entry that lets the consumer use a model; `None` if it may not.
    pub fn access_to(&self, model: &str) -> Option<&model::ModelAccess> {
        self.access.iter().find(|access| access.name.matches(model))
    }
}

/// One route.
pub struct Route {
    /// Its id in logs.
    pub id: Arc<str>,
    /// Allowed methods in upper case; empty means all.
    pub methods: Vec<String>,
    /// How callers are identified.
    pub auth: AiAuth,
    /// The headers in which callers show a key.
    pub key_headers: Vec<HeaderName>,
    /// The models served.
    pub models: Models,
}

/// The models of a route.
pub struct Models {
    exact: HashMap<String, Arc<Model>>,
    globs: Vec<(Glob, Arc<Model>)>,
    /// Public names in the order they were written.
    pub names: Vec<String>,
    /// Whose manners the answers have.
    pub compat: Compat,
}

/// One public model.
pub struct Model {
    /// Its public name (or glob).
    pub name: Arc<str>,
    /// Who can serve it.
    pub pool: Pool,
    /// Other models to try.
    pub fallback: Vec<String>,
    /// Time limits of an attempt.
    pub timeouts: Timeouts,
    /// What to do with what cannot be translated.
    pub on_loss: OnLoss,
    /// `max_tokens` where the provider demands it and the client gave none.
    pub max_output_tokens: Option<u64>,
}

/// Time limits of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Names, TCP and TLS together.
    pub connect: Duration,
    /// From sending the request to the head of the answer.
    pub first_byte: Duration,
    /// Silence within an answer.
    pub between_chunks: Duration,
    /// The whole attempt.
    pub total: Duration,
}

/// One provider account, model and endpoint that can serve a call.
pub struct Instance {
    /// Its name in logs and headers.
    pub name: Arc<str>,
    /// Whose API it is, as the log names it.
    pub provider: &'static str,
    /// The model's name at the provider; `None`: the name the client used.
    pub model: Option<String>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Headers sent with every request, credentials included (marked sensitive), `host` too; nothing where the AI plugins make
    /// them for each call.
    pub headers: HeaderMap,
    /// Credentials that are made anew for a request.
    pub credentials: Credentials,
    /// Members set in every request body: name and JSON text.
    pub options: Vec<(String, String)>,
    /// Chat dialects it understands, preferred first.
    pub dialects: Vec<Dialect>,
    /// Dialects of embeddings it understands, preferred first.
    pub embeddings: Vec<embeddings::Dialect>,
    /// Dialects of reranking it understands, preferred first.
    pub reranks: Vec<rerank::Dialect>,
    /// Secrets that must not appear in what a client sees.
    pub secrets: Vec<Secret>,
    /// How an instance of APISIX's AI plugins is called; `None` for those of the configuration's own models.
    pub ai: Option<Arc<AiInstance>>,
    /// What is known of its health; `None` where nobody asks.
    pub health: Option<Arc<OnDuty>>,
    /// What the model accepts, as it is generally known: the first one that was asked about.
    pub known: OnceLock<(String, Capabilities)>,
}

impl Instance {
    /// What the model of this name accepts, as it is generally known. Instances are asked for one model mostly.
    pub fn capabilities(&self, upstream_model: &str) -> Cow<'_, Capabilities> {
        let find = || Capabilities::of(upstream_model);
        let (model, known) = self.known.get_or_init(|| (upstream_model.to_owned(), find()));
        if model == upstream_model {
            Cow::Borrowed(known)
        } else {
            Cow::Owned(find())
        }
    }
}

impl Native {
    /// Compiles resources: resolves secrets, parses addresses, reads certificate files, builds indexes.
    ///
    /// # Errors
    /// All reasons why the resources cannot run.
    pub(crate) fn compile(
        resources: &Resources,
        env: &dyn Fn(&str) -> Option<String>,
        pepper: &[u8; 32],
        state: &SharedState,
    ) -> Result<Self, Vec<CompileError>> {
        let mut compiler = Compiler {
            env,
            state,
            errors: Vec::new(),
        };
        let mut snapshot = Native {
            table: RouteTable::default(),
            routes: Vec::new(),
            consumers: Vec::new(),
            by_name: HashMap::new(),
            keys: KeyIndex::new(pepper),
            max_body_bytes: resources.server.max_body_bytes,
            body_timeout: Duration::from_millis(resources.server.body_timeout_ms),
            keep_alive: Duration::from_millis(resources.server.keep_alive_ms),
            has_routes: !resources.routes.is_empty(),
            serves_all_dialects: resources.routes.iter().any(|route| {
                let models = route.plugins.ai_models.as_ref();
                models.is_some_and(|models| models.compat == Compat::None)
            }),
        };
        for consumer in &resources.consumers {
            let number = snapshot.consumers.len();
            let path = format!("consumers.{}", consumer.username);
            for key in &consumer.keys {
                let Some(key) = compiler.resolve(&path, key) else {
                    continue;
                };
                if snapshot
                    .keys
                    .insert(key.expose(), number)
                    .is_some_and(|other| other != number)
                {
                    compiler.fail(
                        &path,
                        "this key belongs to another consumer too; give each its own",
                    );
                }
            }
            snapshot.by_name.insert(consumer.username.clone(), number);
            snapshot.consumers.push(Arc::new(Consumer {
                name: consumer.username.as_str().into(),
                access: consumer.access.clone(),
            }));
        }
        for route in &resources.routes {
            let number = snapshot.routes.len();
            for pattern in &route.uris {
                snapshot.table.insert(pattern, number);
            }
            let route = compiler.route(route);
            snapshot.routes.push(Arc::new(route));
        }
        if compiler.errors.is_empty() {
            Ok(snapshot)
        } else {
            Err(compiler.errors)
        }
    }

    /// The route for a path and method. `Err(true)` if a route has the path but not the method.
    pub fn route(&self, path: &str, method: &str) -> Result<&Arc<Route>, RouteMiss> {
        let mut miss = RouteMiss::Path;
        for number in self.table.candidates(path) {
            let Some(route) = self.routes.get(number) else {
                continue;
            };
            if route.methods.is_empty() || route.methods.iter().any(|allowed| allowed == method) {
                return Ok(route);
            }
            miss = RouteMiss::Method;
        }
        Err(miss)
    }

    /// The consumer a key belongs to.
    pub fn consumer_by_key(&self, key: &str) -> Option<&Arc<Consumer>> {
        self.consumers.get(self.keys.owner(key)?)
    }

    /// The models that consumers may use, by name.
    pub fn models_of_consumers(&self) -> BTreeMap<String, Vec<String>> {
        let consumers = self.consumers.iter().map(|consumer| {
            let names = consumer
                .access
                .iter()
                .map(|access| access.name.as_str().to_owned());
            (consumer.name.as_ref().to_owned(), names.collect())
        });
        consumers.collect()
    }

    /// The consumer of a name.
    pub fn consumer_by_name(&self, name: &str) -> Option<&Arc<Consumer>> {
        self.consumers.get(*self.by_name.get(name)?)
    }
}

/// Why no route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteMiss {
    /// No route has this path.
    Path,
    /// A route has this path, but not this method.
    Method,
}

impl Route {
    /// Whose manners its answers have.
    pub fn manners(&self) -> Manners {
        self.models.compat.into()
    }
}

impl Models {
    /// The model that serves a name: an exact entry, else the most specific glob.
    pub fn find(&self, name: &str) -> Option<&Arc<Model>> {
        self.exact.get(name).or_else(|| {
            self.globs
                .iter()
                .find(|(glob, _)| glob.matches(name))
                .map(|(_, model)| model)
        })
    }
}

impl Model {
    /// The model of an AI plugin.
    pub fn of_plugin(name: impl Into<Arc<str>>, pool: Pool, timeouts: Timeouts) -> Self {
        Model {
            name: name.into(),
            pool,
            fallback: Vec::new(),
            timeouts,
            on_loss: OnLoss::default(),
            max_output_tokens: None,
        }
    }
}

struct Compiler<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    state: &'a SharedState,
    errors: Vec<CompileError>,
}

impl Compiler<'_> {
    fn fail(&mut self, path: &str, problem: impl std::fmt::Display) {
        self.errors.push(CompileError {
            path: path.to_owned(),
            problem: problem.to_string(),
        });
    }

    fn resolve(&mut self, path: &str, reference: &SecretRef) -> Option<Secret> {
        match reference.resolve(self.env) {
            Ok(secret) => Some(secret),
            Err(missing) => {
                self.fail(path, format!("{missing}; set it, or remove the reference"));
                None
            }
        }
    }

    fn route(&mut self, route: &model::Route) -> Route {
        let empty = model::AiModels::default();
        let config = route.plugins.ai_models.as_ref().unwrap_or(&empty);
        let mut models = Models {
            exact: HashMap::new(),
            globs: Vec::new(),
            names: Vec::new(),
            compat: config.compat,
        };
        for (name, model) in config.models.iter() {
            let compiled = Arc::new(self.model(&route.id, name, model, config.on_loss));
            models.names.push(name.to_owned());
            let glob = Glob::new(name);
            if glob.is_exact() {
                models.exact.insert(name.to_owned(), compiled);
            } else {
                models.globs.push((glob, compiled));
            }
        }
        models
            .globs
            .sort_by_key(|(glob, _)| std::cmp::Reverse(glob.literal_length()));
        let auth = route.plugins.ai_auth.clone().unwrap_or(AiAuth::Anonymous);
        let key_headers = match &auth {
            // What is no name of a header stands in no request.
            AiAuth::Key { headers } => headers.iter().filter_map(|name| name.parse().ok()).collect(),
            AiAuth::Header { .. } | AiAuth::Anonymous => Vec::new(),
        };
        Route {
            id: route.id.as_str().into(),
            methods: route.methods.clone(),
            auth,
            key_headers,
            models,
        }
    }

    fn model(&mut self, route: &str, name: &str, model: &model::Model, on_loss: OnLoss) -> Model {
        let owner = format!("model/{route}/{name}");
        let several = model.instances.len() > 1;
        let mut entries: Vec<Entry> = model
            .instances
            .iter()
            .enumerate()
            .filter_map(|(i, written)| {
                let mut instance = self.instance(&format!("models.{name}.instances[{i}]"), written)?;
                instance.health = several.then(|| self.enlist(&owner, &instance));
                Some(Entry {
                    instance: Arc::new(instance),
                    weight: written.weight,
                    priority: 0,
                    cost: None,
                })
            })
            .collect();
        with_spares(&mut entries);
        let rules = Rules {
            retry: Retry::OfModel(model.fallback_on.clone()),
            // Where nothing is repeated, nothing has to be counted.
            budget: (entries.len() + model.fallback.len() > 1).then(RetryLimits::default),
            last_resort: true,
            ..Rules::default()
        };
        Model {
            name: name.into(),
            pool: Pool::new(Algorithm::RoundRobin, entries, rules, &owner, self.state),
            fallback: model.fallback.clone(),
            timeouts: Timeouts {
                connect: Duration::from_millis(model.timeouts.connect_ms),
                first_byte: Duration::from_millis(model.timeouts.first_byte_ms),
                between_chunks: Duration::from_millis(model.timeouts.between_chunks_ms),
                total: Duration::from_millis(model.timeouts.total_ms),
            },
            on_loss: model.on_loss.unwrap_or(on_loss),
            max_output_tokens: model.max_output_tokens,
        }
    }

    /// Lets calls tell about the health of an instance that has others beside it.
    fn enlist(&self, owner: &str, instance: &Instance) -> Arc<OnDuty> {
        let duty = Duty {
            owner,
            name: &instance.name,
            place: &instance.endpoint.place(),
            passive: Some(Settings::default()),
            check: None,
        };
        self.state.roster().enlist(duty, self.state)
    }

    fn instance(&mut self, path: &str, instance: &model::Instance) -> Option<Instance> {
        let tls = TlsSettings {
            ca_file: instance.tls.ca_file.clone(),
            verify: instance.tls.verify,
        };
        let endpoint = match Endpoint::parse(&instance.endpoint, &tls) {
            Ok(endpoint) if instance.http2 => endpoint.of_operator().over_http2(),
            Ok(endpoint) => endpoint.of_operator(),
            Err(error @ EndpointError::CaFile { .. }) => {
                self.fail(&format!("{path}.tls.ca_file"), error);
                return None;
            }
            Err(error) => {
                self.fail(&format!("{path}.endpoint"), error);
                return None;
            }
        };
        if let Scheme::Simulated { query } = &endpoint.scheme
            && let Err(error) = Profile::parse(query)
        {
            self.fail(&format!("{path}.endpoint"), error);
        }
        let mut headers = HeaderMap::new();
        let mut secrets = Vec::new();
        let mut credentials = Credentials::Headers;
        if let Some(reference) = &instance.credential {
            let credential = self.resolve(&format!("{path}.key"), reference)?;
            if is_google_account(instance.provider, &credential) {
                credentials = Credentials::Google {
                    account: GcpAuth::of_account(Secret::from(credential.expose().to_owned())),
                    tokens: self.state.of("ai-proxy/gcp-tokens"),
                };
            } else {
                match crate::providers::credential_header(instance.provider, &credential) {
                    Ok((name, value)) => {
                        headers.insert(name, value);
                    }
                    Err(_) => self.fail(
                        &format!("{path}.key"),
                        "holds a character that cannot stand in a header",
                    ),
                }
            }
            secrets.push(credential);
        }
        if let Some(signing) = &instance.signing {
            let key = self.signing_key(path, signing)?;
            for secret in [Some(&key.secret_access_key), key.session_token.as_ref()]
                .into_iter()
                .flatten()
            {
                secrets.push(Secret::from(secret.expose().to_owned()));
            }
            credentials = Credentials::Amazon {
                key,
                region: signing.region.clone(),
            };
        }
        for (name, reference) in instance.headers.iter() {
            let path = format!("{path}.headers.{name}");
            let value = self.resolve(&path, reference)?;
            match (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value.expose()),
            ) {
                (Ok(name), Ok(mut header)) => {
                    header.set_sensitive(true);
                    headers.insert(name, header);
                }
                _ => self.fail(&path, "is not a valid header"),
            }
            secrets.push(value);
        }
        // What each request carries besides, so that calls need not add it.
        headers.insert(HOST, endpoint.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.entry(USER_AGENT).or_insert(OUR_NAME);
        let mut dialects = Vec::new();
        let mut embeddings = Vec::new();
        let mut reranks = Vec::new();
        for dialect in &instance.dialects {
            match dialect {
                model::Dialect::OpenaiChat => dialects.push(Dialect::OpenaiChat),
                model::Dialect::OpenaiResponses => dialects.push(Dialect::OpenaiResponses),
                model::Dialect::AnthropicMessages => dialects.push(Dialect::AnthropicMessages),
                model::Dialect::GeminiGenerate => dialects.push(Dialect::Gemini),
                model::Dialect::BedrockConverse => dialects.push(Dialect::BedrockConverse),
                model::Dialect::CohereChat => dialects.push(Dialect::CohereChat),
                model::Dialect::OpenaiEmbeddings => embeddings.push(embeddings::Dialect::Openai),
                model::Dialect::MistralEmbeddings => embeddings.push(embeddings::Dialect::Mistral),
                model::Dialect::VoyageEmbeddings => embeddings.push(embeddings::Dialect::Voyage),
                model::Dialect::GeminiEmbed => embeddings.push(embeddings::Dialect::GeminiBatch),
                model::Dialect::VertexPredict => embeddings.push(embeddings::Dialect::VertexPredict),
                model::Dialect::BedrockTitanEmbed => embeddings.push(embeddings::Dialect::BedrockTitan),
                model::Dialect::BedrockCohereEmbed => embeddings.push(embeddings::Dialect::BedrockCohere),
                model::Dialect::CohereEmbed => embeddings.push(embeddings::Dialect::Cohere),
                model::Dialect::CohereRerank => reranks.push(rerank::Dialect::Cohere),
                model::Dialect::BedrockCohereRerank => reranks.push(rerank::Dialect::BedrockCohere),
                model::Dialect::JinaRerank => reranks.push(rerank::Dialect::Jina),
                model::Dialect::VoyageRerank => reranks.push(rerank::Dialect::Voyage),
            }
        }
        Some(Instance {
            name: instance.name.as_str().into(),
            provider: Provider::billed_by(instance.provider.name(), &endpoint.host),
            model: instance.model.clone(),
            endpoint,
            headers,
            credentials,
            options: instance
                .options
                .iter()
                .map(|(name, value)| (name.to_owned(), value.text().to_owned()))
                .collect(),
            dialects,
            embeddings,
            reranks,
            secrets,
            ai: None,
            health: None,
            known: OnceLock::new(),
        })
    }
    fn signing_key(&mut self, path: &str, signing: &model::Signing) -> Option<AwsAuth> {
        let path = format!("{path}.aws");
        Some(AwsAuth {
            access_key_id: self.resolve(&path, &signing.access_key_id)?.expose().to_owned(),
            secret_access_key: self.resolve(&path, &signing.secret_access_key)?,
            session_token: match &signing.session_token {
                Some(token) => Some(self.resolve(&path, token)?),
                None => None,
            },
        })
    }
}

/// Whether a key is the JSON of a service account of Google's, with which tokens are made.
fn is_google_account(provider: model::Provider, key: &Secret) -> bool {
    provider == model::Provider::Vertex && key.expose().trim_start().starts_with('{')
}
