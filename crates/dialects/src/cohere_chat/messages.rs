//! Reading the turns of a request, and writing them as they came.

use crate::json::Raw;

use super::bag::{leftover, open, says};
use super::content::{self, is_plan};
use super::{TOOL_PLAN, tools};
use crate::Dialect;
use crate::canonical::{ContentForm, DecodeError, Ext, Message, Part, Reasoning, Role, ToolResult};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;

/// Why reasoning of another maker is left out.
pub(super) const FOREIGN_REASONING: &str = "reasoning is valid only for the provider that wrote it";

/// Reads `messages`.
pub(super) fn decode(list: &[Raw<'_>]) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::with_capacity(list.len());
    // The calls without a result so far; a result that names none belongs to the first of them.
    let mut waiting: Vec<String> = Vec::new();
    for (i, raw) in list.iter().enumerate() {
        let path = crate::path::item("messages", i);
        let mut message = decode_message(*raw, &path)?;
        match message.role {
            Role::Tool => {
                for part in &mut message.parts {
                    if let Part::ToolResult(result) = part {
                        let answers = |id: &String| result.call_id.is_empty() || *id == result.call_id;
                        if let Some(position) = waiting.iter().position(answers) {
                            result.call_id = waiting.remove(position);
                        }
                    }
                }
            }
            _ => {
                waiting = message
                    .parts
                    .iter()
                    .filter_map(|part| match part {
                        Part::ToolCall(call) => Some(call.id.clone()),
                        _ => None,
                    })
                    .collect();
            }
        }
        messages.push(message);
    }
    Ok(messages)
}

fn decode_message(raw: Raw<'_>, path: &str) -> Result<Message, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let role = match object.require_string("role")?.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let problem = format!(
                "expected one of system, user, assistant or tool, found {}",
                RawJson::string(other).text()
            );
            return Err(DecodeError::new(object.path_of("role"), problem));
        }
    };
    let mut parts = Vec::new();
    if role == Role::Assistant {
        parts.extend(take_plan(&mut object)?);
    }
    let (content, form) = content::take(&mut object, &mut ext)?;
    if role == Role::Tool {
        parts.push(Part::ToolResult(ToolResult {
            call_id: object.take_string("tool_call_id")?.unwrap_or_default(),
            content,
            form,
            is_error: None,
            cache: None,
            ext: Ext::default(),
        }));
    } else {
        parts.extend(content);
    }
    if role == Role::Assistant {
        tools::take_calls(&mut object, path, &mut parts)?;
    }
    Ok(Message {
        role,
        name: None,
        parts,
        form,
        ext: leftover(object, ext),
    })
}

/// Takes `tool_plan`; an empty one says nothing and stays.
pub(super) fn take_plan(message: &mut Object<'_>) -> Result<Option<Part>, DecodeError> {
    if !says(message, TOOL_PLAN) {
        return Ok(None);
    }
    Ok(message.take_string(TOOL_PLAN)?.map(|text| {
        Part::Reasoning(Reasoning {
            text,
            origin: Some(Dialect::CohereChat),
            member: Some(TOOL_PLAN.to_owned()),
            ..Reasoning::default()
        })
    }))
}

/// Writes the message at `position` as it came; reasoning of another maker is left out.
pub(super) fn write_own(
    w: &mut Writer<'_>,
    message: &Message,
    position: usize,
    names: Names<'_>,
    losses: &mut Losses,
) {
    for (i, part) in message.parts.iter().enumerate() {
        if is_foreign(part) {
            losses.dropped(names.part(position, i), FOREIGN_REASONING);
        }
    }
    w.object(|w| {
        w.key("role").string(role_name(message.role));
        let result = message.parts.iter().find_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        });
        match result {
            Some(result) => {
                w.key("tool_call_id").string(&result.call_id);
                content::write(w, result.content.iter(), result.form);
            }
            None => {
                let parts = || message.parts.iter().filter(|part| !is_foreign(part));
                // The provider takes no empty lists.
                let emptied = message.form == ContentForm::List
                    && !message.parts.is_empty()
                    && !parts().any(content::is_content);
                let form = if emptied {
                    ContentForm::Absent
                } else {
                    message.form
                };
                content::write(w, parts(), form);
                write_plan_and_calls(w, parts(), true);
            }
        }
        w.ext(&message.ext);
    });
}

/// Writes what stands beside the content of an assistant message.
pub(super) fn write_plan_and_calls<'p>(
    w: &mut Writer<'_>,
    parts: impl Iterator<Item = &'p Part> + Clone,
    own: bool,
) {
    let plan: String = parts
        .clone()
        .filter_map(|part| match part {
            Part::Reasoning(reasoning) if is_plan(reasoning) => Some(reasoning.text.as_str()),
            _ => None,
        })
        .collect();
    if !plan.is_empty() {
        w.key(TOOL_PLAN).string(&plan);
    }
    let calls: Vec<_> = parts
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
        .collect();
    if !calls.is_empty() {
        w.key("tool_calls")
            .array(|w| calls.iter().for_each(|call| tools::write_call(w, call, own)));
    }
}

/// Whether a part is reasoning of another maker.
fn is_foreign(part: &Part) -> bool {
    matches!(part, Part::Reasoning(reasoning) if reasoning.origin != Some(Dialect::CohereChat))
}

/// The word for who speaks.
pub(super) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
