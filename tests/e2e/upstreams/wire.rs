//! HTTP/1.1 as it comes from providers and servers, in every spelling, right and wrong: what is right is served, what is
//! wrong is an error or visibly breaks off, and nothing behind an answer ever answers another call.

use super::{Body, Reply, Way, node};
use crate::harness::{Asked, Dialect, Next, Upstream, answers};

type Answer = Box<dyn Fn(&Body) -> Vec<u8> + Send + Sync>;

/// An answer on the wire.
struct Case {
    name: String,
    answer: Answer,
    /// What the server does with the connection afterwards.
    next: Next,
    expected: Expected,
    /// Whether the connection serves the next call; `None`: as it likes.
    kept: Option<bool>,
}

/// What a client gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The answer, whole.
    Served,
    /// An error, or an answer that visibly breaks off.
    Failed,
    /// As [`Expected::Failed`], but a stream has said by then that it is complete.
    Broken,
    /// One of both: RFC 9112 leaves it to us.
    Either,
}

use Expected::{Broken, Either, Failed, Served};

impl Body {
    /// An answer with these lines between status line and content type, and this body as it is on the wire.
    fn under(&self, lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{lines}content-type: {}\r\n\r\n",
            self.media_type
        );
        [head.as_bytes(), body.as_ref()].concat()
    }

    /// An answer with a length and these lines.
    fn with(&self, lines: &str) -> Vec<u8> {
        self.under(
            &format!("content-length: {}\r\n{lines}", self.text.len()),
            &self.text,
        )
    }

    /// An answer with a length and this status line.
    fn status_line(&self, line: &str) -> Vec<u8> {
        let head = format!(
            "{line}\r\ncontent-length: {}\r\ncontent-type: {}\r\n\r\n",
            self.text.len(),
            self.media_type
        );
        [head, self.text.clone()].concat().into_bytes()
    }

    /// An answer in chunks, as they are on the wire.
    fn chunked(&self, chunks: impl AsRef<[u8]>) -> Vec<u8> {
        self.under("transfer-encoding: chunked\r\n", chunks)
    }

    /// One chunk with everything, whose size is written by `size`, and the end.
    fn one_chunk(&self, size: impl Fn(usize) -> String) -> Vec<u8> {
        self.chunked(format!("{}\r\n{}\r\n0\r\n\r\n", size(self.text.len()), self.text))
    }
}

/// A case whose server waits for the next request afterwards, on a connection that may be used again or not.
fn case(name: &str, expected: Expected, answer: impl Fn(&Body) -> Vec<u8> + Send + Sync + 'static) -> Case {
    Case {
        name: name.to_owned(),
        answer: Box::new(answer),
        next: Next::Keep,
        expected,
        kept: None,
    }
}

impl Case {
    /// The server closes the connection.
    fn closed(mut self) -> Case {
        self.next = Next::Close;
        self.left()
    }

    /// The connection never serves another call.
    fn left(mut self) -> Case {
        self.kept = Some(false);
        self
    }

    /// The connection serves the next call.
    fn kept(mut self) -> Case {
        self.kept = Some(true);
        self
    }

    /// Kept if served, left if not.
    fn kept_if_served(mut self) -> Case {
        self.kept = match self.expected {
            Served => Some(true),
            Failed | Broken => Some(false),
            Either => None,
        };
        self
    }
}

fn status_lines() -> Vec<Case> {
    let lines = [
        ("HTTP/1.1 200", Served),
        ("HTTP/1.1 200 ", Served),
        ("HTTP/1.1 200 All is well, (really)!", Served),
        ("HTTP/1.1 200 \u{e9}t\u{e9}", Either),
        ("HTTP/1.1  200 OK", Either),
        ("\r\n\r\nHTTP/1.1 200 OK", Either),
        ("HTTP/1.1 999 Odd", Either),
        ("HTTP/1.1 20 OK", Failed),
        ("HTTP/1.1 2000 OK", Failed),
        ("HTTP/1.1 099 OK", Failed),
        ("HTTP/1.1 abc OK", Failed),
        ("HTTP/1.1 +20 OK", Failed),
        ("HTTP/1.1 -20 OK", Failed),
        ("HTTP/1.1 200 a\0b", Failed),
        ("HTTP/1.1 200 a\rb", Failed),
        ("HTTP/1.1\t200\tOK", Failed),
        ("HTTP/1.10 200 OK", Failed),
        ("HTTP/0.9 200 OK", Failed),
        ("HTTP/2 200 OK", Failed),
        ("HTTP/2.0 200 OK", Failed),
        ("http/1.1 200 OK", Failed),
        ("HTP/1.1 200 OK", Failed),
        ("ICY 200 OK", Failed),
        ("200 OK", Failed),
        ("{\"choices\":[]}", Failed),
        ("\x16\x03\x01\x02\x00garbage", Failed),
    ];
    let line = |(line, expected)| case(line, expected, |body: &Body| body.status_line(line)).kept_if_served();
    let mut cases: Vec<Case> = lines.map(line).into();
    let long = format!("HTTP/1.1 200 {}", "a".repeat(2 * 1024 * 1024));
    cases.push(case("a reason of 2 MiB", Failed, move |body| body.status_line(&long)).left());
    cases
}

