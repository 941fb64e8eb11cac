//! Secrets: what is in them, and how their parts get into the settings of a plugin.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::Lowering;
use super::cluster::{Kind, Manifest};
use super::fields::At;
use crate::tree::{Path, Value};

/// Settings of credentials that are no texts; a Secret has nothing else.
const NUMBERS: [&str; 4] = ["exp", "lifetime_grace_period", "clock_skew", "max_req_body"];
const TRUTHS: [&str; 4] = [
    "base64_secret",
    "keep_headers",
    "encode_uri_params",
    "validate_request_body",
];

/// Most dots in a key of a Secret.
const MAX_STEPS: usize = 16;

impl Lowering<'_, '_> {
    /// The parts of a Secret by key. That it is not in the file is a mistake at `at`.
    pub(super) fn secret(&mut self, namespace: &str, name: &str, at: &Path) -> Option<Map<String, Json>> {
        let cluster = self.cluster;
        match cluster.find(Kind::Secret, namespace, name) {
            Some(manifest) => Some(self.parts(manifest)),
            None => {
                self.report.mistake(
                    at,
                    format!("the Secret {namespace}/{name} is not in this file; add it"),
                );
                None
            }
        }
    }

    fn parts(&mut self, manifest: &Manifest<'_>) -> Map<String, Json> {
        let mut parts = Map::new();
        for (section, encoded) in [("data", true), ("stringData", false)] {
            let Some(at) = manifest.section(section) else {
                continue;
            };
            let Value::Map(entries) = &at.node.value else {
                self.report.mistake(&at.path, "expected a map");
                continue;
            };
            for entry in entries {
                let part = At {
                    path: at.path.key(&entry.key),
                    node: &entry.node,
                };
                let Value::Text(text) = &part.node.value else {
                    self.report.mistake(&part.path, "expected text; put it in quotes");
                    continue;
                };
                let text = match encoded {
                    true => decoded(text),
                    false => Some(text.clone()),
                };
                match text {
                    Some(text) => {
                        parts.insert(entry.key.clone(), text.into());
                    }
                    None => self.report.mistake(&part.path, "expected text in base64"),
                }
            }
        }
        parts
    }

    /// The parts of a Secret as the settings of a credential.
    pub(super) fn credential_of_secret(
        &mut self,
        namespace: &str,
        name: &str,
        at: &Path,
    ) -> Option<Map<String, Json>> {
        let parts = self.secret(namespace, name, at)?;
        let settings = parts.into_iter().map(|(key, value)| {
            let typed = value.as_str().and_then(|text| {
                if NUMBERS.contains(&key.as_str()) {
                    text.trim().parse::<u64>().ok().map(Json::from)
                } else if TRUTHS.contains(&key.as_str()) {
                    text.trim().parse::<bool>().ok().map(Json::from)
                } else {
                    None
                }
            });
            (key, typed.unwrap_or(value))
        });
        Some(settings.collect())
    }

    /// Puts the parts of a Secret into the settings of a plugin: `auth.header` is `header` within `auth`.
    pub(super) fn merge_secret(
        &mut self,
        settings: &mut Map<String, Json>,
        namespace: &str,
        name: &str,
        at: &Path,
    ) {
        for (key, value) in self.secret(namespace, name, at).unwrap_or_default() {
            if !insert(settings, &key, value) {
                self.report.mistake(
                    at,
                    format!(
                        "the key `{key}` of the Secret {namespace}/{name} leads into a setting that is no map"
                    ),
                );
            }
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let text: String = text.split_ascii_whitespace().collect();
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// Inserts at the end of a dotted way; maps on the way are made. `false` when something else is in the way, or when the
/// way is too long to be meant.
fn insert(settings: &mut Map<String, Json>, way: &str, value: Json) -> bool {
    way.matches('.').count() <= MAX_STEPS && insert_at(settings, way, value)
}

fn insert_at(settings: &mut Map<String, Json>, way: &str, value: Json) -> bool {
    let Some((first, rest)) = way.split_once('.') else {
        settings.insert(way.to_owned(), value);
        return true;
    };
    let next = settings.entry(first).or_insert_with(|| Json::Object(Map::new()));
    match next {
        Json::Object(next) => insert_at(next, rest, value),
        _ => false,
    }
}
