//! An upstream of the Admin API, compiled.

use tollgate_resources::objects::{self, RouteTimeout, Ssl};

use crate::plugins::SharedState;
use crate::secrets::Secrets;

/// Servers that calls are passed to.
pub struct Upstream {}

/// What an upstream is compiled with.
pub struct UpstreamSettings<'a> {
    /// Identity of the object that carries it, such as `upstream/1` or `route/7`: names the state it keeps (positions,
    /// health), which outlives a change.
    pub identity: &'a str,
    /// Time limits of the route, over its own.
    pub timeout: Option<RouteTimeout>,
    /// Looks certificates for `tls.client_cert_id` up.
    pub client_certificate: &'a dyn Fn(&str) -> Option<Ssl>,
    /// Values of secrets.
    pub secrets: &'a Secrets,
    /// State that outlives configurations.
    pub state: &'a SharedState,
}

impl Upstream {
    /// Compiles an upstream.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub fn compile(_upstream: &objects::Upstream, _settings: &UpstreamSettings<'_>) -> Result<Self, String> {
        Ok(Upstream {})
    }
}
