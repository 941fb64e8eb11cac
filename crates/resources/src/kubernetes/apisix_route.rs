//! `ApisixRoute`: a service and a route for each of its rules.

use serde_json::{Map, Value as Json, json};

use super::Lowering;
use super::backends::{Backends, Port, node};
use super::cluster::{Kind, Manifest};
use super::fields::{At, Fields};
use super::http_route::variable;
use super::upstreams::set;
use crate::report::quote;
use crate::tree::Value;

/// The methods of the Admin API.
const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE",
];

/// Kinds of authentication and their plugins.
const AUTHENTICATION: [(&str, &str); 6] = [
    ("keyAuth", "key-auth"),
    ("basicAuth", "basic-auth"),
    ("jwtAuth", "jwt-auth"),
    ("hmacAuth", "hmac-auth"),
    ("ldapAuth", "ldap-auth"),
    ("wolfRBAC", "wolf-rbac"),
];

/// Operators of `exprs`, those of APISIX, and whether the result is turned around.
const OPERATORS: [(&str, &str, bool); 12] = [
    ("Equal", "==", false),
    ("NotEqual", "~=", false),
    ("GreaterThan", ">", false),
    ("GreaterThanEqual", ">=", false),
    ("LessThan", "<", false),
    ("LessThanEqual", "<=", false),
    ("RegexMatch", "~~", false),
    ("RegexMatchCaseInsensitive", "~*", false),
    ("RegexNotMatch", "~~", true),
    ("RegexNotMatchCaseInsensitive", "~*", true),
    ("In", "in", false),
    ("NotIn", "in", true),
];

/// The largest weight of a backend.
const MAX_WEIGHT: i64 = 1_000_000;

impl Lowering<'_, '_> {
    pub(super) fn apisix_route(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        // Any class is this gateway.
        spec.get("ingressClassName");
        let rules = spec.list("http", self.report);
        spec.end(&["stream"], self);
        for (index, rule) in rules.into_iter().enumerate() {
            if let Some(rule) = rule.fields(self.report) {
                self.apisix_rule(manifest, index, rule);
            }
        }
    }

    fn apisix_rule(&mut self, manifest: &Manifest<'_>, index: usize, mut rule: Fields<'_>) {
        let at = rule.path.clone();
        let namespace = manifest.namespace.as_str();
        let mut value = Map::new();
        let name = rule.needed_text("name", self.report);
        let priority = rule.whole("priority", i64::MIN, i64::MAX, self.report);
        let mut hosts = Vec::new();
        match rule.map("match", self.report) {
            Some(fields) => hosts = self.apisix_match(fields, &mut value),
            None => rule.missing("match", self.report),
        }
        let mut plugins = Map::new();
        if let Some(authentication) = rule.map("authentication", self.report) {
            plugins.extend(self.authentication(authentication));
        }
        let config = rule.text("plugin_config_name", self.report);
        let config_namespace = rule.text("plugin_config_namespace", self.report);
        if let Some(config) = config {
            let config_namespace = config_namespace.unwrap_or(namespace);
            let cluster = self.cluster;
            match cluster.find(Kind::ApisixPluginConfig, config_namespace, config) {
                Some(config) => plugins.extend(self.plugin_config(config)),
                None => {
                    let text = format!(
                        "the ApisixPluginConfig {config_namespace}/{} is not in this file: its plugins do not run",
                        quote(config)
                    );
                    self.note(&at.key("plugin_config_name"), &text);
                }
            }
        }
        plugins.extend(self.plugins(rule.get("plugins"), namespace));
        let backends = rule.list("backends", self.report);
        let upstreams = rule.list("upstreams", self.report);
        let backends = self.apisix_backends(backends, upstreams, namespace);
        if let Some(timeout) = rule.map("timeout", self.report) {
            value.insert("timeout".to_owned(), self.timeout(timeout));
        }
        let websocket = rule.bool("websocket", self.report);
        rule.end(&[], self);

        let upstream = self.upstream_or_none(backends, &plugins, &at);
        let Some(name) = name else { return };
        set(&mut value, "priority", priority.map(Json::from));
        set(&mut value, "enable_websocket", websocket.map(Json::from));
        if !plugins.is_empty() {
            value.insert("plugins".to_owned(), Json::Object(plugins));
        }
        let composed = manifest.composed_name();
        let service = format!("{composed}_{index}");
        let id = self.add_service(&service, hosts, Map::new(), upstream, &at);
        self.add_route(&service, &id, &format!("{composed}_{name}"), value, &at);
    }

