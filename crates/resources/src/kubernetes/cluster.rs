//! The objects of a file by kind, namespace and name.

use std::collections::{BTreeMap, HashMap};

use super::fields::At;
use crate::report::{Report, quote};
use crate::tree::{Node, Path, Value};

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Keys beside `apiVersion`, `kind` and `metadata` that an object may have. What is in `spec` is read kind by kind.
const SECTIONS: [&str; 6] = ["spec", "status", "data", "stringData", "type", "immutable"];

/// The kinds that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    PluginConfig,
    Consumer,
    GatewayProxy,
    HttpRoute,
    Gateway,
    GatewayClass,
    Secret,
    Service,
    ApisixRoute,
    ApisixConsumer,
    ApisixUpstream,
    ApisixPluginConfig,
    ApisixTls,
}

impl Kind {
    fn of(api_version: &str, kind: &str) -> Option<Kind> {
        let kind = match (api_version, kind) {
            ("apisix.apache.org/v1alpha1", "PluginConfig") => Kind::PluginConfig,
            ("apisix.apache.org/v1alpha1", "Consumer") => Kind::Consumer,
            ("apisix.apache.org/v1alpha1", "GatewayProxy") => Kind::GatewayProxy,
            ("gateway.networking.k8s.io/v1" | "gateway.networking.k8s.io/v1beta1", kind) => match kind {
                "HTTPRoute" => Kind::HttpRoute,
                "Gateway" => Kind::Gateway,
                "GatewayClass" => Kind::GatewayClass,
                _ => return None,
            },
            ("v1", "Secret") => Kind::Secret,
            ("v1", "Service") => Kind::Service,
            ("apisix.apache.org/v2", "ApisixRoute") => Kind::ApisixRoute,
            ("apisix.apache.org/v2", "ApisixConsumer") => Kind::ApisixConsumer,
            ("apisix.apache.org/v2", "ApisixUpstream") => Kind::ApisixUpstream,
            ("apisix.apache.org/v2", "ApisixPluginConfig") => Kind::ApisixPluginConfig,
            ("apisix.apache.org/v2", "ApisixTls") => Kind::ApisixTls,
            _ => return None,
        };
        Some(kind)
    }
}

/// An object of a kind that means something here.
pub(super) struct Manifest<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) at: At<'a>,
}

impl<'a> Manifest<'a> {
    /// A part of the object, such as `spec`.
    pub(super) fn section(&self, key: &str) -> Option<At<'a>> {
        let node = self.at.node.get(key)?;
        (!matches!(node.value, Value::Null)).then(|| At {
            path: self.at.path.key(key),
            node,
        })
    }

    /// What objects made of this one are called: `<namespace>_<name>`.
    pub(super) fn composed_name(&self) -> String {
        format!("{}_{}", self.namespace, self.name)
    }
}

/// All objects of a file.
pub(super) struct Cluster<'a> {
    manifests: Vec<Manifest<'a>>,
    by_name: HashMap<String, BTreeMap<(Kind, String), usize>>,
}

impl<'a> Cluster<'a> {
    /// Finds the objects in the documents.
    pub(super) fn of(documents: &'a Node, file: &str, report: &mut Report) -> Cluster<'a> {
        let mut cluster = Cluster {
            manifests: Vec::new(),
            by_name: HashMap::new(),
        };
        let Value::Map(entries) = &documents.value else {
            return cluster;
        };
        for entry in entries {
            let path = Path::of([entry.key.as_str()]);
            let at = At {
                path,
                node: &entry.node,
            };
            cluster.document(at, true, file, report);
        }
        cluster
    }

    /// The objects in the order of the file.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Manifest<'a>> {
        self.manifests.iter()
    }

    /// The object of this name.
    pub(super) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Manifest<'a>> {
        let position = self.by_name.get(name)?.get(&(kind, namespace.to_owned()))?;
        self.manifests.get(*position)
    }

    fn document(&mut self, at: At<'a>, may_be_list: bool, file: &str, report: &mut Report) {
        if !matches!(at.node.value, Value::Map(_)) {
            report.mistake(&at.path, "expected a map with apiVersion, kind and metadata");
            return;
        }
        let head = |key: &str, report: &mut Report| match at.node.get(key) {
            Some(node) => At {
                path: at.path.key(key),
                node,
            }
            .text(report),
            None => {
                report.mistake(&at.path.key(key), "missing");
                None
            }
        };
        let (api_version, kind) = (head("apiVersion", report), head("kind", report));
        let (Some(api_version), Some(word)) = (api_version, kind) else {
            return;
        };
        if may_be_list && word.ends_with("List") {
            match at.node.get("items") {
                Some(items) => {
                    let items = At {
                        path: at.path.key("items"),
                        node: items,
                    };
                    if !matches!(items.node.value, Value::List(_)) {
                        report.mistake(&items.path, "expected a list");
                    }
                    for item in items.items() {
                        self.document(item, false, file, report);
                    }
                }
                None => report.mistake(&at.path.key("items"), "missing"),
            }
            return;
        }
        let Some(kind) = Kind::of(api_version, word) else {
            let line = report.tree.line(&at.path);
            let name = at.node.get("metadata").and_then(|metadata| metadata.get("name"));
            let name = match name.map(|name| &name.value) {
                Some(Value::Text(name)) => format!(" {}", quote(name)),
                _ => String::new(),
            };
            report.note(format!(
                "{file}:{line}: {}: {}{name} ({}) is left out: this kind means nothing here",
                at.path,
                quote(word),
                quote(api_version)
            ));
            return;
        };
        self.manifest(kind, word, at, report);
    }

    fn manifest(&mut self, kind: Kind, word: &str, at: At<'a>, report: &mut Report) {
        for key in at.node.keys() {
            let known = ["apiVersion", "kind", "metadata"].contains(&key) || SECTIONS.contains(&key);
            if !known {
                let words = ["metadata"].into_iter().chain(SECTIONS);
                report.mistake(&at.path.key(key), crate::report::unknown("key", key, words));
            }
        }
        let metadata = at.path.key("metadata");
        let part = |key: &str, report: &mut Report| {
            let node = at.node.get("metadata")?.get(key)?;
            let part = At {
                path: metadata.key(key),
                node,
            };
            let text = part.text(report)?;
            if !is_name(text) {
                report.mistake(
                    &part.path,
                    "a name has at most 253 lower case letters, digits, `-` and `.`",
                );
            }
            Some(text.to_owned())
        };
        let Some(name) = part("name", report) else {
            report.mistake(&metadata.key("name"), "missing");
            return;
        };
        let namespace = part("namespace", report).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let same_name = self.by_name.entry(name.clone()).or_default();
        let key = (kind, namespace.clone());
        if let Some(first) = same_name.get(&key).and_then(|first| self.manifests.get(*first)) {
            let line = report.tree.line(&first.at.path);
            report.mistake(
                &metadata.key("name"),
                format!("the {} {namespace}/{name} is in line {line} already", quote(word)),
            );
            return;
        }
        same_name.insert(key, self.manifests.len());
        self.manifests.push(Manifest {
            kind,
            namespace,
            name,
            at,
        });
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 253
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}
