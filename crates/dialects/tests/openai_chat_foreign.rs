//! Requests, answers and streams of another dialect, written for this one, with every loss told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use openai_chat_support::{capabilities, check_order, decode_stream, json};
use serde_json::{Value, json};
use tollgate_dialects::canonical::{
    CacheHint, Choice, Collector, ContentForm, Delta, Effort, Event, Ext, Media, MediaKind, MediaSource,
    Message, Part, PartKind, Reasoning, ReasoningRequest, Request, Response, ResponseFormat, Role, Stop,
    StopReason, Text, Thinking, Tool, ToolCall, ToolChoice, ToolKind, ToolResult, Usage,
};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::openai_chat::{
    FinishReasonStyle, ResponseStyle, StreamEncoder, StreamStyle, decode_request, decode_response,
    encode_request, encode_response, uses_legacy_functions,
};
use tollgate_dialects::{Capabilities, Dialect, Losses, Target};

fn raw(text: &str) -> RawJson {
    RawJson::parse(text).unwrap()
}

fn ext(members: &[(&str, &str)]) -> Ext {
    Ext(members
        .iter()
        .map(|(name, text)| ((*name).to_owned(), raw(text)))
        .collect())
}

fn text(text: &str) -> Part {
    Part::Text(Text {
        text: text.to_owned(),
        ..Text::default()
    })
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        parts,
        form: ContentForm::List,
        ext: Ext::default(),
    }
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        origin: Dialect::AnthropicMessages,
        model: "claude".to_owned(),
        messages,
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        max_output_tokens: Some(100),
        temperature: None,
        top_p: None,
        top_k: None,
        stop: Vec::new(),
        stream: None,
        include_usage: None,
        reasoning: None,
        response_format: None,
        user: None,
        service_tier: None,
        choices: None,
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        logprobs: None,
        top_logprobs: None,
        ext: Ext::default(),
    }
}

fn write_for(request: &Request, capabilities: &Capabilities) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let target = Target {
        model: "gpt",
        capabilities,
        default_max_output_tokens: None,
    };
    let written = json(encode_request(request, &target, &mut losses));
    (
        written,
        losses
            .iter()
            .map(|loss| format!("{}={}", loss.field, loss.effect.name()))
            .collect(),
    )
}

fn write(request: &Request) -> (Value, Vec<String>) {
    write_for(request, &capabilities())
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: r#"{"big":12345678901234567890}"#.to_owned(),
        ..ToolCall::default()
    })
}

fn result(id: &str, content: Vec<Part>, is_error: Option<bool>) -> Part {
    Part::ToolResult(ToolResult {
        call_id: id.to_owned(),
        content,
        form: ContentForm::List,
        is_error,
        cache: None,
        ext: Ext::default(),
    })
}

fn image() -> Part {
    Part::Media(Media {
        kind: MediaKind::Image,
        source: MediaSource::Base64 {
            media_type: "image/png".to_owned(),
            data: "AAAA".to_owned(),
        },
        name: None,
        detail: None,
        cache: None,
        ext: Ext::default(),
    })
}

#[test]
fn tool_results_become_messages_before_the_users_text() {
    let request = request(vec![
        message(Role::Assistant, vec![text("looking"), call("a"), call("b")]),
        message(
            Role::User,
            vec![
                result("a", vec![text("1"), image()], None),
                result("b", vec![text("bad")], Some(true)),
                text("and now?"),
            ],
        ),
    ]);
    let (written, losses) = write(&request);
    let expected = json!([
        {"role": "assistant", "content": "looking", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"big\":12345678901234567890}"}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{\"big\":12345678901234567890}"}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "bad"},
        {"role": "user", "content": [
            {"type": "text", "text": "Result of tool call a:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "text", "text": "and now?"},
        ]},
    ]);
    assert_eq!(written["messages"], expected);
    assert_eq!(
        losses,
        [
            "messages[1].content[0].content[1]=approximated",
            "messages[1].content[1].is_error=approximated"
        ]
    );
}

#[test]
fn an_empty_system_prompt_is_no_message() {
    let messages = vec![
        message(Role::System, Vec::new()),
        message(Role::User, vec![text("hello")]),
    ];
    let (body, losses) = write(&request(messages));
    assert_eq!(body["messages"], json!([{"role": "user", "content": "hello"}]));
    assert_eq!(losses, Vec::<String>::new());
}

