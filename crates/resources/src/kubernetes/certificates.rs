//! `ApisixTls`, and certificates in Secrets.

use serde_json::{Map, Value as Json};

use super::Lowering;
use super::cluster::Manifest;
use super::fields::Fields;
use super::upstreams::set;
use crate::adc::id_of;
use crate::objects::{self, ObjectKey};
use crate::tree::Path;

/// Fewest characters of a certificate and of a key in PEM that both ADC and the Admin API take.
const MIN_CERTIFICATE: usize = 128;
const MIN_KEY: usize = 64;

/// Keys of a Secret under which a certificate, its private key and an authority may be.
const CERTIFICATE: [&str; 2] = ["tls.crt", "cert"];
const PRIVATE_KEY: [&str; 2] = ["tls.key", "key"];
const AUTHORITY: [&str; 3] = ["ca.crt", "cert", "tls.crt"];

/// A certificate and its private key.
pub(super) struct Pair {
    certificate: String,
    key: String,
}

impl Lowering<'_, '_> {
    pub(super) fn apisix_tls(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        spec.get("ingressClassName");
        let hosts = spec.texts("hosts", self.report);
        if hosts.is_empty() {
            spec.missing("hosts", self.report);
        }
        let mut pair = None;
        match spec.map("secret", self.report) {
            Some(secret) => {
                if let Some((namespace, name, at)) = self.secret_name(secret, &manifest.namespace) {
                    pair = self.pair(&namespace, &name, &at);
                }
            }
            None => spec.missing("secret", self.report),
        }
        let client = spec.map("client", self.report);
        let client = client.and_then(|client| self.client(client, &manifest.namespace));
        spec.end(&[], self);
        if let Some(pair) = pair.filter(|_| !hosts.is_empty()) {
            self.add_ssl(hosts, vec![pair], client, &manifest.at.path);
        }
    }

    fn secret_name(&mut self, mut fields: Fields<'_>, namespace: &str) -> Option<(String, String, Path)> {
        let name = fields.needed_text("name", self.report);
        let namespace = fields.text("namespace", self.report).unwrap_or(namespace);
        let at = fields.path.clone();
        fields.end(&[], self);
        Some((namespace.to_owned(), name?.to_owned(), at))
    }

    fn client(&mut self, mut fields: Fields<'_>, namespace: &str) -> Option<Json> {
        let secret = fields.map("caSecret", self.report);
        if secret.is_none() {
            fields.missing("caSecret", self.report);
        }
        let depth = fields.whole("depth", 0, 100, self.report);
        let skipped = fields.texts("skip_mtls_uri_regex", self.report);
        fields.end(&[], self);
        let (namespace, name, at) = self.secret_name(secret?, namespace)?;
        let parts = self.secret(&namespace, &name, &at)?;
        let ca = self.pem(&parts, &AUTHORITY, MIN_CERTIFICATE, &at)?;
        let mut client = Map::from_iter([("ca".to_owned(), Json::from(ca))]);
        client.insert("depth".to_owned(), depth.unwrap_or(1).into());
        set(
            &mut client,
            "skip_mtls_uri_regex",
            (!skipped.is_empty()).then(|| skipped.into()),
        );
        Some(Json::Object(client))
    }

    /// The certificate and key of a Secret.
    pub(super) fn pair(&mut self, namespace: &str, name: &str, at: &Path) -> Option<Pair> {
        let parts = self.secret(namespace, name, at)?;
        let certificate = self.pem(&parts, &CERTIFICATE, MIN_CERTIFICATE, at);
        let key = self.pem(&parts, &PRIVATE_KEY, MIN_KEY, at);
        Some(Pair {
            certificate: certificate?,
            key: key?,
        })
    }

    fn pem(&mut self, parts: &Map<String, Json>, keys: &[&str], least: usize, at: &Path) -> Option<String> {
        let found = keys.iter().find_map(|key| parts.get(*key)?.as_str());
        let fitting = found.filter(|text| text.chars().count() >= least);
        if fitting.is_none() {
            self.report.mistake(
                at,
                format!(
                    "expected PEM text under one of these keys of the Secret: {}",
                    keys.join(", ")
                ),
            );
        }
        fitting.map(str::to_owned)
    }

    pub(super) fn add_ssl(&mut self, hosts: Vec<String>, pairs: Vec<Pair>, client: Option<Json>, at: &Path) {
        let id = id_of(&hosts.join(","));
        let mut value = Map::new();
        value.insert("id".to_owned(), id.clone().into());
        value.insert("type".to_owned(), "server".into());
        value.insert("snis".to_owned(), hosts.into());
        value.insert("status".to_owned(), 1.into());
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for pair in pairs {
            certificates.push(Json::from(pair.certificate));
            keys.push(Json::from(pair.key));
        }
        for (all, one, more) in [(certificates, "cert", "certs"), (keys, "key", "keys")] {
            let mut all = all.into_iter();
            set(&mut value, one, all.next());
            let further: Vec<Json> = all.collect();
            set(&mut value, more, (!further.is_empty()).then(|| further.into()));
        }
        set(&mut value, "client", client);
        self.add(ObjectKey::new(objects::Kind::Ssl, id), value, at);
    }
}
