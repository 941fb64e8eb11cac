//! What the store tells of the past: entries, versions, records of others.

use tempfile::tempdir;
use tollgate_store::{Applied, Change, Notes, Retention, Store};

use crate::common::{open, put, route};

fn write(store: &Store, time_s: u64, text: &str, changes: Vec<Change>) {
    let tell = |applied: &[Applied]| Notes {
        time_s,
        entry: format!("{text} of {}", applied.len()),
        version: text.to_owned(),
    };
    store.write_told(&[], changes, 0, tell).unwrap();
}

fn texts(store: &Store, below: Option<u64>, limit: u64) -> Vec<(u64, String)> {
    let entries = store.log(below, limit).unwrap();
    entries
        .into_iter()
        .map(|(seq, entry)| (seq, entry.unwrap().text))
        .collect()
}

/// The objects that differ as of a version from what they are now, and their `desc` then.
fn then(store: &Store, number: u64) -> Option<Vec<(String, Option<String>)>> {
    let earlier = store.since(number).unwrap()?;
    let then = earlier.into_iter().map(|earlier| {
        let desc = earlier
            .object
            .map(|object| object.value["desc"].as_str().unwrap().to_owned());
        (earlier.key.id, desc)
    });
    Some(then.collect())
}

fn delete(id: &str) -> Change {
    Change::Delete { key: route(id) }
}

/// The same in a file and in memory.
fn both(check: impl Fn(&Store)) {
    let directory = tempdir().unwrap();
    check(&open(directory.path()));
    check(&Store::in_memory());
}

#[test]
fn each_write_is_an_entry_and_a_version_and_what_changes_nothing_is_neither() {
    both(|store| {
        write(
            store,
            10,
            "first",
            vec![put(route("1"), "a"), put(route("2"), "b")],
        );
        write(store, 11, "nothing", vec![delete("3")]);
        write(store, 12, "second", vec![put(route("1"), "c"), delete("2")]);
        store.tell(13, "somebody came".to_owned()).unwrap();
        assert_eq!(
            texts(store, None, 10),
            [
                (3, "somebody came".to_owned()),
                (2, "second of 2".to_owned()),
                (1, "first of 2".to_owned())
            ]
        );
        assert_eq!(texts(store, Some(3), 1), [(2, "second of 2".to_owned())]);
        assert_eq!(texts(store, Some(1), 1), []);
        assert_eq!(store.versions(), Some((1, 2)));
        let (version, _) = store.version(2).unwrap().unwrap();
        assert_eq!(
            (version.seq, version.time_s, version.text.as_str()),
            (2, 12, "second")
        );
        assert_eq!(version.objects, [route("1"), route("2")]);
        assert!(store.version(3).unwrap().is_none());
        let verified = store.verify().unwrap();
        assert_eq!((verified.entries, verified.broken_at), (3, None));
    });
}

#[test]
fn the_configuration_as_of_any_version_can_be_read() {
    both(|store| {
        write(store, 1, "", vec![put(route("1"), "a")]);
        write(store, 2, "", vec![put(route("1"), "b"), put(route("2"), "x")]);
        write(store, 3, "", vec![delete("1")]);
        let some = |id: &str, desc: Option<&str>| (id.to_owned(), desc.map(str::to_owned));
        assert_eq!(then(store, 3), Some(vec![]));
        assert_eq!(then(store, 2), Some(vec![some("1", Some("b"))]));
        assert_eq!(then(store, 1), Some(vec![some("1", Some("a")), some("2", None)]));
        assert_eq!(then(store, 0), Some(vec![some("1", None), some("2", None)]));
        assert_eq!(then(store, 4), None);
    });
}

#[test]
fn the_past_is_there_after_a_restart() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    write(&store, 1, "first", vec![put(route("1"), "a")]);
    store
        .keep(
            Some((2, "sign in".to_owned())),
            vec![("session/a".to_owned(), Some(b"ann".to_vec()))],
        )
        .unwrap();
    let before = (store.log(None, 10).unwrap(), store.versions(), then(&store, 0));
    drop(store);
    let store = open(directory.path());
    assert_eq!(
        (store.log(None, 10).unwrap(), store.versions(), then(&store, 0)),
        before
    );
    let kept = store.kept("session/");
    assert_eq!((kept.len(), kept[0].1.as_slice()), (1, b"ann".as_slice()));
    store.keep(None, vec![("session/a".to_owned(), None)]).unwrap();
    write(&store, 3, "second", vec![put(route("1"), "b")]);
    drop(store);
    let store = open(directory.path());
    assert!(store.kept("").is_empty());
    let verified = store.verify().unwrap();
    assert_eq!((verified.entries, verified.broken_at), (3, None));
}

#[test]
fn what_is_old_goes_and_what_stays_can_be_verified() {
    both(|store| {
        store.retain(Retention {
            entries: 3,
            entries_s: 100,
            versions: 2,
            ..Retention::default()
        });
        for number in 1..=9 {
            write(
                store,
                number,
                &format!("write {number}"),
                vec![put(route("1"), &number.to_string())],
            );
        }
        let seqs = |store: &Store| -> Vec<u64> {
            store
                .log(None, 10)
                .unwrap()
                .into_iter()
                .map(|(seq, _)| seq)
                .collect()
        };
        assert_eq!(seqs(store), [9, 8, 7]);
        assert_eq!(store.versions(), Some((8, 9)));
        assert_eq!(then(store, 7).unwrap()[0].1.as_deref(), Some("7"));
        assert_eq!(then(store, 6), None);
        let verified = store.verify().unwrap();
        assert_eq!(
            (verified.anchor.seq, verified.entries, verified.broken_at),
            (6, 3, None)
        );
        // Of 8 and 9 one is beyond its time.
        store.tell(109, "later".to_owned()).unwrap();
        assert_eq!(seqs(store), [10, 9]);
        assert_eq!(store.verify().unwrap().broken_at, None);
    });
}

#[test]
fn versions_take_no_more_than_their_room() {
    let store = Store::in_memory();
    store.retain(Retention {
        version_bytes: 10_000,
        ..Retention::default()
    });
    for number in 0..20 {
        write(&store, number, "", vec![put(route("1"), &"x".repeat(3000))]);
    }
    // What was before the last three fits.
    assert_eq!(store.versions(), Some((18, 20)));
}

#[test]
fn objects_that_ended_while_nobody_ran_are_told_of() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    let Change::Put { key, value, .. } = put(route("short"), "x") else {
        return;
    };
    let ttl_s = Some(10);
    store.write(vec![Change::Put { key, value, ttl_s }], 100).unwrap();
    drop(store);
    let store = Store::open(directory.path(), &crate::common::key(), 110).unwrap();
    let (_, newest) = store.log(None, 1).unwrap().remove(0);
    let text = newest.unwrap().text;
    assert!(
        text.contains("\"action\":\"expire\"") && text.contains("routes/short"),
        "{text}"
    );
}
