//! Virtual keys: made, changed, replaced. A secret is told once, in the answer that makes it; what is stored is its hash.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use serde_json::{Map, Value};
use tollgate_gateway::governance::{Governance, hash_of};
use tollgate_resources::governance as own;
use tollgate_resources::model::{FormerSecret, Subject, VirtualKey};
use tollgate_resources::objects::{Kind, Object, ObjectKey, patch};
use tollgate_store::Change;
use zeroize::Zeroizing;

use super::scope::Scope;
use super::{items, put, unknown};
use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::condition::Condition;
use crate::errors::Refusal;
use crate::v1::{Asked, Problem};

/// Characters of a secret that are shown.
const SHOWN: usize = 8;

/// Random characters of a secret: 43 of 62 hold 256 bits.
const RANDOM: usize = 43;

/// Replaced secrets of a key that may still be used at the same time.
const MOST_FORMER: usize = 4;

/// The longest grace time, in seconds.
const LONGEST_GRACE_S: u64 = 90 * 86_400;

/// A secret that has just been made. It cannot be printed.
struct NewSecret(Zeroizing<String>);

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret(…)")
    }
}

impl NewSecret {
    fn make() -> Result<NewSecret, Problem> {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut secret = Zeroizing::new(String::with_capacity(RANDOM + 3));
        secret.push_str("tg-");
        while secret.len() < RANDOM + 3 {
            let mut bytes = Zeroizing::new([0_u8; 64]);
            aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| Refusal::Fault)?;
            // Of 256 values the first 248 are four times all digits; the others would make some of them likelier.
            let digits = bytes.iter().filter(|byte| **byte < 248);
            let digits = digits.filter_map(|byte| DIGITS.get(usize::from(byte % 62)));
            for digit in digits.take(RANDOM + 3 - secret.len()) {
                secret.push(char::from(*digit));
            }
        }
        Ok(NewSecret(secret))
    }

    fn prefix(&self) -> String {
        self.0.chars().take(SHOWN).collect()
    }
}

impl<D: DataPlane> Admin<D> {
    pub(super) async fn put_key(
        self: &Arc<Self>,
        actor: &Actor,
        key: ObjectKey,
        mut body: Map<String, Value>,
        before: Option<Arc<Object>>,
        is_patch: bool,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        let (budget, limits) = (body.remove("budget"), body.remove("limits"));
        let index = governance.index();
        let scope = Scope::of(actor, &index, &self.store);
        let secret = match before {
            None => Some(NewSecret::make()?),
            Some(_) => None,
        };
        // What nobody but the gateway writes.
        let mut value = Map::new();
        match (&before, &secret) {
            (Some(before), _) => {
                scope.may_write(Kind::VirtualKey, &before.value)?;
                value = before.value.clone();
                if !is_patch {
                    let kept = [
                        "id",
                        "hash",
                        "former",
                        "prefix",
                        "created_at",
                        "created_by",
                        "last_used_at",
                    ];
                    value.retain(|name, _| kept.contains(&name.as_str()));
                }
            }
            (None, Some(secret)) => {
                value.insert("hash".to_owned(), hash_of(&secret.0).to_text().into());
                value.insert("prefix".to_owned(), secret.prefix().into());
                value.insert("created_at".to_owned(), own::time_text(self.now_s()).into());
                value.insert(
                    "created_by".to_owned(),
                    actor.name.chars().take(100).collect::<String>().into(),
                );
            }
            (None, None) => {}
        }
        patch::merge(&mut value, body);
        let read = own::virtual_key(&value)?;
        if let Some(consumer) = &read.consumer
            && !(items::is_consumer(consumer, &self.store, &index)
                && scope.reaches(&Subject::Consumer(consumer.clone())))
        {
            return Err(Problem::invalid(
                "consumer",
                format!(
                    "there is no consumer `{consumer}`; GET /tollgate/v1/consumers lists those that there are"
                ),
            ));
        }
        if let Some(team) = &read.team
            && !(index.teams.contains_key(team) && scope.covers(Some(team)))
        {
            return Err(Problem::invalid(
                "team",
                format!("there is no team `{team}`; GET /tollgate/v1/teams lists those that there are"),
            ));
        }
        scope.may_write(Kind::VirtualKey, &value)?;
        let mut changes = vec![put(&key, own::stored_key_json(&read))];
        self.add_spend(&key.id, budget, limits, &mut changes)?;
        let expected = vec![(key.clone(), before.as_ref().map(|before| before.modified_index))];
        self.write_changes(actor, expected, changes).await?;
        let status = match before {
            Some(_) => StatusCode::OK,
            None => StatusCode::CREATED,
        };
        self.tell_key(status, &key, secret, governance).await
    }

