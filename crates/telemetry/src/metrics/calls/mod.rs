//! What finished calls are counted as: the families `tollgate_*` that have to do with single calls.
//!
//! A thread keeps what it has counted with before, by the labels of calls, so a call that is like an earlier one takes no
//! lock and makes nothing.

mod families;

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::families::{CallFamilies, Labels};
use super::keys::{Kept, Key};
use super::names::{Names, was_asked};
use super::number::{Counter, Histogram};
use super::{Metrics, OTHER};
use crate::prices::PriceState;
use crate::record::{Attempt, CallRecord, RequestType, TokenUsage};
use crate::telemetry::CallSink;

/// Which labels calls are counted by, and how many series there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLabels {
    /// Whether by consumer. Otherwise the label is empty.
    pub consumer: bool,
    /// Whether by the model that the client asks for. Otherwise the label is empty.
    pub model: bool,
    /// Whether by the model that the provider is asked for. Otherwise the label is empty.
    pub upstream_model: bool,
    /// Whether attempts are counted by instance. Otherwise the label is empty.
    pub instance: bool,
    /// Different names of models that are counted apart; those that come later are counted as `other`.
    pub max_models: usize,
    /// Series of each of the families at most.
    pub max_series: usize,
    /// After what time series that do not change are forgotten; `None` for never.
    pub expire: Option<Duration>,
}

impl CallLabels {
    /// As many models as providers have on offer, a few times over.
    pub const DEFAULT_MAX_MODELS: usize = 500;
    /// A histogram of so many series is about 10 MB of text.
    pub const DEFAULT_MAX_SERIES: usize = 2_000;
    /// Long enough for what is used once a day.
    pub const DEFAULT_EXPIRE: Duration = Duration::from_secs(48 * 60 * 60);
}

impl Default for CallLabels {
    fn default() -> Self {
        CallLabels {
            consumer: true,
            model: true,
            upstream_model: true,
            instance: true,
            max_models: CallLabels::DEFAULT_MAX_MODELS,
            max_series: CallLabels::DEFAULT_MAX_SERIES,
            expire: Some(CallLabels::DEFAULT_EXPIRE),
        }
    }
}

/// Counts finished calls.
pub struct CallMetrics {
    metrics: Arc<Metrics>,
    families: CallFamilies,
    labels: CallLabels,
    models: Names,
    codes: Names,
    /// Tells what threads keep for it from what they keep for others.
    id: u64,
}

/// Different codes of errors that are counted apart. Some are providers' own.
const MAX_CODES: usize = 200;

impl CallMetrics {
    /// One that counts in `metrics`.
    pub fn new(metrics: Arc<Metrics>, labels: CallLabels) -> Self {
        CallMetrics {
            families: CallFamilies::new(&metrics, &labels),
            metrics,
            labels,
            models: Names::new(labels.max_models),
            codes: Names::new(MAX_CODES),
            id: next_id(),
        }
    }

    fn count(&self, call: &CallRecord<'_>, mine: &mut Mine) {
        let epoch = self.metrics.epoch();
        let mut labels = self.labels_of(call);
        let mut code = call.error_code.unwrap_or_default();
        let (first, others) = match call.attempts.split_first() {
            Some((first, others)) => (Some(first), others),
            None => (None, call.attempts),
        };
        let mut of_first = first.map(|first| self.labels_of_attempt(first, &labels));
        call_key(&mut mine.key, self.id, &labels, code, of_first.as_ref());
        let numbers = match mine.calls.find(&mine.key, epoch) {
            Some(numbers) => numbers,
            None => {
                let is_asked = was_asked(call);
                labels.model = self.models.admit(labels.model, is_asked);
                labels.upstream_model = self.models.admit(labels.upstream_model, is_asked);
                code = self.codes.admit(code, true);
                of_first = first.map(|first| {
                    let mut of_first = self.labels_of_attempt(first, &labels);
                    of_first.upstream_model = self.models.admit(of_first.upstream_model, true);
                    of_first
                });
                call_key(&mut mine.key, self.id, &labels, code, of_first.as_ref());
                mine.calls.find(&mine.key, epoch).unwrap_or_else(|| {
                    let numbers = Numbers {
                        call: CallNumbers::new(&self.families, &labels, code),
                        first: of_first.map(|labels| AttemptNumbers::new(&self.families, &labels)),
                    };
                    mine.calls.keep(&mine.key, numbers)
                })
            }
        };
        numbers.call.count(call, &self.families, &labels);
        if let (Some(first), Some(of_first), Some(numbers)) = (first, &of_first, &numbers.first) {
            numbers.count(first, &self.families, of_first);
        }
        for attempt in others {
            self.count_attempt(attempt, &labels, epoch, mine);
        }
    }

