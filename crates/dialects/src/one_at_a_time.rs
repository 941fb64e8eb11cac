//! Puts the parts of a streamed answer behind each other, for dialects whose streams have one part open at a time.
//!
//! Other dialects interleave. So what comes for a later part waits until the open one has ended.

use std::collections::BTreeMap;

use crate::canonical::{Delta, Event, PartKind};

/// Holds back parts that have begun while another was open. Only the first choice passes.
#[derive(Debug)]
pub(crate) struct OneAtATime {
    /// Most bytes held back.
    limit: usize,
    open: Option<usize>,
    waiting: BTreeMap<usize, Waiting>,
    held: usize,
}

/// A part that waits.
#[derive(Debug)]
struct Waiting {
    kind: PartKind,
    deltas: Vec<Delta<'static>>,
    stopped: bool,
}

/// More waits than may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl OneAtATime {
    /// Holds back at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        OneAtATime {
            limit,
            open: None,
            waiting: BTreeMap::new(),
            held: 0,
        }
    }

    /// Takes the next event of a part and hands on what may be written now. An event that is none of a part goes through at
    /// once.
    ///
    /// # Errors
    /// More waits than may be held back.
    pub(crate) fn push(
        &mut self,
        event: &Event<'_>,
        write: &mut dyn FnMut(&Event<'_>),
    ) -> Result<(), TooMuch> {
        match event {
            Event::PartStart { part, kind, .. } if self.open.is_some() => {
                let waiting = Waiting {
                    kind: kind.clone(),
                    deltas: Vec::new(),
                    stopped: false,
                };
                self.waiting.insert(*part, waiting);
            }
            Event::PartStart { part, .. } => {
                self.open = Some(*part);
                write(event);
            }
            Event::PartDelta { part, .. } if self.open == Some(*part) => write(event),
            Event::PartDelta { part, delta, .. } => {
                if let Some(waiting) = self.waiting.get_mut(part) {
                    self.held = self.held.saturating_add(size(delta));
                    waiting.deltas.push(owned(delta));
                }
                if self.held > self.limit {
                    return Err(TooMuch);
                }
            }
            Event::PartStop { part, .. } if self.open == Some(*part) => {
                self.open = None;
                write(event);
                self.release(write);
            }
            Event::PartStop { part, .. } => {
                if let Some(waiting) = self.waiting.get_mut(part) {
                    waiting.stopped = true;
                }
            }
            other => write(other),
        }
        Ok(())
    }

    /// The answer has ended: everything that is open or waits ends too.
    pub(crate) fn finish(&mut self, write: &mut dyn FnMut(&Event<'_>)) {
        while let Some(part) = self.open.take() {
            write(&Event::PartStop { choice: 0, part });
            self.release(write);
        }
    }

    /// Writes parts that waited, in order, up to one that still goes on.
    fn release(&mut self, write: &mut dyn FnMut(&Event<'_>)) {
        while let Some((part, waiting)) = self.waiting.pop_first() {
            write(&Event::PartStart {
                choice: 0,
                part,
                kind: waiting.kind,
            });
            for delta in waiting.deltas {
                self.held = self.held.saturating_sub(size(&delta));
                write(&Event::PartDelta {
                    choice: 0,
                    part,
                    delta,
                });
            }
            if !waiting.stopped {
                self.open = Some(part);
                return;
            }
            write(&Event::PartStop { choice: 0, part });
        }
    }
}

fn owned(delta: &Delta<'_>) -> Delta<'static> {
    match delta {
        Delta::Text(text) => Delta::Text(text.clone().into_owned().into()),
        Delta::Reasoning(text) => Delta::Reasoning(text.clone().into_owned().into()),
        Delta::Signature(text) => Delta::Signature(text.clone().into_owned().into()),
        Delta::Arguments(text) => Delta::Arguments(text.clone().into_owned().into()),
        Delta::Opaque(raw) => Delta::Opaque(raw.clone()),
    }
}

/// Bytes a held piece takes, its bookkeeping included.
fn size(delta: &Delta<'_>) -> usize {
    let text = match delta {
        Delta::Text(text) | Delta::Reasoning(text) | Delta::Signature(text) | Delta::Arguments(text) => {
            text.len()
        }
        Delta::Opaque(raw) => raw.text().len(),
    };
    text.saturating_add(size_of::<Delta<'_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(part: usize) -> Event<'static> {
        Event::PartStart {
            choice: 0,
            part,
            kind: PartKind::Text,
        }
    }

    fn text(part: usize, text: &str) -> Event<'_> {
        Event::PartDelta {
            choice: 0,
            part,
            delta: Delta::Text(text.into()),
        }
    }

    fn stop(part: usize) -> Event<'static> {
        Event::PartStop { choice: 0, part }
    }

    #[test]
    fn interleaved_parts_come_out_behind_each_other() {
        let mut order = OneAtATime::new(1 << 20);
        let mut seen = Vec::new();
        let mut note = |event: &Event<'_>| seen.push(format!("{event:?}"));
        let events = [
            start(0),
            text(0, "a"),
            start(1),
            text(1, "b"),
            start(2),
            text(2, "c"),
            text(0, "d"),
            stop(2),
            stop(0),
            text(1, "e"),
        ];
        for event in &events {
            order.push(event, &mut note).unwrap();
        }
        order.finish(&mut note);
        let expected = [
            start(0),
            text(0, "a"),
            text(0, "d"),
            stop(0),
            start(1),
            text(1, "b"),
            text(1, "e"),
            stop(1),
            start(2),
            text(2, "c"),
            stop(2),
        ]
        .map(|event| format!("{event:?}"));
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut order = OneAtATime::new(1000);
        let mut ignore = |_: &Event<'_>| {};
        order.push(&start(0), &mut ignore).unwrap();
        order.push(&start(1), &mut ignore).unwrap();
        let long = "x".repeat(100);
        let mut results = (0..20).map(|_| order.push(&text(1, &long), &mut ignore));
        assert!(results.any(|result| result == Err(TooMuch)));
    }
}
