//! Content parts: text, refusals and media.

use crate::json::Raw;

use super::ORIGIN;
use crate::canonical::{CacheHint, DecodeError, Ext, Media, MediaKind, MediaSource, Part, Role, Text};
use crate::json::{Object, RawJson, Writer};
use crate::openai_chat::ext::{inner, is_marked, keep_inner, leftover, mark, open, without};
use crate::openai_chat::{address_of, source_of};

/// Reads the parts of a content list of a message of `role`.
pub(super) fn decode_parts(list: &[Raw<'_>], role: Role, path: &str) -> Result<Vec<Part>, DecodeError> {
    list.iter()
        .enumerate()
        .map(|(i, raw)| decode_part(*raw, role, &crate::path::item(path, i)))
        .collect()
}

/// The `type` of the texts of a role.
pub(super) fn text_kind(role: Role) -> &'static str {
    if role == Role::Assistant {
        "output_text"
    } else {
        "input_text"
    }
}

/// Reads one part. A part of unknown type, or a known one in an unknown shape, stays whole.
pub(super) fn decode_part(raw: Raw<'_>, role: Role, path: &str) -> Result<Part, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let kind = object.require_string("type")?;
    let part = match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            if kind != text_kind(role) {
                ext.0.push(("type".to_owned(), RawJson::string(&kind)));
            }
            Some(Part::Text(take_text(object, ext, "text")?))
        }
        "refusal" => Some(Part::Refusal(take_text(object, ext, "refusal")?)),
        "input_image" => decode_image(object, ext)?,
        "input_file" => decode_file(object, ext)?,
        "input_audio" => decode_audio(object, ext)?,
        _ => None,
    };
    Ok(part.unwrap_or_else(|| Part::Opaque {
        dialect: ORIGIN,
        kind,
        raw: RawJson::from(raw),
    }))
}

fn take_text(mut object: Object<'_>, nulls: Ext, member: &str) -> Result<Text, DecodeError> {
    let text = object.require_string(member)?;
    let cache = take_cache(&mut object);
    Ok(Text {
        text,
        cache,
        ext: leftover(object, nulls),
    })
}

/// An image by its address, its data or its id.
fn decode_image(mut object: Object<'_>, nulls: Ext) -> Result<Option<Part>, DecodeError> {
    let source = if object.has("image_url") {
        source_of(&object.require_string("image_url")?)
    } else if let Some(id) = object.take_string("file_id")? {
        MediaSource::FileId(id)
    } else {
        return Ok(None);
    };
    let detail = object.take_string("detail")?;
    let cache = take_cache(&mut object);
    Ok(Some(Part::Media(Media {
        kind: MediaKind::Image,
        source,
        name: None,
        detail,
        cache,
        ext: leftover(object, nulls),
    })))
}

/// A file by its data, its address or its id. Data is a data URL, or base64 alone, whose type the name tells.
fn decode_file(mut object: Object<'_>, mut ext: Ext) -> Result<Option<Part>, DecodeError> {
    let name = object.take_string("filename")?;
    let source = if let Some(data) = object.take_string("file_data")? {
        if data.starts_with("data:") {
            source_of(&data)
        } else {
            mark(&mut ext, "file_data");
            let media_type = name.as_deref().map_or("application/pdf", type_of_name).to_owned();
            MediaSource::Base64 { media_type, data }
        }
    } else if let Some(address) = object.take_string("file_url")? {
        MediaSource::Url(address)
    } else if let Some(id) = object.take_string("file_id")? {
        MediaSource::FileId(id)
    } else {
        return Ok(None);
    };
    if matches!(&source, MediaSource::Url(address) if address.starts_with("data:")) {
        // A data URL that is not base64; only this dialect can say it again.
        return Ok(None);
    }
    let cache = take_cache(&mut object);
    Ok(Some(Part::Media(Media {
        kind: MediaKind::Document,
        source,
        name,
        detail: None,
        cache,
        ext: leftover(object, ext),
    })))
}

fn type_of_name(name: &str) -> &'static str {
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("txt" | "md" | "csv" | "json" | "html" | "xml") => "text/plain",
        _ => "application/pdf",
    }
}

fn decode_audio(mut object: Object<'_>, mut ext: Ext) -> Result<Option<Part>, DecodeError> {
    let Some(mut audio) = object.take_object("input_audio")? else {
        return Ok(None);
    };
    let nulls = audio.take_nulls();
    let data = audio.require_string("data")?;
    let media_type = format!("audio/{}", audio.require_string("format")?);
    keep_inner(&mut ext, "input_audio", &leftover(audio, nulls));
    let cache = take_cache(&mut object);
    Ok(Some(Part::Media(Media {
        kind: MediaKind::Audio,
        source: MediaSource::Base64 { media_type, data },
        name: None,
        detail: None,
        cache,
        ext: leftover(object, ext),
    })))
}

