use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use super::writer::SHARD_LIMIT;
use super::*;
use crate::fixture;

/// Long enough for any machine; a test that works never waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(path: &Path) -> AccessLog {
    let format = Format::parse("$request_id $http_user_agent").unwrap();
    AccessLog::start(Target::File(path.to_owned()), format).unwrap()
}

fn log(log: &AccessLog, id: &str) {
    log.log(&CallRecord {
        request_id: id,
        ..fixture::call()
    });
}

fn ids(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| line.strip_suffix(" curl/8.6.0").unwrap().to_owned())
        .collect()
}

#[test]
fn lines_are_in_the_file_in_order_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = open(&path);
    for id in ["one", "two", "three"] {
        log(&access_log, id);
    }
    assert!(access_log.flush(PATIENCE));
    assert_eq!(ids(&path), ["one", "two", "three"]);
    assert_eq!((access_log.dropped(), access_log.write_errors()), (0, 0));
}

#[test]
fn a_line_reaches_the_file_without_anyone_asking() {
    let (mut reader, access_log) = pipe();
    for id in ["first", "second"] {
        log(&access_log, id);
        let mut line = vec![0; id.len() + 1];
        // Returns only when the writer wrote by itself; the second line finds it between two rounds or asleep.
        reader.read_exact(&mut line).unwrap();
        assert_eq!(line, format!("{id}\n").into_bytes());
    }
}

#[test]
fn a_restart_appends_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for id in ["before", "after"] {
        let access_log = open(&path);
        log(&access_log, id);
        assert!(access_log.flush_and_stop());
    }
    assert_eq!(ids(&path), ["before", "after"]);
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/access.log");
    let error = AccessLog::start(Target::File(missing), Format::Json).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_log_that_is_off_does_nothing() {
    let access_log = AccessLog::start(Target::Off, Format::Json).unwrap();
    log(&access_log, "x");
    access_log.reopen();
    assert!(access_log.flush(Duration::ZERO));
    assert!(access_log.flush_and_stop());
    assert_eq!((access_log.dropped(), access_log.write_errors()), (0, 0));
}

#[test]
fn after_a_rename_and_reopen_lines_go_to_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let access_log = open(&path);
    log(&access_log, "old");
    assert!(access_log.flush(PATIENCE));
    fs::rename(&path, &rotated).unwrap();
    access_log.reopen();
    assert!(access_log.flush(PATIENCE));
    assert_eq!(ids(&path), [""; 0]);
    log(&access_log, "new");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(
        (ids(&rotated), ids(&path)),
        (vec!["old".to_owned()], vec!["new".to_owned()])
    );
}

#[test]
fn a_moved_a_replaced_and_a_deleted_file_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let access_log = open(&path);
    log(&access_log, "1");
    assert!(access_log.flush(PATIENCE));

    fs::rename(&path, &rotated).unwrap();
    log(&access_log, "2");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(
        (ids(&rotated), ids(&path)),
        (vec!["1".to_owned()], vec!["2".to_owned()])
    );

    fs::rename(&path, &rotated).unwrap();
    File::create(&path).unwrap();
    log(&access_log, "3");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(
        (ids(&rotated), ids(&path)),
        (vec!["2".to_owned()], vec!["3".to_owned()])
    );

    fs::remove_file(&path).unwrap();
    log(&access_log, "4");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(ids(&path), ["4"]);
    assert_eq!(access_log.write_errors(), 0);
}

#[test]
fn a_truncated_file_goes_on_at_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = open(&path);
    log(&access_log, "copied away");
    assert!(access_log.flush(PATIENCE));
    File::options().write(true).truncate(true).open(&path).unwrap();
    log(&access_log, "next");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(ids(&path), ["next"]);
}

#[test]
fn a_folder_that_vanished_is_an_error_and_the_log_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let path = logs.join("access.log");
    let access_log = open(&path);
    fs::remove_dir_all(&logs).unwrap();
    log(&access_log, "into the deleted file");
    assert!(access_log.flush(PATIENCE));
    assert!(access_log.write_errors() > 0);
    fs::create_dir(&logs).unwrap();
    log(&access_log, "back");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(ids(&path), ["back"]);
}

