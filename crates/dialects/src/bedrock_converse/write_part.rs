//! Content blocks, written. What this dialect cannot say must have been taken out before.

use super::media;
use super::part::{CACHE_POINT, CITATIONS, CITATIONS_CONTENT, JSON, ORIGIN};
use crate::canonical::{CacheHint, ContentForm, Ext, Part, Text};
use crate::json::{RawJson, Writer};

/// Writes the elements of a list of blocks, cache points included.
pub(super) fn write_blocks<'p>(w: &mut Writer<'_>, parts: impl Iterator<Item = &'p Part>) {
    for part in parts {
        write_part(w, part);
        write_cache_point(w, cache_of(part));
        if let Part::Reasoning(reasoning) = part
            && let Some(raw) = reasoning.ext.get(CACHE_POINT)
        {
            write_raw_cache_point(w, raw);
        }
    }
}

/// Writes a cache point as a block of its own: as it was, or for another dialect's hint with the nearest lifetime.
pub(super) fn write_cache_point(w: &mut Writer<'_>, cache: Option<&CacheHint>) {
    match cache {
        None => {}
        Some(cache) if cache.dialect == ORIGIN => write_raw_cache_point(w, &cache.raw),
        Some(cache) => w.object(|w| {
            w.key(CACHE_POINT).object(|w| {
                w.key("type").string("default");
                match cache.ttl.as_deref() {
                    None => {}
                    Some("5m") => w.key("ttl").string("5m"),
                    Some(_) => w.key("ttl").string("1h"),
                }
            });
        }),
    }
}

/// Writes a cache point as it was.
pub(super) fn write_raw_cache_point(w: &mut Writer<'_>, raw: &RawJson) {
    w.object(|w| w.key(CACHE_POINT).raw(raw));
}

fn cache_of(part: &Part) -> Option<&CacheHint> {
    match part {
        Part::Text(text) | Part::Refusal(text) => text.cache.as_ref(),
        Part::Media(media) => media.cache.as_ref(),
        Part::ToolCall(call) => call.cache.as_ref(),
        Part::ToolResult(result) => result.cache.as_ref(),
        Part::Reasoning(_) | Part::Opaque { .. } => None,
    }
}

fn write_part(w: &mut Writer<'_>, part: &Part) {
    match part {
        Part::Text(text) | Part::Refusal(text) => write_text(w, text),
        Part::Media(media) => media::write(w, media),
        Part::ToolCall(call) => w.object(|w| {
            w.key("toolUse").object(|w| {
                w.key("toolUseId").string(&call.id);
                w.key("name").string(&call.name);
                w.key("input");
                match RawJson::parse(&call.arguments) {
                    Ok(input) => w.raw(&input),
                    Err(_) => w.object(|_| {}),
                }
                w.ext(&call.ext);
            });
        }),
        Part::ToolResult(result) => w.object(|w| {
            w.key("toolResult").object(|w| {
                w.key("toolUseId").string(&result.call_id);
                if result.form != ContentForm::Absent {
                    w.key("content").array(|w| write_blocks(w, result.content.iter()));
                }
                if let Some(failed) = result.is_error {
                    w.key("status").string(if failed { "error" } else { "success" });
                }
                w.ext(&result.ext);
            });
        }),
        Part::Reasoning(reasoning) => w.object(|w| {
            w.key("reasoningContent").object(|w| match &reasoning.redacted {
                Some(sealed) => w.key("redactedContent").string(sealed),
                None => w.key("reasoningText").object(|w| {
                    w.key("text").string(&reasoning.text);
                    w.optional_string("signature", reasoning.signature.as_deref());
                    w.ext(&without(&reasoning.ext, CACHE_POINT));
                }),
            });
        }),
        Part::Opaque { raw, .. } => w.raw(raw),
    }
}

fn write_text(w: &mut Writer<'_>, text: &Text) {
    w.object(|w| {
        if let Some(citations) = text.ext.get(CITATIONS) {
            if citations.text().starts_with('{') {
                return w.key(CITATIONS_CONTENT).raw(citations);
            }
            return w.key(CITATIONS_CONTENT).object(|w| {
                if !text.text.is_empty() {
                    w.key("content")
                        .array(|w| w.object(|w| w.key("text").string(&text.text)));
                }
                w.key("citations").raw(citations);
            });
        }
        match RawJson::parse(&text.text) {
            Ok(value) if text.ext.get(JSON).is_some() => w.key("json").raw(&value),
            _ => w.key("text").string(&text.text),
        }
    });
}

fn without(ext: &Ext, name: &str) -> Ext {
    Ext(ext.0.iter().filter(|(key, _)| key != name).cloned().collect())
}