/// Takes a cache breakpoint.
fn take_cache(object: &mut Object<'_>) -> Option<CacheHint> {
    let raw = object.peek(BREAKPOINT)?;
    let mut hint = Object::parse(raw.get(), "").ok()?;
    let ttl = hint.take_string("ttl").ok()?;
    object.take(BREAKPOINT);
    Some(CacheHint {
        ttl,
        dialect: ORIGIN,
        raw: RawJson::from(raw),
    })
}

/// The member that asks for the prompt to be cached up to its part; OpenAI's two dialects share it.
pub(super) const BREAKPOINT: &str = "prompt_cache_breakpoint";

/// Writes a part of this dialect as it came; `kind` is the usual type of texts where it stands.
pub(super) fn write_own_part(w: &mut Writer<'_>, part: &Part, kind: &str) {
    match part {
        Part::Text(text) => w.object(|w| {
            match text.ext.get("type") {
                Some(kind) => w.key("type").raw(kind),
                None => w.key("type").string(kind),
            }
            w.key("text").string(&text.text);
            write_cache(w, text.cache.as_ref());
            w.ext(&without(&text.ext, &["type", super::ITEM, super::ITEM_END]));
        }),
        Part::Refusal(text) => w.object(|w| {
            w.key("type").string("refusal");
            w.key("refusal").string(&text.text);
            w.ext(&without(&text.ext, &[super::ITEM, super::ITEM_END]));
        }),
        Part::Media(media) => write_own_media(w, media),
        Part::Opaque { raw, .. } => w.raw(raw),
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => {}
    }
}

fn write_own_media(w: &mut Writer<'_>, media: &Media) {
    w.object(|w| match media.kind {
        MediaKind::Image => {
            write_image(w, &media.source, media.detail.as_deref());
            write_cache(w, media.cache.as_ref());
            w.ext(&media.ext);
        }
        MediaKind::Audio | MediaKind::Video => {
            w.key("type").string("input_audio");
            w.key("input_audio").object(|w| {
                if let MediaSource::Base64 { media_type, data } = &media.source {
                    w.key("data").string(data);
                    w.key("format")
                        .string(media_type.strip_prefix("audio/").unwrap_or(media_type));
                }
                w.ext(&inner(&media.ext, "input_audio"));
            });
            write_cache(w, media.cache.as_ref());
            w.ext(&without(&media.ext, &["input_audio"]));
        }
        MediaKind::Document => {
            match &media.source {
                MediaSource::Base64 { data, .. } if is_marked(&media.ext, "file_data") => {
                    w.key("type").string("input_file");
                    w.key("file_data").string(data);
                    w.optional_string("filename", media.name.as_deref());
                }
                source => write_file(w, source, media.name.as_deref()),
            }
            write_cache(w, media.cache.as_ref());
            w.ext(&without(&media.ext, &["file_data"]));
        }
    });
}

/// Writes the members of an image.
pub(super) fn write_image(w: &mut Writer<'_>, source: &MediaSource, detail: Option<&str>) {
    w.key("type").string("input_image");
    match source {
        MediaSource::FileId(id) => w.key("file_id").string(id),
        source => w.key("image_url").string(&address_of(source)),
    }
    w.optional_string("detail", detail);
}

/// Writes the members of a file.
pub(super) fn write_file(w: &mut Writer<'_>, source: &MediaSource, name: Option<&str>) {
    w.key("type").string("input_file");
    match source {
        MediaSource::FileId(id) => w.key("file_id").string(id),
        MediaSource::Url(address) => w.key("file_url").string(address),
        source => w.key("file_data").string(&address_of(source)),
    }
    w.optional_string("filename", name);
}

/// Writes a cache breakpoint of OpenAI's dialects.
pub(super) fn write_cache(w: &mut Writer<'_>, cache: Option<&CacheHint>) {
    if let Some(hint) = cache.filter(|hint| is_breakpoint(hint)) {
        w.key(BREAKPOINT).raw(&hint.raw);
    }
}

/// Whether a hint is one that this dialect writes.
pub(super) fn is_breakpoint(hint: &CacheHint) -> bool {
    hint.dialect == ORIGIN
        || (hint.dialect == crate::Dialect::OpenaiChat
            && Object::parse(hint.raw.text(), "").is_ok_and(|object| object.has("mode")))
}
