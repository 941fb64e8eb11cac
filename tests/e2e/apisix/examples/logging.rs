//! The example that sends its calls to Kafka, read by a client that is not ours.

use serde_json::{Value, json};

use super::super::vendors::Vendors;
use super::{HOSTS, deepseek, documents, maths, node, openai, run_with_port, says};
use crate::harness::kafka::KafkaCluster;

#[test]
fn each_call_is_a_message_in_kafka_with_what_was_said_and_used() {
    let cluster = KafkaCluster::start(1);
    let (_, port) = cluster.brokers[0];
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, |asked| says(asked, &maths("gpt-4")));
    let _deepseek = deepseek(&mut vendors, |asked| says(asked, &maths("deepseek-chat")));
    let node = node(&vendors);
    let told = documents(&run_with_port("logging", &node, ("port", 9092), port));
    let answer = &told[1]["choices"][0]["message"]["content"];
    assert!(answer.is_string(), "{told:?}");
    // What waits is handed over before the end.
    node.stop();
    let messages = cluster.consume("test2");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].key.as_deref(), Some("key1"));
    let entry: Value = serde_json::from_str(&messages[0].value).expect("one JSON object");
    assert_eq!(entry["route_id"], "ai-proxy-multi-route");
    assert_eq!(entry["request"]["uri"], "/anything");
    assert_eq!(entry["response"]["status"], 200);
    assert_eq!(entry["llm_request"]["messages"], maths("")["messages"]);
    assert_eq!(entry["llm_request"]["stream"], false);
    assert_eq!(entry["llm_response_text"], json!({"content": answer}));
    let summary = &entry["llm_summary"];
    assert_eq!(summary["prompt_tokens"], 11);
    assert_eq!(summary["completion_tokens"], 7);
    assert!(["gpt-4", "deepseek-chat"].contains(&summary["model"].as_str().unwrap_or_default()));
    assert!(!messages[0].value.contains("sk-openai") && !messages[0].value.contains("sk-deepseek"));
}
