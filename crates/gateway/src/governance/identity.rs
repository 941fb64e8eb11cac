//! Who calls with a virtual key, and what counts for whom.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::governance::time_text;

use super::index::{Index, Key, Level};
use super::now_s;
use crate::error::CallError;

/// Somebody who calls, as far as budgets and limits go.
#[derive(Clone)]
pub struct Identity {
    /// The virtual key, where one was shown.
    pub key: Option<Arc<Key>>,
    /// The consumer.
    pub consumer: Option<Arc<str>>,
    /// The team whose budgets count.
    pub team: Option<Arc<str>>,
    /// What counts, the narrowest first.
    pub levels: Option<Arc<[Arc<Level>]>>,
}

/// Why a virtual key opens nothing. Only who has the whole secret is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefused {
    /// It was switched off.
    Disabled,
    /// Its time is over; in seconds since 1970.
    Expired(u64),
    /// It was replaced, and the time in which the old secret could be used is over; in seconds since 1970.
    Replaced(u64),
}

impl KeyRefused {
    /// A stable code.
    pub const fn code(self) -> &'static str {
        match self {
            KeyRefused::Disabled => "api_key_disabled",
            KeyRefused::Expired(_) => "api_key_expired",
            KeyRefused::Replaced(_) => "api_key_replaced",
        }
    }

    /// What the caller is told.
    pub fn text(self) -> String {
        match self {
            KeyRefused::Disabled => "this API key is disabled".to_owned(),
            KeyRefused::Expired(at) => format!("this API key expired at {}", time_text(at)),
            KeyRefused::Replaced(at) => {
                format!(
                    "this API key was replaced by a new one, and stopped working at {}",
                    time_text(at)
                )
            }
        }
    }
}

impl From<KeyRefused> for CallError {
    fn from(refused: KeyRefused) -> Self {
        CallError::client(
            StatusCode::UNAUTHORIZED,
            ErrorKind::Authentication,
            refused.code(),
            refused.text(),
        )
    }
}

impl Index {
    /// The caller who shows a virtual key; `None` if it is none that is known.
    ///
    /// # Errors
    /// The key is known, but may not be used any more.
    pub fn by_key(&self, secret: &str) -> Result<Option<Arc<Key>>, KeyRefused> {
        let Some((key, hash)) = self.key(secret) else {
            return Ok(None);
        };
        let now = now_s();
        if key.key.disabled {
            return Err(KeyRefused::Disabled);
        }
        if let Some(at) = key.key.expires_at.filter(|at| *at <= now) {
            return Err(KeyRefused::Expired(at));
        }
        if key.key.hash != hash {
            let former = key.key.former.iter().find(|former| former.hash == hash);
            let until = former.map_or(0, |former| former.until);
            if until <= now {
                return Err(KeyRefused::Replaced(until));
            }
        }
        // Written by one thread in a second at most, so that cores do not take it from each other for every call.
        if key.last_used.load(Ordering::Relaxed) < now {
            key.last_used.store(now, Ordering::Relaxed);
        }
        Ok(Some(key.clone()))
    }

    /// Who a key is.
    pub fn of_key(&self, key: &Arc<Key>, team_of_consumer: Option<&str>) -> Identity {
        // The team of a consumer that is an object is known only now.
        let late = match (&key.team, team_of_consumer) {
            (None, Some(team)) if key.key.team.is_none() => Some(team),
            _ => None,
        };
        let levels = match late {
            None => key.levels.clone(),
            Some(team) => {
                let own = key.levels.iter().flat_map(|levels| levels.iter());
                let own = own
                    .take(1)
                    .find(|level| matches!(&level.subject, tollgate_resources::model::Subject::Key(_)));
                self.line(own.cloned(), key.consumer.as_deref(), Some(team))
            }
        };
        Identity {
            consumer: key.consumer.clone(),
            team: key.team.clone().or_else(|| late.map(Arc::from)),
            levels,
            key: Some(key.clone()),
        }
    }

    /// Somebody who is not known: what is for all counts.
    pub fn of_nobody(&self) -> Identity {
        Identity {
            key: None,
            consumer: None,
            team: None,
            levels: self.line(None, None, None),
        }
    }

    /// Who a consumer is. `team` is what an object of it says.
    pub fn of_consumer(&self, name: &Arc<str>, team: Option<&str>) -> Identity {
        let in_file = || self.consumers.get(&**name).cloned().flatten();
        let team = team.map(Arc::from).or_else(in_file);
        Identity {
            levels: self.line(None, Some(name), team.as_deref()),
            key: None,
            consumer: Some(name.clone()),
            team,
        }
    }

    /// Whether a model may be used by all that counts; else the level that does not let it.
    pub fn refusing_level<'a>(levels: Option<&'a Arc<[Arc<Level>]>>, model: &str) -> Option<&'a Arc<Level>> {
        levels?.iter().find(|level| {
            let models = level.models.as_ref();
            models.is_some_and(|models| !models.iter().any(|glob| glob.matches(model)))
        })
    }
}
