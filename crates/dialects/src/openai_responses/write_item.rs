//! Items of the model, written: as they came, or with made ids for answers of other makers.

use super::content::write_own_part;
use super::item::{CONTENT, SUMMARY, arguments_member};
use super::{ITEM, ITEM_END, ORIGIN};
use crate::canonical::{Ext, Part, Reasoning, Text, ToolCall, ToolCallKind};
use crate::json::{RawJson, Writer};
use crate::openai_chat::ext::{inner, without};

/// Writes the items that these parts of this dialect are. Reasoning of other makers is left out: only the maker takes it.
pub(super) fn write_own(w: &mut Writer<'_>, parts: &[Part]) {
    let mut rest = parts;
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            Part::Text(_) | Part::Refusal(_) => {
                let (message, behind) = split_message(rest);
                write_own_message(w, message);
                behind
            }
            Part::Reasoning(reasoning) => {
                if is_own(reasoning) {
                    write_own_reasoning(w, reasoning);
                }
                behind
            }
            Part::ToolCall(call) => {
                write_own_call(w, call);
                behind
            }
            Part::Opaque { dialect, raw, .. } => {
                if *dialect == ORIGIN {
                    w.raw(raw);
                }
                behind
            }
            Part::Media(_) | Part::ToolResult(_) => behind,
        };
    }
}

/// Whether reasoning was written by a maker of this dialect.
pub(super) fn is_own(reasoning: &Reasoning) -> bool {
    reasoning.origin == Some(ORIGIN)
}

/// The parts of the message that begins with the first part, and what follows it.
pub(super) fn split_message(parts: &[Part]) -> (&[Part], &[Part]) {
    let goes_on =
        |part: &Part| matches!(part, Part::Text(text) | Part::Refusal(text) if text.ext.get(ITEM).is_none());
    let length = 1 + parts.iter().skip(1).take_while(|part| goes_on(part)).count();
    parts.split_at(length.min(parts.len()))
}

/// What belongs to the whole message that these parts are; the end of a stream may have told it anew.
fn item_of(parts: &[Part]) -> Ext {
    let mut item = Ext::default();
    for part in parts {
        if let Part::Text(text) | Part::Refusal(text) = part {
            for name in [ITEM, ITEM_END]
                .into_iter()
                .filter(|name| text.ext.get(name).is_some())
            {
                item = inner(&text.ext, name);
            }
        }
    }
    item
}

fn write_own_message(w: &mut Writer<'_>, parts: &[Part]) {
    let item = item_of(parts);
    w.object(|w| {
        let is_said = |part: &Part| matches!(part, Part::Text(text) | Part::Refusal(text) if text.ext.get(ITEM).is_some());
        if !parts.first().is_some_and(is_said) {
            w.key("type").string("message");
        }
        w.key("role").string("assistant");
        match (item.get(CONTENT).map(RawJson::text), parts) {
            (Some("null"), [Part::Text(text)]) => w.key(CONTENT).string(&text.text),
            (Some("[]"), [Part::Text(text)]) if text.text.is_empty() => w.key(CONTENT).array(|_| {}),
            _ => w.key(CONTENT).array(|w| {
                parts
                    .iter()
                    .for_each(|part| write_own_part(w, part, "output_text"))
            }),
        }
        w.ext(&without(&item, &[CONTENT]));
    });
}

/// Whether the content of the message that this text is was written as a string.
pub(crate) fn is_string(text: &Text) -> bool {
    inner(&text.ext, ITEM).get(CONTENT).map(RawJson::text) == Some("null")
}

