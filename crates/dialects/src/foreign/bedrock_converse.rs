//! Members that only Bedrock Converse knows.

use super::{CACHES, Fate, Place, unknown};
use crate::json::{Object, RawJson};
use crate::loss::Effect;

/// What becomes of a member in another dialect.
pub(super) fn fate(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent};
    match (place, name) {
        // Answers. How the provider worked says nothing about the answer.
        (Place::Answer, "metrics" | "performanceConfig" | "additionalModelResponseFields" | "type") => Silent,
        (Place::Answer, "trace") => Lost(
            Dropped,
            "the dialect does not tell how guardrails and routers decided",
        ),
        (Place::Answer, "citations" | "citation") => Lost(Dropped, "the dialect has no such citations"),
        (Place::Answer, _) => unknown(place),
        (_, "cachePoint" | "content[0].cachePoint") => Lost(Dropped, CACHES),
        // The request.
        (Place::Request, "inferenceConfig" | "toolConfig" | "outputConfig" | "serviceTier") => {
            Inside(Place::Request)
        }
        (Place::Request, "additionalModelRequestFields") => Inside(Place::Model),
        (Place::Request, "guardrailConfig") => Lost(Rejected, "the provider has no such guardrail"),
        (Place::Request, "promptVariables") => Lost(Rejected, "the provider does not have the stored prompt"),
        (Place::Request, "additionalModelResponseFieldPaths") => {
            Lost(Dropped, "the provider has no fields beside its answer")
        }
        (Place::Request, "requestMetadata") => Lost(Dropped, "the provider stores no metadata"),
        (Place::Request, "performanceConfig") if is(raw, "latency", "standard") => Silent,
        (Place::Request, "performanceConfig") => Lost(Dropped, "the provider has no faster variant"),
        // What the model's maker calls it: what is read into canonical fields, and what is Claude's alone.
        (Place::Model, "output_config" | "tool_choice" | "reasoningConfig" | "inferenceConfig") => {
            Inside(Place::Model)
        }
        (Place::Model, "effort" | "maxReasoningEffort" | "reasoning_effort" | "topK") => Silent,
        (Place::Model, "type" | "disable_parallel_tool_use") => Silent,
        (Place::Model, "anthropic_beta" | "anthropic_version") => {
            Lost(Dropped, "names another API's version")
        }
        (Place::Model, "presence_penalty" | "frequency_penalty" | "seed") => {
            Lost(Approximated, "a field of another model")
        }
        (Place::Model, _) => Lost(Dropped, "a field of another model"),
        // A system message among the others is told by its role.
        (Place::Message, "role") => Silent,
        (Place::Text, "json") => Silent,
        (Place::Text, "citations") => Lost(Dropped, "citations of earlier answers cannot be repeated"),
        (Place::Media, "format") => Silent,
        (Place::Media, "citations") if is_off(raw) => Silent,
        (Place::Media, "citations") => Lost(Rejected, "the provider does not cite documents"),
        (Place::Media, "context") => Lost(Dropped, "documents have no such description"),
        (Place::Tool, "inputSchema") => Lost(Rejected, "not a schema the provider knows"),
        (Place::ToolCall | Place::ToolResult, "type") => Silent,
        _ => unknown(place),
    }
}

/// Whether an object has this word under this name.
fn is(raw: &RawJson, name: &str, word: &str) -> bool {
    Object::parse(raw.text(), "")
        .ok()
        .and_then(|mut object| object.take_string(name).ok()?)
        .is_some_and(|found| found == word)
}

/// Whether citations are switched off.
fn is_off(raw: &RawJson) -> bool {
    Object::parse(raw.text(), "").is_ok_and(|mut object| object.take_bool("enabled") == Ok(Some(false)))
}

/// Where the cache point behind the part or tool at `path` stands: it is an element of its own.
pub(super) fn point_behind(path: &str) -> String {
    let next = || {
        let (list, rest) = path.rsplit_once('[')?;
        let (position, _) = rest.split_once(']')?;
        Some(format!(
            "{list}[{}].cachePoint",
            position.parse::<usize>().ok()?.checked_add(1)?
        ))
    };
    next().unwrap_or_else(|| format!("{path}.cachePoint"))
}
