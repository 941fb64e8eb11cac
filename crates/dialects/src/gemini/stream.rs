//! A streamed answer, read: documents in, [`Event`]s out, whatever the cuts.
//!
//! Each document is a small answer. Texts and thoughts of neighbouring documents are one part; calls come whole, or, on
//! Vertex, in pieces that are put together here. There is no end mark: the answer is complete if every candidate has said why
//! it ended, and that is told when the bytes end, because a document may still follow.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::Raw;

use super::documents::{Document, Documents};
use super::error::decode_error_inside;
use super::fields::{leftover, open, take_count, take_list, take_object};
use super::ids::CallIds;
use super::part::{self, THOUGHT};
use super::partial::Arguments;
use super::plain::{self, Piece};
use super::response::take_finish_reason;
use super::write_part::{self, Signed, SignedPart};
use super::{logprobs, stop, time, usage};
use crate::Dialect;
use crate::canonical::{DecodeError, Delta, Event, Ext, Part, PartKind, Reasoning, ToolCall, ToolCallKind};
use crate::json::{RawJson, Writer};

/// Reads a streamed answer.
#[derive(Debug)]
pub struct StreamDecoder {
    framing: Documents,
    answer: Answer,
}

impl StreamDecoder {
    /// A decoder that refuses single documents above `max_event_bytes`.
    pub fn new(max_event_bytes: usize) -> Self {
        StreamDecoder {
            framing: Documents::new(max_event_bytes),
            answer: Answer::default(),
        }
    }

    /// Takes the next bytes of the stream, cut anywhere, and hands each event they complete to `sink`.
    ///
    /// # Errors
    /// The stream is not of this dialect, or one document is too large. The decoder must not be used any more.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { framing, answer } = self;
        let mut result = Ok(());
        framing
            .feed(bytes, &mut |document| {
                if result.is_ok() {
                    result = answer.take(&document, sink);
                }
            })
            .map_err(|too_large| DecodeError::new("", too_large.to_string()))?;
        result
    }

    /// Says that the bytes have ended.
    ///
    /// # Errors
    /// The answer was not complete: a candidate has not said why it ended, and no error has come.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { framing, answer } = self;
        let mut result = Ok(());
        framing.finish(&mut |document| {
            if result.is_ok() {
                result = answer.take(&document, sink);
            }
        });
        if answer.over {
            return Ok(());
        }
        // The last document may be cut in the middle; that the end is missing says more than that it is no JSON.
        if !answer.is_complete() {
            return Err(DecodeError::new(
                "",
                "the stream ended before the answer was complete",
            ));
        }
        result?;
        answer.end(sink);
        Ok(())
    }
}

/// The answer as far as it was read.
#[derive(Debug, Default)]
struct Answer {
    started: bool,
    /// An error has come, or the end was told; the rest is ignored.
    over: bool,
    id: String,
    candidates: BTreeMap<u64, Candidate>,
    /// Whether the prompt was blocked.
    blocked: bool,
    /// `usageMetadata` as it was last told.
    usage: String,
}