/// Writes reasoning as it came.
pub(super) fn write_own_reasoning(w: &mut Writer<'_>, reasoning: &Reasoning) {
    let ext = &reasoning.ext;
    let proof = reasoning.signature.as_ref().or(reasoning.redacted.as_ref());
    let kept = |name: &str| ext.get(name).filter(|raw| !raw.is_blank());
    let of_content = reasoning.member.as_deref() == Some(CONTENT)
        || kept(CONTENT).is_some_and(|_| ext.get(SUMMARY).is_some());
    // A stream begins with an empty summary, whatever follows.
    let summary = ext.get(SUMMARY).is_none_or(|raw| raw.text() == "[]");
    w.object(|w| {
        w.key("type").string("reasoning");
        if summary {
            w.key(SUMMARY).array(|w| {
                if !of_content {
                    write_piece(w, "summary_text", &reasoning.text);
                }
            });
        }
        if ext.get(CONTENT).is_none() && of_content {
            w.key(CONTENT)
                .array(|w| write_piece(w, "reasoning_text", &reasoning.text));
        }
        w.optional_string("encrypted_content", proof.map(String::as_str));
        let said_above = |name: &str, raw: &RawJson| match name {
            SUMMARY => summary || raw.text() == "null",
            PIECE => true,
            "encrypted_content" => proof.is_some(),
            _ => false,
        };
        for (name, raw) in ext.iter().filter(|(name, raw)| !said_above(name, raw)) {
            w.key(name).raw(raw);
        }
    });
}

/// The member of a delta of reasoning that tells where a piece of it begins and ends.
pub(super) const PIECE: &str = "piece";

fn write_piece(w: &mut Writer<'_>, kind: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    w.object(|w| {
        w.key("type").string(kind);
        w.key("text").string(text);
    });
}

fn write_own_call(w: &mut Writer<'_>, call: &ToolCall) {
    w.object(|w| {
        w.key("type").string(call_kind(call.kind));
        w.key("call_id").string(&call.id);
        w.key("name").string(&call.name);
        w.key(arguments_member(call.kind)).string(&call.arguments);
        w.ext(&without(&call.ext, &[PIECE]));
    });
}

/// The `type` of a call.
pub(super) fn call_kind(kind: ToolCallKind) -> &'static str {
    if kind == ToolCallKind::Custom {
        "custom_tool_call"
    } else {
        "function_call"
    }
}

/// Writes a message of another maker's answer.
pub(super) fn write_message(
    w: &mut Writer<'_>,
    id: &str,
    status: &str,
    content: impl FnOnce(&mut Writer<'_>),
) {
    w.object(|w| {
        w.key("id").string(id);
        w.key("type").string("message");
        w.key("status").string(status);
        w.key("role").string("assistant");
        w.key("content").array(content);
    });
}

/// Writes a text of another maker's answer.
pub(super) fn write_output_text(w: &mut Writer<'_>, text: &str, logprobs: Option<&RawJson>) {
    w.object(|w| {
        w.key("type").string("output_text");
        w.key("annotations").array(|_| {});
        w.key("logprobs");
        match logprobs {
            Some(raw) => w.raw(raw),
            None => w.array(|_| {}),
        }
        w.key("text").string(text);
    });
}

/// Writes a refusal of another maker's answer.
pub(super) fn write_refusal(w: &mut Writer<'_>, text: &str) {
    w.object(|w| {
        w.key("type").string("refusal");
        w.key("refusal").string(text);
    });
}

/// Writes reasoning of another maker's answer; `envelope` is what brings it back to its maker.
pub(super) fn write_reasoning(w: &mut Writer<'_>, id: &str, text: &str, envelope: Option<&str>) {
    w.object(|w| {
        w.key("id").string(id);
        w.key("type").string("reasoning");
        w.key(SUMMARY).array(|w| write_piece(w, "summary_text", text));
        w.optional_string("encrypted_content", envelope);
    });
}

/// Writes a call of another maker's answer.
pub(super) fn write_call(w: &mut Writer<'_>, id: &str, status: &str, call: &ToolCall) {
    w.object(|w| {
        w.key("id").string(id);
        w.key("type").string(call_kind(call.kind));
        w.key("status").string(status);
        w.key("call_id").string(&call.id);
        w.key("name").string(&call.name);
        w.key(arguments_member(call.kind)).string(&call.arguments);
    });
}
