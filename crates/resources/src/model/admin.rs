//! The Admin API, and where the configuration of the gateway comes from: what APISIX's bootstrap file says besides the
//! sockets, limits and logs of the data plane.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::{Metrics, PrometheusAttributes};
use crate::secret::SecretRef;

/// How the Admin API is reached, and by whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Admin {
    /// Addresses to listen on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Addresses and networks (`10.0.0.0/8`) that may call, all valid; empty allows any.
    pub allow: Vec<String>,
    /// Who may call. Not empty when a key is required.
    pub keys: Vec<AdminKey>,
    /// Whether a call needs a key.
    pub key_required: bool,
    /// Whether answers tell browsers that any origin may read them.
    pub cors: bool,
    /// Certificate of the listeners; `None` serves plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<AdminTls>,
    /// Longest request body, in bytes; a longer one is refused with 413.
    pub max_body_bytes: u64,
    /// How long people stay signed in.
    #[serde(skip_serializing_if = "SessionTimes::is_default")]
    pub session: SessionTimes,
    /// An OpenID Connect provider at which people sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
    /// How much is kept of what was changed.
    #[serde(skip_serializing_if = "History::is_default")]
    pub history: History,
    /// Wrong keys of one address in a minute that are answered as such; `None` for all.
    pub max_wrong_keys: Option<u32>,
    /// The roles that may call models on the playground without a key.
    #[serde(skip_serializing_if = "is_default_playground")]
    pub playground: Vec<AdminRole>,
}

/// Viewers read only: calls cost money.
const PLAYGROUND: [AdminRole; 3] = [AdminRole::Admin, AdminRole::Editor, AdminRole::TeamAdmin];

fn is_default_playground(roles: &Vec<AdminRole>) -> bool {
    *roles == PLAYGROUND
}

/// How long people stay signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SessionTimes {
    /// Without a request for so many seconds a session ends.
    pub idle_s: u64,
    /// So many seconds after it began it ends.
    pub longest_s: u64,
}

impl Default for SessionTimes {
    /// Half an hour without a request, and a working day.
    fn default() -> Self {
        SessionTimes {
            idle_s: 30 * 60,
            longest_s: 12 * 60 * 60,
        }
    }
}

impl SessionTimes {
    fn is_default(&self) -> bool {
        *self == SessionTimes::default()
    }
}

/// How much is kept of what was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// How long entries of the audit log are kept, in seconds.
    pub audit_s: u64,
    /// How many are kept at most.
    pub audit_entries: u64,
    /// How many versions of the configuration are kept at most.
    pub versions: u64,
    /// How large all versions together are at most, in bytes.
    pub versions_bytes: u64,
}

impl History {
    /// A log that takes the store some seconds to verify, and to write again after a failure of the disk.
    pub const MOST_ENTRIES: u64 = 1_000_000;
    /// So many are listed and compared without a wait.
    pub const MOST_VERSIONS: u64 = 100_000;

    fn is_default(&self) -> bool {
        *self == History::default()
    }
}

impl Default for History {
    /// Beyond a year of the log, and what a large configuration goes through in some months.
    fn default() -> Self {
        History {
            audit_s: 400 * 24 * 60 * 60,
            audit_entries: 100_000,
            versions: 1000,
            versions_bytes: 256 * 1024 * 1024,
        }
    }
}

/// An OpenID Connect provider at which people sign in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Oidc {
    /// Its address, exactly as it calls itself: with TLS, or on this machine.
    pub issuer: String,
    /// What it calls the gateway.
    pub client_id: String,
    /// The secret of the client; `None` for a public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretRef>,
    /// Where it sends people back to; ends with [`Oidc::CALLBACK`].
    pub redirect_url: String,
    /// What is asked for; has `openid`.
    pub scopes: Vec<String>,
    /// The claim with a person's groups.
    pub groups_claim: String,
    /// The claim with a person's name; `None` for the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_claim: Option<String>,
    /// Groups, also with `*`, and the roles that they give.
    pub roles: Vec<(String, AdminRole)>,
    /// Groups, also with `*`, and the teams that their members administer.
    pub team_admin: Vec<(String, String)>,
    /// PEM file of the authorities that its certificate is checked with; `None` for the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

impl Oidc {
    /// The path that the provider sends people back to.
    pub const CALLBACK: &str = "/tollgate/v1/session/oidc/callback";
    /// What is asked for where nothing is said.
    pub const SCOPES: [&str; 3] = ["openid", "profile", "email"];
    /// What most providers call it.
    pub const GROUPS_CLAIM: &str = "groups";
}

/// A key of the Admin API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdminKey {
    /// Its name, for logs.
    pub name: String,
    /// What callers send; not empty. `None` when the gateway has to make it up at its first start, and tell its operator.
    pub key: Option<SecretRef>,
    /// What it allows.
    pub role: AdminRole,
    /// Ids of the teams that [`AdminRole::TeamAdmin`] is one of; empty for others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
}

/// What a key of the Admin API allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminRole {
    /// Everything.
    Admin,
    /// Reading only.
    Viewer,
    /// Reading, and changing the configuration.
    Editor,
    /// Reading and changing what belongs to some teams.
    TeamAdmin,
}

impl AdminRole {
    /// All roles: APISIX's first.
    pub const ALL: [AdminRole; 4] = [
        AdminRole::Admin,
        AdminRole::Viewer,
        AdminRole::Editor,
        AdminRole::TeamAdmin,
    ];

