//! `teams`, `governance`, and what consumers may spend.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use super::file::{File, RedisEntry};
use super::responses::lower_redis;
use super::units::Dollars;
use crate::check;
use crate::glob::Glob;
use crate::governance::tree_mistake;
use crate::model::{Amount, Budget, Governance, Limit, OnDown, Period, Rate, Subject, Team, Webhook, Window};
use crate::named::Named;
use crate::report::Report;
use crate::secret::SecretRef;
use crate::tree::Path;

/// The largest amount: what counters can count exactly.
const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// A team of consumers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamEntry {
    /// Its name for people. Default: its id.
    name: Option<String>,
    /// The team it stands below, such as a department's project. What it spends counts there too.
    parent: Option<String>,
    /// Models its consumers and keys may use: names, or patterns with `*`. Default: no restriction of the team's.
    models: Option<Vec<String>>,
    /// What it may spend, such as `{usd: 500, per: month}`.
    budget: Option<BudgetEntry>,
    /// Several budgets, instead of `budget`.
    #[serde(default)]
    budgets: Vec<BudgetEntry>,
    /// How often, how much or how many at once: `{requests: 100, per: minute}`, or a list of such limits.
    #[serde(default)]
    limits: OneOrMany<LimitEntry>,
    /// Whether its calls are refused. Default: `false`.
    #[serde(default)]
    disabled: bool,
    /// Free text for reports.
    #[serde(default)]
    labels: Named<String>,
}

/// What may be spent in a time. Needs `usd` or `tokens`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetEntry {
    /// US dollars.
    usd: Option<Dollars>,
    /// Tokens, input and output together.
    tokens: Option<u64>,
    /// The time: an hour, day, week (from Monday) or month of the calendar, in UTC, or `total`.
    per: Period,
    /// Shares at which people are told. Default: `[0.8, 1.0]`.
    warn_at: Option<Vec<f64>>,
    /// Whether calls are refused that do not fit. Default: `true`.
    hard: Option<bool>,
}

/// How often, how much or how many at once. Needs one of `requests`, `tokens` and `concurrent`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitEntry {
    /// Calls in the time.
    requests: Option<u64>,
    /// Tokens in the time, input and output together.
    tokens: Option<u64>,
    /// Calls at the same time.
    concurrent: Option<u64>,
    /// The time. It begins with the first call after the end of the last one.
    per: Option<Window>,
}

/// How spending is counted, and who is told of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GovernanceEntry {
    /// Where several gateways count budgets and limits together. Default: each counts for itself.
    redis: Option<RedisEntry>,
    /// What happens to calls while Redis does not answer: `allow` decides by what this gateway has counted itself, `refuse`
    /// answers 503. Default: `allow`.
    on_redis_down: Option<OnDown>,
    /// What happens to calls with budgets while the usage ledger has not told since the start what was spent before: `allow`
    /// counts from nothing until it does, `refuse` answers 503. Default: `allow`.
    on_ledger_down: Option<OnDown>,
    /// Who is told when a budget is used up to one of its `warn_at`.
    webhook: Option<WebhookEntry>,
    /// Tokens reserved for an answer whose request sets no limit of its own. Default: what the model can write at most, or
    /// 4096 where that is not known.
    reserve_output: Option<u64>,
}

/// An address that is told of events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEntry {
    /// Where it is, `https://host/path`.
    url: SecretRef,
    /// What stands in its `Authorization` header. Default: nothing.
    authorization: Option<SecretRef>,
}

