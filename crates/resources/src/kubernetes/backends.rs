//! Services of the cluster as nodes of an upstream.

use serde_json::{Map, Value as Json, json};

use super::Lowering;
use super::cluster::{Kind, Manifest};
use super::fields::{At, Fields};
use crate::report::quote;
use crate::tree::{Path, Value};

/// The plugins that answer calls themselves, or stand for a backend: with one of them a rule needs none.
const ANSWERING: [&str; 5] = [
    "ai-proxy",
    "ai-proxy-multi",
    "redirect",
    "mocking",
    "fault-injection",
];

/// The largest weight that a reference to a backend may have.
const MAX_WEIGHT: i64 = 1_000_000;

/// The default weight of a backend.
const DEFAULT_WEIGHT: i64 = 1;

/// Where the calls of a rule go.
#[derive(Default)]
pub(super) struct Backends {
    pub(super) nodes: Vec<Json>,
    /// Fields of the upstream beside its nodes.
    pub(super) settings: Map<String, Json>,
}

/// A port, by number or by the name that the Service gives it.
pub(super) enum Port<'a> {
    Number(i64),
    Name(&'a str),
}

/// A server that stands for a Service.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: i64,
    /// The scheme, where the Service says one.
    pub(super) scheme: Option<&'static str>,
}

impl Backends {
    /// The upstream; `None` when there is nothing to send calls to.
    pub(super) fn upstream(self) -> Option<Map<String, Json>> {
        if self.nodes.is_empty() && !self.settings.contains_key("service_name") {
            return None;
        }
        Some(upstream(self.nodes, self.settings))
    }
}

/// An upstream with the defaults that ADC writes.
pub(super) fn upstream(nodes: Vec<Json>, settings: Map<String, Json>) -> Map<String, Json> {
    let mut upstream = Map::new();
    for (field, default) in [("type", "roundrobin"), ("scheme", "http"), ("pass_host", "pass")] {
        upstream.insert(field.to_owned(), default.into());
    }
    if !settings.contains_key("service_name") {
        upstream.insert("nodes".to_owned(), nodes.into());
    }
    upstream.extend(settings);
    upstream
}

/// A node of an upstream.
pub(super) fn node(host: &str, port: i64, weight: i64) -> Json {
    json!({"host": host, "port": port, "weight": weight, "priority": 0})
}

impl Lowering<'_, '_> {
    /// The upstream of a rule. A rule without any backend gets one without nodes and a note, unless a plugin answers.
    pub(super) fn upstream_or_none(
        &mut self,
        backends: Backends,
        plugins: &Map<String, Json>,
        at: &Path,
    ) -> Option<Map<String, Json>> {
        let found = backends.upstream();
        if found.is_some() || ANSWERING.iter().any(|plugin| plugins.contains_key(*plugin)) {
            return found;
        }
        self.note(
            at,
            "has no backend and no plugin that answers: its calls cannot be served",
        );
        Some(upstream(Vec::new(), Map::new()))
    }

    /// `backendRefs` of a rule of an HTTPRoute.
    pub(super) fn backend_refs(&mut self, refs: Vec<At<'_>>, namespace: &str) -> Backends {
        let mut backends = Backends::default();
        for at in refs {
            let Some(mut fields) = at.fields(self.report) else {
                continue;
            };
            let weight = fields.whole("weight", 0, MAX_WEIGHT, self.report);
            let path = fields.path.clone();
            let server = self.backend_ref(&mut fields, namespace);
            fields.end(&["filters"], self);
            if let Some(server) = server {
                backends
                    .nodes
                    .push(node(&server.host, server.port, weight.unwrap_or(DEFAULT_WEIGHT)));
                self.scheme(&mut backends.settings, server.scheme, &path);
            }
        }
        backends
    }

