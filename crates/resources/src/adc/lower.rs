//! The typed file into objects of the Admin API.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::{Item, Place};
use super::file::{Consumer, File, NamedUpstream, Plugins, Route, Service, Ssl, StreamRoute, Upstream};
use super::ids::id_of;
use super::{STREAM_ROUTE_NAME, UPSTREAM_OF_SERVICE};
use crate::objects::{Kind, ObjectKey};
use crate::report::Report;
use crate::tree::Path;

/// Lowers a file. What is wrong with it goes into the report.
pub(super) fn lower(file: File, file_name: &str, report: &mut Report) -> Vec<Item> {
    let mut lowering = Lowering {
        report,
        file_name,
        items: Vec::new(),
        seen: HashMap::new(),
    };
    let list = Path::of(["services"]);
    for (position, service) in file.services.into_iter().flatten().enumerate() {
        let at = lowering.report.item(&list, position);
        lowering.service(service, &at);
    }
    let list = Path::of(["ssls"]);
    for (position, ssl) in file.ssls.into_iter().flatten().enumerate() {
        let at = lowering.report.item(&list, position);
        lowering.ssl(ssl, &at);
    }
    let list = Path::of(["consumers"]);
    for (position, consumer) in file.consumers.into_iter().flatten().enumerate() {
        let at = lowering.report.item(&list, position);
        lowering.consumer(consumer, &at);
    }
    if file.consumer_groups.is_some_and(|groups| !groups.is_empty()) {
        lowering.report.note(format!(
            "{file_name}: consumer_groups are not sent: ADC has no way to write them to the Admin API"
        ));
    }
    lowering.by_plugin(Kind::GlobalRule, "global_rules", file.global_rules);
    lowering.by_plugin(Kind::PluginMetadata, "plugin_metadata", file.plugin_metadata);
    lowering.items
}

struct Lowering<'a> {
    report: &'a mut Report,
    file_name: &'a str,
    items: Vec<Item>,
    /// Positions in `items`.
    seen: HashMap<ObjectKey, usize>,
}

