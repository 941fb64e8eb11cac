//! Conversations of OpenAI's Responses API, kept by the gateway so that they go on at any provider.
//!
//! A call passes here twice: before it is sent, [`expand`] puts the conversation into it, and when it has been answered, the
//! answer is kept ([`Responses::whole`], [`Tap`]). What clients ask about kept responses is answered by [`serve`]. Everything
//! works on the bytes of requests and answers, whatever the provider speaks; where they are kept, `tollgate_store` knows.

mod expand;
mod items;
mod meters;
mod remember;
pub mod serve;
mod tap;
mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use thiserror::Error;
use tollgate_dialects::scan::Members;
use tollgate_resources::Secret;
use tollgate_resources::model::{self, HostPort, RedisServers, ResponsesHome};
use tollgate_store::StoreKey;
use tollgate_store::counters::{Address, Encryption, Login, RedisSettings, Servers};
use tollgate_store::responses::{ResponseStore, ResponseStoreError, Settings};
use tollgate_telemetry::Metrics;

use self::meters::Meters;
use self::remember::{NotKept, remember, shown};
use crate::clock;
use crate::error::CallError;
use crate::upstream::{EndpointError, TlsSettings, client_config};

pub use expand::{Asked, Expanded, Purpose};
pub use tap::Tap;

/// What becomes of conversations.
pub enum Responses {
    /// The gateway keeps them.
    Kept(Arc<Keeper>),
    /// The provider keeps them: requests and answers pass as they are.
    Passed,
    /// Nobody keeps them.
    Off,
}

/// Keeps conversations.
pub struct Keeper {
    store: ResponseStore,
    meters: Arc<Meters>,
}

/// Where conversations can be kept.
pub struct Places {
    /// The data directory, and the key that is used there.
    pub directory: Option<(PathBuf, StoreKey)>,
    /// The key for what others can read; the one that was configured, if one was.
    pub shared_key: Option<StoreKey>,
    /// Whether the process that this one takes over from uses the directory too, for a while.
    pub is_shared: bool,
}

