//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

#[path = "../../../fuzz/checks/telemetry.rs"]
mod checks;
#[path = "../../../fuzz/corpora.rs"]
#[macro_use]
mod corpora;

test_corpora!(checks::TARGETS);

#[test]
fn seeds_of_kafkas_answers_are_answers_unless_they_lie() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/kafka_answer");
    for seed in std::fs::read_dir(folder).unwrap() {
        let path = seed.unwrap().path();
        let is_answer = tollgate_telemetry::kafka::read_answer(&std::fs::read(&path).unwrap()).is_some();
        assert_eq!(is_answer, !path.to_string_lossy().contains("lying"), "{path:?}");
    }
}
