//! What files of ADC lower into.

use serde_json::{Map, Value, json};

use super::{AdcDocument, Labels, lower_adc};
use crate::objects::ObjectKey;

const MANAGED: Labels = Labels {
    managed_by: true,
    selector: std::collections::BTreeMap::new(),
};

/// Two instances behind one route, in the way all examples of the plugin's documentation begin.
const TWO_INSTANCES: &str = r#"
services:
  - name: ai-proxy-multi-service
    routes:
      - name: ai-proxy-multi-route
        uris: [/anything]
        methods: [POST]
        plugins:
          ai-proxy-multi:
            instances:
              - name: openai-instance
                provider: openai
                weight: 8
                auth:
                  header:
                    Authorization: "Bearer ${OPENAI_API_KEY}"
                options:
                  model: gpt-4
              - name: deepseek-instance
                provider: deepseek
                weight: 2
                auth: {header: {Authorization: "Bearer ${DEEPSEEK_API_KEY}"}}
                options: {model: deepseek-chat}
"#;

fn env(name: &str) -> Option<String> {
    match name {
        "OPENAI_API_KEY" => Some("sk-openai".to_owned()),
        "DEEPSEEK_API_KEY" => Some("sk-deepseek".to_owned()),
        "PORT" => Some("8443".to_owned()),
        "SECRET" => Some("hush".to_owned()),
        _ => None,
    }
}

#[track_caller]
fn read(text: &str) -> AdcDocument {
    match lower_adc("adc.yaml", text, &env) {
        Ok(document) => document,
        Err(mistakes) => panic!("{mistakes:#?}"),
    }
}

#[track_caller]
fn objects(text: &str) -> Vec<(String, Value)> {
    shown(read(text).objects(&MANAGED))
}

fn shown(objects: Vec<(ObjectKey, Map<String, Value>)>) -> Vec<(String, Value)> {
    objects
        .into_iter()
        .map(|(key, value)| (key.path(), Value::Object(value)))
        .collect()
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = lower_adc("adc.yaml", text, &env).err().unwrap_or_default();
    mistakes.iter().map(ToString::to_string).collect()
}

/// The configuration of one plugin of the only route.
fn plugin(text: &str, name: &str) -> Value {
    let objects = objects(text);
    let (_, route) = objects
        .iter()
        .find(|(path, _)| path.contains("/routes/"))
        .expect("a route");
    route["plugins"][name].clone()
}

#[test]
fn a_service_with_a_route_becomes_what_the_adc_command_line_sends() {
    assert_eq!(
        objects(TWO_INSTANCES),
        [
            (
                "/apisix/services/92d4047478ae948f9786a123330bf22ba96bef63".to_owned(),
                json!({
                    "id": "92d4047478ae948f9786a123330bf22ba96bef63",
                    "name": "ai-proxy-multi-service",
                    "labels": {"managed-by": "adc"},
                })
            ),
            (
                "/apisix/routes/2c64c8dd88e0e1fbcb4c3cd22598f0d9e68d0eee".to_owned(),
                json!({
                    "id": "2c64c8dd88e0e1fbcb4c3cd22598f0d9e68d0eee",
                    "name": "ai-proxy-multi-route",
                    "labels": {"managed-by": "adc"},
                    "uris": ["/anything"],
                    "methods": ["POST"],
                    "service_id": "92d4047478ae948f9786a123330bf22ba96bef63",
                    "status": 1,
                    "plugins": {"ai-proxy-multi": {"instances": [
                        {"name": "openai-instance", "provider": "openai", "weight": 8,
                            "auth": {"header": {"Authorization": "Bearer sk-openai"}}, "options": {"model": "gpt-4"}},
                        {"name": "deepseek-instance", "provider": "deepseek", "weight": 2,
                            "auth": {"header": {"Authorization": "Bearer sk-deepseek"}}, "options": {"model": "deepseek-chat"}},
                    ]}},
                })
            ),
        ]
    );
}

