//! Runs the corpora of the fuzz targets as ordinary tests, on any compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

#[path = "../../../fuzz/checks/resources.rs"]
mod checks;
#[path = "../../../fuzz/corpora.rs"]
#[macro_use]
mod corpora;

test_corpora!(checks::TARGETS);

/// Otherwise they would show the fuzzer nothing but the way to the first mistake.
#[test]
fn seeds_of_our_own_files_are_accepted_unless_their_name_says_otherwise() {
    use tollgate_resources::{lower_native, lower_rbac};

    let env = |name: &str| Some(format!("the secret of {name}"));
    for (target, is_native) in [("tollgate_yaml", true), ("rbac_json", false)] {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        for seed in std::fs::read_dir(folder).unwrap() {
            let path = seed.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let lowered = match is_native {
                true => lower_native("tollgate.yaml", &text, &env),
                false => lower_rbac("rbac.json", &text, None, &env),
            };
            let is_wrong = path.to_string_lossy().contains("mistakes");
            assert_eq!(lowered.is_err(), is_wrong, "{path:?}: {:?}", lowered.err());
        }
    }
}
