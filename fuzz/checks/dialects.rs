//! What must hold for any bytes in the wire formats of clients and providers.

use std::iter::once;

use serde::de::IgnoredAny;
use serde_json::Value;
use tollgate_dialects::canonical::{Event, ProviderError, Request, Usage};
use tollgate_dialects::codec::{self, AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::scan::{Edit, Piece, edit, nested, scan};
use tollgate_dialects::sse::{Decoder, EventTooLarge};
use tollgate_dialects::{
    Capabilities, Dialect, Losses, Target, completions, embeddings, estimate, passing, rerank,
};

const DIALECTS: [Dialect; 6] = [
    Dialect::OpenaiChat,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::CohereChat,
    Dialect::OpenaiResponses,
    Dialect::BedrockConverse,
];
const MAX_EVENT_BYTES: usize = 1 << 20;

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[
    ("sse", sse),
    ("scan", document),
    ("openai_chat_request", |bytes| request(Dialect::OpenaiChat, bytes)),
    ("openai_chat_response", |bytes| {
        response(Dialect::OpenaiChat, bytes)
    }),
    ("openai_chat_stream", |bytes| stream(Dialect::OpenaiChat, bytes)),
    ("openai_chat_error", |bytes| error(Dialect::OpenaiChat, bytes)),
    ("anthropic_messages_request", |bytes| {
        request(Dialect::AnthropicMessages, bytes)
    }),
    ("anthropic_messages_response", |bytes| {
        response(Dialect::AnthropicMessages, bytes)
    }),
    ("anthropic_messages_stream", |bytes| {
        stream(Dialect::AnthropicMessages, bytes)
    }),
    ("anthropic_messages_error", |bytes| {
        error(Dialect::AnthropicMessages, bytes)
    }),
    ("gemini_request", |bytes| request(Dialect::Gemini, bytes)),
    ("gemini_response", |bytes| response(Dialect::Gemini, bytes)),
    ("gemini_stream", |bytes| stream(Dialect::Gemini, bytes)),
    ("gemini_error", |bytes| error(Dialect::Gemini, bytes)),
    ("responses_request", |bytes| {
        request(Dialect::OpenaiResponses, bytes)
    }),
    ("responses_response", |bytes| {
        response(Dialect::OpenaiResponses, bytes)
    }),
    ("responses_stream", |bytes| {
        stream(Dialect::OpenaiResponses, bytes)
    }),
    ("responses_error", |bytes| error(Dialect::OpenaiResponses, bytes)),
    ("cohere_request", |bytes| request(Dialect::CohereChat, bytes)),
    ("cohere_response", |bytes| response(Dialect::CohereChat, bytes)),
    ("cohere_stream", |bytes| stream(Dialect::CohereChat, bytes)),
    ("cohere_error", |bytes| error(Dialect::CohereChat, bytes)),
    ("bedrock_request", |bytes| {
        request(Dialect::BedrockConverse, bytes)
    }),
    ("bedrock_response", |bytes| {
        response(Dialect::BedrockConverse, bytes)
    }),
    ("bedrock_stream", bedrock_stream),
    ("bedrock_error", |bytes| error(Dialect::BedrockConverse, bytes)),
    ("embeddings", embeddings),
    ("rerank", rerank),
    ("completions", completions),
];

/// Framing loses no byte, and neither events nor the limit depend on the cuts.
fn sse(bytes: &[u8]) {
    for limit in [MAX_EVENT_BYTES, 24] {
        let (seen, raw, result) = frame(limit, once(bytes));
        if result.is_ok() {
            assert_eq!(raw, bytes, "the raw events are not the stream");
        }
        for step in [1, 2, 7] {
            let (cut, _, cut_result) = frame(limit, bytes.chunks(step));
            assert_eq!(
                (&cut, cut_result),
                (&seen, result),
                "chunks of {step} bytes differ"
            );
        }
    }
}

type Framed = (
    Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>,
    Vec<u8>,
    Result<(), EventTooLarge>,
);

fn frame<'a>(limit: usize, mut chunks: impl Iterator<Item = &'a [u8]>) -> Framed {
    let (mut seen, mut raw) = (Vec::new(), Vec::new());
    let mut note = |event: tollgate_dialects::sse::SseEvent<'_>| {
        // Blank lines say nothing, and a cut may set a LF apart from its CR.
        if event.raw.iter().any(|byte| !b"\r\n".contains(byte)) {
            seen.push((
                event.name.map(<[u8]>::to_vec),
                event.data.map(|data| data.into_owned()),
            ));
        }
        raw.extend_from_slice(event.raw);
    };
    let mut decoder = Decoder::new(limit);
    let result = chunks.try_for_each(|chunk| decoder.feed(chunk, &mut note));
    decoder.finish(&mut note);
    (seen, raw, result)
}

