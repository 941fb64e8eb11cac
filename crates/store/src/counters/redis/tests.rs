//! Against real servers: what they decide, and what happens when they are slow, gone, or elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tollgate_resources::Secret;

use super::super::{
    Act, Ask, Counters, Enter, Entered, Limit, Memory, Spread, Together, Unavailable, Verdict, Windows,
};
use super::{Address, Encryption, Login, Redis, RedisSettings, Servers};
use crate::port::Port;
use crate::servers::{self as server, RedisServer};

fn local(port: u16) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

fn settings(servers: Servers) -> RedisSettings {
    RedisSettings {
        servers,
        login: Login::default(),
        database: 0,
        timeout: Duration::from_secs(5),
        encryption: Encryption::Off,
    }
}

fn shared(settings: RedisSettings, tls: Option<Arc<ClientConfig>>) -> Arc<Redis> {
    Redis::shared(settings, tls, |_| Arc::new(()))
}

fn one(server: &RedisServer) -> Arc<Redis> {
    shared(settings(Servers::One(local(server.port))), None)
}

fn minute(amount: u64) -> Limit {
    Limit {
        amount,
        window_ms: 60_000,
        windows: Windows::Fixed,
    }
}

fn ask(key: &str, amount: u64, act: Act) -> Ask {
    Ask {
        key: key.into(),
        limit: minute(amount),
        act,
    }
}

fn now() -> SystemTime {
    SystemTime::now()
}

async fn decide(counters: &Counters, asks: Vec<Ask>) -> Result<Vec<Verdict>, Unavailable> {
    counters.decide(asks, Together::AllOrNone, now()).wait().await
}

async fn take(counters: &Counters, key: &str, limit: u64) -> Result<bool, Unavailable> {
    let verdicts = decide(counters, vec![ask(key, limit, Act::Take(1))]).await?;
    Ok(verdicts[0].is_allowed)
}

async fn remaining(counters: &Counters, key: &str, limit: u64) -> u64 {
    let verdicts = decide(counters, vec![Ask::peek(key.to_owned(), minute(limit))]).await;
    verdicts.unwrap()[0].remaining
}

/// Lets the others run until something holds.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn written(redis: &Redis) {
    until(|| redis.status().pending == 0).await;
}

/// Takes until it works again.
async fn recovered(counters: &Counters, key: &str) {
    while take(counters, key, 1_000_000).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn several_limits_are_one_exchange() {
    let server = RedisServer::start(&[]);
    let counters = Counters::in_redis(one(&server), "c", Spread::Together);
    take(&counters, "warm", 1).await.unwrap();
    server.ask(&["CONFIG", "RESETSTAT"]);
    for _ in 0..10 {
        let asks = ["a", "b", "c"].map(|key| ask(key, 5, Act::Take(1))).to_vec();
        decide(&counters, asks).await.unwrap();
    }
    let statistics = server.ask(&["INFO", "commandstats"]);
    assert!(statistics.contains("cmdstat_evalsha:calls=10,"), "{statistics}");
    assert!(!statistics.contains("cmdstat_eval:"), "{statistics}");
    assert!(
        statistics.contains("cmdstat_config|resetstat:calls=1,"),
        "{statistics}"
    );
}

#[tokio::test]
async fn workers_of_several_threads_never_get_more_than_the_limit() {
    let server = RedisServer::start(&[]);
    let port = server.port;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let redis = shared(settings(Servers::One(local(port))), None);
                    let counters = Counters::in_redis(redis, "c", Spread::ByKey);
                    let mut allowed = 0;
                    for _ in 0..50 {
                        allowed += usize::from(take(&counters, "k", 100).await.unwrap());
                    }
                    allowed
                })
            })
        })
        .collect();
    let allowed: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(allowed, 100);
}

