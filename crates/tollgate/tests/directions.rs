//! Keeps the directions between the crates: the table in ARCHITECTURE.md.
#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, of our own crates.
const ALLOWED: [(&str, &[&str]); 10] = [
    // Measures the gateway from outside.
    ("tollgate-bench", &[]),
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
    ("tollgate", &["tollgate-cli"]),
    (
        "tollgate-cli",
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
            "tollgate-cli",
            "tollgate-bench",
        ],
    ),
    // Collectors, log servers and brokers are reached over HTTP and TLS.
    ("hyper", &["tollgate-gateway", "tollgate-telemetry"]),
    // Redis is reached over TLS too, and the gateway is measured over it.
    (
        "rustls",
        &[
            "tollgate-gateway",
            "tollgate-store",
            "tollgate-telemetry",
            "tollgate-bench",
        ],
    ),
    (
        "tokio-rustls",
        &[
            "tollgate-gateway",
            "tollgate-store",
            "tollgate-telemetry",
            "tollgate-bench",
        ],
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

/// Files that ask for the time of day, which can be set, and what for. What lasts for a while is measured otherwise: by
/// `Instant`, or by `gateway/src/clock.rs`.
const TIME_OF_DAY: [(&str, &str); 22] = [
    ("admin/src/admin.rs", "when objects were made and changed"),
    ("admin/src/v1/watch.rs", "when something live was told"),
    (
        "cli/src/administration.rs",
        "when health changed; which objects expired while nobody ran",
    ),
    ("cli/src/own_log.rs", "when a line was written"),
    ("cli/src/telemetry.rs", "when health changed"),
    ("cli/src/trial.rs", "what a call costs today"),
    ("cli/src/usage.rs", "questions about the last days"),
    (
        "gateway/src/clock.rs",
        "signatures; where the steady clock begins",
    ),
    (
        "gateway/src/governance/mod.rs",
        "days and months of budgets, and when keys expire",
    ),
    ("gateway/src/pipeline/authorize.rs", "signatures"),
    ("gateway/src/pipeline/encode_ai.rs", "signatures"),
    ("gateway/src/pipeline/record.rs", "when a call began"),
    (
        "gateway/src/plugins/call.rs",
        "what others have dated, such as tokens of clients",
    ),
    ("gateway/src/pool/signal.rs", "`Retry-After` with a date"),
    (
        "gateway/src/providers/simulated/mod.rs",
        "dates of simulated answers",
    ),
    ("gateway/src/server/http1/date.rs", "`Date` of answers"),
    ("telemetry/src/kafka/record.rs", "when records were made"),
    ("telemetry/src/ledger/writer.rs", "which rows are old"),
    (
        "telemetry/src/metrics/changes.rs",
        "when the configuration was changed",
    ),
    ("telemetry/src/metrics/process.rs", "when the process began"),
    ("telemetry/src/otlp/http.rs", "`Retry-After` with a date"),
    ("telemetry/src/otlp/logs.rs", "when a record was seen"),
];

#[test]
fn only_files_that_tell_or_read_dates_ask_for_the_time_of_day() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut asking = Vec::new();
    let mut folders: Vec<_> = ALLOWED
        .iter()
        .map(|(name, _)| crates.join(name.trim_start_matches("tollgate-")).join("src"))
        // What only measures is elsewhere.
        .filter(|folder| folder.exists())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            // What stands in a file's tests may be held still by them.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            if code.contains("SystemTime::now") && !path.ends_with("tests.rs") {
                let file = path.strip_prefix(&crates).expect("a file of ours");
                asking.push(file.display().to_string());
            }
        }
    }
    asking.sort();
    let known: Vec<_> = TIME_OF_DAY.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(
        asking, known,
        "windows, tokens and times to live are no reason to ask for it"
    );
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
