//! One governed call: whether it is let in, what is reserved for its attempts, and what it is charged.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderName, StatusCode};
use smallvec::SmallVec;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::governance::usd_text;
use tollgate_resources::model::{Amount, OnDown, Rate, Subject};
use tollgate_store::counters::{
    Act, Ask, Counters, Decision, Enter, Limit as Count, MAX_AMOUNT, Place, Reservation, Together, Verdict,
    Windows,
};
use tollgate_telemetry::{Charge, Cost, TokenUsage};

use super::identity::Identity;
use super::index::{BudgetRule, Level, LimitRule};
use super::period::Period;
use super::refusals::{limited, over_budget, undecided};
use super::told::{OF_REQUESTS, OF_TOKENS, Rate as Told};
use super::{Governance, Index, now_s};
use crate::clock;
use crate::error::CallError;
use crate::http1::told::Headers;

/// How long a reservation or a place is held at most, in milliseconds: longer than calls last.
const LEASE_MS: u64 = 6 * 3_600_000;

static LEFT_USD: HeaderName = HeaderName::from_static("x-tollgate-budget-remaining-usd");
static LEFT_TOKENS: HeaderName = HeaderName::from_static("x-tollgate-budget-remaining-tokens");
static RESET: HeaderName = HeaderName::from_static("x-tollgate-budget-reset");

/// What an attempt may use, as far as it can be told before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// What it costs at most, in millionths of a dollar; `None` if no price is known.
    pub micro_usd: Option<u64>,
    /// Its tokens, input and output together.
    pub tokens: u64,
}

/// A budget in the period in which a call was let in.
pub(super) struct Picked {
    pub(super) rule: Arc<BudgetRule>,
    pub(super) level: Arc<Level>,
    pub(super) period: Arc<Period>,
    count: Count,
    /// What was left when it was asked last; `None` if it was not.
    left: Cell<Option<u64>>,
}

/// What an attempt holds. It is given back when it is dropped.
struct Held {
    instance: Arc<str>,
    parts: Vec<Part>,
}

/// What an attempt holds of a budget or a limit.
struct Part {
    of: Of,
    /// `None` where the counters hold nothing, as of an amount of nothing.
    reservation: Option<Reservation>,
    #[expect(dead_code, reason = "what it is for, it does when it is dropped")]
    noted: Option<Noted>,
}

/// What a reservation is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Budget(usize),
    Limit(usize),
}

/// Takes a number off a tally when it goes.
struct Noted(Arc<super::index::Tally>, u64);

impl Noted {
    fn new(tally: &Arc<super::index::Tally>, amount: u64) -> Self {
        tally.reserved.fetch_add(amount, Ordering::Relaxed);
        Noted(tally.clone(), amount)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.reserved.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// What a call was charged to budgets.
pub type Charges<'a> = SmallVec<[Charge<'a>; 1]>;

/// A call for which something counts.
pub struct Governed {
    governance: Arc<Governance>,
    /// Who calls.
    pub identity: Identity,
    levels: Arc<[Arc<Level>]>,
    // Mostly one of each counts.
    budgets: SmallVec<[Picked; 1]>,
    /// Limits of tokens.
    limits: SmallVec<[Arc<LimitRule>; 1]>,
    held: RefCell<SmallVec<[Held; 1]>>,
    places: RefCell<Vec<Place>>,
    /// What was charged so far.
    cost: Cell<Cost>,
    charged_micro_usd: Cell<u64>,
    charged_tokens: Cell<u64>,
    /// Where the scarcest limits of requests and of tokens stand.
    requests_told: Cell<Option<Told>>,
    tokens_told: Cell<Option<Told>>,
    is_unpriced_told: Cell<bool>,
    /// Whether the call is only explained: nothing is counted, reserved or told.
    peeks: bool,
}

impl Governed {
    /// For a caller; `None` where nothing counts.
    pub fn of(governance: &Arc<Governance>, identity: Identity, peeks: bool) -> Option<Box<Governed>> {
        let levels = identity.levels.clone()?;
        let now = now_s();
        let mut budgets = SmallVec::new();
        let mut limits = SmallVec::new();
        for level in levels.iter() {
            for rule in &level.budgets {
                let period = rule.period(now);
                budgets.push(Picked {
                    rule: rule.clone(),
                    level: level.clone(),
                    count: period.count(now),
                    period,
                    left: Cell::new(None),
                });
            }
            let of_tokens = |rule: &&Arc<LimitRule>| matches!(rule.limit.rate, Rate::Tokens(..));
            limits.extend(level.limits.iter().filter(of_tokens).cloned());
        }
        Some(Box::new(Governed {
            governance: governance.clone(),
            identity,
            levels,
            budgets,
            limits,
            held: RefCell::default(),
            places: RefCell::default(),
            cost: Cell::default(),
            charged_micro_usd: Cell::new(0),
            charged_tokens: Cell::new(0),
            requests_told: Cell::default(),
            tokens_told: Cell::default(),
            is_unpriced_told: Cell::new(peeks),
            peeks,
        }))
    }

