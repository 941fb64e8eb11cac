//! Filters of the Gateway API as plugins.

use std::cmp::Reverse;

use serde_json::{Map, Value as Json, json};

use super::Lowering;
use super::cluster::Kind;
use super::fields::{At, Fields};
use super::upstreams::set;
use crate::report::quote;

/// The filters, and the key that holds the settings of each.
const FILTERS: [(&str, &str); 7] = [
    ("ExtensionRef", "extensionRef"),
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("RequestMirror", "requestMirror"),
    ("CORS", "cors"),
];

/// The status of a redirect that names none.
const FOUND: i64 = 302;

impl Lowering<'_, '_> {
    /// The plugins that do what filters do. `prefixes` are those of the rule's matches.
    pub(super) fn filters(
        &mut self,
        filters: Vec<At<'_>>,
        namespace: &str,
        prefixes: &[&str],
    ) -> Map<String, Json> {
        let mut plugins = Map::new();
        for filter in filters {
            let Some(mut fields) = filter.fields(self.report) else {
                continue;
            };
            let words = FILTERS.map(|(word, _)| word);
            let kind = fields.word("type", &words, self.report);
            if kind.is_none() && fields.get("type").is_none() {
                fields.missing("type", self.report);
            }
            let Some((kind, key)) = FILTERS.into_iter().find(|(word, _)| Some(*word) == kind) else {
                continue;
            };
            match fields.map(key, self.report) {
                Some(settings) => self.filter(kind, settings, namespace, prefixes, &mut plugins),
                None if fields.get(key).is_none() => fields.missing(key, self.report),
                None => {}
            }
            fields.end(&[], self);
        }
        plugins
    }

    fn filter(
        &mut self,
        kind: &str,
        settings: Fields<'_>,
        namespace: &str,
        prefixes: &[&str],
        plugins: &mut Map<String, Json>,
    ) {
        let (plugin, conf) = match kind {
            "ExtensionRef" => return self.extension(settings, namespace, plugins),
            "RequestHeaderModifier" => ("proxy-rewrite", self.header_modifier(settings, false)),
            "ResponseHeaderModifier" => ("response-rewrite", self.header_modifier(settings, true)),
            "RequestRedirect" => ("redirect", self.redirect(settings)),
            "URLRewrite" => ("proxy-rewrite", self.rewrite(settings, prefixes)),
            "RequestMirror" => match self.mirror(settings, namespace) {
                Some(conf) => ("proxy-mirror", conf),
                None => return,
            },
            _ => ("cors", self.cors(settings)),
        };
        merge(plugins, plugin, conf);
    }

    fn extension(&mut self, mut fields: Fields<'_>, namespace: &str, plugins: &mut Map<String, Json>) {
        let group = fields.text("group", self.report);
        let kind = fields.needed_text("kind", self.report);
        let name = fields.needed_text("name", self.report);
        let path = fields.path.clone();
        fields.end(&[], self);
        let (Some(kind), Some(name)) = (kind, name) else {
            return;
        };
        if kind != "PluginConfig" || group != Some("apisix.apache.org") {
            let text = format!(
                "only a PluginConfig of apisix.apache.org can be referred to; the {} is left out",
                quote(kind)
            );
            self.note(&path, &text);
            return;
        }
        let cluster = self.cluster;
        match cluster.find(Kind::PluginConfig, namespace, name) {
            Some(config) => {
                for (plugin, conf) in self.plugin_config(config) {
                    match conf {
                        Json::Object(conf) => merge(plugins, &plugin, conf),
                        other => {
                            plugins.insert(plugin, other);
                        }
                    }
                }
            }
            None => {
                let text = format!(
                    "the PluginConfig {namespace}/{} is not in this file: its plugins do not run",
                    quote(name)
                );
                self.note(&path, &text);
            }
        }
    }

