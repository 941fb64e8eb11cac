//! `tollgate reprice`: computes costs of past calls anew, by the prices that are in force now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use tollgate_resources::Resources;
use tollgate_telemetry::ledger::{Changed, Column, Repriced, Repricer, parse_time, priced, time_text, usd};

use crate::cli::{Failure, RepriceArguments};
use crate::prices;
use crate::usage::{now_s, place_of};

/// Computes costs anew and says what has changed.
///
/// # Errors
/// A time is wrong, the configuration has mistakes, or the store cannot be read or changed.
pub fn reprice(arguments: &RepriceArguments) -> Result<(), Failure> {
    let (place, loaded) = place_of(arguments.data_dir.as_deref(), arguments.config.as_deref())?;
    let now = now_s();
    let from = parse_time("--from", &arguments.from, now).map_err(Failure::new)?;
    let to = match &arguments.to {
        Some(to) => parse_time("--to", to, now).map_err(Failure::new)?,
        // With the calls of the second that has begun.
        None => now + 1,
    };
    if to < from {
        return Err(Failure::new("--to: is before --from"));
    }
    let resources = loaded.map_or_else(Resources::default, |loaded| loaded.resources);
    let prices = prices::in_force(&resources.prices)?;
    let mut models = BTreeMap::<(String, String), Models>::new();
    let mut tell = |changed: &Changed<'_>| {
        let text = |column| changed.call.text(column).unwrap_or("(none)").to_owned();
        let model = models
            .entry((text(Column::Provider), text(Column::ModelServed)))
            .or_default();
        model.calls += 1;
        model.before += changed.call.number(Column::CostMicroUsd).unwrap_or(0);
        model.after += changed.change.cost_micro_usd.unwrap_or(0);
    };
    let done = Repricer::new(place)
        .run(
            (from.saturating_mul(1000), to.saturating_mul(1000)),
            arguments.dry_run,
            &mut |call| priced(&prices, call),
            &mut tell,
        )
        .map_err(Failure::new)?;
    let text = told(&models, &done, arguments.dry_run, (from, to), prices.version());
    // Whoever reads may stop reading, as `head` does.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// What has changed for a model at a provider.
#[derive(Default)]
struct Models {
    calls: u64,
    before: i64,
    after: i64,
}

fn told(
    models: &BTreeMap<(String, String), Models>,
    done: &Repriced,
    is_dry: bool,
    (from, to): (i64, i64),
    version: &str,
) -> String {
    let mut text = String::new();
    for ((provider, model), changed) in models {
        let _ = writeln!(
            text,
            "{}/{}: {} calls, {} USD -> {} USD",
            clean(provider),
            clean(model),
            changed.calls,
            usd(changed.before),
            usd(changed.after)
        );
    }
    let _ = writeln!(
        text,
        "{} of {} calls from {} to {} {}: {} USD -> {} USD; without a known price: {} -> {}; price pack {version}",
        done.changed,
        done.calls,
        time_text(from),
        time_text(to),
        if is_dry { "would change" } else { "changed" },
        usd(done.before_micro_usd),
        usd(done.after_micro_usd),
        done.unpriced_before,
        done.unpriced_after,
    );
    text
}

fn clean(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}