/// Whatever is accepted is JSON, every member is found again, and edits leave a document that is accepted.
fn document(bytes: &[u8]) {
    let Ok(members) = scan(bytes) else { return };
    let text = std::str::from_utf8(bytes).expect("a scanned document is UTF-8");
    assert_json(text.as_bytes());
    let keys: Vec<String> = members
        .iter()
        .filter_map(|member| serde_json::from_str(&text[member.key.clone()]).ok())
        .collect();
    for key in &keys {
        let value = members.value(bytes, key).expect("a member is found by its name");
        assert_eq!(nested(text.trim(), key), Some(value));
    }
    let changes = [Some("[1]".to_owned()), None];
    let edits: Vec<Edit<'_>> = keys
        .iter()
        .map(String::as_str)
        .step_by(2)
        .chain(once("appended").filter(|name| keys.iter().all(|key| key != name)))
        .zip(changes.iter().cycle())
        .map(|(key, value)| Edit {
            key,
            value: value.clone(),
        })
        .collect();
    let edited = edit(bytes, &members, &edits)
        .into_iter()
        .fold(Vec::new(), |mut out, piece| {
            match piece {
                Piece::Kept(range) => out.extend_from_slice(&bytes[range]),
                Piece::New(new) => out.extend(new),
            }
            out
        });
    let found = scan(&edited).expect("an edited document is accepted");
    for Edit { key, value } in &edits {
        assert_eq!(found.value(&edited, key), value.as_deref(), "{key}");
    }
}

/// What can be read can be written in every dialect.
fn request(dialect: Dialect, bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(request) = codec::decode_request(dialect, body) else {
        return;
    };
    estimate::request_tokens(&request);
    request_is_written(&request);
}

fn request_is_written(request: &Request) {
    let target = Target {
        model: "m",
        capabilities: &Capabilities::default(),
        default_max_output_tokens: None,
    };
    for dialect in DIALECTS {
        assert_json(&codec::encode_request(
            dialect,
            request,
            &target,
            &mut Losses::default(),
        ));
    }
}

fn response(dialect: Dialect, bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(response) = codec::decode_response(dialect, body) else {
        return;
    };
    assert_noted_alike(dialect, body);
    for dialect in DIALECTS {
        let style = AnswerStyle::default();
        assert_json(&codec::encode_response(
            dialect,
            &response,
            &style,
            &mut Losses::default(),
        ));
    }
}

/// What is noted of an answer in passing is what its decoder reads.
fn assert_noted_alike(dialect: Dialect, body: &str) {
    // Of what is said twice both may believe another one.
    let Ok(once) = serde_json::from_str::<Value>(body) else {
        return;
    };
    let body = once.to_string();
    let Some(noted) = passing::note(dialect, body.as_bytes()) else {
        return;
    };
    let response = codec::decode_response(dialect, &body).expect("what is plain can be decoded");
    let usage = response.usage.expect("usage that was noted");
    assert_eq!(noted.model, response.model);
    assert_eq!(
        noted.usage,
        Usage {
            ext: Default::default(),
            ..usage
        }
    );
}

fn error(dialect: Dialect, bytes: &[u8]) {
    for status in [200, 400, 429, 500] {
        assert_error_is_written(&codec::decode_error(dialect, status, bytes));
    }
}

