//! Content blocks: the pieces that messages, tool results and answers are made of.
//!
//! A block this codec has no canonical form for (hosted tools, compaction, …) is kept whole. Members it does not know are
//! kept in the bag of the part, explicit `null`s included.

use crate::json::Raw;

use crate::canonical::{
    CacheHint, ContentForm, DecodeError, Ext, Media, MediaKind, MediaSource, Part, Reasoning, Text, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::json::{Object, RawJson, Writer};
use crate::{Dialect, envelope};

const ORIGIN: Dialect = Dialect::AnthropicMessages;

/// Reads a content member: a string or a list of blocks.
pub(super) fn decode_content(raw: Raw<'_>, path: &str) -> Result<(Vec<Part>, ContentForm), DecodeError> {
    decode_nested(raw, path, Nesting::Message)
}

/// Where content stands. A result holds no results, so documents cannot make us recurse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nesting {
    Message,
    ToolResult,
}

fn decode_nested(
    raw: Raw<'_>,
    path: &str,
    nesting: Nesting,
) -> Result<(Vec<Part>, ContentForm), DecodeError> {
    let text = raw.get();
    if text.starts_with('"') {
        let text: String =
            serde_json::from_str(text).map_err(|error| DecodeError::new(path, error.to_string()))?;
        let parts = if text.is_empty() {
            Vec::new()
        } else {
            vec![Part::Text(Text {
                text,
                ..Text::default()
            })]
        };
        return Ok((parts, ContentForm::String));
    }
    if !text.starts_with('[') {
        let found = crate::json::kind_of(text);
        return Err(DecodeError::new(
            path,
            format!("expected a string or a list of blocks, found {found}"),
        ));
    }
    let blocks = raw
        .elements()
        .map_err(|error| DecodeError::new(path, error.to_string()))?;
    let parts = blocks
        .iter()
        .enumerate()
        .map(|(i, block)| decode_part(*block, crate::path::item(path, i), nesting));
    Ok((parts.collect::<Result<_, _>>()?, ContentForm::List))
}

/// Reads one block.
fn decode_part(raw: Raw<'_>, path: String, nesting: Nesting) -> Result<Part, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let nulls = object.take_nulls();
    let kind = object.require_string("type")?;
    Ok(match kind.as_str() {
        "text" => {
            let text = object.require_string("text")?;
            let cache = take_cache(&mut object)?;
            Part::Text(Text {
                text,
                cache,
                ext: rest(object, nulls),
            })
        }
        "image" => decode_media(MediaKind::Image, object, nulls)?,
        "document" => decode_media(MediaKind::Document, object, nulls)?,
        "tool_use" => Part::ToolCall(ToolCall {
            id: object.require_string("id")?,
            name: object.require_string("name")?,
            arguments: object.take("input").map_or("{}", Raw::get).to_owned(),
            kind: ToolCallKind::Function,
            cache: take_cache(&mut object)?,
            ext: rest(object, nulls),
        }),
        "tool_result" if nesting == Nesting::Message => decode_tool_result(object, nulls)?,
        "thinking" => {
            let text = object.require_string("thinking")?;
            let signature = object.take_string("signature")?;
            Part::Reasoning(decode_reasoning(text, signature, rest(object, nulls)))
        }
        "redacted_thinking" => Part::Reasoning(Reasoning {
            redacted: Some(object.require_string("data")?),
            origin: Some(ORIGIN),
            ext: rest(object, nulls),
            ..Reasoning::default()
        }),
        _ => Part::Opaque {
            dialect: ORIGIN,
            kind,
            raw: RawJson::from(raw),
        },
    })
}

/// Takes `cache_control`.
pub(super) fn take_cache(object: &mut Object<'_>) -> Result<Option<CacheHint>, DecodeError> {
    let Some(raw) = object.peek("cache_control").map(RawJson::from) else {
        return Ok(None);
    };
    let ttl = match object.take_object("cache_control")? {
        Some(mut hint) => hint.take_string("ttl")?,
        None => None,
    };
    Ok(Some(CacheHint {
        ttl,
        dialect: ORIGIN,
        raw,
    }))
}

/// The bag: what was not taken, and the explicit `null`s.
pub(super) fn rest(object: Object<'_>, nulls: Ext) -> Ext {
    let mut ext = object.into_ext();
    ext.0.extend(nulls.0);
    ext
}

/// Writes a content member in the form it had; a list where it does not fit into a string.
pub(super) fn encode_content<'p>(
    w: &mut Writer<'_>,
    parts: impl ExactSizeIterator<Item = &'p Part> + Clone,
    form: ContentForm,
) {
    if form == ContentForm::String {
        let mut all = parts.clone();
        match (all.next(), parts.len()) {
            (None, _) => return w.string(""),
            (Some(Part::Text(text)), 1) if text.cache.is_none() && text.ext.is_empty() => {
                return w.string(&text.text);
            }
            _ => {}
        }
    }
    w.array(|w| parts.for_each(|part| encode_part(w, part)));
}

