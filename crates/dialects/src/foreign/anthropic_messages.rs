//! Members that only Anthropic Messages knows.

use super::{CACHES, Fate, Place, unknown};
use crate::json::RawJson;
use crate::loss::Effect;

/// What becomes of a member in another dialect.
pub(super) fn fate(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent};
    let compact: String = raw.text().chars().filter(|c| !c.is_whitespace()).collect();
    match (place, name, compact.as_str()) {
        // Told with the reason for which the answer ended.
        (Place::Answer, "stop_details", _) => Silent,
        (Place::Answer, ..) => unknown(place),
        (_, "cache_control", _) => Lost(Dropped, CACHES),
        (Place::Request, "output_config", _) => Inside(Place::Request),
        (Place::Request, "metadata", _) => Inside(Place::Metadata),
        (Place::Metadata, ..) => Lost(Dropped, "has no effect on the answer"),
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
        (Place::Thinking, "display", _) => Lost(Dropped, "how reasoning is shown cannot be chosen"),
        (Place::Thinking, ..) => Lost(Approximated, "how much to think is all that can be said"),
        (Place::Message, "clear_at", _) => Lost(Dropped, "messages are not cleared"),
        (Place::Text, "citations", _) => Lost(Dropped, "citations of earlier answers cannot be repeated"),
        (Place::ToolCall, "caller", r#"{"type":"direct"}"#) => Silent,
        (Place::ToolCall, "caller", _) => Lost(Dropped, "calls do not name their caller"),
        (Place::Media, "citations", r#"{"enabled":false}"#) => Silent,
        (Place::Media, "citations", _) => Lost(Rejected, "the provider does not cite documents"),
        (Place::Media, "context" | "title", _) => Lost(Dropped, "documents have no such description"),
        (Place::Media, "transformations", _) => Lost(Dropped, "images are prepared by the provider"),
        (Place::Tool, "type", r#""custom""#) => Silent,
        (Place::Tool, "eager_input_streaming" | "defer_loading", "false") => Silent,
        (Place::Tool, "eager_input_streaming" | "defer_loading" | "input_examples", _) => {
            Lost(Dropped, "a hint that the provider does not know")
        }
        (Place::Tool, "allowed_callers", r#"["direct"]"#) => Silent,
        (Place::Tool, "allowed_callers", _) => Lost(Rejected, "who calls a tool cannot be limited"),
        _ => unknown(place),
    }
}
