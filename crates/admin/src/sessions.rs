//! Who is signed in: sessions of browsers, by the hash of a random id that only the browser's cookie has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tollgate_gateway::WrongKeys;

use crate::actor::{Actor, Via};
use crate::settings::{Role, SessionLimits, Settings};

/// Most sessions at a time. The one that was used longest ago ends when another begins.
const MOST: usize = 10_000;

/// Bytes of a session's id.
const ID_BYTES: usize = 32;

/// What a session is found by: the hash of its id, so that what is kept opens nothing.
pub(crate) type Mark = [u8; 32];

/// Sessions of browsers.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Mark, Session>>);

/// A signed-in person.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Session {
    /// Who it is; the address is that of the sign-in.
    pub(crate) actor: Actor,
    /// The hash of the admin key that was shown, so that the session ends with the key.
    pub(crate) key: Option<Mark>,
    /// When it began, in seconds since 1970.
    pub(crate) began_s: u64,
    /// When it was used last.
    pub(crate) used_s: u64,
    /// What of that is kept over a restart.
    pub(crate) kept_s: u64,
}

/// A session as its browser sees it.
pub(crate) struct Found {
    /// Who it is.
    pub(crate) actor: Actor,
    /// What its pages prove themselves with.
    pub(crate) csrf: String,
    /// When it ends if nothing is done until then, in seconds since 1970.
    pub(crate) expires_s: u64,
}

impl Sessions {
    /// Begins a session. Returns what the cookie holds, and what the session is kept by.
    pub(crate) fn begin(&self, session: Session) -> Option<(String, Mark)> {
        let mut id = [0; ID_BYTES];
        aws_lc_rs::rand::fill(&mut id).ok()?;
        let id = hex(&id);
        let mark = mark(id.as_bytes());
        self.put(mark, session);
        Some((id, mark))
    }

    /// Keeps a session, a new one or one of an earlier process.
    pub(crate) fn put(&self, mark: Mark, session: Session) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_s);
            if let Some(oldest) = oldest.map(|(mark, _)| *mark) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(mark, session);
    }

    /// The session of a cookie, if it has not ended. It counts as used.
    pub(crate) fn find(&self, id: &[u8], settings: &Settings, now_s: u64) -> Option<Found> {
        let mark = mark(id);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&mark)?;
        if !session.is_open(settings, now_s) {
            sessions.remove(&mark);
            return None;
        }
        session.used_s = now_s;
        Some(Found {
            actor: session.actor.clone(),
            csrf: csrf(id),
            expires_s: session.end_s(settings.sessions),
        })
    }

    /// Sessions that have ended, and those whose last use is to be kept by now.
    pub(crate) fn due(&self, settings: &Settings, now_s: u64) -> Vec<(String, Option<Vec<u8>>)> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        sessions.retain(|mark, session| {
            let is_open = session.is_open(settings, now_s);
            if !is_open {
                due.push((name(mark), None));
            } else if session.used_s >= session.kept_s.saturating_add(KEPT_EVERY_S) {
                session.kept_s = session.used_s;
                due.push((name(mark), Some(session.encode())));
            }
            is_open
        });
        due
    }

    /// Takes up the sessions that an earlier process has kept. Returns the names of those that have ended.
    pub(crate) fn take_up<'k>(
        &self,
        kept: impl Iterator<Item = (&'k str, &'k [u8])>,
        settings: &Settings,
        now_s: u64,
    ) -> Vec<String> {
        let mut ended = Vec::new();
        for (kept_as, record) in kept {
            let session = Session::decode(record).filter(|session| session.is_open(settings, now_s));
            match (mark_of(kept_as), session) {
                (Some(mark), Some(session)) => self.put(mark, session),
                _ => ended.push(kept_as.to_owned()),
            }
        }
        ended
    }

    /// Ends the session of a cookie.
    pub(crate) fn end(&self, id: &[u8]) -> Option<(Mark, Session)> {
        let mark = mark(id);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&mark).map(|session| (mark, session))
    }
}

impl Session {
    /// A session that begins now.
    pub(crate) fn new(actor: Actor, key: Option<&[u8]>, now_s: u64) -> Session {
        Session {
            actor,
            key: key.map(mark),
            began_s: now_s,
            used_s: now_s,
            kept_s: now_s,
        }
    }

