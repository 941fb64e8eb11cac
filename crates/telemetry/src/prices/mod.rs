//! What models cost, and what a call cost: exact whole pico-dollars, no floating point.
//!
//! Prices come from a [`Pack`], which is built into the binary and can be replaced by a file, and from what the operator
//! writes over it ([`Terms`]). A model whose price is not known for certain has none, which is something else than costing
//! nothing: a wrong price is worse than an unknown one. Knows no currency but US dollars, and no discounts but those that
//! the operator states.

pub mod build;
mod charge;
mod compact;
mod cost;
pub mod decimal;
mod names;
mod pack;
mod price;
#[cfg(test)]
mod properties;
mod read;
mod terms;
#[cfg(test)]
mod tests;
mod usd;

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

pub use compact::CompactError;
pub use cost::{Cost, PriceState};
pub use names::listed_provider;
pub use pack::{FORMAT, Listing, PLACES_OF_FEES, PLACES_PER_MILLION, Pack, Source, date_of};
pub use price::{Dated, HIGHEST_RATE, Hours, Kind, Long, OffPeak, Offer, Price, Rates, Service, Tier};
pub use read::{LARGEST_PACK, PackError};
pub use terms::{OwnPrice, ProviderTerms, Terms, TermsError};
pub use usd::Usd;

use crate::record::TokenUsage;
use charge::Served;

/// All prices that are in force: those of a pack, and what the operator writes over them.
#[derive(Debug, Default)]
pub struct Prices {
    version: String,
    sources: Vec<(String, Source)>,
    providers: HashMap<Box<str>, Listed>,
    /// What the operator says of models, whoever serves them.
    own: HashMap<Box<str>, Arc<Price>>,
}

/// What one provider's models cost.
#[derive(Clone, Debug, Default)]
struct Listed {
    /// What the operator says of models at this provider.
    own: HashMap<Box<str>, Arc<Price>>,
    /// What the pack says of them. Prices of the same pack share it.
    pack: Arc<OfPack>,
    /// Millionths of the list price that the provider bills; `None` for all of it.
    multiplier: Option<u64>,
}

/// What a pack says of one provider's models.
#[derive(Debug, Default)]
struct OfPack {
    models: HashMap<Box<str>, Arc<Price>>,
    /// What all versions of a model cost; `None` where they differ.
    families: HashMap<Box<str>, Option<Arc<Price>>>,
}

/// What is to be priced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Who was asked, by the gateway's name for the provider.
    pub provider: &'a str,
    /// The model it was asked for, by the provider's name.
    pub model: &'a str,
    /// The model that answered, by its own word.
    pub answered: Option<&'a str>,
    /// The tier at which it was served, by the provider's word.
    pub service_tier: Option<&'a str>,
}

/// A price, and by which name it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The price.
    pub price: &'a Price,
    /// Millionths of it that the provider bills; `None` for all of it.
    pub multiplier: Option<u64>,
}

impl Prices {
    /// The prices that are built in.
    pub fn built_in() -> Arc<Prices> {
        BUILT_IN.clone()
    }

    /// The pack that is built in.
    pub fn built_in_pack() -> Pack {
        // A test reads it, so it can be read.
        Pack::from_bytes(COMPACT).unwrap_or_default()
    }

    /// The prices of a pack, and the operator's over them.
    ///
    /// # Errors
    /// The operator's prices refer to models without a price; every mistake is told.
    pub fn new(pack: Pack, terms: &Terms) -> Result<Prices, TermsError> {
        let mut shared: HashSet<Arc<Price>> = HashSet::new();
        let mut providers = HashMap::with_capacity(pack.providers.len());
        for (provider, models) in pack.providers {
            let mut of_pack = OfPack::default();
            for (model, price) in models {
                let kept = shared.get(&price).cloned().unwrap_or_else(|| {
                    shared.insert(price.clone());
                    price
                });
                of_pack.add(&provider, model, kept);
            }
            let listed = Listed {
                pack: Arc::new(of_pack),
                ..Listed::default()
            };
            providers.insert(provider.into_boxed_str(), listed);
        }
        let mut prices = Prices {
            version: pack.version,
            sources: pack.sources.into_iter().collect(),
            providers,
            own: HashMap::new(),
        };
        terms::apply(&mut prices, terms)?;
        Ok(prices)
    }

    /// The prices that are built in, and the operator's over them.
    ///
    /// # Errors
    /// The operator's prices refer to models without a price; every mistake is told.
    pub fn over_built_in(terms: &Terms) -> Result<Prices, TermsError> {
        let mut prices = Prices {
            version: BUILT_IN.version.clone(),
            sources: BUILT_IN.sources.clone(),
            providers: BUILT_IN.providers.clone(),
            own: HashMap::new(),
        };
        terms::apply(&mut prices, terms)?;
        Ok(prices)
    }

