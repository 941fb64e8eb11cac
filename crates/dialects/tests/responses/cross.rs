//! Translations between Responses and the other dialects.

use serde_json::{Value, json};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Dialect, Losses};

use super::support::{collect, names, recordings_of};
use super::{RESPONSES, decode_stream, encode_stream, encoded, order, recordings, request, style_of};

const OTHERS: [(Dialect, &str); 3] = [
    (Dialect::OpenaiChat, "openai-chat"),
    (Dialect::AnthropicMessages, "anthropic-messages"),
    (Dialect::Gemini, "gemini-generate"),
];

/// An answer of one dialect, written for a client of another one.
fn answer(from: Dialect, to: Dialect, body: &Value, style: &AnswerStyle) -> (Value, Vec<String>) {
    let response = codec::decode_response(from, &body.to_string()).unwrap();
    let mut losses = Losses::new();
    let written = codec::encode_response(to, &response, style, &mut losses);
    (super::json(written), names(&losses))
}

#[test]
fn a_request_reaches_chat_completions_with_all_that_both_dialects_say() {
    let request = request(json!({
        "model": "gpt-5",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{\"n\":1.0}"},
            {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "see", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "a cat"},
            {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "two cats"}]}
        ],
        "tools": [
            {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"], "additionalProperties": false}},
            {"type": "function", "name": "see", "description": "Sees.", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
            {"type": "custom", "name": "free", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}}
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
        "parallel_tool_calls": false,
        "max_output_tokens": 900,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "cats", "schema": {"type": "object"}, "strict": false}, "verbosity": "low"},
        "metadata": {"a": "b"},
        "store": false,
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "safety_identifier": "u",
        "stream_options": {"include_obfuscation": false},
        "include": ["reasoning.encrypted_content"],
        "truncation": "disabled",
        "stream": true
    }));
    let (body, losses) = encoded(Dialect::OpenaiChat, &request, "gpt-5");
    assert_eq!(
        body,
        json!({
            "model": "gpt-5",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
                ]},
                {"role": "assistant", "content": "I look.", "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"n\":1.0}"}},
                    {"id": "call_2", "type": "function", "function": {"name": "see", "arguments": "{}"}}
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
                {"role": "tool", "tool_call_id": "call_2", "content": "two cats"}
            ],
            "tools": [
                {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"], "additionalProperties": false}, "strict": true}},
                {"type": "function", "function": {"name": "see", "description": "Sees.", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                {"type": "custom", "custom": {"name": "free", "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}}}
            ],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "look"}}]}},
            "parallel_tool_calls": false,
            "max_completion_tokens": 900,
            "stream": true,
            "stream_options": {"include_usage": true, "include_obfuscation": false},
            "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema": {"name": "cats", "schema": {"type": "object"}, "strict": false}},
            "safety_identifier": "u",
            "service_tier": "flex",
            "metadata": {"a": "b"},
            "prompt_cache_key": "k",
            "store": false,
            "verbosity": "low"
        })
    );
    assert_eq!(names(&losses), ["input[1]=dropped"]);
}

