//! `ai-proxy-multi`: who answers which call.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{BEDROCK, DEEPSEEK, HOSTS, KEYS, OPENAI, deepseek, documents, maths, node, openai, run, said};
use crate::apisix::vendors::{Vendors, is_signed, says, takes};
use crate::harness::{Dialect, answers};

const BEDROCK_WEST: &str = "bedrock-runtime.us-west-2.amazonaws.com";
const AZURE_EMBEDDINGS: &str = "ai-plugin-developer.openai.azure.com";

#[test]
fn two_regions_of_bedrock_answer_half_of_the_calls_each_with_their_own_signature() {
    let mut vendors = Vendors::new(&[BEDROCK, BEDROCK_WEST]);
    let [.., (_, key_id), (_, secret)] = KEYS;
    let mut peers = Vec::new();
    for (host, region, model) in [
        (
            BEDROCK,
            "us-east-1",
            "anthropic.claude-3-5-sonnet-20240620-v1%3A0",
        ),
        (
            BEDROCK_WEST,
            "us-west-2",
            "us.anthropic.claude-3-5-sonnet-20240620-v1%3A0",
        ),
    ] {
        let refusal = move |asked: &crate::harness::Asked| {
            let path = format!("/model/{model}/converse");
            takes(asked, &path, ("content-type", "application/json"))?;
            is_signed(asked, key_id, secret, region)?;
            let messages = json!([{"role": "user", "content": [{"text": "What is 1+1?"}]}]);
            says(
                asked,
                &json!({"messages": messages, "inferenceConfig": {"maxTokens": 256}}),
            )
        };
        let answer = move |_: &crate::harness::Asked| {
            json!({
                "output": {"message": {"role": "assistant", "content": [{"text": region}]}},
                "stopReason": "end_turn", "usage": {"inputTokens": 14, "outputTokens": 9, "totalTokens": 23},
            })
            .to_string()
        };
        peers.push(vendors.peer(host, refusal, answer));
    }
    let node = node(&vendors);
    let told = documents(&run("bedrock-instances", &node));
    let mut regions: Vec<&str> = told[1..]
        .iter()
        .filter_map(|answer| answer["output"]["message"]["content"][0]["text"].as_str())
        .collect();
    regions.sort_unstable();
    assert_eq!(regions, ["us-east-1", "us-west-2"]);
    node.stop();
}

#[test]
fn embedding_models_take_turns() {
    let mut vendors = Vendors::new(&[OPENAI, AZURE_EMBEDDINGS]);
    let wanted = json!({"input": "hello world", "model": "text-embedding-3-small"});
    let without_model = json!({"input": "hello world"});
    let vector = |number: f64| {
        let data = json!([{"object": "embedding", "index": 0, "embedding": [number]}]);
        json!({"object": "list", "data": data, "usage": {"prompt_tokens": 2, "total_tokens": 2}}).to_string()
    };
    let _openai = vendors.peer(
        OPENAI,
        move |asked| {
            takes(asked, "/v1/embeddings", ("authorization", "Bearer sk-openai"))?;
            says(asked, &wanted)
        },
        move |_| vector(0.25),
    );
    let _azure = vendors.peer(
        AZURE_EMBEDDINGS,
        move |asked| {
            takes(
                asked,
                "/openai/deployments/text-embedding-3-small/embeddings?api-version=2023-05-15",
                ("api-key", "az-key"),
            )?;
            // The path names it.
            says(asked, &without_model)
        },
        move |_| vector(0.75),
    );
    let node = node(&vendors);
    let printed = run("embedding-models", &node);
    let told = documents(&printed);
    let mut vectors: Vec<f64> = told[1..]
        .iter()
        .filter_map(|answer| answer["data"][0]["embedding"][0].as_f64())
        .collect();
    vectors.sort_by(f64::total_cmp);
    assert_eq!(vectors, [0.25, 0.75], "{printed}");
    node.stop();
}

#[test]
fn the_access_log_says_who_answered_and_what_it_took() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, |asked| says(asked, &maths("gpt-4")));
    let _deepseek = deepseek(&mut vendors, |asked| says(asked, &maths("deepseek-chat")));
    let node = node(&vendors);
    run("access-log", &node);
    let finished = node.stop();
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{lines:?}");
    for (host, path, model, share) in [
        (OPENAI, "/v1/chat/completions", "gpt-4", 8),
        (DEEPSEEK, "/chat/completions", "deepseek-chat", 2),
    ] {
        let of: Vec<&&str> = lines
            .iter()
            .filter(|line| line.contains(&format!("\"https://{host}{path}\"")))
            .collect();
        assert_eq!(of.len(), share, "{lines:?}");
        for line in of {
            assert!(line.contains("\"POST /anything HTTP/1.1\" 200 "), "{line}");
            assert!(line.contains("\"ai_chat\""), "{line}");
            assert!(
                line.ends_with(&format!("\"{model}\" \"{model}\" \"11\" \"7\"")),
                "{line}"
            );
        }
    }
}

#[test]
fn calls_with_the_same_header_stay_with_the_same_instance() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, |asked| says(asked, &maths("gpt-4")));
    let _deepseek = deepseek(&mut vendors, |asked| says(asked, &maths("deepseek-chat")));
    let node = node(&vendors);
    let printed = run("chash", &node);
    let answers = said(&printed);
    assert_eq!(answers.len(), 10, "{printed}");
    assert!(
        answers
            .chunks(2)
            .all(|of_one_user| of_one_user[0] == of_one_user[1]),
        "{answers:?}"
    );
    node.stop();
}

#[test]
fn another_instance_answers_for_one_that_refuses_or_fails() {
    let mut vendors = Vendors::new(&HOSTS);
    let calls = AtomicUsize::new(0);
    let first = vendors.moody(OPENAI, move |_| {
        let status = [429, 500][calls.fetch_add(1, Ordering::SeqCst) % 2];
        (status, json!({"error": {"message": "not now"}}).to_string())
    });
    let _second = vendors.moody(DEEPSEEK, |_| {
        (200, answers::whole(Dialect::OpenAi, "of DeepSeek"))
    });
    let node = node(&vendors);
    let printed = run("fallback", &node);
    assert_eq!(said(&printed), ["of DeepSeek", "of DeepSeek"]);
    first.asked();
    node.stop();
}