impl Lowering<'_> {
    fn service(&mut self, service: Service, at: &Path) {
        let name = service.name.0.clone();
        let mut value = object(&service);
        let id = chosen_or(service.id.as_ref().map(|id| &id.0), &name);
        if service.routes.is_some() && service.stream_routes.is_some() {
            self.report.mistake(
                &at.key("stream_routes"),
                "a service has routes or stream_routes, not both",
            );
        }
        if service.upstreams.is_some() && service.upstream.is_none() {
            self.report.mistake(
                &at.key("upstreams"),
                "needs `upstream` beside it: where calls go that no plugin sends elsewhere",
            );
        }
        if let Some(prefix) = &service.path_prefix
            && !prefix.starts_with('/')
        {
            self.report.mistake(&at.key("path_prefix"), "must begin with `/`");
        }
        if service.path_prefix.is_some() || service.strip_path_prefix.is_some() {
            self.report.note(format!(
                "{}: {at}: path_prefix and strip_path_prefix have no effect: the Admin API has no such fields; write the prefix into the routes' uris",
                self.file_name
            ));
        }

        value.insert("id".to_owned(), id.clone().into());
        if let Some(upstream) = service.upstream {
            // Only then: an `upstream_id` of an upstream that is not there would be refused.
            value.insert("upstream_id".to_owned(), id.clone().into());
            self.upstream(&upstream, &id, &name, &at.key("upstream"));
        }
        self.push(ObjectKey::new(Kind::Service, &id), value, at);
        let list = at.key("upstreams");
        for (position, upstream) in service.upstreams.into_iter().flatten().enumerate() {
            let at = self.report.item(&list, position);
            self.further_upstream(&upstream, &id, &name, &at);
        }
        let list = at.key("routes");
        for (position, route) in service.routes.into_iter().flatten().enumerate() {
            let at = self.report.item(&list, position);
            self.route(&route, &id, &name, &at);
        }
        let list = at.key("stream_routes");
        for (position, route) in service.stream_routes.into_iter().flatten().enumerate() {
            let at = self.report.item(&list, position);
            self.stream_route(&route, &id, &name, &at);
        }
    }

    fn upstream(&mut self, upstream: &Upstream, service_id: &str, service: &str, at: &Path) {
        self.servers(upstream.knows_its_servers(), at);
        let mut value = object(upstream);
        value.insert("id".to_owned(), service_id.into());
        value.insert("name".to_owned(), service.into());
        self.push(ObjectKey::new(Kind::Upstream, service_id), value, at);
    }

    fn further_upstream(&mut self, upstream: &NamedUpstream, service_id: &str, service: &str, at: &Path) {
        self.servers(upstream.knows_its_servers(), at);
        let id = chosen_or(
            upstream.id.as_ref().map(|id| &id.0),
            &format!("{service}.{}", upstream.name.0),
        );
        let mut value = object(upstream);
        label(&mut value, UPSTREAM_OF_SERVICE, service_id);
        self.push(ObjectKey::new(Kind::Upstream, id), value, at);
    }

    fn servers(&mut self, known: bool, at: &Path) {
        if !known {
            self.report.mistake(
                at,
                "needs either `nodes`, or `service_name` and `discovery_type`, and not both",
            );
        }
    }

    fn route(&mut self, route: &Route, service_id: &str, service: &str, at: &Path) {
        let id = chosen_or(
            route.id.as_ref().map(|id| &id.0),
            &format!("{service}.{}", route.name.0),
        );
        let mut value = object(route);
        value.insert("id".to_owned(), id.clone().into());
        value.insert("service_id".to_owned(), service_id.into());
        value.insert("status".to_owned(), 1.into());
        self.push(ObjectKey::new(Kind::Route, id), value, at);
    }

    fn stream_route(&mut self, route: &StreamRoute, service_id: &str, service: &str, at: &Path) {
        let id = chosen_or(
            route.id.as_ref().map(|id| &id.0),
            &format!("{service}.{}", route.name.0),
        );
        let mut value = object(route);
        value.insert("service_id".to_owned(), service_id.into());
        label(&mut value, STREAM_ROUTE_NAME, &route.name.0);
        self.push(ObjectKey::new(Kind::StreamRoute, id), value, at);
    }

    fn consumer(&mut self, consumer: Consumer, at: &Path) {
        let value = object(&consumer);
        let username = consumer.username.0;
        self.push(ObjectKey::new(Kind::Consumer, &username), value, at);
        let list = at.key("credentials");
        for (position, credential) in consumer.credentials.into_iter().flatten().enumerate() {
            let at = self.report.item(&list, position);
            let id = chosen_or(
                credential.id.as_ref().map(|id| &id.0),
                &format!("{username}.{}", credential.name.0),
            );
            let mut value = object(&credential);
            value.insert("id".to_owned(), id.clone().into());
            let plugins = Map::from_iter([(
                credential.plugin.name().to_owned(),
                Value::Object(credential.config.0),
            )]);
            value.insert("plugins".to_owned(), plugins.into());
            self.push(ObjectKey::credential(&username, &id), value, &at);
        }
    }

    fn ssl(&mut self, ssl: Ssl, at: &Path) {
        let mut value = object(&ssl);
        let names: Vec<&str> = ssl.snis.0.iter().map(|name| name.0.as_str()).collect();
        let id = chosen_or(ssl.id.as_ref().map(|id| &id.0), &names.join(","));
        value.insert("id".to_owned(), id.clone().into());
        value.insert("status".to_owned(), 1.into());
        let (mut certs, mut keys) = (Vec::new(), Vec::new());
        for (position, certificate) in ssl.certificates.0.into_iter().enumerate() {
            let (cert, key) = (certificate.certificate.0.into(), certificate.key.0.into());
            if position == 0 {
                value.insert("cert".to_owned(), cert);
                value.insert("key".to_owned(), key);
            } else {
                certs.push(cert);
                keys.push(key);
            }
        }
        if !certs.is_empty() {
            value.insert("certs".to_owned(), Value::Array(certs));
            value.insert("keys".to_owned(), Value::Array(keys));
        }
        self.push(ObjectKey::new(Kind::Ssl, id), value, at);
    }

    fn by_plugin(&mut self, kind: Kind, section: &str, plugins: Option<Plugins>) {
        for (name, conf) in plugins.into_iter().flatten() {
            let at = Path::of([section]).key(&name);
            if name.is_empty() {
                self.report.mistake(&at, "a plugin has a name");
            }
            let value = match kind {
                Kind::GlobalRule => {
                    let plugins = Map::from_iter([(name.clone(), Value::Object(conf.0))]);
                    Map::from_iter([("plugins".to_owned(), Value::Object(plugins))])
                }
                _ => conf.0,
            };
            self.push(ObjectKey::new(kind, name), value, &at);
        }
    }

    fn push(&mut self, key: ObjectKey, value: Map<String, Value>, at: &Path) {
        let place = Place {
            file: self.file_name.to_owned(),
            line: self.report.tree.line(at),
            path: at.to_string(),
        };
        match self.seen.get(&key).and_then(|position| self.items.get(*position)) {
            Some(other) => self.report.mistake(at, other.again(&place)),
            None => {
                self.seen.insert(key.clone(), self.items.len());
                self.items.push(Item { key, value, place });
            }
        }
    }
}

/// The id that the file chose, else that of the name.
fn chosen_or(chosen: Option<&String>, name: &str) -> String {
    chosen.cloned().unwrap_or_else(|| id_of(name))
}

fn label(value: &mut Map<String, Value>, key: &str, text: &str) {
    let labels = value.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(labels) = labels {
        labels.insert(key.to_owned(), text.into());
    }
}

/// The fields that are set, with the Admin API's names.
fn object(of: &impl Serialize) -> Map<String, Value> {
    // Texts, numbers and maps with text keys: nothing that JSON cannot write.
    match serde_json::to_value(of) {
        Ok(Value::Object(mut fields)) => {
            fields.retain(|_, value| !value.is_null());
            fields
        }
        _ => Map::new(),
    }
}
