//! `additionalModelRequestFields`: what the maker of the model calls what this dialect has no member for.
//!
//! Claude's `thinking` and `top_k` are taken out and become canonical. The others are only read, and stay where they are:
//! one meaning has several places there, and each goes back to its own.

use super::part::ORIGIN;
use crate::anthropic_messages;
use crate::canonical::{DecodeError, Effort, Ext, Request, Thinking};
use crate::json::{Object, RawJson, Writer};

/// The name of the object.
pub(super) const NAME: &str = "additionalModelRequestFields";

/// What is read of the object.
#[derive(Default)]
pub(super) struct Additional {
    pub(super) thinking: Option<Thinking>,
    pub(super) top_k: Option<RawJson>,
    pub(super) effort: Option<Effort>,
    pub(super) parallel_tool_calls: Option<bool>,
}

impl Additional {
    /// Takes the object, and keeps in `ext` what is not canonical of it.
    pub(super) fn take(object: &mut Object<'_>, ext: &mut Ext) -> Result<Self, DecodeError> {
        let Some(raw) = object.take_some(NAME) else {
            return Ok(Additional::default());
        };
        let Ok(mut fields) = Object::parse(raw.get(), "") else {
            ext.0.push((NAME.to_owned(), RawJson::from(raw)));
            return Ok(Additional::default());
        };
        // What is not as Claude has it is another model's, and stays.
        let thinking = Object::parse(raw.get(), "")
            .ok()
            .and_then(|mut copy| anthropic_messages::take_thinking(&mut copy).ok()?);
        if thinking.is_some() {
            fields.take("thinking");
        }
        let top_k = Object::parse(raw.get(), "")
            .ok()
            .and_then(|mut copy| copy.take_number("top_k").ok()?);
        if top_k.is_some() {
            fields.take("top_k");
        }
        let left = fields.into_ext();
        let top_k = top_k.or_else(|| nova_top_k(&left));
        let additional = Additional {
            thinking,
            top_k,
            effort: effort(&left),
            parallel_tool_calls: parallel(&left),
        };
        if !left.is_empty() {
            ext.0.push((NAME.to_owned(), RawJson::object(&left)));
        }
        Ok(additional)
    }
}

/// An effort as Claude, OpenAI's models or Nova have it.
fn effort(left: &Ext) -> Option<Effort> {
    placed_effort(left).map(|(_, effort)| effort)
}

/// The same, and where it stands.
fn placed_effort(left: &Ext) -> Option<(&'static str, Effort)> {
    let claude = || string_in(left.get("output_config")?, "effort");
    let openai = || left.get("reasoning_effort")?.as_string();
    let nova = || string_in(left.get("reasoningConfig")?, "maxReasoningEffort");
    let at = |place: &'static str, word: Option<String>| Some((place, Effort::from_name(&word?)));
    at("additionalModelRequestFields.output_config.effort", claude())
        .or_else(|| at("additionalModelRequestFields.reasoning_effort", openai()))
        .or_else(|| {
            at(
                "additionalModelRequestFields.reasoningConfig.maxReasoningEffort",
                nova(),
            )
        })
}

/// Where a client of this dialect wrote the effort.
pub(crate) fn effort_place(request: &Request) -> &'static str {
    let wanted = request
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.effort.as_ref());
    match placed_effort(&inner(&request.ext)) {
        Some((place, effort)) if Some(&effort) == wanted => place,
        _ => "outputConfig.effort",
    }
}

/// Where a client of this dialect wrote top-k.
pub(crate) fn top_k_place(request: &Request) -> &'static str {
    if nova_top_k(&inner(&request.ext)).is_some() {
        "additionalModelRequestFields.inferenceConfig.topK"
    } else {
        "additionalModelRequestFields.top_k"
    }
}

/// Claude's switch for several calls at once.
fn parallel(left: &Ext) -> Option<bool> {
    let mut choice = Object::parse(left.get("tool_choice")?.text(), "").ok()?;
    let disabled = choice.take_bool("disable_parallel_tool_use").ok()??;
    Some(!disabled)
}

fn nova_top_k(left: &Ext) -> Option<RawJson> {
    let mut config = Object::parse(left.get("inferenceConfig")?.text(), "").ok()?;
    config.take_number("topK").ok()?
}

fn string_in(raw: &RawJson, name: &str) -> Option<String> {
    Object::parse(raw.text(), "").ok()?.take_string(name).ok()?
}

/// The effort that `outputConfig` must tell, because the fields of the model do not.
pub(super) fn untold_effort(request: &Request) -> Option<&Effort> {
    let told = inner(&request.ext);
    let wanted = request.reasoning.as_ref()?.effort.as_ref()?;
    (request.origin != ORIGIN || effort(&told).as_ref() != Some(wanted)).then_some(wanted)
}

/// Writes the object of a request of this dialect.
pub(super) fn write_own(w: &mut Writer<'_>, request: &Request) {
    let raw = request.ext.get(NAME);
    let left = inner(&request.ext);
    if raw.is_some_and(|raw| !raw.text().starts_with('{')) {
        return w.optional_raw(NAME, raw);
    }
    let thinking = request
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.thinking.as_ref());
    let top_k = request.top_k.clone().filter(|_| nova_top_k(&left).is_none());
    write(w, thinking, top_k.as_ref(), &left);
}

/// Writes the object unless it has no members.
pub(super) fn write(w: &mut Writer<'_>, thinking: Option<&Thinking>, top_k: Option<&RawJson>, left: &Ext) {
    if thinking.is_none() && top_k.is_none() && left.is_empty() {
        return;
    }
    w.key(NAME).object(|w| {
        if let Some(thinking) = thinking {
            w.key("thinking");
            anthropic_messages::write_thinking(w, thinking);
        }
        w.optional_raw("top_k", top_k);
        w.ext(left);
    });
}

/// What is kept of the object.
fn inner(ext: &Ext) -> Ext {
    ext.get(NAME)
        .and_then(|raw| Object::parse(raw.text(), "").ok())
        .map(Object::into_ext)
        .unwrap_or_default()
}
