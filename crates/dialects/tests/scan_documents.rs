//! The scanner agrees with serde_json about what JSON is, and edits mean what the same edits of a tree mean.

#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use serde_json::value::RawValue;

use tollgate_dialects::scan::{Edit, Piece, edit, scan};

type Member = (&'static str, &'static str, String);

/// Keys as they are written: few, so that they meet, and some of them written in two ways.
const KEYS: [&str; 8] = [
    r#""a""#,
    r#""b""#,
    r#""model""#,
    r#""mod\u0065l""#,
    r#""""#,
    r#""\n""#,
    "\"\u{1F600}\"",
    r#""\ud83d\ude00""#,
];

const SCALARS: [&str; 14] = [
    "null",
    "true",
    "false",
    "0",
    "-1.5e+3",
    "1e400",
    "9007199254740993",
    r#""""#,
    r#""a""#,
    r#""\ud800""#,
    r#""\"}\\""#,
    "[]",
    "{}",
    "[[{}]]",
];

/// What a mutation puts into a document.
const BITS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"0",
    b"-",
    b".",
    b"e",
    b" ",
    b"\n",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\xC3",
    b"\xA9",
    b"\xEF\xBB\xBF",
    b"n",
    b"/",
    b"'",
];

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", " ", "\n", "\t\r "])
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        2 => select(&SCALARS[..]).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap()),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..4), space())
                .prop_map(|(values, space)| format!("[{space}{}]", values.join(","))),
            members(inner).prop_map(|members| object(&members)),
        ]
    })
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<Member>> {
    vec((select(&KEYS[..]), space(), value), 0..5)
}