#[tokio::test]
async fn a_script_the_server_has_forgotten_is_sent_again() {
    let server = RedisServer::start(&[]);
    let counters = Counters::in_redis(one(&server), "c", Spread::ByKey);
    assert!(take(&counters, "k", 2).await.unwrap());
    server.ask(&["SCRIPT", "FLUSH"]);
    assert!(take(&counters, "k", 2).await.unwrap());
    assert!(!take(&counters, "k", 2).await.unwrap());
}

#[tokio::test]
async fn a_decision_nobody_waits_for_any_more_gives_back_what_it_reserved() {
    let server = RedisServer::start(&[]);
    let redis = one(&server);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    assert_eq!(remaining(&counters, "k", 10).await, 10);
    // Held back until the question is on its way.
    server.pause();
    let act = Act::Reserve {
        amount: 4,
        lease_ms: 60_000,
    };
    let mut waiting = Box::pin(decide(&counters, vec![ask("k", 10, act)]));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut waiting)
            .await
            .is_err()
    );
    drop(waiting);
    server.resume();
    written(&redis).await;
    assert_eq!(remaining(&counters, "k", 10).await, 10);

    let mut kept = decide(&counters, vec![ask("k", 10, act)]).await.unwrap();
    assert_eq!(remaining(&counters, "k", 10).await, 6);
    kept.pop().unwrap().reservation.unwrap().settle(7, now());
    written(&redis).await;
    assert_eq!(remaining(&counters, "k", 10).await, 3);
}

#[tokio::test]
async fn a_place_is_free_again_when_it_is_dropped_or_its_holder_was_killed() {
    let server = RedisServer::start(&[]);
    let redis = one(&server);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    let enter = async |lease_ms| -> Entered {
        let places = vec![Enter {
            key: "k".into(),
            limit: 1,
            lease_ms,
        }];
        counters.enter(places, now()).wait().await.unwrap().pop().unwrap()
    };
    redis.shared.given_now_ms.store(1_000_000, Ordering::Relaxed);
    let first = enter(1000).await;
    assert!(first.place.is_some());
    assert!(enter(1000).await.place.is_none());
    drop(first);
    written(&redis).await;
    // As when the process is killed: nobody ever drops it.
    std::mem::forget(enter(1000).await.place);
    assert!(enter(1000).await.place.is_none());
    redis.shared.given_now_ms.store(1_001_000, Ordering::Relaxed);
    assert!(enter(1000).await.place.is_some());
}

#[tokio::test]
async fn a_killed_server_is_left_alone_until_it_is_back_and_gets_what_was_charged_meanwhile() {
    let mut server = RedisServer::start(&[]);
    let redis = one(&server);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    assert!(take(&counters, "k", 10).await.unwrap());
    server.kill();
    let mut errors = Vec::new();
    while errors.last() != Some(&Unavailable::Resting) {
        errors.push(take(&counters, "k", 10).await.unwrap_err());
    }
    assert!(!redis.status().is_answering);
    assert!(errors.len() < 10, "{errors:?}");
    counters.add("k", &minute(10), 4, now());
    assert_eq!(redis.status().pending, 1);
    server.restart();
    written(&redis).await;
    recovered(&counters, "other").await;
    assert!(redis.status().is_answering);
    assert_eq!(remaining(&counters, "k", 10).await, 6);
}

#[tokio::test]
async fn a_paused_server_is_left_alone_and_charges_sent_twice_count_once() {
    let server = RedisServer::start(&[]);
    let mut settings = settings(Servers::One(local(server.port)));
    settings.timeout = Duration::from_millis(50);
    let redis = shared(settings, None);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    recovered(&counters, "other").await;
    // From now on the server knows the script, so that it can act on what it gets while it is paused.
    counters.add("k", &minute(100), 1, now());
    written(&redis).await;
    server.pause();
    for _ in 0..20 {
        counters.add("k", &minute(100), 1, now());
    }
    let mut errors = Vec::new();
    while errors.last() != Some(&Unavailable::Resting) {
        errors.push(take(&counters, "other", 10).await.unwrap_err());
    }
    for _ in 0..20 {
        counters.add("k", &minute(100), 1, now());
    }
    server.resume();
    written(&redis).await;
    recovered(&counters, "other").await;
    // Asked with patience.
    let patient = Counters::in_redis(one(&server), "c", Spread::ByKey);
    assert_eq!(remaining(&patient, "k", 100).await, 59);
    assert_eq!(redis.status().dropped, 0);
}

