//! Reasoning in assistant messages: `reasoning_content`, `reasoning` and OpenRouter's `reasoning_details`.
//!
//! A client of this dialect cannot hold another maker's signature anywhere but in `reasoning_details`, so reasoning that
//! comes from Anthropic is written there, beside the plain text, and read back from there unchanged.

use crate::json::Raw;

use super::content::stands_in_content;
use crate::Dialect;
use crate::canonical::{Ext, Part, Reasoning};
use crate::json::{Object, RawJson, Writer};

/// The members that hold reasoning as plain text.
pub(super) const TEXT_MEMBERS: [&str; 2] = ["reasoning_content", "reasoning"];

/// The member that holds reasoning as a list of entries.
pub(super) const DETAILS: &str = "reasoning_details";

/// The `format` of entries that hold Anthropic's blocks.
const ANTHROPIC_FORMAT: &str = "anthropic-claude-v1";

/// The `format` of entries that hold Gemini's thoughts and signatures.
const GEMINI_FORMAT: &str = "google-gemini-v1";

/// The `format` of entries that hold the blocks of models at Amazon Bedrock.
const BEDROCK_FORMAT: &str = "bedrock-converse-v1";

/// The `format` of entries that hold Cohere's thinking and its plans for tools.
const COHERE_FORMAT: &str = "cohere-chat-v2";

/// The `format` of entries that hold items of OpenAI's other dialect.
const RESPONSES_FORMAT: &str = "openai-responses-v1";

/// The `format` of entries that hold the reasoning of a provider of this dialect.
pub(super) const fn format_of(origin: Dialect) -> &'static str {
    match origin {
        Dialect::Gemini => GEMINI_FORMAT,
        Dialect::OpenaiResponses => RESPONSES_FORMAT,
        Dialect::CohereChat => COHERE_FORMAT,
        Dialect::BedrockConverse => BEDROCK_FORMAT,
        _ => ANTHROPIC_FORMAT,
    }
}

/// The `id` of an entry that holds readable reasoning: Cohere tells thinking and plans for tools apart.
pub(super) fn kind_of(origin: Dialect, member: Option<&str>) -> Option<&str> {
    member.filter(|_| origin == Dialect::CohereChat)
}

/// Whether a part of reasoning is nothing but the signature of another part: Gemini signs calls and texts.
pub(super) fn is_proof(origin: Dialect, member: Option<&str>) -> bool {
    origin == Dialect::Gemini && member.is_some_and(|member| member != "thought")
}

/// One entry of `reasoning_details`.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// Readable text; empty if there is none.
    pub(super) text: String,
    /// The maker's proof.
    pub(super) signature: Option<String>,
    /// Sealed reasoning.
    pub(super) redacted: Option<String>,
    /// Its `index`; pieces of one block share it.
    pub(super) index: Option<u64>,
    /// Whose block it is.
    pub(super) origin: Option<Dialect>,
    /// Where Gemini's signature stands; `None` for all others.
    pub(super) member: Option<&'static str>,
    /// The call that Gemini signed.
    pub(super) of_call: Option<String>,
}

impl Detail {
    /// Reads an entry; entries of unknown type have neither text nor proof.
    pub(super) fn read(raw: Raw<'_>) -> Option<Self> {
        let mut object = Object::parse(raw.get(), "").ok()?;
        let mut string = |name: &str| object.take_string(name).ok().flatten();
        let kind = string("type")?;
        let format = string("format").unwrap_or_default();
        // Clients that put the pieces of a stream together repeat the name.
        let origin = if format.starts_with("anthropic") {
            Dialect::AnthropicMessages
        } else if format.starts_with("google") {
            Dialect::Gemini
        } else if format.starts_with(RESPONSES_FORMAT) {
            Dialect::OpenaiResponses
        } else if format.starts_with(BEDROCK_FORMAT) {
            Dialect::BedrockConverse
        } else if format.starts_with("cohere") {
            Dialect::CohereChat
        } else {
            Dialect::OpenaiChat
        };
        let mut detail = Detail {
            origin: Some(origin),
            ..Detail::default()
        };
        match kind.as_str() {
            "reasoning.text" => {
                detail.text = string("text").unwrap_or_default();
                detail.signature = string("signature").filter(|signature| !signature.is_empty());
            }
            "reasoning.summary" => detail.text = string("summary").unwrap_or_default(),
            "reasoning.encrypted" if origin == Dialect::Gemini => {
                detail.signature = string("data");
                detail.of_call = string("id");
                detail.member = Some(if detail.of_call.is_some() {
                    "functionCall"
                } else {
                    "text"
                });
            }
            "reasoning.encrypted" => detail.redacted = string("data"),
            _ => {}
        }
        if origin == Dialect::Gemini && detail.member.is_none() {
            detail.member = Some("thought");
        }
        detail.index = object.take_u64("index").ok().flatten();
        Some(detail)
    }
}

