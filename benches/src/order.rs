//! Which functions are needed together, so that the linker can put them together: a gateway then needs a third of the memory
//! for its own program, of which the system keeps only the pages that are touched.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::callgrind::{self, Case};
use crate::targets::{BARE, GOVERNED, PLUGINS};

/// Calls as most gateways serve them.
const USUAL: [Case; 2] = [Case::chat(&BARE, "bench"), Case::chat(&GOVERNED, "bench")];

/// Calls for which some more is needed.
const FURTHER: [Case; 3] = [
    Case {
        // As many as the provider sends unless it is told otherwise.
        pieces: Some(200),
        ..Case::chat(&GOVERNED, "bench")
    },
    Case::chat(&GOVERNED, "bench-claude"),
    Case::chat(&PLUGINS, "bench"),
];

const FEW: u64 = 50;
const MANY: u64 = 150;

/// Functions that were needed.
#[derive(Default)]
struct Needed {
    /// By every call.
    by_calls: BTreeSet<String>,
    /// At start, at the end, and by the clock.
    seldom: BTreeSet<String>,
}

/// Writes the names of functions, those that are needed together beside each other. The gateway must have its symbols.
///
/// # Errors
/// valgrind or the gateway cannot be started, it has no symbols, a call fails, or the file cannot be written.
pub async fn order(gateway: &Path, out: &Path) -> io::Result<()> {
    let program = gateway.canonicalize()?;
    let usual = needed(&program, &USUAL).await?;
    if usual.by_calls.len() < LEAST {
        return Err(io::Error::other(format!(
            "only {} functions have names; build the gateway with `-C strip=none`",
            usual.by_calls.len()
        )));
    }
    let further = needed(&program, &FURTHER).await?;
    let is_new = |name: &&String| !usual.by_calls.contains(*name) && !usual.seldom.contains(*name);
    let mut text = "# Made by `make order`.\n".to_owned();
    section(&mut text, "every call", usual.by_calls.iter());
    section(&mut text, "start, end and the clock", usual.seldom.iter());
    let by_further = further.by_calls.iter().filter(is_new);
    section(&mut text, "streams, translated calls and plugins", by_further);
    let with_further = further.seldom.iter().filter(is_new);
    section(&mut text, "their start", with_further);
    fs::write(out, text)
}

async fn needed(program: &Path, cases: &[Case]) -> io::Result<Needed> {
    let mut needed = Needed::default();
    for (number, case) in cases.iter().enumerate() {
        eprintln!("run {} of {}", number + 1, cases.len());
        let few = callgrind::run(program, case, FEW).await?.functions(program);
        let many = callgrind::run(program, case, MANY).await?.functions(program);
        for (name, instructions) in many.into_iter().filter(|(name, _)| is_name(name)) {
            let before = few.get(&name).copied().unwrap_or(0);
            if instructions.saturating_sub(before) >= MANY - FEW {
                needed.by_calls.insert(name);
            } else {
                needed.seldom.insert(name);
            }
        }
    }
    needed.seldom.retain(|name| !needed.by_calls.contains(name));
    Ok(needed)
}

fn section<'a>(text: &mut String, title: &str, names: impl Iterator<Item = &'a String>) {
    text.push_str("# Needed by ");
    text.push_str(title);
    text.push_str(":\n");
    for name in names {
        text.push_str(name);
        text.push('\n');
    }
}

/// Whether it is one that the linker knows; callgrind makes up others where it knows none.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && !name.contains([' ', '('])
}

/// Fewer functions than these serve no call.
const LEAST: usize = 100;
