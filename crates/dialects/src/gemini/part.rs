//! Parts, read: the pieces that contents and answers are made of.
//!
//! Gemini signs parts of any kind. The canonical form keeps proofs in [`Part::Reasoning`], so a signature becomes one next to
//! the part it stands beside; its `member` says where that is, see [`THOUGHT`], [`ALONE`], [`TEXT`].

use crate::json::Raw;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};

use super::fields::{keep_inner, leftover, open, take_object};
use super::ids::CallIds;
use crate::canonical::{
    ContentForm, DecodeError, Ext, Media, MediaKind, MediaSource, Part, Reasoning, Text, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::json::{Object, RawJson};
use crate::{Dialect, envelope};

const ORIGIN: Dialect = Dialect::Gemini;

/// `member` of a thought: a part of its own, with or without a signature.
pub(crate) const THOUGHT: &str = "thought";
/// `member` of a signature in a part with empty text, which stands for itself.
pub(crate) const ALONE: &str = "thoughtSignature";
/// `member` of the signature of the text in front of it.
pub(crate) const TEXT: &str = "text";
// Every other `member` is the signature of the part behind it; it is called as that part's data.

/// The members of a part of which there is one.
const DATA: [&str; 8] = [
    "text",
    "functionCall",
    "functionResponse",
    "inlineData",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
];

/// Reads one part and appends it, with its signature, to `parts`.
pub(super) fn decode(
    raw: Raw<'_>,
    path: String,
    calls: &mut CallIds,
    parts: &mut Vec<Part>,
) -> Result<(), DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let Some(kind) = DATA.into_iter().find(|name| object.has(name)) else {
        return decode_other(raw, object, parts);
    };
    if matches!(kind, "executableCode" | "codeExecutionResult" | "toolCall") {
        parts.push(opaque(kind, raw));
        return Ok(());
    }
    let signature = object
        .take_string("thoughtSignature")?
        .filter(|text| !text.is_empty());
    match kind {
        "text" => decode_text(object, nulls, signature, parts),
        "functionCall" => {
            let call = decode_call(object, nulls, calls)?;
            parts.extend(signature.map(|signature| {
                Part::Reasoning(Reasoning {
                    of_call: Some(call.id.clone()),
                    ..proof(signature, kind)
                })
            }));
            parts.push(Part::ToolCall(call));
            Ok(())
        }
        "functionResponse" => {
            let result = decode_result(object, nulls, calls)?;
            parts.push(Part::ToolResult(result));
            Ok(())
        }
        _ => {
            parts.extend(signature.map(|signature| Part::Reasoning(proof(signature, kind))));
            parts.push(Part::Media(decode_media(kind, object, nulls)?));
            Ok(())
        }
    }
}

/// A part without data that is known: one of another kind, or a signature without anything.
fn decode_other(raw: Raw<'_>, mut object: Object<'_>, parts: &mut Vec<Part>) -> Result<(), DecodeError> {
    let signature = object.take_string("thoughtSignature")?;
    let rest = object.into_ext();
    let kind = rest.iter().find(|(name, _)| *name != THOUGHT);
    match (kind, signature) {
        (None, Some(signature)) => parts.push(Part::Reasoning(proof(signature, ALONE))),
        (Some((kind, _)), _) => parts.push(opaque(kind, raw)),
        (None, None) => parts.push(opaque("part", raw)),
    }
    Ok(())
}

fn opaque(kind: &str, raw: Raw<'_>) -> Part {
    Part::Opaque {
        dialect: ORIGIN,
        kind: kind.to_owned(),
        raw: RawJson::from(raw),
    }
}

