//! The store in its three homes; Redis and the file are real.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::counters::{Address, Encryption, Login, Servers};
use crate::servers::{self as server, RedisServer};

mod bounds;
mod file;
mod homes;
mod redis_server;

/// What the store has told, and a clock that stands still.
#[derive(Default)]
struct World {
    now_s: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    kept: u64,
    refused: Vec<Refusal>,
    evicted: u64,
    expired: u64,
    holds: u64,
}

impl World {
    fn new() -> Arc<Self> {
        let world = World::default();
        world.now_s.store(1_000_000, Ordering::Relaxed);
        Arc::new(world)
    }

    fn settings(self: &Arc<Self>) -> Settings {
        let clock = self.clone();
        Settings {
            ttl_s: 100,
            max_record_bytes: 100_000,
            max_bytes: 10_000_000,
            clock: Arc::new(move || clock.now_s.load(Ordering::Relaxed)),
            observer: self.clone(),
        }
    }

    fn pass(&self, seconds: u64) {
        self.now_s.fetch_add(seconds, Ordering::Relaxed);
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }
}

impl Observer for World {
    fn kept(&self, records: u64) {
        self.told.lock().unwrap().kept += records;
    }

    fn refused(&self, why: Refusal, records: u64) {
        let mut told = self.told.lock().unwrap();
        told.refused.extend((0..records).map(|_| why));
    }

    fn evicted(&self, records: u64) {
        self.told.lock().unwrap().evicted += records;
    }

    fn expired(&self, records: u64) {
        self.told.lock().unwrap().expired += records;
    }

    fn holds(&self, bytes: u64) {
        self.told.lock().unwrap().holds = bytes;
    }
}

fn key() -> StoreKey {
    StoreKey::parse(&"5a".repeat(32)).unwrap()
}

fn record(previous: Option<&str>, body: &str) -> Record {
    Record {
        previous: previous.map(str::to_owned),
        body: body.as_bytes().to_vec(),
    }
}

fn one(id: &str, previous: Option<&str>, body: &str) -> Vec<(String, Record)> {
    vec![(id.to_owned(), record(previous, body))]
}

fn in_file(directory: &TempDir, settings: Settings) -> ResponseStore {
    ResponseStore::open(directory.path(), key(), settings).unwrap()
}

fn in_redis(server: &RedisServer, key: Option<StoreKey>, settings: Settings) -> ResponseStore {
    let address = Address {
        host: "127.0.0.1".to_owned(),
        port: server.port,
    };
    in_redis_at(Servers::One(address), key, settings)
}

fn in_redis_at(servers: Servers, key: Option<StoreKey>, settings: Settings) -> ResponseStore {
    let redis = RedisSettings {
        servers,
        login: Login::default(),
        database: 0,
        timeout: Duration::from_secs(5),
        encryption: Encryption::Off,
    };
    ResponseStore::in_redis(redis, None, key, |_| Arc::new(()), settings).unwrap()
}

async fn body(store: &ResponseStore, owner: &str, id: &str) -> Option<String> {
    let record = store.get(owner, id).await.unwrap()?;
    Some(String::from_utf8(record.body.clone()).unwrap())
}

async fn bodies(store: &ResponseStore, owner: &str, id: &str) -> Vec<String> {
    let chain = store.chain(owner, id, REACH).await.unwrap();
    let body = |(_, record): Link| String::from_utf8(record.body.clone()).unwrap();
    chain.into_iter().map(body).collect()
}

const REACH: Reach = Reach {
    max_records: 1000,
    max_bytes: 10_000_000,
};
