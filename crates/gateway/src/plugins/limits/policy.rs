//! Where plugins that limit calls count.

use schemars::JsonSchema;
use serde::Deserialize;

/// Where is counted.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// In this process.
    #[default]
    Local,
    /// On a Redis server.
    Redis,
    /// In a Redis cluster.
    RedisCluster,
    /// On the master that Redis Sentinel names.
    RedisSentinel,
}
