//! An Anthropic client and an OpenAI provider in APISIX's manners: the request rebuilt, the answer and the stream written.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail the test, and take values so that calls read well"
)]

use serde_json::{Value, json};
use tollgate_dialects::apisix::{Rebuilt, error_answer, rebuild_request};
use tollgate_dialects::canonical::{DecodeError, Event};
use tollgate_dialects::codec::{self, AnswerStyle, Manners, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, Renames};

/// A minimal request with these members.
fn request(members: Value) -> Value {
    let mut request =
        json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn rebuild(request: &Value) -> Result<Rebuilt, DecodeError> {
    rebuild_request(&request.to_string(), Some("gpt-4o"))
}

/// What the provider gets for a minimal request with these members.
fn rebuilt(members: Value) -> Value {
    let rebuilt = rebuild(&request(members)).unwrap();
    assert_eq!(rebuilt.losses.rejections().count(), 0, "{:?}", rebuilt.losses);
    serde_json::from_slice(&rebuilt.body).unwrap()
}

/// The messages that the provider gets for these.
fn messages(messages: Value) -> Value {
    rebuilt(json!({"messages": messages}))["messages"].clone()
}

fn style(renames: Renames) -> AnswerStyle {
    AnswerStyle {
        manners: Manners::Apisix,
        model: Some("gpt-4o".to_owned()),
        renames,
        ..AnswerStyle::default()
    }
}

fn answered_with(answer: &Value, style: &AnswerStyle) -> Value {
    let response = codec::decode_response(Dialect::OpenaiChat, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_response(Dialect::AnthropicMessages, &response, style, &mut losses);
    assert_eq!(losses.rejections().count(), 0, "{losses:?}");
    serde_json::from_slice(&body).unwrap()
}

fn answered(answer: &Value) -> Value {
    answered_with(answer, &style(Renames::default()))
}

/// A provider's answer with this message and finish reason.
fn answer(message: Value, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })
}

fn call(name: &str, arguments: &str) -> Value {
    json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// A stream that is fed chunk by chunk.
struct Stream {
    decoder: StreamDecoder,
    encoder: StreamEncoder,
}

impl Stream {
    fn new(style: &AnswerStyle) -> Self {
        Stream {
            decoder: StreamDecoder::new(Dialect::OpenaiChat, 1 << 20),
            encoder: StreamEncoder::new(Dialect::AnthropicMessages, style),
        }
    }

    fn begin() -> Self {
        Stream::new(&style(Renames::default()))
    }

    /// The events that come out at once.
    fn chunk(&mut self, chunk: Value) -> Vec<Value> {
        self.feed(&format!("data: {chunk}\n\n"))
    }

    fn done(&mut self) -> Vec<Value> {
        self.feed("data: [DONE]\n\n")
    }

    fn feed(&mut self, bytes: &str) -> Vec<Value> {
        let (mut losses, mut out) = (Losses::new(), Vec::new());
        let Stream { decoder, encoder } = self;
        decoder
            .feed(bytes.as_bytes(), &mut |event: Event<'_>| {
                encoder.encode(&event, &mut losses, &mut out);
            })
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let frames = text.split("\n\n").filter(|frame| !frame.is_empty());
        let events = frames.map(|frame| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        });
        events.collect()
    }
}

/// A first chunk with this delta.
fn first(delta: Value) -> Value {
    json!({"id": "x", "model": "o1", "choices": [{"delta": delta}]})
}

fn next(delta: Value) -> Value {
    json!({"choices": [{"delta": delta}]})
}

