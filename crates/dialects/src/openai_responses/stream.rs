//! Streamed answers, read: frames, the events that tell about the answer as a whole, and when it is complete.
//!
//! Items are told apart by `output_index`; ids change between events at some vendors. Never taken for complete: a stream
//! that ends before `response.completed` or `response.incomplete`.

use super::error::decode_error_inside;
use super::response::{take_created, take_usage};
use super::stop::{self, Contains};
use super::stream_items::Items;
use super::{ORIGIN, item};
use crate::canonical::{DecodeError, Event, Ext};
use crate::json::{Object, RawJson};
use crate::openai_chat;
use crate::sse::{self, SseEvent};

/// The field of an [`Event::Opaque`] that tells how far a tool of the provider is, or the answer itself. It is an event of
/// this dialect as it was written; what it leads to comes with the parts.
pub(crate) const PROGRESS: &str = "progress";

/// Reads a streamed answer, fed in pieces cut anywhere.
#[derive(Debug)]
pub struct StreamDecoder {
    frames: sse::Decoder,
    answer: Answer,
}

impl StreamDecoder {
    /// A decoder at the beginning of a stream. Events above `max_event_bytes` are refused.
    pub fn new(max_event_bytes: usize) -> Self {
        StreamDecoder {
            frames: sse::Decoder::new(max_event_bytes),
            answer: Answer::default(),
        }
    }

    /// Takes the next bytes and reports the events they complete. After an [`Event::Error`] or an [`Event::End`] the rest is
    /// ignored.
    ///
    /// # Errors
    /// An event is too large, or is not what this dialect says; the decoder must not be used any more.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { frames, answer } = self;
        let mut result = Ok(());
        let framed = frames.feed(bytes, &mut |event| {
            if result.is_ok() {
                result = answer.frame(&event, sink);
            }
        });
        result.and_then(|()| framed.map_err(|error| DecodeError::new("", error.to_string())))
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete, or its last event is wrong.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { frames, answer } = self;
        let mut result = Ok(());
        frames.finish(&mut |event| {
            if result.is_ok() {
                result = answer.frame(&event, sink);
            }
        });
        result.and_then(|()| answer.close())
    }
}

#[derive(Debug, Default)]
struct Answer {
    /// The end or an error was seen.
    over: bool,
    started: bool,
    /// The members of the answer as they were last told.
    members: Ext,
    service_tier: Option<String>,
    items: Items,
}

impl Answer {
    fn frame(&mut self, frame: &SseEvent<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.over {
            return Ok(());
        }
        let Some(data) = &frame.data else {
            let mut lines = frame.raw.split(|byte| matches!(byte, b'\n' | b'\r'));
            if lines.any(|line| line.starts_with(b":")) {
                sink(Event::Ping);
            }
            return Ok(());
        };
        let data = data.trim_ascii();
        // Some vendors end as Chat Completions does; what ends an answer is its last event.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let named_error = frame.name == Some(b"error".as_slice());
        let text = match std::str::from_utf8(data) {
            Ok(text) => text,
            Err(_) if named_error => "",
            Err(_) => return Err(DecodeError::new("", "an event of the stream is not UTF-8")),
        };
        if named_error && !text.starts_with('{') {
            self.over = true;
            sink(Event::Error(openai_chat::decode_error(500, text.as_bytes())));
            return Ok(());
        }
        self.event(text, frame.name, sink)
    }

