//! Reads the JSON of teams, keys, budgets and limits. The first mistake is told, with what to write instead.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::glob::Glob;
use crate::model::{
    Amount, Budget, FormerSecret, KeyHash, Limit, Period, Rate, Subject, Team, VirtualKey, Window,
};

/// Bytes of a name or an id at most.
const MAX_NAME: usize = 128;

/// Models or labels of one object at most.
const MAX_ITEMS: usize = 1000;

/// The largest amount: what counters can count exactly.
const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Wrong {
    /// The member, such as `warn_at`.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub text: String,
}

fn wrong(field: &str, text: impl Into<String>) -> Wrong {
    Wrong {
        field: field.to_owned(),
        text: format!("`{field}` {}", text.into()),
    }
}

/// The members of an object that is read. Those that nobody has asked for are mistakes.
struct Members<'a> {
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Members<'a> {
    fn new(map: &'a Map<String, Value>) -> Self {
        Members {
            map,
            known: Vec::new(),
        }
    }

    /// A member; `None` also for `null`.
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_NAME => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name, format!("must be text of 1 to {MAX_NAME} bytes"))),
        }
    }

    fn boolean(&mut self, name: &'static str, otherwise: bool) -> Result<bool, Wrong> {
        match self.get(name) {
            None => Ok(otherwise),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(wrong(name, "must be true or false")),
        }
    }

    fn number(&mut self, name: &'static str) -> Result<Option<u64>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().filter(|number| (1..=MAX_AMOUNT).contains(number)) {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(name, "must be a whole number of 1 or more")),
            },
        }
    }

    fn time(&mut self, name: &'static str) -> Result<Option<u64>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str().and_then(read_time) {
                Some(time) => Ok(Some(time)),
                None => Err(wrong(
                    name,
                    "must be a time in UTC, such as \"2027-01-31T00:00:00Z\"",
                )),
            },
        }
    }

    fn models(&mut self) -> Result<Option<Vec<Glob>>, Wrong> {
        const EXPECTED: &str =
            "must be a list of names of models, in which `*` stands for any text, or null for no restriction";
        let Some(value) = self.get("models") else {
            return Ok(None);
        };
        let items = value.as_array().filter(|items| items.len() <= MAX_ITEMS);
        let items = items.ok_or_else(|| wrong("models", EXPECTED))?;
        let glob = |item: &Value| {
            let text = item.as_str().filter(|text| !text.is_empty() && text.len() <= 256);
            text.map(Glob::new).ok_or_else(|| wrong("models", EXPECTED))
        };
        items.iter().map(glob).collect::<Result<_, _>>().map(Some)
    }

    fn labels(&mut self) -> Result<BTreeMap<String, String>, Wrong> {
        const EXPECTED: &str = "must be an object of texts, such as {\"cost_centre\": \"42\"}";
        let Some(value) = self.get("labels") else {
            return Ok(BTreeMap::new());
        };
        let items = value.as_object().filter(|items| items.len() <= MAX_ITEMS);
        let items = items.ok_or_else(|| wrong("labels", EXPECTED))?;
        let label = |(name, value): (&String, &Value)| {
            let value = value.as_str().filter(|text| text.len() <= 1024);
            let value = value.ok_or_else(|| wrong("labels", EXPECTED))?;
            Ok((name.clone(), value.to_owned()))
        };
        items.iter().map(label).collect()
    }

    fn id(&mut self) -> Result<String, Wrong> {
        let id = self.text("id")?;
        let id = id.ok_or_else(|| wrong("id", "is missing"))?;
        let is_plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match is_plain {
            true => Ok(id),
            false => Err(wrong("id", "may have letters, digits, `-`, `_` and `.`")),
        }
    }

    fn subject(&mut self) -> Result<Subject, Wrong> {
        let text = self.text("for")?;
        text.as_deref()
            .and_then(Subject::parse)
            .ok_or_else(|| wrong("for", "must be `all`, `team/ID`, `consumer/NAME` or `key/ID`"))
    }

    /// Refuses members that nobody has asked for.
    fn finish(self) -> Result<(), Wrong> {
        match self.map.keys().find(|name| !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let known = self.known.join("`, `");
                Err(Wrong {
                    field: unknown.clone(),
                    text: format!("`{unknown}` is not known here; there are `{known}`"),
                })
            }
        }
    }
}

