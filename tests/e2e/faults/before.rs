//! An instance that fails before its first content is never seen by the client: it gets the whole answer of the next one.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::wire::Api;
use super::{ALL, LANES, Lane, Logged, RESCUE, UNSEEN, compare, good, node};
use crate::apisix::Node;
use crate::harness::{Asked, Connection, Next, Peer, Upstream, answers, post, proving};

/// A fault, and the words for it in logs and headers; `a|b` where the network decides which of the two it is.
struct Fault {
    /// How the document calls it.
    what: &'static str,
    /// The word where a whole answer was asked for; empty if it cannot happen to one.
    whole: &'static str,
    /// The word where a stream was asked for.
    stream: &'static str,
    /// Whether it is noticed by a time that is over.
    limit: Limit,
    at: Place,
}

/// Which time limit the pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// None that could be over.
    None,
    /// For each phase. Long enough for the next instance on a loaded machine.
    Phase,
    /// For the whole stream.
    Stream,
    /// For each phase, with a request that does not fit into the buffers on the way. Its API does not matter.
    Sending,
}

/// Where the faulty instance is.
struct Place {
    base: String,
    _peer: Box<dyn Send + Sync>,
}

impl Place {
    fn http(upstream: Upstream) -> Place {
        Place {
            base: format!("http://{}", upstream.address()),
            _peer: Box::new(std::sync::Mutex::new(upstream)),
        }
    }

    fn at(base: String) -> Place {
        Place {
            base,
            _peer: Box::new(()),
        }
    }

    /// Something that does with each connection what it likes.
    fn raw(scheme: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Place {
        let (listener, address) = listener();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let serve = serve.clone();
                thread::spawn(move || serve(socket));
            }
        });
        Place::at(format!("{scheme}://{address}"))
    }

    /// Answers each request with `answer`, which gets its API and whether it wants a stream.
    fn saying(next: Next, answer: impl Fn(Api, bool) -> Vec<u8> + Send + Sync + 'static) -> Place {
        Place::doing(move |asked, peer| {
            peer.send(&answer(Api::of(asked), Api::streams(asked)));
            next
        })
    }

    fn doing(answer: impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static) -> Place {
        Place::http(Upstream::start(answer))
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A listener whose queue is full: attempts to connect get no answer.
fn never_connecting() -> Place {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a port");
    socket.listen(0).expect("a socket can listen");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    let address = address.expect("an address");
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let next = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        next.set_nonblocking(true).expect("a socket");
        // They fill the queue, or wait before it.
        let _ = next.connect(&address.into());
        waiting.push(next);
    }
    Place {
        base: format!("http://{address}"),
        _peer: Box::new((socket, waiting)),
    }
}

/// A provider that proves itself by this certificate.
fn proved(host: &str, certificate: &CertifiedKey<rcgen::KeyPair>) -> Place {
    let upstream = Upstream::start_tls(proving(certificate), |asked, peer| {
        peer.send(&Api::good(asked, UNSEEN));
        Next::Keep
    });
    Place {
        base: format!("https://{host}:{}", upstream.address().port()),
        _peer: Box::new(std::sync::Mutex::new(upstream)),
    }
}

/// The head of an answer of this many bytes, or of a stream.
fn head(api: Api, stream: bool) -> Vec<u8> {
    if stream {
        api.stream_head()
    } else {
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n".to_vec()
    }
}

/// The beginning of a proper answer: everything before the first content of a stream, half of a whole answer.
fn beginning(api: Api, stream: bool) -> Vec<u8> {
    if stream {
        return [api.stream_head(), answers::chunk(api.parts(UNSEEN).before)].concat();
    }
    let answer = answers::json_answer(200, &api.whole(UNSEEN));
    answer[..answer.len() - 20].to_vec()
}

/// A whole answer with this body, framed as what was asked for.
fn body(api: Api, stream: bool, body: &[u8]) -> Vec<u8> {
    let kind = if stream {
        api.stream_type()
    } else {
        "application/json"
    };
    answers::answer(200, &format!("content-type: {kind}\r\n"), body)
}

