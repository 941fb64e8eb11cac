//! Turns the bytes of a provider's stream into the bytes of the client's stream, and notes what they say.

use std::ops::Range;

use bytes::Bytes;
use tollgate_dialects::canonical::{DecodeError, Delta, Event, PartKind, ProviderError, Usage};
use tollgate_dialects::codec::{AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, estimate, sse};

use super::whole_events::WholeEvents;
use crate::error::CallError;

/// Largest single event of a stream, in bytes. Images arrive as one event.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// What the events so far have said.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether there was any content for the client.
    pub content: bool,
    /// Whether a reason was given why the answer ended.
    pub finished: bool,
    /// Whether the dialect's own end mark came.
    pub ended: bool,
    /// The error the provider told inside the stream.
    pub failed: Option<ProviderError>,
    /// The last usage told.
    pub usage: Option<Usage>,
    /// The model that answers, as the provider names it.
    pub model: Option<String>,
    /// Our estimate of the output tokens so far, for streams that end without usage.
    pub estimated_output: u64,
}

/// A stream on its way from a provider to a client.
pub struct Transform {
    decoder: Option<StreamDecoder>,
    output: Output,
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
    Same(WholeEvents),
    /// Same dialect, but an event must be taken out that the client did not ask for.
    HidingUsage(sse::Decoder),
    /// Another dialect.
    Translated(Box<StreamEncoder>),
}

