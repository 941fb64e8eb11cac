use std::fs;
use std::path::{Path, PathBuf};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{Event, Usage};
use tollgate_dialects::codec::StreamDecoder;

use super::{Facts, Framing, Reader};
use crate::ai::protocol::Protocol;

fn read_in_pieces<'a>(
    protocol: Protocol,
    framing: Framing,
    max_text_bytes: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Facts {
    let mut reader = Reader::new(protocol, framing, max_text_bytes);
    pieces.for_each(|piece| reader.feed(piece));
    reader.finish()
}

fn read(protocol: Protocol, framing: Framing, bytes: &[u8]) -> Facts {
    read_in_pieces(protocol, framing, 1_000, std::iter::once(bytes))
}

/// Reads an answer whole, cut once at every position, and in pieces of equal size; all must tell the same. Also without
/// keeping text.
fn read_every_way(protocol: Protocol, framing: Framing, bytes: &[u8]) -> Facts {
    let whole = read(protocol, framing, bytes);
    let step = (bytes.len() / 500).max(1);
    for cut in (0..bytes.len()).step_by(step) {
        let (before, after) = bytes.split_at(cut);
        assert_eq!(
            read_in_pieces(protocol, framing, 1_000, [before, after].into_iter()),
            whole,
            "cut at {cut}"
        );
    }
    for size in [1, 2, 3, 7] {
        assert_eq!(
            read_in_pieces(protocol, framing, 1_000, bytes.chunks(size)),
            whole,
            "in pieces of {size}"
        );
    }
    let silent = read_in_pieces(protocol, framing, 0, bytes.chunks(5));
    assert_eq!(silent.text, None);
    let text = whole.text.clone();
    assert_eq!(Facts { text, ..silent }, whole, "without keeping text");
    whole
}

fn counts(facts: &Facts) -> Usage {
    let mut usage = facts.usage.clone().unwrap();
    usage.ext = tollgate_dialects::canonical::Ext::default();
    usage
}

#[test]
fn a_chat_stream_tells_text_tokens_and_its_end() {
    let stream = concat!(
        ": hello\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: not json\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{\"content\":\"H\\u00e9\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{\"content\":\"llo\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,",
        "\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":2}}}\n\n",
        "data: [DONE]\n\n",
    );
    let facts = read_every_way(Protocol::OpenaiChat, Framing::Sse, stream.as_bytes());
    assert_eq!(
        counts(&facts),
        Usage {
            input: 6,
            cache_read: Some(4),
            output: 5,
            reasoning: Some(2),
            ..Usage::default()
        }
    );
    assert_eq!(facts.text.as_deref(), Some("Héllo"));
    assert_eq!(facts.model.as_deref(), Some("gpt-x"));
    assert!(facts.ended && facts.content_seen && !facts.tool_calls && facts.failed.is_none());
}

#[test]
fn calls_of_tools_are_seen_behind_text() {
    let stream = concat!(
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]}}]}\n\n",
    );
    let facts = read_every_way(Protocol::OpenaiChat, Framing::Sse, stream.as_bytes());
    assert!(facts.tool_calls && !facts.ended);
}

#[test]
fn an_end_without_its_mark_is_an_end_and_a_cut_is_none() {
    let start = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n";
    let stop = format!("{start}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n");
    assert!(read_every_way(Protocol::OpenaiChat, Framing::Sse, stop.as_bytes()).ended);
    let cut = read_every_way(Protocol::OpenaiChat, Framing::Sse, start.as_bytes());
    assert!(!cut.ended && cut.content_seen && cut.usage.is_none());
}

