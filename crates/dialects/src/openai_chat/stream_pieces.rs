//! The members that deltas are made of, written.

use super::content::THINKING;
use super::ext::{inner, without};
use super::reasoning::DETAILS;
use crate::canonical::{Ext, ToolCallKind};
use crate::json::Writer;

/// Writes a piece of text; members beside it need a content list.
pub(super) fn write_text(w: &mut Writer<'_>, text: &str, piece: &Ext) {
    if piece.is_empty() {
        w.key("content").string(text);
        return;
    }
    w.key("content").array(|w| {
        w.object(|w| {
            w.key("type").string("text");
            w.key("text").string(text);
            w.ext(piece);
        });
    });
}

/// Writes a piece of reasoning into the member it came from.
pub(super) fn write_own_reasoning(w: &mut Writer<'_>, member: &str, text: &str, piece: &Ext) {
    match member {
        THINKING => w.key("content").array(|w| {
            w.object(|w| {
                w.key("type").string("thinking");
                w.key("thinking").array(|w| {
                    w.object(|w| {
                        w.key("type").string("text");
                        w.key("text").string(text);
                    });
                });
                w.ext(piece);
            });
        }),
        // The entries hold the text.
        DETAILS => w.ext(piece),
        member => {
            w.key(member).string(text);
            w.ext(&without(piece, &[member]));
        }
    }
}

/// Writes the beginning of a tool call.
pub(super) fn write_call_start(
    w: &mut Writer<'_>,
    kind: ToolCallKind,
    index: u64,
    id: &str,
    name: &str,
    ext: Option<&Ext>,
) {
    let (member, arguments) = match kind {
        ToolCallKind::LegacyFunction => {
            w.key("function_call").object(|w| {
                w.key("name").string(name);
                w.key("arguments").string("");
                if let Some(ext) = ext {
                    w.ext(ext);
                }
            });
            return;
        }
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    };
    w.key("tool_calls").array(|w| {
        w.object(|w| {
            w.key("index").number(index);
            w.key("id").string(id);
            w.key("type").string(member);
            w.key(member).object(|w| {
                w.key("name").string(name);
                w.key(arguments).string("");
                if let Some(ext) = ext {
                    w.ext(&inner(ext, member));
                }
            });
            if let Some(ext) = ext {
                w.ext(&without(ext, &[member]));
            }
        });
    });
}

/// Writes a piece of the arguments of a tool call.
pub(super) fn write_arguments(
    w: &mut Writer<'_>,
    kind: ToolCallKind,
    index: u64,
    arguments: &str,
    piece: &Ext,
) {
    let (member, name) = match kind {
        ToolCallKind::LegacyFunction => {
            w.key("function_call").object(|w| {
                w.key("arguments").string(arguments);
                w.ext(piece);
            });
            return;
        }
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    };
    w.key("tool_calls").array(|w| {
        w.object(|w| {
            w.key("index").number(index);
            w.key(member).object(|w| {
                w.key(name).string(arguments);
                w.ext(&inner(piece, member));
            });
            w.ext(&without(piece, &[member]));
        });
    });
}

/// Writes one entry of `reasoning_details` for a block of another maker; pieces of a block share their index.
pub(super) fn write_detail(
    w: &mut Writer<'_>,
    (kind, member): (&str, &str),
    value: &str,
    id: Option<&str>,
    format: &str,
    index: u64,
) {
    w.key(DETAILS).array(|w| {
        w.object(|w| {
            w.key("type").string(kind);
            w.key(member).string(value);
            w.optional_string("id", id);
            w.key("format").string(format);
            w.key("index").number(index);
        });
    });
}
