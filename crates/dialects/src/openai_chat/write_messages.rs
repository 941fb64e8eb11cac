//! Writing the turns of a request.
//!
//! Turns that came in this dialect are written as they came. Turns of another dialect are taken apart: tool results become
//! messages of their own, before anything else the user says; media in them move to the user's message, because tool
//! messages hold text only; reasoning of another maker is left out, never told as text.

use std::borrow::Cow;

use super::content::{address_of, stands_in_content, write_own_part, write_thinking};
use super::ext::{is_marked, without};
use super::{reasoning, tools};
use crate::canonical::{
    ContentForm, Media, MediaKind, MediaSource, Message, Part, Reasoning, Request, Role, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::foreign::{self, Place};
use crate::json::Writer;
use crate::names::{Member, Names};
use crate::{Capabilities, Dialect, Losses};

/// Writes the elements of `messages`.
pub(super) fn write(w: &mut Writer<'_>, request: &Request, capabilities: &Capabilities, losses: &mut Losses) {
    if request.origin == Dialect::OpenaiChat {
        request
            .messages
            .iter()
            .for_each(|message| write_own(w, message, losses));
        return;
    }
    let names = Names::new(request);
    for (i, message) in request.messages.iter().enumerate() {
        // Anthropic's `system` may be an empty list, which says nothing.
        if message.role == Role::System && message.parts.is_empty() {
            continue;
        }
        write_foreign(w, message, names, i, losses);
    }
    if let (Some(last), false) = (request.messages.last(), capabilities.assistant_prefill)
        && last.role == Role::Assistant
    {
        let path = names.message(request.messages.len() - 1);
        losses.approximated(path, "a begun answer is taken as an earlier turn");
    }
}

fn role_name(message: &Message) -> &'static str {
    match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool if is_marked(&message.ext, "role") => "function",
        Role::Tool => "tool",
    }
}

fn write_own(w: &mut Writer<'_>, message: &Message, losses: &mut Losses) {
    for part in &message.parts {
        if let Part::Opaque { dialect, kind, .. } = part
            && *dialect != Dialect::OpenaiChat
        {
            losses.rejected(format!("messages[].content.{kind}"), "belongs to another API");
        }
    }
    w.object(|w| {
        w.key("role").string(role_name(message));
        w.optional_string("name", message.name.as_deref());
        let result = message.parts.iter().find_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        });
        if let Some(result) = result {
            if message.role == Role::Tool
                && !is_marked(&message.ext, "role")
                && !is_marked(&message.ext, "tool_call_id")
            {
                w.key("tool_call_id").string(&result.call_id);
            }
            write_own_content(w, &result.content, result.form);
        } else {
            write_own_content(w, &message.parts, message.form);
        }
        write_own_tail(w, &message.parts, message.form == ContentForm::List);
        w.ext(&without(&message.ext, &["role", "tool_call_id"]));
    });
}

/// Whether a part stands in the content list (or is the content string).
pub(super) fn is_content(part: &Part) -> bool {
    match part {
        Part::Text(_) | Part::Media(_) => true,
        Part::Reasoning(reasoning) => stands_in_content(reasoning),
        Part::Opaque { dialect, kind, .. } => {
            *dialect == Dialect::OpenaiChat && !kind.starts_with(tools::OPAQUE_CALL)
        }
        Part::Refusal(_) | Part::ToolCall(_) | Part::ToolResult(_) => false,
    }
}

/// Writes `content` the way it was written, as far as the parts fit that way.
pub(super) fn write_own_content(w: &mut Writer<'_>, parts: &[Part], form: ContentForm) {
    let in_list = form == ContentForm::List;
    let content: Vec<&Part> = parts
        .iter()
        .filter(|part| is_content(part) || in_list && matches!(part, Part::Refusal(_)))
        .collect();
    match (content.as_slice(), form) {
        ([], ContentForm::Absent) => {}
        ([], ContentForm::Null) => w.key("content").null(),
        ([], ContentForm::String) => w.key("content").string(""),
        ([Part::Text(text)], ContentForm::String | ContentForm::Null | ContentForm::Absent) => {
            w.key("content").string(&text.text);
        }
        (parts, _) => w
            .key("content")
            .array(|w| parts.iter().for_each(|part| write_own_part(w, part))),
    }
}

