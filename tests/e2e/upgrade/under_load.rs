//! Nobody is refused and nothing is cut while the binary is exchanged under load.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::Rig;
use super::clients::{Clients, Way};
use crate::harness::{Connection, Dialect, Request, Upstream, post, signal};

/// How often it is exchanged.
const UPGRADES: usize = 3;

/// A simulated model, and one whose streams are held.
pub fn config(upstream: &Upstream, server: &str) -> String {
    format!(
        "models:\n  m: {{provider: simulated}}\n  held: {{provider: p}}\nauth: none\nmetrics: {{listen: \"127.0.0.1:0\"}}\n\
         server: {{access_log: {{format: json}}{server}}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", upstream)
    )
}

fn held() -> Request {
    post("/v1/chat/completions", Dialect::OpenAi.request("held", true))
}

#[test]
fn no_connection_is_refused_and_no_stream_is_cut() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let rig = Rig::start(&config(&upstream, ""));
    let clients = Clients::start(&Way::new(rig.calls, None), 4);
    let mut streams = Vec::new();
    let mut processes = vec![rig.serving()];
    for _ in 0..UPGRADES {
        // Each process leaves an open stream behind.
        let mut stream = Connection::open(rig.calls).stream(&held());
        stream.until("first");
        streams.push(stream);
        clients.go_on(200);
        processes.push(rig.upgrade());
        clients.go_on(200);
    }
    processes.dedup();
    assert_eq!(processes.len(), UPGRADES + 1, "each time another process serves");
    // All of them are still there, for their streams.
    for process in &processes {
        assert!(
            fs::exists(format!("/proc/{process}")).expect("a path"),
            "{process}"
        );
    }
    for mut stream in streams {
        proceed.send(()).expect("the provider waits");
        stream.until("last");
        stream.is_done();
    }
    // What the old processes had to finish is finished: they end by themselves.
    rig.stderr().with("the process before has finished its calls");
    clients.go_on(200);
    let seen = clients.stop();
    println!(
        "{UPGRADES} upgrades, {} calls, {} failed",
        seen.good,
        seen.bad.len()
    );
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);

    let (finished, _folder) = rig.stop();
    let logged = finished
        .stdout
        .lines()
        .filter(|line| line.contains(r#""outcome":"ok""#))
        .count();
    assert_eq!(
        logged,
        seen.good + UPGRADES,
        "each call is logged once, by the process that served it"
    );
}

#[test]
fn no_connection_is_refused_over_tls() {
    let upstream = Upstream::good("unused");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let files = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    fs::write(&certificate, cert.pem()).expect("a file can be written");
    fs::write(&key, signing_key.serialize_pem()).expect("a file can be written");
    let tls = format!(
        ", tls: {{cert_file: {}, key_file: {}}}",
        certificate.display(),
        key.display()
    );
    let rig = Rig::start(&config(&upstream, &tls));
    let clients = Clients::start(&Way::new(rig.calls, Some(cert.der())), 2);
    for _ in 0..2 {
        clients.go_on(50);
        rig.upgrade();
    }
    clients.go_on(50);
    let seen = clients.stop();
    println!(
        "2 upgrades, {} calls over TLS, {} failed",
        seen.good,
        seen.bad.len()
    );
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);
    rig.stop();
}

#[test]
fn workers_may_be_more_or_fewer_in_the_new_process() {
    let upstream = Upstream::good("unused");
    let rig = Rig::start(&config(&upstream, ", workers: 3"));
    let clients = Clients::start(&Way::new(rig.calls, None), 2);
    for workers in [1, 4] {
        rig.write_config(&config(&upstream, &format!(", workers: {workers}")));
        clients.go_on(50);
        rig.upgrade();
        clients.go_on(50);
    }
    let seen = clients.stop();
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);
    rig.stop();
}

#[test]
fn a_signal_does_the_same_and_an_old_process_can_be_told_to_hurry() {
    let (upstream, _proceed) = Upstream::paused("first", "last");
    let rig = Rig::start(&config(&upstream, ", drain: 200ms"));
    let mut stream = Connection::open(rig.calls).stream(&held());
    stream.until("first");
    let first = rig.first();
    signal(first, "USR2");
    let second = rig.serves_after(first);
    rig.stderr().with(&format!("process {second} serves now"));
    // Its stream may go on; to stop it begins the drain time.
    signal(first, "TERM");
    assert!(stream.is_cut());
    rig.stderr().with("the process before has finished its calls");
    rig.stop();
}
