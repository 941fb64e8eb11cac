//! Plugins in the order in which they run.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tollgate_policy::expr::Expr;
use tollgate_resources::objects::Confs;

use crate::plugins::{self, Call, Digest, Flow, Key, Plugin, Reply, Setup, SharedState, Spec};
use crate::secrets::Secrets;

/// Plugins by priority, highest first. Cloning a step shares its plugin.
#[derive(Clone, Default)]
pub struct Chain {
    steps: Box<[Step]>,
    /// Names of plugins that are switched off here, also where a chain below this one has them.
    off: Box<[&'static str]>,
}

/// One plugin of a chain. Small: a call goes over all of them several times.
#[derive(Clone)]
pub struct Step {
    /// What the plugin says about itself.
    pub spec: &'static Spec,
    /// Its place: larger runs earlier.
    pub priority: i64,
    /// Replaces the body of its refusals.
    pub error_response: Option<Arc<Value>>,
    /// It runs only where this is true.
    pub filter: Option<Arc<Expr>>,
    /// The plugin itself.
    pub plugin: Arc<dyn Plugin>,
}

/// What is needed to set plugins up.
pub struct Workshop<'a> {
    /// Values of secrets.
    pub secrets: &'a Secrets,
    /// Whether differences from APISIX are switched off.
    pub strict: bool,
    /// State of plugins that outlives configurations.
    pub state: &'a SharedState,
    /// Names of the plugins that may be used; `None` means all.
    pub enabled: Option<&'a [String]>,
    /// Metadata by the plugin's name.
    pub metadata: &'a dyn Fn(&str) -> Option<Value>,
}

/// The part of a plugin's configuration that is the same for all plugins.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    disable: bool,
    error_response: Option<Value>,
    priority: Option<i64>,
    filter: Option<Value>,
}

impl Chain {
    /// Sets the plugins of an object up. A plugin that cannot work becomes a step that refuses every call, because leaving
    /// it out could open what it was to close.
    pub fn compile(confs: &Confs, owner: &str, workshop: &Workshop<'_>) -> Chain {
        let (mut steps, mut off) = (Vec::new(), Vec::new());
        for (name, conf) in confs {
            // Unknown names are refused when they are written, but for strict mode, where they are stored and do nothing.
            let Some(spec) = plugins::find(name) else { continue };
            let meta = Meta::of(conf);
            if meta.disable {
                off.push(spec.name);
            } else {
                steps.push(step(spec, meta, conf, owner, workshop));
            }
        }
        sort(&mut steps);
        Chain {
            steps: steps.into(),
            off: off.into(),
        }
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether there is nothing to run, and nothing to switch off.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.off.is_empty()
    }

    /// This chain with the steps of another, which win over steps of the same name. What the other one switches off is
    /// off, and what it has itself runs, whether it is off here or not.
    #[must_use]
    pub fn overlaid(&self, other: &Chain) -> Chain {
        let mut steps: Vec<Step> = self
            .steps
            .iter()
            .filter(|step| !other.has(step.spec.name) && !other.off.contains(&step.spec.name))
            .chain(&*other.steps)
            .cloned()
            .collect();
        sort(&mut steps);
        let still_off = self
            .off
            .iter()
            .filter(|name| !other.has(name) && !other.off.contains(name));
        let off = still_off.chain(&*other.off).copied().collect();
        Chain {
            steps: steps.into(),
            off,
        }
    }

    /// Whether a plugin of this name is in it.
    pub fn has(&self, name: &str) -> bool {
        self.steps.iter().any(|step| step.spec.name == name)
    }
}

fn sort(steps: &mut [Step]) {
    // By name where priorities are equal, so that the order does not depend on how a map was written.
    steps.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.spec.name.cmp(b.spec.name)));
}

impl Meta {
    fn of(conf: &Value) -> Meta {
        conf.get("_meta")
            .and_then(|meta| serde_json::from_value(meta.clone()).ok())
            .unwrap_or_default()
    }
}

fn step(spec: &'static Spec, meta: Meta, conf: &Value, owner: &str, workshop: &Workshop<'_>) -> Step {
    let filter = meta.filter.as_ref().map(Expr::parse).transpose();
    let plugin = match (set_up(spec, conf, owner, workshop), &filter) {
        (Ok(plugin), Ok(_)) => plugin,
        (Err(problem), _) => broken(spec.name, owner, &problem),
        (_, Err(error)) => broken(spec.name, owner, &error.to_string()),
    };
    Step {
        spec,
        priority: meta.priority.unwrap_or(i64::from(spec.priority)),
        error_response: meta.error_response.map(Arc::new),
        filter: filter.ok().flatten().map(Arc::new),
        plugin,
    }
}

fn set_up(
    spec: &'static Spec,
    conf: &Value,
    owner: &str,
    workshop: &Workshop<'_>,
) -> Result<Arc<dyn Plugin>, String> {
    let is_enabled = workshop
        .enabled
        .is_none_or(|names| names.iter().any(|name| name == spec.name));
    if !is_enabled {
        return Err("the bootstrap configuration's `plugins` does not list it".to_owned());
    }
    let resolved = workshop
        .secrets
        .resolve(conf)
        .map_err(|missing| missing.to_string())?;
    let metadata = (workshop.metadata)(spec.name);
    let setup = Setup {
        owner,
        strict: workshop.strict,
        metadata: metadata.as_ref(),
        state: workshop.state,
    };
    let metadata = metadata.as_ref().unwrap_or(&Value::Null);
    let digest = Digest::of(spec.name, &[&resolved, metadata, &workshop.strict.into()]);
    let made = workshop.state.plugin(digest, || (spec.setup)(&resolved, &setup));
    made.map_err(|unusable| unusable.to_string())
}

fn broken(name: &str, owner: &str, problem: &str) -> Arc<dyn Plugin> {
    tracing::error!(
        plugin = name,
        of = owner,
        problem,
        "a plugin cannot work; its calls are refused"
    );
    Arc::new(Broken {
        name: name.to_owned(),
    })
}

/// Stands for a plugin that cannot work.
struct Broken {
    name: String,
}

impl Broken {
    fn refuse(&self) -> Flow {
        Reply::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "plugin_unusable",
            Key::ErrorMsg,
            format!(
                "the plugin {} of this route cannot work at the moment; the gateway's log says why",
                self.name
            ),
        )
        .into()
    }
}

/// In both phases, because a consumer's plugin that takes the place of the route's is not run in the first.
impl Plugin for Broken {
    fn rewrite(&self, _: &mut Call<'_>) -> Flow {
        self.refuse()
    }

    fn access(&self, _: &mut Call<'_>) -> Flow {
        self.refuse()
    }
}