fn finish(word: &str) -> Value {
    json!({"choices": [{"delta": {}, "finish_reason": word}]})
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[test]
fn a_request_is_rebuilt_from_known_members_and_the_rest_is_left_out_and_told() {
    let body = request(json!({
        "max_tokens": 1024, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END", "STOP", "a", "b", "c"],
        "metadata": {"user_id": "user-123"}, "service_tier": "auto", "top_k": 5, "unknown_field": "x",
        "thinking": {"type": "enabled", "budget_tokens": 8000}, "mcp_servers": [{"name": "m"}],
    }));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    assert_eq!(
        written,
        json!({
            "model": "gpt-4o", "max_completion_tokens": 1024, "temperature": 0.5, "top_p": 0.9,
            "stop": ["END", "STOP", "a", "b", "c"], "user": "user-123", "service_tier": "auto",
            "reasoning_effort": "high", "messages": [{"role": "user", "content": "hi"}],
        })
    );
    let told: Vec<&str> = rebuilt.losses.iter().map(|loss| loss.field.as_str()).collect();
    for name in ["top_k", "unknown_field", "mcp_servers"] {
        assert!(told.contains(&name), "{told:?}");
    }
    assert_eq!(told.len(), 3);
    assert_eq!(rebuilt.losses.rejections().count(), 0);
}

#[test]
fn members_that_say_nothing_or_have_another_type_are_no_members() {
    let minimal = rebuilt(json!({}));
    let odd = rebuilt(json!({
        "temperature": null, "stop_sequences": {}, "tools": {}, "tool_choice": "auto", "thinking": null,
        "output_config": {}, "metadata": [], "service_tier": 1, "system": null, "stream": null, "output_format": {},
    }));
    assert_eq!(odd, minimal);
    assert_eq!(rebuilt(json!({"tools": []})), minimal);
}

#[test]
fn a_call_without_messages_is_refused_in_apisixs_words() {
    for messages in [json!(null), json!("hello"), json!([]), json!({})] {
        let error = rebuild(&request(json!({"messages": messages}))).unwrap_err();
        assert_eq!(error.to_string(), "missing messages");
    }
    assert_eq!(
        rebuild(&json!({"model": "m"})).unwrap_err().to_string(),
        "missing messages"
    );
}

#[test]
fn what_is_no_message_is_refused_with_its_number_counted_from_one() {
    let fine = json!({"role": "user", "content": "hi"});
    for (message, text) in [
        (json!("hi"), "invalid message at index 2"),
        (json!({"content": "hi"}), "invalid message at index 2"),
        (json!({"role": 1, "content": "hi"}), "invalid message at index 2"),
        (json!({"role": "user"}), "invalid message content at index 2"),
        (
            json!({"role": "user", "content": null}),
            "invalid message content at index 2",
        ),
        (
            json!({"role": "user", "content": 3}),
            "invalid message content at index 2",
        ),
    ] {
        let error = rebuild(&request(json!({"messages": [fine, message]}))).unwrap_err();
        assert_eq!(error.to_string(), text, "{message}");
    }
}

#[test]
fn a_stream_asks_for_usage() {
    let streamed = rebuilt(json!({"stream": true}));
    assert_eq!(streamed["stream"], true);
    assert_eq!(streamed["stream_options"], json!({"include_usage": true}));
    let whole = rebuilt(json!({"stream": false}));
    assert_eq!(whole["stream"], false);
    assert_eq!(whole.get("stream_options"), None);
}

#[test]
fn a_thinking_budget_becomes_an_effort() {
    let effort = |thinking: Value| {
        rebuilt(json!({"thinking": thinking}))
            .get("reasoning_effort")
            .cloned()
    };
    for (budget, word) in [
        (0, "minimal"),
        (1023, "minimal"),
        (1024, "low"),
        (2047, "low"),
        (2048, "medium"),
        (4095, "medium"),
        (4096, "high"),
        (32000, "high"),
    ] {
        let thinking = json!({"type": "enabled", "budget_tokens": budget});
        assert_eq!(effort(thinking), Some(json!(word)), "{budget}");
    }
    assert_eq!(effort(json!({"type": "enabled"})), Some(json!("minimal")));
    assert_eq!(effort(json!({"type": "disabled"})), None);
}

#[test]
fn adaptive_thinking_takes_the_effort_as_it_is_told() {
    let effort = |members: Value| rebuilt(members).get("reasoning_effort").cloned();
    let adaptive = json!({"type": "adaptive"});
    for word in ["low", "high", "xhigh", "max"] {
        let members = json!({"thinking": adaptive, "output_config": {"effort": word}});
        assert_eq!(effort(members), Some(json!(word)));
    }
    for config in [json!(null), json!({}), json!({"effort": ""})] {
        let members = json!({"thinking": adaptive, "output_config": config});
        assert_eq!(effort(members), Some(json!("medium")));
    }
    assert_eq!(effort(json!({"output_config": {"effort": "high"}})), None);
}

#[test]
fn a_tool_choice_gets_openais_words() {
    let choice = |choice: Value| {
        let tools = json!([{"name": "f", "input_schema": {}}, {"name": "search", "input_schema": {}}]);
        rebuilt(json!({"tools": tools, "tool_choice": choice}))
    };
    assert_eq!(choice(json!({"type": "auto"}))["tool_choice"], "auto");
    assert_eq!(choice(json!({"type": "any"}))["tool_choice"], "required");
    assert_eq!(choice(json!({"type": "none"}))["tool_choice"], "none");
    let named = json!({"type": "function", "function": {"name": "search"}});
    assert_eq!(
        choice(json!({"type": "tool", "name": "search"}))["tool_choice"],
        named
    );
    let one_at_a_time = choice(json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(one_at_a_time["parallel_tool_calls"], false);
}

#[test]
fn without_tools_there_is_no_choice_among_them() {
    let minimal = rebuilt(json!({}));
    assert_eq!(rebuilt(json!({"tool_choice": {"type": "auto"}})), minimal);
    let built_in = rebuilt(json!({
        "tools": [{"type": "web_search", "name": "web_search"}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
    }));
    assert_eq!(built_in, minimal);
}

#[test]
fn tools_that_anthropic_runs_are_left_out_and_told() {
    let body = request(json!({"tools": [
        {"type": "computer_20241022", "name": "computer", "display_width_px": 1024},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250124", "name": "text_editor"},
        {"type": "web_search_20260209", "name": "web_search"},
        {"type": "code_execution_20250522", "name": "code_exec"},
        {"name": "mine", "description": "Adds", "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral"}},
    ]}));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    let function = json!({"name": "mine", "description": "Adds", "parameters": {"type": "object"}});
    assert_eq!(
        written["tools"],
        json!([{"type": "function", "function": function}])
    );
    assert_eq!(rebuilt.losses.iter().count(), 5);
    assert_eq!(rebuilt.losses.rejections().count(), 0);
}

#[test]
fn an_answers_schema_is_made_strict_throughout() {
    let schema = json!({
        "type": "object",
        "properties": {
            "empty": {"type": "object", "properties": {}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
            "choice": {"anyOf": [{"type": "object", "properties": {"m": {"type": "string"}}}]},
            "ref": {"$ref": "#/$defs/Inner"},
        },
        "required": ["ref"],
        "$defs": {"Inner": {"type": "object", "properties": {"z": {"type": "boolean"}, "a": {}}}},
    });
    let strict = json!({
        "type": "object", "additionalProperties": false, "required": ["choice", "empty", "list", "ref"],
        "properties": {
            "empty": {"type": "object", "properties": {}, "additionalProperties": false, "required": []},
            "list": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}},
                "additionalProperties": false, "required": ["k"]}},
            "choice": {"anyOf": [{"type": "object", "properties": {"m": {"type": "string"}},
                "additionalProperties": false, "required": ["m"]}]},
            "ref": {"$ref": "#/$defs/Inner"},
        },
        "$defs": {"Inner": {"type": "object", "properties": {"z": {"type": "boolean"}, "a": {}},
            "additionalProperties": false, "required": ["a", "z"]}},
    });
    let expected = json!({"type": "json_schema",
        "json_schema": {"name": "structured_output", "schema": strict, "strict": true}});
    let format = json!({"type": "json_schema", "schema": schema});
    let written = rebuilt(json!({"output_config": {"effort": "high", "format": format}}));
    assert_eq!(written["response_format"], expected);
    assert_eq!(written.get("output_config"), None);
    let written = rebuilt(json!({"output_format": format}));
    assert_eq!(written["response_format"], expected);
}

