//! Content parts: text and media.

use crate::json::Raw;

use super::ext::{inner, is_marked, keep_inner, leftover, mark, open, without};
use crate::Dialect;
use crate::canonical::{CacheHint, DecodeError, Ext, Media, MediaKind, MediaSource, Part, Reasoning, Text};
use crate::json::{Object, RawJson, Writer};

/// Reads the parts of a content list.
pub(super) fn decode_parts(list: &[Raw<'_>], path: &str) -> Result<Vec<Part>, DecodeError> {
    list.iter()
        .enumerate()
        .map(|(i, raw)| decode_part(*raw, &crate::path::item(path, i)))
        .collect()
}

/// Reads one part. A part of unknown type, or a known one in an unknown shape, stays whole.
fn decode_part(raw: Raw<'_>, path: &str) -> Result<Part, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let kind = object.require_string("type")?;
    let part = match kind.as_str() {
        "text" => {
            let text = object.require_string("text")?;
            let cache = take_cache(&mut object);
            Some(Part::Text(Text {
                text,
                cache,
                ext: leftover(object, ext),
            }))
        }
        "refusal" => {
            let text = object.require_string("refusal")?;
            Some(Part::Refusal(Text {
                text,
                cache: None,
                ext: leftover(object, ext),
            }))
        }
        "thinking" => decode_thinking(object, ext),
        "image_url" | "video_url" | "document_url" => Some(decode_address(&kind, object, ext)?),
        "file" => decode_file(object, ext)?,
        "input_audio" => {
            let audio = decode_audio(&mut object, &mut ext)?;
            audio.map(|source| finish_media(MediaKind::Audio, source, object, ext))
        }
        _ => None,
    };
    Ok(part.unwrap_or_else(|| Part::Opaque {
        dialect: Dialect::OpenaiChat,
        kind,
        raw: RawJson::from(raw),
    }))
}

/// `image_url`, `video_url` and Mistral's `document_url`: an object with `url`, or the address itself.
fn decode_address(kind: &str, mut object: Object<'_>, mut ext: Ext) -> Result<Part, DecodeError> {
    let path = object.path_of(kind);
    let raw = take_required(&mut object, kind)?;
    let (address, detail) = match serde_json::from_str::<String>(raw.get()) {
        Ok(address) => {
            mark(&mut ext, kind);
            (address, None)
        }
        Err(_) => {
            let (mut inside, nulls) = open(raw.get(), path)?;
            let address = inside.require_string("url")?;
            let detail = if kind == "image_url" {
                inside.take_string("detail")?
            } else {
                None
            };
            let rest = leftover(inside, nulls);
            if kind == "document_url" {
                // Tells this member apart from `file`, also when nothing is left.
                ext.0.push((kind.to_owned(), RawJson::object(&rest)));
            } else {
                keep_inner(&mut ext, kind, &rest);
            }
            (address, detail)
        }
    };
    let media_kind = match kind {
        "image_url" => MediaKind::Image,
        "video_url" => MediaKind::Video,
        _ => MediaKind::Document,
    };
    let name = if kind == "document_url" {
        object.take_string("document_name")?
    } else {
        None
    };
    let cache = take_cache(&mut object);
    let source = source_of(&address);
    Ok(Part::Media(Media {
        kind: media_kind,
        source,
        name,
        detail,
        cache,
        ext: leftover(object, ext),
    }))
}

/// `file`: by id, or its data as a data URL (or, with some providers, an address).
fn decode_file(mut object: Object<'_>, mut ext: Ext) -> Result<Option<Part>, DecodeError> {
    let raw = take_required(&mut object, "file")?;
    let (mut file, nulls) = open(raw.get(), object.path_of("file"))?;
    let id = file.take_string("file_id")?;
    let data = file.take_string("file_data")?;
    let name = file.take_string("filename")?;
    let source = match (id, data) {
        (Some(id), None) => MediaSource::FileId(id),
        (None, Some(data)) if data.starts_with("data:") || is_address(&data) => source_of(&data),
        _ => return Ok(None),
    };
    keep_inner(&mut ext, "file", &leftover(file, nulls));
    let Part::Media(media) = finish_media(MediaKind::Document, source, object, ext) else {
        return Ok(None);
    };
    Ok(Some(Part::Media(Media { name, ..media })))
}

/// `input_audio`: an object with `data` and `format`, or (Mistral) an address.
fn decode_audio(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<MediaSource>, DecodeError> {
    let path = object.path_of("input_audio");
    let raw = take_required(object, "input_audio")?;
    if let Ok(address) = serde_json::from_str::<String>(raw.get()) {
        mark(ext, "input_audio");
        return Ok(is_address(&address).then_some(MediaSource::Url(address)));
    }
    let (mut audio, nulls) = open(raw.get(), path)?;
    let data = audio.require_string("data")?;
    let media_type = format!("audio/{}", audio.require_string("format")?);
    keep_inner(ext, "input_audio", &leftover(audio, nulls));
    Ok(Some(MediaSource::Base64 { media_type, data }))
}

fn take_required<'a>(object: &mut Object<'a>, name: &str) -> Result<Raw<'a>, DecodeError> {
    object
        .take(name)
        .ok_or_else(|| DecodeError::new(object.path_of(name), "is missing; an object is required"))
}

