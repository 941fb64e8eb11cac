//! Numbers about the process itself, under the names that Prometheus' client libraries use.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Description, Metrics};
use crate::entry::hostname;

/// Shows memory, processor time, open files and age of this process. What the system does not tell (`/proc` is Linux's) is
/// left out.
pub fn observe_process(metrics: &Metrics) {
    let described = |name: &'static str, help| Description::new(name, help, &[]);
    let micro = |description| Description {
        per: 1_000_000,
        ..description
    };
    metrics.read_gauge(
        described("process_resident_memory_bytes", "Resident memory size in bytes."),
        &[],
        || status_kib("VmRSS:").map(|kib| kib * 1024),
    );
    metrics.read_gauge(
        described("process_virtual_memory_bytes", "Virtual memory size in bytes."),
        &[],
        || status_kib("VmSize:").map(|kib| kib * 1024),
    );
    metrics.read_counter(
        micro(described(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        )),
        &[],
        cpu_micros,
    );
    metrics.read_gauge(
        described("process_open_fds", "Number of open file descriptors."),
        &[],
        || Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
    );
    metrics.read_gauge(
        described("process_max_fds", "Maximum number of open file descriptors."),
        &[],
        || {
            let limits = fs::read_to_string("/proc/self/limits").ok()?;
            let line = limits
                .lines()
                .find_map(|line| line.strip_prefix("Max open files"))?;
            line.split_whitespace().next()?.parse().ok()
        },
    );
    metrics.read_gauge(
        described("process_threads", "Number of threads of the process."),
        &[],
        || status_kib("Threads:"),
    );
    let started = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    metrics.read_gauge(
        described(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        ),
        &[],
        move || Some(started?.as_secs()),
    );
    let since = Instant::now();
    metrics.read_gauge(
        described(
            "tollgate_uptime_seconds",
            "For how long the gateway has been running.",
        ),
        &[],
        move || Some(since.elapsed().as_secs()),
    );
}

/// Tells which program this is: `version` its own, `apisix` the one of APISIX that it stands in for. `prefix` begins APISIX's
/// names.
pub fn observe_build(metrics: &Metrics, version: &str, apisix: &str, prefix: &str) {
    metrics.read_gauge(
        Description::new("tollgate_build_info", "The version of the gateway.", &["version"]),
        &[version],
        || Some(1),
    );
    metrics.read_gauge(
        Description::new(
            format!("{prefix}node_info"),
            "The name of this machine, and the version of APISIX that is served.",
            &["hostname", "version"],
        ),
        &[hostname(), apisix],
        || Some(1),
    );
}

/// A number of `/proc/self/status`.
fn status_kib(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The processor time of all threads.
fn cpu_micros() -> Option<u64> {
    // Fields 14 and 15 of proc_pid_stat(5), in ticks. The command's name is in brackets and may hold spaces.
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * (1_000_000 / TICKS_PER_SECOND))
}

/// What the kernel tells programs on every architecture there is today (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_knows_what_it_uses() {
        let metrics = Metrics::default();
        observe_process(&metrics);
        let text = metrics.text();
        for name in [
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_threads",
            "process_start_time_seconds",
        ] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            assert!(line.unwrap().parse::<f64>().unwrap() >= 1.0, "{name}");
        }
        assert!(text.contains("\nprocess_cpu_seconds_total "));
    }
}
