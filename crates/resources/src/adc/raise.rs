//! Objects of the Admin API back into `adc.yaml`.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use super::file::CredentialType;
use super::ids::id_of;
use super::variables::escaped;
use super::{STREAM_ROUTE_NAME, UPSTREAM_OF_SERVICE, normalised};
use crate::named::Named;
use crate::objects::{Kind, ObjectKey};
use crate::yaml::DumpError;

/// Objects as a file.
pub struct Raised {
    /// The file. Holds the secrets that the objects hold.
    pub yaml: String,
    /// What the file cannot say, one line each.
    pub notes: Vec<String>,
}

/// Writes objects as `adc.yaml`. Ids are written only where they differ from those that ADC makes from the names, so that
/// reading the file gives the same objects again.
///
/// # Errors
/// A value that YAML cannot write.
pub fn to_adc_yaml(
    objects: impl IntoIterator<Item = (ObjectKey, Map<String, Value>)>,
) -> Result<Raised, DumpError> {
    let objects = objects
        .into_iter()
        .map(|(key, mut value)| {
            let secrets = ["key", "keys"].map(|field| (field, value.remove(field)));
            let mut value = normalised(key.kind, value);
            for (field, secret) in secrets {
                if let Some(secret) = secret {
                    value.insert(field.to_owned(), secret);
                }
            }
            (key, value)
        })
        .collect();
    let mut raising = Raising {
        objects,
        notes: Vec::new(),
    };
    let file = raising.file();
    let yaml = serde_saphyr::to_string(&file).map_err(|error| DumpError::new(error.to_string()))?;
    Ok(Raised {
        yaml,
        notes: raising.notes,
    })
}

/// A value of the file. Maps keep their order, so that a name comes before what it names.
#[derive(Serialize)]
#[serde(untagged)]
enum Out {
    Value(Value),
    List(Vec<Out>),
    Map(Named<Out>),
}

type Fields = Map<String, Value>;

/// Fields of the file that have the same name in the Admin API, in the order they are written.
const SERVICE: [&str; 3] = ["labels", "hosts", "plugins"];
const ROUTE: [&str; 11] = [
    "labels",
    "uris",
    "hosts",
    "methods",
    "remote_addrs",
    "vars",
    "filter_func",
    "priority",
    "timeout",
    "enable_websocket",
    "plugins",
];
const STREAM_ROUTE: [&str; 6] = [
    "labels",
    "remote_addr",
    "server_addr",
    "server_port",
    "sni",
    "plugins",
];
const UPSTREAM: [&str; 17] = [
    "labels",
    "type",
    "hash_on",
    "key",
    "scheme",
    "pass_host",
    "upstream_host",
    "nodes",
    "service_name",
    "discovery_type",
    "discovery_args",
    "retries",
    "retry_timeout",
    "timeout",
    "tls",
    "keepalive_pool",
    "checks",
];
const SSL: [&str; 5] = ["labels", "type", "snis", "client", "ssl_protocols"];

struct Raising {
    objects: BTreeMap<ObjectKey, Fields>,
    notes: Vec<String>,
}

impl Raising {
    fn file(&mut self) -> Named<Out> {
        let mut file = Named::new();
        let mut services: Vec<_> = self.of(Kind::Service);
        services.sort_by_cached_key(|(id, value)| name_of(value, id));
        let mut children = self.children();
        let services = services
            .into_iter()
            .map(|(id, value)| {
                let own = children.remove(&id).unwrap_or_default();
                self.service(&id, value, own)
            })
            .collect();
        list(&mut file, "services", services);
        for key in children.into_values().flatten() {
            self.note(&key, "belongs to a service that is not there; left out");
        }

        let ssls = self.of(Kind::Ssl);
        let ssls = ssls.into_iter().map(|(id, value)| self.ssl(&id, value)).collect();
        list(&mut file, "ssls", ssls);
        let consumers = self.of(Kind::Consumer);
        let consumers = consumers
            .into_iter()
            .map(|(id, value)| self.consumer(&id, value))
            .collect();
        list(&mut file, "consumers", consumers);

        let rules = self.of(Kind::GlobalRule);
        let rules = rules
            .into_iter()
            .flat_map(|(_, value)| match value.get("plugins") {
                Some(Value::Object(plugins)) => plugins.clone(),
                _ => Map::new(),
            });
        map(&mut file, "global_rules", rules);
        let metadata = self.of(Kind::PluginMetadata);
        let metadata = metadata
            .into_iter()
            .map(|(plugin, conf)| (plugin, Value::Object(conf)));
        map(&mut file, "plugin_metadata", metadata);
        file
    }

