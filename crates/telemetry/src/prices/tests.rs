//! Prices as users meet them: what calls cost, by which names models are found, what a pack may say.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

/// 2026-11-21, a Saturday, 12:30 by universal time.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_264_200)
}

fn usage(prompt: u64, completion: u64) -> TokenUsage {
    TokenUsage {
        prompt,
        completion,
        total: prompt + completion,
        ..TokenUsage::default()
    }
}

fn cost_of(provider: &str, model: &str, usage: TokenUsage) -> Cost {
    let asked = Asked {
        provider,
        model,
        ..Asked::default()
    };
    Prices::built_in().cost(&asked, &usage, now())
}

/// The exact amount, and how far it is known.
fn dollars(provider: &str, model: &str, usage: TokenUsage) -> (String, &'static str) {
    let cost = cost_of(provider, model, usage);
    (cost.usd.to_string(), cost.state())
}

fn in_tier(provider: &str, model: &str, tier: &str, usage: TokenUsage) -> (String, &'static str) {
    let asked = Asked {
        provider,
        model,
        service_tier: Some(tier),
        ..Asked::default()
    };
    let cost = Prices::built_in().cost(&asked, &usage, now());
    (cost.usd.to_string(), cost.state())
}

/// Prices of a pack with these models of one provider.
fn prices(provider: &str, models: &str) -> Prices {
    Prices::new(pack(provider, models).unwrap(), &Terms::default()).unwrap()
}

fn pack(provider: &str, models: &str) -> Result<Pack, PackError> {
    let text = format!(
        r#"{{"format": 1, "version": "v", "currency": "USD", "unit": "per million tokens",
        "sources": {{"list": {{"source": "a list", "licence": "MIT", "retrieved": "2026-11-20"}}}},
        "providers": {{"{provider}": {{{models}}}}}}}"#
    );
    Pack::from_json(text.as_bytes())
}

#[test]
fn an_openai_call_costs_what_the_price_list_says() {
    // 2.50 dollars per million in, 1.25 cached, 10.00 out.
    assert_eq!(
        dollars("openai", "gpt-4o", usage(13, 39)),
        ("0.0004225".to_owned(), "known")
    );
    let cached = TokenUsage {
        cached: 9_000,
        ..usage(10_000, 10)
    };
    assert_eq!(dollars("openai", "gpt-4o", cached).0, "0.01385");
    assert_eq!(
        cost_of("openai", "gpt-4o", usage(13, 39)).micro_usd(),
        Some(423),
        "rounded once, half up"
    );
}

#[test]
fn caches_of_anthropic_are_billed_by_how_long_they_last() {
    // In 3, out 15, read 0.30, write 3.75, write for an hour 6.00: 100 x 3 + 1000 x 0.3 + 2000 x 3.75 + 500 x 6 + 10 x 15.
    let written = TokenUsage {
        cached: 1_000,
        cache_write: 2_500,
        cache_write_1h: 500,
        ..usage(3_600, 10)
    };
    assert_eq!(
        dollars("anthropic", "claude-sonnet-4-5", written),
        ("0.01125".to_owned(), "known")
    );
}

#[test]
fn a_long_prompt_raises_the_price_of_the_whole_call() {
    // 1.25 and 10 dollars, above 200,000 prompt tokens 2.50 and 15.
    assert_eq!(
        dollars("gemini", "gemini-2.5-pro", usage(200_000, 1_000)).0,
        "0.26"
    );
    assert_eq!(
        dollars("gemini", "gemini-2.5-pro", usage(200_001, 1_000)).0,
        "0.5150025"
    );
}

#[test]
fn tiers_of_service_have_prices_of_their_own() {
    let million = usage(1_000_000, 0);
    assert_eq!(in_tier("openai", "o3", "default", million).0, "2");
    assert_eq!(in_tier("openai", "o3", "flex", million).0, "1");
    assert_eq!(in_tier("openai", "o3", "priority", million).0, "3.5");
    // Nobody says what these cost.
    assert_eq!(in_tier("openai", "o3", "scale", million).1, "unknown");
    assert_eq!(
        in_tier("anthropic", "claude-sonnet-4-5", "priority", million).1,
        "unknown"
    );
    // A long prompt has a price in the ordinary tier and in no flex tier.
    assert_eq!(
        in_tier("gemini", "gemini-2.5-pro", "flex", usage(200_001, 1)).1,
        "unknown"
    );
    assert_eq!(
        in_tier("gemini", "gemini-2.5-pro", "flex", usage(200_000, 0)),
        ("0.125".to_owned(), "known")
    );
    // Cached tokens of a batch have a price of their own, which is not stated.
    let cached = TokenUsage {
        cached: 400_000,
        ..million
    };
    assert_eq!(
        in_tier("openai", "gpt-4o", "batch", cached),
        ("0.75".to_owned(), "partly")
    );
}