/// Writes what stands beside `content` in an assistant message. A refusal may also stand in a content list.
pub(super) fn write_own_tail(w: &mut Writer<'_>, parts: &[Part], refusal_in_list: bool) {
    reasoning::write_own(w, parts);
    for part in parts {
        if let (Part::Refusal(text), false) = (part, refusal_in_list) {
            w.key("refusal").string(&text.text);
        }
    }
    write_calls(w, parts, true);
}

/// Writes `tool_calls` and `function_call`.
pub(super) fn write_calls(w: &mut Writer<'_>, parts: &[Part], own: bool) {
    let listed = |part: &&Part| match part {
        Part::ToolCall(call) => call.kind != ToolCallKind::LegacyFunction,
        Part::Opaque { dialect, kind, .. } => {
            *dialect == Dialect::OpenaiChat && kind.starts_with(tools::OPAQUE_CALL)
        }
        _ => false,
    };
    if parts.iter().any(|part| listed(&part)) {
        w.key("tool_calls").array(|w| {
            for part in parts.iter().filter(listed) {
                match part {
                    Part::ToolCall(call) => tools::write_call(w, call, own),
                    Part::Opaque { raw, .. } => w.raw(raw),
                    _ => {}
                }
            }
        });
    }
    for part in parts {
        if let Part::ToolCall(call) = part
            && call.kind == ToolCallKind::LegacyFunction
        {
            w.key("function_call");
            tools::write_function_call(w, call, own);
        }
    }
}

fn write_foreign(w: &mut Writer<'_>, message: &Message, names: Names<'_>, at: usize, losses: &mut Losses) {
    let path = names.message(at);
    foreign::report(&message.ext, Place::Message, names.origin(), &path, losses);
    match message.role {
        Role::Assistant => write_foreign_assistant(w, message, names, at, losses),
        _ => write_foreign_speech(w, message, names, at, losses),
    }
}

/// Writes what anyone but the model says: first the tool results, then the rest.
fn write_foreign_speech(
    w: &mut Writer<'_>,
    message: &Message,
    names: Names<'_>,
    at: usize,
    losses: &mut Losses,
) {
    let is_instruction = matches!(message.role, Role::System | Role::Developer);
    let mut pieces = Vec::new();
    let mut results = 0;
    for (i, part) in message.parts.iter().enumerate() {
        if let Part::ToolResult(result) = part {
            results += 1;
            write_result(w, result, names, (at, i), &mut pieces, losses);
        }
    }
    for (i, part) in message.parts.iter().enumerate() {
        if matches!(part, Part::ToolResult(_)) {
            continue;
        }
        let path = names.part(at, i);
        match Piece::of(part, &path, names, losses) {
            Some(piece @ Piece::Text(_)) => pieces.push(piece),
            Some(_) if is_instruction => losses.rejected(path, "system messages hold text only"),
            piece => pieces.extend(piece),
        }
    }
    if pieces.is_empty() && results > 0 {
        return;
    }
    w.object(|w| {
        w.key("role").string(if message.role == Role::Tool {
            "user"
        } else {
            role_name(message)
        });
        w.optional_string("name", message.name.as_deref());
        w.key("content");
        write_pieces(w, &pieces);
    });
}

/// Writes a tool result as a message of its own; its media are put into `moved`, behind a line that names the call.
fn write_result<'a>(
    w: &mut Writer<'_>,
    result: &'a ToolResult,
    names: Names<'_>,
    (message, position): (usize, usize),
    moved: &mut Vec<Piece<'a>>,
    losses: &mut Losses,
) {
    let path = &names.part(message, position);
    foreign::report_cache(result.cache.as_ref(), path, losses);
    foreign::report(&result.ext, Place::ToolResult, names.origin(), path, losses);
    if result.is_error == Some(true) {
        losses.approximated(
            names.within(path, Member::ResultFailed),
            "tool messages cannot say that the tool failed",
        );
    }
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    for (i, part) in result.content.iter().enumerate() {
        let path = names.result_part(message, position, i);
        match Piece::of(part, &path, names, losses) {
            Some(piece @ Piece::Text(_)) => texts.push(piece),
            Some(piece) => {
                losses.approximated(path, "tool messages hold text only; moved to the user's message");
                media.push(piece);
            }
            None => {}
        }
    }
    if !media.is_empty() {
        moved.push(Piece::Text(Cow::Owned(format!(
            "Result of tool call {}:",
            result.call_id
        ))));
        moved.append(&mut media);
    }
    w.object(|w| {
        w.key("role").string("tool");
        w.key("tool_call_id").string(&result.call_id);
        w.key("content");
        write_pieces(w, &texts);
    });
}

