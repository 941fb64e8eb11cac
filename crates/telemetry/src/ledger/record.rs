//! Makes a row of a finished call. Runs on the thread that served the call.

use std::cell::RefCell;
use std::time::Duration;

use super::json::{member, number, text};
use super::row::Row;
use super::schema::Column;
use super::{Ledger, attempts};
use crate::format::outcome;
use crate::record::{Attempt, CallRecord, Charge, TokenUsage};
use crate::telemetry::CallSink;

impl CallSink for Ledger {
    fn call(&self, call: &CallRecord<'_>) {
        let (mut told, mut charges) = (ATTEMPTS.take(), CHARGES.take());
        told.clear();
        charges.clear();
        attempts::write(call, &mut told);
        charges_json(call.charges, &mut charges);
        let mut row = Row::default();
        fill(&mut row, call, &told, &charges);
        self.append(&row);
        if told.capacity() <= super::MAX_KEPT {
            ATTEMPTS.set(told);
        }
        if charges.capacity() <= super::MAX_KEPT {
            CHARGES.set(charges);
        }
    }

    fn flush_and_stop(&self, wait: Duration) -> bool {
        Ledger::flush_and_stop(self, wait)
    }
}

thread_local! {
    static ATTEMPTS: RefCell<String> = const { RefCell::new(String::new()) };
    static CHARGES: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Puts a call into an empty row, which is too large to be handed back.
fn fill<'a>(row: &mut Row<'a>, call: &CallRecord<'a>, attempts: &'a str, charges: &'a str) {
    row.text(Column::RequestId, call.request_id);
    row.time(Column::Time, crate::format::since_epoch(call.time));
    row.optional(Column::Operation, call.operation);
    row.text(Column::RequestType, call.request_type.as_str());
    row.optional(Column::Consumer, call.consumer);
    row.optional(Column::Credential, call.credential);
    row.optional(Column::Team, call.team);
    row.optional(Column::Charges, (!charges.is_empty()).then_some(charges));
    row.optional(Column::EndUser, call.end_user);
    row.optional(Column::Route, call.route);
    row.optional(Column::Service, call.service);
    row.optional(Column::ClientDialect, call.client_dialect);
    let last = call.attempts.last();
    row.optional(Column::ProviderDialect, last.and_then(|attempt| attempt.dialect));
    row.optional(Column::ModelAsked, call.request_model);
    row.optional(
        Column::ModelServed,
        last.and_then(|attempt| attempt.response_model.or(attempt.model)),
    );
    row.optional(Column::Provider, call.provider);
    row.optional(Column::Instance, call.instance);
    add_tokens(row, call.attempts);
    let told = |attempt: &&Attempt<'a>| !attempt.usage_object.is_empty();
    row.optional(
        Column::Usage,
        call.attempts
            .iter()
            .rev()
            .find(told)
            .map(|attempt| attempt.usage_object),
    );
    row.optional(Column::ServiceTier, last.and_then(|attempt| attempt.service_tier));
    row.optional(
        Column::PricePack,
        (!call.price_pack.is_empty()).then_some(call.price_pack),
    );
    if let Some(cost) = call.cost.micro_usd() {
        row.number(Column::CostMicroUsd, cost);
    }
    row.text(Column::CostState, call.cost.state());
    row.time(Column::Latency, call.request_time);
    if let Some(time) = call.time_to_first_token {
        row.time(Column::TimeToFirstToken, time);
    }
    row.number(Column::Status, call.status);
    row.optional(Column::ErrorCode, call.error_code);
    row.text(Column::Outcome, outcome(call));
    row.text(Column::Attempts, attempts);
    row.optional(Column::Losses, (!call.losses.is_empty()).then_some(call.losses));
    row.number(Column::RequestBytes, call.request_bytes);
    row.number(Column::ResponseBytes, call.body_bytes_sent);
}

/// Adds up what all attempts used: one that failed or was left may be billed too.
fn add_tokens(row: &mut Row<'_>, attempts: &[Attempt<'_>]) {
    let mut told = attempts.iter().filter_map(|attempt| attempt.usage.as_ref());
    // The columns hold 0 already.
    let Some(first) = told.next() else { return };
    let (mut sums, mut is_estimated) = (counted(first), first.estimated);
    for usage in told {
        for ((_, sum), (_, number)) in sums.iter_mut().zip(counted(usage)) {
            *sum = sum.saturating_add(number);
        }
        is_estimated |= usage.estimated;
    }
    for (column, sum) in sums {
        // Most kinds of tokens are in few calls.
        if sum > 0 {
            row.number(column, sum);
        }
    }
    row.number(Column::UsageEstimated, i64::from(is_estimated));
}

/// What is counted of an attempt's tokens, and where.
fn counted(usage: &TokenUsage) -> [(Column, u64); 12] {
    [
        (Column::InputTokens, usage.prompt),
        (Column::CachedTokens, usage.cached),
        (
            Column::CacheWrite5m,
            usage.cache_write.saturating_sub(usage.cache_write_1h),
        ),
        (Column::CacheWrite1h, usage.cache_write_1h),
        (Column::AudioInput, usage.audio_input),
        (Column::ImageInput, usage.image_input),
        (Column::VideoInput, usage.video_input),
        (Column::ToolInput, usage.tool_input),
        (Column::OutputTokens, usage.completion),
        (Column::ReasoningTokens, usage.reasoning),
        (Column::AudioOutput, usage.audio_output),
        (Column::ImageOutput, usage.image_output),
    ]
}

