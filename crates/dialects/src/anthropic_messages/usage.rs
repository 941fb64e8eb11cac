//! The `usage` object of this dialect.
//!
//! `input_tokens` counts neither cache reads nor cache writes, as the canonical form does. One difference remains: the
//! tokens of a `compaction` entry of `iterations` are billed but not in the totals; the canonical counts include them, and
//! writing takes them out again.

use serde::Deserialize;

use crate::canonical::{Ext, Usage};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::scan::{ScanError, Scanner, whole_number};

/// Reads the members of a usage object, and its `service_tier`.
///
/// A member that is not what the dialect says stays in the bag and counts as missing: an answer that was paid for is not
/// refused because of a number.
pub(super) fn decode(members: Ext) -> (Usage, Option<String>) {
    let mut usage = Usage::default();
    let mut service_tier = None;
    let mut rest = Vec::new();
    for (key, raw) in members.0 {
        let taken = match key.as_str() {
            "input_tokens" => take(&raw, &mut usage.input),
            "output_tokens" => take(&raw, &mut usage.output),
            "cache_read_input_tokens" => take_some(&raw, &mut usage.cache_read),
            "cache_creation_input_tokens" => take_some(&raw, &mut usage.cache_write),
            "cache_creation" => take_cache_creation(&raw, &mut usage),
            "output_tokens_details" => take_output_details(&raw, &mut usage),
            "service_tier" => {
                service_tier = raw.as_string();
                service_tier.is_some()
            }
            _ => false,
        };
        if !taken {
            rest.push((key, raw));
        }
    }
    usage.ext = Ext(rest);
    if let Some(extra) = compaction(&usage.ext) {
        extra.add_to(&mut usage);
    }
    (usage, service_tier)
}

/// Reads the numbers of a usage object, and its `service_tier`; its own words are not kept.
///
/// # Errors
/// It says more than the usual: rounds of compaction, searches.
pub(crate) fn counts<'d>(object: &mut Scanner<'d>) -> Result<(Usage, Option<&'d [u8]>), ScanError> {
    let mut usage = Usage::default();
    let mut service_tier = None;
    object.walk_object(|value, name| {
        match name {
            b"input_tokens" => usage.input = whole_number(value.raw()?).ok_or_else(|| value.unexpected())?,
            b"output_tokens" => {
                usage.output = whole_number(value.raw()?).ok_or_else(|| value.unexpected())?
            }
            b"cache_read_input_tokens" => usage.cache_read = optional(value)?,
            b"cache_creation_input_tokens" => usage.cache_write = optional(value)?,
            b"cache_creation" if value.first() == Some(b'{') => value.walk_object(|value, name| {
                match name {
                    b"ephemeral_5m_input_tokens" => usage.cache_write_5m = optional(value)?,
                    b"ephemeral_1h_input_tokens" => usage.cache_write_1h = optional(value)?,
                    _ => return Err(value.unexpected()),
                }
                Ok(())
            })?,
            b"output_tokens_details" if value.first() == Some(b'{') => value.walk_object(|value, name| {
                match name {
                    b"thinking_tokens" => usage.reasoning = optional(value)?,
                    _ => return Err(value.unexpected()),
                }
                Ok(())
            })?,
            b"iterations" | b"server_tool_use" if value.first() != Some(b'n') => {
                return Err(value.unexpected());
            }
            b"service_tier" if value.first() == Some(b'"') => service_tier = Some(value.raw()?),
            _ if name.contains(&b'\\') => return Err(value.unexpected()),
            _ => drop(value.raw()?),
        }
        Ok(())
    })?;
    Ok((usage, service_tier))
}

/// A count that may be missing.
fn optional(value: &mut Scanner<'_>) -> Result<Option<u64>, ScanError> {
    match value.raw()? {
        b"null" => Ok(None),
        number => whole_number(number).map(Some).ok_or_else(|| value.unexpected()),
    }
}