fn write_foreign_assistant(
    w: &mut Writer<'_>,
    message: &Message,
    names: Names<'_>,
    at: usize,
    losses: &mut Losses,
) {
    let mut text = String::new();
    let (mut calls, mut kept, mut thinking): (Vec<Part>, Vec<Part>, Vec<&Reasoning>) = Default::default();
    for (i, part) in message.parts.iter().enumerate() {
        let path = names.part(at, i);
        match part {
            Part::ToolCall(call) => {
                foreign::report_cache(call.cache.as_ref(), &path, losses);
                foreign::report(&call.ext, Place::ToolCall, names.origin(), &path, losses);
                calls.push(Part::ToolCall(with_arguments(call)));
            }
            Part::Reasoning(reasoning) if reasoning.origin == Some(Dialect::OpenaiChat) => {
                if stands_in_content(reasoning) {
                    thinking.push(reasoning);
                } else {
                    kept.push(part.clone());
                }
            }
            Part::Reasoning(_) => losses.dropped(path, "reasoning is valid only for the maker that wrote it"),
            _ => {
                if let Some(piece) = Piece::of(part, &path, names, losses) {
                    if let Piece::Text(piece) = piece {
                        if !calls.is_empty() {
                            losses.approximated(path, "text after a tool call moves before it");
                        }
                        text.push_str(&piece);
                    } else {
                        losses.rejected(path, "assistant messages hold text only");
                    }
                }
            }
        }
    }
    w.object(|w| {
        w.key("role").string("assistant");
        w.key("content");
        if !thinking.is_empty() {
            w.array(|w| {
                thinking.iter().for_each(|reasoning| write_thinking(w, reasoning));
                if !text.is_empty() {
                    write_pieces_in_list(w, &[Piece::Text(Cow::Borrowed(&text))]);
                }
            });
        } else if text.is_empty() && !calls.is_empty() {
            w.null();
        } else {
            w.string(&text);
        }
        reasoning::write_own(w, &kept);
        write_calls(w, &calls, false);
    });
}

/// A call without arguments is an empty object here.
fn with_arguments(call: &ToolCall) -> ToolCall {
    let mut call = call.clone();
    if call.arguments.trim().is_empty() {
        call.arguments = "{}".to_owned();
    }
    call
}

