//! The most frequent chunk of a stream: one piece of text of one choice, and nothing else that is new.
//!
//! It is read without a list of members, because nearly every chunk of a long answer is one. Anything else in it, and it is
//! read as all others are.

use std::borrow::Cow;

use crate::json::Raw;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A piece of text, and what chunks repeat.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) index: u64,
    pub(super) text: Cow<'a, str>,
    pub(super) service_tier: Option<&'a str>,
    pub(super) system_fingerprint: Option<Raw<'a>>,
}

/// Reads a chunk that is a piece of text and nothing else; `None` for any other.
pub(super) fn read(text: &str) -> Option<Piece<'_>> {
    let chunk: Chunk<'_> = serde_json::from_str(text).ok()?;
    let [choice] = chunk.choices;
    let delta = choice.delta;
    let says_more = chunk.usage.is_some()
        || choice.finish_reason.is_some()
        || choice.logprobs.is_some()
        || delta.refusal.is_some()
        || delta.tool_calls.is_some()
        || delta.function_call.is_some();
    (!says_more && !delta.content.is_empty()).then_some(Piece {
        index: choice.index.unwrap_or(0),
        text: delta.content,
        service_tier: chunk.service_tier,
        system_fingerprint: chunk.system_fingerprint,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: [Choice<'a>; 1],
    #[serde(borrow, default)]
    usage: Option<Raw<'a>>,
    #[serde(borrow, default)]
    service_tier: Option<&'a str>,
    #[serde(borrow, default)]
    system_fingerprint: Option<Raw<'a>>,
    // Told at the beginning.
    #[serde(borrow, default, rename = "id")]
    _id: Option<&'a str>,
    #[serde(borrow, default, rename = "model")]
    _model: Option<&'a str>,
    #[serde(default, rename = "created")]
    _created: Option<u64>,
    // Without meaning.
    #[serde(default, rename = "object")]
    _object: IgnoredAny,
    #[serde(default, rename = "obfuscation")]
    _obfuscation: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow)]
    delta: Delta<'a>,
    #[serde(borrow, default)]
    logprobs: Option<Raw<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Raw<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default, rename = "role")]
    _role: IgnoredAny,
    #[serde(borrow, default)]
    refusal: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Raw<'a>>,
    #[serde(borrow, default)]
    function_call: Option<Raw<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_text_is_read_without_copies() {
        let piece = read(
            r#"{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","service_tier":"default",
                "system_fingerprint":"fp","choices":[{"index":2,"delta":{"role":"assistant","content":"a","refusal":null},
                "logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"xy"}"#,
        )
        .unwrap();
        assert!(matches!(piece.text, Cow::Borrowed("a")));
        assert_eq!((piece.index, piece.service_tier), (2, Some("default")));
        assert_eq!(piece.system_fingerprint.map(Raw::get), Some("\"fp\""));
    }

    #[test]
    fn everything_else_is_left_to_the_usual_way() {
        for chunk in [
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[]}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","reasoning_content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","tool_calls":[]}}]}"#,
            r#"{"choices":[{"delta":{"content":["a"]}}]}"#,
            r#"{"choices":[{"delta":{"content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"},"content_filter_results":{}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"x_groq":{}}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"error":{}}"#,
            r#"{"choices":[]}"#,
            "[DONE]",
        ] {
            assert!(read(chunk).is_none(), "{chunk}");
        }
    }
}
