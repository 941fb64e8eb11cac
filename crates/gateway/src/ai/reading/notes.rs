//! What the events and documents of each API tell.

use std::sync::LazyLock;

use aws_smithy_types::event_stream::Message;
use memchr::memmem::Finder;
use serde::de::IgnoredAny;
use tollgate_dialects::canonical::{Ext, ProviderError, Usage};
use tollgate_dialects::glance::{content_only, string_behind};
use tollgate_dialects::json::Object;
use tollgate_dialects::passing;
use tollgate_dialects::sse::SseEvent;
use tollgate_dialects::{Dialect, estimate};

use super::pick::{count, each, members, pick, text};
use super::{Facts, failure, usage};
use crate::ai::protocol::Protocol;

/// What is known of an answer so far.
pub(super) struct Notes {
    protocol: Protocol,
    facts: Facts,
    max_text_bytes: usize,
    /// All members of usage objects so far.
    usage: Ext,
}

impl Notes {
    pub(super) fn new(protocol: Protocol, max_text_bytes: usize) -> Self {
        Notes {
            protocol,
            facts: Facts::default(),
            max_text_bytes,
            usage: Ext::default(),
        }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn finish(mut self) -> Facts {
        // Only its very last event may be missing.
        self.facts.ended |= self.facts.stopped;
        self.facts
    }

    /// The answer is too large to be read, and may be a good one.
    pub(super) fn unread(&mut self) {
        self.facts.foreign = true;
    }

    /// The answer is not framed as it says, so nothing more of it can be read.
    pub(super) fn lost(&mut self) {
        self.facts.unreadable |= !self.facts.content_seen && !self.facts.foreign;
    }

    /// Takes a server-sent event.
    pub(super) fn event(&mut self, event: &SseEvent<'_>) {
        // What comes behind the end is no part of the answer.
        if self.facts.ended {
            return;
        }
        let piece = self.piece(event);
        if let Some(piece) = piece.and_then(|piece| std::str::from_utf8(piece).ok()) {
            self.facts.estimated_output += estimate::tokens(piece);
        }
        if self.is_more_of_the_same(event, piece.is_some()) {
            return;
        }
        let Some(data) = event.data.as_deref() else {
            return;
        };
        let Ok(data) = std::str::from_utf8(data) else {
            return self.lost();
        };
        // Some vendors keep connections alive with empty data.
        if data.trim().is_empty() {
            return;
        }
        let name = event.name.and_then(|name| std::str::from_utf8(name).ok());
        match self.protocol {
            Protocol::OpenaiResponses => self.responses_event(name, data),
            Protocol::AnthropicMessages => self.anthropic_event(name, data),
            Protocol::BedrockConverse | Protocol::VertexPredict => self.facts.foreign = true,
            Protocol::OpenaiChat | Protocol::OpenaiEmbeddings | Protocol::Passthrough => {
                if data.trim() == "[DONE]" {
                    self.facts.ended = true;
                } else if self.chat(data, true).is_none() {
                    self.no_object(data);
                }
            }
        }
    }

    /// The piece of content that an event is, as it stands in the JSON; `None` if it is something else or more than that.
    fn piece<'a>(&self, event: &'a SseEvent<'_>) -> Option<&'a [u8]> {
        match self.protocol {
            Protocol::OpenaiChat => content_only(Dialect::OpenaiChat, event),
            Protocol::AnthropicMessages => content_only(Dialect::AnthropicMessages, event),
            Protocol::OpenaiResponses => {
                let is_delta = event.name.is_some_and(|name| name.ends_with(b".delta"));
                is_delta.then(|| string_behind(&DELTA, event.data.as_deref()?).or(Some(b"")))?
            }
            _ => None,
        }
    }

    /// Takes a whole document.
    pub(super) fn document(&mut self, json: &str) {
        if self.plain(json).is_some() {
            return;
        }
        let read = match self.protocol {
            Protocol::OpenaiResponses => self.responses_body(json, true),
            Protocol::AnthropicMessages => self.anthropic_body(json),
            Protocol::BedrockConverse => self.bedrock_body(json),
            Protocol::VertexPredict => self.predictions(json),
            Protocol::OpenaiChat | Protocol::OpenaiEmbeddings | Protocol::Passthrough => {
                self.chat(json, false)
            }
        };
        match read {
            Some(()) => self.facts.ended = true,
            None => self.no_object(json),
        }
    }

    /// Takes a whole document of the usual kind, whose text is not kept, in one pass; `None` if it is another.
    fn plain(&mut self, json: &str) -> Option<()> {
        let dialect = match self.protocol {
            Protocol::OpenaiChat => Dialect::OpenaiChat,
            Protocol::AnthropicMessages => Dialect::AnthropicMessages,
            _ => return None,
        };
        if self.max_text_bytes > 0 {
            return None;
        }
        let noted = passing::note(dialect, json.as_bytes())?;
        if noted.usage == Usage::default() {
            // Counts by other names, perhaps.
            return None;
        }
        let facts = &mut self.facts;
        facts.model = Some(shortened(&noted.model)).filter(|model| !model.is_empty());
        facts.service_tier = noted.service_tier.as_deref().map(shortened);
        facts.tool_calls = noted.has_tool_calls;
        facts.content_seen = noted.has_content;
        facts.stopped = noted.has_stopped;
        facts.ended = true;
        facts.usage = Some(Usage {
            ext: Object::parse(noted.usage_object, "usage").ok()?.into_ext(),
            ..noted.usage
        });
        Some(())
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
            self.fail(failure::exception(kind.unwrap_or(UNNAMED), frame.payload()));
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
                    for piece in [said, call, thought].into_iter().flatten() {
                        self.facts.estimated_output += estimate::tokens(piece);
                    }
                }
            }
            "messageStop" => self.facts.stopped = true,
            "metadata" => {
                let [usage] = pick(json, ["usage"]).unwrap_or_default();
                self.count(usage);
                self.facts.ended = true;
            }
            _ => {}
        }
    }

    /// Whether an event holds nothing but another piece of content, of which nothing is kept.
    fn is_more_of_the_same(&self, event: &SseEvent<'_>, is_piece: bool) -> bool {
        if self.max_text_bytes > 0 || !self.facts.content_seen {
            return false;
        }
        match self.protocol {
            Protocol::OpenaiChat => {
                self.facts.model.is_some()
                    && is_piece
                    && (self.facts.tool_calls || !CALLS.iter().any(|name| name.find(event.raw).is_some()))
            }
            Protocol::AnthropicMessages | Protocol::OpenaiResponses => is_piece,
            _ => false,
        }
    }

    /// A chunk or document of OpenAI's chat, of its embeddings, and of what looks like them; `None` if it is no object.
    fn chat(&mut self, json: &str, streamed: bool) -> Option<()> {
        let between = if streamed { "" } else { " " };
        let keys = ["choices", "usage", "model", "error", "data", "service_tier"];
        let [choices, usage, model, error, data, tier] = pick(json, keys)?;
        self.answered_by(model);
        self.served_at(tier);
        // The objects of other APIs (jobs, files) tell of failures that are not the answer's.
        if streamed || self.protocol != Protocol::Passthrough {
            self.failure(error, json);
        }
        self.count(usage);
        self.facts.content_seen |= is_filled(data);
        self.facts.foreign |= match self.protocol {
            _ if error.is_some() => false,
            Protocol::OpenaiChat => choices.is_none() && usage.is_none(),
            Protocol::OpenaiEmbeddings => data.is_none(),
            _ => true,
        };
        each(choices, |choice| {
            let Some([delta, message, reason, plain]) =
                pick(choice, ["delta", "message", "finish_reason", "text"])
            else {
                return;
            };
            self.facts.stopped |= reason.is_some_and(|reason| reason != "\"\"" && reason != "\"null\"");
            self.say(plain, between);
            // What a chunk says in members of its own (sound, pictures) is content too.
            if streamed && !self.facts.content_seen {
                let said = |(name, value): (&str, &str)| name != "role" && is_filled(Some(value));
                self.facts.content_seen = members(delta.unwrap_or_default()).any(said);
            }
            self.chat_part(delta.or(message).unwrap_or_default(), between);
        });
        Some(())
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
        let Some([kind, response, delta, item, error, _]) = pick(data, keys) else {
            return self.no_object(data);
        };
        let kind = text(kind);
        match kind.as_deref().or(name).unwrap_or_default() {
            "response.output_text.delta" => self.say(delta, ""),
            "response.output_item.added" | "response.output_item.done" => self.output_item(item, false),
            "response.completed" | "response.incomplete" => {
                // An event without a response tells nothing more.
                let _ = self.responses_body(response.unwrap_or_default(), false);
                self.facts.ended = true;
            }
            "response.failed" | "error" => {
                // An event without a response tells nothing more.
                let _ = self.responses_body(response.unwrap_or_default(), false);
                self.fail(failure::read(self.protocol, data));
            }
            kind if kind.ends_with(".delta") => self.facts.content_seen |= is_filled(delta),
            "response.created" | "response.in_progress" | "response.queued" => {
                let [model] = pick(response.unwrap_or_default(), ["model"]).unwrap_or_default();
                self.answered_by(model);
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" | "keepalive" => {}
            "" => {
                self.failure(error, data);
                self.facts.foreign |= error.is_none();
            }
            // Pictures, results of tools, and what is still to be invented.
            _ => self.facts.content_seen = true,
        }
    }

    /// A response; `None` if it is no object.
    fn responses_body(&mut self, json: &str, whole: bool) -> Option<()> {
        let keys = ["model", "usage", "output", "error", "status", "service_tier"];
        let [model, usage, output, error, status, tier] = pick(json, keys)?;
        self.answered_by(model);
        self.served_at(tier);
        self.count(usage);
        self.failure(error, json);
        let status = text(status);
        if status.as_deref() == Some("failed") {
            self.fail(failure::read(self.protocol, json));
        }
        self.facts.stopped |= status.is_some();
        self.facts.foreign |= whole && status.is_none() && output.is_none() && error.is_none();
        each(output, |item| self.output_item(Some(item), whole));
        Some(())
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
            Some("message" | "reasoning") | None => {}
            // Calls of the vendor's own tools, and what is still to be invented.
            Some(_) => self.facts.content_seen = true,
        }
    }

    fn anthropic_event(&mut self, name: Option<&str>, data: &str) {
        let keys = ["type", "message", "delta", "content_block", "usage", "error"];
        let Some([kind, message, delta, block, usage, error]) = pick(data, keys) else {
            return self.no_object(data);
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
                match kind {
                    Some("\"tool_use\"") => self.call_tool(),
                    Some("\"text\"" | "\"thinking\"") | None => {}
                    Some(_) => self.facts.content_seen = true,
                }
            }
            "content_block_delta" => {
                let delta = delta.unwrap_or_default();
                let [said] = pick(delta, ["text"]).unwrap_or_default();
                self.say(said, "");
                let says = |(name, value): (&str, &str)| name != "type" && is_filled(Some(value));
                self.facts.content_seen = self.facts.content_seen || members(delta).any(says);
            }
            "message_delta" => {
                let [reason] = pick(delta.unwrap_or_default(), ["stop_reason"]).unwrap_or_default();
                self.facts.stopped |= reason.is_some();
                self.count(usage);
            }
            "message_stop" => self.facts.ended = true,
            "error" => self.fail(failure::read(self.protocol, data)),
            "" => {
                self.failure(error, data);
                self.facts.foreign |= error.is_none();
            }
            _ => {}
        }
    }

    /// A message; `None` if it is no object.
    fn anthropic_body(&mut self, json: &str) -> Option<()> {
        let keys = ["model", "usage", "content", "error", "stop_reason"];
        let [model, usage, content, error, reason] = pick(json, keys)?;
        self.answered_by(model);
        self.count(usage);
        self.failure(error, json);
        self.facts.stopped |= reason.is_some();
        self.facts.foreign |= content.is_none() && error.is_none();
        each(content, |block| {
            let [kind, said] = pick(block, ["type", "text"]).unwrap_or_default();
            match kind {
                Some("\"tool_use\"") => self.call_tool(),
                Some("\"text\"") => self.say(said, " "),
                _ => {}
            }
            self.facts.content_seen = true;
        });
        Some(())
    }

    /// An answer of Bedrock's; `None` if it is no object.
    fn bedrock_body(&mut self, json: &str) -> Option<()> {
        let keys = ["output", "usage", "stopReason", "message"];
        let [output, usage, reason, told] = pick(json, keys)?;
        self.count(usage);
        self.facts.stopped |= reason.is_some();
        // Errors are a message and nothing else.
        if output.is_none() && told.is_some() {
            self.fail(failure::exception(UNNAMED, json.as_bytes()));
        }
        self.facts.foreign |= output.is_none() && told.is_none();
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
        Some(())
    }

    /// Google's predictions; each tells its own tokens. `None` if they are no object.
    fn predictions(&mut self, json: &str) -> Option<()> {
        let [predictions, error] = pick(json, ["predictions", "error"])?;
        self.failure(error, json);
        self.facts.foreign |= predictions.is_none() && error.is_none();
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
        Some(())
    }

    /// Takes a usage object, or anything else that stands in its place.
    fn count(&mut self, json: Option<&str>) {
        if let Some(json) = json.filter(|json| json.starts_with('{')) {
            usage::merge(&mut self.usage, json);
            self.facts.usage = usage::read(self.protocol, &self.usage);
            if self.protocol == Protocol::AnthropicMessages {
                let tier = self.usage.get("service_tier").map(|tier| tier.text().to_owned());
                self.served_at(tier.as_deref());
            }
        }
    }

    fn answered_by(&mut self, model: Option<&str>) {
        if self.facts.model.is_none() {
            self.facts.model = text(model)
                .filter(|model| !model.is_empty())
                .map(|model| shortened(&model));
        }
    }

    /// The tier of a document or event; the last one counts.
    fn served_at(&mut self, tier: Option<&str>) {
        if let Some(tier) = text(tier) {
            self.facts.service_tier = Some(shortened(&tier));
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

    /// An `error` member, in whatever form, of the document or event `json`.
    fn failure(&mut self, error: Option<&str>, json: &str) {
        if error.is_some_and(|error| !matches!(error, "false" | "\"\"" | "{}" | "[]")) {
            self.fail(failure::read(self.protocol, json));
        }
    }

    /// The vendor says that it failed. What it said first counts.
    fn fail(&mut self, failure: ProviderError) {
        self.facts.failed.get_or_insert(failure);
        self.facts.ended = true;
    }

    /// What stands in the place of an object is none: other JSON, or no JSON at all.
    fn no_object(&mut self, data: &str) {
        if serde_json::from_str::<IgnoredAny>(data).is_ok() {
            self.facts.foreign = true;
        } else {
            self.lost();
        }
    }
}

/// The beginning of a model's name, which is all of it unless somebody plays tricks.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => name.get(..end).unwrap_or_default().to_owned(),
        None => name.to_owned(),
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

/// The key behind which the pieces of OpenAI's responses stand.
static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"delta\":"));

/// What a failure without a name is called.
const UNNAMED: &str = "error";

/// Longest name of a model that is kept, in characters.
const MAX_NAME_CHARS: usize = 256;
