//! Bodies of answers that are compressed, huge, endless, or not what was asked for: what a gateway that does not decode has
//! to pass on passes as it is, everything else is an error, and memory stays bounded.

use serde_json::json;

use super::{Reply, Way, node};
use crate::apisix::{Node, NodeSetup};
use crate::harness::{Asked, Dialect, Next, Upstream, answers, post};

/// The most memory that a process has used so far, in bytes.
fn peak(node: &Node) -> u64 {
    let status = node.process.told_by_system("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.expect("a peak") * 1024
}

const MIB: usize = 1024 * 1024;

/// Writes bits as gzip has them: the first bit is the lowest.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.pending |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push((self.pending & 0xff) as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// A code of Huffman's: its highest bit comes first.
    fn code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }
}

/// A gzip member that unpacks to a letter, `repeats` times 258 of them, without a valid checksum at its end.
fn bomb(repeats: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with the fixed codes.
    bits.push(0b011, 3);
    bits.code(0x30 + u32::from(b'a'), 8);
    for _ in 0..repeats {
        // 258 bytes, as one byte before.
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    bits.push(0, 7);
    let header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff";
    [&header[..], &bits.bytes, &[0; 8]].concat()
}

#[test]
fn compressed_answers_pass_as_they_are_and_are_never_unpacked() {
    // 512 MiB, and bytes that are no gzip.
    for packed in [bomb(512 * MIB / 258), b"not gzip".to_vec()] {
        for way in [Way::Whole, Way::Stream, Way::Passed] {
            let sent = packed.clone();
            let upstream = Upstream::start(move |_, peer| {
                let head = format!(
                    "content-type: {}\r\ncontent-encoding: gzip\r\n",
                    way.body("").media_type
                );
                peer.send(&answers::answer(200, &head, &sent));
                Next::Keep
            });
            let node = node(way, &upstream);
            let before = peak(&node);
            let reply = Reply::to(node.calls, way.request("call"));
            assert_eq!(reply.status, 200, "{way:?}");
            assert!(
                reply.head.contains("content-encoding: gzip"),
                "{way:?}: {}",
                reply.head
            );
            assert!(
                reply.body == packed,
                "{way:?}: {} bytes of {}",
                reply.body.len(),
                packed.len()
            );
            if way != Way::Passed {
                let coding = upstream.asked().header("accept-encoding").map(str::to_owned);
                assert!(
                    coding.is_none_or(|coding| coding == "identity"),
                    "nobody asked for that"
                );
            }
            let used = peak(&node) - before;
            assert!(used < 64 << 20, "{way:?}: {used} bytes");
            node.stop();
        }
    }
}

#[test]
fn an_answer_of_96_mebibytes_is_passed_on_or_refused_in_bounded_memory() {
    const LENGTH: usize = 96 * MIB;
    for way in [Way::Whole, Way::Passed] {
        for chunked in [false, true] {
            let upstream = Upstream::start(move |_, peer| {
                let length = if chunked {
                    "transfer-encoding: chunked".to_owned()
                } else {
                    format!("content-length: {LENGTH}")
                };
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{length}\r\n\r\n");
                peer.send(head.as_bytes());
                let block = vec![b' '; MIB];
                let block = if chunked { answers::chunk(&block) } else { block };
                for _ in 0..LENGTH / MIB {
                    if !peer.try_send(&block) {
                        return Next::Close;
                    }
                }
                if chunked {
                    peer.send(answers::END_OF_CHUNKS);
                }
                Next::Keep
            });
            let node = node(way, &upstream);
            let before = peak(&node);
            let reply = Reply::to(node.calls, way.request("call"));
            let used = peak(&node) - before;
            if way == Way::Passed {
                assert!(reply.status == 200 && reply.whole && reply.body.len() == LENGTH);
                assert!(used < 32 << 20, "{used} bytes");
            } else {
                assert_eq!(reply.status, 502, "{}", reply.text());
                // What is announced is refused at once; else at most 64 MiB are collected, in a buffer that grows.
                assert!(used < if chunked { 200 << 20 } else { 32 << 20 }, "{used} bytes");
            }
            node.stop();
        }
    }
}

/// A node whose route answers clients of two APIs from one provider of OpenAI's.
fn translating(upstream: &Upstream) -> Node {
    let node = NodeSetup::new()
        .and("nginx_config: {http: {access_log_format: \"$llm_completion_tokens $tollgate_usage\"}}")
        .start();
    node.put(
        "/routes/1",
        &json!({"uris": ["/v1/chat/completions", "/v1/messages"], "plugins": {"ai-proxy": {
            "provider": "openai-compatible",
            "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
            "options": {"model": "gpt-4"},
            "override": {"endpoint": upstream.base()},
        }}}),
    );
    node
}

fn stream(node: &Node, client: Dialect) -> Reply {
    Reply::to(node.calls, post(client.path(), client.request("m", true)))
}

#[test]
fn a_line_of_8_mebibytes_is_served_and_one_of_64_without_end_breaks_off_in_bounded_memory() {
    for endless in [false, true] {
        let upstream = Upstream::start(move |asked, peer| {
            let events = answers::events(asked.dialect(), &["the first words", "LONG"]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(
                [events.before.concat(), events.content[0].clone()].concat(),
            ));
            if endless {
                let block = answers::chunk(vec![b'x'; MIB]);
                peer.send(&answers::chunk("data: "));
                for _ in 0..64 {
                    if !peer.try_send(&block) {
                        return Next::Close;
                    }
                }
                return Next::Close;
            }
            let long = events.content[1].replace("LONG", &"x".repeat(8 * MIB));
            for part in long.as_bytes().chunks(MIB) {
                peer.send(&answers::chunk(part));
            }
            peer.send(&answers::chunk(events.after.concat()));
            peer.send(answers::END_OF_CHUNKS);
            Next::Keep
        });
        let node = translating(&upstream);
        for client in Dialect::BOTH {
            let before = peak(&node);
            let reply = stream(&node, client);
            let used = peak(&node) - before;
            let text = reply.text();
            let ended = text.contains("[DONE]") || text.contains("message_stop");
            assert!(text.contains("the first words"), "{client:?}");
            assert_eq!(ended, !endless, "{client:?}: {:.300}", reply.head);
            if endless {
                assert!(
                    !reply.whole || text.contains("\"error\""),
                    "{client:?}: a silent end"
                );
            } else {
                assert!(reply.whole && reply.body.len() > 8 * MIB, "{client:?}");
            }
            assert!(used < 128 << 20, "{client:?}: {used} bytes");
        }
        node.stop();
    }
}

#[test]
fn what_comes_behind_the_end_of_a_stream_is_neither_content_nor_usage() {
    let upstream = Upstream::start(|asked, peer| {
        let events = answers::events(asked.dialect(), &["served"]);
        let more = answers::events(asked.dialect(), &["smuggled"])
            .text()
            .replace("\"completion_tokens\":7", "\"completion_tokens\":7000");
        peer.send(answers::stream_head().as_bytes());
        peer.send(&answers::chunk([events.text(), more.clone()].concat()));
        peer.send(&answers::chunk(more));
        peer.send(answers::END_OF_CHUNKS);
        Next::Keep
    });
    let node = translating(&upstream);
    for client in Dialect::BOTH {
        let reply = stream(&node, client);
        assert!(
            reply.whole && reply.text().contains("served"),
            "{client:?}: {}",
            reply.text()
        );
        // What is passed on as it is ends for a client where it says so.
        let text = reply.text();
        let seen = text.split_once("data: [DONE]").map_or(&*text, |(seen, _)| seen);
        assert!(!seen.contains("smuggled"), "{client:?}: {text}");
        assert_eq!(node.process.stdout.next(), "7 stated", "{client:?}");
    }
    node.stop();
}

#[test]
fn refusals_keep_their_status_and_their_time_and_lose_our_key() {
    let html = "<html><body>busy: Bearer key-of-the-vendor</body></html>";
    let error = r#"{"error":{"message":"Incorrect API key provided: key-of-the-vendor","type":"x","param":null,"code":null}}"#;
    for (status, headers, body) in [
        (500, "content-type: text/html\r\n", html),
        (503, "content-type: text/html\r\nretry-after: 17\r\n", html),
        (
            429,
            "content-type: application/json\r\nretry-after: 17\r\n",
            error,
        ),
        (401, "content-type: application/json\r\n", error),
        (
            529,
            "content-type: application/json\r\nretry-after: 17\r\n",
            error,
        ),
        (500, "", ""),
    ] {
        let upstream = Upstream::saying(answers::answer(status, headers, body.as_bytes()));
        for way in [Way::Whole, Way::Stream] {
            let node = node(way, &upstream);
            let reply = Reply::to(node.calls, way.request("call"));
            assert_eq!(reply.status, status, "{}", reply.text());
            assert_eq!(
                reply.head.contains("retry-after: 17"),
                headers.contains("retry-after"),
                "{}",
                reply.head
            );
            let told = format!("{}{}{}", reply.head, reply.text(), node.stop().stderr);
            assert!(!told.contains("key-of-the-vendor"), "{told}");
        }
    }
}

#[test]
fn redirects_are_never_followed() {
    let elsewhere = Upstream::good("never seen");
    for status in [301, 302, 303, 307, 308] {
        for place in [elsewhere.base(), format!("//{}/v1", elsewhere.address())] {
            let upstream = Upstream::saying(answers::answer(status, &format!("location: {place}\r\n"), b""));
            for way in [Way::Whole, Way::Stream, Way::Passed] {
                let node = node(way, &upstream);
                let reply = Reply::to(node.calls, way.request("call"));
                // Where calls are passed on it is the client's to follow, or not.
                if way != Way::Passed {
                    let place = elsewhere.address().to_string();
                    let told = format!("{}{}", reply.head, reply.text());
                    assert!(!told.contains(&place), "{told}");
                }
                assert!([status, 502].contains(&reply.status), "{}", reply.head);
                node.stop();
            }
        }
    }
    elsewhere.was_not_asked();
}

#[test]
fn usage_of_streams_that_makes_no_sense_is_never_counted_as_told() {
    for usage in [
        json!({"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12}),
        json!({"prompt_tokens": "11", "completion_tokens": "7", "total_tokens": "18"}),
        json!({"prompt_tokens": 1e300, "completion_tokens": 1e300, "total_tokens": 1e300}),
        json!({"prompt_tokens": 11.5, "completion_tokens": [], "total_tokens": {}}),
        json!("many"),
    ] {
        let said = usage.to_string();
        let upstream = Upstream::start(move |asked: &Asked, peer| {
            let mut events = answers::events(asked.dialect(), &["seven words that somebody has to pay"]);
            for event in &mut events.after {
                if let Some((before, _)) = event.split_once("\"usage\":{") {
                    *event = format!("{before}\"usage\":{said}}}\n\n");
                }
            }
            peer.send(&answers::stream(&events));
            Next::Keep
        });
        let node = translating(&upstream);
        for client in Dialect::BOTH {
            let reply = stream(&node, client);
            assert!(
                reply.whole && reply.text().contains("seven words"),
                "{}",
                reply.text()
            );
            let line = node.process.stdout.next();
            let (tokens, source) = line.split_once(' ').expect("two words");
            let tokens: u64 = tokens
                .parse()
                .unwrap_or_else(|error| panic!("{usage}: {line}: {error}"));
            assert!(
                tokens < 1_000_000 && (tokens == 0 || source == "estimated"),
                "{client:?}, {usage}: {line}"
            );
        }
        node.stop();
    }
}
