//! One stored object, and the key it is stored under.

use std::fmt;

use serde_json::{Map, Value};

use super::Kind;

/// What identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// What it is.
    pub kind: Kind,
    /// Its id, unique within its kind: see [`Kind`] for those that are more than a plain id.
    pub id: String,
}

impl ObjectKey {
    /// A key.
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        ObjectKey { kind, id: id.into() }
    }

    /// The key of a consumer's credential.
    pub fn credential(username: &str, id: &str) -> Self {
        ObjectKey::new(Kind::Credential, format!("{username}/credentials/{id}"))
    }

    /// The consumer that a credential belongs to; `None` for other kinds.
    pub fn owner(&self) -> Option<&str> {
        match self.kind {
            Kind::Credential => self.id.split_once("/credentials/").map(|(username, _)| username),
            _ => None,
        }
    }

    /// The id without the names before it: `c1` of the credential `jack/credentials/c1`.
    pub fn short_id(&self) -> &str {
        match self.kind {
            Kind::Credential => self.id.rsplit_once('/').map_or(&self.id, |(_, id)| id),
            _ => &self.id,
        }
    }

    /// The key as the Admin API shows it, such as `/apisix/routes/1` or `/apisix/consumers/jack/credentials/c1`.
    pub fn path(&self) -> String {
        match self.kind {
            Kind::Credential => format!("/apisix/consumers/{}", self.id),
            kind => format!("/apisix/{}/{}", kind.collection(), self.id),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// One object as it is stored. May hold secrets in clear, so it has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// What identifies it.
    pub key: ObjectKey,
    /// Its value: what was sent, with `id` (but for consumers), `create_time` and `update_time` (seconds since 1970).
    pub value: Map<String, Value>,
    /// The revision that created it. One count for all objects, never used twice.
    pub created_index: u64,
    /// The revision that last changed it.
    pub modified_index: u64,
}
