//! The plugins that objects may use, and whether a configuration of one is right.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tollgate_gateway::plugins::{SchemaType, Scope, Spec, older_schema};
use tollgate_resources::objects::schema::{self, Schema};

use crate::beyond;
use crate::foreign::{self, Foreign};

/// Plugins by name.
pub(crate) struct Registry {
    http: BTreeMap<&'static str, Known>,
    stream: BTreeMap<&'static str, Known>,
    strict: bool,
    check_vars: CheckVars,
}

/// Says what is wrong with an expression over variables of a request.
pub type CheckVars = Box<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// A plugin as the Admin API knows it.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) priority: i32,
    version: f64,
    is_auth: bool,
    scope: Scope,
    route: Described,
    consumer: Option<Described>,
    metadata: Option<Described>,
    /// The plugin itself; `None` for one that is known by its schema only.
    spec: Option<&'static Spec>,
}

/// A schema, as it is shown and as it is checked.
struct Described {
    shown: Value,
    /// What it is checked against, or why it cannot be: a fault of the plugin, told to whoever uses it.
    checked: Result<Schema, String>,
}

/// Where the plugins of an object stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a route, service, plugin config, consumer group or global rule.
    Route,
    /// On a consumer or credential.
    Consumer,
}

impl Registry {
    /// Describes plugins; in strict mode also those of APISIX that are known by their schemas only.
    pub(crate) fn new(specs: &[&'static Spec], strict: bool, check_vars: CheckVars) -> Registry {
        let mut http: BTreeMap<_, _> = specs
            .iter()
            .map(|spec| (spec.name, Known::of(spec, strict)))
            .collect();
        let mut stream = BTreeMap::new();
        if strict {
            for foreign in foreign::all() {
                let plugins = if foreign.stream { &mut stream } else { &mut http };
                plugins
                    .entry(foreign.name)
                    .or_insert_with(|| Known::foreign(&foreign));
            }
        }
        Registry {
            http,
            stream,
            strict,
            check_vars,
        }
    }

    /// Whether differences from APISIX are switched off.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The plugin of a name among those for HTTP, or for streams.
    pub(crate) fn find(&self, name: &str, stream: bool) -> Option<&Known> {
        self.of(stream).get(name)
    }

    /// All plugins for HTTP, or for streams, by name.
    pub(crate) fn all(&self, stream: bool) -> impl Iterator<Item = &Known> {
        self.of(stream).values()
    }

    fn of(&self, stream: bool) -> &BTreeMap<&'static str, Known> {
        if stream { &self.stream } else { &self.http }
    }

    /// Checks an expression over variables.
    pub(crate) fn check_vars(&self, vars: &Value) -> Result<(), String> {
        (self.check_vars)(vars).map_err(|error| format!("failed to validate the 'vars' expression: {error}"))
    }

