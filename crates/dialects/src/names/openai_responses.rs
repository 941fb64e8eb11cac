//! Names of OpenAI Responses.
//!
//! A turn of the model is several items of the list; where one begins, its first part says so.

use super::Member;
use crate::canonical::{ContentForm, Ext, Media, MediaKind, MediaSource, Message, Part, Request, Role};
use crate::json::RawJson;
use crate::openai_responses::{INPUT, INSTRUCTIONS, ITEM, is_string};

pub(super) fn option(name: &'static str, request: &Request) -> &'static str {
    match name {
        // The older name is marked where it was used.
        "user" if !is_marked(&request.ext, "user") => "safety_identifier",
        "max_tokens" | "max_completion_tokens" => "max_output_tokens",
        "reasoning_effort" => "reasoning.effort",
        "response_format" => "text.format",
        "response_format.json_schema" => "text.format",
        "response_format.json_schema.schema" => "text.format.schema",
        "response_format.json_schema.strict" => "text.format.strict",
        "response_format.json_schema.name" => "text.format.name",
        "response_format.json_schema.description" => "text.format.description",
        "logprobs" if request.ext.get("include").is_some() => "include",
        "logprobs" => "top_logprobs",
        name => name,
    }
}

pub(super) const fn member(member: Member) -> &'static str {
    match member {
        Member::ToolName | Member::CallName => "name",
        Member::ToolSchema => "parameters",
        Member::CallArguments => "arguments",
        Member::ResultId => "call_id",
        Member::ResultFailed => "status",
        Member::MediaSource => "file_data",
        Member::MediaName => "filename",
        Member::MediaDetail => "detail",
    }
}

/// Where the bytes of a media part are.
pub(super) const fn source(media: &Media) -> &'static str {
    match (media.kind, &media.source) {
        (_, MediaSource::FileId(_)) => "file_id",
        (MediaKind::Image, _) => "image_url",
        (MediaKind::Audio | MediaKind::Video, _) => "input_audio",
        (MediaKind::Document, MediaSource::Url(_)) => "file_url",
        (MediaKind::Document, _) => "file_data",
    }
}

fn is_marked(ext: &Ext, name: &str) -> bool {
    ext.get(name).map(RawJson::text) == Some("null")
}

/// A message: a member of the request, or the first of its items in the list.
pub(super) fn message(request: &Request, message: usize) -> String {
    if let Some(found) = request.messages.get(message) {
        for member in [INSTRUCTIONS, INPUT] {
            if is_marked(&found.ext, member) {
                return member.to_owned();
            }
        }
    }
    let before = request.messages.iter().take(message);
    let items: usize = before.map(items_of).sum();
    crate::path::item("input", items)
}

fn items_of(message: &Message) -> usize {
    if is_marked(&message.ext, INSTRUCTIONS) {
        return 0;
    }
    if message.role != Role::Assistant {
        return 1;
    }
    message.parts.iter().filter(|part| begins_item(part)).count()
}

fn begins_item(part: &Part) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) => text.ext.get(ITEM).is_some(),
        _ => true,
    }
}

/// A part of a message; of a turn of the model the item, or the part within it.
pub(super) fn part(request: &Request, index: usize, part: usize) -> String {
    let path = message(request, index);
    let Some(found) = request.messages.get(index) else {
        return path;
    };
    if path == INSTRUCTIONS || path == INPUT {
        return path;
    }
    if found.role != Role::Assistant {
        return match (found.parts.get(part), found.form) {
            (Some(Part::ToolResult(_)), _) | (_, ContentForm::Absent) => path,
            (_, ContentForm::List) => format!("{path}.content[{part}]"),
            (_, ContentForm::String | ContentForm::Null) => format!("{path}.content"),
        };
    }
    let items: usize = request.messages.iter().take(index).map(items_of).sum();
    let begun = found
        .parts
        .iter()
        .take(part + 1)
        .filter(|part| begins_item(part))
        .count();
    let path = format!("input[{}]", (items + begun).saturating_sub(1));
    let Some(Part::Text(_) | Part::Refusal(_)) = found.parts.get(part) else {
        return path;
    };
    let first = found
        .parts
        .iter()
        .take(part + 1)
        .rposition(begins_item)
        .unwrap_or(part);
    match found.parts.get(first) {
        Some(Part::Text(text)) if is_string(text) => format!("{path}.content"),
        _ => format!("{path}.content[{}]", part - first),
    }
}
