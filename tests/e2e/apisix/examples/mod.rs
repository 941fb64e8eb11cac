//! The scripts of `examples/apisix`, line by line as they are, against peers that look as closely as the vendors do.

mod health;
mod instances;
mod limits;
mod logging;
mod semantic;

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::vendors::{Vendors, is, is_signed, says, takes};
use super::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{Asked, Dialect, Upstream, answers, example};

const OPENAI: &str = "api.openai.com";
const DEEPSEEK: &str = "api.deepseek.com";
const ANTHROPIC: &str = "api.anthropic.com";
const AZURE: &str = "api7-auzre-openai.openai.azure.com";
const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const HOSTS: [&str; 5] = [OPENAI, DEEPSEEK, ANTHROPIC, AZURE, BEDROCK];

/// The keys of the scripts.
const KEYS: [(&str, &str); 8] = [
    ("OPENAI_API_KEY", "sk-openai"),
    ("DEEPSEEK_API_KEY", "sk-deepseek"),
    ("AZ_OPENAI_API_KEY", "az-key"),
    ("ANTHROPIC_API_KEY", "sk-ant"),
    ("YOUR_LLM_API_KEY", "sk-openai"),
    ("YOUR_EMBEDDING_API_KEY", "sk-vectors"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    ),
];

/// A node with the example's own configuration, on ports of its own.
fn node(vendors: &Vendors) -> Node {
    let config = fs::read_to_string(example("apisix/config.yaml")).expect("the example's file");
    let config = config
        .replace("key: ''", &format!("key: {ADMIN_KEY}"))
        .replace("port: 9180", "port: 0");
    vendors.known_to(NodeSetup::with_config(&config)).start()
}

/// Runs a script against a node, and gives what it prints. The script is changed in nothing but the two ports.
#[track_caller]
fn run(script: &str, node: &Node) -> String {
    run_with_port(script, node, ("redis_port", 6379), 6379)
}

/// The same, with the port of a Redis server.
#[track_caller]
fn run_with(script: &str, node: &Node, redis: u16) -> String {
    run_with_port(script, node, ("redis_port", 6379), redis)
}

/// The same, with another port of a server that the script names by this field.
#[track_caller]
fn run_with_port(script: &str, node: &Node, (field, written): (&str, u16), port: u16) -> String {
    let text = fs::read_to_string(example(&format!("apisix/{script}.sh"))).expect("a script");
    let text = text
        .replace(
            &format!("\"{field}\": {written}"),
            &format!("\"{field}\": {port}"),
        )
        .replace("127.0.0.1:9180", &node.admin().to_string())
        .replace("127.0.0.1:9080", &node.calls.to_string());
    let output = Command::new("bash")
        .args(["-c", &text])
        .env("admin_key", ADMIN_KEY)
        .envs(KEYS)
        .output()
        .expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(!printed.contains("refused"), "{printed}");
    printed
}

/// What a script prints, as the JSON documents in it.
#[track_caller]
fn documents(printed: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(printed)
        .into_iter::<Value>()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// The texts of the answers that a script prints, in order.
fn said(printed: &str) -> Vec<&str> {
    printed
        .split(r#""content":""#)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// The statuses of the answers that a script prints, in order.
fn statuses(printed: &str) -> Vec<&str> {
    printed
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3))
        .collect()
}

/// The values of a header of the answers that a script prints, in order.
fn headers<'a>(printed: &'a str, name: &str) -> Vec<&'a str> {
    printed
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

fn maths(model: &str) -> Value {
    json!({
        "messages": [
            {"role": "system", "content": "You are a mathematician"},
            {"role": "user", "content": "What is 1+1?"},
        ],
        "model": model,
    })
}

fn chat(text: &'static str) -> impl Fn(&Asked) -> String {
    move |_| answers::whole(Dialect::OpenAi, text)
}

fn openai(
    vendors: &mut Vendors,
    body: impl Fn(&Asked) -> Result<(), String> + Send + Sync + 'static,
) -> Upstream {
    vendors.peer(
        OPENAI,
        move |asked| {
            takes(
                asked,
                "/v1/chat/completions",
                ("authorization", "Bearer sk-openai"),
            )?;
            body(asked)
        },
        chat("of OpenAI"),
    )
}

fn deepseek(
    vendors: &mut Vendors,
    body: impl Fn(&Asked) -> Result<(), String> + Send + Sync + 'static,
) -> Upstream {
    vendors.peer(
        DEEPSEEK,
        move |asked| {
            takes(
                asked,
                "/chat/completions",
                ("authorization", "Bearer sk-deepseek"),
            )?;
            body(asked)
        },
        chat("of DeepSeek"),
    )
}

