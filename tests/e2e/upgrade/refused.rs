//! A new process that does not start leaves the old one as it was.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;

use serde_json::json;

use super::Rig;
use super::clients::{Clients, Way};
use super::rig::ADMIN_KEY;
use super::under_load::config;
use crate::harness::{Connection, PATIENCE, Request, Upstream, run, signal};

/// Writes a route that answers by itself.
fn put(id: &str, body: &str) -> Request {
    let route = json!({
        "uri": format!("/{id}"),
        "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": body}}},
    });
    Request::new("PUT", &format!("/apisix/admin/routes/{id}"))
        .header("x-api-key", ADMIN_KEY)
        .body(route.to_string())
}

#[track_caller]
fn answers(rig: &Rig, id: &str, body: &str) {
    let answer = Connection::open(rig.calls).send(&Request::new("GET", &format!("/{id}")));
    assert_eq!((answer.status(), answer.text()), (200, body));
}

#[test]
fn the_old_process_goes_on_serving_and_says_why() {
    let upstream = Upstream::good("unused");
    let good = config(&upstream, "");
    let rig = Rig::start(&good);
    let process = rig.serving();
    let clients = Clients::start(&Way::new(rig.calls, None), 1);
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a port");
    let occupied = occupied.local_addr().expect("an address");
    let elsewhere = good.replace("listen: \"127.0.0.1:0\"", &format!("listen: \"{occupied}\""));
    let cases: [(&str, &dyn Fn(), &str); 6] = [
        ("the binary is missing", &|| rig.remove_binary(), "cannot start"),
        (
            "the binary is none",
            &|| rig.put_script("exit 7"),
            "ended before it served (exit status: 7)",
        ),
        (
            "it is killed",
            &|| rig.put_script("kill -9 $$"),
            "ended before it served (signal: 9",
        ),
        (
            "it says something else",
            &|| rig.put_script("echo ready >&0; exec sleep 600"),
            "says what is not understood: ready",
        ),
        (
            "the configuration has mistakes",
            &|| {
                rig.put_binary();
                rig.write_config(&good.replace("held:", "held: {provider: nobody}\n  other:"));
            },
            "nobody",
        ),
        (
            // This is found out when the store has been handed over.
            "an address is in use",
            &|| rig.write_config(&elsewhere),
            "cannot listen on",
        ),
    ];
    for (number, (what, happens, reason)) in cases.into_iter().enumerate() {
        let (id, body) = (format!("before-{number}"), format!("written before {what}"));
        assert_eq!(rig.administrate(&put(&id, &body)).status(), 201, "{what}");
        happens();
        let finished = rig.ask();
        assert_eq!(finished.status.code(), Some(1), "{what}: {finished:?}");
        assert!(
            finished
                .stderr
                .contains(&format!("process {process} goes on serving")),
            "{what}: {finished:?}"
        );
        assert!(finished.stderr.contains(reason), "{what}: {finished:?}");
        rig.stderr()
            .times("upgrade failed, this process goes on serving", number + 1);
        assert_eq!(rig.serving(), process, "{what}");
        answers(&rig, &id, &body);
        // Changes are taken as before.
        assert_eq!(rig.administrate(&put(&id, "changed")).status(), 200, "{what}");
        answers(&rig, &id, "changed");
        rig.told("process_resident_memory_bytes");
    }
    clients.go_on(20);
    // And then it works.
    rig.write_config(&good);
    rig.upgrade();
    answers(&rig, "before-5", "changed");
    clients.go_on(20);
    let seen = clients.stop();
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);
    rig.stop();
}

#[test]
fn a_new_process_that_hangs_is_killed_in_time() {
    let upstream = Upstream::good("unused");
    let rig = Rig::start(&config(&upstream, ", upgrade_timeout: 300ms"));
    rig.put_script("exec sleep 600");
    let finished = rig.ask();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let reason = "not ready within 300 ms (server.upgrade_timeout)";
    assert!(finished.stderr.contains(reason), "{finished:?}");
    assert_eq!(rig.administrate(&put("after", "served")).status(), 201);
    answers(&rig, "after", "served");
    // The output ends, so nothing of the new process is left.
    rig.stop();
}

#[test]
fn an_upgrade_does_not_keep_the_process_from_ending() {
    let upstream = Upstream::good("unused");
    let rig = Rig::start(&config(&upstream, ""));
    rig.put_script("echo begun >&2; exec sleep 600");
    signal(rig.first(), "USR2");
    rig.stderr().with("begun");
    // The new process is killed: it has the output of the old one open, and `stop` waits for its end.
    rig.stop();
}

#[test]
fn who_is_not_there_is_not_upgraded() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("tollgate.pid");
    let ask = |arguments: &[&str]| {
        let finished = run(&[&["upgrade"], arguments].concat(), &[]);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        finished.stderr
    };
    let named = ["--pid-file", file.to_str().expect("text")];
    assert!(ask(&named).contains("tollgate.pid: No such file"));
    std::fs::write(&file, "nonsense").expect("a file can be written");
    assert!(ask(&named).contains("there is no process id in it"));
    // A process that is no gateway gets no signal, which would end it.
    let own = std::process::id().to_string();
    let told = ask(&["--pid", &own]);
    assert!(
        told.contains(&format!("no tollgate of this user with process id {own}")),
        "{told}"
    );
}

#[test]
fn systemd_is_told_who_serves() {
    let upstream = Upstream::good("unused");
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let told = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).expect("a word");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let env = [("NOTIFY_SOCKET", path.to_str().expect("text"))];
    let rig = Rig::start_with(&config(&upstream, ""), &env);
    assert_eq!(told(), "READY=1");
    let second = rig.upgrade();
    assert_eq!(told(), format!("MAINPID={second}"));
    rig.stop();
    assert_eq!(told(), "STOPPING=1");
}