    /// Whether attempts have to reserve.
    pub fn reserves(&self) -> bool {
        !self.budgets.is_empty() || !self.limits.is_empty()
    }

    /// Tokens that the operator has reserved for answers whose requests set no limit.
    pub fn reserve_output(&self) -> Option<u64> {
        self.governance.index.load().reserve_output
    }

    /// Lets the call in, or not: whether its levels are in service, and have room for one more call.
    ///
    /// # Errors
    /// What the client is told otherwise.
    pub async fn enter(&self) -> Result<(), CallError> {
        if let Some(level) = self.levels.iter().find(|level| level.disabled) {
            return Err(CallError::client(
                StatusCode::FORBIDDEN,
                ErrorKind::Permission,
                "team_disabled",
                format!("{} is disabled", level.shown()),
            ));
        }
        let rules = || {
            self.levels
                .iter()
                .flat_map(|level| level.limits.iter().map(move |rule| (level, rule)))
        };
        let mut enters = Vec::new();
        let mut entered = Vec::new();
        let mut asks = Vec::new();
        let mut asked = SmallVec::<[_; 1]>::new();
        for (level, rule) in rules() {
            match rule.limit.rate {
                Rate::Concurrent(limit) => {
                    enters.push(Enter {
                        key: rule.name.clone(),
                        limit,
                        lease_ms: LEASE_MS,
                    });
                    entered.push((level, limit));
                }
                Rate::Requests(amount, window) => {
                    // Mostly it is the only one.
                    asks.reserve_exact(1);
                    asks.push(Ask {
                        key: rule.name.clone(),
                        limit: Count {
                            amount,
                            window_ms: window.milliseconds(),
                            windows: Windows::Fixed,
                        },
                        act: Act::Take(1),
                    });
                    asked.push((level, amount, window));
                }
                Rate::Tokens(..) => {}
            }
        }
        if !enters.is_empty() {
            let answers = self
                .decided(enters, |counters, enters| counters.enter(enters, clock::steady()))
                .await?;
            let refused = answers.iter().position(|answer| answer.place.is_none());
            let taken = answers.into_iter().filter_map(|answer| answer.place);
            self.places.borrow_mut().extend(taken);
            if let Some((level, limit)) = refused.and_then(|number| entered.get(number)) {
                self.governance.meters.over_limit.add(1);
                self.places.borrow_mut().clear();
                let text = format!(
                    "{} may have {limit} calls at the same time, and has",
                    level.shown()
                );
                return Err(limited(&text, 1));
            }
        }
        if asks.is_empty() {
            return Ok(());
        }
        let verdicts = self.decided(asks, decide).await?;
        for (verdict, (_, amount, _)) in verdicts.iter().zip(&asked) {
            let told = told(*amount, verdict);
            self.requests_told
                .set(Some(told.scarcer(self.requests_told.get())));
        }
        let refused = verdicts.iter().position(|verdict| !verdict.is_allowed);
        if let Some(number) = refused
            && let (Some((level, amount, window)), Some(verdict)) = (asked.get(number), verdicts.get(number))
        {
            self.governance.meters.over_limit.add(1);
            let text = format!("{} may make {amount} calls a {}", level.shown(), window.word());
            return Err(limited(&text, verdict.reset_ms.div_ceil(1000)));
        }
        Ok(())
    }

    /// Whether a model may be asked for.
    ///
    /// # Errors
    /// One of the levels does not let it.
    pub fn may_use(&self, model: &str) -> Result<(), CallError> {
        let Some(level) = Index::refusing_level(Some(&self.levels), model) else {
            return Ok(());
        };
        if !self.peeks {
            self.governance.meters.not_allowed.add(1);
        }
        let names: Vec<&str> = level
            .models
            .iter()
            .flatten()
            .map(tollgate_resources::Glob::as_str)
            .collect();
        let error = CallError::client(
            StatusCode::FORBIDDEN,
            ErrorKind::Permission,
            "model_not_allowed",
            format!(
                "{} may not use the model `{model}`; it may use: {}",
                level.shown(),
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ),
        );
        Err(error.at("model"))
    }

