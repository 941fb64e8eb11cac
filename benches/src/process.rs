//! What a process and its children have used: read from `/proc`.

use std::fs;
use std::time::Duration;

/// What processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Time on a processor, in the kernel included, of all threads that run.
    pub cpu: Duration,
    /// Resident memory, in KiB.
    pub memory_kib: u64,
    /// What of it is no file's, in KiB.
    pub anonymous_kib: u64,
}

/// The process and all below it.
pub fn family(pid: u32) -> Vec<u32> {
    let mut members = vec![pid];
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect();
    let mut next = 0;
    while let Some(of) = members.get(next).copied() {
        members.extend(
            all.iter()
                .filter(|(_, parent)| *parent == of)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    members
}

/// What these processes have used.
pub fn usage(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
        for task in tasks.filter_map(Result::ok) {
            let path = task.path().join("schedstat");
            let told = fs::read_to_string(path).unwrap_or_default();
            let on_cpu_ns = told.split(' ').next().and_then(|ns| ns.parse().ok());
            sum.cpu += Duration::from_nanos(on_cpu_ns.unwrap_or(0));
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kib = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value
                .and_then(|rest| rest.trim().split(' ').next()?.parse().ok())
                .unwrap_or(0)
        };
        sum.memory_kib += kib("VmRSS:");
        sum.anonymous_kib += kib("RssAnon:");
    }
    sum
}

/// The time all processors of the machine have worked.
pub fn machine_busy() -> Duration {
    let told = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = told
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|index| ticks.get(*index)).sum();
    Duration::from_millis(busy * 10)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