    fn count_attempt(&self, attempt: &Attempt<'_>, labels: &Labels<'_>, epoch: u64, mine: &mut Mine) {
        let mut labels = self.labels_of_attempt(attempt, labels);
        attempt_key(&mut mine.key, self.id, &labels);
        let numbers = match mine.attempts.find(&mine.key, epoch) {
            Some(numbers) => numbers,
            None => {
                labels.upstream_model = self.models.admit(labels.upstream_model, true);
                attempt_key(&mut mine.key, self.id, &labels);
                mine.attempts.find(&mine.key, epoch).unwrap_or_else(|| {
                    mine.attempts
                        .keep(&mine.key, AttemptNumbers::new(&self.families, &labels))
                })
            }
        };
        numbers.count(attempt, &self.families, &labels);
    }

    fn labels_of_attempt<'a>(&self, attempt: &Attempt<'a>, labels: &Labels<'a>) -> Labels<'a> {
        Labels {
            provider: attempt.provider.unwrap_or_default(),
            upstream_model: on(self.labels.upstream_model, attempt.model),
            instance: on(self.labels.instance, Some(attempt.instance)),
            outcome: attempt.outcome,
            ..*labels
        }
    }

    fn labels_of<'a>(&self, call: &CallRecord<'a>) -> Labels<'a> {
        Labels {
            route: call.route.unwrap_or_default(),
            consumer: on(self.labels.consumer, call.consumer),
            model: on(self.labels.model, call.request_model),
            upstream_model: on(self.labels.upstream_model, call.upstream_model),
            provider: call.provider.unwrap_or_default(),
            instance: "",
            kind: call.request_type.as_str(),
            status: class(call.status),
            outcome: outcome(call),
        }
    }
}

impl CallSink for CallMetrics {
    fn call(&self, call: &CallRecord<'_>) {
        MINE.with_borrow_mut(|mine| self.count(call, mine));
    }

    fn reads_details(&self) -> bool {
        false
    }
}

/// The label value, where it is wanted.
fn on(is_wanted: bool, value: Option<&str>) -> &str {
    match is_wanted {
        true => value.unwrap_or_default(),
        false => "",
    }
}

/// The class of a status.
fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => OTHER,
    }
}