fn fields() -> Vec<Case> {
    let lines = [
        ("X-OdD-cAsE: 1\r\n", Served),
        ("x:1\r\n", Served),
        ("x:\r\n", Served),
        ("x: \t  spaces   \t\r\n", Served),
        ("x: caf\u{e9}\r\n", Served),
        ("x: 1\r\nx: 2\r\n", Served),
        ("x-!#$%&'*+.^_`|~9: 1\r\n", Served),
        (
            "connection: keep-alive\r\nkeep-alive: timeout=5, max=1000\r\n",
            Served,
        ),
        ("upgrade: h2c\r\n", Served),
        ("trailer: x-sum\r\n", Served),
        ("x: folded\r\n over two lines\r\n", Either),
        ("x: folded\r\n\tby a tab\r\n", Either),
        ("x: a bare line feed\ny: 1\r\n", Either),
        ("x : 1\r\n", Failed),
        ("x y: 1\r\n", Failed),
        (": 1\r\n", Failed),
        ("no colon\r\n", Failed),
        ("x: a\0b\r\n", Failed),
        ("x: a\rb\r\n", Failed),
        ("x\0: 1\r\n", Failed),
        ("caf\u{e9}: 1\r\n", Failed),
    ];
    let line = |(line, expected)| case(line, expected, |body: &Body| body.with(line)).kept_if_served();
    let mut cases: Vec<Case> = lines.map(line).into();
    for (name, count, expected) in [("90 fields", 90, Served), ("5,000 fields", 5000, Failed)] {
        let fields: String = (0..count).map(|number| format!("x-{number}: 1\r\n")).collect();
        cases.push(case(name, expected, move |body| body.with(&fields)).kept_if_served());
    }
    for (name, length, expected) in [
        ("a field of 60 KiB", 60 * 1024, Served),
        ("a field of 2 MiB", 2 * 1024 * 1024, Failed),
    ] {
        let field = format!("x: {}\r\n", "a".repeat(length));
        cases.push(case(name, expected, move |body| body.with(&field)).kept_if_served());
    }
    cases
}

fn lengths() -> Vec<Case> {
    let lines = [
        ("CONTENT-LENGTH: {}\r\n", Served),
        ("Content-Length:{}\r\n", Served),
        ("content-length:   {}  \t\r\n", Served),
        ("content-length: 000{}\r\n", Either),
        ("content-length: {}\r\ncontent-length: {}\r\n", Either),
        ("content-length: {}, {}\r\n", Either),
        ("content-length: 5\r\ncontent-length: {}\r\n", Failed),
        ("content-length: {}\r\ncontent-length: 5\r\n", Failed),
        ("content-length: 5, {}\r\n", Failed),
        ("content-length : {}\r\n", Failed),
        ("content-length: +{}\r\n", Failed),
        ("content-length: -{}\r\n", Failed),
        ("content-length: 0x{}\r\n", Failed),
        ("content-length: {}.0\r\n", Failed),
        ("content-length: {} 5\r\n", Failed),
        ("content-length: {}_0\r\n", Failed),
        ("content-length: \r\n", Failed),
        ("content-length: many\r\n", Failed),
        ("content-length: 18446744073709551616{}\r\n", Failed),
    ];
    let line = |(line, expected): (&'static str, Expected)| {
        let answer = |body: &Body| {
            let length = body.text.len().to_string();
            body.under(&line.replace("{}", &length), &body.text)
        };
        case(line, expected, answer).kept_if_served()
    };
    let mut cases: Vec<Case> = lines.map(line).into();
    cases.extend([
        case("shorter than told", Broken, |body| {
            let lines = format!("content-length: {}\r\n", body.text.len() + 1);
            body.under(&lines, &body.text)
        })
        .closed(),
        case("longer than told", Either, |body| {
            [body.with(""), b"{}".to_vec()].concat()
        })
        .left(),
        case("no length, ended by the connection", Served, |body| {
            body.under("", &body.text)
        })
        .closed(),
        case("not to be kept, but not closed", Served, |body| {
            body.with("Connection: Close\r\n")
        })
        .left(),
        case("not to be kept among others, but not closed", Served, |body| {
            body.with("connection: x-this,close , x-that\r\n")
        })
        .left(),
        case("HTTP/1.0", Served, |body| body.status_line("HTTP/1.0 200 OK")).left(),
        case("HTTP/1.0 to be kept", Served, |body| {
            body.status_line("HTTP/1.0 200 OK\r\nconnection: keep-alive")
        }),
        case("HTTP/1.0 without length", Served, |body| {
            [b"HTTP/1.0", &body.under("", &body.text)[8..]].concat()
        })
        .closed(),
        case("HTTP/1.0 in chunks", Either, |body| {
            [b"HTTP/1.0", &body.one_chunk(|size| format!("{size:x}"))[8..]].concat()
        })
        .closed(),
    ]);
    cases
}