/// Takes the reasoning of a message. Shapes that are not understood stay where they are.
///
/// A text that stands in several members is one part. Each part that came from `reasoning_details` keeps its entries in
/// its bag, under that name.
pub(super) fn take(message: &mut Object<'_>) -> Vec<Part> {
    let mut blocks = take_details(message);
    let mut texts: Vec<(&str, Raw<'_>, String)> = Vec::new();
    for name in TEXT_MEMBERS {
        let Some(raw) = message.peek(name) else { continue };
        let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
            continue;
        };
        if !text.is_empty() {
            message.take(name);
            texts.push((name, raw, text));
        }
    }

    let detailed: String = blocks.iter().map(|block| block.text.as_str()).collect();
    let mut parts = Vec::new();
    let mut earlier: Option<String> = None;
    for (name, raw, text) in texts {
        if earlier.as_ref() == Some(&text) || (earlier.is_none() && !detailed.is_empty() && detailed != text)
        {
            // The same text again, or another telling of the detailed one: kept as it was, read once.
            match (parts.last_mut(), blocks.first_mut()) {
                (Some(Part::Reasoning(part)), _) => part.ext.0.push((name.to_owned(), RawJson::from(raw))),
                (_, Some(block)) => block.ext.0.push((name.to_owned(), RawJson::from(raw))),
                _ => {}
            }
        } else if detailed == text {
            for block in blocks.iter_mut().filter(|block| !block.text.is_empty()) {
                block.member = Some(name.to_owned());
            }
            earlier = Some(text);
        } else {
            earlier = Some(text.clone());
            parts.push(Part::Reasoning(Reasoning {
                text,
                origin: Some(Dialect::OpenaiChat),
                member: Some(name.to_owned()),
                ..Reasoning::default()
            }));
        }
    }
    parts.extend(blocks.into_iter().map(Part::Reasoning));
    parts
}

/// Takes `reasoning_details`. Neighbouring pieces of one block, as a client collects them from a stream, are joined.
fn take_details(message: &mut Object<'_>) -> Vec<Reasoning> {
    let list = message
        .peek(DETAILS)
        .and_then(|raw| serde_json::from_str::<Vec<Raw<'_>>>(raw.get()).ok());
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return Vec::new();
    };
    let Some(details) = list
        .iter()
        .map(|raw| Detail::read(*raw))
        .collect::<Option<Vec<Detail>>>()
    else {
        return Vec::new();
    };
    message.take(DETAILS);

    let mut blocks: Vec<(Reasoning, Option<u64>, Vec<&str>)> = Vec::new();
    for (detail, raw) in details.into_iter().zip(list) {
        if let Some((block, index, entries)) = blocks.last_mut()
            && *index == detail.index
            && index.is_some()
            && block.signature.is_none()
            && block.redacted.is_none()
            && detail.redacted.is_none()
            && detail.member.is_none_or(|member| member == "thought")
        {
            block.text.push_str(&detail.text);
            block.signature = detail.signature;
            entries.push(raw.get());
            continue;
        }
        let block = Reasoning {
            text: detail.text,
            signature: detail.signature,
            redacted: detail.redacted,
            origin: detail.origin,
            member: Some(detail.member.unwrap_or(DETAILS).to_owned()),
            of_call: detail.of_call,
            ext: Ext::default(),
        };
        blocks.push((block, detail.index, vec![raw.get()]));
    }
    let keep = |(mut block, _, entries): (Reasoning, Option<u64>, Vec<&str>)| {
        block.ext.0.push((DETAILS.to_owned(), RawJson::array(entries)));
        block
    };
    blocks.into_iter().map(keep).collect()
}

