//! The request but for its tools.

use serde_json::{Value, json};

use crate::{messages, rebuild, rebuilt, request};

#[test]
fn a_request_is_rebuilt_from_known_members_and_the_rest_is_left_out_and_told() {
    let body = request(json!({
        "max_tokens": 1024, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END", "STOP", "a", "b", "c"],
        "metadata": {"user_id": "user-123", "team": "a"}, "service_tier": "auto", "top_k": 5, "unknown_field": "x",
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
    for name in ["top_k", "unknown_field", "mcp_servers", "metadata.team"] {
        assert!(told.contains(&name), "{told:?}");
    }
    assert_eq!(told.len(), 4);
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