#[test]
fn every_line_of_many_threads_is_whole_and_in_its_threads_order() {
    const THREADS: usize = 16;
    const LINES: usize = 2000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = open(&path);
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handle, start) = (access_log.clone(), &start);
            scope.spawn(move || {
                start.wait();
                for line in 0..LINES {
                    log(&handle, &format!("{thread} {line}"));
                }
            });
        }
    });
    assert!(access_log.flush_and_stop());
    assert_eq!(access_log.dropped(), 0);
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for id in ids(&path) {
        let (thread, line) = id.split_once(' ').unwrap();
        let expected = next.entry(thread.to_owned()).or_default();
        assert_eq!(line, expected.to_string());
        *expected += 1;
    }
    assert_eq!(next.into_values().collect::<Vec<_>>(), [LINES; THREADS]);
}

/// A log whose reader decides when to read.
fn pipe() -> (io::PipeReader, AccessLog) {
    let (reader, writer) = io::pipe().unwrap();
    let output = Output::unnamed(File::from(OwnedFd::from(writer)));
    let access_log = AccessLog::start_with(output, Format::parse("$request_id").unwrap()).unwrap();
    (reader, access_log)
}

#[test]
fn a_reader_that_stands_still_costs_lines_that_are_counted_but_never_time() {
    let (mut reader, access_log) = pipe();
    let id = "x".repeat(1023);
    // More than the pipe, the writer's batch and the shard together can hold.
    let logged = 4 * SHARD_LIMIT / 1024;
    for _ in 0..logged {
        log(&access_log, &id);
    }
    let dropped = access_log.dropped();
    assert!(dropped > 0);
    assert!(!access_log.flush(Duration::ZERO));

    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert!(access_log.flush(PATIENCE));
    access_log.flush_and_stop();
    assert_eq!(access_log.dropped(), dropped);
    drop(access_log);
    let text = read.join().unwrap();
    assert!(text.lines().all(|line| line == id));
    assert_eq!(text.lines().count() as u64 + dropped, logged as u64);
}

#[test]
fn a_named_pipe_without_a_reader_costs_lines_that_are_counted_but_never_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let access_log = open(&path);
    let id = "x".repeat(1023);
    let logged = 4 * SHARD_LIMIT / 1024;
    for _ in 0..logged {
        log(&access_log, &id);
    }
    assert!(!access_log.flush(Duration::ZERO));
    let dropped = access_log.dropped();
    assert!(dropped > 0);
    assert_eq!(access_log.write_errors(), 0, "nothing is broken");

    // Who comes late reads what has waited. The end of a pipe is told when nobody holds it for writing any more.
    let mut reader = File::open(&path).unwrap();
    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert!(access_log.flush_and_stop());
    drop(access_log);
    let text = read.join().unwrap();
    let is_whole = |line: &str| line.strip_suffix(" curl/8.6.0") == Some(&id);
    assert!(text.lines().all(is_whole));
    assert_eq!(text.lines().count() as u64 + dropped, logged as u64);
}

#[test]
fn a_line_that_fits_no_queue_is_dropped_and_the_next_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = open(&path);
    log(&access_log, &"x".repeat(SHARD_LIMIT));
    assert_eq!(access_log.dropped(), 1);
    log(&access_log, "small");
    assert!(access_log.flush(PATIENCE));
    assert_eq!(ids(&path), ["small"]);
}

#[test]
fn a_full_disk_is_counted_and_what_it_cost_as_well() {
    // Writing to this device fails as if the disk were full.
    let access_log = open(Path::new("/dev/full"));
    log(&access_log, "1");
    log(&access_log, "2");
    assert!(!access_log.flush_and_stop());
    assert!(access_log.write_errors() > 0);
    assert_eq!(access_log.dropped(), 2);
}

#[test]
fn lines_logged_after_the_stop_are_counted_as_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = open(&path);
    log(&access_log, "before");
    assert!(access_log.flush_and_stop());
    log(&access_log, "after");
    assert!(access_log.flush_and_stop());
    assert_eq!(access_log.dropped(), 1);
    assert_eq!(ids(&path), ["before"]);
}

#[test]
fn the_last_handle_lets_the_queue_be_written() {
    let (mut reader, access_log) = pipe();
    log(&access_log, "last words");
    drop(access_log);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words\n");
}
