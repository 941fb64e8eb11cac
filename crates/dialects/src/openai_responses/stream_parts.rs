//! The open messages, texts, reasoning and calls of a streamed answer, written event by event.

use super::ORIGIN;
use super::item::{CONTENT, SUMMARY, arguments_member};
use super::write_item::{PIECE, call_kind, write_own_reasoning};
use super::write_stream::{Frames, Place, array_of, push_value, single};
use crate::canonical::{Ext, Reasoning, ToolCall};
use crate::envelope;
use crate::json::{Object, RawJson, Writer};
use crate::openai_chat::ext::{inner, without};

fn members_of(raw: &RawJson) -> Ext {
    Object::parse(raw.text(), "")
        .map(Object::into_ext)
        .unwrap_or_default()
}

fn set(ext: &mut Ext, name: &str, raw: RawJson) {
    match ext.0.iter_mut().find(|(key, _)| key == name) {
        Some((_, value)) => *value = raw,
        None => ext.0.push((name.to_owned(), raw)),
    }
}

/// A message that is open.
#[derive(Debug, Default)]
pub(super) struct MessageState {
    place: Place,
    /// The members of the item, but for its content; `None` for an answer of another dialect.
    meta: Option<Ext>,
    /// Its finished parts.
    content: Vec<u8>,
    parts: u64,
    /// How many of its parts are open.
    pub(super) open_parts: usize,
}

impl MessageState {
    /// Begins a message: with its own members, or with a made id.
    pub(super) fn begin(
        meta: Option<Ext>,
        made_id: String,
        output_index: usize,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) -> Self {
        let own_id = meta.as_ref().and_then(|meta| meta.get("id")?.as_string());
        let message = MessageState {
            place: Place {
                item_id: own_id.unwrap_or(made_id),
                output_index,
            },
            meta,
            ..MessageState::default()
        };
        frames.event(out, "response.output_item.added", |w| {
            w.key("output_index").number(output_index as u64);
            w.key("item");
            message.write(w, "in_progress");
        });
        message
    }

    fn write(&self, w: &mut Writer<'_>, status: &str) {
        w.object(|w| {
            if self.meta.is_none() {
                w.key("id").string(&self.place.item_id);
                w.key("type").string("message");
                w.key("status").string(status);
            }
            w.key("role").string("assistant");
            w.key("content").raw(&array_of(&self.content));
            if let Some(meta) = &self.meta {
                w.ext(&without(meta, &["content"]));
            }
        });
    }

    /// The item as it ended.
    pub(super) fn finish(self, status: &str) -> Vec<u8> {
        let mut item = Vec::new();
        self.write(&mut Writer::new(&mut item), status);
        item
    }
}

/// A text or refusal that is open.
#[derive(Debug)]
pub(super) struct TextState {
    pub(super) place: Place,
    content_index: u64,
    refusal: bool,
    text: String,
    annotations: Vec<u8>,
    annotation_count: u64,
    logprobs: Vec<u8>,
    ext: Ext,
}

impl TextState {
    pub(super) fn begin(
        refusal: bool,
        ext: Ext,
        message: &mut MessageState,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) -> Self {
        let text = TextState {
            place: message.place.clone(),
            content_index: message.parts,
            refusal,
            text: String::new(),
            annotations: Vec::new(),
            annotation_count: 0,
            logprobs: Vec::new(),
            ext,
        };
        message.parts += 1;
        message.open_parts += 1;
        frames.event(out, "response.content_part.added", |w| {
            text.write_place(w);
            w.key("part");
            text.write_part(w, message.meta.is_some());
        });
        text
    }

    fn write_place(&self, w: &mut Writer<'_>) {
        self.place.write(w);
        w.key("content_index").number(self.content_index);
    }

    fn write_part(&self, w: &mut Writer<'_>, own: bool) {
        w.object(|w| {
            if self.refusal {
                w.key("type").string("refusal");
                w.key("refusal").string(&self.text);
                w.ext(&self.ext);
                return;
            }
            w.key("type").string("output_text");
            for (name, list) in [("annotations", &self.annotations), ("logprobs", &self.logprobs)] {
                if !own || !list.is_empty() || self.ext.get(name).is_some() {
                    w.key(name).raw(&array_of(list));
                }
            }
            w.key("text").string(&self.text);
            w.ext(&without(&self.ext, &["annotations", "logprobs"]));
        });
    }

