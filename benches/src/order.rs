//! Which functions are needed together, so that the linker can put them together: a gateway then needs a third of the memory
//! for its own program, of which the system keeps only the pages that are touched.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::callgrind::{self, Case};
use crate::targets::{BARE, GOVERNED, PLUGINS};

const CASES: [Case; 5] = [
    Case {
        kind: &BARE,
        model: "bench",
        pieces: None,
    },
    Case {
        kind: &GOVERNED,
        model: "bench",
        pieces: None,
    },
    Case {
        kind: &GOVERNED,
        model: "bench",
        pieces: Some(20),
    },
    Case {
        kind: &GOVERNED,
        model: "bench-claude",
        pieces: None,
    },
    Case {
        kind: &PLUGINS,
        model: "bench",
        pieces: None,
    },
];

const FEW: u64 = 50;
const MANY: u64 = 150;

/// Writes the names of functions, those of every call first, then those of start and end. The gateway must have its symbols.
///
/// # Errors
/// valgrind or the gateway cannot be started, it has no symbols, a call fails, or the file cannot be written.
pub async fn order(gateway: &Path, out: &Path) -> io::Result<()> {
    let program = gateway.canonicalize()?;
    let mut each_call = BTreeSet::new();
    let mut seldom = BTreeSet::new();
    for (number, case) in CASES.iter().enumerate() {
        eprintln!("run {} of {}", number + 1, CASES.len());
        let few = callgrind::run(&program, case, FEW).await?.functions(&program);
        let many = callgrind::run(&program, case, MANY).await?.functions(&program);
        for (name, instructions) in many {
            let before = few.get(&name).copied().unwrap_or(0);
            if !is_name(&name) {
                continue;
            } else if instructions.saturating_sub(before) >= MANY - FEW {
                each_call.insert(name);
            } else {
                seldom.insert(name);
            }
        }
    }
    if each_call.len() < LEAST {
        return Err(io::Error::other(format!(
            "only {} functions have names; build the gateway with `-C strip=none`",
            each_call.len()
        )));
    }
    let seldom = seldom.difference(&each_call);
    let mut text = "# Made by `make order`. What every call needs:\n".to_owned();
    each_call.iter().for_each(|name| add(&mut text, name));
    text.push_str("# What start and end need, and what is done by the clock:\n");
    seldom.for_each(|name| add(&mut text, name));
    fs::write(out, text)
}

fn add(text: &mut String, name: &str) {
    text.push_str(name);
    text.push('\n');
}

/// Whether it is one that the linker knows; callgrind makes up others where it knows none.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && !name.contains([' ', '('])
}

/// Fewer functions than these serve no call.
const LEAST: usize = 100;
