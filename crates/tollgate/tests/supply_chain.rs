//! What the binary is made of, and what it needs of the machine it runs on.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests count as tests"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What a script of `deploy/` writes.
fn written(script: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("deploy").join(script))
        .args(arguments)
        .current_dir(&root)
        .output()
        .unwrap_or_else(|error| panic!("deploy/{script}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "deploy/{script}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_binary_needs_nothing_but_the_c_library() {
    let told = written("needs", &[env!("CARGO_BIN_EXE_tollgate")]);
    assert!(told.contains("libc.so.6"), "{told}");
}

#[test]
fn the_bill_of_materials_is_the_same_each_time_and_names_everything_that_is_linked() {
    let bill = written("sbom", &[]);
    assert_eq!(bill, written("sbom", &[]));
    let bill: Value = serde_json::from_str(&bill).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], "tollgate");
    let components = bill["components"].as_array().expect("components");
    let text = |component: &Value, name: &str| component[name].as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = components.iter().map(|one| text(one, "name")).collect();
    for linked in [
        "tollgate-gateway",
        "hyper",
        "rustls",
        "aws-lc-sys",
        "libsqlite3-sys",
        "mimalloc",
    ] {
        assert!(names.contains(linked), "{linked} is missing");
    }
    for of_tests in ["proptest", "tempfile", "divan", "rcgen"] {
        assert!(!names.contains(of_tests), "{of_tests} is not part of it");
    }
    for component in components {
        let name = text(component, "name");
        assert!(component.get("licenses").is_some(), "{name} has no licence");
        let is_ours = name.starts_with("tollgate-");
        assert_eq!(
            component.get("hashes").is_some(),
            !is_ours,
            "the checksum of {name}"
        );
    }
    let known: BTreeSet<String> = components.iter().map(|one| text(one, "bom-ref")).collect();
    assert_eq!(known.len(), components.len(), "each is named once");
    for dependency in bill["dependencies"].as_array().expect("dependencies") {
        for needed in dependency["dependsOn"].as_array().expect("a list") {
            assert!(
                known.contains(needed.as_str().unwrap_or_default()),
                "{needed} is not described"
            );
        }
    }
}