    /// As it is kept, encrypted by the store.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let kept = json!({
            "name": self.actor.name,
            "role": self.actor.role.word(),
            "teams": self.actor.teams,
            "via": self.actor.via.word(),
            "key": self.key.as_ref().map(|key| hex(key)),
            "began_s": self.began_s,
            "used_s": self.used_s,
        });
        kept.to_string().into_bytes()
    }

    fn decode(record: &[u8]) -> Option<Session> {
        let kept: Value = serde_json::from_slice(record).ok()?;
        let used_s = kept.get("used_s")?.as_u64()?;
        let teams = kept.get("teams")?.as_array()?.iter();
        Some(Session {
            actor: Actor {
                name: kept.get("name")?.as_str()?.to_owned(),
                role: Role::of_word(kept.get("role")?.as_str()?)?,
                teams: teams
                    .filter_map(|team| team.as_str().map(str::to_owned))
                    .collect(),
                via: match kept.get("via")?.as_str()? {
                    "key" => Via::Key,
                    "oidc" => Via::Oidc,
                    _ => return None,
                },
                address: None,
            },
            key: match kept.get("key")?.as_str() {
                Some(key) => Some(unhex(key)?),
                None => None,
            },
            began_s: kept.get("began_s")?.as_u64()?,
            used_s,
            kept_s: used_s,
        })
    }

    fn end_s(&self, limits: SessionLimits) -> u64 {
        let idle = self.used_s.saturating_add(limits.idle_s);
        idle.min(self.began_s.saturating_add(limits.longest_s))
    }

    /// Whether it has not ended, and what it began with is still worth as much.
    pub(crate) fn is_open(&self, settings: &Settings, now_s: u64) -> bool {
        let key_is_known = self.actor.via != Via::Key
            || settings.keys.iter().any(|key| {
                key.name == self.actor.name
                    && key.role == self.actor.role
                    && key.teams == self.actor.teams
                    && self.key == Some(mark(key.key.expose().as_bytes()))
            });
        key_is_known && now_s < self.end_s(settings.sessions)
    }
}

/// What the names of kept sessions begin with.
pub(crate) const KEPT_AS: &str = "session/";

/// The last use of a session is kept that often at most, in seconds.
const KEPT_EVERY_S: u64 = 60;

/// What a session is kept as.
pub(crate) fn name(mark: &Mark) -> String {
    format!("{KEPT_AS}{}", hex(mark))
}

fn mark_of(name: &str) -> Option<Mark> {
    unhex(name.strip_prefix(KEPT_AS)?)
}

