//! What has to be done so that a server has what files ask for. Pure: two sets of objects in, a list of changes out.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value};
use tollgate_resources::adc::{UPSTREAM_OF_SERVICE, normalised};
use tollgate_resources::objects::{Kind, ObjectKey};

use super::difference::{Difference, differences};
use super::path::object_path;
use super::state::{Objects, is_empty};
use crate::cli::{ResourceType, Selection};

/// One object that has to change, and the calls that change it.
pub struct Change {
    /// What happens to it.
    pub action: Action,
    /// Which object.
    pub key: ObjectKey,
    /// What people call it.
    pub name: String,
    /// For an update: what differs.
    pub differences: Vec<Difference>,
    /// What to send, in this order.
    pub calls: Vec<Call>,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not there yet.
    Create,
    /// It is there and differs.
    Update,
    /// It is there and no file asks for it.
    Delete,
}

/// A call to the Admin API.
pub struct Call {
    /// `PUT` or `DELETE`.
    pub method: Method,
    /// Path.
    pub path: String,
    /// What to put.
    pub body: Option<Value>,
}

impl Action {
    /// The word for messages.
    pub fn word(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }
}

/// Compares what is wanted with what is there. The changes are in the order in which they have to be made: nothing is
/// removed before what refers to it, nothing refers to what is not there yet.
pub fn plan(
    wanted: &[(ObjectKey, Map<String, Value>)],
    there: &Objects,
    selection: &Selection,
) -> Vec<Change> {
    let wanted: BTreeMap<&ObjectKey, &Map<String, Value>> = wanted
        .iter()
        .filter(|(key, value)| is_meant(key, value, selection))
        .map(|(key, value)| (key, value))
        .collect();
    let planner = Planner {
        wanted,
        there,
        upstreams: selection.allows(&Belonging::Own(Kind::Upstream)),
    };
    let mut changes: Vec<Change> = planner.wanted.keys().filter_map(|key| planner.put(key)).collect();
    let surplus = owned(there, selection, |key| planner.wanted.contains_key(key));
    changes.extend(surplus.iter().filter_map(|key| planner.delete(key)));
    changes.sort_by(|a, b| (a.rank(), &a.name).cmp(&(b.rank(), &b.name)));
    changes
}

/// The objects of a server that files speak of: all services, consumers, certificates, rules and metadata, and what hangs
/// under them. With a label selector only those with the labels, or which `is_wanted` says will have them; rules and
/// metadata have no labels and are left alone then.
pub fn owned(
    there: &Objects,
    selection: &Selection,
    is_wanted: impl Fn(&ObjectKey) -> bool,
) -> BTreeSet<ObjectKey> {
    let is_selected = |value: &Map<String, Value>| {
        selection.label_selector.iter().all(|(key, text)| {
            value
                .get("labels")
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
                == Some(text)
        })
    };
    let top = |kind: Kind, id: &str| {
        let key = ObjectKey::new(kind, id);
        is_wanted(&key) || there.get(&key).is_some_and(is_selected)
    };
    there
        .iter()
        .filter(|(key, value)| match (key.kind, belonging(key, value)) {
            (Kind::Service | Kind::Ssl | Kind::Consumer, _) => is_selected(value),
            (Kind::Credential, _) => key.owner().is_some_and(|owner| top(Kind::Consumer, owner)),
            (_, Belonging::Service { service, .. }) => top(Kind::Service, &service),
            (Kind::GlobalRule | Kind::PluginMetadata, _) => selection.label_selector.is_empty(),
            _ => false,
        })
        .filter(|(key, value)| is_meant(key, value, selection))
        .map(|(key, _)| key.clone())
        .collect()
}

/// Whether an object is of the types that are meant.
pub fn is_meant(key: &ObjectKey, value: &Map<String, Value>, selection: &Selection) -> bool {
    selection.allows(&belonging(key, value))
}

/// What an object hangs under.
enum Belonging {
    /// A service.
    Service { kind: Kind, service: String },
    /// Nothing, or its consumer.
    Own(Kind),
}

fn belonging(key: &ObjectKey, value: &Map<String, Value>) -> Belonging {
    let service = match key.kind {
        Kind::Route | Kind::StreamRoute => value.get("service_id").and_then(Value::as_str),
        Kind::Upstream => value
            .get("labels")
            .and_then(|labels| labels.get(UPSTREAM_OF_SERVICE))
            .and_then(Value::as_str),
        _ => None,
    };
    match service {
        Some(service) => Belonging::Service {
            kind: key.kind,
            service: service.to_owned(),
        },
        None => Belonging::Own(key.kind),
    }
}

