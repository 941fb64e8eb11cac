//! The file: what survives, what is refused, and what a reader of the disk sees.

use std::fs;

use super::*;

#[tokio::test]
async fn everything_is_there_after_opening_it_again_and_the_bound_still_counts_it() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let store = in_file(&directory, world.settings());
    store.remember("a", one("1", None, "one"), &[]).unwrap();
    store.remember("a", one("2", Some("1"), "two"), &[]).unwrap();
    // Waits for what is in the queue.
    drop(store);
    let holds = world.told().holds;
    let again = World::new();
    again.pass(50);
    let store = in_file(&directory, again.settings());
    assert_eq!(again.told().holds, holds);
    assert_eq!(bodies(&store, "a", "2").await, ["one", "two"]);
    again.pass(50);
    assert_eq!(body(&store, "a", "2").await, None);
}

#[tokio::test]
async fn two_processes_share_the_file_while_one_takes_over_from_the_other() {
    let directory = tempdir().unwrap();
    let (old_world, new_world) = (World::new(), World::new());
    let old = Arc::new(in_file(&directory, old_world.settings()));
    old.put("a", one("before", None, "before"), &[]).await.unwrap();
    let open = || ResponseStore::open(directory.path(), key(), World::new().settings());
    assert!(open().is_err(), "it is the old one's alone");

    old.share(true);
    let opened = ResponseStore::open_shared(directory.path(), key(), new_world.settings());
    let new = Arc::new(opened.unwrap());
    let write = |store: &Arc<ResponseStore>, name: &'static str| {
        let store = store.clone();
        async move {
            for number in 0..50 {
                let before = match number {
                    0 => "before".to_owned(),
                    _ => format!("{name}{}", number - 1),
                };
                let records = one(&format!("{name}{number}"), Some(&before), name);
                store.remember("a", records, &[]).unwrap();
                assert!(body(&store, "a", &format!("{name}{number}")).await.is_some());
            }
        }
    };
    tokio::join!(write(&old, "old"), write(&new, "new"));
    // What the old one has just kept is found by the new one, although it is written a little later.
    old.remember("a", one("last", Some("old49"), "last"), &[])
        .unwrap();
    assert_eq!(bodies(&new, "a", "last").await.len(), 52);
    assert_eq!(bodies(&old, "a", "new49").await.len(), 51);

    drop(old);
    new.share(false);
    new.put("a", one("after", Some("last"), "after"), &[])
        .await
        .unwrap();
    assert!(open().is_err(), "it is the new one's alone");
    assert_eq!(bodies(&new, "a", "after").await.len(), 53);
    let told = (old_world.told(), new_world.told());
    assert!(told.0.refused.is_empty() && told.1.refused.is_empty(), "{told:?}");
}

#[tokio::test]
async fn what_expired_while_nobody_had_it_open_is_removed() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let store = in_file(&directory, world.settings());
    for number in 0..2500 {
        store
            .remember("a", one(&number.to_string(), None, "x"), &[])
            .unwrap();
    }
    drop(store);
    world.pass(1000);
    let store = in_file(&directory, world.settings());
    while world.told().expired < 2500 {
        tokio::task::yield_now().await;
    }
    store.put("a", one("1", None, "x"), &[]).await.unwrap();
    assert_eq!(world.told().expired, 2500);
    assert!(world.told().holds < 1000);
}

#[tokio::test]
async fn nothing_of_a_conversation_can_be_read_in_the_file() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let store = in_file(&directory, world.settings());
    let records = one("resp_visible", Some("resp_before"), "a secret thought");
    store.put("consumer-name", records, &[]).await.unwrap();
    drop(store);
    let bytes = fs::read(directory.path().join("responses.db")).unwrap();
    for text in ["secret", "resp_visible", "resp_before", "consumer-name"] {
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(directory.path().join("responses.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_in_use_of_another_key_or_damaged_is_refused_with_words_for_the_operator() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let store = in_file(&directory, world.settings());
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    let open = |digits: &str| {
        let key = StoreKey::parse(&digits.repeat(32)).unwrap();
        let opened = ResponseStore::open(directory.path(), key, world.settings());
        opened.map(drop).unwrap_err().to_string()
    };
    assert!(open("5a").contains("in use by another process"));
    drop(store);
    assert!(open("5b").contains("encrypted with another key"));
    fs::write(directory.path().join("responses.db"), "").unwrap();
    assert!(open("5a").contains("restore it from a backup, or move it away"));
    fs::write(directory.path().join("responses.db"), "x".repeat(10_000)).unwrap();
    assert!(open("5a").contains("responses.db"));
}

#[tokio::test]
async fn the_file_of_a_newer_version_is_refused_and_left_alone() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    drop(in_file(&directory, world.settings()));
    let path = directory.path().join("responses.db");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let newer = 99_u64.to_le_bytes();
    transaction
        .open_table(meta)
        .unwrap()
        .insert("format", newer.as_slice())
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let key = StoreKey::parse(&"5a".repeat(32)).unwrap();
    let error = ResponseStore::open(directory.path(), key, world.settings())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has format 99") && error.contains("use the newer binary"),
        "{error}"
    );
    assert!(path.exists());
}

#[tokio::test]
async fn a_key_that_is_missing_beside_the_file_is_told() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let made = StoreKey::load_or_generate(directory.path()).unwrap();
    drop(ResponseStore::open(directory.path(), made, world.settings()).unwrap());
    fs::remove_file(directory.path().join("store.key")).unwrap();
    let error = StoreKey::load_or_generate(directory.path()).unwrap_err();
    assert!(
        error.to_string().contains("responses.db exists but its key"),
        "{error}"
    );
}

#[tokio::test]
async fn the_file_does_not_grow_for_ever() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let mut settings = world.settings();
    settings.max_bytes = 4_000_000;
    let store = in_file(&directory, settings);
    let body = "x".repeat(50_000);
    for number in 0..1000 {
        store
            .put("a", one(&number.to_string(), None, &body), &[])
            .await
            .unwrap();
    }
    let length = fs::metadata(directory.path().join("responses.db")).unwrap().len();
    assert!(length < 16_000_000, "{length}");
    assert!(world.told().evicted > 900);
}

#[tokio::test]
async fn after_the_end_what_comes_is_refused_and_counted() {
    let (world, directory) = (World::new(), tempdir().unwrap());
    let store = in_file(&directory, world.settings());
    store.remember("a", one("1", None, "one"), &[]).unwrap();
    let store = std::thread::spawn(move || {
        assert_eq!(store.finish(Duration::from_secs(30)), 0);
        store
    })
    .join()
    .unwrap();
    assert!(store.remember("a", one("2", None, "two"), &[]).is_err());
    assert_eq!(world.told().refused, [Refusal::Failed]);
    assert_eq!(body(&store, "a", "1").await.as_deref(), Some("one"));
}
