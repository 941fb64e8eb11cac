//! Whole answers, read and written.

use crate::json::Raw;

use super::ext::{leftover, open};
use super::messages::{take_calls, take_function_call, take_refusal};
use super::stop::{self, Contains, FinishReasonStyle};
use super::write_messages::{is_content, write_calls, write_own_content, write_own_tail};
use super::{content, reasoning, tools, usage};
use crate::canonical::{Choice, ContentForm, DecodeError, Ext, Part, Response, Text, ToolCall, ToolCallKind};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::{Dialect, Losses};

/// How an answer is written where the canonical form leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseStyle {
    /// Seconds since 1970, used when the answer does not say when it was made.
    pub created_s: u64,
    /// What is written as `finish_reason`.
    pub finish_reason: FinishReasonStyle,
    /// Whether tool calls of another dialect come back as `function_call`; see
    /// [`uses_legacy_functions`](super::uses_legacy_functions).
    pub legacy_functions: bool,
}

/// Reads an answer.
///
/// # Errors
/// The body is no JSON object, `choices` is missing, or a known member has a wrong type. An error object sent with a
/// status of success is told as such; [`error_in_answer`](super::error_in_answer) reads it.
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let Some(choices) = object.take_array("choices")? else {
        let problem = if object.has("error") {
            "the provider answered with an error"
        } else {
            "is missing; an array is required"
        };
        return Err(DecodeError::new("choices", problem));
    };
    let choices = (0..)
        .zip(choices)
        .map(|(i, raw)| decode_choice(raw, i))
        .collect::<Result<_, _>>()?;
    if object.peek("object").is_some_and(|raw| raw.get() == WHOLE) {
        object.take("object");
    }
    let id = object.take_string("id")?.unwrap_or_default();
    let model = object.take_string("model")?.unwrap_or_default();
    let created = take_created(&mut object);
    let usage = take_usage(&mut object);
    let service_tier = object.take_string("service_tier")?;
    Ok(Response {
        origin: Dialect::OpenaiChat,
        id,
        model,
        created,
        choices,
        usage,
        service_tier,
        ext: leftover(object, nulls),
    })
}

/// Takes `created`, unless it is no whole number of seconds.
pub(super) fn take_created(object: &mut Object<'_>) -> Option<u64> {
    let created = serde_json::from_str(object.peek("created")?.get()).ok()?;
    object.take("created");
    Some(created)
}

/// Takes `usage`, unless it is no object.
pub(super) fn take_usage(object: &mut Object<'_>) -> Option<crate::canonical::Usage> {
    let raw = object.peek("usage").filter(|raw| raw.get().starts_with('{'))?;
    object.take("usage");
    Some(usage::decode(&RawJson::from(raw)))
}

fn decode_choice(raw: Raw<'_>, position: u64) -> Result<Choice, DecodeError> {
    let (mut object, nulls) = open(raw.get(), crate::path::item("choices", position))?;
    let index = object.take_u64("index")?.unwrap_or(position);
    let native = take_finish_reason(&mut object);
    let logprobs = object.take("logprobs").map(RawJson::from);
    // An answer that Azure's filter blocked has no message.
    let (parts, message_ext) = match object.take_object("message")? {
        Some(message) => decode_message(message)?,
        None => Default::default(),
    };
    let stop = stop::decode(native, contains(&parts));
    Ok(Choice {
        index,
        parts,
        stop,
        logprobs,
        ext: leftover(object, nulls),
        message_ext,
    })
}

/// Takes `finish_reason`; some providers write a number.
pub(super) fn take_finish_reason(object: &mut Object<'_>) -> Option<String> {
    let raw = object.take("finish_reason")?;
    Some(serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()))
}

/// What the finish reason of these parts may leave unsaid.
fn contains(parts: &[Part]) -> Contains {
    let mut contains = Contains::default();
    for part in parts {
        match part {
            Part::ToolCall(ToolCall {
                kind: ToolCallKind::LegacyFunction,
                ..
            }) => contains.legacy_call = true,
            Part::ToolCall(_) => contains.calls = true,
            Part::Refusal(_) => contains.refusal = true,
            _ => {}
        }
    }
    contains
}

/// Reads the message of an answer into parts and leftovers. Content that says nothing (`null`, `""`) stays in the bag.
pub(super) fn decode_message(mut message: Object<'_>) -> Result<(Vec<Part>, Ext), DecodeError> {
    let nulls = message.take_nulls();
    if message
        .peek("role")
        .is_some_and(|raw| raw.get() == "\"assistant\"")
    {
        message.take("role");
    }
    let mut parts = reasoning::take(&mut message);
    take_content(&mut message, &mut parts)?;
    take_refusal(&mut message, &mut parts)?;
    take_calls(&mut message, &mut parts, tools::decode_answered_call)?;
    parts.extend(take_function_call(&mut message, String::new)?);
    Ok((parts, leftover(message, nulls)))
}

fn take_content(message: &mut Object<'_>, parts: &mut Vec<Part>) -> Result<(), DecodeError> {
    let Some(raw) = message
        .peek("content")
        .filter(|raw| !RawJson::from(*raw).is_blank())
    else {
        return Ok(());
    };
    if raw.get().starts_with('[') {
        let path = message.path_of("content");
        let list = message.take_array("content")?.unwrap_or_default();
        parts.extend(content::decode_parts(&list, &path)?);
    } else if let Some(text) = message.take_as("content", "a string or an array of parts")? {
        parts.push(Part::Text(Text {
            text,
            ..Text::default()
        }));
    }
    Ok(())
}

