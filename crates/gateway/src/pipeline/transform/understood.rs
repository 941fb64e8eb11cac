//! A stream in a dialect we understand: every event is read, and the client gets it in its own dialect.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use tollgate_dialects::anthropic_messages::AnswerUnwrapper;
use tollgate_dialects::canonical::{DecodeError, Delta, Event, PartKind};
use tollgate_dialects::codec::{AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::gemini::Framing;
use tollgate_dialects::sse::SseEvent;
use tollgate_dialects::{Dialect, Losses, codec, estimate, glance};

use super::array::AsArray;
use super::{MAX_EVENT_BYTES, Seen};
use crate::ai::reading::WholeFrames;
use crate::error::CallError;
use crate::pipeline::relayed::Relayed;

/// A stream on its way from a provider to a client.
pub struct Understood {
    decoder: StreamDecoder,
    output: Output,
    /// Turns the call that stands for a bound answer into text; only where one may come.
    unwrapper: Option<AnswerUnwrapper>,
    client: Dialect,
    style: AnswerStyle,
    seen: Seen,
    /// What was translated of a chunk before the place that could not be read.
    unsent: Vec<u8>,
    /// What the client's dialect could not express.
    pub losses: Losses,
}

enum Output {
    /// Same dialect: the provider's own bytes.
    Relayed(Relayed),
    /// Gemini's documents as they are, framed as an array.
    Array(AsArray),
    /// Same dialect: Amazon's own frames.
    Frames(WholeFrames),
    /// Another dialect.
    Translated(Box<StreamEncoder>),
}

impl Understood {
    /// The beginning of a stream.
    pub fn new(provider: Dialect, client: Dialect, hide_usage: bool, style: &AnswerStyle) -> Self {
        let output = match client {
            _ if provider != client || style.completion.is_some() => {
                Output::Translated(Box::new(StreamEncoder::new(client, style)))
            }
            Dialect::Gemini if style.framing == Framing::Array => {
                Output::Array(AsArray::new(MAX_EVENT_BYTES))
            }
            Dialect::BedrockConverse => Output::Frames(WholeFrames::default()),
            _ => Output::Relayed(Relayed::new(MAX_EVENT_BYTES, hide_usage)),
        };
        Understood {
            decoder: StreamDecoder::new(provider, MAX_EVENT_BYTES),
            output,
            unwrapper: style.answer_by_tool.then(AnswerUnwrapper::default),
            client,
            style: style.clone(),
            seen: Seen::default(),
            unsent: Vec::new(),
            losses: Losses::new(),
        }
    }

    /// What the stream has said so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes the provider's next bytes and gives the client's next bytes.
    ///
    /// # Errors
    /// The bytes are not what the provider's dialect says. Once content has passed in the same dialect the client may
    /// understand more than we do, so then it is not an error and the bytes pass.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, DecodeError> {
        match &mut self.output {
            Output::Relayed(relayed) => {
                let mut reader = Reader::new(self.client, &mut self.decoder, &mut self.seen);
                let passed = relayed
                    .feed(bytes, &mut |event| reader.read(event))
                    .map_err(|error| DecodeError::new("", error.to_string()))?;
                reader.result().map(|()| passed)
            }
            Output::Array(array) => {
                let mut reader = Reader::new(self.client, &mut self.decoder, &mut self.seen);
                let passed = array
                    .feed(bytes, &mut |event| reader.read(event))
                    .map_err(|error| DecodeError::new("", error.to_string()))?;
                reader.result().map(|()| passed)
            }
            Output::Frames(frames) => {
                let mut reader = Reader::new(self.client, &mut self.decoder, &mut self.seen);
                reader.decode(bytes);
                reader.result()?;
                frames
                    .feed(bytes)
                    .map_err(|error| DecodeError::new("", error.to_string()))
            }
            Output::Translated(encoder) => {
                let mut translated = Vec::new();
                let result = self.decoder.feed(bytes, &mut |event| {
                    let event = unwrapped(&mut self.unwrapper, event);
                    note(&event, &mut self.seen);
                    encoder.encode(&event, &mut self.losses, &mut translated);
                });
                if let Err(error) = result {
                    self.unsent = translated;
                    return Err(error);
                }
                Ok(translated.into())
            }
        }
    }

    /// The provider's bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&mut self) -> Result<Bytes, DecodeError> {
        match &mut self.output {
            Output::Relayed(relayed) => {
                let mut reader = Reader::new(self.client, &mut self.decoder, &mut self.seen);
                let rest = relayed.finish(&mut |event| reader.read(event));
                reader.end()?;
                Ok(rest)
            }
            Output::Array(array) => {
                let mut reader = Reader::new(self.client, &mut self.decoder, &mut self.seen);
                let mut rest = array.finish(&mut |event| reader.read(event));
                reader.end()?;
                array.close(&mut rest);
                Ok(rest.into())
            }
            Output::Frames(_) => {
                Reader::new(self.client, &mut self.decoder, &mut self.seen).end()?;
                Ok(Bytes::new())
            }
            Output::Translated(encoder) => {
                let mut rest = std::mem::take(&mut self.unsent);
                let finished = self.decoder.finish(&mut |event| {
                    let event = unwrapped(&mut self.unwrapper, event);
                    note(&event, &mut self.seen);
                    encoder.encode(&event, &mut self.losses, &mut rest);
                });
                if let Err(error) = finished {
                    self.unsent = rest;
                    return Err(error);
                }
                // A provider that closes without its end mark, after a complete answer.
                if !self.seen.ended && self.seen.failed.is_none() {
                    encoder.encode(&Event::End, &mut self.losses, &mut rest);
                }
                Ok(rest.into())
            }
        }
    }

    /// Tells the client in its own dialect that the stream has failed.
    pub fn fail(&mut self, error: &CallError) -> Bytes {
        let mut out = std::mem::take(&mut self.unsent);
        let event = Event::Error(error.to_provider_error());
        match &mut self.output {
            Output::Translated(encoder) => encoder.encode(&event, &mut self.losses, &mut out),
            Output::Array(array) => array.end_with(
                &codec::encode_error(self.client, &error.to_provider_error(), None),
                &mut out,
            ),
            // Only whole events have passed, so ours is read as one of its own.
            Output::Relayed(_) | Output::Frames(_) => {
                StreamEncoder::new(self.client, &self.style).encode(&event, &mut self.losses, &mut out);
            }
        }
        out.into()
    }
}

