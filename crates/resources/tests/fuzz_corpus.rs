//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../../fuzz/configuration.rs"]
mod checks;

/// Bytes that change what surrounds them.
const OTHERS: [u8; 5] = [b'"', b'}', b'0', b'\n', 0xFF];

#[test]
fn every_seed_passes_the_checks_of_its_target() {
    for target in targets() {
        for seed in seeds(&target) {
            checks::run(&target, &fs::read(seed).unwrap());
        }
    }
}

#[test]
fn every_beginning_of_a_seed_passes_too() {
    for target in targets() {
        for seed in seeds(&target) {
            let bytes = fs::read(seed).unwrap();
            for end in 0..bytes.len() {
                checks::run(&target, &bytes[..end]);
            }
        }
    }
}

#[test]
fn seeds_with_a_byte_changed_pass_too() {
    for target in targets() {
        for seed in seeds(&target) {
            let mut bytes = fs::read(seed).unwrap();
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
fn every_target_is_built_and_has_a_small_corpus() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let corpora: BTreeSet<String> = names(&fuzz().join("corpus")).into_iter().collect();
    assert!(targets().is_subset(&corpora));
    for target in targets() {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target} is not in Cargo.toml"
        );
        let seeds = seeds(&target);
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        for seed in seeds {
            assert!(
                fs::metadata(&seed).unwrap().len() < 2_048,
                "{} is large",
                seed.display()
            );
        }
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The targets of this crate: those that use its checks.
fn targets() -> BTreeSet<String> {
    let folder = fuzz().join("fuzz_targets");
    names(&folder)
        .iter()
        .filter(|file| {
            fs::read_to_string(folder.join(file))
                .unwrap()
                .contains("../configuration.rs")
        })
        .map(|file| file.strip_suffix(".rs").unwrap().to_owned())
        .collect()
}

fn seeds(target: &str) -> Vec<PathBuf> {
    let corpus = fuzz().join("corpus").join(target);
    names(&corpus).iter().map(|name| corpus.join(name)).collect()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
