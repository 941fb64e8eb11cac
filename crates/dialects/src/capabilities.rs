//! What each model accepts, looked up by name in a table that is part of the program.
//!
//! The table is data of its time; configuration overrides it. A model that is not in it gets the permissive default: the
//! request goes out with the least change, and the provider decides.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::canonical::Effort;
use crate::target::Capabilities;

/// One model per line, see `data/README.md`.
const TABLE: &str = include_str!("../data/capabilities.txt");

static MODELS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    TABLE
        .lines()
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .collect()
});

/// The makers that Bedrock writes in front of a model's name.
const MAKERS: [&str; 9] = [
    "anthropic",
    "amazon",
    "meta",
    "mistral",
    "cohere",
    "deepseek",
    "openai",
    "qwen",
    "ai21",
];

impl Default for Capabilities {
    /// What is assumed of a model nobody has described: it takes everything, except for system messages between others,
    /// which a marked user text replaces at little cost.
    fn default() -> Self {
        Capabilities {
            max_output_tokens: None,
            sampling: true,
            adaptive_thinking: true,
            budget_thinking: true,
            thinking_always_on: false,
            reasoning: true,
            efforts: None,
            forced_tool_use: true,
            assistant_prefill: true,
            mid_conversation_system: false,
            native_structured_output: true,
            thinking_levels: false,
            claude_options: false,
            json_schema: true,
        }
    }
}

impl Capabilities {
    /// What the model of this name accepts.
    ///
    /// Looked up are, in this order and without regard to case: the name as it is, or that of the model which was tuned
    /// (`ft:gpt-4o-2024-08-06:team::id`); without what the provider puts in front
    /// (`openai/`, `us.anthropic.`); without version and date (`-v1:0`, `-20250929`, `@20250929`, `-2025-08-07`,
    /// `-latest`); with `-` for `.` (`claude-haiku-4.5`). A name that is not found has the default capabilities.
    pub fn of(model: &str) -> Self {
        let name = model.to_ascii_lowercase();
        let name = without_tuning(&name);
        let bare = without_provider(name);
        let undated = without_date(bare);
        let dashed = undated.replace('.', "-");
        let words = [name, bare, undated, &dashed]
            .into_iter()
            .find_map(|name| MODELS.get(name));
        words.map(|words| parse(words)).unwrap_or_default()
    }
}

/// Reads the words behind a name. Unknown words do not occur; a test reads the whole table.
fn parse(words: &str) -> Capabilities {
    let mut capabilities = Capabilities::default();
    for word in words.split_ascii_whitespace() {
        if let Some(most) = word.strip_prefix("max=") {
            capabilities.max_output_tokens = most.parse().ok();
        } else if let Some(efforts) = word.strip_prefix("efforts=") {
            let efforts = efforts.split(',').filter(|effort| !effort.is_empty());
            capabilities.efforts = Some(efforts.map(Effort::from_name).collect());
        } else if let Some(switch) = word.get(1..).and_then(|name| switch(&mut capabilities, name)) {
            *switch = word.starts_with('+');
        }
    }
    capabilities
}

fn switch<'c>(capabilities: &'c mut Capabilities, name: &str) -> Option<&'c mut bool> {
    Some(match name {
        "sampling" => &mut capabilities.sampling,
        "adaptive" => &mut capabilities.adaptive_thinking,
        "budget" => &mut capabilities.budget_thinking,
        "always-on" => &mut capabilities.thinking_always_on,
        "reasoning" => &mut capabilities.reasoning,
        "forced-tool" => &mut capabilities.forced_tool_use,
        "prefill" => &mut capabilities.assistant_prefill,
        "mid-system" => &mut capabilities.mid_conversation_system,
        "native-schema" => &mut capabilities.native_structured_output,
        "levels" => &mut capabilities.thinking_levels,
        "claude" => &mut capabilities.claude_options,
        "json-schema" => &mut capabilities.json_schema,
        _ => return None,
    })
}

/// The model that a tuned one is made of.
fn without_tuning(name: &str) -> &str {
    let tuned = name.strip_prefix("ft:").and_then(|tuned| tuned.split(':').next());
    tuned.unwrap_or(name)
}

/// Takes off a path in front, and Bedrock's region and maker.
fn without_provider(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    let mut rest = name;
    for _ in 0..2 {
        let Some((first, behind)) = rest.split_once('.') else {
            break;
        };
        if MAKERS.contains(&first) {
            return behind;
        }
        if !first
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        {
            break;
        }
        rest = behind;
    }
    name
}

