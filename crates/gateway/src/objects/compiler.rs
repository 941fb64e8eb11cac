//! Compiles objects one change at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;
use tollgate_policy::Networks;
use tollgate_policy::expr::Expr;
use tollgate_policy::router::{HostPattern, Pattern, Rank};
use tollgate_resources::model::TlsVersion;
use tollgate_resources::objects::{self, Confs, Kind, Object, ObjectKey};

use super::Plane;
use super::chain::{Chain, Workshop};
use super::identities::Identities;
use super::route::{Broken, Entry, ObjectRoute, readable};
use super::shelf::Shelf;
use super::uses::Uses;
use crate::plugins::{self, SharedState, auth};
use crate::proxy::{Upstream, UpstreamSettings};
use crate::secrets::Secrets;
use crate::who::{Consumer, Credential};

/// A change of one object: what it is now, `None` when it is gone.
pub type Change = (ObjectKey, Option<Arc<Object>>);

/// All objects, and what was made of them.
pub struct Compiler {
    objects: HashMap<ObjectKey, Arc<Object>>,
    uses: Uses,
    /// The references to managers of secrets in each object that has any, written `<manager>/<id>/<path>`.
    secrets: HashMap<ObjectKey, BTreeSet<String>>,
    routes: HashMap<String, Entry>,
    identities: Identities,
    global: HashMap<String, Arc<Chain>>,
    upstreams: HashMap<ObjectKey, Arc<Upstream>>,
    certificates: Shelf,
    /// State of plugins that outlives configurations.
    state: Arc<SharedState>,
    strict: bool,
    enabled: Option<Vec<String>>,
    plane: Plane,
}

impl Compiler {
    /// No objects. `strict` switches differences from APISIX off; `enabled` names the plugins that may be used, `None` all.
    /// `tls_versions` are those of certificates that name none; empty for all there are.
    /// `state` outlives what is compiled.
    pub fn new(
        pepper: &[u8; 32],
        strict: bool,
        enabled: Option<Vec<String>>,
        tls_versions: Vec<TlsVersion>,
        state: Arc<SharedState>,
    ) -> Self {
        Compiler {
            objects: HashMap::new(),
            uses: Uses::default(),
            secrets: HashMap::new(),
            routes: HashMap::new(),
            identities: Identities::default(),
            global: HashMap::new(),
            upstreams: HashMap::new(),
            certificates: Shelf::new(tls_versions),
            state,
            strict,
            enabled,
            plane: Plane::new(pepper, strict),
        }
    }

