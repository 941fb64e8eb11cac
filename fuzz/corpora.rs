//! Runs the corpora of fuzz targets as ordinary tests, on any compiler.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checks::FuzzTarget;

/// Bytes that change what surrounds them.
const OTHERS: [u8; 8] = [b'"', b'}', b'0', b'\n', 0xFF, b'*', b':', b'/'];

/// Seeds are small, so that all of their beginnings can be tried.
const MAX_SEED: usize = 2_048;

/// The tests of a crate whose targets are `$targets`.
macro_rules! test_corpora {
    ($targets:expr) => {
        const CORPORA: corpora::Corpora = corpora::Corpora($targets);

        #[test]
        fn every_seed_passes_the_checks_of_its_target() {
            CORPORA.pass();
        }

        #[test]
        fn every_beginning_of_a_seed_passes_too() {
            CORPORA.pass_cut_short();
        }

        #[test]
        fn seeds_with_a_byte_changed_pass_too() {
            CORPORA.pass_changed();
        }

        #[test]
        fn every_target_has_a_small_corpus_and_is_listed() {
            CORPORA.are_whole();
        }
    };
}

/// The targets of a file of checks.
pub(crate) struct Corpora(pub(crate) &'static [FuzzTarget]);

impl Corpora {
    /// Every seed passes.
    pub(crate) fn pass(&self) {
        self.each(|check, bytes| check(bytes));
    }

    /// Every beginning of a seed passes.
    pub(crate) fn pass_cut_short(&self) {
        self.each(|check, bytes| {
            for end in 0..bytes.len() {
                check(&bytes[..end]);
            }
        });
    }

    /// Seeds with a byte changed pass.
    pub(crate) fn pass_changed(&self) {
        self.each(|check, bytes| {
            for at in 0..bytes.len() {
                let original = std::mem::replace(&mut bytes[at], OTHERS[at % OTHERS.len()]);
                check(bytes);
                bytes[at] = original;
            }
        });
    }

    /// Every target has a corpus of small seeds and a line in the table of `README.md`, and nothing there belongs to nobody.
    pub(crate) fn are_whole(&self) {
        let readme = fs::read_to_string(fuzz().join("README.md")).unwrap();
        for (target, _) in self.0 {
            let seeds = seeds(target);
            assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
            assert!(
                readme.contains(&format!("`{target}`")),
                "{target} is not in README.md"
            );
            for seed in seeds {
                let length = fs::metadata(&seed).unwrap().len();
                assert!(length < MAX_SEED as u64, "{} is large", seed.display());
            }
        }
        let checks: String = files(&fuzz().join("checks"))
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        for corpus in files(&fuzz().join("corpus")) {
            let target = corpus.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                checks.contains(&format!("\"{target}\",")),
                "there is a corpus of {target} and no such target"
            );
        }
    }

    fn each(&self, run: impl Fn(fn(&[u8]), &mut Vec<u8>)) {
        for (target, check) in self.0 {
            for seed in seeds(target) {
                run(*check, &mut fs::read(seed).unwrap());
            }
        }
    }
}

/// The files of a target's corpus; none if there is no corpus.
fn seeds(target: &str) -> Vec<PathBuf> {
    let corpus = fuzz().join("corpus").join(target);
    if corpus.exists() {
        files(&corpus)
    } else {
        Vec::new()
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