#[test]
fn consumers_with_credentials_become_what_the_adc_command_line_sends() {
    let text = "
consumers:
  - username: johndoe
    plugins:
      ai-rate-limiting:
        instances:
          - {name: openai-instance, limit: 10, time_window: 60}
        rejected_code: 429
        limit_strategy: total_tokens
    credentials:
      - name: key-auth
        type: key-auth
        config: {key: john-key}
";
    let expected = json!({
        "username": "johndoe",
        "labels": {"managed-by": "adc"},
        "plugins": {"ai-rate-limiting": {
            "instances": [{"name": "openai-instance", "limit": 10, "time_window": 60}],
            "rejected_code": 429,
            "limit_strategy": "total_tokens",
        }},
    });
    let credential = (
        "/apisix/consumers/johndoe/credentials/a60ea41f64a706763696a583e8f013bfd74d4e12".to_owned(),
        json!({
            "id": "a60ea41f64a706763696a583e8f013bfd74d4e12",
            "name": "key-auth",
            "plugins": {"key-auth": {"key": "john-key"}},
        }),
    );
    let consumer = "/apisix/consumers/johndoe".to_owned();
    assert_eq!(objects(text), [(consumer, expected), credential.clone()]);
    let plain = shown(read(text).objects(&Labels::default()));
    assert_eq!(plain[0].1.get("labels"), None, "the label can be left away");
    assert_eq!(plain[1], credential);
}

/// The other examples of the plugin's documentation, each by what is special about it.
#[test]
fn plugins_are_passed_on_as_they_are_written() {
    for (name, written, expected) in [
        (
            "ai-proxy-multi",
            "{instances: [{name: a, provider: openai, weight: 0, options: {model: gpt-4, max_tokens: 50}}]}",
            json!({"instances": [{"name": "a", "provider": "openai", "weight": 0, "options": {"model": "gpt-4", "max_tokens": 50}}]}),
        ),
        (
            "ai-proxy-multi",
            "{fallback_strategy: [rate_limiting], instances: [{name: a, priority: 1}, {name: b, priority: 0}]}",
            json!({"fallback_strategy": ["rate_limiting"], "instances": [{"name": "a", "priority": 1}, {"name": "b", "priority": 0}]}),
        ),
        ("key-auth", "{}", json!({})),
        (
            "ai-rate-limiting",
            "{instances: [{name: openai-instance, limit: 10, time_window: 60}], limit_strategy: total_tokens}",
            json!({"instances": [{"name": "openai-instance", "limit": 10, "time_window": 60}], "limit_strategy": "total_tokens"}),
        ),
        (
            "ai-proxy-multi",
            "{logging: {summaries: true, payloads: true}}",
            json!({"logging": {"summaries": true, "payloads": true}}),
        ),
        (
            "kafka-logger",
            "{brokers: [{host: 127.0.0.1, port: 9092}], kafka_topic: test2, key: key1, batch_max_size: 1}",
            json!({"brokers": [{"host": "127.0.0.1", "port": 9092}], "kafka_topic": "test2", "key": "key1", "batch_max_size": 1}),
        ),
        (
            "ai-proxy-multi",
            "{instances: [{name: a, checks: {active: {type: https, host: yourhost.com, http_path: /your/probe/path, healthy: {interval: 2, successes: 1}, unhealthy: {interval: 1, http_failures: 3}}}}]}",
            json!({"instances": [{"name": "a", "checks": {"active": {"type": "https", "host": "yourhost.com", "http_path": "/your/probe/path",
                "healthy": {"interval": 2, "successes": 1}, "unhealthy": {"interval": 1, "http_failures": 3}}}}]}),
        ),
        (
            "ai-proxy-multi",
            "{instances: [{provider: azure-openai, auth: {header: {api-key: \"${SECRET}\"}}, override: {endpoint: \"https://a.openai.azure.com/x?api-version=2023-05-15\"}}]}",
            json!({"instances": [{"provider": "azure-openai", "auth": {"header": {"api-key": "hush"}}, "override": {"endpoint": "https://a.openai.azure.com/x?api-version=2023-05-15"}}]}),
        ),
        (
            "response-rewrite",
            "{body: \"\\\\${SECRET} ${SECRET}\", limit: 1.5, nothing: null}",
            json!({"body": "${SECRET} hush", "limit": 1.5, "nothing": null}),
        ),
    ] {
        let text = format!(
            "services: [{{name: s, routes: [{{name: r, uris: [/a], plugins: {{{name}: {written}}}}}]}}]"
        );
        assert_eq!(plugin(&text, name), expected);
    }
}

