//! A whole answer, read and written.

use crate::json::Raw;

use super::fields::{leftover, open, take_count, take_list, take_object, without};
use super::ids::CallIds;
use super::write_part::{self, enveloped};
use super::{logprobs, part, stop, time, usage};
use crate::Dialect;
use crate::canonical::{
    Choice, DecodeError, Ext, Part, Reasoning, Response, Stop, StopReason, Text, ToolCall, ToolCallKind,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Reads a whole answer. An answer without candidates because the prompt was blocked has one choice, which says so.
///
/// # Errors
/// The document is not an answer of this dialect (an error document is none either).
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    if object.has("error") {
        return Err(DecodeError::new("error", "the provider answered with an error"));
    }
    let known = [
        "candidates",
        "promptFeedback",
        "usageMetadata",
        "modelVersion",
        "responseId",
    ];
    if !known.iter().any(|name| object.has(name)) {
        return Err(DecodeError::new(
            "candidates",
            "is missing; a list of candidates is required",
        ));
    }
    let id = object.take_string("responseId")?.unwrap_or_default();
    let candidates = take_list(&mut object, "candidates")?.unwrap_or_default();
    let mut choices = (0..)
        .zip(candidates)
        .map(|(i, raw)| decode_candidate(raw, i, &id))
        .collect::<Result<Vec<_>, _>>()?;
    let blocked = object
        .peek("promptFeedback")
        .is_some_and(|raw| stop::blocks(&RawJson::from(raw)));
    if choices.is_empty() && blocked {
        choices.push(choice_of(0, stop::blocked()));
    }
    let counts = take_object(&mut object, "usageMetadata")?.map(|(object, nulls)| leftover(object, nulls));
    let created = object
        .peek("createTime")
        .and_then(|raw| time::seconds(&RawJson::from(raw).as_string()?));
    let model = object.take_string("modelVersion")?.unwrap_or_default();
    Ok(Response {
        origin: Dialect::Gemini,
        id,
        model,
        created,
        choices,
        service_tier: counts.as_ref().and_then(usage::service_tier),
        usage: counts.map(usage::decode),
        ext: leftover(object, nulls),
    })
}

fn choice_of(index: u64, stop: Stop) -> Choice {
    Choice {
        index,
        parts: Vec::new(),
        stop,
        logprobs: None,
        ext: Ext::default(),
        message_ext: Ext::default(),
    }
}

fn decode_candidate(raw: Raw<'_>, position: u64, answer_id: &str) -> Result<Choice, DecodeError> {
    let (mut object, nulls) = open(raw.get(), crate::path::item("candidates", position))?;
    let index = take_count(&mut object, "index")?.unwrap_or(position);
    let mut choice = choice_of(index, Stop::default());
    if let Some((mut content, content_nulls)) = take_object(&mut object, "content")? {
        let path = content.path_of("parts");
        let mut calls = CallIds::new(format!("{answer_id}\n{index}"));
        for (i, raw) in take_list(&mut content, "parts")?
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            part::decode(*raw, crate::path::item(&path, i), &mut calls, &mut choice.parts)?;
        }
        if content.peek("role").is_some_and(|raw| raw.get() == "\"model\"") {
            content.take("role");
        }
        choice.message_ext = leftover(content, content_nulls);
    }
    let has_calls = choice.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    choice.stop = stop::decode(take_finish_reason(&mut object), has_calls);
    choice.logprobs = object
        .peek("logprobsResult")
        .and_then(|raw| logprobs::decode(&RawJson::from(raw)));
    choice.ext = leftover(object, nulls);
    Ok(choice)
}

/// Takes `finishReason`, a word or the number of one.
pub(super) fn take_finish_reason(candidate: &mut Object<'_>) -> Option<String> {
    let raw = candidate.take("finishReason")?;
    Some(serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()))
}

