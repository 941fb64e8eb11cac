//! Which front end a configuration file is for, told from its keys.
//!
//! A file is to be looked at before anybody knows whether it is right, so a file with bad syntax has a kind too: its own
//! front end says best what is wrong with it.

use std::collections::BTreeSet;

use super::standalone::has_end_marker;
use crate::objects::Kind;
use crate::tree::{Node, Value, parse_json, parse_yaml};

/// The front end a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `tollgate.yaml`.
    Native,
    /// APISIX's `conf/config.yaml`.
    Bootstrap,
    /// APISIX's `apisix.yaml` or `apisix.json`.
    Standalone,
    /// ADC's `adc.yaml`.
    Adc,
    /// Manifests for Kubernetes, one or more documents.
    Kubernetes,
    /// None that is known.
    Unknown,
}

/// Keys that only a bootstrap file has.
const BOOTSTRAP: [&str; 9] = [
    "apisix",
    "deployment",
    "nginx_config",
    "plugin_attr",
    "stream_plugins",
    "discovery",
    "wasm",
    "xrpc",
    "tollgate",
];

/// Keys that only a native file has.
const NATIVE: [&str; 6] = ["models", "providers", "server", "auth", "on_loss", "admin"];

/// Tells which front end a file is for.
pub fn detect(text: &str) -> FileKind {
    if documents(text).any(|keys| keys.contains("apiVersion") && keys.contains("kind")) {
        return FileKind::Kubernetes;
    }
    let tree = parse_json(text).or_else(|_| parse_yaml(text)).ok();
    let keys: BTreeSet<&str> = match &tree {
        Some(tree) => tree.keys().collect(),
        None => documents(text).next().unwrap_or_default(),
    };
    let has = |words: &[&str]| words.iter().any(|word| keys.contains(word));
    if has(&["apiVersion"]) && has(&["kind"]) {
        return FileKind::Kubernetes;
    }
    if has(&BOOTSTRAP) {
        return FileKind::Bootstrap;
    }
    if has(&NATIVE) {
        return FileKind::Native;
    }
    if has_end_marker(text) {
        return FileKind::Standalone;
    }
    if tree.as_ref().is_some_and(is_adc) {
        return FileKind::Adc;
    }
    let lists = |key: &&str| match &tree {
        Some(tree) => matches!(
            tree.get(key).map(|node| &node.value),
            Some(Value::List(_) | Value::Null)
        ),
        None => true,
    };
    // Users by name.
    if has(&["consumers"]) && !lists(&"consumers") {
        return FileKind::Native;
    }
    let collections = keys.iter().filter(|key| Kind::of_collection(key).is_some());
    if collections.clone().any(lists) {
        // Also YAML whose end marker is missing: it has to be told so.
        return FileKind::Standalone;
    }
    if keys.contains("plugins") {
        FileKind::Bootstrap
    } else {
        FileKind::Unknown
    }
}

/// Whether the file has a shape that ADC has and APISIX has not: routes within services, credentials within consumers,
/// certificates as a list, and global things by name.
fn is_adc(tree: &Node) -> bool {
    let inside = |key: &str, inner: &str| {
        let items = tree.get(key).map(Node::items).unwrap_or_default();
        items.iter().any(|item| item.node.get(inner).is_some())
    };
    let by_name = |key: &str| matches!(tree.get(key).map(|node| &node.value), Some(Value::Map(_)));
    inside("services", "routes")
        || inside("services", "stream_routes")
        || inside("consumers", "credentials")
        || inside("consumer_groups", "consumers")
        || inside("ssls", "certificates")
        || by_name("global_rules")
        || by_name("plugin_metadata")
}

/// The keys at the margin of each document of a YAML text, found without parsing it.
fn documents(text: &str) -> impl Iterator<Item = BTreeSet<&str>> {
    let mut lines = text.lines();
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut keys = BTreeSet::new();
        for line in lines.by_ref() {
            if line == "---" || line.starts_with("--- ") {
                if keys.is_empty() {
                    continue;
                }
                return Some(keys);
            }
            keys.extend(key_at_margin(line));
        }
        ended = true;
        Some(keys)
    })
}

fn key_at_margin(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let key = key.trim_end();
    let bare = key.trim_matches(['"', '\'']);
    let word = !bare.is_empty()
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    (word && (rest.is_empty() || rest.starts_with([' ', '\t', '\r']))).then_some(bare)
}
