//! The comparison: every call by itself, then all of them together.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client;
use super::gateway::Metrics;
use super::plan::{Call, Dialect, Plan, Used};
use super::vendor::Books;

/// What was used and what it cost, of all calls together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    attempts: u64,
    told: u64,
    /// Attempts that the vendor worked on without telling what that used, or not to the end.
    estimated: u64,
    prompt: u64,
    cached: u64,
    written: u64,
    output: u64,
    reasoning: u64,
    /// Of usage that the vendor told, in pico-dollars.
    pico: u128,
}

impl Sums {
    fn add(&mut self, dialect: Dialect, used: Used) {
        self.told += 1;
        self.prompt += used.prompt();
        self.cached += used.cached;
        self.written += used.written;
        self.output += used.output;
        self.reasoning += used.reasoning;
        self.pico += cost(dialect, used);
    }
}

/// What the access log tells of all calls together, estimates included.
#[derive(Debug, Default)]
pub struct Totals {
    calls: u64,
    outcomes: BTreeMap<String, u64>,
    statuses: BTreeMap<u64, u64>,
    used: Used,
    /// Each call's cost is rounded by itself.
    micro_usd: u128,
}

impl Totals {
    fn add(&mut self, used: Used) {
        self.used = Used {
            input: self.used.input + used.input,
            cached: self.used.cached + used.cached,
            written: self.used.written + used.written,
            output: self.used.output + used.output,
            reasoning: self.used.reasoning + used.reasoning,
        };
    }

    /// Calls that did not go well, by the access log.
    pub fn errors(&self) -> u64 {
        self.calls - self.outcomes.get("ok").copied().unwrap_or_default()
    }

    /// Compares with the answer of `tollgate usage`.
    pub fn compare_with_ledger(&self, ledger: &Value) {
        for (name, expected) in [
            ("calls", self.calls.into()),
            ("input_tokens", self.used.prompt().into()),
            ("cached_tokens", self.used.cached.into()),
            ("cache_write_5m_tokens", self.used.written.into()),
            ("output_tokens", self.used.output.into()),
            ("reasoning_tokens", self.used.reasoning.into()),
            ("cost_micro_usd", self.micro_usd),
        ] {
            let told = u128::from(whole(ledger, &format!("/totals/{name}")));
            assert_eq!(told, expected, "{name} of the ledger: {ledger}");
        }
        let rows = ledger.get("rows").and_then(Value::as_array);
        let outcomes: BTreeMap<String, u64> = rows
            .into_iter()
            .flatten()
            .filter_map(|row| Some((row.get("outcome")?.as_str()?.to_owned(), whole(row, "/calls"))))
            .collect();
        assert_eq!(outcomes, self.outcomes, "outcomes of the ledger");
    }

    /// Compares with what Prometheus is told.
    pub fn compare_with_metrics(&self, metrics: &Metrics) {
        let calls = metrics.sum("tollgate_calls_total", "");
        assert_eq!(calls, self.calls.to_string(), "calls of the metrics");
        for class in 2..6 {
            let of_class = self.statuses.iter().filter(|(status, _)| *status / 100 == class);
            let expected: u64 = of_class.map(|(_, calls)| calls).sum();
            let told = metrics.sum("tollgate_calls_total", &format!("status=\"{class}xx\""));
            assert_eq!(told, expected.to_string(), "{class}xx of the metrics");
        }
        for (kind, expected) in [
            ("input", self.used.input),
            ("cache_read", self.used.cached),
            ("cache_write", self.used.written),
            ("output", self.used.output - self.used.reasoning),
            ("reasoning", self.used.reasoning),
        ] {
            let told = metrics.sum("tollgate_tokens_total", &format!("kind=\"{kind}\""));
            assert_eq!(told, expected.to_string(), "{kind} of the metrics");
        }
        let cost = dollars(self.micro_usd * PICO_PER_MICRO);
        assert_eq!(
            metrics.sum("tollgate_cost_usd_total", ""),
            cost,
            "cost of the metrics"
        );
    }
}

const PICO_PER_MICRO: u128 = 1_000_000;

