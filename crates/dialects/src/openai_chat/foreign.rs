//! What becomes of members that only another dialect knows, when they are written for this one.
//!
//! [`class`] is the table: every member of an Anthropic request or answer that has no canonical field, and its class
//! toward Chat Completions (`docs/dialects.md`, which a test compares). What is not listed is unknown: dropped and told.

use crate::canonical::{CacheHint, Ext};
use crate::json::Object;
use crate::{Dialect, Effect, Losses, gemini};

/// The kind of object in which a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The request itself.
    Request,
    /// What is left of `output_config`.
    OutputConfig,
    /// What is left of `metadata`.
    Metadata,
    /// `thinking`.
    Thinking,
    /// The schema wrapper of the answer's form.
    Format,
    /// A message.
    Message,
    /// A text part.
    Text,
    /// An image or document.
    Media,
    /// A tool definition.
    Tool,
    /// A tool call.
    ToolCall,
    /// A tool result.
    ToolResult,
    /// Anything in an answer, which can no longer be refused.
    Answer,
}

const fn class(place: Place, member: &str) -> (Effect, &'static str) {
    use Effect::{Approximated, Dropped, Rejected};
    match (place, member.as_bytes()) {
        (Place::Request, b"cache_control") => (Dropped, "the provider caches on its own"),
        (Place::Request, b"diagnostics") => (Dropped, "only for diagnosis"),
        (Place::Request, b"anthropic_version" | b"anthropic_beta" | b"betas") => {
            (Dropped, "names another API's version")
        }
        (Place::Request, b"inference_geo") => (Rejected, "the place of processing cannot be promised"),
        (Place::Request, b"container") => (Rejected, "the provider has no such container"),
        (Place::Request, b"mcp_servers") => (Rejected, "the provider cannot call these servers"),
        (Place::Request, b"context_management" | b"compaction") => {
            (Rejected, "the provider does not edit the context")
        }
        (Place::Request, b"thread") => (Rejected, "the provider does not have this thread"),
        (Place::Request, b"fallbacks" | b"fallback_credit_token") => {
            (Rejected, "the provider has no fallbacks")
        }
        (Place::Request, b"billing_policy") => (Rejected, "the provider has no such policy"),
        (Place::Request, b"user_profile_id" | b"workspace_id") => (Rejected, "belongs to another provider"),
        (Place::Request, b"output_format") => {
            (Rejected, "the form of the answer is told in output_config.format")
        }
        (Place::Request, b"speed") => (Approximated, "becomes the service tier"),

        (Place::OutputConfig, b"task_budget") => (Rejected, "the provider has no budget for a task"),
        (Place::Metadata, _) => (Dropped, "has no effect on the answer"),
        (Place::Thinking, b"display") => (Dropped, "how reasoning is shown cannot be chosen"),
        (Place::Thinking, _) => (Approximated, "only the effort can be chosen"),

        (Place::Message, b"clear_at") => (Dropped, "messages are not cleared"),

        (Place::Text, b"citations") => (Dropped, "citations of earlier answers cannot be repeated"),
        (Place::Media, b"citations") => (Rejected, "the provider does not cite documents"),
        (Place::Media, b"context" | b"title") => (Dropped, "documents have no such description"),
        (Place::Media, b"transformations") => (Dropped, "images are prepared by the provider"),

        (Place::Tool, b"eager_input_streaming" | b"defer_loading" | b"input_examples") => {
            (Dropped, "a hint that the provider does not know")
        }
        (Place::Tool, b"allowed_callers") => (Rejected, "who calls a tool cannot be limited"),
        (Place::ToolCall, b"caller") => (Dropped, "calls do not name their caller"),

        (Place::Answer, _) => (Dropped, "answers of this dialect have no such member"),
        // It might matter, but a call should not fail over a member that its provider never heard of; strict mode refuses it.
        _ => (Dropped, "not known to the provider"),
    }
}

/// Reports every member of a bag. Members that say nothing are no loss.
pub(super) fn report(ext: &Ext, place: Place, path: &str, losses: &mut Losses) {
    for (name, raw) in ext.iter().filter(|(_, raw)| !raw.is_blank()) {
        let field = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        if gemini::report(name, raw, &field, losses) {
            continue;
        }
        let nested = match (place, name) {
            (Place::Request, "output_config") => Some(Place::OutputConfig),
            (Place::Request, "metadata") => Some(Place::Metadata),
            _ => None,
        };
        if let Some(place) = nested
            && let Ok(object) = Object::parse(raw.text(), "")
        {
            report(&object.into_ext(), place, &field, losses);
            continue;
        }
        if is_off(place, name, raw.text()) {
            continue;
        }
        let (effect, reason) = class(place, name);
        losses.push(field, effect, reason);
    }
}

/// Reports a cache breakpoint of another dialect.
pub(super) fn report_cache(cache: Option<&CacheHint>, path: &str, losses: &mut Losses) {
    if cache.is_some_and(|hint| hint.dialect != Dialect::OpenaiChat) {
        losses.dropped(format!("{path}.cache_control"), "the provider caches on its own");
    }
}

/// Members whose value asks for what happens anyway.
fn is_off(place: Place, name: &str, value: &str) -> bool {
    let compact: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    match (place, name) {
        (Place::Media, "citations") => compact == r#"{"enabled":false}"#,
        (Place::Request, "speed") => compact == r#""standard""#,
        (Place::Tool, "defer_loading" | "eager_input_streaming") => compact == "false",
        (Place::Tool, "allowed_callers") => compact == r#"["direct"]"#,
        (Place::Tool, "type") => compact == r#""custom""#,
        (Place::ToolCall, "caller") => compact == r#"{"type":"direct"}"#,
        _ => false,
    }
}
