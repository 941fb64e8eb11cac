//! A whole answer, read and written.

use crate::json::Raw;

use super::bag::{leftover, open, says};
use super::messages::{take_plan, write_plan_and_calls};
use super::{content, ids, logprobs, stop, tools, usage};
use crate::Dialect;
use crate::canonical::{
    Choice, ContentForm, DecodeError, Ext, Part, Reasoning, Response, Text, ToolCall, ToolCallKind,
};
use crate::foreign::{self, Place};
use crate::json::{RawJson, Writer};
use crate::loss::Losses;

/// Reads a whole answer.
///
/// # Errors
/// The document is not an answer of this dialect: also if it says that the answer has failed (`ERROR`, `TIMEOUT`), or is an
/// error document.
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let native = object.take_string("finish_reason")?;
    if stop::failure(native.as_deref()).is_some() {
        return Err(DecodeError::new(
            "finish_reason",
            "the provider says that the answer has failed",
        ));
    }
    let id = object.take_string("id")?.unwrap_or_default();
    let Some(message) = object
        .take_some("message")
        .filter(|raw| raw.get().starts_with('{'))
    else {
        return Err(DecodeError::new("message", "is missing; an object is required"));
    };
    let (mut message, mut message_nulls) = open(message.get(), "message")?;
    if message
        .peek("role")
        .is_some_and(|raw| raw.get() == "\"assistant\"")
    {
        message.take("role");
    }
    let mut parts = Vec::new();
    parts.extend(take_plan(&mut message)?);
    let is_list = says(&message, "content");
    if is_list {
        parts.extend(content::take(&mut message, &mut message_nulls)?.0);
    }
    tools::take_calls(&mut message, &id, &mut parts)?;
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let counts = match object.take_some("usage") {
        Some(raw) => usage::read(&RawJson::from(raw)),
        None => None,
    };
    let items = object.peek("logprobs").and_then(|raw| {
        let items: Vec<Raw<'_>> = serde_json::from_str(raw.get()).ok()?;
        logprobs::decode(&items).filter(|_| !items.is_empty())
    });
    if items.is_some() {
        object.take("logprobs");
    }
    Ok(Response {
        origin: Dialect::CohereChat,
        id,
        // The answer does not name it.
        model: String::new(),
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            stop: stop::decode(native, has_calls),
            logprobs: items,
            ext: Ext::default(),
            message_ext: leftover(message, message_nulls),
        }],
        usage: counts,
        service_tier: None,
        ext: leftover(object, nulls),
    })
}

/// Writes a whole answer for a client of this dialect. What cannot be said here is in `losses`.
pub fn encode_response(response: &Response, losses: &mut Losses) -> Vec<u8> {
    let own = response.origin == Dialect::CohereChat;
    if !own {
        report_losses(response, losses);
    }
    let choice = response.choices.first();
    let mut out = Vec::with_capacity(1024);
    Writer::new(&mut out).object(|w| {
        w.key("id").string(&response.id);
        let converted;
        let parts: &[Part] = match choice {
            Some(choice) if own => &choice.parts,
            Some(choice) => {
                converted = convert_parts(response, choice, losses);
                &converted
            }
            None => &[],
        };
        let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        if let Some(choice) = choice {
            let word = stop::word(&choice.stop, has_calls, response.origin, losses);
            w.optional_string("finish_reason", word);
        } else {
            w.key("finish_reason").string("COMPLETE");
        }
        w.key("message")
            .object(|w| write_message(w, parts, choice.filter(|_| own)));
        if let Some(counts) = &response.usage {
            w.key("usage");
            usage::encode(w, counts, response.origin);
        }
        if let Some(raw) = choice.and_then(|choice| choice.logprobs.as_ref())
            && !logprobs::is_empty(raw)
        {
            w.key("logprobs");
            logprobs::encode(w, raw);
        }
        if own {
            w.ext(&response.ext);
        }
    });
    out
}

