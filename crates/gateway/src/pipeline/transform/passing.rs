//! A stream that is passed on as it came. It is read to know when it begins to answer, whether it ended as its API says, and
//! what it used.

use bytes::Bytes;
use serde_json::json;
use tollgate_dialects::canonical::{DecodeError, Event};
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, codec};

use super::{MAX_EVENT_BYTES, Seen};
use crate::ai::protocol::Protocol;
use crate::ai::reading::{Framing, Reader, WholeFrames, exception};
use crate::error::CallError;
use crate::pipeline::relayed::Relayed;

/// A stream that is passed on as it came.
pub struct Passing {
    protocol: Protocol,
    reader: Reader,
    pieces: Pieces,
    seen: Seen,
}

/// In which pieces a stream is passed on.
enum Pieces {
    /// As it comes, whatever it says. A failure is told by nothing but the end.
    Bytes,
    /// Whole events, which have been read.
    Events {
        relayed: Box<Relayed>,
        /// How many there were.
        count: u64,
    },
    /// Whole frames of Amazon's.
    Frames(WholeFrames),
}

impl Passing {
    /// The beginning of a stream. `unread`: it passes whatever it says.
    pub fn new(protocol: Protocol, framing: Framing, unread: bool, hide_usage: bool) -> Self {
        let pieces = match framing {
            Framing::Sse if !unread => Pieces::Events {
                relayed: Box::new(Relayed::new(MAX_EVENT_BYTES, hide_usage)),
                count: 0,
            },
            Framing::AwsEventStream if !unread => Pieces::Frames(WholeFrames::default()),
            _ => Pieces::Bytes,
        };
        Passing {
            protocol,
            reader: Reader::new(protocol, framing, 0),
            pieces,
            seen: Seen::default(),
        }
    }

    /// What the stream has said so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether whole events are passed on.
    pub fn passes_events(&self) -> bool {
        matches!(self.pieces, Pieces::Events { .. })
    }