    /// Reserves what an attempt may use, of all that counts or of nothing.
    ///
    /// # Errors
    /// Something has no room for it.
    pub async fn reserve(&self, instance: &Arc<str>, expected: Expected) -> Result<(), CallError> {
        if !self.reserves() {
            return Ok(());
        }
        let mut asks = Vec::with_capacity(self.budgets.len() + self.limits.len());
        let mut of = SmallVec::<[_; 2]>::new();
        for (number, picked) in self.budgets.iter().enumerate() {
            let amount = match picked.rule.budget.amount {
                Amount::Tokens(_) => expected.tokens,
                Amount::MicroUsd(_) => match expected.micro_usd {
                    // What costs nothing always fits.
                    Some(0) => continue,
                    Some(micro_usd) => micro_usd,
                    None => {
                        self.tell_unpriced(&picked.level);
                        0
                    }
                },
            };
            asks.push(Ask {
                key: picked.period.key.clone(),
                limit: Count {
                    amount: match picked.rule.budget.hard {
                        true => picked.rule.budget.amount.number(),
                        false => MAX_AMOUNT,
                    },
                    ..picked.count
                },
                act: Act::Reserve {
                    amount,
                    lease_ms: LEASE_MS,
                },
            });
            of.push((Of::Budget(number), amount));
        }
        for (number, rule) in self.limits.iter().enumerate() {
            let Rate::Tokens(amount, window) = rule.limit.rate else {
                continue;
            };
            asks.push(Ask {
                key: rule.name.clone(),
                limit: Count {
                    amount,
                    window_ms: window.milliseconds(),
                    windows: Windows::Fixed,
                },
                act: Act::Reserve {
                    amount: expected.tokens,
                    lease_ms: LEASE_MS,
                },
            });
            of.push((Of::Limit(number), expected.tokens));
        }
        if asks.is_empty() {
            return Ok(());
        }
        if !self.budgets.is_empty() {
            self.governance.may_count()?;
        }
        if self.peeks {
            asks.iter_mut().for_each(|ask| ask.act = Act::Take(0));
        }
        let verdicts = self.decided(asks, decide).await?;
        // A later attempt is told anew.
        self.tokens_told.set(None);
        let mut parts = Vec::with_capacity(verdicts.len());
        for (verdict, (place, amount)) in verdicts.into_iter().zip(of) {
            self.note_verdict(place, amount, &verdict);
            let is_allowed = match self.peeks {
                true => verdict.remaining >= amount,
                false => verdict.is_allowed,
            };
            if !is_allowed {
                return Err(self.refused(place, amount, &verdict));
            }
            if self.peeks {
                continue;
            }
            let noted = self
                .budget(place)
                .map(|picked| Noted::new(&picked.rule.tally, amount));
            parts.push(Part {
                of: place,
                reservation: verdict.reservation,
                noted,
            });
        }
        if !self.peeks {
            self.held.borrow_mut().push(Held {
                instance: instance.clone(),
                parts,
            });
        }
        Ok(())
    }

    fn budget(&self, place: Of) -> Option<&Picked> {
        match place {
            Of::Budget(number) => self.budgets.get(number),
            Of::Limit(_) => None,
        }
    }

    fn note_verdict(&self, place: Of, asked: u64, verdict: &Verdict) {
        match place {
            Of::Budget(number) => {
                if let Some(picked) = self.budgets.get(number) {
                    let amount = picked.rule.budget.amount.number();
                    let left = match picked.rule.budget.hard {
                        true => verdict.remaining,
                        false => amount.saturating_sub(MAX_AMOUNT.saturating_sub(verdict.remaining)),
                    };
                    picked.left.set(Some(left));
                    if self.governance.shared.load().is_some() && verdict.is_allowed && !self.peeks {
                        // What all have spent, as far as it is not reserved here.
                        let held = picked.rule.tally.reserved.load(Ordering::Relaxed);
                        let spent = amount
                            .saturating_sub(left)
                            .saturating_sub(held.saturating_add(asked));
                        self.governance.warn(&picked.rule, &picked.period, spent);
                    }
                }
            }
            Of::Limit(number) => {
                if let Some(Rate::Tokens(amount, _)) = self.limits.get(number).map(|rule| rule.limit.rate) {
                    let told = told(amount, verdict);
                    self.tokens_told.set(Some(told.scarcer(self.tokens_told.get())));
                }
            }
        }
    }

