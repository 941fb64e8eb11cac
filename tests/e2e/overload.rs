//! More than the gateway can take on: it refuses what is too much, is never killed, and serves again when that is over.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::harness::{
    Connection, Dialect, Gateway, PATIENCE, Request, Response, Setup, Stream, Upstream, post,
};

const MIB: usize = 1024 * 1024;

/// The memory that the gateway may have.
const LIMIT: usize = 256 * MIB;

/// Clients that send long bodies at once, and how often each does.
const CLIENTS: usize = 16;
const ROUNDS: usize = 2;

/// A body of theirs. Each takes up to three times as much: all at once they are more than twice the limit.
const BODY: usize = 12 * MIB;

/// A control group with a limit of memory, removed in the end.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    killed: &'static str,
}

impl Group {
    /// Makes one; `None` where that is not allowed.
    fn new(name: &str) -> Option<Group> {
        let name = format!("tollgate-test-{name}-{}", std::process::id());
        let versions = [
            (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.oom_control",
            ),
            ("/sys/fs/cgroup", "memory.max", "memory.events"),
        ];
        versions.into_iter().find_map(|(mount, limit, killed)| {
            let folder = PathBuf::from(mount).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Group {
                folder,
                limit,
                killed,
            };
            // A folder that is no group has no such file, and may not get one.
            let is_group = group.folder.join(limit).exists() && group.folder.join("cgroup.procs").exists();
            (is_group && group.set_limit(LIMIT as u64)).then_some(group)
        })
    }

    fn set_limit(&self, bytes: u64) -> bool {
        fs::write(self.folder.join(self.limit), bytes.to_string()).is_ok()
    }

    /// Takes 64 MiB of it: beside a small gateway alone, a hundredth of the limit would be less than a thread needs.
    fn fill(&self) -> Ballast {
        let enter = format!("echo $$ > '{}/cgroup.procs'", self.folder.display());
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "{enter} && exec dd if=/dev/zero bs=64M count=1 status=none"
            ))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        // It writes when it has read all, and keeps that as long as nobody takes it.
        let written = child.stdout.as_mut().expect("its output is taken");
        written.read_exact(&mut [0]).expect("it has read all");
        Ballast(child)
    }

    #[track_caller]
    fn number(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(file)).expect("a file of the group");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

/// A process that only takes memory, and ends with this.
struct Ballast(Child);

impl Drop for Ballast {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process ends a moment after it was killed.
        let deadline = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

fn config(upstream: &Upstream) -> String {
    format!(
        "models: {{m: {{provider: p}}}}\nauth: none\nmetrics: {{listen: \"127.0.0.1:0\"}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", upstream)
    )
}

fn small(gateway: &Gateway) -> Response {
    gateway.send(&post("/v1/chat/completions", Dialect::OpenAi.request("m", false)))
}

fn shed(gateway: &Gateway, reason: &str) -> u64 {
    gateway.counted(&format!("tollgate_calls_shed_total{{reason=\"{reason}\"}}"))
}

/// Waits until a small call is answered well.
#[track_caller]
fn serves(gateway: &Gateway) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = small(gateway);
        if answer.status() == 200 {
            return;
        }
        assert!(Instant::now() < deadline, "{} {}", answer.status(), answer.text());
    }
}

/// Asserts that a call was refused in the words of its dialect.
#[track_caller]
fn is_refused(answer: &Response, dialect: Dialect) {
    // Anthropic has a status of its own for it.
    let status = if dialect == Dialect::Anthropic { 529 } else { 503 };
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(
        dialect.error_message(&answer.body).contains("overloaded"),
        "{}",
        answer.text()
    );
}