/// Reads a team.
///
/// # Errors
/// What is wrong with it.
pub fn team(value: &Map<String, Value>) -> Result<Team, Wrong> {
    let mut members = Members::new(value);
    let id = members.id()?;
    let team = Team {
        name: members.text("name")?.unwrap_or_else(|| id.clone()),
        parent: members.text("parent")?,
        models: members.models()?,
        disabled: members.boolean("disabled", false)?,
        labels: members.labels()?,
        id,
    };
    members.finish()?;
    Ok(team)
}

/// Reads a budget.
///
/// # Errors
/// What is wrong with it.
pub fn budget(value: &Map<String, Value>) -> Result<Budget, Wrong> {
    let mut members = Members::new(value);
    let id = members.id()?;
    let subject = members.subject()?;
    let usd = match members.get("usd") {
        None => None,
        Some(value) => Some(amount(value).map_err(|text| wrong("usd", text))?),
    };
    let amount = match (usd, members.number("tokens")?) {
        (Some(usd), None) => Amount::MicroUsd(usd),
        (None, Some(tokens)) => Amount::Tokens(tokens),
        (None, None) => return Err(wrong("usd", "is missing; give `usd` or `tokens`")),
        (Some(_), Some(_)) => return Err(wrong("tokens", "stands beside `usd`; make a budget for each")),
    };
    let per = members.text("per")?.as_deref().and_then(Period::find);
    let per = per.ok_or_else(|| wrong("per", format!("must be one of `{}`", Period::WORDS.join("`, `"))))?;
    let budget = Budget {
        id,
        subject,
        amount,
        per,
        warn_at: shares(members.get("warn_at"))?,
        hard: members.boolean("hard", true)?,
        disabled: members.boolean("disabled", false)?,
    };
    members.finish()?;
    Ok(budget)
}

/// The shares of a budget at which people are told.
fn shares(value: Option<&Value>) -> Result<Vec<u32>, Wrong> {
    const EXPECTED: &str = "must be a list of shares above 0 and up to 1, such as [0.8, 1.0]";
    let Some(value) = value else {
        return Ok(DEFAULT_WARN_AT.to_vec());
    };
    let items = value.as_array().filter(|items| items.len() <= 10);
    let items = items.ok_or_else(|| wrong("warn_at", EXPECTED))?;
    let share = |item: &Value| {
        let share = item.as_f64().filter(|share| *share >= 0.001 && *share <= 1.0);
        let share = share.ok_or_else(|| wrong("warn_at", EXPECTED))?;
        // Cut to thousandths; it is at most 1000.
        Ok((share * 1000.0).round() as u32)
    };
    let mut shares = items.iter().map(share).collect::<Result<Vec<_>, Wrong>>()?;
    shares.sort_unstable();
    shares.dedup();
    Ok(shares)
}

/// The shares where nothing is said.
pub(crate) const DEFAULT_WARN_AT: [u32; 2] = [800, 1000];

/// Reads a limit.
///
/// # Errors
/// What is wrong with it.
pub fn limit(value: &Map<String, Value>) -> Result<Limit, Wrong> {
    let mut members = Members::new(value);
    let id = members.id()?;
    let subject = members.subject()?;
    let counts = [
        members.number("requests")?,
        members.number("tokens")?,
        members.number("concurrent")?,
    ];
    let window = match members.text("per")? {
        None => None,
        Some(word) => Some(
            Window::find(&word)
                .ok_or_else(|| wrong("per", format!("must be one of `{}`", Window::WORDS.join("`, `"))))?,
        ),
    };
    let rate = match (counts, window) {
        ([Some(requests), None, None], Some(window)) => Rate::Requests(requests, window),
        ([None, Some(tokens), None], Some(window)) => Rate::Tokens(tokens, window),
        ([None, None, Some(concurrent)], None) => Rate::Concurrent(concurrent),
        ([None, None, Some(_)], Some(_)) => return Err(wrong("per", "does not stand beside `concurrent`")),
        ([Some(_), None, None] | [None, Some(_), None], None) => {
            return Err(wrong(
                "per",
                format!("is missing; it is one of `{}`", Window::WORDS.join("`, `")),
            ));
        }
        _ => {
            return Err(wrong(
                "requests",
                "or `tokens` or `concurrent` must be given, one of them",
            ));
        }
    };
    let limit = Limit {
        id,
        subject,
        rate,
        disabled: members.boolean("disabled", false)?,
    };
    members.finish()?;
    Ok(limit)
}

