//! Requests: every kind of block there and back, and what becomes of those of other dialects.

use serde_json::{Value, json as value};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{MediaKind, MediaSource, Part, Role, ToolChoice};

use super::cross::check_shape;
use super::{BEDROCK, OTHERS, decoded, model, translate, translate_for};

fn user(content: Value) -> Value {
    value!({"messages": [{"role": "user", "content": content}]})
}

#[test]
fn every_member_of_a_request_comes_back() {
    let request = value!({
        "messages": [
            {"role": "user", "content": [
                {"cachePoint": {"type": "default"}},
                {"text": "a"},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"cachePoint": {"type": "default"}},
                {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "1"}}}},
                {"document": {"name": "d", "format": "docx", "source": {"bytes": "aGk="}, "context": "c",
                    "citations": {"enabled": true}}},
                {"document": {"name": "e", "source": {"content": [{"text": "x"}]}}},
                {"document": {"name": "f", "source": {"text": "x"}}},
                {"video": {"format": "three_gp", "source": {"bytes": "aGk="}}},
                {"audio": {"format": "wav", "source": {"bytes": "aGk="}}},
                {"audio": {"format": "mka", "source": {"bytes": "aGk="}}},
                {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}},
                {"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}},
                {"toolAddition": {"tool": {"name": "f"}}},
                {"toolRemoval": {"tool": {"name": "g"}}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"cachePoint": {"type": "default"}},
                {"reasoningContent": {"redactedContent": "YWJj"}},
                {"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": "t"}]}},
                {"citationsContent": {"content": [{"text": "x"}, {"text": "y"}], "citations": []}},
                {"citationsContent": {"citations": [{"title": "t"}]}},
                {"toolUse": {"toolUseId": "1", "name": "f", "input": {"n": 1.50}}},
                {"toolUse": {"toolUseId": "2", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
                {"toolResult": {"toolUseId": "2", "content": [{"text": "x"}], "type": "nova_grounding_result"}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "1", "status": "error", "content": [
                    {"json": {"a": [1, 2.0]}}, {"text": "x"},
                    {"image": {"format": "gif", "source": {"bytes": "aGk="}}},
                    {"searchResult": {"source": "s", "title": "t", "content": []}},
                ]}},
                {"cachePoint": {"type": "default"}},
            ]},
            {"role": "system", "content": [{"text": "be brief"}]},
            {"role": "user", "content": [{"text": "go on"}]},
        ],
        "system": [{"text": "s"}, {"cachePoint": {"type": "default"}}, {"guardContent": {"text": {"text": "x"}}}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.10, "topP": 0.5, "stopSequences": ["x"], "new": 1},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": true}},
                {"cachePoint": {"type": "default"}},
                {"systemTool": {"name": "nova_grounding"}},
            ],
            "toolChoice": {"tool": {"name": "f"}},
        },
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "streamProcessingMode": "async"},
        "additionalModelRequestFields": {
            "thinking": {"type": "enabled", "budget_tokens": 2000}, "top_k": 5, "output_config": {"effort": "low"},
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}, "anthropic_beta": ["x"],
        },
        "promptVariables": {"a": {"text": "x"}},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "requestMetadata": {"a": "b"},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "flex"},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
            "schema": "{\"type\" : \"object\"}", "name": "n", "description": "d"}}}},
        "tomorrow": {"x": null},
    });
    let (back, losses) = translate(BEDROCK, BEDROCK, &request);
    assert_eq!(back, request);
    assert_eq!(losses, Vec::<String>::new());
}

