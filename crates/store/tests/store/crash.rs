//! The process is killed in the middle of writing, and what it acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{open, put, route};
use serde_json::{Map, json};
use tempfile::tempdir;
use tollgate_resources::objects::Kind;
use tollgate_store::{Applied, Change, Notes, Store};

/// Raise it to look harder.
const KILLS: u64 = 50;
/// At most so many writes are acknowledged before a kill.
const ACKNOWLEDGED_AT_MOST: u64 = 40;
const DIRECTORY: &str = "TOLLGATE_STORE_CRASH_DIRECTORY";

#[test]
fn every_acknowledged_write_survives_kill_9() {
    let lasting = tempdir().unwrap();
    for kill in 0..KILLS {
        // Every other time a new store, so that its creation is hit as well.
        let new = tempdir().unwrap();
        let directory = if kill % 2 == 0 { new.path() } else { lasting.path() };
        let acknowledged = write_and_kill(directory, random(ACKNOWLEDGED_AT_MOST));
        check(directory, &acknowledged);
    }
}

/// The process that is killed: it is this test, started by the other one with a directory. On its own it does nothing.
#[test]
fn write_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nstarted").unwrap();
    let store = open(Path::new(&directory));
    for number in first_free(&store).. {
        let tell = |_: &[Applied]| Notes {
            time_s: number,
            entry: format!("write {number}"),
            version: String::new(),
        };
        let applied = store.write_told(&[], changes(number), 0, tell).unwrap();
        let revision = applied
            .last()
            .and_then(|applied| applied.after.clone())
            .unwrap()
            .modified_index;
        writeln!(out, "acknowledged {number} {revision}").unwrap();
    }
}

/// Two objects of one number in one write, and the pair of ten numbers before goes.
fn changes(number: u64) -> Vec<Change> {
    let mut value = Map::new();
    value.insert("number".to_owned(), json!(number));
    value.insert(
        "filler".to_owned(),
        json!("x".repeat((number * 997 % 9_000) as usize)),
    );
    let mut changes = Vec::new();
    if let Some(old) = number.checked_sub(10) {
        changes.push(Change::Delete {
            key: route(&format!("a-{old}")),
        });
        changes.push(Change::Delete {
            key: route(&format!("b-{old}")),
        });
    }
    for id in [format!("a-{number}"), format!("b-{number}")] {
        changes.push(Change::Put {
            key: route(&id),
            value: value.clone(),
            ttl_s: None,
        });
    }
    changes
}

/// Returns the numbers and revisions that the process acknowledged before it died.
fn write_and_kill(directory: &Path, after: u64) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::write_until_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["acknowledged", number, revision] => {
                acknowledged.push((number.parse().unwrap(), revision.parse().unwrap()));
            }
            ["started"] => {}
            _ => continue,
        }
        // On Unix this is SIGKILL. What is in the pipe by then was acknowledged too, so reading goes on to the end.
        if acknowledged.len() as u64 >= after {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "it died on its own: {status}"
    );
    acknowledged
}

fn check(directory: &Path, acknowledged: &[(u64, u64)]) {
    let store = open(directory);
    let end = first_free(&store);
    if let Some((last, revision)) = acknowledged.last() {
        // The write that was under way when the kill came may be there too, but whole.
        assert!(
            end == last + 1 || end == last + 2,
            "acknowledged up to {last}, found up to {end}"
        );
        assert!(store.revision() >= *revision);
    }
    for (number, revision) in acknowledged {
        let object = store.get(&route(&format!("b-{number}")));
        match object {
            Some(object) => assert_eq!(
                (object.modified_index, &object.value["number"]),
                (*revision, &json!(number))
            ),
            None => assert!(number + 10 < end, "the acknowledged {number} is not there"),
        }
    }
    let mut expected: Vec<_> = (end.saturating_sub(10)..end)
        .flat_map(|n| [format!("a-{n}"), format!("b-{n}")])
        .collect();
    let mut found: Vec<_> = store
        .list(Kind::Route)
        .iter()
        .map(|object| object.key.id.clone())
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "a write is there in part");

    let entries: Vec<_> = store
        .log(None, u64::MAX)
        .unwrap()
        .into_iter()
        .map(|(_, entry)| entry.unwrap().text)
        .filter(|text| text.starts_with("write "))
        .collect();
    let expected: Vec<_> = (0..end).rev().map(|number| format!("write {number}")).collect();
    assert_eq!(
        entries, expected,
        "each write has its entry, and no entry is without a write"
    );
    assert_eq!(store.verify().unwrap().broken_at, None);
    let versions = store.versions().map_or(0, |(_, last)| last);
    assert_eq!(versions, store.log_ends().1.seq, "each write has made a version");

    let newest = store
        .all()
        .iter()
        .map(|object| object.modified_index)
        .max()
        .unwrap_or(0);
    let applied = store
        .write(
            vec![put(route("after"), "x"), Change::Delete { key: route("after") }],
            0,
        )
        .unwrap();
    assert!(applied[0].after.as_ref().unwrap().modified_index > newest);
}

/// The number after the newest in the store.
fn first_free(store: &Store) -> u64 {
    let numbers = store
        .list(Kind::Route)
        .into_iter()
        .map(|object| object.value["number"].as_u64().unwrap());
    numbers.max().map_or(0, |newest| newest + 1)
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}