    /// Whether the output can be estimated: the API is known, and so is what is missing.
    pub fn is_estimated(&self) -> bool {
        self.is_judged() && !self.reader.facts().foreign
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Before any content: they are not what the API says. Later the client may understand more than we do.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, DecodeError> {
        let reader = &mut self.reader;
        let passed = match &mut self.pieces {
            Pieces::Bytes => {
                reader.feed(bytes);
                Ok(bytes.clone())
            }
            Pieces::Events { relayed, count } => relayed
                .feed(bytes, &mut |event| {
                    *count += u64::from(event.data.is_some());
                    reader.event(event);
                })
                .map_err(|error| DecodeError::new("", error.to_string())),
            Pieces::Frames(frames) => {
                reader.feed(bytes);
                frames
                    .feed(bytes)
                    .map_err(|error| DecodeError::new("", error.to_string()))
            }
        };
        self.note();
        if self.is_judged() && self.reader.facts().unreadable {
            return Err(DecodeError::new("", "an event cannot be read"));
        }
        passed
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete, as far as that can be told.
    pub fn finish(&mut self) -> Result<Bytes, DecodeError> {
        let reader = &mut self.reader;
        let rest = match &mut self.pieces {
            Pieces::Bytes | Pieces::Frames(_) => Bytes::new(),
            Pieces::Events { relayed, .. } => relayed.finish(&mut |event| reader.event(event)),
        };
        self.note();
        let facts = self.reader.facts();
        if self.is_judged() && !self.seen.finished && !facts.foreign && facts.failed.is_none() {
            return Err(DecodeError::new("", "the stream ended before the answer did"));
        }
        Ok(rest)
    }

    /// Tells the client that the stream has failed; where half an event may be under way, by nothing but the end.
    pub fn fail(&mut self, error: &CallError) -> Bytes {
        let error = error.to_provider_error();
        match (&self.pieces, self.protocol) {
            (Pieces::Bytes, _) => Bytes::new(),
            (Pieces::Frames(_), _) => exception("modelStreamErrorException", &error.message),
            (Pieces::Events { count, .. }, Protocol::OpenaiResponses) => {
                let told = codec::encode_error(Dialect::OpenaiChat, &error, None);
                let inner: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
                let inner = &inner["error"];
                // Some clients look for the members of the event, others for those of its error.
                let event = json!({
                    "type": "error", "sequence_number": count, "code": inner["code"], "message": inner["message"],
                    "param": inner["param"], "error": inner,
                });
                format!("event: error\ndata: {event}\n\n").into()
            }
            (Pieces::Events { .. }, protocol) => {
                let client = match protocol {
                    Protocol::AnthropicMessages => Dialect::AnthropicMessages,
                    _ => Dialect::OpenaiChat,
                };
                let mut out = Vec::new();
                StreamEncoder::new(client, &AnswerStyle::default()).encode(
                    &Event::Error(error),
                    &mut Losses::new(),
                    &mut out,
                );
                out.into()
            }
        }
    }

    /// Whether it matters what the stream says.
    fn is_judged(&self) -> bool {
        !matches!(self.pieces, Pieces::Bytes)
    }

    fn note(&mut self) {
        let is_judged = self.is_judged();
        let facts = self.reader.facts();
        let seen = &mut self.seen;
        seen.content = facts.content_seen || facts.foreign;
        seen.ended = facts.ended;
        seen.finished = facts.failed.is_none() && (facts.stopped || (facts.ended && facts.content_seen));
        seen.tool_calls = facts.tool_calls;
        seen.estimated_output = facts.estimated_output;
        if is_judged && seen.failed.is_none() {
            seen.failed.clone_from(&facts.failed);
        }
        if seen.usage != facts.usage {
            seen.usage.clone_from(&facts.usage);
        }
        if seen.model.is_none() {
            seen.model.clone_from(&facts.model);
        }
        if seen.service_tier != facts.service_tier {
            seen.service_tier.clone_from(&facts.service_tier);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tollgate_dialects::canonical::ErrorKind;

    use super::*;

    const CHUNK: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a word\"},\"finish_reason\":null}]}\n\n";
    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

    fn passing(protocol: Protocol, stream: &str) -> Result<Passing, DecodeError> {
        let mut passing = Passing::new(protocol, Framing::Sse, false, false);
        for piece in stream.as_bytes().chunks(7) {
            passing.feed(&Bytes::copy_from_slice(piece))?;
        }
        Ok(passing)
    }

    #[test]
    fn a_stream_that_stops_without_a_reason_is_cut() {
        let mut cut = passing(Protocol::OpenaiChat, CHUNK).unwrap();
        assert!(cut.finish().is_err());
        assert!(cut.is_estimated() && !cut.seen().finished && cut.seen().estimated_output > 0);
        let mut whole = passing(Protocol::OpenaiChat, &format!("{CHUNK}{STOP}")).unwrap();
        assert!(
            whole.finish().is_ok() && whole.seen().finished,
            "the end mark may be missing"
        );
    }

    #[test]
    fn an_end_without_an_answer_is_none() {
        let mut empty = passing(Protocol::OpenaiChat, "data: [DONE]\n\n").unwrap();
        assert!(empty.seen().ended && empty.finish().is_err());
    }

    #[test]
    fn what_is_no_json_is_refused_before_content_only() {
        assert!(passing(Protocol::OpenaiChat, "data: <html>\n\n").is_err());
        let mut at_once = Passing::new(Protocol::OpenaiChat, Framing::Sse, false, false);
        assert!(at_once.feed(&format!("data: <html>\n\n{CHUNK}").into()).is_err());
        assert!(passing(Protocol::OpenaiChat, &format!("{CHUNK}data: <html>\n\n{STOP}")).is_ok());
        assert!(
            passing(Protocol::Passthrough, "data: {}\n\n")
                .unwrap()
                .finish()
                .is_ok()
        );
    }

    #[test]
    fn each_client_is_told_of_a_failure_in_its_own_api() {
        let error = CallError::upstream(
            http::StatusCode::BAD_GATEWAY,
            ErrorKind::Server,
            "upstream_connection_lost",
            "it was lost",
            "",
        );
        let event = |protocol| {
            let mut passing = Passing::new(protocol, Framing::Sse, false, false);
            let bytes = passing.feed(&Bytes::from_static(b"data: {\"type\":\"response.created\"}\n\n"));
            assert!(bytes.is_ok());
            String::from_utf8(passing.fail(&error).to_vec()).unwrap()
        };
        let responses = event(Protocol::OpenaiResponses);
        let told: serde_json::Value =
            serde_json::from_str(responses.strip_prefix("event: error\ndata: ").unwrap()).unwrap();
        assert_eq!(told["type"], "error");
        assert_eq!(told["sequence_number"], 1);
        assert_eq!(
            (&told["message"], &told["error"]["message"]),
            (&json!("it was lost"), &json!("it was lost"))
        );
        assert!(event(Protocol::AnthropicMessages).starts_with("event: error\ndata: {\"type\":\"error\""));
        assert!(event(Protocol::OpenaiChat).starts_with("data: {\"error\":"));
        let mut frames = Passing::new(Protocol::BedrockConverse, Framing::AwsEventStream, false, false);
        let mut read = Passing::new(Protocol::BedrockConverse, Framing::AwsEventStream, false, false);
        read.feed(&frames.fail(&error)).unwrap();
        assert_eq!(
            read.seen().failed.as_ref().map(|failed| failed.message.as_str()),
            Some("it was lost")
        );
    }

    #[test]
    fn unread_streams_pass_whatever_they_say() {
        let mut unread = Passing::new(Protocol::OpenaiChat, Framing::Sse, true, false);
        let bytes = Bytes::from_static(b"data: <html>\n\ndata: {\"error\":{\"message\":\"x\"}}");
        assert_eq!(unread.feed(&bytes).unwrap(), bytes);
        assert!(unread.finish().is_ok() && unread.seen().failed.is_none() && !unread.is_estimated());
    }
}
