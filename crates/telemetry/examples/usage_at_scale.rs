//! Fills a usage ledger with synthetic calls and measures how long questions take:
//!
//! ```sh
//! cargo run --release -p tollgate-telemetry --example usage_at_scale -- /tmp/usage.db 10000000
//! ```
//!
//! The calls are of thirty days, 200 consumers with three models each; a third argument says how many consumers there are. Prints a
//! line now and then, and a table at the end.
#![expect(clippy::print_stdout, reason = "it is a command")]

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tollgate_telemetry::Metrics;
use tollgate_telemetry::ledger::{Calls, Column, Keep, Ledger, Measure, Place, Reader, Row, Settings, Usage};

const DAYS: u64 = 30;
const DAY_MS: u64 = 24 * 3600 * 1000;
const MODELS: [&str; 8] = [
    "gpt-5",
    "gpt-5-mini",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "llama-3.3-70b",
    "mistral-large",
];
const PROVIDERS: [&str; 8] = [
    "openai",
    "openai",
    "anthropic",
    "anthropic",
    "gemini",
    "gemini",
    "vllm",
    "mistral",
];

/// How often a question is asked; the time in the middle counts.
const TIMES: usize = 9;

/// How many calls are written before the writer is waited for.
const CHUNK: u64 = 20_000;

const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: usage_at_scale FILE [CALLS]")?);
    let calls: u64 = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let consumers: u64 = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let place = Place::File(path.clone());
    let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;

    let began = Instant::now();
    fill(&place, calls, consumers, now_ms - DAYS * DAY_MS)?;
    let took = began.elapsed();
    let size = std::fs::metadata(&path)?.len();
    println!(
        "\n{calls} calls in {:.0} s ({:.0} a second), {:.2} GB ({} bytes a call), {} bytes written for a call\n",
        took.as_secs_f64(),
        calls as f64 / took.as_secs_f64(),
        size as f64 / 1e9,
        size / calls.max(1),
        bytes_written()? / calls.max(1)
    );
    ask(&Reader::new(place), now_ms)
}

/// What this process has given the system to write.
fn bytes_written() -> Result<u64, Box<dyn Error>> {
    let told = std::fs::read_to_string("/proc/self/io")?;
    let line = told.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.ok_or("the system does not tell what was written")?.parse()?)
}

fn fill(place: &Place, calls: u64, consumers: u64, first_ms: u64) -> Result<(), Box<dyn Error>> {
    let kept = Duration::from_secs(3650 * 24 * 3600);
    let settings = Settings {
        max_waiting_bytes: 256 * 1024 * 1024,
        keep: Keep {
            calls: kept,
            hours: kept,
            days: kept,
        },
        ..Settings::new(place.clone())
    };
    let ledger = Ledger::start(&settings, &Metrics::default())?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..calls {
        let time = first_ms + DAYS * DAY_MS * number / calls;
        append(&ledger, number, consumers, time, &mut random);
        if number % CHUNK == CHUNK - 1 && !ledger.flush(PATIENCE) {
            return Err("the calls are not written".into());
        }
        if number % 100_000 == 0 {
            print!("\r{number} calls");
            std::io::stdout().flush()?;
        }
    }
    if !ledger.flush_and_stop(PATIENCE) || ledger.dropped() > 0 {
        return Err("not all calls are written".into());
    }
    Ok(())
}

