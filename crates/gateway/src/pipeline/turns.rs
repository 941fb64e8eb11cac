//! Calls that begin take turns with all else that a worker has to do.
//!
//! To begin a call takes several times as long as to pass on a piece of a stream. When many calls come at once, the pieces of streams that
//! are under way would wait behind all of them. So only some calls begin before everything else that is ready has had its turn. With
//! thousands of connections this also keeps what is under way small enough for the processor's caches: what has begun is ended
//! before more begins.

use std::cell::Cell;

use tokio::sync::Semaphore;

/// Calls that begin in a round. More of them at once save a little time; fewer let streams wait less.
const IN_A_ROUND: usize = 8;

/// Whose turn it is on a worker.
pub struct Turns {
    /// Places of this round. Who waits for one gets it in the order of waiting.
    left: Semaphore,
    /// Whether a call waits whose turn ends the round.
    is_ending: Cell<bool>,
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            left: Semaphore::new(IN_A_ROUND),
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
        let left = &self.0.left;
        left.add_permits(IN_A_ROUND.saturating_sub(left.available_permits()));
    }
}

impl Turns {
    /// Waits until a further call may begin; mostly it may at once.
    pub async fn next(&self) {
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
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use super::{IN_A_ROUND, Turns};

    #[tokio::test]
    async fn what_else_is_ready_has_its_turn_between_calls_that_begin() {
        let set = tokio::task::LocalSet::new();
        let (turns, order) = (Rc::new(Turns::default()), Rc::new(RefCell::new(Vec::new())));
        for _ in 0..10 * IN_A_ROUND {
            let (turns, order) = (turns.clone(), order.clone());
            set.spawn_local(async move {
                turns.next().await;
                order.borrow_mut().push("call");
            });
        }
        let pieces = order.clone();
        set.spawn_local(async move {
            for _ in 0..3 {
                pieces.borrow_mut().push("piece");
                tokio::task::yield_now().await;
            }
        });
        set.await;
        let order = order.borrow();
        let between: Vec<usize> = order.split(|done| *done == "piece").map(<[_]>::len).collect();
        let [first, second, third, _] = between[..] else {
            panic!("{order:?}");
        };
        assert_eq!(first, IN_A_ROUND);
        // With the one that ends the round.
        assert!(second <= IN_A_ROUND + 1 && third <= IN_A_ROUND + 1, "{order:?}");
        assert_eq!(order.len(), 10 * IN_A_ROUND + 3, "all have begun");
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_stops_nobody() {
        let turns = Turns::default();
        for _ in 0..IN_A_ROUND {
            turns.next().await;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(turns.next());
        let mut second = Box::pin(turns.next());
        let mut third = pin!(turns.next());
        assert_eq!(first.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(second.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(third.as_mut().poll(&mut cx), Poll::Pending);
        // The one that would have ended the round, and one that has been given a place.
        drop(first);
        drop(second);
        third.await;
        for _ in 0..3 * IN_A_ROUND {
            turns.next().await;
        }
    }
}
