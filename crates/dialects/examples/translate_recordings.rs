//! Translates every recording into every other dialect and prints what came out, a JSON document per line.
//!
//!     cargo run -p tollgate-dialects --example translate_recordings -- ../shared/fixtures
//!
//! A line is `{"name", "from", "to", "what"}` with `"what"` one of `request`, `answer`, `stream`, and either the result (`"body"`
//! for JSON, `"text"` for server-sent events, `"base64"` for Bedrock's event streams), or `"rejected"`, the fields that the
//! target cannot express, or `"unreadable"`, why the recording is not a document of its dialect. `"losses"` has the fields that
//! were approximated or dropped. The tests of the official SDKs read these lines.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool that prints, and fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate_dialects::canonical::{DecodeError, Event};
use tollgate_dialects::codec::{self, AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Effect, Losses, Target};

const MAX_EVENT_BYTES: usize = 32 << 20;

/// The folders that hold recordings of each dialect.
const FOLDERS: [(&str, Dialect); 6] = [
    ("openai-chat", Dialect::OpenaiChat),
    ("openai-responses", Dialect::OpenaiResponses),
    ("anthropic-messages", Dialect::AnthropicMessages),
    ("gemini-generate", Dialect::Gemini),
    ("bedrock-converse", Dialect::BedrockConverse),
    ("cohere-chat-v2", Dialect::CohereChat),
];

/// The model that requests are written for, one of those that take most of what the dialect has.
const fn model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => "gpt-4.1",
        Dialect::AnthropicMessages => "claude-sonnet-4-5",
        Dialect::Gemini => "gemini-3-pro-preview",
        Dialect::BedrockConverse => "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        Dialect::CohereChat => "command-a-reasoning-08-2025",
    }
}

fn main() {
    let root = env::args_os().nth(1).map(PathBuf::from);
    let root = root.expect("usage: translate_recordings <folder of recordings>");
    for provider in folders(&root) {
        for (folder, from) in FOLDERS {
            for case in folders(&provider.join(folder)) {
                let name = case.strip_prefix(&root).unwrap_or(&case).display().to_string();
                translate(&case, &name, from);
            }
        }
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

fn translate(case: &Path, name: &str, from: Dialect) {
    let meta: Value =
        serde_json::from_slice(&fs::read(case.join("meta.json")).expect("every recording has meta.json"))
            .expect("meta.json is JSON");
    let answered = meta["status"].as_u64().is_none_or(|status| status == 200);
    let text = |file: &str| fs::read_to_string(case.join(file)).ok();
    for to in Dialect::ALL.into_iter().filter(|to| *to != from) {
        if let Some(body) = text("request.json") {
            print(name, from, to, "request", request(&body, from, to));
        }
        if !answered {
            continue;
        }
        if let Some(body) = text("response.json").filter(|body| !body.starts_with('[')) {
            print(name, from, to, "answer", answer(&body, from, to));
        }
        let bytes = text("response.sse")
            .map(String::into_bytes)
            .or_else(|| fs::read(case.join("response.eventstream")).ok());
        if let Some(bytes) = bytes {
            print(name, from, to, "stream", stream(&bytes, from, to));
        }
    }
}

fn print(name: &str, from: Dialect, to: Dialect, what: &str, result: Value) {
    let mut line = json!({ "name": name, "from": from.name(), "to": to.name(), "what": what });
    if let (Value::Object(line), Value::Object(result)) = (&mut line, result) {
        line.extend(result);
    }
    println!("{line}");
}

fn request(body: &str, from: Dialect, to: Dialect) -> Value {
    let mut request = match codec::decode_request(from, body) {
        Ok(request) => request,
        Err(error) => return unreadable(&error),
    };
    request.stream = request.stream.or(Some(false));
    let capabilities = Capabilities::of(model(to));
    let target = Target {
        model: model(to),
        capabilities: &capabilities,
        default_max_output_tokens: None,
    };
    let mut losses = Losses::new();
    let body = codec::encode_request(to, &request, &target, &mut losses);
    let rejected: Vec<String> = losses.rejections().map(ToString::to_string).collect();
    if !rejected.is_empty() {
        return json!({ "rejected": rejected });
    }
    json!({ "body": parsed(&body), "losses": told(&losses) })
}

fn answer(body: &str, from: Dialect, to: Dialect) -> Value {
    let response = match codec::decode_response(from, body) {
        Ok(response) => response,
        Err(error) => return unreadable(&error),
    };
    let mut losses = Losses::new();
    let body = codec::encode_response(to, &response, &AnswerStyle::default(), &mut losses);
    json!({ "body": parsed(&body), "losses": told(&losses) })
}

fn stream(bytes: &[u8], from: Dialect, to: Dialect) -> Value {
    let style = AnswerStyle {
        include_usage: true,
        ..AnswerStyle::default()
    };
    let mut encoder = StreamEncoder::new(to, &style);
    let (mut losses, mut out) = (Losses::new(), Vec::new());
    let mut decoder = StreamDecoder::new(from, MAX_EVENT_BYTES);
    let mut ended = false;
    let mut sink = |event: Event<'_>| {
        ended |= matches!(event, Event::End);
        encoder.encode(&event, &mut losses, &mut out);
    };
    if let Err(error) = decoder
        .feed(bytes, &mut sink)
        .and_then(|()| decoder.finish(&mut sink))
    {
        return unreadable(&error);
    }
    if !ended {
        // Some providers are complete without an end mark, as the gateway knows too.
        encoder.encode(&Event::End, &mut losses, &mut out);
    }
    match String::from_utf8(out) {
        Ok(text) if to != Dialect::BedrockConverse => json!({ "text": text, "losses": told(&losses) }),
        Ok(text) => json!({ "base64": STANDARD.encode(text), "losses": told(&losses) }),
        Err(binary) => json!({ "base64": STANDARD.encode(binary.as_bytes()), "losses": told(&losses) }),
    }
}

fn unreadable(error: &DecodeError) -> Value {
    json!({ "unreadable": error.to_string() })
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("what the encoders write is JSON")
}

fn told(losses: &Losses) -> Vec<String> {
    let kept = losses.iter().filter(|loss| loss.effect != Effect::Rejected);
    kept.map(ToString::to_string).collect()
}