/// Replaces the members of `kept` by those of `newer`: the counts of a stream are cumulative, the last one counts.
/// A `null` never replaces a value.
pub(super) fn merge(kept: &mut Ext, newer: Ext) {
    for (key, raw) in newer.0 {
        match kept.0.iter_mut().find(|(name, _)| *name == key) {
            Some(_) if raw.text() == "null" => {}
            Some((_, value)) => *value = raw,
            None => kept.0.push((key, raw)),
        }
    }
}

/// Writes a usage object. `native`: the numbers were decoded from this dialect, so the bag is written back.
pub(super) fn encode(w: &mut Writer<'_>, usage: &Usage, service_tier: Option<&str>, native: bool) {
    let no_ext = Ext::default();
    let ext = if native { &usage.ext } else { &no_ext };
    let mut counts = usage.clone();
    if let Some(extra) = compaction(ext) {
        extra.take_from(&mut counts);
    }
    // Clients do arithmetic with the cache counts, so a foreign "not said" is written as the 0 it is counted as.
    let said = |count: Option<u64>| if native { count } else { Some(count.unwrap_or(0)) };
    w.object(|w| {
        let member = |w: &mut Writer<'_>, key: &str, count: Option<u64>| {
            if ext.get(key).is_none() {
                w.optional_number(key, count);
            }
        };
        member(w, "input_tokens", Some(counts.input));
        member(w, "cache_creation_input_tokens", said(counts.cache_write));
        member(w, "cache_read_input_tokens", said(counts.cache_read));
        if ext.get("cache_creation").is_none()
            && (counts.cache_write_5m.is_some() || counts.cache_write_1h.is_some())
        {
            w.key("cache_creation").object(|w| {
                w.optional_number("ephemeral_5m_input_tokens", said(counts.cache_write_5m));
                w.optional_number("ephemeral_1h_input_tokens", said(counts.cache_write_1h));
            });
        }
        member(w, "output_tokens", Some(counts.output));
        if ext.get("output_tokens_details").is_none() && counts.reasoning.is_some() {
            w.key("output_tokens_details")
                .object(|w| w.optional_number("thinking_tokens", counts.reasoning));
        }
        if ext.get("service_tier").is_none() {
            w.optional_string("service_tier", service_tier);
        }
        w.ext(ext);
    });
}

/// Reports the counts of another dialect that have no home here.
pub(super) fn report_losses(usage: &Usage, losses: &mut Losses) {
    if usage.input_audio.is_some_and(|count| count > 0) {
        losses.dropped(
            "usage.input_audio",
            "the dialect does not count audio tokens apart",
        );
    }
    if usage.output_audio.is_some_and(|count| count > 0) {
        losses.dropped(
            "usage.output_audio",
            "the dialect does not count audio tokens apart",
        );
    }
    for (name, count) in [
        ("usage.input_image", usage.input_image),
        ("usage.input_video", usage.input_video),
        ("usage.output_image", usage.output_image),
        ("usage.input_tool_use", usage.input_tool_use),
    ] {
        if count.is_some_and(|count| count > 0) {
            losses.dropped(name, "the dialect does not count these tokens apart");
        }
    }
    // The bag of a foreign dialect is its own usage object, which has been converted: no loss.
}

/// The text of a usage object that was read from this dialect.
pub(crate) fn text(usage: &Usage, service_tier: Option<&str>) -> String {
    let mut out = Vec::new();
    encode(&mut Writer::new(&mut out), usage, service_tier, true);
    // The writer writes text only.
    String::from_utf8(out).unwrap_or_default()
}

fn take(raw: &RawJson, count: &mut u64) -> bool {
    number(raw).is_some_and(|value| {
        *count = value;
        true
    })
}

fn take_some(raw: &RawJson, count: &mut Option<u64>) -> bool {
    *count = number(raw);
    count.is_some()
}

