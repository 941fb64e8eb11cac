//! Members that only Cohere Chat v2 knows.

use super::{Fate, Place};
use crate::json::RawJson;
use crate::loss::Effect;

/// What becomes of a member in another dialect.
pub(super) fn fate(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent};
    match (place, name, raw.text()) {
        (Place::Request, "documents", _) => {
            Lost(Rejected, "the provider takes no documents beside the messages")
        }
        // Only documents and results of tools are cited; those that ask for less lose nothing.
        (Place::Request, "citation_options", text)
            if text.contains("\"OFF\"") || text.contains("\"DISABLED\"") =>
        {
            Silent
        }
        (Place::Request, "citation_options", _) => {
            Lost(Dropped, "the provider does not cite what tools have found")
        }
        (Place::Request, "safety_mode", "\"STRICT\"") => {
            Lost(Rejected, "the provider has no such safety setting")
        }
        (Place::Request, "safety_mode", _) => Lost(Dropped, "the provider has its own safety settings"),
        (Place::Request, "priority", "0") => Silent,
        (Place::Request, "priority", _) => Lost(Dropped, "how early a call is handled cannot be chosen"),
        // Told with the tools; without tools it says nothing.
        (Place::Request, "strict_tools", _) => Silent,
        // Beside `disabled`.
        (Place::Thinking, "token_budget", _) => Silent,
        // Of the legacy Chat v1, and of what this dialect refuses too.
        (Place::Request, "connectors" | "chat_history" | "preamble" | "conversation_id" | "message", _) => {
            Lost(Rejected, "belongs to the legacy Chat v1")
        }
        (Place::Request, "raw_prompting", "false") => Silent,
        (Place::Request, "raw_prompting", _) => Lost(Rejected, "the provider makes its own prompt"),
        (Place::Message, "citations", _) => Lost(Dropped, "citations of earlier answers cannot be repeated"),
        (Place::Text | Place::ToolResult, "document", _) => {
            Lost(Approximated, "a document is told as the text of its data")
        }
        // Members of the image's object.
        (Place::Media, "image_url", _) => Inside(Place::Media),
        (Place::Tool | Place::ToolCall, "function", _) => Inside(place),
        (Place::Answer, "citations", _) => Lost(Dropped, "the dialect has no such citations"),
        // What the provider made of the messages, and of its own beginning.
        (Place::Answer, "prompt" | "debug" | "delta" | "message-end", _) => Silent,
        _ => super::unknown(place),
    }
}
