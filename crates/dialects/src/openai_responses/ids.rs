//! Ids of items where the provider gave none.
//!
//! A made id is a pure function of the answer's id and of where the item stands, so a repeated translation gives the same.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};

use crate::canonical::Reasoning;

/// How many bytes of a hash an id has, as hex digits.
const HASH_BYTES: usize = 16;

/// First part of the id of a message.
pub(super) const MESSAGE: &str = "msg_";
/// First part of the id of a reasoning item.
pub(super) const REASONING: &str = "rs_";
/// First part of the id of a function call.
pub(super) const FUNCTION_CALL: &str = "fc_";
/// First part of the id of a call of a free-text tool.
pub(super) const CUSTOM_CALL: &str = "ctc_";

/// The id of the item at `index` of an answer.
pub(super) fn item(prefix: &str, answer: &str, index: usize) -> String {
    hashed(prefix, &format!("{answer}\n{index}"))
}

/// The id of reasoning that comes back through a client whose dialect carries no ids of it: the same for the same reasoning.
pub(super) fn reasoning(reasoning: &Reasoning) -> String {
    let proof = reasoning.redacted.as_ref().or(reasoning.signature.as_ref());
    hashed(REASONING, proof.unwrap_or(&reasoning.text))
}

fn hashed(prefix: &str, text: &str) -> String {
    let mut id = prefix.to_owned();
    let hash = digest(&SHA256, text.as_bytes());
    for byte in hash.as_ref().iter().take(HASH_BYTES) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

/// The id of an answer of another dialect, as clients of this one know ids.
pub(super) fn answer(id: &str) -> Cow<'_, str> {
    if id.starts_with("resp_") {
        Cow::Borrowed(id)
    } else {
        Cow::Owned(format!("resp_{id}"))
    }
}

/// The id of a call for which the provider gave none.
pub(super) fn call<'a>(id: &'a str, answer: &str, index: usize) -> Cow<'a, str> {
    if id.is_empty() {
        Cow::Owned(item("call_", answer, index))
    } else {
        Cow::Borrowed(id)
    }
}
