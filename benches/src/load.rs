//! One run of load. Every answer is checked: right number, all pieces, right end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::check::Check;
use crate::http::{read_body, read_head};
use crate::latency::Latency;
use crate::link::{Dialer, Link};
use crate::process;
use crate::profile::{NONCE, now_us};

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// Where, `host:port`; connections take turns.
    pub addresses: Vec<String>,
    /// The certificate to trust, if it is asked over TLS.
    pub certificate: Option<PathBuf>,
    /// The path.
    pub path: String,
    /// The model.
    pub model: String,
    /// Further headers, `name: value`.
    pub headers: Vec<String>,
    /// `{n}` in path and headers stands for a number below this, another one in every request.
    pub spread: u64,
    /// Whether it is Anthropic's format.
    pub anthropic: bool,
    /// Whether a stream is wanted, and of how many pieces.
    pub pieces: Option<u32>,
    /// Bytes that make the request larger.
    pub padding: usize,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Pace {
    /// So many connections, each asks again when it is answered.
    Connections(usize),
    /// So many connections, each asks once and is kept.
    Idle(usize),
    /// So many requests per second, whether or not they are answered.
    Rate(u32),
}

/// What came of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers that were right.
    pub answers: u64,
    /// What was wrong with the others, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Answers per second.
    pub per_second: f64,
    /// Pieces of streams.
    pub pieces: u64,
    /// Processor time of the measured processes for one answer, in microseconds.
    pub cpu_us: f64,
    /// For one piece of a stream; 0 without streams.
    pub cpu_us_per_piece: f64,
    /// Half of all answers took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The same of pieces, from the provider's writing to the client's reading.
    pub piece_p50_ms: f64,
    /// The same of pieces.
    pub piece_p99_ms: f64,
    /// Memory before the run, in KiB.
    pub memory_before_kib: u64,
    /// The most memory during the run.
    pub memory_peak_kib: u64,
    /// Memory that was taken before any load, in KiB, where it was looked at.
    pub idle_kib: Option<u64>,
    /// Processors that others than the measured processes used meanwhile, this load included.
    pub others: f64,
}

struct Shared {
    ask: Ask,
    dialer: Dialer,
    /// So many connections are made at a time, so that no queue of a listener overflows.
    dialing: Semaphore,
    dialed: Cell<usize>,
    measuring: Cell<bool>,
    over: Cell<bool>,
    next: Cell<u64>,
    answers: Cell<u64>,
    pieces: Cell<u64>,
    errors: RefCell<BTreeMap<String, u64>>,
    latency: RefCell<Latency>,
    piece_latency: RefCell<Latency>,
    idle: RefCell<Vec<Link>>,
}

/// Runs the load: first `warm_up` unmeasured, and as long as it takes until every turn was asked for twice, then `duration`.
/// Processes are measured with all below them.
///
/// # Errors
/// The first connection cannot be made.
pub async fn run(
    ask: Ask,
    pace: Pace,
    warm_up: Duration,
    duration: Duration,
    pids: &[u32],
) -> io::Result<Outcome> {
    let shared = Rc::new(Shared::new(ask)?);
    shared.dial().await?;
    let family: Vec<u32> = pids.iter().flat_map(|pid| process::family(*pid)).collect();
    let memory_before_kib = process::usage(&family).memory_kib;
    let clients = match pace {
        Pace::Connections(count) => connected(&shared, count).await,
        Pace::Rate(rate) => vec![tokio::task::spawn_local(open_loop(shared.clone(), rate))],
        Pace::Idle(count) => {
            keep_idle(&shared, count).await;
            Vec::new()
        }
    };
    tokio::time::sleep(warm_up).await;
    let warm = shared.next.get() + shared.ask.spread * 2;
    let patience = Instant::now() + LONGEST_WARM_UP;
    while shared.next.get() < warm && Instant::now() < patience {
        tokio::time::sleep(SAMPLE).await;
    }
    let (before, busy_before, began) = (process::usage(&family), process::machine_busy(), Instant::now());
    shared.measuring.set(true);
    let mut memory_peak_kib = before.memory_kib;
    while began.elapsed() < duration {
        tokio::time::sleep(SAMPLE).await;
        memory_peak_kib = memory_peak_kib.max(process::usage(&family).memory_kib);
    }
    shared.measuring.set(false);
    let (after, busy_after, took) = (
        process::usage(&family),
        process::machine_busy(),
        began.elapsed().as_secs_f64(),
    );
    shared.over.set(true);
    for client in clients {
        // A connection that hangs is counted as such, not waited for.
        if tokio::time::timeout(LAST_ANSWER, client).await.is_err() {
            shared.error("no end");
        }
    }
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    let (answers, pieces) = (shared.answers.get(), shared.pieces.get());
    if answers == 0 && pieces == 0 && !matches!(pace, Pace::Idle(_)) {
        shared.error("nothing was answered");
    }
    let per = |count: u64| match count {
        0 => 0.0,
        count => cpu * 1e6 / count as f64,
    };
    let (latency, piece_latency) = (shared.latency.borrow(), shared.piece_latency.borrow());
    Ok(Outcome {
        answers,
        errors: shared.errors.borrow().clone(),
        per_second: answers as f64 / took,
        pieces,
        cpu_us: per(answers),
        cpu_us_per_piece: per(pieces),
        p50_ms: latency.quantile_ms(0.5),
        p99_ms: latency.quantile_ms(0.99),
        piece_p50_ms: piece_latency.quantile_ms(0.5),
        piece_p99_ms: piece_latency.quantile_ms(0.99),
        memory_before_kib,
        memory_peak_kib,
        idle_kib: None,
        others: (busy_after.saturating_sub(busy_before).as_secs_f64() - cpu) / took,
    })
}

