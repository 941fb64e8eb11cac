//! Reasoning of a streamed answer: a summary or a content of several pieces, told as one part with marks between them.

use crate::json::Raw;

use super::BETWEEN_PIECES;
use super::item::{self, CONTENT, SUMMARY};
use super::stream_items::{Sink, stop, tell, tell_changes};
use super::write_item::PIECE;
use crate::canonical::{DecodeError, Delta, Ext};
use crate::json::{Object, RawJson};
use crate::openai_chat::ext::{mark, open};

/// An item of reasoning that is open.
#[derive(Debug, Default)]
pub(super) struct ReasoningItem {
    pub(super) part: usize,
    pub(super) ext: Ext,
    /// Whether a piece of the text is open.
    pub(super) open: bool,
    /// Whether any of the text was told, and whether any of the open piece.
    pub(super) told: bool,
    pub(super) piece_told: bool,
}

/// Tells that a piece of reasoning begins, with the event that said so or the member it is in; or that it has ended.
pub(super) fn tell_piece(part: usize, begins: Option<&RawJson>, sink: Sink<'_>) {
    let mut members = Ext::default();
    match begins {
        Some(raw) => members.0.push((PIECE.to_owned(), raw.clone())),
        None => mark(&mut members, PIECE),
    }
    tell(part, Delta::Opaque(RawJson::object(&members)), sink);
}

impl ReasoningItem {
    pub(super) fn event(
        &mut self,
        kind: &str,
        mut event: Object<'_>,
        sink: Sink<'_>,
    ) -> Result<bool, DecodeError> {
        match kind {
            "response.reasoning_summary_part.added"
            | "response.content_part.added"
            | "response.reasoning_part.added" => {
                for name in ["sequence_number", "item_id"] {
                    event.take(name);
                }
                let mut members = Ext(vec![("type".to_owned(), RawJson::string(kind))]);
                members.0.extend(event.into_ext().0);
                self.begin(&RawJson::object(&members), sink);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.opened(kind, sink);
                let text = event.take_as("delta", "a string")?.unwrap_or_default();
                self.told = true;
                self.piece_told = true;
                tell(self.part, Delta::Reasoning(text), sink);
            }
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                self.opened(kind, sink);
                let text = event.take_string("text")?.filter(|text| !text.is_empty());
                if let (false, Some(text)) = (self.piece_told, text) {
                    self.told = true;
                    tell(self.part, Delta::Reasoning(text.into()), sink);
                }
                self.stop_piece(sink);
            }
            "response.reasoning_summary_part.done"
            | "response.content_part.done"
            | "response.reasoning_part.done" => self.stop_piece(sink),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn begin(&mut self, how: &RawJson, sink: Sink<'_>) {
        self.stop_piece(sink);
        if self.told {
            tell(self.part, Delta::Reasoning(BETWEEN_PIECES.into()), sink);
        }
        self.open = true;
        self.piece_told = false;
        tell_piece(self.part, Some(how), sink);
    }

    /// Begins a piece if none is open, as the kind of its text says.
    fn opened(&mut self, kind: &str, sink: Sink<'_>) {
        if !self.open {
            let member = if kind.starts_with("response.reasoning_summary") {
                SUMMARY
            } else {
                CONTENT
            };
            self.begin(&RawJson::string(member), sink);
        }
    }

    fn stop_piece(&mut self, sink: Sink<'_>) {
        if std::mem::take(&mut self.open) {
            tell_piece(self.part, None, sink);
        }
    }

    pub(super) fn done(mut self, raw: Raw<'_>, sink: Sink<'_>) -> Result<(), DecodeError> {
        self.stop_piece(sink);
        let (mut object, nulls) = open(raw.get(), "item")?;
        object.take("type");
        let [summary, content] = [SUMMARY, CONTENT].map(|name| object.peek(name).map(RawJson::from));
        let reasoning = item::decode_reasoning(object, nulls)?;
        let is_content = reasoning.member.as_deref() == Some(CONTENT);
        if !self.told && !reasoning.text.is_empty() {
            let member = if is_content { CONTENT } else { SUMMARY };
            tell_piece(self.part, Some(&RawJson::string(member)), sink);
            tell(self.part, Delta::Reasoning(reasoning.text.into()), sink);
            tell_piece(self.part, None, sink);
        }
        let mut ext = reasoning.ext;
        // The part began as a summary, which most reasoning is; where there is more, all of it is told.
        if let Some(content) = content {
            for (name, raw) in [(SUMMARY, summary), (CONTENT, Some(content))] {
                if let (None, Some(raw)) = (ext.get(name), raw) {
                    ext.0.push((name.to_owned(), raw));
                }
            }
        }
        tell_changes(self.part, &self.ext, ext, sink);
        if let Some(proof) = reasoning.signature {
            tell(self.part, Delta::Signature(proof.into()), sink);
        }
        stop(self.part, sink);
        Ok(())
    }
}
