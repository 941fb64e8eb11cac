//! What an instance asks for its tokens, so that instances can be compared.

use tollgate_telemetry::price_of;

use super::catalogue::Provider;
use super::config::TokenPrice;

/// What an instance asks for a million tokens, in US dollars; `None` if that is not known.
///
/// Prompts are longer than answers: three of four tokens count as the prompt's. What was written counts before the price
/// list. Servers of one's own machine ask for nothing. Where the client says which model it wants, the price is not known.
pub fn cost(provider: Provider, model: Option<&str>, written: Option<&TokenPrice>) -> Option<f64> {
    if let Some(price) = written {
        return Some(blended(price.input, price.output));
    }
    if provider.local_port().is_some() {
        return Some(0.0);
    }
    let price = price_of(&format!("{}/{}", provider.priced_as(), model?))?;
    Some(blended(
        price.rates.input as f64 / PICO_PER_TOKEN_OF_A_DOLLAR,
        price.rates.output as f64 / PICO_PER_TOKEN_OF_A_DOLLAR,
    ))
}

fn blended(input: f64, output: f64) -> f64 {
    0.75 * input + 0.25 * output
}

/// So many pico-dollars per token are a dollar per million tokens.
const PICO_PER_TOKEN_OF_A_DOLLAR: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::{Provider, TokenPrice, cost};

    fn of(provider: &str, model: Option<&str>) -> Option<f64> {
        cost(Provider::find(provider).unwrap(), model, None)
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
    fn every_name_in_the_price_list_is_one() {
        let table = include_str!("../../../telemetry/data/prices.tsv");
        for provider in Provider::all().filter(|provider| provider.priced_as() != provider.name()) {
            let prefix = format!("{}/", provider.priced_as());
            assert!(table.lines().any(|row| row.starts_with(&prefix)), "{prefix}");
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
        assert_eq!(cost(openai, Some("gpt-4o"), Some(&written)), Some(2.0));
        assert_eq!(cost(openai, None, Some(&written)), Some(2.0));
    }
}
