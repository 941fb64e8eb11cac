//! Streamed answers, written.

use std::collections::BTreeSet;

use super::{NO_CALLS, NO_PLACE, NO_REASONING, OBJECT, Style, report_service_tier, word_of};
use crate::Dialect;
use crate::canonical::{Delta, Event, Ext, PartKind, Usage};
use crate::codec;
use crate::foreign::{self, Place};
use crate::json::{RawJson, Writer};
use crate::loss::Losses;
use crate::openai_chat::usage;

/// Writes the streamed answer of a chat as chunks of a `text_completion`.
///
/// [`Event::End`] writes the usage, if the client asked for it, and `[DONE]`. Where the source ended well without an end
/// mark of its own, push an `End`. After an [`Event::Error`] nothing more is written, so the stream has no `[DONE]`.
#[derive(Debug)]
pub struct StreamEncoder {
    style: Style,
    origin: Dialect,
    id: String,
    model: String,
    created: u64,
    fingerprint: Option<RawJson>,
    /// The choices whose first chunk is written.
    begun: BTreeSet<u64>,
    usage: Option<Usage>,
    over: bool,
}

impl StreamEncoder {
    /// An encoder for one answer.
    pub fn new(style: Style) -> Self {
        StreamEncoder {
            origin: Dialect::OpenaiChat,
            id: String::new(),
            model: String::new(),
            created: style.created_s,
            style,
            fingerprint: None,
            begun: BTreeSet::new(),
            usage: None,
            over: false,
        }
    }

    /// Writes what the event tells behind what is already in `out`. What has no place in one text is reported in `losses`.
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
                service_tier,
                ext,
            } => {
                self.origin = *origin;
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = created.unwrap_or(self.style.created_s);
                report_service_tier(service_tier.as_deref(), losses);
                self.start(ext, losses);
            }
            Event::PartStart { kind, .. } => report_part(kind, losses),
            Event::PartDelta { choice, delta, .. } => match delta {
                Delta::Text(text) => self.text(*choice, text, out),
                Delta::Opaque(raw) if !raw.is_blank() => losses.dropped("content", NO_PLACE),
                Delta::Opaque(_) | Delta::Reasoning(_) | Delta::Signature(_) | Delta::Arguments(_) => {}
            },
            Event::PartStop { .. } | Event::Ping => {}
            Event::Stop { choice, stop } => {
                if !self.begun.contains(choice) && self.style.echo.is_some() {
                    self.text(*choice, "", out);
                }
                self.chunk(*choice, "", Some(word_of(stop.reason)), out);
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { field, raw } => {
                if !raw.is_blank() {
                    losses.dropped(field, NO_PLACE);
                }
            }
            Event::Error(error) => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&codec::encode_error(Dialect::OpenaiChat, error, None));
                out.extend_from_slice(b"\n\n");
                self.over = true;
            }
            Event::End => {
                self.write_usage(out);
                out.extend_from_slice(b"data: [DONE]\n\n");
                self.over = true;
            }
        }
    }

    fn start(&mut self, ext: &Ext, losses: &mut Losses) {
        let mut rest = ext.clone();
        if self.origin == Dialect::OpenaiChat {
            self.fingerprint = rest.get("system_fingerprint").cloned();
            rest.0.retain(|(name, _)| name != "system_fingerprint");
        }
        foreign::report(&rest, Place::Answer, self.origin, "", losses);
    }

    fn text(&mut self, choice: u64, text: &str, out: &mut Vec<u8>) {
        match &self.style.echo {
            Some(prompt) if !self.begun.contains(&choice) => {
                self.chunk(choice, &format!("{prompt}{text}"), None, out);
            }
            _ => self.chunk(choice, text, None, out),
        }
        self.begun.insert(choice);
    }

    fn chunk(&self, choice: u64, text: &str, finish_reason: Option<&str>, out: &mut Vec<u8>) {
        self.document(out, |w| {
            w.key("choices").array(|w| {
                w.object(|w| {
                    w.key("text").string(text);
                    w.key("index").number(choice);
                    w.key("logprobs").null();
                    w.key("finish_reason");
                    match finish_reason {
                        Some(word) => w.string(word),
                        None => w.null(),
                    }
                });
            });
            if self.style.include_usage {
                w.key("usage").null();
            }
        });
    }

    fn write_usage(&self, out: &mut Vec<u8>) {
        if let Some(used) = self.usage.as_ref().filter(|_| self.style.include_usage) {
            self.document(out, |w| {
                w.key("choices").array(|_| {});
                w.key("usage");
                usage::encode(w, used, self.origin);
            });
        }
    }

    fn document(&self, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer<'_>)) {
        out.extend_from_slice(b"data: ");
        Writer::new(out).object(|w| {
            w.key("id").string(&self.id);
            w.key("object").string(OBJECT);
            w.key("created").number(self.created);
            w.key("model").string(&self.model);
            w.optional_raw("system_fingerprint", self.fingerprint.as_ref());
            members(w);
        });
        out.extend_from_slice(b"\n\n");
    }
}

fn report_part(kind: &PartKind, losses: &mut Losses) {
    match kind {
        PartKind::Text | PartKind::Refusal => {}
        PartKind::Reasoning { .. } | PartKind::RedactedReasoning { .. } => {
            losses.dropped("reasoning", NO_REASONING);
        }
        PartKind::ToolCall { .. } => losses.dropped("tool_calls", NO_CALLS),
        PartKind::Opaque { .. } => losses.dropped("content", NO_PLACE),
    }
}
