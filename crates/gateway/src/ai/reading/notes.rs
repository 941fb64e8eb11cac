//! What the events and documents of each API tell.

use std::sync::LazyLock;

use aws_smithy_types::event_stream::Message;
use memchr::memmem::Finder;
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{Ext, Usage};
use tollgate_dialects::glance::content_only;
use tollgate_dialects::sse::SseEvent;

use super::pick::{count, each, pick, text};
use super::{Facts, usage};
use crate::ai::protocol::Protocol;

/// What is known of an answer so far.
pub(super) struct Notes {
    protocol: Protocol,
    facts: Facts,
    max_text_bytes: usize,
    /// The answer said why it stops; only its very last event may be missing.
    stopped: bool,
    /// All members of usage objects so far.
    usage: Ext,
}

impl Notes {
    pub(super) fn new(protocol: Protocol, max_text_bytes: usize) -> Self {
        Notes {
            protocol,
            facts: Facts::default(),
            max_text_bytes,
            stopped: false,
            usage: Ext::default(),
        }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn finish(mut self) -> Facts {
        self.facts.ended |= self.stopped;
        self.facts
    }

    /// Takes a server-sent event.
    pub(super) fn event(&mut self, event: &SseEvent<'_>) {
        if self.is_more_of_the_same(event) {
            return;
        }
        let Some(data) = event
            .data
            .as_deref()
            .and_then(|data| std::str::from_utf8(data).ok())
        else {
            return;
        };
        let name = event.name.and_then(|name| std::str::from_utf8(name).ok());
        match self.protocol {
            Protocol::OpenaiResponses => self.responses_event(name, data),
            Protocol::AnthropicMessages => self.anthropic_event(name, data),
            Protocol::BedrockConverse | Protocol::VertexPredict => {}
            Protocol::OpenaiChat | Protocol::OpenaiEmbeddings | Protocol::Passthrough => {
                if data.trim() == "[DONE]" {
                    self.facts.ended = true;
                } else {
                    self.chat(data, "");
                }
            }
        }
    }

    /// Takes a whole document.
    pub(super) fn document(&mut self, json: &str) {
        let whole = pick(json, [""; 0]).is_some();
        match self.protocol {
            Protocol::OpenaiResponses => self.responses_body(json, true),
            Protocol::AnthropicMessages => self.anthropic_body(json),
            Protocol::BedrockConverse => self.bedrock_body(json),
            Protocol::VertexPredict => self.predictions(json),
            Protocol::OpenaiChat | Protocol::OpenaiEmbeddings | Protocol::Passthrough => self.chat(json, " "),
        }
        self.facts.ended |= whole;
    }

    /// Takes one of Amazon's frames.
    pub(super) fn frame(&mut self, frame: &Message) {
        let header = |name: &str| {
            let found = frame
                .headers()
                .iter()
                .find(|header| header.name().as_str() == name)?;
            found.value().as_string().ok().map(|value| value.as_str())
        };
        if matches!(header(":message-type"), Some("exception" | "error")) {
            let kind = header(":exception-type").or_else(|| header(":error-code"));
            self.fail(kind.unwrap_or(UNNAMED));
            return;
        }
        let (Some(kind), Ok(json)) = (header(":event-type"), std::str::from_utf8(frame.payload())) else {
            return;
        };
        match kind {
            "contentBlockStart" => {
                if let Some([Some(start)]) = pick(json, ["start"])
                    && let Some([Some(_)]) = pick(start, ["toolUse"])
                {
                    self.call_tool();
                }
            }
            "contentBlockDelta" => {
                if let Some([Some(delta)]) = pick(json, ["delta"])
                    && let Some([said, call, thought]) = pick(delta, ["text", "toolUse", "reasoningContent"])
                {
                    self.say(said, "");
                    self.facts.content_seen |= call.is_some() || thought.is_some();
                }
            }
            "messageStop" => self.stopped = true,
            "metadata" => {
                let [usage] = pick(json, ["usage"]).unwrap_or_default();
                self.count(usage);
                self.facts.ended = true;
            }
            _ => {}
        }
    }

    /// Whether an event holds nothing but another piece of content, of which nothing is kept.
    fn is_more_of_the_same(&self, event: &SseEvent<'_>) -> bool {
        if self.max_text_bytes > 0 || !self.facts.content_seen {
            return false;
        }
        match self.protocol {
            Protocol::OpenaiChat => {
                self.facts.model.is_some()
                    && content_only(Dialect::OpenaiChat, event).is_some()
                    && (self.facts.tool_calls || !CALLS.iter().any(|name| name.find(event.raw).is_some()))
            }
            Protocol::AnthropicMessages => event.name == Some(b"content_block_delta"),
            Protocol::OpenaiResponses => event.name.is_some_and(|name| name.ends_with(b".delta")),
            _ => false,
        }
    }

    /// A chunk or document of OpenAI's chat, of its embeddings, and of what looks like them.
    fn chat(&mut self, json: &str, between: &str) {
        let keys = ["choices", "usage", "model", "error", "data"];
        let Some([choices, usage, model, error, data]) = pick(json, keys) else {
            return;
        };
        self.answered_by(model);
        self.failure(error);
        self.count(usage);
        self.facts.content_seen |= is_filled(data);
        each(choices, |choice| {
            let Some([delta, message, reason, plain]) =
                pick(choice, ["delta", "message", "finish_reason", "text"])
            else {
                return;
            };
            self.stopped |= reason.is_some_and(|reason| reason != "\"\"" && reason != "\"null\"");
            self.say(plain, between);
            self.chat_part(delta.or(message).unwrap_or_default(), between);
        });
    }

    fn chat_part(&mut self, json: &str, between: &str) {
        let Some([content, calls, call, thought, reasoning, refusal]) = pick(
            json,
            [
                "content",
                "tool_calls",
                "function_call",
                "reasoning_content",
                "reasoning",
                "refusal",
            ],
        ) else {
            return;
        };
        self.say(content, between);
        each(content.filter(|content| content.starts_with('[')), |part| {
            let [said] = pick(part, ["text"]).unwrap_or_default();
            self.say(said, between);
            self.facts.content_seen = true;
        });
        if is_filled(calls) || call.is_some_and(|call| call.starts_with('{')) {
            self.call_tool();
        }
        let other = [thought, reasoning, refusal];
        self.facts.content_seen |= other.into_iter().any(is_filled);
    }

    fn responses_event(&mut self, name: Option<&str>, data: &str) {
        let keys = ["type", "response", "delta", "item", "error", "code"];
        let Some([kind, response, delta, item, error, code]) = pick(data, keys) else {
            return;
        };
        let kind = text(kind);
        match kind.as_deref().or(name).unwrap_or_default() {
            "response.output_text.delta" => self.say(delta, ""),
            "response.output_item.added" | "response.output_item.done" => self.output_item(item, false),
            "response.completed" | "response.incomplete" => {
                self.responses_body(response.unwrap_or_default(), false);
                self.facts.ended = true;
            }
            "response.failed" => {
                self.responses_body(response.unwrap_or_default(), false);
                self.fail(UNNAMED);
            }
            "error" => {
                self.failure(error);
                self.fail(text(code).as_deref().unwrap_or(UNNAMED));
            }
            kind if kind.ends_with(".delta") => self.facts.content_seen |= is_filled(delta),
            _ => {
                let [model] = pick(response.unwrap_or_default(), ["model"]).unwrap_or_default();
                self.answered_by(model);
            }
        }
    }

    fn responses_body(&mut self, json: &str, whole: bool) {
        let keys = ["model", "usage", "output", "error"];
        let Some([model, usage, output, error]) = pick(json, keys) else {
            return;
        };
        self.answered_by(model);
        self.count(usage);
        self.failure(error);
        each(output, |item| self.output_item(Some(item), whole));
    }

    /// An item of OpenAI's responses. Its text counts if it was not heard before.
    fn output_item(&mut self, item: Option<&str>, with_text: bool) {
        let [kind, content] = pick(item.unwrap_or_default(), ["type", "content"]).unwrap_or_default();
        match text(kind).as_deref() {
            Some("function_call" | "custom_tool_call") => self.call_tool(),
            Some("message") if with_text => each(content, |part| {
                let [kind, said] = pick(part, ["type", "text"]).unwrap_or_default();
                if kind == Some("\"output_text\"") {
                    self.say(said, " ");
                }
                self.facts.content_seen = true;
            }),
            _ => {}
        }
    }

    fn anthropic_event(&mut self, name: Option<&str>, data: &str) {
        let keys = ["type", "message", "delta", "content_block", "usage", "error"];
        let Some([kind, message, delta, block, usage, error]) = pick(data, keys) else {
            return;
        };
        let kind = text(kind);
        match kind.as_deref().or(name).unwrap_or_default() {
            "message_start" => {
                let [model, usage] =
                    pick(message.unwrap_or_default(), ["model", "usage"]).unwrap_or_default();
                self.answered_by(model);
                self.count(usage);
            }
            "content_block_start" => {
                let [kind] = pick(block.unwrap_or_default(), ["type"]).unwrap_or_default();
                if kind == Some("\"tool_use\"") {
                    self.call_tool();
                }
            }
            "content_block_delta" => {
                let keys = ["text", "thinking", "partial_json"];
                let [said, thought, call] = pick(delta.unwrap_or_default(), keys).unwrap_or_default();
                self.say(said, "");
                self.facts.content_seen |= is_filled(thought) || is_filled(call);
            }
            "message_delta" => self.count(usage),
            "message_stop" => self.facts.ended = true,
            "error" => {
                self.failure(error);
                self.fail(UNNAMED);
            }
            _ => {}
        }
    }

    fn anthropic_body(&mut self, json: &str) {
        let keys = ["model", "usage", "content", "error"];
        let Some([model, usage, content, error]) = pick(json, keys) else {
            return;
        };
        self.answered_by(model);
        self.count(usage);
        self.failure(error);
        each(content, |block| {
            let [kind, said] = pick(block, ["type", "text"]).unwrap_or_default();
            match kind {
                Some("\"tool_use\"") => self.call_tool(),
                Some("\"text\"") => self.say(said, " "),
                _ => {}
            }
            self.facts.content_seen = true;
        });
    }

    fn bedrock_body(&mut self, json: &str) {
        let Some([output, usage]) = pick(json, ["output", "usage"]) else {
            return;
        };
        self.count(usage);
        let [message] = pick(output.unwrap_or_default(), ["message"]).unwrap_or_default();
        let [content] = pick(message.unwrap_or_default(), ["content"]).unwrap_or_default();
        each(content, |block| {
            let [said, call] = pick(block, ["text", "toolUse"]).unwrap_or_default();
            self.say(said, " ");
            if call.is_some() {
                self.call_tool();
            }
            self.facts.content_seen = true;
        });
    }

    /// Google's predictions; each tells its own tokens.
    fn predictions(&mut self, json: &str) {
        let Some([predictions, error]) = pick(json, ["predictions", "error"]) else {
            return;
        };
        self.failure(error);
        let mut tokens = None;
        each(predictions, |prediction| {
            let [embeddings] = pick(prediction, ["embeddings"]).unwrap_or_default();
            let [values, statistics] =
                pick(embeddings.unwrap_or_default(), ["values", "statistics"]).unwrap_or_default();
            self.facts.content_seen |= is_filled(values);
            let [said] = pick(statistics.unwrap_or_default(), ["token_count"]).unwrap_or_default();
            if let Some(said) = said.and_then(count) {
                tokens = Some(said.saturating_add(tokens.unwrap_or(0)));
            }
        });
        self.facts.usage = tokens.map(|input| Usage {
            input,
            ..Usage::default()
        });
    }

    /// Takes a usage object, or anything else that stands in its place.
    fn count(&mut self, json: Option<&str>) {
        if let Some(json) = json.filter(|json| json.starts_with('{')) {
            usage::merge(&mut self.usage, json);
            self.facts.usage = usage::read(self.protocol, &self.usage);
        }
    }

    fn answered_by(&mut self, model: Option<&str>) {
        if self.facts.model.is_none() {
            self.facts.model = text(model)
                .filter(|model| !model.is_empty())
                .map(|model| model.chars().take(MAX_NAME_CHARS).collect());
        }
    }

    /// A JSON string of the answer.
    fn say(&mut self, raw: Option<&str>, between: &str) {
        let Some(raw) = raw.filter(|raw| raw.len() > 2 && raw.starts_with('"')) else {
            return;
        };
        self.facts.content_seen = true;
        if self.max_text_bytes == 0 {
            return;
        }
        let Some(said) = text(Some(raw)) else { return };
        let kept = self.facts.text.get_or_insert_default();
        for piece in [if kept.is_empty() { "" } else { between }, &*said] {
            let room = self.max_text_bytes.saturating_sub(kept.len());
            kept.push_str(piece.get(..piece.floor_char_boundary(room)).unwrap_or_default());
        }
    }

    fn call_tool(&mut self) {
        self.facts.tool_calls = true;
        self.facts.content_seen = true;
    }

    /// An `error` member, in whatever form.
    fn failure(&mut self, error: Option<&str>) {
        let Some(error) = error.filter(|error| !matches!(*error, "false" | "\"\"")) else {
            return;
        };
        let [code, kind, status] = pick(error, ["code", "type", "status"]).unwrap_or_default();
        let name = text(code).or_else(|| text(kind)).or_else(|| text(status));
        self.fail(name.as_deref().or(code).unwrap_or(UNNAMED));
    }

    /// The vendor says that it failed. What it said first counts.
    fn fail(&mut self, name: &str) {
        self.facts
            .failed
            .get_or_insert_with(|| name.chars().take(MAX_NAME_CHARS).collect());
        self.facts.ended = true;
    }
}

/// Whether something stands in a string, array or object.
fn is_filled(raw: Option<&str>) -> bool {
    let Some(raw) = raw.filter(|raw| raw.starts_with(['"', '[', '{'])) else {
        return false;
    };
    let inner = raw.get(1..raw.len() - 1).unwrap_or_default();
    if raw.starts_with('"') {
        !inner.is_empty()
    } else {
        !inner.trim().is_empty()
    }
}

/// Keys behind which OpenAI's chunks call tools.
static CALLS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new("\"tool_calls\""), Finder::new("\"function_call\"")]);

/// What a failure without a name is called.
const UNNAMED: &str = "error";

/// Longest name of a model or failure that is kept, in characters.
const MAX_NAME_CHARS: usize = 256;
