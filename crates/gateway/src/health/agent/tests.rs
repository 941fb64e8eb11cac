use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use http::HeaderValue;
use serde_json::{Value, json};

use super::{Agent, Names};
use crate::health::{Check, CheckTarget, Credentials, Duty, OnDuty};
use crate::plugins::SharedState;

/// Long enough for any machine; nothing waits for it when all goes well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that answers every request with a status, or closes the connection for 0.
struct Server {
    address: SocketAddr,
    status: Arc<AtomicUsize>,
    seen: Arc<Seen>,
}

/// What a server was asked.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    came: Condvar,
}

impl Server {
    fn start(status: usize) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            status: Arc::new(AtomicUsize::new(status)),
            seen: Arc::default(),
        };
        let (status, seen) = (server.status.clone(), server.seen.clone());
        // Ends with the test's process.
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                seen.requests.lock().unwrap().push(request);
                seen.came.notify_all();
                let status = status.load(Ordering::SeqCst);
                if status > 0 {
                    let answer =
                        format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        server
    }

    fn asked(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    /// Looks whenever this server is asked: an address is asked again only when what was found before is known.
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        loop {
            let asked = self.asked();
            if is_so() {
                return;
            }
            let seen = self.seen.requests.lock().unwrap();
            drop(
                self.seen
                    .came
                    .wait_timeout_while(seen, PATIENCE, |seen| seen.len() == asked),
            );
            assert!(begun.elapsed() < PATIENCE, "{what}");
        }
    }
}

fn check(host: &str, port: u16, conf: Value) -> Check {
    let target = CheckTarget {
        host: host.to_owned(),
        port,
        authority: HeaderValue::from_static("api.example.com"),
    };
    let nothing = Credentials {
        headers: &[],
        query: "",
    };
    let mut check = Check::new(&serde_json::from_value(conf).unwrap(), target, &nothing).unwrap();
    check.interval_healthy = Duration::from_millis(5);
    check.interval_unhealthy = Duration::from_millis(5);
    check
}

fn enlist(state: &SharedState, name: &str, check: Check) -> Arc<OnDuty> {
    let duty = Duty {
        owner: "route/1",
        name,
        place: "here",
        passive: None,
        check: Some(check),
    };
    state.roster().enlist(duty, state)
}

fn is_usable(on_duty: &OnDuty) -> bool {
    on_duty.health.is_usable(Instant::now())
}

#[test]
fn an_instance_that_fails_is_found_ill_and_well_again() {
    let server = Server::start(200);
    let state = SharedState::default();
    let _agent = Agent::start(state.roster(), Names::default()).unwrap();
    let conf = json!({"http_path": "/health", "req_headers": ["X-Who: me"], "host": "check.example.com"});
    let on_duty = enlist(&state, "a", check("127.0.0.1", server.address.port(), conf));
    server.wait_until("it is asked", || server.asked() > 0);
    let request = server.seen.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.starts_with("get /health http/1.1\r\n"), "{request}");
    assert!(
        request.contains("\r\nhost: check.example.com\r\n") && request.contains("\r\nx-who: me\r\n"),
        "{request}"
    );
    for failure in [500, 0] {
        server.status.store(failure, Ordering::SeqCst);
        server.wait_until("it is found ill", || !is_usable(&on_duty));
        server.status.store(200, Ordering::SeqCst);
        server.wait_until("it is found well", || is_usable(&on_duty));
    }
    let text = state.metrics().text();
    for result in ["success", "bad_status", "connection"] {
        let line = format!(
            "tollgate_instance_probes_total{{owner=\"route/1\",instance_name=\"a\",result=\"{result}\"}} "
        );
        let count = text.lines().find_map(|one| one.strip_prefix(&line)).unwrap();
        assert!(count.parse::<u64>().unwrap() > 0, "{result}");
    }
}

#[test]
fn a_closed_port_and_one_that_never_answers_are_found_ill() {
    let (free, beside) = (TcpListener::bind("127.0.0.1:0").unwrap(), Server::start(200));
    let port = free.local_addr().unwrap().port();
    let state = SharedState::default();
    let _agent = Agent::start(state.roster(), Names::default()).unwrap();
    let _beside = enlist(
        &state,
        "beside",
        check("127.0.0.1", beside.address.port(), json!({})),
    );
    // It takes connections and says nothing.
    let silent = enlist(
        &state,
        "silent",
        check("127.0.0.1", port, json!({"timeout": 0.02})),
    );
    beside.wait_until("it is found late", || !is_usable(&silent));
    let open = enlist(&state, "open", check("127.0.0.1", port, json!({"type": "tcp"})));
    let is_success =
        |line: &str| line.contains("instance_name=\"open\",result=\"success\"") && !line.ends_with(" 0");
    beside.wait_until("it is asked", || state.metrics().text().lines().any(is_success));
    assert!(is_usable(&open));
    drop(free);
    beside.wait_until("it is found closed", || !is_usable(&open));
}

#[test]
fn names_are_looked_up_again_and_every_address_is_asked() {
    let (ill, well) = (Server::start(500), Server::start(200));
    let named = Arc::new(Mutex::new(vec![ill.address, well.address]));
    let names = Names {
        resolve: {
            let named = named.clone();
            Box::new(move |_, _| {
                let addresses = named.lock().unwrap().clone();
                Box::pin(async move {
                    if addresses.is_empty() {
                        return Err(std::io::Error::other("no such name"));
                    }
                    Ok(addresses)
                })
            })
        },
        every: Duration::from_millis(5),
    };
    let state = SharedState::default();
    let _agent = Agent::start(state.roster(), names).unwrap();
    let on_duty = enlist(&state, "a", check("api.example.com", 80, json!({})));
    let addresses = || on_duty.health.addresses().map(|all| all.to_vec());
    well.wait_until("one is found ill", || addresses() == Some(vec![well.address]));
    // What cannot be looked up for a while stays as it was.
    named.lock().unwrap().clear();
    *named.lock().unwrap() = vec![ill.address];
    ill.wait_until("the one that is well goes", || !is_usable(&on_duty));
    assert_eq!(addresses(), Some(vec![ill.address]));
    let new = Server::start(200);
    named.lock().unwrap().push(new.address);
    new.wait_until("a new one comes", || addresses() == Some(vec![new.address]));
    assert!(is_usable(&on_duty));
}

#[test]
fn what_leaves_service_is_not_asked_any_more() {
    let (gone, staying) = (Server::start(200), Server::start(200));
    let state = SharedState::default();
    let _agent = Agent::start(state.roster(), Names::default()).unwrap();
    let before = enlist(&state, "a", check("127.0.0.1", gone.address.port(), json!({})));
    gone.wait_until("it is asked", || gone.asked() > 0);
    let _after = enlist(&state, "a", check("127.0.0.1", staying.address.port(), json!({})));
    drop(before);
    staying.wait_until("the new one is asked", || staying.asked() > 0);
    let asked = gone.asked();
    let until = staying.asked() + 20;
    staying.wait_until("the new one is asked often", || staying.asked() > until);
    // One may have been on its way.
    assert!(gone.asked() <= asked + 1);
}