    /// Checks the plugins of an object. The warnings are for plugins that will do nothing.
    pub(crate) fn check(
        &self,
        plugins: &Map<String, Value>,
        place: Place,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        for (name, conf) in plugins {
            self.check_one(name, conf, place)?;
            if self.find(name, false).is_some_and(|known| known.spec.is_none()) {
                let warning = format!("plugin {name} is stored but does nothing here");
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok(())
    }

    fn check_one(&self, name: &str, conf: &Value, place: Place) -> Result<(), String> {
        let Some(fields) = conf.as_object() else {
            return Err(format!("invalid plugin conf {conf} for plugin [{name}]"));
        };
        let known = self
            .find(name, false)
            .ok_or_else(|| format!("unknown plugin [{name}]"))?;
        let meta = fields.get("_meta");
        let disabled = meta.and_then(|meta| meta.get("disable")) == Some(&Value::Bool(true));
        if disabled {
            return Ok(());
        }
        known
            .check(conf, place)
            .map_err(|error| format!("failed to check the configuration of plugin {name} err: {error}"))?;
        if let Some(filter) = meta.and_then(|meta| meta.get("filter")) {
            self.check_vars(filter)?;
        }
        if meta.is_some_and(|meta| meta.get("pre_function").is_some()) && !self.strict {
            return Err(format!(
                "failed to load _meta.pre_function in plugin {name}: Lua functions are not run here"
            ));
        }
        Ok(())
    }

    /// Checks that all plugins of a credential prove who calls.
    pub(crate) fn check_auth_only(&self, plugins: &Map<String, Value>) -> Result<(), String> {
        for name in plugins.keys() {
            match self.find(name, false) {
                None => return Err(format!("unknown plugin {name}")),
                Some(known) if !known.is_auth => {
                    return Err("only supports auth type plugins in consumer credential".to_owned());
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Checks the metadata of a plugin.
    pub(crate) fn check_metadata(&self, name: &str, conf: &Value) -> Result<(), String> {
        let known = self
            .find(name, false)
            .or_else(|| self.find(name, true))
            .ok_or_else(|| "invalid plugin name".to_owned())?;
        let invalid = |error| format!("invalid configuration: {error}");
        let Some(metadata) = &known.metadata else {
            return if conf.is_object() {
                Ok(())
            } else {
                Err(invalid("wrong type: expected object".to_owned()))
            };
        };
        metadata.check(conf).map_err(invalid)?;
        match known.spec {
            Some(spec) => (spec.check)(conf, SchemaType::Metadata).map_err(invalid),
            None => Ok(()),
        }
    }
}

impl Known {
    fn of(spec: &'static Spec, strict: bool) -> Known {
        let described = |which| {
            let mut schema = (spec.schema)(which)?;
            if strict {
                beyond::leave_out(&mut schema);
            }
            Some(Described::new(schema, spec.secret_fields))
        };
        let route = described(SchemaType::Route)
            .unwrap_or_else(|| Described::new(json!({"type": "object", "properties": {}}), &[]));
        Known {
            name: spec.name,
            priority: spec.priority,
            version: spec.version,
            is_auth: spec.is_auth,
            scope: spec.scope,
            route: route.with_meta(),
            consumer: described(SchemaType::Consumer),
            metadata: described(SchemaType::Metadata),
            spec: Some(spec),
        }
    }

    fn foreign(foreign: &Foreign) -> Known {
        Known {
            name: foreign.name,
            priority: foreign.priority,
            version: foreign.version,
            is_auth: false,
            scope: Scope::Any,
            route: Described::new(foreign.schema.clone(), &[]).with_meta(),
            consumer: None,
            metadata: foreign
                .metadata
                .clone()
                .map(|metadata| Described::new(metadata, &[])),
            spec: None,
        }
    }

    fn check(&self, conf: &Value, place: Place) -> Result<(), String> {
        let (described, which) = match (place, &self.consumer) {
            (Place::Consumer, Some(consumer)) => (consumer, SchemaType::Consumer),
            _ => (&self.route, SchemaType::Route),
        };
        match older_schema(self.name, conf).filter(|_| place == Place::Route) {
            Some(older) => Described::new(older, &[]).check(conf)?,
            None => described.check(conf)?,
        }
        match self.spec {
            Some(spec) => (spec.check)(conf, which),
            None => Ok(()),
        }
    }

    /// The schema of its configuration.
    pub(crate) fn schema(&self) -> &Value {
        &self.route.shown
    }

    /// The schema of its configuration on consumers, if it has one of its own.
    pub(crate) fn consumer_schema(&self) -> Option<&Value> {
        self.consumer.as_ref().map(|described| &described.shown)
    }

    /// Everything about it, as `/plugins?all=true` tells it.
    pub(crate) fn describe(&self) -> Value {
        let mut about = Map::new();
        about.insert("version".to_owned(), json!(self.version));
        about.insert("priority".to_owned(), json!(self.priority));
        about.insert("schema".to_owned(), self.route.shown.clone());
        if let Some(metadata) = &self.metadata {
            about.insert("metadata_schema".to_owned(), metadata.shown.clone());
        }
        if let Some(consumer) = &self.consumer {
            about.insert("consumer_schema".to_owned(), consumer.shown.clone());
        }
        if self.is_auth {
            about.insert("type".to_owned(), json!("auth"));
        }
        if self.scope == Scope::Global {
            about.insert("scope".to_owned(), json!("global"));
        }
        Value::Object(about)
    }
}

impl Described {
    /// Describes a schema; what it checks knows `_meta`, which every configuration may have.
    fn new(mut schema: Value, secret_fields: &[&str]) -> Described {
        let checked = Schema::new(&schema::with_meta(schema.clone()));
        tell_secret_fields(&mut schema, secret_fields);
        Described {
            shown: schema,
            checked,
        }
    }

    fn check(&self, conf: &Value) -> Result<(), String> {
        match &self.checked {
            Ok(schema) => schema.check(conf),
            Err(error) => Err(format!("its schema cannot be read: {error}")),
        }
    }

    fn with_meta(self) -> Described {
        Described {
            shown: schema::with_meta(self.shown),
            checked: self.checked,
        }
    }
}

/// Tells tools which fields hold secrets, in the way APISIX's schemas do.
fn tell_secret_fields(schema: &mut Value, secret_fields: &[&str]) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let here: Vec<&str> = secret_fields
        .iter()
        .copied()
        .filter(|path| {
            path.split('.')
                .next()
                .is_some_and(|first| properties.contains_key(first))
        })
        .collect();
    if here.is_empty() || schema.get("encrypt_fields").is_some() {
        return;
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("encrypt_fields".to_owned(), json!(here));
    }
}
