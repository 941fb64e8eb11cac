//! `limit-count`: so many calls in so much time.
//!
//! Knows what is counted against which limit and what the caller is told; counting itself is `tollgate_store::counters`.

mod config;

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tollgate_resources::objects::schema;
use tollgate_store::counters::{
    Act, Ask, Counters, Decision, Limit as WindowLimit, Spread, Together, Unavailable, Verdict, Windows,
};

use self::config::{Config, Metadata, WindowType};
use super::auth::header_name;
use super::limits::{self, Amount, KeyType, seconds};
use super::spec::{read, status};
use super::{Call, Flow, Key, Later, Plugin, Reply, SchemaType, Scope, Setup, Spec, Unusable};

const NAME: &str = "limit-count";

/// `limit-count`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 1002,
    version: 0.5,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => {
            let schema = schema::of::<Config>();
            Some(limits::with_redis_fields(schema, limits::Counted::Windows))
        }
        SchemaType::Metadata => Some(schema::of::<Metadata>()),
        SchemaType::Consumer => None,
    },
    check: |conf, kind| {
        match kind {
            SchemaType::Metadata => read::<Metadata>(conf).and_then(|metadata| {
                Headers::new(&metadata, None)?;
                Ok(())
            }),
            _ => check(conf),
        }
        .map_err(|unusable| unusable.0)
    },
    setup: |conf, setup: &Setup<'_>| {
        let state = match conf.get("group").and_then(Value::as_str) {
            Some(group) => format!("{NAME}/group/{group}"),
            None => limits::state_name(NAME, setup, conf),
        };
        let config: Config = read(conf)?;
        let spread = if config.rules.is_some() {
            Spread::Together
        } else {
            Spread::ByKey
        };
        let counters = limits::counters(config.policy, conf, &state, spread, setup.state)?;
        let (metadata, strict) = (setup.metadata, setup.strict);
        Ok(Arc::new(LimitCount::new(config, metadata, strict, counters)?))
    },
    secret_fields: &["redis_password", "sentinel_password"],
};

/// What the schema cannot say.
fn check(conf: &Value) -> Result<(), Unusable> {
    let config: Config = read(conf)?;
    limits::check_redis(config.policy, conf)?;
    config.check_sync_interval()?;
    LimitCount::new(config, None, false, Counters::in_memory(Arc::default())).map(drop)
}

struct LimitCount {
    counters: Counters,
    limits: Vec<Limit>,
    windows: Windows,
    allow_degradation: bool,
    /// What callers are told; shared with what waits for counters.
    telling: Arc<Telling>,
}

/// What callers are told about limits.
struct Telling {
    /// Names of the headers of each limit.
    headers: Vec<Headers>,
    show_headers: bool,
    /// Whether refused callers are told when to come back, which SDKs of providers wait for. APISIX does not.
    retry_after: bool,
    status: StatusCode,
    text: Option<String>,
}

struct Limit {
    count: Amount,
    seconds: Amount,
    key: limits::Key,
    /// Set before the key in counters, so that rules never count together; `None` where there is one limit only.
    number: Option<usize>,
}

