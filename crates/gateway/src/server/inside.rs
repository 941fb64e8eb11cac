//! Calls that come from within the process: what people try on the dashboard goes the way of every other call, over no socket.
//!
//! They have a worker of their own, so that nothing of them waits for the calls of clients, nor those for them. It begins with
//! the first call.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::activity::TimedSocket;
use super::closing::{Asked, Closing};
use super::http1::{self, Stream, Wire};
use super::patience::Patient;
use super::{Activity, Limits};
use crate::Gateway;
use crate::pipeline::{Bounds, Guest, Peer, Worker};

/// Most calls from within at once.
const CALLS: usize = 64;

/// Room for what is on its way between the asking and the answering side, in bytes.
const BETWEEN: usize = 64 * 1024;

/// How often connections to providers are closed that have been idle too long.
const IDLE_SWEEP: Duration = Duration::from_secs(10);

/// Nobody is waited for longer: who asks gives up before, and ends the call by that.
const ANY_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a call from within has no answer.
#[derive(Debug, Error)]
pub enum InsideError {
    /// There is no thread, or no runtime.
    #[error("the gateway has no thread for it: {0}")]
    System(#[from] std::io::Error),
    /// Too many are under way.
    #[error("{CALLS} calls are under way already; wait for one of them")]
    Busy,
    /// The gateway is about to end, or the answer has broken off.
    #[error("the call broke off: {0}")]
    Broken(String),
}

/// A call from within.
pub struct InsideCall {
    /// What is asked.
    pub request: Request<Full<Bytes>>,
    /// The address of the person who asks.
    pub client: SocketAddr,
    /// Where clients reach the gateway, as conditions of routes see it.
    pub server: Option<SocketAddr>,
    /// Whether they reach it over TLS.
    pub tls: bool,
    /// Who asks; `None` for somebody who shows a key.
    pub guest: Option<Arc<Guest>>,
}

/// The body of an answer.
pub struct InsideBody(Incoming);

impl Body for InsideBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

type Answered = Result<Response<InsideBody>, InsideError>;

struct Job {
    call: InsideCall,
    answer: oneshot::Sender<Answered>,
}

/// Where calls from within are made. When it is dropped, those under way end.
pub struct Inside {
    gateway: Arc<Gateway>,
    running: Mutex<Option<Running>>,
}

struct Running {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl Inside {
    /// Calls of this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Inside {
            gateway,
            running: Mutex::new(None),
        }
    }

    /// Makes a call. If the future or the answer is dropped, the call ends as that of a client who has left.
    ///
    /// # Errors
    /// Too many are under way, or the process has no thread for it. What the gateway answers is no error.
    pub async fn call(&self, call: InsideCall) -> Answered {
        let (answer, answered) = oneshot::channel();
        self.jobs()?
            .try_send(Job { call, answer })
            .map_err(|_| InsideError::Busy)?;
        answered
            .await
            .unwrap_or_else(|_| Err(broken(&"the gateway ends")))
    }

    fn jobs(&self) -> Result<mpsc::Sender<Job>, InsideError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running {
            return Ok(running.jobs.clone());
        }
        let started = start(self.gateway.clone())?;
        let jobs = started.jobs.clone();
        *running = Some(started);
        Ok(jobs)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { jobs, thread }) = running.take() {
            drop(jobs);
            // A thread that panicked has already reported it.
            let _ = thread.join();
        }
    }
}

fn start(gateway: Arc<Gateway>) -> Result<Running, InsideError> {
    let (jobs, waiting) = mpsc::channel(CALLS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new()
        .name("inside".to_owned())
        .spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime, work(gateway, waiting));
            // A name that is still being looked up must not hold up the end.
            runtime.shutdown_background();
        })?;
    Ok(Running { jobs, thread })
}

async fn work(gateway: Arc<Gateway>, mut jobs: mpsc::Receiver<Job>) {
    let worker = Rc::new(Worker::new(gateway, Bounds::NONE, CALLS));
    let mut sweep = tokio::time::interval(IDLE_SWEEP);
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => { tokio::task::spawn_local(make(worker.clone(), job)); }
                None => return,
            },
            _ = sweep.tick() => worker.pools.close_idle(),
        }
    }
}

/// Makes one call, on a connection of its own that leads nowhere.
async fn make(worker: Rc<Worker>, Job { call, mut answer }: Job) {
    if worker.calls.get() >= CALLS {
        let _ = answer.send(Err(InsideError::Busy));
        return;
    }
    let peer = Peer {
        address: call.client,
        server: call.server,
        tls: call.tls,
        handshake: None,
        activity: Activity::default(),
        guest: call.guest.and_then(|guest| guest.asks(call.request.uri().path())),
    };
    let (ours, theirs) = tokio::io::duplex(BETWEEN);
    let activity = peer.activity.clone();
    let patient = Patient::new(Box::new(theirs) as Box<dyn Stream>, activity.clone(), ANY_TIME);
    let limits = Limits {
        idle: ANY_TIME,
        head: ANY_TIME,
    };
    let socket = TimedSocket::new(patient, activity, limits, None);
    let ends = Asked::new(Closing::new().open());
    // Who gives up drops the other end.
    let wire = Wire::new(socket, false);
    tokio::task::spawn_local(async move { http1::connection(wire, Bounds::NONE, worker, &peer, ends).await });
    let asked = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await?;
        tokio::task::spawn_local(connection);
        sender.send_request(call.request).await
    };
    tokio::select! {
        answered = asked => {
            let answered = answered.map(|answer| answer.map(InsideBody));
            // Nobody waits any more if the person is gone; dropping the answer ends the call.
            let _ = answer.send(answered.map_err(|error| broken(&error)));
        }
        // The person is gone before there was an answer.
        () = answer.closed() => {}
    }
}

fn broken(cause: &dyn std::fmt::Display) -> InsideError {
    InsideError::Broken(cause.to_string())
}