#[test]
fn what_others_have_a_word_for_is_read() {
    let request = decoded(value!({
        "system": [{"text": "s"}],
        "messages": [
            {"role": "user", "content": [
                {"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"document": {"name": "d", "format": "txt", "source": {"text": "x"}}},
            ]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}},
        "additionalModelRequestFields": {"reasoning_effort": "high", "tool_choice": {"disable_parallel_tool_use": true}},
        "serviceTier": {"type": "priority"},
    }));
    assert_eq!(request.messages[0].role, Role::System);
    let Part::Text(text) = &request.messages[1].parts[0] else {
        panic!("{request:?}")
    };
    assert_eq!(text.cache.as_ref().unwrap().ttl.as_deref(), Some("1h"));
    let Part::Media(document) = &request.messages[1].parts[1] else {
        panic!("{request:?}")
    };
    assert_eq!(document.kind, MediaKind::Document);
    assert_eq!(document.name.as_deref(), Some("d"));
    assert!(matches!(&document.source, MediaSource::Text { media_type, .. } if media_type == "text/plain"));
    assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!(request.service_tier.as_deref(), Some("priority"));
    assert_eq!(request.reasoning.unwrap().effort.unwrap().name(), "high");
}

#[test]
fn a_wrong_document_is_refused_with_the_place() {
    for (request, place) in [
        (value!({}), "messages"),
        (
            value!({"messages": [{"role": "tool", "content": []}]}),
            "messages[0].role",
        ),
        (
            value!({"messages": [{"role": "user", "content": "x"}]}),
            "messages[0].content",
        ),
        (user(value!([{}])), "messages[0].content[0]"),
        (user(value!([{"text": 1}])), "messages[0].content[0].text"),
        (
            user(value!([{"image": {"format": "png"}}])),
            "messages[0].content[0].image.source",
        ),
        (
            user(value!([{"toolUse": {"name": "f", "input": {}}}])),
            "messages[0].content[0].toolUse.toolUseId",
        ),
        (
            value!({"messages": [], "inferenceConfig": {"maxTokens": "5"}}),
            "inferenceConfig.maxTokens",
        ),
        (
            value!({"messages": [], "toolConfig": {"tools": [{"toolSpec": {}}]}}),
            "toolConfig.tools[0].toolSpec.name",
        ),
    ] {
        let error = tollgate_dialects::bedrock_converse::decode_request(&request.to_string()).unwrap_err();
        assert_eq!(error.path, place, "{error}");
    }
}

#[test]
fn guardrails_and_stored_prompts_are_refused_by_name_elsewhere() {
    let request = value!({
        "messages": [{"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}},
            {"guardContent": {"text": {"text": "x"}}}]}],
        "inferenceConfig": {"maxTokens": 5},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "promptVariables": {"a": {"text": "x"}},
        "requestMetadata": {"a": "b"},
        "additionalModelRequestFields": {"anthropic_beta": ["x"], "reasoning_effort": "low", "foo": 1},
        "performanceConfig": {"latency": "standard"},
    });
    for other in OTHERS {
        let (_, losses) = translate(BEDROCK, other, &request);
        let has = |loss: &str| {
            assert!(
                losses.iter().any(|found| found == loss),
                "{other}: {loss} in {losses:?}"
            )
        };
        has("guardrailConfig=rejected");
        has("promptVariables=rejected");
        has("messages[0].content[2]=rejected");
        has("requestMetadata=dropped");
        has("additionalModelRequestFields.anthropic_beta=dropped");
        has("additionalModelRequestFields.foo=dropped");
        assert!(
            !losses
                .iter()
                .any(|loss| loss.contains("performance") || loss.contains("effort")),
            "{losses:?}"
        );
    }
}

