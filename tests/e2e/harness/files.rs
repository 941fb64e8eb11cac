//! Files of the repository that tests use as they are.

use std::path::PathBuf;

/// A file of the repository.
pub fn repository_file(path: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    PathBuf::from(root)
        .join(path)
        .canonicalize()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file below `examples`.
pub fn example(path: &str) -> PathBuf {
    repository_file(&format!("examples/{path}"))
}
