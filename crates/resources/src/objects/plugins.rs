//! Configurations of plugins, as objects carry them.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The configuration of one plugin: a JSON object that the plugin itself knows how to read.
pub type Conf = Value;

/// Configurations by the plugin's name.
pub type Confs = Map<String, Value>;

/// A consumer group or plugin config: plugins that others refer to.
#[derive(Clone, Default, Deserialize)]
pub struct PluginSet {
    /// The plugins.
    #[serde(default)]
    pub plugins: Confs,
}

/// A global rule: plugins that run for every call, also for those that no route takes.
pub type GlobalRule = PluginSet;
