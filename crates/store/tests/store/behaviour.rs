//! Revisions, conditions, order and expiry: the same with a file and without.

use crate::common::{open, put, route, value};
use serde_json::{Map, Value, json};
use tempfile::{TempDir, tempdir};
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::{Change, Store, StoreError};

fn both() -> [(Store, Option<TempDir>); 2] {
    let directory = tempdir().unwrap();
    [
        (open(directory.path()), Some(directory)),
        (Store::in_memory(), None),
    ]
}

fn delete(key: ObjectKey) -> Change {
    Change::Delete { key }
}

fn put_for(key: ObjectKey, ttl_s: u64) -> Change {
    Change::Put {
        key,
        value: value("x"),
        ttl_s: Some(ttl_s),
    }
}

fn ids(store: &Store, kind: Kind) -> Vec<String> {
    store
        .list(kind)
        .iter()
        .map(|object| object.key.id.clone())
        .collect()
}

#[test]
fn a_store_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Store>();
}

#[test]
fn revisions_begin_at_1_and_each_change_takes_one() {
    for (store, _directory) in both() {
        assert_eq!(store.revision(), 0);
        let applied = store
            .write(
                vec![put(route("1"), "a"), put(route("2"), "b"), put(route("1"), "c")],
                0,
            )
            .unwrap();

        let indexes: Vec<_> = applied
            .iter()
            .map(|applied| {
                applied
                    .after
                    .as_ref()
                    .map(|object| (object.created_index, object.modified_index))
                    .unwrap()
            })
            .collect();
        assert_eq!(indexes, [(1, 1), (2, 2), (1, 3)]);
        assert_eq!(applied[2].before.as_ref().unwrap().value, value("a"));
        assert_eq!(store.get(&route("1")).unwrap().value, value("c"));
        assert_eq!(store.revision(), 3);
    }
}

#[test]
fn the_revision_of_a_deleted_object_is_not_used_again_after_a_restart() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.write(vec![put(route("1"), "a")], 0).unwrap();
    store.write(vec![delete(route("1"))], 0).unwrap();
    drop(store);

    let store = open(directory.path());

    assert_eq!(store.revision(), 2);
    let applied = store.write(vec![put(route("1"), "a")], 0).unwrap();
    assert_eq!(applied[0].after.as_ref().unwrap().created_index, 3);
}

#[test]
fn deleting_what_is_not_there_is_no_change() {
    for (store, _directory) in both() {
        let applied = store.write(vec![delete(route("1"))], 0).unwrap();

        assert!(applied[0].key == route("1") && applied[0].before.is_none() && applied[0].after.is_none());
        assert_eq!(store.revision(), 0);
    }
}

#[test]
fn a_conditional_write_happens_only_if_nobody_else_wrote() {
    for (store, _directory) in both() {
        store
            .write_if(&[(route("1"), None)], vec![put(route("1"), "a")], 0)
            .unwrap();
        store
            .write_if(&[(route("1"), Some(1))], vec![put(route("1"), "b")], 0)
            .unwrap();

        for (expected, found) in [(Some(1), Some(2)), (None, Some(2))] {
            let changes = vec![put(route("2"), "x"), delete(route("1"))];
            let error = store.write_if(&[(route("1"), expected)], changes, 0).unwrap_err();
            let StoreError::Changed {
                key,
                expected: saw,
                found: is,
            } = error
            else {
                panic!("{error:?}")
            };
            assert_eq!((key, saw, is), (route("1"), expected, found));
        }
        let error = store
            .write_if(&[(route("3"), Some(1))], vec![put(route("3"), "x")], 0)
            .unwrap_err();
        assert!(
            matches!(error, StoreError::Changed { found: None, .. }),
            "{error:?}"
        );
        assert_eq!(
            (store.revision(), ids(&store, Kind::Route)),
            (2, vec!["1".to_owned()])
        );
    }
}

#[test]
fn of_many_writers_that_saw_the_same_revision_one_wins() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());

    let won = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    store.write_if(
                        &[(route("1"), None)],
                        vec![put(route("1"), &writer.to_string())],
                        0,
                    )
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap().is_ok())
            .filter(|won| *won)
            .count()
    });

    assert_eq!((won, store.revision()), (1, 1));
}

