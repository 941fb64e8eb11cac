//! Reading the turns of a request.

use crate::json::Raw;

use super::content::decode_parts;
use super::ext::{leftover, mark, open, unmark};
use super::{reasoning, tools};
use crate::canonical::{ContentForm, DecodeError, Ext, Message, Part, Role, Text, ToolResult};
use crate::json::{Object, RawJson};

/// Reads `messages`.
pub(super) fn decode(list: &[Raw<'_>]) -> Result<Vec<Message>, DecodeError> {
    let mut legacy_calls = LegacyCalls::default();
    list.iter()
        .enumerate()
        .map(|(i, raw)| decode_message(*raw, &crate::path::item("messages", i), &mut legacy_calls))
        .collect()
}

/// Calls from before tools existed have no ids; they get one here, so that other dialects can pair call and result.
#[derive(Debug, Default)]
struct LegacyCalls {
    made: usize,
    last: String,
}

impl LegacyCalls {
    fn begin(&mut self) -> String {
        self.made += 1;
        self.last = format!("call_function_{}", self.made);
        self.last.clone()
    }
}

fn decode_message(raw: Raw<'_>, path: &str, legacy_calls: &mut LegacyCalls) -> Result<Message, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let role_name = object.require_string("role")?;
    let name = object.take_string("name")?;
    let role = match role_name.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            mark(&mut ext, "role");
            Role::Tool
        }
        other => {
            let problem = format!(
                "expected one of system, developer, user, assistant, tool or function, found {}",
                RawJson::string(other).text()
            );
            return Err(DecodeError::new(object.path_of("role"), problem));
        }
    };
    let mut parts = if role == Role::Assistant {
        reasoning::take(&mut object)
    } else {
        Vec::new()
    };
    let (content, form) = take_content(&mut object, &mut ext)?;
    match role {
        Role::Tool => {
            let call_id = if role_name == "function" {
                legacy_calls.last.clone()
            } else {
                object.take_string("tool_call_id")?.unwrap_or_else(|| {
                    mark(&mut ext, "tool_call_id");
                    String::new()
                })
            };
            parts.push(Part::ToolResult(ToolResult {
                call_id,
                content,
                form,
                is_error: None,
                cache: None,
                ext: Ext::default(),
            }));
        }
        Role::Assistant => {
            parts.extend(content);
            take_refusal(&mut object, &mut parts)?;
            take_calls(&mut object, &mut parts, tools::decode_call)?;
            if let Some(call) = take_function_call(&mut object, || legacy_calls.begin())? {
                parts.push(call);
            }
        }
        Role::System | Role::Developer | Role::User => parts.extend(content),
    }
    Ok(Message {
        role,
        name,
        parts,
        form,
        ext: leftover(object, ext),
    })
}

/// Takes `content`: a string, a list of parts, `null` or nothing.
fn take_content(object: &mut Object<'_>, nulls: &mut Ext) -> Result<(Vec<Part>, ContentForm), DecodeError> {
    if unmark(nulls, "content") {
        return Ok((Vec::new(), ContentForm::Null));
    }
    let Some(raw) = object.take("content") else {
        return Ok((Vec::new(), ContentForm::Absent));
    };
    let path = object.path_of("content");
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(raw.get())
                .map_err(|error| DecodeError::new(path, format!("is not a valid string: {error}")))?;
            let parts = if text.is_empty() {
                Vec::new()
            } else {
                vec![Part::Text(Text {
                    text,
                    ..Text::default()
                })]
            };
            Ok((parts, ContentForm::String))
        }
        Some(b'[') => {
            let list = raw
                .elements()
                .map_err(|error| DecodeError::new(path.clone(), format!("is not a valid array: {error}")))?;
            Ok((decode_parts(&list, &path)?, ContentForm::List))
        }
        _ => {
            let found = crate::json::kind_of(raw.get());
            Err(DecodeError::new(
                path,
                format!("expected a string or an array of parts, found {found}"),
            ))
        }
    }
}

/// Takes the `refusal` of an assistant message; an empty one says nothing and stays.
pub(super) fn take_refusal(message: &mut Object<'_>, parts: &mut Vec<Part>) -> Result<(), DecodeError> {
    if message.peek("refusal").is_some_and(|raw| raw.get() != "\"\"")
        && let Some(text) = message.take_string("refusal")?
    {
        parts.push(Part::Refusal(Text {
            text,
            ..Text::default()
        }));
    }
    Ok(())
}

/// Takes the `tool_calls` of an assistant message, each read by `decode`; an empty list says nothing and stays.
pub(super) fn take_calls(
    message: &mut Object<'_>,
    parts: &mut Vec<Part>,
    decode: fn(Raw<'_>, &str) -> Result<Part, DecodeError>,
) -> Result<(), DecodeError> {
    if message
        .peek("tool_calls")
        .is_none_or(|raw| RawJson::from(raw).is_blank())
    {
        return Ok(());
    }
    let path = message.path_of("tool_calls");
    for (i, raw) in message
        .take_array("tool_calls")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        parts.push(decode(raw, &crate::path::item(&path, i))?);
    }
    Ok(())
}

/// Takes the `function_call` of an assistant message; one without a name says nothing and stays.
pub(super) fn take_function_call(
    message: &mut Object<'_>,
    id: impl FnOnce() -> String,
) -> Result<Option<Part>, DecodeError> {
    let Some(raw) = message.peek("function_call") else {
        return Ok(None);
    };
    let unnamed = Object::parse(raw.get(), "").is_ok_and(|object| {
        object
            .peek("name")
            .is_none_or(|name| RawJson::from(name).is_blank())
    });
    if unnamed {
        return Ok(None);
    }
    message.take("function_call");
    let call = tools::decode_function_call(raw, &message.path_of("function_call"), id())?;
    Ok(Some(Part::ToolCall(call)))
}
