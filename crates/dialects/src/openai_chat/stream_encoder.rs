//! Streamed answers, written.
//!
//! Every content event becomes one chunk. What only this dialect knows waits for the next chunk of its choice, so that it
//! stands where it stood. Usage is written once, at the end, in a chunk of its own.

use std::collections::BTreeMap;

use super::content::THINKING;
use super::error::write_error;
use super::ext::without;
use super::reasoning::{DETAILS, FOREIGN_TEXT, format_of, is_proof, kind_of};
use super::response::service_tier;
use super::stop::{self, FinishReasonStyle};
use super::stream_pieces::{
    write_arguments, write_call_start, write_detail, write_own_reasoning, write_text,
};
use super::usage;
use crate::canonical::{Delta, Event, Ext, PartKind, ToolCallKind, Usage, split_choice};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::{Dialect, Losses};

/// How a stream is written where the canonical form leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStyle {
    /// Whether the client asked for usage (`stream_options.include_usage`); if not, it is left out.
    pub include_usage: bool,
    /// Seconds since 1970, used when the answer does not say when it was made.
    pub created_s: u64,
    /// What is written as `finish_reason`.
    pub finish_reason: FinishReasonStyle,
    /// Whether tool calls of another dialect come back as `function_call`; see
    /// [`uses_legacy_functions`](super::uses_legacy_functions).
    pub legacy_functions: bool,
}

/// Writes a streamed answer as server-sent events.
///
/// [`Event::End`] writes the usage and `[DONE]`. Where the source ended well without an end mark of its own, push an
/// `End`. After an [`Event::Error`] nothing more is written, so the stream has no `[DONE]`.
#[derive(Debug)]
pub struct StreamEncoder {
    style: StreamStyle,
    origin: Dialect,
    id: String,
    model: String,
    created: u64,
    /// Members that stand in every chunk.
    constant: Ext,
    /// The beginning of every chunk, up to `choices`.
    head: Vec<u8>,
    choices: BTreeMap<u64, ChoiceState>,
    usage: Option<Usage>,
    waiting: Waiting,
    over: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    parts: BTreeMap<usize, PartState>,
    calls: u64,
    /// Number of the next entry in `reasoning_details`.
    details: u64,
    has_refusal: bool,
}

#[derive(Clone, Debug)]
enum PartState {
    Text,
    Refusal,
    Reasoning {
        member: String,
        /// The `id` of its entries in `reasoning_details`.
        id: Option<String>,
        detail: u64,
    },
    /// The signature of a part that is no reasoning, such as a call.
    Proof {
        of_call: Option<String>,
        detail: u64,
    },
    Redacted,
    Call {
        index: u64,
        kind: ToolCallKind,
    },
    Opaque,
    /// Cannot be told in this dialect or this style.
    Hidden,
}

/// Members of this dialect that wait for the chunk they belong to.
#[derive(Debug, Default)]
struct Waiting {
    chunk: Ext,
    choice: u64,
    of_choice: Ext,
    of_delta: Ext,
    /// Members of what the next piece of a part is written as.
    of_piece: Ext,
    piece_place: PiecePlace,
}

/// What the members of a piece stand beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PiecePlace {
    /// The members of the delta.
    #[default]
    Delta,
    /// The `text` of an element of a content list.
    Text,
    /// The `thinking` of an element of a content list.
    Thinking,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.chunk.is_empty()
            && self.of_choice.is_empty()
            && self.of_delta.is_empty()
            && self.of_piece.is_empty()
    }
}

impl StreamEncoder {
    /// An encoder for one answer.
    pub fn new(style: StreamStyle) -> Self {
        StreamEncoder {
            style,
            origin: Dialect::OpenaiChat,
            id: String::new(),
            model: String::new(),
            created: style.created_s,
            constant: Ext::default(),
            head: Vec::new(),
            choices: BTreeMap::new(),
            usage: None,
            waiting: Waiting::default(),
            over: false,
        }
    }