/// Writes the members of the message; `own` is the choice if it came in this dialect.
fn write_message(w: &mut Writer<'_>, parts: &[Part], own: Option<&Choice>) {
    let rest = own.map(|choice| &choice.message_ext);
    if rest.is_none_or(|rest| rest.get("role").is_none()) {
        w.key("role").string("assistant");
    }
    let content = || parts.iter().filter(|part| content::is_content(part));
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    if content().next().is_some() {
        content::write(w, content(), ContentForm::List);
    } else if own.is_none() && !has_calls {
        // Clients look for a first piece of content.
        w.key("content")
            .array(|w| content::write_part(w, &content::plain(String::new())));
    }
    write_plan_and_calls(w, parts.iter(), own.is_some());
    if let Some(rest) = rest {
        w.ext(rest);
    }
}

fn report_losses(response: &Response, losses: &mut Losses) {
    foreign::report(&response.ext, Place::Answer, response.origin, "", losses);
    for (i, choice) in response.choices.iter().enumerate() {
        if i > 0 {
            losses.dropped(
                crate::path::item("choices", i),
                "the dialect has one answer; only the first is written",
            );
            continue;
        }
        for (ext, path) in [
            (&choice.ext, "choices[0]"),
            (&choice.message_ext, "choices[0].message"),
        ] {
            foreign::report(ext, Place::Answer, response.origin, path, losses);
        }
    }
    if let Some(counts) = &response.usage {
        usage::report_losses(counts, losses);
    }
}

/// The parts of an answer of another dialect, as this one says them.
fn convert_parts(response: &Response, choice: &Choice, losses: &mut Losses) -> Vec<Part> {
    let mut converted = Vec::with_capacity(choice.parts.len());
    let mut calls = 0;
    for (i, part) in choice.parts.iter().enumerate() {
        let path = format!("choices[0].message.parts[{i}]");
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                foreign::report(&text.ext, Place::Answer, response.origin, &path, losses);
                if !text.text.is_empty() {
                    if calls > 0 {
                        losses.approximated(path, "text after a tool call moves before it");
                    }
                    converted.push(Part::Text(Text {
                        text: text.text.clone(),
                        ..Text::default()
                    }));
                }
            }
            Part::Reasoning(reasoning) => {
                converted.push(convert_reasoning(reasoning, response, &path, losses))
            }
            Part::ToolCall(call) => {
                foreign::report(&call.ext, Place::Answer, response.origin, &path, losses);
                converted.push(Part::ToolCall(convert_call(
                    call,
                    &response.id,
                    calls,
                    &path,
                    losses,
                )));
                calls += 1;
            }
            Part::Media(_) => losses.dropped(path, "answers of this dialect hold text only"),
            Part::ToolResult(_) => losses.dropped(path, "answers of this dialect hold no tool results"),
            Part::Opaque { .. } => {
                losses.dropped(path, "only the provider's own dialect has this kind of content");
            }
        }
    }
    converted
}

/// Reasoning of another maker goes as thinking with our envelope, so that it is recognised when it comes back.
fn convert_reasoning(reasoning: &Reasoning, response: &Response, path: &str, losses: &mut Losses) -> Part {
    if reasoning.origin == Some(Dialect::CohereChat) {
        return Part::Reasoning(Reasoning {
            ext: Ext::default(),
            ..reasoning.clone()
        });
    }
    foreign::report(&reasoning.ext, Place::Answer, response.origin, path, losses);
    content::enveloped(reasoning, response.origin, &response.model)
}

/// A call of another dialect. Arguments are text here too, whatever they are.
fn convert_call(call: &ToolCall, answer: &str, number: usize, path: &str, losses: &mut Losses) -> ToolCall {
    if call.kind == ToolCallKind::Custom {
        losses.rejected(path, "calls of free-text tools cannot be expressed");
    }
    ToolCall {
        id: if call.id.is_empty() {
            ids::made(answer, number, &call.name)
        } else {
            call.id.clone()
        },
        name: call.name.clone(),
        arguments: if call.arguments.trim().is_empty() {
            "{}".to_owned()
        } else {
            call.arguments.clone()
        },
        ..ToolCall::default()
    }
}