#[test]
fn openai_and_its_line_in_the_access_log() {
    let mut vendors = Vendors::new(&HOSTS);
    let peer = openai(&mut vendors, |asked| says(asked, &maths("gpt-4")));
    let node = node(&vendors);
    let told = documents(&run("openai", &node));
    assert_eq!(told[0]["key"], "/apisix/routes/ai-proxy-route");
    assert_eq!(told[1]["choices"][0]["message"]["content"], "of OpenAI");
    peer.asked();
    let line = node.process.stdout.next();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let request = format!("] {OPENAI} \"POST /anything HTTP/1.1\" 200 ");
    assert!(line.contains(&request), "{line}");
    assert!(
        line.contains(&format!("\"https://{OPENAI}/v1/chat/completions\"")),
        "{line}"
    );
    let fields: Vec<&str> = line.rsplit('"').skip(1).step_by(2).take(6).collect();
    assert_eq!(fields[..4], ["7", "11", "gpt-4", "gpt-4"], "{line}");
    assert!(
        fields[4].parse::<u64>().is_ok(),
        "milliseconds to the first token: {line}"
    );
    assert_eq!(fields[5], "ai_chat", "{line}");
    node.stop();
}

#[test]
fn deepseek_is_known_by_name() {
    let mut vendors = Vendors::new(&HOSTS);
    let _peer = deepseek(&mut vendors, |asked| {
        is("model", asked.json()["model"].as_str(), "deepseek-chat")
    });
    let node = node(&vendors);
    let told = documents(&run("deepseek", &node));
    assert_eq!(told[1]["choices"][0]["message"]["content"], "of DeepSeek");
    node.stop();
}

#[test]
fn azure_gets_its_own_header_path_and_query_and_all_that_the_client_says() {
    let mut vendors = Vendors::new(&HOSTS);
    let _peer = vendors.peer(
        AZURE,
        |asked| {
            takes(
                asked,
                "/openai/deployments/gpt-4/chat/completions?api-version=2024-02-15-preview",
                ("api-key", "az-key"),
            )?;
            let mut body = json!({
                "max_tokens": 800, "temperature": 0.7, "frequency_penalty": 0, "presence_penalty": 0, "top_p": 0.95,
                "stop": null, "model": "gpt-4",
            });
            body["messages"] = asked.json()["messages"].clone();
            is("messages", Some(&body["messages"].as_array().map_or(0, Vec::len).to_string()), "2")?;
            says(asked, &body)
        },
        chat("of Azure"),
    );
    let node = node(&vendors);
    let told = documents(&run("azure-openai", &node));
    assert_eq!(told[1]["choices"][0]["message"]["content"], "of Azure");
    node.stop();
}