    /// Writes what the event tells behind what is already in `out`; some events wait for the next one. What cannot be
    /// told in this dialect is reported in `losses`, as dropped: an answer can no longer be refused.
    pub fn encode(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start {
                origin,
                id,
                model,
                created,
                service_tier: tier,
                ext,
            } => {
                self.origin = *origin;
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = created.unwrap_or(self.style.created_s);
                if let Some(tier) = service_tier(tier.as_deref(), *origin) {
                    self.constant
                        .0
                        .push(("service_tier".to_owned(), RawJson::string(tier)));
                }
                if self.own() {
                    for (name, raw) in ext.iter() {
                        self.member_of_chunks(name, raw, out);
                    }
                } else {
                    foreign::report(ext, Place::Answer, self.origin, "", losses);
                }
                self.head.clear();
            }
            Event::PartStart { choice, part, kind } => self.part_start(*choice, *part, kind, losses, out),
            Event::PartDelta { choice, part, delta } => self.part_delta(*choice, *part, delta, losses, out),
            Event::PartStop { .. } => self.flush_piece(out),
            Event::Stop { choice, stop } => {
                self.begin(*choice, out);
                let state = self.choices.entry(*choice).or_default();
                let (has_refusal, calls) = (state.has_refusal, state.calls);
                let mut word = stop::encode(stop, self.origin, self.style.finish_reason, has_refusal, losses)
                    .map(str::to_owned);
                if self.legacy() && calls > 0 && word.as_deref() == Some("tool_calls") {
                    word = Some("function_call".to_owned());
                }
                // A choice that stops must say so, or clients take the stream for cut.
                let word = word.unwrap_or_else(|| "stop".to_owned());
                self.chunk(*choice, Some(&word), out, |_| {});
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { field, raw } => self.opaque(field, raw, losses, out),
            Event::Ping => {}
            Event::Error(error) => {
                self.flush(out);
                out.extend_from_slice(b"data: ");
                write_error(out, error);
                out.extend_from_slice(b"\n\n");
                self.over = true;
            }
            Event::End => {
                self.flush(out);
                self.write_usage(out);
                out.extend_from_slice(b"data: [DONE]\n\n");
                self.over = true;
            }
        }
    }

    fn own(&self) -> bool {
        self.origin == Dialect::OpenaiChat
    }

    fn legacy(&self) -> bool {
        self.style.legacy_functions && !self.own()
    }

    /// The first chunk of a choice tells the role.
    fn begin(&mut self, choice: u64, out: &mut Vec<u8>) {
        if self.choices.contains_key(&choice) {
            return;
        }
        self.choices.insert(choice, ChoiceState::default());
        self.chunk(choice, None, out, |w| {
            w.key("role").string("assistant");
            w.key("content").string("");
        });
    }

