//! Real Redis servers for tests: single ones, clusters and sentinels, on free ports. They end with the test.
#![allow(dead_code, reason = "not all tests need all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::port::Port;

/// The option that makes a server a sentinel.
const SENTINEL: &str = "sentinel";

/// How long a server may take for what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `redis-server`.
pub struct RedisServer {
    /// The port it answers on without encryption.
    pub port: u16,
    reserved: Vec<Port>,
    child: Child,
    folder: PathBuf,
    options: Vec<String>,
    login: Option<(String, String)>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on the disk. Options are lines of its file.
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(options, None)
    }

    /// Starts a server; the test signs in as this user.
    pub fn start_with(options: &[&str], login: Option<(&str, &str)>) -> Self {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let folder = folder();
        let reserved = Port::reserve();
        let port = reserved.number;
        let Some(child) = spawn(port, &folder, &options, login.as_ref()) else {
            panic!("redis-server does not start with {options:?}; tests/prepare installs it");
        };
        RedisServer {
            port,
            reserved: vec![reserved],
            child,
            folder,
            options,
            login,
        }
    }

    /// Keeps a port that its options name for as long as the server lives.
    pub fn holding(mut self, port: Port) -> Self {
        self.reserved.push(port);
        self
    }

    /// Ends it at once. What it knew is lost.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.folder, &self.options, self.login.as_ref())
            .expect("redis-server starts again");
    }

    /// Stops it from doing anything; connections stay open.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Sends a command and returns its answer as text, arrays line by line; errors begin with `-`.
    pub fn ask(&self, words: &[&str]) -> String {
        ask(self.port, self.login.as_ref(), words).unwrap_or_else(|| format!("-no answer to {words:?}"))
    }

    /// Asks until the answer is as wanted.
    pub fn wait_for(&self, words: &[&str], is_good: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(words);
            if is_good(&answer) {
                return;
            }
            assert!(Instant::now() < until, "{words:?} stays {answer}");
            std::thread::yield_now();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Three masters that share the slots evenly.
pub fn cluster() -> Vec<RedisServer> {
    let nodes: Vec<RedisServer> = (0..3)
        .map(|_| {
            let port = Port::reserve();
            let bus = format!("cluster-port {}", port.number);
            RedisServer::start(&[
                "cluster-enabled yes",
                &bus,
                "cluster-node-timeout 2000",
                "cluster-require-full-coverage no",
            ])
            .holding(port)
        })
        .collect();
    for (number, (node, range)) in nodes
        .iter()
        .zip([(0, 5460), (5461, 10922), (10923, 16383)])
        .enumerate()
    {
        let (from, to) = (range.0.to_string(), range.1.to_string());
        assert_eq!(
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]),
            "OK"
        );
        assert_eq!(node.ask(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]), "OK");
    }
    for other in &nodes[1..] {
        let port = other.port.to_string();
        let bus = option(other, "cluster-port ");
        assert_eq!(nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
    }
    for node in &nodes {
        node.wait_for(&["CLUSTER", "INFO"], |info| {
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        });
        node.wait_for(&["CLUSTER", "SLOTS"], |slots| {
            slots.lines().filter(|line| *line == "127.0.0.1").count() == 3
        });
    }
    nodes
}

/// A master, its replica, and a sentinel that watches them under the name `counters`.
pub struct Sentinels {
    /// The master at the beginning.
    pub master: RedisServer,
    /// What follows it.
    pub replica: RedisServer,
    /// Who watches both.
    pub sentinel: RedisServer,
}

/// Starts a master, its replica and a sentinel.
pub fn sentinels() -> Sentinels {
    let master = RedisServer::start(&[]);
    let follows = format!("replicaof 127.0.0.1 {}", master.port);
    let replica = RedisServer::start(&[&follows, "repl-diskless-sync-delay 0"]);
    replica.wait_for(&["ROLE"], |role| role.contains("connected"));
    let sentinel = RedisServer::start(&[SENTINEL]);
    let port = master.port.to_string();
    assert_eq!(
        sentinel.ask(&["SENTINEL", "MONITOR", "counters", "127.0.0.1", &port, "1"]),
        "OK"
    );
    for (name, value) in [("down-after-milliseconds", "300"), ("failover-timeout", "3000")] {
        assert_eq!(sentinel.ask(&["SENTINEL", "SET", "counters", name, value]), "OK");
    }
    let known = replica.port.to_string();
    sentinel.wait_for(&["SENTINEL", "REPLICAS", "counters"], |replicas| {
        replicas.lines().any(|line| line == known)
    });
    Sentinels {
        master,
        replica,
        sentinel,
    }
}

fn option(server: &RedisServer, name: &str) -> String {
    let mut options = server
        .options
        .iter()
        .filter_map(|option| option.strip_prefix(name));
    options.next().unwrap_or_default().to_owned()
}

fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tollgate-redis-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Starts the process and waits until it answers; nothing if it ends before.
fn spawn(port: u16, folder: &Path, options: &[String], login: Option<&(String, String)>) -> Option<Child> {
    // Sentinels write into their file, so it is not written anew.
    let file = folder.join("redis.conf");
    if !file.exists() {
        let lines = options.iter().filter(|option| *option != SENTINEL);
        let lines: String = lines.map(|option| format!("{option}\n")).collect();
        std::fs::write(&file, lines).expect("a file");
    }
    let port_text = port.to_string();
    // Ends with the test also when the test is killed.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "redis-server"]).arg(&file);
    if options.iter().any(|option| option == SENTINEL) {
        command.arg("--sentinel");
    }
    command.args([
        "--port",
        &port_text,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    command
        .args(["--daemonize", "no", "--loglevel", "warning", "--dir"])
        .arg(folder);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let until = Instant::now() + PATIENCE;
    loop {
        if child.try_wait().ok()?.is_some() {
            return None;
        }
        if ask(port, login, &["PING"]).as_deref() == Some("PONG") {
            return Some(child);
        }
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::yield_now();
    }
}

fn ask(port: u16, login: Option<&(String, String)>, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    if let Some((user, password)) = login {
        write(&mut stream, &["AUTH", user, password])?;
        read(&mut reader)?;
    }
    write(&mut stream, words)?;
    read(&mut reader)
}

fn write(stream: &mut TcpStream, words: &[&str]) -> Option<()> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes()).ok()
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end();
    match line.get(..1)? {
        "+" | ":" => Some(line[1..].to_owned()),
        "$" => {
            let Ok(length) = line[1..].parse::<usize>() else {
                return Some(String::new());
            };
            let mut text = vec![0; length + 2];
            reader.read_exact(&mut text).ok()?;
            text.truncate(length);
            String::from_utf8(text).ok()
        }
        "*" => {
            let length: usize = line[1..].parse().unwrap_or(0);
            let parts: Option<Vec<String>> = (0..length).map(|_| read(reader)).collect();
            Some(parts?.join("\n"))
        }
        _ => Some(line.to_owned()),
    }
}
