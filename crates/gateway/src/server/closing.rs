//! How the connections of a worker end in order: each finishes what it is doing, and takes no further request.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// The open connections of a worker, and the word to them that they shall end.
pub(super) struct Closing {
    is_asked: Cell<bool>,
    asked: Arc<Notify>,
    open: Cell<usize>,
    gone: Notify,
}

/// An open connection; it counts as long as this is there.
pub(super) struct Open(Rc<Closing>);

impl Closing {
    /// A worker without connections.
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Closing {
            is_asked: Cell::new(false),
            asked: Arc::new(Notify::new()),
            open: Cell::new(0),
            gone: Notify::new(),
        })
    }

    /// One more connection.
    pub(super) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(self.clone())
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.get()
    }

    /// Asks all of them to end, and waits until they have.
    pub(super) async fn end(&self) {
        self.is_asked.set(true);
        self.asked.notify_waiters();
        while self.open.get() > 0 {
            self.gone.notified().await;
        }
    }
}

impl Open {
    /// Waits until the connection shall end.
    pub(super) async fn shall_end(&self) {
        if !self.0.is_asked.get() {
            self.0.asked.notified().await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        if open == 0 {
            self.0.gone.notify_one();
        }
    }
}

/// Wakes a connection once it shall end.
pub(super) struct Asked {
    asked: Pin<Box<OwnedNotified>>,
    is_listening: bool,
    open: Open,
}

impl Asked {
    /// Nobody is woken yet.
    pub(super) fn new(open: Open) -> Self {
        Asked {
            asked: Box::pin(open.0.asked.clone().notified_owned()),
            is_listening: false,
            open,
        }
    }

    /// Whether the connection shall end.
    pub(super) fn is_asked(&self) -> bool {
        self.open.0.is_asked.get()
    }

    /// The same; the task is woken when it changes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_asked() {
            return true;
        }
        if !self.is_listening {
            // Once is enough: a connection stays in its task. What it is woken for is told by the flag.
            self.is_listening = true;
            let _ = self.asked.as_mut().poll(cx);
        }
        false
    }
}

/// What the HTTP library makes of a connection.
pub(super) trait Serving: Future<Output = hyper::Result<()>> + Unpin {
    /// Takes no further request.
    fn finish(self: Pin<&mut Self>);
}

/// Serves a connection until its end, or until it shall end and has finished what it was doing.
pub(super) struct UntilEnd<C> {
    connection: C,
    asked: Asked,
    /// Whether it knows that it shall end.
    finishes: bool,
}

impl<C> UntilEnd<C> {
    /// Not yet served.
    pub(super) fn new(connection: C, open: Open) -> Self {
        UntilEnd {
            connection,
            asked: Asked::new(open),
            finishes: false,
        }
    }
}

impl<C: Serving> Future for UntilEnd<C> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        if self.asked.poll(cx) && !self.finishes {
            self.finishes = true;
            Pin::new(&mut self.connection).finish();
        }
        Pin::new(&mut self.connection).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Asked {
        finishes: bool,
    }

    impl Future for Asked {
        type Output = hyper::Result<()>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<hyper::Result<()>> {
            if self.finishes {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }
    }

    impl Serving for Asked {
        fn finish(mut self: Pin<&mut Self>) {
            self.finishes = true;
        }
    }

    #[test]
    fn the_end_waits_for_those_that_were_open_before_and_those_that_come_late() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(async {
            let closing = Closing::new();
            let serve = || UntilEnd::new(Asked { finishes: false }, closing.open());
            let early = tokio::task::spawn_local(serve());
            // It has been polled, and waits.
            tokio::task::yield_now().await;
            let unpolled = tokio::task::spawn_local(serve());
            assert_eq!(closing.count(), 2);
            closing.end().await;
            assert_eq!(closing.count(), 0);
            assert!(early.await.unwrap().is_ok() && unpolled.await.unwrap().is_ok());
            let late = closing.open();
            late.shall_end().await;
            assert!(UntilEnd::new(Asked { finishes: false }, late).await.is_ok());
        }));
    }
}
