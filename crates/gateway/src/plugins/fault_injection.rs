//! `fault-injection`: answers errors and delays calls on purpose, to see how clients bear it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_policy::expr::{Expr, Template};
use tollgate_resources::objects::schema;

use super::auth::{check_header_text, header_name};
use super::spec::{read, status};

use super::{Call, CallVariables, Flow, Plugin, Reply, SchemaType, Scope, Spec, Unusable};

/// `fault-injection`.
pub(super) static SPEC: Spec = Spec {
    name: "fault-injection",
    priority: 11000,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| Faults::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(Faults::new(conf)?)),
    secret_fields: &[],
};

/// What is done to calls.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
struct Config {
    /// An answer in place of the upstream's.
    abort: Option<AbortConfig>,
    /// A wait before the call goes on.
    delay: Option<DelayConfig>,
}

/// An answer in place of the upstream's.
#[derive(Deserialize, JsonSchema)]
struct AbortConfig {
    /// Its status.
    #[schemars(range(min = 200, max = 999))]
    http_status: u16,
    /// Its body, which may hold variables.
    body: Option<String>,
    /// Its headers, whose values may hold variables.
    #[schemars(extend("minProperties" = 1, "patternProperties" = {
        "^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    }))]
    headers: Option<BTreeMap<String, Value>>,
    /// To how many calls of a hundred this happens.
    #[schemars(range(min = 0, max = 100))]
    percentage: Option<u8>,
    /// Expressions of which one must hold.
    #[schemars(length(max = 20))]
    vars: Option<Vec<Vec<Value>>>,
}

/// A wait before the call goes on.
#[derive(Deserialize, JsonSchema)]
struct DelayConfig {
    /// Seconds.
    #[schemars(range(min = 0))]
    duration: f64,
    /// To how many calls of a hundred this happens.
    #[schemars(range(min = 0, max = 100))]
    percentage: Option<u8>,
    /// Expressions of which one must hold.
    #[schemars(length(max = 20))]
    vars: Option<Vec<Vec<Value>>>,
}

struct Faults {
    abort: Option<(When, Abort)>,
    delay: Option<(When, Duration)>,
}

/// To which calls something happens.
struct When {
    percentage: Option<u8>,
    vars: Option<Vec<Expr>>,
}

struct Abort {
    status: StatusCode,
    body: Option<Template>,
    headers: Vec<(HeaderName, Template)>,
}

impl Faults {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let abort = match config.abort {
            None => None,
            Some(abort) => Some((
                When::new("abort", abort.percentage, abort.vars)?,
                Abort {
                    status: status("abort.http_status", abort.http_status)?,
                    body: abort.body.map(|text| Template::parse(&text)),
                    headers: templates(abort.headers.unwrap_or_default())?,
                },
            )),
        };
        let delay = match config.delay {
            None => None,
            Some(delay) => Some((
                When::new("delay", delay.percentage, delay.vars)?,
                Duration::try_from_secs_f64(delay.duration)
                    .map_err(|error| Unusable(format!("delay.duration: {error}")))?,
            )),
        };
        Ok(Faults { abort, delay })
    }
}

fn templates(headers: BTreeMap<String, Value>) -> Result<Vec<(HeaderName, Template)>, Unusable> {
    let template = |(name, value): (String, Value)| {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        check_header_text("abort.headers", &text)?;
        Ok((header_name("abort.headers", &name)?, Template::parse(&text)))
    };
    headers.into_iter().map(template).collect()
}

impl When {
    fn new(field: &str, percentage: Option<u8>, vars: Option<Vec<Vec<Value>>>) -> Result<Self, Unusable> {
        let expressions = |vars: Vec<Vec<Value>>| {
            vars.into_iter()
                .map(|rule| {
                    Expr::parse(&Value::Array(rule))
                        .map_err(|error| Unusable(format!("{field}.vars: {error}")))
                })
                .collect()
        };
        Ok(When {
            percentage,
            vars: vars.map(expressions).transpose()?,
        })
    }

    fn hits(&self, call: &Call<'_>) -> bool {
        let variables = CallVariables::new(call);
        let holds = self
            .vars
            .as_ref()
            .is_none_or(|rules| rules.iter().any(|rule| rule.eval(&variables)));
        holds && self.percentage.is_none_or(is_chosen)
    }
}

