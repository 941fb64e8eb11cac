//! Teams, virtual keys, budgets and limits as objects: their JSON, and what may be wrong with it.
//!
//! The same reading serves the Admin API, which tells mistakes to who wrote them, and the gateway, which reads what is stored.

mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::{Amount, Budget, Limit, Rate, Team, VirtualKey};

pub(crate) use read::DEFAULT_WARN_AT;
pub use read::{Wrong, budget, limit, micro_usd, read_time, team, time_text, virtual_key};

/// An amount of money as text: US dollars with six digits after the point.
pub fn usd_text(micro_usd: u64) -> String {
    let (mut whole, mut part) = (itoa::Buffer::new(), itoa::Buffer::new());
    // With a digit before it, so that there are always six behind that.
    let part = part.format(1_000_000 + micro_usd % 1_000_000);
    let mut text = String::with_capacity(24);
    text.push_str(whole.format(micro_usd / 1_000_000));
    text.push('.');
    text.push_str(part.get(1..).unwrap_or_default());
    text
}

/// A team as JSON.
pub fn team_json(team: &Team) -> Map<String, Value> {
    object(json!({
        "id": team.id,
        "name": team.name,
        "parent": team.parent,
        "models": models_json(team.models.as_ref()),
        "disabled": team.disabled,
        "labels": team.labels,
    }))
}

/// A budget as JSON, without its state.
pub fn budget_json(budget: &Budget) -> Map<String, Value> {
    let mut value = object(json!({
        "id": budget.id,
        "for": budget.subject.to_string(),
        "per": budget.per.word(),
        "warn_at": budget.warn_at.iter().map(|share| f64::from(*share) / 1000.0).collect::<Vec<_>>(),
        "hard": budget.hard,
        "disabled": budget.disabled,
    }));
    let (name, amount) = match budget.amount {
        Amount::MicroUsd(amount) => ("usd", json!(usd_text(amount))),
        Amount::Tokens(amount) => ("tokens", json!(amount)),
    };
    value.insert(name.to_owned(), amount);
    value
}

/// A limit as JSON, without its state.
pub fn limit_json(limit: &Limit) -> Map<String, Value> {
    let mut value = object(json!({
        "id": limit.id,
        "for": limit.subject.to_string(),
        "disabled": limit.disabled,
    }));
    let (name, amount, per) = match limit.rate {
        Rate::Requests(amount, per) => ("requests", amount, Some(per)),
        Rate::Tokens(amount, per) => ("tokens", amount, Some(per)),
        Rate::Concurrent(amount) => ("concurrent", amount, None),
    };
    value.insert(name.to_owned(), json!(amount));
    if let Some(per) = per {
        value.insert("per".to_owned(), json!(per.word()));
    }
    value
}

/// A key as it is shown: without anything of its secret but the prefix.
pub fn key_json(key: &VirtualKey) -> Map<String, Value> {
    object(json!({
        "id": key.id,
        "name": key.name,
        "consumer": key.consumer,
        "team": key.team,
        "models": models_json(key.models.as_ref()),
        "prefix": said(&key.prefix),
        "created_at": time_text(key.created_at),
        "created_by": said(&key.created_by),
        "expires_at": key.expires_at.map(time_text),
        "disabled": key.disabled,
        "last_used_at": key.last_used_at.map(time_text),
        "labels": key.labels,
    }))
}

/// A key as it is stored.
pub fn stored_key_json(key: &VirtualKey) -> Map<String, Value> {
    let mut value = key_json(key);
    value.insert("hash".to_owned(), json!(key.hash.to_text()));
    let former: Vec<Value> = key
        .former
        .iter()
        .map(|former| json!({"hash": former.hash.to_text(), "until": time_text(former.until)}))
        .collect();
    value.insert("former".to_owned(), former.into());
    value
}

/// A text, or null where there is none.
fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn models_json(models: Option<&Vec<crate::Glob>>) -> Value {
    models.map_or(Value::Null, |models| {
        models.iter().map(|glob| glob.as_str()).collect::<Vec<_>>().into()
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Why the teams are no tree: a parent that is not there, or a circle. `None` if they are one.
pub fn tree_mistake<'a>(teams: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Option<(String, String)> {
    let parents: BTreeMap<&str, Option<&str>> = teams.collect();
    for (id, parent) in &parents {
        let mut above = *parent;
        let mut steps = 0;
        while let Some(next) = above {
            let Some(parent) = parents.get(next) else {
                return (steps == 0).then(|| ((*id).to_owned(), no_such_parent(next)));
            };
            steps += 1;
            if next == *id || steps > MAX_DEPTH {
                let text = if next == *id {
                    format!("`{id}` would stand below itself; name another parent")
                } else {
                    format!("teams stand at most {MAX_DEPTH} levels below each other")
                };
                return Some(((*id).to_owned(), text));
            }
            above = *parent;
        }
    }
    None
}

/// What is said of a parent that is not there.
pub fn no_such_parent(team: &str) -> String {
    format!("there is no team `{team}`; name one that exists, or leave `parent` out")
}

/// How many teams may stand above one.
pub const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests;
