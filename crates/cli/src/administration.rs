//! The Admin API of a running gateway: its store, its keys, its own thread.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::Response;
use serde_json::Value;
use tokio::sync::watch;
use tollgate_admin::{
    DataPlane, Key, LogLines, Mode, Network, Node, Observed, OidcSettings, Parts, Pausable, Role,
    SessionLimits, Settings, TlsListener,
};
use tollgate_gateway::governance::Governance;
use tollgate_gateway::health::{self, ForOwner};
use tollgate_gateway::pool::{self, InstanceStatus, Standing};
use tollgate_gateway::server::{Encrypted, Inside, InsideBody, InsideCall, InsideError};
use tollgate_gateway::upstream::{TlsSettings, client_config};
use tollgate_gateway::{Change, ExplainError, Gateway, Question};
use tollgate_resources::apisix::with_admin_key;
use tollgate_resources::model::{Admin, AdminRole, ConfigProvider, Deployment, Oidc, Resources};
use tollgate_resources::objects::ObjectKey;
use tollgate_resources::{Glob, Secret, SecretRef};
use tollgate_store::{Retention, Store, StoreKey};
use tollgate_telemetry::ledger::{Lately, Reader};
use tollgate_telemetry::metrics::Metrics;

use crate::cli::Failure;
use crate::load::env;
use crate::secret_files::lookup;
use crate::upgrade::{self, AdminSettings};
use crate::usage::Kept;
use crate::{own_log, trust};

/// The variable that may hold the store's key.
pub const STORE_KEY_VARIABLE: &str = "TOLLGATE_STORE_KEY";

/// Keys that APISIX's manual and its older releases have in their examples, an administrator's and a viewer's.
const WELL_KNOWN_KEYS: [&str; 2] = [
    "edd1c9f034335f136f87ad84b625c8f1",
    "4054f7cf07e344346cd3f287985e76a2",
];

/// File in the data directory that holds a generated key of the Admin API.
const GENERATED_KEY_FILE: &str = "admin.key";

/// A running Admin API.
pub struct Administration {
    stop: watch::Sender<bool>,
    pause: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    admin_api: Arc<tollgate_admin::Admin<Plane>>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Where a generated key was put, if one was.
    pub key_location: Option<PathBuf>,
    /// What signs the person in once who has started the gateway by hand.
    pub code: Option<String>,
}

/// The gateway as the Admin API tells it about changes, and is told how it is doing.
pub struct Plane {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Usage of calls that is kept, if it is.
    pub usage: Option<Kept>,
    /// What the gateway is.
    pub node: Arc<Node>,
    /// Where its calls from within are made.
    pub inside: Inside,
}

impl Observed for Plane {
    fn health(&self) -> Vec<ForOwner> {
        health::status(self.gateway.roster(), Instant::now(), SystemTime::now())
    }

    fn has(&self, object: &ObjectKey) -> bool {
        self.gateway.has(object)
    }

    fn metrics(&self) -> Box<dyn Iterator<Item = String> + Send> {
        Box::new(self.gateway.metrics().parts(Instant::now()))
    }

    fn usage(&self) -> Option<Reader> {
        self.usage.as_ref().map(|kept| kept.reader.clone())
    }

    fn lately(&self) -> Option<Arc<Lately>> {
        self.usage.as_ref().map(|kept| kept.ledger.lately())
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        pool::status(self.gateway.pools(), Instant::now())
    }

    fn set_standing(&self, owner: &str, name: &str, standing: Standing) {
        self.gateway.pools().set(owner, name, standing);
    }

    fn explain(&self, question: Question) -> Result<Value, ExplainError> {
        self.gateway.explain(question)
    }

    fn numbers(&self) -> Option<&Metrics> {
        Some(self.gateway.metrics())
    }

    fn node(&self) -> Arc<Node> {
        self.node.clone()
    }

    fn log(&self) -> Option<Arc<LogLines>> {
        Some(own_log::lines())
    }

    fn governance(&self) -> Option<Arc<Governance>> {
        Some(self.gateway.governance().clone())
    }

    fn models_of_consumers(&self) -> BTreeMap<String, Vec<String>> {
        self.gateway.snapshot().native.models_of_consumers()
    }
}

impl DataPlane for Plane {
    async fn apply(&self, changes: Vec<Change>) {
        let (own, others): (Vec<Change>, Vec<Change>) =
            changes.into_iter().partition(|(key, _)| key.kind.is_own());
        self.gateway.governance().apply(own);
        if !others.is_empty() {
            self.gateway.apply_with_secrets(others).await;
        }
    }

