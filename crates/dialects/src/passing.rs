//! What is noted of a whole answer that its client gets as it came: which model answered, and what was used.
//!
//! Most answers are plain: an object with choices or blocks of the usual kinds, and usage. Of these a scan finds everything.
//! All others are decoded, which judges them too.

use std::borrow::Cow;

use crate::canonical::Usage;
use crate::scan::{ScanError, Scanner};
use crate::{Dialect, anthropic_messages, openai_chat};

/// What a plain answer says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted<'a> {
    /// The model that answered.
    pub model: Cow<'a, str>,
    /// The tier at which it was served, by the provider's word.
    pub service_tier: Option<Cow<'a, str>>,
    /// Whether tools are called.
    pub has_tool_calls: bool,
    /// Whether it says anything: text, thoughts, calls of tools.
    pub has_content: bool,
    /// Whether it says why it ended.
    pub has_stopped: bool,
    /// What was used; `ext` is empty.
    pub usage: Usage,
    /// The usage object as the provider wrote it.
    pub usage_object: &'a str,
}

/// Notes a plain answer in one pass, which checks too that it is whole and JSON; `None` if it is not plain.
pub fn note(dialect: Dialect, document: &[u8]) -> Option<Noted<'_>> {
    let mut scanner = Scanner::new(document);
    let mut found = Found::default();
    scanner.white_space();
    let walked = match dialect {
        Dialect::OpenaiChat => openai(&mut scanner, &mut found),
        Dialect::AnthropicMessages => anthropic(&mut scanner, &mut found),
        _ => return None,
    };
    walked.and_then(|()| scanner.end()).ok()?;
    if !scanner.is_ascii() {
        std::str::from_utf8(document).ok()?;
    }
    if !found.is_answer {
        return None;
    }
    Some(Noted {
        model: text(found.model?)?,
        service_tier: match found.service_tier {
            None | Some(b"null") => None,
            Some(tier) => Some(text(tier)?),
        },
        has_tool_calls: found.has_tool_calls,
        has_content: found.has_content,
        has_stopped: found.has_stopped,
        usage: found.usage?,
        usage_object: std::str::from_utf8(found.usage_object).ok()?,
    })
}

/// Members that were seen in an object.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    /// Notes the member of this number; an error if it was noted before, so that it is not plain which of them counts.
    fn once(&mut self, number: u8, value: &Scanner<'_>) -> Result<(), ScanError> {
        let before = self.0;
        self.0 |= 1 << number;
        match self.0 == before {
            true => Err(value.unexpected()),
            false => Ok(()),
        }
    }
}

/// What was found so far, as JSON.
#[derive(Default)]
struct Found<'a> {
    is_answer: bool,
    has_tool_calls: bool,
    has_content: bool,
    has_stopped: bool,
    model: Option<&'a [u8]>,
    service_tier: Option<&'a [u8]>,
    usage: Option<Usage>,
    usage_object: &'a [u8],
}

fn openai<'a>(document: &mut Scanner<'a>, found: &mut Found<'a>) -> Result<(), ScanError> {
    let mut seen = Seen::default();
    document.walk_object(|value, name| match name {
        b"choices" => {
            seen.once(0, value)?;
            value.walk_array(|choice| {
                found.is_answer = true;
                openai_choice(choice, found)
            })
        }
        b"model" => {
            seen.once(1, value)?;
            value.raw().map(|model| found.model = Some(model))
        }
        b"service_tier" => {
            seen.once(2, value)?;
            value.raw().map(|tier| found.service_tier = Some(tier))
        }
        b"usage" => {
            seen.once(3, value)?;
            let begin = value.place();
            found.usage = Some(openai_chat::usage::counts(value)?);
            found.usage_object = value.since(begin);
            Ok(())
        }
        b"error" if value.first() != Some(b'n') => Err(value.unexpected()),
        _ if name.contains(&b'\\') => Err(value.unexpected()),
        _ => value.raw().map(drop),
    })
}

