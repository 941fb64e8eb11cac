//! A disk that fails when a test tells it to.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Bound;

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

/// Refuses some operations of the disk, on this thread, beginning with the given one; 0 for none.
pub(crate) fn refuse(first: u64, times: u64) {
    COUNTDOWN.with(|(countdown, left)| {
        countdown.set(first);
        left.set(times);
    });
}

/// How many operations of some work the disk could refuse.
pub(crate) fn refused_operations(work: impl FnOnce()) -> u64 {
    refuse(u64::MAX, 0);
    work();
    let operations = COUNTDOWN.with(|(countdown, _)| u64::MAX - countdown.get());
    refuse(0, 0);
    operations
}

thread_local! {
    static COUNTDOWN: (Cell<u64>, Cell<u64>) = const { (Cell::new(0), Cell::new(0)) };
}

pub(crate) fn faulty_database(file: File) -> Result<Database, DatabaseError> {
    Database::builder().create_with_backend(FaultyDisk(FileBackend::new(file)?))
}

#[derive(Debug)]
struct FaultyDisk(FileBackend);

impl FaultyDisk {
    fn may_fail(&self) -> io::Result<()> {
        COUNTDOWN.with(|(countdown, left)| {
            match countdown.get() {
                0 => return Ok(()),
                1 if left.get() > 0 => left.set(left.get() - 1),
                1 => return Ok(()),
                before => {
                    countdown.set(before - 1);
                    return Ok(());
                }
            }
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.may_fail()?;
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.may_fail()?;
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.may_fail()?;
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
}