    async fn call(&self, call: InsideCall) -> Result<Response<InsideBody>, InsideError> {
        self.inside.call(call).await
    }
}

/// Whether there is a store to serve from on a node without Admin API: one that another run has left in the data directory.
pub fn has_store(deployment: &Deployment, is_native: bool) -> bool {
    !is_native
        && deployment.provider == ConfigProvider::Embedded
        && Path::new(&deployment.data_dir).join("tollgate.db").exists()
}

/// Opens the store that a deployment wants. `None` where there is no store.
///
/// # Errors
/// The store cannot be opened; the text says why.
pub fn open_store(deployment: &Deployment) -> Result<Option<Arc<Store>>, Failure> {
    let store = match deployment.provider {
        ConfigProvider::File { .. } => return Ok(None),
        ConfigProvider::InMemory => Store::in_memory(),
        ConfigProvider::Embedded => {
            let directory = Path::new(&deployment.data_dir);
            let key = match env(STORE_KEY_VARIABLE) {
                Some(text) => StoreKey::parse(&text)
                    .map_err(|error| Failure::new(format!("{STORE_KEY_VARIABLE}: {error}")))?,
                None => StoreKey::load_or_generate(directory).map_err(Failure::new)?,
            };
            Store::open(directory, &key, now_s()).map_err(Failure::new)?
        }
    };
    Ok(Some(Arc::new(store)))
}

/// What a store holds, as changes from nothing.
pub fn stored(store: &Store) -> Vec<Change> {
    store
        .all()
        .into_iter()
        .map(|object| (object.key.clone(), Some(object)))
        .collect()
}

/// Starts the Admin API.
///
/// # Errors
/// `open` gives no socket, or the system no thread.
pub fn start(
    settings: &AdminSettings,
    deployment: &Deployment,
    store: Arc<Store>,
    gateway: Arc<Gateway>,
    open: &mut dyn FnMut(upgrade::Role, SocketAddr) -> Result<TcpListener, Failure>,
) -> Result<Administration, Failure> {
    let AdminSettings {
        admin,
        keys,
        usage,
        node,
    } = settings;
    let (usage, node) = (usage.clone(), node.clone());
    let tls = admin.tls.as_ref().map(trust::of_admin).transpose()?;
    let settings = Settings {
        keys: keys.copy(),
        key_required: admin.key_required,
        allow: if admin.allow.is_empty() {
            None
        } else {
            let networks = admin.allow.iter().map(|text| Network::parse(text));
            Some(networks.collect::<Result<_, _>>().map_err(Failure::new)?)
        },
        cors: admin.cors,
        server_tokens: deployment.server_tokens,
        body_limit: usize::try_from(admin.max_body_bytes).unwrap_or(usize::MAX),
        mode: match deployment.provider {
            ConfigProvider::InMemory => Mode::ApiDriven,
            ConfigProvider::Embedded | ConfigProvider::File { .. } => Mode::Traditional,
        },
        strict: deployment.strict,
        secure: tls.is_some()
            || admin
                .oidc
                .as_ref()
                .is_some_and(|oidc| oidc.redirect_url.starts_with("https://")),
        sessions: SessionLimits {
            idle_s: admin.session.idle_s,
            longest_s: admin.session.longest_s,
        },
        oidc: admin
            .oidc
            .as_ref()
            .zip(keys.client_secret.as_ref())
            .map(|(oidc, secret)| provider(oidc, secret.as_ref()))
            .transpose()?,
        wrong_keys: admin.max_wrong_keys,
        playground: admin.playground.iter().copied().map(role_of).collect(),
    };
    store.retain(Retention {
        entries: admin.history.audit_entries,
        entries_s: admin.history.audit_s,
        versions: admin.history.versions,
        version_bytes: admin.history.versions_bytes,
    });
    let parts = Parts {
        plugins: tollgate_gateway::plugins::enabled(deployment.plugins.as_deref()),
        ..Parts::default()
    };
    let plane = Plane {
        inside: Inside::new(gateway.clone()),
        gateway,
        usage,
        node,
    };
    let admin_api = tollgate_admin::Admin::new(settings, store, plane, parts);
    let (stop, stopped) = watch::channel(false);
    let (pause, paused) = watch::channel(false);
    let mut administration = Administration {
        stop,
        pause,
        threads: Vec::new(),
        admin_api: admin_api.clone(),
        scheme: if tls.is_some() { "https" } else { "http" },
        addresses: Vec::new(),
        key_location: keys.location.clone(),
        // Where nobody looks on, such as in the journal of a service, it would only lie about.
        code: io::stderr()
            .is_terminal()
            .then(|| admin_api.sign_in_code())
            .flatten(),
    };
    if let Some(address) = deployment.status {
        let listener = open(upgrade::Role::Status, address)?;
        administration
            .threads
            .push(status(listener, admin_api.clone(), stopped.clone())?);
    }
    let mut listeners = Vec::new();
    for address in &admin.listen {
        let listener = open(upgrade::Role::Admin, *address)?;
        administration
            .addresses
            .push(listener.local_addr().map_err(Failure::new)?);
        listeners.push(listener);
    }
    for listener in listeners {
        let (admin_api, mut stopped, tls) = (admin_api.clone(), stopped.clone(), tls.clone());
        let paused = paused.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::new)?;
        let serve = move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let stopping = async move {
                    // The sender is gone only when the process ends.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                match tls {
                    None => {
                        let listener = Pausable::new(listener, paused);
                        tollgate_admin::serve(listener, admin_api, stopping).await
                    }
                    Some(tls) => {
                        let listener = TlsListener(Encrypted::new(listener, tls));
                        let listener = Pausable::new(listener, paused);
                        tollgate_admin::serve(listener, admin_api, stopping).await
                    }
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "the Admin API has stopped");
            }
        };
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(serve)
            .map_err(Failure::new)?;
        administration.threads.push(thread);
    }
    Ok(administration)
}

