//! Names that must fit this dialect's alphabet: ids of tool calls and ids of answers.
//!
//! Everything here is a pure function of its input, so a stateless gateway maps the same id the same way in every turn.

use std::borrow::Cow;

/// First part of a `signature` that is no signature but our note of where the reasoning came from:
/// `tollgate:<dialect>:<member>:<model>`.
pub const ENVELOPE_PREFIX: &str = crate::envelope::PREFIX;

/// Whether `name` is a tool name this dialect accepts: 1 to 128 of letters, digits, `_` and `-`.
pub(super) fn is_tool_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(fits)
}

/// The id of a tool call in this dialect, `^[a-zA-Z0-9_-]+$`.
///
/// An id that fits stays. Any other becomes `toolu_x` and its bytes, where every byte but a letter, a digit or `-` is
/// written as `_` and two hex digits. Different ids never become the same one. The empty id is the caller's business.
pub(super) fn tool_call_id(id: &str) -> Cow<'_, str> {
    if id.bytes().all(fits) {
        return Cow::Borrowed(id);
    }
    let mut mapped = String::from("toolu_x");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            mapped.push(char::from(byte));
        } else {
            mapped.push_str(&format!("_{byte:02x}"));
        }
    }
    Cow::Owned(mapped)
}

/// The id for a call whose provider gave none: unique within the answer `answer_id`, whose id is unique by itself.
pub(super) fn invented_tool_call_id(answer_id: &str, number: usize) -> String {
    let answer: String = answer_id.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("toolu_{answer}_{number}")
}

/// The id of an answer in this dialect: as it is if it begins with `msg_`, else `msg_` and its fitting characters.
pub(super) fn message_id(id: &str) -> Cow<'_, str> {
    if id.starts_with("msg_") {
        return Cow::Borrowed(id);
    }
    let fitting: String = id.bytes().filter(|byte| fits(*byte)).map(char::from).collect();
    Cow::Owned(format!(
        "msg_{}",
        if fitting.is_empty() { "unnamed" } else { &fitting }
    ))
}

fn fits(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_ids_stay_and_others_map_without_collision() {
        assert_eq!(tool_call_id("call_a-1"), "call_a-1");
        assert_eq!(tool_call_id("a.b"), "toolu_xa_2eb");
        assert_eq!(tool_call_id("a_2eb.").as_ref(), "toolu_xa_5f2eb_2e");
        assert_ne!(tool_call_id("a:b"), tool_call_id("a.b"));
    }

    #[test]
    fn answer_ids_begin_with_msg() {
        assert_eq!(message_id("msg_1"), "msg_1");
        assert_eq!(message_id("chatcmpl-1/2"), "msg_chatcmpl-12");
        assert_eq!(message_id(""), "msg_unnamed");
    }
}
