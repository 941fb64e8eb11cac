//! End to end: the real binary as a process, real sockets on both sides, and everything that goes wrong on them.
#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod apisix;
mod bad_input;
mod client_gone;
mod command_line;
mod conversations;
mod crowds;
mod dialects;
mod drain;
mod edges;
mod explain;
mod fallback;
mod faults;
mod framing;
mod governance;
mod harness;
mod http2;
mod idle;
mod keeping;
mod logging;
mod midway;
mod nginx_demo;
mod odd_answers;
mod overload;
mod passthrough;
mod prices;
mod proxy;
mod reload;
mod secrets;
mod ssl;
mod tenants;
mod tls;
mod translation;
mod upgrade;
mod upstreams;
mod usage;
