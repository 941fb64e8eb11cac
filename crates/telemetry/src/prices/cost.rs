//! What a call cost, and how far that is known.

use std::ops::Add;

use super::Usd;

/// What an attempt, or a call with all its attempts, cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The exact amount as far as prices are known; 0 where none is.
    pub usd: Usd,
    /// What is known of the prices.
    pub price: PriceState,
    /// Whether an amount rests on an estimate: of the tokens, because the provider told none, or of their kind, because it
    /// told too little.
    pub estimated: bool,
}

/// What is known of the prices of what a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriceState {
    /// Nothing is known to have been used, so nothing had to be priced.
    #[default]
    Nothing,
    /// What was used costs nothing: a simulated provider, a server of one's own.
    Free,
    /// Everything has a price.
    Known,
    /// A part has a price: a kind of tokens has none, or the model of one attempt has none.
    Partly,
    /// Nothing of it has a price.
    Unknown,
}

impl Cost {
    /// The cost of something for which there is no price.
    pub const UNKNOWN: Cost = Cost {
        usd: Usd::ZERO,
        price: PriceState::Unknown,
        estimated: false,
    };

    /// The cost of something that costs nothing.
    pub const FREE: Cost = Cost {
        usd: Usd::ZERO,
        price: PriceState::Free,
        estimated: false,
    };

    /// The amount in whole micro-dollars, rounded half up; `None` where no price is known.
    ///
    /// To be asked once for a call, not for its attempts: rounded amounts do not add up.
    pub fn micro_usd(&self) -> Option<u64> {
        self.amount().map(Usd::micro)
    }

    /// The exact amount; `None` where no price is known. A part of it may be missing ([`PriceState::Partly`]).
    pub fn amount(&self) -> Option<Usd> {
        (self.price != PriceState::Unknown).then_some(self.usd)
    }

    /// How far the cost is known, as it is logged and kept: `nothing`, `free`, `known`, `estimated`, `partly` or `unknown`.
    pub fn state(&self) -> &'static str {
        match self.price {
            PriceState::Unknown => "unknown",
            PriceState::Partly => "partly",
            PriceState::Known if self.estimated => "estimated",
            PriceState::Known => "known",
            PriceState::Free => "free",
            PriceState::Nothing => "nothing",
        }
    }
}

impl Cost {
    /// All words of [`Cost::state`].
    pub const STATES: [&'static str; 6] = ["nothing", "free", "known", "estimated", "partly", "unknown"];
}

impl Add for Cost {
    type Output = Cost;

    /// The cost of both together.
    fn add(self, other: Cost) -> Cost {
        use PriceState::{Free, Known, Nothing, Partly, Unknown};

        Cost {
            usd: self.usd + other.usd,
            price: match (self.price, other.price) {
                (Nothing, state) | (state, Nothing) => state,
                (Partly, _) | (_, Partly) | (Known, Unknown) | (Unknown, Known) => Partly,
                (Unknown, _) | (_, Unknown) => Unknown,
                (Known, _) | (_, Known) => Known,
                (Free, Free) => Free,
            },
            estimated: self.estimated || other.estimated,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(pico: u128) -> Cost {
        Cost {
            usd: Usd::from_pico(pico),
            price: PriceState::Known,
            estimated: false,
        }
    }

    #[test]
    fn attempts_add_up_before_they_are_rounded() {
        let call: Cost = [known(400_000), known(400_000), Cost::FREE].into_iter().sum();
        assert_eq!((call.micro_usd(), call.state()), (Some(1), "known"));
    }

    #[test]
    fn a_call_with_an_attempt_of_unknown_price_is_known_in_part() {
        assert_eq!((known(5) + Cost::UNKNOWN).state(), "partly");
        assert_eq!((Cost::UNKNOWN + Cost::FREE).state(), "unknown");
        assert_eq!((Cost::UNKNOWN + Cost::FREE).micro_usd(), None);
        assert_eq!((Cost::UNKNOWN + known(5) + Cost::UNKNOWN).state(), "partly");
    }

    #[test]
    fn a_call_that_used_nothing_cost_nothing() {
        assert_eq!(Cost::default().micro_usd(), Some(0));
        assert_eq!(Cost::default().state(), "nothing");
        assert_eq!((Cost::default() + known(1)).state(), "known");
    }

    #[test]
    fn an_estimate_stays_one_in_the_sum() {
        let guessed = Cost {
            estimated: true,
            ..known(7)
        };
        assert_eq!((guessed + known(1)).state(), "estimated");
    }
}