/// Writes an answer.
///
/// An answer that came in this dialect is written as it came. What came from another dialect and cannot be said here is
/// reported in `losses`, as dropped: an answer can no longer be refused.
pub fn encode_response(response: &Response, style: &ResponseStyle, losses: &mut Losses) -> Vec<u8> {
    let own = response.origin == Dialect::OpenaiChat;
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("id").string(&response.id);
        if !own || response.ext.get("object").is_none() {
            w.key("object").string("chat.completion");
        }
        if !own || response.ext.get("created").is_none() {
            w.key("created")
                .number(response.created.unwrap_or(style.created_s));
        }
        w.key("model").string(&response.model);
        w.key("choices").array(|w| {
            for choice in &response.choices {
                write_choice(w, choice, response.origin, style, losses);
            }
        });
        if let Some(usage) = &response.usage {
            w.key("usage");
            usage::encode(w, usage, response.origin);
        }
        w.optional_string(
            "service_tier",
            service_tier(response.service_tier.as_deref(), response.origin),
        );
        if own {
            w.ext(&response.ext);
        } else {
            foreign::report(&response.ext, Place::Answer, response.origin, "", losses);
        }
    });
    out
}

/// The tier in this dialect's words.
pub(super) fn service_tier(tier: Option<&str>, origin: Dialect) -> Option<&str> {
    match (origin, tier?) {
        (Dialect::OpenaiChat, tier) => Some(tier),
        (_, "standard") => Some("default"),
        (_, tier) => Some(tier),
    }
}

fn write_choice(
    w: &mut Writer<'_>,
    choice: &Choice,
    origin: Dialect,
    style: &ResponseStyle,
    losses: &mut Losses,
) {
    let own = origin == Dialect::OpenaiChat;
    let has_refusal = choice.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let legacy = !own && style.legacy_functions;
    let mut finish = stop::encode(&choice.stop, origin, style.finish_reason, has_refusal, losses);
    if legacy && finish == Some("tool_calls") {
        finish = Some("function_call");
    }
    w.object(|w| {
        w.key("index").number(choice.index);
        w.key("message").object(|w| {
            if own {
                write_own_message(w, choice);
            } else {
                write_foreign_message(w, choice, origin, legacy, losses);
            }
        });
        if own {
            w.optional_raw("logprobs", choice.logprobs.as_ref());
        } else {
            w.key("logprobs");
            match &choice.logprobs {
                Some(raw) => w.raw(raw),
                None => w.null(),
            }
        }
        w.key("finish_reason");
        match finish {
            Some(word) => w.string(word),
            None => w.null(),
        }
        if own {
            w.ext(&choice.ext);
        } else {
            foreign::report(&choice.ext, Place::Answer, origin, "", losses);
        }
    });
}

fn write_own_message(w: &mut Writer<'_>, choice: &Choice) {
    if choice.message_ext.get("role").is_none() {
        w.key("role").string("assistant");
    }
    let content = || choice.parts.iter().filter(|part| is_content(part));
    let form = match content().count() {
        0 => ContentForm::Null,
        1 => ContentForm::String,
        _ => ContentForm::List,
    };
    let kept = choice.message_ext.get("content").is_some();
    if !(kept && form == ContentForm::Null) {
        write_own_content(w, &choice.parts, form);
    }
    write_own_tail(w, &choice.parts, false);
    if kept && form != ContentForm::Null {
        w.ext(&super::ext::without(&choice.message_ext, &["content"]));
    } else {
        w.ext(&choice.message_ext);
    }
}

fn write_foreign_message(
    w: &mut Writer<'_>,
    choice: &Choice,
    origin: Dialect,
    legacy: bool,
    losses: &mut Losses,
) {
    w.key("role").string("assistant");
    let (mut text, mut refusal) = (String::new(), None);
    let mut calls = Vec::new();
    for (i, part) in choice.parts.iter().enumerate() {
        let path = crate::path::item("content", i);
        match part {
            Part::Text(part) => {
                foreign::report(&part.ext, Place::Answer, origin, &path, losses);
                if !calls.is_empty() && !part.text.is_empty() {
                    losses.approximated(path, "text after a tool call moves before it");
                }
                text.push_str(&part.text);
            }
            Part::Refusal(part) => refusal = Some(part.text.as_str()),
            Part::ToolCall(call) => {
                foreign::report(&call.ext, Place::Answer, origin, &path, losses);
                calls.push(Part::ToolCall(as_legacy(call, legacy)));
            }
            Part::Reasoning(_) => {}
            Part::Media(_) => losses.dropped(path, "answers of this dialect hold text only"),
            Part::ToolResult(_) => losses.dropped(path, "answers of this dialect hold no tool results"),
            Part::Opaque { kind, .. } => losses.dropped(format!("{path}.{kind}"), "belongs to another API"),
        }
    }
    w.key("content");
    if text.is_empty() && (!calls.is_empty() || refusal.is_some()) {
        w.null();
    } else {
        w.string(&text);
    }
    reasoning::write_foreign(w, &choice.parts, origin);
    w.key("refusal");
    match refusal {
        Some(text) => w.string(text),
        None => w.null(),
    }
    if legacy {
        // One call is all that this form can say.
        if calls.len() > 1 {
            losses.dropped(
                "content[].tool_use",
                "a client that asks with functions gets one call",
            );
            calls.truncate(1);
        }
    }
    write_calls(w, &calls, false);
    foreign::report(&choice.message_ext, Place::Answer, origin, "", losses);
}

fn as_legacy(call: &ToolCall, legacy: bool) -> ToolCall {
    let mut call = call.clone();
    if legacy {
        call.kind = ToolCallKind::LegacyFunction;
    }
    call
}

/// The `object` of a whole answer, as JSON.
const WHOLE: &str = "\"chat.completion\"";