/// One, or a list.
#[derive(Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Choice<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map, or a list of maps")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMany(all))
            }
        }

        deserializer.deserialize_any(Choice(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Lowers what the file says about identity and spend.
pub(super) fn lower(file: &File, report: &mut Report) -> Governance {
    let mut governance = Governance::default();
    let teams = Path::of(["teams"]);
    for (id, entry) in file.teams.iter() {
        let path = teams.key(id);
        if let Err(text) = check::username(id) {
            report.mistake(&path, text);
        }
        governance.teams.push(Team {
            id: id.to_owned(),
            name: entry.name.clone().unwrap_or_else(|| id.to_owned()),
            parent: entry.parent.clone(),
            models: entry
                .models
                .as_ref()
                .map(|models| models.iter().map(Glob::new).collect()),
            disabled: entry.disabled,
            labels: entry
                .labels
                .iter()
                .map(|(name, text)| (name.to_owned(), text.clone()))
                .collect::<BTreeMap<_, _>>(),
        });
        let subject = Subject::Team(id.to_owned());
        let budgets = entry.budget.iter().chain(&entry.budgets);
        spend(&subject, &path, budgets, &entry.limits, &mut governance, report);
    }
    let parents = governance
        .teams
        .iter()
        .map(|team| (team.id.as_str(), team.parent.as_deref()));
    if let Some((team, text)) = tree_mistake(parents) {
        report.mistake(&teams.key(&team).key("parent"), text);
    }
    for (name, entry) in file.consumers.iter() {
        let subject = Subject::Consumer(name.to_owned());
        let path = Path::of(["consumers", name]);
        let budgets = entry.budget.iter().chain(&entry.budgets);
        spend(&subject, &path, budgets, &entry.limits, &mut governance, report);
    }
    let path = Path::of(["governance"]);
    lower_settings(file.governance.as_ref(), &path, &mut governance, report);
    governance
}

/// Lowers how spending is counted, which stands at `path`.
pub(crate) fn lower_settings(
    entry: Option<&GovernanceEntry>,
    path: &Path,
    governance: &mut Governance,
    report: &mut Report,
) {
    let Some(entry) = entry else {
        return;
    };
    governance.redis = entry
        .redis
        .as_ref()
        .and_then(|redis| lower_redis(redis, &path.key("redis"), report));
    governance.on_redis_down = entry.on_redis_down.unwrap_or_default();
    governance.on_ledger_down = entry.on_ledger_down.unwrap_or_default();
    governance.webhook = entry.webhook.as_ref().map(|webhook| Webhook {
        url: webhook.url.clone(),
        authorization: webhook.authorization.clone(),
    });
    governance.reserve_output = entry.reserve_output;
    if entry.reserve_output == Some(0) {
        report.mistake(&path.key("reserve_output"), "must be more than 0");
    }
}

/// Lowers what one may spend.
fn spend<'a>(
    subject: &Subject,
    path: &Path,
    budgets: impl Iterator<Item = &'a BudgetEntry>,
    limits: &OneOrMany<LimitEntry>,
    governance: &mut Governance,
    report: &mut Report,
) {
    let own = subject.to_string().replace('/', ".");
    for (number, entry) in budgets.enumerate() {
        let path = match report.tree.at(&path.key("budget")) {
            Some(_) if number == 0 => path.key("budget"),
            Some(_) => report.item(&path.key("budgets"), number - 1),
            None => report.item(&path.key("budgets"), number),
        };
        if let Some((amount, warn_at)) = amount(entry, &path, report) {
            // What is spent is remembered under this: it must not depend on the place in a list.
            let mut id = format!("{own}.{}.{}", amount.unit(), entry.per.word());
            if governance.budgets.iter().any(|budget| budget.id == id) {
                id = format!("{id}.{number}");
            }
            governance.budgets.push(Budget {
                id,
                subject: subject.clone(),
                amount,
                per: entry.per,
                warn_at,
                hard: entry.hard.unwrap_or(true),
                disabled: false,
            });
        }
    }
    for (number, entry) in limits.0.iter().enumerate() {
        let path = path.key("limits");
        let rate = match (entry.requests, entry.tokens, entry.concurrent, entry.per) {
            (Some(requests), None, None, Some(per)) if requests > 0 => Rate::Requests(requests, per),
            (None, Some(tokens), None, Some(per)) if tokens > 0 => Rate::Tokens(tokens, per),
            (None, None, Some(calls), None) if calls > 0 => Rate::Concurrent(calls),
            _ => {
                report.mistake(
                    &path,
                    "each limit is one of `{requests: N, per: minute}`, `{tokens: N, per: minute}` and `{concurrent: N}`, with N \
                     above 0; `per` is one of second, minute, hour and day",
                );
                continue;
            }
        };
        governance.limits.push(Limit {
            id: format!("{own}.{number}"),
            subject: subject.clone(),
            rate,
            disabled: false,
        });
    }
}

fn amount(entry: &BudgetEntry, path: &Path, report: &mut Report) -> Option<(Amount, Vec<u32>)> {
    let amount = match (&entry.usd, entry.tokens) {
        (Some(usd), None) => match usd.parts(6) {
            Ok(micro) => Amount::MicroUsd(micro),
            Err(text) => {
                report.mistake(&path.key("usd"), text);
                return None;
            }
        },
        (None, Some(tokens)) => Amount::Tokens(tokens),
        _ => {
            report.mistake(path, "name one of `usd` and `tokens`");
            return None;
        }
    };
    if !(1..=MAX_AMOUNT).contains(&amount.number()) {
        report.mistake(&path.key(amount.unit()), "must be more than 0, and not that much");
        return None;
    }
    let Some(written) = &entry.warn_at else {
        return Some((amount, crate::governance::DEFAULT_WARN_AT.to_vec()));
    };
    if written.len() > 10 || !written.iter().all(|share| *share >= 0.001 && *share <= 1.0) {
        report.mistake(
            &path.key("warn_at"),
            "must be shares above 0 and up to 1, such as `[0.8, 1.0]`",
        );
        return None;
    }
    // At most 1000.
    let mut shares: Vec<u32> = written
        .iter()
        .map(|share| (share * 1000.0).round() as u32)
        .collect();
    shares.sort_unstable();
    shares.dedup();
    Some((amount, shares))
}