/// Serves `/status`, `/status/ready` and `/metrics` on an address of their own, for probes that have no key.
fn status(
    listener: TcpListener,
    admin_api: Arc<tollgate_admin::Admin<Plane>>,
    mut stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let serve = move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tollgate_admin::serve_status(listener, admin_api, async move {
                // The sender is gone only when the process ends.
                let _ = stopped.wait_for(|stop| *stop).await;
            })
            .await
        });
        if let Err(error) = served {
            tracing::error!(%error, "the status is served no more");
        }
    };
    std::thread::Builder::new()
        .name("status".to_owned())
        .spawn(serve)
        .map_err(Failure::new)
}

impl Administration {
    /// Tells the audit log what a changed configuration file has made of the gateway.
    pub fn file_was_reloaded(&self, file: &str, before: &Resources, after: &Resources) {
        let meaning = |resources| match serde_json::to_value(resources) {
            Ok(Value::Object(meaning)) => meaning,
            _ => serde_json::Map::new(),
        };
        self.admin_api
            .file_was_reloaded(file, &meaning(before), &meaning(after));
    }

    /// Accepts nobody. What was accepted is served on: who has just come may still be sending its request.
    pub fn pause(&self) {
        self.pause.send_replace(true);
    }

    /// Takes no more changes, and waits for those under way.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            // One that panicked has already reported it.
            let _ = thread.join();
        }
    }
}

/// The keys of an Admin API.
pub struct Keys {
    keys: Vec<Key>,
    /// Where a generated one was put, if one was.
    location: Option<PathBuf>,
    /// If there is an OpenID Connect provider: the secret of its client, where it has one.
    client_secret: Option<Option<Secret>>,
}

impl Keys {
    /// The file that holds a key and nothing else, if one was made up.
    pub fn file(&self) -> Option<String> {
        let file = self.location.as_ref()?;
        let is_key = file.file_name().is_some_and(|name| name == GENERATED_KEY_FILE);
        let whole = is_key.then(|| fs::canonicalize(file).ok())?;
        whole.map(|file| file.display().to_string())
    }

    /// For an Admin API: it may be served a second time.
    fn copy(&self) -> Vec<Key> {
        let copy = |key: &Key| Key {
            name: key.name.clone(),
            key: Secret::from(key.key.expose().to_owned()),
            role: key.role,
            teams: key.teams.clone(),
        };
        self.keys.iter().map(copy).collect()
    }
}

