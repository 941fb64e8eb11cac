//! Finish reasons.

use crate::Dialect;
use crate::canonical::{ErrorKind, Stop, StopReason};
use crate::loss::Losses;

/// Reads a finish reason.
pub(super) fn decode(native: Option<String>, has_calls: bool) -> Stop {
    let reason = match native.as_deref() {
        Some("COMPLETE") | None if has_calls => StopReason::ToolCalls,
        Some("COMPLETE") | None => StopReason::End,
        Some("STOP_SEQUENCE") => StopReason::StopSequence,
        Some("MAX_TOKENS") => StopReason::Length,
        Some("TOOL_CALL") => StopReason::ToolCalls,
        // Words of the legacy Chat v1, which some servers kept.
        Some("ERROR_LIMIT") => StopReason::ContextFull,
        Some("ERROR_TOXIC") => StopReason::ContentFilter,
        Some(_) if has_calls => StopReason::ToolCalls,
        Some(_) => StopReason::Unknown,
    };
    Stop {
        reason,
        native,
        ..Stop::default()
    }
}

/// What kind of failure a finish reason tells; `None` if the answer has ended well.
pub(super) fn failure(native: Option<&str>) -> Option<ErrorKind> {
    match native? {
        "ERROR" => Some(ErrorKind::Server),
        "TIMEOUT" => Some(ErrorKind::Timeout),
        _ => None,
    }
}

/// The word for a failure.
pub(super) const fn failure_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Timeout => "TIMEOUT",
        _ => "ERROR",
    }
}

/// The word to write; `None` where an answer of this dialect had none.
pub(super) fn word<'a>(
    stop: &'a Stop,
    has_calls: bool,
    origin: Dialect,
    losses: &mut Losses,
) -> Option<&'a str> {
    if origin == Dialect::CohereChat {
        return stop.native.as_deref();
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
    Some(match stop.reason {
        StopReason::End | StopReason::Unknown if has_calls => "TOOL_CALL",
        StopReason::End | StopReason::Unknown => "COMPLETE",
        StopReason::StopSequence => "STOP_SEQUENCE",
        StopReason::Length | StopReason::ContextFull => "MAX_TOKENS",
        StopReason::ToolCalls | StopReason::LegacyFunctionCall => "TOOL_CALL",
        StopReason::Refusal | StopReason::ContentFilter => {
            losses.approximated("finish_reason", "the dialect has no word for a declined answer");
            "ERROR"
        }
        StopReason::Pause => {
            losses.approximated(
                "finish_reason",
                "a paused answer is told as finished; send it back to go on",
            );
            "COMPLETE"
        }
        StopReason::Malformed => "ERROR",
    })
}