/// 32 bytes of 64 hexadecimal digits.
fn unhex(text: &str) -> Option<Mark> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != Mark::default().len() || !rest.is_empty() {
        return None;
    }
    let mut mark = Mark::default();
    for (byte, [high, low]) in mark.iter_mut().zip(pairs) {
        let digit = |byte: &u8| {
            char::from(*byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(mark)
}

/// What the pages of a session prove themselves with: nobody can make it without the cookie, which no page can read.
fn csrf(id: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, id);
    hex(hmac::sign(&key, b"tollgate csrf").as_ref())
}

fn mark(text: &[u8]) -> Mark {
    let hash = digest(&SHA256, text);
    let mut mark = Mark::default();
    mark.copy_from_slice(hash.as_ref());
    mark
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Entries of the log about people who were not let in, in a minute: whoever tries keys from many places must not push
/// everything else out of it. All are counted, and the application log tells of those who try often.
const REFUSALS_TOLD: u32 = 60;

/// Wrong keys of the Admin API by where they came from.
pub(crate) struct Wrong {
    /// The minute, and how many refusals the log was told of in it.
    told: Mutex<(u64, u32)>,
    keys: Option<WrongKeys>,
    count: AtomicU64,
}

impl Wrong {
    /// Counts by address if there is a limit.
    pub(crate) fn new(most: Option<u32>) -> Wrong {
        Wrong {
            told: Mutex::new((0, 0)),
            keys: WrongKeys::new(most),
            count: AtomicU64::new(0),
        }
    }

    /// Counts a wrong key. After too many it says in how many seconds they are forgotten.
    pub(crate) fn add(&self, client: IpAddr) -> Option<u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.keys.as_ref()?.too_many(client)
    }

    /// Whether the log has room for one more entry about somebody who was not let in.
    pub(crate) fn may_tell(&self, now_s: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0 != now_s / 60 {
            *told = (now_s / 60, 0);
        }
        told.1 = told.1.saturating_add(1);
        told.1 <= REFUSALS_TOLD
    }

    /// All of them, wherever they came from.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Key;
    use tollgate_resources::Secret;

    fn settings(key: &str) -> Settings {
        Settings {
            keys: vec![Key {
                name: "ann".to_owned(),
                key: Secret::from(key.to_owned()),
                role: Role::Editor,
                teams: Vec::new(),
            }],
            sessions: SessionLimits {
                idle_s: 60,
                longest_s: 150,
            },
            ..Settings::default()
        }
    }

    fn ann(via: Via) -> Actor {
        Actor {
            name: "ann".to_owned(),
            role: Role::Editor,
            via,
            ..Actor::system()
        }
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_at_last_even_if_it_is() {
        let (sessions, settings) = (Sessions::default(), settings("k"));
        let (id, _) = sessions.begin(Session::new(ann(Via::Oidc), None, 1000)).unwrap();
        let ends = |now| {
            sessions
                .find(id.as_bytes(), &settings, now)
                .map(|found| found.expires_s)
        };
        assert_eq!(ends(1059), Some(1119));
        assert_eq!(ends(1118), Some(1150));
        assert_eq!(ends(1149), Some(1150));
        assert_eq!(ends(1150), None);
        let (id, _) = sessions.begin(Session::new(ann(Via::Oidc), None, 1000)).unwrap();
        assert!(sessions.find(id.as_bytes(), &settings, 1060).is_none());
    }

    #[test]
    fn a_session_ends_with_the_key_it_began_with() {
        let sessions = Sessions::default();
        let (id, _) = sessions
            .begin(Session::new(ann(Via::Key), Some(b"old"), 1000))
            .unwrap();
        assert!(sessions.find(id.as_bytes(), &settings("old"), 1001).is_some());
        assert!(sessions.find(id.as_bytes(), &settings("new"), 1002).is_none());
    }

    #[test]
    fn what_is_kept_opens_nothing_and_each_session_has_its_own_proof() {
        let (sessions, settings) = (Sessions::default(), settings("k"));
        let begin = || sessions.begin(Session::new(ann(Via::Oidc), None, 1000)).unwrap();
        let ((first, mark), (second, _)) = (begin(), begin());
        assert_ne!(first, second);
        assert!(sessions.find(hex(&mark).as_bytes(), &settings, 1000).is_none());
        let proof = |id: &str| sessions.find(id.as_bytes(), &settings, 1000).unwrap().csrf;
        assert_ne!(proof(&first), proof(&second));
        assert_eq!(proof(&first), proof(&first));
    }

    #[test]
    fn a_session_goes_on_in_the_next_process_while_it_is_worth_something() {
        let (before, settings) = (Sessions::default(), settings("k"));
        let begin = |via, key: Option<&[u8]>| before.begin(Session::new(ann(via), key, 1000)).unwrap();
        let (by_key, by_oidc) = (begin(Via::Key, Some(b"k")), begin(Via::Oidc, None));
        let stale = begin(Via::Key, Some(b"old"));
        assert_eq!(before.due(&settings, 1001), [(name(&stale.1), None)]);
        assert!(before.find(by_oidc.0.as_bytes(), &settings, 1050).is_some());
        assert!(before.due(&settings, 1050).is_empty());
        assert!(before.find(by_oidc.0.as_bytes(), &settings, 1100).is_some());
        let kept = before.due(&settings, 1100);
        // The one by key has ended, of the other one the last use is kept.
        assert_eq!(kept.len(), 2);
        let after = Sessions::default();
        let kept: Vec<_> = kept
            .iter()
            .filter_map(|(name, record)| Some((name.as_str(), record.as_deref()?)))
            .chain([("session/what", b"{}".as_slice())])
            .collect();
        assert_eq!(after.take_up(kept.into_iter(), &settings, 1120), ["session/what"]);
        assert_eq!(
            after
                .find(by_oidc.0.as_bytes(), &settings, 1120)
                .map(|found| found.actor),
            Some(Actor {
                address: None,
                ..ann(Via::Oidc)
            })
        );
        assert!(after.find(by_key.0.as_bytes(), &settings, 1120).is_none());
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let sessions = Sessions::default();
        for number in 0..MOST as u64 + 5 {
            sessions
                .begin(Session::new(ann(Via::Oidc), None, number))
                .unwrap();
        }
        assert_eq!(sessions.0.lock().unwrap().len(), MOST);
    }
}
