//! The text that an instance is chosen by: what the user has said last.

use tollgate_dialects::scan::Members;

use crate::ai::protocol::Protocol;
use crate::ai::reading::pick::{each, pick, text};

/// Longest text that is turned into a vector, in bytes; models take some 8000 tokens. What is longer is cut.
const MAX_BYTES: usize = 16_384;

/// What the user has said last; `None` if nothing with a text is found.
pub fn of(protocol: Protocol, body: &[u8], members: &Members) -> Option<String> {
    let said = match protocol {
        Protocol::OpenaiChat | Protocol::AnthropicMessages | Protocol::BedrockConverse => {
            last_of(members.value(body, "messages")?, false)
        }
        Protocol::OpenaiResponses => {
            let input = members.value(body, "input")?;
            text(Some(input)).map_or_else(|| last_of(input, true), |said| Some(said.into_owned()))
        }
        Protocol::OpenaiEmbeddings => text(members.value(body, "input")).map(|said| said.into_owned()),
        Protocol::VertexPredict | Protocol::Passthrough => None,
    };
    said.filter(|said| !said.is_empty()).map(cut)
}

/// The text of the last message of the user that has one. `bare` messages without a role are the user's.
fn last_of(messages: &str, bare: bool) -> Option<String> {
    let mut all = Vec::new();
    each(Some(messages), |message| all.push(message));
    all.into_iter().rev().find_map(|message| {
        if bare && let Some(said) = text(Some(message)) {
            return Some(said.into_owned()).filter(|said| !said.is_empty());
        }
        let [role, content] = pick(message, ["role", "content"])?;
        let is_user = match text(role) {
            Some(role) => role == "user",
            None => bare,
        };
        is_user.then(|| of_content(content?)).flatten()
    })
}

/// The text of a message's content: a string, or parts of which some are texts.
fn of_content(content: &str) -> Option<String> {
    if let Some(said) = text(Some(content)) {
        return Some(said.into_owned()).filter(|said| !said.is_empty());
    }
    if !content.starts_with('[') {
        return None;
    }
    let mut parts = Vec::new();
    each(Some(content), |part| {
        if let Some([kind, said]) = pick(part, ["type", "text"])
            // Bedrock's parts have no type.
            && text(kind).is_none_or(|kind| matches!(&*kind, "text" | "input_text"))
            && let Some(said) = text(said)
        {
            parts.push(said);
        }
    });
    (!parts.is_empty())
        .then(|| parts.join(" "))
        .filter(|said| !said.is_empty())
}

fn cut(mut said: String) -> String {
    said.truncate(said.floor_char_boundary(MAX_BYTES));
    said
}

#[cfg(test)]
mod tests {
    use tollgate_dialects::scan::scan;

    use super::*;

    fn said(protocol: Protocol, body: &str) -> Option<String> {
        of(protocol, body.as_bytes(), &scan(body.as_bytes()).unwrap())
    }

    #[test]
    fn the_last_words_of_the_user_are_found_in_every_api() {
        use Protocol::{
            AnthropicMessages, BedrockConverse, OpenaiChat, OpenaiEmbeddings, OpenaiResponses, Passthrough,
        };
        for (protocol, body, wanted) in [
            (
                OpenaiChat,
                r#"{"messages":[{"role":"user","content":"one"},{"role":"user","content":"two"},
                    {"role":"assistant","content":"three"}]}"#,
                Some("two"),
            ),
            (
                OpenaiChat,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"write"},
                    {"type":"image_url","image_url":{"url":"x"},"text":"no"},{"type":"text","text":"p\u00fcthon"}]}]}"#,
                Some("write püthon"),
            ),
            (
                OpenaiChat,
                r#"{"messages":[{"role":"user","content":"one"},{"role":"user","content":[{"type":"image_url"}]},
                    {"role":"user","content":""},{"role":"user"},{"role":"user","content":null},7]}"#,
                Some("one"),
            ),
            (
                OpenaiChat,
                r#"{"messages":[{"role":"system","content":"x"}]}"#,
                None,
            ),
            (OpenaiChat, r#"{"messages":{}}"#, None),
            (OpenaiResponses, r#"{"input":"hello"}"#, Some("hello")),
            (
                OpenaiResponses,
                r#"{"instructions":"x","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},
                    {"type":"function_call_output","output":"y"}]}"#,
                Some("hi"),
            ),
            (OpenaiResponses, r#"{"input":["bare"]}"#, Some("bare")),
            (
                AnthropicMessages,
                r#"{"system":"x","messages":[{"role":"user","content":"first"},{"role":"assistant","content":"a"},
                    {"role":"user","content":[{"type":"tool_result","content":"r"}]}]}"#,
                Some("first"),
            ),
            (
                BedrockConverse,
                r#"{"messages":[{"role":"user","content":[{"text":"a"},{"image":{}},{"text":"b"}]}]}"#,
                Some("a b"),
            ),
            (OpenaiEmbeddings, r#"{"input":"embed"}"#, Some("embed")),
            (OpenaiEmbeddings, r#"{"input":[1,2]}"#, None),
            (Passthrough, r#"{"prompt":"x"}"#, None),
        ] {
            assert_eq!(said(protocol, body).as_deref(), wanted, "{body}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        for (text, length) in [
            ("a".repeat(MAX_BYTES), MAX_BYTES),
            ("a".repeat(MAX_BYTES + 1), MAX_BYTES),
            (format!("{}é", "a".repeat(MAX_BYTES - 1)), MAX_BYTES - 1),
        ] {
            let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
            assert_eq!(
                said(Protocol::OpenaiChat, &body).map(|text| text.len()),
                Some(length)
            );
        }
    }
}
