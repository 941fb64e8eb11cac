//! Frames of a streamed answer, written: the event's name, its type and its number, then what it tells.

use crate::json::{Object, RawJson, Writer};

/// Numbers the events of a stream.
#[derive(Debug, Default)]
pub(super) struct Frames {
    sequence: u64,
}

impl Frames {
    /// Writes an event; `members` writes what stands behind its type and number.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, kind: &str, members: impl FnOnce(&mut Writer<'_>)) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        let number = self.sequence;
        self.sequence += 1;
        Writer::new(out).object(|w| {
            w.key("type").string(kind);
            w.key("sequence_number").number(number);
            members(w);
        });
        out.extend_from_slice(b"\n\n");
    }

    /// Writes an event of this dialect again, with a number of this stream.
    pub(super) fn repeat(&mut self, out: &mut Vec<u8>, raw: &RawJson) {
        let Ok(mut event) = Object::parse(raw.text(), "") else {
            return;
        };
        let kind = event.take_string("type").ok().flatten().unwrap_or_default();
        // The name is a line of its own in the stream.
        if kind.is_empty() || kind.contains(['\n', '\r']) {
            return;
        }
        event.take("sequence_number");
        let members = event.into_ext();
        self.event(out, &kind, |w| w.ext(&members));
    }
}

/// Where a piece of content stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The id of its item.
    pub(super) item_id: String,
    /// The position of its item in the output.
    pub(super) output_index: usize,
}

impl Place {
    /// Writes the members that say so.
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.key("item_id").string(&self.item_id);
        w.key("output_index").number(self.output_index as u64);
    }
}

/// Appends a value to a list of values that are already JSON, without its brackets.
pub(super) fn push_value(list: &mut Vec<u8>, value: &[u8]) {
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(value);
}

/// The list as a JSON array.
pub(super) fn array_of(list: &[u8]) -> RawJson {
    RawJson::array(std::str::from_utf8(list).ok().filter(|list| !list.is_empty()))
}

/// Bytes that are one JSON value.
pub(super) fn single(value: &[u8]) -> RawJson {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| RawJson::parse(text).ok())
        .unwrap_or_else(RawJson::null)
}
