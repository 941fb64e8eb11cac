//! Finish reasons. Gemini says `STOP` for calls too, and says nothing at all where it blocked the prompt.

use crate::Dialect;
use crate::canonical::{Stop, StopReason};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Reads a finish reason; some clients of Vertex write the number of the word.
pub(super) fn decode(native: Option<String>, has_calls: bool) -> Stop {
    let natural = if has_calls {
        StopReason::ToolCalls
    } else {
        StopReason::End
    };
    let reason = match native.as_deref() {
        Some("STOP" | "1") => natural,
        Some("MAX_TOKENS" | "2") => StopReason::Length,
        Some(
            "SAFETY"
            | "3"
            | "RECITATION"
            | "4"
            | "BLOCKLIST"
            | "7"
            | "PROHIBITED_CONTENT"
            | "8"
            | "SPII"
            | "MODEL_ARMOR"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION",
        ) => StopReason::ContentFilter,
        Some(
            "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE",
        ) => StopReason::Malformed,
        Some("CONTINUATION") => StopReason::Pause,
        _ if has_calls => natural,
        _ => StopReason::Unknown,
    };
    Stop {
        reason,
        native,
        ..Stop::default()
    }
}

/// The end of an answer whose prompt was blocked. There is no word for it: it has no candidate.
pub(super) fn blocked() -> Stop {
    Stop {
        reason: StopReason::ContentFilter,
        ..Stop::default()
    }
}

/// Whether a `promptFeedback` says that the prompt was blocked.
pub(super) fn blocks(feedback: &RawJson) -> bool {
    Object::parse(feedback.text(), "").is_ok_and(|mut object| {
        let blocked = object
            .take_some("blockReason")
            .or_else(|| object.take_some("block_reason"));
        blocked.is_some_and(|raw| !matches!(raw.get(), "\"BLOCKED_REASON_UNSPECIFIED\"" | "0"))
    })
}

/// The word to write; `None` where an answer of this dialect had none.
pub(super) fn word(stop: &Stop, origin: Dialect, losses: &mut Losses) -> Option<String> {
    if origin == Dialect::Gemini {
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
        StopReason::End
        | StopReason::StopSequence
        | StopReason::ToolCalls
        | StopReason::LegacyFunctionCall
        | StopReason::Unknown => "STOP",
        StopReason::Length | StopReason::ContextFull => "MAX_TOKENS",
        StopReason::Refusal | StopReason::ContentFilter => "SAFETY",
        StopReason::Pause => "CONTINUATION",
        StopReason::Malformed => "MALFORMED_FUNCTION_CALL",
    };
    Some(word.to_owned())
}

/// Writes `finishReason`, a number as one.
pub(super) fn write(w: &mut Writer<'_>, word: Option<&str>) {
    match word {
        Some(number)
            if !number.is_empty() && number.len() < 4 && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            match number.parse() {
                Ok(number) => w.key("finishReason").number(number),
                Err(_) => w.key("finishReason").string(number),
            }
        }
        Some(word) => w.key("finishReason").string(word),
        None => {}
    }
}
