//! A whole answer, read and written.
//!
//! Bedrock tells neither the id of an answer nor the model in the body; whoever knows the address and the headers may set both.

use super::part::{LEADING_POINT, Nesting, ORIGIN, decode_blocks, rest};
use super::request::keep;
use super::write_part::{write_blocks, write_raw_cache_point};
use super::{answer, stop, usage};
use crate::canonical::{Choice, DecodeError, Ext, Part, Response, Usage};
use crate::foreign::{self, Place};
use crate::json::{Object, Writer};
use crate::loss::Losses;

/// Reads a whole answer.
///
/// # Errors
/// The document is not an answer of this dialect (an error document is none either).
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let Some(mut output) = object.take_object("output")? else {
        return Err(DecodeError::new("output", "is missing; an object is required"));
    };
    let Some(mut message) = output.take_object("message")? else {
        return Err(DecodeError::new(
            "output.message",
            "is missing; an object is required",
        ));
    };
    message.take("role");
    let content = message.take_array("content")?.unwrap_or_default();
    let mut message_ext = Ext::default();
    let parts = decode_blocks(
        &content,
        "output.message.content",
        Nesting::Message,
        &mut message_ext,
    )?;
    message_ext.0.extend(message.into_ext().0);
    let usage = object
        .take_object("usage")?
        .map(|counts| usage::decode(counts.into_ext()));
    let native = object.take_string("stopReason")?;
    let mut tier = object.take_object("serviceTier")?;
    let service_tier = match &mut tier {
        Some(tier) => tier.take_string("type")?,
        None => None,
    };
    let mut ext = rest(object, nulls);
    keep(&mut ext, "serviceTier", tier);
    keep(&mut ext, "output", Some(output));
    Ok(Response {
        origin: ORIGIN,
        id: String::new(),
        model: String::new(),
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            stop: stop::decode(native, &ext),
            logprobs: None,
            ext: Ext::default(),
            message_ext,
        }],
        usage,
        service_tier,
        ext,
    })
}

/// Writes a whole answer for a client of this dialect.
///
/// A rejection in `losses` means that the answer cannot be told in this dialect (a tool call whose arguments are no JSON
/// object): the caller should report an upstream error instead of sending it.
pub fn encode_response(response: &Response, losses: &mut Losses) -> Vec<u8> {
    let native = response.origin == ORIGIN;
    if !native {
        report_losses(response, losses);
    }
    let choice = response.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let converted;
    let parts = if native {
        parts
    } else {
        converted = answer::convert_parts(response, parts, losses);
        &converted
    };
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let reason = choice.and_then(|choice| stop::word(&choice.stop, response.origin, has_calls, losses));
    let no_ext = Ext::default();
    let message_ext = choice
        .filter(|_| native)
        .map_or(&no_ext, |choice| &choice.message_ext);
    let ext = if native { &response.ext } else { &no_ext };
    let mut out = Vec::with_capacity(1024);
    Writer::new(&mut out).object(|w| {
        w.key("output").object(|w| {
            w.key("message").object(|w| {
                w.key("role").string("assistant");
                w.key("content").array(|w| {
                    if let Some(point) = message_ext.get(LEADING_POINT) {
                        write_raw_cache_point(w, point);
                    }
                    write_blocks(w, parts.iter());
                });
                write_without(w, message_ext, &[LEADING_POINT]);
            });
            write_inner(w, ext, "output");
        });
        w.optional_string("stopReason", reason.as_deref());
        match &response.usage {
            Some(counts) => {
                w.key("usage");
                usage::encode(w, counts, response.origin);
            }
            // Clients of this dialect cannot read an answer without usage.
            None if !native => {
                w.key("usage");
                usage::encode(w, &Usage::default(), response.origin);
            }
            None => {}
        }
        if !native {
            write_no_metrics(w);
        }
        write_tier(w, response.service_tier.as_deref(), native, ext, losses);
        write_without(w, ext, &["output", "serviceTier"]);
    });
    out
}

/// Writes `metrics`, which this dialect demands; how long the provider took is not told by others.
pub(super) fn write_no_metrics(w: &mut Writer<'_>) {
    w.key("metrics").object(|w| w.key("latencyMs").number(0));
}

/// Writes the tier that answered, in this dialect's words.
pub(super) fn write_tier(
    w: &mut Writer<'_>,
    tier: Option<&str>,
    native: bool,
    ext: &Ext,
    losses: &mut Losses,
) {
    let tier = match tier {
        tier if native => tier,
        None => None,
        Some("default" | "standard" | "STANDARD") => Some("default"),
        Some("priority" | "PRIORITY") => Some("priority"),
        Some("flex" | "FLEX") => Some("flex"),
        Some(_) => {
            losses.dropped("service_tier", "the dialect has no such tier");
            None
        }
    };
    if tier.is_some() || ext.get("serviceTier").is_some() {
        w.key("serviceTier").object(|w| {
            w.optional_string("type", tier);
            write_inner(w, ext, "serviceTier");
        });
    }
}

/// Writes what was kept of an object into the open one.
pub(super) fn write_inner(w: &mut Writer<'_>, ext: &Ext, name: &str) {
    if let Some(object) = ext.get(name).and_then(|raw| Object::parse(raw.text(), "").ok()) {
        w.ext(&object.into_ext());
    }
}

/// Writes the members of a bag but for some.
pub(super) fn write_without(w: &mut Writer<'_>, ext: &Ext, left_out: &[&str]) {
    for (name, raw) in ext.iter().filter(|(name, _)| !left_out.contains(name)) {
        w.key(name).raw(raw);
    }
}

fn report_losses(response: &Response, losses: &mut Losses) {
    let mut bag = |ext: &Ext, path: &str| foreign::report(ext, Place::Answer, response.origin, path, losses);
    bag(&response.ext, "");
    if let Some(choice) = response.choices.first() {
        bag(&choice.ext, "choices[0]");
        bag(&choice.message_ext, "choices[0].message");
        if choice.logprobs.is_some() {
            losses.dropped("choices[0].logprobs", "the dialect has no log probabilities");
        }
    }
    if response.choices.len() > 1 {
        losses.dropped("choices[1]", answer::ONE_ANSWER);
    }
    if let Some(counts) = &response.usage {
        usage::report_losses(counts, losses);
    }
}
