//! `GET /tollgate/v1/live`: what goes on now, one event a second.
//!
//! It is found from the numbers that are counted anyway, by whoever listens first in a second, for all that listen. While
//! nobody listens nothing is done. Numbers know no teams: who may see some teams only is told what the usage ledger has written of
//! their calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_telemetry::ledger::{Lately, Measure, millis_text, usd};
use tollgate_telemetry::metrics::{Key, Metrics};

use crate::events;

/// How often an event is sent.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// An event younger than this is sent to others too.
const FRESH: Duration = Duration::from_millis(500);

/// What was counted longer ago than this is nothing to compare with.
const STALE: Duration = Duration::from_secs(5);

/// Percentiles are those of so many beats: those of one second jump about.
const WINDOW: usize = 30;

/// Names of a list at most, those with most calls first.
const MOST_NAMES: usize = 20;

/// What was sent last, and what it is compared with.
#[derive(Default)]
pub(crate) struct Live(Mutex<State>);

#[derive(Default)]
struct State {
    /// What was counted at the last beats, the newest last.
    taken: VecDeque<Taken>,
    event: Option<(Instant, Bytes)>,
}

/// Whose calls are told.
#[derive(Clone, Copy)]
pub(crate) enum Of<'a> {
    /// Everybody's, from the numbers.
    All(&'a Metrics),
    /// Those of these teams. How many are under way, nobody counts by team.
    Teams(&'a Lately, &'a [String]),
}

/// What calls add up to.
#[derive(Clone, Copy, Default)]
struct Sums {
    calls: u64,
    errors: u64,
    input_tokens: u64,
    output_tokens: u64,
    micro_usd: u64,
}

/// Everything that was counted at a moment.
struct Taken {
    at: Instant,
    total: Sums,
    by: [BTreeMap<Box<str>, Sums>; 3],
    latency: Spread,
    first_token: Spread,
}

/// A distribution: upper bounds in microseconds, and how often something was within each, the last one without bound.
#[derive(Default)]
struct Spread {
    bounds: Vec<u64>,
    counts: Vec<u64>,
}

/// What lists are by: the member of the event, and the label's place in the families of calls and of cost, and of tokens.
const LISTS: [(&str, usize); 3] = [("by_model", 2), ("by_provider", 4), ("by_consumer", 1)];

impl Live {
    /// The event of this second; `None` while there is nothing to compare with.
    pub(crate) fn event(&self, of: Of<'_>, now: Instant, now_ms: i64) -> Option<Bytes> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, event)) = &state.event
            && now.saturating_duration_since(*at) < FRESH
        {
            return Some(event.clone());
        }
        let is_stale = |taken: &Taken| now.saturating_duration_since(taken.at) > STALE;
        if state.taken.back().is_some_and(is_stale) {
            state.taken.clear();
            state.event = None;
        }
        let (taken, in_flight) = match of {
            Of::All(metrics) => {
                let in_flight = metrics.reading("tollgate_calls_in_flight").unwrap_or(0);
                (Taken::now(metrics, now), Some(in_flight))
            }
            Of::Teams(lately, teams) => (Taken::of_teams(lately, teams, now), None),
        };
        let event = state
            .taken
            .back()
            .zip(state.taken.front())
            .map(|(last, first)| events::event(&told(&taken, last, first, in_flight, now_ms)));
        state.event = event.clone().map(|event| (now, event));
        state.taken.push_back(taken);
        while state.taken.len() > WINDOW {
            state.taken.pop_front();
        }
        event
    }
}