/// Reads those events of a relayed stream that say more than content.
struct Reader<'a> {
    dialect: Dialect,
    decoder: &'a mut StreamDecoder,
    seen: &'a mut Seen,
    failed: Option<DecodeError>,
}

impl<'a> Reader<'a> {
    fn new(dialect: Dialect, decoder: &'a mut StreamDecoder, seen: &'a mut Seen) -> Self {
        Reader {
            dialect,
            decoder,
            seen,
            failed: None,
        }
    }

    fn read(&mut self, event: &SseEvent<'_>) {
        // Until there was content the stream may still turn out to be a failed attempt, so everything is read.
        if self.seen.content
            && let Some(piece) = glance::content_only(self.dialect, event)
        {
            let text = std::str::from_utf8(piece).unwrap_or_default();
            self.seen.estimated_output += estimate::tokens(text);
            // In OpenAI's chunks a call of a tool looks like any other piece.
            self.seen.tool_calls |= self.dialect == Dialect::OpenaiChat && calls_tools(event.raw);
            return;
        }
        self.decode(event.raw);
    }

    fn decode(&mut self, bytes: &[u8]) {
        let seen = &mut *self.seen;
        let Err(error) = self.decoder.feed(bytes, &mut |event| note(&event, seen)) else {
            return;
        };
        if !self.seen.content {
            self.failed = Some(error);
        } else if !std::mem::replace(&mut self.seen.unreadable, true) {
            // The client may understand more than we do, and a later event tells how the answer ends and what it used.
            tracing::warn!(%error, "events of a relayed stream cannot be read");
        }
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    fn end(self) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let seen = &mut *self.seen;
        let finished = self.decoder.finish(&mut |event| note(&event, seen));
        // After an event that could not be read the decoder may not know that the answer is complete.
        if self.seen.finished || self.seen.ended {
            return Ok(());
        }
        finished
    }

    fn result(self) -> Result<(), DecodeError> {
        self.failed.map_or(Ok(()), Err)
    }
}

/// Whether a chunk of OpenAI's calls a tool. Within strings the quotes of the keys are escaped, so they are not found there.
fn calls_tools(chunk: &[u8]) -> bool {
    CALLS.iter().any(|key| {
        key.find_iter(chunk).any(|position| {
            let rest = chunk.get(position + key.needle().len()..).unwrap_or_default();
            let mut value = rest
                .iter()
                .filter(|byte| !byte.is_ascii_whitespace() && **byte != b':');
            let opens = matches!(value.next(), Some(b'[' | b'{'));
            opens && !matches!(value.next(), Some(b']' | b'}') | None)
        })
    })
}

