//! The `usage` object: OpenAI's totals to the disjoint counts of the canonical form and back.
//!
//! `prompt_tokens` includes what was read from and written to a cache, `completion_tokens` includes reasoning. Providers
//! that count otherwise are recognised by their own `total_tokens`, never by name.

use crate::Dialect;
use crate::canonical::Usage;
use crate::json::{Object, RawJson, Writer};
use crate::scan::{ScanError, Scanner, count};

/// Reads a `usage` object. Numbers that are missing or no numbers count as not said.
pub(crate) fn decode(raw: &RawJson) -> Usage {
    let Some(ext) = Object::parse(raw.text(), "").ok().map(Object::into_ext) else {
        return Usage::default();
    };
    let mut counts = Counts::default();
    for (name, value) in ext.iter() {
        // What is kept is JSON, so it can be read.
        let _ = counts.read(name.as_bytes(), &mut Scanner::new(value.text().as_bytes()));
    }
    Usage {
        ext,
        ..counts.usage()
    }
}

/// Reads the numbers of a `usage` object; its own words are not kept.
///
/// # Errors
/// It is no object, a name has escapes, or the names are those of another API.
pub(crate) fn counts(usage: &mut Scanner<'_>) -> Result<Usage, ScanError> {
    let mut counts = Counts::default();
    usage.walk_object(|value, name| match name {
        b"input_tokens" | b"output_tokens" | b"input_tokens_details" | b"output_tokens_details" => {
            Err(value.unexpected())
        }
        _ if name.contains(&b'\\') => Err(value.unexpected()),
        _ => counts.read(name, value),
    })?;
    Ok(counts.usage())
}

/// The numbers that providers write, under all their names.
#[derive(Clone, Copy, Default)]
struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    reasoning_detail: Option<u64>,
    reasoning: Option<u64>,
    cached: [Option<u64>; 5],
    written: [Option<u64>; 3],
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
}

impl Counts {
    fn read(&mut self, name: &[u8], value: &mut Scanner<'_>) -> Result<(), ScanError> {
        if value.first() == Some(b'{') {
            value.walk_object(|value, part| self.note(name, part, value))
        } else {
            self.note(b"", name, value)
        }
    }

    /// Reads the member `name` of `object`, which is empty for the usage object itself.
    fn note(&mut self, object: &[u8], name: &[u8], value: &mut Scanner<'_>) -> Result<(), ScanError> {
        let raw = value.raw()?;
        if let Some(place) = self.place(object, name) {
            *place = count(raw);
        }
        Ok(())
    }

    fn place(&mut self, object: &[u8], name: &[u8]) -> Option<&mut Option<u64>> {
        Some(match (object, name) {
            (b"", b"prompt_tokens") => &mut self.prompt,
            (b"", b"completion_tokens") => &mut self.completion,
            (b"", b"total_tokens") => &mut self.total,
            (b"", b"reasoning_tokens") => &mut self.reasoning,
            (b"prompt_tokens_details", b"cached_tokens") => &mut self.cached[0],
            (b"", b"prompt_cache_hit_tokens") => &mut self.cached[1],
            (b"", b"cached_tokens") => &mut self.cached[2],
            (b"", b"num_cached_tokens") => &mut self.cached[3],
            (b"", b"cache_read_input_tokens") => &mut self.cached[4],
            (b"prompt_tokens_details", b"cache_write_tokens") => &mut self.written[0],
            (b"prompt_tokens_details", b"cache_creation_input_tokens") => &mut self.written[1],
            (b"", b"cache_creation_input_tokens") => &mut self.written[2],
            (b"prompt_tokens_details", b"audio_tokens") => &mut self.audio_input,
            (b"completion_tokens_details", b"reasoning_tokens") => &mut self.reasoning_detail,
            (b"completion_tokens_details", b"audio_tokens") => &mut self.audio_output,
            (b"cache_creation", b"ephemeral_5m_input_tokens") => &mut self.written_5m,
            (b"cache_creation", b"ephemeral_1h_input_tokens") => &mut self.written_1h,
            _ => return None,
        })
    }

    fn usage(&self) -> Usage {
        let prompt = self.prompt.unwrap_or(0);
        let completion = self.completion.unwrap_or(0);
        let reasoning = self.reasoning_detail.or(self.reasoning);
        let first = |counts: &[Option<u64>]| counts.iter().find_map(|count| *count);
        // Some providers tell more cached tokens than prompt tokens; a part cannot exceed the whole.
        let cache_read = first(&self.cached).map(|cached| cached.min(prompt));
        let uncached = prompt.saturating_sub(cache_read.unwrap_or(0));
        let cache_write = first(&self.written).map(|written| written.min(uncached));

        let sum = prompt.saturating_add(completion);
        let stated_total = self.total.unwrap_or(sum);
        // xAI counts reasoning beside the completion: its total proves it.
        let beside =
            reasoning.filter(|&reasoning| reasoning > 0 && sum.checked_add(reasoning) == Some(stated_total));
        Usage {
            input: uncached.saturating_sub(cache_write.unwrap_or(0)),
            cache_read,
            cache_write,
            cache_write_5m: cache_write.and(self.written_5m),
            cache_write_1h: cache_write.and(self.written_1h),
            output: completion.saturating_add(beside.unwrap_or(0)),
            reasoning,
            input_audio: self.audio_input,
            output_audio: self.audio_output,
            total: (beside.is_none() && stated_total != sum).then_some(stated_total),
            ..Usage::default()
        }
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