/// Makes so many calls one after another over one connection.
///
/// # Errors
/// A call fails.
pub async fn calls(ask: Ask, count: u64) -> io::Result<()> {
    let shared = Shared::new(ask)?;
    let mut connection = None;
    for _ in 0..count {
        connection = call(&shared, connection).await;
        if let Some((error, _)) = shared.errors.borrow().first_key_value() {
            return Err(io::Error::other(error.clone()));
        }
    }
    Ok(())
}

/// Makes all connections before the first of them asks.
async fn connected(shared: &Rc<Shared>, count: usize) -> Vec<JoinHandle<()>> {
    let dialing: Vec<_> = (0..count)
        .map(|_| {
            let shared = shared.clone();
            tokio::task::spawn_local(async move { shared.dial().await })
        })
        .collect();
    let mut clients = Vec::with_capacity(count);
    for dialed in dialing {
        let link = match dialed.await {
            Ok(Ok(link)) => Some(link),
            Ok(Err(error)) => {
                shared.error(&error.to_string());
                None
            }
            Err(_) => None,
        };
        clients.push(link);
    }
    clients
        .into_iter()
        .map(|link| tokio::task::spawn_local(client(shared.clone(), link)))
        .collect()
}

async fn client(shared: Rc<Shared>, mut connection: Option<Link>) {
    while !shared.over.get() {
        connection = call(&shared, connection).await;
        if connection.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Makes connections that ask once, a few at a time, and keeps them.
async fn keep_idle(shared: &Rc<Shared>, count: usize) {
    let left = Rc::new(Cell::new(count));
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (shared, left) = (shared.clone(), left.clone());
            tokio::task::spawn_local(async move {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    if let Some(link) = call(&shared, None).await {
                        shared.idle.borrow_mut().push(link);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        let _ = client.await;
    }
}

async fn open_loop(shared: Rc<Shared>, rate: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    while !shared.over.get() {
        ticks.tick().await;
        let shared = shared.clone();
        tokio::task::spawn_local(async move {
            let idle = shared.idle.borrow_mut().pop();
            if let Some(connection) = call(&shared, idle).await {
                shared.idle.borrow_mut().push(connection);
            }
        });
    }
}

/// One request and its answer; gives the connection back if it can be used again.
async fn call(shared: &Shared, connection: Option<Link>) -> Option<Link> {
    let number = shared.next.get();
    shared.next.set(number + 1);
    let nonce = format!("{number:016x}");
    let began = Instant::now();
    match tokio::time::timeout(ANSWER, exchange(shared, connection, number, &nonce)).await {
        Ok(Ok(stream)) => {
            if shared.measuring.get() {
                shared.answers.set(shared.answers.get() + 1);
                shared.latency.borrow_mut().add(began.elapsed());
            }
            stream
        }
        Ok(Err(error)) => {
            shared.error(&error);
            None
        }
        Err(_) => {
            shared.error("no answer in time");
            None
        }
    }
}

async fn exchange(
    shared: &Shared,
    connection: Option<Link>,
    number: u64,
    nonce: &str,
) -> Result<Option<Link>, String> {
    let text = |error: io::Error| error.to_string();
    let ask = &shared.ask;
    let mut stream = match connection {
        Some(stream) => stream,
        None => shared.dial().await.map_err(text)?,
    };
    stream
        .write_all(ask.request(number, nonce).as_bytes())
        .await
        .map_err(text)?;
    stream.flush().await.map_err(text)?;
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let head = read_head(&mut stream, &mut buffer, false)
        .await
        .map_err(text)?
        .ok_or("closed without an answer")?;
    let mut check = Check::new(nonce);
    read_body(&mut stream, &mut buffer, head.framing, |piece| {
        let now = now_us();
        check.feed(piece, |sent| {
            if shared.measuring.get() {
                let delay = Duration::from_micros(now.saturating_sub(sent));
                shared.piece_latency.borrow_mut().add(delay);
                shared.pieces.set(shared.pieces.get() + 1);
            }
        });
    })
    .await
    .map_err(text)?;
    if head.status() != 200 {
        return Err(format!("status {}", head.status()));
    }
    if check.is_crossed {
        return Err("somebody else's answer".to_owned());
    }
    if !check.is_answered {
        return Err("an answer without its number".to_owned());
    }
    match ask.pieces {
        Some(pieces) if check.pieces != pieces => Err(format!("{} of {pieces} pieces", check.pieces)),
        _ => Ok(head.keeps_alive.then_some(stream)),
    }
}

impl Ask {
    fn request(&self, number: u64, nonce: &str) -> String {
        // Requests that follow each other are not to be neighbours in what is looked up.
        let turn = number.wrapping_mul(STRIDE) % self.spread.max(1);
        let turned = |text: &str| match self.spread {
            0 => text.to_owned(),
            _ => text.replace("{n}", &turn.to_string()),
        };
        let stream = match self.pieces {
            Some(_) if self.anthropic => r#","stream":true"#,
            Some(_) => r#","stream":true,"stream_options":{"include_usage":true}"#,
            None => "",
        };
        let padding = "y".repeat(self.padding);
        let body = format!(
            r#"{{"model":"{}","max_tokens":1000,"messages":[{{"role":"user","content":"{NONCE}{nonce} {padding}"}}]{stream}}}"#,
            self.model
        );
        let mut headers = String::new();
        for header in &self.headers {
            headers.push_str(&turned(header));
            headers.push_str("\r\n");
        }
        format!(
            "POST {} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nuser-agent: tollgate-bench\r\naccept: */*\r\n{headers}content-length: {}\r\n\r\n{body}",
            turned(&self.path),
            body.len()
        )
    }
}

impl Shared {
    fn new(ask: Ask) -> io::Result<Shared> {
        Ok(Shared {
            dialer: Dialer::new(ask.certificate.as_deref())?,
            ask,
            dialing: Semaphore::new(AT_ONCE),
            dialed: Cell::new(0),
            measuring: Cell::new(false),
            over: Cell::new(false),
            next: Cell::new(now_us()),
            answers: Cell::new(0),
            pieces: Cell::new(0),
            errors: RefCell::default(),
            latency: RefCell::default(),
            piece_latency: RefCell::default(),
            idle: RefCell::default(),
        })
    }

    async fn dial(&self) -> io::Result<Link> {
        let _permit = self.dialing.acquire().await.map_err(io::Error::other)?;
        let turn = self.dialed.get();
        self.dialed.set(turn + 1);
        match self.ask.addresses.get(turn % self.ask.addresses.len().max(1)) {
            Some(address) => self.dialer.connect(address).await,
            None => Err(io::Error::other("nobody is to be asked")),
        }
    }

    fn error(&self, text: &str) {
        *self.errors.borrow_mut().entry(text.to_owned()).or_default() += 1;
    }
}

/// Connections that are made at a time.
const AT_ONCE: usize = 32;

/// A prime, so that turns reach every number.
const STRIDE: u64 = 7_919;

/// How long it may take at most until every turn was asked for.
const LONGEST_WARM_UP: Duration = Duration::from_secs(20);

/// Time between two looks at the memory.
const SAMPLE: Duration = Duration::from_millis(50);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// How long the answers may take that are under way at the end.
const LAST_ANSWER: Duration = Duration::from_secs(35);

/// How long a client waits after an error.
const PAUSE: Duration = Duration::from_millis(10);
