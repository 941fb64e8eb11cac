//! Legacy completions: requests as chats, and chats' answers as completions.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Event, Response};
use tollgate_dialects::codec::{self, StreamDecoder};
use tollgate_dialects::completions::{
    Asked, StreamEncoder, Style, decode_request, decode_response, encode_response, respelled,
};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use crate::support::{assert_json_eq, json as parse, names, recordings_of, target};

fn read(request: Value) -> (Asked, Vec<String>) {
    let mut losses = Losses::new();
    let asked = decode_request(&request.to_string(), &mut losses).unwrap();
    (asked, names(&losses))
}

fn sent(to: Dialect, asked: &Asked) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = codec::encode_request(
        to,
        &asked.chat,
        &target("p", &Capabilities::default()),
        &mut losses,
    );
    (parse(body), names(&respelled(&losses)))
}

fn answered(from: Dialect, answer: Value, style: &Style) -> (Value, Vec<String>) {
    let response = codec::decode_response(from, &answer.to_string()).unwrap();
    written(&response, style)
}

fn written(response: &Response, style: &Style) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = encode_response(response, style, &mut losses);
    (parse(body), names(&losses))
}

/// The stream that the client gets for one of another dialect.
fn streamed(from: Dialect, stream: &str, style: Style) -> (Vec<String>, Vec<String>) {
    let (mut losses, mut out) = (Losses::new(), Vec::new());
    let mut encoder = StreamEncoder::new(style);
    let mut decoder = StreamDecoder::new(from, 1 << 20);
    let mut sink = |event: Event<'_>| encoder.encode(&event, &mut losses, &mut out);
    decoder.feed(stream.as_bytes(), &mut sink).unwrap();
    decoder.finish(&mut sink).unwrap();
    (documents(&String::from_utf8(out).unwrap()), names(&losses))
}

