//! The items of a streamed answer, read event by event into parts.
//!
//! Nothing of a text is kept: only whether any of it was told, because some vendors tell it only at the end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::Raw;

use super::item::{self, CONTENT, SUMMARY};
use super::response::wrap_logprobs;
use super::stream_reasoning::{ReasoningItem, tell_piece};
use super::{ITEM, ITEM_END};
use crate::canonical::{
    DecodeError, Delta, Event, Ext, Part, PartKind, Reasoning, Text, ToolCall, ToolCallKind,
};
use crate::json::{Object, RawJson};
use crate::openai_chat::ext::{leftover, open};

/// How many items may be open at once.
const MAX_OPEN: usize = 256;

pub(super) type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

/// The items that are open, by their `output_index`.
#[derive(Debug, Default)]
pub(super) struct Items {
    open: BTreeMap<u64, Item>,
    /// Number of the next part.
    parts: usize,
    calls: bool,
    refusal: bool,
}

#[derive(Debug)]
enum Item {
    Message(Message),
    Reasoning(ReasoningItem),
    Call {
        part: usize,
        told: bool,
        ext: Ext,
    },
    /// Only this dialect understands it.
    Opaque {
        part: usize,
    },
}

#[derive(Debug, Default)]
struct Message {
    /// What belongs to the whole item.
    meta: Ext,
    /// The part that is open.
    open: Option<OpenText>,
    /// How many parts have begun.
    begun: usize,
}

#[derive(Debug)]
struct OpenText {
    part: usize,
    refusal: bool,
    told: bool,
    annotations: usize,
}

impl Items {
    /// Whether no item has begun yet.
    pub(super) fn is_empty(&self) -> bool {
        self.parts == 0 && self.open.is_empty()
    }

    pub(super) fn has_calls(&self) -> bool {
        self.calls
    }

    pub(super) fn has_refusal(&self) -> bool {
        self.refusal
    }

    /// Reads an event that belongs to an item; `false` if nothing was made of it.
    pub(super) fn event(
        &mut self,
        kind: &str,
        mut event: Object<'_>,
        sink: Sink<'_>,
    ) -> Result<bool, DecodeError> {
        let Some(index) = event.take_u64("output_index")? else {
            return Ok(false);
        };
        match kind {
            "response.output_item.added" => {
                let Some(raw) = event.take_some("item") else {
                    return Err(DecodeError::new("item", "is missing; an object is required"));
                };
                self.added(index, raw, sink)?;
                return Ok(true);
            }
            "response.output_item.done" => {
                let Some(raw) = event.take_some("item") else {
                    return Err(DecodeError::new("item", "is missing; an object is required"));
                };
                self.done(index, raw, sink)?;
                return Ok(true);
            }
            _ => {}
        }
        let Items {
            open, parts, refusal, ..
        } = self;
        match (open.get_mut(&index), kind) {
            (Some(Item::Message(message)), _) => message.event(kind, event, parts, refusal, sink),
            (Some(Item::Reasoning(reasoning)), _) => reasoning.event(kind, event, sink),
            (Some(Item::Call { part, told, .. }), _) => call_event(*part, told, kind, event, sink),
            (Some(Item::Opaque { .. }) | None, _) => Ok(false),
        }
    }

    fn added(&mut self, index: u64, raw: Raw<'_>, sink: Sink<'_>) -> Result<(), DecodeError> {
        if self.open.len() >= MAX_OPEN {
            return Err(DecodeError::new(
                "output_index",
                format!("more than {MAX_OPEN} items are open"),
            ));
        }
        if let Some(item) = self.open.remove(&index) {
            self.stop(item, sink);
        }
        let (mut object, nulls) = open(raw.get(), "item")?;
        let kind = object.require_string("type")?;
        let item = match kind.as_str() {
            "message" => {
                object.take("role");
                object.take("content");
                let mut meta = Ext(vec![("type".to_owned(), RawJson::string(&kind))]);
                meta.0.extend(leftover(object, nulls).0);
                Item::Message(Message {
                    meta,
                    ..Message::default()
                })
            }
            "reasoning" => {
                // Nothing of the text is told yet.
                for name in [SUMMARY, CONTENT] {
                    if object.peek(name).is_some_and(|raw| raw.get() != "[]") {
                        object.take(name);
                    }
                }
                let part = self.begin(
                    PartKind::Reasoning {
                        member: Some(SUMMARY.to_owned()),
                        of_call: None,
                    },
                    sink,
                );
                let ext = leftover(object, nulls);
                tell(part, Delta::Opaque(RawJson::object(&ext)), sink);
                Item::Reasoning(ReasoningItem {
                    part,
                    ext,
                    ..ReasoningItem::default()
                })
            }
            "function_call" | "custom_tool_call" => {
                let kind = if kind == "function_call" {
                    ToolCallKind::Function
                } else {
                    ToolCallKind::Custom
                };
                let call = item::take_call(&mut object, kind)?;
                let ext = leftover(object, nulls);
                self.calls = true;
                let part = self.begin(
                    PartKind::ToolCall {
                        id: call.id,
                        name: call.name,
                        kind,
                        ext: ext.clone(),
                    },
                    sink,
                );
                Item::Call {
                    part,
                    told: false,
                    ext,
                }
            }
            _ => Item::Opaque {
                part: self.begin(
                    PartKind::Opaque {
                        kind,
                        raw: RawJson::from(raw),
                    },
                    sink,
                ),
            },
        };
        self.open.insert(index, item);
        Ok(())
    }