/// All faults. What proves itself with a certificate is vouched for by the file.
fn faults(ca_file: &Path) -> Vec<Fault> {
    let certificate = |name: &str| generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (elsewhere, unknown) = (certificate("elsewhere.example"), certificate("localhost"));
    fs::write(ca_file, elsewhere.cert.pem()).expect("a file can be written");
    let wait = |_: &Asked, peer: &mut Peer| {
        peer.wait_until_closed();
        Next::Close
    };
    let mut faults = Vec::new();
    let mut add = |what, [whole, stream]: [&'static str; 2], limit, at| {
        faults.push(Fault {
            what,
            whole,
            stream,
            limit,
            at,
        });
    };
    let none = Limit::None;

    add(
        "the name cannot be resolved",
        ["dns_error"; 2],
        none,
        Place::at("http://nowhere.invalid".to_owned()),
    );
    add(
        "the connection is refused",
        ["connect_error"; 2],
        none,
        Place::http(Upstream::refusing()),
    );
    add(
        "nobody answers the attempt to connect",
        ["connect_timeout"; 2],
        Limit::Phase,
        never_connecting(),
    );
    add(
        "the connection is reset before the request is read",
        ["connection_lost|connect_error"; 2],
        none,
        Place::http(Upstream::resetting()),
    );
    add(
        "TLS: the certificate is for another name",
        ["tls_error"; 2],
        none,
        proved("localhost", &elsewhere),
    );
    add(
        "TLS: nobody vouches for the certificate",
        ["tls_error"; 2],
        none,
        proved("localhost", &unknown),
    );
    add(
        "TLS: something else than a handshake comes",
        ["tls_error"; 2],
        none,
        Place::raw("https", |mut socket| {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            while socket.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
        }),
    );
    add(
        "TLS: the connection is closed within the handshake",
        ["tls_error"; 2],
        none,
        Place::raw("https", drop),
    );
    add(
        "TLS: the handshake is never answered",
        ["connect_timeout"; 2],
        Limit::Phase,
        Place::raw("https", |mut socket| {
            while socket.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
        }),
    );
    let (unread_listener, unread) = listener();
    add(
        "the request is not taken",
        ["first_byte_timeout"; 2],
        Limit::Sending,
        Place {
            base: format!("http://{unread}"),
            _peer: Box::new(unread_listener),
        },
    );
    add(
        "the request is taken and never answered",
        ["first_byte_timeout"; 2],
        Limit::Phase,
        Place::doing(wait),
    );
    add(
        "the connection is closed without an answer",
        ["connection_lost"; 2],
        none,
        Place::saying(Next::Close, |_, _| Vec::new()),
    );
    add(
        "the connection is reset when the request was read",
        ["connection_lost"; 2],
        none,
        Place::saying(Next::Reset, |_, _| Vec::new()),
    );
    add(
        "the connection is closed within the head of the answer",
        ["connection_lost"; 2],
        none,
        Place::saying(Next::Close, |_, _| b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()),
    );
    add(
        "the answer is not HTTP",
        ["connection_lost"; 2],
        none,
        Place::saying(Next::Close, |_, _| {
            b"\x16\x03\x01\x02\x00garbage\r\n\r\n".to_vec()
        }),
    );
    for (status, what) in [
        (429, "status 429"),
        (500, "status 500"),
        (502, "status 502"),
        (503, "status 503"),
        (504, "status 504"),
        (529, "status 529"),
    ] {
        add(
            what,
            ["status"; 2],
            none,
            Place::saying(Next::Keep, move |api, _| {
                answers::json_answer(status, &api.error(UNSEEN))
            }),
        );
    }
    add(
        "nothing follows the head of the answer",
        ["first_byte_timeout"; 2],
        Limit::Phase,
        Place::doing(|asked, peer| {
            peer.send(&head(Api::of(asked), Api::streams(asked)));
            peer.wait_until_closed();
            Next::Close
        }),
    );
    add(
        "the answer stalls before its first content",
        ["between_chunks_timeout"; 2],
        Limit::Phase,
        Place::doing(|asked, peer| {
            peer.send(&beginning(Api::of(asked), Api::streams(asked)));
            peer.wait_until_closed();
            Next::Close
        }),
    );
    add(
        "a stream of keep-alives without content",
        ["", "total_timeout"],
        Limit::Stream,
        Place::doing(|asked, peer| {
            let api = Api::of(asked);
            peer.send(&api.stream_head());
            peer.send(&answers::chunk(api.keep_alive()));
            peer.wait_until_closed();
            Next::Close
        }),
    );
    add(
        "the answer is closed before its first content",
        ["cut"; 2],
        none,
        Place::saying(Next::Close, beginning),
    );
    add(
        "the answer is reset before its first content",
        ["cut|connection_lost"; 2],
        none,
        Place::saying(Next::Reset, beginning),
    );
    add(
        "the stream ends before its first content",
        ["", "cut"],
        none,
        Place::saying(Next::Keep, |api, stream| {
            [beginning(api, stream), answers::END_OF_CHUNKS.to_vec()].concat()
        }),
    );
    add(
        "an error inside an answer with status 200",
        ["error_event"; 2],
        none,
        Place::saying(Next::Keep, |api, stream| {
            if !stream {
                return body(api, stream, api.error(UNSEEN).as_bytes());
            }
            let event = api.error_event(UNSEEN);
            [
                api.stream_head(),
                answers::chunk(event),
                answers::END_OF_CHUNKS.to_vec(),
            ]
            .concat()
        }),
    );
    add(
        "an error behind the beginning of a stream",
        ["", "error_event"],
        none,
        Place::saying(Next::Keep, |api, _| {
            body(
                api,
                true,
                &[api.parts(UNSEEN).before, api.error_event(UNSEEN)].concat(),
            )
        }),
    );
    add(
        "an answer without a body",
        ["empty"; 2],
        none,
        Place::saying(Next::Keep, |api, stream| body(api, stream, b"")),
    );
    add(
        "a complete answer that says nothing",
        ["empty", "empty|garbled"],
        none,
        Place::saying(Next::Keep, |api, stream| body(api, stream, &api.nothing(stream))),
    );
    add(
        "garbage in place of JSON or events",
        ["garbled"; 2],
        none,
        Place::saying(Next::Keep, |api, stream| {
            let garbage: &[u8] = if stream { b"data: <html>\n\n" } else { b"<html>" };
            body(api, stream, garbage)
        }),
    );
    add(
        "half a document, or a first event that breaks off",
        ["garbled"; 2],
        none,
        Place::saying(Next::Keep, |api, stream| {
            if stream {
                return body(api, stream, &[api.broken_event(), api.stream(UNSEEN)].concat());
            }
            let whole = api.whole(UNSEEN);
            body(api, stream, &whole.as_bytes()[..whole.len() / 2])
        }),
    );
    add(
        "a page of HTML with status 200",
        ["garbled", "garbled|cut"],
        none,
        Place::saying(Next::Keep, |_, _| {
            answers::answer(
                200,
                "content-type: text/html\r\n",
                b"<html><body>Welcome</body></html>",
            )
        }),
    );
    faults
}

