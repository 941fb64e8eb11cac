//! The list of models.dev: models by provider and name, dollars per million tokens.

use serde_json::value::RawValue;

use super::{Models, items, member, members, not_zero, per_million};
use crate::prices::decimal;
use crate::prices::price::{Kind, Long, Offer, Price, Rates, Tier};
use crate::prices::read::Object;

const KINDS: [(&str, Kind); 9] = [
    ("input", Kind::Input),
    ("output", Kind::Output),
    ("cache_read", Kind::CacheRead),
    ("cached_input", Kind::CacheRead),
    ("cache_write", Kind::CacheWrite),
    ("cached_write", Kind::CacheWrite),
    ("reasoning", Kind::Reasoning),
    ("input_audio", Kind::AudioInput),
    ("output_audio", Kind::AudioOutput),
];

/// Their names of providers, and ours; the others are the same.
const PROVIDERS: [(&str, &str); 7] = [
    ("amazon-bedrock", "bedrock"),
    ("fireworks-ai", "fireworks"),
    ("google", "gemini"),
    ("google-vertex", "vertex"),
    ("google-vertex-anthropic", "vertex"),
    ("moonshotai", "moonshot"),
    ("togetherai", "together"),
];

/// A subscription, where tokens have no price.
const BY_SUBSCRIPTION: &str = "github-copilot";

/// Reads the list.
pub(super) fn read(list: &[u8], source: &str) -> Result<Models, serde_json::Error> {
    let list: Object<'_> = serde_json::from_slice(list)?;
    let mut models = Models::new();
    for (theirs, raw) in list.0 {
        if theirs == BY_SUBSCRIPTION {
            continue;
        }
        let ours = PROVIDERS.iter().find(|(known, _)| *known == theirs);
        let provider = ours.map_or(theirs.as_str(), |(_, ours)| *ours);
        for (model, raw) in members(raw) {
            let Some(offer) = member(&members(raw), "cost").and_then(|cost| offer(cost, &model)) else {
                continue;
            };
            let price = Price {
                source: source.to_owned(),
                offer,
                dated: Vec::new(),
            };
            models.insert((provider.to_owned(), model), price);
        }
    }
    Ok(models)
}

fn offer(raw: &RawValue, model: &str) -> Option<Offer> {
    let cost = members(raw);
    let is_free = model.ends_with(":free");
    let rates = rates(&cost, is_free);
    rates.stated(Kind::Input)?;
    let mut long = Vec::new();
    for raw in member(&cost, "tiers").map(items).unwrap_or_default() {
        let step = members(raw);
        let size = member(&members(member(&step, "tier")?), "size")?.get();
        long.push(Long {
            above: decimal::exact(size, 0).ok()?,
            rates: self::rates(&step, is_free),
        });
    }
    long.sort_unstable_by_key(|long| long.above);
    Some(Offer {
        standard: Tier { rates, long },
        is_incomplete: ["citation", "request"]
            .iter()
            .any(|fee| member(&cost, fee).is_some()),
        ..Offer::default()
    })
}

fn rates(cost: &[(String, &RawValue)], is_free: bool) -> Rates {
    let mut rates = Rates::default();
    for (name, kind) in KINDS {
        let rate = member(cost, name).and_then(per_million);
        if let Some(rate) = if is_free { rate } else { not_zero(rate) } {
            rates.state(kind, rate);
        }
    }
    rates
}
