//! The process is killed while it keeps conversations, and every turn it acknowledged is there, with all turns before it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::tempdir;
use tollgate_store::responses::{Reach, Record, ResponseStore, Settings};

use crate::common::key;

/// Raise it to look harder.
const KILLS: u64 = 20;
const DIRECTORY: &str = "TOLLGATE_RESPONSES_CRASH_DIRECTORY";
const REACH: Reach = Reach {
    max_records: 100_000,
    max_bytes: usize::MAX,
};

#[tokio::test]
async fn every_acknowledged_turn_survives_kill_9() {
    let lasting = tempdir().unwrap();
    for kill in 0..KILLS {
        // Every other time a new store, so that its creation is hit as well.
        let new = tempdir().unwrap();
        let directory = if kill % 2 == 0 { new.path() } else { lasting.path() };
        let last = write_and_kill(directory, kill * 3 % 40);
        let store = open(directory);
        if let Some(last) = last {
            let chain = store.chain("a", &last.to_string(), REACH).await.unwrap();
            let numbers: Vec<u64> = chain.iter().map(|(id, _)| id.parse().unwrap()).collect();
            assert_eq!(numbers, (0..=last).collect::<Vec<u64>>());
            assert!(chain.iter().all(|(id, record)| record.body == body(id)));
        }
    }
}

/// The process that is killed: it is this test, started by the other one with a directory. On its own it does nothing.
#[tokio::test]
async fn keep_turns_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let mut out = std::io::stdout();
    writeln!(out, "\nstarted").unwrap();
    let store = open(Path::new(&directory));
    let mut number = 0_u64;
    while store.get("a", &number.to_string()).await.unwrap().is_some() {
        number += 1;
    }
    loop {
        let id = number.to_string();
        let record = Record {
            previous: number.checked_sub(1).map(|previous| previous.to_string()),
            body: body(&id),
        };
        store.put("a", vec![(id, record)], &[]).await.unwrap();
        writeln!(out, "acknowledged {number}").unwrap();
        number += 1;
    }
}

fn body(id: &str) -> Vec<u8> {
    let number: usize = id.parse().unwrap();
    id.repeat(1 + number * 997 % 3_000).into_bytes()
}

fn open(directory: &Path) -> ResponseStore {
    let settings = Settings {
        ttl_s: 1000,
        max_record_bytes: 1_000_000,
        max_bytes: 1_000_000_000,
        clock: Arc::new(|| 1_000_000),
        observer: Arc::new(()),
    };
    ResponseStore::open(directory, key(), settings).unwrap()
}

/// Returns the last turn that the process acknowledged before it died.
fn write_and_kill(directory: &Path, after: u64) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "responses_crash::keep_turns_until_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut acknowledged, mut last) = (0, None);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["acknowledged", number] => {
                acknowledged += 1;
                last = Some(number.parse().unwrap());
            }
            ["started"] => {}
            _ => continue,
        }
        // On Unix this is SIGKILL. What is in the pipe by then was acknowledged too, so reading goes on to the end.
        if acknowledged >= after {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "it died on its own: {status}"
    );
    last
}