/// Why conversations cannot be kept.
#[derive(Debug, Error)]
pub enum ResponsesError {
    /// `embedded` was asked for without a data directory.
    #[error("responses.store: there is no data directory; start with --data-dir")]
    NoDirectory,
    /// An environment variable is missing.
    #[error("responses.redis.{0}")]
    Secret(String),
    /// The TLS settings cannot be used.
    #[error("responses.redis.tls: {0}")]
    Tls(#[from] EndpointError),
    /// The store cannot be opened.
    #[error("responses.store: {0}")]
    Store(#[from] ResponseStoreError),
}

impl Responses {
    /// Opens what a configuration asks for. Opens files, and starts a thread.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(
        config: &model::Responses,
        places: Places,
        env: &dyn Fn(&str) -> Option<String>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ResponsesError> {
        let home = config.store.unwrap_or(if places.directory.is_some() {
            ResponsesHome::Embedded
        } else {
            ResponsesHome::Memory
        });
        let default_bytes = match home {
            ResponsesHome::Embedded => model::Responses::DEFAULT_FILE_BYTES,
            _ => model::Responses::DEFAULT_MEMORY_BYTES,
        };
        let meters = Arc::new(Meters::new(metrics));
        let settings = Settings {
            ttl_s: config.ttl_s.max(1),
            max_record_bytes: config.max_turn_bytes,
            max_bytes: config.max_size_bytes.unwrap_or(default_bytes),
            clock: Arc::new(clock::steady_s),
            observer: meters.clone(),
        };
        let store = match home {
            ResponsesHome::Passthrough => return Ok(Responses::Passed),
            ResponsesHome::Off => return Ok(Responses::Off),
            ResponsesHome::Memory => ResponseStore::in_memory(settings),
            ResponsesHome::Embedded => {
                let (directory, key) = places.directory.ok_or(ResponsesError::NoDirectory)?;
                if places.is_shared {
                    ResponseStore::open_shared(&directory, key, settings)?
                } else {
                    ResponseStore::open(&directory, key, settings)?
                }
            }
            ResponsesHome::Redis => {
                let Some(redis) = &config.redis else {
                    return Err(ResponsesError::Secret("is missing".to_owned()));
                };
                let (redis, tls) = redis_settings(redis, env)?;
                let metrics = metrics.clone();
                let observer = move |_: &str| meters::of_redis(metrics);
                ResponseStore::in_redis(redis, tls, places.shared_key, observer, settings)?
            }
        };
        Ok(Responses::Kept(Arc::new(Keeper { store, meters })))
    }

    /// What is used where nothing was configured: memory.
    pub fn in_memory(metrics: &Arc<Metrics>) -> Self {
        let places = Places {
            directory: None,
            shared_key: None,
            is_shared: false,
        };
        // Nothing of it can fail.
        Responses::open(&model::Responses::default(), places, &|_| None, metrics).unwrap_or(Responses::Off)
    }

    /// Puts its conversation into a request. `None` if it goes on as it is. `id` becomes that of the answer.
    ///
    /// # Errors
    /// See [`CallError`]: its conversation is not known, or cannot be read.
    pub async fn expand(
        &self,
        owner: &str,
        id: String,
        purpose: Purpose,
        request: (&Bytes, &Members),
        max_bytes: u64,
    ) -> Result<Option<Expanded>, CallError> {
        let store = match self {
            Responses::Passed => return Ok(None),
            Responses::Off => None,
            Responses::Kept(keeper) => Some(&keeper.store),
        };
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        expand::expand(store, owner, id, purpose, request, max_bytes)
            .await
            .map(Some)
    }

    /// A whole answer as the client is to see it. If it is to be kept, it is.
    pub fn whole(&self, answer: &Bytes, asked: &Asked) -> Bytes {
        let Responses::Kept(keeper) = self else {
            return answer.clone();
        };
        if !asked.is_changed() {
            return answer.clone();
        }
        let Some(shown) = shown(answer, asked) else {
            keeper.not_understood();
            return answer.clone();
        };
        if shown.is_final {
            keeper.keep(&shown.response, asked);
        }
        shown.response
    }

    /// What looks at a streamed answer on its way to the client; `None` if nothing has to.
    pub fn tap(&self, asked: &Asked) -> Option<Tap> {
        match self {
            Responses::Kept(keeper) if asked.is_changed() => Some(Tap::new(keeper.clone(), asked.clone())),
            Responses::Kept(_) | Responses::Passed | Responses::Off => None,
        }
    }

    /// The store, for questions about kept responses; `None` if there is none.
    pub fn store(&self) -> Option<&ResponseStore> {
        match self {
            Responses::Kept(keeper) => Some(&keeper.store),
            Responses::Passed | Responses::Off => None,
        }
    }

    /// Lets one other process use the file of conversations too, or has it for this one alone again.
    pub fn share(&self, is_shared: bool) {
        if let Responses::Kept(keeper) = self {
            keeper.store.share(is_shared);
        }
    }

    /// Writes what waits to be kept, for so long at most. Tells how much is left. Must not be called on a runtime.
    pub fn finish(&self, patience: Duration) -> usize {
        match self {
            Responses::Kept(keeper) => keeper.store.finish(patience),
            Responses::Passed | Responses::Off => 0,
        }
    }
}

impl Keeper {
    /// Keeps an answer as the client sees it, if it is to be kept. Does not wait.
    fn keep(&self, response: &[u8], asked: &Asked) {
        if !asked.store {
            return;
        }
        match remember(&self.store, response, asked, clock::steady_s()) {
            Ok(()) | Err(NotKept::Told) => {}
            Err(NotKept::NotUnderstood) => self.not_understood(),
        }
    }

    fn not_understood(&self) {
        self.meters.not_understood();
    }
}

impl Asked {
    /// Whether the client is to see other things than the provider says.
    fn is_changed(&self) -> bool {
        self.store || self.previous.is_some()
    }
}

/// The owner of what a consumer asks.
pub fn owner(consumer: Option<&str>) -> String {
    match consumer {
        Some(name) => format!("consumer/{name}"),
        None => "anonymous".to_owned(),
    }
}

/// How a Redis is reached. `env` looks up the variables of its passwords.
pub(crate) fn redis_settings(
    redis: &model::Redis,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(RedisSettings, Option<Arc<ClientConfig>>), ResponsesError> {
    let secret = |name: &str,
                  reference: &Option<tollgate_resources::SecretRef>|
     -> Result<Option<Secret>, ResponsesError> {
        let resolved = reference
            .as_ref()
            .map(|reference| reference.resolve(env))
            .transpose();
        resolved.map_err(|missing| ResponsesError::Secret(format!("{name}: {missing}")))
    };
    let address = |address: &HostPort| Address {
        host: address.host.clone(),
        port: address.port,
    };
    let (encryption, tls) = match &redis.tls {
        None => (Encryption::Off, None),
        Some(tls) => {
            let settings = TlsSettings {
                ca_file: tls.ca_file.clone(),
                verify: tls.verify,
            };
            let mut config = ClientConfig::clone(&*client_config(&settings, None)?);
            config.alpn_protocols.clear();
            let encryption = if tls.verify {
                Encryption::Verified
            } else {
                Encryption::Unverified
            };
            (encryption, Some(Arc::new(config)))
        }
    };
    let settings = RedisSettings {
        servers: match &redis.servers {
            RedisServers::One(one) => Servers::One(address(one)),
            RedisServers::Cluster(nodes) => Servers::Cluster(nodes.iter().map(address).collect()),
            RedisServers::Sentinels { addresses, master } => Servers::Sentinel {
                sentinels: addresses.iter().map(address).collect(),
                master: master.clone(),
            },
        },
        login: Login {
            username: redis.username.clone(),
            password: secret("password", &redis.password)?,
            sentinel_username: redis.sentinel_username.clone(),
            sentinel_password: secret("sentinel_password", &redis.sentinel_password)?,
        },
        database: redis.database,
        timeout: Duration::from_millis(redis.timeout_ms),
        encryption,
    };
    Ok((settings, tls))
}

#[cfg(test)]
mod tests;
