//! Content blocks, read: the pieces that messages, tool results and answers are made of.
//!
//! A block is an object with one member, which names its kind. A kind without a canonical form is kept whole. A cache point is
//! a block of its own here and belongs to the part before it.

use crate::json::Raw;

use super::media;
use crate::canonical::{
    CacheHint, ContentForm, DecodeError, Ext, MediaKind, Part, Reasoning, Text, ToolCall, ToolCallKind,
    ToolResult,
};
use crate::json::{Object, RawJson};
use crate::{Dialect, envelope};

pub(super) const ORIGIN: Dialect = Dialect::BedrockConverse;

/// The member of a bag that holds a cache point which belongs to no part that could have one.
pub(crate) const CACHE_POINT: &str = "cachePoint";
/// The member of a message's bag that holds a cache point in front of its content.
pub(crate) const LEADING_POINT: &str = "content[0].cachePoint";
/// The member of a text's bag that says that the text is a JSON value in a tool result.
pub(crate) const JSON: &str = "json";
/// The member of a text's bag with the citations of the text: a list, or the whole `citationsContent` where that is more than
/// one text and its citations.
pub(crate) const CITATIONS: &str = "citations";
/// The kind of a block with citations.
pub(super) const CITATIONS_CONTENT: &str = "citationsContent";

/// Where blocks stand. A result holds no results, so documents cannot make us recurse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    Message,
    ToolResult,
}