fn codings() -> Vec<Case> {
    let lines = [
        ("Transfer-Encoding: ChUnKeD\r\n", Served),
        ("transfer-encoding:chunked\r\n", Served),
        ("transfer-encoding:  chunked \t\r\n", Served),
        ("transfer-encoding : chunked\r\n", Failed),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", Either),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", Either),
        ("transfer-encoding: , chunked\r\n", Either),
        ("transfer-encoding: chunked, chunked\r\n", Either),
        ("transfer-encoding: identity, chunked\r\n", Either),
        ("transfer-encoding: gzip, chunked\r\n", Either),
        ("transfer-encoding: chunked, gzip\r\n", Either),
        ("transfer-encoding: xchunked\r\n", Either),
        ("transfer-encoding: \"chunked\"\r\n", Either),
    ];
    let line = |(line, expected)| {
        let answer = move |body: &Body| {
            body.under(
                line,
                format!("{:x}\r\n{}\r\n0\r\n\r\n", body.text.len(), body.text),
            )
        };
        match expected {
            Served => case(line, expected, answer).kept(),
            // What is no chunk to us goes on until the connection ends.
            _ => case(line, expected, answer).closed(),
        }
    };
    lines.map(line).into()
}

/// How the size of a chunk is written.
fn sizes() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        (
            "a size in capitals",
            Served,
            (|size| format!("{size:X}")) as fn(usize) -> String,
        ),
        ("a size with zeros before it", Served, |size| {
            format!("000{size:x}")
        }),
        ("an extension", Served, |size| {
            format!("{size:x};name=value;quoted=\"a;b\";alone")
        }),
        ("a size with a space behind it", Either, |size| {
            format!("{size:x} ")
        }),
        ("a size with a space before it", Either, |size| {
            format!(" {size:x}")
        }),
        ("a size of 17 digits", Failed, |size| format!("1{size:016x}")),
        ("a size with a sign", Failed, |size| format!("+{size:x}")),
        ("a negative size", Failed, |size| format!("-{size:x}")),
        ("a size with 0x", Failed, |size| format!("0x{size:x}")),
        ("a size with an underscore", Failed, |size| format!("0_{size:x}")),
        ("two sizes", Failed, |size| format!("{size:x} {size:x}")),
        ("no size", Failed, |_| String::new()),
        ("a size that is a word", Failed, |_| "size".to_owned()),
        ("a size with a bare CR", Failed, |size| format!("{size:x}\rx")),
        ("an extension with a line feed", Failed, |size| {
            format!("{size:x};a\nb")
        }),
        ("an extension of 300 kB", Failed, |size| {
            format!("{size:x};{}", "a".repeat(300_000))
        }),
    ]
    .map(|(name, expected, size)| case(name, expected, move |body| body.one_chunk(size)).kept_if_served())
    .into();
    cases.push(
        case("a size without end", Failed, |body| {
            body.chunked("0".repeat(1024 * 1024))
        })
        .closed(),
    );
    cases
}

