//! What the process can still take on: memory, calls and connections against their limits.
//!
//! Memory is measured ten times a second by whoever runs the gateway ([`Overload::measured`]); a call reads one relaxed atomic.
//! Long bodies would outrun that, so what is held of them is counted as it comes, and refused before there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use http::{HeaderValue, StatusCode};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_telemetry::metrics::{Counter, Description, Metrics};

use crate::error::{CallError, OVERLOADED};

/// Connections of HTTP/1 end with their next answer: memory is short, or places for connections are.
const TIGHT: u8 = 1;
/// New calls are refused.
const SHEDS: u8 = 2;
/// New connections are closed.
const CLOSES: u8 = 4;
/// Nine of ten places for connections are taken.
const CROWDED: u8 = 8;

/// From how many percent of the limit on each is so, and below how many it is not any more.
const MARKS: [(u8, u64, u64); 3] = [(TIGHT, 80, 75), (SHEDS, 90, 85), (CLOSES, 95, 90)];

/// Percent of the limit that long bodies may fill, all other memory included.
const FILLED: u64 = 90;

/// How much memory a byte of a body takes at most, while it is read, translated and sent: growing buffers are copied.
const COPIES: u64 = 3;

/// Bytes of a body that are not counted: most bodies are shorter, and shall cost nothing.
pub(crate) const UNCOUNTED: usize = 64 * 1024;

/// Bytes that are counted at once.
const STEP: u64 = 256 * 1024;

/// When those who are refused should come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Reason {
    Memory,
    Bodies,
    Calls,
}

impl Reason {
    const ALL: [Reason; 3] = [Reason::Memory, Reason::Bodies, Reason::Calls];

    fn name(self) -> &'static str {
        match self {
            Reason::Memory => "memory",
            Reason::Bodies => "bodies",
            Reason::Calls => "calls",
        }
    }
}

/// What is short now, shared by all workers.
pub struct Overload {
    state: AtomicU8,
    /// Bytes of long bodies that may be held.
    room: AtomicU64,
    /// Bytes of them that are.
    held: AtomicU64,
    used: AtomicU64,
    limit: AtomicU64,
    shed: [Counter; Reason::ALL.len()],
    closed: Counter,
}

/// A number that is shown: its name, what it is, and how it is read.
type Gauge = (&'static str, &'static str, fn(&Overload) -> u64);

impl Overload {
    /// Nothing is short. What follows is shown in numbers.
    pub fn shown(metrics: &Metrics) -> Arc<Self> {
        let overload = Arc::new(Overload {
            state: AtomicU8::new(0),
            room: AtomicU64::new(u64::MAX),
            held: AtomicU64::new(0),
            used: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            shed: Default::default(),
            closed: Counter::default(),
        });
        for (reason, counter) in Reason::ALL.into_iter().zip(&overload.shed) {
            let help = "Calls that were refused because too much was going on, by what was short.";
            let described = Description::new("tollgate_calls_shed_total", help, &["reason"]);
            let counter = counter.clone();
            metrics.read_counter(described, &[reason.name()], move || Some(counter.value()));
        }
        let closed = overload.closed.clone();
        let help = "Connections that were closed as soon as they were accepted because memory was short.";
        let described = Description::new("tollgate_connections_shed_total", help, &[]);
        metrics.read_counter(described, &[], move || Some(closed.value()));
        let gauges: [Gauge; 4] = [
            (
                "tollgate_overload_level",
                "0: nothing is short. 1: connections end with their next answer. 2: calls are refused. 3: connections are closed.",
                Overload::level,
            ),
            (
                "tollgate_memory_used_bytes",
                "Memory that counts towards the limit; 0 where there is none.",
                |overload| overload.used.load(Ordering::Relaxed),
            ),
            (
                "tollgate_memory_limit_bytes",
                "Most memory of the process; 0 if there is no limit.",
                |overload| overload.limit.load(Ordering::Relaxed),
            ),
            (
                "tollgate_bodies_held_bytes",
                "Bytes of long bodies of calls under way.",
                |overload| overload.held.load(Ordering::Relaxed),
            ),
        ];
        for (name, help, read) in gauges {
            let watched = Arc::downgrade(&overload);
            metrics.read_gauge(Description::new(name, help, &[]), &[], move || {
                watched.upgrade().map(|overload| read(&overload))
            });
        }
        overload
    }

