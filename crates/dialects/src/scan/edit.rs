//! Changes top-level members of a scanned document and leaves every other byte as it is.

use std::ops::Range;

use memchr::memchr;

use super::{Member, Members};
use crate::json::Writer;

/// A change of one top-level member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The key of the member.
    pub key: &'a str,
    /// The new value as JSON text, which is not checked; `None` removes the member.
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
///
/// Appended members stand in the order of their edits. Removing a member that is not there changes nothing. Of several
/// edits of one key the last counts.
pub fn edit(document: &[u8], members: &Members, edits: &[Edit<'_>]) -> Vec<Piece> {
    let mut pieces = Pieces::default();
    let mut kept_before = false;
    for (i, member) in members.iter().enumerate() {
        match edits
            .iter()
            .rfind(|edit| member.is_named(document, edit.key.as_bytes()))
        {
            Some(Edit {
                value: Some(value), ..
            }) => pieces.replace(&member.value, value.as_bytes()),
            Some(Edit { value: None, .. }) => {
                pieces.replace(&with_comma(&members.members, i, kept_before), b"");
                continue;
            }
            None => {}
        }
        kept_before = true;
    }
    for (i, edit) in edits.iter().enumerate() {
        let Some(value) = &edit.value else { continue };
        let overruled = edits[i + 1..].iter().any(|later| later.key == edit.key);
        if overruled || members.has(document, edit.key) {
            continue;
        }
        let end = end_of_members(document, &members.members);
        pieces.replace(&(end..end), &written(edit.key, value, kept_before));
        kept_before = true;
    }
    pieces.keep(document.len());
    pieces.list
}

/// The bytes to cut out so that member `i` goes and the commas are right. `kept_before` says whether any member before it
/// stays.
fn with_comma(members: &[Member], i: usize, kept_before: bool) -> Range<usize> {
    let member = &members[i];
    match (
        i.checked_sub(1).map(|before| &members[before]),
        members.get(i + 1),
    ) {
        (Some(before), _) if kept_before => before.value.end..member.value.end,
        (_, Some(next)) => member.key.start..next.key.start,
        (_, None) => member.key.start..member.value.end,
    }
}

/// Where a member can be appended: behind the last one, or behind the opening brace.
fn end_of_members(document: &[u8], members: &[Member]) -> usize {
    match members.last() {
        Some(last) => last.value.end,
        None => memchr(b'{', document).map_or(0, |brace| brace + 1),
    }
}

fn written(key: &str, value: &str, comma: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + value.len() + 4);
    if comma {
        out.push(b',');
    }
    Writer::new(&mut out).string(key);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
    out
}

/// The edited document so far: the original up to `done`, with changes.
#[derive(Default)]
struct Pieces {
    list: Vec<Piece>,
    done: usize,
}

impl Pieces {
    fn keep(&mut self, end: usize) {
        if end > self.done {
            self.list.push(Piece::Kept(self.done..end));
            self.done = end;
        }
    }

