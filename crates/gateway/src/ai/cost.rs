//! What an instance asks for its tokens, so that instances can be compared.

use tollgate_telemetry::Prices;
use tollgate_telemetry::prices::Kind;

use super::catalogue::Provider;
use super::config::TokenPrice;

/// What an instance asks for a million tokens, in US dollars; `None` if that is not known.
///
/// Prompts are longer than answers: three of four tokens count as the prompt's. What was written counts before the price
/// list. Servers of one's own machine ask for nothing. Where the client says which model it wants, the price is not known.
pub fn cost(
    prices: &Prices,
    provider: Provider,
    model: Option<&str>,
    written: Option<&TokenPrice>,
) -> Option<f64> {
    if let Some(price) = written {
        return Some(blended(price.input, price.output));
    }
    let found = model.and_then(|model| prices.find(provider.name(), model));
    let Some(found) = found else {
        return provider.local_port().is_some().then_some(0.0);
    };
    let rates = &found.price.offer.standard.rates;
    let share = found
        .multiplier
        .map_or(1.0, |millionths| millionths as f64 / MILLION);
    let input = rates.stated(Kind::Input)? as f64 / PICO_PER_TOKEN_OF_A_DOLLAR;
    let output = rates.stated(Kind::Output).unwrap_or(0) as f64 / PICO_PER_TOKEN_OF_A_DOLLAR;
    Some(share * blended(input, output))
}

fn blended(input: f64, output: f64) -> f64 {
    0.75 * input + 0.25 * output
}

const MILLION: f64 = 1e6;

/// So many pico-dollars per token are a dollar per million tokens.
const PICO_PER_TOKEN_OF_A_DOLLAR: f64 = 1e6;

#[cfg(test)]
mod tests {
    use tollgate_telemetry::Prices;

    use super::{Provider, TokenPrice, cost};

    fn of(provider: &str, model: Option<&str>) -> Option<f64> {
        cost(
            &Prices::built_in(),
            Provider::find(provider).unwrap(),
            model,
            None,
        )
    }

    #[test]
    fn the_price_list_of_the_vendor_counts() {
        // 2.50 dollars for a million in, 10 out.
        assert_eq!(of("openai", Some("gpt-4o")), Some(4.375));
        assert_eq!(of("openrouter", Some("openai/gpt-4o")), Some(4.375));
        assert!(of("openai", Some("gpt-4o-mini")) < of("openai", Some("gpt-4o")));
        for (provider, model) in [
            ("azure-openai", "gpt-4o"),
            ("groq", "openai/gpt-oss-120b"),
            ("bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
            ("vertex-ai", "gemini-2.5-pro"),
            ("anthropic", "claude-sonnet-4-5"),
        ] {
            assert!(
                of(provider, Some(model)).is_some_and(|cost| cost > 0.0),
                "{provider}/{model}"
            );
        }
    }

    #[test]
    fn every_vendor_with_a_price_list_is_found_in_ours() {
        let prices = Prices::built_in();
        for vendor in [
            "azure-openai",
            "vertex-ai",
            "together",
            "fireworks",
            "alibaba",
            "groq",
            "mistral",
            "xai",
            "deepseek",
            "perplexity",
            "cerebras",
            "moonshot",
            "zai",
            "deepinfra",
            "sambanova",
            "cohere",
            "novita",
            "minimax",
        ] {
            let provider = Provider::find(vendor).unwrap();
            let listed = tollgate_telemetry::prices::listed_provider(provider.name());
            assert!(prices.all().any(|(of, _, _)| of == listed), "{vendor}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_cost_and_what_is_written_counts() {
        assert_eq!(of("openai", None), None);
        assert_eq!(of("openai-compatible", Some("our-own")), None);
        assert_eq!(of("ollama", Some("our-own")), Some(0.0));
        let written = TokenPrice {
            input: 1.0,
            output: 5.0,
        };
        let openai = Provider::find("openai").unwrap();
        assert_eq!(
            cost(&Prices::built_in(), openai, Some("gpt-4o"), Some(&written)),
            Some(2.0)
        );
        assert_eq!(cost(&Prices::built_in(), openai, None, Some(&written)), Some(2.0));
    }
}
