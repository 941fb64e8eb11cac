//! Keeps the directions between the crates: the table in ARCHITECTURE.md.
#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, of our own crates.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("tollgate-dialects", &[]),
    ("tollgate-resources", &[]),
    ("tollgate-policy", &["tollgate-dialects", "tollgate-resources"]),
    ("tollgate-telemetry", &["tollgate-resources"]),
    ("tollgate-store", &["tollgate-resources"]),
    (
        "tollgate-admin",
        &[
            "tollgate-gateway",
            "tollgate-resources",
            "tollgate-store",
            "tollgate-telemetry",
        ],
    ),
    (
        "tollgate-gateway",
        &[
            "tollgate-dialects",
            "tollgate-policy",
            "tollgate-resources",
            "tollgate-store",
            "tollgate-telemetry",
        ],
    ),
    (
        "tollgate",
        &[
            "tollgate-admin",
            "tollgate-dialects",
            "tollgate-gateway",
            "tollgate-resources",
            "tollgate-store",
            "tollgate-telemetry",
        ],
    ),
];

/// Crates of the network and the clock, and the only ones of ours that may use them.
const RESERVED: [(&str, &[&str]); 5] = [
    (
        "tokio",
        &[
            "tollgate-telemetry",
            "tollgate-store",
            "tollgate-gateway",
            "tollgate-admin",
            "tollgate",
        ],
    ),
    // Collectors, log servers and brokers are reached over HTTP and TLS.
    ("hyper", &["tollgate-gateway", "tollgate-telemetry"]),
    // Redis is reached over TLS too.
    (
        "rustls",
        &["tollgate-gateway", "tollgate-store", "tollgate-telemetry"],
    ),
    (
        "tokio-rustls",
        &["tollgate-gateway", "tollgate-store", "tollgate-telemetry"],
    ),
    ("redis", &["tollgate-store"]),
];

#[test]
fn crates_depend_only_in_the_allowed_directions() {
    let dependencies = direct_dependencies();
    for (name, allowed) in ALLOWED {
        let ours: Vec<_> = dependencies[name]
            .iter()
            .filter(|dependency| dependencies.contains_key(*dependency))
            .collect();
        for dependency in ours {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
    assert_eq!(
        dependencies.len(),
        ALLOWED.len(),
        "a new crate needs its place in this table and in ARCHITECTURE.md"
    );
}

#[test]
fn pure_crates_use_no_network_and_no_runtime() {
    let dependencies = direct_dependencies();
    for (reserved, users) in RESERVED {
        for (name, used) in &dependencies {
            assert!(
                !used.iter().any(|other| other == reserved) || users.contains(&name.as_str()),
                "{name} must not use {reserved}"
            );
        }
    }
}

/// Normal dependencies of each crate of the workspace, by name.
fn direct_dependencies() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages
        .iter()
        .map(|package| {
            let normal = package["dependencies"]
                .as_array()
                .expect("a list")
                .iter()
                .filter(|dependency| dependency["kind"].is_null());
            let names = normal
                .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
                .collect();
            (package["name"].as_str().expect("a name").to_owned(), names)
        })
        .collect()
}
