//! Lists of plugins with their settings.

use serde_json::{Map, Value as Json};

use super::Lowering;
use super::cluster::Manifest;
use super::fields::{At, Fields};
use crate::tree::Value;

impl Lowering<'_, '_> {
    /// The plugins of a PluginConfig or ApisixPluginConfig.
    pub(super) fn plugin_config(&mut self, manifest: &Manifest<'_>) -> Map<String, Json> {
        let Some(mut spec) = self.spec(manifest) else {
            return Map::new();
        };
        let plugins = self.plugins(spec.get("plugins"), &manifest.namespace);
        spec.end(&["ingressClassName"], self);
        plugins
    }

    /// The `spec` of an object that has to have one.
    pub(super) fn spec<'m>(&mut self, manifest: &Manifest<'m>) -> Option<Fields<'m>> {
        match manifest.section("spec") {
            Some(at) => at.fields(self.report),
            None => {
                self.report.mistake(&manifest.at.path.key("spec"), "missing");
                None
            }
        }
    }

    /// Settings of plugins by name, from a list of `{name, enable, config, secretRef}` or a map. Those that are off are
    /// left out.
    pub(super) fn plugins(&mut self, at: Option<At<'_>>, namespace: &str) -> Map<String, Json> {
        let Some(at) = at else {
            return Map::new();
        };
        match &at.node.value {
            Value::List(_) => {}
            Value::Map(_) => {
                self.note(
                    &at.path,
                    "Kubernetes refuses plugins as a map; write a list of `name` and `config`",
                );
                return self.plugin_map(&at);
            }
            _ => self.report.mistake(&at.path, "expected a list"),
        }
        let mut plugins = Map::new();
        for item in at.items() {
            let Some(mut fields) = item.fields(self.report) else {
                continue;
            };
            let name = fields.needed_text("name", self.report);
            let on = ["enable", "enabled"]
                .map(|key| fields.bool(key, self.report))
                .iter()
                .all(|on| *on != Some(false));
            let mut settings = match fields.get("config") {
                Some(config) => config.json_object(self.report),
                None => Map::new(),
            };
            let secret = fields.get("secretRef");
            let path = fields.path.clone();
            fields.end(&[], self);
            let Some(name) = name.filter(|_| on) else {
                continue;
            };
            if let Some(secret) = secret
                && let Some(secret_name) = secret.text(self.report)
            {
                self.merge_secret(&mut settings, namespace, secret_name, &secret.path);
            }
            if plugins.insert(name.to_owned(), Json::Object(settings)).is_some() {
                self.note(&path, "this plugin is in the list twice; the last one counts");
            }
        }
        plugins
    }

    fn plugin_map(&mut self, at: &At<'_>) -> Map<String, Json> {
        let Value::Map(entries) = &at.node.value else {
            return Map::new();
        };
        entries
            .iter()
            .filter_map(|entry| {
                let settings = At {
                    path: at.path.key(&entry.key),
                    node: &entry.node,
                };
                if entry.key.is_empty() {
                    self.report.mistake(&settings.path, "a plugin has a name");
                    return None;
                }
                let settings = settings.json_object(self.report);
                Some((entry.key.clone(), Json::Object(settings)))
            })
            .collect()
    }
}
