//! Every member of every recorded request: taken away, the translation must be another one, or the member must be told as a loss.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_dialects::{Dialect, Effect, Loss};

use crate::classify::{everything, translated as translate};
use crate::inventory;
use crate::path;
use crate::recordings::folder;
use crate::support::{recordings_of, root};
use crate::translated;

/// Members whose values are the caller's own: schemas, arguments, notes. They are looked at as a whole.
const WHOLE: [&str; 14] = [
    "parameters",
    "parametersJsonSchema",
    "input_schema",
    "inputSchema",
    "schema",
    "responseSchema",
    "responseJsonSchema",
    "json_schema",
    "args",
    "input",
    "response",
    "json",
    "metadata",
    "source",
];

/// Members that say how something is written, which the rest of it says too, or how things refer to each other.
const STRUCTURE: [&str; 5] = [".type", ".role", ".tool_call_id", "Response.id", "Response.name"];

/// Members that change nothing in some recordings, because of what stands beside them: who asks, the field, why.
const SAID_TWICE: &[(Dialect, &str, &str)] = &[
    (
        Dialect::OpenaiChat,
        "messages[].reasoning",
        "the same text stands in reasoning_content",
    ),
    (
        Dialect::OpenaiChat,
        "messages[].reasoning_details[].id",
        "nothing refers to it",
    ),
    (
        Dialect::OpenaiChat,
        "messages[].reasoning_details[].index",
        "the order says it",
    ),
    (
        Dialect::OpenaiChat,
        "messages[].tool_calls[].function.arguments",
        "none, as `{}`",
    ),
    (
        Dialect::OpenaiChat,
        "tools[].function.strict",
        "one switch for all tools, which another one sets",
    ),
    (
        Dialect::AnthropicMessages,
        "tools[].strict",
        "a call that is forced follows its schema anyway",
    ),
    (
        Dialect::AnthropicMessages,
        "output_config.effort",
        "thinking says the same",
    ),
    (Dialect::AnthropicMessages, "thinking", "the effort says the same"),
    (
        Dialect::OpenaiChat,
        "messages[].content[].document_name",
        "the name a file has anyway",
    ),
    (
        Dialect::OpenaiChat,
        "messages[].content[].file.filename",
        "the name a file has anyway",
    ),
    (
        Dialect::OpenaiResponses,
        "model",
        "the provider's own name of the model is sent",
    ),
    (
        Dialect::OpenaiResponses,
        "text.format.name",
        "a label without effect on the answer",
    ),
    (
        Dialect::OpenaiResponses,
        "text.format.strict",
        "the schema is always enforced",
    ),
    (
        Dialect::OpenaiResponses,
        "tools[].strict",
        "without it a tool is strict anyway",
    ),
    (
        Dialect::OpenaiResponses,
        "tools[].parameters",
        "a function without arguments",
    ),
    (
        Dialect::OpenaiResponses,
        "parallel_tool_calls",
        "several calls at once are possible anyway",
    ),
    (
        Dialect::OpenaiResponses,
        "tool_choice",
        "the model decides anyway",
    ),
    (Dialect::OpenaiResponses, "stream", "stands in the address"),
    (
        Dialect::BedrockConverse,
        "messages[].content[].document.format",
        "the source says that it is text",
    ),
    (
        Dialect::BedrockConverse,
        "additionalModelRequestFields.thinking",
        "the effort says the same",
    ),
    (
        Dialect::BedrockConverse,
        "additionalModelRequestFields.output_config.effort",
        "thinking says the same",
    ),
    (
        Dialect::BedrockConverse,
        "outputConfig.textFormat.structure.jsonSchema.name",
        "a label without effect on the answer",
    ),
    (Dialect::BedrockConverse, "serviceTier", "the only tier"),
    (Dialect::Gemini, "model", "stands in the address"),
    (
        Dialect::Gemini,
        "toolConfig.functionCallingConfig.allowedFunctionNames",
        "all tools are named",
    ),
    (
        Dialect::Gemini,
        "toolConfig.functionCallingConfig.mode",
        "the model decides anyway",
    ),
];

