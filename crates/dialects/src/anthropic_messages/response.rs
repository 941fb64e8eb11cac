//! A whole answer, read and written.

use super::part::{decode_content, encode_part, rest};
use super::{ids, usage};
use crate::Dialect;
use crate::canonical::{
    Choice, DecodeError, Ext, Part, Reasoning, Response, Stop, StopReason, Text, ToolCall, ToolCallKind,
};
use crate::envelope;
use crate::foreign::{self, NOT_MALFORMED, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Reads a whole answer.
///
/// # Errors
/// The document is not an answer of this dialect (an error document is none either).
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    if let Some(kind) = object.take_string("type")?
        && kind != "message"
    {
        return Err(DecodeError::new(
            "type",
            format!(r#"expected "message", found {}"#, RawJson::string(&kind).text()),
        ));
    }
    object.take("role");
    let Some(content) = object.take("content") else {
        return Err(DecodeError::new(
            "content",
            "is missing; a list of blocks is required",
        ));
    };
    let (parts, _) = decode_content(content, "content")?;
    let stop = take_stop(&mut object)?;
    let (usage, service_tier) = match object.take_object("usage")? {
        Some(counts) => {
            let (usage, tier) = usage::decode(counts.into_ext());
            (Some(usage), tier)
        }
        None => (None, None),
    };
    let id = object.take_string("id")?.unwrap_or_default();
    let model = object.take_string("model")?.unwrap_or_default();
    let mut ext = rest(object, nulls);
    // Always written, so their `null` needs no bag.
    ext.0
        .retain(|(key, _)| key != "stop_reason" && key != "stop_sequence");
    Ok(Response {
        origin: Dialect::AnthropicMessages,
        id,
        model,
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            stop,
            logprobs: None,
            ext: Ext::default(),
            message_ext: Ext::default(),
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
    let native = response.origin == Dialect::AnthropicMessages;
    if !native {
        report_losses(response, losses);
    }
    let choice = response.choices.first();
    let stop = choice.map(|choice| choice.stop.clone()).unwrap_or_default();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let converted;
    let parts = if native {
        parts
    } else {
        converted = convert_parts(response, parts, &stop, losses);
        &converted
    };
    let reason = stop_reason(
        &stop,
        native,
        Contents::of(parts, choice.map(|choice| choice.parts.as_slice())),
    );
    let id = if native {
        response.id.as_str().into()
    } else {
        ids::message_id(&response.id)
    };
    let mut out = Vec::with_capacity(1024);
    let mut w = Writer::new(&mut out);
    w.object(|w| {
        w.key("id").string(&id);
        w.key("type").string("message");
        w.key("role").string("assistant");
        w.key("model").string(&response.model);
        w.key("content")
            .array(|w| parts.iter().for_each(|part| encode_part(w, part)));
        write_stop(w, &stop, reason);
        if let Some(counts) = &response.usage {
            w.key("usage");
            usage::encode(
                w,
                counts,
                service_tier(response.service_tier.as_deref(), native),
                native,
            );
        } else if !native {
            // Clients of this dialect cannot read an answer without usage.
            w.key("usage");
            usage::encode(w, &crate::canonical::Usage::default(), None, false);
        }
        if native {
            // A stream begins with `stop_details` null and may end with details.
            let told = |key: &str| key == "stop_details" && stop.details.is_some();
            for (key, raw) in response.ext.iter().filter(|(key, _)| !told(key)) {
                w.key(key).raw(raw);
            }
        }
    });
    out
}

/// Takes the members that say why an answer ended.
pub(super) fn take_stop(object: &mut Object<'_>) -> Result<Stop, DecodeError> {
    let native = object.take_string("stop_reason")?;
    Ok(Stop {
        reason: native.as_deref().map_or(StopReason::Unknown, reason_of),
        native,
        sequence: object.take_string("stop_sequence")?,
        details: object.take("stop_details").map(RawJson::from),
    })
}

/// What an answer holds, as far as it bears on the stop reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contents {
    pub(super) tool_calls: bool,
    pub(super) refusal: bool,
}

impl Contents {
    /// `parts` are those written; refusals are looked for among the parts as they were.
    fn of(parts: &[Part], before: Option<&[Part]>) -> Self {
        Contents {
            tool_calls: parts.iter().any(|part| matches!(part, Part::ToolCall(_))),
            refusal: before
                .unwrap_or_default()
                .iter()
                .any(|part| matches!(part, Part::Refusal(_))),
        }
    }
}

/// The `stop_reason` to write. The provider's own word in its own dialect; else by meaning, where tool calls and refusals in
/// the answer say more than a plain end.
pub(super) fn stop_reason(stop: &Stop, native: bool, contents: Contents) -> Option<String> {
    if native {
        return stop.native.clone();
    }
    let word = match stop.reason {
        StopReason::End
        | StopReason::Unknown
        | StopReason::Malformed
        | StopReason::ToolCalls
        | StopReason::LegacyFunctionCall => match contents {
            Contents { tool_calls: true, .. } => "tool_use",
            Contents { refusal: true, .. } => "refusal",
            Contents { .. } => "end_turn",
        },
        StopReason::StopSequence => "stop_sequence",
        StopReason::Length => "max_tokens",
        StopReason::ContextFull => "model_context_window_exceeded",
        StopReason::Refusal | StopReason::ContentFilter => "refusal",
        StopReason::Pause => "pause_turn",
    };
    Some(word.to_owned())
}

/// Writes the members that say why an answer ended.
pub(super) fn write_stop(w: &mut Writer<'_>, stop: &Stop, reason: Option<String>) {
    match reason {
        Some(reason) => w.key("stop_reason").string(&reason),
        None => w.key("stop_reason").null(),
    }
    match &stop.sequence {
        Some(sequence) => w.key("stop_sequence").string(sequence),
        None => w.key("stop_sequence").null(),
    }
    w.optional_raw("stop_details", stop.details.as_ref());
}

/// The service tier in this dialect's words; `None` where it has none.
pub(super) fn service_tier(tier: Option<&str>, native: bool) -> Option<&str> {
    match tier {
        tier if native => tier,
        Some("default") => Some("standard"),
        Some("priority") => Some("priority"),
        _ => None,
    }
}

fn reason_of(native: &str) -> StopReason {
    match native {
        "end_turn" => StopReason::End,
        "stop_sequence" => StopReason::StopSequence,
        "max_tokens" => StopReason::Length,
        "model_context_window_exceeded" => StopReason::ContextFull,
        "tool_use" => StopReason::ToolCalls,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        _ => StopReason::Unknown,
    }
}

fn report_losses(response: &Response, losses: &mut Losses) {
    let mut bag = |path: &str, ext: &Ext| foreign::report(ext, Place::Answer, response.origin, path, losses);
    bag("", &response.ext);
    if let Some(choice) = response.choices.first() {
        bag("choices[0]", &choice.ext);
        bag("choices[0].message", &choice.message_ext);
        if choice.stop.reason == StopReason::Malformed {
            losses.approximated("choices[0].finish_reason", NOT_MALFORMED);
        }
        if choice.logprobs.is_some() {
            losses.dropped("choices[0].logprobs", "the dialect has no log probabilities");
        }
    }
    if response.choices.len() > 1 {
        losses.dropped(
            "choices[1]",
            "the dialect has one answer; only the first is written",
        );
    }
    if let Some(counts) = &response.usage {
        usage::report_losses(counts, losses);
    }
}

/// The parts of an answer of another dialect, as this one says them.
fn convert_parts(response: &Response, parts: &[Part], stop: &Stop, losses: &mut Losses) -> Vec<Part> {
    let mut converted = Vec::with_capacity(parts.len());
    let mut calls = 0;
    for (i, part) in parts.iter().enumerate() {
        let path = format!("choices[0].message.parts[{i}]");
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                foreign::report(&text.ext, Place::Answer, response.origin, &path, losses);
                if !text.text.is_empty() {
                    converted.push(Part::Text(Text {
                        text: text.text.clone(),
                        ..Text::default()
                    }));
                }
            }
            Part::Reasoning(reasoning) => {
                converted.extend(convert_reasoning(response, reasoning, &path, losses));
            }
            Part::ToolCall(call) => {
                let path = format!("choices[0].message.tool_calls[{calls}]");
                let last = parts
                    .get(i + 1..)
                    .is_none_or(|rest| !rest.iter().any(|part| matches!(part, Part::ToolCall(_))));
                let cut = last && stop.reason == StopReason::Length;
                converted.extend(convert_call(response, call, calls, cut, &path, losses));
                calls += 1;
            }
            Part::Media(_) => losses.rejected(path, "the dialect has no media in answers"),
            Part::ToolResult(_) => losses.rejected(path, "the dialect has no such result in answers"),
            Part::Opaque {
                dialect: Dialect::AnthropicMessages,
                ..
            } => converted.push(part.clone()),
            Part::Opaque { .. } => {
                losses.dropped(path, "only the provider's own dialect has this kind of content")
            }
        }
    }
    converted
}

