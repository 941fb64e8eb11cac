//! How the health of an instance of `ai-proxy-multi` is found out.

use std::sync::Arc;

use super::Setup;
use crate::ai::config::{Checks, PassiveCheck};
use crate::ai::percent;
use crate::health::{Check, CheckTarget, Credentials, Duty, OnDuty};
use crate::snapshot::Instance;

/// Takes an instance into service whose health is found out; `None` where nothing is to be found out.
///
/// Calls have a say by default where there are several instances to choose among. As in APISIX, they have none in strict
/// mode.
pub(super) fn enlist(
    instance: &Instance,
    checks: Option<&Checks>,
    several: bool,
    setup: &Setup<'_>,
) -> Option<Arc<OnDuty>> {
    let passive = match checks.and_then(|checks| checks.passive.as_ref()) {
        _ if setup.strict => None,
        Some(written) => written.settings(),
        None => several.then(|| PassiveCheck::default().settings()).flatten(),
    };
    let check = checks
        .and_then(|checks| checks.active.as_ref())
        .map(|active| {
            let endpoint = &instance.endpoint;
            let target = CheckTarget {
                host: endpoint.host.clone(),
                port: endpoint.port,
                authority: endpoint.authority.clone(),
            };
            let auth = instance.ai.as_ref().map(|ai| &ai.conf.auth);
            let headers: Vec<(&str, &str)> = auth
                .iter()
                .flat_map(|auth| &auth.header)
                .map(|(name, value)| (name.as_str(), value.expose()))
                .collect();
            let mut query = String::new();
            for (name, value) in auth.iter().flat_map(|auth| &auth.query) {
                if !query.is_empty() {
                    query.push('&');
                }
                percent::encode(&mut query, name);
                query.push('=');
                percent::encode(&mut query, value.expose());
            }
            let with = Credentials {
                headers: &headers,
                query: &query,
            };
            Check::new(active, target, &with)
        })
        .transpose()
        .unwrap_or_else(|problem| {
            let (of, instance) = (setup.owner, &*instance.name);
            tracing::error!(
                of,
                instance,
                problem,
                "an instance cannot be checked, and counts as well"
            );
            None
        });
    if passive.is_none() && check.is_none() {
        return None;
    }
    let duty = Duty {
        owner: setup.owner,
        name: &instance.name,
        place: &instance.endpoint.place(),
        passive,
        check,
    };
    Some(setup.state.roster().enlist(duty, setup.state))
}