fn chunks() -> Vec<Case> {
    let chunk = |body: &Body| answers::chunk(&body.text);
    vec![
        case("a chunk for each byte", Served, |body| {
            let chunks: Vec<u8> = body
                .text
                .bytes()
                .flat_map(|byte| answers::chunk([byte]))
                .collect();
            body.chunked([&chunks[..], answers::END_OF_CHUNKS].concat())
        })
        .kept(),
        case("an extension of the last chunk", Served, move |body| {
            body.chunked([chunk(body), b"0;last\r\n\r\n".to_vec()].concat())
        })
        .kept(),
        case("many zeros at the end", Served, move |body| {
            body.chunked([chunk(body), b"0000\r\n\r\n".to_vec()].concat())
        })
        .kept(),
        case("trailers", Served, move |body| {
            let trailers =
                b"0\r\nx-trailer: 1\r\ncontent-length: 5\r\ntransfer-encoding: x\r\nset-cookie: a=b\r\n\r\n";
            body.chunked([chunk(body), trailers.to_vec()].concat())
        }),
        case("trailers of 2 MiB", Either, move |body| {
            let trailers = format!("0\r\nx-trailer: {}\r\n\r\n", "a".repeat(2 * 1024 * 1024));
            body.chunked([chunk(body), trailers.into_bytes()].concat())
        }),
        case("5,000 trailers", Either, move |body| {
            let trailers = format!("0\r\n{}\r\n", "x-trailer: 1\r\n".repeat(5000));
            body.chunked([chunk(body), trailers.into_bytes()].concat())
        }),
        case("trailers that are none", Either, move |body| {
            body.chunked([chunk(body), b"0\r\nno colon\r\n\r\n".to_vec()].concat())
        }),
        case("no line break behind a chunk", Broken, move |body| {
            let mut chunk = chunk(body);
            chunk.truncate(chunk.len() - 2);
            body.chunked([&chunk[..], answers::END_OF_CHUNKS].concat())
        })
        .left(),
        case(
            "something else than a line break behind a chunk",
            Broken,
            move |body| {
                let mut chunk = chunk(body);
                chunk.truncate(chunk.len() - 2);
                body.chunked([&chunk[..], b"XX", answers::END_OF_CHUNKS].concat())
            },
        )
        .left(),
        case("chunks without the last one", Broken, move |body| {
            body.chunked(chunk(body))
        })
        .closed(),
        case("half a chunk", Broken, |body| {
            body.chunked(format!("{:x}\r\n{}", body.text.len() + 9, body.text))
        })
        .closed(),
        case("a last chunk that breaks off", Broken, move |body| {
            body.chunked([chunk(body), b"0\r\n".to_vec()].concat())
        })
        .closed(),
        case(
            "in chunks and not to be kept, but not closed",
            Served,
            move |body| {
                let chunks = [chunk(body), answers::END_OF_CHUNKS.to_vec()].concat();
                body.under("transfer-encoding: chunked\r\nconnection: close\r\n", chunks)
            },
        )
        .left(),
    ]
}

