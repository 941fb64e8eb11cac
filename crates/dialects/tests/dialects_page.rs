//! `docs/dialects.md` says what the code does: every row of its request tables is translated, and every member that the
//! code classifies has a row.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tollgate_dialects::canonical::Effort;
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Capabilities, Dialect, Losses, Target};

const PAGE: &str = "../../docs/dialects.md";
const GEMINI_PAGE: &str = "../../docs/dialects/gemini.md";

/// A table of fields: the page, its heading, who asks and who answers.
struct Table(&'static str, &'static str, Dialect, Dialect);

const TO_ANTHROPIC: Table = Table(
    PAGE,
    "## OpenAI request to Anthropic",
    Dialect::OpenaiChat,
    Dialect::AnthropicMessages,
);
const TO_OPENAI: Table = Table(
    PAGE,
    "## Anthropic request to OpenAI",
    Dialect::AnthropicMessages,
    Dialect::OpenaiChat,
);
const OPENAI_TO_GEMINI: Table = Table(
    GEMINI_PAGE,
    "## OpenAI request to Gemini",
    Dialect::OpenaiChat,
    Dialect::Gemini,
);
const ANTHROPIC_TO_GEMINI: Table = Table(
    GEMINI_PAGE,
    "## Anthropic request to Gemini",
    Dialect::AnthropicMessages,
    Dialect::Gemini,
);
const GEMINI_TO_OPENAI: Table = Table(
    GEMINI_PAGE,
    "## Gemini request to OpenAI",
    Dialect::Gemini,
    Dialect::OpenaiChat,
);
const GEMINI_TO_ANTHROPIC: Table = Table(
    GEMINI_PAGE,
    "## Gemini request to Anthropic",
    Dialect::Gemini,
    Dialect::AnthropicMessages,
);

#[test]
fn every_openai_field_becomes_what_the_page_says() {
    check_table(&TO_ANTHROPIC);
    check_table(&OPENAI_TO_GEMINI);
}

#[test]
fn every_anthropic_field_becomes_what_the_page_says() {
    check_table(&TO_OPENAI);
    check_table(&ANTHROPIC_TO_GEMINI);
}

#[test]
fn every_gemini_field_becomes_what_the_page_says() {
    check_table(&GEMINI_TO_OPENAI);
    check_table(&GEMINI_TO_ANTHROPIC);
}

#[test]
fn the_worked_examples_of_geminis_usage_are_what_the_code_counts() {
    let page = read(GEMINI_PAGE);
    let section = page.split("\n### Usage").nth(1).unwrap();
    let blocks: Vec<Value> = section
        .split("```json")
        .skip(1)
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect();
    let [gemini, as_openai, as_anthropic] = blocks.as_slice() else {
        panic!("three objects, found {}", blocks.len());
    };
    let answer = gemini_answer("STOP", gemini);
    let translated = answered(&answer, Dialect::Gemini, Dialect::OpenaiChat);
    assert_eq!(&translated["usage"], as_openai);
    let translated = answered(&answer, Dialect::Gemini, Dialect::AnthropicMessages);
    assert_eq!(&translated["usage"], as_anthropic);
}

#[test]
fn the_tables_of_geminis_stop_reasons_are_what_the_code_writes() {
    let page = read(GEMINI_PAGE);
    let section = page.split("\n### Stop reasons").nth(1).unwrap();
    let section = section.split("\n### ").next().unwrap();
    let mut checked = 0;
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| code(cell.trim(), line))
            .collect();
        match cells.as_slice() {
            [gemini, openai, anthropic] => {
                let answer = gemini_answer(gemini, &json!({}));
                let translated = answered(&answer, Dialect::Gemini, Dialect::OpenaiChat);
                assert_eq!(translated["choices"][0]["finish_reason"], *openai, "{line}");
                let translated = answered(&answer, Dialect::Gemini, Dialect::AnthropicMessages);
                assert_eq!(translated["stop_reason"], *anthropic, "{line}");
            }
            [openai, gemini] => {
                let message = json!({"role": "assistant", "content": "hi"});
                let answer = json!({"id": "1", "model": "m", "choices": [
                    {"index": 0, "message": message, "finish_reason": openai},
                ]});
                let translated = answered(&answer, Dialect::OpenaiChat, Dialect::Gemini);
                assert_eq!(translated["candidates"][0]["finishReason"], *gemini, "{line}");
            }
            _ => panic!("two or three cells: {line}"),
        }
        checked += 1;
    }
    assert!(checked > 10, "{checked} rows");
}

fn gemini_answer(finish: &str, usage: &Value) -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": finish}],
        "usageMetadata": usage, "modelVersion": "m", "responseId": "1"})
}