    /// What a client is told for whose call there is no room.
    fn refused(&self, place: Of, amount: u64, verdict: &Verdict) -> CallError {
        let picked = match place {
            Of::Budget(number) => self.budgets.get(number),
            Of::Limit(number) => {
                if !self.peeks {
                    self.governance.meters.over_limit.add(1);
                }
                let rule = self.limits.get(number);
                let level = self.level_of(rule.map(|rule| &rule.limit.subject));
                let (limit, word) = match rule.map(|rule| rule.limit.rate) {
                    Some(Rate::Tokens(limit, window)) => (limit, window.word()),
                    _ => (0, "minute"),
                };
                let text = match amount > limit {
                    true => format!(
                        "{level} may use {limit} tokens a {word}, and this call may take {amount}; lower its output limit"
                    ),
                    false => format!(
                        "{level} may use {limit} tokens a {word}, of which {} are left, and this call may take {amount}",
                        verdict.remaining
                    ),
                };
                return limited(&text, verdict.reset_ms.div_ceil(1000));
            }
        };
        let Some(picked) = picked else {
            return limited("there is no room for this call", 1);
        };
        if !self.peeks {
            self.governance.meters.over_budget.add(1);
            self.governance.tell_exhausted(picked, verdict.remaining);
        }
        over_budget(picked, amount, verdict.remaining)
    }

    fn level_of(&self, subject: Option<&Subject>) -> String {
        let level = self.levels.iter().find(|level| Some(&level.subject) == subject);
        level.map_or_else(String::new, |level| level.shown())
    }

    /// An attempt was not made after all: what is held for it is given back.
    pub fn release(&self, instance: &str) {
        self.held.borrow_mut().retain(|held| *held.instance != *instance);
    }

    /// An attempt is over: it is charged what it was billed, and the rest of what is held for it is given back.
    pub fn settle(&self, instance: &str, cost: Cost, usage: Option<TokenUsage>) {
        let total: Cost = [self.cost.get(), cost].into_iter().sum();
        self.cost.set(total);
        // The difference of rounded sums, so that all attempts together are charged what the ledger says of the call.
        let micro_usd = total
            .micro_usd()
            .unwrap_or(0)
            .saturating_sub(self.charged_micro_usd.get());
        let tokens = usage.map_or(0, |usage| usage.total);
        self.charge(instance, micro_usd, tokens);
    }

    fn charge(&self, instance: &str, micro_usd: u64, tokens: u64) {
        self.charged_micro_usd
            .set(self.charged_micro_usd.get().saturating_add(micro_usd));
        self.charged_tokens
            .set(self.charged_tokens.get().saturating_add(tokens));
        let now = clock::steady();
        let held = {
            let mut all = self.held.borrow_mut();
            let place = all.iter().position(|held| *held.instance == *instance);
            place.map(|place| all.swap_remove(place))
        };
        let mut parts = held.map(|held| held.parts).unwrap_or_default();
        let mut take = |wanted: Of| {
            let place = parts.iter().position(|part| part.of == wanted)?;
            // What was noted as reserved no longer is.
            parts.swap_remove(place).reservation
        };
        let shared = self.governance.shared.load();
        for (number, picked) in self.budgets.iter().enumerate() {
            let amount = match picked.rule.budget.amount {
                Amount::MicroUsd(_) => micro_usd,
                Amount::Tokens(_) => tokens,
            };
            let reservation = take(Of::Budget(number));
            let add = |counters: &Counters| counters.add(&picked.period.key, &picked.count, amount, now);
            let counted = match (reservation, &*shared) {
                (Some(reservation), None) => reservation.settle(amount, now),
                // The other home knows it too: it decides when the first does not answer.
                (Some(reservation), Some(_)) if reservation.is_shared() => {
                    reservation.settle(amount, now);
                    (amount > 0).then(|| add(&self.governance.own)).flatten()
                }
                (Some(reservation), Some(shared)) => {
                    if amount > 0 {
                        add(&shared.counters);
                    }
                    reservation.settle(amount, now)
                }
                (None, _) if amount == 0 => None,
                (None, shared) => {
                    if let Some(shared) = shared {
                        add(&shared.counters);
                    }
                    add(&self.governance.own)
                }
            };
            if let Some(counted) = counted.filter(|_| amount > 0) {
                self.governance.note_spent(picked, counted);
            }
        }
        for (number, rule) in self.limits.iter().enumerate() {
            let Rate::Tokens(limit, window) = rule.limit.rate else {
                continue;
            };
            match take(Of::Limit(number)) {
                Some(reservation) => {
                    reservation.settle(tokens, now);
                }
                None if tokens > 0 => {
                    let count = Count {
                        amount: limit,
                        window_ms: window.milliseconds(),
                        windows: Windows::Fixed,
                    };
                    let counters = shared
                        .as_ref()
                        .map_or(&self.governance.own, |shared| &shared.counters);
                    counters.add(&rule.name, &count, tokens, now);
                }
                None => {}
            }
        }
    }