#[test]
fn turns_alternate_results_come_first_and_ids_fit() {
    let long = "x".repeat(80);
    let (request, losses) = translate(
        Dialect::OpenaiChat,
        BEDROCK,
        &value!({"model": "m", "messages": [
            {"role": "system", "content": "s1"},
            {"role": "developer", "content": "s2"},
            {"role": "user", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": long, "type": "function", "function": {"name": "f.g", "arguments": ""}},
                {"id": "call|2", "type": "function", "function": {"name": "h", "arguments": "{\"n\":1.0}"}},
            ]},
            {"role": "tool", "tool_call_id": "call|2", "content": "two"},
            {"role": "tool", "tool_call_id": long, "content": "one"},
            {"role": "user", "content": "c"},
        ]}),
    );
    check_shape(&request).unwrap();
    assert_eq!(request["system"], value!([{"text": "s1"}, {"text": "s2"}]));
    let messages = request["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0]["content"], value!([{"text": "a"}, {"text": "b"}]));
    let call = |i: usize| &messages[1]["content"][i]["toolUse"];
    let result = |i: usize| &messages[2]["content"][i]["toolResult"];
    assert_eq!(call(0)["input"], value!({}));
    assert_eq!(call(1)["input"].to_string(), r#"{"n":1.0}"#);
    for i in [0, 1] {
        assert_eq!(call(i)["toolUseId"], result(i)["toolUseId"]);
        assert!(call(i)["toolUseId"].as_str().unwrap().len() <= 64);
    }
    assert_eq!(result(0)["content"], value!([{"text": "one"}]));
    assert_eq!(messages[2]["content"][2], value!({"text": "c"}));
    // The tools of the history are told, under names that fit.
    assert_eq!(request["toolConfig"]["tools"].as_array().unwrap().len(), 2);
    assert!(request["toolConfig"]["toolChoice"].is_null());
    assert!(
        losses.iter().any(|loss| loss == "tools=approximated"),
        "{losses:?}"
    );
}

#[test]
fn media_are_taken_as_bytes_only() {
    let (request, losses) = translate(
        Dialect::OpenaiChat,
        BEDROCK,
        &value!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,aGk="}},
            {"type": "file", "file": {"filename": "my_report.pdf", "file_data": "data:application/pdf;base64,aGk="}},
            {"type": "file", "file": {"filename": "my report pdf", "file_data": "data:application/pdf;base64,aGk="}},
        ]}]}),
    );
    check_shape(&request).unwrap();
    let content = &request["messages"][0]["content"];
    assert_eq!(
        content[0]["image"],
        value!({"format": "jpeg", "source": {"bytes": "aGk="}})
    );
    assert_eq!(
        content[1]["document"],
        value!({"format": "pdf", "name": "my report pdf", "source": {"bytes": "aGk="}})
    );
    assert_eq!(content[2]["document"]["name"], "my report pdf 2");
    assert!(
        !losses.iter().any(|loss| loss.ends_with("rejected")),
        "{losses:?}"
    );
    let (_, losses) = translate(
        Dialect::OpenaiChat,
        BEDROCK,
        &value!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ]}]}),
    );
    assert!(
        losses.contains(&"messages[0].content[0]=rejected".to_owned()),
        "{losses:?}"
    );
    assert!(
        losses.contains(&"messages[0].content[1]=rejected".to_owned()),
        "{losses:?}"
    );
}

#[test]
fn cache_breakpoints_become_cache_points_behind_their_part() {
    let (request, losses) = translate(
        Dialect::AnthropicMessages,
        BEDROCK,
        &value!({"model": "m", "max_tokens": 5,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "t",
                "context": "c", "citations": {"enabled": true}},
        ]}]}),
    );
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(
        request["system"],
        value!([{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}])
    );
    assert_eq!(
        request["toolConfig"]["tools"][1],
        value!({"cachePoint": {"type": "default"}})
    );
    assert_eq!(
        request["messages"][0]["content"][1],
        value!({"cachePoint": {"type": "default"}})
    );
    assert_eq!(
        request["messages"][0]["content"][2]["document"],
        value!({"format": "txt", "name": "t", "source": {"text": "x"}, "context": "c", "citations": {"enabled": true}})
    );
}

#[test]
fn a_conversation_that_begins_with_an_answer_gets_a_note_before_it() {
    let (request, losses) = translate(
        Dialect::OpenaiChat,
        BEDROCK,
        &value!({"model": "m", "messages": [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "a"}]}),
    );
    check_shape(&request).unwrap();
    assert_eq!(losses, ["messages=approximated"]);
    let begun = value!({"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}]});
    let (request, losses) = translate(Dialect::OpenaiChat, BEDROCK, &begun);
    assert_eq!(request["messages"][1]["content"][0]["text"], "b");
    assert_eq!(losses, ["messages[1]=approximated"]);
    let newer = model("us.anthropic.claude-opus-5-5");
    let (_, losses) = translate_for(Dialect::OpenaiChat, BEDROCK, &begun, &newer);
    assert_eq!(losses, ["messages[1]=rejected"]);
}
