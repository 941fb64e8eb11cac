//! The messages of a rebuilt request.

use std::borrow::Cow;

use crate::json::Raw;

use super::request::{elements, inner, is_table, list, string};
use crate::canonical::DecodeError;
use crate::json::{Object, Writer};
use crate::loss::Losses;
use crate::tool_names::{CALL_NAME, OPENAI, RENAMED, Renames};

/// Writes the elements of `messages`.
///
/// # Errors
/// One of them is no message; they are counted from 1.
pub(super) fn write_messages(
    w: &mut Writer<'_>,
    system: Option<Raw<'_>>,
    messages: &[Raw<'_>],
    renames: &mut Renames,
    losses: &mut Losses,
) -> Result<(), DecodeError> {
    if let Some(text) = system.and_then(|system| system_text(system, losses)) {
        write_text_message(w, "system", &text);
    }
    for (i, raw) in messages.iter().enumerate() {
        let invalid = |what| DecodeError::new("", format!("invalid {what} at index {}", i + 1));
        let mut message = Object::parse(raw.get(), "").map_err(|_| invalid("message"))?;
        let role = string(&mut message, "role").ok_or_else(|| invalid("message"))?;
        let content = message
            .take("content")
            .ok_or_else(|| invalid("message content"))?;
        if let Ok(text) = serde_json::from_str::<String>(content.get()) {
            write_text_message(w, &role, &text);
            continue;
        }
        let blocks = elements(content).ok_or_else(|| invalid("message content"))?;
        let path = crate::path::item("messages", i);
        let turn = Turn::read(&blocks, &path, renames, losses).ok_or_else(|| invalid("message content"))?;
        turn.write(w, &role, &path, losses);
    }
    Ok(())
}

/// The system prompt as one text; `None` if it is empty.
fn system_text(system: Raw<'_>, losses: &mut Losses) -> Option<String> {
    if let Ok(text) = serde_json::from_str::<String>(system.get()) {
        return Some(text).filter(|text| !text.is_empty());
    }
    let mut text = String::new();
    for (i, raw) in elements(system)?.into_iter().enumerate() {
        match Object::parse(raw.get(), "")
            .ok()
            .and_then(|mut block| text_of(&mut block))
        {
            Some(block) => text.push_str(&without_billing_hash(&block)),
            None => losses.dropped(crate::path::item("system", i), "not a text"),
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

/// Claude Code sends a line of billing notes as a system text. Its `cch=` entry is another one in each call, which would keep
/// any provider from caching the prompt behind it.
fn without_billing_hash(text: &str) -> Cow<'_, str> {
    let is_billing = text
        .get(..BILLING.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(BILLING));
    let Some(mut rest) = text.get(BILLING.len()..).filter(|_| is_billing) else {
        return Cow::Borrowed(text);
    };
    let mut kept = String::new();
    while let Some((before, hash)) = rest.split_once("cch=") {
        kept.push_str(before.strip_suffix(' ').unwrap_or(before));
        rest = hash.split_once(';').map_or("", |(_, behind)| behind);
    }
    kept.push_str(rest);
    let kept = kept.trim_matches([';', ' ']);
    Cow::Owned(if kept.is_empty() {
        String::new()
    } else {
        format!("{BILLING}{kept}")
    })
}

/// What one message says, sorted by where OpenAI wants it.
#[derive(Default)]
struct Turn {
    parts: Vec<Part>,
    calls: Vec<Call>,
    results: Vec<ToolResult>,
}

enum Part {
    Text(String),
    /// Address or data URL.
    Media(String),
}

struct Call {
    id: String,
    /// The name as it is sent.
    name: String,
    arguments: String,
}

struct ToolResult {
    call_id: String,
    parts: Vec<Part>,
}

impl Turn {
    /// Sorts the blocks of a message; `None` if one cannot be read at all.
    fn read(blocks: &[Raw<'_>], path: &str, renames: &mut Renames, losses: &mut Losses) -> Option<Self> {
        let mut turn = Turn::default();
        for (i, raw) in blocks.iter().enumerate() {
            let path = format!("{path}.content[{i}]");
            if !is_table(*raw) {
                losses.dropped(path, "not a block");
                continue;
            }
            let mut block = Object::parse(raw.get(), "").ok()?;
            let kind = block.peek("type").map_or("", Raw::get);
            let known = match kind {
                "\"text\"" | "\"image\"" | "\"document\"" => {
                    part_of(&mut block).map(|part| turn.parts.push(part))
                }
                "\"tool_use\"" => call_of(&mut block, renames, losses).map(|call| turn.calls.push(call)),
                "\"tool_result\"" => {
                    result_of(&mut block, &path, losses).map(|result| turn.results.push(result))
                }
                _ => None,
            };
            if known.is_none() {
                losses.dropped(path, "a block that cannot be carried over");
            }
        }
        Some(turn)
    }

    fn write(&self, w: &mut Writer<'_>, role: &str, path: &str, losses: &mut Losses) {
        // OpenAI wants the results right behind the calls, so whatever else the message says comes after them.
        for result in &self.results {
            w.object(|w| {
                w.key("role").string("tool");
                w.key("tool_call_id").string(&result.call_id);
                w.key("content");
                if result.parts.iter().any(|part| matches!(part, Part::Media(_))) {
                    write_parts(w, &result.parts);
                } else {
                    w.string(&text_in(&result.parts));
                }
            });
        }
        if !self.results.is_empty() {
            if !self.calls.is_empty() {
                losses.dropped(path, "calls beside results");
            }
            if self.parts.is_empty() {
                return;
            }
        }
        w.object(|w| {
            w.key("role").string(role);
            if !self.results.is_empty() {
                w.key("content");
                write_parts(w, &self.parts);
            } else if !self.calls.is_empty() {
                let text = text_in(&self.parts);
                if !text.is_empty() {
                    w.key("content").string(&text);
                }
                w.key("tool_calls")
                    .array(|w| self.calls.iter().for_each(|call| call.write(w)));
            } else if self.parts.is_empty() {
                w.key("content").string("");
            } else if role == "assistant" {
                w.key("content").string(&text_in(&self.parts));
            } else {
                w.key("content");
                write_parts(w, &self.parts);
            }
        });
    }
}

impl Call {
    fn write(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("id").string(&self.id);
            w.key("type").string("function");
            w.key("function").object(|w| {
                w.key("name").string(&self.name);
                w.key("arguments").string(&self.arguments);
            });
        });
    }
}

fn call_of(block: &mut Object<'_>, renames: &mut Renames, losses: &mut Losses) -> Option<Call> {
    let (id, name) = (string(block, "id")?, string(block, "name")?);
    let sent = renames.send(&name, &OPENAI).into_owned();
    if sent != name {
        losses.approximated(CALL_NAME, RENAMED);
    }
    Some(Call {
        id,
        name: sent,
        arguments: block.take_some("input").map_or("{}", Raw::get).to_owned(),
    })
}

fn result_of(block: &mut Object<'_>, path: &str, losses: &mut Losses) -> Option<ToolResult> {
    let call_id = string(block, "tool_use_id")?;
    let mut parts = Vec::new();
    let text = block
        .peek("content")
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    if let Some(text) = text {
        parts.push(Part::Text(text));
    } else {
        for (i, raw) in list(block, "content").unwrap_or_default().into_iter().enumerate() {
            match Object::parse(raw.get(), "")
                .ok()
                .and_then(|mut inside| part_of(&mut inside))
            {
                Some(part) => parts.push(part),
                None => losses.dropped(
                    format!("{path}.content[{i}]"),
                    "a block that cannot be carried over",
                ),
            }
        }
    }
    Some(ToolResult { call_id, parts })
}

/// A text, an image, or a document, which goes as an image.
fn part_of(block: &mut Object<'_>) -> Option<Part> {
    let kind = string(block, "type")?;
    if kind == "text" {
        return string(block, "text").map(Part::Text);
    }
    let default_type = match kind.as_str() {
        "image" => "image/png",
        "document" => "application/pdf",
        _ => return None,
    };
    let mut source = inner(block, "source")?;
    let address = match string(&mut source, "type")?.as_str() {
        "base64" => {
            let data = string(&mut source, "data").filter(|data| !data.is_empty())?;
            let media_type = string(&mut source, "media_type");
            format!(
                "data:{};base64,{data}",
                media_type.as_deref().unwrap_or(default_type)
            )
        }
        "url" if kind == "image" => string(&mut source, "url").filter(|url| !url.is_empty())?,
        _ => return None,
    };
    Some(Part::Media(address))
}

fn text_of(block: &mut Object<'_>) -> Option<String> {
    match part_of(block)? {
        Part::Text(text) => Some(text),
        Part::Media(_) => None,
    }
}

fn text_in(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Media(_) => None,
    });
    texts.collect()
}

fn write_text_message(w: &mut Writer<'_>, role: &str, text: &str) {
    w.object(|w| {
        w.key("role").string(role);
        w.key("content").string(text);
    });
}

fn write_parts(w: &mut Writer<'_>, parts: &[Part]) {
    w.array(|w| {
        for part in parts {
            w.object(|w| match part {
                Part::Text(text) => {
                    w.key("type").string("text");
                    w.key("text").string(text);
                }
                Part::Media(address) => {
                    w.key("type").string("image_url");
                    w.key("image_url").object(|w| w.key("url").string(address));
                }
            });
        }
    });
}

/// How a system text of billing notes begins.
const BILLING: &str = "x-anthropic-billing-header:";
