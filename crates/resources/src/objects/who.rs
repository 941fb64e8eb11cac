//! Consumers, credentials, managers of secrets and certificates as the gateway reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Confs;

/// Somebody who calls.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Consumer {
    /// Name; also the id.
    pub username: String,
    /// The consumer group whose plugins it has.
    #[serde(deserialize_with = "optional_id_text")]
    pub group_id: Option<String>,
    /// Its credentials (plugins of type auth), and plugins that its calls get.
    pub plugins: Confs,
    /// Free text; `custom_id` is told to upstreams.
    pub labels: BTreeMap<String, String>,
}

/// A credential of a consumer.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Credential {
    /// Id; set by the store.
    #[serde(deserialize_with = "id_text")]
    pub id: String,
    /// At most one plugin of type auth.
    pub plugins: Confs,
}

/// A manager of secrets; which fields it has depends on the manager, the first part of its id.
pub type SecretManager = serde_json::Map<String, Value>;

/// Certificates of a listener, or of us as a client.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ssl {
    /// Id; set by the store.
    #[serde(deserialize_with = "id_text")]
    pub id: String,
    /// `server` or `client`.
    #[serde(rename = "type")]
    pub role: Option<String>,
    /// One name it is shown for.
    pub sni: Option<String>,
    /// Several.
    pub snis: Vec<String>,
    /// Certificate chain, PEM.
    pub cert: Option<String>,
    /// Key, PEM.
    pub key: Option<String>,
    /// Further chains, such as ECDSA beside RSA.
    pub certs: Vec<String>,
    /// Their keys.
    pub keys: Vec<String>,
    /// 0 hides it.
    pub status: Option<u8>,
    /// Demands a certificate of clients.
    pub client: Option<SslClient>,
    /// Versions of TLS, such as `TLSv1.3`; empty for those of the listener.
    pub ssl_protocols: Vec<String>,
}

/// What certificate is demanded of clients.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct SslClient {
    /// Authorities that vouch for clients, PEM.
    pub ca: String,
    /// Most certificates between that of a client and an authority's.
    pub depth: Option<u64>,
    /// Patterns of paths whose calls need none.
    pub skip_mtls_uri_regex: Vec<String>,
}

impl Ssl {
    /// Whether it is a certificate of ours as a client of upstreams.
    pub fn is_of_client(&self) -> bool {
        self.role.as_deref() == Some("client")
    }

    /// Whether it is shown to clients.
    pub fn is_shown(&self) -> bool {
        !self.is_of_client() && self.status != Some(0)
    }

    /// The names it is shown for, each perhaps with a `*` in front.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        // As in APISIX, the list wins.
        let one = self.sni.as_deref().filter(|_| self.snis.is_empty());
        one.into_iter().chain(self.snis.iter().map(String::as_str))
    }
}

/// Ids are written as text or as a number.
pub(super) fn id_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(optional_id_text(deserializer)?.unwrap_or_default())
}

pub(super) fn optional_id_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
        Large(f64),
    }
    Ok(Option::<Id>::deserialize(deserializer)?.map(|id| match id {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
        Id::Large(number) => super::schema::number_text(number),
    }))
}