    pub(super) fn delta(
        &mut self,
        piece: &str,
        logprobs: Option<&RawJson>,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) {
        self.text.push_str(piece);
        if let Some(tokens) = logprobs {
            let tokens = tokens.text();
            let tokens = tokens.get(1..tokens.len() - 1).unwrap_or_default();
            if !tokens.is_empty() {
                push_value(&mut self.logprobs, tokens.as_bytes());
            }
        }
        let kind = if self.refusal {
            "response.refusal.delta"
        } else {
            "response.output_text.delta"
        };
        frames.event(out, kind, |w| {
            self.write_place(w);
            w.key("delta").string(piece);
            if !self.refusal {
                w.key("logprobs");
                match logprobs {
                    Some(tokens) => w.raw(tokens),
                    None => w.array(|_| {}),
                }
            }
        });
    }

    /// Takes members that only this dialect knows; new annotations have an event of their own.
    pub(super) fn members(
        &mut self,
        raw: &RawJson,
        message: &mut MessageState,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) {
        let ext = members_of(raw);
        for (name, raw) in ext.0 {
            match name.as_str() {
                super::ITEM_END => message.meta = Some(members_of(&raw)),
                "annotations" => {
                    let list: Vec<crate::json::Raw<'_>> =
                        serde_json::from_str(raw.text()).unwrap_or_default();
                    for annotation in list {
                        self.annotation(annotation, frames, out);
                    }
                }
                name => set(&mut self.ext, name, raw),
            }
        }
    }

    fn annotation(&mut self, annotation: crate::json::Raw<'_>, frames: &mut Frames, out: &mut Vec<u8>) {
        frames.event(out, "response.output_text.annotation.added", |w| {
            self.write_place(w);
            w.key("annotation_index").number(self.annotation_count);
            w.key("annotation").raw(&RawJson::from(annotation));
        });
        self.annotation_count += 1;
        push_value(&mut self.annotations, annotation.get().as_bytes());
    }

    pub(super) fn finish(
        self,
        message: &mut MessageState,
        own: bool,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) {
        let (kind, member) = if self.refusal {
            ("response.refusal.done", "refusal")
        } else {
            ("response.output_text.done", "text")
        };
        // A message of this dialect may have no content at all.
        let is_empty = message
            .meta
            .as_ref()
            .and_then(|meta| meta.get("content"))
            .is_some();
        message.open_parts = message.open_parts.saturating_sub(1);
        if is_empty {
            return;
        }
        frames.event(out, kind, |w| {
            self.write_place(w);
            w.key(member).string(&self.text);
            if !self.refusal {
                w.key("logprobs").raw(&array_of(&self.logprobs));
            }
        });
        let mut part = Vec::new();
        self.write_part(&mut Writer::new(&mut part), own);
        frames.event(out, "response.content_part.done", |w| {
            self.write_place(w);
            w.key("part").raw(&single(&part));
        });
        push_value(&mut message.content, &part);
    }
}

/// Reasoning that is open.
#[derive(Debug)]
pub(super) struct ReasoningState {
    pub(super) place: Place,
    reasoning: Reasoning,
    ext: Ext,
    pub(super) proof: String,
    opened: bool,
    piece: Option<Piece>,
    /// The text of the open piece.
    text: String,
    /// The finished pieces of the summary and of the content.
    summary: Vec<u8>,
    content: Vec<u8>,
    summaries: u64,
    contents: u64,
}

/// A piece of reasoning that is open.
#[derive(Clone, Debug)]
struct Piece {
    is_content: bool,
    /// Its number among the pieces of its kind.
    index: u64,
    /// The event that told of its beginning; `None` if there was none.
    event: Option<String>,
    part: Option<RawJson>,
}

impl Piece {
    fn index_member(&self) -> &'static str {
        if self.is_content {
            "content_index"
        } else {
            "summary_index"
        }
    }

    fn text_event(&self, end: &str) -> String {
        if self.is_content {
            format!("response.reasoning_text.{end}")
        } else {
            format!("response.reasoning_summary_text.{end}")
        }
    }
}

impl ReasoningState {
    pub(super) fn new(reasoning: Reasoning, place: Place) -> Self {
        ReasoningState {
            place,
            reasoning,
            ext: Ext::default(),
            proof: String::new(),
            opened: false,
            piece: None,
            text: String::new(),
            summary: Vec::new(),
            content: Vec::new(),
            summaries: 0,
            contents: 0,
        }
    }