/// A part of another dialect in the words of this one.
#[derive(Debug)]
enum Piece<'a> {
    Text(Cow<'a, str>),
    Image { url: String, detail: Option<&'a str> },
    Audio { data: &'a str, format: &'static str },
    File { data: String, name: &'a str },
    Uploaded(&'a str),
}

impl<'a> Piece<'a> {
    /// Translates a part, or reports why that is impossible.
    fn of(part: &'a Part, path: &str, names: Names<'_>, losses: &mut Losses) -> Option<Self> {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                foreign::report_cache(text.cache.as_ref(), path, losses);
                foreign::report(&text.ext, Place::Text, names.origin(), path, losses);
                Some(Piece::Text(Cow::Borrowed(&text.text)))
            }
            Part::Media(media) => {
                foreign::report_cache(media.cache.as_ref(), path, losses);
                foreign::report(&media.ext, Place::Media, names.origin(), path, losses);
                Piece::of_media(media, path, names, losses)
            }
            Part::Opaque { .. } => {
                losses.rejected(path, "belongs to another API");
                None
            }
            Part::Reasoning(_) => {
                losses.dropped(path, "reasoning is valid only for the maker that wrote it");
                None
            }
            Part::ToolCall(_) | Part::ToolResult(_) => {
                losses.rejected(path, "stands in a message where it has no meaning");
                None
            }
        }
    }

    fn of_media(media: &'a Media, path: &str, names: Names<'_>, losses: &mut Losses) -> Option<Self> {
        match (media.kind, &media.source) {
            // OpenAI's two dialects share their files.
            (MediaKind::Document, MediaSource::FileId(id)) if names.origin() == Dialect::OpenaiResponses => {
                Some(Piece::Uploaded(id))
            }
            (_, MediaSource::FileId(_)) => {
                losses.rejected(
                    names.within_media(path, Member::MediaSource, media),
                    "an uploaded file belongs to one provider",
                );
                None
            }
            (_, MediaSource::Opaque(_)) => {
                losses.rejected(
                    names.within_media(path, Member::MediaSource, media),
                    "this kind of source is unknown",
                );
                None
            }
            (MediaKind::Image, source @ (MediaSource::Base64 { .. } | MediaSource::Url(_))) => {
                if media.name.is_some() {
                    losses.dropped(
                        names.within_media(path, Member::MediaName, media),
                        "images have no name",
                    );
                }
                Some(Piece::Image {
                    url: address_of(source),
                    detail: media.detail.as_deref(),
                })
            }
            (MediaKind::Document, source @ MediaSource::Base64 { .. }) => {
                // A file without a name is refused.
                let name = media.name.as_deref().unwrap_or("document.pdf");
                Some(Piece::File {
                    data: address_of(source),
                    name,
                })
            }
            (MediaKind::Document, MediaSource::Url(_)) => {
                losses.rejected(
                    names.within_media(path, Member::MediaSource, media),
                    "documents are not fetched from an address",
                );
                None
            }
            (_, MediaSource::Text { data, .. }) => {
                losses.approximated(path, "a document of plain text becomes text");
                if media.name.is_some() {
                    losses.dropped(
                        names.within_media(path, Member::MediaName, media),
                        "text has no title",
                    );
                }
                Some(Piece::Text(Cow::Borrowed(data)))
            }
            (MediaKind::Audio, MediaSource::Base64 { media_type, data }) => {
                let format = match media_type.as_str() {
                    "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
                    "audio/mp3" | "audio/mpeg" => "mp3",
                    _ => {
                        losses.rejected(
                            names.within_media(path, Member::MediaSource, media),
                            "audio must be wav or mp3",
                        );
                        return None;
                    }
                };
                Some(Piece::Audio { data, format })
            }
            (MediaKind::Audio | MediaKind::Video, _) => {
                losses.rejected(path, "media of this kind cannot be sent");
                None
            }
        }
    }
}

/// Writes content: a string if it is one text, else a list.
fn write_pieces(w: &mut Writer<'_>, pieces: &[Piece<'_>]) {
    match pieces {
        [] => w.string(""),
        [Piece::Text(text)] => w.string(text),
        pieces => w.array(|w| write_pieces_in_list(w, pieces)),
    }
}

fn write_pieces_in_list(w: &mut Writer<'_>, pieces: &[Piece<'_>]) {
    for piece in pieces {
        w.object(|w| match piece {
            Piece::Text(text) => {
                w.key("type").string("text");
                w.key("text").string(text);
            }
            Piece::Image { url, detail } => {
                w.key("type").string("image_url");
                w.key("image_url").object(|w| {
                    w.key("url").string(url);
                    w.optional_string("detail", *detail);
                });
            }
            Piece::Audio { data, format } => {
                w.key("type").string("input_audio");
                w.key("input_audio").object(|w| {
                    w.key("data").string(data);
                    w.key("format").string(format);
                });
            }
            Piece::Uploaded(id) => {
                w.key("type").string("file");
                w.key("file").object(|w| w.key("file_id").string(id));
            }
            Piece::File { data, name } => {
                w.key("type").string("file");
                w.key("file").object(|w| {
                    w.key("filename").string(name);
                    w.key("file_data").string(data);
                });
            }
        });
    }
}