#[test]
fn the_client_gets_the_whole_answer_of_the_next_instance() {
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = directory.path().join("ca.pem");
    let faults = faults(&ca_file);
    let node = node(ca_file.to_str());
    let next = good();
    for (number, fault) in faults.iter().enumerate() {
        for lane in lanes(fault) {
            lane.route(
                &node,
                &format!("fault-{number}"),
                &fault.at.base,
                &next,
                &rule(fault.limit),
            );
        }
    }
    // Those that are noticed by a time wait side by side, and nothing else takes the machine's time then.
    let (timed, prompt): (Vec<_>, Vec<_>) = faults
        .iter()
        .enumerate()
        .partition(|(_, fault)| fault.limit != Limit::None);
    for (number, fault) in prompt {
        for lane in lanes(fault) {
            is_rescued(&node, number, fault, *lane);
        }
    }
    thread::scope(|scope| {
        for (number, fault) in timed {
            for lane in lanes(fault) {
                let node = &node;
                scope.spawn(move || is_rescued(node, number, fault, *lane));
            }
        }
    });
    compare("before the first content", &table(&faults));
    node.stop();
}

/// What the client gets where nothing is configured about failures: only what was never sent is tried elsewhere.
#[test]
fn without_a_strategy_only_what_was_never_sent_is_tried_elsewhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = directory.path().join("ca.pem");
    let faults = faults(&ca_file);
    let node = node(ca_file.to_str());
    let (next, lane) = (good(), LANES[0]);
    let told: Vec<[String; 2]> = thread::scope(|scope| {
        let asking: Vec<_> = faults
            .iter()
            .enumerate()
            .map(|(number, fault)| {
                let mut rule = rule(fault.limit);
                if let Some(rule) = rule.as_object_mut() {
                    rule.remove("fallback_strategy");
                }
                lane.route(&node, &format!("plain-{number}"), &fault.at.base, &next, &rule);
                let node = &node;
                scope.spawn(move || [false, true].map(|stream| told_of(node, number, fault, lane, stream)))
            })
            .collect();
        asking
            .into_iter()
            .map(|told| told.join().expect("every fault is told"))
            .collect()
    });
    let mut table = "| what goes wrong | whole answer | stream |\n|---|---|---|\n".to_owned();
    for (fault, told) in faults.iter().zip(&told) {
        // Whether the reset comes before or behind the first bytes of the request is up to the network.
        let may_be_either = fault.whole.split('|').count() > 1 && fault.whole.contains("connect_error");
        let [whole, stream] = if may_be_either {
            [EITHER; 2]
        } else {
            [&*told[0], &*told[1]]
        };
        for told in told {
            assert!(
                !may_be_either || EITHER.contains(&**told),
                "{}: {told}",
                fault.what
            );
        }
        table.push_str(&format!("| {} | {whole} | {stream} |\n", fault.what));
    }
    compare("without a strategy", &table);
    node.stop();
}

