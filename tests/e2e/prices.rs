//! What calls cost: answers that vendors really gave, priced by the built-in list; models without a price; other prices for
//! past calls.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::harness::answers::{END_OF_CHUNKS, chunk, json_answer, stream_head};
use crate::harness::{Asked, Dialect, Gateway, Next, Setup, Upstream, post, repository_file, run};

/// A recorded answer, whose model, whose price counts, and what it costs in micro-dollars.
struct Recorded {
    folder: &'static str,
    file: &'static str,
    dialect: Dialect,
    model: &'static str,
    same_as: Option<&'static str>,
    cost_micro_usd: i64,
}

/// Costs are computed by hand from the tokens of each recording and the vendor's published dollars per million tokens.
/// xAI tells what it bills (`cost_in_usd_ticks`): 1176500 and 1330500, of which a micro-dollar has 10000.
#[rustfmt::skip]
const RECORDED: [Recorded; 9] = [
    // 207 x 0.15 + 46 x 0.60 = 58.65
    Recorded { folder: "openai/openai-chat/test-tool-calls-0-8150e5", file: "response.json", dialect: Dialect::OpenAi, model: "gpt-4o-mini-2024-07-18", same_as: Some("openai/gpt-4o-mini-2024-07-18"), cost_micro_usd: 59 },
    // 21 x 0.05 + 280 x 0.40 = 113.05; 256 of the 280 are reasoning
    Recorded { folder: "openai/openai-chat/chat-json-mode-0-e5348a", file: "response.json", dialect: Dialect::OpenAi, model: "gpt-5-nano-2025-08-07", same_as: Some("openai/gpt-5-nano-2025-08-07"), cost_micro_usd: 113 },
    // 90 x 0.40 + 42 x 1.60 = 103.2
    Recorded { folder: "openai/openai-chat/chat-tool-lifecycle-matrix-streaming-gpt41-parallel-agent-0-6dc8b8", file: "response.sse", dialect: Dialect::OpenAi, model: "gpt-4.1-mini-2025-04-14", same_as: Some("openai/gpt-4.1-mini-2025-04-14"), cost_micro_usd: 103 },
    // 49 x 2.50 + 12 x 10 = 242.5
    Recorded { folder: "openai/openai-chat/refusal-matrix-chat-streaming-agent-surfaces-refusal-0-bd6455", file: "response.sse", dialect: Dialect::OpenAi, model: "gpt-4o-2024-08-06", same_as: Some("openai/gpt-4o-2024-08-06"), cost_micro_usd: 243 },
    // 10 x 0.30 + 2 cached x 0.075 + (1 + 228 reasoning beside it) x 0.50 = 117.65
    Recorded { folder: "xai/openai-chat/xai-text-0-53e710", file: "response.json", dialect: Dialect::OpenAi, model: "grok-3-mini", same_as: Some("xai/grok-3-mini"), cost_micro_usd: 118 },
    // 1 x 0.30 + 290 cached x 0.075 + (26 + 196) x 0.50 = 133.05
    Recorded { folder: "xai/openai-chat/xai-tool-call-0-56f43a", file: "response.chunks.jsonl", dialect: Dialect::OpenAi, model: "grok-3-mini-streamed", same_as: Some("xai/grok-3-mini"), cost_micro_usd: 133 },
    // 260 x 0.075 + 100 x 0.30 = 49.5
    Recorded { folder: "groq/openai-chat/agent-tool-sessions-json-schema-structured-output-roundtrip-0-e1eb14", file: "response.json", dialect: Dialect::OpenAi, model: "openai/gpt-oss-20b", same_as: Some("groq/openai/gpt-oss-20b"), cost_micro_usd: 50 },
    // 11 x 3 + 2055 read from the cache x 0.30 + 100 x 15 = 2149.5
    Recorded { folder: "anthropic/anthropic-messages/anthropic-completion-cache-read-0-d10983", file: "response.json", dialect: Dialect::Anthropic, model: "claude-sonnet-4-20250514", same_as: None, cost_micro_usd: 2150 },
    // 773 x 5 + 1835 x 25 = 49740
    Recorded { folder: "anthropic/anthropic-messages/opus-4-7-messages-adaptive-thinking-streaming-smoke-1-123eac", file: "response.sse", dialect: Dialect::Anthropic, model: "claude-opus-4-7", same_as: None, cost_micro_usd: 49_740 },
];