    /// Puts what a rule asks of a call into its route, and gives the hosts.
    fn apisix_match(&mut self, mut fields: Fields<'_>, value: &mut Map<String, Json>) -> Vec<String> {
        let paths = fields.texts("paths", self.report);
        if paths.is_empty() {
            fields.missing("paths", self.report);
        }
        value.insert("uris".to_owned(), paths.into());
        let mut methods = Vec::new();
        for method in fields.list("methods", self.report) {
            let Some(text) = method.text(self.report) else {
                continue;
            };
            match METHODS.contains(&text) {
                true => methods.push(text),
                false => self.report.mistake(
                    &method.path,
                    crate::report::unknown("method", text, METHODS.iter().copied()),
                ),
            }
        }
        if !methods.is_empty() {
            value.insert("methods".to_owned(), json!(methods));
        }
        let addresses = fields.list("remoteAddrs", self.report);
        let addresses: Vec<&str> = addresses
            .iter()
            .filter_map(|address| {
                let text = address.text(self.report)?;
                if !is_network(text) {
                    self.report.mistake(
                        &address.path,
                        "expected an address such as 10.0.0.1 or a network such as 10.0.0.0/8",
                    );
                }
                Some(text)
            })
            .collect();
        if !addresses.is_empty() {
            value.insert("remote_addrs".to_owned(), json!(addresses));
        }
        let mut vars = Vec::new();
        for expression in fields.list("exprs", self.report) {
            if let Some(expression) = expression.fields(self.report) {
                vars.extend(self.expression(expression));
            }
        }
        if !vars.is_empty() {
            value.insert("vars".to_owned(), vars.into());
        }
        let function = fields.text("filter_func", self.report);
        set(value, "filter_func", function.map(Json::from));
        let hosts = fields.texts("hosts", self.report);
        fields.end(&[], self);
        hosts
    }

    /// `{subject: {scope, name}, op, value, set}`.
    fn expression(&mut self, mut fields: Fields<'_>) -> Option<Json> {
        let subject = match fields.map("subject", self.report) {
            Some(mut subject) => {
                let scopes = ["Header", "Query", "Cookie", "Path", "Variable", "Body"];
                let scope = subject.word("scope", &scopes, self.report);
                if scope.is_none() && subject.get("scope").is_none() {
                    subject.missing("scope", self.report);
                }
                let name = match scope {
                    Some("Path") => subject.text("name", self.report).or(Some("")),
                    _ => subject.needed_text("name", self.report),
                };
                subject.end(&[], self);
                scope.zip(name)
            }
            None => {
                fields.missing("subject", self.report);
                None
            }
        };
        let words = OPERATORS.map(|(word, ..)| word);
        let operator = fields.word("op", &words, self.report);
        if operator.is_none() && fields.get("op").is_none() {
            fields.missing("op", self.report);
        }
        let value = fields.text("value", self.report).map(Json::from);
        let set = fields.texts("set", self.report);
        let one_of = matches!(operator, Some("In" | "NotIn"));
        let value = if one_of { Some(Json::from(set)) } else { value };
        if value.is_none() {
            fields.missing("value", self.report);
        }
        fields.end(&[], self);
        let (scope, name) = subject?;
        let (_, operator, negated) = OPERATORS.into_iter().find(|(word, ..)| Some(*word) == operator)?;
        let left = match scope {
            "Header" => variable("http", name),
            "Query" => variable("arg", name),
            "Cookie" => variable("cookie", name),
            "Body" => variable("post_arg", name),
            "Path" => "uri".to_owned(),
            _ => name.to_owned(),
        };
        Some(match negated {
            true => json!([left, "!", operator, value?]),
            false => json!([left, operator, value?]),
        })
    }