    fn begin(&mut self, kind: PartKind, sink: Sink<'_>) -> usize {
        begin(&mut self.parts, kind, sink)
    }

    /// The item as it ended: tells what was not told yet.
    fn done(&mut self, index: u64, raw: Raw<'_>, sink: Sink<'_>) -> Result<(), DecodeError> {
        let Some(item) = self.open.remove(&index) else {
            self.whole(item::decode(raw, "item")?, sink);
            return Ok(());
        };
        match item {
            Item::Message(message) => {
                let Items { parts, refusal, .. } = self;
                message.done(raw, parts, refusal, sink)
            }
            Item::Reasoning(reasoning) => reasoning.done(raw, sink),
            Item::Call { part, told, ext } => {
                let (mut object, nulls) = open(raw.get(), "item")?;
                let kind = if object.has("input") && !object.has("arguments") {
                    ToolCallKind::Custom
                } else {
                    ToolCallKind::Function
                };
                object.take("type");
                let call = item::take_call(&mut object, kind)?;
                if !told && !call.arguments.is_empty() {
                    tell(part, Delta::Arguments(call.arguments.into()), sink);
                }
                tell_changes(part, &ext, leftover(object, nulls), sink);
                stop(part, sink);
                Ok(())
            }
            Item::Opaque { part } => {
                tell(part, Delta::Opaque(RawJson::from(raw)), sink);
                stop(part, sink);
                Ok(())
            }
        }
    }

    /// Ends what the answer left open.
    pub(super) fn close(&mut self, sink: Sink<'_>) {
        for (_, item) in std::mem::take(&mut self.open) {
            self.stop(item, sink);
        }
    }

    fn stop(&mut self, item: Item, sink: Sink<'_>) {
        match item {
            Item::Message(mut message) => message.stop(sink),
            Item::Reasoning(ReasoningItem { part, .. }) | Item::Call { part, .. } | Item::Opaque { part } => {
                stop(part, sink);
            }
        }
    }

    /// Tells an item that came at once.
    pub(super) fn whole(&mut self, parts: Vec<Part>, sink: Sink<'_>) {
        for part in parts {
            match part {
                Part::Text(text) => self.whole_text(PartKind::Text, text, sink),
                Part::Refusal(text) => {
                    self.refusal = true;
                    self.whole_text(PartKind::Refusal, text, sink);
                }
                Part::Reasoning(reasoning) => self.whole_reasoning(reasoning, sink),
                Part::ToolCall(call) => self.whole_call(call, sink),
                Part::Opaque { kind, raw, .. } => {
                    let part = self.begin(
                        PartKind::Opaque {
                            kind,
                            raw: raw.clone(),
                        },
                        sink,
                    );
                    stop(part, sink);
                }
                Part::Media(_) | Part::ToolResult(_) => {}
            }
        }
    }

    fn whole_text(&mut self, kind: PartKind, text: Text, sink: Sink<'_>) {
        let part = self.begin(kind, sink);
        if !text.ext.is_empty() {
            tell(part, Delta::Opaque(RawJson::object(&text.ext)), sink);
        }
        tell_logprobs(text.ext.get("logprobs"), sink);
        tell(part, Delta::Text(text.text.into()), sink);
        stop(part, sink);
    }

    fn whole_reasoning(&mut self, reasoning: Reasoning, sink: Sink<'_>) {
        let part = self.begin(
            PartKind::Reasoning {
                member: reasoning.member.clone(),
                of_call: None,
            },
            sink,
        );
        tell(part, Delta::Opaque(RawJson::object(&reasoning.ext)), sink);
        if !reasoning.text.is_empty() {
            let kind = reasoning.member.as_deref().unwrap_or(SUMMARY);
            tell_piece(part, Some(&RawJson::string(kind)), sink);
            tell(part, Delta::Reasoning(reasoning.text.into()), sink);
            tell_piece(part, None, sink);
        }
        if let Some(proof) = reasoning.signature {
            tell(part, Delta::Signature(proof.into()), sink);
        }
        stop(part, sink);
    }

