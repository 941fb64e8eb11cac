//! A time of day that a test can set, for the processes it starts. How much time passes is not changed by it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A settable time of day.
pub struct SettableClock(TempDir);

impl SettableClock {
    /// A clock that is right.
    pub fn new() -> SettableClock {
        let clock = SettableClock(tempfile::tempdir().expect("a directory"));
        clock.set("+0");
        clock
    }

    /// Sets it, by the real time: `+1h`, `-1h`.
    pub fn set(&self, offset: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, offset).expect("a file can be written");
        fs::rename(&next, self.file()).expect("a file can be renamed");
    }

    /// What a process needs in its environment to go by it.
    #[track_caller]
    pub fn env(&self) -> [(&'static str, String); 5] {
        let library = library().expect("libfaketime is missing: tests/prepare installs it");
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // The name in older versions, and in newer ones.
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }
}

fn library() -> Option<PathBuf> {
    let name = Path::new("faketime/libfaketime.so.1");
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let folders = folders
        .map(|folder| folder.path())
        .chain(["/usr/lib".into(), "/usr/local/lib".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.exists())
}
