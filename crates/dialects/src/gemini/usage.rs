//! `usageMetadata`: Gemini's counts to the disjoint counts of the canonical form and back.
//!
//! `promptTokenCount` includes what was read from a cache; results of Gemini's own tools are counted beside it, in
//! `toolUsePromptTokenCount`. `candidatesTokenCount` does not include thoughts. The total is the sum of all four.

use crate::json::Raw;

use super::fields::{camel_case, count};
use crate::Dialect;
use crate::canonical::{Ext, Usage};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Reads the members of `usageMetadata`. Numbers that are missing or no numbers count as not said.
pub(super) fn decode(members: Ext) -> Usage {
    let tokens = |name: &str| member(&members, name).and_then(|raw| count(raw.text()));
    let prompt = tokens("promptTokenCount").unwrap_or(0);
    let tool_use = tokens("toolUsePromptTokenCount");
    let candidates = tokens("candidatesTokenCount").unwrap_or(0);
    let thoughts = tokens("thoughtsTokenCount");
    // A part cannot exceed the whole.
    let cached = tokens("cachedContentTokenCount").map(|cached| cached.min(prompt));
    let output = candidates.saturating_add(thoughts.unwrap_or(0));
    let sum = prompt
        .saturating_add(tool_use.unwrap_or(0))
        .saturating_add(output);
    let total = tokens("totalTokenCount").filter(|total| *total != sum);
    let of = |lists: &[&str], modality: &str| {
        lists
            .iter()
            .filter_map(|list| of_modality(member(&members, list)?, modality))
            .reduce(u64::saturating_add)
    };
    const INPUT: [&str; 2] = ["promptTokensDetails", "toolUsePromptTokensDetails"];
    const OUTPUT: [&str; 1] = ["candidatesTokensDetails"];
    Usage {
        input: prompt
            .saturating_sub(cached.unwrap_or(0))
            .saturating_add(tool_use.unwrap_or(0)),
        cache_read: cached,
        input_tool_use: tool_use,
        output,
        reasoning: thoughts,
        input_audio: of(&INPUT, "AUDIO"),
        input_image: of(&INPUT, "IMAGE"),
        input_video: of(&INPUT, "VIDEO"),
        output_audio: of(&OUTPUT, "AUDIO"),
        output_image: of(&OUTPUT, "IMAGE"),
        total,
        ext: members,
        ..Usage::default()
    }
}

/// Whether `usageMetadata` counts anything; the first chunks of Vertex name the kind of traffic only.
pub(super) fn counts_tokens(members: &Ext) -> bool {
    members
        .iter()
        .any(|(name, _)| name.ends_with("TokenCount") || name.ends_with("_token_count"))
}

/// The tier that answered.
pub(super) fn service_tier(members: &Ext) -> Option<String> {
    member(members, "serviceTier")?.as_string()
}

/// Writes `usageMetadata`. Usage of this dialect is repeated as its provider wrote it, unless it has been changed since.
pub(super) fn encode(w: &mut Writer<'_>, usage: &Usage, origin: Dialect) {
    let own = origin == Dialect::Gemini && !usage.ext.is_empty();
    if own && decode(usage.ext.clone()) == *usage {
        return w.object(|w| w.ext(&usage.ext));
    }
    w.object(|w| {
        write_counts(w, usage);
        if own {
            let rest = usage.ext.0.iter().filter(|(name, _)| {
                let name = camel_case(name).unwrap_or_else(|| name.clone());
                !COUNTS.contains(&name.as_str())
            });
            w.ext(&Ext(rest.cloned().collect()));
        }
    });
}

fn write_counts(w: &mut Writer<'_>, usage: &Usage) {
    let tool_use = usage.input_tool_use.unwrap_or(0);
    let prompt = usage.input_total().saturating_sub(tool_use);
    let thoughts = usage.reasoning.map(|thoughts| thoughts.min(usage.output));
    w.key("promptTokenCount").number(prompt);
    w.optional_number("cachedContentTokenCount", usage.cache_read);
    w.key("candidatesTokenCount")
        .number(usage.output.saturating_sub(thoughts.unwrap_or(0)));
    w.optional_number("thoughtsTokenCount", thoughts);
    w.optional_number("toolUsePromptTokenCount", usage.input_tool_use);
    w.key("totalTokenCount").number(usage.total());
    write_modalities(
        w,
        "promptTokensDetails",
        prompt,
        [usage.input_audio, usage.input_image, usage.input_video],
    );
    write_modalities(
        w,
        "candidatesTokensDetails",
        usage.output.saturating_sub(thoughts.unwrap_or(0)),
        [usage.output_audio, usage.output_image, None],
    );
}

/// Writes the split by modality if anything but text is known of it; text is the rest.
fn write_modalities(w: &mut Writer<'_>, name: &str, whole: u64, known: [Option<u64>; 3]) {
    if known.iter().all(Option::is_none) {
        return;
    }
    let others = known
        .iter()
        .flatten()
        .fold(0, |sum: u64, tokens| sum.saturating_add(*tokens));
    let split = [
        (
            "TEXT",
            Some(whole.saturating_sub(others)).filter(|text| *text > 0),
        ),
        ("AUDIO", known[0]),
        ("IMAGE", known[1]),
        ("VIDEO", known[2]),
    ];
    w.key(name).array(|w| {
        for (modality, tokens) in split {
            if let Some(tokens) = tokens {
                w.object(|w| {
                    w.key("modality").string(modality);
                    w.key("tokenCount").number(tokens);
                });
            }
        }
    });
}

/// Reports the counts of another dialect that have no home here.
pub(super) fn report_losses(usage: &Usage, losses: &mut Losses) {
    if usage.cache_write.is_some_and(|tokens| tokens > 0) {
        losses.dropped(
            "usage.cache_write",
            "the dialect does not count what is written to a cache",
        );
    }
}

/// A member in either spelling.
fn member<'e>(members: &'e Ext, name: &str) -> Option<&'e RawJson> {
    members.get(name).or_else(|| {
        members
            .0
            .iter()
            .find(|(key, _)| camel_case(key).as_deref() == Some(name))
            .map(|(_, raw)| raw)
    })
}

/// The tokens of one modality in a list of `{modality, tokenCount}`.
fn of_modality(list: &RawJson, modality: &str) -> Option<u64> {
    let entries: Vec<Raw<'_>> = serde_json::from_str(list.text()).ok()?;
    entries
        .iter()
        .filter_map(|entry| {
            let entry = Object::parse(entry.get(), "").ok()?.into_ext();
            let is_it = member(&entry, "modality")?.as_string().as_deref() == Some(modality);
            count(member(&entry, "tokenCount")?.text()).filter(|_| is_it)
        })
        .reduce(u64::saturating_add)
}

/// The members that [`write_counts`] writes or that would contradict them.
const COUNTS: [&str; 10] = [
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
    "promptTokensDetails",
    "candidatesTokensDetails",
    "cacheTokensDetails",
    "toolUsePromptTokensDetails",
];
