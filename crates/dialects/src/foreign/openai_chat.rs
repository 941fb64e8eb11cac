//! Members that only OpenAI Chat Completions, or a vendor compatible with it, knows.

use super::{CACHES, Fate, NO_USER, NOT_KNOWN, Place, unknown};
use crate::json::RawJson;
use crate::loss::Effect;

/// What becomes of a member in another dialect.
pub(super) fn fate(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent};
    let text = raw.text();
    if place == Place::Answer {
        return of_answer(name);
    }
    if place == Place::Format {
        return Lost(Rejected, NOT_KNOWN);
    }
    if place != Place::Request {
        return match name {
            // What is left of the definition of a tool, or of a call.
            "function" | "custom" if matches!(place, Place::Tool | Place::ToolCall) => Inside(place),
            // The last assistant message is the beginning of the answer anyway.
            "prefix" => Silent,
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
            _ => unknown(place),
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
        _ => unknown(place),
    }
}

fn of_answer(name: &str) -> Fate {
    match name {
        // A provider's notes for itself, numbers that the order of the parts says too, and a second copy of reasoning that
        // is in the parts.
        "system_fingerprint"
        | "index"
        | "reasoning_details"
        | "x_groq"
        | "time_info"
        | "timings"
        | "delta"
        | "native_finish_reason" => Fate::Silent,
        _ => unknown(Place::Answer),
    }
}

fn only_text(raw: &RawJson) -> bool {
    serde_json::from_str::<Vec<String>>(raw.text()).is_ok_and(|kinds| kinds == ["text"])
}
