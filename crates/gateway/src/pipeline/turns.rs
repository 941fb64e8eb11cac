//! Calls that begin take turns with all else that a worker has to do.
//!
//! To begin a call takes several times as long as to pass on a piece of a stream. When many calls come at once, the pieces of streams that
//! are under way would wait behind all of them. So only some calls begin before everything else that is ready has had its turn. With
//! thousands of connections this also keeps what is under way small enough for the processor's caches: what has begun is ended
//! before more begins.

use std::cell::Cell;

use tokio::sync::Semaphore;

use super::step::in_step;

/// Calls that begin in a round at most. More of them at once save a little time.
const MANY: usize = 32;

/// Calls that begin in a round at least, however many are under way: streams among them wait less.
const FEW: usize = 8;

/// Whose turn it is on a worker.
pub struct Turns {
    /// Places of this round. Who waits for one gets it in the order of waiting.
    left: Semaphore,
    /// Places of the next round.
    next: Cell<usize>,
    /// Whether a call waits whose turn ends the round.
    is_ending: Cell<bool>,
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            left: Semaphore::new(MANY),
            next: Cell::new(MANY),
            is_ending: Cell::new(false),
        }
    }
}

/// A round that is about to end. It ends when this is dropped, also when the call that it waits with is given up.
struct Ending<'a>(&'a Turns);

impl<'a> Ending<'a> {
    fn of(turns: &'a Turns) -> Self {
        turns.is_ending.set(true);
        Ending(turns)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_ending.set(false);
        let Turns { left, next, .. } = self.0;
        left.add_permits(next.get().saturating_sub(left.available_permits()));
    }
}

impl Turns {
    /// Waits until a further call may begin; mostly it may at once. `under_way` are the calls that have begun.
    pub async fn next(&self, under_way: usize) {
        self.next
            .set((2 * MANY).saturating_sub(under_way).clamp(FEW, MANY));
        if let Ok(place) = self.left.try_acquire() {
            place.forget();
            return;
        }
        if self.is_ending.get() {
            // Never fails: nobody closes it.
            if let Ok(place) = self.left.acquire().await {
                place.forget();
            }
            if self.is_ending.get() {
                return;
            }
        }
        // One of those that wait sees to it that there is a next round.
        let _ending = Ending::of(self);
        // What is ready goes first, and then what has come meanwhile. The second alone would not do: the system is asked from time to
        // time also while much is ready.
        in_step().await;
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use super::{FEW, MANY, Turns};

    /// In which order calls began that came together, `|` between rounds.
    async fn begun(calls: usize, under_way: usize) -> Vec<usize> {
        let set = tokio::task::LocalSet::new();
        let (turns, order) = (Rc::new(Turns::default()), Rc::new(RefCell::new(String::new())));
        // The first round knows nothing yet.
        for _ in 0..MANY {
            turns.next(under_way).await;
        }
        for _ in 0..calls {
            let (turns, order) = (turns.clone(), order.clone());
            set.spawn_local(async move {
                turns.next(under_way).await;
                order.borrow_mut().push('c');
            });
        }
        let pieces = order.clone();
        set.spawn_local(async move {
            for _ in 0..200 {
                pieces.borrow_mut().push('|');
                tokio::task::yield_now().await;
            }
        });
        set.await;
        let order = order.borrow();
        order.split('|').map(str::len).collect()
    }

    #[tokio::test]
    async fn what_else_is_ready_has_its_turn_between_calls_that_begin() {
        for (under_way, places) in [(0, MANY), (MANY, MANY), (2 * MANY - 10, 10), (1_000, FEW)] {
            let calls = 10 * MANY;
            let rounds = begun(calls, under_way).await;
            assert_eq!(rounds.iter().max(), Some(&places), "{rounds:?}");
            assert_eq!(rounds.iter().sum::<usize>(), calls, "all have begun");
        }
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_stops_nobody() {
        let turns = Turns::default();
        for _ in 0..MANY {
            turns.next(0).await;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(turns.next(0));
        let mut second = Box::pin(turns.next(0));
        let mut third = pin!(turns.next(0));
        assert_eq!(first.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(second.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(third.as_mut().poll(&mut cx), Poll::Pending);
        // The one that would have ended the round, and one that has been given a place.
        drop(first);
        drop(second);
        third.await;
        for _ in 0..3 * MANY {
            turns.next(0).await;
        }
    }
}