    /// A reference to a Service: `{group, kind, name, namespace, port}`.
    pub(super) fn backend_ref(&mut self, fields: &mut Fields<'_>, namespace: &str) -> Option<Server> {
        let group = fields.get("group");
        let kind = fields.text("kind", self.report).unwrap_or("Service");
        let name = fields.needed_text("name", self.report)?;
        let namespace = fields.text("namespace", self.report).unwrap_or(namespace);
        let port = fields.whole("port", 1, 65535, self.report);
        // The core group is written as an empty text.
        let core =
            group.is_none_or(|group| matches!(&group.node.value, Value::Text(text) if text.is_empty()));
        if kind != "Service" || !core {
            let text = format!(
                "only a Service can be a backend here; the {} is left out",
                quote(kind)
            );
            self.note(&fields.path, &text);
            return None;
        }
        let Some(port) = port else {
            fields.missing("port", self.report);
            return None;
        };
        self.server(namespace, name, &Port::Number(port), &fields.path)
    }

    /// The server that stands for a Service: its name in the cluster's DNS.
    pub(super) fn server(
        &mut self,
        namespace: &str,
        name: &str,
        port: &Port<'_>,
        at: &Path,
    ) -> Option<Server> {
        let cluster = self.cluster;
        let service = cluster.find(Kind::Service, namespace, name);
        let found = service.and_then(|service| port_of(service, port));
        let number = match (port, &found, service) {
            (Port::Number(number), _, None) | (Port::Number(number), Some(_), Some(_)) => *number,
            (Port::Number(number), None, Some(_)) => {
                self.note(
                    at,
                    &format!("the Service {namespace}/{name} has no port {number}"),
                );
                *number
            }
            (Port::Name(_), Some((number, _)), _) => *number,
            (Port::Name(port), None, _) => {
                let text = format!(
                    "the port `{}` is not known: add the Service {namespace}/{name} with a port of this name, or write its number",
                    quote(port)
                );
                self.report.mistake(at, text);
                return None;
            }
        };
        let host = match service.and_then(external_name) {
            Some(host) => host.to_owned(),
            None => {
                let host = format!("{name}.{namespace}.svc");
                self.note(
                    at,
                    &format!("calls go to {host}:{number}, a name that resolves in the cluster"),
                );
                host
            }
        };
        Some(Server {
            host,
            port: number,
            scheme: found.and_then(|(_, scheme)| scheme),
        })
    }

    /// The scheme of an upstream, which all its nodes share.
    pub(super) fn scheme(
        &mut self,
        settings: &mut Map<String, Json>,
        scheme: Option<&'static str>,
        at: &Path,
    ) {
        let Some(scheme) = scheme else { return };
        match settings.get("scheme") {
            Some(other) if other != scheme => self.note(
                at,
                &format!("the Service asks for {scheme}, and its upstream uses {other} for all its nodes"),
            ),
            _ => {
                settings.insert("scheme".to_owned(), scheme.into());
            }
        }
    }
}

/// The number of a port, and the scheme that its protocol means.
fn port_of(service: &Manifest<'_>, port: &Port<'_>) -> Option<(i64, Option<&'static str>)> {
    let ports = service.section("spec")?.node.get("ports")?;
    let number = |node: &crate::tree::Node| match &node.get("port")?.value {
        Value::Unsigned(number) => i64::try_from(*number)
            .ok()
            .filter(|number| (1..=65535).contains(number)),
        _ => None,
    };
    let text = |node: &crate::tree::Node, key: &str| match &node.get(key)?.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let found = ports.items().iter().find(|item| match port {
        Port::Number(wanted) => number(&item.node) == Some(*wanted),
        Port::Name(wanted) => text(&item.node, "name").as_deref() == Some(*wanted),
    })?;
    let scheme = match text(&found.node, "appProtocol").as_deref() {
        Some("https" | "kubernetes.io/wss") => Some("https"),
        Some("http" | "kubernetes.io/ws") => Some("http"),
        _ => None,
    };
    Some((number(&found.node)?, scheme))
}

/// The host that a Service of type ExternalName stands for.
fn external_name<'a>(service: &Manifest<'a>) -> Option<&'a str> {
    let spec = service.section("spec")?.node;
    match (&spec.get("type")?.value, &spec.get("externalName")?.value) {
        (Value::Text(kind), Value::Text(host)) if kind == "ExternalName" && !host.is_empty() => Some(host),
        _ => None,
    }
}
