//! Server-sent events as this dialect writes them.

use super::logprobs;
use crate::anthropic_messages::write_event;
use crate::json::{RawJson, Writer};

/// Writes an event that says nothing but its index.
pub(super) fn write_indexed(out: &mut Vec<u8>, kind: &str, index: u64) {
    write_event(out, kind, |w| w.key("index").number(index));
}

/// Writes an event of a content.
pub(super) fn write_content(
    out: &mut Vec<u8>,
    kind: &str,
    index: u64,
    content: impl FnOnce(&mut Writer<'_>),
) {
    write_event(out, kind, |w| {
        w.key("index").number(index);
        w.key("delta").object(|w| {
            w.key("message").object(|w| {
                w.key("content");
                content(w);
            });
        });
    });
}

/// Writes a piece of a content.
pub(super) fn write_content_piece(out: &mut Vec<u8>, index: u64, member: &str, piece: &str) {
    write_content(out, "content-delta", index, |w| {
        w.object(|w| w.key(member).string(piece));
    });
}

/// Writes a piece of text with its log probabilities.
pub(super) fn write_text(out: &mut Vec<u8>, index: u64, text: &str, logprobs: Option<&RawJson>) {
    write_event(out, "content-delta", |w| {
        w.key("index").number(index);
        w.key("delta").object(|w| {
            w.key("message").object(|w| {
                w.key("content").object(|w| w.key("text").string(text));
            });
        });
        if let Some(raw) = logprobs {
            w.key("logprobs");
            logprobs::encode_piece(w, raw);
        }
    });
}

/// Writes an event of a call.
pub(super) fn write_call(out: &mut Vec<u8>, kind: &str, index: u64, call: impl FnOnce(&mut Writer<'_>)) {
    write_event(out, kind, |w| {
        w.key("index").number(index);
        w.key("delta").object(|w| {
            w.key("message").object(|w| {
                w.key("tool_calls");
                call(w);
            });
        });
    });
}

/// Writes what a call's event says of its arguments.
pub(super) fn write_arguments(w: &mut Writer<'_>, arguments: &str) {
    w.object(|w| {
        w.key("function").object(|w| w.key("arguments").string(arguments));
    });
}
