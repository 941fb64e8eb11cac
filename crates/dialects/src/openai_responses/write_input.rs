//! `instructions` and `input`, written.
//!
//! Turns that came in this dialect are written as they came. Turns of another dialect are taken apart into items: what the
//! model said, thought and called, each in its place, and every tool result on its own.

use std::collections::HashSet;

use super::content::{is_breakpoint, text_kind, write_cache, write_file, write_image, write_own_part};
use super::ids;
use super::input::{INPUT, INSTRUCTIONS, is_item};
use super::item::arguments_member;
use super::write_item::{call_kind, is_own, write_own, write_own_reasoning};
use crate::Dialect;
use crate::canonical::{
    CacheHint, ContentForm, Ext, Media, MediaKind, MediaSource, Message, Part, Request, Role, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::foreign::{self, Place};
use crate::json::RawJson;
use crate::json::Writer;
use crate::loss::Losses;
use crate::names::{Member, Names};
use crate::openai_chat::ext::{is_marked, without};

/// Writes `instructions` and `input` of a request that came in this dialect.
pub(super) fn write_own_members(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    report_strangers(request, losses);
    let messages = match request.messages.split_first() {
        Some((first, rest)) if is_marked(&first.ext, INSTRUCTIONS) => {
            w.key(INSTRUCTIONS).string(&text_of(first));
            rest
        }
        _ => &request.messages,
    };
    match messages {
        [] => {}
        [only] if is_marked(&only.ext, INPUT) => w.key(INPUT).string(&text_of(only)),
        messages => w
            .key(INPUT)
            .array(|w| messages.iter().for_each(|message| write_own_message(w, message))),
    }
}

/// The text of a message.
pub(super) fn text_of(message: &Message) -> String {
    message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect()
}

/// Reports what other makers wrote into the history.
fn report_strangers(request: &Request, losses: &mut Losses) {
    let names = Names::new(request);
    for (i, message) in request.messages.iter().enumerate() {
        for (j, part) in message.parts.iter().enumerate() {
            match part {
                Part::Reasoning(reasoning) if !is_own(reasoning) => {
                    losses.dropped(names.part(i, j), FOREIGN_REASONING);
                }
                Part::Opaque { dialect, .. } if *dialect != Dialect::OpenaiResponses => {
                    losses.rejected(names.part(i, j), "belongs to another API");
                }
                _ => {}
            }
        }
    }
}

/// Why reasoning of another maker is left out.
const FOREIGN_REASONING: &str = "reasoning is valid only for the maker that wrote it";

fn write_own_message(w: &mut Writer<'_>, message: &Message) {
    match message.role {
        Role::Assistant => write_own(w, &message.parts),
        Role::Tool => {
            for part in &message.parts {
                if let Part::ToolResult(result) = part {
                    write_own_result(w, result);
                }
            }
        }
        role => {
            if message.parts.iter().any(|part| is_item(message, part)) {
                write_own(w, &message.parts);
                return;
            }
            w.object(|w| {
                w.key("role").string(role_name(role));
                w.key("content");
                write_own_content(w, &message.parts, message.form, role);
                w.ext(&without(&message.ext, &[INPUT, INSTRUCTIONS]));
            });
        }
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    }
}

fn write_own_content(w: &mut Writer<'_>, parts: &[Part], form: ContentForm, role: Role) {
    match (parts, form) {
        ([], ContentForm::String) => w.string(""),
        ([Part::Text(text)], ContentForm::String) => w.string(&text.text),
        (parts, _) => w.array(|w| {
            parts
                .iter()
                .for_each(|part| write_own_part(w, part, text_kind(role)));
        }),
    }
}

fn write_own_result(w: &mut Writer<'_>, result: &ToolResult) {
    w.object(|w| {
        match result.ext.get("type") {
            Some(kind) => w.key("type").raw(kind),
            None => w.key("type").string("function_call_output"),
        }
        w.key("call_id").string(&result.call_id);
        w.key("output");
        write_own_content(w, &result.content, result.form, Role::Tool);
        w.ext(&without(&result.ext, &["type"]));
    });
}

/// Writes `instructions` and `input` of a request of another dialect.
pub(super) fn write_foreign_members(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    let mut turns = Turns {
        request,
        names: Names::new(request),
        custom: HashSet::new(),
        losses,
    };
    let leading = request
        .messages
        .first()
        .filter(|first| turns.is_instruction(first));
    if let Some(instruction) = leading {
        turns.instructions(w, instruction);
    }
    w.key(INPUT).array(|w| {
        for (i, message) in request
            .messages
            .iter()
            .enumerate()
            .skip(usize::from(leading.is_some()))
        {
            turns.message(w, i, message);
        }
    });
}

struct Turns<'a, 'l> {
    request: &'a Request,
    names: Names<'a>,
    /// The calls of free-text tools so far; their results are items of another type.
    custom: HashSet<&'a str>,
    losses: &'l mut Losses,
}

impl<'a> Turns<'a, '_> {
    /// Whether the first message is an instruction that its dialect keeps apart from the others too.
    fn is_instruction(&self, first: &Message) -> bool {
        first.role == Role::System
            && self.request.origin != Dialect::OpenaiChat
            && first.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    fn instructions(&mut self, w: &mut Writer<'_>, message: &Message) {
        self.report_message(0, message);
        let mut texts = Vec::new();
        for (j, part) in message.parts.iter().enumerate() {
            if let Part::Text(text) = part {
                let path = self.names.part(0, j);
                foreign::report_cache(text.cache.as_ref(), &path, self.losses);
                foreign::report(&text.ext, Place::Text, self.request.origin, &path, self.losses);
                texts.push(text.text.as_str());
            }
        }
        let text = texts.join("\n\n");
        if !text.is_empty() {
            w.key(INSTRUCTIONS).string(&text);
        }
    }

    fn report_message(&mut self, i: usize, message: &Message) {
        let path = self.names.message(i);
        foreign::report(
            &message.ext,
            Place::Message,
            self.request.origin,
            &path,
            self.losses,
        );
        if message.name.is_some() {
            self.losses
                .dropped(format!("{path}.name"), "participants have no names");
        }
    }

    fn message(&mut self, w: &mut Writer<'_>, i: usize, message: &'a Message) {
        self.report_message(i, message);
        match message.role {
            Role::Assistant => self.model_turn(w, i, message),
            _ => self.speech(w, i, message),
        }
    }

    /// What anyone but the model says: first the tool results, then the rest.
    fn speech(&mut self, w: &mut Writer<'_>, i: usize, message: &'a Message) {
        let mut pieces = Vec::new();
        let mut results = 0;
        for (j, part) in message.parts.iter().enumerate() {
            if let Part::ToolResult(result) = part {
                results += 1;
                self.result(w, result, i, j);
            }
        }
        for (j, part) in message.parts.iter().enumerate() {
            if !matches!(part, Part::ToolResult(_)) {
                pieces.extend(self.piece(part, &self.names.part(i, j)));
            }
        }
        if pieces.is_empty() && (results > 0 || message.role == Role::System) {
            return;
        }
        w.object(|w| {
            w.key("role").string(role_name(message.role));
            w.key("content");
            write_pieces(w, &pieces, "input_text");
        });
    }

    fn result(&mut self, w: &mut Writer<'_>, result: &'a ToolResult, i: usize, j: usize) {
        let path = &self.names.part(i, j);
        foreign::report_cache(result.cache.as_ref(), path, self.losses);
        foreign::report(
            &result.ext,
            Place::ToolResult,
            self.request.origin,
            path,
            self.losses,
        );
        if result.is_error == Some(true) {
            self.losses.approximated(
                self.names.within(path, Member::ResultFailed),
                "results cannot say that the tool failed",
            );
        }
        let pieces: Vec<Piece<'_>> = result
            .content
            .iter()
            .enumerate()
            .filter_map(|(k, part)| self.piece(part, &self.names.result_part(i, j, k)))
            .collect();
        w.object(|w| {
            w.key("type")
                .string(if self.custom.contains(result.call_id.as_str()) {
                    "custom_tool_call_output"
                } else {
                    "function_call_output"
                });
            w.key("call_id").string(&result.call_id);
            w.key("output");
            write_pieces(w, &pieces, "input_text");
        });
    }

    /// A turn of the model, item by item; neighbouring texts are one message.
    fn model_turn(&mut self, w: &mut Writer<'_>, i: usize, message: &'a Message) {
        let mut texts: Vec<Piece<'_>> = Vec::new();
        let flush = |texts: &mut Vec<Piece<'_>>, w: &mut Writer<'_>| {
            if !texts.is_empty() {
                w.object(|w| {
                    w.key("role").string("assistant");
                    w.key("content");
                    write_pieces(w, texts, "output_text");
                });
                texts.clear();
            }
        };
        for (j, part) in message.parts.iter().enumerate() {
            let path = self.names.part(i, j);
            match part {
                Part::ToolCall(call) => {
                    flush(&mut texts, w);
                    self.call(w, call, &path);
                }
                Part::Reasoning(reasoning) if is_own(reasoning) => {
                    flush(&mut texts, w);
                    let mut reasoning = reasoning.clone();
                    // Other dialects do not carry the id, which the type of an item demands.
                    reasoning.ext = Ext(vec![(
                        "id".to_owned(),
                        RawJson::string(&ids::reasoning(&reasoning)),
                    )]);
                    write_own_reasoning(w, &reasoning);
                }
                Part::Reasoning(_) => self.losses.dropped(path, FOREIGN_REASONING),
                part => match self.piece(part, &path) {
                    Some(piece @ (Piece::Text { .. } | Piece::Refusal(_))) => texts.push(piece),
                    Some(_) => self.losses.rejected(path, "the model's messages hold text only"),
                    None => {}
                },
            }
        }
        flush(&mut texts, w);
    }

    fn call(&mut self, w: &mut Writer<'_>, call: &'a ToolCall, path: &str) {
        foreign::report_cache(call.cache.as_ref(), path, self.losses);
        foreign::report(&call.ext, Place::ToolCall, self.request.origin, path, self.losses);
        if call.kind == ToolCallKind::Custom {
            self.custom.insert(&call.id);
        }
        let blank = call.kind != ToolCallKind::Custom && call.arguments.trim().is_empty();
        w.object(|w| {
            w.key("type").string(call_kind(call.kind));
            w.key("call_id").string(&call.id);
            w.key("name").string(&call.name);
            w.key(arguments_member(call.kind))
                .string(if blank { "{}" } else { &call.arguments });
        });
    }

    /// Translates a part, or reports why that is impossible.
    fn piece(&mut self, part: &'a Part, path: &str) -> Option<Piece<'a>> {
        match part {
            Part::Text(text) => {
                self.report_cache(text.cache.as_ref(), path);
                self.report(&text.ext, Place::Text, path);
                if text.text.is_empty() {
                    return None;
                }
                Some(Piece::Text {
                    text: &text.text,
                    cache: text.cache.as_ref(),
                })
            }
            Part::Refusal(text) => {
                self.report(&text.ext, Place::Text, path);
                Some(Piece::Refusal(&text.text))
            }
            Part::Media(media) => {
                self.report_cache(media.cache.as_ref(), path);
                self.report(&media.ext, Place::Media, path);
                self.media(media, path)
            }
            Part::Opaque { .. } => {
                self.losses.rejected(path, "belongs to another API");
                None
            }
            Part::Reasoning(_) => {
                self.losses.dropped(path, FOREIGN_REASONING);
                None
            }
            Part::ToolCall(_) | Part::ToolResult(_) => {
                self.losses
                    .rejected(path, "stands in a message where it has no meaning");
                None
            }
        }
    }

    fn report(&mut self, ext: &Ext, place: Place, path: &str) {
        // A media address may be wrapped in an object that says nothing more.
        foreign::report(ext, place, self.request.origin, path, self.losses);
    }

    fn report_cache(&mut self, cache: Option<&CacheHint>, path: &str) {
        if !cache.is_some_and(is_breakpoint) {
            foreign::report_cache(cache, path, self.losses);
        }
    }

    fn media(&mut self, media: &'a Media, path: &str) -> Option<Piece<'a>> {
        let field = || self.names.within_media(path, Member::MediaSource, media);
        let (field, problem) = match (media.kind, &media.source) {
            // OpenAI's two dialects share their files.
            (_, MediaSource::FileId(_)) if self.request.origin != Dialect::OpenaiChat => {
                (field(), "an uploaded file belongs to one provider")
            }
            (_, MediaSource::Opaque(_)) => (field(), "this kind of source is unknown"),
            (_, MediaSource::Text { data, .. }) => {
                self.losses
                    .approximated(path, "a document of plain text becomes text");
                if media.name.is_some() {
                    self.losses.dropped(
                        self.names.within_media(path, Member::MediaName, media),
                        "text has no title",
                    );
                }
                return Some(Piece::Text {
                    text: data,
                    cache: media.cache.as_ref(),
                });
            }
            (MediaKind::Image | MediaKind::Document, _) => {
                if media.kind == MediaKind::Image && media.name.is_some() {
                    self.losses.dropped(
                        self.names.within_media(path, Member::MediaName, media),
                        "images have no name",
                    );
                }
                return Some(Piece::Media(media));
            }
            (MediaKind::Audio, _) => (path.to_owned(), "the provider takes no audio"),
            (MediaKind::Video, _) => (path.to_owned(), "the provider takes no video"),
        };
        self.losses.rejected(field, problem);
        None
    }
}

/// A part of another dialect in the words of this one.
#[derive(Debug)]
enum Piece<'a> {
    Text {
        text: &'a str,
        cache: Option<&'a CacheHint>,
    },
    Refusal(&'a str),
    Media(&'a Media),
}

/// Writes content: a string if it is one text, else a list.
fn write_pieces(w: &mut Writer<'_>, pieces: &[Piece<'_>], kind: &str) {
    match pieces {
        [] => w.string(""),
        [Piece::Text { text, cache }] if !cache.is_some_and(is_breakpoint) => w.string(text),
        pieces => w.array(|w| pieces.iter().for_each(|piece| write_piece(w, piece, kind))),
    }
}

fn write_piece(w: &mut Writer<'_>, piece: &Piece<'_>, kind: &str) {
    w.object(|w| match piece {
        Piece::Text { text, cache } => {
            w.key("type").string(kind);
            w.key("text").string(text);
            write_cache(w, *cache);
        }
        Piece::Refusal(text) if kind == "output_text" => {
            w.key("type").string("refusal");
            w.key("refusal").string(text);
        }
        Piece::Refusal(text) => {
            w.key("type").string(kind);
            w.key("text").string(text);
        }
        Piece::Media(media) => {
            if media.kind == MediaKind::Image {
                // The type of an image demands it, and "auto" is what leaving it out means.
                let detail = media.detail.as_deref().or(Some("auto"));
                write_image(w, &media.source, detail);
            } else {
                // A file's data without a name is refused.
                let needed = match media.source {
                    MediaSource::Base64 { .. } => Some("document.pdf"),
                    _ => None,
                };
                write_file(w, &media.source, media.name.as_deref().or(needed));
            }
            write_cache(w, media.cache.as_ref());
        }
    });
}
