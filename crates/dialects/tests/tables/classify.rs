//! What becomes of a field, found by translating a request with it and one without it.

use std::collections::BTreeSet;

use serde_json::Value;
use tollgate_dialects::canonical::Effort;
use tollgate_dialects::codec;
use tollgate_dialects::{Capabilities, Dialect, Effect, Loss, Losses, Target};

use crate::inventory::Entry;
use crate::path;

/// What becomes of a field in another dialect.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub class: Class,
    /// The members of the translated request in which the field shows.
    pub becomes: Vec<String>,
    /// Why, for people.
    pub reasons: Vec<String>,
}

/// The classes of `docs/dialects.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The same meaning is sent.
    Mapped,
    /// Says what is the case anyway.
    Silent,
    Approximated,
    Dropped,
    Rejected,
}

/// What becomes of the field of an entry.
///
/// # Errors
/// The field is lost in silence, or told under a name that the client did not write.
pub fn outcome(entry: &Entry, asks: Dialect, toward: Dialect) -> Result<Outcome, String> {
    let capabilities = match &entry.model {
        Some((_, model)) => Capabilities::of(model),
        None => everything(),
    };
    let (with, losses) = translated(&entry.request, asks, toward, &capabilities)?;
    let before = translated(&entry.without, asks, toward, &capabilities);
    let told_before: &[Loss] = before.as_ref().map_or(&[], |(_, losses)| losses.as_slice());
    let field = entry.plain();

    let mut about: Vec<&Loss> = losses.iter().filter(|loss| !told_before.contains(loss)).collect();
    if let Some(loss) = about.iter().find(|loss| !is_said(&loss.field, &entry.request)) {
        return Err(format!(
            "told as {}, which is not in the client's request",
            loss.field
        ));
    }
    // What stands in something that is lost as a whole is lost with it.
    if about.is_empty() {
        about = losses
            .iter()
            .filter(|loss| path::is_within(&field, &path::without_kinds(&loss.field)))
            .collect();
    }
    let becomes = match &before {
        Ok((before, _)) => path::differences(before, &with),
        Err(_) => Vec::new(),
    };
    let mut reasons: Vec<String> = about.iter().map(|loss| loss.reason.to_owned()).collect();
    let class = match about.iter().map(|loss| class_of(loss.effect)).max() {
        Some(class) => class,
        None if !becomes.is_empty() => Class::Mapped,
        None => match (entry.silent(toward), &before) {
            (Some(why), _) => {
                reasons.push(why.to_owned());
                Class::Silent
            }
            (None, Ok(_)) => return Err("lost in silence".to_owned()),
            (None, Err(error)) => {
                return Err(format!(
                    "there is no request without the field ({error}); give a base"
                ));
            }
        },
    };
    reasons.extend(entry.note(toward).map(str::to_owned));
    let mut told = BTreeSet::new();
    reasons.retain(|reason| told.insert(reason.clone()));
    Ok(Outcome {
        class,
        becomes: if class == Class::Rejected {
            Vec::new()
        } else {
            becomes
        },
        reasons,
    })
}

fn class_of(effect: Effect) -> Class {
    match effect {
        Effect::Approximated => Class::Approximated,
        Effect::Dropped => Class::Dropped,
        Effect::Rejected => Class::Rejected,
    }
}

/// Whether a loss is told about something that stands in the request.
fn is_said(field: &str, request: &Value) -> bool {
    let path = path::without_kinds(field);
    !path::values(request, &path::steps(&path)).is_empty()
}

/// Translates a request for a model.
pub fn translated(
    request: &Value,
    asks: Dialect,
    toward: Dialect,
    capabilities: &Capabilities,
) -> Result<(Value, Vec<Loss>), String> {
    let request = codec::decode_request(asks, &request.to_string()).map_err(|error| error.to_string())?;
    let target = Target {
        model: "the-model",
        capabilities,
        default_max_output_tokens: Some(64_000),
    };
    let mut losses = Losses::new();
    let body = codec::encode_request(toward, &request, &target, &mut losses);
    let body = serde_json::from_slice(&body).map_err(|error| format!("no JSON was written: {error}"))?;
    Ok((body, losses.iter().cloned().collect()))
}

/// A model that accepts all there is.
pub fn everything() -> Capabilities {
    let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    Capabilities {
        max_output_tokens: Some(64_000),
        efforts: Some(efforts.map(Effort::from_name).to_vec()),
        mid_conversation_system: true,
        claude_options: true,
        ..Capabilities::default()
    }
}
