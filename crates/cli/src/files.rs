//! How many files the process may have open, and how many connections fit into that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tollgate_resources::model::Server;

/// Files that are open beside connections: sockets, logs, the store, what the runtime of each worker needs.
const RESERVED: u64 = 32;

/// Files for each client: its own connection and one to its provider.
const FOR_EACH: u64 = 2;

/// Lets the process open as many files as it may, and finds out how many clients may be connected at once. `configured` counts
/// even if it is too many; that is told.
pub(crate) fn connections(configured: Option<usize>) -> usize {
    let fitting = open_files().map_or(usize::MAX, fitting);
    match configured {
        Some(most) => {
            if most > fitting {
                tracing::warn!(
                    max_connections = most,
                    fitting,
                    "the process may not open enough files for `max_connections`, raise its limit (ulimit -n)"
                );
            }
            most
        }
        None => fitting.min(Server::DEFAULT_MAX_CONNECTIONS),
    }
}

/// How many clients fit into so many files.
fn fitting(files: u64) -> usize {
    usize::try_from(files.saturating_sub(RESERVED) / FOR_EACH)
        .unwrap_or(usize::MAX)
        .max(1)
}

/// How many files may be open, after raising that as far as the system allows; `None` for any number.
fn open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // A few systems refuse their own maximum.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_room_for_its_provider() {
        assert_eq!(fitting(64), 16);
        assert_eq!(fitting(1024), 496);
        assert_eq!(fitting(0), 1);
        assert_eq!(fitting(1_048_576), 524_272);
    }

    #[test]
    fn what_is_configured_counts() {
        assert_eq!(connections(Some(7)), 7);
        assert!(connections(None) <= Server::DEFAULT_MAX_CONNECTIONS);
    }
}
