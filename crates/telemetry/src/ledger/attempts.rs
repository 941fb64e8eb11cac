//! The attempts of a call as they are kept: JSON, without what is known already.
//!
//! Most calls have one attempt, and most of what there is to say of it stands in the columns of the call: it would be a quarter of
//! what is kept. So a single attempt leaves out what is the same there, and readers put it back. What it has not, although the call
//! has, is `null`.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::json::{member, name, number, text};
use super::row::Value;
use super::schema::{Column, KEY_TEXT};
use crate::format::outcome;
use crate::record::{Attempt, CallRecord, TokenUsage};

/// Writes the attempts of a call. Numbers that are 0, and texts that there are none of, are left out.
pub(super) fn write(call: &CallRecord<'_>, out: &mut String) {
    out.push('[');
    match call.attempts {
        [only] => write_only(only, call, out),
        attempts => {
            for (i, attempt) in attempts.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_one(attempt, out);
            }
        }
    }
    out.push(']');
}

fn write_one(attempt: &Attempt<'_>, out: &mut String) {
    out.push('{');
    text(out, member!("instance"), Some(attempt.instance));
    text(out, member!("provider"), attempt.provider);
    text(out, member!("model"), attempt.model);
    text(out, member!("answered"), attempt.response_model);
    text(out, member!("outcome"), Some(attempt.outcome));
    if let Some(status) = attempt.status {
        number(out, member!("status"), u64::from(status));
    }
    write_times(attempt, out);
    text(out, member!("tier"), attempt.service_tier);
    if let Some(usage) = attempt.usage {
        write_usage(usage, out);
    }
    if let Some(cost) = attempt.cost.micro_usd() {
        number(out, member!("cost_micro_usd"), cost);
    }
    text(out, member!("cost_state"), Some(attempt.cost.state()));
    out.push('}');
}

fn write_times(attempt: &Attempt<'_>, out: &mut String) {
    number(out, member!("started_ms"), millis(attempt.started));
    number(out, member!("ms"), millis(attempt.duration));
}

fn write_usage(usage: TokenUsage, out: &mut String) {
    name(out, member!("usage"));
    out.push('{');
    Tokens::from(usage).write(out);
    out.push('}');
}

/// Writes what the columns do not tell of the only attempt of a call.
fn write_only(attempt: &Attempt<'_>, call: &CallRecord<'_>, out: &mut String) {
    out.push('{');
    let served = attempt.response_model.or(attempt.model);
    other_text(out, member!("instance"), Some(attempt.instance), call.instance);
    other_text(out, member!("provider"), attempt.provider, call.provider);
    text(out, member!("model"), attempt.model);
    other_text(out, member!("answered"), attempt.response_model, served);
    other_text(
        out,
        member!("outcome"),
        Some(attempt.outcome),
        Some(outcome(call)),
    );
    other_number(
        out,
        member!("status"),
        attempt.status.map(u64::from),
        Some(call.status.into()),
    );
    write_times(attempt, out);
    // The tier is that of the last attempt.
    other_text(out, member!("tier"), attempt.service_tier, attempt.service_tier);
    if let Some(usage) = attempt.usage
        && !is_in_columns(&usage)
    {
        write_usage(usage, out);
    }
    let (own, cost) = (attempt.cost, call.cost);
    other_number(out, member!("cost_micro_usd"), own.micro_usd(), cost.micro_usd());
    other_text(out, member!("cost_state"), Some(own.state()), Some(cost.state()));
    out.push('}');
}

/// Writes a text that is not what its column holds. Longer ones are cut there.
fn other_text(out: &mut String, of: &'static str, own: Option<&str>, column: Option<&str>) {
    match own {
        own if own == column && own.is_none_or(|own| own.len() <= KEY_TEXT) => {}
        None => null(out, of),
        own => text(out, of, own),
    }
}

/// Writes a number that is not what its column holds.
fn other_number(out: &mut String, of: &'static str, own: Option<u64>, column: Option<u64>) {
    match own {
        own if own == column => {}
        None => null(out, of),
        Some(own) => number(out, of, own),
    }
}

fn null(out: &mut String, of: &'static str) {
    name(out, of);
    out.push_str("null");
}

