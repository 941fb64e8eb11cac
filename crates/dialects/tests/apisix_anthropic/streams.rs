//! Streams, chunk by chunk.

use serde_json::{Value, json};
use tollgate_dialects::codec::{StreamDecoder, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, Renames};

use crate::{Stream, finish, first, next, style, types};

#[test]
fn a_stream_tells_each_chunk_at_once_block_by_block() {
    let mut stream = Stream::begin();
    let events = stream.chunk(first(json!({"reasoning_content": "Let me "})));
    assert_eq!(
        types(&events),
        ["message_start", "content_block_start", "content_block_delta"]
    );
    assert_eq!(events[0]["message"]["id"], "x");
    assert_eq!(events[0]["message"]["model"], "o1");
    assert_eq!(
        events[0]["message"]["usage"],
        json!({"input_tokens": 0, "output_tokens": 0})
    );
    assert_eq!(
        events[1]["content_block"],
        json!({"type": "thinking", "thinking": ""})
    );
    assert_eq!(
        events[2]["delta"],
        json!({"type": "thinking_delta", "thinking": "Let me "})
    );

    let events = stream.chunk(next(json!({"reasoning_content": "think..."})));
    assert_eq!(types(&events), ["content_block_delta"]);

    let events = stream.chunk(next(json!({"content": "The answer"})));
    assert_eq!(
        events,
        [
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "The answer"}}),
        ]
    );

    let piece = |arguments: &str| {
        json!({"tool_calls": [{"index": 0, "id": "call_1",
        "function": {"name": "f", "arguments": arguments}}]})
    };
    let events = stream.chunk(next(piece("")));
    let block = json!({"type": "tool_use", "id": "call_1", "name": "f", "input": {}});
    assert_eq!(types(&events), ["content_block_stop", "content_block_start"]);
    assert_eq!(
        (&events[1]["index"], &events[1]["content_block"]),
        (&json!(2), &block)
    );
    let events = stream.chunk(next(piece("{\"a\":")));
    let delta = json!({"type": "input_json_delta", "partial_json": "{\"a\":"});
    assert_eq!((&events[0]["index"], &events[0]["delta"]), (&json!(2), &delta));

    // Text behind a call is a block of its own.
    let events = stream.chunk(next(json!({"content": "!"})));
    assert_eq!(
        types(&events),
        ["content_block_stop", "content_block_start", "content_block_delta"]
    );
    assert_eq!(events[1]["index"], 3);
    let events = stream.chunk(finish("tool_calls"));
    assert_eq!(events, [json!({"type": "content_block_stop", "index": 3})]);
}

#[test]
fn an_empty_finish_reason_does_not_end_a_stream() {
    let mut stream = Stream::begin();
    stream.chunk(first(json!({"content": "hi"})));
    for word in [json!(null), json!(""), json!("null"), json!("  ")] {
        let chunk = json!({"choices": [{"delta": {"content": "!"}, "finish_reason": word}]});
        assert_eq!(types(&stream.chunk(chunk)), ["content_block_delta"], "{word}");
    }
    assert_eq!(types(&stream.chunk(finish("stop"))), ["content_block_stop"]);
    assert_eq!(types(&stream.done()), ["message_delta", "message_stop"]);
}

#[test]
fn the_end_of_a_stream_waits_for_a_chunk_of_usage() {
    // Lua writes an empty list as an object.
    for nothing in [json!([]), json!({}), json!(null)] {
        let mut stream = Stream::begin();
        stream.chunk(first(json!({"content": "hi"})));
        assert_eq!(types(&stream.chunk(finish("stop"))), ["content_block_stop"]);
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 20}});
        let events = stream.chunk(json!({"choices": nothing, "usage": usage}));
        assert_eq!(types(&events), ["message_delta", "message_stop"]);
        assert_eq!(
            events[0]["usage"],
            json!({"input_tokens": 80, "output_tokens": 50, "cache_read_input_tokens": 20})
        );
        assert_eq!(stream.done(), [] as [Value; 0]);
    }
}

#[test]
fn usage_beside_the_finish_reason_is_told_at_the_end_mark_and_nothing_after_it() {
    let mut stream = Stream::begin();
    stream.chunk(first(json!({"content": "hi"})));
    let mut last = finish("stop");
    last["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 5});
    assert_eq!(types(&stream.chunk(last)), ["content_block_stop"]);
    let events = stream.done();
    assert_eq!(types(&events), ["message_delta", "message_stop"]);
    assert_eq!(
        events[0]["usage"],
        json!({"input_tokens": 10, "output_tokens": 5})
    );
    assert_eq!(stream.done(), [] as [Value; 0]);
    assert_eq!(stream.chunk(next(json!({"content": "extra"}))), [] as [Value; 0]);
}

#[test]
fn a_finish_reason_told_twice_ends_a_stream_once() {
    let mut stream = Stream::begin();
    stream.chunk(first(json!({"content": "hi", "role": "assistant"})));
    assert_eq!(types(&stream.chunk(finish("stop"))), ["content_block_stop"]);
    let mut again = finish("stop");
    again["usage"] = json!({"prompt_tokens": 8, "completion_tokens": 2});
    let events = stream.chunk(again);
    assert_eq!(types(&events), ["message_delta", "message_stop"]);
    assert_eq!(events[0]["usage"]["input_tokens"], 8);
    assert_eq!(stream.done(), [] as [Value; 0]);
}

#[test]
fn a_stream_without_content_begins_and_ends_all_the_same() {
    let mut stream = Stream::begin();
    assert_eq!(
        types(&stream.chunk(first(json!({"role": "assistant"})))),
        ["message_start"]
    );
    let events = stream.done();
    assert_eq!(types(&events), ["message_delta", "message_stop"]);
    assert_eq!(events[0]["delta"]["stop_reason"], "end_turn");
    assert_eq!(events[0]["usage"], json!({"input_tokens": 0, "output_tokens": 0}));
}

#[test]
fn an_error_in_the_middle_of_a_stream_is_told_as_an_error_event() {
    let mut stream = Stream::begin();
    stream.chunk(first(json!({"content": "hi"})));
    let events = stream.chunk(json!({"error": {"message": "overloaded", "type": "server_error"}}));
    assert_eq!(types(&events), ["error"]);
    assert_eq!(events[0]["error"]["message"], "overloaded");
    assert_eq!(stream.done(), [] as [Value; 0]);
}

#[test]
fn a_stream_is_written_the_same_wherever_its_bytes_are_cut() {
    let piece =
        json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]});
    let mut last = finish("tool_calls");
    last["usage"] = json!({"prompt_tokens": 8, "completion_tokens": 2});
    let chunks = [
        first(json!({"role": "assistant", "reasoning": "hm"})),
        next(json!({"content": "wörter"})),
        next(piece),
        last,
    ];
    let mut bytes: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    bytes.push_str("data: [DONE]\n\n");
    let written = |pieces: &[&[u8]]| {
        let style = style(Renames::default());
        let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, 1 << 20);
        let mut encoder = StreamEncoder::new(Dialect::AnthropicMessages, &style);
        let mut out = Vec::new();
        for piece in pieces {
            decoder
                .feed(piece, &mut |event| {
                    encoder.encode(&event, &mut Losses::new(), &mut out);
                })
                .unwrap();
        }
        out
    };
    let whole = written(&[bytes.as_bytes()]);
    assert!(String::from_utf8(whole.clone()).unwrap().contains("message_stop"));
    for cut in 1..bytes.len() {
        let (start, end) = bytes.as_bytes().split_at(cut);
        assert_eq!(written(&[start, end]), whole, "{cut}");
    }
}
