//! What manifests mean, and what is said about those that mean nothing.

use serde_json::{Map, Value, json};

use super::{Manifests, lower_manifests, to_apisix_yaml};
use crate::adc::{Labels, lower_adc, normalised, to_adc_yaml};
use crate::apisix::lower_standalone;
use crate::model::StandaloneFormat;
use crate::objects::{Kind, Lua, ObjectKey, Write, check};

#[track_caller]
pub(super) fn lower(text: &str) -> Manifests {
    match lower_manifests("k.yaml", text) {
        Ok(manifests) => manifests,
        Err(mistakes) => panic!("{mistakes:#?}"),
    }
}

/// What a text lowers into as `{"<kind> <name>": value}`, without ids. What it says as ADC's and as APISIX's file has to be
/// the same.
#[track_caller]
pub(super) fn meaning(text: &str) -> Value {
    let objects = lower(text).objects;
    let raised = to_adc_yaml(objects.clone()).unwrap();
    assert_eq!(raised.notes, Vec::<String>::new());
    let again = lower_adc("adc.yaml", &raised.yaml, &|_| None)
        .unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{}", raised.yaml))
        .objects(&Labels::default());
    assert!(ordered(objects.clone()) == ordered(again), "{}", raised.yaml);
    let written = to_apisix_yaml(objects.clone()).unwrap();
    assert_eq!(written.notes, Vec::<String>::new());
    let again = lower_standalone("apisix.yaml", &written.yaml, StandaloneFormat::Yaml, &|_| None)
        .unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{}", written.yaml));
    assert!(
        ordered(objects.clone()) == ordered(again.objects),
        "{}",
        written.yaml
    );

    for (key, value) in &objects {
        check_as_sent(key, value.clone());
    }
    let mut services = Map::new();
    for (key, value) in &objects {
        if key.kind == Kind::Service {
            services.insert(key.id.clone(), value["name"].clone());
        }
    }
    let named = objects.into_iter().map(|(key, mut value)| {
        assert!(!key.id.is_empty());
        let name = value.remove("name");
        let name = name
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or(&key.id)
            .to_owned();
        value.remove("id");
        if let Some(Value::String(id)) = value.remove("service_id") {
            value.insert("service".to_owned(), services[&id].clone());
        }
        if let Some(Value::String(id)) = value.remove("upstream_id") {
            assert_eq!(services[&id], name.as_str(), "a service has its own upstream");
        }
        (format!("{} {name}", key.kind), Value::Object(value))
    });
    Value::Object(named.collect())
}

/// The Admin API takes every object.
#[track_caller]
fn check_as_sent(key: &ObjectKey, mut value: Map<String, Value>) {
    value.remove("id");
    if let Err(refused) = check(key.kind, Write::Put, Some(key.short_id()), value, Lua::Refuse) {
        panic!("{key}: {refused}");
    }
}

fn ordered(objects: Vec<(ObjectKey, Map<String, Value>)>) -> Vec<(ObjectKey, Map<String, Value>)> {
    let mut objects: Vec<_> = objects
        .into_iter()
        .map(|(key, value)| {
            let value = normalised(key.kind, value);
            (key, value)
        })
        .collect();
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    objects
}

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    match lower_manifests("k.yaml", text) {
        Ok(_) => panic!("taken"),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

fn http_route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{namespace: ns, name: r}}\nspec:\n  rules:\n{rules}"
    )
}

fn plugins_of(rules: &str) -> Value {
    meaning(&http_route(rules))["service ns_r_0"]["plugins"].take()
}

const REDIRECT: &str = "    filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]\n";

