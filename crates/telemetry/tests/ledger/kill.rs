//! A process of its own that is killed, or that cannot write. It is this test's program, started again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use super::*;

/// Says to the program that it is the process that is killed, and where it writes.
const FILE: &str = "TOLLGATE_TEST_LEDGER";

/// Writes calls for ever, and tells for each how many rounds the writer has finished.
#[test]
fn the_other_process() {
    let Ok(file) = std::env::var(FILE) else { return };
    let settings = Settings {
        flush_interval: Duration::from_millis(50),
        ..Settings::new(Place::File(file.into()))
    };
    let (ledger, metrics) = start(&settings);
    let mut out = std::io::stdout().lock();
    for call_number in 0_u64.. {
        let id = format!("call-{call_number:09}");
        // Of hours that are over, too: when the process comes again it adds them up.
        let hours = i64::try_from(call_number % 3).unwrap_or(0);
        ledger.append(&call(&id, "team-a", "gpt-5", now_ms() - hours * 3_600_000));
        let rounds = number(&metrics, "tollgate_ledger_rounds_total");
        let errors = number(&metrics, "tollgate_ledger_write_errors_total");
        if writeln!(out, "told {call_number} {rounds} {errors}").is_err() {
            return;
        }
    }
}

/// The other process, and what it has told.
struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// Rounds that were finished when each call was appended.
    rounds: Vec<u64>,
    errors: u64,
}

impl Other {
    fn start(file: &Path, before: &str) -> Other {
        let program = std::env::current_exe().unwrap();
        let script = format!("{before}exec \"$0\" --exact kill::the_other_process --nocapture");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "bash", "-c", &script])
            .arg(program)
            .env(FILE, file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Other {
            child,
            lines,
            rounds: Vec::new(),
            errors: 0,
        }
    }

    /// Reads one line, or says that there is none any more.
    fn read(&mut self) -> bool {
        let Some(Ok(line)) = self.lines.next() else {
            return false;
        };
        // The test's own first line may stand before it.
        if let Some(told) = line.split("told ").nth(1) {
            let numbers: Vec<u64> = told.split(' ').filter_map(|number| number.parse().ok()).collect();
            if let [_, rounds, errors] = numbers[..] {
                self.rounds.push(rounds);
                self.errors = errors;
            }
        }
        true
    }

    fn read_until(&mut self, is_enough: impl Fn(&Other) -> bool) {
        while !is_enough(self) {
            assert!(self.read(), "the other process has ended");
        }
    }

    fn last_round(&self) -> u64 {
        self.rounds.last().copied().unwrap_or(0)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while self.read() {}
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Calls in the table, checked to be a whole database whose sums are what its calls add up to.
fn checked(file: &Path) -> Vec<String> {
    let database = Connection::open(file).unwrap();
    let whole: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(whole, "ok");
    let sql = "SELECT COUNT(*), COALESCE(SUM(input_tokens), 0), COALESCE(SUM(cost_micro_usd), 0) FROM tollgate_calls";
    let calls: [i64; 3] = database
        .query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        .unwrap();
    for by in ["hour", "day"] {
        let sums = ask(&Place::File(file.to_owned()), by).totals;
        let measures = [Measure::Calls, Measure::InputTokens, Measure::CostMicroUsd];
        assert_eq!(measures.map(|measure| sums.get(measure)), calls, "{by}");
    }
    let mut statement = database
        .prepare("SELECT request_id FROM tollgate_calls ORDER BY request_id")
        .unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

#[test]
fn a_kill_loses_only_calls_of_the_last_two_rounds_and_nothing_is_counted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.db");
    let mut other = Other::start(&file, "");
    other.read_until(|other| other.last_round() >= 8);
    other.kill();
    let kept = checked(&file);
    // A round under way when a call ends may have passed its buffer; the one after it takes the call. So a call is written
    // when two more rounds are finished than were then.
    let finished = other.last_round();
    let due = other
        .rounds
        .iter()
        .filter(|before| **before + 2 <= finished)
        .count();
    assert!(due > 0);
    let wanted: Vec<String> = (0..due).map(|number| format!("call-{number:09}")).collect();
    assert_eq!(kept[..due], wanted);
}

#[test]
fn a_process_that_is_killed_again_and_again_adds_every_call_up_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.db");
    for calls in [1, 500, 1000, 1500] {
        // Killed while it starts, which is when it adds up what was left, and while it writes.
        let mut other = Other::start(&file, "");
        other.read_until(|other| other.rounds.len() >= calls);
        other.kill();
        checked(&file);
    }
}

#[test]
fn calls_wait_while_the_disk_is_full_and_are_written_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.db");
    // Files may grow to one MiB, and no signal is sent when they do not.
    let mut other = Other::start(&file, "trap '' XFSZ; ulimit -S -f 1024; ");
    other.read_until(|other| other.errors > 0);
    let calls = other.rounds.len();
    let id = other.child.id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &id, "--fsize=unlimited"])
        .status();
    assert!(lifted.unwrap().success());
    let rounds = other.last_round();
    other.read_until(|other| other.last_round() >= rounds + 2);
    other.kill();
    let kept = checked(&file);
    let wanted: Vec<String> = (0..calls).map(|number| format!("call-{number:09}")).collect();
    assert_eq!(kept[..calls], wanted);
}
