//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
//! Runs the corpora of the fuzz targets of configuration files as ordinary tests, on any compiler.

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
#[path = "../../../fuzz/resources/checks.rs"]
mod checks;
#[path = "../../../fuzz/configuration.rs"]
mod configuration;

/// Bytes that change what surrounds them.
const OTHERS: [u8; 5] = [b'"', b'}', b'0', b'\n', 0xFF];

/// Runs the checks of the target of this name.
type Run = fn(&str, &[u8]);

/// A target: where it and its corpus are, its name, and its checks.
struct Target {
    folder: PathBuf,
    name: String,
    run: Run,
}

#[test]
fn every_seed_passes_the_checks_of_its_target() {
    for target in targets() {
        for seed in target.seeds() {
            target.check(&fs::read(seed).unwrap());
        }
    }
}

#[test]
fn every_beginning_of_a_seed_passes_too() {
    for target in targets() {
        for seed in target.seeds() {
            let bytes = fs::read(seed).unwrap();
            for end in 0..bytes.len() {
                target.check(&bytes[..end]);
            }
        }
    }
}

#[test]
fn seeds_with_a_byte_changed_pass_too() {
    for target in targets() {
        for seed in target.seeds() {
            let mut bytes = fs::read(seed).unwrap();
            for at in 0..bytes.len() {
                let original = bytes[at];
                bytes[at] = OTHERS[at % OTHERS.len()];
                target.check(&bytes);
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
    let of_resources: BTreeSet<String> = targets()
        .into_iter()
        .filter(|target| target.folder != fuzz())
        .map(|target| target.name)
        .collect();
    let corpora: BTreeSet<String> = names(&fuzz().join("resources/corpus")).into_iter().collect();
    assert_eq!(of_resources, corpora);
    for target in targets() {
        let name = &target.name;
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not in Cargo.toml"
        );
        let seeds = target.seeds();
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            assert!(
                fs::metadata(&seed).unwrap().len() < 2_048,
                "{} is large",
                seed.display()
            );
        }
    }
}

impl Target {
    fn seeds(&self) -> Vec<PathBuf> {
        let corpus = self.folder.join("corpus").join(&self.name);
        names(&corpus).iter().map(|name| corpus.join(name)).collect()
    }

    fn check(&self, bytes: &[u8]) {
        (self.run)(&self.name, bytes);
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
/// The targets of this crate: those of `fuzz/resources`, and those of `fuzz` that use `configuration.rs`.
fn targets() -> Vec<Target> {
    let places: [(PathBuf, &str, Run); 2] = [
        (fuzz(), "../configuration.rs", configuration::run),
        (fuzz().join("resources"), "../checks.rs", checks::run),
    ];
    let mut targets = Vec::new();
    for (folder, uses, run) in places {
        let sources = folder.join("fuzz_targets");
        for file in names(&sources) {
            let source = fs::read_to_string(sources.join(&file)).unwrap();
            if source.contains(uses) {
                targets.push(Target {
                    folder: folder.clone(),
                    name: file.strip_suffix(".rs").unwrap().to_owned(),
                    run,
                });
            }
        }
    }
    targets
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