#[test]
fn each_match_is_a_route_with_the_priority_of_the_controller() {
    let text = format!(
        "{}{REDIRECT}",
        http_route(
            "  - matches:
    - {path: {type: Exact, value: /a}, method: POST}
    - {path: {type: PathPrefix, value: /p}}
    - {path: {value: /q/}}
    - {path: {type: RegularExpression, value: '^/v[0-9]+'}, headers: [{name: X-Team, value: a}], queryParams: [{name: v, type: RegularExpression, value: '1|2'}]}
    - {}
"
        )
        .replace("  rules:", "  hostnames: [a.example, '*.long.example']\n  rules:")
    );
    let hosts: i64 = (9 << 31) | (14 << 23);
    assert_eq!(
        meaning(&text),
        json!({
            "service ns_r_0": {
                "hosts": ["a.example", "*.long.example"],
                "plugins": {"redirect": {"ret_code": 302, "uri": "https://$host$request_uri"}},
            },
            "route ns_r_0-0": {"service": "ns_r_0", "status": 1, "uris": ["/a"], "methods": ["POST"], "priority": hosts | 1 << 22 | 16 << 7},
            "route ns_r_0-1": {"service": "ns_r_0", "status": 1, "uris": ["/p", "/p/*"], "priority": hosts | 16 << 7},
            "route ns_r_0-2": {"service": "ns_r_0", "status": 1, "uris": ["/q/", "/q/*"], "priority": hosts | 16 << 7},
            "route ns_r_0-3": {
                "service": "ns_r_0", "status": 1, "uris": ["/*"], "priority": hosts | 1 << 17 | 1 << 12 | 16 << 7,
                "vars": [["uri", "~~", "^/v[0-9]+"], ["http_x_team", "==", "a"], ["arg_v", "~~", "1|2"]],
            },
            "route ns_r_0-4": {"service": "ns_r_0", "status": 1, "uris": ["/", "/*"], "priority": hosts | 16 << 7},
        })
    );
}

#[test]
fn a_rule_without_matches_takes_every_call_and_later_rules_count_less() {
    let rules = format!(
        "  - name: one\n{REDIRECT}{}",
        format!("  - name: two\n{REDIRECT}").repeat(16)
    );
    let found = meaning(&http_route(&rules));
    assert_eq!(found["route ns_r_0-0"]["uris"], json!(["/", "/*"]));
    assert_eq!(found["route ns_r_0-0"]["priority"], 16 << 7);
    assert_eq!(found["route ns_r_15-0"]["priority"], 1 << 7);
    assert_eq!(found["route ns_r_16-0"]["priority"], 0);
}

#[test]
fn filters_become_plugins() {
    assert_eq!(
        plugins_of(
            "  - matches: [{path: {value: /v1/}}, {path: {value: /v1/chat}}, {path: {value: /}}]
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}], add: [{name: C, value: d}], remove: [E]}}
    - {type: URLRewrite, urlRewrite: {hostname: h.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /x/}}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: A, value: b}]}}
    - {type: CORS, cors: {allowOrigins: ['https://a.example'], allowMethods: [GET, POST], maxAge: 60, allowCredentials: true}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: m, port: 81}, percent: 5}}
"
        ),
        json!({
            "proxy-rewrite": {
                "headers": {"set": {"A": "b"}, "add": {"C": "d"}, "remove": ["E"]},
                "host": "h.example",
                "regex_uri": ["^/v1/chat/(.*)", "/x/$1", "^/v1/chat$", "/x", "^/v1/(.*)", "/x/$1", "^/v1$", "/x", "^/(.*)", "/x/$1"],
            },
            "response-rewrite": {"headers": {"add": ["A: b"]}},
            "cors": {"allow_origins": "https://a.example", "allow_methods": "GET,POST", "max_age": 60, "allow_credential": true},
            "proxy-mirror": {"host": "http://m.ns.svc:81", "sample_ratio": 0.05},
        })
    );
    assert_eq!(
        plugins_of(
            "  - filters:
    - {type: RequestRedirect, requestRedirect: {scheme: https, hostname: h.example, port: 8443, statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /x}}}
    - {type: CORS, cors: {allowOrigins: ['https://*.a.example']}}
"
        ),
        json!({
            "redirect": {"ret_code": 301, "uri": "https://h.example:8443/x"},
            "cors": {"allow_origins_by_regex": ["^https://.*\\.a\\.example$"]},
        })
    );
}

