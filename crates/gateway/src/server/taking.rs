//! How long the client of one HTTP/2 stream may take nothing of its answer.
//!
//! A client says for each stream how much it is ready to take. One that never says so holds an answer, and the call behind it,
//! although the connection is alive. The HTTP library waits for it without limit, so each of its streams is watched here: a body
//! that has given something and is not asked for more waits for the client.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tollgate_telemetry::metrics::{Limit, Limits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It had nothing to give.
    Waits,
    /// It has given something.
    Gave,
}

thread_local! {
    /// What the body said last that was asked on this thread.
    static SAID: Cell<Option<Said>> = const { Cell::new(None) };
}

/// A body was asked, and gave something (or its end) or nothing.
pub fn body_was_asked(gave: bool) {
    SAID.set(Some(if gave { Said::Gave } else { Said::Waits }));
}

/// Serves a stream until its client has taken nothing for `patience`. Then it is dropped, which resets it.
pub(super) async fn unless_left_lying<F: Future>(stream: F, patience: Duration, limits: Limits) {
    let mut stream = pin!(stream);
    let mut waits_for_client = false;
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        SAID.set(None);
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(said) = SAID.take() {
            waits_for_client = said == Said::Gave;
            timer = None;
        }
        if !waits_for_client {
            return Poll::Pending;
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        timer
            .as_mut()
            .poll(cx)
            .map(|()| limits.reached(Limit::SendTimeout))
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tollgate_telemetry::Metrics;
    use tollgate_telemetry::metrics::Traffic;

    use super::*;

    /// A stream whose body says this once, and which never ends.
    async fn stream(gave: bool) {
        body_was_asked(gave);
        pending::<()>().await;
    }

    #[test]
    fn only_a_body_that_is_left_lying_ends_its_stream() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let metrics = Metrics::default();
            let limits = Traffic::shown(&metrics, "apisix_").limits().clone();
            let soon = Duration::from_millis(1);
            unless_left_lying(stream(true), soon, limits.clone()).await;
            let reached = r#"tollgate_limits_reached_total{limit="send_timeout"} 1"#;
            assert!(metrics.text().contains(reached));
            // The provider has nothing to give: the client waits, not we.
            let waiting = pin!(unless_left_lying(stream(false), soon, limits.clone()));
            let left = pin!(unless_left_lying(stream(true), soon * 20, limits));
            tokio::select! {
                biased;
                () = waiting => panic!("a stream that waits for its provider was ended"),
                () = left => {}
            }
        });
    }
}
