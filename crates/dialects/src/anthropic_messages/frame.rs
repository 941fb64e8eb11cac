//! Server-sent events as this dialect writes them: an event name, and one line of data that repeats it as `type`.

use crate::json::Writer;

/// Writes a delta of one text member.
pub(crate) fn write_delta(out: &mut Vec<u8>, index: u64, kind: &str, member: &str, piece: &str) {
    write_event(out, "content_block_delta", |w| {
        w.key("index").number(index);
        w.key("delta").object(|w| {
            w.key("type").string(kind);
            w.key(member).string(piece);
        });
    });
}

/// Writes one event whose data is an object with this `type` and the given members.
pub(crate) fn write_event(out: &mut Vec<u8>, kind: &str, members: impl FnOnce(&mut Writer<'_>)) {
    write_frame(out, kind, |out| {
        Writer::new(out).object(|w| {
            w.key("type").string(kind);
            members(w);
        });
    });
}

/// Writes one event. Line ends can stand in raw JSON only between tokens, where a space is as good and keeps one data line.
pub(crate) fn write_frame(out: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend(name.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    out.extend_from_slice(b"\ndata: ");
    let begin = out.len();
    data(out);
    for byte in out
        .iter_mut()
        .skip(begin)
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
    {
        *byte = b' ';
    }
    out.extend_from_slice(b"\n\n");
}
