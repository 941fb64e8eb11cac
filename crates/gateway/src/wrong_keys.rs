//! How many wrong keys come from where.
//!
//! Whoever tries keys is told 429 after a while, and the operator is told of it. A right key is always served: an office has
//! one address for many people, and no throttle can be what keeps a key from being guessed; its length is. So only calls that
//! are refused anyway ever come here.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tollgate_dialects::canonical::ErrorKind;

use crate::clock::Moment;
use crate::error::{CallError, Fault};
use crate::plugins::Key;

/// The code of a wrong key after too many others.
pub const TOO_MANY_WRONG_KEYS: &str = "too_many_wrong_keys";

/// How long wrong keys are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// The log is told of an address once in a window, and of no more than one address in this time.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(1);

/// Parts of the counts, each with a lock of its own.
const SHARDS: usize = 64;

/// Addresses in one part: together half a million, in some 25 MiB if ever so many send wrong keys within a minute.
const MAX_IN_SHARD: usize = 8192;

/// Codes of refusals after a key, a password or a token was shown that is none.
const WRONG: [&str; 4] = [
    "invalid_api_key",
    "invalid_authorization",
    "invalid_token",
    "invalid_user",
];

/// Wrong keys by where they came from.
pub struct WrongKeys {
    /// Most in a window that are answered as what they are.
    most: u32,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<Source, Counted>>>,
    /// When the log was told last, in milliseconds.
    warned_ms: AtomicU64,
}

/// Where a call comes from: an IPv4 address, or the IPv6 network that one customer of a provider gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    V6(u64),
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    /// When the window ends, on the clock that is running.
    until: Duration,
    keys: u32,
}

/// What is known of an address that has sent one more wrong key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// Wrong keys in its window, this one included.
    keys: u32,
    /// How much is left of its window.
    left: Duration,
}

impl WrongKeys {
    /// Counts nothing if there is no limit.
    pub fn new(most: Option<u32>) -> Option<Self> {
        Some(WrongKeys {
            most: most?,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            warned_ms: AtomicU64::new(0),
        })
    }

    /// What the client of a refused call is told: the refusal, or that it has sent too many wrong keys.
    pub fn judged(&self, error: CallError, client: IpAddr) -> CallError {
        let is_wrong_key = error.fault == Fault::Client
            && error.status == StatusCode::UNAUTHORIZED
            && WRONG.contains(&&*error.code);
        if !is_wrong_key {
            return error;
        }
        let now = Moment::now().running;
        let known = self.count(client, now);
        if known.keys <= self.most {
            return error;
        }
        self.warn(known, client, now);
        too_many(known.left)
    }

    /// Counts a wrong key where nobody makes a call, as at the Admin API. After too many it says in how many seconds they are
    /// forgotten.
    pub fn too_many(&self, client: IpAddr) -> Option<u64> {
        let now = Moment::now().running;
        let known = self.count(client, now);
        self.warn(known, client, now);
        (known.keys > self.most).then(|| seconds(known.left))
    }

    fn warn(&self, known: Known, client: IpAddr, now: Duration) {
        if known.keys == self.most.saturating_add(1) && self.may_warn(now) {
            tracing::warn!(
                %client,
                "more than {} wrong keys in a minute from one address; further ones are answered with 429",
                self.most
            );
        }
    }

