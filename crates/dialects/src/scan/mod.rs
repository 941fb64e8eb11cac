//! Finds the few members of a document that the gateway owns, without building a tree.
//!
//! One pass over the bytes checks that the document is UTF-8 and strict JSON (RFC 8259) within a depth limit, that its top
//! level is an object whose keys are unique, and notes where each top-level member stands. The rest is forwarded untouched:
//! [`edit`] splices new members in and copies nothing.
//!
//! Strict where two parsers could see different documents (duplicate members, byte order marks, data after the end), and
//! lenient where they cannot: numbers of any size and halves of surrogate pairs pass as they were written.

mod edit;
mod grammar;
mod string;

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

pub use edit::{Edit, Piece, edit};
pub use grammar::Scanner;
pub(crate) use grammar::plain_length;
pub use string::{NotText, decode as text};

/// Deepest nesting of arrays and objects accepted, the top-level object included.
pub const MAX_DEPTH: usize = 128;

/// Shorter strings may be text although they look like base64.
pub const MIN_ENCODED: usize = 4096;

/// Most top-level members accepted. Real requests have a few dozen; each costs us 32 bytes.
pub const MAX_MEMBERS: usize = 100_000;

/// Where the top-level members of a document stand. Holds ranges, not bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    members: Vec<Member>,
    encoded: Encoded,
}

/// Strings of at least [`MIN_ENCODED`] bytes that begin as base64 does, or as an address with base64 in it (`data:`, RFC 2397): images and
/// the like. Text in any language, JSON and tables that are written in a string soon have a byte that is not of base64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// How many they are.
    pub strings: usize,
    /// Bytes of all of them, quotes included.
    pub bytes: usize,
}

/// One top-level member: byte ranges in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key with its quotes.
    pub key: Range<usize>,
    /// The value without surrounding white space.
    pub value: Range<usize>,
    /// Whether the key is written with escapes.
    has_escapes: bool,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem} at byte {offset}")]
pub struct ScanError {
    /// Where, in bytes from the start.
    pub offset: usize,
    /// What is wrong, for the caller.
    pub problem: &'static str,
}

/// Checks a document and finds its top-level members.
///
/// # Errors
/// Not UTF-8, not JSON, not an object, nested deeper than [`MAX_DEPTH`], more members than [`MAX_MEMBERS`], or a top-level
/// key stands twice.
pub fn scan(document: &[u8]) -> Result<Members, ScanError> {
    if document.starts_with(b"\xEF\xBB\xBF") {
        return Err(ScanError {
            offset: 0,
            problem: "a byte order mark, which JSON does not allow",
        });
    }
    let mut members = Vec::with_capacity(FEW_MEMBERS);
    let mut scanner = Scanner::new(document);
    let read = read_members(&mut scanner, &mut members);
    // Most documents are ASCII, which is UTF-8. What is not UTF-8 is told before what is wrong with it as JSON.
    if (read.is_err() || !scanner.is_ascii())
        && let Err(error) = std::str::from_utf8(document)
    {
        return Err(ScanError {
            offset: error.valid_up_to(),
            problem: "the text is not UTF-8",
        });
    }
    read?;
    check_unique(document, &members)?;
    Ok(Members {
        members,
        encoded: scanner.encoded(),
    })
}

fn read_members(scanner: &mut Scanner<'_>, members: &mut Vec<Member>) -> Result<(), ScanError> {
    scanner.white_space();
    scanner.object(|member| {
        if members.len() == MAX_MEMBERS {
            return Err(ScanError {
                offset: member.key.start,
                problem: "more than 100000 members",
            });
        }
        members.push(member);
        Ok(())
    })?;
    scanner.end()
}

impl Members {
    /// The raw JSON of a top-level member. Keys written with escapes are found too. `document` is what was scanned.
    pub fn value<'a>(&self, document: &'a [u8], key: &str) -> Option<&'a str> {
        let member = self.member(document, key)?;
        std::str::from_utf8(document.get(member.value.clone())?).ok()
    }

    /// The same as bytes, for whoever asks what a value begins with: a long one is not looked through for that.
    pub fn raw<'a>(&self, document: &'a [u8], key: &str) -> Option<&'a [u8]> {
        document.get(self.member(document, key)?.value.clone())
    }

    /// The text of a top-level string member, escapes decoded; `None` if there is no such member.
    ///
    /// # Errors
    /// The member is there, but is `null` or of another type, or its text holds half of a surrogate pair.
    pub fn string<'a>(&self, document: &'a [u8], key: &str) -> Option<Result<Cow<'a, str>, NotText>> {
        self.value(document, key).map(string::decode)
    }

    /// Whether a top-level member is there and is `true`.
    pub fn is_true(&self, document: &[u8], key: &str) -> bool {
        self.value(document, key) == Some("true")
    }

    /// Whether a top-level member is there, of whatever type, `null` included. Does not look at its value.
    pub fn has(&self, document: &[u8], key: &str) -> bool {
        self.member(document, key).is_some()
    }

    /// All members in order.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// What in the document is base64 instead of text.
    pub fn encoded(&self) -> Encoded {
        self.encoded
    }

    fn member(&self, document: &[u8], key: &str) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.is_named(document, key.as_bytes()))
    }
}