#[tokio::test]
async fn waiting_calls_are_bounded() {
    let server = RedisServer::start(&[]);
    let redis = one(&server);
    let counters = Counters::in_redis(redis, "c", Spread::ByKey);
    assert!(take(&counters, "k", 10).await.unwrap());
    server.pause();
    let mut waiting: Vec<_> = (0..1024).map(|_| Box::pin(take(&counters, "k", 10))).collect();
    for one in &mut waiting {
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(one.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }
    assert_eq!(take(&counters, "k", 10).await, Err(Unavailable::TooMany));
    server.resume();
    drop(waiting);
    assert!(take(&counters, "other", 10).await.unwrap());
}

#[tokio::test]
async fn a_server_that_refuses_is_told_apart_from_one_that_is_gone() {
    let server = RedisServer::start(&[]);
    let redis = one(&server);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    server.ask(&["HSET", "plugin-c:v1:{c:k}", "no", "number"]);
    for _ in 0..5 {
        let refused = take(&counters, "k", 10).await.unwrap_err();
        assert!(
            matches!(&refused, Unavailable::Failed(error) if error.contains("WRONGTYPE")),
            "{refused}"
        );
    }
    assert!(!redis.status().is_answering);
    assert!(take(&counters, "other", 10).await.unwrap());
    assert!(redis.status().is_answering);
}

#[tokio::test]
async fn a_charge_that_cannot_be_written_takes_no_other_with_it() {
    let server = RedisServer::start(&[]);
    let redis = one(&server);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    server.ask(&["RPUSH", "plugin-c:v1:{c:spoilt}", "x"]);
    for key in ["a", "spoilt", "b", "a"] {
        counters.add(key, &minute(100), 10, now());
    }
    written(&redis).await;
    assert_eq!(remaining(&counters, "a", 100).await, 80);
    assert_eq!(remaining(&counters, "b", 100).await, 90);
    assert_eq!(redis.status().dropped, 1);
}

#[tokio::test]
async fn users_passwords_and_databases_are_obeyed() {
    let server = RedisServer::start_with(
        &[
            "user limits on >s3cret ~plugin-* ~tollgate:* +@all",
            "user default on >0pen ~* +@all",
        ],
        Some(("default", "0pen")),
    );
    let with = |username: Option<&str>, password: &str| {
        let mut settings = settings(Servers::One(local(server.port)));
        settings.database = 3;
        settings.login.username = username.map(str::to_owned);
        settings.login.password = Some(Secret::from(password.to_owned()));
        Counters::in_redis(shared(settings, None), "c", Spread::ByKey)
    };
    assert!(take(&with(Some("limits"), "s3cret"), "k", 1).await.unwrap());
    // The same counter, as another user.
    assert!(!take(&with(None, "0pen"), "k", 1).await.unwrap());
    let keyspace = server.ask(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db3:keys=2"), "{keyspace}");
    let refused = take(&with(Some("limits"), "wrong"), "k", 1).await.unwrap_err();
    assert!(!refused.to_string().contains("wrong"), "{refused}");
}

#[tokio::test]
async fn a_server_that_was_restarted_is_asked_on_a_new_connection() {
    let mut server = RedisServer::start(&[]);
    let counters = Counters::in_redis(one(&server), "c", Spread::ByKey);
    assert!(take(&counters, "k", 1).await.unwrap());
    server.restart();
    assert!(take(&counters, "k", 1).await.unwrap());
}

/// What clients that trust an authority use, and files with a certificate of it for `127.0.0.1`.
fn encrypted(folder: &std::path::Path, trusted: bool) -> (Arc<ClientConfig>, [String; 2]) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(authority, &authority_key))
        .unwrap();
    let files = ["server.crt", "server.key"].map(|name| folder.join(name).display().to_string());
    std::fs::write(&files[0], certificate.pem()).unwrap();
    std::fs::write(&files[1], key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    if trusted {
        roots.add(authority_certificate.der().clone()).unwrap();
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(config), files)
}

#[tokio::test]
async fn certificates_are_checked_before_anything_is_said() {
    for trusted in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (tls, [certificate, key]) = encrypted(folder.path(), trusted);
        let reserved = Port::reserve();
        let port = reserved.number;
        let lines = [
            format!("tls-port {port}"),
            format!("tls-cert-file {certificate}"),
            format!("tls-key-file {key}"),
            format!("tls-ca-cert-file {certificate}"),
            "tls-auth-clients no".to_owned(),
        ];
        let server = RedisServer::start(&lines.each_ref().map(String::as_str)).holding(reserved);
        let mut settings = settings(Servers::One(local(port)));
        settings.encryption = Encryption::Verified;
        let counters = Counters::in_redis(shared(settings, Some(tls)), "c", Spread::ByKey);
        assert_eq!(take(&counters, "k", 1).await.ok(), trusted.then_some(true));
        drop(server);
    }
}