impl Recorded {
    fn is_streamed(&self) -> bool {
        self.file != "response.json"
    }

    /// The answer as the vendor sent it.
    fn answer(&self) -> Vec<u8> {
        let file = repository_file(&format!("tests/recordings/{}/{}", self.folder, self.file));
        let text = fs::read_to_string(file).expect("a recording");
        let body = match self.file {
            "response.json" => return json_answer(200, &text),
            "response.chunks.jsonl" => text.lines().map(|line| format!("data: {line}\n\n")).collect(),
            _ => text,
        };
        [stream_head().as_bytes(), &chunk(body), END_OF_CHUNKS].concat()
    }
}

fn recordings() -> Upstream {
    Upstream::start(|asked: &Asked, peer| {
        let model = asked.json()["model"].clone();
        let recorded = RECORDED.iter().find(|recorded| model == recorded.model);
        peer.send(&recorded.expect("a model").answer());
        Next::Keep
    })
}

fn start(config: &str, directory: &TempDir) -> Gateway {
    Setup::new(config)
        .argument("--data-dir", text(directory.path()))
        .start()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The calls of a ledger.
fn calls(directory: &TempDir) -> Vec<Value> {
    let finished = run(
        &["usage", "--data-dir", text(directory.path()), "--calls", "--json"],
        &[],
    );
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let lines = finished.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn of_model<'a>(calls: &'a [Value], model: &'a str) -> impl Iterator<Item = &'a Value> {
    calls.iter().filter(move |call| call["model_asked"] == model)
}

#[test]
fn recorded_answers_cost_what_their_vendors_bill_whatever_the_client_speaks() {
    let upstream = recordings();
    let directory = tempdir().expect("a directory");
    let mut config = format!(
        "providers:\n{}{}models:\n",
        Dialect::OpenAi.provider("vendor", &upstream),
        Dialect::Anthropic.provider("anthropic", &upstream)
    );
    let mut prices = String::new();
    for recorded in &RECORDED {
        let provider = match recorded.dialect {
            Dialect::OpenAi => "vendor",
            Dialect::Anthropic => "anthropic",
        };
        config += &format!("  {:?}: {{provider: {provider}}}\n", recorded.model);
        if let Some(same_as) = recorded.same_as {
            prices += &format!("    {:?}: {{same_as: {same_as:?}}}\n", recorded.model);
        }
    }
    let gateway = start(&format!("{config}prices:\n  models:\n{prices}"), &directory);
    for recorded in &RECORDED {
        for client in Dialect::BOTH {
            let call = post(
                client.path(),
                client.request(recorded.model, recorded.is_streamed()),
            );
            assert_eq!(
                gateway.send(&call).status(),
                200,
                "{} for {client:?}",
                recorded.folder
            );
        }
    }
    gateway.stop();

    let calls = calls(&directory);
    assert_eq!(calls.len(), 2 * RECORDED.len());
    for recorded in &RECORDED {
        for call in of_model(&calls, recorded.model) {
            assert_eq!(
                call["cost_micro_usd"], recorded.cost_micro_usd,
                "{}: {call}",
                recorded.folder
            );
            assert_eq!(call["cost_state"], "known", "{}: {call}", recorded.folder);
            let told = match recorded.dialect {
                Dialect::OpenAi => "prompt_tokens",
                Dialect::Anthropic => "input_tokens",
            };
            assert!(
                call["usage"][told].is_u64(),
                "the vendor's own words: {}: {call}",
                recorded.folder
            );
        }
    }
}

#[test]
fn a_model_without_a_price_is_refused_where_that_is_wanted_and_nothing_is_sent() {
    let upstream = Upstream::good("Hello");
    let directory = tempdir().expect("a directory");
    let gateway = start(
        &format!(
            "providers:\n{}models:\n  priced: {{provider: vendor}}\n  new: {{provider: vendor}}\n\
             prices:\n  unknown: refuse\n  models:\n    priced: {{input: 1, output: 2}}\n",
            Dialect::OpenAi.provider("vendor", &upstream)
        ),
        &directory,
    );
    for client in Dialect::BOTH {
        let refused = gateway.send(&post(client.path(), client.request("new", false)));
        assert_eq!(refused.status(), 403, "{}", refused.text());
        let message = client.error_message(&refused.body);
        assert!(
            message.contains("`new` has no known price") && message.contains("prices.models"),
            "{message}"
        );
        upstream.was_not_asked();
    }
    let served = gateway.send(&post(
        "/v1/chat/completions",
        Dialect::OpenAi.request("priced", false),
    ));
    assert_eq!(served.status(), 200);
    gateway.stop();
    let calls = calls(&directory);
    assert_eq!(of_model(&calls, "new").count(), 2);
    assert!(
        of_model(&calls, "new").all(|call| call["status"] == 403 && call["outcome"] == "refused"),
        "{calls:?}"
    );
    assert!(
        of_model(&calls, "priced").all(|call| call["cost_state"] == "known"),
        "{calls:?}"
    );
}

const SEARCHED: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"Found."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1000,"output_tokens":100,"server_tool_use":{"web_search_requests":3}}}"#;