#[test]
fn the_beta_name_of_the_answers_format_counts_first_if_it_says_something() {
    let format = |title: &str| json!({"type": "json_schema", "schema": {"type": "object", "title": title}});
    let title = |members: Value| {
        rebuilt(members)["response_format"]["json_schema"]["schema"]["title"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let both = json!({"output_format": format("beta"), "output_config": {"format": format("ga")}});
    assert_eq!(title(both), "beta");
    let one = json!({"output_format": {}, "output_config": {"format": format("ga")}});
    assert_eq!(title(one), "ga");
}

#[test]
fn other_formats_of_the_answer_are_left_out() {
    for format in [
        json!({"type": "json_object"}),
        json!({"type": "json_schema"}),
        json!({"type": "json_schema", "schema": {}}),
    ] {
        let written = rebuilt(json!({"output_format": format}));
        assert_eq!(written, rebuilt(json!({})), "{format}");
    }
}

#[test]
fn the_system_prompt_is_one_text() {
    let system = |system: Value| rebuilt(json!({"system": system}))["messages"][0].clone();
    let expected = json!({"role": "system", "content": "Be brief."});
    assert_eq!(system(json!("Be brief.")), expected);
    let blocks = json!([
        {"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "brief."},
    ]);
    assert_eq!(system(blocks), expected);
    for nothing in [json!(""), json!([]), json!([{"type": "text", "text": ""}])] {
        assert_eq!(system(nothing), json!({"role": "user", "content": "hi"}));
    }
}

#[test]
fn billing_notes_in_the_system_prompt_lose_what_changes_with_each_call() {
    let system = |text: &str| {
        let system = json!([{"type": "text", "text": text}, {"type": "text", "text": "!"}]);
        rebuilt(json!({"system": system}))["messages"][0]["content"].clone()
    };
    for (text, sent) in [
        (
            "x-anthropic-billing-header:abc=123;cch=456",
            "x-anthropic-billing-header:abc=123!",
        ),
        (
            "X-Anthropic-Billing-Header: cc_version=2; cch=456; entry=cli;",
            "x-anthropic-billing-header:cc_version=2; entry=cli!",
        ),
        (
            "x-anthropic-billing-header:abc=123;def=789",
            "x-anthropic-billing-header:abc=123;def=789!",
        ),
        ("x-anthropic-billing-header: cch=1;", "!"),
        ("Just cch=1; a prompt", "Just cch=1; a prompt!"),
    ] {
        assert_eq!(system(text), sent, "{text}");
    }
}

#[test]
fn users_speak_in_lists_and_assistants_in_strings() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let written = messages(json!([
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"}, text("x"), text("y"),
        ]},
        {"role": "user", "content": [text("b"), text("c")]},
        {"role": "assistant", "content": "z"},
        {"role": "user", "content": []},
    ]));
    assert_eq!(
        written,
        json!([
            {"role": "user", "content": [text("a")]},
            {"role": "assistant", "content": "xy"},
            {"role": "user", "content": [text("b"), text("c")]},
            {"role": "assistant", "content": "z"},
            {"role": "user", "content": ""},
        ])
    );
}

