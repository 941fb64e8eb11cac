//! Usage objects of all APIs as disjoint counts.

use tollgate_dialects::canonical::{Ext, Usage};
use tollgate_dialects::json::{Object, RawJson};

use super::pick::{count, pick};
use crate::ai::protocol::Protocol;

/// Puts a later usage object over an earlier one. What is `null`, or 0 where a number stood, replaces nothing: streams tell
/// some counts once and repeat them as nothing.
pub(super) fn merge(kept: &mut Ext, newer: &str) {
    let Ok(newer) = Object::parse(newer, "usage") else {
        return;
    };
    for (key, raw) in newer.into_ext().0 {
        let Some((_, value)) = kept.0.iter_mut().find(|(name, _)| *name == key) else {
            if kept.0.len() < MAX_MEMBERS {
                kept.0.push((key, raw));
            }
            continue;
        };
        let is_zero = count(raw.text()) == Some(0) && count(value.text()).is_some();
        if raw.text() != "null" && !is_zero {
            *value = raw;
        }
    }
}

/// Reads the members of a usage object; `None` if none of them is a count we know.
pub(super) fn read(protocol: Protocol, members: &Ext) -> Option<Usage> {
    let counts = Counts(members);
    let mut usage = match protocol {
        Protocol::AnthropicMessages => anthropic(&counts),
        Protocol::BedrockConverse => bedrock(&counts),
        _ => openai(&counts),
    }?;
    usage.ext = members.clone();
    Some(usage)
}

/// Both of OpenAI's namings: totals that include their parts.
fn openai(counts: &Counts<'_>) -> Option<Usage> {
    let prompt = counts.first(&["prompt_tokens", "input_tokens"]);
    let completion = counts.first(&["completion_tokens", "output_tokens"]);
    let total = counts.first(&["total_tokens"]);
    if prompt.is_none() && completion.is_none() && total.is_none() {
        return None;
    }
    let (prompt, completion) = (prompt.unwrap_or(0), completion.unwrap_or(0));
    let details = ["prompt_tokens_details", "input_tokens_details"];
    let output_details = ["completion_tokens_details", "output_tokens_details"];
    // A part cannot exceed the whole, although some vendors say so.
    let cache_read = counts
        .inner(&details, "cached_tokens")
        .or_else(|| {
            counts.first(&[
                "prompt_cache_hit_tokens",
                "cached_tokens",
                "num_cached_tokens",
                "cache_read_input_tokens",
            ])
        })
        .map(|cached| cached.min(prompt));
    let uncached = prompt.saturating_sub(cache_read.unwrap_or(0));
    let cache_write = counts
        .inner(&details, "cache_write_tokens")
        .or_else(|| counts.inner(&details, "cache_creation_input_tokens"))
        .or_else(|| counts.first(&["cache_creation_input_tokens"]))
        .map(|written| written.min(uncached));
    let reasoning = counts
        .inner(&output_details, "reasoning_tokens")
        .or_else(|| counts.first(&["reasoning_tokens"]));
    let sum = prompt.saturating_add(completion);
    let stated = total.unwrap_or(sum);
    // xAI counts reasoning beside the completion: its total proves it.
    let beside = reasoning.filter(|&reasoning| reasoning > 0 && sum.checked_add(reasoning) == Some(stated));
    Some(Usage {
        input: uncached.saturating_sub(cache_write.unwrap_or(0)),
        cache_read,
        cache_write,
        cache_write_5m: cache_write.and(counts.inner(&["cache_creation"], "ephemeral_5m_input_tokens")),
        cache_write_1h: cache_write.and(counts.inner(&["cache_creation"], "ephemeral_1h_input_tokens")),
        output: completion.saturating_add(beside.unwrap_or(0)),
        reasoning,
        input_audio: counts.inner(&details, "audio_tokens"),
        output_audio: counts.inner(&output_details, "audio_tokens"),
        total: (beside.is_none() && stated != sum).then_some(stated),
        ..Usage::default()
    })
}

fn anthropic(counts: &Counts<'_>) -> Option<Usage> {
    let input = counts.first(&["input_tokens"]);
    let output = counts.first(&["output_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let creation = ["cache_creation"];
    Some(Usage {
        input: input.unwrap_or(0),
        cache_read: counts.first(&["cache_read_input_tokens"]),
        cache_write: counts.first(&["cache_creation_input_tokens"]),
        cache_write_5m: counts.inner(&creation, "ephemeral_5m_input_tokens"),
        cache_write_1h: counts.inner(&creation, "ephemeral_1h_input_tokens"),
        output: output.unwrap_or(0),
        reasoning: counts.inner(&["output_tokens_details"], "thinking_tokens"),
        ..Usage::default()
    })
}

fn bedrock(counts: &Counts<'_>) -> Option<Usage> {
    let input = counts.first(&["inputTokens"]);
    let output = counts.first(&["outputTokens"]);
    let total = counts.first(&["totalTokens"]);
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    let mut usage = Usage {
        input: input.unwrap_or(0),
        cache_read: counts.first(&["cacheReadInputTokens", "cacheReadInputTokenCount"]),
        cache_write: counts.first(&["cacheWriteInputTokens", "cacheWriteInputTokenCount"]),
        output: output.unwrap_or(0),
        ..Usage::default()
    };
    usage.total = total.filter(|total| *total != usage.total());
    Some(usage)
}

/// Counts of a usage object. A count that is none counts as not said.
struct Counts<'a>(&'a Ext);

impl Counts<'_> {
    /// The first of these that is a count.
    fn first(&self, names: &[&str]) -> Option<u64> {
        names
            .iter()
            .find_map(|name| self.0.get(name).and_then(|raw| count(raw.text())))
    }

    /// The count of this name within the first of these objects that has it.
    fn inner(&self, objects: &[&str], name: &str) -> Option<u64> {
        objects.iter().find_map(|object| {
            let raw: &RawJson = self.0.get(object)?;
            let [found] = pick(raw.text(), [name])?;
            count(found?)
        })
    }
}

/// Most members of a usage object that are kept.
const MAX_MEMBERS: usize = 64;
