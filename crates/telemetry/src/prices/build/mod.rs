//! Makes a price pack of published price lists.
//!
//! What a list states is taken as it is; what it does not state is not filled in. Where several lists know a model, the
//! first one counts. A list's own history of a price is kept if it ends in the price that counts.

mod genai;
mod litellm;
mod models_dev;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use thiserror::Error;

use super::decimal;
use super::pack::{Listing, PLACES_PER_MILLION, Pack, Source};
use super::price::{Kind, Offer, Price};
use super::read::Object;

/// A published price list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// LiteLLM's `model_prices_and_context_window.json`.
    LiteLlm,
    /// Pydantic's `genai-prices`, `data_slim.json`.
    GenaiPrices,
    /// The models of `models.dev` by provider and name.
    ModelsDev,
}

/// Why no pack can be made.
#[derive(Debug, Error)]
pub enum BuildError {
    /// A file is none of the lists that are known.
    #[error("{0} is no price list of a known form (LiteLLM, genai-prices, models.dev)")]
    UnknownList(String),
    /// A file is no JSON, or not the JSON it should be.
    #[error("{0}: {1}")]
    Malformed(String, String),
}

/// A price list that was read.
pub struct Input {
    /// The short name that prices refer to, `litellm`.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Its content.
    pub text: Vec<u8>,
}

/// What was made of the lists.
pub struct Built {
    /// The pack.
    pub pack: Pack,
    /// For each list: its name, how many models it names with a price, and how many of them count in the pack.
    pub taken: Vec<(String, usize, usize)>,
    /// Models for which two lists have different prices for input or output: provider and model.
    pub disagreements: Vec<(String, String)>,
}

/// Prices by provider and model.
type Models = BTreeMap<(String, String), Price>;

/// Makes a pack of the lists; earlier ones count before later ones.
///
/// # Errors
/// A list cannot be read.
pub fn build(inputs: &[Input]) -> Result<Built, BuildError> {
    let mut all = Models::new();
    let mut taken = Vec::new();
    let mut disagreements = Vec::new();
    for input in inputs {
        let malformed =
            |error: serde_json::Error| BuildError::Malformed(input.name.clone(), error.to_string());
        let models = match List::of(input)? {
            List::LiteLlm => litellm::read(&input.text, &input.name),
            List::GenaiPrices => genai::read(&input.text, &input.name),
            List::ModelsDev => models_dev::read(&input.text, &input.name),
        };
        let mut models = models.map_err(malformed)?;
        models.retain(|_, price| price.offers().all(is_plausible));
        let (named, mut counting) = (models.len(), 0);
        for (key, price) in models {
            match all.get_mut(&key) {
                None => {
                    counting += 1;
                    all.insert(key, price);
                }
                Some(known) => {
                    if !agree(&known.offer, &price.offer) {
                        disagreements.push(key);
                    } else if known.dated.is_empty() {
                        known.dated = price.dated;
                    }
                }
            }
        }
        taken.push((input.name.clone(), named, counting));
    }
    let mut providers = Listing::new();
    for ((provider, model), price) in all {
        providers
            .entry(provider)
            .or_default()
            .insert(model, Arc::new(price));
    }
    let sources = inputs
        .iter()
        .map(|input| (input.name.clone(), input.source.clone()))
        .collect();
    Ok(Built {
        pack: Pack::new(sources, providers),
        taken,
        disagreements,
    })
}

impl List {
    /// Which list a file is, by what stands in it.
    fn of(input: &Input) -> Result<List, BuildError> {
        let has = |word: &str| input.text.windows(word.len()).any(|at| at == word.as_bytes());
        if has("\"litellm_provider\"") {
            Ok(List::LiteLlm)
        } else if has("\"input_mtok\"") {
            Ok(List::GenaiPrices)
        } else if has("\"cost\"") {
            Ok(List::ModelsDev)
        } else {
            Err(BuildError::UnknownList(input.name.clone()))
        }
    }
}

/// Whether no price is so high that it must be a mistake of the list, such as a price for a million tokens told for a
/// thousand.
fn is_plausible(offer: &Offer) -> bool {
    let rates = &offer.standard.rates;
    rates.all().all(|(_, rate)| rate <= HIGHEST_PLAUSIBLE)
}

/// 1000 dollars per million tokens: the dearest model asks 600.
const HIGHEST_PLAUSIBLE: u64 = 1_000_000_000;

/// Whether text costs the same.
fn agree(a: &Offer, b: &Offer) -> bool {
    [Kind::Input, Kind::Output]
        .iter()
        .all(|kind| a.standard.rates.stated(*kind) == b.standard.rates.stated(*kind))
}

/// The members of a value; none if it is no object.
fn members(raw: &RawValue) -> Vec<(String, &RawValue)> {
    serde_json::from_str::<Object<'_>>(raw.get()).map_or_else(|_| Vec::new(), |object| object.0)
}

/// The member of this name.
fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, raw)| *raw)
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn items(raw: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// A price in dollars per million tokens as pico-dollars per token. The lists are written from binary fractions, whose
/// noise is far smaller than a pico-dollar.
fn per_million(raw: &RawValue) -> Option<u64> {
    decimal::nearest(raw.get(), PLACES_PER_MILLION).ok()
}

/// A price that is not zero: a zero in a list means that nothing is known.
fn not_zero(rate: Option<u64>) -> Option<u64> {
    rate.filter(|rate| *rate > 0)
}