fn nodes(cluster: &[RedisServer]) -> Servers {
    Servers::Cluster(cluster.iter().map(|node| local(node.port)).collect())
}

fn keys_of(node: &RedisServer) -> usize {
    node.ask(&["KEYS", "tollgate:*"])
        .lines()
        .filter(|key| !key.is_empty())
        .count()
}

#[tokio::test]
async fn keys_are_spread_over_a_cluster_and_those_that_go_together_are_on_one_node() {
    let cluster = server::cluster();
    // One node is enough to find the others.
    let redis = shared(settings(nodes(&cluster[..1])), None);
    let spread = Counters::in_redis(redis.clone(), "spread", Spread::ByKey);
    for number in 0..50 {
        assert!(take(&spread, &number.to_string(), 1).await.unwrap());
        assert!(!take(&spread, &number.to_string(), 1).await.unwrap());
    }
    let held: Vec<usize> = cluster.iter().map(keys_of).collect();
    assert!(held.iter().all(|keys| *keys > 5), "{held:?}");
    assert_eq!(held.iter().sum::<usize>(), 50);

    let together = Counters::in_redis(redis.clone(), "together", Spread::Together);
    let asks = |amount| {
        (0..10)
            .map(|number| ask(&number.to_string(), amount, Act::Take(1)))
            .collect::<Vec<_>>()
    };
    assert_eq!(decide(&together, asks(1)).await.unwrap().len(), 10);
    assert_eq!(decide(&together, asks(1)).await.unwrap().len(), 1);
    let more: Vec<usize> = cluster
        .iter()
        .zip(&held)
        .map(|(node, held)| keys_of(node) - held)
        .collect();
    assert_eq!(more.iter().filter(|keys| **keys == 10).count(), 1, "{more:?}");

    for number in 0..50 {
        spread.add(number.to_string(), &minute(10), 4, now());
    }
    written(&redis).await;
    for number in 0..50 {
        assert_eq!(remaining(&spread, &number.to_string(), 10).await, 5);
    }
}

