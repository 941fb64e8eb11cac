//! The provider over HTTP/2.

use std::future::poll_fn;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response};

use super::{Dialect, begin, chunk, end, is_streamed, nonce, piece, whole};
use crate::link::Duplex;
use crate::profile::Profile;

/// Calls at once over a connection.
const STREAMS: u32 = 1_000;

/// Serves a connection.
pub(super) async fn connection(stream: impl Duplex, profile: &Mutex<Profile>) -> io::Result<()> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call.map_err(io::Error::other)?;
        let now = profile.lock().map(|profile| *profile).unwrap_or_default();
        tokio::task::spawn_local(async move {
            // A client that leaves is nothing to tell.
            let _ = answer(request, respond, now).await;
        });
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    profile: Profile,
) -> Result<(), h2::Error> {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(part) = incoming.data().await {
        let part = part?;
        incoming.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    if profile.think_us > 0 {
        tokio::time::sleep(Duration::from_micros(profile.think_us)).await;
    }
    let is_stream = is_streamed(&body);
    let media_type = if is_stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(media_type));
    let mut stream = respond.send_response(response, false)?;
    let Some(dialect) = Dialect::of(head.uri.path()) else {
        return send(&mut stream, Bytes::from_static(b"{}"), true).await;
    };
    let mut out = Vec::new();
    if !is_stream {
        whole(dialect, nonce(&body), &profile, &mut out);
        // Without the head of HTTP/1.1.
        let at = memchr::memmem::find(&out, b"\r\n\r\n").map_or(0, |at| at + 4);
        return send(&mut stream, Bytes::from(out).slice(at..), true).await;
    }
    begin(dialect, nonce(&body), &mut out);
    for number in 0..profile.chunks {
        chunk(&mut out, |out| piece(dialect, out));
        send(&mut stream, unframed(&out), false).await?;
        out.clear();
        if profile.chunk_delay_us > 0 && number + 1 < profile.chunks {
            tokio::time::sleep(Duration::from_micros(profile.chunk_delay_us)).await;
        } else {
            // So that pieces leave one by one here too.
            tokio::task::yield_now().await;
        }
    }
    end(dialect, &profile, &mut out);
    send(&mut stream, unframed(&out), true).await
}

/// The data of chunks of HTTP/1.1.
fn unframed(chunks: &[u8]) -> Bytes {
    let mut data = Vec::with_capacity(chunks.len());
    let mut rest = chunks;
    while let Some(length) = rest.get(..4) {
        let length = std::str::from_utf8(length).ok();
        let length = length
            .and_then(|length| usize::from_str_radix(length, 16).ok())
            .unwrap_or(0);
        data.extend_from_slice(rest.get(6..6 + length).unwrap_or_default());
        rest = rest.get(6 + length + 2..).unwrap_or_default();
    }
    data.into()
}

async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes, is_last: bool) -> Result<(), h2::Error> {
    while bytes.has_remaining() {
        stream.reserve_capacity(bytes.len());
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Ok(());
        };
        let part = bytes.split_to(room?.min(bytes.len()));
        stream.send_data(part, is_last && bytes.is_empty())?;
    }
    Ok(())
}
