//! `ai-proxy-multi`: answers the calls of a route from several instances of AI providers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tollgate_policy::expr::Template;
use tollgate_policy::{RetryLimits, balance};

use super::ai_health as health;
use super::ai_proxy::{AiPlugin, AiProxy, instance, timeouts};
use super::{HashKey, Plugin, SchemaType, Scope, Setup, Spec, Unusable};
use crate::ai::config::{self, AiProxyMultiConf, Algorithm, Balancer, HashOn, Trigger};
use crate::ai::cost::cost;
use crate::ai::semantic::Semantic;
use crate::pool::{Entry, Hedge, PluginRule, Pool, Retry, Rules, with_spares};
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
    let algorithm = algorithm(conf.balancer.algorithm);
    let rules = rules(&conf, setup.strict);
    let several = conf.instances.len() > 1;
    let semantic = match conf.semantic_opts {
        Some(opts) if conf.balancer.algorithm == Algorithm::Semantic => {
            let references = |name: &str| setup.state.of(&format!("ai-proxy-multi/examples/{name}"));
            let semantic = Semantic::new(opts, &conf.instances, setup.strict, references);
            Some(semantic.map_err(|problem| Unusable(format!("semantic_opts.embeddings: {problem}")))?)
        }
        _ => None,
    };
    let mut entries = Vec::with_capacity(conf.instances.len());
    for written in conf.instances {
        let cost = cost(
            &setup.state.prices().current().prices,
            written.conf.provider,
            written.conf.options.model.as_deref(),
            written.price.as_ref(),
        );
        let mut compiled = instance(&written.name, written.conf, &conf.limits, true, setup)?;
        compiled.health = health::enlist(&compiled, written.checks.as_ref(), several, setup);
        entries.push(Entry {
            instance: Arc::new(compiled),
            weight: u32::try_from(written.weight).unwrap_or(u32::MAX),
            priority: written.priority,
            cost,
        });
    }
    if !setup.strict {
        with_spares(&mut entries);
    }
    let pool = Pool::new(algorithm, entries, rules, setup.owner, setup.state);
    Ok(Arc::new(AiProxy(Arc::new(AiPlugin {
        hash_key: pool.needs_key().then(|| hash_key(&conf.balancer)),
        model: Arc::new(Model::of_plugin("ai-proxy-multi", pool, timeouts(&conf.limits))),
        semantic,
        limits: conf.limits,
        passes_on: false,
    }))))
}

fn algorithm(written: Algorithm) -> balance::Algorithm {
    match written {
        // What the prompt is about settles the order before anybody is picked.
        Algorithm::Roundrobin | Algorithm::Semantic => balance::Algorithm::RoundRobin,
        Algorithm::Chash => balance::Algorithm::ConsistentHash,
        Algorithm::LeastLatency => balance::Algorithm::LeastLatency,
        Algorithm::LeastBusy => balance::Algorithm::LeastBusy,
        Algorithm::LeastCost => balance::Algorithm::LeastCost,
        Algorithm::PrefixAffinity => balance::Algorithm::PrefixAffinity,
    }
}

fn rules(conf: &AiProxyMultiConf, strict: bool) -> Rules {
    let has = |trigger| {
        conf.fallback_strategy
            .as_ref()
            .is_some_and(|strategy| strategy.has(trigger))
    };
    let retry = PluginRule {
        on_429: has(Trigger::Http429),
        on_429_inside: has(Trigger::Http429) && !strict,
        on_5xx: has(Trigger::Http5xx),
        statuses: conf.fallback_http_statuses.clone().unwrap_or_default(),
        on_context_window: has(Trigger::ContextWindow),
        on_content_policy: has(Trigger::ContentPolicy),
        on_unsent: !strict,
        max_retries: conf.max_retries,
        within: conf.retry_on_failure_within_ms.map(Duration::from_millis),
    };
    let rules = Rules {
        retry: Retry::OfPlugin(retry),
        skips_exhausted: has(Trigger::RateLimiting),
        ..Rules::default()
    };
    if strict {
        return rules;
    }
    let budget = conf.retry_budget.unwrap_or_default();
    Rules {
        deadline: conf.deadline_ms.map(Duration::from_millis),
        // Where nothing is repeated, nothing has to be counted.
        budget: (conf.instances.len() > 1).then_some(RetryLimits {
            percent: budget.percent,
            min_per_second: budget.min_per_second,
        }),
        hedge: conf.hedge.map(|hedge| Hedge {
            share: hedge.percentile / 100.0,
            at_least: Duration::from_millis(hedge.min_ms),
            max_percent: hedge.max_percent,
        }),
        last_resort: true,
        ..rules
    }
}

fn hash_key(balancer: &Balancer) -> HashKey {
    let key = balancer.key.as_deref().unwrap_or_default();
    match balancer.hash_on {
        HashOn::Vars => HashKey::Variable(key.to_owned()),
        HashOn::Header => HashKey::header(key),
        HashOn::Cookie => HashKey::cookie(key),
        HashOn::Consumer => HashKey::Consumer,
        HashOn::VarsCombinations => HashKey::Text(Template::parse(key)),
    }
}