    /// The budget and the limits that are written with a key: objects of their own, for the key.
    fn add_spend(
        &self,
        id: &str,
        budget: Option<Value>,
        limits: Option<Value>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Problem> {
        let mut replace = |kind: Kind, written: Vec<Value>, field: &str| -> Result<(), Problem> {
            for object in self.of_key(id).filter(|object| object.key.kind == kind) {
                changes.push(Change::Delete {
                    key: object.key.clone(),
                });
            }
            for (number, value) in written.into_iter().enumerate() {
                let Value::Object(mut value) = value else {
                    return Err(Problem::invalid(
                        field,
                        format!("`{field}` is an object, or a list of objects"),
                    ));
                };
                let own_id = match kind {
                    Kind::Budget => format!("key.{id}.budget"),
                    _ => format!("key.{id}.limit.{number}"),
                };
                for given in ["state", "origin", "etag"] {
                    value.remove(given);
                }
                value.insert("id".to_owned(), own_id.clone().into());
                value.insert("for".to_owned(), format!("key/{id}").into());
                let value = match kind {
                    Kind::Budget => own::budget_json(&own::budget(&value)?),
                    _ => own::limit_json(&own::limit(&value)?),
                };
                changes.push(put(&ObjectKey::new(kind, own_id), value));
            }
            Ok(())
        };
        match budget {
            None => {}
            Some(Value::Null) => replace(Kind::Budget, Vec::new(), "budget")?,
            Some(budget) => replace(Kind::Budget, vec![budget], "budget")?,
        }
        match limits {
            None => {}
            Some(Value::Null) => replace(Kind::Limit, Vec::new(), "limits")?,
            Some(Value::Array(limits)) => replace(Kind::Limit, limits, "limits")?,
            Some(one) => replace(Kind::Limit, vec![one], "limits")?,
        }
        Ok(())
    }

    /// A key as it is shown, and once, when it was made, its secret.
    async fn tell_key(
        self: &Arc<Self>,
        status: StatusCode,
        key: &ObjectKey,
        secret: Option<NewSecret>,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        let object = self.store.get(key).ok_or_else(|| unknown(key.kind, &key.id))?;
        let item = items::Item::stored(&object);
        let Some(secret) = secret else {
            return self.answer(status, key.kind, item, governance).await;
        };
        let shown = self.show_all(key.kind, vec![item], governance).await?;
        let mut value = shown.into_iter().next().unwrap_or_default();
        value["key"] = Value::String(secret.0.as_str().to_owned());
        let no_store = http::HeaderValue::from_static("no-store");
        Ok(Answer::json(status, value).with(CACHE_CONTROL, no_store))
    }

    /// Gives a key a new secret. The old one works for a while longer.
    pub(super) async fn rotate(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        id: &str,
        parts: &Parts,
        body: Body,
        governance: Arc<Governance>,
    ) -> Result<Answer, Problem> {
        asked.only_parameters(&[])?;
        let condition = Condition::read(&parts.headers)?;
        let body = self.members(parts, body, &["grace"]).await?;
        let grace_s = match body.get("grace") {
            None | Some(Value::Null) => 0,
            Some(grace) => grace.as_str().and_then(seconds).ok_or_else(|| {
                Problem::invalid(
                    "grace",
                    "`grace` is a time of up to 90 days, such as \"24h\", \"30m\" or \"0s\"",
                )
            })?,
        };
        let key = ObjectKey::new(Kind::VirtualKey, id);
        let (admin, actor) = (Arc::clone(self), asked.actor.clone());
        let write = async move {
            let _writing = admin.writing.lock().await;
            let before = admin.store.get(&key).ok_or_else(|| unknown(key.kind, &key.id))?;
            let index = governance.index();
            let scope = Scope::of(&actor, &index, &admin.store);
            if !scope.sees(Kind::VirtualKey, &before.value) {
                return Err(unknown(key.kind, &key.id));
            }
            scope.may_write(Kind::VirtualKey, &before.value)?;
            if let Some(condition) = condition {
                condition.check(Some(&before))?;
            }
            let now = admin.now_s();
            let mut read: VirtualKey = own::virtual_key(&before.value)?;
            let secret = NewSecret::make()?;
            read.former.push(FormerSecret {
                hash: read.hash,
                until: now.saturating_add(grace_s),
            });
            // Who still sends the last of those that have ended is told so.
            while read.former.len() > MOST_FORMER {
                read.former.remove(0);
            }
            read.hash = hash_of(&secret.0);
            read.prefix = secret.prefix();
            let expected = vec![(key.clone(), Some(before.modified_index))];
            let changes = vec![put(&key, own::stored_key_json(&read))];
            admin.write_changes(&actor, expected, changes).await?;
            admin
                .tell_key(StatusCode::OK, &key, Some(secret), &governance)
                .await
        };
        self.finish(write).await?
    }
}

/// Seconds of a time such as `24h`.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (seconds <= LONGEST_GRACE_S).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_256_bits_of_letters_and_digits_and_are_not_printed() {
        let (one, other) = (NewSecret::make().unwrap(), NewSecret::make().unwrap());
        assert_eq!(one.0.len(), 46);
        assert!(one.0.starts_with("tg-") && one.0[3..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(*one.0, *other.0);
        assert_eq!(one.prefix(), one.0[..8]);
        assert_eq!(format!("{one:?}"), "NewSecret(…)");
    }

    #[test]
    fn grace_is_a_time() {
        for (text, read) in [
            ("24h", Some(86_400)),
            ("0s", Some(0)),
            ("90d", Some(90 * 86_400)),
            ("91d", None),
            ("h", None),
            ("", None),
            ("1w", None),
        ] {
            assert_eq!(seconds(text), read, "{text}");
        }
    }
}
