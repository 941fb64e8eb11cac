//! How much memory the process uses of what it may: by its configuration, or by the limit of its control group, in whichever
//! version of those the system has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tollgate_gateway::Gateway;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// A limit above this is none: control groups of version 1 write "no limit" as a number.
const NO_LIMIT: u64 = 1 << 60;

/// Where a limit is from, and so how much is used of it is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Limit {
    /// The configuration.
    Configured(u64),
    /// A control group: its folder, and the names of its files.
    Group(PathBuf, &'static Files),
}

/// How a version of control groups calls its files.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    limit: &'static str,
    used: &'static str,
    /// The line of `memory.stat` with what is read of files and not used any more, which counts as used and is not.
    reclaimable: &'static str,
}

static VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file ",
};

static VERSION_2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    reclaimable: "inactive_file ",
};

/// Tells the gateway ten times a second how much memory is used, if that is limited.
///
/// # Errors
/// The system gives no thread.
pub fn watch(gateway: &Arc<Gateway>, configured: Option<u64>) -> io::Result<()> {
    let limit = match configured {
        Some(bytes) => Limit::Configured(bytes),
        None => match of_group(Path::new("/")) {
            Some(limit) => limit,
            None => return Ok(()),
        },
    };
    let Some((_, bytes)) = limit.measure() else {
        return Ok(());
    };
    match &limit {
        Limit::Configured(_) => tracing::info!(bytes, "memory is limited by server.max_memory"),
        Limit::Group(folder, _) => {
            tracing::info!(bytes, folder = %folder.display(), "memory is limited by a control group");
        }
    }
    let watched = Arc::downgrade(gateway);
    thread::Builder::new()
        .name("memory".to_owned())
        .spawn(move || look(&limit, &watched))
        .map(drop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread that does nothing else; nothing tells when memory changes"
)]
fn look(limit: &Limit, gateway: &Weak<Gateway>) {
    while let Some(gateway) = gateway.upgrade() {
        // A limit may be changed while the process runs; one that cannot be read is taken to be what it was.
        if let Some((used, limit)) = limit.measure() {
            gateway.overload().measured(used, limit);
        }
        drop(gateway);
        thread::sleep(INTERVAL);
    }
}

impl Limit {
    /// Bytes in use, and bytes that may be.
    fn measure(&self) -> Option<(u64, u64)> {
        match self {
            Limit::Configured(limit) => Some((resident()?, *limit)),
            Limit::Group(folder, files) => {
                let used = number(&folder.join(files.used))?;
                let stat = fs::read_to_string(folder.join("memory.stat")).ok()?;
                let reclaimable = stat
                    .lines()
                    .find_map(|line| line.strip_prefix(files.reclaimable)?.trim().parse().ok());
                let limit = number(&folder.join(files.limit)).unwrap_or(NO_LIMIT);
                Some((used.saturating_sub(reclaimable.unwrap_or(0)), limit))
            }
        }
    }
}

/// The tightest limit of the groups this process is in; `None` if it is in none that has one.
fn of_group(root: &Path) -> Option<Limit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = root.join("sys/fs/cgroup");
    groups
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            if controllers.is_empty() {
                Some(tightest(&mounts, path, &VERSION_2))
            } else if controllers.split(',').any(|name| name == "memory") {
                Some(tightest(&mounts.join("memory"), path, &VERSION_1))
            } else {
                None
            }
        })
        .flatten()
        .min_by_key(|(limit, _)| *limit)
        .map(|(_, limit)| limit)
}

/// The tightest limit of a group and those it is in. A container may see its own group as the root, under any path.
fn tightest(mount: &Path, path: &str, files: &'static Files) -> Option<(u64, Limit)> {
    let own = mount.join(path.trim_start_matches('/'));
    own.ancestors()
        .take_while(|folder| folder.starts_with(mount))
        .filter_map(|folder| {
            let limit = number(&folder.join(files.limit))?;
            (limit < NO_LIMIT).then(|| (limit, Limit::Group(folder.to_owned(), files)))
        })
        .min_by_key(|(limit, _)| *limit)
}

/// The number in a file; `None` for a word, such as `max`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What of this process is in memory, in bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A system with these files.
    fn system(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn measured(root: &TempDir) -> Option<(u64, u64)> {
        of_group(root.path())?.measure()
    }

    #[test]
    fn the_limit_of_a_group_is_found_in_both_versions() {
        let second = system(&[
            ("proc/self/cgroup", "0::/system.slice/tollgate.service\n"),
            (
                "sys/fs/cgroup/system.slice/tollgate.service/memory.max",
                "268435456\n",
            ),
            (
                "sys/fs/cgroup/system.slice/tollgate.service/memory.current",
                "100000\n",
            ),
            (
                "sys/fs/cgroup/system.slice/tollgate.service/memory.stat",
                "anon 5\ninactive_anon 7\ninactive_file 40000\n",
            ),
            ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
        ]);
        assert_eq!(measured(&second), Some((60_000, 268_435_456)));

        // In a container without a view of its own, the path is the host's and leads nowhere.
        let first = system(&[
            (
                "proc/self/cgroup",
                "9:name=systemd:/\n4:memory:/docker/0123\n0::/\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n"),
            (
                "sys/fs/cgroup/memory/memory.stat",
                "inactive_file 1\ntotal_inactive_file 100\n",
            ),
        ]);
        assert_eq!(measured(&first), Some((800, 1000)));
    }

    #[test]
    fn a_group_around_it_may_be_tighter_and_none_may_have_a_limit() {
        let outer = [
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "5000\n"),
            ("sys/fs/cgroup/outer/memory.max", "3000\n"),
            ("sys/fs/cgroup/outer/memory.current", "2000\n"),
            ("sys/fs/cgroup/outer/memory.stat", "\n"),
        ];
        assert_eq!(measured(&system(&outer)), Some((2000, 3000)));
        let none = [
            ("proc/self/cgroup", "4:memory:/\n0::/\n"),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ];
        assert_eq!(measured(&system(&none)), None);
        assert_eq!(measured(&system(&[])), None);
    }

    #[test]
    fn a_configured_limit_is_for_the_process_alone() {
        let (used, limit) = Limit::Configured(7).measure().unwrap();
        assert!(used > 100_000 && limit == 7);
    }
}