    /// The call has ended, and this is what the ledger says it used: what was not charged is, and everything that is held is
    /// given back. Returns what was charged to which budget, for the ledger; empty where nothing was.
    pub fn end(&self, cost: Cost, tokens: u64) -> Charges<'_> {
        let micro_usd = cost.micro_usd().unwrap_or(0);
        let rest_usd = micro_usd.saturating_sub(self.charged_micro_usd.get());
        let rest_tokens = tokens.saturating_sub(self.charged_tokens.get());
        if rest_usd > 0 || rest_tokens > 0 {
            let instance = self.held.borrow().first().map(|held| held.instance.clone());
            self.charge(instance.as_deref().unwrap_or_default(), rest_usd, rest_tokens);
        }
        self.held.borrow_mut().clear();
        self.places.borrow_mut().clear();
        let charged = self.budgets.iter().filter_map(|picked| {
            let amount = match picked.rule.budget.amount {
                Amount::MicroUsd(_) => self.charged_micro_usd.get(),
                Amount::Tokens(_) => self.charged_tokens.get(),
            };
            (amount > 0).then_some(Charge {
                budget: &picked.rule.name,
                start: picked.period.start_s,
                amount,
            })
        });
        charged.collect()
    }

    /// Tells the client what is left of what is scarcest.
    pub fn tell(&self, headers: &mut dyn Headers) {
        for (told, names) in [
            (self.requests_told.get(), &OF_REQUESTS),
            (self.tokens_told.get(), &OF_TOKENS),
        ] {
            if let Some(told) = told {
                told.tell(names, headers);
            }
        }
        let scarcest = |is_usd: bool| {
            let of_unit = self
                .budgets
                .iter()
                .filter(|picked| matches!(picked.rule.budget.amount, Amount::MicroUsd(_)) == is_usd);
            of_unit
                .filter_map(|picked| Some((picked.left.get()?, &picked.period)))
                .min_by_key(|(left, _)| *left)
        };
        let (usd, tokens) = (scarcest(true), scarcest(false));
        if let Some((left, _)) = usd {
            headers.put(&LEFT_USD, &usd_text(left));
        }
        if let Some((left, _)) = tokens {
            headers.put(&LEFT_TOKENS, itoa::Buffer::new().format(left));
        }
        if let Some(end) = usd.or(tokens).and_then(|(_, period)| period.end_told.as_deref()) {
            headers.put(&RESET, end);
        }
    }

    fn tell_unpriced(&self, level: &Level) {
        if !self.is_unpriced_told.replace(true) {
            self.governance.meters.unpriced.add(1);
            tracing::warn!(
                budget_of = %level.subject,
                "a call under a budget in US dollars is not charged: its model has no known price; set one under `prices`, or \
                 `prices.unknown: refuse`"
            );
        }
    }

    /// Asks where several count together, else here.
    async fn decided<A: Clone, T>(
        &self,
        asked: A,
        ask: impl Fn(&Counters, A) -> Decision<T>,
    ) -> Result<T, CallError> {
        if let Some(shared) = self.governance.shared.load_full() {
            match ask(&shared.counters, asked.clone()).wait().await {
                Ok(answer) => return Ok(answer),
                Err(unavailable) => {
                    self.governance.meters.undecided.add(1);
                    if shared.on_down == OnDown::Refuse {
                        return Err(undecided(&format!("Redis: {unavailable}")));
                    }
                }
            }
        }
        let answer = ask(&self.governance.own, asked).wait().await;
        answer.map_err(|unavailable| undecided(&format!("Redis: {unavailable}")))
    }
}

fn decide(counters: &Counters, asks: Vec<Ask>) -> Decision<Vec<Verdict>> {
    counters.decide(asks, Together::AllOrNone, clock::steady())
}

fn told(limit: u64, verdict: &Verdict) -> Told {
    Told {
        limit,
        left: verdict.remaining,
        reset_ms: verdict.reset_ms,
    }
}