fn openai_choice(choice: &mut Scanner<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    let mut has_message = false;
    let mut seen = Seen::default();
    choice.walk_object(|value, name| match name {
        b"message" => {
            seen.once(0, value)?;
            has_message = true;
            openai_message(value, found)
        }
        b"finish_reason" => {
            seen.once(1, value)?;
            found.has_stopped |= !matches!(value.raw()?, b"null" | b"\"\"" | b"\"null\"");
            Ok(())
        }
        // Those of streams and of completions from before chats.
        b"delta" | b"text" if value.first() != Some(b'n') => Err(value.unexpected()),
        // OpenRouter tells errors inside a choice.
        b"error" if value.first() != Some(b'n') => Err(value.unexpected()),
        _ if name.contains(&b'\\') => Err(value.unexpected()),
        _ => value.raw().map(drop),
    })?;
    if has_message {
        Ok(())
    } else {
        Err(choice.unexpected())
    }
}

/// Reads a message; an error for one that is not plain.
fn openai_message(message: &mut Scanner<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    let mut seen = Seen::default();
    message.walk_object(|value, name| {
        let number = match name {
            b"content" => 0,
            b"reasoning_content" => 1,
            b"reasoning" => 2,
            b"refusal" => 3,
            b"tool_calls" => 4,
            b"function_call" => 5,
            _ if name.contains(&b'\\') => return Err(value.unexpected()),
            _ => return value.raw().map(drop),
        };
        seen.once(number, value)?;
        match (name, value.first()) {
            // `null`, which is all that is plain of `function_call`: it is how tools were called before.
            (_, Some(b'n')) => value.raw().map(drop),
            (b"tool_calls", Some(b'[')) => value.walk_array(|call| {
                (found.has_tool_calls, found.has_content) = (true, true);
                match call.first() {
                    Some(b'{') => call.raw().map(drop),
                    _ => Err(call.unexpected()),
                }
            }),
            (b"tool_calls" | b"function_call", _) => Err(value.unexpected()),
            (_, Some(b'"')) => {
                found.has_content |= value.raw()? != b"\"\"";
                Ok(())
            }
            _ => Err(value.unexpected()),
        }
    })
}

fn anthropic<'a>(document: &mut Scanner<'a>, found: &mut Found<'a>) -> Result<(), ScanError> {
    let mut seen = Seen::default();
    document.walk_object(|value, name| match name {
        b"type" if value.raw()? == b"\"message\"" => Ok(()),
        b"type" => Err(value.unexpected()),
        b"content" => {
            seen.once(0, value)?;
            found.is_answer = true;
            value.walk_array(|block| {
                found.has_content = true;
                anthropic_block(block, &mut found.has_tool_calls)
            })
        }
        b"stop_reason" => {
            seen.once(1, value)?;
            found.has_stopped = value.raw()? != b"null";
            Ok(())
        }
        b"model" => {
            seen.once(2, value)?;
            value.raw().map(|model| found.model = Some(model))
        }
        b"usage" => {
            seen.once(3, value)?;
            let begin = value.place();
            let (usage, service_tier) = anthropic_messages::usage::counts(value)?;
            (found.usage, found.service_tier) = (Some(usage), service_tier);
            found.usage_object = value.since(begin);
            Ok(())
        }
        b"error" => Err(value.unexpected()),
        _ if name.contains(&b'\\') => Err(value.unexpected()),
        _ => value.raw().map(drop),
    })
}

fn anthropic_block(block: &mut Scanner<'_>, has_tool_calls: &mut bool) -> Result<(), ScanError> {
    let mut kind: &[u8] = b"";
    block.walk_object(|value, name| {
        let value = value.raw()?;
        if name == b"type" {
            kind = value;
        }
        Ok(())
    })?;
    match kind {
        b"\"text\"" | b"\"thinking\"" | b"\"redacted_thinking\"" => Ok(()),
        b"\"tool_use\"" => {
            *has_tool_calls = true;
            Ok(())
        }
        _ => Err(block.unexpected()),
    }
}

