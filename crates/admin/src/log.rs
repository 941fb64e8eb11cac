//! `GET /tollgate/v1/logs`: the last lines of the gateway's own log, and those to come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;
use tollgate_telemetry::ledger::millis_text;

use crate::answer::Answer;
use crate::events;
use crate::query::Query;
use crate::v1::Problem;

/// Lines that are kept.
const MOST: usize = 2_000;

/// Bytes of a line that are kept.
const LONGEST: usize = 4 * 1024;

/// Lines of an answer where nothing is said.
const USUAL: usize = 200;

/// How often it is looked whether there are new lines.
const BEAT: Duration = Duration::from_millis(300);

/// Levels, the gravest first.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The last lines of the gateway's own log.
#[derive(Default)]
pub struct LogLines(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    kept: VecDeque<Arc<Line>>,
    next: u64,
}

struct Line {
    number: u64,
    time_ms: i64,
    level: &'static str,
    text: Box<str>,
}

impl LogLines {
    /// Keeps a line. `level` is one of `error`, `warn`, `info`, `debug` and `trace`; the time is in milliseconds since 1970.
    pub fn keep(&self, time_ms: i64, level: &'static str, text: &str) {
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.next;
        lines.next += 1;
        if lines.kept.len() == MOST {
            lines.kept.pop_front();
        }
        lines.kept.push_back(Arc::new(Line {
            number,
            time_ms,
            level,
            text: text.into(),
        }));
    }

    /// The last lines from a number on, at most so many, that are at least so grave; and the number that comes next.
    fn last(&self, from: u64, most: usize, wanted: &Wanted) -> (Vec<Arc<Line>>, u64) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lines.kept.iter().rev();
        let mut found: Vec<_> = found
            .take_while(|line| line.number >= from)
            .filter(|line| wanted.has(line))
            .take(most)
            .cloned()
            .collect();
        found.reverse();
        (found, lines.next)
    }
}

/// Which lines are wanted.
struct Wanted {
    /// How many of [`LEVELS`].
    levels: usize,
    /// What has to be in the text, in lower case.
    text: String,
}

impl Wanted {
    fn has(&self, line: &Line) -> bool {
        let is_grave = LEVELS.iter().take(self.levels).any(|level| *level == line.level);
        is_grave && (self.text.is_empty() || line.text.to_lowercase().contains(&self.text))
    }
}

impl Line {
    fn told(&self) -> Value {
        json!({"seq": self.number, "time": millis_text(self.time_ms), "level": self.level, "text": &*self.text})
    }
}

/// Answers a question for lines.
pub(crate) fn answer(
    query: &Query,
    lines: Option<Arc<LogLines>>,
    closing: &watch::Sender<bool>,
) -> Result<Answer, Problem> {
    let lines = lines.ok_or_else(|| Problem::unknown("this gateway does not keep its log"))?;
    let level = query.first("level").unwrap_or("trace");
    let levels = LEVELS.iter().position(|name| *name == level);
    let wanted = Wanted {
        levels: 1 + levels
            .ok_or_else(|| Problem::invalid("level", "write error, warn, info, debug or trace"))?,
        text: query.first("text").unwrap_or_default().to_lowercase(),
    };
    let limit = match query.first("limit") {
        None => USUAL,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| Problem::invalid("limit", format!("write a number from 1 to {MOST}")))?,
    };
    if query.first("follow") != Some("true") {
        let (found, _) = lines.last(0, limit, &wanted);
        let items: Vec<Value> = found.iter().map(|line| line.told()).collect();
        return Ok(Answer::json(
            StatusCode::OK,
            json!({"items": items, "next": null}),
        ));
    }
    let mut from = None;
    Ok(events::answer(BEAT, closing, move || {
        let most = if from.is_none() { limit } else { MOST };
        let (found, next) = lines.last(from.unwrap_or(0), most, &wanted);
        from = Some(next);
        let events: Vec<Bytes> = found.iter().map(|line| events::event(&line.told())).collect();
        (!events.is_empty()).then(|| events.concat().into())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_chosen_by_level_and_text() {
        let lines = LogLines::default();
        for number in 0..MOST + 5 {
            lines.keep(
                0,
                if number % 2 == 0 { "info" } else { "error" },
                &format!("Line {number}"),
            );
        }
        let all = Wanted {
            levels: 5,
            text: String::new(),
        };
        let (found, next) = lines.last(0, usize::MAX, &all);
        assert_eq!((found.len(), found[0].number, next), (MOST, 5, 2005));
        let (found, _) = lines.last(next, usize::MAX, &all);
        assert!(found.is_empty(), "nothing is told twice");
        let wanted = Wanted {
            levels: 1,
            text: "line 1003".to_owned(),
        };
        let (found, _) = lines.last(0, 10, &wanted);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, "error");
        lines.keep(0, "info", &"ü".repeat(LONGEST));
        let (found, _) = lines.last(next, 1, &all);
        assert_eq!(found[0].text.len(), LONGEST);
    }
}
