//! The wire format of Protocol Buffers, as far as OTLP uses it: messages are written straight from borrowed text into one
//! buffer, and the few short messages that collectors answer are read.
//! <https://protobuf.dev/programming-guides/encoding/>

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Writer {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A field of type `string` or `bytes`. Empty ones are left out, as the format wants it.
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.present_bytes(field, value);
        }
    }

    /// As [`bytes`](Writer::bytes), but also written when empty: where the presence of a field means something.
    pub(crate) fn present_bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A field of an integer type or `enum` that cannot be negative; zero is left out.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_number(field, value);
        }
    }

    /// As [`number`](Writer::number), but also written when zero.
    pub(crate) fn present_number(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    /// A field of type `fixed64`.
    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A field of type `fixed32`.
    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, FIXED32);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A field of type `double`.
    pub(crate) fn double(&mut self, field: u32, value: f64) {
        self.key(field, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A message within the message.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer)) {
        self.key(field, LENGTH_DELIMITED);
        // Most are shorter than 128 bytes: the length then has one byte, and nothing moves.
        let at = self.bytes.len();
        self.bytes.push(0);
        write(self);
        let mut length = [0; MAX_VARINT];
        let length = varint(&mut length, (self.bytes.len() - at - 1) as u64);
        self.bytes.splice(at..=at, length.iter().copied());
    }

    /// What another writer has written, fields and all.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    fn key(&mut self, field: u32, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    fn varint(&mut self, value: u64) {
        let mut bytes = [0; MAX_VARINT];
        self.bytes.extend_from_slice(varint(&mut bytes, value));
    }
}

/// Seven bits in each byte, the lowest first; the highest bit says that another byte follows.
fn varint(bytes: &mut [u8; MAX_VARINT], mut value: u64) -> &[u8] {
    let mut length = 0;
    for byte in bytes.iter_mut() {
        length += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    bytes.get(..length).unwrap_or_default()
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes, which nobody here asks for.
    Fixed,
}

impl<'a> Value<'a> {
    pub(crate) fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Fixed => None,
        }
    }

    /// Text, with replacements where it is not UTF-8.
    pub(crate) fn as_text(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.as_bytes()?).into_owned())
    }

    pub(crate) fn as_number(&self) -> Option<u64> {
        match self {
            Value::Varint(number) => Some(*number),
            Value::Bytes(_) | Value::Fixed => None,
        }
    }
}

/// The fields of a message in their order, up to the first that cannot be read.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || next_field(&mut rest))
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let key = read_varint(rest)?;
    let wire_type = u8::try_from(key & 7).ok()?;
    let value = match wire_type {
        VARINT => Value::Varint(read_varint(rest)?),
        LENGTH_DELIMITED => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        FIXED64 => take(rest, 8).map(|_| Value::Fixed)?,
        FIXED32 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return None,
    };
    Some(Field {
        number: key >> 3,
        value,
    })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Bytes of the largest number: 64 bits, seven in each.
const MAX_VARINT: usize = 10;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number: u64, text in ".{0,300}", field in 1u32..1 << 20) {
            let mut writer = Writer::default();
            writer.message(field, |inner| {
                inner.present_number(1, number);
                inner.present_bytes(2, text.as_bytes());
            });
            let bytes = writer.into_bytes();
            let outer: Vec<_> = fields(&bytes).collect();
            prop_assert_eq!(outer.len(), 1);
            prop_assert_eq!(outer[0].number, u64::from(field));
            let inner: Vec<_> = fields(outer[0].value.as_bytes().unwrap()).collect();
            prop_assert_eq!(inner[0].value, Value::Varint(number));
            prop_assert_eq!(inner[1].value.as_text().unwrap(), text);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn numbers_and_texts_are_written_as_the_documentation_shows_it() {
        let mut writer = Writer::default();
        writer.number(1, 150);
        writer.bytes(2, b"testing");
        writer.number(3, 0);
        writer.bytes(4, b"");
        assert_eq!(writer.into_bytes(), b"\x08\x96\x01\x12\x07testing");
    }

    #[test]
    fn a_field_that_is_cut_ends_the_message() {
        for cut in [
            &b"\x08"[..],
            b"\x08\x96",
            b"\x12\x07test",
            b"\x09\0\0",
            b"\x0d\0",
            b"\x0b",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(fields(cut).count(), 0, "{cut:?}");
        }
    }
}
