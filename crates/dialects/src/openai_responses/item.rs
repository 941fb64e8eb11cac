//! Items of the model, read: messages, reasoning and calls, in answers and in the history of requests alike.

use crate::json::Raw;

use super::content::decode_part;
use super::{BETWEEN_PIECES, ITEM, ORIGIN};
use crate::canonical::{DecodeError, Ext, Part, Reasoning, Role, Text, ToolCall, ToolCallKind};
use crate::envelope;
use crate::json::{Object, RawJson};
use crate::openai_chat::ext::{leftover, mark, open};
use crate::openai_chat::take_arguments;

/// Reads an item of the model into parts. One of unknown type, or with content of unknown type, stays whole.
pub(super) fn decode(raw: Raw<'_>, path: &str) -> Result<Vec<Part>, DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let kind = match object.take_string("type")? {
        Some(kind) => kind,
        // The easy form of messages.
        None if object.has("role") => return decode_message(object, nulls, raw),
        None => {
            return Err(DecodeError::new(
                object.path_of("type"),
                "is missing; a string is required",
            ));
        }
    };
    match kind.as_str() {
        "message" => {
            let mut item = Ext(vec![("type".to_owned(), RawJson::string(&kind))]);
            item.0.extend(nulls.0);
            decode_message(object, item, raw)
        }
        "reasoning" => Ok(vec![Part::Reasoning(decode_reasoning(object, nulls)?)]),
        "function_call" => Ok(vec![decode_call(object, nulls, ToolCallKind::Function)?]),
        "custom_tool_call" => Ok(vec![decode_call(object, nulls, ToolCallKind::Custom)?]),
        _ => Ok(vec![whole(kind, raw)]),
    }
}

/// An item that only this dialect understands.
pub(super) fn whole(kind: impl Into<String>, raw: Raw<'_>) -> Part {
    Part::Opaque {
        dialect: ORIGIN,
        kind: kind.into(),
        raw: RawJson::from(raw),
    }
}

/// Reads a message of the model. What belongs to the item (its id, its status) goes into the bag of the first part; there
/// `content` is `null` if it was a string, and as it was if it was empty.
fn decode_message(mut object: Object<'_>, mut item: Ext, raw: Raw<'_>) -> Result<Vec<Part>, DecodeError> {
    let path = object.path_of("content");
    object.take("role");
    let content = object.take("content");
    let mut parts = Vec::new();
    match content.map(|content| (content.get().as_bytes().first(), content)) {
        Some((Some(b'"'), content)) => {
            let text = serde_json::from_str(content.get())
                .map_err(|error| DecodeError::new(path, format!("is not a valid string: {error}")))?;
            mark(&mut item, "content");
            parts.push(Part::Text(Text {
                text,
                ..Text::default()
            }));
        }
        Some((Some(b'['), content)) => {
            let list = content
                .elements()
                .map_err(|error| DecodeError::new(path.clone(), format!("is not a valid array: {error}")))?;
            for (i, raw) in list.iter().enumerate() {
                parts.push(decode_part(*raw, Role::Assistant, &crate::path::item(&path, i))?);
            }
        }
        Some((_, text)) => {
            let found = crate::json::kind_of(text.get());
            return Err(DecodeError::new(
                path,
                format!("expected a string or an array of parts, found {found}"),
            ));
        }
        None => {}
    }
    if parts
        .iter()
        .any(|part| !matches!(part, Part::Text(_) | Part::Refusal(_)))
    {
        return Ok(vec![whole("message", raw)]);
    }
    item.0.extend(object.into_ext().0);
    if parts.is_empty() {
        item.0.push((
            "content".to_owned(),
            content.map_or_else(RawJson::null, RawJson::from),
        ));
        parts.push(Part::Text(Text::default()));
    }
    if let Some(Part::Text(text) | Part::Refusal(text)) = parts.first_mut() {
        text.ext.0.push((ITEM.to_owned(), RawJson::object(&item)));
    }
    Ok(parts)
}

