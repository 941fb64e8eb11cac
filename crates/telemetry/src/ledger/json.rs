//! JSON that is written by hand, because it is written for every call.

/// The name of a member of an object of JSON, as it stands behind another member.
macro_rules! member {
    ($name:expr) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use member;

/// Writes a [`member`]'s name, of the first one without the comma.
pub(super) fn name(out: &mut String, name: &'static str) {
    out.push_str(match out.ends_with('{') {
        true => name.get(1..).unwrap_or_default(),
        false => name,
    });
}

/// Writes a number.
// Not inline: it is called for every number of an attempt.
#[inline(never)]
pub(super) fn number(out: &mut String, of: &'static str, number: u64) {
    name(out, of);
    out.push_str(itoa::Buffer::new().format(number));
}

/// Writes a text, if there is one.
pub(super) fn text(out: &mut String, of: &'static str, text: Option<&str>) {
    let Some(text) = text else {
        return;
    };
    name(out, of);
    let is_special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    // Without early exit: nearly always all of it is looked at, and the compiler can vectorise it.
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}
