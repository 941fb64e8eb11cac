//! `ApisixUpstream`: settings of the upstream of a Service of the same name, or servers outside of the cluster.

use serde_json::{Map, Value as Json, json};

use super::Lowering;
use super::backends::{Port, node};
use super::cluster::Manifest;
use super::fields::Fields;

/// Seconds that ADC's upstreams wait where nothing is said.
const DEFAULT_TIMEOUT: i64 = 60;

/// The largest weight of a server.
const MAX_WEIGHT: i64 = 1_000_000;

/// What an ApisixUpstream says.
pub(super) struct Settings {
    /// Fields of the upstream beside its nodes.
    pub(super) fields: Map<String, Json>,
    /// Host, port and weight of each server outside.
    pub(super) servers: Vec<(String, i64, i64)>,
}

impl Settings {
    /// The servers as nodes, their weights multiplied.
    pub(super) fn nodes(&self, weight: i64) -> impl Iterator<Item = Json> {
        self.servers
            .iter()
            .map(move |(host, port, own)| node(host, *port, own.saturating_mul(weight)))
    }
}

impl Lowering<'_, '_> {
    pub(super) fn upstream_settings(&mut self, manifest: &Manifest<'_>) -> Option<Settings> {
        let mut spec = self.spec(manifest)?;
        let mut fields = Map::new();
        let scheme = spec.word("scheme", &["http", "https", "grpc", "grpcs"], self.report);
        set(&mut fields, "scheme", scheme.map(Json::from));
        let retries = spec.whole("retries", 0, 65535, self.report);
        set(&mut fields, "retries", retries.map(Json::from));
        let pass_host = spec.word("passHost", &["pass", "node", "rewrite"], self.report);
        set(&mut fields, "pass_host", pass_host.map(Json::from));
        let host = spec.text("upstreamHost", self.report);
        set(&mut fields, "upstream_host", host.map(Json::from));
        if let Some(timeout) = spec.map("timeout", self.report) {
            fields.insert("timeout".to_owned(), self.timeout(timeout));
        }
        if let Some(mut balancer) = spec.map("loadbalancer", self.report) {
            let kinds = ["roundrobin", "chash", "ewma", "least_conn"];
            let kind = balancer.word("type", &kinds, self.report);
            set(&mut fields, "type", kind.map(Json::from));
            let hashed = ["vars", "vars_combinations", "header", "cookie", "consumer"];
            let hash_on = balancer.word("hashOn", &hashed, self.report);
            set(&mut fields, "hash_on", hash_on.map(Json::from));
            let key = balancer.text("key", self.report);
            set(&mut fields, "key", key.map(Json::from));
            balancer.end(&[], self);
        }
        if let Some(mut discovery) = spec.map("discovery", self.report) {
            let name = discovery.needed_text("serviceName", self.report);
            set(&mut fields, "service_name", name.map(Json::from));
            let kind = discovery.needed_text("type", self.report);
            set(&mut fields, "discovery_type", kind.map(Json::from));
            let arguments = discovery.get("args").map(|args| args.json_object(self.report));
            set(&mut fields, "discovery_args", arguments.map(Json::from));
            discovery.end(&[], self);
        }
        let mut servers = Vec::new();
        for at in spec.list("externalNodes", self.report) {
            let Some(server) = at.fields(self.report) else {
                continue;
            };
            servers.extend(self.external_node(server, scheme, &manifest.namespace));
        }
        if !servers.is_empty() && fields.contains_key("service_name") {
            self.report.mistake(
                &spec.path.key("discovery"),
                "an upstream has externalNodes or discovery, not both",
            );
        }
        spec.end(
            &[
                "ingressClassName",
                "healthCheck",
                "subsets",
                "portLevelSettings",
                "tlsSecret",
            ],
            self,
        );
        Some(Settings { fields, servers })
    }

    fn external_node(
        &mut self,
        mut fields: Fields<'_>,
        scheme: Option<&'static str>,
        namespace: &str,
    ) -> Option<(String, i64, i64)> {
        let name = fields.needed_text("name", self.report);
        let kind = fields.word("type", &["Domain", "Service"], self.report);
        let weight = fields.whole("weight", 0, MAX_WEIGHT, self.report).unwrap_or(1);
        let port = fields.whole("port", 1, 65535, self.report);
        let path = fields.path.clone();
        fields.end(&[], self);
        let name = name?;
        let default_port = match scheme {
            Some("https" | "grpcs") => 443,
            _ => 80,
        };
        let port = port.unwrap_or(default_port);
        if kind != Some("Service") {
            return Some((name.to_owned(), port, weight));
        }
        let server = self.server(namespace, name, &Port::Number(port), &path)?;
        Some((server.host, server.port, weight))
    }

    /// Time limits in seconds.
    pub(super) fn timeout(&mut self, mut fields: Fields<'_>) -> Json {
        let mut limit = |key| {
            fields
                .seconds(key, self.report)
                .unwrap_or_else(|| DEFAULT_TIMEOUT.into())
        };
        let (connect, send, read) = (limit("connect"), limit("send"), limit("read"));
        fields.end(&[], self);
        json!({"connect": connect, "send": send, "read": read})
    }
}

/// Sets a field that has a value.
pub(super) fn set(fields: &mut Map<String, Json>, field: &str, value: Option<Json>) {
    if let Some(value) = value {
        fields.insert(field.to_owned(), value);
    }
}