#[test]
fn audio_and_images_are_not_billed_as_text_as_well() {
    let prices = prices(
        "openai",
        r#""talker": {"source": "list", "input": 2.5, "output": 10, "cache_read": 1, "audio_input": 40, "audio_output": 80, "image_input": 5, "reasoning": 20},
        "mute": {"source": "list", "input": 1, "output": 2}"#,
    );
    let cost = |model, usage: TokenUsage| {
        let asked = Asked {
            provider: "openai",
            model,
            ..Asked::default()
        };
        let cost = prices.cost(&asked, &usage, now());
        (cost.usd.pico() / 1_000_000, cost.state())
    };
    let spoken = TokenUsage {
        audio_input: 30,
        image_input: 20,
        audio_output: 50,
        reasoning: 10,
        ..usage(100, 100)
    };
    // 50 x 2.5 + 30 x 40 + 20 x 5 + 40 x 10 + 50 x 80 + 10 x 20.
    assert_eq!(
        cost("talker", spoken),
        (125 + 1200 + 100 + 400 + 4000 + 200, "known")
    );
    // How much of the audio came from the cache is not told.
    let cached = TokenUsage { cached: 50, ..spoken };
    assert_eq!(cost("talker", cached).1, "estimated");
    // Images are text to this model, but audio has no price: 70 x 1 + 50 x 2.
    assert_eq!(cost("mute", spoken), (70 + 100, "partly"));
    let heard = TokenUsage {
        audio_input: 100,
        ..usage(100, 0)
    };
    assert_eq!(cost("mute", heard), (0, "unknown"));
}

#[test]
fn requests_and_searches_have_fees() {
    let prices = prices(
        "perplexity",
        r#""found": {"source": "list", "input": 1, "output": 1, "per_request": 0.005, "per_search": 0.01},
        "plain": {"source": "list", "input": 1, "output": 1},
        "more": {"source": "list", "input": 1, "output": 1, "incomplete": true}"#,
    );
    let cost = |model, searches| {
        let asked = Asked {
            provider: "perplexity",
            model,
            ..Asked::default()
        };
        let used = TokenUsage {
            searches,
            ..usage(1, 0)
        };
        let cost = prices.cost(&asked, &used, now());
        (cost.usd.to_string(), cost.state())
    };
    assert_eq!(cost("found", 0), ("0.005001".to_owned(), "known"));
    assert_eq!(cost("found", 3), ("0.035001".to_owned(), "known"));
    assert_eq!(cost("plain", 3), ("0.000001".to_owned(), "partly"));
    assert_eq!(cost("more", 0), ("0.000001".to_owned(), "partly"));
}

#[test]
fn prices_change_with_the_day_and_the_hour() {
    let prices = prices(
        "deepseek",
        r#""cheap-at-night": {"source": "list", "input": 2, "output": 2,
            "off_peak": {"input": 1, "times": [{"days": [6], "from": "12:30", "until": "13:00"}]},
            "dated": [{"until": "2026-09-01", "input": 7, "output": 7}, {"from": "2027-01-01", "input": 9, "output": 9}]}"#,
    );
    let cost = |at: SystemTime| {
        let asked = Asked {
            provider: "deepseek",
            model: "cheap-at-night",
            ..Asked::default()
        };
        prices
            .cost(&asked, &usage(1_000_000, 1_000_000), at)
            .usd
            .to_string()
    };
    assert_eq!(cost(now()), "3");
    assert_eq!(cost(now() + Duration::from_secs(30 * 60)), "4");
    assert_eq!(cost(now() + Duration::from_secs(24 * 3600)), "4");
    assert_eq!(cost(now() - Duration::from_secs(100 * 24 * 3600)), "14");
    assert_eq!(cost(now() + Duration::from_secs(100 * 24 * 3600)), "18");
}

