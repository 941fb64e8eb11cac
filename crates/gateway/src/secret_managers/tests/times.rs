//! When values are fetched, how long they hold, and what happens while a manager cannot be asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::json;
use tollgate_resources::objects::{Kind, ObjectKey};

use super::peer::serve;
use super::{Bench, IN_VAULT, jack, vault};

/// A Vault that counts how often it is asked, and answers as it is told: a value, nothing at all, or a status.
#[derive(Clone, Default)]
struct Vault {
    answer: Arc<Mutex<Option<(u16, String)>>>,
    asked: Arc<AtomicU64>,
}

impl Vault {
    fn start(&self) -> String {
        let vault = self.clone();
        serve(move |_| {
            vault.asked.fetch_add(1, Ordering::SeqCst);
            vault.answer.lock().unwrap().clone()
        })
    }

    fn keeps(&self, value: &str) {
        self.answers(200, &json!({"data": {"auth-key": value}}).to_string());
    }

    fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = Some((status, body.to_owned()));
    }

    fn is_down(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn a_changed_value_is_in_use_after_five_minutes() {
    let (bench, peer) = (Bench::new(), Vault::default());
    peer.keeps("one");
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    assert!(bench.lets_in("one"));
    peer.keeps("two");
    bench.at(299);
    assert_eq!((peer.asked(), bench.lets_in("one")), (1, true));
    bench.at(300);
    assert_eq!(
        (peer.asked(), bench.lets_in("one"), bench.lets_in("two")),
        (2, false, true)
    );
    bench.at(599);
    assert_eq!(peer.asked(), 2);
}

#[test]
fn a_write_takes_effect_while_the_manager_is_down_and_the_credential_when_it_is_up() {
    let (bench, peer) = (Bench::new(), Vault::default());
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    assert!(
        bench
            .gateway
            .snapshot()
            .plane
            .directory
            .consumer("jack")
            .is_some()
    );
    assert!(!bench.lets_in("one"));
    assert!(!bench.lets_in(IN_VAULT), "the reference itself is no key");
    peer.keeps("one");
    bench.at(59);
    assert!(!bench.lets_in("one"));
    bench.at(60);
    assert!(bench.lets_in("one"));
}

#[test]
fn writing_again_tries_again_at_once() {
    let (bench, peer) = (Bench::new(), Vault::default());
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    peer.keeps("one");
    bench.write(vec![jack(IN_VAULT)]);
    assert!(bench.lets_in("one"));
}

#[test]
fn a_value_holds_while_its_manager_cannot_be_asked_but_not_when_it_is_gone() {
    let (bench, peer) = (Bench::new(), Vault::default());
    peer.keeps("one");
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    peer.is_down();
    bench.at(300);
    assert!(bench.lets_in("one"), "no connection");
    peer.answers(503, "{}");
    bench.at(360);
    assert!(bench.lets_in("one"), "sealed");
    peer.answers(404, r#"{"errors":[]}"#);
    bench.at(420);
    assert!(!bench.lets_in("one"), "gone");
    peer.keeps("two");
    bench.at(480);
    assert!(bench.lets_in("two"));
    assert_eq!(peer.asked(), 5);
}

#[test]
fn a_manager_that_appears_serves_who_named_it_before() {
    let (bench, peer) = (Bench::new(), Vault::default());
    peer.keeps("one");
    bench.write(vec![jack(IN_VAULT)]);
    assert!(!bench.lets_in("one"));
    bench.write(vec![vault(&peer.start(), "root")]);
    assert!(bench.lets_in("one"));
    bench.write(vec![(ObjectKey::new(Kind::Secret, "vault/1"), None)]);
    assert!(!bench.lets_in("one"), "without its manager a secret is gone");
}

#[test]
fn a_manager_that_moves_is_asked_at_its_new_address() {
    let (bench, old, new) = (Bench::new(), Vault::default(), Vault::default());
    old.keeps("one");
    new.keeps("two");
    bench.write(vec![vault(&old.start(), "root"), jack(IN_VAULT)]);
    bench.write(vec![vault(&new.start(), "root")]);
    assert_eq!((bench.lets_in("one"), bench.lets_in("two")), (false, true));
}

#[test]
fn what_is_known_is_not_fetched_for_a_write() {
    let (bench, peer) = (Bench::new(), Vault::default());
    peer.keeps("one");
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    bench.write(vec![jack(&format!("x {IN_VAULT}"))]);
    assert_eq!(
        (peer.asked(), bench.lets_in("x one"), bench.lets_in("one")),
        (1, true, false)
    );
}

#[test]
fn what_nobody_names_any_more_is_not_fetched_again() {
    let (bench, peer) = (Bench::new(), Vault::default());
    peer.keeps("one");
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    bench.write(vec![jack("plain")]);
    bench.at(300);
    assert_eq!(peer.asked(), 1);
    peer.keeps("two");
    bench.write(vec![jack(IN_VAULT)]);
    assert_eq!(
        (peer.asked(), bench.lets_in("two")),
        (2, true),
        "its old value was forgotten"
    );
}

#[test]
fn objects_that_were_there_before_the_agent_get_their_secrets() {
    let (bench, peer) = (Bench::without_agent(), Vault::default());
    peer.keeps("one");
    bench.write(vec![vault(&peer.start(), "root"), jack(IN_VAULT)]);
    assert!(!bench.lets_in("one"));
    bench.start_agent(Duration::from_secs(20));
    // By then what the first look asked for is there, or is asked for again.
    bench.at(60);
    assert!(bench.lets_in("one"));
}

#[test]
fn secrets_of_objects_that_are_applied_without_waiting_are_asked_for() {
    let bench = Bench::new();
    let (asked, is_asked) = mpsc::channel();
    let uri = serve(move |seen| {
        asked.send(seen.path.clone()).ok();
        Some((200, json!({"data": {"auth-key": "one"}}).to_string()))
    });
    bench.gateway.apply(&[vault(&uri, "root"), jack(IN_VAULT)]);
    assert_eq!(is_asked.recv().unwrap(), "/v1/kv/apisix/jack");
}

#[test]
fn a_manager_that_hangs_holds_up_one_write_and_not_the_next() {
    let bench = Bench::with_limit(Duration::from_millis(100));
    let asked = Arc::new(AtomicU64::new(0));
    let (count, hangs) = (asked.clone(), Arc::new(AtomicBool::new(true)));
    let still = hangs.clone();
    let uri = serve(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        while still.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        None
    });
    bench.write(vec![vault(&uri, "root"), jack(IN_VAULT)]);
    bench.write(vec![jack("$secret://vault/1/jack/other")]);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is left alone for a while");
    bench.at(9);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    bench.at(10);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    hangs.store(false, Ordering::SeqCst);
}

#[test]
fn writes_take_effect_in_their_order_and_none_waits_for_the_secrets_of_another() {
    let bench = Bench::new();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let uri = serve(move |_| {
        released.lock().unwrap().recv().ok();
        Some((200, json!({"data": {"auth-key": "one"}}).to_string()))
    });
    bench.write(vec![vault(&uri, "root")]);
    bench.runtime.block_on(async {
        let first = bench.gateway.apply_with_secrets(vec![jack(IN_VAULT)]);
        let second = async {
            bench.gateway.apply_with_secrets(vec![jack("second")]).await;
            assert!(bench.lets_in("second"));
            release.send(()).unwrap();
        };
        tokio::join!(first, second);
    });
    assert_eq!((bench.lets_in("second"), bench.lets_in("one")), (true, false));
}

#[test]
fn a_write_whose_client_leaves_takes_effect() {
    let bench = Bench::new();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let uri = serve(move |_| {
        released.lock().unwrap().recv().ok();
        Some((200, json!({"data": {"auth-key": "one"}}).to_string()))
    });
    bench.write(vec![vault(&uri, "root")]);
    bench.runtime.block_on(async {
        tokio::select! {
            biased;
            () = bench.gateway.apply_with_secrets(vec![jack(IN_VAULT)]) => {}
            () = std::future::ready(()) => {}
        }
    });
    assert!(
        bench
            .gateway
            .snapshot()
            .plane
            .directory
            .consumer("jack")
            .is_some()
    );
    release.send(()).unwrap();
    drop(release);
    bench.write(vec![jack(IN_VAULT)]);
    assert!(bench.lets_in("one"));
}
