//! Who may call: all consumers and their credentials, found by what a caller shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use tollgate_policy::ShardedMap;
use tollgate_resources::Secret;

use crate::objects::Chain;
use crate::plugins::Verifier;

/// Somebody who calls, compiled.
pub struct Consumer {
    /// Its name.
    pub name: Arc<str>,
    /// The consumer group it belongs to.
    pub group: Option<Arc<str>>,
    /// Its labels; `custom_id` is told to upstreams.
    pub labels: BTreeMap<String, String>,
    /// Whether that group does not exist, so that its calls cannot be served as configured.
    pub group_missing: bool,
    /// Plugins that its calls get, those of its group included; credentials are not among them.
    pub chain: Chain,
}

impl Consumer {
    /// The team it belongs to: its group, else its label `team`.
    pub fn team(&self) -> Option<&str> {
        let label = || self.labels.get("team").map(String::as_str);
        self.group.as_deref().or_else(label)
    }
}

/// A credential, compiled.
pub struct Credential {
    /// Name of the consumer it belongs to.
    pub consumer: Arc<str>,
    /// Id of the credential where it is an object of its own.
    pub id: Option<Arc<str>>,
    /// What proves it.
    pub proof: Proof,
}

/// What proves a credential beyond the text by which it is found.
pub enum Proof {
    /// Nothing: who knows the key is the caller.
    Key,
    /// The password of `basic-auth`.
    Password(Secret),
    /// How tokens of `jwt-auth` are signed. By itself, because it is large, and most credentials are keys.
    Jwt(Box<JwtProof>),
}

/// How the tokens of a consumer are signed, as configured in `jwt-auth`.
pub struct JwtProof {
    /// Checks signatures; knows the one algorithm that this consumer's tokens may be signed with.
    pub verifier: Verifier,
    /// Seconds by which `exp` and `nbf` may be missed.
    pub lifetime_grace_s: u64,
}

/// All consumers and credentials. Cloning shares; changing a clone copies what changes.
#[derive(Clone)]
pub struct Directory {
    pepper: Arc<hmac::Key>,
    consumers: ShardedMap<Arc<str>, Arc<Consumer>>,
    /// By a keyed hash of plugin and identity, so that neither the time of a look-up nor a dump of memory tells a key.
    credentials: ShardedMap<[u8; 32], Arc<Credential>>,
}

impl Directory {
    /// Nobody. `pepper` is random and made anew for each process.
    pub fn new(pepper: &[u8; 32]) -> Self {
        Directory {
            pepper: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, pepper)),
            consumers: ShardedMap::default(),
            credentials: ShardedMap::default(),
        }
    }

    /// The consumer of a name.
    pub fn consumer(&self, name: &str) -> Option<&Arc<Consumer>> {
        self.consumers.get(name)
    }

    /// The credential that an identity of an auth plugin belongs to: the key of `key-auth`, the user name of
    /// `basic-auth`, the `key` claim of `jwt-auth`.
    pub fn credential(&self, plugin: &str, identity: &str) -> Option<&Arc<Credential>> {
        self.credentials.get(&self.hash(plugin, identity))
    }

    /// Adds or replaces a consumer.
    pub fn insert_consumer(&mut self, consumer: Arc<Consumer>) {
        self.consumers.insert(consumer.name.clone(), consumer);
    }

    /// Takes a consumer away.
    pub fn remove_consumer(&mut self, name: &str) {
        self.consumers.remove(name);
    }

    /// Adds a credential. Returns the one that had the identity before.
    pub fn insert_credential(
        &mut self,
        plugin: &str,
        identity: &str,
        credential: Arc<Credential>,
    ) -> Option<Arc<Credential>> {
        let hash = self.hash(plugin, identity);
        self.credentials.insert(hash, credential)
    }

    /// Takes a credential away.
    pub fn remove_credential(&mut self, plugin: &str, identity: &str) {
        let hash = self.hash(plugin, identity);
        self.credentials.remove(&hash);
    }

    fn hash(&self, plugin: &str, identity: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.pepper);
        context.update(plugin.as_bytes());
        context.update(b"\0");
        context.update(identity.as_bytes());
        let tag = context.sign();
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        hash
    }
}