/// Names of the headers that tell a limit.
struct Headers {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

impl LimitCount {
    fn new(
        config: Config,
        metadata: Option<&Value>,
        strict: bool,
        counters: Counters,
    ) -> Result<Self, Unusable> {
        let metadata: Metadata = metadata.map(read).transpose()?.unwrap_or_default();
        let windows = match config.window_type {
            WindowType::Fixed => Windows::Fixed,
            WindowType::Sliding => Windows::Sliding,
        };
        let (allow_degradation, show_headers) = (config.allow_degradation, config.show_limit_quota_header);
        let status = status("rejected_code", config.rejected_code)?;
        let text = config.rejected_msg.clone();
        let (limits, headers) = limits_of(config, &metadata)?;
        Ok(LimitCount {
            counters,
            limits,
            windows,
            allow_degradation,
            telling: Arc::new(Telling {
                headers,
                show_headers,
                retry_after: !strict,
                status,
                text,
            }),
        })
    }
}

fn limits_of(config: Config, metadata: &Metadata) -> Result<(Vec<Limit>, Vec<Headers>), Unusable> {
    let refused = |text: &str| Err(Unusable(text.to_owned()));
    let rules = match (config.count, config.time_window, config.rules) {
        (Some(count), Some(seconds), None) => {
            let limit = Limit {
                count: Amount::new("count", count)?,
                seconds: Amount::new("time_window", seconds)?,
                key: limits::Key::new(config.key_type, config.key),
                number: None,
            };
            return Ok((vec![limit], vec![Headers::new(metadata, None)?]));
        }
        (None, None, Some(rules)) => rules,
        (_, _, Some(_)) => {
            return refused("count/time_window and rules cannot be specified at the same time");
        }
        (_, _, None) => return refused("count and time_window, or rules, are needed"),
    };
    if config.group.is_some() {
        return refused("group and rules cannot be specified at the same time");
    }
    let mut limits = Vec::with_capacity(rules.len());
    let mut headers = Vec::with_capacity(rules.len());
    let mut keys: Vec<String> = Vec::with_capacity(rules.len());
    for (index, rule) in rules.into_iter().enumerate() {
        if keys.contains(&rule.key) {
            return refused(&format!("duplicate key '{}' in rules", rule.key));
        }
        keys.push(rule.key.clone());
        let number = index + 1;
        let prefix = rule.header_prefix.unwrap_or_else(|| number.to_string());
        limits.push(Limit {
            count: Amount::new("rules.count", rule.count)?,
            seconds: Amount::new("rules.time_window", rule.time_window)?,
            key: limits::Key::new(KeyType::VarCombination, rule.key),
            number: Some(number),
        });
        headers.push(Headers::new(metadata, Some(&prefix))?);
    }
    Ok((limits, headers))
}

impl Headers {
    fn new(metadata: &Metadata, prefix: Option<&str>) -> Result<Self, Unusable> {
        let name = |field: &str, name: &str| match prefix {
            Some(prefix) => header_name(
                field,
                &name.replacen("RateLimit-", &format!("{prefix}-RateLimit-"), 1),
            ),
            None => header_name(field, name),
        };
        Ok(Headers {
            limit: name("limit_header", &metadata.limit_header)?,
            remaining: name("remaining_header", &metadata.remaining_header)?,
            reset: name("reset_header", &metadata.reset_header)?,
        })
    }
}

/// A limit that applies to a call.
struct Applied {
    /// Its place among the limits.
    place: usize,
    count: u64,
}

impl LimitCount {
    /// What is asked of the counters for a call; `None` if it cannot be told what a limit is.
    fn asks(&self, call: &Call<'_>) -> Option<(Vec<Applied>, Vec<Ask>)> {
        let (mut applied, mut asks) = (Vec::new(), Vec::new());
        for (place, limit) in self.limits.iter().enumerate() {
            let key = match limit.number {
                // A rule counts only calls that have its key; what does not say a limit must not switch it off, though.
                Some(number) => match limit.key.of(call) {
                    Some(key) => format!("{number}:{key}"),
                    None => continue,
                },
                None => limit.key.or_address(call),
            };
            let (count, seconds) = (limit.count.of(call)?, limit.seconds.of(call)?);
            let limit = WindowLimit {
                amount: count,
                window_ms: seconds.saturating_mul(1000),
                windows: self.windows,
            };
            applied.push(Applied { place, count });
            asks.push(Ask {
                key: key.into(),
                limit,
                act: Act::Take(1),
            });
        }
        (!asks.is_empty()).then_some((applied, asks))
    }
}

impl Telling {
    /// Writes headers, and the answer if one of the limits has said no.
    fn tell(&self, applied: &[Applied], verdicts: &[Verdict], headers: &mut HeaderMap) -> Option<Box<Reply>> {
        for (limit, verdict) in applied.iter().zip(verdicts) {
            if self.show_headers
                && let Some(names) = self.headers.get(limit.place)
            {
                let remaining = if verdict.is_allowed { verdict.remaining } else { 0 };
                headers.insert(names.limit.clone(), HeaderValue::from(limit.count));
                headers.insert(names.remaining.clone(), HeaderValue::from(remaining));
                if let Ok(reset) = HeaderValue::try_from(seconds(verdict.reset_ms)) {
                    headers.insert(names.reset.clone(), reset);
                }
            }
            if !verdict.is_allowed {
                return Some(Box::new(self.refusal(verdict.reset_ms)));
            }
        }
        None
    }

    fn refusal(&self, reset_ms: u64) -> Reply {
        let reply = match &self.text {
            Some(text) => Reply::error(self.status, "quota_exceeded", Key::ErrorMsg, text.clone()),
            None => Reply::status(self.status, "quota_exceeded"),
        };
        if !self.retry_after {
            return reply;
        }
        reply.with(RETRY_AFTER, HeaderValue::from(reset_ms.div_ceil(1000).max(1)))
    }
}

impl Plugin for LimitCount {
    fn access(&self, call: &mut Call<'_>) -> Flow {
        self.decide(call, true)
    }

    fn preview(&self, call: &mut Call<'_>) -> Option<Flow> {
        Some(self.decide(call, false))
    }
}

impl LimitCount {
    /// What the limits say; the call is `counted` or not.
    fn decide(&self, call: &mut Call<'_>, counted: bool) -> Flow {
        let Some((applied, mut asks)) = self.asks(call) else {
            if self.allow_degradation {
                return Flow::Next;
            }
            return Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "limit_unclear").into();
        };
        if !counted {
            asks.iter_mut().for_each(|ask| ask.act = Act::Take(0));
        }
        match self.counters.decide(asks, Together::InTurn, call.now) {
            Decision::Made(verdicts) => {
                let reply = self.telling.tell(&applied, &verdicts, &mut call.answer_headers);
                reply.map_or(Flow::Next, Flow::Answer)
            }
            Decision::Later(verdicts) => {
                let (telling, allow_degradation) = (self.telling.clone(), self.allow_degradation);
                Flow::Later(Box::pin(async move {
                    let mut later = Later::default();
                    later.reply = match verdicts.await {
                        Ok(verdicts) => telling.tell(&applied, &verdicts, &mut later.answer_headers),
                        Err(_) if allow_degradation => None,
                        Err(unavailable) => Some(Box::new(uncounted(&unavailable))),
                    };
                    later
                }))
            }
        }
    }
}

/// The answer to calls that cannot be counted. Why, the counters tell the log; not for each call, though.
fn uncounted(unavailable: &Unavailable) -> Reply {
    tracing::debug!(%unavailable, "a call could not be counted");
    Reply::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "limit_unavailable",
        Key::ErrorMsg,
        "failed to limit count",
    )
}

#[cfg(test)]
mod tests;