fn decode_text(
    mut object: Object<'_>,
    nulls: Ext,
    signature: Option<String>,
    parts: &mut Vec<Part>,
) -> Result<(), DecodeError> {
    let text = object.require_string("text")?;
    if object.peek(THOUGHT).is_some_and(|raw| raw.get() == "true") {
        object.take(THOUGHT);
        let own = signature.map(|signature| proof(signature, THOUGHT));
        let foreign = own.as_ref().is_some_and(|proof| proof.origin != Some(ORIGIN));
        let before = if foreign {
            take_pieces(parts)
        } else {
            String::new()
        };
        parts.push(Part::Reasoning(Reasoning {
            text: before + &text,
            ext: leftover(object, nulls),
            ..own.unwrap_or_else(|| Reasoning {
                origin: Some(ORIGIN),
                member: Some(THOUGHT.to_owned()),
                ..Reasoning::default()
            })
        }));
        return Ok(());
    }
    let ext = leftover(object, nulls);
    match signature {
        Some(signature) if text.is_empty() && ext.is_empty() => {
            parts.push(Part::Reasoning(proof(signature, ALONE)));
        }
        signature => {
            parts.push(Part::Text(Text {
                text,
                cache: None,
                ext,
            }));
            parts.extend(signature.map(|signature| Part::Reasoning(proof(signature, TEXT))));
        }
    }
    Ok(())
}

/// The thoughts without a signature at the end of `parts`, taken from there: a stream tells another maker's reasoning piece by
/// piece, and its envelope behind them.
fn take_pieces(parts: &mut Vec<Part>) -> String {
    let is_piece = |part: &Part| match part {
        Part::Reasoning(reasoning) => {
            reasoning.signature.is_none()
                && reasoning.redacted.is_none()
                && reasoning.origin == Some(ORIGIN)
                && reasoning.ext.is_empty()
        }
        _ => false,
    };
    let pieces = parts.iter().rev().take_while(|part| is_piece(part)).count();
    let texts = parts.drain(parts.len() - pieces..).filter_map(|part| match part {
        Part::Reasoning(reasoning) => Some(reasoning.text),
        _ => None,
    });
    texts.collect()
}

/// The proof in a signature: Gemini's own, or in our envelope that of another maker.
pub(super) fn proof(signature: String, member: &str) -> Reasoning {
    match open_envelope(&signature) {
        Some(reasoning) => reasoning,
        None => Reasoning {
            signature: Some(signature),
            origin: Some(ORIGIN),
            member: Some(member.to_owned()),
            ..Reasoning::default()
        },
    }
}

/// Base64 as clients write it back: either alphabet, with or without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// The beginning of a `thoughtSignature` that is no signature of Gemini's but our envelope: `tollgate:` in base64, of which
/// both alphabets write these bytes alike.
pub const ENVELOPE_PREFIX: &str = "dG9sbGdhdGU6";

/// An envelope as a signature: signatures are bytes, and clients of this dialect decode and encode them.
pub(super) fn envelope_as_signature(envelope: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(envelope)
}

fn open_envelope(signature: &str) -> Option<Reasoning> {
    if !signature.starts_with(ENVELOPE_PREFIX) {
        return None;
    }
    let bytes = Engine::decode(&STANDARD, signature)
        .or_else(|_| Engine::decode(&URL_SAFE, signature))
        .ok()?;
    envelope::open(std::str::from_utf8(&bytes).ok()?)
}

fn decode_call(mut object: Object<'_>, nulls: Ext, calls: &mut CallIds) -> Result<ToolCall, DecodeError> {
    let Some((mut call, call_nulls)) = take_object(&mut object, "functionCall")? else {
        return Err(DecodeError::new(
            object.path_of("functionCall"),
            "expected an object",
        ));
    };
    let id = call.take_string("id")?;
    let name = call.take_string("name")?.unwrap_or_default();
    let arguments = call.take_some("args").map_or("{}", Raw::get).to_owned();
    let id = calls.call(id, &name, &arguments);
    let mut ext = leftover(object, nulls);
    keep_inner(&mut ext, "functionCall", &leftover(call, call_nulls), true);
    Ok(ToolCall {
        id,
        name,
        arguments,
        kind: ToolCallKind::Function,
        cache: None,
        ext,
    })
}

