//! The APIs that the gateway passes on, as bytes on the wire: what providers say, and what a client must be able to read.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Value, json};

use crate::harness::{Asked, answers};

/// An API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Chat,
    Messages,
    Responses,
    Converse,
}

/// A streamed answer in three parts.
pub struct Parts {
    /// What comes before any content.
    pub before: Vec<u8>,
    /// The content.
    pub content: Vec<u8>,
    /// What ends the answer.
    pub after: Vec<u8>,
}

impl Api {
    /// The API of a request that reached a provider.
    pub fn of(asked: &Asked) -> Api {
        if asked.path.contains("/converse") {
            Api::Converse
        } else if asked.path.contains("/messages") {
            Api::Messages
        } else if asked.path.contains("/responses") {
            Api::Responses
        } else {
            Api::Chat
        }
    }

    /// Whether a request that reached a provider wants a stream.
    pub fn streams(asked: &Asked) -> bool {
        asked.path.ends_with("/converse-stream") || asked.stream()
    }

    /// Where clients send their calls.
    pub fn path(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Api::Chat, _) => "/v1/chat/completions",
            (Api::Messages, _) => "/v1/messages",
            (Api::Responses, _) => "/v1/responses",
            (Api::Converse, false) => "/model/m/converse",
            (Api::Converse, true) => "/model/m/converse-stream",
        }
    }

    /// What a client says. `prompt` needs no escapes.
    pub fn request(self, stream: bool, prompt: &str) -> String {
        let asks = match (self, stream) {
            (Api::Converse, _) | (_, false) => "",
            (Api::Chat, true) => r#","stream":true,"stream_options":{"include_usage":true}"#,
            (_, true) => r#","stream":true"#,
        };
        match self {
            Api::Chat => {
                format!(r#"{{"model":"m"{asks},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
            }
            Api::Messages => format!(
                r#"{{"model":"m","max_tokens":64{asks},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
            ),
            Api::Responses => format!(r#"{{"model":"m"{asks},"input":"{prompt}"}}"#),
            Api::Converse => {
                format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{prompt}"}}]}}]}}"#)
            }
        }
    }

    /// The head of a stream whose body comes in chunks.
    pub fn stream_head(self) -> Vec<u8> {
        answers::stream_head()
            .replace("text/event-stream", self.stream_type())
            .into_bytes()
    }

    /// How streams are framed.
    pub fn stream_type(self) -> &'static str {
        match self {
            Api::Converse => "application/vnd.amazon.eventstream",
            _ => "text/event-stream",
        }
    }

    /// A whole answer: 11 tokens in, 7 out.
    pub fn whole(self, text: &str) -> String {
        match self {
            Api::Chat => answers::whole(crate::harness::Dialect::OpenAi, text),
            Api::Messages => answers::whole(crate::harness::Dialect::Anthropic, text),
            Api::Responses => response("completed", &[text]).to_string(),
            Api::Converse => json!({
                "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
                "stopReason": "end_turn", "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
            })
            .to_string(),
        }
    }

    /// The same as a stream.
    pub fn parts(self, text: &str) -> Parts {
        let dialect = match self {
            Api::Chat => crate::harness::Dialect::OpenAi,
            Api::Messages => crate::harness::Dialect::Anthropic,
            Api::Responses => return responses_parts(text),
            Api::Converse => return converse_parts(text),
        };
        let events = answers::events(dialect, &[text]);
        Parts {
            before: events.before.concat().into_bytes(),
            content: events.content.concat().into_bytes(),
            after: events.after.concat().into_bytes(),
        }
    }

    /// The bytes of a stream's body.
    pub fn stream(self, text: &str) -> Vec<u8> {
        let Parts {
            before,
            content,
            after,
        } = self.parts(text);
        [before, content, after].concat()
    }

    /// A proper answer to a request, with its head.
    pub fn good(asked: &Asked, text: &str) -> Vec<u8> {
        let api = Api::of(asked);
        if Api::streams(asked) {
            [
                api.stream_head(),
                answers::chunk(api.stream(text)),
                answers::END_OF_CHUNKS.to_vec(),
            ]
            .concat()
        } else {
            answers::json_answer(200, &api.whole(text))
        }
    }

    /// An answer that is complete and says nothing.
    pub fn nothing(self, stream: bool) -> Vec<u8> {
        if stream {
            return match self {
                Api::Chat => b"data: [DONE]\n\n".to_vec(),
                Api::Messages => event("message_stop", &json!({"type": "message_stop"})),
                Api::Responses => event(
                    "response.completed",
                    &json!({"type": "response.completed", "response": {"output": []}}),
                ),
                Api::Converse => frame("event", "metadata", &json!({"metrics": {}})),
            };
        }
        match self {
            Api::Chat => json!({"id": "x", "choices": []}),
            Api::Messages => json!({"type": "message", "content": []}),
            Api::Responses => json!({"object": "response", "output": []}),
            Api::Converse => json!({"output": {"message": {"role": "assistant", "content": []}}}),
        }
        .to_string()
        .into_bytes()
    }

    /// An event of a stream that cannot be read.
    pub fn broken_event(self) -> Vec<u8> {
        match self {
            Api::Chat => b"data: {\"choices\":[{\"delta\n\n".to_vec(),
            Api::Messages => b"event: message_start\ndata: {\"type\":\"message_sta\n\n".to_vec(),
            Api::Responses => b"event: response.created\ndata: {\"type\":\"response.cre\n\n".to_vec(),
            Api::Converse => {
                let mut frame = frame("event", "messageStart", &json!({"role": "assistant"}));
                let last = frame.len() - 1;
                frame[last] ^= 1;
                frame
            }
        }
    }

    /// An error of the provider as a body.
    pub fn error(self, message: &str) -> String {
        match self {
            Api::Messages => answers::error(crate::harness::Dialect::Anthropic, message),
            Api::Converse => json!({ "message": message }).to_string(),
            _ => answers::error(crate::harness::Dialect::OpenAi, message),
        }
    }

    /// An error of the provider within a stream.
    pub fn error_event(self, message: &str) -> Vec<u8> {
        match self {
            Api::Chat => answers::error_event(crate::harness::Dialect::OpenAi, message).into_bytes(),
            Api::Messages => answers::error_event(crate::harness::Dialect::Anthropic, message).into_bytes(),
            Api::Responses => event(
                "error",
                &json!({"type": "error", "code": "boom", "message": message, "param": null, "sequence_number": 1}),
            ),
            Api::Converse => frame(
                "exception",
                "internalServerException",
                &json!({ "message": message }),
            ),
        }
    }

    /// An event that keeps a stream alive.
    pub fn keep_alive(self) -> Vec<u8> {
        match self {
            Api::Messages => event("ping", &json!({"type": "ping"})),
            Api::Converse => frame("event", "messageStart", &json!({"role": "assistant"})),
            _ => b": keep-alive\n\n".to_vec(),
        }
    }

    /// The text of a whole answer.
    pub fn text_of_whole(self, body: &[u8]) -> Option<String> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = match self {
            Api::Chat => &body["choices"][0]["message"]["content"],
            Api::Messages => &body["content"][0]["text"],
            Api::Responses => &body["output"][0]["content"][0]["text"],
            Api::Converse => &body["output"]["message"]["content"][0]["text"],
        };
        text.as_str().map(str::to_owned)
    }

    /// The text of a stream, if it ends as its API says.
    pub fn text_of_stream(self, body: &[u8]) -> Option<String> {
        let events = self.events(body);
        let (last, _) = events.last()?;
        let end = match self {
            Api::Chat => "[DONE]",
            Api::Messages => "message_stop",
            Api::Responses => "response.completed",
            Api::Converse => "metadata",
        };
        let pieces = events.iter().filter_map(|(name, data)| match self {
            Api::Chat => data["choices"][0]["delta"]["content"].as_str(),
            Api::Messages => data["delta"]["text"].as_str(),
            Api::Responses if name == "response.output_text.delta" => data["delta"].as_str(),
            Api::Responses => None,
            Api::Converse => data["delta"]["text"].as_str(),
        });
        (last == end).then(|| pieces.collect())
    }

    /// The word for the error that a stream ends with: OpenAI's code, Anthropic's type, Amazon's type of exception.
    pub fn error_of_stream(self, body: &[u8]) -> Option<String> {
        let events = self.events(body);
        let (name, data) = events.last()?;
        let word = match self {
            Api::Chat => data["error"]["code"].as_str(),
            Api::Messages if name == "error" && data["type"] == "error" => data["error"]["type"].as_str(),
            Api::Responses if name == "error" && data["type"] == "error" => data["code"].as_str(),
            Api::Converse if name.ends_with("Exception") => Some(name.as_str()),
            _ => None,
        };
        word.map(str::to_owned)
    }

    /// Whether a stream says anywhere that the answer is complete.
    pub fn looks_finished(self, body: &[u8]) -> bool {
        self.events(body).iter().any(|(name, data)| match self {
            Api::Chat => name == "[DONE]" || data["choices"][0]["finish_reason"].is_string(),
            Api::Messages => name == "message_stop" || data["delta"]["stop_reason"].is_string(),
            Api::Responses => name == "response.completed",
            Api::Converse => name == "messageStop",
        })
    }

    /// Names and data of the events. Data that is no JSON stands for the name.
    fn events(self, body: &[u8]) -> Vec<(String, Value)> {
        if self == Api::Converse {
            return frames(body);
        }
        let body = std::str::from_utf8(body).expect("text");
        body.split("\n\n")
            .filter_map(|event| {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let data = field("data: ")?;
                let name = field("event: ").unwrap_or_default().to_owned();
                Some(match serde_json::from_str(data) {
                    Ok(json) => (name, json),
                    Err(_) => (data.to_owned(), Value::Null),
                })
            })
            .collect()
    }
}

