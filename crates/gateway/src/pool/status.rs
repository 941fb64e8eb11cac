//! What is told about the instances in service.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_policy::health::State;

use super::{Register, Registered, Standing};
use crate::health;
use crate::upstream::Scheme;

/// An instance in service.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStatus {
    /// Whose it is, such as `route/1`, or `model/<route>/<model>` of models of the configuration.
    pub owner: String,
    /// Its name, unique within its owner.
    pub name: String,
    /// Whose API it is.
    pub provider: &'static str,
    /// The model's name at the provider; `None`: the name the client used.
    pub model: Option<String>,
    /// Host and port it is reached at; `None` of an instance inside the gateway.
    pub address: Option<String>,
    /// Share of the calls within its tier.
    pub weight: u32,
    /// Its tier; larger is used first.
    pub priority: i64,
    /// What operators say of it.
    pub standing: Standing,
    /// Whether it would be given a call now.
    pub is_usable: bool,
    /// What calls tell; `None` where they are not asked.
    pub state: Option<State>,
    /// For how much longer it is ejected.
    pub ejected_for: Option<Duration>,
    /// Whether checks have found all of its addresses ill.
    pub is_ill: bool,
    /// Calls under way; `None` where there is nothing to choose, so that nobody counts.
    pub in_flight: Option<usize>,
    /// What it usually takes until the first token of a stream; `None` if that was not measured.
    pub first_token: Option<Duration>,
    /// The same for answers that are no streams, as a whole.
    pub whole_answer: Option<Duration>,
}

/// The instances in service, by owner.
pub fn status(register: &Register, now: Instant) -> Vec<InstanceStatus> {
    register
        .pools()
        .iter()
        .flat_map(|pool| pool.status(now))
        .collect()
}

impl Registered {
    /// What is told about the instances of the pool.
    pub fn status(&self, now: Instant) -> Vec<InstanceStatus> {
        let mut all = Vec::new();
        for member in &self.members {
            let instance = &member.instance;
            let health = instance.health.as_ref().map(|on_duty| &on_duty.health);
            let standing = member.standing();
            let state = health.and_then(|health| health.passive_state(now));
            let measured = |streams| member.load.as_ref().and_then(|load| load.usual(streams));
            let endpoint = &instance.endpoint;
            all.push(InstanceStatus {
                owner: self.owner.clone(),
                name: instance.name.to_string(),
                provider: instance.provider,
                model: instance.model.clone(),
                address: match endpoint.scheme {
                    Scheme::Simulated { .. } => None,
                    Scheme::Http | Scheme::Https { .. } => {
                        Some(format!("{}:{}", endpoint.host, endpoint.port))
                    }
                },
                weight: member.weight,
                priority: member.priority,
                standing,
                is_usable: standing == Standing::InService
                    && health.is_none_or(|health| health.is_usable(now)),
                ejected_for: match state {
                    Some(State::Ejected { until, .. }) => Some(health::until(until, now)),
                    _ => None,
                },
                state,
                is_ill: health.is_some_and(|health| health.is_ill()),
                in_flight: member.load.as_ref().map(|load| load.in_flight()),
                first_token: measured(true),
                whole_answer: measured(false),
            });
        }
        all
    }
}

impl InstanceStatus {
    /// As it is told by the Admin API.
    pub fn told(&self) -> Value {
        let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        let (state, cause) = match self.state {
            None => (None, None),
            Some(State::Healthy) => (Some("healthy"), None),
            Some(State::Probing) => (Some("probing"), None),
            Some(State::Ejected { reason, .. }) => (Some("ejected"), Some(reason.name())),
        };
        json!({
            "id": format!("{}/{}", self.owner, self.name),
            "owner": self.owner,
            "name": self.name,
            "provider": self.provider,
            "model": self.model,
            "address": self.address,
            "weight": self.weight,
            "priority": self.priority,
            "standing": self.standing.name(),
            "usable": self.is_usable,
            "state": state,
            "cause": cause,
            "ejected_for_ms": milliseconds(self.ejected_for),
            "ill_by_checks": self.is_ill,
            "in_flight": self.in_flight,
            "first_token_ms": milliseconds(self.first_token),
            "whole_answer_ms": milliseconds(self.whole_answer),
        })
    }
}