/// Writes what a call was charged as JSON; nothing where that is nothing.
fn charges_json(charges: &[Charge<'_>], out: &mut String) {
    for (i, charge) in charges.iter().enumerate() {
        out.push_str(if i == 0 { "[{" } else { ",{" });
        text(out, member!("budget"), Some(charge.budget));
        number(out, member!("start"), charge.start);
        number(out, member!("amount"), charge.amount);
        out.push('}');
    }
    if !charges.is_empty() {
        out.push(']');
    }
}

/// The row of a call with these attempts.
#[cfg(test)]
pub(super) fn filled<'a>(call: &CallRecord<'a>, attempts: &'a str) -> Row<'a> {
    let mut row = Row::default();
    fill(&mut row, call, attempts, "");
    row
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::filled as row;
    use super::*;
    use crate::fixture;
    use crate::prices::{Cost, PriceState, Usd};

    fn attempts(call: &CallRecord<'_>) -> String {
        let mut out = String::new();
        attempts::write(call, &mut out);
        out
    }

    #[test]
    fn a_call_is_kept_with_who_what_how_much_and_how_long() {
        let call = fixture::call();
        let text = attempts(&call);
        let row = row(&call, &text);
        let texts = [
            (Column::RequestId, "5c5e0b95f8d303cb81e4dc456a4b12d9"),
            (Column::Operation, "chat"),
            (Column::Consumer, "user-a"),
            (Column::EndUser, "alice"),
            (Column::Route, "chat"),
            (Column::ClientDialect, "openai_chat"),
            (Column::ProviderDialect, "openai_chat"),
            (Column::ModelAsked, "gpt-5"),
            (Column::ModelServed, "gpt-5-2025-08-07"),
            (Column::Provider, "openai"),
            (Column::Instance, "openai-main"),
            (
                Column::Usage,
                r#"{"prompt_tokens":13,"completion_tokens":39,"total_tokens":52}"#,
            ),
            (Column::Outcome, "ok"),
        ];
        for (column, text) in texts {
            assert_eq!(row.text_of(column), text, "{column:?}");
        }
        let numbers = [
            (Column::Time, 1_795_221_036_100),
            (Column::InputTokens, 13),
            (Column::OutputTokens, 39),
            (Column::Latency, 2900),
            (Column::TimeToFirstToken, 2858),
            (Column::Status, 200),
            (Column::RequestBytes, 120),
            (Column::ResponseBytes, 804),
        ];
        for (column, number) in numbers {
            assert_eq!(row.number_of(column), number, "{column:?}");
        }
    }

    #[test]
    fn what_attempts_before_the_last_used_is_counted_and_told_apart() {
        let failed = Attempt {
            instance: "first",
            outcome: "cut",
            usage: Some(TokenUsage {
                prompt: 100,
                completion: 7,
                cache_write: 30,
                cache_write_1h: 10,
                estimated: true,
                ..TokenUsage::default()
            }),
            cost: Cost {
                usd: Usd::from_pico(1_500_000),
                price: PriceState::Known,
                estimated: true,
            },
            ..fixture::ATTEMPTS[0]
        };
        let made = [failed, fixture::ATTEMPTS[0]];
        let call = CallRecord {
            attempts: &made,
            ..fixture::call()
        };
        let text = attempts(&call);
        let row = row(&call, &text);
        assert_eq!(row.number_of(Column::InputTokens), 113);
        assert_eq!(row.number_of(Column::OutputTokens), 46);
        assert_eq!(row.number_of(Column::CacheWrite5m), 20);
        assert_eq!(row.number_of(Column::CacheWrite1h), 10);
        assert_eq!(row.number_of(Column::UsageEstimated), 1);
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            told[0]["usage"],
            json!({"input": 100, "output": 7, "cache_write": 30, "cache_write_1h": 10, "estimated": true})
        );
        assert_eq!(
            (&told[0]["cost_micro_usd"], &told[0]["cost_state"]),
            (&json!(2), &json!("estimated"))
        );
    }

    #[test]
    fn what_was_charged_to_budgets_is_kept() {
        let charge = |budget, amount| Charge {
            budget,
            start: 86_400,
            amount,
        };
        let mut out = String::new();
        charges_json(&[], &mut out);
        assert_eq!(out, "");
        charges_json(&[charge("team.a.usd.day", 7), charge("b", 9)], &mut out);
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            told,
            json!([
                {"budget": "team.a.usd.day", "start": 86_400, "amount": 7},
                {"budget": "b", "start": 86_400, "amount": 9},
            ])
        );
    }

    #[test]
    fn a_refused_call_is_kept_without_tokens_and_without_a_model_that_served() {
        let call = CallRecord {
            attempts: &[],
            status: 401,
            error_code: Some("unauthorized"),
            provider: None,
            instance: None,
            upstream_model: None,
            response_model: None,
            usage: None,
            cost: Cost::default(),
            ..fixture::call()
        };
        let row = row(&call, "[]");
        assert_eq!(row.text_of(Column::Outcome), "refused");
        assert_eq!(row.text_of(Column::ErrorCode), "unauthorized");
        assert_eq!(row.text_of(Column::CostState), "nothing");
        assert_eq!(row.text_of(Column::ModelServed), "");
        assert_eq!(row.get(Column::UsageEstimated), super::super::Value::Null);
    }
}
