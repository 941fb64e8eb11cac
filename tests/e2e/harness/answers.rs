//! What providers say when nothing is wrong, as bytes on the wire.

use serde_json::json;

use super::{Asked, Dialect};

/// A proper answer to a request, whole or as a stream.
pub fn good(asked: &Asked, text: &str) -> Vec<u8> {
    if asked.stream() {
        stream(&events(asked.dialect(), &[text]))
    } else {
        json_answer(200, &whole(asked.dialect(), text))
    }
}

/// A whole answer of a dialect: 11 tokens in, 7 out.
pub fn whole(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::OpenAi => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "served-model",
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        }),
        Dialect::Anthropic => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "served-model",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 11, "output_tokens": 7},
        }),
    }
    .to_string()
}

/// The events of a streamed answer, one piece of text each, with the same usage. See [`Events`] for its parts.
pub fn events(dialect: Dialect, texts: &[&str]) -> Events {
    let frame = |name: &str, data: serde_json::Value| match dialect {
        Dialect::OpenAi => format!("data: {data}\n\n"),
        Dialect::Anthropic => format!("event: {name}\ndata: {data}\n\n"),
    };
    match dialect {
        Dialect::OpenAi => {
            let chunk = |choices: serde_json::Value, usage: serde_json::Value| {
                let chunk = json!({
                    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
                    "model": "served-model", "choices": choices, "usage": usage,
                });
                frame("", chunk)
            };
            let choice = |delta: serde_json::Value, finish: serde_json::Value| {
                chunk(
                    json!([{"index": 0, "delta": delta, "finish_reason": finish}]),
                    json!(null),
                )
            };
            Events {
                before: vec![choice(json!({"role": "assistant", "content": ""}), json!(null))],
                content: texts
                    .iter()
                    .map(|text| choice(json!({"content": text}), json!(null)))
                    .collect(),
                after: vec![
                    choice(json!({}), json!("stop")),
                    chunk(
                        json!([]),
                        json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}),
                    ),
                    "data: [DONE]\n\n".to_owned(),
                ],
            }
        }
        Dialect::Anthropic => {
            let content = texts.iter().map(|text| {
                frame("content_block_delta", json!({
                    "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text},
                }))
            });
            Events {
                before: vec![
                    frame(
                        "message_start",
                        json!({"type": "message_start", "message": {
                            "id": "msg_1", "type": "message", "role": "assistant", "model": "served-model", "content": [],
                            "stop_reason": null, "stop_sequence": null,
                            "usage": {"input_tokens": 11, "output_tokens": 1},
                        }}),
                    ),
                    frame(
                        "content_block_start",
                        json!({
                            "type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""},
                        }),
                    ),
                ],
                content: content.collect(),
                after: vec![
                    frame(
                        "content_block_stop",
                        json!({"type": "content_block_stop", "index": 0}),
                    ),
                    frame(
                        "message_delta",
                        json!({
                            "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                            "usage": {"output_tokens": 7},
                        }),
                    ),
                    frame("message_stop", json!({"type": "message_stop"})),
                ],
            }
        }
    }
}

/// The events of a stream, as text on the wire.
#[derive(Clone, Debug)]
pub struct Events {
    /// What comes before any content.
    pub before: Vec<String>,
    /// The content.
    pub content: Vec<String>,
    /// What ends the answer.
    pub after: Vec<String>,
}

impl Events {
    /// All of them, one after the other.
    pub fn text(&self) -> String {
        [self.before.concat(), self.content.concat(), self.after.concat()].concat()
    }
}

/// A complete stream.
pub fn stream(events: &Events) -> Vec<u8> {
    [stream_head().as_bytes(), &chunk(events.text()), END_OF_CHUNKS].concat()
}

/// The head of a stream, whose body follows in chunks.
pub fn stream_head() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
}

/// One chunk of a body.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The end of a chunked body.
pub const END_OF_CHUNKS: &[u8] = b"0\r\n\r\n";

/// The media type of what was asked for.
pub fn media_type(asked: &Asked) -> &'static str {
    if asked.stream() {
        "text/event-stream"
    } else {
        "application/json"
    }
}

/// An answer of JSON.
pub fn json_answer(status: u16, body: &str) -> Vec<u8> {
    answer(status, "content-type: application/json\r\n", body.as_bytes())
}

/// An answer with these header lines.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// An error answer of a dialect.
pub fn error(dialect: Dialect, message: &str) -> String {
    match dialect {
        Dialect::OpenAi => {
            json!({"error": {"message": message, "type": "server_error", "param": null, "code": "boom"}})
        }
        Dialect::Anthropic => json!({"type": "error", "error": {"type": "api_error", "message": message}}),
    }
    .to_string()
}

/// The same error as an event of a stream.
pub fn error_event(dialect: Dialect, message: &str) -> String {
    let name = if dialect == Dialect::Anthropic {
        "event: error\n"
    } else {
        ""
    };
    format!("{name}data: {}\n\n", error(dialect, message))
}