    fn authentication(&mut self, mut fields: Fields<'_>) -> Option<(String, Json)> {
        let on = fields.bool("enable", self.report) == Some(true);
        let words = AUTHENTICATION.map(|(word, _)| word);
        let kind = fields.word("type", &words, self.report);
        let mut settings = Map::new();
        for (word, _) in AUTHENTICATION {
            let found = fields.get(word);
            if let Some(found) = found.filter(|_| Some(word) == kind) {
                settings = found.json_object(self.report);
            }
        }
        if on && kind.is_none() && fields.get("type").is_none() {
            fields.missing("type", self.report);
        }
        fields.end(&[], self);
        let (_, plugin) = AUTHENTICATION.into_iter().find(|(word, _)| Some(*word) == kind)?;
        on.then(|| (plugin.to_owned(), Json::Object(settings)))
    }

    /// Services of the cluster and upstreams outside of it, as one upstream.
    fn apisix_backends(
        &mut self,
        backends: Vec<At<'_>>,
        upstreams: Vec<At<'_>>,
        namespace: &str,
    ) -> Backends {
        let mut all = Backends::default();
        let cluster = self.cluster;
        for at in backends {
            let Some(mut fields) = at.fields(self.report) else {
                continue;
            };
            let path = fields.path.clone();
            let name = fields.needed_text("serviceName", self.report);
            let port = self.service_port(&mut fields);
            let weight = fields.whole("weight", 0, MAX_WEIGHT, self.report).unwrap_or(1);
            fields.end(&["resolveGranularity", "subset"], self);
            let (Some(name), Some(port)) = (name, port) else {
                continue;
            };
            if let Some(manifest) = cluster.find(Kind::ApisixUpstream, namespace, name)
                && let Some(settings) = self.upstream_settings(manifest)
            {
                all.settings.extend(settings.fields);
            }
            if let Some(server) = self.server(namespace, name, &port, &path) {
                all.nodes.push(node(&server.host, server.port, weight));
                self.scheme(&mut all.settings, server.scheme, &path);
            }
        }
        for at in upstreams {
            let Some(mut fields) = at.fields(self.report) else {
                continue;
            };
            let path = fields.path.clone();
            let name = fields.needed_text("name", self.report);
            let weight = fields.whole("weight", 0, MAX_WEIGHT, self.report).unwrap_or(1);
            fields.end(&[], self);
            let Some(name) = name else { continue };
            let Some(manifest) = cluster.find(Kind::ApisixUpstream, namespace, name) else {
                let text = format!(
                    "the ApisixUpstream {namespace}/{} is not in this file; left out",
                    quote(name)
                );
                self.note(&path, &text);
                continue;
            };
            if let Some(settings) = self.upstream_settings(manifest) {
                all.nodes.extend(settings.nodes(weight));
                all.settings.extend(settings.fields);
            }
            if !all.nodes.is_empty() && all.settings.contains_key("service_name") {
                self.report
                    .mistake(&path, "an upstream with discovery cannot be mixed with others");
            }
        }
        all
    }

    /// A port by number or name.
    fn service_port<'a>(&mut self, fields: &mut Fields<'a>) -> Option<Port<'a>> {
        let Some(at) = fields.get("servicePort") else {
            fields.missing("servicePort", self.report);
            return None;
        };
        match &at.node.value {
            Value::Text(text) => match text.parse() {
                Ok(number @ 1..=65535) => Some(Port::Number(number)),
                _ => at.text(self.report).map(Port::Name),
            },
            _ => at.whole(1, 65535, self.report).map(Port::Number),
        }
    }
}

/// Whether a text is an address or a network.
fn is_network(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}
