//! `ai-proxy-multi` that chooses by what the prompt is about.

use serde_json::{Value, json};

use super::{OPENAI, headers, node, run, said};
use crate::apisix::vendors::{Vendors, is, takes};
use crate::harness::{Dialect, answers};

/// A direction for each topic, and one for everything else.
fn vector(text: &str) -> [f64; 4] {
    let about = |words: &[&str]| f64::from(u8::from(words.iter().any(|word| text.contains(word))));
    let topics = [
        about(&["python", "code"]),
        about(&["translate"]),
        about(&["weather", "joke"]),
    ];
    let rest = 1.0 - topics.iter().sum::<f64>();
    [topics[0], topics[1], topics[2], rest]
}

#[test]
fn prompts_go_to_the_instance_whose_examples_they_are_most_alike() {
    let mut vendors = Vendors::new(&[OPENAI]);
    let _peer = vendors.peer(
        OPENAI,
        |asked| match asked.path.as_str() {
            "/v1/embeddings" => {
                takes(asked, "/v1/embeddings", ("authorization", "Bearer sk-vectors"))?;
                is("model", asked.json()["model"].as_str(), "text-embedding-3-small")
            }
            _ => takes(
                asked,
                "/v1/chat/completions",
                ("authorization", "Bearer sk-openai"),
            ),
        },
        |asked| {
            let body = asked.json();
            if asked.path != "/v1/embeddings" {
                return answers::whole(Dialect::OpenAi, body["model"].as_str().unwrap_or_default());
            }
            let texts = body["input"].as_array().cloned().unwrap_or_default();
            let data: Vec<Value> = texts
                .iter()
                .enumerate()
                .map(|(index, text)| {
                    json!({"index": index, "embedding": vector(text.as_str().unwrap_or_default())})
                })
                .collect();
            json!({"object": "list", "data": data}).to_string()
        },
    );
    let node = node(&vendors);
    let printed = run("semantic", &node);
    assert_eq!(said(&printed), ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini"]);
    assert_eq!(
        headers(&printed, "x-ai-semantic-picked-instance"),
        ["code", "translate", "fallback"],
    );
    node.stop();
}
