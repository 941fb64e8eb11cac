//! What is told about the health of instances, in the shape of APISIX's control API with more beside it.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tollgate_policy::health::State;

use super::instance::milliseconds;
use super::roster::{OnDuty, Roster};
use crate::ai::config::CheckKind;

/// The health of what one object has in service.
pub struct ForOwner {
    /// The object, such as `route/1`.
    pub owner: String,
    /// `nodes`: the addresses that are checked, as APISIX tells them; `type` of the checks, if there are any; `instances`:
    /// what is known of each instance.
    pub told: Map<String, Value>,
}

/// The health of all instances in service, by the object that has them. `now` and `wall` are the same moment.
pub fn status(roster: &Roster, now: Instant, wall: SystemTime) -> Vec<ForOwner> {
    let mut by_owner: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for one in roster.on_duty() {
        by_owner.entry(one.owner.clone()).or_default().push(one);
    }
    by_owner
        .into_iter()
        .map(|(owner, instances)| {
            let mut told = Map::new();
            let nodes: Vec<Value> = instances.iter().flat_map(|one| nodes(one)).collect();
            told.insert("nodes".to_owned(), nodes.into());
            if let Some(check) = instances.iter().find_map(|one| one.check.as_ref()) {
                told.insert("type".to_owned(), kind(check.kind).into());
            }
            let instances: Vec<Value> = instances.iter().map(|one| instance(one, now, wall)).collect();
            told.insert("instances".to_owned(), instances.into());
            ForOwner { owner, told }
        })
        .collect()
}

/// The addresses of an instance that are checked.
fn nodes(one: &OnDuty) -> Vec<Value> {
    let Some((check, found)) = one.check.as_ref().zip(one.health.found()) else {
        return Vec::new();
    };
    let hostname = &check.target.host;
    found
        .into_iter()
        .map(|(address, active)| {
            let asked = check.asked_at(address);
            let counters = active.counters();
            json!({
                "instance": one.name,
                "hostname": hostname,
                "ip": asked.ip().to_string(),
                "port": asked.port(),
                "status": active.standing().name(),
                "counter": {
                    "success": counters.successes,
                    "http_failure": counters.http_failures,
                    "tcp_failure": counters.tcp_failures,
                    "timeout_failure": counters.timeouts,
                },
            })
        })
        .collect()
}

fn instance(one: &OnDuty, now: Instant, wall: SystemTime) -> Value {
    let mut told = Map::new();
    told.insert("name".to_owned(), one.name.as_str().into());
    told.insert("usable".to_owned(), one.health.is_usable(now).into());
    if let Some(state) = one.health.passive_state(now) {
        let word = match state {
            State::Healthy => "healthy",
            State::Ejected { .. } => "ejected",
            State::Probing => "probing",
        };
        told.insert("state".to_owned(), word.into());
        if let State::Ejected { until, reason } = state {
            let left = until.saturating_sub(milliseconds(now));
            let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let wall = u64::try_from(wall).unwrap_or(u64::MAX);
            told.insert("cause".to_owned(), reason.name().into());
            told.insert("ejected_for_ms".to_owned(), left.into());
            told.insert("ejected_until_ms".to_owned(), wall.saturating_add(left).into());
        }
    }
    told.into()
}

fn kind(kind: CheckKind) -> &'static str {
    match kind {
        CheckKind::Http => "http",
        CheckKind::Https => "https",
        CheckKind::Tcp => "tcp",
    }
}
