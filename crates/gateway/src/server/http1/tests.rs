use proptest::prelude::*;

use super::scripted::{Requests, requests};

fn bodies(bytes: &[u8]) -> Vec<(String, Option<String>)> {
    let told = requests(bytes, usize::MAX).told.into_iter();
    told.map(|told| (String::from_utf8(told.body).unwrap(), told.broken))
        .collect()
}

const POST: &str = "POST / HTTP/1.1\r\nhost: h\r\n";

#[test]
fn requests_that_come_together_are_read_one_after_the_other() {
    let bytes = format!(
        "{POST}content-length: 3\r\n\r\none\r\n{POST}transfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nx: y\r\n\r\n{POST}\r\n"
    );
    let whole = |text: &str| (text.to_owned(), None);
    assert_eq!(bodies(bytes.as_bytes()), [whole("one"), whole("two"), whole("")]);
}

#[test]
fn a_body_that_is_not_complete_is_never_taken_for_one() {
    for (framing, told) in [
        ("content-length: 4\r\n\r\none", "one"),
        ("transfer-encoding: chunked\r\n\r\n4\r\none", "one"),
        ("transfer-encoding: chunked\r\n\r\n3\r\none\r\n", "one"),
        ("transfer-encoding: chunked\r\n\r\nx", ""),
        (
            "transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\nno trailer\r\n\r\n",
            "one",
        ),
    ] {
        let read = bodies(format!("{POST}{framing}").as_bytes());
        assert_eq!(read.len(), 1, "{framing:?}");
        assert_eq!(read[0].0, told, "{framing:?}");
        assert!(read[0].1.is_some(), "{framing:?}");
    }
}

#[test]
fn nothing_is_read_behind_a_request_that_ends_the_connection() {
    let bytes = format!("{POST}connection: close\r\n\r\n{POST}\r\n");
    assert_eq!(bodies(bytes.as_bytes()).len(), 1);
}

#[test]
fn garbage_behind_a_request_is_refused() {
    let bytes = format!("{POST}content-length: 3\r\n\r\nonetwo \r\n\r\n");
    let Requests { told, refused } = requests(bytes.as_bytes(), usize::MAX);
    assert_eq!((told.len(), refused.is_some()), (1, true));
}

/// Requests as clients send them, and as they do not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(POST.as_bytes().to_vec()),
        Just(b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n".to_vec()),
        Just(b"content-length: 10\r\n\r\n0123456789".to_vec()),
        Just(b"expect: 100-continue\r\n".to_vec()),
        Just(b"transfer-encoding: chunked\r\n\r\n".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_a_client_says_does_not_depend_on_how_it_is_cut(bytes in bytes(), step in 1_usize..40) {
        prop_assert_eq!(requests(&bytes, step), requests(&bytes, usize::MAX));
    }
}

#[test]
fn a_connection_is_small() {
    fn size<'a, A, B, C, D: 'a, E, F: Future>(_: fn(A, B, C, &'a D, E) -> F) -> usize {
        size_of::<F>()
    }
    // One that waits for its next call pays for it too.
    let bytes = size(super::connection);
    assert!(bytes < 1_300, "{bytes} bytes");
}