    /// Tells that the item begins.
    pub(super) fn open(&mut self, frames: &mut Frames, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        if let Some(id) = self.ext.get("id").and_then(RawJson::as_string) {
            self.place.item_id = id;
        }
        let own = self.reasoning.origin == Some(ORIGIN);
        frames.event(out, "response.output_item.added", |w| {
            w.key("output_index").number(self.place.output_index as u64);
            w.key("item").object(|w| {
                w.key("type").string("reasoning");
                if !own {
                    w.key("id").string(&self.place.item_id);
                    w.key(SUMMARY).array(|_| {});
                    return;
                }
                w.ext(&self.ext);
            });
        });
    }

    /// Takes members that only this dialect knows. The first of them are those the item begins with.
    pub(super) fn members(&mut self, raw: &RawJson, frames: &mut Frames, out: &mut Vec<u8>) {
        for (name, raw) in members_of(raw).0 {
            if name != PIECE {
                set(&mut self.ext, &name, raw);
                continue;
            }
            self.open(frames, out);
            if raw.text() == "null" {
                self.end_piece(frames, out);
            } else {
                self.begin_piece(&raw, frames, out);
            }
        }
        self.open(frames, out);
    }

    fn begin_piece(&mut self, how: &RawJson, frames: &mut Frames, out: &mut Vec<u8>) {
        self.end_piece(frames, out);
        let mut event = members_of(how);
        let member = how.as_string();
        let kind = event.get("type").and_then(RawJson::as_string);
        let is_content = match (&member, &kind) {
            (Some(member), _) => member == CONTENT,
            (None, Some(kind)) => kind != "response.reasoning_summary_part.added",
            (None, None) => false,
        };
        let count = if is_content {
            &mut self.contents
        } else {
            &mut self.summaries
        };
        let piece = Piece {
            is_content,
            index: *count,
            part: event.get("part").cloned(),
            event: kind,
        };
        *count += 1;
        if let Some(kind) = &piece.event {
            event.0.retain(|(name, _)| {
                !["type", "sequence_number", "item_id", "output_index"].contains(&name.as_str())
                    && name != piece.index_member()
            });
            frames.event(out, kind, |w| {
                self.place.write(w);
                w.key(piece.index_member()).number(piece.index);
                w.ext(&event);
            });
        }
        self.text.clear();
        self.piece = Some(piece);
    }

    fn end_piece(&mut self, frames: &mut Frames, out: &mut Vec<u8>) {
        let Some(piece) = self.piece.take() else { return };
        frames.event(out, &piece.text_event("done"), |w| {
            self.place.write(w);
            w.key(piece.index_member()).number(piece.index);
            w.key("text").string(&self.text);
        });
        // As it began, but with its text.
        let began = inner(
            &Ext(piece
                .part
                .map(|part| ("part".to_owned(), part))
                .into_iter()
                .collect()),
            "part",
        );
        let mut part = Vec::new();
        Writer::new(&mut part).object(|w| {
            match began.get("type") {
                Some(kind) => w.key("type").raw(kind),
                None if piece.is_content => w.key("type").string("reasoning_text"),
                None => w.key("type").string("summary_text"),
            }
            w.key("text").string(&self.text);
            w.ext(&without(&began, &["type", "text"]));
        });
        if let Some(kind) = &piece.event {
            let kind = kind.strip_suffix(".added").unwrap_or(kind);
            frames.event(out, &format!("{kind}.done"), |w| {
                self.place.write(w);
                w.key(if piece.is_content {
                    "content_index"
                } else {
                    "summary_index"
                })
                .number(piece.index);
                w.key("part").raw(&single(&part));
            });
        }
        push_value(
            if piece.is_content {
                &mut self.content
            } else {
                &mut self.summary
            },
            &part,
        );
        self.text.clear();
    }

    pub(super) fn delta(&mut self, text: &str, own: bool, frames: &mut Frames, out: &mut Vec<u8>) {
        self.open(frames, out);
        if self.piece.is_none() {
            // What separates pieces of this dialect is told only where pieces are one text.
            if own {
                return;
            }
            let part = RawJson::object(&Ext(vec![
                (
                    "type".to_owned(),
                    RawJson::string("response.reasoning_summary_part.added"),
                ),
                (
                    "part".to_owned(),
                    RawJson::object(&Ext(vec![
                        ("type".to_owned(), RawJson::string("summary_text")),
                        ("text".to_owned(), RawJson::string("")),
                    ])),
                ),
            ]));
            self.begin_piece(&part, frames, out);
        }
        let Some(piece) = &self.piece else { return };
        self.text.push_str(text);
        frames.event(out, &piece.text_event("delta"), |w| {
            self.place.write(w);
            w.key(piece.index_member()).number(piece.index);
            w.key("delta").string(text);
        });
    }

