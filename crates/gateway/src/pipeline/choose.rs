//! Which instances are tried, in which order.

use std::sync::Arc;

use http::StatusCode;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::model::Compat;

use super::ask::Asked;
use super::identify::Caller;
use crate::error::CallError;
use crate::snapshot::{Instance, Model, Route};

/// One try: an instance of a model.
#[derive(Clone)]
pub struct Candidate {
    /// The model whose limits and rules apply.
    pub model: Arc<Model>,
    /// Who is asked.
    pub instance: Arc<Instance>,
    /// The public name under which this model was reached: what the client asked for, or the name of the fallback.
    pub public_name: String,
}

impl Candidate {
    /// The model's name at the provider.
    pub fn upstream_model(&self) -> &str {
        self.instance.model.as_deref().unwrap_or(&self.public_name)
    }
}

/// All tries of a call in order: the instances of the model, then those of its fallbacks. Never empty.
///
/// # Errors
/// 404 if the model does not exist or the caller may not use it; both look the same from outside.
pub fn plan(route: &Route, caller: &Caller, asked: &Asked) -> Result<Vec<Candidate>, CallError> {
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
    let mut plan = Vec::new();
    add(&mut plan, model, &asked.model);
    for name in access.unwrap_or(&model.fallback) {
        match route.models.find(name) {
            Some(fallback) => add(&mut plan, fallback, name),
            None => {
                tracing::warn!(route = %route.id, model = %asked.model, fallback = %name, "the fallback model is not configured")
            }
        }
    }
    if plan.is_empty() {
        return Err(CallError::gateway(
            "no_instances",
            "this model has no provider at the moment",
        ));
    }
    Ok(plan)
}

fn add(plan: &mut Vec<Candidate>, model: &Arc<Model>, public_name: &str) {
    for number in model.order() {
        let Some(instance) = model.instances.get(number) else {
            continue;
        };
        plan.push(Candidate {
            model: model.clone(),
            instance: instance.clone(),
            public_name: public_name.to_owned(),
        });
    }
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