/// The text of a JSON string; `None` if it is none.
fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    crate::scan::text(std::str::from_utf8(json).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn noted(document: &str) -> Option<Noted<'_>> {
        note(Dialect::OpenaiChat, document.as_bytes())
    }

    fn answer(message: &str) -> String {
        format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{{"cached_tokens":2}}}}}}"#
        )
    }

    #[test]
    fn a_plain_answer_is_noted_as_a_decoder_would_read_it() {
        for (message, has_tool_calls) in [
            (
                r#"{"role":"assistant","content":"Hi \"you\"","refusal":null}"#,
                false,
            ),
            (
                r#"{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
                true,
            ),
        ] {
            let document = answer(message);
            let noted = noted(&document).unwrap();
            let decoded = codec::decode_response(Dialect::OpenaiChat, &document).unwrap();
            assert_eq!(noted.model, decoded.model);
            assert_eq!(noted.has_tool_calls, has_tool_calls);
            let mut usage = decoded.usage.unwrap();
            usage.ext = Default::default();
            assert_eq!(noted.usage, usage);
            assert!(noted.usage_object.starts_with(r#"{"prompt_tokens":7"#));
        }
    }

    #[test]
    fn a_plain_answer_of_anthropic_is_noted_as_a_decoder_would_read_it() {
        let document = r#"{"id":"m","type":"message","role":"assistant","model":"claude","content":[{"type":"thinking","thinking":"x","signature":"s"},{"type":"tool_use","id":"t","name":"f","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":3,"cache_read_input_tokens":2,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":1},"output_tokens_details":{"thinking_tokens":1},"service_tier":"standard","inference_geo":"eu"}}"#;
        let noted = note(Dialect::AnthropicMessages, document.as_bytes()).unwrap();
        let decoded = codec::decode_response(Dialect::AnthropicMessages, document).unwrap();
        let mut usage = decoded.usage.unwrap();
        usage.ext = Default::default();
        assert_eq!((noted.model, noted.usage), (decoded.model.into(), usage));
        assert_eq!(noted.service_tier.as_deref(), decoded.service_tier.as_deref());
        assert!(noted.has_tool_calls);
        for odd in [
            document.replace(r#""inference_geo""#, r#""server_tool_use""#),
            document.replace(r#""inference_geo":"eu""#, r#""iterations":[]"#),
            document
                .replace("redacted_thinking", "x")
                .replace("thinking\",", "mcp_tool_use\","),
            document.replace(r#""type":"message""#, r#""type":"error""#),
            document.replace(r#""content":["#, r#""contents":["#),
        ] {
            assert_eq!(note(Dialect::AnthropicMessages, odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_decoder() {
        for document in [
            answer("5"),
            answer(r#"{"content":{}}"#),
            answer(r#"{"content":"x","tool_calls":7}"#),
            answer(r#"{"function_call":{"name":"f","arguments":"{}"}}"#),
            answer(r#"{"cont\u0065nt":"x"}"#),
            r#"{"model":"m","choices":[],"usage":{}}"#.to_owned(),
            r#"{"model":"m","choices":[{"message":{"content":"x"}}]}"#.to_owned(),
            r#"{"model":5,"choices":[{"message":{"content":"x"}}],"usage":{}}"#.to_owned(),
            r#"{"model":"m","choices":[{"message":{"content":"x"}}],"usage":null}"#.to_owned(),
            r#"{"model":"m","error":{},"choices":[{"message":{"content":"x"}}],"usage":{}}"#.to_owned(),
            r#"{"model":"m","choices":[{"error":{},"message":{"content":"x"}}],"usage":{}}"#.to_owned(),
            r#"{"model":"m","choices":[{"message":{"content":"x"}}],"usage":{}} x"#.to_owned(),
            r#"{"model":"m","choices":[{"message":{"content":"x"}}],"usage":{}"#.to_owned(),
        ] {
            assert_eq!(noted(&document), None, "{document}");
        }
    }
}
