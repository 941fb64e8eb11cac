//! Any sequence of writes and restarts leaves what a plain map would hold.

use std::collections::BTreeMap;

use crate::common::{open, value};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::tempdir;
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::{Change, Store};

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(ObjectKey, Option<String>)>),
    Reopen,
}

/// Value, revision of creation, revision of the last change.
type Model = BTreeMap<ObjectKey, (String, u64, u64)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_holds_what_a_map_would_hold(steps in vec(step(), 1..24)) {
        let directory = tempdir().unwrap();
        let mut store = open(directory.path());
        let memory = Store::in_memory();
        let mut model = Model::new();
        let mut revision = 0;
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(store);
                    store = open(directory.path());
                }
                Step::Write(changes) => {
                    let applied = store.write(changes.iter().map(change).collect(), 0).unwrap();
                    memory.write(changes.iter().map(change).collect(), 0).unwrap();
                    prop_assert_eq!(applied.len(), changes.len());
                    for ((key, text), applied) in changes.into_iter().zip(applied) {
                        prop_assert_eq!(&applied.key, &key);
                        prop_assert_eq!(applied.before.map(|object| object.modified_index), model.get(&key).map(|entry| entry.2));
                        if let Some(text) = text {
                            revision += 1;
                            let created = model.get(&key).map_or(revision, |entry| entry.1);
                            model.insert(key, (text, created, revision));
                            let after = applied.after.unwrap();
                            prop_assert_eq!((after.created_index, after.modified_index), (created, revision));
                        } else {
                            revision += u64::from(model.remove(&key).is_some());
                            prop_assert!(applied.after.is_none());
                        }
                    }
                }
            }
            prop_assert_eq!(store.revision(), revision);
            prop_assert_eq!(contents(&store), model.clone());
            prop_assert_eq!(contents(&memory), model.clone());
            for kind in Kind::ALL {
                let created: Vec<_> = store.list(kind).iter().map(|object| object.created_index).collect();
                prop_assert!(created.is_sorted());
            }
        }
    }
}

fn contents(store: &Store) -> Model {
    let entry = |object: std::sync::Arc<tollgate_resources::objects::Object>| {
        let text = object.value["desc"].as_str().unwrap().to_owned();
        (
            object.key.clone(),
            (text, object.created_index, object.modified_index),
        )
    };
    store.all().into_iter().map(entry).collect()
}

fn change((key, text): &(ObjectKey, Option<String>)) -> Change {
    let key = key.clone();
    match text {
        Some(text) => Change::Put {
            key,
            value: value(text),
            ttl_s: None,
        },
        None => Change::Delete { key },
    }
}

fn step() -> impl Strategy<Value = Step> {
    let one = (object_key(), prop::option::weighted(0.6, "\\PC{0,12}"));
    prop_oneof![
        4 => vec(one, 0..5).prop_map(Step::Write),
        1 => Just(Step::Reopen),
    ]
}

/// Few keys, so that they are hit again and again, and ids that look like parts of others.
fn object_key() -> impl Strategy<Value = ObjectKey> {
    let kind = prop::sample::select(&Kind::ALL[..]);
    let id = prop::sample::select(&["1", "1/credentials/1", "10", "ö/ /\u{0}"][..]);
    (kind, id).prop_map(|(kind, id)| ObjectKey::new(kind, id))
}
