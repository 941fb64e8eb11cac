//! `prices`: what models cost by the operator's word.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Dollars;
use crate::model::{LongPrice, OnUnknownPrice, OwnPrice, Price, PriceRates, PriceSettings, ProviderPrices};
use crate::named::Named;
use crate::report::{Report, quote};
use crate::tree::Path;

/// What models cost. Prices are in US dollars per million tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PricesEntry {
    /// A price pack (`tollgate prices build`), instead of the one that is built in. It is read again when the configuration
    /// is.
    file: Option<String>,
    /// What happens to calls of models whose price is not known: `allow` serves them and marks them in logs, metrics and the
    /// ledger, `refuse` answers with an error before anything is sent. Default: `allow`.
    unknown: Option<OnUnknownPrice>,
    /// Prices of models by the provider's name for them, whoever serves them; each replaces the list's as a whole.
    #[serde(default)]
    models: Named<PriceEntry>,
    /// Terms with providers, by the name of their kind (`openai`, `azure`, `bedrock`, …).
    #[serde(default)]
    providers: Named<ProviderPricesEntry>,
}

/// Terms with a provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProviderPricesEntry {
    /// What it bills of every price, such as `0.85` for 15 % less. Default: 1.
    multiplier: Option<Dollars>,
    /// Prices of its models; they count before those of `prices.models`.
    #[serde(default)]
    models: Named<PriceEntry>,
}

/// A price in US dollars per million tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PriceEntry {
    /// What another model costs in the list, `provider/model`, instead of a price: for names that you have chosen, such as
    /// Azure's deployments.
    same_as: Option<String>,
    /// Input.
    input: Option<Dollars>,
    /// Output.
    output: Option<Dollars>,
    /// Input read from the provider's cache. Default: as `input`.
    cache_read: Option<Dollars>,
    /// Input written to the provider's cache. Default: as `input`.
    cache_write: Option<Dollars>,
    /// Input written to the provider's cache for an hour.
    cache_write_1h: Option<Dollars>,
    /// Output spent on reasoning. Default: as `output`.
    reasoning: Option<Dollars>,
    /// Audio in.
    audio_input: Option<Dollars>,
    /// Audio out.
    audio_output: Option<Dollars>,
    /// Images in. Default: as `input`.
    image_input: Option<Dollars>,
    /// Images out.
    image_output: Option<Dollars>,
    /// Video in. Default: as `input`.
    video_input: Option<Dollars>,
    /// Other prices for long prompts, the shortest first.
    #[serde(default)]
    long: Vec<LongEntry>,
    /// Prices of the batch tier.
    batch: Option<RatesEntry>,
    /// Prices of the flex tier.
    flex: Option<RatesEntry>,
    /// Prices of the priority tier.
    priority: Option<RatesEntry>,
    /// US dollars for a request, beside its tokens.
    per_request: Option<Dollars>,
    /// US dollars for a search that the provider makes.
    per_search: Option<Dollars>,
}

/// Prices for prompts of more than so many tokens; they apply to all tokens of the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongEntry {
    /// The prompt must have more tokens than this.
    above: u64,
    /// Input.
    input: Option<Dollars>,
    /// Output.
    output: Option<Dollars>,
    /// Input read from the provider's cache.
    cache_read: Option<Dollars>,
    /// Input written to the provider's cache.
    cache_write: Option<Dollars>,
    /// Input written to the provider's cache for an hour.
    cache_write_1h: Option<Dollars>,
}

/// Prices of a tier of service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RatesEntry {
    /// Input.
    input: Dollars,
    /// Output.
    output: Dollars,
    /// Input read from the provider's cache.
    cache_read: Option<Dollars>,
    /// Input written to the provider's cache.
    cache_write: Option<Dollars>,
    /// Input written to the provider's cache for an hour.
    cache_write_1h: Option<Dollars>,
}

/// Lowers `prices`.
pub(crate) fn lower(entry: Option<&PricesEntry>, path: &Path, report: &mut Report) -> PriceSettings {
    let Some(entry) = entry else {
        return PriceSettings::default();
    };
    if entry.file.as_ref().is_some_and(String::is_empty) {
        report.mistake(&path.key("file"), "the name of the file is empty");
    }
    let models = lower_models(&entry.models, &path.key("models"), report);
    let providers = entry.providers.iter().map(|(name, terms)| {
        let path = path.key("providers").key(name);
        let multiplier = terms.multiplier.as_ref().and_then(|multiplier| {
            let millionths = read(Some(multiplier), 6, &path.key("multiplier"), report);
            if millionths == Some(0) {
                report.mistake(
                    &path.key("multiplier"),
                    "must be above 0; what costs nothing has the price 0",
                );
            }
            millionths
        });
        let models = lower_models(&terms.models, &path.key("models"), report);
        (
            name.to_owned(),
            ProviderPrices {
                multiplier_millionths: multiplier,
                models,
            },
        )
    });
    let providers = providers.collect();
    PriceSettings {
        file: entry.file.clone(),
        unknown: entry.unknown.unwrap_or_default(),
        models,
        providers,
    }
}