/// Whether a name stands between quotes, with escapes or without.
pub fn is_name(written: &[u8], name: &str) -> bool {
    // A name with escapes is longer than what it means.
    written == name.as_bytes()
        || (written.len() > name.len()
            && written.contains(&b'\\')
            && *string::unescape(written) == *name.as_bytes())
}

impl Member {
    fn is_named(&self, document: &[u8], name: &[u8]) -> bool {
        let written = self.written_name(document);
        match self.has_escapes {
            false => written == name,
            // A name with escapes is longer than what it means.
            true => written.len() > name.len() && *string::unescape(written) == *name,
        }
    }

    /// The key without quotes, escapes decoded.
    fn name<'a>(&self, document: &'a [u8]) -> Cow<'a, [u8]> {
        string::unescape(self.written_name(document))
    }

    /// The key without quotes; empty if `document` is not the one that was scanned.
    fn written_name<'a>(&self, document: &'a [u8]) -> &'a [u8] {
        document
            .get(self.key.start + 1..self.key.end - 1)
            .unwrap_or_default()
    }
}

/// The raw JSON of a member of the object `value`; `None` if `value` is no object or has no such member.
///
/// `value` must come from a scanned document. Only top-level keys are known to be unique: of several members with this key
/// the last counts, as in nearly all parsers.
pub fn nested<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    let document = value.as_bytes();
    let mut found = None;
    Scanner::new(document)
        .object(|member| {
            if member.is_named(document, key.as_bytes()) {
                found = Some(member.value);
            }
            Ok(())
        })
        .ok()?;
    value.get(found?)
}

/// A number of digits only, as JSON writes it; `None` for anything else, and for what is too large.
pub fn whole_number(json: &[u8]) -> Option<u64> {
    if json.is_empty() || json.len() > 20 {
        return None;
    }
    json.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A count that a JSON number says: one that is whole and not negative, also if it is written with a fraction of zero.
pub fn count(json: &[u8]) -> Option<u64> {
    if let Some(count) = whole_number(json) {
        return Some(count);
    }
    let number: f64 = std::str::from_utf8(json).ok()?.parse().ok()?;
    // Exact up to here; beyond it is no count of tokens.
    let is_count = number >= 0.0 && number.fract() == 0.0 && number <= 9e15;
    is_count.then_some(number as u64)
}

fn check_unique(document: &[u8], members: &[Member]) -> Result<(), ScanError> {
    match second_of_a_name(document, members) {
        Some(member) => Err(ScanError {
            offset: member.key.start,
            problem: "a member name stands twice",
        }),
        None => Ok(()),
    }
}

/// The first member whose name an earlier member has.
fn second_of_a_name<'a>(document: &[u8], members: &'a [Member]) -> Option<&'a Member> {
    if members.len() <= FEW_MEMBERS {
        // Without an allocation: this is how requests look.
        let (_, second) = members.iter().enumerate().find(|(i, member)| {
            let mut earlier = members[..*i].iter();
            if !member.has_escapes {
                let name = member.written_name(document);
                return earlier.any(|earlier| earlier.is_named(document, name));
            }
            let name = member.name(document);
            earlier.any(|earlier| earlier.is_named(document, &name))
        })?;
        return Some(second);
    }
    // Sorted, not hashed: no choice of names makes this quadratic.
    let mut names: Vec<_> = members
        .iter()
        .map(|member| (member.name(document), member.key.start))
        .collect();
    names.sort_unstable();
    let second = names
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| pair[1].1)
        .min()?;
    members.iter().find(|member| member.key.start == second)
}

/// Up to so many names are compared each with each.
const FEW_MEMBERS: usize = 16;

#[cfg(test)]
mod tests;
