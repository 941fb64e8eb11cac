//! Server-sent events by the WHATWG rules: frames a byte stream into events, whatever the cuts.
//!
//! Knows lines, fields and blank lines (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Refuses to know
//! what the data means, and whether it is UTF-8. Every received byte belongs to the `raw` of exactly one event, so writing
//! all of them out repeats the stream: comments, keep-alives and stray blank lines are events without data.
//!
//! Two choices differ from a browser: an event that the end of the stream cuts before its blank line is reported by
//! [`Decoder::finish`] instead of dropped, because providers forget that line after `[DONE]`; and a CR that ends an event
//! ends it at once, without waiting for a LF that may never come. Such a LF begins the `raw` of the next event.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};
use thiserror::Error;

/// One event of the stream. Everything borrows from the bytes just fed or from the decoder's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The last `event` field, if there was one.
    pub name: Option<&'a [u8]>,
    /// The `data` lines joined with LF; `None` if there was no `data` field (comments, keep-alives). Borrowed if there
    /// was one line.
    pub data: Option<Cow<'a, [u8]>>,
    /// The event as it was received, with the blank line that ends it.
    pub raw: &'a [u8],
}

/// An event exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a server-sent event is larger than {limit} bytes")]
pub struct EventTooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// Cuts a byte stream into events.
///
/// Buffers only the tail of a chunk that does not end with an event, and never more than the limit.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// The beginning of an event whose end has not arrived; empty between events.
    tail: Vec<u8>,
    progress: Progress,
    failed: bool,
}

impl Decoder {
    /// A decoder that refuses events above `limit` bytes. Of the CRLF that ends an event only the CR counts.
    pub fn new(limit: usize) -> Self {
        let progress = Progress {
            first: true,
            ..Progress::default()
        };
        Decoder {
            limit,
            tail: Vec::new(),
            progress,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream and reports each event they complete.
    ///
    /// # Errors
    /// An event is larger than the limit; the events before it were reported. Every later call fails too.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        on_event: &mut dyn FnMut(SseEvent<'_>),
    ) -> Result<(), EventTooLarge> {
        if self.failed {
            return Err(EventTooLarge { limit: self.limit });
        }
        let mut rest = bytes;
        if !self.tail.is_empty() {
            rest = self.complete_tail(rest, on_event)?;
        }
        while !rest.is_empty() {
            let Some(end) = self.progress.advance(rest) else {
                self.check(rest.len() - self.progress.carried)?;
                self.tail.extend_from_slice(rest);
                break;
            };
            let (raw, after) = rest.split_at(end);
            self.check(self.progress.size(raw))?;
            on_event(self.progress.event(raw));
            self.progress = Progress::after(raw);
            rest = after;
        }
        Ok(())
    }

    /// The stream has ended: reports a last event that lacks its blank line, or even the end of its last line.
    pub fn finish(&mut self, on_event: &mut dyn FnMut(SseEvent<'_>)) {
        if self.tail.is_empty() || self.failed {
            return;
        }
        self.progress.last_line(&self.tail);
        on_event(self.progress.event(&self.tail));
        self.progress = Progress::after(&self.tail);
        self.tail.clear();
    }

    /// Moves bytes into the buffer, line by line, until its event is complete. Returns what is left of `rest`.
    fn complete_tail<'a>(
        &mut self,
        mut rest: &'a [u8],
        on_event: &mut dyn FnMut(SseEvent<'_>),
    ) -> Result<&'a [u8], EventTooLarge> {
        while !rest.is_empty() {
            let line = match memchr2(LF, CR, rest) {
                Some(at) if rest[at..].starts_with(b"\r\n") => at + 2,
                Some(at) => at + 1,
                None => rest.len(),
            };
            let (line, after) = rest.split_at(line);
            // Before the copy, so that a huge chunk cannot fill the buffer. A LF after CR may be for free.
            let optional = usize::from(line.ends_with(b"\r\n"));
            self.check(self.tail.len() + line.len() - self.progress.carried - optional)?;
            self.tail.extend_from_slice(line);
            rest = after;
            if self.progress.advance(&self.tail).is_some() {
                on_event(self.progress.event(&self.tail));
                self.progress = Progress::after(&self.tail);
                self.tail.clear();
                return Ok(rest);
            }
            self.check(self.tail.len() - self.progress.carried)?;
        }
        Ok(rest)
    }

    fn check(&mut self, size: usize) -> Result<(), EventTooLarge> {
        if size <= self.limit {
            return Ok(());
        }
        self.failed = true;
        self.tail = Vec::new();
        Err(EventTooLarge { limit: self.limit })
    }
}

/// What is known of the event that is being read. All positions count from the event's first byte, so they stay valid when
/// the event moves from the input into the buffer; all lie within the bytes seen so far.
#[derive(Debug, Default)]
struct Progress {
    /// The event is the first of the stream: a byte order mark may stand before it.
    first: bool,
    /// The last line ended with the last byte seen, a CR: a LF that follows belongs to that line end.
    after_cr: bool,
    /// 1 if the event begins with a LF that belongs to the CR which ended the event before; else 0.
    carried: usize,
    /// Where the current line begins.
    line: usize,
    /// Up to where the current line was searched for its end.
    searched: usize,
    name: Option<Range<usize>>,
    /// The first `data` value.
    data: Option<Range<usize>>,
    /// There is more than one `data` line.
    several: bool,
}

impl Progress {
    /// The start of the event that follows `raw`.
    fn after(raw: &[u8]) -> Self {
        Progress {
            after_cr: raw.last() == Some(&CR),
            ..Progress::default()
        }
    }