#[test]
fn a_model_is_found_by_every_name_that_means_it() {
    let prices = Prices::built_in();
    for (provider, name, also) in [
        ("openai", "gpt-5", "openai/gpt-5"),
        ("openai", "gpt-5", "gpt-5-2099-01-31"),
        ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20990131"),
        ("vertex", "claude-sonnet-4-5", "claude-sonnet-4-5@20990131"),
        ("vertex-ai", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        (
            "vertex",
            "gemini-2.5-pro",
            "publishers/google/models/gemini-2.5-pro",
        ),
        ("gemini", "gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("azure-openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        (
            "bedrock",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "openai",
            "ft:gpt-4o-2024-08-06",
            "ft:gpt-4o-2024-08-06:acme:support:abc123",
        ),
    ] {
        let first = prices.find(provider, name).map(|found| found.price);
        assert!(first.is_some(), "{provider}/{name}");
        assert_eq!(
            prices.find(provider, also).map(|found| found.price),
            first,
            "{also}"
        );
    }
}

#[test]
fn what_is_not_certain_has_no_price() {
    let prices = Prices::built_in();
    for (provider, model) in [
        ("openai", ""),
        ("openai", "no-such-model"),
        ("openai", "gpt-5-turbo-max"),
        // The first gpt-4o cost twice as much as those after it.
        ("openai", "gpt-4o-2099-01-31"),
        // What was tuned has a price of its own, and this one has none.
        ("openai", "ft:gpt-5:acme:x:1"),
        // Another provider's model, or nobody's.
        ("openai", "claude-sonnet-4-5"),
        ("openai-compatible", "gpt-5"),
        ("", "gpt-5"),
        // A customer's own name.
        ("azure", "my-deployment"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
        ),
        // In the United States it costs a tenth more than elsewhere; a region nobody lists may be either.
        ("bedrock", "sa.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("openrouter", "anthropic/claude-sonnet-4.5:nitro"),
    ] {
        assert!(prices.find(provider, model).is_none(), "{provider}/{model}");
    }
    assert_eq!(
        dollars("openai", "no-such-model", usage(1, 1)),
        ("0".to_owned(), "unknown")
    );
    assert_eq!(cost_of("openai", "no-such-model", usage(1, 1)).micro_usd(), None);
    assert_eq!(cost_of("openai", "no-such-model", usage(0, 0)).state(), "nothing");
    assert_eq!(cost_of("simulated", "anything", usage(5, 5)).state(), "free");
    assert_eq!(cost_of("ollama", "llama3", usage(5, 5)).micro_usd(), Some(0));
}

#[test]
fn versions_of_a_model_have_a_price_only_if_all_that_are_known_agree() {
    let agree = prices(
        "openai",
        r#""m-2025-01-01": {"source": "list", "input": 1, "output": 1}, "m-2025-06-01": {"source": "list", "input": 1, "output": 1}"#,
    );
    assert!(agree.find("openai", "m").is_some());
    assert!(agree.find("openai", "m-2026-01-01").is_some());
    let differ = prices(
        "openai",
        r#""m-2025-01-01": {"source": "list", "input": 1, "output": 1}, "m-2025-06-01": {"source": "list", "input": 2, "output": 1}"#,
    );
    assert!(differ.find("openai", "m").is_none());
    assert!(differ.find("openai", "m-2025-06-01").is_some());
}

#[test]
fn a_deployment_at_azure_costs_what_the_model_costs_that_answers() {
    let prices = Prices::built_in();
    let cost = |model, answered| {
        let asked = Asked {
            provider: "azure-openai",
            model,
            answered,
            ..Asked::default()
        };
        prices
            .cost(&asked, &usage(1_000_000, 0), now())
            .amount()
            .map(|usd| usd.to_string())
    };
    assert_eq!(
        cost("support-bot", Some("gpt-4o-2024-08-06")).as_deref(),
        Some("2.5")
    );
    // Somebody has called it by the name of another model.
    assert_eq!(
        cost("gpt-4o", Some("gpt-4o-mini-2024-07-18")).as_deref(),
        Some("0.15")
    );
    assert_eq!(cost("gpt-4o", Some("something-else")), None);
    assert_eq!(cost("gpt-4o", None).as_deref(), Some("2.5"));
    assert_eq!(cost("support-bot", None), None);
}

#[test]
fn prices_of_ones_own_count_before_the_list() {
    let own = |rate| {
        OwnPrice::Offer(Box::new(Offer {
            standard: Tier {
                rates: Rates::default().with(Kind::Input, rate).with(Kind::Output, rate),
                long: Vec::new(),
            },
            ..Offer::default()
        }))
    };
    let terms = Terms {
        models: BTreeMap::from([
            ("gpt-5".to_owned(), own(1_000_000)),
            ("bot".to_owned(), OwnPrice::SameAs("openai/gpt-4o".to_owned())),
        ]),
        providers: BTreeMap::from([(
            "azure-openai".to_owned(),
            ProviderTerms {
                models: BTreeMap::from([("bot".to_owned(), own(3_000_000))]),
                multiplier: Some(500_000),
            },
        )]),
    };
    let prices = Prices::new(Prices::built_in_pack(), &terms).unwrap();
    let cost = |provider, model| {
        let asked = Asked {
            provider,
            model,
            answered: Some("gpt-4o"),
            ..Asked::default()
        };
        prices.cost(&asked, &usage(1_000_000, 0), now()).usd.to_string()
    };
    assert_eq!(cost("openai", "gpt-5"), "1");
    assert_eq!(cost("openai-compatible", "bot"), "2.5");
    assert_eq!(cost("azure", "bot"), "1.5");
    assert_eq!(cost("azure", "other"), "1.25");
    assert!(
        prices
            .version()
            .starts_with(&format!("{}+", Prices::built_in().version()))
    );
    let mistaken = Terms {
        models: BTreeMap::from([
            ("a".to_owned(), OwnPrice::SameAs("openai/none".to_owned())),
            ("b".to_owned(), OwnPrice::SameAs("gpt-4o".to_owned())),
        ]),
        ..Terms::default()
    };
    let TermsError(mistakes) = Prices::new(Prices::built_in_pack(), &mistaken).unwrap_err();
    assert_eq!(mistakes.len(), 2);
    assert_eq!(mistakes.first().unwrap().0, "models.a");
}

#[test]
fn the_built_in_pack_is_the_one_in_the_repository_and_fits_its_schema() {
    let text = include_str!("../../data/prices.json");
    let pack = Pack::from_json(text.as_bytes()).unwrap();
    assert_eq!(pack, Prices::built_in_pack());
    assert_eq!(pack.to_json(), text);
    assert!(
        pack.version.ends_with(&format!(".{}", pack.content_hash())),
        "{}",
        pack.version
    );
    assert!(pack.model_count() > 3_000);
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../data/prices.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let mistakes: Vec<String> = schema
        .iter_errors(&value)
        .take(3)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
}

#[test]
fn every_price_of_the_built_in_pack_can_be_used() {
    let pack = Prices::built_in_pack();
    for (provider, models) in &pack.providers {
        for (model, price) in models {
            for offer in price.offers() {
                let text = offer.standard.rates.stated(Kind::Input);
                assert!(
                    text.is_some() || offer.per_request.is_some(),
                    "{provider}/{model}"
                );
                let is_free = model.ends_with(":free");
                assert!(
                    is_free || offer.standard.rates.all().all(|(_, rate)| rate > 0),
                    "{provider}/{model}"
                );
                assert!(
                    offer.standard.rates.all().all(|(_, rate)| rate <= 1_000_000_000),
                    "more than 1000 dollars per million tokens: {provider}/{model}"
                );
            }
            assert_eq!(
                Prices::built_in().find(provider, model).map(|found| found.price),
                Some(&**price)
            );
        }
    }
}

#[test]
fn every_mistake_of_a_pack_is_told_with_its_place() {
    let told = |models: &str| pack("openai", models).unwrap_err().to_string();
    for (models, expected) in [
        (
            r#""m": {"source": "list", "input": -1, "output": 1}"#,
            "providers.openai.m.input: must be a number that is not negative",
        ),
        (
            r#""m": {"source": "list", "input": 0.0000001, "output": 1}"#,
            "providers.openai.m.input: is finer than is kept: at most 6 decimal places",
        ),
        (
            r#""m": {"source": "list", "inptu": 1}"#,
            "providers.openai.m.inptu: is no member that is known",
        ),
        (
            r#""m": {"source": "list"}"#,
            "providers.openai.m: states no price",
        ),
        (
            r#""m": {"source": "other", "input": 1}"#,
            "providers.openai.m: `source`: `other` is not among the sources",
        ),
        (
            r#""m": {"source": "list", "input": 1, "long": [{"above": 5, "input": 2}, {"above": 5, "input": 3}]}"#,
            "providers.openai.m: `long` must rise in `above`",
        ),
        (
            r#""m": {"source": "list", "input": 1, "long": [{"above": 5, "batch": 2}]}"#,
            "providers.openai.m.long[0].batch: is no member that is known",
        ),
        (
            r#""m": {"source": "list", "input": 1, "flex": {"input": "2"}}"#,
            "providers.openai.m.flex.input: must be a number",
        ),
        (
            r#""m": {"source": "list", "input": 1, "dated": [{"from": "2026-13-01", "input": 1}]}"#,
            "providers.openai.m.dated[0].from: must be a date",
        ),
        (
            r#""m": {"source": "list", "input": 1, "dated": [{"until": "2026-02-01", "input": 1}, {"from": "2026-01-01", "input": 1}]}"#,
            "providers.openai.m: `dated` has times that overlap",
        ),
        (
            r#""m": {"source": "list", "input": 1, "off_peak": {"input": 1, "times": [{"days": [8], "from": "01:00", "until": "24:01"}]}}"#,
            "days: must be days from 1 (Monday) to 7",
        ),
        (
            r#""m": {"source": "list", "input": 1, "input": 2}"#,
            "providers.openai.m: must be an object: `input` occurs twice",
        ),
        (r#""m": 5"#, "providers.openai.m: must be an object"),
        (
            r#""a": {"source": "list", "input": true}, "b": {"source": "", "input": 1}"#,
            "providers.openai.b.source: must be a text that is not empty",
        ),
    ] {
        let told = told(models);
        assert!(told.contains(expected), "{models}: {told}");
    }
    for (text, expected) in [
        ("", "EOF"),
        ("[]", "expected an object"),
        ("{}", "format: is missing; version: is missing"),
        (r#"{"format": 2}"#, "format: must be 1"),
        (r#"{"currency": "EUR"}"#, "currency: must be \"USD\""),
    ] {
        let error = Pack::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn lists_of_other_projects_become_a_pack() {
    let litellm = br#"{
        "gpt-x": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.8750000000000003e-06, "output_cost_per_token": 1e-05,
            "input_cost_per_token_above_200k_tokens": 2e-06, "input_cost_per_token_batches": 5e-07, "output_cost_per_token_batches": 5e-06,
            "cache_creation_input_token_cost_above_1hr": 6e-06},
        "free": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
        "image": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
        "groq/fast": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
    }"#;
    let genai = br#"[{"id": "x-ai", "models": [
        {"id": "grok-x", "match": {"or": [{"starts_with": "grok-x-"}, {"equals": "grok-x-latest"}]}, "prices": [
            {"prices": {"input_mtok": 2, "output_mtok": {"base": 4, "tiers": [{"start": 1000, "price": 8}]}}},
            {"constraint": {"start_date": "2026-03-01"}, "prices": {"input_mtok": 1, "output_mtok": 3}}]}]},
        {"id": "openai", "models": [{"id": "gpt-x", "match": {"equals": "gpt-x"}, "prices": {"input_mtok": 5}}]}]"#;
    let models_dev = br#"{"togetherai": {"m": {"cost": {"input": 0.5, "output": 1.5, "tiers": [{"tier": {"size": 9}, "input": 1}]}}},
        "github-copilot": {"m": {"cost": {"input": 1}}}}"#;
    let input = |name: &str, text: &[u8]| build::Input {
        name: name.to_owned(),
        source: Source {
            source: name.to_owned(),
            licence: "MIT".to_owned(),
            retrieved: "2026-11-20".to_owned(),
        },
        text: text.to_vec(),
    };
    let built = build::build(&[
        input("litellm", litellm),
        input("genai", genai),
        input("models.dev", models_dev),
    ])
    .unwrap();
    assert_eq!(
        built.taken,
        [
            ("litellm".to_owned(), 2, 2),
            ("genai".to_owned(), 3, 2),
            ("models.dev".to_owned(), 1, 1)
        ]
    );
    assert_eq!(built.disagreements, [("openai".to_owned(), "gpt-x".to_owned())]);
    let json = built.pack.to_json();
    for line in [
        r#""gpt-x": {"source": "litellm", "input": 1.875, "output": 10, "cache_write_1h": 6, "long": [{"above": 200000, "input": 2}], "batch": {"input": 0.5, "output": 5}}"#,
        r#""fast": {"source": "litellm", "input": 1, "output": 2}"#,
        r#""grok-x-latest": {"source": "genai", "input": 1, "output": 3, "dated": [{"until": "2026-03-01", "input": 2, "output": 4, "long": [{"above": 1000, "output": 8}]}]}"#,
        r#""m": {"source": "models.dev", "input": 0.5, "output": 1.5, "long": [{"above": 9, "input": 1}]}"#,
    ] {
        assert!(json.contains(line), "{json}");
    }
    assert!(build::build(&[input("other", b"{}")]).is_err());
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
    assert_eq!(dollars("anthropic", "claude-sonnet-4-5", odd).0, "0.000075");
}
