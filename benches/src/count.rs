//! Counts what a call costs in instructions, which is the same on a busy machine: the gateway runs under callgrind, once for
//! few calls and once for many, and the difference of its worker thread is divided by the difference of the calls. And measures
//! its memory at rest, which grows when functions are no longer where the linker was told to put them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::callgrind::{self, Case};
use crate::footprint;
use crate::targets::{BARE, GOVERNED, PLUGINS};

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
    /// What a gateway has in memory after its first call, its program included.
    #[serde(default)]
    memory_kib: BTreeMap<String, u64>,
}

/// The calls that are counted, and their names.
const CASES: [(&str, Case); 5] = [
    ("small chat, bare", Case::chat(&BARE, "bench")),
    ("small chat, governed", Case::chat(&GOVERNED, "bench")),
    ("small chat, governed by plugins", Case::chat(&PLUGINS, "bench")),
    (
        "small chat, translated for Anthropic, governed",
        Case::chat(&GOVERNED, "bench-claude"),
    ),
    // What is done for each byte of a body.
    (
        "request of 200 KiB, bare",
        Case {
            prompt: Some(200 * 1024),
            ..Case::chat(&BARE, "bench")
        },
    ),
];

const FEW: u64 = 200;
const MANY: u64 = 700;

/// How much more than committed is a regression, of instructions.
const TOLERANCE_PERCENT: u64 = 3;

/// The same of memory: the system maps more or fewer pages of a program around those that are touched.
const MEMORY_TOLERANCE_PERCENT: u64 = 10;

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
        memory_kib: BTreeMap::new(),
    };
    for (name, case) in &CASES {
        let few = callgrind::run(plan.gateway, case, FEW).await?;
        let many = callgrind::run(plan.gateway, case, MANY).await?;
        let more = many.busiest_thread().saturating_sub(few.busiest_thread());
        let each = more / (MANY - FEW);
        println!("{name:48} {each:>8} instructions a call");
        counted.instructions.insert((*name).to_owned(), each);
    }
    let memory = footprint::memory_kib(plan.gateway, &GOVERNED).await?;
    println!("{MEMORY:48} {memory:>8} KiB");
    counted.memory_kib.insert(MEMORY.to_owned(), memory);
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
    let instructions = no_more(
        "instructions",
        TOLERANCE_PERCENT,
        &committed.instructions,
        &counted.instructions,
    );
    let memory = no_more(
        "KiB",
        MEMORY_TOLERANCE_PERCENT,
        &committed.memory_kib,
        &counted.memory_kib,
    );
    if !instructions {
        println!(
            "With other versions of dependencies the profile is for other functions: `make profile`, then `make order`."
        );
    }
    instructions && memory
}

/// Whether no figure is more than so many percent above the committed one.
fn no_more(
    unit: &str,
    percent: u64,
    committed: &BTreeMap<String, u64>,
    counted: &BTreeMap<String, u64>,
) -> bool {
    let mut is_good = true;
    for (name, now) in counted {
        let Some(before) = committed.get(name) else {
            println!("{name}: no committed figure; write one with --update");
            is_good = false;
            continue;
        };
        if *now * 100 > before * (100 + percent) {
            println!("{name}: {now} {unit}, committed are {before}: more than {percent} % more");
            is_good = false;
        } else if *now * 100 < before * (100 - percent) {
            println!(
                "{name}: {now} {unit}, committed are {before}: less; commit the new figure with --update"
            );
        }
    }
    is_good
}

/// The name of a figure of [`Figures::memory_kib`].
const MEMORY: &str = "at rest, governed";

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(number: u64) -> Figures {
        Figures {
            compiler: "rustc 1".to_owned(),
            instructions: BTreeMap::from([("a call".to_owned(), number)]),
            memory_kib: BTreeMap::from([(MEMORY.to_owned(), number)]),
        }
    }

    #[test]
    fn more_than_three_percent_more_is_a_regression() {
        assert!(judge(&figures(1000), &figures(1030)));
        assert!(!judge(&figures(1000), &figures(1031)));
        assert!(judge(&figures(1000), &figures(10)));
    }

    #[test]
    fn more_than_ten_percent_more_memory_is_a_regression() {
        let grown = |memory| Figures {
            memory_kib: BTreeMap::from([(MEMORY.to_owned(), memory)]),
            ..figures(1000)
        };
        assert!(judge(&figures(1000), &grown(1100)));
        assert!(!judge(&figures(1000), &grown(1101)));
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