fn append(ledger: &Ledger, number: u64, consumers: u64, time_ms: u64, random: &mut Random) {
    let who = random.below(consumers);
    let which = usize::try_from((who + random.below(3)) % 8).unwrap_or(0);
    let (model, provider) = (
        MODELS.get(which).unwrap_or(&""),
        PROVIDERS.get(which).unwrap_or(&""),
    );
    let (input, output) = (100 + random.below(4000), 10 + random.below(800));
    let is_failed = random.below(100) == 0;
    // As the gateway's ids: the time, then something random.
    let id = format!("{time_ms:012x}{number:08x}{:012x}", random.below(1 << 48));
    let consumer = format!("team-{who:03}");
    let usage = format!(
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0}}}}"#,
        input + output
    );
    let attempts = format!(
        r#"[{{"instance":"{provider}","provider":"{provider}","model":"{model}","outcome":"ok","status":200,"started_ms":1,"ms":900,"usage":{{"input":{input},"output":{output}}},"cost_micro_usd":{output},"cost_state":"known"}}]"#
    );
    let mut row = Row::default();
    for (column, text) in [
        (Column::RequestId, id.as_str()),
        (Column::Operation, "chat"),
        (Column::RequestType, "ai_chat"),
        (Column::Consumer, &consumer),
        (Column::Credential, &consumer),
        (Column::Route, "models"),
        (Column::ClientDialect, "openai_chat"),
        (Column::ProviderDialect, "openai_chat"),
        (Column::ModelAsked, model),
        (Column::ModelServed, model),
        (Column::Provider, provider),
        (Column::Instance, provider),
        (Column::Usage, &usage),
        (Column::PricePack, "2026-11-01"),
        (Column::CostState, "known"),
        (Column::Outcome, if is_failed { "timeout" } else { "ok" }),
        (Column::Attempts, &attempts),
    ] {
        row.text(column, text);
    }
    for (column, value) in [
        (Column::Time, time_ms),
        (Column::InputTokens, input),
        (Column::OutputTokens, output),
        (Column::CostMicroUsd, output),
        (Column::Latency, 900),
        (Column::TimeToFirstToken, 300),
        (Column::Status, if is_failed { 504 } else { 200 }),
        (Column::RequestBytes, input * 4),
        (Column::ResponseBytes, output * 4),
    ] {
        row.number(column, value);
    }
    ledger.append(&row);
}

fn ask(reader: &Reader, now_ms: u64) -> Result<(), Box<dyn Error>> {
    let now = i64::try_from(now_ms / 1000)?;
    println!("| question | rows of the answer | calls in it | time |\n|---|---|---|---|");
    let questions: [(&str, &[(&str, &str)]); 8] = [
        ("`--by consumer,model --since 7d`", &[("since", "7d")]),
        (
            "`--by consumer --since 30d`",
            &[("by", "consumer"), ("since", "30d")],
        ),
        ("`--by model --since 30d`", &[("by", "model"), ("since", "30d")]),
        ("`--by day --since 30d`", &[("by", "day"), ("since", "30d")]),
        (
            "`--by day,model --since 30d`",
            &[("by", "day,model"), ("since", "30d")],
        ),
        (
            "`--by day --since 30d --consumer team-007`",
            &[("by", "day"), ("since", "30d"), ("consumer", "team-007")],
        ),
        ("`--by hour --since 24h`", &[("by", "hour"), ("since", "24h")]),
        ("`--by hour --since 7d`", &[("by", "hour"), ("since", "7d")]),
    ];
    for (name, parameters) in questions {
        let usage = Usage::of(parameters.iter().copied(), now)?;
        let report = reader.usage(&usage)?;
        let time = middle(|| reader.usage(&usage).map(drop))?;
        println!(
            "| {name} | {} | {} | {time:.1} ms |",
            report.rows.len(),
            report.totals.get(Measure::Calls)
        );
    }
    let lists: [(&str, &[(&str, &str)]); 2] = [
        ("`--calls --since 24h`", &[]),
        (
            "`--calls --since 24h --consumer team-007`",
            &[("consumer", "team-007")],
        ),
    ];
    let mut id = String::new();
    for (name, parameters) in lists {
        let calls = Calls::of(parameters.iter().copied(), now)?;
        let found = reader.calls(&calls)?;
        let time = middle(|| reader.calls(&calls).map(drop))?;
        println!("| {name} | {} | | {time:.1} ms |", found.len());
        if let Some(first) = found.first() {
            id = first.text(Column::RequestId).unwrap_or_default().to_owned();
        }
    }
    let time = middle(|| reader.call(&id, None).map(drop))?;
    println!("| one call by its id | 1 | | {time:.1} ms |");
    Ok(())
}

/// The time in the middle of several tries, in milliseconds.
fn middle<E>(mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let began = Instant::now();
        run()?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times.get(TIMES / 2).map_or(0.0, Duration::as_secs_f64) * 1000.0)
}

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