/// Takes off a version (`-v1`, `-v1:0`) and then a date or `-latest`.
fn without_date(name: &str) -> &str {
    let versionless = match name.rsplit_once("-v") {
        Some((front, version)) if is_version(version) => front,
        _ => name,
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    for separator in ['-', '@'] {
        if let Some((front, date)) = versionless.rsplit_once(separator)
            && (date == "latest" || (date.len() == 8 && digits(date)))
        {
            return front;
        }
    }
    // -2025-08-07
    let mut pieces = versionless.rsplitn(4, '-');
    let (day, month, year, front) = (pieces.next(), pieces.next(), pieces.next(), pieces.next());
    match (front, year, month, day) {
        (Some(front), Some(year), Some(month), Some(day))
            if year.len() == 4
                && month.len() == 2
                && day.len() == 2
                && [year, month, day].into_iter().all(digits) =>
        {
            front
        }
        _ => versionless,
    }
}

/// `1` or `1:0`.
fn is_version(text: &str) -> bool {
    let (major, minor) = text.split_once(':').unwrap_or((text, "0"));
    [major, minor]
        .into_iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_table_is_understood() {
        let mut scratch = Capabilities::default();
        for (name, words) in MODELS.iter() {
            for word in words.split_ascii_whitespace() {
                let known = word
                    .strip_prefix("max=")
                    .is_some_and(|most| most.parse::<u64>().is_ok())
                    || word.starts_with("efforts=")
                    || (word.starts_with(['+', '-']) && switch(&mut scratch, &word[1..]).is_some());
                assert!(known, "{name}: {word}");
            }
        }
        assert_eq!(MODELS.len(), TABLE.lines().count(), "a name stands twice");
    }

    #[test]
    fn every_effort_of_the_table_is_a_word_we_know() {
        for (name, words) in MODELS.iter() {
            let efforts = parse(words).efforts.unwrap_or_default();
            assert!(
                !efforts.iter().any(|effort| matches!(effort, Effort::Other(_))),
                "{name}: {words}"
            );
        }
    }

    #[test]
    fn newer_models_refuse_what_older_ones_took() {
        let older = Capabilities::of("claude-sonnet-4-5");
        assert!(older.sampling && older.assistant_prefill && older.budget_thinking && older.forced_tool_use);
        assert!(!older.adaptive_thinking && !older.mid_conversation_system);
        assert_eq!(older.max_output_tokens, Some(64_000));

        let newer = Capabilities::of("claude-opus-5-5");
        assert!(
            !newer.sampling && !newer.assistant_prefill && !newer.budget_thinking && !newer.forced_tool_use
        );
        assert!(newer.adaptive_thinking && newer.thinking_always_on && newer.mid_conversation_system);
        let efforts = ["low", "medium", "high", "xhigh", "max"]
            .map(Effort::from_name)
            .to_vec();
        assert_eq!(newer.efforts, Some(efforts));
    }

    #[test]
    fn a_model_without_reasoning_is_known_as_such() {
        assert!(!Capabilities::of("gpt-4o").reasoning);
        assert!(!Capabilities::of("ft:gpt-4o-2024-08-06:team:suffix:id").reasoning);
        assert!(!Capabilities::of("claude-3-5-sonnet-20240620").reasoning);
        assert!(Capabilities::of("gpt-5").reasoning);
    }

    #[test]
    fn provider_prefixes_versions_and_dates_do_not_hide_a_model() {
        let plain = Capabilities::of("claude-haiku-4-5");
        assert_ne!(plain, Capabilities::default());
        for name in [
            "claude-haiku-4-5-20251001",
            "claude-haiku-4-5-latest",
            "anthropic/claude-haiku-4.5",
            "Anthropic/Claude-Haiku-4-5",
            "claude-haiku-4-5@20991231",
        ] {
            assert_eq!(Capabilities::of(name), plain, "{name}");
        }
        assert!(!Capabilities::of("jp.anthropic.claude-opus-4-7-20990101-v1:0").sampling);
        assert!(!Capabilities::of("gpt-4o-2099-01-01").reasoning);
    }

    #[test]
    fn an_unknown_model_gets_the_permissive_default() {
        assert_eq!(Capabilities::of("something-new"), Capabilities::default());
        assert_eq!(Capabilities::of(""), Capabilities::default());
        assert_eq!(Capabilities::of("-"), Capabilities::default());
        assert_eq!(Capabilities::of("ä.é/ü@-v:"), Capabilities::default());
    }

    #[test]
    fn names_are_shortened_as_the_script_does() {
        assert_eq!(
            without_provider("bedrock/us-east-1/us.anthropic.claude-x"),
            "claude-x"
        );
        assert_eq!(without_provider("gpt-4.1"), "gpt-4.1");
        assert_eq!(without_provider("anthropic.claude-x"), "claude-x");
        assert_eq!(without_date("claude-x-20250929-v1:0"), "claude-x");
        assert_eq!(without_date("gpt-5-2025-08-07"), "gpt-5");
        assert_eq!(without_date("deepseek-v3"), "deepseek");
        assert_eq!(without_date("gpt-4-0613"), "gpt-4-0613");
    }
}
