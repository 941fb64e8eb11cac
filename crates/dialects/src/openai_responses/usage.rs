//! The `usage` object: totals of this dialect to the disjoint counts of the canonical form and back.
//!
//! `input_tokens` includes what was read from and written to a cache, `output_tokens` includes reasoning.

use super::ORIGIN;
use crate::Dialect;
use crate::canonical::{Ext, Usage};
use crate::json::{Object, RawJson, Writer};
use crate::openai_chat::ext::{inner, without};

/// Reads a `usage` object. Numbers that are missing or no numbers count as not said.
pub(super) fn decode(raw: &RawJson) -> Usage {
    let ext = Object::parse(raw.text(), "")
        .map(Object::into_ext)
        .unwrap_or_default();
    let input_details = inner(&ext, "input_tokens_details");
    let output_details = inner(&ext, "output_tokens_details");
    let input = count(&ext, "input_tokens").unwrap_or(0);
    let output = count(&ext, "output_tokens").unwrap_or(0);
    // A part cannot exceed the whole, whatever a provider says.
    let cache_read = count(&input_details, "cached_tokens").map(|cached| cached.min(input));
    let uncached = input.saturating_sub(cache_read.unwrap_or(0));
    let cache_write = count(&input_details, "cache_write_tokens").map(|written| written.min(uncached));
    let sum = input.saturating_add(output);
    Usage {
        input: uncached.saturating_sub(cache_write.unwrap_or(0)),
        cache_read,
        cache_write,
        output,
        reasoning: count(&output_details, "reasoning_tokens"),
        input_audio: count(&input_details, "audio_tokens"),
        output_audio: count(&output_details, "audio_tokens"),
        total: count(&ext, "total_tokens").filter(|total| *total != sum),
        ext,
        ..Usage::default()
    }
}

/// Writes a `usage` object. Usage of this dialect is repeated as its provider wrote it, unless it has been changed since.
pub(super) fn encode(w: &mut Writer<'_>, usage: &Usage, origin: Dialect) {
    if origin != ORIGIN || usage.ext.is_empty() {
        w.object(|w| write_counts(w, usage));
    } else if decode(&RawJson::object(&usage.ext)) == *usage {
        w.object(|w| w.ext(&usage.ext));
    } else {
        w.object(|w| {
            write_counts(w, usage);
            w.ext(&without(&usage.ext, &COUNTS));
        });
    }
}

/// Clients take the details for granted, so they are there even if the provider did not tell them.
fn write_counts(w: &mut Writer<'_>, usage: &Usage) {
    w.key("input_tokens").number(usage.input_total());
    w.key("input_tokens_details").object(|w| {
        w.key("cached_tokens").number(usage.cache_read.unwrap_or(0));
        w.key("cache_write_tokens").number(usage.cache_write.unwrap_or(0));
        w.optional_number("audio_tokens", usage.input_audio);
    });
    w.key("output_tokens").number(usage.output);
    w.key("output_tokens_details").object(|w| {
        w.key("reasoning_tokens").number(usage.reasoning.unwrap_or(0));
        w.optional_number("audio_tokens", usage.output_audio);
    });
    w.key("total_tokens").number(usage.total());
}

fn count(ext: &Ext, name: &str) -> Option<u64> {
    serde_json::from_str(ext.get(name)?.text()).ok()
}

/// The members that [`write_counts`] writes.
const COUNTS: [&str; 5] = [
    "input_tokens",
    "input_tokens_details",
    "output_tokens",
    "output_tokens_details",
    "total_tokens",
];
