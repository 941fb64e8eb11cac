//! Vectors, and the two notations of their numbers.
//!
//! Nothing is computed: numbers stay the text they were, and become bytes only where base64 is asked for. A 32-bit float
//! that goes through base64 comes back as the same float.

use std::borrow::Cow;

use crate::json::Raw;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::form::{Kind, Wanted};
use crate::canonical::DecodeError;
use crate::json::{RawJson, kind_of};

/// Most significant digits that a 32-bit float needs.
const FLOAT_DIGITS: usize = 9;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// What its numbers are.
    pub kind: Kind,
    /// The numbers.
    pub values: Values,
}

/// The numbers of a vector, as they were written.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// A list of JSON numbers.
    Numbers(RawJson),
    /// Their bytes, little endian, as base64.
    Base64(String),
}

/// What is written as a vector.
pub(super) enum Written<'a> {
    Numbers(Cow<'a, RawJson>),
    Base64(Cow<'a, str>),
}

impl Vector {
    /// Reads a list of numbers or a string of base64.
    pub(super) fn decode(kind: Kind, raw: Raw<'_>, path: &str) -> Result<Self, DecodeError> {
        let text = raw.get();
        let values = if text.starts_with('"') {
            let text = serde_json::from_str(text)
                .map_err(|error| DecodeError::new(path, format!("is no text: {error}")))?;
            Values::Base64(text)
        } else if is_list_of_numbers(text) {
            Values::Numbers(RawJson::from(raw))
        } else {
            return Err(DecodeError::new(
                path,
                format!("expected a list of numbers or base64, found {}", kind_of(text)),
            ));
        };
        Ok(Vector { kind, values })
    }

    /// The vector, whose numbers are of the wanted kind, in the wanted notation. `rounded` is set where a number had more
    /// digits than a 32-bit float.
    pub(super) fn written(&self, wanted: &Wanted, rounded: &mut bool) -> Result<Written<'_>, DecodeError> {
        Ok(match (&self.values, wanted.base64) {
            (Values::Numbers(list), false) => Written::Numbers(Cow::Borrowed(list)),
            (Values::Base64(text), true) => Written::Base64(Cow::Borrowed(text)),
            (Values::Numbers(list), true) => {
                Written::Base64(Cow::Owned(to_base64(list.text(), &wanted.kind, rounded)?))
            }
            (Values::Base64(text), false) => Written::Numbers(Cow::Owned(to_numbers(text, &wanted.kind)?)),
        })
    }
}

/// The vector to write where `wanted` was asked for: the one in that notation if there are several.
pub(super) fn pick<'a>(vectors: &'a [Vector], wanted: &Wanted) -> Result<&'a Vector, DecodeError> {
    let of_kind = || vectors.iter().filter(|vector| vector.kind == wanted.kind);
    of_kind()
        .find(|vector| matches!(vector.values, Values::Base64(_)) == wanted.base64)
        .or_else(|| of_kind().next())
        .ok_or_else(|| {
            DecodeError::new(
                "",
                format!(
                    "the provider's answer has no vectors of the kind \"{}\"",
                    wanted.kind.name()
                ),
            )
        })
}

fn is_list_of_numbers(text: &str) -> bool {
    list_inside(text).is_some_and(|inside| {
        inside.bytes().all(|byte| {
            matches!(
                byte,
                b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E' | b',' | b' ' | b'\t' | b'\r' | b'\n'
            )
        })
    })
}

fn list_inside(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// The numbers of a list, as texts.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    list_inside(list)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|number| !number.is_empty())
}

fn to_base64(list: &str, kind: &Kind, rounded: &mut bool) -> Result<String, DecodeError> {
    let unfit = |number: &str| {
        DecodeError::new(
            "",
            format!("{number} does not fit into a vector of {}", kind.name()),
        )
    };
    // A number takes about as many bytes as the four of a float.
    let mut bytes = Vec::with_capacity(list.len() / 2);
    for number in elements(list) {
        match kind {
            Kind::Float => {
                let value = number
                    .parse::<f32>()
                    .ok()
                    .filter(|value| value.is_finite())
                    .ok_or_else(|| unfit(number))?;
                *rounded |= !is_same(number, value);
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Int8 | Kind::Binary => {
                let value: i8 = number.parse().map_err(|_| unfit(number))?;
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Uint8 | Kind::Ubinary => bytes.push(number.parse().map_err(|_| unfit(number))?),
            Kind::Bits | Kind::Other(_) => {
                return Err(DecodeError::new(
                    "",
                    format!("vectors of {} have no base64", kind.name()),
                ));
            }
        }
    }
    Ok(BASE64.encode(bytes))
}

fn to_numbers(text: &str, kind: &Kind) -> Result<RawJson, DecodeError> {
    let problem =
        |problem: &str| DecodeError::new("", format!("a vector is no base64 of {}: {problem}", kind.name()));
    let bytes = BASE64.decode(text).map_err(|error| problem(&error.to_string()))?;
    let mut out = String::with_capacity(bytes.len() * 3);
    out.push('[');
    let mut push = |number: &dyn std::fmt::Debug| {
        use std::fmt::Write as _;
        if out.len() > 1 {
            out.push(',');
        }
        // Writing into a string cannot fail. `Debug` prints the shortest text that reads as the same number.
        let _ = write!(out, "{number:?}");
    };
    match kind {
        Kind::Float => {
            let (floats, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(problem("it does not end with a whole number"));
            }
            for float in floats {
                let value = f32::from_le_bytes(*float);
                if !value.is_finite() {
                    return Err(problem("JSON has neither infinities nor NaN"));
                }
                push(&value);
            }
        }
        Kind::Int8 | Kind::Binary => bytes.iter().for_each(|byte| push(&byte.cast_signed())),
        Kind::Uint8 | Kind::Ubinary => bytes.iter().for_each(|byte| push(byte)),
        Kind::Bits | Kind::Other(_) => return Err(problem("there is none")),
    }
    out.push(']');
    RawJson::parse(&out).map_err(|error| problem(&error.to_string()))
}

/// Whether a 32-bit float says all that the text says. Providers compute in 32 bits and print up to nine digits, or all
/// those of the same number in 64 bits.
fn is_same(text: &str, value: f32) -> bool {
    let mut digits = 0;
    let mut zeros = 0;
    let mantissa = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    for digit in mantissa.filter(u8::is_ascii_digit) {
        match digit {
            // Zeros around the others say where the point is.
            b'0' if digits > 0 => zeros += 1,
            b'0' => {}
            _ => digits += std::mem::take(&mut zeros) + 1,
        }
    }
    digits <= FLOAT_DIGITS || text.parse::<f64>().is_ok_and(|exact| exact == f64::from(value))
}
