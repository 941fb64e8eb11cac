//! The process is killed in the middle of writes through the Admin API, again and again in one folder: what was acknowledged is
//! there and served, what was under way is there whole or not at all, and the file is never damaged.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::apisix::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{Connection, Process, Request};

/// How often it is killed; `TOLLGATE_KILLS` says otherwise.
const KILLS: usize = 30;

/// Few, so that routes are replaced, changed and deleted as often as they are made.
const ROUTES: u64 = 8;

/// At most so many writes are acknowledged before a kill.
const ACKNOWLEDGED_AT_MOST: u64 = 25;

/// What the routes have to be: the number by which each was last written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Routes(BTreeMap<u64, u64>);

/// A write of the route `id`; `number` tells it from all others.
#[derive(Clone, Copy, Debug)]
struct Write {
    kind: Kind,
    id: u64,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Patch,
    Delete,
}

impl Write {
    fn random(random: &mut Random, number: u64) -> Write {
        let kind = match random.below(6) {
            0 => Kind::Delete,
            1 | 2 => Kind::Patch,
            _ => Kind::Put,
        };
        let id = random.below(ROUTES);
        Write { kind, id, number }
    }

    fn request(self) -> Request {
        let path = format!("/apisix/admin/routes/{}", self.id);
        let (method, body) = match self.kind {
            Kind::Put => ("PUT", route(self.id, self.number).to_string()),
            Kind::Patch => ("PATCH", route(self.id, self.number).to_string()),
            Kind::Delete => ("DELETE", String::new()),
        };
        Request::new(method, &path)
            .header("x-api-key", ADMIN_KEY)
            .header("connection", "close")
            .body(body)
    }

    fn apply(self, routes: &mut Routes) {
        match self.kind {
            Kind::Put => _ = routes.0.insert(self.id, self.number),
            Kind::Patch if !routes.0.contains_key(&self.id) => {}
            Kind::Patch => _ = routes.0.insert(self.id, self.number),
            Kind::Delete => _ = routes.0.remove(&self.id),
        }
    }
}

/// A route that answers with the number it was written by. Everything in it follows from the number, and it takes from one
/// page of the file to some dozens.
fn route(id: u64, number: u64) -> Value {
    json!({
        "uri": format!("/{id}"),
        "desc": format!("written by {number}"),
        "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": body(number)}}},
    })
}

fn body(number: u64) -> String {
    let length = match number % 10 {
        0 => 100_000,
        few => usize::try_from(few * 37).expect("a small number"),
    };
    format!("{number} {}", "x".repeat(length))
}

/// The number that a body begins with.
fn number_of(body: &str) -> Option<u64> {
    body.split(' ').next()?.parse().ok()
}

#[test]
fn every_acknowledged_write_outlives_a_kill_and_no_write_is_there_in_part() {
    let kills = std::env::var("TOLLGATE_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut node = NodeSetup::new().start();
    let mut routes = Routes::default();
    let (mut number, mut acknowledged, mut under_way) = (1, 0, 0);
    for kill in 0..kills {
        let target = usize::try_from(random.below(ACKNOWLEDGED_AT_MOST)).expect("a small number");
        let written = write_and_kill(&node, &mut routes, &mut random, &mut number, target);
        acknowledged += written.acknowledged;
        if kill % 8 == 7 {
            kill_at_start(&node, random.below(40));
        }
        node = node.restart_after_kill();
        let found = served(&node);
        if found != routes {
            let mut with_last = routes.clone();
            if let Some(write) = written.under_way {
                write.apply(&mut with_last);
            }
            assert_eq!(found, with_last, "before {written:?}: {routes:?}");
            under_way += 1;
            routes = found;
        }
    }
    println!(
        "{kills} kills, {acknowledged} writes acknowledged, none lost; {under_way} writes under way were found done"
    );
    node.stop();
}

#[derive(Debug)]
struct Written {
    acknowledged: usize,
    /// The write that had not been answered.
    under_way: Option<Write>,
}

/// Writes one route after the other, and kills the process when some writes are acknowledged.
fn write_and_kill(
    node: &Node,
    routes: &mut Routes,
    random: &mut Random,
    number: &mut u64,
    target: usize,
) -> Written {
    let admin = node.admin();
    let acknowledged = AtomicUsize::new(0);
    let under_way = Mutex::new(None);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            loop {
                let write = Write::random(random, *number);
                *number += 1;
                *under_way.lock().expect("nobody has failed") = Some(write);
                let Ok(mut connection) = Connection::try_open(admin) else {
                    return;
                };
                connection.write(&write.request().bytes());
                let answer = connection.until_closed();
                // The first bytes of an answer tell that the write is done; the rest may be cut.
                match answer.get(..12) {
                    Some(b"HTTP/1.1 200" | b"HTTP/1.1 201") => write.apply(routes),
                    Some(b"HTTP/1.1 404") => assert!(!routes.0.contains_key(&write.id), "{write:?}"),
                    None => return,
                    Some(_) => panic!("{write:?}: {}", String::from_utf8_lossy(&answer)),
                }
                *under_way.lock().expect("nobody has failed") = None;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        });
        while acknowledged.load(Ordering::Relaxed) < target && !writer.is_finished() {
            std::thread::yield_now();
        }
        node.process.signal("KILL");
        writer.join().expect("a writer");
    });
    Written {
        acknowledged: acknowledged.into_inner(),
        under_way: under_way.into_inner().expect("nobody has failed"),
    }
}

/// Starts the process in the folder of one that was killed, and kills it wherever it is by then.
fn kill_at_start(node: &Node, turns: u64) {
    let config = node.file("conf/config.yaml");
    let process = Process::start(
        &[
            "run",
            "--listen",
            "127.0.0.1:0",
            "--config",
            config.to_str().expect("text"),
        ],
        &[],
    );
    for _ in 0..turns * 1000 {
        std::thread::yield_now();
    }
    process.signal("KILL");
    process.finish();
}

/// The routes as the Admin API tells them and as calls are answered, which must be the same.
#[track_caller]
fn served(node: &Node) -> Routes {
    let told = node.ask("GET", "/routes", None).json();
    let mut routes = Routes::default();
    for object in told["list"].as_array().expect("a list") {
        let value = &object["value"];
        let id: u64 = value["id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("an id");
        let body = &value["plugins"]["fault-injection"]["abort"]["body"];
        let number: u64 = body.as_str().and_then(number_of).expect("a number");
        let wanted = route(id, number);
        assert!(
            ["uri", "desc", "plugins"]
                .iter()
                .all(|name| value[name] == wanted[name]),
            "route {id} is there in part: {value}"
        );
        routes.0.insert(id, number);
    }
    let mut connection = Connection::open(node.calls);
    for id in 0..ROUTES {
        let answer = connection.send(&Request::new("GET", &format!("/{id}")));
        let served = (answer.status() == 200).then(|| number_of(answer.text()).expect("a number"));
        assert_eq!(
            served,
            routes.0.get(&id).copied(),
            "route {id}: {}",
            answer.text()
        );
    }
    routes
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
