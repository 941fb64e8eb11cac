//! HTTP over a connection of a client, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::rt::{Executor, Read, Write};
use hyper::server::conn::http2;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tollgate_telemetry::metrics::Limits as Reached;

use super::activity::TimedSocket;
use super::arriving::Arriving;
use super::closing::{Asked, Open, Serving, UntilEnd};
use super::ending;
use super::http1::{self, Stream, Wire};
use super::patience::Patient;
use super::places::Held;
use super::taking;
use super::version::Version;
use super::worker::Settings;
use crate::pipeline::{Bounds, Peer, Worker, serve};

/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Why a connection ended before its time.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// One of HTTP/1.
    #[error(transparent)]
    Http1(#[from] http1::Broken),
    /// One of HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// What is said over a connection.
pub(super) type Spoken = Pin<Box<dyn Future<Output = ()>>>;

/// What is said over a connection, until its end. If that comes before its time, it is counted. Made outside of any future, each of which would keep room for all that it
/// is made of; and boxed, so that it is moved no more.
pub(super) fn spoken(
    stream: Box<dyn Stream>,
    version: Version,
    peer: Peer,
    worker: Rc<Worker>,
    settings: &Settings,
    open: Open,
    held: Held,
) -> Spoken {
    let limits = worker.telemetry.traffic().limits().clone();
    let activity = peer.activity.clone();
    let max_header = settings.bounds.max_header;
    if version == Version::Http2 {
        activity.is_framed();
    }
    let patient = Patient::new(stream, activity.clone(), settings.send_timeout);
    let socket = TimedSocket::new(patient, activity, settings.limits, Some(held));
    let bounds = settings.bounds;
    match version {
        Version::Http1 => {
            let wire = Wire::new(socket, settings.half_close);
            let asked = Asked::new(open);
            // Called inside, where there is room for it anyway.
            Box::pin(async move {
                if let Err(error) = http1::connection(wire, bounds, worker, &peer, asked).await {
                    note(&error.into(), &peer, max_header, &limits);
                }
            })
        }
        Version::Http2 => {
            let Bounds {
                max_header,
                max_streams,
                ..
            } = bounds;
            let client = peer.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let answer = serve(worker.clone(), peer.clone(), request.map(Arriving::Library));
                async { Ok::<_, Infallible>(answer.await) }
            });
            let mut builder = http2::Builder::new(OnThisThread {
                send_timeout: settings.send_timeout,
                limits: limits.clone(),
            });
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .max_concurrent_streams(max_streams)
                .max_header_list_size(u32::try_from(max_header).unwrap_or(u32::MAX));
            let mut connection = UntilEnd::new(builder.serve_connection(TokioIo::new(socket), service), open);
            Box::pin(async move {
                if let Err(error) = (&mut connection).await {
                    note(&error.into(), &client, max_header, &limits);
                }
            })
        }
    }
}

/// Notes that a connection has ended before its time.
fn note(error: &Broken, peer: &Peer, max_header: usize, limits: &Reached) {
    ending::count(error, &peer.activity, max_header, limits);
    tracing::debug!(address = %peer.address, %error, "connection ended early");
}

impl<I, B, S, E> Serving for http2::Connection<I, S, E>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    I: Read + Write + Unpin + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Http2ServerConnExec<S::Future, B>,
    Self: Unpin,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs hyper's own tasks, which are the streams of HTTP/2, on the worker's thread.
#[derive(Clone)]
struct OnThisThread {
    send_timeout: Duration,
    limits: Reached,
}

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, stream: F) {
        let watched = taking::unless_left_lying(stream, self.send_timeout, self.limits.clone());
        tokio::task::spawn_local(watched);
    }
}
