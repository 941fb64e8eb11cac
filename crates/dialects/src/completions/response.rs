//! Whole answers.

use super::{NO_CALLS, NO_PLACE, NO_REASONING, OBJECT, Style, is_own, report_service_tier, word_of};
use crate::Dialect;
use crate::canonical::{Choice, DecodeError, Ext, Part, Response, Stop, StopReason, Text};
use crate::foreign::{self, Place};
use crate::gemini::fields::leftover;
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::openai_chat::usage;

/// Reads a `text_completion`, so that a provider's answer of this dialect can be told and counted.
///
/// # Errors
/// The document is no such answer.
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let Some(list) = object.take_array("choices")? else {
        return Err(DecodeError::new("choices", "is missing; an array is required"));
    };
    let mut choices = Vec::with_capacity(list.len());
    for (i, raw) in (0..).zip(list) {
        choices.push(decode_choice(
            Object::parse(raw.get(), crate::path::item("choices", i))?,
            i,
        )?);
    }
    let used = object.peek("usage").filter(|raw| raw.get().starts_with('{'));
    if used.is_some() {
        object.take("usage");
    }
    if !object.has("object") {
        return Err(DecodeError::new(
            "object",
            "is missing; \"text_completion\" is required",
        ));
    }
    Ok(Response {
        origin: Dialect::OpenaiChat,
        id: object.take_string("id")?.unwrap_or_default(),
        model: object.take_string("model")?.unwrap_or_default(),
        created: object.take_u64("created")?,
        choices,
        usage: used.map(|raw| usage::decode(&RawJson::from(raw))),
        service_tier: None,
        ext: leftover(object, nulls),
    })
}

fn decode_choice(mut object: Object<'_>, position: u64) -> Result<Choice, DecodeError> {
    let index = object.take_u64("index")?.unwrap_or(position);
    let text = object.take_string("text")?.unwrap_or_default();
    let native = object.take_string("finish_reason")?;
    let reason = match native.as_deref() {
        Some("length") => StopReason::Length,
        Some("content_filter") => StopReason::ContentFilter,
        None | Some("stop" | "eos") => StopReason::End,
        Some(_) => StopReason::Unknown,
    };
    Ok(Choice {
        index,
        parts: vec![Part::Text(Text {
            text,
            ..Text::default()
        })],
        stop: Stop {
            reason,
            native,
            ..Stop::default()
        },
        logprobs: None,
        ext: object.into_ext(),
        message_ext: Ext::default(),
    })
}

/// Writes the answer of a chat as a `text_completion`; what has no place in one text is added to `losses`.
pub fn encode_response(response: &Response, style: &Style, losses: &mut Losses) -> Vec<u8> {
    let own = is_own(response);
    let mut out = Vec::with_capacity(1024);
    Writer::new(&mut out).object(|w| {
        w.key("id").string(&response.id);
        if !own {
            w.key("object").string(OBJECT);
        }
        w.key("created")
            .number(response.created.unwrap_or(style.created_s));
        w.key("model").string(&response.model);
        w.key("choices").array(|w| {
            for choice in &response.choices {
                write_choice(w, choice, style, own, response.origin, losses);
            }
        });
        if let Some(used) = &response.usage {
            w.key("usage");
            usage::encode(w, used, response.origin);
        }
        report_service_tier(response.service_tier.as_deref(), losses);
        write_bag(w, &response.ext, own, response.origin, "", losses);
    });
    out
}

fn write_choice(
    w: &mut Writer<'_>,
    choice: &Choice,
    style: &Style,
    own: bool,
    origin: Dialect,
    losses: &mut Losses,
) {
    let text = text_of(&choice.parts, style, losses);
    w.object(|w| {
        w.key("text").string(&text);
        w.key("index").number(choice.index);
        if own {
            w.optional_string("finish_reason", choice.stop.native.as_deref());
            if choice.stop.native.is_none() {
                w.key("finish_reason").null();
            }
            w.ext(&choice.ext);
            return;
        }
        w.key("logprobs").null();
        w.key("finish_reason").string(word_of(choice.stop.reason));
        if choice.logprobs.as_ref().is_some_and(|raw| !raw.is_blank()) {
            losses.dropped("choices[].logprobs", NO_PLACE);
        }
        foreign::report(&choice.ext, Place::Answer, origin, "choices[]", losses);
        foreign::report(
            &choice.message_ext,
            Place::Answer,
            origin,
            "choices[].message",
            losses,
        );
    });
}

fn text_of(parts: &[Part], style: &Style, losses: &mut Losses) -> String {
    let mut out = style.echo.clone().unwrap_or_default();
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => out.push_str(&text.text),
            Part::Reasoning(_) => losses.dropped("reasoning", NO_REASONING),
            Part::ToolCall(_) | Part::ToolResult(_) => losses.dropped("tool_calls", NO_CALLS),
            Part::Media(_) | Part::Opaque { .. } => losses.dropped("content", NO_PLACE),
        }
    }
    out
}

/// The bag of an answer: its own members, or those that completions have in common with chats.
fn write_bag(w: &mut Writer<'_>, ext: &Ext, own: bool, origin: Dialect, path: &str, losses: &mut Losses) {
    if own {
        // A `null` says nothing where a value is written.
        for (name, raw) in ext.iter() {
            if !matches!(name, "id" | "created" | "model" | "choices") {
                w.key(name).raw(raw);
            }
        }
        return;
    }
    let mut rest = ext.clone();
    rest.0.retain(|(name, raw)| {
        let common = origin == Dialect::OpenaiChat && name == "system_fingerprint";
        if common {
            w.key(name).raw(raw);
        }
        !common
    });
    foreign::report(&rest, Place::Answer, origin, path, losses);
}
