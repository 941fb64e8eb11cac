//! An answer on its way to the client.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::wire::Wire;
use super::{Broken, date};
use crate::http1::told::Lines;
use crate::pipeline::{AnswerBody, in_step};

/// Room for the head of an answer, in bytes.
const HEAD: usize = 1024;

/// What the request says about its answer.
#[derive(Clone, Copy)]
pub(super) struct Asks {
    /// Whether the head is all that is asked for.
    pub(super) head_only: bool,
    /// Whether the client knows chunks.
    pub(super) knows_chunks: bool,
    /// Whether the connection may go on.
    pub(super) keeps: bool,
}

impl Asks {
    /// What this request says.
    pub(super) fn of(request: &Request<()>, keeps: bool) -> Self {
        Asks {
            head_only: request.method() == Method::HEAD,
            knows_chunks: request.version() == Version::HTTP_11,
            keeps,
        }
    }
}

/// How the body of an answer is framed (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    /// There is none.
    Nothing,
    /// So many bytes are still to be sent.
    Length(u64),
    /// In chunks.
    Chunks,
    /// It ends with the connection.
    UntilClosed,
}

/// Sends an answer. Tells whether the connection may go on.
///
/// # Errors
/// The client has left, or the answer has broken off.
pub(super) async fn send(wire: &Wire, response: Response<AnswerBody>, asks: Asks) -> Result<bool, Broken> {
    let (parts, body) = response.into_parts();
    let keeps = asks.keeps && !says_close(&parts.headers);
    let framed = framed(&parts, &body, asks);
    let keeps = keeps && framed != Framed::UntilClosed;
    let mut head = Vec::with_capacity(HEAD);
    write_head(&mut head, &parts, &body, framed, asks, keeps);
    // A stream may last for long, and needs them no more.
    drop(parts);
    wire.is_answered();
    let mut sending = Sending {
        body: Some(body).filter(|_| framed != Framed::Nothing && framed != Framed::Length(0)),
        framed,
        next: None,
        is_cut: false,
        out: Outgoing::head(head),
        is_flushed: false,
    };
    // What is whole is settled here, before it is sent.
    poll_fn(|cx| {
        sending.fill(cx);
        Poll::Ready(())
    })
    .await;
    in_step().await;
    poll_fn(|cx| sending.poll(wire, cx)).await?;
    Ok(keeps)
}

/// Sends an answer that the gateway gives without having understood the request.
pub(super) async fn send_text(wire: &Wire, status: StatusCode, text: String) -> Result<(), Broken> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    let (parts, ()) = response.into_parts();
    let mut head = Vec::with_capacity(HEAD);
    write_lines(
        &mut head,
        &parts,
        None,
        Some(text.len() as u64),
        Framed::Length(0),
        Some("close"),
    );
    head.extend_from_slice(text.as_bytes());
    let mut out = Outgoing::head(head);
    poll_fn(|cx| {
        ready!(out.poll(wire, cx))?;
        wire.with(|socket| Pin::new(socket).poll_flush(cx))
    })
    .await?;
    Ok(())
}

