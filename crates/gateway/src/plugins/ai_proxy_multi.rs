//! `ai-proxy-multi`: answers the calls of a route from several instances of AI providers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::ai_proxy::{AiPlugin, AiProxy, instance, timeouts};
use super::{Plugin, SchemaType, Scope, Setup, Spec, Unusable};
use crate::ai::config::{self, AiProxyMultiConf, Algorithm, Trigger};
use crate::snapshot::Model;

/// How the plugin is registered.
pub static SPEC: Spec = Spec {
    name: "ai-proxy-multi",
    priority: 1041,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema,
    check,
    setup,
    secret_fields: config::MULTI_SECRET_FIELDS,
};

/// After which failures of an attempt another instance is tried.
#[derive(Clone, Debug, Default)]
pub struct RetryRule {
    /// After 429.
    pub on_429: bool,
    /// After 500 to 599, and where there was no answer.
    pub on_5xx: bool,
    /// After these statuses.
    pub statuses: Vec<u16>,
    /// Most further attempts; `None` is as many as there are instances.
    pub max_retries: Option<u64>,
    /// Only after attempts that failed within this time.
    pub within: Option<Duration>,
}

impl RetryRule {
    /// Whether another instance is tried after attempt number `attempt` (from 1), which failed after `elapsed` with this
    /// status; `None` if there was no answer.
    pub fn allows(&self, status: Option<u16>, attempt: usize, elapsed: Duration) -> bool {
        let reason = match status {
            Some(429) => self.on_429,
            None | Some(500..=599) => self.on_5xx,
            Some(_) => false,
        } || status.is_some_and(|status| self.statuses.contains(&status));
        reason
            && self.max_retries.is_none_or(|most| (attempt as u64) <= most)
            && self.within.is_none_or(|within| elapsed <= within)
    }
}

fn schema(of: SchemaType) -> Option<Value> {
    (of == SchemaType::Route).then(config::multi_schema)
}

fn check(conf: &Value, of: SchemaType) -> Result<(), String> {
    match of {
        SchemaType::Route => config::check_multi(conf, false),
        SchemaType::Consumer | SchemaType::Metadata => Ok(()),
    }
}

fn setup(conf: &Value, setup: &Setup<'_>) -> Result<Arc<dyn Plugin>, Unusable> {
    let conf: AiProxyMultiConf =
        serde_json::from_value(conf.clone()).map_err(|error| Unusable(error.to_string()))?;
    if conf.balancer.algorithm != Algorithm::Roundrobin {
        tracing::warn!(
            of = setup.owner,
            "ai-proxy-multi: this balancer is not known yet; instances take turns by weight"
        );
    }
    let rule = Arc::new(RetryRule {
        on_429: conf
            .fallback_strategy
            .as_ref()
            .is_some_and(|strategy| strategy.has(Trigger::Http429)),
        on_5xx: conf
            .fallback_strategy
            .as_ref()
            .is_some_and(|strategy| strategy.has(Trigger::Http5xx)),
        statuses: conf.fallback_http_statuses.unwrap_or_default(),
        max_retries: conf.max_retries,
        within: conf.retry_on_failure_within_ms.map(Duration::from_millis),
    });
    let mut written = conf.instances;
    written.sort_by_key(|instance| std::cmp::Reverse(instance.priority));
    let first = written.first().map_or(0, |instance| instance.priority);
    let in_turn = |priority: i64| priority == first;
    // All weights 0 means equal shares, as in APISIX.
    let all_zero = written
        .iter()
        .filter(|instance| in_turn(instance.priority))
        .all(|instance| instance.weight == 0);
    let mut instances = Vec::new();
    for written in written {
        let weight = match written.weight {
            // Lower groups are reached only when those above them have failed.
            _ if !in_turn(written.priority) => 0,
            0 if all_zero => 1,
            weight => u32::try_from(weight).unwrap_or(u32::MAX),
        };
        let compiled = instance(&written.name, written.conf, &conf.limits, &rule, true, setup)?;
        instances.push((Arc::new(compiled), weight));
    }
    let position = setup.state.of(&format!("ai-proxy-multi/{}", setup.owner));
    Ok(Arc::new(AiProxy(Arc::new(AiPlugin {
        model: Arc::new(Model::of_plugin(
            "ai-proxy-multi",
            instances,
            timeouts(&conf.limits),
            position,
        )),
        limits: conf.limits,
        passes_on: false,
    }))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RetryRule;

    #[test]
    fn another_instance_is_tried_only_after_the_failures_that_were_named() {
        let rule = RetryRule {
            on_5xx: true,
            statuses: vec![404],
            max_retries: Some(1),
            within: Some(Duration::from_secs(1)),
            ..RetryRule::default()
        };
        let soon = Duration::from_millis(5);
        assert!(rule.allows(Some(503), 1, soon));
        assert!(rule.allows(None, 1, soon), "no answer counts as 500");
        assert!(rule.allows(Some(404), 1, soon));
        assert!(!rule.allows(Some(429), 1, soon));
        assert!(!rule.allows(Some(503), 2, soon), "one retry has been made");
        assert!(!rule.allows(Some(503), 1, Duration::from_secs(2)));
    }

    #[test]
    fn without_a_strategy_every_failure_is_told_at_once() {
        assert!(!RetryRule::default().allows(None, 1, Duration::ZERO));
        assert!(!RetryRule::default().allows(Some(500), 1, Duration::ZERO));
    }
}
