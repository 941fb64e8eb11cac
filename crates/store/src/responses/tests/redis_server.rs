//! Redis: what it holds, who shares it, and what happens while it is gone.

use super::*;

#[tokio::test]
async fn records_have_a_time_to_live_that_a_chain_renews() {
    let (world, server) = (World::new(), RedisServer::start(&[]));
    let store = in_redis(&server, None, world.settings());
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    let key = Key::new("a", "1").in_redis();
    let ttl = |key: &str| server.ask(&["TTL", key]).parse::<i64>().unwrap();
    assert!((90..=100).contains(&ttl(&key)), "{}", ttl(&key));
    server.ask(&["EXPIRE", &key, "10"]);
    store
        .put("a", one("2", Some("1"), "two"), &["1".to_owned()])
        .await
        .unwrap();
    assert!((90..=100).contains(&ttl(&key)), "{}", ttl(&key));
    server.ask(&["PEXPIRE", &key, "1"]);
    server.wait_for(&["EXISTS", &key], |exists| exists == "0");
    let broken = store.chain("a", "2", REACH).await;
    assert!(matches!(broken, Err(ChainError::Missing { id }) if id == "1"));
}

#[tokio::test]
async fn two_gateways_share_it_and_only_with_the_same_key() {
    let (world, server) = (World::new(), RedisServer::start(&[]));
    let first = in_redis(&server, Some(key()), world.settings());
    first.put("a", one("1", None, "one"), &[]).await.unwrap();
    let other = in_redis(&server, Some(key()), world.settings());
    assert_eq!(body(&other, "a", "1").await.as_deref(), Some("one"));
    let keys = server.ask(&["KEYS", "*"]);
    assert!(keys.starts_with("tollgate:responses:"), "{keys}");

    let wrong = StoreKey::parse(&"5b".repeat(32)).unwrap();
    let stranger = in_redis(&server, Some(wrong), world.settings());
    assert!(matches!(
        stranger.get("a", "1").await,
        Err(ResponseStoreError::Unreadable(_))
    ));
}

#[tokio::test]
async fn while_it_is_gone_nothing_is_found_and_what_cannot_be_written_is_counted() {
    let (world, mut server) = (World::new(), RedisServer::start(&[]));
    let store = in_redis(&server, None, world.settings());
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    server.kill();
    assert!(matches!(
        store.get("a", "1").await,
        Err(ResponseStoreError::Redis(_))
    ));
    assert!(matches!(
        store.chain("a", "1", REACH).await,
        Err(ChainError::Store(ResponseStoreError::Redis(_)))
    ));
    assert!(store.put("a", one("2", None, "two"), &[]).await.is_err());
    assert_eq!(world.told().refused, [Refusal::Failed]);
    server.restart();
    while store.put("a", one("3", None, "three"), &[]).await.is_err() {}
    while store.get("a", "3").await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(body(&store, "a", "3").await.as_deref(), Some("three"));
}

#[tokio::test]
async fn a_cluster_and_sentinels_serve_as_well() {
    let nodes = server::cluster();
    let addresses = nodes.iter().map(|node| Address {
        host: "127.0.0.1".to_owned(),
        port: node.port,
    });
    let world = World::new();
    let store = in_redis_at(Servers::Cluster(addresses.collect()), None, world.settings());
    for number in 0..30 {
        let (id, previous) = (number.to_string(), (number - 1).to_string());
        let previous = (number > 0).then_some(previous.as_str());
        store.put("a", one(&id, previous, &id), &[]).await.unwrap();
    }
    assert_eq!(bodies(&store, "a", "29").await.len(), 30);
    for node in &nodes {
        assert_ne!(node.ask(&["DBSIZE"]), "0");
    }

    let sentinels = server::sentinels();
    let sentinel = Address {
        host: "127.0.0.1".to_owned(),
        port: sentinels.sentinel.port,
    };
    let servers = Servers::Sentinel {
        sentinels: vec![sentinel],
        master: "counters".to_owned(),
    };
    let store = in_redis_at(servers, None, world.settings());
    store.put("a", one("1", None, "one"), &[]).await.unwrap();
    assert_eq!(body(&store, "a", "1").await.as_deref(), Some("one"));
}
