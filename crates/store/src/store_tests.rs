//! A disk that fails: at every single operation of a write, once or for a while.

use serde_json::{Map, Value, json};
use tempfile::tempdir;

use super::*;
use crate::faulty::{faulty_database, refuse, refused_operations};

#[test]
fn a_write_that_the_disk_refuses_once_changes_nothing_and_the_next_one_works() {
    for refused in 1..=refusable_operations() {
        let directory = tempdir().unwrap();
        let store = open(directory.path());
        let before = seed(&store);
        let logged = log(&store);

        refuse(refused, 1);
        let error = store.write(changes(), 0).unwrap_err();
        refuse(0, 0);

        assert!(
            matches!(error, StoreError::Io { .. }),
            "operation {refused}: {error:?}"
        );
        assert!(contents(&store) == before, "operation {refused}");
        assert_eq!(log(&store), logged, "operation {refused}");
        drop(store);
        let store = open(directory.path());
        assert!(contents(&store) == before, "operation {refused}, reopened");
        assert_eq!(log(&store), logged, "operation {refused}, reopened");
        assert_next_write_takes_unused_revisions(&store, &before);
    }
}

#[test]
fn a_store_goes_on_without_a_restart_when_the_disk_works_again() {
    for refused in 1..=refusable_operations() {
        let directory = tempdir().unwrap();
        let store = open(directory.path());
        let before = seed(&store);

        refuse(refused, u64::MAX);
        assert!(store.write(changes(), 0).is_err(), "operation {refused}");
        assert!(
            store.write(changes(), 0).is_err(),
            "operation {refused}, still broken"
        );
        assert!(contents(&store) == before, "operation {refused}");
        refuse(0, 0);

        assert_next_write_takes_unused_revisions(&store, &before);
        assert_eq!(log(&store).0, 2, "operation {refused}: an entry for each write");
        let after = contents(&store);
        drop(store);
        assert!(
            contents(&open(directory.path())) == after,
            "operation {refused}, reopened"
        );
    }
}

#[test]
fn expired_objects_stay_gone_when_the_disk_refuses_to_delete_them() {
    let directory = tempdir().unwrap();
    let key = ObjectKey::new(Kind::Route, "short");
    let store = open(directory.path());
    let put = Change::Put {
        key: key.clone(),
        value: Map::new(),
        ttl_s: Some(10),
    };
    store.write(vec![put], 100).unwrap();
    drop(store);

    let (file, index, history) =
        StoreFile::open_with(directory.path(), &store_key(), faulty_database).unwrap();
    let store = Store::new(Some(file), index, history);
    refuse(1, u64::MAX);
    store.delete_expired(110);
    refuse(0, 0);

    assert!(store.get(&key).is_none());
    assert_eq!(store.next_expiry_s(), None);
}

/// How many operations of the write of `changes` the disk can refuse.
fn refusable_operations() -> u64 {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    seed(&store);
    let operations = refused_operations(|| {
        store.write(changes(), 0).unwrap();
    });
    assert!(operations >= 2, "a durable write writes and syncs: {operations}");
    operations
}

fn open(directory: &Path) -> Store {
    let (file, index, history) = StoreFile::open_with(directory, &store_key(), faulty_database).unwrap();
    Store::new(Some(file), index, history)
}

fn store_key() -> StoreKey {
    StoreKey::parse(&"5a".repeat(32)).unwrap()
}

fn seed(store: &Store) -> Vec<(ObjectKey, Map<String, Value>, u64)> {
    store
        .write(vec![put("kept", 1), put("replaced", 1), put("deleted", 1)], 0)
        .unwrap();
    contents(store)
}

/// More than one page, so that the file grows and the tree changes.
fn changes() -> Vec<Change> {
    let delete = Change::Delete {
        key: ObjectKey::new(Kind::Route, "deleted"),
    };
    let mut changes = vec![put("replaced", 2), delete];
    changes.extend((0..4).map(|number| put(&format!("new-{number}"), 100_000)));
    changes
}

fn put(id: &str, length: usize) -> Change {
    let Value::Object(value) = json!({ "id": id, "desc": "x".repeat(length) }) else {
        unreachable!()
    };
    Change::Put {
        key: ObjectKey::new(Kind::Route, id),
        value,
        ttl_s: None,
    }
}

fn contents(store: &Store) -> Vec<(ObjectKey, Map<String, Value>, u64)> {
    let all = store.all();
    all.iter()
        .map(|object| (object.key.clone(), object.value.clone(), object.modified_index))
        .collect()
}

/// How many entries and versions there are, and whether the log is whole.
fn log(store: &Store) -> (u64, Option<(u64, u64)>, Option<u64>) {
    let verified = store.verify().unwrap();
    (verified.entries, store.versions(), verified.broken_at)
}

fn assert_next_write_takes_unused_revisions(store: &Store, before: &[(ObjectKey, Map<String, Value>, u64)]) {
    let applied = store.write(changes(), 0).unwrap();
    let first = applied.first().and_then(|applied| applied.after.clone()).unwrap();
    assert!(
        before
            .iter()
            .all(|(_, _, revision)| *revision < first.modified_index)
    );
    assert_eq!(store.list(Kind::Route).len(), 6);
}
