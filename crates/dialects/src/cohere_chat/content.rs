//! Parts of a content list: text, thinking, images and documents.

use crate::json::Raw;

use super::bag::{inner, keep_inner, leftover, open, without};
use super::{THINKING, TOOL_PLAN};
use crate::canonical::{ContentForm, DecodeError, Ext, Media, MediaKind, MediaSource, Part, Reasoning, Text};
use crate::json::{Object, RawJson, Writer};
use crate::{Dialect, envelope};

/// The member of a part of content that holds a document, and the bag's entry that keeps it whole.
pub(super) const DOCUMENT: &str = "document";
/// The member of a thinking part by which another maker's proof travels through clients of this dialect.
pub(super) const SIGNATURE: &str = "signature";
/// Beside [`SIGNATURE`]: the call that the proof belongs to.
pub(super) const OF_CALL: &str = "tool_call_id";

/// Takes `content`: a string, a list of parts, `null` or nothing.
pub(super) fn take(
    object: &mut Object<'_>,
    nulls: &mut Ext,
) -> Result<(Vec<Part>, ContentForm), DecodeError> {
    if let Some(position) = nulls.0.iter().position(|(key, _)| key == "content") {
        nulls.0.remove(position);
        return Ok((Vec::new(), ContentForm::Null));
    }
    let Some(raw) = object.take("content") else {
        return Ok((Vec::new(), ContentForm::Absent));
    };
    let path = object.path_of("content");
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(raw.get())
                .map_err(|error| DecodeError::new(path, format!("is not a valid string: {error}")))?;
            let parts = if text.is_empty() {
                Vec::new()
            } else {
                vec![plain(text)]
            };
            Ok((parts, ContentForm::String))
        }
        Some(b'[') => {
            let list = raw
                .elements()
                .map_err(|error| DecodeError::new(path.clone(), format!("is not a valid array: {error}")))?;
            let parts = list
                .iter()
                .enumerate()
                .map(|(i, raw)| decode(*raw, &crate::path::item(&path, i)))
                .collect::<Result<_, _>>()?;
            Ok((parts, ContentForm::List))
        }
        _ => {
            let found = crate::json::kind_of(raw.get());
            Err(DecodeError::new(
                path,
                format!("expected a string or an array of parts, found {found}"),
            ))
        }
    }
}

/// A text without anything beside it.
pub(super) fn plain(text: String) -> Part {
    Part::Text(Text {
        text,
        ..Text::default()
    })
}

/// Reads one part. A part of unknown type, or a known one in an unknown shape, stays whole.
fn decode(raw: Raw<'_>, path: &str) -> Result<Part, DecodeError> {
    let (mut object, ext) = open(raw.get(), path)?;
    let kind = object.require_string("type")?;
    let part = match kind.as_str() {
        "text" => Some(Part::Text(Text {
            text: object.require_string("text")?,
            cache: None,
            ext: leftover(object, ext),
        })),
        THINKING => Some(Part::Reasoning(decode_thinking(object, ext)?)),
        "image_url" => Some(decode_image(object, ext)?),
        DOCUMENT => decode_document(object, ext),
        _ => None,
    };
    Ok(part.unwrap_or_else(|| Part::Opaque {
        dialect: Dialect::CohereChat,
        kind,
        raw: RawJson::from(raw),
    }))
}

fn decode_thinking(mut object: Object<'_>, ext: Ext) -> Result<Reasoning, DecodeError> {
    let text = object.require_string(THINKING)?;
    let sealed = object
        .peek(SIGNATURE)
        .and_then(|raw| RawJson::from(raw).as_string())
        .and_then(|signature| envelope::open(&signature));
    if let Some(opened) = sealed {
        object.take(SIGNATURE);
        let of_call = object.take_string(OF_CALL)?;
        return Ok(Reasoning {
            text,
            of_call,
            ext: leftover(object, ext),
            ..opened
        });
    }
    Ok(Reasoning {
        text,
        origin: Some(Dialect::CohereChat),
        member: Some(THINKING.to_owned()),
        ext: leftover(object, ext),
        ..Reasoning::default()
    })
}

/// `image_url`: an object with `url`, or the address itself, which some servers take.
fn decode_image(mut object: Object<'_>, mut ext: Ext) -> Result<Part, DecodeError> {
    let path = object.path_of("image_url");
    let Some(raw) = object.take("image_url") else {
        return Err(DecodeError::new(path, "is missing; an object is required"));
    };
    let (address, detail) = if raw.get().starts_with('"') {
        let address: String = serde_json::from_str(raw.get())
            .map_err(|error| DecodeError::new(path, format!("is not a valid string: {error}")))?;
        // A mark for the way back.
        ext.0.push(("image_url".to_owned(), RawJson::null()));
        (address, None)
    } else {
        let (mut image, nulls) = open(raw.get(), path)?;
        let address = image.require_string("url")?;
        let detail = image.take_string("detail")?;
        keep_inner(&mut ext, "image_url", &leftover(image, nulls));
        (address, detail)
    };
    Ok(Part::Media(Media {
        kind: MediaKind::Image,
        source: source_of(&address),
        name: None,
        detail,
        cache: None,
        ext: leftover(object, ext),
    }))
}