#[test]
fn images_and_documents_become_image_urls() {
    let content = |block: Value| {
        let content = json!([{"type": "text", "text": "What is this?"}, block]);
        messages(json!([{"role": "user", "content": content}]))[0]["content"]
            .as_array()
            .unwrap()
            .clone()
    };
    let base64 = |kind: &str, media_type: Value| json!({"type": kind, "source": {"type": "base64", "media_type": media_type, "data": "JVBER"}});
    for (block, url) in [
        (
            base64("image", json!("image/jpeg")),
            "data:image/jpeg;base64,JVBER",
        ),
        (base64("image", json!(null)), "data:image/png;base64,JVBER"),
        (
            base64("document", json!("application/pdf")),
            "data:application/pdf;base64,JVBER",
        ),
        (
            base64("document", json!(null)),
            "data:application/pdf;base64,JVBER",
        ),
        (
            json!({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
            "https://example.com/a.png",
        ),
    ] {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        assert_eq!(content(block)[1], part);
    }
    for nothing in [
        json!({"type": "image", "source": {"type": "url", "url": ""}}),
        json!({"type": "image", "source": {"type": "url"}}),
        json!({"type": "image", "source": {"type": "base64", "data": ""}}),
        json!({"type": "image"}),
        json!("not a block"),
    ] {
        assert_eq!(
            content(nothing),
            [json!({"type": "text", "text": "What is this?"})]
        );
    }
}

#[test]
fn calls_stand_beside_the_assistants_text() {
    let call = json!({"type": "tool_use", "id": "call_1", "name": "search", "input": {"query": "test"}});
    let sent = json!({"id": "call_1", "type": "function",
        "function": {"name": "search", "arguments": "{\"query\":\"test\"}"}});
    let written = messages(json!([
        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "now", "input": {}}]},
    ]));
    let empty = json!({"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}});
    assert_eq!(
        written,
        json!([
            {"role": "assistant", "content": "Let me see.", "tool_calls": [sent]},
            {"role": "assistant", "tool_calls": [empty]},
        ])
    );
}

#[test]
fn results_come_before_anything_else_of_their_message() {
    let result =
        |id: &str, content: Value| json!({"type": "tool_result", "tool_use_id": id, "content": content});
    let sent = |id: &str, content: &str| json!({"role": "tool", "tool_call_id": id, "content": content});
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "img"}});
    let image_url = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,img"}});
    let text = json!({"type": "text", "text": "and now?"});
    let written = messages(json!([
        {"role": "user", "content": [text, result("a", json!("1")), image, result("b", json!([
            {"type": "text", "text": "2"}, {"type": "text", "text": "3"},
        ]))]},
        {"role": "user", "content": [result("c", json!("4"))]},
        {"role": "user", "content": [result("d", json!(null)), {"type": "text", "text": ""}]},
    ]));
    assert_eq!(
        written,
        json!([
            sent("a", "1"),
            sent("b", "23"),
            {"role": "user", "content": [text, image_url]},
            sent("c", "4"),
            sent("d", ""),
            {"role": "user", "content": [{"type": "text", "text": ""}]},
        ])
    );
}

