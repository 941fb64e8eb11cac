//! What becomes of members that only another dialect knows, when a request is written for Gemini.
//!
//! The two tables are the whole classification, one for OpenAI Chat Completions and the vendors compatible with it, one for
//! Anthropic Messages (`docs/dialects/gemini.md`, which a test compares). A member in none of them is unknown: dropped and
//! told. Members that say nothing (`null`, `[]`, `{}`, `""`) are no loss.

use crate::Dialect;
use crate::canonical::{CacheHint, Ext};
use crate::json::{Object, RawJson};
use crate::loss::{Effect, Losses};

/// What happens to a member.
enum Fate {
    /// Says what is the case anyway.
    Silent,
    /// Cannot be carried over.
    Lost(Effect, &'static str),
}

/// The kind of object in which a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The request itself.
    Request,
    /// A message, or a part of one.
    Part,
    /// An image, document, audio or video.
    Media,
    /// A tool definition.
    Tool,
}

/// Members of OpenAI Chat Completions.
fn openai(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Lost, Silent};
    let text = raw.text();
    if place != Place::Request {
        return match name {
            // The last assistant message is the beginning of the answer anyway.
            "prefix" => Silent,
            // Google's own way to carry signatures through this dialect; they are read from there.
            "extra_content" if text.contains("thought_signature") => Silent,
            // Holds the same reasoning as the parts.
            "reasoning_details" => Silent,
            "cache_control" | "prompt_cache_breakpoint" => Lost(Dropped, CACHES),
            "annotations" => Lost(Dropped, "annotations of earlier answers are not sent back"),
            "audio" => Lost(Rejected, "the provider knows no audio of earlier answers"),
            "logprobs" | "id" | "index" | "status" => Lost(Dropped, "without meaning in a request"),
            "eager_input_streaming" => Lost(Dropped, "a hint for another provider"),
            "provider_specific_fields" | "extra_content" => {
                Lost(Dropped, "notes of another provider for itself")
            }
            _ => Lost(Dropped, "not known to the provider"),
        };
    }
    match (name, text) {
        ("n", _) => Lost(Rejected, "not a number of answers"),
        ("logprobs" | "top_logprobs", _) => Lost(Rejected, "not a choice of log probabilities"),
        // Some servers take -1 for "no limit".
        ("max_tokens" | "max_completion_tokens", limit) if limit.starts_with('-') => Silent,
        ("logit_bias", _) => Lost(Approximated, "the provider knows no token biases"),
        ("random_seed", _) => Lost(Dropped, "another provider's name for the seed"),
        ("prediction", _) => Lost(Dropped, "the provider takes no predicted output"),
        ("metadata", _) => Lost(Dropped, "the provider stores no metadata"),
        ("store", "false") => Silent,
        ("store", _) => Lost(Dropped, "the provider stores no answers"),
        ("verbosity", _) => Lost(Dropped, "the provider knows no verbosity"),
        ("prompt_cache_key" | "prompt_cache_retention" | "prompt_cache_options", _) => Lost(Dropped, CACHES),
        ("user" | "safety_identifier", _) => Lost(Dropped, NO_USER),
        ("stream_options", _) => Lost(Dropped, "the provider has one form of stream"),
        ("modalities", _) if only_text(raw) => Silent,
        ("modalities" | "audio", _) => Lost(Rejected, "only text is translated"),
        ("web_search_options", _) => Lost(Rejected, "web search is not translated"),
        ("moderation", _) if text.contains("\"block\"") => {
            Lost(Rejected, "the provider has no such moderation")
        }
        ("moderation", _) => Lost(Dropped, "the provider has no such moderation"),
        ("functions" | "function_call", _) => Lost(Rejected, "stands beside tools, or without functions"),
        // Compatible vendors.
        ("safe_prompt", "false") => Silent,
        ("safe_prompt" | "guardrails", _) => Lost(Rejected, "the provider has no such safety setting"),
        ("provider" | "models" | "route" | "plugins" | "transforms", _) => {
            Lost(Rejected, "chooses among providers of another gateway")
        }
        ("guided_json" | "guided_regex" | "guided_choice" | "guided_grammar", _) => {
            Lost(Rejected, "the provider cannot bind the answer to this")
        }
        ("reasoning" | "enable_thinking" | "chat_template_kwargs" | "thinking", _) => {
            Lost(Approximated, "how the model thinks is left to it")
        }
        ("min_p" | "repetition_penalty" | "reasoning_format" | "reasoning_split", _) => {
            Lost(Approximated, "the provider knows no such setting")
        }
        ("include_reasoning", _) => Lost(Dropped, "reasoning is told as the provider tells it"),
        ("session_id" | "trace" | "usage" | "citation_options" | "priority", _) => {
            Lost(Dropped, "a hint for another provider")
        }
        _ => Lost(Dropped, "not known to the provider"),
    }
}