#[test]
fn past_calls_are_priced_anew_with_everything_that_was_used() {
    let chats = Upstream::saying(json_answer(
        200,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"late","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2000,"completion_tokens":500,"total_tokens":2500,"prompt_tokens_details":{"cached_tokens":1500}}}"#,
    ));
    let searches = Upstream::saying(json_answer(200, SEARCHED));
    let directory = tempdir().expect("a directory");
    let config = |prices: &str| {
        format!(
            "providers:\n{}{}models:\n  late: {{provider: vendor}}\n  claude-sonnet-4-5: {{provider: anthropic}}\n{prices}",
            Dialect::OpenAi.provider("vendor", &chats),
            Dialect::Anthropic.provider("anthropic", &searches)
        )
    };
    let gateway = start(&config(""), &directory);
    for client in Dialect::BOTH {
        for model in ["late", "claude-sonnet-4-5"] {
            let answer = gateway.send(&post(client.path(), client.request(model, false)));
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    }
    gateway.stop();
    let costs = |model: &str| {
        let calls = calls(&directory);
        let costs = of_model(&calls, model).map(|call| json!([call["cost_micro_usd"], call["cost_state"]]));
        costs.collect::<Vec<Value>>()
    };
    assert_eq!(costs("late"), vec![json!([null, "unknown"]); 2]);
    // 1000 x 3 + 100 x 15 + 3 searches of a cent.
    assert_eq!(costs("claude-sonnet-4-5"), vec![json!([34_500, "known"]); 2]);

    let files = tempdir().expect("a directory");
    let priced = files.path().join("priced.yaml");
    let prices = "prices:\n  models:\n    late: {input: 3, output: 7, cache_read: 0.5}\n";
    fs::write(&priced, config(prices)).expect("a file");
    let reprice = |more: &[&str]| {
        let folder = text(directory.path());
        let arguments = [
            "reprice",
            "--config",
            text(&priced),
            "--data-dir",
            folder,
            "--from",
            "1h",
        ];
        let finished = run(&[&arguments, more].concat(), &[]);
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        finished.stdout
    };
    let tried = reprice(&["--dry-run"]);
    assert!(tried.contains("late: 2 calls, 0"), "{tried}");
    assert!(tried.contains("would change"), "{tried}");
    assert_eq!(
        costs("late"),
        vec![json!([null, "unknown"]); 2],
        "trying changes nothing"
    );
    // 500 x 3 + 1500 x 0.5 + 500 x 7 = 5750, twice.
    let done = reprice(&[]);
    assert!(done.contains("without a known price: 2 -> 0"), "{done}");
    assert_eq!(costs("late"), vec![json!([5750, "known"]); 2]);
    assert_eq!(
        costs("claude-sonnet-4-5"),
        vec![json!([34_500, "known"]); 2],
        "searches are still billed"
    );
    let sums = run(
        &[
            "usage",
            "--data-dir",
            text(directory.path()),
            "--by",
            "day",
            "--json",
        ],
        &[],
    );
    let sums: Value = serde_json::from_str(&sums.stdout).expect("JSON");
    assert_eq!(sums["totals"]["cost_micro_usd"], 2 * (5750 + 34_500), "{sums}");
    assert_eq!(sums["totals"]["unpriced_calls"], 0, "{sums}");
    // The same prices change nothing more.
    let again = reprice(&[]);
    assert!(again.contains("0 of 4 calls"), "{again}");
}
