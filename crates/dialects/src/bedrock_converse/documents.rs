//! Documents and other media of another dialect: the formats this provider takes, and the names it demands.
//!
//! Nothing is fetched: an address cannot be sent.

use std::collections::HashSet;

use super::media::format_of;
use crate::canonical::{Media, MediaKind, MediaSource};
use crate::loss::Losses;

/// Longest name of a document that the provider takes, in characters.
const MAX_NAME: usize = 200;

/// The names of the documents of one request: each must have one, different from the others, of letters, digits, single
/// spaces, hyphens, parentheses and square brackets.
#[derive(Debug, Default)]
pub(super) struct Documents {
    used: HashSet<String>,
}

impl Documents {
    /// The name to send for a document that the client calls `name`.
    pub(super) fn name(&mut self, name: Option<&str>, field: String, losses: &mut Losses) -> String {
        let clean = clean(name.unwrap_or_default());
        let base = if clean.is_empty() {
            "document".to_owned()
        } else {
            clean
        };
        let mut sent = base.clone();
        let mut number = 2;
        while !self.used.insert(sent.clone()) {
            let suffix = format!(" {number}");
            let kept = MAX_NAME - suffix.len().min(MAX_NAME);
            sent = base.chars().take(kept).collect::<String>() + &suffix;
            number += 1;
        }
        if name.is_some_and(|name| name != sent) {
            losses.approximated(
                field,
                "sent under a name the provider takes, different from those of other documents",
            );
        }
        sent
    }
}

fn clean(name: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let mut out = String::with_capacity(name.len());
    for c in name.chars().map(|c| if is_allowed(c) { c } else { ' ' }) {
        if c != ' ' || !(out.is_empty() || out.ends_with(' ')) {
            out.push(c);
        }
    }
    let cut: String = out.chars().take(MAX_NAME).collect();
    cut.trim_end().to_owned()
}

/// The source of a media part as this dialect has it; `None`, with a loss reported, if it cannot be expressed.
pub(super) fn source(media: &Media, path: &str, losses: &mut Losses) -> Option<MediaSource> {
    let mut inline = |media_type: &str, data: &str| {
        if format_of(media.kind, media_type).is_none() {
            losses.rejected(path, refusal(media.kind));
            return None;
        }
        Some(MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        })
    };
    match &media.source {
        MediaSource::Base64 { media_type, data } => inline(media_type, data),
        MediaSource::Url(url) => match data_url(url) {
            Some((media_type, data)) => inline(media_type, data),
            None => {
                losses.rejected(
                    path,
                    "the provider takes no addresses, and nothing is fetched here",
                );
                None
            }
        },
        MediaSource::Text { media_type, data } if media.kind == MediaKind::Document => {
            let media_type = match format_of(media.kind, media_type) {
                Some(_) => media_type.as_str(),
                None => "text/plain",
            };
            Some(MediaSource::Text {
                media_type: media_type.to_owned(),
                data: data.clone(),
            })
        }
        MediaSource::FileId(_) => {
            losses.rejected(path, "a file id is valid only at the provider that gave it");
            None
        }
        MediaSource::Text { .. } | MediaSource::Opaque(_) => {
            losses.rejected(path, "only the client's own dialect has this source");
            None
        }
    }
}

/// The media type and the base64 of a data URL.
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some((media_type.split(';').next().unwrap_or_default(), data))
}

const fn refusal(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "the provider takes JPEG, PNG, GIF and WebP images",
        MediaKind::Document => "the provider takes PDF, text, HTML, CSV, Word and Excel documents",
        MediaKind::Audio => "the provider does not take this format of audio",
        MediaKind::Video => "the provider does not take this format of video",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_clean_and_different() {
        let long = "x".repeat(300);
        let mut documents = Documents::default();
        let mut losses = Losses::new();
        let mut name = |name| documents.name(name, "x".to_owned(), &mut losses);
        assert_eq!(name(Some("Report (2024) [v2]")), "Report (2024) [v2]");
        assert_eq!(name(Some("a__b..pdf")), "a b pdf");
        assert_eq!(name(Some("a b pdf")), "a b pdf 2");
        assert_eq!(name(None), "document");
        assert_eq!(name(Some("…")), "document 2");
        assert_eq!(name(Some(&long)).len(), MAX_NAME);
        assert_eq!(name(Some(&long)).len(), MAX_NAME);
        assert!(losses.rejections().next().is_none());
    }
}