fn says_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn has_no_body(status: StatusCode, asks: Asks) -> bool {
    asks.head_only
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// The length that the head states itself.
fn stated(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn framed(parts: &Parts, body: &AnswerBody, asks: Asks) -> Framed {
    if has_no_body(parts.status, asks) {
        return Framed::Nothing;
    }
    match body.size_hint().exact().or_else(|| stated(&parts.headers)) {
        Some(length) => Framed::Length(length),
        None if asks.knows_chunks => Framed::Chunks,
        None => Framed::UntilClosed,
    }
}

fn write_head(head: &mut Vec<u8>, parts: &Parts, body: &AnswerBody, framed: Framed, asks: Asks, keeps: bool) {
    let length = match framed {
        Framed::Length(length) => Some(length),
        Framed::Nothing if asks.head_only => {
            let exact = body.size_hint().exact();
            stated(&parts.headers).or_else(|| exact.filter(|length| *length > 0))
        }
        Framed::Nothing if parts.status == StatusCode::NOT_MODIFIED => stated(&parts.headers),
        Framed::Nothing | Framed::Chunks | Framed::UntilClosed => None,
    };
    let connection = match (parts.status, keeps, asks.knows_chunks) {
        // Its own words say what the connection becomes.
        (StatusCode::SWITCHING_PROTOCOLS, ..) => None,
        (_, false, _) => Some("close"),
        (_, true, false) => Some("keep-alive"),
        (_, true, true) => None,
    };
    write_lines(head, parts, Some(body), length, framed, connection);
}

/// Writes a head; `own` are the headers that the gateway has for it beside those of `parts`.
fn write_lines(
    head: &mut Vec<u8>,
    parts: &Parts,
    own: Option<&AnswerBody>,
    length: Option<u64>,
    framed: Framed,
    connection: Option<&str>,
) {
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(parts.status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
    let mut lines = Lines(head);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let mut is_dated = false;
    for (name, value) in &parts.headers {
        // What frames the answer is said below.
        let frames =
            *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || (*name == CONNECTION && !switches);
        if !frames {
            is_dated |= *name == DATE;
            lines.line(name, value.as_bytes());
        }
    }
    if let Some(own) = own {
        own.tell(&mut lines);
    }
    if let Some(length) = length {
        lines.line(&CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
    }
    if framed == Framed::Chunks {
        lines.line(&TRANSFER_ENCODING, b"chunked");
    }
    if let Some(connection) = connection {
        lines.line(&CONNECTION, connection.as_bytes());
    }
    if !is_dated {
        date::with(|date| lines.line(&DATE, date));
    }
    head.extend_from_slice(b"\r\n");
}

/// An answer that is being sent.
struct Sending {
    framed: Framed,
    /// `None` once it has ended. It is let go before its last bytes are sent: what the call has cost is settled by then, and
    /// counts for whatever the client asks next.
    body: Option<AnswerBody>,
    /// What the body gave when it was asked whether there is more.
    next: Option<Bytes>,
    /// Whether it ended before its time.
    is_cut: bool,
    out: Outgoing,
    is_flushed: bool,
}

impl Sending {
    fn poll(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            self.fill(cx);
            if !self.out.is_empty() {
                ready!(self.out.poll(wire, cx))?;
                self.is_flushed = false;
                continue;
            }
            if !self.is_flushed {
                ready!(wire.with(|socket| Pin::new(socket).poll_flush(cx)))?;
                self.is_flushed = true;
            }
            if self.is_cut {
                return Poll::Ready(Err(Broken::Cut));
            }
            if self.body.is_none() && self.next.is_none() {
                return Poll::Ready(Ok(()));
            }
            return match wire.has_left(cx) {
                true => Poll::Ready(Err(Broken::Left)),
                false => Poll::Pending,
            };
        }
    }

    /// Takes from the body what can be sent now, together with the mark of its end, if it ends here.
    fn fill(&mut self, cx: &mut Context<'_>) {
        if !self.out.takes_more() {
            return;
        }
        if let Some(data) = self.next.take().or_else(|| self.ask(cx)) {
            self.put(data);
            // Asked once more, so that the mark of the end leaves together with what it ends.
            self.next = self.ask(cx);
        }
        if self.body.is_none() && self.next.is_none() && !self.is_cut && self.framed == Framed::Chunks {
            self.framed = Framed::Nothing;
            self.out.end();
        }
    }

    fn put(&mut self, data: Bytes) {
        let chunked = self.framed == Framed::Chunks;
        if let Framed::Length(left) = &mut self.framed {
            match left.checked_sub(data.len() as u64) {
                Some(0) => {
                    *left = 0;
                    self.body = None;
                }
                Some(rest) => *left = rest,
                // More than was said would be taken for the next answer.
                None => {
                    self.is_cut = true;
                    self.body = None;
                    return;
                }
            }
        }
        self.out.put(data, chunked);
    }

    /// The next part of the body that is not empty.
    fn ask(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        while let Some(body) = &mut self.body {
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers may be left out by everybody on the way (RFC 9110, section 6.5.1).
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Some(data);
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    self.is_cut = true;
                    self.body = None;
                }
                Poll::Ready(None) => {
                    // A client that was told of more would wait for it, or take the next answer for it.
                    self.is_cut = matches!(self.framed, Framed::Length(left) if left > 0);
                    self.body = None;
                }
            }
        }
        None
    }
}

/// Bytes that wait to be written: a head, the line before a chunk, a part of the body, and what follows it.
struct Outgoing {
    head: Vec<u8>,
    /// Bytes of the head that were written.
    head_sent: usize,
    line: ChunkLine,
    data: Bytes,
    behind: &'static [u8],
}

impl Outgoing {
    fn head(head: Vec<u8>) -> Self {
        Outgoing {
            head,
            head_sent: 0,
            line: ChunkLine::default(),
            data: Bytes::new(),
            behind: b"",
        }
    }

    /// Whether a part of the body can be added.
    fn takes_more(&self) -> bool {
        self.data.is_empty() && self.behind.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.takes_more()
    }

    fn put(&mut self, data: Bytes, chunked: bool) {
        if chunked {
            self.line = ChunkLine::of(data.len());
            self.behind = b"\r\n";
        }
        self.data = data;
    }

    /// There is nothing behind this.
    fn end(&mut self) {
        self.behind = match self.behind {
            [] => b"0\r\n\r\n",
            _ => b"\r\n0\r\n\r\n",
        };
    }

    /// Writes all of it.
    fn poll(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let unsent = [
                self.head.get(self.head_sent..).unwrap_or_default(),
                self.line.rest(),
                &self.data,
                self.behind,
            ];
            let mut parts = [IoSlice::new(&[]); 4];
            let mut filled = 0;
            for (part, bytes) in parts
                .iter_mut()
                .zip(unsent.into_iter().filter(|bytes| !bytes.is_empty()))
            {
                *part = IoSlice::new(bytes);
                filled += 1;
            }
            let parts = parts.get(..filled).unwrap_or_default();
            let written = ready!(wire.with(|socket| Pin::new(socket).poll_write_vectored(cx, parts)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let mut left = written;
        let of_head = left.min(self.head.len() - self.head_sent);
        self.head_sent += of_head;
        left -= of_head;
        if self.head_sent == self.head.len() {
            // Not kept while the rest of a stream is waited for.
            self.head = Vec::new();
            self.head_sent = 0;
        }
        left -= self.line.advance(left);
        let of_data = left.min(self.data.len());
        self.data.advance(of_data);
        left -= of_data;
        if self.data.is_empty() {
            self.data = Bytes::new();
        }
        self.behind = self.behind.get(left..).unwrap_or_default();
    }
}

/// The line that says how long a chunk is.
#[derive(Default)]
struct ChunkLine {
    text: [u8; ChunkLine::LONGEST],
    sent: usize,
    end: usize,
}

impl ChunkLine {
    /// Sixteen digits and a line break.
    const LONGEST: usize = 18;

    fn of(length: usize) -> Self {
        let mut line = ChunkLine::default();
        // It has room for every length.
        let _ = write!(line, "{length:x}\r\n");
        line
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.sent..self.end).unwrap_or_default()
    }

    /// So many bytes were written, or fewer if the line is shorter. Tells how many were of the line.
    fn advance(&mut self, written: usize) -> usize {
        let own = written.min(self.end - self.sent);
        self.sent += own;
        own
    }
}

impl std::fmt::Write for ChunkLine {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.end + text.len();
        let room = self.text.get_mut(self.end..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.end = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::server::http1::scripted::socket;

    /// What a client gets that takes so many bytes at once.
    fn taken(mut out: Outgoing, room: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut client, server) = duplex(room);
            let wire = Wire::new(socket(server), false);
            let write = async {
                poll_fn(|cx| out.poll(&wire, cx)).await.unwrap();
                assert!(out.is_empty());
                drop(wire);
            };
            let mut taken = Vec::new();
            let (read, ()) = tokio::join!(client.read_to_end(&mut taken), write);
            read.unwrap();
            taken
        })
    }

    #[test]
    fn an_answer_is_the_same_however_slowly_it_is_taken() {
        for room in 1..40 {
            let mut whole = Outgoing::head(b"head\r\n\r\n".to_vec());
            whole.put(Bytes::from_static(b"all of it"), false);
            assert_eq!(taken(whole, room), b"head\r\n\r\nall of it", "{room}");
            let mut chunk = Outgoing::head(Vec::new());
            chunk.put(Bytes::from_static(b"sixteen is ten in hexadecimal"), true);
            assert_eq!(taken(chunk, room), b"1d\r\nsixteen is ten in hexadecimal\r\n");
            let mut last = Outgoing::head(b"h".to_vec());
            last.put(Bytes::from_static(b"x"), true);
            last.end();
            assert_eq!(taken(last, room), b"h1\r\nx\r\n0\r\n\r\n");
            let mut end = Outgoing::head(Vec::new());
            end.end();
            assert_eq!(taken(end, room), b"0\r\n\r\n");
        }
    }

    #[test]
    fn every_length_of_a_chunk_has_room() {
        assert_eq!(ChunkLine::of(usize::MAX).rest(), b"ffffffffffffffff\r\n");
    }
}
