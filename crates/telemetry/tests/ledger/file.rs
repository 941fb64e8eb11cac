//! A file of SQLite: waiting, full, locked, moved, newer.

use std::io;
use std::path::Path;

use rusqlite::Connection;
use tollgate_telemetry::ledger::{LedgerError, Place};

use super::*;

fn place(folder: &Path) -> Place {
    Place::File(folder.join("usage.db"))
}

#[test]
fn calls_are_kept_over_restarts_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    for _ in 0..2 {
        let (ledger, metrics) = open(&place);
        ledger.append(&call("one", "team-a", "gpt-5", now_ms()));
        ledger.append(&call("two", "team-a", "gpt-5", now_ms()));
        assert!(ledger.flush(PATIENCE));
        assert!(ledger.flush_and_stop(PATIENCE));
        assert_eq!(number(&metrics, "tollgate_ledger_dropped_total"), 0);
    }
    assert_eq!(count(&place), 2);
}

#[test]
fn a_call_is_written_without_anyone_asking() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let settings = Settings {
        flush_interval: Duration::from_millis(1),
        ..Settings::new(place.clone())
    };
    let (ledger, metrics) = start(&settings);
    ledger.append(&call("one", "team-a", "gpt-5", now_ms()));
    while number(&metrics, "tollgate_ledger_rows_total") == 0 {
        std::thread::yield_now();
    }
    assert_eq!(count(&place), 1);
}

#[test]
fn calls_wait_while_another_process_holds_the_file_and_come_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let settings = Settings {
        flush_interval: Duration::from_millis(10),
        ..Settings::new(place.clone())
    };
    let (ledger, metrics) = start(&settings);
    let other = Connection::open(folder.path().join("usage.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for number in 0..50 {
        ledger.append(&call(&format!("call-{number}"), "team-a", "gpt-5", now_ms()));
    }
    while number(&metrics, "tollgate_ledger_write_errors_total") == 0 {
        std::thread::yield_now();
    }
    other.execute_batch("COMMIT").unwrap();
    assert!(ledger.flush(PATIENCE));
    assert_eq!(count(&place), 50);
    assert_eq!(number(&metrics, "tollgate_ledger_rows_total"), 50);
    assert_eq!(ledger.dropped(), 0);
}

#[test]
fn what_finds_the_queue_full_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let settings = Settings {
        flush_interval: NEVER,
        max_waiting_bytes: 64 * 1024,
        ..Settings::new(place.clone())
    };
    let (ledger, metrics) = start(&settings);
    // Nothing can be written meanwhile.
    let other = Connection::open(folder.path().join("usage.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for number in 0..1000 {
        ledger.append(&call(&format!("call-{number}"), "team-a", "gpt-5", now_ms()));
    }
    let dropped = ledger.dropped();
    other.execute_batch("COMMIT").unwrap();
    assert!(dropped > 0 && dropped < 1000, "{dropped}");
    assert!(ledger.flush(PATIENCE));
    assert_eq!(u64::try_from(count(&place)).unwrap(), 1000 - dropped);
    assert_eq!(number(&metrics, "tollgate_ledger_dropped_total"), dropped);
}

#[test]
fn a_file_that_was_deleted_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let (ledger, _) = open(&place);
    ledger.append(&call("before", "team-a", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE));
    for name in ["usage.db", "usage.db-wal", "usage.db-shm"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    ledger.append(&call("after", "team-a", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE));
    assert_eq!(count(&place), 1);
}

#[test]
fn a_file_of_a_newer_program_is_refused_by_writers_and_readers() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    assert!(open(&place).0.flush_and_stop(PATIENCE));
    let file = Connection::open(folder.path().join("usage.db")).unwrap();
    file.execute("UPDATE tollgate_ledger SET value = 99 WHERE name = 'version'", [])
        .unwrap();
    drop(file);
    let written = Ledger::start(&Settings::new(place.clone()), &Metrics::default());
    let error = written.err().unwrap();
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("use a newer tollgate"), "{error}");
    let read = Reader::new(place).usage(&usage(&[])).unwrap_err();
    assert!(read.to_string().contains("has version 99"), "{read}");
}

#[test]
fn what_is_no_ledger_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("usage.db"),
        "this is a text of somebody else, not a database",
    )
    .unwrap();
    let started = Ledger::start(&Settings::new(place(folder.path())), &Metrics::default());
    let text = started.err().unwrap().to_string();
    assert!(
        text.contains("usage.db") && text.contains("not a database"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_to_who_reads() {
    let folder = tempfile::tempdir().unwrap();
    let read = Reader::new(place(folder.path())).usage(&usage(&[])).unwrap_err();
    assert!(
        read.to_string().contains("no usage has been kept in it yet"),
        "{read}"
    );
}

#[test]
fn a_long_question_does_not_keep_calls_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let (ledger, _) = open(&place);
    ledger.append(&call("one", "team-a", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE));
    let reader = Connection::open(folder.path().join("usage.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let seen = || -> i64 {
        let counted = reader.query_row("SELECT COUNT(*) FROM tollgate_calls", [], |row| row.get(0));
        counted.unwrap()
    };
    assert_eq!(seen(), 1);
    ledger.append(&call("two", "team-a", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE));
    assert_eq!((seen(), count(&place)), (1, 2));
}

#[test]
fn only_its_owner_may_read_the_file() -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    assert!(open(&place(folder.path())).0.flush_and_stop(PATIENCE));
    let mode = std::fs::metadata(folder.path().join("usage.db"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    Ok(())
}