    /// `{set, add, remove}`. For answers, headers to add are texts.
    fn header_modifier(&mut self, mut fields: Fields<'_>, of_response: bool) -> Map<String, Json> {
        let mut headers = Map::new();
        for key in ["set", "add"] {
            let pairs = fields.list(key, self.report);
            let pairs = self.pairs(pairs);
            if pairs.is_empty() {
                continue;
            }
            let value = match of_response && key == "add" {
                true => pairs
                    .iter()
                    .map(|(name, value)| Json::from(format!("{name}: {value}")))
                    .collect(),
                false => Json::Object(
                    pairs
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value.into()))
                        .collect(),
                ),
            };
            headers.insert(key.to_owned(), value);
        }
        let remove = fields.texts("remove", self.report);
        if !remove.is_empty() {
            headers.insert("remove".to_owned(), remove.into());
        }
        fields.end(&[], self);
        Map::from_iter([("headers".to_owned(), Json::Object(headers))])
    }

    fn pairs<'a>(&mut self, items: Vec<At<'a>>) -> Vec<(&'a str, &'a str)> {
        let mut pairs = Vec::new();
        for item in items {
            let Some(mut fields) = item.fields(self.report) else {
                continue;
            };
            let name = fields.needed_text("name", self.report);
            let value = fields.needed_text("value", self.report);
            fields.end(&[], self);
            pairs.extend(name.zip(value));
        }
        pairs
    }

    fn redirect(&mut self, mut fields: Fields<'_>) -> Map<String, Json> {
        let scheme = fields.word("scheme", &["http", "https"], self.report);
        let host = fields.text("hostname", self.report);
        let port = fields.whole("port", 1, 65535, self.report);
        let status = fields.whole("statusCode", 300, 399, self.report);
        let path = fields.map("path", self.report);
        let to = path.and_then(|path| match self.path_modifier(path)? {
            PathModifier::Full(path) => Some(path),
            PathModifier::Prefix(_) => {
                self.report.mistake(
                    &fields.path.key("path"),
                    "a redirect cannot replace a prefix here; write ReplaceFullPath",
                );
                None
            }
        });
        fields.end(&[], self);
        // A port that its scheme means anyway is not written.
        let port = match (scheme, port) {
            (Some("http"), Some(80)) | (Some("https"), Some(443)) | (_, None) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        let uri = format!(
            "{}://{}{port}{}",
            scheme.unwrap_or("$scheme"),
            host.unwrap_or("$host"),
            to.unwrap_or("$request_uri")
        );
        Map::from_iter([
            ("ret_code".to_owned(), status.unwrap_or(FOUND).into()),
            ("uri".to_owned(), uri.into()),
        ])
    }

    fn rewrite(&mut self, mut fields: Fields<'_>, prefixes: &[&str]) -> Map<String, Json> {
        let mut conf = Map::new();
        let host = fields.text("hostname", self.report);
        set(&mut conf, "host", host.map(Json::from));
        let at = fields.path.key("path");
        if let Some(path) = fields.map("path", self.report) {
            match self.path_modifier(path) {
                Some(PathModifier::Full(path)) => {
                    conf.insert("uri".to_owned(), path.into());
                }
                Some(PathModifier::Prefix(_)) if prefixes.is_empty() => {
                    self.report
                        .mistake(&at, "ReplacePrefixMatch needs a match of type PathPrefix");
                }
                Some(PathModifier::Prefix(to)) => {
                    conf.insert("regex_uri".to_owned(), prefix_patterns(prefixes, to).into());
                }
                None => {}
            }
        }
        fields.end(&[], self);
        conf
    }

    fn path_modifier<'a>(&mut self, mut fields: Fields<'a>) -> Option<PathModifier<'a>> {
        let kinds = ["ReplaceFullPath", "ReplacePrefixMatch"];
        let kind = fields.word("type", &kinds, self.report);
        if kind.is_none() && fields.get("type").is_none() {
            fields.missing("type", self.report);
        }
        let full = fields.text("replaceFullPath", self.report);
        let prefix = fields.text("replacePrefixMatch", self.report);
        let found = match kind? {
            "ReplaceFullPath" => full.map(PathModifier::Full),
            _ => Some(PathModifier::Prefix(prefix.unwrap_or("/"))),
        };
        if found.is_none() {
            fields.missing("replaceFullPath", self.report);
        }
        fields.end(&[], self);
        found
    }

    fn mirror(&mut self, mut fields: Fields<'_>, namespace: &str) -> Option<Map<String, Json>> {
        let server = match fields.map("backendRef", self.report) {
            Some(mut reference) => {
                let server = self.backend_ref(&mut reference, namespace);
                reference.end(&[], self);
                server
            }
            None => {
                fields.missing("backendRef", self.report);
                None
            }
        };
        let mut conf = Map::new();
        let percent = fields.whole("percent", 0, 100, self.report);
        let ratio = percent.and_then(|percent| {
            format!("{}.{:02}", percent / 100, percent % 100)
                .parse::<f64>()
                .ok()
        });
        set(&mut conf, "sample_ratio", ratio.map(Json::from));
        fields.end(&["fraction"], self);
        let server = server.filter(|_| percent != Some(0))?;
        let scheme = server.scheme.unwrap_or("http");
        conf.insert(
            "host".to_owned(),
            format!("{scheme}://{}:{}", server.host, server.port).into(),
        );
        Some(conf)
    }

    fn cors(&mut self, mut fields: Fields<'_>) -> Map<String, Json> {
        let mut conf = Map::new();
        let origins = fields.texts("allowOrigins", self.report);
        let has_pattern = origins.iter().any(|origin| origin != "*" && origin.contains('*'));
        if has_pattern {
            let patterns: Vec<String> = origins.iter().map(|origin| origin_pattern(origin)).collect();
            conf.insert("allow_origins_by_regex".to_owned(), patterns.into());
        } else if !origins.is_empty() {
            conf.insert("allow_origins".to_owned(), origins.join(",").into());
        }
        for (key, field) in [
            ("allowMethods", "allow_methods"),
            ("allowHeaders", "allow_headers"),
            ("exposeHeaders", "expose_headers"),
        ] {
            let words = fields.texts(key, self.report);
            if !words.is_empty() {
                conf.insert(field.to_owned(), words.join(",").into());
            }
        }
        let max_age = fields.whole("maxAge", -1, i64::from(i32::MAX), self.report);
        set(&mut conf, "max_age", max_age.map(Json::from));
        let credential = fields.bool("allowCredentials", self.report);
        set(&mut conf, "allow_credential", credential.map(Json::from));
        fields.end(&[], self);
        conf
    }
}

