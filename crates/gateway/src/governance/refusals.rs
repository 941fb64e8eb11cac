//! What a client is told whose call is not let in.

use http::StatusCode;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::governance::{time_text, usd_text};
use tollgate_resources::model::Amount;

use super::call::Picked;
use super::now_s;
use crate::error::CallError;

/// What was spent cannot be told, and the configuration says to refuse such calls.
pub(super) fn undecided(why: &str) -> CallError {
    let mut error = CallError::gateway(
        "budget_undecided",
        "whether this call fits its budgets and limits cannot be told at the moment; try again",
    );
    error.status = StatusCode::SERVICE_UNAVAILABLE;
    error.detail = Some(why.to_owned());
    error.retry_after = Some(1.into());
    error
}

/// A limit has no room; it may have some after so many seconds.
pub(super) fn limited(text: &str, seconds: u64) -> CallError {
    let mut error = CallError::client(
        StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::RateLimit,
        "rate_limit_exceeded",
        format!("{text}; try again in {} s", seconds.max(1)),
    );
    error.retry_after = Some(seconds.max(1).into());
    error
}

/// A budget has no room for this amount.
pub(super) fn over_budget(picked: &Picked, amount: u64, left: u64) -> CallError {
    let budget = &picked.rule.budget;
    let shown = |amount: u64| match budget.amount {
        Amount::MicroUsd(_) => format!("{} US dollars", usd_text(amount)),
        Amount::Tokens(_) => format!("{amount} tokens"),
    };
    let per = match picked.period.end_s {
        Some(_) => format!(" a {}", budget.per.word()),
        None => " in total".to_owned(),
    };
    let resets = match picked.period.end_s {
        Some(end) => format!("; it begins anew at {}", time_text(end)),
        None => "; it does not begin anew".to_owned(),
    };
    let text = match (left, amount) {
        (0, _) | (_, 0) => format!(
            "the budget of {}, {}{per}, is used up{resets}",
            picked.level.shown(),
            shown(budget.amount.number()),
        ),
        _ => format!(
            "the budget of {}, {}{per}, has {} left, and this call may take {}; lower its output limit{resets}",
            picked.level.shown(),
            shown(budget.amount.number()),
            shown(left),
            shown(amount),
        ),
    };
    let mut error = CallError::client(
        StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Billing,
        "budget_exceeded",
        text,
    );
    error.retry_after = picked
        .period
        .end_s
        .map(|end| end.saturating_sub(now_s()).max(1).into());
    error
}
