//! The built-in provider as a server of its own, reached like a real one.

use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Asked, answer};
use crate::pipeline::{Address, Endpoint};
use crate::providers::Operation;
use crate::upstream::UpstreamBody;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// How long accepting pauses after a failure, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the built-in provider on a socket until the future is dropped. `defaults` is used for requests whose address has
/// no query of its own.
///
/// # Errors
/// The socket cannot be used.
pub async fn serve(listener: TcpListener, defaults: &str) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let defaults: Rc<str> = defaults.into();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as too many open files: it passes.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Fails only on a socket that is already gone.
        let _ = stream.set_nodelay(true);
        let defaults = defaults.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| respond(defaults.clone(), request));
            // A client that leaves is no concern of a simulated provider.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    defaults: Rc<str>,
    request: Request<Incoming>,
) -> Result<Response<ScriptBody>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let address = Address::of(parts.uri.path());
    let operation = match address.endpoint {
        Endpoint::Chat(dialect) => Operation::Chat(dialect),
        Endpoint::CountTokens(dialect) => Operation::CountTokens(dialect),
        Endpoint::Embeddings(dialect) => Operation::Embeddings(dialect),
        Endpoint::Rerank(dialect) => Operation::Rerank(dialect),
        Endpoint::Api(_)
        | Endpoint::Completions
        | Endpoint::Invoke
        | Endpoint::Models
        | Endpoint::Model(_)
        | Endpoint::Response(_)
        | Endpoint::Unknown => {
            let mut response = Response::new(ScriptBody(None));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    // What the dialect's own clients write there says nothing about behaviour.
    let query = parts.uri.query().filter(|query| !query.starts_with("alt="));
    let asked = Asked {
        operation,
        model: address.model.as_deref().unwrap_or_default(),
        stream: address.stream.unwrap_or_default(),
        headers: &parts.headers,
        body: &body,
    };
    let answer = answer(query.unwrap_or(&defaults), &asked);
    let mut response = Response::new(ScriptBody(Some(answer.body)));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
        .headers_mut()
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Plays a script to a connection. A simulated cut is a real one: the error makes hyper close the connection.
struct ScriptBody(Option<UpstreamBody>);

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        body.poll_data(cx)
            .map(|data| data.map(|data| data.map(Frame::data).map_err(std::io::Error::other)))
    }
}
