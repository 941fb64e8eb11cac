//! What the steps of a small call cost that can be taken alone, in the order in which it takes them.
//!
//!     cargo bench -p tollgate-gateway --bench steps
#![expect(clippy::print_stdout, clippy::expect_used, reason = "prints figures")]

use std::env;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tollgate_dialects::{Dialect, passing, scan};
use tollgate_policy::KeyIndex;
use tollgate_policy::router::{HostPattern, Pattern, Rank, Router};
use tollgate_store::counters::{Act, Ask, Counters, Decision, Limit, Memory, Together, Windows};
use tollgate_telemetry::ledger::{Ledger, Place, Settings};
use tollgate_telemetry::metrics::{CallLabels, CallMetrics};
use tollgate_telemetry::{AccessLog, CallSink, Format, Metrics, Target, fixture};

/// Of which the middle one is shown.
const ROUNDS: usize = 11;

fn main() {
    println!("| step | time |\n|---|---|");
    head();
    route();
    identify();
    body();
    limits();
    answer();
    record();
}

fn head() {
    show("head of a request parsed, nine headers", 100_000, |_| {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(black_box(HEAD)).expect("it is a head");
        black_box(parsed.is_complete());
    });
}

fn route() {
    let mut router = Router::default();
    for index in 0..100 {
        let host = HostPattern::parse(&format!("api{}.example.com", index % 10)).expect("it is a host");
        let pattern =
            Pattern::parse(&format!("/tenants/{index}/v1/chat/completions")).expect("it is a pattern");
        let rank = Rank {
            priority: 0,
            sequence: index,
        };
        router.insert(Some(&host), &pattern, rank, Arc::new(index));
    }
    show("route found among 100", 100_000, |_| {
        let path = black_box("/tenants/42/v1/chat/completions");
        black_box(router.find("api2.example.com", path, |_| true).is_some());
    });
}

fn identify() {
    let mut keys = KeyIndex::new(&[7; 32]);
    for owner in 0..1_000 {
        keys.insert(&format!("sk-tollgate-client-key-{owner}"), owner);
    }
    show("key recognised among 1,000", 20_000, |_| {
        black_box(keys.owner(black_box("sk-tollgate-client-key-500")));
    });
}

fn body() {
    for (name, padding, rounds) in [("300 bytes", 100, 50_000), ("200 KiB", 200 * 1024, 200)] {
        let body = format!(
            r#"{{"model":"gpt-5","max_tokens":1000,"temperature":0.2,"messages":[{{"role":"system","content":"You are helpful."}},{{"role":"user","content":"{}"}}],"stream":false}}"#,
            "y".repeat(padding)
        );
        show(&format!("body of {name} scanned"), rounds, |_| {
            let members = scan::scan(black_box(body.as_bytes())).expect("it is JSON");
            black_box(members.has(body.as_bytes(), "model"));
        });
    }
}

fn limits() {
    let counters = Counters::in_memory(Arc::new(Memory::default()));
    let limit = Limit {
        amount: u64::from(u32::MAX),
        window_ms: 60_000,
        windows: Windows::Fixed,
    };
    let now = SystemTime::now();
    show("limit asked: reserved and settled", 50_000, |_| {
        let act = Act::Reserve {
            amount: 100,
            lease_ms: 60_000,
        };
        let key = "bench".into();
        let asks = vec![Ask { key, limit, act }];
        let Decision::Made(verdicts) = counters.decide(asks, Together::AllOrNone, now) else {
            return;
        };
        for verdict in verdicts {
            if let Some(reservation) = verdict.reservation {
                reservation.settle(black_box(1), now);
            }
        }
    });
}

fn answer() {
    let body = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1795221036,"model":"gpt-5-2025-08-07","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":21,"completion_tokens":100,"total_tokens":121,"prompt_tokens_details":{{"cached_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0}}}}}}"#,
        "x".repeat(400)
    );
    show("answer of 750 bytes noted: model and usage", 50_000, |_| {
        let noted = passing::note(Dialect::OpenaiChat, black_box(body.as_bytes()));
        black_box(noted.expect("it is a plain answer"));
    });
}

fn record() {
    let folder = env::temp_dir().join(format!("tollgate-steps-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room for a folder");
    let call = fixture::call();
    let default = Format::parse(tollgate_telemetry::DEFAULT).expect("it is a format");
    for (name, format) in [("default", default), ("JSON", Format::Json)] {
        let log = AccessLog::start(Target::File("/dev/null".into()), format).expect("it can be written");
        show(&format!("line of the access log, {name}"), 5_000, |_| {
            log.log(black_box(&call));
        });
    }
    let metrics = CallMetrics::new(Arc::default(), CallLabels::default());
    show("call counted in the metrics", 50_000, |_| {
        metrics.call(black_box(&call))
    });
    let settings = Settings::new(Place::File(folder.join("usage.db")));
    let ledger = Ledger::start(&settings, &Metrics::default()).expect("the file can be made");
    // No more than may wait, so that none is dropped, which would be quicker.
    show("row of the ledger, on the call's thread", 2_000, |_| {
        ledger.call(black_box(&call))
    });
    let is_whole = ledger.flush_and_stop(Duration::from_secs(60)) && ledger.dropped() == 0;
    assert!(is_whole, "rows of the ledger were dropped");
    fs::remove_dir_all(&folder).expect("the folder can be removed");
}

/// Prints how long one takes, of so many.
fn show(step: &str, times: u32, mut one: impl FnMut(u32)) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for number in 0..times {
                one(number);
            }
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(times)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("| {step} | {:.0} ns |", rounds[ROUNDS / 2]);
}

const HEAD: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.example.com\r\ncontent-type: application/json\r\n\
    user-agent: OpenAI/Python 2.8.0\r\naccept: application/json\r\naccept-encoding: gzip, deflate\r\nconnection: keep-alive\r\n\
    authorization: Bearer sk-tollgate-client-key-500\r\nx-stainless-lang: python\r\ncontent-length: 317\r\n\r\n";