    /// Objects of a kind, by id.
    fn of(&self, kind: Kind) -> Vec<(String, Fields)> {
        self.objects
            .iter()
            .filter(|(key, _)| key.kind == kind)
            .map(|(key, value)| (key.id.clone(), value.clone()))
            .collect()
    }

    /// What belongs to a service, by the service's id. Notes what belongs to none.
    fn children(&mut self) -> HashMap<String, Vec<ObjectKey>> {
        let mut children: HashMap<String, Vec<ObjectKey>> = HashMap::new();
        let mut alone = Vec::new();
        for (key, value) in &self.objects {
            let parent = match key.kind {
                Kind::Route | Kind::StreamRoute => id_text(value.get("service_id")),
                Kind::Upstream => value
                    .get("labels")
                    .and_then(|labels| id_text(labels.get(UPSTREAM_OF_SERVICE))),
                _ => continue,
            };
            match parent {
                Some(service) => children.entry(service).or_default().push(key.clone()),
                None if key.kind != Kind::Upstream => alone.push(key.clone()),
                None => {}
            }
        }
        for key in alone {
            self.note(&key, "belongs to no service, which adc.yaml cannot say; left out");
        }
        children
    }

    fn service(&mut self, id: &str, mut value: Fields, children: Vec<ObjectKey>) -> Out {
        let key = ObjectKey::new(Kind::Service, id);
        let name = name_of(&value, id);
        value.remove("name");
        let mut out = Named::new();
        chosen_id(&mut out, id, &name);
        out.insert("name", text(&name));
        description(&mut out, &mut value);
        move_fields(&mut out, &mut value, &SERVICE);
        if let Some(upstream) = self.upstream_of(&mut value) {
            out.insert("upstream", self.upstream(&key, upstream));
        }
        let (mut upstreams, mut routes, mut stream_routes) = (Vec::new(), Vec::new(), Vec::new());
        for child in children {
            let Some(value) = self.objects.get(&child).cloned() else {
                continue;
            };
            match child.kind {
                Kind::Upstream => upstreams.push(self.further_upstream(&child, value, &name)),
                Kind::Route => routes.push(self.route(&child, value, &name)),
                _ => stream_routes.push(self.stream_route(&child, value, &name)),
            }
        }
        if !upstreams.is_empty() && !out.contains("upstream") {
            self.note(
                &key,
                "has further upstreams and no upstream of its own; they are left out",
            );
            upstreams.clear();
        }
        if !routes.is_empty() && !stream_routes.is_empty() {
            self.note(
                &key,
                "has routes and stream routes; adc.yaml allows one of them, the stream routes are left out",
            );
            stream_routes.clear();
        }
        self.left_out(&key, &value);
        list(&mut out, "upstreams", upstreams);
        list(&mut out, "routes", by_name(routes));
        list(&mut out, "stream_routes", by_name(stream_routes));
        Out::Map(out)
    }

    /// The upstream that a service uses, when it says where its servers are.
    fn upstream_of(&self, value: &mut Fields) -> Option<Fields> {
        let inline = match value.remove("upstream") {
            Some(Value::Object(upstream)) => Some(normalised(Kind::Upstream, upstream)),
            _ => None,
        };
        let referred = id_text(value.remove("upstream_id").as_ref())
            .and_then(|id| self.objects.get(&ObjectKey::new(Kind::Upstream, id)).cloned());
        inline
            .or(referred)
            .filter(|upstream| upstream.contains_key("nodes") || upstream.contains_key("service_name"))
    }

    fn upstream(&mut self, key: &ObjectKey, mut value: Fields) -> Out {
        let mut out = Named::new();
        value.remove("name");
        self.upstream_fields(key, value, &mut out);
        Out::Map(out)
    }

    fn further_upstream(&mut self, key: &ObjectKey, mut value: Fields, service: &str) -> Out {
        let mut out = Named::new();
        let name = name_of(&value, &key.id);
        value.remove("name");
        chosen_id(&mut out, &key.id, &format!("{service}.{name}"));
        out.insert("name", text(&name));
        without_label(&mut value, UPSTREAM_OF_SERVICE);
        self.upstream_fields(key, value, &mut out);
        Out::Map(out)
    }