/// Reads a list of blocks; a cache point in front of them goes into `leading`.
pub(super) fn decode_blocks(
    blocks: &[Raw<'_>],
    path: &str,
    nesting: Nesting,
    leading: &mut Ext,
) -> Result<Vec<Part>, DecodeError> {
    let mut parts = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.iter().enumerate() {
        let path = crate::path::item(path, i);
        let mut object = Object::parse(block.get(), path.clone())?;
        // Some clients write every kind, all but one `null`.
        object.take_nulls();
        let Some((kind, inner)) = object.only() else {
            if object.into_ext().is_empty() {
                return Err(DecodeError::new(
                    path,
                    "expected one member, the kind of the block",
                ));
            }
            parts.push(opaque("block", *block));
            continue;
        };
        if kind == CACHE_POINT && nesting == Nesting::Message {
            attach_cache_point(&mut parts, inner, *block, leading);
        } else {
            parts.push(decode_part(
                kind,
                inner,
                *block,
                format!("{path}.{kind}"),
                nesting,
            )?);
        }
    }
    Ok(parts)
}

/// Gives a cache point to the part before it.
fn attach_cache_point(parts: &mut Vec<Part>, inner: Raw<'_>, block: Raw<'_>, leading: &mut Ext) {
    let hint = || CacheHint {
        ttl: Object::parse(inner.get(), "")
            .ok()
            .and_then(|mut object| object.take_string("ttl").ok()?),
        dialect: ORIGIN,
        raw: RawJson::from(inner),
    };
    let bag: Option<(&mut Ext, &str)> = match parts.last_mut() {
        Some(Part::Text(Text { cache, .. }) | Part::Refusal(Text { cache, .. })) if cache.is_none() => {
            return *cache = Some(hint());
        }
        Some(Part::Media(media)) if media.cache.is_none() => return media.cache = Some(hint()),
        Some(Part::ToolCall(call)) if call.cache.is_none() => return call.cache = Some(hint()),
        Some(Part::ToolResult(result)) if result.cache.is_none() => return result.cache = Some(hint()),
        Some(Part::Reasoning(reasoning)) => Some((&mut reasoning.ext, CACHE_POINT)),
        Some(_) => None,
        None => Some((leading, LEADING_POINT)),
    };
    match bag.filter(|(bag, name)| bag.get(name).is_none()) {
        Some((bag, name)) => bag.0.push((name.to_owned(), RawJson::from(inner))),
        None => parts.push(opaque(CACHE_POINT, block)),
    }
}

/// Reads one block of this kind.
fn decode_part(
    kind: &str,
    inner: Raw<'_>,
    block: Raw<'_>,
    path: String,
    nesting: Nesting,
) -> Result<Part, DecodeError> {
    Ok(match kind {
        "text" => Part::Text(Text {
            text: string(inner, path)?,
            ..Text::default()
        }),
        "image" => media::decode(MediaKind::Image, inner, path)?,
        "document" => media::decode(MediaKind::Document, inner, path)?,
        "video" => media::decode(MediaKind::Video, inner, path)?,
        "audio" if nesting == Nesting::Message => media::decode(MediaKind::Audio, inner, path)?,
        JSON if nesting == Nesting::ToolResult => Part::Text(Text {
            text: inner.get().to_owned(),
            ext: mark(JSON),
            ..Text::default()
        }),
        "toolUse" if nesting == Nesting::Message => decode_call(inner, block, path)?,
        "toolResult" if nesting == Nesting::Message => decode_result(inner, block, path)?,
        "reasoningContent" => decode_reasoning(inner, block, path)?,
        CITATIONS_CONTENT => decode_citations(inner, path)?,
        _ => opaque(kind, block),
    })
}

fn decode_call(inner: Raw<'_>, block: Raw<'_>, path: String) -> Result<Part, DecodeError> {
    let mut object = Object::parse(inner.get(), path)?;
    let nulls = object.take_nulls();
    if let Some(kind) = other_type(&object, "tool_use") {
        return Ok(opaque(&kind, block));
    }
    Ok(Part::ToolCall(ToolCall {
        id: object.require_string("toolUseId")?,
        name: object.require_string("name")?,
        arguments: object.take("input").map_or("{}", Raw::get).to_owned(),
        kind: ToolCallKind::Function,
        cache: None,
        ext: rest(object, nulls),
    }))
}

fn decode_result(inner: Raw<'_>, block: Raw<'_>, path: String) -> Result<Part, DecodeError> {
    let content_path = format!("{path}.content");
    let mut object = Object::parse(inner.get(), path)?;
    let nulls = object.take_nulls();
    if let Some(kind) = other_type(&object, "tool_result") {
        return Ok(opaque(&kind, block));
    }
    let call_id = object.require_string("toolUseId")?;
    let blocks = object.take_array("content")?;
    let form = if blocks.is_some() {
        ContentForm::List
    } else {
        ContentForm::Absent
    };
    let content = decode_blocks(
        &blocks.unwrap_or_default(),
        &content_path,
        Nesting::ToolResult,
        &mut Ext::default(),
    )?;
    let is_error = match object.peek("status").map(Raw::get) {
        Some("\"success\"") => Some(false),
        Some("\"error\"") => Some(true),
        _ => None,
    };
    if is_error.is_some() {
        object.take("status");
    }
    Ok(Part::ToolResult(ToolResult {
        call_id,
        content,
        form,
        is_error,
        cache: None,
        ext: rest(object, nulls),
    }))
}

fn decode_reasoning(inner: Raw<'_>, block: Raw<'_>, path: String) -> Result<Part, DecodeError> {
    let mut object = Object::parse(inner.get(), path)?;
    object.take_nulls();
    let Some((kind, inner)) = object.only() else {
        return Ok(opaque("reasoningContent", block));
    };
    let path = object.path_of(kind);
    match kind {
        "reasoningText" => {
            let mut object = Object::parse(inner.get(), path)?;
            let nulls = object.take_nulls();
            let text = object.take_string("text")?.unwrap_or_default();
            let signature = object.take_string("signature")?;
            let ext = rest(object, nulls);
            // Our own envelope in place of a signature names another maker.
            Ok(Part::Reasoning(
                match signature.as_deref().and_then(envelope::open) {
                    Some(opened) => Reasoning { text, ext, ..opened },
                    None => Reasoning {
                        text,
                        signature,
                        origin: Some(ORIGIN),
                        ext,
                        ..Reasoning::default()
                    },
                },
            ))
        }
        // Base64 of what is base64 itself: kept as it is.
        "redactedContent" => Ok(Part::Reasoning(Reasoning {
            redacted: Some(string(inner, path)?),
            origin: Some(ORIGIN),
            ..Reasoning::default()
        })),
        _ => Ok(opaque("reasoningContent", block)),
    }
}

/// Text with citations: one text and its citations become that, anything else stays whole beside the joined texts.
fn decode_citations(inner: Raw<'_>, path: String) -> Result<Part, DecodeError> {
    let mut object = Object::parse(inner.get(), path)?;
    let mut text = String::new();
    let pieces = object.take_array("content")?.unwrap_or_default();
    let plain = pieces.len() == 1;
    let mut known = plain;
    for piece in pieces {
        let mut piece = Object::parse(piece.get(), object.path_of("content"))?;
        text.push_str(&piece.take_string("text")?.unwrap_or_default());
        known &= piece.into_ext().is_empty();
    }
    let citations = object.take("citations").map(RawJson::from);
    let ext = match citations {
        Some(citations)
            if known
                && !text.is_empty()
                && citations.text().starts_with('[')
                && object.into_ext().is_empty() =>
        {
            Ext(vec![(CITATIONS.to_owned(), citations)])
        }
        _ => Ext(vec![(CITATIONS.to_owned(), RawJson::from(inner))]),
    };
    Ok(Part::Text(Text {
        text,
        ext,
        ..Text::default()
    }))
}

/// The `type` of a call or result that is not the caller's but the provider's own.
fn other_type(object: &Object<'_>, usual: &str) -> Option<String> {
    let kind: String = serde_json::from_str(object.peek("type")?.get()).ok()?;
    (kind != usual).then_some(kind)
}

fn string(raw: Raw<'_>, path: String) -> Result<String, DecodeError> {
    serde_json::from_str(raw.get()).map_err(|_| {
        let found = crate::json::kind_of(raw.get());
        DecodeError::new(path, format!("expected a string, found {found}"))
    })
}

pub(super) fn opaque(kind: &str, block: Raw<'_>) -> Part {
    Part::Opaque {
        dialect: ORIGIN,
        kind: kind.to_owned(),
        raw: RawJson::from(block),
    }
}

/// A bag that says one thing.
fn mark(name: &str) -> Ext {
    Ext(RawJson::parse("true")
        .map(|yes| (name.to_owned(), yes))
        .into_iter()
        .collect())
}

/// The bag: what was not taken, and the explicit `null`s.
pub(super) fn rest(object: Object<'_>, nulls: Ext) -> Ext {
    let mut ext = object.into_ext();
    ext.0.extend(nulls.0);
    ext
}