#[test]
fn the_worked_examples_of_usage_are_what_the_code_counts() {
    let page = page();
    let section = page.split("\n### Usage").nth(1).unwrap();
    let section = section.split("\n#").next().unwrap();
    let blocks: Vec<Value> = section
        .split("```json")
        .skip(1)
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect();
    let [openai, as_anthropic, anthropic, as_openai] = blocks.as_slice() else {
        panic!("two examples of two objects each, found {}", blocks.len());
    };
    let answer = json!({"id": "1", "model": "m", "usage": openai, "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"},
    ]});
    let translated = answered(&answer, Dialect::OpenaiChat, Dialect::AnthropicMessages);
    assert_eq!(&translated["usage"], as_anthropic);
    let answer = json!({"id": "1", "type": "message", "role": "assistant", "model": "m", "usage": anthropic,
        "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"});
    let translated = answered(&answer, Dialect::AnthropicMessages, Dialect::OpenaiChat);
    assert_eq!(&translated["usage"], as_openai);
}

#[test]
fn the_tables_of_stop_reasons_are_what_the_code_writes() {
    let page = page();
    let section = page.split("\n### Stop reasons").nth(1).unwrap();
    let section = section.split("\n#").next().unwrap();
    let mut direction = None;
    let mut checked = 0;
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [from, to] = cells.as_slice() else {
            panic!("two cells: {line}");
        };
        if !from.starts_with('`') {
            direction = Some(from.starts_with("Anthropic"));
            continue;
        }
        let from_anthropic = direction.unwrap();
        let (from, to) = (code(from, line), code(to, line));
        let written = if from_anthropic {
            let answer = json!({"id": "1", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "text", "text": "hi"}], "stop_reason": from});
            let answer = answered(&answer, Dialect::AnthropicMessages, Dialect::OpenaiChat);
            answer["choices"][0]["finish_reason"].clone()
        } else {
            let message = json!({"role": "assistant", "content": "hi"});
            let answer = json!({"id": "1", "model": "m", "choices": [
                {"index": 0, "message": message, "finish_reason": from},
            ]});
            answered(&answer, Dialect::OpenaiChat, Dialect::AnthropicMessages)["stop_reason"].clone()
        };
        assert_eq!(written, to, "{line}");
        checked += 1;
    }
    assert!(checked > 10, "{checked} rows");
}

/// One row of a request table.
#[derive(Debug)]
struct Row {
    /// The path of the field, `[]` for any element.
    field: String,
    becomes: Outcome,
    class: String,
    model: String,
    example: Map<String, Value>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// The path of the member that carries it.
    Member(String),
    /// The request is as if the field were not there.
    Nothing,
    /// There is no request.
    NoCall,
}

