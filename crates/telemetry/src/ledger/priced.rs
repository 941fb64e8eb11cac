//! What a past call costs by other prices.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value as Json, json};

use super::attempts::Tokens;
use super::calls::Call;
use super::reprice::Change;
use super::schema::Column;
use crate::prices::{Asked, Cost, Prices};

/// Computes the cost of a kept call from what its attempts used; `None` if that is not known.
pub fn priced(prices: &Prices, call: &Call) -> Option<Change> {
    let text = call.text(Column::Attempts)?;
    let mut attempts: Vec<Map<String, Json>> = serde_json::from_str(text).ok()?;
    let milliseconds = u64::try_from(call.number(Column::Time)?).ok()?;
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))?;
    let mut whole = Cost::default();
    let mut has_changed = false;
    for attempt in &mut attempts {
        let cost = cost(prices, attempt, at);
        whole = whole + cost;
        has_changed |= replace(attempt, cost);
    }
    if attempts.is_empty() {
        return None;
    }
    Some(Change {
        cost_micro_usd: whole.micro_usd().and_then(|micro| i64::try_from(micro).ok()),
        cost_state: whole.state(),
        price_pack: prices.version().to_owned(),
        attempts: Some(match has_changed {
            true => json!(attempts).to_string(),
            false => text.to_owned(),
        }),
    })
}

fn cost(prices: &Prices, attempt: &Map<String, Json>, at: std::time::SystemTime) -> Cost {
    let text = |name: &str| attempt.get(name).and_then(Json::as_str);
    let usage = attempt.get("usage").cloned();
    let tokens = usage.and_then(|usage| serde_json::from_value::<Tokens>(usage).ok());
    let (Some(tokens), Some(provider)) = (tokens, text("provider")) else {
        return Cost::default();
    };
    let asked = Asked {
        provider,
        model: text("model").unwrap_or_default(),
        answered: text("answered"),
        service_tier: text("tier"),
    };
    prices.cost(&asked, &tokens.into(), at)
}

/// Writes an attempt's cost, and tells whether it was another.
fn replace(attempt: &mut Map<String, Json>, cost: Cost) -> bool {
    let state = attempt.insert("cost_state".to_owned(), json!(cost.state()));
    let mut has_changed = state != Some(json!(cost.state()));
    let before = match cost.micro_usd() {
        Some(micro) => attempt.insert("cost_micro_usd".to_owned(), json!(micro)),
        None => attempt.remove("cost_micro_usd"),
    };
    has_changed |= before != cost.micro_usd().map(|micro| json!(micro));
    has_changed
}
