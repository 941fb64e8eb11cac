//! How many files, and so connections, this process and those it starts may open.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what is needed, or as far as the system allows.
///
/// # Errors
/// The system allows fewer; the text says what to do.
pub fn allow(needed: u64) -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    // Only root may raise the upper limit too; without it, what is allowed has to do.
    let higher = maximum.map(|maximum| maximum.max(needed));
    for (current, maximum) in [(Some(needed), higher), (maximum, maximum)] {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            break;
        }
    }
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < needed => Err(io::Error::other(format!(
            "{needed} open files are needed and {allowed} are allowed; raise the limit first: ulimit -n {needed}"
        ))),
        _ => Ok(()),
    }
}

/// What every run needs.
pub const USUAL: u64 = 4096;
