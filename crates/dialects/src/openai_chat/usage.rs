//! The `usage` object: OpenAI's totals to the disjoint counts of the canonical form and back.
//!
//! `prompt_tokens` includes what was read from and written to a cache, `completion_tokens` includes reasoning. Providers
//! that count otherwise are recognised by their own `total_tokens`, never by name.

use crate::Dialect;
use crate::canonical::{Ext, Usage};
use crate::json::{Object, RawJson, Writer};

/// Reads a `usage` object. Numbers that are missing or no numbers count as not said.
pub(crate) fn decode(raw: &RawJson) -> Usage {
    let Some(ext) = members(raw) else {
        return Usage::default();
    };
    let prompt_details = inner(&ext, "prompt_tokens_details");
    let completion_details = inner(&ext, "completion_tokens_details");
    let creation = inner(&ext, "cache_creation");

    let prompt = count(&ext, "prompt_tokens").unwrap_or(0);
    let completion = count(&ext, "completion_tokens").unwrap_or(0);
    let reasoning =
        count(&completion_details, "reasoning_tokens").or_else(|| count(&ext, "reasoning_tokens"));
    // Some providers tell more cached tokens than prompt tokens; a part cannot exceed the whole.
    let cache_read = count(&prompt_details, "cached_tokens")
        .or_else(|| count(&ext, "prompt_cache_hit_tokens"))
        .or_else(|| count(&ext, "cached_tokens"))
        .or_else(|| count(&ext, "num_cached_tokens"))
        .or_else(|| count(&ext, "cache_read_input_tokens"))
        .map(|cached| cached.min(prompt));
    let uncached = prompt.saturating_sub(cache_read.unwrap_or(0));
    let cache_write = count(&prompt_details, "cache_write_tokens")
        .or_else(|| count(&prompt_details, "cache_creation_input_tokens"))
        .or_else(|| count(&ext, "cache_creation_input_tokens"))
        .map(|written| written.min(uncached));

    let sum = prompt.saturating_add(completion);
    let stated_total = count(&ext, "total_tokens").unwrap_or(sum);
    // xAI counts reasoning beside the completion: its total proves it.
    let beside =
        reasoning.filter(|&reasoning| reasoning > 0 && sum.checked_add(reasoning) == Some(stated_total));
    Usage {
        input: uncached.saturating_sub(cache_write.unwrap_or(0)),
        cache_read,
        cache_write,
        cache_write_5m: cache_write.and(count(&creation, "ephemeral_5m_input_tokens")),
        cache_write_1h: cache_write.and(count(&creation, "ephemeral_1h_input_tokens")),
        output: completion.saturating_add(beside.unwrap_or(0)),
        reasoning,
        input_tool_use: None,
        input_image: None,
        input_video: None,
        output_image: None,
        input_audio: count(&prompt_details, "audio_tokens"),
        output_audio: count(&completion_details, "audio_tokens"),
        total: (beside.is_none() && stated_total != sum).then_some(stated_total),
        estimated: false,
        ext,
    }
}

/// Writes a `usage` object. Usage of this dialect is repeated as its provider wrote it, unless it has been changed since.
pub(crate) fn encode(w: &mut Writer<'_>, usage: &Usage, origin: Dialect) {
    if origin != Dialect::OpenaiChat || usage.ext.is_empty() {
        w.object(|w| write_counts(w, usage));
    } else if decode(&RawJson::object(&usage.ext)) == *usage {
        w.object(|w| w.ext(&usage.ext));
    } else {
        w.object(|w| {
            write_counts(w, usage);
            w.ext(&super::ext::without(&usage.ext, &COUNTS));
        });
    }
}

fn write_counts(w: &mut Writer<'_>, usage: &Usage) {
    w.key("prompt_tokens").number(usage.input_total());
    w.key("completion_tokens").number(usage.output);
    w.key("total_tokens").number(usage.total());
    if usage
        .cache_read
        .or(usage.cache_write)
        .or(usage.input_audio)
        .is_some()
    {
        w.key("prompt_tokens_details").object(|w| {
            w.optional_number("cached_tokens", usage.cache_read);
            w.optional_number("cache_write_tokens", usage.cache_write);
            w.optional_number("audio_tokens", usage.input_audio);
        });
    }
    if usage.reasoning.or(usage.output_audio).is_some() {
        w.key("completion_tokens_details").object(|w| {
            w.optional_number("reasoning_tokens", usage.reasoning);
            w.optional_number("audio_tokens", usage.output_audio);
        });
    }
}

fn members(raw: &RawJson) -> Option<Ext> {
    Object::parse(raw.text(), "").ok().map(Object::into_ext)
}

fn inner(ext: &Ext, name: &str) -> Ext {
    ext.get(name).and_then(members).unwrap_or_default()
}

/// A count of tokens. Some providers write `12.0`.
fn count(ext: &Ext, name: &str) -> Option<u64> {
    let raw = ext.get(name)?;
    if let Ok(number) = serde_json::from_str(raw.text()) {
        return Some(number);
    }
    let whole = raw.text().strip_suffix(".0")?;
    serde_json::from_str(whole).ok()
}

/// The members that [`write_counts`] writes or that would contradict them.
const COUNTS: [&str; 11] = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "reasoning_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "cache_read_input_tokens",
];