    /// Every object that names one of these secrets of managers; they are compiled again when it changes.
    pub fn users_of_secrets(&self, changed: &BTreeSet<String>) -> Vec<ObjectKey> {
        self.secrets
            .iter()
            .filter(|(_, named)| !named.is_disjoint(changed))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Every secret of a manager that an object names, written `<manager>/<id>/<path>`; with repetitions.
    pub fn named_secrets(&self) -> impl Iterator<Item = &String> {
        self.secrets.values().flatten()
    }

    /// An object as it is now.
    pub fn object(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// Takes changes over, compiles what they touch and gives what is to run from now on. Never fails as a whole: what
    /// cannot work refuses its own calls and is told in the log.
    pub fn apply(&mut self, changes: &[Change], secrets: &Secrets) -> Plane {
        for (key, object) in changes {
            self.uses.set(key, object.as_deref());
            self.secrets.remove(key);
            if let Some(object) = object {
                let named = Secrets::managed_by(object);
                if !named.is_empty() {
                    self.secrets.insert(key.clone(), named);
                }
            }
            match object {
                Some(object) => self.objects.insert(key.clone(), object.clone()),
                None => self.objects.remove(key),
            };
        }
        let affected = self.uses.affected(changes.iter().map(|(key, _)| key.clone()));
        self.compile(affected, secrets)
    }

    /// Compiles objects again, because something outside of them has changed (a secret).
    pub fn refresh(&mut self, keys: &[ObjectKey], secrets: &Secrets) -> Plane {
        let affected = self.uses.affected(keys.iter().cloned());
        self.compile(affected, secrets)
    }

    fn compile(&mut self, affected: std::collections::HashSet<ObjectKey>, secrets: &Secrets) -> Plane {
        let mut affected: Vec<ObjectKey> = affected.into_iter().collect();
        // What is referred to is compiled first: in the order of the kinds.
        affected.sort_by_key(|key| {
            (
                Kind::ALL.iter().position(|kind| *kind == key.kind),
                key.id.clone(),
            )
        });
        for key in &affected {
            match key.kind {
                Kind::Upstream => {
                    self.upstreams.remove(key);
                }
                Kind::Consumer => self.consumer(key, secrets),
                Kind::Credential => self.credential(key, secrets),
                Kind::GlobalRule => self.global_rule(key, secrets),
                Kind::Route => self.route(key, secrets),
                Kind::Ssl => self.certificates.set(key, self.objects.get(key), secrets),
                Kind::Service
                | Kind::ConsumerGroup
                | Kind::PluginConfig
                | Kind::PluginMetadata
                | Kind::Secret
                | Kind::Proto
                | Kind::StreamRoute
                // They never come here.
                | Kind::Team
                | Kind::VirtualKey
                | Kind::Budget
                | Kind::Limit => {}
            }
        }
        self.certificates.show(&mut self.plane.certificates);
        self.state.forget_unused();
        self.plane.clone()
    }

    fn chain(&self, confs: &Confs, owner: &str, secrets: &Secrets) -> Chain {
        let metadata = |name: &str| {
            self.objects
                .get(&ObjectKey::new(Kind::PluginMetadata, name))
                .map(|object| Value::Object(object.value.clone()))
        };
        Chain::compile(
            confs,
            owner,
            &Workshop {
                secrets,
                strict: self.strict,
                state: &self.state,
                enabled: self.enabled.as_deref(),
                metadata: &metadata,
            },
        )
    }

    fn typed<T: serde::de::DeserializeOwned>(&self, key: &ObjectKey) -> Option<T> {
        let object = self.objects.get(key)?;
        match serde_json::from_value(Value::Object(object.value.clone())) {
            Ok(typed) => Some(typed),
            Err(error) => {
                tracing::error!(object = %key, %error, "an object cannot be read and is left out");
                None
            }
        }
    }

    fn global_rule(&mut self, key: &ObjectKey, secrets: &Secrets) {
        match self.typed::<objects::GlobalRule>(key) {
            Some(rule) => {
                let chain = self.chain(&rule.plugins, &format!("global_rule/{}", key.id), secrets);
                self.global.insert(key.id.clone(), Arc::new(chain));
            }
            None => {
                self.global.remove(&key.id);
            }
        }
        let mut rules: Vec<_> = self.global.iter().collect();
        rules.sort_by_key(|(id, _)| (*id).clone());
        self.plane.global = rules.into_iter().map(|(_, chain)| chain.clone()).collect();
    }

    fn consumer(&mut self, key: &ObjectKey, secrets: &Secrets) {
        self.identities.release(key, &mut self.plane.directory);
        let Some(consumer) = self.typed::<objects::Consumer>(key) else {
            self.plane.directory.remove_consumer(&key.id);
            return;
        };
        let group = consumer.group_id.as_deref().and_then(|id| {
            let group = self.typed::<objects::PluginSet>(&ObjectKey::new(Kind::ConsumerGroup, id));
            if group.is_none() {
                tracing::error!(consumer = %key.id, group = id, "the consumer group does not exist");
            }
            group
        });
        let (credentials, own): (Confs, Confs) = consumer
            .plugins
            .into_iter()
            .partition(|(name, _)| plugins::find(name).is_some_and(|spec| spec.is_auth));
        let own = self.chain(&own, &format!("consumer/{}", key.id), secrets);
        let chain = match (&group, &consumer.group_id) {
            (Some(group), Some(id)) => self
                .chain(&group.plugins, &format!("consumer_group/{id}"), secrets)
                .overlaid(&own),
            _ => own,
        };
        let name: Arc<str> = key.id.as_str().into();
        self.plane.directory.insert_consumer(Arc::new(Consumer {
            name: name.clone(),
            group: consumer.group_id.as_deref().map(Arc::from),
            group_missing: consumer.group_id.is_some() && group.is_none(),
            labels: consumer.labels,
            chain,
        }));
        self.claim(key, &name, None, &credentials, secrets);
    }

    fn credential(&mut self, key: &ObjectKey, secrets: &Secrets) {
        self.identities.release(key, &mut self.plane.directory);
        let Some(credential) = self.typed::<objects::Credential>(key) else {
            return;
        };
        let Some(owner) = key.owner() else { return };
        if !self.objects.contains_key(&ObjectKey::new(Kind::Consumer, owner)) {
            return;
        }
        let (owner, id) = (Arc::from(owner), Arc::from(key.short_id()));
        self.claim(key, &owner, Some(&id), &credential.plugins, secrets);
    }

    /// Makes the credentials in `confs` known. One that cannot work is left out: nobody can be taken for its owner.
    fn claim(
        &mut self,
        key: &ObjectKey,
        consumer: &Arc<str>,
        id: Option<&Arc<str>>,
        confs: &Confs,
        secrets: &Secrets,
    ) {
        let Some(object) = self.objects.get(key) else {
            return;
        };
        for (name, conf) in confs {
            let Some(spec) = plugins::find(name) else { continue };
            if conf.pointer("/_meta/disable") == Some(&Value::Bool(true)) {
                continue;
            }
            let found = secrets
                .resolve(conf)
                .map_err(|missing| missing.to_string())
                .and_then(|conf| auth::identity_and_proof(name, &conf).map_err(|error| error.to_string()));
            let (identity, proof) = match found {
                Ok(found) => found,
                Err(problem) => {
                    tracing::error!(of = %key, plugin = %name, problem, "a credential cannot work and is switched off");
                    continue;
                }
            };
            let credential = Arc::new(Credential {
                consumer: consumer.clone(),
                id: id.cloned(),
                proof,
            });
            self.identities.claim(
                object,
                (spec.name, identity),
                credential,
                &mut self.plane.directory,
            );
        }
    }

    fn route(&mut self, key: &ObjectKey, secrets: &Secrets) {
        if let Some(entry) = self.routes.remove(&key.id) {
            self.unlist(&entry);
        }
        let Some(route) = self.typed::<objects::Route>(key) else {
            return;
        };
        if !route.is_enabled() {
            return;
        }
        match self.entry(key, &route, secrets) {
            Ok(entry) => {
                self.list(&entry);
                self.routes.insert(key.id.clone(), entry);
            }
            Err(problem) => {
                tracing::error!(route = %key.id, problem, "a route cannot be read and is left out");
            }
        }
    }

    fn list(&mut self, entry: &Entry) {
        for pattern in &entry.patterns {
            if entry.hosts.is_empty() {
                self.plane
                    .router
                    .insert(None, pattern, entry.rank, entry.route.clone());
            }
            for host in &entry.hosts {
                self.plane
                    .router
                    .insert(Some(host), pattern, entry.rank, entry.route.clone());
            }
        }
    }

    fn unlist(&mut self, entry: &Entry) {
        let same = |route: &ObjectRoute| std::ptr::eq(route, &raw const *entry.route);
        for pattern in &entry.patterns {
            if entry.hosts.is_empty() {
                self.plane.router.remove(None, pattern, same);
            }
            for host in &entry.hosts {
                self.plane.router.remove(Some(host), pattern, same);
            }
        }
    }

    fn entry(&mut self, key: &ObjectKey, route: &objects::Route, secrets: &Secrets) -> Result<Entry, String> {
        let mut broken = None;
        let mut missing = |status: StatusCode, reason: String| {
            tracing::error!(route = %key.id, reason, "a route cannot serve");
            broken = Some(Broken { status, reason });
        };
        if route.filter_func.is_some() {
            missing(
                StatusCode::SERVICE_UNAVAILABLE,
                "its filter_func is Lua, which cannot be run here; use vars".to_owned(),
            );
        }
        let service = match &route.service_id {
            None => None,
            Some(id) => {
                let service = self.typed::<objects::Service>(&ObjectKey::new(Kind::Service, id.as_str()));
                if service.is_none() {
                    missing(StatusCode::NOT_FOUND, format!("its service {id} does not exist"));
                }
                service
            }
        };
        let plugin_config = match &route.plugin_config_id {
            None => None,
            Some(id) => {
                let set = self.typed::<objects::PluginSet>(&ObjectKey::new(Kind::PluginConfig, id.as_str()));
                if set.is_none() {
                    missing(
                        StatusCode::SERVICE_UNAVAILABLE,
                        format!("its plugin config {id} does not exist"),
                    );
                }
                set
            }
        };
        let service = service.unwrap_or_default();
        let owner = format!("route/{}", key.id);
        // The route's own win over its plugin config's, and those over the service's.
        let mut chain = Chain::default();
        if let Some(id) = &route.service_id {
            chain = self.chain(&service.plugins, &format!("service/{id}"), secrets);
        }
        if let (Some(set), Some(id)) = (&plugin_config, &route.plugin_config_id) {
            chain = chain.overlaid(&self.chain(&set.plugins, &format!("plugin_config/{id}"), secrets));
        }
        chain = chain.overlaid(&self.chain(&route.plugins, &owner, secrets));
        let upstream = self.upstream_of(&owner, route, &service, secrets, &mut missing);
        let hosts: Vec<&str> = match route.all_hosts().next() {
            Some(_) => route.all_hosts().collect(),
            None => service.hosts.iter().map(String::as_str).collect(),
        };
        let condition = route
            .vars
            .as_ref()
            .map(Expr::parse)
            .transpose()
            .map_err(|error| error.to_string())?;
        let networks: Vec<&str> = route.all_remote_addrs().collect();
        let created = self.objects.get(key).map_or(0, |object| object.created_index);
        Ok(Entry {
            hosts: readable(&key.id, hosts, HostPattern::parse)?,
            patterns: readable(&key.id, route.paths(), Pattern::parse)?,
            rank: Rank {
                priority: route.priority,
                sequence: created,
            },
            route: Arc::new(ObjectRoute {
                id: key.id.as_str().into(),
                name: route.name.clone(),
                service_id: route.service_id.as_deref().map(Arc::from),
                service_name: service.name.clone(),
                methods: route.methods.clone(),
                clients: if networks.is_empty() {
                    None
                } else {
                    Some(Networks::parse(&networks).map_err(|error| error.to_string())?)
                },
                needs_body: condition
                    .as_ref()
                    .is_some_and(|condition| condition.variables().any(|name| name.starts_with("post_arg"))),
                condition,
                chain,
                upstream,
                broken,
                websocket: route
                    .enable_websocket
                    .or(service.enable_websocket)
                    .unwrap_or(false),
            }),
        })
    }

    /// The upstream of a route: its own, the one it names, or those of its service.
    fn upstream_of(
        &mut self,
        owner: &str,
        route: &objects::Route,
        service: &objects::Service,
        secrets: &Secrets,
        missing: &mut dyn FnMut(StatusCode, String),
    ) -> Option<Arc<Upstream>> {
        let (own, named) = if route.upstream.is_some() || route.upstream_id.is_some() {
            (&route.upstream, &route.upstream_id)
        } else {
            (&service.upstream, &service.upstream_id)
        };
        let (identity, upstream) = match (own, named) {
            (Some(own), _) => (owner.to_owned(), own.clone()),
            (None, Some(id)) => {
                let key = ObjectKey::new(Kind::Upstream, id.as_str());
                // One upstream object has one state, whoever uses it, unless a route has its own time limits.
                if route.timeout.is_none()
                    && let Some(compiled) = self.upstreams.get(&key)
                {
                    return Some(compiled.clone());
                }
                match self.typed::<objects::Upstream>(&key) {
                    Some(upstream) => (format!("upstream/{id}"), upstream),
                    None => {
                        missing(
                            StatusCode::SERVICE_UNAVAILABLE,
                            format!("its upstream {id} does not exist"),
                        );
                        return None;
                    }
                }
            }
            (None, None) => return None,
        };
        // What a service has written is told as the service's.
        let of_service = match (&route.service_id, named.is_some()) {
            (Some(id), false) if route.upstream.is_none() => Some(format!("service/{id}")),
            _ => None,
        };
        let settings = UpstreamSettings {
            identity: &identity,
            owner: of_service.as_deref().unwrap_or(&identity),
            timeout: route.timeout,
            client_certificate: &|id| self.typed::<objects::Ssl>(&ObjectKey::new(Kind::Ssl, id)),
            secrets,
            state: &self.state,
        };
        match Upstream::compile(&upstream, &settings) {
            Ok(compiled) => {
                let compiled = Arc::new(compiled);
                if let (None, Some(id), None) = (own, named, &route.timeout) {
                    let key = ObjectKey::new(Kind::Upstream, id.as_str());
                    self.upstreams.insert(key, compiled.clone());
                }
                Some(compiled)
            }
            Err(problem) => {
                missing(StatusCode::SERVICE_UNAVAILABLE, problem);
                None
            }
        }
    }
}
