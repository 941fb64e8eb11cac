//! Counts what a call costs in instructions, which is the same on a busy machine: the gateway runs under callgrind, once for
//! few calls and once for many, and the difference of its worker thread is divided by the difference of the calls.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::chat;
use crate::load;
use crate::targets::{BARE, GOVERNED, Kind, PLUGINS, Place, Running, Start};

/// What is counted, and what it is held to.
pub struct Plan<'a> {
    /// The gateway's binary.
    pub gateway: &'a Path,
    /// The file with committed figures.
    pub figures: &'a Path,
    /// Whether the file is written anew instead of compared with.
    pub update: bool,
}

/// Committed figures. Compilers differ, so they hold for one.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Figures {
    /// What `rustc --version` says.
    compiler: String,
    /// Instructions of the worker thread for one call, the kernel's not counted.
    instructions: BTreeMap<String, u64>,
}

/// A call that is counted.
struct Case {
    name: &'static str,
    kind: &'static Kind,
    model: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        name: "small chat, bare",
        kind: &BARE,
        model: "bench",
    },
    Case {
        name: "small chat, governed",
        kind: &GOVERNED,
        model: "bench",
    },
    Case {
        name: "small chat, governed by plugins",
        kind: &PLUGINS,
        model: "bench",
    },
    Case {
        name: "small chat, translated for Anthropic, governed",
        kind: &GOVERNED,
        model: "bench-claude",
    },
];

const FEW: u64 = 200;
const MANY: u64 = 700;

/// How long all calls of a case may take; on a busy machine they take a minute.
const LONGEST: Duration = Duration::from_secs(300);

/// How much more than committed is a regression.
const TOLERANCE_PERCENT: u64 = 3;

/// Counts all cases; tells whether none has become dearer.
///
/// # Errors
/// valgrind or the gateway cannot be started, a call fails, or a file cannot be read.
pub async fn count(plan: &Plan<'_>) -> io::Result<bool> {
    let compiler = Command::new("rustc").arg("--version").output()?.stdout;
    let compiler = String::from_utf8_lossy(&compiler).trim().to_owned();
    let mut counted = Figures {
        compiler,
        instructions: BTreeMap::new(),
    };
    for case in &CASES {
        let few = instructions(plan.gateway, case, FEW).await?;
        let many = instructions(plan.gateway, case, MANY).await?;
        let more = many
            .iter()
            .map(|(thread, many)| many.saturating_sub(few.get(thread).copied().unwrap_or(0)));
        // The thread that serves calls; the others begin and end things, or write by the clock.
        let each = more.max().unwrap_or(0) / (MANY - FEW);
        println!("{:48} {each:>8} instructions a call", case.name);
        counted.instructions.insert(case.name.to_owned(), each);
    }
    if plan.update {
        let text = serde_json::to_string_pretty(&counted)?;
        fs::write(plan.figures, text + "\n")?;
        return Ok(true);
    }
    let committed: Figures = serde_json::from_slice(&fs::read(plan.figures)?)?;
    Ok(judge(&committed, &counted))
}

fn judge(committed: &Figures, counted: &Figures) -> bool {
    if committed.compiler != counted.compiler {
        println!(
            "not compared: the committed figures are of {}, this is {}; write new ones with --update",
            committed.compiler, counted.compiler
        );
        return true;
    }
    let mut is_good = true;
    for (name, now) in &counted.instructions {
        let Some(before) = committed.instructions.get(name) else {
            println!("{name}: no committed figure; write one with --update");
            is_good = false;
            continue;
        };
        if *now * 100 > before * (100 + TOLERANCE_PERCENT) {
            println!(
                "{name}: {now} instructions, committed are {before}: more than {TOLERANCE_PERCENT} % more"
            );
            is_good = false;
        } else if *now * 100 < before * (100 - TOLERANCE_PERCENT) {
            println!(
                "{name}: {now} instructions, committed are {before}: cheaper; commit the new figure with --update"
            );
        }
    }
    is_good
}

/// Instructions of a gateway that serves so many calls, by the name of the thread's file.
async fn instructions(gateway: &Path, case: &Case, calls: u64) -> io::Result<BTreeMap<String, u64>> {
    let mut running = Running::start(Place::SHARED, 0).await?;
    let mut program = Command::new("valgrind");
    program
        .args(["--tool=callgrind", "--separate-threads=yes", "--fair-sched=try"])
        .arg(format!(
            "--callgrind-out-file={}",
            running.folder().join("callgrind.out").display()
        ))
        .arg(gateway);
    let target = running.gateway(&program, &Start::new(case.kind)).await?;
    let mut ask = chat(&target);
    case.model.clone_into(&mut ask.model);
    let called = tokio::time::timeout(LONGEST, load::calls(ask, calls)).await;
    called.unwrap_or_else(|_| Err(io::Error::other("the calls have taken too long")))?;
    let folder = running.stop_and_keep();
    let counted = counts(&folder);
    fs::remove_dir_all(&folder)?;
    counted
}

/// What callgrind has left for each thread.
fn counts(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("callgrind.") {
            continue;
        }
        let text = fs::read_to_string(entry.path())?;
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("totals: "))
            .and_then(|number| number.trim().parse().ok());
        if let Some(total) = total {
            counts.insert(name, total);
        }
    }
    match counts.is_empty() {
        true => Err(io::Error::other(format!(
            "callgrind has left no counts in {}",
            folder.display()
        ))),
        false => Ok(counts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(number: u64) -> Figures {
        Figures {
            compiler: "rustc 1".to_owned(),
            instructions: BTreeMap::from([("a call".to_owned(), number)]),
        }
    }

    #[test]
    fn more_than_three_percent_more_is_a_regression() {
        assert!(judge(&figures(1000), &figures(1030)));
        assert!(!judge(&figures(1000), &figures(1031)));
        assert!(judge(&figures(1000), &figures(10)));
    }

    #[test]
    fn figures_of_another_compiler_are_not_compared() {
        let mut committed = figures(1);
        committed.compiler = "rustc 2".to_owned();
        assert!(judge(&committed, &figures(1000)));
    }

    #[test]
    fn what_has_no_committed_figure_is_told() {
        assert!(!judge(
            &Figures {
                compiler: "rustc 1".to_owned(),
                ..Figures::default()
            },
            &figures(1)
        ));
    }
}
