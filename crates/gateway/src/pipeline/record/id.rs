//! Ids of calls.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp, Uuid};

thread_local! {
    /// What makes the ids of one worker different from each other, and each larger than the one before. One for all
    /// workers, as `Uuid::now_v7` has it, is behind a lock.
    static BEFORE: ContextV7 = const { ContextV7::new() };
}

/// A new id of a call that has come at this time: a UUID of version 7 ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.7)) in hexadecimal digits,
/// without hyphens.
pub(super) fn new(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = BEFORE.with(|before| {
        Uuid::new_v7(Timestamp::from_unix(
            before,
            since.as_secs(),
            since.subsec_nanos(),
        ))
    });
    id.simple().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_differ_and_grow_also_when_the_clock_is_set_back() {
        let now = SystemTime::now();
        let times = [0, 0, 0, 1, 1, 5].map(|ms| now + Duration::from_millis(ms));
        let back = [now - Duration::from_secs(60), UNIX_EPOCH, now];
        let ids: Vec<String> = times.into_iter().chain(back).map(new).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let milliseconds = now.duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert_eq!(ids[0].get(..12), Some(&*format!("{milliseconds:012x}")));
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn workers_make_ids_of_their_own() {
        let now = SystemTime::now();
        let of_a_worker = move || (0..1000).map(|_| new(now)).collect::<Vec<_>>();
        let there = std::thread::spawn(of_a_worker);
        let mut ids = of_a_worker();
        ids.extend(there.join().unwrap());
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 2000);
    }
}
