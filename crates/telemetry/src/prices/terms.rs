//! What the operator says models cost, over what the price pack says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use foldhash::HashMap;
use thiserror::Error;

use super::names::listed_provider;
use super::pack::short_hash;
use super::{Found, Offer, Price, Prices};

/// The source of the operator's own prices.
pub(super) const OWN: &str = "configuration";

/// What the operator says models cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Prices of models, whoever serves them.
    pub models: BTreeMap<String, OwnPrice>,
    /// Terms with providers.
    pub providers: BTreeMap<String, ProviderTerms>,
}

/// Terms with a provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderTerms {
    /// Prices of its models.
    pub models: BTreeMap<String, OwnPrice>,
    /// Millionths of the list price that it bills; `None` for all of it.
    pub multiplier: Option<u64>,
}

/// What a model costs by the operator's word.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnPrice {
    /// This.
    Offer(Box<Offer>),
    /// What another one costs, `provider/model`: for names that the operator has chosen, such as Azure's deployments.
    SameAs(String),
}

/// Why the operator's prices cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(|(path, problem)| format!("{path}: {problem}")).collect::<Vec<_>>().join("; "))]
pub struct TermsError(
    /// Every mistake: the path below `prices`, and what is wrong.
    pub Vec<(String, String)>,
);

/// Writes the operator's prices over those of the pack.
pub(super) fn apply(prices: &mut Prices, terms: &Terms) -> Result<(), TermsError> {
    if *terms == Terms::default() {
        return Ok(());
    }
    let mut mistakes = Vec::new();
    let mut resolve = |path: String, own: &OwnPrice| {
        let price = resolve(prices, own);
        match price {
            Ok(price) => Some(Arc::new(price)),
            Err(problem) => {
                mistakes.push((path, problem));
                None
            }
        }
    };
    let mut resolve_all =
        |path: &str, models: &BTreeMap<String, OwnPrice>| -> HashMap<Box<str>, Arc<Price>> {
            models
                .iter()
                .filter_map(|(model, own)| {
                    let price = resolve(format!("{path}models.{model}"), own)?;
                    Some((model.as_str().into(), price))
                })
                .collect()
        };
    let own = resolve_all("", &terms.models);
    let of_providers: Vec<_> = terms
        .providers
        .iter()
        .map(|(provider, terms)| {
            let own = resolve_all(&format!("providers.{provider}."), &terms.models);
            (provider, own, terms.multiplier)
        })
        .collect();
    if !mistakes.is_empty() {
        return Err(TermsError(mistakes));
    }
    prices.own = own;
    for (provider, own, multiplier) in of_providers {
        let listed = prices
            .providers
            .entry(listed_provider(provider).into())
            .or_default();
        listed.own = own;
        listed.multiplier = multiplier;
    }
    let hash = short_hash(format!("{terms:?}").as_bytes());
    // Writing to a string cannot fail.
    let _ = write!(prices.version, "+{hash}");
    Ok(())
}

/// The price that is meant.
fn resolve(prices: &Prices, own: &OwnPrice) -> Result<Price, String> {
    let name = match own {
        OwnPrice::Offer(offer) => {
            return Ok(Price {
                source: OWN.to_owned(),
                offer: (**offer).clone(),
                dated: Vec::new(),
            });
        }
        OwnPrice::SameAs(name) => name,
    };
    let Some((provider, model)) = name.split_once('/') else {
        return Err(format!("`{name}` names no provider; write `provider/model`"));
    };
    match prices.find(provider, model) {
        Some(Found { price, .. }) => Ok(price.clone()),
        None => Err(format!("`{name}` has no price in the list")),
    }
}