/// Reasoning of another maker goes in our envelope, so that it is recognised when it comes back.
fn convert_reasoning(
    response: &Response,
    reasoning: &Reasoning,
    path: &str,
    losses: &mut Losses,
) -> Option<Part> {
    foreign::report(&reasoning.ext, Place::Answer, response.origin, path, losses);
    let origin = reasoning.origin.unwrap_or(response.origin);
    if origin == Dialect::AnthropicMessages {
        return Some(Part::Reasoning(Reasoning {
            ext: Ext::default(),
            ..reasoning.clone()
        }));
    }
    if origin != Dialect::OpenaiChat {
        return Some(Part::Reasoning(Reasoning {
            text: reasoning.text.clone(),
            signature: Some(envelope::seal(reasoning, origin, &response.model)),
            ..Reasoning::default()
        }));
    }
    // Where vendors of this dialect keep their proofs differs; they stay in its own bags.
    if reasoning.redacted.is_some() || reasoning.signature.is_some() {
        losses.dropped(
            path,
            "proofs of other makers for their reasoning cannot be carried",
        );
    }
    if reasoning.text.is_empty() {
        return None;
    }
    Some(Part::Reasoning(Reasoning {
        text: reasoning.text.clone(),
        signature: Some(envelope::seal_unsigned(
            origin,
            reasoning.member.as_deref(),
            &response.model,
        )),
        ..Reasoning::default()
    }))
}

