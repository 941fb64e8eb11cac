//! `limit-conn`: so many calls at the same time.
//!
//! Each call takes a place for each limit, and gives it back when it has ended, however it ends. Places in Redis run out by
//! themselves, so that a gateway that was killed does not hold them for ever.

mod config;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tollgate_policy::expr::Template;
use tollgate_resources::objects::schema;
use tollgate_store::counters::{Counters, Decision, Enter, Entered, Place, Spread, Unavailable};

use self::config::{BurstNumber, Config, VariableKey};
use super::limits::{self, Amount, KeyType, Policy};
use super::spec::{read, status};
use super::{
    AtEnd, Call, CallVariables, Ended, Flow, Key, Later, Plugin, Reply, SchemaType, Scope, Setup, Spec,
    Unusable,
};

const NAME: &str = "limit-conn";

/// Seconds for which a place in Redis is held at most, unless `key_ttl` says otherwise.
const KEY_TTL: u64 = 3600;

/// `limit-conn`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 1003,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| {
        (kind == SchemaType::Route)
            .then(|| limits::with_redis_fields(schema::of::<Config>(), limits::Counted::Places))
    },
    check: |conf, _| {
        let config: Config = read(conf).map_err(|unusable| unusable.0)?;
        limits::check_redis(config.policy.into(), conf)
            .and_then(|()| LimitConn::new(config, conf, false, Counters::in_memory(Arc::default())))
            .map(drop)
            .map_err(|unusable| unusable.0)
    },
    setup: |conf, setup: &Setup<'_>| {
        let config: Config = read(conf)?;
        let name = limits::state_name(NAME, setup, conf);
        let spread = if config.rules.is_some() {
            Spread::Together
        } else {
            Spread::ByKey
        };
        let counters = limits::counters(config.policy.into(), conf, &name, spread, setup.state)?;
        Ok(Arc::new(LimitConn::new(config, conf, setup.strict, counters)?))
    },
    secret_fields: &["redis_password"],
};

struct LimitConn {
    counters: Counters,
    limits: Vec<Limit>,
    delay: Delay,
    lease_ms: u64,
    allow_degradation: bool,
    refusal: Arc<Refusal>,
}

struct Limit {
    conn: Amount,
    burst: Burst,
    key: limits::Key,
    /// Set before the key, so that rules never count together; `None` where there is one limit only.
    number: Option<usize>,
}

enum Burst {
    Fixed(u64),
    Template(Template),
}

/// By how much calls beyond `conn` are held up.
#[derive(Clone, Copy)]
struct Delay {
    seconds: f64,
    /// Whether it does not grow with the number of calls.
    is_fixed: bool,
}

/// What refused callers are told.
struct Refusal {
    status: StatusCode,
    text: Option<String>,
}

impl LimitConn {
    fn new(config: Config, conf: &Value, strict: bool, counters: Counters) -> Result<Self, Unusable> {
        let lease_ms = match config.policy.into() {
            // They end with the process, and with their calls.
            Policy::Local => u64::MAX,
            _ => conf
                .get("key_ttl")
                .and_then(Value::as_u64)
                .unwrap_or(KEY_TTL)
                .max(1)
                .saturating_mul(1000),
        };
        Ok(LimitConn {
            counters,
            delay: Delay {
                seconds: config.default_conn_delay,
                // APISIX has the field and does not look at it.
                is_fixed: config.only_use_default_delay && !strict,
            },
            lease_ms,
            allow_degradation: config.allow_degradation,
            refusal: Arc::new(Refusal {
                status: status("rejected_code", config.rejected_code)?,
                text: config.rejected_msg.clone(),
            }),
            limits: limits_of(config)?,
        })
    }
}

fn limits_of(config: Config) -> Result<Vec<Limit>, Unusable> {
    if let Some(rules) = config.rules {
        let limits = rules.into_iter().enumerate().map(|(index, rule)| {
            Ok(Limit {
                conn: Amount::new("rules.conn", rule.conn)?,
                burst: Burst::new(rule.burst),
                key: limits::Key::new(KeyType::VarCombination, rule.key),
                number: Some(index + 1),
            })
        });
        return limits.collect();
    }
    let (Some(conn), Some(burst), Some(key)) = (config.conn, config.burst, config.key) else {
        return Err(Unusable("conn, burst and key, or rules, are needed".to_owned()));
    };
    let kind = match config.key_type {
        VariableKey::Var => KeyType::Var,
        VariableKey::VarCombination => KeyType::VarCombination,
    };
    Ok(vec![Limit {
        conn: Amount::new("conn", conn)?,
        burst: Burst::new(burst),
        key: limits::Key::new(kind, key),
        number: None,
    }])
}

impl Burst {
    fn new(number: BurstNumber) -> Self {
        match number {
            BurstNumber::Fixed(number) => Burst::Fixed(number),
            BurstNumber::Template(text) => Burst::Template(Template::parse(&text)),
        }
    }

