//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

#[path = "../../../fuzz/configuration.rs"]
mod checks;
#[path = "../../../fuzz/corpora.rs"]
mod corpora;

use corpora::Corpora;

const CORPORA: Corpora = Corpora {
    targets: "fuzz_targets",
    seeds: "corpus",
    checks: "../configuration.rs",
    run: checks::run,
};

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
fn every_target_is_built_and_has_a_small_corpus() {
    CORPORA.are_whole();
}