#[test]
fn a_user_message_of_tool_results_alone_leaves_no_empty_message() {
    let request = request(vec![
        message(Role::Assistant, vec![call("a")]),
        message(Role::User, vec![result("a", vec![], None)]),
    ]);
    let (written, losses) = write(&request);
    assert_eq!(written["messages"][0]["content"], Value::Null);
    assert_eq!(
        written["messages"][1],
        json!({"role": "tool", "tool_call_id": "a", "content": ""})
    );
    assert_eq!(written["messages"].as_array().unwrap().len(), 2);
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn every_member_of_another_dialect_has_its_class() {
    let mut request = request(vec![message(Role::User, vec![text("hi")])]);
    request.top_k = Some(raw("5"));
    request.stop = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    request.ext = ext(&[
        ("cache_control", r#"{"type":"ephemeral"}"#),
        ("container", r#""c""#),
        ("context_management", r#"{"edits":[{}]}"#),
        ("mcp_servers", r#"[{"url":"u"}]"#),
        ("inference_geo", r#""us""#),
        ("metadata", r#"{"trace":"t"}"#),
        ("output_config", r#"{"task_budget":{"total":1},"future":1}"#),
        ("diagnostics", r#"{"a":1}"#),
        ("fallbacks", r#"["x"]"#),
        ("output_format", r#"{"type":"json_schema"}"#),
        ("something_new", "1"),
        ("nothing", "null"),
        ("empty", "[]"),
    ]);
    let (written, losses) = write(&request);
    assert_eq!(
        losses,
        [
            "top_k=approximated",
            "stop_sequences=rejected",
            "cache_control=dropped",
            "container=rejected",
            "context_management=rejected",
            "mcp_servers=rejected",
            "inference_geo=rejected",
            "metadata.trace=dropped",
            "output_config.task_budget=rejected",
            "output_config.future=dropped",
            "diagnostics=dropped",
            "fallbacks=rejected",
            "output_format=rejected",
            "something_new=dropped",
        ]
    );
    let members: Vec<&String> = written.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        ["max_completion_tokens", "messages", "model", "stop"],
        "nothing foreign is written"
    );
}

#[test]
fn members_of_parts_and_tools_have_their_class() {
    let hint = CacheHint {
        ttl: None,
        dialect: Dialect::AnthropicMessages,
        raw: raw(r#"{"type":"ephemeral"}"#),
    };
    let mut system = Text {
        text: "s".to_owned(),
        ..Text::default()
    };
    system.cache = Some(hint.clone());
    let document = |citations: &str| {
        Part::Media(Media {
            kind: MediaKind::Document,
            source: MediaSource::Base64 {
                media_type: "application/pdf".to_owned(),
                data: "AA".to_owned(),
            },
            name: Some("report".to_owned()),
            detail: None,
            cache: Some(hint.clone()),
            ext: ext(&[("citations", citations), ("context", r#""c""#)]),
        })
    };
    let mut request = request(vec![
        message(Role::System, vec![Part::Text(system)]),
        message(
            Role::User,
            vec![
                document(r#"{"enabled":true}"#),
                document(r#"{"enabled": false}"#),
                Part::Opaque {
                    dialect: Dialect::AnthropicMessages,
                    kind: "search_result".to_owned(),
                    raw: raw("{}"),
                },
            ],
        ),
    ]);
    request.tools = vec![
        Tool {
            kind: ToolKind::Function {
                name: "f".to_owned(),
                description: None,
                parameters: Some(raw(r#"{"type":"object"}"#)),
                strict: None,
            },
            cache: Some(hint.clone()),
            ext: ext(&[
                ("input_examples", "[1]"),
                ("allowed_callers", r#"["code_execution"]"#),
                ("defer_loading", "false"),
            ]),
        },
        Tool {
            kind: ToolKind::Hosted {
                kind: "web_search_20250305".to_owned(),
                raw: raw("{}"),
            },
            cache: None,
            ext: Ext::default(),
        },
    ];
    request.tool_choice = Some(ToolChoice::Required);
    let (written, losses) = write(&request);
    assert_eq!(
        losses,
        [
            "system[0].cache_control=dropped",
            "messages[0].content[0].cache_control=dropped",
            "messages[0].content[0].citations=rejected",
            "messages[0].content[0].context=dropped",
            "messages[0].content[1].cache_control=dropped",
            "messages[0].content[1].context=dropped",
            "messages[0].content[2]=rejected",
            "tools[0].cache_control=dropped",
            "tools[0].input_examples=dropped",
            "tools[0].allowed_callers=rejected",
            "tools[1]=rejected",
        ]
    );
    assert_eq!(written["messages"][0], json!({"role": "system", "content": "s"}));
    assert_eq!(
        written["messages"][1]["content"][0],
        json!({"type": "file", "file": {"filename": "report", "file_data": "data:application/pdf;base64,AA"}})
    );
    assert_eq!(
        written["tools"],
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
    );
    assert_eq!(written["tool_choice"], "required");
}

#[test]
fn canonical_options_get_this_dialects_names() {
    let mut request = request(vec![message(Role::User, vec![text("hi")])]);
    request.user = Some("u".to_owned());
    request.service_tier = Some("standard_only".to_owned());
    request.stream = Some(true);
    request.temperature = Some(raw("0.50"));
    request.response_format = Some(ResponseFormat::JsonSchema {
        name: None,
        description: None,
        schema: Some(raw(r#"{"type":"object"}"#)),
        strict: Some(true),
        ext: Ext::default(),
    });
    let (written, losses) = write(&request);
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(
        written,
        json!({
            "model": "gpt",
            "messages": [{"role": "user", "content": "hi"}],
            "max_completion_tokens": 100,
            "temperature": 0.5,
            "stream": true,
            "stream_options": {"include_usage": true},
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "response", "schema": {"type": "object"}, "strict": true,
            }},
            "safety_identifier": "u",
            "service_tier": "default",
        })
    );
    let plain = Capabilities {
        reasoning: false,
        sampling: false,
        ..capabilities()
    };
    let (written, losses) = write_for(&request, &plain);
    assert_eq!(written["max_tokens"], 100);
    assert_eq!(losses, ["temperature=approximated"]);

    request.max_output_tokens = Some(0);
    request.ext = ext(&[("speed", r#""fast""#)]);
    let (written, losses) = write(&request);
    assert_eq!(written["service_tier"], "fast");
    assert_eq!(losses, ["max_tokens=rejected", "speed=approximated"]);
}

#[test]
fn thinking_becomes_an_effort_the_model_has() {
    let thinking = |budget_tokens| Thinking::Enabled {
        budget_tokens,
        ext: Ext::default(),
    };
    let adaptive = Thinking::Adaptive {
        ext: ext(&[("display", r#""omitted""#)]),
    };
    let disabled = Thinking::Disabled { ext: Ext::default() };
    let efforts = Some(vec![Effort::None, Effort::Low, Effort::Medium, Effort::High]);
    let has = |efforts: &Option<Vec<Effort>>| Capabilities {
        efforts: efforts.clone(),
        ..capabilities()
    };
    let without_none = Some(vec![Effort::Minimal, Effort::Low]);
    let no_reasoning = Capabilities {
        reasoning: false,
        ..capabilities()
    };
    type Sample = (
        Option<Thinking>,
        Option<Effort>,
        Capabilities,
        Value,
        Vec<&'static str>,
    );
    let samples: Vec<Sample> = vec![
        (
            Some(thinking(1_999)),
            None,
            has(&efforts),
            json!("low"),
            vec!["thinking.budget_tokens=approximated"],
        ),
        (
            Some(thinking(2_000)),
            None,
            has(&efforts),
            json!("medium"),
            vec!["thinking.budget_tokens=approximated"],
        ),
        (
            Some(thinking(8_000)),
            None,
            has(&efforts),
            json!("high"),
            vec!["thinking.budget_tokens=approximated"],
        ),
        (
            Some(thinking(24_000)),
            None,
            has(&efforts),
            json!("high"),
            vec!["thinking.budget_tokens=approximated", "thinking=approximated"],
        ),
        (
            Some(adaptive.clone()),
            None,
            has(&efforts),
            Value::Null,
            vec!["thinking.display=dropped"],
        ),
        (
            Some(adaptive),
            Some(Effort::Low),
            has(&efforts),
            json!("low"),
            vec!["thinking.display=dropped"],
        ),
        (
            Some(thinking(8_000)),
            Some(Effort::Low),
            has(&efforts),
            json!("low"),
            vec!["thinking.budget_tokens=approximated"],
        ),
        (
            Some(disabled.clone()),
            Some(Effort::High),
            has(&efforts),
            json!("none"),
            vec!["output_config.effort=approximated"],
        ),
        (Some(disabled.clone()), None, has(&efforts), json!("none"), vec![]),
        (
            Some(disabled.clone()),
            None,
            has(&without_none),
            json!("minimal"),
            vec!["thinking=approximated"],
        ),
        (Some(disabled), None, no_reasoning.clone(), Value::Null, vec![]),
        (
            None,
            Some(Effort::High),
            no_reasoning,
            Value::Null,
            vec!["output_config.effort=dropped"],
        ),
        (None, Some(Effort::Max), has(&None), json!("max"), vec![]),
        (
            None,
            Some(Effort::Minimal),
            has(&efforts),
            json!("low"),
            vec!["output_config.effort=approximated"],
        ),
    ];
    for (thinking, effort, capabilities, expected, expected_losses) in samples {
        let mut request = request(vec![message(Role::User, vec![text("hi")])]);
        request.reasoning = Some(ReasoningRequest {
            effort,
            thinking,
            visible: None,
        });
        let (written, losses) = write_for(&request, &capabilities);
        assert_eq!(written["reasoning_effort"], expected, "{:?}", request.reasoning);
        assert_eq!(losses, expected_losses, "{:?}", request.reasoning);
    }
}

#[test]
fn reasoning_goes_back_only_to_the_member_it_came_from() {
    let reasoning = |text: &str, origin, member: Option<&str>| {
        Part::Reasoning(Reasoning {
            text: text.to_owned(),
            signature: Some("sig".to_owned()),
            origin,
            member: member.map(str::to_owned),
            ..Reasoning::default()
        })
    };
    let request = request(vec![message(
        Role::Assistant,
        vec![
            reasoning("secret", Some(Dialect::AnthropicMessages), None),
            reasoning("own", Some(Dialect::OpenaiChat), Some("reasoning_content")),
            text("answer"),
        ],
    )]);
    let (written, losses) = write(&request);
    assert_eq!(
        written["messages"],
        json!([{"role": "assistant", "content": "answer", "reasoning_content": "own"}])
    );
    assert_eq!(losses, ["messages[0].content[0]=dropped"]);
}

/// An answer of Anthropic's with all that only it knows.
fn answer() -> Response {
    let thinking = |text: &str, signature: Option<&str>| {
        Part::Reasoning(Reasoning {
            text: text.to_owned(),
            signature: signature.map(str::to_owned),
            origin: Some(Dialect::AnthropicMessages),
            member: Some("thinking".to_owned()),
            ..Reasoning::default()
        })
    };
    Response {
        origin: Dialect::AnthropicMessages,
        id: "msg_1".to_owned(),
        model: "claude".to_owned(),
        created: None,
        choices: vec![Choice {
            index: 0,
            parts: vec![
                thinking("first ", Some("sig1==")),
                Part::Reasoning(Reasoning {
                    redacted: Some("sealed==".to_owned()),
                    origin: Some(Dialect::AnthropicMessages),
                    ..Reasoning::default()
                }),
                thinking("second\n", Some("sig2==")),
                thinking("", Some("sig3==")),
                text("Let me "),
                text("look."),
                call("toolu_1"),
            ],
            stop: Stop {
                reason: StopReason::ToolCalls,
                native: Some("tool_use".to_owned()),
                ..Stop::default()
            },
            logprobs: None,
            ext: Ext::default(),
            message_ext: Ext::default(),
        }],
        usage: Some(Usage {
            input: 10,
            cache_read: Some(20),
            cache_write: Some(5),
            cache_write_5m: Some(5),
            output: 7,
            reasoning: Some(3),
            ext: ext(&[("server_tool_use", r#"{"web_search_requests":1}"#)]),
            ..Usage::default()
        }),
        service_tier: Some("standard".to_owned()),
        ext: Ext::default(),
    }
}

/// The events of [`answer`], text in pieces.
fn events_of(answer: &Response) -> Vec<Event<'static>> {
    let mut events = vec![Event::Start {
        origin: answer.origin,
        id: answer.id.clone(),
        model: answer.model.clone(),
        created: answer.created,
        service_tier: answer.service_tier.clone(),
        ext: answer.ext.clone(),
    }];
    let choice = &answer.choices[0];
    for (part, content) in choice.parts.iter().enumerate() {
        let kind = match content {
            Part::Text(_) => PartKind::Text,
            Part::Reasoning(Reasoning {
                redacted: Some(data), ..
            }) => PartKind::RedactedReasoning { data: data.clone() },
            Part::Reasoning(_) => PartKind::Reasoning {
                member: None,
                of_call: None,
            },
            Part::ToolCall(call) => PartKind::ToolCall {
                id: call.id.clone(),
                name: call.name.clone(),
                kind: call.kind,
                ext: Ext::default(),
            },
            other => panic!("{other:?}"),
        };
        events.push(Event::PartStart {
            choice: 0,
            part,
            kind,
        });
        let mut piece = |delta| {
            events.push(Event::PartDelta {
                choice: 0,
                part,
                delta,
            })
        };
        let halves = |text: &str| {
            let (first, second) = text.split_at(text.len() / 2);
            [first.to_owned(), second.to_owned()]
                .into_iter()
                .filter(|half| !half.is_empty())
        };
        match content {
            Part::Text(text) => halves(&text.text).for_each(|half| piece(Delta::Text(half.into()))),
            Part::Reasoning(reasoning) => {
                halves(&reasoning.text).for_each(|half| piece(Delta::Reasoning(half.into())));
                if let Some(signature) = &reasoning.signature {
                    piece(Delta::Signature(signature.clone().into()));
                }
            }
            Part::ToolCall(call) => {
                halves(&call.arguments).for_each(|half| piece(Delta::Arguments(half.into())))
            }
            _ => {}
        }
        events.push(Event::PartStop { choice: 0, part });
    }
    events.push(Event::Stop {
        choice: 0,
        stop: choice.stop.clone(),
    });
    events.push(Event::Usage(answer.usage.clone().unwrap()));
    events.push(Event::End);
    check_order(&events).unwrap();
    events
}

fn stream(answer: &Response, style: StreamStyle) -> (String, Losses) {
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    let mut encoder = StreamEncoder::new(style);
    events_of(answer)
        .iter()
        .for_each(|event| encoder.encode(event, &mut losses, &mut out));
    (String::from_utf8(out).unwrap(), losses)
}

#[test]
fn an_answer_of_anthropic_is_a_chat_completion() {
    let mut losses = Losses::new();
    let style = ResponseStyle {
        created_s: 1_700_000_000,
        ..ResponseStyle::default()
    };
    let written = json(encode_response(&answer(), &style, &mut losses));
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(
        written,
        json!({
            "id": "msg_1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "claude",
            "choices": [{
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "reasoning_content": "first second\n",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "first ", "signature": "sig1==", "format": "anthropic-claude-v1", "index": 0},
                        {"type": "reasoning.encrypted", "data": "sealed==", "format": "anthropic-claude-v1", "index": 1},
                        {"type": "reasoning.text", "text": "second\n", "signature": "sig2==", "format": "anthropic-claude-v1", "index": 2},
                        {"type": "reasoning.text", "text": "", "signature": "sig3==", "format": "anthropic-claude-v1", "index": 3},
                    ],
                    "refusal": null,
                    "tool_calls": [{"id": "toolu_1", "type": "function", "function": {
                        "name": "f", "arguments": "{\"big\":12345678901234567890}",
                    }}],
                },
                "logprobs": null,
                "finish_reason": "tool_calls",
            }],
            "usage": {
                "prompt_tokens": 35,
                "completion_tokens": 7,
                "total_tokens": 42,
                "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            "service_tier": "default",
        })
    );
    let native = ResponseStyle {
        finish_reason: FinishReasonStyle::Native,
        ..style
    };
    let written = json(encode_response(&answer(), &native, &mut losses));
    assert_eq!(written["choices"][0]["finish_reason"], "tool_use");
}

/// What a client sends back after the answer: its message, as it was, in the next request.
fn send_back(assistant: &Value) -> Vec<Part> {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, assistant]}).to_string();
    let mut parts = decode_request(&body).unwrap().messages.remove(1).parts;
    for part in &mut parts {
        if let Part::Reasoning(reasoning) = part {
            reasoning.ext = Ext::default();
            reasoning.member = None;
        }
    }
    parts
}

fn reasoning_of(parts: &[Part]) -> Vec<Part> {
    let reasoning = parts.iter().filter_map(|part| match part {
        // The name of the member may differ.
        Part::Reasoning(reasoning) => Some(Part::Reasoning(Reasoning {
            member: None,
            ..reasoning.clone()
        })),
        _ => None,
    });
    reasoning.collect()
}

#[test]
fn signatures_survive_the_way_through_a_client_of_this_dialect() {
    let expected = reasoning_of(&answer().choices[0].parts);
    assert_eq!(expected.len(), 4);

    let written = json(encode_response(
        &answer(),
        &ResponseStyle::default(),
        &mut Losses::new(),
    ));
    assert_eq!(
        reasoning_of(&send_back(&written["choices"][0]["message"])),
        expected,
        "a whole answer"
    );

    // A client that collects the entries of a stream as they come.
    let (stream, losses) = stream(&answer(), StreamStyle::default());
    assert!(losses.is_empty(), "{losses:?}");
    let (mut text, mut details) = (String::new(), Vec::new());
    for line in stream.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{line}")).unwrap();
        let delta = &chunk["choices"][0]["delta"];
        text.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
        details.extend(delta["reasoning_details"].as_array().cloned().unwrap_or_default());
    }
    let assistant =
        json!({"role": "assistant", "content": "x", "reasoning_content": text, "reasoning_details": details});
    assert_eq!(
        reasoning_of(&send_back(&assistant)),
        expected,
        "entries as they came"
    );

    // A client that joins the entries of the same index, as the SDKs do; strings are joined, whatever they mean.
    let mut joined: Vec<Value> = Vec::new();
    for entry in &details {
        match joined
            .iter_mut()
            .find(|earlier| earlier["index"] == entry["index"])
        {
            None => joined.push(entry.clone()),
            Some(earlier) => {
                for (name, value) in entry.as_object().unwrap() {
                    if let (Some(more), false) = (value.as_str(), name == "type") {
                        let text = format!("{}{more}", earlier[name].as_str().unwrap_or_default());
                        earlier[name] = json!(text);
                    }
                }
            }
        }
    }
    let assistant =
        json!({"role": "assistant", "content": "x", "reasoning_content": text, "reasoning_details": joined});
    assert_eq!(reasoning_of(&send_back(&assistant)), expected, "entries joined");
    let assistant = json!({"role": "assistant", "content": "x", "reasoning_details": joined});
    assert_eq!(
        reasoning_of(&send_back(&assistant)),
        expected,
        "without the plain text"
    );
}

#[test]
fn a_streamed_answer_of_anthropic_says_what_the_whole_one_says() {
    let style = StreamStyle {
        include_usage: true,
        created_s: 5,
        ..StreamStyle::default()
    };
    let (written, losses) = stream(&answer(), style);
    assert!(losses.is_empty(), "{losses:?}");
    assert!(written.starts_with("data: {\"id\":\"msg_1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"claude\",\"service_tier\":\"default\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n"), "{written}");
    assert!(
        written.contains("\"delta\":{},\"finish_reason\":\"tool_calls\""),
        "{written}"
    );

    let events = decode_stream(&written);
    check_order(&events).unwrap();
    let mut collector = Collector::new();
    events.iter().for_each(|event| collector.push(event));
    let streamed = collector.finish();
    let style = ResponseStyle {
        created_s: 5,
        ..ResponseStyle::default()
    };
    let whole = encode_response(&answer(), &style, &mut Losses::new());
    let whole = decode_response(std::str::from_utf8(&whole).unwrap()).unwrap();
    assert_eq!(streamed.usage, whole.usage);
    assert_eq!(streamed.choices[0].stop, whole.choices[0].stop);
    let flat = |response: &Response| {
        let (mut texts, mut reasoning, mut calls) = (String::new(), String::new(), String::new());
        for part in &response.choices[0].parts {
            match part {
                Part::Text(text) => texts.push_str(&text.text),
                Part::Reasoning(part) => {
                    reasoning.push_str(&format!("{}{:?}{:?}", part.text, part.signature, part.redacted));
                }
                Part::ToolCall(call) => {
                    calls.push_str(&format!("{} {} {}", call.id, call.name, call.arguments))
                }
                other => panic!("{other:?}"),
            }
        }
        (texts, reasoning, calls)
    };
    assert_eq!(flat(&streamed), flat(&whole));
}

#[test]
fn stop_reasons_of_anthropic_get_openai_words() {
    let finish = |reason, native: &str| {
        let mut answer = answer();
        answer.choices[0].parts = vec![text("a")];
        answer.choices[0].stop = Stop {
            reason,
            native: Some(native.to_owned()),
            ..Stop::default()
        };
        let mut losses = Losses::new();
        let written = json(encode_response(&answer, &ResponseStyle::default(), &mut losses));
        (
            written["choices"][0]["finish_reason"]
                .as_str()
                .unwrap()
                .to_owned(),
            losses.iter().count(),
        )
    };
    let word = |reason, native| finish(reason, native).0;
    assert_eq!(word(StopReason::End, "end_turn"), "stop");
    assert_eq!(word(StopReason::StopSequence, "stop_sequence"), "stop");
    assert_eq!(word(StopReason::Length, "max_tokens"), "length");
    assert_eq!(
        word(StopReason::ContextFull, "model_context_window_exceeded"),
        "length"
    );
    assert_eq!(word(StopReason::Refusal, "refusal"), "content_filter");
    assert_eq!(word(StopReason::Unknown, "novel"), "stop");
    assert_eq!(finish(StopReason::Pause, "pause_turn"), ("stop".to_owned(), 1));
}

#[test]
fn a_client_that_asks_with_functions_is_answered_with_a_function_call() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}],"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"}}"#;
    let request = decode_request(body).unwrap();
    assert!(uses_legacy_functions(&request));
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("f".to_owned())));
    let Part::ToolCall(call) = &request.messages[1].parts[0] else {
        panic!("{:?}", request.messages[1])
    };
    let Part::ToolResult(result) = &request.messages[2].parts[0] else {
        panic!("{:?}", request.messages[2])
    };
    assert!(!call.id.is_empty());
    assert_eq!(
        call.id, result.call_id,
        "other dialects pair call and result by id"
    );
    let target = Target {
        model: "m",
        capabilities: &capabilities(),
        default_max_output_tokens: None,
    };
    assert_eq!(
        json(encode_request(&request, &target, &mut Losses::new())),
        json(body.as_bytes())
    );

    let style = ResponseStyle {
        legacy_functions: true,
        ..ResponseStyle::default()
    };
    let written = json(encode_response(&answer(), &style, &mut Losses::new()));
    let choice = &written["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(choice["message"]["function_call"]["name"], "f");
    assert!(choice["message"].get("tool_calls").is_none());
    let (streamed, _) = stream(
        &answer(),
        StreamStyle {
            legacy_functions: true,
            ..StreamStyle::default()
        },
    );
    assert!(
        streamed.contains(r#""function_call":{"name":"f","arguments":""}"#),
        "{streamed}"
    );
    assert!(
        streamed.contains(r#""finish_reason":"function_call""#),
        "{streamed}"
    );
    assert!(!streamed.contains("tool_calls"), "{streamed}");
}

#[test]
fn spellings_of_one_meaning_are_written_back_as_they_came() {
    let bodies = [
        r#"{"model":"m","messages":[],"max_tokens":5,"user":"u","stop":"x","tool_choice":"any"}"#,
        r#"{"model":"m","messages":[],"max_completion_tokens":5,"safety_identifier":"u","stop":["x"],"tool_choice":"required"}"#,
        r#"{"model":"m","messages":[],"max_completion_tokens":5,"max_tokens":7,"safety_identifier":"u","user":"v"}"#,
        r#"{"model":"m","messages":[],"max_tokens":-1,"stop":null,"tools":null,"temperature":null,"stream_options":{"include_obfuscation":false}}"#,
        r#"{"model":"m","messages":[],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}},"tools":[{"type":"custom","custom":{"name":"c","format":{"type":"text"}}}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}},{"type":"new_kind","x":1.0}]}],"thinking":{"type":"enabled"},"reasoning_effort":"odd"}"#,
        r#"{"model":"m","messages":[{"role":"assistant","content":"","reasoning":"r","reasoning_content":"r","tool_calls":[{"id":"a","type":"custom","custom":{"name":"c","input":"free text"}},{"id":"b","type":"strange","strange":{}}]},{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"t"}]}]}"#,
    ];
    for body in bodies {
        let request = decode_request(body).unwrap();
        let target = Target {
            model: "m",
            capabilities: &capabilities(),
            default_max_output_tokens: None,
        };
        let mut losses = Losses::new();
        assert_eq!(
            json(encode_request(&request, &target, &mut losses)),
            json(body.as_bytes())
        );
        assert!(losses.is_empty(), "{losses:?}");
    }
}
