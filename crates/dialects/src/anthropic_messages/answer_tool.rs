//! Answers bound to a JSON schema by models that cannot be bound to one directly: the model is made to call one tool whose
//! parameters are the schema, and the call's arguments are given to the client as the text of the answer.

use crate::canonical::{Delta, Event, Ext, Part, PartKind, Response, Stop, StopReason, Text, Tool, ToolKind};
use crate::json::RawJson;

/// The name of the tool. Only requests without tools of their own are bound this way, so it cannot be taken for another.
pub(crate) const NAME: &str = "answer_in_json";

/// The tool that binds an answer to `schema`.
pub(crate) fn tool(schema: &RawJson) -> Tool {
    Tool {
        kind: ToolKind::Function {
            name: NAME.to_owned(),
            description: Some("Gives the answer.".to_owned()),
            parameters: Some(schema.clone()),
            strict: None,
        },
        cache: None,
        ext: Ext::default(),
    }
}

/// Turns the call of the tool in a whole answer into text. Answers without one stay as they are.
pub fn unwrap_answer(response: &mut Response) {
    for choice in &mut response.choices {
        let mut found = false;
        for part in &mut choice.parts {
            if let Part::ToolCall(call) = part
                && call.name == NAME
            {
                let text = std::mem::take(&mut call.arguments);
                *part = Part::Text(Text {
                    text,
                    ..Text::default()
                });
                found = true;
            }
        }
        if found {
            unwrap_stop(&mut choice.stop);
        }
    }
}

/// Turns the call of the tool in a streamed answer into text, event by event.
#[derive(Clone, Debug, Default)]
pub struct AnswerUnwrapper {
    /// Choice and part of the calls seen.
    calls: Vec<(u64, usize)>,
}

impl AnswerUnwrapper {
    /// The event as the client is to see it.
    pub fn event<'a>(&mut self, event: Event<'a>) -> Event<'a> {
        match event {
            Event::PartStart {
                choice,
                part,
                kind: PartKind::ToolCall { name, .. },
            } if name == NAME => {
                self.calls.push((choice, part));
                Event::PartStart {
                    choice,
                    part,
                    kind: PartKind::Text,
                }
            }
            Event::PartDelta {
                choice,
                part,
                delta: Delta::Arguments(text),
            } if self.calls.contains(&(choice, part)) => Event::PartDelta {
                choice,
                part,
                delta: Delta::Text(text),
            },
            Event::Stop { choice, mut stop } if self.calls.iter().any(|(of, _)| *of == choice) => {
                unwrap_stop(&mut stop);
                Event::Stop { choice, stop }
            }
            other => other,
        }
    }
}

/// The model waits for no result: it has answered. An answer that was cut keeps its reason.
fn unwrap_stop(stop: &mut Stop) {
    if stop.reason == StopReason::ToolCalls {
        stop.reason = StopReason::End;
        stop.native = Some("end_turn".to_owned());
    }
}
