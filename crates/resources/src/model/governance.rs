//! Identity and spend: teams, virtual keys, budgets and limits. Written in `tollgate.yaml`, or kept as objects of the store.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Redis;
use crate::glob::Glob;
use crate::secret::SecretRef;

/// What a configuration says about identity and spend.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Governance {
    /// Teams, in the order they were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Team>,
    /// Budgets of teams and consumers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// Limits of teams and consumers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Where several gateways count together; `None`: each counts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// What happens to calls while Redis does not answer.
    #[serde(skip_serializing_if = "OnDown::is_default")]
    pub on_redis_down: OnDown,
    /// What happens to calls with budgets while the usage ledger has not told since the start what was spent before.
    #[serde(skip_serializing_if = "OnDown::is_default")]
    pub on_ledger_down: OnDown,
    /// Who is told when a budget is used up to a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Tokens reserved for an answer whose request sets no limit; `None`: what the model can write at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_output: Option<u64>,
}

impl Governance {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Governance::default()
    }
}

/// What happens to calls while that does not answer which knows what was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// This gateway decides by what it has counted itself.
    #[default]
    Allow,
    /// They are refused with 503.
    Refuse,
}

impl OnDown {
    fn is_default(&self) -> bool {
        *self == OnDown::default()
    }
}

/// An address that is told of events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Webhook {
    /// Where it is, `http://` or `https://`.
    pub url: SecretRef,
    /// What stands in `Authorization`, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretRef>,
}

/// Several consumers that share models, budgets and limits; a team below another one is a project of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Team {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The team it stands below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Models it may use; `None` for no restriction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Glob>>,
    /// Whether its calls are refused.
    pub disabled: bool,
    /// Free text for reports.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A key of the gateway's own, made at runtime. The secret itself is nowhere.
#[derive(Clone, PartialEq)]
pub struct VirtualKey {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The consumer it calls as.
    pub consumer: Option<String>,
    /// The team it calls for; takes the place of the consumer's team.
    pub team: Option<String>,
    /// Models it may use; `None` for no restriction.
    pub models: Option<Vec<Glob>>,
    /// The first characters of the secret, by which people tell keys apart.
    pub prefix: String,
    /// SHA-256 of the secret, in hexadecimal digits.
    pub hash: KeyHash,
    /// Secrets that were replaced and may be used until a time.
    pub former: Vec<FormerSecret>,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// Who made it.
    pub created_by: String,
    /// Until when it may be used, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// Whether its calls are refused.
    pub disabled: bool,
    /// When it was used last, in seconds since 1970, as far as that was written down.
    pub last_used_at: Option<u64>,
    /// Free text for reports.
    pub labels: BTreeMap<String, String>,
}

/// A secret of a key that was replaced.
#[derive(Clone, PartialEq)]
pub struct FormerSecret {
    /// SHA-256 of it.
    pub hash: KeyHash,
    /// Until when it may be used, in seconds since 1970.
    pub until: u64,
}

/// SHA-256 of the secret of a key. It is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<KeyHash> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (place, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *place = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(KeyHash(hash))
    }

    /// The same as text, for the store.
    pub fn to_text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl fmt::Debug for VirtualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Whom a budget or a limit is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Every call.
    All,
    /// A team, and the teams below it.
    Team(String),
    /// A consumer.
    Consumer(String),
    /// A virtual key.
    Key(String),
}

impl Subject {
    /// Reads `all`, `team/ID`, `consumer/NAME` or `key/ID`.
    pub fn parse(text: &str) -> Option<Subject> {
        if text == "all" {
            return Some(Subject::All);
        }
        let (kind, id) = text.split_once('/').filter(|(_, id)| !id.is_empty())?;
        let id = id.to_owned();
        match kind {
            "team" => Some(Subject::Team(id)),
            "consumer" => Some(Subject::Consumer(id)),
            "key" => Some(Subject::Key(id)),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::All => f.write_str("all"),
            Subject::Team(id) => write!(f, "team/{id}"),
            Subject::Consumer(name) => write!(f, "consumer/{name}"),
            Subject::Key(id) => write!(f, "key/{id}"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a budget counts, and how much of it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// Millionths of a US dollar.
    MicroUsd(u64),
    /// Tokens, input and output together.
    Tokens(u64),
}

impl Amount {
    /// The number.
    pub const fn number(self) -> u64 {
        match self {
            Amount::MicroUsd(number) | Amount::Tokens(number) => number,
        }
    }

    /// What it counts, as a word: `usd` or `tokens`.
    pub const fn unit(self) -> &'static str {
        match self {
            Amount::MicroUsd(_) => "usd",
            Amount::Tokens(_) => "tokens",
        }
    }
}

/// For how long a budget is. Periods are those of the calendar, in UTC; weeks begin on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// The words for periods.
    pub const WORDS: [&'static str; 5] = ["hour", "day", "week", "month", "total"];

    /// The period of a word.
    pub fn find(word: &str) -> Option<Period> {
        Some(match word {
            "hour" => Period::Hour,
            "day" => Period::Day,
            "week" => Period::Week,
            "month" => Period::Month,
            "total" => Period::Total,
            _ => return None,
        })
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Total => "total",
        }
    }
}

/// What may be spent in a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Its id. Spending is remembered under it.
    pub id: String,
    /// Whose it is.
    #[serde(rename = "for")]
    pub subject: Subject,
    /// How much.
    pub amount: Amount,
    /// In which time.
    pub per: Period,
    /// Shares of the amount, in thousandths, at which people are told; in rising order.
    pub warn_at: Vec<u32>,
    /// Whether calls are refused that do not fit.
    pub hard: bool,
    /// Whether it does not count at the moment.
    pub disabled: bool,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Calls in a time.
    Requests(u64, Window),
    /// Tokens in a time, input and output together.
    Tokens(u64, Window),
    /// Calls at the same time.
    Concurrent(u64),
}

/// The time of a limit. It begins with the first call after the end of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Window {
    /// The words for windows.
    pub const WORDS: [&'static str; 4] = ["second", "minute", "hour", "day"];

    /// The window of a word.
    pub fn find(word: &str) -> Option<Window> {
        Some(match word {
            "second" => Window::Second,
            "minute" => Window::Minute,
            "hour" => Window::Hour,
            "day" => Window::Day,
            _ => return None,
        })
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Window::Second => "second",
            Window::Minute => "minute",
            Window::Hour => "hour",
            Window::Day => "day",
        }
    }

    /// Its length in milliseconds.
    pub const fn milliseconds(self) -> u64 {
        match self {
            Window::Second => 1000,
            Window::Minute => 60_000,
            Window::Hour => 3_600_000,
            Window::Day => 86_400_000,
        }
    }
}

/// How often, how much or how many at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Its id.
    pub id: String,
    /// Whose it is.
    #[serde(rename = "for")]
    pub subject: Subject,
    /// What it counts, and how much of it there may be.
    pub rate: Rate,
    /// Whether it does not count at the moment.
    pub disabled: bool,
}