/// Reads reasoning. Its text is that of the summary, or if there is none that of the content; both stay in the bag unless
/// they can be written again from the text. Our own envelope in place of a maker's proof names another maker.
pub(super) fn decode_reasoning(mut object: Object<'_>, nulls: Ext) -> Result<Reasoning, DecodeError> {
    let mut reasoning = Reasoning {
        origin: Some(ORIGIN),
        member: Some(SUMMARY.to_owned()),
        ..Reasoning::default()
    };
    let mut kept = Ext::default();
    let summary = Pieces::take(&mut object, SUMMARY, "summary_text")?;
    let content = Pieces::take(&mut object, CONTENT, "reasoning_text")?;
    let summary_missing = summary.is_none();
    let (mut text_of, mut text) = (SUMMARY, String::new());
    if let Some(pieces) = summary {
        if pieces.is_plain() {
            text = pieces.text;
        } else if pieces.count > 0 {
            kept.0.push((SUMMARY.to_owned(), pieces.raw));
            text = pieces.text;
        }
    } else if !nulls.iter().any(|(name, _)| name == SUMMARY) {
        mark(&mut kept, SUMMARY);
    }
    if let Some(pieces) = content {
        if text.is_empty() && pieces.is_plain() && (summary_missing || kept.get(SUMMARY).is_none()) {
            (text_of, text) = (CONTENT, pieces.text);
        } else {
            if text.is_empty() {
                (text_of, text) = (CONTENT, pieces.text);
            }
            kept.0.push((CONTENT.to_owned(), pieces.raw));
        }
    }
    let proof = object.take_string("encrypted_content")?;
    kept.0.extend(leftover(object, nulls).0);
    if let Some(opened) = proof.as_deref().and_then(envelope::open) {
        return Ok(Reasoning {
            text,
            ext: kept,
            ..opened
        });
    }
    reasoning.member = Some(text_of.to_owned());
    reasoning.text = text;
    reasoning.signature = proof;
    reasoning.ext = kept;
    Ok(reasoning)
}

/// The member of reasoning that holds what the model says about it.
pub(super) const SUMMARY: &str = "summary";
/// The member of reasoning that holds it as it was.
pub(super) const CONTENT: &str = "content";

/// The pieces that a summary or the content of reasoning is made of.
struct Pieces {
    raw: RawJson,
    count: usize,
    /// Whether there is nothing but texts of the usual type.
    usual: bool,
    text: String,
}

impl Pieces {
    fn take(object: &mut Object<'_>, member: &str, usual: &str) -> Result<Option<Self>, DecodeError> {
        let path = object.path_of(member);
        let Some(raw) = object.peek(member).map(RawJson::from) else {
            return Ok(None);
        };
        let Some(list) = object.take_array(member)? else {
            return Ok(None);
        };
        let mut pieces = Pieces {
            raw,
            count: list.len(),
            usual: true,
            text: String::new(),
        };
        for (i, raw) in list.into_iter().enumerate() {
            let mut piece = Object::parse(raw.get(), crate::path::item(&path, i))?;
            pieces.usual &= piece.take_string("type")?.as_deref() == Some(usual);
            let text = piece.take_string("text")?.unwrap_or_default();
            pieces.usual &= piece.into_ext().is_empty();
            if i > 0 {
                pieces.text.push_str(BETWEEN_PIECES);
            }
            pieces.text.push_str(&text);
        }
        Ok(Some(pieces))
    }

    /// Whether the pieces can be written again from their text.
    fn is_plain(&self) -> bool {
        self.usual && self.count == 1 && !self.text.is_empty()
    }
}

fn decode_call(mut object: Object<'_>, nulls: Ext, kind: ToolCallKind) -> Result<Part, DecodeError> {
    let call = take_call(&mut object, kind)?;
    Ok(Part::ToolCall(ToolCall {
        ext: leftover(object, nulls),
        ..call
    }))
}

/// Takes the members of a call that have canonical fields.
pub(super) fn take_call(object: &mut Object<'_>, kind: ToolCallKind) -> Result<ToolCall, DecodeError> {
    Ok(ToolCall {
        id: object.take_string("call_id")?.unwrap_or_default(),
        name: object.take_string("name")?.unwrap_or_default(),
        arguments: take_arguments(object, arguments_member(kind)),
        kind,
        cache: None,
        ext: Ext::default(),
    })
}

/// The member that holds what a tool is called with.
pub(super) fn arguments_member(kind: ToolCallKind) -> &'static str {
    if kind == ToolCallKind::Custom {
        "input"
    } else {
        "arguments"
    }
}