/// Whether the columns tell all of it: they have neither the provider's total nor searches.
fn is_in_columns(usage: &TokenUsage) -> bool {
    usage.total == usage.prompt.saturating_add(usage.completion)
        && usage.searches == 0
        && usage.cache_write_1h <= usage.cache_write
}

/// Puts back what was left out of the only attempt of a call, whose columns are `of_call`. Other texts stay as they are.
pub(super) fn complete<'c>(attempts: &str, of_call: impl Fn(Column) -> Value<'c>) -> Option<String> {
    let mut read: Vec<Map<String, Json>> = serde_json::from_str(attempts).ok()?;
    let [attempt] = read.as_mut_slice() else {
        return None;
    };
    for (name, column) in LEFT_OUT {
        let told = match of_call(column) {
            Value::Null => continue,
            Value::Text(text) => Json::from(text),
            Value::Number(number) => Json::from(number),
        };
        attempt.entry(name).or_insert(told);
    }
    if !attempt.contains_key("usage")
        && let Value::Number(is_estimated) = of_call(Column::UsageEstimated)
    {
        let mut usage = String::from("{");
        tokens_in_columns(is_estimated != 0, of_call).write(&mut usage);
        usage.push('}');
        attempt.insert("usage".to_owned(), serde_json::from_str(&usage).ok()?);
    }
    attempt.retain(|_, value| !value.is_null());
    serde_json::to_string(&read).ok()
}

/// What a single attempt leaves out, and where it is told instead.
const LEFT_OUT: [(&str, Column); 8] = [
    ("instance", Column::Instance),
    ("provider", Column::Provider),
    ("answered", Column::ModelServed),
    ("outcome", Column::Outcome),
    ("status", Column::Status),
    ("tier", Column::ServiceTier),
    ("cost_micro_usd", Column::CostMicroUsd),
    ("cost_state", Column::CostState),
];

