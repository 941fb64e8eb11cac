//! One choice of a streamed answer: which parts are open, and which tool call a piece belongs to.

use std::borrow::Cow;

use crate::json::Raw;
use serde::Deserialize;

use super::content::{THINKING, decode_parts};
use super::ext::{keep_inner, without};
use super::reasoning::{DETAILS, Detail, TEXT_MEMBERS};
use super::stop::{self, Contains};
use super::stream_calls::Calls;
use crate::canonical::{DecodeError, Delta, Event, Ext, Part, PartKind, ToolCallKind};
use crate::json::{Object, RawJson};

/// Reads the deltas of one choice.
#[derive(Debug)]
pub(super) struct ChoiceDecoder {
    index: u64,
    next_part: usize,
    open: Open,
    calls: Calls,
    contains: Contains,
    stopped: bool,
}

/// The part that is open beside the tool calls.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text(usize),
    Refusal(usize),
    Reasoning(OpenReasoning),
}

#[derive(Debug)]
struct OpenReasoning {
    part: usize,
    member: String,
    /// The `index` of its entries in `reasoning_details`.
    detail: Option<u64>,
    signed: bool,
}

/// A string that borrows from the chunk unless it contains escapes.
#[derive(Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

impl ChoiceDecoder {
    pub(super) fn new(index: u64, max_buffered: usize) -> Self {
        ChoiceDecoder {
            index,
            next_part: 0,
            open: Open::Nothing,
            calls: Calls::new(max_buffered),
            contains: Contains::default(),
            stopped: false,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether nothing has been said yet.
    pub(super) fn is_empty(&self) -> bool {
        self.next_part == 0 && self.calls.is_empty()
    }

    /// Reports a member of the choice that is not known here.
    pub(super) fn opaque(&self, name: &str, raw: RawJson, sink: Sink<'_>) {
        if !raw.is_blank() {
            sink(Event::Opaque {
                field: format!("choices[{}].{name}", self.index),
                raw,
            });
        }
    }

    /// Reads a delta, or a whole message.
    pub(super) fn delta(&mut self, mut delta: Object<'_>, sink: Sink<'_>) -> Result<(), DecodeError> {
        delta.take_nulls();
        delta.take("role");
        if self.stopped {
            // Too late to be part of the answer; kept all the same.
            self.leftovers(&delta.into_ext(), sink);
            return Ok(());
        }
        let details = take_details(&mut delta);
        let mut texts = Vec::new();
        for name in TEXT_MEMBERS {
            if let Some(raw) = delta.peek(name)
                && let Ok(Str(text)) = serde_json::from_str(raw.get())
            {
                delta.take(name);
                if !text.is_empty() {
                    texts.push((name, text));
                }
            }
        }
        let content = delta.take("content");
        let refusal = delta.take("refusal");
        let path = delta.path_of("tool_calls");
        let tool_calls = delta.take_array("tool_calls")?.unwrap_or_default();
        let function_call = delta.take_object("function_call")?;
        let content_path = delta.path_of("content");
        self.leftovers(&delta.into_ext(), sink);

        self.reasoning(&details, texts, sink);
        if let Some(raw) = content {
            self.content(raw, &content_path, sink)?;
        }
        if let Some(raw) = refusal {
            let Str(text) = serde_json::from_str(raw.get()).map_err(|_| {
                DecodeError::new(content_path.replace("content", "refusal"), "expected a string")
            })?;
            if !text.is_empty() {
                self.contains.refusal = true;
                let part = self.refusal_part(sink);
                self.piece(part, Delta::Text(text), sink);
            }
        }
        for (i, raw) in tool_calls.into_iter().enumerate() {
            self.calls
                .add(Object::parse(raw.get(), crate::path::item(&path, i))?)?;
        }
        if let Some(call) = function_call {
            self.calls.add_legacy(call)?;
        }
        self.start_calls(false, sink);
        Ok(())
    }

    /// A delta with nothing but a piece of text, which is not empty.
    pub(super) fn text(&mut self, text: Cow<'_, str>, sink: Sink<'_>) {
        let part = self.text_part(sink);
        self.piece(part, Delta::Text(text), sink);
        self.start_calls(false, sink);
    }

    /// The choice has ended: closes what is open and tells why.
    pub(super) fn stop(&mut self, native: Option<String>, sink: Sink<'_>) {
        if self.stopped {
            return;
        }
        self.start_calls(true, sink);
        self.close(sink);
        for part in self.calls.parts() {
            sink(Event::PartStop {
                choice: self.index,
                part,
            });
        }
        self.stopped = true;
        sink(Event::Stop {
            choice: self.index,
            stop: stop::decode(native, self.contains),
        });
    }

    fn leftovers(&self, ext: &Ext, sink: Sink<'_>) {
        for (name, raw) in ext.iter() {
            self.opaque(&format!("delta.{name}"), raw.clone(), sink);
        }
    }

    fn content(&mut self, raw: Raw<'_>, path: &str, sink: Sink<'_>) -> Result<(), DecodeError> {
        if raw.get().starts_with('"') {
            let Str(text) = serde_json::from_str(raw.get())
                .map_err(|error| DecodeError::new(path, format!("is not a valid string: {error}")))?;
            if !text.is_empty() {
                let part = self.text_part(sink);
                self.piece(part, Delta::Text(text), sink);
            }
            return Ok(());
        }
        let list = raw
            .elements()
            .map_err(|_| DecodeError::new(path, "expected a string or an array of parts"))?;
        for (part, raw) in decode_parts(&list, path)?.into_iter().zip(list) {
            self.content_part(part, raw, sink);
        }
        Ok(())
    }

    /// A part of a content list; such lists come in deltas too.
    fn content_part(&mut self, part: Part, raw: Raw<'_>, sink: Sink<'_>) {
        let (number, ext, delta) = match part {
            Part::Text(text) => (self.text_part(sink), text.ext, Delta::Text(Cow::Owned(text.text))),
            Part::Refusal(text) => {
                self.contains.refusal = true;
                (
                    self.refusal_part(sink),
                    text.ext,
                    Delta::Text(Cow::Owned(text.text)),
                )
            }
            Part::Reasoning(reasoning) => {
                let number = self.reasoning_part(THINKING, None, sink);
                let ext = without(&reasoning.ext, &[THINKING]);
                (number, ext, Delta::Reasoning(Cow::Owned(reasoning.text)))
            }
            Part::Opaque { kind, .. } => return self.whole_part(kind, raw, sink),
            Part::Media(_) | Part::ToolCall(_) | Part::ToolResult(_) => {
                return self.whole_part("media".to_owned(), raw, sink);
            }
        };
        if !ext.is_empty() {
            self.piece(number, Delta::Opaque(RawJson::object(&ext)), sink);
        }
        if !matches!(&delta, Delta::Text(text) | Delta::Reasoning(text) if text.is_empty()) {
            self.piece(number, delta, sink);
        }
    }

    fn whole_part(&mut self, kind: String, raw: Raw<'_>, sink: Sink<'_>) {
        self.close(sink);
        let part = self.begin(
            PartKind::Opaque {
                kind,
                raw: RawJson::from(raw),
            },
            sink,
        );
        sink(Event::PartStop {
            choice: self.index,
            part,
        });
    }

    /// Reads the reasoning of a delta. Where plain text and `reasoning_details` tell the same, or two members do, it is
    /// reported once; the entries go beside it for exact repetition.
    fn reasoning(&mut self, details: &[(Detail, Raw<'_>)], texts: Vec<(&str, Cow<'_, str>)>, sink: Sink<'_>) {
        let detailed: String = details.iter().map(|(detail, _)| detail.text.as_str()).collect();
        let member = texts
            .iter()
            .find(|(_, text)| *text == detailed)
            .map(|(name, _)| *name);
        let mut told: Option<Cow<'_, str>> = None;
        for (name, text) in texts {
            // The entries are the fuller telling.
            if detailed.is_empty() && told.as_ref() != Some(&text) {
                let part = self.reasoning_part(name, None, sink);
                self.piece(part, Delta::Reasoning(text.clone()), sink);
                told = Some(text);
            }
        }
        for (detail, raw) in details {
            let kept = Ext(vec![(DETAILS.to_owned(), RawJson::array([raw.get()]))]);
            self.detail(detail, member, &RawJson::object(&kept), sink);
        }
    }

    fn detail(&mut self, detail: &Detail, member: Option<&str>, kept: &RawJson, sink: Sink<'_>) {
        if let Some(data) = &detail.redacted {
            self.close(sink);
            let part = self.begin(PartKind::RedactedReasoning { data: data.clone() }, sink);
            self.piece(part, Delta::Opaque(kept.clone()), sink);
            sink(Event::PartStop {
                choice: self.index,
                part,
            });
            return;
        }
        let part = match &self.open {
            Open::Reasoning(open)
                if open.detail == detail.index
                    && !open.signed
                    && member.is_none_or(|member| open.member == member) =>
            {
                open.part
            }
            _ => self.reasoning_part(member.unwrap_or(DETAILS), detail.index, sink),
        };
        self.piece(part, Delta::Opaque(kept.clone()), sink);
        if !detail.text.is_empty() {
            self.piece(part, Delta::Reasoning(Cow::Borrowed(&detail.text)), sink);
        }
        if let Some(signature) = &detail.signature {
            self.piece(part, Delta::Signature(Cow::Borrowed(signature)), sink);
            if let Open::Reasoning(open) = &mut self.open {
                open.signed = true;
            }
        }
    }

    fn text_part(&mut self, sink: Sink<'_>) -> usize {
        if let Open::Text(part) = self.open {
            return part;
        }
        self.close(sink);
        let part = self.begin(PartKind::Text, sink);
        self.open = Open::Text(part);
        part
    }

    fn refusal_part(&mut self, sink: Sink<'_>) -> usize {
        if let Open::Refusal(part) = self.open {
            return part;
        }
        self.close(sink);
        let part = self.begin(PartKind::Refusal, sink);
        self.open = Open::Refusal(part);
        part
    }

    fn reasoning_part(&mut self, member: &str, detail: Option<u64>, sink: Sink<'_>) -> usize {
        if let Open::Reasoning(open) = &self.open
            && open.member == member
            && open.detail == detail
            && !open.signed
        {
            return open.part;
        }
        self.close(sink);
        let part = self.begin(
            PartKind::Reasoning {
                member: Some(member.to_owned()),
                of_call: None,
            },
            sink,
        );
        self.open = Open::Reasoning(OpenReasoning {
            part,
            member: member.to_owned(),
            detail,
            signed: false,
        });
        part
    }

    /// Reports the calls that are known well enough, or all of them, and the arguments that have come.
    fn start_calls(&mut self, all: bool, sink: Sink<'_>) {
        let ChoiceDecoder {
            index,
            next_part,
            open,
            calls,
            contains,
            ..
        } = self;
        let choice = *index;
        calls.flush(all, &mut |call, event| {
            let part = match call.part {
                Some(part) => part,
                None => {
                    close(open, choice, sink);
                    let part = *next_part;
                    *next_part += 1;
                    call.part = Some(part);
                    match call.kind {
                        ToolCallKind::LegacyFunction => contains.legacy_call = true,
                        ToolCallKind::Function | ToolCallKind::Custom => contains.calls = true,
                    }
                    let kind = PartKind::ToolCall {
                        id: call.id.clone(),
                        name: call.name.clone(),
                        kind: call.kind,
                        ext: std::mem::take(&mut call.ext),
                    };
                    sink(Event::PartStart { choice, part, kind });
                    part
                }
            };
            if let Some(delta) = event {
                sink(Event::PartDelta { choice, part, delta });
            }
        });
    }

    fn begin(&mut self, kind: PartKind, sink: Sink<'_>) -> usize {
        let part = self.next_part;
        self.next_part += 1;
        sink(Event::PartStart {
            choice: self.index,
            part,
            kind,
        });
        part
    }

    fn piece(&self, part: usize, delta: Delta<'_>, sink: Sink<'_>) {
        sink(Event::PartDelta {
            choice: self.index,
            part,
            delta,
        });
    }

    fn close(&mut self, sink: Sink<'_>) {
        close(&mut self.open, self.index, sink);
    }
}

fn close(open: &mut Open, choice: u64, sink: Sink<'_>) {
    let part = match std::mem::take(open) {
        Open::Nothing => return,
        Open::Text(part) | Open::Refusal(part) => part,
        Open::Reasoning(OpenReasoning { part, .. }) => part,
    };
    sink(Event::PartStop { choice, part });
}

/// Takes `reasoning_details`, unless its shape is not understood or no entry says anything.
fn take_details<'a>(delta: &mut Object<'a>) -> Vec<(Detail, Raw<'a>)> {
    let Some(raw) = delta.peek(DETAILS) else {
        return Vec::new();
    };
    let Ok(list) = serde_json::from_str::<Vec<Raw<'a>>>(raw.get()) else {
        return Vec::new();
    };
    let Some(details) = list
        .into_iter()
        .map(|raw| Some((Detail::read(raw)?, raw)))
        .collect::<Option<Vec<_>>>()
    else {
        return Vec::new();
    };
    delta.take(DETAILS);
    details
}

/// Takes what a call's inner object has beside what is known, for [`Calls`].
pub(super) fn inner_leftovers(ext: &mut Ext, name: &str, mut object: Object<'_>) {
    object.take_nulls();
    keep_inner(ext, name, &object.into_ext());
}
