//! `ai-rate-limiting`: who answers when a quota is used up.

use serde_json::json;

use super::{DEEPSEEK, HOSTS, OPENAI, deepseek, headers, node, openai, run, run_with, said, statuses};
use crate::apisix::node::CHAT;
use crate::apisix::vendors::Vendors;
use crate::harness::redis::RedisServer;
use crate::harness::{Asked, post};

#[expect(
    clippy::unnecessary_wraps,
    reason = "what peers ask of requests may be refused"
)]
fn any(_: &Asked) -> Result<(), String> {
    Ok(())
}

/// An answer like the manual's, which uses more tokens than the quotas have.
fn long_answer(model: &str) -> String {
    json!({
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": model}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 23, "completion_tokens": 256, "total_tokens": 279},
    })
    .to_string()
}

#[test]
fn calls_are_refused_when_the_quota_is_used_up() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, any);
    let node = node(&vendors);
    assert_eq!(said(&run("limit", &node)), ["of OpenAI"]);
    let chat = post("/anything", CHAT);
    // 11 tokens of prompts each: the twenty-eighth call uses up the 300.
    let statuses: Vec<u16> = (0..28).map(|_| node.send(&chat).status()).collect();
    assert_eq!(statuses[..27], [200; 27]);
    assert_eq!(statuses[27], 503);
    node.stop();
}

#[test]
fn gateways_share_a_quota_in_redis() {
    let redis = RedisServer::start(&[]);
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = vendors.peer(OPENAI, any, |_| long_answer("gpt-4-0613"));
    let nodes = [node(&vendors), node(&vendors)];
    for node in &nodes {
        let printed = run_with("shared-quota", node, redis.port);
        assert_eq!(statuses(&printed), ["200"], "{printed}");
    }
    // What the other one's call has used is counted beside it, so it may take a moment.
    let chat = post("/anything", CHAT);
    for node in &nodes {
        node.until(&chat, |response| response.status() == 503);
    }
    for node in nodes {
        node.stop();
    }
}

#[test]
fn the_preferred_instance_answers_until_its_quota_is_used_up() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, any);
    let _deepseek = deepseek(&mut vendors, any);
    let node = node(&vendors);
    assert_eq!(said(&run("priority", &node)), ["of OpenAI", "of DeepSeek"]);
    node.stop();
}

#[test]
fn each_consumer_s_quota_is_its_own() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, any);
    let _deepseek = deepseek(&mut vendors, any);
    let node = node(&vendors);
    let printed = run("consumer-limits", &node);
    assert_eq!(statuses(&printed), ["401"], "{printed}");
    // johndoe has used up OpenAI, then janedoe has used up DeepSeek.
    assert_eq!(
        said(&printed),
        ["of OpenAI", "of DeepSeek", "of DeepSeek", "of OpenAI"]
    );
    node.stop();
}

#[test]
fn the_other_instance_gets_all_calls_when_the_quota_of_one_is_used_up() {
    let mut vendors = Vendors::new(&[DEEPSEEK]);
    let _deepseek = deepseek(&mut vendors, any);
    let node = node(&vendors);
    let printed = run("limit-one-instance", &node);
    assert_eq!(statuses(&printed), ["200"; 10], "{printed}");
    let instances = headers(&printed, "x-tollgate-instance");
    let of = |name: &str| instances.iter().filter(|instance| **instance == name).count();
    // 18 tokens each: the sixth answer uses up the hundred.
    assert_eq!(
        (of("deepseek-instance-1"), of("deepseek-instance-2")),
        (6, 4),
        "{instances:?}"
    );
    assert_eq!(instances[8..], ["deepseek-instance-2", "deepseek-instance-2"]);
    node.stop();
}

#[test]
fn every_instance_has_the_same_quota_and_calls_are_refused_when_all_are_used_up() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = vendors.peer(OPENAI, any, |_| long_answer("gpt-4-0613"));
    let _deepseek = vendors.peer(DEEPSEEK, any, |_| long_answer("deepseek-chat"));
    let node = node(&vendors);
    let printed = run("same-quota", &node);
    assert_eq!(statuses(&printed), ["200", "200", "429"], "{printed}");
    let mut models = said(&printed);
    models.sort_unstable();
    assert_eq!(models, ["deepseek-chat", "gpt-4-0613"]);
    for instance in ["openai-instance", "deepseek-instance"] {
        let limits = headers(&printed, &format!("x-ai-ratelimit-limit-{instance}"));
        assert!(
            limits.iter().all(|limit| *limit == "100") && !limits.is_empty(),
            "{printed}"
        );
    }
    let remaining = |instance: &str| headers(&printed, &format!("x-ai-ratelimit-remaining-{instance}"));
    let last = [remaining("openai-instance"), remaining("deepseek-instance")];
    assert!(last.iter().any(|all| all.last() == Some(&"0")), "{printed}");
    node.stop();
}

#[test]
fn requests_say_which_quota_they_count_for() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, any);
    let _deepseek = deepseek(&mut vendors, any);
    let node = node(&vendors);
    let printed = run("limit-rules", &node);
    assert_eq!(
        statuses(&printed),
        ["200", "200", "429", "200", "200", "200", "429"],
        "{printed}"
    );
    assert_eq!(headers(&printed, "x-ai-1-ratelimit-limit"), ["500", "10", "10"]);
    assert_eq!(headers(&printed, "x-ai-1-ratelimit-remaining").last(), Some(&"0"));
    assert_eq!(headers(&printed, "x-ai-2-ratelimit-limit"), ["50"; 4]);
    assert_eq!(headers(&printed, "x-ai-2-ratelimit-remaining").last(), Some(&"0"));
    node.stop();
}