    fn whole_call(&mut self, call: ToolCall, sink: Sink<'_>) {
        self.calls = true;
        let part = self.begin(
            PartKind::ToolCall {
                id: call.id,
                name: call.name,
                kind: call.kind,
                ext: call.ext,
            },
            sink,
        );
        if !call.arguments.is_empty() {
            tell(part, Delta::Arguments(call.arguments.into()), sink);
        }
        stop(part, sink);
    }
}

fn begin(parts: &mut usize, kind: PartKind, sink: Sink<'_>) -> usize {
    let part = *parts;
    *parts += 1;
    sink(Event::PartStart {
        choice: 0,
        part,
        kind,
    });
    part
}

/// Tells a piece of a part; an empty one says nothing.
pub(super) fn tell(part: usize, delta: Delta<'_>, sink: Sink<'_>) {
    let is_empty = match &delta {
        Delta::Text(text) | Delta::Reasoning(text) | Delta::Signature(text) | Delta::Arguments(text) => {
            text.is_empty()
        }
        Delta::Opaque(_) => false,
    };
    if is_empty {
        return;
    }
    sink(Event::PartDelta {
        choice: 0,
        part,
        delta,
    });
}

pub(super) fn stop(part: usize, sink: Sink<'_>) {
    sink(Event::PartStop { choice: 0, part });
}

/// Reads an event of a call; `told` says whether any of its arguments were told.
fn call_event(
    part: usize,
    told: &mut bool,
    kind: &str,
    mut event: Object<'_>,
    sink: Sink<'_>,
) -> Result<bool, DecodeError> {
    let (member, is_end) = match kind {
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            ("delta", false)
        }
        "response.function_call_arguments.done" => ("arguments", true),
        "response.custom_tool_call_input.done" => ("input", true),
        _ => return Ok(false),
    };
    if !(is_end && *told) {
        let text: Cow<'_, str> = event.take_as(member, "a string")?.unwrap_or_default();
        *told |= !text.is_empty();
        tell(part, Delta::Arguments(text), sink);
    }
    if is_end {
        tell_piece(part, None, sink);
    }
    Ok(true)
}

/// Tells members that differ from what was told before.
pub(super) fn tell_changes(part: usize, before: &Ext, after: Ext, sink: Sink<'_>) {
    let changed: Vec<(String, RawJson)> = after
        .0
        .into_iter()
        .filter(|(name, raw)| before.get(name) != Some(raw))
        .collect();
    if !changed.is_empty() {
        tell(part, Delta::Opaque(RawJson::object(&Ext(changed))), sink);
    }
}

fn tell_logprobs(raw: Option<&RawJson>, sink: Sink<'_>) {
    if let Some(raw) = raw.filter(|raw| !raw.is_blank()) {
        sink(Event::Opaque {
            field: "choices[0].logprobs".to_owned(),
            raw: wrap_logprobs(raw),
        });
    }
}

