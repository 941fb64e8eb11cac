//! Fetches the secrets that objects name as `$secret://<manager>/<id>/<path>`: from Vault, AWS Secrets Manager and Google
//! Secret Manager.
//!
//! All of it happens on one thread of its own, beside the calls: a call uses what is known and never waits. Who writes
//! objects may ask for what they name and wait a bounded time; everything in use is fetched again before it grows old, and
//! what could not be fetched is tried again. Refuses to know what secrets are used for: values go to
//! [`Gateway::set_secrets`], which compiles their users again.

mod aws;
mod exchange;
mod fetch;
mod gcp;
mod keeper;
mod settings;
mod vault;

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use fetch::FetchError;

use crate::Gateway;
pub use crate::clock::Moment;

/// Reads bytes as every answer of a manager, and as a reference. For the fuzzer.
pub(crate) fn fuzz_answer(answer: &[u8], key: &str) {
    let _ = vault::secret_in(answer, key);
    let _ = aws::code(answer);
    if let Ok(payload) = gcp::payload(answer) {
        let _ = fetch::part_of(payload, Some(key));
    }
    let _ = fetch::Reference::parse(key);
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// When things are done.
#[derive(Clone)]
pub struct Timing {
    /// The clock by which values age.
    pub clock: Clock,
    /// How long a value is used before it is fetched again.
    pub fresh_for: Duration,
    /// How long after a failure the next try is.
    pub retry_after: Duration,
    /// How long a manager that did not answer in time is left alone, so that many writes in a row do not all wait for it.
    pub pause: Duration,
    /// How long one fetch may take; also when a write goes on without what is still missing.
    pub fetch_within: Duration,
    /// How long a write waits at most, whatever happens. Above `fetch_within`, which is what counts commonly.
    pub answer_within: Duration,
    /// How often is looked for what has to be fetched.
    pub look_every: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            clock: Arc::new(Moment::now),
            fresh_for: FRESH_FOR,
            retry_after: RETRY_AFTER,
            pause: PAUSE,
            fetch_within: FETCH_WITHIN,
            answer_within: ANSWER_WITHIN,
            look_every: LOOK_EVERY,
        }
    }
}

/// The thread that fetches. It ends when this is dropped.
pub struct Agent {
    asks: mpsc::Sender<Ask>,
    answer_within: Duration,
}

/// References to fetch, and managers that have changed.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Written `<manager>/<id>/<path>`.
    pub(crate) references: BTreeSet<String>,
    /// Written `<manager>/<id>`. They are not left alone any longer if they were.
    pub(crate) managers: BTreeSet<String>,
}

/// What the thread can be asked for.
enum Ask {
    /// Fetch these now.
    Fetch {
        wanted: Wanted,
        /// Told when all are fetched or have failed, or the time for it is over.
        done: Option<oneshot::Sender<()>>,
    },
    /// Look for what has to be fetched, as happens from time to time anyway.
    #[cfg(test)]
    Look { done: oneshot::Sender<()> },
}

impl Agent {
    /// Starts the thread. It does not keep the gateway alive.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub(crate) fn start(gateway: Weak<Gateway>, timing: Timing) -> std::io::Result<Self> {
        let (asks, asked) = mpsc::channel(MAX_ASKS);
        let answer_within = timing.answer_within;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("secrets".to_owned())
            .spawn(move || {
                tokio::task::LocalSet::new().block_on(&runtime, keeper::run(gateway, timing, asked));
                // A name that is still being looked up must not hold up the end.
                runtime.shutdown_background();
            })?;
        Ok(Agent { asks, answer_within })
    }

    /// Fetches and waits until that is done, but no longer than the time limit of writes. What is not there by then
    /// follows when it arrives. Dropping the future gives up waiting; the fetching goes on.
    pub(crate) async fn fetch(&self, wanted: Wanted) {
        let (done, is_done) = oneshot::channel();
        let ask = Ask::Fetch {
            wanted,
            done: Some(done),
        };
        let waiting = async {
            if self.asks.send(ask).await.is_ok() {
                // An error means that the thread has ended; there is nothing to wait for.
                let _ = is_done.await;
            }
        };
        if tokio::time::timeout(self.answer_within, waiting).await.is_err() {
            tracing::error!("the thread that fetches secrets does not answer in time");
        }
    }

    /// Fetches without waiting.
    pub(crate) fn fetch_later(&self, wanted: Wanted) {
        // If there is no room, the next look finds what is missing.
        let _ = self.asks.try_send(Ask::Fetch { wanted, done: None });
    }

    /// Looks now, and waits until everything that was due is fetched.
    #[cfg(test)]
    pub(crate) async fn look(&self) {
        let (done, is_done) = oneshot::channel();
        self.asks.send(Ask::Look { done }).await.ok();
        is_done.await.ok();
    }
}

/// How long a value is used before it is fetched again; APISIX's default.
const FRESH_FOR: Duration = Duration::from_secs(300);

/// How long after a failure the next try is; APISIX's default.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long a manager that did not answer in time is left alone.
const PAUSE: Duration = Duration::from_secs(10);

/// How long one fetch may take.
const FETCH_WITHIN: Duration = Duration::from_millis(2_500);

/// How long a write waits at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often is looked for what has to be fetched.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Asks that wait for the thread; more are not taken before there is room.
const MAX_ASKS: usize = 1_024;

#[cfg(test)]
mod tests;
