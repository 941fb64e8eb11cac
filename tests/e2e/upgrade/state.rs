//! What only one process may have goes over: no acknowledged write, no row of the ledger and no conversation is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::Rig;
use super::clients::{Clients, Way};
use super::rig::ADMIN_KEY;
use super::under_load::config;
use crate::harness::{Connection, Request, Upstream, post, run};

const UPGRADES: usize = 3;

/// Writes routes one after the other until it is stopped. Gives what each route was last acknowledged to be, and what failed.
fn write(
    rig: &Rig,
    writer: usize,
    stop: &Arc<AtomicBool>,
    acknowledged: &Arc<Mutex<usize>>,
) -> std::thread::JoinHandle<(BTreeMap<String, usize>, Vec<String>)> {
    let (admin, stop, acknowledged) = (rig.admin, stop.clone(), acknowledged.clone());
    std::thread::spawn(move || {
        let (mut routes, mut failed) = (BTreeMap::new(), Vec::new());
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let id = format!("{writer}-{}", number % 5);
            let route = json!({
                "uri": format!("/{id}"),
                "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": number.to_string()}}},
            });
            let request = Request::new("PUT", &format!("/apisix/admin/routes/{id}"))
                .header("x-api-key", ADMIN_KEY)
                .header("connection", "close")
                .body(route.to_string());
            let answer = Connection::try_open(admin).map(|mut connection| {
                connection.write(&request.bytes());
                connection.response().map_or(0, |answer| answer.status())
            });
            match answer {
                Ok(200 | 201) => {
                    routes.insert(id, number);
                    *acknowledged.lock().expect("no test has failed") += 1;
                }
                other => failed.push(format!("{other:?}")),
            }
        }
        (routes, failed)
    })
}

#[test]
fn no_acknowledged_write_and_no_row_of_the_ledger_is_lost() {
    let upstream = Upstream::good("unused");
    let rig = Rig::start(&config(&upstream, ""));
    let clients = Clients::start(&Way::new(rig.calls, None), 1);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
    let writers: Vec<_> = (0..2)
        .map(|writer| write(&rig, writer, &stop, &acknowledged))
        .collect();
    for upgrade in 1..=UPGRADES {
        rig.upgrade();
        let before = *acknowledged.lock().expect("no test has failed");
        clients.go_on(50);
        let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
        while *acknowledged.lock().expect("no test has failed") < before + 5 {
            assert!(
                std::time::Instant::now() < deadline,
                "no write after upgrade {upgrade}"
            );
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        let (routes, failed) = writer.join().expect("a writer does not panic");
        // A write that came while nobody had the store has waited for the new process.
        assert!(failed.is_empty(), "{failed:?}");
        for (id, number) in routes {
            let answer = Connection::open(rig.calls).send(&Request::new("GET", &format!("/{id}")));
            assert_eq!(answer.text(), number.to_string(), "{id}");
            let kept =
                Request::new("GET", &format!("/apisix/admin/routes/{id}")).header("x-api-key", ADMIN_KEY);
            let kept = rig.administrate(&kept).json();
            let body = &kept["value"]["plugins"]["fault-injection"]["abort"]["body"];
            assert_eq!(body, &json!(number.to_string()), "{id}");
            written += 1;
        }
    }
    assert_eq!(written, 10);
    let seen = clients.stop();
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);
    let writes = *acknowledged.lock().expect("no test has failed");
    println!(
        "{UPGRADES} upgrades, {writes} writes acknowledged, {} calls, nothing lost",
        seen.good
    );

    let (_finished, folder) = rig.stop();
    let data = folder.path().join("data");
    let arguments = [
        "usage",
        "--data-dir",
        data.to_str().expect("text"),
        "--by",
        "model_asked",
        "--json",
    ];
    let finished = run(&arguments, &[]);
    let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["model_asked"] == "m").expect("a row");
    assert_eq!(row["calls"], json!(seen.good), "{report}");
}

#[test]
fn conversations_go_on_in_the_new_process_and_those_of_the_old_one_are_found_there() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let rig = Rig::start(&config(&upstream, ""));
    let turn = |body: Value| {
        let answer = Connection::open(rig.calls).send(&post("/v1/responses", body.to_string()));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let of_old = turn(json!({"model": "m", "input": "Hello"}));
    // A stream that the old process finishes when the new one serves.
    let asked = json!({"model": "held", "input": "Hello", "stream": true, "previous_response_id": of_old});
    let mut stream = Connection::open(rig.calls).stream(&post("/v1/responses", asked.to_string()));
    stream.until("first");
    rig.upgrade();
    let of_new = turn(json!({"model": "m", "input": "And?", "previous_response_id": of_old}));
    // From here on three processes share a file.
    rig.upgrade();
    let of_newest = turn(json!({"model": "m", "input": "And?", "previous_response_id": of_new}));
    proceed.send(()).expect("the provider waits");
    let events = stream.rest();
    let last = events.last().expect("an event").json();
    let of_stream = last["response"]["id"].as_str().expect("an id").to_owned();
    let of_both = turn(json!({"model": "m", "input": "And?", "previous_response_id": of_stream}));
    rig.stderr().with("the process before has finished its calls");
    rig.upgrade();
    for id in [of_old, of_new, of_newest, of_stream, of_both] {
        turn(json!({"model": "m", "input": "And?", "previous_response_id": id}));
    }
    rig.stop();
}
