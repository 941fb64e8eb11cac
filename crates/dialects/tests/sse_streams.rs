//! The framing of server-sent events must not depend on how the network cuts the stream.

#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

mod support;

use std::fs;
use std::iter::once;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use tollgate_dialects::sse::{Decoder, SseEvent};

const LIMIT: usize = 1 << 24;

type Bytes = Option<Vec<u8>>;

/// Name and data of the events, and all bytes that were reported.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<(Bytes, Bytes)>,
    raw: Vec<u8>,
}

fn see<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut seen = Seen::default();
    let mut note = |event: SseEvent<'_>| {
        // Blank lines alone say nothing, and a cut may set a LF apart from its CR.
        if event.raw.iter().any(|byte| !b"\r\n".contains(byte)) {
            seen.events.push((
                event.name.map(<[u8]>::to_vec),
                event.data.map(|data| data.into_owned()),
            ));
        }
        seen.raw.extend_from_slice(event.raw);
    };
    let mut decoder = Decoder::new(LIMIT);
    for chunk in chunks {
        decoder.feed(chunk, &mut note).unwrap();
    }
    decoder.finish(&mut note);
    seen
}

/// Streams made of the pieces where framing can go wrong.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let line_end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r"[..]), Just(&b"\r\n"[..])];
    let piece = prop_oneof![
        8 => line_end,
        3 => Just(&b"data"[..]),
        3 => Just(&b"data: "[..]),
        2 => Just(&b"event: "[..]),
        2 => Just(&b":"[..]),
        2 => Just(&b"x"[..]),
        1 => Just(&b" "[..]),
        1 => Just(&b"\xEF\xBB\xBF"[..]),
        1 => Just("\u{1F600}".as_bytes()),
        1 => Just(&b"\xFF\0"[..]),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_events(stream in stream(), cuts in vec(0_usize..80, 0..8)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let expected = see(once(&stream[..]));
        prop_assert_eq!(&expected.raw, &stream);
        prop_assert_eq!(&see(cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]])), &expected);
        prop_assert_eq!(&see(stream.chunks(1)), &expected);
    }
}

#[test]
fn recorded_streams_are_framed_alike_for_every_cut() {
    let Some(recordings) = support::root() else { return };
    let mut files = Vec::new();
    collect(&recordings, &mut files);
    assert!(files.len() > 100, "only {} recorded streams", files.len());
    for file in files {
        let stream = fs::read(&file).unwrap();
        let expected = see(once(&stream[..]));
        assert_eq!(expected.raw, stream, "{}", file.display());
        assert!(
            !expected.events.is_empty() || stream.is_empty(),
            "{}",
            file.display()
        );
        for step in [1, 2, 3, 7, 1_000] {
            assert_eq!(
                see(stream.chunks(step)),
                expected,
                "{}, step {step}",
                file.display()
            );
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.file_name().is_some_and(|name| name == "response.sse") {
            files.push(path);
        }
    }
}