fn told(now: &Taken, last: &Taken, first: &Taken, in_flight: Option<u64>, now_ms: i64) -> Value {
    let seconds = now.at.saturating_duration_since(last.at).as_secs_f64().max(0.001);
    let mut event = now.total.since(&last.total).rates(seconds);
    event["time"] = millis_text(now_ms).into();
    event["in_flight"] = in_flight.into();
    event["latency_ms"] = now.latency.since(&first.latency);
    event["ttft_ms"] = now.first_token.since(&first.first_token);
    for ((name, _), (now, last)) in LISTS.iter().zip(now.by.iter().zip(&last.by)) {
        let none = Sums::default();
        let mut rows: Vec<(&str, Sums)> = now
            .iter()
            .map(|(name, sums)| (&**name, sums.since(last.get(name).unwrap_or(&none))))
            .filter(|(_, sums)| sums.calls > 0 || sums.output_tokens > 0)
            .collect();
        rows.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.calls));
        rows.truncate(MOST_NAMES);
        let rows = rows.into_iter().map(|(name, sums)| {
            let mut row = sums.rates(seconds);
            row["name"] = name.into();
            row
        });
        event[*name] = rows.collect();
    }
    event
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.micro_usd += other.micro_usd;
    }

    fn since(&self, before: &Sums) -> Sums {
        Sums {
            calls: self.calls.saturating_sub(before.calls),
            errors: self.errors.saturating_sub(before.errors),
            input_tokens: self.input_tokens.saturating_sub(before.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(before.output_tokens),
            micro_usd: self.micro_usd.saturating_sub(before.micro_usd),
        }
    }

    fn rates(&self, seconds: f64) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = |number: u64| ((number as f64 / seconds) * 100.0).round() / 100.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a rate for people"
        )]
        let micro_usd = (self.micro_usd as f64 / seconds).round() as i64;
        json!({
            "calls_per_s": rate(self.calls),
            "errors_per_s": rate(self.errors),
            "input_tokens_per_s": rate(self.input_tokens),
            "output_tokens_per_s": rate(self.output_tokens),
            "cost_per_s": usd(micro_usd),
        })
    }
}

impl Taken {
    fn now(metrics: &Metrics, at: Instant) -> Taken {
        let mut taken = Taken {
            at,
            total: Sums::default(),
            by: Default::default(),
            latency: Spread::of(metrics, "tollgate_call_duration_seconds"),
            first_token: Spread::of(metrics, "tollgate_time_to_first_token_seconds"),
        };
        for (key, calls) in metrics.counted("tollgate_calls_total") {
            // Who has left, or was refused for its own mistake, is no failure of the gateway; a refusal is told all the same.
            let is_error = matches!(label(&key, 7), "failed" | "refused" | "broken");
            taken.count(&key, |sums| {
                sums.calls += calls;
                sums.errors += if is_error { calls } else { 0 };
            });
        }
        for (key, tokens) in metrics.counted("tollgate_tokens_total") {
            let is_output = matches!(label(&key, 5), "output" | "reasoning");
            taken.count(&key, |sums| match is_output {
                true => sums.output_tokens += tokens,
                false => sums.input_tokens += tokens,
            });
        }
        for (key, micro_usd) in metrics.counted("tollgate_cost_usd_total") {
            taken.count(&key, |sums| sums.micro_usd += micro_usd);
        }
        taken
    }

    fn of_teams(lately: &Lately, teams: &[String], at: Instant) -> Taken {
        let mut taken = Taken {
            at,
            total: Sums::default(),
            by: Default::default(),
            latency: Spread::until(Lately::bounds_ms()),
            first_token: Spread::until(Lately::bounds_ms()),
        };
        for (member, added) in lately.look(|team| teams.iter().any(|own| own == team)) {
            let sums = Sums {
                calls: added.sum(Measure::Calls),
                errors: u64::try_from(added.errors).unwrap_or(0),
                input_tokens: added.sum(Measure::InputTokens),
                output_tokens: added.sum(Measure::OutputTokens),
                micro_usd: added.sum(Measure::CostMicroUsd),
            };
            taken.total.add(&sums);
            // In the order of `LISTS`.
            let names = [member.model, member.provider, member.consumer];
            for (list, name) in taken.by.iter_mut().zip(names) {
                list.entry(name.into()).or_default().add(&sums);
            }
            taken.latency.add(&added.latency);
            taken.first_token.add(&added.first_token);
        }
        taken
    }

    fn count(&mut self, key: &Key, add: impl Fn(&mut Sums)) {
        add(&mut self.total);
        for ((_, place), list) in LISTS.iter().zip(&mut self.by) {
            let name = label(key, *place);
            match list.get_mut(name) {
                Some(sums) => add(sums),
                None => add(list.entry(name.into()).or_default()),
            }
        }
    }
}

fn label(key: &Key, place: usize) -> &str {
    key.get(place).map_or("", |value| value)
}

