//! What happens to connections between calls, and to requests that cannot be sent to their end: no call fails for a
//! connection that has died meanwhile, none is sent without end, and none gets what was said before it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

use super::{Reply, Way, node};
use crate::harness::{Connection, Dialect, Next, Request, Upstream, answers, post};

/// A good answer for this way, with a length.
fn answer(way: Way, text: &str) -> Vec<u8> {
    let body = way.body(text);
    let head = format!("content-type: {}\r\n", body.media_type);
    answers::answer(200, &head, body.text.as_bytes())
}

#[test]
fn what_comes_while_a_connection_is_idle_never_answers_a_call() {
    for way in [Way::Whole, Way::Stream, Way::Passed] {
        for late in [
            answer(way, "smuggled"),
            b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
            b"\r\n".to_vec(),
        ] {
            let (say, told) = channel();
            let (said_here, said) = channel();
            let (told, said_here) = (Mutex::new(told), Mutex::new(said_here));
            let upstream = Upstream::start(move |asked, peer| {
                peer.send(&answer(way, "asked for"));
                if asked.connection == 0 && told.lock().expect("one thread").recv().is_ok() {
                    peer.send(&late);
                    let _ = said_here.lock().expect("one thread").send(());
                }
                Next::Keep
            });
            let node = node(way, &upstream);
            for call in 0..3 {
                let reply = Reply::to(node.calls, way.request("call"));
                assert!(way.has_answered(&reply, "asked for"), "{way:?}: {}", reply.text());
                assert_eq!(upstream.asked().connection, call.min(1), "{way:?}");
                if call == 0 {
                    say.send(()).expect("the server waits");
                    said.recv().expect("the server says it");
                    // The one worker has looked at its sockets since then.
                    for _ in 0..2 {
                        Reply::to(node.calls, Request::new("GET", "/nowhere"));
                    }
                }
            }
            node.stop();
        }
    }
}

#[test]
fn connections_that_died_while_they_were_idle_fail_no_call() {
    const CONNECTIONS: usize = 8;
    for way in [Way::Whole, Way::Stream, Way::Passed] {
        for end in [Next::Close, Next::Reset] {
            let all_asked = Arc::new(Barrier::new(CONNECTIONS));
            let all_answered = Arc::new(Barrier::new(CONNECTIONS + 1));
            let (gate, answered) = (all_asked.clone(), all_answered.clone());
            let upstream = Upstream::start(move |asked, peer| {
                if asked.connection >= CONNECTIONS {
                    peer.send(&answer(way, "served"));
                    return Next::Keep;
                }
                gate.wait();
                peer.send(&answer(way, "served"));
                answered.wait();
                end
            });
            let node = node(way, &upstream);
            let call = || {
                let reply = Reply::to(node.calls, way.request("call"));
                assert!(
                    way.has_answered(&reply, "served"),
                    "{way:?}, {end:?}: {} {}",
                    reply.head,
                    reply.text()
                );
            };
            std::thread::scope(|scope| {
                for _ in 0..CONNECTIONS {
                    scope.spawn(call);
                }
            });
            all_answered.wait();
            for _ in 0..CONNECTIONS {
                call();
            }
            node.stop();
        }
    }
}

#[test]
fn a_call_is_sent_once_more_at_most_however_many_connections_break() {
    for way in [Way::Whole, Way::Stream, Way::Passed] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let upstream = Upstream::start(move |_, peer| {
            if counter.fetch_add(1, Ordering::SeqCst) == 0 {
                peer.send(&answer(way, "served"));
                return Next::Keep;
            }
            Next::Close
        });
        let node = node(way, &upstream);
        let reply = Reply::to(node.calls, way.request("call"));
        assert!(way.has_answered(&reply, "served"), "{way:?}: {}", reply.text());
        let reply = Reply::to(node.calls, way.request("call"));
        assert_eq!(reply.status, 502, "{way:?}");
        // Over the connection that was kept, and over a new one.
        assert_eq!(asked.load(Ordering::SeqCst), 3, "{way:?}");
        node.stop();
    }
}

#[test]
fn what_has_begun_to_be_answered_is_never_sent_again() {
    for way in [Way::Whole, Way::Stream, Way::Passed] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let upstream = Upstream::start(move |_, peer| {
            let answer = answer(way, "served");
            if counter.fetch_add(1, Ordering::SeqCst) == 0 {
                peer.send(&answer);
                return Next::Keep;
            }
            peer.send(&answer[..answer.len() - 20]);
            Next::Close
        });
        let node = node(way, &upstream);
        for calls in 1..5 {
            let reply = Reply::to(node.calls, way.request("call"));
            assert_eq!(way.has_answered(&reply, "served"), calls == 1, "{way:?}");
            assert_eq!(asked.load(Ordering::SeqCst), calls, "{way:?}");
        }
        node.stop();
    }
}

#[test]
fn a_request_that_may_change_something_is_sent_once_over_a_connection_that_breaks() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let upstream = Upstream::start(move |_, peer| {
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            peer.send(&answer(Way::Passed, "served"));
            return Next::Keep;
        }
        Next::Close
    });
    let node = node(Way::Passed, &upstream);
    let order = || Reply::to(node.calls, post("/passed/orders", "{}"));
    assert_eq!(order().status, 200);
    assert_eq!(order().status, 502);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn an_answer_that_does_not_wait_for_the_whole_request_is_passed_on() {
    // More than the buffers between the gateway and a server that does not read.
    let padding = "x".repeat(16 * 1024 * 1024);
    for way in [Way::Whole, Way::Passed] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let upstream = Upstream::at(listener.local_addr().expect("an address"));
        let (stop, stopped) = channel::<()>();
        let server = std::thread::spawn(move || {
            // Each connection is answered when its first byte has come, and then neither read nor closed.
            let mut open = Vec::new();
            for socket in listener.incoming().take(2).map_while(Result::ok) {
                let mut peer = Connection::over(socket).expect("a socket");
                assert!(peer.has_begun());
                let refusal = answers::whole(Dialect::OpenAi, "too much");
                peer.write(&answers::answer(
                    413,
                    "content-type: application/json\r\n",
                    refusal.as_bytes(),
                ));
                open.push(peer);
            }
            let _ = stopped.recv();
            open.len()
        });
        let node = node(way, &upstream);
        for _ in 0..2 {
            let request = match way {
                Way::Passed => post("/passed/upload", padding.clone()),
                _ => post(
                    "/chat",
                    format!(r#"{{"messages":[{{"role":"user","content":"{padding}"}}]}}"#),
                ),
            };
            let reply = Reply::to(node.calls, request);
            assert_eq!(reply.status, 413, "{way:?}: {}", reply.text());
            assert!(
                reply.whole && reply.text().contains("too much"),
                "{way:?}: {}",
                reply.text()
            );
        }
        stop.send(()).expect("the server waits");
        // The rest of one request would have been the beginning of the next.
        assert_eq!(server.join().expect("a server"), 2);
        node.stop();
    }
}