fn documents(stream: &str) -> Vec<String> {
    stream
        .split("\n\n")
        .filter_map(|event| event.trim().strip_prefix("data: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_member_of_a_recorded_request_is_in_the_chat_or_reported() {
    for recording in recordings_of("openai-completions") {
        let body = recording.request().unwrap();
        let mut losses = Losses::new();
        let asked = match decode_request(&body, &mut losses) {
            Ok(asked) => asked,
            // Token numbers.
            Err(error) => {
                assert_eq!(error.path, "prompt", "{}", recording.name);
                continue;
            }
        };
        let (chat, _) = sent(Dialect::OpenaiChat, &asked);
        let losses = names(&losses);
        for (name, value) in parse(&body).as_object().unwrap() {
            let same = chat.get(name) == Some(value) || name == "model" || value.is_null();
            let prompt = name == "prompt" && chat["messages"] == json!([{"role": "user", "content": value}]);
            let reported = losses.iter().any(|loss| loss.starts_with(&format!("{name}=")));
            assert!(same || prompt || reported, "{}: {name}", recording.name);
        }
    }
}

#[test]
fn recorded_answers_come_back_equal() {
    for recording in recordings_of("openai-completions") {
        let Some(body) = recording.answer() else { continue };
        let response = decode_response(&body).unwrap();
        let (again, losses) = written(&response, &Style::default());
        assert_json_eq(&again, &parse(&body), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        assert!(response.usage.unwrap().output > 0);
    }
}

/// The events that a recorded stream stands for, written again.
#[test]
fn recorded_streams_are_written_as_openai_writes_them() {
    for recording in recordings_of("openai-completions") {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let expected = documents(&stream);
        let include_usage = expected[0].contains(r#""usage":null"#);
        let chat: String = expected
            .iter()
            .map(|chunk| match serde_json::from_str::<Value>(chunk) {
                Ok(chunk) => format!("data: {}\n\n", as_chat(chunk)),
                Err(_) => format!("data: {chunk}\n\n"),
            })
            .collect();
        let style = Style {
            include_usage,
            ..Style::default()
        };
        let (again, losses) = streamed(Dialect::OpenaiChat, &chat, style);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        assert_eq!(texts(&again), texts(&expected), "{}", recording.name);
        assert_eq!(again.last(), expected.last(), "{}", recording.name);
        let (first, usage) = (parse(&again[0]), again.len() - 2);
        assert_json_eq(&first, &parse(&expected[0]), &recording.name);
        if include_usage {
            let last = expected.len() - 2;
            assert_json_eq(&parse(&again[usage]), &parse(&expected[last]), &recording.name);
        }
    }
}

/// A chunk of a completion as a chat's.
fn as_chat(mut chunk: Value) -> Value {
    chunk["object"] = json!("chat.completion.chunk");
    for choice in chunk["choices"].as_array_mut().unwrap() {
        let text = choice["text"].take();
        choice.as_object_mut().unwrap().remove("text");
        choice["delta"] = json!({"content": text});
    }
    chunk
}

/// The text and the finish reason.
fn texts(documents: &[String]) -> (String, Vec<String>) {
    let (mut text, mut reasons) = (String::new(), Vec::new());
    for chunk in documents.iter().filter(|chunk| *chunk != "[DONE]").map(parse) {
        for choice in chunk["choices"].as_array().unwrap() {
            text.push_str(choice["text"].as_str().unwrap());
            reasons.extend(choice["finish_reason"].as_str().map(str::to_owned));
        }
    }
    (text, reasons)
}

#[test]
fn a_prompt_is_the_only_message_of_a_chat() {
    for prompt in [json!("Say hi"), json!(["Say hi"])] {
        let (asked, losses) = read(json!({
            "model": "m", "prompt": prompt, "max_tokens": 5, "temperature": 0.50, "stop": ["x"], "n": 1,
            "best_of": 1, "echo": false, "suffix": "", "logprobs": null, "user": "u",
        }));
        assert_eq!((losses, asked.echo.clone()), (vec![], None));
        let (body, losses) = sent(Dialect::AnthropicMessages, &asked);
        assert_eq!(
            body,
            json!({"model": "p", "max_tokens": 5, "temperature": 0.50, "stop_sequences": ["x"],
                "messages": [{"role": "user", "content": "Say hi"}], "metadata": {"user_id": "u"}})
        );
        assert_eq!(losses, Vec::<String>::new());
    }
}

#[test]
fn what_no_chat_can_do_is_refused_or_told() {
    let (_, losses) = read(json!({
        "model": "m", "prompt": "p", "suffix": "s", "logprobs": 0, "best_of": 3, "n": 2,
    }));
    assert_eq!(
        losses,
        ["suffix=rejected", "logprobs=rejected", "best_of=approximated"]
    );
    for prompt in [
        json!(null),
        json!([]),
        json!(["a", "b"]),
        json!([1, 2]),
        json!([[1], [2]]),
        json!({"a": 1}),
    ] {
        let body = json!({"model": "m", "prompt": prompt}).to_string();
        let error = decode_request(&body, &mut Losses::new()).unwrap_err();
        assert_eq!(error.path, "prompt", "{body}");
    }
}

#[test]
fn a_chats_answer_is_one_text() {
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "max_tokens",
        "stop_sequence": null,
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    });
    let style = Style {
        created_s: 7,
        echo: Some("Say hi: ".to_owned()),
        include_usage: false,
    };
    let (completion, losses) = answered(Dialect::AnthropicMessages, answer, &style);
    assert_eq!(
        completion,
        json!({
            "id": "msg_1", "object": "text_completion", "created": 7, "model": "claude",
            "choices": [{"text": "Say hi: Hi", "index": 0, "logprobs": null, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        })
    );
    assert_eq!(losses, ["reasoning=dropped"]);
}

#[test]
fn a_streamed_chat_is_streamed_as_completion() {
    let chunks = [
        json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}),
        json!({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": null}]}),
        json!({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": null}]}),
        json!({"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": null}]}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    ];
    let stream: String = chunks
        .into_iter()
        .map(|mut chunk| {
            chunk["id"] = json!("c");
            chunk["model"] = json!("m");
            chunk["created"] = json!(5);
            format!("data: {chunk}\n\n")
        })
        .chain(["data: [DONE]\n\n".to_owned()])
        .collect();
    let style = Style {
        echo: Some("> ".to_owned()),
        include_usage: true,
        ..Style::default()
    };
    let (written, losses) = streamed(Dialect::OpenaiChat, &stream, style.clone());
    assert_eq!(
        texts(&written),
        ("> Hi!".to_owned(), vec!["content_filter".to_owned()])
    );
    assert_eq!(losses, ["reasoning=dropped"]);
    assert_eq!(written.last().unwrap(), "[DONE]");
    let usage = parse(&written[written.len() - 2]);
    assert_eq!(
        usage,
        json!({"id": "c", "object": "text_completion", "created": 5, "model": "m", "choices": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    );
    // Without the wish for usage there is none.
    let quiet = Style {
        include_usage: false,
        ..style
    };
    let (written, _) = streamed(Dialect::OpenaiChat, &stream, quiet);
    assert!(written.iter().all(|chunk| !chunk.contains("usage")));
}

#[test]
fn a_stream_that_fails_does_not_look_finished() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\"type\":\"message\",\"role\":",
        "\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    );
    let (mut losses, mut out) = (Losses::new(), Vec::new());
    let mut encoder = StreamEncoder::new(Style::default());
    let mut decoder = StreamDecoder::new(Dialect::AnthropicMessages, 1 << 20);
    let mut sink = |event: Event<'_>| encoder.encode(&event, &mut losses, &mut out);
    decoder.feed(stream.as_bytes(), &mut sink).unwrap();
    let _ = decoder.finish(&mut sink);
    sink(Event::End);
    let written = documents(&String::from_utf8(out).unwrap());
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(parse(&written[0])["error"]["message"], "Overloaded");
}

#[test]
fn losses_of_the_chat_are_told_under_the_names_of_completions() {
    let mut losses = Losses::new();
    losses.rejected("messages[0].content", "why");
    losses.dropped("logit_bias", "why");
    assert_eq!(
        names(&respelled(&losses)),
        ["prompt=rejected", "logit_bias=dropped"]
    );
}