#[test]
fn a_result_with_an_image_is_a_list() {
    let content = json!([
        {"type": "text", "text": "Screenshot taken"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "img"}},
    ]);
    let block = json!({"type": "tool_result", "tool_use_id": "call_1", "content": content});
    assert_eq!(
        messages(json!([{"role": "user", "content": [block]}])),
        json!([{"role": "tool", "tool_call_id": "call_1", "content": [
            {"type": "text", "text": "Screenshot taken"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,img"}},
        ]}])
    );
}

#[test]
fn names_that_openai_refuses_are_shortened_with_a_hash_and_come_back_whole() {
    let long = "a".repeat(70);
    let sent = format!("{}_6bd5e503", "a".repeat(55));
    let body = request(json!({
        "tools": [{"name": long, "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": long},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": long, "input": {}}]},
        ],
    }));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    assert_eq!(written["tools"][0]["function"]["name"], sent);
    assert_eq!(written["tool_choice"]["function"]["name"], sent);
    assert_eq!(written["messages"][1]["tool_calls"][0]["function"]["name"], sent);
    let losses: Vec<String> = rebuilt.losses.iter().map(ToString::to_string).collect();
    let told = |field: &str| losses.iter().any(|loss| loss.starts_with(field));
    assert!(told("tools[0].name=approximated"), "{losses:?}");
    assert!(told("messages[].content[].name=approximated"), "{losses:?}");

    let style = style(rebuilt.renames);
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call(&sent, "{}")]});
    let answer = answered_with(&answer(message, "tool_calls"), &style);
    assert_eq!(answer["content"][0]["name"], long);
    let mut stream = Stream::new(&style);
    let mut piece = call(&sent, "");
    piece["index"] = json!(0);
    let events = stream.chunk(first(json!({"tool_calls": [piece]})));
    assert_eq!(events[1]["content_block"]["name"], long);
}