/// Answers before the answer, answers without one, and bytes behind it.
fn others() -> Vec<Case> {
    let before = |before: String| move |body: &Body| [before.as_bytes(), &body.with("")].concat();
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
    let mut cases = vec![
        case(
            "100 before the answer",
            Served,
            before("HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        )
        .kept(),
        case(
            "102 before the answer",
            Served,
            before("HTTP/1.1 102 Processing\r\n\r\n".to_owned()),
        )
        .kept(),
        case("2,000 times 103", Served, before(hint.repeat(2000))).kept(),
        case(
            "103 with 2 MiB",
            Failed,
            before(format!(
                "HTTP/1.1 103 Hints\r\nlink: {}\r\n\r\n",
                "a".repeat(2 * 1024 * 1024)
            )),
        )
        .left(),
        case("101 that nobody asked for", Failed, |body| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
            [head.as_bytes(), &body.with("")].concat()
        })
        .left(),
        case("half a head", Failed, |_| {
            b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()
        })
        .closed(),
        case("a head without its last line", Failed, |_| {
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_vec()
        })
        .closed(),
        case("nothing", Failed, |_| Vec::new()).closed(),
    ];
    // What calls of models cannot use, and other calls get as it is.
    for (name, answer) in [
        (
            "nothing, with a length of 0",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "204 with a length of 0",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "304 with a length",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\netag: \"1\"\r\n\r\n",
        ),
    ] {
        cases.push(case(name, Either, |_| answer.as_bytes().to_vec()).kept());
    }
    cases.push(
        case("204 with a body", Either, |_| {
            b"HTTP/1.1 204 No Content\r\ncontent-length: 8\r\n\r\nsmuggled".to_vec()
        })
        .left(),
    );
    for (name, behind) in [
        ("a byte behind the answer", "x".to_owned()),
        (
            "half an answer behind the answer",
            "HTTP/1.1 200 OK\r\n".to_owned(),
        ),
        ("103 behind the answer", hint.to_owned()),
        (
            "408 behind the answer",
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ),
    ] {
        let whole = behind.clone();
        cases.push(
            case(name, Served, move |body| {
                [body.with(""), whole.clone().into()].concat()
            })
            .left(),
        );
        cases.push(
            case(&format!("{name}, in chunks"), Served, move |body| {
                let answer = body.one_chunk(|size| format!("{size:x}"));
                [answer, behind.clone().into()].concat()
            })
            .left(),
        );
    }
    cases.push(
        case("another answer behind the answer", Served, |body| {
            let other = answers::whole(Dialect::OpenAi, "smuggled");
            [body.with(""), answers::json_answer(200, &other)].concat()
        })
        .left(),
    );
    cases
}

/// The number in `case-<number>-`, wherever it stands in the request.
fn number_of_case(asked: &Asked) -> Option<usize> {
    let text = format!("{} {}", asked.path, String::from_utf8_lossy(&asked.body));
    let (_, rest) = text.split_once("case-")?;
    rest.split_once('-')?.0.parse().ok()
}

/// Makes the call of each case and a good one behind it, over the same connection if the gateway keeps it.
fn is_as_expected(way: Way, cases: impl Fn() -> Vec<Case>) {
    let (here, there) = (cases(), cases());
    let upstream = Upstream::start(move |asked, peer| {
        match number_of_case(asked).and_then(|number| there.get(number)) {
            Some(case) => {
                peer.send(&(case.answer)(&way.body("served")));
                case.next
            }
            None => {
                peer.send(&way.body("good").with(""));
                Next::Keep
            }
        }
    });
    let node = node(way, &upstream);
    let mut wrong = Vec::new();
    for (number, case) in here.iter().enumerate() {
        let reply = Reply::to(node.calls, way.request(&format!("case-{number}-")));
        let right = match case.expected {
            Served => way.has_answered(&reply, "served"),
            Broken if way == Way::Stream => way.has_answered(&reply, "served"),
            Failed | Broken => way.has_failed(&reply),
            Either => true,
        };
        let good = Reply::to(node.calls, way.request("good"));
        let asked: Vec<Asked> = std::iter::from_fn(|| upstream.try_asked()).collect();
        let (of_case, of_good): (Vec<&Asked>, Vec<&Asked>) =
            asked.iter().partition(|asked| number_of_case(asked).is_some());
        // What breaks off at once over a connection that was kept is asked for once more, over a new one.
        let most = if case.next == Next::Close && case.expected == Failed {
            2
        } else {
            1
        };
        let once = (1..=most).contains(&of_case.len()) && of_good.len() == 1;
        let same =
            of_case.last().map(|asked| asked.connection) == of_good.last().map(|asked| asked.connection);
        let kept = case.kept.is_none_or(|kept| kept == same);
        let clean = [&reply, &good].iter().all(|reply| {
            let body = reply.text();
            !body.contains("smuggled")
                && !["x-trailer", "set-cookie"]
                    .iter()
                    .any(|name| reply.head.contains(name))
        });
        let next = way.has_answered(&good, "good");
        if !(right && once && kept && clean && next) {
            wrong.push(format!(
                "{:.60?}: expected {:?}{}{}{}{}: {:.300} {:.200}",
                case.name,
                case.expected,
                if right { "" } else { ", which it is not" },
                if once { "" } else { ", asked too often" },
                if kept {
                    ""
                } else {
                    ", the connection is not as it should be"
                },
                if clean && next {
                    ""
                } else {
                    ", what follows is wrong"
                },
                reply.head,
                reply.text()
            ));
        }
    }
    node.stop();
    assert!(
        wrong.is_empty(),
        "{way:?}, {} of {}:\n{}",
        wrong.len(),
        here.len(),
        wrong.join("\n")
    );
}

/// Tests that make the calls of a table, in each way.
macro_rules! tables {
    ($($table:ident: $whole:ident, $stream:ident, $passed:ident;)*) => {$(
        #[test]
        fn $whole() {
            is_as_expected(Way::Whole, $table);
        }

        #[test]
        fn $stream() {
            is_as_expected(Way::Stream, $table);
        }

        #[test]
        fn $passed() {
            is_as_expected(Way::Passed, $table);
        }
    )*};
}

tables! {
    status_lines: status_lines_of_whole_answers, status_lines_of_streams, status_lines_of_passed_answers;
    fields: fields_of_whole_answers, fields_of_streams, fields_of_passed_answers;
    lengths: lengths_of_whole_answers, lengths_of_streams, lengths_of_passed_answers;
    codings: codings_of_whole_answers, codings_of_streams, codings_of_passed_answers;
    sizes: sizes_of_chunks_of_whole_answers, sizes_of_chunks_of_streams, sizes_of_chunks_of_passed_answers;
    chunks: chunks_of_whole_answers, chunks_of_streams, chunks_of_passed_answers;
    others: what_is_around_whole_answers, what_is_around_streams, what_is_around_passed_answers;
}