fn lower_models(entries: &Named<PriceEntry>, path: &Path, report: &mut Report) -> Named<OwnPrice> {
    entries
        .iter()
        .filter_map(|(name, entry)| Some((name.to_owned(), lower_price(entry, &path.key(name), report)?)))
        .collect()
}

fn lower_price(entry: &PriceEntry, path: &Path, report: &mut Report) -> Option<OwnPrice> {
    let all = [
        ("input", &entry.input),
        ("output", &entry.output),
        ("cache_read", &entry.cache_read),
        ("cache_write", &entry.cache_write),
        ("cache_write_1h", &entry.cache_write_1h),
        ("reasoning", &entry.reasoning),
        ("audio_input", &entry.audio_input),
        ("audio_output", &entry.audio_output),
        ("image_input", &entry.image_input),
        ("image_output", &entry.image_output),
        ("video_input", &entry.video_input),
    ];
    let rates = lower_rates(&all, path, report);
    let mut price = Price {
        rates,
        per_request: read(
            entry.per_request.as_ref(),
            PLACES_OF_FEES,
            &path.key("per_request"),
            report,
        ),
        per_search: read(
            entry.per_search.as_ref(),
            PLACES_OF_FEES,
            &path.key("per_search"),
            report,
        ),
        ..Price::default()
    };
    for (place, long) in entry.long.iter().enumerate() {
        let path = report.item(&path.key("long"), place);
        let rates = [
            ("input", &long.input),
            ("output", &long.output),
            ("cache_read", &long.cache_read),
            ("cache_write", &long.cache_write),
            ("cache_write_1h", &long.cache_write_1h),
        ];
        let rates = lower_rates(&rates, &path, report);
        let before = price.long.last().map_or(0, |long| long.above);
        if long.above <= before {
            report.mistake(&path.key("above"), "must be more than 0 and than the one before");
        }
        price.long.push(LongPrice {
            above: long.above,
            rates,
        });
    }
    let mut tier = |name: &str, tier: &Option<RatesEntry>| {
        let tier = tier.as_ref()?;
        let path = path.key(name);
        let own = |dollars: &Dollars| Some(dollars.clone());
        let rates = [
            ("input", &own(&tier.input)),
            ("output", &own(&tier.output)),
            ("cache_read", &tier.cache_read),
            ("cache_write", &tier.cache_write),
            ("cache_write_1h", &tier.cache_write_1h),
        ];
        Some(lower_rates(&rates, &path, report))
    };
    price.batch = tier("batch", &entry.batch);
    price.flex = tier("flex", &entry.flex);
    price.priority = tier("priority", &entry.priority);
    if let Some(name) = &entry.same_as {
        if price != Price::default() {
            report.mistake(&path.key("same_as"), "stands alone; remove it, or the prices");
        }
        let is_named = name
            .split_once('/')
            .is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
        if !is_named {
            report.mistake(
                &path.key("same_as"),
                format!(
                    "`{}` names no model of the list; write `provider/model`",
                    quote(name)
                ),
            );
        }
        return Some(OwnPrice::SameAs(name.clone()));
    }
    if entry.input.is_none() && entry.per_request.is_none() {
        report.mistake(path, "states no price; write `input` and `output`, or `same_as`");
    }
    Some(OwnPrice::Price(Box::new(price)))
}

fn lower_rates(rates: &[(&'static str, &Option<Dollars>)], path: &Path, report: &mut Report) -> PriceRates {
    let read = rates.iter().filter_map(|(name, dollars)| {
        let rate = read(dollars.as_ref(), PLACES_PER_MILLION, &path.key(name), report)?;
        Some((*name, rate))
    });
    PriceRates(read.collect())
}

/// An amount as a whole number of its smallest part.
fn read(dollars: Option<&Dollars>, places: u32, path: &Path, report: &mut Report) -> Option<u64> {
    match dollars?.parts(places) {
        Ok(parts) if parts > MOST => {
            report.mistake(path, "is too large");
            None
        }
        Ok(parts) => Some(parts),
        Err(problem) => {
            report.mistake(path, problem);
            None
        }
    }
}

/// A micro-dollar per million tokens is a pico-dollar per token.
const PLACES_PER_MILLION: u32 = 6;
/// Fees are kept in pico-dollars.
const PLACES_OF_FEES: u32 = 12;
/// A thousand dollars for a token, or for a request.
const MOST: u64 = 1_000_000_000_000_000;
