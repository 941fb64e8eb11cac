//! Where loggers write: files, and the thread that delivers over the network. Neither is there before somebody needs it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::access_log::LineLog;
use crate::delivery::Hub;
use crate::metrics::Metrics;

/// Files and the delivering thread. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    metrics: Arc<Metrics>,
    hub: Mutex<Option<Hub>>,
    files: Mutex<HashMap<PathBuf, Weak<LineLog>>>,
}

impl Outlets {
    /// Nothing yet. `metrics` is where deliveries count.
    pub fn new(metrics: Arc<Metrics>) -> Outlets {
        Outlets {
            inner: Arc::new(Inner {
                metrics,
                ..Inner::default()
            }),
        }
    }

    /// The numbers that deliveries count into.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// The delivering thread, started when it is not there yet.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn hub(&self) -> io::Result<Hub> {
        let mut hub = self.inner.hub.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = &*hub {
            return Ok(hub.clone());
        }
        Ok(hub.insert(Hub::start(self.inner.metrics.clone())?).clone())
    }

    /// The file at a path, which all share who write there. `sink` names its lines in metrics.
    ///
    /// # Errors
    /// The thread that writes cannot be started.
    pub fn file(&self, path: &Path, sink: &str) -> io::Result<Arc<LineLog>> {
        let mut files = self.files();
        if let Some(file) = files.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = Arc::new(LineLog::start(path.to_owned(), sink, &self.inner.metrics)?);
        files.retain(|_, file| file.strong_count() > 0);
        files.insert(path.to_owned(), Arc::downgrade(&file));
        Ok(file)
    }

    /// Asks for files to be opened anew, as after a rotation; returns at once.
    pub fn reopen(&self) {
        for file in self.open_files() {
            file.reopen();
        }
    }

    /// Writes and sends what waits, for at most about so long; returns whether nothing was lost.
    pub fn flush_and_stop(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut all = true;
        for file in self.open_files() {
            all &= file.flush_and_stop();
        }
        let hub = self
            .inner
            .hub
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(hub) = hub {
            all &= hub.flush_and_stop(until.saturating_duration_since(Instant::now()));
        }
        all
    }

    fn open_files(&self) -> Vec<Arc<LineLog>> {
        self.files().values().filter_map(Weak::upgrade).collect()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<LineLog>>> {
        self.inner.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outlets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn those_who_write_to_a_path_share_its_file_and_it_follows_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let outlets = Outlets::default();
        let one = outlets.file(&path, "file-logger").unwrap();
        assert!(!path.exists(), "nothing was written yet");
        let other = outlets.file(&path, "file-logger").unwrap();
        one.append(b"1\n");
        other.append(b"2\n");
        assert!(one.flush(Duration::from_secs(10)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        other.append(b"3\n");
        assert!(outlets.flush_and_stop(Duration::from_secs(10)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
        one.append(b"4\n");
        let text = outlets.metrics().text();
        assert!(
            text.contains("tollgate_delivery_queued_total{sink=\"file-logger\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("tollgate_delivery_dropped_total{sink=\"file-logger\",reason=\"full\"} 1\n"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_yet_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later").join("a.log");
        let outlets = Outlets::default();
        let file = outlets.file(&path, "file-logger").unwrap();
        file.append(b"1\n");
        assert!(!file.flush(Duration::from_millis(1)));
        fs::create_dir(folder.path().join("later")).unwrap();
        assert!(file.flush(Duration::from_secs(10)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }
}
