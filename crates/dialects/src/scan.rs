//! Finds the few members of a document that the gateway owns, without building a tree.
//!
//! One pass over the bytes checks that the document is UTF-8 and strict JSON (RFC 8259) within a depth limit, that its top
//! level is an object whose keys are unique, and notes where each top-level member stands. The rest is forwarded untouched.

use std::ops::Range;

use thiserror::Error;

/// Deepest nesting of arrays and objects accepted; serde_json's own limit, so nothing behind us recurses deeper.
pub const MAX_DEPTH: usize = 128;

/// Where the top-level members of a document stand. Holds ranges, not bytes.
#[derive(Clone, Debug, Default)]
pub struct Members(Vec<Member>);

/// One top-level member: byte ranges in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key with its quotes.
    pub key: Range<usize>,
    /// The value without surrounding white space.
    pub value: Range<usize>,
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
/// Not UTF-8, not JSON, not an object, nested deeper than [`MAX_DEPTH`], or a top-level key stands twice.
pub fn scan(_document: &[u8]) -> Result<Members, ScanError> {
    Err(ScanError {
        offset: 0,
        problem: "not written yet",
    })
}

impl Members {
    /// The raw JSON of a top-level member. Keys written with escapes are found too.
    pub fn value<'a>(&self, _document: &'a [u8], _key: &str) -> Option<&'a str> {
        None
    }

    /// All members in order.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }
}

/// A change of one top-level member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The key of the member.
    pub key: &'a str,
    /// The new value as JSON text; `None` removes the member.
    pub value: Option<String>,
}

/// A piece of an edited document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the original document.
    Kept(Range<usize>),
    /// New bytes.
    New(Vec<u8>),
}

/// Applies edits to top-level members: replaces, removes, or appends at the end of the object. Everything else stays
/// byte-identical, and the original document is not copied.
pub fn edit(_document: &[u8], _members: &Members, _edits: &[Edit<'_>]) -> Vec<Piece> {
    Vec::new()
}
