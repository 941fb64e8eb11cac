//! What becomes of members that only the dialect they came from knows, when they are written in another one.
//!
//! There is one table for each dialect that asks: every member of its requests and answers that has no canonical field, and
//! its fate elsewhere. A member in no table is unknown: dropped and told, so that a call does not fail over a member its
//! provider never heard of; strict mode refuses it. Members that say nothing (`null`, `[]`, `{}`, `""`) are no loss. What a
//! target does have a place for, its encoder takes out of the bag before it reports the rest here.

mod anthropic_messages;
mod bedrock_converse;
mod cohere_chat;
mod gemini;
mod openai_chat;
mod openai_responses;

use crate::Dialect;
use crate::canonical::{CacheHint, Ext};
use crate::json::{Object, RawJson};
use crate::loss::{Effect, Losses};

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Says what is the case anyway.
    Silent,
    /// An object whose members have fates of their own, as members of this kind of object.
    Inside(Place),
    /// The same, where the object is not one of the document: its members stand where this one would.
    Within(Place),
    /// Cannot be carried over.
    Lost(Effect, &'static str),
}

/// The kind of object in which a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The request itself, or an object of options in it.
    Request,
    /// Notes of the client about the request.
    Metadata,
    /// What is left of `thinking`.
    Thinking,
    /// What is left of the object around the schema of the answer.
    Format,
    /// An object of options that the model's maker names, not the provider.
    Model,
    /// A message.
    Message,
    /// A text part, a refusal or reasoning.
    Text,
    /// An image, document, audio or video.
    Media,
    /// A tool definition.
    Tool,
    /// A tool call.
    ToolCall,
    /// A tool result.
    ToolResult,
    /// Anything in an answer, which can no longer be refused.
    Answer,
}

/// Why a mark of what to cache is left out.
pub(crate) const CACHES: &str = "the provider finds cached prompts by itself";
/// Why a stop reason is another one.
pub(crate) const NOT_MALFORMED: &str = "the answer cannot say that its tool call was malformed";
/// Why the id of the end user is left out.
pub(crate) const NO_USER: &str = "the provider takes no id of the end user";

/// Reports the members of a bag of the dialect `origin`; `path` is where the object stands, empty for the document.
pub(crate) fn report(ext: &Ext, place: Place, origin: Dialect, path: &str, losses: &mut Losses) {
    for (name, raw) in ext.iter() {
        report_one(name, raw, place, origin, path, losses);
    }
}

fn report_one(name: &str, raw: &RawJson, place: Place, origin: Dialect, path: &str, losses: &mut Losses) {
    if raw.is_blank() {
        return;
    }
    let field = if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    };
    match fate(name, raw, place, origin) {
        Fate::Silent => {}
        Fate::Inside(place) => report_inside(raw, place, origin, &field, losses),
        Fate::Within(place) => report_inside(raw, place, origin, path, losses),
        // An answer can no longer be refused, nor asked for in another way.
        Fate::Lost(_, reason) if place == Place::Answer => losses.dropped(field, reason),
        Fate::Lost(effect, reason) => losses.push(field, effect, reason),
    }
}

fn report_inside(raw: &RawJson, place: Place, origin: Dialect, path: &str, losses: &mut Losses) {
    match Object::parse(raw.text(), "") {
        Ok(object) => report(&object.into_ext(), place, origin, path, losses),
        Err(_) => losses.dropped(path, NOT_KNOWN),
    }
}

fn fate(name: &str, raw: &RawJson, place: Place, origin: Dialect) -> Fate {
    match origin {
        Dialect::OpenaiChat => openai_chat::fate(place, name, raw),
        Dialect::AnthropicMessages => anthropic_messages::fate(place, name, raw),
        Dialect::Gemini => gemini::fate(place, name, raw),
        Dialect::CohereChat => cohere_chat::fate(place, name, raw),
        Dialect::OpenaiResponses => openai_responses::fate(place, name, raw),
        Dialect::BedrockConverse => bedrock_converse::fate(place, name, raw),
    }
}

/// Reports a member of a streamed answer; `field` is where it stands.
pub(crate) fn report_streamed(field: &str, raw: &RawJson, origin: Dialect, losses: &mut Losses) {
    let (path, name) = field.rsplit_once('.').unwrap_or(("", field));
    report_one(name, raw, Place::Answer, origin, path, losses);
}

const NOT_KNOWN: &str = "not known to the provider";

/// The fate of a member that is in no table.
const fn unknown(place: Place) -> Fate {
    match place {
        Place::Answer => Fate::Lost(Effect::Dropped, "answers of this dialect have no such member"),
        _ => Fate::Lost(Effect::Dropped, NOT_KNOWN),
    }
}

/// Reports a cache breakpoint that the target has no place for.
pub(crate) fn report_cache(cache: Option<&CacheHint>, path: &str, losses: &mut Losses) {
    let Some(cache) = cache else { return };
    if cache.dialect == Dialect::BedrockConverse {
        return losses.dropped(bedrock_converse::point_behind(path), CACHES);
    }
    // Clients of OpenAI's dialect write either.
    let is_breakpoint = Object::parse(cache.raw.text(), "").is_ok_and(|object| object.has("mode"));
    let member = if cache.dialect == Dialect::AnthropicMessages || !is_breakpoint {
        "cache_control"
    } else {
        "prompt_cache_breakpoint"
    };
    losses.dropped(format!("{path}.{member}"), CACHES);
}
