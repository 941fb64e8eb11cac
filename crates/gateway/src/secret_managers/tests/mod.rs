//! A gateway with objects, and small servers that stand for the managers.

mod managers;
mod peer;
mod times;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tollgate_resources::Resources;
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_telemetry::{AccessLog, Format, Target, Telemetry};

use super::{Moment, Timing};
use crate::objects::Change;
use crate::{Gateway, Setting};

/// A gateway whose secrets age by a clock that stands still.
struct Bench {
    gateway: Arc<Gateway>,
    seconds: Arc<AtomicU64>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        Bench::with_limit(Duration::from_secs(20))
    }

    /// `fetch_within` is real time.
    fn with_limit(fetch_within: Duration) -> Self {
        let bench = Bench::without_agent();
        bench.start_agent(fetch_within);
        bench
    }

    fn without_agent() -> Self {
        let setting = Setting {
            pepper: [7; 32],
            telemetry: Telemetry::new(AccessLog::start(Target::Off, Format::Json).unwrap()),
            env: Box::new(|name| (name == "VAULT_TOKEN").then(|| "root".to_owned())),
            strict_apisix: false,
            tls_versions: Vec::new(),
            plugins: None,
            forwarding: crate::Forwarding::default(),
        };
        let gateway = Arc::new(Gateway::new(&Resources::default(), &|_| None, setting).unwrap());
        let seconds = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Bench {
            gateway,
            seconds,
            runtime,
        }
    }

    fn start_agent(&self, fetch_within: Duration) {
        let clock = self.seconds.clone();
        let timing = Timing {
            clock: Arc::new(move || {
                let running = Duration::from_secs(clock.load(Ordering::SeqCst));
                Moment {
                    running,
                    wall: noon() + running,
                }
            }),
            fetch_within,
            answer_within: Duration::from_secs(60),
            look_every: Duration::from_secs(3_600),
            ..Timing::default()
        };
        self.gateway.start_secret_agent_with(timing).unwrap();
        // The look at the start is over when this is; what it found may still be under way.
        self.at(0);
    }

    /// Writes objects and waits for the answer.
    fn write(&self, changes: Vec<Change>) {
        // The Admin API may move the future between threads.
        fn sendable<F: Future<Output = ()> + Send>(future: F) -> F {
            future
        }
        self.runtime
            .block_on(sendable(self.gateway.apply_with_secrets(changes)));
    }

    /// Lets the time become this and everything happen that is due then.
    fn at(&self, seconds: u64) {
        self.seconds.store(seconds, Ordering::SeqCst);
        self.runtime.block_on(self.gateway.look_for_secrets());
    }

    /// Whether a caller who shows this key is known.
    fn lets_in(&self, key: &str) -> bool {
        let snapshot = self.gateway.snapshot();
        snapshot.plane.directory.credential("key-auth", key).is_some()
    }
}

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn object(kind: Kind, id: &str, value: &Value) -> Change {
    let key = ObjectKey::new(kind, id);
    let object = Object {
        key: key.clone(),
        value: value.as_object().unwrap().clone(),
        created_index: 1,
        modified_index: 1,
    };
    (key, Some(Arc::new(object)))
}

/// The consumer jack, whose key is this.
fn jack(key: &str) -> Change {
    let value = json!({"username": "jack", "plugins": {"key-auth": {"key": key}}});
    object(Kind::Consumer, "jack", &value)
}

fn manager(id: &str, value: &Value) -> Change {
    object(Kind::Secret, id, value)
}

fn vault(uri: &str, token: &str) -> Change {
    manager(
        "vault/1",
        &json!({"uri": uri, "prefix": "kv/apisix", "token": token}),
    )
}

const IN_VAULT: &str = "$secret://vault/1/jack/auth-key";