/// Takes the split by lifetime. `false` if the object holds more than that, so that it is kept whole.
fn take_cache_creation(raw: &RawJson, usage: &mut Usage) -> bool {
    let Ok(mut object) = Object::parse(raw.text(), "") else {
        return false;
    };
    usage.cache_write_5m = object.take_u64("ephemeral_5m_input_tokens").ok().flatten();
    usage.cache_write_1h = object.take_u64("ephemeral_1h_input_tokens").ok().flatten();
    object.into_ext().is_empty() && (usage.cache_write_5m.is_some() || usage.cache_write_1h.is_some())
}

fn take_output_details(raw: &RawJson, usage: &mut Usage) -> bool {
    let Ok(mut object) = Object::parse(raw.text(), "") else {
        return false;
    };
    usage.reasoning = object.take_u64("thinking_tokens").ok().flatten();
    object.into_ext().is_empty() && usage.reasoning.is_some()
}

fn number(raw: &RawJson) -> Option<u64> {
    serde_json::from_str(raw.text()).ok()
}

/// What the compaction rounds of one answer used.
#[derive(Clone, Copy, Default)]
struct Extra {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    output: u64,
}

impl Extra {
    fn add_to(self, usage: &mut Usage) {
        usage.input = usage.input.saturating_add(self.input);
        usage.output = usage.output.saturating_add(self.output);
        self.change_caches(usage, u64::saturating_add);
    }

    fn take_from(self, usage: &mut Usage) {
        usage.input = usage.input.saturating_sub(self.input);
        usage.output = usage.output.saturating_sub(self.output);
        self.change_caches(usage, u64::saturating_sub);
    }

    /// Changes the cache counts that are there. One that is not there and would grow from nothing is left alone only if
    /// there is nothing to add.
    fn change_caches(self, usage: &mut Usage, change: fn(u64, u64) -> u64) {
        for (count, extra) in [
            (&mut usage.cache_read, self.cache_read),
            (&mut usage.cache_write, self.cache_write),
            (&mut usage.cache_write_5m, self.cache_write_5m),
            (&mut usage.cache_write_1h, self.cache_write_1h),
        ] {
            if extra > 0 {
                *count = Some(change(count.unwrap_or(0), extra));
            }
        }
    }
}

/// Sums the `compaction` entries of `iterations`; `None` if there is none.
fn compaction(ext: &Ext) -> Option<Extra> {
    #[derive(Deserialize)]
    struct Iteration {
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        input_tokens: Option<u64>,
        #[serde(default)]
        output_tokens: Option<u64>,
        #[serde(default)]
        cache_read_input_tokens: Option<u64>,
        #[serde(default)]
        cache_creation_input_tokens: Option<u64>,
        #[serde(default)]
        cache_creation: Option<CacheCreation>,
    }

    #[derive(Deserialize)]
    struct CacheCreation {
        #[serde(default)]
        ephemeral_5m_input_tokens: Option<u64>,
        #[serde(default)]
        ephemeral_1h_input_tokens: Option<u64>,
    }

    let iterations: Vec<Iteration> = serde_json::from_str(ext.get("iterations")?.text()).ok()?;
    let mut sum: Option<Extra> = None;
    for round in iterations
        .iter()
        .filter(|round| round.kind.as_deref() == Some("compaction"))
    {
        let extra = sum.get_or_insert_default();
        let add = |count: &mut u64, more: Option<u64>| *count = count.saturating_add(more.unwrap_or(0));
        add(&mut extra.input, round.input_tokens);
        add(&mut extra.output, round.output_tokens);
        add(&mut extra.cache_read, round.cache_read_input_tokens);
        add(&mut extra.cache_write, round.cache_creation_input_tokens);
        if let Some(creation) = &round.cache_creation {
            add(&mut extra.cache_write_5m, creation.ephemeral_5m_input_tokens);
            add(&mut extra.cache_write_1h, creation.ephemeral_1h_input_tokens);
        }
    }
    sum
}
