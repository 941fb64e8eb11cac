//! The `usage` object of this dialect.
//!
//! `inputTokens` counts neither cache reads nor cache writes, as the canonical form does; `totalTokens` counts all.
//! `cacheDetails` splits the writes by lifetime.

use crate::Dialect;
use crate::canonical::{Ext, Usage};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Members that [`write_counts`] writes, or that would contradict them.
const COUNTS: [&str; 8] = [
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokens",
    "cacheWriteInputTokenCount",
    "cacheDetails",
];

/// Reads the members of a usage object. One that is not what the dialect says counts as missing: an answer that was paid for
/// is not refused because of a number.
pub(super) fn decode(members: Ext) -> Usage {
    let count = |name: &str| -> Option<u64> { serde_json::from_str(members.get(name)?.text()).ok() };
    let mut usage = Usage {
        input: count("inputTokens").unwrap_or(0),
        output: count("outputTokens").unwrap_or(0),
        cache_read: count("cacheReadInputTokens").or_else(|| count("cacheReadInputTokenCount")),
        cache_write: count("cacheWriteInputTokens").or_else(|| count("cacheWriteInputTokenCount")),
        cache_write_5m: members.get("cacheDetails").and_then(|list| written(list, "5m")),
        cache_write_1h: members.get("cacheDetails").and_then(|list| written(list, "1h")),
        ..Usage::default()
    };
    usage.total = count("totalTokens").filter(|total| *total != usage.total());
    usage.ext = members;
    usage
}

/// The tokens of one lifetime in a list of `{ttl, inputTokens}`.
fn written(list: &RawJson, lifetime: &str) -> Option<u64> {
    let entries: Vec<crate::json::Raw<'_>> = serde_json::from_str(list.text()).ok()?;
    entries
        .iter()
        .filter_map(|entry| {
            let mut entry = Object::parse(entry.get(), "").ok()?;
            let ttl = entry.take_string("ttl").ok()??;
            let tokens = entry.take_u64("inputTokens").ok()??;
            (ttl == lifetime).then_some(tokens)
        })
        .reduce(u64::saturating_add)
}

/// Writes a usage object. Usage of this dialect is repeated as its provider wrote it, unless it has been changed since.
pub(super) fn encode(w: &mut Writer<'_>, usage: &Usage, origin: Dialect) {
    let own = origin == Dialect::BedrockConverse && !usage.ext.is_empty();
    if own && decode(usage.ext.clone()) == *usage {
        return w.object(|w| w.ext(&usage.ext));
    }
    w.object(|w| {
        write_counts(w, usage);
        if own {
            let rest = usage
                .ext
                .0
                .iter()
                .filter(|(name, _)| !COUNTS.contains(&name.as_str()));
            w.ext(&Ext(rest.cloned().collect()));
        }
    });
}

fn write_counts(w: &mut Writer<'_>, usage: &Usage) {
    w.key("inputTokens").number(usage.input);
    w.key("outputTokens").number(usage.output);
    w.key("totalTokens").number(usage.total());
    w.optional_number("cacheReadInputTokens", usage.cache_read);
    w.optional_number("cacheWriteInputTokens", usage.cache_write);
    let split = [("5m", usage.cache_write_5m), ("1h", usage.cache_write_1h)];
    if split.iter().any(|(_, tokens)| tokens.is_some()) {
        w.key("cacheDetails").array(|w| {
            for (ttl, tokens) in split {
                if let Some(tokens) = tokens {
                    w.object(|w| {
                        w.key("ttl").string(ttl);
                        w.key("inputTokens").number(tokens);
                    });
                }
            }
        });
    }
}

/// Reports the counts of another dialect that have no home here.
pub(super) fn report_losses(usage: &Usage, losses: &mut Losses) {
    for (name, count) in [
        ("usage.reasoning", usage.reasoning),
        ("usage.input_audio", usage.input_audio),
        ("usage.input_image", usage.input_image),
        ("usage.input_video", usage.input_video),
        ("usage.input_tool_use", usage.input_tool_use),
        ("usage.output_audio", usage.output_audio),
        ("usage.output_image", usage.output_image),
    ] {
        if count.is_some_and(|count| count > 0) {
            losses.dropped(name, "the dialect does not count these tokens apart");
        }
    }
}
