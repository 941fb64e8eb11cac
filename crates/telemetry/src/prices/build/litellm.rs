//! LiteLLM's price list: one object for each model, dollars per token, tiers in the names of the members.

use serde_json::value::RawValue;

use super::{Models, items, member, members, not_zero, text};
use crate::prices::decimal;
use crate::prices::pack::PLACES_OF_FEES;
use crate::prices::price::{Hours, Kind, Long, OffPeak, Offer, Price, Rates, Service, Tier};
use crate::prices::read::{Object, minute_of};

/// Dollars per token have so many decimal places in pico-dollars.
const PLACES_PER_TOKEN: u32 = 12;

const KINDS: [(&str, Kind); 12] = [
    ("input_cost_per_token", Kind::Input),
    ("output_cost_per_token", Kind::Output),
    ("cache_read_input_token_cost", Kind::CacheRead),
    ("input_cost_per_token_cache_hit", Kind::CacheRead),
    ("cache_creation_input_token_cost", Kind::CacheWrite),
    ("cache_creation_input_token_cost_above_1hr", Kind::CacheWrite1h),
    ("output_cost_per_reasoning_token", Kind::Reasoning),
    ("input_cost_per_audio_token", Kind::AudioInput),
    ("output_cost_per_audio_token", Kind::AudioOutput),
    ("input_cost_per_image_token", Kind::ImageInput),
    ("output_cost_per_image_token", Kind::ImageOutput),
    ("input_cost_per_video_token", Kind::VideoInput),
];

const SERVICES: [(&str, Service); 3] = [
    ("_batches", Service::Batch),
    ("_flex", Service::Flex),
    ("_priority", Service::Priority),
];

/// LiteLLM's names of providers, and ours. Those that bill in another way than by tokens are left out.
const PROVIDERS: [(&str, &str); 40] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("gemini", "gemini"),
    ("vertex_ai", "vertex"),
    ("vertex_ai-anthropic_models", "vertex"),
    ("vertex_ai-language-models", "vertex"),
    ("vertex_ai-mistral_models", "vertex"),
    ("vertex_ai-llama_models", "vertex"),
    ("vertex_ai-embedding-models", "vertex"),
    ("vertex_ai-deepseek_models", "vertex"),
    ("bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("bedrock_mantle", "bedrock-mantle"),
    ("azure", "azure"),
    ("azure_ai", "azure-ai"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("cerebras", "cerebras"),
    ("cloudflare", "cloudflare"),
    ("dashscope", "alibaba"),
    ("databricks", "databricks"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("groq", "groq"),
    ("minimax", "minimax"),
    ("mistral", "mistral"),
    ("moonshot", "moonshot"),
    ("nebius", "nebius"),
    ("novita", "novita"),
    ("perplexity", "perplexity"),
    ("sambanova", "sambanova"),
    ("snowflake", "snowflake"),
    ("together_ai", "together"),
    ("vercel_ai_gateway", "vercel"),
    ("voyage", "voyage"),
    ("watsonx", "watsonx"),
    ("xai", "xai"),
    ("zai", "zai"),
    ("openrouter", "openrouter"),
];

/// Reads the list.
pub(super) fn read(list: &[u8], source: &str) -> Result<Models, serde_json::Error> {
    let list: Object<'_> = serde_json::from_slice(list)?;
    let mut models = Models::new();
    for (name, raw) in list.0 {
        let entry = members(raw);
        let Some(theirs) = member(&entry, "litellm_provider").and_then(text) else {
            continue;
        };
        let ours = PROVIDERS.iter().find(|(known, _)| *known == theirs);
        let (Some((_, provider)), Some(offer)) = (ours, offer(&theirs, &name, &entry)) else {
            continue;
        };
        let (model, is_prefixed) = model_at(&theirs, &name);
        let key = ((*provider).to_owned(), model.to_owned());
        let price = Price {
            source: source.to_owned(),
            offer,
            dated: Vec::new(),
        };
        // `deepseek/deepseek-chat` is more certain to be DeepSeek's than `deepseek-chat`.
        if is_prefixed || !models.contains_key(&key) {
            models.insert(key, price);
        }
    }
    Ok(models)
}

/// The provider's name for a model, and whether LiteLLM's has the provider in front of it.
fn model_at<'a>(provider: &str, name: &'a str) -> (&'a str, bool) {
    let base = provider.split('-').next().unwrap_or(provider);
    let family = match base {
        "bedrock_converse" => "bedrock",
        "cohere_chat" => "cohere",
        base => base,
    };
    [base, family]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix)?.strip_prefix('/'))
        .map_or((name, false), |model| (model, true))
}