impl Spread {
    fn until(bounds_ms: &[i64]) -> Spread {
        let micros = |ms: &i64| u64::try_from(*ms).unwrap_or(0) * 1000;
        Spread {
            bounds: bounds_ms.iter().map(micros).collect(),
            counts: vec![0; bounds_ms.len() + 1],
        }
    }

    fn add(&mut self, counts: &[u64]) {
        for (count, more) in self.counts.iter_mut().zip(counts) {
            *count += more;
        }
    }

    fn of(metrics: &Metrics, name: &str) -> Spread {
        let mut spread = Spread::default();
        for (_, histogram) in metrics.distributed(name) {
            if spread.bounds.is_empty() {
                spread.bounds = histogram.bounds().to_vec();
                spread.counts = vec![0; spread.bounds.len() + 1];
            }
            for (count, more) in spread.counts.iter_mut().zip(histogram.value().buckets) {
                *count += more;
            }
        }
        spread
    }

    /// Percentiles in milliseconds of what came since; `null` if nothing did.
    fn since(&self, before: &Spread) -> Value {
        let of = |place: usize| before.counts.get(place).copied().unwrap_or(0);
        let counts: Vec<u64> = self
            .counts
            .iter()
            .enumerate()
            .map(|(place, count)| count.saturating_sub(of(place)))
            .collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return Value::Null;
        }
        json!({
            "p50": self.within(&counts, all, 50),
            "p95": self.within(&counts, all, 95),
            "p99": self.within(&counts, all, 99),
        })
    }

    /// The milliseconds in which so many of a hundred were, evenly spread between two bounds.
    fn within(&self, counts: &[u64], all: u64, percent: u64) -> f64 {
        let wanted = (all * percent).div_ceil(100).max(1);
        let (mut seen, mut low) = (0, 0);
        for (count, bound) in counts.iter().zip(&self.bounds) {
            if seen + count >= wanted {
                let micros = low + (bound - low) * (wanted - seen) / (*count).max(1);
                return millis(micros);
            }
            seen += count;
            low = *bound;
        }
        millis(low)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn millis(micros: u64) -> f64 {
    (micros as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_telemetry::metrics::Description;

    const CALLS: &[&str] = &[
        "route",
        "consumer",
        "model",
        "upstream_model",
        "provider",
        "type",
        "status",
        "outcome",
    ];

    fn read(event: &Bytes) -> Value {
        let text = str::from_utf8(event).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap()
    }

    #[test]
    fn an_event_tells_what_was_counted_since_the_one_before() {
        let metrics = Metrics::default();
        let calls = metrics.counters_of(Description::new("tollgate_calls_total", "calls", CALLS));
        let good = calls.with(&["", "jack", "gpt", "gpt-5", "openai", "ai_chat", "2xx", "ok"]);
        let bad = calls.with(&["", "jack", "gpt", "gpt-5", "openai", "ai_chat", "5xx", "failed"]);
        let times = metrics.histograms_of(
            Description::new("tollgate_call_duration_seconds", "time", &["route"]),
            &[10_000, 20_000],
        );
        let live = Live::default();
        let start = Instant::now();
        good.add(1000);
        assert_eq!(
            live.event(Of::All(&metrics), start, 0),
            None,
            "there is nothing to compare with"
        );
        good.add(8);
        bad.add(2);
        times.with(&[""]).observe(15_000);
        let second = start + Duration::from_secs(1);
        let event = live.event(Of::All(&metrics), second, 1000).unwrap();
        let told = read(&event);
        assert_eq!(told["calls_per_s"], 10.0);
        assert_eq!(told["errors_per_s"], 2.0);
        assert_eq!(told["latency_ms"]["p50"], 20.0);
        assert_eq!(told["ttft_ms"], Value::Null);
        assert_eq!(told["by_model"][0]["name"], "gpt");
        assert_eq!(told["by_provider"][0]["calls_per_s"], 10.0);
        assert_eq!(told["by_consumer"][0]["errors_per_s"], 2.0);
        // Whoever asks in the same second gets the same.
        assert_eq!(
            live.event(Of::All(&metrics), second + FRESH / 2, 1400),
            Some(event)
        );
        // After a pause nothing is compared with what was long ago.
        assert_eq!(live.event(Of::All(&metrics), second + STALE * 2, 9000), None);
    }
}