#[tokio::test]
async fn a_key_that_has_moved_is_followed() {
    let cluster = server::cluster();
    let redis = shared(settings(nodes(&cluster)), None);
    let counters = Counters::in_redis(redis, "c", Spread::ByKey);
    // Now it is known where keys are.
    take(&counters, "other", 1).await.unwrap();
    let key = "plugin-c:v1:{c:k}";
    let slot = cluster[0].ask(&["CLUSTER", "KEYSLOT", key]);
    let holder = cluster
        .iter()
        .position(|node| !node.ask(&["GET", key]).starts_with("-MOVED"))
        .unwrap();
    let heir = (holder + 1) % 3;
    let ids: Vec<String> = cluster
        .iter()
        .map(|node| node.ask(&["CLUSTER", "MYID"]))
        .collect();
    assert_eq!(
        cluster[heir].ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[holder]]),
        "OK"
    );
    assert_eq!(
        cluster[holder].ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[heir]]),
        "OK"
    );
    // While it moves: new keys are already with the heir.
    assert!(take(&counters, "k", 2).await.unwrap());
    assert_eq!(
        keys_of(&cluster[heir]),
        1 + usize::from(holds_other(&cluster[heir]))
    );
    for node in [&cluster[heir], &cluster[holder]] {
        assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[heir]]), "OK");
    }
    assert!(take(&counters, "k", 2).await.unwrap());
    assert!(!take(&counters, "k", 2).await.unwrap());
}

fn holds_other(node: &RedisServer) -> bool {
    node.ask(&["KEYS", "tollgate:*:{c:other}"]).contains("other")
}

#[tokio::test]
async fn the_keys_of_other_nodes_are_counted_while_one_is_down() {
    let mut cluster = server::cluster();
    let redis = shared(settings(nodes(&cluster)), None);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    take(&counters, "warm", 1).await.unwrap();
    cluster[1].kill();
    let (mut counted, mut failed) = (Vec::new(), Vec::new());
    for number in 0..60 {
        let key = number.to_string();
        match take(&counters, &key, 10).await {
            Ok(true) => counted.push(key),
            Ok(false) => panic!("refused"),
            Err(_) => failed.push(key),
        }
    }
    assert!(counted.len() > 20 && failed.len() > 5, "{counted:?} {failed:?}");
    for key in counted.iter().chain(&failed) {
        counters.add(key.as_str(), &minute(10), 2, now());
    }
    // What can be written is, though others wait.
    let waiting = u64::try_from(failed.len()).unwrap();
    until(|| redis.status().pending == waiting).await;
    for key in &counted {
        assert_eq!(remaining(&counters, key, 10).await, 7);
    }
    cluster[1].restart();
    written(&redis).await;
    for key in &failed {
        recovered(&counters, key).await;
    }
}

#[tokio::test]
async fn the_master_is_found_and_so_is_its_successor() {
    let mut servers = server::sentinels();
    let nobody = Port::reserve();
    let sentinels = Servers::Sentinel {
        sentinels: vec![local(nobody.number), local(servers.sentinel.port)],
        master: "counters".to_owned(),
    };
    let redis = shared(settings(sentinels), None);
    let counters = Counters::in_redis(redis.clone(), "c", Spread::ByKey);
    assert!(take(&counters, "k", 2).await.unwrap());
    servers
        .replica
        .wait_for(&["GET", "plugin-c:v1:{c:k}"], |used| used == "1");
    servers.master.kill();
    recovered(&counters, "other").await;
    servers
        .replica
        .wait_for(&["ROLE"], |role| role.starts_with("master"));
    // The successor knows what was counted before.
    assert!(take(&counters, "k", 2).await.unwrap());
    assert!(!take(&counters, "k", 2).await.unwrap());
}

/// One step of a sequence: how much later it is, and what is done.
#[derive(Clone, Debug)]
enum Step {
    Take(u8, u64),
    Reserve(u8, u64, u64),
    Both(u64, bool),
    Add(u8, u64),
    Settle(usize, u64),
    GiveBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => (0..2_u8, 0..5_u64).prop_map(|(key, amount)| Step::Take(key, amount)),
        3 => (0..2_u8, 0..6_u64, 1..2000_u64).prop_map(|(key, amount, lease)| Step::Reserve(key, amount, lease)),
        2 => (0..4_u64, any::<bool>()).prop_map(|(amount, all)| Step::Both(amount, all)),
        2 => (0..2_u8, 0..8_u64).prop_map(|(key, amount)| Step::Add(key, amount)),
        3 => (any::<usize>(), 0..9_u64).prop_map(|(which, used)| Step::Settle(which, used)),
        1 => any::<usize>().prop_map(Step::GiveBack),
    ];
    let later = prop_oneof![4 => 0..50_u64, 2 => 0..1500_u64, 1 => 0..4000_u64];
    proptest::collection::vec((later, step), 1..40)
}

