//! `limit-req`: calls per second, smoothed as by a leaky bucket. What comes too fast waits; what would wait too long is refused.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_resources::objects::schema;
use tollgate_store::counters::{Expires, Hashed, Sharded, milliseconds};

use super::limits::{self, KeyType};
use super::spec::{read, status};
use super::{Call, Flow, Key, Plugin, Reply, SchemaType, Scope, Setup, Spec, Unusable};

const NAME: &str = "limit-req";

/// `limit-req`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 1001,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| {
        LimitReq::new(conf, Arc::default())
            .map(drop)
            .map_err(|unusable| unusable.0)
    },
    setup: |conf, setup: &Setup<'_>| {
        let buckets = setup.state.of(&limits::state_name(NAME, setup, conf));
        Ok(Arc::new(LimitReq::new(conf, buckets)?))
    },
    secret_fields: &["redis_password"],
};

/// How fast calls may come.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Calls per second that go through without waiting.
    #[schemars(extend("exclusiveMinimum" = 0))]
    rate: f64,
    /// Calls that may come ahead of the rate; they wait until it is their turn, and further ones are refused.
    #[schemars(range(min = 0))]
    burst: f64,
    /// What calls are counted by: the name of a variable, or a text with variables in it.
    key: String,
    /// How the key is written.
    #[serde(default)]
    key_type: VariableKey,
    /// Where calls are counted.
    #[serde(default)]
    #[schemars(extend("default" = "local"))]
    policy: Policy,
    /// Status of the answer to calls that are refused.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// Text of that answer.
    #[schemars(length(min = 1))]
    rejected_msg: Option<String>,
    /// Whether calls within the burst go through without waiting.
    #[serde(default)]
    nodelay: bool,
    /// Whether calls go through when they cannot be counted. In memory they always can.
    #[serde(default)]
    #[expect(dead_code, reason = "counting in memory does not fail")]
    allow_degradation: bool,
}

fn unavailable() -> u16 {
    503
}

/// How a key is written.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VariableKey {
    /// The name of a variable.
    #[default]
    Var,
    /// A text with variables in it.
    VarCombination,
}

/// Where calls are counted.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    /// On a Redis server.
    Redis,
    /// In a Redis cluster.
    RedisCluster,
    /// In this process.
    #[default]
    Local,
}

struct LimitReq {
    buckets: Arc<Sharded<Bucket>>,
    rate: f64,
    burst: f64,
    key: limits::Key,
    status: StatusCode,
    text: Option<String>,
    waits: bool,
}

impl LimitReq {
    fn new(conf: &Value, buckets: Arc<Sharded<Bucket>>) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        limits::only_local(match config.policy {
            Policy::Redis => "redis",
            Policy::RedisCluster => "redis-cluster",
            Policy::Local => limits::LOCAL,
        })?;
        let kind = match config.key_type {
            VariableKey::Var => KeyType::Var,
            VariableKey::VarCombination => KeyType::VarCombination,
        };
        Ok(LimitReq {
            buckets,
            rate: config.rate,
            burst: config.burst,
            key: limits::Key::new(kind, config.key),
            status: status("rejected_code", config.rejected_code)?,
            text: config.rejected_msg,
            waits: !config.nodelay,
        })
    }
}

/// Calls that came ahead of the rate.
#[derive(Default)]
struct Bucket {
    /// How many, and when that was; nothing before the first call.
    level: Option<(f64, u64)>,
    expires_ms: u64,
}

impl Expires for Bucket {
    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

impl Bucket {
    /// Takes a call in and tells how long it has to wait; nothing when it is one too many.
    fn pour(&mut self, now_ms: u64, rate: f64, burst: f64) -> Option<Duration> {
        let level = match self.level {
            None => 0.0,
            Some((level, at_ms)) => {
                let passed = Duration::from_millis(now_ms.saturating_sub(at_ms));
                (level - rate * passed.as_secs_f64() + 1.0).max(0.0)
            }
        };
        if level > burst {
            return None;
        }
        let seconds = |calls: f64| Duration::try_from_secs_f64(calls / rate).unwrap_or(Duration::MAX);
        self.level = Some((level, now_ms));
        let life_ms = u64::try_from(seconds(level + 1.0).as_millis()).unwrap_or(u64::MAX);
        self.expires_ms = now_ms.saturating_add(life_ms).saturating_add(1);
        Some(seconds(level))
    }
}

/// Waits shorter than this are not worth a timer.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl Plugin for LimitReq {
    fn preview(&self, _call: &mut Call<'_>) -> Option<Flow> {
        None
    }

    fn access(&self, call: &mut Call<'_>) -> Flow {
        let key = self.key.or_address(call);
        let now_ms = milliseconds(call.now);
        let turn = self.buckets.update(Hashed::of(&key), now_ms, |bucket| {
            bucket.pour(now_ms, self.rate, self.burst)
        });
        match (turn, &self.text) {
            (Some(wait), _) if self.waits && wait >= SHORTEST_WAIT => Flow::Wait(wait),
            (Some(_), _) => Flow::Next,
            (None, Some(text)) => {
                Reply::error(self.status, "rate_limited", Key::ErrorMsg, text.clone()).into()
            }
            (None, None) => Reply::status(self.status, "rate_limited").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin, told};
    use super::*;

    fn wait_of(flow: &Flow) -> Option<u128> {
        match flow {
            Flow::Next => Some(0),
            Flow::Wait(duration) => Some(duration.as_millis()),
            _ => None,
        }
    }

    #[test]
    fn calls_within_the_burst_wait_for_their_turn_and_further_ones_are_refused() {
        let plugin = plugin(
            &SPEC,
            &json!({"rate": 2, "burst": 2, "key": "remote_addr", "rejected_code": 429}),
        );
        let mut caller = Caller::get("/");
        let waits: Vec<_> = (0..4).map(|_| wait_of(&caller.access(&plugin))).collect();
        assert_eq!(waits, [Some(0), Some(500), Some(1000), None]);
        assert_eq!(told(caller.access(&plugin)), (429, String::new()));
        // Refused calls do not push others back: half a second later there is room for one.
        caller.later(500);
        assert_eq!(wait_of(&caller.access(&plugin)), Some(1000));
        caller.later(10_000);
        assert_eq!(wait_of(&caller.access(&plugin)), Some(0));
    }

    #[test]
    fn without_delay_the_burst_goes_through_at_once() {
        let plugin = plugin(
            &SPEC,
            &json!({"rate": 1, "burst": 1, "key": "arg_u", "nodelay": true, "rejected_msg": "slow down"}),
        );
        let mut caller = Caller::get("/?u=1");
        assert!(passed(&caller.access(&plugin)));
        assert!(passed(&caller.access(&plugin)));
        assert_eq!(
            told(caller.access(&plugin)),
            (503, r#"{"error_msg":"slow down"}"#.to_owned())
        );
        assert!(passed(&Caller::get("/?u=2").access(&plugin)));
    }

    #[test]
    fn policies_that_need_redis_are_refused_with_the_reason() {
        let conf = json!({"rate": 1, "burst": 1, "key": "remote_addr", "policy": "redis-cluster"});
        let refused = (SPEC.check)(&conf, SchemaType::Route).unwrap_err();
        assert!(refused.starts_with("policy: redis-cluster needs"), "{refused}");
    }
}
