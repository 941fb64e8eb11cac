//! What was said, in the form of OpenTelemetry's conventions: messages of a role and parts.
//! <https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-input-messages.json>

use serde_json::{Value, json};

use crate::record::{Part, Payload};

/// The messages of the request as `gen_ai.input.messages`; `None` if there are none.
pub(super) fn input(payload: &Payload<'_>) -> Option<String> {
    let said = payload.messages?;
    let messages = match serde_json::from_str(said.text) {
        Ok(Value::Array(messages)) => messages.into_iter().map(message).collect(),
        Ok(other) => json!([message(other)]),
        // It was cut, and is told as far as it goes.
        Err(_) => json!([{"role": "user", "parts": [text(said)]}]),
    };
    Some(messages.to_string())
}

/// The text of the answer as `gen_ai.output.messages`; `None` if there was none.
pub(super) fn output(payload: &Payload<'_>, finish_reason: Option<&str>) -> Option<String> {
    let mut message = json!({"role": "assistant", "parts": [text(payload.text?)]});
    if let Some(reason) = finish_reason {
        message["finish_reason"] = json!(reason);
    }
    Some(json!([message]).to_string())
}

/// A message of any dialect: its role, and its content as parts.
fn message(message: Value) -> Value {
    match message {
        Value::Object(mut message) => {
            let role = message.remove("role");
            let content = message.remove("content").or_else(|| message.remove("parts"));
            let mut parts = match content {
                Some(Value::Array(parts)) => parts.into_iter().map(part).collect(),
                Some(Value::Null) | None => Vec::new(),
                Some(other) => vec![part(other)],
            };
            // What stands beside the content, such as calls of tools, is a part of its own, as it came.
            if !message.is_empty() {
                message.entry("type").or_insert_with(|| json!("message"));
                parts.push(Value::Object(message));
            }
            json!({"role": role.unwrap_or_else(|| json!("user")), "parts": parts})
        }
        other => json!({"role": "user", "parts": [part(other)]}),
    }
}

/// A text, or a part of another kind as it came.
fn part(part: Value) -> Value {
    match part {
        Value::String(text) => json!({"type": "text", "content": text}),
        Value::Object(part) => {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
            match part.get("text") {
                Some(text) if matches!(kind, "text" | "input_text" | "output_text") => {
                    json!({"type": "text", "content": text})
                }
                _ => Value::Object(part),
            }
        }
        other => json!({"type": "text", "content": other.to_string()}),
    }
}

fn text(said: Part<'_>) -> Value {
    let mut part = json!({"type": "text", "content": said.text});
    if said.is_cut {
        part["tollgate.is_cut"] = json!(true);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input_of(messages: &str, is_cut: bool) -> Value {
        let payload = Payload {
            messages: Some(Part {
                text: messages,
                is_cut,
            }),
            text: None,
        };
        serde_json::from_str(&input(&payload).unwrap()).unwrap()
    }

    #[test]
    fn messages_of_several_dialects_become_roles_and_parts() {
        let text = |text| json!({"type": "text", "content": text});
        for (messages, parts) in [
            (json!([{"role": "user", "content": "hi"}]), json!([text("hi")])),
            (
                json!([{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}]}]),
                json!([text("hi"), {"type": "image_url", "image_url": {"url": "x"}}]),
            ),
            (
                json!([{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]),
                json!([text("hi")]),
            ),
            (
                json!([{"role": "user", "parts": [{"text": "hi"}]}]),
                json!([text("hi")]),
            ),
            (json!("hi"), json!([text("hi")])),
            (
                json!([{"role": "user", "content": null, "name": "x"}]),
                json!([{"type": "message", "name": "x"}]),
            ),
        ] {
            let expected = json!([{"role": "user", "parts": parts}]);
            assert_eq!(input_of(&messages.to_string(), false), expected, "{messages}");
        }
    }

    #[test]
    fn messages_that_were_cut_are_told_as_far_as_they_go() {
        let told = input_of(r#"[{"role":"user","content":"he"#, true);
        assert_eq!(told[0]["parts"][0]["content"], r#"[{"role":"user","content":"he"#);
        assert_eq!(told[0]["parts"][0]["tollgate.is_cut"], true);
    }

    #[test]
    fn the_answer_is_a_message_of_the_assistant() {
        let payload = Payload {
            messages: None,
            text: Some(Part {
                text: "Hello.",
                is_cut: false,
            }),
        };
        let told: Value = serde_json::from_str(&output(&payload, Some("stop")).unwrap()).unwrap();
        let parts = json!([{"type": "text", "content": "Hello."}]);
        assert_eq!(
            told,
            json!([{"role": "assistant", "parts": parts, "finish_reason": "stop"}])
        );
        assert_eq!(input(&payload), None);
    }
}