fn object(members: &[Member]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, space, value)| format!("{space}{key}{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Leaves the first of the members with the same key.
fn unique(mut members: Vec<Member>) -> Vec<Member> {
    let mut seen = BTreeSet::new();
    members.retain(|(key, ..)| seen.insert(name(key)));
    members
}

fn name(key: &str) -> String {
    serde_json::from_str(key).unwrap()
}

/// A document with a few random bytes removed and inserted.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), 0_usize..3, select(&BITS[..]), any::<bool>());
    let document =
        prop_oneof![9 => members(value()).prop_map(|members| object(&unique(members))), 1 => value()];
    (document, vec(change, 0..3)).prop_map(|(document, changes)| {
        let mut document = document.into_bytes();
        for (place, removed, bits, insert) in changes {
            let start = place.index(document.len() + 1);
            let end = (start + removed).min(document.len());
            document.splice(start..end, if insert { bits } else { b"" }.iter().copied());
        }
        document
    })
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn json_objects_are_accepted_and_nothing_else(document in mutated()) {
        // A raw value allows any number and half surrogates, as the scanner does.
        let json = serde_json::from_slice::<&RawValue>(&document);
        match (scan(&document), json) {
            (Ok(_), Ok(raw)) => prop_assert!(is_object(raw)),
            (Ok(_), Err(error)) => prop_assert!(false, "accepted, but {}", error),
            (Err(error), Ok(raw)) => match error.problem {
                "not a JSON object" => prop_assert!(!is_object(raw)),
                "a member name stands twice" => {}
                problem => prop_assert!(false, "refused: {}", problem),
            },
            (Err(error), Err(_)) => prop_assert!(error.offset <= document.len()),
        }
    }

    #[test]
    fn documents_a_tree_can_hold_are_accepted(document in mutated()) {
        match (scan(&document), serde_json::from_slice::<Value>(&document)) {
            (Ok(members), Ok(Value::Object(tree))) => {
                prop_assert_eq!(members.iter().count(), tree.len());
                for (key, value) in &tree {
                    let raw = members.value(&document, key).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<Value>(raw).unwrap(), value);
                }
            }
            (Err(error), Ok(Value::Object(_))) => prop_assert_eq!(error.problem, "a member name stands twice"),
            (result, Ok(_)) => prop_assert!(result.is_err(), "accepted what is not an object"),
            // Half surrogates and numbers beyond f64 are what a tree cannot hold.
            (Ok(_), Err(error)) => {
                let text = error.to_string();
                let known = ["surrogate", "hex escape", "number out of range"];
                prop_assert!(known.iter().any(|known| text.contains(known)), "accepted, but {}", text);
            }
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused(members in members(Just("0".to_owned()))) {
        let twice = unique(members.clone()).len() < members.len();
        let result = scan(object(&members).as_bytes()).map(|_| ()).map_err(|error| error.problem);
        prop_assert_eq!(result, if twice { Err("a member name stands twice") } else { Ok(()) });
    }

    #[test]
    fn edits_change_what_the_same_edits_of_a_tree_change(
        members in members(value()),
        around in space(),
        edits in vec((select(&KEYS[..]), option::of(select(&SCALARS[..]))), 0..5),
    ) {
        let original = unique(members);
        let document = format!("{around}{}{around}", object(&original)).into_bytes();
        let found = scan(&document).unwrap();
        let keys: Vec<String> = edits.iter().map(|(key, _)| name(key)).collect();
        let edits: Vec<Edit<'_>> = keys
            .iter()
            .zip(&edits)
            .map(|(key, (_, value))| Edit { key, value: value.map(str::to_owned) })
            .collect();

        let mut expected: Vec<(String, String)> =
            original.iter().map(|(key, _, value)| (name(key), value.clone())).collect();
        for edit in &edits {
            let place = expected.iter().position(|(key, _)| key == edit.key);
            match (place, &edit.value) {
                (Some(place), Some(value)) => expected[place].1 = value.clone(),
                (Some(place), None) => drop(expected.remove(place)),
                (None, Some(value)) => expected.push((edit.key.to_owned(), value.clone())),
                (None, None) => {}
            }
        }

        let mut edited = Vec::new();
        for piece in edit(&document, &found, &edits) {
            match piece {
                Piece::Kept(range) => edited.extend_from_slice(&document[range]),
                Piece::New(bytes) => edited.extend(bytes),
            }
        }
        let found = scan(&edited).unwrap();
        let mut members: Vec<(String, String)> = found
            .iter()
            .map(|member| [&member.key, &member.value].map(|range| String::from_utf8_lossy(&edited[range.clone()])))
            .map(|[key, value]| (name(&key), value.into_owned()))
            .collect();
        // A member removed and appended again may stand at its old place or at the end.
        members.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(members, expected);
    }
}

#[test]
fn the_nesting_limit_is_one_level_above_that_of_a_tree() {
    let document = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(serde_json::from_str::<Value>(&document(127)).is_ok());
    assert!(serde_json::from_str::<Value>(&document(128)).is_err());
    assert!(scan(document(128).as_bytes()).is_ok());
    assert!(scan(document(129).as_bytes()).is_err());
}

#[test]
fn a_hundred_thousand_members_are_read_and_edited() {
    let members: Vec<String> = (0..100_000).map(|i| format!("\"key\\u0030{i}\":{i}")).collect();
    let document = format!("{{{}}}", members.join(","));
    let found = scan(document.as_bytes()).unwrap();
    assert_eq!(found.value(document.as_bytes(), "key099999"), Some("99999"));
    let edits = [
        Edit {
            key: "key050000",
            value: None,
        },
        Edit {
            key: "model",
            value: Some("1".to_owned()),
        },
    ];
    assert_eq!(edit(document.as_bytes(), &found, &edits).len(), 4);
}

#[test]
fn a_hundred_thousand_messages_are_read() {
    let messages = vec![r#"{"role":"user","content":"a"}"#; 100_000].join(",");
    let document = format!("{{\"messages\":[{messages}]}}");
    let found = scan(document.as_bytes()).unwrap();
    assert_eq!(
        found.value(document.as_bytes(), "messages").map(str::len),
        Some(messages.len() + 2)
    );
}