/// What was told, without the reservation.
fn told(verdicts: &[Verdict]) -> Vec<(bool, u64, u64, bool)> {
    let told = verdicts.iter().map(|verdict| {
        (
            verdict.is_allowed,
            verdict.remaining,
            verdict.reset_ms,
            verdict.reservation.is_some(),
        )
    });
    told.collect()
}

#[test]
fn memory_and_redis_decide_the_same() {
    let server = RedisServer::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let case = std::cell::Cell::new(0_u32);
    let strategy = (steps(), 1..12_u64, any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&strategy, |(steps, amount, slides)| {
        case.set(case.get() + 1);
        let limit = Limit {
            amount,
            window_ms: 1000,
            windows: if slides { Windows::Sliding } else { Windows::Fixed },
        };
        runtime.block_on(compare(&server, &format!("case {}", case.get()), limit, &steps));
        Ok(())
    });
    outcome.unwrap();
}

async fn compare(server: &RedisServer, prefix: &str, limit: Limit, steps: &[(u64, Step)]) {
    let redis = one(server);
    let remote = Counters::in_redis(redis.clone(), prefix, Spread::Together);
    let memory = Counters::in_memory(Arc::new(Memory::default()));
    let mut now_ms = 1_700_000_000_000;
    let mut held = Vec::new();
    for (later, step) in steps {
        now_ms += later;
        let now = UNIX_EPOCH + Duration::from_millis(now_ms);
        redis.shared.given_now_ms.store(now_ms, Ordering::Relaxed);
        let one = |key: &u8, act| Ask {
            key: format!("k{key}").into(),
            limit,
            act,
        };
        let (asks, together) = match step {
            Step::Take(key, amount) => (vec![one(key, Act::Take(*amount))], Together::InTurn),
            Step::Reserve(key, amount, lease_ms) => {
                let (amount, lease_ms) = (*amount, *lease_ms);
                (
                    vec![one(key, Act::Reserve { amount, lease_ms })],
                    Together::InTurn,
                )
            }
            Step::Both(amount, all) => {
                let (amount, lease_ms) = (*amount, 1500);
                let asks = vec![
                    one(&0, Act::Reserve { amount, lease_ms }),
                    one(&1, Act::Take(amount)),
                ];
                (
                    asks,
                    if *all {
                        Together::AllOrNone
                    } else {
                        Together::InTurn
                    },
                )
            }
            Step::Add(key, amount) => {
                let key = format!("k{key}");
                memory.add(key.as_str(), &limit, *amount, now);
                remote.add(key.as_str(), &limit, *amount, now);
                written(&redis).await;
                continue;
            }
            Step::Settle(which, used) => {
                if !held.is_empty() {
                    let (here, there): (super::super::Reservation, super::super::Reservation) =
                        held.swap_remove(which % held.len());
                    here.settle(*used, now);
                    there.settle(*used, now);
                    written(&redis).await;
                }
                continue;
            }
            Step::GiveBack(which) => {
                if !held.is_empty() {
                    drop(held.swap_remove(which % held.len()));
                    written(&redis).await;
                }
                continue;
            }
        };
        let here = memory.decide(asks.clone(), together, now).wait().await.unwrap();
        let there = remote.decide(asks.clone(), together, now).wait().await.unwrap();
        assert_eq!(told(&here), told(&there), "{asks:?} at {now_ms}");
        for (here, there) in here.into_iter().zip(there) {
            held.extend(here.reservation.zip(there.reservation));
        }
        written(&redis).await;
    }
    for (here, there) in held {
        drop((here, there));
    }
    written(&redis).await;
}
