//! What becomes of members that only OpenAI Chat Completions, or a vendor compatible with it, knows.
//!
//! The two tables here are the whole classification; a member that is in none of them is unknown: it is dropped and told, so
//! that a call does not fail over a member its provider never heard of; strict mode refuses it. Members that say nothing (`null`, `[]`, `{}`, `""`) are no loss.

use crate::Dialect;
use crate::canonical::{CacheHint, Ext};
use crate::gemini;
use crate::json::{Object, RawJson};
use crate::loss::{Effect, Losses};

/// What happens to a member.
enum Fate {
    /// Says what is the case anyway.
    Silent,
    /// Cannot be carried over.
    Lost(Effect, &'static str),
}

/// Top-level members of a request.
fn fate(name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Lost, Silent};
    let text = raw.text();
    match (name, text) {
        // Some servers take -1 for "no limit".
        ("max_tokens" | "max_completion_tokens", limit) if limit.starts_with('-') => Silent,
        // Of a type the dialect does not have; the usual ones are told in `options`.
        ("n", _) => Lost(Rejected, "the provider gives one answer per call"),
        ("logprobs" | "top_logprobs", _) => Lost(Rejected, "the provider gives no log probabilities"),
        ("logit_bias", _) => Lost(Approximated, "the provider knows no token biases"),
        ("random_seed", _) => Lost(Dropped, "the provider knows no seed"),
        ("prediction", _) => Lost(Dropped, "the provider takes no predicted output"),
        ("metadata", _) => Lost(Dropped, "the provider stores no metadata"),
        ("store", "false") => Silent,
        ("store", _) => Lost(Dropped, "the provider stores no answers"),
        ("verbosity", _) => Lost(Dropped, "the provider knows no verbosity"),
        ("prompt_cache_key" | "prompt_cache_retention" | "prompt_cache_options", _) => {
            Lost(Dropped, "the provider finds cached prompts by itself")
        }
        ("user" | "safety_identifier", _) => Lost(Dropped, "the provider takes one id of the end user"),
        ("stream_options", _) => Lost(Dropped, "the provider has one form of stream"),
        ("modalities", _) if only_text(raw) => Silent,
        ("modalities" | "audio", _) => Lost(Rejected, "the provider answers with text only"),
        ("web_search_options", _) => Lost(Rejected, "web search is not translated"),
        ("moderation", _) if moderation_blocks(raw) => {
            Lost(Rejected, "the provider has no blocking moderation")
        }
        ("moderation", _) => Lost(Dropped, "the provider has no moderation"),
        ("functions" | "function_call", _) => {
            Lost(Rejected, "functions from before tools existed are not translated")
        }
        // Compatible vendors.
        ("safe_prompt", "false") => Silent,
        ("safe_prompt" | "guardrails", _) => Lost(Rejected, "the provider has no such safety setting"),
        ("provider" | "models" | "route" | "plugins" | "transforms", _) => {
            Lost(Rejected, "chooses among providers of another gateway")
        }
        ("guided_json" | "guided_regex" | "guided_choice" | "guided_grammar", _) => {
            Lost(Rejected, "the provider cannot bind the answer to this")
        }
        ("reasoning" | "enable_thinking" | "chat_template_kwargs", _) => {
            Lost(Approximated, "how the model thinks is left to it")
        }
        ("min_p" | "repetition_penalty" | "reasoning_format" | "reasoning_split", _) => {
            Lost(Approximated, "the provider knows no such setting")
        }
        ("thinking", _) => Lost(Approximated, "how the model thinks is left to it"),
        ("include_reasoning", _) => Lost(Dropped, "reasoning is told as the provider tells it"),
        ("session_id" | "trace" | "usage" | "citation_options" | "priority", _) => {
            Lost(Dropped, "a hint for another provider")
        }
        _ => Lost(Dropped, "not known to the provider"),
    }
}

/// Members of a message, or of a part of one.
fn part_fate(name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Lost, Silent};
    match name {
        // Carried over as a cache breakpoint, see `cache_control`.
        "cache_control" if Object::parse(raw.text(), "").is_ok() => Silent,
        // The last assistant message is the beginning of the answer anyway.
        "prefix" => Silent,
        "eager_input_streaming" => Lost(Dropped, "a hint for another provider"),
        "annotations" => Lost(Dropped, "annotations of earlier answers are not sent back"),
        "audio" => Lost(Rejected, "the provider knows no audio of earlier answers"),
        "logprobs" | "id" | "index" | "status" => Lost(Dropped, "without meaning in a request"),
        "prompt_cache_breakpoint" => Lost(Approximated, "not a cache breakpoint the provider knows"),
        "reasoning_details" | "provider_specific_fields" | "extra_content" => {
            Lost(Dropped, "notes of another provider for itself")
        }
        _ => Lost(Dropped, "not known to the provider"),
    }
}

/// Reports the members of a request's bag.
pub(super) fn report(ext: &Ext, losses: &mut Losses) {
    report_with(fate, ext, "", losses);
}

/// Reports the members of a message's bag.
pub(super) fn report_message(ext: &Ext, path: &str, losses: &mut Losses) {
    let fate = |name: &str, raw: &RawJson| match name {
        "cache_control" => Fate::Lost(Effect::Dropped, "only parts of messages can be cache breakpoints"),
        _ => part_fate(name, raw),
    };
    report_with(fate, ext, path, losses);
}

/// Reports the members of a part's bag and returns the bag that may be written here: an empty one.
pub(super) fn part_ext(ext: &Ext, path: &str, losses: &mut Losses) -> Ext {
    report_with(part_fate, ext, path, losses);
    Ext::default()
}

/// The cache breakpoint of a client that writes this dialect's `cache_control` into its own dialect, as many do.
pub(super) fn cache_control(ext: &Ext) -> Option<CacheHint> {
    let raw = ext.get("cache_control")?;
    let mut object = Object::parse(raw.text(), "").ok()?;
    let ttl = object.take_string("ttl").ok().flatten();
    Some(CacheHint {
        ttl,
        dialect: Dialect::AnthropicMessages,
        raw: raw.clone(),
    })
}

/// Reports a breakpoint whose lifetime the provider does not have.
pub(super) fn report_cache(cache: Option<&CacheHint>, path: &str, losses: &mut Losses) {
    let Some(cache) = cache.filter(|cache| cache.dialect != Dialect::AnthropicMessages) else {
        return;
    };
    if !matches!(cache.ttl.as_deref(), None | Some("5m" | "1h")) {
        losses.approximated(format!("{path}.prompt_cache_breakpoint"), "cached for one hour");
    }
}

fn report_with(fate: impl Fn(&str, &RawJson) -> Fate, ext: &Ext, path: &str, losses: &mut Losses) {
    for (name, raw) in ext.iter().filter(|(_, raw)| !raw.is_blank()) {
        let field = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        if gemini::report(name, raw, &field, losses) {
            continue;
        }
        let Fate::Lost(effect, reason) = fate(name, raw) else {
            continue;
        };
        losses.push(field, effect, reason);
    }
}

fn only_text(raw: &RawJson) -> bool {
    serde_json::from_str::<Vec<String>>(raw.text()).is_ok_and(|kinds| kinds == ["text"])
}

/// Whether `moderation.policy` (a word, or an object with a mode) asks to block.
fn moderation_blocks(raw: &RawJson) -> bool {
    raw.text().contains("\"block\"")
}
