//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../../fuzz/policy/checks.rs"]
mod checks;

/// Bytes that change what surrounds them.
const OTHERS: [u8; 6] = [b'"', b'*', b':', b'/', b'0', b'\n'];

#[test]
fn every_seed_and_every_beginning_of_one_passes_the_checks_of_its_target() {
    for (target, bytes) in seeds() {
        for end in 0..=bytes.len() {
            checks::run(target, &bytes[..end]);
        }
    }
}

#[test]
fn seeds_with_a_byte_changed_pass_too() {
    for (target, mut bytes) in seeds() {
        for at in 0..bytes.len() {
            for other in OTHERS {
                let original = std::mem::replace(&mut bytes[at], other);
                checks::run(target, &bytes);
                bytes[at] = original;
            }
        }
    }
}

#[test]
fn every_target_is_built_and_has_a_small_corpus() {
    let manifest = fs::read_to_string(fuzz().join("../Cargo.toml")).unwrap();
    assert_eq!(names(&fuzz().join("corpus")), checks::TARGETS);
    for target in checks::TARGETS {
        let path = format!("policy/targets/{target}.rs");
        assert!(manifest.contains(&path), "{target} is not in Cargo.toml");
        assert!(fuzz().join("..").join(path).exists());
        let seeds = seeds().into_iter().filter(|(of, _)| *of == target);
        assert!(seeds.count() >= 3);
    }
    for (target, bytes) in seeds() {
        assert!(bytes.len() < 2_048, "a seed of {target} is large");
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/policy")
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let read = |target: &'static str| {
        let corpus = fuzz().join("corpus").join(target);
        names(&corpus)
            .into_iter()
            .map(move |name| (target, fs::read(corpus.join(name)).unwrap()))
    };
    checks::TARGETS.into_iter().flat_map(read).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