#[test]
fn every_name_that_is_sent_is_one_of_its_own() {
    let names = [
        "get weather".to_owned(),
        "get_weather".to_owned(),
        "my tool!foo".to_owned(),
        "my tool@foo".to_owned(),
        "a".repeat(64),
        "a".repeat(70),
        format!("{}!aaa", "x".repeat(60)),
        format!("{}@aaa", "x".repeat(60)),
        format!("mcp__server__{}_one", "a".repeat(55)),
        format!("mcp__server__{}_two", "a".repeat(55)),
        "wörter".to_owned(),
    ];
    let tools: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let rebuilt = rebuild(&request(json!({"tools": tools}))).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    let sent: Vec<&str> = (0..names.len())
        .map(|i| written["tools"][i]["function"]["name"].as_str().unwrap())
        .collect();
    for (i, (sent_name, name)) in sent.iter().zip(&names).enumerate() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        assert!(
            sent_name.len() <= 64 && sent_name.bytes().all(fits),
            "{sent_name}"
        );
        assert!(!sent[..i].contains(sent_name), "{sent_name}");
        assert_eq!(rebuilt.renames.original(sent_name), name);
    }
    assert_eq!((sent[1], sent[4]), ("get_weather", names[4].as_str()));
}

#[test]
fn names_that_fit_and_choices_of_unknown_tools_stay() {
    let body = request(json!({
        "tools": [{"name": "a".repeat(64)}],
        "tool_choice": {"type": "tool", "name": "ghost tool"},
    }));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    assert_eq!(written["tools"][0]["function"]["name"], "a".repeat(64));
    assert_eq!(written["tool_choice"]["function"]["name"], "ghost tool");
    assert!(rebuilt.renames.is_empty());
}

#[test]
fn an_earlier_call_of_a_tool_without_definition_is_renamed_and_restored() {
    let call = json!({"type": "tool_use", "id": "c", "name": "orphan tool!", "input": {}});
    let body = request(json!({"messages": [{"role": "assistant", "content": [call]}]}));
    let rebuilt = rebuild(&body).unwrap();
    let written: Value = serde_json::from_slice(&rebuilt.body).unwrap();
    let sent = written["messages"][0]["tool_calls"][0]["function"]["name"]
        .as_str()
        .unwrap();
    assert!(sent.starts_with("orphan_tool__"), "{sent}");
    assert_eq!(rebuilt.renames.original(sent), "orphan tool!");
}

#[test]
fn an_answer_has_thoughts_then_text_then_calls_and_the_configured_model() {
    let message = json!({"role": "assistant", "content": "Let me check.", "reasoning_content": "Step by step",
        "tool_calls": [call("get_weather", "{\"b\":1,\"a\":2}"), call("get_time", "{}")]});
    assert_eq!(
        answered(&answer(message, "tool_calls")),
        json!({
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt-4o",
            "content": [
                {"type": "thinking", "thinking": "Step by step", "signature": ""},
                {"type": "text", "text": "Let me check."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"b": 1, "a": 2}},
                {"type": "tool_use", "id": "call_1", "name": "get_time", "input": {}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 10, "output_tokens": 5},
        })
    );
}

#[test]
fn finish_reasons_become_stop_reasons() {
    for (word, stop_reason) in [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "end_turn"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("something_new", "end_turn"),
    ] {
        let message = json!({"role": "assistant", "content": "hi"});
        assert_eq!(
            answered(&answer(message.clone(), word))["stop_reason"],
            stop_reason
        );
        let mut stream = Stream::begin();
        stream.chunk(first(json!({"content": "hi"})));
        stream.chunk(finish(word));
        assert_eq!(stream.done()[0]["delta"]["stop_reason"], stop_reason, "{word}");
    }
}

#[test]
fn cached_tokens_are_no_input_tokens() {
    let mut told = answer(json!({"role": "assistant", "content": "hi"}), "stop");
    told["usage"] = json!({"prompt_tokens": 30, "completion_tokens": 15, "total_tokens": 45,
        "prompt_tokens_details": {"cached_tokens": 10, "cache_creation_input_tokens": 5}});
    assert_eq!(
        answered(&told)["usage"],
        json!({"input_tokens": 20, "output_tokens": 15, "cache_read_input_tokens": 10,
            "cache_creation_input_tokens": 5})
    );
}