/// The events of a stream do not depend on the cuts, and every dialect can write them.
fn stream(dialect: Dialect, bytes: &[u8]) {
    let (whole, streams) = decode_stream(dialect, once(bytes));
    for step in [1, 3] {
        assert_eq!(
            decode_stream(dialect, bytes.chunks(step)).0,
            whole,
            "chunks of {step} bytes differ"
        );
    }
    for (dialect, written) in DIALECTS.into_iter().zip(streams) {
        if dialect == Dialect::BedrockConverse {
            let mut decoder = StreamDecoder::new(dialect, usize::MAX);
            let result = decoder.feed(&written, &mut |_| {});
            assert_eq!(result, Ok(()), "our own frames cannot be read");
        } else {
            assert_stream_is_json(&written);
        }
    }
}

/// Bytes as they are, which the checksums refuse, and as the lines `event payload` of a stream that they accept.
fn bedrock_stream(bytes: &[u8]) {
    stream(Dialect::BedrockConverse, bytes);
    let framed: Vec<u8> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .flat_map(|line| {
            let kind = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
            let (kind, payload) = line.split_at(kind.min(200));
            amazon_frame(kind, payload)
        })
        .collect();
    stream(Dialect::BedrockConverse, &framed);
}

/// A frame with an event, or with an exception if its name says so.
fn amazon_frame(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    let (name, message): (&[u8], &[u8]) = if kind.ends_with(b"Exception") {
        (b":exception-type", b"exception")
    } else {
        (b":event-type", b"event")
    };
    let mut headers = Vec::new();
    for (name, value) in [(name, kind), (b":message-type".as_slice(), message)] {
        headers.push(u8::try_from(name.len()).expect("names are short"));
        headers.extend_from_slice(name);
        headers.push(7);
        headers.extend_from_slice(
            &u16::try_from(value.len())
                .expect("values are short")
                .to_be_bytes(),
        );
        headers.extend_from_slice(value);
    }
    let lengths = [16 + headers.len() + payload.len(), headers.len()];
    let mut out: Vec<u8> = lengths
        .into_iter()
        .flat_map(|length| u32::try_from(length).expect("frames are short").to_be_bytes())
        .collect();
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

fn assert_stream_is_json(written: &[u8]) {
    let mut decoder = Decoder::new(usize::MAX);
    let check = &mut |event: tollgate_dialects::sse::SseEvent<'_>| {
        if let Some(data) = event.data.filter(|data| **data != *b"[DONE]") {
            assert_json(&data);
        }
    };
    decoder.feed(written, check).expect("there is no limit");
    decoder.finish(check);
}

/// The events and results as text, and the stream as the dialects write it.
fn decode_stream<'a>(
    dialect: Dialect,
    mut chunks: impl Iterator<Item = &'a [u8]>,
) -> (Vec<String>, [Vec<u8>; DIALECTS.len()]) {
    let mut seen = Vec::new();
    let mut encoders = DIALECTS.map(|dialect| StreamEncoder::new(dialect, &AnswerStyle::default()));
    let mut written = DIALECTS.map(|_| Vec::new());
    let mut note = |event: Event<'_>| {
        // A LF that a cut sets apart from its CR is one more sign of life.
        if event != Event::Ping {
            seen.push(format!("{event:?}"));
        }
        for (encoder, written) in encoders.iter_mut().zip(&mut written) {
            encoder.encode(&event, &mut Losses::default(), written);
        }
    };
    let mut decoder = StreamDecoder::new(dialect, MAX_EVENT_BYTES);
    let mut result = chunks.try_for_each(|chunk| decoder.feed(chunk, &mut note));
    if result.is_ok() {
        result = decoder.finish(&mut note);
    }
    seen.push(format!("{result:?}"));
    (seen, written)
}