fn tokens_in_columns<'c>(estimated: bool, of_call: impl Fn(Column) -> Value<'c>) -> Tokens {
    let number = |column| match of_call(column) {
        Value::Number(number) => u64::try_from(number).unwrap_or(0),
        Value::Null | Value::Text(_) => 0,
    };
    let (input, output) = (number(Column::InputTokens), number(Column::OutputTokens));
    let cache_write_1h = number(Column::CacheWrite1h);
    Tokens {
        input,
        output,
        total: input.saturating_add(output),
        cached: number(Column::CachedTokens),
        cache_write: number(Column::CacheWrite5m).saturating_add(cache_write_1h),
        cache_write_1h,
        audio_input: number(Column::AudioInput),
        audio_output: number(Column::AudioOutput),
        image_input: number(Column::ImageInput),
        image_output: number(Column::ImageOutput),
        video_input: number(Column::VideoInput),
        tool_input: number(Column::ToolInput),
        reasoning: number(Column::ReasoningTokens),
        searches: 0,
        estimated,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

macro_rules! tokens {
    ($($short:ident $of:ident,)*) => {
        /// The tokens of one attempt, by the names of the columns of a call.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
        #[serde(default)]
        pub(super) struct Tokens {
            $($short: u64,)*
            estimated: bool,
        }

        impl Tokens {
            /// Writes those that are not 0.
            fn write(self, out: &mut String) {
                for (name, tokens) in [$((member!(stringify!($short)), self.$short),)*] {
                    if tokens != 0 {
                        number(out, name, tokens);
                    }
                }
                if self.estimated {
                    name(out, member!("estimated"));
                    out.push_str("true");
                }
            }
        }

        impl From<TokenUsage> for Tokens {
            fn from(usage: TokenUsage) -> Tokens {
                Tokens { $($short: usage.$of,)* estimated: usage.estimated }
            }
        }

        impl From<Tokens> for TokenUsage {
            fn from(tokens: Tokens) -> TokenUsage {
                TokenUsage { $($of: tokens.$short,)* estimated: tokens.estimated }
            }
        }
    };
}

tokens! {
    input prompt,
    output completion,
    total total,
    cached cached,
    cache_write cache_write,
    cache_write_1h cache_write_1h,
    audio_input audio_input,
    audio_output audio_output,
    image_input image_input,
    image_output image_output,
    video_input video_input,
    tool_input tool_input,
    reasoning reasoning,
    searches searches,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::record::filled;
    use super::super::row::Row;
    use super::*;
    use crate::fixture;
    use crate::prices::{Cost, PriceState, Usd};

    /// What a reader gets of the only attempt of a call, and how it would be written among others.
    fn read_and_whole(call: &CallRecord<'_>) -> (Json, Json) {
        let (mut kept, mut whole) = (String::new(), String::new());
        write(call, &mut kept);
        let row: Row<'_> = filled(call, &kept);
        let read = complete(&kept, |column| row.get(column)).unwrap();
        write_one(&call.attempts[0], &mut whole);
        (
            serde_json::from_str::<Json>(&read).unwrap()[0].take(),
            serde_json::from_str(&whole).unwrap(),
        )
    }

    #[test]
    fn a_usual_call_says_nothing_twice() {
        let mut kept = String::new();
        write(&fixture::call(), &mut kept);
        assert_eq!(kept, r#"[{"model":"gpt-5","started_ms":2,"ms":2858}]"#);
        let (read, whole) = read_and_whole(&fixture::call());
        assert_eq!(read, whole);
        assert_eq!(whole["usage"]["output"], 39);
    }

    #[test]
    fn several_attempts_and_none_are_told_whole() {
        let two = [fixture::ATTEMPTS[0], fixture::ATTEMPTS[0]];
        for (attempts, length) in [(&two[..], 2), (&[], 0)] {
            let call = CallRecord {
                attempts,
                ..fixture::call()
            };
            let mut kept = String::new();
            write(&call, &mut kept);
            let told: Vec<Json> = serde_json::from_str(&kept).unwrap();
            assert_eq!(told.len(), length);
            assert!(told.iter().all(|attempt| attempt["provider"] == "openai"));
            assert_eq!(complete(&kept, |_| Value::Null), None);
        }
    }

    fn usage() -> impl Strategy<Value = TokenUsage> {
        let few = || 0_u64..3;
        (
            (few(), few(), few(), few()),
            (few(), few(), few(), few()),
            any::<bool>(),
        )
            .prop_map(
                |(
                    (prompt, completion, more, cached),
                    (cache_write, cache_write_1h, reasoning, searches),
                    estimated,
                )| {
                    TokenUsage {
                        prompt,
                        completion,
                        total: prompt + completion + more / 2,
                        cached,
                        cache_write,
                        cache_write_1h,
                        reasoning,
                        searches: searches / 2,
                        image_input: cached,
                        audio_output: reasoning,
                        estimated,
                        ..TokenUsage::default()
                    }
                },
            )
    }

    fn cost() -> impl Strategy<Value = Cost> {
        let states = vec![PriceState::Nothing, PriceState::Known, PriceState::Unknown];
        (0..3_u128, select(states), any::<bool>()).prop_map(|(micro, price, estimated)| Cost {
            usd: Usd::from_pico(micro * 1_000_000),
            price,
            estimated,
        })
    }

    fn name() -> impl Strategy<Value = Option<&'static str>> {
        static LONG: &str = match str::from_utf8(&[b'x'; KEY_TEXT + 1]) {
            Ok(long) => long,
            Err(_) => "",
        };
        select(vec![None, Some("a"), Some("b"), Some("a \"b\""), Some(LONG)])
    }

    proptest! {
        #[test]
        fn what_is_left_out_comes_back(
            (provider, provider_of_call, instance, answered, tier) in (name(), name(), name(), name(), name()),
            (usage, cost, cost_of_call) in (prop::option::of(usage()), cost(), cost()),
            (status, status_of_call) in (select(vec![None, Some(200), Some(503)]), select(vec![200, 499, 503])),
            client_gone in any::<bool>(),
        ) {
            let attempts = [Attempt {
                provider,
                response_model: answered,
                service_tier: tier,
                usage,
                cost,
                status,
                ..fixture::ATTEMPTS[0]
            }];
            let call = CallRecord {
                attempts: &attempts,
                provider: provider_of_call,
                instance,
                cost: cost_of_call,
                status: status_of_call,
                client_gone,
                ..fixture::call()
            };
            let (read, whole) = read_and_whole(&call);
            prop_assert_eq!(&read, &whole);
            let tokens: Option<Tokens> = read.get("usage").map(|usage| serde_json::from_value(usage.clone()).unwrap());
            prop_assert_eq!(tokens.map(TokenUsage::from), usage);
        }
    }
}