/// Writes one block. What this dialect cannot say must have been taken out before.
pub(super) fn encode_part(w: &mut Writer<'_>, part: &Part) {
    match part {
        Part::Text(text) | Part::Refusal(text) => w.object(|w| {
            w.key("type").string("text");
            w.key("text").string(&text.text);
            encode_cache(w, text.cache.as_ref());
            w.ext(&text.ext);
        }),
        Part::Media(media) => encode_media(w, media),
        Part::ToolCall(call) => w.object(|w| {
            w.key("type").string("tool_use");
            w.key("id").string(&call.id);
            w.key("name").string(&call.name);
            w.key("input");
            match RawJson::parse(&call.arguments) {
                Ok(input) => w.raw(&input),
                Err(_) => w.object(|_| {}),
            }
            encode_cache(w, call.cache.as_ref());
            w.ext(&call.ext);
        }),
        Part::ToolResult(result) => w.object(|w| {
            w.key("type").string("tool_result");
            w.key("tool_use_id").string(&result.call_id);
            if !matches!(result.form, ContentForm::Absent | ContentForm::Null) {
                w.key("content");
                encode_content(w, result.content.iter(), result.form);
            }
            w.optional_bool("is_error", result.is_error);
            encode_cache(w, result.cache.as_ref());
            w.ext(&result.ext);
        }),
        Part::Reasoning(reasoning) => w.object(|w| match &reasoning.redacted {
            Some(data) => {
                w.key("type").string("redacted_thinking");
                w.key("data").string(data);
                w.ext(&reasoning.ext);
            }
            None => {
                w.key("type").string("thinking");
                w.key("thinking").string(&reasoning.text);
                w.optional_string("signature", reasoning.signature.as_deref());
                w.ext(&reasoning.ext);
            }
        }),
        Part::Opaque { raw, .. } => w.raw(raw),
    }
}

/// Writes `cache_control`: as it was, or for another dialect's hint with the nearest lifetime.
pub(super) fn encode_cache(w: &mut Writer<'_>, cache: Option<&CacheHint>) {
    let Some(cache) = cache else { return };
    w.key("cache_control");
    if cache.dialect == ORIGIN {
        return w.raw(&cache.raw);
    }
    w.object(|w| {
        w.key("type").string("ephemeral");
        match cache.ttl.as_deref() {
            None => {}
            Some("5m") => w.key("ttl").string("5m"),
            Some(_) => w.key("ttl").string("1h"),
        }
    });
}

/// A thinking block; our own envelope in place of a signature names another maker.
fn decode_reasoning(text: String, signature: Option<String>, ext: Ext) -> Reasoning {
    match signature.as_deref().and_then(envelope::open) {
        Some(opened) => Reasoning { text, ext, ..opened },
        None => Reasoning {
            text,
            signature,
            origin: Some(ORIGIN),
            ext,
            ..Reasoning::default()
        },
    }
}

fn decode_tool_result(mut object: Object<'_>, nulls: Ext) -> Result<Part, DecodeError> {
    let path = object.path_of("content");
    let call_id = object.require_string("tool_use_id")?;
    let (content, form) = match object.take("content") {
        Some(raw) => decode_nested(raw, &path, Nesting::ToolResult)?,
        None => (Vec::new(), ContentForm::Absent),
    };
    Ok(Part::ToolResult(ToolResult {
        call_id,
        content,
        form,
        is_error: object.take_bool("is_error")?,
        cache: take_cache(&mut object)?,
        ext: rest(object, nulls),
    }))
}

fn decode_media(kind: MediaKind, mut object: Object<'_>, nulls: Ext) -> Result<Part, DecodeError> {
    let path = object.path_of("source");
    let Some(source) = object.take("source") else {
        return Err(DecodeError::new(path, "is missing; an object is required"));
    };
    Ok(Part::Media(Media {
        kind,
        source: decode_source(source, path)?,
        name: if kind == MediaKind::Document {
            object.take_string("title")?
        } else {
            None
        },
        detail: None,
        cache: take_cache(&mut object)?,
        ext: rest(object, nulls),
    }))
}

fn decode_source(raw: Raw<'_>, path: String) -> Result<MediaSource, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let kind = object.require_string("type")?;
    let source = match kind.as_str() {
        "base64" => MediaSource::Base64 {
            media_type: object.require_string("media_type")?,
            data: object.require_string("data")?,
        },
        "text" => MediaSource::Text {
            media_type: object.require_string("media_type")?,
            data: object.require_string("data")?,
        },
        "url" => MediaSource::Url(object.require_string("url")?),
        "file" => MediaSource::FileId(object.require_string("file_id")?),
        _ => return Ok(MediaSource::Opaque(RawJson::from(raw))),
    };
    // A source has no bag, so one with more members than we know is kept whole.
    Ok(if object.into_ext().is_empty() {
        source
    } else {
        MediaSource::Opaque(RawJson::from(raw))
    })
}

fn encode_media(w: &mut Writer<'_>, media: &Media) {
    w.object(|w| {
        w.key("type").string(if media.kind == MediaKind::Image {
            "image"
        } else {
            "document"
        });
        w.key("source");
        encode_source(w, &media.source);
        if media.kind != MediaKind::Image {
            w.optional_string("title", media.name.as_deref());
        }
        encode_cache(w, media.cache.as_ref());
        w.ext(&media.ext);
    });
}

fn encode_source(w: &mut Writer<'_>, source: &MediaSource) {
    let typed_data = |w: &mut Writer<'_>, kind: &str, media_type: &str, data: &str| {
        w.object(|w| {
            w.key("type").string(kind);
            w.key("media_type").string(media_type);
            w.key("data").string(data);
        });
    };
    match source {
        MediaSource::Base64 { media_type, data } => typed_data(w, "base64", media_type, data),
        MediaSource::Text { media_type, data } => typed_data(w, "text", media_type, data),
        MediaSource::Url(url) => w.object(|w| {
            w.key("type").string("url");
            w.key("url").string(url);
        }),
        MediaSource::FileId(id) => w.object(|w| {
            w.key("type").string("file");
            w.key("file_id").string(id);
        }),
        MediaSource::Opaque(raw) => w.raw(raw),
    }
}
