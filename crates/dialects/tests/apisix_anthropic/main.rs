//! An Anthropic client and an OpenAI provider in APISIX's manners: the request rebuilt, the answer and the stream written.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail the test, and take values so that calls read well"
)]

mod answers;
mod requests;
mod streams;
mod tools;

use serde_json::{Value, json};
use tollgate_dialects::apisix::{Rebuilt, rebuild_request};
use tollgate_dialects::canonical::{DecodeError, Event};
use tollgate_dialects::codec::{self, AnswerStyle, Manners, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, Renames};

/// A minimal request with these members.
pub(crate) fn request(members: Value) -> Value {
    let mut request =
        json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

pub(crate) fn rebuild(request: &Value) -> Result<Rebuilt, DecodeError> {
    rebuild_request(&request.to_string(), Some("gpt-4o"))
}

/// What the provider gets for a minimal request with these members.
pub(crate) fn rebuilt(members: Value) -> Value {
    let rebuilt = rebuild(&request(members)).unwrap();
    assert_eq!(rebuilt.losses.rejections().count(), 0, "{:?}", rebuilt.losses);
    serde_json::from_slice(&rebuilt.body).unwrap()
}

/// The messages that the provider gets for these.
pub(crate) fn messages(messages: Value) -> Value {
    rebuilt(json!({"messages": messages}))["messages"].clone()
}

pub(crate) fn style(renames: Renames) -> AnswerStyle {
    AnswerStyle {
        manners: Manners::Apisix,
        model: Some("gpt-4o".to_owned()),
        renames,
        ..AnswerStyle::default()
    }
}

pub(crate) fn answered_with(answer: &Value, style: &AnswerStyle) -> Value {
    let response = codec::decode_response(Dialect::OpenaiChat, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_response(Dialect::AnthropicMessages, &response, style, &mut losses);
    assert_eq!(losses.rejections().count(), 0, "{losses:?}");
    serde_json::from_slice(&body).unwrap()
}

pub(crate) fn answered(answer: &Value) -> Value {
    answered_with(answer, &style(Renames::default()))
}

/// A provider's answer with this message and finish reason.
pub(crate) fn answer(message: Value, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })
}

pub(crate) fn call(name: &str, arguments: &str) -> Value {
    json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// A stream that is fed chunk by chunk.
pub(crate) struct Stream {
    decoder: StreamDecoder,
    encoder: StreamEncoder,
}

impl Stream {
    pub(crate) fn new(style: &AnswerStyle) -> Self {
        Stream {
            decoder: StreamDecoder::new(Dialect::OpenaiChat, 1 << 20),
            encoder: StreamEncoder::new(Dialect::AnthropicMessages, style),
        }
    }

    pub(crate) fn begin() -> Self {
        Stream::new(&style(Renames::default()))
    }

    /// The events that come out at once.
    pub(crate) fn chunk(&mut self, chunk: Value) -> Vec<Value> {
        self.feed(&format!("data: {chunk}\n\n"))
    }

    pub(crate) fn done(&mut self) -> Vec<Value> {
        self.feed("data: [DONE]\n\n")
    }

    pub(crate) fn feed(&mut self, bytes: &str) -> Vec<Value> {
        let (mut losses, mut out) = (Losses::new(), Vec::new());
        let Stream { decoder, encoder } = self;
        decoder
            .feed(bytes.as_bytes(), &mut |event: Event<'_>| {
                encoder.encode(&event, &mut losses, &mut out);
            })
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let frames = text.split("\n\n").filter(|frame| !frame.is_empty());
        let events = frames.map(|frame| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        });
        events.collect()
    }
}

/// A first chunk with this delta.
pub(crate) fn first(delta: Value) -> Value {
    json!({"id": "x", "model": "o1", "choices": [{"delta": delta}]})
}

pub(crate) fn next(delta: Value) -> Value {
    json!({"choices": [{"delta": delta}]})
}

pub(crate) fn finish(word: &str) -> Value {
    json!({"choices": [{"delta": {}, "finish_reason": word}]})
}

pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}
