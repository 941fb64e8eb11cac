//! Images, documents, video and audio: `{"format", "source": {"bytes"}}` here, a media type elsewhere.
//!
//! Nothing is fetched and no picture is looked into; a format is believed as it is written.

use crate::json::Raw;

use super::part::rest;
use crate::canonical::{DecodeError, Media, MediaKind, MediaSource, Part};
use crate::json::{Object, RawJson, Writer};

/// The member of a bag with a format that the media type does not tell.
const FORMAT: &str = "format";

/// Formats and their media types; the first with a media type is the one that is written for it.
const FORMATS: [(MediaKind, &str, &str); 36] = [
    (MediaKind::Image, "png", "image/png"),
    (MediaKind::Image, "jpeg", "image/jpeg"),
    (MediaKind::Image, "jpeg", "image/jpg"),
    (MediaKind::Image, "gif", "image/gif"),
    (MediaKind::Image, "webp", "image/webp"),
    (MediaKind::Document, "pdf", "application/pdf"),
    (MediaKind::Document, "txt", "text/plain"),
    (MediaKind::Document, "md", "text/markdown"),
    (MediaKind::Document, "html", "text/html"),
    (MediaKind::Document, "csv", "text/csv"),
    (MediaKind::Document, "doc", "application/msword"),
    (
        MediaKind::Document,
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (MediaKind::Document, "xls", "application/vnd.ms-excel"),
    (
        MediaKind::Document,
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (MediaKind::Video, "mp4", "video/mp4"),
    (MediaKind::Video, "mov", "video/quicktime"),
    (MediaKind::Video, "mkv", "video/x-matroska"),
    (MediaKind::Video, "webm", "video/webm"),
    (MediaKind::Video, "flv", "video/x-flv"),
    (MediaKind::Video, "mpeg", "video/mpeg"),
    (MediaKind::Video, "mpg", "video/mpg"),
    (MediaKind::Video, "wmv", "video/x-ms-wmv"),
    (MediaKind::Video, "three_gp", "video/3gpp"),
    (MediaKind::Audio, "mp3", "audio/mp3"),
    (MediaKind::Audio, "mpeg", "audio/mpeg"),
    (MediaKind::Audio, "wav", "audio/wav"),
    (MediaKind::Audio, "aac", "audio/aac"),
    (MediaKind::Audio, "flac", "audio/flac"),
    (MediaKind::Audio, "ogg", "audio/ogg"),
    (MediaKind::Audio, "opus", "audio/opus"),
    (MediaKind::Audio, "webm", "audio/webm"),
    (MediaKind::Audio, "mp4", "audio/mp4"),
    (MediaKind::Audio, "m4a", "audio/m4a"),
    (MediaKind::Audio, "pcm", "audio/pcm"),
    (MediaKind::Audio, "mkv", "audio/x-matroska"),
    (MediaKind::Audio, "x-aac", "audio/x-aac"),
];

/// The format of a media type, if the provider takes it.
pub(super) fn format_of(kind: MediaKind, media_type: &str) -> Option<&'static str> {
    FORMATS
        .iter()
        .find(|(of, _, known)| *of == kind && known.eq_ignore_ascii_case(media_type))
        .map(|(_, format, _)| *format)
}

fn media_type_of(kind: MediaKind, format: &str) -> String {
    let known = FORMATS
        .iter()
        .find(|(of, known, _)| *of == kind && *known == format);
    match (known, kind) {
        (Some((_, _, media_type)), _) => (*media_type).to_owned(),
        (None, MediaKind::Image) => format!("image/{format}"),
        (None, MediaKind::Document) => format!("application/{format}"),
        (None, MediaKind::Audio) => format!("audio/{format}"),
        (None, MediaKind::Video) => format!("video/{format}"),
    }
}

pub(super) const fn block_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Document => "document",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// Reads a block of this kind.
pub(super) fn decode(kind: MediaKind, inner: Raw<'_>, path: String) -> Result<Part, DecodeError> {
    let mut object = Object::parse(inner.get(), path)?;
    let nulls = object.take_nulls();
    let format = object.take_string(FORMAT)?;
    let Some(raw_source) = object.take("source") else {
        return Err(DecodeError::new(
            object.path_of("source"),
            "is missing; an object is required",
        ));
    };
    let media_type = format
        .as_deref()
        .map_or_else(|| "text/plain".to_owned(), |format| media_type_of(kind, format));
    let mut source = Object::parse(raw_source.get(), object.path_of("source"))?;
    let only = source.only().map(|(name, _)| name.to_owned());
    let source = match only.as_deref() {
        Some("bytes") => MediaSource::Base64 {
            media_type,
            data: source.require_string("bytes")?,
        },
        Some("text") => MediaSource::Text {
            media_type,
            data: source.require_string("text")?,
        },
        // A file in a store of Amazon's, or a document in pieces.
        _ => MediaSource::Opaque(RawJson::from(raw_source)),
    };
    let name = match kind {
        MediaKind::Document => object.take_string("name")?,
        _ => None,
    };
    let mut ext = rest(object, nulls);
    if told_format(kind, &source).as_deref() != format.as_deref() {
        let kept = format.map_or_else(RawJson::null, |format| RawJson::string(&format));
        ext.0.push((FORMAT.to_owned(), kept));
    }
    Ok(Part::Media(Media {
        kind,
        source,
        name,
        detail: None,
        cache: None,
        ext,
    }))
}

/// The format that the media type tells.
fn told_format(kind: MediaKind, source: &MediaSource) -> Option<String> {
    let (MediaSource::Base64 { media_type, .. } | MediaSource::Text { media_type, .. }) = source else {
        return None;
    };
    let unknown = || Some(media_type.rsplit('/').next()?.to_owned());
    format_of(kind, media_type).map(str::to_owned).or_else(unknown)
}

/// Writes a block. What this dialect cannot say must have been taken out before.
pub(super) fn write(w: &mut Writer<'_>, media: &Media) {
    w.object(|w| {
        w.key(block_name(media.kind)).object(|w| {
            match media.ext.get(FORMAT) {
                Some(format) if format.text() == "null" => {}
                Some(format) => w.key(FORMAT).raw(format),
                None => w.optional_string(FORMAT, told_format(media.kind, &media.source).as_deref()),
            }
            w.optional_string("name", media.name.as_deref());
            w.key("source");
            match &media.source {
                MediaSource::Base64 { data, .. } => w.object(|w| w.key("bytes").string(data)),
                MediaSource::Text { data, .. } => w.object(|w| w.key("text").string(data)),
                MediaSource::Opaque(raw) => w.raw(raw),
                // Reported as rejected; no such source reaches this place.
                MediaSource::Url(_) | MediaSource::FileId(_) => w.object(|_| {}),
            }
            for (name, raw) in media.ext.iter().filter(|(name, _)| *name != FORMAT) {
                w.key(name).raw(raw);
            }
        });
    });
}
