//! It keeps working: killed processes, full disks, bad configurations, clocks that are set, logs and peers that stand still.

mod clock;
mod configuration;
mod disk;
mod doors;
mod killed;
mod logs;
mod peers;

use std::time::Instant;

use crate::harness::{Connection, PATIENCE, Request};

/// Waits until something is so.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// The sum of all series of a metric that hold `more`, as the Admin API tells it.
fn metric(admin: std::net::SocketAddr, name: &str, more: &str) -> u64 {
    let told = Connection::open(admin).send(&Request::new("GET", "/metrics"));
    told.text()
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(more))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}