/// What the client gets, in the words of the document.
#[track_caller]
fn told_of(node: &Node, number: usize, fault: &Fault, lane: Lane, stream: bool) -> String {
    if (stream && fault.stream.is_empty()) || (!stream && fault.whole.is_empty()) {
        return CANNOT_HAPPEN.to_owned();
    }
    let path = format!("/plain-{number}/{}{}", lane.path, lane.client.path(stream));
    let body = lane.client.request(stream, &prompt(fault.limit));
    let response = Connection::open(node.calls).send(&post(&path, body));
    let text = String::from_utf8_lossy(&response.body);
    let case = format!("{}, stream: {stream}: {} {text}", fault.what, response.status());
    if response.header("x-tollgate-instance") == Some("next") {
        let whole = if stream {
            lane.client.stream(RESCUE)
        } else {
            lane.client.whole(RESCUE).into_bytes()
        };
        assert_eq!((response.status(), response.body), (200, whole), "{case}");
        return RESCUED.to_owned();
    }
    assert!(response.status() >= 400, "{case}");
    crate::harness::Dialect::OpenAi.error_message(&response.body);
    format!("an error with status {}", response.status())
}

#[test]
fn when_all_fail_the_client_is_told_in_its_own_form() {
    let node = node(None);
    let (first, next) = (Upstream::refusing(), Upstream::refusing());
    let rule: Value = serde_json::from_str(ALL).expect("JSON");
    for lane in LANES {
        lane.route(
            &node,
            "none",
            &format!("http://{}", first.address()),
            &next,
            &rule,
        );
        for stream in [false, true] {
            let path = format!("/none/{}{}", lane.path, lane.client.path(stream));
            let request = post(&path, lane.client.request(stream, "Hello"));
            let response = Connection::open(node.calls).send(&request);
            let body = response.json();
            let (kind, message) = match lane.client {
                Api::Chat | Api::Responses => (&body["error"]["code"], &body["error"]["message"]),
                Api::Messages => (&body["error"]["type"], &body["error"]["message"]),
                Api::Converse => (&json!(response.header("x-amzn-errortype")), &body["message"]),
            };
            let expected = match lane.client {
                Api::Chat | Api::Responses => "upstream_unreachable",
                Api::Messages => "api_error",
                Api::Converse => "InternalServerException",
            };
            assert_eq!(response.status(), 502, "{}: {body}", lane.name);
            assert_eq!(kind, expected, "{}: {body}", lane.name);
            assert!(message.is_string(), "{}: {body}", lane.name);
        }
    }
    node.stop();
}