    /// The item as it ended; of another maker's it holds our envelope.
    pub(super) fn finish(
        mut self,
        own: bool,
        model: &str,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) -> Vec<u8> {
        self.end_piece(frames, out);
        let proof = Some(std::mem::take(&mut self.proof)).filter(|proof| !proof.is_empty());
        let mut item = Vec::new();
        let w = &mut Writer::new(&mut item);
        let mut ext = self.ext;
        if own {
            for (name, pieces) in [(SUMMARY, &self.summary), (CONTENT, &self.content)] {
                if !pieces.is_empty() {
                    set(&mut ext, name, array_of(pieces));
                }
            }
            write_own_reasoning(
                w,
                &Reasoning {
                    signature: proof,
                    ext,
                    ..self.reasoning
                },
            );
            return item;
        }
        let origin = self.reasoning.origin.unwrap_or(ORIGIN);
        self.reasoning.signature = proof;
        let envelope = envelope::seal(&self.reasoning, origin, model);
        w.object(|w| {
            w.key("id").string(&self.place.item_id);
            w.key("type").string("reasoning");
            w.key(SUMMARY).raw(&array_of(&self.summary));
            w.key("encrypted_content").string(&envelope);
        });
        item
    }
}

/// A call that is open.
#[derive(Debug)]
pub(super) struct CallState {
    pub(super) place: Place,
    call: ToolCall,
    /// Whether the arguments were told as a whole.
    told: bool,
}

impl CallState {
    pub(super) fn begin(
        call: ToolCall,
        output_index: usize,
        with_status: bool,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) -> Self {
        let id = call.ext.get("id").and_then(RawJson::as_string);
        let state = CallState {
            place: Place {
                item_id: id.unwrap_or_else(|| call.id.clone()),
                output_index,
            },
            call,
            told: false,
        };
        frames.event(out, "response.output_item.added", |w| {
            w.key("output_index").number(output_index as u64);
            w.key("item");
            state.write(w, with_status.then_some("in_progress"));
        });
        state
    }

    fn write(&self, w: &mut Writer<'_>, status: Option<&str>) {
        let call = &self.call;
        w.object(|w| {
            w.key("type").string(call_kind(call.kind));
            w.optional_string("status", status);
            w.key("call_id").string(&call.id);
            w.key("name").string(&call.name);
            w.key(arguments_member(call.kind)).string(&call.arguments);
            w.ext(&call.ext);
        });
    }

    fn event(&self, end: &str) -> String {
        let kind = match arguments_member(self.call.kind) {
            "input" => "response.custom_tool_call_input",
            _ => "response.function_call_arguments",
        };
        format!("{kind}.{end}")
    }

    pub(super) fn delta(&mut self, piece: &str, frames: &mut Frames, out: &mut Vec<u8>) {
        self.call.arguments.push_str(piece);
        frames.event(out, &self.event("delta"), |w| {
            self.place.write(w);
            w.key("delta").string(piece);
        });
    }

    /// Takes members that only this dialect knows.
    pub(super) fn members(&mut self, raw: &RawJson, frames: &mut Frames, out: &mut Vec<u8>) {
        for (name, raw) in members_of(raw).0 {
            if name == PIECE {
                self.end_arguments(frames, out);
            } else {
                set(&mut self.call.ext, &name, raw);
            }
        }
    }

    /// Tells the arguments as a whole, once.
    fn end_arguments(&mut self, frames: &mut Frames, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        frames.event(out, &self.event("done"), |w| {
            self.place.write(w);
            w.key(arguments_member(self.call.kind))
                .string(&self.call.arguments);
        });
    }

    pub(super) fn finish(
        mut self,
        is_foreign: bool,
        status: &str,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) -> Vec<u8> {
        if is_foreign && self.call.arguments.is_empty() && arguments_member(self.call.kind) == "arguments" {
            self.call.arguments = "{}".to_owned();
        }
        self.end_arguments(frames, out);
        let mut item = Vec::new();
        self.write(&mut Writer::new(&mut item), is_foreign.then_some(status));
        item
    }
}