/// Reads a key as it is stored.
///
/// # Errors
/// What is wrong with it.
pub fn virtual_key(value: &Map<String, Value>) -> Result<VirtualKey, Wrong> {
    let mut members = Members::new(value);
    let id = members.id()?;
    let hash = members.text("hash")?.as_deref().and_then(KeyHash::parse);
    let key = VirtualKey {
        name: members.text("name")?.unwrap_or_else(|| id.clone()),
        consumer: members.text("consumer")?,
        team: members.text("team")?,
        models: members.models()?,
        prefix: members.text("prefix")?.unwrap_or_default(),
        hash: hash.ok_or_else(|| wrong("hash", "is missing"))?,
        former: former(members.get("former"))?,
        created_at: members.time("created_at")?.unwrap_or(0),
        created_by: members.text("created_by")?.unwrap_or_default(),
        expires_at: members.time("expires_at")?,
        disabled: members.boolean("disabled", false)?,
        last_used_at: members.time("last_used_at")?,
        labels: members.labels()?,
        id,
    };
    if key.consumer.is_none() && key.team.is_none() {
        return Err(wrong(
            "consumer",
            "is missing; a key belongs to a `consumer`, a `team` or both",
        ));
    }
    members.finish()?;
    Ok(key)
}

fn former(value: Option<&Value>) -> Result<Vec<FormerSecret>, Wrong> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    let read = |item: &Value| {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        Some(FormerSecret {
            hash: text("hash").and_then(KeyHash::parse)?,
            until: text("until").and_then(read_time)?,
        })
    };
    items
        .map(|item| read(item).ok_or_else(|| wrong("former", "cannot be read")))
        .collect()
}

/// An amount of dollars in millionths: text such as `"12.5"`, or a whole number.
fn amount(value: &Value) -> Result<u64, String> {
    const EXPECTED: &str = "must be an amount in US dollars as text, such as \"50\" or \"12.500000\"";
    let micro = match value {
        Value::String(text) => micro_usd(text),
        Value::Number(number) => number.as_u64().and_then(|usd| usd.checked_mul(1_000_000)),
        _ => None,
    };
    match micro {
        Some(micro) if (1..=MAX_AMOUNT).contains(&micro) => Ok(micro),
        _ => Err(EXPECTED.to_owned()),
    }
}

/// Reads dollars with up to six digits after the point, exactly.
pub fn micro_usd(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 6 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Reads a time in UTC, `2026-11-21T13:00:00Z`, as seconds since 1970.
pub fn read_time(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_there = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !is_there {
        return None;
    }
    let days = days_of(year, month, day);
    if date_of(days) != (year, month, day) {
        return None;
    }
    Some(u64::try_from(days).ok()? * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A time as text, `2026-11-21T13:00:00Z`.
pub fn time_text(seconds: u64) -> String {
    let (year, month, day) = date_of(i64::try_from(seconds / 86_400).unwrap_or(0));
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March, so that the day that may be missing comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl Period {
    /// When the period of a time begins and when the next one does, in seconds since 1970; `None` where there is no next.
    pub fn around(self, seconds: u64) -> (u64, Option<u64>) {
        const DAY: u64 = 86_400;
        let day = seconds / DAY;
        match self {
            Period::Total => (0, None),
            Period::Hour => (seconds / 3600 * 3600, Some((seconds / 3600 + 1) * 3600)),
            Period::Day => (day * DAY, Some((day + 1) * DAY)),
            Period::Week => {
                // The first of January 1970 was a Thursday.
                let monday = (day + 3) / 7 * 7;
                let begin = |monday: u64| monday.saturating_sub(3) * DAY;
                (begin(monday), Some(begin(monday + 7)))
            }
            Period::Month => {
                let (year, month, _) = date_of(i64::try_from(day).unwrap_or(0));
                let (next_year, next) = if month == 12 {
                    (year + 1, 1)
                } else {
                    (year, month + 1)
                };
                let at = |days: i64| u64::try_from(days).unwrap_or(0) * DAY;
                (at(days_of(year, month, 1)), Some(at(days_of(next_year, next, 1))))
            }
        }
    }
}