    /// Its word in configurations.
    pub const fn word(self) -> &'static str {
        match self {
            AdminRole::Admin => "admin",
            AdminRole::Viewer => "viewer",
            AdminRole::Editor => "editor",
            AdminRole::TeamAdmin => "team_admin",
        }
    }

    /// The role of a word.
    pub fn of_word(word: &str) -> Option<AdminRole> {
        AdminRole::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// Certificate of the Admin API's listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdminTls {
    /// PEM file with the certificate chain, leaf first.
    pub cert_file: String,
    /// PEM file with the private key.
    pub key_file: String,
    /// PEM file with the authorities whose certificates clients must show; `None` asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<String>,
}

/// Where the configuration comes from, and how the process behaves beyond its sockets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deployment {
    /// Where resources come from.
    pub provider: ConfigProvider,
    /// Folder for what the gateway keeps, such as the embedded store.
    pub data_dir: String,
    /// Whether APISIX is followed also where it is unsafe or wrong.
    pub strict: bool,
    /// Addresses and networks, all valid, whose `X-Forwarded-*` headers are believed. `None` when nothing was said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_addresses: Option<Vec<String>>,
    /// How the client's address is found behind a load balancer.
    pub real_ip: RealIp,
    /// Names of the plugins that may be used; `None` allows all there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Vec<String>>,
    /// Whether secret fields of plugins are stored encrypted.
    pub encrypt_fields: bool,
    /// Whether the header `Server` tells the version.
    pub server_tokens: bool,
    /// Where metrics are served; `None` when nothing was said about it, or when they are switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<SocketAddr>,
    /// What is said about numbers under APISIX's names.
    #[serde(skip_serializing_if = "PrometheusAttributes::is_default")]
    pub prometheus_attributes: PrometheusAttributes,
    /// How calls are counted.
    #[serde(skip_serializing_if = "Metrics::is_default")]
    pub metrics: Metrics,
    /// Where `/status` and `/status/ready` are served; `None` when nothing was said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SocketAddr>,
    /// Where the control API is served; `None` when nothing was said about it, or when it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<SocketAddr>,
    /// `host:port` of upstreams, in lower case, to where connections to them go instead of where DNS says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resolve: BTreeMap<String, SocketAddr>,
    /// PEM file with authorities that upstreams may be vouched for by, beside the built-in ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Further such authorities, under APISIX's name for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_certificates: Option<TrustedCertificates>,
}

/// Authorities that upstreams may be vouched for by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustedCertificates {
    /// Those of the machine.
    System,
    /// Those of a PEM file.
    File(String),
}

/// How the client's address is found behind a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RealIp {
    /// Lower-case name of the header that tells it, such as `x-real-ip` or `x-forwarded-for`.
    pub header: String,
    /// Addresses and networks, all valid, whose word is taken. Empty takes nobody's.
    pub from: Vec<String>,
    /// In a list of addresses: the last one that is not among `from` counts, instead of the last one.
    pub recursive: bool,
}

impl Default for RealIp {
    /// APISIX's.
    fn default() -> Self {
        RealIp {
            header: "x-real-ip".to_owned(),
            from: vec!["127.0.0.1".to_owned()],
            recursive: false,
        }
    }
}

/// Where resources come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigProvider {
    /// The embedded store in the data directory, changed through the Admin API.
    Embedded,
    /// Memory: the whole configuration is put through the Admin API, and lost when the process ends.
    InMemory,
    /// A standalone file, taken again when it changes.
    File {
        /// Path of the file, relative to the working directory unless it is absolute.
        path: String,
        /// How it is written.
        format: StandaloneFormat,
    },
}

/// How a standalone file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandaloneFormat {
    /// `apisix.yaml`, which ends with `#END`.
    Yaml,
    /// `apisix.json`.
    Json,
}

impl Admin {
    /// Loopback only: whoever may change the configuration may read every secret in it.
    pub const DEFAULT_LISTEN: SocketAddr =
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), Admin::DEFAULT_PORT);
    /// APISIX's.
    pub const DEFAULT_PORT: u16 = 9180;
    /// APISIX's.
    pub const DEFAULT_ALLOW: &str = "127.0.0.0/24";
    /// More than a person gets wrong, less than is of use to somebody who tries.
    pub const DEFAULT_MAX_WRONG_KEYS: u32 = 100;
    /// APISIX's: 1.5 MiB. A larger value does not fit into its store.
    pub const DEFAULT_MAX_BODY_BYTES: u64 = 3 * 1024 * 1024 / 2;
}

impl Default for Admin {
    fn default() -> Self {
        Admin {
            listen: vec![Admin::DEFAULT_LISTEN],
            allow: vec![Admin::DEFAULT_ALLOW.to_owned()],
            keys: vec![AdminKey {
                name: "admin".to_owned(),
                key: None,
                role: AdminRole::Admin,
                teams: Vec::new(),
            }],
            key_required: true,
            cors: false,
            tls: None,
            max_body_bytes: Admin::DEFAULT_MAX_BODY_BYTES,
            session: SessionTimes::default(),
            oidc: None,
            history: History::default(),
            max_wrong_keys: Some(Admin::DEFAULT_MAX_WRONG_KEYS),
            playground: PLAYGROUND.to_vec(),
        }
    }
}

impl Deployment {
    /// Beside the folder `conf/` when the gateway is started as APISIX is.
    pub const DEFAULT_DATA_DIR: &str = "data";
}

impl Default for Deployment {
    fn default() -> Self {
        Deployment {
            provider: ConfigProvider::Embedded,
            data_dir: Deployment::DEFAULT_DATA_DIR.to_owned(),
            strict: false,
            trusted_addresses: None,
            real_ip: RealIp::default(),
            plugins: None,
            encrypt_fields: true,
            server_tokens: true,
            prometheus: None,
            prometheus_attributes: PrometheusAttributes::default(),
            metrics: Metrics::default(),
            status: None,
            control: None,
            resolve: BTreeMap::new(),
            ca_file: None,
            trusted_certificates: None,
        }
    }
}
