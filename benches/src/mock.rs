//! The provider: answers chats in OpenAI's and Anthropic's format at once, or as slowly as the profile says.

mod shared;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::BytesMut;
use memchr::memmem;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::http::{Head, read_body, read_head};
use crate::link::Duplex;
use crate::profile::{NONCE, NONCE_DIGITS, PIECE, Profile, now_us};

/// Where the provider listens.
pub struct Listen {
    /// Plain.
    pub plain: SocketAddr,
    /// At the same port of so many further addresses of this machine: [`further`].
    pub further: u16,
    /// Over TLS, with this certificate and key.
    pub tls: Option<(SocketAddr, TlsAcceptor)>,
}

/// The address of this number, as other machines would have one.
pub fn further(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Serves until the process is ended. `PUT /profile` replaces the profile.
///
/// # Errors
/// An address cannot be listened on.
pub async fn serve(listen: Listen) -> io::Result<()> {
    let profile = Arc::new(Mutex::new(Profile::default()));
    let mut doors = vec![(TcpListener::bind(listen.plain).await?, None)];
    for number in 0..listen.further {
        let address = SocketAddr::from((further(number), listen.plain.port()));
        doors.push((TcpListener::bind(address).await?, None));
    }
    if let Some((address, acceptor)) = listen.tls {
        doors.push((TcpListener::bind(address).await?, Some(acceptor)));
    }
    for (listener, acceptor) in doors {
        tokio::task::spawn_local(accept(listener, acceptor, profile.clone()));
    }
    std::future::pending().await
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, profile: Arc<Mutex<Profile>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (profile, acceptor) = (profile.clone(), acceptor.clone());
        tokio::task::spawn_local(async move {
            // A client that leaves is nothing to tell.
            let _ = match acceptor {
                None => connection(stream, &profile).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                        shared::connection(stream, &profile).await
                    }
                    Ok(stream) => connection(stream, &profile).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn connection(mut stream: impl Duplex, profile: &Mutex<Profile>) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut body = Vec::new();
    let mut out = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut buffer, true).await? {
        body.clear();
        read_body(&mut stream, &mut buffer, head.framing, |piece| {
            body.extend_from_slice(piece);
        })
        .await?;
        let now = match profile.lock() {
            Ok(mut profile) => {
                if head.path() == "/profile" {
                    *profile = serde_json::from_slice(&body).unwrap_or_default();
                }
                *profile
            }
            Err(_) => Profile::default(),
        };
        out.clear();
        answer(&mut stream, &head, &body, &now, &mut out).await?;
        if !head.keeps_alive {
            break;
        }
    }
    Ok(())
}

async fn answer(
    stream: &mut impl Duplex,
    head: &Head,
    body: &[u8],
    profile: &Profile,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    if profile.think_us > 0 && head.path() != "/profile" {
        tokio::time::sleep(Duration::from_micros(profile.think_us)).await;
    }
    let Some(dialect) = Dialect::of(head.path()) else {
        let _ = write!(out, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{{}}");
        return send(stream, out).await;
    };
    let nonce = nonce(body);
    if !is_streamed(body) {
        whole(dialect, nonce, profile, out);
        return send(stream, out).await;
    }
    out.extend_from_slice(STREAM_HEAD);
    begin(dialect, nonce, out);
    for number in 0..profile.chunks {
        chunk(out, |out| piece(dialect, out));
        // Piece by piece, as providers write that are faster than their clients.
        send(stream, out).await?;
        out.clear();
        if profile.chunk_delay_us > 0 && number + 1 < profile.chunks {
            tokio::time::sleep(Duration::from_micros(profile.chunk_delay_us)).await;
        }
    }
    end(dialect, profile, out);
    out.extend_from_slice(b"0\r\n\r\n");
    send(stream, out).await
}

async fn send(stream: &mut impl Duplex, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

#[derive(Clone, Copy)]
enum Dialect {
    Openai,
    Anthropic,
}

impl Dialect {
    fn of(path: &str) -> Option<Dialect> {
        match path {
            path if path.ends_with("/messages") => Some(Dialect::Anthropic),
            path if path.ends_with("/chat/completions") => Some(Dialect::Openai),
            _ => None,
        }
    }
}

fn is_streamed(body: &[u8]) -> bool {
    memmem::find(body, b"\"stream\":true").is_some()
}

const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The number of a request, with what stands before it.
fn nonce(body: &[u8]) -> &str {
    memmem::find(body, NONCE.as_bytes())
        .and_then(|at| body.get(at..at + NONCE.len() + NONCE_DIGITS))
        .and_then(|nonce| std::str::from_utf8(nonce).ok())
        .unwrap_or_default()
}

fn whole(dialect: Dialect, nonce: &str, profile: &Profile, out: &mut Vec<u8>) {
    let padding = "x".repeat(profile.answer_bytes);
    let body = match dialect {
        Dialect::Openai => format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1795221036,"model":"bench-model-2026","choices":[{{"index":0,"message":{{"role":"assistant","content":"{nonce} {padding}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":21,"completion_tokens":100,"total_tokens":121,"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_bench"}}"#
        ),
        Dialect::Anthropic => format!(
            r#"{{"id":"msg_bench","type":"message","role":"assistant","model":"bench-model-2026","content":[{{"type":"text","text":"{nonce} {padding}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":21,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":100,"service_tier":"standard"}}}}"#
        ),
    };
    let _ = write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn begin(dialect: Dialect, nonce: &str, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Openai => chunk(out, |out| {
            let _ = write!(
                out,
                "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1795221036,\"model\":\"bench-model-2026\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"{nonce}\"}},\"finish_reason\":null}}]}}\n\n"
            );
        }),
        Dialect::Anthropic => chunk(out, |out| {
            let _ = write!(
                out,
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench-model-2026\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{\"input_tokens\":21,\"output_tokens\":1}}}}}}\n\n\
                 event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n\
                 event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{nonce}\"}}}}\n\n"
            );
        }),
    }
}

fn piece(dialect: Dialect, out: &mut Vec<u8>) {
    let text = format!("{PIECE}{:016} ", now_us());
    let _ = match dialect {
        Dialect::Openai => write!(
            out,
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1795221036,\"model\":\"bench-model-2026\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
        ),
        Dialect::Anthropic => write!(
            out,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        ),
    };
}

fn end(dialect: Dialect, profile: &Profile, out: &mut Vec<u8>) {
    let tokens = profile.chunks;
    match dialect {
        Dialect::Openai => {
            for data in [
                r#"{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1795221036,"model":"bench-model-2026","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
                format!(
                    r#"{{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1795221036,"model":"bench-model-2026","choices":[],"usage":{{"prompt_tokens":21,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
                    tokens + 21
                ),
                "[DONE]".to_owned(),
            ] {
                chunk(out, |out| {
                    let _ = write!(out, "data: {data}\n\n");
                });
            }
        }
        Dialect::Anthropic => chunk(out, |out| {
            let _ = write!(
                out,
                "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\n\
                 event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{tokens}}}}}\n\n\
                 event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
            );
        }),
    }
}

/// Appends what `write` appends, as one chunk.
fn chunk(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // The length is written when it is known; four digits are enough for every chunk there is.
    let length_at = out.len();
    out.extend_from_slice(b"0000\r\n");
    let data_at = out.len();
    write(out);
    let length = format!("{:04x}", out.len() - data_at);
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(length.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
