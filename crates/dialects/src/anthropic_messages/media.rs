//! Images and documents of other dialects: what this dialect takes, and in which form.
//!
//! Nothing is fetched and no picture is looked into; a media type is believed as it is written.

use super::cache;
use crate::canonical::{Ext, Media, MediaKind, MediaSource};
use crate::foreign::Place;
use crate::loss::Losses;
use crate::names::{Member, Names};

/// Converts a media part of another dialect; `None`, with a loss reported, if it cannot be expressed.
pub(super) fn convert(media: &Media, path: &str, names: Names<'_>, losses: &mut Losses) -> Option<Media> {
    let kind = match media.kind {
        kind @ (MediaKind::Image | MediaKind::Document) => kind,
        MediaKind::Audio => return reject(path, "the provider takes no audio", losses),
        MediaKind::Video => return reject(path, "the provider takes no video", losses),
    };
    let source = match &media.source {
        MediaSource::Base64 { media_type, data } => inline(kind, media_type, data, path, losses)?,
        MediaSource::Url(url) => match url.strip_prefix("data:") {
            Some(rest) => {
                let Some((media_type, data)) = rest.split_once(";base64,") else {
                    return reject(path, "a data URL must be base64", losses);
                };
                let media_type = media_type.split(';').next().unwrap_or_default();
                inline(kind, media_type, data, path, losses)?
            }
            None if url.starts_with("https://") || url.starts_with("http://") => {
                MediaSource::Url(url.clone())
            }
            None => return reject(path, "the provider takes http and data URLs only", losses),
        },
        text @ MediaSource::Text { .. } => text.clone(),
        MediaSource::FileId(_) => {
            return reject(
                path,
                "a file id is valid only at the provider that gave it",
                losses,
            );
        }
        MediaSource::Opaque(_) => {
            return reject(path, "only the client's own dialect has this source", losses);
        }
    };
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        losses.dropped(
            names.within(path, Member::MediaDetail),
            "the provider decides on the resolution",
        );
    }
    if kind == MediaKind::Image && media.name.is_some() {
        losses.dropped(
            names.within_media(path, Member::MediaName, media),
            "images have no name",
        );
    }
    Some(Media {
        kind,
        source,
        name: media.name.clone().filter(|_| kind == MediaKind::Document),
        detail: None,
        cache: cache::carry_over(
            media.cache.as_ref(),
            &media.ext,
            Place::Media,
            names.origin(),
            path,
            losses,
        ),
        ext: Ext::default(),
    })
}

fn inline(
    kind: MediaKind,
    media_type: &str,
    data: &str,
    path: &str,
    losses: &mut Losses,
) -> Option<MediaSource> {
    let media_type = media_type.to_ascii_lowercase();
    let base64 = |media_type: &str| {
        Some(MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        })
    };
    match (kind, media_type.as_str()) {
        (MediaKind::Image, "image/jpeg" | "image/png" | "image/gif" | "image/webp") => base64(&media_type),
        (MediaKind::Image, "image/jpg") => base64("image/jpeg"),
        (MediaKind::Image, _) => reject(path, "the provider takes JPEG, PNG, GIF and WebP images", losses),
        (_, "application/pdf") => base64("application/pdf"),
        (_, text) if text.starts_with("text/") => match decode_text(data) {
            Some(text) => Some(MediaSource::Text {
                media_type: "text/plain".to_owned(),
                data: text,
            }),
            None => reject(path, "the document is not base64 of UTF-8 text", losses),
        },
        _ => reject(path, "the provider takes PDF and text documents", losses),
    }
}

fn reject<T>(path: &str, reason: &'static str, losses: &mut Losses) -> Option<T> {
    losses.rejected(path, reason);
    None
}

/// Decodes base64 (with or without padding, white space ignored) of UTF-8 text.
fn decode_text(data: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(data.len() / 4 * 3);
    let (mut buffer, mut bits) = (0u32, 0u32);
    let mut characters = data.bytes().filter(|byte| !byte.is_ascii_whitespace());
    for byte in characters.by_ref() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    if characters.any(|byte| byte != b'=') {
        return None;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_text_is_read() {
        assert_eq!(decode_text("aGVsbG8="), Some("hello".to_owned()));
        assert_eq!(decode_text("aGVsbG8"), Some("hello".to_owned()));
        assert_eq!(decode_text("w6TDtsO8"), Some("äöü".to_owned()));
        assert_eq!(decode_text(""), Some(String::new()));
        assert_eq!(decode_text("/w=="), None, "not UTF-8");
        assert_eq!(decode_text("a*b"), None);
        assert_eq!(decode_text("aGVs=bG8"), None);
    }
}
