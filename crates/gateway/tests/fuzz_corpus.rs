//! Runs the corpora of the gateway's fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../../fuzz/gateway_checks.rs"]
mod checks;

/// Bytes that change what surrounds them.
const OTHERS: [u8; 5] = [b'"', b'}', b'0', b'\n', 0xFF];

#[test]
fn every_seed_passes_whole_cut_short_and_changed() {
    for target in targets() {
        let seeds = names(&fuzz().join("gateway_corpus").join(&target));
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        for seed in seeds {
            let mut bytes = fs::read(fuzz().join("gateway_corpus").join(&target).join(seed)).unwrap();
            assert!(bytes.len() < 2_048);
            checks::run(&target, &bytes);
            for end in 0..bytes.len() {
                checks::run(&target, &bytes[..end]);
            }
            for at in 0..bytes.len() {
                let original = bytes[at];
                bytes[at] = OTHERS[at % OTHERS.len()];
                checks::run(&target, &bytes);
                bytes[at] = original;
            }
        }
    }
}

#[test]
fn every_target_is_built() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in targets() {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn targets() -> Vec<String> {
    let files = names(&fuzz().join("gateway_targets"));
    files
        .iter()
        .map(|file| file.strip_suffix(".rs").unwrap().to_owned())
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
