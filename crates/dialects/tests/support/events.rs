//! Streams as the events they consist of.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{Collector, DecodeError, Delta, Event, Response};
use tollgate_dialects::codec::StreamDecoder;

/// Events above this are refused in tests, in bytes.
const MAX_EVENT: usize = 4 << 20;

/// What a stream decoded to.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) result: Result<(), DecodeError>,
}

/// Decodes a stream that comes in these pieces.
pub(crate) fn decode_pieces<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = StreamDecoder::new(dialect, MAX_EVENT);
    let mut events = Vec::new();
    let mut sink = |event: Event<'_>| events.push(owned(event));
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut sink) {
            return Decoded {
                events,
                result: Err(error),
            };
        }
    }
    let result = decoder.finish(&mut sink);
    Decoded { events, result }
}

/// The answer that events add up to.
pub(crate) fn collect(events: &[Event<'_>]) -> Response {
    let mut collector = Collector::new();
    events.iter().for_each(|event| collector.push(event));
    collector.finish()
}

/// An event that borrows from nothing.
pub(crate) fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::PartDelta { choice, part, delta } => {
            let delta = match delta {
                Delta::Text(text) => Delta::Text(text.into_owned().into()),
                Delta::Reasoning(text) => Delta::Reasoning(text.into_owned().into()),
                Delta::Signature(text) => Delta::Signature(text.into_owned().into()),
                Delta::Arguments(text) => Delta::Arguments(text.into_owned().into()),
                Delta::Opaque(raw) => Delta::Opaque(raw),
            };
            Event::PartDelta { choice, part, delta }
        }
        Event::Start {
            origin,
            id,
            model,
            created,
            service_tier,
            ext,
        } => Event::Start {
            origin,
            id,
            model,
            created,
            service_tier,
            ext,
        },
        Event::PartStart { choice, part, kind } => Event::PartStart { choice, part, kind },
        Event::PartStop { choice, part } => Event::PartStop { choice, part },
        Event::Stop { choice, stop } => Event::Stop { choice, stop },
        Event::Usage(usage) => Event::Usage(usage),
        Event::Error(error) => Event::Error(error),
        Event::Ping => Event::Ping,
        Event::Opaque { field, raw } => Event::Opaque { field, raw },
        Event::End => Event::End,
    }
}

/// Checks the order that `Event` promises.
pub(crate) fn check_order(events: &[Event<'_>]) -> Result<(), String> {
    #[derive(Default)]
    struct Choice {
        open: BTreeSet<usize>,
        next: usize,
        stopped: bool,
    }
    let mut started = false;
    let mut over = false;
    let mut choices: BTreeMap<u64, Choice> = BTreeMap::new();
    for (i, event) in events.iter().enumerate() {
        let wrong = |what: &str| Err(format!("event {i}: {what}: {event:?}"));
        if over {
            return wrong("after the end");
        }
        match event {
            Event::Start { .. } if started => return wrong("a second start"),
            Event::Start { .. } => started = true,
            Event::Ping | Event::Error(_) => over = matches!(event, Event::Error(_)),
            _ if !started => return wrong("before the start"),
            Event::PartStart { choice, part, .. } => {
                let state = choices.entry(*choice).or_default();
                if state.stopped || *part != state.next {
                    return wrong("part out of order");
                }
                state.next += 1;
                state.open.insert(*part);
            }
            Event::PartDelta { choice, part, delta } => {
                if !choices.entry(*choice).or_default().open.contains(part) {
                    return wrong("piece of a part that is not open");
                }
                let empty = match delta {
                    Delta::Text(text)
                    | Delta::Reasoning(text)
                    | Delta::Signature(text)
                    | Delta::Arguments(text) => text.is_empty(),
                    Delta::Opaque(_) => false,
                };
                if empty {
                    return wrong("empty piece");
                }
            }
            Event::PartStop { choice, part } => {
                if !choices.entry(*choice).or_default().open.remove(part) {
                    return wrong("stop of a part that is not open");
                }
            }
            Event::Stop { choice, .. } => {
                let state = choices.entry(*choice).or_default();
                if state.stopped || !state.open.is_empty() {
                    return wrong("stop with open parts, or twice");
                }
                state.stopped = true;
            }
            Event::End => {
                if choices.values().any(|choice| !choice.stopped) {
                    return wrong("end before every choice has stopped");
                }
                over = true;
            }
            Event::Usage(_) | Event::Opaque { .. } => {}
        }
    }
    Ok(())
}