/// Writes a whole answer for a client of this dialect.
///
/// A rejection in `losses` means that the answer cannot be told in this dialect (a tool call whose arguments are no JSON
/// object): the caller should report an upstream error instead of sending it.
pub fn encode_response(response: &Response, losses: &mut Losses) -> Vec<u8> {
    let own = response.origin == Dialect::Gemini;
    if !own {
        report_losses(response, losses);
    }
    let mut out = Vec::with_capacity(1024);
    Writer::new(&mut out).object(|w| {
        let blocked = own && response.ext.get("promptFeedback").is_some_and(stop::blocks);
        let choices: Vec<&Choice> = response
            .choices
            .iter()
            // Made up for the block; there is no candidate.
            .filter(|choice| !(blocked && choice.parts.is_empty() && choice.stop.native.is_none()))
            .collect();
        if !choices.is_empty() {
            w.key("candidates").array(|w| {
                for choice in choices {
                    write_candidate(w, response, choice, losses);
                }
            });
        }
        if let Some(counts) = &response.usage {
            w.key("usageMetadata");
            usage::encode(w, counts, response.origin);
        }
        if !(own && response.model.is_empty()) {
            w.key("modelVersion").string(&response.model);
        }
        if !(own && response.id.is_empty()) {
            w.key("responseId").string(&response.id);
        }
        if own {
            w.ext(&response.ext);
        }
    });
    out
}

fn write_candidate(w: &mut Writer<'_>, response: &Response, choice: &Choice, losses: &mut Losses) {
    let own = response.origin == Dialect::Gemini;
    let converted;
    let parts = if own {
        &choice.parts
    } else {
        converted = convert_parts(response, choice, losses);
        &converted
    };
    let word = stop::word(&choice.stop, response.origin, losses);
    w.object(|w| {
        w.key("content").object(|w| {
            if !parts.is_empty() {
                w.key("parts").array(|w| {
                    for signed in write_part::sign(parts) {
                        write_part::write(w, &signed);
                    }
                });
            }
            if choice.message_ext.get("role").is_none() {
                w.key("role").string("model");
            }
            if own {
                w.ext(&choice.message_ext);
            }
        });
        stop::write(w, word.as_deref());
        w.key("index").number(choice.index);
        if own {
            w.ext(&without(&choice.ext, &["content"]));
        } else if let Some(raw) = &choice.logprobs {
            logprobs::encode(w, raw);
        }
    });
}

fn report_losses(response: &Response, losses: &mut Losses) {
    foreign::report(&response.ext, Place::Answer, response.origin, "", losses);
    for (i, choice) in response.choices.iter().enumerate() {
        foreign::report(
            &choice.ext,
            Place::Answer,
            response.origin,
            &crate::path::item("choices", i),
            losses,
        );
        foreign::report(
            &choice.message_ext,
            Place::Answer,
            response.origin,
            &format!("choices[{i}].message"),
            losses,
        );
    }
    if let Some(counts) = &response.usage {
        usage::report_losses(counts, losses);
    }
}

/// The parts of an answer of another dialect, as this one says them.
fn convert_parts(response: &Response, choice: &Choice, losses: &mut Losses) -> Vec<Part> {
    let mut converted = Vec::with_capacity(choice.parts.len());
    let is_call = |part: &Part| matches!(part, Part::ToolCall(_));
    for (i, part) in choice.parts.iter().enumerate() {
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
                foreign::report(&reasoning.ext, Place::Answer, response.origin, &path, losses);
                converted.push(convert_reasoning(reasoning, response));
            }
            Part::ToolCall(call) => {
                let last = choice
                    .parts
                    .get(i + 1..)
                    .is_none_or(|rest| !rest.iter().any(is_call));
                let cut = last && choice.stop.reason == StopReason::Length;
                foreign::report(&call.ext, Place::Answer, response.origin, &path, losses);
                converted.extend(convert_call(call, cut, &path, losses).map(Part::ToolCall));
            }
            Part::Media(media) => converted.push(Part::Media(media.clone())),
            Part::ToolResult(_) => losses.rejected(path, "the dialect has no such result in answers"),
            Part::Opaque {
                dialect: Dialect::Gemini,
                ..
            } => converted.push(part.clone()),
            Part::Opaque { .. } => {
                losses.dropped(path, "only the provider's own dialect has this kind of content");
            }
        }
    }
    converted
}

/// Reasoning of another maker goes as a thought with our envelope, so that it is recognised when it comes back.
pub(super) fn convert_reasoning(reasoning: &Reasoning, response: &Response) -> Part {
    if reasoning.origin == Some(Dialect::Gemini) {
        return Part::Reasoning(Reasoning {
            ext: Ext::default(),
            ..reasoning.clone()
        });
    }
    enveloped(reasoning, response.origin, &response.model)
}

/// A call of another dialect; `None` if its arguments were cut.
pub(super) fn convert_call(call: &ToolCall, cut: bool, path: &str, losses: &mut Losses) -> Option<ToolCall> {
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
    Some(ToolCall {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    })
}
