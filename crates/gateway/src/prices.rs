//! The prices in force, and what the operator says about prices in the form in which they are looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use http::StatusCode;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::Named;
use tollgate_resources::model::{self, OnUnknownPrice, PriceSettings};
use tollgate_telemetry::Prices;
use tollgate_telemetry::prices::{Kind, Long, Offer, OwnPrice, ProviderTerms, Rates, Service, Terms, Tier};

use crate::error::CallError;

/// The prices that count for calls from now on, and what happens to calls without one.
pub struct PricesInForce(ArcSwap<Current>);

/// Prices, and what happens to calls without one.
pub struct Current {
    /// The prices.
    pub prices: Arc<Prices>,
    /// What happens to calls of models that have none.
    pub unknown: OnUnknownPrice,
}

impl Default for PricesInForce {
    /// Those that are built in.
    fn default() -> Self {
        PricesInForce(ArcSwap::from_pointee(Current {
            prices: Prices::built_in(),
            unknown: OnUnknownPrice::Allow,
        }))
    }
}

impl PricesInForce {
    /// Lets other prices count.
    pub fn set(&self, prices: Arc<Prices>, unknown: OnUnknownPrice) {
        self.0.store(Arc::new(Current { prices, unknown }));
    }

    /// The prices that count now.
    pub fn current(&self) -> Guard<Arc<Current>> {
        self.0.load()
    }
}

impl Current {
    /// Whether a call may be made of a model at a provider.
    pub fn allow(&self, provider: &str, model: &str) -> bool {
        self.unknown == OnUnknownPrice::Allow || self.prices.knows(provider, model)
    }
}

/// What a caller is told whose model has no price, where such calls are refused.
pub fn unpriced(provider: &str, model: &str) -> CallError {
    let mut error = CallError::client(
        StatusCode::FORBIDDEN,
        ErrorKind::Permission,
        "price_unknown",
        format!(
            "the model `{model}` has no known price, and this gateway serves priced models only; its operator can set one under `prices.models`"
        ),
    );
    error.detail = Some(format!(
        "`{model}` of the provider `{provider}` has no price; write one under `prices.providers.{provider}.models`, or `prices.unknown: allow`"
    ));
    error.at("model")
}

/// The operator's prices in the form in which they are looked up.
pub fn price_terms(settings: &PriceSettings) -> Terms {
    Terms {
        models: own_prices(&settings.models),
        providers: settings
            .providers
            .iter()
            .map(|(name, terms)| {
                let terms = ProviderTerms {
                    models: own_prices(&terms.models),
                    multiplier: terms.multiplier_millionths,
                };
                (name.to_owned(), terms)
            })
            .collect(),
    }
}

fn own_prices(models: &Named<model::OwnPrice>) -> BTreeMap<String, OwnPrice> {
    models
        .iter()
        .map(|(name, own)| {
            let own = match own {
                model::OwnPrice::SameAs(other) => OwnPrice::SameAs(other.clone()),
                model::OwnPrice::Price(price) => OwnPrice::Offer(Box::new(offer(price))),
            };
            (name.to_owned(), own)
        })
        .collect()
}

fn offer(price: &model::Price) -> Offer {
    let services = [
        (Service::Batch, &price.batch),
        (Service::Flex, &price.flex),
        (Service::Priority, &price.priority),
    ];
    Offer {
        standard: Tier {
            rates: rates(&price.rates),
            long: price
                .long
                .iter()
                .map(|long| Long {
                    above: long.above,
                    rates: rates(&long.rates),
                })
                .collect(),
        },
        services: services
            .into_iter()
            .filter_map(|(service, written)| {
                let tier = Tier {
                    rates: rates(written.as_ref()?),
                    long: Vec::new(),
                };
                Some((service, tier))
            })
            .collect(),
        per_request: price.per_request,
        per_search: price.per_search,
        ..Offer::default()
    }
}

fn rates(written: &model::PriceRates) -> Rates {
    written
        .0
        .iter()
        .fold(Rates::default(), |rates, (name, rate)| match Kind::find(name) {
            Some(kind) => rates.with(kind, *rate),
            None => rates,
        })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tollgate_resources::lower_native;
    use tollgate_telemetry::TokenUsage;
    use tollgate_telemetry::prices::Asked;

    use super::*;

    fn prices(yaml: &str) -> Prices {
        let yaml = format!("models: {{m: {{provider: simulated}}}}\n{yaml}");
        let lowered = lower_native("test.yaml", &yaml, &|_| None).unwrap();
        Prices::new(Prices::built_in_pack(), &price_terms(&lowered.resources.prices)).unwrap()
    }

    fn cost(prices: &Prices, provider: &str, model: &str, prompt: u64) -> Option<u64> {
        let usage = TokenUsage {
            prompt,
            completion: 1_000_000,
            ..TokenUsage::default()
        };
        let asked = Asked {
            provider,
            model,
            ..Asked::default()
        };
        prices.cost(&asked, &usage, SystemTime::UNIX_EPOCH).micro_usd()
    }

    #[test]
    fn prices_of_the_configuration_count_before_the_list() {
        let prices = prices(
            "prices:\n  models:\n    gpt-5: {input: 1, output: 2.5, long: [{above: 2000000, input: 3, output: 4}]}\n    mine: {same_as: openai/gpt-4o}\n  providers:\n    openai:\n      multiplier: 0.9\n      models:\n        gpt-5: {input: 10, output: 20}\n    azure-openai: {models: {deployed: {input: 0.000001, output: 0}}}\n",
        );
        assert_eq!(
            cost(&prices, "openai-compatible", "gpt-5", 1_000_000),
            Some(3_500_000)
        );
        assert_eq!(
            cost(&prices, "openai-compatible", "gpt-5", 3_000_000),
            Some(13_000_000)
        );
        assert_eq!(cost(&prices, "openai", "gpt-5", 1_000_000), Some(27_000_000));
        assert_eq!(cost(&prices, "openai", "gpt-4o", 1_000_000), Some(11_250_000));
        assert_eq!(cost(&prices, "groq", "mine", 1_000_000), Some(12_500_000));
        assert_eq!(cost(&prices, "azure-openai", "deployed", 1_000_000), Some(1));
        assert_eq!(cost(&prices, "groq", "other", 1), None);
        assert!(prices.version().contains('+'));
    }

    #[test]
    fn calls_without_a_price_are_refused_where_the_operator_says_so() {
        let in_force = PricesInForce::default();
        assert!(in_force.current().allow("openai", "no-such-model"));
        in_force.set(Prices::built_in(), OnUnknownPrice::Refuse);
        let current = in_force.current();
        assert!(!current.allow("openai", "no-such-model"));
        assert!(!current.allow("openai-compatible", "gpt-5"));
        assert!(current.allow("openai", "gpt-5"));
        assert!(current.allow("simulated", "anything"));
    }
}