    fn upstream_fields(&mut self, key: &ObjectKey, mut value: Fields, out: &mut Named<Out>) {
        description(out, &mut value);
        if let Some(headers) = value
            .get_mut("checks")
            .and_then(|checks| checks.get_mut("active"))
            .and_then(Value::as_object_mut)
            .filter(|active| active.contains_key("req_headers"))
        {
            let names = headers.remove("req_headers").unwrap_or_default();
            headers.insert("http_request_headers".to_owned(), names);
        }
        move_fields(out, &mut value, &UPSTREAM);
        self.left_out(key, &value);
    }

    fn route(&mut self, key: &ObjectKey, mut value: Fields, service: &str) -> (String, Out) {
        let name = name_of(&value, &key.id);
        value.remove("name");
        value.remove("service_id");
        self.shared_plugins(&mut value);
        let mut out = Named::new();
        chosen_id(&mut out, &key.id, &format!("{service}.{name}"));
        out.insert("name", text(&name));
        description(&mut out, &mut value);
        move_fields(&mut out, &mut value, &ROUTE);
        self.left_out(key, &value);
        (name, Out::Map(out))
    }

    /// Puts the plugins of a plugin config into the route that refers to it.
    fn shared_plugins(&self, route: &mut Fields) {
        let Some(id) = id_text(route.get("plugin_config_id")) else {
            return;
        };
        let shared = self.objects.get(&ObjectKey::new(Kind::PluginConfig, id));
        let Some(Value::Object(shared)) = shared.and_then(|config| config.get("plugins")) else {
            return;
        };
        let mut plugins = shared.clone();
        if let Some(Value::Object(own)) = route.remove("plugins") {
            plugins.extend(own);
        }
        route.insert("plugins".to_owned(), Value::Object(plugins));
        route.remove("plugin_config_id");
    }

    fn stream_route(&mut self, key: &ObjectKey, mut value: Fields, service: &str) -> (String, Out) {
        let name = value
            .get("labels")
            .and_then(|labels| id_text(labels.get(STREAM_ROUTE_NAME)))
            .unwrap_or_else(|| key.id.clone());
        without_label(&mut value, STREAM_ROUTE_NAME);
        value.remove("service_id");
        let mut out = Named::new();
        chosen_id(&mut out, &key.id, &format!("{service}.{name}"));
        out.insert("name", text(&name));
        description(&mut out, &mut value);
        move_fields(&mut out, &mut value, &STREAM_ROUTE);
        self.left_out(key, &value);
        (name, Out::Map(out))
    }

    fn consumer(&mut self, username: &str, mut value: Fields) -> Out {
        let mut out = Named::new();
        out.insert("username", text(username));
        value.remove("username");
        description(&mut out, &mut value);
        move_fields(&mut out, &mut value, &["labels", "plugins"]);
        self.left_out(&ObjectKey::new(Kind::Consumer, username), &value);
        let first = ObjectKey::credential(username, "");
        let credentials: Vec<_> = self
            .objects
            .range(&first..)
            .take_while(|(key, _)| key.kind == Kind::Credential && key.id.starts_with(&first.id))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let credentials = credentials
            .into_iter()
            .filter_map(|(key, value)| self.credential(&key, value, username))
            .collect();
        list(&mut out, "credentials", by_name(credentials));
        Out::Map(out)
    }

    fn credential(&mut self, key: &ObjectKey, mut value: Fields, username: &str) -> Option<(String, Out)> {
        let id = key.short_id();
        let name = name_of(&value, id);
        value.remove("name");
        let plugin = match value.remove("plugins") {
            Some(Value::Object(plugins)) => plugins
                .into_iter()
                .find(|(plugin, _)| CredentialType::knows(plugin)),
            _ => None,
        };
        let Some((plugin, config)) = plugin else {
            self.note(key, "has no plugin that adc.yaml knows as a credential; left out");
            return None;
        };
        let mut out = Named::new();
        chosen_id(&mut out, id, &format!("{username}.{name}"));
        out.insert("name", text(&name));
        description(&mut out, &mut value);
        move_fields(&mut out, &mut value, &["labels"]);
        out.insert("type", text(&plugin));
        out.insert("config", Out::Value(with_escapes(config)));
        self.left_out(key, &value);
        Some((name, Out::Map(out)))
    }

