//! The order of events that a client of each dialect may rely on, as a small state machine. Those of Bedrock and of Responses
//! are checked in full by the tests of these dialects.

use serde_json::Value;
use tollgate_dialects::Dialect;

/// Checks a stream that is complete.
pub(crate) fn check(dialect: Dialect, bytes: &[u8]) -> Result<(), String> {
    if dialect == Dialect::BedrockConverse {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let data: Vec<&str> = text
        .split("\n\n")
        .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
        .collect();
    let (documents, done) = match data.split_last() {
        Some((&"[DONE]", documents)) => (documents, true),
        _ => (&data[..], false),
    };
    let documents: Vec<Value> = documents
        .iter()
        .map(|document| serde_json::from_str(document).map_err(|error| format!("{error}: {document}")))
        .collect::<Result<_, _>>()?;
    match dialect {
        Dialect::OpenaiChat => done
            .then_some(())
            .ok_or("no end mark")
            .map_err(str::to_owned)
            .and_then(|()| openai_chat(&documents)),
        Dialect::AnthropicMessages => anthropic(&documents),
        Dialect::Gemini => gemini(&documents),
        Dialect::CohereChat => ends(&documents, "message-start", &["message-end"]),
        Dialect::OpenaiResponses => {
            numbered(&documents)?;
            ends(
                &documents,
                "response.created",
                &["response.completed", "response.incomplete"],
            )
        }
        Dialect::BedrockConverse => Ok(()),
    }
}

/// The role, then content, then one reason why it ended, then usage without choices.
fn openai_chat(chunks: &[Value]) -> Result<(), String> {
    let mut state = "start";
    for chunk in chunks {
        let choice = &chunk["choices"][0];
        state = match (state, choice.is_null(), choice["finish_reason"].is_null()) {
            ("start", false, true) if choice["delta"]["role"] == "assistant" => "content",
            ("content", false, true) => "content",
            ("content", false, false) => "stopped",
            ("stopped", true, _) if chunk["usage"].is_object() => "over",
            _ => return Err(format!("{chunk} in state {state}")),
        };
    }
    if state == "over" {
        Ok(())
    } else {
        Err(format!("ends in state {state}"))
    }
}

/// A start, blocks one after the other with numbers that count up, a delta of the message, a stop.
fn anthropic(events: &[Value]) -> Result<(), String> {
    let (mut state, mut next) = ("start", 0);
    for event in events {
        let index = event["index"].as_u64();
        state = match (state, event["type"].as_str().unwrap_or_default()) {
            ("start", "message_start") => "between",
            (state, "ping") if state != "start" => state,
            ("between", "content_block_start") if index == Some(next) => "block",
            ("block", "content_block_delta") if index == Some(next) => "block",
            ("block", "content_block_stop") if index == Some(next) => {
                next += 1;
                "between"
            }
            ("between", "message_delta") => "stopped",
            ("stopped", "message_stop") => "over",
            _ => return Err(format!("{event} in state {state}")),
        };
    }
    if state == "over" {
        Ok(())
    } else {
        Err(format!("ends in state {state}"))
    }
}

/// Parts until the document that tells why it ended, which is the last one.
fn gemini(documents: &[Value]) -> Result<(), String> {
    let ended = |document: &Value| document["candidates"][0]["finishReason"].is_string();
    match documents.split_last() {
        Some((last, before)) if ended(last) && !before.iter().any(ended) => Ok(()),
        _ => Err("does not end with the reason why, or tells it twice".to_owned()),
    }
}

fn numbered(events: &[Value]) -> Result<(), String> {
    let in_order = (0_u64..)
        .zip(events)
        .all(|(i, event)| event["sequence_number"] == i);
    in_order
        .then_some(())
        .ok_or_else(|| "the numbers do not count up".to_owned())
}

fn ends(events: &[Value], first: &str, last: &[&str]) -> Result<(), String> {
    let kind = |event: Option<&Value>| {
        event
            .and_then(|event| event["type"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let (begin, end) = (kind(events.first()), kind(events.last()));
    if begin == first && last.contains(&end.as_str()) {
        Ok(())
    } else {
        Err(format!("from {begin} to {end}"))
    }
}
