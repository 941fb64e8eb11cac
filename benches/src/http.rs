//! As much of HTTP/1.1 as the benchmark needs on its own sockets: heads, lengths and chunks.

use std::io;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How the body of a message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
    /// Until the connection is closed.
    Close,
}

/// The head of a message.
#[derive(Debug)]
pub struct Head {
    /// The first line.
    pub first_line: String,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether the connection may be used again.
    pub keeps_alive: bool,
}

impl Head {
    /// The status of an answer; 0 if there is none.
    pub fn status(&self) -> u16 {
        self.first_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    /// The path of a request.
    pub fn path(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Reads a head; `None` if the peer closed the connection before it. `is_request`: a request without a length has no body.
///
/// # Errors
/// The connection fails, or what comes is no head.
pub async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    is_request: bool,
) -> io::Result<Option<Head>> {
    loop {
        if let Some(end) = memmem::find(buffer, b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            return parse(&head, is_request).map(Some);
        }
        if buffer.len() > MAX_HEAD {
            return Err(bad("a head is too long"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return match buffer.is_empty() {
                true => Ok(None),
                false => Err(bad("the connection broke off in a head")),
            };
        }
    }
}

fn parse(head: &[u8], is_request: bool) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| bad("a head is no text"))?;
    let mut lines = text.split("\r\n");
    let first_line = lines.next().unwrap_or_default().to_owned();
    let mut framing = match is_request {
        true => Framing::Length(0),
        false => Framing::Close,
    };
    let mut keeps_alive = !first_line.contains("HTTP/1.0");
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse().map_err(|_| bad("a length is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            keeps_alive = false;
        }
    }
    Ok(Head {
        first_line,
        framing,
        keeps_alive,
    })
}

/// Reads a body and gives every piece of it to `take` as it comes.
///
/// # Errors
/// The connection fails or breaks off, or a chunk is none.
pub async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    framing: Framing,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    match framing {
        Framing::Length(length) => pass(stream, buffer, length, &mut take).await,
        Framing::Chunked => loop {
            let length = chunk_length(stream, buffer).await?;
            pass(stream, buffer, length, &mut take).await?;
            // The line end behind the chunk; behind the last one it ends the body, which has no trailers here.
            pass(stream, buffer, 2, &mut |_| {}).await?;
            if length == 0 {
                return Ok(());
            }
        },
        Framing::Close => loop {
            take(buffer);
            buffer.clear();
            if stream.read_buf(buffer).await? == 0 {
                return Ok(());
            }
        },
    }
}

async fn pass(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    mut left: usize,
    take: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    while left > 0 {
        if buffer.is_empty() {
            more(stream, buffer).await?;
        }
        let length = left.min(buffer.len());
        take(buffer.get(..length).unwrap_or_default());
        buffer.advance(length);
        left -= length;
    }
    Ok(())
}

async fn chunk_length(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        if let Some(end) = memmem::find(buffer, b"\r\n") {
            let line = buffer.split_to(end + 2);
            let digits = std::str::from_utf8(&line).unwrap_or_default().trim();
            return usize::from_str_radix(digits, 16).map_err(|_| bad("the length of a chunk is no number"));
        }
        more(stream, buffer).await?;
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(bad("the connection broke off in a body")),
        _ => Ok(()),
    }
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

const MAX_HEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<(u16, String)> {
        let mut stream = bytes;
        let mut buffer = BytesMut::new();
        let head = read_head(&mut stream, &mut buffer, false).await?.unwrap();
        let mut body = Vec::new();
        read_body(&mut stream, &mut buffer, head.framing, |piece| {
            body.extend_from_slice(piece);
        })
        .await?;
        Ok((head.status(), String::from_utf8(body).unwrap()))
    }

    #[tokio::test]
    async fn bodies_of_every_framing_are_read_to_their_end() {
        for (bytes, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                "abc",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nabc", "abc"),
        ] {
            assert_eq!(read(bytes.as_bytes()).await.unwrap(), (200, body.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        for bytes in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ] {
            assert!(read(bytes.as_bytes()).await.is_err(), "{bytes}");
        }
    }
}
