//! `limit-count`: so many calls in so much time.
//!
//! Knows what is counted against which limit and what the caller is told; counting itself is in [`window`].

mod config;
mod window;

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tollgate_policy::expr::Template;
use tollgate_resources::objects::schema;

use self::config::{Config, Metadata, Number, WindowType};
use self::window::{Verdict, Window};
use super::auth::header_name;
use super::limits::{self, Counters, KeyType};
use super::spec::{read, status};
use super::variables::CallVariables;
use super::{Call, Flow, Key, Plugin, Reply, SchemaType, Scope, Setup, Spec, Unusable};

const NAME: &str = "limit-count";

/// `limit-count`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 1002,
    version: 0.5,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => Some(schema::of::<Config>()),
        SchemaType::Metadata => Some(schema::of::<Metadata>()),
        SchemaType::Consumer => None,
    },
    check: |conf, kind| {
        match kind {
            SchemaType::Metadata => read::<Metadata>(conf).and_then(|metadata| {
                Headers::new(&metadata, None)?;
                Ok(())
            }),
            _ => LimitCount::new(conf, None, false, Arc::default()).map(drop),
        }
        .map_err(|unusable| unusable.0)
    },
    setup: |conf, setup: &Setup<'_>| {
        let state = match conf.get("group").and_then(Value::as_str) {
            Some(group) => format!("{NAME}/group/{group}"),
            None => limits::state_name(NAME, setup, conf),
        };
        let counters = setup.state.of(&state);
        Ok(Arc::new(LimitCount::new(
            conf,
            setup.metadata,
            setup.strict,
            counters,
        )?))
    },
    secret_fields: &["redis_password", "sentinel_password"],
};

struct LimitCount {
    counters: Arc<Counters<Window>>,
    limits: Vec<Limit>,
    window_type: WindowType,
    allow_degradation: bool,
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
    headers: Headers,
}

/// A number, or a text with variables that gives one.
enum Amount {
    Fixed(u64),
    Template(Template),
}

/// Names of the headers that tell a limit.
struct Headers {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

impl LimitCount {
    fn new(
        conf: &Value,
        metadata: Option<&Value>,
        strict: bool,
        counters: Arc<Counters<Window>>,
    ) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        limits::only_local(config.policy.name())?;
        let metadata: Metadata = metadata.map(read).transpose()?.unwrap_or_default();
        Ok(LimitCount {
            counters,
            window_type: config.window_type,
            allow_degradation: config.allow_degradation,
            show_headers: config.show_limit_quota_header,
            retry_after: !strict,
            status: status("rejected_code", config.rejected_code)?,
            text: config.rejected_msg.clone(),
            limits: limits_of(config, &metadata)?,
        })
    }
}

fn limits_of(config: Config, metadata: &Metadata) -> Result<Vec<Limit>, Unusable> {
    let refused = |text: &str| Err(Unusable(text.to_owned()));
    let rules = match (config.count, config.time_window, config.rules) {
        (Some(count), Some(seconds), None) => {
            return Ok(vec![Limit {
                count: Amount::new("count", count)?,
                seconds: Amount::new("time_window", seconds)?,
                key: limits::Key::new(config.key_type, config.key),
                number: None,
                headers: Headers::new(metadata, None)?,
            }]);
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
            headers: Headers::new(metadata, Some(&prefix))?,
        });
    }
    Ok(limits)
}

impl Amount {
    fn new(field: &str, number: Number) -> Result<Self, Unusable> {
        match number {
            Number::Fixed(0) => Err(Unusable(format!("{field}: must be above 0"))),
            Number::Fixed(number) => Ok(Amount::Fixed(number)),
            Number::Template(text) => Ok(Amount::Template(Template::parse(&text))),
        }
    }

    /// The number for a call; nothing when its variables give none.
    fn of(&self, call: &Call<'_>) -> Option<u64> {
        match self {
            Amount::Fixed(number) => Some(*number),
            Amount::Template(template) => {
                let (text, _) = template.render(&CallVariables::new(call));
                text.trim().parse().ok().filter(|number| *number > 0)
            }
        }
    }
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

/// What became of one limit.
enum Outcome {
    /// It does not apply to the call.
    Beside,
    /// It cannot be told what the limit is.
    Unclear,
    Counted(u64, Verdict),
}

impl LimitCount {
    fn count(&self, limit: &Limit, call: &Call<'_>) -> Outcome {
        let key = match limit.number {
            // A rule counts only calls that have its key; what does not say a limit must not switch it off, though.
            Some(number) => match limit.key.of(call) {
                Some(key) => format!("{number}:{key}"),
                None => return Outcome::Beside,
            },
            None => limit.key.or_address(call),
        };
        let (Some(count), Some(seconds)) = (limit.count.of(call), limit.seconds.of(call)) else {
            return Outcome::Unclear;
        };
        let now_ms = limits::milliseconds(call.now);
        let window_ms = seconds.saturating_mul(1000);
        let verdict = self.counters.update(&key, now_ms, |window| {
            window.take(self.window_type, now_ms, count, window_ms)
        });
        Outcome::Counted(count, verdict)
    }

    fn unclear(&self) -> Flow {
        if self.allow_degradation {
            return Flow::Next;
        }
        Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "limit_unclear").into()
    }

    fn tell(&self, headers: &Headers, call: &mut Call<'_>, count: u64, verdict: Verdict) {
        let answer = &mut call.answer_headers;
        answer.insert(headers.limit.clone(), HeaderValue::from(count));
        answer.insert(headers.remaining.clone(), HeaderValue::from(verdict.remaining));
        if let Ok(reset) = HeaderValue::try_from(seconds(verdict.reset_ms)) {
            answer.insert(headers.reset.clone(), reset);
        }
    }
}

impl Plugin for LimitCount {
    fn access(&self, call: &mut Call<'_>) -> Flow {
        let mut is_limited = false;
        for limit in &self.limits {
            let (count, mut verdict) = match self.count(limit, call) {
                Outcome::Beside => continue,
                Outcome::Unclear => return self.unclear(),
                Outcome::Counted(count, verdict) => (count, verdict),
            };
            is_limited = true;
            if !verdict.is_allowed {
                verdict.remaining = 0;
            }
            if self.show_headers {
                self.tell(&limit.headers, call, count, verdict);
            }
            if !verdict.is_allowed {
                let reply = match &self.text {
                    Some(text) => Reply::error(self.status, "quota_exceeded", Key::ErrorMsg, text.clone()),
                    None => Reply::status(self.status, "quota_exceeded"),
                };
                if !self.retry_after {
                    return reply.into();
                }
                let wait = HeaderValue::from(verdict.reset_ms.div_ceil(1000).max(1));
                return reply.with(RETRY_AFTER, wait).into();
            }
        }
        if is_limited { Flow::Next } else { self.unclear() }
    }
}

/// Milliseconds as seconds with up to two decimals.
fn seconds(milliseconds: u64) -> String {
    let (whole, hundredths) = (milliseconds / 1000, milliseconds % 1000 / 10);
    match (hundredths / 10, hundredths % 10) {
        (0, 0) => whole.to_string(),
        (tenths, 0) => format!("{whole}.{tenths}"),
        (tenths, rest) => format!("{whole}.{tenths}{rest}"),
    }
}

#[cfg(test)]
mod tests;