fn check_table(table: &Table) {
    let Table(_, heading, client, provider) = *table;
    let rows = rows(table);
    assert!(rows.len() > 50, "{} rows", rows.len());
    let mut wrong = String::new();
    for row in &rows {
        if let Err(problem) = check_row(row, client, provider) {
            let example = Value::from(row.example.clone());
            writeln!(wrong, "{} ({}, {example}): {problem}", row.field, row.class).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{heading}\n{wrong}");
}

fn check_row(row: &Row, client: Dialect, provider: Dialect) -> Result<(), String> {
    let capabilities = if row.model.is_empty() {
        everything()
    } else {
        Capabilities::of(&row.model)
    };
    let mut request = minimal(client);
    for (name, value) in &row.example {
        request[name] = value.clone();
    }
    let segments = segments(&row.field);
    if values(&request, &segments).is_empty() {
        return Err("the example does not hold the field".to_owned());
    }
    let (written, losses) = translated(&request, client, provider, &capabilities)?;

    let about: Vec<(String, &str)> = losses
        .iter()
        .map(|loss| (without_numbers(&loss.field), loss.effect.name()))
        .collect();
    match row.class.as_str() {
        "mapped" if !about.is_empty() => return Err(format!("lost: {about:?}")),
        "mapped" => {}
        class @ ("approximated" | "dropped" | "rejected") => {
            let all_of_class = about.iter().all(|(_, effect)| *effect == class);
            let told = about.iter().any(|(field, _)| is_within(field, &row.field));
            if !all_of_class || !told {
                return Err(format!("told: {about:?}"));
            }
        }
        other => return Err(format!("`{other}` is no class")),
    }
    if (row.class == "rejected") != (row.becomes == Outcome::NoCall) {
        return Err("a call is refused exactly if it is rejected".to_owned());
    }

    let mut without = request.clone();
    remove(&mut without, &segments);
    // Some fields are required, so there is no request without them to compare with.
    let before = translated(&without, client, provider, &capabilities).map(|(written, _)| written);
    match (&row.becomes, before) {
        (Outcome::NoCall, _) => Ok(()),
        (Outcome::Nothing, before) if before.as_ref() != Ok(&written) => Err(format!("becomes {written}")),
        (Outcome::Nothing, _) => Ok(()),
        (Outcome::Member(path), before) => {
            let path = self::segments(path);
            let found = values(&written, &path);
            if found.is_empty() {
                return Err(format!("becomes {written}"));
            }
            match before {
                Ok(before) if values(&before, &path) == found => {
                    Err(format!("changes nothing there: {written}"))
                }
                _ => Ok(()),
            }
        }
    }
}

/// A model that accepts all there is.
fn everything() -> Capabilities {
    let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    Capabilities {
        max_output_tokens: Some(64_000),
        efforts: Some(efforts.map(Effort::from_name).to_vec()),
        mid_conversation_system: true,
        ..Capabilities::default()
    }
}

fn minimal(client: Dialect) -> Value {
    let messages = json!([{"role": "user", "content": "hi"}]);
    match client {
        Dialect::OpenaiChat => json!({"model": "m", "messages": messages}),
        Dialect::AnthropicMessages => json!({"model": "m", "max_tokens": 1000, "messages": messages}),
        Dialect::Gemini => json!({"model": "m", "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        other => panic!("{other} has no table yet"),
    }
}

fn translated(
    request: &Value,
    client: Dialect,
    provider: Dialect,
    capabilities: &Capabilities,
) -> Result<(Value, Losses), String> {
    let request = codec::decode_request(client, &request.to_string()).map_err(|error| error.to_string())?;
    let target = Target {
        model: "the-model",
        capabilities,
        default_max_output_tokens: None,
    };
    let mut losses = Losses::new();
    let body = codec::encode_request(provider, &request, &target, &mut losses);
    Ok((serde_json::from_slice(&body).unwrap(), losses))
}

fn answered(answer: &Value, provider: Dialect, client: Dialect) -> Value {
    let response = codec::decode_response(provider, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_response(client, &response, &AnswerStyle::default(), &mut losses);
    serde_json::from_slice(&body).unwrap()
}

/// `a[].b` as `a`, `[]`, `b`.
fn segments(path: &str) -> Vec<&str> {
    path.split('.')
        .flat_map(|name| match name.strip_suffix("[]") {
            Some(name) => vec![name, "[]"],
            None => vec![name],
        })
        .collect()
}

fn values<'v>(document: &'v Value, path: &[&str]) -> Vec<&'v Value> {
    match path {
        [] => vec![document],
        ["[]", rest @ ..] => {
            let elements = document.as_array().into_iter().flatten();
            elements.flat_map(|element| values(element, rest)).collect()
        }
        [name, rest @ ..] => document
            .get(name)
            .map_or_else(Vec::new, |value| values(value, rest)),
    }
}

fn remove(document: &mut Value, path: &[&str]) {
    match path {
        [name] => {
            if let Some(object) = document.as_object_mut() {
                object.remove(*name);
            }
        }
        ["[]", rest @ ..] => {
            let elements = document.as_array_mut().into_iter().flatten();
            elements.for_each(|element| remove(element, rest));
        }
        [name, rest @ ..] => {
            if let Some(value) = document.get_mut(name) {
                remove(value, rest);
            }
        }
        [] => {}
    }
}

/// `a[0].b[12]` as `a[].b[]`.
fn without_numbers(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = c == '[' || inside && c != ']';
        if !(inside && c.is_ascii_digit()) {
            out.push(c);
        }
    }
    out
}

fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn rows(Table(page, heading, ..): &Table) -> Vec<Row> {
    let page = read(page);
    let section = page.split(heading).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut lines = section.lines().filter(|line| line.starts_with('|'));
    assert_eq!(
        lines.next(),
        Some("| field | becomes | class | model | example | note |")
    );
    lines.skip(1).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [field, becomes, class, model, example, _note] = cells.as_slice() else {
        panic!("six cells, none with a bar: {line}");
    };
    let becomes = match *becomes {
        "nothing" => Outcome::Nothing,
        "—" => Outcome::NoCall,
        member => Outcome::Member(code(member, line)),
    };
    Row {
        field: code(field, line),
        becomes,
        class: (*class).to_owned(),
        model: model.trim_matches('`').to_owned(),
        example: serde_json::from_str(&code(example, line)).unwrap_or_else(|error| panic!("{error}: {line}")),
    }
}

fn code(cell: &str, line: &str) -> String {
    cell.strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'))
        .unwrap_or_else(|| panic!("`{cell}` is no code: {line}"))
        .to_owned()
}

fn page() -> String {
    read(PAGE)
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