    fn count(&self, client: IpAddr, now: Duration) -> Known {
        let source = Source::of(client);
        let number = usize::try_from(self.hasher.hash_one(source) % SHARDS as u64).unwrap_or_default();
        let Some(shard) = self.shards.get(number) else {
            return Known {
                keys: 0,
                left: WINDOW,
            };
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MAX_IN_SHARD && !shard.contains_key(&source) {
            make_room(&mut shard, now);
        }
        let counted = shard.entry(source).or_insert(Counted {
            until: now + WINDOW,
            keys: 0,
        });
        if counted.until <= now {
            *counted = Counted {
                until: now + WINDOW,
                keys: 0,
            };
        }
        counted.keys = counted.keys.saturating_add(1);
        Known {
            keys: counted.keys,
            left: counted.until.saturating_sub(now),
        }
    }

    fn may_warn(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let between = BETWEEN_WARNINGS.as_millis() as u64;
        let last = self.warned_ms.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= between;
        is_due
            && self
                .warned_ms
                .compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Source {
    fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(address) => Source::V4(address),
            // The upper half, /64: whoever has one address of it has all of them.
            IpAddr::V6(address) => Source::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Forgets what is over; if nothing is, half of those that have sent fewest, so that this is seldom needed and a crowd of
/// addresses does not make one forgotten that tries many keys.
fn make_room(shard: &mut HashMap<Source, Counted>, now: Duration) {
    shard.retain(|_, counted| counted.until > now);
    if shard.len() < MAX_IN_SHARD {
        return;
    }
    let mut keys: Vec<u32> = shard.values().map(|counted| counted.keys).collect();
    let middle = keys.len() / 2;
    let (_, median, _) = keys.select_nth_unstable(middle);
    let median = *median;
    let mut to_forget = middle;
    shard.retain(|_, counted| {
        let forget = counted.keys <= median && to_forget > 0;
        to_forget -= usize::from(forget);
        !forget
    });
}

/// Whole seconds, the last one counted as a whole.
fn seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

fn too_many(left: Duration) -> CallError {
    let mut error = CallError::client(
        StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::RateLimit,
        TOO_MANY_WRONG_KEYS,
        "too many wrong API keys came from your address; a valid key is served",
    )
    .told_as(Key::Message);
    error.retry_after = Some(HeaderValue::from(seconds(left)));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    fn wrong_keys(most: u32) -> WrongKeys {
        WrongKeys::new(Some(most)).unwrap()
    }

    fn count(counts: &WrongKeys, client: &str, now: Duration) -> u32 {
        counts.count(client.parse().unwrap(), now).keys
    }

    #[test]
    fn an_address_is_counted_by_itself_and_an_ipv6_network_as_one() {
        let counts = wrong_keys(1);
        for (client, keys) in [
            ("192.0.2.1", 1),
            ("192.0.2.1", 2),
            ("::ffff:192.0.2.1", 3),
            ("192.0.2.2", 1),
            ("2001:db8:1:2::1", 1),
            ("2001:db8:1:2:ffff::9", 2),
            ("2001:db8:1:3::1", 1),
        ] {
            assert_eq!(count(&counts, client, START), keys, "{client}");
        }
    }

    #[test]
    fn a_window_ends_a_minute_after_its_first_wrong_key() {
        let counts = wrong_keys(1);
        assert_eq!(count(&counts, "192.0.2.1", START), 1);
        let known = counts.count("192.0.2.1".parse().unwrap(), START + Duration::from_secs(59));
        assert_eq!(
            known,
            Known {
                keys: 2,
                left: Duration::from_secs(1)
            }
        );
        assert_eq!(count(&counts, "192.0.2.1", START + WINDOW), 1);
    }

    #[test]
    fn only_wrong_keys_count_and_the_answer_says_when_to_come_back() {
        let counts = wrong_keys(2);
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let refusal = |status: StatusCode, code: &'static str| {
            CallError::client(status, ErrorKind::Authentication, code, "no")
        };
        let told = |error| counts.judged(error, client).status.as_u16();
        for _ in 0..9 {
            assert_eq!(told(refusal(StatusCode::UNAUTHORIZED, "missing_api_key")), 401);
            assert_eq!(told(refusal(StatusCode::FORBIDDEN, "invalid_token")), 403);
            let mut of_provider = refusal(StatusCode::UNAUTHORIZED, "invalid_api_key");
            of_provider.fault = Fault::Upstream;
            assert_eq!(told(of_provider), 401);
        }
        let wrong = || refusal(StatusCode::UNAUTHORIZED, "invalid_api_key");
        assert_eq!([(); 4].map(|()| told(wrong())), [401, 401, 429, 429]);
        let last = counts.judged(wrong(), client);
        let seconds: u64 = last
            .retry_after
            .as_ref()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }

    #[test]
    fn memory_is_bounded_and_who_tries_most_is_remembered() {
        let counts = wrong_keys(1);
        for _ in 0..5 {
            count(&counts, "192.0.2.1", START);
        }
        let entries = || -> usize {
            let shards = counts.shards.iter();
            shards.map(|shard| shard.lock().unwrap().len()).sum()
        };
        for number in 0..600_000_u32 {
            count(
                &counts,
                &Ipv4Addr::from_bits(0x0a00_0000 + number).to_string(),
                START,
            );
        }
        assert!(entries() <= SHARDS * MAX_IN_SHARD, "{}", entries());
        assert_eq!(count(&counts, "192.0.2.1", START), 6);
    }

    #[test]
    fn the_log_is_told_of_one_address_in_a_second() {
        let counts = wrong_keys(1);
        let times = [0, 1, 999, 1000, 1500, 2000];
        let told = times.map(|ms| counts.may_warn(START + Duration::from_millis(ms)));
        assert_eq!(told, [true, false, false, true, false, true]);
    }
}