impl Selection {
    /// Whether objects of this kind are meant. A type stands for what hangs under it, too.
    fn allows(&self, belonging: &Belonging) -> bool {
        let types: &[ResourceType] = match belonging {
            Belonging::Service { kind, .. } | Belonging::Own(kind) => match kind {
                Kind::Service => &[ResourceType::Service],
                Kind::Route => &[ResourceType::Route, ResourceType::Service],
                Kind::StreamRoute => &[ResourceType::StreamRoute, ResourceType::Service],
                Kind::Upstream => &[ResourceType::Upstream, ResourceType::Service],
                Kind::Ssl => &[ResourceType::Ssl],
                Kind::Consumer => &[ResourceType::Consumer],
                Kind::Credential => &[ResourceType::ConsumerCredential, ResourceType::Consumer],
                Kind::GlobalRule => &[ResourceType::GlobalRule],
                Kind::PluginMetadata => &[ResourceType::PluginMetadata],
                Kind::ConsumerGroup | Kind::PluginConfig | Kind::Secret | Kind::Proto => return false,
                // No tool of APISIX's knows them.
                Kind::Team | Kind::VirtualKey | Kind::Budget | Kind::Limit => return false,
            },
        };
        let named = |list: &[ResourceType]| types.iter().any(|one| list.contains(one));
        match self.include_resource_type.is_empty() {
            true => !named(&self.exclude_resource_type),
            false => named(&self.include_resource_type),
        }
    }
}

struct Planner<'a> {
    wanted: BTreeMap<&'a ObjectKey, &'a Map<String, Value>>,
    there: &'a Objects,
    /// Whether upstreams are meant.
    upstreams: bool,
}

impl Planner<'_> {
    /// The change that makes an object what is wanted; `None` when it is that already.
    fn put(&self, key: &ObjectKey) -> Option<Change> {
        let wanted = *self.wanted.get(key)?;
        // The upstream of a service goes with its service.
        if key.kind == Kind::Upstream && self.wanted.contains_key(&service_of_upstream(key)) {
            return None;
        }
        let there = self.there.get(key);
        let mut differences = differences_of(key, there, Some(wanted));
        let mut calls = Vec::new();
        if there.is_none() || !differences.is_empty() {
            calls.push(put(key, wanted));
        }
        if key.kind == Kind::Service && self.upstreams {
            let upstream = ObjectKey::new(Kind::Upstream, &key.id);
            let wanted_upstream = self.wanted.get(&upstream).copied();
            let there_upstream = self.own_upstream(key);
            match (wanted_upstream, there_upstream) {
                (Some(wanted), there) => {
                    let inner = differences_of(&upstream, there, Some(wanted));
                    if there.is_none() || !inner.is_empty() {
                        // Before the service, which refers to it.
                        calls.insert(0, put(&upstream, wanted));
                    }
                    differences.extend(inner.into_iter().map(|one| one.under("upstream")));
                }
                (None, Some(old)) if !is_empty(old) => {
                    let inner = differences_of(&upstream, Some(old), None);
                    differences.extend(inner.into_iter().map(|one| one.under("upstream")));
                    calls.push(delete(&upstream));
                }
                (None, _) => {}
            }
        }
        if calls.is_empty() {
            return None;
        }
        Some(Change {
            action: if there.is_some() {
                Action::Update
            } else {
                Action::Create
            },
            key: key.clone(),
            name: self.name(key, wanted),
            differences: if there.is_some() { differences } else { Vec::new() },
            calls,
        })
    }

    /// The change that removes an object; `None` when it is wanted, or goes with another.
    fn delete(&self, key: &ObjectKey) -> Option<Change> {
        if self.wanted.contains_key(key) {
            return None;
        }
        let there = self.there.get(key)?;
        if let Some(owner) = key.owner() {
            let owner = ObjectKey::new(Kind::Consumer, owner);
            // The server removes credentials with their consumer. A consumer that stays is wanted, or was not asked for.
            if self.deletes(&owner) {
                return None;
            }
        }
        let mut calls = vec![delete(key)];
        if key.kind == Kind::Service && self.own_upstream(key).is_some() {
            calls.push(delete(&ObjectKey::new(Kind::Upstream, &key.id)));
        }
        Some(Change {
            action: Action::Delete,
            key: key.clone(),
            name: self.name(key, there),
            differences: Vec::new(),
            calls,
        })
    }

    fn deletes(&self, key: &ObjectKey) -> bool {
        self.there.contains_key(key) && !self.wanted.contains_key(key)
    }

    /// The upstream that belongs to a service of the server alone: that of the same id, when the service uses it or it is
    /// an empty one.
    fn own_upstream(&self, service: &ObjectKey) -> Option<&Map<String, Value>> {
        let value = self.there.get(service)?;
        let upstream = self.there.get(&ObjectKey::new(Kind::Upstream, &service.id))?;
        let used = value.get("upstream_id").and_then(Value::as_str) == Some(&service.id);
        (used || is_empty(upstream)).then_some(upstream)
    }

    /// What people call an object: with the names of what it hangs under, as far as they are known.
    fn name(&self, key: &ObjectKey, value: &Map<String, Value>) -> String {
        let named = |value: &Map<String, Value>, id: &str| match value.get("name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => id.to_owned(),
        };
        match (key.kind, belonging(key, value), key.owner()) {
            (Kind::Ssl, ..) => {
                let names = value.get("snis").and_then(Value::as_array).into_iter().flatten();
                let names: Vec<&str> = names.filter_map(Value::as_str).collect();
                match names.is_empty() {
                    true => key.id.clone(),
                    false => names.join(","),
                }
            }
            (Kind::Credential, _, Some(owner)) => format!("{owner}.{}", named(value, key.short_id())),
            (_, Belonging::Service { service, kind }, _) => {
                let service = ObjectKey::new(Kind::Service, service);
                let parent = self.wanted.get(&service).copied().or(self.there.get(&service));
                let parent = parent.map_or_else(|| service.id.clone(), |value| named(value, &service.id));
                let name = match kind {
                    Kind::StreamRoute => value
                        .get("labels")
                        .and_then(|labels| labels.get(tollgate_resources::adc::STREAM_ROUTE_NAME))
                        .and_then(Value::as_str)
                        .unwrap_or(&key.id)
                        .to_owned(),
                    _ => named(value, &key.id),
                };
                format!("{parent}.{name}")
            }
            (Kind::Service | Kind::Route | Kind::StreamRoute | Kind::Upstream, ..) => named(value, &key.id),
            _ => key.id.clone(),
        }
    }
}