/// How a call has ended.
fn outcome(call: &CallRecord<'_>) -> &'static str {
    match (call.client_gone, call.status, call.error_code) {
        (true, ..) => "left",
        (false, 500.., _) => "failed",
        (false, 400.., _) => "refused",
        // The client had its status already.
        (false, _, Some(_)) => "broken",
        (false, _, None) => "ok",
    }
}

fn call_key(key: &mut Key, id: u64, labels: &Labels<'_>, code: &str, of_first: Option<&Labels<'_>>) {
    key.of(id)
        .and(labels.route)
        .and(labels.consumer)
        .and(labels.model)
        .and(labels.upstream_model)
        .and(labels.provider)
        .and(labels.kind)
        .and(labels.status)
        .and(labels.outcome)
        .and(code);
    // A key with an attempt is longer, so it cannot be taken for one without.
    if let Some(of_first) = of_first {
        key.and(of_first.upstream_model)
            .and(of_first.provider)
            .and(of_first.instance)
            .and(of_first.outcome);
    }
}

fn attempt_key(key: &mut Key, id: u64, labels: &Labels<'_>) {
    key.of(id)
        .and(labels.route)
        .and(labels.consumer)
        .and(labels.model)
        .and(labels.upstream_model)
        .and(labels.provider)
        .and(labels.instance)
        .and(labels.outcome);
}

/// What calls are counted with whose labels and whose first attempt's labels are the same. Most calls have one attempt, so all of
/// theirs is in one place.
struct Numbers {
    call: CallNumbers,
    /// `None` for calls without attempts.
    first: Option<AttemptNumbers>,
}

/// What calls of the same labels are counted with.
struct CallNumbers {
    calls: Counter,
    error: Option<Counter>,
    duration: Histogram,
    received: Counter,
    sent: Counter,
    first_token: OnceCell<Histogram>,
    between_tokens: OnceCell<Histogram>,
    cost: OnceCell<Counter>,
    unpriced: OnceCell<Counter>,
}

impl CallNumbers {
    fn new(families: &CallFamilies, labels: &Labels<'_>, code: &str) -> Self {
        CallNumbers {
            calls: families.calls.with(&labels.of_calls()),
            error: (!code.is_empty()).then(|| families.errors.with(&[labels.route, code])),
            duration: families.duration.with(&labels.of_times()),
            received: families.bytes.with(&[labels.route, "received"]),
            sent: families.bytes.with(&[labels.route, "sent"]),
            first_token: OnceCell::new(),
            between_tokens: OnceCell::new(),
            cost: OnceCell::new(),
            unpriced: OnceCell::new(),
        }
    }

    fn count(&self, call: &CallRecord<'_>, families: &CallFamilies, labels: &Labels<'_>) {
        self.calls.add(1);
        if let Some(error) = &self.error {
            error.add(1);
        }
        self.duration.observe(micros(call.request_time));
        self.received.add(call.request_bytes);
        self.sent.add(call.body_bytes_sent);
        let is_answered = call.status < 400 && call.usage.is_some();
        if call.request_type == RequestType::AiStream
            && is_answered
            && let Some(first) = call.time_to_first_token
        {
            let first_token = || families.first_token.with(&labels.of_tokens_times());
            self.first_token.get_or_init(first_token).observe(micros(first));
            if let Some(between) = between_tokens(call, first) {
                let between_tokens = || families.between_tokens.with(&labels.of_tokens_times());
                self.between_tokens
                    .get_or_init(between_tokens)
                    .observe(micros(between));
            }
        }
        if let Some(cost) = call.cost.micro_usd().filter(|cost| *cost > 0) {
            let counter = || families.cost.with(&labels.of_cost());
            self.cost.get_or_init(counter).add(cost);
        }
        if matches!(call.cost.price, PriceState::Unknown | PriceState::Partly) {
            let counter = || families.unpriced.with(&[labels.provider, labels.upstream_model]);
            self.unpriced.get_or_init(counter).add(1);
        }
    }
}

/// The time of one token of the output after the first.
fn between_tokens(call: &CallRecord<'_>, first: Duration) -> Option<Duration> {
    let after = u32::try_from(call.usage?.completion.checked_sub(1)?).ok()?;
    call.upstream_response_time?
        .saturating_sub(first)
        .checked_div(after)
}

/// What attempts of the same labels are counted with.
struct AttemptNumbers {
    attempts: Counter,
    duration: Histogram,
    /// In the order of [`KINDS`].
    tokens: [OnceCell<Counter>; KINDS.len()],
}

/// Kinds of tokens. None is part of another, so that they add up.
const KINDS: [&str; 5] = ["input", "cache_read", "cache_write", "output", "reasoning"];

impl AttemptNumbers {
    fn new(families: &CallFamilies, labels: &Labels<'_>) -> Self {
        AttemptNumbers {
            attempts: families.attempts.with(&labels.of_attempts()),
            duration: families
                .attempt_duration
                .with(&[labels.provider, labels.instance]),
            tokens: Default::default(),
        }
    }

    fn count(&self, attempt: &Attempt<'_>, families: &CallFamilies, labels: &Labels<'_>) {
        self.attempts.add(1);
        self.duration.observe(micros(attempt.duration));
        let Some(usage) = attempt.usage else { return };
        for ((kind, cell), tokens) in KINDS.iter().zip(&self.tokens).zip(by_kind(usage)) {
            if tokens > 0 {
                cell.get_or_init(|| families.tokens.with(&labels.of_tokens(kind)))
                    .add(tokens);
            }
        }
    }
}

/// The tokens in the order of [`KINDS`].
fn by_kind(usage: TokenUsage) -> [u64; KINDS.len()] {
    let from_cache = usage.cached.saturating_add(usage.cache_write);
    [
        usage.prompt.saturating_sub(from_cache),
        usage.cached,
        usage.cache_write,
        usage.completion.saturating_sub(usage.reasoning),
        usage.reasoning,
    ]
}

/// As they are counted.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An id that nobody else has who keeps something on threads.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a thread keeps.
#[derive(Default)]
struct Mine {
    key: Key,
    calls: Kept<Numbers>,
    /// Of the attempts after the first.
    attempts: Kept<AttemptNumbers>,
}

thread_local! {
    static MINE: RefCell<Mine> = RefCell::default();
}

#[cfg(test)]
mod tests;