/// The keys of the Admin API. One that is to be made up is made up once: it is written where the configuration leaves it
/// empty, or else into the data directory.
///
/// # Errors
/// A key cannot be read or made, or keeps nobody out.
pub fn keys(admin: &Admin, deployment: &Deployment, config: Option<&Path>) -> Result<Keys, Failure> {
    let mut keys = Vec::new();
    let mut location = None;
    for (index, configured) in admin.keys.iter().enumerate() {
        let key = match &configured.key {
            Some(reference) => {
                let key = resolve(reference, &configured.name)?;
                check_key(&key, &configured.name, deployment.strict)?;
                key
            }
            None => {
                let (key, file) = generated(index, &configured.name, deployment, config)?;
                location = Some(file);
                key
            }
        };
        keys.push(Key {
            name: configured.name.clone(),
            key,
            role: role_of(configured.role),
            teams: configured.teams.clone(),
        });
    }
    let client_secret = match &admin.oidc {
        Some(oidc) => Some(match &oidc.client_secret {
            Some(reference) => Some(reference.resolve(&lookup).map_err(|missing| {
                Failure::new(format!(
                    "the client secret of the OpenID Connect provider: {missing}"
                ))
            })?),
            None => None,
        }),
        None => None,
    };
    Ok(Keys {
        keys,
        location,
        client_secret,
    })
}

fn role_of(role: AdminRole) -> Role {
    match role {
        AdminRole::Admin => Role::Admin,
        AdminRole::Viewer => Role::Viewer,
        AdminRole::Editor => Role::Editor,
        AdminRole::TeamAdmin => Role::TeamAdmin,
    }
}

/// The provider at which people sign in.
fn provider(oidc: &Oidc, secret: Option<&Secret>) -> Result<OidcSettings, Failure> {
    let tls = TlsSettings {
        ca_file: oidc.ca_file.clone(),
        verify: true,
    };
    let tls = client_config(&tls, None)
        .map_err(|error| Failure::new(format!("the authorities of the OpenID Connect provider: {error}")))?;
    let groups = oidc.roles.iter();
    let teams = oidc.team_admin.iter();
    Ok(OidcSettings {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret: secret.map(|secret| Secret::from(secret.expose().to_owned())),
        redirect_url: oidc.redirect_url.clone(),
        scopes: oidc.scopes.clone(),
        groups_claim: oidc.groups_claim.clone(),
        name_claim: oidc.name_claim.clone().unwrap_or_default(),
        roles: groups
            .map(|(group, role)| (Glob::new(group.as_str()), role_of(*role)))
            .collect(),
        team_admin: teams
            .map(|(group, team)| (Glob::new(group.as_str()), team.clone()))
            .collect(),
        tls,
    })
}

fn resolve(reference: &SecretRef, name: &str) -> Result<Secret, Failure> {
    reference
        .resolve(&lookup)
        .map_err(|missing| Failure::new(format!("the key `{name}` of the Admin API: {missing}")))
}

/// Refuses keys that keep nobody out.
fn check_key(key: &Secret, name: &str, strict: bool) -> Result<(), Failure> {
    let problem = if key.expose().trim().is_empty() {
        "is empty"
    } else if WELL_KNOWN_KEYS.contains(&key.expose()) {
        "is the one of APISIX's manual, which everybody knows"
    } else {
        return Ok(());
    };
    let text = format!(
        "the key `{name}` of the Admin API {problem}: choose another, or write '' to have one made up"
    );
    if strict {
        tracing::warn!("{text}");
        return Ok(());
    }
    Err(Failure::new(text))
}

fn generated(
    index: usize,
    name: &str,
    deployment: &Deployment,
    config: Option<&Path>,
) -> Result<(Secret, PathBuf), Failure> {
    let file_name = if index == 0 {
        GENERATED_KEY_FILE.to_owned()
    } else {
        format!("admin-{name}.key")
    };
    let file = Path::new(&deployment.data_dir).join(file_name);
    if let Ok(text) = fs::read_to_string(&file)
        && !text.trim().is_empty()
    {
        return Ok((Secret::from(text.trim().to_owned()), file));
    }
    let key = random_key()?;
    if let Some(config) = config
        && config.is_file()
        && let Ok(text) = fs::read_to_string(config)
        && let Some(text) = with_admin_key(&text, index, &key)
        && replace(config, &text).is_ok()
    {
        return Ok((Secret::from(key), config.to_path_buf()));
    }
    let failed = |error: io::Error| {
        Failure::new(format!(
            "cannot write the key of the Admin API to {}: {error}; set deployment.admin.admin_key",
            file.display()
        ))
    };
    fs::create_dir_all(&deployment.data_dir).map_err(failed)?;
    replace(&file, &format!("{key}\n")).map_err(failed)?;
    Ok((Secret::from(key), file))
}

/// Replaces a file in one step; only its owner may read it from now on, because it holds a key.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    out.set_permissions(Permissions::from_mode(0o600))?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&beside, file)
}

/// 40 letters and digits from the system's random source.
fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 20];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failure::new("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