/// Members of Anthropic Messages.
fn anthropic(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Lost, Silent};
    let compact: String = raw.text().chars().filter(|c| !c.is_whitespace()).collect();
    match (place, name, compact.as_str()) {
        (_, "cache_control", _) => Lost(Dropped, CACHES),
        (Place::Request, "diagnostics", _) => Lost(Dropped, "only for diagnosis"),
        (Place::Request, "anthropic_version" | "anthropic_beta" | "betas", _) => {
            Lost(Dropped, "names another API's version")
        }
        (Place::Request, "speed", r#""standard""#) => Silent,
        (Place::Request, "speed", _) => Lost(Approximated, "becomes the service tier"),
        (Place::Request, "inference_geo", _) => Lost(Rejected, "the place of processing cannot be promised"),
        (Place::Request, "container", _) => Lost(Rejected, "the provider has no such container"),
        (Place::Request, "mcp_servers", _) => Lost(Rejected, "the provider is not told of these servers"),
        (Place::Request, "context_management" | "compaction", _) => {
            Lost(Rejected, "the provider does not edit the context")
        }
        (Place::Request, "thread", _) => Lost(Rejected, "the provider does not have this thread"),
        (Place::Request, "fallbacks" | "fallback_credit_token", _) => {
            Lost(Rejected, "the provider has no fallbacks")
        }
        (Place::Request, "billing_policy", _) => Lost(Rejected, "the provider has no such policy"),
        (Place::Request, "user_profile_id" | "workspace_id", _) => {
            Lost(Rejected, "belongs to another provider")
        }
        (Place::Request, "output_format", _) => {
            Lost(Rejected, "the form of the answer is told in output_config.format")
        }
        (Place::Request, "task_budget", _) => Lost(Rejected, "the provider has no budget for a task"),
        (Place::Part, "clear_at", _) => Lost(Dropped, "messages are not cleared"),
        (Place::Part, "citations", _) => Lost(Dropped, "citations of earlier answers cannot be repeated"),
        (Place::Part, "caller", r#"{"type":"direct"}"#) => Silent,
        (Place::Part, "caller", _) => Lost(Dropped, "calls do not name their caller"),
        (Place::Media, "citations", r#"{"enabled":false}"#) => Silent,
        (Place::Media, "citations", _) => Lost(Rejected, "the provider does not cite documents"),
        (Place::Media, "context", _) => Lost(Dropped, "documents have no such description"),
        (Place::Media, "transformations", _) => Lost(Dropped, "images are prepared by the provider"),
        (Place::Tool, "type", r#""custom""#) => Silent,
        (Place::Tool, "eager_input_streaming" | "defer_loading", "false") => Silent,
        (Place::Tool, "eager_input_streaming" | "defer_loading" | "input_examples", _) => {
            Lost(Dropped, "a hint that the provider does not know")
        }
        (Place::Tool, "allowed_callers", r#"["direct"]"#) => Silent,
        (Place::Tool, "allowed_callers", _) => Lost(Rejected, "who calls a tool cannot be limited"),
        _ => Lost(Dropped, "not known to the provider"),
    }
}

/// Why a mark of what to cache is left out.
const CACHES: &str = "the provider finds cached prompts by itself";
/// Why the id of the end user is left out.
pub(super) const NO_USER: &str = "the provider takes no id of the end user";

/// Reports the members of a request's bag.
pub(super) fn report_request(ext: &Ext, origin: Dialect, losses: &mut Losses) {
    for (name, raw) in ext.iter() {
        let nested = origin == Dialect::AnthropicMessages && matches!(name, "output_config" | "metadata");
        match Object::parse(raw.text(), "") {
            Ok(object) if nested && name == "metadata" => {
                for (member, _) in object.into_ext().0 {
                    losses.dropped(format!("metadata.{member}"), "has no effect on the answer");
                }
            }
            Ok(object) if nested => report(&object.into_ext(), Place::Request, origin, name, losses),
            _ => report_one(name, raw, Place::Request, origin, "", losses),
        }
    }
}

/// Reports the members of a bag.
pub(super) fn report(ext: &Ext, place: Place, origin: Dialect, path: &str, losses: &mut Losses) {
    for (name, raw) in ext.iter() {
        report_one(name, raw, place, origin, path, losses);
    }
}

fn report_one(name: &str, raw: &RawJson, place: Place, origin: Dialect, path: &str, losses: &mut Losses) {
    if raw.is_blank() {
        return;
    }
    let fate = if origin == Dialect::AnthropicMessages {
        anthropic(place, name, raw)
    } else {
        openai(place, name, raw)
    };
    let Fate::Lost(effect, reason) = fate else {
        return;
    };
    let field = if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    };
    losses.push(field, effect, reason);
}

/// Reports a cache breakpoint.
pub(super) fn report_cache(cache: Option<&CacheHint>, path: &str, losses: &mut Losses) {
    let Some(cache) = cache else { return };
    // Clients of OpenAI's dialect write either.
    let is_breakpoint = Object::parse(cache.raw.text(), "").is_ok_and(|object| object.has("mode"));
    let member = if cache.dialect == Dialect::AnthropicMessages || !is_breakpoint {
        "cache_control"
    } else {
        "prompt_cache_breakpoint"
    };
    losses.dropped(format!("{path}.{member}"), CACHES);
}

fn only_text(raw: &RawJson) -> bool {
    serde_json::from_str::<Vec<String>>(raw.text()).is_ok_and(|kinds| kinds == ["text"])
}