#[test]
fn no_member_of_a_recorded_request_is_lost_in_silence() {
    if root().is_none() {
        return;
    }
    let mut silent: BTreeMap<String, String> = BTreeMap::new();
    let mut looked_at = 0usize;
    for from in translated() {
        let say_nothing = inventory::entries(from);
        for recording in recordings_of(folder(from)) {
            let Some(request) = recording.request() else {
                continue;
            };
            let Ok(request) = serde_json::from_str::<Value>(&request) else {
                continue;
            };
            for member in members(&request) {
                let mut without = request.clone();
                remove(&mut without, &member);
                let plain = plain(&member, from);
                let value = value_at(&request, &member);
                let is_structure = STRUCTURE.iter().any(|name| plain.ends_with(name));
                let is_twice = SAID_TWICE
                    .iter()
                    .any(|(asks, field, _)| *asks == from && *field == plain);
                for to in translated().into_iter().filter(|to| *to != from) {
                    looked_at += 1;
                    let is_explained = say_nothing.iter().any(|entry| {
                        entry.plain() == plain && Some(&entry.value) == value && entry.silent(to).is_some()
                    });
                    if is_structure || is_twice || is_explained {
                        continue;
                    }
                    let (Ok(with), Ok(before)) = (
                        translate(&request, from, to, &everything()),
                        translate(&without, from, to, &everything()),
                    ) else {
                        continue;
                    };
                    // A call that is refused loses nothing in silence.
                    let is_refused = with.1.iter().any(|loss| loss.effect == Effect::Rejected);
                    if with == before && !is_refused && !is_told_within(&with.1, &plain) {
                        silent
                            .entry(format!("{from} to {to}: {plain}"))
                            .or_insert_with(|| {
                                format!("{}: {value:?}", recording.name)
                                    .chars()
                                    .take(160)
                                    .collect()
                            });
                    }
                }
            }
        }
    }
    assert!(looked_at > 10_000, "{looked_at}");
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Whether a member was lost with something that holds it.
fn is_told_within(losses: &[Loss], plain: &str) -> bool {
    let offered = [
        "tools that may be called",
        "the others are left out",
        "the tools are left out",
    ];
    losses.iter().any(|loss| {
        path::is_within(plain, &path::without_kinds(&loss.field))
            || plain.contains("tools[]") && offered.iter().any(|reason| loss.reason.contains(reason))
    })
}

/// One step to a member.
#[derive(Clone)]
enum Step {
    Member(String),
    Element(usize),
}

/// Where all members of a document stand that say something.
fn members(document: &Value) -> Vec<Vec<Step>> {
    fn walk(value: &Value, path: &[Step], found: &mut Vec<Vec<Step>>) {
        let below = |step: Step| [path, &[step]].concat();
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let path = below(Step::Member(name.clone()));
                    let is_whole = WHOLE.contains(&name.as_str());
                    if !is_blank(value) && (is_whole || !has_members(value)) {
                        found.push(path.clone());
                    }
                    if !is_whole {
                        walk(value, &path, found);
                    }
                }
            }
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    walk(value, &below(Step::Element(i)), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, &[], &mut found);
    found
}

/// Whether there is something inside that is looked at by itself.
fn has_members(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.keys().any(|name| name != "type"),
        Value::Array(list) => list.iter().any(Value::is_object),
        _ => false,
    }
}

/// Says nothing in every dialect.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

fn remove(document: &mut Value, path: &[Step]) {
    match path {
        [Step::Member(name)] => {
            if let Some(object) = document.as_object_mut() {
                object.remove(name);
            }
        }
        [Step::Member(name), rest @ ..] => {
            if let Some(inner) = document.get_mut(name) {
                remove(inner, rest);
            }
        }
        [Step::Element(i), rest @ ..] => {
            if let Some(inner) = document.get_mut(*i) {
                remove(inner, rest);
            }
        }
        [] => {}
    }
}

fn value_at<'v>(document: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(document, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(i) => value.get(*i),
    })
}

/// The path without numbers. Gemini's members may be written in either case.
fn plain(path: &[Step], from: Dialect) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Element(_) => text.push_str("[]"),
        }
    }
    if from == Dialect::Gemini {
        return camel_case(&text);
    }
    text
}

fn camel_case(text: &str) -> String {
    let mut out = String::new();
    let mut is_next = false;
    for c in text.chars() {
        if c == '_' {
            is_next = true;
        } else if std::mem::take(&mut is_next) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}
