//! Which instances are tried, in which order.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use smallvec::{SmallVec, smallvec};
use tollgate_dialects::Capabilities;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::model::Compat;

use super::ask::Asked;
use super::identify::Caller;
use super::picks::{Begun, Picks};
use super::record::Record;
use crate::error::CallError;
use crate::pool::Clues;
use crate::snapshot::{Instance, Model, Route};

/// One try: an instance of a model.
#[derive(Clone)]
pub struct Candidate {
    /// The model whose limits and rules apply.
    pub model: Arc<Model>,
    /// Who is asked.
    pub instance: Arc<Instance>,
    /// The public name under which this model was reached: what the client asked for, or the name of the fallback.
    pub public_name: Arc<str>,
}

/// The models that are tried, in order, with the public name of each.
pub struct Plan {
    models: SmallVec<[(Arc<Model>, Arc<str>); 1]>,
    /// What instances are chosen by.
    pub clues: Clues,
    /// The first pick, where it was made before the attempts.
    pub begun: Option<Box<Begun>>,
}

impl Plan {
    /// The instances of one model, whoever calls.
    pub fn of(model: Arc<Model>, asked_for: Arc<str>, clues: Clues) -> Self {
        Plan {
            models: smallvec![(model, asked_for)],
            clues,
            begun: None,
        }
    }

    /// Picks the instance that the call begins with.
    ///
    /// # Errors
    /// Limits refuse the call.
    pub async fn begin(&mut self, streams: bool, record: &Record) -> Result<(), CallError> {
        if let Some((model, public_name)) = self.models.first() {
            let picks = Picks::new(model, public_name, &self.clues, streams);
            self.begun = Some(picks.begin(record).await?);
        }
        Ok(())
    }

    /// The models, the one that was asked for first.
    pub fn models(&self) -> impl Iterator<Item = &(Arc<Model>, Arc<str>)> {
        self.models.iter()
    }
}

impl Candidate {
    /// The model's name at the provider.
    pub fn upstream_model(&self) -> &str {
        self.instance.model.as_deref().unwrap_or(&self.public_name)
    }

    /// What that model accepts.
    pub fn capabilities(&self) -> Cow<'_, Capabilities> {
        self.instance.capabilities(self.upstream_model())
    }
}

/// The models of a call in order: the one asked for, then its fallbacks. At least one has an instance.
///
/// # Errors
/// 404 if the model does not exist or the caller may not use it; both look the same from outside.
pub fn plan(route: &Route, caller: &Caller, asked: &Asked) -> Result<Plan, CallError> {
    let demo = route.models.compat == Compat::NginxDemo;
    let access = caller
        .access_to(&asked.model)
        .ok_or_else(|| unknown_model(route, &asked.model))?;
    let Some(model) = route.models.find(&asked.model) else {
        return Err(if demo {
            CallError::gateway(
                "model_not_configured",
                format!("Model '{}' configuration not found", asked.model),
            )
        } else {
            unknown_model(route, &asked.model)
        });
    };
    let mut models: SmallVec<[(Arc<Model>, Arc<str>); 1]> = smallvec![(model.clone(), asked.model.clone())];
    for name in access.unwrap_or(&model.fallback) {
        match route.models.find(name) {
            Some(fallback) => models.push((fallback.clone(), name.as_str().into())),
            None => {
                tracing::warn!(route = %route.id, model = %asked.model, fallback = %name, "the fallback model is not configured")
            }
        }
    }
    if models.iter().all(|(model, _)| model.pool.instances().is_empty()) {
        return Err(CallError::gateway(
            "no_instances",
            "this model has no provider at the moment",
        ));
    }
    Ok(Plan {
        models,
        clues: Clues::default(),
        begun: None,
    })
}

/// The model does not exist, or the caller may not know that it does.
pub fn unknown_model(route: &Route, name: &str) -> CallError {
    let message = if route.models.compat == Compat::NginxDemo {
        format!("The model '{name}' was not found or is not accessible to the user")
    } else {
        format!("the model `{name}` does not exist or you have no access to it; GET /v1/models lists yours")
    };
    CallError::client(
        StatusCode::NOT_FOUND,
        ErrorKind::NotFound,
        "model_not_found",
        message,
    )
    .at("model")
}