/// Writes the reasoning of a message that came in this dialect, as it came.
pub(super) fn write_own(w: &mut Writer<'_>, parts: &[Part]) {
    let blocks = || parts.iter().filter_map(reasoning_of);
    for name in TEXT_MEMBERS {
        if let Some(raw) = blocks().find_map(|block| block.ext.get(name)) {
            w.key(name).raw(raw);
            continue;
        }
        let text: String = blocks()
            .filter(|block| block.member.as_deref() == Some(name))
            .map(|block| block.text.as_str())
            .collect();
        if !text.is_empty() {
            w.key(name).string(&text);
        }
    }
    if blocks().any(has_details) {
        w.key(DETAILS).array(|w| {
            for block in blocks().filter(|block| has_details(block)) {
                write_kept_details(w, block);
            }
        });
    }
}

fn has_details(block: &Reasoning) -> bool {
    block.member.as_deref() == Some(DETAILS) || block.ext.get(DETAILS).is_some()
}

fn write_kept_details(w: &mut Writer<'_>, block: &Reasoning) {
    let kept = block
        .ext
        .get(DETAILS)
        .and_then(|raw| serde_json::from_str::<Vec<Raw<'_>>>(raw.text()).ok());
    match kept {
        Some(entries) => entries.into_iter().for_each(|entry| w.raw(&RawJson::from(entry))),
        None => write_detail(w, block, Dialect::OpenaiChat, None),
    }
}

/// Writes the reasoning of an answer that comes from another maker: the text for people, and `reasoning_details` with
/// the signatures for the way back.
pub(super) fn write_foreign(w: &mut Writer<'_>, parts: &[Part], origin: Dialect) {
    let blocks: Vec<&Reasoning> = parts.iter().filter_map(reasoning_of).collect();
    let text: String = blocks.iter().map(|block| block.text.as_str()).collect();
    if !text.is_empty() {
        w.key(FOREIGN_TEXT).string(&text);
    }
    if blocks.is_empty() {
        return;
    }
    w.key(DETAILS).array(|w| {
        for (index, block) in (0..).zip(&blocks) {
            write_detail(w, block, block.origin.unwrap_or(origin), Some(index));
        }
    });
}

/// The member that holds the text of another maker's reasoning.
pub(super) const FOREIGN_TEXT: &str = "reasoning_content";

fn write_detail(w: &mut Writer<'_>, block: &Reasoning, origin: Dialect, index: Option<u64>) {
    let format = (origin != Dialect::OpenaiChat).then(|| format_of(origin));
    let proof = block
        .signature
        .as_ref()
        .filter(|_| is_proof(origin, block.member.as_deref()));
    w.object(|w| {
        if let Some(proof) = proof {
            w.key("type").string("reasoning.encrypted");
            w.key("data").string(proof);
            w.optional_string("id", block.of_call.as_deref());
        } else if let Some(data) = &block.redacted {
            w.key("type").string("reasoning.encrypted");
            w.key("data").string(data);
        } else {
            w.key("type").string("reasoning.text");
            w.key("text").string(&block.text);
            w.optional_string("signature", block.signature.as_deref());
            w.optional_string("id", kind_of(origin, block.member.as_deref()));
        }
        w.optional_string("format", format);
        w.optional_number("index", index);
    });
}

/// The reasoning in a part, unless it stands in the content list.
pub(super) fn reasoning_of(part: &Part) -> Option<&Reasoning> {
    match part {
        Part::Reasoning(reasoning) if !stands_in_content(reasoning) => Some(reasoning),
        _ => None,
    }
}
