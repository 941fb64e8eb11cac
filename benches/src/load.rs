//! One run of load against one address. Every answer is checked: right number, all pieces, right end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::check::Check;
use crate::http::{read_body, read_head};
use crate::latency::Latency;
use crate::process;
use crate::profile::{NONCE, now_us};

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// Where, `host:port`.
    pub address: String,
    /// The path.
    pub path: String,
    /// The model.
    pub model: String,
    /// Further headers, `name: value`.
    pub headers: Vec<String>,
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
    /// Processors that others than the measured processes used meanwhile, this load included.
    pub others: f64,
}

struct Shared {
    ask: Ask,
    measuring: Cell<bool>,
    over: Cell<bool>,
    next: Cell<u64>,
    answers: Cell<u64>,
    pieces: Cell<u64>,
    errors: RefCell<BTreeMap<String, u64>>,
    latency: RefCell<Latency>,
    piece_latency: RefCell<Latency>,
    idle: RefCell<Vec<TcpStream>>,
}

/// Runs the load: first `warm_up` unmeasured, then `duration`. Processes are measured with all below them.
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
    TcpStream::connect(&ask.address).await?;
    let shared = Rc::new(Shared::new(ask));
    let family: Vec<u32> = pids.iter().flat_map(|pid| process::family(*pid)).collect();
    let memory_before_kib = process::usage(&family).memory_kib;
    let clients = match pace {
        Pace::Connections(count) => (0..count)
            .map(|_| tokio::task::spawn_local(client(shared.clone())))
            .collect(),
        Pace::Rate(rate) => vec![tokio::task::spawn_local(open_loop(shared.clone(), rate))],
    };
    tokio::time::sleep(warm_up).await;
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
        others: (busy_after.saturating_sub(busy_before).as_secs_f64() - cpu) / took,
    })
}

/// Makes so many calls one after another over one connection.
///
/// # Errors
/// A call fails.
pub async fn calls(ask: Ask, count: u64) -> io::Result<()> {
    let shared = Shared::new(ask);
    let mut connection = None;
    for _ in 0..count {
        connection = call(&shared, connection).await;
        if let Some((error, _)) = shared.errors.borrow().first_key_value() {
            return Err(io::Error::other(error.clone()));
        }
    }
    Ok(())
}

async fn client(shared: Rc<Shared>) {
    let mut connection = None;
    while !shared.over.get() {
        connection = call(&shared, connection).await;
        if connection.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
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
async fn call(shared: &Shared, connection: Option<TcpStream>) -> Option<TcpStream> {
    let number = shared.next.get();
    shared.next.set(number + 1);
    let nonce = format!("{number:016x}");
    let began = Instant::now();
    match tokio::time::timeout(ANSWER, exchange(shared, connection, &nonce)).await {
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
    connection: Option<TcpStream>,
    nonce: &str,
) -> Result<Option<TcpStream>, String> {
    let text = |error: io::Error| error.to_string();
    let ask = &shared.ask;
    let mut stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(&ask.address).await.map_err(text)?;
            stream.set_nodelay(true).map_err(text)?;
            stream
        }
    };
    stream
        .write_all(ask.request(nonce).as_bytes())
        .await
        .map_err(text)?;
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
    fn request(&self, nonce: &str) -> String {
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
            headers.push_str(header);
            headers.push_str("\r\n");
        }
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nuser-agent: tollgate-bench\r\naccept: */*\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        )
    }
}

impl Shared {
    fn new(ask: Ask) -> Shared {
        Shared {
            ask,
            measuring: Cell::new(false),
            over: Cell::new(false),
            next: Cell::new(now_us()),
            answers: Cell::new(0),
            pieces: Cell::new(0),
            errors: RefCell::default(),
            latency: RefCell::default(),
            piece_latency: RefCell::default(),
            idle: RefCell::default(),
        }
    }

    fn error(&self, text: &str) {
        *self.errors.borrow_mut().entry(text.to_owned()).or_default() += 1;
    }
}

/// Time between two looks at the memory.
const SAMPLE: Duration = Duration::from_millis(50);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// How long the answers may take that are under way at the end.
const LAST_ANSWER: Duration = Duration::from_secs(35);

/// How long a client waits after an error.
const PAUSE: Duration = Duration::from_millis(10);