    /// The number for a call; nothing when its variables give none.
    fn of(&self, call: &Call<'_>) -> Option<u64> {
        match self {
            Burst::Fixed(number) => Some(*number),
            Burst::Template(template) => {
                let (text, _) = template.render(&CallVariables::new(call));
                text.trim().parse().ok()
            }
        }
    }
}

impl LimitConn {
    /// The places a call needs, and how many calls are not held up for each; `None` if it cannot be told what a limit is.
    fn places(&self, call: &Call<'_>) -> Option<(Vec<u64>, Vec<Enter>)> {
        let (mut free, mut enters) = (Vec::new(), Vec::new());
        for limit in &self.limits {
            let (conn, burst) = (limit.conn.of(call), limit.burst.of(call));
            let (key, conn, burst) = match (limit.number, conn, burst) {
                (Some(number), Some(conn), Some(burst)) => match limit.key.of(call) {
                    Some(key) => (format!("{number}:{key}"), conn, burst),
                    None => continue,
                },
                // As APISIX has it, a rule whose numbers cannot be told does not apply.
                (Some(_), ..) => continue,
                (None, conn, burst) => (limit.key.or_address(call), conn?, burst?),
            };
            free.push(conn);
            enters.push(Enter {
                key: key.into(),
                limit: conn.saturating_add(burst),
                lease_ms: self.lease_ms,
            });
        }
        (!enters.is_empty()).then_some((free, enters))
    }
}

impl Delay {
    /// How long a call waits that is one of `taken`, of which `free` do not.
    fn of(self, taken: u64, free: u64) -> Duration {
        if taken <= free {
            return Duration::ZERO;
        }
        let times = if self.is_fixed {
            1
        } else {
            (taken - 1) / free.max(1)
        };
        #[expect(clippy::cast_precision_loss, reason = "nobody waits so long")]
        let seconds = self.seconds * times as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Refusal {
    fn reply(&self) -> Box<Reply> {
        Box::new(match &self.text {
            Some(text) => Reply::error(
                self.status,
                "too_many_concurrent_calls",
                Key::ErrorMsg,
                text.clone(),
            ),
            None => Reply::status(self.status, "too_many_concurrent_calls"),
        })
    }
}

/// The places of a call, given back when it has ended.
struct Held(#[expect(dead_code, reason = "dropping them gives them back")] Vec<Place>);

impl AtEnd for Held {
    fn end(self: Box<Self>, _: &Ended<'_>) {}
}

/// What comes of the places a call has asked for: how long it waits and what it holds, or `None` when it is refused.
fn admitted(delay: Delay, free: &[u64], entered: Vec<Entered>) -> Option<(Duration, Box<Held>)> {
    let mut wait = Duration::ZERO;
    let mut places = Vec::with_capacity(entered.len());
    for (entered, free) in entered.into_iter().zip(free) {
        places.push(entered.place?);
        wait = wait.saturating_add(delay.of(entered.taken, *free));
    }
    Some((wait, Box::new(Held(places))))
}

/// Waits shorter than this are not worth a timer.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl Plugin for LimitConn {
    fn preview(&self, _call: &mut Call<'_>) -> Option<Flow> {
        None
    }

    fn access(&self, call: &mut Call<'_>) -> Flow {
        let Some((free, enters)) = self.places(call) else {
            if self.allow_degradation {
                return Flow::Next;
            }
            return Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "limit_unclear").into();
        };
        match self.counters.enter(enters, call.now) {
            Decision::Made(entered) => match admitted(self.delay, &free, entered) {
                None => Flow::Answer(self.refusal.reply()),
                Some((wait, held)) => {
                    call.at_end.push(held);
                    if wait < SHORTEST_WAIT {
                        Flow::Next
                    } else {
                        Flow::Wait(wait)
                    }
                }
            },
            Decision::Later(entered) => {
                let (delay, allow_degradation) = (self.delay, self.allow_degradation);
                let refusal = self.refusal.clone();
                Flow::Later(Box::pin(async move {
                    let mut later = Later::default();
                    match entered.await.map(|entered| admitted(delay, &free, entered)) {
                        Ok(None) => later.reply = Some(refusal.reply()),
                        Ok(Some((wait, held))) => {
                            later.at_end.push(held);
                            if wait >= SHORTEST_WAIT {
                                tokio::time::sleep(wait).await;
                            }
                        }
                        Err(_) if allow_degradation => {}
                        Err(unavailable) => later.reply = Some(Box::new(uncounted(&unavailable))),
                    }
                    later
                }))
            }
        }
    }
}

/// The answer to calls that cannot be counted. Why, the counters tell the log; not for each call, though.
fn uncounted(unavailable: &Unavailable) -> Reply {
    tracing::debug!(%unavailable, "a call could not be counted");
    Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "limit_unavailable")
}

#[cfg(test)]
mod tests;
