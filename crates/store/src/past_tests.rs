//! Somebody who has the store's key and changes its file is found out.

use std::fs::OpenOptions;
use std::path::Path;

use redb::{Database, ReadableDatabase};
use serde_json::{Map, json};
use tempfile::tempdir;
use tollgate_resources::objects::{Kind, ObjectKey};

use super::*;
use crate::cipher::Cipher;
use crate::database::{set_format, transact};
use crate::past::{LOG, entry_context};

fn key() -> StoreKey {
    StoreKey::parse(&"5a".repeat(32)).unwrap()
}

fn put(id: &str) -> Change {
    let mut value = Map::new();
    value.insert("id".to_owned(), json!(id));
    Change::Put {
        key: ObjectKey::new(Kind::Route, id),
        value,
        ttl_s: None,
    }
}

/// A store with five entries.
fn seed(directory: &Path) {
    let store = Store::open(directory, &key(), 0).unwrap();
    for id in ["1", "2", "3", "4", "5"] {
        store.write(vec![put(id)], 0).unwrap();
    }
}

fn database(directory: &Path) -> Database {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join("tollgate.db"))
        .unwrap();
    Database::builder().create_file(file).unwrap()
}

/// Changes the log as its file's owner could, and says where the store finds it broken.
fn broken_at(change: impl Fn(&mut Vec<Option<Logged>>)) -> Option<u64> {
    let directory = tempdir().unwrap();
    seed(directory.path());
    let cipher = Cipher::new(&key()).unwrap();
    {
        let database = database(directory.path());
        let mut entries: Vec<_> = past::entries(&database, &cipher, 1..=5)
            .unwrap()
            .into_iter()
            .map(|(_, entry)| entry)
            .collect();
        change(&mut entries);
        transact(&database, |transaction| {
            let mut log = transaction.open_table(LOG)?;
            for (place, entry) in entries.iter().enumerate() {
                let seq = place as u64 + 1;
                match entry {
                    Some(entry) => {
                        let sealed = cipher.seal(&entry_context(seq), &entry.encode()).unwrap();
                        log.insert(seq, sealed.as_slice())?;
                    }
                    None => {
                        log.remove(seq)?;
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    }
    let store = Store::open(directory.path(), &key(), 0).unwrap();
    let verified = store.verify().unwrap();
    // Nothing else of the store suffers.
    assert_eq!(store.list(Kind::Route).len(), 5);
    store.write(vec![put("6")], 0).unwrap();
    assert_eq!(
        store.verify().unwrap().broken_at.is_some(),
        verified.broken_at.is_some()
    );
    verified.broken_at
}

fn again(entry: &Logged, text: &str) -> Logged {
    let before = Place {
        seq: entry.seq - 1,
        hash: entry.previous,
    };
    Logged::after(before, entry.time_s, text.to_owned())
}

#[test]
fn whoever_changes_removes_or_reorders_an_entry_is_found_out_even_with_the_key() {
    assert_eq!(broken_at(|_| {}), None);
    // The text alone; the time alone.
    assert_eq!(
        broken_at(|log| log[2].as_mut().unwrap().text = "nothing".to_owned()),
        Some(3)
    );
    assert_eq!(broken_at(|log| log[2].as_mut().unwrap().time_s += 1), Some(3));
    // The text with its hash: the next one does not follow. That of the last one: it is not the head.
    assert_eq!(
        broken_at(|log| log[2] = Some(again(log[2].as_ref().unwrap(), "nothing"))),
        Some(4)
    );
    assert_eq!(
        broken_at(|log| log[4] = Some(again(log[4].as_ref().unwrap(), "nothing"))),
        Some(5)
    );
    // The first, one in the middle, the last.
    for place in [0, 2, 4] {
        assert_eq!(broken_at(|log| log[place] = None), Some(place as u64 + 1));
    }
    assert_eq!(broken_at(|log| log.swap(1, 2)), Some(2));
    assert_eq!(
        broken_at(|log| {
            log[1] = log[2].clone();
            log[2] = log[3].clone();
            log[3] = None;
        }),
        Some(2)
    );
}

#[test]
fn a_store_of_an_earlier_release_opens_and_has_a_past_from_then_on() {
    let directory = tempdir().unwrap();
    seed(directory.path());
    let database = database(directory.path());
    transact(&database, |transaction| {
        for name in ["audit", "versions"] {
            transaction.delete_table(redb::TableDefinition::<u64, &[u8]>::new(name))?;
        }
        for name in ["kept", "audit_places"] {
            transaction.delete_table(redb::TableDefinition::<&str, &[u8]>::new(name))?;
        }
        set_format(transaction, 1)
    })
    .unwrap();
    assert!(database.begin_read().unwrap().open_table(LOG).is_err());
    drop(database);

    let store = Store::open(directory.path(), &key(), 0).unwrap();
    assert_eq!(store.list(Kind::Route).len(), 5);
    assert_eq!((store.versions(), store.log_ends().1), (None, Place::default()));
    store.write(vec![put("6")], 0).unwrap();
    drop(store);
    let store = Store::open(directory.path(), &key(), 0).unwrap();
    assert_eq!(store.versions(), Some((1, 1)));
    assert_eq!(store.since(0).unwrap().unwrap().len(), 1);
    assert_eq!(store.verify().unwrap().entries, 1);
}