#[test]
fn upstreams_get_ids_names_and_the_defaults_that_adc_fills_in() {
    let text = "
services:
  - name: s
    description: what it is
    hosts: [a.example]
    upstream:
      name: ignored
      description: servers
      nodes:
        - {host: 10.0.0.1, port: \"${PORT}\", weight: 1}
      keepalive_pool: {}
      checks:
        active:
          http_request_headers: [\"x: y\"]
          healthy: {}
    upstreams:
      - name: other
        service_name: catalog
        discovery_type: dns
        scheme: https
";
    let objects = objects(text);
    let id = "a0f1490a20d0211c997b44bc357e1972deab8ae3";
    assert_eq!(
        objects[0],
        (
            format!("/apisix/upstreams/{id}"),
            json!({
                "id": id, "name": "s", "desc": "servers",
                "type": "roundrobin", "scheme": "http", "pass_host": "pass",
                "nodes": [{"host": "10.0.0.1", "port": 8443, "weight": 1, "priority": 0}],
                "keepalive_pool": {"size": 320, "idle_timeout": 60, "requests": 1000},
                "checks": {"active": {
                    "type": "http", "timeout": 1, "concurrency": 10, "http_path": "/", "https_verify_certificate": true,
                    "req_headers": ["x: y"],
                    "healthy": {"http_statuses": [200, 302], "successes": 2, "interval": 1},
                }},
            })
        )
    );
    assert_eq!(
        objects[1],
        (
            format!("/apisix/services/{id}"),
            json!({
                "id": id, "name": "s", "desc": "what it is", "hosts": ["a.example"], "upstream_id": id,
                "labels": {"managed-by": "adc"},
            })
        )
    );
    assert_eq!(
        objects[2].1,
        json!({
            "name": "other", "service_name": "catalog", "discovery_type": "dns", "scheme": "https", "type": "roundrobin",
            "pass_host": "pass", "labels": {"__ADC_UPSTREAM_SERVICE_ID": id},
        })
    );
}

#[test]
fn certificates_rules_metadata_and_stream_routes_get_the_admin_apis_names() {
    let long = "c".repeat(128);
    let text = format!(
        "
services:
  - name: s
    stream_routes: [{{name: tcp, server_port: 9100, labels: {{team: [a, b]}}}}]
ssls:
  - snis: [a.example, b.example]
    certificates:
      - {{certificate: {long}, key: $env://KEY_ONE}}
      - {{certificate: $secret://vault/1/c, key: $secret://vault/1/k}}
    client: {{ca: {long}}}
    ssl_protocols: [TLSv1.3]
global_rules:
  prometheus: {{prefer_name: true}}
plugin_metadata:
  http-logger: {{log_format: {{host: $host}}}}
"
    );
    let objects = objects(&text);
    assert_eq!(
        objects[1].1,
        json!({"server_port": 9100, "service_id": "a0f1490a20d0211c997b44bc357e1972deab8ae3",
            "labels": {"team": "[\"a\",\"b\"]", "__ADC_NAME": "tcp", "managed-by": "adc"}})
    );
    assert_eq!(
        objects[2].1,
        json!({
            "id": "ab52a27cac99b014142464e0cfd427f530bd1739", "type": "server", "status": 1, "labels": {"managed-by": "adc"},
            "snis": ["a.example", "b.example"], "cert": long, "key": "$env://KEY_ONE",
            "certs": ["$secret://vault/1/c"], "keys": ["$secret://vault/1/k"],
            "client": {"ca": long, "depth": 1}, "ssl_protocols": ["TLSv1.3"],
        })
    );
    assert_eq!(
        objects[3..],
        [
            (
                "/apisix/global_rules/prometheus".to_owned(),
                json!({"plugins": {"prometheus": {"prefer_name": true}}})
            ),
            (
                "/apisix/plugin_metadata/http-logger".to_owned(),
                json!({"log_format": {"host": "$host"}})
            ),
        ]
    );
}

#[test]
fn chosen_ids_and_priorities_beyond_32_bits_are_kept() {
    let text =
        "services: [{id: my-id, name: s, routes: [{id: r.1, name: r, uris: [/a], priority: 27917287424}]}]";
    let objects = objects(text);
    assert_eq!(objects[0].0, "/apisix/services/my-id");
    assert_eq!(objects[1].0, "/apisix/routes/r.1");
    assert_eq!(objects[1].1["service_id"], "my-id");
    assert_eq!(objects[1].1["priority"], 27_917_287_424_u64);
}

#[test]
fn labels_of_a_selector_are_added_to_what_carries_labels() {
    let labels = Labels {
        managed_by: true,
        selector: [("team".to_owned(), "search".to_owned())].into(),
    };
    let text = "{services: [{name: s, labels: {team: old, a: b}}], global_rules: {cors: {}}}";
    let objects = shown(read(text).objects(&labels));
    assert_eq!(
        objects[0].1["labels"],
        json!({"team": "search", "a": "b", "managed-by": "adc"})
    );
    assert_eq!(objects[1].1, json!({"plugins": {"cors": {}}}));
}

#[test]
fn json_is_read_as_well_and_knows_its_lines() {
    let document = lower_adc("adc.JSON", "{\n\"global_rules\": {\"cors\": {}}\n}", &env);
    assert_eq!(
        document
            .map(|document| document.objects(&MANAGED).len())
            .unwrap_or_default(),
        1
    );
    let mistakes = lower_adc("adc.json", "{\n\"service\": []\n}", &env)
        .err()
        .unwrap();
    assert_eq!(mistakes[0].line, Some(2));
}

#[test]
fn an_empty_file_asks_for_nothing() {
    assert_eq!(objects("# nothing yet\n"), []);
}

#[test]
fn every_mistake_is_told_with_its_line_and_what_is_allowed() {
    let text = "
service: []
services:
  - name: s
    path_prefx: /a
    routes:
      - name: r
        uri: /a
        uris: []
        methods: [FETCH]
        remote_addrs: [10.0.0.0/33]
        plugins: {key-auth: }
        timeout: {connect: 0, send: 1}
      - name: q
        uris: [/b]
        priority: high
    upstream:
      nodes: [{host: a, port: 0, weight: -1}]
  - name: s
    upstreams: [{name: x, nodes: []}]
  - {name: t, upstream: {scheme: http}, routes: [], stream_routes: []}
consumers:
  - {username: a b}
  - {username: c, group_id: g, credentials: [{name: n, type: openid-connect, config: {}}]}
global_rules:
  cors: {origin: \"${NOT_SET}\"}
";
    let all = mistakes(text).join("\n");
    for expected in [
        "adc.yaml:2: service: unknown key `service`; did you mean `services`? (allowed: services, ssls, consumers, consumer_groups, global_rules, plugin_metadata)",
        "adc.yaml:5: services[0].path_prefx: unknown key `path_prefx`; did you mean `path_prefix`?",
        "adc.yaml:8: services[0].routes[0].uri: unknown key `uri`; did you mean `uris`?",
        "adc.yaml:9: services[0].routes[0].uris: needs at least one item",
        "adc.yaml:10: services[0].routes[0].methods[0]: unknown word `FETCH`",
        "adc.yaml:11: services[0].routes[0].remote_addrs[0]: expected an address such as 10.0.0.1 or a network",
        "adc.yaml:12: services[0].routes[0].plugins.key-auth: expected a map, which may be empty: {}, found nothing",
        "adc.yaml:13: services[0].routes[0].timeout.connect: expected a number above 0",
        "adc.yaml:16: services[0].routes[1].priority: expected a whole number",
        "adc.yaml:18: services[0].upstream.nodes[0].port: expected a whole number from 1 to 65535",
        "adc.yaml:18: services[0].upstream.nodes[0].weight: expected a whole number of at least 0",
        "adc.yaml:19: services[1]: a service with the same id or name is in line 4 already",
        "adc.yaml:20: services[1].upstreams: needs `upstream` beside it",
        "adc.yaml:21: services[2].upstream: needs either `nodes`, or `service_name` and `discovery_type`, and not both",
        "adc.yaml:21: services[2].stream_routes: a service has routes or stream_routes, not both",
        "adc.yaml:23: consumers[0].username: a username has letters, digits, `-` and `_` only",
        "adc.yaml:24: consumers[1].group_id: unknown key `group_id`",
        "adc.yaml:24: consumers[1].credentials[0].type: unknown word `openid-connect` (allowed: key-auth, basic-auth, jwt-auth, hmac-auth)",
        "adc.yaml:26: global_rules.cors.origin: environment variable NOT_SET is not set",
    ] {
        assert!(all.contains(expected), "{expected}\nis not in\n{all}");
    }
    assert_eq!(
        all.matches("needs at least one item").count(),
        1,
        "only where there is none: {all}"
    );
}

#[test]
fn what_came_from_a_variable_is_not_repeated_in_a_mistake() {
    let all = mistakes(
        "services: [{name: s, upstream: {nodes: [], scheme: \"${SECRET}\", pass_host: \"${SECRET}\", retries: \"${SECRET}\"}}]",
    );
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(!all.join("\n").contains("hush"), "{all:?}");
    assert!(all.join("\n").contains("pass, node, rewrite"), "{all:?}");
}

#[test]
fn a_name_of_another_kind_or_service_is_no_duplicate() {
    objects(
        "services: [{name: a, routes: [{name: x, uris: [/]}]}, {name: b, routes: [{name: x, uris: [/]}]}]",
    );
    assert!(
        mistakes("services: [{name: a, routes: [{name: x, uris: [/]}, {name: x, uris: [/b]}]}]")[0]
            .contains("a route with the same id or name")
    );
}

#[test]
fn files_are_merged_and_what_both_have_is_a_mistake() {
    let first = read("services: [{name: a}]\nglobal_rules: {cors: {}}");
    let second = lower_adc("more.yaml", "services:\n- name: b\n- name: c\n", &env)
        .ok()
        .unwrap();
    let merged = first.merge(second).ok().unwrap();
    assert_eq!(merged.objects(&MANAGED).len(), 4);
    let place = merged.place(&merged.objects(&MANAGED)[3].0).unwrap();
    assert_eq!(place.to_string(), "more.yaml:3: services[1]");
    let third = lower_adc("third.yaml", "services:\n- name: c\n", &env)
        .ok()
        .unwrap();
    let mistakes = merged.merge(third).err().unwrap();
    assert_eq!(
        mistakes[0].to_string(),
        "third.yaml:2: services[0]: a service with the same id or name is in more.yaml:3 already"
    );
}

#[test]
fn what_adc_accepts_and_does_not_send_is_told() {
    let document = read("services: [{name: a, path_prefix: /x}]\nconsumer_groups: [{name: g}]");
    assert_eq!(document.notes().len(), 2, "{:?}", document.notes());
    assert_eq!(document.objects(&MANAGED).len(), 1);
}
