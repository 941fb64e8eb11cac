//! What a request or an answer says, whichever dialect says it: what must survive the way into another dialect.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tollgate_dialects::canonical::{
    MediaSource, Message, Part, Request, Response, ResponseFormat, Role, StopReason, ToolChoice, ToolKind,
};
use tollgate_dialects::json::RawJson;

/// What something says, by the aspect of it.
pub type Facts = BTreeMap<&'static str, Value>;

/// The aspects in which two things differ.
pub fn differences(before: &Facts, after: &Facts) -> Vec<&'static str> {
    let aspects = before.keys().chain(after.keys());
    let mut differing: Vec<&'static str> = aspects
        .copied()
        .filter(|aspect| before.get(aspect) != after.get(aspect))
        .collect();
    differing.sort_unstable();
    differing.dedup();
    differing
}

pub fn of_answer(answer: &Response) -> Facts {
    let mut facts = Facts::new();
    if let Some(choice) = answer.choices.first() {
        let (mut text, mut calls) = (String::new(), Vec::new());
        for part in &choice.parts {
            match part {
                Part::Text(part) | Part::Refusal(part) => text.push_str(&part.text),
                Part::ToolCall(call) => calls.push(Value::from(vec![
                    Value::from(call.name.as_str()),
                    arguments(&call.arguments),
                ])),
                _ => {}
            }
        }
        facts.insert("text", text.into());
        facts.insert("calls", calls.into());
        facts.insert("stop", stop(choice.stop.reason).into());
        let ids: Vec<&str> = ids(&choice.parts);
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        facts.insert("ids are distinct", (ids.len() == distinct.len()).into());
    }
    if let Some(usage) = &answer.usage {
        facts.insert("input tokens", usage.input_total().into());
        facts.insert("output tokens", usage.output.into());
        facts.insert("cached tokens", usage.cache_read.unwrap_or(0).into());
    }
    facts
}

fn ids(parts: &[Part]) -> Vec<&str> {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) if !call.id.is_empty() => Some(call.id.as_str()),
            _ => None,
        })
        .collect()
}

/// The meaning of a stop reason that every dialect can say.
const fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::End | StopReason::StopSequence | StopReason::Pause | StopReason::Unknown => "finished",
        StopReason::Malformed => "malformed",
        StopReason::Length | StopReason::ContextFull => "cut",
        StopReason::ToolCalls | StopReason::LegacyFunctionCall => "calls",
        StopReason::Refusal | StopReason::ContentFilter => "refused",
    }
}

/// Arguments as JSON; nothing is an empty object.
fn arguments(text: &str) -> Value {
    match text.trim() {
        "" | "null" => Value::Object(serde_json::Map::new()),
        text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

pub fn of_request(request: &Request) -> Facts {
    let mut facts = Facts::new();
    facts.insert("instruction", instruction(request).into());
    facts.insert("conversation", conversation(request).into());
    facts.insert("media", media(request).into());
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| match &tool.kind {
            ToolKind::Function {
                name,
                description,
                parameters,
                ..
            } => Value::from(vec![
                Value::from(name.as_str()),
                Value::from(description.clone().unwrap_or_default()),
                parameters.as_ref().map_or_else(no_arguments, schema),
            ]),
            ToolKind::Custom {
                name,
                description,
                format,
            } => serde_json::json!({
                "custom": name,
                "description": description,
                "format": format.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.text()).ok()),
            }),
            other => format!("{other:?}").into(),
        })
        .collect();
    facts.insert("tools", tools.into());
    let mut option =
        |name: &'static str, value: Option<Value>| facts.extend(value.map(|value| (name, value)));
    option(
        "tool choice",
        request
            .tool_choice
            .as_ref()
            .and_then(|wanted| choice(wanted, request.tools.len())),
    );
    option("most tokens", request.max_output_tokens.map(Value::from));
    // What is the case anyway is left out by some encoders.
    let unless = |raw: &Option<RawJson>, usual: f64| {
        let said = raw.as_ref().filter(|raw| raw.as_f64() != Some(usual));
        said.map(number)
    };
    option("temperature", unless(&request.temperature, 1.0));
    option("top p", unless(&request.top_p, 1.0));
    option("top k", request.top_k.as_ref().map(number));
    option(
        "stop sequences",
        (!request.stop.is_empty()).then(|| request.stop.clone().into()),
    );
    option("seed", request.seed.as_ref().map(number));
    option("presence penalty", unless(&request.presence_penalty, 0.0));
    option("frequency penalty", unless(&request.frequency_penalty, 0.0));
    option(
        "number of answers",
        request.choices.filter(|count| *count > 1).map(Value::from),
    );
    option(
        "one call at a time",
        (request.parallel_tool_calls == Some(false)).then(|| true.into()),
    );
    option(
        "form",
        match &request.response_format {
            None | Some(ResponseFormat::Text) => None,
            Some(ResponseFormat::JsonObject) => Some("a JSON object".into()),
            Some(ResponseFormat::JsonSchema { schema: raw, .. }) => raw.as_ref().map(schema),
            Some(ResponseFormat::Opaque(raw)) => Some(raw.text().into()),
        },
    );
    facts
}