#[test]
fn lists_are_in_the_order_of_creation_and_all_in_the_order_of_kinds() {
    for (store, _directory) in both() {
        let upstream = ObjectKey::new(Kind::Upstream, "u");
        for key in [route("b"), route("a"), upstream, route("c"), route("b")] {
            store.write(vec![put(key, "x")], 0).unwrap();
        }

        assert_eq!(ids(&store, Kind::Route), ["b", "a", "c"]);
        let all: Vec<_> = store.all().iter().map(|object| object.key.id.clone()).collect();
        assert_eq!(all, ["u", "b", "a", "c"]);
    }
}

#[test]
fn credentials_are_those_of_exactly_this_consumer() {
    for (store, _directory) in both() {
        for (username, id) in [("jack", "2"), ("jack", "1"), ("jackson", "1"), ("jac", "1")] {
            store
                .write(vec![put(ObjectKey::credential(username, id), "x")], 0)
                .unwrap();
        }

        let found: Vec<_> = store
            .credentials_of("jack")
            .iter()
            .map(|object| object.key.id.clone())
            .collect();

        assert_eq!(found, ["jack/credentials/2", "jack/credentials/1"]);
        assert!(store.credentials_of("ja").is_empty());
    }
}

#[test]
fn an_object_expires_in_the_second_its_time_to_live_ends() {
    for (store, _directory) in both() {
        store
            .write(
                vec![
                    put_for(route("late"), 20),
                    put_for(route("soon"), 10),
                    put(route("stays"), "x"),
                ],
                100,
            )
            .unwrap();

        assert_eq!(store.next_expiry_s(), Some(110));
        assert_eq!(store.expired(109), []);
        assert_eq!(store.expired(110), [route("soon")]);
        assert_eq!(store.expired(120), [route("soon"), route("late")]);
        assert!(
            store.get(&route("soon")).is_some(),
            "it is the caller who deletes"
        );

        store
            .write(vec![delete(route("soon")), put(route("late"), "now stays")], 111)
            .unwrap();
        assert_eq!(
            (store.next_expiry_s(), store.expired(u64::MAX)),
            (None, Vec::new())
        );
    }
}

#[test]
fn a_time_to_live_beyond_all_time_is_for_ever() {
    for (store, _directory) in both() {
        store.write(vec![put_for(route("1"), u64::MAX)], 100).unwrap();

        assert_eq!(store.next_expiry_s(), None);
    }
}

#[test]
fn times_to_live_go_on_over_a_restart_and_what_expired_meanwhile_is_gone() {
    let directory = tempdir().unwrap();
    open(directory.path())
        .write(vec![put_for(route("soon"), 10), put_for(route("late"), 20)], 100)
        .unwrap();

    let store = Store::open(directory.path(), &crate::common::key(), 110).unwrap();

    assert_eq!(ids(&store, Kind::Route), ["late"]);
    assert_eq!(store.next_expiry_s(), Some(120));
    assert_eq!(store.revision(), 3, "the delete is a change like others");
    drop(store);
    assert_eq!(
        ids(&open(directory.path()), Kind::Route),
        ["late"],
        "it is gone from the file too"
    );
}

#[test]
fn every_json_value_is_the_same_after_a_restart() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    let value = json!({
        "": null, "deep": nested(120), "text": "\u{0}\"\\ \u{10ffff}", "numbers": [0, -1, u64::MAX, i64::MIN, 0.1, 1e300, -0.0,
        1.7976931348623157e308, 123456789.12345678], "empty": [{}, []], "true": true,
    });
    let Value::Object(value) = value else {
        unreachable!()
    };
    let change = Change::Put {
        key: route("1"),
        value,
        ttl_s: None,
    };
    let before = store.write(vec![change], 0).unwrap().remove(0).after.unwrap();
    drop(store);

    assert!(open(directory.path()).get(&route("1")).unwrap() == before);
}

#[test]
fn a_value_that_could_not_be_read_back_is_refused_with_the_whole_write() {
    for (store, _directory) in both() {
        let mut value = Map::new();
        value.insert("deep".to_owned(), nested(200));
        let deep = Change::Put {
            key: route("deep"),
            value,
            ttl_s: None,
        };

        let error = store.write(vec![put(route("1"), "x"), deep], 0).unwrap_err();

        assert!(
            matches!(&error, StoreError::TooDeep { key } if *key == route("deep")),
            "{error:?}"
        );
        assert_eq!((store.revision(), store.all().len()), (0, 0));
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |value, _| json!([value]))
}
