//! What an administrator of teams may see and change: what belongs to its teams, and to the teams below them. What belongs to
//! others is not there, as far as it can tell.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tollgate_gateway::governance::Index;
use tollgate_resources::model::Subject;
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::Store;

use super::items::{team_of_object, text};
use crate::actor::Actor;
use crate::v1::Problem;

/// Which calls somebody is told of, and what of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// The teams whose calls they are; `None` for all calls.
    pub(crate) teams: Option<Vec<String>>,
    /// The names under which budgets are charged that may be told.
    pub(crate) budgets: BTreeSet<String>,
}

/// What somebody may see and change.
pub(super) struct Scope<'a> {
    /// `None`: everything.
    teams: Option<&'a [String]>,
    index: &'a Index,
    store: &'a Store,
}

impl<'a> Scope<'a> {
    pub(super) fn of(actor: &'a Actor, index: &'a Index, store: &'a Store) -> Scope<'a> {
        Scope {
            teams: actor.scope(),
            index,
            store,
        }
    }

    /// Whether there is anything that may not be seen.
    pub(super) fn is_limited(&self) -> bool {
        self.teams.is_some()
    }

    /// The calls that may be told.
    pub(super) fn reach(&self) -> Reach {
        let Some(own) = self.teams else {
            return Reach::default();
        };
        // One that is gone may still have calls.
        let mut teams: BTreeSet<String> = own.iter().cloned().collect();
        let below = self.index.teams.keys().filter(|team| self.covers(Some(team)));
        teams.extend(below.cloned());
        let budgets = self.index.budgets.values();
        let seen = budgets.filter(|rule| self.reaches(&rule.budget.subject));
        Reach {
            teams: Some(teams.into_iter().collect()),
            budgets: seen.map(|rule| rule.name.clone()).collect(),
        }
    }

    /// Whether a team is one of the actor's, or below one.
    pub(super) fn covers(&self, team: Option<&str>) -> bool {
        let Some(teams) = self.teams else {
            return true;
        };
        self.index
            .path(team)
            .any(|team| teams.iter().any(|own| own == team))
    }

    /// Whether an object may be seen.
    pub(super) fn sees(&self, kind: Kind, value: &Map<String, Value>) -> bool {
        if self.teams.is_none() {
            return true;
        }
        match kind {
            Kind::Team => self.covers(Some(text(value, "id"))),
            Kind::VirtualKey => {
                let team = value.get("team").and_then(Value::as_str);
                let of_consumer = || {
                    let name = value.get("consumer")?.as_str()?;
                    self.team_of_consumer(name)
                };
                match team {
                    Some(team) => self.covers(Some(team)),
                    None => self.covers(of_consumer().as_deref()),
                }
            }
            _ => Subject::parse(text(value, "for")).is_some_and(|subject| self.reaches(&subject)),
        }
    }

    /// Whether somebody is one of those who may be seen.
    pub(super) fn reaches(&self, subject: &Subject) -> bool {
        if self.teams.is_none() {
            return true;
        }
        match subject {
            Subject::Team(id) => self.covers(Some(id)),
            Subject::Consumer(name) => self.covers(self.team_of_consumer(name).as_deref()),
            Subject::Key(id) => {
                let key = self.store.get(&ObjectKey::new(Kind::VirtualKey, id.as_str()));
                key.is_some_and(|key| self.sees(Kind::VirtualKey, &key.value))
            }
            Subject::All => false,
        }
    }

    /// Refuses to write what is not the actor's. What a team of its own may spend, those above it say.
    pub(super) fn may_write(&self, kind: Kind, value: &Map<String, Value>) -> Result<(), Problem> {
        let Some(teams) = self.teams else {
            return Ok(());
        };
        let is_own = |team: &str| teams.iter().any(|own| own == team);
        let may = match kind {
            // A new team is covered by its parent.
            Kind::Team => {
                !is_own(text(value, "id")) && self.covers(value.get("parent").and_then(Value::as_str))
            }
            Kind::VirtualKey => {
                let consumer = value.get("consumer").and_then(Value::as_str);
                let is_covered =
                    consumer.is_none_or(|consumer| self.covers(self.team_of_consumer(consumer).as_deref()));
                is_covered && self.sees(kind, value)
            }
            _ => {
                let of_own = matches!(
                    Subject::parse(text(value, "for")),
                    Some(Subject::Team(id)) if is_own(&id)
                );
                !of_own && self.sees(kind, value)
            }
        };
        match may {
            true => Ok(()),
            false => Err(Problem::forbidden(format!(
                "an administrator of teams writes what belongs to {} only, and not what that may spend itself",
                teams.join(", ")
            ))),
        }
    }

    /// The team of a consumer of the file or of the store.
    fn team_of_consumer(&self, name: &str) -> Option<String> {
        if let Some(team) = self.index.consumers.get(name) {
            return team.as_deref().map(str::to_owned);
        }
        let object = self.store.get(&ObjectKey::new(Kind::Consumer, name))?;
        team_of_object(&object.value)
    }
}
