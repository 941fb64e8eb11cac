//! What models cost, and what a call cost: exact whole pico-dollars, no floating point.
//!
//! Knows list prices per token from a committed table (`data/README.md` tells its source and limits). Does not know
//! discounts, batch or priority tiers, nor fees that are not per token. A model it does not know has no price, which is
//! something else than costing nothing.

mod cost;
mod usd;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use cost::{Cost, PriceState};
pub use usd::Usd;

use crate::record::TokenUsage;

/// A model's list price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The rates of ordinary calls.
    pub rates: Rates,
    /// Other rates for longer prompts, the shortest first.
    pub long_prompts: Vec<LongPrompt>,
}

/// Prices in pico-dollars per token, which is the same number as micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// An input token that no cache is involved in.
    pub input: u64,
    /// An output token, reasoning included.
    pub output: u64,
    /// An input token read from the provider's cache.
    pub cache_read: u64,
    /// An input token written to the provider's cache.
    pub cache_write: u64,
    /// An input token written to the provider's cache for an hour.
    pub cache_write_1h: u64,
}

/// Rates that apply to all tokens of a call with a long prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongPrompt {
    /// The prompt must have more tokens than this.
    pub above: u64,
    /// The rates then.
    pub rates: Rates,
}

/// The list price of a model; `None` if it is not known.
///
/// The name is looked up as it is, then without the providers in front of it (`openrouter/openai/gpt-5`), then without the
/// date behind it (`gpt-5-2025-08-07`, `claude-sonnet-4-5@20250929`). Where providers ask different prices for a model, the
/// name must carry the provider: `groq/openai/gpt-oss-120b`.
pub fn price_of(model: &str) -> Option<&'static Price> {
    let dated = without_providers(model).find_map(|name| TABLE.get(name));
    dated.or_else(|| without_providers(without_date(model)?).find_map(|name| TABLE.get(name)))
}

/// Reads the table, so that the first call does not have to; returns how many models it knows.
pub fn load_prices() -> usize {
    TABLE.len()
}

/// What an answer cost.
///
/// Tokens read from or written to a cache are billed at their own rates and not again as input.
pub fn cost(price: &Price, usage: &TokenUsage) -> Usd {
    let rates = price.rates_for(usage.prompt);
    let write_1h = usage.cache_write_1h.min(usage.cache_write);
    let write = usage.cache_write - write_1h;
    let fresh = usage
        .prompt
        .saturating_sub(usage.cached)
        .saturating_sub(usage.cache_write);
    [
        (fresh, rates.input),
        (usage.cached, rates.cache_read),
        (write, rates.cache_write),
        (write_1h, rates.cache_write_1h),
        (usage.completion, rates.output),
    ]
    .into_iter()
    .map(|(tokens, pico)| Usd::from_pico(u128::from(pico)).times(tokens))
    .sum()
}

impl Price {
    /// The rates for a call with that many prompt tokens.
    pub fn rates_for(&self, prompt: u64) -> &Rates {
        let long = self.long_prompts.iter().rev().find(|long| prompt > long.above);
        long.map_or(&self.rates, |long| &long.rates)
    }
}

/// The name, then what is behind each `/` of it.
fn without_providers(model: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(model), |name| name.split_once('/').map(|(_, rest)| rest))
}

/// The name without a date such as `-20250929`, `@20250929` or `-2025-08-07` at its end; `None` if there is none.
fn without_date(model: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, last) = model.rsplit_once(['-', '@'])?;
    if last.len() == 8 && digits(last) {
        return Some(name);
    }
    let (name, month) = name.rsplit_once('-')?;
    let (name, year) = name.rsplit_once('-')?;
    let is_date = [(year, 4), (month, 2), (last, 2)]
        .iter()
        .all(|(part, length)| part.len() == *length && digits(part));
    is_date.then_some(name)
}

static TABLE: LazyLock<HashMap<&'static str, Price>> = LazyLock::new(|| {
    include_str!("../../data/prices.tsv")
        .lines()
        .filter_map(parse_row)
        .collect()
});

/// A row of the table: the model, then groups of `above` and five rates. `None` if it is not one.
fn parse_row(row: &'static str) -> Option<(&'static str, Price)> {
    let (model, columns) = row.split_once('\t')?;
    let numbers: Vec<u64> = columns
        .split('\t')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let (groups, rest) = numbers.as_chunks::<6>();
    let ([0, first @ ..], long) = groups.split_first().filter(|_| rest.is_empty())? else {
        return None;
    };
    let long_prompts = long.iter().map(|[above, rates @ ..]| LongPrompt {
        above: *above,
        rates: Rates::of(rates),
    });
    Some((
        model,
        Price {
            rates: Rates::of(first),
            long_prompts: long_prompts.collect(),
        },
    ))
}

