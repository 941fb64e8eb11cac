//! `usage`: what was billed, what the model read and wrote, and what it found in the cache.
//!
//! `billed_units` are what the caller pays for; `tokens` also count what Cohere puts into the prompt by itself (hundreds of
//! tokens even for a short question) and the marks around texts, which are free. What was billed is what counts here; both
//! stay in the bag. `cached_tokens` are a part of `tokens.input_tokens`, free ones included, and may exceed what was billed:
//! they are a part of the billed input only where everything was billed. `image_tokens` stand beside
//! `tokens.input_tokens`, `reasoning_tokens` are a part of `tokens.output_tokens`.

use crate::Dialect;
use crate::canonical::{Ext, Usage};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

use super::bag::inner;

/// Reads the members of `usage`. Numbers that are missing or no numbers count as not said.
pub(super) fn decode(members: Ext) -> Usage {
    let billed = inner(&members, "billed_units");
    let tokens = inner(&members, "tokens");
    let image = count(&tokens, "image_tokens");
    let read = count(&tokens, "input_tokens").map(|read| read.saturating_add(image.unwrap_or(0)));
    let input = count(&billed, "input_tokens").or(read).unwrap_or(0);
    let output = count(&billed, "output_tokens")
        .or_else(|| count(&tokens, "output_tokens"))
        .unwrap_or(0);
    let all_was_billed = read.is_none_or(|read| read == input);
    let cached = count(&members, "cached_tokens")
        .filter(|cached| *cached == 0 || all_was_billed)
        // A part cannot exceed the whole.
        .map(|cached| cached.min(input));
    Usage {
        input: input.saturating_sub(cached.unwrap_or(0)),
        cache_read: cached,
        output,
        reasoning: count(&tokens, "reasoning_tokens").map(|reasoning| reasoning.min(output)),
        input_image: image.map(|image| image.min(input)),
        ext: members,
        ..Usage::default()
    }
}

/// Reads a `usage` object; `None` if it is none.
pub(super) fn read(raw: &RawJson) -> Option<Usage> {
    Object::parse(raw.text(), "")
        .ok()
        .map(|object| decode(object.into_ext()))
}

/// Writes `usage`. Usage of this dialect is repeated as its provider wrote it, unless it has been changed since.
pub(super) fn encode(w: &mut Writer<'_>, usage: &Usage, origin: Dialect) {
    let own = origin == Dialect::CohereChat && !usage.ext.is_empty();
    if own && decode(usage.ext.clone()) == *usage {
        return w.object(|w| w.ext(&usage.ext));
    }
    let input = usage.input_total();
    let image = usage.input_image.map(|image| image.min(input));
    w.object(|w| {
        w.key("billed_units").object(|w| {
            w.key("input_tokens").number(input);
            w.key("output_tokens").number(usage.output);
        });
        w.key("tokens").object(|w| {
            w.key("input_tokens")
                .number(input.saturating_sub(image.unwrap_or(0)));
            w.key("output_tokens").number(usage.output);
            w.optional_number("reasoning_tokens", usage.reasoning);
            w.optional_number("image_tokens", image);
        });
        w.optional_number("cached_tokens", usage.cache_read);
    });
}

/// Reports the counts of another dialect that have no home here. All of them are a part of what is told.
pub(super) fn report_losses(usage: &Usage, losses: &mut Losses) {
    let parts = [
        ("cache_write", usage.cache_write),
        ("input_tool_use", usage.input_tool_use),
        ("input_audio", usage.input_audio),
        ("input_video", usage.input_video),
        ("output_audio", usage.output_audio),
        ("output_image", usage.output_image),
    ];
    for (name, count) in parts {
        if count.is_some_and(|tokens| tokens > 0) {
            losses.dropped(
                format!("usage.{name}"),
                "the dialect does not count these tokens apart",
            );
        }
    }
    if usage.total.is_some() {
        losses.dropped("usage.total", "the dialect tells no total");
    }
}

/// A count of tokens. The numbers are floats by their type.
fn count(members: &Ext, name: &str) -> Option<u64> {
    let text = members.get(name)?.text();
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(text: &str) -> Usage {
        read(&RawJson::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn what_was_billed_counts_and_cached_tokens_that_were_free_do_not() {
        let recorded = usage(
            r#"{"billed_units":{"input_tokens":11,"output_tokens":3},"cached_tokens":448,"tokens":{"input_tokens":506,"output_tokens":4}}"#,
        );
        assert_eq!((recorded.input_total(), recorded.output), (11, 3));
        assert_eq!(recorded.cache_read, None);
    }

    #[test]
    fn where_everything_was_billed_cached_tokens_are_a_part_of_it() {
        let all = usage(
            r#"{"billed_units":{"input_tokens":10.0,"output_tokens":2},"tokens":{"input_tokens":10,"output_tokens":2},"cached_tokens":4}"#,
        );
        assert_eq!((all.input, all.cache_read, all.output), (6, Some(4), 2));
        let unbilled = usage(r#"{"tokens":{"input_tokens":10,"output_tokens":2},"cached_tokens":99}"#);
        assert_eq!((unbilled.input, unbilled.cache_read), (0, Some(10)));
    }
}
