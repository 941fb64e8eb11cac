//! The gateway's own messages: to standard error, which nobody waits for.
//!
//! Standard error may be a pipe whose reader stands still. A worker that waited for it would hold up all calls of its core, so
//! messages go into memory, and a thread of its own writes them. What finds the memory full is lost and counted. The last ones
//! are kept for the Admin API.

use std::io::{self, IsTerminal, Write};
use std::mem;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_admin::LogLines;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Bytes of messages that wait at most.
const LIMIT: usize = 1024 * 1024;

/// How long the end waits for a reader that does not keep up.
const END_WAIT: Duration = Duration::from_secs(2);

/// The log of the process; empty where messages are written by whoever has them.
static LOG: OnceLock<OwnLog> = OnceLock::new();

/// Starts the log. `RUST_LOG` says what it tells.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let all = tracing_subscriber::registry().with(filter).with(Keeper);
    // `try_init` fails only if there is a log already.
    let _ = match OwnLog::start(io::stderr(), LIMIT) {
        Ok(own) => all
            .with(log.with_writer(LOG.get_or_init(|| own).clone()))
            .try_init(),
        Err(_) => all.with(log.with_writer(io::stderr)).try_init(),
    };
}

/// The last messages.
pub fn lines() -> Arc<LogLines> {
    LINES.clone()
}

static LINES: LazyLock<Arc<LogLines>> = LazyLock::new(Arc::default);

/// Keeps every message.
struct Keeper;

impl<S: tracing::Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        LINES.keep(time_ms, level, &(text.message + &text.fields));
    }
}

/// A message, and what comes with it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        // Writing to memory does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Waits until what was told is written, but not for long.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(END_WAIT);
    }
}

/// Messages that were lost since the start.
pub fn dropped() -> u64 {
    LOG.get().map_or(0, OwnLog::dropped)
}

/// Messages on their way to who reads them.
#[derive(Clone)]
struct OwnLog(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    limit: usize,
    /// Told when there is something to write.
    told: Condvar,
    /// Told when all of it is written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
    dropped: u64,
}

impl OwnLog {
    fn start(output: impl Write + Send + 'static, limit: usize) -> io::Result<OwnLog> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            limit,
            told: Condvar::new(),
            written: Condvar::new(),
        });
        let log = OwnLog(Arc::clone(&shared));
        std::thread::Builder::new()
            .name("own-log".to_owned())
            .spawn(move || shared.write(output))?;
        Ok(log)
    }

    /// Takes a whole message, or loses it.
    fn tell(&self, message: &[u8]) {
        let mut state = self.0.state();
        if state.waiting.len() + message.len() > self.0.limit {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(message);
        drop(state);
        self.0.told.notify_one();
    }

    fn flush(&self, wait: Duration) -> bool {
        let is_owed = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let (_state, timeout) = self
            .0
            .written
            .wait_timeout_while(self.0.state(), wait, is_owed)
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    fn dropped(&self) -> u64 {
        self.0.state().dropped
    }
}

impl Shared {
    /// Writes what is told, for ever.
    fn write(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        let mut lost = 0;
        loop {
            let mut state = self
                .told
                .wait_while(self.state(), |state| state.waiting.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut batch, &mut state.waiting);
            state.is_writing = true;
            let dropped = state.dropped;
            drop(state);
            // There is nobody to tell that this log cannot be written.
            let _ = output.write_all(&batch);
            if dropped > lost {
                let _ = writeln!(
                    output,
                    "messages lost because nobody read them in time: {}",
                    dropped - lost
                );
                lost = dropped;
            }
            let _ = output.flush();
            batch.clear();
            self.state().is_writing = false;
            self.written.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One message; the subscriber writes it as a whole.
impl Write for &OwnLog {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        self.tell(message);
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for OwnLog {
    type Writer = &'a OwnLog;

    fn make_writer(&'a self) -> &'a OwnLog {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const LOST: &str = "messages lost because nobody read them in time: ";

    fn tail(text: &[u8]) -> String {
        String::from_utf8_lossy(&text[text.len().saturating_sub(100)..]).into_owned()
    }

    #[test]
    fn a_reader_that_stands_still_costs_messages_that_are_counted_but_never_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = OwnLog::start(writer, LIMIT).unwrap();
        let message = [b"x".repeat(1023), b"\n".to_vec()].concat();
        // More than the memory, and the batch and the pipe before it.
        let told = 4 * LIMIT / message.len();
        for _ in 0..told {
            log.tell(&message);
        }
        assert!(!log.flush(Duration::ZERO));
        let dropped = log.dropped();
        assert!(dropped > 0);

        let read = std::thread::spawn(move || {
            let (mut text, mut part) = (Vec::new(), [0; 4096]);
            while !text.ends_with(b"\n") || !tail(&text).contains(LOST) {
                let length = reader.read(&mut part).unwrap();
                text.extend_from_slice(&part[..length]);
            }
            String::from_utf8(text).unwrap()
        });
        assert!(log.flush(PATIENCE));
        let text = read.join().unwrap();
        let whole = text.lines().filter(|line| line.len() == 1023).count();
        assert_eq!(whole as u64 + dropped, told as u64);
        assert!(text.ends_with(&format!("\n{LOST}{dropped}\n")), "it is told");
    }
}