    /// Reads on in `event`, which begins with the bytes seen before. Returns the length of the event once it is complete.
    fn advance(&mut self, event: &[u8]) -> Option<usize> {
        loop {
            if self.after_cr {
                let next = *event.get(self.line)?;
                self.after_cr = false;
                if next == LF {
                    if self.line == 0 {
                        self.carried = 1;
                    }
                    self.line += 1;
                    self.searched = self.line;
                }
            }
            let Some(length) = memchr2(LF, CR, &event[self.searched..]) else {
                self.searched = event.len();
                return None;
            };
            let end = self.searched + length;
            let next = if event[end..].starts_with(b"\r\n") {
                end + 2
            } else {
                end + 1
            };
            let blank = self.field(event, end);
            if blank {
                return Some(next);
            }
            self.after_cr = event[end] == CR && next == end + 1 && next == event.len();
            self.line = next;
            self.searched = next;
        }
    }

    /// Takes the last line of the stream, which has no line end.
    fn last_line(&mut self, event: &[u8]) {
        if !self.after_cr {
            self.field(event, event.len());
        }
    }

    /// Takes the field of the current line, which ends before `end`. Returns whether the line is blank.
    fn field(&mut self, event: &[u8], end: usize) -> bool {
        let start = self.line + self.mark(event);
        let line = &event[start..end];
        if line.is_empty() {
            return true;
        }
        let Some((field, value)) = split_field(line) else {
            return false;
        };
        match field {
            Field::Data if self.data.is_some() => self.several = true,
            Field::Data => self.data = Some(start + value..end),
            Field::Event => self.name = Some(start + value..end),
        }
        false
    }

    /// The length of the byte order mark that the current line begins with.
    fn mark(&self, event: &[u8]) -> usize {
        if self.first && self.line == 0 && event.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        }
    }

    /// The size that counts against the limit: without the line feeds that may as well stand in the next event.
    fn size(&self, raw: &[u8]) -> usize {
        raw.len() - self.carried - usize::from(raw.ends_with(b"\r\n"))
    }

    fn event<'a>(&self, raw: &'a [u8]) -> SseEvent<'a> {
        let data = self.data.clone().map(|range| {
            if self.several {
                Cow::Owned(join_data(raw, &range))
            } else {
                Cow::Borrowed(&raw[range])
            }
        });
        SseEvent {
            name: self.name.clone().map(|range| &raw[range]),
            data,
            raw,
        }
    }
}

/// The fields we look at; `id`, `retry`, comments and unknown fields only stay in `raw`.
enum Field {
    Data,
    Event,
}

/// The field of a line and where its value begins.
fn split_field(line: &[u8]) -> Option<(Field, usize)> {
    let colon = if line.starts_with(b"data:") {
        4
    } else {
        memchr(b':', line).unwrap_or(line.len())
    };
    let field = match &line[..colon] {
        b"data" => Field::Data,
        b"event" => Field::Event,
        _ => return None,
    };
    let value = if line[colon..].starts_with(b": ") {
        colon + 2
    } else {
        line.len().min(colon + 1)
    };
    Some((field, value))
}

