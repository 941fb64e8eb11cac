use bytes::Bytes;
use proptest::prelude::*;

use super::scripted::{Exchanged, exchange};
use super::*;
use crate::http1::scratch::READ;
use crate::http1::scripted::Scripted;

fn told(bytes: &[u8], step: usize) -> Result<Exchanged, String> {
    let mut connection = Connection::new(Scripted::cut(bytes, step));
    let exchanged = exchange(&mut connection, &Method::POST).expect("a closed connection");
    exchanged.map_err(|error| error.to_string())
}

fn body_of(bytes: &[u8]) -> (String, Option<String>, bool) {
    let exchanged = told(bytes, usize::MAX).unwrap();
    let body = String::from_utf8(exchanged.body).unwrap();
    (body, exchanged.broken, exchanged.is_free)
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

fn ok(rest: &str) -> Vec<u8> {
    format!("{OK}{rest}").into_bytes()
}

#[test]
fn an_answer_is_read_to_its_end_and_the_connection_is_free() {
    for (rest, body) in [
        ("content-length: 5\r\n\r\nhello", "hello"),
        ("content-length: 0\r\n\r\n", ""),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "hello",
        ),
        ("transfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n", ""),
    ] {
        assert_eq!(body_of(&ok(rest)), (body.to_owned(), None, true), "{rest}");
    }
}

#[test]
fn a_connection_is_not_used_again_where_its_other_end_may_not_expect_it() {
    for rest in [
        "connection: close\r\ncontent-length: 5\r\n\r\nhello",
        "\r\nhello",
        "content-length: 5\r\n\r\nhello, you",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        assert_eq!(body_of(&ok(rest)), ("hello".to_owned(), None, false), "{rest}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_whole() {
    for (rest, body) in [
        ("content-length: 5\r\n\r\nhell", "hell"),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello"),
    ] {
        let (came, broken, is_free) = body_of(&ok(rest));
        assert_eq!(came, body);
        assert_eq!(
            broken.as_deref(),
            Some("the connection was closed within the answer")
        );
        assert!(!is_free);
    }
}

#[test]
fn what_came_before_the_framing_broke_is_still_given_out() {
    let bytes = ok("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nwhat?");
    let broken = Some("the answer is not HTTP: a broken chunk".to_owned());
    assert_eq!(body_of(&bytes), ("hello".to_owned(), broken, false));
}

#[test]
fn no_answer_says_why() {
    let large = format!("{OK}x: {}", "y".repeat(MAX_HEAD));
    for (bytes, why) in [
        (&b""[..], "the connection was closed without an answer"),
        (
            b"HTTP/1.1 2",
            "the connection was closed within the head of the answer",
        ),
        (
            b"HTTP/1.1 103 Early\r\n\r\n",
            "the connection was closed within the head of the answer",
        ),
        (b"<html>", "the answer is not HTTP: not HTTP/1"),
        (
            b"HTTP/1.1 101 S\r\nupgrade: x\r\n\r\n",
            "the answer is not HTTP: it switches to a protocol that nobody asked for",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
            "the answer is not HTTP: two different lengths",
        ),
        (large.as_bytes(), "the head of the answer is larger than 256 KiB"),
    ] {
        for step in [7, 4096] {
            assert_eq!(told(bytes, step), Err(why.to_owned()));
        }
    }
}

#[test]
fn interim_answers_are_left_out_however_many() {
    let mut bytes = "HTTP/1.1 103 Early\r\nlink: x\r\n\r\n".repeat(2000).into_bytes();
    bytes.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
    bytes.extend(ok("content-length: 2\r\n\r\nhi"));
    for step in [1000, READ] {
        let exchanged = told(&bytes, step).unwrap();
        assert_eq!((exchanged.status, &*exchanged.body), (200, &b"hi"[..]));
        assert!(exchanged.is_free);
        assert_eq!(exchanged.headers.len(), 1);
    }
}

#[test]
fn a_free_connection_that_is_closed_or_says_something_is_not_quiet() {
    let answer = ok("content-length: 0\r\n\r\n");
    for (behind, stays_open, is_quiet) in [
        (None, true, true),
        (None, false, false),
        (Some(b"HTTP/1.1 408 Timeout\r\n\r\n".to_vec()), true, false),
    ] {
        let mut connection = Connection::new(Scripted {
            reads: [answer.clone()].into(),
            stays_open,
            ..Scripted::default()
        });
        assert!(exchange(&mut connection, &Method::GET).unwrap().unwrap().is_free);
        connection.stream.reads.extend(behind.clone());
        assert_eq!(connection.is_quiet(), is_quiet, "{behind:?}");
    }
}

fn large_request<T>(with: impl FnOnce(&CallRequest<'_>) -> T) -> T {
    let mut body = RequestBody::default();
    for piece in ["first ", "", "second ", "third"] {
        body.push(Bytes::from_static(piece.as_bytes()));
    }
    let headers = HeaderMap::from_iter([(http::header::HOST, http::HeaderValue::from_static("h"))]);
    with(&CallRequest {
        method: &Method::POST,
        target: "/x",
        headers: &headers,
        body: &body,
    })
}

#[test]
fn all_pieces_of_a_request_are_sent_once_in_their_order_however_little_is_taken_at_a_time() {
    let whole = "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 18\r\n\r\nfirst second third";
    for room in 1..whole.len() + 9 {
        let mut stream = Scripted::default();
        large_request(|asked| {
            let mut head = Vec::new();
            head::write(asked, &mut head);
            let mut sending = Sending::new(head, asked.body);
            for _ in 0..whole.len() {
                stream.room = Some(room);
                if sending
                    .poll(&mut stream, &mut Context::from_waker(Waker::noop()))
                    .is_ready()
                {
                    break;
                }
            }
            assert!(sending.is_flushed);
            assert_eq!(sending.head.capacity(), 0, "nothing is kept of what was sent");
        });
        assert_eq!(String::from_utf8_lossy(&stream.written), whole, "{room}");
    }
}

#[test]
fn an_answer_that_comes_before_all_was_sent_is_taken_and_ends_the_connection() {
    let mut connection = Connection::new(Scripted {
        reads: [b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n".to_vec()].into(),
        stays_open: true,
        room: Some(10),
        ..Scripted::default()
    });
    large_request(|asked| {
        let sending = std::pin::pin!(connection.send(asked));
        let Poll::Ready(Ok(answered)) = sending.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("no answer");
        };
        assert_eq!(answered.status, StatusCode::PAYLOAD_TOO_LARGE);
    });
    assert!(!connection.is_free());
}

proptest! {
    #[test]
    fn an_answer_is_the_same_however_it_is_cut(
        pieces in proptest::collection::vec("[a-z\r\n]{1,40}", 0..5),
        step in 1_usize..80,
        is_chunked: bool,
        cut in 0_usize..400,
    ) {
        let body = pieces.concat();
        let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n".to_vec();
        if is_chunked {
            bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
            for piece in &pieces {
                bytes.extend(format!("{:X}\r\n{piece}\r\n", piece.len()).as_bytes());
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        }
        let whole = told(&bytes, usize::MAX).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&whole.body), &*body);
        prop_assert!(whole.is_free);
        prop_assert_eq!(told(&bytes, step), Ok(whole));
        let short = &bytes[..cut.min(bytes.len() - 1)];
        prop_assert_eq!(told(short, step), told(short, usize::MAX));
    }
}