#[test]
fn services_are_nodes_by_their_name_in_the_cluster() {
    let text = format!(
        "{}---
apiVersion: v1
kind: Service
metadata: {{namespace: ns, name: out}}
spec: {{type: ExternalName, externalName: out.example, ports: [{{port: 443, appProtocol: https}}]}}
",
        http_route(
            "  - backendRefs: [{name: in, port: 8080}, {name: out, port: 443, weight: 0, group: '', kind: Service}]\n"
        )
    );
    assert_eq!(
        meaning(&text)["upstream ns_r_0"],
        json!({
            "type": "roundrobin", "scheme": "https", "pass_host": "pass",
            "nodes": [
                {"host": "in.ns.svc", "port": 8080, "weight": 1, "priority": 0},
                {"host": "out.example", "port": 443, "weight": 0, "priority": 0},
            ],
        })
    );
    assert_eq!(
        lower(&text).notes,
        [
            "k.yaml:6: document 1.spec.rules[0].backendRefs[0]: calls go to in.ns.svc:8080, a name that resolves in the cluster"
        ]
    );
}

#[test]
fn a_rule_that_nothing_answers_has_no_nodes_and_a_note() {
    let text = http_route(
        "  - filters: [{type: ExtensionRef, extensionRef: {group: apisix.apache.org, kind: PluginConfig, name: gone}}]\n",
    );
    let found = meaning(&text);
    assert_eq!(
        found["upstream ns_r_0"],
        json!({"type": "roundrobin", "scheme": "http", "pass_host": "pass", "nodes": []})
    );
    assert_eq!(found["service ns_r_0"], json!({}));
    assert_eq!(
        lower(&text).notes,
        [
            "k.yaml:6: document 1.spec.rules[0].filters[0].extensionRef: the PluginConfig ns/gone is not in this file: its plugins do not run",
            "k.yaml:6: document 1.spec.rules[0]: has no backend and no plugin that answers: its calls cannot be served",
        ]
    );
}