    /// So much memory is used, of so much that may be; both in bytes.
    pub fn measured(&self, used: u64, limit: u64) {
        let limit = limit.max(1);
        self.used.store(used, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        let others = used.saturating_sub(self.held.load(Ordering::Relaxed));
        let fillable = limit / 100 * FILLED;
        self.room
            .store(fillable.saturating_sub(others) / COPIES, Ordering::Relaxed);
        let percent = used.saturating_mul(100) / limit;
        let before = self.state.load(Ordering::Relaxed);
        for (mark, from, below) in MARKS {
            if percent >= from {
                self.state.fetch_or(mark, Ordering::Relaxed);
            } else if percent < below {
                self.state.fetch_and(!mark, Ordering::Relaxed);
            }
        }
        let after = self.state.load(Ordering::Relaxed);
        match (before & SHEDS != 0, after & SHEDS != 0) {
            (false, true) => tracing::warn!(used, limit, "memory is short, calls are refused"),
            (true, false) => tracing::info!(used, limit, "memory is free again, calls are taken"),
            _ => {}
        }
    }

    /// Whether nine of ten places for connections are taken.
    pub(crate) fn crowded(&self, is_crowded: bool) {
        let was = self.state.load(Ordering::Relaxed) & CROWDED != 0;
        if is_crowded && !was {
            self.state.fetch_or(CROWDED, Ordering::Relaxed);
        } else if was && !is_crowded {
            self.state.fetch_and(!CROWDED, Ordering::Relaxed);
        }
    }

    /// Whether connections are to end with their next answer.
    pub(crate) fn ends_connections(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Whether a connection that was just accepted must be closed; it is counted then.
    pub(crate) fn closes_connection(&self) -> bool {
        let closes = self.state.load(Ordering::Relaxed) & CLOSES != 0;
        if closes {
            self.closed.add(1);
        }
        closes
    }

    /// Takes on a call, where so many of the same worker are under way, and may be.
    ///
    /// # Errors
    /// 503: memory is short, or there are too many calls.
    pub(crate) fn admit(&self, under_way: usize, most: usize) -> Result<(), CallError> {
        if self.state.load(Ordering::Relaxed) & SHEDS != 0 {
            return Err(self.shed(Reason::Memory));
        }
        if under_way > most {
            return Err(self.shed(Reason::Calls));
        }
        Ok(())
    }

    fn shed(&self, reason: Reason) -> CallError {
        if let Some(counter) = self.shed.get(reason as usize) {
            counter.add(1);
        }
        let mut error = CallError::gateway(OVERLOADED, "the gateway is overloaded, try again in a moment");
        error.status = StatusCode::SERVICE_UNAVAILABLE;
        error.kind = ErrorKind::Overloaded;
        error.retry_after = Some(RETRY_AFTER);
        error.detail = Some(format!("short of {}", reason.name()));
        error
    }

    fn level(&self) -> u64 {
        match self.state.load(Ordering::Relaxed) {
            0 => 0,
            state if state & CLOSES != 0 => 3,
            state if state & SHEDS != 0 => 2,
            _ => 1,
        }
    }
}

/// What is held of a long body, as long as this is there.
pub(crate) struct Held {
    overload: Arc<Overload>,
    bytes: u64,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn new(overload: &Arc<Overload>) -> Self {
        Held {
            overload: overload.clone(),
            bytes: 0,
        }
    }

    /// The body has so many bytes now.
    ///
    /// # Errors
    /// 503: there is no room for them.
    pub(crate) fn grow(&mut self, length: u64) -> Result<(), CallError> {
        if length <= self.bytes {
            return Ok(());
        }
        let more = (length - self.bytes).next_multiple_of(STEP);
        let overload = &self.overload;
        let held = overload.held.fetch_add(more, Ordering::Relaxed) + more;
        self.bytes += more;
        if held > overload.room.load(Ordering::Relaxed) {
            return Err(overload.shed(Reason::Bodies));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.overload.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn overload() -> (Arc<Overload>, Metrics) {
        let metrics = Metrics::default();
        (Overload::shown(&metrics), metrics)
    }

    #[test]
    fn each_mark_has_its_action_and_a_lower_one_where_that_ends() {
        let (overload, metrics) = overload();
        // Percent of memory, then: do connections end, are calls refused, are connections closed, level.
        for (percent, ends, sheds, closes, level) in [
            (79, false, false, false, 0),
            (80, true, false, false, 1),
            (75, true, false, false, 1),
            (74, false, false, false, 0),
            (90, true, true, false, 2),
            (85, true, true, false, 2),
            (84, true, false, false, 1),
            (95, true, true, true, 3),
            (90, true, true, true, 3),
            (89, true, true, false, 2),
            (10, false, false, false, 0),
        ] {
            overload.measured(percent * MIB, 100 * MIB);
            assert_eq!(overload.ends_connections(), ends, "{percent}");
            assert_eq!(overload.admit(0, usize::MAX).is_err(), sheds, "{percent}");
            assert_eq!(overload.closes_connection(), closes, "{percent}");
            assert_eq!(overload.level(), level, "{percent}");
        }
        let text = metrics.text();
        for line in [
            r#"tollgate_calls_shed_total{reason="memory"} 5"#,
            "tollgate_connections_shed_total 2",
            "tollgate_memory_limit_bytes 104857600",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    #[test]
    fn bodies_are_held_within_what_is_free() {
        let (overload, metrics) = overload();
        // 60 MiB are free up to the mark, and each byte may take three.
        overload.measured(30 * MIB, 100 * MIB);
        let mut first = Held::new(&overload);
        first.grow(15 * MIB).unwrap();
        let mut second = Held::new(&overload);
        second.grow(5 * MIB).unwrap();
        let error = second.grow(5 * MIB + 1).unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_ref()), (503, OVERLOADED));
        assert_eq!(error.retry_after, Some(HeaderValue::from_static("1")));
        drop(second);
        // What is held is no longer free for others, but it is not counted twice either.
        overload.measured((30 + 15) * MIB, 100 * MIB);
        first.grow(20 * MIB).unwrap();
        drop(first);
        assert!(metrics.text().contains("\ntollgate_bodies_held_bytes 0\n"));
        assert!(
            metrics
                .text()
                .contains(r#"tollgate_calls_shed_total{reason="bodies"} 1"#)
        );
        // Without a limit there is room for all.
        let (overload, _metrics) = self::overload();
        Held::new(&overload).grow(u64::MAX / 2).unwrap();
    }

    #[test]
    fn calls_beyond_the_most_are_refused() {
        let (overload, _metrics) = overload();
        overload.admit(2, 2).unwrap();
        let error = overload.admit(3, 2).unwrap_err();
        assert_eq!(error.detail.as_deref(), Some("short of calls"));
    }

    #[test]
    fn a_crowd_ends_connections_until_it_is_gone() {
        let (overload, _metrics) = overload();
        overload.crowded(true);
        assert!(overload.ends_connections() && overload.level() == 1);
        overload.measured(1, 100);
        assert!(
            overload.ends_connections(),
            "memory says nothing about connections"
        );
        overload.crowded(false);
        assert!(!overload.ends_connections());
    }
}
