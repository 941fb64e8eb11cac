//! Calls that are ready at the same time go in step.
//!
//! A call goes through most of its code once, and that is far more than the first caches of a processor hold. If each call went its whole
//! way alone, all of it would be fetched anew for each. So at a few places a call lets all others that are ready come as far as it
//! is: then a part of the way is fetched for all of them together, and so is the system's code for sending behind it.

use std::future::poll_fn;
use std::task::Poll;

/// Lets everything else that is ready on this worker go on before the caller does. Who is alone goes on at once.
pub async fn in_step() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        // Behind all that is ready, but unlike with `yield_now` before the system is asked what else has come.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::in_step;

    #[tokio::test]
    async fn calls_that_are_ready_together_go_through_their_parts_together() {
        let set = tokio::task::LocalSet::new();
        let order = Rc::new(RefCell::new(String::new()));
        for _ in 0..3 {
            let order = order.clone();
            set.spawn_local(async move {
                for part in ['a', 'b', 'c'] {
                    order.borrow_mut().push(part);
                    in_step().await;
                }
            });
        }
        set.await;
        assert_eq!(*order.borrow(), "aaabbbccc");
    }
}
