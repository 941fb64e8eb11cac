//! Files that hold one secret each, as Docker and Kubernetes mount them: `$file:///run/secrets/openai`.
//!
//! Only the operator's own file may name them. What comes through the Admin API cannot: whoever may write objects must not read
//! files with them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::load::env;

/// Largest file that is read, in bytes; the key of a service account has about two thousand.
const MAX_BYTES: u64 = 64 * 1024;

/// Permission of everybody to read.
const READABLE_BY_ALL: u32 = 0o004;

/// Looks up what a reference of the operator's file names: an environment variable, or a file as `file://` and its path. A line
/// break at the end of a file is none of the secret.
pub fn lookup(name: &str) -> Option<String> {
    match name.strip_prefix("file://") {
        Some(path) => read(Path::new(path)).map(|(text, _)| text),
        None => env(name),
    }
}

/// What is known of a file that holds a secret, without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
    /// The hash of what it holds; `None` if it cannot be read.
    digest: Option<Vec<u8>>,
    is_readable_by_all: bool,
}

impl SecretFile {
    /// Looks at a file.
    pub fn look(path: &str) -> Self {
        let read = read(Path::new(path));
        SecretFile {
            path: path.into(),
            is_readable_by_all: read.as_ref().is_some_and(|(_, mode)| mode & READABLE_BY_ALL != 0),
            digest: read.map(|(text, _)| digest(&SHA256, text.as_bytes()).as_ref().to_vec()),
        }
    }

    /// What the operator should know.
    pub fn note(&self) -> Option<String> {
        self.is_readable_by_all.then(|| {
            format!(
                "{} holds a secret and may be read by everybody on this machine; `chmod o-r` it",
                self.path.display()
            )
        })
    }
}

/// The text of a file, and its permissions.
fn read(path: &Path) -> Option<(String, u32)> {
    // A pipe would be waited for.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let mode = file.metadata().ok()?.permissions().mode();
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).ok()?;
    if text.len() as u64 > MAX_BYTES {
        return None;
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Some((text, mode))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_one_secret_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let name = format!("file://{}", path.display());
        assert_eq!(lookup(&name), None);
        fs::write(&path, "sk-1\n").unwrap();
        assert_eq!(lookup(&name).as_deref(), Some("sk-1"));
        fs::write(&path, vec![b'k'; 65 * 1024]).unwrap();
        assert_eq!(lookup(&name), None);
        assert_eq!(lookup(&format!("file://{}", folder.path().display())), None);
    }

    #[test]
    fn a_change_is_seen_and_so_is_a_file_that_everybody_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let look = || SecretFile::look(path.to_str().unwrap());
        let missing = look();
        fs::write(&path, "sk-1").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let first = look();
        assert!(missing != first && first.note().is_none());
        fs::write(&path, "sk-2").unwrap();
        assert!(look() != first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let note = look().note().unwrap();
        assert!(
            note.contains("may be read by everybody") && !note.contains("sk-2"),
            "{note}"
        );
    }
}