/// What can be read of embeddings can be written in every dialect, and is read again there unless it was refused.
fn embeddings(bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else {
        return;
    };
    for from in embeddings::Dialect::ALL {
        if let Ok(request) = embeddings::decode_request(from, body) {
            request.estimated_tokens();
            for to in embeddings::Dialect::ALL {
                let mut losses = Losses::default();
                for written in embeddings::encode_request(to, &request, "m", &mut losses) {
                    assert_json(&written);
                    if losses.rejections().next().is_none() {
                        let written = std::str::from_utf8(&written).expect("JSON is UTF-8");
                        embeddings::decode_request(to, written).expect("what was sent can be read");
                    }
                }
            }
        }
        let Ok(response) = embeddings::decode_response(from, body) else {
            continue;
        };
        let inputs = vec!["\"a\""; response.items.len()].join(",");
        for format in ["float", "base64"] {
            let asked = format!(r#"{{"model":"m","input":[{inputs}],"encoding_format":"{format}"}}"#);
            let request = embeddings::decode_request(embeddings::Dialect::Openai, &asked);
            let request = request.expect("a request for as many vectors");
            for to in embeddings::Dialect::ALL {
                let mut losses = Losses::default();
                if let Ok(written) = embeddings::encode_response(to, &response, &request, &mut losses) {
                    assert_json(&written);
                    let written = std::str::from_utf8(&written).expect("JSON is UTF-8");
                    let again =
                        embeddings::decode_response(to, written).expect("what was answered can be read");
                    assert_eq!(again.items.len(), response.items.len());
                }
            }
        }
    }
}

/// The same for reranking.
fn rerank(bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else {
        return;
    };
    let asked = r#"{"model":"m","query":"q","documents":["a",{"text":"b"},"c"],"return_documents":true}"#;
    let asked = rerank::decode_request(rerank::Dialect::Jina, asked).expect("a request");
    for from in rerank::Dialect::ALL {
        let request = rerank::decode_request(from, body);
        let response = rerank::decode_response(from, body);
        for to in rerank::Dialect::ALL {
            if let Ok(request) = &request {
                let written = rerank::encode_request(to, request, "m", &mut Losses::default());
                let written = std::str::from_utf8(&written).expect("JSON is UTF-8");
                rerank::decode_request(to, written).expect("what was sent can be read");
            }
            let Ok(response) = &response else { continue };
            if let Ok(written) = rerank::encode_response(to, response, &asked, &mut Losses::default()) {
                let written = std::str::from_utf8(&written).expect("JSON is UTF-8");
                let again = rerank::decode_response(to, written).expect("what was answered can be read");
                assert_eq!(again.results.len(), response.results.len());
            }
        }
    }
}

/// Requests for completions can be written as chats, and their answers, those of chats and streams as completions.
fn completions(bytes: &[u8]) {
    if let Ok(body) = std::str::from_utf8(bytes) {
        if let Ok(asked) = completions::decode_request(body, &mut Losses::default()) {
            request_is_written(&asked.chat);
        }
        if let Ok(response) = completions::decode_response(body) {
            let style = completions::Style::default();
            let written = completions::encode_response(&response, &style, &mut Losses::default());
            let written = std::str::from_utf8(&written).expect("JSON is UTF-8");
            let again = completions::decode_response(written).expect("what was answered can be read");
            assert_eq!(again.choices.len(), response.choices.len());
        }
        for dialect in DIALECTS {
            if let Ok(response) = codec::decode_response(dialect, body) {
                let style = completions::Style::default();
                assert_json(&completions::encode_response(
                    &response,
                    &style,
                    &mut Losses::default(),
                ));
            }
        }
    }
    for dialect in DIALECTS {
        let mut written = Vec::new();
        let mut encoder = completions::StreamEncoder::new(completions::Style {
            echo: Some("p".to_owned()),
            include_usage: true,
            ..completions::Style::default()
        });
        let mut note = |event: Event<'_>| encoder.encode(&event, &mut Losses::default(), &mut written);
        let mut decoder = StreamDecoder::new(dialect, MAX_EVENT_BYTES);
        if decoder.feed(bytes, &mut note).is_ok() {
            let _ = decoder.finish(&mut note);
        }
        assert_stream_is_json(&written);
    }
}

fn assert_error_is_written(error: &ProviderError) {
    for dialect in DIALECTS {
        assert_json(&codec::encode_error(dialect, error, Some("req_1")));
    }
}

fn assert_json(bytes: &[u8]) {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        panic!("{error}: {}", String::from_utf8_lossy(bytes));
    }
}