    fn event(
        &mut self,
        text: &str,
        name: Option<&[u8]>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut event = Object::parse(text, "")?;
        let kind = match event.take_string("type")? {
            Some(kind) => kind,
            None => String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
        };
        match kind.as_str() {
            "response.created" => {
                let response = event.take_object("response")?;
                self.about(response, sink).map(drop)
            }
            "response.queued" | "response.in_progress" => {
                let response = event.take_object("response")?;
                self.about(response, sink)?;
                progress(text, sink)
            }
            "response.completed" | "response.incomplete" | "response.done" => {
                let response = event.take_object("response")?;
                self.end(response, sink)
            }
            "error" | "response.failed" | "response.cancelled" => {
                self.fail(text, sink);
                Ok(())
            }
            // An error without a type, as gateways in between write it.
            "" if event.has("error") => {
                self.fail(text, sink);
                Ok(())
            }
            _ => {
                self.start_unasked(sink);
                if self.items.event(&kind, event, sink)? {
                    return Ok(());
                }
                progress(text, sink)
            }
        }
    }

    /// A vendor that does not begin with `response.created` has begun all the same.
    fn start_unasked(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        if self.started {
            return;
        }
        self.started = true;
        sink(Event::Start {
            origin: ORIGIN,
            id: String::new(),
            model: String::new(),
            created: None,
            service_tier: None,
            ext: Ext::default(),
        });
    }

    /// Reports the start, or which members changed since; returns the output, which is told by its own events.
    fn about<'a>(
        &mut self,
        response: Option<Object<'a>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<crate::json::Raw<'a>>, DecodeError> {
        let Some(mut response) = response else {
            self.start_unasked(sink);
            return Ok(Vec::new());
        };
        let nulls = response.take_nulls();
        let output = response.take_array("output")?.unwrap_or_default();
        let id = response.take_string("id")?.unwrap_or_default();
        let model = response.take_string("model")?.unwrap_or_default();
        let created = take_created(&mut response);
        let usage = take_usage(&mut response);
        let service_tier = response.take_string("service_tier")?;
        let members = openai_chat::ext::leftover(response, nulls);
        if !self.started {
            self.started = true;
            self.members = members.clone();
            self.service_tier.clone_from(&service_tier);
            sink(Event::Start {
                origin: ORIGIN,
                id,
                model,
                created,
                service_tier,
                ext: members,
            });
        } else {
            if service_tier.is_some() && service_tier != self.service_tier {
                sink(Event::Opaque {
                    field: "service_tier".to_owned(),
                    raw: service_tier
                        .as_deref()
                        .map_or_else(RawJson::null, RawJson::string),
                });
                self.service_tier = service_tier;
            }
            for (field, raw) in members.0 {
                if self.members.get(&field) != Some(&raw) {
                    self.members.0.retain(|(name, _)| *name != field);
                    self.members.0.push((field.clone(), raw.clone()));
                    sink(Event::Opaque { field, raw });
                }
            }
        }
        if let Some(usage) = usage {
            sink(Event::Usage(usage));
        }
        Ok(output)
    }

    fn end(
        &mut self,
        response: Option<Object<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let output = self.about(response, sink)?;
        self.items.close(sink);
        // Some proxies tell the answer only here.
        if self.items.is_empty() {
            for (i, raw) in output.into_iter().enumerate() {
                let path = crate::path::item("response.output", i);
                self.items.whole(item::decode(raw, &path)?, sink);
            }
        }
        self.over = true;
        let stop = stop::decode(
            self.members.get("status"),
            self.members.get("incomplete_details"),
            Contains {
                calls: self.items.has_calls(),
                refusal: self.items.has_refusal(),
            },
        );
        sink(Event::Stop { choice: 0, stop });
        sink(Event::End);
        Ok(())
    }

    fn fail(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) {
        self.over = true;
        sink(Event::Error(decode_error_inside(text)));
    }

    fn close(&self) -> Result<(), DecodeError> {
        if self.over {
            Ok(())
        } else {
            Err(DecodeError::new(
                "",
                "the stream ended before the answer was complete",
            ))
        }
    }
}

fn progress(text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
    let raw =
        RawJson::parse(text).map_err(|error| DecodeError::new("", format!("is not valid JSON: {error}")))?;
    sink(Event::Opaque {
        field: PROGRESS.to_owned(),
        raw,
    });
    Ok(())
}
