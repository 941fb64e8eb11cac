//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

#[path = "../../../fuzz/checks/dialects.rs"]
mod checks;
#[path = "../../../fuzz/corpora.rs"]
#[macro_use]
mod corpora;

test_corpora!(checks::TARGETS);