/// Tells with a chance of so many in a hundred.
fn is_chosen(percentage: u8) -> bool {
    let mut bytes = [0; 4];
    // Without randomness nobody is chosen: a fault less is better than one too many.
    rand::fill(&mut bytes).is_ok() && u32::from_ne_bytes(bytes) % 100 < u32::from(percentage)
}

impl Abort {
    fn reply(&self, call: &Call<'_>) -> Box<Reply> {
        let variables = CallVariables::new(call);
        let mut reply = match &self.body {
            Some(body) => Reply::text(self.status, "injected_fault", body.render(&variables).0),
            None => Reply::status(self.status, "injected_fault"),
        };
        for (name, template) in &self.headers {
            let (text, _) = template.render(&variables);
            // A value of the client's that no header can hold leaves the header away.
            if let Ok(value) = HeaderValue::try_from(text) {
                reply.headers.insert(name.clone(), value);
            }
        }
        Box::new(reply)
    }
}

impl Plugin for Faults {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let delay = match &self.delay {
            Some((when, duration)) if !duration.is_zero() && when.hits(call) => Some(*duration),
            _ => None,
        };
        let answer = match &self.abort {
            Some((when, abort)) if when.hits(call) => Some(abort.reply(call)),
            _ => None,
        };
        match (delay, answer) {
            (None, None) => Flow::Next,
            (Some(delay), None) => Flow::Wait(delay),
            (None, Some(reply)) => Flow::Answer(reply),
            (Some(delay), Some(reply)) => Flow::AnswerAfter(delay, reply),
        }
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin, reply, told};
    use super::*;

    #[test]
    fn calls_are_aborted_with_status_body_and_headers() {
        let conf = json!({"abort": {
            "http_status": 418, "body": "hi $arg_name", "headers": {"X-Test": "v-$arg_name", "X-Number": 1.5},
        }});
        let answer = reply(Caller::get("/?name=ann").rewrite(&plugin(&SPEC, &conf)));
        assert_eq!(answer.headers["x-test"], "v-ann");
        assert_eq!(answer.headers["x-number"], "1.5");
        assert_eq!(told(answer.into()), (418, "hi ann".to_owned()));
        let bare = plugin(&SPEC, &json!({"abort": {"http_status": 503}}));
        assert_eq!(told(Caller::get("/").rewrite(&bare)), (503, String::new()));
    }

    #[test]
    fn calls_are_delayed_alone_and_before_an_abort() {
        let delay = json!({"delay": {"duration": 0.25}});
        let flow = Caller::get("/").rewrite(&plugin(&SPEC, &delay));
        assert!(matches!(flow, Flow::Wait(wait) if wait == Duration::from_millis(250)));
        let both = json!({"delay": {"duration": 1}, "abort": {"http_status": 500}});
        let flow = Caller::get("/").rewrite(&plugin(&SPEC, &both));
        assert!(matches!(flow, Flow::AnswerAfter(wait, _) if wait == Duration::from_secs(1)));
    }

    #[test]
    fn only_calls_that_are_meant_are_hit() {
        let hits = |percentage: Value, vars: Value, uri: &str| {
            let mut conf = json!({"abort": {"http_status": 500}});
            for (field, value) in [("percentage", percentage), ("vars", vars)] {
                if !value.is_null() {
                    conf["abort"][field] = value;
                }
            }
            !passed(&Caller::get(uri).rewrite(&plugin(&SPEC, &conf)))
        };
        let none = || Value::Null;
        assert!(!hits(json!(0), none(), "/"));
        assert!(hits(json!(100), none(), "/"));
        let either = json!([[["arg_a", "==", "1"]], [["arg_b", "==", "2"]]]);
        assert!(hits(none(), either.clone(), "/?b=2"));
        assert!(!hits(none(), either.clone(), "/?b=1"));
        assert!(!hits(json!(0), either, "/?b=2"));
        assert!(!hits(none(), json!([]), "/"));
    }

    #[test]
    fn what_cannot_work_is_refused_at_the_check() {
        let check = |conf: Value| (SPEC.check)(&conf, SchemaType::Route).unwrap_err();
        let bad_operator = json!({"abort": {"http_status": 500, "vars": [[["a", "??", 1]]]}});
        assert!(check(bad_operator).starts_with("abort.vars: "));
        let bad_status = check(json!({"abort": {"http_status": 1000}}));
        assert_eq!(bad_status, "abort.http_status: 1000 is not a status");
    }
}