/// What the client says.
fn prompt(limit: Limit) -> String {
    match limit {
        Limit::Sending => "a".repeat(SENDING_BYTES),
        _ => "Hello".to_owned(),
    }
}

/// The APIs in which a fault is tried.
fn lanes(fault: &Fault) -> &'static [Lane] {
    if fault.limit == Limit::Sending {
        &LANES[..1]
    } else {
        &LANES
    }
}

/// The pool's members beside its instances.
fn rule(limit: Limit) -> Value {
    let mut rule: Value = serde_json::from_str(ALL).expect("JSON");
    match limit {
        Limit::None => {}
        Limit::Phase => rule["timeout"] = json!(3000),
        Limit::Stream => rule["max_stream_duration_ms"] = json!(2000),
        Limit::Sending => rule["timeout"] = json!(4000),
    }
    rule
}

/// Asks through a failing instance, streamed and not, and asserts that nothing of it is seen but in logs.
#[track_caller]
fn is_rescued(node: &Node, number: usize, fault: &Fault, lane: Lane) {
    let prompt = prompt(fault.limit);
    for (stream, expected) in [(false, fault.whole), (true, fault.stream)] {
        if expected.is_empty() {
            continue;
        }
        let mode = if stream { "stream" } else { "whole" };
        let path = format!("/fault-{number}/{}/{mode}{}", lane.path, lane.client.path(stream));
        let case = format!("{}: {}, {mode}", fault.what, lane.name);
        let request = post(&path, lane.client.request(stream, &prompt));
        let response = Connection::open(node.calls).send(&request);
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status(), 200, "{case}: {text}");
        assert!(!text.contains(UNSEEN), "{case}: {text}");
        if lane.client == lane.provider {
            let whole = if stream {
                lane.client.stream(RESCUE)
            } else {
                lane.client.whole(RESCUE).into_bytes()
            };
            assert_eq!(response.body, whole, "{case}: {text}");
        } else {
            let said = if stream {
                lane.client.text_of_stream(&response.body)
            } else {
                lane.client.text_of_whole(&response.body)
            };
            assert_eq!(said.as_deref(), Some(RESCUE), "{case}: {text}");
        }
        assert_eq!(response.header("x-tollgate-instance"), Some("next"), "{case}");
        let line = Logged::of(&node.process.stdout, &path);
        let is_told = |word: &str| {
            let attempts = |word: &str| format!("failing={word}, next=ok");
            let told = match word {
                "status" => fault.what.trim_start_matches("status "),
                word => word,
            };
            line.attempts == attempts(word) && response.header("x-tollgate-attempts") == Some(&attempts(told))
        };
        assert!(expected.split('|').any(is_told), "{case}: {line:?}");
        assert_eq!((&*line.status, &*line.outcome), ("200", "ok"), "{case}: {line:?}");
        let usage = (line.prompt_tokens, line.completion_tokens, &*line.usage);
        assert_eq!(usage, (11, 7, "stated"), "{case}: {line:?}");
    }
}

/// More than the buffers of both sides of a connection on this machine take.
pub const SENDING_BYTES: usize = 12 * 1024 * 1024;

/// What the document says where a request may have been sent, or not.
const EITHER: &str = "the next instance's, whole, or an error with status 502";

/// What the document says of answers of the next instance.
const RESCUED: &str = "the next instance's, whole";

/// What the document says of faults of streams where no stream was asked for.
const CANNOT_HAPPEN: &str = "cannot happen";

fn table(faults: &[Fault]) -> String {
    let mut table =
        "| what goes wrong | whole answer | stream | in the log |\n|---|---|---|---|\n".to_owned();
    for fault in faults {
        let answer = |word: &str| match word {
            "" => CANNOT_HAPPEN,
            _ => RESCUED,
        };
        let mut words: Vec<&str> = [fault.whole, fault.stream]
            .iter()
            .flat_map(|words| words.split('|'))
            .filter(|word| !word.is_empty())
            .collect();
        words.dedup();
        words.sort_unstable();
        words.dedup();
        table.push_str(&format!(
            "| {} | {} | {} | `{}` |\n",
            fault.what,
            answer(fault.whole),
            answer(fault.stream),
            words.join("` or `")
        ));
    }
    table
}