fn no_arguments() -> Value {
    serde_json::json!({"type": "object"})
}

/// A schema; one of an object without members is the same as none.
fn schema(raw: &RawJson) -> Value {
    let mut schema: Value = serde_json::from_str(raw.text()).unwrap_or_default();
    if let Some(object) = schema.as_object_mut() {
        object.entry("type").or_insert_with(|| "object".into());
        object.retain(|name, value| {
            name != "properties" && name != "required"
                || value.as_object().is_none_or(|inside| !inside.is_empty())
        });
        return schema;
    }
    no_arguments()
}

fn number(raw: &RawJson) -> Value {
    raw.as_f64().into()
}

fn choice(choice: &ToolChoice, tools: usize) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => return None,
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        // The same, where there is no other.
        ToolChoice::Function(_) if tools == 1 => "required".into(),
        ToolChoice::Function(name) => vec![Value::from(name.as_str())].into(),
        ToolChoice::Allowed {
            names,
            required: true,
        } if names.len() == tools => "required".into(),
        ToolChoice::Allowed { names, required } => format!("{names:?} {required}").into(),
        ToolChoice::Opaque(raw) => raw.text().into(),
    })
}

const fn is_instruction(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}

/// The texts of the instruction in front.
fn instruction(request: &Request) -> String {
    let leading = request
        .messages
        .iter()
        .take_while(|message| is_instruction(message.role));
    leading.flat_map(texts).collect()
}

fn texts(message: &Message) -> impl Iterator<Item = &str> {
    message.parts.iter().filter_map(text)
}

fn text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.text.as_str()),
        _ => None,
    }
}

/// Who says what behind the instruction: texts of one role that stand together are one, calls follow the text of their
/// turn, and results are told with the number of their call.
fn conversation(request: &Request) -> Vec<Value> {
    let mut said: Vec<Value> = Vec::new();
    let mut speaking: Option<(&'static str, String)> = None;
    let mut calls: Vec<(&str, &str)> = Vec::new();
    let behind = request
        .messages
        .iter()
        .skip_while(|message| is_instruction(message.role));
    for message in behind {
        let role = match message.role {
            Role::Assistant => "assistant",
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
        };
        let mut results = Vec::new();
        for part in &message.parts {
            if let Part::ToolResult(result) = part {
                let of_call = calls.iter().rposition(|(id, name)| {
                    *id == result.call_id || id.is_empty() && *name == result.call_id
                });
                let text: String = result.content.iter().filter_map(text).collect();
                results.push((of_call, text));
            }
        }
        results.sort();
        if !results.is_empty() {
            finish(&mut speaking, &mut said);
        }
        for (of_call, text) in results {
            said.push(serde_json::json!({"result of": of_call, "text": told(&text)}));
        }
        for text in texts(message) {
            match &mut speaking {
                Some((speaker, so_far)) if *speaker == role => so_far.push_str(text),
                _ => {
                    finish(&mut speaking, &mut said);
                    speaking = Some((role, text.to_owned()));
                }
            }
        }
        for part in &message.parts {
            if let Part::ToolCall(call) = part {
                finish(&mut speaking, &mut said);
                said.push(serde_json::json!({"call": call.name, "arguments": arguments(&call.arguments)}));
                calls.push((&call.id, &call.name));
            }
        }
    }
    finish(&mut speaking, &mut said);
    said
}

fn finish(speaking: &mut Option<(&'static str, String)>, said: &mut Vec<Value>) {
    if let Some((role, text)) = speaking.take().filter(|(_, text)| !text.is_empty()) {
        said.push(serde_json::json!({"role": role, "text": text}));
    }
}

/// What a tool told: some dialects hold JSON, others text.
fn told(text: &str) -> Value {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    parsed.filter(Value::is_object).unwrap_or_else(|| text.into())
}

/// All media of the conversation, in order.
fn media(request: &Request) -> Vec<Value> {
    fn of(part: &Part, found: &mut Vec<Value>) {
        match part {
            Part::Media(media) => found.push(match &media.source {
                MediaSource::Base64 { data, .. } => data.as_str().into(),
                MediaSource::Url(address) => match address.split_once(";base64,") {
                    Some((_, data)) => data.into(),
                    None => address.as_str().into(),
                },
                // The same document, as text.
                MediaSource::Text { data, .. } => STANDARD.encode(data).into(),
                other => format!("{other:?}").into(),
            }),
            Part::ToolResult(result) => result.content.iter().for_each(|part| of(part, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts.for_each(|part| of(part, &mut found));
    found
}
