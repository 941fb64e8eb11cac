//! The file that tells the process id of the gateway.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Failure;

/// Its name in the data directory.
pub const NAME: &str = "tollgate.pid";

/// The file of this process. It is removed when the process ends, unless another one has put its own id there.
pub struct PidFile(Option<PathBuf>);

impl PidFile {
    /// Writes it: where it was asked for, or into the data directory, if there is one. Who `has_taken_over` from another process goes on
    /// without: that one leaves already, and nobody else would be there for its clients.
    ///
    /// # Errors
    /// It was asked for and cannot be written.
    pub fn write(asked: Option<&Path>, data_dir: &Path, has_taken_over: bool) -> Result<PidFile, Failure> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None if data_dir.is_dir() => data_dir.join(NAME),
            None => return Ok(PidFile(None)),
        };
        match replace(&path) {
            Ok(()) => Ok(PidFile(Some(path))),
            Err(error) if asked.is_some() && has_taken_over => {
                tracing::error!(
                    path = %path.display(), %error,
                    "the file of --pid-file cannot be written; it still tells the process before this one"
                );
                Ok(PidFile(None))
            }
            Err(error) if asked.is_some() => {
                Err(Failure::new(format!("--pid-file {}: {error}", path.display())))
            }
            // Nobody has asked for it.
            Err(_) => Ok(PidFile(None)),
        }
    }

    /// Removes it.
    pub fn remove(self) {
        if let Some(path) = self.0
            && fs::read_to_string(&path).is_ok_and(|text| text.trim() == std::process::id().to_string())
        {
            // Whoever reads it finds that there is no such process.
            let _ = fs::remove_file(path);
        }
    }
}

/// Replaces the file in one step, so that nobody reads half of it.
fn replace(path: &Path) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, format!("{}\n", std::process::id()))?;
    fs::rename(&beside, path)
}

/// The process id in a file.
///
/// # Errors
/// There is none.
pub fn read(path: &Path) -> Result<u32, Failure> {
    let failed = |reason: String| {
        Failure::new(format!(
            "{}: {reason}; name the running process with --pid, or its file with --pid-file",
            path.display()
        ))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    text.trim()
        .parse()
        .map_err(|_| failed("there is no process id in it".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_another_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let own = PidFile::write(None, folder.path(), false).ok().unwrap();
        assert_eq!(read(&path).ok(), Some(std::process::id()));
        fs::write(&path, "1\n").unwrap();
        own.remove();
        assert_eq!(read(&path).ok(), Some(1));
        let own = PidFile::write(Some(&path), folder.path(), false).ok().unwrap();
        own.remove();
        assert!(read(&path).is_err() && !path.exists());
        let nowhere = folder.path().join("no/such");
        assert!(PidFile::write(Some(&nowhere), folder.path(), false).is_err());
        // Who serves the clients of another process already does not leave them for that.
        assert!(PidFile::write(Some(&nowhere), folder.path(), true).is_ok());
        // Nobody has asked for one where there is no folder for it.
        PidFile::write(None, &folder.path().join("none"), false)
            .ok()
            .unwrap()
            .remove();
    }
}