#[test]
fn a_chat_request_reaches_responses_with_all_that_both_dialects_say() {
    let chat = json!({
        "model": "gpt-5",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                {"id": "call_2", "type": "custom", "custom": {"name": "free", "input": "x"}}
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
            {"role": "tool", "tool_call_id": "call_2", "content": "a dog"},
            {"role": "developer", "content": "Go on."}
        ],
        "tools": [
            {"type": "function", "function": {"name": "look"}},
            {"type": "custom", "custom": {"name": "free", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}
        ],
        "tool_choice": {"type": "custom", "custom": {"name": "free"}},
        "max_completion_tokens": 10,
        "logprobs": true,
        "top_logprobs": 2,
        "n": 1,
        "seed": 7,
        "frequency_penalty": 0.5,
        "verbosity": "high",
        "metadata": {"a": "b"},
        "reasoning_effort": "minimal",
        "user": "u",
        "logit_bias": {"1": 2},
        "stream": true,
        "stream_options": {"include_usage": true}
    });
    let request = codec::decode_request(Dialect::OpenaiChat, &chat.to_string()).unwrap();
    let (body, losses) = encoded(RESPONSES, &request, "gpt-5");
    assert_eq!(
        body,
        json!({
            "model": "gpt-5",
            "input": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Look."},
                {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "call_2", "name": "free", "input": "x"},
                {"type": "function_call_output", "call_id": "call_1", "output": "a cat"},
                {"type": "custom_tool_call_output", "call_id": "call_2", "output": "a dog"},
                {"role": "developer", "content": "Go on."}
            ],
            "tools": [
                {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": false},
                {"type": "custom", "name": "free", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
            ],
            "tool_choice": {"type": "custom", "name": "free"},
            "max_output_tokens": 10,
            "stream": true,
            "reasoning": {"effort": "minimal"},
            "text": {"verbosity": "high"},
            "user": "u",
            "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
            "top_logprobs": 2,
            "metadata": {"a": "b"},
            "store": false
        })
    );
    assert_eq!(
        names(&losses),
        [
            "frequency_penalty=approximated",
            "seed=dropped",
            "logit_bias=approximated"
        ]
    );
}

#[test]
fn what_only_a_responses_provider_can_do_is_refused_elsewhere() {
    let request = request(json!({
        "model": "m",
        "input": [{"type": "item_reference", "id": "msg_1"}],
        "previous_response_id": "resp_1",
        "conversation": "conv_1",
        "background": true,
        "prompt": {"id": "pmpt_1"},
        "truncation": "auto",
        "tools": [{"type": "web_search"}, {"type": "mcp", "server_label": "x"}],
        "tool_choice": {"type": "web_search"},
        "reasoning": {"summary": "auto", "mode": "pro"},
        "max_tool_calls": 3,
        "include": ["file_search_call.results"]
    }));
    for (dialect, _) in OTHERS {
        let (_, losses) = encoded(dialect, &request, "m");
        let mut rejected: Vec<&str> = losses.rejections().map(|loss| loss.field.as_str()).collect();
        rejected.sort_unstable();
        rejected.dedup();
        for field in [
            "background",
            "conversation",
            "previous_response_id",
            "prompt",
            "tool_choice",
            "truncation",
        ] {
            assert!(rejected.contains(&field), "{dialect}: {field} in {rejected:?}");
        }
        assert!(
            rejected.iter().any(|field| field.starts_with("input[0]")),
            "{dialect}: {rejected:?}"
        );
        assert!(
            rejected.iter().any(|field| field.starts_with("tools[0]")),
            "{dialect}: {rejected:?}"
        );
        let lost = names(&losses);
        for field in [
            "max_tool_calls=dropped",
            "include=dropped",
            "reasoning.mode=approximated",
        ] {
            assert!(lost.contains(&field.to_owned()), "{dialect}: {field} in {lost:?}");
        }
    }
}

#[test]
fn an_answer_of_another_dialect_is_a_whole_answer_that_repeats_its_request() {
    let request = request(json!({
        "model": "m", "input": "hi", "instructions": "Be brief.", "temperature": 0.25, "store": false,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": null}],
        "tool_choice": "required", "reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "max_output_tokens": 5
    }));
    let chat = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt", "choices": [{
            "index": 0, "finish_reason": "tool_calls", "logprobs": null,
            "message": {"role": "assistant", "content": "Yes.", "refusal": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1e2}"}}
            ]}
        }],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                  "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    });
    let (body, losses) = answer(Dialect::OpenaiChat, RESPONSES, &chat, &style_of(&request));
    assert_eq!(losses, [""; 0]);
    let mut expected = json!({
        "id": "resp_chatcmpl-1", "object": "response", "created_at": 5, "status": "completed",
        "incomplete_details": null, "model": "gpt", "error": null,
        "output": [
            {"type": "message", "status": "completed", "role": "assistant",
             "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Yes."}]},
            {"type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{\"a\": 1e2}"}
        ],
        "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}, "output_tokens": 4,
                  "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 13},
        "service_tier": "default", "instructions": "Be brief.", "background": false, "max_output_tokens": 5,
        "max_tool_calls": null, "metadata": {"a": "b"}, "parallel_tool_calls": true, "previous_response_id": null,
        "prompt_cache_key": null, "reasoning": {"effort": "low", "summary": null}, "safety_identifier": null,
        "store": false, "temperature": 0.25, "text": {"format": {"type": "text"}}, "tool_choice": "required",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": null}],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "user": null, "prompt_cache_retention": null
    });
    for (i, prefix) in [(0, "msg_"), (1, "fc_")] {
        let id = body["output"][i]["id"].as_str().unwrap();
        assert!(id.starts_with(prefix), "{id}");
        expected["output"][i]["id"] = Value::from(id);
    }
    super::support::assert_json_eq(&body, &expected, "the answer");
    let again = answer(Dialect::OpenaiChat, RESPONSES, &chat, &style_of(&request)).0;
    assert_eq!(again, body, "ids are made the same way again");
}

