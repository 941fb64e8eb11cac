//! Runs the corpora of fuzz targets as ordinary tests, on any compiler.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that change what surrounds them.
const OTHERS: [u8; 5] = [b'"', b'}', b'0', b'\n', 0xFF];

/// Seeds are small, so that all of their beginnings can be tried.
const MAX_SEED: usize = 2_048;

/// The targets that share a file of checks.
pub(crate) struct Corpora {
    /// The folder of the targets, in `fuzz`.
    pub(crate) targets: &'static str,
    /// The folder of their corpora.
    pub(crate) seeds: &'static str,
    /// The file of their checks.
    pub(crate) checks: &'static str,
    /// Runs the check of a target.
    pub(crate) run: fn(&str, &[u8]),
}

impl Corpora {
    /// Every seed passes.
    pub(crate) fn pass(&self) {
        self.each(|target, bytes| (self.run)(target, bytes));
    }

    /// Every beginning of a seed passes.
    pub(crate) fn pass_cut_short(&self) {
        self.each(|target, bytes| {
            for end in 0..bytes.len() {
                (self.run)(target, &bytes[..end]);
            }
        });
    }

    /// Seeds with a byte changed pass.
    pub(crate) fn pass_changed(&self) {
        self.each(|target, bytes| {
            for at in 0..bytes.len() {
                let original = std::mem::replace(&mut bytes[at], OTHERS[at % OTHERS.len()]);
                (self.run)(target, bytes);
                bytes[at] = original;
            }
        });
    }

    /// Every target is built, and has a corpus of small seeds.
    pub(crate) fn are_whole(&self) {
        let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        let targets = self.targets();
        assert!(!targets.is_empty());
        for target in targets {
            let is_built = manifest.contains(&format!("name = \"{target}\""));
            assert!(is_built, "{target} is not in Cargo.toml");
            let seeds = self.seeds(&target);
            assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        }
        self.each(|target, bytes| assert!(bytes.len() < MAX_SEED, "a seed of {target} is large"));
    }

    fn each(&self, check: impl Fn(&str, &mut Vec<u8>)) {
        for target in self.targets() {
            for seed in self.seeds(&target) {
                check(&target, &mut fs::read(seed).unwrap());
            }
        }
    }

    fn targets(&self) -> Vec<String> {
        let folder = fuzz().join(self.targets);
        let mut files = names(&folder);
        files.retain(|file| {
            fs::read_to_string(folder.join(file))
                .unwrap()
                .contains(self.checks)
        });
        let names = files
            .iter()
            .map(|file| file.strip_suffix(".rs").unwrap().to_owned());
        names.collect()
    }

    fn seeds(&self, target: &str) -> Vec<PathBuf> {
        let corpus = fuzz().join(self.seeds).join(target);
        names(&corpus).iter().map(|name| corpus.join(name)).collect()
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}
