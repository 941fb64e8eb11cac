//! Stop reasons.

use crate::Dialect;
use crate::canonical::{Ext, Stop, StopReason};
use crate::json::{Object, RawJson};
use crate::loss::Losses;

/// Reads a stop reason. The stop sequence that was met is told only if the caller asked for that member of the model's answer
/// (`additionalModelResponseFieldPaths`).
pub(super) fn decode(native: Option<String>, members: &Ext) -> Stop {
    let reason = match native.as_deref() {
        Some("end_turn") => StopReason::End,
        Some("tool_use") => StopReason::ToolCalls,
        Some("max_tokens") => StopReason::Length,
        Some("stop_sequence") => StopReason::StopSequence,
        Some("model_context_window_exceeded") => StopReason::ContextFull,
        Some("guardrail_intervened" | "content_filtered") => StopReason::ContentFilter,
        Some("malformed_tool_use" | "malformed_model_output") => StopReason::Malformed,
        _ => StopReason::Unknown,
    };
    Stop {
        reason,
        native,
        sequence: members.get("additionalModelResponseFields").and_then(sequence),
        details: None,
    }
}

fn sequence(fields: &RawJson) -> Option<String> {
    let mut fields = Object::parse(fields.text(), "").ok()?;
    let inner = fields.take_object("delta").ok().flatten();
    let whole = fields.take_string("stop_sequence").ok().flatten();
    whole.or_else(|| inner?.take_string("stop_sequence").ok().flatten())
}

/// The word to write; `None` where an answer of this dialect had none.
pub(super) fn word(stop: &Stop, origin: Dialect, has_calls: bool, losses: &mut Losses) -> Option<String> {
    if origin == Dialect::BedrockConverse {
        return stop.native.clone();
    }
    if stop.sequence.is_some() {
        losses.dropped(
            "stop_sequence",
            "the answer cannot name the stop sequence that was met",
        );
    }
    if stop.details.as_ref().is_some_and(|details| !details.is_blank()) {
        losses.dropped("stop_details", "the answer cannot explain why the model declined");
    }
    let word = match stop.reason {
        StopReason::End | StopReason::Unknown | StopReason::ToolCalls | StopReason::LegacyFunctionCall
            if has_calls =>
        {
            "tool_use"
        }
        StopReason::End | StopReason::Unknown | StopReason::ToolCalls | StopReason::LegacyFunctionCall => {
            "end_turn"
        }
        StopReason::StopSequence => "stop_sequence",
        StopReason::Length => "max_tokens",
        StopReason::ContextFull => "model_context_window_exceeded",
        StopReason::Refusal | StopReason::ContentFilter => "content_filtered",
        StopReason::Malformed => "malformed_tool_use",
        StopReason::Pause => {
            losses.approximated("stop_reason", "the answer cannot say that it may be gone on with");
            "end_turn"
        }
    };
    Some(word.to_owned())
}
