//! Who is in at the same time: places that are taken and given back, or run out.

use super::sharded::Expires;

/// The places of one key that are taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Who, and until when in milliseconds since 1970.
    taken: Vec<(u64, u64)>,
}

impl Expires for Places {
    fn expires_ms(&self) -> u64 {
        self.taken
            .iter()
            .map(|(_, until_ms)| *until_ms)
            .max()
            .unwrap_or(0)
    }
}

impl Places {
    /// Takes a place if one of `limit` is free. Tells whether it did, and how many are taken then.
    pub(super) fn enter(&mut self, id: u64, limit: u64, lease_ms: u64, now_ms: u64) -> (bool, u64) {
        self.taken.retain(|(_, until_ms)| *until_ms > now_ms);
        let taken = u64::try_from(self.taken.len()).unwrap_or(u64::MAX);
        if taken >= limit {
            return (false, taken);
        }
        self.taken.push((id, now_ms.saturating_add(lease_ms)));
        (true, taken + 1)
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, id: u64) {
        if let Some(place) = self.taken.iter().position(|(taken, _)| *taken == id) {
            self.taken.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_free_again_when_they_are_left_or_have_run_out() {
        let mut places = Places::default();
        assert_eq!(places.enter(1, 2, 100, 0), (true, 1));
        assert_eq!(places.enter(2, 2, 1000, 10), (true, 2));
        assert_eq!(places.enter(3, 2, 100, 99), (false, 2));
        assert_eq!(places.enter(4, 2, 100, 100), (true, 2));
        places.leave(2);
        places.leave(2);
        assert_eq!(places.enter(5, 2, 100, 101), (true, 2));
        assert_eq!(places.enter(6, 2, 100, 102), (false, 2));
    }
}
