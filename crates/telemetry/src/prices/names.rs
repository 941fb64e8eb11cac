//! By which names providers and models are known: what two names mean the same price, and what must not be taken for it.

/// The name under which a price pack lists a provider that the gateway calls `name`.
pub fn listed_provider(name: &str) -> &str {
    match name {
        "azure-openai" => "azure",
        "vertex-ai" => "vertex",
        name => name,
    }
}

/// Whether what this provider does costs nothing: it is simulated, or a server of one's own.
pub(super) fn is_free(provider: &str) -> bool {
    matches!(
        provider,
        "simulated" | "ollama" | "vllm" | "lm-studio" | "llama-cpp"
    )
}

/// Whether names of models at this provider are chosen by its customers, so that the name that the provider answers with
/// says more.
pub(super) fn names_are_chosen(provider: &str) -> bool {
    provider == "azure"
}

/// The ways to write a model's name at a provider that mean the very same model, the name itself first.
pub(super) fn same<'a>(provider: &str, model: &'a str) -> [&'a str; 2] {
    let short = match provider {
        // `arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-…`
        "bedrock" => model
            .strip_prefix("arn:")
            .and_then(|arn| arn.rsplit_once('/'))
            .filter(|(kind, _)| kind.ends_with(":inference-profile") || kind.ends_with(":foundation-model"))
            .map(|(_, id)| id),
        "gemini" => model.strip_prefix("models/"),
        // `publishers/google/models/gemini-2.5-pro`, and `google/gemini-2.5-pro` in OpenAI's format.
        "vertex" => match model.strip_prefix("publishers/") {
            Some(path) => path.split_once("/models/").map(|(_, id)| id),
            None => model
                .strip_prefix("google/")
                .or_else(|| model.strip_prefix("anthropic/")),
        },
        "openai" => tuned(model),
        // A client may name the provider before the model.
        _ => None,
    };
    let own = || {
        model
            .strip_prefix(provider)
            .and_then(|rest| rest.strip_prefix('/'))
    };
    [model, short.or_else(own).unwrap_or(model)]
}

/// `ft:gpt-4o-2024-08-06` of the name of a model that was tuned, `ft:gpt-4o-2024-08-06:acme:support:id`. Such models have
/// prices of their own, never those of the model they were made from.
fn tuned(model: &str) -> Option<&str> {
    let base = model.strip_prefix("ft:")?;
    let end = base.find(':')?;
    model.get(.."ft:".len() + end)
}

/// What a name is a version of: the name without its date, at Bedrock without its region. All that are versions of the
/// same are a family; a version that is not listed has a price only if all listed ones have the same.
pub(super) fn family<'a>(provider: &str, model: &'a str) -> &'a str {
    match provider {
        "bedrock" => without_region(model),
        _ => without_date(model),
    }
}

/// The name without the region of Bedrock's inference profiles.
fn without_region(model: &str) -> &str {
    const REGIONS: [&str; 12] = [
        "us", "us-gov", "eu", "apac", "global", "jp", "au", "ca", "in", "sa", "me", "uk",
    ];
    match model.split_once('.') {
        Some((region, id)) if REGIONS.contains(&region) && id.contains('.') => id,
        _ => model,
    }
}

/// The name without a date such as `-20250929`, `@20250929` or `-2025-08-07` at its end.
fn without_date(model: &str) -> &str {
    let digits =
        |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((name, last)) = model.rsplit_once(['-', '@']) else {
        return model;
    };
    if digits(last, 8) && last.starts_with("20") && !name.is_empty() {
        return name;
    }
    let date = name
        .rsplit_once('-')
        .and_then(|(name, month)| name.rsplit_once('-').map(|(name, year)| (name, year, month)));
    match date {
        Some((name, year, month))
            if digits(year, 4) && digits(month, 2) && digits(last, 2) && !name.is_empty() =>
        {
            name
        }
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_regions_are_no_part_of_the_family() {
        for (provider, model, of) in [
            ("openai", "gpt-5-2025-08-07", "gpt-5"),
            ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("vertex", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
            ("openai", "gpt-4-0613", "gpt-4-0613"),
            ("mistral", "mistral-large-2411", "mistral-large-2411"),
            ("openai", "gpt-4o-2024-0a-06", "gpt-4o-2024-0a-06"),
            ("openai", "-20250101", "-20250101"),
            ("openai", "é-20250101", "é"),
            ("openai", "", ""),
            (
                "bedrock",
                "us.anthropic.claude-x-20250929-v1:0",
                "anthropic.claude-x-20250929-v1:0",
            ),
            ("bedrock", "us-gov.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
            ("bedrock", "amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
            ("bedrock", "us.custom", "us.custom"),
        ] {
            assert_eq!(family(provider, model), of, "{model}");
        }
    }

    #[test]
    fn the_same_model_has_several_names() {
        for (provider, model, also) in [
            (
                "bedrock",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.a.b",
                "us.a.b",
            ),
            (
                "bedrock",
                "arn:aws:bedrock:us-east-1::foundation-model/a.b",
                "a.b",
            ),
            ("gemini", "models/gemini-2.5-pro", "gemini-2.5-pro"),
            (
                "vertex",
                "publishers/google/models/gemini-2.5-pro",
                "gemini-2.5-pro",
            ),
            ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro"),
            ("openai", "openai/gpt-5", "gpt-5"),
            ("openai", "ft:gpt-4o:acme:x:1", "ft:gpt-4o"),
            ("openai", "ft:gpt-4o", "ft:gpt-4o"),
        ] {
            assert_eq!(same(provider, model), [model, also]);
        }
        // A profile that a customer made says nothing of its model, and another provider's name is no prefix.
        for (provider, model) in [
            (
                "bedrock",
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
            ),
            ("openai", "groq/gpt-oss"),
            ("openrouter", "openai/gpt-5"),
        ] {
            assert_eq!(same(provider, model), [model, model]);
        }
    }
}
