//! The most frequent document of a stream: one candidate with one piece of text or thought, and nothing else that is new.
//!
//! It is read without a list of members, because nearly every document of a long answer is one. Anything else in it, and it is
//! read as all others are.

use std::borrow::Cow;

use crate::json::Raw;
use serde::Deserialize;

/// A piece of text, and the usage that was told with it.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) index: u64,
    pub(super) text: Cow<'a, str>,
    pub(super) thought: bool,
    pub(super) usage: Option<Raw<'a>>,
}

/// Reads a document that is a piece of text and nothing else; `None` for any other.
pub(super) fn read(text: &str) -> Option<Piece<'_>> {
    let Document {
        candidates: [candidate],
        usage_metadata: usage,
        ..
    } = serde_json::from_str(text).ok()?;
    let Content { parts: [part], role } = candidate.content;
    let is_piece = role.is_none_or(|role| role == "model") && !part.text.is_empty();
    is_piece.then_some(Piece {
        index: candidate.index.unwrap_or(0),
        text: part.text,
        thought: part.thought.unwrap_or(false),
        usage,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    candidates: [Candidate<'a>; 1],
    #[serde(borrow, default)]
    usage_metadata: Option<Raw<'a>>,
    // Told at the beginning.
    #[serde(borrow, default, rename = "modelVersion")]
    _model_version: Option<Raw<'a>>,
    #[serde(borrow, default, rename = "responseId")]
    _response_id: Option<Raw<'a>>,
    #[serde(borrow, default, rename = "createTime")]
    _create_time: Option<Raw<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(default)]
    index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<'a> {
    #[serde(borrow)]
    parts: [Part<'a>; 1],
    #[serde(borrow, default)]
    role: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(default)]
    thought: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_text_is_read_without_copies() {
        let piece = read(
            r#"{"candidates":[{"content":{"parts":[{"text":"a","thought":true}],"role":"model"},"index":2}],
                "usageMetadata":{"promptTokenCount":1},"modelVersion":"g","responseId":"r"}"#,
        )
        .unwrap();
        assert!(matches!(piece.text, Cow::Borrowed("a")));
        assert_eq!((piece.index, piece.thought), (2, true));
        assert!(piece.usage.is_some());
    }

    #[test]
    fn everything_else_is_left_to_the_usual_way() {
        for document in [
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":"Ag=="}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":""}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"user"}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"promptFeedback":{}}"#,
            r#"{"candidates":[]}"#,
            "[]",
        ] {
            assert!(read(document).is_none(), "{document}");
        }
    }
}
