//! The events of a stream, read as far as the frequent ones need.

use std::borrow::Cow;

use crate::json::Raw;
use serde::Deserialize;

use super::TOOL_PLAN;
use crate::json::Object;

/// An event, read as far as the frequent ones need.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Borrowed<'a>>,
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    pub(super) delta: Option<Raw<'a>>,
    #[serde(borrow, default)]
    pub(super) logprobs: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(super) struct DeltaOf<'a> {
    #[serde(borrow, default)]
    pub(super) message: Option<MessageOf<'a>>,
}

/// What a delta adds to the message.
#[derive(Default, Deserialize)]
pub(super) struct MessageOf<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Raw<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_plan: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Raw<'a>>,
    #[serde(borrow, default)]
    pub(super) citations: Option<Raw<'a>>,
}

/// A piece of content and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piece<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Borrowed<'a>>,
}

/// A piece of a call's arguments and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallPiece<'a> {
    #[serde(borrow)]
    pub(super) function: FunctionPiece<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionPiece<'a> {
    #[serde(borrow)]
    pub(super) arguments: Borrowed<'a>,
}

/// A string that borrows from the event unless it contains escapes, also inside an `Option`.
#[derive(Deserialize)]
pub(super) struct Borrowed<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Whether the `delta` of `message-start` is what all answers begin with: a message of the model in which nothing stands.
pub(super) fn begins_as_usual(delta: &str) -> bool {
    const EMPTY: [&str; 4] = ["content", TOOL_PLAN, "tool_calls", "citations"];
    let message = Object::parse(delta, "").ok().and_then(|mut delta| {
        delta
            .take_object("message")
            .ok()?
            .filter(|_| delta.into_ext().is_empty())
    });
    message.is_some_and(|mut message| {
        let role = message
            .take("role")
            .is_some_and(|raw| raw.get() == "\"assistant\"");
        role && EMPTY.iter().all(|name| {
            message
                .take(name)
                .is_some_and(|raw| matches!(raw.get(), "[]" | "\"\""))
        }) && message.into_ext().is_empty()
    })
}
