//! What an administrator of teams may see and change: what belongs to its teams, and to the teams below them.

use serde_json::{Map, Value};
use tollgate_gateway::governance::Index;
use tollgate_resources::model::Subject;
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::Store;

use super::items::{team_of_object, text};
use crate::actor::Actor;
use crate::v1::Problem;

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
            _ => match Subject::parse(text(value, "for")) {
                Some(Subject::Team(id)) => self.covers(Some(&id)),
                Some(Subject::Consumer(name)) => self.covers(self.team_of_consumer(&name).as_deref()),
                Some(Subject::Key(id)) => {
                    let key = self.store.get(&ObjectKey::new(Kind::VirtualKey, id));
                    key.is_some_and(|key| self.sees(Kind::VirtualKey, &key.value))
                }
                Some(Subject::All) | None => false,
            },
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

    fn team_of_consumer(&self, name: &str) -> Option<String> {
        if let Some(team) = self.index.consumers.get(name) {
            return team.as_deref().map(str::to_owned);
        }
        let object = self.store.get(&ObjectKey::new(Kind::Consumer, name))?;
        team_of_object(&object.value)
    }
}