#[test]
fn long_bodies_over_many_connections_do_not_kill_a_gateway_of_256_mib() {
    let upstream = Upstream::good("served");
    let group = Group::new("bodies");
    let mut setup = Setup::new(config(&upstream));
    match &group {
        Some(group) => {
            println!("in the control group {} of 256 MiB", group.folder.display());
            setup = setup.in_group(&group.folder);
        }
        None => {
            println!(
                "no control group can be made here: with `max_memory: 256MiB` and a look at the peak instead"
            );
            setup = setup.server("max_memory: 256MiB");
        }
    }
    let gateway = setup.start();
    gateway.stderr().with("memory is limited by");
    let text = "x".repeat(BODY);
    let body = Dialect::OpenAi.request("m", false).replace("Hello", &text);
    let bytes = post("/v1/chat/completions", body).bytes();
    let (good, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    // Who is refused may find its connection closed while it still sends.
                    let mut connection = match Connection::try_open(gateway.address) {
                        Ok(connection) => connection,
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    };
                    connection.write(&bytes);
                    let answer = connection.response();
                    match answer.as_ref().map(Response::status) {
                        Some(200) => good.fetch_add(1, Ordering::Relaxed),
                        None | Some(503) => refused.fetch_add(1, Ordering::Relaxed),
                        Some(_) => panic!("{}", answer.expect("there is one").text()),
                    };
                }
            });
        }
        // Numbers are told meanwhile.
        for _ in 0..20 {
            gateway.counted("tollgate_memory_limit_bytes");
        }
    });
    serves(&gateway);
    let (good, refused) = (good.into_inner(), refused.into_inner());
    let (bodies, memory) = (shed(&gateway, "bodies"), shed(&gateway, "memory"));
    println!("{good} long calls served, {refused} refused ({bodies} for their bodies, {memory} for memory)");
    assert_eq!(good + refused, CLIENTS * ROUNDS);
    assert!(good > 0 && bodies + memory > 0);
    gateway.counts("tollgate_bodies_held_bytes", 0);
    match &group {
        Some(group) => assert_eq!(group.number(group.killed, "oom_kill "), 0),
        None => {
            let status = gateway.told_by_system("status");
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib: usize = peak
                .and_then(|line| line.split_whitespace().next()?.parse().ok())
                .expect("a peak");
            assert!(kib * 1024 < LIMIT, "{kib} KiB");
        }
    }
    gateway.stop();
}

#[test]
fn calls_are_refused_above_nine_tenths_of_the_memory_and_taken_again_below() {
    let Some(group) = Group::new("marks") else {
        println!("not run: no control group can be made here, so its limit cannot be moved");
        return;
    };
    let upstream = Upstream::good("served");
    let _ballast = group.fill();
    let gateway = Setup::new(config(&upstream)).in_group(&group.folder).start();
    assert_eq!(small(&gateway).status(), 200);
    let mut kept = gateway.connect();
    press(&gateway, &group);
    for dialect in Dialect::BOTH {
        is_refused(
            &gateway.send(&post(dialect.path(), dialect.request("m", false))),
            dialect,
        );
    }
    // Connections that were there end with their answer.
    let answer = kept.send(&Request::new("GET", "/v1/models"));
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (503, Some("close"))
    );
    assert_eq!(shed(&gateway, "memory"), 3);
    gateway.stderr().with("memory is short, calls are refused");

    assert!(group.set_limit(LIMIT as u64));
    gateway.counts("tollgate_overload_level", 0);
    assert_eq!(small(&gateway).status(), 200);
    gateway.stderr().with("memory is free again");
    gateway.stop();
}

/// Moves the limit of the group so that 92 % of it are in use, as the gateway sees it.
#[track_caller]
fn press(gateway: &Gateway, group: &Group) {
    let limited = |bytes: u64| {
        assert!(group.set_limit(bytes), "{bytes}");
        gateway.counts("tollgate_memory_limit_bytes", bytes);
        gateway.counted("tollgate_overload_level")
    };
    // What is in use may move a little meanwhile.
    for _ in 0..20 {
        let pages = gateway.counted("tollgate_memory_used_bytes") * 100 / 92 / 4096;
        if limited(pages * 4096) == 2 {
            return;
        }
        assert_eq!(limited(LIMIT as u64), 0);
    }
    panic!("the memory in use does not stand still");
}

#[test]
fn more_calls_than_max_calls_are_refused_in_the_words_of_their_dialect() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let gateway = Setup::new(config(&upstream))
        .single()
        .server("max_calls: 2")
        .start();
    let open = || -> Stream {
        let request = post("/v1/chat/completions", Dialect::OpenAi.request("m", true));
        let mut stream = gateway.connect().stream(&request);
        stream.until("first");
        stream
    };
    let mut streams = [open(), open()];
    for dialect in Dialect::BOTH {
        is_refused(
            &gateway.send(&post(dialect.path(), dialect.request("m", false))),
            dialect,
        );
    }
    assert_eq!(shed(&gateway, "calls"), 2);
    for stream in &mut streams {
        proceed.send(()).expect("the provider waits");
        stream.is_done();
    }
    serves(&gateway);
    gateway.stop();
}

#[test]
fn connections_end_with_their_answer_while_there_are_few_places() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(config(&upstream))
        .single()
        .server("max_connections: 100")
        .start();
    let models = Request::new("GET", "/v1/models");
    let mut first = gateway.connect();
    assert_eq!(first.send(&models).header("connection"), None);
    let others: Vec<Connection> = (0..89).map(|_| gateway.connect()).collect();
    gateway.counts("tollgate_connections_open", 90);
    gateway.counts("tollgate_overload_level", 1);
    assert_eq!(first.send(&models).header("connection"), Some("close"));
    assert!(first.is_closed());
    drop(others);
    gateway.counts("tollgate_overload_level", 0);
    assert_eq!(gateway.connect().send(&models).header("connection"), None);
    gateway.stop();
}
