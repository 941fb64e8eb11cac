//! Parts, written, each with the signature that stands beside it.

use super::fields::{inner, without};
use super::part::{ALONE, TEXT, THOUGHT, media_type_of};
use super::{ids, part};
use crate::Dialect;
use crate::canonical::{Media, MediaSource, Part, Reasoning, Text, ToolCall};
use crate::json::{RawJson, Writer};

/// A part of Gemini's and its signature.
#[derive(Clone, Debug)]
pub(super) struct Signed<'a> {
    pub(super) part: SignedPart<'a>,
    pub(super) signature: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub(super) enum SignedPart<'a> {
    /// A part that holds something.
    Of(&'a Part),
    /// A piece of a streamed text.
    Text(&'a str),
    /// A piece of a streamed thought.
    Thought(&'a str),
}

/// Brings parts and their signatures together. Proofs of other makers must have been taken out before.
pub(super) fn sign(parts: &[Part]) -> Vec<Signed<'_>> {
    let by_call = |id: &str| {
        parts.iter().find_map(|part| match part {
            Part::Reasoning(proof) if proof.of_call.as_deref() == Some(id) => proof.signature.as_deref(),
            _ => None,
        })
    };
    let mut signed: Vec<Signed<'_>> = Vec::with_capacity(parts.len());
    let mut waiting: Option<&str> = None;
    for part in parts {
        let Part::Reasoning(reasoning) = part else {
            let signature = match part {
                Part::ToolCall(call) => waiting.take().or_else(|| by_call(&call.id)),
                Part::Text(_) | Part::ToolResult(_) => None,
                _ => waiting.take(),
            };
            signed.push(Signed {
                part: SignedPart::Of(part),
                signature,
            });
            continue;
        };
        let signature = reasoning.signature.as_deref();
        match reasoning.member.as_deref() {
            _ if reasoning.of_call.is_some() => {}
            Some(TEXT) => match signed.last_mut() {
                Some(Signed {
                    part: SignedPart::Of(Part::Text(_)),
                    signature: empty @ None,
                }) => *empty = signature,
                _ => signed.push(alone(signature)),
            },
            Some(ALONE) => signed.push(alone(signature)),
            Some("functionCall" | "inlineData" | "fileData") => {
                if let Some(earlier) = std::mem::replace(&mut waiting, signature) {
                    signed.push(alone(Some(earlier)));
                }
            }
            _ => signed.push(Signed {
                part: SignedPart::Of(part),
                signature,
            }),
        }
    }
    if waiting.is_some() {
        signed.push(alone(waiting));
    }
    signed
}

fn alone(signature: Option<&str>) -> Signed<'_> {
    Signed {
        part: SignedPart::Text(""),
        signature,
    }
}

/// Writes one part. What Gemini cannot hold must have been taken out before.
pub(super) fn write(w: &mut Writer<'_>, signed: &Signed<'_>) {
    let part = match signed.part {
        SignedPart::Of(Part::Opaque { raw, .. }) => return w.raw(raw),
        SignedPart::Of(part) => part,
        SignedPart::Text(text) | SignedPart::Thought(text) => {
            return w.object(|w| {
                w.key("text").string(text);
                if matches!(signed.part, SignedPart::Thought(_)) {
                    w.key("thought").bool(true);
                }
                w.optional_string("thoughtSignature", signed.signature);
            });
        }
    };
    w.object(|w| {
        match part {
            Part::Text(text) | Part::Refusal(text) => write_text(w, text),
            Part::Reasoning(reasoning) => write_thought(w, reasoning),
            Part::ToolCall(call) => write_call(w, call),
            Part::ToolResult(result) => w.ext(&result.ext),
            Part::Media(media) => write_media(w, media),
            Part::Opaque { .. } => {}
        }
        w.optional_string("thoughtSignature", signed.signature);
    });
}

fn write_text(w: &mut Writer<'_>, text: &Text) {
    w.key("text").string(&text.text);
    w.ext(&text.ext);
}

fn write_thought(w: &mut Writer<'_>, reasoning: &Reasoning) {
    w.key("text").string(&reasoning.text);
    w.key("thought").bool(true);
    w.ext(&reasoning.ext);
}

/// Writes a call. Arguments that are no JSON object must have been dealt with before.
fn write_call(w: &mut Writer<'_>, call: &ToolCall) {
    w.key("functionCall").object(|w| {
        w.optional_string("id", ids::told_to_gemini(&call.id));
        w.key("name").string(&call.name);
        w.key("args");
        match RawJson::parse(call.arguments.trim()) {
            Ok(arguments) if arguments.text().starts_with('{') => w.raw(&arguments),
            _ => w.object(|_| {}),
        }
        w.ext(&inner(&call.ext, "functionCall"));
    });
    w.ext(&without(&call.ext, &["functionCall"]));
}

/// Writes `inlineData` or `fileData`.
pub(super) fn write_media(w: &mut Writer<'_>, media: &Media) {
    const OWN: [&str; 3] = ["mimeType", "inlineData", "fileData"];
    match &media.source {
        MediaSource::Base64 { media_type, data } => w.key("inlineData").object(|w| {
            if !media_type.is_empty() {
                w.key("mimeType").string(media_type);
            }
            w.key("data").string(data);
            w.optional_string("displayName", media.name.as_deref());
            w.ext(&inner(&media.ext, "inlineData"));
        }),
        MediaSource::Url(address) | MediaSource::FileId(address) => w.key("fileData").object(|w| {
            match media.ext.get("mimeType") {
                Some(raw) => w.key("mimeType").raw(raw),
                None => w.optional_string("mimeType", guessed(media, address)),
            }
            w.key("fileUri").string(address);
            w.optional_string("displayName", media.name.as_deref());
            w.ext(&inner(&media.ext, "fileData"));
        }),
        // Taken out before.
        MediaSource::Text { .. } | MediaSource::Opaque(_) => w.key("text").string(""),
    }
    w.ext(&without(&media.ext, &OWN));
}

/// The media type of an address that came from another dialect; Vertex demands one.
fn guessed(media: &Media, address: &str) -> Option<&'static str> {
    // An empty bag of this dialect's own means that the client named none.
    if matches!(media.source, MediaSource::Url(_)) {
        media_type_of(address)
    } else {
        None
    }
}

/// The parts of a message or answer of this dialect; reasoning of other makers stays behind and is told to `lost`.
pub(super) fn own_parts(parts: &[Part], mut lost: impl FnMut(usize)) -> Vec<Part> {
    let mut kept = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        match part {
            Part::Reasoning(reasoning) if reasoning.origin != Some(Dialect::Gemini) => lost(i),
            _ => kept.push(part.clone()),
        }
    }
    kept
}

/// Reasoning of another maker as a thought, with our envelope as its signature.
pub(super) fn enveloped(reasoning: &Reasoning, origin: Dialect, model: &str) -> Part {
    let envelope = crate::envelope::seal(reasoning, reasoning.origin.unwrap_or(origin), model);
    Part::Reasoning(Reasoning {
        text: reasoning.text.clone(),
        member: Some(THOUGHT.to_owned()),
        signature: Some(part::envelope_as_signature(&envelope)),
        origin: Some(Dialect::Gemini),
        ..Reasoning::default()
    })
}
