//! `GatewayProxy` and `Gateway`: plugins for every call, and certificates.

use serde_json::{Map, Value as Json};

use super::Lowering;
use super::cluster::{Kind, Manifest};
use super::fields::{At, Fields};
use crate::objects::{self, ObjectKey};
use crate::tree::{Node, Value};

impl Lowering<'_, '_> {
    pub(super) fn gateway_proxy(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        let list = spec.get("plugins");
        let at = spec.path.key("plugins");
        for (plugin, settings) in self.plugins(list, &manifest.namespace) {
            let plugins = Map::from_iter([(plugin.clone(), settings)]);
            let value = Map::from_iter([("plugins".to_owned(), Json::Object(plugins))]);
            self.add(ObjectKey::new(objects::Kind::GlobalRule, plugin), value, &at);
        }
        if let Some(metadata) = spec.get("pluginMetadata") {
            self.plugin_metadata(&metadata);
        }
        // Where the controller sends what it makes, and what it tells the cluster.
        spec.end(&["provider", "publishService", "statusAddress"], self);
        if !self.is_used(manifest) {
            self.note(
                &manifest.at.path,
                "no Gateway of this file refers to this GatewayProxy; its plugins run nevertheless",
            );
        }
    }

    fn plugin_metadata(&mut self, at: &At<'_>) {
        let Value::Map(entries) = &at.node.value else {
            self.report.mistake(&at.path, "expected a map");
            return;
        };
        for entry in entries {
            let settings = At {
                path: at.path.key(&entry.key),
                node: &entry.node,
            };
            if entry.key.is_empty() {
                self.report.mistake(&settings.path, "a plugin has a name");
            }
            let value = settings.json_object(self.report);
            let key = ObjectKey::new(objects::Kind::PluginMetadata, &entry.key);
            self.add(key, value, &settings.path);
        }
    }

    /// Whether a Gateway or its class names this GatewayProxy; without any of them in the file nothing is known.
    fn is_used(&self, proxy: &Manifest<'_>) -> bool {
        let mut alone = true;
        for manifest in self.cluster.in_order() {
            let parameters = match manifest.kind {
                Kind::Gateway => manifest
                    .section("spec")
                    .and_then(|spec| spec.node.get("infrastructure"))
                    .and_then(|infrastructure| infrastructure.get("parametersRef")),
                Kind::GatewayClass => manifest
                    .section("spec")
                    .and_then(|spec| spec.node.get("parametersRef")),
                _ => continue,
            };
            if manifest.kind == Kind::Gateway {
                alone = false;
            }
            if parameters.is_some_and(|parameters| names(parameters, &proxy.name)) {
                return true;
            }
        }
        alone
    }

    pub(super) fn gateway(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        spec.get("gatewayClassName");
        spec.get("infrastructure");
        for listener in spec.list("listeners", self.report) {
            if let Some(listener) = listener.fields(self.report) {
                self.listener(listener, &manifest.namespace);
            }
        }
        self.note(
            &spec.path.key("listeners"),
            "ports have no effect: the gateway listens where its own configuration says",
        );
        spec.end(&["addresses", "allowedListeners", "backendTLS", "tls"], self);
    }

    fn listener(&mut self, mut fields: Fields<'_>, namespace: &str) {
        for ignored in ["name", "port", "protocol", "allowedRoutes"] {
            fields.get(ignored);
        }
        let host = fields.text("hostname", self.report);
        let tls = fields.map("tls", self.report);
        let at = fields.path.clone();
        fields.end(&[], self);
        let Some(mut tls) = tls else { return };
        let mode = tls.word("mode", &["Terminate", "Passthrough"], self.report);
        let references = tls.list("certificateRefs", self.report);
        tls.end(&["options", "frontendValidation"], self);
        if mode == Some("Passthrough") {
            self.note(&at, "TLS is not passed through; this listener is left out");
            return;
        }
        let Some(host) = host else {
            self.note(&at, "has no hostname that its certificate would be for; left out");
            return;
        };
        let mut pairs = Vec::new();
        for reference in references {
            let Some(mut fields) = reference.fields(self.report) else {
                continue;
            };
            fields.get("group");
            fields.get("kind");
            let name = fields.needed_text("name", self.report);
            let namespace = fields.text("namespace", self.report).unwrap_or(namespace);
            let path = fields.path.clone();
            fields.end(&[], self);
            pairs.extend(name.and_then(|name| self.pair(namespace, name, &path)));
        }
        if !pairs.is_empty() {
            self.add_ssl(vec![host.to_owned()], pairs, None, &at);
        }
    }
}

/// Whether a reference names this GatewayProxy.
fn names(reference: &Node, name: &str) -> bool {
    let is = |key: &str, word: &str| {
        reference
            .get(key)
            .is_some_and(|node| matches!(&node.value, Value::Text(text) if text == word))
    };
    is("kind", "GatewayProxy") && is("name", name)
}