#[test]
fn an_apisix_route_can_say_all_that_the_admin_api_can() {
    let text = "
apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata: {namespace: ns, name: r}
spec:
  http:
  - name: one
    priority: -3
    websocket: true
    timeout: {connect: 500ms, read: 2m}
    match:
      paths: [/a, /b/*]
      hosts: [a.example]
      remoteAddrs: [10.0.0.0/8, '::1']
      exprs:
      - {subject: {scope: Header, name: X-Team}, op: Equal, value: a}
      - {subject: {scope: Query, name: q}, op: RegexNotMatch, value: '^b'}
      - {subject: {scope: Path}, op: NotIn, set: [/c]}
      - {subject: {scope: Variable, name: remote_port}, op: GreaterThan, value: '5'}
    authentication: {enable: true, type: keyAuth, keyAuth: {header: X-Key}}
    plugin_config_name: shared
    plugins:
    - {name: limit-count, enable: false, config: {count: 1}}
    - {name: kafka-logger, enable: true, config: {brokers: [{host: k}]}, secretRef: kafka}
    backends: [{serviceName: b, servicePort: http, weight: 3}]
    upstreams: [{name: outside, weight: 2}]
---
apiVersion: apisix.apache.org/v2
kind: ApisixPluginConfig
metadata: {namespace: ns, name: shared}
spec: {plugins: [{name: cors, config: {max_age: 1}}, {name: kafka-logger, config: {gone: 1}}]}
---
apiVersion: v1
kind: Secret
metadata: {namespace: ns, name: kafka}
data: {auth.sasl.password: cGFzcw==}
stringData: {auth.sasl.user: me}
---
apiVersion: v1
kind: Service
metadata: {namespace: ns, name: b}
spec: {ports: [{name: http, port: 8080}]}
---
apiVersion: apisix.apache.org/v2
kind: ApisixUpstream
metadata: {namespace: ns, name: b}
spec: {loadbalancer: {type: chash, hashOn: header, key: X-User}, retries: 2, passHost: node, timeout: {send: 5s}}
---
apiVersion: apisix.apache.org/v2
kind: ApisixUpstream
metadata: {namespace: ns, name: outside}
spec: {externalNodes: [{type: Domain, name: o.example, weight: 5}, {name: p.example, port: 81}]}
";
    assert_eq!(
        meaning(text),
        json!({
            "upstream ns_r_0": {
                "type": "chash", "hash_on": "header", "key": "X-User", "retries": 2, "scheme": "http", "pass_host": "node",
                "timeout": {"connect": 60, "send": 5, "read": 60},
                "nodes": [
                    {"host": "b.ns.svc", "port": 8080, "weight": 3, "priority": 0},
                    {"host": "o.example", "port": 80, "weight": 10, "priority": 0},
                    {"host": "p.example", "port": 81, "weight": 2, "priority": 0},
                ],
            },
            "service ns_r_0": {"hosts": ["a.example"]},
            "route ns_r_one": {
                "service": "ns_r_0", "status": 1, "priority": -3, "enable_websocket": true, "uris": ["/a", "/b/*"],
                "timeout": {"connect": 0.5, "send": 60, "read": 120},
                "remote_addrs": ["10.0.0.0/8", "::1"],
                "vars": [
                    ["http_x_team", "==", "a"], ["arg_q", "!", "~~", "^b"], ["uri", "!", "in", ["/c"]], ["remote_port", ">", "5"],
                ],
                "plugins": {
                    "key-auth": {"header": "X-Key"},
                    "cors": {"max_age": 1},
                    "kafka-logger": {"brokers": [{"host": "k"}], "auth": {"sasl": {"password": "pass", "user": "me"}}},
                },
            },
        })
    );
}

#[test]
fn consumers_get_their_credentials_from_secrets() {
    let text = "
apiVersion: apisix.apache.org/v1alpha1
kind: Consumer
metadata: {name: a.b}
spec:
  gatewayRef: {name: apisix, kind: Gateway, group: gateway.networking.k8s.io}
  credentials:
  - {type: jwt-auth, name: j, secretRef: {name: s, namespace: other}}
---
apiVersion: apisix.apache.org/v2
kind: ApisixConsumer
metadata: {namespace: other, name: c}
spec: {authParameter: {basicAuth: {secretRef: {name: t}}}}
---
apiVersion: v1
kind: Secret
metadata: {namespace: other, name: s}
data: {key: aw==, exp: NjA=, base64_secret: dHJ1ZQ==}
---
apiVersion: v1
kind: Secret
metadata: {namespace: other, name: t}
stringData: {username: u, password: p}
";
    assert_eq!(
        meaning(text),
        json!({
            "consumer default_a_b": {"username": "default_a_b"},
            "credential j": {"plugins": {"jwt-auth": {"key": "k", "exp": 60, "base64_secret": true}}},
            "consumer other_c": {"username": "other_c", "plugins": {"basic-auth": {"username": "u", "password": "p"}}},
        })
    );
    assert_eq!(
        lower(text).notes,
        ["k.yaml:2: document 1: the consumer is called default_a_b: a username cannot have dots"]
    );
}

#[test]
fn a_gateway_proxy_holds_plugins_for_every_call() {
    let text = "
apiVersion: apisix.apache.org/v1alpha1
kind: GatewayProxy
metadata: {namespace: ns, name: proxy}
spec:
  provider: {type: ControlPlane, controlPlane: {endpoints: ['http://a:9180'], auth: {type: AdminKey, adminKey: {value: k}}}}
  plugins: [{name: prometheus, enabled: true, config: {prefer_name: true}}, {name: cors, enabled: false}]
  pluginMetadata: {http-logger: {log_format: {a: $host}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: ns, name: g}
spec:
  gatewayClassName: apisix
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: apisix}
spec: {controllerName: apisix.apache.org/apisix-ingress-controller}
";
    assert_eq!(
        meaning(text),
        json!({
            "global rule prometheus": {"plugins": {"prometheus": {"prefer_name": true}}},
            "plugin_metadata http-logger": {"log_format": {"a": "$host"}},
        })
    );
    let unused = "k.yaml:2: document 1: no Gateway of this file refers to this GatewayProxy; its plugins run nevertheless";
    let provider = "k.yaml:6: document 1.spec.provider: has no effect here";
    let ports = "k.yaml:15: document 2.spec.listeners: ports have no effect: the gateway listens where its own configuration says";
    assert_eq!(lower(text).notes, [provider, unused, ports]);
    let used = text.replace(
        "  gatewayClassName: apisix\n",
        "  gatewayClassName: apisix\n  infrastructure: {parametersRef: {group: apisix.apache.org, kind: GatewayProxy, name: proxy}}\n",
    );
    assert!(!lower(&used).notes.contains(&unused.to_owned()));
}

#[test]
fn certificates_come_from_secrets() {
    let (certificate, key) = ("c".repeat(128), "k".repeat(64));
    let text = format!(
        "
apiVersion: apisix.apache.org/v2
kind: ApisixTls
metadata: {{name: t}}
spec: {{hosts: [a.example, b.example], secret: {{name: s, namespace: default}}, client: {{caSecret: {{name: s}}, depth: 2}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: g}}
spec:
  listeners:
  - {{name: https, hostname: c.example, port: 443, protocol: HTTPS, tls: {{mode: Terminate, certificateRefs: [{{name: s}}]}}}}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: s}}
stringData: {{tls.crt: {certificate}, tls.key: {key}, ca.crt: {certificate}}}
"
    );
    let objects = lower(&text).objects;
    assert_eq!(objects.len(), 2);
    let mut first = objects[0].1.clone();
    first.remove("id");
    assert_eq!(
        Value::Object(first),
        json!({
            "type": "server", "status": 1, "snis": ["a.example", "b.example"], "cert": certificate, "key": key,
            "client": {"ca": certificate, "depth": 2},
        })
    );
    meaning(&text);
    let short = text.replace(&certificate, "c");
    assert_eq!(
        mistakes(&short)[0],
        "k.yaml:5: document 1.spec.client.caSecret: expected PEM text under one of these keys of the Secret: ca.crt, cert, tls.crt"
    );
}

#[test]
fn a_list_is_its_items() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apisix.apache.org/v1alpha1", "kind": "Consumer", "metadata": {"name": "a"}, "spec": {}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}]}"#;
    let found = lower_manifests("k.json", text).ok().unwrap();
    assert_eq!(found.objects.len(), 1);
    assert_eq!(
        found.notes,
        ["k.json:3: document 1.items[1]: Deployment d (apps/v1) is left out: this kind means nothing here"]
    );
    assert!(lower(text).objects == found.objects);
}

#[test]
fn every_mistake_has_its_document_path_and_line() {
    assert_eq!(
        mistakes(
            "apiVersion: apisix.apache.org/v1alpha1
kind: PluginConfig
metadata: {name: Upper}
spec:
  plugins:
  - nam: x
  - name: y
    config: []
    secretRef: gone
---
# only a comment
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: r}
spec:
  rules:
  - matches:
    - path: {type: Prefix, value: v1}
      method: post
    backendRefs: [{name: b}]
---
- a
---
apiVersion: apisix.apache.org/v2
kind: ApisixConsumer
metadata: {name: c}
spec: {authParameter: {}}
---
apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata: {name: c}
spec:
  http:
  - name: one
    match: {paths: [/], methods: [get], remoteAddrs: [ten]}
    backends: [{serviceName: s, servicePort: web}]
    timeout: {read: 5}
"
        ),
        [
            "k.yaml:3: document 1.metadata.name: a name has at most 253 lower case letters, digits, `-` and `.`",
            "k.yaml:6: document 1.spec.plugins[0].nam: unknown key `nam`; did you mean `name`? (allowed: name, enable, enabled, config, secretRef)",
            "k.yaml:6: document 1.spec.plugins[0].name: missing",
            "k.yaml:8: document 1.spec.plugins[1].config: expected a map",
            "k.yaml:9: document 1.spec.plugins[1].secretRef: the Secret default/gone is not in this file; add it",
            "k.yaml:19: document 2.spec.rules[0].matches[0].path.type: unknown word `Prefix` (allowed: Exact, PathPrefix, RegularExpression)",
            "k.yaml:19: document 2.spec.rules[0].matches[0].path.value: must begin with `/`",
            "k.yaml:20: document 2.spec.rules[0].matches[0].method: unknown word `post`; did you mean `POST`? (allowed: GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH)",
            "k.yaml:21: document 2.spec.rules[0].backendRefs[0].port: missing",
            "k.yaml:23: document 3: expected a map with apiVersion, kind and metadata",
            "k.yaml:28: document 4.spec.authParameter: needs one of: keyAuth, basicAuth, jwtAuth, wolfRBAC, hmacAuth, ldapAuth",
            "k.yaml:36: document 5.spec.http[0].match.methods[0]: unknown method `get`; did you mean `GET`? (allowed: GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS, CONNECT, TRACE, PURGE)",
            "k.yaml:36: document 5.spec.http[0].match.remoteAddrs[0]: expected an address such as 10.0.0.1 or a network such as 10.0.0.0/8",
            "k.yaml:37: document 5.spec.http[0].backends[0]: the port `web` is not known: add the Service default/s with a port of this name, or write its number",
            "k.yaml:38: document 5.spec.http[0].timeout.read: expected text; put it in quotes",
        ]
    );
}

#[test]
fn a_document_that_is_no_yaml_is_told_with_its_line() {
    let found = mistakes("a: 1\n---\nb: [\n---\nc: 1\nc: 2\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("k.yaml:"), "{}", found[0]);
    assert!(found[0].contains("document 2"), "{}", found[0]);
    assert_eq!(found[1], "k.yaml:6: document 3: duplicate key `c`");
}

#[test]
fn names_that_clash_are_mistakes() {
    let consumer = |name: &str| {
        format!(
            "---\napiVersion: apisix.apache.org/v1alpha1\nkind: Consumer\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        )
    };
    assert_eq!(
        mistakes(&format!("{}{}", consumer("a.b"), consumer("a.b"))),
        ["k.yaml:9: document 2.metadata.name: the Consumer default/a.b is in line 2 already"]
    );
    let other = "---\napiVersion: apisix.apache.org/v2\nkind: ApisixConsumer\nmetadata: {name: a.b}\nspec: {authParameter: {keyAuth: {value: {key: k}}}}\n";
    assert_eq!(
        mistakes(&format!("{}{other}", consumer("a.b"))),
        ["k.yaml:7: document 2: the consumer default_a_b comes from line 2 already"]
    );
}

#[test]
fn secrets_that_do_not_fit_are_mistakes_that_do_not_repeat_them() {
    let text = "
apiVersion: apisix.apache.org/v1alpha1
kind: PluginConfig
metadata: {name: p}
spec: {plugins: [{name: x, config: {a: 1}, secretRef: s}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {b: not-base64}
stringData: {a.b: hush}
";
    assert_eq!(
        mistakes(text),
        [
            "k.yaml:5: document 1.spec.plugins[0].secretRef: the key `a.b` of the Secret default/s leads into a setting that is no map",
            "k.yaml:10: document 2.data.b: expected text in base64",
        ]
    );
}

#[test]
fn texts_that_a_standalone_file_would_replace_are_told() {
    let text = "apiVersion: apisix.apache.org/v1alpha1\nkind: GatewayProxy\nmetadata: {name: p}\nspec: {pluginMetadata: {x: {a: '${{B}}'}}}\n";
    let written = to_apisix_yaml(lower(text).objects).unwrap();
    assert_eq!(written.yaml, "plugin_metadata:\n- a: ${{B}}\n  id: x\n#END\n");
    assert_eq!(
        written.notes,
        ["plugin_metadata x: apisix.yaml takes `${{NAME}}` for an environment variable"]
    );
}