fn finish_media(kind: MediaKind, source: MediaSource, mut object: Object<'_>, ext: Ext) -> Part {
    let cache = take_cache(&mut object);
    Part::Media(Media {
        kind,
        source,
        name: None,
        detail: None,
        cache,
        ext: leftover(object, ext),
    })
}

/// Mistral's `thinking` part: a list of text pieces. More than one piece stays beside the joined text as it was.
fn decode_thinking(mut object: Object<'_>, mut ext: Ext) -> Option<Part> {
    let raw = object.take("thinking")?;
    let pieces: Vec<Raw<'_>> = serde_json::from_str(raw.get()).ok()?;
    let mut text = String::new();
    let mut plain = pieces.len() == 1;
    for piece in pieces {
        let mut piece = Object::parse(piece.get(), "").ok()?;
        plain &= piece.take_string("type").ok()?.as_deref() == Some("text");
        text.push_str(&piece.take_string("text").ok()??);
        plain &= piece.into_ext().is_empty();
    }
    if !plain {
        ext.0.push(("thinking".to_owned(), RawJson::from(raw)));
    }
    Some(Part::Reasoning(Reasoning {
        text,
        origin: Some(Dialect::OpenaiChat),
        member: Some(THINKING.to_owned()),
        ext: leftover(object, ext),
        ..Reasoning::default()
    }))
}

/// The member name of reasoning that stands as a `thinking` part in the content list.
pub(super) const THINKING: &str = "thinking";

/// Whether reasoning stands as a `thinking` part in the content list. Anthropic's blocks have that name too.
pub(super) fn stands_in_content(reasoning: &Reasoning) -> bool {
    reasoning.origin == Some(Dialect::OpenaiChat) && reasoning.member.as_deref() == Some(THINKING)
}

/// Writes a part of this dialect as it came.
pub(super) fn write_own_part(w: &mut Writer<'_>, part: &Part) {
    match part {
        Part::Text(text) => write_text(w, "text", text),
        Part::Refusal(text) => write_text(w, "refusal", text),
        Part::Media(media) => write_own_media(w, media),
        Part::Reasoning(reasoning) => write_thinking(w, reasoning),
        Part::Opaque { raw, .. } => w.raw(raw),
        Part::ToolCall(_) | Part::ToolResult(_) => {}
    }
}

fn write_text(w: &mut Writer<'_>, kind: &str, text: &Text) {
    w.object(|w| {
        w.key("type").string(kind);
        w.key(kind).string(&text.text);
        write_cache(w, text.cache.as_ref());
        w.ext(&text.ext);
    });
}

