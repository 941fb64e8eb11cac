//! The list of genai-prices: a list of providers with lists of models, dollars per million tokens, dates.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Models, items, member, members, not_zero, per_million, text};
use crate::prices::decimal;
use crate::prices::price::{Dated, Kind, Long, Offer, Price, Rates, Tier};
use crate::prices::read::day_of;

const KINDS: [(&str, Kind); 6] = [
    ("input_mtok", Kind::Input),
    ("output_mtok", Kind::Output),
    ("cache_read_mtok", Kind::CacheRead),
    ("cache_write_mtok", Kind::CacheWrite),
    ("input_audio_mtok", Kind::AudioInput),
    ("output_audio_mtok", Kind::AudioOutput),
];

/// Their names of providers, and ours. Left out are the providers behind Hugging Face's router: a call does not say which
/// of them served it.
const PROVIDERS: [(&str, &str); 21] = [
    ("anthropic", "anthropic"),
    ("aws", "bedrock"),
    ("azure", "azure"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("deepseek", "deepseek"),
    ("doubleword", "doubleword"),
    ("fireworks", "fireworks"),
    ("google", "gemini"),
    ("groq", "groq"),
    ("minimax", "minimax"),
    ("mistral", "mistral"),
    ("moonshotai", "moonshot"),
    ("novita", "novita"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("perplexity", "perplexity"),
    ("together", "together"),
    ("voyageai", "voyage"),
    ("x-ai", "xai"),
    ("zhipuai", "zai"),
];

/// Reads the list.
pub(super) fn read(list: &[u8], source: &str) -> Result<Models, serde_json::Error> {
    let list: Vec<&RawValue> = serde_json::from_slice(list)?;
    let mut models = Models::new();
    for raw in list {
        let entry = members(raw);
        let id = member(&entry, "id").and_then(text);
        let ours = PROVIDERS.iter().find(|(known, _)| id.as_deref() == Some(*known));
        let (Some((_, provider)), Some(list)) = (ours, member(&entry, "models")) else {
            continue;
        };
        for raw in items(list) {
            let entry = members(raw);
            let Some(price) = price(&entry, source) else {
                continue;
            };
            for name in names(&entry) {
                models.insert(((*provider).to_owned(), name), price.clone());
            }
        }
    }
    Ok(models)
}

/// The names that are this model's for certain: its id, and what a match must equal. Beginnings and parts of names match
/// models that do not exist yet.
fn names(entry: &[(String, &RawValue)]) -> Vec<String> {
    let mut names: Vec<String> = member(entry, "id").and_then(text).into_iter().collect();
    let Some(rule) = member(entry, "match").map(members) else {
        return names;
    };
    let mut rules = vec![rule];
    if let Some(any) = rules.first().and_then(|rule| member(rule, "or")) {
        rules.extend(items(any).into_iter().map(members));
    }
    names.extend(
        rules
            .iter()
            .filter_map(|rule| member(rule, "equals").and_then(text)),
    );
    names.dedup();
    names
}

fn price(entry: &[(String, &RawValue)], source: &str) -> Option<Price> {
    // Only models that say so in their name are free; other zeros are gaps.
    let is_free = member(entry, "id")
        .and_then(text)
        .is_some_and(|id| id.ends_with(":free"));
    let prices = member(entry, "prices")?;
    let mut periods = Vec::new();
    if prices.get().starts_with('[') {
        for raw in items(prices) {
            let period = members(raw);
            let from = match member(&period, "constraint") {
                None => None,
                // Prices by the hour are read from lists that tell the days as well.
                Some(constraint) => Some(day_of(&text(member(&members(constraint), "start_date")?)?)?),
            };
            periods.push((from, offer(member(&period, "prices")?, is_free)?));
        }
        periods.sort_by_key(|(from, _)| *from);
    } else {
        periods.push((None, offer(prices, is_free)?));
    }
    let (_, offer) = periods.last()?.clone();
    let dated = periods.windows(2).filter_map(|pair| match pair {
        [(from, offer), (until, _)] => Some(Dated {
            from: *from,
            until: *until,
            offer: offer.clone(),
        }),
        _ => None,
    });
    Some(Price {
        source: source.to_owned(),
        dated: dated.collect(),
        offer,
    })
}

fn offer(raw: &RawValue, is_free: bool) -> Option<Offer> {
    let stated = |rate: Option<u64>| if is_free { rate } else { not_zero(rate) };
    let mut rates = Rates::default();
    let mut long: BTreeMap<u64, Rates> = BTreeMap::new();
    let mut per_request = None;
    for (name, raw) in members(raw) {
        if name == "requests_kcount" {
            // Dollars for a thousand requests.
            per_request = not_zero(decimal::exact(raw.get(), 9).ok());
            continue;
        }
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        let parts = members(raw);
        let base = if parts.is_empty() {
            Some(raw)
        } else {
            member(&parts, "base")
        };
        if let Some(rate) = stated(base.and_then(per_million)) {
            rates.state(*kind, rate);
        }
        for raw in member(&parts, "tiers").map(items).unwrap_or_default() {
            let step = members(raw);
            let above = decimal::exact(member(&step, "start")?.get(), 0).ok()?;
            let rate = stated(per_million(member(&step, "price")?))?;
            long.entry(above).or_default().state(*kind, rate);
        }
    }
    rates.stated(Kind::Input)?;
    Some(Offer {
        standard: Tier {
            rates,
            long: long
                .into_iter()
                .map(|(above, rates)| Long { above, rates })
                .collect(),
        },
        per_request,
        ..Offer::default()
    })
}
