//! What is the same in all homes.

use super::*;

/// Runs a check against a store in each home.
macro_rules! in_every_home {
    ($($name:ident)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let world = World::new();
                let store = ResponseStore::in_memory(world.settings());
                super::$name(&store, &world).await;
            })*
        }
        mod embedded {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let (world, directory) = (World::new(), tempdir().unwrap());
                let store = in_file(&directory, world.settings());
                super::$name(&store, &world).await;
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let (world, server) = (World::new(), RedisServer::start(&[]));
                let store = in_redis(&server, Some(key()), world.settings());
                super::$name(&store, &world).await;
            })*
        }
    };
}

in_every_home! {
    what_was_put_is_found_by_its_owner_only
    a_chain_is_told_from_its_first_record_to_its_last
    a_chain_without_one_of_its_records_names_it
    what_waits_to_be_written_is_found_already
    a_deleted_record_is_gone_also_if_it_was_just_remembered
    a_record_put_again_replaces_the_one_before
    many_at_once_lose_nothing
    a_record_that_is_too_large_is_refused_with_all_beside_it
}

async fn what_was_put_is_found_by_its_owner_only(store: &ResponseStore, world: &World) {
    store.put("a", one("resp_1", None, "mine"), &[]).await.unwrap();
    assert_eq!(body(store, "a", "resp_1").await.as_deref(), Some("mine"));
    assert_eq!(body(store, "b", "resp_1").await, None);
    assert_eq!(body(store, "", "resp_1").await, None);
    assert_eq!(body(store, "a", "resp_2").await, None);
    assert!(!store.delete("b", "resp_1").await.unwrap());
    assert_eq!(body(store, "a", "resp_1").await.as_deref(), Some("mine"));
    assert!(store.delete("a", "resp_1").await.unwrap());
    assert!(!store.delete("a", "resp_1").await.unwrap());
    assert_eq!(body(store, "a", "resp_1").await, None);
    assert_eq!(world.told().kept, 1);
    assert_eq!(world.told().refused, []);
}

async fn a_chain_is_told_from_its_first_record_to_its_last(store: &ResponseStore, _: &World) {
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    store.put("a", one("2", Some("1"), "two"), &[]).await.unwrap();
    store.put("a", one("3", Some("2"), "three"), &[]).await.unwrap();
    // Another way on from the same turn.
    store.put("a", one("3b", Some("2"), "other"), &[]).await.unwrap();
    assert_eq!(bodies(store, "a", "3").await, ["one", "two", "three"]);
    assert_eq!(bodies(store, "a", "3b").await, ["one", "two", "other"]);
    assert_eq!(bodies(store, "a", "1").await, ["one"]);
    let foreign = store.chain("b", "3", REACH).await;
    assert!(matches!(foreign, Err(ChainError::Missing { id }) if id == "3"));

    let short = |max_records, max_bytes| Reach {
        max_records,
        max_bytes,
    };
    assert_eq!(store.chain("a", "3", short(3, 11)).await.unwrap().len(), 3);
    let long = store.chain("a", "3", short(2, 11)).await;
    assert!(matches!(long, Err(ChainError::TooLong(2))));
    let large = store.chain("a", "3", short(3, 10)).await;
    assert!(matches!(large, Err(ChainError::TooLarge(10))));
}

async fn a_chain_without_one_of_its_records_names_it(store: &ResponseStore, _: &World) {
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    store.put("a", one("2", Some("1"), "two"), &[]).await.unwrap();
    store.put("a", one("3", Some("2"), "three"), &[]).await.unwrap();
    store.delete("a", "2").await.unwrap();
    let broken = store.chain("a", "3", REACH).await;
    assert!(matches!(broken, Err(ChainError::Missing { id }) if id == "2"));
    assert_eq!(bodies(store, "a", "1").await, ["one"]);
    // A record that names itself leads nowhere.
    store.put("a", one("1", Some("1"), "one"), &[]).await.unwrap();
    let endless = store.chain("a", "1", REACH).await;
    assert!(matches!(endless, Err(ChainError::TooLong(_))));
}

async fn what_waits_to_be_written_is_found_already(store: &ResponseStore, _: &World) {
    for number in 0..50 {
        let (id, previous) = (number.to_string(), (number - 1).to_string());
        let previous = (number > 0).then_some(previous.as_str());
        store.remember("a", one(&id, previous, &id), &[]).unwrap();
        assert_eq!(bodies(store, "a", &id).await.len(), number as usize + 1);
    }
}

async fn a_deleted_record_is_gone_also_if_it_was_just_remembered(store: &ResponseStore, _: &World) {
    for _ in 0..20 {
        store.remember("a", one("1", None, "one"), &[]).unwrap();
        store.delete("a", "1").await.unwrap();
        assert_eq!(body(store, "a", "1").await, None);
    }
    store.remember("a", one("1", None, "again"), &[]).unwrap();
    assert_eq!(body(store, "a", "1").await.as_deref(), Some("again"));
}

async fn a_record_put_again_replaces_the_one_before(store: &ResponseStore, _: &World) {
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    store.remember("a", one("1", None, "two"), &[]).unwrap();
    assert_eq!(body(store, "a", "1").await.as_deref(), Some("two"));
    store.put("a", one("1", None, "three"), &[]).await.unwrap();
    assert_eq!(body(store, "a", "1").await.as_deref(), Some("three"));
    let pair = vec![
        ("2".to_owned(), record(None, "a")),
        ("3".to_owned(), record(Some("2"), "")),
    ];
    store.put("a", pair, &[]).await.unwrap();
    assert_eq!(bodies(store, "a", "3").await, ["a", ""]);
}

async fn many_at_once_lose_nothing(store: &ResponseStore, world: &World) {
    let put = |writer: usize| async move {
        for number in 0..25 {
            let id = format!("{writer}-{number}");
            let records = one(&id, None, &id.repeat(100));
            if number % 2 == 0 {
                store.put("a", records, &[]).await.unwrap();
            } else {
                store.remember("a", records, &[]).unwrap();
            }
        }
    };
    tokio::join!(put(0), put(1), put(2), put(3));
    // Waits until the queue is empty.
    store.delete("a", "none").await.unwrap();
    for writer in 0..4 {
        for number in 0..25 {
            let id = format!("{writer}-{number}");
            assert_eq!(body(store, "a", &id).await, Some(id.repeat(100)));
        }
    }
    assert_eq!(world.told().kept, 100);
}

async fn a_record_that_is_too_large_is_refused_with_all_beside_it(store: &ResponseStore, world: &World) {
    let pair = vec![
        ("1".to_owned(), record(None, "small")),
        ("2".to_owned(), record(None, &"x".repeat(100_001))),
    ];
    let refused = store.remember("a", pair, &[]);
    assert!(matches!(
        refused,
        Err(ResponseStoreError::Refused(Refusal::TooLarge))
    ));
    assert_eq!(world.told().refused, [Refusal::TooLarge, Refusal::TooLarge]);
    assert_eq!(body(store, "a", "1").await, None);
    let long_id = "x".repeat(70_000);
    assert!(store.put("a", one("3", Some(&long_id), ""), &[]).await.is_err());
}
