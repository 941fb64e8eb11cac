//! Items of an input as lists show them: each has an id and a type, and the content of messages is a list.

use aws_lc_rs::digest::{SHA256, digest};
use tollgate_dialects::scan::{Edit, scan};

use super::turn::{edited, text_member};

/// Bytes of a made id; each is two digits.
const ID_BYTES: usize = 16;

/// An item as lists show it, behind its id. One without an id gets the same one each time: made of where it stands.
pub(super) fn named(item: &str, turn: &str, index: usize) -> (String, String) {
    let Ok(members) = scan(item.as_bytes()) else {
        return (String::new(), item.to_owned());
    };
    let written = text_member(item, "type");
    let kind = written.as_deref().unwrap_or("message");
    let mut edits = Vec::new();
    let id = text_member(item, "id").unwrap_or_else(|| {
        let id = made_id(kind, turn, index);
        edits.push(Edit {
            key: "id",
            value: Some(json_string(&id)),
        });
        id
    });
    if written.is_none() {
        edits.push(Edit {
            key: "type",
            value: Some(json_string(kind)),
        });
    }
    let content = members.value(item.as_bytes(), "content");
    if kind == "message"
        && let Some(text) = content.filter(|content| content.starts_with('"'))
    {
        let part = match text_member(item, "role").as_deref() {
            Some("assistant") => format!("[{{\"type\":\"output_text\",\"text\":{text},\"annotations\":[]}}]"),
            _ => format!("[{{\"type\":\"input_text\",\"text\":{text}}}]"),
        };
        edits.push(Edit {
            key: "content",
            value: Some(part),
        });
    }
    let item = edited(item.as_bytes(), &members, &edits);
    (id, String::from_utf8_lossy(&item).into_owned())
}

fn made_id(kind: &str, turn: &str, index: usize) -> String {
    let prefix = match kind {
        "message" => "msg_",
        "reasoning" => "rs_",
        "function_call" => "fc_",
        "function_call_output" => "fco_",
        _ => "item_",
    };
    let hash = digest(&SHA256, format!("{turn}\n{index}").as_bytes());
    let digits = hash
        .as_ref()
        .iter()
        .take(ID_BYTES)
        .map(|byte| format!("{byte:02x}"));
    digits.fold(prefix.to_owned(), |id, digits| id + &digits)
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