#[test]
fn documents_of_every_api_are_read() {
    for (protocol, document, input, output, text, tools) in [
        (
            Protocol::OpenaiChat,
            r#"{"model":"m","choices":[{"message":{"content":"a"}},{"message":{"content":"b","tool_calls":[{}]}}],
                "usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
            3,
            4,
            Some("a b"),
            true,
        ),
        (
            Protocol::OpenaiResponses,
            r#"{"model":"m","output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"a"}]},
                {"type":"function_call"}],"error":null,"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#,
            3,
            4,
            Some("a"),
            true,
        ),
        (
            Protocol::AnthropicMessages,
            r#"{"model":"m","content":[{"type":"text","text":"a"},{"type":"tool_use"}],
                "usage":{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":null}}"#,
            3,
            4,
            Some("a"),
            true,
        ),
        (
            Protocol::BedrockConverse,
            r#"{"output":{"message":{"content":[{"text":"a"},{"toolUse":{}}]}},"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}"#,
            3,
            4,
            Some("a"),
            true,
        ),
        (
            Protocol::OpenaiEmbeddings,
            r#"{"model":"m","data":[{"embedding":[1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
            3,
            0,
            None,
            false,
        ),
        (
            Protocol::VertexPredict,
            r#"{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":1.0}}},
                {"embeddings":{"values":[1],"statistics":{"token_count":2}}}]}"#,
            3,
            0,
            None,
            false,
        ),
    ] {
        let facts = read_every_way(protocol, Framing::Json, document.as_bytes());
        let usage = Usage {
            input,
            output,
            ..Usage::default()
        };
        assert_eq!(counts(&facts), usage, "{protocol:?}");
        assert_eq!(facts.text.as_deref(), text, "{protocol:?}");
        assert_eq!(facts.tool_calls, tools, "{protocol:?}");
        assert!(
            facts.ended && facts.content_seen && facts.failed.is_none(),
            "{protocol:?}"
        );
    }
}

/// The code or type of what went wrong.
fn failure(facts: &Facts) -> &str {
    let failed = facts.failed.as_ref().unwrap();
    let name = failed.code.as_deref().or(failed.native_type.as_deref());
    name.unwrap_or("error")
}

#[test]
fn the_tier_is_what_the_vendor_says() {
    for (protocol, framing, bytes) in [
        (
            Protocol::OpenaiChat,
            Framing::Json,
            r#"{"model":"m","service_tier":"flex","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1}}"#,
        ),
        (
            Protocol::OpenaiChat,
            Framing::Sse,
            "data: {\"model\":\"m\",\"service_tier\":\"flex\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
        ),
        (
            Protocol::AnthropicMessages,
            Framing::Json,
            r#"{"type":"message","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1,"service_tier":"flex"}}"#,
        ),
        (
            Protocol::OpenaiResponses,
            Framing::Json,
            r#"{"model":"m","status":"completed","output":[],"service_tier":"flex"}"#,
        ),
    ] {
        let facts = read_every_way(protocol, framing, bytes.as_bytes());
        assert_eq!(facts.service_tier.as_deref(), Some("flex"), "{bytes}");
    }
}

#[test]
fn failures_are_told_by_their_code() {
    for (protocol, framing, answer, failed) in [
        (
            Protocol::OpenaiChat,
            Framing::Json,
            r#"{"error":{"message":"x","type":"t","code":"rate_limit_exceeded"}}"#,
            "rate_limit_exceeded",
        ),
        (
            Protocol::OpenaiChat,
            Framing::Json,
            r#"{"error":{"code":429}}"#,
            "429",
        ),
        (
            Protocol::OpenaiChat,
            Framing::Json,
            r#"{"error":"text"}"#,
            "error",
        ),
        (
            Protocol::OpenaiChat,
            Framing::Sse,
            "data: {\"error\":{\"type\":\"server_error\",\"code\":null}}\n\n",
            "server_error",
        ),
        (
            Protocol::AnthropicMessages,
            Framing::Sse,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
            "overloaded_error",
        ),
        (
            Protocol::OpenaiResponses,
            Framing::Sse,
            "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}\n\n",
            "server_error",
        ),
        (
            Protocol::OpenaiResponses,
            Framing::Sse,
            "event: error\ndata: {\"code\":\"rate_limited\"}\n\n",
            "rate_limited",
        ),
    ] {
        let facts = read_every_way(protocol, framing, answer.as_bytes());
        assert_eq!(failure(&facts), failed, "{answer}");
    }
}

