//! The producer's id, and the numbers of its batches: by these brokers recognise a batch that is sent again.

use std::collections::HashMap;

use super::wire::BatchHead;

/// The producer as brokers know it.
#[derive(Default)]
pub(super) struct Identity {
    state: State,
    /// The number of the next record, by partition.
    next: HashMap<usize, i32>,
}

#[derive(Clone, Copy, Default)]
enum State {
    /// It is not known yet, or not any more.
    #[default]
    Wanted,
    /// It is this.
    Known { id: i64, epoch: i16 },
    /// There is none, and none is asked for.
    Without,
}

impl Identity {
    /// A producer whose batches are not numbered.
    pub(super) fn without() -> Self {
        Identity {
            state: State::Without,
            next: HashMap::new(),
        }
    }

    /// Whether an id has to be asked for.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted)
    }

    /// Whether batches are numbered.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.state, State::Known { .. })
    }

    /// Takes a new id.
    pub(super) fn assume(&mut self, id: i64, epoch: i16) {
        self.state = State::Known { id, epoch };
        self.next.clear();
    }

    /// Gives the id up, where there is one: numbers begin anew with the next.
    pub(super) fn forget(&mut self) {
        if self.is_known() {
            self.state = State::Wanted;
            self.next.clear();
        }
    }

    /// The head of the partition's next batch.
    pub(super) fn head(&self, partition: usize) -> BatchHead {
        match self.state {
            State::Known { id, epoch } => BatchHead {
                producer_id: id,
                producer_epoch: epoch,
                base_sequence: self.next.get(&partition).copied().unwrap_or(0),
            },
            State::Wanted | State::Without => BatchHead::ANONYMOUS,
        }
    }

    /// The partition's last batch, of this head and so many records, is there.
    pub(super) fn stored(&mut self, partition: usize, head: BatchHead, records: usize) {
        if let State::Known { id, epoch } = self.state
            && (id, epoch) == (head.producer_id, head.producer_epoch)
        {
            // After the largest number comes 0.
            let next = i64::from(head.base_sequence) + i64::try_from(records).unwrap_or(i64::MAX);
            let next = next.rem_euclid(i64::from(i32::MAX) + 1);
            self.next.insert(partition, i32::try_from(next).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchHead, Identity};

    #[test]
    fn numbers_go_on_by_the_records_that_are_stored_and_begin_anew_after_the_largest() {
        let mut identity = Identity::default();
        assert_eq!(identity.head(0), BatchHead::ANONYMOUS);
        identity.assume(7, 1);
        let head = identity.head(0);
        assert_eq!(head.base_sequence, 0);
        identity.stored(0, head, 3);
        assert_eq!(identity.head(0).base_sequence, 3);
        assert_eq!(identity.head(1).base_sequence, 0);
        let last = BatchHead {
            base_sequence: i32::MAX - 1,
            ..head
        };
        identity.stored(0, last, 2);
        assert_eq!(identity.head(0).base_sequence, 0);
        identity.stored(0, last, 4);
        assert_eq!(identity.head(0).base_sequence, 2);
    }

    #[test]
    fn what_was_stored_by_the_id_before_does_not_count() {
        let mut identity = Identity::default();
        identity.assume(7, 1);
        let before = identity.head(0);
        identity.forget();
        assert!(identity.is_wanted());
        identity.assume(8, 0);
        identity.stored(0, before, 3);
        assert_eq!(identity.head(0).base_sequence, 0);
    }
}
