//! Calls that begin take turns with all else that a worker has to do.
//!
//! To begin a call takes several times as long as to pass on a piece of a stream. When many calls come at once, the pieces of streams that
//! are under way would wait behind all of them. So only some calls begin before everything else that is ready has had its turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

/// Calls that begin in a round. More of them at once save a little time; fewer let streams wait less.
const IN_A_ROUND: u32 = 16;

/// Whose turn it is on a worker. A round is over when whoever waits and came first is asked again: workers ask in the order in which there
/// was something to ask for.
#[derive(Default)]
pub struct Turns {
    /// Calls that have begun in this round.
    begun: Cell<u32>,
    /// Whether somebody waits whose next turn ends the round.
    is_marked: Cell<bool>,
}

/// Ends the round when it is asked again, or given up.
struct Mark<'a>(&'a Turns);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.is_marked.set(false);
        self.0.begun.set(0);
    }
}

impl Turns {
    /// Waits until a further call may begin; mostly it may at once.
    pub async fn next(&self) {
        let mut mark = None;
        poll_fn(|cx| {
            drop(mark.take());
            if self.begun.get() < IN_A_ROUND {
                self.begun.set(self.begun.get() + 1);
                return Poll::Ready(());
            }
            if !self.is_marked.replace(true) {
                mark = Some(Mark(self));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
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
        for _ in 0..3 * IN_A_ROUND {
            let (turns, order) = (turns.clone(), order.clone());
            set.spawn_local(async move {
                turns.next().await;
                order.borrow_mut().push("call");
            });
        }
        let pieces = order.clone();
        set.spawn_local(async move { pieces.borrow_mut().push("piece") });
        set.await;
        let order = order.borrow();
        assert_eq!(
            order.iter().position(|done| *done == "piece"),
            Some(IN_A_ROUND as usize)
        );
        assert_eq!(order.len(), 3 * IN_A_ROUND as usize + 1, "all have begun");
    }

    #[test]
    fn who_leaves_while_waiting_stops_nobody() {
        let turns = Turns::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut begins = || pin!(turns.next()).poll(&mut cx);
        for _ in 0..IN_A_ROUND {
            assert_eq!(begins(), Poll::Ready(()));
        }
        // Given up at once, with the round that it would have ended.
        assert_eq!(begins(), Poll::Pending);
        assert_eq!(begins(), Poll::Ready(()));
    }
}
