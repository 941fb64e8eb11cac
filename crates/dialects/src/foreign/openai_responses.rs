//! Members that only OpenAI Responses, or a vendor that speaks it, knows.

use super::{CACHES, Fate, NO_USER, NOT_KNOWN, Place, unknown};
use crate::json::RawJson;
use crate::loss::Effect;
use crate::openai_responses::PROGRESS;

/// What becomes of a member in another dialect.
pub(super) fn fate(place: Place, name: &str, raw: &RawJson) -> Fate {
    match place {
        Place::Request => of_request(name, raw),
        Place::Answer => of_answer(place, name),
        Place::Tool => of_tool(name, raw),
        _ => of_item(place, name),
    }
}

fn of_request(name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent};
    match (name, raw.text()) {
        ("include", _) if asks_for_known(raw) => Silent,
        ("include", _) => Lost(Dropped, "only for tools that the provider runs"),
        // Whoever keeps answers for clients does so in front of the translation.
        ("store", _) => Silent,
        ("previous_response_id", _) => Lost(Rejected, "the answer before is not known here"),
        ("conversation", _) => Lost(Rejected, "the provider does not have this conversation"),
        ("prompt", _) => Lost(Rejected, "the provider does not have this template"),
        ("background", "false") => Silent,
        ("background", _) => Lost(Rejected, "the provider does not answer in the background"),
        ("truncation", "\"disabled\"") => Silent,
        ("truncation", _) => Lost(Rejected, "the provider does not cut the context"),
        ("context_management", _) => Lost(Rejected, "the provider does not edit the context"),
        ("max_tool_calls", _) => Lost(Dropped, "only for tools that the provider runs"),
        ("metadata", _) => Lost(Dropped, "the provider stores no metadata"),
        ("prompt_cache_key" | "prompt_cache_retention" | "prompt_cache_options", _) => Lost(Dropped, CACHES),
        ("user" | "safety_identifier", _) => Lost(Dropped, NO_USER),
        ("stream_options", _) => Lost(Dropped, "the provider has one form of stream"),
        ("moderation", text) if text.contains("\"block\"") => {
            Lost(Rejected, "the provider has no such moderation")
        }
        ("moderation", _) => Lost(Dropped, "the provider has no such moderation"),
        ("access_programs", _) => Lost(Dropped, "belongs to another provider"),
        ("image", _) => Lost(Dropped, "images are prepared by the provider"),
        ("reasoning" | "text", _) => Inside(Place::Request),
        // What is left of `reasoning` and `text`.
        ("summary" | "generate_summary", _) => {
            Lost(Approximated, "reasoning is told as the provider tells it")
        }
        ("context", "\"auto\"") | ("mode", "\"standard\"") => Silent,
        ("context" | "mode", _) => Lost(Approximated, "how the model thinks is left to it"),
        ("verbosity", _) => Lost(Dropped, "the provider knows no verbosity"),
        // Compatible vendors.
        ("provider" | "models" | "route" | "plugins" | "transforms", _) => {
            Lost(Rejected, "chooses among providers of another gateway")
        }
        _ => Lost(Dropped, NOT_KNOWN),
    }
}

/// Members of items and their parts, and marks of how they were written.
fn of_item(place: Place, name: &str) -> Fate {
    use Fate::{Lost, Silent};
    match name {
        // Say nothing that the conversation does not.
        "type" | "id" | "status" | "item" | "item_end" | "phase" | "summary" | "content"
        | "encrypted_content" | "piece" | "format" | "item_id" | "output_index" | "logprobs" => Silent,
        "annotations" => Lost(
            Effect::Dropped,
            "annotations of earlier answers are not sent back",
        ),
        "namespace" => Lost(Effect::Dropped, "tools stand in no namespaces"),
        "caller" => Lost(Effect::Dropped, "calls do not name their caller"),
        "prompt_cache_breakpoint" => Lost(Effect::Dropped, CACHES),
        _ => unknown(place),
    }
}

fn of_tool(name: &str, raw: &RawJson) -> Fate {
    use Effect::{Dropped, Rejected};
    use Fate::{Lost, Silent};
    match (name, raw.text()) {
        ("defer_loading", "false") | ("allowed_callers", r#"["direct"]"#) => Silent,
        ("defer_loading", _) => Lost(Dropped, "a hint that the provider does not know"),
        ("allowed_callers", _) => Lost(Rejected, "who calls a tool cannot be limited"),
        ("output_schema", _) => Lost(Dropped, "the provider is not told what a tool answers"),
        _ => Lost(Dropped, NOT_KNOWN),
    }
}

/// What an answer repeats of its request says nothing; how it came about says nothing about it.
fn of_answer(place: Place, name: &str) -> Fate {
    match name {
        "object"
        | "service_tier"
        | "status"
        | "error"
        | "incomplete_details"
        | "background"
        | "completed_at"
        | "billing"
        | "conversation"
        | "frequency_penalty"
        | "instructions"
        | "max_output_tokens"
        | "max_tool_calls"
        | "metadata"
        | "moderation"
        | "parallel_tool_calls"
        | "presence_penalty"
        | "previous_response_id"
        | "prompt"
        | "prompt_cache_key"
        | "prompt_cache_options"
        | "prompt_cache_retention"
        | "reasoning"
        | "safety_identifier"
        | "store"
        | "temperature"
        | "text"
        | "tool_choice"
        | "tool_usage"
        | "tools"
        | "top_logprobs"
        | "top_p"
        | "truncation"
        | "user"
        | "usage"
        | "access_programs"
        | "context_management"
        | "created_at"
        | "content_filters"
        | "status_details"
        | "provider"
        | "models"
        | "image"
        | PROGRESS => Fate::Silent,
        name => of_item(place, name),
    }
}

fn asks_for_known(raw: &RawJson) -> bool {
    serde_json::from_str::<Vec<String>>(raw.text()).is_ok_and(|wanted| {
        wanted.iter().all(|wanted| {
            matches!(
                wanted.as_str(),
                "reasoning.encrypted_content" | "message.output_text.logprobs"
            )
        })
    })
}
