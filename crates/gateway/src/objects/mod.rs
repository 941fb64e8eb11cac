//! The objects of the Admin API, compiled: routes with their chains of plugins, consumers, credentials, global rules.
//!
//! [`Compiler`] is the writing side: it holds every object and knows who uses whom, so that a change compiles only what it
//! touches. [`Plane`] is the reading side: what a snapshot runs. A clone of it shares everything, and a change copies the
//! path to what changed.

mod chain;
mod compiler;
#[cfg(test)]
mod history_tests;
mod identities;
mod route;
mod shelf;
mod uses;

use std::sync::Arc;

use tollgate_policy::router::Router;

pub use chain::{Chain, Step};
pub use compiler::{Change, Compiler};
pub use route::ObjectRoute;

use crate::certificates::Certificates;
use crate::who::Directory;

/// Says what is wrong with an expression over variables of a request, such as the `vars` of a route.
///
/// # Errors
/// The first mistake.
pub fn check_expression(expression: &serde_json::Value) -> Result<(), String> {
    tollgate_policy::expr::Expr::parse(expression)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Says which path or host of a route cannot be matched.
///
/// # Errors
/// The first one, with what is wrong.
pub fn check_places(route: &serde_json::Map<String, serde_json::Value>) -> Result<(), String> {
    let texts = |one: &str, many: &str| {
        let many = route.get(many).and_then(serde_json::Value::as_array);
        let values = route.get(one).into_iter().chain(many.into_iter().flatten());
        values
            .filter_map(serde_json::Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for text in texts("uri", "uris") {
        tollgate_policy::router::Pattern::parse(&text)
            .map_err(|error| format!("the path `{text}` cannot be matched: {error}"))?;
    }
    for text in texts("host", "hosts") {
        tollgate_policy::router::HostPattern::parse(&text)
            .map_err(|error| format!("the host `{text}` cannot be matched: {error}"))?;
    }
    Ok(())
}

/// What the objects mean, ready to run.
#[derive(Clone)]
pub struct Plane {
    /// All routes.
    pub router: Router<ObjectRoute>,
    /// Everybody who may call.
    pub directory: Directory,
    /// Plugins that run for every call of these routes, and for calls that no route takes; one chain per rule.
    pub global: Arc<[Arc<Chain>]>,
    /// What clients are shown that speak TLS.
    pub certificates: Arc<Certificates>,
    /// Whether differences from APISIX are switched off.
    pub strict: bool,
}

impl Plane {
    /// Nothing.
    pub fn new(pepper: &[u8; 32], strict: bool) -> Self {
        Plane {
            router: Router::default(),
            directory: Directory::new(pepper),
            global: Arc::new([]),
            certificates: Arc::default(),
            strict,
        }
    }

    /// Whether there is nothing to run at all.
    pub fn is_empty(&self) -> bool {
        self.router.is_empty() && self.global.is_empty()
    }
}
