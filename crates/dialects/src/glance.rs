//! Tells at a glance which events of a relayed stream need no reading: most events of a long answer say nothing but "more of
//! the same", and reading each of them costs more than passing it on.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::Dialect;
use crate::sse::SseEvent;

/// Keys of OpenAI's chunks whose presence, with a value other than `null`, makes a chunk more than a piece of content.
static TELLING: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| {
    [
        Finder::new("\"finish_reason\""),
        Finder::new("\"usage\""),
        Finder::new("\"error\""),
    ]
});

/// Keys behind which a piece of content stands.
static CONTENT: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| {
    [
        Finder::new("\"content\""),
        Finder::new("\"arguments\""),
        Finder::new("\"reasoning"),
    ]
});

/// Keys behind which a piece of content stands in Anthropic's deltas.
static DELTA: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| {
    [
        Finder::new("\"text\":"),
        Finder::new("\"partial_json\":"),
        Finder::new("\"thinking\":"),
    ]
});

/// Keys behind which a piece of content stands in Cohere's deltas.
static COHERE_DELTA: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| {
    [
        Finder::new("\"text\":"),
        Finder::new("\"thinking\":"),
        Finder::new("\"arguments\":"),
        Finder::new("\"tool_plan\":"),
    ]
});

/// If an event is a piece of content and nothing else (no end, no usage, no error): that piece as it stands in the JSON, with
/// its escapes; empty if it could not be found. `None`: the event must be read.
///
/// Says `None` when in doubt. The first events of a stream always have to be read: they say who answers.
pub fn content_only<'a>(dialect: Dialect, event: &'a SseEvent<'_>) -> Option<&'a [u8]> {
    let data = event.data.as_deref()?;
    match dialect {
        Dialect::OpenaiChat => {
            let plain = data.first() == Some(&b'{') && !TELLING.iter().any(|key| has_value(key, data));
            // A chunk without choices is something else again (filter results, a vendor's notes).
            (plain && memchr::memmem::find(data, b"\"delta\"").is_some()).then(|| piece(&*CONTENT, data))
        }
        Dialect::AnthropicMessages => {
            (event.name == Some(b"content_block_delta")).then(|| piece(&*DELTA, data))
        }
        // Every document tells the usage and may tell the end.
        Dialect::Gemini => None,
        Dialect::CohereChat => matches!(
            event.name,
            Some(b"content-delta" | b"tool-call-delta" | b"tool-plan-delta")
        )
        .then(|| piece(&*COHERE_DELTA, data)),
        Dialect::OpenaiResponses | Dialect::BedrockConverse => None,
    }
}

/// Whether the key occurs with a value other than `null`. Within strings its quotes are escaped, so it is not found there.
fn has_value(key: &Finder<'_>, data: &[u8]) -> bool {
    key.find_iter(data).any(|position| {
        let rest = data.get(position + key.needle().len()..).unwrap_or_default();
        let value = rest
            .iter()
            .find(|byte| !byte.is_ascii_whitespace() && **byte != b':');
        value != Some(&b'n')
    })
}

/// The text of the first string behind one of the keys.
fn piece<'a>(keys: &[Finder<'_>], data: &'a [u8]) -> &'a [u8] {
    keys.iter()
        .find_map(|key| string_behind(key, data))
        .unwrap_or_default()
}

/// The first string behind a key, as it stands in the JSON, with its escapes.
pub fn string_behind<'a>(key: &Finder<'_>, data: &'a [u8]) -> Option<&'a [u8]> {
    let rest = data.get(key.find(data)? + key.needle().len()..)?;
    let start = memchr::memchr(b'"', rest)? + 1;
    let text = rest.get(start..)?;
    let mut end = 0;
    loop {
        end += memchr::memchr2(b'"', b'\\', text.get(end..)?)?;
        if text.get(end) == Some(&b'"') {
            return text.get(..end);
        }
        end += 2;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::content_only;
    use crate::Dialect;
    use crate::sse::SseEvent;

    fn openai(data: &str) -> Option<String> {
        let event = SseEvent {
            name: None,
            data: Some(Cow::Borrowed(data.as_bytes())),
            raw: b"",
        };
        content_only(Dialect::OpenaiChat, &event).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn a_piece_of_content_is_found_with_its_escapes() {
        let chunk = r#"{"choices":[{"index":0,"delta":{"content":"a \"usage\" \\"},"finish_reason":null}],"usage": null}"#;
        assert_eq!(openai(chunk).as_deref(), Some(r#"a \"usage\" \\"#));
    }

    #[test]
    fn ends_usage_errors_and_marks_must_be_read() {
        for chunk in [
            r#"{"choices":[{"delta":{},"finish_reason" : "stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"x"},"finish_reason":null}],"usage":{"prompt_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":""},"finish_reason":null},{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"error":{"message":"x"}}"#,
            r#"{"choices":[]}"#,
            "[DONE]",
            "",
        ] {
            assert_eq!(openai(chunk), None, "{chunk}");
        }
    }
}