#[test]
fn embeddings() {
    let mut vendors = Vendors::new(&HOSTS);
    let _peer = vendors.peer(
        OPENAI,
        |asked| {
            takes(asked, "/v1/embeddings", ("authorization", "Bearer sk-openai"))?;
            let model = "text-embedding-3-small";
            says(asked, &json!({"input": "hello world", "model": model, "encoding_format": "float"}))
        },
        |_| {
            json!({
                "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 2, "total_tokens": 2},
                "data": [{"object": "embedding", "index": 0, "embedding": [-0.0067144386, -0.039197803]}],
            })
            .to_string()
        },
    );
    let node = node(&vendors);
    let told = documents(&run("embeddings", &node));
    assert_eq!(
        told[1]["data"][0]["embedding"],
        json!([-0.0067144386, -0.039197803])
    );
    let line = node.process.stdout.next();
    assert!(
        line.ends_with(r#""text-embedding-3-small" "text-embedding-3-small" "2" "0""#),
        "{line}"
    );
    node.stop();
}

#[test]
fn anthropic_by_its_own_api_and_by_that_of_openai() {
    let mut vendors = Vendors::new(&HOSTS);
    let _peer = vendors.peer(
        ANTHROPIC,
        |asked| match asked.dialect() {
            Dialect::Anthropic => {
                takes(asked, "/v1/messages", ("x-api-key", "sk-ant"))?;
                is(
                    "anthropic-version",
                    asked.header("anthropic-version"),
                    "2023-06-01",
                )?;
                let messages = json!([{"role": "user", "content": "What is 1+1?"}]);
                let body = json!({
                    "max_tokens": 1024, "system": "You are a mathematician", "messages": messages,
                    "model": "claude-sonnet-4-5",
                });
                says(asked, &body)
            }
            Dialect::OpenAi => {
                takes(asked, "/v1/chat/completions", ("authorization", "Bearer sk-ant"))?;
                says(asked, &maths("claude-sonnet-4-5"))
            }
        },
        |asked| answers::whole(asked.dialect(), "of Anthropic"),
    );
    let node = node(&vendors);
    let told = documents(&run("anthropic", &node));
    assert_eq!(told[1]["content"][0]["text"], "of Anthropic");
    assert_eq!(told[3]["choices"][0]["message"]["content"], "of Anthropic");
    node.stop();
}

#[test]
fn bedrock_gets_signed_requests_and_never_the_key() {
    let mut vendors = Vendors::new(&HOSTS);
    let [.., (_, key_id), (_, secret)] = KEYS;
    let _peer = vendors.peer(
        BEDROCK,
        move |asked| {
            is("method", Some(&asked.method), "POST")?;
            is(
                "path",
                Some(&asked.path),
                "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse",
            )?;
            is_signed(asked, key_id, secret, "us-east-1")?;
            let messages = json!([{"role": "user", "content": [{"text": "What is 1+1?"}]}]);
            says(
                asked,
                &json!({"messages": messages, "inferenceConfig": {"maxTokens": 512}}),
            )
        },
        |_| {
            json!({
                "output": {"message": {"role": "assistant", "content": [{"text": "of Bedrock"}]}},
                "stopReason": "end_turn", "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
                "metrics": {"latencyMs": 5},
            })
            .to_string()
        },
    );
    let node = node(&vendors);
    let told = documents(&run("bedrock", &node));
    assert_eq!(told[1]["output"]["message"]["content"][0]["text"], "of Bedrock");
    assert!(
        node.process.stdout.next().ends_with(r#""11" "7""#),
        "the tokens are logged"
    );
    node.stop();
}

#[test]
fn the_model_of_the_body_decides_between_routes() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, |asked| {
        is("model", asked.json()["model"].as_str(), "gpt-4")
    });
    let _deepseek = deepseek(&mut vendors, |asked| {
        is("model", asked.json()["model"].as_str(), "deepseek-chat")
    });
    let node = node(&vendors);
    let told = documents(&run("by-model", &node));
    assert_eq!(told[2]["choices"][0]["message"]["content"], "of OpenAI");
    assert_eq!(told[3]["choices"][0]["message"]["content"], "of DeepSeek");
    node.stop();
}

#[test]
fn eight_calls_of_ten_go_to_one_and_two_to_the_other() {
    let mut vendors = Vendors::new(&HOSTS);
    let _openai = openai(&mut vendors, |asked| says(asked, &maths("gpt-4")));
    let _deepseek = deepseek(&mut vendors, |asked| says(asked, &maths("deepseek-chat")));
    let node = node(&vendors);
    let printed = run("load-balancing", &node);
    let answers = said(&printed);
    let of = |text: &str| answers.iter().filter(|answer| **answer == text).count();
    assert_eq!((of("of OpenAI"), of("of DeepSeek")), (8, 2));
    node.stop();
}

#[test]
fn each_instance_has_its_own_limit_of_tokens() {
    let mut vendors = Vendors::new(&HOSTS);
    let limited = |model: &str, limit: u64| {
        let mut body = maths(model);
        body["max_tokens"] = limit.into();
        body
    };
    let (of_openai, of_deepseek) = (limited("gpt-4", 50), limited("deepseek-chat", 100));
    let first = openai(&mut vendors, move |asked| says(asked, &of_openai));
    let second = deepseek(&mut vendors, move |asked| says(asked, &of_deepseek));
    let node = node(&vendors);
    run("max-tokens", &node);
    first.asked();
    second.asked();
    node.stop();
}

#[test]
fn only_consumers_with_a_key_get_through() {
    let mut vendors = Vendors::new(&HOSTS);
    let first = openai(&mut vendors, |asked| says(asked, &maths("gpt-4")));
    let second = deepseek(&mut vendors, |asked| says(asked, &maths("deepseek-chat")));
    let node = node(&vendors);
    let printed = run("consumers", &node);
    assert_eq!(statuses(&printed), ["401", "401", "200", "200"], "{printed}");
    assert!(
        printed.contains(r#""message":"Missing API key in request""#),
        "{printed}"
    );
    assert!(
        printed.contains(r#""message":"Invalid API key in request""#),
        "{printed}"
    );
    first.asked();
    second.asked();
    node.stop();
}
