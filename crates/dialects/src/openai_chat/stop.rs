//! Finish reasons.

use crate::canonical::{Stop, StopReason};
use crate::foreign::NOT_MALFORMED;
use crate::{Dialect, Losses};

/// What is written as `finish_reason`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FinishReasonStyle {
    /// One of OpenAI's words. An answer of this dialect keeps the word its provider used.
    #[default]
    Translated,
    /// The provider's own word, as it came (`end_turn`, …).
    Native,
}

/// What an answer contains beside its finish reason; some providers say `stop` where OpenAI says `tool_calls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contains {
    pub(super) calls: bool,
    pub(super) legacy_call: bool,
    pub(super) refusal: bool,
}

/// Reads a finish reason.
pub(super) fn decode(native: Option<String>, contains: Contains) -> Stop {
    let natural = match contains {
        Contains { calls: true, .. } => StopReason::ToolCalls,
        Contains {
            legacy_call: true, ..
        } => StopReason::LegacyFunctionCall,
        Contains { refusal: true, .. } => StopReason::Refusal,
        Contains { .. } => StopReason::End,
    };
    let reason = match native.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "stop" | "eos" | "end_turn") => natural,
        Some("length" | "max_tokens") => StopReason::Length,
        Some("model_length") => StopReason::ContextFull,
        Some("tool_calls" | "tool_use") => StopReason::ToolCalls,
        Some("function_call") => StopReason::LegacyFunctionCall,
        Some("content_filter") => StopReason::ContentFilter,
        Some("stop_sequence") => StopReason::StopSequence,
        Some(_) if natural != StopReason::End => natural,
        Some(_) => StopReason::Unknown,
    };
    Stop {
        reason,
        native,
        ..Stop::default()
    }
}

/// The word to write, or `None` for `null`. `has_refusal` tells whether the answer has a refusal text of its own.
pub(super) fn encode<'a>(
    stop: &'a Stop,
    origin: Dialect,
    style: FinishReasonStyle,
    has_refusal: bool,
    losses: &mut Losses,
) -> Option<&'a str> {
    if origin == Dialect::OpenaiChat {
        return match &stop.native {
            Some(word) => Some(word),
            None if stop.reason == StopReason::End => None,
            None => Some(word_of(stop.reason, has_refusal)),
        };
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
    if stop.reason == StopReason::Pause {
        losses.approximated(
            "stop_reason",
            "a paused answer is told as finished; send it back to go on",
        );
    }
    if stop.reason == StopReason::Malformed {
        losses.approximated("stop_reason", NOT_MALFORMED);
    }
    match (style, &stop.native) {
        (FinishReasonStyle::Native, Some(word)) => Some(word),
        _ => Some(word_of(stop.reason, has_refusal)),
    }
}

fn word_of(reason: StopReason, has_refusal: bool) -> &'static str {
    match reason {
        StopReason::End
        | StopReason::StopSequence
        | StopReason::Pause
        | StopReason::Malformed
        | StopReason::Unknown => "stop",
        StopReason::Length | StopReason::ContextFull => "length",
        StopReason::ToolCalls => "tool_calls",
        StopReason::LegacyFunctionCall => "function_call",
        // With `message.refusal` the client sees the refusal; without it only the finish reason can tell.
        StopReason::Refusal if has_refusal => "stop",
        StopReason::Refusal | StopReason::ContentFilter => "content_filter",
    }
}