impl Message {
    fn event(
        &mut self,
        kind: &str,
        mut event: Object<'_>,
        parts: &mut usize,
        refusal: &mut bool,
        sink: Sink<'_>,
    ) -> Result<bool, DecodeError> {
        match kind {
            "response.content_part.added" => {
                let (mut part, nulls) = take_part(&mut event)?;
                let is_refusal = part.take_string("type")?.as_deref() == Some("refusal");
                part.take("text");
                part.take("refusal");
                self.begin(is_refusal, leftover(part, nulls), parts, refusal, sink);
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                let open = self.opened(kind == "response.refusal.delta", parts, refusal, sink);
                let logprobs = event.take("logprobs").map(RawJson::from);
                tell_logprobs(logprobs.as_ref(), sink);
                let text = event.take_as("delta", "a string")?.unwrap_or_default();
                open.told = true;
                let part = open.part;
                tell(part, Delta::Text(text), sink);
            }
            "response.output_text.done" | "response.refusal.done" => {
                let is_refusal = kind == "response.refusal.done";
                let open = self.opened(is_refusal, parts, refusal, sink);
                let text = event.take_string(if is_refusal { "refusal" } else { "text" })?;
                if let (false, Some(text)) = (open.told, text.filter(|text| !text.is_empty())) {
                    open.told = true;
                    let part = open.part;
                    tell(part, Delta::Text(text.into()), sink);
                }
            }
            "response.output_text.annotation.added" => {
                let open = self.opened(false, parts, refusal, sink);
                if let Some(annotation) = event.take_some("annotation") {
                    open.annotations += 1;
                    let part = open.part;
                    tell_annotations(part, &[annotation], sink);
                }
            }
            "response.content_part.done" => {
                if let Some(open) = &mut self.open {
                    let (mut part, nulls) = take_part(&mut event)?;
                    part.take("type");
                    for name in ["text", "refusal"] {
                        let text = part.take_string(name)?.filter(|text| !text.is_empty());
                        if let (false, Some(text)) = (open.told, text) {
                            open.told = true;
                            tell(open.part, Delta::Text(text.into()), sink);
                        }
                    }
                    let untold = part.take_array("annotations")?.unwrap_or_default();
                    if let Some(untold @ [_, ..]) = untold.get(open.annotations..) {
                        open.annotations += untold.len();
                        tell_annotations(open.part, untold, sink);
                    }
                    drop(nulls);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The open part; begins one if there is none of this kind.
    fn opened(
        &mut self,
        is_refusal: bool,
        parts: &mut usize,
        refusal: &mut bool,
        sink: Sink<'_>,
    ) -> &mut OpenText {
        if self.open.as_ref().is_none_or(|open| open.refusal != is_refusal) {
            self.begin(is_refusal, Ext::default(), parts, refusal, sink);
        }
        self.open.get_or_insert(OpenText {
            part: 0,
            refusal: is_refusal,
            told: false,
            annotations: 0,
        })
    }

    fn begin(&mut self, is_refusal: bool, ext: Ext, parts: &mut usize, refusal: &mut bool, sink: Sink<'_>) {
        self.stop(sink);
        *refusal |= is_refusal;
        let kind = if is_refusal {
            PartKind::Refusal
        } else {
            PartKind::Text
        };
        let part = begin(parts, kind, sink);
        let mut members = Ext::default();
        if self.begun == 0 {
            members.0.push((ITEM.to_owned(), RawJson::object(&self.meta)));
        }
        members.0.extend(ext.0);
        if !members.is_empty() {
            tell(part, Delta::Opaque(RawJson::object(&members)), sink);
        }
        self.begun += 1;
        self.open = Some(OpenText {
            part,
            refusal: is_refusal,
            told: false,
            annotations: 0,
        });
    }

    fn stop(&mut self, sink: Sink<'_>) {
        if let Some(open) = self.open.take() {
            stop(open.part, sink);
        }
    }

    fn done(
        mut self,
        raw: Raw<'_>,
        parts: &mut usize,
        refusal: &mut bool,
        sink: Sink<'_>,
    ) -> Result<(), DecodeError> {
        let (mut object, nulls) = open(raw.get(), "item")?;
        let mut meta = Ext::default();
        if let Some(kind) = object.take("type") {
            meta.0.push(("type".to_owned(), RawJson::from(kind)));
        }
        object.take("role");
        let content = object.take_array("content")?.unwrap_or_default();
        if self.begun == 0 {
            // Parts that no event told of.
            for raw in content {
                let (mut part, nulls) = open(raw.get(), "item.content[]")?;
                let is_refusal = part.take_string("type")?.as_deref() == Some("refusal");
                let text = part.take_string(if is_refusal { "refusal" } else { "text" })?;
                self.begin(is_refusal, leftover(part, nulls), parts, refusal, sink);
                if let Some(open) = &self.open {
                    tell(open.part, Delta::Text(text.unwrap_or_default().into()), sink);
                }
            }
            if self.begun == 0 {
                self.begin(false, Ext::default(), parts, refusal, sink);
                meta.0.push((CONTENT.to_owned(), RawJson::array([])));
            }
        }
        meta.0.extend(leftover(object, nulls).0);
        if let Some(open) = &self.open
            && meta != self.meta
        {
            let item = Ext(vec![(ITEM_END.to_owned(), RawJson::object(&meta))]);
            tell(open.part, Delta::Opaque(RawJson::object(&item)), sink);
        }
        self.stop(sink);
        Ok(())
    }
}

fn take_part<'a>(event: &mut Object<'a>) -> Result<(Object<'a>, Ext), DecodeError> {
    let raw = event.take_some("part").map_or("{}", Raw::get);
    open(raw, "part")
}

fn tell_annotations(part: usize, annotations: &[Raw<'_>], sink: Sink<'_>) {
    let list = RawJson::array(annotations.iter().map(|raw| raw.get()));
    let members = Ext(vec![("annotations".to_owned(), list)]);
    tell(part, Delta::Opaque(RawJson::object(&members)), sink);
}
