//! The manifests of APISIX's manual for ai-proxy-multi, written short: what each lowers into, field by field, in both ways
//! to write it.

use serde_json::{Value, json};

use super::tests::{lower, meaning};

/// Plugins as manifests have them, and what they mean.
struct Case {
    plugins: &'static str,
    meaning: fn() -> Value,
}

/// Two instances by weight.
const BY_WEIGHT: Case = Case {
    plugins: "
    - name: ai-proxy-multi
      config:
        instances:
          - name: openai-instance
            provider: openai
            weight: 8
            auth: {header: {Authorization: Bearer your-api-key}}
            options: {model: gpt-4}
          - name: deepseek-instance
            provider: deepseek
            weight: 2
            auth: {header: {Authorization: Bearer your-api-key}}
            options: {model: deepseek-chat}
",
    meaning: || {
        json!({"ai-proxy-multi": {"instances": [
            {"name": "openai-instance", "provider": "openai", "weight": 8,
                "auth": {"header": {"Authorization": "Bearer your-api-key"}}, "options": {"model": "gpt-4"}},
            {"name": "deepseek-instance", "provider": "deepseek", "weight": 2,
                "auth": {"header": {"Authorization": "Bearer your-api-key"}}, "options": {"model": "deepseek-chat"}},
        ]}})
    },
};

/// Priorities, with a limit for one instance.
const BY_PRIORITY: Case = Case {
    plugins: "
    - name: ai-proxy-multi
      config:
        fallback_strategy: [rate_limiting]
        instances:
          - {name: openai-instance, provider: openai, priority: 1, weight: 0, options: {model: gpt-4}}
          - {name: deepseek-instance, provider: deepseek, priority: 0, weight: 0, options: {model: deepseek-chat}}
    - name: ai-rate-limiting
      config:
        instances:
          - {name: openai-instance, limit: 10, time_window: 60}
        limit_strategy: total_tokens
",
    meaning: || {
        json!({
            "ai-proxy-multi": {"fallback_strategy": ["rate_limiting"], "instances": [
                {"name": "openai-instance", "provider": "openai", "priority": 1, "weight": 0, "options": {"model": "gpt-4"}},
                {"name": "deepseek-instance", "provider": "deepseek", "priority": 0, "weight": 0, "options": {"model": "deepseek-chat"}},
            ]},
            "ai-rate-limiting": {
                "instances": [{"name": "openai-instance", "limit": 10, "time_window": 60}], "limit_strategy": "total_tokens",
            },
        })
    },
};

/// Only for consumers with a key, limited consumer by consumer.
const BY_CONSUMER: Case = Case {
    plugins: "
    - name: key-auth
      config: {_meta: {disable: false}}
    - name: ai-proxy-multi
      config:
        fallback_strategy: [rate_limiting]
        instances:
          - {name: openai-instance, provider: openai, weight: 0, options: {model: gpt-4}}
",
    meaning: || {
        json!({
            "key-auth": {"_meta": {"disable": false}},
            "ai-proxy-multi": {"fallback_strategy": ["rate_limiting"], "instances": [
                {"name": "openai-instance", "provider": "openai", "weight": 0, "options": {"model": "gpt-4"}},
            ]},
        })
    },
};

/// Bounded answers.
const MAX_TOKENS: Case = Case {
    plugins: "
    - name: ai-proxy-multi
      config:
        instances:
          - {name: openai-instance, provider: openai, weight: 0, options: {model: gpt-4, max_tokens: 50}}
          - {name: deepseek-instance, provider: deepseek, weight: 0, options: {model: deepseek-chat, max_tokens: 100}}
",
    meaning: || {
        json!({"ai-proxy-multi": {"instances": [
            {"name": "openai-instance", "provider": "openai", "weight": 0, "options": {"model": "gpt-4", "max_tokens": 50}},
            {"name": "deepseek-instance", "provider": "deepseek", "weight": 0, "options": {"model": "deepseek-chat", "max_tokens": 100}},
        ]}})
    },
};