#[test]
fn cut_refused_and_filtered_answers_say_so_in_both_directions() {
    let chat = |reason: &str, message: Value| json!({"id": "1", "created": 5, "model": "m", "choices": [{"index": 0, "finish_reason": reason, "message": message}]});
    let cases = [
        (
            chat("length", json!({"role": "assistant", "content": "a"})),
            "incomplete",
            json!({"reason": "max_output_tokens"}),
        ),
        (
            chat("content_filter", json!({"role": "assistant", "content": "a"})),
            "incomplete",
            json!({"reason": "content_filter"}),
        ),
        (
            chat(
                "stop",
                json!({"role": "assistant", "content": null, "refusal": "No."}),
            ),
            "completed",
            Value::Null,
        ),
    ];
    for (body, status, details) in cases {
        let (written, _) = answer(Dialect::OpenaiChat, RESPONSES, &body, &AnswerStyle::default());
        assert_eq!(
            (&written["status"], &written["incomplete_details"]),
            (&json!(status), &details)
        );
        assert_eq!(written["output"][0]["status"], status);
        let (back, _) = answer(RESPONSES, Dialect::OpenaiChat, &written, &AnswerStyle::default());
        assert_eq!(
            back["choices"][0]["finish_reason"],
            body["choices"][0]["finish_reason"]
        );
        assert_eq!(
            back["choices"][0]["message"]["refusal"],
            body["choices"][0]["message"]
                .get("refusal")
                .cloned()
                .unwrap_or_default()
        );
    }
}

#[test]
fn log_probabilities_are_told_in_both_directions() {
    let tokens = json!([{"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": [{"token": "Hi", "bytes": [72, 105], "logprob": -0.5}]}]);
    let chat = json!({"id": "1", "created": 5, "model": "m", "choices": [{
        "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}, "logprobs": {"content": tokens}
    }]});
    let (written, _) = answer(Dialect::OpenaiChat, RESPONSES, &chat, &AnswerStyle::default());
    assert_eq!(written["output"][0]["content"][0]["logprobs"], tokens);
    let (back, _) = answer(RESPONSES, Dialect::OpenaiChat, &written, &AnswerStyle::default());
    assert_eq!(back["choices"][0]["logprobs"], json!({"content": tokens}));
}

/// The texts, calls and reasoning of an answer, whoever wrote it.
fn essence(dialect: Dialect, body: &Value) -> (String, Vec<(String, String)>, u64, u64) {
    let response = codec::decode_response(dialect, &body.to_string()).unwrap();
    let mut texts = String::new();
    let mut calls = Vec::new();
    for part in response.choices.iter().flat_map(|choice| &choice.parts) {
        match part {
            tollgate_dialects::canonical::Part::Text(text)
            | tollgate_dialects::canonical::Part::Refusal(text) => {
                texts.push_str(&text.text);
            }
            tollgate_dialects::canonical::Part::ToolCall(call) => {
                let arguments = match call.arguments.trim() {
                    "" => "{}".to_owned(),
                    text => serde_json::from_str::<Value>(text)
                        .map_or_else(|_| text.to_owned(), |value| value.to_string()),
                };
                calls.push((call.name.clone(), arguments));
            }
            _ => {}
        }
    }
    let usage = response.usage.unwrap_or_default();
    (texts, calls, usage.input_total(), usage.output)
}

#[test]
fn recorded_answers_of_every_dialect_are_told_to_clients_of_responses() {
    for (dialect, folder) in OTHERS {
        for recording in recordings_of(folder) {
            let Some(body) = recording.answer() else { continue };
            let Ok(response) = codec::decode_response(dialect, &body) else {
                continue;
            };
            if response.choices.len() > 1 {
                continue;
            }
            let mut losses = Losses::new();
            let written = codec::encode_response(RESPONSES, &response, &AnswerStyle::default(), &mut losses);
            let written = super::json(written);
            assert_eq!(
                essence(RESPONSES, &written),
                essence(dialect, &super::json(body)),
                "{}",
                recording.name
            );
        }
    }
}

#[test]
fn recorded_answers_of_responses_are_told_to_clients_of_every_dialect() {
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let response = codec::decode_response(RESPONSES, &body).unwrap();
        for (dialect, _) in OTHERS {
            let mut losses = Losses::new();
            let written = codec::encode_response(dialect, &response, &AnswerStyle::default(), &mut losses);
            if losses.rejections().next().is_some() {
                // Calls of free-text tools, which only OpenAI's dialects have.
                assert!(
                    body.contains("custom_tool_call"),
                    "{}: {:?}",
                    recording.name,
                    names(&losses)
                );
                continue;
            }
            let (text, calls, ..) = essence(dialect, &super::json(written));
            let (own_text, own_calls, ..) = essence(RESPONSES, &super::json(&body));
            assert_eq!(
                (text, calls),
                (own_text, own_calls),
                "{} for {dialect}",
                recording.name
            );
        }
    }
}

