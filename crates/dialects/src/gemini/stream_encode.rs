//! A streamed answer, written for a client of this dialect.
//!
//! Every piece of text becomes a document of its own. Calls are whole in this dialect, so their arguments are held back until
//! they have ended. Why the answer ended goes out with the usage in the last document, because other dialects tell the usage
//! after the end.

use std::collections::BTreeMap;

use super::error::write_error;
use super::part::{ALONE, TEXT, THOUGHT, envelope_as_signature};
use super::response::convert_call;
use super::write_part::{self, Signed, SignedPart};
use super::{logprobs, stop, usage};
use crate::canonical::{
    Delta, ErrorKind, Event, Ext, Part, PartKind, ProviderError, Reasoning, Stop, StopReason, Text, ToolCall,
    split_choice,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::{Dialect, envelope};

/// How the documents of a stream are framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events (`alt=sse`).
    #[default]
    Events,
    /// A JSON array whose elements come one by one.
    Array,
}

/// How a stream is written.
#[derive(Clone, Debug)]
pub struct StreamStyle {
    /// How the documents are framed.
    pub framing: Framing,
    /// Most bytes of arguments held back; above, the stream ends with an error.
    pub max_held_bytes: usize,
}

impl Default for StreamStyle {
    fn default() -> Self {
        StreamStyle {
            framing: Framing::Events,
            max_held_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Writes a streamed answer. [`Event::End`] writes the last document; after an [`Event::Error`] nothing more is written.
#[derive(Debug)]
pub struct StreamEncoder {
    style: StreamStyle,
    origin: Dialect,
    id: String,
    model: String,
    /// Members of this dialect that stand in every document (`createTime`).
    constant: Ext,
    /// Members of this dialect that wait for the next document.
    waiting: Ext,
    choices: BTreeMap<u64, Choice>,
    /// `usageMetadata` as it was last told.
    usage: Option<RawJson>,
    held_bytes: usize,
    documents: u64,
    over: bool,
}

#[derive(Debug, Default)]
struct Choice {
    parts: BTreeMap<usize, PartState>,
    /// A signature that stands beside the next part.
    signature: Option<String>,
    /// Members of the candidate that wait for its next document.
    waiting: Ext,
    logprobs: Option<RawJson>,
    /// Calls that cannot be told before it is known whether the answer was cut.
    doubtful: Vec<(ToolCall, Option<String>)>,
    stop: Option<Stop>,
    told_anything: bool,
}

#[derive(Debug)]
enum PartState {
    Text,
    Reasoning(Reasoning),
    Call(ToolCall),
    Opaque { kind: String, raw: RawJson },
    Hidden,
}

impl StreamEncoder {
    /// An encoder for one answer.
    pub fn new(style: StreamStyle) -> Self {
        StreamEncoder {
            style,
            origin: Dialect::Gemini,
            id: String::new(),
            model: String::new(),
            constant: Ext::default(),
            waiting: Ext::default(),
            choices: BTreeMap::new(),
            usage: None,
            held_bytes: 0,
            documents: 0,
            over: false,
        }
    }

    /// Appends to `out` what the client is to get for `event`; often nothing yet. What cannot be told in this dialect is
    /// reported in `losses`.
    pub fn encode(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start {
                origin,
                id,
                model,
                ext,
                ..
            } => {
                self.origin = *origin;
                self.id.clone_from(id);
                self.model.clone_from(model);
                if self.own() {
                    self.constant = ext.clone();
                } else {
                    foreign::report(ext, Place::Answer, self.origin, "", losses);
                }
            }
            Event::PartStart { choice, part, kind } => {
                let state = self.begin(kind, losses);
                self.choice(*choice).parts.insert(*part, state);
            }
            Event::PartDelta { choice, part, delta } => self.part_delta(*choice, *part, delta, losses, out),
            Event::PartStop { choice, part } => self.part_stop(*choice, *part, out),
            Event::Stop { choice, stop } => self.choice(*choice).stop = Some(stop.clone()),
            Event::Usage(usage) => {
                if !self.own() {
                    usage::report_losses(usage, losses);
                }
                let mut counts = Vec::new();
                usage::encode(&mut Writer::new(&mut counts), usage, self.origin);
                self.usage = std::str::from_utf8(&counts)
                    .ok()
                    .and_then(|counts| RawJson::parse(counts).ok());
            }
            Event::Opaque { field, raw } => self.opaque(field, raw, losses),
            Event::Ping => {}
            Event::Error(error) => self.fail(error, out),
            Event::End => self.end(losses, out),
        }
    }

    fn own(&self) -> bool {
        self.origin == Dialect::Gemini
    }

    fn choice(&mut self, choice: u64) -> &mut Choice {
        self.choices.entry(choice).or_default()
    }

    fn begin(&self, kind: &PartKind, losses: &mut Losses) -> PartState {
        match kind {
            PartKind::Text | PartKind::Refusal => PartState::Text,
            PartKind::Reasoning { member, of_call } => PartState::Reasoning(Reasoning {
                origin: Some(self.origin),
                member: member.clone(),
                of_call: of_call.clone(),
                ..Reasoning::default()
            }),
            PartKind::RedactedReasoning { data } => PartState::Reasoning(Reasoning {
                origin: Some(self.origin),
                redacted: Some(data.clone()),
                ..Reasoning::default()
            }),
            PartKind::ToolCall { id, name, kind, ext } => {
                if !self.own() {
                    foreign::report(
                        ext,
                        Place::Answer,
                        self.origin,
                        "choices[0].delta.tool_calls",
                        losses,
                    );
                }
                PartState::Call(ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    kind: *kind,
                    ext: if self.own() { ext.clone() } else { Ext::default() },
                    ..ToolCall::default()
                })
            }
            PartKind::Opaque { kind, raw } if self.own() => PartState::Opaque {
                kind: kind.clone(),
                raw: raw.clone(),
            },
            PartKind::Opaque { kind, .. } => {
                losses.dropped(
                    format!("choices[0].delta.{kind}"),
                    "only the provider's own dialect has this kind of content",
                );
                PartState::Hidden
            }
        }
    }

    fn part_delta(
        &mut self,
        choice: u64,
        part: usize,
        delta: &Delta<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) {
        let own = self.own();
        let Some(state) = self.choice(choice).parts.get_mut(&part) else {
            return;
        };
        match (state, delta) {
            (PartState::Text, Delta::Text(text)) => {
                self.write_signed(choice, SignedPart::Text(text), None, out);
            }
            (PartState::Reasoning(_), Delta::Reasoning(text) | Delta::Text(text)) => {
                self.write_signed(choice, SignedPart::Thought(text), None, out);
            }
            (PartState::Reasoning(reasoning), Delta::Signature(piece)) => {
                reasoning.signature.get_or_insert_default().push_str(piece);
                self.hold(piece.len(), out);
            }
            (PartState::Call(call), Delta::Arguments(piece)) => {
                call.arguments.push_str(piece);
                self.hold(piece.len(), out);
            }
            (PartState::Text | PartState::Reasoning(_), Delta::Opaque(raw)) if own => {
                let ext = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                let part = Part::Text(Text {
                    ext,
                    ..Text::default()
                });
                self.write_signed(choice, SignedPart::Of(&part), None, out);
            }
            (PartState::Hidden | PartState::Opaque { .. }, _) => {}
            (_, Delta::Opaque(raw)) => {
                let members = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                foreign::report(&members, Place::Answer, self.origin, "choices[0].delta", losses);
            }
            _ => losses.dropped("choices[0].delta", "does not fit the part it belongs to"),
        }
    }

    fn hold(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > self.style.max_held_bytes {
            self.fail(
                &own_error("the provider calls a tool with more than can be held back"),
                out,
            );
        }
    }

    fn part_stop(&mut self, choice: u64, part: usize, out: &mut Vec<u8>) {
        let Some(state) = self.choice(choice).parts.remove(&part) else {
            return;
        };
        match state {
            PartState::Text | PartState::Hidden => {}
            PartState::Reasoning(reasoning) => self.reasoning_stop(choice, reasoning, out),
            PartState::Call(call) => {
                let signature = self.choice(choice).signature.take();
                self.held_bytes = self.held_bytes.saturating_sub(call.arguments.len());
                if Object::parse(call.arguments.trim(), "").is_ok() && !call.name.is_empty() {
                    let part = Part::ToolCall(call);
                    self.write_signed(choice, SignedPart::Of(&part), signature.as_deref(), out);
                } else {
                    self.choice(choice).doubtful.push((call, signature));
                }
            }
            PartState::Opaque { kind, raw } => {
                let signature = self.choice(choice).signature.take();
                let raw = match signature {
                    Some(signature) => with_signature(&raw, &signature),
                    None => raw,
                };
                let part = Part::Opaque {
                    dialect: Dialect::Gemini,
                    kind,
                    raw,
                };
                self.write_signed(choice, SignedPart::Of(&part), None, out);
            }
        }
    }

    /// The signature of reasoning goes out at its end, or beside the next part.
    fn reasoning_stop(&mut self, choice: u64, reasoning: Reasoning, out: &mut Vec<u8>) {
        if !self.own() {
            let envelope = envelope::seal(&reasoning, self.origin, &self.model);
            let signature = envelope_as_signature(&envelope);
            return self.write_signed(choice, SignedPart::Thought(""), Some(&signature), out);
        }
        let Some(signature) = reasoning.signature else {
            return;
        };
        match reasoning.member.as_deref() {
            Some(THOUGHT) | None => {
                self.write_signed(choice, SignedPart::Thought(""), Some(&signature), out);
            }
            Some(TEXT | ALONE) => self.write_signed(choice, SignedPart::Text(""), Some(&signature), out),
            Some(_) => {
                let earlier = self.choice(choice).signature.replace(signature);
                if let Some(earlier) = earlier {
                    self.write_signed(choice, SignedPart::Text(""), Some(&earlier), out);
                }
            }
        }
    }

    fn opaque(&mut self, field: &str, raw: &RawJson, losses: &mut Losses) {
        let own = self.own();
        let place = split_choice(field);
        match place {
            Some((choice, "logprobs")) => self.choice(choice).logprobs = Some(raw.clone()),
            _ if !own => {
                foreign::report_streamed(field, raw, self.origin, losses);
            }
            Some((choice, member)) => set(&mut self.choice(choice).waiting, member, raw),
            None => set(&mut self.waiting, field, raw),
        }
    }

    fn fail(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let begin = self.begin_frame(out);
        write_error(out, error);
        self.end_frame(out, begin);
        self.close(out);
    }

    fn end(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        for choice in self.choices.keys().copied().collect::<Vec<_>>() {
            let open: Vec<usize> = self.choice(choice).parts.keys().copied().collect();
            for part in open {
                self.part_stop(choice, part, out);
            }
            if let Some(signature) = self.choice(choice).signature.take() {
                self.write_signed(choice, SignedPart::Text(""), Some(&signature), out);
            }
            if !self.end_calls(choice, losses, out) {
                return;
            }
        }
        self.over = true;
        let choices = std::mem::take(&mut self.choices);
        let last = choices.len().saturating_sub(1);
        for (i, (index, choice)) in choices.into_iter().enumerate() {
            self.write_end(index, choice, i == last, losses, out);
        }
        self.close(out);
    }

    /// Writes or gives up the calls that were in doubt; `false` if the answer cannot be told.
    fn end_calls(&mut self, choice: u64, losses: &mut Losses, out: &mut Vec<u8>) -> bool {
        let state = self.choice(choice);
        let cut = state
            .stop
            .as_ref()
            .is_some_and(|stop| stop.reason == StopReason::Length);
        let doubtful = std::mem::take(&mut state.doubtful);
        let last = doubtful.len().saturating_sub(1);
        for (i, (call, signature)) in doubtful.into_iter().enumerate() {
            let mut found = Losses::new();
            let call = convert_call(&call, cut && i == last, "choices[0].delta.tool_calls", &mut found);
            let refused = found.rejections().next().is_some();
            losses.extend(found);
            if refused {
                self.fail(
                    &own_error("the model called a tool with arguments that are not a JSON object"),
                    out,
                );
                return false;
            }
            if let Some(call) = call {
                let part = Part::ToolCall(call);
                self.write_signed(choice, SignedPart::Of(&part), signature.as_deref(), out);
            }
        }
        true
    }

    /// The last document of a choice, and with the last choice that of the answer.
    fn write_end(&mut self, index: u64, choice: Choice, last: bool, losses: &mut Losses, out: &mut Vec<u8>) {
        let own = self.own();
        let stop = choice.stop.unwrap_or_default();
        // Made up for a blocked prompt; there is no candidate.
        let blocked = own && stop.native.is_none() && !choice.told_anything;
        let word = stop::word(&stop, self.origin, losses);
        self.document(out, last, |w| {
            if blocked {
                return;
            }
            w.key("candidates").array(|w| {
                w.object(|w| {
                    write_content(w, |w| {
                        w.object(|w| w.key("text").string(""));
                    });
                    stop::write(w, word.as_deref());
                    w.key("index").number(index);
                    if let Some(raw) = &choice.logprobs {
                        logprobs::encode(w, raw);
                    }
                    w.ext(&choice.waiting);
                });
            });
        });
    }

    /// Writes a document with one part.
    fn write_signed(
        &mut self,
        choice: u64,
        part: SignedPart<'_>,
        signature: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        if self.over {
            return;
        }
        let state = self.choice(choice);
        state.told_anything = true;
        let waiting = std::mem::take(&mut state.waiting);
        let logprobs = state.logprobs.take();
        let signed = Signed { part, signature };
        self.document(out, false, |w| {
            w.key("candidates").array(|w| {
                w.object(|w| {
                    write_content(w, |w| write_part::write(w, &signed));
                    w.key("index").number(choice);
                    if let Some(raw) = &logprobs {
                        logprobs::encode(w, raw);
                    }
                    w.ext(&waiting);
                });
            });
        });
    }

    /// Writes one document. The usage of this dialect stands in each, that of another in the last one.
    fn document(&mut self, out: &mut Vec<u8>, last: bool, candidates: impl FnOnce(&mut Writer<'_>)) {
        let waiting = std::mem::take(&mut self.waiting);
        let begin = self.begin_frame(out);
        Writer::new(out).object(|w| {
            candidates(w);
            if let Some(usage) = self.usage.as_ref().filter(|_| last || self.own()) {
                w.key("usageMetadata").raw(usage);
            }
            w.key("modelVersion").string(&self.model);
            w.key("responseId").string(&self.id);
            w.ext(&self.constant);
            w.ext(&waiting);
        });
        self.end_frame(out, begin);
    }

    /// Writes what stands in front of a document and returns where the document begins.
    fn begin_frame(&mut self, out: &mut Vec<u8>) -> usize {
        match self.style.framing {
            Framing::Events => out.extend_from_slice(b"data: "),
            Framing::Array if self.documents == 0 => out.push(b'['),
            Framing::Array => out.extend_from_slice(b",\n"),
        }
        self.documents += 1;
        out.len()
    }

    fn end_frame(&self, out: &mut Vec<u8>, begin: usize) {
        if self.style.framing == Framing::Array {
            return;
        }
        // Line ends can stand in raw JSON only between tokens, where a space is as good and keeps one data line.
        for byte in out.iter_mut().skip(begin) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\n\n");
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.style.framing == Framing::Array {
            if self.documents == 0 {
                out.push(b'[');
            }
            out.extend_from_slice(b"]\n");
        }
    }
}

fn write_content(w: &mut Writer<'_>, part: impl FnOnce(&mut Writer<'_>)) {
    w.key("content").object(|w| {
        w.key("parts").array(part);
        w.key("role").string("model");
    });
}

/// A part as it was, with a signature.
fn with_signature(raw: &RawJson, signature: &str) -> RawJson {
    let mut members = Object::parse(raw.text(), "")
        .map(Object::into_ext)
        .unwrap_or_default();
    set(&mut members, "thoughtSignature", &RawJson::string(signature));
    RawJson::object(&members)
}

fn set(ext: &mut Ext, name: &str, raw: &RawJson) {
    match ext.0.iter_mut().find(|(key, _)| key == name) {
        Some((_, value)) => *value = raw.clone(),
        None => ext.0.push((name.to_owned(), raw.clone())),
    }
}

fn own_error(message: &str) -> ProviderError {
    ProviderError {
        kind: ErrorKind::Server,
        status: 502,
        message: message.to_owned(),
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}