/// Keys behind which OpenAI's chunks call tools.
static CALLS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new("\"tool_calls\""), Finder::new("\"function_call\"")]);

fn unwrapped<'a>(unwrapper: &mut Option<AnswerUnwrapper>, event: Event<'a>) -> Event<'a> {
    match unwrapper {
        Some(unwrapper) => unwrapper.event(event),
        None => event,
    }
}

fn note(event: &Event<'_>, seen: &mut Seen) {
    match event {
        Event::Start {
            id,
            model,
            service_tier,
            ..
        } => {
            seen.id = Some(id.as_str()).filter(|id| !id.is_empty()).map(Box::from);
            seen.model = Some(model.clone());
            seen.service_tier.clone_from(service_tier);
        }
        Event::PartStart {
            kind: PartKind::ToolCall { name, .. },
            ..
        } => {
            seen.content = true;
            seen.tool_calls = true;
            seen.estimated_output += estimate::tokens(name);
        }
        Event::PartStart {
            kind: PartKind::RedactedReasoning { .. } | PartKind::Opaque { .. },
            ..
        } => seen.content = true,
        Event::PartDelta { delta, .. } => match delta {
            Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text) => {
                seen.content |= !text.is_empty();
                seen.estimated_output += estimate::tokens(text);
            }
            Delta::Signature(_) | Delta::Opaque(_) => seen.content = true,
        },
        Event::Stop { stop, .. } => {
            seen.finished = true;
            seen.stop = stop.native.as_deref().map(Box::from);
        }
        Event::Usage(usage) => seen.usage = Some(usage.clone()),
        Event::Error(error) => seen.failed = Some(error.clone()),
        Event::End => seen.ended = true,
        Event::PartStart { .. } | Event::PartStop { .. } | Event::Ping | Event::Opaque { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether tools were seen to be called by the events of a stream, however it is cut.
    fn calls(provider: Dialect, client: Dialect, stream: &str) -> bool {
        let seen = |size: usize| {
            let mut transform = Understood::new(provider, client, false, &AnswerStyle::default());
            for piece in stream.as_bytes().chunks(size) {
                transform.feed(&Bytes::copy_from_slice(piece)).unwrap();
            }
            transform.seen().tool_calls
        };
        let whole = seen(stream.len());
        for size in [1, 7, 64] {
            assert_eq!(seen(size), whole, "in pieces of {size}");
        }
        whole
    }

    fn chunks(deltas: &[&str]) -> String {
        deltas
            .iter()
            .map(|delta| {
                format!(
                    "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
                )
            })
            .collect()
    }

    #[test]
    fn openai_calls_of_tools_are_seen_at_once_and_behind_text() {
        let text = r#"{"role":"assistant","content":"Let me \"tool_calls\":[1] see"}"#;
        let empty = r#"{"content":"x","tool_calls":[],"function_call":null}"#;
        let call = r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#;
        for client in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
            for (deltas, expected) in [
                (&[text, empty][..], false),
                (&[call], true),
                (&[text, empty, call], true),
            ] {
                assert_eq!(
                    calls(Dialect::OpenaiChat, client, &chunks(deltas)),
                    expected,
                    "{client:?} {deltas:?}"
                );
            }
        }
    }

    #[test]
    fn anthropic_calls_of_tools_are_seen_behind_text() {
        let event =
            |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\",{rest}}}\n\n");
        let text = [
            event(
                "message_start",
                r#""message":{"id":"i","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#,
            ),
            event("content_block_start", r#""index":0,"content_block":{"type":"text","text":""}"#),
            event("content_block_delta", r#""index":0,"delta":{"type":"text_delta","text":"tool_use"}"#),
            event("content_block_stop", r#""index":0"#),
        ]
        .concat();
        let call = event(
            "content_block_start",
            r#""index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}"#,
        );
        for client in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
            assert!(!calls(Dialect::AnthropicMessages, client, &text), "{client:?}");
            let with_call = text.clone() + &call;
            assert!(
                calls(Dialect::AnthropicMessages, client, &with_call),
                "{client:?}"
            );
        }
    }
}
