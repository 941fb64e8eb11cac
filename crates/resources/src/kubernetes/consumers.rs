//! `Consumer` and `ApisixConsumer`.

use serde_json::{Map, Value as Json, json};

use super::Lowering;
use super::cluster::Manifest;
use super::fields::Fields;
use crate::adc::id_of;
use crate::objects::{self, ObjectKey};
use crate::tree::Path;

/// The plugins that a credential can be for.
const CREDENTIALS: [&str; 4] = ["key-auth", "basic-auth", "jwt-auth", "hmac-auth"];

/// Ways of an ApisixConsumer to prove itself, and their plugins. The first that is there counts.
const AUTH_PARAMETERS: [(&str, &str); 6] = [
    ("keyAuth", "key-auth"),
    ("basicAuth", "basic-auth"),
    ("jwtAuth", "jwt-auth"),
    ("wolfRBAC", "wolf-rbac"),
    ("hmacAuth", "hmac-auth"),
    ("ldapAuth", "ldap-auth"),
];

/// Longest username, in characters.
const MAX_USERNAME: usize = 256;

impl Lowering<'_, '_> {
    pub(super) fn consumer(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        // Any gateway is this one.
        spec.get("gatewayRef");
        let plugins = self.plugins(spec.get("plugins"), &manifest.namespace);
        let credentials = spec.list("credentials", self.report);
        spec.end(&[], self);
        let username = self.add_consumer(manifest, plugins);
        for credential in credentials {
            if let Some(fields) = credential.fields(self.report) {
                self.credential(fields, &manifest.namespace, &username);
            }
        }
    }

    fn credential(&mut self, mut fields: Fields<'_>, namespace: &str, username: &str) {
        let at = fields.path.clone();
        let name = fields.needed_text("name", self.report);
        let plugin = fields.word("type", &CREDENTIALS, self.report);
        if plugin.is_none() && fields.get("type").is_none() {
            fields.missing("type", self.report);
        }
        let config = fields.get("config").map(|config| config.json_object(self.report));
        let secret = fields.map("secretRef", self.report);
        if config.is_none() && secret.is_none() {
            self.report.mistake(&at, "needs `config` or `secretRef`");
        }
        fields.end(&[], self);
        let mut settings = config.unwrap_or_default();
        // The Secret counts when both are there.
        if let Some(found) = secret.and_then(|secret| self.secret_ref(secret, namespace)) {
            settings = found;
        }
        let (Some(name), Some(plugin)) = (name, plugin) else {
            return;
        };
        let id = id_of(&format!("{username}.{name}"));
        let value = json!({"id": id, "name": name, "plugins": {plugin: settings}});
        if let Json::Object(value) = value {
            self.add(ObjectKey::credential(username, &id), value, &at);
        }
    }

    /// `{name, namespace}` of a Secret as settings.
    fn secret_ref(&mut self, mut fields: Fields<'_>, namespace: &str) -> Option<Map<String, Json>> {
        let name = fields.needed_text("name", self.report);
        let namespace = fields.text("namespace", self.report).unwrap_or(namespace);
        let at = fields.path.clone();
        fields.end(&[], self);
        self.credential_of_secret(namespace, name?, &at)
    }

    pub(super) fn apisix_consumer(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        // Any class is this gateway.
        spec.get("ingressClassName");
        let mut plugins = self.plugins(spec.get("plugins"), &manifest.namespace);
        match spec.map("authParameter", self.report) {
            Some(parameter) => plugins.extend(self.auth_parameter(parameter, &manifest.namespace)),
            None => spec.missing("authParameter", self.report),
        }
        spec.end(&[], self);
        self.add_consumer(manifest, plugins);
    }

    fn auth_parameter(&mut self, mut fields: Fields<'_>, namespace: &str) -> Option<(String, Json)> {
        let mut chosen = None;
        let at = fields.path.clone();
        for (key, plugin) in AUTH_PARAMETERS {
            let Some(parameter) = fields.map(key, self.report) else {
                continue;
            };
            match chosen {
                None => chosen = Some((plugin, parameter)),
                Some(_) => self.note(&parameter.path, "has no effect: only the first way counts"),
            }
        }
        fields.end(&[], self);
        let Some((plugin, mut parameter)) = chosen else {
            let known: Vec<&str> = AUTH_PARAMETERS.iter().map(|(key, _)| *key).collect();
            self.report
                .mistake(&at, format!("needs one of: {}", known.join(", ")));
            return None;
        };
        let value = parameter.get("value").map(|value| value.json_object(self.report));
        let secret = parameter.map("secretRef", self.report);
        if value.is_none() && secret.is_none() {
            self.report
                .mistake(&parameter.path, "needs `value` or `secretRef`");
        }
        parameter.end(&[], self);
        let found = secret.and_then(|secret| self.secret_ref(secret, namespace));
        let settings = found.or(value)?;
        Some((plugin.to_owned(), Json::Object(settings)))
    }

    /// Adds a consumer and gives its username.
    fn add_consumer(&mut self, manifest: &Manifest<'_>, plugins: Map<String, Json>) -> String {
        let at: Path = manifest.at.path.clone();
        let written = manifest.composed_name();
        let username = written.replace('.', "_");
        if username != written {
            self.note(
                &at,
                &format!("the consumer is called {username}: a username cannot have dots"),
            );
        }
        if username.len() > MAX_USERNAME {
            self.report.mistake(
                &at,
                format!("namespace and name are too long for a username of {MAX_USERNAME} characters"),
            );
        }
        let mut value = Map::new();
        value.insert("username".to_owned(), username.clone().into());
        if !plugins.is_empty() {
            value.insert("plugins".to_owned(), plugins.into());
        }
        self.add(ObjectKey::new(objects::Kind::Consumer, &username), value, &at);
        username
    }
}
