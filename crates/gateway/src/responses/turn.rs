//! One turn of a conversation as it is kept: what was asked anew, and what was answered.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use tollgate_dialects::scan::{Members, nested, scan};
use tollgate_store::responses::Record;

/// The prefix of ids under which it is kept which response an item belongs to. No response has such an id.
const ITEM: &str = "item/";

/// Most items of an answer that can be referred to by their ids.
const MAX_NAMED_ITEMS: usize = 1000;

/// A turn that is kept.
pub(super) struct Turn {
    record: Arc<Record>,
    members: Members,
}

impl Turn {
    /// Reads a kept turn; `None` if it is none.
    pub(super) fn read(record: Arc<Record>) -> Option<Self> {
        let members = scan(&record.body).ok()?;
        Some(Turn { record, members })
    }

    /// When it was kept, in seconds since 1970.
    pub(super) fn kept_s(&self) -> u64 {
        let text = self.members.value(&self.record.body, "kept_s");
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The items of its own input.
    pub(super) fn input(&self) -> Vec<&str> {
        self.members
            .value(&self.record.body, "input")
            .map_or_else(Vec::new, items)
    }

    /// The answer, as the client has got it.
    pub(super) fn response(&self) -> &str {
        self.members
            .value(&self.record.body, "response")
            .unwrap_or_default()
    }

    /// The items of the answer.
    pub(super) fn output(&self) -> Vec<&str> {
        nested(self.response(), "output").map_or_else(Vec::new, items)
    }
}

/// What is kept of a turn and its answer. `input` is an array of items.
pub(super) fn records(
    previous: Option<&str>,
    input: &str,
    id: &str,
    response: &str,
    kept_s: u64,
) -> Vec<(String, Record)> {
    let mut body = Vec::with_capacity(64 + input.len() + response.len());
    body.extend_from_slice(format!("{{\"kept_s\":{kept_s},\"input\":").as_bytes());
    body.extend_from_slice(input.as_bytes());
    body.extend_from_slice(b",\"response\":");
    body.extend_from_slice(response.as_bytes());
    body.push(b'}');
    let turn = Record {
        previous: previous.map(str::to_owned),
        body,
    };
    let mut records = vec![(id.to_owned(), turn)];
    let output = nested(response, "output").map_or_else(Vec::new, items);
    for item in output.into_iter().take(MAX_NAMED_ITEMS) {
        if let Some(item) = text_member(item, "id") {
            let pointer = Record {
                previous: Some(id.to_owned()),
                body: Vec::new(),
            };
            records.push((item_id(&item), pointer));
        }
    }
    records
}

/// The id under which it is kept which response an item belongs to.
pub(super) fn item_id(id: &str) -> String {
    format!("{ITEM}{id}")
}

/// Whether an id may be that of a response.
pub(super) fn is_response_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && !id.starts_with(ITEM)
}

/// The items of an array, each as it was written; none of what is no array.
pub(super) fn items(array: &str) -> Vec<&str> {
    let values = serde_json::from_str::<Vec<&RawValue>>(array);
    values.map_or_else(
        |_| Vec::new(),
        |values| values.into_iter().map(RawValue::get).collect(),
    )
}

/// An array of items.
pub(super) fn array<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut array = String::from("[");
    for item in items {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(item);
    }
    array.push(']');
    array
}

/// The text of a member of an object, escapes decoded.
pub(super) fn text_member(object: &str, name: &str) -> Option<String> {
    serde_json::from_str(nested(object, name)?).ok()
}

/// A document with some members replaced, added or (`None`) removed.
pub(super) fn edited(
    document: &[u8],
    members: &Members,
    edits: &[tollgate_dialects::scan::Edit<'_>],
) -> Bytes {
    use tollgate_dialects::scan::{Piece, edit};
    let mut out = Vec::with_capacity(document.len());
    for piece in edit(document, members, edits) {
        match piece {
            Piece::Kept(range) => out.extend_from_slice(document.get(range).unwrap_or_default()),
            Piece::New(bytes) => out.extend_from_slice(&bytes),
        }
    }
    out.into()
}

/// Longest id of a response that is kept, in bytes. OpenAI's have about 60.
pub(super) const MAX_ID_BYTES: usize = 512;
