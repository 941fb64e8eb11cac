//! The turns of a request, read from `instructions` and `input`.

use crate::json::Raw;

use super::content::decode_parts;
use super::{ITEM, ORIGIN, item};
use crate::canonical::{ContentForm, DecodeError, Ext, Message, Part, Role, Text, ToolResult};
use crate::json::{Object, RawJson};
use crate::openai_chat::ext::{leftover, mark, open};

/// Takes `instructions` and `input`. An `input` that is an empty list says nothing and stays in the bag.
pub(super) fn take(object: &mut Object<'_>, ext: &mut Ext) -> Result<Vec<Message>, DecodeError> {
    let mut turns = Turns::default();
    if let Some(text) = object.take_string(INSTRUCTIONS)? {
        turns
            .messages
            .push(text_message(Role::System, text, INSTRUCTIONS));
    }
    let Some(raw) = object.take("input") else {
        return Ok(turns.messages);
    };
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text = serde_json::from_str(raw.get())
                .map_err(|error| DecodeError::new("input", format!("is not a valid string: {error}")))?;
            turns.messages.push(text_message(Role::User, text, INPUT));
        }
        Some(b'[') => {
            let list = raw
                .elements()
                .map_err(|error| DecodeError::new("input", format!("is not a valid array: {error}")))?;
            if list.is_empty() {
                ext.0.push((INPUT.to_owned(), RawJson::from(raw)));
            }
            for (i, raw) in list.iter().enumerate() {
                turns.item(*raw, &crate::path::item("input", i))?;
            }
        }
        _ => {
            let found = crate::json::kind_of(raw.get());
            return Err(DecodeError::new(
                INPUT,
                format!("expected a string or an array of items, found {found}"),
            ));
        }
    }
    Ok(turns.messages)
}

/// Marks the message that is the member of this name.
pub(crate) const INSTRUCTIONS: &str = "instructions";
/// Marks the message that is the whole `input`, as a string.
pub(crate) const INPUT: &str = "input";

fn text_message(role: Role, text: String, member: &str) -> Message {
    let mut ext = Ext::default();
    mark(&mut ext, member);
    Message {
        role,
        name: None,
        parts: parts_of_text(text),
        form: ContentForm::String,
        ext,
    }
}

fn parts_of_text(text: String) -> Vec<Part> {
    if text.is_empty() {
        return Vec::new();
    }
    vec![Part::Text(Text {
        text,
        ..Text::default()
    })]
}

/// The messages so far. Items of the model join its open turn, which anything else ends.
#[derive(Debug, Default)]
struct Turns {
    messages: Vec<Message>,
    open: bool,
}

impl Turns {
    fn item(&mut self, raw: Raw<'_>, path: &str) -> Result<(), DecodeError> {
        let (mut object, ext) = open(raw.get(), path)?;
        let kind = match object.peek("type") {
            Some(_) => object.take_string("type")?.unwrap_or_default(),
            None => "message".to_owned(),
        };
        match kind.as_str() {
            "message" if role_name(&object).as_deref() != Some("assistant") => {
                let message = decode_message(raw, path)?;
                self.push(message);
            }
            "function_call_output" => {
                let message = decode_result(object, ext)?;
                self.push(message);
            }
            "custom_tool_call_output" => {
                let mut message = decode_result(object, ext)?;
                if let Some(Part::ToolResult(result)) = message.parts.first_mut() {
                    result.ext.0.push(("type".to_owned(), RawJson::string(&kind)));
                }
                self.push(message);
            }
            "message" | "reasoning" | "mcp_list_tools" | "mcp_approval_request" => {
                self.join(item::decode(raw, path)?);
            }
            kind if kind.ends_with("_call") => self.join(item::decode(raw, path)?),
            kind => self.push(Message {
                role: Role::User,
                name: None,
                parts: vec![item::whole(kind, raw)],
                form: ContentForm::Absent,
                ext: Ext::default(),
            }),
        }
        Ok(())
    }

    fn push(&mut self, message: Message) {
        self.open = false;
        self.messages.push(message);
    }

    /// Adds an item of the model to its open turn. A message behind a message is a turn of its own, unless calls wait for
    /// their results: those must follow the turn that made them.
    fn join(&mut self, parts: Vec<Part>) {
        let begins = |part: &Part| matches!(part, Part::Text(text) | Part::Refusal(text) if text.ext.get(ITEM).is_some());
        let is_message = parts.first().is_some_and(begins);
        if let Some(turn) = self.messages.last_mut().filter(|_| self.open) {
            let spoken = turn.parts.iter().any(begins);
            let called = turn.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
            if called || !(is_message && spoken) {
                turn.parts.extend(parts);
                return;
            }
        }
        self.messages.push(Message {
            role: Role::Assistant,
            name: None,
            parts,
            form: ContentForm::List,
            ext: Ext::default(),
        });
        self.open = true;
    }
}

fn role_name(object: &Object<'_>) -> Option<String> {
    serde_json::from_str(object.peek("role")?.get()).ok()
}

/// Reads a message of anyone but the model; `type` stays in the bag, as the easy form does without.
fn decode_message(raw: Raw<'_>, path: &str) -> Result<Message, DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let name = object.require_string("role")?;
    let role = match name.as_str() {
        "user" => Role::User,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let problem = format!(
                "expected one of user, assistant, system or developer, found {}",
                RawJson::string(other).text()
            );
            return Err(DecodeError::new(object.path_of("role"), problem));
        }
    };
    let (parts, form) = take_content(&mut object, "content", role)?;
    Ok(Message {
        role,
        name: None,
        parts,
        form,
        ext: leftover(object, nulls),
    })
}

/// Takes content: a string or a list of parts.
fn take_content(
    object: &mut Object<'_>,
    member: &str,
    role: Role,
) -> Result<(Vec<Part>, ContentForm), DecodeError> {
    let path = object.path_of(member);
    let Some(raw) = object.peek(member) else {
        return Err(DecodeError::new(
            path,
            "is missing; a string or an array of parts is required",
        ));
    };
    if raw.get().starts_with('[') {
        let list = object.take_array(member)?.unwrap_or_default();
        return Ok((decode_parts(&list, role, &path)?, ContentForm::List));
    }
    let text: Option<String> = object.take_as(member, "a string or an array of parts")?;
    Ok((parts_of_text(text.unwrap_or_default()), ContentForm::String))
}

fn decode_result(mut object: Object<'_>, nulls: Ext) -> Result<Message, DecodeError> {
    let call_id = object.require_string("call_id")?;
    let (content, form) = take_content(&mut object, "output", Role::Tool)?;
    Ok(Message {
        role: Role::Tool,
        name: None,
        parts: vec![Part::ToolResult(ToolResult {
            call_id,
            content,
            form,
            is_error: None,
            cache: None,
            ext: leftover(object, nulls),
        })],
        form: ContentForm::List,
        ext: Ext::default(),
    })
}

/// Whether an opaque part is an item of its own, not one of a message's parts.
pub(super) fn is_item(message: &Message, part: &Part) -> bool {
    let Part::Opaque { dialect, .. } = part else {
        return false;
    };
    *dialect == ORIGIN && (message.role == Role::Assistant || message.form == ContentForm::Absent)
}