    fn ssl(&mut self, id: &str, mut value: Fields) -> Out {
        let key = ObjectKey::new(Kind::Ssl, id);
        let names: Vec<&str> = value
            .get("snis")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut out = Named::new();
        chosen_id(&mut out, id, &names.join(","));
        let certificates = first_and_further(&mut value, "cert", "certs");
        let mut keys = first_and_further(&mut value, "key", "keys").into_iter();
        let mut keyless = false;
        let certificates: Vec<Out> = certificates
            .into_iter()
            .map(|cert| {
                let mut pair = Named::new();
                pair.insert("certificate", Out::Value(with_escapes(cert)));
                match keys.next() {
                    Some(key) => {
                        pair.insert("key", Out::Value(with_escapes(key)));
                    }
                    None => keyless = true,
                }
                Out::Map(pair)
            })
            .collect();
        if keyless {
            self.note(
                &key,
                "no server tells private keys; add `key` to each certificate before this file is used",
            );
        }
        move_fields(&mut out, &mut value, &SSL);
        list(&mut out, "certificates", certificates);
        self.left_out(&key, &value);
        Out::Map(out)
    }

    /// Notes the fields that are still in `value`, which the file has no place for.
    fn left_out(&mut self, key: &ObjectKey, value: &Fields) {
        if !value.is_empty() {
            let fields: Vec<&str> = value.keys().map(String::as_str).collect();
            let fields = fields.join(", ");
            self.note(
                key,
                &format!("adc.yaml has no place for these fields, left out: {fields}"),
            );
        }
    }

    fn note(&mut self, key: &ObjectKey, text: &str) {
        self.notes.push(format!("{key}: {text}"));
    }
}

/// Moves fields of the same name, in this order.
fn move_fields(out: &mut Named<Out>, value: &mut Fields, fields: &[&str]) {
    for field in fields {
        if let Some(found) = value.remove(*field) {
            out.insert(*field, Out::Value(with_escapes(found)));
        }
    }
}

/// The field `one` and the items of the field `more`, as one list.
fn first_and_further(value: &mut Fields, one: &str, more: &str) -> Vec<Value> {
    let mut all: Vec<Value> = value.remove(one).into_iter().collect();
    if let Some(Value::Array(further)) = value.remove(more) {
        all.extend(further);
    }
    all
}

fn description(out: &mut Named<Out>, value: &mut Fields) {
    if let Some(found) = value.remove("desc") {
        out.insert("description", Out::Value(with_escapes(found)));
    }
}

/// Writes an id that is not the one ADC makes from this name.
fn chosen_id(out: &mut Named<Out>, id: &str, name: &str) {
    if id != id_of(name) {
        out.insert("id", text(id));
    }
}

fn name_of(value: &Fields, id: &str) -> String {
    match value.get("name") {
        Some(Value::String(name)) if !name.is_empty() => name.clone(),
        _ => id.to_owned(),
    }
}

/// Ids are text or numbers.
fn id_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn without_label(value: &mut Fields, label: &str) {
    if let Some(Value::Object(labels)) = value.get_mut("labels") {
        labels.remove(label);
        if labels.is_empty() {
            value.remove("labels");
        }
    }
}

fn text(text: &str) -> Out {
    Out::Value(escaped(text).into())
}

/// Keeps texts that look like references to variables what they are.
fn with_escapes(value: Value) -> Value {
    match value {
        Value::String(text) => escaped(&text).into(),
        Value::Array(items) => items.into_iter().map(with_escapes).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, with_escapes(value)))
            .collect(),
        other => other,
    }
}

fn by_name(mut items: Vec<(String, Out)>) -> Vec<Out> {
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    items.into_iter().map(|(_, item)| item).collect()
}

/// Adds a list, unless it is empty.
fn list(out: &mut Named<Out>, key: &str, items: Vec<Out>) {
    if !items.is_empty() {
        out.insert(key, Out::List(items));
    }
}

/// Adds a map, unless it is empty.
fn map(out: &mut Named<Out>, key: &str, entries: impl IntoIterator<Item = (String, Value)>) {
    let entries: Map<String, Value> = entries
        .into_iter()
        .map(|(name, value)| (name, with_escapes(value)))
        .collect();
    if !entries.is_empty() {
        out.insert(key, Out::Value(Value::Object(entries)));
    }
}
