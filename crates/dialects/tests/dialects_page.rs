//! `docs/dialects.md` and `docs/dialects/gemini.md` say what the code does: what they count and which words they name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Dialect, Losses};

const PAGE: &str = "../../docs/dialects.md";
const GEMINI_PAGE: &str = "../../docs/dialects/gemini.md";

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

fn answered(answer: &Value, provider: Dialect, client: Dialect) -> Value {
    let response = codec::decode_response(provider, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_response(client, &response, &AnswerStyle::default(), &mut losses);
    serde_json::from_slice(&body).unwrap()
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
