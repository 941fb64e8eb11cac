//! `tollgate check`.

use std::io::Write;

use tollgate_resources::objects::Kind;

use crate::cli::{Failure, Source};
use crate::{offline, otlp, trust};

/// Checks a configuration as `run` would, and says what it means.
///
/// # Errors
/// All mistakes.
pub fn check(source: &Source) -> Result<(), Failure> {
    let (_, lowered) = offline::gateway(source)?;
    trust::of_listeners(&lowered.resources.server)?;
    if let Some(tls) = lowered.admin.as_ref().and_then(|admin| admin.tls.as_ref()) {
        trust::of_admin(tls)?;
    }
    if let Some(config) = &lowered.resources.traces {
        otlp::check(config)?;
    }
    let refused = tollgate_admin::refusals(
        &lowered.objects,
        lowered.deployment.strict,
        lowered.deployment.plugins.as_deref(),
    );
    if !refused.is_empty() {
        return Err(Failure::all(
            refused
                .into_iter()
                .map(|(key, reason)| format!("{key}: {reason}")),
        ));
    }
    let models: usize = lowered
        .resources
        .routes
        .iter()
        .filter_map(|route| route.plugins.ai_models.as_ref())
        .map(|plugin| plugin.models.len())
        .sum();
    let mut out = std::io::stdout().lock();
    for note in &lowered.notes {
        writeln!(out, "note: {note}").map_err(Failure::new)?;
    }
    let summary = if lowered.objects.is_empty() {
        format!("{models} models, {} consumers", lowered.resources.consumers.len())
    } else {
        let routes = lowered
            .objects
            .iter()
            .filter(|(key, _)| key.kind == Kind::Route)
            .count();
        format!("{} objects, {routes} of them routes", lowered.objects.len())
    };
    writeln!(out, "ok: {summary}").map_err(Failure::new)
}
