//! Time and space, in memory and in the file.

use super::*;

async fn stores(check: impl AsyncFn(&ResponseStore, &Arc<World>), change: impl Fn(&mut Settings)) {
    let world = World::new();
    let mut settings = world.settings();
    change(&mut settings);
    check(&ResponseStore::in_memory(settings), &world).await;
    let (world, directory) = (World::new(), tempdir().unwrap());
    let mut settings = world.settings();
    change(&mut settings);
    check(&in_file(&directory, settings), &world).await;
}

#[tokio::test]
async fn a_record_is_found_until_its_time_is_over() {
    let check = async |store: &ResponseStore, world: &Arc<World>| {
        store.put("a", one("1", None, "one"), &[]).await.unwrap();
        world.pass(99);
        assert_eq!(body(store, "a", "1").await.as_deref(), Some("one"));
        world.pass(1);
        assert_eq!(body(store, "a", "1").await, None);
        assert!(!store.delete("a", "1").await.unwrap());
    };
    stores(check, |_| {}).await;
}

#[tokio::test]
async fn a_chain_that_goes_on_is_kept_as_a_whole() {
    let check = async |store: &ResponseStore, world: &Arc<World>| {
        store.put("a", one("1", None, "one"), &[]).await.unwrap();
        store.put("a", one("left", None, "left"), &[]).await.unwrap();
        world.pass(60);
        let chain = ["1".to_owned(), "gone".to_owned()];
        store.put("a", one("2", Some("1"), "two"), &chain).await.unwrap();
        world.pass(60);
        assert_eq!(bodies(store, "a", "2").await, ["one", "two"]);
        assert_eq!(body(store, "a", "left").await, None);
        // What is over is not brought back.
        store
            .put("a", one("3", None, ""), &["left".to_owned()])
            .await
            .unwrap();
        assert_eq!(body(store, "a", "left").await, None);
        world.pass(40);
        assert_eq!(body(store, "a", "1").await, None);
    };
    stores(check, |_| {}).await;
}

#[tokio::test]
async fn when_space_is_used_up_the_oldest_of_whoever_has_most_go() {
    let big = "x".repeat(1000);
    let check = async |store: &ResponseStore, world: &Arc<World>| {
        store.put("quiet", one("q", None, &big), &[]).await.unwrap();
        for number in 0..20 {
            world.pass(1);
            let id = number.to_string();
            store.put("loud", one(&id, None, &big), &[]).await.unwrap();
        }
        assert_eq!(body(store, "quiet", "q").await, Some(big.clone()));
        assert_eq!(body(store, "loud", "0").await, None);
        assert_eq!(body(store, "loud", "19").await, Some(big.clone()));
        let told = world.told();
        assert!(told.evicted > 10, "{told:?}");
        assert!(told.holds <= 10_000, "{told:?}");
        assert_eq!(told.kept, 21);
        // The newest of the loud one are there, without a gap.
        let mut is_there = Vec::new();
        for number in 0..20 {
            is_there.push(body(store, "loud", &number.to_string()).await.is_some());
        }
        assert!(is_there.is_sorted(), "{is_there:?}");
    };
    stores(check, |settings| settings.max_bytes = 10_000).await;
}

#[tokio::test]
async fn space_is_free_again_when_records_are_deleted_or_replaced() {
    let big = "x".repeat(4000);
    let check = async |store: &ResponseStore, world: &Arc<World>| {
        for _ in 0..20 {
            store.put("a", one("1", None, &big), &[]).await.unwrap();
            store.put("a", one("2", None, &big), &[]).await.unwrap();
            store.delete("a", "2").await.unwrap();
        }
        assert_eq!(world.told().evicted, 0);
    };
    stores(check, |settings| settings.max_bytes = 10_000).await;
}

#[tokio::test]
async fn what_has_expired_does_not_stay_in_memory() {
    let world = World::new();
    let store = ResponseStore::in_memory(world.settings());
    for number in 0..10 {
        store
            .put("a", one(&number.to_string(), None, "x"), &[])
            .await
            .unwrap();
    }
    let before = world.told().holds;
    world.pass(200);
    store.put("b", one("1", None, "x"), &[]).await.unwrap();
    let told = world.told();
    assert_eq!(told.expired, 10);
    assert_eq!(told.holds * 10, before);
}