fn offer(provider: &str, name: &str, entry: &[(String, &RawValue)]) -> Option<Offer> {
    let mode = member(entry, "mode").and_then(text)?;
    let mut offer = Offer::default();
    match member(entry, "tiered_pricing") {
        Some(tiers) => offer.standard = tiered(tiers)?,
        None => {
            offer.standard = tier(entry, "");
            for (suffix, service) in SERVICES {
                let tier = tier(entry, suffix);
                if has_text(&tier.rates, &mode) {
                    offer.services.push((service, tier));
                }
            }
        }
    }
    let fee = |name: &str| {
        let fee = member(entry, name).and_then(|raw| decimal::nearest(raw.get(), PLACES_OF_FEES).ok());
        not_zero(fee)
    };
    offer.per_request = fee("input_cost_per_request");
    if mode == "rerank" {
        offer.per_request = offer.per_request.or_else(|| fee("input_cost_per_query"));
        // Many documents count as several queries.
        offer.is_incomplete = offer.per_request.is_some();
        return (offer.per_request.is_some() || has_text(&offer.standard.rates, "embedding"))
            .then_some(offer);
    }
    if !matches!(mode.as_str(), "chat" | "responses" | "completion" | "embedding")
        || !has_text(&offer.standard.rates, &mode)
    {
        return None;
    }
    offer.off_peak = member(entry, "off_peak_pricing").and_then(off_peak);
    offer.per_search = per_search(entry);
    // Their answers come with searches whose price depends on how much was searched.
    let searches_always = provider == "perplexity" || name.contains("-search");
    let searches = member(entry, "search_context_cost_per_query").is_some_and(|raw| raw.get() != "null");
    offer.is_incomplete = member(entry, "citation_cost_per_token").is_some()
        || fee("input_cost_per_query").is_some()
        || (searches_always && searches);
    Some(offer)
}

/// Whether text has a price.
fn has_text(rates: &Rates, mode: &str) -> bool {
    rates.stated(Kind::Input).is_some() && (mode == "embedding" || rates.stated(Kind::Output).is_some())
}

/// The rates whose names end in `suffix`.
fn tier(entry: &[(String, &RawValue)], suffix: &str) -> Tier {
    let mut tier = Tier::default();
    for (name, raw) in entry {
        let Some(name) = name.strip_suffix(suffix) else {
            continue;
        };
        let (name, above) = match above(name) {
            Some((name, above)) => (name, Some(above)),
            None => (name, None),
        };
        let kind = KINDS.iter().find(|(known, _)| *known == name);
        let (Some((_, kind)), Some(rate)) = (kind, per_token(raw)) else {
            continue;
        };
        match above {
            None => tier.rates.state(*kind, rate),
            Some(above) => state_long(&mut tier, above, *kind, rate),
        }
    }
    // A threshold for caches alone says nothing of the whole call.
    tier.long
        .retain(|long| long.rates.stated(Kind::Input).is_some() || long.rates.stated(Kind::Output).is_some());
    tier.long.sort_unstable_by_key(|long| long.above);
    tier
}

/// `input_cost_per_token` and 200000 of `input_cost_per_token_above_200k_tokens`.
fn above(name: &str) -> Option<(&str, u64)> {
    let (name, thousands) = name.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
    Some((name, thousands.parse::<u64>().ok()?.checked_mul(1000)?))
}

fn state_long(tier: &mut Tier, above: u64, kind: Kind, rate: u64) {
    match tier.long.iter_mut().find(|long| long.above == above) {
        Some(long) => long.rates.state(kind, rate),
        None => tier.long.push(Long {
            above,
            rates: Rates::default().with(kind, rate),
        }),
    }
}

/// Rates by ranges of prompt tokens.
fn tiered(raw: &RawValue) -> Option<Tier> {
    let mut ranges: Vec<(u64, Rates)> = items(raw)
        .into_iter()
        .map(|raw| {
            let entry = members(raw);
            let range = member(&entry, "range")?;
            let from = decimal::exact(items(range).first()?.get(), 0).ok()?;
            Some((from, tier(&entry, "").rates))
        })
        .collect::<Option<_>>()?;
    ranges.sort_by_key(|(from, _)| *from);
    let mut ranges = ranges.into_iter();
    let (0, rates) = ranges.next()? else {
        return None;
    };
    Some(Tier {
        rates,
        long: ranges.map(|(above, rates)| Long { above, rates }).collect(),
    })
}

fn off_peak(raw: &RawValue) -> Option<OffPeak> {
    let entry = members(raw);
    let mut times = Vec::new();
    for window in items(member(&entry, "windows")?) {
        let window = members(window);
        let weekdays = items(member(&window, "weekdays")?);
        let days = weekdays
            .iter()
            .map(|day| day.get().parse::<u8>().ok().filter(|day| (1..=7).contains(day)))
            .try_fold(0, |days, day| Some(days | 1 << (day? - 1)))?;
        let hours = member(&window, "hours_utc")?;
        let spans = match text(hours) {
            Some(span) => vec![span],
            None => items(hours).into_iter().filter_map(text).collect(),
        };
        for span in spans {
            let (from, until) = span.split_once('-')?;
            let until = minute_of(until)?;
            times.push(Hours {
                days,
                from: minute_of(from)?,
                until: if until == 0 { 24 * 60 } else { until },
            });
        }
    }
    Some(OffPeak {
        rates: tier(&entry, "").rates,
        times,
    })
}

/// The fee for a search, where it is one fee, and not for what was searched or after so many free ones.
fn per_search(entry: &[(String, &RawValue)]) -> Option<u64> {
    if member(entry, "search_free_requests").is_some() || member(entry, "web_search_billing_unit").is_some() {
        return None;
    }
    let sizes = members(member(entry, "search_context_cost_per_query")?);
    let mut fees = sizes
        .iter()
        .map(|(_, raw)| decimal::nearest(raw.get(), PLACES_OF_FEES).ok());
    let first = fees.next()??;
    (first > 0 && fees.all(|fee| fee == Some(first))).then_some(first)
}

fn per_token(raw: &RawValue) -> Option<u64> {
    not_zero(decimal::nearest(raw.get(), PLACES_PER_TOKEN).ok())
}