impl Change {
    /// Its place in the order that ADC keeps.
    fn rank(&self) -> usize {
        use Action::{Create, Delete, Update};
        const ORDER: [(Action, Kind); 27] = [
            (Delete, Kind::Route),
            (Delete, Kind::StreamRoute),
            (Delete, Kind::Service),
            (Delete, Kind::Upstream),
            (Delete, Kind::Consumer),
            (Delete, Kind::Ssl),
            (Create, Kind::Ssl),
            (Update, Kind::Ssl),
            (Update, Kind::Route),
            (Update, Kind::StreamRoute),
            (Update, Kind::Service),
            (Update, Kind::Upstream),
            (Update, Kind::Consumer),
            (Create, Kind::Service),
            (Create, Kind::Route),
            (Create, Kind::StreamRoute),
            (Create, Kind::Consumer),
            (Create, Kind::Upstream),
            (Delete, Kind::GlobalRule),
            (Create, Kind::GlobalRule),
            (Update, Kind::GlobalRule),
            (Delete, Kind::PluginMetadata),
            (Create, Kind::PluginMetadata),
            (Update, Kind::PluginMetadata),
            (Delete, Kind::Credential),
            (Create, Kind::Credential),
            (Update, Kind::Credential),
        ];
        ORDER
            .iter()
            .position(|place| *place == (self.action, self.key.kind))
            .unwrap_or(ORDER.len())
    }
}

fn service_of_upstream(upstream: &ObjectKey) -> ObjectKey {
    ObjectKey::new(Kind::Service, &upstream.id)
}

fn differences_of(
    key: &ObjectKey,
    there: Option<&Map<String, Value>>,
    wanted: Option<&Map<String, Value>>,
) -> Vec<Difference> {
    let wanted = wanted.map(|wanted| normalised(key.kind, wanted.clone()));
    differences(
        key.kind,
        &there.cloned().unwrap_or_default(),
        &wanted.unwrap_or_default(),
    )
}

fn put(key: &ObjectKey, value: &Map<String, Value>) -> Call {
    Call {
        method: Method::PUT,
        path: object_path(key),
        body: Some(Value::Object(value.clone())),
    }
}

fn delete(key: &ObjectKey) -> Call {
    Call {
        method: Method::DELETE,
        path: object_path(key),
        body: None,
    }
}