/// Embeddings, with endpoints of one's own.
const EMBEDDINGS: Case = Case {
    plugins: "
    - name: ai-proxy-multi
      config:
        instances:
          - name: az-openai-instance
            provider: azure-openai
            weight: 0
            auth: {header: {api-key: your-api-key}}
            options: {model: text-embedding-3-small}
            override:
              endpoint:
                \"https://example.openai.azure.com/openai/deployments/text-embedding-3-small/embeddings?api-version=2023-05-15\"
",
    meaning: || {
        json!({"ai-proxy-multi": {"instances": [{
            "name": "az-openai-instance", "provider": "azure-openai", "weight": 0,
            "auth": {"header": {"api-key": "your-api-key"}}, "options": {"model": "text-embedding-3-small"},
            "override": {"endpoint": "https://example.openai.azure.com/openai/deployments/text-embedding-3-small/embeddings?api-version=2023-05-15"},
        }]}})
    },
};

/// Health checks.
const CHECKS: Case = Case {
    plugins: "
    - name: ai-proxy-multi
      config:
        instances:
          - name: llm-instance-2
            provider: openai-compatible
            weight: 0
            options: {model: your-model}
            checks:
              active:
                type: https
                host: yourhost.com
                http_path: /your/probe/path
                healthy: {interval: 2, successes: 1}
                unhealthy: {interval: 1, http_failures: 3}
",
    meaning: || {
        json!({"ai-proxy-multi": {"instances": [{
            "name": "llm-instance-2", "provider": "openai-compatible", "weight": 0, "options": {"model": "your-model"},
            "checks": {"active": {
                "type": "https", "host": "yourhost.com", "http_path": "/your/probe/path",
                "healthy": {"interval": 2, "successes": 1}, "unhealthy": {"interval": 1, "http_failures": 3},
            }},
        }]}})
    },
};

/// Logs to Kafka.
const LOGS: Case = Case {
    plugins: "
    - name: ai-proxy-multi
      config:
        instances:
          - {name: openai-instance, provider: openai, weight: 8, options: {model: gpt-4}}
        logging: {summaries: true, payloads: true}
    - name: kafka-logger
      config:
        brokers: [{host: kafka.aic.svc.cluster.local, port: 9092}]
        kafka_topic: test2
        key: key1
        batch_max_size: 1
",
    meaning: || {
        json!({
            "ai-proxy-multi": {
                "instances": [{"name": "openai-instance", "provider": "openai", "weight": 8, "options": {"model": "gpt-4"}}],
                "logging": {"summaries": true, "payloads": true},
            },
            "kafka-logger": {
                "brokers": [{"host": "kafka.aic.svc.cluster.local", "port": 9092}],
                "kafka_topic": "test2", "key": "key1", "batch_max_size": 1,
            },
        })
    },
};

const CASES: [Case; 7] = [
    BY_WEIGHT,
    BY_PRIORITY,
    BY_CONSUMER,
    MAX_TOKENS,
    EMBEDDINGS,
    CHECKS,
    LOGS,
];

#[test]
fn a_plugin_config_with_its_http_route_is_a_service_with_a_route() {
    for case in CASES {
        let text = format!(
            "apiVersion: apisix.apache.org/v1alpha1
kind: PluginConfig
metadata:
  namespace: aic
  name: ai-proxy-multi-plugin-config
spec:
  plugins:{}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  namespace: aic
  name: ai-proxy-multi-route
spec:
  parentRefs:
    - name: apisix
  rules:
    - matches:
        - path:
            type: Exact
            value: /anything
          method: POST
      filters:
        - type: ExtensionRef
          extensionRef:
            group: apisix.apache.org
            kind: PluginConfig
            name: ai-proxy-multi-plugin-config
",
            case.plugins
        );
        assert_eq!(
            meaning(&text),
            json!({
                "service aic_ai-proxy-multi-route_0": {"plugins": (case.meaning)()},
                "route aic_ai-proxy-multi-route_0-0": {
                    "service": "aic_ai-proxy-multi-route_0", "status": 1, "uris": ["/anything"], "methods": ["POST"],
                    "priority": 4_196_352,
                },
            })
        );
        assert_eq!(lower(&text).notes, Vec::<String>::new());
    }
}