/// Writes a `thinking` part.
pub(super) fn write_thinking(w: &mut Writer<'_>, reasoning: &Reasoning) {
    w.object(|w| {
        w.key("type").string("thinking");
        if reasoning.ext.get("thinking").is_none() {
            w.key("thinking").array(|w| {
                w.object(|w| {
                    w.key("type").string("text");
                    w.key("text").string(&reasoning.text);
                });
            });
        }
        w.ext(&reasoning.ext);
    });
}

fn write_own_media(w: &mut Writer<'_>, media: &Media) {
    let member = match media.kind {
        MediaKind::Image => "image_url",
        MediaKind::Video => "video_url",
        MediaKind::Audio => "input_audio",
        MediaKind::Document if media.ext.get("document_url").is_some() => "document_url",
        MediaKind::Document => "file",
    };
    w.object(|w| {
        w.key("type").string(member);
        if is_marked(&media.ext, member) {
            w.key(member).string(&address_of(&media.source));
        } else {
            w.key(member).object(|w| write_inside(w, member, media));
        }
        if member == "document_url" {
            w.optional_string("document_name", media.name.as_deref());
        }
        write_cache(w, media.cache.as_ref());
        w.ext(&without(&media.ext, &[member]));
    });
}

fn write_inside(w: &mut Writer<'_>, member: &str, media: &Media) {
    match (member, &media.source) {
        ("file", MediaSource::FileId(id)) => w.key("file_id").string(id),
        ("file", source) => w.key("file_data").string(&address_of(source)),
        ("input_audio", MediaSource::Base64 { media_type, data }) => {
            w.key("data").string(data);
            w.key("format")
                .string(media_type.strip_prefix("audio/").unwrap_or(media_type));
        }
        (_, source) => w.key("url").string(&address_of(source)),
    }
    if member == "file" {
        w.optional_string("filename", media.name.as_deref());
    }
    w.optional_string("detail", media.detail.as_deref());
    w.ext(&inner(&media.ext, member));
}

/// A data URL, or the address itself.
pub(crate) fn address_of(source: &MediaSource) -> String {
    match source {
        MediaSource::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        MediaSource::Url(address) | MediaSource::FileId(address) => address.clone(),
        MediaSource::Text { data, .. } => data.clone(),
        MediaSource::Opaque(raw) => raw.as_string().unwrap_or_default(),
    }
}

/// The source that an address names: data if it is a data URL of base64, else the address.
pub(crate) fn source_of(address: &str) -> MediaSource {
    let parts = address
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"));
    match parts {
        Some((media_type, data)) => MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        },
        None => MediaSource::Url(address.to_owned()),
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// Takes a cache breakpoint: OpenAI's `prompt_cache_breakpoint` (it has a `mode`) or Anthropic's `cache_control`, which
/// some providers accept here too.
pub(super) fn take_cache(object: &mut Object<'_>) -> Option<CacheHint> {
    for name in ["prompt_cache_breakpoint", "cache_control"] {
        let Some(raw) = object.peek(name) else { continue };
        let Ok(mut hint) = Object::parse(raw.get(), "") else {
            continue;
        };
        if hint.has("mode") != (name == "prompt_cache_breakpoint") {
            continue;
        }
        let ttl = hint.take_string("ttl").ok().flatten();
        object.take(name);
        return Some(CacheHint {
            ttl,
            dialect: Dialect::OpenaiChat,
            raw: RawJson::from(raw),
        });
    }
    None
}

/// Writes a cache breakpoint of this dialect.
pub(super) fn write_cache(w: &mut Writer<'_>, cache: Option<&CacheHint>) {
    let Some(hint) = cache.filter(|hint| hint.dialect == Dialect::OpenaiChat) else {
        return;
    };
    let is_breakpoint = Object::parse(hint.raw.text(), "").is_ok_and(|object| object.has("mode"));
    w.key(if is_breakpoint {
        "prompt_cache_breakpoint"
    } else {
        "cache_control"
    })
    .raw(&hint.raw);
}