fn convert_call(
    response: &Response,
    call: &ToolCall,
    number: usize,
    cut: bool,
    path: &str,
    losses: &mut Losses,
) -> Option<Part> {
    foreign::report(&call.ext, Place::Answer, response.origin, path, losses);
    if call.name.is_empty() {
        losses.rejected(format!("{path}.function.name"), "the call names no tool");
    }
    if call.kind == ToolCallKind::Custom {
        losses.rejected(path, "calls of free-text tools cannot be expressed");
    }
    let arguments = match call.arguments.trim() {
        "" if cut => {
            losses.approximated(
                path,
                "the answer was cut before the arguments; the call is left out",
            );
            return None;
        }
        // Some models write `null` when a tool takes nothing.
        "" | "null" => "{}",
        text if Object::parse(text, "").is_ok() => text,
        _ if cut => {
            losses.approximated(path, "the answer was cut in the arguments; the call is left out");
            return None;
        }
        _ => {
            losses.rejected(
                format!("{path}.function.arguments"),
                "the arguments are not a JSON object",
            );
            "{}"
        }
    };
    let id = match call.id.as_str() {
        "" => ids::invented_tool_call_id(&response.id, number),
        id => ids::tool_call_id(id).into_owned(),
    };
    Some(Part::ToolCall(ToolCall {
        id,
        name: call.name.clone(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    }))
}