#[test]
fn a_stream_of_messages_adds_its_counts_up() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":",
        "{\"input_tokens\":9,\"cache_read_input_tokens\":7,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":0,\"output_tokens\":20,",
        "\"cache_read_input_tokens\":null}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let facts = read_every_way(Protocol::AnthropicMessages, Framing::Sse, stream.as_bytes());
    let usage = Usage {
        input: 9,
        cache_read: Some(7),
        output: 20,
        ..Usage::default()
    };
    assert_eq!(counts(&facts), usage);
    assert!(facts.ended && facts.tool_calls);
    assert_eq!(facts.text.as_deref(), Some("hi"));
}

#[test]
fn nonsense_in_place_of_counts_is_no_usage() {
    for usage in [
        "null",
        "{}",
        "[]",
        "7",
        r#"{"prompt_tokens":"3"}"#,
        r#"{"prompt_tokens":-1}"#,
        r#"{"prompt_tokens":1.5}"#,
    ] {
        let document = format!(r#"{{"choices":null,"model":3,"usage":{usage}}}"#);
        let facts = read_every_way(Protocol::OpenaiChat, Framing::Json, document.as_bytes());
        assert_eq!((facts.usage, facts.model), (None, None), "{usage}");
    }
}

#[test]
fn text_is_kept_up_to_its_limit_and_never_half_a_character() {
    let document = r#"{"choices":[{"message":{"content":"aé"}}]}"#;
    for (limit, kept) in [(0, None), (1, Some("a")), (2, Some("a")), (3, Some("aé"))] {
        let pieces = std::iter::once(document.as_bytes());
        let facts = read_in_pieces(Protocol::OpenaiChat, Framing::Json, limit, pieces);
        assert_eq!(facts.text.as_deref(), kept);
    }
}

#[test]
fn what_is_no_document_tells_nothing() {
    for document in ["", "<html>", "{\"usage\":{", "[1]", "{} {}"] {
        let facts = read_every_way(Protocol::OpenaiChat, Framing::Json, document.as_bytes());
        let is_json = document == "[1]";
        let nothing = Facts {
            unreadable: !is_json,
            foreign: is_json,
            ..Facts::default()
        };
        assert_eq!(facts, nothing, "{document}");
    }
}

#[test]
fn what_comes_before_the_first_content_is_none_and_whatever_is_unknown_is() {
    let chat =
        |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":null}}]}}\n\n");
    let event = |data: &str| format!("data: {data}\n\n");
    for (protocol, before, content) in [
        (
            Protocol::OpenaiChat,
            vec![
                ": keep-alive\n\n".to_owned(),
                "data:\n\n".to_owned(),
                event(r#"{"choices":[],"prompt_filter_results":[{"index":0}]}"#),
                chat(r#"{"role":"assistant","content":""}"#),
                chat(r#"{"content":null,"refusal":null,"tool_calls":[]}"#),
            ],
            vec![
                chat(r#"{"content":"x"}"#),
                chat(r#"{"reasoning_content":"x"}"#),
                chat(r#"{"tool_calls":[{"index":0}]}"#),
                chat(r#"{"audio":{"id":"a"}}"#),
            ],
        ),
        (
            Protocol::AnthropicMessages,
            vec![
                event(r#"{"type":"message_start","message":{"model":"m"}}"#),
                event(r#"{"type":"ping"}"#),
                event(r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#),
                event(r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}"#),
            ],
            vec![
                event(r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"x"}}"#),
                event(r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"x"}}"#),
                event(
                    r#"{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"x"}}"#,
                ),
            ],
        ),
        (
            Protocol::OpenaiResponses,
            vec![
                event(r#"{"type":"response.created","response":{"model":"m","status":"in_progress"}}"#),
                event(r#"{"type":"response.in_progress","response":{"model":"m"}}"#),
                event(r#"{"type":"response.output_item.added","item":{"type":"message","content":[]}}"#),
                event(r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#),
                event(r#"{"type":"keepalive"}"#),
            ],
            vec![
                event(r#"{"type":"response.output_text.delta","delta":"x"}"#),
                event(r#"{"type":"response.output_item.added","item":{"type":"web_search_call"}}"#),
                event(r#"{"type":"response.image_generation_call.partial_image","partial_image_b64":"x"}"#),
            ],
        ),
    ] {
        let before = before.concat();
        let facts = read_every_way(protocol, Framing::Sse, before.as_bytes());
        let is_quiet = !facts.content_seen && !facts.stopped && !facts.foreign && !facts.unreadable;
        assert!(is_quiet, "{protocol:?}: {facts:?}");
        for content in content {
            let facts = read_every_way(protocol, Framing::Sse, format!("{before}{content}").as_bytes());
            assert!(facts.content_seen, "{protocol:?}: {content}");
        }
    }
}

#[test]
fn another_api_than_the_one_that_was_asked_is_not_judged() {
    for (protocol, framing, answer) in [
        (
            Protocol::OpenaiChat,
            Framing::Json,
            r#"{"message":{"content":"hi"},"done":true}"#,
        ),
        (
            Protocol::OpenaiEmbeddings,
            Framing::Json,
            r#"{"output":[{"type":"message"}]}"#,
        ),
        (
            Protocol::OpenaiChat,
            Framing::Sse,
            "data: {\"type\":\"message_start\"}\n\n",
        ),
        (
            Protocol::AnthropicMessages,
            Framing::Sse,
            "data: {\"choices\":[]}\n\n",
        ),
        (Protocol::Passthrough, Framing::Sse, "data: {\"choices\":[]}\n\n"),
    ] {
        let facts = read_every_way(protocol, framing, answer.as_bytes());
        assert!(
            facts.foreign && !facts.unreadable && facts.failed.is_none(),
            "{answer}"
        );
    }
}

#[test]
fn the_output_of_a_stream_is_estimated_from_its_pieces() {
    let chat = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"four words of text\"}}]}\n\n";
    let messages = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"four words of text\"}}\n\n";
    let responses = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"four words of text\"}\n\n";
    for (protocol, stream) in [
        (Protocol::OpenaiChat, chat),
        (Protocol::AnthropicMessages, messages),
        (Protocol::OpenaiResponses, responses),
    ] {
        let once = read_every_way(protocol, Framing::Sse, stream.as_bytes());
        let often = read_every_way(protocol, Framing::Sse, stream.repeat(3).as_bytes());
        assert_eq!(
            (once.estimated_output, often.estimated_output),
            (4, 12),
            "{protocol:?}"
        );
    }
}

fn frame(headers: &[(&'static str, &'static str)], payload: &'static str) -> Vec<u8> {
    let mut message = Message::new(payload.as_bytes());
    for (name, value) in headers {
        message = message.add_header(Header::new(*name, HeaderValue::String((*value).into())));
    }
    let mut out = Vec::new();
    write_message_to(&message, &mut out).unwrap();
    out
}

fn event(kind: &'static str, payload: &'static str) -> Vec<u8> {
    frame(&[(":message-type", "event"), (":event-type", kind)], payload)
}

#[test]
fn frames_are_read_however_they_are_cut() {
    let stream = [
        event("messageStart", r#"{"role":"assistant"}"#),
        event("contentBlockDelta", r#"{"delta":{"text":"Hel"}}"#),
        event("contentBlockDelta", "nonsense"),
        event("contentBlockDelta", r#"{"delta":{"text":"lo"}}"#),
        event("contentBlockStart", r#"{"start":{"toolUse":{"name":"f"}}}"#),
        event("messageStop", r#"{"stopReason":"tool_use"}"#),
        event(
            "metadata",
            r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":8,"cacheReadInputTokens":5}}"#,
        ),
    ]
    .concat();
    let facts = read_every_way(Protocol::BedrockConverse, Framing::AwsEventStream, &stream);
    let usage = Usage {
        input: 1,
        cache_read: Some(5),
        output: 2,
        ..Usage::default()
    };
    assert_eq!(counts(&facts), usage);
    assert_eq!(facts.text.as_deref(), Some("Hello"));
    assert!(facts.ended && facts.tool_calls && facts.failed.is_none());
}

#[test]
fn an_exception_frame_is_a_failure() {
    let exception = [
        (":message-type", "exception"),
        (":exception-type", "throttlingException"),
    ];
    let stream = [
        event("contentBlockDelta", r#"{"delta":{"text":"Hel"}}"#),
        frame(&exception, r#"{"message":"slow down"}"#),
    ]
    .concat();
    let facts = read_every_way(Protocol::BedrockConverse, Framing::AwsEventStream, &stream);
    assert_eq!(failure(&facts), "throttlingException");
    assert!(facts.content_seen);
}

#[test]
fn nothing_is_believed_from_a_broken_frame_on() {
    let good = event("contentBlockDelta", r#"{"delta":{"text":"x"}}"#);
    let end = event("messageStop", "{}");
    for at in 0..end.len() {
        let mut stream = [good.clone(), end.clone(), good.clone()].concat();
        stream[good.len() + at] ^= 0x10;
        let facts = read_every_way(Protocol::BedrockConverse, Framing::AwsEventStream, &stream);
        assert_eq!(
            (facts.ended, facts.text.as_deref()),
            (false, Some("x")),
            "byte {at}"
        );
    }
}

/// Recorded answers of an API: the file and its bytes.
fn recordings(dialect: &str, file: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = std::env::var_os("TOLLGATE_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    if !root.exists() {
        assert!(std::env::var_os("CI").is_none(), "the recordings are missing");
        return Vec::new();
    }
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).map_or_else(
            |_| Vec::new(),
            |entries| entries.map(|entry| entry.unwrap().path()).collect(),
        )
    };
    let mut found = Vec::new();
    for provider in folders(&root) {
        for case in folders(&provider.join(dialect)) {
            let path = case.join(file);
            if let Ok(bytes) = fs::read(&path) {
                found.push((path, bytes));
            }
        }
    }
    assert!(!found.is_empty(), "no recordings of {dialect}");
    found
}

#[test]
fn recorded_streams_tell_what_the_strict_decoders_read() {
    for (dialect, protocol, folder) in [
        (Dialect::OpenaiChat, Protocol::OpenaiChat, "openai-chat"),
        (
            Dialect::AnthropicMessages,
            Protocol::AnthropicMessages,
            "anthropic-messages",
        ),
    ] {
        for (path, bytes) in recordings(folder, "response.sse") {
            let mut usage = None;
            let mut said = false;
            let mut decoder = StreamDecoder::new(dialect, 1 << 24);
            let mut note = |event: Event<'_>| match event {
                Event::Usage(read) => usage = Some(read),
                Event::PartDelta { .. } => said = true,
                _ => {}
            };
            if decoder.feed(&bytes, &mut note).is_err() || decoder.finish(&mut note).is_err() {
                continue;
            }
            let facts = read(protocol, Framing::Sse, &bytes);
            let bare = |usage: &Usage| (usage.input_total(), usage.output, usage.cache_read.unwrap_or(0));
            assert_eq!(
                facts.usage.as_ref().map(bare),
                usage.as_ref().map(bare),
                "{}",
                path.display()
            );
            assert!(facts.content_seen || !said, "{}", path.display());
        }
    }
}

#[test]
fn recorded_answers_of_other_apis_tell_their_tokens() {
    for (protocol, folder, file, framing) in [
        (
            Protocol::BedrockConverse,
            "bedrock-converse",
            "response.eventstream",
            Framing::AwsEventStream,
        ),
        (
            Protocol::BedrockConverse,
            "bedrock-converse",
            "response.json",
            Framing::Json,
        ),
        (
            Protocol::OpenaiResponses,
            "openai-responses",
            "response.sse",
            Framing::Sse,
        ),
        (
            Protocol::OpenaiResponses,
            "openai-responses",
            "response.json",
            Framing::Json,
        ),
        (
            Protocol::OpenaiEmbeddings,
            "embeddings",
            "response.json",
            Framing::Json,
        ),
    ] {
        for (path, bytes) in recordings(folder, file) {
            let facts = read(protocol, framing, &bytes);
            let says_tokens = match serde_json::from_slice::<serde_json::Value>(&bytes) {
                Ok(document) => document["usage"].is_object(),
                Err(_) => ["\"outputTokens\":", "\"usage\":{", "\"usage\": {"]
                    .iter()
                    .any(|key| memchr::memmem::find(&bytes, key.as_bytes()).is_some()),
            };
            assert_eq!(facts.usage.is_some(), says_tokens, "{}", path.display());
            assert!(!says_tokens || facts.ended, "{}", path.display());
        }
    }
}