impl Transform {
    /// A transform at the beginning of a stream.
    pub fn new(provider: Dialect, client: Dialect, hide_usage: bool, style: &AnswerStyle) -> Self {
        let output = match (provider == client, hide_usage) {
            (true, false) => Output::Same(WholeEvents::new(MAX_EVENT_BYTES)),
            (true, true) => Output::HidingUsage(sse::Decoder::new(MAX_EVENT_BYTES)),
            (false, _) => Output::Translated(Box::new(StreamEncoder::new(client, style))),
        };
        Transform {
            decoder: Some(StreamDecoder::new(provider, MAX_EVENT_BYTES)),
            output,
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
    /// understand more than we do, so then it is not an error: the bytes pass, and only the accounting ends.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, DecodeError> {
        let mut translated = Vec::new();
        let Transform {
            decoder,
            output,
            seen,
            losses,
            unsent,
            ..
        } = self;
        let encoder = if let Output::Translated(encoder) = output {
            Some(encoder.as_mut())
        } else {
            None
        };
        if let Some(running) = decoder
            && let Err(error) = observe(
                |sink| running.feed(bytes, sink),
                encoder,
                seen,
                losses,
                &mut translated,
            )
        {
            if matches!(output, Output::Translated(_)) || !seen.content {
                *unsent = translated;
                return Err(error);
            }
            tracing::warn!(%error, "a stream is relayed that cannot be read, its usage is unknown");
            *decoder = None;
        }
        match output {
            Output::Same(events) => events
                .feed(bytes)
                .map_err(|error| DecodeError::new("", error.to_string())),
            Output::Translated(_) => Ok(translated.into()),
            Output::HidingUsage(framing) => {
                let mut kept = Kept::new(bytes);
                framing
                    .feed(bytes, &mut |event| kept.event(&event))
                    .map_err(|error| DecodeError::new("", error.to_string()))?;
                Ok(kept.into_bytes())
            }
        }
    }

    /// The provider's bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&mut self) -> Result<Bytes, DecodeError> {
        let mut rest = std::mem::take(&mut self.unsent);
        let Transform {
            decoder,
            output,
            seen,
            losses,
            ..
        } = self;
        let encoder = if let Output::Translated(encoder) = output {
            Some(encoder.as_mut())
        } else {
            None
        };
        if let Some(decoder) = decoder {
            let finished = observe(|sink| decoder.finish(sink), encoder, seen, losses, &mut rest);
            if let Err(error) = finished {
                self.unsent = rest;
                return Err(error);
            }
        }
        match output {
            Output::Same(events) => Ok(events.rest()),
            Output::HidingUsage(framing) => {
                let nothing = Bytes::new();
                let mut kept = Kept::new(&nothing);
                framing.finish(&mut |event| kept.event(&event));
                Ok(kept.into_bytes())
            }
            Output::Translated(encoder) => {
                // A provider that closes without its end mark, after a complete answer.
                if !seen.ended && seen.failed.is_none() {
                    encoder.encode(&Event::End, losses, &mut rest);
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
            // Only whole events have passed, so ours is read as one of its own.
            Output::Same(_) | Output::HidingUsage(_) => {
                StreamEncoder::new(self.client, &self.style).encode(&event, &mut self.losses, &mut out);
            }
        }
        out.into()
    }
}

type Feed<'a> = &'a mut dyn FnMut(Event<'_>);

fn observe(
    run: impl FnOnce(Feed<'_>) -> Result<(), DecodeError>,
    mut encoder: Option<&mut StreamEncoder>,
    seen: &mut Seen,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    run(&mut |event| {
        note(&event, seen);
        if let Some(encoder) = &mut encoder {
            encoder.encode(&event, losses, out);
        }
    })
}

fn note(event: &Event<'_>, seen: &mut Seen) {
    match event {
        Event::Start { model, .. } => seen.model = Some(model.clone()),
        Event::PartStart {
            kind: PartKind::ToolCall { name, .. },
            ..
        } => {
            seen.content = true;
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
        Event::Stop { .. } => seen.finished = true,
        Event::Usage(usage) => seen.usage = Some(usage.clone()),
        Event::Error(error) => seen.failed = Some(error.clone()),
        Event::End => seen.ended = true,
        Event::PartStart { .. } | Event::PartStop { .. } | Event::Ping | Event::Opaque { .. } => {}
    }
}

/// The events of a chunk that stay. As long as nothing is taken out of a chunk and nothing began before it, the chunk is
/// passed on as it is.
struct Kept<'a> {
    chunk: &'a Bytes,
    /// The kept part of the chunk so far, if it is one piece.
    piece: Option<Range<usize>>,
    copied: Option<Vec<u8>>,
}

impl<'a> Kept<'a> {
    fn new(chunk: &'a Bytes) -> Self {
        Kept {
            chunk,
            piece: None,
            copied: None,
        }
    }

    fn event(&mut self, event: &sse::SseEvent<'_>) {
        if event.data.as_deref().is_some_and(is_usage_chunk) {
            return;
        }
        if self.copied.is_none()
            && let Some(range) = self.place(event.raw)
        {
            match &mut self.piece {
                None => self.piece = Some(range),
                Some(piece) if piece.end == range.start => piece.end = range.end,
                Some(_) => self.copy(event.raw),
            }
        } else {
            self.copy(event.raw);
        }
    }

    fn copy(&mut self, raw: &[u8]) {
        let chunk = self.chunk;
        let piece = self.piece.take();
        let copied = self
            .copied
            .get_or_insert_with(|| piece.map(|range| chunk[range].to_vec()).unwrap_or_default());
        copied.extend_from_slice(raw);
    }

    /// Where `raw` stands in the chunk, if it is a part of it.
    fn place(&self, raw: &[u8]) -> Option<Range<usize>> {
        let start = (raw.as_ptr() as usize).checked_sub(self.chunk.as_ptr() as usize)?;
        let end = start.checked_add(raw.len())?;
        (end <= self.chunk.len()).then_some(start..end)
    }

    fn into_bytes(self) -> Bytes {
        match (self.copied, self.piece) {
            (Some(copied), _) => copied.into(),
            (None, Some(range)) => self.chunk.slice(range),
            (None, None) => Bytes::new(),
        }
    }
}

/// Whether an event is OpenAI's last chunk that holds nothing but usage.
fn is_usage_chunk(data: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        choices: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        usage: Option<&'a serde_json::value::RawValue>,
    }
    if memchr::memmem::find(data, b"\"usage\"").is_none() {
        return false;
    }
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return false;
    };
    let no_choices = chunk.choices.is_none_or(|choices| {
        choices
            .get()
            .bytes()
            .filter(|b| !b.is_ascii_whitespace())
            .eq(*b"[]")
    });
    no_choices && chunk.usage.is_some_and(|usage| usage.get().starts_with('{'))
}
