//! HTTP over a connection of a client, from its first byte to its end.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::rt::{Executor, Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tollgate_telemetry::metrics::Limits as Reached;

use super::activity::TimedSocket;
use super::closing::{Open, Serving, UntilEnd};
use super::patience::Patient;
use super::places::Held;
use super::taking;
use super::version::Version;
use super::worker::Settings;
use crate::pipeline::{Bounds, Peer, Worker, serve};

/// Headers of a request that the HTTP library keeps room for by itself.
const HTTP1_HEADERS: usize = 100;

/// The least that the HTTP library reads with, in bytes.
const LEAST_BUFFER: usize = 8192;

/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What is said over a connection.
pub(super) type Spoken = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// What is said over a connection, until its end. Made outside of any future, each of which would keep room for all that it
/// is made of; and boxed, so that it is moved no more.
pub(super) fn spoken<S>(
    stream: S,
    version: Version,
    peer: Peer,
    worker: Rc<Worker>,
    settings: &Settings,
    open: Open,
    held: Held,
) -> Spoken
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Bounds {
        max_header,
        max_headers,
        max_streams,
        ..
    } = settings.bounds;
    let limits = worker.telemetry.traffic().limits().clone();
    let activity = peer.activity.clone();
    if version == Version::Http2 {
        activity.is_framed();
    }
    let service =
        service_fn(move |request: http::Request<Incoming>| serve(worker.clone(), peer.clone(), request));
    let patient = Patient::new(stream, activity.clone(), settings.send_timeout);
    let io = TokioIo::new(TimedSocket::new(patient, activity, settings.limits, held));
    match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder
                .half_close(settings.half_close)
                .max_buf_size(max_header.max(LEAST_BUFFER));
            // With a limit of its own the library keeps its list of headers on the heap.
            if max_headers != HTTP1_HEADERS {
                builder.max_headers(max_headers);
            }
            let connection = builder.serve_connection(io, service).with_upgrades();
            Box::pin(UntilEnd::new(connection, open))
        }
        Version::Http2 => {
            let mut builder = http2::Builder::new(OnThisThread {
                send_timeout: settings.send_timeout,
                limits,
            });
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .max_concurrent_streams(max_streams)
                .max_header_list_size(u32::try_from(max_header).unwrap_or(u32::MAX));
            let connection = builder.serve_connection(io, service);
            Box::pin(UntilEnd::new(connection, open))
        }
    }
}

impl<I, B, S> Serving for http1::UpgradeableConnection<I, S>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    I: Read + Write + Unpin + Send + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    Self: Unpin,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
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
