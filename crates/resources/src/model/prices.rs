//! What models cost by the operator's word, and what happens to calls whose price is not known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named::Named;

/// What models cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PriceSettings {
    /// A price pack, instead of the one that is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What happens to calls of models whose price is not known.
    pub unknown: OnUnknownPrice,
    /// Prices of models, whoever serves them.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub models: Named<OwnPrice>,
    /// Terms with providers.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub providers: Named<ProviderPrices>,
}

impl PriceSettings {
    /// Whether nothing was said about it.
    pub fn is_default(&self) -> bool {
        *self == PriceSettings::default()
    }
}

/// What happens to calls of models whose price is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknownPrice {
    /// They are served, and marked in logs, metrics and the ledger.
    #[default]
    Allow,
    /// They are refused before anything is sent.
    Refuse,
}

/// Terms with a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProviderPrices {
    /// Millionths of the list price that it bills; `None` for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier_millionths: Option<u64>,
    /// Prices of its models.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub models: Named<OwnPrice>,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnPrice {
    /// What another one costs in the list, `provider/model`.
    SameAs(String),
    /// This.
    Price(Box<Price>),
}

/// A price.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Price {
    /// The rates of ordinary calls.
    pub rates: PriceRates,
    /// Other rates for longer prompts, the shortest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub long: Vec<LongPrice>,
    /// Rates of the batch tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<PriceRates>,
    /// Rates of the flex tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flex: Option<PriceRates>,
    /// Rates of the priority tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriceRates>,
    /// Pico-dollars for a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_request: Option<u64>,
    /// Pico-dollars for a search that the provider makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_search: Option<u64>,
}

/// Rates for long prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LongPrice {
    /// The prompt must have more tokens than this.
    pub above: u64,
    /// The rates then.
    pub rates: PriceRates,
}

/// Pico-dollars per token, by kind; each has the name that the configuration has for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PriceRates(pub Vec<(&'static str, u64)>);
