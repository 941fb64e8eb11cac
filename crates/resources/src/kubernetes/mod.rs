//! The front end of Kubernetes manifests, as APISIX's ingress controller reads them: a file of manifests lowers into the
//! objects that the controller would send to the Admin API.
//!
//! ```text
//! manifests -- documents --> tree -- cluster: by kind and name --> lower, one file per kind --> objects
//! ```
//!
//! It knows the kinds of `apisix.apache.org` and the Gateway API, how names are composed, and that ids are ADC's. It refuses
//! to know a cluster: what is not in the file is not there, a Service is known by its name in the cluster's DNS, and nothing
//! is read from a controller's settings. Texts are taken as they are; there are no variables in manifests. A rule without
//! a backend is not made to answer 500 when one of its plugins answers (`ai-proxy`, `ai-proxy-multi`), as the controller
//! would.

mod apisix_route;
mod backends;
mod certificates;
mod cluster;
mod consumers;
mod documents;
mod fields;
mod filters;
mod gateway;
mod http_route;
mod plugins;
mod secrets;
mod upstreams;
mod write;

#[cfg(test)]
mod manifests_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Map, Value};

use cluster::{Cluster, Kind};

use crate::adc::id_of;
use crate::mistake::Mistake;
use crate::objects::{self, ObjectKey};
use crate::report::Report;
use crate::tree::Path;

pub use write::{Written, to_apisix_yaml};

/// What a file of manifests means. May hold secrets in clear, so it has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Manifests {
    /// Keys and values as the Admin API takes them, in the order of the file.
    pub objects: Vec<(ObjectKey, Map<String, Value>)>,
    /// What its author should know, one sentence each, with file and line: what has no effect here, what is not there.
    pub notes: Vec<String>,
}

/// Lowers manifests: YAML of one or more documents, or JSON when the name ends in `.json`; lists (`kind: List`) count as
/// their items. `file` is what mistakes call it. Paths of mistakes begin with the number of the document, counted from 1.
///
/// # Errors
/// All mistakes of the file, in the order of its lines.
pub fn lower_manifests(file: &str, text: &str) -> Result<Manifests, Vec<Mistake>> {
    let tree = documents::parse(file, text)?;
    let mut report = Report::new(file, tree);
    // Taken out for reading; the report keeps the lines.
    let tree = report.tree.clone();
    let cluster = Cluster::of(&tree, file, &mut report);
    let mut lowering = Lowering {
        cluster: &cluster,
        report: &mut report,
        file,
        objects: Vec::new(),
        taken: HashMap::new(),
    };
    lowering.all();
    let objects = lowering.objects;
    let (objects, notes) = report.finish(objects)?;
    Ok(Manifests { objects, notes })
}

/// Objects on their way out.
struct Lowering<'c, 'r> {
    cluster: &'c Cluster<'c>,
    report: &'r mut Report,
    file: &'c str,
    objects: Vec<(ObjectKey, Map<String, Value>)>,
    /// The line that each object comes from.
    taken: HashMap<ObjectKey, usize>,
}

impl Lowering<'_, '_> {
    fn all(&mut self) {
        let cluster = self.cluster;
        for manifest in cluster.in_order() {
            match manifest.kind {
                Kind::HttpRoute => self.http_route(manifest),
                Kind::ApisixRoute => self.apisix_route(manifest),
                Kind::Consumer => self.consumer(manifest),
                Kind::ApisixConsumer => self.apisix_consumer(manifest),
                Kind::GatewayProxy => self.gateway_proxy(manifest),
                Kind::Gateway => self.gateway(manifest),
                Kind::ApisixTls => self.apisix_tls(manifest),
                // Their mistakes are told even if nothing uses them.
                Kind::PluginConfig | Kind::ApisixPluginConfig => {
                    self.plugin_config(manifest);
                }
                Kind::ApisixUpstream => {
                    self.upstream_settings(manifest);
                }
                // Means nothing without the others, or is read where it is used.
                Kind::GatewayClass | Kind::Secret | Kind::Service => {}
            }
        }
    }

    /// Adds a service with its upstream, and gives its id.
    fn add_service(
        &mut self,
        name: &str,
        hosts: Vec<String>,
        plugins: Map<String, Value>,
        upstream: Option<Map<String, Value>>,
        at: &Path,
    ) -> String {
        let id = id_of(name);
        let mut value = Map::new();
        value.insert("id".to_owned(), id.clone().into());
        value.insert("name".to_owned(), name.into());
        if !hosts.is_empty() {
            value.insert("hosts".to_owned(), hosts.into());
        }
        if !plugins.is_empty() {
            value.insert("plugins".to_owned(), plugins.into());
        }
        if let Some(mut upstream) = upstream {
            value.insert("upstream_id".to_owned(), id.clone().into());
            upstream.insert("id".to_owned(), id.clone().into());
            upstream.insert("name".to_owned(), name.into());
            self.add(ObjectKey::new(objects::Kind::Upstream, &id), upstream, at);
        }
        self.add(ObjectKey::new(objects::Kind::Service, &id), value, at);
        id
    }

    /// Adds a route of a service. `value` holds what the route is about.
    fn add_route(
        &mut self,
        service: &str,
        service_id: &str,
        name: &str,
        mut value: Map<String, Value>,
        at: &Path,
    ) {
        let id = id_of(&format!("{service}.{name}"));
        value.insert("id".to_owned(), id.clone().into());
        value.insert("name".to_owned(), name.into());
        value.insert("service_id".to_owned(), service_id.into());
        value.insert("status".to_owned(), 1.into());
        self.add(ObjectKey::new(objects::Kind::Route, id), value, at);
    }

    fn add(&mut self, key: ObjectKey, value: Map<String, Value>, at: &Path) {
        let line = self.report.tree.line(at);
        match self.taken.get(&key) {
            Some(first) => {
                let text = match value.get("name").and_then(Value::as_str) {
                    Some(name) => format!("the {} `{name}` comes from line {first} already", key.kind),
                    None => format!("the {key} comes from line {first} already"),
                };
                self.report.mistake(at, text);
            }
            None => {
                self.taken.insert(key.clone(), line);
                self.objects.push((key, value));
            }
        }
    }

    /// Notes something about a place of the file.
    fn note(&mut self, at: &Path, text: &str) {
        let line = self.report.tree.line(at);
        let file = self.file;
        self.report.note(format!("{file}:{line}: {at}: {text}"));
    }
}