#[test]
fn recorded_streams_of_every_dialect_come_in_the_order_of_responses() {
    for (dialect, folder) in OTHERS {
        for recording in recordings_of(folder) {
            let Some(stream) = recording.stream() else {
                continue;
            };
            let mut decoded = decode_stream(dialect, &stream);
            if decoded.result.is_err() {
                continue;
            }
            let ended = |event: &tollgate_dialects::canonical::Event<'_>| {
                matches!(
                    event,
                    tollgate_dialects::canonical::Event::End | tollgate_dialects::canonical::Event::Error(_)
                )
            };
            if !decoded.events.iter().any(ended) {
                decoded.events.push(tollgate_dialects::canonical::Event::End);
            }
            let (written, _) = encode_stream(RESPONSES, &decoded.events, &AnswerStyle::default());
            order::check(&written).unwrap_or_else(|what| panic!("{}: {what}", recording.name));
            if decoded
                .events
                .iter()
                .any(|event| matches!(event, tollgate_dialects::canonical::Event::Error(_)))
            {
                assert!(
                    !written.contains("event: response.completed"),
                    "{}",
                    recording.name
                );
                continue;
            }
            let back = decode_stream(RESPONSES, &written);
            assert_eq!(back.result, Ok(()), "{}", recording.name);
            let (own, other) = (collect(&back.events), collect(&decoded.events));
            if other.choices.len() < 2 {
                let text = |response: &tollgate_dialects::canonical::Response| {
                    let written = codec::encode_response(
                        Dialect::OpenaiChat,
                        response,
                        &AnswerStyle::default(),
                        &mut Losses::new(),
                    );
                    let answer = super::json(written);
                    (
                        answer["choices"][0]["message"]["content"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned(),
                        answer["choices"][0]["message"]["tool_calls"]
                            .as_array()
                            .map_or(0, Vec::len),
                    )
                };
                let (own_text, other_text) = (text(&own), text(&other));
                if dialect != Dialect::OpenaiChat
                    || !stream.contains("\"content\":[") && !stream.contains("\"content\": [")
                {
                    assert_eq!(own_text, other_text, "{}", recording.name);
                }
            }
        }
    }
}

#[test]
fn recorded_streams_of_responses_are_told_to_clients_of_every_dialect() {
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let decoded = decode_stream(RESPONSES, &stream);
        let failed = decoded
            .events
            .iter()
            .any(|event| matches!(event, tollgate_dialects::canonical::Event::Error(_)));
        for (dialect, _) in OTHERS {
            let (written, losses) = encode_stream(dialect, &decoded.events, &AnswerStyle::default());
            let back = decode_stream(dialect, &written);
            if failed || losses.rejections().next().is_some() {
                continue;
            }
            assert_eq!(back.result, Ok(()), "{} for {dialect}: {written}", recording.name);
            let hosted = decoded.events.iter().any(|event| {
                matches!(
                    event,
                    tollgate_dialects::canonical::Event::PartStart {
                        kind: tollgate_dialects::canonical::PartKind::Opaque { .. },
                        ..
                    }
                )
            });
            let cited = stream.contains("annotation.added");
            if !hosted && !cited {
                // Gemini's usage has no place for what was written to a cache.
                let lost = names(&losses);
                assert!(
                    lost.iter().all(|loss| loss == "usage.cache_write=dropped"),
                    "{} for {dialect}: {lost:?}",
                    recording.name
                );
            }
        }
    }
}

#[test]
fn recorded_requests_reach_every_dialect_or_are_refused_by_name() {
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = codec::decode_request(RESPONSES, &body).unwrap();
        let members = super::json(&body);
        for (dialect, _) in OTHERS {
            let (_, losses) = encoded(dialect, &request, "m");
            for loss in losses.iter() {
                let root: String = loss
                    .field
                    .chars()
                    .take_while(|sign| sign.is_alphanumeric() || *sign == '_')
                    .collect();
                assert!(
                    // Anthropic demands a limit, the tools of earlier calls, and someone who speaks.
                    members.get(&root).is_some()
                        || ["max_output_tokens", "tools", "input"].contains(&root.as_str()),
                    "{} for {dialect}: {} is no field of the client's",
                    recording.name,
                    loss.field
                );
            }
        }
    }
}