impl Rates {
    fn of(&[input, output, cache_read, cache_write, cache_write_1h]: &[u64; 5]) -> Rates {
        Rates {
            input,
            output,
            cache_read,
            cache_write,
            cache_write_1h,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars(model: &str, usage: TokenUsage) -> String {
        cost(price_of(model).unwrap(), &usage).to_string()
    }

    fn usage(prompt: u64, completion: u64) -> TokenUsage {
        TokenUsage {
            prompt,
            completion,
            total: prompt + completion,
            ..TokenUsage::default()
        }
    }

    #[test]
    fn every_row_of_the_table_is_read_and_no_price_is_zero() {
        assert_eq!(
            load_prices(),
            include_str!("../../data/prices.tsv").lines().count()
        );
        for (model, price) in TABLE.iter() {
            assert!(price.rates.input > 0 && price.rates.cache_read > 0, "{model}");
            assert!(price.long_prompts.is_sorted_by_key(|long| long.above), "{model}");
        }
    }

    #[test]
    fn an_openai_call_costs_what_the_price_list_says() {
        // gpt-4o: 2.50 dollars per million in, 10.00 out.
        assert_eq!(dollars("gpt-4o", usage(13, 39)), "0.0004225");
        assert_eq!(dollars("gpt-4o", usage(1_000_000, 1_000_000)), "12.5");
    }

    #[test]
    fn an_anthropic_call_costs_what_the_price_list_says() {
        // claude-sonnet-4-5: 3 dollars per million in, 15 out.
        assert_eq!(dollars("claude-sonnet-4-5", usage(8, 20)), "0.000324");
    }

    #[test]
    fn cached_tokens_cost_the_cache_price_and_not_the_input_price_as_well() {
        // 1.25 dollars per million for cached input: 1000 x 2.5 + 9000 x 1.25 + 10 x 10 micro-dollars.
        let read = TokenUsage {
            cached: 9_000,
            ..usage(10_000, 10)
        };
        assert_eq!(dollars("gpt-4o", read), "0.01385");
        // Read 0.30, write 3.75, write for an hour 6.00: 100 x 3 + 1000 x 0.3 + 2000 x 3.75 + 500 x 6 + 10 x 15.
        let written = TokenUsage {
            cached: 1_000,
            cache_write: 2_500,
            cache_write_1h: 500,
            ..usage(3_600, 10)
        };
        assert_eq!(dollars("claude-sonnet-4-5", written), "0.01125");
    }

    #[test]
    fn a_long_prompt_raises_the_price_of_the_whole_call() {
        // gemini-2.5-pro: 1.25 and 10 dollars, above 200,000 prompt tokens 2.50 and 15.
        assert_eq!(dollars("gemini-2.5-pro", usage(200_000, 1_000)), "0.26");
        assert_eq!(dollars("gemini-2.5-pro", usage(200_001, 1_000)), "0.5150025");
    }

    #[test]
    fn a_model_is_found_without_its_providers_and_without_its_date() {
        let gpt = price_of("gpt-5").unwrap();
        for name in [
            "openai/gpt-5",
            "openrouter/openai/gpt-5",
            "gpt-5-2099-01-31",
            "openai/gpt-5-20990131",
        ] {
            assert_eq!(price_of(name), Some(gpt), "{name}");
        }
        assert_eq!(
            price_of("claude-sonnet-4-5@20990131"),
            price_of("claude-sonnet-4-5")
        );
        assert!(price_of("groq/openai/gpt-oss-120b").is_some());
    }

    #[test]
    fn a_dated_model_with_a_price_of_its_own_keeps_it_behind_a_provider() {
        // The first gpt-4o cost twice as much.
        assert_eq!(dollars("gpt-4o-2024-05-13", usage(1_000_000, 0)), "5");
        assert_eq!(dollars("openai/gpt-4o-2024-05-13", usage(1_000_000, 0)), "5");
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        for name in [
            "",
            "/",
            "no-such-model",
            "openai/no-such-model-2025-01-01",
            "gpt-4o-2024-0a-06",
            "-20250101",
            "é-20250101",
        ] {
            assert_eq!(price_of(name), None, "{name}");
        }
    }

    #[test]
    fn counts_that_contradict_each_other_never_bill_below_zero_or_panic() {
        let odd = TokenUsage {
            cached: 50,
            cache_write: 10,
            cache_write_1h: 30,
            ..usage(20, 0)
        };
        // 50 x 0.3 + 10 x 6 micro-dollars.
        assert_eq!(dollars("claude-sonnet-4-5", odd), "0.000075");
        let most = TokenUsage {
            prompt: u64::MAX,
            completion: u64::MAX,
            cached: u64::MAX,
            cache_write: u64::MAX,
            ..TokenUsage::default()
        };
        assert!(cost(price_of("claude-sonnet-4-5").unwrap(), &most) > Usd::ZERO);
    }
}