    /// Names the prices in force: the version of the pack, followed by a hash of the operator's own prices if there are any.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Who says what models cost, by the names that prices refer to.
    pub fn sources(&self) -> &[(String, Source)] {
        &self.sources
    }

    /// All models with a price, with their providers; the operator's own for all providers have the provider `*`.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Price)> {
        let own = self.own.iter().map(|(model, price)| ("*", &**model, &**price));
        own.chain(self.providers.iter().flat_map(move |(provider, listed)| {
            let provider: &str = provider;
            listed
                .own
                .iter()
                .chain(
                    listed
                        .pack
                        .models
                        .iter()
                        .filter(|(model, _)| !listed.own.contains_key(*model)),
                )
                .map(move |(model, price)| (provider, &**model, &**price))
        }))
    }

    /// The price of a model at a provider; `None` where it is not known for certain.
    pub fn find(&self, provider: &str, model: &str) -> Option<Found<'_>> {
        let provider = listed_provider(provider);
        let listed = self.providers.get(provider);
        let price = match listed.and_then(|listed| listed.own.get(model)) {
            Some(own) => own,
            None => match self.own.get(model) {
                Some(own) => own,
                None => listed?.find(provider, model)?,
            },
        };
        Some(Found {
            price,
            multiplier: listed.and_then(|listed| listed.multiplier),
        })
    }

    /// The price that counts for what was asked and what answered.
    ///
    /// What was asked counts, unless its name was chosen by a customer (Azure's deployments) or is not known: then what
    /// answered counts.
    pub fn find_asked(&self, asked: &Asked<'_>) -> Option<Found<'_>> {
        let provider = listed_provider(asked.provider);
        let by_asked = || self.find(provider, asked.model);
        let by_answered = || {
            asked
                .answered
                .filter(|answered| !answered.is_empty())
                .and_then(|answered| self.find(provider, answered))
        };
        if !names::names_are_chosen(provider) {
            return by_asked().or_else(by_answered);
        }
        let own = self
            .providers
            .get(provider)
            .and_then(|listed| listed.own.get(asked.model))
            .or_else(|| self.own.get(asked.model));
        if own.is_some() {
            return by_asked();
        }
        match asked.answered {
            Some(answered) if !answered.is_empty() => by_answered(),
            _ => by_asked(),
        }
    }

    /// Whether a call of this model would have a price. What costs nothing has one.
    pub fn knows(&self, provider: &str, model: &str) -> bool {
        self.find(provider, model).is_some() || names::is_free(provider)
    }

    /// What `usage` cost at the time `at`.
    pub fn cost(&self, asked: &Asked<'_>, usage: &TokenUsage, at: SystemTime) -> Cost {
        let Some(found) = self.find_asked(asked) else {
            if names::is_free(asked.provider) {
                return Cost::FREE;
            }
            let is_nothing = usage.prompt == 0 && usage.completion == 0;
            return Cost {
                estimated: usage.estimated,
                ..if is_nothing {
                    Cost::default()
                } else {
                    Cost::UNKNOWN
                }
            };
        };
        let at = seconds(at);
        let cost = charge::charge(found.price.at(at), usage, Served::read(asked.service_tier), at);
        match found.multiplier {
            Some(multiplier) => Cost {
                usd: cost.usd.millionths(multiplier),
                ..cost
            },
            None => cost,
        }
    }
}

impl OfPack {
    /// Adds a price of the pack.
    fn add(&mut self, provider: &str, model: String, price: Arc<Price>) {
        let family = names::family(provider, &model);
        match self.families.get_mut(family) {
            None => {
                self.families.insert(family.into(), Some(price.clone()));
            }
            Some(known) => {
                if known.as_ref().is_some_and(|known| !known.costs_as(&price)) {
                    *known = None;
                }
            }
        }
        self.models.insert(model.into_boxed_str(), price);
    }
}

impl Listed {
    fn find(&self, provider: &str, model: &str) -> Option<&Arc<Price>> {
        let names = names::same(provider, model);
        let exact = names
            .iter()
            .find_map(|name| self.own.get(*name).or_else(|| self.pack.models.get(*name)));
        exact.or_else(|| {
            names
                .iter()
                .find_map(|name| self.pack.families.get(names::family(provider, name))?.as_ref())
        })
    }
}

/// Seconds since 1970.
fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The pack that is built in; `tollgate prices build` makes it of the same content as `data/prices.json`.
const COMPACT: &[u8] = include_bytes!("../../data/prices.bin");

static BUILT_IN: LazyLock<Arc<Prices>> = LazyLock::new(|| {
    let prices = Prices::new(Prices::built_in_pack(), &Terms::default());
    Arc::new(prices.unwrap_or_default())
});