fn event(name: &str, data: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// One of Amazon's frames.
fn frame(message: &'static str, kind: &'static str, payload: &Value) -> Vec<u8> {
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let named = if message == "event" {
        ":event-type"
    } else {
        ":exception-type"
    };
    let frame = Message::new(payload.to_string().into_bytes())
        .add_header(header(":message-type", message))
        .add_header(header(named, kind))
        .add_header(header(":content-type", "application/json"));
    let mut out = Vec::new();
    write_message_to(&frame, &mut out).expect("a frame");
    out
}

fn frames(mut body: &[u8]) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    while let Some(length) = body.first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (frame, rest) = body.split_at_checked(length).expect("whole frames");
        let frame = read_message_from(frame).expect("a frame");
        let header = |name: &str| {
            let header = frame
                .headers()
                .iter()
                .find(|header| header.name().as_str() == name)?;
            header
                .value()
                .as_string()
                .ok()
                .map(|value| value.as_str().to_owned())
        };
        let name = header(":event-type").or_else(|| header(":exception-type"));
        found.push((
            name.expect("a type"),
            serde_json::from_slice(frame.payload()).expect("JSON"),
        ));
        body = rest;
    }
    assert!(body.is_empty(), "half a frame");
    found
}

fn response(status: &str, texts: &[&str]) -> Value {
    let content: Vec<Value> = texts
        .iter()
        .map(|text| json!({"type": "output_text", "text": text, "annotations": []}))
        .collect();
    let output = match content.is_empty() {
        true => json!([]),
        false => {
            json!([{"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content}])
        }
    };
    let usage =
        (status == "completed").then(|| json!({"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}));
    json!({
        "id": "resp_1", "object": "response", "status": status, "model": "served-model", "error": null,
        "output": output, "usage": usage,
    })
}

fn responses_parts(text: &str) -> Parts {
    let of_response = |kind: &str, status: &str, texts: &[&str]| {
        event(kind, &json!({"type": kind, "response": response(status, texts)}))
    };
    let of_item = |kind: &str, member: &str, value: Value| event(kind, &json!({"type": kind, member: value}));
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    Parts {
        before: [
            of_response("response.created", "in_progress", &[]),
            of_response("response.in_progress", "in_progress", &[]),
            of_item(
                "response.output_item.added",
                "item",
                json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []}),
            ),
            of_item("response.content_part.added", "part", part("")),
        ]
        .concat(),
        content: of_item("response.output_text.delta", "delta", json!(text)),
        after: [
            of_item("response.output_text.done", "text", json!(text)),
            of_item("response.content_part.done", "part", part(text)),
            of_response("response.completed", "completed", &[text]),
        ]
        .concat(),
    }
}

fn converse_parts(text: &str) -> Parts {
    Parts {
        before: frame("event", "messageStart", &json!({"role": "assistant"})),
        content: frame(
            "event",
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"text": text}}),
        ),
        after: [
            frame("event", "contentBlockStop", &json!({"contentBlockIndex": 0})),
            frame("event", "messageStop", &json!({"stopReason": "end_turn"})),
            frame(
                "event",
                "metadata",
                &json!({"usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}}),
            ),
        ]
        .concat(),
    }
}