#[derive(Debug, Default)]
struct Candidate {
    calls: CallIds,
    has_calls: bool,
    /// How many parts have begun.
    begun: usize,
    /// The text or thought that may go on.
    open: Option<OpenPart>,
    /// The call whose arguments come in pieces.
    partial: Option<PartialCall>,
    finish: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct OpenPart {
    part: usize,
    thought: bool,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: Option<String>,
    name: String,
    signature: Option<String>,
    arguments: Arguments,
    ext: Ext,
}

impl Answer {
    fn take(&mut self, document: &Document<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.over {
            return Ok(());
        }
        let Document::Json(bytes) = document else {
            sink(Event::Ping);
            return Ok(());
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| DecodeError::new("", "an event is not UTF-8"))?
            .trim();
        if text.is_empty() || text == "[DONE]" {
            return Ok(());
        }
        if self.started
            && let Some(piece) = plain::read(text)
        {
            self.piece(&piece, sink)?;
            return Ok(());
        }
        let (mut object, nulls) = open(text, "")?;
        if object.has("error") {
            self.over = true;
            sink(Event::Error(decode_error_inside(text)));
            return Ok(());
        }
        let candidates = take_list(&mut object, "candidates")?;
        let told = object.peek("usageMetadata").map(Raw::get);
        let counts =
            take_object(&mut object, "usageMetadata")?.map(|(object, nulls)| leftover(object, nulls));
        let id = object.take_string("responseId")?;
        let model = object.take_string("modelVersion")?;
        let created = object.take_string("createTime")?;
        let feedback = object.take("promptFeedback").map(RawJson::from);
        if !self.started {
            let known = candidates.is_some() || counts.is_some() || feedback.is_some() || id.is_some();
            if !known {
                return Err(DecodeError::new(
                    "candidates",
                    "is missing; a list of candidates is required",
                ));
            }
            self.started = true;
            self.id = id.unwrap_or_default();
            let mut ext = Ext::default();
            if let Some(created) = &created {
                ext.0.push(("createTime".to_owned(), RawJson::string(created)));
            }
            sink(Event::Start {
                origin: Dialect::Gemini,
                id: self.id.clone(),
                model: model.unwrap_or_default(),
                created: created.as_deref().and_then(time::seconds),
                service_tier: counts.as_ref().and_then(usage::service_tier),
                ext,
            });
        }
        for (name, raw) in leftover(object, nulls).0 {
            sink(Event::Opaque { field: name, raw });
        }
        if let Some(feedback) = feedback {
            self.blocked |= stop::blocks(&feedback);
            sink(Event::Opaque {
                field: "promptFeedback".to_owned(),
                raw: feedback,
            });
        }
        if let (Some(told), Some(counts)) = (told, counts) {
            self.tell_usage(told, counts, sink);
        }
        for (position, raw) in (0..).zip(candidates.unwrap_or_default()) {
            self.candidate(raw, position, sink)?;
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        raw: Raw<'_>,
        position: u64,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let (mut object, nulls) = open(raw.get(), crate::path::item("candidates", position))?;
        let index = take_count(&mut object, "index")?.unwrap_or(position);
        let candidate = self.candidate_at(index);
        if let Some((mut content, _)) = take_object(&mut object, "content")? {
            let path = content.path_of("parts");
            for (i, raw) in take_list(&mut content, "parts")?
                .unwrap_or_default()
                .iter()
                .enumerate()
            {
                candidate.part(index, *raw, crate::path::item(&path, i), sink)?;
            }
        }
        let finish = take_finish_reason(&mut object);
        // Some proxies write one of these from the beginning on.
        if let Some(word) = finish.filter(|word| !matches!(word.as_str(), "" | "FINISH_REASON_UNSPECIFIED")) {
            candidate.close(index, sink);
            candidate.end_call(index, None, sink)?;
            candidate.finish = Some(word);
        }
        if let Some(raw) = object.peek("logprobsResult").map(RawJson::from)
            && let Some(canonical) = logprobs::decode(&raw)
        {
            object.take("logprobsResult");
            sink(Event::Opaque {
                field: format!("choices[{index}].logprobs"),
                raw: canonical,
            });
        }
        for (name, raw) in leftover(object, nulls).0 {
            sink(Event::Opaque {
                field: format!("choices[{index}].{name}"),
                raw,
            });
        }
        Ok(())
    }

    /// Takes a document that is nothing but a piece of text.
    fn piece(&mut self, piece: &Piece<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if let Some(told) = piece
            .usage
            .filter(|told| told.get() != self.usage && told.get() != "null")
        {
            let (object, nulls) = open(told.get(), "usageMetadata")?;
            self.tell_usage(told.get(), leftover(object, nulls), sink);
        }
        let candidate = self.candidate_at(piece.index);
        let part = candidate.go_on(piece.index, piece.thought, sink);
        let text = Cow::Borrowed(piece.text.as_ref());
        let delta_of_kind = if piece.thought {
            Delta::Reasoning(text)
        } else {
            Delta::Text(text)
        };
        sink(delta(piece.index, part, delta_of_kind));
        Ok(())
    }

    /// Tells the usage if it is new. Each document repeats it.
    fn tell_usage(&mut self, told: &str, counts: Ext, sink: &mut dyn FnMut(Event<'_>)) {
        if told != self.usage && usage::counts_tokens(&counts) {
            sink(Event::Usage(usage::decode(counts)));
            self.usage.clear();
            self.usage.push_str(told);
        }
    }

    fn candidate_at(&mut self, index: u64) -> &mut Candidate {
        let id = &self.id;
        self.candidates.entry(index).or_insert_with(|| Candidate {
            calls: CallIds::new(format!("{id}\n{index}")),
            ..Candidate::default()
        })
    }

    fn is_complete(&self) -> bool {
        let ended = self
            .candidates
            .values()
            .all(|candidate| candidate.finish.is_some());
        ended && (self.blocked || !self.candidates.is_empty())
    }

    fn end(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        self.over = true;
        if self.candidates.is_empty() {
            sink(Event::Stop {
                choice: 0,
                stop: stop::blocked(),
            });
        }
        for (choice, candidate) in std::mem::take(&mut self.candidates) {
            sink(Event::Stop {
                choice,
                stop: stop::decode(candidate.finish, candidate.has_calls),
            });
        }
        sink(Event::End);
    }
}

impl Candidate {
    fn part(
        &mut self,
        choice: u64,
        raw: Raw<'_>,
        path: String,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        if self.partial_call(choice, raw, &path, sink)? {
            return Ok(());
        }
        let mut parts = Vec::new();
        part::decode(raw, path, &mut self.calls, &mut parts)?;
        for part in parts {
            self.tell(choice, part, sink);
        }
        Ok(())
    }

    /// Tells one part, which is whole unless it is a text or a thought.
    fn tell(&mut self, choice: u64, part: Part, sink: &mut dyn FnMut(Event<'_>)) {
        match part {
            Part::Text(text) => {
                if text.text.is_empty() && text.ext.is_empty() {
                    // A part that says nothing, as the last document often has one.
                    return;
                }
                let part = self.go_on(choice, false, sink);
                if !text.text.is_empty() {
                    sink(delta(choice, part, Delta::Text(Cow::Owned(text.text))));
                }
                self.tell_bag(choice, part, &text.ext, sink);
            }
            Part::Reasoning(thought) if thought.member.as_deref() == Some(THOUGHT) => {
                let part = self.go_on(choice, true, sink);
                if !thought.text.is_empty() {
                    sink(delta(choice, part, Delta::Reasoning(Cow::Owned(thought.text))));
                }
                self.tell_bag(choice, part, &thought.ext, sink);
                if let Some(signature) = thought.signature {
                    sink(delta(choice, part, Delta::Signature(Cow::Owned(signature))));
                    self.close(choice, sink);
                }
            }
            Part::Reasoning(proof) => self.tell_proof(choice, proof, sink),
            Part::ToolCall(call) => self.tell_call(choice, call, sink),
            Part::Opaque { kind, raw, .. } => self.tell_whole(choice, PartKind::Opaque { kind, raw }, sink),
            Part::Media(_) | Part::ToolResult(_) => {
                let signed = Signed {
                    part: SignedPart::Of(&part),
                    signature: None,
                };
                let mut out = Vec::new();
                write_part::write(&mut Writer::new(&mut out), &signed);
                let raw = String::from_utf8(out)
                    .ok()
                    .and_then(|text| RawJson::parse(&text).ok());
                if let Some(raw) = raw {
                    let kind = "inlineData".to_owned();
                    self.tell_whole(choice, PartKind::Opaque { kind, raw }, sink);
                }
            }
            Part::Refusal(_) => {}
        }
    }

    fn tell_proof(&mut self, choice: u64, proof: Reasoning, sink: &mut dyn FnMut(Event<'_>)) {
        let part = self.begin(
            choice,
            PartKind::Reasoning {
                member: proof.member,
                of_call: proof.of_call,
            },
            sink,
        );
        if let Some(signature) = proof.signature {
            sink(delta(choice, part, Delta::Signature(Cow::Owned(signature))));
        }
        sink(Event::PartStop { choice, part });
    }

    fn tell_call(&mut self, choice: u64, call: ToolCall, sink: &mut dyn FnMut(Event<'_>)) {
        self.has_calls = true;
        let part = self.begin(
            choice,
            PartKind::ToolCall {
                id: call.id,
                name: call.name,
                kind: ToolCallKind::Function,
                ext: call.ext,
            },
            sink,
        );
        sink(delta(choice, part, Delta::Arguments(Cow::Owned(call.arguments))));
        sink(Event::PartStop { choice, part });
    }

    fn tell_whole(&mut self, choice: u64, kind: PartKind, sink: &mut dyn FnMut(Event<'_>)) {
        let part = self.begin(choice, kind, sink);
        sink(Event::PartStop { choice, part });
    }

    fn tell_bag(&self, choice: u64, part: usize, ext: &Ext, sink: &mut dyn FnMut(Event<'_>)) {
        if ext.iter().any(|(_, raw)| raw.text() != "null") {
            sink(delta(choice, part, Delta::Opaque(RawJson::object(ext))));
        }
    }

    /// Takes a part of a call that comes in pieces; says whether it was one. Such a call begins with its name and
    /// `willContinue`, goes on with `partialArgs`, and ends with a piece that does not continue.
    fn partial_call(
        &mut self,
        choice: u64,
        raw: Raw<'_>,
        path: &str,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool, DecodeError> {
        let is_call = raw.get().contains("functionCall") || raw.get().contains("function_call");
        if !is_call {
            return Ok(false);
        }
        let (mut object, nulls) = open(raw.get(), path)?;
        let Some((mut call, _)) = take_object(&mut object, "functionCall")? else {
            return Ok(false);
        };
        let goes_on = call.take_bool("willContinue")? == Some(true);
        let pieces = call.take_array("partialArgs")?;
        if self.partial.is_none() && !goes_on && pieces.is_none() {
            return Ok(false);
        }
        let name = call.take_string("name")?;
        if self.partial.is_some() && name.is_some() {
            // The one before has not told its end.
            self.end_call(choice, None, sink)?;
        }
        let partial = self.partial.get_or_insert_default();
        partial.id = call.take_string("id")?.or(partial.id.take());
        if let Some(name) = name {
            partial.name = name;
        }
        let signature = object.take_string("thoughtSignature")?;
        partial.signature = signature.or(partial.signature.take());
        for piece in pieces.unwrap_or_default() {
            partial.arguments.add(piece)?;
        }
        partial.ext.0.extend(leftover(object, nulls).0);
        if !goes_on {
            self.end_call(choice, call.take_some("args"), sink)?;
        }
        Ok(true)
    }

    /// Tells the call that came in pieces.
    fn end_call(
        &mut self,
        choice: u64,
        args: Option<Raw<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let Some(partial) = self.partial.take() else {
            return Ok(());
        };
        let arguments = partial.arguments.over(args);
        let id = self.calls.call(partial.id, &partial.name, &arguments);
        if let Some(signature) = partial.signature {
            let proof = Reasoning {
                of_call: Some(id.clone()),
                ..part::proof(signature, "functionCall")
            };
            self.tell_proof(choice, proof, sink);
        }
        let call = ToolCall {
            id,
            name: partial.name,
            arguments,
            ext: partial.ext,
            ..ToolCall::default()
        };
        self.tell_call(choice, call, sink);
        Ok(())
    }

    /// The part for the next piece of text or thought: the open one if it is of that kind, else a new one.
    fn go_on(&mut self, choice: u64, thought: bool, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        if let Some(open) = self.open.filter(|open| open.thought == thought) {
            return open.part;
        }
        let kind = if thought {
            PartKind::Reasoning {
                member: Some(THOUGHT.to_owned()),
                of_call: None,
            }
        } else {
            PartKind::Text
        };
        let part = self.begin(choice, kind, sink);
        self.open = Some(OpenPart { part, thought });
        part
    }

    fn begin(&mut self, choice: u64, kind: PartKind, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        self.close(choice, sink);
        let part = self.begun;
        self.begun += 1;
        sink(Event::PartStart { choice, part, kind });
        part
    }

    fn close(&mut self, choice: u64, sink: &mut dyn FnMut(Event<'_>)) {
        if let Some(OpenPart { part, .. }) = self.open.take() {
            sink(Event::PartStop { choice, part });
        }
    }
}

fn delta(choice: u64, part: usize, delta: Delta<'_>) -> Event<'_> {
    Event::PartDelta { choice, part, delta }
}
