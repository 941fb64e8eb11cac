//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

#[path = "../../../fuzz/checks/store.rs"]
mod checks;
#[path = "../../../fuzz/corpora.rs"]
mod corpora;

use corpora::Corpora;

const CORPORA: Corpora = Corpora(checks::TARGETS);

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