    fn part_start(
        &mut self,
        choice: u64,
        part: usize,
        kind: &PartKind,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) {
        self.begin(choice, out);
        let own = self.own();
        let legacy = self.legacy();
        let state = self.choices.entry(choice).or_default();
        let part_state = match kind {
            PartKind::Text => PartState::Text,
            PartKind::Refusal => {
                state.has_refusal = true;
                PartState::Refusal
            }
            PartKind::Reasoning { member, of_call } if is_proof(self.origin, member.as_deref()) => {
                let detail = state.details;
                state.details += 1;
                PartState::Proof {
                    of_call: of_call.clone(),
                    detail,
                }
            }
            PartKind::Reasoning { member, .. } => {
                let detail = state.details;
                state.details += 1;
                let id = kind_of(self.origin, member.as_deref()).map(str::to_owned);
                let member = member
                    .clone()
                    .filter(|_| own)
                    .unwrap_or_else(|| FOREIGN_TEXT.to_owned());
                PartState::Reasoning { member, id, detail }
            }
            PartKind::RedactedReasoning { data } => {
                let detail = state.details;
                state.details += 1;
                state.parts.insert(part, PartState::Redacted);
                let format = format_of(self.origin);
                if !own {
                    self.chunk(choice, None, out, |w| {
                        write_detail(w, SEALED, data, None, format, detail);
                    });
                }
                return;
            }
            PartKind::ToolCall { kind, ext, .. } => {
                if !own {
                    foreign::report(ext, Place::Answer, self.origin, "content[].tool_use", losses);
                }
                let index = state.calls;
                state.calls += 1;
                if legacy && index > 0 {
                    losses.dropped(
                        "content[].tool_use",
                        "a client that asks with functions gets one call",
                    );
                    PartState::Hidden
                } else {
                    PartState::Call {
                        index,
                        kind: if legacy {
                            ToolCallKind::LegacyFunction
                        } else {
                            *kind
                        },
                    }
                }
            }
            PartKind::Opaque { kind, .. } if !own => {
                losses.dropped(format!("content[].{kind}"), "belongs to another API");
                PartState::Hidden
            }
            PartKind::Opaque { .. } => PartState::Opaque,
        };
        state.parts.insert(part, part_state.clone());
        match (part_state, kind) {
            (PartState::Call { index, kind: shape }, PartKind::ToolCall { id, name, ext, .. }) => {
                self.chunk(choice, None, out, |w| {
                    write_call_start(w, shape, index, id, name, own.then_some(ext))
                });
            }
            (PartState::Opaque, PartKind::Opaque { raw, .. }) => {
                self.chunk(choice, None, out, |w| w.key("content").array(|w| w.raw(raw)));
            }
            _ => {}
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
        self.begin(choice, out);
        let own = self.own();
        let state = self
            .choices
            .get(&choice)
            .and_then(|state| state.parts.get(&part))
            .cloned();
        match (state.unwrap_or(PartState::Hidden), delta) {
            (PartState::Hidden, _) => {}
            (state, Delta::Opaque(raw)) if own => {
                let piece = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                if let PartState::Call { index, kind } = state {
                    self.chunk(choice, None, out, |w| write_arguments(w, kind, index, "", &piece));
                    return;
                }
                if !self.waiting.of_piece.is_empty() || self.waiting.choice != choice {
                    self.flush(out);
                }
                self.waiting.choice = choice;
                self.waiting.of_piece = piece;
                self.waiting.piece_place = match state {
                    PartState::Text => PiecePlace::Text,
                    PartState::Reasoning { member, .. } if member == THINKING => PiecePlace::Thinking,
                    _ => PiecePlace::Delta,
                };
            }
            (_, Delta::Opaque(raw)) => {
                let mut found = Losses::new();
                let members = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                foreign::report(&members, Place::Answer, self.origin, "", &mut found);
                if !found.is_empty() {
                    losses.dropped("content[].delta", "belongs to another API");
                }
            }
            (PartState::Text, Delta::Text(text)) => {
                let piece = std::mem::take(&mut self.waiting.of_piece);
                self.chunk(choice, None, out, |w| write_text(w, text, &piece));
            }
            (PartState::Refusal, Delta::Text(text)) => {
                self.chunk(choice, None, out, |w| w.key("refusal").string(text));
            }
            (PartState::Reasoning { member, .. }, Delta::Reasoning(text)) if own => {
                let piece = std::mem::take(&mut self.waiting.of_piece);
                self.chunk(choice, None, out, |w| {
                    write_own_reasoning(w, &member, text, &piece)
                });
            }
            (PartState::Reasoning { member, id, detail }, Delta::Reasoning(text)) => {
                let format = format_of(self.origin);
                self.chunk(choice, None, out, |w| {
                    w.key(&member).string(text);
                    let kind = ("reasoning.text", "text");
                    write_detail(w, kind, text, id.as_deref(), format, detail);
                });
            }
            (PartState::Reasoning { .. }, Delta::Signature(_)) if own => self.flush_piece(out),
            (PartState::Reasoning { detail, .. }, Delta::Signature(signature)) => {
                let format = format_of(self.origin);
                self.chunk(choice, None, out, |w| {
                    let kind = ("reasoning.text", "signature");
                    write_detail(w, kind, signature, None, format, detail);
                });
            }
            (PartState::Proof { of_call, detail }, Delta::Signature(signature)) => {
                let format = format_of(self.origin);
                self.chunk(choice, None, out, |w| {
                    write_detail(w, SEALED, signature, of_call.as_deref(), format, detail);
                });
            }
            (PartState::Call { index, kind }, Delta::Arguments(arguments)) => {
                let piece = std::mem::take(&mut self.waiting.of_piece);
                self.chunk(choice, None, out, |w| {
                    write_arguments(w, kind, index, arguments, &piece)
                });
            }
            _ => losses.dropped("content[].delta", "does not fit the part it belongs to"),
        }
    }

    /// Keeps a member that only this dialect knows for the chunk it belongs to.
    fn opaque(&mut self, field: &str, raw: &RawJson, losses: &mut Losses, out: &mut Vec<u8>) {
        let logprobs = split_choice(field).is_some_and(|(_, member)| member == "logprobs");
        // The tier that was used is known at the end only.
        if field == "service_tier" && !self.own() {
            if let Some(tier) = service_tier(raw.as_string().as_deref(), self.origin) {
                self.member_of_chunks(field, &RawJson::string(tier), out);
            }
            return;
        }
        if !self.own() && !logprobs {
            foreign::report_streamed(field, raw, self.origin, losses);
            return;
        }
        let Some((choice, rest)) = split_choice(field) else {
            self.member_of_chunks(field, raw, out);
            return;
        };
        self.begin(choice, out);
        let taken = |waiting: &Waiting| match rest.strip_prefix("delta.") {
            Some(member) => waiting.of_delta.get(member).is_some(),
            None => waiting.of_choice.get(rest).is_some(),
        };
        if self.waiting.choice != choice || taken(&self.waiting) {
            self.flush(out);
        }
        self.waiting.choice = choice;
        match rest.strip_prefix("delta.") {
            Some(member) => {
                self.waiting.of_delta.0.push((member.to_owned(), raw.clone()));
                if KNOWN_IN_DELTA.contains(&member) {
                    // Came too late or in a strange shape; it must not meet its own name in the next chunk.
                    self.flush(out);
                }
            }
            None => self.waiting.of_choice.0.push((rest.to_owned(), raw.clone())),
        }
    }

    /// Scalars (`system_fingerprint`) stand in every chunk, larger members (`citations`) only where they are new.
    fn member_of_chunks(&mut self, name: &str, raw: &RawJson, out: &mut Vec<u8>) {
        let member = (name.to_owned(), raw.clone());
        self.constant = without(&self.constant, &[name]);
        self.head.clear();
        if matches!(raw.text().as_bytes().first(), Some(b'{' | b'[')) {
            if self.waiting.chunk.get(name).is_some() {
                self.flush(out);
            }
            self.waiting.chunk.0.push(member);
        } else {
            self.constant.0.push(member);
        }
    }

    /// Writes members that wait for a piece of a part that does not come.
    fn flush_piece(&mut self, out: &mut Vec<u8>) {
        if !self.waiting.of_piece.is_empty() {
            self.flush(out);
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.waiting.is_empty() {
            return;
        }
        let piece = std::mem::take(&mut self.waiting.of_piece);
        if self.waiting.of_choice.is_empty() && self.waiting.of_delta.is_empty() && piece.is_empty() {
            let members = std::mem::take(&mut self.waiting.chunk);
            self.document(out, |w| {
                w.key("choices").array(|_| {});
                w.ext(&members);
            });
            return;
        }
        let place = self.waiting.piece_place;
        self.chunk(self.waiting.choice, None, out, |w| match place {
            _ if piece.is_empty() => {}
            PiecePlace::Delta => w.ext(&piece),
            PiecePlace::Text => write_text(w, "", &piece),
            PiecePlace::Thinking => write_own_reasoning(w, THINKING, "", &piece),
        });
    }

    /// Writes a chunk of one choice together with what waits for it.
    fn chunk(
        &mut self,
        choice: u64,
        finish_reason: Option<&str>,
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut Writer<'_>),
    ) {
        let waits = !self.waiting.of_choice.is_empty() || !self.waiting.of_delta.is_empty();
        if !self.waiting.of_piece.is_empty() || waits && self.waiting.choice != choice {
            self.flush(out);
        }
        let Waiting {
            chunk,
            of_choice,
            of_delta,
            ..
        } = std::mem::take(&mut self.waiting);
        let usage_asked = self.style.include_usage;
        self.document(out, |w| {
            w.key("choices").array(|w| {
                w.object(|w| {
                    w.key("index").number(choice);
                    w.key("delta").object(|w| {
                        delta(w);
                        w.ext(&of_delta);
                    });
                    w.ext(&of_choice);
                    w.key("finish_reason");
                    match finish_reason {
                        Some(word) => w.string(word),
                        None => w.null(),
                    }
                });
            });
            if usage_asked {
                w.key("usage").null();
            }
            w.ext(&chunk);
        });
    }

    fn write_usage(&mut self, out: &mut Vec<u8>) {
        let Some(usage) = self.usage.take().filter(|_| self.style.include_usage) else {
            return;
        };
        let origin = self.origin;
        self.document(out, |w| {
            w.key("choices").array(|_| {});
            w.key("usage");
            usage::encode(w, &usage, origin);
        });
    }

    /// Writes one event with the members that every chunk has.
    fn document(&mut self, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer<'_>)) {
        if self.head.is_empty() {
            self.head.extend_from_slice(b"data: ");
            Writer::new(&mut self.head).object(|w| {
                w.key("id").string(&self.id);
                w.key("object").string("chat.completion.chunk");
                w.key("created").number(self.created);
                w.key("model").string(&self.model);
                w.ext(&self.constant);
            });
            // The object goes on.
            self.head.pop();
            self.head.push(b',');
        }
        out.extend_from_slice(&self.head);
        members(&mut Writer::new(out));
        out.extend_from_slice(b"}\n\n");
    }
}

/// `type` and member of an entry of `reasoning_details` that holds a proof only.
const SEALED: (&str, &str) = ("reasoning.encrypted", "data");

/// The members of a delta that chunks are made of.
const KNOWN_IN_DELTA: [&str; 8] = [
    "role",
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning",
    FOREIGN_TEXT,
    DETAILS,
];