/// Reads a result. The whole of it stays in the bag too, because its object says more than the canonical content.
fn decode_result(mut object: Object<'_>, nulls: Ext, calls: &mut CallIds) -> Result<ToolResult, DecodeError> {
    let whole = object.peek("functionResponse").map(RawJson::from);
    let Some((mut result, _)) = take_object(&mut object, "functionResponse")? else {
        return Err(DecodeError::new(
            object.path_of("functionResponse"),
            "expected an object",
        ));
    };
    let id = result.take_string("id")?;
    let name = result.take_string("name")?.unwrap_or_default();
    let call_id = calls.result(id, &name);
    let mut content = Vec::new();
    let mut is_error = None;
    if let Some(response) = result.take_some("response") {
        let (text, failed) = read_response(response.get());
        is_error = failed.then_some(true);
        content.push(Part::Text(Text {
            text,
            ..Text::default()
        }));
    }
    let path = result.path_of("parts");
    for (i, raw) in result.take_array("parts")?.unwrap_or_default().iter().enumerate() {
        let (part, part_nulls) = open(raw.get(), crate::path::item(&path, i))?;
        let kind = ["inlineData", "fileData"].into_iter().find(|name| part.has(name));
        content.push(match kind {
            Some(kind) => Part::Media(decode_media(kind, part, part_nulls)?),
            None => opaque("functionResponse.parts", *raw),
        });
    }
    let mut ext = leftover(object, nulls);
    ext.0
        .extend(whole.map(|whole| ("functionResponse".to_owned(), whole)));
    Ok(ToolResult {
        call_id,
        content,
        form: ContentForm::List,
        is_error,
        cache: None,
        ext,
    })
}

/// The text of a response and whether it tells a failure. A response must be an object, so tools that answer with a text
/// have it wrapped: `{"result": "…"}`, `{"output": "…"}`, `{"error": "…"}`.
fn read_response(response: &str) -> (String, bool) {
    let members = Object::parse(response, "")
        .map(Object::into_ext)
        .unwrap_or_default();
    let [(name, value)] = members.0.as_slice() else {
        return (response.to_owned(), false);
    };
    match (name.as_str(), value.as_string()) {
        ("result" | "output", Some(text)) => (text, false),
        ("error", Some(text)) => (text, true),
        ("error", None) => (value.text().to_owned(), true),
        _ => (response.to_owned(), false),
    }
}

/// Reads `inlineData` or `fileData`.
/// Base64 in the alphabet that every dialect knows. Google takes the one for addresses as well, with or without padding.
fn standard_base64(data: String) -> String {
    if memchr::memchr2(b'-', b'_', data.as_bytes()).is_none() && data.len().is_multiple_of(4) {
        return data;
    }
    let mut standard = data.replace('-', "+").replace('_', "/");
    while standard.len() % 4 > 1 {
        standard.push('=');
    }
    standard
}

fn decode_media(name: &str, mut object: Object<'_>, nulls: Ext) -> Result<Media, DecodeError> {
    let Some((mut data, data_nulls)) = take_object(&mut object, name)? else {
        return Err(DecodeError::new(object.path_of(name), "expected an object"));
    };
    let display_name = data.take_string("displayName")?;
    let media_type = data.take_string("mimeType")?;
    let mut ext = leftover(object, nulls);
    let (kind, source) = if name == "inlineData" {
        let media_type = media_type.unwrap_or_default();
        let data = standard_base64(data.require_string("data")?);
        (kind_of(&media_type), MediaSource::Base64 { media_type, data })
    } else {
        let address = data.require_string("fileUri")?;
        let kind = match &media_type {
            Some(media_type) => kind_of(media_type),
            None => guess_kind(&address),
        };
        ext.0
            .extend(media_type.map(|text| ("mimeType".to_owned(), RawJson::string(&text))));
        (kind, source_of(address))
    };
    keep_inner(&mut ext, name, &leftover(data, data_nulls), true);
    Ok(Media {
        kind,
        source,
        name: display_name,
        detail: None,
        cache: None,
        ext,
    })
}

/// A file that only Google can read, or an address for everybody.
fn source_of(address: String) -> MediaSource {
    let is_public = address.starts_with("http://") || address.starts_with("https://");
    if is_public && !address.starts_with("https://generativelanguage.googleapis.com/") {
        MediaSource::Url(address)
    } else {
        MediaSource::FileId(address)
    }
}

fn kind_of(media_type: &str) -> MediaKind {
    match media_type.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// The kind of a file by the end of its address.
fn guess_kind(address: &str) -> MediaKind {
    media_type_of(address).map_or(MediaKind::Document, kind_of)
}

/// The media type of a file by the end of its address.
pub(super) fn media_type_of(address: &str) -> Option<&'static str> {
    let path = address.split(['?', '#']).next()?;
    Some(match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        _ => return None,
    })
}