#[test]
fn nulls_where_a_provider_should_say_something_cost_nothing() {
    let mut told = answer(json!({"role": "assistant", "content": "hi"}), "stop");
    told["usage"]["prompt_tokens_details"] = json!(null);
    assert_eq!(
        answered(&told)["usage"],
        json!({"input_tokens": 10, "output_tokens": 5})
    );
    told["usage"] = json!(null);
    assert_eq!(
        answered(&told)["usage"],
        json!({"input_tokens": 0, "output_tokens": 0})
    );
    let empty = json!([{"type": "text", "text": ""}]);
    assert_eq!(answered(&answer(json!(null), "stop"))["content"], empty);
    let silent = answer(
        json!({"role": "assistant", "content": null, "tool_calls": null}),
        "stop",
    );
    assert_eq!(answered(&silent)["content"], empty);
    let calls = json!([{"id": "call_1", "type": "function", "function": null}]);
    let nameless = answer(
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
        "tool_calls",
    );
    assert_eq!(
        answered(&nameless)["content"],
        json!([{"type": "tool_use", "id": "call_1", "name": "", "input": {}}])
    );
}

#[test]
fn arguments_that_are_no_object_become_an_empty_one_and_the_text_stays() {
    for arguments in ["{not valid json", "123", "true", "\"a\"", "[1]", ""] {
        let message = json!({"role": "assistant", "content": "partial answer",
            "tool_calls": [call("do_it", arguments)]});
        let content = answered(&answer(message, "tool_calls"))["content"].clone();
        assert_eq!(content[0], json!({"type": "text", "text": "partial answer"}));
        assert_eq!(content[1]["input"], json!({}), "{arguments}");
    }
}

#[test]
fn an_error_with_a_status_of_success_becomes_anthropics_error() {
    let told = |error: Value| -> Value {
        serde_json::from_slice(&error_answer(&json!({"error": error}).to_string()).unwrap()).unwrap()
    };
    let error =
        |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let full = json!({"type": "invalid_request_error", "message": "The model does not exist.",
        "code": "model_not_found"});
    assert_eq!(
        told(full),
        error("invalid_request_error", "The model does not exist.")
    );
    assert_eq!(told(json!({"code": "a", "message": "b"})), error("a", "b"));
    assert_eq!(told(json!("out of order")), error("api_error", "out of order"));
    assert_eq!(told(json!({})), error("api_error", ""));
    assert_eq!(error_answer(&answer(json!(null), "stop").to_string()), None);
    assert_eq!(error_answer(r#"{"error":null,"choices":[]}"#), None);
}

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

#[test]
fn a_request_with_anything_anywhere_is_rebuilt_to_json_or_refused() {
    let full = request(json!({
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"}], "stream": true,
        "tools": [{"name": "my tool", "input_schema": {"type": "object", "properties": {"a": {}}}}],
        "tool_choice": {"type": "tool", "name": "my tool"}, "stop_sequences": ["a"],
        "thinking": {"type": "enabled", "budget_tokens": 1}, "metadata": {"user_id": "u"},
        "output_format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"items": {}}}}},
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "a"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}},
            {"type": "tool_use", "id": "c", "name": "my tool", "input": {}},
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "b"}]},
        ]}],
    }));
    let mut tried = 0;
    for path in paths(&full) {
        for odd in [
            json!(null),
            json!(true),
            json!(-1.5),
            json!(""),
            json!("é"),
            json!([]),
            json!({}),
            json!([[1]]),
        ] {
            let mut request = full.clone();
            *request.pointer_mut(&path).unwrap() = odd;
            if let Ok(rebuilt) = rebuild(&request) {
                serde_json::from_slice::<Value>(&rebuilt.body).unwrap();
                assert_eq!(rebuilt.losses.rejections().count(), 0);
            }
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

/// The JSON pointers of every value in a document.
fn paths(document: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match document {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => (0..).map(|i: usize| i.to_string()).zip(list).collect(),
        _ => Vec::new(),
    };
    let mut found = vec![String::new()];
    for (key, child) in children {
        found.extend(paths(child).iter().map(|path| format!("/{key}{path}")));
    }
    found
}