/// Joins the `data` lines of an event that has several. `first` is the value of the first one.
fn join_data(raw: &[u8], first: &Range<usize>) -> Vec<u8> {
    let mut joined = raw[first.clone()].to_vec();
    // A CRLF splits into a line and an empty line, which is no `data` line.
    for line in raw[first.end..].split(|&byte| byte == LF || byte == CR) {
        if let Some((Field::Data, value)) = split_field(line) {
            joined.push(LF);
            joined.extend_from_slice(&line[value..]);
        }
    }
    joined
}

const LF: u8 = b'\n';
const CR: u8 = b'\r';
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = (Option<String>, Option<String>, String);

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn see(chunks: &[&[u8]]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut note = |event: SseEvent<'_>| {
            seen.push((
                event.name.map(text),
                event.data.as_deref().map(text),
                text(event.raw),
            ));
        };
        let mut decoder = Decoder::new(1_000);
        for chunk in chunks {
            decoder.feed(chunk, &mut note).unwrap();
        }
        decoder.finish(&mut note);
        seen
    }

    /// What one whole event says: its name and its data.
    fn only(stream: &str) -> (Option<String>, Option<String>) {
        let mut seen = see(&[stream.as_bytes()]);
        assert_eq!(seen.len(), 1, "{stream:?}");
        let (name, data, raw) = seen.remove(0);
        assert_eq!(raw, stream);
        (name, data)
    }

    #[test]
    fn fields_are_read_by_the_standard() {
        let cases: &[(&str, Option<&str>, Option<&str>)] = &[
            ("data: one\n\n", None, Some("one")),
            ("data:one\n\n", None, Some("one")),
            ("data:  two spaces \n\n", None, Some(" two spaces ")),
            ("data:\tone\n\n", None, Some("\tone")),
            ("data: a: b\n\n", None, Some("a: b")),
            ("data\n\n", None, Some("")),
            ("data:\n\n", None, Some("")),
            ("data: \n\n", None, Some("")),
            ("data\ndata\n\n", None, Some("\n")),
            ("data: a\ndata:\ndata: b\n\n", None, Some("a\n\nb")),
            ("data: a\rdata: b\r\r", None, Some("a\nb")),
            ("data: a\r\ndata: b\r\n\r\n", None, Some("a\nb")),
            ("data: a\r\ndata: b\ndata: c\r\n\r", None, Some("a\nb\nc")),
            ("data: a\n: in between\nid: 1\ndata: b\n\n", None, Some("a\nb")),
            ("event: ping\ndata: {}\n\n", Some("ping"), Some("{}")),
            ("data: {}\nevent:ping\n\n", Some("ping"), Some("{}")),
            ("event: one\nevent: two\n\n", Some("two"), None),
            ("event\n\n", Some(""), None),
            (": keep-alive\n\n", None, None),
            (":\n\n", None, None),
            ("id: 7\nretry: 10\n\n", None, None),
            ("DATA: x\ndatas: x\n data: x\ndat: x\n\n", None, None),
            ("\n", None, None),
            ("\r\n", None, None),
            ("\u{feff}data: one\n\n", None, Some("one")),
            ("\u{feff}\n", None, None),
            ("\u{feff}\u{feff}data: one\n\n", None, None),
            ("data: \u{feff}one\n\n", None, Some("\u{feff}one")),
            ("data: \u{2028}\u{85}\n\n", None, Some("\u{2028}\u{85}")),
        ];
        for (stream, name, data) in cases {
            assert_eq!(
                only(stream),
                (name.map(str::to_owned), data.map(str::to_owned)),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn a_byte_order_mark_counts_only_at_the_start_of_the_stream() {
        let seen = see(&[b"data: a\n\n\xEF\xBB\xBFdata: b\n\n"]);
        assert_eq!(seen[1].1, None);
    }

    #[test]
    fn every_kind_of_line_end_ends_events() {
        for end in ["\n", "\r", "\r\n"] {
            let stream = format!("data: a{end}{end}: c{end}{end}data: b{end}{end}");
            let seen = see(&[stream.as_bytes()]);
            let data: Vec<_> = seen.iter().map(|event| event.1.as_deref()).collect();
            assert_eq!(data, [Some("a"), None, Some("b")], "{end:?}");
            assert_eq!(seen[0].2, format!("data: a{end}{end}"));
        }
    }

    #[test]
    fn an_event_cut_by_the_end_of_the_stream_is_reported() {
        for end in ["", "\n", "\r", "\r\n"] {
            let (name, data) = only(&format!("event: e\ndata: [DONE]{end}"));
            assert_eq!(
                (name.as_deref(), data.as_deref()),
                (Some("e"), Some("[DONE]")),
                "{end:?}"
            );
        }
        assert_eq!(only("data").1.as_deref(), Some(""));
        assert_eq!(see(&[b"data: a\n\n"]).len(), 1);
        assert_eq!(see(&[]), []);
    }

    #[test]
    fn a_carriage_return_ends_an_event_without_waiting_for_a_line_feed() {
        let mut decoder = Decoder::new(100);
        let mut raw = Vec::new();
        decoder
            .feed(b"data: a\r\n\r", &mut |event| raw.push(text(event.raw)))
            .unwrap();
        assert_eq!(raw, ["data: a\r\n\r"]);
        decoder
            .feed(b"\ndata: b\r\n\r\n", &mut |event| raw.push(text(event.raw)))
            .unwrap();
        assert_eq!(raw[1..], ["\ndata: b\r\n\r\n"]);
    }

    #[test]
    fn whole_events_are_borrowed_from_the_input() {
        let input = b"data: tail of one\n\nevent: e\ndata: whole\n\ndata: cut";
        let mut decoder = Decoder::new(100);
        decoder
            .feed(b": begun\n", &mut |_| panic!("nothing is complete"))
            .unwrap();
        let mut borrowed = Vec::new();
        decoder
            .feed(input, &mut |event| {
                let within = input.as_ptr_range().contains(&event.raw.as_ptr());
                borrowed.push((within, matches!(event.data, Some(Cow::Borrowed(_)))));
            })
            .unwrap();
        assert_eq!(borrowed, [(false, true), (true, true)]);
        assert_eq!(decoder.tail, b"data: cut");
    }

    #[test]
    fn the_limit_holds_for_every_cut() {
        for end in ["\n\n", "\r\r", "\r\n\r\n"] {
            // The LF of the last CRLF is for free.
            let stream = format!(": a{end}data: 0123456789{end}");
            let size = 16 + end.trim_end_matches('\n').len().max(2);
            for limit in [size - 1, size, size + 1] {
                for step in 1..=stream.len() {
                    let mut decoder = Decoder::new(limit);
                    let mut events = 0;
                    let result = stream.as_bytes().chunks(step).try_for_each(|chunk| {
                        decoder.feed(chunk, &mut |event| events += usize::from(event.raw.len() > 1))
                    });
                    let expected = if limit < size {
                        Err(EventTooLarge { limit })
                    } else {
                        Ok(())
                    };
                    assert_eq!(result, expected, "{end:?}, limit {limit}, step {step}");
                    assert_eq!(
                        events,
                        if limit < size { 1 } else { 2 },
                        "{end:?}, limit {limit}, step {step}"
                    );
                }
            }
        }
    }

    #[test]
    fn endless_events_do_not_fill_the_memory() {
        for piece in ["0123456789abcdef", "data: 01234567\n", ": 0123\r\n", "\u{feff}"] {
            let mut decoder = Decoder::new(1_000);
            let mut refused = false;
            for _ in 0..2_000 {
                refused |= decoder
                    .feed(piece.as_bytes(), &mut |_| panic!("no event is complete"))
                    .is_err();
                assert!(decoder.tail.capacity() <= 2_000);
            }
            assert!(refused, "{piece:?}");
            decoder.finish(&mut |_| panic!("a refused event is not reported"));
        }
    }

    #[test]
    fn a_huge_chunk_is_refused_without_being_copied() {
        let mut decoder = Decoder::new(1_000);
        decoder.feed(b"data: ", &mut |_| ()).unwrap();
        assert!(decoder.feed(&vec![b'x'; 1 << 20], &mut |_| ()).is_err());
        assert_eq!(decoder.tail.capacity(), 0);
    }
}