/// A document is told to other dialects as the JSON text of its data, and kept whole beside it.
fn decode_document(mut object: Object<'_>, mut ext: Ext) -> Option<Part> {
    let raw = object.take(DOCUMENT)?;
    let data = Object::parse(raw.get(), "").ok()?.take("data")?;
    let text = RawJson::from(data);
    ext.0.push((DOCUMENT.to_owned(), RawJson::from(raw)));
    Some(Part::Text(Text {
        text: text.as_string().unwrap_or_else(|| text.text().to_owned()),
        cache: None,
        ext: leftover(object, ext),
    }))
}

fn source_of(address: &str) -> MediaSource {
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

/// A data URL, or the address itself.
pub(super) fn address_of(source: &MediaSource) -> String {
    match source {
        MediaSource::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        MediaSource::Url(address) | MediaSource::FileId(address) => address.clone(),
        MediaSource::Text { data, .. } => data.clone(),
        MediaSource::Opaque(raw) => raw.as_string().unwrap_or_default(),
    }
}

/// Whether reasoning is a plan for tools, which stands in a member of its own.
pub(super) fn is_plan(reasoning: &Reasoning) -> bool {
    reasoning.origin == Some(Dialect::CohereChat) && reasoning.member.as_deref() == Some(TOOL_PLAN)
}

/// Whether a part stands in `content`.
pub(super) fn is_content(part: &Part) -> bool {
    match part {
        Part::Text(_) | Part::Media(_) | Part::Refusal(_) => true,
        Part::Reasoning(reasoning) => !is_plan(reasoning),
        Part::Opaque { dialect, .. } => *dialect == Dialect::CohereChat,
        Part::ToolCall(_) | Part::ToolResult(_) => false,
    }
}

/// Writes `content` the way it was written, as far as the parts fit that way.
pub(super) fn write<'p>(w: &mut Writer<'_>, parts: impl Iterator<Item = &'p Part>, form: ContentForm) {
    let content: Vec<&Part> = parts.filter(|part| is_content(part)).collect();
    match (content.as_slice(), form) {
        ([], ContentForm::Absent) => {}
        ([], ContentForm::Null) => w.key("content").null(),
        ([], ContentForm::String) => w.key("content").string(""),
        ([Part::Text(text)], ContentForm::String | ContentForm::Null | ContentForm::Absent) => {
            w.key("content").string(&text.text);
        }
        (parts, _) => w
            .key("content")
            .array(|w| parts.iter().for_each(|part| write_part(w, part))),
    }
}

/// Writes a part of this dialect as it came.
pub(super) fn write_part(w: &mut Writer<'_>, part: &Part) {
    match part {
        Part::Text(text) | Part::Refusal(text) => w.object(|w| {
            let kind = if text.ext.get(DOCUMENT).is_some() {
                DOCUMENT
            } else {
                "text"
            };
            w.key("type").string(kind);
            if kind == "text" {
                w.key("text").string(&text.text);
            }
            w.ext(&text.ext);
        }),
        Part::Reasoning(reasoning) => w.object(|w| {
            w.key("type").string(THINKING);
            w.key(THINKING).string(&reasoning.text);
            w.ext(&reasoning.ext);
        }),
        Part::Media(media) => write_image(w, media),
        Part::Opaque { raw, .. } => w.raw(raw),
        Part::ToolCall(_) | Part::ToolResult(_) => {}
    }
}

fn write_image(w: &mut Writer<'_>, media: &Media) {
    let bare = media.ext.get("image_url").is_some_and(|raw| raw.text() == "null");
    w.object(|w| {
        w.key("type").string("image_url");
        w.key("image_url");
        if bare {
            w.string(&address_of(&media.source));
        } else {
            w.object(|w| {
                w.key("url").string(&address_of(&media.source));
                w.optional_string("detail", media.detail.as_deref());
                w.ext(&inner(&media.ext, "image_url"));
            });
        }
        w.ext(&without(&media.ext, &["image_url"]));
    });
}

/// Reasoning of another maker as a thinking part: its text, and an envelope with its proof, so that it is recognised when
/// it comes back.
pub(super) fn enveloped(reasoning: &Reasoning, origin: Dialect, model: &str) -> Part {
    let sealed = envelope::seal(reasoning, reasoning.origin.unwrap_or(origin), model);
    let mut ext = Ext(vec![(SIGNATURE.to_owned(), RawJson::string(&sealed))]);
    if let Some(call) = &reasoning.of_call {
        ext.0.push((OF_CALL.to_owned(), RawJson::string(call)));
    }
    Part::Reasoning(Reasoning {
        text: reasoning.text.clone(),
        origin: Some(Dialect::CohereChat),
        member: Some(THINKING.to_owned()),
        ext,
        ..Reasoning::default()
    })
}
