//! What is said in a model call, kept for log entries of routes that want it: the messages of the request as they were
//! written, and the text of the answer, read off the bytes that the client is given.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use tollgate_dialects::Dialect;
use tollgate_telemetry::{Part, Payload, PayloadRules, REDACTED};

use super::super::ask::Asked;
use crate::ai::protocol::Protocol;
use crate::ai::reading::{Framing, Reader};

/// What is kept of one call.
pub(super) struct Words {
    messages: Option<Said>,
    answer: Answer,
    max_bytes: usize,
    hides_answer: bool,
}

/// The text of the answer.
enum Answer {
    /// Nothing was answered yet, in an API that can be read, or not.
    Waited(Option<Protocol>),
    Heard(Box<Reader>),
    Told(Option<Said>),
}

struct Said {
    text: String,
    is_cut: bool,
}

impl Said {
    /// The text, cut where it is too long.
    fn within(text: &str, max_bytes: usize) -> Said {
        let end = text.floor_char_boundary(max_bytes);
        Said {
            text: text.get(..end).unwrap_or_default().to_owned(),
            is_cut: end < text.len(),
        }
    }

    fn part(&self) -> Part<'_> {
        Part {
            text: &self.text,
            is_cut: self.is_cut,
        }
    }
}

impl Words {
    /// The protocol in which answers are read that a client of our own endpoints is given.
    pub(super) fn protocol_of(dialect: Dialect) -> Option<Protocol> {
        match dialect {
            Dialect::OpenaiChat => Some(Protocol::OpenaiChat),
            Dialect::OpenaiResponses => Some(Protocol::OpenaiResponses),
            Dialect::AnthropicMessages => Some(Protocol::AnthropicMessages),
            Dialect::BedrockConverse => Some(Protocol::BedrockConverse),
            Dialect::Gemini | Dialect::CohereChat => None,
        }
    }

    /// Keeps what the request says. `protocol` is the client's, if answers in it can be read.
    pub(super) fn new(protocol: Option<Protocol>, asked: &Asked, rules: &PayloadRules) -> Self {
        let member = |name: &&'static str| Some((*name, asked.members.value(&asked.body, name)?));
        let named = MESSAGES.iter().find_map(member);
        let messages = named.map(|(name, raw)| match rules.redacted(name, raw) {
            Some(redacted) => Said::within(&redacted, rules.max_bytes),
            None => Said::within(raw, rules.max_bytes),
        });
        Words {
            messages,
            answer: Answer::Waited(protocol),
            max_bytes: rules.max_bytes,
            hides_answer: rules.hides_answer(),
        }
    }

    /// The answer has these headers.
    pub(super) fn answered_with(&mut self, headers: &HeaderMap) {
        let Answer::Waited(Some(protocol)) = self.answer else {
            return;
        };
        let media_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        // One more than is told, so that it is known whether something was cut.
        let kept = self.max_bytes.saturating_add(MAX_CHARACTER);
        self.answer = Answer::Heard(Box::new(Reader::new(protocol, Framing::of(media_type), kept)));
    }

    /// The next bytes of the answer.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if let Answer::Heard(reader) = &mut self.answer {
            reader.feed(bytes);
        }
    }

    /// The call has ended.
    pub(super) fn finish(&mut self) {
        let answer = std::mem::replace(&mut self.answer, Answer::Told(None));
        if let Answer::Heard(reader) = answer {
            let text = reader.finish().text;
            self.answer = Answer::Told(text.map(|text| match self.hides_answer {
                true => Said::within(REDACTED, usize::MAX),
                false => Said::within(&text, self.max_bytes),
            }));
        }
    }

    /// What log entries tell.
    pub(super) fn told(&self) -> Payload<'_> {
        Payload {
            messages: self.messages.as_ref().map(Said::part),
            text: match &self.answer {
                Answer::Told(text) => text.as_ref().map(Said::part),
                Answer::Waited(_) | Answer::Heard(_) => None,
            },
        }
    }
}

/// Members of requests that hold what is said, by API.
const MESSAGES: [&str; 6] = ["messages", "input", "contents", "instances", "prompt", "query"];

/// Bytes of a character at most.
const MAX_CHARACTER: usize = 4;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tollgate_dialects::scan::scan;
    use tollgate_telemetry::Redaction;

    use super::*;

    fn words(body: &str, rules: &PayloadRules, protocol: Protocol) -> Words {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let asked = Asked {
            members: scan(&body).unwrap(),
            body,
            model: "".into(),
            stream: false,
            include_usage: false,
            is_kept: false,
        };
        Words::new(Some(protocol), &asked, rules)
    }

    fn answered(words: &mut Words, media_type: &'static str, bytes: &[u8], cut_at: usize) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
        words.answered_with(&headers);
        let (begin, end) = bytes.split_at(cut_at);
        words.hear(begin);
        words.hear(end);
        words.finish();
    }

    const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hé\"}}]}\n\n\
                          data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"}}]}\n\ndata: [DONE]\n\n";

    #[test]
    fn the_text_of_a_stream_is_joined_however_it_is_cut() {
        for cut_at in 0..STREAM.len() {
            let mut words = words(
                r#"{"messages": [ {"role":"user"} ]}"#,
                &PayloadRules::default(),
                Protocol::OpenaiChat,
            );
            answered(&mut words, "text/event-stream", STREAM.as_bytes(), cut_at);
            let told = words.told();
            assert_eq!(told.messages.unwrap().text, r#"[ {"role":"user"} ]"#);
            assert_eq!(
                told.text,
                Some(Part {
                    text: "héllo",
                    is_cut: false
                })
            );
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_said_to_be() {
        let rules = |max_bytes| PayloadRules {
            max_bytes,
            ..PayloadRules::default()
        };
        for (max_bytes, text, is_cut) in [(2, "h", true), (3, "hé", true), (6, "héllo", false)] {
            let mut words = words(r#"{"input":"x"}"#, &rules(max_bytes), Protocol::OpenaiChat);
            answered(&mut words, "text/event-stream", STREAM.as_bytes(), 0);
            assert_eq!(words.told().text, Some(Part { text, is_cut }));
        }
        let words = words(r#"{"messages":"abc"}"#, &rules(3), Protocol::OpenaiChat);
        assert_eq!(
            words.told().messages,
            Some(Part {
                text: "\"ab",
                is_cut: true
            })
        );
    }

    #[test]
    fn redacted_parts_are_in_neither() {
        let rules = PayloadRules {
            redactions: ["messages[].content", "answer"]
                .map(|name| Redaction::parse(name).unwrap())
                .into(),
            ..PayloadRules::default()
        };
        let body = r#"{"messages":[{"role":"user","content":"planted"}]}"#;
        let mut words = words(body, &rules, Protocol::AnthropicMessages);
        let answer = br#"{"type":"message","role":"assistant","content":[{"type":"text","text":"planted"}]}"#;
        answered(&mut words, "application/json", answer, 10);
        let told = words.told();
        assert!(!told.messages.unwrap().text.contains("planted"));
        assert_eq!(told.text.unwrap().text, REDACTED);
    }

    #[test]
    fn answers_without_text_tell_none() {
        let mut words = words(r#"{"model":"m"}"#, &PayloadRules::default(), Protocol::OpenaiChat);
        answered(
            &mut words,
            "application/json",
            br#"{"error":{"message":"no"}}"#,
            0,
        );
        assert_eq!(words.told(), Payload::default());
    }
}
