//! Why an answer ended: `status` and `incomplete_details`.

use crate::canonical::{Part, Stop, StopReason};
use crate::json::{Object, RawJson};
use crate::loss::Losses;

/// The words of an answer that say how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// `status`.
    pub(super) status: &'static str,
    /// `incomplete_details.reason`.
    pub(super) reason: Option<&'static str>,
}

/// What an answer contains beside its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contains {
    pub(super) calls: bool,
    pub(super) refusal: bool,
}

impl Contains {
    pub(super) fn of(parts: &[Part]) -> Self {
        Contains {
            calls: parts.iter().any(|part| matches!(part, Part::ToolCall(_))),
            refusal: parts.iter().any(|part| matches!(part, Part::Refusal(_))),
        }
    }
}

/// Reads `status` and `incomplete_details`. The native word is the reason if there is one, else the status.
pub(super) fn decode(status: Option<&RawJson>, details: Option<&RawJson>, contains: Contains) -> Stop {
    let status = status.and_then(RawJson::as_string);
    let reason = details
        .and_then(|raw| Object::parse(raw.text(), "").ok())
        .and_then(|mut details| details.take_string("reason").ok()?);
    let meaning = match (status.as_deref(), reason.as_deref()) {
        (_, Some("max_output_tokens" | "max_tokens" | "length")) => StopReason::Length,
        (_, Some("content_filter")) => StopReason::ContentFilter,
        (Some("incomplete"), _) => StopReason::Unknown,
        (None | Some("completed" | "complete"), _) if contains.calls => StopReason::ToolCalls,
        (None | Some("completed" | "complete"), _) if contains.refusal => StopReason::Refusal,
        (None | Some("completed" | "complete"), _) => StopReason::End,
        (Some(_), _) => StopReason::Unknown,
    };
    Stop {
        reason: meaning,
        native: reason.or(status),
        ..Stop::default()
    }
}

/// How an answer of another dialect ended, in the words of this one. `has_refusal` tells whether it has a refusal text of
/// its own; without one only the status can tell.
pub(super) fn encode(stop: &Stop, has_refusal: bool, losses: &mut Losses) -> Ending {
    if stop.sequence.is_some() {
        losses.dropped(
            "stop_sequence",
            "the answer cannot name the stop sequence that was met",
        );
    }
    if stop.details.as_ref().is_some_and(|details| !details.is_blank()) {
        losses.dropped("stop_details", "the answer cannot explain why the model declined");
    }
    let (status, reason) = match stop.reason {
        StopReason::Length | StopReason::ContextFull => ("incomplete", Some("max_output_tokens")),
        StopReason::ContentFilter => ("incomplete", Some("content_filter")),
        StopReason::Refusal if !has_refusal => ("incomplete", Some("content_filter")),
        StopReason::Pause => {
            losses.approximated(
                "stop_reason",
                "a paused answer is told as finished; send it back to go on",
            );
            ("completed", None)
        }
        StopReason::Malformed => {
            losses.approximated(
                "stop_reason",
                "the answer cannot say that its tool call was malformed",
            );
            ("completed", None)
        }
        StopReason::End
        | StopReason::StopSequence
        | StopReason::ToolCalls
        | StopReason::LegacyFunctionCall
        | StopReason::Refusal
        | StopReason::Unknown => ("completed", None),
    };
    Ending { status, reason }
}