enum PathModifier<'a> {
    Full(&'a str),
    Prefix(&'a str),
}

/// Patterns and what they become, in pairs: each prefix with what follows it, and each prefix alone. The longest prefix
/// comes first, because the first pattern that fits counts.
fn prefix_patterns(prefixes: &[&str], to: &str) -> Vec<String> {
    let mut bare: Vec<&str> = prefixes
        .iter()
        .map(|prefix| prefix.trim_end_matches('/'))
        .collect();
    bare.sort_by_key(|prefix| (Reverse(prefix.len()), *prefix));
    bare.dedup();
    let to = to.trim_end_matches('/');
    let alone = if to.is_empty() { "/" } else { to };
    let mut patterns = Vec::new();
    for prefix in bare {
        let escaped = regex::escape(prefix);
        patterns.extend([format!("^{escaped}/(.*)"), format!("{to}/$1")]);
        if !prefix.is_empty() {
            patterns.extend([format!("^{escaped}$"), alone.to_owned()]);
        }
    }
    patterns
}

/// An origin whose `*` stands for anything.
fn origin_pattern(origin: &str) -> String {
    let parts: Vec<String> = origin.split('*').map(regex::escape).collect();
    format!("^{}$", parts.join(".*"))
}

/// Adds settings of a plugin to those that are there; what comes later counts, maps are merged.
fn merge(plugins: &mut Map<String, Json>, plugin: &str, conf: Map<String, Json>) {
    let there = plugins.entry(plugin).or_insert_with(|| json!({}));
    merge_value(there, Json::Object(conf));
}

fn merge_value(there: &mut Json, value: Json) {
    match (there, value) {
        (Json::Object(there), Json::Object(value)) => {
            for (key, value) in value {
                merge_value(there.entry(key).or_insert(Json::Null), value);
            }
        }
        (there, value) => *there = value,
    }
}
