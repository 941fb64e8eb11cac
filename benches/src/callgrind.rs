//! Runs a gateway under callgrind, which counts its instructions function by function.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::job::chat;
use crate::load;
use crate::targets::{Kind, Place, Running, Start};

/// What the gateway serves meanwhile.
#[derive(Clone, Copy)]
pub struct Case {
    /// How it is set up.
    pub kind: &'static Kind,
    /// The model that is asked for.
    pub model: &'static str,
    /// Pieces of a stream; `None` for an answer in one piece.
    pub pieces: Option<u32>,
    /// Bytes of the prompt; `None` for a short one.
    pub prompt: Option<usize>,
}

impl Case {
    /// Small chats with this model, answered in one piece.
    pub const fn chat(kind: &'static Kind, model: &'static str) -> Case {
        Case {
            kind,
            model,
            pieces: None,
            prompt: None,
        }
    }
}

/// How long all calls of a case may take; on a busy machine they take a minute.
const LONGEST: Duration = Duration::from_secs(300);

/// What callgrind has counted.
pub struct Counts {
    /// Its files, by their names: one for each thread.
    files: BTreeMap<String, String>,
}

/// Counts a gateway that starts, serves so many calls, and ends.
///
/// # Errors
/// valgrind or the gateway cannot be started, a call fails, or callgrind has left nothing.
pub async fn run(gateway: &Path, case: &Case, calls: u64) -> io::Result<Counts> {
    let mut running = Running::start(Place::SHARED, 0).await?;
    let mut program = Command::new("valgrind");
    program
        .args(["--tool=callgrind", "--separate-threads=yes", "--fair-sched=try"])
        // Names as the linker knows them.
        .arg("--demangle=no")
        .arg(format!(
            "--callgrind-out-file={}",
            running.folder().join(OUT).display()
        ))
        .arg(gateway);
    let target = running.gateway(&program, &Start::new(case.kind)).await?;
    let mut ask = chat(&target);
    case.model.clone_into(&mut ask.model);
    ask.pieces = case.pieces;
    ask.padding = case.prompt.unwrap_or(ask.padding);
    let called = tokio::time::timeout(LONGEST, load::calls(ask, calls)).await;
    called.unwrap_or_else(|_| Err(io::Error::other("the calls have taken too long")))?;
    let folder = running.stop_and_keep();
    let counts = read(&folder);
    fs::remove_dir_all(&folder)?;
    counts
}

const OUT: &str = "callgrind.out";
const FIRST_THREAD: &str = "callgrind.out-01";

fn read(folder: &PathBuf) -> io::Result<Counts> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(OUT) {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    match files.is_empty() {
        true => Err(io::Error::other(format!(
            "callgrind has left no counts in {}",
            folder.display()
        ))),
        false => Ok(Counts { files }),
    }
}

impl Counts {
    /// Instructions of the thread that has worked most, the first one left out, which starts and ends the program. Threads are
    /// told apart by how much they do: the number of one is another's in the next run.
    pub fn busiest_thread(&self) -> u64 {
        let total = |text: &str| {
            let mut totals = text.lines().filter_map(|line| line.strip_prefix("totals: "));
            totals.next()?.trim().parse().ok()
        };
        let threads = self.files.iter().filter(|(name, _)| *name != FIRST_THREAD);
        threads.filter_map(|(_, text)| total(text)).max().unwrap_or(0)
    }

    /// Instructions of each function of a program, by its name, without those of functions that it calls.
    pub fn functions(&self, program: &Path) -> BTreeMap<String, u64> {
        let mut functions = BTreeMap::new();
        for text in self.files.values() {
            add_functions(text, program, &mut functions);
        }
        functions
    }
}

/// Reads one file of callgrind's (see "Callgrind Format Specification" in valgrind's manual).
fn add_functions(text: &str, program: &Path, functions: &mut BTreeMap<String, u64>) {
    let mut objects = Names::default();
    let mut names = Names::default();
    let mut is_ours = false;
    let mut function = String::new();
    let mut is_call = false;
    for line in text.lines() {
        if let Some(object) = line.strip_prefix("ob=") {
            is_ours = Path::new(objects.name(object)) == program;
        } else if let Some(object) = line.strip_prefix("cob=") {
            objects.name(object);
        } else if let Some(name) = line.strip_prefix("fn=") {
            // A function that calls itself has a number for each level.
            function = names.name(name).split('\'').next().unwrap_or_default().to_owned();
        } else if let Some(name) = line.strip_prefix("cfn=") {
            names.name(name);
        } else if line.starts_with("calls=") {
            // The next line is what was called.
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if let Some(cost) = cost.filter(|_| is_ours && !std::mem::take(&mut is_call)) {
                *functions.entry(function.clone()).or_default() += cost;
            }
            is_call = false;
        }
    }
}

/// Names that are written out once, and are numbers from then on.
#[derive(Default)]
struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    /// The name of `(number) name` or `(number)`.
    fn name(&mut self, written: &'a str) -> &'a str {
        match written.split_once(' ') {
            Some((number, name)) => {
                self.0.insert(number, name);
                name
            }
            None => self.0.get(written).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
version: 1
events: Ir
ob=(1) /bin/gateway
fl=(1) ???
fn=(1) serve
0 10
cob=(2) /lib/libc.so
cfi=(2) ???
cfn=(2) memcpy
calls=3 0
0 900
0 5
fn=(3) walk'2
0 7
ob=(2)
fn=(2)
0 900
ob=(1)
fn=(4) walk
0 1

totals: 923
";

    #[test]
    fn functions_are_counted_without_those_they_call_and_only_the_programs_own() {
        let files = BTreeMap::from([("callgrind.out-02".to_owned(), FILE.to_owned())]);
        let counts = Counts { files };
        let own = counts.functions(Path::new("/bin/gateway"));
        let expected = [("serve".to_owned(), 15), ("walk".to_owned(), 8)];
        assert_eq!(own, BTreeMap::from(expected));
    }

    #[test]
    fn the_busiest_thread_is_not_the_first() {
        let file = |name: &str, total: u64| (format!("callgrind.out-{name}"), format!("totals: {total}\n"));
        let files = BTreeMap::from([file("01", 900), file("02", 7), file("03", 300)]);
        assert_eq!(Counts { files }.busiest_thread(), 300);
    }
}
