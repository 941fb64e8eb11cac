//! What is not read at a glance is not missed: ends, usage and errors of every recorded stream are found all the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

mod support;

use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{Delta, Event, ProviderError, Usage};
use tollgate_dialects::codec::StreamDecoder;
use tollgate_dialects::glance::content_only;
use tollgate_dialects::sse::Decoder;

const LIMIT: usize = 1 << 24;

/// What a relay must learn from a stream.
#[derive(Debug, Default, PartialEq)]
struct Told {
    finished: bool,
    ended: bool,
    usage: Option<Usage>,
    error: Option<ProviderError>,
    content: bool,
    complete: bool,
}

impl Told {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::PartDelta {
                delta: Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text),
                ..
            } => {
                self.content |= !text.is_empty();
            }
            Event::Stop { .. } => self.finished = true,
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Error(error) => self.error = Some(error.clone()),
            Event::End => self.ended = true,
            _ => {}
        }
    }
}

fn read_all(dialect: Dialect, stream: &[u8]) -> Told {
    let mut told = Told::default();
    let mut decoder = StreamDecoder::new(dialect, LIMIT);
    let fed = decoder.feed(stream, &mut |event| told.note(&event));
    let finished = decoder.finish(&mut |event| told.note(&event));
    told.complete = fed.is_ok() && finished.is_ok();
    told
}

/// Reads everything until the first content, then only what has to be read. Also gives the number of events left unread.
fn read_at_a_glance(dialect: Dialect, stream: &[u8]) -> (Told, usize) {
    let mut told = Told::default();
    let mut unread = 0;
    let mut good = true;
    let mut decoder = StreamDecoder::new(dialect, LIMIT);
    let mut framing = Decoder::new(LIMIT);
    let mut on_event = |event: tollgate_dialects::sse::SseEvent<'_>| {
        if told.content && content_only(dialect, &event).is_some() {
            unread += 1;
            return;
        }
        let mut raw = event.raw.to_vec();
        // A last event may lack its blank line.
        raw.extend_from_slice(b"\n\n");
        good &= decoder.feed(&raw, &mut |event| told.note(&event)).is_ok();
    };
    framing.feed(stream, &mut on_event).unwrap();
    framing.finish(&mut on_event);
    good &= decoder.finish(&mut |event| told.note(&event)).is_ok();
    told.complete = good;
    (told, unread)
}

#[test]
fn ends_usage_and_errors_of_every_recorded_stream_are_found() {
    if support::root().is_none() {
        return;
    }
    let (mut streams, mut skipped) = (0, 0);
    for (name, dialect) in [
        ("openai-chat", Dialect::OpenaiChat),
        ("anthropic-messages", Dialect::AnthropicMessages),
        ("cohere-chat-v2", Dialect::CohereChat),
    ] {
        for recording in support::recordings_of(name) {
            let Some(stream) = recording.bytes("response.sse") else {
                continue;
            };
            let (told, unread) = read_at_a_glance(dialect, &stream);
            assert_eq!(told, read_all(dialect, &stream), "{}", recording.name);
            streams += 1;
            skipped += unread;
        }
    }
    assert!(streams > 80, "{streams} streams");
    assert!(skipped > 500, "only {skipped} events were left unread");
}