    /// Puts `new` in the place of a range, which begins where the ranges before it end or later.
    fn replace(&mut self, range: &Range<usize>, new: &[u8]) {
        self.keep(range.start);
        self.done = range.end;
        match self.list.last_mut() {
            _ if new.is_empty() => {}
            Some(Piece::New(last)) => last.extend_from_slice(new),
            _ => self.list.push(Piece::New(new.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;

    fn edited(document: &str, edits: &[(&str, Option<&str>)]) -> String {
        let members = scan(document.as_bytes()).unwrap();
        let edits: Vec<Edit<'_>> = edits
            .iter()
            .map(|(key, value)| Edit {
                key,
                value: value.map(str::to_owned),
            })
            .collect();
        let mut out = Vec::new();
        for piece in edit(document.as_bytes(), &members, &edits) {
            match piece {
                Piece::Kept(range) => out.extend_from_slice(&document.as_bytes()[range]),
                Piece::New(bytes) => out.extend(bytes),
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        assert_eq!(
            edited(r#"{ "a" : 1 ,"b":[2 ] }"#, &[("b", Some("{}"))]),
            r#"{ "a" : 1 ,"b":{} }"#
        );
        assert_eq!(
            edited(r#"{"a":1,"b":2}"#, &[("b", Some("3")), ("a", Some("4"))]),
            r#"{"a":4,"b":3}"#
        );
        assert_eq!(
            edited(r#"{"mod\u0065l":"x"}"#, &[("model", Some("1"))]),
            r#"{"mod\u0065l":1}"#
        );
    }

    #[test]
    fn commas_are_right_whichever_members_are_removed() {
        let document = "{ \"a\" : 1 , \"b\" : 2 , \"c\" : 3 }";
        let cases: &[(&[&str], &str)] = &[
            (&["a"], r#"{ "b" : 2 , "c" : 3 }"#),
            (&["b"], r#"{ "a" : 1 , "c" : 3 }"#),
            (&["c"], r#"{ "a" : 1 , "b" : 2 }"#),
            (&["a", "b"], r#"{ "c" : 3 }"#),
            (&["c", "a"], r#"{ "b" : 2 }"#),
            (&["b", "c"], r#"{ "a" : 1 }"#),
            (&["a", "b", "c"], "{  }"),
            (&["d"], document),
            (&[], document),
        ];
        for (keys, expected) in cases {
            let edits: Vec<_> = keys.iter().map(|key| (*key, None)).collect();
            assert_eq!(edited(document, &edits), *expected, "{keys:?}");
        }
        assert_eq!(edited(r#"{"a":1}"#, &[("a", None)]), "{}");
    }

    #[test]
    fn new_members_are_appended() {
        assert_eq!(edited("{}", &[("a", Some("1"))]), r#"{"a":1}"#);
        assert_eq!(
            edited(" { } ", &[("a", Some("1")), ("b", Some("2"))]),
            r#" {"a":1,"b":2 } "#
        );
        assert_eq!(
            edited(r#"{"a":1 }"#, &[("b", Some("2")), ("c", Some("3"))]),
            r#"{"a":1,"b":2,"c":3 }"#
        );
        assert_eq!(edited("{}", &[("a\"\n", Some("1"))]), r#"{"a\"\n":1}"#);
    }

    #[test]
    fn removing_replacing_and_appending_mix() {
        let document = r#"{"a":1,"b":2}"#;
        assert_eq!(
            edited(document, &[("a", None), ("c", Some("3"))]),
            r#"{"b":2,"c":3}"#
        );
        assert_eq!(
            edited(document, &[("c", Some("3")), ("b", None)]),
            r#"{"a":1,"c":3}"#
        );
        assert_eq!(
            edited(document, &[("b", None), ("a", None), ("c", Some("3"))]),
            r#"{"c":3}"#
        );
        assert_eq!(
            edited(document, &[("b", None), ("a", Some("0")), ("c", Some("3"))]),
            r#"{"a":0,"c":3}"#
        );
    }

    #[test]
    fn the_last_edit_of_a_key_counts() {
        assert_eq!(edited(r#"{"a":1}"#, &[("a", Some("2")), ("a", None)]), "{}");
        assert_eq!(
            edited(r#"{"a":1}"#, &[("a", None), ("a", Some("2"))]),
            r#"{"a":2}"#
        );
        assert_eq!(edited("{}", &[("a", Some("1")), ("a", Some("2"))]), r#"{"a":2}"#);
        assert_eq!(edited("{}", &[("a", Some("1")), ("a", None)]), "{}");
    }

    #[test]
    fn an_unchanged_document_is_one_kept_piece() {
        let document = br#"{"a":1}"#;
        let members = scan(document).unwrap();
        assert_eq!(edit(document, &members, &[]), [Piece::Kept(0..document.len())]);
    }

    #[test]
    fn pieces_are_as_few_as_possible() {
        let document = br#"{"a":1,"b":2}"#;
        let members = scan(document).unwrap();
        let edits = [
            Edit {
                key: "b",
                value: Some("7".to_owned()),
            },
            Edit {
                key: "c",
                value: Some("8".to_owned()),
            },
        ];
        let pieces = edit(document, &members, &edits);
        assert_eq!(
            pieces,
            [
                Piece::Kept(0..11),
                Piece::New(br#"7,"c":8"#.to_vec()),
                Piece::Kept(12..13)
            ]
        );
    }
}