#[test]
fn an_apisix_route_is_a_service_with_a_route_that_has_its_plugins() {
    for case in CASES {
        let plugins = case
            .plugins
            .replace("\n      config:", "\n      enable: true\n      config:");
        let text = format!(
            "apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata:
  namespace: aic
  name: ai-proxy-multi-route
spec:
  ingressClassName: apisix
  http:
  - name: ai-proxy-multi-route
    match:
      paths:
        - /anything
      methods:
        - POST
    plugins:{plugins}"
        );
        assert_eq!(
            meaning(&text),
            json!({
                "service aic_ai-proxy-multi-route_0": {},
                "route aic_ai-proxy-multi-route_ai-proxy-multi-route": {
                    "service": "aic_ai-proxy-multi-route_0", "status": 1, "uris": ["/anything"], "methods": ["POST"],
                    "plugins": (case.meaning)(),
                },
            })
        );
        assert_eq!(lower(&text).notes, Vec::<String>::new());
    }
}

#[test]
fn a_plugin_without_settings_is_on() {
    let text = "apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata: {namespace: aic, name: r}
spec:
  http:
  - name: one
    match: {paths: [/anything]}
    plugins: [{name: key-auth, enable: true}, {name: ai-proxy, config: {provider: openai}}]
";
    assert_eq!(
        meaning(text)["route aic_r_one"]["plugins"],
        json!({"key-auth": {}, "ai-proxy": {"provider": "openai"}})
    );
}

#[test]
fn a_consumer_has_plugins_and_a_credential() {
    let text = "apiVersion: apisix.apache.org/v1alpha1
kind: Consumer
metadata:
  namespace: aic
  name: johndoe
spec:
  gatewayRef:
    name: apisix
  plugins:
    - name: ai-rate-limiting
      config:
        instances:
          - name: openai-instance
            limit: 10
            time_window: 60
        rejected_code: 429
        limit_strategy: total_tokens
  credentials:
    - type: key-auth
      name: primary-key
      config:
        key: john-key
---
apiVersion: apisix.apache.org/v1alpha1
kind: Consumer
metadata: {namespace: aic, name: janedoe}
spec:
  gatewayRef: {name: apisix}
  credentials: [{type: key-auth, name: secondary-key, config: {key: jane-key}}]
";
    assert_eq!(
        meaning(text),
        json!({
            "consumer aic_johndoe": {"username": "aic_johndoe", "plugins": {"ai-rate-limiting": {
                "instances": [{"name": "openai-instance", "limit": 10, "time_window": 60}],
                "rejected_code": 429, "limit_strategy": "total_tokens",
            }}},
            "credential primary-key": {"plugins": {"key-auth": {"key": "john-key"}}},
            "consumer aic_janedoe": {"username": "aic_janedoe"},
            "credential secondary-key": {"plugins": {"key-auth": {"key": "jane-key"}}},
        })
    );
    assert_eq!(lower(text).notes, Vec::<String>::new());
    let ids: Vec<String> = lower(text)
        .objects
        .iter()
        .map(|(key, _)| key.id.clone())
        .filter(|id| id.contains('/'))
        .collect();
    assert_eq!(ids[0].split('/').next(), Some("aic_johndoe"));
}

#[test]
fn an_apisix_consumer_has_its_key_among_its_plugins_which_may_be_a_map() {
    let text = "apiVersion: apisix.apache.org/v2
kind: ApisixConsumer
metadata:
  namespace: aic
  name: johndoe
spec:
  ingressClassName: apisix
  authParameter:
    keyAuth:
      value:
        key: john-key
  plugins:
    ai-rate-limiting:
      instances:
        - name: openai-instance
          limit: 10
          time_window: 60
      rejected_code: 429
      limit_strategy: total_tokens
";
    let expected = json!({"consumer aic_johndoe": {"username": "aic_johndoe", "plugins": {
        "key-auth": {"key": "john-key"},
        "ai-rate-limiting": {
            "instances": [{"name": "openai-instance", "limit": 10, "time_window": 60}],
            "rejected_code": 429, "limit_strategy": "total_tokens",
        },
    }}});
    assert_eq!(meaning(text), expected);
    assert_eq!(
        lower(text).notes,
        [
            "k.yaml:12: document 1.spec.plugins: Kubernetes refuses plugins as a map; write a list of `name` and `config`"
        ]
    );
    let listed = text.replace(
        "    ai-rate-limiting:",
        "    - name: ai-rate-limiting\n      config:",
    );
    let (head, settings) = listed.split_once("      instances:").unwrap();
    let settings = format!("      instances:{settings}").replace("\n", "\n  ");
    let listed = format!("{head}  {}", settings.trim_end());
    assert_eq!(meaning(&listed), expected);
    assert_eq!(lower(&listed).notes, Vec::<String>::new());
}