/// Compares what the clients, the vendor and the access log have counted.
pub fn compare(plan: Plan, seen: &[(usize, client::Seen)], books: &Books, lines: &[Value]) -> Totals {
    let mut by_call: BTreeMap<usize, &Value> = BTreeMap::new();
    for line in lines {
        let mark = line.get("user_agent").and_then(Value::as_str).unwrap_or_default();
        let number = Call::number_in(mark.as_bytes()).expect("every line is of a call");
        assert!(
            by_call.insert(number, line).is_none(),
            "call {number} was logged twice: {line}"
        );
    }
    assert_eq!(by_call.len(), seen.len(), "{plan:?}: every call is logged");
    let mut totals = Totals::default();
    let (mut by_vendor, mut by_log) = (Sums::default(), Sums::default());
    let mut statuses: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
    for (number, status) in seen {
        let call = plan.call(*number);
        let line = by_call.get(number).expect("is logged");
        let place = || format!("{plan:?}, {call:?}\n{:?}\n{line}", books.of(*number));
        let logged = whole(line, "/status");
        // Who leaves before the answer sees no status; the log tells it as 499.
        let status = status.map_or(499, u64::from);
        statuses.entry(status).or_default()[0] += 1;
        statuses.entry(logged).or_default()[1] += 1;
        assert_eq!(logged, status, "the status\n{}", place());
        totals.calls += 1;
        *totals.statuses.entry(logged).or_default() += 1;
        let outcome = line.get("outcome").and_then(Value::as_str).unwrap_or_default();
        *totals.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let vendor = books.of(*number);
        let attempts = line.get("attempts").and_then(Value::as_array);
        let attempts = attempts.map_or(&[][..], Vec::as_slice);
        by_vendor.attempts += vendor.len() as u64;
        by_log.attempts += attempts.len() as u64;
        assert_eq!(attempts.len(), vendor.len(), "attempts\n{}", place());
        let mut pico = 0;
        for (place_of, ((dialect, seen), attempt)) in vendor.iter().zip(attempts).enumerate() {
            let usage = match place_of + 1 == attempts.len() {
                true => line.get("usage"),
                false => attempt.get("usage"),
            };
            if let Some(usage) = usage {
                totals.add(of_log(*dialect, usage));
            }
            if let Some(used) = seen.told {
                by_vendor.add(*dialect, used);
            }
            match usage {
                Some(usage) if !is_estimated(usage) => {
                    let used = of_log(*dialect, usage);
                    by_log.add(*dialect, used);
                    pico += cost(*dialect, used);
                    assert_eq!(Some(used), seen.told, "usage\n{}", place());
                }
                Some(usage) => {
                    let used = of_log(*dialect, usage);
                    by_log.estimated += 1;
                    pico += cost(*dialect, used);
                    assert_eq!(seen.told, None, "an estimate of what was told\n{}", place());
                    if let Some(begun) = seen.begun {
                        let input = Used {
                            output: used.output,
                            ..begun
                        };
                        assert_eq!(used, input, "the input that was told\n{}", place());
                    }
                }
                None => assert_eq!(seen.told, None, "usage that nobody noted\n{}", place()),
            }
            // Of work whose usage is not told, it is estimated; of refusals it is nothing.
            if seen.works && seen.told.is_none() {
                by_vendor.estimated += 1;
            }
        }
        totals.micro_usd += (pico + PICO_PER_MICRO / 2) / PICO_PER_MICRO;
        let cost = line.get("cost_usd").map(Value::to_string);
        let expected = dollars(pico);
        assert_eq!(cost.as_deref().unwrap_or("0"), expected, "cost\n{}", place());
    }
    for (status, [seen, logged]) in &statuses {
        eprintln!("status {status}: {seen} seen by clients, {logged} logged");
        assert_eq!(seen, logged);
    }
    eprintln!("vendor {by_vendor:?}\nlog    {by_log:?}");
    assert_eq!(by_vendor, by_log, "{plan:?}");
    totals
}

/// Usage as a line tells it.
fn of_log(dialect: Dialect, usage: &Value) -> Used {
    let (cached, written) = (
        whole(usage, "/cached_tokens"),
        whole(usage, "/cache_write_tokens"),
    );
    let used = Used {
        input: whole(usage, "/prompt_tokens") - cached - written,
        cached,
        written,
        output: whole(usage, "/completion_tokens"),
        reasoning: whole(usage, "/reasoning_tokens"),
    };
    used.told_in(dialect)
}

fn is_estimated(usage: &Value) -> bool {
    usage.get("estimated").and_then(Value::as_bool) == Some(true)
}

fn whole(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// What the configuration says it costs, in pico-dollars.
fn cost(dialect: Dialect, used: Used) -> u128 {
    let output = used.output - used.reasoning;
    let parts = match dialect {
        Dialect::Messages => [
            (used.input, 3_000_000_u128),
            (used.cached, 300_000),
            (used.written, 3_750_000),
            (used.output, 15_000_000),
            (0, 0),
        ],
        _ => [
            (used.input, 1_250_000),
            (used.cached, 125_000),
            (used.written, 1_250_000),
            (output, 10_000_000),
            (used.reasoning, 12_000_000),
        ],
    };
    parts
        .iter()
        .map(|(tokens, rate)| u128::from(*tokens) * *rate)
        .sum()
}

/// Pico-dollars as the log writes dollars.
fn dollars(pico: u128) -> String {
    let text = format!("{}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
