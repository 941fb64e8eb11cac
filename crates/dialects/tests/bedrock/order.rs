//! The order of events that a client of this dialect may rely on, as a small state machine.

use serde_json::Value;

use super::frames;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing has come.
    Begin,
    /// Between blocks.
    Between,
    /// In a block, of which nothing may have come yet.
    In { index: u64, kind: Kind },
    /// Behind `messageStop`.
    Stopped,
    /// Behind `metadata` or an exception.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Reasoning,
    Call,
    Other,
}

/// Checks a stream: one block at a time, with numbers that count up and pieces of its own kind; calls begin with their id and
/// name; `messageStop`, then `metadata`; nothing after an exception.
pub(crate) fn check(stream: &[u8]) -> Result<(), String> {
    let mut state = State::Begin;
    let mut blocks = 0;
    for (i, (event, payload)) in frames::read(stream).into_iter().enumerate() {
        let wrong = || Err(format!("frame {i} in {state:?}: {event} {payload}"));
        let index = payload["contentBlockIndex"].as_u64();
        state = match (state, event.as_str()) {
            (State::Begin, "messageStart") if payload["role"] == "assistant" => State::Between,
            (State::Between, "contentBlockStart") if index == Some(blocks) => {
                let start = &payload["start"];
                let kind = match start.as_object().and_then(|start| start.keys().next()) {
                    Some(kind) if kind == "toolUse" => {
                        let named =
                            |member: &str| !start["toolUse"][member].as_str().unwrap_or("").is_empty();
                        if !named("toolUseId") || !named("name") {
                            return wrong();
                        }
                        Kind::Call
                    }
                    Some(_) => Kind::Other,
                    None => return wrong(),
                };
                blocks += 1;
                State::In {
                    index: blocks - 1,
                    kind,
                }
            }
            (State::Between, "contentBlockDelta") if index == Some(blocks) => {
                let kind = kind(&payload["delta"]);
                if !matches!(kind, Kind::Text | Kind::Reasoning) {
                    return wrong();
                }
                blocks += 1;
                State::In {
                    index: blocks - 1,
                    kind,
                }
            }
            (
                State::In {
                    index: open,
                    kind: of,
                },
                "contentBlockDelta",
            ) if index == Some(open) && (of == kind(&payload["delta"]) || of == Kind::Other) => state,
            (State::In { index: open, .. }, "contentBlockStop") if index == Some(open) => State::Between,
            (State::Between, "messageStop") if payload["stopReason"].is_string() => State::Stopped,
            (State::Stopped, "metadata") if payload["usage"]["totalTokens"].is_u64() => State::Over,
            (State::Begin | State::Between | State::In { .. } | State::Stopped, exception)
                if exception.ends_with("Exception") && payload["message"].is_string() =>
            {
                State::Over
            }
            _ => return wrong(),
        };
    }
    match state {
        State::Over | State::Stopped => Ok(()),
        state => Err(format!("ends in {state:?}")),
    }
}

fn kind(delta: &Value) -> Kind {
    if delta["text"].is_string() || delta["citation"].is_object() {
        Kind::Text
    } else if delta["reasoningContent"].is_object() {
        Kind::Reasoning
    } else if delta["toolUse"]["input"].is_string() {
        Kind::Call
    } else {
        Kind::Other
    }
}

#[test]
fn the_state_machine_refuses_what_no_client_expects() {
    let start = ("messageStart", serde_json::json!({"role": "assistant"}));
    let stop = ("messageStop", serde_json::json!({"stopReason": "end_turn"}));
    let text = |index: u64| {
        (
            "contentBlockDelta",
            serde_json::json!({"contentBlockIndex": index, "delta": {"text": "x"}}),
        )
    };
    let end = |index: u64| {
        (
            "contentBlockStop",
            serde_json::json!({"contentBlockIndex": index}),
        )
    };
    let good = [start.clone(), text(0), end(0), stop.clone()];
    assert_eq!(check(&frames::stream(&good)), Ok(()));
    for bad in [
        vec![text(0), end(0), stop.clone()],
        vec![start.clone(), text(1), end(1), stop.clone()],
        vec![start.clone(), text(0), text(1), end(1), end(0), stop.clone()],
        vec![start.clone(), text(0), stop.clone()],
        vec![start, text(0), end(0)],
    ] {
        assert!(check(&frames::stream(&bad)).is_err(), "{bad:?}");
    }
}
